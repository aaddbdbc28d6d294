/*
 * Session: read much, answer it all, send once, and after everybody's turn.
 *
 * session-in.c reads and answers, session-out.c sends; here is what happens
 * when: events, deadlines, the beginning and the end of a connection.
 */
#include "member/session-private.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "herd/events.h"
#include "member/crowd.h"

enum {
	SESSION_MAGIC = 0x73657373, /* "sess" */
};

static struct session *
session_check(void *arg)
{
	struct session *s = arg;

	assert(s->magic == SESSION_MAGIC);
	return s;
}

/* --- the end ---------------------------------------------------------------- */

void
session_free(struct session *s)
{
	struct member *m = s->member;
	int fd = session_fd(s);
	struct reply *reply;

	while ((reply = TAILQ_FIRST(&s->queue))) {
		TAILQ_REMOVE(&s->queue, reply, in_order);
		reply_free(reply);
	}
	event_del(&s->readable);
	event_del(&s->writable);
	close(fd);
	buffer_done(&s->in);
	buffer_done(&s->out);
	if (s->turn_len > 0)
		TAILQ_REMOVE(&m->sending, s, in_turn);
	TAILQ_REMOVE(&m->sessions, s, in_member);
	m->session_count--;
	member_count(m, TABLE_COUNTER_connections, -1);
	crowd_leave(m->crowd, s->address);
	s->magic = 0;
	free(s);
}

const char *
session_peer(int fd, char out[ADDRESS_TEXT_MAX])
{
	struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(peer);

	(void)getpeername(fd, (struct sockaddr *)&peer, &len); /* fails after a reset: "?" */
	return address_format((struct sockaddr *)&peer, out);
}

static void
session_drop(struct session *s, const char *why)
{
	static struct log_limit limit = LOG_LIMIT("connections dropped", 10, 10);
	char peer[ADDRESS_TEXT_MAX];

	member_count(s->member, TABLE_COUNTER_dropped, 1);
	if (log_enabled(LOG_INFO) && log_limit_allow(&limit, s->member->now_ns))
		log_event(LOG_INFO, MSG_CONNECTION_DROPPED,
			  LOG_FIELDS("HERD_REASON=%s", why, "HERD_CLIENT=%s",
				     session_peer(session_fd(s), peer)),
			  "Dropped the connection of %s: %s", session_peer(session_fd(s), peer), why);
	session_free(s);
}

/* --- events ------------------------------------------------------------------------ */

static void
set_interest(struct event *event, bool *on, bool wanted)
{
	if (wanted != *on)
		*on = (wanted ? event_add(event, NULL) : event_del(event)) == 0 ? wanted : *on;
}

static void
session_arm(struct session *s)
{
	set_interest(&s->readable, &s->reading, !s->ended && !s->leaving && !s->more && !session_is_full(s));
	/* A client that can be written to comes up in the loop's next turn: just when the rest is due. */
	set_interest(&s->writable, &s->writing, s->out.len > 0 || s->more);
}

/* After a turn: ends it, or waits for what comes next. */
static void
session_settle(struct session *s, int r)
{
	struct member *m = s->member;

	if (r < 0)
		session_drop(s, r == -ECONNRESET || r == -EPIPE ? "closed by the client" : strerror(-r));
	else if (s->ended && s->in.len == 0 && s->out.len + s->turn_len == 0 && TAILQ_EMPTY(&s->queue))
		session_free(s);
	else
		session_arm(s);
	member_publish_counts(m);
}

void
session_on_reply(struct reply *reply, void *owner)
{
	struct session *s = session_check(owner);
	int r;

	session_queue_ready(s, reply);
	if (reply->bytes.len == 0) {
		session_drop(s, "no memory for a reply");
		return;
	}
	r = session_queue_drain(s);
	if (r == 0)
		r = session_flush(s);
	if (r == 0)
		r = session_work(s);
	session_settle(s, r);
}

/* Thousands of connections that are all ready must not keep deadlines, and the proof that this member gets on,
   waiting for seconds. */
static void
session_count_turn(struct member *m)
{
	if (++m->turns >= MEMBER_TURNS)
		loop_end_turn(m->loop);
}

static void
session_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = session_check(arg);

	(void)fd;
	(void)what;
	session_count_turn(s->member);
	session_settle(s, session_read(s));
}

static void
session_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = session_check(arg);
	int r = session_flush(s);

	(void)fd;
	(void)what;
	session_count_turn(s->member);
	if (r == 0 && (s->in.len > 0 || s->ended))
		r = session_work(s);
	session_settle(s, r);
}

/* The client takes replies out of the kernel: a socket counts as writable only when a good part of what it
   holds is gone, which a slow reader of a large buffer may not reach for minutes. */
