/*
 * Load on a herd of several hosts: tells fixes to members at a steady rate,
 * writes down what was told, acknowledged and read, and measures how long
 * after its acknowledgement at one host a fix is readable at all others.
 *
 * Every fix has a time and a location that no other has, and times only grow:
 * whoever reads the record can tell which of two fixes is the newer, and
 * whether a fix that was read is one that was ever told. The record has one
 * line per event, in the order in which this process, a single thread, saw
 * them:
 *
 *	T NUMBER HOST CLIENT TIME LOCATION	told
 *	A NUMBER HOST SERVER			acknowledged
 *	L NUMBER HOST				its connection broke before an answer
 *	R HOST CLIENT TIME LOCATION SERVER	read from the host's table
 *	N HOST CLIENT				the host's table held nothing
 *	M HOST					the host has a new table
 *
 * A line on standard input is answered with the figures so far; its end, or
 * --seconds, ends the telling. Then what is under way is waited for.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/message.h"
#include "flood-doors.h"
#include "flood-watch.h"
#include "../bench/usage.h"

enum {
	TOLD_RING = 1 << 20, /* more than doors can have waiting */
	NAME_MAX = 64,
	LOOK_US = 50, /* between two looks at the tables */
	REFRESH_MS = 50,
};
_Static_assert(TOLD_RING >= DOORS_MAX * DOORS_WAITING_MAX, "a fix under way is forgotten");

struct told {
	int64_t sent_ns;
	struct fix_time time;
	uint32_t client;
};

struct load {
	/* as asked for */
	double rate, seconds, linger, reads;
	uint32_t clients, sample;
	const char *prefix, *record_path;
	/* at work */
	struct doors *doors; /* owned, as all below */
	struct watch *watch;
	FILE *record;
	struct told *told;
	unsigned int host_of[DOORS_MAX];
	uint64_t random;
	int64_t start_ns, newest_ns, refresh_ns, looked_ns, due_ns;
	uint64_t number, read_count; /* the next one's */
	bool is_over;
	unsigned int missing;
	char name[NAME_MAX];
	/* seen */
	uint64_t acked, lost, refused, skipped;
	struct histogram answer;
	struct usage before;
};

static const char usage_text[] =
	"Usage: flood-load --host SHM[,DOOR]... [OPTION]...\n"
	"  --host SHM[,DOOR]...  a host's table, and where its members take commands: /PATH or ADDR:PORT\n"
	"  --rate N              fixes a second, in all (100)\n"
	"  --seconds S           tell for so long (10)\n"
	"  --linger S            wait so long for what is under way then (10)\n"
	"  --clients N           told of in turn (1000)\n"
	"  --prefix PREFIX       of their ids (client-)\n"
	"  --sample N            measure the spread of every Nth fix (1; 0: of none)\n"
	"  --reads N             random reads a second, for the record (0)\n"
	"  --record FILE         write down what happens\n";

/* --- fixes --------------------------------------------------------------- */

static struct text
load_name(const void *arg, uint32_t client)
{
	struct load *l = (struct load *)arg;
	char *end = text_put(l->name, text_of(l->prefix));

	return (struct text){l->name, (size_t)(text_put_u64(end, client) - l->name)};
}

/* xorshift64 */
static uint32_t
load_random(struct load *l, uint32_t below)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return (uint32_t)((l->random >> 32) % below);
}

/* Grows with every fix, also where the clock stands still. */
static struct fix_time
load_next_time(struct load *l)
{
	int64_t now_ns = clock_now_ns();

	l->newest_ns = now_ns > l->newest_ns ? now_ns : l->newest_ns + 1;
	return (struct fix_time){l->newest_ns / CLOCK_SECOND_NS, (int32_t)(l->newest_ns % CLOCK_SECOND_NS)};
}

