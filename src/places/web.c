/*
 * Web: the providers: what is made, changed at a reload, and freed. Settings
 * are replaced as a whole, while what is under way goes on with those of
 * before; the breaker and the budget outlive them.
 */
#include "places/web.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "places/web-private.h"

/* Services by their index. */
static const struct service *const services[] = {&service_google, &service_google_legacy, &service_overpass};

static const struct source_web *
settings_of(const struct source_options *options)
{
	static const struct source_web none;

	return options->web ? options->web : &none;
}

static const struct source_service *
service_settings_of(const struct web *w, const struct source_options *options)
{
	const struct source_web *web = settings_of(options);
	const struct source_service *const each[] = {&web->google, &web->google_legacy, &web->overpass};

	return each[w->index];
}

/* --- events ------------------------------------------------------------------ */

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct web *w = arg;

	(void)fd;
	(void)what;
	assert(w->magic == WEB_MAGIC);
	web_hand_out(w);
}

static void
on_pace(evutil_socket_t fd, short what, void *arg)
{
	struct web *w = arg;

	(void)fd;
	(void)what;
	assert(w->magic == WEB_MAGIC);
	flight_next(w, clock_monotonic_ns());
}

/* --- the provider ---------------------------------------------------------------------- */

static void
web_describe(void *state, struct source_state *ret)
{
	struct web *w = state;
	int64_t now_ns = clock_monotonic_ns();
	enum breaker_state breaker = breaker_state(&w->breaker, now_ns);
	uint32_t day_max = w->settings->numbers.requests_per_day;

	ret->asked = w->asked;
	ret->answered = w->answered;
	ret->coalesced = w->coalesced;
	ret->cached = w->cached;
	ret->failed = w->failed;
	ret->retried = w->retried;
	ret->under_way = w->asking;
	ret->waiting = w->waiting;
	ret->day_used = budget_used(w->budget, clock_now_ns());
	ret->day_max = day_max;
	if (w->settings->lack) {
		ret->state = w->settings->lack;
		snprintf(ret->why, sizeof(ret->why), "%.*s",
			 (int)utf8_cut((struct text){w->settings->why,
						     strnlen(w->settings->why, sizeof(ret->why) - 1)}),
			 w->settings->why);
	} else if (breaker != BREAKER_CLOSED) {
		ret->state = breaker == BREAKER_HALF_OPEN ? "trying" : w->is_denied ? "denied" : "down";
		web_hold_text(w, now_ns, ret->why, sizeof(ret->why));
	} else if (day_max > 0 && ret->day_used >= day_max) {
		ret->state = "limited";
		snprintf(ret->why, sizeof(ret->why), "the requests of this day are used up");
	}
}

/* What the settings say to the parts that outlive them. */
static void
apply(struct web *w)
{
	const struct source_service *numbers = &w->settings->numbers;

	w->breaker.failures_max = numbers->breaker_failures;
	w->breaker.pause_ns = numbers->breaker_pause_ns;
	budget_limit(w->budget, numbers->requests_per_second, numbers->requests_per_day);
	if (numbers->cache_ttl_ns <= 0)
		cache_drop(w->shared->cache, w->index);
	if (w->settings->lack)
		source_notice(w->source, SOURCE_DENIED, "%s cannot be asked: %s", w->service->name,
			      w->settings->why);
}

static int
web_reload(void *state, const struct source_options *options)
{
	struct web *w = state;
	struct web_settings *settings;
	struct flight *f;
	int r;

	assert(w->magic == WEB_MAGIC);
	r = web_shared_configure(w->shared, settings_of(options));
	if (r == 0)
		r = web_settings_new(&settings, w->service, options->rank, service_settings_of(w, options));
	if (r < 0)
		return r;
	if (w->is_denied) { /* what was wrong may have been put right where we do not see it */
		breaker_reset(&w->breaker);
		w->is_denied = false;
	}
	if (web_settings_equal(settings, w->settings)) {
		web_settings_unref(settings);
		return 0;
	}
	for (f = TAILQ_FIRST(&w->all); f; f = TAILQ_NEXT(f, all))
		flight_leave_table(f);
	if (!web_settings_ask_alike(settings, w->settings)) {
		cache_drop(w->shared->cache, w->index);
		breaker_reset(&w->breaker); /* it may be another one */
	}
	web_settings_unref(w->settings);
	w->settings = settings;
	apply(w);
	return 0;
}

