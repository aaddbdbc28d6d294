/*
 * What a session reads: lines, answered in batches, in turns.
 *
 * A turn takes at most work-max bytes from one client, about a millisecond
 * and one output buffer of replies; then the others have theirs. When the
 * client does not take its replies, or has enough lookups under way, or a fix
 * of it has to wait for the table, its commands wait in `in` and nothing more
 * is read: the kernel tells it to slow down.
 */
#include "member/session-private.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"

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
		session_queue(s, pending);
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

int
session_work(struct session *s)
{
	return session_turn(s, (struct text){s->in.bytes, s->in.len});
}

int
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
