/* Tests of flood/replica.h: what comes in goes out to whom it should, and the digest says what the table holds. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "../replica-help.h"

#define TTL_NS (7 * 86400 * CLOCK_SECOND_NS)

/* Checks the digest and the list against the table, after everything that is going on has been taken in. */
static void
check_whole(struct help_host *h, int64_t now_ns)
{
	struct herd_fix fix;
	uint64_t cursor = 0, count = 0;

	assert_int_equal(help_drain(h, now_ns), 0);
	assert_int_equal(help_compare(h, now_ns), 0);
	while (table_next(h->helper, &cursor, 0, &fix, NULL) == 0)
		count++;
	assert_int_equal(replica_count(h->replica), count);
	assert_int_equal(digest_root(replica_digest(h->replica), 0), help_root(h));
}

static unsigned int
open_peer(struct help_host *h)
{
	unsigned int peer = 99;

	assert_int_equal(replica_open_peer(h->replica, &peer), 0);
	return peer;
}

static int
merge(struct help_host *h, unsigned int peer, uint32_t n, uint64_t version)
{
	struct herd_fix fix;

	help_client(&fix, n, version, 5);
	return replica_merge(h->replica, peer, &fix, HELP_NOW_NS);
}

static void
expect_next(struct help_host *h, unsigned int peer, uint32_t n, uint64_t version)
{
	struct herd_fix fix, want;
	uint64_t have_version = 0;
	unsigned int writer = 0;

	assert_true(replica_has_next(h->replica, peer));
	assert_int_equal(replica_next(h->replica, peer, HELP_NOW_NS, &fix), 0);
	assert_true(help_check(&fix, &have_version, &writer));
	help_client(&want, n, version, writer);
	assert_true(help_same(&fix, &want));
}

static void
expect_no_next(struct help_host *h, unsigned int peer)
{
	struct herd_fix fix;

	assert_int_equal(replica_next(h->replica, peer, HELP_NOW_NS, &fix), REPLICA_E_END);
	assert_false(replica_has_next(h->replica, peer));
	assert_int_equal(replica_passed(h->replica, peer), replica_sequence(h->replica));
	assert_int_equal(replica_lag_changes(h->replica, peer), 0);
	assert_int_equal(replica_lag_ns(h->replica, peer, INT64_MAX), 0);
}

static int
start(void **state)
{
	static struct help_host h;

	*state = &h;
	return help_host_init(&h, 1000, TTL_NS);
}

static int
stop(void **state)
{
	help_host_done(*state);
	return 0;
}

/* --- in and out ---------------------------------------------------------------- */

static void
test_fill(void **state)
{
	struct help_host *h = *state;
	unsigned int peer;

	for (uint32_t n = 0; n < 100; n++)
		assert_int_equal(help_host_put(h, n, 1), 0);
	assert_int_equal(help_replica(h, TTL_NS, HELP_NOW_NS), 0);
	assert_int_equal(replica_count(h->replica), 100);
	assert_int_equal(replica_sequence(h->replica), 100);
	assert_int_equal(replica_figures(h->replica)->local, 0);
	assert_int_equal(digest_root(replica_digest(h->replica), 0), help_root(h));
	assert_true(replica_table(h->replica) == h->helper);

	/* What was there before a peer came is not told by itself, but asked for. */
	peer = open_peer(h);
	expect_no_next(h, peer);
	replica_rewind(h->replica, peer, 0);
	for (int i = 0; i < 100; i++) {
		struct herd_fix fix;

		assert_int_equal(replica_next(h->replica, peer, HELP_NOW_NS, &fix), 0);
	}
	expect_no_next(h, peer);
	check_whole(h, HELP_NOW_NS);
}

static void
test_local(void **state)
{
	struct help_host *h = *state;
	unsigned int one = open_peer(h), other = open_peer(h);

	assert_int_equal(help_drain(h, HELP_NOW_NS), 0); /* from now on there are marks */
	assert_int_equal(help_host_put(h, 1, 1), 0);
	expect_no_next(h, one);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	assert_int_equal(help_host_put(h, 2, 1), 0);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	assert_int_equal(replica_figures(h->replica)->local, 2);
	assert_int_equal(replica_lag_changes(h->replica, one), 2);
	expect_next(h, one, 1, 1);
	assert_int_equal(help_host_put(h, 1, 2), 0);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	expect_next(h, one, 2, 1);
	expect_next(h, one, 1, 2);
	expect_no_next(h, one);
	/* The slow one is spared version 1. */
	expect_next(h, other, 2, 1);
	expect_next(h, other, 1, 2);
	expect_no_next(h, other);
	/* A round without news leaves things as they are. */
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	expect_no_next(h, one);
	assert_int_equal(replica_figures(h->replica)->rounds, 5);
	check_whole(h, HELP_NOW_NS);
}

