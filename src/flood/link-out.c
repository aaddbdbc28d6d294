/*
 * What a link has to say, as far as there is room. Nothing waits in a queue:
 * what is to be said is either a flag or number of the link's, or lies in the
 * list of changes or the table until there is room for it. So a peer that
 * does not read costs nothing, and gets only the newest of each.
 *
 * Live changes and the fixes of a comparison take turns.
 */
#include <errno.h>

#include "core/message.h"
#include "flood/link-private.h"

enum {
	TURN_FIXES = 32,   /* of each kind, taking turns */
	SEQ_FIXES = 256,   /* at most without a SEQ */
	NAMES_A_FILL = 64, /* at most, before any fix */
	SEQ_ROOM = 32,
	WALKS_A_FILL = 16, /* turns without a single fix: see link_sync_walk() */
	HOLD_SHARE = 3,	   /* of an rtt */
};

#define HOLD_RTT_MIN_NS CLOCK_MSEC_NS
#define HOLD_MAX_NS	(50 * CLOCK_MSEC_NS)

bool
link_has_room(const struct link_out *out, size_t bytes)
{
	return (size_t)(out->end - out->at) >= bytes;
}

void
link_put_line(struct link *l, struct link_out *out, char *end)
{
	l->figures.lines_out++;
	out->at = end;
}

/* Somebody here waits for what the peer was told, which it was not asked about. */
static bool
is_ask_due(const struct link *l, uint64_t told)
{
	return l->can_ask && l->asked < told && l->acknowledged < told && replica_is_waited_for(l->replica);
}

/* Always true: the cursor passes a change only when its fix was given out. */
void
link_put_seq(struct link *l, struct link_out *out)
{
	const uint64_t passed = replica_passed(l->replica, l->peer);
	const uint64_t told = passed > l->seq_out ? passed : l->seq_out;
	const bool asks = is_ask_due(l, told);

	l->fixes_since_seq = 0;
	if (l->was_seq_said && passed <= l->seq_out && !asks)
		return;
	l->was_seq_said = true;
	l->seq_out = told;
	if (asks)
		l->asked = told;
	link_put_line(l, out, link_put_number(out->at, asks ? LINK_ASK : LINK_SEQ, told));
}

void
link_put_fix(struct link *l, struct link_out *out, const struct herd_fix *fix)
{
	link_put_line(l, out, message_put_fix(out->at, fix));
	l->figures.fixes_out++;
}

/* --- small lines --------------------------------------------------------------- */

static void
fill_bye(struct link *l, struct link_out *out)
{
	if (!l->has_bye || !link_has_room(out, LINK_LINE_MAX))
		return;
	l->has_bye = false;
	if (l->error != -ECONNRESET) /* it was the peer who said it */
		link_put_line(l, out, link_put_bye(out->at, l->why));
}

static void
fill_hello(struct link *l, struct link_out *out)
{
	if (!l->was_hello_said) {
		l->was_hello_said = true;
		link_put_line(l, out, link_put_hello(out->at, l->self));
	}
	if (l->state == LINK_UP && !l->was_resume_said) {
		l->was_resume_said = true;
		link_put_line(l, out,
			      l->resumes_in ? link_put_resume(out->at, l->incarnation, l->resume_seq)
					    : link_put_resume(out->at, 0, 0));
	}
}

static bool
is_ack_due(const struct link *l, int64_t age_ns)
{
	return l->has_ack && (l->is_asked || age_ns - l->ack_age_ns >= LINK_ACK_NS);
}

static void
put_ping(struct link *l, struct link_out *out)
{
	const uint64_t count = ++l->pings;

	l->has_ping = false;
	l->ping = hash_siphash13(&l->ping_key, &count, sizeof(count)) >> 1 | 1;
	l->ping_age_ns = l->age_ns;
	l->pongs_due++;
	link_put_line(l, out, link_put_number(out->at, LINK_PING, l->ping));
}

static void
fill_small(struct link *l, struct link_out *out)
{
	if (l->has_pong) {
		l->has_pong = false;
		link_put_line(l, out, link_put_number(out->at, LINK_PONG, l->pong));
	}
	if (is_ack_due(l, l->age_ns)) {
		l->has_ack = l->is_asked = false;
		l->acked = l->seq_in;
		l->ack_age_ns = l->age_ns;
		link_put_line(l, out, link_put_number(out->at, LINK_ACK, l->acked));
	}
	if (l->has_ping)
		put_ping(l, out);
}

static void
fill_names(struct link *l, struct link_out *out)
{
	struct link_name name;

	for (int i = 0; i < NAMES_A_FILL && link_has_room(out, LINK_LINE_MAX); i++) {
		if (!names_next(l->names, &l->names_cursor, &name.server, name.host_id, &name.boot_s))
			return;
		link_put_line(l, out, link_put_name(out->at, &name));
	}
}

/* --- patience --------------------------------------------------------------------- */

/* Two hosts that have heard the same from others tell it each other, both, if it takes longer from one to the other than
   they heard it apart: nearly all of them, in a large herd whose links differ. So one end of each link waits a moment,
   and may hear from the other what it need not say then. Which one is up to both ids, so that each host has links of
   both kinds. Near links do not wait: there, copies cost less than time. It is the least rtt that counts: the others say
   how busy the hosts are, and who is busy should not be slow as well. */
