/*
 * Tests of core/table.h, through its interface alone: what is held, what wins,
 * what is forgotten, who is registered, and what happens to a segment that is
 * foreign, old, damaged, cut short or gone. Deaths between two instructions
 * are test/faults' business.
 */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "../table-help.h"
#include "core/registry.h"
#include "core/segment.h"

enum { CLIENTS = 1000, LONG_CLIENTS = 100 };

struct fixture {
	char name[HELP_NAME_MAX];
	struct table *t; /* registered as w0 */
};

/* The table's own, which cmocka replaces before every test: a test that cuts segments puts it back. */
static struct sigaction table_on_sigbus;

static void
restore_sigbus(void)
{
	assert_int_equal(sigaction(SIGBUS, &table_on_sigbus, NULL), 0);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	help_name(f->name);
	*state = f;
	return help_open_writer(&f->t, f->name, CLIENTS, LONG_CLIENTS, 0);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	table_free(f->t);
	(void)table_unlink(f->name);
	free(f);
	return 0;
}

static void
assert_held(struct table *t, const struct herd_fix *want)
{
	struct herd_fix have;

	memset(&have, 0xa5, sizeof(have));
	assert_int_equal(help_find(t, (struct text){want->id, want->id_len}, 0, &have), 0);
	assert_true(help_same(&have, want));
}

static void
assert_unknown(struct table *t, struct text id, int64_t now_ns)
{
	struct herd_fix fix, before;

	memset(&fix, 0xa5, sizeof(fix));
	before = fix;
	assert_int_equal(help_find(t, id, now_ns, &fix), TABLE_E_UNKNOWN);
	assert_memory_equal(&fix, &before, sizeof(fix)); /* untouched */
}

/* Everything iterated is whole and there once; returns how many. */
static size_t
count_fixes(struct table *t, int64_t now_ns)
{
	size_t count = 0, room = 64 * 1024;
	uint64_t *seen = calloc(room, sizeof(*seen));
	uint64_t cursor = 0;
	struct herd_fix fix;
	int r;

	assert_non_null(seen);
	while ((r = table_next(t, &cursor, now_ns, &fix, NULL)) == 0) {
		uint64_t version, mark = help_mix((struct text){fix.id, fix.id_len}, 0) | 1;
		unsigned int writer;
		size_t at = mark % room;

		assert_true(help_check(&fix, &version, &writer));
		for (; seen[at]; at = (at + 1) % room)
			assert_true(seen[at] != mark);
		seen[at] = mark;
		assert_true(++count < room / 2);
	}
	assert_int_equal(r, TABLE_E_END);
	free(seen);
	return count;
}

/* --- one client --------------------------------------------------------------- */

static void
test_put_and_find(void **state)
{
	static const size_t lengths[] = {12, 39, 40, 41, 42, 100, 254, 255};
	struct fixture *f = *state;

	for (uint32_t i = 0; i < ELEMENTS(lengths); i++) {
		char bytes[HERD_ID_MAX];
		struct text id = help_id(bytes, i, lengths[i]);
		struct herd_fix fix;

		assert_unknown(f->t, id, 0);
		help_fix(&fix, id, 5, 0);
		assert_int_equal(help_put(f->t, &fix), 0);
		assert_held(f->t, &fix);
		assert_int_equal(help_put(f->t, &fix), TABLE_E_OLDER); /* the same again */
		help_fix(&fix, id, 4, 0);
		assert_int_equal(help_put(f->t, &fix), TABLE_E_OLDER);
		help_fix(&fix, id, 5, 0);
		assert_held(f->t, &fix);
		help_fix(&fix, id, 6, 0);
		assert_int_equal(help_put(f->t, &fix), 0);
		assert_held(f->t, &fix);
	}
	assert_int_equal(count_fixes(f->t, 0), ELEMENTS(lengths));
	assert_int_equal(help_counter(f->t, TABLE_COUNTER_evicted), 0);
	assert_int_equal(help_counter(f->t, TABLE_COUNTER_damaged), 0);
}

/* Ids of every length, of any bytes, one the beginning of the next. */
static void
test_id_bytes(void **state)
{
	struct fixture *f = *state;
	uint64_t random = random_seed(30);
	char bytes[HERD_ID_MAX];
	struct herd_fix fix;

	random_put_id(&random, bytes, sizeof(bytes));
	for (size_t len = 1; len <= HERD_ID_MAX; len++) {
		help_fix(&fix, (struct text){bytes, len}, len, 0);
		assert_int_equal(help_put(f->t, &fix), 0);
	}
	for (size_t len = 1; len <= HERD_ID_MAX; len++) {
		help_fix(&fix, (struct text){bytes, len}, len, 0);
		if (len <= 40 || help_counter(f->t, TABLE_COUNTER_evicted) == 0)
			assert_held(f->t, &fix);
	}
	bytes[0] ^= 1;
	for (size_t len = 1; len <= HERD_ID_MAX; len++)
		assert_unknown(f->t, (struct text){bytes, len}, 0);
}

/* Operands at the limits of the protocol come back byte for byte. */
static void
test_operands(void **state)
{
	static const char *const locations[] = {"+0+0", "-89.999999999999-179.999999999999/",
						"+90.000000000000+180.0", "+5-7/", "-00.0-000.0"};
	static const char *const times[] = {"0", "00000000000", "99999999999.999999999", "1.0",
					    "1621464827.959498503"};
	struct fixture *f = *state;
	uint32_t n = 0;

	for (size_t i = 0; i < ELEMENTS(locations); i++) {
		for (size_t j = 0; j < ELEMENTS(times); j++) {
			char bytes[HERD_ID_MAX];
			struct herd_fix fix;

			help_fix(&fix, help_id(bytes, n++, 30), 1, 0);
			fix.location_len = (uint8_t)(text_put(fix.location, text_of(locations[i])) -
						     fix.location);
			fix.time_len = (uint8_t)(text_put(fix.time, text_of(times[j])) - fix.time);
			assert_int_equal(help_put(f->t, &fix), 0);
			assert_held(f->t, &fix);
		}
	}
}

static void
make_fix(struct herd_fix *fix, const char *time, int64_t rx_ns, const char *server, const char *location)
{
	*fix = (struct herd_fix){.rx_ns = rx_ns, .id = "client", .id_len = 6};
	fix->time_len = (uint8_t)(text_put(fix->time, text_of(time)) - fix->time);
	fix->server_len = (uint8_t)(text_put(fix->server, text_of(server)) - fix->server);
	fix->location_len = (uint8_t)(text_put(fix->location, text_of(location)) - fix->location);
}

#define RX (INT64_C(1700000000) * CLOCK_SECOND_NS)

/* Each line is newer than the one before it. */
static void
make_ladder(struct herd_fix *ladder)
{
	struct herd_fix *at = ladder;

	make_fix(at++, "0", RX + 9, "z", "-9-9");
	make_fix(at++, "1600000000", RX, "z", "-9-9"); /* client time */
	make_fix(at++, "1600000000.000000001", RX - 5, "a",
		 "+0+0"); /* to the nanosecond, whatever the rest */
	make_fix(at++, "1600000000.000000001", RX - 4, "a", "+0+0");  /* receipt */
	make_fix(at++, "1600000000.000000001", RX - 4, "aa", "+0+0"); /* server */
	make_fix(at++, "1600000000.000000001", RX - 4, "b", "+0+0");
	make_fix(at++, "1600000000.000000001", RX - 4, "b", "+0+0/"); /* location */
	make_fix(at++, "1600000000.000000001", RX - 4, "b", "+1+0");
	make_fix(at++, "1600000000.000000001", RX - 4, "b", "-0+0");  /* '-' is above '+' */
	make_fix(at++, "1600000000.0000000010", RX - 4, "b", "-0+0"); /* never parsed: replaced below */
	at--;
	make_fix(at++, "1600000000.1", RX - 4, "b", "+0+0");
	make_fix(at++, "1600000000.10", RX - 4, "b", "+0+0"); /* time text */
	make_fix(at++, "01600000001", RX - 4, "b", "+0+0");
	make_fix(at++, "1600000001", RX - 4, "b", "+0+0");
	make_fix(at++, "1700000009", RX, "b", "+0+0");
	make_fix(at++, "99999999999", RX, "b", "+0+0"); /* the future counts for ten seconds */
	make_fix(at++, "1700000011", RX + 1, "b", "+0+0");
	make_fix(at++, "1700000010.000000002", RX + 2, "a", "+0+0");
}

