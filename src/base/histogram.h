#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H
/*
 * Latencies in buckets that grow with the value: 32 to an octave, so a quantile
 * is at most 3 % too high, for any value, in fixed memory.
 */
#include <stdint.h>

enum {
	HISTOGRAM_SUB_BITS = 5,
	HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS,
	HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB,
};

struct histogram {
	uint64_t count[HISTOGRAM_BUCKETS];
	uint64_t total;
	uint64_t max;
};

static inline unsigned int
histogram_bucket(uint64_t value)
{
	unsigned int shift;

	if (value < HISTOGRAM_SUB)
		return (unsigned int)value;
	shift = 63U - (unsigned int)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return (shift + 1) * HISTOGRAM_SUB + (unsigned int)((value >> shift) & (HISTOGRAM_SUB - 1));
}

/* Greatest value that falls into the bucket. */
static inline uint64_t
histogram_bucket_top(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < HISTOGRAM_SUB)
		return bucket;
	shift = bucket / HISTOGRAM_SUB - 1;
	return (((uint64_t)(bucket % HISTOGRAM_SUB) + HISTOGRAM_SUB + 1) << shift) - 1;
}

/* Counts `times` equal values. */
static inline void
histogram_add(struct histogram *h, uint64_t value, uint64_t times)
{
	h->count[histogram_bucket(value)] += times;
	h->total += times;
	if (value > h->max)
		h->max = value;
}

/* The value that `share` (0 to 1) of all stay at or under; 0 of an empty one. */
static inline uint64_t
histogram_quantile(const struct histogram *h, double share)
{
	uint64_t want = (uint64_t)(share * (double)h->total);
	uint64_t seen = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->count[i];
		if (seen > want)
			return histogram_bucket_top(i) < h->max ? histogram_bucket_top(i) : h->max;
	}
	return h->max;
}

#endif
