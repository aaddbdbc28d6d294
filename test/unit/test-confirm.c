/* Tests of flood/confirm.h: never too early, and in the end always. */
#include "unit.h"

#include <stdlib.h>

#include "../random.h"
#include "flood/confirm.h"

enum { CHANGES_MAX = 20000, PEERS = 5 };

/* Who has applied which change; a round is the number of the last change when it ended. */
struct model {
	struct confirm confirm;
	unsigned int needed;
	uint64_t sequence, rounds, confirmed; /* confirmed: a round */
	uint64_t round_end[CHANGES_MAX];
	uint64_t has[CHANGES_MAX]; /* one bit per peer, of those who ever had it */
	uint64_t checked;	   /* changes up to here were seen to be confirmed */
	bool open[PEERS];
	uint64_t sent[PEERS]; /* passed by its cursor */
};

static void
model_take(struct model *m)
{
	uint64_t round;

	if (!confirm_take(&m->confirm, &round))
		return;
	assert_true(round > m->confirmed && round <= m->rounds);
	m->confirmed = round;
	for (; m->checked < m->round_end[round]; m->checked++)
		assert_true((unsigned int)__builtin_popcountll(m->has[m->checked + 1]) >= m->needed);
}

static void
model_give(struct model *m, unsigned int peer, uint64_t from, uint64_t to)
{
	for (uint64_t change = from + 1; change <= to; change++)
		m->has[change] |= UINT64_C(1) << peer;
}

static void
model_step_peer(struct model *m, uint64_t *random, unsigned int peer)
{
	uint64_t seq = random_below(random, m->sequence + 1);

	if (!m->open[peer]) {
		confirm_open(&m->confirm, peer, m->sequence);
		m->open[peer] = true;
		m->sent[peer] = m->sequence;
		return;
	}
	switch (random_below(random, 30)) {
	case 0:
		confirm_close(&m->confirm, peer);
		m->open[peer] = false;
		break;
	case 1:
		model_give(m, peer, 0, m->sequence);
		confirm_settle(&m->confirm, peer, m->sequence);
		break;
	case 2:
		model_give(m, peer, 0, seq);
		confirm_resume(&m->confirm, peer, seq);
		m->sent[peer] = seq;
		break;
	default:
		seq = m->sent[peer] + random_below(random, m->sequence - m->sent[peer] + 1);
		model_give(m, peer, m->sent[peer], seq);
		m->sent[peer] = seq;
		confirm_acknowledge(&m->confirm, peer, seq);
	}
}

static void
model_step(struct model *m, uint64_t *random)
{
	switch (random_below(random, 4)) {
	case 0:
		m->sequence += random_below(random, 4);
		break;
	case 1:
		m->round_end[++m->rounds] = m->sequence;
		confirm_round(&m->confirm, m->rounds, m->sequence, 0);
		break;
	default:
		model_step_peer(m, random, (unsigned int)random_below(random, PEERS));
	}
	model_take(m);
}

static void
test_random(void **state)
{
	uint64_t random = random_seed(41);
	struct model *m = calloc(1, sizeof(*m));

	(void)state;
	assert_non_null(m);
	for (unsigned int needed = 1; needed <= PEERS; needed++) {
		*m = (struct model){.needed = needed};
		confirm_set_needed(&m->confirm, needed);
		while (m->sequence < CHANGES_MAX - 10 && m->rounds < CHANGES_MAX - 10)
			model_step(m, &random);
		/* Everybody has everything, and another round ends. */
		for (unsigned int peer = 0; peer < PEERS; peer++) {
			if (!m->open[peer])
				confirm_open(&m->confirm, peer, m->sequence);
			model_give(m, peer, 0, m->sequence);
			confirm_settle(&m->confirm, peer, m->sequence);
			confirm_acknowledge(&m->confirm, peer, m->sequence);
		}
		m->round_end[++m->rounds] = m->sequence;
		confirm_round(&m->confirm, m->rounds, m->sequence, 0);
		model_take(m);
		assert_int_equal(m->confirmed, m->rounds);
	}
	free(m);
}

/* Nobody is there for long: what waits is bounded, and comes through in the end. */
static void
test_many_rounds(void **state)
{
	struct confirm c = {0};
	uint64_t round, last = 0;

	(void)state;
	confirm_set_needed(&c, 1);
	for (uint64_t i = 1; i <= 100000; i++)
		confirm_round(&c, i, i, 0);
	assert_false(confirm_take(&c, &round));
	confirm_open(&c, 3, 0);
	for (uint64_t i = 1; i <= 100000; i++) {
		confirm_acknowledge(&c, 3, i);
		if (confirm_take(&c, &round)) {
			assert_true(round > last && round <= i);
			last = round;
		}
	}
	assert_int_equal(last, 100000);
}

