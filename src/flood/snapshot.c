/*
 * Snapshot: the loop's side of it. Loading is done here, in short turns,
 * because it writes the table and nothing else is waiting before the helper is
 * ready; writing is a job's, in its own thread, one at a time. A job begins so
 * early that the one before and its own end are not more than the interval
 * apart: then that is what a power cut costs at most.
 */
#include "flood/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "flood/snapshot-job.h"
#include "flood/snapshot-load.h"
#include "herd/events.h"

enum {
	SNAPSHOT_MAGIC = 0x534e4150, /* "SNAP" */
	LOAD_LINES = 64,	     /* between two looks at the clock */
	MOVED_MAX = 10,		     /* times in a row that the table was cut short under a job */
	WITHIN_SHARE = 2,	     /* an interval's share in which a snapshot should be written */
	LAST_IDLE_SHARE = 9, /* of the last one, which somebody waits for; without members it takes no rest */
};

#define START_NS       CLOCK_MSEC_NS
#define AGAIN_NS       CLOCK_SECOND_NS
#define RETRY_NS       (60 * CLOCK_SECOND_NS) /* after a failure, or after the interval if that is shorter */
#define FLOOR_NS       (100 * CLOCK_MSEC_NS)  /* never more often */
#define OFF_NS	       (86400 * CLOCK_SECOND_NS)
#define EXTEND_NS      (30 * CLOCK_SECOND_NS)
#define STALL_NS       (60 * CLOCK_SECOND_NS) /* the last one has not got on for so long: given up */
#define LAST_WITHIN_NS (3 * CLOCK_SECOND_NS)
/* A turn of loading, and the pause after it. */
#define ALONE_TURN_NS	 (20 * CLOCK_MSEC_NS)
#define ALONE_PAUSE_NS	 CLOCK_MSEC_NS
#define MEMBERS_TURN_NS	 (200 * INT64_C(1000))
#define MEMBERS_PAUSE_NS CLOCK_MSEC_NS

enum phase {
	PHASE_OFF,
	PHASE_WAIT, /* for the next one */
	PHASE_LOAD,
	PHASE_WRITE,
	PHASE_LAST_WAIT, /* for the one being written, to write the last one */
	PHASE_LAST,
	PHASE_END,
};

struct snapshot {
	unsigned int magic;
	struct loop *loop;
	struct keeper *keeper;
	struct snapshot_hooks hooks;
	struct loop_timer *tick;
	int wakeup;
	struct event *on_wakeup;

	char *shm, *folder; /* folder "": none */
	int64_t interval_ns, ttl_ns;

	enum phase phase;
	bool has_loaded, has_told;
	bool is_stopping; /* as soon as it is loaded */
	struct snapshot_load *load;
	int load_folder;
	int64_t turn_ns, pause_ns;

	struct snapshot_job *job;
	int64_t job_ns; /* when it began, monotonic */
	bool has_state;
	uint64_t state;
	unsigned int moved;

	int64_t second_ns; /* when something was done that is done once a second */
	uint64_t progress;
	int64_t progress_ns;

	struct snapshot_status status;
	struct log_limit failures;
};

static struct snapshot *
snapshot_check(void *arg)
{
	struct snapshot *s = arg;

	assert(s->magic == SNAPSHOT_MAGIC);
	return s;
}

/* --- small things ---------------------------------------------------------------- */

static int64_t
at_most(int64_t ns, int64_t most_ns)
{
	return ns < most_ns ? ns : most_ns;
}

static int64_t
at_least(int64_t ns, int64_t least_ns)
{
	return ns > least_ns ? ns : least_ns;
}

static void
wait_for(struct snapshot *s, int64_t ns)
{
	/* Without memory the timer stays as it is: late, or early, but not lost. */
	(void)loop_timer_set(s->tick, ns);
}

static void
wait_again(struct snapshot *s, int64_t ns)
{
	s->phase = PHASE_WAIT;
	wait_for(s, at_least(ns, FLOOR_NS));
}

