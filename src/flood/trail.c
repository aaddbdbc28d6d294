/*
 * Trail: rings of samples, each with a coarser step than the one before. A
 * question is answered by the finest ring that goes back far enough.
 */
#include "flood/trail.h"

#include <stdbool.h>
#include <stddef.h>

static const struct trail_sample *
sample_at(const struct trail_level *level, uint64_t number)
{
	return &level->sample[number % TRAIL_SAMPLES];
}

/* Has this level's step passed since its last sample? A clock that was put back begins anew. */
static bool
is_due(const struct trail_level *level, int64_t now_ns, int64_t step_ns)
{
	int64_t last_ns = level->count ? sample_at(level, level->count - 1)->time_ns : 0;

	return !level->count || now_ns < last_ns || now_ns - last_ns >= step_ns;
}

void
trail_mark(struct trail *t, uint64_t sequence, int64_t now_ns)
{
	/* Most marks end here. */
	if (!is_due(&t->level[0], now_ns, TRAIL_STEP_NS))
		return;
	for (unsigned int i = 0; i < TRAIL_LEVELS; i++) {
		struct trail_level *level = &t->level[i];

		if (is_due(level, now_ns, TRAIL_STEP_NS << i * TRAIL_FACTOR_BITS))
			level->sample[level->count++ % TRAIL_SAMPLES] = (struct trail_sample){sequence,
											      now_ns};
	}
}

/* The last sample that is not later than the change; the oldest if all are. */
static const struct trail_sample *
find(const struct trail_level *level, uint64_t sequence)
{
	uint64_t oldest = level->count > TRAIL_SAMPLES ? level->count - TRAIL_SAMPLES : 0;
	uint64_t at = level->count - 1;

	while (at > oldest && sample_at(level, at)->sequence > sequence)
		at--;
	return sample_at(level, at);
}

int64_t
trail_age_ns(const struct trail *t, uint64_t sequence, int64_t now_ns)
{
	const struct trail_sample *sample = NULL;

	for (unsigned int i = 0; i < TRAIL_LEVELS && t->level[i].count; i++) {
		sample = find(&t->level[i], sequence);
		if (sample->sequence <= sequence)
			break;
	}
	return sample && now_ns > sample->time_ns ? now_ns - sample->time_ns : 0;
}