static void
test_merge(void **state)
{
	struct help_host *h = *state;
	unsigned int one = open_peer(h), other = open_peer(h), third = open_peer(h);
	struct herd_fix fix;

	assert_int_equal(merge(h, one, 1, 5), 0);
	help_client(&fix, 1, 1, 5);
	assert_int_equal(help_find(h->member, (struct text){fix.id, fix.id_len}, 0, &fix), 0);
	/* A duplicate: who told it need not be told. */
	assert_int_equal(merge(h, other, 1, 5), REPLICA_E_OLDER);
	assert_int_equal(merge(h, third, 1, 4), REPLICA_E_OLDER);
	expect_no_next(h, one);
	expect_no_next(h, other);
	expect_next(h, third, 1, 5);
	expect_no_next(h, third);
	/* The next version is news for the first, too. */
	assert_int_equal(merge(h, third, 1, 6), 0);
	expect_next(h, one, 1, 6);
	expect_next(h, other, 1, 6);
	expect_no_next(h, third);
	assert_int_equal(replica_figures(h->replica)->merged, 2);
	assert_int_equal(replica_figures(h->replica)->older, 2);
	/* Merging marks nothing. */
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	assert_int_equal(replica_figures(h->replica)->local, 0);
	assert_int_equal(replica_sequence(h->replica), 2);
	check_whole(h, HELP_NOW_NS);
}

/* Who told it, and when it was taken in: for those who ask. */
static void
test_trace(void **state)
{
	struct help_host *h = *state;
	unsigned int one = open_peer(h), other = open_peer(h);
	struct replica_trace trace;
	struct table_key key;
	struct herd_fix fix;
	uint64_t slot = 0;

	help_client(&fix, 1, 5, 5);
	table_key_make(h->helper, (struct text){fix.id, fix.id_len}, &key);
	assert_int_equal(table_find_slot(h->helper, &key, &slot), TABLE_E_UNKNOWN);
	assert_int_equal(merge(h, one, 1, 5), 0);
	assert_int_equal(table_find_slot(h->helper, &key, &slot), 0);
	assert_int_equal(table_fix_at(h->helper, slot, 0, &fix), 0);
	assert_memory_equal(fix.id, key.id.at, key.id.len);
	assert_int_equal(replica_trace(h->replica, slot, HELP_NOW_NS + 32 * CLOCK_SECOND_NS, &trace), 0);
	assert_int_equal(trace.told, UINT64_C(1) << one);
	assert_int_equal(trace.sequence, 1);
	assert_false(trace.is_old);
	assert_true(trace.since_ns <= HELP_NOW_NS && trace.since_ns >= HELP_NOW_NS - 3 * CLOCK_SECOND_NS);
	assert_int_equal(merge(h, other, 1, 5), REPLICA_E_OLDER);
	assert_int_equal(replica_trace(h->replica, slot, HELP_NOW_NS, &trace), 0);
	assert_int_equal(trace.told, UINT64_C(1) << one | UINT64_C(1) << other);
	/* A member's own, once it was taken; nobody has told that one. */
	assert_int_equal(help_host_put(h, 1, 6), 0);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	assert_int_equal(replica_trace(h->replica, slot, HELP_NOW_NS, &trace), 0);
	assert_int_equal(trace.told, 0);
	assert_int_equal(trace.sequence, 2);
	assert_int_equal(replica_trace(h->replica, slot == 0, HELP_NOW_NS, &trace), REPLICA_E_END);
	assert_int_equal(replica_trace(h->replica, UINT64_MAX, HELP_NOW_NS, &trace), REPLICA_E_END);
	/* After a new start only that it was here then. */
	assert_int_equal(help_replica(h, TTL_NS, HELP_NOW_NS + CLOCK_SECOND_NS), 0);
	assert_int_equal(replica_trace(h->replica, slot, HELP_NOW_NS + CLOCK_SECOND_NS, &trace), 0);
	assert_true(trace.is_old);
}

