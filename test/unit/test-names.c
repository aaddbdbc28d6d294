/*
 * What the herd tells about its members' names: names.c. A herd here is an
 * array of these, and telling is a loop.
 */
#include "unit.h"

#include "base/clock.h"
#include "flood/names.h"

enum { HOSTS = 4 };

#define START_S	 INT64_C(1700000000)
#define START_NS (START_S * CLOCK_SECOND_NS)

struct herd {
	struct names *names[HOSTS];
	uint64_t cursor[HOSTS][HOSTS]; /* whose names, told to whom */
	unsigned int told, news;
	unsigned int warnings;
	char server[32];
	uint8_t one, other; /* of the last warning */
	int64_t now_ns;
};

static void
host_id(uint8_t id[NAMES_HOST_ID_BYTES], unsigned int host)
{
	memset(id, 0, NAMES_HOST_ID_BYTES);
	id[0] = (uint8_t)(host + 1);
}

static void
on_conflict(void *arg, const char *server, const uint8_t one[NAMES_HOST_ID_BYTES],
	    const uint8_t other[NAMES_HOST_ID_BYTES])
{
	struct herd *h = arg;

	h->warnings++;
	snprintf(h->server, sizeof(h->server), "%s", server);
	h->one = one[0];
	h->other = other[0];
}

static int
setup(void **state)
{
	struct herd *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->now_ns = START_NS;
	for (unsigned int i = 0; i < HOSTS; i++) {
		uint8_t id[NAMES_HOST_ID_BYTES];

		host_id(id, i);
		assert_int_equal(names_new(&h->names[i], id, on_conflict, h), 0);
	}
	*state = h;
	return 0;
}

static int
teardown(void **state)
{
	struct herd *h = *state;

	for (unsigned int i = 0; i < HOSTS; i++)
		names_free(h->names[i]);
	free(h);
	return 0;
}

static bool
learn(struct herd *h, unsigned int host, const char *server, unsigned int of, int64_t boot_s)
{
	uint8_t id[NAMES_HOST_ID_BYTES];

	host_id(id, of);
	return names_learn(h->names[host], text_of(server), id, boot_s, h->now_ns);
}

/* One turn of a link; how many lines it took. */
static unsigned int
tell(struct herd *h, unsigned int from, unsigned int to)
{
	uint8_t id[NAMES_HOST_ID_BYTES];
	unsigned int told = 0;
	struct text server;
	int64_t boot_s;

	while (names_next(h->names[from], &h->cursor[from][to], &server, id, &boot_s)) {
		told++;
		h->news += names_learn(h->names[to], server, id, boot_s, h->now_ns);
	}
	h->told += told;
	return told;
}

/* Links all round: 0-1-2-3-0, until nobody has news. */
static void
tell_all(struct herd *h)
{
	unsigned int told, rounds = 0;

	do {
		told = 0;
		for (unsigned int i = 0; i < HOSTS; i++) {
			told += tell(h, i, (i + 1) % HOSTS);
			told += tell(h, (i + 1) % HOSTS, i);
		}
		assert_true(++rounds < 10);
	} while (told);
}

static void
pass(struct herd *h, int64_t seconds)
{
	for (; seconds > 0; seconds--) {
		h->now_ns += CLOCK_SECOND_NS;
		for (unsigned int i = 0; i < HOSTS; i++)
			names_tick(h->names[i], h->now_ns);
	}
}

static void
test_one_name_reaches_everybody_once(void **state)
{
	struct herd *h = *state;

	tell_all(h); /* now all links are there */
	names_own(h->names[0], TEXT("Alpha"), START_S - 100, h->now_ns);
	tell_all(h);
	assert_int_equal(h->news, HOSTS - 1);
	/* Each tells both its neighbours, the one it heard it from included. */
	assert_int_equal(h->told, 2 * HOSTS);
	for (unsigned int i = 0; i < HOSTS; i++)
		assert_int_equal(names_count(h->names[i]), 1);
	assert_false(learn(h, 1, "Alpha", 0, START_S - 100));
	tell_all(h);
	assert_int_equal(h->told, 2 * HOSTS);
}

