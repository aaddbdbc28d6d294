/*
 * Stops one process of the fix table at every instruction of what it does,
 * lets another one work, and lets the first go on: every way in which two can
 * meet with one change of turns. What random threads hit once a week is hit
 * here every time.
 *
 * Per pair an instruction in so many is taken, from another first one each
 * time, so that a few runs see them all; "all" takes every one.
 *
 * table-pause [all] [PAIR]...
 */
#include "stepper.h"

enum {
	POINTS = 350, /* per pair, without "all" */
	CLIENTS_MAX = 64,
	VERSION_OLD = 1000,
	VERSION_BETWEEN = 1500,
	VERSION_FIRST = 2000, /* what the one that is stopped puts */
	VERSION_NEXT = 3000,
	WRITER_OLD = 0,
	WRITER_FIRST = 1,
	WRITER_OTHER = 2,
	REMOTE = 9, /* a server that nobody here is */
	TARGET = 99,
	NEWCOMER = 98,
	LATECOMER = 97,
};

#define NOW_NS (HELP_BASE_NS + (int64_t)VERSION_OLD * 1000)
#define TTL_NS (INT64_C(500) * 1000)

struct pair {
	const char *name;
	uint32_t clients; /* 8: two buckets for all, and prepared full */
	uint32_t target_len;
	int (*first)(struct table *t, const struct pair *p); /* stepped; its answer */
	int (*other)(struct table *t, const struct pair *p); /* while the first stands */
	void (*check)(struct table *t, const struct pair *p, int first, int other); /* when both are done */
	bool is_target_held;
	bool only_reads; /* the first */
};

static struct text
client_id(char bytes[HERD_ID_MAX], uint32_t n, const struct pair *p)
{
	return help_id(bytes, n, n == TARGET ? p->target_len : p->target_len > 40 ? 100 + n % 50 : 24);
}

static int
put(struct table *t, const struct pair *p, uint32_t n, uint64_t version, unsigned int writer)
{
	char bytes[HERD_ID_MAX];

	return help_put_version(t, client_id(bytes, n, p), version, writer);
}

/* The version held; 0 for an unknown client. */
static uint64_t
held(struct table *t, const struct pair *p, uint32_t n)
{
	char bytes[HERD_ID_MAX];
	uint64_t version = 0;
	int r = help_version(t, client_id(bytes, n, p), &version);

	CHECK(r == 0 || r == TABLE_E_UNKNOWN, "find: %d", r);
	return r == 0 ? version : 0;
}

/* --- what the first does ------------------------------------------------------- */

/* What it puts, made before it is stepped, and what it reads, judged afterwards. */
static struct herd_fix first_fix[CLIENTS_MAX];

static int
first_put(struct table *t, const struct pair *p)
{
	(void)p;
	return help_put(t, &first_fix[0]);
}

static int
first_merge(struct table *t, const struct pair *p)
{
	(void)p;
	return table_merge(t, &first_fix[0]);
}

static int
first_sweep(struct table *t, const struct pair *p)
{
	(void)p;
	table_set_ttl(t, TTL_NS);
	return help_sweep(t, NOW_NS);
}

/* Over what it looks for. */
static int
first_find(struct table *t, const struct pair *p)
{
	char bytes[HERD_ID_MAX];
	struct text id = {bytes, p->target_len};

	memcpy(bytes, first_fix[0].id, id.len);
	return help_find(t, id, 0, &first_fix[0]);
}

/* How many. */
static int
first_iterate(struct table *t, const struct pair *p)
{
	uint64_t cursor = 0;
	int count = 0;

	(void)p;
	while (count < CLIENTS_MAX && table_next(t, &cursor, 0, &first_fix[count], NULL) == 0)
		count++;
	return count;
}

static void
first_prepare(const struct pair *p)
{
	char bytes[HERD_ID_MAX];

	help_fix(&first_fix[0], client_id(bytes, TARGET, p), VERSION_FIRST,
		 p->first == first_merge ? REMOTE : WRITER_FIRST);
}

/* For those who read: the version found, 1 for an unknown client; how many iterated; < 0: torn. */
static int
first_judge(const struct pair *p, int r)
{
	uint64_t version = 1;
	unsigned int writer;

	if (p->first == first_find) {
		if (r != 0)
			return r == TABLE_E_UNKNOWN ? 1 : -1000 - r;
		return help_check(&first_fix[0], &version, &writer) ? (int)version : -1;
	}
	for (int i = 0; p->first == first_iterate && i < r; i++)
		if (!help_check(&first_fix[i], &version, &writer))
			return -1;
	return r;
}

