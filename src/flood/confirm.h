#ifndef FLOOD_CONFIRM_H
#define FLOOD_CONFIRM_H
/*
 * Confirm: which rounds through the table's marks are applied by as many
 * peers as asked for (ack-after). Counts only; whom to tell is the caller's.
 *
 * Confirming is in order: a round counts as confirmed when all before it do.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

enum {
	CONFIRM_PEERS = 64,
	CONFIRM_ROUNDS = 512, /* entries that wait; the more of them, the more rounds share one */
	CONFIRM_SHARE = 32,   /* as many entries more double what one may hold */
};

/* Nobody waits longer for a round: ack-timeout is a minute at most. */
#define CONFIRM_LAPSE_NS (70 * CLOCK_SECOND_NS)

/* All zero: no peer is asked for, none is there. */
struct confirm {
	unsigned int needed;
	uint64_t open;			      /* one bit per peer */
	uint64_t acknowledged[CONFIRM_PEERS]; /* applied up to this change, but for ... */
	uint64_t doubt[CONFIRM_PEERS]; /* ... those up to this one, made before the peer came; 0: none */
	uint64_t told;		       /* the last round that confirm_take() gave */
	uint64_t reached;	       /* all changes up to this one are confirmed */
	uint64_t lapsed;	       /* and those that nobody waits for any more, up to this one */
	bool is_news;		       /* something happened since */
	unsigned int first, count;
	struct confirm_round {
		uint64_t round, sequence;
		int64_t time_ns;
	} round[CONFIRM_ROUNDS]; /* a ring */
};

/* By this many peers; 0: every round is confirmed at once. */
void confirm_set_needed(struct confirm *c, unsigned int peers);

/* A round ended, and all that it found was stamped with `sequence` or less. Both only grow. Rounds that lapsed
   meanwhile no longer keep those after them waiting. */
void confirm_round(struct confirm *c, uint64_t round, uint64_t sequence, int64_t now_ns);

/* What changed up to `sequence` this peer may not have. */
void confirm_open(struct confirm *c, unsigned int peer, uint64_t sequence);
void confirm_close(struct confirm *c, unsigned int peer);

/* The peer says that it has applied everything that it was told up to here. */
void confirm_acknowledge(struct confirm *c, unsigned int peer, uint64_t sequence);

/* The peer has everything up to here, also from before it came. No acknowledgement: it may yet have to be told. */
void confirm_settle(struct confirm *c, unsigned int peer, uint64_t sequence);

/* It is going to be told everything from `sequence` on, and has the rest. */
void confirm_resume(struct confirm *c, unsigned int peer, uint64_t sequence);

/* True: everything up to *ret_round is confirmed, and this is news. Cheap when nothing happened. */
bool confirm_take(struct confirm *c, uint64_t *ret_round);

#endif
