/*
 * Digest: one plane of 4,096 sums per epoch, made when its first fix comes and
 * given to another epoch when its last one has gone (all its sums are zero
 * then, by themselves).
 *
 * The number of planes is bounded, because receipt times come from other
 * hosts. An epoch that finds none left counts with the rest, and so does each
 * further new one until the rest is empty: the fixes of one epoch are always
 * all in one place, and can be taken out again without a note of where.
 *
 * A cut holds the sums of an epoch from some second in it on. It is made from
 * the parts themselves when it is asked for, and kept up to date from then on.
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

/* Sums of the later part of one epoch. */
struct cut {
	int64_t since_s;
	uint64_t asked; /* when it was of use last, in questions; 0: free */
	uint64_t *sums; /* owned */
};

/* Questions change it, too: apart, so that they need no digest that can be changed. */
struct cuts {
	uint64_t asked;
	struct cut cut[DIGEST_CUTS];
};

struct digest {
	struct hash_key fix_key, bucket_key;
	int64_t quantum_s;
	const struct digest_part *parts; /* borrowed; NULL: unknown */
	uint64_t parts_count;
	struct cuts *cuts; /* owned */
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
	d->cuts = calloc(1, sizeof(*d->cuts));
	if (!d->rest.sums || !d->cuts)
		return -ENOMEM;
	*ret = d;
	d = NULL;
	return 0;
}

struct digest *
digest_free(struct digest *d)
{
	if (!d)
		return NULL;
	for (unsigned int i = 0; i < d->planes; i++)
		free(d->plane[i].sums);
	for (unsigned int i = 0; d->cuts && i < DIGEST_CUTS; i++)
		free(d->cuts->cut[i].sums);
	free(d->cuts);
	free(d->rest.sums);
	free(d);
	return NULL;
}

void
digest_use_parts(struct digest *d, const struct digest_part *parts, uint64_t count)
{
	d->parts = parts;
	d->parts_count = count;
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
	int64_t second = divide_down(fix->rx_ns, CLOCK_SECOND_NS);
	uint64_t bucket = hash_siphash13(&d->bucket_key, fix->id, fix->id_len) % DIGEST_ALL;

	assert(fix->location_len <= HERD_LOCATION_MAX && fix->time_len <= HERD_TIME_MAX &&
	       fix->server_len <= HERD_SERVER_MAX);
	ret->hash = hash_fix(d, fix);
	ret->place = (uint64_t)second << BUCKET_BITS | bucket;
}

static inline int64_t
part_second(const struct digest_part *part)
{
	return divide_down((int64_t)part->place, DIGEST_ALL);
}

static inline int64_t
part_epoch(const struct digest *d, const struct digest_part *part)
{
	return divide_down(part_second(part), d->quantum_s);
}

bool
digest_part_is_since(const struct digest_part *part, int64_t since_s)
{
	return since_s <= 0 || part_second(part) >= since_s;
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

/* --- cuts ----------------------------------------------------------------- */

static bool
is_in_cut(const struct digest *d, const struct cut *cut, const struct digest_part *part)
{
	return part_second(part) >= cut->since_s && part_epoch(d, part) == cut->since_s / d->quantum_s;
}

static void
cuts_add(struct digest *d, const struct digest_part *part, uint64_t hash)
{
	/* Most digests never had one. */
	if (!d->cuts->asked)
		return;
	for (unsigned int i = 0; i < DIGEST_CUTS; i++) {
		struct cut *cut = &d->cuts->cut[i];

		if (cut->asked && is_in_cut(d, cut, part))
			cut->sums[digest_part_bucket(part)] += hash;
	}
}

static bool
cut_make(const struct digest *d, struct cut *cut, int64_t since_s)
{
	if (!cut->sums)
		cut->sums = calloc(DIGEST_ALL, sizeof(*cut->sums));
	else
		memset(cut->sums, 0, DIGEST_ALL * sizeof(*cut->sums));
	cut->asked = 0;
	if (!cut->sums)
		return false;
	cut->since_s = since_s;
	for (uint64_t i = 0; i < d->parts_count; i++)
		if (is_in_cut(d, cut, &d->parts[i]))
			cut->sums[digest_part_bucket(&d->parts[i])] += d->parts[i].hash;
	return true;
}

/* The cut that begins here, in place of the one that nobody has asked for the longest if there is none yet; NULL: it
   is the begin of an epoch, or cannot be had. */
static const struct cut *
cut_find(const struct digest *d, int64_t since_s)
{
	struct cut *oldest = &d->cuts->cut[0];

	if (!d->parts || since_s <= 0 || since_s % d->quantum_s == 0)
		return NULL;
	d->cuts->asked++;
	for (unsigned int i = 0; i < DIGEST_CUTS; i++) {
		struct cut *cut = &d->cuts->cut[i];

		if (cut->asked && cut->since_s == since_s) {
			cut->asked = d->cuts->asked;
			return cut;
		}
		if (cut->asked < oldest->asked)
			oldest = cut;
	}
	if (!cut_make(d, oldest, since_s))
		return NULL;
	oldest->asked = d->cuts->asked;
	return oldest;
}

/* --- adding and removing ---------------------------------------------------- */

void
digest_add(struct digest *d, const struct digest_part *part)
{
	int64_t epoch = part_epoch(d, part);
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
	cuts_add(d, part, part->hash);
}

void
digest_remove(struct digest *d, const struct digest_part *part)
{
	int64_t epoch = part_epoch(d, part);
	struct plane *plane = plane_recent(d, epoch);

	if (!plane)
		plane = plane_find(d, epoch);
	if (!plane)
		plane = &d->rest;
	assert(plane->fixes);
	plane->sums[digest_part_bucket(part)] -= part->hash;
	plane->fixes--;
	cuts_add(d, part, -part->hash);
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

static void
add_sums(uint64_t ret[DIGEST_BUCKETS], const uint64_t *sums)
{
	for (unsigned int b = 0; b < DIGEST_BUCKETS; b++)
		ret[b] += sums[b];
}

void
digest_buckets(const struct digest *d, int64_t since_s, unsigned int group, uint64_t ret[DIGEST_BUCKETS])
{
	const int64_t since = since_s > 0 ? since_s / d->quantum_s + (since_s % d->quantum_s != 0)
					  : INT64_MIN;
	const struct cut *cut = cut_find(d, since_s);
	const unsigned int first = group * DIGEST_BUCKETS;

	assert(group < DIGEST_GROUPS);
	memset(ret, 0, DIGEST_BUCKETS * sizeof(*ret));
	for (unsigned int i = 0; i < d->planes; i++)
		if (d->plane[i].fixes && d->plane[i].epoch >= since)
			add_sums(ret, d->plane[i].sums + first);
	if (cut)
		add_sums(ret, cut->sums + first);
	/* Of the rest nobody knows how old it is. */
	if (d->rest.fixes && since_s <= 0)
		add_sums(ret, d->rest.sums + first);
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