static bool
every_second(struct snapshot *s)
{
	int64_t now_ns = clock_monotonic_ns();

	if (now_ns - s->second_ns < CLOCK_SECOND_NS)
		return false;
	s->second_ns = now_ns;
	return true;
}

static void
tell_loaded(struct snapshot *s)
{
	if (!s->has_told) {
		s->has_told = true;
		s->hooks.loaded(s->hooks.arg);
	}
}

static void
finish(struct snapshot *s)
{
	s->phase = PHASE_END;
	wait_for(s, OFF_NS);
	s->hooks.stopped(s->hooks.arg);
}

/* --- what went wrong, and right again ----------------------------------------------- */

static void
fail(struct snapshot *s, const char *doing, int error)
{
	struct snapshot_status *status = &s->status;

	status->failed++;
	status->error = error;
	snprintf(status->message, sizeof(status->message), "cannot %s: %s", doing, strerror(-error));
	if (log_limit_allow(&s->failures, clock_monotonic_ns()))
		log_event(LOG_ERR, MSG_SNAPSHOT_FAILED,
			  LOG_FIELDS("HERD_SHM=%s", s->shm, "HERD_FOLDER=%s", s->folder, "ERRNO=%d", -error),
			  "No snapshot of the table '%s' in '%s', trying again: %s", s->shm, s->folder,
			  status->message);
}

static void
succeed(struct snapshot *s)
{
	if (s->status.error)
		log_event(LOG_NOTICE, MSG_SNAPSHOT_RECOVERED,
			  LOG_FIELDS("HERD_SHM=%s", s->shm, "HERD_FOLDER=%s", s->folder),
			  "Snapshots of the table '%s' are written again", s->shm);
	s->status.error = 0;
	s->failures.begin_ns = 0; /* the next failure is news */
	s->failures.count = 0;
	s->moved = 0;
}

/* --- loading ------------------------------------------------------------------------ */

static void
snapshot_on_refused(void *user, const struct snapshot_refusal *refusal)
{
	const struct snapshot *s = user;
	char kept[SNAPSHOT_NAME_MAX + 64];

	if (refusal->kept)
		snprintf(kept, sizeof(kept), "kept as '%s'", refusal->kept);
	else
		snprintf(kept, sizeof(kept), "it cannot be renamed (%s)", strerror(-refusal->error));
	log_event(
		LOG_ERR, MSG_SNAPSHOT_REFUSED,
		LOG_FIELDS("HERD_SHM=%s", s->shm, "HERD_FOLDER=%s", s->folder, "HERD_FILE=%s", refusal->name),
		"Refused the snapshot '%s/%s': %s; %s", s->folder, refusal->name, refusal->why, kept);
}

static bool
has_members(struct snapshot *s)
{
	struct table *t = keeper_table(s->keeper);
	struct table_process p;
	int r;

	for (uint32_t i = 0; (r = table_process(t, i, &p)) != TABLE_E_END && r >= 0; i++)
		if (r == 0 && p.alive && p.role == TABLE_MEMBER)
			return true;
	return false;
}

/* Members that serve while it is loaded must not notice. */
static void
set_load_pace(struct snapshot *s)
{
	bool are_there = !s->is_stopping && has_members(s);

	s->turn_ns = are_there ? MEMBERS_TURN_NS : ALONE_TURN_NS;
	s->pause_ns = are_there ? MEMBERS_PAUSE_NS : ALONE_PAUSE_NS;
}

static void
drop_load(struct snapshot *s)
{
	s->load = snapshot_load_free(s->load);
	if (s->load_folder >= 0)
		close(s->load_folder);
	s->load_folder = -1;
	s->status.is_loading = false;
}

/* Until later: what is there then is loaded before anything is written. */
static void
give_up_load(struct snapshot *s, const char *doing, int error)
{
	fail(s, doing, error);
	drop_load(s);
	if (s->is_stopping) {
		finish(s);
		return;
	}
	wait_again(s, at_most(s->interval_ns, RETRY_NS));
	tell_loaded(s);
}

