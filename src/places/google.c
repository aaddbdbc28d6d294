/*
 * The service `google`: Places API (New), Nearby Search.
 *
 *   POST URL/v1/places:searchNearby   (google/maps/places/v1/places_service.proto)
 *
 * Its answers are written as those of the old API, which is what WHATSAT
 * promises: google-place.c. The terms forbid keeping answers.
 */
#include <errno.h>

#include "places/json.h"
#include "places/service-private.h"

enum { TYPES_MAX = 50 };

/* --- asking --------------------------------------------------------------------- */

static bool
is_mask(struct text mask)
{
	for (size_t i = 0; i < mask.len; i++) {
		char c = mask.at[i];

		if (!text_is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c && strchr("._*,", c)))
			return false;
	}
	return mask.len > 0;
}

static void
put_degrees_member(struct pen *p, struct text name, int32_t e7)
{
	pen_member(p, name);
	pen_degrees(p, e7);
}

static void
put_circle(struct pen *p, const struct service_settings *settings, const struct service_query *query)
{
	uint64_t tenths = service_metres(settings, query->radius_km, 10);

	if (tenths == 0)
		tenths = 1; /* a circle at least */
	pen_member(p, TEXT("locationRestriction"));
	pen_put(p, TEXT("{\"circle\":{\"center\":{"));
	put_degrees_member(p, TEXT("latitude"), query->lat_e7);
	put_degrees_member(p, TEXT("longitude"), query->lon_e7);
	pen_put(p, TEXT("},\"radius\":"));
	pen_u64(p, tenths / 10);
	pen_put(p, TEXT("."));
	pen_u64(p, tenths % 10);
	pen_put(p, TEXT("}}"));
}

static void
put_types(struct pen *p, struct text types)
{
	struct text type;

	if (!service_next_item(&types, &type))
		return;
	pen_member(p, TEXT("includedTypes"));
	pen_put(p, TEXT("["));
	for (int i = 0; i < TYPES_MAX; i++) {
		pen_next(p);
		pen_string(p, type);
		if (!service_next_item(&types, &type))
			break;
	}
	pen_put(p, TEXT("]"));
}

static void
put_setting(struct pen *p, struct text name, struct text value)
{
	if (!value.len)
		return;
	pen_member(p, name);
	pen_string(p, value);
}

static int
write_body(const struct service_settings *settings, const struct service_query *query, struct buffer *out)
{
	struct pen p = {.out = {.max = 1 << 16}};
	unsigned int bound = query->bound < 1		      ? 1
			     : query->bound > SERVICE_ASK_MAX ? SERVICE_ASK_MAX
							      : query->bound;

	pen_put(&p, TEXT("{\"maxResultCount\":"));
	pen_u64(&p, bound);
	pen_member(&p, TEXT("rankPreference"));
	pen_string(&p, settings->rank == PLACES_DISTANCE ? TEXT("DISTANCE") : TEXT("POPULARITY"));
	put_circle(&p, settings, query);
	put_types(&p, service_text(settings->types));
	put_setting(&p, TEXT("languageCode"), service_text(settings->language));
	put_setting(&p, TEXT("regionCode"), service_text(settings->region));
	pen_put(&p, TEXT("}"));
	*out = p.out;
	return p.full ? -ENOMEM : 0;
}

static int
google_ask(const struct service_settings *settings, const struct service_query *query, struct text key,
	   struct service_request *ret)
{
	struct text base, mask = service_text(settings->field_mask);
	int r = service_base(service_text(settings->url), &base);

	if (r == 0 && (!service_key_is_good(key) || !is_mask(mask)))
		r = -EINVAL;
	if (r == 0)
		r = service_join(&ret->url, (struct text[]){base, TEXT("/v1/places:searchNearby"), {"", 1}},
				 3);
	if (r == 0) {
		ret->url.len--;
		ret->content_type = "application/json";
		r = service_add_header(ret, TEXT("X-Goog-Api-Key"), key);
	}
	if (r == 0)
		r = service_add_header(ret, TEXT("X-Goog-FieldMask"), mask);
	if (r == 0)
		r = write_body(settings, query, &ret->body);
	if (r < 0)
		service_request_done(ret);
	return r;
}

/* --- the answer -------------------------------------------------------------------- */

/* Is the string, quotes and all, one of a list's? */
static bool
list_has(struct text list, struct text wanted)
{
	size_t at = 0;

	while (at < list.len) {
		size_t start = at++;

		while (list.at[at] != '"')
			at += list.at[at] == '\\' ? 2 : 1;
		at++;
		if (text_equal((struct text){list.at + start, at - start}, wanted))
			return true;
		at++; /* the comma */
	}
	return false;
}

/* Adds one, unless it stands there already. */
static void
put_attribution(struct pen *p, struct text provider, struct text uri)
{
	size_t before = p->out.len, start;

	pen_next(p);
	start = p->out.len;
	pen_link(p, provider, uri);
	if (!p->full && list_has((struct text){p->out.bytes, before},
				 (struct text){p->out.bytes + start, p->out.len - start}))
		p->out.len = before;
}

