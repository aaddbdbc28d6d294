/*
 * The fix table alone: what storing and reading a fix of a random client costs
 * inside one process, alone and in batches of sixteen that prefetch each
 * other's lines, quiet, while another process writes, and while another takes
 * the changes, as the helper that floods does; and what a client takes of the
 * shared memory. One object of JSON, times in nanoseconds.
 *
 * A member has id and texts in its cache when it comes to the table, so they
 * are made in groups outside the measured time, and every fix is newer than
 * all before it, so that each is stored.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/table.h"
#include "base/histogram.h"
#include "usage.h"

enum {
	BENCH_GROUP = 256,
	BENCH_BATCH = 16,
	BENCH_OPERATIONS = 2000000,
	BENCH_SINGLES = 400000, /* operations timed one by one, for the median */
	BENCH_LIFE_S = 150,	/* nobody waits longer for us */
	BENCH_TIME_LEN = 20,
};

enum { ALONG_END = -1, ALONG_PAUSE, ALONG_WRITE, ALONG_TAKE };

/* Shared with the child. */
struct bench_share {
	_Atomic int along; /* what it shall do */
	_Atomic int ready;
	_Atomic uint64_t writes, taken;
	_Atomic int64_t taking_ns; /* of processor, for those */
};

struct bench {
	struct table *table;
	struct table_options options;
	uint64_t random;
	int64_t time_ns;
	uint64_t wrong; /* unexpected results */
	/* one group of operations, ready to be done */
	char id[BENCH_GROUP][32], time[BENCH_GROUP][BENCH_TIME_LEN];
	struct text ids[BENCH_GROUP];
	struct table_report report[BENCH_GROUP];
};

static uint64_t
bench_random(struct bench *b)
{
	/* xorshift64*: Marsaglia 2003, multiplier by Vigna */
	b->random ^= b->random >> 12;
	b->random ^= b->random << 25;
	b->random ^= b->random >> 27;
	return b->random * UINT64_C(2685821657736338717);
}

static void
bench_make(struct bench *b, unsigned int i, uint32_t client)
{
	static const struct text suffix[4] = {TEXT(".tram.example"), TEXT(".taxi.example.com"),
					      TEXT(".phones.example.org"), TEXT(".kiwi.cs.example.edu")};
	struct table_report *report = &b->report[i];
	char *at = b->id[i];

	*at++ = 'u';
	at = text_put_digits(at, client, 7);
	at = text_put(at, suffix[client % 4]);
	b->ids[i] = (struct text){b->id[i], (size_t)(at - b->id[i])};
	b->time_ns++;
	report->client_time = (struct fix_time){b->time_ns / CLOCK_SECOND_NS,
						(int32_t)(b->time_ns % CLOCK_SECOND_NS)};
	report->rx_ns = b->time_ns;
	report->location = TEXT("+34.068930-118.445127");
	at = text_put_u64(b->time[i], (uint64_t)report->client_time.s);
	*at++ = '.';
	at = text_put_digits(at, (uint32_t)report->client_time.ns, 9);
	report->time = (struct text){b->time[i], (size_t)(at - b->time[i])};
}

/* By the clock, so that of two processes the one that comes later has the newer fix. */
static void
bench_make_group(struct bench *b)
{
	int64_t now_ns = clock_now_ns();

	if (now_ns > b->time_ns)
		b->time_ns = now_ns;
	for (unsigned int i = 0; i < BENCH_GROUP; i++)
		bench_make(b, i, (uint32_t)(((bench_random(b) >> 32) * b->options.clients) >> 32));
}

/* --- operations --------------------------------------------------------- */

typedef void bench_operation(struct bench *b, unsigned int first, unsigned int count);

static void
bench_upsert(struct bench *b, unsigned int first, unsigned int count)
{
	struct table_key key;

	for (unsigned int i = first; i < first + count; i++) {
		table_key_make(b->table, b->ids[i], &key);
		b->wrong += table_put(b->table, &key, &b->report[i]) != 0;
	}
}