static void
begin_load(struct snapshot *s)
{
	unsigned int removed;
	int r;

	s->load_folder = snapshot_open_folder(s->folder);
	r = s->load_folder;
	if (r >= 0)
		r = snapshot_load_new(&s->load, s->load_folder, s->shm, s->ttl_ns, snapshot_on_refused, s);
	if (r < 0) {
		give_up_load(s, s->load_folder < 0 ? "open the folder" : "load the last one", r);
		return;
	}
	removed = snapshot_clean(s->load_folder, s->shm);
	if (removed)
		log_info("Removed %u snapshots of the table '%s' that were left half written", removed,
			 s->shm);
	s->phase = PHASE_LOAD;
	s->status.is_loading = true;
	set_load_pace(s);
	/* Members have a table that lives, and serve: there is nobody to wait until it is all there. */
	if (s->turn_ns == MEMBERS_TURN_NS)
		tell_loaded(s);
	wait_for(s, s->pause_ns);
}

static void
say_loaded(const struct snapshot *s, const struct snapshot_loaded *l)
{
	const int64_t age_ns = at_least(clock_now_ns() - l->header.time_ns, 0);

	if (!l->name[0]) {
		log_info("There is no snapshot of the table '%s' in '%s'", s->shm, s->folder);
		return;
	}
	log_event(LOG_INFO, MSG_SNAPSHOT_LOADED,
		  LOG_FIELDS("HERD_SHM=%s", s->shm, "HERD_FOLDER=%s", s->folder, "HERD_FILE=%s", l->name,
			     "HERD_FIXES=%llu", (unsigned long long)l->merged),
		  "Loaded %" PRIu64 " of %" PRIu64 " fixes from '%s/%s', written %" PRId64 " s ago (%" PRIu64
		  " expired, %" PRIu64 " held already)",
		  l->merged, l->fixes, s->folder, l->name, age_ns / CLOCK_SECOND_NS, l->expired, l->held);
	if (l->error)
		log_error("%" PRIu64 " fixes of the snapshot '%s/%s' could not be stored, ignoring: %s",
			  l->failed, s->folder, l->name, strerror(-l->error));
}

static void begin_last(struct snapshot *s);

static void
end_load(struct snapshot *s)
{
	const struct snapshot_loaded *l = snapshot_load_result(s->load);
	struct snapshot_status *status = &s->status;

	say_loaded(s, l);
	status->loaded += l->merged;
	if (l->name[0]) {
		status->has_written = true;
		status->time_ns = status->current_ns = l->header.time_ns;
		status->fixes = l->fixes;
		status->bytes = l->bytes;
		status->number = l->header.number;
		/* A table that lived on, and is as it was written, is on the disk already. */
		s->has_state = true;
		s->state = l->header.state;
	}
	drop_load(s);
	s->has_loaded = true;
	if (s->is_stopping) {
		begin_last(s);
		return;
	}
	/* What members were told while it was loaded has waited long enough. */
	wait_again(s, s->has_told ? FLOOR_NS : s->interval_ns);
	tell_loaded(s);
}

static void
load_turn(struct snapshot *s)
{
	const int64_t end_ns = clock_monotonic_ns() + s->turn_ns;
	int r;

	do
		r = snapshot_load_step(s->load, keeper_table(s->keeper), LOAD_LINES);
	while (r == 0 && clock_monotonic_ns() < end_ns);
	if (r == SNAPSHOT_E_END) {
		end_load(s);
		return;
	}
	if (r == -ENOMEM) {
		give_up_load(s, "load the last one", r);
		return;
	}
	if (every_second(s)) {
		set_load_pace(s);
		if (!s->has_told || s->is_stopping)
			s->hooks.extend(s->hooks.arg, EXTEND_NS);
	}
	/* -EFAULT: until the keeper has mended the table; -EAGAIN: until somebody lets go of a bucket. */
	wait_for(s, r == 0 || r == -EAGAIN ? s->pause_ns : AGAIN_NS);
}

