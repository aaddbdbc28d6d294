/*
 * Kills writers of the fix table at random, thousands of times.
 *
 * Two writers report for the same clients, a keeper sweeps, two readers check
 * all they read. Every few milliseconds one of the writers or the keeper gets
 * SIGKILL and a new one takes its name. Versions come from one counter, and a
 * writer notes in a page of its own what the table acknowledged, after
 * table_put() returned; a reader looks at that note, then reads: what it finds
 * must be whole, of that client, and at least as new. A second part does the
 * same with many times more clients than the table holds; there, eviction
 * drops what was acknowledged, so that only the rest is checked.
 *
 * A taker of changes is killed as well. It notes what it was told of, and one
 * that is new begins with a look at all there is, as the helper does. In the
 * end the last it was told of each client must be what is in the table; and
 * what it finds by comparing, and was not told of by a mark, is counted:
 * nothing. The last, and not the newest: where clients are evicted, a writer
 * that was late may bring an older fix back.
 *
 * table-kill [SECONDS]          all in all, default 10
 */
#include "checks.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "../table-help.h"

enum {
	WRITERS = 2,
	KEEPER = WRITERS, /* its number among the workers */
	TAKER,
	READERS = 2,
	WORKERS = TAKER + 1 + READERS,
	CLIENTS_MAX = 16384,
	LONG_EVERY = 8, /* every eighth id is a long one */
	BUSY_TRIES = 1000,
	KILL_WAIT_US = 3000, /* at most, between two kills */
};

struct part {
	const char *name;
	uint32_t clients;		  /* that report */
	uint32_t capacity, long_capacity; /* of the table */
	bool is_acknowledged;		  /* nothing is evicted: what was acknowledged must be there */
};

/* Shared by all processes of a part, and never by the table. */
struct board {
	_Atomic uint64_t next_version;
	_Atomic uint64_t acknowledged[CLIENTS_MAX];
	_Atomic uint64_t told[CLIENTS_MAX];		/* to the taker: the last version */
	_Atomic uint64_t puts[WORKERS], reads[WORKERS]; /* progress */
	_Atomic uint64_t torn, missing, older, stuck, strange, lapped, busy;
	_Atomic uint64_t taken, sleeps, unmarked;
	_Atomic bool stop;
};

static struct board *board;
static char segment[HELP_NAME_MAX];

static struct text
client_id(char bytes[HERD_ID_MAX], uint32_t n)
{
	return help_id(bytes, n, n % LONG_EVERY ? 12 + n % 29 : 41 + n % 200);
}

static void
note(_Atomic uint64_t *which)
{
	atomic_fetch_add(which, 1);
}

static void
raise_to(_Atomic uint64_t *which, uint64_t version)
{
	uint64_t held = atomic_load(which);

	while (held < version && !atomic_compare_exchange_weak(which, &held, version))
		;
}

/* --- what the processes do ------------------------------------------------------ */

static struct table *
worker_table(const struct part *part, unsigned int number)
{
	struct table *t = NULL;
	int r;

	/* The one before was waited for: its name is free at once. */
	r = help_open_writer(&t, segment, part->capacity, part->long_capacity, number);
	if (r == 0)
		return t;
	note(&board->stuck);
	fprintf(stderr, "worker %u cannot register: %d\n", number, r);
	_exit(1);
}

static void
write_one(struct table *t, unsigned int number, uint32_t client, uint64_t version)
{
	char bytes[HERD_ID_MAX];
	struct text id = client_id(bytes, client);
	int r = TABLE_E_BUSY;

	/* BUSY is an answer: the owner of the bucket lives and waits for its processor. */
	for (int try = 0; try < BUSY_TRIES && r == TABLE_E_BUSY; try++) {
		r = help_put_version(t, id, version, number);
		if (r == TABLE_E_BUSY) {
			note(&board->busy);
			usleep(100);
		}
	}
	if (r == 0 || r == TABLE_E_OLDER)
		raise_to(&board->acknowledged[client], version);
	else
		note(r == TABLE_E_BUSY ? &board->stuck : &board->strange);
	note(&board->puts[number]);
}

static void
work_writer(const struct part *part, unsigned int number, uint64_t random)
{
	struct table *t = worker_table(part, number);

	while (!atomic_load(&board->stop)) {
		/* Some clients are hot, so that writers meet. */
		uint32_t client = (uint32_t)(random_below(&random, 4) ? random_below(&random, part->clients)
								      : random_below(&random, 8));

		write_one(t, number, client, atomic_fetch_add(&board->next_version, 1));
	}
}

