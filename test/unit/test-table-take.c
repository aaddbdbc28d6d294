/*
 * What changed in the table, told to one taker: table-changes.c, and fixes that come from peers.
 */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>

#include "../table-help.h"
#include "core/segment.h"

enum { CLIENTS = 400, ID_LEN = 16 };

static struct sigaction on_sigbus;

struct fixture {
	char name[HELP_NAME_MAX];
	struct table *writer, *taker;
	uint64_t cursor, compared;
	uint64_t known[64];
	unsigned int changed, gone;
	uint64_t slot;		/* of the last change */
	struct herd_fix fix;	/* it */
	uint64_t seen[CLIENTS]; /* newest version told of, by the number in the id */
	char woken[64];
	unsigned int wakes;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	help_name(f->name);
	assert_int_equal(help_open_writer(&f->writer, f->name, 500, 64, 1), 0);
	assert_int_equal(help_open(&f->taker, f->name, 500, 64, 0), 0);
	assert_int_equal(table_register(f->taker, TABLE_HELPER, "helper", ""), 0);
	assert_true(table_slots(f->taker) <= 64 * 64);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	table_free(f->writer);
	table_free(f->taker);
	free(f);
	return 0;
}

static void
on_changed(void *arg, uint64_t slot, const struct herd_fix *fix)
{
	struct fixture *f = arg;
	uint64_t version;
	unsigned int writer;
	unsigned long n = strtoul(fix->id + 1, NULL, 10);

	assert_true(help_check(fix, &version, &writer));
	if (n < CLIENTS && version > f->seen[n])
		f->seen[n] = version;
	f->known[slot / 64] |= UINT64_C(1) << slot % 64;
	f->slot = slot;
	f->fix = *fix;
	f->changed++;
}

static void
on_gone(void *arg, uint64_t slot)
{
	struct fixture *f = arg;

	f->slot = slot;
	f->gone++;
}

static unsigned int
round_of(struct fixture *f, uint64_t *ret_round)
{
	uint64_t round = 0;
	int r;

	f->changed = 0;
	do
		r = table_take_changes(f->taker, &f->cursor, 10, on_changed, f, &round);
	while (r == 0);
	assert_int_equal(r, TABLE_E_END);
	if (ret_round)
		*ret_round = round;
	return f->changed;
}

static void
compare_all(struct fixture *f)
{
	int r;

	f->changed = f->gone = 0;
	do
		r = table_compare(f->taker, &f->compared, 100, f->known, on_changed, on_gone, f);
	while (r == 0);
	assert_int_equal(r, TABLE_E_END);
}

static void
put(struct fixture *f, unsigned int n, uint64_t version)
{
	char id[HERD_ID_MAX];

	assert_int_equal(help_put_version(f->writer, help_id(id, n, ID_LEN), version, 1), 0);
}

static void
test_rounds(void **state)
{
	struct fixture *f = *state;
	uint64_t first, second;

	assert_int_equal(round_of(f, &first), 0);
	for (unsigned int i = 0; i < CLIENTS; i++)
		put(f, i, 1);
	put(f, 7, 2);
	assert_int_equal(table_next_round(f->writer), first + 1);
	assert_int_equal(round_of(f, &second), CLIENTS); /* once each, the newest */
	assert_int_equal(second, first + 1);
	assert_int_equal(f->seen[7], 2);
	assert_int_equal(f->seen[CLIENTS - 1], 1);
	assert_int_equal(round_of(f, NULL), 0);
	put(f, 7, 3);
	assert_int_equal(round_of(f, NULL), 1);
	assert_int_equal(f->seen[7], 3);
	assert_int_equal(table_fix_at(f->taker, f->slot, HELP_BASE_NS, &f->fix), 0);
	assert_memory_equal(f->fix.id, "c7.", 3);
	assert_int_equal(table_fix_at(f->taker, table_slots(f->taker), 0, &f->fix), TABLE_E_UNKNOWN);
}

