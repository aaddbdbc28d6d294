/*
 * Session: read much, answer it all, send once, and after everybody's turn.
 *
 * A turn takes at most work-max bytes from one client, about a millisecond
 * and one output buffer of replies; then the others have theirs. When the
 * client does not take its replies, or has enough lookups under way, or a fix
 * of it has to wait for the table, its commands wait in `in` and nothing more
 * is read: the kernel tells it to slow down.
 */
#include "member/session.h"

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

static int
session_fd(const struct session *s)
{
	return event_get_fd(&s->readable);
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

static int
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

/* Whatever else it sends comes after this. */
static int
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
static int
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

/* Replies that the client has not taken yet. */
static size_t
session_unsent(const struct session *s)
{
	return s->out.len + s->turn_len + s->queued;
}

/* Its next command has to wait. Behind a fix that is not in the table yet it might ask for that very fix. */
static bool
session_is_full(const struct session *s)
{
	return session_unsent(s) >= s->member->conf.unsent_max ||
	       s->pending >= s->member->conf.places_pending_max || s->store;
}

/* --- replies that wait --------------------------------------------------------- */

static int session_work(struct session *s);
static void session_settle(struct session *s, int r);

/* It is ready: the session waits for it no more. */
static void
queue_ready(struct session *s, const struct reply *reply)
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
		queue_ready(s, reply);
	}
	return reply->state == REPLY_READY;
}

/* Moves what is ready at the head of the queue to `out`. */
static int
queue_drain(struct session *s)
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

static void
on_reply_ready(struct reply *reply, void *owner)
{
	struct session *s = session_check(owner);
	int r;

	queue_ready(s, reply);
	if (reply->bytes.len == 0) {
		session_drop(s, "no memory for a reply");
		return;
	}
	r = queue_drain(s);
	if (r == 0)
		r = session_flush(s);
	if (r == 0)
		r = session_work(s);
	session_settle(s, r);
}

static void
queue_add(struct session *s, struct reply *reply)
{
	reply->ready = on_reply_ready;
	reply->owner = s;
	s->pending++;
	if (reply->state == REPLY_FOR_STORE)
		s->store = reply;
	TAILQ_INSERT_TAIL(&s->queue, reply, in_order);
}

/* Where the next ready reply goes: behind those that wait, or straight out. */
static struct buffer *
session_target(struct session *s)
{
	struct reply *last = TAILQ_LAST(&s->queue, reply_list);

	if (!last)
		return &s->member->output;
	if (last->state == REPLY_READY)
		return &last->bytes;
	last = reply_new(s->member);
	if (!last)
		return NULL;
	TAILQ_INSERT_TAIL(&s->queue, last, in_order);
	return &last->bytes;
}

/* --- in ------------------------------------------------------------------------- */

/* A batch, and how many bytes of input each of its lines took. */
struct session_batch {
	struct answer_batch answer;
	size_t used[ANSWER_BATCH];
};

static void
text_drop(struct text *t, size_t n)
{
	*t = (struct text){t->at + n, t->len - n};
}

/* Takes what is done with, at least one byte, off the front of *in. */
static void
session_pass(struct session *s, struct text *in, size_t n)
{
	text_drop(in, n);
	if (in->at[-1] == '\n')
		s->line_since_ns = 0; /* the next line has a time of its own */
}

/* Goes on skipping a line that was too long. */
static void
session_skip(struct session *s, struct text *in)
{
	const char *end;

	if (!s->skipping || in->len == 0)
		return;
	end = memchr(in->at, '\n', in->len);
	s->skipping = !end;
	session_pass(s, in, end ? (size_t)(end - in->at) + 1 : in->len);
}

/* Takes one line off the front of *in into the batch; false: there is only a piece of one. */
static bool
batch_take(struct session *s, struct session_batch *batch, struct text *in)
{
	const size_t line_max = s->member->conf.line_max;
	const char *end = in->len ? memchr(in->at, '\n', in->len) : NULL;
	size_t len = end ? (size_t)(end - in->at) : in->len;
	size_t used = end ? len + 1 : len;

	/* The byte past line-max may still turn out to belong to a CR LF. */
	if (!end && (len <= line_max || (len == line_max + 1 && in->at[line_max] == '\r')))
		return false;
	if (end && len > 0 && in->at[len - 1] == '\r')
		len--;
	batch->used[batch->answer.count] = used;
	answer_read(s->member, &batch->answer, (struct text){in->at, len});
	s->skipping = !end;
	text_drop(in, used);
	return true;
}

