/*
 * The snapshot alone: what writing a table to a file and loading it again
 * takes, and how large the file is. With --shm it writes the table of a herd
 * that is there, as its helper would, again and again for --seconds: then
 * others can see what that does to the members.
 *
 * One object of JSON. Times are the clock's, in seconds; _cpu_s is what of it
 * was spent on a core. "burst" is without any rests, "paced" as a helper does
 * it with a minute's interval.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/table.h"
#include "flood/snapshot-job.h"
#include "flood/snapshot-load.h"
#include "usage.h"

enum {
	LOAD_LINES = 4096,
	PACED_WITHIN_S = 30,
};

struct bench {
	uint32_t clients;
	const char *shm; /* of a herd; NULL: our own */
	const char *folder;
	double seconds;
	int idle_share, pin;
};

CLEANUP_POINTER(struct table, table_free);

static double
seconds_since(int64_t start_ns)
{
	return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

static double
cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int
write_once(struct table *t, const char *shm, const char *folder, int64_t within_ns, int idle_share,
	   struct snapshot_outcome *ret)
{
	const struct snapshot_order order = {
		.table = t, .folder = folder, .shm = shm, .within_ns = within_ns, .idle_share = idle_share};
	static _Atomic uint64_t progress;
	static atomic_bool cancel;

	snapshot_write(&order, &cancel, &progress, ret);
	return ret->error;
}

/* --- beside a herd --------------------------------------------------------------- */

static int
write_along(const struct bench *b)
{
	const int64_t start_ns = clock_monotonic_ns();
	CLEANUP(table_freep) struct table *t = NULL;
	struct snapshot_outcome out = {0};
	unsigned int written = 0;
	double cpu_s = cpu_seconds();
	int r = table_open_readonly(&t, b->shm, 0);

	while (r == 0 && seconds_since(start_ns) < b->seconds) {
		r = write_once(t, b->shm, b->folder, PACED_WITHIN_S * CLOCK_SECOND_NS, b->idle_share, &out);
		written += r == 0;
	}
	printf("{\"snapshots\": %u, \"seconds\": %.3f, \"cpu_s\": %.3f, \"fixes\": %" PRIu64
	       ", \"bytes\": %" PRIu64 ", \"last_s\": %.3f}\n",
	       written, seconds_since(start_ns), cpu_seconds() - cpu_s, out.fixes, out.bytes,
	       (double)out.duration_ns / 1e9);
	return r;
}

/* --- alone ------------------------------------------------------------------------ */

/* Ids of 20 to 30 bytes, as clients of the other benches have them. */
static int
fill(struct table *t, uint32_t clients)
{
	static const char *const suffix[] = {".bus.example", ".lab.example.edu", ".kiwi.cs.example.edu"};

	for (uint32_t i = 0; i < clients; i++) {
		char id[64], location[64], time[32];
		int64_t rx_ns = clock_now_ns();
		struct table_report report = {.rx_ns = rx_ns};
		struct table_key key;
		int r;

		snprintf(id, sizeof(id), "u%07u%s", i, suffix[i % 3]);
		snprintf(location, sizeof(location), "+%02u.%06u-%03u.%06u", i % 90, i % 999983, i % 180,
			 i % 999979);
		snprintf(time, sizeof(time), "%jd.%09jd", (intmax_t)(rx_ns / CLOCK_SECOND_NS),
			 (intmax_t)(rx_ns % CLOCK_SECOND_NS));
		report.location = text_of(location);
		report.time = text_of(time);
		(void)fix_time_parse(report.time, &report.client_time);
		table_key_make(t, text_of(id), &key);
		r = table_put(t, &key, &report);
		if (r != 0)
			return r;
	}
	return 0;
}

static int
open_own(struct table **ret, const char *shm, uint32_t clients)
{
	const struct table_options options = {shm, clients, clients / 32 + 64, 0};
	int r = table_open(ret, &options);

	return r == 0 ? table_register(*ret, TABLE_TOOL, "bench", "") : r;
}

/* Reading through it, then merging it, into an empty table. */
static int
load(const char *shm, const char *folder, uint32_t clients, struct snapshot_loaded *ret)
{
	CLEANUP(table_freep) struct table *t = NULL;
	CLEANUP(snapshot_load_freep) struct snapshot_load *l = NULL;
	CLEANUP(cleanup_close) int fd = snapshot_open_folder(folder);
	int r = fd < 0 ? fd : open_own(&t, shm, clients);

	if (r == 0)
		r = snapshot_load_new(&l, fd, shm, 0, NULL, NULL);
	while (r == 0)
		r = snapshot_load_step(l, t, LOAD_LINES);
	if (r != SNAPSHOT_E_END)
		return r;
	*ret = *snapshot_load_result(l);
	return 0;
}

static int
measure_alone(const struct bench *b, const char *shm)
{
	struct snapshot_outcome burst = {0}, paced = {0};
	double load_s, load_cpu_s, burst_cpu_s, paced_cpu_s;
	struct snapshot_loaded loaded = {0};
	struct table *t = NULL;
	int64_t start_ns;
	int r = open_own(&t, shm, b->clients);

	if (r == 0)
		r = fill(t, b->clients);
	burst_cpu_s = cpu_seconds();
	if (r == 0)
		r = write_once(t, shm, b->folder, 0, 0, &burst);
	burst_cpu_s = cpu_seconds() - burst_cpu_s;
	paced_cpu_s = cpu_seconds();
	if (r == 0)
		r = write_once(t, shm, b->folder, PACED_WITHIN_S * CLOCK_SECOND_NS, SNAPSHOT_IDLE_SHARE,
			       &paced);
	paced_cpu_s = cpu_seconds() - paced_cpu_s;
	t = table_free(t);
	(void)table_unlink(shm);
	start_ns = clock_monotonic_ns();
	load_cpu_s = cpu_seconds();
	if (r == 0)
		r = load(shm, b->folder, b->clients, &loaded);
	if (r == 0 && (loaded.merged != b->clients || burst.fixes != b->clients))
		r = -EBADMSG;
	if (r != 0)
		return r;
	load_s = seconds_since(start_ns);
	load_cpu_s = cpu_seconds() - load_cpu_s;
	printf("{\"fixes\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"bytes_per_fix\": %.1f, ", burst.fixes,
	       burst.bytes, (double)burst.bytes / (double)burst.fixes);
	printf("\"burst_write_s\": %.3f, \"burst_write_cpu_s\": %.3f, ", (double)burst.duration_ns / 1e9,
	       burst_cpu_s);
	printf("\"paced_write_s\": %.3f, \"paced_write_cpu_s\": %.3f, ", (double)paced.duration_ns / 1e9,
	       paced_cpu_s);
	printf("\"load_s\": %.3f, \"load_cpu_s\": %.3f}\n", load_s, load_cpu_s);
	return 0;
}

static void
remove_files(const char *folder, const char *shm)
{
	char name[SNAPSHOT_NAME_MAX], path[4096];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, snapshot_name(name, shm, i ? ".1" : ""));
		(void)unlink(path);
	}
}

