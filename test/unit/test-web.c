/*
 * Tests of places/web.h, with services and connections of our own: what is
 * asked, how often, and who gets which answer.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

#include "../clock-help.h"
#include "places/answer.h"
#include "places/cache.h"
#include "places/fetch.h"
#include "places/secret.h"
#include "places/service.h"
#include "places/source.h"
#include "places/web.h"

enum {
	MS = 1000000,
	ASKERS_MAX = 2048,
};

/* --- connections of our own ----------------------------------------------------------- */

struct fetch_request {
	TAILQ_ENTRY(fetch_request) entry;
	char url[128];
	char key[64];
	int64_t timeout_ns;
	fetch_answered *answered;
	void *arg;
};
static TAILQ_HEAD(request_list, fetch_request) open_requests = TAILQ_HEAD_INITIALIZER(open_requests);
static unsigned int open_count, started, cancelled, fetches, configured;
static int start_error;

int
fetch_new(struct fetch **ret, struct event_base *base, const struct fetch_options *options)
{
	(void)base;
	assert_true(options->connections_max > 0);
	fetches++;
	*ret = (struct fetch *)&fetches;
	return 0;
}

static const char *system_authorities;

const char *
fetch_authorities(const char *ca_file)
{
	return *ca_file ? ca_file : system_authorities;
}

int
fetch_configure(struct fetch *f, const struct fetch_options *options)
{
	(void)f;
	(void)options;
	configured++;
	return 0;
}

static void
forget_request(struct fetch_request *request)
{
	TAILQ_REMOVE(&open_requests, request, entry);
	open_count--;
	free(request);
}

struct fetch *
fetch_free(struct fetch *f)
{
	if (!f)
		return NULL;
	assert_int_equal(open_count, 0);
	fetches--;
	return NULL;
}

int
fetch_start(struct fetch_request **ret, struct fetch *f, const struct fetch_question *question,
	    fetch_answered *answered, void *arg)
{
	struct fetch_request *request;

	assert_ptr_equal(f, &fetches);
	if (start_error)
		return start_error;
	request = calloc(1, sizeof(*request));
	assert_non_null(request);
	snprintf(request->url, sizeof(request->url), "%s", question->url);
	if (question->header_count)
		snprintf(request->key, sizeof(request->key), "%.*s", (int)question->headers[0].value.len,
			 question->headers[0].value.at);
	request->timeout_ns = question->timeout_ns;
	request->answered = answered;
	request->arg = arg;
	TAILQ_INSERT_TAIL(&open_requests, request, entry);
	open_count++;
	started++;
	*ret = request;
	return 0;
}

void
fetch_cancel(struct fetch_request *request)
{
	if (!request)
		return;
	cancelled++;
	forget_request(request);
}

/* Answers the one that was asked first. */
static void
answer_with(struct fetch_answer answer)
{
	struct fetch_request *request = TAILQ_FIRST(&open_requests);
	fetch_answered *answered;
	void *arg;

	assert_non_null(request);
	answered = request->answered;
	arg = request->arg;
	forget_request(request);
	answered(arg, &answer);
}

static void
reply(unsigned int status, const char *body)
{
	answer_with((struct fetch_answer){.status = status,
					  .body = text_of(body),
					  .retry_after_ns = -1,
					  .content_type = "",
					  .error = ""});
}

static void
reply_result(enum fetch_result result)
{
	answer_with((struct fetch_answer){
		.result = result, .retry_after_ns = -1, .content_type = "", .error = "it did not work"});
}

/* --- services of our own ------------------------------------------------------------------ */

static int
fake_ask(const struct service_settings *settings, const struct service_query *query, struct text key,
	 struct service_request *ret)
{
	char url[128];
	int len = snprintf(url, sizeof(url), "%s/%d,%d,%.3f,%u", settings->url, query->lat_e7, query->lon_e7,
			   query->radius_km, query->bound);

	assert_in_range(query->bound, 1, 20);
	if (strcmp(settings->types, "bad") == 0)
		return -EINVAL;
	ret->url.max = ret->header_bytes.max = 256;
	assert_int_equal(buffer_append(&ret->url, (struct text){url, (size_t)len + 1}), 0);
	ret->url.len--;
	assert_int_equal(buffer_append(&ret->header_bytes, key), 0);
	if (key.len) {
		ret->headers[0].name = TEXT("Key");
		ret->headers[0].value = (struct text){ret->header_bytes.bytes, key.len};
		ret->header_count = 1;
	}
	return 0;
}

/* "LAT,LON NAME" is a place, "" is none. */
static int
read_place(struct text body, struct web_answer **ret)
{
	struct web_draft *d = calloc(1, sizeof(*d));
	char json[128], name[64] = "";
	int lat_e7, lon_e7, len, r = 0;

	assert_non_null(d);
	web_draft_init(d);
	for (const char *at = body.at;
	     r == 0 && sscanf(at, "%d,%d %63s%n", &lat_e7, &lon_e7, name, &len) == 3; at += len) {
		snprintf(json, sizeof(json), "{\"name\":\"%s\"}", name);
		pen_put(&d->place, text_of(json));
		r = web_draft_keep(d, lat_e7, lon_e7, NULL);
	}
	if (r == 0)
		r = web_answer_new(ret, d);
	web_draft_done(d);
	free(d);
	return r;
}

static int
fake_read(const struct service_settings *settings, unsigned int http_status, struct text body,
	  struct text key, struct web_answer **ret, bool *ret_retry)
{
	(void)settings;
	(void)key;
	*ret_retry = http_status == 429 || http_status >= 500;
	switch (http_status) {
	case 200:
		return read_place(body, ret);
	case 400:
		return web_answer_failure(ret, TEXT("INVALID_REQUEST"), "fake: 400");
	case 403:
		return web_answer_failure(ret, TEXT("REQUEST_DENIED"), "fake: 403");
	case 429:
		return web_answer_failure(ret, TEXT("OVER_QUERY_LIMIT"), "fake: 429");
	default:
		return web_answer_failure(ret, TEXT("UNKNOWN_ERROR"), "fake: %u", http_status);
	}
}

