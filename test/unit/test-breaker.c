/*
 * Tests of places/breaker.h: counting, pauses that double, one probe, and
 * answers to questions of before.
 */
#include "unit.h"

#include "places/breaker.h"
#include "../random.h"

#define S CLOCK_SECOND_NS

static struct breaker
breaker_of(uint32_t failures)
{
	return (struct breaker){.failures_max = failures, .pause_ns = 5 * S};
}

/* Fails once, now; the answer of breaker_failed(). */
static bool
fail_once(struct breaker *b, int64_t now_ns)
{
	assert_true(breaker_allows(b, now_ns));
	return breaker_failed(b, breaker_asked(b, now_ns), now_ns, 0);
}

static void
opens_after_failures_in_a_row(void **state)
{
	struct breaker b = breaker_of(3);

	(void)state;
	assert_false(fail_once(&b, 0));
	assert_false(fail_once(&b, 0));
	assert_false(breaker_succeeded(&b, breaker_asked(&b, 0))); /* not in a row */
	assert_false(fail_once(&b, 0));
	assert_false(fail_once(&b, 0));
	assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
	assert_true(fail_once(&b, 0));
	assert_int_equal(breaker_state(&b, 5 * S - 1), BREAKER_OPEN);
	assert_false(breaker_allows(&b, 5 * S - 1));
	assert_true(breaker_allows(&b, 5 * S));
}

static void
lets_one_probe_through(void **state)
{
	struct breaker b = breaker_of(1);
	uint32_t probe;

	(void)state;
	assert_true(fail_once(&b, 0));
	probe = breaker_asked(&b, 5 * S);
	assert_int_equal(breaker_state(&b, 5 * S), BREAKER_HALF_OPEN);
	assert_false(breaker_allows(&b, 6 * S));
	assert_false(breaker_allows(&b, 600 * S)); /* it is still under way */
	breaker_abandoned(&b, probe);
	assert_true(breaker_allows(&b, 600 * S));
	assert_true(breaker_succeeded(&b, breaker_asked(&b, 600 * S)));
	assert_int_equal(breaker_state(&b, 600 * S), BREAKER_CLOSED);
	assert_true(fail_once(&b, 700 * S)); /* and the pause is the first one again */
	assert_true(breaker_allows(&b, 705 * S));
}

static void
doubles_the_pause(void **state)
{
	static const int64_t pauses[] = {5, 10, 20, 40, 80, 160, 300, 300, 300};
	struct breaker b = breaker_of(2);
	int64_t now_ns = 0;

	(void)state;
	fail_once(&b, now_ns);
	for (size_t i = 0; i < ELEMENTS(pauses); i++) {
		assert_int_equal(fail_once(&b, now_ns), i == 0); /* only the first time it is news */
		assert_false(breaker_allows(&b, now_ns + pauses[i] * S - 1));
		now_ns += pauses[i] * S;
		assert_true(breaker_allows(&b, now_ns));
	}
}

static void
varies_the_pause(void **state)
{
	uint64_t random = random_seed(1);
	int64_t least = INT64_MAX, most = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct breaker b = breaker_of(1);

		breaker_failed(&b, breaker_asked(&b, 0), 0, random_u64(&random));
		least = b.until_ns < least ? b.until_ns : least;
		most = b.until_ns > most ? b.until_ns : most;
	}
	assert_in_range(least, 5 * S, 5 * S + S / 10);
	assert_in_range(most, 6 * S, 5 * S + 5 * S / 4);
}

static void
hears_nothing_new_from_old_questions(void **state)
{
	struct breaker b = breaker_of(2);
	uint32_t old[10], probe;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(old); i++)
		old[i] = breaker_asked(&b, 0);
	assert_false(breaker_failed(&b, old[0], 0, 0));
	assert_true(breaker_failed(&b, old[1], 0, 0));
	for (size_t i = 2; i < 8; i++)
		assert_false(breaker_failed(&b, old[i], S, 0));
	assert_int_equal(b.until_ns, 5 * S);
	assert_false(breaker_succeeded(&b, old[8]));
	assert_int_equal(breaker_state(&b, S), BREAKER_OPEN);
	probe = breaker_asked(&b, 5 * S);
	breaker_abandoned(&b, old[9]);
	assert_false(breaker_allows(&b, 5 * S)); /* the probe is under way all the same */
	assert_true(breaker_succeeded(&b, probe));
}

static void
opens_when_told_to(void **state)
{
	struct breaker b = breaker_of(0);
	uint32_t other = breaker_asked(&b, 0);

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_false(fail_once(&b, 0)); /* never by counting */
	assert_true(breaker_open(&b, breaker_asked(&b, 0), 0, 30 * S));
	assert_false(breaker_allows(&b, 30 * S - 1));
	assert_false(breaker_open(&b, other, S, 60 * S)); /* one more 429, with a longer pause */
	assert_false(breaker_allows(&b, 61 * S - 1));
	assert_false(breaker_open(&b, other, S, S));
	assert_true(breaker_allows(&b, 61 * S));
	assert_false(breaker_open(&b, breaker_asked(&b, 61 * S), 61 * S, INT64_MAX));
	assert_true(breaker_allows(&b, 61 * S + BREAKER_PAUSE_MAX_NS));
	breaker_reset(&b);
	assert_true(breaker_allows(&b, 0));
}

/* A service that wants to be left alone for a day is not, nor is a longer pause cut by an older answer. */
static void
bounds_what_it_is_told(void **state)
{
	struct breaker b = breaker_of(1);
	uint32_t first, late;

	(void)state;
	first = breaker_asked(&b, 0);
	late = breaker_asked(&b, 0);
	assert_true(breaker_open(&b, first, 0, 86400 * S));
	assert_false(breaker_allows(&b, 300 * S - 1));
	assert_false(breaker_open(&b, late, 0, 10 * S));
	assert_false(breaker_allows(&b, 300 * S - 1));
	assert_true(breaker_allows(&b, 300 * S));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_after_failures_in_a_row),
		cmocka_unit_test(lets_one_probe_through),
		cmocka_unit_test(doubles_the_pause),
		cmocka_unit_test(varies_the_pause),
		cmocka_unit_test(hears_nothing_new_from_old_questions),
		cmocka_unit_test(opens_when_told_to),
		cmocka_unit_test(bounds_what_it_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
