/* Tests of places/google-legacy.c: what is asked, and that answers come through as they are. */
#include "service-help.h"

#include <errno.h>

static const struct service_settings settings = {
	.url = "https://maps.googleapis.com/",
	.radius_max_km = 50,
	.rank = PLACES_PROMINENCE,
};
static const struct service_query ucla = {340689300, -1184451270, 10, 20};

#define CRUISE_BAR                                                                                           \
	"{\"business_status\":\"OPERATIONAL\",\"geometry\":{\"location\":{\"lat\":-33.8587323,\"lng\":151."  \
	"2100055},"                                                                                          \
	"\"viewport\":{\"northeast\":{\"lat\":-33.85,\"lng\":151.22},\"southwest\":{\"lat\":-33.86,\"lng\":" \
	"1.512e2}}},"                                                                                        \
	"\"icon\":\"https://maps.gstatic.com/bar.png\",\"name\":\"Cruise \xc3\xa9 "                          \
	"Bar\",\"opening_hours\":{\"open_now\":false},"                                                      \
	"\"photos\":[{\"height\":608,\"html_attributions\":[\"<a href=\\\"x\\\">A</a>\"],\"width\":1080}],"  \
	"\"rating\":4,\"something_new\":[null,true,{\"a\":-0.0}],\"types\":[\"bar\"],\"user_ratings_"        \
	"total\":1269}"

static void
check_url(const struct service_settings *s, const struct service_query *q, const char *key, const char *want)
{
	struct service_request r = {.content_type = NULL};

	assert_int_equal(service_google_legacy.ask(s, q, text_of(key), &r), 0);
	assert_text_equal(url_of(&r), text_of(want));
	assert_null(r.content_type);
	assert_int_equal(r.body.len, 0);
	assert_int_equal(r.header_count, 0);
	service_request_done(&r);
}

#define BASE "https://maps.googleapis.com/maps/api/place/nearbysearch/json"

static void
test_request(void **state)
{
	struct service_settings s = settings;
	struct service_query q = {0, -5, 0.0001, 20};

	(void)state;
	check_url(&s, &ucla, "K", BASE "?location=34.068930,-118.445127&radius=10000&key=K");
	check_url(&s, &q, "K", BASE "?location=0.000000,-0.0000005&radius=1&key=K");
}

static void
test_request_settings(void **state)
{
	struct service_settings s = settings;
	struct service_query q = {10000000, -1234567890, 7.5, 20};

	(void)state;
	s.types = "caf\xc3\xa9|bar, park";
	s.language = "pt BR&x";
	check_url(&s, &q, "a+b/c=%",
		  BASE "?location=1.000000,-123.456789&radius=7500&type=caf%C3%A9%7Cbar&language=pt%20BR%26x"
		       "&key=a%2Bb%2Fc%3D%25");
	s.rank = PLACES_DISTANCE;
	check_url(&s, &q, "K",
		  BASE
		  "?location=1.000000,-123.456789&rankby=distance&type=caf%C3%A9%7Cbar&language=pt%20BR%26x"
		  "&key=K");
	s.types = " , ";
	s.language = "";
	s.radius_max_km = 2;
	check_url(&s, &q, "K", BASE "?location=1.000000,-123.456789&radius=2000&key=K");
}

static void
test_request_refused(void **state)
{
	struct service_request r = {.content_type = NULL};
	struct service_settings s = settings;

	(void)state;
	assert_int_equal(service_google_legacy.ask(&s, &ucla, TEXT(""), &r), -EINVAL);
	assert_int_equal(service_google_legacy.ask(&s, &ucla, TEXT("a b"), &r), -EINVAL);
	s.url = "https://maps.googleapis.com/#";
	assert_int_equal(service_google_legacy.ask(&s, &ucla, TEXT("K"), &r), -EINVAL);
	assert_null(r.url.bytes);
}

static void
test_own_shape(void **state)
{
	struct json_object *o = answer_to(
		&service_google_legacy, 200,
		"{\n \"html_attributions\" : [ \"Listings by <a href=\\\"http://x/\\\">X</a>\", 7 ],\n"
		" \"info_messages\" : [\"i\"],\n \"next_page_token\":\"Ab\\\"c\",\r\n"
		" \"results\":[\n" CRUISE_BAR "\n],\"status\":\"OK\"}\n");

	(void)state;
	assert_json(o, "/status", "\"OK\"");
	assert_json(o, "/html_attributions", "[\"Listings by <a href=\\\"http://x/\\\">X</a>\"]");
	assert_json(o, "/info_messages", "[\"i\"]");
	assert_json(o, "/next_page_token", "\"Ab\\\"c\"");
	assert_json(o, "/results", "[" CRUISE_BAR "]");
	assert_false(retry);
	json_object_put(o);
}

