/* Tests of places/web-settings.h: what is a change of settings, and what a change of the questions. */
#include "unit.h"

#include <stddef.h>

#include "places/web-settings.h"

static const struct source_service given = {
	.url = "https://localhost:1",
	.contact = "ops@example.org",
	.timeout_ns = 5000000000,
	.connect_timeout_ns = 2000000000,
	.cache_ttl_ns = 1000000000,
	.breaker_pause_ns = 1000000000,
	.breaker_failures = 3,
	.retries = 2,
	.requests_per_second = 10,
	.requests_per_day = 1000,
	.answer_max = 100000,
	.radius_max_m = 10000,
	.cell_m = 100,
};

static struct web_settings *
make(const struct source_service *from, enum places_rank rank)
{
	struct web_settings *s = NULL;

	assert_int_equal(web_settings_new(&s, &service_overpass, rank, from), 0);
	assert_null(s->lack);
	return s;
}

static void
expect(const struct source_service *changed, enum places_rank rank, bool is_equal, bool asks_alike)
{
	struct web_settings *a = make(&given, PLACES_DISTANCE), *b = make(changed, rank);

	assert_int_equal(web_settings_equal(a, b), is_equal);
	assert_int_equal(web_settings_equal(b, a), is_equal);
	assert_int_equal(web_settings_ask_alike(a, b), asks_alike);
	web_settings_unref(a);
	web_settings_unref(b);
}

static void
test_nothing_changed(void **state)
{
	(void)state;
	expect(&given, PLACES_DISTANCE, true, true);
}

static void
test_each_number(void **state)
{
	static const size_t times[] = {
		offsetof(struct source_service, timeout_ns),
		offsetof(struct source_service, connect_timeout_ns),
		offsetof(struct source_service, cache_ttl_ns),
		offsetof(struct source_service, breaker_pause_ns),
	};
	static const size_t counts[] = {
		offsetof(struct source_service, breaker_failures),
		offsetof(struct source_service, retries),
		offsetof(struct source_service, requests_per_second),
		offsetof(struct source_service, requests_per_day),
		offsetof(struct source_service, answer_max),
		offsetof(struct source_service, cell_m),
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(times); i++) {
		struct source_service changed = given;

		--*(int64_t *)(void *)((char *)&changed + times[i]);
		expect(&changed, PLACES_DISTANCE, false, true);
	}
	for (size_t i = 0; i < ELEMENTS(counts); i++) {
		struct source_service changed = given;

		--*(uint32_t *)(void *)((char *)&changed + counts[i]);
		expect(&changed, PLACES_DISTANCE, false, true);
	}
}

/* What the service is asked: its answers of before do not count. */
static void
test_the_question(void **state)
{
	static const size_t texts[] = {
		offsetof(struct source_service, url),	   offsetof(struct source_service, field_mask),
		offsetof(struct source_service, language), offsetof(struct source_service, region),
		offsetof(struct source_service, types),	   offsetof(struct source_service, contact),
	};
	struct source_service changed = given;

	(void)state;
	changed.radius_max_m--;
	expect(&changed, PLACES_DISTANCE, false, false);
	expect(&given, PLACES_PROMINENCE, false, false);
	for (size_t i = 0; i < ELEMENTS(texts); i++) {
		changed = given;
		*(const char **)(void *)((char *)&changed + texts[i]) = "https://localhost:2";
		expect(&changed, PLACES_DISTANCE, false, false);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_changed),
		cmocka_unit_test(test_each_number),
		cmocka_unit_test(test_the_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