const struct service service_google = {
	.name = "google", .wants_key = true, .ask = fake_ask, .read = fake_read};
const struct service service_google_legacy = {
	.name = "google-legacy", .wants_key = true, .ask = fake_ask, .read = fake_read};
const struct service service_overpass = {.name = "overpass",
					 .wants_contact = true,
					 .one_at_a_time = true,
					 .cacheable = true,
					 .pause_429_ns = 30 * CLOCK_SECOND_NS,
					 .ask = fake_ask,
					 .read = fake_read};

/* --- keys of our own ------------------------------------------------------------------------ */

static const char *key = "secret";
static unsigned int keys;

int
secret_load(struct secret **ret, const char *credential, const char *file, char why[256])
{
	(void)file;
	/* One that both of Google's services may use. */
	if (!key || strcmp(credential, "google-key") != 0)
		return SECRET_E_NONE;
	if (!key[0]) {
		snprintf(why, 256, "'/the/file' can be read by others");
		return -EPERM;
	}
	*ret = (struct secret *)strdup(key);
	keys++;
	return 0;
}

struct text
secret_text(const struct secret *s)
{
	return text_of((const char *)s);
}

struct secret *
secret_free(struct secret *s)
{
	keys -= s != NULL;
	free(s);
	return NULL;
}

/* --- a source, and who asks it ---------------------------------------------------------------- */

static struct event_base *base;
static struct source *source;
static struct source_web web;
static unsigned int told[SOURCE_EVENT_COUNT];
static char told_text[1024];
static const char *const *chain;
static enum places_rank rank;
static const struct source_provider *const providers[] = {&source_google, &source_google_legacy,
							  &source_overpass, NULL};
static const char *const chain_google[] = {"google", NULL};
static const char *const chain_overpass[] = {"overpass", NULL};
static const char *const chain_both[] = {"google", "google-legacy", NULL};

static struct asker {
	struct source_request *request;
	unsigned int answers;
	char json[256];
} askers[ASKERS_MAX];

static void
noticed(void *arg, enum source_event event, const char *text)
{
	(void)arg;
	told[event]++;
	snprintf(told_text, sizeof(told_text), "%s", text);
}

static struct source_options
options(void)
{
	return (struct source_options){
		.chain = chain, .rank = rank, .web = &web, .noticed = noticed, .providers = providers};
}

static void
begin(const char *const *names)
{
	struct source_options o;

	chain = names;
	o = options();
	assert_int_equal(source_new(&source, base, &o), 0);
}

static void
reload(void)
{
	struct source_options o = options();

	assert_int_equal(source_reload(source, &o), 0);
}

static void
answered(void *arg, struct text json)
{
	struct asker *a = arg;

	a->request = NULL;
	a->answers++;
	snprintf(a->json, sizeof(a->json), "%.*s", (int)json.len, json.at);
}

static int
ask_query(size_t who, struct source_query query)
{
	struct asker *a = &askers[who];
	struct buffer out = {.max = 1 << 18};
	int r = source_search(source, &query, &out, &a->request, answered, a);

	if (r == 0)
		answered(a, (struct text){out.bytes, out.len});
	buffer_done(&out);
	return r;
}

static int
ask_at(size_t who, int32_t lat_e7)
{
	return ask_query(who, (struct source_query){lat_e7, 0, 1, 20});
}

static bool
says(size_t who, const char *what)
{
	return strstr(askers[who].json, what) != NULL;
}

/* Lets time pass. */
static void
run_ms(int ms)
{
	struct timeval tv = {.tv_usec = ms * 1000};

	event_base_loopexit(base, &tv);
	event_base_dispatch(base);
}

