/*
 * Guard: a signal handler that jumps back to the innermost guard_run() of the
 * thread that touched the missing page. One for the whole program, because a
 * process has one handler per signal: the fix table and the places file are
 * both mappings of files that others can cut short.
 */
#include "base/guard.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local sigjmp_buf *guard_here;

static void
guard_on_sigbus(int number)
{
	if (guard_here)
		siglongjmp(*guard_here, 1);
	/* Not ours: die of it as if we had never been asked. */
	signal(number, SIG_DFL);
	raise(number);
}

static void __attribute__((constructor)) guard_install(void)
{
	/* NODEFER: siglongjmp() without a saved mask leaves the mask as the handler has it. */
	struct sigaction action = {.sa_handler = guard_on_sigbus, .sa_flags = SA_NODEFER};

	sigaction(SIGBUS, &action, NULL);
}

int
guard_run(int (*body)(void *arg), void *arg)
{
	sigjmp_buf here;
	sigjmp_buf *outer = guard_here;
	int r;

	if (sigsetjmp(here, 0)) {
		guard_here = outer;
		return -EFAULT;
	}
	guard_here = &here;
	r = body(arg);
	guard_here = outer;
	return r;
}
