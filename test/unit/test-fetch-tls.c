/* Tests of places/fetch.h over TLS, with certificates made here, and of names that nobody resolves. */
#include "unit.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <ftw.h>
#include <netdb.h>
#include <time.h>
#include <unistd.h>

#include "../tls-help.h"
#include "../web-help.h"
#include "base/clock.h"
#include "places/fetch-engine.h"

static const struct web_says says[] = {
	{"/ok", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), 0},
	{"/silent", TEXT(""), 0},
	{"/short", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"), WEB_CLOSES},
	{NULL, TEXT(""), 0},
};

struct place {
	struct loop *loop;
	struct help_ca ca, other;
	char root[64], ca_file[80];
	struct fetch *fetch;
};

struct heard {
	unsigned int calls;
	struct fetch_answer answer;
	char error[512];
};

static int
open_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct fetch_options options = {.connections_max = 3, .user_agent = "herd/0"};

	assert_int_equal(loop_new(&p->loop), 0);
	snprintf(p->root, sizeof(p->root), "/tmp/herd-fetch-XXXXXX");
	assert_non_null(mkdtemp(p->root));
	snprintf(p->ca_file, sizeof(p->ca_file), "%s/ca.crt", p->root);
	help_ca_new(&p->ca, "herd");
	help_ca_new(&p->other, "others");
	help_issue(&p->ca, p->root, "localhost", -3600, 3600);
	options.ca_file = p->ca_file;
	assert_int_equal(fetch_new(&p->fetch, loop_base(p->loop), &options), 0);
	*state = p;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int
close_place(void **state)
{
	struct place *p = *state;

	fetch_free(p->fetch);
	loop_free(p->loop);
	help_ca_done(&p->ca);
	help_ca_done(&p->other);
	assert_int_equal(nftw(p->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(p);
	return 0;
}

/* A server with the certificate that lies in the folder now. */
static SSL_CTX *
serve(struct place *p, struct web *ret)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	char path[128];

	snprintf(path, sizeof(path), "%s/host.crt", p->root);
	assert_int_equal(SSL_CTX_use_certificate_file(tls, path, SSL_FILETYPE_PEM), 1);
	snprintf(path, sizeof(path), "%s/host.key", p->root);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, path, SSL_FILETYPE_PEM), 1);
	web_open(ret, loop_base(p->loop), says, tls);
	return tls;
}

static void
hear(void *arg, const struct fetch_answer *answer)
{
	struct heard *h = arg;

	h->calls++;
	h->answer = *answer;
	snprintf(h->error, sizeof(h->error), "%s", answer->error);
}

static struct fetch_request *
ask(struct place *p, struct heard *h, const char *url)
{
	const struct fetch_question q = {
		.url = url,
		.answer_max = 1000,
		.timeout_ns = 5 * CLOCK_SECOND_NS,
		.connect_timeout_ns = 3 * CLOCK_SECOND_NS,
	};
	struct fetch_request *request = NULL;

	assert_int_equal(fetch_start(&request, p->fetch, &q, hear, h), 0);
	return request;
}

static void
turn(struct place *p)
{
	struct timeval tick = {0, 20000};

	event_base_loopexit(loop_base(p->loop), &tick);
	event_base_loop(loop_base(p->loop), EVLOOP_ONCE);
}

static void
await(struct place *p, const struct heard *h)
{
	int64_t end = clock_monotonic_ns() + 10 * CLOCK_SECOND_NS;

	while (!h->calls && clock_monotonic_ns() < end)
		turn(p);
	assert_int_equal(h->calls, 1);
}

/* One request to a server with the certificate that lies in the folder now. */
static struct heard
ask_once(struct place *p, const char *host, const char *path)
{
	struct heard h = {0};
	struct web web;
	SSL_CTX *tls = serve(p, &web);
	char url[128];

	snprintf(url, sizeof(url), "https://%s:%u%s", host, web_port(&web), path);
	ask(p, &h, url);
	await(p, &h);
	web_close(&web);
	SSL_CTX_free(tls);
	return h;
}

