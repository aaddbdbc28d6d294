/*
 * A wake-up costs the member that sends it about 8 us, a look at an idle
 * table's marks about 2 us. So members wake the helper as long as they change
 * little, and are not asked to while a look a millisecond finds plenty.
 */
#include "flood/drain.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/wake.h"

enum {
	DRAIN_MAGIC = 0x4452414e, /* "DRAN" */
	TURN_FIXES = 2048,	  /* taken in one turn of the loop: a millisecond or two */
	PLENTY = 4,		  /* changes found in one look that are worth another in a millisecond */
	SWEEPS_PER_S = 10,
	SWEEP_MAX = 1 << 18, /* slots in one turn: larger tables are swept more slowly */
};

#define POLL_NS	 CLOCK_MSEC_NS
#define SWEEP_NS (CLOCK_SECOND_NS / SWEEPS_PER_S)

struct drain {
	unsigned int magic;
	struct loop *loop;
	struct wake *wake;	  /* NULL: could not be had */
	struct loop_timer *poll;  /* NULL: asleep, or nothing to look at */
	struct loop_timer *sweep; /* while there is a replica */
	struct replica *replica;  /* not owned */
	char *folder, *shm;
	int sender; /* wakes members; -1: could not be had */
	bool is_lost;
};

static struct drain *
drain_check(void *arg)
{
	struct drain *d = arg;

	assert(d->magic == DRAIN_MAGIC);
	return d;
}

static void
lose(struct drain *d)
{
	d->is_lost = true;
	d->poll = loop_timer_free(d->poll);
}

/* --- members that wait for peers --------------------------------------------- */

static void
wake_member(void *arg, const char *name)
{
	struct drain *d = arg;
	char path[HERD_CONTROL_PATH_MAX];

	/* A member that is not there, or has not read the last one, needs none. */
	if (d->sender >= 0 && wake_path(path, d->folder, d->shm, name) == 0)
		(void)wake_send(d->sender, path);
}

void
drain_confirm(struct drain *d)
{
	if (d->replica && !d->is_lost)
		replica_confirm(d->replica, wake_member, d);
}

/* --- taking changes ------------------------------------------------------------ */

static void drain_on_poll(void *arg);

static void
keep_polling(struct drain *d)
{
	if (!d->poll && loop_timer_new(&d->poll, d->loop, POLL_NS, drain_on_poll, d) < 0)
		lose(d); /* out of memory: the sweep goes on */
}

/* A look at all marks, or at as many as fit a turn. *ret_found: changes. 0: there is more; REPLICA_E_END. */
static int
take(struct drain *d, uint64_t *ret_found)
{
	const uint64_t before = replica_figures(d->replica)->local;
	int r = replica_drain(d->replica, TURN_FIXES, clock_now_ns());

	if (r < 0)
		lose(d);
	else
		drain_confirm(d);
	*ret_found = replica_figures(d->replica)->local - before;
	return r;
}

/* Asleep, if a round that begins after we said so finds nothing: members that were not told to wake us are in it. */
static bool
fall_asleep(struct drain *d)
{
	uint64_t found;

	return d->wake && table_sleep(replica_table(d->replica)) && take(d, &found) == REPLICA_E_END &&
	       found == 0;
}

static void
look(struct drain *d)
{
	uint64_t found;
	int r;

	table_wake(replica_table(d->replica));
	r = take(d, &found);
	if (r == REPLICA_E_END && found < PLENTY && fall_asleep(d)) {
		d->poll = loop_timer_free(d->poll);
	} else if (!d->is_lost) {
		table_wake(replica_table(d->replica));
		keep_polling(d);
	}
}

static void
drain_on_poll(void *arg)
{
	look(drain_check(arg));
}

static void
drain_on_wake(void *arg)
{
	struct drain *d = drain_check(arg);

	if (d->replica && !d->is_lost)
		look(d);
}

static void
drain_on_sweep(void *arg)
{
	struct drain *d = drain_check(arg);
	uint64_t slots = table_slots(replica_table(d->replica)) / SWEEPS_PER_S + 1;

	if (!d->is_lost &&
	    replica_sweep(d->replica, slots < SWEEP_MAX ? slots : SWEEP_MAX, clock_now_ns()) < 0)
		lose(d);
}

/* --- life ------------------------------------------------------------------------ */

void
drain_use(struct drain *d, struct replica *replica)
{
	d->is_lost = false;
	d->replica = replica;
	d->poll = loop_timer_free(d->poll);
	d->sweep = loop_timer_free(d->sweep);
	if (!replica)
		return;
	if (loop_timer_new(&d->sweep, d->loop, SWEEP_NS, drain_on_sweep, d) < 0)
		log_error("Cannot sweep the table for changes: out of memory");
	look(d);
}

bool
drain_is_lost(const struct drain *d)
{
	return d->is_lost;
}

int
drain_new(struct drain **ret, struct loop *loop, const struct conf *conf)
{
	CLEANUP(drain_freep) struct drain *d = calloc(1, sizeof(*d));
	char path[HERD_CONTROL_PATH_MAX];
	int r;

	if (!d)
		return -ENOMEM;
	*d = (struct drain){
		.magic = DRAIN_MAGIC,
		.loop = loop,
		.folder = strdup(conf->control_dir),
		.shm = strdup(conf->shm),
	};
	d->sender = wake_sender();
	if (!d->folder || !d->shm)
		return -ENOMEM;
	r = wake_path(path, d->folder, d->shm, NULL);
	if (r == 0)
		r = wake_new(&d->wake, loop, path, drain_on_wake, d);
	if (r < 0)
		log_error_r(r, "Cannot be woken at '%s%s%s', looking every millisecond instead", d->folder,
			    d->shm, HERD_CONTROL_WAKE);
	*ret = d;
	d = NULL;
	return 0;
}

struct drain *
drain_free(struct drain *d)
{
	if (!d)
		return NULL;
	loop_timer_free(d->poll);
	loop_timer_free(d->sweep);
	wake_free(d->wake);
	if (d->sender >= 0)
		close(d->sender);
	free(d->folder);
	free(d->shm);
	d->magic = 0;
	free(d);
	return NULL;
}