/* --- writing -------------------------------------------------------------------------- */

/* The one that members use now, not the one that they may have left half a second ago. */
static struct table *
current_table(struct snapshot *s)
{
	keeper_look(s->keeper);
	return keeper_table(s->keeper);
}

/* -EAGAIN: there is nothing to write from now. */
static int
start_job(struct snapshot *s, struct table *t, int64_t within_ns, int idle_share)
{
	const struct snapshot_order order = {
		.table = t,
		.folder = s->folder,
		.shm = s->shm,
		.has_state = s->has_state,
		.state = s->state,
		.within_ns = within_ns,
		.idle_share = idle_share,
	};
	int r;

	/* A table of our own alone: the members' are elsewhere, and the last snapshot has more of them. */
	if (table_is_private(t))
		return -EAGAIN;
	r = snapshot_job_new(&s->job, &order, s->wakeup);
	if (r < 0)
		return r;
	s->job_ns = s->progress_ns = clock_monotonic_ns();
	s->progress = 0;
	s->status.is_writing = true;
	return 0;
}

/* So that the one before is not older than the interval when this one is there. */
static void
wait_for_next(struct snapshot *s, int64_t took_ns)
{
	const int64_t period_ns = at_least(s->interval_ns - took_ns, s->interval_ns / 2);
	const int64_t since_ns = clock_monotonic_ns() - s->job_ns;

	s->phase = PHASE_WAIT;
	wait_for(s, at_least(period_ns - since_ns, FLOOR_NS));
}

static void
begin_write(struct snapshot *s)
{
	int r = start_job(s, current_table(s), s->interval_ns / WITHIN_SHARE, SNAPSHOT_IDLE_SHARE);

	if (r == 0) {
		s->phase = PHASE_WRITE;
		wait_for(s, OFF_NS); /* its end wakes us */
	} else if (r == -EAGAIN) {
		wait_for(s, AGAIN_NS);
	} else {
		fail(s, "start a thread", r);
		wait_again(s, at_most(s->interval_ns, RETRY_NS));
	}
}

static void
begin_last(struct snapshot *s)
{
	int r = start_job(s, current_table(s), LAST_WITHIN_NS, has_members(s) ? LAST_IDLE_SHARE : 0);

	if (r == 0) {
		s->phase = PHASE_LAST;
		wait_for(s, AGAIN_NS);
		return;
	}
	if (r != -EAGAIN)
		fail(s, "start a thread", r);
	finish(s);
}

static void
take_written(struct snapshot *s, const struct snapshot_outcome *out)
{
	struct snapshot_status *status = &s->status;

	succeed(s);
	status->written++;
	status->has_written = true;
	status->time_ns = status->current_ns = out->time_ns;
	status->fixes = out->fixes;
	status->bytes = out->bytes;
	status->number = out->number;
	status->duration_ns = out->duration_ns;
	s->has_state = true;
	s->state = out->state;
	log_event(s->phase == PHASE_LAST ? LOG_INFO : LOG_DEBUG, MSG_SNAPSHOT_WRITTEN,
		  LOG_FIELDS("HERD_SHM=%s", s->shm, "HERD_FOLDER=%s", s->folder, "HERD_FIXES=%llu",
			     (unsigned long long)out->fixes, "HERD_BYTES=%llu",
			     (unsigned long long)out->bytes),
		  "Wrote a snapshot of the table '%s': %" PRIu64 " fixes, %" PRIu64 " kB in %" PRId64 " ms",
		  s->shm, out->fixes, (out->bytes + 1023) / 1024, out->duration_ns / CLOCK_MSEC_NS);
	if (out->left_out)
		log_warning("%" PRIu64 " fixes of the table '%s' make no sense and are not in its snapshot",
			    out->left_out, s->shm);
}

