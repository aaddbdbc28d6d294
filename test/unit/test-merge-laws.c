/*
 * The laws that make hosts agree, on random fixes that are often nearly the
 * same: merging is commutative, associative, idempotent; by the order alone for
 * ten million of them, and through tables that hear of them in any order.
 * HERD_TEST_FIXES in the environment sets how many the first test takes.
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "../replica-help.h"

#define TTL_NS (86400 * CLOCK_SECOND_NS)

enum { LAW_FIXES = 10000000, CLIENTS = 40, HOSTS = 3, SOME = 400 };

/* --- fixes ------------------------------------------------------------------- */

static struct text
random_word(uint64_t *random, const char *const *words, size_t count)
{
	return text_of(words[random_below(random, count)]);
}

/* Around `now`: receipts and client times that are equal, written in several ways, or in the future. */
static void
random_fix(uint64_t *random, struct herd_fix *fix, int64_t now_ns)
{
	static const char *const servers[] = {"A", "Alpha", "Alphb", "B"};
	static const char *const locations[] = {"+1+1", "+1+1/", "+1-1", "+1.0+1", "-1+1"};
	static const int64_t receipts[] = {0, 0, 1, -1, -5, 3, 9, 11, 300}; /* s */
	static const int64_t times[] = {0, 0, 0, 1, -1, 9, 10, 11, 20, 21, 100, 100000, 3000000000};
	static const char *const endings[] = {"", ".0", ".000000000", ".000000001", ".5", ".50"};
	char id[HERD_ID_MAX];
	struct text part;
	char *end;

	part = help_id(id, (uint32_t)random_below(random, CLIENTS), random_below(random, 8) ? 20 : 60);
	fix->id_len = (uint8_t)(text_put(fix->id, part) - fix->id);
	part = random_word(random, servers, ELEMENTS(servers));
	fix->server_len = (uint8_t)(text_put(fix->server, part) - fix->server);
	part = random_word(random, locations, ELEMENTS(locations));
	fix->location_len = (uint8_t)(text_put(fix->location, part) - fix->location);
	fix->rx_ns = now_ns + receipts[random_below(random, ELEMENTS(receipts))] * CLOCK_SECOND_NS +
		     (int64_t)random_below(random, 2);
	end = text_put_u64(fix->time, (uint64_t)(now_ns / CLOCK_SECOND_NS +
						 times[random_below(random, ELEMENTS(times))]));
	end = text_put(end, random_word(random, endings, ELEMENTS(endings)));
	fix->time_len = (uint8_t)(end - fix->time);
}

static struct fix_rank
rank_of(const struct herd_fix *fix)
{
	struct fix_rank rank = {
		.rx_ns = fix->rx_ns,
		.server = {fix->server, fix->server_len},
		.location = {fix->location, fix->location_len},
		.time = {fix->time, fix->time_len},
	};
	struct fix_time client = {0};

	if (fix_time_parse(rank.time, &client) != 0)
		abort();
	rank.order_ns = fix_order_ns(&client, fix->rx_ns);
	return rank;
}

static bool
rank_same(const struct fix_rank *a, const struct fix_rank *b)
{
	return a->rx_ns == b->rx_ns && text_equal(a->server, b->server) &&
	       text_equal(a->location, b->location) && text_equal(a->time, b->time);
}

static const struct fix_rank *
newer(const struct fix_rank *a, const struct fix_rank *b)
{
	return fix_rank_compare(a, b) >= 0 ? a : b;
}

static const char *
broken_law(const struct fix_rank *a, const struct fix_rank *b, const struct fix_rank *c)
{
	if (!rank_same(newer(a, a), a) || fix_rank_compare(a, a) != 0)
		return "idempotent";
	if (!rank_same(newer(a, b), newer(b, a)))
		return "commutative";
	if (!rank_same(newer(newer(a, b), c), newer(a, newer(b, c))))
		return "associative";
	if ((fix_rank_compare(a, b) == 0) != rank_same(a, b))
		return "total";
	return NULL;
}

static void
test_order(void **state)
{
	const char *set = getenv("HERD_TEST_FIXES");
	unsigned long fixes = set ? strtoul(set, NULL, 10) : LAW_FIXES;
	uint64_t random = random_seed(51);
	struct fix_rank rank[3];
	struct herd_fix fix[3];
	unsigned long equal = 0;

	(void)state;
	for (unsigned long i = 0; i < fixes; i++) {
		const char *broken;

		/* One new one at a time, beside the two before it. */
		random_fix(&random, &fix[i % 3], HELP_NOW_NS);
		rank[i % 3] = rank_of(&fix[i % 3]);
		if (i < 2)
			continue;
		broken = broken_law(&rank[i % 3], &rank[(i + 1) % 3], &rank[(i + 2) % 3]);
		if (broken)
			fail_msg("not %s at fix %lu", broken, i);
		equal += rank[0].order_ns == rank[1].order_ns;
	}
	assert_true(equal > fixes / 100);
}

/* --- tables ------------------------------------------------------------------ */

/* The newest of each client, by the order alone. */
static uint64_t
expected_root(const struct digest *d, const struct herd_fix *fixes, size_t count)
{
	uint64_t root = 0;

	for (size_t i = 0; i < count; i++) {
		struct fix_rank rank = rank_of(&fixes[i]);
		struct digest_part part;
		bool is_newest = true;

		for (size_t j = 0; j < count && is_newest; j++) {
			struct fix_rank other = rank_of(&fixes[j]);
			int order;

			if (fixes[j].id_len != fixes[i].id_len ||
			    memcmp(fixes[j].id, fixes[i].id, fixes[i].id_len) != 0)
				continue;
			order = fix_rank_compare(&other, &rank);
			is_newest = order < 0 || (order == 0 && j >= i); /* of the same the first */
		}
		if (is_newest) {
			digest_part_of(d, &fixes[i], &part);
			root += part.hash;
		}
	}
	return root;
}

