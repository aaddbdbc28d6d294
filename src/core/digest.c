/*
 * Digest: one plane of 4,096 sums per epoch, made when its first fix comes and
 * given to another epoch when its last one has gone (all its sums are zero
 * then, by themselves).
 *
 * The number of planes is bounded, because receipt times come from other
 * hosts. An epoch that finds none left counts with the rest, and so does each
 * further new one until the rest is empty: the fixes of one epoch are always
 * all in one place, and can be taken out again without a note of where.
 */
#include "core/digest.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
	TTL_SHARE = 16,
	FOR_EVER_QUANTUM_S = 1 << 20,
	BUCKET_BITS = 12,
	FIX_BYTES = 8 + 4 + HERD_ID_MAX + HERD_LOCATION_MAX + HERD_TIME_MAX + HERD_SERVER_MAX,
};

_Static_assert(1 << BUCKET_BITS == DIGEST_ALL, "a bucket is the low bits of a place");

struct plane {
	int64_t epoch;
	uint64_t fixes; /* 0: free for any epoch */
	uint64_t *sums; /* owned */
};

struct digest {
	struct hash_key fix_key, bucket_key;
	int64_t quantum_s;
	struct plane rest;
	unsigned int recent; /* the plane that was used last, most likely the next, too */
	unsigned int planes;
	struct plane plane[DIGEST_PLANES];
};

static int64_t
quantum_of(int64_t ttl_ns)
{
	int64_t share_s = ttl_ns / CLOCK_SECOND_NS / TTL_SHARE;
	int64_t quantum_s = 1;

	if (ttl_ns <= 0)
		return FOR_EVER_QUANTUM_S;
	while (quantum_s * 2 <= share_s)
		quantum_s *= 2;
	return quantum_s;
}

int
digest_new(struct digest **ret, const struct hash_key *key, int64_t ttl_ns)
{
	CLEANUP(digest_freep) struct digest *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->fix_key = *key;
	/* Two hashes that say nothing about each other. */
	d->bucket_key = (struct hash_key){~key->k0, ~key->k1};
	d->quantum_s = quantum_of(ttl_ns);
	d->rest.sums = calloc(DIGEST_ALL, sizeof(*d->rest.sums));
	if (!d->rest.sums)
		return -ENOMEM;
	*ret = d;
	d = NULL;
	return 0;
}

struct digest *
digest_free(struct digest *d)
{
	for (unsigned int i = 0; d && i < d->planes; i++)
		free(d->plane[i].sums);
	if (d)
		free(d->rest.sums);
	free(d);
	return NULL;
}

int64_t
digest_quantum_s(const struct digest *d)
{
	return d->quantum_s;
}

/* --- parts ---------------------------------------------------------------- */