static int64_t
hold_ns(const struct link *l)
{
	const bool is_patient = sync_is_first(l) == ((l->self->host_id[0] ^ l->host_id[0]) & 1);
	const int64_t ns = l->rtt_least_ns / HOLD_SHARE;

	if (!is_patient || l->rtt_least_ns < HOLD_RTT_MIN_NS)
		return 0;
	return ns < HOLD_MAX_NS ? ns : HOLD_MAX_NS;
}

/* What is new came from peers only, and a moment ago; and nobody here waits for it to be told. */
static bool
is_waiting(const struct link *l, int64_t age_ns)
{
	return l->is_held && age_ns - l->held_age_ns < hold_ns(l) &&
	       replica_own_sequence(l->replica) <= replica_passed(l->replica, l->peer) &&
	       !replica_is_waited_for(l->replica);
}

static bool
must_wait(struct link *l)
{
	if (!l->is_held && replica_has_next(l->replica, l->peer)) {
		l->is_held = true;
		l->held_age_ns = l->age_ns;
	}
	return is_waiting(l, l->age_ns);
}

/* --- fixes ----------------------------------------------------------------------- */

/* Live changes. */
static int
fill_changes(struct link *l, struct link_out *out, unsigned int max, unsigned int *ret_fixes)
{
	struct herd_fix fix;
	int r = 0;

	*ret_fixes = 0;
	if (must_wait(l))
		return 0;
	for (*ret_fixes = 0; *ret_fixes < max && link_has_room(out, 2 * LINK_LINE_MAX); ++*ret_fixes) {
		r = replica_next(l->replica, l->peer, l->now_ns, &fix);
		if (r != 0)
			break;
		link_put_fix(l, out, &fix);
		if (++l->fixes_since_seq >= SEQ_FIXES)
			link_put_seq(l, out);
	}
	l->is_held = r != REPLICA_E_END;
	return r == REPLICA_E_END ? 0 : r;
}

static int
fill_fixes(struct link *l, struct link_out *out)
{
	unsigned int fixes, owed, empty = 0;
	bool has_changes = true;
	int r;

	do {
		fixes = owed = 0;
		if (has_changes) {
			r = fill_changes(l, out, TURN_FIXES, &fixes);
			if (r < 0)
				return r;
			/* At its end: nothing more of these in this fill. */
			has_changes = fixes == TURN_FIXES;
		}
		if (link_sync_is_walking(l)) {
			r = link_sync_walk(l, out, TURN_FIXES, &owed);
			if (r < 0)
				return r;
			empty += owed == 0;
		}
	} while (link_has_room(out, 2 * LINK_LINE_MAX) && empty < WALKS_A_FILL &&
		 (has_changes || link_sync_is_walking(l)));
	return 0;
}

static void
fill_all(struct link *l, struct link_out *out)
{
	int r;

	fill_small(l, out);
	if (!l->has_resumed)
		return;
	link_sync_fill(l, out);
	fill_names(l, out);
	r = fill_fixes(l, out);
	if (r < 0) {
		(void)link_end(l, r, "the fix table of this host cannot be used");
		return;
	}
	if (link_has_room(out, SEQ_ROOM) && (l->was_seq_said || replica_passed(l->replica, l->peer) > 0))
		link_put_seq(l, out);
	link_sync_fill(l, out); /* all that was owed may be out */
	if (l->has_ping && link_has_room(out, LINK_LINE_MAX))
		put_ping(l, out);
}

size_t
link_fill(struct link *l, char *out, size_t room, int64_t now_ns)
{
	struct link_out to = {out, out + room};

	link_pass(l, now_ns);
	if (room < LINK_LONG_LINE_MAX)
		return 0;
	if (l->state != LINK_ENDED) {
		fill_hello(l, &to);
		if (l->state == LINK_UP)
			fill_all(l, &to);
	}
	if (l->state == LINK_ENDED)
		fill_bye(l, &to);
	l->figures.bytes_out += (size_t)(to.at - out);
	return (size_t)(to.at - out);
}

static bool
has_names(const struct link *l)
{
	uint64_t cursor = l->names_cursor;
	struct link_name name = {0};

	return names_next(l->names, &cursor, &name.server, name.host_id, &name.boot_s);
}

bool
link_wants_out(const struct link *l, int64_t now_ns)
{
	const int64_t age_ns = link_age_at(link_check_const(l), now_ns);

	if (l->state == LINK_ENDED)
		return l->has_bye && l->error != -ECONNRESET;
	if (!l->was_hello_said)
		return true;
	if (l->state == LINK_GREETING)
		return false;
	if (!l->was_resume_said || l->has_pong || l->has_ping || is_ack_due(l, age_ns))
		return true;
	if (!l->has_resumed)
		return false;
	return (replica_has_next(l->replica, l->peer) && !is_waiting(l, age_ns)) || link_sync_is_walking(l) ||
	       link_sync_has_lines(l, age_ns) || replica_passed(l->replica, l->peer) > l->seq_out ||
	       is_ask_due(l, l->seq_out) || has_names(l);
}

int64_t
link_waits_ns(const struct link *l, int64_t now_ns)
{
	const int64_t age_ns = link_age_at(link_check_const(l), now_ns);

	if (l->state != LINK_UP || !l->has_resumed || !replica_has_next(l->replica, l->peer) ||
	    !is_waiting(l, age_ns))
		return 0;
	return l->held_age_ns + hold_ns(l) - age_ns;
}