/* A member's fix and a peer's in the same slot, in both orders, with the drain late. */
static void
test_both(void **state)
{
	struct help_host *h = *state;
	unsigned int one = open_peer(h), other = open_peer(h);

	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	assert_int_equal(help_host_put(h, 1, 5), 0);
	assert_int_equal(merge(h, one, 1, 6), 0);
	expect_next(h, other, 1, 6);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	expect_no_next(h, one);
	expect_no_next(h, other);

	assert_int_equal(merge(h, one, 2, 5), 0);
	assert_int_equal(help_host_put(h, 2, 6), 0);
	/* Sent as it is in the table; the drain sends it once more, which harms nobody. */
	expect_next(h, other, 2, 6);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	expect_next(h, one, 2, 6);
	expect_next(h, other, 2, 6);
	check_whole(h, HELP_NOW_NS);

	/* What a peer tells before we have found it ourselves. */
	assert_int_equal(help_host_put(h, 3, 5), 0);
	{
		struct herd_fix fix;

		help_client(&fix, 3, 5, HELP_MEMBER);
		assert_int_equal(replica_merge(h->replica, one, &fix, HELP_NOW_NS), REPLICA_E_OLDER);
	}
	check_whole(h, HELP_NOW_NS);
}

static void
test_resume(void **state)
{
	struct help_host *h = *state;
	unsigned int peer = open_peer(h);

	for (uint32_t n = 1; n <= 5; n++)
		assert_int_equal(merge(h, peer, n, 1), 0);
	replica_close_peer(h->replica, peer);
	peer = open_peer(h);
	expect_no_next(h, peer);
	replica_rewind(h->replica, peer, 3);
	assert_int_equal(replica_passed(h->replica, peer), 3);
	expect_next(h, peer, 4, 1);
	assert_int_equal(replica_passed(h->replica, peer), 4);
	expect_next(h, peer, 5, 1);
	expect_no_next(h, peer);
	/* A number from the future: not of this incarnation. */
	replica_rewind(h->replica, peer, 6);
	expect_next(h, peer, 1, 1);
}

static void
test_peers(void **state)
{
	struct help_host *h = *state;
	uint64_t seen = 0;
	unsigned int peer;

	for (unsigned int i = 0; i < CHANGES_PEERS; i++)
		seen |= UINT64_C(1) << open_peer(h);
	assert_true(seen == UINT64_MAX);
	assert_int_equal(replica_open_peer(h->replica, &peer), -EUSERS);
	replica_close_peer(h->replica, 17);
	assert_int_equal(open_peer(h), 17);
}

/* More than one call passes over. */
static void
test_passing_over(void **state)
{
	struct help_host h;
	struct herd_fix fix;
	unsigned int peer;
	int calls = 0;

	(void)state;
	assert_int_equal(help_host_init(&h, 20000, 3600 * CLOCK_SECOND_NS), 0);
	peer = open_peer(&h);
	for (uint32_t n = 0; n < 10000; n++)
		assert_int_equal(merge(&h, peer, 16 * n + 1, 1), 0);
	while (replica_has_next(h.replica, peer)) {
		assert_int_equal(replica_next(h.replica, peer, HELP_NOW_NS, &fix), REPLICA_E_END);
		calls++;
	}
	assert_true(calls >= 2 && calls < 10);

	/* And so for what has expired since. */
	replica_close_peer(h.replica, peer);
	peer = open_peer(&h);
	replica_rewind(h.replica, peer, 0);
	for (calls = 0; replica_has_next(h.replica, peer); calls++)
		assert_int_equal(replica_next(h.replica, peer, HELP_NOW_NS + 3600 * CLOCK_SECOND_NS, &fix),
				 REPLICA_E_END);
	assert_true(calls >= 2 && calls < 100);
	help_host_done(&h);
}

/* --- what is not merged ------------------------------------------------------------ */

static void
at_times(struct herd_fix *fix, int64_t client_ns, int64_t rx_ns)
{
	char *end;

	help_client(fix, 1, 1, 5);
	fix->rx_ns = rx_ns;
	end = text_put_u64(fix->time, (uint64_t)(client_ns / CLOCK_SECOND_NS));
	*end++ = '.';
	end = text_put_digits(end, (uint32_t)(client_ns % CLOCK_SECOND_NS), 9);
	fix->time_len = (uint8_t)(end - fix->time);
}

