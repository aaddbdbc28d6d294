/*
 * Lookups: one is answered from the cache, joins a flight about the same
 * question, or begins one. When the flight has its answer, everybody who waits
 * for it gets his own part of it, a few in one turn of the loop.
 *
 * With cells, the question is about the centre of the square that the place is
 * in, with a radius that is larger by the way from there to its corners: the
 * answer has what everybody in the square wants to know.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "places/cell.h"
#include "places/json.h"
#include "places/web-private.h"

enum {
	HAND_OUT_NS = 15000, /* of one turn of the loop, which answers one at least */
	JSON_KEPT = 65536,   /* bytes that stay allocated between answers */
};

#define MM_PER_KM 1e6

/* --- answers --------------------------------------------------------------------- */

/* As the next provider, or the client, is to read it. */
__attribute__((format(printf, 4, 5))) static int
refuse(struct web *w, struct buffer *out, struct text status, const char *format, ...)
{
	char why[2 * WEB_WHY_MAX];
	va_list args;
	int r;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	w->failed++;
	r = json_put_failure(out, status, text_of(why));
	return r < 0 ? r : SOURCE_E_FAILED;
}

static int
render(struct web *w, const struct flight *f, const struct source_query *query)
{
	int r = -ENOMEM;

	w->json.len = 0;
	if (f->answer)
		r = web_answer_put(f->answer, query, f->settings->service.rank, &w->json);
	if (r < 0)
		r = json_put_failure(&w->json, TEXT("UNKNOWN_ERROR"), text_of(strerror(-r)));
	return r;
}

static void
forget_waiter(struct waiter *waiter)
{
	struct flight *f = waiter->flight;

	TAILQ_REMOVE(&f->waiters, waiter, entry);
	f->web->waiting--;
	free(waiter);
	if (TAILQ_EMPTY(&f->waiters))
		flight_free(f);
}

static bool
same_query(const struct source_query *a, const struct source_query *b)
{
	return a->lat_e7 == b->lat_e7 && a->lon_e7 == b->lon_e7 && a->bound == b->bound &&
	       !(a->radius_km < b->radius_km) && !(a->radius_km > b->radius_km);
}

/* Answers whoever has waited longest for the first flight that is done. *last: the query w->json has the
   answer to, of *last_flight. Callbacks may cancel others, and ask again. */
static void
answer_one(struct web *w, const struct flight **last_flight, struct source_query *last)
{
	struct flight *f = TAILQ_FIRST(&w->done);
	struct waiter *waiter = TAILQ_FIRST(&f->waiters);
	struct source_request *request = waiter->request;
	const struct source_query *query = source_request_query(request);
	bool is_failure = !f->answer || web_answer_is_failure(f->answer);
	struct text json;

	if (f != *last_flight || !same_query(query, last)) {
		*last_flight = render(w, f, query) == 0 ? f : NULL;
		*last = *query;
	}
	json = *last_flight ? (struct text){w->json.bytes, w->json.len} : TEXT("{}");
	forget_waiter(waiter); /* and perhaps the flight; another may come to be where it was: */
	if (TAILQ_FIRST(&w->done) != f)
		*last_flight = NULL;
	w->failed += is_failure;
	w->answered += !is_failure;
	if (is_failure)
		source_request_fail(request, json);
	else
		source_request_answer(request, json);
}

void
web_hand_out(struct web *w)
{
	static const struct timeval at_once;
	const struct flight *last_flight = NULL;
	struct source_query last = {0};
	int64_t end = clock_monotonic_ns() + HAND_OUT_NS;

	while (!TAILQ_EMPTY(&w->done)) {
		answer_one(w, &last_flight, &last);
		if (clock_monotonic_ns() >= end)
			break;
	}
	if (w->json.size > JSON_KEPT)
		buffer_done(&w->json);
	if (!TAILQ_EMPTY(&w->done))
		(void)event_add(w->on_turn, &at_once);
}

/* --- questions ----------------------------------------------------------------------- */

