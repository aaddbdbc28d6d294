/*
 * curl gets only what its connections can carry: whatever waits there is looked
 * at again and again, so thousands wait here instead, in a queue for each
 * server (fetch-origin.c).
 *
 * Callbacks come when curl has returned and nothing is half done: they may
 * start, cancel, and free everything.
 */
#include "places/fetch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/loop.h"
#include "places/fetch-origin.h"

enum {
	FETCH_MAGIC = 0x46455443,   /* "FETC" */
	REQUEST_MAGIC = 0x46455251, /* "FERQ" */
	ENGINES_MAX = 8,	    /* older settings still under way */
	WORK_NS = 15000, /* for callbacks, and as much for handing over, before others get their turn */
};

struct fetch {
	unsigned int magic;
	struct event_base *base;
	struct event *on_turn;
	struct engine *engines[ENGINES_MAX]; /* the first is for requests to come */
	struct origins origins;
	struct request_list under_way, ended;
	struct request_list left; /* given up, but curl cannot let go of them yet */
	struct fetch_counts counts;
	bool is_turning, is_freed;
	bool is_telling; /* in its last turn; then others are handed over in the next one */
};

/* --- a request's way ------------------------------------------------------------------ */

/* Engines of older settings go with their last transfer. */
static void
retire_engines(struct fetch *f)
{
	for (size_t i = 1; i < ENGINES_MAX; i++)
		if (f->engines[i] && engine_under_way(f->engines[i]) == 0)
			f->engines[i] = engine_free(f->engines[i]);
}

static void
leave_queue(struct fetch_request *r)
{
	assert(r->state == REQUEST_WAITING);
	origin_unqueue(r);
	r->fetch->counts.waiting--;
}

/* Its transfer is over or was removed. */
static void
leave_engine(struct fetch_request *r)
{
	engine_put(r->engine, r->easy);
	r->easy = NULL;
	origin_end(r);
	r->fetch->counts.under_way--;
	retire_engines(r->fetch);
}

/* curl is to forget it, and may wait for a name first. */
static void
remove_left(struct fetch_request *r)
{
	TAILQ_REMOVE(&r->fetch->left, r, left);
	engine_remove(r->engine, r->easy);
	leave_engine(r);
}

/* Out of whatever list it is in. */
static void
take_back(struct fetch_request *r)
{
	switch (r->state) {
	case REQUEST_WAITING:
		leave_queue(r);
		break;
	case REQUEST_UNDER_WAY:
		TAILQ_REMOVE(&r->fetch->under_way, r, link);
		TAILQ_INSERT_TAIL(&r->fetch->left, r, left);
		if (engine_can_remove(r->easy))
			remove_left(r);
		break;
	case REQUEST_ENDED:
		TAILQ_REMOVE(&r->fetch->ended, r, link);
		break;
	case REQUEST_TOLD:
	case REQUEST_LEFT:
		break;
	}
}

/* It is in no list; its callback comes with the next turn. */
static void
end_request(struct fetch_request *r)
{
	struct fetch *f = r->fetch;

	r->state = REQUEST_ENDED;
	(void)event_del(r->deadline);
	if (r->result == FETCH_DONE)
		f->counts.done++;
	else
		f->counts.failed++;
	TAILQ_INSERT_TAIL(&f->ended, r, link);
}

/* It is in no list, but that of what curl has still: then it goes when that ends. */
static void
drop_request(struct fetch_request *r)
{
	if (r->deadline)
		event_free(r->deadline);
	r->deadline = NULL;
	r->state = REQUEST_LEFT;
	if (!r->easy)
		request_free(r);
}

/* curl has done with it. */
static void
finish_request(struct fetch_request *r, CURLcode code)
{
	if (r->state != REQUEST_UNDER_WAY) {
		TAILQ_REMOVE(&r->fetch->left, r, left);
		leave_engine(r);
		if (r->state == REQUEST_LEFT)
			request_free(r);
		return;
	}
	request_judge(r, code);
	if (r->result == FETCH_DONE)
		origin_answered(r->origin, r->is_http2);
	TAILQ_REMOVE(&r->fetch->under_way, r, link);
	leave_engine(r);
	end_request(r);
}

static int
hand_to_curl(struct fetch_request *r)
{
	int r_prepared;

	r->easy = engine_get(r->engine);
	if (!r->easy)
		return -ENOMEM;
	r_prepared = request_prepare(r);
	if (r_prepared == 0)
		r_prepared = engine_add(r->engine, r->easy);
	if (r_prepared < 0) {
		engine_put(r->engine, r->easy);
		r->easy = NULL;
	}
	return r_prepared;
}