static void
test_parked(void **state)
{
	const int64_t now_ns = HELP_NOW_NS, far_ns = now_ns + 1000 * CLOCK_SECOND_NS;
	const struct {
		int64_t client_ns, rx_ns;
		int result;
	} cases[] = {
		{far_ns, far_ns, REPLICA_E_PARKED},
		{far_ns, now_ns + FIX_AHEAD_NS + 1, REPLICA_E_PARKED},
		{now_ns + REPLICA_PARK_NS + 1, far_ns, REPLICA_E_PARKED},
		{now_ns, now_ns + TTL_NS + 1, REPLICA_E_PARKED},
		{now_ns, INT64_MAX, REPLICA_E_PARKED},
		/* Each newer than the one before it. */
		{now_ns - CLOCK_SECOND_NS, now_ns + TTL_NS, 0},
		{now_ns, far_ns, 0},
		{now_ns + REPLICA_PARK_NS, now_ns + FIX_AHEAD_NS, 0},
		{now_ns + REPLICA_PARK_NS, far_ns, 0},
	};
	struct help_host *h = *state;
	unsigned int peer = open_peer(h), other = open_peer(h);
	struct herd_fix fix;

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		at_times(&fix, cases[i].client_ns, cases[i].rx_ns);
		assert_int_equal(replica_merge(h->replica, peer, &fix, now_ns), cases[i].result);
		assert_int_equal(replica_sequence(h->replica), i < 5 ? 0 : i - 4);
	}
	assert_int_equal(replica_figures(h->replica)->parked, 5);
	/* It merges by itself when its time has come. */
	at_times(&fix, far_ns, far_ns);
	assert_int_equal(replica_merge(h->replica, peer, &fix, far_ns - REPLICA_PARK_NS - 1),
			 REPLICA_E_PARKED);
	assert_int_equal(replica_merge(h->replica, peer, &fix, far_ns - REPLICA_PARK_NS), 0);
	assert_int_equal(replica_next(h->replica, other, far_ns, &fix), 0);
	assert_true(fix.rx_ns == far_ns);
	check_whole(h, far_ns);
}

static void
test_refused(void **state)
{
	struct help_host *h = *state;
	unsigned int peer = open_peer(h);
	struct herd_fix fix;

	at_times(&fix, HELP_NOW_NS - TTL_NS, HELP_NOW_NS - TTL_NS);
	assert_int_equal(replica_merge(h->replica, peer, &fix, HELP_NOW_NS), REPLICA_E_REFUSED);
	at_times(&fix, HELP_NOW_NS - TTL_NS, HELP_NOW_NS - TTL_NS + 1);
	assert_int_equal(replica_merge(h->replica, peer, &fix, HELP_NOW_NS), 0);
	assert_int_equal(replica_figures(h->replica)->refused, 1);
}

static void
test_invalid(void **state)
{
	struct help_host *h = *state;
	unsigned int peer = open_peer(h);
	struct herd_fix good, fix;

	at_times(&good, HELP_NOW_NS + FIX_AHEAD_NS, HELP_NOW_NS + FIX_AHEAD_NS + 1);
	for (int i = 0; i < 9; i++) {
		fix = good;
		switch (i) {
		case 0:
			fix.time_len = HERD_TIME_MAX + 1;
			break;
		case 1:
			fix.time[0] = '-';
			break;
		case 2:
			fix.location_len = HERD_LOCATION_MAX + 1;
			break;
		case 3:
			fix.location[0] = 'x';
			break;
		case 4:
			fix.id_len = 0;
			break;
		case 5:
			fix.id[3] = ' ';
			break;
		case 6:
			fix.server_len = HERD_SERVER_MAX + 1;
			break;
		case 7:
			fix.server[0] = '/';
			break;
		default:
			fix.rx_ns = -1;
		}
		assert_int_equal(replica_merge(h->replica, peer, &fix, HELP_NOW_NS), -EINVAL);
	}
	assert_int_equal(replica_figures(h->replica)->invalid, 9);
	assert_int_equal(replica_sequence(h->replica), 0);
	assert_int_equal(replica_merge(h->replica, peer, &good, HELP_NOW_NS), 0);
}