static void
one_turn(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* As many as a hundred answers take, even where each is alone in its turn because others have the processor. */
static void
some_turns(void)
{
	for (int i = 0; i < 100; i++)
		one_turn();
}

/* Until the service has been asked so often, or two seconds. */
static void
run_until_started(unsigned int count)
{
	for (int i = 0; i < 2000 && started < count; i++)
		run_ms(1);
	assert_int_equal(started, count);
}

static unsigned int
count_answers(size_t askers_count)
{
	unsigned int count = 0;

	for (size_t i = 0; i < askers_count; i++)
		count += askers[i].answers;
	return count;
}

static struct source_state
state_of(void)
{
	struct source_state s;

	assert_int_equal(source_states(source, &s, 1), 1);
	return s;
}

static int
setup(void **state)
{
	const struct source_service service = {
		.url = "https://service",
		.contact = "someone@example.net",
		.timeout_ns = 2000 * (int64_t)MS,
		.connect_timeout_ns = 500 * (int64_t)MS,
		.breaker_pause_ns = 100 * (int64_t)MS,
		.breaker_failures = 5,
		.retries = 2,
		.answer_max = 1 << 20,
		.radius_max_m = 50000,
	};

	(void)state;
	web = (struct source_web){.connections_max = 4,
				  .cache_size = 1 << 20,
				  .google = service,
				  .google_legacy = service,
				  .overpass = service};
	memset(askers, 0, sizeof(askers));
	memset(told, 0, sizeof(told));
	told_text[0] = '\0';
	key = "secret";
	rank = PLACES_PROMINENCE;
	start_error = 0;
	started = cancelled = configured = 0;
	base = event_base_new();
	return base ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	source = source_free(source);
	event_base_free(base);
	return open_count == 0 && fetches == 0 && keys == 0 ? 0 : -1;
}

/* --- one question -------------------------------------------------------------------------------- */

static void
asks_and_answers(void **state)
{
	(void)state;
	begin(chain_google);
	assert_int_equal(ask_at(0, 5), SOURCE_E_PENDING);
	assert_int_equal(started, 1);
	assert_string_equal(TAILQ_FIRST(&open_requests)->url, "https://service/5,0,1.000,20");
	assert_string_equal(TAILQ_FIRST(&open_requests)->key, "secret");
	reply(200, "5,0 cafe");
	some_turns();
	assert_true(says(0, "cafe") && says(0, "\"OK\""));
	assert_int_equal(state_of().answered, 1);
	assert_string_equal(state_of().state, "ok");

	assert_int_equal(ask_at(1, 5), SOURCE_E_PENDING); /* Google's answers are not kept */
	reply(200, "");
	some_turns();
	assert_true(says(1, "ZERO_RESULTS"));
	assert_int_equal(started, 2);
}

static void
asks_nobody_for_nothing(void **state)
{
	(void)state;
	begin(chain_google);
	assert_int_equal(ask_query(0, (struct source_query){1, 2, 3, 0}), 0);
	assert_true(says(0, "ZERO_RESULTS"));
	assert_int_equal(started, 0);
}

static void
asks_once_for_a_thousand(void **state)
{
	(void)state;
	begin(chain_google);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(ask_at(i, 5), SOURCE_E_PENDING);
	assert_int_equal(started, 1);
	assert_int_equal(state_of().waiting, 1000);
	reply(200, "5,0 cafe");
	while (count_answers(1000) < 1000) {
		unsigned int before = count_answers(1000);

		one_turn();
		assert_true(count_answers(1000) > before);
	}
	for (size_t i = 0; i < 1000; i++)
		assert_true(askers[i].answers == 1 && says(i, "cafe"));
	assert_int_equal(started, 1);
	assert_int_equal(state_of().coalesced, 999);
	assert_int_equal(state_of().answered, 1000);
	assert_int_equal(state_of().waiting, 0);
}

static void
answered_slowly(void *arg, struct text json)
{
	help_clock_ns += MS;
	answered(arg, json);
}

static void
ask_slowly(size_t who)
{
	struct source_query query = {5, 0, 1, 20};
	struct buffer out = {.max = 1 << 18};

	assert_int_equal(
		source_search(source, &query, &out, &askers[who].request, answered_slowly, &askers[who]),
		SOURCE_E_PENDING);
	buffer_done(&out);
}

/* The loop has others to serve: what takes long is alone in its turn. */
static void
answers_in_short_turns(void **state)
{
	(void)state;
	begin(chain_google);
	for (size_t i = 0; i < 5; i++)
		ask_slowly(i);
	reply(200, "5,0 cafe");
	for (unsigned int turn = 0; turn < 5; turn++) {
		assert_int_equal(count_answers(5), turn);
		one_turn();
	}
	assert_int_equal(count_answers(5), 5);
}

static void
tells_questions_apart(void **state)
{
	(void)state;
	begin(chain_google);
	ask_query(0, (struct source_query){1, 2, 3, 4});
	ask_query(1, (struct source_query){2, 2, 3, 4});
	ask_query(2, (struct source_query){1, 3, 3, 4});
	ask_query(3, (struct source_query){1, 2, 4, 4});
	ask_query(4, (struct source_query){1, 2, 3, 5});
	assert_int_equal(started, 5);
	ask_query(5, (struct source_query){1, 2, 3, 4});
	assert_int_equal(started, 5);
}

static void
cancels_one_of_many(void **state)
{
	(void)state;
	begin(chain_google);
	for (size_t i = 0; i < 3; i++)
		ask_at(i, 5);
	source_cancel(askers[0].request);
	source_cancel(askers[2].request);
	assert_int_equal(cancelled, 0);
	reply(200, "5,0 cafe");
	some_turns();
	assert_int_equal(count_answers(3), 1);
	assert_true(says(1, "cafe"));
}

static void
cancels_all(void **state)
{
	(void)state;
	begin(chain_google);
	for (size_t i = 0; i < 3; i++)
		ask_at(i, 5);
	for (size_t i = 0; i < 3; i++)
		source_cancel(askers[i].request);
	assert_int_equal(cancelled, 1);
	assert_int_equal(open_count, 0);
	ask_at(3, 5); /* anew */
	assert_int_equal(started, 2);
}

static void
cancels_those_that_have_an_answer_already(void **state)
{
	(void)state;
	begin(chain_google);
	for (size_t i = 0; i < 5; i++)
		ask_slowly(i);
	reply(200, "5,0 cafe");
	one_turn();
	assert_int_equal(count_answers(5), 1);
	for (size_t i = 0; i < 5; i++)
		source_cancel(askers[i].request);
	run_ms(1);
	assert_int_equal(count_answers(5), 1);
	assert_int_equal(state_of().waiting, 0);
}

static void
asks_about_cells(void **state)
{
	(void)state;
	web.google.cell_m = 500;
	begin(chain_google);
	ask_query(0, (struct source_query){340000000, 0, 1, 20});
	ask_query(1, (struct source_query){340000000, 0, 1, 3});
	ask_query(2, (struct source_query){340002000, 0, 1, 20}); /* 22 m away */
	ask_query(3, (struct source_query){340200000, 0, 1, 20}); /* 2.2 km away */
	assert_int_equal(started, 2);
	assert_non_null(strstr(TAILQ_FIRST(&open_requests)->url, ",1.3")); /* and half a diagonal */
	assert_non_null(strstr(TAILQ_FIRST(&open_requests)->url, ",20"));
	reply(200, "340090000,0 edge"); /* 1,000.8 m from the first place, 978 m from the other one */
	some_turns();
	assert_true(says(0, "ZERO_RESULTS") && says(1, "ZERO_RESULTS"));
	assert_true(says(2, "edge"));
}

/* One answer, and each has as many of it as was asked for. */
static void
gives_each_the_own_number(void **state)
{
	(void)state;
	web.google.cell_m = 500;
	begin(chain_google);
	for (size_t i = 0; i < 4; i++)
		ask_query(i, (struct source_query){340000000, 0, 1, i % 2 ? 1 : 2});
	assert_int_equal(started, 1);
	reply(200, "340000000,0 cafe 340000000,0 bar");
	some_turns();
	for (size_t i = 0; i < 4; i++) {
		assert_true(says(i, "cafe"));
		assert_int_equal(says(i, "bar"), i % 2 == 0);
	}
}

static void
asks_no_farther_than_it_may(void **state)
{
	(void)state;
	web.google.cell_m = 500;
	web.google.radius_max_m = 5000;
	begin(chain_google);
	ask_query(0, (struct source_query){340000000, 0, 50, 20});
	assert_non_null(strstr(TAILQ_FIRST(&open_requests)->url, ",5.000,"));
}

/* --- the cache -------------------------------------------------------------------------------------- */

static void
remembers_answers(void **state)
{
	(void)state;
	web.overpass.cache_ttl_ns = 50 * (int64_t)MS;
	begin(chain_overpass);
	ask_at(0, 5);
	reply(200, "5,0 cafe");
	some_turns();
	assert_int_equal(ask_at(1, 5), 0);
	assert_true(says(1, "cafe"));
	assert_int_equal(state_of().cached, 1);
	run_ms(60);
	assert_int_equal(ask_at(2, 5), SOURCE_E_PENDING);
	reply(500, "");
	source_cancel(askers[2].request);
	assert_int_equal(ask_at(3, 5), SOURCE_E_PENDING); /* a failure is not kept */
	assert_int_equal(started, 3);
}

static void
forgets_answers_of_other_settings(void **state)
{
	(void)state;
	web.overpass.cache_ttl_ns = CLOCK_SECOND_NS;
	begin(chain_overpass);
	ask_at(0, 5);
	reply(200, "5,0 cafe");
	some_turns();
	web.overpass.timeout_ns += MS;
	reload();
	assert_int_equal(ask_at(1, 5), 0);
	web.overpass.url = "https://elsewhere";
	reload();
	assert_int_equal(ask_at(2, 5), SOURCE_E_PENDING);
	reply(200, "5,0 other");
	some_turns();
	web.overpass.cache_ttl_ns = 0;
	reload();
	assert_int_equal(ask_at(3, 5), SOURCE_E_PENDING);
}

/* An answer that was asked for with other settings is for who asked, and for nobody after. */
static void
remembers_nothing_of_other_settings(void **state)
{
	(void)state;
	web.overpass.cache_ttl_ns = CLOCK_SECOND_NS;
	begin(chain_overpass);
	ask_at(0, 5);
	web.overpass.url = "https://elsewhere";
	reload();
	reply(200, "5,0 cafe");
	some_turns();
	assert_true(says(0, "cafe"));
	assert_int_equal(ask_at(1, 5), SOURCE_E_PENDING);
}

static void
remembers_no_failures(void **state)
{
	(void)state;
	web.overpass.cache_ttl_ns = CLOCK_SECOND_NS;
	web.overpass.retries = 0;
	begin(chain_overpass);
	ask_at(0, 5);
	reply(500, "");
	some_turns();
	assert_true(says(0, "fake: 500"));
	assert_int_equal(ask_at(1, 5), SOURCE_E_PENDING);
}

/* Who comes back has nothing left of the time before, though the cache stayed for the others. */
static void
forgets_answers_of_who_leaves(void **state)
{
	static const char *const all[] = {"overpass", "google", NULL};

	(void)state;
	web.overpass.cache_ttl_ns = CLOCK_SECOND_NS;
	begin(all);
	ask_at(0, 5);
	reply(200, "5,0 cafe");
	some_turns();
	assert_int_equal(ask_at(1, 5), 0);
	chain = chain_google;
	reload();
	chain = all;
	reload();
	assert_int_equal(ask_at(2, 5), SOURCE_E_PENDING);
}

static int64_t kept_until_ns;

/* Called instead of cache_put(). */
void __real_cache_put(struct cache *c, const struct question *question, struct web_answer *answer,
		      int64_t until_ns);
void __wrap_cache_put(struct cache *c, const struct question *question, struct web_answer *answer,
		      int64_t until_ns);
void
__wrap_cache_put(struct cache *c, const struct question *question, struct web_answer *answer,
		 int64_t until_ns)
{
	kept_until_ns = until_ns;
	__real_cache_put(c, question, answer, until_ns);
}

/* Its terms: a minute at most, whatever is set. */
static void
keeps_answers_of_google_for_a_minute(void **state)
{
	int64_t now_ns = clock_monotonic_ns();

	(void)state;
	web.google.cache_ttl_ns = web.overpass.cache_ttl_ns = 3600 * CLOCK_SECOND_NS;
	begin(chain_google);
	ask_at(0, 5);
	reply(200, "5,0 cafe");
	assert_in_range(kept_until_ns - now_ns, 59 * CLOCK_SECOND_NS, 65 * CLOCK_SECOND_NS);
	chain = chain_overpass;
	reload();
	ask_at(1, 5);
	reply(200, "5,0 cafe");
	assert_in_range(kept_until_ns - now_ns, 3599 * CLOCK_SECOND_NS, 3605 * CLOCK_SECOND_NS);
	some_turns();
}

/* --- failures ------------------------------------------------------------------------------------------ */

static void
tries_again(void **state)
{
	(void)state;
	begin(chain_google);
	ask_at(0, 5);
	reply(503, "");
	assert_int_equal(started, 1); /* not at once */
	ask_at(1, 5);		      /* may still join */
	run_until_started(2);
	reply_result(FETCH_UNREACHABLE);
	run_until_started(3);
	reply(200, "5,0 cafe");
	some_turns();
	assert_true(says(0, "cafe") && says(1, "cafe"));
	assert_int_equal(state_of().retried, 2);
	assert_int_equal(state_of().asked, 3);
	assert_int_equal(told[SOURCE_FAULT], 0);
}

static void
gives_up_after_some_tries(void **state)
{
	(void)state;
	begin(chain_google);
	ask_at(0, 5);
	for (unsigned int i = 1; i <= 3; i++) {
		run_until_started(i);
		reply(500, "");
	}
	some_turns();
	assert_true(says(0, "UNKNOWN_ERROR") && says(0, "fake: 500"));
	run_ms(10);
	assert_int_equal(started, 3);
	assert_int_equal(told[SOURCE_FAULT], 1);
	assert_int_equal(state_of().failed, 1);
}

static void
tries_nothing_again_that_will_not_help(void **state)
{
	static const enum fetch_result results[] = {FETCH_TLS, FETCH_TOO_BIG, FETCH_FAULT};

	(void)state;
	web.google.breaker_failures = 0;
	begin(chain_google);
	for (size_t i = 0; i < ELEMENTS(results); i++) {
		ask_at(i, 5);
		reply_result(results[i]);
		some_turns();
		assert_true(says(i, "UNKNOWN_ERROR") && says(i, "it did not work"));
	}
	ask_at(3, 5);
	reply(400, "");
	some_turns();
	assert_true(says(3, "INVALID_REQUEST"));
	assert_int_equal(started, 4);
	assert_int_equal(told[SOURCE_FAULT], 4);
}

static void
keeps_within_the_time(void **state)
{
	int64_t before_ns = clock_monotonic_ns();

	(void)state;
	web.google.timeout_ns = 150 * (int64_t)MS;
	web.google.retries = 100;
	web.google.breaker_failures = 0;
	begin(chain_google);
	ask_at(0, 5);
	while (count_answers(1) == 0) {
		struct fetch_request *request = TAILQ_FIRST(&open_requests);

		if (request) {
			int64_t left_ns = before_ns + web.google.timeout_ns - clock_monotonic_ns();

			assert_true(request->timeout_ns < left_ns + 20 * MS);
			reply(500, "");
		}
		run_ms(1);
	}
	assert_true(clock_monotonic_ns() - before_ns < 200 * MS);
	assert_true(says(0, "fake: 500"));
}

static void
waits_as_long_as_it_is_told(void **state)
{
	int64_t before_ns = clock_monotonic_ns();

	(void)state;
	begin(chain_google);
	ask_at(0, 5);
	answer_with((struct fetch_answer){.status = 429, .retry_after_ns = 200 * MS, .error = ""});
	run_until_started(2);
	assert_true(clock_monotonic_ns() - before_ns >= 190 * MS); /* the loop's clock is a coarse one */
	/* Longer than the lookup has: for nobody. */
	answer_with(
		(struct fetch_answer){.status = 429, .retry_after_ns = 60 * CLOCK_SECOND_NS, .error = ""});
	some_turns();
	assert_true(says(0, "OVER_QUERY_LIMIT"));
	assert_int_equal(ask_at(1, 6), 0);
	assert_true(says(1, "OVER_QUERY_LIMIT") && says(1, "left alone for another 60 s"));
	assert_int_equal(told[SOURCE_DOWN], 1);
}

static void
leaves_alone_what_fails(void **state)
{
	(void)state;
	web.google.retries = 0;
	begin(chain_google);
	for (size_t i = 0; i < 7; i++) /* the last two are on their way when the fifth fails */
		ask_at(i, (int32_t)i);
	for (int i = 0; i < 7; i++)
		reply(500, "");
	run_ms(1);
	assert_int_equal(count_answers(7), 7);
	assert_int_equal(told[SOURCE_DOWN], 1);
	assert_string_equal(state_of().state, "down");
	assert_int_equal(ask_at(10, 10), 0);
	assert_true(says(10, "UNKNOWN_ERROR") && says(10, "left alone"));
	assert_int_equal(started, 7);

	run_ms(130);
	assert_string_equal(state_of().state, "trying");
	assert_int_equal(ask_at(11, 11), SOURCE_E_PENDING);
	assert_int_equal(ask_at(12, 12), 0); /* one probe */
	assert_true(says(12, "being tried"));
	reply_result(FETCH_TIMEOUT);
	run_ms(1);
	assert_int_equal(ask_at(13, 13), 0);
	run_ms(255); /* twice as long */
	assert_int_equal(ask_at(14, 14), SOURCE_E_PENDING);
	source_cancel(askers[14].request); /* a probe that nobody wants any more is none */
	assert_int_equal(ask_at(15, 15), SOURCE_E_PENDING);
	reply(200, "");
	run_ms(1);
	assert_int_equal(told[SOURCE_UP], 1);
	assert_int_equal(told[SOURCE_DOWN], 1);
	assert_string_equal(state_of().state, "ok");
	assert_int_equal(ask_at(16, 16), SOURCE_E_PENDING);
	assert_int_equal(ask_at(17, 17), SOURCE_E_PENDING);
}

/* Our own mistakes and wants do not speak against the service, nor does a pause that it asks for otherwise. */
static void
goes_on_with_what_is_not_down(void **state)
{
	(void)state;
	web.google.retries = 0;
	begin(chain_google);
	for (size_t i = 0; i < 12; i++) {
		assert_int_equal(ask_at(i, (int32_t)i), SOURCE_E_PENDING);
		if (i < 6)
			reply_result(FETCH_FAULT);
		else
			reply(400, "");
	}
	run_ms(1);
	assert_string_equal(state_of().state, "ok");
	ask_at(12, 12);
	answer_with(
		(struct fetch_answer){.status = 500, .retry_after_ns = 60 * CLOCK_SECOND_NS, .error = ""});
	run_ms(1);
	assert_string_equal(state_of().state, "ok");
	assert_int_equal(told[SOURCE_DOWN], 0);
}

/* While one pauses the others find out that the service is down: it is not asked by that one again. */
static void
tries_nothing_again_at_what_is_left_alone(void **state)
{
	(void)state;
	web.google.breaker_failures = 2;
	web.google.breaker_pause_ns = CLOCK_SECOND_NS;
	begin(chain_google);
	ask_at(0, 0);
	ask_at(1, 1);
	reply(500, "");
	reply(500, "");
	run_ms(200);
	assert_int_equal(started, 2);
	assert_int_equal(count_answers(2), 2);
	assert_true(says(0, "fake: 500") && says(1, "fake: 500"));
	web.google.url = "https://elsewhere"; /* that is another one */
	reload();
	assert_int_equal(ask_at(2, 2), SOURCE_E_PENDING);
}

static void
leaves_alone_what_refuses_us(void **state)
{
	(void)state;
	begin(chain_google);
	ask_at(0, 0);
	ask_at(1, 1);
	reply(403, "");
	reply(403, "");
	run_ms(1);
	assert_true(says(0, "REQUEST_DENIED") && says(1, "REQUEST_DENIED"));
	assert_int_equal(told[SOURCE_DENIED], 1);
	assert_int_equal(told[SOURCE_DOWN], 0);
	assert_int_equal(told[SOURCE_FAULT], 0);
	assert_int_equal(ask_at(2, 2), 0);
	assert_true(says(2, "REQUEST_DENIED"));
	assert_string_equal(state_of().state, "denied");
	assert_int_equal(started, 2);
	key = "better";
	reload();
	assert_int_equal(ask_at(3, 3), SOURCE_E_PENDING);
	assert_string_equal(TAILQ_FIRST(&open_requests)->key, "better");
}

static void
says_what_is_missing(void **state)
{
	(void)state;
	key = NULL;
	begin(chain_google);
	assert_int_equal(told[SOURCE_DENIED], 1);
	assert_int_equal(ask_at(0, 0), 0);
	assert_true(says(0, "REQUEST_DENIED") && says(0, "key-file"));
	assert_string_equal(state_of().state, "no key");
	reload();
	assert_int_equal(told[SOURCE_DENIED], 1); /* nothing new */
	key = "";
	reload();
	assert_int_equal(told[SOURCE_DENIED], 2);
	assert_non_null(strstr(told_text, "can be read by others"));
	ask_at(1, 0);
	assert_false(says(1, "/the/file")); /* not for clients */
	key = "secret";
	reload();
	assert_int_equal(ask_at(2, 0), SOURCE_E_PENDING);
	assert_int_equal(told[SOURCE_DENIED], 2);
}

static void
says_that_there_is_no_contact(void **state)
{
	(void)state;
	web.overpass.contact = "";
	begin(chain_overpass);
	assert_int_equal(ask_at(0, 0), 0);
	assert_true(says(0, "REQUEST_DENIED") && says(0, "contact"));
	assert_int_equal(told[SOURCE_DENIED], 1);
	assert_string_equal(state_of().state, "no contact");
	assert_int_equal(started, 0);
}

static void
survives_what_cannot_be_sent(void **state)
{
	(void)state;
	web.google.types = "bad";
	begin(chain_google);
	assert_int_equal(ask_at(0, 0), SOURCE_E_PENDING);
	some_turns();
	assert_true(says(0, "cannot be sent"));
	web.google.types = "";
	reload();
	start_error = -ENOMEM;
	assert_int_equal(ask_at(1, 0), SOURCE_E_PENDING);
	some_turns();
	assert_true(says(1, "UNKNOWN_ERROR"));
	start_error = 0;
	assert_int_equal(ask_at(2, 0), SOURCE_E_PENDING);
	assert_int_equal(started, 1);
}

static void
lets_the_next_provider_answer(void **state)
{
	(void)state;
	web.google.retries = 0;
	begin(chain_both);
	ask_at(0, 5);
	ask_at(1, 5);
	reply(500, "");
	some_turns();
	assert_int_equal(count_answers(2), 0);
	assert_int_equal(started, 2); /* the second one is asked once, too */
	reply(200, "5,0 cafe");
	some_turns();
	assert_true(says(0, "cafe") && says(1, "cafe"));
}

/* --- the budget -------------------------------------------------------------------------------------------- */

static void
keeps_to_the_second(void **state)
{
	(void)state;
	web.google.requests_per_second = 10;
	begin(chain_google);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(ask_at(i, (int32_t)i), SOURCE_E_PENDING);
	assert_int_equal(ask_at(10, 10), 0);
	assert_true(says(10, "OVER_QUERY_LIMIT"));
	assert_int_equal(ask_at(11, 9), SOURCE_E_PENDING); /* to join costs nothing */
	run_ms(110);
	assert_int_equal(ask_at(12, 12), SOURCE_E_PENDING);
}

static void
keeps_to_the_day(void **state)
{
	(void)state;
	web.google.requests_per_day = 3;
	begin(chain_google);
	ask_at(0, 0);
	ask_at(1, 1);
	reply(500, ""); /* and is tried again, which is the third */
	run_until_started(3);
	assert_int_equal(state_of().day_used, 3);
	assert_int_equal(ask_at(2, 2), 0);
	assert_int_equal(ask_at(3, 3), 0);
	assert_true(says(3, "OVER_QUERY_LIMIT"));
	assert_int_equal(told[SOURCE_LIMITED], 1);
	assert_string_equal(state_of().state, "limited");
	reply(500, ""); /* no third try */
	reply(500, "");
	run_ms(250);
	assert_int_equal(started, 3);
	assert_true(says(0, "fake: 500") && says(1, "fake: 500"));
	web.google.requests_per_day = 4;
	reload();
	assert_int_equal(ask_at(4, 4), SOURCE_E_PENDING);
	assert_int_equal(ask_at(5, 5), 0);
}

static void
keeps_to_the_day_over_a_restart(void **state)
{
	char folder[] = "/tmp/test-web.XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/places-alpha-google.budget", folder);
	web.member = "alpha";
	web.state_dir = folder;
	web.google.requests_per_day = 2;
	begin(chain_google);
	ask_at(0, 0);
	ask_at(1, 1);
	source = source_free(source);
	begin(chain_google);
	assert_int_equal(ask_at(2, 2), 0);
	assert_true(says(2, "OVER_QUERY_LIMIT"));
	assert_int_equal(told[SOURCE_FAULT], 0);
	source = source_free(source);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	begin(chain_google);
	assert_int_equal(told[SOURCE_FAULT], 1); /* it says that the count will be lost */
	assert_int_equal(ask_at(3, 3), SOURCE_E_PENDING);
}

