/*
 * Plays the helper of a host that has peers, for tests of members: takes
 * changes as the helper does, sleeps and is woken as it is, and confirms each
 * round so long after it was done. Told what to do by lines on its standard
 * input, each answered with one line; gone when that ends, so that it never
 * outlives who started it.
 *
 *   hold      confirm nothing from now on
 *   go        confirm again, and what was held back
 *   delay MS  so long after
 *   count     changes taken, rounds begun, times woken by a datagram, 1 while asleep
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/table.h"
#include "net/wake.h"

enum {
	DONE_MAX = 4096, /* rounds that are not confirmed yet; the oldest of more are forgotten */
	IDLE_ROUNDS = 3,
	BUSY_MS = 1,
	ASLEEP_MS = 1000,
};

struct take {
	const char *shm, *folder;
	struct table *table;
	uint64_t *known; /* only for the first look at the whole table */
	int wake, sender;
	bool is_asleep, is_holding;
	int64_t delay_ns;
	uint64_t changes, round, wakes;
	unsigned int idle;
	struct {
		uint64_t round;
		int64_t due_ns;
	} done[DONE_MAX];
	size_t first, count;
};

static void
on_changed(void *arg, uint64_t slot, const struct herd_fix *fix)
{
	struct take *take = arg;

	(void)slot;
	(void)fix;
	take->changes++;
}

static void
on_gone(void *arg, uint64_t slot)
{
	(void)arg;
	(void)slot;
}

static void
on_wake_member(void *arg, const char *name)
{
	const struct take *take = arg;
	char path[HERD_CONTROL_PATH_MAX];

	if (wake_path(path, take->folder, take->shm, name) == 0)
		(void)wake_send(take->sender, path);
}

static int
run_round(struct take *take)
{
	uint64_t cursor = 0, before = take->changes;
	int r;

	do
		r = table_take_changes(take->table, &cursor, 1000, on_changed, take, &take->round);
	while (r == 0);
	if (r != TABLE_E_END)
		return r;
	take->idle = take->changes == before ? take->idle + 1 : 0;
	if (take->count == DONE_MAX) {
		take->first = (take->first + 1) % DONE_MAX;
		take->count--;
	}
	take->done[(take->first + take->count) % DONE_MAX].round = take->round;
	take->done[(take->first + take->count++) % DONE_MAX].due_ns = clock_monotonic_ns() + take->delay_ns;
	return 0;
}

static void
confirm_due(struct take *take)
{
	uint64_t round = 0;

	while (!take->is_holding && take->count > 0 &&
	       take->done[take->first].due_ns <= clock_monotonic_ns()) {
		round = take->done[take->first].round;
		take->first = (take->first + 1) % DONE_MAX;
		take->count--;
	}
	if (round)
		table_confirm(take->table, round, on_wake_member, take);
}

/* One turn of what the helper does all the time. */
static int
work(struct take *take)
{
	int r = run_round(take);

	if (r == 0 && take->idle >= IDLE_ROUNDS && table_sleep(take->table)) {
		take->is_asleep = true;
		r = run_round(take); /* for writers that were given a number meanwhile */
	}
	return r;
}

/* --- what it is told --------------------------------------------------------------- */

static void
obey(struct take *take, const char *line)
{
	if (strcmp(line, "hold\n") == 0)
		take->is_holding = true;
	else if (strcmp(line, "go\n") == 0)
		take->is_holding = false;
	else if (strncmp(line, "delay ", 6) == 0)
		take->delay_ns = strtoll(line + 6, NULL, 10) * CLOCK_MSEC_NS;
	else if (strcmp(line, "count\n") != 0)
		puts("what?");
	printf("%llu %llu %llu %d\n", (unsigned long long)take->changes, (unsigned long long)take->round,
	       (unsigned long long)take->wakes, take->is_asleep);
	fflush(stdout);
}

static int
run(struct take *take)
{
	struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = take->wake, .events = POLLIN}};
	char line[64], byte;
	int r = 0;

	while (r == 0) {
		bool is_waiting = take->count > 0 && !take->is_holding;

		int n = poll(fds, 2, take->is_asleep && !is_waiting ? ASLEEP_MS : BUSY_MS);

		if (n < 0)
			return -errno;
		if (n == 0 && take->is_asleep && !is_waiting)
			r = run_round(take); /* whoever was to wake us may have died before */
		if (fds[1].revents) {
			while (recv(take->wake, &byte, 1, MSG_DONTWAIT) >= 0)
				take->wakes++;
			take->is_asleep = false;
			take->idle = 0;
		}
		if (fds[0].revents) {
			if (!fgets(line, sizeof(line), stdin))
				return 0;
			obey(take, line);
		}
		if (r == 0 && !take->is_asleep)
			r = work(take);
		confirm_due(take);
	}
	return r;
}

/* --- coming ---------------------------------------------------------------------- */

static int
open_wake(struct take *take)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char path[HERD_CONTROL_PATH_MAX];
	int r = wake_path(path, take->folder, take->shm, NULL);

	if (r < 0)
		return r;
	memcpy(name.sun_path, path, strlen(path) + 1);
	(void)unlink(path);
	take->wake = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (take->wake < 0 || bind(take->wake, (const struct sockaddr *)&name, sizeof(name)) < 0)
		return -errno;
	take->sender = wake_sender();
	return take->sender < 0 ? take->sender : 0;
}

static int
open_all(struct take *take)
{
	const struct table_options options = {.name = take->shm, .clients = 65536, .long_clients = 2048};
	uint64_t cursor = 0;
	int r;

	r = table_open(&take->table, &options);
	if (r == 0)
		r = table_register(take->table, TABLE_HELPER, "flood", "");
	if (r == 0)
		r = open_wake(take);
	if (r != 0)
		return r;
	take->known = calloc(table_slots(take->table) / 64 + 1, sizeof(*take->known));
	if (!take->known)
		return -ENOMEM;
	return table_compare(take->table, &cursor, UINT64_MAX, take->known, on_changed, on_gone, take) ==
			       TABLE_E_END
		       ? 0
		       : -EFAULT;
}

int
main(int argc, char **argv)
{
	static struct take take;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: %s SHM CONTROL-DIR < COMMANDS\n", argv[0]);
		return 64;
	}
	take.shm = argv[1];
	take.folder = argv[2];
	setvbuf(stdin, NULL, _IONBF, 0); /* poll() tells of what is not read yet */
	r = open_all(&take);
	if (r == 0) {
		puts("ready");
		fflush(stdout);
		r = run(&take);
	}
	if (r != 0)
		fprintf(stderr, "table-take: %s\n", r < 0 ? strerror(-r) : "the table refused");
	table_free(take.table);
	free(take.known);
	return r == 0 ? 0 : 1;
}
