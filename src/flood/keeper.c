/*
 * The keeper walks through the table in slices, so that whatever else the
 * helper does never waits longer than one slice takes. A table that fits is
 * walked once per sweep-interval; a larger one at a steady pace instead, slow
 * enough to cost about one hundredth of a core, because nothing depends on the
 * sweep: expired fixes are absent to every reader already, and locks of the
 * dead are taken by whoever needs them first. What the sweep is for is room,
 * and an idle host that stays clean.
 */
#include "flood/keeper.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/table.h"
#include "herd/events.h"

enum {
	KEEPER_MAGIC = 0x4b454550, /* "KEEP" */
	SLICE = 16384,		   /* slots looked at in one turn of the loop: less than a millisecond */
};

#define TURN_NS	  (80 * CLOCK_MSEC_NS) /* the steady pace: 200,000 slots a second */
#define FOLLOW_NS CLOCK_SECOND_NS
#define NAME	  "helper"

/* What was already told, of counters that only grow. */
struct told {
	uint64_t evicted, expired, stolen, damaged;
};

struct keeper {
	unsigned int magic;
	struct loop *loop;
	struct loop_timer *sweep, *follow;
	struct table *table;
	char *shm;
	int64_t interval_ns; /* sweep-interval */
	int64_t told_ns;
	int64_t pace_ns;	       /* between two slices */
	int64_t swept_ns, followed_ns; /* when the cursor last moved, when the name was last looked at */
	uint64_t cursor;
	uint32_t self; /* our entry among the table's processes */
	struct told told;
	loop_fn *moved; /* NULL: nobody asked */
	void *moved_arg;
	bool lost; /* the table is a private one: said */
	int fault;
	struct log_limit full, rescued;
};

static struct keeper *
keeper_check(void *arg)
{
	struct keeper *k = arg;

	assert(k->magic == KEEPER_MAGIC);
	return k;
}

/* --- the table, at the start and after a move ------------------------------- */

/* Finds our own entry: whose counters are ours, and what they start from. */
static void
find_self(struct keeper *k)
{
	struct table_process p;
	struct table_info info;
	int r;

	k->told = (struct told){0};
	if (table_info(k->table, &info) == 0)
		k->told.evicted = info.evicted;
	for (k->self = 0; (r = table_process(k->table, k->self, &p)) != TABLE_E_END && r >= 0; k->self++) {
		if (r == 0 && p.alive && p.role == TABLE_HELPER && p.pid == getpid()) {
			k->told.expired = p.counter[TABLE_COUNTER_expired];
			k->told.stolen = p.counter[TABLE_COUNTER_stolen];
			k->told.damaged = p.counter[TABLE_COUNTER_damaged];
			return;
		}
	}
}

/* Says who keeps the table already. */
static int
refuse_second(const struct keeper *k)
{
	struct table_process p;
	pid_t pid = 0;
	int r;

	for (uint32_t i = 0; (r = table_process(k->table, i, &p)) != TABLE_E_END && r >= 0; i++)
		if (r == 0 && p.alive && p.role == TABLE_HELPER && p.pid != getpid())
			pid = p.pid;
	log_event(LOG_ERR, MSG_HELPER_TAKEN, LOG_FIELDS("HERD_SHM=%s", k->shm, "HERD_PID=%d", (int)pid),
		  "Another helper keeps the table '%s' already (process %d)", k->shm, (int)pid);
	return KEEPER_E_TAKEN;
}

static void
say_opened(struct keeper *k, const struct table_options *options, int64_t began_ns)
{
	struct table_info info;

	if (table_info(k->table, &info) != 0)
		return;
	if (info.created_ns >= began_ns) {
		log_event(LOG_INFO, MSG_TABLE_CREATED, LOG_FIELDS("HERD_SHM=%s", k->shm),
			  "Created the table '%s' for %" PRIu32 " clients, %" PRIu64 " kB", k->shm,
			  info.clients, info.bytes / 1024);
		return;
	}
	log_event(LOG_INFO, MSG_TABLE_ADOPTED, LOG_FIELDS("HERD_SHM=%s", k->shm),
		  "Adopted the table '%s' with %" PRIu64 " of %" PRIu32 " clients", k->shm,
		  info.used + info.long_used, info.clients);
	if (info.clients != options->clients || info.long_clients != options->long_clients)
		log_notice("The table '%s' was made for %" PRIu32 " clients and %" PRIu32
			   " with long ids: table-clients takes effect when it is made anew",
			   k->shm, info.clients, info.long_clients);
}

