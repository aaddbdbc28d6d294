/* What the service manager hears, and that nobody ever waits for it: notify.c. */
#include "unit.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "../clock-help.h"
#include "../notify-help.h"
#include "net/notify.h"

struct fixture {
	struct manager manager;
	struct loop *loop;
	struct notify *notify;
	unsigned int asked, stop_at;
	bool stuck;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	manager_open(&f->manager);
	assert_int_equal(loop_new(&f->loop), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	notify_free(f->notify);
	loop_free(f->loop);
	manager_close(&f->manager);
	free(f);
	return 0;
}

static void
begin(struct fixture *f)
{
	assert_int_equal(notify_new(&f->notify), 0);
	assert_non_null(f->notify);
}

static bool
on_progress(void *arg)
{
	struct fixture *f = arg;

	if (++f->asked >= f->stop_at)
		loop_stop(f->loop);
	return !f->stuck;
}

static void
on_timeout(void *arg)
{
	(void)arg;
	fail_msg("it takes too long");
}

static void
stop_if_heard(void *arg)
{
	struct fixture *f = arg;
	char byte;

	if (recv(f->manager.fd, &byte, 1, MSG_PEEK) == 1)
		loop_stop(f->loop);
}

/* Runs the loop until the manager hears something. */
static const char *
wait_to_hear(struct fixture *f)
{
	CLEANUP(loop_timer_freep) struct loop_timer *look = NULL, *timeout = NULL;

	assert_int_equal(loop_timer_new(&look, f->loop, CLOCK_MSEC_NS, stop_if_heard, f), 0);
	assert_int_equal(loop_timer_new(&timeout, f->loop, 60 * CLOCK_SECOND_NS, on_timeout, f), 0);
	assert_int_equal(loop_run(f->loop), 0);
	return manager_hear(&f->manager);
}

/* --- where to ------------------------------------------------------------------ */

static void
test_nobody_listens(void **state)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct notify *n = NULL;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_new(&n), 0);
	assert_null(n);
	assert_int_equal(notify_attach(n, loop, NULL, NULL), 0);
	notify_ready(n);
	notify_reloading(n);
	notify_stopping(n);
	notify_extend_timeout(n, 1);
	notify_status(n, "x");
	notify_status_now(n, "x");
	notify_store(n, 0, "x");
	notify_store_remove(n, "x");
	assert_int_equal(notify_kept(n), 0);
	notify_detach(n);
	assert_null(notify_free(n));
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(notify_new(&n), 0);
	assert_null(n);
	unsetenv("NOTIFY_SOCKET");
}

