/*
 * Usage: CPU time of a process under measurement. At one command per wake-up
 * throughput is bounded by the load generator as often as by the server, so
 * CPU time per command is the figure to trust; and the time a process stood
 * ready without a core tells that somebody else was using it.
 */
#include "usage.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* Reads a small file whole, as a string. */
static int
usage_slurp(const char *path, char *out, size_t size)
{
	CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, out, size - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	return 0;
}

/* utime and stime are fields 14 and 15; field 2 may hold spaces but ends at the last ')'. */
static int
usage_read_stat(pid_t pid, struct usage *u)
{
	int64_t tick_ns = CLOCK_SECOND_NS / sysconf(_SC_CLK_TCK);
	char path[64], content[1024];
	uint64_t user, system;
	const char *after;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = usage_slurp(path, content, sizeof(content));
	if (r < 0)
		return r;
	after = strrchr(content, ')');
	if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
			     &user, &system) != 2)
		return -EPROTO;
	u->user_ns = (int64_t)user * tick_ns;
	u->system_ns = (int64_t)system * tick_ns;
	return 0;
}

/* Adds one thread's nanoseconds; a kernel without schedstat leaves both at 0. */
static void
usage_add_thread(pid_t pid, const char *thread, struct usage *u)
{
	char path[320], content[128];
	int64_t cpu, wait;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, thread);
	if (usage_slurp(path, content, sizeof(content)) < 0)
		return;
	if (sscanf(content, "%" SCNd64 " %" SCNd64, &cpu, &wait) != 2)
		return;
	u->cpu_ns += cpu;
	u->wait_ns += wait;
}

int
usage_read(pid_t pid, struct usage *ret)
{
	struct usage u = {0};
	struct dirent *entry;
	char path[64];
	DIR *tasks;
	int r;

	r = usage_read_stat(pid, &u);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks)
		return -errno;
	while ((entry = readdir(tasks)))
		if (isdigit((unsigned char)entry->d_name[0]))
			usage_add_thread(pid, entry->d_name, &u);
	closedir(tasks);
	if (u.cpu_ns == 0)
		u.cpu_ns = u.user_ns + u.system_ns;
	*ret = u;
	return 0;
}

struct usage
usage_between(const struct usage *before, const struct usage *after)
{
	return (struct usage){
		.cpu_ns = after->cpu_ns - before->cpu_ns,
		.wait_ns = after->wait_ns - before->wait_ns,
		.user_ns = after->user_ns - before->user_ns,
		.system_ns = after->system_ns - before->system_ns,
	};
}

int
usage_pin(int core)
{
	cpu_set_t set;

	if (core < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET((size_t)core, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}