static int
measure(const struct bench *b)
{
	char shm[64];
	int r;

	if (b->shm) {
		r = write_along(b);
		remove_files(b->folder, b->shm);
		return r;
	}
	snprintf(shm, sizeof(shm), "/herd-bench-snapshot-%d", (int)getpid());
	r = measure_alone(b, shm);
	(void)table_unlink(shm);
	remove_files(b->folder, shm);
	return r;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"clients", 1, NULL, 'n'},
		{"shm", 1, NULL, 's'},
		{"folder", 1, NULL, 'f'},
		{"seconds", 1, NULL, 't'},
		{"pin", 1, NULL, 'p'},
		{"idle-share", 1, NULL, 'i'},
		{0},
	};
	struct bench b = {.clients = 1000000,
			  .folder = "/var/tmp",
			  .seconds = 10,
			  .idle_share = SNAPSHOT_IDLE_SHARE,
			  .pin = -1};
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'n')
			b.clients = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 's')
			b.shm = optarg;
		else if (c == 'f')
			b.folder = optarg;
		else if (c == 't')
			b.seconds = strtod(optarg, NULL);
		else if (c == 'p')
			b.pin = (int)strtol(optarg, NULL, 10);
		else if (c == 'i')
			b.idle_share = (int)strtol(optarg, NULL, 10);
		else
			c = '?';
		if (c == '?') {
			fprintf(stderr,
				"usage: %s [--clients N] [--folder DIR] [--pin CORE]\n"
				"       %s --shm NAME [--seconds S] [--idle-share N] [--folder DIR] [--pin "
				"CORE]\n",
				argv[0], argv[0]);
			return 2;
		}
	}
	r = usage_pin(b.pin);
	if (r == 0)
		r = measure(&b);
	if (r != 0)
		fprintf(stderr, "bench-snapshot: %s\n", r < 0 ? strerror(-r) : "no");
	return r == 0 ? 0 : 1;
}
