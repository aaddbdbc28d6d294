#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H
/*
 * What a process has used of the machine, all its threads together, as /proc
 * tells anyone of the same user.
 */
#include <stdint.h>
#include <sys/types.h>

struct usage {
	int64_t cpu_ns;	 /* on a core, to the nanosecond where the kernel keeps schedstat */
	int64_t wait_ns; /* ready to run, while the core ran something else; 0 without schedstat */
	int64_t user_ns; /* the same as cpu_ns in clock ticks, by where it was spent */
	int64_t system_ns;
};

/* 0 or negative errno: -ESRCH: no such process. */
int usage_read(pid_t pid, struct usage *ret);

/* What was used between two readings. */
struct usage usage_between(const struct usage *before, const struct usage *after);

/* Keeps this process on one core; a negative number leaves it alone. 0 or negative errno. */
int usage_pin(int core);

#endif
