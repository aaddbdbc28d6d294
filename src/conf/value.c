/*
 * What each type of setting accepts, and what it tells somebody who wrote
 * something else. Every number has bounds, so nothing below can overflow or
 * ask for more memory than a setting may.
 */
#include "conf/value.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <syslog.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "conf/services.h"
#include "conf/shown.h"
#include "conf/value-hosts.h"

struct word {
	const char *word;
	int value;
};

static const struct word log_levels[] = {
	{"err", LOG_ERR},   {"warning", LOG_WARNING}, {"notice", LOG_NOTICE},
	{"info", LOG_INFO}, {"debug", LOG_DEBUG},     {NULL, 0},
};
static const struct word ranks[] = {
	{"prominence", CONF_RANK_PROMINENCE},
	{"distance", CONF_RANK_DISTANCE},
	{NULL, 0},
};

static const struct word booleans[] = {
	{"yes", true},
	{"no", false},
	{NULL, 0},
};

struct unit {
	const char *name;
	int64_t factor;
};

/* The greatest first: formatting takes the first that leaves no rest. */
static const struct unit byte_units[] = {
	{"G", 1 << 30}, {"M", 1 << 20}, {"k", 1 << 10}, {"", 1}, {NULL, 0},
};
static const struct unit duration_units[] = {
	{"d", 86400 * CLOCK_SECOND_NS}, {"h", 3600 * CLOCK_SECOND_NS}, {"min", 60 * CLOCK_SECOND_NS},
	{"s", CLOCK_SECOND_NS},		{"ms", CLOCK_MSEC_NS},	       {NULL, 0},
};
static const struct unit no_units[] = {
	{"", 1},
	{NULL, 0},
};

/* --- complaints ------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static int
invalid(char why[VALUE_WHY_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, VALUE_WHY_MAX, format, ap);
	va_end(ap);
	return VALUE_E_INVALID;
}

static int
no_memory(char why[VALUE_WHY_MAX])
{
	invalid(why, "out of memory");
	return -ENOMEM;
}

/* --- words ------------------------------------------------------------------ */

static const struct word *
words_of(enum conf_type type)
{
	switch (type) {
	case CONF_TYPE_LOG_LEVEL:
		return log_levels;
	case CONF_TYPE_RANK:
		return ranks;
	default:
		return booleans;
	}
}

static int
parse_word(const struct word *words, struct text t, int *field, char why[VALUE_WHY_MAX])
{
	char expected[128];
	int len = 0;

	for (const struct word *w = words; w->word; w++) {
		if (text_equal(text_of(w->word), t)) {
			*field = w->value;
			return 0;
		}
		len += snprintf(expected + len, sizeof(expected) - (size_t)len, "%s%s",
				w == words  ? ""
				: w[1].word ? ", "
					    : " or ",
				w->word);
		assert(len < (int)sizeof(expected));
	}
	return invalid(why, "'%s' is unknown (expected %s)", SHOW(t), expected);
}

static const char *
word_of(const struct word *words, int value)
{
	while (words->word && words->value != value)
		words++;
	return words->word ? words->word : "?";
}

/* --- numbers ----------------------------------------------------------------- */

static const struct unit *
units_of(enum conf_type type)
{
	return type == CONF_TYPE_COUNT ? no_units : type == CONF_TYPE_BYTES ? byte_units : duration_units;
}

static const char *
format_number(const struct unit *units, int64_t value, char out[32])
{
	const struct unit *u = units;

	if (value == 0)
		u = no_units; /* "0", whatever the unit */
	while (value % u->factor != 0 && u[1].name)
		u++;
	snprintf(out, 32, "%" PRId64 "%s", value / u->factor, u->name);
	return out;
}

/* "12min". A bare duration is in seconds. False: no such number. */
static bool
take_number(const struct unit *units, struct text t, int64_t *ret)
{
	struct text unit = t;
	int64_t value = 0, factor = units == duration_units ? CLOCK_SECOND_NS : 1;

	while (unit.len > 0 && text_is_digit(*unit.at)) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *unit.at - '0', &value))
			return false;
		unit.at++;
		unit.len--;
	}
	if (unit.len == t.len)
		return false;
	if (unit.len > 0) {
		if (units == byte_units && text_equal(unit, TEXT("K")))
			unit = TEXT("k");
		while (units->name && !text_equal(text_of(units->name), unit))
			units++;
		if (!units->name)
			return false;
		factor = units->factor;
	}
	return !__builtin_mul_overflow(value, factor, ret);
}

