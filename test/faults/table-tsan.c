/*
 * Races the writers and readers of the fix table against each other in
 * threads, for ThreadSanitizer to judge (./configure
 * --enable-sanitizers=thread). Threads, each with its own handle on one
 * mapping: that two mappings are the same memory is beyond the sanitizer.
 *
 * A control does what the table must not, plain copies of a slot beside an
 * atomic control word; the sanitizer has to report it, or its silence about
 * the table says nothing. Without the sanitizer what is read is checked, but
 * races are not judged, and the control is not counted.
 *
 * table-tsan [SECONDS]          default 6; table-tsan --control: the control alone
 */
#include "checks.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "../table-help.h"

#if defined(__SANITIZE_THREAD__)
#define HAVE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAVE_TSAN 1
#endif
#endif
#ifndef HAVE_TSAN
#define HAVE_TSAN 0
#endif

enum {
	WRITERS = 2,
	READERS = 2,
	TAKER = WRITERS + READERS,
	THREADS = TAKER + 3, /* and a keeper, and one who reads figures */
	CLIENTS_MAX = 2048,
	CONFIRMED_S = 60, /* a round is confirmed in microseconds, once the taker has a processor */
};

struct part {
	const char *name;
	uint32_t clients, capacity, long_capacity;
	int64_t ttl_ns;
	bool is_kept; /* nothing is evicted, nothing expires */
};

struct worker {
	pthread_t thread;
	const struct part *part;
	struct table *table;
	unsigned int number;
	uint64_t random, done, busy;
	uint64_t round,
		unconfirmed; /* of a writer: what it waits for; how often it was confirmed too early */
	uint64_t *known;     /* the taker's */
	uint64_t wrong;	     /* torn, of somebody else, or an answer that is none */
};

static _Atomic bool stop;
static _Atomic bool stop_taker; /* last: writers wait for it */
static _Atomic uint64_t next_version;
static _Atomic uint64_t told[CLIENTS_MAX]; /* to the taker: the last version of each client */

static struct text
client_id(char bytes[HERD_ID_MAX], const struct part *part, uint64_t *random)
{
	uint32_t n = (uint32_t)random_below(random, part->clients);

	return help_id(bytes, n, n % 4 ? 12 + n % 29 : 41 + n % 200);
}

/* What a writer knows to be confirmed has been told before. */
static void
wait_for_round(struct worker *w, const struct herd_fix *fix, uint64_t version)
{
	const int64_t end_ns = clock_monotonic_ns() + CONFIRMED_S * CLOCK_SECOND_NS;
	uint64_t client = strtoul(fix->id + 1, NULL, 10);

	w->round = table_next_round(w->table);
	(void)table_wants_wake(w->table);
	do {
		if (table_confirmed_round(w->table) >= w->round) {
			w->wrong += atomic_load(&told[client]) < version;
			return;
		}
		sched_yield();
	} while (clock_monotonic_ns() < end_ns);
	w->unconfirmed++;
}

static void *
write_fixes(void *arg)
{
	struct worker *w = arg;
	char bytes[HERD_ID_MAX];
	struct herd_fix fix;

	for (; !atomic_load(&stop); w->done++) {
		struct text id = client_id(bytes, w->part, &w->random);
		/* Some come late, so that both answers are common. */
		uint64_t version = atomic_fetch_add(&next_version, 1) + 1000 - random_below(&w->random, 1000);
		int r;

		help_fix(&fix, id, version, w->number);
		r = w->done % 4 ? help_put(w->table, &fix) : table_merge(w->table, &fix);
		w->busy += r == TABLE_E_BUSY;
		w->wrong += r != 0 && r != TABLE_E_OLDER && r != TABLE_E_BUSY;
		/* Where nothing is evicted or expires: else it may be gone before it is told. */
		if (r == 0 && w->part->is_kept && w->done % 256 == 0)
			wait_for_round(w, &fix, version);
		else
			(void)table_wants_wake(w->table);
		table_count(w->table, TABLE_COUNTER_iamat, 1);
	}
	return NULL;
}

static void *
read_fixes(void *arg)
{
	struct worker *w = arg;
	char bytes[HERD_ID_MAX];
	struct herd_fix fix;
	uint64_t version;
	unsigned int writer;

	for (; !atomic_load(&stop); w->done++) {
		struct text id = client_id(bytes, w->part, &w->random);
		struct table_key key;
		int r;

		table_key_make(w->table, id, &key);
		if (w->done % 2)
			table_prefetch(w->table, &key, 1);
		r = table_find(w->table, &key, HELP_BASE_NS, &fix);
		if (r == 0)
			w->wrong += !help_check(&fix, &version, &writer) || writer >= WRITERS ||
				    !text_equal((struct text){fix.id, fix.id_len}, id);
		else
			w->wrong += r != TABLE_E_UNKNOWN && r != TABLE_E_LAPPED;
		if (w->done % 1000 == 0) {
			uint64_t cursor = 0;

			while (table_next(w->table, &cursor, HELP_BASE_NS, &fix, &version) == 0)
				w->wrong += !help_check(&fix, &version, &writer);
		}
	}
	return NULL;
}

