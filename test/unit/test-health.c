/*
 * What a member says about itself, and when it may tell the service manager
 * that it gets on: health.c. Work is stopped by leaving it out while the
 * loop's timers run on.
 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "../clock-help.h"
#include "../notify-help.h"
#include "member-help.h"
#include "member/answer.h"
#include "member/door.h"

static struct sigaction table_on_sigbus;

struct fixture {
	struct member m;
	char shm[64];
	struct manager manager;
	struct notify *notify;
	struct loop_timer *timer;
	struct reply waiting;
	struct table *helper;
	unsigned int turns;
	bool works; /* the member's timers do what they should */
};

/* --- a places service on the network ----------------------------------------------------- */

static struct source_state service_state;

static int
service_new(void **ret_state, struct source *s, struct event_base *base, const struct source_options *options)
{
	(void)s;
	(void)base;
	(void)options;
	*ret_state = &service_state;
	return 0;
}

static void
service_describe(void *state, struct source_state *ret)
{
	const struct source_state *is = state;

	*ret = *is;
	ret->provider = "google";
}

static void
service_free(void *state)
{
	(void)state;
}

static const struct source_provider service = {
	.name = "google", .new = service_new, .describe = service_describe, .free = service_free};
static const struct source_provider *const services[] = {&service, NULL};

/* --- a member ------------------------------------------------------------------------------- */

