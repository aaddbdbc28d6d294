/*
 * Snapshot, written once. Members share the processor's cores with this: a
 * burst of work must be shorter than anybody would notice who comes to wait
 * for it, and between two bursts the core is free for several times as long.
 * It takes no lock, so writers do not meet it, and uses the mapping that the
 * helper has anyway: another one would cost a fault for each of its pages, and
 * unmapping it would be a burst of many milliseconds.
 */
#include "flood/snapshot-job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

enum {
	STEP_SLOTS = 64,    /* between two looks at the clock */
	PRINT_SLOTS = 4096, /* the same, where only control words are read: 6 us */
	JOIN_S = 5,
};

#define BURST_NS    (40 * INT64_C(1000))
#define REST_MAX_NS (100 * CLOCK_MSEC_NS) /* while nobody looks whether it is cancelled */

/* --- pace ---------------------------------------------------------------------- */

struct pace {
	const struct snapshot_order *order;
	int64_t start_ns, burst_ns; /* began */
	int64_t busy_ns;
	uint64_t done, all; /* of the work, in any unit */
};

/* How many times as long as it works it may rest, to be done in time. */
static int64_t
pace_idle_share(const struct pace *p, int64_t now_ns)
{
	const int64_t left_ns = p->order->within_ns - (now_ns - p->start_ns);
	/* What the rest will take, if it is like what was done. */
	const int64_t need_ns = (int64_t)((double)p->busy_ns * (double)(p->all - p->done) / (double)p->done);

	if (left_ns <= need_ns)
		return 0;
	return need_ns <= 0 || left_ns / need_ns > p->order->idle_share ? p->order->idle_share
									: left_ns / need_ns;
}

/* To be called after every bit of work. */
static void
pace_rest(struct pace *p, uint64_t done)
{
	int64_t now_ns = clock_monotonic_ns(), idle_ns;
	struct timespec idle;

	if (now_ns - p->burst_ns < BURST_NS)
		return;
	p->busy_ns += now_ns - p->burst_ns;
	p->done = done;
	idle_ns = (now_ns - p->burst_ns) * pace_idle_share(p, now_ns);
	/* So long a burst was not work: the processor was somebody else's, or all of us stood still. */
	if (idle_ns > REST_MAX_NS)
		idle_ns = REST_MAX_NS;
	idle = (struct timespec){idle_ns / CLOCK_SECOND_NS, idle_ns % CLOCK_SECOND_NS};
	if (idle_ns > 0)
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &idle, NULL);
	p->burst_ns = clock_monotonic_ns();
}

/* --- the walk -------------------------------------------------------------------- */

struct work {
	const struct snapshot_order *order;
	const atomic_bool *cancel;
	_Atomic uint64_t *progress;
	struct pace pace;
	struct snapshot_outcome *out;
};

static bool
is_cancelled(const struct work *w)
{
	return atomic_load_explicit(w->cancel, memory_order_relaxed);
}

