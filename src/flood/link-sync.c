/*
 * Comparing what two hosts hold: see link.h for the lines.
 *
 * Whoever asks by ROOT may be answered by ROOT, DONE or GRP. GRP begins an
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

enum {
	START_BURST = 8,   /* of comparisons that the peer begins */
	WALK_SLOTS = 4096, /* looked at without finding a fix, in one turn */
	REST_SHARE = 4,
	SMALL_ROOM = 128, /* for a SEQ, and a ROOT or DONE */
};

#define FRESH_NS	(3 * CLOCK_SECOND_NS)
#define SUSPECT_NS	(5 * CLOCK_SECOND_NS)  /* from one difference to the next look */
#define LAG_NS		(2 * CLOCK_SECOND_NS)  /* behind by more than this, a comparison finds only that */
#define POSTPONE_NS	(10 * CLOCK_SECOND_NS) /* it, then */
#define OTHER_STARTS_NS (5 * CLOCK_SECOND_NS)  /* one side starts; if it does not, the other */
#define RETRY_NS	(15 * CLOCK_SECOND_NS) /* while not level */
#define AGAIN_NS	CLOCK_SECOND_NS
#define STALL_NS	(60 * CLOCK_SECOND_NS)
#define REST_MIN_NS	(2 * CLOCK_SECOND_NS)
#define REST_MAX_NS	(60 * CLOCK_SECOND_NS)
#define LATE_NS		(10 * CLOCK_SECOND_NS) /* a fix that old was not in flight */
#define AHEAD_NS	(10 * CLOCK_SECOND_NS) /* of clocks; a question from later on is about nothing */
#define PARKED_NS	(200 * CLOCK_SECOND_NS) /* how long a fix that was parked may take to be offered again */
#define START_EVERY_NS	(2 * CLOCK_SECOND_NS)

static bool
is_running(const struct link_sync *s)
{
	return s->state >= SYNC_GAVE;
}

/* The one of two that goes first where both could. */
static bool
is_first(const struct link *l)
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

static void
plan_root(struct link *l)
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
	s->parked_age_ns = -PARKED_NS;
	s->is_awaiting_all = !l->is_comparable && !s->is_level;
	if (s->is_level)
		plan_root(l);
	else
		s->root_age_ns = l->age_ns + (is_first(l) ? 0 : OTHER_STARTS_NS);
}

/* A new one, of which this side is told or that it asks for. */
static void
begin(struct link *l, bool is_strict)
{
	struct link_sync *s = &l->sync;

	s->is_strict = is_strict;
	s->begun_age_ns = s->progress_age_ns = l->age_ns;
	s->begun_seq = replica_sequence(l->replica);
	s->lines_in = s->lines_out = s->buckets = s->late = 0;
}

/* Both GRP sides start here. */
static void
begin_exchange(struct link *l, enum link_sync_state state)
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

static void
tell(struct link *l, bool diverged)
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

static void
become_level(struct link *l)
{
	l->sync.is_level = true;
	l->sync.is_wanted = false;
	l->is_memorable = true;
	link_remember(l);
}

static void
settle(struct link *l, uint64_t seq)
{
	l->sync.is_settled = true;
	replica_settle(l->replica, l->peer, seq);
}

/* Nothing differs; the peer has all that was here at change `seq`. */
static void
find_equal(struct link *l, uint64_t seq)
{
	const bool was_level = l->sync.is_level;

	if (!l->sync.is_settled)
		settle(l, seq);
	l->sync.is_suspect = false;
	become_level(l);
	plan_root(l);
	if (!was_level)
		tell(l, false);
}

/* Both have said DONE. */
static void
finish(struct link *l)
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
	become_level(l);
	plan_root(l);
	if (!was_level || s->late > 0)
		tell(l, was_level);
	else if (s->buckets > 0)
		s->last = (struct link_resync){
			l->now_ns, l->age_ns - s->begun_age_ns, s->lines_in, s->lines_out, s->buckets, false};
}

void
link_sync_tick(struct link *l)
{
	struct link_sync *s = &l->sync;

	if (!is_running(s) || l->age_ns - s->progress_age_ns < STALL_NS)
		return;
	begin_exchange(l, SYNC_IDLE);
	plan_root(l);
}

void
link_sync_ponged(struct link *l)
{
	struct link_sync *s = &l->sync;

	if (s->settle_ping == 0 || l->pings < s->settle_ping)
		return;
	s->settle_ping = 0;
	settle(l, s->settle_seq);
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
	s->is_wanted = !is_running(s);
}

bool
link_is_comparing(const struct link *l)
{
	const struct link_sync *s = &link_check_const(l)->sync;

	if (l->state != LINK_UP)
		return false;
	return is_running(s) || (s->is_wanted && l->is_comparable) || s->is_awaiting_all ||
	       (!s->is_level && !s->is_held);
}

/* --- what the peer says --------------------------------------------------------- */

