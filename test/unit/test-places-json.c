/*
 * Tests of places/json.h: json-c reads back what was written, whatever bytes
 * the texts hold, and finds the shape of a Nearby Search answer.
 */
#include "unit.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../random.h"
#include "base/cleanup.h"
#include "base/utf8.h"
#include "places/json.h"
#include "places/tree.h"

static struct buffer out = {.max = 1 << 20};

static void
fill(struct places_found *found, size_t count, const struct place *place)
{
	found->count = count;
	for (size_t i = 0; i < count; i++)
		found->place[i] = *place;
}

/* Strict, UTF-8 only, nothing left over, and one line. */
static struct json_object *
parse_out(void)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *object;

	json_tokener_set_flags(tokener, tree_flags() | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, out.bytes, (int)out.len);
	assert_int_equal(json_tokener_get_error(tokener), json_tokener_success);
	assert_int_equal(json_tokener_get_parse_end(tokener), out.len);
	assert_non_null(object);
	assert_null(memchr(out.bytes, '\n', out.len));
	assert_null(memchr(out.bytes, '\r', out.len));
	json_tokener_free(tokener);
	return object;
}

static struct json_object *
put(const struct places_found *found, struct text attribution)
{
	out.len = 0;
	assert_int_equal(json_put_places(&out, found, attribution), 0);
	return parse_out();
}

static struct json_object *
get(struct json_object *from, const char *path)
{
	struct json_object *found;

	assert_int_equal(json_pointer_get(from, path, &found), 0);
	return found;
}

static struct text
string_at(struct json_object *from, const char *path)
{
	struct json_object *s = get(from, path);

	assert_int_equal(json_object_get_type(s), json_type_string);
	return (struct text){json_object_get_string(s), (size_t)json_object_get_string_len(s)};
}

static bool
has(struct json_object *from, const char *path)
{
	return json_pointer_get(from, path, NULL) == 0;
}

static void
check_degrees(struct json_object *from, const char *path, int64_t e7)
{
	struct json_object *number = get(from, path);

	assert_true(json_object_is_type(number, json_type_double) ||
		    json_object_is_type(number, json_type_int));
	assert_true(llround(json_object_get_double(number) * 1e7) == e7);
}

/* --- the shape ------------------------------------------------------------------ */

static const struct place museum = {
	.name = {"Fowler Museum", 13},
	.id = {"local:1", 7},
	.types = {"museum,tourist_attraction", 25},
	.vicinity = {"Los Angeles", 11},
	.lat_e7 = 340729000,
	.lon_e7 = -1184430000,
	.prominence = 5,
};

/* Members in the order and with the bytes that users see. */
static void
test_bytes(void **state)
{
	static const char want[] =
		"{\"html_attributions\":[],\"results\":[{\"business_status\":\"OPERATIONAL\",\"geometry\":"
		"{\"location\":{\"lat\":34.0729,\"lng\":-118.443},\"viewport\":{\"northeast\":{\"lat\":"
		"34.07425,\"lng\":-118.44165},\"southwest\":{\"lat\":34.07155,\"lng\":-118.44435}}},"
		"\"name\":\"Fowler Museum\",\"place_id\":\"local:1\",\"reference\":\"local:1\",\"scope\":"
		"\"APP\",\"types\":[\"museum\",\"tourist_attraction\",\"point_of_interest\","
		"\"establishment\"],\"vicinity\":\"Los Angeles\"}],\"status\":\"OK\"}";
	struct places_found found;

	(void)state;
	fill(&found, 1, &museum);
	json_object_put(put(&found, TEXT("")));
	assert_text_equal(((struct text){out.bytes, out.len}), text_of(want));
}

static void
test_nothing_found(void **state)
{
	struct places_found found = {.count = 0};

	(void)state;
	json_object_put(put(&found, TEXT("")));
	assert_text_equal(((struct text){out.bytes, out.len}),
			  TEXT("{\"html_attributions\":[],\"results\":[],\"status\":\"ZERO_RESULTS\"}"));
}

static void
test_twenty(void **state)
{
	struct places_found found;
	struct json_object *object;

	(void)state;
	fill(&found, PLACES_BOUND_MAX, &museum);
	object = put(&found, TEXT(""));
	assert_int_equal(json_object_array_length(get(object, "/results")), PLACES_BOUND_MAX);
	assert_text_equal(string_at(object, "/results/19/name"), museum.name);
	json_object_put(object);
}

