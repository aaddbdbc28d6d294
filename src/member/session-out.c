/*
 * What a session sends: replies in the order of the commands, as much as the
 * client takes, one send for all of a turn, and after everybody's turn.
 */
#include "member/session-private.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "member/confirm.h"

/* --- out --------------------------------------------------------------------- */

/* 0, -EAGAIN: the client does not take it now; other negative errno: it is gone. */
static int
send_some(int fd, const char *bytes, size_t len, size_t *ret_sent)
{
	size_t sent = 0;
	int r = 0;

	while (sent < len && r == 0) {
		ssize_t n = send(fd, bytes + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno != EINTR)
			r = errno == EWOULDBLOCK ? -EAGAIN : -errno;
	}
	*ret_sent = sent;
	return r;
}

int
session_flush(struct session *s)
{
	size_t sent;
	int r;

	if (s->out.len == 0)
		return 0;
	r = send_some(session_fd(s), s->out.bytes, s->out.len, &sent);
	if (sent > 0)
		s->sent_ns = s->member->now_ns;
	buffer_consume(&s->out, sent);
	if (s->out.len == 0)
		buffer_done(&s->out);
	return r == -EAGAIN ? 0 : r;
}

/* Sends; what the client does not take becomes the session's own. */
static int
session_send(struct session *s, struct text bytes)
{
	size_t sent = 0;
	int r = 0;

	if (s->out.len == 0)
		r = send_some(session_fd(s), bytes.at, bytes.len, &sent);
	if (r == 0 && sent == bytes.len)
		return 0;
	if (s->out.len == 0)
		s->sent_ns = s->member->now_ns;
	if (r == 0 || r == -EAGAIN)
		r = buffer_append(&s->out, (struct text){bytes.at + sent, bytes.len - sent});
	return r < 0 ? r : 0;
}

int
session_send_kept(struct session *s)
{
	struct member *m = s->member;
	struct text kept = {m->turn.bytes + s->turn_at, s->turn_len};

	if (s->turn_len == 0)
		return 0;
	TAILQ_REMOVE(&m->sending, s, in_turn);
	s->turn_len = 0;
	return session_send(s, kept);
}

/* Sends what stands in the shared output. */
static int
session_send_output(struct session *s)
{
	struct buffer *output = &s->member->output;
	int r;

	if (output->len == 0)
		return 0;
	r = session_send_kept(s);
	if (r == 0)
		r = session_send(s, (struct text){output->bytes, output->len});
	output->len = 0;
	return r;
}

/*
 * Keeps what stands in the shared output until all sessions had their turn. A
 * send wakes whoever waits for it, which costs more than a dozen commands; a
 * client with many connections that is woken by the first reply finds the
 * others on their way, and asks again with all of them at once.
 */
int
session_keep_output(struct session *s)
{
	struct member *m = s->member;
	size_t at = m->turn.len;

	if (m->output.len == 0)
		return 0;
	if (s->out.len > 0 || s->turn_len > 0 ||
	    buffer_append(&m->turn, (struct text){m->output.bytes, m->output.len}) < 0)
		return session_send_output(s);
	s->turn_at = at;
	s->turn_len = m->output.len;
	m->output.len = 0;
	TAILQ_INSERT_TAIL(&m->sending, s, in_turn);
	return 0;
}

/* --- replies that wait --------------------------------------------------------- */

void
session_queue_ready(struct session *s, const struct reply *reply)
{
	s->pending--;
	s->queued += reply->bytes.len;
	if (s->store == reply)
		s->store = NULL;
}

/* Whether it can go out. Peers confirm many replies at once: all of them go out with the first. */
static bool
queue_takes(struct session *s, struct reply *reply)
{
	if (reply->state == REPLY_FOR_PEERS && confirm_is_over(reply)) {
		reply_take(reply);
		session_queue_ready(s, reply);
	}
	return reply->state == REPLY_READY;
}

int
session_queue_drain(struct session *s)
{
	struct reply *reply;
	int r = session_send_kept(s);

	while (r == 0 && (reply = TAILQ_FIRST(&s->queue)) && queue_takes(s, reply)) {
		if (s->out.len == 0)
			s->sent_ns = s->member->now_ns;
		r = buffer_append(&s->out, (struct text){reply->bytes.bytes, reply->bytes.len});
		TAILQ_REMOVE(&s->queue, reply, in_order);
		s->queued -= reply->bytes.len;
		reply_free(reply);
	}
	return r;
}

void
session_queue(struct session *s, struct reply *reply)
{
	reply->ready = session_on_reply;
	reply->owner = s;
	s->pending++;
	if (reply->state == REPLY_FOR_STORE)
		s->store = reply;
	TAILQ_INSERT_TAIL(&s->queue, reply, in_order);
}