static void
load_tell(struct load *l)
{
	unsigned int doors = doors_count(l->doors), door = load_random(l, doors);
	struct told *told = &l->told[l->number % TOLD_RING];
	uint64_t number = l->number++;
	char line[256], location[48];
	struct text name;
	int len;

	*told = (struct told){clock_monotonic_ns(), load_next_time(l), (uint32_t)(number % l->clients)};
	name = load_name(l, told->client);
	snprintf(location, sizeof(location), "+%02u.%06u-%03u.%06u", (unsigned int)(number / 1000000 % 90),
		 (unsigned int)(number % 1000000), (unsigned int)(number % 180),
		 (unsigned int)(number * 7919 % 1000000));
	len = snprintf(line, sizeof(line), "IAMAT %.*s %s %" PRId64 ".%09" PRId32 "\n", (int)name.len,
		       name.at, location, told->time.s, told->time.ns);
	for (unsigned int i = 0; i < doors; i++, door = (door + 1) % doors) {
		if (!doors_tell(l->doors, door, number, (struct text){line, (size_t)len}))
			continue;
		if (l->record)
			fprintf(l->record, "T %" PRIu64 " %u %.*s %" PRId64 ".%09" PRId32 " %s\n", number,
				l->host_of[door], (int)name.len, name.at, told->time.s, told->time.ns,
				location);
		return;
	}
	l->skipped++;
}

static void
load_on_answer(void *arg, unsigned int door, uint64_t number, struct text line)
{
	struct load *l = arg;
	const struct told *told = &l->told[number % TOLD_RING];
	int64_t now_ns = clock_monotonic_ns();
	struct message_at at;

	if (!message_parse_at(line, &at) || at.client_time.s != told->time.s ||
	    at.client_time.ns != told->time.ns) {
		if (l->refused++ == 0)
			fprintf(stderr, "flood-load: bad answer '%.*s'\n", (int)line.len, line.at);
		return;
	}
	l->acked++;
	histogram_add(&l->answer, (uint64_t)(now_ns - told->sent_ns), 1);
	if (l->record)
		fprintf(l->record, "A %" PRIu64 " %u %.*s\n", number, l->host_of[door], (int)at.server.len,
			at.server.at);
	if (l->sample && number % l->sample == 0)
		watch_expect(l->watch, told->client, told->time, l->host_of[door], now_ns);
}

static void
load_on_loss(void *arg, unsigned int door, uint64_t number)
{
	struct load *l = arg;

	l->lost++;
	if (l->record)
		fprintf(l->record, "L %" PRIu64 " %u\n", number, l->host_of[door]);
}

/* --- tables -------------------------------------------------------------- */

static void
load_refresh(struct load *l, int64_t now_ns)
{
	if (now_ns < l->refresh_ns)
		return;
	l->refresh_ns = now_ns + REFRESH_MS * CLOCK_MSEC_NS;
	for (unsigned int i = 0; i < watch_hosts(l->watch); i++) {
		if (watch_refresh(l->watch, i) && l->record)
			fprintf(l->record, "M %u\n", i);
	}
}

static void
load_read(struct load *l)
{
	unsigned int host = load_random(l, watch_hosts(l->watch));
	uint32_t client = load_random(l, l->clients);
	struct text name = load_name(l, client);
	struct herd_fix fix;
	int r = watch_read(l->watch, host, client, &fix);

	if (!l->record)
		return;
	if (r == 0)
		fprintf(l->record, "R %u %.*s %.*s %.*s %.*s\n", host, (int)fix.id_len, fix.id,
			(int)fix.time_len, fix.time, (int)fix.location_len, fix.location, (int)fix.server_len,
			fix.server);
	else
		fprintf(l->record, "N %u %.*s\n", host, (int)name.len, name.at);
}

/* --- figures ------------------------------------------------------------- */

static void
put_quantiles(const char *name, const struct histogram *h)
{
	printf(", \"%s_count\": %" PRIu64 ", \"%s_p50_us\": %.1f, \"%s_p99_us\": %.1f, \"%s_max_us\": %.1f",
	       name, h->total, name, (double)histogram_quantile(h, 0.5) / 1e3, name,
	       (double)histogram_quantile(h, 0.99) / 1e3, name, (double)h->max / 1e3);
}