/* --- what the other does --------------------------------------------------------- */

static int
other_put_newer(struct table *t, const struct pair *p)
{
	return put(t, p, TARGET, VERSION_NEXT, WRITER_OTHER);
}

static int
other_put_older(struct table *t, const struct pair *p)
{
	return put(t, p, TARGET, VERSION_BETWEEN, WRITER_OTHER);
}

/* Both halves of the slot are written anew. */
static int
other_put_twice(struct table *t, const struct pair *p)
{
	int r = put(t, p, TARGET, VERSION_FIRST, WRITER_OTHER);

	return r ? r : put(t, p, TARGET, VERSION_NEXT, WRITER_OTHER);
}

static int
other_put_newcomer(struct table *t, const struct pair *p)
{
	return put(t, p, NEWCOMER, VERSION_NEXT, WRITER_OTHER);
}

/* Pushes the oldest out, and another one into its slot. */
static int
other_put_two_newcomers(struct table *t, const struct pair *p)
{
	int r = put(t, p, NEWCOMER, VERSION_NEXT, WRITER_OTHER);

	return r ? r : put(t, p, LATECOMER, VERSION_NEXT, WRITER_OTHER);
}

/* Client 0 is the oldest: who is about to be evicted, or freed for its age. */
static int
other_put_oldest(struct table *t, const struct pair *p)
{
	return put(t, p, 0, VERSION_NEXT, WRITER_OTHER);
}

static int
other_merge(struct table *t, const struct pair *p)
{
	char bytes[HERD_ID_MAX];
	struct herd_fix fix;

	help_fix(&fix, client_id(bytes, NEWCOMER, p), VERSION_NEXT, REMOTE + 1);
	return table_merge(t, &fix);
}

static int
other_sweep(struct table *t, const struct pair *p)
{
	int r;

	(void)p;
	table_set_ttl(t, TTL_NS);
	r = help_sweep(t, NOW_NS);
	table_set_ttl(t, 0);
	return r;
}

/* --- what must be when both are done ------------------------------------------------ */

/* No answer but stored, older and busy; and busy only for the one that came while the first had a lock. */
static void
check_answers(int first, int other)
{
	CHECK(first == 0 || first == TABLE_E_OLDER, "first: %d", first);
	CHECK(other == 0 || other == TABLE_E_OLDER || other == TABLE_E_BUSY, "other: %d", other);
}

static void
check_newer_wins(struct table *t, const struct pair *p, int first, int other)
{
	uint64_t version = held(t, p, TARGET);

	check_answers(first, other);
	CHECK(version == (other == 0 ? VERSION_NEXT : VERSION_FIRST), "held: %llu, first %d, other %d",
	      (unsigned long long)version, first, other);
	CHECK(first == 0 || other == 0, "nobody stored");
}

static void
check_first_wins(struct table *t, const struct pair *p, int first, int other)
{
	uint64_t version = held(t, p, TARGET);

	check_answers(first, other);
	CHECK(first == 0 && version == VERSION_FIRST, "held: %llu, first %d, other %d",
	      (unsigned long long)version, first, other);
}

static void
check_both_there(struct table *t, const struct pair *p, int first, int other)
{
	check_answers(first, other);
	CHECK(held(t, p, TARGET) == VERSION_FIRST, "the first is lost");
	CHECK(other == TABLE_E_BUSY || held(t, p, NEWCOMER) == VERSION_NEXT, "the other is lost");
	CHECK(other == TABLE_E_BUSY ||
		      held(t, p, LATECOMER) == (p->other == other_put_two_newcomers ? VERSION_NEXT : 0),
	      "the second of the others");
}

/* What was told again in time is no longer the oldest, and stays. */
static void
check_oldest_saved(struct table *t, const struct pair *p, int first, int other)
{
	uint64_t version = held(t, p, 0);

	CHECK(first == 0, "first: %d", first);
	CHECK(other == 0 || other == TABLE_E_BUSY, "other: %d", other);
	if (other == 0)
		CHECK(version == VERSION_NEXT, "acknowledged, and lost: %llu", (unsigned long long)version);
	if (p->first == first_put)
		CHECK(held(t, p, TARGET) == VERSION_FIRST, "the first is lost");
}

