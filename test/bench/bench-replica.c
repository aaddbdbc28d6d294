/*
 * The replica alone: what a line of a peer costs the helper, from its bytes to
 * the list and the digest, for news and for what is known already; what it
 * costs to find a change by a member, and to make the line for a peer; how long
 * a helper takes to learn what is in the table, and its memory. One object of
 * JSON, CPU time in nanoseconds.
 *
 * Lines are made in groups outside the measured time, of clients at random, and
 * each is newer than all before it. What counts is the middle of all groups, so
 * that one which another process interrupted does not.
 */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/message.h"
#include "flood/replica.h"
#include "base/histogram.h"
#include "usage.h"

enum {
	BENCH_GROUP = 256,
	BENCH_LINES = 1000000, /* per figure */
	BENCH_SERVERS = 300,
};

#define BENCH_TTL_NS (7 * 86400 * CLOCK_SECOND_NS)

struct bench {
	struct table_options options;
	struct table *helper, *member;
	struct replica *replica;
	unsigned int peer[2]; /* who tells, and who is told */
	uint64_t random;
	int64_t time_ns;
	uint64_t wrong; /* unexpected results */
	/* one group, ready */
	struct herd_fix fix[BENCH_GROUP];
	char line[BENCH_GROUP][HERD_AT_MAX];
	struct text lines[BENCH_GROUP]; /* less their line ends */
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
	struct herd_fix *fix = &b->fix[i];
	char *end;

	b->time_ns++;
	fix->rx_ns = b->time_ns + 1000;
	end = text_put_digits(text_put(fix->id, TEXT("u")), client, 7);
	fix->id_len = (uint8_t)(text_put(end, suffix[client % 4]) - fix->id);
	fix->location_len = (uint8_t)(text_put(fix->location, TEXT("+34.068930-118.445127")) - fix->location);
	end = text_put_u64(fix->time, (uint64_t)(b->time_ns / CLOCK_SECOND_NS));
	*end++ = '.';
	fix->time_len = (uint8_t)(text_put_digits(end, (uint32_t)(b->time_ns % CLOCK_SECOND_NS), 9) -
				  fix->time);
	end = text_put_u64(text_put(fix->server, TEXT("Server-")), bench_random(b) % BENCH_SERVERS);
	fix->server_len = (uint8_t)(end - fix->server);
	end = message_put_fix(b->line[i], fix);
	b->lines[i] = (struct text){b->line[i], (size_t)(end - b->line[i] - 1)};
}

static void
bench_make_group(struct bench *b)
{
	for (unsigned int i = 0; i < BENCH_GROUP; i++)
		bench_make(b, i, (uint32_t)(((bench_random(b) >> 32) * b->options.clients) >> 32));
}

/* --- operations ----------------------------------------------------------- */

/* As a link does it. */
static void
bench_line(struct bench *b, struct text line, int expected)
{
	struct message_at at;
	struct herd_fix fix;

	if (!message_parse_at(line, &at)) {
		b->wrong++;
		return;
	}
	fix.rx_ns = at.rx_ns;
	fix.id_len = (uint8_t)(text_put(fix.id, at.id) - fix.id);
	fix.location_len = (uint8_t)(text_put(fix.location, at.location) - fix.location);
	fix.time_len = (uint8_t)(text_put(fix.time, at.time) - fix.time);
	fix.server_len = (uint8_t)(text_put(fix.server, at.server) - fix.server);
	b->wrong += replica_merge(b->replica, b->peer[0], &fix, b->time_ns) != expected;
}

static void
bench_news(struct bench *b)
{
	for (unsigned int i = 0; i < BENCH_GROUP; i++)
		bench_line(b, b->lines[i], 0);
}

static void
bench_known(struct bench *b)
{
	for (unsigned int i = 0; i < BENCH_GROUP; i++)
		bench_line(b, b->lines[i], REPLICA_E_OLDER);
}

static void
bench_drain(struct bench *b)
{
	int r;

	do
		r = replica_drain(b->replica, BENCH_GROUP, b->time_ns);
	while (r == 0);
	b->wrong += r != REPLICA_E_END;
}

static void
bench_next(struct bench *b)
{
	char line[HERD_AT_MAX];
	struct herd_fix fix;

	for (unsigned int i = 0; i < BENCH_GROUP; i++) {
		b->wrong += replica_next(b->replica, b->peer[1], b->time_ns, &fix) != 0;
		b->wrong += message_put_fix(line, &fix) == line;
	}
}

/* --- what comes before an operation, not measured ------------------------------ */

static void
bench_before_known(struct bench *b)
{
	bench_make_group(b);
	bench_news(b);
}

static void
bench_before_next(struct bench *b)
{
	if (replica_lag_changes(b->replica, b->peer[1]) < BENCH_GROUP)
		replica_rewind(b->replica, b->peer[1], 0);
}

/* Members' fixes, where they are found by their marks. */
static void
bench_before_drain(struct bench *b)
{
	struct table_report report;
	struct table_key key;

	bench_make_group(b);
	for (unsigned int i = 0; i < BENCH_GROUP; i++) {
		const struct herd_fix *fix = &b->fix[i];

		report = (struct table_report){.location = {fix->location, fix->location_len},
					       .time = {fix->time, fix->time_len},
					       .rx_ns = fix->rx_ns};
		b->wrong += fix_time_parse(report.time, &report.client_time) != 0;
		table_key_make(b->member, (struct text){fix->id, fix->id_len}, &key);
		b->wrong += table_put(b->member, &key, &report) != 0;
	}
}