static bool
session_drains(struct session *s)
{
	int before = s->in_kernel;

	return ioctl(session_fd(s), SIOCOUTQ, &s->in_kernel) == 0 && s->in_kernel < before;
}

void
session_send_all(struct member *m)
{
	struct session *s;

	while ((s = TAILQ_FIRST(&m->sending))) {
		bool was_full = session_is_full(s);
		int r = session_send_kept(s);

		/* Commands that waited for this go on in the next turn, as those of the others do. */
		if (was_full && !session_is_full(s))
			s->more = s->in.len > 0;
		if (r < 0 || was_full || s->ended || s->out.len > 0)
			session_settle(s, r);
	}
	m->turn.len = 0;
}

/* Nothing is owed to it, and nothing came or went for idle-timeout. A piece of a line does not count. */
static bool
session_is_idle(const struct session *s)
{
	const struct member *m = s->member;
	int64_t timeout_ns = m->conf.idle_timeout_ns;

	return timeout_ns > 0 && m->now_ns - s->heard_ns >= timeout_ns &&
	       m->now_ns - s->sent_ns >= timeout_ns && s->out.len == 0 && !s->more && TAILQ_EMPTY(&s->queue);
}

void
session_check_deadlines(struct session *s)
{
	const struct member *m = s->member;
	bool unsent = s->out.len > 0 || s->more;

	if (unsent && session_drains(s))
		s->sent_ns = m->now_ns;
	if (unsent && m->now_ns - s->sent_ns >= m->conf.send_timeout_ns)
		session_drop(s, "its replies were not read in time");
	else if (s->line_since_ns && m->now_ns - s->line_since_ns >= m->conf.line_timeout_ns)
		session_drop(s, "a line was not finished in time");
	else if (session_is_idle(s))
		session_drop(s, "it sent nothing for idle-timeout");
}

/* --- leaving ---------------------------------------------------------------------------- */

enum { DISCARDS = 16 }; /* at a time, of one session */

static bool
session_owes_nothing(const struct session *s)
{
	return s->out.len + s->turn_len == 0 && TAILQ_EMPTY(&s->queue) && !s->more;
}

/* What the client has sent since, so that closing does not reset the connection. 0: it has sent no more;
   positive: there may be more; negative errno, -EAGAIN: nothing just now. */
static ssize_t
session_discard(struct session *s)
{
	struct member *m = s->member;
	ssize_t n = 1;

	for (int i = 0; i < DISCARDS && n > 0; i++)
		n = recv(session_fd(s), m->input, m->input_size, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

/* The other end's kernel has it all. A Unix socket hands over what it holds also after it was closed. */
static bool
session_is_delivered(const struct session *s)
{
	int family = AF_UNSPEC, unsent = 0;
	socklen_t len = sizeof(family);

	if (getsockopt(session_fd(s), SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 && family == AF_UNIX)
		return true;
	return ioctl(session_fd(s), SIOCOUTQ, &unsent) < 0 || unsent == 0;
}

bool
session_leave(struct session *s)
{
	ssize_t n;

	s->leaving = true;
	set_interest(&s->readable, &s->reading, false);
	if (!session_owes_nothing(s))
		return false;
	if (!s->shut)
		shutdown(session_fd(s), SHUT_WR);
	s->shut = true;
	n = session_discard(s);
	if (n > 0 || (n == -EAGAIN && !session_is_delivered(s)))
		return false;
	session_free(s);
	return true;
}

/* --- the beginning -------------------------------------------------------------------- */

int
session_new(struct member *m, int fd, struct crowd_address *address)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		crowd_leave(m->crowd, address);
		return -ENOMEM;
	}
	s->magic = SESSION_MAGIC;
	s->member = m;
	s->address = address;
	s->heard_ns = m->now_ns;
	s->in.max = m->input_size;
	s->out.max = SIZE_MAX / 2; /* session_is_full() stops it long before */
	TAILQ_INIT(&s->queue);
	event_assign(&s->readable, loop_base(m->loop), fd, EV_READ | EV_PERSIST, session_on_readable, s);
	event_assign(&s->writable, loop_base(m->loop), fd, EV_WRITE | EV_PERSIST, session_on_writable, s);
	TAILQ_INSERT_TAIL(&m->sessions, s, in_member);
	m->session_count++;
	member_count(m, TABLE_COUNTER_connections, 1);
	member_count(m, TABLE_COUNTER_accepted, 1);
	session_arm(s);
	if (!s->reading) {
		session_drop(s, "the event loop has no room for it");
		return -ENOMEM;
	}
	return 0;
}
