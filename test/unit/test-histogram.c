/* Tests of base/histogram.h. */
#include "unit.h"

#include "base/histogram.h"

/* Buckets follow each other without a gap, and a value is at most one in 32 below the top of its own. */
static void
test_buckets(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t top = histogram_bucket_top(i);

		assert_int_equal(histogram_bucket(top), i);
		if (top < UINT64_MAX)
			assert_int_equal(histogram_bucket(top + 1), i + 1);
	}
	assert_true(histogram_bucket_top(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
	for (uint64_t value = 1; value < UINT64_MAX / 3; value = value * 3 + 1) {
		uint64_t top = histogram_bucket_top(histogram_bucket(value));

		assert_true(top >= value && top - value <= value / HISTOGRAM_SUB);
	}
}

static void
test_empty(void **state)
{
	static const struct histogram h;

	(void)state;
	assert_int_equal(histogram_quantile(&h, 0), 0);
	assert_int_equal(histogram_quantile(&h, 0.99), 0);
	assert_int_equal(histogram_quantile(&h, 1), 0);
}

static void
test_quantiles(void **state)
{
	static struct histogram h;

	(void)state;
	for (uint64_t value = 1; value <= 10000; value++)
		histogram_add(&h, value * 1000, 1);
	assert_int_equal(h.total, 10000);
	assert_int_equal(h.max, 10000000);
	assert_in_range(histogram_quantile(&h, 0), 1000, 1032);
	assert_in_range(histogram_quantile(&h, 0.5), 5000000, 5160000);
	assert_in_range(histogram_quantile(&h, 0.99), 9900000, 10000000);
	assert_int_equal(histogram_quantile(&h, 1), 10000000);
}

/* One in a thousand is the worst of a thousand, and no quantile is above what there was. */
static void
test_few_that_are_slow(void **state)
{
	static struct histogram h;

	(void)state;
	histogram_add(&h, 10, 999);
	histogram_add(&h, 1000001, 1);
	assert_int_equal(histogram_quantile(&h, 0.998), 10);
	assert_int_equal(histogram_quantile(&h, 0.999), 1000001);
	histogram_add(&h, UINT64_MAX, 1);
	assert_true(histogram_quantile(&h, 1) == UINT64_MAX);
	assert_true(h.max == UINT64_MAX && h.total == 1001);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_few_that_are_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
