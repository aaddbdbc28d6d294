/*
 * What the helper says about itself: how full the table is and how busy. All
 * of it is read from the table when it is due, so nothing else pays for it.
 */
#include "flood/health.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "net/control.h"

enum {
	HEALTH_MAGIC = 0x48454c50, /* "HELP" */
	SCAN_SHARE = 10000,	   /* counting fixes may take this part of the time, no more */
};

#define TELL_EVERY_NS (2 * CLOCK_SECOND_NS)

struct health {
	unsigned int magic;
	struct loop *loop;
	struct keeper *keeper;
	struct snapshot *snapshot;
	struct notify *notify;
	struct loop_timer *tell;
	struct table_info info; /* when the table was last scanned */
	int64_t info_due_ns;
	struct report_rate updates;
	uint64_t proven_turns;
	bool needs_restart[CONF_ID_COUNT];
	health_fn *also; /* NULL: nobody */
	void *also_arg;
};

static struct health *
health_check(void *arg)
{
	struct health *h = arg;

	assert(h->magic == HEALTH_MAGIC);
	return h;
}

/* --- what there is to say --------------------------------------------------------------- */

static void
scan_table(struct health *h)
{
	int64_t now_ns = clock_monotonic_ns(), worked_ns;

	if (now_ns < h->info_due_ns)
		return;
	worked_ns = clock_worked_ns();
	if (table_info(keeper_table(h->keeper), &h->info) == 0)
		h->info_due_ns = now_ns + (clock_worked_ns() - worked_ns) * SCAN_SHARE;
}

/* The living members, and all that members have ever been told. */
static unsigned int
count_members(struct health *h, uint64_t *ret_updates)
{
	struct table *table = keeper_table(h->keeper);
	struct table_process p;
	unsigned int members = 0;
	uint64_t updates = 0;
	int r;

	for (uint32_t i = 0; (r = table_process(table, i, &p)) != TABLE_E_END && r >= 0; i++) {
		if (r != 0 || p.role != TABLE_MEMBER)
			continue;
		members += p.alive;
		updates += p.counter[TABLE_COUNTER_iamat];
	}
	*ret_updates = updates;
	return members;
}

static void
describe_table(const struct health *h, struct report *r)
{
	const struct table_info *i = &h->info;

	if (keeper_is_lost(h->keeper))
		report_degraded(r, "the shared table cannot be used, trying again every second");
	else if (i->clients && i->used >= i->clients)
		report_degraded(r, "the table is full: new clients push out old ones (raise table-clients)");
	else if (i->long_clients && i->long_used >= i->long_clients)
		report_degraded(r,
				"the table is full of ids over 40 bytes: new ones push out old ones (raise "
				"table-long-clients)");
}

/* When, not how long ago: a text that changes every second would be told every second. */
static void
describe_snapshot(const struct health *h, struct report *r)
{
	struct snapshot_status s = {0};
	struct tm when;
	char text[32];
	time_t time;

	if (h->snapshot)
		snapshot_status(h->snapshot, &s);
	time = (time_t)(s.current_ns / CLOCK_SECOND_NS);
	if (s.is_loading)
		report_note(r, "loading the snapshot");
	else if (s.is_on && s.error)
		report_degraded(r, "no new snapshot, trying again: %s", s.message);
	else if (s.is_on && s.has_written && gmtime_r(&time, &when) &&
		 strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &when))
		report_fact(r, "snapshot of %" PRIu64 " at %s", s.fixes, text);
}