/* False: there is not room for all of them, and none was added. */
static bool
put_attributions(struct pen *p, struct json_object *place)
{
	struct json_object *attributions = tree_get(place, "attributions", json_type_array);
	size_t count = attributions ? json_object_array_length(attributions) : 0;
	size_t before = p->out.len;

	for (size_t i = 0; i < count; i++) {
		struct json_object *one = json_object_array_get_idx(attributions, i);
		struct text provider = tree_string(one, "provider"), uri = tree_string(one, "providerUri");

		if (provider.len || uri.len)
			put_attribution(p, provider.len ? provider : uri, uri);
	}
	if (!p->full && p->out.len <= WEB_HEAD_BYTES - 128)
		return true;
	p->full = false;
	p->out.len = before;
	return false;
}

/* What cannot be placed, named or attributed is left out. 0; -ENOMEM. */
static int
add_place(struct web_draft *d, struct json_object *place)
{
	int32_t lat, lon;
	size_t attributed = d->attributions.out.len;
	bool kept = false;
	int r;

	if (!google_read_point(tree_get(place, "location", json_type_object), &lat, &lon))
		return 0;
	if (!tree_string(place, "id").len &&
	    !tree_string(tree_get(place, "displayName", json_type_object), "text").len)
		return 0;
	if (!put_attributions(&d->attributions, place))
		return 0;
	google_put_place(&d->place, place, lat, lon);
	r = web_draft_keep(d, lat, lon, &kept);
	if (!kept)
		d->attributions.out.len = attributed;
	return r;
}

static int
read_places(const struct service_reading *rd, struct json_object *root, struct web_draft *d)
{
	struct json_object *places;
	int r = 0;

	if (json_object_object_get_ex(root, "places", &places)) {
		if (!json_object_is_type(places, json_type_array))
			return service_fail_because(rd, TEXT("UNKNOWN_ERROR"), false,
						    "the answer's places are not an array");
		for (size_t i = 0; r == 0 && i < json_object_array_length(places); i++)
			r = add_place(d, json_object_array_get_idx(places, i));
	} else if (json_object_object_length(root) > 0) {
		return service_fail_because(rd, TEXT("UNKNOWN_ERROR"), false, "the answer has no places");
	}
	return r < 0 ? r : service_answer(rd, d);
}

/* --- errors: google.rpc.Status ------------------------------------------------------ */

static bool
has_reason(struct json_object *error, struct text wanted)
{
	struct json_object *details = tree_get(error, "details", json_type_array);
	size_t count = details ? json_object_array_length(details) : 0;

	for (size_t i = 0; i < count; i++)
		if (text_equal(tree_string(json_object_array_get_idx(details, i), "reason"), wanted))
			return true;
	return false;
}

/* The old API's word for a status of the new one; empty: none. */
static struct text
status_of(struct json_object *error)
{
	static const struct {
		struct text rpc, legacy;
	} words[] = {
		{TEXT("INVALID_ARGUMENT"), TEXT("INVALID_REQUEST")},
		{TEXT("FAILED_PRECONDITION"), TEXT("INVALID_REQUEST")},
		{TEXT("OUT_OF_RANGE"), TEXT("INVALID_REQUEST")},
		{TEXT("PERMISSION_DENIED"), TEXT("REQUEST_DENIED")},
		{TEXT("UNAUTHENTICATED"), TEXT("REQUEST_DENIED")},
		{TEXT("RESOURCE_EXHAUSTED"), TEXT("OVER_QUERY_LIMIT")},
	};
	struct text status = tree_string(error, "status");

	if (has_reason(error, TEXT("API_KEY_INVALID")))
		return TEXT("REQUEST_DENIED");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (text_equal(status, words[i].rpc))
			return words[i].legacy;
	return TEXT("");
}

static int
read_error(const struct service_reading *rd, unsigned int http_status, struct json_object *error)
{
	struct text status = status_of(error), message = tree_string(error, "message");
	bool retry = http_status == 429 || http_status >= 500;

	if (http_status < 400 && !status.len)
		status = TEXT("UNKNOWN_ERROR");
	if (!status.len)
		return service_fail_http(rd, http_status, message);
	if (!message.len)
		return service_fail_because(rd, status, retry, "the service answers with an error");
	return service_fail(rd, status, retry, message);
}

static int
read_http_error(const struct service_reading *rd, unsigned int http_status, struct text body)
{
	CLEANUP(tree_putp) struct json_object *root = NULL;
	struct json_object *error = NULL;
	const char *why;

	if (http_status >= 400 && tree_parse(body, &root, &why) == 0)
		error = tree_get(root, "error", json_type_object);
	return error ? read_error(rd, http_status, error) : service_fail_http(rd, http_status, TEXT(""));
}

static int
google_read(const struct service_settings *settings, unsigned int http_status, struct text body,
	    struct text key, struct web_answer **ret, bool *ret_retry)
{
	const struct service_reading rd = {TEXT("google"), key, ret, ret_retry};
	CLEANUP(tree_putp) struct json_object *root = NULL;
	CLEANUP(web_draft_done) struct web_draft d;
	struct json_object *error;
	int r;

	(void)settings;
	web_draft_init(&d);
	if (http_status != 200)
		return read_http_error(&rd, http_status, body);
	r = service_parse(&rd, body, &root);
	if (!root)
		return r;
	error = tree_get(root, "error", json_type_object);
	return error ? read_error(&rd, http_status, error) : read_places(&rd, root, &d);
}

const struct service service_google = {
	.name = "google",
	.wants_key = true,
	.ask = google_ask,
	.read = google_read,
};
