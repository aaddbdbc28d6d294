/*
 * Confirm: rounds wait in a ring, each with the number of the last change that
 * it found; acknowledgements come as numbers of changes, too.
 */
#include "flood/confirm.h"

#include <assert.h>

static inline uint64_t
bit_of(unsigned int peer)
{
	assert(peer < CONFIRM_PEERS);
	return UINT64_C(1) << peer;
}

static inline struct confirm_round *
round_at(struct confirm *c, unsigned int i)
{
	return &c->round[(c->first + i) % CONFIRM_ROUNDS];
}

void
confirm_set_needed(struct confirm *c, unsigned int peers)
{
	/* What fewer confirmed is not confirmed any more. */
	if (peers > c->needed)
		c->reached = 0;
	c->needed = peers;
	c->is_news = true;
}

/* Whether the last entry may take in one more round: always when nothing was new in it, else when the rounds from the
   entry before on are few enough. Far behind, all wait a little longer, and nobody for ever. */
static bool
is_shared(struct confirm *c, uint64_t round, uint64_t sequence)
{
	uint64_t before;

	if (c->count == 0)
		return false;
	if (round_at(c, c->count - 1)->sequence == sequence || c->count == CONFIRM_ROUNDS)
		return true;
	before = c->count > 1 ? round_at(c, c->count - 2)->round : c->told;
	return round - before <= UINT64_C(1) << c->count / CONFIRM_SHARE;
}

static void
drop_first(struct confirm *c)
{
	c->first = (c->first + 1) % CONFIRM_ROUNDS;
	c->count--;
}

void
confirm_round(struct confirm *c, uint64_t round, uint64_t sequence, int64_t now_ns)
{
	c->is_news = true;
	while (c->count && now_ns - round_at(c, 0)->time_ns > CONFIRM_LAPSE_NS) {
		c->lapsed = round_at(c, 0)->sequence;
		drop_first(c);
	}
	if (!is_shared(c, round, sequence))
		c->count++;
	*round_at(c, c->count - 1) = (struct confirm_round){round, sequence, now_ns};
}

void
confirm_open(struct confirm *c, unsigned int peer, uint64_t sequence)
{
	c->open |= bit_of(peer);
	c->acknowledged[peer] = 0;
	c->doubt[peer] = sequence;
	c->is_news = true; /* where nothing ever changed it counts already */
}

void
confirm_close(struct confirm *c, unsigned int peer)
{
	c->open &= ~bit_of(peer);
}

void
confirm_acknowledge(struct confirm *c, unsigned int peer, uint64_t sequence)
{
	assert(c->open & bit_of(peer));
	if (sequence <= c->acknowledged[peer])
		return;
	c->acknowledged[peer] = sequence;
	c->is_news = true;
}

void
confirm_settle(struct confirm *c, unsigned int peer, uint64_t sequence)
{
	if (sequence < c->doubt[peer])
		return;
	c->doubt[peer] = 0;
	c->is_news = true;
}

void
confirm_resume(struct confirm *c, unsigned int peer, uint64_t sequence)
{
	assert(c->open & bit_of(peer));
	c->acknowledged[peer] = sequence;
	c->doubt[peer] = 0;
	c->is_news = true;
}

/* Whether enough peers have applied all that the first waiting round found. */
static bool
is_confirmed(const struct confirm *c, uint64_t sequence)
{
	const uint64_t before = c->lapsed > c->reached ? c->lapsed : c->reached;
	unsigned int peers = 0;

	if (sequence == c->reached)
		return true;
	for (uint64_t left = c->open; left; left &= left - 1) {
		int peer = __builtin_ctzll(left);
		uint64_t doubt = c->doubt[peer];

		/* Of a peer that came in the middle of the round nobody knows what it has of the first half; if
		   nothing was new in it, what it has of the rounds before. */
		peers += c->acknowledged[peer] >= sequence &&
			 (doubt == 0 || (doubt <= before && before < sequence));
	}
	return peers >= c->needed;
}

bool
confirm_take(struct confirm *c, uint64_t *ret_round)
{
	uint64_t round = c->told;

	if (!c->is_news)
		return false;
	c->is_news = false;
	while (c->count && is_confirmed(c, c->round[c->first].sequence)) {
		round = c->round[c->first].round;
		c->reached = c->round[c->first].sequence;
		drop_first(c);
	}
	if (round == c->told)
		return false;
	c->told = round;
	*ret_round = round;
	return true;
}
