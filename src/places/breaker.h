#ifndef PLACES_BREAKER_H
#define PLACES_BREAKER_H
/*
 * Breaker: whether a service that has been failing is asked at all. Closed, it
 * is. After so many failures in a row it opens: the service is left alone for
 * a while. Then it is half-open: one question is a probe, and its end closes
 * it, or opens it for twice as long.
 *
 * Pure: times are CLOCK_MONOTONIC nanoseconds, given with each call, as is what
 * is random. Nothing to free.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define BREAKER_PAUSE_MAX_NS (300 * CLOCK_SECOND_NS)

enum breaker_state {
	BREAKER_CLOSED,
	BREAKER_OPEN,
	BREAKER_HALF_OPEN, /* the pause is over; is_probing: somebody has been let through */
};

/* Zeroed is closed. Settings may be changed at any time. */
struct breaker {
	uint32_t failures_max; /* in a row; 0: never opens by counting */
	int64_t pause_ns;      /* the first one */

	enum breaker_state state;
	bool is_probing;
	uint32_t failures; /* in a row */
	uint32_t doubled;  /* how often the pause was */
	uint32_t epoch;	   /* one more with each change of state but the one to half-open */
	int64_t until_ns;  /* open: until then */
};

/* The state at this time: what was open for long enough is half-open. */
enum breaker_state breaker_state(struct breaker *b, int64_t now_ns);

/* May a question be asked now? Changes nothing that counts. */
bool breaker_allows(struct breaker *b, int64_t now_ns);

/* A question is asked now, which breaker_allows(). What is returned goes to one of the next three, once. */
uint32_t breaker_asked(struct breaker *b, int64_t now_ns);

/* How it ended. A question asked before the last change of state says nothing new. */
/* true: the breaker closed. */
bool breaker_succeeded(struct breaker *b, uint32_t asked);
/* random: any. true: the breaker opened, from closed. */
bool breaker_failed(struct breaker *b, uint32_t asked, int64_t now_ns, uint64_t random);
/* Nobody waits for it any more. */
void breaker_abandoned(struct breaker *b, uint32_t asked);

/* Opens it, whatever was counted, for at least this long (at most BREAKER_PAUSE_MAX_NS): the service asked for a pause.
   true: from closed. */
bool breaker_open(struct breaker *b, uint32_t asked, int64_t now_ns, int64_t pause_ns);

/* Closes it, as if nothing had happened: the settings of the service are others. */
void breaker_reset(struct breaker *b);

#endif