/* --- who is believed --------------------------------------------------------------- */

static void
test_right_certificate(void **state)
{
	struct heard h = ask_once(*state, "localhost", "/ok");

	assert_string_equal(h.error, "");
	assert_int_equal(h.answer.result, FETCH_DONE);
	assert_int_equal(h.answer.status, 200);
}

static void
test_wrong_authority(void **state)
{
	struct place *p = *state;
	struct heard h;

	help_issue(&p->other, p->root, "localhost", -3600, 3600); /* the engine has read ca.crt before */
	h = ask_once(p, "localhost", "/ok");
	assert_int_equal(h.answer.result, FETCH_TLS);
	assert_non_null(strstr(h.error, "certificate"));
}

static void
test_wrong_name(void **state)
{
	struct place *p = *state;
	struct heard h;

	assert_int_equal(ask_once(p, "127.0.0.1", "/ok").answer.result, FETCH_TLS);
	help_issue(&p->ca, p->root, "elsewhere.example", -3600, 3600);
	h = ask_once(p, "localhost", "/ok");
	assert_int_equal(h.answer.result, FETCH_TLS);
	assert_true(text_is_printable(text_of(h.error)));
}

static void
test_expired(void **state)
{
	struct place *p = *state;

	help_issue(&p->ca, p->root, "localhost", -7200, -3600);
	assert_int_equal(ask_once(p, "localhost", "/ok").answer.result, FETCH_TLS);
	help_issue(&p->ca, p->root, "localhost", 3600, 7200);
	assert_int_equal(ask_once(p, "localhost", "/ok").answer.result, FETCH_TLS);
}

static void
test_no_tls_there(void **state)
{
	struct place *p = *state;
	struct heard h = {0};
	struct web web;
	char url[128];

	web_open(&web, loop_base(p->loop), says, NULL);
	snprintf(url, sizeof(url), "https://localhost:%u/ok", web_port(&web));
	ask(p, &h, url);
	for (int64_t end = clock_monotonic_ns() + 10 * CLOCK_SECOND_NS;
	     !h.calls && (TAILQ_EMPTY(&web.visitors) || TAILQ_FIRST(&web.visitors)->in.len == 0) &&
	     clock_monotonic_ns() < end;)
		turn(p);
	web_close(&web); /* it waits for the end of a line that never comes */
	await(p, &h);
	assert_int_equal(h.answer.result, FETCH_TLS);
}

static void
test_cut_short(void **state)
{
	assert_int_equal(ask_once(*state, "localhost", "/short").answer.result, FETCH_BROKEN);
}

/* The authorities change with the settings, and not before. */
static void
test_settings_change(void **state)
{
	struct place *p = *state;
	struct fetch_options options = {.connections_max = 3, .user_agent = "herd/0", .ca_file = p->ca_file};
	struct heard h;

	help_issue(&p->other, p->root, "localhost", -3600, 3600);
	assert_int_equal(ask_once(p, "localhost", "/ok").answer.result, FETCH_TLS);
	assert_int_equal(fetch_configure(p->fetch, &options), 0);
	assert_int_equal(ask_once(p, "localhost", "/ok").answer.result, FETCH_DONE);
	options.ca_file = "/nowhere/ca.crt";
	assert_int_equal(fetch_configure(p->fetch, &options), 0);
	h = ask_once(p, "localhost", "/ok");
	assert_int_equal(h.answer.result, FETCH_TLS);
	assert_non_null(strstr(h.error, "'/nowhere/ca.crt'"));
	options.ca_file = ""; /* the system's: others than ours */
	assert_int_equal(fetch_configure(p->fetch, &options), 0);
	assert_int_equal(ask_once(p, "localhost", "/ok").answer.result, FETCH_TLS);
}