static void
load_report(struct load *l)
{
	struct usage now = {0}, used;

	usage_read(getpid(), &now);
	used = usage_between(&l->before, &now);
	printf("{\"told\": %" PRIu64 ", \"acked\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"skipped\": %" PRIu64 ", \"waiting\": %" PRIu64 ", \"missing\": %u, \"seconds\": %.3f",
	       l->number - l->skipped, l->acked, l->lost, l->refused, l->skipped, doors_waiting(l->doors),
	       l->missing, (double)(clock_monotonic_ns() - l->start_ns) / 1e9);
	put_quantiles("answer", &l->answer);
	put_quantiles("spread", watch_spread(l->watch));
	printf(", \"load_cpu_s\": %.3f, \"load_wait_s\": %.3f}\n", (double)used.cpu_ns / 1e9,
	       (double)used.wait_ns / 1e9);
	fflush(stdout);
}

static void
load_hear(struct load *l)
{
	char bytes[256];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n <= 0) {
		l->is_over = true;
	} else {
		if (l->record)
			fflush(l->record);
		load_report(l);
	}
}

/* --- the loop ------------------------------------------------------------ */

/* Fixes come at the given rate, but not evenly: what beats time would always meet the helper at the same moment of
   its own turns. */
static void
load_schedule(struct load *l)
{
	double turn = (double)l->number + (double)load_random(l, 1 << 16) / (1 << 16);

	l->due_ns = l->start_ns + (int64_t)(turn / l->rate * 1e9);
}

/* Tells and reads what is due; how long nothing more is. */
static int64_t
load_work(struct load *l, int64_t now_ns)
{
	int64_t next_ns = 20 * CLOCK_MSEC_NS;

	load_refresh(l, now_ns);
	for (uint64_t due = (uint64_t)(l->reads * (double)(now_ns - l->start_ns) / 1e9); l->read_count < due;
	     l->read_count++)
		load_read(l);
	if (!l->is_over) {
		for (; l->due_ns <= now_ns; load_schedule(l))
			load_tell(l);
		next_ns = l->due_ns - now_ns;
	}
	if (now_ns - l->looked_ns >= LOOK_US * 1000) {
		l->looked_ns = now_ns;
		l->missing = watch_look(l->watch);
	}
	if (l->missing > 0 && next_ns > LOOK_US * 1000)
		next_ns = LOOK_US * 1000;
	return next_ns > 20 * CLOCK_MSEC_NS ? 20 * CLOCK_MSEC_NS : next_ns > 0 ? next_ns : 0;
}

/* The first second is not spent on doors that are about to open. */
static int
load_open(struct load *l)
{
	int64_t end_ns = clock_monotonic_ns() + CLOCK_SECOND_NS;
	bool is_heard;
	int r = 0;

	while (r == 0 && doors_open(l->doors) < doors_count(l->doors) && clock_monotonic_ns() < end_ns)
		r = doors_turn(l->doors, CLOCK_MSEC_NS, -1, &is_heard);
	return r;
}

static int
load_run(struct load *l)
{
	int64_t end_ns = 0;
	bool hears = true;
	int r = load_open(l);

	prctl(PR_SET_TIMERSLACK, 1);
	usage_read(getpid(), &l->before);
	l->start_ns = clock_monotonic_ns();
	load_schedule(l);
	while (r == 0) {
		int64_t now_ns = clock_monotonic_ns();
		bool is_heard = false;

		if (!l->is_over && (double)(now_ns - l->start_ns) > l->seconds * 1e9)
			l->is_over = true;
		if (l->is_over && end_ns == 0)
			end_ns = now_ns + (int64_t)(l->linger * 1e9);
		r = doors_turn(l->doors, load_work(l, now_ns), hears ? STDIN_FILENO : -1, &is_heard);
		if (is_heard)
			load_hear(l);
		hears = hears && !l->is_over;
		if (end_ns &&
		    ((doors_waiting(l->doors) == 0 && watch_look(l->watch) == 0) || now_ns > end_ns))
			break;
	}
	l->missing = watch_look(l->watch);
	load_report(l);
	return r;
}