static void
test_failure(void **state)
{
	struct json_object *object;

	(void)state;
	out.len = 0;
	assert_int_equal(json_put_failure(&out, TEXT("OVER_QUERY_LIMIT"), TEXT("no \"more\"\ntoday")), 0);
	object = parse_out();
	assert_text_equal(string_at(object, "/status"), TEXT("OVER_QUERY_LIMIT"));
	assert_text_equal(string_at(object, "/error_message"), TEXT("no \"more\"\ntoday"));
	assert_int_equal(json_object_array_length(get(object, "/results")), 0);
	assert_int_equal(json_object_array_length(get(object, "/html_attributions")), 0);
	json_object_put(object);
}

static void
test_attribution(void **state)
{
	struct places_found found;
	struct json_object *object;
	char longest[PLACES_TEXT_MAX];

	(void)state;
	fill(&found, 1, &museum);
	object = put(&found, TEXT("Data <from> \"A & B\""));
	assert_int_equal(json_object_array_length(get(object, "/html_attributions")), 1);
	assert_text_equal(string_at(object, "/html_attributions/0"),
			  TEXT("Data &lt;from&gt; &quot;A &amp; B&quot;"));
	json_object_put(object);
	memset(longest, '"', sizeof(longest));
	object = put(&found, (struct text){longest, sizeof(longest)});
	assert_int_equal(string_at(object, "/html_attributions/0").len, 6 * sizeof(longest));
	json_object_put(object);
}

static void
check_types(const char *types, const char *want, bool open)
{
	struct place place = museum;
	struct places_found found;
	struct json_object *object;
	struct json_object *have;

	place.types = text_of(types);
	fill(&found, 1, &place);
	object = put(&found, TEXT(""));
	have = get(object, "/results/0/types");
	assert_string_equal(json_object_to_json_string_ext(have, JSON_C_TO_STRING_PLAIN), want);
	assert_int_equal(has(object, "/results/0/business_status"), open);
	json_object_put(object);
}

static void
test_types(void **state)
{
	(void)state;
	check_types("locality", "[\"locality\",\"political\"]", false);
	check_types("sublocality_level_1,political", "[\"sublocality_level_1\",\"political\"]", false);
	check_types("neighborhood", "[\"neighborhood\",\"political\"]", false);
	check_types("administrative_area_level_2", "[\"administrative_area_level_2\",\"political\"]", false);
	check_types("natural_feature", "[\"natural_feature\"]", false);
	check_types("", "[\"point_of_interest\",\"establishment\"]", true);
	check_types(",,park,,", "[\"park\",\"point_of_interest\",\"establishment\"]", true);
	check_types("establishment,x", "[\"establishment\",\"x\",\"point_of_interest\"]", true);
}

static void
test_absent_members(void **state)
{
	struct place place = museum;
	struct places_found found;
	struct json_object *object;

	(void)state;
	place.vicinity = TEXT("");
	fill(&found, 1, &place);
	object = put(&found, TEXT(""));
	assert_false(has(object, "/results/0/vicinity"));
	assert_null(strstr(json_object_to_json_string(object), "null"));
	json_object_put(object);
}

/* --- numbers --------------------------------------------------------------------- */

static int64_t
wrapped(int64_t lon)
{
	return lon > 1800000000 ? lon - 3600000000 : lon < -1800000000 ? lon + 3600000000 : lon;
}

static int64_t
capped(int64_t lat)
{
	return lat > 900000000 ? 900000000 : lat < -900000000 ? -900000000 : lat;
}

static void
check_position(int32_t lat, int32_t lon)
{
	struct place place = museum;
	struct places_found found;
	struct json_object *object;

	place.lat_e7 = lat;
	place.lon_e7 = lon;
	fill(&found, 1, &place);
	object = put(&found, TEXT(""));
	check_degrees(object, "/results/0/geometry/location/lat", lat);
	check_degrees(object, "/results/0/geometry/location/lng", lon);
	check_degrees(object, "/results/0/geometry/viewport/northeast/lat", capped((int64_t)lat + 13500));
	check_degrees(object, "/results/0/geometry/viewport/southwest/lat", capped((int64_t)lat - 13500));
	check_degrees(object, "/results/0/geometry/viewport/northeast/lng", wrapped((int64_t)lon + 13500));
	check_degrees(object, "/results/0/geometry/viewport/southwest/lng", wrapped((int64_t)lon - 13500));
	json_object_put(object);
}

static void
test_positions(void **state)
{
	static const int32_t edges[] = {0, 1, -1, 9999999, -9999999, 10000000, 900000000, -900000000};
	uint64_t seed = random_seed(1);

	(void)state;
	for (size_t i = 0; i < ELEMENTS(edges); i++)
		for (size_t k = 0; k < ELEMENTS(edges); k++)
			check_position(edges[i], edges[k] * 2);
	for (int i = 0; i < 2000; i++)
		check_position((int32_t)random_below(&seed, 1800000001) - 900000000,
			       (int32_t)((int64_t)random_below(&seed, 3600000001) - 1800000000));
}

