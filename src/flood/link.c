/*
 * Link: its life. A link is made when a connection is, says HERD and RESUME,
 * is up when the peer has said HERD, and ends once: the first reason counts,
 * is told the peer as BYE, and is what the journal says.
 *
 * A link keeps time by itself: the caller's clock is POSIX time, which people
 * set, and a helper that was stopped for a minute must not think that all its
 * peers were silent. No step between two calls counts for more than a second.
 */
#include "flood/link-private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/hosts.h"

enum {
	LINK_MAGIC = 0x6c696e6b, /* "link" */
	QUOTE_MAX = 64,		 /* of what a peer said, in a reason */
	ODD_BURST = 256,
	FIRST_PINGS = 4, /* of which one should meet with no delay but the network's */
};

#define STEP_MAX_NS  CLOCK_SECOND_NS
#define RTT_NS	     (10 * CLOCK_SECOND_NS) /* how old an rtt gets */
#define ODD_EVERY_NS (100 * CLOCK_MSEC_NS)

struct link *
link_check(struct link *l)
{
	assert(l->magic == LINK_MAGIC);
	return l;
}

const struct link *
link_check_const(const struct link *l)
{
	assert(l->magic == LINK_MAGIC);
	return l;
}

static bool
is_word(const char *s)
{
	size_t len = strlen(s);

	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	return len > 0 && len <= LINK_HOST_MAX;
}

int
link_new(struct link **ret, const struct link_self *self, struct replica *replica, struct names *names,
	 const struct link_hooks *hooks, int64_t now_ns)
{
	CLEANUP(link_freep) struct link *l = NULL;
	int r;

	if (!is_word(self->herd) || !host_name_valid(text_of(self->host)) || self->incarnation == 0 ||
	    self->ttl_s < 0)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->magic = LINK_MAGIC;
	l->self = self;
	l->replica = replica;
	l->names = names;
	l->hooks = *hooks;
	l->now_ns = now_ns;
	l->rtt_ns = l->rtt_least_ns = -1;
	l->ack_age_ns = -LINK_ACK_NS;
	r = hash_key_random(&l->ping_key);
	if (r < 0)
		return r;
	*ret = l;
	l = NULL;
	return 0;
}

struct link *
link_free(struct link *l)
{
	if (l && l->has_peer)
		replica_close_peer(l->replica, l->peer);
	if (l)
		l->magic = 0;
	free(l);
	return NULL;
}

/* --- time ------------------------------------------------------------------- */

int64_t
link_age_at(const struct link *l, int64_t now_ns)
{
	int64_t step;

	if (__builtin_sub_overflow(now_ns, l->now_ns, &step) || step < 0)
		step = 0;
	return l->age_ns + (step < STEP_MAX_NS ? step : STEP_MAX_NS);
}

void
link_pass(struct link *l, int64_t now_ns)
{
	link_check(l);
	l->age_ns = link_age_at(l, now_ns);
	l->now_ns = now_ns;
}

bool
link_allow(struct link_limit *limit, int64_t age_ns, int64_t every_ns, unsigned int burst)
{
	int64_t from_ns = limit->until_ns > age_ns ? limit->until_ns : age_ns;

	if (from_ns - age_ns >= every_ns * burst)
		return false;
	limit->until_ns = from_ns + every_ns;
	return true;
}

static int
check_silence(struct link *l)
{
	const int64_t silent_ns = l->age_ns - l->heard_age_ns;
	const bool is_late = l->age_ns >= LINK_HELLO_NS;

	if (is_late && l->state == LINK_GREETING)
		return link_end(l, -ETIMEDOUT, "no HERD line in time");
	if (is_late && !l->has_resumed)
		return link_end(l, -ETIMEDOUT, "no RESUME line in time");
	if (silent_ns >= LINK_DEAD_NS)
		return link_end(l, -ETIMEDOUT, "silent for too long");
	if (l->state == LINK_UP && l->age_ns - l->ping_age_ns >= LINK_PING_NS &&
	    (silent_ns >= LINK_PING_NS || l->pings < FIRST_PINGS || l->age_ns - l->ping_age_ns >= RTT_NS))
		l->has_ping = true;
	return 0;
}

int
link_tick(struct link *l, int64_t now_ns)
{
	int r;

	link_pass(l, now_ns);
	if (l->state == LINK_ENDED)
		return l->error;
	r = check_silence(l);
	if (r == 0 && l->has_resumed)
		link_sync_tick(l);
	return r;
}

/* --- the end ----------------------------------------------------------------- */

int
link_end(struct link *l, int error, const char *why)
{
	assert(error < 0);
	if (l->state == LINK_ENDED)
		return l->error;
	l->state = LINK_ENDED;
	l->error = error;
	l->has_bye = true;
	link_escape(text_of(why), l->why, sizeof(l->why));
	return error;
}

int
link_end_text(struct link *l, int error, const char *what, struct text t)
{
	char quote[QUOTE_MAX], why[LINK_WHY_MAX];

	link_escape(t, quote, sizeof(quote));
	snprintf(why, sizeof(why), "%s: '%s'", what, quote);
	return link_end(l, error, why);
}

void
link_say_bye(struct link *l, const char *reason)
{
	(void)link_end(link_check(l), -ESHUTDOWN, reason[0] ? reason : "no reason");
}

int
link_ignore(struct link *l)
{
	l->figures.ignored++;
	if (link_allow(&l->odd, l->age_ns, ODD_EVERY_NS, ODD_BURST))
		return 0;
	return link_end(l, -EPROTO, "too many lines that are unknown or out of place");
}

/* --- what is known of it ------------------------------------------------------ */

void
link_set_memory(struct link *l, struct link_memory *memory)
{
	link_check(l)->memory = memory;
}

void
link_remember(struct link *l)
{
	if (!l->memory || !l->is_memorable || !l->has_seq)
		return;
	/* A second link to the same host may be further. */
	if (l->memory->incarnation != l->incarnation || l->memory->seq < l->seq_in)
		*l->memory = (struct link_memory){l->incarnation, l->seq_in};
}

enum link_state
link_state(const struct link *l)
{
	return link_check_const(l)->state;
}

bool
link_is_welcome(const struct link *l)
{
	return link_check_const(l)->has_resumed;
}

bool
link_heard_bye(const struct link *l)
{
	return link_check_const(l)->was_bye_heard;
}

const char *
link_why(const struct link *l)
{
	return link_check_const(l)->why;
}

const char *
link_host(const struct link *l)
{
	return link_check_const(l)->host;
}

const uint8_t *
link_host_id(const struct link *l)
{
	return link_check_const(l)->host_id;
}

int64_t
link_rtt_ns(const struct link *l)
{
	return link_check_const(l)->rtt_ns;
}

uint64_t
link_acknowledged(const struct link *l)
{
	return link_check_const(l)->acknowledged;
}

unsigned int
link_peer(const struct link *l)
{
	return link_check_const(l)->peer;
}

const struct link_resync *
link_resync(const struct link *l)
{
	return &link_check_const(l)->sync.last;
}

const struct link_figures *
link_figures(const struct link *l)
{
	return &link_check_const(l)->figures;
}
