/* Tests of places/google.c: what is asked, and every row of the mapping to the old shape. */
#include "service-help.h"

#include <errno.h>

static const struct service_settings settings = {
	.url = "https://places.googleapis.com",
	.field_mask = "places.id,places.displayName,places.location",
	.radius_max_km = 50,
	.rank = PLACES_PROMINENCE,
};
static const struct service_query ucla = {340689300, -1184451270, 10, 20};

static const char full[] =
	"{\"places\":[{"
	"\"name\":\"places/ChIJ1\",\"id\":\"ChIJ1\",\"displayName\":{\"text\":\"Caf\\u00e9 "
	"\\\"1\\\"\",\"languageCode\":\"en\"},"
	"\"location\":{\"latitude\":-33.8587323,\"longitude\":151.2100055},"
	"\"viewport\":{\"low\":{\"latitude\":-33.86,\"longitude\":151.2},\"high\":{\"latitude\":-33.85,"
	"\"longitude\":151.22}},"
	"\"types\":[\"bar\",\"cafe\",\"restaurant\"],\"primaryType\":\"cafe\","
	"\"shortFormattedAddress\":\"Level 1, Circular Quay\",\"formattedAddress\":\"Level 1, Circular Quay, "
	"Sydney\","
	"\"businessStatus\":\"OPERATIONAL\","
	"\"plusCode\":{\"globalCode\":\"4RRH46R6+G2\",\"compoundCode\":\"46R6+G2 The Rocks\"},"
	"\"rating\":4.5,\"userRatingCount\":1269,\"priceLevel\":\"PRICE_LEVEL_MODERATE\","
	"\"iconMaskBaseUri\":\"https://maps.gstatic.com/cafe_pinlet\",\"iconBackgroundColor\":\"#FF9E67\","
	"\"currentOpeningHours\":{\"openNow\":false},\"regularOpeningHours\":{\"openNow\":true},"
	"\"photos\":[{\"name\":\"places/ChIJ1/photos/A\",\"widthPx\":1080,\"heightPx\":608,"
	"\"authorAttributions\":[{\"displayName\":\"A "
	"<b>\",\"uri\":\"https://maps.google.com/x?a=1&b=2\"}]}],"
	"\"attributions\":[{\"provider\":\"List & Co\",\"providerUri\":\"https://list.example/\"}]}]}";

static void
test_request(void **state)
{
	struct service_request r = {.content_type = NULL};

	(void)state;
	assert_int_equal(service_google.ask(&settings, &ucla, TEXT(KEY), &r), 0);
	assert_text_equal(url_of(&r), TEXT("https://places.googleapis.com/v1/places:searchNearby"));
	assert_string_equal(r.content_type, "application/json");
	assert_int_equal(r.header_count, 2);
	check_header(&r, "X-Goog-Api-Key", KEY);
	check_header(&r, "X-Goog-FieldMask", settings.field_mask);
	assert_text_equal(
		body_of(&r),
		TEXT("{\"maxResultCount\":20,\"rankPreference\":\"POPULARITY\",\"locationRestriction\":"
		     "{\"circle\":{\"center\":{\"latitude\":34.06893,\"longitude\":-118.445127},"
		     "\"radius\":10000.0}}}"));
	service_request_done(&r);
	assert_null(r.url.bytes);
}

static void
check_body(const struct service_settings *s, const struct service_query *q, const char *want)
{
	struct service_request r = {.content_type = NULL};

	assert_int_equal(service_google.ask(s, q, TEXT(KEY), &r), 0);
	assert_text_equal(body_of(&r), text_of(want));
	service_request_done(&r);
}

static void
test_request_settings(void **state)
{
	struct service_settings s = settings;
	struct service_query q = {-1, 1800000000, 0.00001, 1};

	(void)state;
	s.rank = PLACES_DISTANCE;
	s.types = "cafe, ,bar\"x";
	s.language = "de";
	s.region = "AT";
	check_body(
		&s, &q,
		"{\"maxResultCount\":1,\"rankPreference\":\"DISTANCE\",\"locationRestriction\":{\"circle\":{"
		"\"center\":{\"latitude\":-0.0000001,\"longitude\":180},\"radius\":0.1}},"
		"\"includedTypes\":[\"cafe\",\"bar\\\"x\"],\"languageCode\":\"de\",\"regionCode\":\"AT\"}");
	s = settings;
	s.radius_max_km = 5;
	q = (struct service_query){0, 0, 50, 99};
	check_body(&s, &q,
		   "{\"maxResultCount\":20,\"rankPreference\":\"POPULARITY\",\"locationRestriction\":{"
		   "\"circle\":{"
		   "\"center\":{\"latitude\":0,\"longitude\":0},\"radius\":5000.0}}}");
	s.radius_max_km = 1e9;
	q.radius_km = 10.1;
	check_body(&s, &q,
		   "{\"maxResultCount\":20,\"rankPreference\":\"POPULARITY\",\"locationRestriction\":{"
		   "\"circle\":{"
		   "\"center\":{\"latitude\":0,\"longitude\":0},\"radius\":10100.0}}}");
}

