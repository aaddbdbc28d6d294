/*
 * Changes: a ring of nodes in one array. Slots come first, then the cursors,
 * then marks of where laps began, then the node that is both ends; links are
 * numbers of nodes.
 *
 * Sequence numbers grow along the list, and a cursor lies between those it has
 * passed and those it has not, so that its place says all there is to know
 * about what was sent.
 */
#include "core/changes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { NOWHERE = 0 }; /* of a sequence: the node is no slot that is in the list */

struct node {
	uint32_t previous, next;
	uint64_t sequence;
	uint64_t told; /* one bit per peer */
};

_Static_assert(sizeof(struct node) == 24, "as changes.h says");

struct changes {
	struct node *nodes; /* owned */
	uint64_t slots;
	uint64_t count;
	uint64_t sequence;
	uint64_t open; /* peers with a cursor */
	uint64_t laps; /* peers in a lap, with a mark */
	struct lap {
		uint64_t at;	 /* the next slot */
		uint64_t passed; /* at its begin */
	} lap[CHANGES_PEERS];
	uint64_t stale; /* closed ones whose bits may still be set */
	uint32_t ends;	/* the node before the first and behind the last */
};

int
changes_new(struct changes **ret, uint64_t slots)
{
	CLEANUP(changes_freep) struct changes *c = NULL;

	if (slots > UINT64_C(1) << 31)
		return -EOVERFLOW;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->nodes = calloc((size_t)slots + 2 * CHANGES_PEERS + 1, sizeof(*c->nodes));
	if (!c->nodes)
		return -ENOMEM;
	c->slots = slots;
	c->ends = (uint32_t)slots + 2 * CHANGES_PEERS;
	c->nodes[c->ends].previous = c->nodes[c->ends].next = c->ends;
	*ret = c;
	c = NULL;
	return 0;
}

struct changes *
changes_free(struct changes *c)
{
	if (c)
		free(c->nodes);
	free(c);
	return NULL;
}

/* --- the ring ------------------------------------------------------------- */

static inline void
node_unlink(struct changes *c, uint32_t number)
{
	const struct node *node = &c->nodes[number];

	c->nodes[node->previous].next = node->next;
	c->nodes[node->next].previous = node->previous;
}

static inline void
node_link_after(struct changes *c, uint32_t number, uint32_t previous)
{
	struct node *node = &c->nodes[number];

	node->previous = previous;
	node->next = c->nodes[previous].next;
	c->nodes[node->next].previous = number;
	c->nodes[previous].next = number;
}

static inline uint32_t
cursor_of(const struct changes *c, unsigned int peer)
{
	assert(peer < CHANGES_PEERS);
	return (uint32_t)c->slots + peer;
}

static inline uint32_t
mark_of(const struct changes *c, unsigned int peer)
{
	return cursor_of(c, peer) + CHANGES_PEERS;
}

/* Or a mark. */
static inline bool
is_cursor(const struct changes *c, uint32_t number)
{
	return number >= c->slots && number != c->ends;
}

static inline uint64_t
bit_of(unsigned int peer)
{
	return UINT64_C(1) << peer;
}

/* The first slot behind this node, or the end; other peers' cursors are passed over. */
static uint32_t
next_slot(const struct changes *c, uint32_t number)
{
	do
		number = c->nodes[number].next;
	while (is_cursor(c, number));
	return number;
}

/* --- slots ---------------------------------------------------------------- */

void
changes_touch(struct changes *c, uint64_t slot, uint64_t told)
{
	struct node *node = &c->nodes[slot];

	assert(slot < c->slots);
	if (node->sequence == NOWHERE)
		c->count++;
	else
		node_unlink(c, (uint32_t)slot);
	node_link_after(c, (uint32_t)slot, c->nodes[c->ends].previous);
	node->sequence = ++c->sequence;
	node->told = told & c->open;
}

void
changes_learn(struct changes *c, uint64_t slot, unsigned int peer)
{
	struct node *node = &c->nodes[slot];

	assert(slot < c->slots && peer < CHANGES_PEERS);
	if (node->sequence != NOWHERE)
		node->told |= bit_of(peer) & c->open;
}

bool
changes_was_told(const struct changes *c, uint64_t slot, unsigned int peer)
{
	assert(slot < c->slots && peer < CHANGES_PEERS);
	return c->nodes[slot].told & bit_of(peer) & c->open;
}

void
changes_drop(struct changes *c, uint64_t slot)
{
	struct node *node = &c->nodes[slot];

	assert(slot < c->slots);
	if (node->sequence == NOWHERE)
		return;
	node_unlink(c, (uint32_t)slot);
	*node = (struct node){.sequence = NOWHERE};
	c->count--;
}

bool
changes_has(const struct changes *c, uint64_t slot)
{
	return changes_sequence_of(c, slot) != NOWHERE;
}

uint64_t
changes_sequence_of(const struct changes *c, uint64_t slot)
{
	assert(slot < c->slots);
	return c->nodes[slot].sequence;
}

uint64_t
changes_sequence(const struct changes *c)
{
	return c->sequence;
}

uint64_t
changes_count(const struct changes *c)
{
	return c->count;
}

void
changes_prefetch(const struct changes *c, uint64_t slot)
{
	__builtin_prefetch(&c->nodes[slot], 1);
}