static void
test_nothing(void **state)
{
	struct json_object *o = answer_to(
		&service_google_legacy, 200,
		"{\"html_attributions\":[],\"results\":[],\"status\":\"ZERO_RESULTS\"}");

	(void)state;
	assert_json(o, "/status", "\"ZERO_RESULTS\"");
	assert_json(o, "/next_page_token", "absent");
	json_object_put(o);
	o = answer_to(&service_google_legacy, 200, "{\"results\":[],\"status\":\"OK\"}");
	assert_json(o, "/status", "\"ZERO_RESULTS\"");
	json_object_put(o);
	o = answer_to(&service_google_legacy, 200, "{\"status\":\"ZERO_RESULTS\"}");
	assert_json(o, "/status", "\"ZERO_RESULTS\"");
	json_object_put(o);
}

#define AT(lat, lng) "{\"geometry\":{\"location\":{\"lat\":" lat ",\"lng\":" lng "}}}"

static void
test_bad_results_are_dropped(void **state)
{
	struct json_object *o = answer_to(
		&service_google_legacy, 200,
		"{\"results\":[1,null,[],{},{\"geometry\":{}},{\"geometry\":{\"location\":{\"lat\":1}}}," AT(
			"91", "0") "," AT("0",
					  "181") "," AT("\"1\"",
							"2") "," AT("null",
								    "2") "," AT("3",
										"4") "],\"status\":\"OK\"}");

	(void)state;
	assert_json(o, "/results", "[" AT("3", "4") "]");
	json_object_put(o);
}

/* The token stays even when nothing is near enough: the next page may have more. */
static void
test_outside(void **state)
{
	const struct source_query q = {30000000, 40000000, 1, 20};
	struct web_answer *a = read_body(
		&service_google_legacy, 200,
		TEXT("{\"results\":[" AT("3.1", "4") "," AT(
			"3.0001", "4") ",{}],"
				       "\"next_page_token\":\"t\",\"status\":\"OK\"}"));
	struct json_object *o = put_answer(a, &q, PLACES_PROMINENCE);
	struct source_query narrow = q;

	(void)state;
	assert_json(o, "/results", "[" AT("3.0001", "4") "]");
	assert_json(o, "/next_page_token", "\"t\"");
	json_object_put(o);
	narrow.radius_km = 0.001;
	o = put_answer(a, &narrow, PLACES_PROMINENCE);
	assert_json(o, "/status", "\"ZERO_RESULTS\"");
	assert_json(o, "/next_page_token", "\"t\"");
	json_object_put(o);
	web_answer_unref(a);
}

static void
check_refusal(const char *word, const char *status, bool again)
{
	char body[256];

	snprintf(body, sizeof(body),
		 "{\"error_message\":\"The provided API key is invalid. \",\"results\":[],\"status\":\"%s\"}",
		 word);
	check_failure(&service_google_legacy, 200, body, status, "\"The provided API key is invalid. \"",
		      again);
	snprintf(body, sizeof(body), "{\"status\":\"%s\"}", word);
	check_failure(&service_google_legacy, 200, body, status, word, again);
}

static void
test_refusals(void **state)
{
	(void)state;
	check_refusal("OVER_QUERY_LIMIT", "OVER_QUERY_LIMIT", true);
	check_refusal("REQUEST_DENIED", "REQUEST_DENIED", false);
	check_refusal("INVALID_REQUEST", "INVALID_REQUEST", false);
	check_refusal("UNKNOWN_ERROR", "UNKNOWN_ERROR", true);
	check_refusal("OVER_DAILY_LIMIT", "OVER_QUERY_LIMIT", false);
	check_failure(&service_google_legacy, 200, "{\"status\":\"FINE\",\"results\":[]}", "UNKNOWN_ERROR",
		      "a status that is not known", false);
	check_failure(&service_google_legacy, 200, "{\"results\":[]}", "UNKNOWN_ERROR", "no status", false);
	check_failure(&service_google_legacy, 200, "{\"status\":7,\"results\":[]}", "UNKNOWN_ERROR",
		      "no status", false);
	check_failure(&service_google_legacy, 200, "{\"status\":\"OK\"}", "UNKNOWN_ERROR", "not an array",
		      false);
	check_failure(&service_google_legacy, 200, "{\"status\":\"OK\",\"results\":{}}", "UNKNOWN_ERROR",
		      "not an array", false);
}

