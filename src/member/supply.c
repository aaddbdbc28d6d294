/*
 * Everything a service on the network causes is logged within limits: how
 * often it fails is not ours to decide.
 */
#include "config.h"

#include "member/supply.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"
#include "herd/events.h"
#include "member/member.h"
#include "places/embedded.h"

/* --- what the source notices ------------------------------------------------------- */

/* A places file, or what is used instead of one. */
static void
note_file(struct member *m, enum source_event event, const char *text)
{
	size_t len = event == SOURCE_BAD_FILE ? strlen(text) : 0, max = sizeof(m->health.places) - 1;

	len = len > max ? utf8_cut((struct text){text, max}) : len;
	memcpy(m->health.places, text, len);
	m->health.places[len] = '\0';
	if (event == SOURCE_BAD_FILE)
		log_event(LOG_ERR, MSG_PLACES_REFUSED, LOG_NO_FIELDS, "%s", text);
	else
		log_event(LOG_INFO, MSG_PLACES_LOADED, LOG_NO_FIELDS, "%s", text);
}

static void
note_service(enum source_event event, const char *text)
{
	static struct log_limit limits[SOURCE_EVENT_COUNT] = {
		[SOURCE_DOWN] = LOG_LIMIT("places services that fail", 5, 60),
		[SOURCE_UP] = LOG_LIMIT("places services that answer again", 5, 60),
		[SOURCE_DENIED] = LOG_LIMIT("places services that refuse requests", 3, 60),
		[SOURCE_LIMITED] = LOG_LIMIT("places budgets used up", 3, 60),
		[SOURCE_FAULT] = LOG_LIMIT("unusable answers of places services", 5, 60),
	};

	if (!log_limit_allow(&limits[event], clock_monotonic_ns()))
		return;
	if (event == SOURCE_DOWN)
		log_event(LOG_WARNING, MSG_PLACES_DOWN, LOG_NO_FIELDS, "%s", text);
	else if (event == SOURCE_UP)
		log_event(LOG_NOTICE, MSG_PLACES_UP, LOG_NO_FIELDS, "%s", text);
	else if (event == SOURCE_DENIED)
		log_event(LOG_ERR, MSG_PLACES_DENIED, LOG_NO_FIELDS, "%s", text);
	else if (event == SOURCE_LIMITED)
		log_event(LOG_WARNING, MSG_PLACES_LIMITED, LOG_NO_FIELDS, "%s", text);
	else
		log_event(LOG_WARNING, MSG_PLACES_FAULT, LOG_NO_FIELDS, "%s", text);
}

static void
supply_on_notice(void *arg, enum source_event event, const char *text)
{
	struct member *m = arg;

	if (event <= SOURCE_BAD_FILE)
		note_file(m, event, text);
	else
		note_service(event, text);
}

/* --- settings ------------------------------------------------------------------------ */

/* Everything source_new() wants to be given as a pointer; it copies what it keeps. */
struct wishes {
	const char *chain[SOURCE_CHAIN_MAX + 1];
	struct source_web web;
	struct source_options options;
};

static struct source_service
service_of(const struct conf *conf, enum conf_provider provider)
{
	const struct conf_service own = conf_service(conf, provider);

	return (struct source_service){
		.url = own.url,
		.key_file = own.key_file,
		.field_mask = own.field_mask,
		.language = own.language,
		.region = own.region,
		.types = own.types,
		.contact = own.contact,
		.timeout_ns = conf->places_timeout_ns,
		.connect_timeout_ns = conf->places_connect_timeout_ns,
		.cache_ttl_ns = own.cache_ttl_ns,
		.breaker_pause_ns = conf->places_breaker_pause_ns,
		.breaker_failures = conf->places_breaker_failures,
		.retries = conf->places_retries,
		.requests_per_second = own.per_second,
		.requests_per_day = own.per_day,
		.answer_max = conf->places_answer_max,
		.radius_max_m = own.radius_max_m,
		.cell_m = own.cell_m,
	};
}

