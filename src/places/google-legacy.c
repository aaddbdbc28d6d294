/*
 * The service `google-legacy`: Nearby Search as it was before Places API (New).
 *
 *   GET URL/maps/api/place/nearbysearch/json?location=..&radius=..&key=..
 *
 * WHATSAT has the shape of its answers, so they are passed on with every member
 * they have. The API answers its own errors with HTTP status 200. The terms
 * forbid keeping answers.
 */
#include <errno.h>

#include "places/json.h"
#include "places/service-private.h"

/* --- asking --------------------------------------------------------------------- */

/* location=34.068930,-118.445127&radius=10000. When all are to be of one type, the nearest of them can be asked for,
   and then a radius is refused. */
static int
add_where(struct buffer *url, const struct service_settings *settings, const struct service_query *query,
	  bool nearest)
{
	char where[160];
	char *end = text_put(where, TEXT("?location="));
	uint64_t metres = service_metres(settings, query->radius_km, 1);

	end = service_put_degrees(end, query->lat_e7);
	*end++ = ',';
	end = service_put_degrees(end, query->lon_e7);
	if (nearest) {
		end = text_put(end, TEXT("&rankby=distance"));
	} else {
		end = text_put(end, TEXT("&radius="));
		end = text_put_u64(end, metres > 0 ? metres : 1);
	}
	return buffer_append(url, (struct text){where, (size_t)(end - where)}) < 0 ? -ENOMEM : 0;
}

static int
add_parameter(struct buffer *url, struct text name, struct text value)
{
	if (value.len == 0)
		return 0;
	if (buffer_append(url, name) < 0)
		return -ENOMEM;
	return service_encode(url, value);
}

static int
write_url(const struct service_settings *settings, const struct service_query *query, struct text key,
	  struct buffer *url)
{
	struct text types = service_text(settings->types), type = TEXT("");
	bool nearest = service_next_item(&types, &type) && settings->rank == PLACES_DISTANCE;
	int r = add_where(url, settings, query, nearest);

	if (r == 0)
		r = add_parameter(url, TEXT("&type="), type);
	if (r == 0)
		r = add_parameter(url, TEXT("&language="), service_text(settings->language));
	if (r == 0)
		r = add_parameter(url, TEXT("&key="), key);
	if (r == 0)
		r = buffer_append(url, (struct text){"", 1}) < 0 ? -ENOMEM : 0;
	if (r == 0)
		url->len--;
	return r;
}

static int
legacy_ask(const struct service_settings *settings, const struct service_query *query, struct text key,
	   struct service_request *ret)
{
	struct text base;
	size_t bytes;
	int r = service_base(service_text(settings->url), &base);

	if (r == 0 && !service_key_is_good(key))
		r = -EINVAL;
	if (r == 0)
		r = service_join(&ret->url, (struct text[]){base, TEXT("/maps/api/place/nearbysearch/json")},
				 2);
	/* Room for all that comes, so that the key is written but once. */
	bytes = 256 +
		3 * (service_text(settings->types).len + service_text(settings->language).len + key.len);
	if (r == 0 && !buffer_reserve(&ret->url, bytes))
		r = bytes > ret->url.max / 2 ? -EINVAL : -ENOMEM;
	if (r == 0)
		r = write_url(settings, query, key, &ret->url);
	if (r < 0)
		service_request_done(ret);
	return r;
}

/* --- reading --------------------------------------------------------------------- */

/* A result without a sane position is left out. 0; -ENOMEM. */
static int
add_result(struct web_draft *d, struct json_object *result)
{
	struct json_object *geometry = tree_get(result, "geometry", json_type_object);
	struct json_object *location = tree_get(geometry, "location", json_type_object);
	struct json_object *lat = NULL, *lng = NULL;
	int32_t lat_e7, lon_e7;

	if (!location || !json_object_object_get_ex(location, "lat", &lat) ||
	    !json_object_object_get_ex(location, "lng", &lng) || !tree_degrees(lat, 90, &lat_e7) ||
	    !tree_degrees(lng, 180, &lon_e7))
		return 0;
	pen_tree(&d->place, result);
	return web_draft_keep(d, lat_e7, lon_e7, NULL);
}