/* --- one at a time -------------------------------------------------------------------------------------------- */

static void
asks_one_at_a_time(void **state)
{
	(void)state;
	begin(chain_overpass);
	for (size_t i = 0; i < 65; i++)
		assert_int_equal(ask_at(i, (int32_t)i), SOURCE_E_PENDING);
	assert_int_equal(ask_at(65, 65), 0);
	assert_true(says(65, "OVER_QUERY_LIMIT"));
	assert_int_equal(ask_at(66, 64), SOURCE_E_PENDING); /* as somebody in the queue */
	for (int32_t i = 0; i < 65; i++) {
		char url[64], place[64];

		assert_int_equal(open_count, 1);
		snprintf(url, sizeof(url), "https://service/%d,0,1.000,20", i); /* in order */
		assert_string_equal(TAILQ_FIRST(&open_requests)->url, url);
		snprintf(place, sizeof(place), "%d,0 cafe", i);
		reply(200, place);
	}
	some_turns();
	assert_int_equal(count_answers(65), 65);
	assert_true(says(66, "cafe"));
	assert_int_equal(state_of().under_way, 0);
}

static void
goes_on_with_the_next_when_one_is_cancelled(void **state)
{
	(void)state;
	begin(chain_overpass);
	for (size_t i = 0; i < 4; i++)
		ask_at(i, (int32_t)i);
	source_cancel(askers[1].request);
	source_cancel(askers[0].request);
	assert_int_equal(cancelled, 1);
	assert_int_equal(open_count, 1);
	assert_non_null(strstr(TAILQ_FIRST(&open_requests)->url, "/2,"));
	reply(500, ""); /* the one that pauses keeps its turn */
	assert_int_equal(open_count, 0);
	source_cancel(askers[2].request);
	assert_int_equal(open_count, 1);
	assert_non_null(strstr(TAILQ_FIRST(&open_requests)->url, "/3,"));
}

