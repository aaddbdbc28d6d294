/*
 * The first two lines of a link: who the peer is, and what it has of us
 * already.
 *
 * Numbers of changes are the sender's own, and of one incarnation: what is
 * remembered of another one says nothing, and then the two compare what they
 * hold. A cursor opens behind the last change when the peer is greeted, so
 * whatever changes while they compare is sent all the same.
 */
#include "flood/link-private.h"

#include <errno.h>
#include <stdio.h>

static int
refuse(struct link *l, const char *why)
{
	return link_end(l, -ECONNREFUSED, why);
}

static int
refuse_version(struct link *l, uint64_t version)
{
	char why[LINK_WHY_MAX];

	snprintf(why, sizeof(why), "protocol version %llu is not spoken here, only %d",
		 (unsigned long long)version, LINK_VERSION);
	return refuse(l, why);
}

static int
judge(struct link *l, const struct link_hello *hello)
{
	if (hello->version != LINK_VERSION)
		return refuse_version(l, hello->version);
	if (!text_equal(hello->herd, text_of(l->self->herd)))
		return link_end_text(l, -ECONNREFUSED, "this host is not of the herd", hello->herd);
	if (hello->incarnation == 0)
		return refuse(l, "an incarnation is never zero");
	if (!hello->has_ttl || !hello->has_key)
		return refuse(l, "the capabilities ttl and key are needed");
	return 0;
}

/* "" when it is welcome. */
static int
ask_caller(struct link *l)
{
	char why[LINK_WHY_MAX] = "";

	if (l->hooks.greeted(l->hooks.arg, l->host, l->host_id, why) == 0)
		return l->state == LINK_ENDED ? l->error : 0;
	why[sizeof(why) - 1] = '\0';
	return refuse(l, why[0] ? why : "not welcome");
}

static void
plan_resume(struct link *l)
{
	if (l->memory && l->memory->incarnation == l->incarnation) {
		l->resumes_in = true;
		l->resume_seq = l->memory->seq;
	}
	/* Honoured, or told everything: then a SEQ is the whole truth from the first one on. */
	l->is_memorable = l->resumes_in || !l->is_comparable;
}

int
link_take_hello(struct link *l, struct text line)
{
	struct link_line hello;
	int r = link_line_parse(line, &hello);

	if (r == 0 && hello.verb == LINK_BYE)
		return link_take_bye(l, hello.reason);
	if (r != 0 || hello.verb != LINK_HERD)
		return link_end_text(l, -EPROTO, "the first line is no HERD line", line);
	r = judge(l, &hello.hello);
	if (r < 0)
		return r;
	memcpy(l->host, hello.hello.host.at, hello.hello.host.len);
	memcpy(l->host_id, hello.hello.host_id, sizeof(l->host_id));
	l->incarnation = hello.hello.incarnation;
	l->is_newer = hello.hello.has_more;
	l->can_ask = hello.hello.can_ask;
	l->is_comparable = hello.hello.ttl_s == l->self->ttl_s && hello.hello.key_check == l->self->key_check;
	r = ask_caller(l);
	if (r < 0)
		return r;
	if (replica_open_peer(l->replica, &l->peer) < 0)
		return refuse(l, "too many links");
	l->has_peer = true;
	l->state = LINK_UP;
	l->has_ping = true;
	plan_resume(l);
	return 0;
}

int
link_take_resume(struct link *l, const struct link_line *line)
{
	const bool resumes_out = line->resume.incarnation == l->self->incarnation;
	struct link_sync *s = &l->sync;

	if (l->has_resumed)
		return link_end(l, -EPROTO, "a second RESUME line");
	l->has_resumed = true;
	if (resumes_out) {
		replica_rewind(l->replica, l->peer, line->resume.seq);
	} else if (!l->is_comparable) {
		s->all_until = replica_sequence(l->replica);
		s->is_telling_all = true;
		replica_rewind(l->replica, l->peer, 0);
	}
	s->is_settled = resumes_out || !l->is_comparable;
	s->is_level = l->resumes_in && (resumes_out || !l->is_comparable);
	link_sync_start(l);
	return 0;
}
