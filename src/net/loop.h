#ifndef NET_LOOP_H
#define NET_LOOP_H
/*
 * The one event loop of a program, single-threaded, and the two things every
 * program asks of it: signals and timers. Sockets are added to loop_base() by
 * those who own them. Callbacks get the argument they were given; a void *
 * that travels through here starts with the receiver's own magic number.
 * Timers and signals come before whatever else is ready.
 */
#include <stdint.h>

#include <event2/event.h>

#include "base/cleanup.h"

struct loop;	    /* opaque */
struct loop_timer;  /* opaque */
struct loop_signal; /* opaque */

typedef void loop_fn(void *arg);

int loop_new(struct loop **ret);

/* Free timers, signals and events first; accepts NULL, returns NULL. */
struct loop *loop_free(struct loop *loop);
CLEANUP_POINTER(struct loop, loop_free);

struct event_base *loop_base(struct loop *loop);

/* Calls fn whenever the signal arrives; signals that come together count once. SIGPIPE is ignored
   from loop_new() on. */
int loop_signal_new(struct loop_signal **ret, struct loop *loop, int signal, loop_fn *fn, void *arg);
struct loop_signal *loop_signal_free(struct loop_signal *signal);
CLEANUP_POINTER(struct loop_signal, loop_signal_free);

/* Calls fn every interval_ns (1 ms at least), first one interval from now. A late turn is not made
   up for. */
int loop_timer_new(struct loop_timer **ret, struct loop *loop, int64_t interval_ns, loop_fn *fn, void *arg);
int loop_timer_set(struct loop_timer *timer, int64_t interval_ns);
struct loop_timer *loop_timer_free(struct loop_timer *timer);
CLEANUP_POINTER(struct loop_timer, loop_timer_free);

/* Calls fn whenever all callbacks that were due have run, before the loop waits again. */
void loop_after_turn(struct loop *loop, loop_fn *fn, void *arg);

/*
 * Ends the running turn behind the callback that calls this: loop_after_turn() has its call, timers and
 * signals that are due come next, then the callbacks that were ready and did not have their turn. For
 * programs with thousands of descriptors that may all be ready at once.
 */
void loop_end_turn(struct loop *loop);

/* Turns completed so far. */
uint64_t loop_turns(const struct loop *loop);

/* Runs until loop_stop(), or until nothing is left to wait for. 0 or negative errno. */
int loop_run(struct loop *loop);

/* The running turn ends first. */
void loop_stop(struct loop *loop);

#endif