static void
paces_the_queue(void **state)
{
	int64_t before_ns = clock_monotonic_ns();

	(void)state;
	web.overpass.requests_per_second = 10;
	begin(chain_overpass);
	for (size_t i = 0; i < 12; i++)
		assert_int_equal(ask_at(i, (int32_t)i), SOURCE_E_PENDING);
	for (unsigned int i = 1; i <= 12; i++) {
		run_until_started(i);
		reply(200, "");
	}
	assert_in_range((clock_monotonic_ns() - before_ns) / MS, 200, 800);
}

static void
paces_what_is_tried_again(void **state)
{
	int64_t before_ns = clock_monotonic_ns();

	(void)state;
	web.overpass.requests_per_second = 1;
	begin(chain_overpass);
	ask_at(0, 0);
	reply(500, "");
	run_until_started(2);
	assert_true(clock_monotonic_ns() - before_ns >= CLOCK_SECOND_NS);
	reply(200, "0,0 cafe");
	some_turns();
	assert_true(says(0, "cafe"));
}

static void
queues_for_no_longer_than_a_lookup_has(void **state)
{
	(void)state;
	web.overpass.timeout_ns = 50 * (int64_t)MS;
	begin(chain_overpass);
	ask_at(0, 0);
	ask_at(1, 1);
	run_ms(70);
	assert_int_equal(count_answers(2), 1);
	assert_true(says(1, "OVER_QUERY_LIMIT"));
	assert_int_equal(open_count, 1);
}