/* As many servers as the segment can name, and one more: refused, and nothing else. */
static void
test_servers(void **state)
{
	struct help_host *h = *state;
	unsigned int peer = open_peer(h);
	uint64_t version = 1;
	struct herd_fix fix;
	int r;

	do {
		char *end;

		help_client(&fix, 1, version++, 5);
		end = text_put_u64(text_put(fix.server, TEXT("Server")), version);
		fix.server_len = (uint8_t)(end - fix.server);
		r = replica_merge(h->replica, peer, &fix, HELP_NOW_NS);
	} while (r == 0 && version < 10000);
	assert_int_equal(r, REPLICA_E_REFUSED);
	assert_int_equal(merge(h, peer, 2, 1), REPLICA_E_REFUSED);
	assert_int_equal(replica_figures(h->replica)->refused, 2);
	check_whole(h, HELP_NOW_NS);
}

/* --- slots that change hands --------------------------------------------------------- */

static void
test_gone(void **state)
{
	struct help_host *h = *state;
	unsigned int peer = open_peer(h);
	const int64_t later_ns = HELP_NOW_NS + TTL_NS;

	for (uint32_t n = 0; n < 300; n++)
		assert_int_equal(n % 2 ? merge(h, peer, n, 1) : help_host_put(h, n, 1), 0);
	check_whole(h, HELP_NOW_NS);
	assert_int_equal(replica_count(h->replica), 300);
	assert_int_equal(help_sweep(h->helper, later_ns), 0);
	check_whole(h, later_ns);
	assert_int_equal(replica_count(h->replica), 0);
	assert_int_equal(digest_root(replica_digest(h->replica), 0), 0);
	assert_int_equal(replica_figures(h->replica)->gone, 300);
	assert_false(replica_has_next(h->replica, peer));
}

/* A table nine times too small. */
static void
test_eviction(void **state)
{
	uint64_t random = random_seed(31);
	struct help_host *h = *state;
	unsigned int peer = open_peer(h), other = open_peer(h);
	uint64_t evicted = 0;

	for (uint64_t version = 1; version < 30000; version++) {
		uint32_t n = (uint32_t)random_below(&random, 9000);
		int r = random_below(&random, 2) ? merge(h, peer, n, version) : help_host_put(h, n, version);
		struct herd_fix fix;

		evicted += r == REPLICA_E_REFUSED;
		assert_true(r == 0 || r == REPLICA_E_REFUSED);
		if (version % 100 == 0)
			assert_int_equal(replica_drain(h->replica, 10, HELP_NOW_NS) < 0, 0);
		if (version % 3 == 0)
			assert_true(replica_next(h->replica, other, HELP_NOW_NS, &fix) >= 0);
		if (version % 1000 == 0)
			check_whole(h, HELP_NOW_NS);
	}
	assert_int_equal(evicted, 0); /* all newer than what was there before */
	/* What was evicted does not come back. */
	assert_true(table_watermark_ns(h->helper) > HELP_BASE_NS);
	for (uint32_t n = 10000; n < 10010; n++)
		assert_int_equal(merge(h, peer, n, 1), REPLICA_E_REFUSED);
	assert_true(replica_since_s(h->replica, HELP_NOW_NS) * CLOCK_SECOND_NS >
		    table_watermark_ns(h->helper));
	check_whole(h, HELP_NOW_NS);
}

/* Before the first round there are no marks at all: found by comparing. */
static void
test_sweep(void **state)
{
	struct help_host *h = *state;
	unsigned int peer = open_peer(h);

	assert_int_equal(help_host_put(h, 1, 1), 0);
	assert_int_equal(help_compare(h, HELP_NOW_NS), 0);
	expect_next(h, peer, 1, 1);
	assert_int_equal(help_compare(h, HELP_NOW_NS), 0);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	expect_no_next(h, peer);
	assert_int_equal(replica_figures(h->replica)->local, 1);
}

