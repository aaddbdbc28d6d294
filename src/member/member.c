/*
 * Member: putting the parts together, taking new settings over while it runs,
 * taking it apart again.
 */
#include "config.h"

#include "member/member-private.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "herd/events.h"
#include "member/answer.h"
#include "member/crowd.h"
#include "member/door.h"
#include "member/session.h"
#include "member/supply.h"
#include "net/trace.h"

enum {
	TICK_MS = 250,		    /* deadlines */
	TICK_LATE_MS = 2 * TICK_MS, /* later than that, and this process was stopped */
	RETRY_MS = 5,		    /* fixes that wait for a place in the table */
	FOLLOW_MS = 1000,	    /* is the table's name still ours? */
	DATAGRAM_ROOM = 65536,
	DESCRIPTORS_ELSE = 256, /* for all that is no connection */
};

/* --- counting -------------------------------------------------------------- */

void
member_publish_counts(struct member *m)
{
	m->updates += (uint64_t)m->count[TABLE_COUNTER_iamat];
	for (int i = 0; i < TABLE_COUNTER_COUNT; i++) {
		if (m->count[i] == 0)
			continue;
		table_count(m->table, (enum table_counter)i, m->count[i]);
		m->count[i] = 0;
	}
}

/* --- settings ---------------------------------------------------------------- */

/* Room for the longest piece of a line and one recv behind it, and for its "? " copy; never shrinks. */
static int
member_make_room(struct member *m)
{
	uint32_t line_room = m->conf.line_max > m->line_room ? m->conf.line_max : m->line_room;
	uint32_t work_room = m->conf.work_max > m->work_room ? m->conf.work_max : m->work_room;
	size_t size = (size_t)line_room + 2 + work_room;
	struct session *s;
	char *input;

	if (size < DATAGRAM_ROOM)
		size = DATAGRAM_ROOM;
	if (size > m->input_size) {
		input = realloc(m->input, size);
		if (!input) { /* before the first one there is nothing to fall back to */
			m->conf.line_max = m->line_room;
			m->conf.work_max = m->work_room;
			return -ENOMEM;
		}
		m->input = input;
		m->input_size = size;
	}
	m->line_room = line_room;
	m->work_room = work_room;
	m->output.max = MEMBER_OUTPUT_FULL +
			(line_room + 3 > MEMBER_ANSWER_MAX ? line_room + 3 : (size_t)MEMBER_ANSWER_MAX);
	for (s = TAILQ_FIRST(&m->sessions); s; s = TAILQ_NEXT(s, in_member))
		s->in.max = m->input_size;
	return 0;
}