static void
pauses_when_it_is_too_much(void **state)
{
	(void)state;
	begin(chain_overpass);
	for (size_t i = 0; i < 5; i++)
		ask_at(i, (int32_t)i);
	reply(429, "");
	run_ms(1);
	assert_int_equal(count_answers(5), 5); /* those in the queue as well */
	for (size_t i = 0; i < 5; i++)
		assert_true(says(i, "OVER_QUERY_LIMIT"));
	assert_true(says(4, "another 30 s"));
	assert_int_equal(ask_at(5, 5), 0);
	assert_int_equal(started, 1);
	assert_int_equal(told[SOURCE_DOWN], 1);
}

/* --- reloads, and the end ------------------------------------------------------------------------------------- */

static void
goes_on_with_the_old_settings(void **state)
{
	(void)state;
	begin(chain_google);
	ask_at(0, 5);
	reload(); /* nothing changed */
	ask_at(1, 5);
	assert_int_equal(started, 1);
	web.google.url = "https://elsewhere";
	key = "other";
	reload();
	ask_at(2, 5); /* not the old one's answer */
	assert_int_equal(started, 2);
	reply(500, "");
	source_cancel(askers[2].request);
	run_until_started(3);
	assert_string_equal(TAILQ_FIRST(&open_requests)->url, "https://service/5,0,1.000,20");
	assert_string_equal(TAILQ_FIRST(&open_requests)->key, "secret");
	reply(200, "5,0 cafe");
	some_turns();
	assert_true(says(0, "cafe") && says(1, "cafe"));
	assert_int_equal(state_of().waiting, 0);
}