static void
bench_read(struct bench *b, unsigned int first, unsigned int count)
{
	struct herd_fix fix;
	struct table_key key;

	for (unsigned int i = first; i < first + count; i++) {
		table_key_make(b->table, b->ids[i], &key);
		b->wrong += table_find(b->table, &key, b->time_ns, &fix) != 0;
	}
}

static void
bench_upsert_batch(struct bench *b, unsigned int first, unsigned int count)
{
	struct table_key key[BENCH_BATCH];

	for (unsigned int at = first; at < first + count; at += BENCH_BATCH) {
		for (unsigned int i = 0; i < BENCH_BATCH; i++)
			table_key_make(b->table, b->ids[at + i], &key[i]);
		table_prefetch(b->table, key, BENCH_BATCH);
		for (unsigned int i = 0; i < BENCH_BATCH; i++)
			b->wrong += table_put(b->table, &key[i], &b->report[at + i]) != 0;
	}
}

static void
bench_read_batch(struct bench *b, unsigned int first, unsigned int count)
{
	struct table_key key[BENCH_BATCH];
	struct herd_fix fix;

	for (unsigned int at = first; at < first + count; at += BENCH_BATCH) {
		for (unsigned int i = 0; i < BENCH_BATCH; i++)
			table_key_make(b->table, b->ids[at + i], &key[i]);
		table_prefetch(b->table, key, BENCH_BATCH);
		for (unsigned int i = 0; i < BENCH_BATCH; i++)
			b->wrong += table_find(b->table, &key[i], b->time_ns, &fix) != 0;
	}
}

/* Per operation, of the middle group: one that another process interrupted does not count. */
static double
bench_mean(struct bench *b, bench_operation *operation)
{
	static struct histogram h;

	memset(&h, 0, sizeof(h));
	for (unsigned int done = 0; done < BENCH_OPERATIONS; done += BENCH_GROUP) {
		int64_t start_ns;

		bench_make_group(b);
		start_ns = clock_monotonic_ns();
		operation(b, 0, BENCH_GROUP);
		histogram_add(&h, (uint64_t)(clock_monotonic_ns() - start_ns), 1);
	}
	return (double)histogram_quantile(&h, 0.5) / BENCH_GROUP;
}

static void
bench_nothing(struct bench *b, unsigned int first, unsigned int count)
{
	(void)b;
	(void)first;
	(void)count;
}

/* A quantile of single operations, what the clock takes included. */
static uint64_t
bench_quantile(struct bench *b, bench_operation *operation, double share)
{
	static struct histogram h;

	memset(&h, 0, sizeof(h));
	for (unsigned int done = 0; done < BENCH_SINGLES; done += BENCH_GROUP) {
		bench_make_group(b);
		for (unsigned int i = 0; i < BENCH_GROUP; i++) {
			int64_t start_ns = clock_monotonic_ns();

			operation(b, i, 1);
			histogram_add(&h, (uint64_t)(clock_monotonic_ns() - start_ns), 1);
		}
	}
	return histogram_quantile(&h, share);
}

static int64_t
bench_median(struct bench *b, bench_operation *operation)
{
	return (int64_t)bench_quantile(b, operation, 0.5) - (int64_t)bench_quantile(b, bench_nothing, 0.5);
}

/* --- the other process -------------------------------------------------- */

static void
bench_on_changed(void *arg, uint64_t slot, const struct herd_fix *fix)
{
	struct bench_share *share = arg;

	(void)slot;
	(void)fix;
	share->taken++;
}

