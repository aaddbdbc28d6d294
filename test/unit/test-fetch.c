/* Tests of places/fetch.h: with a server that does everything a server may do wrong. */
#include "unit.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../web-help.h"
#include "base/clock.h"
#include "places/fetch.h"

/* 64 KB of zeros. */
#define GZIP_BOMB                                                                          \
	"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x01\x01\x00\x00\x00\x80\x90\xfe" \
	"\xaf\xee\x08\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x6a\xeb\x8e\x97\xd7\x00\x00\x01\x00"
/* "hello", packed twice. */
#define GZIP_GZIP                                                                          \
	"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x93\xef\xe6\x60\x00\x01\x26\xe6\xd3\x1e" \
	"\x67\x4f\x9e\x64\x67\x68\x5b\x26\x60\xc6\x0a\x14\x00\x00\xa7\x6f\xb4\x45\x19\x00" \
	"\x00\x00"
#define SECRET "AIzaSy-not-for-anybody"

static const struct web_says says[] = {
	{"/ok", TEXT("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"),
	 0},
	{"/late", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), WEB_LATE},
	{"/none", TEXT("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"), 0},
	{"/silent", TEXT(""), 0},
	{"/drip",
	 TEXT("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello, hello, hello, hello, hello, hello"),
	 WEB_DRIPS},
	{"/short", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"), WEB_CLOSES},
	{"/short-reset", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"), WEB_RESETS},
	{"/short-chunk", TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello"),
	 WEB_CLOSES},
	{"/bad-chunk", TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello"), WEB_CLOSES},
	{"/until-end", TEXT("HTTP/1.1 200 OK\r\n\r\nhello"), WEB_CLOSES},
	{"/garbage", TEXT("\1\2\3 what do you want?\n\n"), WEB_CLOSES},
	{"/close", TEXT(""), WEB_CLOSES},
	{"/reset", TEXT(""), WEB_RESETS},
	{"/big", TEXT("HTTP/1.1 200 OK\r\n\r\nhello hello hello hello hello hello hello"), WEB_FLOODS},
	{"/headers",
	 TEXT("HTTP/1.1 200 OK\r\nX-A: b\r\nX-C: ddddddddddddddddddddddddddddddddddddddddddd\r\n"),
	 WEB_FLOODS},
	{"/continue", TEXT("HTTP/1.1 100 Continue\r\n\r\n"), WEB_FLOODS},
	{"/long", TEXT("HTTP/1.1 200 OK"), WEB_FLOODS},
	{"/bomb", TEXT("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 96\r\n\r\n" GZIP_BOMB),
	 0},
	{"/bad-gzip", TEXT("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"), 0},
	{"/br", TEXT("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nhello"), 0},
	{"/gzip-gzip",
	 TEXT("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 42\r\n\r\n" GZIP_GZIP), 0},
	{"/gzip-twice",
	 TEXT("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: "
	      "42\r\n\r\n" GZIP_GZIP),
	 0},
	{"/transfer-gzip",
	 TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), 0},
	{"/redirect", TEXT("HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n"), 0},
	{"/busy", TEXT("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"), 0},
	{"/busy-until",
	 TEXT("HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 2999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n"),
	 0},
	{"/busy-once",
	 TEXT("HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n"),
	 0},
	{"/busy-odd", TEXT("HTTP/1.1 503 Busy\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n"), 0},
	{"/echo", TEXT(""), WEB_ECHOES},
	{"http://far-away.invalid/echo", TEXT(""), WEB_ECHOES}, /* as a proxy is asked */
	{NULL, TEXT(""), 0},
};

/* --- asking --------------------------------------------------------------------------- */

struct place {
	struct loop *loop;
	struct web web;
	struct fetch *fetch;
};

struct heard {
	unsigned int calls;
	bool is_cancelled;
	struct fetch_answer answer;
	char body[2048], error[512], type[128];
	void (*then)(struct heard *h); /* NULL: nothing */
	struct place *place;
	struct fetch_request *request;
	struct heard *other;
};

static const struct fetch_options plain = {.connections_max = 3, .user_agent = "herd/0"};

static int
open_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_int_equal(loop_new(&p->loop), 0);
	web_open(&p->web, loop_base(p->loop), says, NULL);
	assert_int_equal(fetch_new(&p->fetch, loop_base(p->loop), &plain), 0);
	*state = p;
	return 0;
}