static void
on_changed(void *arg, uint64_t slot, const struct herd_fix *fix)
{
	struct worker *w = arg;
	uint64_t version = 0, client = strtoul(fix->id + 1, NULL, 10);
	unsigned int writer = 0;

	w->wrong += !help_check(fix, &version, &writer) || writer >= WRITERS || client >= CLIENTS_MAX;
	w->known[slot / 64] |= UINT64_C(1) << slot % 64;
	/* Where clients are evicted a writer that was held up may bring an older one back. */
	if (client < CLIENTS_MAX)
		atomic_store(&told[client], version);
}

static void
on_gone(void *arg, uint64_t slot)
{
	(void)arg;
	(void)slot;
}

static void
take_round(struct worker *w)
{
	uint64_t cursor = 0, round = 0;
	int r;

	do
		r = table_take_changes(w->table, &cursor, 16, on_changed, w, &round);
	while (r == 0);
	w->wrong += r != TABLE_E_END;
	table_confirm(w->table, round, NULL, NULL); /* nobody says that it waits */
}

static void *
take(void *arg)
{
	struct worker *w = arg;

	for (; !atomic_load(&stop_taker); w->done++) {
		uint64_t cursor = 0;

		take_round(w);
		if (w->done % 1000 == 0)
			w->wrong += table_compare(w->table, &cursor, UINT64_MAX, w->known, on_changed,
						  on_gone, w) != TABLE_E_END;
		if (table_sleep(w->table)) {
			take_round(w);
			/* Not for long: who is told to wake it has no way to do so here. */
			sched_yield();
			table_wake(w->table);
		}
	}
	return NULL;
}

/* All threads are gone: what is in the table, the taker was told of. */
static void
check_told(struct worker *w)
{
	struct herd_fix fix;
	uint64_t cursor = 0, version = 0;
	unsigned int writer;

	take_round(w);
	while (table_next(w->table, &cursor, 0, &fix, NULL) == 0) {
		uint64_t client = strtoul(fix.id + 1, NULL, 10);

		NEED(client < CLIENTS_MAX);
		CHECK(help_check(&fix, &version, &writer) && told[client] == version,
		      "client %llu has version %llu, told was %llu", (unsigned long long)client,
		      (unsigned long long)version, (unsigned long long)told[client]);
	}
	CHECK(table_sleep(w->table), "something is marked still");
}

static void *
keep(void *arg)
{
	struct worker *w = arg;

	/* By the writers' clock, a little behind: what is old goes while it is written anew. */
	for (; !atomic_load(&stop); w->done++)
		w->wrong += help_sweep(w->table, HELP_BASE_NS + (int64_t)atomic_load(&next_version) * 1000) !=
			    0;
	return NULL;
}

static void *
look(void *arg)
{
	struct worker *w = arg;
	struct table_info info;

	for (; !atomic_load(&stop); w->done++) {
		struct table_process process;
		int r;

		w->wrong += table_info(w->table, &info) != 0 || info.used > info.slots;
		for (uint32_t i = 0; (r = table_process(w->table, i, &process)) != TABLE_E_END; i++)
			w->wrong += r < 0;
	}
	return NULL;
}

