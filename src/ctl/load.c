/*
 * Load: one thread and poll(2), which is enough to keep one member busy, and says nothing of how
 * fast more of them would be. test/bench measures; this tells an operator how a member does here
 * and now.
 */
#include "ctl/load.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/client.h"

enum {
	COMMAND_MAX = 128,
	READ_BYTES = 64 << 10,
};

struct connection {
	int fd;
	char id[32]; /* of its last IAMAT */
	enum message_verb verbs[LOAD_DEPTH_MAX];
	uint32_t sent, answered; /* of the batch under way */
	int64_t sent_ns;
	struct buffer out, in;
};

struct load {
	const struct load_plan *plan;
	struct load_result *result;
	struct connection *connections; /* owned */
	struct pollfd *ready;		/* owned, as many */
	uint64_t commands;
	uint32_t working; /* connections with a batch under way */
	int64_t start_ns, heard_ns;
};

static void
load_done(struct load *l)
{
	for (uint32_t i = 0; l->connections && i < l->plan->connections; i++) {
		struct connection *c = &l->connections[i];

		if (c->fd >= 0)
			close(c->fd);
		buffer_done(&c->out);
		buffer_done(&c->in);
	}
	free(l->connections);
	free(l->ready);
}

static int
load_connect(struct load *l)
{
	int64_t deadline_ns = clock_monotonic_ns() + l->plan->timeout_ns;

	l->connections = calloc(l->plan->connections, sizeof(*l->connections));
	l->ready = calloc(l->plan->connections, sizeof(*l->ready));
	if (!l->connections || !l->ready)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->plan->connections; i++)
		l->connections[i] = (struct connection){
			.fd = -1,
			.out = {.max = (size_t)LOAD_DEPTH_MAX * COMMAND_MAX},
			.in = {.max = CLIENT_REPLY_MAX},
		};
	for (uint32_t i = 0; i < l->plan->connections; i++) {
		int r = client_connect(l->plan->address, deadline_ns, &l->connections[i].fd);

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- commands -------------------------------------------------------------------------------- */

/* A place in Los Angeles, another one each time. */
static int
put_iamat(struct load *l, struct connection *c, char *line)
{
	const unsigned int number = (unsigned int)(l->commands % l->plan->clients);
	const unsigned int spot = (unsigned int)(l->commands * 7919 % 10000);
	char now[HERD_TIME_MAX + 1];

	client_put_now(now);
	snprintf(c->id, sizeof(c->id), "herdctl-bench-%u", number);
	return snprintf(line, COMMAND_MAX, "IAMAT %s +34.0%04u-118.4%04u %s\n", c->id, spot, spot, now);
}

static int
put_command(struct load *l, struct connection *c)
{
	const uint64_t share = l->plan->whatsat_share;
	const bool asks = c->id[0] && l->commands * share / 100 != (l->commands + 1) * share / 100;
	char *line = buffer_reserve(&c->out, COMMAND_MAX);
	int len;

	if (!line)
		return -ENOMEM;
	c->verbs[c->sent++] = asks ? MESSAGE_WHATSAT : MESSAGE_IAMAT;
	len = asks ? snprintf(line, COMMAND_MAX, "WHATSAT %s 10 5\n", c->id) : put_iamat(l, c, line);
	c->out.len += (size_t)len;
	l->commands++;
	return 0;
}

static int
flush(struct connection *c)
{
	while (c->out.len) {
		ssize_t n = send(c->fd, c->out.bytes, c->out.len, MSG_NOSIGNAL);

		if (n >= 0)
			buffer_consume(&c->out, (size_t)n);
		else if (errno == EAGAIN)
			return 0;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static int
begin_batch(struct load *l, struct connection *c)
{
	int r = 0;

	c->sent = c->answered = 0;
	while (r == 0 && c->sent < l->plan->depth)
		r = put_command(l, c);
	c->sent_ns = clock_monotonic_ns();
	l->working++;
	return r < 0 ? r : flush(c);
}

/* --- replies --------------------------------------------------------------------------------- */

/* "AT Alpha ..." */
static int
take_server(struct load_result *result, struct text reply)
{
	struct text verb = text_take_field(&reply), server = text_take_field(&reply);

	if (!text_equal(verb, TEXT("AT")) || server.len == 0 || server.len > HERD_SERVER_MAX)
		return -EPROTO;
	memcpy(result->server, server.at, server.len);
	result->server[server.len] = '\0';
	return 0;
}

static int
take_reply(struct load *l, enum message_verb verb, struct text reply, bool is_refused)
{
	struct load_result *result = l->result;

	if (is_refused) {
		result->refused++;
		return 0;
	}
	*(verb == MESSAGE_WHATSAT ? &result->whatsat : &result->iamat) += 1;
	return take_server(result, reply);
}

static int
take_replies(struct load *l, struct connection *c)
{
	const uint64_t latency_ns = (uint64_t)(l->heard_ns - c->sent_ns);
	bool is_refused;
	size_t at = 0, len;
	int r = 0;

	while (r == 0 && at < c->in.len) {
		struct text rest = {c->in.bytes + at, c->in.len - at};
		enum message_verb verb = c->verbs[c->answered];

		if (c->answered == c->sent)
			return -EPROTO;
		len = client_reply_length(verb, rest, &is_refused);
		if (len == 0)
			break;
		r = take_reply(l, verb, (struct text){rest.at, len}, is_refused);
		histogram_add(&l->result->latency, latency_ns, 1);
		c->answered++;
		at += len;
	}
	buffer_consume(&c->in, at);
	return r;
}

static int
receive(struct load *l, struct connection *c)
{
	char *at = buffer_reserve(&c->in, READ_BYTES);
	ssize_t n;

	if (!at)
		return -EMSGSIZE;
	n = recv(c->fd, at, READ_BYTES, 0);
	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	c->in.len += (size_t)n;
	l->heard_ns = clock_monotonic_ns();
	return take_replies(l, c);
}

/* --- the run --------------------------------------------------------------------------------- */

static int
load_serve(struct load *l, struct connection *c, short events)
{
	int r = events & POLLOUT ? flush(c) : 0;

	if (r == 0 && events & (POLLIN | POLLHUP | POLLERR))
		r = receive(l, c);
	if (r < 0 || c->answered < c->sent)
		return r;
	l->working--;
	c->sent = c->answered = 0;
	return l->heard_ns - l->start_ns < l->plan->for_ns ? begin_batch(l, c) : 0;
}

static int
load_turn(struct load *l)
{
	const int64_t left_ns = l->heard_ns + l->plan->timeout_ns - clock_monotonic_ns();
	int r = 0, n;

	for (uint32_t i = 0; i < l->plan->connections; i++) {
		const struct connection *c = &l->connections[i];

		l->ready[i] = (struct pollfd){.fd = c->sent ? c->fd : -1,
					      .events = (short)(c->out.len ? POLLIN | POLLOUT : POLLIN)};
	}
	if (left_ns <= 0)
		return -ETIMEDOUT;
	n = poll(l->ready, l->plan->connections, (int)(left_ns / CLOCK_MSEC_NS) + 1);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (uint32_t i = 0; i < l->plan->connections && r == 0; i++)
		if (l->ready[i].revents)
			r = load_serve(l, &l->connections[i], l->ready[i].revents);
	return r;
}

static void
show_progress(const struct load *l)
{
	const int64_t done_ns = l->heard_ns - l->start_ns;

	progress_show(l->plan->progress, (double)done_ns / (double)l->plan->for_ns, "%" PRIu64 " commands",
		      l->commands);
}

int
load_run(const struct load_plan *plan, struct load_result *ret)
{
	CLEANUP(load_done) struct load l = {.plan = plan, .result = ret};
	int r = load_connect(&l);

	l.start_ns = l.heard_ns = clock_monotonic_ns();
	for (uint32_t i = 0; i < plan->connections && r == 0; i++)
		r = begin_batch(&l, &l.connections[i]);
	while (r == 0 && l.working > 0) {
		show_progress(&l);
		r = load_turn(&l);
	}
	progress_clear(plan->progress);
	ret->took_ns = l.heard_ns - l.start_ns;
	return r;
}