/* A member's clock was a year ahead: its fix is told when it can be believed, and not counted before. */
static void
test_beyond(void **state)
{
	const int64_t rx_ns = HELP_NOW_NS + 52 * TTL_NS;
	struct help_host *h = *state;
	unsigned int peer = open_peer(h);
	struct herd_fix fix;

	assert_int_equal(help_host_put(h, 1, 1), 0);
	assert_int_equal(help_compare(h, HELP_NOW_NS), 0);
	assert_int_equal(replica_count(h->replica), 1);
	at_times(&fix, HELP_NOW_NS, rx_ns);
	assert_int_equal(help_put(h->member, &fix), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
		assert_int_equal(help_compare(h, HELP_NOW_NS), 0);
		assert_int_equal(replica_count(h->replica), 0);
		assert_int_equal(digest_root(replica_digest(h->replica), 0), 0);
		assert_false(replica_has_next(h->replica, peer));
	}
	check_whole(h, rx_ns - TTL_NS);
	assert_int_equal(replica_count(h->replica), 1);
	assert_true(replica_has_next(h->replica, peer));
}

/* --- digests --------------------------------------------------------------------------- */

static void
test_since(void **state)
{
	const int64_t ttls[] = {4 * CLOCK_SECOND_NS, 3600 * CLOCK_SECOND_NS, TTL_NS};
	struct help_host *h = *state;

	for (size_t i = 0; i < ELEMENTS(ttls); i++) {
		int64_t quantum_ns, since_ns;

		assert_int_equal(help_replica(h, ttls[i], HELP_NOW_NS), 0);
		quantum_ns = digest_quantum_s(replica_digest(h->replica)) * CLOCK_SECOND_NS;
		since_ns = replica_since_s(h->replica, HELP_NOW_NS) * CLOCK_SECOND_NS;
		assert_int_equal(since_ns % quantum_ns, 0);
		assert_true(since_ns > HELP_NOW_NS - ttls[i]);
		assert_true(since_ns < HELP_NOW_NS - ttls[i] / 2);
	}
	assert_int_equal(help_replica(h, 0, HELP_NOW_NS), 0);
	assert_int_equal(replica_since_s(h->replica, HELP_NOW_NS), 0);
}

static void
test_fresh(void **state)
{
	const int64_t within_ns = 3 * CLOCK_SECOND_NS;
	struct help_host *h = *state;
	unsigned int peer = open_peer(h), fresh = 0, bucket = 0;
	struct digest_part part;
	struct herd_fix fix;

	for (unsigned int b = 0; b < DIGEST_ALL; b++)
		assert_false(replica_bucket_is_fresh(h->replica, b, HELP_NOW_NS, within_ns));
	assert_int_equal(merge(h, peer, 1, 1), 0);
	help_client(&fix, 1, 1, 5);
	digest_part_of(replica_digest(h->replica), &fix, &part);
	for (unsigned int b = 0; b < DIGEST_ALL; b++) {
		if (replica_bucket_is_fresh(h->replica, b, HELP_NOW_NS, within_ns)) {
			fresh++;
			bucket = b;
		}
	}
	assert_int_equal(fresh, 1);
	assert_int_equal(bucket, digest_part_bucket(&part));
	assert_true(replica_bucket_is_fresh(h->replica, bucket, HELP_NOW_NS + within_ns - 1, within_ns));
	assert_false(replica_bucket_is_fresh(h->replica, bucket, HELP_NOW_NS + within_ns, within_ns));
	assert_false(
		replica_bucket_is_fresh(h->replica, bucket, HELP_NOW_NS - 3600 * CLOCK_SECOND_NS, within_ns));
	/* What is gone differs, too. */
	assert_int_equal(help_sweep(h->helper, HELP_NOW_NS + TTL_NS), 0);
	assert_int_equal(help_compare(h, HELP_NOW_NS + TTL_NS), 0);
	assert_true(replica_bucket_is_fresh(h->replica, bucket, HELP_NOW_NS + TTL_NS, within_ns));
}

/* Of all of these buckets; how many. */
static unsigned int
count_of(struct help_host *h, unsigned int peer, const uint64_t buckets[DIGEST_GROUPS], int64_t since_s,
	 uint64_t max)
{
	uint64_t cursor = 0, before;
	unsigned int count = 0;
	struct herd_fix fix;
	int r;

	for (;;) {
		before = cursor;
		r = replica_next_of(h->replica, peer, buckets, since_s, &cursor, max, HELP_NOW_NS, &fix);
		assert_true(cursor - before <= max);
		if (r != 0)
			break;
		if (fix.id_len) {
			struct digest_part part;
			unsigned int bucket;

			digest_part_of(replica_digest(h->replica), &fix, &part);
			bucket = digest_part_bucket(&part);
			assert_true(buckets[bucket / 64] >> bucket % 64 & 1);
			count++;
		}
	}
	assert_int_equal(r, REPLICA_E_END);
	return count;
}

