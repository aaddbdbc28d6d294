/*
 * Replica: what the table holds, as the helper knows it.
 *
 * Per slot it keeps what it added to the digest, so that it can take that out
 * again when another fix, or another client, is found in the slot. Members
 * write the table at any time: between their store and the drain that finds
 * it the digest says what was there before, and the list does not know of it.
 */
#include "flood/replica.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flood/confirm.h"
#include "flood/trail.h"

_Static_assert((int)CONFIRM_PEERS == (int)CHANGES_PEERS, "the same numbers");

enum {
	REPLICA_MAGIC = 0x7265706c,
	NEXT_TRIES = 256,  /* fixes that expired, in one call */
	LAP_LOOKS = 32,	   /* calls of replica_next() from one look at how far a peer is behind to the next */
	LAP_CHANGES = 256, /* so many a peer is behind at least before it is served in laps */
	FILL_SLOTS = 65536,
	WORD_BITS = 64,
};

/* As long it has not been at the list's end then. */
#define LAP_LAG_NS CLOCK_SECOND_NS

struct replica {
	unsigned int magic;
	bool is_filling;
	uint64_t behind;		  /* peers whose cursors have not been at the end ... */
	int64_t behind_ns[CHANGES_PEERS]; /* ... since then, that we know of */
	unsigned int nexts;		  /* calls of replica_next() */
	unsigned int next_peer;		  /* numbers take turns: see changes_open() */
	struct table *table;		  /* borrowed */
	struct changes *changes;
	struct digest *digest;
	struct digest_part *parts; /* of slots that are in the list, others zero; owned */
	uint64_t *known;	   /* one bit per slot that is in the list; owned */
	uint64_t slots;
	int64_t ttl_ns;
	uint64_t drain_cursor, sweep_cursor;
	int64_t now_ns; /* of the call that goes on, for the table's callbacks */
	uint64_t own_sequence;
	uint64_t filled; /* the last change that was there from the start */
	struct replica_figures figures;
	struct trail trail;
	struct confirm confirm;
	int64_t changed_ns[DIGEST_ALL]; /* per bucket */
};

static struct replica *
replica_check(void *arg)
{
	struct replica *r = arg;

	assert(r->magic == REPLICA_MAGIC);
	return r;
}

/* --- slots ---------------------------------------------------------------- */

static inline void
part_remove(struct replica *r, const struct digest_part *part)
{
	digest_remove(r->digest, part);
	r->changed_ns[digest_part_bucket(part)] = r->now_ns;
}

/* Who was not told of the slot's last change never will be: what a later one's acknowledgement means depends on it. */
static void
note_superseded(struct replica *r, uint64_t slot)
{
	const uint64_t from = changes_sequence_of(r->changes, slot);

	for (uint64_t left = r->confirm.open; left; left &= left - 1) {
		unsigned int peer = (unsigned int)__builtin_ctzll(left);
		uint64_t passed = changes_passed(r->changes, peer);

		if (passed < from && !changes_was_told(r->changes, slot, peer))
			confirm_supersede(&r->confirm, peer, passed, from, changes_sequence(r->changes) + 1);
	}
}

/* This is in the slot now. False: as before. */
static bool
slot_take(struct replica *r, uint64_t slot, const struct herd_fix *fix, uint64_t told)
{
	struct digest_part *held = &r->parts[slot];
	struct digest_part part;

	changes_prefetch(r->changes, slot);
	__builtin_prefetch(held, 1);
	digest_part_of(r->digest, fix, &part);
	if (changes_has(r->changes, slot)) {
		if (held->hash == part.hash && held->place == part.place)
			return false;
		if (r->confirm.needed > 0)
			note_superseded(r, slot);
		digest_add(r->digest, &part);
		r->figures.gone += digest_part_bucket(held) != digest_part_bucket(&part);
		part_remove(r, held);
	} else {
		digest_add(r->digest, &part);
		r->known[slot / WORD_BITS] |= UINT64_C(1) << slot % WORD_BITS;
	}
	*held = part;
	r->changed_ns[digest_part_bucket(&part)] = r->now_ns;
	trail_mark(&r->trail, changes_sequence(r->changes), r->now_ns);
	changes_touch(r->changes, slot, told);
	return true;
}

static void
slot_drop(struct replica *r, uint64_t slot)
{
	r->known[slot / WORD_BITS] &= ~(UINT64_C(1) << slot % WORD_BITS);
	if (!changes_has(r->changes, slot))
		return;
	part_remove(r, &r->parts[slot]);
	r->parts[slot] = (struct digest_part){0};
	changes_drop(r->changes, slot);
	r->figures.gone++;
}

