/* Tests of places/overpass.c: what is asked, and how elements become places. */
#include "service-help.h"

#include <errno.h>

#include "config.h"

static const struct service_settings settings = {
	.url = "https://overpass-api.de/api/interpreter",
	.contact = "https://example.org/herd; me@example.org",
	.radius_max_km = 5,
	.timeout_ns = 10500000000,
};
static const struct service_query ucla = {340689300, -1184451270, 1, 20};

static size_t
decode(struct text t, char *at)
{
	char *start = at;

	for (size_t i = 0; i < t.len; i++) {
		char hex[3] = {0};

		if (t.at[i] != '%') {
			*at++ = t.at[i];
			continue;
		}
		memcpy(hex, t.at + i + 1, 2);
		*at++ = (char)strtol(hex, NULL, 16);
		i += 2;
	}
	return (size_t)(at - start);
}

static void
check_query(const struct service_settings *s, const struct service_query *q, const char *want)
{
	struct service_request r = {.content_type = NULL};
	char query[1024];

	assert_int_equal(service_overpass.ask(s, q, TEXT(""), &r), 0);
	assert_text_equal(url_of(&r), text_of(s->url));
	assert_string_equal(r.content_type, "application/x-www-form-urlencoded");
	assert_int_equal(r.header_count, 1);
	check_header(&r, "User-Agent",
		     "herd/" PACKAGE_VERSION " (+https://example.org/herd; me@example.org)");
	assert_memory_equal(r.body.bytes, "data=%5Bout%3Ajson%5D", 21);
	assert_text_equal(((struct text){query, decode(body_of(&r), query)}), text_of(want));
	service_request_done(&r);
}

static void
test_request(void **state)
{
	struct service_settings s = settings;
	struct service_query q = {-900000000, 1800000000, 50, 2};

	(void)state;
	check_query(&s, &ucla,
		    "data=[out:json][timeout:10][maxsize:16777216];\n"
		    "nwr(around:1000,34.068930,-118.445127)[\"name\"]"
		    "[~\"^(amenity|shop|tourism|leisure|historic|office)$\"~\".\"];\n"
		    "out center qt 500;\n");
	s.timeout_ns = 999;
	check_query(&s, &q,
		    "data=[out:json][timeout:1][maxsize:16777216];\n"
		    "nwr(around:5000,-90.000000,180.000000)[\"name\"]"
		    "[~\"^(amenity|shop|tourism|leisure|historic|office)$\"~\".\"];\n"
		    "out center qt 50;\n");
}

static void
check_contact(const char *contact)
{
	struct service_request r = {.content_type = NULL};
	struct service_settings s = settings;

	s.contact = contact;
	assert_int_equal(service_overpass.ask(&s, &ucla, TEXT(""), &r), -EINVAL);
	assert_null(r.url.bytes);
	assert_null(r.body.bytes);
}

static void
test_contact(void **state)
{
	static char longest[600];

	(void)state;
	memset(longest, 'a', sizeof(longest) - 1);
	check_contact(NULL);
	check_contact("");
	check_contact("a\r\nX: y");
	check_contact("a)");
	check_contact("a\\");
	check_contact("\xc3\xa9");
	check_contact(longest);
}

static const char body[] =
	"{\"version\":0.6,\"generator\":\"Overpass API "
	"0.7.62.1\",\"osm3s\":{\"copyright\":\"ODbL\"},\"elements\":["
	"{\"type\":\"node\",\"id\":1,\"lat\":34.07,\"lon\":-118.44,\"tags\":{\"name\":\"Caf\xc3\xa9\","
	"\"amenity\":\"cafe; bar\","
	"\"addr:housenumber\":\"308\",\"addr:street\":\"Westwood Plaza\",\"addr:city\":\"Los Angeles\"}},"
	"{\"type\":\"way\",\"id\":2,\"center\":{\"lat\":34.0,\"lon\":-118.4},\"nodes\":[1,2],"
	"\"tags\":{\"name\":\"Museum\",\"tourism\":\"museum\",\"historic\":\"yes\",\"wikidata\":\"Q1\"}},"
	"{\"type\":\"relation\",\"id\":3,\"center\":{\"lat\":1,\"lon\":2},\"tags\":{\"name\":\"Shop\","
	"\"shop\":\"yes\"}}]}";

