/* Tests of core/changes.h: random operations against a model that remembers everything and is slow. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "../random.h"
#include "core/changes.h"

enum { MODEL_SLOTS = 60 };

/* Slots with the number and the tellers of their last change; a cursor is the number it has passed. */
struct model {
	uint64_t sequence;
	uint64_t of[MODEL_SLOTS]; /* 0: not in the list */
	bool told[MODEL_SLOTS][CHANGES_PEERS];
	bool open[CHANGES_PEERS];
	uint64_t passed[CHANGES_PEERS];
	struct model_lap {
		bool on;
		size_t at;
		uint64_t passed, begin;
	} lap[CHANGES_PEERS];
};

static void
model_open(struct model *m, unsigned int peer)
{
	m->open[peer] = true;
	m->passed[peer] = m->sequence;
	for (size_t slot = 0; slot < MODEL_SLOTS; slot++)
		m->told[slot][peer] = false;
}

static void
model_touch(struct model *m, size_t slot, uint64_t told)
{
	m->of[slot] = ++m->sequence;
	for (unsigned int peer = 0; peer < CHANGES_PEERS; peer++)
		m->told[slot][peer] = m->open[peer] && (told >> peer & 1);
}

/* The slot with the lowest number above `after`, or MODEL_SLOTS. */
static size_t
model_after(const struct model *m, uint64_t after)
{
	size_t best = MODEL_SLOTS;

	for (size_t slot = 0; slot < MODEL_SLOTS; slot++)
		if (m->of[slot] > after && (best == MODEL_SLOTS || m->of[slot] < m->of[best]))
			best = slot;
	return best;
}

static uint64_t
model_passed(const struct model *m, unsigned int peer)
{
	size_t next = model_after(m, m->passed[peer]);

	return next == MODEL_SLOTS ? m->sequence : m->of[next] - 1;
}

static size_t
model_next(struct model *m, unsigned int peer)
{
	struct model_lap *lap = &m->lap[peer];

	for (; lap->on && lap->at < MODEL_SLOTS; lap->at++) {
		if (m->of[lap->at] <= lap->passed || m->told[lap->at][peer])
			continue;
		m->told[lap->at][peer] = true;
		return lap->at++;
	}
	if (lap->on)
		m->passed[peer] = lap->begin;
	lap->on = false;
	for (;;) {
		size_t slot = model_after(m, m->passed[peer]);

		if (slot == MODEL_SLOTS)
			return slot;
		m->passed[peer] = m->of[slot];
		if (!m->told[slot][peer])
			return slot;
	}
}

static void
check_same(const struct changes *c, const struct model *m)
{
	uint64_t count = 0;

	for (size_t slot = 0; slot < MODEL_SLOTS; slot++) {
		count += m->of[slot] != 0;
		assert_int_equal(changes_sequence_of(c, slot), m->of[slot]);
		assert_int_equal(changes_has(c, slot), m->of[slot] != 0);
		for (unsigned int peer = 0; peer < CHANGES_PEERS; peer++)
			assert_int_equal(changes_was_told(c, slot, peer),
					 m->of[slot] && m->open[peer] && m->told[slot][peer]);
	}
	assert_int_equal(changes_count(c), count);
	assert_int_equal(changes_sequence(c), m->sequence);
	for (unsigned int peer = 0; peer < CHANGES_PEERS; peer++) {
		assert_int_equal(changes_is_open(c, peer), m->open[peer]);
		assert_int_equal(changes_is_in_lap(c, peer), m->open[peer] && m->lap[peer].on);
		if (!m->open[peer])
			continue;
		assert_int_equal(changes_at_end(c, peer), model_after(m, m->passed[peer]) == MODEL_SLOTS);
		assert_int_equal(changes_passed(c, peer), model_passed(m, peer));
	}
}

static void
step_slot(struct changes *c, struct model *m, uint64_t *random, unsigned int peer)
{
	size_t slot = random_below(random, MODEL_SLOTS);
	uint64_t told = random_below(random, 2) ? UINT64_C(1) << peer : random_u64(random);

	switch (random_below(random, 8)) {
	case 0:
		changes_drop(c, slot);
		m->of[slot] = 0;
		break;
	case 1:
	case 2:
		changes_learn(c, slot, peer);
		if (m->of[slot] && m->open[peer])
			m->told[slot][peer] = true;
		break;
	default:
		changes_touch(c, slot, told);
		model_touch(m, slot, told);
	}
}

static void
step_next(struct changes *c, struct model *m, unsigned int peer)
{
	size_t want = model_next(m, peer);
	uint64_t slot = MODEL_SLOTS;
	int r = changes_next(c, peer, &slot);

	assert_int_equal(r, want == MODEL_SLOTS ? CHANGES_E_END : 0);
	assert_int_equal(slot, want);
}

static void
step_cursor(struct changes *c, struct model *m, uint64_t *random, unsigned int peer)
{
	uint64_t seq = random_below(random, 4) ? random_below(random, m->sequence + 3) : 0;

	if (!m->open[peer]) {
		changes_open(c, peer);
		model_open(m, peer);
		return;
	}
	switch (random_below(random, 40)) {
	case 0:
		changes_close(c, peer);
		m->open[peer] = m->lap[peer].on = false;
		break;
	case 3:
		changes_start_lap(c, peer);
		if (!m->lap[peer].on)
			m->lap[peer] = (struct model_lap){true, 0, model_passed(m, peer), m->sequence};
		break;
	case 1:
		m->lap[peer].on = false;
		changes_rewind(c, peer, seq);
		m->passed[peer] = seq < m->sequence ? seq : m->sequence;
		break;
	case 2:
		changes_forget(c, peer);
		for (size_t slot = 0; slot < MODEL_SLOTS; slot++)
			m->told[slot][peer] = false;
		break;
	default:
		step_next(c, m, peer);
	}
}

