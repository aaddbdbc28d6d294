/*
 * systemctl: asked to do what only the service manager can. The program and
 * not the bus, because it is what an operator would type, asks for the same
 * rights, and its complaint is the one the operator can look up.
 */
#include "ctl/systemctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ctl.h"

enum {
	SAID_MAX = 1500, /* of what it says, shown */
	POLL_MS = 50,
};

/* A unit has 90 seconds to start, and as many to be given up. */
#define PATIENCE_NS (INT64_C(200) * CLOCK_SECOND_NS)
#define MERCY_NS    (5 * CLOCK_SECOND_NS)

struct run {
	pid_t pid;
	int from; /* its stderr */
	char said[SAID_MAX + 1];
	size_t len;
};

static int
spawn_with(struct run *run, char **argv, posix_spawn_file_actions_t *files, posix_spawnattr_t *attributes)
{
	sigset_t defaults;
	int r;

	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE); /* which herdctl ignores */
	r = posix_spawnattr_setsigdefault(attributes, &defaults);
	if (r == 0)
		r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawnp(&run->pid, argv[0], files, attributes, argv, environ);
	return -r;
}

/* Standard input and output are nobody's: what it asks is answered by no, what it says is on stderr. */
static int
spawn(struct run *run, char **argv)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int end[2], r;

	if (pipe2(end, O_CLOEXEC) < 0)
		return -errno;
	r = -posix_spawn_file_actions_init(&files);
	if (r == 0) {
		r = -posix_spawnattr_init(&attributes);
		if (r == 0)
			r = -posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
		if (r == 0)
			r = -posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
		if (r == 0)
			r = -posix_spawn_file_actions_adddup2(&files, end[1], 2);
		if (r == 0)
			r = spawn_with(run, argv, &files, &attributes);
		posix_spawnattr_destroy(&attributes);
		posix_spawn_file_actions_destroy(&files);
	}
	close(end[1]);
	if (r < 0)
		close(end[0]);
	else
		run->from = end[0];
	return r;
}

/* Takes what it says; false: it has said all. What is too much is read and forgotten. */
static bool
listen_to(struct run *run)
{
	char bytes[4096];
	ssize_t n = read(run->from, bytes, sizeof(bytes));
	size_t room = SAID_MAX - run->len;

	if (n > 0) {
		memcpy(run->said + run->len, bytes, (size_t)n < room ? (size_t)n : room);
		run->len += (size_t)n < room ? (size_t)n : room;
	}
	return n > 0 || (n < 0 && errno == EINTR);
}

/* Waits for its end and hears what it says meanwhile; a child of its own may keep the pipe open, and talk, for
   longer. -ETIMEDOUT. */
static int
watch(struct run *run, int64_t patience_ns, int *ret_status)
{
	int64_t end_ns = clock_monotonic_ns() + patience_ns;
	bool talking = true;

	for (;;) {
		struct pollfd ready = {.fd = talking ? run->from : -1, .events = POLLIN};
		bool spoke = poll(&ready, 1, POLL_MS) > 0, late = clock_monotonic_ns() >= end_ns;
		pid_t gone;

		if (spoke)
			talking = listen_to(run);
		if (spoke && talking && run->len < SAID_MAX && !late)
			continue; /* its last words come before its end */
		gone = waitpid(run->pid, ret_status, WNOHANG);
		if (gone == run->pid)
			return 0;
		if (gone < 0 && errno != EINTR)
			return -errno;
		if (late)
			return -ETIMEDOUT;
	}
}

static int
end(struct run *run, int *ret_status)
{
	int r = watch(run, PATIENCE_NS, ret_status);

	if (r == -ETIMEDOUT) {
		kill(run->pid, SIGTERM);
		if (watch(run, MERCY_NS, ret_status) == -ETIMEDOUT) {
			kill(run->pid, SIGKILL);
			(void)watch(run, MERCY_NS, ret_status);
		}
	}
	close(run->from);
	run->said[run->len] = '\0';
	return r;
}

/* Several lines become one. */
static const char *
one_line(struct run *run)
{
	while (run->len > 0 && text_is_space(run->said[run->len - 1]))
		run->said[--run->len] = '\0';
	for (char *c = run->said; *c; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	return run->said;
}

/* 0; > 0: its own exit status, or 255 for a signal; negative errno. */
static int
run_it(struct run *run, const char *const arguments[])
{
	char *argv[SYSTEMCTL_ARGUMENTS_MAX + 3] = {(char *)"systemctl", (char *)"--no-ask-password"};
	int status = 0, r;

	for (size_t i = 0; i < SYSTEMCTL_ARGUMENTS_MAX && arguments[i]; i++)
		argv[i + 2] = (char *)arguments[i];
	signal(SIGCHLD,
	       SIG_DFL); /* who started us may have it ignored, and then nobody hears how a child ended */
	r = spawn(run, argv);
	if (r == 0)
		r = end(run, &status);
	if (r < 0)
		return r;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int
systemctl(const char *const arguments[], const char *unless)
{
	struct run run = {.from = -1};
	const char *said;
	int r = run_it(&run, arguments);

	if (r == 0)
		return 0;
	said = one_line(&run);
	if (r == -ENOENT)
		return ctl_fail(CTL_FAILED,
				"There is no systemctl here, so nothing can be started or stopped; --offline "
				"only changes the settings; %s",
				unless);
	if (r == -ETIMEDOUT)
		return ctl_fail(CTL_FAILED, "'systemctl %s' did not end in time; %s", arguments[0], unless);
	if (r < 0)
		return ctl_fail(CTL_FAILED, "Cannot run systemctl: %s; %s", strerror(-r), unless);
	return ctl_fail(CTL_FAILED, "'systemctl %s' failed: %s; %s", arguments[0],
			*said ? said : "it does not say why", unless);
}

void
systemctl_quietly(const char *const arguments[])
{
	struct run run = {.from = -1};

	(void)run_it(&run, arguments);
}

int
systemctl_asks(const char *const arguments[])
{
	struct run run = {.from = -1};
	int r = run_it(&run, arguments);

	return r > 0 ? 1 : r;
}

int
systemctl_must_be_active(const char *unit, const char *name, const char *unless)
{
	const char *const arguments[] = {"is-active", "--quiet", unit, NULL};
	int r = systemctl_asks(arguments);

	if (r < 0)
		return ctl_fail(CTL_FAILED, "Cannot ask systemctl for '%s': %s; %s", unit, strerror(-r),
				unless);
	if (r > 0)
		return ctl_fail(CTL_FAILED,
				"%s is not active: %s does not run, or was not started by systemd; %s", unit,
				name, unless);
	return 0;
}
