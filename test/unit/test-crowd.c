/*
 * Who counts as one address, and that the counts are right whatever comes and
 * goes in whatever order.
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/address.h"
#include "member/crowd.h"
#include "../random.h"

static struct crowd *crowd;

static int
set_up(void **state)
{
	(void)state;
	return crowd_new(&crowd);
}

static int
tear_down(void **state)
{
	(void)state;
	crowd = crowd_free(crowd); /* asserts that all have left */
	return 0;
}

/* CROWD_E_FULL, or the address it counts at. */
static int
enter(const char *peer, uint32_t most, struct crowd_address **ret)
{
	struct address address;

	assert_int_equal(address_parse(text_of(peer), &address), 0);
	return crowd_enter(crowd, (struct sockaddr *)&address.socket, most, ret);
}

static void
test_limit(void **state)
{
	struct crowd_address *a[3], *other, *none;

	(void)state;
	assert_int_equal(enter("192.0.2.1:1", 2, &a[0]), 0);
	assert_int_equal(enter("192.0.2.1:2", 2, &a[1]), 0);
	none = a[0];
	assert_int_equal(enter("192.0.2.1:1", 2, &none), CROWD_E_FULL);
	assert_ptr_equal(none, a[0]);
	assert_int_equal(enter("192.0.2.2:1", 2, &other), 0);
	assert_int_equal(enter("192.0.2.1:1", 0, &a[2]), 0); /* any number */
	crowd_leave(crowd, a[1]);
	assert_int_equal(enter("192.0.2.1:1", 2, &none), CROWD_E_FULL);
	crowd_leave(crowd, a[2]);
	assert_int_equal(enter("192.0.2.1:1", 2, &a[1]), 0);
	assert_int_equal(crowd_addresses(crowd), 2);
	crowd_leave(crowd, a[0]);
	crowd_leave(crowd, a[1]);
	crowd_leave(crowd, other);
	crowd_leave(crowd, NULL);
	assert_int_equal(crowd_addresses(crowd), 0);
}

/* Pairs of peers that count as one, or do not. */
static void
test_what_counts_as_one(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} pairs[] = {
		{"127.0.0.1:1", "127.0.0.1:65535", true},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		{"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", false},
		{"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff:ffff:ffff:ffff]:2", true},
		{"[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false},
		{"[2001:db8:1:2::1]:1", "[2001:db9:1:2::1]:1", false},
		{"[::1]:1", "[::2]:1", true},
		{"[::1]:1", "127.0.0.1:1", false},
		/* The same first eight bytes, as far as an IPv4 address has eight. */
		{"192.0.2.1:1", "[0:0:c000:201::1]:1", false},
		{"192.0.2.1:1", "[c000:201::1]:1", false},
		{"192.0.2.1:1", "[c000:201:ffff:ffff::1]:1", false},
		{"192.0.2.1:1", "[::c000:201:0:0:0:1]:1", false},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(pairs); i++) {
		struct crowd_address *a = NULL, *b = NULL;

		assert_int_equal(enter(pairs[i].a, 1, &a), 0);
		if (enter(pairs[i].b, 1, &b) != (pairs[i].same ? CROWD_E_FULL : 0))
			fail_msg("%s and %s", pairs[i].a, pairs[i].b);
		crowd_leave(crowd, a);
		crowd_leave(crowd, b);
	}
}

static void
test_no_address(void **state)
{
	struct sockaddr_storage un = {.ss_family = AF_UNIX}, none = {.ss_family = AF_UNSPEC};
	struct crowd_address *a;

	(void)state;
	for (int i = 0; i < 3; i++) {
		a = (void *)&un;
		assert_int_equal(crowd_enter(crowd, (struct sockaddr *)&un, 1, &a), 0);
		assert_null(a);
		assert_int_equal(crowd_enter(crowd, (struct sockaddr *)&none, 1, &a), 0);
		assert_null(a);
	}
	assert_int_equal(crowd_addresses(crowd), 0);
}

/* Thousands of addresses, a few connections each, coming and going: compared with an array of counts. */
static void
test_many(void **state)
{
	enum { ADDRESSES = 5000, MOST = 3, STEPS = 200000 };
	static struct crowd_address *held[ADDRESSES][MOST];
	static uint32_t count[ADDRESSES];
	uint64_t random = random_seed(1);
	uint32_t addresses = 0;

	(void)state;
	for (int i = 0; i < STEPS; i++) {
		uint64_t r = random_u64(&random);
		uint32_t n = (uint32_t)(r >> 8) % ADDRESSES;
		char peer[64];

		snprintf(peer, sizeof(peer), n % 2 ? "10.0.%u.%u:1" : "[2001:db8:%x:%x::1]:1", n >> 8,
			 n & 255);
		if (r & 1) {
			bool full = count[n] == MOST;
			struct crowd_address *a = NULL;

			assert_int_equal(enter(peer, MOST, &a), full ? CROWD_E_FULL : 0);
			addresses += count[n] == 0;
			if (!full)
				held[n][count[n]++] = a;
		} else if (count[n] > 0) {
			crowd_leave(crowd, held[n][--count[n]]);
			addresses -= count[n] == 0;
		}
		assert_int_equal(crowd_addresses(crowd), addresses);
	}
	assert_true(addresses > ADDRESSES / 2);
	for (uint32_t n = 0; n < ADDRESSES; n++)
		while (count[n] > 0)
			crowd_leave(crowd, held[n][--count[n]]);
}

/* --- without memory ----------------------------------------------------------- */

static bool no_memory;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *
__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

static void
test_no_memory(void **state)
{
	struct crowd_address *a, *b = NULL;
	struct crowd *none = NULL;

	(void)state;
	assert_int_equal(enter("192.0.2.1:1", 2, &a), 0);
	no_memory = true;
	assert_int_equal(enter("192.0.2.2:1", 2, &b), -ENOMEM);
	assert_null(b);
	assert_int_equal(enter("192.0.2.1:1", 2, &b), 0);
	assert_int_equal(crowd_new(&none), -ENOMEM);
	assert_null(none);
	no_memory = false;
	crowd_leave(crowd, a);
	crowd_leave(crowd, b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_counts_as_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_address, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
