/* Tests of places/embedded.h: the built-in places open, and answer all over the world. */
#include "unit.h"

#include <stdlib.h>

#include "core/places.h"
#include "places/embedded.h"

static struct places *places;

static int
open_places(void **state)
{
	struct text file = places_embedded();

	(void)state;
	return places_from_memory(&places, file.at, file.len);
}

static int
free_places(void **state)
{
	(void)state;
	places = places_free(places);
	return 0;
}

static void
test_enough(void **state)
{
	(void)state;
	assert_true(places_count(places) >= 600);
	assert_int_equal(places_attribution(places).len, 0); /* typed by hand: owed to nobody */
}

/* The example of the protocol. */
static void
test_near_ucla(void **state)
{
	struct places_query q = {340689300, -1184451270, 10, 20, PLACES_DISTANCE};
	struct places_found found;

	(void)state;
	assert_int_equal(places_nearby(places, &q, &found), 0);
	assert_true(found.count >= 12);
	assert_text_equal(found.place[0].name, TEXT("University of California, Los Angeles"));
	assert_text_equal(found.place[0].types, TEXT("university"));
	assert_true(found.place[0].vicinity.len > 0 && found.place[0].id.len > 0);
	assert_true(found.place[0].prominence > 0);
}

static void
test_every_continent(void **state)
{
	static const struct places_query cities[] = {
		{407128000, -740060000, 50, 5, PLACES_PROMINENCE},  /* New York */
		{-235505000, -466333000, 50, 5, PLACES_PROMINENCE}, /* Sao Paulo */
		{488566000, 23522000, 50, 5, PLACES_PROMINENCE},    /* Paris */
		{356762000, 1396503000, 50, 5, PLACES_PROMINENCE},  /* Tokyo */
		{300444000, 312357000, 50, 5, PLACES_PROMINENCE},   /* Cairo */
		{-338688000, 1512093000, 50, 5, PLACES_PROMINENCE}, /* Sydney */
	};
	struct places_found found;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cities); i++) {
		assert_int_equal(places_nearby(places, &cities[i], &found), 0);
		assert_int_equal(found.count, 5);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enough),
		cmocka_unit_test(test_near_ucla),
		cmocka_unit_test(test_every_continent),
	};

	return cmocka_run_group_tests(tests, open_places, free_places);
}
