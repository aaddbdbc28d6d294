/*
 * Tests of places/cell.h: every place is within reach of its square's centre,
 * and squares are about as large as was asked for.
 */
#include "unit.h"

#include <math.h>

#include "../random.h"
#include "core/places.h"
#include "places/cell.h"

enum {
	POLE = 900000000,
	TURN = 1800000000,
};

static void
is_the_place_itself_without_a_size(void **state)
{
	struct cell c = cell_of(123, -456, 0);

	(void)state;
	assert_int_equal(c.lat_e7, 123);
	assert_int_equal(c.lon_e7, -456);
	assert_true(c.reach_km <= 0);
}

static void
check(int32_t lat_e7, int32_t lon_e7, uint32_t cell_m)
{
	struct cell c = cell_of(lat_e7, lon_e7, cell_m);
	double m = places_distance_m(c.lat_e7, c.lon_e7, lat_e7, lon_e7);

	assert_in_range(c.lat_e7 + POLE, 0, 2 * (int64_t)POLE);
	assert_in_range((int64_t)c.lon_e7 + TURN, 0, 2 * (int64_t)TURN);
	if (m > c.reach_km * 1000) {
		print_error("%d %d %u: %f m, reach %f km\n", lat_e7, lon_e7, cell_m, m, c.reach_km);
		fail();
	}
	if (fabs((double)lat_e7) < 800000000 && cell_m <= 5000)
		assert_in_range((int64_t)(c.reach_km * 1000), cell_m / 2, cell_m);
}

static void
reaches_every_place(void **state)
{
	static const int32_t lats[] = {-POLE, -POLE + 1, -1, 0, 1, POLE - 1, POLE};
	static const int32_t lons[] = {-TURN, -TURN + 1, -1, 0, 1, TURN - 1, TURN};
	static const uint32_t sizes[] = {1, 10, 100, 500, 1000, 5000, 50000, CELL_MAX_M, UINT32_MAX};
	uint64_t random = random_seed(5);

	(void)state;
	for (size_t s = 0; s < ELEMENTS(sizes); s++) {
		for (size_t i = 0; i < ELEMENTS(lats); i++)
			for (size_t k = 0; k < ELEMENTS(lons); k++)
				check(lats[i], lons[k], sizes[s]);
		for (int i = 0; i < 20000; i++)
			check((int32_t)random_below(&random, 2 * (size_t)POLE + 1) - POLE,
			      (int32_t)((int64_t)random_below(&random, 2 * (size_t)TURN + 1) - TURN),
			      sizes[s]);
	}
}

/* All that are in one square get the same centre: the centre of a centre is itself. */
static void
is_one_square(void **state)
{
	uint64_t random = random_seed(6);

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct cell c = cell_of(
			(int32_t)random_below(&random, 2 * (size_t)POLE + 1) - POLE,
			(int32_t)((int64_t)random_below(&random, 2 * (size_t)TURN + 1) - TURN), 500);
		struct cell again = cell_of(c.lat_e7, c.lon_e7, 500);

		assert_int_equal(again.lat_e7, c.lat_e7);
		assert_int_equal(again.lon_e7, c.lon_e7);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_the_place_itself_without_a_size),
		cmocka_unit_test(reaches_every_place),
		cmocka_unit_test(is_one_square),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
