/*
 * Tests of places/cache.h: what is found, what goes, and that bytes are counted.
 */
#include "unit.h"

#include <string.h>

#include "../random.h"
#include "places/cache.h"

static struct cache *cache;

static struct web_answer *
answer_saying(const char *what)
{
	struct web_answer *a;

	assert_int_equal(web_answer_failure(&a, TEXT("UNKNOWN_ERROR"), "%s", what), 0);
	return a;
}

static struct question
question_at(int32_t lat_e7)
{
	return (struct question){.lat_e7 = lat_e7, .radius_mm = 1500000, .bound = 20};
}

static void
put(int32_t lat_e7, const char *what, int64_t until_ns)
{
	struct question q = question_at(lat_e7);
	struct web_answer *a = answer_saying(what);

	cache_put(cache, &q, a, until_ns);
	web_answer_unref(a);
}

/* What is found; "" for nothing. */
static const char *
find(int32_t lat_e7, int64_t now_ns)
{
	static char said[WEB_MESSAGE_BYTES + 1];
	struct question q = question_at(lat_e7);
	struct web_answer *a = cache_find(cache, &q, now_ns);
	struct text t = a ? web_answer_message(a) : TEXT("");

	memcpy(said, t.at, t.len);
	said[t.len] = '\0';
	return said;
}

static size_t
one_entry(void)
{
	size_t bytes;

	assert_int_equal(cache_new(&cache, 1 << 20), 0);
	put(0, "same", 1);
	bytes = cache_bytes(cache);
	cache = cache_free(cache);
	return bytes;
}

static void
finds_the_same_question_only(void **state)
{
	struct question q = question_at(1);

	(void)state;
	assert_int_equal(cache_new(&cache, 1 << 20), 0);
	put(1, "one", 100);
	assert_string_equal(find(1, 99), "one");
	assert_string_equal(find(2, 99), "");
	q.radius_mm = 1500001;
	assert_null(cache_find(cache, &q, 99));
	q = question_at(1);
	q.bound = 19;
	assert_null(cache_find(cache, &q, 99));
	q = question_at(1);
	q.lon_e7 = -1;
	assert_null(cache_find(cache, &q, 99));
	q = question_at(1);
	q.service = 1;
	assert_null(cache_find(cache, &q, 99));
	put(1, "another", 200);
	assert_string_equal(find(1, 150), "another");
	assert_int_equal(cache_count(cache), 1);
	cache = cache_free(cache);
}

static void
forgets_in_time(void **state)
{
	(void)state;
	assert_int_equal(cache_new(&cache, 1 << 20), 0);
	put(1, "one", 100);
	assert_string_equal(find(1, 100), "");
	assert_int_equal(cache_count(cache), 0);
	assert_int_equal(cache_bytes(cache), 0);
	cache = cache_free(cache);
}

static void
forgets_what_was_not_used(void **state)
{
	const size_t each = one_entry();

	(void)state;
	assert_int_equal(cache_new(&cache, 10 * each), 0);
	for (int i = 0; i < 10; i++)
		put(i, "same", 100);
	assert_int_equal(cache_count(cache), 10);
	assert_string_equal(find(0, 1), "same"); /* now 1 is the one that nobody wants */
	put(10, "same", 100);
	assert_string_equal(find(0, 1), "same");
	assert_string_equal(find(1, 1), "");
	assert_string_equal(find(2, 1), "same");
	assert_int_equal(cache_bytes(cache), 10 * each);
	cache_limit(cache, 3 * each);
	assert_int_equal(cache_count(cache), 3);
	assert_string_equal(find(2, 1), "same"); /* used last */
	cache_limit(cache, 0);
	assert_int_equal(cache_count(cache), 0);
	put(1, "same", 100);
	assert_string_equal(find(1, 1), "");
	cache = cache_free(cache);
}

static void
keeps_nothing_that_is_too_large(void **state)
{
	const size_t each = one_entry();

	(void)state;
	assert_int_equal(cache_new(&cache, 4 * each), 0);
	put(1, "same", 100);
	put(2, "same and much more of it", 100);
	put(1, "same and much more of it", 100); /* and the one it replaces is old */
	assert_int_equal(cache_count(cache), 0);
	cache = cache_free(cache);
}

static void
drops_a_service(void **state)
{
	struct web_answer *a = answer_saying("any");

	(void)state;
	assert_int_equal(cache_new(&cache, 1 << 20), 0);
	for (uint32_t i = 0; i < 100; i++) {
		struct question q = question_at((int32_t)i);

		q.service = i % 4;
		cache_put(cache, &q, a, 100);
	}
	cache_drop(cache, 3);
	assert_int_equal(cache_count(cache), 75);
	for (uint32_t i = 0; i < 4; i++)
		cache_drop(cache, i);
	assert_int_equal(cache_bytes(cache), 0);
	web_answer_unref(a);
	cache = cache_free(cache);
}

/* Against a plain array: what is found is what was put last and is fresh. */
static void
agrees_with_an_array(void **state)
{
	enum { PLACES = 500 };
	const size_t bytes_max = 200 * one_entry();
	int64_t until[PLACES] = {0};
	uint64_t random = random_seed(4);
	size_t found = 0;

	(void)state;
	assert_int_equal(cache_new(&cache, bytes_max), 0);
	for (int64_t now_ns = 0; now_ns < 50000; now_ns++) {
		int32_t at = (int32_t)random_below(&random, PLACES);

		if (random_below(&random, 2)) {
			until[at] = now_ns + 1 + (int64_t)random_below(&random, 2000);
			put(at, "same", until[at]);
		} else if (find(at, now_ns)[0]) {
			assert_true(now_ns < until[at]);
			found++;
		}
		assert_true(cache_bytes(cache) <= bytes_max);
	}
	assert_true(found > 1000);
	cache = cache_free(cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_same_question_only),
		cmocka_unit_test(forgets_in_time),
		cmocka_unit_test(forgets_what_was_not_used),
		cmocka_unit_test(keeps_nothing_that_is_too_large),
		cmocka_unit_test(drops_a_service),
		cmocka_unit_test(agrees_with_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