/* Received in a future in which all that there is now will have expired: a clock that is far off. A digest that
   counted it would need epochs without end, and nobody takes it. */
static bool
is_beyond(const struct replica *r, int64_t rx_ns, int64_t now_ns)
{
	return r->ttl_ns > 0 && rx_ns > now_ns && (uint64_t)rx_ns - (uint64_t)now_ns > (uint64_t)r->ttl_ns;
}

static void
replica_on_changed(void *arg, uint64_t slot, const struct herd_fix *fix)
{
	struct replica *r = replica_check(arg);

	/* Left unknown it is shown again by each comparison, until its time has come. */
	if (is_beyond(r, fix->rx_ns, r->now_ns)) {
		slot_drop(r, slot);
	} else if (slot_take(r, slot, fix, 0) && !r->is_filling) {
		r->own_sequence = changes_sequence(r->changes);
		r->figures.local++;
	}
}

static void
replica_on_gone(void *arg, uint64_t slot)
{
	slot_drop(replica_check(arg), slot);
}

/* --- making one ----------------------------------------------------------- */

static int
replica_fill(struct replica *r)
{
	int result;

	r->is_filling = true;
	do
		result = replica_sweep(r, FILL_SLOTS, r->now_ns);
	while (result == 0);
	r->is_filling = false;
	r->filled = changes_sequence(r->changes);
	return result < 0 ? result : 0;
}

int
replica_new(struct replica **ret, struct table *table, const struct hash_key *key, int64_t ttl_ns,
	    int64_t now_ns)
{
	CLEANUP(replica_freep) struct replica *r = calloc(1, sizeof(*r));
	int result;

	if (!r)
		return -ENOMEM;
	r->magic = REPLICA_MAGIC;
	r->table = table;
	r->slots = table_slots(table);
	r->ttl_ns = ttl_ns;
	r->now_ns = now_ns;
	for (unsigned int bucket = 0; bucket < DIGEST_ALL; bucket++)
		r->changed_ns[bucket] = INT64_MIN;
	r->parts = calloc(r->slots, sizeof(*r->parts));
	r->known = calloc(r->slots / WORD_BITS + 1, sizeof(*r->known));
	if (!r->parts || !r->known)
		return -ENOMEM;
	result = changes_new(&r->changes, r->slots);
	if (result < 0)
		return result;
	result = digest_new(&r->digest, key, ttl_ns);
	if (result < 0)
		return result;
	digest_use_parts(r->digest, r->parts, r->slots);
	result = replica_fill(r);
	if (result < 0)
		return result;
	*ret = r;
	r = NULL;
	return 0;
}

struct replica *
replica_free(struct replica *r)
{
	if (!r)
		return NULL;
	changes_free(r->changes);
	digest_free(r->digest);
	free(r->parts);
	free(r->known);
	free(r);
	return NULL;
}

struct table *
replica_table(struct replica *r)
{
	return r->table;
}

const struct replica_figures *
replica_figures(const struct replica *r)
{
	return &r->figures;
}

uint64_t
replica_count(const struct replica *r)
{
	return changes_count(r->changes);
}

/* --- in ------------------------------------------------------------------- */

static bool
is_ahead(const struct replica *r, const struct herd_fix *fix, int64_t now_ns)
{
	struct fix_time client;
	int64_t order_ns;

	if (is_beyond(r, fix->rx_ns, now_ns))
		return true;
	/* No fix orders itself further ahead of its receipt: the time's digits need no look. */
	if (fix->rx_ns <= now_ns + REPLICA_PARK_NS - FIX_AHEAD_NS || fix->time_len > HERD_TIME_MAX ||
	    fix_time_parse((struct text){fix->time, fix->time_len}, &client) != 0)
		return false;
	order_ns = fix_order_ns(&client, fix->rx_ns);
	return order_ns > now_ns && order_ns - now_ns > REPLICA_PARK_NS;
}

int
replica_merge(struct replica *r, unsigned int peer, const struct herd_fix *fix, int64_t now_ns)
{
	bool is_same = false;
	uint64_t slot = 0;
	int result;

	if (is_ahead(r, fix, now_ns)) {
		r->figures.parked++;
		return REPLICA_E_PARKED;
	}
	result = table_merge_from_peer(r->table, fix, now_ns, &slot, &is_same);
	switch (result) {
	case 0:
		r->figures.merged++;
		r->now_ns = now_ns;
		slot_take(r, slot, fix, UINT64_C(1) << peer);
		return 0;
	case TABLE_E_OLDER:
		r->figures.older++;
		/* What the list knows of may be older still: the more the peer has it. */
		if (is_same)
			changes_learn(r->changes, slot, peer);
		return REPLICA_E_OLDER;
	case TABLE_E_BUSY:
		return REPLICA_E_BUSY;
	case TABLE_E_EVICTED:
	case TABLE_E_EXPIRED:
	case -ENOSPC: /* of a server too many */
		r->figures.refused++;
		return REPLICA_E_REFUSED;
	case -EINVAL:
		r->figures.invalid++;
		return result;
	default:
		return result;
	}
}