static void
test_bad_addresses(void **state)
{
	struct notify *n = NULL;
	char path[200];

	(void)state;
	memset(path, 'p', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	for (size_t i = 0; i < 5; i++) {
		const char *const bad[] = {"relative", "/", "@", "vsock:2:1234", path};

		setenv("NOTIFY_SOCKET", bad[i], 1);
		assert_int_equal(notify_new(&n), -EINVAL);
	}
	assert_null(n);
	unsetenv("NOTIFY_SOCKET");
}

static void
test_socket_with_a_path(void **state)
{
	struct fixture *f = *state;
	char folder[] = "/tmp/herd-test-notify-XXXXXX";
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char text[32] = "";

	assert_non_null(mkdtemp(folder));
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", folder);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	begin(f);
	notify_ready(f->notify);
	assert_int_equal(recv(fd, text, sizeof(text), 0), 7);
	assert_string_equal(text, "READY=1");
	close(fd);
	unlink(at.sun_path);
	rmdir(folder);
}

/* --- what ------------------------------------------------------------------------ */

static void
test_states(void **state)
{
	struct fixture *f = *state;
	int64_t before_us = clock_monotonic_ns() / 1000;
	long long us;

	begin(f);
	notify_ready(f->notify);
	assert_string_equal(manager_hear(&f->manager), "READY=1");
	notify_reloading(f->notify);
	assert_int_equal(sscanf(manager_hear(&f->manager), "RELOADING=1\nMONOTONIC_USEC=%lld", &us), 1);
	assert_true(us >= before_us && us <= clock_monotonic_ns() / 1000);
	notify_extend_timeout(f->notify, 3 * CLOCK_SECOND_NS);
	assert_string_equal(manager_hear(&f->manager), "EXTEND_TIMEOUT_USEC=3000000");
	notify_stopping(f->notify);
	assert_string_equal(manager_hear(&f->manager), "STOPPING=1");
	assert_string_equal(manager_hear(&f->manager), "");
}

static void
test_store(void **state)
{
	struct fixture *f = *state;
	struct stat ours, theirs;
	int fd = memfd_create("test", MFD_CLOEXEC);

	begin(f);
	notify_store(f->notify, fd, "starts");
	assert_string_equal(manager_hear(&f->manager), "FDSTORE=1\nFDPOLL=0\nFDNAME=starts");
	assert_true(f->manager.passed >= 0);
	assert_int_equal(fstat(fd, &ours), 0);
	assert_int_equal(fstat(f->manager.passed, &theirs), 0);
	assert_int_equal(ours.st_ino, theirs.st_ino);
	notify_store_remove(f->notify, "starts");
	assert_string_equal(manager_hear(&f->manager), "FDSTOREREMOVE=1\nFDNAME=starts");
	assert_int_equal(f->manager.passed, -1);
	close(fd);
}

static void
test_status_when_it_changed(void **state)
{
	struct fixture *f = *state;
	int64_t began_ns = clock_monotonic_ns();

	begin(f);
	assert_int_equal(notify_attach(f->notify, f->loop, NULL, NULL), 0);
	notify_status(f->notify, "one\nSTATUS=two\xff");
	assert_string_equal(manager_hear(&f->manager), "STATUS=one\\x0aSTATUS=two\\xff");
	notify_status(f->notify, "one\nSTATUS=two\xff");
	assert_int_equal(notify_kept(f->notify), 0);
	notify_status(f->notify, "two"); /* too soon */
	notify_status(f->notify, "three");
	assert_string_equal(manager_hear(&f->manager), "");
	assert_string_equal(wait_to_hear(f), "STATUS=three");
	assert_true(clock_monotonic_ns() - began_ns >= 2 * CLOCK_SECOND_NS - 100 * CLOCK_MSEC_NS);
	notify_status(f->notify, "four");
	notify_status(f->notify, "three"); /* as it was: nothing to say */
	assert_int_equal(notify_kept(f->notify), 0);
	notify_status_now(f->notify, "why it ends");
	assert_string_equal(manager_hear(&f->manager), "STATUS=why it ends");
	notify_status(f->notify, "the last word");
	f->notify = notify_free(f->notify);
	assert_string_equal(manager_hear(&f->manager), "STATUS=the last word");
}

static void
test_long_status(void **state)
{
	struct fixture *f = *state;
	char text[3000];
	const char *heard;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	begin(f);
	notify_status(f->notify, text);
	heard = manager_hear(&f->manager);
	assert_true(strlen(heard) < 7 + NOTIFY_STATUS_MAX);
	assert_string_equal(heard + strlen(heard) - 4, "x...");
}

/* --- a manager that does not read -------------------------------------------------- */

static void
test_full_queue(void **state)
{
	struct fixture *f = *state;
	int64_t began_ns = clock_monotonic_ns();
	unsigned int fills;

	begin(f);
	assert_int_equal(notify_attach(f->notify, f->loop, NULL, NULL), 0);
	fills = manager_fill(&f->manager);
	notify_status(f->notify, "busy");
	notify_ready(f->notify);
	notify_reloading(f->notify);
	notify_ready(f->notify);
	assert_int_equal(notify_kept(f->notify), 4);
	assert_true(clock_monotonic_ns() - began_ns < 10 * CLOCK_SECOND_NS); /* nobody waited */
	while (fills-- > 0)
		assert_string_equal(manager_hear(&f->manager), "FILL=1");
	assert_string_equal(manager_hear(&f->manager), "");
	assert_string_equal(wait_to_hear(f), "READY=1"); /* states first, in their order */
	assert_int_equal(strncmp(wait_to_hear(f), "RELOADING=1\n", 12), 0);
	assert_string_equal(wait_to_hear(f), "READY=1");
	assert_string_equal(wait_to_hear(f), "STATUS=busy");
	assert_int_equal(notify_kept(f->notify), 0);
}

static void
test_what_waits_is_bounded(void **state)
{
	struct fixture *f = *state;
	unsigned int fills;

	begin(f);
	fills = manager_fill(&f->manager);
	for (int i = 0; i < 100; i++) {
		notify_reloading(f->notify);
		notify_ready(f->notify);
	}
	assert_true(notify_kept(f->notify) <= 8);
	while (fills-- > 0)
		(void)manager_hear(&f->manager);
	notify_stopping(f->notify);
	for (int i = 0; i < 3; i++) {
		assert_string_equal(manager_hear(&f->manager), "READY=1");
		assert_int_equal(strncmp(manager_hear(&f->manager), "RELOADING=1\n", 12), 0);
	}
	assert_string_equal(manager_hear(&f->manager), "READY=1");
	assert_string_equal(manager_hear(&f->manager), "STOPPING=1");
}

/* A long wait is extended many times; what was said before it must not be lost to that. */
static void
test_extensions_push_nothing_out(void **state)
{
	struct fixture *f = *state;
	unsigned int fills;

	begin(f);
	fills = manager_fill(&f->manager);
	notify_stopping(f->notify);
	for (int i = 1; i <= 100; i++)
		notify_extend_timeout(f->notify, i * CLOCK_SECOND_NS);
	assert_int_equal(notify_kept(f->notify), 2);
	while (fills-- > 0)
		(void)manager_hear(&f->manager);
	notify_flush(f->notify);
	assert_string_equal(manager_hear(&f->manager), "STOPPING=1");
	assert_string_equal(manager_hear(&f->manager), "EXTEND_TIMEOUT_USEC=100000000");
	assert_string_equal(manager_hear(&f->manager), "");
}

static void
test_no_manager_there(void **state)
{
	struct fixture *f = *state;

	begin(f);
	close(f->manager.fd);
	f->manager.fd = -1;
	notify_ready(f->notify);
	assert_int_equal(notify_kept(f->notify), 1);
}

/* --- the watchdog -------------------------------------------------------------------- */

static unsigned int
count_pings(struct fixture *f)
{
	unsigned int pings = 0;

	for (const char *heard; (heard = manager_hear(&f->manager))[0]; pings++)
		assert_string_equal(heard, "WATCHDOG=1");
	return pings;
}

static void
test_pings_follow_progress(void **state)
{
	struct fixture *f = *state;
	int64_t began_ns;

	setenv("WATCHDOG_USEC", "90000", 1);
	begin(f);
	assert_int_equal(notify_attach(f->notify, f->loop, on_progress, f), 0);
	f->stop_at = 5;
	began_ns = clock_monotonic_ns();
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(count_pings(f), 5);
	assert_true(clock_monotonic_ns() - began_ns >=
		    140 * CLOCK_MSEC_NS); /* a third of the interval each */

	f->stuck = true; /* the loop turns and its timers run: that is not enough */
	f->stop_at = 10;
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->asked, 10);
	assert_int_equal(count_pings(f), 0);

	f->stuck = false;
	f->stop_at = 12;
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(count_pings(f), 2);
}