static void
check_swept(struct table *t, const struct pair *p, int first, int other)
{
	check_answers(first, other);
	CHECK(held(t, p, TARGET) == VERSION_FIRST, "the first is lost");
}

static void
check_read(struct table *t, const struct pair *p, int first, int other)
{
	bool may_be_gone = p->clients == 8;

	CHECK(other == 0, "other: %d", other);
	CHECK(first == VERSION_OLD || first == VERSION_FIRST || first == VERSION_NEXT ||
		      (may_be_gone && first == 1),
	      "read: %d", first);
	(void)t;
}

static void
check_iterated(struct table *t, const struct pair *p, int first, int other)
{
	(void)t;
	(void)p;
	CHECK(other == 0, "other: %d", other);
	/* All that were there all the time; the one that came meanwhile, or the one that went, perhaps. */
	CHECK(first >= (p->clients == 8 ? 28 : 13) && first <= (p->clients == 8 ? 31 : 14), "iterated: %d",
	      first);
}

static const struct pair pairs[] = {
	{"insert-insert-newer", 30, 37, first_put, other_put_newer, check_newer_wins, false, false},
	{"insert-insert-older", 30, 37, first_put, other_put_older, check_first_wins, false, false},
	{"insert-insert-long", 30, 200, first_put, other_put_newer, check_newer_wins, false, false},
	{"update-update-newer", 30, 37, first_put, other_put_newer, check_newer_wins, true, false},
	{"update-update-older", 30, 37, first_put, other_put_older, check_first_wins, true, false},
	{"update-update-twice", 30, 37, first_put, other_put_twice, check_newer_wins, true, false},
	{"merge-put-newer", 30, 37, first_merge, other_put_newer, check_newer_wins, true, false},
	{"merge-merge", 30, 37, first_merge, other_merge, check_both_there, false, false},
	{"insert-newcomer", 30, 37, first_put, other_put_newcomer, check_both_there, false, false},
	{"evict-newcomer", 8, 37, first_put, other_put_newcomer, check_both_there, false, false},
	{"evict-two-newcomers", 8, 37, first_put, other_put_two_newcomers, check_both_there, false, false},
	{"evict-save-oldest", 8, 37, first_put, other_put_oldest, check_oldest_saved, false, false},
	{"evict-save-oldest-long", 8, 200, first_put, other_put_oldest, check_oldest_saved, false, false},
	{"sweep-save-oldest", 30, 37, first_sweep, other_put_oldest, check_oldest_saved, true, false},
	{"update-sweep", 30, 37, first_put, other_sweep, check_swept, true, false},
	{"read-update", 30, 37, first_find, other_put_newer, check_read, true, true},
	{"read-update-twice", 30, 37, first_find, other_put_twice, check_read, true, true},
	{"read-update-twice-long", 30, 200, first_find, other_put_twice, check_read, true, true},
	{"read-evicted", 8, 37, first_find, other_put_two_newcomers, check_read, true, true},
	{"read-evicted-long", 8, 200, first_find, other_put_two_newcomers, check_read, true, true},
	{"iterate-update-twice", 30, 37, first_iterate, other_put_twice, check_iterated, true, true},
	{"iterate-evicted", 8, 37, first_iterate, other_put_two_newcomers, check_iterated, true, true},
};

/* --- running a pair --------------------------------------------------------------------- */

struct run {
	const struct pair *pair;
	struct image pristine;
	char name[HELP_NAME_MAX];
	struct path path;
	unsigned long steps, points, busy;
};

/* Twelve clients, the first of them old; or all that two buckets hold, the target or the first the oldest. */
static void
run_prepare(struct run *run)
{
	const struct pair *p = run->pair;
	const bool is_full = p->clients == 8;
	struct table *t = NULL;

	help_name(run->name);
	NEED(help_open_writer(&t, run->name, p->clients, p->clients, WRITER_OLD) == 0);
	if (p->is_target_held)
		NEED(put(t, p, TARGET, VERSION_OLD, WRITER_OLD) == 0);
	for (uint32_t i = 0; i < (is_full ? 30u - p->is_target_held : 12u); i++)
		NEED(put(t, p, i,
			 is_full ? VERSION_OLD + i + p->is_target_held
			 : i	 ? VERSION_OLD
				 : 1,
			 WRITER_OLD) == 0);
	table_free(t);
	image_read(&run->pristine, run->name);
}

