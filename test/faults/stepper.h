#ifndef TEST_STEPPER_H
#define TEST_STEPPER_H
/*
 * Stopping a child at any instruction of an operation on the table: stepped
 * once to learn its path, afterwards brought to any point of that path by a
 * breakpoint, since steps are slow. And segments as bytes, so that every child
 * starts from the same one.
 */
#include "checks.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "../table-help.h"

enum {
	STEPS_MAX = 2000000,
	TIMES_MAX = 40, /* breakpoint hits on the way to a point */
};

/* Shared with the child. */
struct marks {
	volatile int phase; /* 1: inside the operation, 2: behind it */
	volatile int result;
};

static struct marks *marks;

static inline void
marks_make(void)
{
	marks = mmap(NULL, sizeof(*marks), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(marks != MAP_FAILED);
}

/* --- images: segments as bytes ------------------------------------------------ */

struct image {
	uint8_t *bytes;
	size_t size;
};

static inline void
image_read(struct image *image, const char *name)
{
	int fd = open(help_path(name), O_RDONLY | O_CLOEXEC);
	struct stat st;

	NEED(fd >= 0 && fstat(fd, &st) == 0);
	image->size = (size_t)st.st_size;
	image->bytes = malloc(image->size);
	NEED(image->bytes && read(fd, image->bytes, image->size) == (ssize_t)image->size);
	close(fd);
}

/* Makes the segment anew, so that no lock on it is held by anybody. */
static inline void
image_write(const struct image *image, const char *name)
{
	int fd;

	(void)table_unlink(name);
	fd = open(help_path(name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	NEED(fd >= 0 && write(fd, image->bytes, image->size) == (ssize_t)image->size);
	close(fd);
}

/* --- the child -------------------------------------------------------------- */

/* As fork(2), with the marks where they start. */
static inline pid_t
child_fork(void)
{
	pid_t pid;

	marks->phase = 0;
	marks->result = -1;
	fflush(stdout);
	pid = fork();
	NEED(pid >= 0);
	return pid;
}

/* In the child: from here on the parent says when to go on. */
static inline void
child_is_ready(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(1);
	raise(SIGSTOP);
	marks->phase = 1;
}

/* In the child: the operation is behind it. What follows is not stepped. */
static inline void
child_has_done(void)
{
	marks->phase = 2;
}

/* In the parent: until the child is ready. */
static inline void
child_wait_ready(pid_t pid)
{
	int status;

	NEED(waitpid(pid, &status, 0) == pid);
	NEED(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	NEED(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_EXITKILL) == 0);
}

static inline void
child_step(pid_t pid)
{
	int status;

	NEED(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);
	NEED(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
}

static inline void
child_kill(pid_t pid)
{
	int status;

	NEED(kill(pid, SIGKILL) == 0);
	NEED(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
}

/* Where the stopped child is; 0: this machine is not known here. */
static inline unsigned long
child_address(pid_t pid)
{
#ifdef __x86_64__
	struct user_regs_struct registers;

	NEED(ptrace(PTRACE_GETREGS, pid, NULL, &registers) == 0);
	return registers.rip;
#else
	(void)pid;
	return 0;
#endif
}

/* Lets it run to its end. */
static inline void
child_finish(pid_t pid)
{
	int status;

	NEED(ptrace(PTRACE_CONT, pid, NULL, NULL) == 0);
	NEED(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
}

/* Every address a child came by from its stop on; recorded once, while it is stepped. */
struct path {
	unsigned long *address; /* before the first step, after the first, ... */
	unsigned int *times;	/* this was so often its address, the start not counted */
	unsigned long steps, room;
	unsigned long before; /* steps before the first mark */
	struct {
		unsigned long address;
		unsigned int times;
	} * seen; /* SEEN of them, by address */
};

enum { SEEN = 1 << 16 };

static inline void
path_add(struct path *path, unsigned long address)
{
	size_t at = (size_t)(address * UINT64_C(0x9e3779b97f4a7c15) >> 48);

	if (!path->seen)
		path->seen = calloc(SEEN, sizeof(*path->seen));
	NEED(path->seen);
	if (path->steps == path->room) {
		path->room = path->room ? 2 * path->room : 4096;
		path->address = realloc(path->address, path->room * sizeof(*path->address));
		path->times = realloc(path->times, path->room * sizeof(*path->times));
		NEED(path->address && path->times);
	}
	while (path->seen[at].times && path->seen[at].address != address)
		at = (at + 1) % SEEN;
	path->seen[at].address = address;
	/* The child stands at the first address already: a breakpoint there would not see that. */
	path->seen[at].times += path->steps > 0;
	path->address[path->steps] = address;
	path->times[path->steps++] = path->seen[at].times;
}

static inline void
path_done(struct path *path)
{
	free(path->address);
	free(path->times);
	free(path->seen);
}

#ifdef __x86_64__
enum { BREAKPOINT = 0xcc };

/* Lets it run until it comes to the address for the n-th time (from 1). false: it came to its end
   before; the C library's clock loops differently from time to time. */
static inline bool
child_run_to(pid_t pid, unsigned long address, unsigned long n)
{
	struct user_regs_struct registers;
	long word, trap;
	int status;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, pid, (void *)address, NULL);
	NEED(errno == 0);
	trap = (word & ~0xffL) | BREAKPOINT;
	for (;;) {
		NEED(ptrace(PTRACE_POKETEXT, pid, (void *)address, (void *)trap) == 0);
		NEED(ptrace(PTRACE_CONT, pid, NULL, NULL) == 0);
		NEED(waitpid(pid, &status, 0) == pid);
		if (WIFEXITED(status))
			return false;
		NEED(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
		NEED(ptrace(PTRACE_GETREGS, pid, NULL, &registers) == 0);
		NEED(registers.rip == address + 1);
		registers.rip = address;
		NEED(ptrace(PTRACE_SETREGS, pid, NULL, &registers) == 0);
		NEED(ptrace(PTRACE_POKETEXT, pid, (void *)address, (void *)word) == 0);
		if (--n == 0)
			return true;
		child_step(pid);
	}
}
#endif

/* Brings a new child to where it was after this many steps of its operation: to a breakpoint,
   where the machine is known, since steps are slow; false: it missed it, and is gone. */
static inline bool
child_go_to(pid_t pid, const struct path *path, unsigned long steps)
{
	unsigned long all = path->before + steps;

	NEED(steps > 0 && all < path->steps);
#ifdef __x86_64__
	if (!child_run_to(pid, path->address[all], path->times[all]))
		return false;
#else
	for (unsigned long i = 0; i < all; i++)
		child_step(pid);
#endif
	NEED(marks->phase == 1);
	return true;
}

/* The next step that a breakpoint reaches soon: not the thousandth round of a loop. */
static inline unsigned long
path_near(const struct path *path, unsigned long steps)
{
	unsigned long last = path->steps - path->before - 2;

	while (steps < last && path->times[path->before + steps] > TIMES_MAX)
		steps++;
	return steps;
}

#endif
