/* Tests of flood/confirm.h: never too early, and in the end always. */
#include "unit.h"

#include <stdlib.h>

#include "../random.h"
#include "flood/confirm.h"

enum { CHANGES_MAX = 20000, PEERS = 5, SLOTS = 40 };

/* Hosts that are told of changes of few slots. A peer has a change if it was told of it or of a later one of the slot. */
struct model {
	struct confirm confirm;
	unsigned int needed;
	uint64_t sequence, rounds, confirmed; /* confirmed: a round */
	uint64_t checked;		      /* changes up to here were seen to be confirmed */
	uint64_t round_end[CHANGES_MAX];
	uint64_t has[CHANGES_MAX];    /* of a change: one bit per peer, of those who ever had it */
	uint64_t before[CHANGES_MAX]; /* the slot's change before it; 0: none */
	uint64_t last[SLOTS];	      /* change of a slot */
	struct model_peer {
		bool open;
		bool is_level;		/* nothing from before it came is missing */
		bool told[CHANGES_MAX]; /* on its way, on this link */
		uint64_t passed, acknowledged;
		uint64_t memory; /* of a link that was level */
	} peer[PEERS];
};

/* The peer has this change, and with it those before. */
static void
model_has(struct model *m, unsigned int peer, uint64_t change)
{
	const uint64_t bit = UINT64_C(1) << peer;

	for (; change && !(m->has[change] & bit); change = m->before[change])
		m->has[change] |= bit;
}

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
model_change(struct model *m, size_t slot)
{
	const uint64_t from = m->last[slot], to = ++m->sequence;

	for (unsigned int i = 0; i < PEERS && from; i++)
		if (m->peer[i].open && m->peer[i].passed < from)
			confirm_supersede(&m->confirm, i, m->peer[i].passed, from, to);
	m->before[to] = from;
	m->last[slot] = to;
}

static void
model_tell(struct model *m, unsigned int peer, uint64_t to)
{
	struct model_peer *p = &m->peer[peer];

	for (size_t slot = 0; slot < SLOTS; slot++)
		if (m->last[slot] > p->passed && m->last[slot] <= to)
			p->told[m->last[slot]] = true;
	p->passed = to;
}

static void
model_acknowledge(struct model *m, unsigned int peer, uint64_t to)
{
	struct model_peer *p = &m->peer[peer];

	for (uint64_t change = p->acknowledged + 1; change <= to; change++)
		if (p->told[change])
			model_has(m, peer, change);
	p->acknowledged = to;
	if (p->is_level)
		p->memory = to;
	confirm_acknowledge(&m->confirm, peer, to);
}

/* A comparison shows that it has all but what it is still to be told. */
static void
model_settle(struct model *m, unsigned int peer)
{
	struct model_peer *p = &m->peer[peer];

	for (size_t slot = 0; slot < SLOTS; slot++)
		if (m->last[slot] <= p->passed)
			model_has(m, peer, m->last[slot]);
	p->is_level = true;
	confirm_settle(&m->confirm, peer, m->sequence, m->sequence);
}

static void
model_open(struct model *m, unsigned int peer, bool resumes)
{
	struct model_peer *p = &m->peer[peer];

	memset(p->told, 0, sizeof(p->told));
	p->open = true;
	p->is_level = false;
	p->passed = m->sequence;
	p->acknowledged = 0;
	confirm_open(&m->confirm, peer, m->sequence);
	if (resumes) {
		confirm_resume(&m->confirm, peer, p->memory, m->sequence);
		p->passed = p->acknowledged = p->memory;
		p->is_level = true;
	}
}