/* The helper: a sweep must find nothing to free but dead locks. */
static void
work_keeper(const struct part *part, unsigned int number)
{
	struct table *t = worker_table(part, number);

	while (!atomic_load(&board->stop)) {
		if (help_sweep(t, 0) != 0)
			note(&board->strange);
		note(&board->puts[number]);
		usleep(200);
	}
}

static void
on_changed(void *arg, uint64_t slot, const struct herd_fix *fix)
{
	uint64_t version, *known = arg;
	unsigned int writer;
	unsigned long client = strtoul(fix->id + 1, NULL, 10);

	known[slot / 64] |= UINT64_C(1) << slot % 64;
	note(&board->taken);
	if (!help_check(fix, &version, &writer) || client >= CLIENTS_MAX)
		note(&board->torn);
	else
		atomic_store(&board->told[client], version);
}

static void
on_unmarked(void *arg, uint64_t slot, const struct herd_fix *fix)
{
	note(&board->unmarked);
	on_changed(arg, slot, fix);
}

static void
on_gone(void *arg, uint64_t slot)
{
	(void)arg;
	(void)slot;
}

/* Rounds until one finds nothing. */
static void
take_all(struct table *t, uint64_t *known)
{
	uint64_t cursor = 0, before, round;
	int r;

	do {
		before = atomic_load(&board->taken);
		do
			r = table_take_changes(t, &cursor, 100, on_changed, known, &round);
		while (r == 0);
		if (r != TABLE_E_END)
			note(&board->strange);
	} while (atomic_load(&board->taken) != before && !atomic_load(&board->stop));
}

static void
compare_all(struct table *t, uint64_t *known, table_change_fn *changed)
{
	uint64_t cursor = 0;

	if (table_compare(t, &cursor, UINT64_MAX, known, changed, on_gone, known) != TABLE_E_END)
		note(&board->strange);
}

/* The helper that floods. What the one before it had taken and not noted, it finds because it knows nothing. */
static void
work_taker(const struct part *part, unsigned int number)
{
	struct table *t = worker_table(part, number);
	uint64_t *known = calloc((size_t)table_slots(t) / 64 + 1, sizeof(*known));

	NEED(known);
	compare_all(t, known, on_changed);
	while (!atomic_load(&board->stop)) {
		take_all(t, known);
		if (table_sleep(t))
			note(&board->sleeps);
		table_wake(t);
		note(&board->puts[number]);
	}
	free(known);
}

static void
read_one(const struct part *part, struct table *t, uint32_t client)
{
	/* The note first: what it says was in the table before we look. */
	uint64_t at_least = atomic_load(&board->acknowledged[client]), version = 0;
	char bytes[HERD_ID_MAX];
	int r = TABLE_E_LAPPED;

	for (int try = 0; try < 100 && r == TABLE_E_LAPPED; try++) {
		r = help_version(t, client_id(bytes, client), &version);
		if (r == TABLE_E_LAPPED)
			note(&board->lapped);
	}
	if (r == -EBADMSG)
		note(&board->torn);
	else if (r == TABLE_E_UNKNOWN && at_least && part->is_acknowledged)
		note(&board->missing);
	else if (r == 0 && version < at_least && part->is_acknowledged)
		note(&board->older);
	else if (r != 0 && r != TABLE_E_UNKNOWN)
		note(&board->strange);
}

static void
read_all(struct table *t)
{
	struct herd_fix fix;
	uint64_t cursor = 0, version;
	unsigned int writer;
	int r;

	while ((r = table_next(t, &cursor, 0, &fix, NULL)) == 0)
		if (!help_check(&fix, &version, &writer) || writer >= WRITERS)
			note(&board->torn);
	if (r != TABLE_E_END)
		note(&board->strange);
}

static void
work_reader(const struct part *part, unsigned int number, uint64_t random)
{
	struct table *t = NULL;

	if (table_open_readonly(&t, segment, 0) != 0) {
		note(&board->stuck);
		_exit(1);
	}
	for (unsigned int i = 0; !atomic_load(&board->stop); i++) {
		read_one(part, t,
			 (uint32_t)(random_below(&random, 4) ? random_below(&random, part->clients)
							     : random_below(&random, 8)));
		if (i % 20000 == 0)
			read_all(t);
		note(&board->reads[number]);
	}
}

