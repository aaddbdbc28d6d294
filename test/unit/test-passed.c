/*
 * What a service manager passes: passed.c, the same whether libsystemd reads it or herd does.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/passed.h"

static void
pass(const char *pid, const char *count, const char *names)
{
	const char *const variables[][2] = {
		{"LISTEN_PID", pid}, {"LISTEN_FDS", count}, {"LISTEN_FDNAMES", names}};

	for (size_t i = 0; i < 3; i++)
		if (variables[i][1])
			setenv(variables[i][0], variables[i][1], 1);
		else
			unsetenv(variables[i][0]);
}

/* This process, as text. */
static const char *
us(void)
{
	static char text[16];

	snprintf(text, sizeof(text), "%d", (int)getpid());
	return text;
}

/* Descriptors from 3 on, which nobody here has. */
static int
open_some(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		int fd = open("/dev/null",
			      O_RDONLY); /* NOLINT(android-cloexec-open): that is what is tested */

		if (fd != PASSED_FIRST + i && (dup2(fd, PASSED_FIRST + i) < 0 || close(fd) < 0))
			return -1;
	}
	return 0;
}

static int
close_them(void **state)
{
	(void)state;
	pass(NULL, NULL, NULL);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	close(PASSED_FIRST);
	close(PASSED_FIRST + 1);
	return 0;
}

static void
check_names(int count, const char *first, const char *second)
{
	char **names = NULL;

	assert_int_equal(passed_sockets(&names, false), count);
	assert_string_equal(names[0], first);
	if (count > 1)
		assert_string_equal(names[1], second);
	passed_names_free(names);
}

static void
test_names(void **state)
{
	(void)state;
	pass(us(), "2", "line:udp");
	check_names(2, "line", "udp");
	pass(us(), "2", ":");
	check_names(2, "", "");
	pass(us(), "2", NULL);
	check_names(2, "unknown", "unknown");
	pass(us(), "1", "line");
	check_names(1, "line", NULL);
}

static void
test_children_do_not_get_them(void **state)
{
	char **names = NULL;

	(void)state;
	assert_int_equal(fcntl(PASSED_FIRST, F_GETFD), 0);
	pass(us(), "2", "a:b");
	assert_int_equal(passed_sockets(&names, true), 2);
	passed_names_free(names);
	assert_int_equal(fcntl(PASSED_FIRST, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(PASSED_FIRST + 1, F_GETFD), FD_CLOEXEC);
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_FDNAMES"));
	names = NULL;
	assert_int_equal(passed_sockets(&names, false), 0);
	assert_null(names);
}

/* Of another process, or of nobody. */
static void
test_not_ours(void **state)
{
	char **names = NULL;

	(void)state;
	pass(NULL, NULL, NULL);
	assert_int_equal(passed_sockets(&names, false), 0);
	pass("1", "2", "a:b");
	assert_int_equal(passed_sockets(&names, false), 0);
	pass(us(), NULL, NULL);
	assert_int_equal(passed_sockets(&names, true), 0);
	assert_null(names);
	assert_int_equal(fcntl(PASSED_FIRST, F_GETFD), 0);
}

static void
test_nonsense(void **state)
{
	static const char *const counts[] = {
		"", "0", "-1", "two", "2x", "2147483647", "99999999999999999999"};
	char **names = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		pass(us(), counts[i], "a:b");
		assert_true(passed_sockets(&names, false) < 0);
	}
	pass("nobody", "2", "a:b");
	assert_true(passed_sockets(&names, false) < 0);
	pass(us(), "2", "a");
	assert_int_equal(passed_sockets(&names, false), -EINVAL);
	pass(us(), "2", "a:b:c");
	assert_int_equal(passed_sockets(&names, false), -EINVAL);
	pass(us(), "1000", NULL);
	assert_int_equal(passed_sockets(&names, false), -EBADF);
	pass(us(), "2", "a");
	assert_int_equal(passed_sockets(&names, true), -EINVAL);
	assert_null(getenv("LISTEN_FDS"));
	assert_null(names);
	passed_names_free(NULL);
}

static void
test_watchdog(void **state)
{
	static const char *const nonsense[] = {"", "0", "-1", "soon", "1s", "18446744073709551615"};

	(void)state;
	assert_int_equal(passed_watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "30000", 1);
	assert_int_equal(passed_watchdog_ns(), 30000000);
	setenv("WATCHDOG_PID", us(), 1);
	assert_int_equal(passed_watchdog_ns(), 30000000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(passed_watchdog_ns(), 0);
	setenv("WATCHDOG_PID", "x", 1);
	assert_int_equal(passed_watchdog_ns(), 0);
	unsetenv("WATCHDOG_PID");
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		setenv("WATCHDOG_USEC", nonsense[i], 1);
		assert_int_equal(passed_watchdog_ns(), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, open_some, close_them),
		cmocka_unit_test_setup_teardown(test_children_do_not_get_them, open_some, close_them),
		cmocka_unit_test_setup_teardown(test_not_ours, open_some, close_them),
		cmocka_unit_test_setup_teardown(test_nonsense, open_some, close_them),
		cmocka_unit_test_setup_teardown(test_watchdog, open_some, close_them),
	};

	return cmocka_run_group_tests_name("passed", tests, NULL, NULL);
}
