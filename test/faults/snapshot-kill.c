/*
 * Kills the writer of snapshots: first at every system call it makes, before
 * and after, then at random, again and again. Each time what is on the disk
 * must be a whole snapshot of the table as it was before or as it is now, with
 * nothing refused, never older than what was there a moment ago, and what the
 * dead left half written must go away.
 *
 * snapshot-kill [SECONDS]          of the random part, default 8
 */
#include "checks.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#include "../snapshot-help.h"

enum {
	CLIENTS = 1000,
	MANY = 20000,
	STOPS_MAX = 5000,
	ROUNDS_MAX = 1000,
	ROUNDS_MIN = 10,
	LATE_S = 60, /* that a busy machine may take longer for these, and for one kill while it writes */
	KILL_WAIT_US = 60000, /* at most; a snapshot of MANY takes about 15 ms */
};

CLEANUP_POINTER(struct table, table_free);

static char segment[HELP_NAME_MAX], folder[64];

static void
fill(struct table *t, uint32_t clients, uint64_t version)
{
	char bytes[HERD_ID_MAX];

	for (uint32_t i = 0; i < clients; i++)
		NEED(help_put_version(t, help_id(bytes, i, 20), version, 0) == 0);
}

/* Loads what is on the disk into a new table: all of one version, or nothing at all. Returns it; 0: nothing,
   UINT64_MAX: something else. */
static uint64_t
version_on_disk(uint32_t clients, uint64_t *ret_newest)
{
	CLEANUP(table_freep) struct table *t = NULL;
	struct snapshot_loaded loaded;
	uint64_t version, least = UINT64_MAX, most = 0;
	char name[HELP_NAME_MAX], bytes[HERD_ID_MAX];

	help_name(name);
	NEED(help_open_writer(&t, name, clients, 64, 0) == 0);
	NEED(help_load(t, segment, folder, 0, &loaded) == 0);
	(void)table_unlink(name);
	CHECK(help_refusals == 0, "refused: %s", help_refused_why);
	if (!loaded.name[0])
		return 0;
	for (uint32_t i = 0; i < clients; i++) {
		if (help_version(t, help_id(bytes, i, 20), &version) != 0)
			return UINT64_MAX;
		least = version < least ? version : least;
		most = version > most ? version : most;
	}
	*ret_newest = most;
	return least;
}

static void
clean(void)
{
	int fd = snapshot_open_folder(folder);

	(void)snapshot_clean(fd, segment);
	close(fd);
	CHECK(help_count_files(folder) <= 2, "%d files are left", help_count_files(folder));
}

/* --- at every system call -------------------------------------------------------------- */

/* Lets a child go through so many stops, then kills it. False: it came to its end before. */
static bool
kill_after(pid_t child, long stops)
{
	int status;

	NEED(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
	NEED(ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) == 0);
	for (long i = 0; i < stops; i++) {
		NEED(ptrace(PTRACE_SYSCALL, child, 0, 0) == 0);
		NEED(waitpid(child, &status, 0) == child);
		if (WIFEXITED(status)) {
			CHECK(WEXITSTATUS(status) == 0, "the writer failed: %d", WEXITSTATUS(status));
			return false;
		}
		NEED(WIFSTOPPED(status));
	}
	(void)kill(child, SIGKILL); /* our own, stopped, not reaped */
	NEED(waitpid(child, &status, 0) == child);
	return true;
}

static pid_t
start_traced(struct table *t)
{
	const struct snapshot_order order = help_order(t, segment, folder);
	struct snapshot_outcome out;
	pid_t child = fork();

	NEED(child >= 0);
	if (child > 0)
		return child;
	(void)ptrace(PTRACE_TRACEME, 0, 0, 0);
	(void)raise(SIGSTOP);
	_exit(help_obey(&order, &out) == 0 ? 0 : 1);
}

static void
kill_at_every_call(void)
{
	uint64_t before = 0, version = 0, held, newest = 0;
	struct table *t = NULL;
	bool is_killed = true;
	long stops;

	help_name(segment);
	NEED(help_open_writer(&t, segment, CLIENTS, 64, 0) == 0);
	for (stops = 0; is_killed && stops < STOPS_MAX; stops++) {
		fill(t, CLIENTS, ++version);
		is_killed = kill_after(start_traced(t), stops);
		held = version_on_disk(CLIENTS, &newest);
		CHECK(held == before || held == version, "stop %ld: %llu, neither %llu nor %llu", stops,
		      (unsigned long long)held, (unsigned long long)before, (unsigned long long)version);
		CHECK(held == newest, "stop %ld: a mixture", stops);
		CHECK(is_killed || held == version, "it was not written");
		before = held;
		clean();
	}
	CHECK(stops > 40 && stops < STOPS_MAX, "%ld stops", stops);
	table_free(t);
	(void)table_unlink(segment);
	checks_end("killed at each of %ld stops of a writer, before and after every system call", stops - 1);
}

/* --- at random --------------------------------------------------------------------------- */

/* Writes one snapshot after the other, of a table that a process beside it keeps changing. */
static void
write_for_ever(struct table *t)
{
	const struct snapshot_order order = help_order(t, segment, folder);
	struct snapshot_outcome out;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (help_obey(&order, &out) == 0)
		;
	_exit(1);
}

static void
kill_at_random(double seconds)
{
	const int64_t end_ns = clock_monotonic_ns() + (int64_t)(seconds * 1e9);
	const int64_t late_ns = end_ns + LATE_S * CLOCK_SECOND_NS;
	uint64_t random = random_seed(31), version = 1, least = 0, held, newest = 0;
	struct table *t = NULL;
	unsigned int rounds = 0;
	int half = 0;

	help_name(segment);
	NEED(help_open_writer(&t, segment, MANY, 64, 0) == 0);
	fill(t, MANY, version);
	while (clock_monotonic_ns() < (rounds > ROUNDS_MIN && half > 0 ? end_ns : late_ns) &&
	       rounds < ROUNDS_MAX) {
		pid_t child = fork();
		int status;

		NEED(child >= 0);
		if (child == 0)
			write_for_ever(t);
		if (rounds % 2)
			fill(t, MANY, ++version);
		(void)usleep((useconds_t)random_below(&random, KILL_WAIT_US));
		(void)kill(child, SIGKILL);
		NEED(waitpid(child, &status, 0) == child);
		CHECK(WIFSIGNALED(status), "the writer ended by itself: %d", status);
		half += help_count_tmp(folder);
		held = version_on_disk(MANY, &newest);
		/* Fixes that came while it was written may be newer than the others. */
		CHECK(held >= least && newest <= version, "%llu to %llu, and it was %llu before",
		      (unsigned long long)held, (unsigned long long)newest, (unsigned long long)least);
		least = held;
		clean();
		rounds++;
	}
	CHECK(rounds > ROUNDS_MIN, "only %u rounds", rounds);
	CHECK(half > 0, "it was never killed while it wrote");
	table_free(t);
	(void)table_unlink(segment);
	checks_end("killed %u times at random, %d of them while it wrote", rounds, half);
}

int
main(int argc, char **argv)
{
	help_folder(folder);
	kill_at_every_call();
	help_remove_folder(folder);
	help_folder(folder);
	kill_at_random(argc > 1 ? strtod(argv[1], NULL) : 8);
	help_remove_folder(folder);
	return checks_done();
}