static void
check_refused(const struct service_settings *s, struct text key)
{
	struct service_request r = {.content_type = NULL};

	assert_int_equal(service_google.ask(s, &ucla, key, &r), -EINVAL);
	assert_null(r.url.bytes);
	assert_null(r.header_bytes.bytes);
}

static void
test_request_refused(void **state)
{
	struct service_settings s = settings;

	(void)state;
	check_refused(&s, TEXT(""));
	check_refused(&s, TEXT("a key"));
	check_refused(&s, TEXT("key\r\nX: y"));
	s.field_mask = "";
	check_refused(&s, TEXT(KEY));
	s.field_mask = "places.id, places.location";
	check_refused(&s, TEXT(KEY));
	s.field_mask = "*\r\n";
	check_refused(&s, TEXT(KEY));
	s = settings;
	s.url = NULL;
	check_refused(&s, TEXT(KEY));
	s.url = "https://places.googleapis.com?x";
	check_refused(&s, TEXT(KEY));
}

static void
test_mapping(void **state)
{
	struct json_object *o = answer_to(&service_google, 200, full);

	(void)state;
	assert_json(o, "/status", "\"OK\"");
	assert_int_equal(count_results(o), 1);
	assert_json(o, "/results/0/place_id", "\"ChIJ1\"");
	assert_json(o, "/results/0/reference", "\"ChIJ1\"");
	assert_json(o, "/results/0/scope", "\"GOOGLE\"");
	assert_json(o, "/results/0/name", "\"Caf\xc3\xa9 \\\"1\\\"\"");
	assert_json(o, "/results/0/geometry",
		    "{\"location\":{\"lat\":-33.8587323,\"lng\":151.2100055},\"viewport\":{\"northeast\":{"
		    "\"lat\":"
		    "-33.85,\"lng\":151.22},\"southwest\":{\"lat\":-33.86,\"lng\":151.2}}}");
	assert_json(o, "/results/0/types", "[\"cafe\",\"bar\",\"restaurant\"]");
	assert_json(o, "/results/0/vicinity", "\"Level 1, Circular Quay\"");
	assert_json(o, "/results/0/business_status", "\"OPERATIONAL\"");
	assert_json(o, "/results/0/plus_code",
		    "{\"compound_code\":\"46R6+G2 The Rocks\",\"global_code\":\"4RRH46R6+G2\"}");
	assert_json(o, "/results/0/rating", "4.5");
	assert_json(o, "/results/0/user_ratings_total", "1269");
	assert_json(o, "/results/0/price_level", "2");
	assert_json(o, "/results/0/icon_mask_base_uri", "\"https://maps.gstatic.com/cafe_pinlet\"");
	assert_json(o, "/results/0/icon_background_color", "\"#FF9E67\"");
	assert_json(o, "/results/0/icon", "absent");
	assert_json(o, "/results/0/opening_hours", "{\"open_now\":false}");
	assert_json(o, "/results/0/photos",
		    "[{\"height\":608,\"html_attributions\":[\"<a "
		    "href=\\\"https://maps.google.com/x?a=1&amp;b=2\\\">"
		    "A &lt;b&gt;</a>\"],\"photo_reference\":\"places/ChIJ1/photos/A\",\"width\":1080}]");
	assert_json(o, "/html_attributions", "[\"<a href=\\\"https://list.example/\\\">List &amp; Co</a>\"]");
	assert_json(o, "/results/0/attributions", "absent");
	assert_json(o, "/results/0/displayName", "absent");
	assert_false(retry);
	json_object_put(o);
}

/* One place that has what is given, and what it takes to be shown. */
static void
check_place(const char *members, const char *path, const char *want)
{
	char body[2048];
	struct json_object *o;

	snprintf(body, sizeof(body), "{\"places\":[{\"id\":\"i\",\"location\":{\"latitude\":1}%s}]}",
		 members);
	o = answer_to(&service_google, 200, body);
	assert_int_equal(count_results(o), 1);
	assert_json(o, path, want);
	json_object_put(o);
}