int
replica_drain(struct replica *r, unsigned int max, int64_t now_ns)
{
	uint64_t round = 0;
	int result;

	r->now_ns = now_ns;
	result = table_take_changes(r->table, &r->drain_cursor, max, replica_on_changed, r, &round);
	if (result != TABLE_E_END)
		return result;
	r->figures.rounds++;
	confirm_round(&r->confirm, round, changes_sequence(r->changes), now_ns);
	return REPLICA_E_END;
}

int
replica_sweep(struct replica *r, uint64_t slots, int64_t now_ns)
{
	int result;

	r->now_ns = now_ns;
	result = table_compare(r->table, &r->sweep_cursor, slots, r->known, replica_on_changed,
			       replica_on_gone, r);
	return result == TABLE_E_END ? REPLICA_E_END : result;
}

/* --- out ------------------------------------------------------------------ */

int
replica_open_peer(struct replica *r, unsigned int *ret_peer)
{
	for (unsigned int i = 0; i < CHANGES_PEERS; i++) {
		unsigned int peer = (r->next_peer + i) % CHANGES_PEERS;

		if (changes_is_open(r->changes, peer))
			continue;
		changes_open(r->changes, peer);
		r->behind &= ~(UINT64_C(1) << peer);
		confirm_open(&r->confirm, peer, changes_sequence(r->changes));
		r->next_peer = peer + 1;
		*ret_peer = peer;
		return 0;
	}
	return -EUSERS;
}

void
replica_close_peer(struct replica *r, unsigned int peer)
{
	changes_close(r->changes, peer);
	confirm_close(&r->confirm, peer);
}

/* A client that is heard of all the time is at the list's end all the time: who never gets there never hears of it. */
static bool
is_lap_due(const struct replica *r, unsigned int peer, int64_t now_ns)
{
	return !changes_is_in_lap(r->changes, peer) && now_ns - r->behind_ns[peer] > LAP_LAG_NS &&
	       replica_lag_changes(r, peer) >= LAP_CHANGES;
}

int
replica_next(struct replica *r, unsigned int peer, int64_t now_ns, struct herd_fix *ret)
{
	const uint64_t bit = UINT64_C(1) << peer;
	uint64_t slot;
	int result;

	if (!(r->behind & bit)) {
		r->behind |= bit;
		r->behind_ns[peer] = now_ns;
	}
	if (++r->nexts % LAP_LOOKS == 0 && is_lap_due(r, peer, now_ns))
		changes_start_lap(r->changes, peer);
	for (int tries = 0; tries < NEXT_TRIES; tries++) {
		result = changes_next(r->changes, peer, &slot);
		if (changes_at_end(r->changes, peer))
			r->behind &= ~bit;
		if (result != 0)
			break;
		result = table_fix_at(r->table, slot, now_ns, ret);
		/* Gone or too old; or writers keep overtaking us, and then it comes again by the next drain. */
		if (result != TABLE_E_UNKNOWN && result != TABLE_E_LAPPED)
			return result;
	}
	return REPLICA_E_END;
}

bool
replica_has_next(const struct replica *r, unsigned int peer)
{
	return !changes_at_end(r->changes, peer);
}

uint64_t
replica_sequence(const struct replica *r)
{
	return changes_sequence(r->changes);
}

uint64_t
replica_own_sequence(const struct replica *r)
{
	return r->own_sequence;
}

uint64_t
replica_passed(const struct replica *r, unsigned int peer)
{
	return changes_passed(r->changes, peer);
}

void
replica_rewind(struct replica *r, unsigned int peer, uint64_t seq)
{
	if (seq > changes_sequence(r->changes))
		seq = 0;
	changes_rewind(r->changes, peer, seq);
	confirm_resume(&r->confirm, peer, seq, changes_sequence(r->changes));
}

int64_t
replica_lag_ns(const struct replica *r, unsigned int peer, int64_t now_ns)
{
	uint64_t passed = changes_passed(r->changes, peer);

	return passed < changes_sequence(r->changes) ? trail_age_ns(&r->trail, passed, now_ns) : 0;
}

uint64_t
replica_lag_changes(const struct replica *r, unsigned int peer)
{
	return changes_sequence(r->changes) - changes_passed(r->changes, peer);
}

