/*
 * Confirm: rounds wait in a ring, each with the number of the last change that
 * it found; acknowledgements come as numbers of changes, too.
 */
#include "flood/confirm.h"

#include <assert.h>
#include <string.h>

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

/* --- peers ---------------------------------------------------------------- */

static struct confirm_peer *
peer_of(struct confirm *c, unsigned int peer)
{
	assert(c->open & bit_of(peer));
	c->is_news = true;
	return &c->peer[peer];
}

void
confirm_open(struct confirm *c, unsigned int peer, uint64_t sequence)
{
	c->open |= bit_of(peer);
	c->peer[peer] = (struct confirm_peer){.doubt = sequence};
	c->is_news = true;
}

void
confirm_close(struct confirm *c, unsigned int peer)
{
	c->open &= ~bit_of(peer);
}

void
confirm_acknowledge(struct confirm *c, unsigned int peer, uint64_t sequence)
{
	struct confirm_peer *p = peer_of(c, peer);

	if (sequence > p->acknowledged)
		p->acknowledged = sequence;
}

/* Whatever changed up to now it has only when it acknowledges that, or what came of it since. */
static void
owe_all(struct confirm_peer *p, uint64_t now)
{
	p->is_settled = true;
	p->debts = now > 0;
	p->debt[0] = (struct confirm_debt){1, now};
}

void
confirm_settle(struct confirm *c, unsigned int peer, uint64_t sequence, uint64_t now)
{
	struct confirm_peer *p = peer_of(c, peer);

	if (!p->is_settled && sequence >= p->doubt)
		owe_all(p, now);
}

void
confirm_resume(struct confirm *c, unsigned int peer, uint64_t sequence, uint64_t now)
{
	struct confirm_peer *p = peer_of(c, peer);

	p->acknowledged = sequence;
	owe_all(p, now);
}

void
confirm_set_needed(struct confirm *c, unsigned int peers, uint64_t sequence)
{
	/* What fewer confirmed is not confirmed any more, and while nobody was asked for nobody kept debts. */
	if (peers > c->needed)
		c->reached = 0;
	for (unsigned int i = 0; i < CONFIRM_PEERS && c->needed == 0 && peers > 0; i++) {
		c->peer[i].doubt = sequence;
		if (c->peer[i].is_settled)
			owe_all(&c->peer[i], sequence);
	}
	c->needed = peers;
	c->is_news = true;
}

/* --- debts ------------------------------------------------------------------ */

/* Those that are paid go. */
static void
settle_debts(struct confirm_peer *p)
{
	unsigned int paid = 0;

	while (paid < p->debts && p->debt[paid].to <= p->acknowledged)
		paid++;
	if (paid == 0)
		return;
	p->debts -= paid;
	memmove(p->debt, p->debt + paid, p->debts * sizeof(*p->debt));
}

void
confirm_supersede(struct confirm *c, unsigned int peer, uint64_t passed, uint64_t from, uint64_t to)
{
	struct confirm_peer *p = peer_of(c, peer);
	struct confirm_debt *last;

	assert(passed < from && from < to);
	if (p->debts == CONFIRM_DEBTS)
		settle_debts(p);
	last = p->debts ? &p->debt[p->debts - 1] : NULL;
	/* Not until the peer was told all of the last debt there may be a new one: what was superseded once may be
	   so again, and is as old as it was. */
	if (last && (passed < last->to || p->debts == CONFIRM_DEBTS)) {
		last->to = to;
		if (from < last->from)
			last->from = from;
		return;
	}
	p->debt[p->debts++] = (struct confirm_debt){from, to};
}

/* All changes up to this one the peer has, or what came after them, but for those in doubt. */
static uint64_t
peer_has(struct confirm_peer *p)
{
	settle_debts(p);
	return p->debts && p->debt[0].from <= p->acknowledged ? p->debt[0].from - 1 : p->acknowledged;
}

/* --- rounds ----------------------------------------------------------------- */

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

/* Whether enough peers have all that the first waiting round found. */
static bool
is_confirmed(struct confirm *c, uint64_t sequence)
{
	const uint64_t before = c->lapsed > c->reached ? c->lapsed : c->reached;
	unsigned int peers = 0;

	if (sequence == c->reached)
		return true;
	for (uint64_t left = c->open; left; left &= left - 1) {
		struct confirm_peer *p = &c->peer[__builtin_ctzll(left)];
		/* Of a peer that came in the middle of the round nobody knows what it has of the first half; if
		   nothing was new in it, what it has of the rounds before. */
		bool is_sure = p->is_settled || (p->doubt <= before && before < sequence);

		peers += is_sure && peer_has(p) >= sequence;
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
