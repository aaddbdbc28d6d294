#ifndef FLOOD_CONFIRM_H
#define FLOOD_CONFIRM_H
/*
 * Confirm: which rounds through the table's marks are applied by as many
 * peers as asked for (ack-after). Counts only; whom to tell is the caller's.
 *
 * Confirming is in order: a round counts as confirmed when all before it do.
 *
 * A peer's acknowledgement of a change is not yet one of all before it: a slot
 * that changed again before the peer was told comes to it with the later
 * change, and with the earlier one never. From the one to the other there is a
 * debt: acknowledged in between, what the earlier one said is not there yet.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

enum {
	CONFIRM_PEERS = 64,
	CONFIRM_ROUNDS = 512, /* entries that wait; the more of them, the more rounds share one */
	CONFIRM_SHARE = 32,   /* as many entries more double what one may hold */
	CONFIRM_DEBTS = 16,   /* per peer; more count as one */
};

/* Nobody waits longer for a round: ack-timeout is a minute at most. */
#define CONFIRM_LAPSE_NS (70 * CLOCK_SECOND_NS)

struct confirm_peer {
	uint64_t acknowledged;
	uint64_t doubt;	    /* of changes up to this one nobody knows whether it has them ... */
	bool is_settled;    /* ... before this */
	unsigned int debts; /* in order, none overlaps another */
	struct confirm_debt {
		uint64_t from, to;
	} debt[CONFIRM_DEBTS];
};

/* All zero: no peer is asked for, none is there. */
struct confirm {
	unsigned int needed;
	uint64_t open; /* one bit per peer */
	struct confirm_peer peer[CONFIRM_PEERS];
	uint64_t told;	  /* the last round that confirm_take() gave */
	uint64_t reached; /* all changes up to this one are confirmed */
	uint64_t lapsed;  /* and those that nobody waits for any more, up to this one */
	bool is_news;	  /* something happened since */
	unsigned int first, count;
	struct confirm_round {
		uint64_t round, sequence;
		int64_t time_ns;
	} round[CONFIRM_ROUNDS]; /* a ring */
};

/* By this many peers; 0: every round is confirmed at once. sequence: of the last change. */
void confirm_set_needed(struct confirm *c, unsigned int peers, uint64_t sequence);

/* A round ended, and all that it found was stamped with `sequence` or less. Both only grow. Rounds that lapsed
   meanwhile no longer keep those after them waiting. */
void confirm_round(struct confirm *c, uint64_t round, uint64_t sequence, int64_t now_ns);

/* What changed up to `sequence`, now, this peer may not have. */
void confirm_open(struct confirm *c, unsigned int peer, uint64_t sequence);
void confirm_close(struct confirm *c, unsigned int peer);

/* The peer says that it has applied everything that it was told up to here. */
void confirm_acknowledge(struct confirm *c, unsigned int peer, uint64_t sequence);

/* The peer has, or is going to be told, all that changed up to `now`: it has it when it acknowledges that. It had to be
   known of changes up to `sequence` at least; else nothing happens. */
void confirm_settle(struct confirm *c, unsigned int peer, uint64_t sequence, uint64_t now);

/* It has what it was told up to `sequence`, and is going to be told the rest, up to `now`, and on. */
void confirm_resume(struct confirm *c, unsigned int peer, uint64_t sequence, uint64_t now);

/* Change `from`, which this peer was not told yet (only those up to `passed`), gives way to change `to` of the same slot.
   Needed only while peers are asked for. */
void confirm_supersede(struct confirm *c, unsigned int peer, uint64_t passed, uint64_t from, uint64_t to);

/* True: everything up to *ret_round is confirmed, and this is news. Cheap when nothing happened. */
bool confirm_take(struct confirm *c, uint64_t *ret_round);

#endif