static int
parse_number(const struct conf_setting *s, struct text t, int64_t *ret, char why[VALUE_WHY_MAX])
{
	const struct unit *units = units_of(s->type);
	char min[32], max[32], expected[160];
	int64_t value;

	snprintf(expected, sizeof(expected), "expected %s from %s to %s%s",
		 s->type == CONF_TYPE_COUNT   ? "a number"
		 : s->type == CONF_TYPE_BYTES ? "a number of bytes"
					      : "a duration",
		 format_number(units, s->min, min), format_number(units, s->max, max),
		 s->type == CONF_TYPE_COUNT   ? ""
		 : s->type == CONF_TYPE_BYTES ? ", such as 8192, 64k or 1M"
					      : ", such as 500ms, 30s, 5min, 2h or 7d");
	if (!take_number(units, t, &value))
		return invalid(why, "'%s' cannot be read (%s)", SHOW(t), expected);
	if (value < s->min || value > s->max)
		return invalid(why, "%s is out of range (%s)", SHOW(t), expected);
	*ret = value;
	return 0;
}

/* --- texts -------------------------------------------------------------------- */

/* Printable, and the same when it is written into a file: ';' and '#' begin a comment there unless
   something stands right before them. */
static bool
is_shown_as_is(struct text t)
{
	char escaped[8];

	for (size_t i = 0; i < t.len; i++)
		if ((t.at[i] == ';' || t.at[i] == '#') && (i == 0 || text_is_space(t.at[i - 1])))
			return false;

	for (size_t n; t.len > 0; t.at += n, t.len -= n) {
		n = utf8_first(t);
		if (n == 0 || utf8_escape((struct text){t.at, n}, escaped, sizeof(escaped)) != n)
			return false;
	}
	return true;
}

static bool
is_shm_name(struct text t)
{
	if (t.len < 2 || t.at[0] != '/' || text_equal(t, TEXT("/.")) || text_equal(t, TEXT("/..")))
		return false;
	for (size_t i = 1; i < t.len; i++)
		if (!text_is_digit(t.at[i]) && !(t.at[i] >= 'a' && t.at[i] <= 'z') &&
		    !(t.at[i] >= 'A' && t.at[i] <= 'Z') && t.at[i] != '-' && t.at[i] != '_' && t.at[i] != '.')
			return false;
	return true;
}

/* One word of printable ASCII, which begins no comment. */
static bool
is_word(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] <= ' ' || t.at[i] > '~' || (i == 0 && (t.at[i] == ';' || t.at[i] == '#')))
			return false;
	return true;
}

/* What is asked is put behind it; a user and a password in it would be shown with it. */
static bool
is_url(struct text t)
{
	struct text scheme = text_begins(t, TEXT("https://"))  ? TEXT("https://")
			     : text_begins(t, TEXT("http://")) ? TEXT("http://")
							       : TEXT("");

	if (scheme.len == 0 || t.len == scheme.len || t.at[scheme.len] == '/' || !is_word(t))
		return false;
	for (size_t i = 0; i < t.len; i++)
		if (strchr("?#@\"<>\\^`{|}", t.at[i]))
			return false;
	return true;
}

static bool
type_is_text(enum conf_type type)
{
	return type == CONF_TYPE_SHM_NAME || type == CONF_TYPE_PATH || type == CONF_TYPE_HOST_NAME ||
	       type == CONF_TYPE_HOST_ID || type == CONF_TYPE_TEXT || type == CONF_TYPE_URL;
}