static int
open_table(struct keeper *k, const struct conf *conf)
{
	struct table_options options = conf_table_options(conf);
	int64_t began_ns = clock_now_ns();
	int r;

	r = table_open(&k->table, &options);
	if (r < 0)
		return log_error_r(r, "Cannot open the table '%s'", k->shm);
	r = table_register(k->table, TABLE_HELPER, NAME, "");
	if (r == TABLE_E_NAME_TAKEN)
		return refuse_second(k);
	if (r != 0) {
		r = r > 0 ? -EBUSY : r;
		return log_error_r(r, "Cannot register with the table '%s'", k->shm);
	}
	say_opened(k, &options, began_ns);
	find_self(k);
	return 0;
}

/* --- what happened to it since ------------------------------------------------ */

static void
say_rescued(struct keeper *k, uint64_t stolen, uint64_t damaged, int64_t now_ns)
{
	if ((stolen || damaged) && log_limit_allow(&k->rescued, now_ns))
		log_event(LOG_NOTICE, MSG_TABLE_RESCUED,
			  LOG_FIELDS("HERD_LOCKS=%llu", (unsigned long long)stolen, "HERD_FIXES=%llu",
				     (unsigned long long)damaged),
			  "Cleaned up the table: took %" PRIu64 " locks from the dead, freed %" PRIu64
			  " damaged fixes",
			  stolen, damaged);
}

static void
say_evicted(struct keeper *k, uint64_t evicted, int64_t now_ns)
{
	if (evicted && log_limit_allow(&k->full, now_ns))
		log_event(LOG_WARNING, MSG_TABLE_FULL,
			  LOG_FIELDS("HERD_EVICTED=%llu", (unsigned long long)evicted),
			  "The table '%s' is full: %" PRIu64
			  " of the oldest fixes gave way to new clients (raise table-clients)",
			  k->shm, evicted);
}

/* Looks at the counters at most once a second; they are few, the control lines behind table_info() many. */
static void
say_news(struct keeper *k)
{
	int64_t now_ns = clock_monotonic_ns();
	struct table_process p;
	struct table_info info;
	struct told now;

	if (now_ns - k->told_ns < CLOCK_SECOND_NS || table_process(k->table, k->self, &p) != 0 ||
	    table_info(k->table, &info) != 0)
		return;
	now = (struct told){
		.evicted = info.evicted,
		.expired = p.counter[TABLE_COUNTER_expired],
		.stolen = p.counter[TABLE_COUNTER_stolen],
		.damaged = p.counter[TABLE_COUNTER_damaged],
	};
	if (now.expired > k->told.expired)
		log_debug("Removed %" PRIu64 " fixes because of their age", now.expired - k->told.expired);
	say_rescued(k, now.stolen - k->told.stolen, now.damaged - k->told.damaged, now_ns);
	say_evicted(k, now.evicted - k->told.evicted, now_ns);
	k->told = now;
	k->told_ns = now_ns;
}

/* --- turns ---------------------------------------------------------------------- */

/* So many slices spread over the interval, none faster than the steady pace. */
static int
set_pace(struct keeper *k)
{
	int64_t floor_ns = k->interval_ns < TURN_NS ? k->interval_ns : TURN_NS, turn_ns = k->interval_ns;
	struct table_info info;

	if (table_info(k->table, &info) == 0)
		turn_ns /= (int64_t)((info.slots + info.long_slots) / SLICE + 1);
	if (turn_ns < floor_ns)
		turn_ns = floor_ns;
	if (turn_ns == k->pace_ns)
		return 0; /* set anew, a timer begins to wait anew */
	/* What was in time by the old pace must not be late by the new one. */
	if (keeper_moves(k, clock_monotonic_ns()))
		k->swept_ns = clock_monotonic_ns();
	k->pace_ns = turn_ns;
	return loop_timer_set(k->sweep, k->pace_ns);
}