int
replica_trace(const struct replica *r, uint64_t slot, int64_t now_ns, struct replica_trace *ret)
{
	struct replica_trace trace = {0};

	if (slot >= r->slots || !changes_has(r->changes, slot))
		return REPLICA_E_END;
	trace.sequence = changes_sequence_of(r->changes, slot);
	trace.since_ns = now_ns - trail_age_ns(&r->trail, trace.sequence - 1, now_ns);
	trace.is_old = trace.sequence <= r->filled;
	for (unsigned int peer = 0; peer < CHANGES_PEERS; peer++)
		if (changes_was_told(r->changes, slot, peer))
			trace.told |= UINT64_C(1) << peer;
	*ret = trace;
	return 0;
}

/* --- digests -------------------------------------------------------------- */

int64_t
replica_since_s(struct replica *r, int64_t now_ns)
{
	int64_t watermark_ns = table_watermark_ns(r->table);
	int64_t since_s = 0, margin_ns;

	if (r->ttl_ns > 0) {
		/* For other hosts' clocks, and for the time that a comparison takes. */
		margin_ns = r->ttl_ns / 4 < REPLICA_PARK_NS ? r->ttl_ns / 4 : REPLICA_PARK_NS;
		since_s = digest_since_s(r->digest, now_ns - r->ttl_ns + margin_ns);
	}
	/* To the second: in a table that is too small this is not long ago. */
	if (watermark_ns >= 0 && watermark_ns / CLOCK_SECOND_NS >= since_s)
		since_s = watermark_ns / CLOCK_SECOND_NS + 1;
	return since_s;
}

const struct digest *
replica_digest(const struct replica *r)
{
	return r->digest;
}

bool
replica_bucket_is_fresh(const struct replica *r, unsigned int bucket, int64_t now_ns, int64_t within_ns)
{
	int64_t changed_ns;

	assert(bucket < DIGEST_ALL);
	changed_ns = r->changed_ns[bucket];
	/* Also for a while after a clock was put back. */
	return changed_ns > now_ns - within_ns && changed_ns < now_ns + within_ns;
}

void
replica_forget(struct replica *r, unsigned int peer)
{
	changes_forget(r->changes, peer);
}

/* What replica_next_of() looks for. */
struct wanted {
	unsigned int peer;
	const uint64_t *buckets;
	int64_t since_s;
	uint64_t passed;
};

static bool
slot_is_wanted(const struct replica *r, uint64_t slot, const struct wanted *wanted)
{
	const struct digest_part *part = &r->parts[slot];
	unsigned int bucket = digest_part_bucket(part);

	return (wanted->buckets[bucket / DIGEST_BUCKETS] >> bucket % DIGEST_BUCKETS & 1) &&
	       changes_has(r->changes, slot) && changes_sequence_of(r->changes, slot) <= wanted->passed &&
	       digest_part_is_since(part, wanted->since_s) &&
	       !changes_was_told(r->changes, slot, wanted->peer);
}

int
replica_next_of(struct replica *r, unsigned int peer, const uint64_t buckets[DIGEST_GROUPS], int64_t since_s,
		uint64_t *cursor, uint64_t max, int64_t now_ns, struct herd_fix *ret)
{
	const struct wanted wanted = {peer, buckets, since_s, changes_passed(r->changes, peer)};

	for (uint64_t looked = 0; *cursor < r->slots; looked++) {
		uint64_t slot = *cursor;
		int result;

		if (looked == max) {
			ret->id_len = 0;
			return 0;
		}
		++*cursor;
		if (!slot_is_wanted(r, slot, &wanted))
			continue;
		result = table_fix_at(r->table, slot, now_ns, ret);
		if (result != TABLE_E_UNKNOWN && result != TABLE_E_LAPPED)
			return result;
	}
	return REPLICA_E_END;
}

/* --- confirmation --------------------------------------------------------- */

void
replica_set_ack_after(struct replica *r, unsigned int peers)
{
	confirm_set_needed(&r->confirm, peers, changes_sequence(r->changes));
}

bool
replica_is_waited_for(const struct replica *r)
{
	return r->confirm.needed > 0 && table_is_waited_for(r->table);
}

void
replica_acknowledge(struct replica *r, unsigned int peer, uint64_t seq)
{
	if (seq <= changes_passed(r->changes, peer))
		confirm_acknowledge(&r->confirm, peer, seq);
}

void
replica_settle(struct replica *r, unsigned int peer, uint64_t seq)
{
	if (seq <= changes_sequence(r->changes))
		confirm_settle(&r->confirm, peer, seq, changes_sequence(r->changes));
}

void
replica_confirm(struct replica *r, void (*wake)(void *arg, const char *name), void *arg)
{
	uint64_t round;

	if (confirm_take(&r->confirm, &round))
		table_confirm(r->table, round, wake, arg);
}