/* Requests wait to see whether the server has HTTP/2, not longer; of curl 8.14, until the first one is answered. */
static void
test_all_connections_are_used(void **state)
{
	const bool is_old = curl_version_info(CURLVERSION_NOW)->version_num < 0x080000;
	struct place *p = *state;
	struct heard h[5] = {{0}};
	struct fetch_request *requests[5];
	struct web web;
	SSL_CTX *tls = serve(p, &web);
	char url[128];

	snprintf(url, sizeof(url), "https://localhost:%u/silent", web_port(&web));
	for (size_t i = 0; i < ELEMENTS(h); i++)
		requests[i] = ask(p, &h[i], url);
	for (int64_t end = clock_monotonic_ns() + (is_old ? 10 : 2) * CLOCK_SECOND_NS;
	     web.asked < 3 && clock_monotonic_ns() < end;)
		turn(p);
	turn(p);
	assert_in_range(web.asked, is_old ? 3 : 1, 3);
	assert_int_equal(web.accepted, web.asked);
	for (size_t i = 0; i < ELEMENTS(h); i++)
		fetch_cancel(requests[i]);
	web_close(&web);
	SSL_CTX_free(tls);
}

/* --- a name server that does not answer ------------------------------------------------------- */

enum { DEAD_S = ENGINE_IS_OLD ? 3 : 30 };

static _Atomic unsigned int dead_names;

/* libcurl finds this one before the C library's. */
int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	const struct timespec wait = {DEAD_S, 0};
	int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (strcmp(node, "localhost") == 0) { /* which curl knew by itself from 7.78 on */
		*(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
		return next("127.0.0.1", service, hints, ret);
	}
	*ret = NULL;
	dead_names++;
	nanosleep(&wait, NULL);
	return EAI_AGAIN;
}

/* Names are looked up in threads, which may be slow to begin. */
static void
turn_until_dead(struct place *p, unsigned int names)
{
	int64_t end = clock_monotonic_ns() + (DEAD_S - 2) * CLOCK_SECOND_NS / 2;

	while (dead_names < names && clock_monotonic_ns() < end)
		turn(p);
}

/* Neither giving up, nor a timeout, nor the end waits for the thread that resolves. Of an old curl the end does, and the
   time to connect is not looked at. */
static void
test_dead_names(void **state)
{
	struct place *p = *state;
	struct fetch_question q = {
		.url = "http://one.example/",
		.timeout_ns = 100 * CLOCK_MSEC_NS,
		.connect_timeout_ns = 5 * CLOCK_SECOND_NS,
	};
	struct heard h[3] = {{0}};
	struct fetch_request *request;
	int64_t start = clock_monotonic_ns();

	assert_int_equal(fetch_start(&request, p->fetch, &q, hear, &h[0]), 0);
	await(p, &h[0]);
	assert_int_equal(h[0].answer.result, FETCH_TIMEOUT);
	q.url = "http://two.example/";
	q.timeout_ns = (ENGINE_IS_OLD ? 1 : 50) * 100 * CLOCK_MSEC_NS;
	q.connect_timeout_ns = 100 * CLOCK_MSEC_NS;
	assert_int_equal(fetch_start(&request, p->fetch, &q, hear, &h[1]), 0);
	await(p, &h[1]);
	assert_int_equal(h[1].answer.result, FETCH_TIMEOUT);
	q.timeout_ns = q.connect_timeout_ns = 60 * CLOCK_SECOND_NS;
	q.url = "http://three.example/";
	assert_int_equal(fetch_start(&request, p->fetch, &q, hear, &h[2]), 0);
	turn_until_dead(p, 3);
	fetch_cancel(request);
	q.url = "http://four.example/";
	assert_int_equal(fetch_start(&request, p->fetch, &q, hear, &h[2]), 0);
	turn_until_dead(p, 4);
	if (!ENGINE_IS_OLD)
		p->fetch = fetch_free(p->fetch);
	assert_int_equal(dead_names, 4 - ENGINE_IS_OLD); /* of three connections all wait for a name there */
	assert_int_equal(h[2].calls, 0);
	assert_true(clock_monotonic_ns() - start < DEAD_S * CLOCK_SECOND_NS / 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_right_certificate, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_wrong_authority, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_wrong_name, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_expired, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_no_tls_there, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_cut_short, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_settings_change, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_all_connections_are_used, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_dead_names, open_place, close_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