static void
say_moved(struct keeper *k)
{
	if (k->lost)
		log_event(LOG_NOTICE, MSG_TABLE_RECOVERED, LOG_FIELDS("HERD_SHM=%s", k->shm),
			  "The table '%s' is back, with the fixes known here", k->shm);
	else
		log_event(LOG_NOTICE, MSG_TABLE_REPLACED, LOG_FIELDS("HERD_SHM=%s", k->shm),
			  "The table '%s' was removed or replaced: moved to the new one, with the fixes that "
			  "were left",
			  k->shm);
	k->lost = false;
}

static void
follow(struct keeper *k)
{
	int r = table_refresh(k->table);

	if (r == TABLE_E_MOVED) {
		say_moved(k);
		k->cursor = 0;
		find_self(k);
		(void)set_pace(k);
		if (k->moved)
			k->moved(k->moved_arg);
	} else if (r == -EEXIST) {
		k->fault = refuse_second(k);
		loop_stop(k->loop);
	} else if (r < 0 && !k->lost) {
		k->lost = true;
		log_event(LOG_ERR, MSG_TABLE_LOST, LOG_FIELDS("HERD_SHM=%s", k->shm, "ERRNO=%d", -r),
			  "The table '%s' cannot be used, trying again every second: %s", k->shm,
			  strerror(-r));
	} else if (r == 0 && k->lost) {
		say_moved(k);
	}
}

static void
keeper_on_follow(void *arg)
{
	struct keeper *k = keeper_check(arg);

	follow(k);
	k->followed_ns = clock_monotonic_ns();
}

static void
keeper_on_sweep(void *arg)
{
	struct keeper *k = keeper_check(arg);
	uint64_t before = k->cursor;
	int r = table_sweep(k->table, &k->cursor, SLICE, clock_now_ns());

	if (r == TABLE_E_END || k->cursor != before)
		k->swept_ns = clock_monotonic_ns();
	if (r == TABLE_E_END)
		say_news(k);
	else if (r < 0)
		follow(k);
}

/* --- life ------------------------------------------------------------------------ */

int
keeper_new(struct keeper **ret, struct loop *loop, const struct conf *conf)
{
	CLEANUP(keeper_freep) struct keeper *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return log_error_r(-ENOMEM, "Cannot keep a table");
	*k = (struct keeper){
		.magic = KEEPER_MAGIC,
		.loop = loop,
		.interval_ns = conf->sweep_interval_ns,
		.shm = strdup(conf->shm),
		.full = LOG_LIMIT("the full table", 1, 60),
		.rescued = LOG_LIMIT("rescues", 10, 60),
	};
	if (!k->shm)
		return log_error_r(-ENOMEM, "Cannot keep a table");
	k->swept_ns = k->followed_ns = clock_monotonic_ns();
	r = open_table(k, conf);
	if (r != 0)
		return r;
	r = loop_timer_new(&k->sweep, loop, k->interval_ns, keeper_on_sweep, k);
	if (r == 0)
		r = set_pace(k);
	if (r == 0)
		r = loop_timer_new(&k->follow, loop, FOLLOW_NS, keeper_on_follow, k);
	if (r < 0)
		return log_error_r(r, "Cannot set timers");
	*ret = k;
	k = NULL;
	return 0;
}

int
keeper_reload(struct keeper *k, const struct conf *conf)
{
	table_set_ttl(k->table, conf->fix_ttl_ns);
	k->interval_ns = conf->sweep_interval_ns;
	return set_pace(k);
}

void
keeper_on_move(struct keeper *k, loop_fn *fn, void *arg)
{
	k->moved = fn;
	k->moved_arg = arg;
}

int
keeper_fault(const struct keeper *k)
{
	return k->fault;
}

void
keeper_look(struct keeper *k)
{
	follow(k);
}

struct table *
keeper_table(struct keeper *k)
{
	return k->table;
}

bool
keeper_is_lost(const struct keeper *k)
{
	return k->lost || table_is_private(k->table);
}

/* Twice the pace: a timer that is due in this very turn may not have had its call yet. */
bool
keeper_moves(const struct keeper *k, int64_t now_ns)
{
	return now_ns - k->swept_ns < 2 * k->pace_ns + FOLLOW_NS && now_ns - k->followed_ns < 2 * FOLLOW_NS;
}

struct keeper *
keeper_free(struct keeper *k)
{
	if (k) {
		loop_timer_free(k->sweep);
		loop_timer_free(k->follow);
		table_free(k->table);
		free(k->shm);
		free(k);
	}
	return NULL;
}