/* The strings of an array, with commas between them. */
static void
put_strings(struct pen *p, struct json_object *array)
{
	size_t count = array ? json_object_array_length(array) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *one = json_object_array_get_idx(array, i);

		if (!json_object_is_type(one, json_type_string))
			continue;
		pen_next(p);
		pen_string(p, tree_text(one));
	}
}

static void
read_head(struct json_object *root, struct web_draft *d)
{
	struct json_object *info = tree_get(root, "info_messages", json_type_array);
	struct text token = tree_string(root, "next_page_token");

	put_strings(&d->attributions, tree_get(root, "html_attributions", json_type_array));
	if (info) {
		pen_put(&d->members, TEXT(",\"info_messages\":"));
		pen_tree(&d->members, info);
	}
	if (token.len) {
		pen_put(&d->members, TEXT(",\"next_page_token\":"));
		pen_string(&d->members, token);
	}
}

static int
read_results(const struct service_reading *rd, struct json_object *root, bool any, struct web_draft *d)
{
	struct json_object *results = tree_get(root, "results", json_type_array);
	size_t count = results ? json_object_array_length(results) : 0;
	int r = 0;

	if (any && !results)
		return service_fail_because(rd, TEXT("UNKNOWN_ERROR"), false,
					    "the answer's results are not an array");
	read_head(root, d);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_result(d, json_object_array_get_idx(results, i));
	return r < 0 ? r : service_answer(rd, d);
}

/* Status words that say why there are no results. */
static int
read_refusal(const struct service_reading *rd, struct json_object *root)
{
	static const struct {
		struct text word, status;
		bool retry;
	} words[] = {
		{TEXT("OVER_QUERY_LIMIT"), TEXT("OVER_QUERY_LIMIT"), true},
		{TEXT("OVER_DAILY_LIMIT"), TEXT("OVER_QUERY_LIMIT"), false},
		{TEXT("REQUEST_DENIED"), TEXT("REQUEST_DENIED"), false},
		{TEXT("INVALID_REQUEST"), TEXT("INVALID_REQUEST"), false},
		{TEXT("UNKNOWN_ERROR"), TEXT("UNKNOWN_ERROR"), true},
	};
	struct text status = tree_string(root, "status"), message = tree_string(root, "error_message");

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!text_equal(status, words[i].word))
			continue;
		if (message.len)
			return service_fail(rd, words[i].status, words[i].retry, message);
		return service_fail_because(rd, words[i].status, words[i].retry,
					    "the service answers %s without saying why", words[i].word.at);
	}
	return service_fail_because(rd, TEXT("UNKNOWN_ERROR"), false,
				    status.len ? "the answer has a status that is not known"
					       : "the answer has no status");
}

static int
read_http_error(const struct service_reading *rd, unsigned int http_status, struct text body)
{
	CLEANUP(tree_putp) struct json_object *root = NULL;
	struct text message = TEXT("");
	const char *why;

	if (http_status >= 400 && tree_parse(body, &root, &why) == 0)
		message = tree_string(root, "error_message");
	return service_fail_http(rd, http_status, message);
}

static int
legacy_read(const struct service_settings *settings, unsigned int http_status, struct text body,
	    struct text key, struct web_answer **ret, bool *ret_retry)
{
	const struct service_reading rd = {TEXT("google-legacy"), key, ret, ret_retry};
	CLEANUP(tree_putp) struct json_object *root = NULL;
	CLEANUP(web_draft_done) struct web_draft d;
	struct text status;
	int r;

	(void)settings;
	web_draft_init(&d);
	if (http_status != 200)
		return read_http_error(&rd, http_status, body);
	r = service_parse(&rd, body, &root);
	if (!root)
		return r;
	status = tree_string(root, "status");
	if (text_equal(status, TEXT("OK")))
		return read_results(&rd, root, true, &d);
	if (text_equal(status, TEXT("ZERO_RESULTS")))
		return read_results(&rd, root, false, &d);
	return read_refusal(&rd, root);
}

const struct service service_google_legacy = {
	.name = "google-legacy",
	.wants_key = true,
	.ask = legacy_ask,
	.read = legacy_read,
};