static int
setup(void **state)
{
	static const char *const chain[] = {"google", NULL};
	const struct source_options source = {.chain = chain, .providers = services};
	struct fixture *f = calloc(1, sizeof(*f));
	struct table_options table;

	assert_non_null(f);
	snprintf(f->shm, sizeof(f->shm), "/herd-test-health-%d", (int)getpid());
	table = (struct table_options){.name = f->shm, .clients = 64, .long_clients = 64};
	help_member_new(&f->m);
	service_state = (struct source_state){.state = "ok"};
	assert_int_equal(source_new(&f->m.source, loop_base(f->m.loop), &source), 0);
	f->m.conf.shm = f->shm;
	(void)table_unlink(f->shm); /* of a process that was killed and had the same id */
	assert_int_equal(table_open(&f->m.table, &table), 0);
	assert_int_equal(table_register(f->m.table, TABLE_MEMBER, "Alpha", ""), 0);
	assert_int_equal(table_open(&f->helper, &table), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	while (f->m.door_count > 0)
		door_free(f->m.doors[--f->m.door_count]);
	loop_timer_free(f->timer);
	notify_free(f->notify);
	table_free(f->helper);
	help_member_done(&f->m);
	table_unlink(f->shm);
	free(f);
	return 0;
}

static const char *
line_of(struct fixture *f)
{
	static char line[REPORT_LINE_MAX];
	struct report r;

	health_describe(&f->m, &r);
	report_line(&r, line);
	return line;
}

static void
helper_comes(struct fixture *f)
{
	assert_int_equal(table_register(f->helper, TABLE_HELPER, "helper", ""), 0);
}

/* --- what it says ------------------------------------------------------------------- */

static void
test_well(void **state)
{
	struct fixture *f = *state;
	const struct table_report report = {.location = TEXT("+1+1"),
					    .time = TEXT("1"),
					    .client_time = {.s = 1},
					    .rx_ns = 2 * CLOCK_SECOND_NS};
	struct table_key key;

	helper_comes(f);
	assert_string_equal(line_of(f), "0 clients connected, 0 fixes held, 0 updates/s");
	table_key_make(f->m.table, TEXT("me"), &key);
	assert_int_equal(table_put(f->m.table, &key, &report), 0);
	f->m.session_count = 1;
	f->m.health.fixes_due_ns = 0;
	assert_string_equal(line_of(f), "1 client connected, 1 fix held, 0 updates/s");
}

/* Counting fixes has to take a small part of the processor, whoever else has that meanwhile. */
static void
test_count_is_not_put_off(void **state)
{
	struct fixture *f = *state;
	const struct table_report report = {.location = TEXT("+1+1"),
					    .time = TEXT("1"),
					    .client_time = {.s = 1},
					    .rx_ns = 2 * CLOCK_SECOND_NS};
	struct table_key key;

	helper_comes(f);
	help_clock_look_ns = 100 * CLOCK_MSEC_NS; /* between two looks at it others work */
	assert_non_null(strstr(line_of(f), " 0 fixes held"));
	help_clock_look_ns = 0;
	table_key_make(f->m.table, TEXT("me"), &key);
	assert_int_equal(table_put(f->m.table, &key, &report), 0);
	help_clock_ns += 2 * CLOCK_SECOND_NS;
	assert_non_null(strstr(line_of(f), " 1 fix held"));
}

/* IAMAT commands are counted where counters are published. */
static void
test_rate(void **state)
{
	struct fixture *f = *state;
	struct report_rate *rate = &f->m.health.updates;

	helper_comes(f);
	(void)line_of(f);
	member_count(&f->m, TABLE_COUNTER_iamat, 5000);
	member_publish_counts(&f->m);
	member_count(&f->m, TABLE_COUNTER_iamat, 5000);
	member_publish_counts(&f->m);
	rate->when_ns -= 10 * CLOCK_SECOND_NS;
	(void)line_of(f);
	assert_true(rate->per_s > 500 && rate->per_s <= 1000);
}

static void
test_no_helper(void **state)
{
	struct fixture *f = *state;

	assert_non_null(strstr(line_of(f), ". Degraded: there is no helper: nothing expires"));
	helper_comes(f);
	assert_null(strstr(line_of(f), "egraded"));
	f->helper = table_free(f->helper);
	assert_non_null(strstr(line_of(f), ". Degraded: there is no helper"));
}

static void
test_private_table(void **state)
{
	struct fixture *f = *state;
	const struct table_options table = {.name = f->shm, .clients = 64, .long_clients = 64};

	table_free(f->m.table);
	assert_int_equal(table_open_private(&f->m.table, &table), 0);
	assert_non_null(strstr(line_of(f), "cannot be used: no other member sees"));
	assert_null(strstr(line_of(f), "helper")); /* one reason is enough */
}

static void
test_other_troubles(void **state)
{
	struct fixture *f = *state;

	helper_comes(f);
	snprintf(f->m.health.places, sizeof(f->m.health.places), "cannot read x");
	f->m.session_count = 1000;
	TAILQ_INSERT_TAIL(&f->m.waiting_store, &f->waiting, waiting);
	f->m.health.needs_restart[CONF_ID_table_clients] = true;
	f->m.health.needs_restart[CONF_ID_shm] = true;
	assert_string_equal(
		line_of(f),
		"1000 clients connected, 0 fixes held, 0 updates/s. "
		"Degraded: replies wait: a stopped process holds a part of the table; "
		"places: cannot read x; connections-max = 1000 are open: new clients are refused. "
		"Note: takes effect with a restart: shm, table-clients");
	f->m.conf.connections_max = 2000;
	f->m.session_room = 1000;
	assert_non_null(strstr(line_of(f), "; 1000 clients are all the descriptors allow (LimitNOFILE=): "
					   "new clients wait. "));
}

/* What clients get of a service that fails is less than they should. */
static void
test_places_service(void **state)
{
	struct fixture *f = *state;

	helper_comes(f);
	service_state = (struct source_state){.state = "ok", .day_used = 13, .day_max = 1000};
	assert_string_equal(
		line_of(f),
		"0 clients connected, 0 fixes held, 0 updates/s, google 13 of 1000 requests today");
	service_state = (struct source_state){.state = "down", .why = "5 failures in a row"};
	assert_string_equal(line_of(f), "0 clients connected, 0 fixes held, 0 updates/s. "
					"Degraded: places: google: 5 failures in a row");
}

/* --- sockets --------------------------------------------------------------------------- */

static void
add_door(struct fixture *f, const char *text)
{
	struct address address;
	struct listen_socket socket;

	assert_int_equal(address_parse(TEXT("127.0.0.1:0"), &address), 0);
	assert_int_equal(strncmp(text, "udp", 3) == 0 ? listen_udp(&socket, &address)
						      : listen_tcp(&socket, &address),
			 0);
	snprintf(socket.text, sizeof(socket.text), "%s", text);
	assert_int_equal(door_new(&f->m.doors[f->m.door_count++], &f->m, &socket), 0);
}

static void
test_sockets_that_differ(void **state)
{
	struct fixture *f = *state;
	struct address listen[3], udp;
	char path[] = "/run/herd/Other.sock", *paths[] = {path};

	helper_comes(f);
	f->m.input_size = 65536;
	assert_int_equal(address_parse(TEXT("127.0.0.1:12000"), &listen[0]), 0);
	assert_int_equal(address_parse(TEXT("[::1]:12000"), &listen[1]), 0);
	assert_int_equal(address_parse(TEXT("127.0.0.1:0"), &listen[2]), 0);
	assert_int_equal(address_parse(TEXT("127.0.0.1:12000"), &udp), 0);
	f->m.conf.listen = (struct conf_addresses){.at = listen, .count = 3};
	add_door(f, "unix /run/herd/Alpha.sock");   /* always there: no setting names it */
	assert_null(strstr(line_of(f), "egraded")); /* these are the member's own */

	f->m.health.adopted = true;
	assert_string_equal(
		strstr(line_of(f), "Degraded"),
		"Degraded: the settings name tcp 127.0.0.1:12000, which the service manager did not "
		"pass: systemctl daemon-reload && systemctl restart herd@Alpha.socket; "
		"the settings name tcp [::1]:12000, which the service manager did "
		"not pass: systemctl daemon-reload && systemctl restart herd@Alpha.socket");
	add_door(f, "tcp 127.0.0.1:12000");
	add_door(f, "tcp [::1]:12000");
	assert_null(strstr(line_of(f), "egraded"));

	f->m.conf.udp = (struct conf_addresses){.at = &udp, .count = 1};
	f->m.conf.unix_paths = (struct conf_paths){.at = paths, .count = 1};
	assert_string_equal(
		strstr(line_of(f), "Degraded"),
		"Degraded: the settings name udp 127.0.0.1:12000, which the service manager did not "
		"pass: systemctl daemon-reload && systemctl restart herd-udp@Alpha.socket; "
		"the settings name unix /run/herd/Other.sock, which the service "
		"manager did not pass: systemctl daemon-reload && systemctl restart herd@Alpha.socket");
	f->m.conf.unix_paths.count = 0;
	add_door(f, "udp 127.0.0.1:12000");
	assert_null(strstr(line_of(f), "egraded"));

	f->m.conf.listen.count = 1;
	assert_string_equal(
		strstr(line_of(f), "Degraded"),
		"Degraded: the service manager passed tcp [::1]:12000, which the settings do not name: "
		"systemctl daemon-reload && systemctl restart herd@Alpha.socket");
	f->m.conf.listen.count = 0; /* no word about such sockets: they are the units' business */
	assert_null(strstr(line_of(f), "egraded"));
}

/* --- does it get on? ---------------------------------------------------------------------- */

static void
on_timer(void *arg)
{
	struct fixture *f = arg;

	if (f->works) {
		f->m.health.ticks++;
		f->m.health.retries++;
	}
}

static void
on_turn(void *arg)
{
	struct fixture *f = arg;

	if (--f->turns == 0)
		loop_stop(f->m.loop);
}

static void
turn(struct fixture *f, unsigned int turns)
{
	f->turns = turns;
	assert_int_equal(loop_run(f->m.loop), 0);
}

static void
begin(struct fixture *f)
{
	assert_int_equal(loop_timer_new(&f->timer, f->m.loop, CLOCK_MSEC_NS, on_timer, f), 0);
	loop_after_turn(f->m.loop, on_turn, f);
	f->works = true;
	turn(f, 2);
}

static void
test_progress(void **state)
{
	struct fixture *f = *state;
	struct health *h = &f->m.health;

	begin(f);
	assert_true(health_progress(&f->m));
	assert_false(health_progress(&f->m)); /* nothing has happened since */
	turn(f, 2);
	assert_true(health_progress(&f->m));

	h->ticks++;
	assert_false(health_progress(&f->m)); /* no turn was completed */

	f->works = false; /* the loop turns, deadlines are not looked at */
	turn(f, 5);
	h->ticks = h->proven.ticks;
	assert_false(health_progress(&f->m));
	h->ticks++;
	assert_true(health_progress(&f->m));

	TAILQ_INSERT_TAIL(&f->m.waiting_store, &f->waiting, waiting);
	turn(f, 2);
	h->ticks++;
	assert_false(health_progress(&f->m)); /* fixes wait, and nobody tries them again */
	h->retries++;
	assert_true(health_progress(&f->m));
	turn(f, 2); /* a stopped process keeps them out for ever: not our fault */
	h->ticks++;
	h->retries++;
	assert_true(health_progress(&f->m));
}

/* Degraded is not stuck. */
static void
test_progress_without_shared_memory(void **state)
{
	struct fixture *f = *state;
	const struct table_options table = {.name = f->shm, .clients = 64, .long_clients = 64};

	begin(f);
	table_free(f->m.table);
	assert_int_equal(table_open_private(&f->m.table, &table), 0);
	assert_true(health_progress(&f->m));
	turn(f, 2);
	assert_true(health_progress(&f->m));
}

/* The segment is cut short under the member, which goes on with another one. */
static void
test_progress_on_a_lost_table(void **state)
{
	struct fixture *f = *state;
	int fd = shm_open(f->shm, O_RDWR | O_CLOEXEC, 0);

	begin(f);
	assert_true(fd >= 0);
	assert_int_equal(sigaction(SIGBUS, &table_on_sigbus, NULL), 0); /* cmocka has put its own there */
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	assert_true(health_progress(&f->m));
	assert_false(table_is_private(f->m.table));
}

/* With all of it together: a member whose work has stopped while its loop and timers run is not vouched for. */
static void
test_pings_stop_when_it_is_stuck(void **state)
{
	struct fixture *f = *state;

	manager_open(&f->manager);
	setenv("WATCHDOG_USEC", "30000", 1);
	assert_int_equal(notify_new(&f->notify), 0);
	begin(f);
	assert_int_equal(notify_attach(f->notify, f->m.loop, health_progress, &f->m), 0);
	do
		turn(f, 1);
	while (strcmp(manager_hear(&f->manager), "WATCHDOG=1") != 0);

	f->works = false;
	for (int i = 0; i < 50; i++) { /* one ping may vouch for what was done before */
		turn(f, 1);
		(void)manager_hear(&f->manager);
	}
	turn(f, 100); /* a millisecond each: three intervals */
	assert_string_equal(manager_hear(&f->manager), "");

	f->works = true;
	do
		turn(f, 1);
	while (strcmp(manager_hear(&f->manager), "WATCHDOG=1") != 0);
	manager_close(&f->manager);
}

/* --- the service manager is told -------------------------------------------------------------- */

static void
test_tells_from_the_tick(void **state)
{
	struct fixture *f = *state;

	manager_open(&f->manager);
	assert_int_equal(notify_new(&f->notify), 0);
	helper_comes(f);
	f->m.health.notify = f->notify;
	f->m.now_ns = clock_monotonic_ns();
	health_tick(&f->m);
	assert_string_equal(manager_hear(&f->manager),
			    "STATUS=0 clients connected, 0 fixes held, 0 updates/s");
	f->m.session_count = 3;
	health_tick(&f->m); /* too soon */
	assert_int_equal(notify_kept(f->notify), 0);
	f->m.now_ns += 2 * CLOCK_SECOND_NS;
	health_tick(&f->m);
	assert_int_equal(notify_kept(f->notify), 1);
	manager_close(&f->manager);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_well, setup, teardown),
		cmocka_unit_test_setup_teardown(test_count_is_not_put_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_helper, setup, teardown),
		cmocka_unit_test_setup_teardown(test_private_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_troubles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_places_service, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sockets_that_differ, setup, teardown),
		cmocka_unit_test_setup_teardown(test_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_progress_without_shared_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_progress_on_a_lost_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pings_stop_when_it_is_stuck, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tells_from_the_tick, setup, teardown),
	};

	if (sigaction(SIGBUS, NULL, &table_on_sigbus) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