enum { LADDER = 17 };

static void
test_newest_wins(void **state)
{
	struct fixture *f = *state;
	struct herd_fix ladder[LADDER];

	make_ladder(ladder);
	for (int i = 0; i < LADDER; i++) {
		assert_int_equal(table_merge(f->t, &ladder[i]), 0);
		assert_held(f->t, &ladder[i]);
		for (int j = 0; j <= i; j++)
			assert_int_equal(table_merge(f->t, &ladder[j]), TABLE_E_OLDER);
		assert_held(f->t, &ladder[i]);
	}
}

/* Every order of arrival ends with the same fix. */
static void
test_merge_in_any_order(void **state)
{
	struct fixture *f = *state;
	uint64_t random = random_seed(31);
	struct herd_fix ladder[LADDER];

	make_ladder(ladder);
	for (int round = 0; round < 2000; round++) {
		int newest = -1;

		for (int i = 0; i < LADDER; i++)
			ladder[i].id_len = (uint8_t)(text_put_u64(text_put(ladder[i].id, TEXT("c")),
								  (uint64_t)round % 500) -
						     ladder[i].id);
		for (int i = 0; i < 12; i++) {
			int which = (int)random_below(&random, LADDER);
			int r = table_merge(f->t, &ladder[which]);

			if (round < 500) { /* the client's first fixes: nothing else can be held */
				assert_int_equal(r, which > newest ? 0 : TABLE_E_OLDER);
				newest = which > newest ? which : newest;
				assert_held(f->t, &ladder[newest]);
			}
		}
	}
}

/* What this process heard itself wins and loses by the same rule. */
static void
test_put_against_merge(void **state)
{
	struct fixture *f = *state;
	struct herd_fix fix;

	make_fix(&fix, "1600000000", RX, "w0", "+1+1");
	assert_int_equal(help_put(f->t, &fix), 0);
	assert_held(f->t, &fix);
	assert_int_equal(table_merge(f->t, &fix), TABLE_E_OLDER);
	make_fix(&fix, "1600000000", RX, "w", "+2+2");
	assert_int_equal(table_merge(f->t, &fix), TABLE_E_OLDER);
	make_fix(&fix, "1600000000", RX, "w00", "+0+0");
	assert_int_equal(table_merge(f->t, &fix), 0);
	assert_held(f->t, &fix);
	make_fix(&fix, "1600000000", RX, "w0", "+9+9");
	assert_int_equal(help_put(f->t, &fix), TABLE_E_OLDER);
}

/* A fix from elsewhere is measured: nothing that is none gets in, whatever its lengths say. */
static void
test_merge_checks(void **state)
{
	struct fixture *f = *state;
	struct table_info info;
	struct herd_fix good, bad;

	make_fix(&good, "1600000000", RX, "x", "+1+1");
#define REFUSED(change)                                             \
	do {                                                        \
		bad = good;                                         \
		change;                                             \
		assert_int_equal(table_merge(f->t, &bad), -EINVAL); \
	} while (0)
	REFUSED(bad.id_len = 0);
	REFUSED(bad.id[2] = ' ');
	REFUSED(bad.id[2] = '\0');
	REFUSED(bad.time_len = 0);
	REFUSED(bad.time_len = 255);
	REFUSED(bad.time[1] = '-');
	REFUSED(bad.location_len = 0);
	REFUSED(bad.location_len = 255);
	REFUSED(bad.location[0] = '1');
	REFUSED(bad.location[1] = '*');
	REFUSED(bad.server_len = 0);
	REFUSED(bad.server_len = 255);
	REFUSED(bad.server[0] = '/');
	REFUSED(bad.rx_ns = -1);
#undef REFUSED
	assert_int_equal(table_info(f->t, &info), 0);
	assert_int_equal(info.used, 0);
	assert_int_equal(table_merge(f->t, &good), 0);
	assert_held(f->t, &good);
}

/* --- age ------------------------------------------------------------------------ */

static void
test_expiry(void **state)
{
	const int64_t ttl_ns = 100 * CLOCK_SECOND_NS;
	struct fixture *f = *state;
	struct table_info info;
	struct herd_fix fix;
	char bytes[HERD_ID_MAX];
	struct text id = help_id(bytes, 1, 20);

	help_fix(&fix, id, 0, 0);
	assert_int_equal(help_put(f->t, &fix), 0);
	assert_int_equal(help_find(f->t, id, INT64_MAX, &fix), 0); /* never */
	table_set_ttl(f->t, ttl_ns);
	assert_int_equal(help_find(f->t, id, fix.rx_ns + ttl_ns - 1, &fix), 0);
	assert_int_equal(help_find(f->t, id, fix.rx_ns - ttl_ns * 10, &fix), 0); /* a clock that went back */
	assert_unknown(f->t, id, fix.rx_ns + ttl_ns + 1);
	assert_int_equal(count_fixes(f->t, fix.rx_ns + ttl_ns - 1), 1);
	assert_int_equal(count_fixes(f->t, fix.rx_ns + ttl_ns + 1), 0);
	assert_int_equal(table_info(f->t, &info), 0);
	assert_int_equal(info.used, 1);

	assert_int_equal(help_sweep(f->t, fix.rx_ns + ttl_ns - 1), 0);
	assert_int_equal(help_find(f->t, id, 0, &fix), 0);
	assert_int_equal(help_sweep(f->t, fix.rx_ns + ttl_ns + 1), 0);
	assert_int_equal(table_info(f->t, &info), 0);
	assert_int_equal(info.used, 0);
	assert_unknown(f->t, id, 0);
	assert_int_equal(help_counter(f->t, TABLE_COUNTER_expired), 1);
	assert_int_equal(help_counter(f->t, TABLE_COUNTER_damaged), 0);
}

/* A client whose own clock is behind the expired fix must be heard: put answers 0 or OLDER only
   when everybody reads that fix or a newer one. */
static void
test_expired_fix_does_not_win(void **state)
{
	const int64_t ttl_ns = 100 * CLOCK_SECOND_NS;
	struct fixture *f = *state;
	struct herd_fix old, new, have;

	table_set_ttl(f->t, ttl_ns);
	make_fix(&old, "1700000000", RX, "w0", "+1+1");
	assert_int_equal(help_put(f->t, &old), 0);
	make_fix(&new, "5", RX + 99 * CLOCK_SECOND_NS, "w0", "+2+2");
	assert_int_equal(help_put(f->t, &new), TABLE_E_OLDER);
	make_fix(&new, "5", RX + 101 * CLOCK_SECOND_NS, "w0", "+2+2");
	assert_int_equal(help_put(f->t, &new), 0);
	assert_int_equal(help_find(f->t, TEXT("client"), RX + 101 * CLOCK_SECOND_NS, &have), 0);
	assert_true(help_same(&have, &new));
	assert_int_equal(count_fixes(f->t, RX + 201 * CLOCK_SECOND_NS), 0);
}

static void
test_sweep_in_steps(void **state)
{
	const int64_t ttl_ns = CLOCK_SECOND_NS;
	struct fixture *f = *state;
	struct table_info info;
	uint64_t cursor = 0;
	char bytes[HERD_ID_MAX];
	int steps = 0, r;

	table_set_ttl(f->t, ttl_ns);
	for (uint32_t i = 0; i < 500; i++) /* every other one old */
		assert_int_equal(
			help_put_version(f->t, help_id(bytes, i, i % 10 ? 20 : 60), i % 2 ? 2000000 : 0, 0),
			0);
	while ((r = table_sweep(f->t, &cursor, 20, HELP_BASE_NS + ttl_ns + 1000)) == 0)
		assert_true(++steps < 1000);
	assert_int_equal(r, TABLE_E_END);
	assert_int_equal(cursor, 0);
	assert_true(steps > 20);
	assert_int_equal(table_info(f->t, &info), 0);
	assert_int_equal(info.used + info.long_used, 250);
	assert_int_equal(help_counter(f->t, TABLE_COUNTER_expired), 250);
}