/* Where the service manager lets a service keep what it has to; several are separated by colons. */
static const char *
state_dir(const struct conf *conf)
{
	const char *given = getenv("STATE_DIRECTORY");

	if (conf->places_state_dir[0] || !given || strchr(given, ':'))
		return conf->places_state_dir;
	return given;
}

static void
wish(struct wishes *w, struct member *m)
{
	const struct conf *conf = &m->conf;
	size_t count = 0;

	for (; count < conf->places_providers.count && count < SOURCE_CHAIN_MAX; count++)
		w->chain[count] = conf->places_providers.at[count];
	w->chain[count] = NULL;
	w->web = (struct source_web){
		.member = m->name,
		.state_dir = state_dir(conf),
		.ca_file = conf->places_ca_file,
		.proxy = conf->places_proxy,
		.user_agent = "herd/" PACKAGE_VERSION,
		.connections_max = conf->places_connections_max,
		.cache_size = conf->places_cache_size,
		.google = service_of(conf, CONF_PROVIDER_GOOGLE),
		.google_legacy = service_of(conf, CONF_PROVIDER_GOOGLE_LEGACY),
		.overpass = service_of(conf, CONF_PROVIDER_OVERPASS),
	};
	w->options = (struct source_options){
		.chain = w->chain,
		.file = conf->places_file,
		.rank = conf->places_rank == CONF_RANK_DISTANCE ? PLACES_DISTANCE : PLACES_PROMINENCE,
		.web = &w->web,
		.built_in = places_embedded(),
		.noticed = supply_on_notice,
		.noticed_arg = m,
	};
}

int
supply_open(struct member *m)
{
	struct wishes w;
	int r;

	wish(&w, m);
	r = source_new(&m->source, loop_base(m->loop), &w.options);
	return r < 0 ? log_error_r(r, "Cannot set up the source of places") : 0;
}

void
supply_apply(struct member *m)
{
	struct wishes w;
	int r;

	wish(&w, m);
	r = source_reload(m->source, &w.options);
	if (r < 0)
		log_error_r(r, "Cannot change the source of places, keeping the old one");
}

/* --- how it does ------------------------------------------------------------------------ */

void
supply_describe(struct member *m, struct report *r)
{
	struct source_state states[SOURCE_CHAIN_MAX];
	size_t count = source_states(m->source, states, SOURCE_CHAIN_MAX);

	if (m->health.places[0])
		report_degraded(r, "places: %s", m->health.places);
	for (size_t i = 0; i < count; i++) {
		const struct source_state *s = &states[i];

		if (s->day_max > 0)
			report_fact(r, "%s %u of %u requests today", s->provider, s->day_used, s->day_max);
		if (s->why[0])
			report_degraded(r, "places: %s: %s", s->provider, s->why);
	}
}

static struct json_object *
state_new(const struct source_state *s)
{
	const struct {
		const char *key;
		uint64_t value;
	} counts[] = {
		{"asked", s->asked},	     {"answered", s->answered}, {"coalesced", s->coalesced},
		{"cached", s->cached},	     {"failed", s->failed},	{"retried", s->retried},
		{"under_way", s->under_way}, {"waiting", s->waiting},	{"day_used", s->day_used},
		{"day_max", s->day_max},
	};
	struct json_object *state = json_object_new_object();

	if (!state)
		return NULL;
	control_add_string(state, "provider", s->provider);
	control_add_string(state, "state", s->state);
	control_add_string(state, "why", s->why);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct json_object *value = json_object_new_uint64(counts[i].value);

		if (value && json_object_object_add(state, counts[i].key, value) < 0)
			json_object_put(value);
	}
	return state;
}

void
supply_add_states(struct member *m, struct json_object *reply)
{
	struct source_state states[SOURCE_CHAIN_MAX];
	size_t count = source_states(m->source, states, SOURCE_CHAIN_MAX);
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; list && i < count; i++) {
		struct json_object *state = state_new(&states[i]);

		if (state && json_object_array_add(list, state) < 0)
			json_object_put(state);
	}
	if (list && json_object_object_add(reply, "places", list) < 0)
		json_object_put(list);
}