static int
close_place(void **state)
{
	struct place *p = *state;

	fetch_free(p->fetch);
	web_close(&p->web);
	loop_free(p->loop);
	free(p);
	return 0;
}

static void
hear(void *arg, const struct fetch_answer *answer)
{
	struct heard *h = arg;

	assert_false(h->is_cancelled);
	h->calls++;
	h->answer = *answer;
	assert_true(answer->body.len < sizeof(h->body));
	if (answer->body.len)
		memcpy(h->body, answer->body.at, answer->body.len);
	h->body[answer->body.len] = '\0';
	snprintf(h->error, sizeof(h->error), "%s", answer->error);
	snprintf(h->type, sizeof(h->type), "%s", answer->content_type);
	assert_int_equal(*answer->error == '\0', answer->result == FETCH_DONE);
	assert_null(strstr(answer->error, SECRET));
	assert_true(text_is_printable(text_of(answer->error)));
	if (answer->result != FETCH_DONE) {
		assert_int_equal(answer->status, 0);
		assert_int_equal(answer->body.len, 0);
	}
	if (h->then)
		h->then(h);
}

static struct fetch_question
about(char url[256], struct place *p, const char *path)
{
	snprintf(url, 256, "http://127.0.0.1:%u%s", web_port(&p->web), path);
	return (struct fetch_question){
		.url = url,
		.answer_max = 1000,
		.timeout_ns = 5 * CLOCK_SECOND_NS,
		.connect_timeout_ns = 3 * CLOCK_SECOND_NS,
	};
}

static void
ask(struct place *p, struct heard *h, const char *path)
{
	char url[256];
	struct fetch_question q = about(url, p, path);

	h->place = p;
	assert_int_equal(fetch_start(&h->request, p->fetch, &q, hear, h), 0);
	assert_int_equal(h->calls, 0);
}

/* Runs the loop until so many calls were heard; ten seconds at most. */
static void
await(struct place *p, const struct heard *h, size_t count, unsigned int calls)
{
	int64_t end = clock_monotonic_ns() + 10 * CLOCK_SECOND_NS;
	unsigned int heard;

	do {
		struct timeval tick = {0, 50000};

		event_base_loopexit(loop_base(p->loop), &tick);
		event_base_loop(loop_base(p->loop), EVLOOP_ONCE);
		heard = 0;
		for (size_t i = 0; i < count; i++)
			heard += h[i].calls;
	} while (heard < calls && clock_monotonic_ns() < end);
	assert_int_equal(heard, calls);
}

static void
run_for(struct place *p, int64_t ns)
{
	int64_t end = clock_monotonic_ns() + ns;

	while (clock_monotonic_ns() < end) {
		struct timeval tick = {0, 5000};

		event_base_loopexit(loop_base(p->loop), &tick);
		event_base_loop(loop_base(p->loop), EVLOOP_ONCE);
	}
}

/* Runs the loop until it is so; ten seconds at most. */
#define AWAIT(p, condition)                                                      \
	do {                                                                     \
		for (int64_t end_ = clock_monotonic_ns() + 10 * CLOCK_SECOND_NS; \
		     !(condition) && clock_monotonic_ns() < end_;)               \
			run_for(p, CLOCK_MSEC_NS);                               \
		assert_true(condition);                                          \
	} while (0)

static void
ask_and_wait(struct place *p, struct heard *h, const char *path)
{
	*h = (struct heard){0};
	ask(p, h, path);
	await(p, h, 1, 1);
}

/* --- answers ----------------------------------------------------------------------------- */

static void
test_done(void **state)
{
	struct place *p = *state;
	struct fetch_counts counts;
	struct heard h;

	ask_and_wait(p, &h, "/ok");
	assert_int_equal(h.answer.result, FETCH_DONE);
	assert_int_equal(h.answer.status, 200);
	assert_string_equal(h.body, "hello");
	assert_string_equal(h.type, "application/json");
	assert_int_equal(h.answer.retry_after_ns, -1);
	assert_false(h.answer.connection_reused);
	ask_and_wait(p, &h, "/none");
	assert_int_equal(h.answer.result, FETCH_DONE);
	assert_int_equal(h.answer.status, 404);
	assert_string_equal(h.body, "no");
	assert_string_equal(h.type, "");
	assert_true(h.answer.connection_reused);
	ask_and_wait(p, &h, "/until-end");
	assert_string_equal(h.body, "hello");
	counts = fetch_counts(p->fetch);
	assert_int_equal(counts.started, 3);
	assert_int_equal(counts.done, 3);
	assert_int_equal(counts.failed, 0);
	assert_int_equal(counts.connections, 1);
	assert_int_equal(counts.under_way + counts.waiting, 0);
}

