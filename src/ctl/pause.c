#include "ctl/pause.h"

#include <poll.h>
#include <unistd.h>

#include "base/clock.h"

static volatile sig_atomic_t stopped, resized;

static void
on_signal(int signal)
{
	if (signal == SIGWINCH)
		resized = 1;
	else
		stopped = 1;
}

bool
pause_is_stopped(void)
{
	return stopped;
}

void
pause_begin(struct pause *ret, int keys)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGQUIT, SIGWINCH, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal}, before = {};
	size_t count = sizeof(signals) / sizeof(signals[0]);
	sigset_t blocked;

	sigaction(SIGHUP, NULL, &before);
	if (before.sa_handler == SIG_IGN)
		count--; /* the last one */

	sigemptyset(&blocked);
	for (size_t i = 0; i < count; i++)
		sigaddset(&blocked, signals[i]);
	sigprocmask(SIG_BLOCK, &blocked, &ret->mask);
	for (size_t i = 0; i < count; i++) {
		sigdelset(&ret->mask, signals[i]);
		sigaction(signals[i], &action, NULL);
	}
	ret->keys = keys;
}

/* Was it q? What else is typed is nothing; a terminal that is gone is like q. */
static bool
is_quit(int keys)
{
	char typed[16];
	ssize_t n = read(keys, typed, sizeof(typed));

	for (ssize_t i = 0; i < n; i++)
		if (typed[i] == 'q' || typed[i] == 'Q')
			return true;
	return n <= 0;
}

enum pause_end
pause_wait(const struct pause *p, int64_t wait_ns)
{
	const int64_t end_ns = clock_monotonic_ns() + wait_ns;
	int64_t left_ns = wait_ns;

	while (!stopped) {
		struct timespec left = {left_ns / CLOCK_SECOND_NS, left_ns % CLOCK_SECOND_NS};
		struct pollfd who[2] = {{.fd = STDOUT_FILENO}, /* only its end is waited for */
					{.fd = p->keys, .events = POLLIN}};
		int n = ppoll(who, 2, &left, &p->mask);

		if (resized && !stopped) {
			resized = 0;
			return PAUSE_RESIZE;
		}
		if (n == 0)
			return PAUSE_TIME;
		if (n < 0 || who[0].revents || is_quit(p->keys))
			break;
		left_ns = end_ns - clock_monotonic_ns();
		if (left_ns <= 0)
			return PAUSE_TIME;
	}
	return PAUSE_STOP;
}