static pid_t
worker_start(const struct part *part, unsigned int number, uint64_t seed)
{
	pid_t parent = getpid(), pid;

	fflush(stdout);
	pid = fork();
	NEED(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (number < WRITERS)
		work_writer(part, number, seed);
	else if (number == KEEPER)
		work_keeper(part, number);
	else if (number == TAKER)
		work_taker(part, number);
	else
		work_reader(part, number, seed);
	_exit(0);
}

/* --- the killer -------------------------------------------------------------------- */

struct figures {
	unsigned long kills, steals;
};

/* Kills one writer, or the keeper or the taker now and then, and starts its successor. */
static void
kill_one(const struct part *part, pid_t *pids, uint64_t *random, struct table *spy, struct figures *f)
{
	unsigned int number = (unsigned int)(random_below(random, 4) ? random_below(random, WRITERS)
								     : KEEPER + random_below(random, 2));
	struct table_process process;
	int r, status;

	NEED(kill(pids[number], SIGKILL) == 0 && waitpid(pids[number], &status, 0) == pids[number]);
	if (!WIFSIGNALED(status))
		note(&board->stuck); /* it had given up by itself */
	/* Its counters stand until somebody takes its entry over. */
	for (uint32_t i = 0; (r = table_process(spy, i, &process)) != TABLE_E_END; i++)
		if (r == 0 && process.pid == pids[number])
			f->steals += process.counter[TABLE_COUNTER_stolen];
	pids[number] = worker_start(part, number, random_u64(random));
	f->kills++;
}

static void
kill_for(const struct part *part, pid_t *pids, uint64_t *random, int64_t wait_ns, struct figures *f)
{
	int64_t end_ns = clock_monotonic_ns() + wait_ns;
	struct table *spy = NULL;

	NEED(table_open_readonly(&spy, segment, 0) == 0);
	while (clock_monotonic_ns() < end_ns) {
		usleep((useconds_t)random_below(random, KILL_WAIT_US));
		kill_one(part, pids, random, spy, f);
	}
	table_free(spy);
}

/* Every worker still goes on: waits, bounded, until each has done something more. */
static void
check_progress(void)
{
	uint64_t puts[WORKERS], reads[WORKERS];
	int64_t end_ns = clock_monotonic_ns() + 20 * CLOCK_SECOND_NS;

	for (int i = 0; i < WORKERS; i++) {
		puts[i] = atomic_load(&board->puts[i]);
		reads[i] = atomic_load(&board->reads[i]);
	}
	for (int i = 0; i < WORKERS; i++) {
		while (atomic_load(&board->puts[i]) == puts[i] && atomic_load(&board->reads[i]) == reads[i] &&
		       clock_monotonic_ns() < end_ns)
			usleep(1000);
		CHECK(clock_monotonic_ns() < end_ns, "worker %d is stuck", i);
	}
}

/* With everybody gone: the next taker is told of all that is there, and marks are enough for that, but for what
   the last one had taken and not noted. */
static void
check_told(struct table *t)
{
	uint64_t *known = calloc((size_t)table_slots(t) / 64 + 1, sizeof(*known));
	uint64_t cursor = 0, version = 0;
	unsigned int writer;
	struct herd_fix fix;

	NEED(known);
	atomic_store(&board->stop, false);
	take_all(t, known);
	/* It was told to stop, and not killed: it has noted all it took. */
	while (table_next(t, &cursor, 0, &fix, NULL) == 0) {
		unsigned long client = strtoul(fix.id + 1, NULL, 10);

		NEED(client < CLIENTS_MAX);
		CHECK(help_check(&fix, &version, &writer), "torn at the end");
		CHECK(atomic_load(&board->told[client]) == version, "client %lu has %llu, told was %llu",
		      client, (unsigned long long)version, (unsigned long long)board->told[client]);
		known[(cursor - 1) / 64] |= UINT64_C(1) << (cursor - 1) % 64;
	}
	compare_all(t, known, on_unmarked);
	CHECK(board->unmarked == 0, "%llu were dirty without a mark", (unsigned long long)board->unmarked);
	CHECK(table_sleep(t), "something is marked still");
	free(known);
}

/* With everybody gone: each client once, as new as acknowledged, and writable. */
static void
check_end(const struct part *part)
{
	static uint8_t seen[CLIENTS_MAX];
	struct table *t = NULL;
	struct table_info info;
	struct herd_fix fix;
	uint64_t cursor = 0, version, count = 0;
	unsigned int writer;
	char bytes[HERD_ID_MAX];

	memset(seen, 0, sizeof(seen));
	NEED(help_open_writer(&t, segment, 1, 1, 1) == 0);
	check_told(t);
	while (table_next(t, &cursor, 0, &fix, NULL) == 0) {
		uint32_t client = (uint32_t)strtoul(fix.id + 1, NULL, 10);

		CHECK(help_check(&fix, &version, &writer), "torn at the end: %.*s", fix.id_len, fix.id);
		NEED(client < CLIENTS_MAX);
		CHECK(seen[client]++ == 0, "client %u is there twice", client);
		count++;
	}
	CHECK(table_info(t, &info) == 0 && info.used + info.long_used == count, "%llu in use, %llu seen",
	      (unsigned long long)(info.used + info.long_used), (unsigned long long)count);
	for (uint32_t i = 0; i < part->clients; i++)
		read_one(part, t, i);
	for (uint32_t i = 0; i < part->clients; i++) {
		int r = help_put_version(t, client_id(bytes, i), atomic_fetch_add(&board->next_version, 1),
					 1);

		CHECK(r == 0, "client %u cannot be written: %d", i, r);
	}
	CHECK(help_sweep(t, 0) == 0 && help_counter(t, TABLE_COUNTER_damaged) == 0, "damaged slots");
	CHECK(help_counter(t, TABLE_COUNTER_expired) == 0, "expired without an age limit");
	CHECK(part->is_acknowledged ? info.evicted == 0 : info.evicted > 0, "%llu evicted",
	      (unsigned long long)info.evicted);
	table_free(t);
}

static void
run_part(const struct part *part, int64_t wait_ns, uint64_t *random)
{
	struct figures f = {0};
	uint64_t puts = 0, reads = 0;
	pid_t pids[WORKERS];
	struct table *t = NULL;

	memset((void *)board, 0, sizeof(*board));
	atomic_store(&board->next_version, 1);
	help_name(segment);
	/* Made here, so that the readers find it; and closed, so that no child inherits its descriptor. */
	NEED(help_open(&t, segment, part->capacity, part->long_capacity, 0) == 0);
	table_free(t);
	for (unsigned int i = 0; i < WORKERS; i++)
		pids[i] = worker_start(part, i, random_u64(random));
	kill_for(part, pids, random, wait_ns, &f);
	check_progress();
	atomic_store(&board->stop, true);
	for (int i = 0; i < WORKERS; i++) {
		int status;

		NEED(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "worker %d ended with %#x", i, status);
		puts += i < WRITERS ? atomic_load(&board->puts[i]) : 0;
		reads += atomic_load(&board->reads[i]);
	}
	check_end(part);
	CHECK(f.kills >= 50, "only %lu kills", f.kills);
#define ZERO(what) CHECK(board->what == 0, #what ": %llu", (unsigned long long)board->what)
	ZERO(torn);
	ZERO(missing);
	ZERO(older);
	ZERO(stuck);
	ZERO(strange);
	checks_end("%s: %lu kills, %lu locks taken from the dead, %llu puts, %llu reads, %llu busy, %llu "
		   "lapped, "
		   "%llu changes taken, %llu sleeps",
		   part->name, f.kills, f.steals, (unsigned long long)puts, (unsigned long long)reads,
		   (unsigned long long)board->busy, (unsigned long long)board->lapped,
		   (unsigned long long)board->taken, (unsigned long long)board->sleeps);
	(void)table_unlink(segment);
}

int
main(int argc, char **argv)
{
	static const struct part parts[] = {
		{"512 clients", 512, 512, 64, true},
		{"nine times over-full", 9 * 512, 512, 64, false},
		{"two buckets for all", 64, 16, 4, false},
	};
	const size_t count = sizeof(parts) / sizeof(parts[0]);
	long seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 10;
	uint64_t random = random_seed((uint64_t)clock_now_ns());

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(board != MAP_FAILED && seconds > 0);
	for (size_t i = 0; i < count; i++)
		run_part(&parts[i], seconds * CLOCK_SECOND_NS / (int64_t)count, &random);
	return checks_done();
}