static void
run_part(const struct part *part, int64_t wait_ns)
{
	static void *(*const bodies[THREADS])(void *) = {write_fixes, write_fixes, read_fixes, read_fixes,
							 take,	      keep,	   look};
	struct worker workers[THREADS] = {0};
	struct table *t = NULL;
	char name[HELP_NAME_MAX];
	uint64_t seed = (uint64_t)clock_now_ns();

	help_name(name);
	atomic_store(&stop, false);
	atomic_store(&stop_taker, false);
	atomic_store(&next_version, 1);
	for (int i = 0; i < CLIENTS_MAX; i++)
		atomic_store(&told[i], 0);
	NEED(help_open(&t, name, part->capacity, part->long_capacity, part->ttl_ns) == 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		char server[16];

		workers[i] = (struct worker){.part = part, .number = i, .random = random_u64(&seed)};
		NEED(table_open_shared(&workers[i].table, t) == 0);
		/* Before any thread runs: entries are taken under a lock of the kernel's, which the
		   sanitizer does not know. */
		snprintf(server, sizeof(server), "w%u", i);
		NEED(table_register(workers[i].table, TABLE_MEMBER, server, "127.0.0.1:1") == 0);
	}
	workers[TAKER].known = calloc((size_t)table_slots(t) / 64 + 1, sizeof(uint64_t));
	NEED(workers[TAKER].known);
	for (unsigned int i = 0; i < THREADS; i++)
		NEED(pthread_create(&workers[i].thread, NULL, bodies[i], &workers[i]) == 0);
	usleep((useconds_t)(wait_ns / 1000));
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < THREADS; i++)
		if (i != TAKER)
			NEED(pthread_join(workers[i].thread, NULL) == 0);
	atomic_store(&stop_taker, true);
	NEED(pthread_join(workers[TAKER].thread, NULL) == 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		CHECK(workers[i].wrong == 0, "worker %u saw %llu wrong", i,
		      (unsigned long long)workers[i].wrong);
		CHECK(workers[i].done > 0, "worker %u did nothing", i);
		CHECK(workers[i].unconfirmed == 0, "worker %u waited %llu times in vain", i,
		      (unsigned long long)workers[i].unconfirmed);
	}
	check_told(&workers[TAKER]);
	CHECK(workers[TAKER].wrong == 0, "the taker was told wrong");
	CHECK(help_counter(t, TABLE_COUNTER_damaged) == 0, "damaged slots");
	checks_end("%s: %llu + %llu puts (%llu busy), %llu + %llu reads, %llu rounds, %llu sweeps, %llu "
		   "evicted, %llu expired",
		   part->name, (unsigned long long)workers[0].done, (unsigned long long)workers[1].done,
		   (unsigned long long)(workers[0].busy + workers[1].busy),
		   (unsigned long long)workers[2].done, (unsigned long long)workers[3].done,
		   (unsigned long long)workers[TAKER].done, (unsigned long long)workers[TAKER + 1].done,
		   (unsigned long long)help_counter(t, TABLE_COUNTER_evicted),
		   (unsigned long long)help_counter(t, TABLE_COUNTER_expired));
	for (unsigned int i = 0; i < THREADS; i++)
		table_free(workers[i].table);
	free(workers[TAKER].known);
	table_free(t);
	(void)table_unlink(name);
}

/* --- the control ------------------------------------------------------------------ */

/* A slot as one would write it without knowing better: right most of the time. */
static struct {
	_Atomic uint64_t ctl;
	uint64_t value[2][8];
} slot;

static void *
control_writer(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; !atomic_load(&stop); i++) {
		uint64_t value[8] = {i, i, i, i, i, i, i, i};

		memcpy(slot.value[i & 1], value, sizeof(value));
		atomic_store_explicit(&slot.ctl, i, memory_order_release);
	}
	return NULL;
}

static void *
control_reader(void *arg)
{
	uint64_t *sum = arg;

	while (!atomic_load(&stop)) {
		uint64_t value[8], ctl = atomic_load_explicit(&slot.ctl, memory_order_acquire);

		memcpy(value, slot.value[ctl & 1], sizeof(value));
		if (atomic_load_explicit(&slot.ctl, memory_order_relaxed) == ctl)
			*sum += value[0];
	}
	return NULL;
}

static int
control(void)
{
	pthread_t writer, reader;
	uint64_t sum = 0;

	NEED(pthread_create(&writer, NULL, control_writer, NULL) == 0);
	NEED(pthread_create(&reader, NULL, control_reader, &sum) == 0);
	usleep(2000000);
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	return sum == 0;
}

/* Runs the control in a process of its own, and looks for the report in what it says. */
static void
run_control(void)
{
	static char said[1 << 16];
	size_t len = 0;
	int out[2], status;
	ssize_t n;
	pid_t pid;

	NEED(pipe(out) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], STDERR_FILENO);
		close(out[0]);
		close(out[1]);
		execl("/proc/self/exe", "table-tsan", "--control", (char *)NULL);
		_exit(127);
	}
	NEED(pid > 0);
	close(out[1]);
	/* Read to its end, so that it never waits for us. */
	while ((n = read(out[0], said + len, sizeof(said) - 1 - len)) > 0)
		if ((len += (size_t)n) == sizeof(said) - 1)
			len = sizeof(said) / 2;
	close(out[0]);
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 127,
	      "the control ended with %#x", status);
	CHECK(strstr(said, "ThreadSanitizer: data race") != NULL, "no report about the control");
	checks_end("control: plain copies are reported");
}

int
main(int argc, char **argv)
{
	static const struct part parts[] = {
		{"constantly evicting", CLIENTS_MAX, 64, 32, 0, false},
		{"few clients", 16, 64, 32, 0, true},
		{"constantly expiring", 256, 512, 128, 300 * INT64_C(1000), false},
	};
	const size_t count = sizeof(parts) / sizeof(parts[0]);
	long seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 6;

	if (argc > 1 && strcmp(argv[1], "--control") == 0)
		return control();
	NEED(seconds > 0);
	for (size_t i = 0; i < count; i++)
		run_part(&parts[i], seconds * CLOCK_SECOND_NS / (int64_t)count);
	if (HAVE_TSAN)
		run_control();
	else
		puts("built without ThreadSanitizer: races were not judged");
	return checks_done();
}
