/*
 * Flights: questions to a service, from the first time that one is asked to its
 * answer. The time that a lookup has begins with the first one who wanted to
 * know; waiting for a turn, every attempt and every pause are within it.
 *
 * Nothing here calls back into the source but to notice: answers are handed
 * out by web.c, in a turn of their own.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "places/web-private.h"

#define BACKOFF_NS     (100 * CLOCK_MSEC_NS) /* of the first retry at most; then doubled */
#define BACKOFF_MAX_NS (5 * CLOCK_SECOND_NS)
#define MICRO_CACHE_NS (60 * CLOCK_SECOND_NS) /* what is kept at most where the terms allow no cache */

/* Sets an event for so long from now; rounded up, so that it is never early. */
static int
event_in(struct event *event, int64_t ns)
{
	int64_t us = ns > 0 ? (ns + 999) / 1000 : 0;
	struct timeval tv = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};

	return event_add(event, &tv) < 0 ? -ENOMEM : 0;
}

/* --- the end of a flight ---------------------------------------------------------------- */

static bool
may_be_joined(const struct flight *f)
{
	return f->state != FLIGHT_DONE && f->settings == f->web->settings;
}

void
flight_leave_table(struct flight *f)
{
	if (may_be_joined(f))
		keyed_remove(&f->web->flights, &f->keyed);
}

static void
leave_state(struct flight *f)
{
	struct web *w = f->web;

	if (f->state == FLIGHT_QUEUED) {
		TAILQ_REMOVE(&w->queue, f, entry);
		w->queued--;
	} else if (f->state == FLIGHT_ASKING) {
		w->asking--;
		if (f->request)
			breaker_abandoned(&w->breaker, f->breaker);
		fetch_cancel(f->request);
		f->request = NULL;
	} else if (f->state == FLIGHT_DONE) {
		TAILQ_REMOVE(&w->done, f, entry);
	}
	if (f->timer)
		event_del(f->timer);
}

static void
remember(struct flight *f, int64_t now_ns)
{
	struct web *w = f->web;
	int64_t ttl_ns = f->settings->numbers.cache_ttl_ns;

	if (!w->service->cacheable && ttl_ns > MICRO_CACHE_NS)
		ttl_ns = MICRO_CACHE_NS;
	if (ttl_ns > 0 && f->settings == w->settings && !web_answer_is_failure(f->answer))
		cache_put(w->shared->cache, &f->keyed.question, f->answer, now_ns + ttl_ns);
}

/* It has its answer, whose reference is the flight's now. The next one has its turn. */
static void
finish(struct flight *f, struct web_answer *answer, int64_t now_ns)
{
	static const struct timeval at_once;
	struct web *w = f->web;

	if (f->answer != answer)
		web_answer_unref(f->answer);
	f->answer = answer;
	flight_leave_table(f);
	leave_state(f);
	if (answer)
		remember(f, now_ns);
	f->state = FLIGHT_DONE;
	TAILQ_INSERT_TAIL(&w->done, f, entry);
	(void)event_add(w->on_turn, &at_once); /* a timer, not event_active(): not in this turn of the loop */
	if (w->current == f) {
		w->current = NULL;
		flight_next(w, now_ns);
	}
}

static void
finish_failed(struct flight *f, struct text status, const char *why, int64_t now_ns)
{
	struct web_answer *answer = NULL;

	(void)web_answer_failure(&answer, status, "%s", why);
	finish(f, answer, now_ns);
}

void
flight_free(struct flight *f)
{
	struct web *w = f->web;

	assert(f->magic == FLIGHT_MAGIC && TAILQ_EMPTY(&f->waiters));
	flight_leave_table(f);
	leave_state(f);
	TAILQ_REMOVE(&w->all, f, all);
	if (f->timer)
		event_free(f->timer);
	web_answer_unref(f->answer);
	web_settings_unref(f->settings);
	f->magic = 0;
	free(f);
	if (w->current == f) {
		w->current = NULL;
		flight_next(w, clock_monotonic_ns());
	}
}

