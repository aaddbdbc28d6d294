/*
 * The service `overpass`: OpenStreetMap, asked through an Overpass API.
 *
 *   POST URL   data=[out:json]...   (https://wiki.openstreetmap.org/wiki/Overpass_API)
 *
 * Its servers are run by volunteers: they refuse who does not say who he is,
 * want to be asked one thing at a time, and left alone for a while when they
 * say so. In return an answer may be kept, and serves everybody around.
 *
 * An answer is cut at a count, and not at the farthest, so many more places
 * are asked for than are wanted. The best known come first: those with an
 * article or an entry in Wikidata, then those that have most to say.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "places/json.h"
#include "places/service-private.h"

enum {
	ASK_TIMES = 25,		 /* places asked for, for each one wanted */
	ANSWER_BYTES = 16 << 20, /* memory the server may use for it */
	TIMEOUT_MAX_S = 180,
	PAUSE_S = 30,
	WELL_KNOWN = 1000, /* tags that an article is worth */
};

#define ATTRIBUTION \
	"<a href=\"https://www.openstreetmap.org/copyright\">\xc2\xa9 OpenStreetMap contributors</a>"

static const char *const kinds[] = {"amenity", "shop", "tourism", "leisure", "historic", "office"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* --- asking --------------------------------------------------------------------- */

static int
write_query(const struct service_settings *settings, const struct service_query *query, struct buffer *body)
{
	char where[2 * JSON_DEGREES_MAX + 1], text[512];
	char *end = service_put_degrees(where, query->lat_e7);
	long long seconds = settings->timeout_ns / 1000000000;
	unsigned int bound = query->bound < 1 ? 1 : query->bound;
	uint64_t metres = service_metres(settings, query->radius_km, 1);
	int n;

	*end++ = ',';
	end = service_put_degrees(end, query->lon_e7);
	n = snprintf(text, sizeof(text),
		     "[out:json][timeout:%lld][maxsize:%d];\n"
		     "nwr(around:%llu,%.*s)[\"name\"]"
		     "[~\"^(amenity|shop|tourism|leisure|historic|office)$\"~\".\"];\n"
		     "out center qt %u;\n",
		     seconds < 1	       ? 1
		     : seconds > TIMEOUT_MAX_S ? TIMEOUT_MAX_S
					       : seconds,
		     ANSWER_BYTES, (unsigned long long)(metres > 0 ? metres : 1), (int)(end - where), where,
		     bound <= WEB_PLACES_MAX / ASK_TIMES ? bound * ASK_TIMES : WEB_PLACES_MAX);
	return service_encode(body, (struct text){text, (size_t)n});
}

/* herd/0.1.0 (+https://example.org/herd) */
static int
add_agent(struct service_request *r, struct text contact)
{
	char agent[512];
	int n;

	for (size_t i = 0; i < contact.len; i++)
		if (contact.at[i] == '(' || contact.at[i] == ')' || contact.at[i] == '\\')
			return -EINVAL;
	n = snprintf(agent, sizeof(agent), "herd/" PACKAGE_VERSION " (+%.*s)", (int)contact.len, contact.at);
	if (contact.len == 0 || n >= (int)sizeof(agent))
		return -EINVAL;
	return service_add_header(r, TEXT("User-Agent"), (struct text){agent, (size_t)n});
}

static int
overpass_ask(const struct service_settings *settings, const struct service_query *query, struct text key,
	     struct service_request *ret)
{
	struct text base;
	int r = service_base(service_text(settings->url), &base);

	(void)key;
	if (r == 0)
		r = service_join(&ret->url, (struct text[]){base, {"", 1}}, 2);
	if (r == 0) {
		ret->url.len--;
		ret->content_type = "application/x-www-form-urlencoded";
		r = add_agent(ret, service_text(settings->contact));
	}
	if (r == 0)
		r = service_join(&ret->body, (struct text[]){TEXT("data=")}, 1);
	if (r == 0)
		r = write_query(settings, query, &ret->body);
	if (r < 0)
		service_request_done(ret);
	return r;
}

/* --- one element ------------------------------------------------------------------ */

struct element {
	struct json_object *tags;
	struct text type; /* node, way, relation */
	uint64_t id;
	int32_t lat_e7, lon_e7;
	int prominence;
	size_t order;
};

static bool
read_position(struct json_object *element, struct element *e)
{
	struct json_object *at = text_equal(e->type, TEXT("node"))
					 ? element
					 : tree_get(element, "center", json_type_object);
	struct json_object *lat = NULL, *lon = NULL;

	return at && json_object_object_get_ex(at, "lat", &lat) &&
	       json_object_object_get_ex(at, "lon", &lon) && tree_degrees(lat, 90, &e->lat_e7) &&
	       tree_degrees(lon, 180, &e->lon_e7);
}

/* False: nothing that could be shown. */
static bool
read_element(struct json_object *element, size_t order, struct element *e)
{
	struct json_object *id = tree_get(element, "id", json_type_int);

	e->order = order;
	e->type = tree_string(element, "type");
	e->tags = tree_get(element, "tags", json_type_object);
	if (!id || json_object_get_int64(id) <= 0 || !tree_string(e->tags, "name").len)
		return false;
	if (!text_equal(e->type, TEXT("node")) && !text_equal(e->type, TEXT("way")) &&
	    !text_equal(e->type, TEXT("relation")))
		return false;
	e->id = (uint64_t)json_object_get_int64(id);
	e->prominence = json_object_object_length(e->tags);
	if (tree_string(e->tags, "wikipedia").len)
		e->prominence += WELL_KNOWN;
	if (tree_string(e->tags, "wikidata").len)
		e->prominence += WELL_KNOWN;
	return read_position(element, e);
}

static int
compare_elements(const void *one, const void *other)
{
	const struct element *a = one, *b = other;

	if (a->prominence != b->prominence)
		return a->prominence > b->prominence ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static void
put_type(struct pen *p, struct text type)
{
	pen_next(p);
	pen_string(p, type);
}

/* amenity=bar;cafe are two, shop=yes is a shop. */
static void
put_types(struct pen *p, struct json_object *tags)
{
	pen_member(p, TEXT("types"));
	pen_put(p, TEXT("["));
	for (size_t i = 0; i < KINDS; i++) {
		struct text rest = tree_string(tags, kinds[i]);

		if (text_equal(rest, TEXT("yes")))
			rest = text_of(kinds[i]);
		while (rest.len) {
			const char *end = memchr(rest.at, ';', rest.len);
			struct text type = {rest.at, end ? (size_t)(end - rest.at) : rest.len};

			rest.at += type.len + (end ? 1 : 0);
			rest.len -= type.len + (end ? 1 : 0);
			while (type.len && type.at[0] == ' ') {
				type.at++;
				type.len--;
			}
			if (type.len && !text_equal(type, TEXT("no")))
				put_type(p, type);
		}
	}
	put_type(p, TEXT("point_of_interest"));
	put_type(p, TEXT("establishment"));
	pen_put(p, TEXT("]"));
}

/* "308 Westwood Plaza, Los Angeles": as much of it as there is. */
static void
put_vicinity(struct pen *p, struct json_object *tags)
{
	struct text full = tree_string(tags, "addr:full"), house = tree_string(tags, "addr:housenumber");
	struct text street = tree_string(tags, "addr:street"), city = tree_string(tags, "addr:city");
	char text[1024];
	int n;

	if (!street.len)
		street = tree_string(tags, "addr:place");
	if (!street.len)
		house = TEXT("");
	if (full.len > 250 || house.len > 250 || street.len > 250 || city.len > 250)
		return; /* more than the database of OpenStreetMap takes */
	n = snprintf(text, sizeof(text), "%.*s%s%.*s%s%.*s", (int)house.len, house.at, house.len ? " " : "",
		     (int)street.len, street.at, street.len && city.len ? ", " : "", (int)city.len, city.at);
	if (full.len)
		n = snprintf(text, sizeof(text), "%.*s", (int)full.len, full.at);
	if (n <= 0)
		return;
	pen_member(p, TEXT("vicinity"));
	pen_string(p, (struct text){text, (size_t)n});
}

static void
put_place(struct pen *p, const struct element *e)
{
	char id[64];
	int n = snprintf(id, sizeof(id), "osm:%.*s/%llu", (int)e->type.len, e->type.at,
			 (unsigned long long)e->id);
	struct text place_id = {id, (size_t)n};

	pen_put(p, TEXT("{\"geometry\":{\"location\":{\"lat\":"));
	pen_degrees(p, e->lat_e7);
	pen_member(p, TEXT("lng"));
	pen_degrees(p, e->lon_e7);
	pen_put(p, TEXT("}}"));
	pen_member(p, TEXT("name"));
	pen_string(p, tree_string(e->tags, "name"));
	pen_member(p, TEXT("place_id"));
	pen_string(p, place_id);
	pen_member(p, TEXT("reference"));
	pen_string(p, place_id);
	pen_member(p, TEXT("scope"));
	pen_string(p, TEXT("OSM"));
	put_types(p, e->tags);
	put_vicinity(p, e->tags);
	pen_put(p, TEXT("}"));
}

/* --- the answer -------------------------------------------------------------------- */

static int
read_elements(const struct service_reading *rd, struct json_object *elements, struct web_draft *d)
{
	size_t count = json_object_array_length(elements), good = 0;
	CLEANUP(cleanup_free) struct element *all = calloc(count + 1, sizeof(*all));
	int r = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (read_element(json_object_array_get_idx(elements, i), i, &all[good]))
			good++;
	qsort(all, good, sizeof(*all), compare_elements);
	pen_string(&d->attributions, TEXT(ATTRIBUTION));
	for (size_t i = 0; r == 0 && i < good && d->count < WEB_PLACES_MAX; i++) {
		put_place(&d->place, &all[i]);
		r = web_draft_keep(d, all[i].lat_e7, all[i].lon_e7, NULL);
	}
	return r < 0 ? r : service_answer(rd, d);
}

static bool
begins(struct text t, struct text with)
{
	return t.len >= with.len && memcmp(t.at, with.at, with.len) == 0;
}

static int
read_http_error(const struct service_reading *rd, unsigned int http_status)
{
	switch (http_status) {
	case 406:
		return service_fail_because(rd, TEXT("REQUEST_DENIED"), false,
					    "the server refuses who asks (HTTP status 406): say who you are "
					    "with 'contact', or ask another server");
	case 429:
		return service_fail_because(rd, TEXT("OVER_QUERY_LIMIT"), true,
					    "the server has been asked too much (HTTP status 429)");
	case 504:
		return service_fail_because(rd, TEXT("UNKNOWN_ERROR"), true,
					    "the server is overloaded (HTTP status 504)");
	default: /* what comes with it is a page for people */
		return service_fail_http(rd, http_status, TEXT(""));
	}
}

static int
overpass_read(const struct service_settings *settings, unsigned int http_status, struct text body,
	      struct text key, struct web_answer **ret, bool *ret_retry)
{
	const struct service_reading rd = {TEXT("overpass"), key, ret, ret_retry};
	CLEANUP(tree_putp) struct json_object *root = NULL;
	CLEANUP(web_draft_done) struct web_draft d;
	struct json_object *elements;
	struct text remark;
	int r;

	(void)settings;
	web_draft_init(&d);
	if (http_status != 200)
		return read_http_error(&rd, http_status);
	r = service_parse(&rd, body, &root);
	if (!root)
		return r;
	remark = tree_string(root, "remark");
	if (begins(remark, TEXT("runtime error")))
		return service_fail(&rd, TEXT("UNKNOWN_ERROR"), false, remark);
	elements = tree_get(root, "elements", json_type_array);
	if (!elements)
		return service_fail_because(&rd, TEXT("UNKNOWN_ERROR"), false,
					    "the answer's elements are not an array");
	return read_elements(&rd, elements, &d);
}

const struct service service_overpass = {
	.name = "overpass",
	.wants_contact = true,
	.one_at_a_time = true,
	.cacheable = true,
	.pause_429_ns = PAUSE_S * INT64_C(1000000000),
	.ask = overpass_ask,
	.read = overpass_read,
};