static int
check_text(const struct conf_setting *s, struct text t, char why[VALUE_WHY_MAX])
{
	bool fits = (int64_t)t.len >= s->min && (int64_t)t.len <= s->max;

	if (s->type == CONF_TYPE_SHM_NAME && !(fits && is_shm_name(t)))
		return invalid(why,
			       "'%s' is no name (expected '/' and up to %" PRId64
			       " letters, digits, '-', '_' and '.')",
			       SHOW(t), s->max - 1);
	if (s->type == CONF_TYPE_HOST_NAME && !value_is_host_name(s, t))
		return invalid(why,
			       "'%s' is no name (expected %" PRId64 " to %" PRId64
			       " letters, digits, '-' and '.')",
			       SHOW(t), s->min, s->max);
	if (s->type == CONF_TYPE_TEXT && !(fits && is_word(t)))
		return invalid(why,
			       "'%s' is not right (expected %" PRId64 " to %" PRId64
			       " printable characters without blanks)",
			       SHOW(t), s->min, s->max);
	if (s->type == CONF_TYPE_URL && !(fits && (t.len == 0 || is_url(t))))
		return invalid(why,
			       "'%s' is no URL (expected https://HOST/... or http://HOST/..., without user, "
			       "query and fragment)",
			       SHOW(t));
	if (s->type == CONF_TYPE_HOST_ID && !value_is_host_id(t))
		return invalid(why, "'%s' is no id (expected 32 hexadecimal digits)", SHOW(t));
	if (!fits || !is_shown_as_is(t))
		return invalid(why,
			       "'%s' is no path (expected 1 to %" PRId64
			       " printable characters, ';' and '#' only behind another)",
			       SHOW(t), s->max);
	return 0;
}

static int
parse_text(const struct conf_setting *s, struct text t, char **field, char why[VALUE_WHY_MAX])
{
	char *copy;
	int r = check_text(s, t, why);

	if (r != 0)
		return r;
	copy = strndup(t.at, t.len);
	if (!copy)
		return no_memory(why);
	free(*field);
	*field = copy;
	return 0;
}

/* --- lists -------------------------------------------------------------------- */

/* Takes one entry off the front of a list; an empty one when none is left. */
static struct text
take_entry(struct text *rest)
{
	struct text entry;

	while (rest->len > 0 && (text_is_space(*rest->at) || *rest->at == ',')) {
		rest->at++;
		rest->len--;
	}
	entry = (struct text){rest->at, 0};
	while (rest->len > 0 && !text_is_space(*rest->at) && *rest->at != ',') {
		rest->at++;
		rest->len--;
		entry.len++;
	}
	return entry;
}

static size_t
count_entries(struct text t)
{
	size_t count = 0;

	while (take_entry(&t).len > 0)
		count++;
	return count;
}

/* Port 0 is another port every time. */
static bool
is_any_port(struct text t)
{
	return t.len >= 2 && memcmp(t.at + t.len - 2, ":0", 2) == 0;
}

static int
parse_address(struct conf_addresses *list, struct text t, char why[VALUE_WHY_MAX])
{
	struct address a;

	if (address_parse(t, &a) != 0)
		return invalid(why,
			       "'%s' is no address (expected ADDRESS:PORT, such as 127.0.0.1:12000 or "
			       "[::1]:12000)",
			       SHOW(t));
	for (size_t i = 0; i < list->count; i++)
		if (address_equal(&list->at[i], &a) && !is_any_port(t))
			return invalid(why, "'%s' is listed twice (expected different addresses)", SHOW(t));
	list->at[list->count++] = a;
	return 0;
}

static int
parse_socket_path(struct conf_paths *list, struct text t, char why[VALUE_WHY_MAX])
{
	const size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (t.len > max || !is_shown_as_is(t))
		return invalid(
			why,
			"'%s' is no path of a socket (expected up to %zu printable characters, ';' and '#' "
			"only behind another)",
			SHOW(t), max);
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(text_of(list->at[i]), t))
			return invalid(why, "'%s' is listed twice (expected different paths)", SHOW(t));
	list->at[list->count] = strndup(t.at, t.len);
	if (!list->at[list->count])
		return no_memory(why);
	list->count++;
	return 0;
}

static int
parse_provider(struct conf_paths *list, struct text t, char why[VALUE_WHY_MAX])
{
	int provider = services_find(t);

	if (provider < 0)
		return invalid(why, "'%s' is unknown (expected local, google, google-legacy or overpass)",
			       SHOW(t));
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(text_of(list->at[i]), t))
			return invalid(why, "'%s' is listed twice (expected each once)", SHOW(t));
	list->at[list->count] = strdup(services_name((enum conf_provider)provider));
	if (!list->at[list->count])
		return no_memory(why);
	list->count++;
	return 0;
}

