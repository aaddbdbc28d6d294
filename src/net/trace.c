/*
 * An id may hold any bytes but white space and NUL, and a request none but
 * printable ones: so it is asked for in hexadecimal.
 */
#include "net/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum { TRACE_TRIES = 100 }; /* nobody reports that fast for that long */

static int
digit_of(char c)
{
	return text_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The length; 0: it is no id. */
static size_t
id_of(struct text hex, char ret[HERD_ID_MAX])
{
	size_t len = hex.len / 2;

	if (hex.len % 2 || len > HERD_ID_MAX)
		return 0;
	for (size_t i = 0; i < len; i++) {
		int high = digit_of(hex.at[2 * i]), low = digit_of(hex.at[2 * i + 1]);

		if (high < 0 || low < 0)
			return 0;
		ret[i] = (char)(high << 4 | low);
	}
	return fix_id_valid((struct text){ret, len}) ? len : 0;
}

static void
add_fix(struct json_object *reply, const struct herd_fix *fix)
{
	char text[HERD_TIME_MAX + 1];

	snprintf(text, sizeof(text), "%.*s", (int)fix->server_len, fix->server);
	control_add_string(reply, "server", text);
	snprintf(text, sizeof(text), "%.*s", (int)fix->time_len, fix->time);
	control_add_string(reply, "time", text);
	snprintf(text, sizeof(text), "%lld", (long long)fix->rx_ns);
	control_add_string(reply, "received", text);
}

int
trace_answer(struct table *table, struct text argument, struct json_object *reply, struct herd_fix *ret_fix)
{
	char id[HERD_ID_MAX];
	size_t len = id_of(argument, id);
	struct table_key key;
	int r = TABLE_E_LAPPED;

	if (len == 0)
		return CONTROL_E_UNKNOWN;
	table_key_make(table, (struct text){id, len}, &key);
	for (int i = 0; r == TABLE_E_LAPPED && i < TRACE_TRIES; i++)
		r = table_find(table, &key, clock_now_ns(), ret_fix);
	control_add_bool(reply, "known", r == 0);
	control_add_bool(reply, "shared", !table_is_private(table));
	if (r == 0)
		add_fix(reply, ret_fix);
	control_set_ok(reply);
	return r == 0 ? 0 : TRACE_E_UNKNOWN;
}