static void
test_what_is_sent(void **state)
{
	struct place *p = *state;
	const struct fetch_header headers[] = {
		{TEXT("X-Goog-Api-Key"), TEXT(SECRET)},
		{TEXT("User-Agent"), TEXT("herd/0 (+somebody)")},
	};
	struct heard h = {0};
	char url[256];
	struct fetch_question q = about(url, p, "/echo?a=b");

	q.headers = headers;
	q.header_count = 2;
	q.content_type = "text/plain";
	q.body = TEXT("one\0two");
	assert_int_equal(fetch_start(&h.request, p->fetch, &q, hear, &h), 0);
	memset(url, 'x', sizeof(url) - 1); /* it has a copy */
	await(p, &h, 1, 1);
	assert_memory_equal(h.body, "POST /echo?a=b HTTP/1.1\r\n", 25);
	assert_non_null(strstr(h.body, "\r\nX-Goog-Api-Key: " SECRET "\r\n"));
	assert_non_null(strstr(h.body, "\r\nUser-Agent: herd/0 (+somebody)\r\n"));
	assert_null(strstr(h.body, "herd/0\r\n"));
	assert_non_null(strstr(h.body, "\r\nContent-Type: text/plain\r\n"));
	assert_non_null(strstr(h.body, "\r\nContent-Length: 7\r\n"));
	assert_non_null(strstr(h.body, "\r\nAccept-Encoding: gzip\r\n"));
	assert_null(strstr(h.body, "Expect"));
	assert_null(strstr(h.body, "Cookie"));
	assert_memory_equal(h.body + h.answer.body.len - 7, "one\0two", 7);

	/* The same handle and connection, but nothing is left of the request before. */
	ask_and_wait(p, &h, "/echo");
	assert_memory_equal(h.body, "GET /echo HTTP/1.1\r\n", 20);
	assert_null(strstr(h.body, "Content-"));
	assert_null(strstr(h.body, "X-Goog"));
	assert_non_null(strstr(h.body, "\r\nUser-Agent: herd/0\r\n"));
	assert_true(h.answer.connection_reused);
}

static void
test_body_of_nothing(void **state)
{
	struct place *p = *state;
	struct heard h = {0};
	char url[256];
	struct fetch_question q = about(url, p, "/echo");

	q.content_type = "text/plain";
	assert_int_equal(fetch_start(&h.request, p->fetch, &q, hear, &h), 0);
	await(p, &h, 1, 1);
	assert_memory_equal(h.body, "POST", 4);
	assert_non_null(strstr(h.body, "\r\nContent-Length: 0\r\n"));
}

static void
test_retry_after(void **state)
{
	struct place *p = *state;
	struct heard h;

	ask_and_wait(p, &h, "/busy");
	assert_int_equal(h.answer.status, 429);
	assert_int_equal(h.answer.retry_after_ns, 7 * CLOCK_SECOND_NS);
	ask_and_wait(p, &h, "/busy-until");
	assert_int_equal(h.answer.status, 503);
	assert_int_equal(h.answer.retry_after_ns, 86400 * CLOCK_SECOND_NS);
	ask_and_wait(p, &h, "/busy-once");
	assert_int_equal(h.answer.retry_after_ns, 0);
	ask_and_wait(p, &h, "/busy-odd");
	assert_int_equal(h.answer.retry_after_ns, -1);
}

static void
test_no_redirect(void **state)
{
	struct place *p = *state;
	struct heard h;

	ask_and_wait(p, &h, "/redirect");
	assert_int_equal(h.answer.result, FETCH_DONE);
	assert_int_equal(h.answer.status, 302);
	assert_int_equal(p->web.asked, 1);
}

/* --- what is no answer ------------------------------------------------------------------------ */