/* Few peers that are often all at one place, and all of them. */
static void
random_steps(unsigned int peers, uint64_t seed)
{
	uint64_t random = random_seed(seed);
	struct changes *c = NULL;
	struct model m = {0};

	assert_int_equal(changes_new(&c, MODEL_SLOTS), 0);
	for (int i = 0; i < 100000; i++) {
		unsigned int peer = (unsigned int)random_below(&random, peers);

		if (random_below(&random, 2))
			step_slot(c, &m, &random, peer);
		else
			step_cursor(c, &m, &random, peer);
		if (i % 16 == 0)
			check_same(c, &m);
	}
	assert_null(changes_free(c));
}

static void
test_random(void **state)
{
	(void)state;
	random_steps(1, 11);
	random_steps(3, 12);
	random_steps(CHANGES_PEERS, 13);
}

/* A client that changed five times while nobody looked is one entry. */
static void
test_conflation(void **state)
{
	struct changes *c = NULL;
	uint64_t slot;

	(void)state;
	assert_int_equal(changes_new(&c, 3), 0);
	changes_open(c, 0);
	for (int i = 0; i < 5; i++)
		changes_touch(c, 1, 0);
	changes_touch(c, 2, 0);
	changes_touch(c, 1, 0);
	assert_int_equal(changes_next(c, 0, &slot), 0);
	assert_int_equal(slot, 2);
	assert_int_equal(changes_passed(c, 0), 6);
	assert_int_equal(changes_next(c, 0, &slot), 0);
	assert_int_equal(slot, 1);
	assert_int_equal(changes_next(c, 0, &slot), CHANGES_E_END);
	assert_int_equal(changes_passed(c, 0), 7);
	changes_free(c);
}

/* A cursor does not stand still before what its peer told, and does not run without end either. */
static void
test_told(void **state)
{
	enum { SLOTS = 3 * CHANGES_STEPS + 10 };
	struct changes *c = NULL;
	uint64_t slot = 7;

	(void)state;
	assert_int_equal(changes_new(&c, SLOTS), 0);
	changes_open(c, 5);
	for (uint64_t i = 0; i < SLOTS; i++)
		changes_touch(c, i, UINT64_C(1) << 5);
	for (int i = 0; i < 3; i++)
		assert_int_equal(changes_next(c, 5, &slot), CHANGES_E_MORE);
	assert_int_equal(changes_passed(c, 5), 3 * CHANGES_STEPS);
	assert_false(changes_at_end(c, 5));
	assert_int_equal(changes_next(c, 5, &slot), CHANGES_E_END);
	assert_int_equal(slot, 7);
	assert_true(changes_at_end(c, 5));
	changes_free(c);
}

/* A slot that changes between any two that the peer is told is told once per lap; in the list it would never be. */
static void
test_laps(void **state)
{
	enum { SLOTS = 100, HOT = 50, LAPS = 10 };
	struct changes *c = NULL;
	unsigned int told[SLOTS] = {0};
	uint64_t slot;

	(void)state;
	assert_int_equal(changes_new(&c, SLOTS), 0);
	changes_open(c, 2);
	for (int i = 0; i < LAPS * SLOTS; i++) {
		/* All change, and twice as often as the peer can be told. */
		changes_touch(c, (uint64_t)(2 * i) % SLOTS, 0);
		changes_touch(c, (uint64_t)(2 * i + 1) % SLOTS, 0);
		changes_touch(c, HOT, 0);
		changes_start_lap(c, 2);
		assert_int_equal(changes_next(c, 2, &slot), 0);
		told[slot]++;
	}
	for (uint64_t i = 0; i < SLOTS; i++)
		assert_in_range(told[i], LAPS - 2, LAPS + 2);
	/* And then it comes to an end. */
	while (changes_next(c, 2, &slot) == 0)
		;
	assert_true(changes_at_end(c, 2));
	assert_false(changes_is_in_lap(c, 2));
	assert_int_equal(changes_passed(c, 2), changes_sequence(c));
	changes_free(c);
}

/* A peer does not inherit what the one before it under this number had told. */
static void
test_reuse(void **state)
{
	struct changes *c = NULL;
	uint64_t slot;

	(void)state;
	assert_int_equal(changes_new(&c, 2), 0);
	changes_open(c, 3);
	changes_open(c, 4);
	changes_touch(c, 0, UINT64_C(1) << 3 | UINT64_C(1) << 4 | UINT64_C(1) << 9);
	changes_close(c, 3);
	changes_close(c, 3);
	changes_close(c, 4);
	changes_learn(c, 0, 4);
	for (unsigned int peer = 3; peer <= 9; peer += 2) {
		changes_open(c, peer);
		changes_rewind(c, peer, 0);
		assert_int_equal(changes_next(c, peer, &slot), 0);
	}
	changes_open(c, 4);
	assert_false(changes_was_told(c, 0, 4));
	changes_free(c);
}

static void
test_limits(void **state)
{
	struct changes *c = NULL;

	(void)state;
	assert_int_equal(changes_new(&c, (UINT64_C(1) << 31) + 1), -EOVERFLOW);
	assert_null(c);
	assert_null(changes_free(NULL));
	assert_int_equal(changes_new(&c, 0), 0);
	changes_open(c, CHANGES_PEERS - 1);
	assert_int_equal(changes_passed(c, CHANGES_PEERS - 1), 0);
	changes_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random), cmocka_unit_test(test_conflation),
		cmocka_unit_test(test_told),   cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_laps),   cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