/* One reply of the batch, to wherever it belongs. */
static int
batch_give(struct session *s, struct answer_batch *batch, size_t index, int64_t rx_ns)
{
	struct buffer *target = session_target(s);
	struct reply *pending = NULL;
	size_t before;
	int r;

	if (!target)
		return -ENOMEM;
	before = target->len;
	r = answer_give(s->member, batch, index, rx_ns, target, &pending);
	if (r == ANSWER_E_PENDING) {
		queue_add(s, pending);
		return 0;
	}
	if (r == 0 && target != &s->member->output)
		s->queued += target->len - before;
	return r;
}

/* Its turn has made replies enough: they go out before more are made. So there is at most one reply beyond
   unsent-max, also when the client takes none of them. */
static bool
session_turn_is_full(const struct session *s)
{
	size_t made = s->member->output.len;

	return made >= MEMBER_OUTPUT_FULL ||
	       (made > 0 && session_unsent(s) + made >= s->member->conf.unsent_max);
}

/* Answers what a batch can hold of the lines at the front of *in; leaves in *in what remains. */
static int
session_answer_batch(struct session *s, struct text *in, int64_t now_ns)
{
	struct text rest = *in;
	struct session_batch batch;

	batch.answer.count = 0;
	while (batch.answer.count < ANSWER_BATCH && !s->skipping && batch_take(s, &batch, &rest))
		;
	if (batch.answer.count > 1)
		answer_prefetch(s->member, &batch.answer);
	for (size_t i = 0; i < batch.answer.count; i++) {
		int r;

		if (session_is_full(s) || session_turn_is_full(s)) {
			s->skipping = false; /* what was read ahead will be read again */
			return 0;
		}
		r = batch_give(s, &batch.answer, i, now_ns);
		if (r < 0)
			return r;
		session_pass(s, in, batch.used[i]);
	}
	return 0;
}

/*
 * Answers the lines at the front of *in, as far as this turn goes and the
 * client can take the replies; leaves in *in what remains.
 */
static int
session_answer(struct session *s, struct text *in)
{
	int64_t start_ns = 0;
	size_t before = 0;
	int r = 0;

	s->more = false;
	session_skip(s, in);
	while (r == 0 && in->len > 0 && in->len != before && !session_is_full(s)) {
		int64_t now_ns = clock_now_ns();

		start_ns = start_ns ? start_ns : now_ns;
		if (session_turn_is_full(s) || now_ns - start_ns >= MEMBER_TURN_NS) {
			s->more = true;
			if (s->out.len == 0)
				s->sent_ns = s->member->now_ns;
			break;
		}
		before = in->len;
		r = session_answer_batch(s, in, now_ns);
		session_skip(s, in);
	}
	return r;
}

/* A last line without LF counts when the client sends no more. */
static int
session_answer_last(struct session *s, struct text *in)
{
	struct answer_batch batch = {.count = 0};
	int r;

	if (!s->ended || s->skipping || in->len == 0 || s->more || session_is_full(s))
		return 0;
	answer_read(s->member, &batch, *in);
	r = batch_give(s, &batch, 0, clock_now_ns());
	text_drop(in, in->len);
	return r;
}

/* Keeps what a turn did not answer. in points into s->in or into the shared input. */
static int
session_keep(struct session *s, struct text in)
{
	bool own = s->in.bytes && in.at >= s->in.bytes && in.at <= s->in.bytes + s->in.len;
	bool unfinished = (in.len > 0 || s->skipping) && !s->more && !session_is_full(s);
	int r = 0;

	if (!unfinished)
		s->line_since_ns = 0;
	else if (s->line_since_ns == 0)
		s->line_since_ns = s->member->now_ns;
	if (own) {
		buffer_consume(&s->in, s->in.len - in.len);
	} else {
		s->in.len = 0;
		if (in.len > 0)
			r = buffer_append(&s->in, in);
	}
	if (s->in.len == 0 && s->in.size > 0)
		buffer_done(&s->in);
	return r;
}

/* Answers what there is and sends the replies. */
static int
session_turn(struct session *s, struct text in)
{
	int r;

	r = session_answer(s, &in);
	if (r == 0)
		r = session_answer_last(s, &in);
	if (r == 0)
		r = session_keep_output(s);
	s->member->output.len = 0;
	if (r == 0)
		r = session_keep(s, in);
	return r;
}

/* Goes on with commands that had to wait. */
static int
session_work(struct session *s)
{
	return session_turn(s, (struct text){s->in.bytes, s->in.len});
}

static int
session_read(struct session *s)
{
	struct member *m = s->member;
	size_t kept = s->in.len;
	ssize_t n;

	assert(kept + m->conf.work_max <= m->input_size);
	n = recv(session_fd(s), m->input + kept, m->conf.work_max, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
	s->ended = n == 0;
	s->heard_ns = m->now_ns;
	if (kept > 0)
		memcpy(m->input, s->in.bytes, kept);
	return session_turn(s, (struct text){m->input, kept + (size_t)n});
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