/* What has an article comes first, then what has more tags. */
static void
test_mapping(void **state)
{
	struct json_object *o = answer_to(&service_overpass, 200, body);

	(void)state;
	assert_json(o, "/status", "\"OK\"");
	assert_json(o, "/html_attributions",
		    "[\"<a href=\\\"https://www.openstreetmap.org/copyright\\\">\xc2\xa9 OpenStreetMap "
		    "contributors</a>\"]");
	assert_int_equal(count_results(o), 3);
	assert_json(o, "/results/0",
		    "{\"geometry\":{\"location\":{\"lat\":34,\"lng\":-118.4}},\"name\":\"Museum\","
		    "\"place_id\":\"osm:way/2\",\"reference\":\"osm:way/2\",\"scope\":\"OSM\","
		    "\"types\":[\"museum\",\"historic\",\"point_of_interest\",\"establishment\"]}");
	assert_json(o, "/results/1",
		    "{\"geometry\":{\"location\":{\"lat\":34.07,\"lng\":-118.44}},\"name\":\"Caf\xc3\xa9\","
		    "\"place_id\":\"osm:node/1\",\"reference\":\"osm:node/1\",\"scope\":\"OSM\","
		    "\"types\":[\"cafe\",\"bar\",\"point_of_interest\",\"establishment\"],"
		    "\"vicinity\":\"308 Westwood Plaza, Los Angeles\"}");
	assert_json(o, "/results/2/place_id", "\"osm:relation/3\"");
	assert_json(o, "/results/2/types", "[\"shop\",\"point_of_interest\",\"establishment\"]");
	assert_false(retry);
	json_object_put(o);
}

static void
check_tags(const char *tags, const char *path, const char *want)
{
	char text[1024];
	struct json_object *o;

	snprintf(text, sizeof(text),
		 "{\"elements\":[{\"type\":\"node\",\"id\":1,\"lat\":0,\"lon\":0,\"tags\":{\"name\":\"n\"%s}}"
		 "]}",
		 tags);
	o = answer_to(&service_overpass, 200, text);
	assert_int_equal(count_results(o), 1);
	assert_json(o, path, want);
	json_object_put(o);
}

static void
test_tags(void **state)
{
	static const char *const each[] = {"amenity", "shop", "tourism", "leisure", "historic", "office"};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(each); i++) {
		char tags[64], want[64];

		snprintf(tags, sizeof(tags), ",\"%s\":\"some\"", each[i]);
		check_tags(tags, "/results/0/types", "[\"some\",\"point_of_interest\",\"establishment\"]");
		snprintf(tags, sizeof(tags), ",\"%s\":\"yes\"", each[i]);
		snprintf(want, sizeof(want), "[\"%s\",\"point_of_interest\",\"establishment\"]", each[i]);
		check_tags(tags, "/results/0/types", want);
	}
	check_tags(",\"office\":\"no\",\"shop\":7,\"leisure\":\"; ;park;\"", "/results/0/types",
		   "[\"park\",\"point_of_interest\",\"establishment\"]");
	check_tags(",\"addr:street\":\"S\"", "/results/0/vicinity", "\"S\"");
	check_tags(",\"addr:city\":\"C\"", "/results/0/vicinity", "\"C\"");
	check_tags(",\"addr:housenumber\":\"1\"", "/results/0/vicinity", "absent");
	check_tags(",\"addr:housenumber\":\"1\",\"addr:city\":\"C\"", "/results/0/vicinity", "\"C\"");
	check_tags(",\"addr:housenumber\":\"1\",\"addr:place\":\"P\"", "/results/0/vicinity", "\"1 P\"");
	check_tags(",\"addr:full\":\"all of it\",\"addr:city\":\"C\"", "/results/0/vicinity",
		   "\"all of it\"");
	check_tags("", "/results/0/vicinity", "absent");
	check_tags(",\"x\":\"y\"", "/results/0/x", "absent");
}