static int
parse_addresses(const struct conf_setting *s, struct text t, struct conf_addresses *list,
		char why[VALUE_WHY_MAX])
{
	size_t before = list->count, more = count_entries(t);
	struct address *at;
	struct text entry;
	int r = 0;

	if (more > (size_t)s->max - before)
		return invalid(why, "too many addresses (expected at most %" PRId64 ")", s->max);
	at = realloc(list->at, (before + more + 1) * sizeof(*at));
	if (!at)
		return no_memory(why);
	list->at = at;
	while (r == 0 && (entry = take_entry(&t)).len > 0)
		r = parse_address(list, entry, why);
	if (r != 0)
		list->count = before;
	return r;
}

static int
parse_texts(const struct conf_setting *s, struct text t, struct conf_paths *list,
	    int (*parse_one)(struct conf_paths *, struct text, char *), char why[VALUE_WHY_MAX])
{
	size_t before = list->count, more = count_entries(t);
	struct text entry;
	char **at;
	int r = 0;

	if (more > (size_t)s->max - before)
		return invalid(why, "too many entries (expected at most %" PRId64 ")", s->max);
	at = realloc(list->at, (before + more + 1) * sizeof(*at));
	if (!at)
		return no_memory(why);
	list->at = at;
	while (r == 0 && (entry = take_entry(&t)).len > 0)
		r = parse_one(list, entry, why);
	while (r != 0 && list->count > before)
		free(list->at[--list->count]);
	return r;
}

/* --- all of them ---------------------------------------------------------------- */

static bool
type_is_texts(enum conf_type type)
{
	return type == CONF_TYPE_PATHS || type == CONF_TYPE_PEERS || type == CONF_TYPE_HOSTS ||
	       type == CONF_TYPE_PROVIDERS;
}

bool
value_is_list(const struct conf_setting *s)
{
	return s->type == CONF_TYPE_ADDRESSES || type_is_texts(s->type);
}

int
value_parse(const struct conf_setting *s, struct text t, void *field, char why[VALUE_WHY_MAX])
{
	int64_t number = 0;
	int r, word;

	switch (s->type) {
	case CONF_TYPE_SHM_NAME:
	case CONF_TYPE_PATH:
	case CONF_TYPE_HOST_NAME:
	case CONF_TYPE_HOST_ID:
	case CONF_TYPE_TEXT:
	case CONF_TYPE_URL:
		return parse_text(s, t, field, why);
	case CONF_TYPE_COUNT:
	case CONF_TYPE_BYTES:
		r = parse_number(s, t, &number, why);
		if (r == 0)
			*(uint32_t *)field = (uint32_t)number;
		return r;
	case CONF_TYPE_DURATION:
		return parse_number(s, t, field, why);
	case CONF_TYPE_LOG_LEVEL:
	case CONF_TYPE_RANK:
		return parse_word(words_of(s->type), t, field, why);
	case CONF_TYPE_ADDRESSES:
		return parse_addresses(s, t, field, why);
	case CONF_TYPE_PATHS:
		return parse_texts(s, t, field, parse_socket_path, why);
	case CONF_TYPE_BOOL:
		r = parse_word(booleans, t, &word, why);
		if (r == 0)
			*(bool *)field = word != 0;
		return r;
	case CONF_TYPE_PEERS:
	case CONF_TYPE_HOSTS:
		return value_parse_hosts(s, t, field, why);
	case CONF_TYPE_PROVIDERS:
		return parse_texts(s, t, field, parse_provider, why);
	}
	abort();
}

static int
format_addresses(const struct conf_addresses *list, struct buffer *out)
{
	char text[ADDRESS_TEXT_MAX];
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->count; i++) {
		if (i > 0)
			r = buffer_append(out, TEXT(", "));
		if (r == 0)
			r = buffer_append(out, text_of(address_format(
						       (const struct sockaddr *)&list->at[i].socket, text)));
	}
	return r;
}

static int
format_paths(const struct conf_paths *list, struct buffer *out)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->count; i++) {
		if (i > 0)
			r = buffer_append(out, TEXT(", "));
		if (r == 0)
			r = buffer_append(out, text_of(list->at[i]));
	}
	return r;
}