/* Descriptors this process may have, at most `wanted`; a login shell allows 1,024 at first. */
static rlim_t
raise_descriptors(rlim_t wanted)
{
	struct rlimit limit, raised;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return wanted;
	raised = limit;
	raised.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

/* One connection needs one. The rest is for reading settings, files and the table again: where there are too
   few for all, clients wait, and what an operator asks for still works. */
static void
member_allow_descriptors(struct member *m)
{
	rlim_t wanted = (rlim_t)m->conf.connections_max + DESCRIPTORS_ELSE;
	rlim_t allowed = raise_descriptors(wanted);
	rlim_t rest = allowed / 4 < DESCRIPTORS_ELSE ? allowed / 4 : DESCRIPTORS_ELSE;

	m->session_room = (uint32_t)(allowed - rest);
	if (allowed < wanted)
		log_notice("Only %llu descriptors are allowed: of connections-max = %u there will be %u, "
			   "further clients will wait",
			   (unsigned long long)allowed, m->conf.connections_max, m->session_room);
}

static void
member_apply(struct member *m)
{
	table_set_ttl(m->table, m->conf.fix_ttl_ns);
	supply_apply(m);
}

/* What a settings file has wrong, for whoever asked to have it read; reply may be NULL. */
static void
member_on_complaint(void *reply, const char *message)
{
	if (reply)
		control_add_to_list(reply, "messages", message);
}

static void
member_take_settings(struct member *m, struct json_object *reply)
{
	struct conf_changes changes;

	/* Says by itself what changed, what has to wait for a restart, what is wrong. */
	if (options_reload(m->options, m->name, &m->conf, member_on_complaint, reply, &changes) != 0)
		return;
	memcpy(m->health.needs_restart, changes.needs_restart, sizeof(m->health.needs_restart));
	if (member_make_room(m) < 0)
		log_error("No memory for a longer line-max or work-max; the old ones stay");
	if (changes.changed[CONF_ID_connections_max])
		member_allow_descriptors(m);
	member_apply(m);
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
member_reload(struct member *m, struct json_object *reply)
{
	notify_reloading(m->health.notify);
	member_take_settings(m, reply);
	health_tell(m);
	notify_ready(m->health.notify);
}

static void
member_on_reload(void *arg)
{
	member_reload(arg, NULL);
}

/* --- control -------------------------------------------------------------------------- */

static void
member_describe(struct member *m, struct json_object *reply)
{
	struct report report;

	health_describe(m, &report);
	control_add_report(reply, &report);
	control_add_number(reply, "clients", m->session_count);
	control_add_bool(reply, "draining", m->closing.is_draining);
	control_add_bool(reply, "idle", closing_is_idle(m));
	supply_add_states(m, reply);
	control_set_ok(reply);
}

/* For an operator who is going to stop it when its clients have gone. */
static void
member_drain(struct member *m, struct json_object *reply)
{
	event_del(m->hold);
	m->health.held_ns = 0;
	m->health.adopted = false; /* doors are closed because they have to be */
	closing_drain(m);
	health_tell(m);
	member_describe(m, reply);
}

static int
member_on_control(void *arg, struct text verb, struct text argument, struct json_object *reply)
{
	struct member *m = arg;
	struct herd_fix fix;

	assert(m->magic == MEMBER_MAGIC);
	if (text_equal(verb, TEXT(HERD_CONTROL_TRACE)))
		return trace_answer(m->table, argument, reply, &fix) == CONTROL_E_UNKNOWN ? CONTROL_E_UNKNOWN
											  : 0;
	if (argument.len > 0)
		return CONTROL_E_UNKNOWN;
	if (text_equal(verb, TEXT(HERD_CONTROL_RELOAD))) {
		member_reload(m, reply);
	} else if (text_equal(verb, TEXT(HERD_CONTROL_STATUS))) {
		member_describe(m, reply);
	} else if (text_equal(verb, TEXT(HERD_CONTROL_DRAIN))) {
		member_drain(m, reply);
	} else {
		return CONTROL_E_UNKNOWN;
	}
	return 0;
}

/* Members serve without it too. */
static void
member_open_control(struct member *m)
{
	const struct control_identity identity = {"member", m->name, m->conf.shm, PACKAGE_VERSION};
	char path[HERD_CONTROL_PATH_MAX];
	int r;

	r = control_path(path, m->conf.control_dir, m->conf.shm, HERD_CONTROL_MEMBER, m->name);
	if (r == 0)
		r = control_new(&m->control, m->loop, path, &identity, member_on_control, m);
	if (r < 0)
		log_at(r == -ENOENT || r == -EACCES || r == -EROFS ? LOG_DEBUG : LOG_WARNING,
		       "Going on without a control socket in '%s': %s", m->conf.control_dir, strerror(-r));
}

/* --- time ------------------------------------------------------------------------------ */

/* A process that was stopped has not read what its clients sent meanwhile: their deadlines were stopped, too. */
static void
member_pass_time(struct member *m)
{
	int64_t now_ns = clock_monotonic_ns();
	int64_t passed_ns = now_ns - m->ticked_ns;

	m->now_ns += passed_ns < TICK_LATE_MS * CLOCK_MSEC_NS ? passed_ns : TICK_MS * CLOCK_MSEC_NS;
	m->ticked_ns = now_ns;
}

static void
member_on_tick(void *arg)
{
	struct member *m = arg;
	struct session *s, *next;

	member_pass_time(m);
	for (s = TAILQ_FIRST(&m->sessions); s; s = next) {
		next = TAILQ_NEXT(s, in_member);
		session_check_deadlines(s);
	}
	if (m->ticked_ns - m->followed_ns >= FOLLOW_MS * CLOCK_MSEC_NS)
		member_follow_table(m);
	member_publish_counts(m);
	closing_tick(m);
	health_tick(m);
}

void
member_retry_soon(struct member *m)
{
	const struct timeval wait = {.tv_usec = RETRY_MS * 1000};

	if (!evtimer_pending(m->retry, NULL))
		evtimer_add(m->retry, &wait);
}

static void
member_on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct member *m = arg;

	(void)fd;
	(void)what;
	assert(m->magic == MEMBER_MAGIC);
	answer_retry_stores(m);
	m->health.retries++;
	if (!TAILQ_EMPTY(&m->waiting_store))
		member_retry_soon(m);
	member_publish_counts(m);
}

/* --- holding back after bad starts ------------------------------------------------------------- */

static void
member_on_hold_over(evutil_socket_t fd, short what, void *arg)
{
	struct member *m = arg;

	(void)fd;
	(void)what;
	assert(m->magic == MEMBER_MAGIC);
	m->health.held_ns = 0;
	for (size_t i = 0; i < m->door_count; i++)
		door_open(m->doors[i]);
	health_tell(m);
}

/* Clients wait in the kernel's queue; all the rest works. */
static void
member_hold(struct member *m)
{
	int64_t hold_ns = starts_hold(m->health.starts);
	const struct timeval wait = {
		.tv_sec = hold_ns / CLOCK_SECOND_NS,
		.tv_usec = hold_ns % CLOCK_SECOND_NS / 1000,
	};

	starts_ready(m->health.starts, hold_ns);
	if (hold_ns == 0 || evtimer_add(m->hold, &wait) < 0)
		return;
	m->health.held_ns = clock_monotonic_ns() + hold_ns;
	for (size_t i = 0; i < m->door_count; i++)
		door_close(m->doors[i]);
}

static void
member_on_stop(void *arg)
{
	struct member *m = arg;

	notify_stopping(m->health.notify);
	event_del(m->hold);
	m->health.adopted = false; /* doors are closed because it ends */
	closing_begin(m);
}

static int
member_start_timers(struct member *m)
{
	int r;

	r = loop_signal_new(&m->on_term, m->loop, SIGTERM, member_on_stop, m);
	if (r == 0)
		r = loop_signal_new(&m->on_int, m->loop, SIGINT, member_on_stop, m);
	if (r == 0)
		r = loop_signal_new(&m->on_hup, m->loop, SIGHUP, member_on_reload, m);
	if (r == 0)
		r = loop_timer_new(&m->tick, m->loop, TICK_MS * CLOCK_MSEC_NS, member_on_tick, m);
	m->retry = evtimer_new(loop_base(m->loop), member_on_retry, m);
	m->hold = evtimer_new(loop_base(m->loop), member_on_hold_over, m);
	if (!m->retry || !m->hold)
		r = -ENOMEM;
	return r < 0 ? log_error_r(r, "Cannot set up timers and signals") : 0;
}

/* --- coming and going --------------------------------------------------------------------- */

static int
member_set_up(struct member *m)
{
	int r;

	r = loop_new(&m->loop);
	if (r < 0)
		return log_error_r(r, "Cannot make an event loop");
	member_allow_descriptors(m);
	m->turn.max = MEMBER_TURN_MAX;
	r = member_make_room(m);
	if (r < 0)
		return log_error_r(r, "Cannot make buffers");
	r = crowd_new(&m->crowd);
	if (r < 0)
		return log_error_r(r, "Cannot count connections");
	r = member_start_timers(m);
	if (r < 0)
		return r;
	r = notify_attach(m->health.notify, m->loop, health_progress, m);
	if (r < 0)
		return log_error_r(r, "Cannot talk to the service manager");
	r = member_open_doors(m);
	if (r < 0)
		return r;
	r = member_open_table(m);
	if (r != 0)
		return r;
	r = supply_open(m);
	if (r < 0)
		return r;
	member_open_control(m);
	return 0;
}

int
member_new(struct member **ret, const struct options *options, struct conf *conf, const char *name,
	   struct notify *notify, struct starts *starts)
{
	CLEANUP(member_freep) struct member *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return log_error_r(-ENOMEM, "Cannot make a member");
	m->magic = MEMBER_MAGIC;
	m->options = options;
	m->conf = *conf;
	*conf = (struct conf){0};
	m->name = name;
	m->server = text_of(name);
	m->health.notify = notify;
	m->health.starts = starts;
	m->now_ns = m->ticked_ns = clock_monotonic_ns();
	TAILQ_INIT(&m->sessions);
	TAILQ_INIT(&m->sending);
	TAILQ_INIT(&m->waiting_store);
	confirm_init(m);
	r = member_set_up(m);
	if (r != 0)
		return r;
	*ret = m;
	m = NULL;
	return 0;
}

struct member *
member_free(struct member *m)
{
	if (!m)
		return NULL;
	while (!TAILQ_EMPTY(&m->sessions))
		session_free(TAILQ_FIRST(&m->sessions));
	crowd_free(m->crowd);
	while (m->door_count > 0)
		door_free(m->doors[--m->door_count]);
	closing_done(m);
	confirm_done(m);
	control_free(m->control);
	source_free(m->source);
	if (m->table)
		member_publish_counts(m);
	table_free(m->table);
	loop_timer_free(m->tick);
	if (m->retry)
		event_free(m->retry);
	if (m->hold)
		event_free(m->hold);
	notify_detach(m->health.notify);
	loop_signal_free(m->on_hup);
	loop_signal_free(m->on_int);
	loop_signal_free(m->on_term);
	loop_free(m->loop);
	free(m->spare_reply);
	buffer_done(&m->output);
	buffer_done(&m->turn);
	free(m->input);
	conf_done(&m->conf);
	m->magic = 0;
	free(m);
	return NULL;
}

static void
member_after_turn(void *arg)
{
	struct member *m = arg;

	assert(m->magic == MEMBER_MAGIC);
	m->turns = 0;
	session_send_all(m);
	confirm_after_turn(m);
}

int
member_run(struct member *m)
{
	int r;

	log_event(LOG_INFO, MSG_MEMBER_READY, LOG_FIELDS("HERD_SHM=%s", m->conf.shm), "Member '%s' is ready",
		  m->name);
	member_hold(m);
	health_tell(m);
	notify_ready(m->health.notify);
	loop_after_turn(m->loop, member_after_turn, m);
	r = loop_run(m->loop);
	return r < 0 ? log_error_r(r, "The event loop failed") : 0;
}
