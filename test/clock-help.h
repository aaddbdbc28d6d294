#ifndef TEST_CLOCK_HELP_H
#define TEST_CLOCK_HELP_H
/*
 * A clock of the test's own, for our code and for libevent: it goes when the
 * loop has nothing to do, by just what that would have waited, and when the
 * test says so. So an hour is over at once, and however long the processor
 * works for others, no time passes. For tests in one thread whose loop waits
 * for nobody outside of the test; in one source file of a program.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* Noon, so that no day ends while a test runs. */
#define HELP_NOON_NS (INT64_C(1700049600) * CLOCK_SECOND_NS)

static int64_t help_clock_ns = 1000 * CLOCK_SECOND_NS; /* since some moment */
static int64_t help_clock_look_ns; /* what a look at it takes: for code that waits without a loop */

/* libevent finds this one and the next before the C library's. */
int
clock_gettime(clockid_t id, struct timespec *ret)
{
	bool is_wall = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;
	bool is_work = id == CLOCK_PROCESS_CPUTIME_ID || id == CLOCK_THREAD_CPUTIME_ID; /* takes no time */
	int64_t ns = is_work ? 0 : help_clock_ns + (is_wall ? HELP_NOON_NS : 0);

	help_clock_ns += help_clock_look_ns;
	*ret = (struct timespec){ns / CLOCK_SECOND_NS, (long)(ns % CLOCK_SECOND_NS)};
	return 0;
}

int
epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms)
{
	int n = (int)syscall(SYS_epoll_pwait, fd, events, max, 0, NULL, (size_t)0);

	if (n == 0 && timeout_ms < 0)
		abort(); /* for ever */
	if (n == 0)
		help_clock_ns += (int64_t)timeout_ms * CLOCK_MSEC_NS;
	return n;
}

#endif