static void
test_told_again_each_minute_and_forgotten_after_three(void **state)
{
	struct herd *h = *state;

	for (unsigned int second = 0; second < 600; second++) {
		names_own(h->names[0], TEXT("Alpha"), START_S, h->now_ns);
		tell_all(h);
		pass(h, 1);
		assert_int_equal(names_count(h->names[2]), 1);
	}
	assert_int_equal(h->news, 10 * (HOSTS - 1));
	pass(h, 119); /* it is told no more: the last time was 60 s ago */
	assert_int_equal(names_count(h->names[2]), 1);
	pass(h, 2);
	assert_int_equal(names_count(h->names[2]), 0);
	pass(h, 60);
	assert_int_equal(names_count(h->names[0]), 0);
}

/* A host that comes new hears of its neighbour's members at once, and not what the neighbour only knows of others. */
static void
test_a_new_link_starts_with_what_is_our_own(void **state)
{
	struct herd *h = *state;

	names_own(h->names[0], TEXT("Alpha"), START_S, h->now_ns);
	names_own(h->names[0], TEXT("Bravo"), START_S, h->now_ns);
	assert_true(learn(h, 0, "Golf", 3, START_S));
	assert_int_equal(tell(h, 0, 1), 2);
	assert_int_equal(tell(h, 0, 1), 0);
	assert_true(learn(h, 0, "Hotel", 3, START_S));
	assert_int_equal(tell(h, 0, 1), 1);

	pass(h, 11); /* our own have stopped */
	assert_int_equal(tell(h, 0, 2), 0);
}

static void
test_a_restart_is_news_and_old_lines_are_not(void **state)
{
	struct herd *h = *state;

	assert_true(learn(h, 0, "Alpha", 1, START_S));
	pass(h, 2);
	assert_true(learn(h, 0, "Alpha", 1, START_S + 1));
	assert_false(learn(h, 0, "Alpha", 1, START_S + 2)); /* restarting all the time is not */
	pass(h, 40);
	assert_false(learn(h, 0, "Alpha", 1, START_S));
	assert_true(learn(h, 0, "Alpha", 1, START_S + 2));
}

static void
test_two_hosts_with_one_name_are_warned_of(void **state)
{
	struct herd *h = *state;

	tell_all(h);
	for (unsigned int second = 0; second < 130; second++) {
		names_own(h->names[0], TEXT("Alpha"), START_S - 100, h->now_ns);
		names_own(h->names[1], TEXT("Alpha"), START_S - 200, h->now_ns);
		names_own(h->names[1], TEXT("Bravo"), START_S - 200, h->now_ns);
		tell_all(h);
		pass(h, 1);
		if (second == 0) {
			assert_int_equal(h->warnings, HOSTS); /* everybody knows */
			assert_string_equal(h->server, "Alpha");
			assert_int_equal(h->one + h->other, 3);
			h->warnings = 0;
		}
	}
	assert_int_equal(h->warnings, 2 * HOSTS); /* after a minute, and after two */
	for (unsigned int i = 0; i < HOSTS; i++)
		assert_int_equal(names_conflicts(h->names[i]), 1);
	pass(h, 200);
	assert_int_equal(names_conflicts(h->names[2]), 0);
}

/* Both have just started: neither is certain at first. Everybody is soon, also those who are linked with neither, and
   little more is told for it. */
static void
test_two_that_have_just_started(void **state)
{
	struct herd *h = *state;

	for (unsigned int second = 0; second < 50; second++) {
		names_own(h->names[0], TEXT("Alpha"), START_S, h->now_ns);
		names_own(h->names[1], TEXT("Alpha"), START_S + 1, h->now_ns);
		names_own(h->names[1], TEXT("Bravo"), START_S, h->now_ns);
		tell_all(h);
		if (second < 5)
			assert_int_equal(h->warnings, 0);
		pass(h, 1);
	}
	assert_int_equal(h->warnings, HOSTS);
	for (unsigned int i = 0; i < HOSTS; i++)
		assert_int_equal(names_conflicts(h->names[i]), 1);
	assert_true(h->news <= 3 * 3 + 2 * 3); /* each name, and the two of them once more */
}

