/*
 * Comparing what two hosts hold: see link.h for the lines.
 *
 * Whoever asks by ROOT is answered by SAME, ROOT or GRP. GRP begins an
 * exchange; the one who gave it (G) and the one who then names groups by DIG
 * (D) each send the fixes of the buckets that differ, as G finds them: D's DONE
 * comes first, when each DIG was answered by a PULL and all pulled fixes are
 * out, then G's. What an exchange needs is 1.5 kB of bits: which buckets
 * differ, whose fixes this walk through the table sends, and whose the next.
 *
 * The first comparison of a link is strict: it makes good what was missed
 * before the link was. Later ones only prove that nothing was: there, a
 * difference may be a fix in flight. So the first one seen is passed over, and
 * buckets that changed within three seconds are left out.
 *
 * What a peer can make us do is bounded per line, per exchange (one walk, and
 * one more per line that finds more), and by a rest after each, four times as
 * long as it took. Lines out of place change nothing: questions may cross on
 * the wire. If that, or a peer, leaves an exchange hanging it is given up after
 * a minute, and the next ROOT starts afresh.
 */
#include "flood/link-private.h"

enum { REST_SHARE = 4 };

#define FRESH_NS	(3 * CLOCK_SECOND_NS)
#define LAG_NS		(2 * CLOCK_SECOND_NS)  /* behind by more than this, a comparison finds only that */
#define OTHER_STARTS_NS (5 * CLOCK_SECOND_NS)  /* one side starts; if it does not, the other */
#define RETRY_NS	(15 * CLOCK_SECOND_NS) /* while not level */
#define STALL_NS	(60 * CLOCK_SECOND_NS)
#define REST_MIN_NS	(2 * CLOCK_SECOND_NS)
#define REST_MAX_NS	(60 * CLOCK_SECOND_NS)

bool
sync_is_running(const struct link_sync *s)
{
	return s->state >= SYNC_GAVE;
}

/* The one of two that goes first where both could. */
bool
sync_is_first(const struct link *l)
{
	return memcmp(l->self->host_id, l->host_id, sizeof(l->host_id)) < 0;
}

/* A minute, give or take a quarter. */
static int64_t
root_wait_ns(struct link *l)
{
	l->random = l->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return LINK_ROOT_NS * 3 / 4 + (int64_t)((l->random >> 20) % (uint64_t)(LINK_ROOT_NS / 2));
}

void
sync_plan_root(struct link *l)
{
	l->sync.root_age_ns = l->age_ns + (l->sync.is_level ? root_wait_ns(l) : RETRY_NS);
}

/* --- begin and end ------------------------------------------------------------ */

void
link_sync_start(struct link *l)
{
	struct link_sync *s = &l->sync;

	/* Not the same at both ends. */
	l->random = l->self->incarnation * UINT64_C(0x9e3779b97f4a7c15) + l->incarnation;
	s->begun_age_ns = l->age_ns;
	s->parked_age_ns = -SYNC_PARKED_NS;
	s->is_awaiting_all = !l->is_comparable && !s->is_level;
	if (s->is_level)
		sync_plan_root(l);
	else
		s->root_age_ns = l->age_ns + (sync_is_first(l) ? 0 : OTHER_STARTS_NS);
}

/* A new one, of which this side is told or that it asks for. */
void
sync_begin(struct link *l, bool is_strict)
{
	struct link_sync *s = &l->sync;

	s->is_strict = is_strict;
	s->begun_age_ns = s->progress_age_ns = l->age_ns;
	s->begun_seq = replica_sequence(l->replica);
	s->lines_in = s->lines_out = s->buckets = s->late = 0;
}

/* Both GRP sides start here. */
void
sync_begin_exchange(struct link *l, enum link_sync_state state)
{
	struct link_sync *s = &l->sync;

	s->state = state;
	s->say = SAY_NOTHING;
	s->digs = s->named = s->pulls = 0;
	s->pulls_due = 0;
	s->has_peer_done = false;
	s->is_walking = s->has_later = false;
	memset(s->differ, 0, sizeof(s->differ));
	memset(s->owed, 0, sizeof(s->owed));
	memset(s->owed_later, 0, sizeof(s->owed_later));
	s->progress_age_ns = l->age_ns;
}