/* True: it is with curl; else it has ended. */
static bool
hand_over(struct fetch *f, struct fetch_request *r)
{
	leave_queue(r);
	r->engine = f->engines[0];
	if (strncmp(r->url, "https", 5) == 0 && *engine_no_tls(r->engine))
		request_fail(r, FETCH_TLS, "%s", engine_no_tls(r->engine));
	else if (hand_to_curl(r) < 0)
		request_fail(r, FETCH_FAULT, "no memory");
	if (!r->easy) {
		end_request(r);
		return false;
	}
	r->state = REQUEST_UNDER_WAY;
	origin_begin(&f->origins, r);
	f->counts.under_way++;
	TAILQ_INSERT_TAIL(&f->under_way, r, link);
	return true;
}

/* --- a turn ------------------------------------------------------------------------------ */

/* What ended in curl. */
static void
collect(struct fetch *f)
{
	for (size_t i = 0; i < ENGINES_MAX; i++) {
		CURLcode code;
		CURL *easy;

		while (f->engines[i] && (easy = engine_take(f->engines[i], &code)) != NULL) {
			char *private = NULL;
			struct fetch_request *r;

			(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
			r = (struct fetch_request *)(void *)private;
			assert(r && r->magic == REQUEST_MAGIC);
			finish_request(r, code);
		}
	}
}

/* Not event_active(): that would still be this turn of the loop. */
static void
turn_soon(struct fetch *f)
{
	static const struct timeval at_once = {0, 0};

	if (!f->is_turning)
		(void)event_add(f->on_turn, &at_once);
}

static void
free_rest(struct fetch *f)
{
	f->magic = 0;
	free(f);
}

/* Callbacks of what has ended; one at least. */
static void
tell_some(struct fetch *f)
{
	int64_t end = clock_monotonic_ns() + WORK_NS;
	struct fetch_request *r;

	while (!f->is_freed && (r = TAILQ_FIRST(&f->ended)) != NULL) {
		TAILQ_REMOVE(&f->ended, r, link);
		r->state = REQUEST_TOLD;
		request_tell(r);
		drop_request(r);
		if (clock_monotonic_ns() >= end)
			return;
	}
}

/* The connections that are free for those who wait. True: there may be more of both. */
static bool
hand_over_some(struct fetch *f)
{
	int64_t end = clock_monotonic_ns() + WORK_NS;
	bool is_kick_due = false, is_more = false;
	struct fetch_origin *o;

	engine_spread(f->engines[0], origins_spread(&f->origins));
	while (!is_more && (o = origins_next(&f->origins)) != NULL) {
		is_kick_due |= hand_over(f, TAILQ_FIRST(&o->waiting));
		is_more = clock_monotonic_ns() >= end;
	}
	if (is_kick_due)
		engine_kick(f->engines[0]); /* which may have made room */
	return origins_next(&f->origins) != NULL;
}

/* One thing in a turn of the loop, in which others want to be served, too: first who has an answer. */
static void
fetch_on_turn(evutil_socket_t unused, short what, void *arg)
{
	struct fetch *f = arg;
	bool is_more = true;

	(void)unused;
	(void)what;
	assert(f->magic == FETCH_MAGIC);
	f->is_turning = true;
	f->is_telling = !f->is_telling && !TAILQ_EMPTY(&f->ended);
	if (f->is_telling)
		tell_some(f);
	else
		is_more = hand_over_some(f);
	if (f->is_freed) {
		free_rest(f);
		return;
	}
	f->is_turning = false;
	collect(f);
	if (is_more || !TAILQ_EMPTY(&f->ended))
		turn_soon(f);
}

/* From an engine. */
static void
on_turned(void *arg)
{
	struct fetch *f = arg;

	assert(f->magic == FETCH_MAGIC);
	collect(f);
	turn_soon(f);
}

static void
fetch_on_deadline(evutil_socket_t unused, short what, void *arg)
{
	struct fetch_request *r = arg;
	struct fetch *f = r->fetch;

	(void)unused;
	(void)what;
	assert(r->magic == REQUEST_MAGIC);
	request_fail(r, FETCH_TIMEOUT,
		     r->state == REQUEST_WAITING ? "no connection was free within %lld ms"
						 : "no complete answer within %lld ms",
		     (long long)(r->timeout_ns / CLOCK_MSEC_NS));
	take_back(r);
	end_request(r);
	turn_soon(f);
}

/* --- the contract ---------------------------------------------------------------------------- */

/* Its deadline runs from now on. */
static int
start_deadline(struct fetch_request *r)
{
	int64_t wait_us = r->timeout_ns > 0 ? r->timeout_ns / 1000 : 0;
	struct timeval wait = {wait_us / 1000000, wait_us % 1000000};

	r->deadline = event_new(r->fetch->base, -1, 0, fetch_on_deadline, r);
	return r->deadline && event_add(r->deadline, &wait) == 0 ? 0 : -ENOMEM;
}

int
fetch_start(struct fetch_request **ret, struct fetch *f, const struct fetch_question *question,
	    fetch_answered *answered, void *arg)
{
	struct fetch_request *request = NULL;
	int r;

	assert(f->magic == FETCH_MAGIC && !f->is_freed);
	r = request_new(&request, question);
	if (r < 0)
		return r;
	request->magic = REQUEST_MAGIC;
	request->fetch = f;
	request->answered = answered;
	request->arg = arg;
	request->origin = origins_get(&f->origins, request_origin(request->url));
	r = request->origin ? start_deadline(request) : -ENOMEM;
	if (r < 0) {
		drop_request(request);
		return r;
	}
	request->number = f->counts.started++;
	f->counts.waiting++;
	origin_queue(request);
	turn_soon(f);
	*ret = request;
	return 0;
}

void
fetch_cancel(struct fetch_request *request)
{
	struct fetch *f;

	if (!request)
		return;
	assert(request->magic == REQUEST_MAGIC);
	if (request->state == REQUEST_TOLD)
		return;
	f = request->fetch;
	take_back(request);
	drop_request(request);
	turn_soon(f);
}

struct fetch_counts
fetch_counts(const struct fetch *f)
{
	return f->counts;
}

const char *
fetch_authorities(const char *ca_file)
{
	bool is_folder;

	return engine_authorities(ca_file, &is_folder);
}

int
fetch_configure(struct fetch *f, const struct fetch_options *options)
{
	struct engine *e;
	size_t spare = 1;
	int r;

	assert(f->magic == FETCH_MAGIC);
	retire_engines(f);
	while (spare < ENGINES_MAX && f->engines[spare])
		spare++;
	if (spare == ENGINES_MAX)
		return -EAGAIN;
	r = engine_new(&e, f->base, options, on_turned, f, &f->counts.connections);
	if (r < 0)
		return r;
	f->engines[spare] = f->engines[0];
	f->engines[0] = e;
	f->origins.connections_max = options->connections_max ? options->connections_max : 1;
	retire_engines(f);
	turn_soon(f);
	return 0;
}

int
fetch_new(struct fetch **ret, struct event_base *base, const struct fetch_options *options)
{
	CLEANUP(fetch_freep) struct fetch *f = NULL;
	int r;

	/* It would have curl write the keys of our connections to a file. */
	(void)unsetenv("SSLKEYLOGFILE");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	if (!(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS))
		return -ENOTSUP;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->magic = FETCH_MAGIC;
	f->base = base;
	f->origins.connections_max = options->connections_max ? options->connections_max : 1;
	(void)origins_spread(&f->origins);
	TAILQ_INIT(&f->under_way);
	TAILQ_INIT(&f->ended);
	TAILQ_INIT(&f->left);
	f->on_turn = event_new(base, -1, 0, fetch_on_turn, f);
	if (!f->on_turn)
		return -ENOMEM;
	r = engine_new(&f->engines[0], base, options, on_turned, f, &f->counts.connections);
	if (r < 0)
		return r;
	*ret = f;
	f = NULL;
	return 0;
}

static void
drop_all(struct fetch *f)
{
	struct fetch_request *r;

	while ((r = TAILQ_FIRST(&f->under_way)) != NULL || (r = TAILQ_FIRST(&f->ended)) != NULL) {
		take_back(r);
		drop_request(r);
	}
	for (struct fetch_origin *o = f->origins.first; o; o = o->next)
		while ((r = TAILQ_FIRST(&o->waiting)) != NULL) {
			take_back(r);
			drop_request(r);
		}
	while ((r = TAILQ_FIRST(&f->left)) != NULL) {
		remove_left(r);
		if (r->state == REQUEST_LEFT)
			request_free(r);
	}
}

struct fetch *
fetch_free(struct fetch *f)
{
	if (!f)
		return NULL;
	assert(f->magic == FETCH_MAGIC && !f->is_freed);
	drop_all(f);
	for (size_t i = 0; i < ENGINES_MAX; i++)
		f->engines[i] = engine_free(f->engines[i]);
	origins_forget(&f->origins, 0);
	if (f->on_turn)
		event_free(f->on_turn);
	f->is_freed = true;
	if (!f->is_turning)
		free_rest(f);
	return NULL;
}