static pid_t
run_start(const struct run *run)
{
	struct table *t = NULL;
	pid_t pid;
	int r;

	image_write(&run->pristine, run->name);
	pid = child_fork();
	if (pid == 0) {
		r = run->pair->only_reads ? table_open_readonly(&t, run->name, 0)
					  : help_open_writer(&t, run->name, 1, 1, WRITER_FIRST);
		if (r != 0)
			_exit(1);
		first_prepare(run->pair);
		child_is_ready();
		r = run->pair->first(t, run->pair);
		child_has_done();
		marks->result = first_judge(run->pair, r);
		_exit(0);
	}
	child_wait_ready(pid);
	return pid;
}

static void
run_learn(struct run *run)
{
	pid_t pid = run_start(run);

	path_add(&run->path, child_address(pid));
	while (marks->phase < 2) {
		child_step(pid);
		path_add(&run->path, child_address(pid));
		run->path.before += marks->phase == 0;
		run->steps += marks->phase == 1;
		NEED(run->steps < STEPS_MAX);
	}
	child_finish(pid);
}

/* Everything is whole and there once, and all that is in use. */
static void
check_whole(struct table *t)
{
	char seen[CLIENTS_MAX][HERD_ID_MAX + 1];
	struct table_info info;
	struct herd_fix fix;
	uint64_t cursor = 0, version;
	unsigned int writer, count = 0;

	while (table_next(t, &cursor, 0, &fix, NULL) == 0) {
		CHECK(help_check(&fix, &version, &writer), "torn: %.*s", fix.id_len, fix.id);
		NEED(count < CLIENTS_MAX);
		memcpy(seen[count], fix.id, fix.id_len);
		seen[count][fix.id_len] = '\0';
		for (unsigned int i = 0; i < count; i++)
			CHECK(strcmp(seen[i], seen[count]) != 0, "there twice: %s", seen[i]);
		count++;
	}
	CHECK(table_info(t, &info) == 0 && info.used + info.long_used == count, "%llu in use, %u seen",
	      (unsigned long long)(info.used + info.long_used), count);
	CHECK(help_counter(t, TABLE_COUNTER_stolen) == 0, "a lock was taken from the living");
}

static void
run_point(struct run *run, unsigned long step)
{
	const struct pair *p = run->pair;
	struct table *t = NULL;
	unsigned long wrong = checks_wrong;
	pid_t pid = run_start(run);
	int other;

	/* Before the first starts: it may stop while it has the lock of the servers' names. */
	NEED(help_open_writer(&t, run->name, 1, 1, WRITER_OTHER) == 0);
	if (!child_go_to(pid, &run->path, path_near(&run->path, step))) {
		table_free(t);
		return;
	}
	other = p->other(t, p);
	child_finish(pid);
	p->check(t, p, marks->result, other);
	check_whole(t);
	CHECK(help_sweep(t, 0) == 0 && help_counter(t, TABLE_COUNTER_damaged) == 0, "damaged slots");
	check_whole(t);
	table_free(t);
	if (wrong != checks_wrong)
		checks_note("%s: at instruction %lu", p->name, step);
	run->busy += other == TABLE_E_BUSY;
	run->points++;
}

static void
run_pair(const struct pair *p, bool all, uint64_t *random)
{
	struct run run = {.pair = p};
	unsigned long every;

	run_prepare(&run);
	run_learn(&run);
	every = all ? 1 : run.steps / POINTS + 1;
	for (unsigned long step = 1 + random_below(random, every); step < run.steps; step += every)
		run_point(&run, step);
	CHECK(run.points >= run.steps / every * 9 / 10 && run.points > 0, "only %lu points hit", run.points);
	checks_end("%s: stopped at %lu of %lu instructions, the other had to give up at %lu", p->name,
		   run.points, run.steps, run.busy);
	(void)table_unlink(run.name);
	free(run.pristine.bytes);
	path_done(&run.path);
}

int
main(int argc, char **argv)
{
	bool all = argc > 1 && strcmp(argv[1], "all") == 0;
	uint64_t random = random_seed((uint64_t)clock_now_ns());

	marks_make();
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		bool wanted = argc - all == 1;

		for (int j = 1 + all; j < argc; j++)
			wanted |= strcmp(argv[j], pairs[i].name) == 0;
		if (wanted)
			run_pair(&pairs[i], all, &random);
	}
	return checks_done();
}
