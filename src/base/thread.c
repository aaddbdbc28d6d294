/*
 * Thread: signals are the loop's; but those that an instruction of ours raises
 * cannot wait, and SIGBUS is what the guard lives on.
 */
#include "base/thread.h"

#include <signal.h>

enum { STACK_BYTES = 256 * 1024 };

int
thread_start(pthread_t *ret, void *(*main)(void *arg), void *arg)
{
	pthread_attr_t attr;
	sigset_t most, old;
	int r;

	r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&most);
	sigdelset(&most, SIGBUS);
	sigdelset(&most, SIGSEGV);
	sigdelset(&most, SIGFPE);
	sigdelset(&most, SIGILL);
	pthread_sigmask(SIG_SETMASK, &most, &old);
	r = pthread_create(ret, &attr, main, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}