static void
test_bad_answers(void **state)
{
	static const struct {
		const char *path;
		enum fetch_result result;
	} bad[] = {
		{"/short", FETCH_BROKEN},	  {"/short-reset", FETCH_BROKEN},
		{"/short-chunk", FETCH_BROKEN},	  {"/bad-chunk", FETCH_BROKEN},
		{"/garbage", FETCH_BROKEN},	  {"/close", FETCH_UNREACHABLE},
		{"/reset", FETCH_UNREACHABLE},	  {"/big", FETCH_TOO_BIG},
		{"/headers", FETCH_BROKEN},	  {"/continue", FETCH_BROKEN},
		{"/long", FETCH_BROKEN},	  {"/bomb", FETCH_TOO_BIG},
		{"/bad-gzip", FETCH_BROKEN},	  {"/br", FETCH_BROKEN},
		{"/gzip-gzip", FETCH_BROKEN},	  {"/gzip-twice", FETCH_BROKEN},
		{"/transfer-gzip", FETCH_BROKEN},
	};
	struct place *p = *state;
	struct heard h;

	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		ask_and_wait(p, &h, bad[i].path);
		if (h.answer.result != bad[i].result)
			print_message("%s: %d %s\n", bad[i].path, (int)h.answer.result, h.error);
		assert_int_equal(h.answer.result, bad[i].result);
		ask_and_wait(p, &h, "/ok"); /* nothing else is disturbed */
		assert_string_equal(h.body, "hello");
	}
	assert_int_equal(fetch_counts(p->fetch).failed, ELEMENTS(bad));
	assert_int_equal(fetch_counts(p->fetch).done, ELEMENTS(bad));
}

static void
test_bound_is_exact(void **state)
{
	struct place *p = *state;
	char url[256];
	struct fetch_question q = about(url, p, "/ok");
	struct heard h[2] = {{0}};

	q.answer_max = 5;
	assert_int_equal(fetch_start(&h[0].request, p->fetch, &q, hear, &h[0]), 0);
	q.answer_max = 4;
	assert_int_equal(fetch_start(&h[1].request, p->fetch, &q, hear, &h[1]), 0);
	await(p, h, 2, 2);
	assert_int_equal(h[0].answer.result, FETCH_DONE);
	assert_int_equal(h[1].answer.result, FETCH_TOO_BIG);
}

enum { TIMEOUT_MS = 400 };

/* How long an answer took in the end. */
static void
expect_timeout(struct place *p, const char *path, const char *why)
{
	int64_t start = clock_monotonic_ns(), took;
	char url[256];
	struct fetch_question q = about(url, p, path);
	struct heard h = {0};

	q.timeout_ns = TIMEOUT_MS * CLOCK_MSEC_NS;
	assert_int_equal(fetch_start(&h.request, p->fetch, &q, hear, &h), 0);
	await(p, &h, 1, 1);
	took = clock_monotonic_ns() - start;
	assert_int_equal(h.answer.result, FETCH_TIMEOUT);
	assert_string_equal(h.error, why);
	assert_true(took >= (TIMEOUT_MS - 10) * CLOCK_MSEC_NS && took < 2 * CLOCK_SECOND_NS);
}

static void
test_timeouts(void **state)
{
	struct place *p = *state;
	struct heard h[3] = {{0}};

	expect_timeout(p, "/silent", "no complete answer within 400 ms");
	expect_timeout(p, "/drip", "no complete answer within 400 ms");
	for (size_t i = 0; i < 3; i++)
		ask(p, &h[i], "/silent");
	AWAIT(p, fetch_counts(p->fetch).under_way == 3);
	expect_timeout(p, "/ok", "no connection was free within 400 ms");
	for (size_t i = 0; i < 3; i++)
		fetch_cancel(h[i].request);
}

