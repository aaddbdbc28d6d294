/*
 * herd-flood: one per host. So far it is the keeper of the fix table; links to
 * the helpers of other hosts will live in this loop as well.
 */
#include <errno.h>
#include <signal.h>

#include "base/log.h"
#include "conf/options.h"
#include "flood/health.h"
#include "flood/keeper.h"
#include "flood/snapshot.h"
#include "herd/events.h"
#include "net/loop.h"

static const struct options_entry entries[] = {
	{"shm", "NAME", "shm", "Shared memory of the table to keep"},
	{0},
};
static const struct options_program program = {
	.name = "herd-flood",
	.summary = "Keeps the fix table that the herd-members of this host share.",
	.entries = entries,
	.sections = CONF_SECTION_HERD | CONF_SECTION_FLOOD,
};

struct flood {
	struct options options;
	struct conf conf;
	struct notify *notify; /* NULL: no service manager */
	struct loop *loop;
	struct keeper *keeper;
	struct snapshot *snapshot;
	bool is_ready, is_stopping;
	struct health *health;
	struct loop_signal *term, *interrupt, *hangup;
};

static void
flood_on_stop(void *arg)
{
	struct flood *f = arg;

	log_info("Stopping");
	notify_stopping(f->notify);
	/* The loop goes on until the last snapshot is written; whoever asks twice does not want it. */
	if (f->snapshot && !f->is_stopping)
		snapshot_stop(f->snapshot);
	else
		loop_stop(f->loop);
	f->is_stopping = true;
}

static void
flood_on_stopped(void *arg)
{
	struct flood *f = arg;

	loop_stop(f->loop);
}

static void
flood_on_loaded(void *arg)
{
	struct flood *f = arg;

	f->is_ready = true;
	log_event(LOG_INFO, MSG_HELPER_READY, LOG_FIELDS("HERD_SHM=%s", f->conf.shm), "Helper is ready");
	health_tell(f->health);
	notify_ready(f->notify);
}

static void
flood_on_extend(void *arg, int64_t ns)
{
	struct flood *f = arg;

	notify_extend_timeout(f->notify, ns);
}

static int
flood_reload(struct flood *f)
{
	struct conf_changes changes;
	int r;

	r = options_reload(&f->options, NULL, &f->conf, &changes);
	if (r != 0)
		return r;
	health_take_changes(f->health, &changes);
	if (keeper_reload(f->keeper, &f->conf) < 0)
		log_error("Cannot set the sweep's timer anew, ignoring");
	snapshot_reload(f->snapshot, &f->conf);
	return 0;
}

static void
flood_on_hangup(void *arg)
{
	struct flood *f = arg;

	/* While it is being loaded nobody has been told that it is ready. */
	if (f->is_ready)
		notify_reloading(f->notify);
	(void)flood_reload(f);
	health_tell(f->health);
	if (f->is_ready)
		notify_ready(f->notify);
}

/* Signals first: from here on none of them ends the program halfway through something. */
static int
flood_catch_signals(struct flood *f)
{
	int r = loop_signal_new(&f->term, f->loop, SIGTERM, flood_on_stop, f);

	if (r == 0)
		r = loop_signal_new(&f->interrupt, f->loop, SIGINT, flood_on_stop, f);
	if (r == 0)
		r = loop_signal_new(&f->hangup, f->loop, SIGHUP, flood_on_hangup, f);
	return r;
}

static void
flood_done(struct flood *f)
{
	health_free(f->health);
	snapshot_free(f->snapshot);
	keeper_free(f->keeper);
	loop_signal_free(f->term);
	loop_signal_free(f->interrupt);
	loop_signal_free(f->hangup);
	loop_free(f->loop);
	conf_done(&f->conf);
	options_done(&f->options);
}

static int
flood_new_parts(struct flood *f)
{
	const struct snapshot_hooks hooks = {f, flood_on_loaded, flood_on_extend, flood_on_stopped};
	int r;

	r = keeper_new(&f->keeper, f->loop, &f->conf);
	if (r != 0)
		return -ECANCELED; /* already said */
	r = snapshot_new(&f->snapshot, f->loop, &f->conf, f->keeper, &hooks);
	if (r < 0)
		return log_error_r(r, "Cannot make snapshots");
	r = health_new(&f->health, f->loop, f->keeper, f->snapshot, f->notify);
	if (r < 0)
		return log_error_r(r, "Cannot talk to the service manager");
	return 0;
}

static int
run(struct notify *notify, int argc, char **argv)
{
	CLEANUP(flood_done) struct flood f = {.notify = notify};
	int r;

	r = options_parse(&f.options, &program, argc, argv, stdout, stderr);
	if (r == 0)
		r = options_load(&f.options, NULL, &f.conf, stdout);
	if (r != 0)
		return r;
	r = loop_new(&f.loop);
	if (r == 0)
		r = flood_catch_signals(&f);
	if (r < 0)
		return log_error_r(r, "Cannot start");
	r = flood_new_parts(&f);
	if (r < 0)
		return r;
	r = loop_run(f.loop);
	if (r < 0)
		return log_error_r(r, "Cannot wait for events");
	return keeper_fault(f.keeper) ? -ECANCELED : 0;
}

int
main(int argc, char **argv)
{
	CLEANUP(notify_freep) struct notify *notify = NULL;
	int r;

	log_open(program.name, NULL);
	r = notify_new(&notify);
	if (r < 0)
		log_error_r(r, "Cannot talk to the service manager, ignoring it");
	r = options_exit_code(run(notify, argc, argv));
	if (r != 0)
		notify_status_now(notify, log_last_error());
	log_close();
	return r;
}