static void
shuffle(uint64_t *random, unsigned int *order, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		order[i] = i;
	for (unsigned int i = count; i > 1; i--) {
		unsigned int j = (unsigned int)random_below(random, i), other = order[j];

		order[j] = order[i - 1];
		order[i - 1] = other;
	}
}

/* Each fix once and some twice, in an order of its own; some of them through a member. */
static void
tell_all(struct help_host *h, uint64_t *random, const struct herd_fix *fixes, int64_t now_ns)
{
	unsigned int order[SOME], peer = 0;

	assert_int_equal(replica_open_peer(h->replica, &peer), 0);
	shuffle(random, order, SOME);
	for (unsigned int i = 0; i < SOME; i++) {
		assert_true(replica_merge(h->replica, peer, &fixes[order[i]], now_ns) >= 0);
		if (random_below(random, 4) == 0)
			assert_true(replica_merge(h->replica, peer,
						  &fixes[order[random_below(random, i + 1)]], now_ns) > 0);
	}
	replica_close_peer(h->replica, peer);
}

static void
test_tables(void **state)
{
	const int64_t later_ns = HELP_NOW_NS + 1000 * CLOCK_SECOND_NS;
	uint64_t random = random_seed(52);
	struct herd_fix fixes[SOME];

	(void)state;
	for (int round = 0; round < 60; round++) {
		struct help_host host[HOSTS];
		uint64_t parked = 0;

		for (int i = 0; i < SOME; i++)
			random_fix(&random, &fixes[i], HELP_NOW_NS);
		for (int i = 0; i < HOSTS; i++) {
			assert_int_equal(help_host_init(&host[i], 1000, TTL_NS), 0);
			/* What has to wait is told again when its time has come. */
			tell_all(&host[i], &random, fixes, HELP_NOW_NS);
			parked += replica_figures(host[i].replica)->parked;
			tell_all(&host[i], &random, fixes, later_ns);
			assert_int_equal(digest_root(replica_digest(host[i].replica), 0),
					 expected_root(replica_digest(host[i].replica), fixes, SOME));
			assert_int_equal(digest_root(replica_digest(host[i].replica), 0),
					 help_root(&host[i]));
		}
		assert_true(parked > 0);
		for (int i = 0; i < HOSTS; i++)
			help_host_done(&host[i]);
	}
}

/* --- hosts that tell each other ------------------------------------------------- */

struct herd {
	struct help_host host[HOSTS];
	unsigned int peer[HOSTS][HOSTS]; /* number of the second in the first's replica */
	uint64_t lines, reports;
};

/* Tells one fix, if there is one. */
static bool
tell_one(struct herd *herd, int from, int to)
{
	struct herd_fix fix;
	int r = replica_next(herd->host[from].replica, herd->peer[from][to], HELP_NOW_NS, &fix);

	assert_true(r == 0 || r == REPLICA_E_END);
	if (r == 0) {
		herd->lines++;
		assert_true(replica_merge(herd->host[to].replica, herd->peer[to][from], &fix, HELP_NOW_NS) >=
			    0);
	}
	return r == 0;
}

static bool
tell_each_other(struct herd *herd)
{
	bool told = false;

	for (int from = 0; from < HOSTS; from++) {
		assert_int_equal(help_drain(&herd->host[from], HELP_NOW_NS), 0);
		assert_int_equal(help_compare(&herd->host[from], HELP_NOW_NS), 0);
		for (int to = 0; to < HOSTS; to++)
			told |= from != to && tell_one(herd, from, to);
	}
	return told;
}

/* One thing that may happen at any time. */
static void
happen(struct herd *herd, uint64_t *random, uint64_t version)
{
	int from = (int)random_below(random, HOSTS), to = (int)random_below(random, HOSTS);
	struct help_host *h = &herd->host[from];

	switch (random_below(random, 6)) {
	case 0:
		/* Of the same writer everywhere: two hosts make the very same fix now and then. */
		assert_true(help_host_put(h, (uint32_t)random_below(random, CLIENTS),
					  version - random_below(random, 3)) >= 0);
		herd->reports++;
		break;
	case 1:
		assert_true(replica_drain(h->replica, 3, HELP_NOW_NS) >= 0);
		break;
	case 2:
		assert_true(replica_sweep(h->replica, 100, HELP_NOW_NS) >= 0);
		break;
	default:
		if (from != to)
			(void)tell_one(herd, from, to);
	}
}

static void
herd_open(struct herd *herd)
{
	*herd = (struct herd){0};
	for (int i = 0; i < HOSTS; i++) {
		assert_int_equal(help_host_init(&herd->host[i], 1000, TTL_NS), 0);
		for (int other = 0; other < HOSTS; other++)
			assert_int_equal(replica_open_peer(herd->host[i].replica, &herd->peer[i][other]), 0);
	}
}

static void
test_herd(void **state)
{
	uint64_t random = random_seed(53);
	struct herd herd;

	(void)state;
	for (int round = 0; round < 20; round++) {
		uint64_t root;

		herd_open(&herd);
		for (uint64_t version = 3; version < 5000; version++)
			happen(&herd, &random, version);
		while (tell_each_other(&herd))
			;
		root = digest_root(replica_digest(herd.host[0].replica), 0);
		for (int i = 0; i < HOSTS; i++) {
			assert_int_equal(digest_root(replica_digest(herd.host[i].replica), 0), root);
			assert_int_equal(help_root(&herd.host[i]), root);
			help_host_done(&herd.host[i]);
		}
		/* Each report crosses each of the three links at most once per direction. */
		assert_true(herd.lines <= 6 * herd.reports);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_herd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
