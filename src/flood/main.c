/*
 * herd-flood: one per host. Keeper of the fix table, and this host's end of
 * the links with the helpers of other hosts.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "conf/options.h"
#include "flood/health.h"
#include "flood/keeper.h"
#include "flood/peers.h"
#include "flood/snapshot.h"
#include "herd/events.h"
#include "net/control.h"
#include "net/loop.h"
#include "net/starts.h"

static const struct options_entry entries[] = {
	{"shm", "NAME", "shm", "Shared memory of the table to keep"},
	{"listen", "ADDR:PORT", "flood.listen", "Listen for helpers of other hosts; may be repeated"},
	{"peer", "[NAME] ADDR:PORT", "peer", "Be linked with this host; may be repeated"},
	{"name", "NAME", "flood.name", "This host's name among the hosts"},
	{0},
};
static const struct options_program program = {
	.name = "herd-flood",
	.summary = "Keeps the fix table that the herd-members of this host share, and exchanges its\n"
		   "fixes with the helpers of other hosts.",
	.entries = entries,
	.sections = CONF_SECTION_HERD | CONF_SECTION_FLOOD,
};

struct flood {
	struct options options;
	struct conf conf;
	struct notify *notify; /* NULL: no service manager */
	struct starts *starts; /* the same */
	struct loop *loop;
	struct keeper *keeper;
	struct snapshot *snapshot;
	struct peers *peers;
	bool is_ready, is_stopping;
	unsigned int unfinished; /* parts that have not stopped yet */
	struct health *health;
	struct control *control; /* NULL: nobody can ask the helper */
	struct loop_signal *term, *interrupt, *hangup;
};

static void
flood_on_stopped(void *arg)
{
	struct flood *f = arg;

	if (--f->unfinished == 0)
		loop_stop(f->loop);
}

static void
flood_on_stop(void *arg)
{
	struct flood *f = arg;

	log_info("Stopping");
	notify_stopping(f->notify);
	/* The loop goes on until the last snapshot is written and peers know; whoever asks twice does not want it. */
	if (f->is_stopping || !f->snapshot || !f->peers) {
		loop_stop(f->loop);
		return;
	}
	f->is_stopping = true;
	f->unfinished = 2;
	peers_stop(f->peers, flood_on_stopped, f);
	snapshot_stop(f->snapshot);
}

static void
flood_on_moved(void *arg)
{
	struct flood *f = arg;

	if (f->is_ready)
		(void)peers_start(f->peers, keeper_table(f->keeper));
}

static void
flood_on_describe(void *arg, struct report *r)
{
	struct flood *f = arg;

	peers_describe(f->peers, r);
}

static void
flood_on_loaded(void *arg)
{
	struct flood *f = arg;

	f->is_ready = true;
	if (!f->is_stopping)
		(void)peers_start(f->peers, keeper_table(f->keeper));
	log_event(LOG_INFO, MSG_HELPER_READY, LOG_FIELDS("HERD_SHM=%s", f->conf.shm), "Helper is ready");
	health_tell(f->health);
	starts_ready(f->starts, 0);
	notify_ready(f->notify);
}

static void
flood_on_extend(void *arg, int64_t ns)
{
	struct flood *f = arg;

	notify_extend_timeout(f->notify, ns);
}

/* What a settings file has wrong, for whoever asked to have it read; reply may be NULL. */
static void
flood_on_complaint(void *reply, const char *message)
{
	if (reply)
		control_add_to_list(reply, "messages", message);
}

static void
flood_take_settings(struct flood *f, struct json_object *reply)
{
	struct conf_changes changes;

	if (options_reload(&f->options, NULL, &f->conf, flood_on_complaint, reply, &changes) != 0)
		return;
	health_take_changes(f->health, &changes);
	if (keeper_reload(f->keeper, &f->conf) < 0)
		log_error("Cannot set the sweep's timer anew, ignoring");
	snapshot_reload(f->snapshot, &f->conf);
	if (!peers_reload(f->peers, flood_on_complaint, reply))
		return;
	for (enum conf_id id = 0; reply && id < CONF_ID_COUNT; id++) {
		if (changes.changed[id])
			control_add_to_list(reply, "changed", conf_settings[id].name);
		if (changes.needs_restart[id])
			control_add_to_list(reply, "needs_restart", conf_settings[id].name);
	}
	if (reply)
		control_set_ok(reply);
}