/* It may begin one now. */
static bool
may_begin(struct link *l)
{
	struct link_sync *s = &l->sync;

	if (s->is_held || (s->is_level && l->age_ns < s->rest_age_ns))
		return false;
	return link_allow(&s->limit, l->age_ns, START_EVERY_NS, START_BURST);
}

static bool
is_lagging(struct link *l)
{
	return replica_lag_ns(l->replica, l->peer, l->now_ns) > LAG_NS;
}

/* Nothing was received since then: the sums are equal, and prove nothing. */
static bool
is_about_nothing(const struct link *l, int64_t since_s)
{
	return since_s > (l->now_ns + AHEAD_NS) / CLOCK_SECOND_NS;
}

/* A later question than ours is the answer to ours: compare from there. Else it is a question. */
static int
take_root(struct link *l, int64_t since_s, uint64_t sum)
{
	struct link_sync *s = &l->sync;
	const bool is_answer = s->state == SYNC_ASKED && since_s > s->since_s;

	if (is_running(s) || is_about_nothing(l, since_s) || !may_begin(l))
		return link_ignore(l);
	if (s->is_level && is_lagging(l))
		return 0; /* it asks again */
	if (!is_answer && replica_since_s(l->replica, l->now_ns) > since_s) {
		s->say = SAY_ROOT;
		return 0;
	}
	if (!is_answer)
		begin(l, !s->is_level);
	s->since_s = since_s;
	if (digest_root(replica_digest(l->replica), since_s) == sum) {
		s->state = SYNC_IDLE;
		s->say = SAY_DONE;
		find_equal(l, replica_sequence(l->replica));
	} else {
		begin_exchange(l, SYNC_GAVE);
		s->say = SAY_GRP;
	}
	return 0;
}

static uint64_t
differing_groups(struct link *l, const struct link_sums *theirs)
{
	uint64_t ours[DIGEST_GROUPS], differ = 0;

	digest_groups(replica_digest(l->replica), l->sync.since_s, ours);
	for (unsigned int i = 0; i < DIGEST_GROUPS; i++)
		differ |= (uint64_t)(ours[i] != theirs->sum[i]) << i;
	return differ;
}

/* Says DONE without having named a group: equal, or not worth an exchange. */
static void
decline(struct link *l)
{
	begin_exchange(l, SYNC_CLOSING);
	l->sync.say = SAY_DONE;
}

static int
take_groups(struct link *l, int64_t since_s, const struct link_sums *sums)
{
	struct link_sync *s = &l->sync;
	const bool is_tie = s->state == SYNC_GAVE && s->named == 0 && !is_first(l);
	uint64_t differ;

	if ((is_running(s) && !is_tie) || is_about_nothing(l, since_s) ||
	    (s->state == SYNC_IDLE && !may_begin(l)))
		return link_ignore(l);
	if (s->state == SYNC_IDLE)
		begin(l, !s->is_level);
	s->since_s = since_s;
	differ = differing_groups(l, sums);
	if (differ == 0) {
		decline(l);
		find_equal(l, replica_sequence(l->replica));
	} else if (!s->is_strict && !s->is_suspect) {
		decline(l);
		s->is_suspect = true;
		s->root_age_ns = l->age_ns + SUSPECT_NS;
	} else {
		begin_exchange(l, SYNC_NAMED);
		s->digs = s->named = differ;
		s->pulls_due = (unsigned int)__builtin_popcountll(differ);
		replica_forget(l->replica, l->peer);
	}
	return 0;
}

/* These differ: their fixes are owed, each once. */
static void
add_buckets(struct link *l, unsigned int group, uint64_t bits)
{
	struct link_sync *s = &l->sync;

	bits &= ~s->differ[group];
	if (!bits)
		return;
	s->differ[group] |= bits;
	s->buckets += (uint64_t)__builtin_popcountll(bits);
	if (s->is_walking) {
		s->owed_later[group] |= bits;
		s->has_later = true;
		return;
	}
	s->owed[group] |= bits;
	s->is_walking = true;
	s->cursor = 0;
}

/* Its bits of those that just changed here. */
static uint64_t
fresh_buckets(struct link *l, unsigned int group)
{
	uint64_t fresh = 0;

	for (unsigned int i = 0; i < DIGEST_BUCKETS; i++)
		if (replica_bucket_is_fresh(l->replica, group * DIGEST_BUCKETS + i, l->now_ns, FRESH_NS))
			fresh |= UINT64_C(1) << i;
	return fresh;
}

