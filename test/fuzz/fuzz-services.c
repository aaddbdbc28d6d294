/*
 * Fuzzes what services answer: the first byte picks the service and the HTTP
 * status, the second who asks, the rest is the body. Whatever comes, an answer
 * is made of it; what an asker gets is one line of strict JSON with the members
 * promised, none too many and none too far, and never the key.
 */
#include <assert.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "places/service.h"
#include "places/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY "HerdSyTEST-KEY_0123456789"

static struct json_object *
parse(const struct buffer *out)
{
	struct json_tokener *tokener = json_tokener_new_ex(64);
	struct json_object *object;

	json_tokener_set_flags(tokener, tree_flags() | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, out->bytes, (int)out->len);
	assert(json_tokener_get_error(tokener) == json_tokener_success);
	assert(json_tokener_get_parse_end(tokener) == out->len);
	json_tokener_free(tokener);
	return object;
}

static struct json_object *
member(struct json_object *object, const char *name, enum json_type type)
{
	struct json_object *found = NULL;

	assert(json_object_object_get_ex(object, name, &found));
	assert(json_object_is_type(found, type));
	return found;
}

static void
check_results(struct json_object *results, const struct source_query *q, enum places_rank rank)
{
	size_t count = json_object_array_length(results);
	double before = 0;

	assert(count <= q->bound && count <= PLACES_BOUND_MAX);
	for (size_t i = 0; i < count; i++) {
		struct json_object *result = json_object_array_get_idx(results, i);
		struct json_object *geometry = member(result, "geometry", json_type_object);
		struct json_object *location = member(geometry, "location", json_type_object);
		double lat = json_object_get_double(json_object_object_get(location, "lat"));
		double lng = json_object_get_double(json_object_object_get(location, "lng"));
		double distance_m = places_distance_m(q->lat_e7, q->lon_e7,
						      (int32_t)__builtin_lrint(lat * 1e7),
						      (int32_t)__builtin_lrint(lng * 1e7));

		assert(lat >= -90 && lat <= 90 && lng >= -180 && lng <= 180);
		assert(distance_m <= q->radius_km * 1000);
		assert(rank != PLACES_DISTANCE || distance_m >= before);
		before = distance_m;
	}
}

static void
check(const struct web_answer *a, const struct source_query *q, enum places_rank rank)
{
	struct buffer out = {.max = WEB_ANSWER_BYTES};
	struct json_object *object, *results, *attributions;

	assert(web_answer_put(a, q, rank, &out) == 0);
	assert(!memchr(out.bytes, '\n', out.len) && !memchr(out.bytes, '\r', out.len));
	assert(!memmem(out.bytes, out.len, KEY, strlen(KEY)));
	object = parse(&out);
	results = member(object, "results", json_type_array);
	attributions = member(object, "html_attributions", json_type_array);
	for (size_t i = 0; i < json_object_array_length(attributions); i++)
		assert(json_object_is_type(json_object_array_get_idx(attributions, i), json_type_string));
	check_results(results, q, rank);
	assert(strcmp(json_object_get_string(member(object, "status", json_type_string)), "OK") == 0 ==
	       (json_object_array_length(results) > 0));
	assert(web_answer_is_failure(a) == json_object_object_get_ex(object, "error_message", NULL));
	if (web_answer_is_failure(a))
		assert(web_answer_message(a).len <= SERVICE_MESSAGE_BYTES);
	json_object_put(object);
	buffer_done(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct service *const services[] = {&service_google, &service_google_legacy,
							 &service_overpass};
	static const unsigned int statuses[] = {200, 200, 200, 400, 403, 429, 302, 503};
	static const struct service_settings settings;
	const struct service *service;
	struct source_query q = {340689300, -1184451270, 30000, 20};
	struct web_answer *a = NULL;
	bool retry;
	char *body;

	if (size < 2)
		return 0;
	service = services[data[0] % 3];
	q.bound = data[1] & 31;
	if (data[1] & 32)
		q.radius_km = 50;
	if (data[1] & 64)
		q.lat_e7 = q.lon_e7 = 0;
	body = malloc(size - 1); /* its end is watched */
	assert(body);
	memcpy(body, data + 2, size - 2);
	assert(service->read(&settings, statuses[data[0] / 3 % 8], (struct text){body, size - 2}, TEXT(KEY),
			     &a, &retry) == 0);
	free(body);
	assert(a);
	check(a, &q, data[1] & 128 ? PLACES_DISTANCE : PLACES_PROMINENCE);
	assert(web_answer_unref(a) == NULL);
	return 0;
}
