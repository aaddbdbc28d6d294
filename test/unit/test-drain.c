/*
 * From a member's put to the helper's replica: drain.c, with a real table, replica, loop and wake socket.
 */
#include "unit.h"

#include "../snapshot-help.h"
#include "../table-help.h"
#include "flood/drain.h"
#include "net/wake.h"

struct fixture {
	char shm[HELP_NAME_MAX], folder[64], path[HERD_CONTROL_PATH_MAX];
	struct conf conf;
	struct loop *loop;
	struct table *member, *helper;
	struct replica *replica;
	struct drain *drain;
	int sender;
};

static int
setup(void **state)
{
	static const struct hash_key key = {1, 2};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	help_name(f->shm);
	help_folder(f->folder);
	f->conf = (struct conf){.shm = f->shm, .control_dir = f->folder};
	assert_int_equal(help_open_writer(&f->member, f->shm, 500, 64, 1), 0);
	assert_int_equal(help_open(&f->helper, f->shm, 500, 64, 0), 0);
	assert_int_equal(table_register(f->helper, TABLE_HELPER, "helper", ""), 0);
	assert_int_equal(replica_new(&f->replica, f->helper, &key, 0, HELP_BASE_NS), 0);
	assert_int_equal(loop_new(&f->loop), 0);
	assert_int_equal(drain_new(&f->drain, f->loop, &f->conf), 0);
	assert_int_equal(wake_path(f->path, f->folder, f->shm, NULL), 0);
	f->sender = wake_sender();
	drain_use(f->drain, f->replica);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	drain_free(f->drain);
	loop_free(f->loop);
	replica_free(f->replica);
	table_free(f->member);
	table_free(f->helper);
	close(f->sender);
	help_remove_folder(f->folder);
	free(f);
	return 0;
}

static void
put(struct fixture *f, unsigned int n, uint64_t version)
{
	char id[HERD_ID_MAX];

	assert_int_equal(help_put_version(f->member, help_id(id, n, 16), version, 1), 0);
}

/* Turns of the loop until it has taken so many changes. */
static void
turn_until(struct fixture *f, uint64_t local)
{
	for (int i = 0; i < 5000 && replica_figures(f->replica)->local < local; i++)
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	assert_int_equal(replica_figures(f->replica)->local, local);
}

static void
test_wakes(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 1; i <= 20; i++) {
		put(f, 1, i);
		/* Asleep, as nothing else happens: the member is told to wake it, and does. */
		assert_true(table_wants_wake(f->member));
		assert_int_equal(wake_send(f->sender, f->path), 0);
		turn_until(f, i);
	}
}

/* Plenty of changes: it looks by itself for a while, then sleeps again. */
static void
test_polls(void **state)
{
	struct fixture *f = *state;
	uint64_t rounds;

	for (unsigned int n = 0; n < 100; n++)
		put(f, n, 1);
	assert_true(table_wants_wake(f->member));
	assert_int_equal(wake_send(f->sender, f->path), 0);
	turn_until(f, 100);
	put(f, 1, 2);
	assert_false(table_wants_wake(f->member));
	turn_until(f, 101);
	rounds = replica_figures(f->replica)->rounds;
	for (int i = 0; i < 5; i++) /* the sweep's timer turns it, ten times a second */
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	assert_true(replica_figures(f->replica)->rounds - rounds < 5);
	put(f, 1, 3);
	assert_true(table_wants_wake(f->member));
}

/* Nobody wakes it: the member died before it could. */
static void
test_sweeps(void **state)
{
	struct fixture *f = *state;

	put(f, 5, 1);
	turn_until(f, 1);
}

static void
test_replaced(void **state)
{
	struct fixture *f = *state;

	drain_use(f->drain, NULL);
	put(f, 5, 1);
	(void)wake_send(f->sender, f->path);
	event_base_loop(loop_base(f->loop), EVLOOP_NONBLOCK);
	assert_int_equal(replica_figures(f->replica)->local, 0);
	drain_use(f->drain, f->replica);
	turn_until(f, 1);
	assert_false(drain_is_lost(f->drain));
}

/* Without a folder for its socket it has to look all the time. */
static void
test_no_folder(void **state)
{
	struct fixture *f = *state;
	struct conf conf = f->conf;
	char nowhere[] = "/nonexistent/folder";

	drain_use(f->drain, NULL);
	f->drain = drain_free(f->drain);
	conf.control_dir = nowhere;
	assert_int_equal(drain_new(&f->drain, f->loop, &conf), 0);
	drain_use(f->drain, f->replica);
	put(f, 5, 1);
	assert_false(table_wants_wake(f->member));
	turn_until(f, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_wakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_polls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sweeps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