static void
test_next_of(void **state)
{
	struct help_host *h = *state;
	unsigned int teller = open_peer(h), other = open_peer(h), late;
	uint64_t all[DIGEST_GROUPS], half[DIGEST_GROUPS], rest[DIGEST_GROUPS];
	struct herd_fix fix;

	memset(all, 0xff, sizeof(all));
	memset(half, 0x55, sizeof(half));
	memset(rest, 0xaa, sizeof(rest));
	for (uint32_t n = 0; n < 400; n++)
		assert_int_equal(merge(h, teller, n, 1), 0);
	late = open_peer(h);
	assert_int_equal(count_of(h, late, all, 0, UINT64_MAX), 400);
	assert_int_equal(count_of(h, late, all, 0, 7), 400);
	assert_int_equal(count_of(h, late, half, 0, 100) + count_of(h, late, rest, 0, 100), 400);
	assert_true(count_of(h, late, half, 0, 100) > 100);
	/* Received before the epoch that is asked for. */
	assert_int_equal(
		count_of(h, late, all, HELP_BASE_NS / CLOCK_SECOND_NS + TTL_NS / CLOCK_SECOND_NS, 100), 0);
	/* This one is going to be told all of them anyway, until it has been told the first ten. */
	assert_int_equal(count_of(h, other, all, 0, 100), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(replica_next(h->replica, other, HELP_NOW_NS, &fix), 0);
	assert_int_equal(count_of(h, other, all, 0, 100), 10);
	/* It told us itself; unless that is too long ago to be sure. */
	assert_int_equal(count_of(h, teller, all, 0, 100), 0);
	expect_no_next(h, teller);
	assert_int_equal(count_of(h, teller, all, 0, 100), 0);
	replica_forget(h->replica, teller);
	assert_int_equal(merge(h, teller, 7, 1), REPLICA_E_OLDER);
	assert_int_equal(count_of(h, teller, all, 0, 100), 399);
}

static void
test_lag(void **state)
{
	struct help_host *h = *state;
	unsigned int peer = open_peer(h), slow = open_peer(h);
	struct herd_fix fix;

	for (uint32_t n = 0; n < 100; n++) {
		help_client(&fix, n, 1, 5);
		assert_int_equal(replica_merge(h->replica, peer, &fix, HELP_NOW_NS + n * CLOCK_SECOND_NS), 0);
	}
	assert_int_equal(replica_lag_changes(h->replica, slow), 100);
	for (uint32_t n = 0; n < 100; n++) {
		int64_t now_ns = HELP_NOW_NS + 100 * CLOCK_SECOND_NS;
		int64_t right_ns = (100 - n) * CLOCK_SECOND_NS,
			lag_ns = replica_lag_ns(h->replica, slow, now_ns);

		assert_true(lag_ns >= right_ns && lag_ns <= right_ns + right_ns / 16);
		assert_int_equal(replica_next(h->replica, slow, now_ns, &fix), 0);
	}
	expect_no_next(h, slow);
}

/* A link that takes a third of what changes: every client is told about as often, also the one that is heard of all
   the time. */
static void
test_overload(void **state)
{
	enum { SOME = 1000, HOT = 17, MS = 30000 };
	static int64_t told_ns[16 * SOME + 2], longest_ns;
	uint64_t random = random_seed(32), version = 0;
	struct help_host h;
	unsigned int teller, slow;
	struct herd_fix fix;

	(void)state;
	assert_int_equal(help_host_init(&h, 4000, TTL_NS), 0);
	teller = open_peer(&h);
	slow = open_peer(&h);
	for (int64_t ms = 0; ms < MS; ms++) {
		int64_t now_ns = HELP_NOW_NS + ms * CLOCK_MSEC_NS;

		for (int i = 0; i < 3; i++) {
			uint32_t n = (uint32_t)random_below(&random, SOME);

			help_client(&fix, 16 * (i < 2 ? n : HOT) + 1, ++version, 5);
			if (i < 2 || ms % 10 == 0)
				assert_int_equal(replica_merge(h.replica, teller, &fix, now_ns), 0);
		}
		for (int i = 0; i < 2 && ms % 3 == 0; i++) {
			uint32_t n;

			assert_int_equal(replica_next(h.replica, slow, now_ns, &fix), 0);
			n = (uint32_t)strtoul(fix.id + 1, NULL, 10);
			if (now_ns - told_ns[n] > longest_ns && told_ns[n])
				longest_ns = now_ns - told_ns[n];
			told_ns[n] = now_ns;
		}
	}
	/* Not once forgotten: a lap is a second and a half. */
	assert_true(HELP_NOW_NS + MS * CLOCK_MSEC_NS - told_ns[16 * HOT + 1] < 5 * CLOCK_SECOND_NS);
	assert_true(longest_ns < 8 * CLOCK_SECOND_NS);
	assert_true(replica_lag_ns(h.replica, slow, HELP_NOW_NS + MS * CLOCK_MSEC_NS) < 8 * CLOCK_SECOND_NS);
	help_host_done(&h);
}

/* --- confirmation -------------------------------------------------------------------------- */

static void
on_wake(void *arg, const char *name)
{
	assert_string_equal(name, "w1");
	++*(int *)arg;
}

static void
test_confirm(void **state)
{
	struct help_host *h = *state;
	unsigned int peer, doubtful;
	uint64_t round;
	int woken = 0;

	replica_set_ack_after(h->replica, 1);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	peer = open_peer(h);
	table_set_waiting(h->member, true);
	assert_int_equal(help_host_put(h, 1, 1), 0);
	round = table_next_round(h->member);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	replica_confirm(h->replica, on_wake, &woken);
	assert_true(table_confirmed_round(h->member) < round);
	/* Not sent yet: whoever says that it has it is mistaken. */
	replica_acknowledge(h->replica, peer, replica_sequence(h->replica));
	replica_confirm(h->replica, on_wake, &woken);
	assert_true(table_confirmed_round(h->member) < round);
	expect_next(h, peer, 1, 1);
	replica_acknowledge(h->replica, peer, replica_passed(h->replica, peer));
	woken = 0;
	replica_confirm(h->replica, on_wake, &woken);
	assert_true(table_confirmed_round(h->member) >= round);
	assert_int_equal(woken, 1);

	/* Nothing new: confirmed by the round alone. */
	round = table_next_round(h->member);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	replica_confirm(h->replica, on_wake, &woken);
	assert_true(table_confirmed_round(h->member) >= round);

	/* One that came later does not stand for what was before, until a comparison shows it. */
	replica_close_peer(h->replica, peer);
	assert_int_equal(help_host_put(h, 2, 1), 0);
	round = table_next_round(h->member);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	doubtful = open_peer(h);
	replica_acknowledge(h->replica, doubtful, replica_passed(h->replica, doubtful));
	replica_confirm(h->replica, on_wake, &woken);
	assert_true(table_confirmed_round(h->member) < round);
	replica_settle(h->replica, doubtful, replica_sequence(h->replica));
	replica_confirm(h->replica, on_wake, &woken);
	assert_true(table_confirmed_round(h->member) >= round);

	/* Nobody is asked for any more. */
	replica_set_ack_after(h->replica, 3);
	assert_int_equal(help_host_put(h, 3, 1), 0);
	round = table_next_round(h->member);
	assert_int_equal(help_drain(h, HELP_NOW_NS), 0);
	replica_confirm(h->replica, on_wake, &woken);
	assert_true(table_confirmed_round(h->member) < round);
	replica_set_ack_after(h->replica, 0);
	replica_confirm(h->replica, on_wake, &woken);
	assert_true(table_confirmed_round(h->member) >= round);
}

int
main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)
	const struct CMUnitTest tests[] = {
		EACH(test_fill),
		EACH(test_local),
		EACH(test_merge),
		EACH(test_trace),
		EACH(test_both),
		EACH(test_resume),
		EACH(test_peers),
		EACH(test_parked),
		EACH(test_refused),
		EACH(test_invalid),
		EACH(test_servers),
		EACH(test_gone),
		EACH(test_eviction),
		EACH(test_sweep),
		EACH(test_beyond),
		EACH(test_since),
		EACH(test_fresh),
		EACH(test_next_of),
		EACH(test_lag),
		EACH(test_confirm),
		cmocka_unit_test(test_passing_over),
		cmocka_unit_test(test_overload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