static void
model_step_peer(struct model *m, uint64_t *random, unsigned int peer)
{
	struct model_peer *p = &m->peer[peer];

	if (!p->open) {
		model_open(m, peer, random_below(random, 2));
		return;
	}
	switch (random_below(random, 60)) {
	case 0:
		confirm_close(&m->confirm, peer);
		p->open = false;
		break;
	case 1:
	case 2:
		model_settle(m, peer);
		break;
	default:
		if (random_below(random, 2))
			model_tell(m, peer, p->passed + random_below(random, m->sequence - p->passed + 1));
		else if (p->acknowledged < p->passed)
			model_acknowledge(m, peer,
					  p->acknowledged +
						  random_below(random, p->passed - p->acknowledged + 1));
	}
}

static void
model_step(struct model *m, uint64_t *random)
{
	switch (random_below(random, 6)) {
	case 0:
		/* Some change more often than others. */
		model_change(m, random_below(random, 1 + random_below(random, SLOTS)));
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
	uint64_t confirmed;

	(void)state;
	assert_non_null(m);
	for (unsigned int needed = 1; needed <= PEERS; needed++) {
		*m = (struct model){.needed = needed};
		confirm_set_needed(&m->confirm, needed, 0);
		while (m->sequence < CHANGES_MAX - 10 && m->rounds < CHANGES_MAX - 10)
			model_step(m, &random);
		confirmed = m->confirmed;
		/* Everybody has everything, and another round ends. */
		for (unsigned int peer = 0; peer < PEERS; peer++) {
			if (!m->peer[peer].open)
				model_open(m, peer, false);
			model_settle(m, peer);
			model_tell(m, peer, m->sequence);
			model_acknowledge(m, peer, m->sequence);
		}
		m->round_end[++m->rounds] = m->sequence;
		confirm_round(&m->confirm, m->rounds, m->sequence, 0);
		model_take(m);
		assert_int_equal(m->confirmed, m->rounds);
		/* Not only then. */
		if (needed < PEERS)
			assert_true(confirmed > m->rounds / 2);
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
	confirm_set_needed(&c, 1, 0);
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

		confirm_set_needed(&c, 1, 0);
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
	confirm_set_needed(&c, 1, 0);
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
	confirm_set_needed(&c, 2, 5);
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
	confirm_set_needed(&c, 1, 0);
	confirm_open(&c, 0, 10);
	confirm_round(&c, 1, 11, 0);
	confirm_acknowledge(&c, 0, 11);
	assert_false(confirm_take(&c, &round));
	confirm_settle(&c, 0, 9, 11); /* not enough */
	assert_false(confirm_take(&c, &round));
	confirm_settle(&c, 0, 10, 11);
	assert_true(confirm_take(&c, &round));
	assert_int_equal(round, 1);
}

/* A slot that changes all the time, and a peer that is told a moment later and acknowledges much later. */
static void
test_hot_slot(void **state)
{
	struct confirm c = {0};
	uint64_t round, last = 0, passed = 0;

	(void)state;
	confirm_set_needed(&c, 1, 0);
	confirm_open(&c, 0, 0);
	for (uint64_t now = 1; now < 100000; now++) {
		if (passed < now - 1)
			confirm_supersede(&c, 0, passed, now - 1, now);
		if (now % 4 == 0)
			passed = now;
		confirm_round(&c, now, now, 0);
		if (passed > 100)
			confirm_acknowledge(&c, 0, passed - 100);
		if (confirm_take(&c, &round)) {
			assert_true(round <= passed - 100);
			last = round;
		}
		if (now > 1000)
			assert_true(last + 200 > now);
	}
}

/* A peer that cannot be compared with confirms what it was told, when nobody waits for the rest any more. */
static void
test_lapse(void **state)
{
	struct confirm c = {0};
	uint64_t round;

	(void)state;
	confirm_set_needed(&c, 1, 0);
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
	confirm_settle(&c, 1, 13, 13);
	assert_true(confirm_take(&c, &round));
	assert_int_equal(round, 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),	   cmocka_unit_test(test_many_rounds),
		cmocka_unit_test(test_far_behind), cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_half),	   cmocka_unit_test(test_hot_slot),
		cmocka_unit_test(test_lapse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
