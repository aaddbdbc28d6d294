/* Tests of core/digest.h: equal for equal fixes in any order, exact after any history, bounded whatever the times. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "../table-help.h"
#include "core/digest.h"

enum { FIXES = 400, WRITER = 7 };

static const struct hash_key key = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)};
static const int64_t day_ns = 86400 * CLOCK_SECOND_NS;

/* --- memory that can run out ------------------------------------------------ */

static int allocations_left = INT32_MAX;
static unsigned int allocations;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *
__wrap_calloc(size_t count, size_t size)
{
	allocations++;
	if (allocations_left <= 0)
		return NULL;
	allocations_left--;
	return __real_calloc(count, size);
}

/* --- a model that adds up again each time ----------------------------------- */

struct model {
	const struct digest *d;
	struct digest_part part[FIXES], live[FIXES]; /* live: zero unless it is in */
	int64_t rx_ns[FIXES];
	bool in[FIXES];
};

static void
model_buckets(const struct model *m, int64_t since_s, unsigned int group, uint64_t ret[DIGEST_BUCKETS])
{
	memset(ret, 0, DIGEST_BUCKETS * sizeof(*ret));
	for (size_t i = 0; i < FIXES; i++) {
		unsigned int bucket = digest_part_bucket(&m->part[i]);
		int64_t second = m->rx_ns[i] / CLOCK_SECOND_NS;

		assert_int_equal(digest_part_is_since(&m->part[i], since_s), second >= since_s);
		if (m->in[i] && bucket / DIGEST_BUCKETS == group && second >= since_s)
			ret[bucket % DIGEST_BUCKETS] += m->part[i].hash;
	}
}

static void
check_same(const struct model *m, int64_t since_s)
{
	uint64_t have[DIGEST_BUCKETS], want[DIGEST_BUCKETS], groups[DIGEST_GROUPS], root = 0;

	digest_groups(m->d, since_s, groups);
	for (unsigned int group = 0; group < DIGEST_GROUPS; group++) {
		uint64_t sum = 0;

		digest_buckets(m->d, since_s, group, have);
		model_buckets(m, since_s, group, want);
		assert_memory_equal(have, want, sizeof(have));
		for (unsigned int b = 0; b < DIGEST_BUCKETS; b++)
			sum += want[b];
		assert_int_equal(groups[group], sum);
		root += sum;
	}
	assert_int_equal(digest_root(m->d, since_s), root);
}

/* Receipt times over `span_ns`. */
static void
model_fill(struct model *m, const struct digest *d, uint64_t *random, int64_t span_ns)
{
	char id[HERD_ID_MAX];

	*m = (struct model){.d = d};
	for (uint32_t i = 0; i < FIXES; i++) {
		struct herd_fix fix;

		help_fix(&fix, help_id(id, i, 20), random_u64(random) % 1000, WRITER);
		fix.rx_ns = (int64_t)(random_u64(random) % (uint64_t)span_ns);
		m->rx_ns[i] = fix.rx_ns;
		digest_part_of(d, &fix, &m->part[i]);
	}
}

static void
model_toggle(struct model *m, struct digest *d, size_t i)
{
	if (m->in[i])
		digest_remove(d, &m->part[i]);
	else
		digest_add(d, &m->part[i]);
	m->in[i] = !m->in[i];
	m->live[i] = m->in[i] ? m->part[i] : (struct digest_part){0};
}

/* --- tests -------------------------------------------------------------------- */

/* What other hosts compute, to the bit. */
static void
test_pinned(void **state)
{
	struct digest *d = NULL;
	struct digest_part part;
	struct herd_fix fix;

	(void)state;
	for (int garbage = 0; garbage < 256; garbage += 51) {
		memset(&fix, garbage, sizeof(fix));
		memset(&part, garbage, sizeof(part));
		fix.rx_ns = INT64_C(1621464827959498503);
		fix.id_len = (uint8_t)(text_put(fix.id, TEXT("kiwi.cs.example.edu")) - fix.id);
		fix.location_len = (uint8_t)(text_put(fix.location, TEXT("+34.068930-118.445127")) -
					     fix.location);
		fix.time_len = (uint8_t)(text_put(fix.time, TEXT("1621464827.959498503")) - fix.time);
		fix.server_len = (uint8_t)(text_put(fix.server, TEXT("Clark")) - fix.server);
		assert_int_equal(digest_new(&d, &key, 7 * day_ns), 0);
		digest_part_of(d, &fix, &part);
		assert_int_equal(part.hash, UINT64_C(0xeeeb786b7f330c91));
		assert_int_equal(part.place, UINT64_C(0x60a596fb26e));
		d = digest_free(d);
	}
}

