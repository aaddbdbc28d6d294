/* The event loop's wrapper: loop.c. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop.h"

struct counted {
	struct loop *loop;
	int turns, stop_at;
};

static void
on_turn(void *arg)
{
	struct counted *c = arg;

	if (++c->turns >= c->stop_at)
		loop_stop(c->loop);
}

static void
raise_hangup(void *arg)
{
	(void)arg;
	assert_int_equal(raise(SIGHUP), 0);
}

static void
test_timers(void **state)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	CLEANUP(loop_timer_freep) struct loop_timer *often = NULL, *seldom = NULL;
	struct counted many = {.stop_at = 5}, none = {.stop_at = 1};
	int64_t began_ns;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	assert_non_null(loop_base(loop));
	many.loop = none.loop = loop;
	assert_int_equal(loop_timer_new(&often, loop, 3600 * CLOCK_SECOND_NS, on_turn, &many), 0);
	assert_int_equal(loop_timer_new(&seldom, loop, 3600 * CLOCK_SECOND_NS, on_turn, &none), 0);
	began_ns = clock_monotonic_ns();
	assert_int_equal(loop_timer_set(often, 10 * CLOCK_MSEC_NS), 0); /* not in an hour */
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(many.turns, 5);
	assert_int_equal(none.turns, 0);
	assert_true(clock_monotonic_ns() - began_ns >= 40 * CLOCK_MSEC_NS);
	began_ns = clock_monotonic_ns();
	assert_int_equal(loop_timer_set(often, 0), 0); /* 1 ms: not a busy loop */
	many.stop_at = 25;
	assert_int_equal(loop_run(loop), 0);
	assert_true(clock_monotonic_ns() - began_ns >= 10 * CLOCK_MSEC_NS);
}

static void
test_signals(void **state)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	CLEANUP(loop_signal_freep) struct loop_signal *hangup = NULL;
	CLEANUP(loop_timer_freep) struct loop_timer *timer = NULL;
	struct counted hangups = {.stop_at = 3};
	int end[2];

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	hangups.loop = loop;
	assert_int_equal(loop_signal_new(&hangup, loop, SIGHUP, on_turn, &hangups), 0);
	assert_int_equal(raise(SIGHUP), 0); /* kept until the loop runs */
	assert_int_equal(loop_timer_new(&timer, loop, CLOCK_MSEC_NS, raise_hangup, NULL), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(hangups.turns, 3);

	assert_int_equal(pipe(end), 0); /* SIGPIPE is an error code, not the end */
	close(end[0]);
	assert_int_equal(write(end[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(end[1]);
}

/* --- turns ---------------------------------------------------------------------- */

enum { READY = 10 };

struct ready {
	struct loop *loop;
	struct loop_timer *timer;
	struct event *event[READY];
	char order[64]; /* who was called, one letter each */
	size_t len;
	unsigned int since; /* callbacks since the last turn began */
};

static void
note(struct ready *r, char who)
{
	assert_true(r->len < sizeof(r->order) - 1);
	r->order[r->len++] = who;
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct ready *r = arg;

	(void)fd;
	(void)what;
	note(r, 'r');
	if (++r->since == 4)
		loop_end_turn(r->loop);
}

static void
on_after(void *arg)
{
	struct ready *r = arg;

	note(r, '|');
	r->since = 0;
	if (loop_turns(r->loop) == 3)
		loop_stop(r->loop);
}

static void
note_timer(void *arg)
{
	struct ready *r = arg;

	note(r, 't');
	assert_int_equal(loop_timer_set(r->timer, 3600 * CLOCK_SECOND_NS), 0);
}

/* All are ready at once; turns end where they were told to, timers come first, and all have their turn. */
static void
test_turns_end(void **state)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct ready r = {0};
	int64_t began_ns = clock_monotonic_ns();

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	r.loop = loop;
	loop_after_turn(loop, on_after, &r);
	for (size_t i = 0; i < READY; i++) {
		r.event[i] = event_new(loop_base(loop), -1, 0, on_ready, &r);
		assert_non_null(r.event[i]);
		event_active(r.event[i], EV_READ, 0);
	}
	assert_int_equal(loop_timer_new(&r.timer, loop, CLOCK_MSEC_NS, note_timer, &r), 0);
	while (clock_monotonic_ns() - began_ns < 50 * CLOCK_MSEC_NS)
		; /* libevent's clock may be a coarse one */
	assert_int_equal(loop_turns(loop), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(r.order, "trrrr|rrrr|rr|");
	assert_int_equal(loop_turns(loop), 3);
	for (size_t i = 0; i < READY; i++)
		event_free(r.event[i]);
	loop_timer_free(r.timer);
}

static void
test_nothing_to_free(void **state)
{
	(void)state;
	assert_null(loop_timer_free(NULL));
	assert_null(loop_signal_free(NULL));
	assert_null(loop_free(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_turns_end),
		cmocka_unit_test(test_nothing_to_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
