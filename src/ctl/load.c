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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/client.h"

enum {
	COMMAND_MAX = 128,
	READ_BYTES = 64 << 10,
	TURN_MAX = 64, /* commands that were due are made before any is sent */
};

#define LATE_NS CLOCK_SECOND_NS /* how long after the end what was due is still sent */

/* A command under way. */
struct asked {
	enum message_verb verb;
	int64_t due_ns;
};

struct connection {
	int fd;
	char id[32];			    /* of its last IAMAT */
	struct asked asked[LOAD_DEPTH_MAX]; /* a ring */
	uint64_t sent, answered;	    /* commands; at most depth between them */
	struct buffer out, in;
};

struct load {
	const struct load_plan *plan;
	struct load_result *result;
	struct connection *connections; /* owned */
	struct pollfd *ready;		/* owned, as many */
	uint64_t commands;
	uint32_t under_way; /* commands */
	uint32_t turn;	    /* the connection whose turn it is to take what is due */
	int64_t start_ns, heard_ns;
	int64_t quiet_ns; /* since then nobody has answered what is under way */
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
put_command(struct load *l, struct connection *c, int64_t due_ns)
{
	const uint64_t share = l->plan->whatsat_share;
	const bool asks = c->id[0] && l->commands * share / 100 != (l->commands + 1) * share / 100;
	char *line = buffer_reserve(&c->out, COMMAND_MAX);
	int len;

	if (!line)
		return -ENOMEM;
	len = asks ? snprintf(line, COMMAND_MAX, "WHATSAT %s 10 5\n", c->id) : put_iamat(l, c, line);
	c->asked[c->sent++ % LOAD_DEPTH_MAX] = (struct asked){.verb = asks ? MESSAGE_WHATSAT : MESSAGE_IAMAT,
							      .due_ns = due_ns};
	c->out.len += (size_t)len;
	l->commands++;
	if (l->under_way++ == 0)
		l->quiet_ns = clock_monotonic_ns();
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
	const int64_t now_ns = clock_monotonic_ns();
	int r = 0;

	for (uint32_t i = 0; i < l->plan->depth && r == 0; i++)
		r = put_command(l, c, now_ns);
	return r < 0 ? r : flush(c);
}

/* --- commands that are due at their time --------------------------------------------------------- */

/* How many that is, of all. */
static uint64_t
rate_total(const struct load_plan *plan)
{
	const uint64_t ns = (uint64_t)plan->for_ns, second = (uint64_t)CLOCK_SECOND_NS;
	const uint64_t total = ns / second * plan->rate + ns % second * plan->rate / second;

	return total ? total : 1;
}

static int64_t
due_ns(const struct load *l)
{
	const uint64_t rate = l->plan->rate, second = (uint64_t)CLOCK_SECOND_NS;

	return l->start_ns + (int64_t)(l->commands / rate * second + l->commands % rate * second / rate);
}

/* Is anything still to be sent? */
static bool
rate_goes_on(const struct load *l, int64_t now_ns)
{
	return l->commands < rate_total(l->plan) && now_ns < l->start_ns + l->plan->for_ns + LATE_NS;
}

/* One that has room for a command; there is one. */
static struct connection *
next_with_room(struct load *l)
{
	struct connection *c;

	do {
		c = &l->connections[l->turn];
		l->turn = (l->turn + 1) % l->plan->connections;
	} while (c->sent - c->answered >= l->plan->depth);
	return c;
}

static bool
has_room(const struct load *l)
{
	return l->under_way < l->plan->connections * l->plan->depth;
}

/* What is due, as far as there is room for it, and not so much at once that the first of it waits for the last. */
static int
send_due(struct load *l)
{
	const int64_t now_ns = clock_monotonic_ns();
	int r = 0;

	for (int i = 0; i < TURN_MAX && r == 0; i++) {
		const int64_t due = due_ns(l);

		if (due > now_ns || !has_room(l) || !rate_goes_on(l, now_ns))
			break;
		r = put_command(l, next_with_room(l), due);
	}
	for (uint32_t i = 0; i < l->plan->connections && r == 0; i++)
		r = flush(&l->connections[i]);
	return r;
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
	bool is_refused;
	size_t at = 0, len;
	int r = 0;

	while (r == 0 && at < c->in.len) {
		const struct asked asked = c->asked[c->answered % LOAD_DEPTH_MAX];
		struct text rest = {c->in.bytes + at, c->in.len - at};

		if (c->answered == c->sent)
			return -EPROTO;
		len = client_reply_length(asked.verb, rest, &is_refused);
		if (len == 0)
			break;
		r = take_reply(l, asked.verb, (struct text){rest.at, len}, is_refused);
		histogram_add(&l->result->latency, (uint64_t)(l->heard_ns - asked.due_ns), 1);
		c->answered++;
		l->under_way--;
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
	l->heard_ns = l->quiet_ns = clock_monotonic_ns();
	return take_replies(l, c);
}

/* --- the run --------------------------------------------------------------------------------- */

static int
load_serve(struct load *l, struct connection *c, short events)
{
	int r = events & POLLOUT ? flush(c) : 0;

	if (r == 0 && events & (POLLIN | POLLHUP | POLLERR))
		r = receive(l, c);
	if (r < 0 || l->plan->rate > 0 || c->answered < c->sent)
		return r;
	return l->heard_ns - l->start_ns < l->plan->for_ns ? begin_batch(l, c) : 0;
}

/* Until something is due, or has not come for too long. -ETIMEDOUT: that was so already. */
static int
load_patience(const struct load *l, struct timespec *ret)
{
	const int64_t now_ns = clock_monotonic_ns();
	int64_t until_ns = l->start_ns + l->plan->for_ns;

	if (l->under_way) {
		until_ns = l->quiet_ns + l->plan->timeout_ns;
		if (until_ns <= now_ns)
			return -ETIMEDOUT;
	}
	if (l->plan->rate > 0 && has_room(l) && rate_goes_on(l, now_ns) && due_ns(l) < until_ns)
		until_ns = due_ns(l);
	until_ns -= until_ns < now_ns ? until_ns : now_ns;
	*ret = (struct timespec){.tv_sec = until_ns / CLOCK_SECOND_NS, .tv_nsec = until_ns % CLOCK_SECOND_NS};
	return 0;
}

static int
load_turn(struct load *l)
{
	struct timespec patience;
	int r, n;

	for (uint32_t i = 0; i < l->plan->connections; i++) {
		const struct connection *c = &l->connections[i];

		l->ready[i] = (struct pollfd){.fd = c->sent > c->answered ? c->fd : -1,
					      .events = (short)(c->out.len ? POLLIN | POLLOUT : POLLIN)};
	}
	r = load_patience(l, &patience);
	if (r < 0)
		return r;
	n = ppoll(l->ready, l->plan->connections, &patience, NULL);
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

static int
run_closed(struct load *l)
{
	int r = 0;

	for (uint32_t i = 0; i < l->plan->connections && r == 0; i++)
		r = begin_batch(l, &l->connections[i]);
	while (r == 0 && l->under_way > 0) {
		show_progress(l);
		r = load_turn(l);
	}
	return r;
}

/* Ends when the time is up and all is answered: a rate that was kept is to be what took_ns says. */
static int
run_rate(struct load *l)
{
	int64_t now_ns = l->start_ns;
	int r = 0;

	prctl(PR_SET_TIMERSLACK, 1UL); /* to be on time */
	while (r == 0 &&
	       (l->under_way > 0 || rate_goes_on(l, now_ns) || now_ns < l->start_ns + l->plan->for_ns)) {
		r = send_due(l);
		if (r == 0)
			r = load_turn(l);
		now_ns = clock_monotonic_ns();
		show_progress(l);
	}
	l->heard_ns = now_ns;
	l->result->unsent = rate_total(l->plan) - l->commands;
	return r;
}

int
load_run(const struct load_plan *plan, struct load_result *ret)
{
	CLEANUP(load_done) struct load l = {.plan = plan, .result = ret};
	int r = load_connect(&l);

	l.start_ns = l.heard_ns = clock_monotonic_ns();
	if (r == 0)
		r = plan->rate > 0 ? run_rate(&l) : run_closed(&l);
	progress_clear(plan->progress);
	ret->took_ns = l.heard_ns - l.start_ns;
	return r;
}
