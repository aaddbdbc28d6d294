/* Tests of flood/trail.h: ages are right to a tenth of a second, and roughly for as long as anybody asks. */
#include "unit.h"

#include "flood/trail.h"

static void
test_empty(void **state)
{
	const struct trail t = {0};

	(void)state;
	assert_int_equal(trail_age_ns(&t, 0, INT64_MAX), 0);
}

static void
test_recent(void **state)
{
	struct trail t = {0};

	(void)state;
	/* A change every 10 ms. */
	for (uint64_t n = 0; n < 1000; n++)
		trail_mark(&t, n, (int64_t)n * 10 * CLOCK_MSEC_NS);
	for (uint64_t n = 0; n < 1000; n++) {
		int64_t age_ns = trail_age_ns(&t, n, 20 * CLOCK_SECOND_NS);
		int64_t right_ns = 20 * CLOCK_SECOND_NS - (int64_t)n * 10 * CLOCK_MSEC_NS;

		assert_true(age_ns >= right_ns && age_ns < right_ns + right_ns / 16 + TRAIL_STEP_NS);
	}
}

/* A day of changes: never younger than it was, and not much older. */
static void
test_long(void **state)
{
	const int64_t day_ns = 86400 * CLOCK_SECOND_NS;
	struct trail t = {0};
	uint64_t changes = 0;

	(void)state;
	for (int64_t now_ns = 0; now_ns < day_ns; now_ns += 130 * CLOCK_MSEC_NS)
		trail_mark(&t, changes++, now_ns);
	for (uint64_t n = 0; n < changes; n += 999) {
		int64_t right_ns = day_ns - (int64_t)n * 130 * CLOCK_MSEC_NS;
		int64_t age_ns = trail_age_ns(&t, n, day_ns);

		assert_true(age_ns >= right_ns);
		assert_true(age_ns <= right_ns + right_ns / 16 + 2 * TRAIL_STEP_NS);
	}
}

/* A clock that was put back. */
static void
test_back(void **state)
{
	struct trail t = {0};

	(void)state;
	trail_mark(&t, 0, 1000 * CLOCK_SECOND_NS);
	trail_mark(&t, 1, 10 * CLOCK_SECOND_NS);
	trail_mark(&t, 2, 11 * CLOCK_SECOND_NS);
	assert_int_equal(trail_age_ns(&t, 0, 12 * CLOCK_SECOND_NS), 0);
	assert_int_equal(trail_age_ns(&t, 1, 12 * CLOCK_SECOND_NS), 2 * CLOCK_SECOND_NS);
	assert_int_equal(trail_age_ns(&t, 7, 12 * CLOCK_SECOND_NS), CLOCK_SECOND_NS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_recent),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