/* --- a full table ------------------------------------------------------------------ */

static void
fill(struct table *t, size_t id_len, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		char bytes[HERD_ID_MAX];
		struct text id = help_id(bytes, i, id_len);
		uint64_t version;

		assert_int_equal(help_put_version(t, id, i, 0), 0);
		assert_int_equal(help_version(t, id, &version), 0); /* the newcomer is in, always */
		assert_int_equal(version, i);
	}
}

static void
test_capacity(void **state)
{
	struct fixture *f = *state;
	struct table_info info;

	fill(f->t, 24, 0, CLIENTS);
	fill(f->t, 200, 0, LONG_CLIENTS);
	assert_int_equal(table_info(f->t, &info), 0);
	assert_int_equal(info.evicted, 0);
	assert_int_equal(info.used, CLIENTS);
	assert_int_equal(info.long_used, LONG_CLIENTS);
	assert_int_equal(info.clients, CLIENTS);
	assert_int_equal(info.long_clients, LONG_CLIENTS);
	assert_true(info.slots >= CLIENTS && info.long_slots >= LONG_CLIENTS);
	assert_false(info.is_private);
	assert_int_equal(count_fixes(f->t, 0), CLIENTS + LONG_CLIENTS);
}

static void
test_full(void **state)
{
	enum { TIMES = 9 };
	struct fixture *f = *state;
	struct table_info info;

	fill(f->t, 24, 0, TIMES * CLIENTS);
	assert_int_equal(table_info(f->t, &info), 0);
	assert_int_equal(info.evicted + info.used, TIMES * CLIENTS);
	assert_int_equal(info.evicted, help_counter(f->t, TABLE_COUNTER_evicted));
	assert_true(info.used <= info.slots && info.used >= info.slots * 9 / 10);
	assert_int_equal(info.long_used, 0);
	assert_int_equal(count_fixes(f->t, 0), info.used);

	/* One received before all others is let in like any other. */
	{
		struct herd_fix fix;

		make_fix(&fix, "1", 1, "w0", "+0+0");
		assert_int_equal(help_put(f->t, &fix), 0);
		assert_held(f->t, &fix);
	}
	fill(f->t, 100, 0, TIMES * LONG_CLIENTS);
	assert_int_equal(table_info(f->t, &info), 0);
	assert_true(info.long_used <= info.long_slots && info.long_used >= info.long_slots * 8 / 10);
}

/* Two buckets only: then the one that goes is the oldest of all. */
static void
test_evicts_the_oldest(void **state)
{
	enum { IDS = 2000, ARRIVALS = 200 };
	struct table_info info;
	struct table *t = NULL;
	char name[HELP_NAME_MAX], bytes[HERD_ID_MAX];
	uint64_t evicted = 0;

	(void)state;
	help_name(name);
	assert_int_equal(help_open_writer(&t, name, 8, 1, 0), 0);
	assert_int_equal(table_info(t, &info), 0);
	/* Receipt in a scrambled order, so that it is not the order of arrival. */
	for (uint32_t i = 0; i < ARRIVALS; i++) {
		uint32_t n = (uint32_t)((uint64_t)i * 7919 % IDS), oldest = 0;
		uint64_t version;

		while (oldest < IDS && help_version(t, help_id(bytes, oldest, 20), &version) != 0)
			oldest++;
		assert_int_equal(help_put_version(t, help_id(bytes, n, 20), n, 0), 0);
		assert_int_equal(help_version(t, help_id(bytes, n, 20), &version), 0);
		assert_int_equal(table_info(t, &info), 0);
		if (info.evicted == evicted)
			continue;
		assert_int_equal(info.evicted, ++evicted);
		assert_int_equal(help_version(t, help_id(bytes, oldest, 20), &version), TABLE_E_UNKNOWN);
	}
	assert_true(evicted > 100);
	table_free(t);
	assert_int_equal(table_unlink(name), 0);
}

/* --- several handles, several processes ---------------------------------------------- */

static void
test_two_handles(void **state)
{
	struct fixture *f = *state;
	struct table *other = NULL;
	char bytes[HERD_ID_MAX];
	struct herd_fix fix;

	assert_int_equal(help_open_writer(&other, f->name, 5, 5, 1), 0); /* its own sizes do not matter */
	for (uint32_t i = 0; i < 200; i++) {
		help_fix(&fix, help_id(bytes, i, i % 2 ? 20 : 50), 1, 0);
		assert_int_equal(help_put(f->t, &fix), 0);
		assert_held(other, &fix);
		help_fix(&fix, help_id(bytes, i, i % 2 ? 20 : 50), 2, 1);
		assert_int_equal(help_put(other, &fix), 0);
		assert_held(f->t, &fix);
		if (i == 90)
			break; /* LONG_CLIENTS */
	}
	table_free(other);
	assert_held(f->t, &fix);
}

static void
test_shared_and_readonly(void **state)
{
	struct fixture *f = *state;
	struct table *shared = NULL, *readonly = NULL;
	char bytes[HERD_ID_MAX];
	struct text id = help_id(bytes, 1, 20);
	struct herd_fix fix;
	uint64_t cursor = 0;

	assert_int_equal(table_open_shared(&shared, f->t), 0);
	assert_int_equal(table_open_readonly(&readonly, f->name, 0), 0);
	assert_int_equal(table_register(shared, TABLE_TOOL, "w1", ""), 0);
	help_fix(&fix, id, 1, 1);
	assert_int_equal(help_put(shared, &fix), 0);
	assert_held(f->t, &fix);
	assert_held(readonly, &fix);
	assert_int_equal(count_fixes(readonly, 0), 1);

	/* A reader only reads. */
	help_fix(&fix, id, 2, 0);
	assert_true(help_put(readonly, &fix) < 0);
	assert_true(table_merge(readonly, &fix) < 0);
	assert_true(table_sweep(readonly, &cursor, 10, 0) < 0);
	assert_true(table_register(readonly, TABLE_TOOL, "x", "") < 0);
	table_count(readonly, TABLE_COUNTER_iamat, 1); /* nothing */
	assert_int_equal(help_counter(readonly, TABLE_COUNTER_iamat), 0);
	table_free(readonly);
	table_free(shared);

	assert_int_equal(table_open_readonly(&readonly, "/herd-test-none-of-this-name", 0), -ENOENT);
}

/* A shared handle stays where it is, and is of use, when the one it came from moves or goes. */
static void
test_shared_outlives(void **state)
{
	struct fixture *f = *state;
	struct table *shared = NULL, *again = NULL;
	char bytes[HERD_ID_MAX];
	struct text id = help_id(bytes, 1, 20);
	struct herd_fix fix;

	help_fix(&fix, id, 1, 0);
	assert_int_equal(help_put(f->t, &fix), 0);
	assert_int_equal(table_open_shared(&shared, f->t), 0);
	assert_int_equal(table_open_shared(&again, shared), 0);
	assert_int_equal(table_unlink(f->name), 0);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_held(shared, &fix);
	table_free(shared);
	assert_held(again, &fix);
	assert_int_equal(count_fixes(again, 0), 1);
	table_free(again);
	assert_held(f->t, &fix);
	assert_int_equal(table_open_shared(&shared, f->t), 0);
	f->t = table_free(f->t);
	assert_held(shared, &fix);
	table_free(shared);
}