static void
test_http_errors(void **state)
{
	(void)state;
	check_failure(&service_google_legacy, 403, "{\"error_message\":\"no\",\"status\":\"REQUEST_DENIED\"}",
		      "REQUEST_DENIED", "\"no\"", false);
	check_failure(&service_google_legacy, 400, "<html>", "INVALID_REQUEST", "400", false);
	check_failure(&service_google_legacy, 429, "", "OVER_QUERY_LIMIT", "429", true);
	check_failure(&service_google_legacy, 500, "{", "UNKNOWN_ERROR", "500", true);
	check_failure(&service_google_legacy, 307, "", "UNKNOWN_ERROR", "redirects to another place", false);
}

static void
test_hostile(void **state)
{
	(void)state;
	check_hostile(&service_google_legacy);
	check_failure(
		&service_google_legacy, 200,
		"{\"results\":[{\"geometry\":{\"location\":{\"lat\":1,\"lng\":NaN}}}],\"status\":\"OK\"}",
		"UNKNOWN_ERROR", "not JSON", false);
}

static void
test_key(void **state)
{
	(void)state;
	check_echo(&service_google_legacy, 200, "{\"error_message\":\"", "\",\"status\":\"REQUEST_DENIED\"}");
	check_failure(&service_google_legacy, 200,
		      "{\"results\":[],\"next_page_token\":\"?key=" KEY "\",\"status\":\"OK\"}",
		      "UNKNOWN_ERROR", "has our key in it", false);
	check_failure(&service_google_legacy, 200,
		      "{\"results\":[{\"" KEY "\":1,\"geometry\":{\"location\":{\"lat\":1,\"lng\":1}}}],"
		      "\"status\":\"OK\"}",
		      "UNKNOWN_ERROR", "has our key in it", false);
}

/* What is rare and right goes through as it came. */
static void
test_odd_but_right(void **state)
{
	struct json_object *o = answer_to(
		&service_google_legacy, 200,
		"\t{\"status\":\"OK\",\"results\":[{\"geometry\":{\"location\":{\"lat\":1e1,\"lng\":-0.0}},"
		"\"a\":\"\\ud83d\\ude00\\u0000\\/\",\"b\":12345678901234567890,\"c\":-9223372036854775807,"
		"\"d\":1E+2,\"e\":[],\"f\":{},\"\":0.10,\"a\\nb\":[[[1,2],3]]}]}\r\n ");

	(void)state;
	assert_json(o, "/results/0/geometry/location", "{\"lat\":1e1,\"lng\":-0.0}");
	assert_json(o, "/results/0/a", "\"\xf0\x9f\x98\x80\\u0000/\"");
	assert_json(o, "/results/0/b", "12345678901234567890");
	assert_json(o, "/results/0/c", "-9223372036854775807");
	assert_json(o, "/results/0/d", "1E+2");
	assert_json(o, "/results/0/e", "[]");
	assert_json(o, "/results/0/f", "{}");
	assert_json(o, "/results/0/a\nb", "[[[1,2],3]]");
	assert_non_null(memmem(out.bytes, out.len, "\"\":0.10", strlen("\"\":0.10")));
	json_object_put(o);
}

/* A head too long for anybody; a result too long is only left out. */
static void
test_too_long(void **state)
{
	static char body[40000];
	struct json_object *o;

	(void)state;
	snprintf(body, sizeof(body), "{\"results\":[],\"next_page_token\":\"%020000d\",\"status\":\"OK\"}",
		 1);
	check_failure(&service_google_legacy, 200, body, "UNKNOWN_ERROR", "more attributions", false);
	snprintf(body, sizeof(body),
		 "{\"results\":[{\"a\":\"%020000d\","
		 "\"geometry\":{\"location\":{\"lat\":1,\"lng\":1}}}," AT("3", "4") "],\"status\":\"OK\"}",
		 1);
	o = answer_to(&service_google_legacy, 200, body);
	assert_json(o, "/results", "[" AT("3", "4") "]");
	json_object_put(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_request_settings),
		cmocka_unit_test(test_request_refused),
		cmocka_unit_test(test_own_shape),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_bad_results_are_dropped),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_http_errors),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_odd_but_right),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, free_out);
}