static void
test_unreachable(void **state)
{
	struct place *p = *state;
	const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct web deaf = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	char url[256];
	struct fetch_question q = about(url, p, "");
	struct heard h = {0};

	/* Nobody listens there, and nobody else can have the port meanwhile. */
	assert_int_equal(bind(deaf.fd, (const struct sockaddr *)&any, sizeof(any)), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/ok?key=" SECRET, web_port(&deaf));
	assert_int_equal(fetch_start(&h.request, p->fetch, &q, hear, &h), 0);
	await(p, &h, 1, 1);
	assert_int_equal(h.answer.result, FETCH_UNREACHABLE);
	close(deaf.fd);
	h.calls = 0;
	q.url = "http://there-is-nothing.invalid/ok?key=" SECRET;
	assert_int_equal(fetch_start(&h.request, p->fetch, &q, hear, &h), 0);
	await(p, &h, 1, 1);
	assert_int_equal(h.answer.result, FETCH_UNREACHABLE);
}

/* A backlog that is full does not answer. */
static void
test_connect_timeout(void **state)
{
	struct place *p = *state;
	const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in here;
	socklen_t len = sizeof(here);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), fillers[8];
	char url[256];
	struct fetch_question q = about(url, p, "");
	struct heard h = {0};

	assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &len), 0);
	for (size_t i = 0; i < ELEMENTS(fillers); i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fillers[i], (struct sockaddr *)&here, len);
	}
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(here.sin_port));
	q.connect_timeout_ns = 100 * CLOCK_MSEC_NS;
	assert_int_equal(fetch_start(&h.request, p->fetch, &q, hear, &h), 0);
	await(p, &h, 1, 1);
	assert_int_equal(h.answer.result, FETCH_TIMEOUT);
	for (size_t i = 0; i < ELEMENTS(fillers); i++)
		close(fillers[i]);
	close(fd);
}

static void
test_bad_questions(void **state)
{
	static const char *const bad[] = {
		"",
		"ftp://127.0.0.1/",
		"file:///etc/passwd",
		"http://",
		"http:///x",
		"https://?",
		"http://a b/",
		"http://a/\n",
		"http://me:secret@127.0.0.1/",
		"//127.0.0.1/",
		"gopher://127.0.0.1",
		"http://\xc3\xa4/",
	};
	static const struct fetch_header bad_headers[] = {
		{TEXT(""), TEXT("a")},		{TEXT("A:"), TEXT("a")},  {TEXT("A"), TEXT("")},
		{TEXT("A"), TEXT("a\r\nB: b")}, {TEXT("A\n"), TEXT("a")}, {TEXT("A"), TEXT("a\0b")},
	};
	struct place *p = *state;
	char url[256];
	struct fetch_question q = about(url, p, "/ok");
	struct fetch_request *request = NULL;

	for (size_t i = 0; i < ELEMENTS(bad_headers); i++) {
		q.headers = &bad_headers[i];
		q.header_count = 1;
		assert_int_equal(fetch_start(&request, p->fetch, &q, hear, NULL), -EINVAL);
	}
	q.header_count = 0;
	q.content_type = "a\nb";
	assert_int_equal(fetch_start(&request, p->fetch, &q, hear, NULL), -EINVAL);
	q.content_type = NULL;
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		q.url = bad[i];
		assert_int_equal(fetch_start(&request, p->fetch, &q, hear, NULL), -EINVAL);
	}
	assert_null(request);
	assert_int_equal(fetch_counts(p->fetch).started, 0);
}

/* --- many -------------------------------------------------------------------------------------- */

enum { CROWD = 200 };

static void
test_few_connections(void **state)
{
	struct place *p = *state;
	struct heard *h = calloc(CROWD, sizeof(*h));

	for (size_t i = 0; i < CROWD; i++)
		ask(p, &h[i], "/ok");
	assert_int_equal(fetch_counts(p->fetch).waiting, CROWD);
	await(p, h, CROWD, CROWD);
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(h[i].answer.status, 200);
	assert_true(p->web.accepted <= 3);
	assert_int_equal(fetch_counts(p->fetch).connections, p->web.accepted);
	assert_int_equal(p->web.asked, CROWD);
	free(h);
}

static void
test_all_connections_are_used(void **state)
{
	struct place *p = *state;
	struct heard h[6] = {{0}};

	for (size_t i = 0; i < ELEMENTS(h); i++)
		ask(p, &h[i], "/silent");
	AWAIT(p, p->web.asked == 3);
	run_for(p, 50 * CLOCK_MSEC_NS);
	assert_int_equal(p->web.asked, 3);
	assert_int_equal(fetch_counts(p->fetch).under_way, 3);
	assert_int_equal(fetch_counts(p->fetch).waiting, 3);
	fetch_cancel(h[1].request); /* makes room for one */
	AWAIT(p, p->web.asked == 4 && p->web.here == 3);
	run_for(p, 50 * CLOCK_MSEC_NS);
	assert_int_equal(p->web.asked, 4);
	assert_int_equal(p->web.here, 3);
}

