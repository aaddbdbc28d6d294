/* Who teaches a newcomer: teach.c. The links are real, but nobody is at their other ends. */
#include "unit.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "flood/teach.h"

#define NOW_NS (INT64_C(1700000000) * CLOCK_SECOND_NS)

enum { LINKS = 4 };

struct fixture {
	struct table *table;
	struct replica *replica;
	struct names *names;
	struct link_self self;
	struct link *link[LINKS];
	struct teach teach;
};

/* What a peer says that this host has nothing of yet. */
static void
hear(struct fixture *f, unsigned int i, const char *lines)
{
	size_t taken;

	assert_true(link_take(f->link[i], lines, strlen(lines), &taken, NOW_NS) >= 0);
	assert_int_equal(taken, strlen(lines));
}

static int
on_greeted(void *arg, const char *host, const uint8_t host_id[NAMES_HOST_ID_BYTES], char why[LINK_WHY_MAX])
{
	struct fixture *f = arg;

	(void)host_id;
	(void)why;
	teach_greeted(&f->teach, f->link[host[1] - '0']);
	return 0;
}

static int
setup(void **state)
{
	static struct fixture f;
	const struct table_options options = {.clients = 64, .long_clients = 64};
	const struct hash_key key = {1, 2};
	const struct link_hooks hooks = {.arg = &f, .greeted = on_greeted};

	f = (struct fixture){.self = {.herd = "herd", .host = "me", .incarnation = 1}};
	assert_int_equal(table_open_private(&f.table, &options), 0);
	assert_int_equal(table_register(f.table, TABLE_HELPER, "flood", ""), 0);
	assert_int_equal(replica_new(&f.replica, f.table, &key, 0, NOW_NS), 0);
	assert_int_equal(names_new(&f.names, f.self.host_id, NULL, NULL), 0);
	for (unsigned int i = 0; i < LINKS; i++)
		assert_int_equal(link_new(&f.link[i], &f.self, f.replica, f.names, &hooks, NOW_NS), 0);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < LINKS; i++)
		link_free(f->link[i]);
	names_free(f->names);
	replica_free(f->replica);
	table_free(f->table);
	return 0;
}

static void
greet(struct fixture *f, unsigned int i)
{
	char line[128];

	snprintf(line, sizeof(line), "HERD 1 herd %032u 00000000000000aa h%u ttl=0,key=0000000000000000\n",
		 i + 1, i);
	hear(f, i, line);
}

static void
come_up(struct fixture *f, unsigned int i, int64_t now_ns)
{
	hear(f, i, "RESUME 0000000000000000 0\n");
	teach_up(&f->teach, f->link[i], now_ns);
}

static void
tell(struct fixture *f, unsigned int i, unsigned int client)
{
	char line[128];

	snprintf(line, sizeof(line), "AT Alpha +0.000000000 c%u +34.0-118.0 1600000000.5\n", client);
	hear(f, i, line);
}

/* Nothing is asked of it: it is held back, or was asked and is done. */
static bool
is_asked(const struct fixture *f, unsigned int i)
{
	return link_is_comparing(f->link[i]);
}

static void
asks_one_first(void **state)
{
	struct fixture *f = *state;

	teach_newcomer(&f->teach);
	for (unsigned int i = 0; i < 3; i++)
		greet(f, i);
	come_up(f, 1, 0);
	come_up(f, 0, 0);
	assert_true(is_asked(f, 1));
	assert_false(is_asked(f, 0));
	tell(f, 1, 1);
	teach_tick(&f->teach, CLOCK_SECOND_NS);
	assert_ptr_equal(f->teach.teacher, f->link[1]);
	assert_false(is_asked(f, 0));

	/* It goes on for as long as something comes, and not much longer. */
	for (unsigned int i = 0; i < 5; i++) {
		tell(f, 1, 2 + i);
		teach_tick(&f->teach, i * (TEACH_PATIENCE_NS - CLOCK_SECOND_NS));
	}
	assert_ptr_equal(f->teach.teacher, f->link[1]);
	teach_tick(&f->teach, 5 * TEACH_PATIENCE_NS);
	assert_ptr_equal(f->teach.teacher, f->link[0]);
	assert_true(is_asked(f, 0));
	teach_tick(&f->teach, 7 * TEACH_PATIENCE_NS);
	assert_false(f->teach.is_newcomer); /* 2 is greeted only */
	come_up(f, 2, 7 * TEACH_PATIENCE_NS);
	assert_true(is_asked(f, 2)); /* not held for ever */
}

static void
asks_the_next_when_one_is_lost(void **state)
{
	struct fixture *f = *state;

	teach_newcomer(&f->teach);
	for (unsigned int i = 0; i < 3; i++)
		greet(f, i);
	come_up(f, 0, 0);
	teach_lost(&f->teach, f->link[0], 0);
	assert_null(f->teach.teacher);
	assert_true(f->teach.is_newcomer);
	come_up(f, 1, 0); /* held until then */
	assert_true(is_asked(f, 1));
	come_up(f, 2, 0);
	assert_false(is_asked(f, 2));
	teach_lost(&f->teach, f->link[2], 0);
	assert_ptr_equal(f->teach.teacher, f->link[1]);
	teach_lost(&f->teach, f->link[1], 0);
	assert_null(f->teach.teacher);
}

/* One that is as empty teaches nothing: then the next one does, and not all others at once. */
static void
asks_the_next_when_one_has_nothing(void **state)
{
	struct fixture *f = *state;

	teach_newcomer(&f->teach);
	for (unsigned int i = 0; i < 3; i++) {
		greet(f, i);
		come_up(f, i, 0);
	}
	hear(f, 0, "ROOT 0 0000000000000000\n"); /* equal: nothing is here, either */
	assert_false(is_asked(f, 0));
	teach_tick(&f->teach, 0);
	assert_true(is_asked(f, 1));
	assert_false(is_asked(f, 2));
	tell(f, 1, 1);
	hear(f, 1, "ROOT 0 0000000000000000\n");
	teach_tick(&f->teach, CLOCK_SECOND_NS);
	assert_true(f->teach.is_newcomer);
}

static void
leaves_others_alone(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < LINKS; i++) {
		greet(f, i);
		come_up(f, i, 0);
		assert_true(is_asked(f, i));
	}
	teach_tick(&f->teach, 0);
	teach_lost(&f->teach, f->link[0], 0);
	assert_null(f->teach.teacher);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(asks_one_first, setup, teardown),
		cmocka_unit_test_setup_teardown(asks_the_next_when_one_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(asks_the_next_when_one_has_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_others_alone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
