#ifndef TEST_FLOOD_SIMULATE_QUEUE_H
#define TEST_FLOOD_SIMULATE_QUEUE_H
/*
 * What happens when, in virtual time: events in the order of their time, and of
 * two at one time the one that was put in first. Nothing else decides what comes
 * next, so a run is the same whenever it is repeated.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void queue_fn(void *what, uint64_t number);

struct queue_event {
	int64_t at_ns;
	uint64_t order;
	queue_fn *fn;
	void *what;
	uint64_t number;
};

/* Zero-initialised: empty, and time begins at 0. */
struct queue {
	struct queue_event *heap; /* owned */
	size_t count, room;
	uint64_t order;
	int64_t now_ns;
};

/* fn(what, number) at at_ns, or now if that is past. */
void queue_put(struct queue *q, int64_t at_ns, queue_fn *fn, void *what, uint64_t number);

/* Runs what is due up to end_ns, which is then now. */
void queue_run(struct queue *q, int64_t end_ns);

void queue_done(struct queue *q);

#endif