static void
test_another_server_gets_its_turn(void **state)
{
	struct place *p = *state;
	struct web other;
	struct heard h[5] = {{0}};
	char url[256];
	struct fetch_question q = about(url, p, "");

	web_open(&other, loop_base(p->loop), says, NULL);
	for (size_t i = 0; i < 4; i++)
		ask(p, &h[i], "/late");
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/ok", web_port(&other));
	assert_int_equal(fetch_start(&h[4].request, p->fetch, &q, hear, &h[4]), 0);
	await(p, h, ELEMENTS(h), ELEMENTS(h));
	assert_int_equal(h[4].answer.status, 200);
	assert_int_equal(p->web.asked, 4);
	web_close(&other);
}

static void
test_settings_change(void **state)
{
	const struct fetch_options one = {.connections_max = 1, .user_agent = "herd/1"};
	struct place *p = *state;
	struct heard h[2] = {{0}};

	ask_and_wait(p, &h[0], "/echo");
	assert_non_null(strstr(h[0].body, "herd/0\r\n"));
	h[0].calls = 0;
	ask(p, &h[0], "/late");
	AWAIT(p, p->web.asked == 2); /* on the way already */
	assert_int_equal(fetch_configure(p->fetch, &one), 0);
	ask(p, &h[1], "/echo");
	await(p, h, 2, 2);
	assert_string_equal(h[0].body, "hello");
	assert_non_null(strstr(h[1].body, "herd/1\r\n"));
	assert_false(h[1].answer.connection_reused);
	AWAIT(p, p->web.here == 1); /* the older connection is closed */
	for (int i = 0; i < 20; i++)
		assert_int_equal(fetch_configure(p->fetch, &one), 0);
}

/* The environment does not say who is asked without it. */
static void
test_proxy(void **state)
{
	struct place *p = *state;
	char proxy[64], url[256];
	const struct fetch_options options = {.connections_max = 1, .proxy = proxy};
	struct fetch_question q = about(url, p, "");
	struct heard h = {0};

	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", web_port(&p->web));
	assert_int_equal(setenv("no_proxy", "*", 1), 0);
	assert_int_equal(setenv("NO_PROXY", "*", 1), 0);
	assert_int_equal(fetch_configure(p->fetch, &options), 0);
	q.url = "http://far-away.invalid/echo";
	assert_int_equal(fetch_start(&h.request, p->fetch, &q, hear, &h), 0);
	await(p, &h, 1, 1);
	assert_int_equal(h.answer.result, FETCH_DONE);
	assert_memory_equal(h.body, "GET http://far-away.invalid/echo HTTP/1.1\r\n", 43);
	assert_int_equal(unsetenv("no_proxy") | unsetenv("NO_PROXY"), 0);
}

/* --- giving up ------------------------------------------------------------------------------------ */

static void
test_cancel(void **state)
{
	struct place *p = *state;
	struct heard h[4] = {{0}};

	fetch_cancel(NULL);
	ask(p, &h[0], "/ok");
	fetch_cancel(h[0].request); /* waiting */
	ask(p, &h[1], "/silent");
	ask(p, &h[2], "/drip");
	AWAIT(p, p->web.asked == 2);
	fetch_cancel(h[1].request); /* under way */
	fetch_cancel(h[2].request);
	ask(p, &h[3], "/ok");
	await(p, h, 4, 1);
	assert_int_equal(h[3].calls, 1);
	assert_int_equal(fetch_counts(p->fetch).started, 4);
	assert_int_equal(fetch_counts(p->fetch).done, 1);
	assert_int_equal(fetch_counts(p->fetch).failed, 0);
}

static void
cancel_other(struct heard *h)
{
	if (h->other->calls > 0)
		return;
	fetch_cancel(h->other->request);
	h->other->is_cancelled = true;
}