/* What a job leaves behind, however it ended. */
static void
take_outcome(struct snapshot *s, const struct snapshot_outcome *out)
{
	if (out->error == 0) {
		take_written(s, out);
	} else if (out->error == SNAPSHOT_E_SAME) {
		succeed(s);
		s->status.unchanged++;
		s->status.current_ns = out->time_ns;
		log_debug("The table '%s' has not changed since its last snapshot", s->shm);
	} else if (out->error == -EFAULT && ++s->moved <= MOVED_MAX) {
		log_debug("The table '%s' was cut short while a snapshot was written", s->shm);
	} else if (out->error != -ECANCELED) {
		fail(s, out->doing, out->error);
	}
}

static void
go_on(struct snapshot *s, const struct snapshot_outcome *out)
{
	if (s->phase == PHASE_LAST_WAIT)
		begin_last(s);
	else if (s->phase == PHASE_LAST)
		finish(s);
	else if (s->phase == PHASE_OFF)
		return;
	else if (out->error == 0 || out->error == SNAPSHOT_E_SAME)
		wait_for_next(s, out->duration_ns);
	else if (out->error == -EFAULT || out->error == -ECANCELED)
		wait_again(s, AGAIN_NS);
	else
		wait_again(s, at_most(s->interval_ns, RETRY_NS));
}

static void
snapshot_on_wakeup(evutil_socket_t fd, short what, void *arg)
{
	struct snapshot *s = snapshot_check(arg);
	struct snapshot_outcome out;
	eventfd_t count;

	(void)what;
	(void)eventfd_read((int)fd, &count);
	if (!s->job || !snapshot_job_ended(s->job, &out))
		return;
	s->job = snapshot_job_free(s->job);
	s->status.is_writing = false;
	take_outcome(s, &out);
	go_on(s, &out);
}

/* While the last one is written: somebody waits for it. */
static void
watch_last(struct snapshot *s)
{
	const int64_t now_ns = clock_monotonic_ns();
	const uint64_t progress = snapshot_job_progress(s->job);

	if (progress != s->progress) {
		s->progress = progress;
		s->progress_ns = now_ns;
	}
	if (now_ns - s->progress_ns < STALL_NS) {
		s->hooks.extend(s->hooks.arg, EXTEND_NS);
		wait_for(s, AGAIN_NS);
		return;
	}
	fail(s, "write the last one", -ETIMEDOUT);
	finish(s);
}

static void
snapshot_on_tick(void *arg)
{
	struct snapshot *s = snapshot_check(arg);

	switch (s->phase) {
	case PHASE_WAIT:
		if (s->has_loaded)
			begin_write(s);
		else
			begin_load(s);
		break;
	case PHASE_LOAD:
		load_turn(s);
		break;
	case PHASE_LAST_WAIT:
	case PHASE_LAST:
		watch_last(s);
		break;
	case PHASE_OFF:
		wait_for(s, OFF_NS);
		tell_loaded(s);
		break;
	case PHASE_WRITE:
	case PHASE_END:
		break;
	}
}

/* --- life ------------------------------------------------------------------------------- */

/* The setting, or what the service manager made for us: the first of several. */
static char *
choose_folder(const struct conf *conf)
{
	const char *given = getenv("STATE_DIRECTORY");

	if (conf->snapshot_dir && conf->snapshot_dir[0])
		return strdup(conf->snapshot_dir);
	return given ? strndup(given, strcspn(given, ":")) : strdup("");
}

static int
prepare(struct snapshot *s, const struct conf *conf)
{
	s->shm = strdup(conf->shm);
	s->folder = choose_folder(conf);
	if (!s->shm || !s->folder)
		return -ENOMEM;
	s->wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->wakeup < 0)
		return -errno;
	s->on_wakeup = event_new(loop_base(s->loop), s->wakeup, EV_READ | EV_PERSIST, snapshot_on_wakeup, s);
	if (!s->on_wakeup || event_add(s->on_wakeup, NULL) < 0)
		return -ENOMEM;
	return loop_timer_new(&s->tick, s->loop, START_NS, snapshot_on_tick, s);
}