/* One byte or one length more or less is another fix; the bucket follows from the id alone. */
static void
test_every_field(void **state)
{
	struct digest *d = NULL;
	struct digest_part base, part;
	struct herd_fix fix;
	char id[HERD_ID_MAX];
	struct {
		char *at;
		uint8_t *len;
	} fields[] = {{fix.id, &fix.id_len},
		      {fix.location, &fix.location_len},
		      {fix.time, &fix.time_len},
		      {fix.server, &fix.server_len}};

	(void)state;
	memset(&fix, 0, sizeof(fix));
	help_fix(&fix, help_id(id, 1, 200), 5, WRITER);
	assert_int_equal(digest_new(&d, &key, 0), 0);
	digest_part_of(d, &fix, &base);
	for (size_t i = 0; i < ELEMENTS(fields); i++) {
		for (size_t at = 0; at < *fields[i].len; at++) {
			fields[i].at[at] ^= 1;
			digest_part_of(d, &fix, &part);
			assert_true(part.hash != base.hash);
			if (i > 0)
				assert_int_equal(part.place, base.place);
			fields[i].at[at] ^= 1;
		}
		--*fields[i].len;
		digest_part_of(d, &fix, &part);
		assert_true(part.hash != base.hash);
		++*fields[i].len;
	}
	fix.rx_ns++;
	digest_part_of(d, &fix, &part);
	assert_true(part.hash != base.hash);
	digest_free(d);
}

/* Bytes that move from one text into the next. */
static void
test_boundaries(void **state)
{
	struct digest *d = NULL;
	struct digest_part one, other;
	struct herd_fix fix = {.id_len = 1, .location_len = 2, .time_len = 2, .server_len = 1};

	(void)state;
	memset(fix.id, '1', 4);
	memset(fix.location, '1', 4);
	memset(fix.time, '1', 4);
	assert_int_equal(digest_new(&d, &key, 0), 0);
	digest_part_of(d, &fix, &one);
	fix.location_len = 3;
	fix.time_len = 1;
	digest_part_of(d, &fix, &other);
	assert_true(one.hash != other.hash);
	digest_free(d);
}

static void
test_quantum(void **state)
{
	static const struct {
		int64_t ttl_ns, quantum_s;
	} cases[] = {
		{1, 1},
		{16 * CLOCK_SECOND_NS, 1},
		{31 * CLOCK_SECOND_NS, 1},
		{32 * CLOCK_SECOND_NS, 2},
		{3600 * CLOCK_SECOND_NS, 128},
		{INT64_C(7) * 86400 * CLOCK_SECOND_NS, 32768},
		{INT64_C(36500) * 86400 * CLOCK_SECOND_NS, 134217728},
		{0, 1048576},
	};
	struct digest *d = NULL;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		int64_t q = cases[i].quantum_s, q_ns = q * CLOCK_SECOND_NS;

		assert_int_equal(digest_new(&d, &key, cases[i].ttl_ns), 0);
		assert_int_equal(digest_quantum_s(d), q);
		assert_int_equal(digest_since_s(d, INT64_MIN), 0);
		assert_int_equal(digest_since_s(d, 0), 0);
		assert_int_equal(digest_since_s(d, 1), q);
		assert_int_equal(digest_since_s(d, q_ns), q);
		assert_int_equal(digest_since_s(d, q_ns + 1), 2 * q);
		assert_true(digest_since_s(d, INT64_MAX) >= INT64_MAX / CLOCK_SECOND_NS);
		d = digest_free(d);
	}
}

/* Any history gives what adding up gives, from any second on. */
static void
test_history(void **state)
{
	uint64_t random = random_seed(21);
	struct digest *d = NULL;
	struct model m;

	(void)state;
	assert_int_equal(digest_new(&d, &key, day_ns), 0);
	model_fill(&m, d, &random, 2 * day_ns);
	digest_use_parts(d, m.live, FIXES);
	for (int step = 0; step < 20000; step++) {
		model_toggle(&m, d, random_below(&random, FIXES));
		if (step % 200 == 0) {
			check_same(&m, 0);
			check_same(&m, -5);
			check_same(&m, (int64_t)random_below(&random, 172800));
			/* Some again and again, and more than are kept. */
			check_same(&m, (int64_t)random_below(&random, 12) * 10007);
			check_same(&m, 50000);
			check_same(&m, INT64_MAX);
		}
	}
	for (size_t i = 0; i < FIXES; i++)
		if (m.in[i])
			model_toggle(&m, d, i);
	assert_int_equal(digest_root(d, 0), 0);
	digest_free(d);
}

/* Two hosts that heard the same in another order. */
static void
test_order(void **state)
{
	uint64_t random = random_seed(22);
	struct digest *a = NULL, *b = NULL;
	struct model m;

	(void)state;
	assert_int_equal(digest_new(&a, &key, day_ns), 0);
	assert_int_equal(digest_new(&b, &key, day_ns), 0);
	model_fill(&m, a, &random, day_ns);
	for (size_t i = 0; i < FIXES; i++) {
		digest_add(a, &m.part[i]);
		digest_add(b, &m.part[FIXES - 1 - i]);
	}
	for (int64_t since_s = 0; since_s < 90000; since_s += 4000)
		assert_int_equal(digest_root(a, since_s), digest_root(b, since_s));
	/* Where the parts are is not known, sums begin with the next epoch. */
	assert_int_equal(digest_root(a, 43201), digest_root(a, 43200 / 4096 * 4096 + 4096));
	assert_true(digest_root(a, 0) != digest_root(a, 43200));
	digest_remove(b, &m.part[9]);
	assert_true(digest_root(a, 0) != digest_root(b, 0));
	digest_free(a);
	digest_free(b);
}

