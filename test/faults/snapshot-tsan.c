/*
 * Races the thread that writes a snapshot against the one that has it written,
 * looks how far it is, cancels it and lets it go, while others write the table;
 * for ThreadSanitizer to judge (./configure --enable-sanitizers=thread). That
 * it would report a race at all is what table-tsan's control proves.
 *
 * snapshot-tsan [SECONDS]          default 4
 */
#include "checks.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "../snapshot-help.h"

enum {
	CLIENTS = 3000,
	WAIT_MS = 30000,
	LATE_S = 60, /* that a busy machine may take longer, until one was written */
};

static _Atomic bool stop;

static void *
write_table(void *arg)
{
	struct table *t = arg;
	uint64_t version = 1;

	while (!atomic_load(&stop)) {
		char bytes[HERD_ID_MAX];

		version++;
		for (uint32_t i = 0; i < CLIENTS; i++)
			(void)help_put_version(t, help_id(bytes, i, 20), version, 0);
	}
	return NULL;
}

/* Somebody who is woken, as a loop is. */
static bool
wait_for(int wakeup)
{
	struct pollfd p = {.fd = wakeup, .events = POLLIN};
	eventfd_t count;

	return poll(&p, 1, WAIT_MS) == 1 && eventfd_read(wakeup, &count) == 0;
}

static void
run_job(const struct snapshot_order *order, int wakeup, uint64_t *random, unsigned int *written)
{
	const bool is_cancelled = random_below(random, 2), is_left = random_below(random, 4) == 0;
	struct snapshot_job *job = NULL;
	struct snapshot_outcome out;

	NEED(snapshot_job_new(&job, order, wakeup) == 0);
	while (random_below(random, 50) && !snapshot_job_ended(job, &out))
		(void)snapshot_job_progress(job);
	if (is_cancelled)
		snapshot_job_cancel(job);
	if (!is_left) {
		CHECK(wait_for(wakeup), "nobody was woken");
		CHECK(snapshot_job_ended(job, &out), "it has not ended");
		CHECK(out.error == 0 || (is_cancelled && out.error == -ECANCELED), "%d", out.error);
		*written += out.error == 0;
	}
	job = snapshot_job_free(job);
	NEED(!job);
	while (is_left) { /* what it has said since nobody listens */
		eventfd_t count;

		if (eventfd_read(wakeup, &count) < 0)
			break;
	}
}

int
main(int argc, char **argv)
{
	const double seconds = argc > 1 ? strtod(argv[1], NULL) : 4;
	const int64_t end_ns = clock_monotonic_ns() + (int64_t)(seconds * 1e9);
	uint64_t random = random_seed(32);
	struct snapshot_order order;
	char segment[HELP_NAME_MAX], folder[64];
	unsigned int jobs = 0, written = 0;
	struct table *t = NULL;
	int wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_t writer;

	help_folder(folder);
	help_name(segment);
	NEED(wakeup >= 0 && help_open_writer(&t, segment, CLIENTS, 64, 0) == 0);
	order = help_order(t, segment, folder);
	order.within_ns = CLOCK_SECOND_NS;
	order.idle_share = 1;
	NEED(pthread_create(&writer, NULL, write_table, t) == 0);
	for (; clock_monotonic_ns() < end_ns + (written ? 0 : LATE_S * CLOCK_SECOND_NS); jobs++)
		run_job(&order, wakeup, &random, &written);
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	CHECK(written > 0, "no snapshot was written");
	CHECK(help_count_tmp(folder) == 0, "half files are left");
	checks_end("%u jobs, %u written, the others cancelled or let go", jobs, written);
	table_free(t);
	(void)table_unlink(segment);
	help_remove_folder(folder);
	close(wakeup);
	return checks_done();
}
