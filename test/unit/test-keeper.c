/*
 * The keeper vouches for itself only while its sweep gets on: keeper.c and the
 * helper's health.c. The linker puts our own table_sweep() and clock before the
 * real ones.
 */
#include "unit.h"

#include <time.h>

#include "../notify-help.h"
#include "../snapshot-help.h"
#include "base/clock.h"
#include "flood/health.h"

struct fixture {
	struct manager manager;
	struct notify *notify;
	struct loop *loop;
	struct keeper *keeper;
	struct health *health;
	struct loop_timer *timer;
	struct conf conf;
	char shm[64];
	unsigned int turns;
};

static bool stuck;
static unsigned int sweeps;
static int64_t skew_ns; /* what the clock is ahead */

int __real_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret);

int
__wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = __real_clock_gettime(id, ret);

	ret->tv_sec += skew_ns / CLOCK_SECOND_NS;
	return r;
}

int __real_table_sweep(struct table *t, uint64_t *cursor, uint32_t slots, int64_t now_ns);
int __wrap_table_sweep(struct table *t, uint64_t *cursor, uint32_t slots, int64_t now_ns);

/* Called in time, does nothing. */
int
__wrap_table_sweep(struct table *t, uint64_t *cursor, uint32_t slots, int64_t now_ns)
{
	sweeps++;
	return stuck ? 0 : __real_table_sweep(t, cursor, slots, now_ns);
}

