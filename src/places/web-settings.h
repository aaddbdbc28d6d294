#ifndef PLACES_WEB_SETTINGS_H
#define PLACES_WEB_SETTINGS_H
/*
 * Web settings: those of one service, its key with them, as they were at one
 * reload. What is under way holds on to those it began with.
 */
#include <stdbool.h>
#include <stdint.h>

#include "places/secret.h"
#include "places/service.h"
#include "places/source.h"

enum { WEB_TEXTS = 6 };

struct web_settings {
	unsigned int references;
	struct service_settings service; /* its texts are these: */
	char *texts[WEB_TEXTS];
	struct secret *key;	       /* NULL: none */
	struct source_service numbers; /* only these of it; what was not given has a default */
	double radius_max_km;

	const char
		*lack; /* NULL: it can be asked. Else a word for a status: "no key", "no contact", "no url" */
	char why[512]; /* what the operator has to do; for a log, it may name files */
	const char *reply; /* the same for clients */
};

/* given may be zeroed. -ENOMEM. */
int web_settings_new(struct web_settings **ret, const struct service *service, enum places_rank rank,
		     const struct source_service *given);
struct web_settings *web_settings_ref(struct web_settings *s);
/* Accepts NULL, returns NULL. */
struct web_settings *web_settings_unref(struct web_settings *s);

struct text web_settings_key(const struct web_settings *s);

/* A question would be asked of the same server in the same way. */
bool web_settings_ask_alike(const struct web_settings *a, const struct web_settings *b);
/* Nothing at all is different. */
bool web_settings_equal(const struct web_settings *a, const struct web_settings *b);

#endif