static void
test_rows(void **state)
{
	(void)state;
	check_place(
		"", "/results/0",
		"{\"geometry\":{\"location\":{\"lat\":1,\"lng\":0}},\"place_id\":\"i\",\"reference\":\"i\","
		"\"scope\":\"GOOGLE\"}");
	check_place(",\"priceLevel\":\"PRICE_LEVEL_FREE\"", "/results/0/price_level", "0");
	check_place(",\"priceLevel\":\"PRICE_LEVEL_INEXPENSIVE\"", "/results/0/price_level", "1");
	check_place(",\"priceLevel\":\"PRICE_LEVEL_MODERATE\"", "/results/0/price_level", "2");
	check_place(",\"priceLevel\":\"PRICE_LEVEL_EXPENSIVE\"", "/results/0/price_level", "3");
	check_place(",\"priceLevel\":\"PRICE_LEVEL_VERY_EXPENSIVE\"", "/results/0/price_level", "4");
	check_place(",\"priceLevel\":\"PRICE_LEVEL_UNSPECIFIED\"", "/results/0/price_level", "absent");
	check_place(",\"priceLevel\":3", "/results/0/price_level", "absent");
	check_place(",\"businessStatus\":\"CLOSED_TEMPORARILY\"", "/results/0/business_status",
		    "\"CLOSED_TEMPORARILY\"");
	check_place(",\"businessStatus\":\"CLOSED_PERMANENTLY\"", "/results/0/business_status",
		    "\"CLOSED_PERMANENTLY\"");
	check_place(",\"businessStatus\":\"BUSINESS_STATUS_UNSPECIFIED\"", "/results/0/business_status",
		    "absent");
	check_place(",\"formattedAddress\":\"Long\"", "/results/0/vicinity", "\"Long\"");
	check_place(",\"shortFormattedAddress\":\"\",\"formattedAddress\":\"Long\"", "/results/0/vicinity",
		    "\"Long\"");
	check_place(",\"regularOpeningHours\":{\"openNow\":true}", "/results/0/opening_hours",
		    "{\"open_now\":true}");
	check_place(",\"currentOpeningHours\":{},\"regularOpeningHours\":{\"openNow\":true}",
		    "/results/0/opening_hours", "{\"open_now\":true}");
	check_place(",\"currentOpeningHours\":{\"openNow\":1}", "/results/0/opening_hours", "absent");
	check_place(",\"primaryType\":\"park\"", "/results/0/types", "[\"park\"]");
	check_place(",\"primaryType\":\"park\",\"types\":[\"zoo\",3,\"park\",\"\"]", "/results/0/types",
		    "[\"park\",\"zoo\"]");
	check_place(",\"types\":[\"zoo\",\"park\"]", "/results/0/types", "[\"zoo\",\"park\"]");
	check_place(",\"types\":[]", "/results/0/types", "[]");
	check_place(",\"types\":{}", "/results/0/types", "absent");
	check_place(",\"plusCode\":{\"globalCode\":\"g\"}", "/results/0/plus_code",
		    "{\"global_code\":\"g\"}");
	check_place(",\"plusCode\":{\"compoundCode\":\"c\"}", "/results/0/plus_code",
		    "{\"compound_code\":\"c\"}");
	check_place(",\"plusCode\":{}", "/results/0/plus_code", "absent");
	check_place(",\"rating\":4", "/results/0/rating", "4");
	check_place(",\"rating\":\"4\"", "/results/0/rating", "absent");
	check_place(",\"viewport\":{\"low\":{},\"high\":{\"latitude\":2}}", "/results/0/geometry/viewport",
		    "{\"northeast\":{\"lat\":2,\"lng\":0},\"southwest\":{\"lat\":0,\"lng\":0}}");
	check_place(",\"viewport\":{\"low\":{\"latitude\":91},\"high\":{}}", "/results/0/geometry/viewport",
		    "absent");
	check_place(",\"viewport\":{\"low\":{}}", "/results/0/geometry/viewport", "absent");
	check_place(",\"photos\":[{},1,{\"name\":\"n\"},{\"name\":\"m\",\"widthPx\":1}]", "/results/0/photos",
		    "[{\"html_attributions\":[],\"photo_reference\":\"n\"},{\"html_attributions\":[],"
		    "\"photo_reference\":\"m\",\"width\":1}]");
	check_place(",\"photos\":[]", "/results/0/photos", "absent");
	check_place(",\"displayName\":\"x\"", "/results/0/name", "absent");
	check_place(",\"displayName\":{\"text\":\"a\\nb\\u0000c\"}", "/results/0/name", "\"a\\nb\\u0000c\"");
}