/* Ids of both sizes. */
static void
test_long_ids(void **state)
{
	struct fixture *f = *state;
	char id[HERD_ID_MAX];

	(void)round_of(f, NULL);
	assert_int_equal(help_put_version(f->writer, help_id(id, 3, 200), 1, 1), 0);
	assert_int_equal(round_of(f, NULL), 1);
	assert_int_equal(f->fix.id_len, 200);
	assert_int_equal(table_fix_at(f->taker, f->slot, HELP_BASE_NS, &f->fix), 0);
	assert_int_equal(f->fix.id_len, 200);
}

static void
test_compare(void **state)
{
	struct fixture *f = *state;
	uint64_t slot;

	/* Before the first round there are no marks: the look at the whole finds it. */
	put(f, 1, 1);
	put(f, 2, 1);
	compare_all(f);
	assert_int_equal(f->changed, 2);
	compare_all(f);
	assert_int_equal(f->changed + f->gone, 0);
	assert_int_equal(round_of(f, NULL), 0);

	/* Found by the comparison, so not by the round. */
	put(f, 1, 2);
	compare_all(f);
	assert_int_equal(f->changed, 1);
	assert_int_equal(f->seen[1], 2);
	slot = f->slot;
	assert_int_equal(round_of(f, NULL), 0);

	/* In use, clean, but not known to the caller. */
	f->known[slot / 64] &= ~(UINT64_C(1) << slot % 64);
	compare_all(f);
	assert_int_equal(f->changed, 1);
	assert_int_equal(f->slot, slot);

	/* Gone: expired and swept. */
	table_set_ttl(f->taker, CLOCK_SECOND_NS);
	help_sweep(f->taker, HELP_BASE_NS + 3600 * CLOCK_SECOND_NS);
	compare_all(f);
	assert_int_equal(f->gone, 2);
	assert_int_equal(f->changed, 0);
	compare_all(f);
	assert_int_equal(f->gone, 0);
}

static void
test_sleep(void **state)
{
	struct fixture *f = *state;

	(void)round_of(f, NULL);
	assert_false(table_wants_wake(f->writer));
	put(f, 1, 1);
	assert_false(table_sleep(f->taker)); /* there is something */
	assert_false(table_wants_wake(f->writer));
	assert_int_equal(round_of(f, NULL), 1);
	assert_true(table_sleep(f->taker));
	put(f, 1, 2);
	assert_true(table_wants_wake(f->writer));
	assert_false(table_wants_wake(f->writer)); /* one is enough */
	assert_int_equal(round_of(f, NULL), 1);
	assert_true(table_sleep(f->taker));
	table_wake(f->taker);
	put(f, 1, 3);
	assert_false(table_wants_wake(f->writer));
}

static void
on_wake(void *arg, const char *name)
{
	struct fixture *f = arg;

	snprintf(f->woken, sizeof(f->woken), "%s", name);
	f->wakes++;
}

static void
test_confirm(void **state)
{
	struct fixture *f = *state;
	uint64_t round, wanted;

	(void)round_of(f, NULL);
	put(f, 1, 1);
	wanted = table_next_round(f->writer);
	(void)round_of(f, &round);
	assert_true(round >= wanted);
	assert_true(table_confirmed_round(f->writer) < wanted);
	table_confirm(f->taker, round - 1, on_wake, f);
	assert_int_equal(f->wakes, 0); /* nobody waits */
	table_set_waiting(f->writer, true);
	table_confirm(f->taker, round, on_wake, f);
	assert_int_equal(f->wakes, 1);
	assert_string_equal(f->woken, "w1");
	assert_true(table_confirmed_round(f->writer) >= wanted);
	table_confirm(f->taker, round + 1, on_wake, f); /* still waiting, for another one */
	assert_int_equal(f->wakes, 2);
	table_set_waiting(f->writer, false);
	table_confirm(f->taker, round + 2, on_wake, f);
	table_confirm(f->taker, round + 3, on_wake, f);
	assert_int_equal(f->wakes, 2);
}

