#ifndef CTL_PAUSE_H
#define CTL_PAUSE_H
/*
 * Pause: for commands that look again and again. Signals are the way to end them: SIGINT, SIGTERM,
 * SIGQUIT, and SIGHUP unless that is ignored (nohup). They only ever arrive while one waits, so a terminal
 * can be left as it was.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

enum pause_end {
	PAUSE_TIME,   /* it is over */
	PAUSE_RESIZE, /* the window changed */
	PAUSE_STOP,   /* a signal came, who reads standard output left, or q was typed */
};

struct pause {
	sigset_t mask;
	int keys; /* where keys are typed; -1: nowhere */
};

/* From here on these wait for pause_wait(). Process wide, and for good. */
void pause_begin(struct pause *ret, int keys);

bool pause_is_stopped(void);

enum pause_end pause_wait(const struct pause *p, int64_t wait_ns);

#endif