/* Whichever comes first cancels another one: waiting, under way, or ended in the same moment. */
static void
test_cancel_in_callback(void **state)
{
	struct place *p = *state;
	struct heard h[30] = {{0}};

	for (size_t i = 0; i < ELEMENTS(h); i++) {
		ask(p, &h[i], i % 2 ? "/late" : "/ok");
		h[i].other = &h[(i * 7 + 1) % ELEMENTS(h)];
		h[i].then = cancel_other;
	}
	AWAIT(p, fetch_counts(p->fetch).under_way + fetch_counts(p->fetch).waiting == 0);
	run_for(p, 50 * CLOCK_MSEC_NS); /* and nobody is called again */
	for (size_t i = 0; i < ELEMENTS(h); i++)
		assert_true(h[i].is_cancelled == (h[i].calls == 0));
	assert_int_equal(fetch_counts(p->fetch).under_way, 0);
	assert_int_equal(fetch_counts(p->fetch).waiting, 0);
}

static void
ask_again(struct heard *h)
{
	if (h->calls < 50) {
		unsigned int calls = h->calls;

		h->calls = 0;
		ask(h->place, h, "/ok"); /* not answered at once */
		h->calls = calls;
	}
}

static void
test_start_in_callback(void **state)
{
	struct place *p = *state;
	struct heard h = {.then = ask_again};

	ask(p, &h, "/ok");
	await(p, &h, 1, 50);
	assert_int_equal(p->web.accepted, 1);
}

static void
take_long(struct heard *h)
{
	const struct timespec pause = {.tv_nsec = CLOCK_MSEC_NS};

	(void)h;
	nanosleep(&pause, NULL);
}

/* What ended in the same moment is not told in the same turn of the loop, if that takes long. */
static void
test_short_turns(void **state)
{
	const struct fetch_options no_tls = {
		.connections_max = 3, .ca_file = "/no/such/file", .user_agent = "herd/0"};
	struct place *p = *state;
	struct heard h[5] = {{0}};
	unsigned int heard = 0;

	assert_int_equal(fetch_configure(p->fetch, &no_tls), 0);
	for (size_t i = 0; i < ELEMENTS(h); i++) {
		struct fetch_question q = {.url = "https://127.0.0.1",
					   .answer_max = 1000,
					   .timeout_ns = 5 * CLOCK_SECOND_NS,
					   .connect_timeout_ns = CLOCK_SECOND_NS};

		h[i].place = p;
		h[i].then = take_long;
		assert_int_equal(fetch_start(&h[i].request, p->fetch, &q, hear, &h[i]), 0);
	}
	for (int turn = 0; turn < 1000 && heard < ELEMENTS(h); turn++) {
		unsigned int before = heard;

		event_base_loop(loop_base(p->loop), EVLOOP_ONCE);
		heard = 0;
		for (size_t i = 0; i < ELEMENTS(h); i++)
			heard += h[i].calls;
		assert_in_range(heard - before, 0, 1);
	}
	assert_int_equal(heard, ELEMENTS(h));
}

static void
free_all(struct heard *h)
{
	h->place->fetch = fetch_free(h->place->fetch);
}

static void
test_free_in_callback(void **state)
{
	struct place *p = *state;
	struct heard h[9] = {{0}};

	for (size_t i = 0; i < ELEMENTS(h); i++) {
		ask(p, &h[i], "/late");
		h[i].then = free_all;
	}
	await(p, h, ELEMENTS(h), 1);
	run_for(p, 50 * CLOCK_MSEC_NS);
	assert_null(p->fetch);
}

static void
test_free_under_way(void **state)
{
	const struct fetch_options many = {.connections_max = 100, .user_agent = "herd/0"};
	enum { COUNT = 3000 };
	struct place *p = *state;
	struct heard *h = calloc(COUNT, sizeof(*h));

	assert_int_equal(fetch_configure(p->fetch, &many), 0);
	for (size_t i = 0; i < COUNT; i++)
		ask(p, &h[i], "/silent");
	AWAIT(p, fetch_counts(p->fetch).under_way == 100 && p->web.asked > 0);
	p->fetch = fetch_free(p->fetch);
	AWAIT(p, p->web.here == 0);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(h[i].calls, 0);
	free(h);
	assert_null(fetch_free(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_done, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_what_is_sent, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_body_of_nothing, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_retry_after, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_no_redirect, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_bad_answers, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_bound_is_exact, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_timeouts, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_unreachable, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_connect_timeout, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_bad_questions, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_few_connections, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_all_connections_are_used, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_another_server_gets_its_turn, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_settings_change, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_proxy, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_cancel, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_cancel_in_callback, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_start_in_callback, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_short_turns, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_free_in_callback, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_free_under_way, open_place, close_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