static void
test_from_peer(void **state)
{
	struct fixture *f = *state;
	struct herd_fix fix;
	char id[HERD_ID_MAX];
	uint64_t slot = 99999, again = 0, version = 0;
	bool same = true;

	(void)round_of(f, NULL);
	help_fix(&fix, help_id(id, 1, ID_LEN), 5, 9);
	assert_int_equal(table_merge_from_peer(f->taker, &fix, HELP_BASE_NS, &slot, &same), 0);
	assert_int_equal(help_version(f->writer, help_id(id, 1, ID_LEN), &version), 0);
	assert_int_equal(version, 5);
	assert_int_equal(table_fix_at(f->taker, slot, HELP_BASE_NS, &f->fix), 0);
	assert_true(help_same(&f->fix, &fix));
	assert_int_equal(round_of(f, NULL), 0); /* the caller knows */
	same = false;
	assert_int_equal(table_merge_from_peer(f->taker, &fix, HELP_BASE_NS, &again, &same), TABLE_E_OLDER);
	assert_true(same);
	assert_int_equal(again, slot);
	help_fix(&fix, help_id(id, 1, ID_LEN), 4, 9);
	assert_int_equal(table_merge_from_peer(f->taker, &fix, HELP_BASE_NS, &again, &same), TABLE_E_OLDER);
	assert_false(same);

	/* Over a change of our own that nobody has taken yet: the older one is nobody's business any more. */
	put(f, 1, 6);
	help_fix(&fix, help_id(id, 1, ID_LEN), 7, 9);
	assert_int_equal(table_merge_from_peer(f->taker, &fix, HELP_BASE_NS, &slot, &same), 0);
	assert_int_equal(round_of(f, NULL), 0);

	fix.location_len = 2;
	assert_int_equal(table_merge_from_peer(f->taker, &fix, HELP_BASE_NS, &slot, &same), -EINVAL);
	table_set_ttl(f->taker, CLOCK_SECOND_NS);
	help_fix(&fix, help_id(id, 2, ID_LEN), 1, 9);
	assert_int_equal(
		table_merge_from_peer(f->taker, &fix, HELP_BASE_NS + 2 * CLOCK_SECOND_NS, &slot, &same),
		TABLE_E_EXPIRED);
}

/* More servers than the index of their numbers has near places for. */
static void
test_many_servers(void **state)
{
	struct fixture *f = *state;
	struct herd_fix fix;
	char id[HERD_ID_MAX];
	uint64_t slot;
	bool same;

	for (int turn = 0; turn < 2; turn++) {
		for (unsigned int i = 0; i < 900; i++) {
			help_fix(&fix, help_id(id, i % 300, ID_LEN), (uint64_t)turn * 1000 + i + 1, i);
			assert_int_equal(table_merge_from_peer(f->taker, &fix, HELP_BASE_NS, &slot, &same),
					 0);
			assert_int_equal(table_fix_at(f->taker, slot, HELP_BASE_NS, &f->fix), 0);
			assert_true(help_same(&f->fix, &fix));
		}
	}
}

static void
test_watermark(void **state)
{
	struct fixture *f = *state;
	struct herd_fix fix;
	char id[HERD_ID_MAX];
	uint64_t slot, n = 0;
	int64_t mark;
	bool same;

	assert_int_equal(table_watermark_ns(f->taker), INT64_MIN);
	while (table_watermark_ns(f->taker) == INT64_MIN && n < 100000) {
		n++;
		assert_int_equal(help_put_version(f->writer, help_id(id, (uint32_t)n, ID_LEN), 1000 + n, 1),
				 0);
	}
	mark = table_watermark_ns(f->taker);
	assert_true(mark >= HELP_BASE_NS + 1001 * 1000);
	help_fix(&fix, help_id(id, 200000, ID_LEN), (uint64_t)(mark - HELP_BASE_NS) / 1000 - 1, 9);
	assert_int_equal(table_merge_from_peer(f->taker, &fix, HELP_BASE_NS, &slot, &same), TABLE_E_EVICTED);
	help_fix(&fix, help_id(id, 200000, ID_LEN), (uint64_t)(mark - HELP_BASE_NS) / 1000 + 1, 9);
	assert_int_equal(table_merge_from_peer(f->taker, &fix, HELP_BASE_NS, &slot, &same), 0);
	/* A client that is there may be told anything newer; one that a member heard is stored in any case. */
	assert_int_equal(help_put_version(f->writer, help_id(id, 300000, ID_LEN), 1, 1), 0);
}