/* Another key: other sums, other buckets. */
static void
test_key(void **state)
{
	const struct hash_key other_key = {key.k0, key.k1 ^ 1};
	struct digest *a = NULL, *b = NULL;
	struct digest_part part, other;
	unsigned int same = 0;
	struct herd_fix fix;
	char id[HERD_ID_MAX];

	(void)state;
	assert_int_equal(digest_new(&a, &key, 0), 0);
	assert_int_equal(digest_new(&b, &other_key, 0), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		help_fix(&fix, help_id(id, i, 20), 5, WRITER);
		digest_part_of(a, &fix, &part);
		digest_part_of(b, &fix, &other);
		assert_true(part.hash != other.hash);
		same += part.place == other.place;
	}
	assert_true(same < 10);
	digest_free(a);
	digest_free(b);
}

/* Receipt times of all the centuries: no more planes than agreed, and still exact where everything is compared. */
static void
test_wild_times(void **state)
{
	uint64_t random = random_seed(23);
	struct digest *d = NULL;
	struct model m;

	(void)state;
	assert_int_equal(digest_new(&d, &key, 16 * CLOCK_SECOND_NS), 0);
	model_fill(&m, d, &random, INT64_MAX);
	allocations = 0;
	for (int step = 0; step < 100000; step++) {
		model_toggle(&m, d, random_below(&random, FIXES));
		if (step % 1000 == 0)
			check_same(&m, 0);
	}
	assert_int_equal(allocations, DIGEST_PLANES);
	for (size_t i = 0; i < FIXES; i++)
		if (m.in[i])
			model_toggle(&m, d, i);
	assert_int_equal(digest_root(d, 0), 0);

	/* And after that it works as before. */
	model_fill(&m, d, &random, 60 * CLOCK_SECOND_NS);
	for (size_t i = 0; i < FIXES; i++)
		model_toggle(&m, d, i);
	for (int64_t since_s = 0; since_s < 60; since_s++)
		check_same(&m, since_s);
	digest_free(d);
}

/* Years of epochs, each with a few fixes: the planes of the gone ones are used again. */
static void
test_time_passes(void **state)
{
	struct digest *d = NULL;
	struct digest_part window[40];
	struct herd_fix fix;
	char id[HERD_ID_MAX];

	(void)state;
	assert_int_equal(digest_new(&d, &key, 16 * CLOCK_SECOND_NS), 0);
	allocations = 0;
	help_fix(&fix, help_id(id, 1, 20), 5, WRITER);
	for (int i = 0; i < 5000; i++) {
		struct digest_part *part = &window[i % 40];

		if (i >= 40)
			digest_remove(d, part);
		fix.rx_ns = i * CLOCK_SECOND_NS;
		digest_part_of(d, &fix, part);
		digest_add(d, part);
		assert_int_equal(digest_root(d, i), part->hash);
	}
	assert_int_equal(allocations, 40);
	digest_free(d);
}

static void
test_no_memory(void **state)
{
	uint64_t random = random_seed(24);
	struct digest *d = NULL;
	struct model m;
	int r;

	(void)state;
	for (int left = 0; left < 3; left++) {
		allocations_left = left;
		r = digest_new(&d, &key, 0);
		allocations_left = INT32_MAX;
		assert_int_equal(r, -ENOMEM);
		assert_null(d);
	}
	assert_int_equal(digest_new(&d, &key, day_ns), 0);
	model_fill(&m, d, &random, day_ns);
	allocations_left = 3;
	for (size_t i = 0; i < FIXES; i++)
		model_toggle(&m, d, i);
	allocations_left = INT32_MAX;
	check_same(&m, 0);
	/* Then it begins with the next epoch. */
	digest_use_parts(d, m.live, FIXES);
	allocations_left = 0;
	assert_int_equal(digest_root(d, 40001), digest_root(d, 40960));
	allocations_left = INT32_MAX;
	for (int step = 0; step < 1000; step++)
		model_toggle(&m, d, random_below(&random, FIXES));
	check_same(&m, 0);
	digest_free(d);
	assert_null(digest_free(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pinned),	    cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_boundaries),  cmocka_unit_test(test_quantum),
		cmocka_unit_test(test_history),	    cmocka_unit_test(test_order),
		cmocka_unit_test(test_key),	    cmocka_unit_test(test_wild_times),
		cmocka_unit_test(test_time_passes), cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