static struct question
question_of(const struct web *w, const struct source_query *query)
{
	const struct source_service *numbers = &w->settings->numbers;
	struct cell c = cell_of(query->lat_e7, query->lon_e7, numbers->cell_m);
	double radius_km = query->radius_km + c.reach_km;

	if (!(radius_km < w->settings->radius_max_km))
		radius_km = w->settings->radius_max_km;
	return (struct question){
		.lat_e7 = c.lat_e7,
		.lon_e7 = c.lon_e7,
		.radius_mm = (uint32_t)lround(radius_km * MM_PER_KM),
		.bound = numbers->cell_m || query->bound > PLACES_BOUND_MAX ? PLACES_BOUND_MAX : query->bound,
		.service = w->index,
	};
}

/* What stands against a new question. 0: nothing. */
static int
allow(struct web *w, int64_t now_ns, struct buffer *out)
{
	char why[2 * WEB_WHY_MAX];

	if (!breaker_allows(&w->breaker, now_ns)) {
		web_hold_text(w, now_ns, why, sizeof(why));
		return refuse(w, out, w->hold_status, "%s", why);
	}
	if (w->flights.count >= WEB_FLIGHTS_MAX || w->queued >= WEB_QUEUE_MAX)
		return refuse(w, out, TEXT("OVER_QUERY_LIMIT"),
			      "%s: too many questions are waiting for an answer", w->service->name);
	if (w->service->one_at_a_time) /* it is counted when its turn comes */
		return 0;
	switch (web_take(w, now_ns)) {
	case 0:
		return 0;
	case BUDGET_E_SECOND:
		return refuse(w, out, TEXT("OVER_QUERY_LIMIT"), "%s: more than %u requests in a second",
			      w->service->name, w->settings->numbers.requests_per_second);
	default:
		return refuse(w, out, TEXT("OVER_QUERY_LIMIT"), "%s: the %u requests of this day are used up",
			      w->service->name, w->settings->numbers.requests_per_day);
	}
}

/* Joins a flight, or a new one. */
static int
wait_for(struct web *w, const struct question *question, const struct source_query *query, int64_t now_ns,
	 struct buffer *out, struct source_request **ret_request)
{
	CLEANUP(cleanup_free) struct waiter *waiter = malloc(sizeof(*waiter));
	struct flight *f = (struct flight *)keyed_find(&w->flights, question);
	bool is_new = !f;
	int r;

	if (!waiter)
		return -ENOMEM;
	r = is_new ? allow(w, now_ns, out) : 0;
	if (r != 0)
		return r;
	if (is_new)
		f = flight_new(w, question, now_ns);
	r = f ? source_request_new(ret_request, w->source, query, waiter) : -ENOMEM;
	if (r < 0) {
		if (is_new && f)
			flight_free(f);
		return r;
	}
	waiter->flight = f;
	waiter->request = *ret_request;
	TAILQ_INSERT_TAIL(&f->waiters, waiter, entry);
	waiter = NULL;
	w->waiting++;
	w->coalesced += !is_new;
	if (is_new)
		flight_begin(f, now_ns);
	return SOURCE_E_PENDING;
}

int
web_search(void *state, const struct source_query *query, struct buffer *out,
	   struct source_request **ret_request)
{
	static const struct places_found nothing;
	struct web *w = state;
	int64_t now_ns = clock_monotonic_ns();
	struct question question;
	struct web_answer *known;
	int r;

	assert(w->magic == WEB_MAGIC);
	if (query->bound == 0)
		return json_put_places(out, &nothing, TEXT(""));
	if (w->settings->lack)
		return refuse(w, out, TEXT("REQUEST_DENIED"), "%s: %s", w->service->name, w->settings->reply);
	question = question_of(w, query);
	known = cache_find(w->shared->cache, &question, now_ns);
	if (!known)
		return wait_for(w, &question, query, now_ns, out, ret_request);
	r = web_answer_put(known, query, w->settings->service.rank, out);
	w->cached += r == 0;
	w->answered += r == 0;
	return r;
}

void
web_cancel(void *state, struct source_request *request)
{
	struct web *w = state;

	assert(w->magic == WEB_MAGIC);
	forget_waiter(source_request_tag(request));
}