/* Runs body in a process of its own, with descriptors of its own; its exit status. */
static int
in_child(int (*body)(struct fixture *f, int argument), struct fixture *f, int argument)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(body(f, argument));
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int
child_reads_and_writes(struct fixture *f, int argument)
{
	struct table *t = NULL;
	char bytes[HERD_ID_MAX];
	uint64_t version;

	if (help_open_writer(&t, f->name, 1, 1, (unsigned int)argument) != 0)
		return 1;
	for (uint32_t i = 0; i < 100; i++) {
		struct text id = help_id(bytes, i, i % 2 ? 20 : 45);

		if (help_version(t, id, &version) != 0 || version != 1)
			return 2;
		if (help_put_version(t, id, 2, (unsigned int)argument) != 0)
			return 3;
	}
	return 0; /* without table_free(): its end must free what it had */
}

static void
test_two_processes(void **state)
{
	struct fixture *f = *state;
	char bytes[HERD_ID_MAX];
	uint64_t version;

	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(help_put_version(f->t, help_id(bytes, i, i % 2 ? 20 : 45), 1, 0), 0);
	assert_int_equal(in_child(child_reads_and_writes, f, 7), 0);
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(help_version(f->t, help_id(bytes, i, i % 2 ? 20 : 45), &version), 0);
		assert_int_equal(version, 2);
	}
}

