#ifndef PLACES_SERVICE_H
#define PLACES_SERVICE_H
/*
 * Service: how one places service is asked and what its answers mean. Pure
 * functions, no I/O, no clock: google.c, google-legacy.c, overpass.c.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"
#include "core/places.h"
#include "places/answer.h"
#include "places/fetch.h"

enum {
	SERVICE_HEADERS_MAX = 4,
	SERVICE_MESSAGE_BYTES = 256, /* of an error message from outside */
	SERVICE_ASK_MAX = 20,	     /* places that Google gives at most */
};

struct service_settings {	/* of one [places NAME]; texts are not owned; NULL is "" */
	const char *url;	/* base: https://places.googleapis.com, https://maps.googleapis.com, or all of
			     https://overpass-api.de/api/interpreter */
	const char *field_mask; /* google: required, without spaces */
	const char *language;	/* google, google-legacy: languageCode, language; "" none */
	const char *region;	/* google: regionCode; "" none */
	const char *
		types; /* google: includedTypes, comma separated; google-legacy: the first as type; "" none */
	const char *contact;  /* overpass: required; printable ASCII without parentheses and backslashes */
	double radius_max_km; /* asked at most */
	enum places_rank rank;
	int64_t timeout_ns; /* overpass: what the server may take, in whole seconds and at least one */
};

struct service_query {
	int32_t lat_e7, lon_e7;
	double radius_km;   /* 0 to 50 */
	unsigned int bound; /* 1 to 20 */
};

/* Zero-initialised is valid. A GET without a body where content_type is NULL, else a POST. */
struct service_request {
	struct buffer url; /* ends with a NUL that len does not count; google-legacy: with the key in it */
	struct buffer body;
	const char *content_type;
	struct fetch_header headers[SERVICE_HEADERS_MAX]; /* texts in header_bytes, or static */
	size_t header_count;
	struct buffer header_bytes;
};

/* Wipes all that it holds, and frees it. */
void service_request_done(struct service_request *r);

struct service {
	const char *name; /* "google" */
	bool wants_key, wants_contact;
	bool one_at_a_time;
	bool cacheable;	      /* the terms allow it */
	int64_t pause_429_ns; /* at least so long after a 429 */

	/* key: "" if none. *ret is zero-initialised, and empty after a failure. -EINVAL: a setting or the key is missing or
	   cannot be sent as it is; -ENOMEM. */
	int (*ask)(const struct service_settings *settings, const struct service_query *query,
		   struct text key, struct service_request *ret);

	/* Any bytes, and the HTTP status they came with. Gives an answer whatever they are, which may be a failure:
	   0, or -ENOMEM. *ret_retry: the same question may be asked again soon (429, 5xx, UNKNOWN_ERROR of the service's own).
	   A key that is echoed in an error message reads "***"; an answer that has it elsewhere is a failure. */
	int (*read)(const struct service_settings *settings, unsigned int http_status, struct text body,
		    struct text key, struct web_answer **ret, bool *ret_retry);
};

extern const struct service service_google, service_google_legacy, service_overpass;

#endif