/* Connections are given up only for what is new about them, whatever else is. */
static void
keeps_its_connections(void **state)
{
	char path[] = "/tmp/test-web-ca-XXXXXX", *of_system;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	web.ca_file = path;
	begin(chain_both);
	assert_int_equal(configured, 0); /* the second one shares what the first one made */
	for (uint32_t i = 0; i < 20; i++) {
		web.google.retries = i;
		key = i % 2 ? "other" : "secret";
		reload();
	}
	assert_int_equal(configured, 0);
	assert_int_equal(write(fd, "one more", 8), 8);
	reload();
	assert_int_equal(configured, 1);
	web.connections_max++;
	reload();
	assert_int_equal(configured, 2);
	assert_int_equal(unlink(path), 0);
	reload();
	assert_int_equal(configured, 3);
	web.ca_file = "";
	reload();
	assert_int_equal(configured, 4);
	assert_int_equal(ftruncate(fd, 3), 0); /* now the system's */
	assert_true(asprintf(&of_system, "/proc/self/fd/%d", fd) > 0);
	system_authorities = of_system;
	reload();
	assert_int_equal(configured, 5);
	reload();
	assert_int_equal(configured, 5);
	assert_int_equal(write(fd, "one more", 8), 8);
	reload();
	assert_int_equal(configured, 6);
	free(of_system);
	system_authorities = NULL;
	close(fd);
}