static void
test_attributions(void **state)
{
	(void)state;
	check_place(",\"attributions\":[{\"provider\":\"P\"}]", "/html_attributions", "[\"P\"]");
	check_place(",\"attributions\":[{\"provider\":\"P\",\"providerUri\":\"javascript:x\"}]",
		    "/html_attributions", "[\"P\"]");
	check_place(",\"attributions\":[{\"providerUri\":\"http://p/\\\"\"}]", "/html_attributions",
		    "[\"<a href=\\\"http://p/&quot;\\\">http://p/&quot;</a>\"]");
	check_place(",\"attributions\":[{\"provider\":\"P\"},{\"provider\":\"Q\"},{\"provider\":\"P\"},{},7]",
		    "/html_attributions", "[\"P\",\"Q\"]");
	check_place(",\"attributions\":[{\"provider\":\",\"},{\"provider\":\"\\\\\"},{\"provider\":\",\"}]",
		    "/html_attributions", "[\",\",\"\\\\\"]");
	check_place(",\"attributions\":7", "/html_attributions", "[]");
}

/* A place whose attribution cannot be carried is not shown. */
static void
test_attribution_too_long(void **state)
{
	static char body[40000];
	char *at = body + snprintf(body, sizeof(body), "{\"places\":[");
	struct json_object *o;

	(void)state;
	for (int i = 0; i < 20; i++)
		at += snprintf(
			at, 2000,
			"%s{\"id\":\"i%d\",\"location\":{},\"attributions\":[{\"provider\":\"%0900d\"}]}",
			i ? "," : "", i, i);
	snprintf(at, 10, "]}");
	o = answer_to(&service_google, 200, body);
	assert_int_equal(count_results(o), 15);
	assert_true(strstr(json_at(o, "/html_attributions/14"), "0014\""));
	assert_json(o, "/html_attributions/15", "absent");
	json_object_put(o);
	snprintf(body, sizeof(body),
		 "{\"places\":[{\"id\":\"i\",\"location\":{},\"attributions\":[{\"provider\":\"%01500d\"}]},"
		 "{\"id\":\"%013000d\",\"location\":{},\"attributions\":[{\"provider\":\"P\"}]},"
		 "{\"id\":\"j\",\"location\":{}}]}",
		 1, 1);
	o = answer_to(&service_google, 200, body);
	assert_int_equal(count_results(o), 1);
	assert_json(o, "/results/0/place_id", "\"j\"");
	assert_json(o, "/html_attributions", "[]");
	json_object_put(o);
}

static void
test_nothing(void **state)
{
	struct json_object *o = answer_to(&service_google, 200, "{}\n");

	(void)state;
	assert_json(o, "/status", "\"ZERO_RESULTS\"");
	assert_json(o, "/html_attributions", "[]");
	json_object_put(o);
	o = answer_to(&service_google, 200, "{\"places\":[]}");
	assert_json(o, "/status", "\"ZERO_RESULTS\"");
	json_object_put(o);
}

static void
test_bad_places_are_dropped(void **state)
{
	struct json_object *o = answer_to(
		&service_google, 200,
		"{\"places\":[1,null,\"x\",[],{},{\"id\":\"a\"},{\"id\":\"b\",\"location\":7},"
		"{\"id\":\"c\",\"location\":{\"latitude\":90.1}},{\"id\":\"d\",\"location\":{\"longitude\":-"
		"180.1}},"
		"{\"id\":\"e\",\"location\":{\"latitude\":\"1\"}},{\"location\":{}},"
		"{\"id\":\"good\",\"location\":{\"latitude\":90,\"longitude\":180}}]}");

	(void)state;
	assert_int_equal(count_results(o), 1);
	assert_json(o, "/results/0/place_id", "\"good\"");
	json_object_put(o);
	o = answer_to(&service_google, 200, "{\"places\":[1]}");
	assert_json(o, "/status", "\"ZERO_RESULTS\"");
	json_object_put(o);
}

static void
check_error(unsigned int http, const char *rpc, const char *details, const char *status, bool again)
{
	char body[1024];

	snprintf(body, sizeof(body),
		 "{\"error\":{\"code\":%u,\"message\":\"Because of "
		 "<it>.\",\"status\":\"%s\",\"details\":[%s]}}\n",
		 http, rpc, details);
	check_failure(&service_google, http, body, status, "\"Because of <it>.\"", again);
}

#define REASON(word) "{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"" word "\"}"