void
sync_tell(struct link *l, bool diverged)
{
	struct link_sync *s = &l->sync;
	const int64_t took_ns = l->age_ns - s->begun_age_ns;

	s->last = (struct link_resync){.ended_ns = l->now_ns,
				       .took_ns = took_ns,
				       .lines_in = s->lines_in,
				       .lines_out = s->lines_out,
				       .buckets = s->buckets,
				       .diverged = diverged};
	if (l->hooks.resynced)
		l->hooks.resynced(l->hooks.arg, diverged, s->lines_in + s->lines_out, took_ns);
}

void
sync_become_level(struct link *l)
{
	l->sync.is_level = true;
	l->sync.is_wanted = false;
	l->is_memorable = true;
	link_remember(l);
}

void
sync_settle(struct link *l, uint64_t seq)
{
	l->sync.is_settled = true;
	replica_settle(l->replica, l->peer, seq);
}

/* Nothing differs; the peer has all that was here at change `seq`. */
void
sync_find_equal(struct link *l, uint64_t seq)
{
	const bool was_level = l->sync.is_level;

	if (!l->sync.is_settled)
		sync_settle(l, seq);
	l->sync.is_suspect = false;
	sync_become_level(l);
	sync_plan_root(l);
	if (!was_level)
		sync_tell(l, false);
}

/* Both have said DONE. */
void
sync_finish(struct link *l)
{
	struct link_sync *s = &l->sync;
	const bool was_level = s->is_level;
	int64_t rest_ns = (l->age_ns - s->begun_age_ns) * REST_SHARE;

	if (rest_ns < REST_MIN_NS)
		rest_ns = REST_MIN_NS;
	s->rest_age_ns = l->age_ns + (rest_ns < REST_MAX_NS ? rest_ns : REST_MAX_NS);
	s->state = SYNC_IDLE;
	s->is_suspect = false;
	l->figures.resyncs += s->buckets > 0;
	sync_become_level(l);
	sync_plan_root(l);
	if (!was_level || s->late > 0)
		sync_tell(l, was_level);
	else if (s->buckets > 0)
		s->last = (struct link_resync){
			l->now_ns, l->age_ns - s->begun_age_ns, s->lines_in, s->lines_out, s->buckets, false};
}

void
link_sync_tick(struct link *l)
{
	struct link_sync *s = &l->sync;

	if (!sync_is_running(s) || l->age_ns - s->progress_age_ns < STALL_NS)
		return;
	sync_begin_exchange(l, SYNC_IDLE);
	sync_plan_root(l);
}

void
link_sync_ponged(struct link *l)
{
	struct link_sync *s = &l->sync;

	if (s->settle_ping == 0 || l->pings < s->settle_ping)
		return;
	s->settle_ping = 0;
	sync_settle(l, s->settle_seq);
}

/* --- what the owner says ------------------------------------------------------- */

void
link_hold_back(struct link *l, bool hold)
{
	struct link_sync *s = &link_check(l)->sync;

	if (s->is_held && !hold && !s->is_level)
		s->is_wanted = true;
	s->is_held = hold;
}

void
link_compare(struct link *l)
{
	struct link_sync *s = &link_check(l)->sync;

	s->is_held = false;
	s->is_wanted = !sync_is_running(s);
}

bool
link_is_comparing(const struct link *l)
{
	const struct link_sync *s = &link_check_const(l)->sync;

	if (l->state != LINK_UP)
		return false;
	return sync_is_running(s) || (s->is_wanted && l->is_comparable) || s->is_awaiting_all ||
	       (!s->is_level && !s->is_held);
}

/* --- for both ways ------------------------------------------------------------- */

bool
sync_is_lagging(struct link *l)
{
	return replica_lag_ns(l->replica, l->peer, l->now_ns) > LAG_NS;
}

/* Its bits of those that just changed here. */
uint64_t
sync_fresh_buckets(struct link *l, unsigned int group)
{
	uint64_t fresh = 0;

	for (unsigned int i = 0; i < DIGEST_BUCKETS; i++)
		if (replica_bucket_is_fresh(l->replica, group * DIGEST_BUCKETS + i, l->now_ns, FRESH_NS))
			fresh |= UINT64_C(1) << i;
	return fresh;
}
