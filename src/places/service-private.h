#ifndef PLACES_SERVICE_PRIVATE_H
#define PLACES_SERVICE_PRIVATE_H
/* What the services share: parts of their requests, and one answer that is being read. */
#include "places/service.h"
#include "places/tree.h"

/* --- asking ---------------------------------------------------------------- */

/* A setting; NULL is "". */
static inline struct text
service_text(const char *setting)
{
	return setting ? text_of(setting) : TEXT("");
}

/* The texts one after another at the end of *out, which grows but once: what grows leaves copies behind, and there may
   be a key among them. -EINVAL: too long; -ENOMEM. */
int service_join(struct buffer *out, const struct text *parts, size_t count);

/* Appends t, all but letters, digits and -._~ as %XX. -EINVAL: too long; -ENOMEM. */
int service_encode(struct buffer *out, struct text t);

/* Copies the value; the name is static. -EINVAL: it is not printable ASCII, or too long; -ENOMEM. */
int service_add_header(struct service_request *r, struct text name, struct text value);

/* The base URL without a slash at its end. -EINVAL: it cannot be one, or something is asked after a ?. */
int service_base(struct text url, struct text *ret);

/* A key can be sent: 1 to 512 printable characters without blanks. */
bool service_key_is_good(struct text key);

/* Metres: rounded up, so that nothing within is left out, in steps of 1/per_metre; at most radius_max_km. */
uint64_t service_metres(const struct service_settings *settings, double radius_km, unsigned int per_metre);

/* As json_put_degrees(), but at least six decimals (room for JSON_DEGREES_MAX), the way the examples of some have it. */
char *service_put_degrees(char *out, int32_t e7);

/* The next item of a list with commas in between, without the blanks around it; empty ones are skipped. */
bool service_next_item(struct text *rest, struct text *ret);

/* --- reading --------------------------------------------------------------- */

struct service_reading {
	struct text name; /* of the service, for messages */
	struct text key;
	struct web_answer **ret;
	bool *ret_retry;
};

/* The answer is a failure; the message is from outside (a key in it is replaced, control characters too, and it is cut).
   0; -ENOMEM. */
int service_fail(const struct service_reading *rd, struct text status, bool retry, struct text message);

/* The same with a text of ours, after the service's name. */
int service_fail_because(const struct service_reading *rd, struct text status, bool retry, const char *format,
			 ...) __attribute__((format(printf, 4, 5)));

/* What an HTTP status other than 200 means; the message may be empty. */
int service_fail_http(const struct service_reading *rd, unsigned int http_status, struct text message);

/* An object of JSON; else *ret is NULL and the answer is a failure. 0; -ENOMEM. */
int service_parse(const struct service_reading *rd, struct text body, struct json_object **ret);

/* web_answer_new(); a failure if the key is in it, or it is too long. */
int service_answer(const struct service_reading *rd, const struct web_draft *d);

/* --- google-place.c -------------------------------------------------------- */

/* {"latitude":..,"longitude":..}, where zeros are left out; `point` may be NULL. False: it is none. */
bool google_read_point(struct json_object *point, int32_t *ret_lat_e7, int32_t *ret_lon_e7);

/* A place of the new API, at that position, as one of the old. */
void google_put_place(struct pen *p, struct json_object *place, int32_t lat_e7, int32_t lon_e7);

#endif
