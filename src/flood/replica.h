#ifndef FLOOD_REPLICA_H
#define FLOOD_REPLICA_H
/*
 * Replica: this host's share of the herd's one map from client to newest fix:
 * the table, the list of its changes with a cursor per peer, and its digest.
 * Knows no socket and no clock: now_ns is POSIX time, and given.
 */
#include "core/changes.h"
#include "core/digest.h"
#include "core/table.h"

struct replica; /* opaque */

enum {			    /* > 0: the direct caller handles these */
       REPLICA_E_OLDER = 1, /* held already, or a newer one: nothing to pass on */
       REPLICA_E_PARKED,    /* from too far in the future: not merged, not passed on, counted */
       REPLICA_E_REFUSED,   /* expired, or no newer than what was evicted; counted */
       REPLICA_E_BUSY, /* somebody holds that part of the table: give the same fix again in a millisecond */
       REPLICA_E_END,
};

/* Whatever orders itself further ahead of now than this waits: see fix_order_ns(). So does what was received, as it
   says, more than fix-ttl from now: neither is in the digest, and both are offered again by who has them. */
#define REPLICA_PARK_NS (2 * FIX_AHEAD_NS)

/* They only grow. */
#define REPLICA_FIGURES(X)                                                  \
	X(merged, "fixes of peers that changed the table")                  \
	X(older, "fixes of peers that were no news")                        \
	X(parked, "fixes of peers from too far in the future")              \
	X(refused, "fixes of peers that expired or are older than evicted") \
	X(invalid, "fixes of peers that no member could have sent")         \
	X(local, "changes by members of this host")                         \
	X(gone, "fixes that left the table")                                \
	X(rounds, "rounds through the marks of the table")

struct replica_figures {
#define X(name, help) uint64_t name;
	REPLICA_FIGURES(X)
#undef X
};

/* key: of the herd, for the digest. ttl_ns: fix-ttl; 0: for ever. The table is only borrowed, and must be registered.
   What is in it is in the list and in the digest when this returns, in the order of slots: about half a second for a
   million fixes. Other than a table that moved or another fix-ttl it follows everything; for these make a new one.
   40 bytes of memory per slot. -ENOMEM, -EOVERFLOW, -EFAULT. */
int replica_new(struct replica **ret, struct table *table, const struct hash_key *key, int64_t ttl_ns,
		int64_t now_ns);
struct replica *replica_free(struct replica *r);
CLEANUP_POINTER(struct replica, replica_free);

struct table *replica_table(struct replica *r);
const struct replica_figures *replica_figures(const struct replica *r);

/* Fixes in the list. */
uint64_t replica_count(const struct replica *r);

/* --- in --- */

/* A peer told this. 0: it changed the table, and every other peer is going to be told; REPLICA_E_OLDER, _PARKED,
   _REFUSED, _BUSY. -EINVAL: no member could have sent it; -EFAULT. */
int replica_merge(struct replica *r, unsigned int peer, const struct herd_fix *fix, int64_t now_ns);

/* Takes what members of this host changed, up to about `max` fixes. 0: there is more; REPLICA_E_END: a whole round
   is done; -EFAULT. */
int replica_drain(struct replica *r, unsigned int max, int64_t now_ns);

/* Compares a part of the table with the list: changes that lost their mark, and fixes that are gone. To be called
   so that all slots are seen once a second. 0; REPLICA_E_END when it wrapped; -EFAULT. */
int replica_sweep(struct replica *r, uint64_t slots, int64_t now_ns);

/* --- out: peer is 0 to CHANGES_PEERS - 1, and open --- */

/* Its cursor stands behind the last change. -EUSERS: all are taken. */
int replica_open_peer(struct replica *r, unsigned int *ret_peer);
void replica_close_peer(struct replica *r, unsigned int peer);

/* The next fix that this peer has not got. REPLICA_E_END: no more for now; after many that it has, also when
   there may be more (replica_has_next() knows). -EFAULT. */
