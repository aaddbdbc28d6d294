/*
 * One question as curl gets it, and what its answer means. Everything that
 * comes is hostile: headers are counted, the body is cut at its bound, and of
 * encodings only what was asked for is taken, once: several around each other
 * could keep inflating for hours without a byte of body.
 *
 * curl's words about a failure are kept, unless the question's own words are in
 * them: what is in a header or a query may be a key.
 */
#include <errno.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digits.h"
#include "places/fetch-origin.h"

enum {
	HEADER_BYTES_MAX = 64 << 10, /* of one answer, 100 Continue and trailers too */
	URL_MAX = 8 << 10,
	DATE_MAX = 64,
	DAY_S = 86400,
	SECRET_MIN = 4, /* a shorter text is not looked for in an error */
};

/* --- the question --------------------------------------------------------------------- */

static size_t
scheme_length(const char *url)
{
	return strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
}

struct text
request_origin(const char *url)
{
	size_t scheme = scheme_length(url);

	return (struct text){url, scheme + strcspn(url + scheme, "/?#")};
}

static bool
url_is_good(const char *url)
{
	size_t len = strnlen(url, URL_MAX + 1);
	size_t scheme = scheme_length(url);
	struct text origin;

	if (!scheme || len > URL_MAX || !text_is_printable((struct text){url, len}) || strchr(url, ' '))
		return false;
	origin = request_origin(url);
	return origin.len > scheme && !memchr(origin.at, '@', origin.len);
}

static bool
header_is_good(const struct fetch_header *header)
{
	return header->name.len > 0 && text_is_printable(header->name) &&
	       !memchr(header->name.at, ':', header->name.len) &&
	       !memchr(header->name.at, ' ', header->name.len) &&
	       !memchr(header->name.at, ';', header->name.len) && header->value.len > 0 &&
	       text_is_printable(header->value);
}

static bool
question_is_good(const struct fetch_question *q)
{
	if (!q->url || !url_is_good(q->url) || q->header_count > FETCH_HEADERS_MAX)
		return false;
	for (size_t i = 0; i < q->header_count; i++)
		if (!header_is_good(&q->headers[i]))
			return false;
	return !q->content_type || (*q->content_type && text_is_printable(text_of(q->content_type)));
}

static size_t
question_size(const struct fetch_question *q)
{
	size_t size = strlen(q->url) + 1 + sizeof("Expect:");

	for (size_t i = 0; i < q->header_count; i++)
		size += q->headers[i].name.len + 2 + q->headers[i].value.len + 1;
	if (q->content_type)
		size += sizeof("Content-Type: ") + strlen(q->content_type) + q->body.len;
	return size;
}

/* Appends a line to the list; returns the end of the copy. */
static char *
put_header(struct fetch_request *r, size_t at, char *out, struct text name, struct text value)
{
	r->headers[at].data = out;
	r->headers[at].next = NULL;
	if (at)
		r->headers[at - 1].next = &r->headers[at];
	out = text_put(out, name);
	out = text_put(out, value.len ? TEXT(": ") : TEXT(":"));
	out = text_put(out, value);
	*out++ = '\0';
	return out;
}

static void
copy_question(struct fetch_request *r, const struct fetch_question *q)
{
	char *out = r->copy;
	size_t count = 0;

	r->url = out;
	out = text_put(out, text_of(q->url));
	*out++ = '\0';
	/* Without a value: curl then does not send it, and does not wait for 100 Continue. */
	out = put_header(r, count++, out, TEXT("Expect"), TEXT(""));
	for (size_t i = 0; i < q->header_count; i++)
		out = put_header(r, count++, out, q->headers[i].name, q->headers[i].value);
	if (!q->content_type)
		return;
	out = put_header(r, count++, out, TEXT("Content-Type"), text_of(q->content_type));
	r->is_post = true;
	r->body = (struct text){out, q->body.len};
	if (q->body.len)
		memcpy(out, q->body.at, q->body.len);
}

int
request_new(struct fetch_request **ret, const struct fetch_question *question)
{
	struct fetch_request *r;

	if (!question_is_good(question))
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->copy_size = question_size(question);
	r->copy = malloc(r->copy_size);
	if (!r->copy) {
		free(r);
		return -ENOMEM;
	}
	copy_question(r, question);
	r->answer_max = question->answer_max;
	r->timeout_ns = question->timeout_ns;
	r->connect_timeout_ns = question->connect_timeout_ns;
	r->retry_after_ns = -1;
	*ret = r;
	return 0;
}

void
request_free(struct fetch_request *r)
{
	if (!r)
		return;
	explicit_bzero(r->copy, r->copy_size);
	free(r->copy);
	buffer_done(&r->got);
	r->magic = 0;
	free(r);
}

/* --- its connection ------------------------------------------------------------------------- */

