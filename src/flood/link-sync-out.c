/*
 * Comparing, what we say: questions when they are due, the lines of an
 * exchange as far as there is room, and the walk through the table for the
 * fixes that are owed.
 */
#include "flood/link-private.h"

enum {
	WALK_SLOTS = 4096, /* looked at without finding a fix, in one turn */
	SMALL_ROOM = 128,  /* for a SEQ, and a ROOT or DONE */
};

#define POSTPONE_NS (10 * CLOCK_SECOND_NS) /* it, then */
#define AGAIN_NS    CLOCK_SECOND_NS

static bool
is_root_due(const struct link *l, int64_t age_ns)
{
	const struct link_sync *s = &l->sync;

	return l->is_comparable && !s->is_held && !sync_is_running(s) && s->say == SAY_NOTHING &&
	       (s->is_wanted || age_ns >= s->root_age_ns);
}

static void
ask(struct link *l)
{
	struct link_sync *s = &l->sync;

	if (s->is_level && !s->is_wanted && sync_is_lagging(l)) {
		s->root_age_ns = l->age_ns + POSTPONE_NS;
		return;
	}
	s->say = SAY_ROOT;
}

static bool
is_all_sent(const struct link_sync *s)
{
	if (s->say != SAY_NOTHING || s->is_walking)
		return false;
	if (s->state == SYNC_NAMED)
		return s->digs == 0 && s->pulls_due == 0;
	return s->state == SYNC_GAVE && s->has_peer_done && s->pulls == 0;
}

static bool
is_all_told(const struct link *l)
{
	return l->sync.is_telling_all && replica_passed(l->replica, l->peer) >= l->sync.all_until;
}

bool
link_sync_has_lines(const struct link *l, int64_t age_ns)
{
	const struct link_sync *s = &l->sync;

	return s->say != SAY_NOTHING || s->digs || s->pulls || is_root_due(l, age_ns) || is_all_sent(s) ||
	       is_all_told(l);
}

static void
put_root(struct link *l, struct link_out *out)
{
	struct link_sync *s = &l->sync;

	sync_begin(l, !s->is_level || s->is_wanted);
	s->is_wanted = false;
	s->state = SYNC_ASKED;
	s->since_s = replica_since_s(l->replica, l->now_ns);
	s->sum = digest_root(replica_digest(l->replica), s->since_s);
	sync_plan_root(l);
	link_put_line(l, out, link_put_root(out->at, LINK_ROOT, s->since_s, s->sum));
}

static void
put_groups(struct link *l, struct link_out *out)
{
	uint64_t sums[DIGEST_GROUPS];

	digest_groups(replica_digest(l->replica), l->sync.since_s, sums);
	link_put_line(l, out, link_put_groups(out->at, l->sync.since_s, sums));
}

static void
put_done(struct link *l, struct link_out *out)
{
	struct link_sync *s = &l->sync;

	link_put_line(l, out, link_put_done(out->at));
	if (s->state != SYNC_GAVE)
		return;
	if (!s->named) {
		/* The peer found nothing, or not enough. Without a proof of our own we ask again. */
		s->state = SYNC_IDLE;
		sync_plan_root(l);
		if (!s->is_level)
			s->root_age_ns = l->age_ns + AGAIN_NS;
		return;
	}
	if (s->is_strict) {
		/* Whether all that we sent was taken, too, only an answer to what we say after it can tell. */
		l->has_ping = true;
		s->settle_seq = s->begun_seq;
		s->settle_ping = l->pings + 1;
	}
	sync_finish(l);
}

/* A SEQ goes first: what the peer has once this is over is what that says. */
static void
put_say(struct link *l, struct link_out *out)
{
	struct link_sync *s = &l->sync;
	const enum link_sync_say say = s->say;

	if (say == SAY_NOTHING || !link_has_room(out, say == SAY_GRP ? LINK_LONG_LINE_MAX : SMALL_ROOM))
		return;
	s->say = SAY_NOTHING;
	link_put_seq(l, out);
	if (say == SAY_ROOT)
		put_root(l, out);
	else if (say == SAY_SAME)
		link_put_line(l, out, link_put_root(out->at, LINK_SAME, s->since_s, s->sum));
	else if (say == SAY_GRP)
		put_groups(l, out);
	else
		put_done(l, out);
}

static void
put_digs(struct link *l, struct link_out *out)
{
	struct link_sync *s = &l->sync;

	while (s->digs && link_has_room(out, LINK_LONG_LINE_MAX)) {
		struct link_sums sums = {.group = (unsigned int)__builtin_ctzll(s->digs)};

		s->digs &= s->digs - 1;
		s->progress_age_ns = l->age_ns;
		if (!s->is_strict)
			sums.fresh = sync_fresh_buckets(l, sums.group);
		digest_buckets(replica_digest(l->replica), s->since_s, sums.group, sums.sum);
		link_put_line(l, out, link_put_buckets(out->at, s->since_s, &sums));
	}
}

static void
put_pulls(struct link *l, struct link_out *out)
{
	struct link_sync *s = &l->sync;

	while (s->pulls && link_has_room(out, LINK_LINE_MAX)) {
		unsigned int group = (unsigned int)__builtin_ctzll(s->pulls);

		s->pulls &= s->pulls - 1;
		s->progress_age_ns = l->age_ns;
		link_put_line(l, out, link_put_pull(out->at, s->since_s, group, s->differ[group]));
	}
}

void
link_sync_fill(struct link *l, struct link_out *out)
{
	struct link_sync *s = &l->sync;

	if (is_root_due(l, l->age_ns))
		ask(l);
	put_digs(l, out);
	put_pulls(l, out);
	if (is_all_sent(s)) {
		s->say = SAY_DONE;
		if (s->state == SYNC_NAMED)
			s->state = SYNC_CLOSING;
	}
	if (is_all_told(l) && s->say == SAY_NOTHING) {
		s->is_telling_all = false;
		s->say = SAY_DONE;
	}
	put_say(l, out);
}

bool
link_sync_is_walking(const struct link *l)
{
	return l->sync.is_walking;
}

static void
next_walk(struct link_sync *s)
{
	s->is_walking = s->has_later;
	s->has_later = false;
	s->cursor = 0;
	memcpy(s->owed, s->owed_later, sizeof(s->owed));
	memset(s->owed_later, 0, sizeof(s->owed_later));
}

int
link_sync_walk(struct link *l, struct link_out *out, unsigned int max, unsigned int *ret_fixes)
{
	struct link_sync *s = &l->sync;
	struct herd_fix fix;

	*ret_fixes = 0;
	while (*ret_fixes < max && link_has_room(out, LINK_LINE_MAX)) {
		int r = replica_next_of(l->replica, l->peer, s->owed, s->since_s, &s->cursor, WALK_SLOTS,
					l->now_ns, &fix);

		if (r < 0)
			return r;
		s->progress_age_ns = l->age_ns;
		if (r == REPLICA_E_END) {
			next_walk(s);
			return 0;
		}
		if (fix.id_len == 0)
			return 0;
		link_put_fix(l, out, &fix);
		s->lines_out++;
		l->figures.resync_lines++;
		++*ret_fixes;
	}
	return 0;
}
