/*
 * Hosts: every host of a herd computes the graph of links from this list, so
 * an entry that could be read in two ways is refused: two of one name, two at
 * one address, an address that almost is a number.
 */
#include "conf/hosts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/address.h"
#include "conf/shown.h"
#include "conf/reader.h"

enum {
	DNS_NAME_MAX = 253,
};

_Static_assert((int)HOSTS_FILE_MAX == (int)READER_FILE_MAX, "one limit for files");
_Static_assert(DNS_NAME_MAX + sizeof(":65535") <= HOSTS_ADDRESS_MAX, "the longest address fits");

__attribute__((format(printf, 2, 3))) static int
invalid(char why[HOSTS_WHY_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, HOSTS_WHY_MAX, format, ap);
	va_end(ap);
	return HOSTS_E_INVALID;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_alphanumeric(char c)
{
	return text_is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

bool
host_name_valid(struct text name)
{
	if (name.len == 0 || name.len > HOSTS_NAME_MAX || !is_alphanumeric(name.at[0]) ||
	    !is_alphanumeric(name.at[name.len - 1]))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!is_alphanumeric(name.at[i]) && name.at[i] != '-' && name.at[i] != '.')
			return false;
	return true;
}

int
host_name_compare(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return (unsigned char)lower(*a) - (unsigned char)lower(*b);
}

/* --- one entry -------------------------------------------------------------------- */

static void
copy(char *out, struct text t)
{
	memcpy(out, t.at, t.len);
	out[t.len] = '\0';
}

static bool
port_valid(struct text t)
{
	unsigned int port = 0;

	if (t.len == 0 || t.len > 5)
		return false;
	for (size_t i = 0; i < t.len; i++) {
		if (!text_is_digit(t.at[i]))
			return false;
		port = port * 10 + (unsigned int)(t.at[i] - '0');
	}
	return port >= 1 && port <= 65535;
}

/* A name that DNS may know; underscores are no host names, but are there. */
static bool
dns_name_valid(struct text t)
{
	bool has_letter = false;

	if (t.len == 0 || t.len > DNS_NAME_MAX || !(is_alphanumeric(t.at[0]) || t.at[0] == '_'))
		return false;
	for (size_t i = 0; i < t.len; i++) {
		char c = t.at[i];

		if (!is_alphanumeric(c) && c != '-' && c != '_' && !(c == '.' && t.at[i - 1] != '.'))
			return false;
		has_letter = has_letter || !(text_is_digit(c) || c == '.');
	}
	return has_letter; /* else it is a number with a slip: 192.0.2, 192.0.2.1.1 */
}

static int
parse_address(struct text t, struct host *host, char why[HOSTS_WHY_MAX])
{
	struct text place = t, port = {t.at + t.len, 0};
	struct address numeric;

	while (place.len > 0 && place.at[place.len - 1] != ':') {
		place.len--;
		port.at--;
		port.len++;
	}
	if (place.len == 0)
		return invalid(why, "'%s' has no port (expected ADDRESS:PORT)", SHOW(t));
	place.len--;
	if (!port_valid(port))
		return invalid(why, "'%s' is no port (expected 1 to 65535)", SHOW(port));
	if (address_parse(t, &numeric) != 0 && !dns_name_valid(place))
		return invalid(why, "'%s' is no address (expected a number, [IPv6] or a name)", SHOW(place));
	copy(host->address, t);
	return 0;
}

static int
parse_option(struct text t, struct host *host, char why[HOSTS_WHY_MAX])
{
	const struct text site = TEXT("site=");

	if (t.len < site.len || memcmp(t.at, site.at, site.len) != 0)
		return invalid(why, "'%s' behind the address (expected site=SITE or nothing)", SHOW(t));
	t.at += site.len;
	t.len -= site.len;
	if (host->site[0])
		return invalid(why, "a second site '%s' (expected one)", SHOW(t));
	if (!host_name_valid(t))
		return invalid(why, "'%s' is no site (expected 1-63 letters, digits, '-', '.')", SHOW(t));
	copy(host->site, t);
	return 0;
}

int
host_parse(struct text entry, bool name_optional, struct host *ret, char why[HOSTS_WHY_MAX])
{
	struct host host = {0};
	struct text first = text_take_field(&entry), field;
	int r;

	if (first.len == 0)
		return invalid(why, "nothing (expected NAME ADDRESS:PORT)");
	if (memchr(first.at, ':', first.len)) {
		if (!name_optional)
			return invalid(why, "'%s' has no name before it (expected NAME ADDRESS:PORT)",
				       SHOW(first));
		field = first;
	} else {
		if (!host_name_valid(first))
			return invalid(why, "'%s' is no host (expected 1-63 letters, digits, '-', '.')",
				       SHOW(first));
		copy(host.name, first);
		field = text_take_field(&entry);
		if (field.len == 0)
			return invalid(why, "'%s' has no address (expected NAME ADDRESS:PORT)", SHOW(first));
	}
	r = parse_address(field, &host, why);
	while (r == 0 && (field = text_take_field(&entry)).len > 0)
		r = parse_option(field, &host, why);
	if (r == 0)
		*ret = host;
	return r;
}

/* --- the list ---------------------------------------------------------------------- */

const struct host *
hosts_find(const struct hosts *hosts, const char *name)
{
	for (size_t i = 0; i < hosts->count; i++)
		if (host_name_compare(hosts->at[i].name, name) == 0)
			return &hosts->at[i];
	return NULL;
}

/* The room doubles whenever it is used up: it is always the next power of two. */
static int
make_room(struct hosts *hosts)
{
	struct host *at;

	if (hosts->count & (hosts->count - 1))
		return 0;
	at = realloc(hosts->at, (hosts->count ? 2 * hosts->count : 1) * sizeof(*at));
	if (!at)
		return -ENOMEM;
	hosts->at = at;
	return 0;
}

int
hosts_add(struct hosts *hosts, const struct host *host, char why[HOSTS_WHY_MAX])
{
	int r;

	if (host->name[0] && hosts_find(hosts, host->name))
		return invalid(why, "a second host '%s' (expected each once)", host->name);
	for (size_t i = 0; i < hosts->count; i++)
		if (host_name_compare(hosts->at[i].address, host->address) == 0)
			return invalid(why, "a second '%s' (expected each address once)",
				       SHOW(text_of(host->address)));
	if (hosts->count == HOSTS_MAX)
		return invalid(why, "too many hosts (expected at most %d)", HOSTS_MAX);
	r = make_room(hosts);
	if (r < 0) {
		invalid(why, "no memory");
		return r;
	}
	hosts->at[hosts->count++] = *host;
	return 0;
}

void
hosts_done(struct hosts *hosts)
{
	free(hosts->at);
	*hosts = (struct hosts){0};
}

/* --- files -------------------------------------------------------------------------- */

/* Up to the comment; *rest is then behind the line's end. */
static struct text
take_line(struct text *rest)
{
	struct text line = text_take_line(rest);
	const char *comment = line.len ? memchr(line.at, '#', line.len) : NULL;

	if (comment)
		line.len = (size_t)(comment - line.at);
	return line;
}

static int
read_line(struct hosts *hosts, struct text line, char why[HOSTS_WHY_MAX])
{
	struct text rest = line;
	struct host host;
	int r;

	if (text_take_field(&rest).len == 0)
		return 0;
	r = host_parse(line, false, &host, why);
	return r == 0 ? hosts_add(hosts, &host, why) : r;
}

int
hosts_read(struct hosts *hosts, struct text bytes, const char *origin, char why[HOSTS_WHY_MAX])
{
	size_t before = hosts->count;
	unsigned int line = 0;
	char reason[HOSTS_WHY_MAX];
	int r = 0;

	if (bytes.len >= 3 && memcmp(bytes.at, "\xef\xbb\xbf", 3) == 0) {
		bytes.at += 3;
		bytes.len -= 3;
	}
	while (r == 0 && bytes.len > 0) {
		line++;
		r = read_line(hosts, take_line(&bytes), reason);
	}
	if (r != 0) {
		invalid(why, "%s:%u: %s", SHOW(text_of(origin)), line, reason);
		hosts->count = before;
	}
	return r;
}

int
hosts_read_file(struct hosts *hosts, const char *path, char why[HOSTS_WHY_MAX])
{
	CLEANUP(cleanup_free) char *bytes = NULL;
	size_t len;
	int r;

	r = reader_load(path, &bytes, &len);
	if (r < 0) {
		invalid(why, "%s: cannot be read: %s", SHOW(text_of(path)), strerror(-r));
		return r;
	}
	return hosts_read(hosts, (struct text){bytes, len}, path, why);
}

int
hosts_add_entries(struct hosts *hosts, const struct conf_paths *entries, bool name_optional,
		  char why[HOSTS_WHY_MAX])
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < entries->count; i++) {
		struct host host;

		r = host_parse(text_of(entries->at[i]), name_optional, &host, why);
		if (r == 0)
			r = hosts_add(hosts, &host, why);
	}
	return r;
}

int
hosts_read_known(struct hosts *hosts, const struct conf *conf, char why[HOSTS_WHY_MAX])
{
	const struct conf_paths *entries = &conf->flood_hosts;

	if (entries->count > 0 && entries->at[0][0] == '/')
		return hosts_read_file(hosts, entries->at[0], why);
	return hosts_add_entries(hosts, entries, false, why);
}