/* A child that registers as Alpha and waits to be ended. */
static pid_t
start_alpha(const struct fixture *f)
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct table *t = NULL;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when an assertion fails before it is ended */
		if (help_open(&t, f->name, 1, 1, 0) == 0 &&
		    table_register(t, TABLE_MEMBER, "Alpha", "127.0.0.1:12000") == 0 &&
		    write(ready[1], "r", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	assert_true(pid > 0);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static bool
find_process(struct table *t, const char *name, struct table_process *ret)
{
	int r;

	for (uint32_t i = 0; (r = table_process(t, i, ret)) != TABLE_E_END; i++)
		if (r == 0 && strcmp(ret->name, name) == 0)
			return true;
	return false;
}

static void
test_names_live_and_die(void **state)
{
	struct fixture *f = *state;
	struct table_process process;
	struct table *t = NULL;
	pid_t pid = start_alpha(f);
	int status;

	assert_int_equal(help_open(&t, f->name, 1, 1, 0), 0);
	assert_int_equal(table_register(t, TABLE_MEMBER, "Alpha", "127.0.0.1:12001"), TABLE_E_NAME_TAKEN);
	assert_true(find_process(f->t, "Alpha", &process));
	assert_true(process.alive);
	assert_int_equal(process.pid, pid);
	assert_int_equal(process.role, TABLE_MEMBER);
	assert_string_equal(process.listen, "127.0.0.1:12000");
	assert_true(process.start_ns > 0 && process.start_ns <= clock_now_ns());

	/* A stopped one is alive. */
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_int_equal(table_register(t, TABLE_MEMBER, "Alpha", ""), TABLE_E_NAME_TAKEN);

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(find_process(f->t, "Alpha", &process));
	assert_false(process.alive);
	assert_int_equal(table_register(t, TABLE_MEMBER, "Alpha", "127.0.0.1:12001"), 0);
	assert_true(find_process(f->t, "Alpha", &process));
	assert_true(process.alive);
	assert_int_equal(process.pid, getpid());
	table_free(t);
	assert_true(find_process(f->t, "Alpha", &process));
	assert_false(process.alive);
}

static void *
unlock_later(void *arg)
{
	usleep(50000);
	registry_unlock(arg);
	return NULL;
}

/* Whoever enters a name lives, and waits for its processor meanwhile. */
static void
test_names_are_waited_for(void **state)
{
	struct fixture *f = *state;
	struct registry_entry slow;
	struct table *t = NULL;
	_Atomic uint64_t *lock;
	struct segment s;
	pthread_t thread;
	bool stolen;

	assert_int_equal(segment_open(&s, f->name, false), 0);
	assert_int_equal(registry_take(&s, TABLE_TOOL, "slow", "", &slow), 0);
	lock = &segment_header(&s)->names_lock;
	assert_int_equal(registry_lock(&s, lock, slow.owner, &stolen), 0);
	assert_int_equal(help_open(&t, f->name, 1, 1, 0), 0);
	/* One that is known already waits for nobody. */
	assert_int_equal(table_register(t, TABLE_TOOL, "w0", ""), 0);
	table_free(t);
	assert_int_equal(help_open(&t, f->name, 1, 1, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, unlock_later, lock), 0);
	assert_int_equal(table_register(t, TABLE_MEMBER, "Newcomer", ""), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	table_free(t);
	segment_done(&s);
}

static void
test_names_are_checked(void **state)
{
	static const char *const bad[] = {"", "a b", "a/b", "abcdefghijklmnopqrstuvwx", "\xc3\xa4"};
	struct fixture *f = *state;
	struct table *t = NULL;

	assert_int_equal(help_open(&t, f->name, 1, 1, 0), 0);
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		assert_true(table_register(t, TABLE_MEMBER, bad[i], "") < 0);
	assert_int_equal(table_register(t, TABLE_MEMBER, "abcdefghijklmnopqrstuvw", NULL), 0);
	table_free(t);
}

static void
test_registry_fills_and_empties(void **state)
{
	enum { MANY = 1024 };
	static struct table *tables[MANY];
	struct fixture *f = *state;

	for (int round = 0; round < 2; round++) {
		int count = 0, r = 0;

		while (count < MANY) {
			char name[16];

			snprintf(name, sizeof(name), "m%d", count);
			assert_int_equal(table_open_shared(&tables[count], f->t), 0);
			r = table_register(tables[count++], TABLE_MEMBER, name, "");
			if (r != 0)
				break;
		}
		assert_int_equal(r, -EUSERS);
		assert_true(count > 64);
		/* The others go on. */
		for (int i = 0; i < count; i++) {
			char bytes[HERD_ID_MAX];
			struct herd_fix fix;

			help_fix(&fix, help_id(bytes, (uint32_t)i, 20), (uint64_t)round + 1, 0);
			if (i < count - 1)
				assert_int_equal(help_put(tables[i], &fix), 0);
			else
				assert_true(help_put(tables[i], &fix) < 0);
		}
		while (count)
			table_free(tables[--count]);
	}
}

static void
test_counters(void **state)
{
	struct fixture *f = *state;
	struct table_process process;
	struct table *other = NULL;

	table_count(f->t, TABLE_COUNTER_iamat, 5);
	table_count(f->t, TABLE_COUNTER_iamat, 2);
	table_count(f->t, TABLE_COUNTER_connections, 1);
	table_count(f->t, TABLE_COUNTER_connections, -1);
	assert_int_equal(help_open(&other, f->name, 1, 1, 0), 0);
	assert_true(find_process(other, "w0", &process));
	assert_int_equal(process.counter[TABLE_COUNTER_iamat], 7);
	assert_int_equal(process.counter[TABLE_COUNTER_connections], 0);
	table_free(other);

	/* Whoever comes after starts at zero. */
	f->t = table_free(f->t);
	assert_int_equal(help_open_writer(&f->t, f->name, 1, 1, 3), 0);
	assert_true(find_process(f->t, "w3", &process));
	assert_int_equal(process.counter[TABLE_COUNTER_iamat], 0);
}

/* Names of servers are few thousand at most: past that merging is refused, never wrong. */
static void
test_many_servers(void **state)
{
	struct fixture *f = *state;
	int taken = 0;

	for (int i = 0; i < 6000; i++) {
		struct herd_fix fix, have;
		int r;

		make_fix(&fix, "1600000000", RX + i, "x", "+1+1");
		fix.server_len = (uint8_t)(text_put_u64(fix.server + 1, (uint64_t)i) - fix.server);
		r = table_merge(f->t, &fix);
		if (r == 0)
			assert_held(f->t, &fix);
		else
			assert_int_equal(r, -ENOSPC);
		taken += r == 0;
		assert_int_equal(help_find(f->t, TEXT("client"), 0, &have), 0);
	}
	assert_true(taken >= 1000);
	/* Those already known go on. */
	{
		struct herd_fix fix;

		make_fix(&fix, "1600000000", RX + 9999, "x5", "+1+1");
		assert_int_equal(table_merge(f->t, &fix), 0);
		assert_held(f->t, &fix);
	}
}

/* --- iteration ------------------------------------------------------------------------ */

static void
test_versions_change(void **state)
{
	struct fixture *f = *state;
	char bytes[HERD_ID_MAX];
	struct text id = help_id(bytes, 1, 20);
	uint64_t last = 0, version;
	struct herd_fix fix;

	for (uint64_t i = 1; i < 50; i++) {
		uint64_t cursor = 0;

		assert_int_equal(help_put_version(f->t, id, i, 0), 0);
		assert_int_equal(table_next(f->t, &cursor, 0, &fix, &version), 0);
		assert_true(version != last);
		last = version;
		cursor = 0;
		assert_int_equal(help_put_version(f->t, id, i, 0), TABLE_E_OLDER);
		assert_int_equal(table_next(f->t, &cursor, 0, &fix, &version), 0);
		assert_true(version == last);
		assert_int_equal(table_next(f->t, &cursor, 0, &fix, &version), TABLE_E_END);
		assert_int_equal(table_next(f->t, &cursor, 0, &fix, &version), TABLE_E_END);
	}
}

/* In steps of any size it finds the same fixes in the same order, and no step goes past its end. */
static void
test_next_before(void **state)
{
	struct fixture *f = *state;
	const uint64_t slots = table_slots(f->t);
	char bytes[HERD_ID_MAX];
	struct herd_fix fix, want;

	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(help_put_version(f->t, help_id(bytes, i, i % 10 ? 20 : 60), i, 0), 0);
	for (uint64_t step = 1; step < 2 * slots; step *= 3) {
		uint64_t cursor = 0, other = 0, end = 0;
		int found = 0;

		while (end < slots) {
			end += step;
			while (table_next_before(f->t, &cursor, end, 0, &fix) == 0) {
				assert_true(cursor <= end);
				assert_int_equal(table_next(f->t, &other, 0, &want, NULL), 0);
				assert_int_equal(cursor, other);
				assert_true(help_same(&fix, &want));
				found++;
			}
			assert_int_equal(cursor, end < slots ? end : slots);
		}
		assert_int_equal(found, 200);
		assert_int_equal(table_next_before(f->t, &cursor, UINT64_MAX, 0, &fix), TABLE_E_END);
	}
}

static uint64_t
fingerprint(struct table *t, uint32_t step)
{
	uint64_t hash = 42, cursor = 0;
	int r;

	while ((r = table_fingerprint(t, &cursor, step, &hash)) == 0)
		;
	assert_int_equal(r, TABLE_E_END);
	assert_int_equal(cursor, 0);
	return hash;
}

static void
test_fingerprint(void **state)
{
	const int64_t ttl_ns = CLOCK_SECOND_NS;
	struct fixture *f = *state;
	char bytes[HERD_ID_MAX];
	struct text id = help_id(bytes, 1, 20);
	uint64_t seen[64], last;
	size_t count = 0;
	struct herd_fix fix;

	seen[count++] = fingerprint(f->t, 100);
	for (uint64_t i = 1; i < 20; i++) {
		assert_int_equal(help_put_version(f->t, id, i, 0), 0);
		seen[count++] = fingerprint(f->t, 1);
		assert_int_equal(help_put_version(f->t, id, i, 0), TABLE_E_OLDER);
		assert_int_equal(help_find(f->t, id, 0, &fix), 0);
		assert_true(fingerprint(f->t, UINT32_MAX) == seen[count - 1]);
	}
	assert_int_equal(help_put_version(f->t, help_id(bytes, 2, 200), 1, 0), 0);
	seen[count++] = last = fingerprint(f->t, 15);
	assert_int_equal(help_sweep(f->t, HELP_BASE_NS), 0);
	assert_true(fingerprint(f->t, 16) == last);
	table_set_ttl(f->t, ttl_ns);
	assert_int_equal(help_sweep(f->t, HELP_BASE_NS + 10 * ttl_ns), 0);
	seen[count++] = fingerprint(f->t, 1000);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			assert_true(seen[i] != seen[j]);
}

static void
test_prefetch(void **state)
{
	struct fixture *f = *state;
	char bytes[HERD_ID_MAX];
	struct table_key key;
	struct herd_fix fix, have;

	for (uint32_t i = 0; i < 300; i++) {
		struct text id = help_id(bytes, i, i % 5 ? 20 : 70);

		table_key_make(f->t, id, &key);
		table_prefetch(f->t, &key, 1); /* of one that is not there */
		assert_int_equal(table_find(f->t, &key, 0, &have), TABLE_E_UNKNOWN);
		help_fix(&fix, id, 1, 0);
		assert_int_equal(help_put(f->t, &fix), 0);
		assert_int_equal(table_find(f->t, &key, 0, &have), 0); /* though prefetched before */
		table_key_make(f->t, id, &key);
		table_prefetch(f->t, &key, 1);
		assert_int_equal(table_find(f->t, &key, 0, &have), 0);
		assert_true(help_same(&fix, &have));
	}
	/* The place was seen, then others came and pushed it out. */
	fill(f->t, 24, 1000, 1000 + 9 * CLIENTS);
	(void)table_find(f->t, &key, 0, &have);
	assert_true(help_same(&fix, &have));
}

/* --- private ---------------------------------------------------------------------------- */

static void
test_private(void **state)
{
	const struct table_options options = {.clients = 100, .long_clients = 10};
	struct table_info info;
	struct table *t = NULL;
	char bytes[HERD_ID_MAX];
	struct herd_fix fix;

	(void)state;
	assert_int_equal(table_open_private(&t, &options), 0);
	assert_true(table_is_private(t));
	assert_int_equal(table_register(t, TABLE_MEMBER, "w0", ""), 0);
	for (uint32_t i = 0; i < 100; i++) {
		help_fix(&fix, help_id(bytes, i, 20), 1, 0);
		assert_int_equal(help_put(t, &fix), 0);
		assert_held(t, &fix);
	}
	assert_int_equal(count_fixes(t, 0), 100);
	assert_int_equal(help_sweep(t, 0), 0);
	assert_int_equal(table_info(t, &info), 0);
	assert_true(info.is_private);
	assert_int_equal(info.used, 100);
	assert_int_equal(table_refresh(t), 0);
	assert_true(table_is_private(t));
	assert_held(t, &fix);
	assert_null(table_free(t));
}

/* --- what is not ours -------------------------------------------------------------------- */

static void
write_file(const char *name, const void *bytes, size_t size, mode_t mode)
{
	int fd = open(help_path(name), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_true(!size || write(fd, bytes, size) == (ssize_t)size);
	close(fd);
}

static void
assert_file(const char *name, const void *bytes, size_t size)
{
	CLEANUP(cleanup_free) char *have = malloc(size + 1);
	int fd = open(help_path(name), O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && have);
	assert_int_equal(read(fd, have, size + 1), size);
	assert_memory_equal(have, bytes, size);
	close(fd);
}

static void
test_foreign_files(void **state)
{
	static const size_t sizes[] = {1, 7, 64, 4095, 4096, 1 << 20};
	CLEANUP(cleanup_free) char *bytes = malloc(1 << 20);
	uint64_t random = random_seed(32);
	struct table *t = NULL;
	char name[HELP_NAME_MAX];

	(void)state;
	assert_non_null(bytes);
	help_name(name);
	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		for (int zero = 0; zero < 2; zero++) {
			for (size_t b = 0; b < sizes[i]; b++)
				bytes[b] = zero ? 0 : (char)random_u64(&random);
			write_file(name, bytes, sizes[i], 0600);
			assert_int_equal(help_open(&t, name, 10, 10, 0), -ENXIO);
			assert_int_equal(table_open_readonly(&t, name, 0), -ENXIO);
			assert_file(name, bytes, sizes[i]);
		}
	}
	assert_int_equal(table_unlink(name), 0);
	assert_int_equal(table_unlink(name), -ENOENT);
}

static void
test_unsafe_files(void **state)
{
	struct fixture *f = *state;
	char link_name[HELP_NAME_MAX], path[HELP_NAME_MAX + 16];
	struct table *t = NULL;

	/* Anybody else may read or write it. */
	for (mode_t mode = 1; mode <= 077; mode++) {
		assert_int_equal(chmod(help_path(f->name), 0600 | mode), 0);
		assert_int_equal(help_open(&t, f->name, 10, 10, 0), -EPERM);
		assert_int_equal(table_open_readonly(&t, f->name, 0), -EPERM);
	}
	assert_int_equal(chmod(help_path(f->name), 0600), 0);
	assert_int_equal(help_open(&t, f->name, 10, 10, 0), 0);
	table_free(t);

	/* A second name for it, then a symbolic one. */
	help_name(link_name);
	snprintf(path, sizeof(path), "%s", help_path(f->name));
	assert_int_equal(link(path, help_path(link_name)), 0);
	assert_int_equal(help_open(&t, f->name, 10, 10, 0), -EPERM);
	assert_int_equal(unlink(help_path(link_name)), 0);
	assert_int_equal(symlink(path, help_path(link_name)), 0);
	assert_int_equal(help_open(&t, link_name, 10, 10, 0), -EPERM);
	assert_int_equal(table_open_readonly(&t, link_name, 0), -EPERM);
	assert_int_equal(unlink(help_path(link_name)), 0);

	/* Not a file; a fifo must not make us wait for a writer. */
	assert_int_equal(mkfifo(help_path(link_name), 0600), 0);
	assert_int_equal(help_open(&t, link_name, 10, 10, 0), -EPERM);
	assert_int_equal(table_open_readonly(&t, link_name, 0), -EPERM);
	assert_int_equal(unlink(help_path(link_name)), 0);
	assert_int_equal(mkdir(help_path(link_name), 0700), 0);
	assert_int_equal(help_open(&t, link_name, 10, 10, 0), -EPERM);
	assert_int_equal(rmdir(help_path(link_name)), 0);

	if (geteuid() == 0) { /* only root can give a file away */
		assert_int_equal(chown(help_path(f->name), 65534, 65534), 0);
		assert_int_equal(help_open(&t, f->name, 10, 10, 0), -EPERM);
		assert_int_equal(chown(help_path(f->name), 0, 0), 0);
	}
}

static void
test_bad_options(void **state)
{
	static const char *const names[] = {"", "/", "/a/b", "/..", "../x", "/."};
	char name[HELP_NAME_MAX], long_name[400];
	struct table *t = NULL;

	(void)state;
	help_name(name);
	assert_true(help_open(&t, name, 0, 1, 0) < 0);
	assert_true(help_open(&t, name, 1, 0, 0) < 0);
	assert_true(help_open(&t, name, UINT32_MAX, 1, 0) < 0);
	for (size_t i = 0; i < ELEMENTS(names); i++)
		assert_true(help_open(&t, names[i], 10, 10, 0) < 0);
	memset(long_name, 'x', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	assert_true(help_open(&t, long_name, 10, 10, 0) < 0);
	assert_int_equal(table_open_readonly(&t, name, 0), -ENOENT); /* nothing was left */
}

/* Descriptors and mappings are given back. */
static int
count_entries(const char *folder_or_file)
{
	FILE *file = fopen(folder_or_file, "re");
	int lines = 0, c;

	assert_non_null(file);
	while ((c = fgetc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

static int
lowest_descriptor(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

/* --- a machine with nothing left ------------------------------------------------------------ */

static void
test_no_room(void **state)
{
	struct table *t = NULL;
	struct statvfs shm;
	char name[HELP_NAME_MAX];

	(void)state;
	/* A table for as many as can be asked for takes 80 GB: refused at once, not after taking it. */
	assert_int_equal(statvfs("/dev/shm", &shm), 0);
	if ((uint64_t)shm.f_blocks * shm.f_frsize > UINT64_C(70) << 30)
		skip();
	help_name(name);
	assert_int_equal(help_open(&t, name, 1 << 27, 1 << 27, 0), -ENOSPC);
	assert_int_equal(table_open_readonly(&t, name, 0), -ENOENT);
	assert_int_equal(help_open(&t, name, 10, 10, 0), 0);
	table_free(t);
}

/* Every way of getting at a table says that there are no descriptors, and works when there are. */
static void
test_no_descriptors(void **state)
{
	const struct table_options private = {.clients = 10, .long_clients = 10};
	struct fixture *f = *state;
	struct rlimit limit, none;
	struct table *t = NULL;
	struct herd_fix fix;
	char name[HELP_NAME_MAX], bytes[HERD_ID_MAX];

	restore_sigbus();
	help_name(name);
	help_fix(&fix, help_id(bytes, 1, 20), 1, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = (rlim_t)lowest_descriptor();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(help_open(&t, f->name, 10, 10, 0), -EMFILE);
	assert_int_equal(help_open(&t, name, 10, 10, 0), -EMFILE);
	assert_int_equal(table_open_readonly(&t, f->name, 0), -EMFILE);
	assert_int_equal(table_open_private(&t, &private), -EMFILE);
	assert_int_equal(table_open_shared(&t, f->t), -EMFILE);
	assert_int_equal(table_refresh(f->t), 0);
	assert_int_equal(table_unlink(f->name), 0);
	assert_int_equal(table_refresh(f->t), -EMFILE);
	assert_int_equal(help_put(f->t, &fix), 0); /* on what it has */
	assert_held(f->t, &fix);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_held(f->t, &fix);

	/* Lost, and not even a private one can be had. */
	assert_int_equal(truncate(help_path(f->name), 0), 0);
	none.rlim_cur = (rlim_t)lowest_descriptor();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(help_put(f->t, &fix), -EFAULT);
	assert_int_equal(table_refresh(f->t), -EMFILE);
	assert_int_equal(help_put(f->t, &fix), -EFAULT);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_int_equal(help_put(f->t, &fix), 0);
}

/* --- damage ---------------------------------------------------------------------------------- */

static uint8_t *
map_file(const char *name, size_t *ret_size)
{
	int fd = open(help_path(name), O_RDWR | O_CLOEXEC);
	struct stat st;
	void *base;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	base = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(base != MAP_FAILED);
	close(fd);
	*ret_size = (size_t)st.st_size;
	return base;
}

/* Any one byte of the constant part wrong: a table of another layout or a damaged one, replaced by
   whoever opens it next; those who use it notice and take their fixes along. */
static void
test_header_damage(void **state)
{
	struct fixture *f = *state;
	char bytes[HERD_ID_MAX];
	struct herd_fix fix;

	for (size_t at = 0; at < 128; at++) {
		struct table *reader = NULL, *writer = NULL;
		size_t size;
		uint8_t *base = map_file(f->name, &size);

		help_fix(&fix, help_id(bytes, (uint32_t)at, 20), at, 0);
		assert_int_equal(help_put(f->t, &fix), 0);
		base[at] ^= 0x10;
		munmap(base, size);
		assert_true(table_open_readonly(&reader, f->name, 0) < 0);
		assert_held(f->t, &fix); /* its own copy of the header holds */
		if (at < 7) {
			/* No table at all, for all one can see; but f->t knows better. */
			assert_int_equal(help_open(&writer, f->name, 10, 10, 0), -ENXIO);
			assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
		} else if (at == 7) {
			/* Another layout, and in use: not ours to remove. */
			assert_int_equal(help_open(&writer, f->name, 10, 10, 0), -EPROTO);
			assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
		} else {
			assert_int_equal(help_open(&writer, f->name, CLIENTS, LONG_CLIENTS, 0), 0);
			assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
			assert_held(writer, &fix);
			table_free(writer);
		}
		assert_int_equal(table_refresh(f->t), 0);
		assert_false(table_is_private(f->t));
		assert_held(f->t, &fix);
		assert_int_equal(table_open_readonly(&reader, f->name, 0), 0);
		assert_held(reader, &fix);
		assert_int_equal(count_fixes(reader, 0), at + 1);
		table_free(reader);
	}
}

static void
test_truncated(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char bytes[HERD_ID_MAX];
	struct herd_fix fix, have;

	restore_sigbus();
	for (off_t divisor = 1; divisor <= 64; divisor *= 2) {
		struct text id = help_id(bytes, (uint32_t)divisor, 20);
		struct table_info info;
		struct table *reader = NULL;
		uint64_t cursor = 0;

		help_fix(&fix, id, 1, 0);
		(void)help_put(f->t, &fix);
		assert_int_equal(stat(help_path(f->name), &st), 0);
		assert_int_equal(truncate(help_path(f->name),
					  divisor == 64 ? 0 : st.st_size / divisor / 4096 * 4096 - 4096),
				 0);
		/* A find may still be lucky; something that looks at everything is not. */
		assert_true(help_find(f->t, id, 0, &have) != TABLE_E_UNKNOWN || divisor == 1);
		while (table_next(f->t, &cursor, 0, &have, NULL) == 0)
			assert_true(cursor < 100000);
		(void)table_info(f->t, &info);
		(void)help_sweep(f->t, 0);
		assert_true(table_open_readonly(&reader, f->name, 0) < 0);

		assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
		assert_false(table_is_private(f->t));
		(void)help_put(f->t, &fix);
		assert_held(f->t, &fix);
		assert_int_equal(table_refresh(f->t), 0);
		assert_int_equal(table_open_readonly(&reader, f->name, 0), 0);
		assert_held(reader, &fix);
		table_free(reader);
	}
}

/* Cut to nothing: every call says so, none crashes, and a refresh starts afresh. */
static void
test_truncated_to_nothing(void **state)
{
	struct fixture *f = *state;
	struct table_process process;
	struct table_info info;
	struct table *other = NULL;
	struct herd_fix fix;
	char bytes[HERD_ID_MAX];
	struct text id = help_id(bytes, 1, 20);
	uint64_t cursor = 0;

	restore_sigbus();
	assert_int_equal(help_open(&other, f->name, 1, 1, 0), 0);
	assert_int_equal(truncate(help_path(f->name), 0), 0);
	assert_int_equal(table_register(other, TABLE_MEMBER, "Bravo", ""), -EFAULT);
	assert_int_equal(help_put_version(f->t, id, 1, 0), -EFAULT);
	assert_int_equal(help_find(f->t, id, 0, &fix), -EFAULT);
	assert_int_equal(table_next(f->t, &cursor, 0, &fix, NULL), -EFAULT);
	assert_int_equal(table_sweep(f->t, &cursor, 10, 0), -EFAULT);
	assert_int_equal(table_info(f->t, &info), -EFAULT);
	assert_int_equal(table_process(f->t, 0, &process), -EFAULT);
	table_count(f->t, TABLE_COUNTER_iamat, 1);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_int_equal(help_put_version(f->t, id, 1, 0), 0);
	assert_int_equal(table_refresh(other), TABLE_E_MOVED);
	assert_int_equal(help_find(other, id, 0, &fix), 0);
	table_free(other);
}

/* The name leads to a stranger's file: members serve on, on what they have. */
static void
test_replaced_by_foreign(void **state)
{
	struct fixture *f = *state;
	struct herd_fix fix;
	char bytes[HERD_ID_MAX];

	help_fix(&fix, help_id(bytes, 1, 20), 1, 0);
	assert_int_equal(help_put(f->t, &fix), 0);
	assert_int_equal(table_unlink(f->name), 0);
	write_file(f->name, "precious", 8, 0600);
	assert_int_equal(table_refresh(f->t), -ENXIO);
	assert_held(f->t, &fix);
	help_fix(&fix, help_id(bytes, 2, 20), 1, 0);
	assert_int_equal(help_put(f->t, &fix), 0);
	assert_int_equal(table_refresh(f->t), -ENXIO);
	assert_file(f->name, "precious", 8);

	assert_int_equal(table_unlink(f->name), 0);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_held(f->t, &fix);
	help_fix(&fix, help_id(bytes, 1, 20), 1, 0);
	assert_held(f->t, &fix);
}

/* The segment is lost and the name leads to a stranger's file: a private table until it does not. */
static void
test_lost_and_foreign(void **state)
{
	struct fixture *f = *state;
	struct table_process process;
	struct herd_fix fix;
	char bytes[HERD_ID_MAX];

	restore_sigbus();
	table_count(f->t, TABLE_COUNTER_iamat, 7);
	assert_int_equal(truncate(help_path(f->name), 0), 0);
	assert_int_equal(table_unlink(f->name), 0);
	write_file(f->name, "precious", 8, 0600);
	help_fix(&fix, help_id(bytes, 1, 20), 1, 0);
	assert_int_equal(help_put(f->t, &fix), -EFAULT);
	assert_int_equal(table_refresh(f->t), -ENXIO);
	assert_true(table_is_private(f->t));
	assert_int_equal(help_put(f->t, &fix), 0);
	assert_held(f->t, &fix);
	assert_int_equal(table_refresh(f->t), -ENXIO);
	assert_true(table_is_private(f->t));
	assert_held(f->t, &fix);
	assert_int_equal(table_unlink(f->name), 0);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_false(table_is_private(f->t));
	assert_held(f->t, &fix);
	assert_true(find_process(f->t, "w0", &process));
	assert_true(process.alive);
}

/* The segment is lost and somebody has taken the name in the next one: private until it is free. */
static void
test_lost_and_name_taken(void **state)
{
	struct fixture *f = *state;
	struct table *other = NULL;
	struct herd_fix fix;
	char bytes[HERD_ID_MAX];

	restore_sigbus();
	assert_int_equal(truncate(help_path(f->name), 0), 0);
	assert_int_equal(help_open_writer(&other, f->name, 10, 10, 0), 0);
	help_fix(&fix, help_id(bytes, 1, 20), 1, 0);
	assert_int_equal(help_put(f->t, &fix), -EFAULT);
	assert_true(table_refresh(f->t) < 0);
	assert_true(table_is_private(f->t));
	assert_int_equal(help_put(f->t, &fix), 0);
	assert_held(f->t, &fix);
	assert_unknown(other, help_id(bytes, 1, 20), 0);
	table_free(other);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_false(table_is_private(f->t));
	assert_held(f->t, &fix);
}

static void
test_unlinked(void **state)
{
	struct fixture *f = *state;
	struct table *other = NULL;
	struct herd_fix a, b;
	char bytes[HERD_ID_MAX];

	assert_int_equal(help_open_writer(&other, f->name, 1, 1, 1), 0);
	help_fix(&a, help_id(bytes, 1, 20), 1, 0);
	assert_int_equal(help_put(f->t, &a), 0);
	table_count(f->t, TABLE_COUNTER_iamat, 7);
	assert_int_equal(table_refresh(f->t), 0);
	assert_int_equal(table_unlink(f->name), 0);
	help_fix(&b, help_id(bytes, 2, 200), 1, 1);
	assert_int_equal(help_put(other, &b), 0);
	assert_held(f->t, &b); /* still the same mapping */
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_held(f->t, &a);
	assert_held(f->t, &b);
	assert_int_equal(help_counter(f->t, TABLE_COUNTER_iamat), 7);
	/* What is told meanwhile to the one left behind comes along with it. */
	help_fix(&b, help_id(bytes, 2, 200), 5, 1);
	assert_int_equal(help_put(other, &b), 0);
	assert_int_equal(table_refresh(other), TABLE_E_MOVED);
	assert_held(f->t, &b);
	assert_held(other, &a);
	assert_int_equal(table_refresh(f->t), 0);
	table_free(other);
}

static void
test_readonly_follows(void **state)
{
	struct fixture *f = *state;
	struct table *reader = NULL;
	struct herd_fix fix;
	char bytes[HERD_ID_MAX];

	restore_sigbus();
	help_fix(&fix, help_id(bytes, 1, 20), 1, 0);
	assert_int_equal(help_put(f->t, &fix), 0);
	assert_int_equal(table_open_readonly(&reader, f->name, 0), 0);
	assert_int_equal(table_unlink(f->name), 0);
	assert_int_equal(table_refresh(reader), -ENOENT);
	assert_held(reader, &fix);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_int_equal(table_refresh(reader), TABLE_E_MOVED);
	assert_held(reader, &fix);
	assert_int_equal(truncate(help_path(f->name), 0), 0);
	assert_int_equal(help_find(reader, help_id(bytes, 1, 20), 0, &fix), -EFAULT);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_int_equal(table_refresh(reader), TABLE_E_MOVED);
	table_free(reader);
}

/* Random bytes over all of it while it is in use. Whatever is found was once put. */
static void
test_garbage_everywhere(void **state)
{
	struct fixture *f = *state;
	uint64_t random = random_seed(33);
	size_t size;
	uint8_t *base = map_file(f->name, &size);

	for (int round = 0; round < 20; round++) {
		struct table_process process;
		struct table_info info;
		struct herd_fix fix;
		uint64_t cursor = 0, version;
		unsigned int writer;
		char bytes[HERD_ID_MAX];

		for (uint32_t i = 0; i < 200; i++)
			(void)help_put_version(f->t, help_id(bytes, i, i % 2 ? 20 : 60), (uint64_t)round, 0);
		for (size_t at = 0; at + 8 <= size; at += 8) {
			uint64_t word = random_u64(&random);

			if (round % 2 || random_below(&random, 50) == 0)
				memcpy(base + at, &word, 8);
		}
		for (uint32_t i = 0; i < 200; i++) {
			int r = help_find(f->t, help_id(bytes, i, i % 2 ? 20 : 60), 0, &fix);

			assert_in_range(r, 0, TABLE_E_LAPPED);
			if (r == 0) { /* names have no checksum: the rest must be right */
				memcpy(fix.server, "w0", 2);
				fix.server_len = 2;
				assert_true(help_check(&fix, &version, &writer));
			}
		}
		while (table_next(f->t, &cursor, 0, &fix, NULL) == 0)
			assert_true(cursor < 100000);
		assert_int_equal(table_info(f->t, &info), 0);
		assert_true(info.used <= info.slots);
		for (uint32_t i = 0; table_process(f->t, i, &process) != TABLE_E_END; i++)
			assert_true(i < 100000);
		(void)help_sweep(f->t, 0);
		/* Locks of nobody, slots of nothing: a put works all the same. */
		assert_int_equal(help_put_version(f->t, help_id(bytes, 7, 20), (uint64_t)(100 + round), 0),
				 0);
	}
	munmap(base, size);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
}

/* Single bits wrong in slots, ids and values: the sweep frees what is damaged, and counts it. */
static void
test_damaged_slots(void **state)
{
	struct fixture *f = *state;
	uint64_t random = random_seed(34), lost = 0, version;
	struct segment_constants constants;
	struct segment_class slots;
	struct table_info info;
	char bytes[HERD_ID_MAX];
	size_t size;
	uint8_t *base = map_file(f->name, &size);

	fill(f->t, 24, 0, CLIENTS);
	assert_int_equal(table_info(f->t, &info), 0);
	memcpy(&constants, base, sizeof(constants));
	slots = constants.class[SEGMENT_SHORT];
	for (int i = 0; i < 3000; i++)
		base[slots.slots_offset +
		     random_below(&random, (size_t)slots.buckets * SEGMENT_WAYS * slots.slot_bytes)] ^=
			(uint8_t)(1 << random_below(&random, 8));
	munmap(base, size);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		int r = help_version(f->t, help_id(bytes, i, 24), &version);

		assert_true(r == TABLE_E_UNKNOWN || (r == 0 && version == i));
		lost += r != 0;
	}
	assert_true(lost > 10);
	assert_int_equal(help_counter(f->t, TABLE_COUNTER_damaged), 0);
	assert_int_equal(help_sweep(f->t, 0), 0);
	assert_int_equal(help_counter(f->t, TABLE_COUNTER_damaged), lost);
	assert_int_equal(count_fixes(f->t, 0), CLIENTS - lost);
	assert_int_equal(table_info(f->t, &info), 0);
	assert_int_equal(info.used, CLIENTS - lost);
	/* All can be told again. */
	for (uint32_t i = 0; i < CLIENTS; i++)
		assert_int_equal(help_put_version(f->t, help_id(bytes, i, 24), 2 * CLIENTS, 0), 0);
	assert_int_equal(count_fixes(f->t, 0), CLIENTS);
}

static void
test_nothing_leaks(void **state)
{
	struct fixture *f = *state;
	const struct table_options private = {.clients = 10, .long_clients = 10};
	int descriptors = 0, mappings = 0;

	restore_sigbus();
	for (int i = 0; i < 200; i++) {
		struct table *t = NULL;
		char name[HELP_NAME_MAX];

		help_name(name);
		assert_int_equal(help_open_writer(&t, name, 10, 10, 1), 0);
		assert_int_equal(table_unlink(name), 0);
		assert_int_equal(table_refresh(t), TABLE_E_MOVED);
		assert_int_equal(truncate(help_path(name), 0), 0);
		assert_int_equal(help_put_version(t, TEXT("x"), 1, 1), -EFAULT);
		assert_int_equal(table_refresh(t), TABLE_E_MOVED);
		table_free(t);
		assert_int_equal(table_unlink(name), 0);
		assert_int_equal(table_open_readonly(&t, name, 0), -ENOENT);
		assert_int_equal(table_open_readonly(&t, f->name, 0), 0);
		table_free(t);
		assert_int_equal(table_open_private(&t, &private), 0);
		table_free(t);
		assert_int_equal(help_open(&t, f->name, 1, 1, 0), 0);
		assert_int_equal(table_register(t, TABLE_MEMBER, "w0", ""), TABLE_E_NAME_TAKEN);
		table_free(t);
		if (i == 100) {
			descriptors = lowest_descriptor();
			mappings = count_entries("/proc/self/maps");
		}
	}
	assert_int_equal(lowest_descriptor(), descriptors);
	assert_in_range(count_entries("/proc/self/maps"), 0, mappings + 2);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_put_and_find),
		TEST(test_id_bytes),
		TEST(test_operands),
		TEST(test_newest_wins),
		TEST(test_merge_in_any_order),
		TEST(test_put_against_merge),
		TEST(test_merge_checks),
		TEST(test_expiry),
		TEST(test_expired_fix_does_not_win),
		TEST(test_sweep_in_steps),
		TEST(test_next_before),
		TEST(test_fingerprint),
		TEST(test_capacity),
		TEST(test_full),
		TEST(test_evicts_the_oldest),
		TEST(test_two_handles),
		TEST(test_shared_and_readonly),
		TEST(test_shared_outlives),
		TEST(test_two_processes),
		TEST(test_names_live_and_die),
		TEST(test_names_are_waited_for),
		TEST(test_names_are_checked),
		TEST(test_registry_fills_and_empties),
		TEST(test_counters),
		TEST(test_many_servers),
		TEST(test_versions_change),
		TEST(test_prefetch),
		TEST(test_private),
		TEST(test_foreign_files),
		TEST(test_unsafe_files),
		TEST(test_bad_options),
		TEST(test_no_room),
		TEST(test_no_descriptors),
		TEST(test_header_damage),
		TEST(test_truncated),
		TEST(test_truncated_to_nothing),
		TEST(test_replaced_by_foreign),
		TEST(test_lost_and_foreign),
		TEST(test_lost_and_name_taken),
		TEST(test_unlinked),
		TEST(test_readonly_follows),
		TEST(test_garbage_everywhere),
		TEST(test_damaged_slots),
		TEST(test_nothing_leaks),
	};

	if (sigaction(SIGBUS, NULL, &table_on_sigbus) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