static void
free_flights(struct web *w)
{
	struct flight *f;

	w->current = NULL; /* no next one has its turn */
	while ((f = TAILQ_FIRST(&w->all))) {
		struct waiter *waiter;

		while ((waiter = TAILQ_FIRST(&f->waiters))) {
			TAILQ_REMOVE(&f->waiters, waiter, entry);
			free(waiter);
		}
		flight_free(f);
	}
}

static void
web_free(void *state)
{
	struct web *w = state;

	free_flights(w);
	if (w->on_turn)
		event_free(w->on_turn);
	if (w->on_pace)
		event_free(w->on_pace);
	keyed_done(&w->flights);
	budget_free(w->budget);
	if (w->shared)
		cache_drop(w->shared->cache, w->index);
	web_shared_leave(w->shared, w->source);
	web_settings_unref(w->settings);
	buffer_done(&w->json);
	w->magic = 0;
	free(w);
}

static void
web_freep(struct web **w)
{
	if (*w)
		web_free(*w);
}

static int
open_budget(struct web *w, const struct source_web *web)
{
	char name[128];

	snprintf(name, sizeof(name), "places-%.60s-%s.budget", web->member ? web->member : "member",
		 w->service->name);
	return budget_new(&w->budget, web->state_dir, name);
}

static int
make_parts(struct web *w, const struct source_options *options)
{
	const struct source_web *web = settings_of(options);
	int r;

	w->on_turn = event_new(w->base, -1, 0, on_turn, w);
	w->on_pace = event_new(w->base, -1, 0, on_pace, w);
	if (!w->on_turn || !w->on_pace)
		return -ENOMEM;
	r = keyed_init(&w->flights);
	if (r == 0)
		r = web_shared_join(&w->shared, w->source, w->base, web);
	if (r == 0)
		r = open_budget(w, web);
	if (r == 0)
		r = web_settings_new(&w->settings, w->service, options->rank,
				     service_settings_of(w, options));
	return r;
}

static int
web_new(uint32_t index, void **ret_state, struct source *s, struct event_base *base,
	const struct source_options *options)
{
	CLEANUP(web_freep) struct web *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->magic = WEB_MAGIC;
	w->index = index;
	w->service = services[index];
	w->source = s;
	w->base = base;
	w->json.max = WEB_ANSWER_BYTES;
	TAILQ_INIT(&w->all);
	TAILQ_INIT(&w->queue);
	TAILQ_INIT(&w->done);
	r = make_parts(w, options);
	if (r < 0)
		return r;
	apply(w);
	web_tell_trouble(w);
	*ret_state = w;
	w = NULL;
	return 0;
}

/* A provider is told nothing of its own name, so each has a maker of its own. */
#define PROVIDER(name_, index_)                                                             \
	static int name_##_new(void **ret_state, struct source *s, struct event_base *base, \
			       const struct source_options *options)                        \
	{                                                                                   \
		return web_new(index_, ret_state, s, base, options);                        \
	}                                                                                   \
	_Static_assert(1, "takes the semicolon")

PROVIDER(google, 0);
PROVIDER(google_legacy, 1);
PROVIDER(overpass, 2);

const struct source_provider source_google = {
	.name = "google",
	.new = google_new,
	.search = web_search,
	.cancel = web_cancel,
	.reload = web_reload,
	.describe = web_describe,
	.free = web_free,
};

const struct source_provider source_google_legacy = {
	.name = "google-legacy",
	.new = google_legacy_new,
	.search = web_search,
	.cancel = web_cancel,
	.reload = web_reload,
	.describe = web_describe,
	.free = web_free,
};

const struct source_provider source_overpass = {
	.name = "overpass",
	.new = overpass_new,
	.search = web_search,
	.cancel = web_cancel,
	.reload = web_reload,
	.describe = web_describe,
	.free = web_free,
};
