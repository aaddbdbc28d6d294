/*
 * Service: what google.c, google-legacy.c and overpass.c have in common.
 *
 * A key goes out in a header or in the address and must not come back in: not
 * in what clients or logs are shown, however the service quotes it. So errors
 * are searched for it before they are cut, and an answer that has it anywhere
 * else is not used.
 */
#include "places/service.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "places/json.h"
#include "places/service-private.h"

enum {
	KEY_MAX = 512,
	ECHO_MIN = 8, /* shorter keys are words that answers have by chance */
	HEADER_BYTES_MAX = 8192,
	REQUEST_MAX = 65536,
};

/* --- requests ------------------------------------------------------------------ */

static void
wipe(struct buffer *b)
{
	if (b->bytes)
		explicit_bzero(b->bytes, b->size);
	buffer_done(b);
}

void
service_request_done(struct service_request *r)
{
	wipe(&r->url);
	wipe(&r->body);
	wipe(&r->header_bytes);
	*r = (struct service_request){.content_type = NULL};
}

int
service_join(struct buffer *out, const struct text *parts, size_t count)
{
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; i < count; i++)
		bytes += parts[i].len;
	out->max = REQUEST_MAX;
	at = buffer_reserve(out, bytes);
	if (!at)
		return bytes > REQUEST_MAX ? -EINVAL : -ENOMEM;
	for (size_t i = 0; i < count; i++)
		at = text_put(at, parts[i]);
	out->len += bytes;
	return 0;
}

static bool
is_unreserved(char c)
{
	return text_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("-._~", c));
}

int
service_encode(struct buffer *out, struct text t)
{
	static const char hex[] = "0123456789ABCDEF";
	char *at;

	out->max = REQUEST_MAX;
	at = t.len < REQUEST_MAX ? buffer_reserve(out, 3 * t.len + 1) : NULL;
	if (!at)
		return t.len > REQUEST_MAX / 3 - 1 ? -EINVAL : -ENOMEM;
	for (size_t i = 0; i < t.len; i++) {
		unsigned char byte = (unsigned char)t.at[i];

		if (is_unreserved(t.at[i])) {
			*at++ = t.at[i];
			continue;
		}
		*at++ = '%';
		*at++ = hex[byte >> 4];
		*at++ = hex[byte & 15];
	}
	out->len = (size_t)(at - out->bytes);
	return 0;
}

int
service_add_header(struct service_request *r, struct text name, struct text value)
{
	struct buffer *bytes = &r->header_bytes;
	char *at;

	bytes->max = HEADER_BYTES_MAX;
	if (!bytes->bytes && !buffer_reserve(bytes, HEADER_BYTES_MAX))
		return -ENOMEM;
	if (!text_is_printable(value) || r->header_count == SERVICE_HEADERS_MAX)
		return -EINVAL;
	at = buffer_reserve(bytes, value.len);
	if (!at)
		return -EINVAL;
	text_put(at, value);
	bytes->len += value.len;
	r->headers[r->header_count++] = (struct fetch_header){name, {at, value.len}};
	return 0;
}

int
service_base(struct text url, struct text *ret)
{
	while (url.len && url.at[url.len - 1] == '/')
		url.len--;
	if (url.len == 0 || !text_is_printable(url) || memchr(url.at, ' ', url.len) ||
	    memchr(url.at, '?', url.len) || memchr(url.at, '#', url.len))
		return -EINVAL;
	*ret = url;
	return 0;
}

bool
service_key_is_good(struct text key)
{
	return key.len >= 1 && key.len <= KEY_MAX && text_is_printable(key) && !memchr(key.at, ' ', key.len);
}

uint64_t
service_metres(const struct service_settings *settings, double radius_km, unsigned int per_metre)
{
	double km = radius_km < settings->radius_max_km ? radius_km : settings->radius_max_km;

	if (!(km > 0))
		return 0;
	/* What is a hair above a whole number is that number: 10.1 km are 10100 m. */
	return (uint64_t)ceil((km < 50 ? km : 50) * 1000 * per_metre - 1e-6);
}

char *
service_put_degrees(char *out, int32_t e7)
{
	char *end = json_put_degrees(out, e7);
	char *point = memchr(out, '.', (size_t)(end - out));

	if (!point) {
		point = end;
		*end++ = '.';
	}
	while (end - point < 7)
		*end++ = '0';
	return end;
}

bool
service_next_item(struct text *rest, struct text *ret)
{
	while (rest->len) {
		const char *comma = memchr(rest->at, ',', rest->len);
		size_t len = comma ? (size_t)(comma - rest->at) : rest->len;
		struct text item = text_trim((struct text){rest->at, len});

		rest->at += len + (comma ? 1 : 0);
		rest->len -= len + (comma ? 1 : 0);
		if (item.len) {
			*ret = item;
			return true;
		}
	}
	return false;
}

/* --- keys that come back --------------------------------------------------------- */

/* Bytes at the front of t that are the key, any of its characters perhaps as %XX; 0: they are not. */
static size_t
key_length_at(struct text t, struct text key)
{
	size_t at = 0;

	for (size_t i = 0; i < key.len; i++) {
		if (at == t.len)
			return 0;
		if (t.at[at] == key.at[i]) {
			at++;
		} else if (t.at[at] == '%' && t.len - at >= 3 && text_hex_digit(t.at[at + 1]) >= 0 &&
			   text_hex_digit(t.at[at + 2]) >= 0 &&
			   text_hex_digit(t.at[at + 1]) * 16 + text_hex_digit(t.at[at + 2]) ==
				   (unsigned char)key.at[i]) {
			at += 3;
		} else {
			return 0;
		}
	}
	return at;
}