/* --- measuring ----------------------------------------------------------------- */

static int64_t
cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * CLOCK_SECOND_NS + now.tv_nsec;
}

/* CPU time per fix. */
static double
bench_median(struct bench *b, void (*before)(struct bench *b), void (*operation)(struct bench *b))
{
	static struct histogram h;

	memset(&h, 0, sizeof(h));
	for (unsigned int done = 0; done < BENCH_LINES; done += BENCH_GROUP) {
		int64_t start_ns;

		before(b);
		start_ns = cpu_ns();
		operation(b);
		histogram_add(&h, (uint64_t)(cpu_ns() - start_ns), 1);
	}
	return (double)histogram_quantile(&h, 0.5) / BENCH_GROUP;
}

static int
bench_open(struct bench *b)
{
	int r = table_open(&b->helper, &b->options);

	if (r == 0)
		r = table_open_shared(&b->member, b->helper);
	if (r == 0)
		r = table_register(b->helper, TABLE_HELPER, "bench-replica", "");
	if (r == 0)
		r = table_register(b->member, TABLE_TOOL, "Member", "");
	return r;
}

/* Every client once, as news of a peer. */
static int
bench_fill(struct bench *b, double *ret_ns)
{
	const struct hash_key key = {1, 2};
	int64_t total_ns = 0;
	int r = replica_new(&b->replica, b->helper, &key, BENCH_TTL_NS, b->time_ns);

	for (int i = 0; i < 2 && r == 0; i++)
		r = replica_open_peer(b->replica, &b->peer[i]);
	for (uint32_t client = 0; client + BENCH_GROUP <= b->options.clients && r == 0;
	     client += BENCH_GROUP) {
		int64_t start_ns;

		for (unsigned int i = 0; i < BENCH_GROUP; i++)
			bench_make(b, i, client + i);
		start_ns = cpu_ns();
		bench_news(b);
		total_ns += cpu_ns() - start_ns;
	}
	*ret_ns = (double)total_ns / b->options.clients;
	return r;
}

/* Again, from a table that is full: by a helper that was restarted. */
static int
bench_restart(struct bench *b)
{
	const struct hash_key key = {1, 2};
	size_t before;
	int64_t start_ns;
	double seconds;
	int r;

	b->replica = replica_free(b->replica);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	start_ns = cpu_ns();
	r = replica_new(&b->replica, b->helper, &key, BENCH_TTL_NS, b->time_ns);
	seconds = (double)(cpu_ns() - start_ns) / 1e9;
	for (int i = 0; i < 2 && r == 0; i++)
		r = replica_open_peer(b->replica, &b->peer[i]);
	if (r == 0)
		printf("\"restart_cpu_s\": %.3f, \"bytes_per_slot\": %.1f, ", seconds,
		       (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before) /
			       (double)table_slots(b->helper));
	return r;
}

static int
bench_run(struct bench *b)
{
	double insert_ns;
	int r = bench_open(b);

	if (r == 0)
		r = bench_fill(b, &insert_ns);
	if (r != 0)
		return r;
	printf("{\"clients\": %u, \"insert_ns\": %.1f, ", b->options.clients, insert_ns);
	r = bench_restart(b);
	if (r != 0)
		return r;
	printf("\"news_ns\": %.1f, ", bench_median(b, bench_make_group, bench_news));
	printf("\"known_ns\": %.1f, ", bench_median(b, bench_before_known, bench_known));
	printf("\"next_ns\": %.1f, ", bench_median(b, bench_before_next, bench_next));
	bench_drain(b);
	printf("\"drain_ns\": %.1f, ", bench_median(b, bench_before_drain, bench_drain));
	printf("\"wrong\": %" PRIu64 "}\n", b->wrong);
	return 0;
}

static int
bench_parse(int argc, char **argv, uint32_t *ret_clients, int *ret_pin)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		long value = strtol(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--clients") == 0 && value >= 1024 && value < 10000000)
			*ret_clients = (uint32_t)value;
		else if (strcmp(argv[i], "--pin") == 0 && value >= 0)
			*ret_pin = (int)value;
		else
			return -EINVAL;
	}
	return argc % 2 == 1 ? 0 : -EINVAL;
}

int
main(int argc, char **argv)
{
	static struct bench b;
	uint32_t clients = 1000000;
	char name[64];
	int pin = -1, r;

	if (bench_parse(argc, argv, &clients, &pin) < 0) {
		fprintf(stderr, "usage: %s [--clients N] [--pin CORE]\n", argv[0]);
		return 2;
	}
	snprintf(name, sizeof(name), "/herd-bench-replica-%d", (int)getpid());
	b.options = (struct table_options){
		.name = name, .clients = clients, .long_clients = clients / 32, .ttl_ns = BENCH_TTL_NS};
	b.random = (uint64_t)clock_now_ns();
	b.time_ns = clock_now_ns();
	r = usage_pin(pin);
	if (r == 0)
		r = bench_run(&b);
	if (r != 0)
		fprintf(stderr, "bench-replica: %s\n", r < 0 ? strerror(-r) : "the table said no");
	replica_free(b.replica);
	table_free(b.member);
	table_free(b.helper);
	table_unlink(name);
	return r == 0 ? 0 : 1;
}