/* Slots that were given to others: the taker hears of the newcomer. */
static void
test_eviction_is_told(void **state)
{
	struct fixture *f = *state;
	struct table_info info;
	char id[HERD_ID_MAX];
	unsigned int known = 0;

	(void)round_of(f, NULL);
	for (uint32_t n = 0; n < 3000; n++) {
		assert_int_equal(help_put_version(f->writer, help_id(id, 1000 + n, ID_LEN), 1 + n, 1), 0);
		if (n % 100 == 0)
			(void)round_of(f, NULL);
	}
	(void)round_of(f, NULL);
	compare_all(f);
	assert_int_equal(f->changed + f->gone, 0);
	assert_int_equal(table_info(f->taker, &info), 0);
	for (uint64_t slot = 0; slot < table_slots(f->taker); slot++)
		known += (f->known[slot / 64] >> slot % 64 & 1) != 0;
	assert_int_equal(known, info.used + info.long_used);
}

/* --- what others leave in the segment, or write there wild ------------------------------- */

struct mapping {
	uint8_t *base;
	size_t size;
};

static struct mapping
map(const struct fixture *f)
{
	int fd = open(help_path(f->name), O_RDWR | O_CLOEXEC);
	struct mapping m = {0};
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	m.size = (size_t)st.st_size;
	m.base = mmap(NULL, m.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(m.base != MAP_FAILED);
	close(fd);
	return m;
}

static const struct segment_constants *
constants_of(struct mapping m)
{
	return (const struct segment_constants *)(const void *)m.base;
}

static uint64_t *
lock_of(struct mapping m, uint64_t slot)
{
	const struct segment_class *c = &constants_of(m)->class[SEGMENT_SHORT];

	assert_true(slot / SEGMENT_WAYS < c->buckets);
	return (uint64_t *)(void *)(m.base + c->control_offset) + slot / SEGMENT_WAYS * SEGMENT_BUCKET_WORDS;
}

static void
set_marks(struct mapping m, int byte)
{
	const struct segment_constants *c = constants_of(m);
	uint64_t buckets = (uint64_t)c->class[SEGMENT_SHORT].buckets + c->class[SEGMENT_LONG].buckets;

	memset(m.base + c->marks_offset, byte, (buckets + 63) / 64 * 8);
}

/* A bucket that a live process has locked stays marked, whatever is taken from it; a dead one's lock is taken. */
static void
test_locked(void **state)
{
	struct fixture *f = *state;
	struct mapping m = map(f);
	struct table *holder = NULL;
	uint64_t owner = 0;

	assert_int_equal(help_open_writer(&holder, f->name, 1, 1, 2), 0);
	owner = UINT64_C(1) << 16 |
		(3 + 1); /* first generation of the fourth entry, after writer and taker */
	for (uint32_t i = 0; i < 6; i++) {
		struct segment_process *p =
			(struct segment_process *)(void *)(m.base + constants_of(m)->processes_offset) + i;

		if (strcmp(p->name, "w2") == 0)
			owner = p->generation << 16 | (i + 1);
	}
	put(f, 1, 1);
	assert_int_equal(round_of(f, NULL), 1);
	put(f, 1, 2);
	*lock_of(m, f->slot) = owner;
	assert_int_equal(round_of(f, NULL), 1); /* what is published is told */
	assert_int_equal(f->seen[1], 2);
	assert_false(table_sleep(f->taker));
	assert_int_equal(round_of(f, NULL), 0);
	assert_false(table_sleep(f->taker));
	assert_int_equal(help_counter(f->taker, TABLE_COUNTER_stolen), 0);
	table_free(holder);
	assert_int_equal(round_of(f, NULL), 0);
	assert_true(table_sleep(f->taker));
	assert_int_equal(*lock_of(m, f->slot), 0);
	assert_int_equal(help_counter(f->taker, TABLE_COUNTER_stolen), 1);
	munmap(m.base, m.size);
}

/* Marks that are lost, and marks that nobody set, also beyond the last bucket. */
static void
test_wild_marks(void **state)
{
	struct fixture *f = *state;
	struct mapping m = map(f);

	put(f, 1, 1);
	compare_all(f);
	put(f, 1, 2);
	set_marks(m, 0);
	assert_int_equal(round_of(f, NULL), 0);
	assert_true(table_sleep(f->taker));
	compare_all(f);
	assert_int_equal(f->changed, 1);
	assert_int_equal(f->seen[1], 2);

	set_marks(m, 0xff);
	assert_false(table_sleep(f->taker));
	assert_int_equal(round_of(f, NULL), 0);
	assert_true(table_sleep(f->taker));
	put(f, 1, 3);
	assert_int_equal(round_of(f, NULL), 1);
	munmap(m.base, m.size);
}

/* A damaged slot is told to nobody, and stands in nobody's way. */
static void
test_damaged(void **state)
{
	struct fixture *f = *state;
	struct mapping m = map(f);
	const struct segment_class *c = &constants_of(m)->class[SEGMENT_SHORT];
	uint8_t *slot;

	put(f, 1, 1);
	(void)round_of(f, NULL);
	slot = m.base + c->slots_offset + f->slot * c->slot_bytes;
	put(f, 1, 2);
	for (unsigned int i = 0; i < c->slot_bytes; i++)
		slot[i] ^= 0x40;
	assert_int_equal(round_of(f, NULL), 0);
	assert_int_equal(table_fix_at(f->taker, f->slot, 0, &f->fix), TABLE_E_UNKNOWN);
	compare_all(f);
	assert_int_equal(f->changed, 0);
	help_sweep(f->taker, 0);
	compare_all(f);
	assert_int_equal(f->gone, 1);
	assert_true(table_sleep(f->taker));
	munmap(m.base, m.size);
}

/* Neither a server whose clock is a year ahead nor what a wild write left keeps others out for long. */
static void
test_watermark_is_bounded(void **state)
{
	const int64_t ahead_ns = INT64_C(365) * 86400 * CLOCK_SECOND_NS;
	struct fixture *f = *state;
	struct mapping m = map(f);
	const struct segment_class *c = &constants_of(m)->class[SEGMENT_SHORT];
	struct table_info info;
	struct herd_fix fix;
	char id[HERD_ID_MAX];
	uint64_t slot, n = 0;
	bool same;

	/* All there is has come from such a server. */
	do {
		help_fix(&fix, help_id(id, (uint32_t)n++, ID_LEN), 1, 9);
		fix.rx_ns += ahead_ns;
		assert_int_equal(table_merge_from_peer(f->taker, &fix, HELP_BASE_NS, &slot, &same), 0);
		assert_int_equal(table_info(f->taker, &info), 0);
	} while (info.evicted == 0);
	assert_int_equal(table_watermark_ns(f->taker), HELP_BASE_NS + FIX_AHEAD_NS);

	/* Two buckets full of slots that are in use and make no sense. */
	for (uint64_t i = 0; i < (uint64_t)c->buckets * SEGMENT_WAYS; i++) {
		uint8_t *values = m.base + c->slots_offset + i * c->slot_bytes + SEGMENT_SHORT_ID;

		values[0] ^= 1;
		values[sizeof(struct value)] ^= 1;
	}
	for (uint32_t i = 0; i < 3 * CLIENTS; i++)
		assert_int_equal(help_put_version(f->writer, help_id(id, 10000 + i, ID_LEN), 1, 1), 0);
	assert_int_equal(table_watermark_ns(f->taker), HELP_BASE_NS + FIX_AHEAD_NS);
	munmap(m.base, m.size);
}

/* As many servers as the segment can name: those it knows go on, others are refused. */
static void
test_servers_without_end(void **state)
{
	struct fixture *f = *state;
	struct herd_fix fix;
	char id[HERD_ID_MAX];
	uint64_t slot, version = 0;
	unsigned int refused = 0;
	bool same;

	for (unsigned int i = 0; i < SEGMENT_NAMES + 100; i++) {
		int r;

		help_fix(&fix, help_id(id, 1, ID_LEN), ++version, 9);
		fix.server_len = (uint8_t)snprintf(fix.server, sizeof(fix.server), "server%u", i);
		r = table_merge_from_peer(f->taker, &fix, HELP_BASE_NS, &slot, &same);
		refused += r == -ENOSPC;
		assert_true(r == 0 || r == -ENOSPC);
		assert_true(r == 0 || i > SEGMENT_NAMES - 10);
	}
	assert_true(refused >= 100 && refused < 110);
	/* Another process's first look at all these names. */
	for (unsigned int i = 0; i < SEGMENT_NAMES - 10; i += 500) {
		help_fix(&fix, help_id(id, 1, ID_LEN), ++version, 9);
		fix.server_len = (uint8_t)snprintf(fix.server, sizeof(fix.server), "server%u", i);
		assert_int_equal(table_merge(f->writer, &fix), 0);
		assert_int_equal(help_find(f->taker, (struct text){fix.id, fix.id_len}, 0, &f->fix), 0);
		assert_memory_equal(f->fix.server, fix.server, fix.server_len);
	}
	help_fix(&fix, help_id(id, 1, ID_LEN), ++version, 9);
	fix.server_len = (uint8_t)snprintf(fix.server, sizeof(fix.server), "one-more");
	assert_int_equal(table_merge(f->writer, &fix), -ENOSPC);
	fix.server[0] = ' ';
	assert_int_equal(table_merge(f->writer, &fix), -EINVAL);
}

/* --- waiting, when processes and tables come and go ---------------------------------------- */

static void
test_waiting_ends_with_its_process(void **state)
{
	struct fixture *f = *state;

	table_set_waiting(f->writer, true);
	table_confirm(f->taker, 1, on_wake, f);
	assert_int_equal(f->wakes, 1);
	table_confirm(f->taker, 1, on_wake, f); /* known */
	assert_int_equal(f->wakes, 1);
	f->writer = table_free(f->writer);
	table_confirm(f->taker, 2, on_wake, f);
	assert_int_equal(f->wakes, 1);
	/* Whoever has the entry next has not asked. */
	assert_int_equal(help_open_writer(&f->writer, f->name, 1, 1, 3), 0);
	table_confirm(f->taker, 3, on_wake, f);
	assert_int_equal(f->wakes, 1);
	table_set_waiting(f->writer, true);
	table_confirm(f->taker, 4, on_wake, f);
	assert_int_equal(f->wakes, 2);
	assert_string_equal(f->woken, "w3");
}

static void
test_waiting_moves_along(void **state)
{
	struct fixture *f = *state;

	put(f, 1, 1);
	for (int i = 0; i < 10; i++)
		(void)round_of(f, NULL);
	table_set_waiting(f->writer, true);
	table_set_ttl(f->writer, 0);
	assert_int_equal(table_unlink(f->name), 0);
	assert_int_equal(table_refresh(f->writer), TABLE_E_MOVED);
	assert_int_equal(table_refresh(f->taker), TABLE_E_MOVED);
	f->cursor = f->compared = 0;
	memset(f->known, 0, sizeof(f->known));
	assert_int_equal(table_next_round(f->writer), 1);
	assert_int_equal(table_confirmed_round(f->writer), 0);
	assert_int_equal(round_of(f, NULL), 1); /* it took its fix along */
	assert_int_equal(f->seen[1], 1);
	table_confirm(f->taker, 1, on_wake, f);
	assert_int_equal(f->wakes, 1);
	assert_string_equal(f->woken, "w1");
}

/* A table of this process alone, and a second handle on it. */
static void
test_private(void **state)
{
	const struct table_options options = {.clients = 500, .long_clients = 64};
	struct fixture *f = *state;
	struct table *taker = f->taker, *writer = f->writer;

	assert_int_equal(table_open_private(&f->writer, &options), 0);
	assert_int_equal(table_register(f->writer, TABLE_MEMBER, "w1", ""), 0);
	assert_int_equal(table_open_shared(&f->taker, f->writer), 0);
	assert_int_equal(table_register(f->taker, TABLE_HELPER, "taker", ""), 0);
	put(f, 1, 1);
	assert_int_equal(round_of(f, NULL), 1);
	assert_true(table_sleep(f->taker));
	put(f, 1, 2);
	assert_true(table_wants_wake(f->writer));
	assert_int_equal(round_of(f, NULL), 1);
	table_free(f->taker);
	table_free(f->writer);
	f->taker = taker;
	f->writer = writer;
}

/* A segment cut short under everybody: codes, no crash, and nothing that looks like confirmation. */
static void
test_cut_short(void **state)
{
	struct fixture *f = *state;
	struct sigaction before;
	uint64_t round = 0;

	put(f, 1, 1);
	assert_int_equal(sigaction(SIGBUS, &on_sigbus, &before), 0);
	assert_int_equal(truncate(help_path(f->name), 0), 0);
	assert_int_equal(table_take_changes(f->taker, &f->cursor, 10, on_changed, f, &round), -EFAULT);
	assert_int_equal(table_compare(f->taker, &f->compared, 10, f->known, on_changed, on_gone, f),
			 -EFAULT);
	assert_int_equal(table_fix_at(f->taker, 0, 0, &f->fix), -EFAULT);
	assert_false(table_sleep(f->taker));
	table_wake(f->taker);
	table_confirm(f->taker, 5, on_wake, f);
	assert_int_equal(f->wakes, 0);
	assert_true(table_next_round(f->writer) > table_confirmed_round(f->writer));
	assert_false(table_wants_wake(f->writer));
	table_set_waiting(f->writer, true);
	assert_int_equal(table_watermark_ns(f->writer), INT64_MIN);
	assert_int_equal(sigaction(SIGBUS, &before, NULL), 0);
}

static void
test_not_registered(void **state)
{
	struct fixture *f = *state;
	struct table *t = NULL;
	uint64_t round;

	assert_int_equal(help_open(&t, f->name, 500, 64, 0), 0);
	assert_int_equal(table_take_changes(t, &f->cursor, 10, on_changed, f, &round), -EROFS);
	assert_int_equal(table_compare(t, &f->compared, 10, f->known, on_changed, on_gone, f), -EROFS);
	assert_false(table_sleep(t));
	table_free(t);
	assert_int_equal(table_open_readonly(&t, f->name, 0), 0);
	assert_false(table_wants_wake(t));
	assert_int_equal(table_watermark_ns(t), INT64_MIN);
	table_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_compare, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_confirm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_from_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_servers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watermark, setup, teardown),
		cmocka_unit_test_setup_teardown(test_eviction_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wild_marks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watermark_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_servers_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting_ends_with_its_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting_moves_along, setup, teardown),
		cmocka_unit_test_setup_teardown(test_private, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_registered, setup, teardown),
	};

	/* The table's own, which cmocka replaces before every test. */
	if (sigaction(SIGBUS, NULL, &on_sigbus) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