/* A peer that stays thousands of rounds behind confirms what it has, and not much later than it could. */
static void
test_far_behind(void **state)
{
	static const uint64_t lags[] = {10, 500, 5000, 100000};
	uint64_t round;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(lags); i++) {
		struct confirm c = {0};
		uint64_t last = 0, lag = lags[i];

		confirm_set_needed(&c, 1);
		confirm_open(&c, 3, 0);
		for (uint64_t now = 1; now <= 10 * lag; now++) {
			confirm_round(&c, now, now, 0);
			if (now > lag)
				confirm_acknowledge(&c, 3, now - lag);
			if (confirm_take(&c, &round))
				last = round;
			if (now > 5 * lag)
				assert_true(last <= now - lag && last >= now - lag - lag / 10);
		}
	}
}

/* Rounds that found nothing are as confirmed as those before them, and take no room. */
static void
test_nothing_new(void **state)
{
	struct confirm c = {0};
	uint64_t round = 0;

	(void)state;
	confirm_set_needed(&c, 1);
	confirm_open(&c, 0, 0);
	confirm_round(&c, 1, 0, 0);
	assert_true(confirm_take(&c, &round));
	assert_int_equal(round, 1);
	assert_false(confirm_take(&c, &round));
	confirm_round(&c, 2, 5, 0);
	for (uint64_t i = 3; i < 10000; i++)
		confirm_round(&c, i, 5, 0);
	assert_int_equal(c.count, 1);
	assert_false(confirm_take(&c, &round));
	confirm_acknowledge(&c, 0, 5);
	assert_true(confirm_take(&c, &round));
	assert_int_equal(round, 9999);
	confirm_close(&c, 0);
	confirm_round(&c, 10000, 5, 0);
	assert_true(confirm_take(&c, &round));
	/* But not when more peers are asked for than confirmed it. */
	confirm_set_needed(&c, 2);
	confirm_round(&c, 10001, 5, 0);
	assert_false(confirm_take(&c, &round));
}

/* A peer that came in the middle of a round has half of it. */
static void
test_half(void **state)
{
	struct confirm c = {0};
	uint64_t round;

	(void)state;
	confirm_set_needed(&c, 1);
	confirm_open(&c, 0, 10);
	confirm_round(&c, 1, 11, 0);
	confirm_acknowledge(&c, 0, 11);
	assert_false(confirm_take(&c, &round));
	confirm_settle(&c, 0, 9); /* not enough */
	assert_false(confirm_take(&c, &round));
	confirm_settle(&c, 0, 10);
	assert_true(confirm_take(&c, &round));
	assert_int_equal(round, 1);
}

/* A peer that cannot be compared with confirms what it was told, when nobody waits for the rest any more. */
static void
test_lapse(void **state)
{
	struct confirm c = {0};
	uint64_t round;

	(void)state;
	confirm_set_needed(&c, 1);
	confirm_round(&c, 1, 10, 0);
	confirm_open(&c, 0, 10);
	confirm_acknowledge(&c, 0, 10);
	confirm_round(&c, 2, 11, CONFIRM_LAPSE_NS);
	confirm_acknowledge(&c, 0, 11);
	assert_false(confirm_take(&c, &round));
	confirm_round(&c, 3, 11, CONFIRM_LAPSE_NS + 1);
	assert_true(confirm_take(&c, &round));
	assert_int_equal(round, 3);

	/* Nothing was new in it: what was before may still not be there. */
	confirm_close(&c, 0);
	confirm_round(&c, 4, 12, 2 * CONFIRM_LAPSE_NS);
	confirm_open(&c, 1, 12);
	confirm_acknowledge(&c, 1, 12);
	confirm_round(&c, 5, 12, 4 * CONFIRM_LAPSE_NS);
	assert_false(confirm_take(&c, &round));
	confirm_round(&c, 6, 13, 4 * CONFIRM_LAPSE_NS);
	confirm_acknowledge(&c, 1, 13);
	assert_false(confirm_take(&c, &round));
	confirm_settle(&c, 1, 13);
	assert_true(confirm_take(&c, &round));
	assert_int_equal(round, 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),	   cmocka_unit_test(test_many_rounds),
		cmocka_unit_test(test_far_behind), cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_half),	   cmocka_unit_test(test_lapse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