int replica_next(struct replica *r, unsigned int peer, int64_t now_ns, struct herd_fix *ret);

/* Cheap. May be true for nothing, but never for nothing for ever. */
bool replica_has_next(const struct replica *r, unsigned int peer);

/* Of the last change here. */
uint64_t replica_sequence(const struct replica *r);

/* Of the last one that was found in the table, and came from no peer. */
uint64_t replica_own_sequence(const struct replica *r);

/* Everything up to this change was given out to the peer, or is known to be with it: for SEQ. */
uint64_t replica_passed(const struct replica *r, unsigned int peer);

/* The peer has everything up to this change; the rest is given out. 0, or a number of the future: everything is. */
void replica_rewind(struct replica *r, unsigned int peer, uint64_t seq);

/* How long ago, to a tenth of a second or two, the oldest change that the peer was not told happened. 0: none. */
int64_t replica_lag_ns(const struct replica *r, unsigned int peer, int64_t now_ns);
uint64_t replica_lag_changes(const struct replica *r, unsigned int peer);

/* What there is to know of how the fix in a slot came. */
struct replica_trace {
	uint64_t sequence; /* of the change */
	uint64_t told;	   /* a bit per peer: told us, or was told within a lap */
	int64_t since_ns;  /* POSIX; at most a step of 100 ms, or a 16th of its age, too early */
	bool is_old;	   /* it was in the table when the replica was made: since_ns is then */
};

/* REPLICA_E_END: the slot is empty, or what members put there was not taken yet. */
int replica_trace(const struct replica *r, uint64_t slot, int64_t now_ns, struct replica_trace *ret);

/* --- digests --- */

/* The earliest second that may be compared now: what is received later is not about to expire, and newer than
   whatever was evicted here. */
int64_t replica_since_s(struct replica *r, int64_t now_ns);

/* Exact when replica_drain() has just done a round. */
const struct digest *replica_digest(const struct replica *r);

/* Has a fix of this bucket changed within the last `within_ns`? Then a difference may be one in flight. */
bool replica_bucket_is_fresh(const struct replica *r, unsigned int bucket, int64_t now_ns, int64_t within_ns);

/* What the peer told us until now counts no more. For the begin of a comparison: what it told since then it has,
   whatever it may have lost or refused before. */
void replica_forget(struct replica *r, unsigned int peer);

/* The next fix, from slot *cursor (0 at first) on, of a bucket whose bit is set in `buckets` (one word per group),
   received at since_s or later, that the peer did not tell us, and that replica_next() is not going to give.
   REPLICA_E_END; after a look at `max` slots 0 with ret->id_len 0; -EFAULT. */
int replica_next_of(struct replica *r, unsigned int peer, const uint64_t buckets[DIGEST_GROUPS],
		    int64_t since_s, uint64_t *cursor, uint64_t max, int64_t now_ns, struct herd_fix *ret);

/* --- confirmation: ack-after --- */

/* How many peers have to apply a round; 0: none. */
void replica_set_ack_after(struct replica *r, unsigned int peers);

/* A member of this host waits for peers. Cheap. */
bool replica_is_waited_for(const struct replica *r);

/* The peer has applied what it was told up to this change. Ignored beyond replica_passed(). What changed before the
   peer came, or was rewound to, is not confirmed by it ... */
void replica_acknowledge(struct replica *r, unsigned int peer, uint64_t seq);

/* ... until it is known to have everything up to `seq` but what it is still to be told: the replica_sequence() of when a
   comparison began that found no difference, or ended with all differences sent and applied. */
void replica_settle(struct replica *r, unsigned int peer, uint64_t seq);

/* Tells the table which rounds are confirmed; wake as in table_confirm(). Cheap when nothing is new. */
void replica_confirm(struct replica *r, void (*wake)(void *arg, const char *name), void *arg);

#endif