/* One of the two has run for long. */
static void
test_one_that_has_just_started(void **state)
{
	struct herd *h = *state;

	for (unsigned int second = 0; second < 40; second++) {
		names_own(h->names[0], TEXT("Alpha"), START_S - 1000, h->now_ns);
		if (second >= 20)
			names_own(h->names[2], TEXT("Alpha"), START_S + 20, h->now_ns);
		tell_all(h);
		pass(h, 1);
		if (second == 20)
			assert_int_equal(h->warnings, 0);
	}
	assert_int_equal(h->warnings, HOSTS);
}

static void
test_our_own_comes_first(void **state)
{
	struct herd *h = *state;

	names_own(h->names[1], TEXT("Alpha"), START_S - 100, h->now_ns);
	assert_true(learn(h, 1, "Alpha", 2, START_S - 100));
	assert_true(learn(h, 1, "Bravo", 2, START_S - 100));
	names_own(h->names[1], TEXT("Bravo"), START_S - 100, h->now_ns);
	for (unsigned int i = 0; i < 2; i++) {
		pass(h, 1);
		assert_int_equal(h->warnings, 2);
		assert_int_equal(h->one, 2);
		assert_int_equal(h->other, 3);
	}
	assert_int_equal(names_conflicts(h->names[1]), 2);
}

static void
test_a_member_that_moved_is_no_conflict(void **state)
{
	struct herd *h = *state;

	names_own(h->names[0], TEXT("Alpha"), START_S - 100, h->now_ns);
	tell_all(h);
	pass(h, 3);
	for (unsigned int second = 0; second < 300; second++) {
		names_own(h->names[1], TEXT("Alpha"), START_S + 3, h->now_ns);
		tell_all(h);
		pass(h, 1);
	}
	assert_int_equal(h->warnings, 0);
	/* But when it comes back at the old place as well it is one. */
	names_own(h->names[0], TEXT("Alpha"), START_S + 302, h->now_ns);
	names_own(h->names[1], TEXT("Alpha"), START_S + 3, h->now_ns);
	tell_all(h);
	pass(h, 10);
	names_own(h->names[0], TEXT("Alpha"), START_S + 302, h->now_ns);
	names_own(h->names[1], TEXT("Alpha"), START_S + 3, h->now_ns);
	pass(h, 1);
	assert_int_equal(names_conflicts(h->names[0]), 0); /* the other was not heard of since */
	pass(h, 60);
	names_own(h->names[0], TEXT("Alpha"), START_S + 302, h->now_ns);
	names_own(h->names[1], TEXT("Alpha"), START_S + 3, h->now_ns);
	tell_all(h);
	pass(h, 1);
	assert_int_equal(names_conflicts(h->names[0]), 1);
	assert_int_equal(names_conflicts(h->names[3]), 1);
}

static void
test_what_a_peer_may_not_say(void **state)
{
	struct herd *h = *state;

	assert_false(learn(h, 0, "Alpha", 0, START_S)); /* about us */
	assert_false(learn(h, 0, "", 1, START_S));
	assert_false(learn(h, 0, "Al pha", 1, START_S));
	assert_false(learn(h, 0, "A234567890123456789012345", 1, START_S));
	assert_false(learn(h, 0, "Alpha", 1, -1));
	assert_false(learn(h, 0, "Alpha", 1, INT64_MAX));
	for (unsigned int i = 0; i < NAMES_HOSTS_MAX; i++)
		assert_true(learn(h, 0, "Alpha", 1 + i, START_S));
	assert_false(learn(h, 0, "Alpha", 1 + NAMES_HOSTS_MAX, START_S));
	names_own(h->names[0], TEXT("Alpha"), START_S, h->now_ns);
	assert_int_equal(names_count(h->names[0]), NAMES_HOSTS_MAX + 1);
	names_own(h->names[0], TEXT("Alpha Alpha"), START_S, h->now_ns);
	names_own(h->names[0], TEXT("Alpha"), -1, h->now_ns);
	assert_int_equal(names_count(h->names[0]), NAMES_HOSTS_MAX + 1);
}