static void
on_timer(void *arg)
{
	struct fixture *f = arg;

	if (--f->turns == 0)
		loop_stop(f->loop);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	stuck = false;
	skew_ns = 0;
	snprintf(f->shm, sizeof(f->shm), "/herd-test-keeper-%d", (int)getpid());
	f->conf = (struct conf){
		.shm = f->shm, .table_clients = 64, .fix_ttl_ns = 0, .sweep_interval_ns = 10 * CLOCK_MSEC_NS};
	manager_open(&f->manager);
	setenv("WATCHDOG_USEC", "150000", 1);
	assert_int_equal(notify_new(&f->notify), 0);
	assert_int_equal(loop_new(&f->loop), 0);
	(void)table_unlink(f->shm); /* of a process that was killed and had the same id */
	assert_int_equal(keeper_new(&f->keeper, f->loop, &f->conf), 0);
	assert_int_equal(health_new(&f->health, f->loop, f->keeper, NULL, f->notify), 0);
	assert_int_equal(loop_timer_new(&f->timer, f->loop, 50 * CLOCK_MSEC_NS, on_timer, f), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	health_free(f->health);
	keeper_free(f->keeper);
	loop_timer_free(f->timer);
	loop_free(f->loop);
	notify_free(f->notify);
	manager_close(&f->manager);
	table_unlink(f->shm);
	free(f);
	return 0;
}

static void
turn(struct fixture *f, unsigned int turns)
{
	f->turns = turns;
	assert_int_equal(loop_run(f->loop), 0);
}

static unsigned int
count_pings(struct fixture *f)
{
	unsigned int pings = 0;

	for (const char *heard; (heard = manager_hear(&f->manager))[0];)
		pings += strcmp(heard, "WATCHDOG=1") == 0;
	return pings;
}

static void
test_pings_stop_when_the_sweep_does(void **state)
{
	struct fixture *f = *state;

	while (count_pings(f) == 0)
		turn(f, 1);
	stuck = true;
	while (keeper_moves(f->keeper, clock_monotonic_ns())) {
		turn(f, 1);
		(void)count_pings(f); /* one that found no room would come later */
	}
	turn(f, 10); /* the loop turns, timers run, the sweep is called: more than three intervals */
	assert_int_equal(count_pings(f), 0);
	stuck = false;
	while (count_pings(f) == 0)
		turn(f, 1);
}

/* A sweep that is due once an hour does not look like one that has stopped. */
static void
test_slow_sweep(void **state)
{
	struct fixture *f = *state;

	f->conf.sweep_interval_ns = 3600 * CLOCK_SECOND_NS;
	assert_int_equal(keeper_reload(f->keeper, &f->conf), 0);
	assert_true(keeper_moves(f->keeper, clock_monotonic_ns()));
	turn(f, 4);
	assert_true(count_pings(f) > 0);
	assert_false(keeper_moves(f->keeper, clock_monotonic_ns() + 3 * 3600 * CLOCK_SECOND_NS));
}

/* What was late by a new interval was in time by the old one. */
static void
test_shorter_interval(void **state)
{
	struct fixture *f = *state;

	f->conf.sweep_interval_ns = 3600 * CLOCK_SECOND_NS;
	assert_int_equal(keeper_reload(f->keeper, &f->conf), 0);
	skew_ns = 1800 * CLOCK_SECOND_NS;
	for (int i = 0; i < 200 && !keeper_moves(f->keeper, clock_monotonic_ns()); i++)
		turn(f, 1); /* until the name was looked at again */
	assert_true(keeper_moves(f->keeper, clock_monotonic_ns()));
	f->conf.sweep_interval_ns = 30 * CLOCK_SECOND_NS;
	assert_int_equal(keeper_reload(f->keeper, &f->conf), 0);
	assert_true(keeper_moves(f->keeper, clock_monotonic_ns()));
}

/* Settings that are read again and again do not put the sweep off for ever. */
static void
test_reloads_do_not_delay_it(void **state)
{
	struct fixture *f = *state;

	f->conf.sweep_interval_ns = 300 * CLOCK_MSEC_NS;
	assert_int_equal(keeper_reload(f->keeper, &f->conf), 0);
	sweeps = 0;
	for (int i = 0; i < 20; i++) {
		turn(f, 1);
		assert_int_equal(keeper_reload(f->keeper, &f->conf), 0);
	}
	assert_true(sweeps > 0);
}

/* --- the snapshot, while it is loaded ----------------------------------------- */

static void
on_event(void *arg)
{
	++*(unsigned int *)arg;
}

static void
on_extend(void *arg, int64_t ns)
{
	(void)arg;
	(void)ns;
}

/* Told to stop while it loads, it ends, though snapshots are switched off meanwhile. */
static void
test_switched_off_while_stopping(void **state)
{
	struct fixture *f = *state;
	const struct table_options table = conf_table_options(&f->conf);
	unsigned int told = 0, stopped = 0;
	struct snapshot_hooks hooks = {&stopped, on_event, on_extend, on_event};
	struct snapshot_status status = {0};
	struct snapshot *s = NULL;
	struct table *member = NULL;
	char folder[64];

	help_folder(folder);
	assert_int_equal(table_open(&member, &table), 0);
	assert_int_equal(table_register(member, TABLE_MEMBER, "Alpha", ""), 0);
	f->conf.snapshot_dir = folder;
	f->conf.snapshot_interval_ns = 60 * CLOCK_SECOND_NS;
	assert_int_equal(snapshot_new(&s, f->loop, &f->conf, f->keeper, &hooks), 0);
	for (int i = 0; i < 1000 && !status.is_loading; i++) {
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
		snapshot_status(s, &status);
	}
	assert_true(status.is_loading);
	told = stopped; /* a member is there: it was ready before it was loaded */
	assert_int_equal(told, 1);
	snapshot_stop(s);
	f->conf.snapshot_interval_ns = 0;
	snapshot_reload(s, &f->conf);
	for (int i = 0; i < 100 && stopped == told; i++)
		turn(f, 1);
	assert_int_equal(stopped, told + 1);
	snapshot_free(s);
	table_free(member);
	help_remove_folder(folder);
}

static void
test_describe(void **state)
{
	struct fixture *f = *state;
	struct conf_changes changes = {0};
	char line[REPORT_LINE_MAX];
	struct report r;

	health_describe(f->health, &r);
	report_line(&r, line);
	assert_string_equal(line, "0 fixes held, 0 members, 0 updates/s");
	changes.needs_restart[CONF_ID_table_clients] = true;
	health_take_changes(f->health, &changes);
	health_describe(f->health, &r);
	report_line(&r, line);
	assert_string_equal(line, "0 fixes held, 0 members, 0 updates/s. "
				  "Note: takes effect with a restart: table-clients");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pings_stop_when_the_sweep_does, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_sweep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shorter_interval, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reloads_do_not_delay_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_switched_off_while_stopping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_describe, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