static bool
has_key(struct text t, struct text key)
{
	for (size_t i = 0; i < t.len; i++)
		if ((t.at[i] == key.at[0] || t.at[i] == '%') &&
		    key_length_at((struct text){t.at + i, t.len - i}, key))
			return true;
	return false;
}

/* --- failures -------------------------------------------------------------------- */

/* A message being written: without the key, without control characters, cut at a character. */
struct message {
	size_t len;
	bool cut;
	char bytes[SERVICE_MESSAGE_BYTES + 1];
};

static void
message_add(struct message *m, struct text t)
{
	if (m->cut || t.len > SERVICE_MESSAGE_BYTES - 3 - m->len) {
		m->cut = true;
		return;
	}
	text_put(m->bytes + m->len, t);
	m->len += t.len;
}

static bool
is_control(struct text c)
{
	unsigned char first = (unsigned char)c.at[0];

	return c.len == 1 ? first < 0x20 || first == 0x7f
			  : first == 0xc2 && (unsigned char)c.at[1] < 0xa0 && c.len == 2;
}

static void
message_make(struct message *m, struct text from, struct text key)
{
	m->len = 0;
	m->cut = false;
	while (from.len && !m->cut) {
		size_t n = key.len ? key_length_at(from, key) : 0;
		struct text c = TEXT("***");

		if (n == 0) {
			n = utf8_first(from);
			c = (struct text){from.at, n};
			if (n == 0 || is_control(c))
				c = n == 0 ? TEXT("?") : TEXT(" ");
			if (n == 0)
				n = 1;
		}
		message_add(m, c);
		from.at += n;
		from.len -= n;
	}
	if (m->cut) {
		text_put(m->bytes + m->len, TEXT("..."));
		m->len += 3;
	}
}

int
service_fail(const struct service_reading *rd, struct text status, bool retry, struct text message)
{
	struct message m;
	int r;

	message_make(&m, message, rd->key);
	r = web_answer_failure(rd->ret, status, "%.*s", (int)m.len, m.bytes);
	if (r == 0)
		*rd->ret_retry = retry;
	return r;
}

int
service_fail_because(const struct service_reading *rd, struct text status, bool retry, const char *format,
		     ...)
{
	char text[512];
	va_list ap;
	int n = snprintf(text, sizeof(text), "%s: ", rd->name.at);

	va_start(ap, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, ap);
	va_end(ap);
	return service_fail(rd, status, retry, text_of(text));
}

int
service_fail_http(const struct service_reading *rd, unsigned int http_status, struct text message)
{
	struct text status = TEXT("UNKNOWN_ERROR");
	bool retry = http_status == 408 || http_status == 429 || http_status >= 500;

	if (http_status >= 300 && http_status < 400)
		return service_fail_because(rd, status, false,
					    "the service redirects to another place (HTTP status %u)",
					    http_status);
	if (http_status == 400)
		status = TEXT("INVALID_REQUEST");
	else if (http_status == 401 || http_status == 403 || http_status == 407)
		status = TEXT("REQUEST_DENIED");
	else if (http_status == 429)
		status = TEXT("OVER_QUERY_LIMIT");
	if (message.len)
		return service_fail(rd, status, retry, message);
	return service_fail_because(rd, status, retry, "the service answers with HTTP status %u",
				    http_status);
}

/* --- answers ---------------------------------------------------------------------- */

int
service_parse(const struct service_reading *rd, struct text body, struct json_object **ret)
{
	CLEANUP(tree_putp) struct json_object *root = NULL;
	const char *why = NULL;

	*ret = NULL;
	if (tree_parse(body, &root, &why) != 0)
		return service_fail_because(rd, TEXT("UNKNOWN_ERROR"), false,
					    "the answer is not JSON as it should be: %s", why);
	if (!json_object_is_type(root, json_type_object))
		return service_fail_because(rd, TEXT("UNKNOWN_ERROR"), false,
					    "the answer is not an object of JSON");
	*ret = root;
	root = NULL;
	return 0;
}

static bool
buffer_has_key(const struct buffer *b, struct text key)
{
	return b->len > 0 && has_key((struct text){b->bytes, b->len}, key);
}

static bool
draft_has_key(const struct web_draft *d, struct text key)
{
	return buffer_has_key(&d->places, key) || buffer_has_key(&d->attributions.out, key) ||
	       buffer_has_key(&d->members.out, key);
}

int
service_answer(const struct service_reading *rd, const struct web_draft *d)
{
	int r;

	if (rd->key.len >= ECHO_MIN && draft_has_key(d, rd->key))
		return service_fail_because(rd, TEXT("UNKNOWN_ERROR"), false, "the answer has our key in it");
	r = web_answer_new(rd->ret, d);
	if (r == -EMSGSIZE)
		return service_fail_because(rd, TEXT("UNKNOWN_ERROR"), false,
					    "the answer has more attributions than can be passed on");
	if (r == 0)
		*rd->ret_retry = false;
	return r;
}
