#ifndef FLOOD_TRAIL_H
#define FLOOD_TRAIL_H
/*
 * Trail: when changes were made, roughly, in memory that does not grow: for
 * how long a peer has been behind. The further back, the rougher.
 */
#include <stdint.h>

#include "base/clock.h"

enum {
	TRAIL_LEVELS = 8,
	TRAIL_SAMPLES = 64, /* per level */
	TRAIL_FACTOR_BITS =
		2, /* each level's samples are four times as far apart as the one's before: 29 hours in all */
};
#define TRAIL_STEP_NS (100 * CLOCK_MSEC_NS) /* of the first level */

struct trail_sample {
	uint64_t sequence; /* the change after this one ... */
	int64_t time_ns;   /* ... was made at this time */
};

/* All zero is an empty one. */
struct trail {
	struct trail_level {
		uint64_t count; /* ever taken: the ring holds the last TRAIL_SAMPLES */
		struct trail_sample sample[TRAIL_SAMPLES];
	} level[TRAIL_LEVELS];
};

/* The change after `sequence` is made now. */
void trail_mark(struct trail *t, uint64_t sequence, int64_t now_ns);

/* How long ago the change after `sequence`, which has been made, was: at most a step of 100 ms, or a 16th, too long.
   Never negative; what is older than all samples counts as the oldest of them. */
int64_t trail_age_ns(const struct trail *t, uint64_t sequence, int64_t now_ns);

#endif