void
health_add_snapshot(struct health *h, struct json_object *reply)
{
	struct json_object *o = json_object_new_object();
	struct snapshot_status s = {0};

	if (h->snapshot)
		snapshot_status(h->snapshot, &s);
	if (!s.is_on || !o) {
		json_object_put(o);
		return;
	}
	if (s.has_written) {
		json_object_object_add(o, "time", json_object_new_double((double)s.time_ns / 1e9));
		json_object_object_add(o, "current", json_object_new_double((double)s.current_ns / 1e9));
		json_object_object_add(o, "age",
				       json_object_new_double((double)(clock_now_ns() - s.current_ns) / 1e9));
		json_object_object_add(o, "fixes", json_object_new_int64((int64_t)s.fixes));
		json_object_object_add(o, "bytes", json_object_new_int64((int64_t)s.bytes));
		json_object_object_add(o, "number", json_object_new_int64((int64_t)s.number));
		json_object_object_add(o, "took", json_object_new_double((double)s.duration_ns / 1e9));
	}
	json_object_object_add(o, "loaded", json_object_new_int64((int64_t)s.loaded));
	json_object_object_add(o, "written", json_object_new_int64((int64_t)s.written));
	json_object_object_add(o, "unchanged", json_object_new_int64((int64_t)s.unchanged));
	json_object_object_add(o, "failed", json_object_new_int64((int64_t)s.failed));
	if (s.error)
		control_add_string(o, "error", s.message);
	json_object_object_add(reply, "snapshot", o);
}

static void
describe_settings(const struct health *h, struct report *r)
{
	char names[REPORT_TEXT_MAX];

	if (conf_names(h->needs_restart, names, sizeof(names)) > 0)
		report_note(r, "takes effect with a restart: %s", names);
}

void
health_describe(struct health *h, struct report *ret)
{
	struct report r = {0};
	char rate[REPORT_RATE_MAX];
	uint64_t updates, fixes;
	unsigned int members = count_members(h, &updates);

	scan_table(h);
	fixes = h->info.used + h->info.long_used;
	report_fact(&r, "%" PRIu64 " fix%s held", fixes, fixes == 1 ? "" : "es");
	report_fact(&r, "%u member%s", members, members == 1 ? "" : "s");
	report_fact(&r, "%s updates/s", report_rate(&h->updates, updates, clock_monotonic_ns(), rate));
	if (h->also)
		h->also(h->also_arg, &r);
	describe_snapshot(h, &r);
	describe_table(h, &r);
	describe_settings(h, &r);
	*ret = r;
}

void
health_tell(struct health *h)
{
	char line[REPORT_LINE_MAX];
	struct report r;

	if (!h->notify)
		return;
	health_describe(h, &r);
	report_line(&r, line);
	notify_status(h->notify, line);
}

static void
health_on_tell(void *arg)
{
	health_tell(health_check(arg));
}

void
health_ask_also(struct health *h, health_fn *fn, void *arg)
{
	h->also = fn;
	h->also_arg = arg;
}

void
health_take_changes(struct health *h, const struct conf_changes *changes)
{
	memcpy(h->needs_restart, changes->needs_restart, sizeof(h->needs_restart));
}

/* --- progress ------------------------------------------------------------------------------ */

/* Turns of the loop were completed, and the keeper keeps. */
static bool
health_progress(void *arg)
{
	struct health *h = health_check(arg);
	uint64_t turns = loop_turns(h->loop);

	if (turns == h->proven_turns || !keeper_moves(h->keeper, clock_monotonic_ns()))
		return false;
	h->proven_turns = turns;
	return true;
}

/* --- coming and going ------------------------------------------------------------------------ */

int
health_new(struct health **ret, struct loop *loop, struct keeper *keeper, struct snapshot *snapshot,
	   struct notify *notify)
{
	CLEANUP(health_freep) struct health *h = calloc(1, sizeof(*h));
	int r = 0;

	if (!h)
		return -ENOMEM;
	*h = (struct health){.magic = HEALTH_MAGIC,
			     .loop = loop,
			     .keeper = keeper,
			     .snapshot = snapshot,
			     .notify = notify};
	if (notify)
		r = loop_timer_new(&h->tell, loop, TELL_EVERY_NS, health_on_tell, h);
	if (r == 0)
		r = notify_attach(notify, loop, health_progress, h);
	if (r < 0)
		return r;
	*ret = h;
	h = NULL;
	return 0;
}

struct health *
health_free(struct health *h)
{
	if (!h)
		return NULL;
	notify_detach(h->notify);
	loop_timer_free(h->tell);
	h->magic = 0;
	free(h);
	return NULL;
}