/* --- cursors -------------------------------------------------------------- */

static void
end_lap(struct changes *c, unsigned int peer)
{
	if (!(c->laps & bit_of(peer)))
		return;
	c->laps &= ~bit_of(peer);
	node_unlink(c, mark_of(c, peer));
}

static void
forget(struct changes *c, uint64_t peers)
{
	for (uint64_t slot = 0; slot < c->slots; slot++)
		c->nodes[slot].told &= ~peers;
}

void
changes_open(struct changes *c, unsigned int peer)
{
	const uint32_t cursor = cursor_of(c, peer);

	assert(!changes_is_open(c, peer));
	/* All of the closed ones at once: the next numbers to be used again cost nothing. */
	if (c->stale & bit_of(peer)) {
		forget(c, c->stale);
		c->stale = 0;
	}
	node_link_after(c, cursor, c->nodes[c->ends].previous);
	c->open |= bit_of(peer);
}

void
changes_close(struct changes *c, unsigned int peer)
{
	if (!changes_is_open(c, peer))
		return;
	end_lap(c, peer);
	node_unlink(c, cursor_of(c, peer));
	c->open &= ~bit_of(peer);
	c->stale |= bit_of(peer);
}

bool
changes_is_open(const struct changes *c, unsigned int peer)
{
	assert(peer < CHANGES_PEERS);
	return c->open & bit_of(peer);
}

void
changes_forget(struct changes *c, unsigned int peer)
{
	assert(changes_is_open(c, peer));
	forget(c, bit_of(peer));
}

void
changes_rewind(struct changes *c, unsigned int peer, uint64_t seq)
{
	const uint32_t cursor = cursor_of(c, peer);
	uint32_t at;

	assert(changes_is_open(c, peer));
	end_lap(c, peer);
	node_unlink(c, cursor);
	at = c->nodes[c->ends].previous;
	while (at != c->ends && (is_cursor(c, at) || c->nodes[at].sequence > seq))
		at = c->nodes[at].previous;
	node_link_after(c, cursor, at);
}

static void
cursor_move(struct changes *c, uint32_t cursor, uint32_t behind)
{
	node_unlink(c, cursor);
	node_link_after(c, cursor, behind);
}

void
changes_start_lap(struct changes *c, unsigned int peer)
{
	if (c->laps & bit_of(peer))
		return;
	c->lap[peer] = (struct lap){.at = 0, .passed = changes_passed(c, peer)};
	node_link_after(c, mark_of(c, peer), c->nodes[c->ends].previous);
	c->laps |= bit_of(peer);
}

bool
changes_is_in_lap(const struct changes *c, unsigned int peer)
{
	return c->laps & bit_of(peer);
}

/* CHANGES_E_END: the lap is over, and all that changed before it has been passed. */
static int
next_in_lap(struct changes *c, unsigned int peer, uint64_t *ret_slot)
{
	struct lap *lap = &c->lap[peer];

	for (int step = 0; lap->at < c->slots && step < CHANGES_STEPS; step++) {
		struct node *node = &c->nodes[lap->at++];

		if (node->sequence <= lap->passed || (node->told & bit_of(peer)))
			continue;
		/* The lap's mark is before whatever changes while it is on: that must not be given twice. */
		node->told |= bit_of(peer);
		*ret_slot = lap->at - 1;
		return 0;
	}
	if (lap->at < c->slots)
		return CHANGES_E_MORE;
	cursor_move(c, cursor_of(c, peer), mark_of(c, peer));
	end_lap(c, peer);
	return CHANGES_E_END;
}

/* In the order of changes. */
static int
next_in_list(struct changes *c, unsigned int peer, uint64_t *ret_slot)
{
	const uint32_t cursor = cursor_of(c, peer);
	uint32_t at = cursor, next;

	for (int step = 0; step < CHANGES_STEPS; step++) {
		next = next_slot(c, at);
		if (next == c->ends) {
			if (at != cursor)
				cursor_move(c, cursor, at);
			return CHANGES_E_END;
		}
		at = next;
		if (!(c->nodes[at].told & bit_of(peer))) {
			cursor_move(c, cursor, at);
			/* Whoever asks now is going to ask again. */
			__builtin_prefetch(&c->nodes[c->nodes[cursor].next]);
			*ret_slot = at;
			return 0;
		}
	}
	cursor_move(c, cursor, at);
	return CHANGES_E_MORE;
}

int
changes_next(struct changes *c, unsigned int peer, uint64_t *ret_slot)
{
	int r;

	assert(changes_is_open(c, peer));
	if (c->laps & bit_of(peer)) {
		r = next_in_lap(c, peer, ret_slot);
		if (r != CHANGES_E_END)
			return r;
	}
	return next_in_list(c, peer, ret_slot);
}

uint64_t
changes_passed(const struct changes *c, unsigned int peer)
{
	uint32_t next = next_slot(c, cursor_of(c, peer));

	assert(changes_is_open(c, peer));
	return next == c->ends ? c->sequence : c->nodes[next].sequence - 1;
}

bool
changes_at_end(const struct changes *c, unsigned int peer)
{
	assert(changes_is_open(c, peer));
	return next_slot(c, cursor_of(c, peer)) == c->ends;
}