/* --- asking ------------------------------------------------------------------------------ */

static void flight_answered(void *arg, const struct fetch_answer *a);

static int
send_request(struct flight *f, int64_t now_ns)
{
	const struct source_service *numbers = &f->settings->numbers;
	const struct question *q = &f->keyed.question;
	const struct service_query query = {q->lat_e7, q->lon_e7, q->radius_mm / 1e6, q->bound};
	struct service_request request = {.content_type = NULL};
	const int64_t left_ns = f->deadline_ns - now_ns;
	struct web *w = f->web;
	int r;

	r = w->service->ask(&f->settings->service, &query, web_settings_key(f->settings), &request);
	if (r == 0) {
		struct fetch_question question = {
			.url = request.url.bytes,
			.headers = request.headers,
			.header_count = request.header_count,
			.body = {request.body.bytes, request.body.len},
			.content_type = request.content_type,
			.answer_max = numbers->answer_max,
			.timeout_ns = left_ns > CLOCK_MSEC_NS ? left_ns : CLOCK_MSEC_NS,
			.connect_timeout_ns = numbers->connect_timeout_ns,
		};

		r = fetch_start(&f->request, w->shared->fetch, &question, flight_answered, f);
	}
	service_request_done(&request);
	return r;
}

/* What web_take() allowed. */
static void
ask(struct flight *f, int64_t now_ns)
{
	struct web *w = f->web;
	char why[WEB_WHY_MAX];
	int r;

	leave_state(f);
	f->state = FLIGHT_ASKING;
	w->asking++;
	f->breaker = breaker_asked(&w->breaker, now_ns);
	r = send_request(f, now_ns);
	if (r == 0) {
		w->asked++;
		w->retried += f->asked++ > 0;
		return;
	}
	breaker_abandoned(&w->breaker, f->breaker);
	snprintf(why, sizeof(why), "%s: %s", w->service->name,
		 r == -EINVAL ? "its settings or its key cannot be sent as they are" : strerror(-r));
	source_notice(w->source, SOURCE_FAULT, "No places from %s", why);
	finish_failed(f, TEXT("UNKNOWN_ERROR"), why, now_ns);
}

/* --- waiting -------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg);

static int
set_timer(struct flight *f, int64_t ns)
{
	if (!f->timer)
		f->timer = event_new(f->web->base, -1, 0, on_timer, f);
	return f->timer ? event_in(f->timer, ns) : -ENOMEM;
}

/* The same once more, unless somebody has said no meanwhile. */
static void
ask_again(struct flight *f, int64_t now_ns)
{
	struct web *w = f->web;
	int64_t wait_ns = w->service->one_at_a_time ? budget_wait_ns(w->budget, now_ns) : 0;

	if (wait_ns > 0 && wait_ns < f->deadline_ns - now_ns && set_timer(f, wait_ns) == 0)
		return;
	if (breaker_allows(&w->breaker, now_ns) && web_take(w, now_ns) == 0)
		ask(f, now_ns);
	else
		finish(f, f->answer, now_ns);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct flight *f = arg;
	int64_t now_ns = clock_monotonic_ns();

	(void)fd;
	(void)what;
	assert(f->magic == FLIGHT_MAGIC);
	if (f->state == FLIGHT_PAUSED)
		ask_again(f, now_ns);
	else if (f->state == FLIGHT_QUEUED)
		finish_failed(f, TEXT("OVER_QUERY_LIMIT"), "there were too many questions before this one",
			      now_ns);
}

/* How long before the next try; the whole range of a doubled time, so that many do not come back together. */
static int64_t
pause_before(struct flight *f, const struct outcome *o)
{
	int64_t most_ns = BACKOFF_NS;
	int64_t pause_ns;

	for (uint32_t i = 1; i < f->asked && most_ns < BACKOFF_MAX_NS; i++)
		most_ns *= 2;
	pause_ns = (int64_t)(web_random(f->web) % (uint64_t)(most_ns + 1));
	return pause_ns > o->wait_ns ? pause_ns : o->wait_ns;
}

