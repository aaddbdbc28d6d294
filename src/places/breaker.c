/*
 * Breaker: every question carries the epoch in which it was asked. Hundreds may
 * be under way when a service goes down; only those of the present epoch may
 * move the breaker, so that one outage doubles the pause once and a late answer
 * to an old question does not close it before the probe has come back.
 */
#include "places/breaker.h"

enum { JITTER_PARTS = 4 }; /* a pause is longer by up to one of so many parts */

enum breaker_state
breaker_state(struct breaker *b, int64_t now_ns)
{
	if (b->state == BREAKER_OPEN && now_ns >= b->until_ns)
		b->state = BREAKER_HALF_OPEN;
	return b->state;
}

bool
breaker_allows(struct breaker *b, int64_t now_ns)
{
	switch (breaker_state(b, now_ns)) {
	case BREAKER_CLOSED:
		return true;
	case BREAKER_HALF_OPEN:
		return !b->is_probing;
	case BREAKER_OPEN:
		break;
	}
	return false;
}

uint32_t
breaker_asked(struct breaker *b, int64_t now_ns)
{
	if (breaker_state(b, now_ns) == BREAKER_HALF_OPEN)
		b->is_probing = true;
	return b->epoch;
}

bool
breaker_succeeded(struct breaker *b, uint32_t asked)
{
	if (asked != b->epoch)
		return false;
	b->failures = 0;
	if (b->state == BREAKER_CLOSED)
		return false;
	breaker_reset(b);
	return true;
}

static bool
open_until(struct breaker *b, int64_t until_ns)
{
	bool was_closed = b->state == BREAKER_CLOSED;

	b->state = BREAKER_OPEN;
	b->is_probing = false;
	b->until_ns = until_ns;
	b->epoch++;
	return was_closed;
}

static int64_t
next_pause(struct breaker *b, uint64_t random)
{
	int64_t pause_ns = b->pause_ns > 0 ? b->pause_ns : 1;

	for (uint32_t i = 0; i < b->doubled && pause_ns < BREAKER_PAUSE_MAX_NS; i++)
		pause_ns *= 2;
	if (pause_ns < BREAKER_PAUSE_MAX_NS)
		b->doubled++;
	else
		pause_ns = BREAKER_PAUSE_MAX_NS;
	return pause_ns + (int64_t)(random % (uint64_t)(pause_ns / JITTER_PARTS + 1));
}

bool
breaker_failed(struct breaker *b, uint32_t asked, int64_t now_ns, uint64_t random)
{
	if (asked != b->epoch)
		return false;
	if (b->state == BREAKER_CLOSED && b->failures < UINT32_MAX)
		b->failures++;
	if (b->state == BREAKER_CLOSED && (b->failures_max == 0 || b->failures < b->failures_max))
		return false;
	return open_until(b, now_ns + next_pause(b, random));
}

void
breaker_abandoned(struct breaker *b, uint32_t asked)
{
	if (asked == b->epoch)
		b->is_probing = false;
}

bool
breaker_open(struct breaker *b, uint32_t asked, int64_t now_ns, int64_t pause_ns)
{
	int64_t until_ns = now_ns + (pause_ns < BREAKER_PAUSE_MAX_NS ? pause_ns : BREAKER_PAUSE_MAX_NS);

	if (asked != b->epoch) { /* one that was under way when it opened: no shorter for it */
		if (b->state == BREAKER_OPEN && b->until_ns < until_ns)
			b->until_ns = until_ns;
		return false;
	}
	return open_until(b, until_ns);
}

void
breaker_reset(struct breaker *b)
{
	b->state = BREAKER_CLOSED;
	b->is_probing = false;
	b->failures = 0;
	b->doubled = 0;
	b->epoch++;
}
