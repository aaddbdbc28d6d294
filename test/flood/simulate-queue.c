/* A binary heap. */
#include "simulate-queue.h"

#include <stdio.h>
#include <stdlib.h>

static bool
is_before(const struct queue_event *a, const struct queue_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void
grow(struct queue *q)
{
	q->room = q->room ? 2 * q->room : 1024;
	q->heap = realloc(q->heap, q->room * sizeof(*q->heap));
	if (!q->heap) {
		perror("simulate");
		abort();
	}
}

void
queue_put(struct queue *q, int64_t at_ns, queue_fn *fn, void *what, uint64_t number)
{
	struct queue_event e = {at_ns > q->now_ns ? at_ns : q->now_ns, q->order++, fn, what, number};
	size_t at = q->count;

	if (q->count == q->room)
		grow(q);
	q->count++;
	for (; at > 0 && is_before(&e, &q->heap[(at - 1) / 2]); at = (at - 1) / 2)
		q->heap[at] = q->heap[(at - 1) / 2];
	q->heap[at] = e;
}

static struct queue_event
take_first(struct queue *q)
{
	struct queue_event first = q->heap[0], last = q->heap[--q->count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < q->count) {
		if (child + 1 < q->count && is_before(&q->heap[child + 1], &q->heap[child]))
			child++;
		if (!is_before(&q->heap[child], &last))
			break;
		q->heap[at] = q->heap[child];
		at = child;
	}
	q->heap[at] = last;
	return first;
}

void
queue_run(struct queue *q, int64_t end_ns)
{
	while (q->count > 0 && q->heap[0].at_ns <= end_ns) {
		struct queue_event e = take_first(q);

		q->now_ns = e.at_ns;
		e.fn(e.what, e.number);
	}
	q->now_ns = end_ns;
}

void
queue_done(struct queue *q)
{
	free(q->heap);
	*q = (struct queue){0};
}
