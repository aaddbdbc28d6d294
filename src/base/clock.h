#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
/*
 * Times are int64 nanoseconds: a double cannot tell two instants of this
 * century apart below 238 ns.
 */
#include <stdint.h>
#include <time.h>

#define CLOCK_SECOND_NS INT64_C(1000000000)
#define CLOCK_MSEC_NS	INT64_C(1000000)

/* POSIX time of day; what receipt times are taken from. */
static inline int64_t
clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * CLOCK_SECOND_NS + now.tv_nsec;
}

/* Never jumps; for waits and rates. */
static inline int64_t
clock_monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * CLOCK_SECOND_NS + now.tv_nsec;
}

/* How long this thread has had a processor; for what work costs, whoever else works meanwhile. Takes a system call. */
static inline int64_t
clock_worked_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * CLOCK_SECOND_NS + now.tv_nsec;
}

#endif