/* --- options ------------------------------------------------------------- */

/* "SHM,DOOR,DOOR" */
static int
load_add_host(struct load *l, char *words)
{
	char *rest = NULL, *shm = strtok_r(words, ",", &rest), *door;
	int r = shm ? watch_add(l->watch, shm) : -EINVAL;

	while (r == 0 && (door = strtok_r(NULL, ",", &rest))) {
		l->host_of[doors_count(l->doors)] = watch_hosts(l->watch) - 1;
		r = doors_add(l->doors, door);
	}
	return r;
}

static int
load_option(struct load *l, int option, char *value)
{
	switch (option) {
	case 'h':
		return load_add_host(l, value);
	case 'r':
		l->rate = strtod(value, NULL);
		return 0;
	case 's':
		l->seconds = strtod(value, NULL);
		return 0;
	case 'l':
		l->linger = strtod(value, NULL);
		return 0;
	case 'c':
		l->clients = (uint32_t)strtoul(value, NULL, 10);
		return l->clients ? 0 : -EINVAL;
	case 'p':
		l->prefix = value;
		return strlen(value) < NAME_MAX - 20 ? 0 : -EINVAL;
	case 'm':
		l->sample = (uint32_t)strtoul(value, NULL, 10);
		return 0;
	case 'R':
		l->reads = strtod(value, NULL);
		return 0;
	case 'w':
		l->record_path = value;
		return 0;
	default:
		return -EINVAL;
	}
}

static int
load_parse(struct load *l, int argc, char **argv)
{
	static const struct option options[] = {
		{"host", 1, NULL, 'h'},	   {"rate", 1, NULL, 'r'},
		{"seconds", 1, NULL, 's'}, {"linger", 1, NULL, 'l'},
		{"clients", 1, NULL, 'c'}, {"prefix", 1, NULL, 'p'},
		{"sample", 1, NULL, 'm'},  {"reads", 1, NULL, 'R'},
		{"record", 1, NULL, 'w'},  {0},
	};
	int c, r = 0;

	while (r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1)
		r = load_option(l, c, optarg);
	if (r == 0 && (doors_count(l->doors) == 0 || optind != argc || l->rate <= 0))
		r = -EINVAL;
	return r;
}

static void
load_done(struct load *l)
{
	doors_free(l->doors);
	watch_free(l->watch);
	free(l->told);
	if (l->record)
		fclose(l->record);
}

static int
load_prepare(struct load *l)
{
	const struct doors_hooks hooks = {.arg = l, .answered = load_on_answer, .lost = load_on_loss};
	int r;

	l->random = (uint64_t)clock_now_ns() | 1;
	l->told = calloc(TOLD_RING, sizeof(*l->told));
	if (!l->told)
		return -ENOMEM;
	r = doors_new(&l->doors, &hooks);
	return r == 0 ? watch_new(&l->watch, load_name, l) : r;
}

int
main(int argc, char **argv)
{
	CLEANUP(load_done)
	struct load l = {
		.rate = 100,
		.seconds = 10,
		.linger = 10,
		.clients = 1000,
		.sample = 1,
		.prefix = "client-",
	};
	int r;

	r = load_prepare(&l);
	if (r == 0)
		r = load_parse(&l, argc, argv);
	if (r == -EINVAL) {
		fputs(usage_text, stderr);
		return 64;
	}
	if (r == 0 && l.record_path) {
		l.record = fopen(l.record_path, "we");
		if (!l.record)
			r = -errno;
	}
	if (r == 0)
		r = load_run(&l);
	if (r == 0 && l.record && fflush(l.record) != 0)
		r = -errno;
	if (r < 0)
		fprintf(stderr, "flood-load: %s\n", strerror(-r));
	return r == 0 ? 0 : 1;
}
