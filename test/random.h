#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H
/*
 * Random input for tests: splitmix64, so that a run is repeated by its seed.
 * Tests print the seed; HERD_TEST_SEED in the environment sets it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

static inline uint64_t
random_u64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 to n - 1. */
static inline size_t
random_below(uint64_t *state, size_t n)
{
	return (size_t)(random_u64(state) % n);
}

static inline uint64_t
random_seed(uint64_t otherwise)
{
	const char *set = getenv("HERD_TEST_SEED");
	uint64_t seed = set ? strtoull(set, NULL, 0) : otherwise;

	fprintf(stderr, "seed %#llx\n", (unsigned long long)seed);
	return seed;
}

/* Writes `digits` random digits; returns the end. */
static inline char *
random_put_digits(uint64_t *state, char *out, size_t digits)
{
	while (digits--)
		*out++ = (char)('0' + random_below(state, 10));
	return out;
}

static inline char *
random_put_degrees(uint64_t *state, char *out, size_t digits_max, size_t limit)
{
	size_t digits = 1 + random_below(state, digits_max);
	char *start;

	*out++ = random_below(state, 2) ? '+' : '-';
	start = out;
	for (;;) {
		size_t value = 0;

		out = random_put_digits(state, start, digits);
		for (const char *at = start; at < out; at++)
			value = value * 10 + (size_t)(*at - '0');
		if (value < limit)
			break;
	}
	if (random_below(state, 4)) {
		*out++ = '.';
		out = random_put_digits(state, out, 1 + random_below(state, 12));
	}
	return out;
}

/* Writes a valid location (room for HERD_LOCATION_MAX); returns the end. */
static inline char *
random_put_location(uint64_t *state, char *out)
{
	out = random_put_degrees(state, out, 2, 90);
	out = random_put_degrees(state, out, 3, 180);
	if (random_below(state, 4) == 0)
		*out++ = '/';
	return out;
}

/* Writes a valid time (room for HERD_TIME_MAX); returns the end. */
static inline char *
random_put_time(uint64_t *state, char *out)
{
	out = random_put_digits(state, out, 1 + random_below(state, 11));
	if (random_below(state, 4)) {
		*out++ = '.';
		out = random_put_digits(state, out, 1 + random_below(state, 9));
	}
	return out;
}

/* Writes an id of any allowed bytes; returns the end. */
static inline char *
random_put_id(uint64_t *state, char *out, size_t len)
{
	while (len) {
		char c = (char)(unsigned char)random_below(state, 256);

		if (c == '\0' || text_is_space(c))
			continue;
		*out++ = c;
		len--;
	}
	return out;
}

#endif