/* Pauses before it asks again; false: that is of no use. */
static bool
pause_flight(struct flight *f, struct outcome *o, int64_t now_ns)
{
	int64_t pause_ns;

	if (!o->is_again || o->is_denied || f->asked > f->settings->numbers.retries ||
	    breaker_state(&f->web->breaker, now_ns) != BREAKER_CLOSED)
		return false;
	pause_ns = pause_before(f, o);
	if (pause_ns >= f->deadline_ns - now_ns || set_timer(f, pause_ns) < 0)
		return false;
	f->web->asking--;
	f->state = FLIGHT_PAUSED;
	web_answer_unref(f->answer);
	f->answer = o->answer;
	return true;
}

static void
flight_answered(void *arg, const struct fetch_answer *a)
{
	struct flight *f = arg;
	int64_t now_ns = clock_monotonic_ns();
	struct outcome o;

	assert(f->magic == FLIGHT_MAGIC && f->state == FLIGHT_ASKING);
	f->request = NULL;
	o = outcome_read(f, a, f->deadline_ns - now_ns);
	outcome_learn(f, &o, now_ns);
	if (pause_flight(f, &o, now_ns))
		return;
	outcome_tell(f, &o);
	finish(f, o.answer, now_ns);
}

/* --- turns ------------------------------------------------------------------------------------ */

/* Nobody's turn will come before they give up. */
static void
refuse_queue(struct web *w, int64_t now_ns)
{
	char why[2 * WEB_WHY_MAX];

	web_hold_text(w, now_ns, why, sizeof(why));
	while (!TAILQ_EMPTY(&w->queue))
		finish_failed(TAILQ_FIRST(&w->queue), w->hold_status, why, now_ns);
}

/* The first in the queue, if it is its turn. */
void
flight_next(struct web *w, int64_t now_ns)
{
	int64_t wait_ns = budget_wait_ns(w->budget, now_ns);
	struct flight *f;

	if (w->current || TAILQ_EMPTY(&w->queue))
		return;
	if (!breaker_allows(&w->breaker, now_ns)) {
		refuse_queue(w, now_ns);
		return;
	}
	if (wait_ns > 0 && event_in(w->on_pace, wait_ns) == 0)
		return;
	while (!w->current && (f = TAILQ_FIRST(&w->queue))) {
		if (web_take(w, now_ns) != 0) {
			finish_failed(f, TEXT("OVER_QUERY_LIMIT"), "the requests of this day are used up",
				      now_ns);
			continue;
		}
		w->current = f;
		ask(f, now_ns);
		return; /* if that failed, finish() has gone on with the next */
	}
}

void
flight_begin(struct flight *f, int64_t now_ns)
{
	struct web *w = f->web;

	if (!w->service->one_at_a_time) {
		ask(f, now_ns);
		return;
	}
	f->state = FLIGHT_QUEUED;
	TAILQ_INSERT_TAIL(&w->queue, f, entry);
	w->queued++;
	(void)set_timer(f, f->deadline_ns - now_ns);
	flight_next(w, now_ns);
}

struct flight *
flight_new(struct web *w, const struct question *question, int64_t now_ns)
{
	struct flight *f = malloc(sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct flight){
		.keyed.question = *question,
		.magic = FLIGHT_MAGIC,
		.state = FLIGHT_NEW,
		.web = w,
		.settings = web_settings_ref(w->settings),
		.deadline_ns = now_ns + w->settings->numbers.timeout_ns,
	};
	TAILQ_INIT(&f->waiters);
	TAILQ_INSERT_TAIL(&w->all, f, all);
	keyed_add(&w->flights, &f->keyed);
	return f;
}
