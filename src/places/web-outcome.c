/*
 * Outcomes: what an attempt to ask a service means, for the question, for the
 * service and for its operator. A service that is down, or that has enough of
 * us, is not what a refused key is, and neither is a question it did not like.
 */
#include <stdio.h>
#include <string.h>

#include "places/web-private.h"

#define DENIED_NS (10 * CLOCK_SECOND_NS) /* a key that is refused is not tried more often */

enum {
	HTTP_TOO_MANY = 429,
	HTTP_UNAVAILABLE = 503,
};

uint64_t
web_random(struct web *w)
{
	w->random++;
	return hash_siphash13(&w->flights.key, &w->random, sizeof(w->random));
}

/* --- the budget and the breaker ----------------------------------------------------- */

void
web_tell_trouble(struct web *w)
{
	const char *text = budget_trouble(w->budget);

	if (text)
		source_notice(w->source, SOURCE_FAULT, "%s: %s", w->service->name, text);
}

int
web_take(struct web *w, int64_t now_ns)
{
	int r = budget_take(w->budget, now_ns, clock_now_ns());

	web_tell_trouble(w);
	if (r == BUDGET_E_DAY && !w->is_limited)
		source_notice(
			w->source, SOURCE_LIMITED,
			"%s: the %u requests of this day are used up, asking it no more until midnight UTC",
			w->service->name, w->settings->numbers.requests_per_day);
	if (r != BUDGET_E_SECOND)
		w->is_limited = r == BUDGET_E_DAY;
	return r;
}

void
web_hold_text(struct web *w, int64_t now_ns, char *ret, size_t size)
{
	int64_t left_ns = w->breaker.until_ns - now_ns;

	if (breaker_state(&w->breaker, now_ns) == BREAKER_HALF_OPEN)
		snprintf(ret, size, "%s is being tried again after this: %s", w->service->name, w->hold_why);
	else
		snprintf(ret, size, "%s is left alone for another %lld s after this: %s", w->service->name,
			 (long long)((left_ns + CLOCK_SECOND_NS - 1) / CLOCK_SECOND_NS), w->hold_why);
}

static void
tell_down(struct web *w, int64_t now_ns)
{
	source_notice(w->source, SOURCE_DOWN, "%s is left alone for %.1f s, then tried again: %s",
		      w->service->name, (double)(w->breaker.until_ns - now_ns) / CLOCK_SECOND_NS,
		      w->hold_why);
}

static struct text
outcome_message(const struct outcome *o)
{
	return o->answer ? web_answer_message(o->answer) : TEXT("");
}

static void
denied(struct flight *f, const struct outcome *o, int64_t now_ns)
{
	struct web *w = f->web;
	struct text why = outcome_message(o);

	w->hold_status = TEXT("REQUEST_DENIED");
	(void)breaker_open(&w->breaker, f->breaker, now_ns, o->wait_ns > DENIED_NS ? o->wait_ns : DENIED_NS);
	if (!w->is_denied)
		source_notice(w->source, SOURCE_DENIED, "%s refuses us: %.*s", w->service->name, (int)why.len,
			      why.at);
	w->is_denied = true;
}

static void
failed(struct flight *f, const struct outcome *o, int64_t now_ns)
{
	struct web *w = f->web;
	bool is_news;

	w->hold_status = o->answer && text_equal(web_answer_status(o->answer), TEXT("OVER_QUERY_LIMIT"))
				 ? TEXT("OVER_QUERY_LIMIT")
				 : TEXT("UNKNOWN_ERROR");
	is_news = o->is_hold ? breaker_open(&w->breaker, f->breaker, now_ns, o->wait_ns)
			     : breaker_failed(&w->breaker, f->breaker, now_ns, web_random(w));
	if (is_news)
		tell_down(w, now_ns);
}

void
outcome_learn(struct flight *f, const struct outcome *o, int64_t now_ns)
{
	struct web *w = f->web;
	struct text why = outcome_message(o);

	if (o->is_denied || o->is_down)
		snprintf(w->hold_why, sizeof(w->hold_why), "%.*s", (int)why.len, why.at);
	if (o->is_denied) {
		denied(f, o, now_ns);
	} else if (o->is_down) {
		failed(f, o, now_ns);
	} else if (o->is_up) {
		w->is_denied = false;
		if (breaker_succeeded(&w->breaker, f->breaker))
			source_notice(w->source, SOURCE_UP, "%s answers again", w->service->name);
	} else {
		breaker_abandoned(&w->breaker, f->breaker);
	}
}

/* --- what came back ------------------------------------------------------------------ */

static void
read_nothing(const struct flight *f, const struct fetch_answer *a, struct outcome *ret)
{
	(void)web_answer_failure(&ret->answer, TEXT("UNKNOWN_ERROR"), "%s: %s", f->web->service->name,
				 a->error[0] ? a->error : "no answer");
	ret->is_again = a->result == FETCH_TIMEOUT || a->result == FETCH_UNREACHABLE ||
			a->result == FETCH_BROKEN;
	ret->is_down = a->result != FETCH_FAULT;
}

static void
read_failure(const struct flight *f, const struct fetch_answer *a, int64_t left_ns, struct outcome *ret)
{
	struct text status = web_answer_status(ret->answer);
	int64_t least_ns = a->status == HTTP_TOO_MANY ? f->web->service->pause_429_ns : 0;

	ret->is_denied = text_equal(status, TEXT("REQUEST_DENIED"));
	ret->is_up = text_equal(status, TEXT("INVALID_REQUEST")); /* our mistake; it is there */
	ret->is_down = !ret->is_denied && !ret->is_up;
	ret->wait_ns = a->retry_after_ns > least_ns ? a->retry_after_ns : least_ns;
	/* What asks for more patience than this question has asks everybody to be patient. */
	ret->is_hold = least_ns > 0 || (a->retry_after_ns >= left_ns &&
					(a->status == HTTP_TOO_MANY || a->status == HTTP_UNAVAILABLE));
}

struct outcome
outcome_read(const struct flight *f, const struct fetch_answer *a, int64_t left_ns)
{
	struct outcome o = {.answer = NULL};

	if (a->result != FETCH_DONE) {
		read_nothing(f, a, &o);
		return o;
	}
	if (f->web->service->read(&f->settings->service, a->status, a->body, web_settings_key(f->settings),
				  &o.answer, &o.is_again) < 0)
		return (struct outcome){.answer = NULL};
	if (web_answer_is_failure(o.answer))
		read_failure(f, a, left_ns, &o);
	else
		o.is_up = true;
	return o;
}

void
outcome_tell(const struct flight *f, const struct outcome *o)
{
	struct text why = outcome_message(o);

	if (!o->answer || !web_answer_is_failure(o->answer) || o->is_denied)
		return;
	source_notice(f->web->source, SOURCE_FAULT, "No places from %s: %.*s", f->web->service->name,
		      (int)why.len, why.at);
}