static void
flood_reload(struct flood *f, struct json_object *reply)
{
	/* While it is being loaded nobody has been told that it is ready. */
	if (f->is_ready)
		notify_reloading(f->notify);
	flood_take_settings(f, reply);
	health_tell(f->health);
	if (f->is_ready)
		notify_ready(f->notify);
}

static void
flood_on_hangup(void *arg)
{
	flood_reload(arg, NULL);
}

static int
flood_on_control(void *arg, struct text verb, struct text argument, struct json_object *reply)
{
	struct flood *f = arg;
	struct report report;

	if (text_equal(verb, TEXT(HERD_CONTROL_PEERS)))
		return peers_answer(f->peers, argument, reply);
	if (text_equal(verb, TEXT(HERD_CONTROL_GRAPH)))
		return peers_answer_graph(f->peers, argument, reply);
	if (text_equal(verb, TEXT(HERD_CONTROL_TRACE)))
		return peers_answer_trace(f->peers, argument, reply);
	if (argument.len > 0)
		return CONTROL_E_UNKNOWN;
	if (text_equal(verb, TEXT(HERD_CONTROL_RELOAD))) {
		flood_reload(f, reply);
	} else if (text_equal(verb, TEXT(HERD_CONTROL_STATUS))) {
		health_describe(f->health, &report);
		control_add_report(reply, &report);
		health_add_snapshot(f->health, reply);
		control_set_ok(reply);
	} else {
		return CONTROL_E_UNKNOWN;
	}
	return 0;
}

/* The helper works without it too. */
static void
flood_open_control(struct flood *f)
{
	const struct control_identity identity = {"helper", NULL, f->conf.shm, PACKAGE_VERSION};
	char path[HERD_CONTROL_PATH_MAX];
	int r;

	r = control_path(path, f->conf.control_dir, f->conf.shm, HERD_CONTROL_HELPER, NULL);
	if (r == 0)
		r = control_new(&f->control, f->loop, path, &identity, flood_on_control, f);
	if (r < 0)
		log_at(r == -ENOENT || r == -EACCES || r == -EROFS ? LOG_DEBUG : LOG_WARNING,
		       "Going on without a control socket in '%s': %s", f->conf.control_dir, strerror(-r));
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
	control_free(f->control);
	health_free(f->health);
	peers_free(f->peers);
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
	r = peers_new(&f->peers, f->loop, &f->conf);
	if (r != 0)
		return r == PEERS_E_CONFIG ? OPTIONS_E_CONFIG : -ECANCELED; /* the same */
	r = snapshot_new(&f->snapshot, f->loop, &f->conf, f->keeper, &hooks);
	if (r < 0)
		return log_error_r(r, "Cannot make snapshots");
	r = health_new(&f->health, f->loop, f->keeper, f->snapshot, f->notify);
	if (r < 0)
		return log_error_r(r, "Cannot talk to the service manager");
	keeper_on_move(f->keeper, flood_on_moved, f);
	health_ask_also(f->health, flood_on_describe, f);
	flood_open_control(f);
	return 0;
}

static int
run(struct notify *notify, struct starts *starts, int argc, char **argv)
{
	CLEANUP(flood_done) struct flood f = {.notify = notify, .starts = starts};
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
	if (r != 0)
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
	CLEANUP(starts_freep) struct starts *starts = NULL;
	int r;

	log_open(program.name, NULL);
	r = notify_new(&notify);
	if (r < 0)
		log_error_r(r, "Cannot talk to the service manager, ignoring it");
	starts_begin(&starts, notify, STARTS_BEFORE_READY);
	r = starts_exit(starts, notify, options_exit_code(run(notify, starts, argc, argv)));
	log_close();
	return r;
}