/* Somebody may have taken the last one away. */
static bool
is_there(const struct work *w, int folder)
{
	char name[SNAPSHOT_NAME_MAX];

	return faccessat(folder, snapshot_name(name, w->order->shm, ""), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Whether there is anything to write. */
static int
look_for_changes(struct work *w, int folder)
{
	uint64_t cursor = 0, state = (uint64_t)table_created_ns(w->order->table), done = 0;
	int r;

	while ((r = table_fingerprint(w->order->table, &cursor, PRINT_SLOTS, &state)) == 0) {
		if (is_cancelled(w))
			return -ECANCELED;
		atomic_fetch_add_explicit(w->progress, 1, memory_order_relaxed);
		done += PRINT_SLOTS;
		pace_rest(&w->pace, done < w->pace.all ? done : w->pace.all);
	}
	if (r < 0)
		return r;
	w->out->state = state;
	return w->order->has_state && state == w->order->state && is_there(w, folder) ? SNAPSHOT_E_SAME : 0;
}

/* The fixes in the next few slots. */
static int
write_step(struct work *w, struct snapshot_writer *writer, uint64_t *cursor)
{
	const uint64_t end = *cursor + STEP_SLOTS;
	struct herd_fix fix;
	bool is_left_out;
	int r;

	while ((r = table_next_before(w->order->table, cursor, end, w->out->time_ns, &fix)) == 0) {
		r = snapshot_writer_put(writer, &fix, &is_left_out);
		if (r < 0)
			return r;
		w->out->left_out += is_left_out;
	}
	if (r < 0)
		w->out->doing = "read the table";
	return r < 0 ? r : 0;
}

static int
write_fixes(struct work *w, struct snapshot_writer *writer)
{
	uint64_t cursor = 0;
	int r = 0;

	while (cursor < w->pace.all && r == 0) {
		if (is_cancelled(w))
			return -ECANCELED;
		r = write_step(w, writer, &cursor);
		atomic_fetch_add_explicit(w->progress, 1, memory_order_relaxed);
		pace_rest(&w->pace, cursor);
	}
	return r;
}

static int
write_file(struct work *w, int folder)
{
	CLEANUP(snapshot_writer_freep) struct snapshot_writer *writer = NULL;
	struct snapshot_header header = {.number = snapshot_next_number(folder, w->order->shm),
					 .time_ns = w->out->time_ns,
					 .state = w->out->state};
	int r;

	snprintf(header.shm, sizeof(header.shm), "%s", w->order->shm);
	w->out->number = header.number;
	w->out->doing = "write";
	r = snapshot_writer_new(&writer, folder, &header);
	if (r == 0)
		r = write_fixes(w, writer);
	if (r == 0 && is_cancelled(w))
		r = -ECANCELED;
	if (r == 0)
		r = snapshot_writer_commit(writer);
	if (r < 0)
		return r;
	w->out->fixes = snapshot_writer_fixes(writer);
	w->out->bytes = snapshot_writer_bytes(writer);
	return 0;
}

static void
pace_start(struct work *w)
{
	const int64_t now_ns = clock_monotonic_ns();

	w->pace = (struct pace){.order = w->order,
				.start_ns = now_ns,
				.burst_ns = now_ns,
				.all = table_slots(w->order->table)};
}

static int
work(struct work *w)
{
	CLEANUP(cleanup_close) int folder = -1;
	int r;

	pace_start(w);
	w->out->doing = "open the folder";
	folder = snapshot_open_folder(w->order->folder);
	if (folder < 0)
		return folder;
	w->out->doing = "read the table";
	r = look_for_changes(w, folder);
	if (r != 0)
		return r;
	pace_start(w);
	return write_file(w, folder);
}

void
snapshot_write(const struct snapshot_order *order, const atomic_bool *cancel, _Atomic uint64_t *progress,
	       struct snapshot_outcome *ret)
{
	const int64_t start_ns = clock_monotonic_ns();
	struct work w = {.order = order, .cancel = cancel, .progress = progress, .out = ret};

	*ret = (struct snapshot_outcome){.time_ns = clock_now_ns()};
	ret->error = work(&w);
	ret->duration_ns = clock_monotonic_ns() - start_ns;
}

/* --- the thread ------------------------------------------------------------------- */

struct snapshot_job {
	pthread_t thread;
	bool is_started, is_joined;
	atomic_bool has_ended; /* but for its wake-up call */
	int wakeup;	       /* our own descriptor of it: the thread may outlive its owner */
	struct snapshot_order order;
	struct table *table;
	char *folder, *shm;
	atomic_bool cancel;
	_Atomic uint64_t progress;
	struct snapshot_outcome outcome; /* the thread's, until it is joined */
};

static void *
job_main(void *arg)
{
	struct snapshot_job *job = arg;

	snapshot_write(&job->order, &job->cancel, &job->progress, &job->outcome);
	/* Release: the outcome comes with it. */
	atomic_store_explicit(&job->has_ended, true, memory_order_release);
	(void)eventfd_write(job->wakeup, 1); /* fails when it is full of wake-ups only */
	return NULL;
}

int
snapshot_job_new(struct snapshot_job **ret, const struct snapshot_order *order, int wakeup)
{
	CLEANUP(snapshot_job_freep) struct snapshot_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return -ENOMEM;
	job->order = *order;
	job->order.folder = job->folder = strdup(order->folder);
	job->order.shm = job->shm = strdup(order->shm);
	job->wakeup = dup(wakeup);
	if (!job->folder || !job->shm || job->wakeup < 0)
		return job->wakeup < 0 ? -errno : -ENOMEM;
	r = table_open_shared(&job->table, order->table);
	if (r < 0)
		return r;
	job->order.table = job->table;
	r = thread_start(&job->thread, job_main, job);
	if (r < 0)
		return r;
	job->is_started = true;
	*ret = job;
	job = NULL;
	return 0;
}

bool
snapshot_job_ended(struct snapshot_job *job, struct snapshot_outcome *ret)
{
	if (!atomic_load_explicit(&job->has_ended, memory_order_acquire))
		return false;
	if (!job->is_joined)
		pthread_join(job->thread, NULL);
	job->is_joined = true;
	*ret = job->outcome;
	return true;
}

void
snapshot_job_cancel(struct snapshot_job *job)
{
	atomic_store_explicit(&job->cancel, true, memory_order_relaxed);
}

uint64_t
snapshot_job_progress(const struct snapshot_job *job)
{
	return atomic_load_explicit(&job->progress, memory_order_relaxed);
}

/* True when the thread is gone. */
static bool
job_join(struct snapshot_job *job)
{
	struct timespec until;

	if (!job->is_started || job->is_joined)
		return true;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += JOIN_S;
	if (pthread_timedjoin_np(job->thread, NULL, &until) == 0)
		return true;
	pthread_detach(job->thread);
	return false;
}

struct snapshot_job *
snapshot_job_free(struct snapshot_job *job)
{
	if (!job)
		return NULL;
	snapshot_job_cancel(job);
	if (!job_join(job))
		return NULL;
	if (job->wakeup >= 0)
		close(job->wakeup);
	table_free(job->table);
	free(job->folder);
	free(job->shm);
	free(job);
	return NULL;
}
