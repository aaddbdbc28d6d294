/*
 * Entries are kept as they were written, in one spelling: white space in them
 * is one space. What they mean is looked at twice, here and by whoever uses
 * them, with the same function, so that nobody gets one that is wrong.
 */
#include "conf/value-hosts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "conf/hosts.h"

enum { ENTRY_MAX = 420 };

bool
value_is_host_name(const struct conf_setting *s, struct text t)
{
	return t.len == 0 ? s->min == 0 : host_name_valid(t);
}

bool
value_is_host_id(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (!text_is_digit(t.at[i]) && !(t.at[i] >= 'a' && t.at[i] <= 'f') &&
		    !(t.at[i] >= 'A' && t.at[i] <= 'F'))
			return false;
	return t.len == 0 || t.len == 32;
}

/* Copies what stands before the next comma, with one space for any white space. False: it is too long. */
static bool
take_entry(struct text *rest, char out[ENTRY_MAX + 1], size_t *ret_len)
{
	const char *comma = memchr(rest->at, ',', rest->len);
	size_t len = comma ? (size_t)(comma - rest->at) : rest->len, at = 0;
	struct text field, fields = {rest->at, len};

	rest->at += len + (comma != NULL);
	rest->len -= len + (comma != NULL);
	while ((field = text_take_field(&fields)).len > 0) {
		if (at + 1 + field.len > ENTRY_MAX)
			return false;
		if (at > 0)
			out[at++] = ' ';
		memcpy(out + at, field.at, field.len);
		at += field.len;
	}
	out[at] = '\0';
	*ret_len = at;
	return true;
}

static int
invalid(char why[VALUE_WHY_MAX], const char *entry, const char *what)
{
	char shown[80];

	utf8_escape(text_of(entry), shown, sizeof(shown));
	snprintf(why, VALUE_WHY_MAX, "'%s' %s", shown, what);
	return VALUE_E_INVALID;
}

static int
check_entry(const struct conf_setting *s, const struct conf_paths *list, const char *entry,
	    char why[VALUE_WHY_MAX])
{
	bool is_path = s->type == CONF_TYPE_HOSTS && entry[0] == '/';
	char reason[HOSTS_WHY_MAX];
	struct host host;

	if (list->count > 0 && (is_path || list->at[0][0] == '/'))
		return invalid(why, entry, "is beside another entry (expected a file alone, or a list)");
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->at[i], entry) == 0)
			return invalid(why, entry, "is listed twice (expected different hosts)");
	if (is_path || host_parse(text_of(entry), s->type == CONF_TYPE_PEERS, &host, reason) == 0)
		return 0;
	snprintf(why, VALUE_WHY_MAX, "%s", reason);
	return VALUE_E_INVALID;
}

static int
add_entry(const struct conf_setting *s, struct conf_paths *list, const char *entry, char why[VALUE_WHY_MAX])
{
	char **at;
	int r;

	if ((int64_t)list->count >= s->max) {
		snprintf(why, VALUE_WHY_MAX, "too many hosts (expected at most %" PRId64 ")", s->max);
		return VALUE_E_INVALID;
	}
	r = check_entry(s, list, entry, why);
	if (r != 0)
		return r;
	at = reallocarray(list->at, list->count + 1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	list->at = at;
	at[list->count] = strdup(entry);
	if (!at[list->count])
		return -ENOMEM;
	list->count++;
	return 0;
}

int
value_parse_hosts(const struct conf_setting *s, struct text t, struct conf_paths *list,
		  char why[VALUE_WHY_MAX])
{
	size_t before = list->count, len = 0;
	char entry[ENTRY_MAX + 1];
	int r = 0;

	while (r == 0 && t.len > 0) {
		if (!take_entry(&t, entry, &len)) {
			snprintf(why, VALUE_WHY_MAX, "an entry is too long (expected at most %d characters)",
				 ENTRY_MAX);
			r = VALUE_E_INVALID;
		} else if (len > 0) {
			r = add_entry(s, list, entry, why);
		}
	}
	if (r == -ENOMEM)
		snprintf(why, VALUE_WHY_MAX, "out of memory");
	while (r != 0 && list->count > before)
		free(list->at[--list->count]);
	return r;
}
