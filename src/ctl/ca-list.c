/*
 * List: text, so that an operator can read it when the rest of the authority
 * is lost. Revocation lists are made from it, so a line that cannot be read is
 * a fault and never left out: the certificate in it may be a revoked one.
 */
#include "ctl/ca-list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char head[] = "# What herdctl ca has issued: serial, name, issued, expires, revoked.\n";

#define TIME_FORMAT "%Y-%m-%dT%H:%M:%SZ"

void
ca_list_done(struct ca_list *list)
{
	free(list->at);
	*list = (struct ca_list){0};
}

/* --- what stands in a line ------------------------------------------------------------------ */

static bool
is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool
ca_name_valid(struct text name)
{
	if (name.len == 0 || name.len > CA_NAME_MAX || name.at[0] == '-' || name.at[0] == '.')
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!is_letter(name.at[i]) && !text_is_digit(name.at[i]) && name.at[i] != '-' &&
		    name.at[i] != '.')
			return false;
	return true;
}

bool
ca_serial_parse(struct text t, uint64_t *ret)
{
	uint64_t serial = 0;

	if (t.len != CA_SERIAL_MAX)
		return false;
	for (size_t i = 0; i < t.len; i++) {
		char c = t.at[i];

		if (text_is_digit(c))
			serial = serial << 4 | (uint64_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			serial = serial << 4 | (uint64_t)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	if (serial)
		*ret = serial;
	return serial != 0;
}

void
ca_serial_format(uint64_t serial, char out[CA_SERIAL_MAX + 1])
{
	snprintf(out, CA_SERIAL_MAX + 1, "%016jx", (uintmax_t)serial);
}

static bool
parse_time(struct text t, int64_t *ret_s)
{
	char string[32];
	struct tm tm = {0};
	const char *end;

	if (t.len >= sizeof(string))
		return false;
	memcpy(string, t.at, t.len);
	string[t.len] = '\0';
	end = strptime(string, TIME_FORMAT, &tm);
	if (!end || *end)
		return false;
	*ret_s = timegm(&tm);
	return true;
}

static int
put_time(struct buffer *out, int64_t posix_s)
{
	time_t seconds = (time_t)posix_s;
	char string[64];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm))
		return -ENOBUFS;
	return buffer_append(out, (struct text){string, strftime(string, sizeof(string), TIME_FORMAT, &tm)});
}

static bool
parse_line(struct text line, struct ca_entry *ret)
{
	struct ca_entry e = {0};
	struct text serial = text_take_field(&line), name = text_take_field(&line);
	struct text issued = text_take_field(&line), expires = text_take_field(&line);
	struct text revoked = text_take_field(&line);

	if (text_take_field(&line).len > 0 || !ca_serial_parse(serial, &e.serial) || !ca_name_valid(name) ||
	    !parse_time(issued, &e.issued_s) || !parse_time(expires, &e.expires_s) || revoked.len == 0)
		return false;
	if (!text_equal(revoked, TEXT("-")) && (!parse_time(revoked, &e.revoked_s) || e.revoked_s <= 0))
		return false;
	memcpy(e.name, name.at, name.len);
	*ret = e;
	return true;
}

/* --- all lines --------------------------------------------------------------------------------- */

int
ca_list_add(struct ca_list *list, const struct ca_entry *entry)
{
	struct ca_entry *at = list->at;
	size_t n = list->count;

	if ((n & (n - 1)) == 0) { /* full at each power of two */
		at = reallocarray(at, n ? 2 * n : 1, sizeof(*at));
		if (!at)
			return -ENOMEM;
		list->at = at;
	}
	at[list->count++] = *entry;
	return 0;
}

int
ca_list_parse(struct ca_list *ret, struct text bytes, unsigned int *ret_line)
{
	CLEANUP(ca_list_done) struct ca_list list = {0};
	unsigned int number = 0;

	do {
		const char *end = bytes.len ? memchr(bytes.at, '\n', bytes.len) : NULL;
		struct text line = {bytes.at, end ? (size_t)(end - bytes.at) : 0};
		struct ca_entry entry;

		number++;
		if (!end) { /* cut short: nobody knows what else there was */
			*ret_line = number;
			return CA_LIST_E_DAMAGED;
		}
		bytes = (struct text){end + 1, bytes.len - line.len - 1};
		if (line.len == 0 || line.at[0] == '#')
			continue;
		if (!parse_line(line, &entry)) {
			*ret_line = number;
			return CA_LIST_E_DAMAGED;
		}
		if (ca_list_add(&list, &entry) < 0)
			return -ENOMEM;
	} while (bytes.len > 0);
	*ret = list;
	list = (struct ca_list){0};
	return 0;
}

static int
put_entry(struct buffer *out, const struct ca_entry *e)
{
	char front[CA_SERIAL_MAX + CA_NAME_MAX + 4];
	int r;

	snprintf(front, sizeof(front), "%016jx %s ", (uintmax_t)e->serial, e->name);
	r = buffer_append(out, text_of(front));
	if (r == 0)
		r = put_time(out, e->issued_s);
	if (r == 0)
		r = buffer_append(out, TEXT(" "));
	if (r == 0)
		r = put_time(out, e->expires_s);
	if (r == 0)
		r = buffer_append(out, TEXT(" "));
	if (r == 0)
		r = e->revoked_s ? put_time(out, e->revoked_s) : buffer_append(out, TEXT("-"));
	return r == 0 ? buffer_append(out, TEXT("\n")) : r;
}

int
ca_list_format(const struct ca_list *list, struct buffer *out)
{
	int r = buffer_append(out, TEXT(head));

	for (size_t i = 0; r == 0 && i < list->count; i++)
		r = put_entry(out, &list->at[i]);
	return r;
}

struct ca_entry *
ca_list_find(const struct ca_list *list, uint64_t serial)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->at[i].serial == serial)
			return &list->at[i];
	return NULL;
}

const struct ca_entry *
ca_list_good(const struct ca_list *list, const char *name, int64_t now_s)
{
	const struct ca_entry *best = NULL;

	for (size_t i = 0; i < list->count; i++) {
		const struct ca_entry *e = &list->at[i];

		if (e->revoked_s == 0 && e->expires_s > now_s && strcasecmp(e->name, name) == 0 &&
		    (!best || e->expires_s > best->expires_s))
			best = e;
	}
	return best;
}