/* A round of changes every millisecond, as the helper that is awake has it. */
static int
bench_take(struct bench *b, struct bench_share *share)
{
	uint64_t cursor = 0, round;
	struct timespec before, after;
	int r;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	do
		r = table_take_changes(b->table, &cursor, BENCH_GROUP, bench_on_changed, share, &round);
	while (r == 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	share->taking_ns += (after.tv_sec - before.tv_sec) * CLOCK_SECOND_NS + after.tv_nsec - before.tv_nsec;
	usleep(1000);
	return r == TABLE_E_END ? 0 : r;
}

/* Has its own handle, as a second member would; starts and stops as it is told. */
static int
bench_go_along(struct bench *b, struct bench_share *share, int core)
{
	int r = usage_pin(core);

	alarm(BENCH_LIFE_S);
	while (r == 0 && share->along == ALONG_PAUSE)
		usleep(1000);
	if (r == 0)
		r = table_open(&b->table, &b->options);
	if (r == 0)
		r = table_register(b->table, TABLE_TOOL, "bench-along", "");
	b->random = 88172645463325252;
	b->time_ns = clock_now_ns();
	share->ready = r == 0 ? 1 : -1;
	while (r == 0 && share->along != ALONG_END) {
		if (share->along == ALONG_PAUSE) {
			usleep(1000);
			continue;
		}
		if (share->along == ALONG_TAKE) {
			r = bench_take(b, share);
			continue;
		}
		bench_make_group(b);
		bench_upsert(b, 0, BENCH_GROUP);
		share->writes += BENCH_GROUP;
	}
	table_free(b->table);
	return r == 0 ? 0 : 1;
}

/* Both processes pick the same clients, so now and then the other's fix is the newer one: that is no fault. */
static int
bench_beside_writer(struct bench *b, struct bench_share *share, double *ret_upsert_ns, double *ret_read_ns,
		    double *ret_other_ns)
{
	uint64_t wrong = b->wrong, writes;
	int64_t start_ns;

	share->along = ALONG_WRITE;
	for (int tries = 0; share->ready == 0 && tries < 10000; tries++)
		usleep(1000);
	if (share->ready != 1)
		return -ECHILD;
	start_ns = clock_monotonic_ns();
	writes = share->writes;
	*ret_upsert_ns = bench_mean(b, bench_upsert);
	b->wrong = wrong;
	*ret_read_ns = bench_mean(b, bench_read);
	*ret_other_ns = (double)(clock_monotonic_ns() - start_ns) / (double)(share->writes - writes + 1);
	share->along = ALONG_PAUSE;
	return 0;
}

/* With the same child, which is ready by now. */
static void
bench_beside_taker(struct bench *b, struct bench_share *share, double *ret_upsert_ns, double *ret_batch_ns,
		   double *ret_take_ns)
{
	share->along = ALONG_TAKE;
	usleep(100000); /* what is marked since long */
	share->taken = 0;
	share->taking_ns = 0;
	*ret_upsert_ns = bench_mean(b, bench_upsert);
	*ret_batch_ns = bench_mean(b, bench_upsert_batch);
	share->along = ALONG_PAUSE;
	*ret_take_ns = (double)share->taking_ns / (double)(share->taken + 1);
}

/* --- all ---------------------------------------------------------------- */

static int
bench_open(struct bench *b)
{
	int r = table_open(&b->table, &b->options);

	if (r == 0)
		r = table_register(b->table, TABLE_TOOL, "bench-table", "");
	return r;
}

/* Every client once. */
static double
bench_fill(struct bench *b)
{
	int64_t total_ns = 0;

	for (uint32_t client = 0; client < b->options.clients; client += BENCH_GROUP) {
		uint32_t left = b->options.clients - client;
		unsigned int count = left < BENCH_GROUP ? left : BENCH_GROUP;
		int64_t start_ns;

		for (unsigned int i = 0; i < count; i++)
			bench_make(b, i, client + i);
		start_ns = clock_monotonic_ns();
		bench_upsert(b, 0, count);
		total_ns += clock_monotonic_ns() - start_ns;
	}
	return (double)total_ns / b->options.clients;
}

static int
bench_run(struct bench *b, struct bench_share *share)
{
	double insert_ns, upsert_ns, read_ns, upsert_beside_ns = 0, read_beside_ns = 0, other_ns = 0;
	double upsert_taken_ns, batch_taken_ns, take_ns;
	struct table_info info;
	int r = bench_open(b);

	if (r != 0)
		return r;
	b->time_ns = clock_now_ns();
	insert_ns = bench_fill(b);
	r = table_info(b->table, &info);
	if (r != 0)
		return r;
	upsert_ns = bench_mean(b, bench_upsert);
	read_ns = bench_mean(b, bench_read);
	printf("{\"clients\": %u, \"insert_ns\": %.1f, \"upsert_ns\": %.1f, \"read_ns\": %.1f, ",
	       b->options.clients, insert_ns, upsert_ns, read_ns);
	printf("\"upsert_p50_ns\": %" PRId64 ", \"read_p50_ns\": %" PRId64 ", ",
	       bench_median(b, bench_upsert), bench_median(b, bench_read));
	printf("\"upsert_p99_ns\": %" PRIu64 ", \"read_p99_ns\": %" PRIu64 ", ",
	       bench_quantile(b, bench_upsert, 0.99), bench_quantile(b, bench_read, 0.99));
	printf("\"upsert_batch_ns\": %.1f, \"read_batch_ns\": %.1f, ", bench_mean(b, bench_upsert_batch),
	       bench_mean(b, bench_read_batch));
	r = bench_beside_writer(b, share, &upsert_beside_ns, &read_beside_ns, &other_ns);
	if (r != 0)
		return r;
	printf("\"upsert_beside_ns\": %.1f, \"upsert_ratio\": %.3f, \"read_beside_ns\": %.1f, "
	       "\"read_ratio\": %.3f, \"other_upsert_ns\": %.1f, ",
	       upsert_beside_ns, upsert_beside_ns / upsert_ns, read_beside_ns, read_beside_ns / read_ns,
	       other_ns);
	bench_beside_taker(b, share, &upsert_taken_ns, &batch_taken_ns, &take_ns);
	printf("\"upsert_taken_ns\": %.1f, \"upsert_batch_taken_ns\": %.1f, \"take_ns\": %.1f, ",
	       upsert_taken_ns, batch_taken_ns, take_ns);
	printf("\"segment_bytes\": %" PRIu64 ", \"bytes_per_client\": %.1f, \"evicted\": %" PRIu64
	       ", \"wrong\": %" PRIu64 "}\n",
	       info.bytes, (double)info.bytes / b->options.clients, info.evicted, b->wrong);
	return 0;
}

struct bench_arguments {
	uint32_t clients;
	int pin, writer_pin;
};

static int
bench_parse(int argc, char **argv, struct bench_arguments *ret)
{
	struct bench_arguments a = {1000000, -1, -1};

	for (int i = 1; i + 1 < argc; i += 2) {
		long value = strtol(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--clients") == 0 && value >= 1024 && value < 10000000)
			a.clients = (uint32_t)value;
		else if (strcmp(argv[i], "--pin") == 0 && value >= 0)
			a.pin = (int)value;
		else if (strcmp(argv[i], "--writer-pin") == 0 && value >= 0)
			a.writer_pin = (int)value;
		else
			return -EINVAL;
	}
	*ret = a;
	return argc % 2 == 1 ? 0 : -EINVAL;
}

int
main(int argc, char **argv)
{
	static struct bench b;
	struct bench_arguments arguments;
	struct bench_share *share;
	char name[64];
	pid_t child;
	int r;

	if (bench_parse(argc, argv, &arguments) < 0) {
		fprintf(stderr, "usage: %s [--clients N] [--pin CORE] [--writer-pin CORE]\n", argv[0]);
		return 2;
	}
	snprintf(name, sizeof(name), "/herd-bench-table-%d", (int)getpid());
	b.options = (struct table_options){
		.name = name, .clients = arguments.clients, .long_clients = arguments.clients / 32};
	b.random = (uint64_t)clock_now_ns();
	share = mmap(NULL, sizeof(*share), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (share == MAP_FAILED)
		return 1;
	/* Before the table is open: a handle, with its lock, belongs to one process. */
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(bench_go_along(&b, share, arguments.writer_pin));
	}
	r = usage_pin(arguments.pin);
	if (r == 0)
		r = child < 0 ? -errno : bench_run(&b, share);
	if (r != 0)
		fprintf(stderr, "bench-table: %s\n", r < 0 ? strerror(-r) : "the table said no");
	share->along = ALONG_END;
	if (child > 0 && r != 0)
		kill(child, SIGKILL); /* our own, and not reaped yet */
	if (child > 0)
		waitpid(child, NULL, 0);
	table_free(b.table);
	table_unlink(name);
	return r == 0 ? 0 : 1;
}
