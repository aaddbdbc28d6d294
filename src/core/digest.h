#ifndef CORE_DIGEST_H
#define CORE_DIGEST_H
/*
 * Digest: 64 x 64 buckets of clients, each with the wrapping sum of 64-bit
 * hashes of its fixes, kept per epoch of their receipt time. Two hosts with
 * the same key and the same fixes have the same sums, in whatever order these
 * came; adding and removing one costs an addition. Sums can be had of what was
 * received from any second on, at little cost from one that begins an epoch, so
 * that fixes which are about to expire, or were evicted, are left out.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "herd/fix.h"

enum {
	DIGEST_GROUPS = 64,
	DIGEST_BUCKETS = 64, /* of a group */
	DIGEST_ALL = DIGEST_GROUPS * DIGEST_BUCKETS,
	DIGEST_PLANES = 96, /* epochs kept apart; what is beyond them counts only in sums of everything */
	DIGEST_CUTS = 8,    /* seconds within epochs from which sums are kept */
};

struct digest; /* opaque */

/* What a fix adds: to be kept by the caller, who takes it out again with it. */
struct digest_part {
	uint64_t hash;
	uint64_t place; /* second of receipt, and bucket */
};

/* key: of the whole herd. ttl_ns: fix-ttl, the same on every host; 0: for ever. -ENOMEM. */
int digest_new(struct digest **ret, const struct hash_key *key, int64_t ttl_ns);
struct digest *digest_free(struct digest *d);
CLEANUP_POINTER(struct digest, digest_free);

/* Where the caller keeps all parts: for sums from a second within an epoch, which begin with a look at all of them
   (3 ms for a million). Those that are not in the digest are all zero. Borrowed; without it such sums begin with the
   next epoch. */
void digest_use_parts(struct digest *d, const struct digest_part *parts, uint64_t count);

/* Of one epoch: the greatest power of two up to a 16th of ttl, at least one; twelve days for ever. */
int64_t digest_quantum_s(const struct digest *d);

/* Hashes every field of the fix; the result is the same on every host. */
void digest_part_of(const struct digest *d, const struct herd_fix *fix, struct digest_part *ret);

/* group * 64 + bucket in it. */
static inline unsigned int
digest_part_bucket(const struct digest_part *part)
{
	return part->place % DIGEST_ALL;
}

/* The fix was received at since_s or later. */
bool digest_part_is_since(const struct digest_part *part, int64_t since_s);

/* Never fails: without memory for another epoch it counts with those beyond DIGEST_PLANES. */
void digest_add(struct digest *d, const struct digest_part *part);

/* One that was added. In place of another: add first, so that the epoch is not given up between. */
void digest_remove(struct digest *d, const struct digest_part *part);

/* The first epoch that begins at or after since_ns, as POSIX seconds; 0: everything. */
int64_t digest_since_s(const struct digest *d, int64_t since_ns);

/* Sums over what was received at since_s or later; 0 and less: over everything. */
uint64_t digest_root(const struct digest *d, int64_t since_s);
void digest_groups(const struct digest *d, int64_t since_s, uint64_t ret[DIGEST_GROUPS]);
void
digest_buckets(const struct digest *d, int64_t since_s, unsigned int group, uint64_t ret[DIGEST_BUCKETS]);

#endif