/* --- strings --------------------------------------------------------------------- */

/* What must come back: the text, each byte that is no UTF-8 replaced. */
static size_t
repaired(struct text t, char *at)
{
	char *start = at;

	while (t.len) {
		size_t n = utf8_first(t);

		at = n ? text_put(at, (struct text){t.at, n}) : text_put(at, TEXT("\357\277\275"));
		t.at += n ? n : 1;
		t.len -= n ? n : 1;
	}
	return (size_t)(at - start);
}

static struct text
random_text(uint64_t *seed, char *bytes)
{
	static const char some[] = "\"\\/\b\f\n\r\t\0\177 {}[]<&\303\251\342\202\254\360\237\220\221,";
	size_t len = random_below(seed, 4) ? random_below(seed, 12) : random_below(seed, 256);

	for (size_t i = 0; i < len; i++)
		bytes[i] = random_below(seed, 2) ? some[random_below(seed, sizeof(some))]
						 : (char)(unsigned char)random_u64(seed);
	return (struct text){bytes, len};
}

static void
check_string(struct json_object *object, const char *path, struct text want)
{
	char bytes[3 * 256];

	assert_text_equal(string_at(object, path), ((struct text){bytes, repaired(want, bytes)}));
}

static void
test_any_bytes(void **state)
{
	uint64_t seed = random_seed(2);
	char name[256], id[256], types[256], vicinity[256];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct place place = museum;
		struct places_found found;
		struct json_object *object;

		place.name = random_text(&seed, name);
		place.id = random_text(&seed, id);
		place.types = random_text(&seed, types);
		place.vicinity = random_text(&seed, vicinity);
		fill(&found, 1, &place);
		object = put(&found, place.vicinity);
		check_string(object, "/results/0/name", place.name);
		check_string(object, "/results/0/place_id", place.id);
		check_string(object, "/results/0/reference", place.id);
		if (place.vicinity.len)
			check_string(object, "/results/0/vicinity", place.vicinity);
		json_object_put(object);
	}
}

/* The longest there can be, of the bytes that need most room. */
static void
test_worst_case(void **state)
{
	struct place place = {.lat_e7 = -899999999, .lon_e7 = -1799999999};
	struct places_found found;
	char ones[PLACES_TEXT_MAX], types[PLACES_TEXT_MAX];

	(void)state;
	memset(ones, 1, sizeof(ones));
	for (size_t i = 0; i < sizeof(types); i++)
		types[i] = i % 2 ? ',' : '\001';
	place.name = place.id = place.vicinity = (struct text){ones, sizeof(ones)};
	place.types = (struct text){types, sizeof(types)};
	fill(&found, PLACES_BOUND_MAX, &place);
	json_object_put(put(&found, place.name));
	place.types = place.name;
	fill(&found, PLACES_BOUND_MAX, &place);
	json_object_put(put(&found, place.name));
}

/* It fits exactly, or nothing is left behind. */
static void
test_full_buffer(void **state)
{
	struct places_found found;
	size_t whole;

	(void)state;
	fill(&found, 3, &museum);
	json_object_put(put(&found, TEXT("x")));
	whole = out.len;
	for (size_t max = 0; max <= whole + 5; max++) {
		struct buffer small = {.max = max};
		int r;

		if (max >= 5)
			assert_int_equal(buffer_append(&small, TEXT("AT ..")), 0);
		r = json_put_places(&small, &found, TEXT("x"));
		assert_int_equal(r, max == whole + 5 ? 0 : -ENOBUFS);
		assert_int_equal(small.len, r == 0 ? whole + 5 : max >= 5 ? 5 : 0);
		buffer_done(&small);
	}
	struct buffer tiny = {.max = 20};

	assert_int_equal(json_put_failure(&tiny, TEXT("UNKNOWN_ERROR"), TEXT("x")), -ENOBUFS);
	assert_int_equal(tiny.len, 0);
	buffer_done(&tiny);
}

static int
free_out(void **state)
{
	(void)state;
	buffer_done(&out);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),	       cmocka_unit_test(test_nothing_found),
		cmocka_unit_test(test_twenty),	       cmocka_unit_test(test_failure),
		cmocka_unit_test(test_attribution),    cmocka_unit_test(test_types),
		cmocka_unit_test(test_absent_members), cmocka_unit_test(test_positions),
		cmocka_unit_test(test_any_bytes),      cmocka_unit_test(test_worst_case),
		cmocka_unit_test(test_full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, free_out);
}
