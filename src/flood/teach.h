#ifndef FLOOD_TEACH_H
#define FLOOD_TEACH_H
/*
 * Teach: a host whose table is empty needs all of it once. Asked of everybody, the
 * whole table would come from everybody: so one peer teaches, and the others are
 * compared with when that is over. A teacher that dies, gets nowhere, or has
 * nothing is replaced by the next. Knows links, and neither sockets nor clocks.
 */
#include <stdbool.h>

#include "flood/link.h"

#define TEACH_PATIENCE_NS (10 * CLOCK_SECOND_NS)

/* Zero-initialised: a host that needs no lesson. */
struct teach {
	bool is_newcomer;
	struct link *teacher; /* NULL: nobody is up yet */
	uint64_t taught;      /* fixes, when there was progress */
	int64_t taught_ns;
	unsigned int count;
	struct {
		struct link *link;
		bool was_asked;
	} up[CHANGES_PEERS]; /* in the order they came */
};

/* The table is empty. Before the first link. */
void teach_newcomer(struct teach *t);

/* now_ns is any clock that only grows. Within greeted(): */
void teach_greeted(struct teach *t, struct link *l);
/* The peer welcomes us, too. Once per link. */
void teach_up(struct teach *t, struct link *l, int64_t now_ns);
/* It has ended, or is about to; whether it was up or not. */
void teach_lost(struct teach *t, struct link *l, int64_t now_ns);
/* Some times a second. */
void teach_tick(struct teach *t, int64_t now_ns);

#endif