static int
take_buckets(struct link *l, int64_t since_s, const struct link_sums *theirs)
{
	struct link_sync *s = &l->sync;
	const uint64_t bit = UINT64_C(1) << theirs->group;
	uint64_t ours[DIGEST_BUCKETS], differ = 0;

	if (s->state != SYNC_GAVE || s->say == SAY_GRP || s->has_peer_done || since_s != s->since_s ||
	    (s->named & bit))
		return link_ignore(l);
	if (!s->named)
		replica_forget(l->replica, l->peer);
	s->named |= bit;
	s->pulls |= bit;
	s->progress_age_ns = l->age_ns;
	digest_buckets(replica_digest(l->replica), since_s, theirs->group, ours);
	for (unsigned int i = 0; i < DIGEST_BUCKETS; i++)
		differ |= (uint64_t)(ours[i] != theirs->sum[i]) << i;
	differ &= ~theirs->fresh;
	if (!s->is_strict)
		differ &= ~fresh_buckets(l, theirs->group);
	add_buckets(l, theirs->group, differ);
	return 0;
}

static int
take_pull(struct link *l, const struct link_line *line)
{
	struct link_sync *s = &l->sync;

	if (s->state != SYNC_NAMED || s->pulls_due == 0 || line->since_s != s->since_s)
		return link_ignore(l);
	for (unsigned int i = 0; i < line->pull.count; i++)
		if (!(s->named >> line->pull.bucket[i] / DIGEST_BUCKETS & 1))
			return link_ignore(l);
	for (unsigned int i = 0; i < line->pull.count; i++)
		add_buckets(l, line->pull.bucket[i] / DIGEST_BUCKETS,
			    UINT64_C(1) << line->pull.bucket[i] % DIGEST_BUCKETS);
	s->pulls_due--;
	s->progress_age_ns = l->age_ns;
	return 0;
}

/* Of hosts that cannot compare: it has told everything. */
static int
take_all_done(struct link *l)
{
	if (!l->sync.is_awaiting_all)
		return link_ignore(l);
	l->sync.is_awaiting_all = false;
	become_level(l);
	tell(l, false);
	return 0;
}

static int
take_done(struct link *l)
{
	struct link_sync *s = &l->sync;

	if (s->state == SYNC_ASKED) {
		s->state = SYNC_IDLE;
		find_equal(l, s->begun_seq);
	} else if (s->state == SYNC_GAVE && s->say != SAY_GRP && !s->has_peer_done) {
		s->has_peer_done = true;
		s->progress_age_ns = l->age_ns;
	} else if (s->state == SYNC_CLOSING && s->say != SAY_DONE) {
		s->state = SYNC_IDLE;
		if (!s->named)
			return 0;
		/* It took ours before it said so: it has all we sent. */
		if (s->is_strict)
			settle(l, s->begun_seq);
		finish(l);
	} else {
		return link_ignore(l);
	}
	return 0;
}

int
link_sync_take(struct link *l, const struct link_line *line)
{
	if (!l->is_comparable)
		return line->verb == LINK_DONE ? take_all_done(l) : link_ignore(l);
	switch (line->verb) {
	case LINK_ROOT:
		return take_root(l, line->since_s, line->number);
	case LINK_GRP:
		return take_groups(l, line->since_s, &line->sums);
	case LINK_DIG:
		return take_buckets(l, line->since_s, &line->sums);
	case LINK_PULL:
		return take_pull(l, line);
	case LINK_DONE:
		return take_done(l);
	default:
		return link_ignore(l);
	}
}

void
link_sync_took_fix(struct link *l, const struct herd_fix *fix, int result)
{
	struct link_sync *s = &l->sync;
	struct digest_part part;
	unsigned int bucket;

	s->lines_in++;
	s->progress_age_ns = l->age_ns;
	if (result == REPLICA_E_PARKED)
		s->parked_age_ns = l->age_ns;
	/* One that was parked comes late by design. */
	if (result != 0 || s->is_strict || s->is_awaiting_all || fix->rx_ns > l->now_ns - LATE_NS ||
	    l->age_ns - s->parked_age_ns < PARKED_NS)
		return;
	digest_part_of(replica_digest(l->replica), fix, &part);
	bucket = digest_part_bucket(&part);
	s->late += s->differ[bucket / DIGEST_BUCKETS] >> bucket % DIGEST_BUCKETS & 1;
}

/* --- what we say ---------------------------------------------------------------- */

static bool
is_root_due(const struct link *l, int64_t age_ns)
{
	const struct link_sync *s = &l->sync;

	return l->is_comparable && !s->is_held && !is_running(s) && s->say == SAY_NOTHING &&
	       (s->is_wanted || age_ns >= s->root_age_ns);
}

static void
ask(struct link *l)
{
	struct link_sync *s = &l->sync;

	if (s->is_level && !s->is_wanted && is_lagging(l)) {
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

	begin(l, !s->is_level || s->is_wanted);
	s->is_wanted = false;
	s->state = SYNC_ASKED;
	s->since_s = replica_since_s(l->replica, l->now_ns);
	plan_root(l);
	link_put_line(
		l, out,
		link_put_root(out->at, s->since_s, digest_root(replica_digest(l->replica), s->since_s)));
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
		plan_root(l);
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
	finish(l);
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
			sums.fresh = fresh_buckets(l, sums.group);
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
