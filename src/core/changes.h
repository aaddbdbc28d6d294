#ifndef CORE_CHANGES_H
#define CORE_CHANGES_H
/*
 * Changes: every slot of the table in the order of its last change, and one
 * cursor per peer in the same list.
 *
 * A change moves the slot to the tail and stamps it with the next sequence
 * number. A slow peer's cursor lags, and costs nothing: a slot that changed
 * five times meanwhile is still one entry. Knows slots as numbers only.
 *
 * A slot that changes more often than a lagging cursor gets through the list
 * would never be reached. So a peer that is behind is served in laps: once
 * through all slots in their own order, each that it has not got once, then on
 * from where the lap began.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

enum {
	CHANGES_PEERS = 64,   /* cursors; also the bits of a mask */
	CHANGES_STEPS = 4096, /* of changes_next() at once */
};

enum {			   /* > 0: the direct caller handles these */
       CHANGES_E_END = 1,  /* the cursor stands behind the last change */
       CHANGES_E_MORE = 2, /* only slots that the peer has so far; ask again */
};

struct changes; /* opaque */

/* 24 bytes per slot. -ENOMEM; -EOVERFLOW: more than 2^31 slots. */
int changes_new(struct changes **ret, uint64_t slots);
struct changes *changes_free(struct changes *c);
CLEANUP_POINTER(struct changes, changes_free);

/* The slot changed: to the tail, with the next sequence number. The peers in `told` (a mask) told us this very
   version; those without a cursor are left out. */
void changes_touch(struct changes *c, uint64_t slot, uint64_t told);

/* This peer has told the version at hand, too, or a newer one; or it was told it within a lap. No harm if the slot is
   not in the list. */
void changes_learn(struct changes *c, uint64_t slot, unsigned int peer);
bool changes_was_told(const struct changes *c, uint64_t slot, unsigned int peer);

/* Out of the list: the slot is empty. No harm if it is not in it. */
void changes_drop(struct changes *c, uint64_t slot);

bool changes_has(const struct changes *c, uint64_t slot);

/* Of the slot's last change; 0: it is not in the list. */
uint64_t changes_sequence_of(const struct changes *c, uint64_t slot);

/* Of the last change; 0: none yet. */
uint64_t changes_sequence(const struct changes *c);

/* Slots in the list. */
uint64_t changes_count(const struct changes *c);

/* Fetches a slot's entry towards the cache. */
void changes_prefetch(const struct changes *c, uint64_t slot);

/* --- cursors: peer is 0 to CHANGES_PEERS - 1, and open but for changes_open() and changes_close() --- */

/* Behind the last change; nothing that an earlier peer of this number told counts. Looks at all slots now and
   then, if the number is one that was used before. */
void changes_open(struct changes *c, unsigned int peer);
void changes_close(struct changes *c, unsigned int peer);
bool changes_is_open(const struct changes *c, unsigned int peer);

/* What the peer told so far counts no more: about 5 ms for a million slots. */
void changes_forget(struct changes *c, unsigned int peer);

/* Everything after sequence number `seq` is to be passed (0: everything). Costs as much as has changed since. */
void changes_rewind(struct changes *c, unsigned int peer, uint64_t seq);

/* From now on a lap, unless one is on. */
void changes_start_lap(struct changes *c, unsigned int peer);
bool changes_is_in_lap(const struct changes *c, unsigned int peer);

/* Moves on to the next slot that the peer did not tell us. CHANGES_E_END, CHANGES_E_MORE. */
int changes_next(struct changes *c, unsigned int peer, uint64_t *ret_slot);

/* Every change up to this number has been passed, or was followed by one of the same slot that still lies ahead. */
uint64_t changes_passed(const struct changes *c, unsigned int peer);

/* changes_next() would say CHANGES_E_END at once. */
bool changes_at_end(const struct changes *c, unsigned int peer);

#endif
