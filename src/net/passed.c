/*
 * What is passed is for one process, which the environment names: a child that inherits the environment
 * takes nothing of it for its own.
 */
#include "config.h"

#include "net/passed.h"

#include <stdlib.h>

#if WITH_SYSTEMD
#include <systemd/sd-daemon.h>

_Static_assert((int)PASSED_FIRST == SD_LISTEN_FDS_START, "the first descriptor is another one");

int
passed_sockets(char ***ret_names, bool forget)
{
	return sd_listen_fds_with_names(forget, ret_names);
}

int64_t
passed_watchdog_ns(void)
{
	uint64_t usec = 0;

	return sd_watchdog_enabled(0, &usec) > 0 && usec < (uint64_t)(INT64_MAX / 1000) ? (int64_t)usec * 1000
											: 0;
}

#else
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/digits.h"
#include "base/text.h"

/* A variable that is nothing but a number. -ENOENT: it is not there; -EINVAL. */
static int
take_number(const char *variable, uint64_t *ret)
{
	const char *at = getenv(variable);
	uint64_t value;
	size_t len;

	if (!at)
		return -ENOENT;
	len = strlen(at);
	if (len == 0 || digits_take(&at, at + len, 18, &value) != (unsigned int)len)
		return -EINVAL;
	*ret = value;
	return 0;
}

/* 1: this process is meant; 0: another one. With no such variable it is `unsaid`. */
static int
names_us(const char *variable, int unsaid)
{
	uint64_t pid = 0;
	int r = take_number(variable, &pid);

	if (r == -ENOENT)
		return unsaid;
	return r < 0 ? r : pid == (uint64_t)getpid();
}

/* How many there are, for us. */
static int
count_sockets(void)
{
	uint64_t count = 0;
	int r = names_us("LISTEN_PID", 0);

	if (r <= 0)
		return r;
	r = take_number("LISTEN_FDS", &count);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	return count > 0 && count <= INT_MAX - PASSED_FIRST ? (int)count : -EINVAL;
}

static int
close_on_exec(int count)
{
	for (int i = 0; i < count; i++) {
		int flags = fcntl(PASSED_FIRST + i, F_GETFD);

		if (flags < 0 || fcntl(PASSED_FIRST + i, F_SETFD, flags | FD_CLOEXEC) < 0)
			return -errno;
	}
	return 0;
}

/* Divides "a:b:c", in place, into exactly count names. */
static int
split_names(char *text, int count, char **names)
{
	for (int i = 0; i < count; i++) {
		char *end = text ? strchr(text, ':') : NULL;

		if (!text)
			return -EINVAL;
		if (end)
			*end = '\0';
		names[i] = strdup(text);
		if (!names[i])
			return -ENOMEM;
		text = end ? end + 1 : NULL;
	}
	return text ? -EINVAL : 0;
}

static int
take_names(int count, char **names)
{
	const char *given = getenv("LISTEN_FDNAMES");
	char *text;
	int r = 0;

	if (given) {
		text = strdup(given);
		if (!text)
			return -ENOMEM;
		r = split_names(text, count, names);
		free(text);
		return r;
	}
	for (int i = 0; i < count; i++) {
		names[i] = strdup("unknown");
		if (!names[i])
			return -ENOMEM;
	}
	return 0;
}

static int
take_sockets(char ***ret_names)
{
	int count = count_sockets(), r;
	char **names;

	if (count <= 0)
		return count;
	r = close_on_exec(count);
	if (r < 0)
		return r;
	names = calloc((size_t)count + 1, sizeof(*names));
	if (!names)
		return -ENOMEM;
	r = take_names(count, names);
	if (r < 0) {
		passed_names_free(names);
		return r;
	}
	*ret_names = names;
	return count;
}

int
passed_sockets(char ***ret_names, bool forget)
{
	int r = take_sockets(ret_names);

	if (forget) {
		unsetenv("LISTEN_PID");
		unsetenv("LISTEN_FDS");
		unsetenv("LISTEN_FDNAMES");
	}
	return r;
}

int64_t
passed_watchdog_ns(void)
{
	uint64_t usec = 0;

	if (names_us("WATCHDOG_PID", 1) <= 0 || take_number("WATCHDOG_USEC", &usec) < 0)
		return 0;
	return usec < (uint64_t)(INT64_MAX / 1000) ? (int64_t)usec * 1000 : 0;
}
#endif

void
passed_names_free(char **names)
{
	for (size_t i = 0; names && names[i]; i++)
		free(names[i]);
	free(names);
}
