/*
 * libevent with the three decisions a program should not have to repeat: no
 * locks, because a program has one thread; no changelist, because it must not
 * be used with descriptors that are dup()ed or passed on (epoll forgets which
 * of two equal files was meant); signals through libevent's own self-pipe, so
 * that callbacks are ordinary code.
 */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"

struct loop {
	struct event_base *base;
	bool is_stopped;
	uint64_t turns;
	loop_fn *after; /* may be NULL */
	void *after_arg;
};

enum { /* libevent's priorities: lower ones first; what others add gets the middle, which is the last of two */
       PRIORITY_TIME,
       PRIORITY_COUNT = 2,
};

enum {
	TIMER_MAGIC = 0x4c54494d,  /* "LTIM" */
	SIGNAL_MAGIC = 0x4c534947, /* "LSIG" */
};

struct loop_timer {
	unsigned int magic;
	struct event *event;
	loop_fn *fn;
	void *arg;
};

struct loop_signal {
	unsigned int magic;
	struct event *event;
	loop_fn *fn;
	void *arg;
};

int
loop_new(struct loop **ret)
{
	struct event_config *config = event_config_new();
	struct loop *loop = calloc(1, sizeof(*loop));

	if (config && loop && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		loop->base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	if (!loop || !loop->base || event_base_priority_init(loop->base, PRIORITY_COUNT) < 0) {
		loop_free(loop);
		return -ENOMEM;
	}
	signal(SIGPIPE, SIG_IGN);
	*ret = loop;
	return 0;
}

struct loop *
loop_free(struct loop *loop)
{
	if (loop) {
		if (loop->base)
			event_base_free(loop->base);
		free(loop);
	}
	return NULL;
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

void
loop_after_turn(struct loop *loop, loop_fn *fn, void *arg)
{
	loop->after = fn;
	loop->after_arg = arg;
}

/* libevent 2.1 has no hook between two waits, but it can be asked to return after each. */
int
loop_run(struct loop *loop)
{
	int r = 0;

	loop->is_stopped = false;
	while (r == 0 && !loop->is_stopped) {
		r = event_base_loop(loop->base, EVLOOP_ONCE);
		loop->turns++;
		if (loop->after)
			loop->after(loop->after_arg);
	}
	return r < 0 ? -EIO : 0;
}

void
loop_stop(struct loop *loop)
{
	loop->is_stopped = true;
	event_base_loopbreak(loop->base);
}

void
loop_end_turn(struct loop *loop)
{
	event_base_loopbreak(loop->base);
}

uint64_t
loop_turns(const struct loop *loop)
{
	return loop->turns;
}

/* --- signals -------------------------------------------------------------- */

static void
signal_on_event(evutil_socket_t number, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)number;
	(void)what;
	assert(s->magic == SIGNAL_MAGIC);
	s->fn(s->arg);
}

int
loop_signal_new(struct loop_signal **ret, struct loop *loop, int signal, loop_fn *fn, void *arg)
{
	CLEANUP(loop_signal_freep) struct loop_signal *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*s = (struct loop_signal){.magic = SIGNAL_MAGIC, .fn = fn, .arg = arg};
	s->event = evsignal_new(loop->base, signal, signal_on_event, s);
	if (!s->event || event_priority_set(s->event, PRIORITY_TIME) < 0 || evsignal_add(s->event, NULL) < 0)
		return -ENOMEM;
	*ret = s;
	s = NULL;
	return 0;
}

struct loop_signal *
loop_signal_free(struct loop_signal *s)
{
	if (s) {
		if (s->event)
			event_free(s->event);
		free(s);
	}
	return NULL;
}

/* --- timers --------------------------------------------------------------- */

static void
timer_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	assert(t->magic == TIMER_MAGIC);
	t->fn(t->arg);
}

int
loop_timer_set(struct loop_timer *t, int64_t interval_ns)
{
	struct timeval wait;

	if (interval_ns < CLOCK_MSEC_NS)
		interval_ns = CLOCK_MSEC_NS;
	wait.tv_sec = interval_ns / CLOCK_SECOND_NS;
	wait.tv_usec = interval_ns % CLOCK_SECOND_NS / 1000;
	return event_add(t->event, &wait) < 0 ? -ENOMEM : 0;
}

int
loop_timer_new(struct loop_timer **ret, struct loop *loop, int64_t interval_ns, loop_fn *fn, void *arg)
{
	CLEANUP(loop_timer_freep) struct loop_timer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	*t = (struct loop_timer){.magic = TIMER_MAGIC, .fn = fn, .arg = arg};
	t->event = event_new(loop->base, -1, EV_PERSIST, timer_on_event, t);
	if (!t->event || event_priority_set(t->event, PRIORITY_TIME) < 0)
		return -ENOMEM;
	r = loop_timer_set(t, interval_ns);
	if (r < 0)
		return r;
	*ret = t;
	t = NULL;
	return 0;
}

struct loop_timer *
loop_timer_free(struct loop_timer *t)
{
	if (t) {
		if (t->event)
			event_free(t->event);
		free(t);
	}
	return NULL;
}