static void
test_bad_elements_are_dropped(void **state)
{
	struct json_object *o = answer_to(
		&service_overpass, 200,
		"{\"elements\":[1,null,[],{},{\"type\":\"node\",\"id\":1,\"lat\":0,\"lon\":0},"
		"{\"type\":\"node\",\"id\":1,\"lat\":0,\"lon\":0,\"tags\":{\"name\":\"\"}},"
		"{\"type\":\"node\",\"id\":1,\"lat\":0,\"tags\":{\"name\":\"n\"}},"
		"{\"type\":\"node\",\"id\":1,\"lat\":90.5,\"lon\":0,\"tags\":{\"name\":\"n\"}},"
		"{\"type\":\"way\",\"id\":1,\"lat\":0,\"lon\":0,\"tags\":{\"name\":\"n\"}},"
		"{\"type\":\"area\",\"id\":1,\"lat\":0,\"lon\":0,\"tags\":{\"name\":\"n\"}},"
		"{\"type\":\"node\",\"id\":0,\"lat\":0,\"lon\":0,\"tags\":{\"name\":\"n\"}},"
		"{\"type\":\"node\",\"id\":\"1\",\"lat\":0,\"lon\":0,\"tags\":{\"name\":\"n\"}},"
		"{\"type\":\"node\",\"id\":12345678901,\"lat\":0,\"lon\":0,\"tags\":{\"name\":\"n\"}}]}");

	(void)state;
	assert_int_equal(count_results(o), 1);
	assert_json(o, "/results/0/place_id", "\"osm:node/12345678901\"");
	json_object_put(o);
	o = answer_to(&service_overpass, 200, "{\"elements\":[]}");
	assert_json(o, "/status", "\"ZERO_RESULTS\"");
	assert_true(has(o, "/html_attributions/0"));
	json_object_put(o);
}

/* More than are kept, and each of them once. */
static void
test_many(void **state)
{
	size_t max = 100 + 800 * 100;
	char *text = malloc(max), *at = text + snprintf(text, 100, "{\"elements\":[");
	struct web_answer *a;

	(void)state;
	for (int i = 1; i <= 800; i++)
		at += snprintf(
			at, 100,
			"%s{\"type\":\"node\",\"id\":%d,\"lat\":0,\"lon\":0,\"tags\":{\"name\":\"n\"}}",
			i > 1 ? "," : "", i);
	at += snprintf(at, 10, "]}");
	a = read_body(&service_overpass, 200, (struct text){text, (size_t)(at - text)});
	assert_int_equal(web_answer_count(a), WEB_PLACES_MAX);
	web_answer_unref(a);
	free(text);
}

static void
test_errors(void **state)
{
	(void)state;
	check_failure(
		&service_overpass, 200,
		"{\"elements\":[],\"remark\":\"runtime error: Query timed out in \\\"query\\\" at line 2\"}",
		"UNKNOWN_ERROR", "Query timed out", false);
	check_failure(&service_overpass, 406, "<html>", "REQUEST_DENIED", "contact", false);
	check_failure(&service_overpass, 429, "<html>", "OVER_QUERY_LIMIT", "429", true);
	check_failure(&service_overpass, 504, "<html>", "UNKNOWN_ERROR", "overloaded", true);
	check_failure(&service_overpass, 400, "<html>", "INVALID_REQUEST", "400", false);
	check_failure(&service_overpass, 403, "<html>", "REQUEST_DENIED", "403", false);
	check_failure(&service_overpass, 500, "<html>", "UNKNOWN_ERROR", "500", true);
	check_failure(&service_overpass, 302, body, "UNKNOWN_ERROR", "redirects to another place", false);
	check_failure(&service_overpass, 200, "{}", "UNKNOWN_ERROR", "not an array", false);
	check_failure(&service_overpass, 200, "{\"elements\":{}}", "UNKNOWN_ERROR", "not an array", false);
	check_hostile(&service_overpass);
}

static void
test_harmless_remark(void **state)
{
	struct json_object *o = answer_to(&service_overpass, 200,
					  "{\"elements\":[],\"remark\":\"runtime remark: fine\"}");

	(void)state;
	assert_json(o, "/status", "\"ZERO_RESULTS\"");
	json_object_put(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_contact),
		cmocka_unit_test(test_mapping),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_bad_elements_are_dropped),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_harmless_remark),
	};

	return cmocka_run_group_tests(tests, NULL, free_out);
}