static void
answers_when_it_leaves_the_chain(void **state)
{
	(void)state;
	begin(chain_google);
	for (size_t i = 0; i < 3; i++)
		ask_at(i, (int32_t)i);
	reply(500, "");
	chain = chain_overpass;
	reload();
	assert_int_equal(count_answers(3), 0); /* the new chain is asked, one thing at a time */
	assert_int_equal(open_count, 1);
	assert_int_equal(ask_at(3, 3), SOURCE_E_PENDING);
	assert_int_equal(open_count, 1);
	reply(200, "1,0 cafe");
	some_turns();
	assert_int_equal(count_answers(4), 1);
}

static void
ends_with_everything_under_way(void **state)
{
	(void)state;
	begin(chain_both);
	for (size_t i = 0; i < 100; i++)
		ask_at(i, 1);
	ask_at(100, 2);
	ask_at(101, 3);
	reply(200, "1,0 cafe"); /* to be handed out */
	reply(500, "");		/* pauses */
	source = source_free(source);
	assert_int_equal(count_answers(100), 0);
	assert_int_equal(open_count, 0);
}

/* Who gets an answer asks the same thing again, and lets others go. */
static void
answered_and_asks(void *arg, struct text json)
{
	size_t who = (size_t)((struct asker *)arg - askers);

	answered(arg, json);
	source_cancel(askers[(who + 1) % 100].request);
	askers[(who + 1) % 100].request = NULL;
	ask_at(who + 100, 5);
}

static void
bears_with_callbacks(void **state)
{
	(void)state;
	begin(chain_google);
	for (size_t i = 0; i < 100; i++) {
		struct source_query query = {5, 0, 1, 20};
		struct buffer out = {.max = 1 << 18};

		assert_int_equal(source_search(source, &query, &out, &askers[i].request, answered_and_asks,
					       &askers[i]),
				 SOURCE_E_PENDING);
		buffer_done(&out);
	}
	reply(200, "5,0 cafe");
	run_ms(2);
	assert_int_equal(count_answers(100), 50);
	assert_int_equal(started, 2); /* all that asked again, together */
	reply(200, "5,0 cafe");
	run_ms(2);
	assert_int_equal(count_answers(200), 100);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(asks_and_answers),
		TEST(asks_nobody_for_nothing),
		TEST(asks_once_for_a_thousand),
		TEST(answers_in_short_turns),
		TEST(tells_questions_apart),
		TEST(cancels_one_of_many),
		TEST(cancels_all),
		TEST(cancels_those_that_have_an_answer_already),
		TEST(asks_about_cells),
		TEST(gives_each_the_own_number),
		TEST(asks_no_farther_than_it_may),
		TEST(remembers_answers),
		TEST(forgets_answers_of_other_settings),
		TEST(remembers_nothing_of_other_settings),
		TEST(remembers_no_failures),
		TEST(forgets_answers_of_who_leaves),
		TEST(keeps_answers_of_google_for_a_minute),
		TEST(tries_again),
		TEST(gives_up_after_some_tries),
		TEST(tries_nothing_again_that_will_not_help),
		TEST(keeps_within_the_time),
		TEST(waits_as_long_as_it_is_told),
		TEST(leaves_alone_what_fails),
		TEST(goes_on_with_what_is_not_down),
		TEST(tries_nothing_again_at_what_is_left_alone),
		TEST(leaves_alone_what_refuses_us),
		TEST(says_what_is_missing),
		TEST(says_that_there_is_no_contact),
		TEST(survives_what_cannot_be_sent),
		TEST(lets_the_next_provider_answer),
		TEST(keeps_to_the_second),
		TEST(keeps_to_the_day),
		TEST(keeps_to_the_day_over_a_restart),
		TEST(asks_one_at_a_time),
		TEST(goes_on_with_the_next_when_one_is_cancelled),
		TEST(paces_the_queue),
		TEST(paces_what_is_tried_again),
		TEST(queues_for_no_longer_than_a_lookup_has),
		TEST(pauses_when_it_is_too_much),
		TEST(goes_on_with_the_old_settings),
		TEST(keeps_its_connections),
		TEST(answers_when_it_leaves_the_chain),
		TEST(ends_with_everything_under_way),
		TEST(bears_with_callbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