/* ALPN. What goes through a proxy may not be asked; then the answer tells. */
static bool
connection_is_http2(const struct fetch_request *r)
{
	const struct curl_tlssessioninfo *tls = NULL;
	const unsigned char *name = NULL;
	unsigned int len = 0;

	if (curl_easy_getinfo(r->easy, CURLINFO_TLS_SSL_PTR, &tls) == CURLE_OK && tls &&
	    tls->backend == CURLSSLBACKEND_OPENSSL && tls->internals)
		SSL_get0_alpn_selected(tls->internals, &name, &len);
	return len == 2 && memcmp(name, "h2", 2) == 0;
}

/* It is sent. */
static void
note_connection(struct fetch_request *r)
{
	if (r->is_opening || r->has_opened || !r->origin->is_http2)
		origin_sends(r, connection_is_http2(r));
}

/* --- what comes in --------------------------------------------------------------------------- */

/* Ends the transfer. */
static size_t
refuse(struct fetch_request *r, enum fetch_result result, const char *trouble)
{
	r->result = result;
	r->trouble = trouble;
	return 0;
}

static bool
is_word(struct text t, const char *word)
{
	return t.len == strlen(word) && strncasecmp(t.at, word, t.len) == 0;
}

/* RFC 9110, 10.2.3. */
static int64_t
read_retry_after(struct text value)
{
	char date[DATE_MAX];
	const char *next = value.at;
	uint64_t wait_s;
	time_t until;

	if (value.len && digits_take(&next, value.at + value.len, 19, &wait_s) &&
	    next == value.at + value.len)
		return (int64_t)(wait_s < DAY_S ? wait_s : DAY_S) * CLOCK_SECOND_NS;
	if (value.len >= sizeof(date))
		return -1;
	*text_put(date, value) = '\0';
	until = curl_getdate(date, NULL);
	if (until < 0)
		return -1;
	wait_s = until > time(NULL) ? (uint64_t)(until - time(NULL)) : 0;
	return (int64_t)(wait_s < DAY_S ? wait_s : DAY_S) * CLOCK_SECOND_NS;
}

static size_t
on_header(char *bytes, size_t size, size_t count, void *arg)
{
	struct fetch_request *r = arg;
	struct text line = {bytes, size * count}, name, value;
	const char *colon = memchr(line.at, ':', line.len);

	r->header_bytes += line.len;
	if (r->header_bytes > HEADER_BYTES_MAX)
		return refuse(r, FETCH_BROKEN, "the answer's headers have no end");
	if (line.len > 5 && strncasecmp(line.at, "HTTP/", 5) == 0) {
		r->retry_after_ns = -1; /* what came before was 100 Continue */
		r->is_encoded = false;
#if LIBCURL_VERSION_NUM < 0x075000
		note_connection(r); /* nothing said so before */
#endif
		return line.len;
	}
	if (!colon)
		return line.len;
	name = (struct text){line.at, (size_t)(colon - line.at)};
	value = text_trim((struct text){colon + 1, line.len - name.len - 1});
	name = text_trim(name);
	if (is_word(name, "Retry-After"))
		r->retry_after_ns = read_retry_after(value);
	else if (is_word(name, "Content-Encoding") && !is_word(value, "identity")) {
		if (r->is_encoded || !(is_word(value, "gzip") || is_word(value, "x-gzip")))
			return refuse(r, FETCH_BROKEN, "the answer has an encoding that was not asked for");
		r->is_encoded = true;
	} else if (is_word(name, "Transfer-Encoding") && !is_word(value, "chunked"))
		return refuse(r, FETCH_BROKEN, "the answer has a transfer encoding that was not asked for");
	return line.len;
}

static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct fetch_request *r = arg;
	struct text part = {bytes, size * count};

	if (part.len > r->answer_max - r->got.len)
		return refuse(r, FETCH_TOO_BIG, "the answer is too big");
	r->got.max = r->answer_max;
	if (buffer_append(&r->got, part) < 0)
		return refuse(r, FETCH_FAULT, "no memory");
	return part.len;
}

/* --- going out ------------------------------------------------------------------------------ */

/* From within curl, as the next ones. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct fetch_request *r = arg;
	int fd = -1;

	(void)purpose;
	if (r->state == REQUEST_UNDER_WAY)
		fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	engine_count(r->engine);
	if (origin_opened(r, fd) < 0) {
		close(fd);
		return CURL_SOCKET_BAD;
	}
	return fd;
}

/* Whoever opened it may be gone. */
static int
close_socket(void *arg, curl_socket_t fd)
{
	origin_closed(arg, fd);
	return close(fd);
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* There is a connection, and the request goes out now. */
static int
on_connected(void *arg, char *to, char *from, int to_port, int from_port)
{
	(void)to;
	(void)from;
	(void)to_port;
	(void)from_port;
	note_connection(arg);
	return CURL_PREREQFUNC_OK;
}
#endif

/* --- handing over -------------------------------------------------------------------------------- */

static long
whole_ms(int64_t ns)
{
	int64_t ms = (ns + CLOCK_MSEC_NS - 1) / CLOCK_MSEC_NS;

	return ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (long)ms;
}

int
request_prepare(struct fetch_request *r)
{
	CURL *easy = r->easy;
	/* To wait and see whether a new connection carries more than one. Only TLS can tell before the first answer. */
	long waits = !ENGINE_IS_OLD && strncmp(r->url, "https", 5) == 0;
	/* The old one would wait for the name first; there the deadline alone counts. */
	long connect_ms = ENGINE_IS_OLD ? 0 : whole_ms(r->connect_timeout_ns);
	bool done = curl_easy_setopt(easy, CURLOPT_PRIVATE, r) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_URL, r->url) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->headers) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, waits) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->curl_error) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, r) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, r->origin) == CURLE_OK &&
