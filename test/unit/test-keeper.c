/*
 * The keeper vouches for itself only while its sweep gets on: keeper.c and the
 * helper's health.c. The linker puts our own table_sweep() before the real one.
 */
#include "unit.h"

#include "../notify-help.h"
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

int __real_table_sweep(struct table *t, uint64_t *cursor, uint32_t slots, int64_t now_ns);
int __wrap_table_sweep(struct table *t, uint64_t *cursor, uint32_t slots, int64_t now_ns);

/* Called in time, does nothing. */
int
__wrap_table_sweep(struct table *t, uint64_t *cursor, uint32_t slots, int64_t now_ns)
{
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
	snprintf(f->shm, sizeof(f->shm), "/herd-test-keeper-%d", (int)getpid());
	f->conf = (struct conf){
		.shm = f->shm, .table_clients = 64, .fix_ttl_ns = 0, .sweep_interval_ns = 10 * CLOCK_MSEC_NS};
	manager_open(&f->manager);
	setenv("WATCHDOG_USEC", "150000", 1);
	assert_int_equal(notify_new(&f->notify), 0);
	assert_int_equal(loop_new(&f->loop), 0);
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
		cmocka_unit_test_setup_teardown(test_describe, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
