/*
 * Comparing, as the peer has it: what each of its lines changes. A line out of
 * place changes nothing.
 */
#include "flood/link-private.h"

enum { START_BURST = 8 }; /* of comparisons that the peer begins */

#define SUSPECT_NS     (5 * CLOCK_SECOND_NS)  /* from one difference to the next look */
#define LATE_NS	       (10 * CLOCK_SECOND_NS) /* a fix that old was not in flight */
#define AHEAD_NS       (10 * CLOCK_SECOND_NS) /* of clocks; a question from later on is about nothing */
#define START_EVERY_NS (2 * CLOCK_SECOND_NS)

/* It may begin one now. */
static bool
may_begin(struct link *l)
{
	struct link_sync *s = &l->sync;

	if (s->is_held || (s->is_level && l->age_ns < s->rest_age_ns))
		return false;
	return link_allow(&s->limit, l->age_ns, START_EVERY_NS, START_BURST);
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

	if (sync_is_running(s) || is_about_nothing(l, since_s) || !may_begin(l))
		return link_ignore(l);
	if (s->is_level && sync_is_lagging(l))
		return 0; /* it asks again */
	if (!is_answer && replica_since_s(l->replica, l->now_ns) > since_s) {
		s->say = SAY_ROOT;
		return 0;
	}
	if (!is_answer)
		sync_begin(l, !s->is_level);
	s->since_s = since_s;
	if (digest_root(replica_digest(l->replica), since_s) == sum) {
		s->state = SYNC_IDLE;
		s->say = SAY_SAME;
		s->sum = sum;
		sync_find_equal(l, replica_sequence(l->replica));
	} else {
		sync_begin_exchange(l, SYNC_GAVE);
		s->say = SAY_GRP;
	}
	return 0;
}

/* An answer to our last question: an earlier one may have been dropped for a question of the peer's. */
static int
take_same(struct link *l, int64_t since_s, uint64_t sum)
{
	struct link_sync *s = &l->sync;

	if (s->state != SYNC_ASKED || since_s != s->since_s || sum != s->sum)
		return link_ignore(l);
	s->state = SYNC_IDLE;
	sync_find_equal(l, s->begun_seq);
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
	sync_begin_exchange(l, SYNC_CLOSING);
	l->sync.say = SAY_DONE;
}

static int
take_groups(struct link *l, int64_t since_s, const struct link_sums *sums)
{
	struct link_sync *s = &l->sync;
	const bool is_tie = s->state == SYNC_GAVE && s->named == 0 && !sync_is_first(l);
	uint64_t differ;

	if (sync_is_running(s) && !is_tie)
		return link_ignore(l);
	if (is_about_nothing(l, since_s) || (s->state == SYNC_IDLE && !may_begin(l))) {
		decline(l);
		return link_ignore(l);
	}
	if (s->state == SYNC_IDLE)
		sync_begin(l, !s->is_level);
	s->since_s = since_s;
	differ = differing_groups(l, sums);
	if (differ == 0) {
		decline(l);
		sync_find_equal(l, replica_sequence(l->replica));
	} else if (!s->is_strict && !s->is_suspect) {
		decline(l);
		s->is_suspect = true;
		s->root_age_ns = l->age_ns + SUSPECT_NS;
	} else {
		sync_begin_exchange(l, SYNC_NAMED);
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
		differ &= ~sync_fresh_buckets(l, theirs->group);
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
	sync_become_level(l);
	sync_tell(l, false);
	return 0;
}

static int
take_done(struct link *l)
{
	struct link_sync *s = &l->sync;

	if (s->state == SYNC_GAVE && s->say != SAY_GRP && !s->has_peer_done) {
		s->has_peer_done = true;
		s->progress_age_ns = l->age_ns;
	} else if (s->state == SYNC_CLOSING && s->say != SAY_DONE) {
		s->state = SYNC_IDLE;
		if (!s->named)
			return 0;
		/* It took ours before it said so: it has all we sent. */
		if (s->is_strict)
			sync_settle(l, s->begun_seq);
		sync_finish(l);
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
	case LINK_SAME:
		return take_same(l, line->since_s, line->number);
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
	    l->age_ns - s->parked_age_ns < SYNC_PARKED_NS)
		return;
	digest_part_of(replica_digest(l->replica), fix, &part);
	bucket = digest_part_bucket(&part);
	s->late += s->differ[bucket / DIGEST_BUCKETS] >> bucket % DIGEST_BUCKETS & 1;
}