static bool
is_on(const struct snapshot *s)
{
	return s->folder[0] && s->interval_ns > 0;
}

int
snapshot_new(struct snapshot **ret, struct loop *loop, const struct conf *conf, struct keeper *keeper,
	     const struct snapshot_hooks *hooks)
{
	CLEANUP(snapshot_freep) struct snapshot *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct snapshot){
		.magic = SNAPSHOT_MAGIC,
		.loop = loop,
		.keeper = keeper,
		.hooks = *hooks,
		.wakeup = -1,
		.load_folder = -1,
		.interval_ns = conf->snapshot_interval_ns,
		.ttl_ns = conf->fix_ttl_ns,
		.failures = LOG_LIMIT("snapshots that failed", 1, 600),
	};
	r = prepare(s, conf);
	if (r < 0)
		return r;
	s->phase = is_on(s) ? PHASE_WAIT : PHASE_OFF;
	*ret = s;
	s = NULL;
	return 0;
}

void
snapshot_reload(struct snapshot *s, const struct conf *conf)
{
	s->ttl_ns = conf->fix_ttl_ns;
	if (s->interval_ns == conf->snapshot_interval_ns)
		return;
	s->interval_ns = conf->snapshot_interval_ns;
	if (s->is_stopping) {
		/* Switched off while what the last one needs was loaded: there is none, and nobody is kept waiting. */
		if (s->phase == PHASE_LOAD && !is_on(s)) {
			drop_load(s);
			finish(s);
		}
	} else if (s->phase == PHASE_OFF && is_on(s)) {
		s->phase = s->job ? PHASE_WRITE : PHASE_WAIT; /* a cancelled one, which ends soon */
		wait_for(s, START_NS);
	} else if (s->phase == PHASE_WAIT && is_on(s)) {
		wait_for(s, at_least(s->interval_ns, FLOOR_NS));
	} else if ((s->phase == PHASE_WAIT || s->phase == PHASE_WRITE || s->phase == PHASE_LOAD) &&
		   !is_on(s)) {
		drop_load(s);
		if (s->job)
			snapshot_job_cancel(s->job);
		s->phase = PHASE_OFF;
		wait_for(s, START_NS);
	}
}

void
snapshot_stop(struct snapshot *s)
{
	switch (s->phase) {
	case PHASE_WAIT:
		if (s->has_loaded)
			begin_last(s);
		else
			finish(s);
		break;
	case PHASE_WRITE:
		/* It may have passed what changed since it began, and it is slow on purpose. */
		snapshot_job_cancel(s->job);
		s->phase = PHASE_LAST_WAIT;
		s->progress_ns = clock_monotonic_ns();
		wait_for(s, AGAIN_NS);
		break;
	case PHASE_LOAD:
		/* Half of the table must not become the last one: either all of it is loaded, quickly, or,
		   when nobody could tell it anything new yet, nothing is written. */
		s->is_stopping = s->has_told;
		if (s->is_stopping)
			set_load_pace(s);
		else
			finish(s);
		break;
	case PHASE_OFF:
		finish(s);
		break;
	case PHASE_LAST_WAIT:
	case PHASE_LAST:
	case PHASE_END:
		break;
	}
}

void
snapshot_status(const struct snapshot *s, struct snapshot_status *ret)
{
	*ret = s->status;
	ret->is_on = is_on(s);
}

struct snapshot *
snapshot_free(struct snapshot *s)
{
	if (s) {
		drop_load(s);
		snapshot_job_free(s->job);
		if (s->on_wakeup)
			event_free(s->on_wakeup);
		if (s->wakeup >= 0)
			close(s->wakeup);
		loop_timer_free(s->tick);
		free(s->shm);
		free(s->folder);
		free(s);
	}
	return NULL;
}