int
value_format(const struct conf_setting *s, const void *field, struct buffer *out)
{
	char number[32];

	switch (s->type) {
	case CONF_TYPE_SHM_NAME:
	case CONF_TYPE_PATH:
	case CONF_TYPE_HOST_NAME:
	case CONF_TYPE_HOST_ID:
	case CONF_TYPE_TEXT:
	case CONF_TYPE_URL:
		return buffer_append(out, text_of(*(char *const *)field));
	case CONF_TYPE_COUNT:
	case CONF_TYPE_BYTES:
		return buffer_append(
			out, text_of(format_number(units_of(s->type), *(const uint32_t *)field, number)));
	case CONF_TYPE_DURATION:
		return buffer_append(
			out, text_of(format_number(units_of(s->type), *(const int64_t *)field, number)));
	case CONF_TYPE_LOG_LEVEL:
	case CONF_TYPE_RANK:
		return buffer_append(out, text_of(word_of(words_of(s->type), *(const int *)field)));
	case CONF_TYPE_ADDRESSES:
		return format_addresses(field, out);
	case CONF_TYPE_PATHS:
	case CONF_TYPE_PEERS:
	case CONF_TYPE_HOSTS:
	case CONF_TYPE_PROVIDERS:
		return format_paths(field, out);
	case CONF_TYPE_BOOL:
		return buffer_append(out, text_of(word_of(booleans, *(const bool *)field)));
	}
	abort();
}

/* Equal is what is written the same. */
bool
value_equal(const struct conf_setting *s, const void *a, const void *b)
{
	CLEANUP(buffer_done) struct buffer text_a = {.max = 1 << 20}, text_b = {.max = 1 << 20};

	if (value_format(s, a, &text_a) != 0 || value_format(s, b, &text_b) != 0 || text_a.len != text_b.len)
		return false;
	return text_a.len == 0 ||
	       text_equal((struct text){text_a.bytes, text_a.len}, (struct text){text_b.bytes, text_b.len});
}

static const size_t sizes[] = {
#define X(type, c) [CONF_TYPE_##type] = sizeof(c),
	CONF_TYPES(X)
#undef X
};

void
value_done(const struct conf_setting *s, void *field)
{
	if (type_is_text(s->type)) {
		free(*(char **)field);
	} else if (s->type == CONF_TYPE_ADDRESSES) {
		free(((struct conf_addresses *)field)->at);
	} else if (type_is_texts(s->type)) {
		struct conf_paths *list = field;

		while (list->count > 0)
			free(list->at[--list->count]);
		free(list->at);
	}
	memset(field, 0, sizes[s->type]);
}

void
value_move(const struct conf_setting *s, void *to, void *from)
{
	value_done(s, to);
	memcpy(to, from, sizes[s->type]);
	memset(from, 0, sizes[s->type]);
}

static int
copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int
copy_addresses(struct conf_addresses *to, const struct conf_addresses *from)
{
	if (from->count == 0)
		return 0;
	to->at = calloc(from->count, sizeof(*to->at));
	if (!to->at)
		return -ENOMEM;
	memcpy(to->at, from->at, from->count * sizeof(*to->at));
	to->count = from->count;
	return 0;
}

static int
copy_paths(struct conf_paths *to, const struct conf_paths *from)
{
	int r = 0;

	if (from->count == 0)
		return 0;
	to->at = calloc(from->count, sizeof(*to->at));
	if (!to->at)
		return -ENOMEM;
	while (r == 0 && to->count < from->count) {
		r = copy_text(&to->at[to->count], from->at[to->count]);
		to->count += r == 0;
	}
	return r;
}

int
value_copy(const struct conf_setting *s, void *to, const void *from)
{
	int r;

	if (type_is_text(s->type))
		r = copy_text(to, *(char *const *)from);
	else if (s->type == CONF_TYPE_ADDRESSES)
		r = copy_addresses(to, from);
	else if (type_is_texts(s->type))
		r = copy_paths(to, from);
	else
		r = (memcpy(to, from, sizes[s->type]), 0);
	if (r < 0)
		value_done(s, to);
	return r;
}