/* Somebody who tells more than there is room for keeps none of our own members out, and links behind by more than the
   ring find their way. */
static void
test_bounded(void **state)
{
	struct herd *h = *state;
	unsigned int learnt = 0, told;
	char server[24];

	assert_int_equal(tell(h, 0, 1), 0);
	for (unsigned int i = 0; i < 3 * NAMES_MAX; i++) {
		snprintf(server, sizeof(server), "s%u", i);
		learnt += learn(h, 0, server, 2, START_S);
	}
	assert_true(learnt > NAMES_MAX / 2 && learnt < NAMES_MAX);
	names_own(h->names[0], TEXT("Alpha"), START_S, h->now_ns);
	assert_int_equal(names_count(h->names[0]), learnt + 1);
	for (unsigned int i = 0; i < 4; i++) {
		pass(h, 40);
		for (unsigned int k = 0; k < learnt; k++) {
			snprintf(server, sizeof(server), "s%u", k);
			assert_true(learn(h, 0, server, 2, START_S));
		}
	}
	told = tell(h, 0, 1);
	assert_int_equal(told, learnt);
	pass(h, 181);
	assert_int_equal(names_count(h->names[0]), 0);
	assert_true(learn(h, 0, "Alpha", 2, START_S));
	assert_int_equal(tell(h, 0, 1), 1);
}

static void
test_where_a_member_is(void **state)
{
	struct herd *h = *state;
	uint8_t hosts[NAMES_HOSTS_MAX + 1][NAMES_HOST_ID_BYTES];

	assert_int_equal(names_hosts(h->names[0], TEXT("Alpha"), h->now_ns, hosts), 0);
	learn(h, 0, "Bravo", 2, START_S);
	learn(h, 0, "Alpha", 2, START_S);
	assert_int_equal(names_hosts(h->names[0], TEXT("Alpha"), h->now_ns, hosts), 1);
	assert_int_equal(hosts[0][0], 3);
	names_own(h->names[0], TEXT("Alpha"), START_S, h->now_ns);
	learn(h, 0, "Alpha", 3, START_S);
	assert_int_equal(names_hosts(h->names[0], TEXT("Alpha"), h->now_ns, hosts), 3);
	assert_int_equal(hosts[0][0], 1); /* this one first */
	assert_int_equal(hosts[1][0] + hosts[2][0], 3 + 4);
	for (unsigned int i = 0; i < 2 * NAMES_HOSTS_MAX; i++)
		learn(h, 0, "Alpha", 10 + i, START_S);
	assert_int_equal(names_hosts(h->names[0], TEXT("Alpha"), h->now_ns, hosts), NAMES_HOSTS_MAX + 1);
	assert_int_equal(hosts[0][0], 1);
	h->now_ns += 180 * CLOCK_SECOND_NS; /* and nobody has ticked */
	assert_int_equal(names_hosts(h->names[0], TEXT("Alpha"), h->now_ns, hosts), 0);
}

/* Set back by an hour: nothing is forgotten, nothing is told in a loop. */
static void
test_a_clock_that_is_set(void **state)
{
	struct herd *h = *state;

	names_own(h->names[0], TEXT("Alpha"), START_S, h->now_ns);
	tell_all(h);
	h->now_ns -= 3600 * CLOCK_SECOND_NS;
	pass(h, 1);
	tell_all(h);
	assert_int_equal(names_count(h->names[2]), 1);
	assert_int_equal(h->news, HOSTS - 1);
	h->now_ns += 2 * 3600 * CLOCK_SECOND_NS;
	pass(h, 1);
	assert_int_equal(names_count(h->names[2]), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_name_reaches_everybody_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told_again_each_minute_and_forgotten_after_three, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_new_link_starts_with_what_is_our_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_restart_is_news_and_old_lines_are_not, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_two_hosts_with_one_name_are_warned_of, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_that_have_just_started, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_that_has_just_started, setup, teardown),
		cmocka_unit_test_setup_teardown(test_our_own_comes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_member_that_moved_is_no_conflict, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_a_peer_may_not_say, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_where_a_member_is, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_clock_that_is_set, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