static int64_t
divide_down(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static char *
put_le64(char *out, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		*out++ = (char)(unsigned char)(value >> 8 * i);
	return out;
}

/* Field by field, because a struct has bytes that nobody set; with every length, so that no two fixes read alike. */
static uint64_t
hash_fix(const struct digest *d, const struct herd_fix *fix)
{
	char bytes[FIX_BYTES];
	char *end = put_le64(bytes, (uint64_t)fix->rx_ns);

	*end++ = (char)fix->id_len;
	*end++ = (char)fix->location_len;
	*end++ = (char)fix->time_len;
	*end++ = (char)fix->server_len;
	memcpy(end, fix->id, fix->id_len);
	end += fix->id_len;
	memcpy(end, fix->location, fix->location_len);
	end += fix->location_len;
	memcpy(end, fix->time, fix->time_len);
	end += fix->time_len;
	memcpy(end, fix->server, fix->server_len);
	end += fix->server_len;
	return hash_siphash13(&d->fix_key, bytes, (size_t)(end - bytes));
}

void
digest_part_of(const struct digest *d, const struct herd_fix *fix, struct digest_part *ret)
{
	int64_t epoch = divide_down(fix->rx_ns, d->quantum_s * CLOCK_SECOND_NS);
	uint64_t bucket = hash_siphash13(&d->bucket_key, fix->id, fix->id_len) % DIGEST_ALL;

	assert(fix->location_len <= HERD_LOCATION_MAX && fix->time_len <= HERD_TIME_MAX &&
	       fix->server_len <= HERD_SERVER_MAX);
	ret->hash = hash_fix(d, fix);
	ret->place = (uint64_t)epoch << BUCKET_BITS | bucket;
}

static int64_t
part_epoch(const struct digest_part *part)
{
	return divide_down((int64_t)part->place, DIGEST_ALL);
}

/* The first epoch that counts from this second on. */
static int64_t
epoch_since(const struct digest *d, int64_t since_s)
{
	return since_s <= 0 ? INT64_MIN : since_s / d->quantum_s + (since_s % d->quantum_s != 0);
}

bool
digest_part_is_since(const struct digest *d, const struct digest_part *part, int64_t since_s)
{
	return part_epoch(part) >= epoch_since(d, since_s);
}

/* --- planes --------------------------------------------------------------- */

/* The epoch's own plane, if it has one. */
static struct plane *
plane_find(struct digest *d, int64_t epoch)
{
	for (unsigned int i = 0; i < d->planes; i++) {
		if (d->plane[i].fixes && d->plane[i].epoch == epoch) {
			d->recent = i;
			return &d->plane[i];
		}
	}
	return NULL;
}

static struct plane *
plane_make(struct digest *d, int64_t epoch)
{
	unsigned int i;

	for (i = 0; i < d->planes; i++)
		if (!d->plane[i].fixes)
			break;
	if (i == DIGEST_PLANES)
		return NULL;
	if (i == d->planes) {
		d->plane[i].sums = calloc(DIGEST_ALL, sizeof(*d->plane[i].sums));
		if (!d->plane[i].sums)
			return NULL;
		d->planes++;
	}
	d->plane[i].epoch = epoch;
	d->recent = i;
	return &d->plane[i];
}

static inline struct plane *
plane_recent(struct digest *d, int64_t epoch)
{
	struct plane *plane = &d->plane[d->recent];

	return plane->fixes && plane->epoch == epoch ? plane : NULL;
}

void
digest_add(struct digest *d, const struct digest_part *part)
{
	int64_t epoch = part_epoch(part);
	struct plane *plane = plane_recent(d, epoch);

	if (!plane)
		plane = plane_find(d, epoch);
	/* While the rest holds anything this epoch may be in it. */
	if (!plane && !d->rest.fixes)
		plane = plane_make(d, epoch);
	if (!plane)
		plane = &d->rest;
	plane->sums[digest_part_bucket(part)] += part->hash;
	plane->fixes++;
}

void
digest_remove(struct digest *d, const struct digest_part *part)
{
	int64_t epoch = part_epoch(part);
	struct plane *plane = plane_recent(d, epoch);

	if (!plane)
		plane = plane_find(d, epoch);
	if (!plane)
		plane = &d->rest;
	assert(plane->fixes);
	plane->sums[digest_part_bucket(part)] -= part->hash;
	plane->fixes--;
}

/* --- sums ----------------------------------------------------------------- */

int64_t
digest_since_s(const struct digest *d, int64_t since_ns)
{
	int64_t quantum_ns = d->quantum_s * CLOCK_SECOND_NS;

	if (since_ns <= 0)
		return 0;
	return (since_ns / quantum_ns + (since_ns % quantum_ns != 0)) * d->quantum_s;
}

void
digest_buckets(const struct digest *d, int64_t since_s, unsigned int group, uint64_t ret[DIGEST_BUCKETS])
{
	const int64_t since = epoch_since(d, since_s);
	const unsigned int first = group * DIGEST_BUCKETS;

	assert(group < DIGEST_GROUPS);
	memset(ret, 0, DIGEST_BUCKETS * sizeof(*ret));
	for (unsigned int i = 0; i < d->planes; i++)
		if (d->plane[i].fixes && d->plane[i].epoch >= since)
			for (unsigned int b = 0; b < DIGEST_BUCKETS; b++)
				ret[b] += d->plane[i].sums[first + b];
	/* Of the rest nobody knows how old it is. */
	if (d->rest.fixes && since_s <= 0)
		for (unsigned int b = 0; b < DIGEST_BUCKETS; b++)
			ret[b] += d->rest.sums[first + b];
}

void
digest_groups(const struct digest *d, int64_t since_s, uint64_t ret[DIGEST_GROUPS])
{
	uint64_t sums[DIGEST_BUCKETS];

	for (unsigned int group = 0; group < DIGEST_GROUPS; group++) {
		digest_buckets(d, since_s, group, sums);
		ret[group] = 0;
		for (unsigned int b = 0; b < DIGEST_BUCKETS; b++)
			ret[group] += sums[b];
	}
}

uint64_t
digest_root(const struct digest *d, int64_t since_s)
{
	uint64_t groups[DIGEST_GROUPS], root = 0;

	digest_groups(d, since_s, groups);
	for (unsigned int group = 0; group < DIGEST_GROUPS; group++)
		root += groups[group];
	return root;
}