static void
test_errors(void **state)
{
	(void)state;
	check_error(400, "INVALID_ARGUMENT", "", "INVALID_REQUEST", false);
	check_error(400, "INVALID_ARGUMENT", "1,{}," REASON("API_KEY_INVALID"), "REQUEST_DENIED", false);
	check_error(400, "FAILED_PRECONDITION", "", "INVALID_REQUEST", false);
	check_error(403, "PERMISSION_DENIED", REASON("SERVICE_DISABLED"), "REQUEST_DENIED", false);
	check_error(401, "UNAUTHENTICATED", "", "REQUEST_DENIED", false);
	check_error(429, "RESOURCE_EXHAUSTED", REASON("RATE_LIMIT_EXCEEDED"), "OVER_QUERY_LIMIT", true);
	check_error(500, "INTERNAL", "", "UNKNOWN_ERROR", true);
	check_error(503, "UNAVAILABLE", "", "UNKNOWN_ERROR", true);
	check_error(504, "DEADLINE_EXCEEDED", "", "UNKNOWN_ERROR", true);
	check_error(403, "SOMETHING_NEW", "", "REQUEST_DENIED", false);
	check_error(404, "NOT_FOUND", "", "UNKNOWN_ERROR", false);
	check_error(200, "PERMISSION_DENIED", "", "REQUEST_DENIED", false);
	check_error(200, "SOMETHING_NEW", "", "UNKNOWN_ERROR", false);
}

static void
test_http_errors(void **state)
{
	(void)state;
	check_failure(&service_google, 400, "<html>", "INVALID_REQUEST", "HTTP status 400", false);
	check_failure(&service_google, 403, "", "REQUEST_DENIED", "HTTP status 403", false);
	check_failure(&service_google, 429, "[]", "OVER_QUERY_LIMIT", "HTTP status 429", true);
	check_failure(&service_google, 500, "{\"error\":7}", "UNKNOWN_ERROR", "HTTP status 500", true);
	check_failure(&service_google, 502, "{\"error\":{}}", "UNKNOWN_ERROR", "HTTP status 502", true);
	check_failure(&service_google, 301, full, "UNKNOWN_ERROR", "redirects to another place", false);
	check_failure(&service_google, 302, "", "UNKNOWN_ERROR", "redirects to another place", false);
	check_failure(&service_google, 204, "", "UNKNOWN_ERROR", "HTTP status 204", false);
	check_failure(&service_google, 0, "", "UNKNOWN_ERROR", "HTTP status 0", false);
}

static void
test_wrong_shapes(void **state)
{
	(void)state;
	check_failure(&service_google, 200, "{\"places\":{}}", "UNKNOWN_ERROR", "not an array", false);
	check_failure(&service_google, 200, "{\"places\":null}", "UNKNOWN_ERROR", "not an array", false);
	check_failure(&service_google, 200, "{\"places\":7}", "UNKNOWN_ERROR", "not an array", false);
	check_failure(&service_google, 200, "{\"results\":[]}", "UNKNOWN_ERROR", "no places", false);
	check_failure(&service_google, 200, "[{\"places\":[]}]", "UNKNOWN_ERROR", "not an object", false);
	check_hostile(&service_google);
}

static void
test_messages(void **state)
{
	(void)state;
	check_failure(&service_google, 403,
		      "{\"error\":{\"message\":\"a\\nb\\u001b[31mc\\u007f\\u0085d\",\"status\":\"PERMISSION_"
		      "DENIED\"}}",
		      "REQUEST_DENIED", "\"a b [31mc  d\"", false);
	check_echo(&service_google, 403, "{\"error\":{\"message\":\"",
		   "\",\"status\":\"PERMISSION_DENIED\"}}");
}

/* The key anywhere else makes the answer useless. */
static void
test_key_in_the_answer(void **state)
{
	(void)state;
	check_failure(&service_google, 200, "{\"places\":[{\"id\":\"x" KEY "\",\"location\":{}}]}",
		      "UNKNOWN_ERROR", "has our key in it", false);
	check_failure(&service_google, 200,
		      "{\"places\":[{\"id\":\"x\",\"location\":{},\"attributions\":[{\"provider\":\"" KEY
		      "\"}]}]}",
		      "UNKNOWN_ERROR", "has our key in it", false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_request_settings),
		cmocka_unit_test(test_request_refused),
		cmocka_unit_test(test_mapping),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_attributions),
		cmocka_unit_test(test_attribution_too_long),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_bad_places_are_dropped),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_http_errors),
		cmocka_unit_test(test_wrong_shapes),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_key_in_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, free_out);
}
