/*
 * What a peer says, line by line, as it comes. A fix goes straight from the
 * caller's buffer into the table; nothing is kept of a line that was taken,
 * and one that cannot be taken yet stays with the caller.
 */
#include <errno.h>

#include "core/message.h"
#include "flood/link-private.h"

static int
bad_line(struct link *l, struct text line)
{
	return link_end_text(l, -EPROTO, "a line that makes no sense", line);
}

/* --- verbs ------------------------------------------------------------------ */

static inline uint8_t
copy_text(char *out, struct text t)
{
	memcpy(out, t.at, t.len);
	return (uint8_t)t.len;
}

static int
took_fix(struct link *l, const struct herd_fix *fix, int result)
{
	l->figures.fixes_in++;
	l->figures.duplicates += result == REPLICA_E_OLDER;
	if (result == REPLICA_E_PARKED && l->hooks.parked)
		l->hooks.parked(l->hooks.arg, fix);
	if (l->sync.state >= SYNC_GAVE || l->sync.is_awaiting_all || result == REPLICA_E_PARKED)
		link_sync_took_fix(l, fix, result);
	return 0;
}

static int
take_fix(struct link *l, struct text line)
{
	struct message_at at;
	struct herd_fix fix;
	int r;

	if (!message_parse_at(line, &at))
		return bad_line(l, line);
	fix.rx_ns = at.rx_ns;
	fix.id_len = copy_text(fix.id, at.id);
	fix.location_len = copy_text(fix.location, at.location);
	fix.time_len = copy_text(fix.time, at.time);
	fix.server_len = copy_text(fix.server, at.server);
	r = replica_merge(l->replica, l->peer, &fix, l->now_ns);
	if (r == REPLICA_E_BUSY)
		return LINK_E_BUSY;
	if (r == -EINVAL)
		return link_ignore(l);
	if (r < 0)
		return link_end(l, r, "the fix table of this host cannot be used");
	return took_fix(l, &fix, r);
}

static int
take_seq(struct link *l, uint64_t seq, bool is_asked)
{
	if (l->has_seq && seq < l->seq_in)
		return link_end(l, -EPROTO, "a SEQ that goes back");
	l->seq_in = seq;
	l->has_seq = true;
	l->has_ack |= seq > l->acked;
	l->is_asked |= is_asked && seq > l->acked;
	link_remember(l);
	return 0;
}

static int
take_ack(struct link *l, uint64_t seq)
{
	if (seq > l->seq_out)
		return link_end(l, -EPROTO, "an ACK of what was not sent");
	if (seq <= l->acknowledged)
		return link_ignore(l);
	l->acknowledged = seq;
	replica_acknowledge(l->replica, l->peer, seq);
	return 0;
}

static int
take_pong(struct link *l, uint64_t number)
{
	int64_t rtt_ns;

	/* Only one who read the last PING knows it. Of earlier ones there may be answers, too. */
	if (l->pongs_due > 1 && number != l->ping) {
		l->pongs_due--;
		return 0;
	}
	if (l->pongs_due == 0 || number != l->ping)
		return link_ignore(l);
	l->pongs_due = 0;
	rtt_ns = l->age_ns - l->ping_age_ns;
	if (l->rtt_ns >= 0 && (l->rtt_least_ns < 0 || rtt_ns < l->rtt_least_ns))
		l->rtt_least_ns = rtt_ns < l->rtt_ns ? rtt_ns : l->rtt_ns;
	l->rtt_ns = rtt_ns;
	link_sync_ponged(l);
	return 0;
}

int
link_take_bye(struct link *l, struct text reason)
{
	l->was_bye_heard = true;
	return link_end_text(l, -ECONNRESET, "the peer said BYE", reason);
}

static int
take_verb(struct link *l, const struct link_line *line)
{
	switch (line->verb) {
	case LINK_SEQ:
	case LINK_ASK:
		return take_seq(l, line->number, line->verb == LINK_ASK);
	case LINK_ACK:
		return take_ack(l, line->number);
	case LINK_PING:
		/* However many came: only the last is answered. */
		l->pong = line->number;
		l->has_pong = true;
		return 0;
	case LINK_PONG:
		return take_pong(l, line->number);
	case LINK_NAME:
		(void)names_learn(l->names, line->name.server, line->name.host_id, line->name.boot_s,
				  l->now_ns);
		return 0;
	case LINK_RESUME:
		return link_take_resume(l, line);
	case LINK_HERD:
		return link_end(l, -EPROTO, "a second HERD line");
	case LINK_BYE:
		return link_take_bye(l, line->reason);
	default:
		return link_sync_take(l, line);
	}
}

/* --- lines ------------------------------------------------------------------- */

static bool
begins_with(struct text line, struct text with)
{
	return line.len >= with.len && memcmp(line.at, with.at, with.len) == 0;
}

/* With its LF, or of one whose LF is still to come. */
static bool
is_too_long(const struct link *l, struct text line, size_t len)
{
	if (len <= LINK_LINE_MAX)
		return false;
	return len > LINK_LONG_LINE_MAX || l->state == LINK_GREETING ||
	       !(begins_with(line, TEXT("GRP ")) || begins_with(line, TEXT("DIG ")));
}

static int
take_other(struct link *l, struct text line)
{
	struct link_line parsed;
	int r = link_line_parse(line, &parsed);

	if (r == LINK_LINE_E_UNKNOWN && l->is_newer)
		return link_ignore(l);
	if (r == LINK_LINE_E_UNKNOWN)
		return link_end_text(l, -EPROTO, "a line of an unknown kind", line);
	if (r != 0)
		return bad_line(l, line);
	if (!l->has_resumed && parsed.verb != LINK_RESUME && parsed.verb != LINK_BYE)
		return link_end_text(l, -EPROTO, "the second line is no RESUME line", line);
	return take_verb(l, &parsed);
}

static int
take_line(struct link *l, struct text line)
{
	if (is_too_long(l, line, line.len + 1))
		return link_end_text(l, -EPROTO, "a line that is too long", line);
	if (l->state == LINK_GREETING)
		return link_take_hello(l, line);
	if (l->has_resumed && begins_with(line, TEXT("AT ")))
		return take_fix(l, line);
	return take_other(l, line);
}

int
link_take(struct link *l, const char *data, size_t len, size_t *ret_taken, int64_t now_ns)
{
	const char *at = data, *end = data + len;
	int r = 0;

	link_pass(l, now_ns);
	*ret_taken = 0;
	if (l->state == LINK_ENDED)
		return l->error;
	if (len > l->left)
		l->heard_age_ns = l->age_ns;
	while (at < end && r == 0) {
		struct text line = {at, (size_t)(end - at)};
		const char *lf = memchr(at, '\n', line.len);

		if (!lf) {
			if (is_too_long(l, line, line.len + 1))
				r = link_end_text(l, -EPROTO, "a line that is too long", line);
			break;
		}
		line.len = (size_t)(lf - at);
		r = take_line(l, line);
		if (r == LINK_E_BUSY)
			break;
		l->figures.lines_in++;
		at = lf + 1;
	}
	*ret_taken = (size_t)(at - data);
	l->figures.bytes_in += *ret_taken;
	l->left = len - *ret_taken;
	return r;
}