/* A ping that finds no room goes out later, once. */
static void
test_ping_waits(void **state)
{
	struct fixture *f = *state;
	unsigned int fills;

	setenv("WATCHDOG_USEC", "30000", 1);
	begin(f);
	assert_int_equal(notify_attach(f->notify, f->loop, on_progress, f), 0);
	fills = manager_fill(&f->manager);
	f->stop_at = 5;
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(notify_kept(f->notify), 1);
	while (fills-- > 0)
		(void)manager_hear(&f->manager);
	f->stop_at = UINT32_MAX;
	f->stuck = true;
	assert_string_equal(wait_to_hear(f), "WATCHDOG=1");
	assert_int_equal(count_pings(f), 0);
}

/* Meant for another process, or nobody. */
static void
test_no_pings_wanted(void **state)
{
	struct fixture *f = *state;

	setenv("WATCHDOG_USEC", "30000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	begin(f);
	unsetenv("WATCHDOG_PID");
	assert_int_equal(notify_attach(f->notify, f->loop, on_progress, f), 0);
	notify_ready(f->notify);
	assert_string_equal(wait_to_hear(f), "READY=1");
	assert_int_equal(f->asked, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_bad_addresses),
		cmocka_unit_test_setup_teardown(test_socket_with_a_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status_when_it_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_waits_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extensions_push_nothing_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_manager_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pings_follow_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ping_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_pings_wanted, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
