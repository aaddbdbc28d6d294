/*
 * Web settings: copied, because those of the program are gone before the last
 * question that was asked with them has its answer.
 */
#include "places/web-settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
	RADIUS_MAX_M = 50000, /* of a WHATSAT */
	ANSWER_MAX = 1 << 20,
};

#define TIMEOUT_NS (5 * CLOCK_SECOND_NS)

#define KEY_OF_ALL "google-key" /* one key may be good for both of Google's services */

static int
copy_texts(struct web_settings *s, const struct source_service *given)
{
	const char *const from[WEB_TEXTS] = {given->url,    given->field_mask, given->language,
					     given->region, given->types,      given->contact};

	for (size_t i = 0; i < WEB_TEXTS; i++) {
		s->texts[i] = strdup(from[i] ? from[i] : "");
		if (!s->texts[i])
			return -ENOMEM;
	}
	s->service.url = s->texts[0];
	s->service.field_mask = s->texts[1];
	s->service.language = s->texts[2];
	s->service.region = s->texts[3];
	s->service.types = s->texts[4];
	s->service.contact = s->texts[5];
	return 0;
}

static void
copy_numbers(struct web_settings *s, const struct source_service *given)
{
	struct source_service *n = &s->numbers;

	*n = *given;
	n->url = n->key_file = n->field_mask = n->language = n->region = n->types = n->contact = NULL;
	if (n->timeout_ns <= 0)
		n->timeout_ns = TIMEOUT_NS;
	if (n->connect_timeout_ns <= 0 || n->connect_timeout_ns > n->timeout_ns)
		n->connect_timeout_ns = n->timeout_ns;
	if (n->answer_max == 0)
		n->answer_max = ANSWER_MAX;
	if (n->radius_max_m == 0 || n->radius_max_m > RADIUS_MAX_M)
		n->radius_max_m = RADIUS_MAX_M;
	s->radius_max_km = n->radius_max_m / 1000.0;
	s->service.radius_max_km = s->radius_max_km;
	s->service.timeout_ns = n->timeout_ns;
}

static void
lacks(struct web_settings *s, const char *what, const char *reply, const char *why)
{
	s->lack = what;
	s->reply = reply;
	snprintf(s->why, sizeof(s->why), "%s%s%s", reply, why[0] ? ": " : "", why);
}

/* -ENOMEM only: a key that cannot be had is something for the operator to read. */
static int
load_key(struct web_settings *s, const struct service *service, const char *file)
{
	char why[SECRET_WHY_MAX] = "", credential[64];
	int r;

	snprintf(credential, sizeof(credential), "%s-key", service->name);
	r = secret_load(&s->key, credential, file, why);
	if (r == SECRET_E_NONE)
		r = secret_load(&s->key, KEY_OF_ALL, NULL, why);
	if (r == -ENOMEM)
		return r;
	if (r != 0)
		lacks(s, "no key",
		      r > 0 ? "there is no key for it, see 'key-file' in herd.conf(5)"
			    : "its key cannot be used, see 'key-file' in herd.conf(5)",
		      r > 0 ? "" : why);
	return 0;
}

static int
find_lack(struct web_settings *s, const struct service *service, const char *key_file)
{
	int r = service->wants_key ? load_key(s, service, key_file) : 0;

	if (r < 0 || s->lack)
		return r;
	if (!s->service.url[0])
		lacks(s, "no url", "there is no address of it, set 'url' in herd.conf(5)", "");
	else if (service->wants_contact && !s->service.contact[0])
		lacks(s, "no contact", "it answers nobody it cannot write to, set 'contact' in herd.conf(5)",
		      "");
	return 0;
}

int
web_settings_new(struct web_settings **ret, const struct service *service, enum places_rank rank,
		 const struct source_service *given)
{
	struct web_settings *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->references = 1;
	s->service.rank = rank;
	copy_numbers(s, given);
	r = copy_texts(s, given);
	if (r == 0)
		r = find_lack(s, service, given->key_file);
	if (r < 0) {
		web_settings_unref(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct web_settings *
web_settings_ref(struct web_settings *s)
{
	s->references++;
	return s;
}

struct web_settings *
web_settings_unref(struct web_settings *s)
{
	if (!s || --s->references > 0)
		return NULL;
	secret_free(s->key);
	for (size_t i = 0; i < WEB_TEXTS; i++)
		free(s->texts[i]);
	free(s);
	return NULL;
}

struct text
web_settings_key(const struct web_settings *s)
{
	return s->key ? secret_text(s->key) : TEXT("");
}

bool
web_settings_ask_alike(const struct web_settings *a, const struct web_settings *b)
{
	for (size_t i = 0; i < WEB_TEXTS; i++)
		if (strcmp(a->texts[i], b->texts[i]) != 0)
			return false;
	return a->service.rank == b->service.rank && a->numbers.radius_max_m == b->numbers.radius_max_m &&
	       text_equal(web_settings_key(a), web_settings_key(b));
}

bool
web_settings_equal(const struct web_settings *a, const struct web_settings *b)
{
	const struct source_service *m = &a->numbers, *n = &b->numbers;

	return web_settings_ask_alike(a, b) && strcmp(a->why, b->why) == 0 &&
	       m->timeout_ns == n->timeout_ns && m->connect_timeout_ns == n->connect_timeout_ns &&
	       m->cache_ttl_ns == n->cache_ttl_ns && m->breaker_pause_ns == n->breaker_pause_ns &&
	       m->breaker_failures == n->breaker_failures && m->retries == n->retries &&
	       m->requests_per_second == n->requests_per_second &&
	       m->requests_per_day == n->requests_per_day && m->answer_max == n->answer_max &&
	       m->cell_m == n->cell_m;
}