#if LIBCURL_VERSION_NUM >= 0x075000
		    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_PREREQDATA, r) == CURLE_OK &&
#endif
		    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_HEADERDATA, r) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
		    curl_easy_setopt(easy, CURLOPT_WRITEDATA, r) == CURLE_OK;

	if (done && !r->is_post)
		done = curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
	else if (done)
		done = curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
		       curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len) ==
			       CURLE_OK &&
		       curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body.at) == CURLE_OK;
	return done ? 0 : -ENOMEM;
}

/* --- what it means ---------------------------------------------------------------------------- */

static enum fetch_result
read_code(CURLcode code, bool has_begun)
{
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return FETCH_TIMEOUT;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_PROXY:
	case CURLE_GOT_NOTHING:
		return FETCH_UNREACHABLE;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return has_begun ? FETCH_BROKEN : FETCH_UNREACHABLE;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return FETCH_TLS;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_FAILED_INIT:
	case CURLE_URL_MALFORMAT:
	case CURLE_NOT_BUILT_IN:
	case CURLE_BAD_FUNCTION_ARGUMENT:
		return FETCH_FAULT;
	default:
		return FETCH_BROKEN;
	}
}

/* A word of the question that could be a key is in the text. */
static bool
gives_away(const struct fetch_request *r, const char *text)
{
	const char *query = strchr(r->url, '?');

	for (const char *at = query; at && *at; at += strcspn(at, "&")) {
		struct text value = {++at, 0}; /* or the name, where there is no value */

		value.at += strcspn(at, "=&");
		value.at = *value.at == '=' ? value.at + 1 : at;
		value.len = strcspn(value.at, "&");
		if (value.len >= SECRET_MIN && memmem(text, strlen(text), value.at, value.len))
			return true;
	}
	for (const struct curl_slist *h = r->headers; h; h = h->next) {
		const char *value = strchr(h->data, ':') + 1;

		value += strspn(value, " ");
		if (strlen(value) >= SECRET_MIN && strstr(text, value))
			return true;
	}
	return false;
}

static void
make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

void
request_fail(struct fetch_request *r, enum fetch_result result, const char *format, ...)
{
	va_list args;

	r->result = result;
	va_start(args, format);
	(void)vsnprintf(r->error, sizeof(r->error), format, args);
	va_end(args);
	make_printable(r->error);
}

void
request_judge(struct fetch_request *r, CURLcode code)
{
	long status = 0, connects = 1, version = 0;
	curl_off_t begun_us = 0;
	const char *type = NULL;

	if (r->trouble) {
		request_fail(r, r->result, "%s", r->trouble);
		return;
	}
	/* What curl says of a line longer than it takes. */
	if (code == CURLE_OUT_OF_MEMORY &&
	    curl_easy_getinfo(r->easy, CURLINFO_STARTTRANSFER_TIME_T, &begun_us) == CURLE_OK &&
	    begun_us > 0) {
		request_fail(r, FETCH_BROKEN, "the answer has a line without an end");
		return;
	}
	if (code != CURLE_OK) {
		const char *why = *r->curl_error ? r->curl_error : curl_easy_strerror(code);

		request_fail(r, read_code(code, r->header_bytes > 0), "%s",
			     gives_away(r, why) ? curl_easy_strerror(code) : why);
		return;
	}
	(void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(r->easy, CURLINFO_NUM_CONNECTS, &connects);
	(void)curl_easy_getinfo(r->easy, CURLINFO_HTTP_VERSION, &version);
	(void)curl_easy_getinfo(r->easy, CURLINFO_CONTENT_TYPE, &type);
	if (status < 100 || status > 999) {
		request_fail(r, FETCH_BROKEN, "the answer has no status");
		return;
	}
	r->result = FETCH_DONE;
	r->status = (unsigned int)status;
	(void)snprintf(r->content_type, sizeof(r->content_type), "%s", type ? type : "");
	r->reused = connects == 0;
	r->is_http2 = version >= CURL_HTTP_VERSION_2_0;
}

void
request_tell(struct fetch_request *r)
{
	struct fetch_answer answer = {.result = r->result, .retry_after_ns = -1, .content_type = ""};

	answer.error = r->error;
	if (r->result == FETCH_DONE) {
		answer.status = r->status;
		answer.body = (struct text){r->got.bytes ? r->got.bytes : "", r->got.len};
		answer.retry_after_ns = r->retry_after_ns;
		answer.connection_reused = r->reused;
		answer.content_type = r->content_type;
	}
	r->answered(r->arg, &answer);
}
