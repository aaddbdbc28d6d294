/*
 * Each direction of a wire is a pipe with one event for its first chunk: what is
 * behind it cannot arrive before. Randomness belongs to the wire, made from the seed,
 * its ends and how many wires they had before, so that leaving out an event
 * somewhere else changes nothing here.
 */
#include "simulate-net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "../random.h"

enum { PACKET = 1448 };

struct chunk {
	struct chunk *next;
	int64_t arrival_ns;
	size_t len;
	bool is_end;
	char bytes[];
};

struct pipe {
	struct chunk *first, *last;
	size_t flying;
	int64_t free_ns, last_ns; /* when the line is free again, when the last chunk arrives */
	int64_t blocked_ns;	  /* since then nothing gets through; 0: it does */
	bool is_due;		  /* its event is in the queue */
};

struct end {
	unsigned int host;
	bool is_open;
	void *user;
	struct buffer input;
};

struct wire {
	struct net *net;
	struct wire *next, **link; /* in the list of all */
	uint64_t random, tag;
	int64_t delay_ns;
	unsigned int pending; /* events that point here */
	bool is_accepted;
	struct end end[2];
	struct pipe pipe[2]; /* from that side */
};

struct net {
	struct queue *queue;
	struct net_options options;
	struct net_hooks hooks;
	unsigned int *side;
	bool *is_on, *is_listening;
	uint8_t *cut;		/* a bit per pair */
	uint32_t *wires_before; /* per pair of hosts, hashed: only has to differ */
	struct wire *wires;
	uint64_t bytes;
};

static void *
must(void *p)
{
	if (!p) {
		perror("simulate");
		abort();
	}
	return p;
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
	uint64_t state = a ^ (b * UINT64_C(0x9e3779b97f4a7c15));

	return random_u64(&state);
}

/* --- the net -------------------------------------------------------------------- */

enum { PAIRS = 1 << 16 };

struct net *
net_new(struct queue *queue, const struct net_options *options, const struct net_hooks *hooks)
{
	struct net *n = must(calloc(1, sizeof(*n)));
	size_t hosts = options->hosts;

	n->queue = queue;
	n->options = *options;
	n->hooks = *hooks;
	n->side = must(calloc(hosts, sizeof(*n->side)));
	n->is_on = must(calloc(hosts, sizeof(*n->is_on)));
	n->is_listening = must(calloc(hosts, sizeof(*n->is_listening)));
	n->cut = must(calloc(hosts * hosts / 8 + 1, 1));
	n->wires_before = must(calloc(PAIRS, sizeof(*n->wires_before)));
	return n;
}

static void
drop_chunks(struct pipe *p)
{
	while (p->first) {
		struct chunk *c = p->first;

		p->first = c->next;
		free(c);
	}
	p->last = NULL;
	p->flying = 0;
}

static void
wire_delete(struct wire *w)
{
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	for (unsigned int side = 0; side < 2; side++) {
		drop_chunks(&w->pipe[side]);
		buffer_done(&w->end[side].input);
	}
	free(w);
}

void
net_free(struct net *n)
{
	while (n->wires)
		wire_delete(n->wires);
	free(n->side);
	free(n->is_on);
	free(n->is_listening);
	free(n->cut);
	free(n->wires_before);
	free(n);
}

static size_t
pair_of(const struct net *n, unsigned int a, unsigned int b)
{
	return a < b ? (size_t)a * n->options.hosts + b : (size_t)b * n->options.hosts + a;
}

void
net_set_cut(struct net *n, unsigned int a, unsigned int b, bool cut)
{
	size_t pair = pair_of(n, a, b);
	uint8_t bit = (uint8_t)(1 << pair % 8);

	n->cut[pair / 8] = (uint8_t)(cut ? n->cut[pair / 8] | bit : n->cut[pair / 8] & ~bit);
}

void
net_set_side(struct net *n, unsigned int host, unsigned int side)
{
	n->side[host] = side;
}

void
net_mend(struct net *n)
{
	size_t hosts = n->options.hosts;

	memset(n->side, 0, hosts * sizeof(*n->side));
	memset(n->cut, 0, hosts * hosts / 8 + 1);
}

bool
net_reaches(const struct net *n, unsigned int a, unsigned int b)
{
	size_t pair = pair_of(n, a, b);

	return n->is_on[a] && n->is_on[b] && n->side[a] == n->side[b] && !(n->cut[pair / 8] >> pair % 8 & 1);
}

void
net_set_loss(struct net *n, double loss)
{
	n->options.loss = loss;
}

void
net_set_on(struct net *n, unsigned int host, bool on)
{
	n->is_on[host] = on;
}

void
net_set_listening(struct net *n, unsigned int host, bool listening)
{
	n->is_listening[host] = listening;
}

uint64_t
net_bytes(const struct net *n)
{
	return n->bytes;
}

/* --- what a chunk takes ------------------------------------------------------------- */

static bool
is_lost(struct wire *w)
{
	return w->net->options.loss > 0 &&
	       (double)(random_u64(&w->random) >> 11) / (double)(UINT64_C(1) << 53) < w->net->options.loss;
}

/* One packet may be lost several times; with others behind it the first time is found out within a round trip. */
static int64_t
packet_penalty(struct wire *w, bool quick)
{
	int64_t penalty_ns = 0, wait_ns = NET_RETRY_NS + 2 * w->delay_ns;

	for (unsigned int times = 0; is_lost(w) && penalty_ns <= 2 * NET_GIVE_UP_NS; times++) {
		if (times == 0 && quick) {
			penalty_ns += 2 * w->delay_ns + CLOCK_MSEC_NS;
			continue;
		}
		penalty_ns += wait_ns;
		wait_ns *= 2;
	}
	return penalty_ns;
}

static int64_t
chunk_penalty(struct wire *w, size_t len, size_t flying)
{
	int64_t most_ns = 0;

	for (size_t at = 0; w->net->options.loss > 0 && at < len + 1; at += PACKET) {
		int64_t penalty_ns = packet_penalty(w, flying + (len - at) > 3 * (size_t)PACKET);

		most_ns = penalty_ns > most_ns ? penalty_ns : most_ns;
	}
	return most_ns;
}

/* *ret_given_up: it does not get through before the kernel gives up. */
static int64_t
arrival_of(struct wire *w, struct pipe *p, size_t len, bool *ret_given_up)
{
	int64_t now_ns = w->net->queue->now_ns, penalty_ns = chunk_penalty(w, len, p->flying), arrival_ns;

	if (p->free_ns < now_ns)
		p->free_ns = now_ns;
	if (w->net->options.rate_bits > 0)
		p->free_ns += (int64_t)((double)len * 8e9 / (double)w->net->options.rate_bits);
	arrival_ns = p->free_ns + w->delay_ns +
		     (int64_t)(random_u64(&w->random) %
			       (uint64_t)(w->delay_ns / 800 * w->net->options.spread + 1));
	arrival_ns += penalty_ns;
	*ret_given_up = penalty_ns > NET_GIVE_UP_NS;
	if (arrival_ns < p->last_ns)
		arrival_ns = p->last_ns;
	p->last_ns = arrival_ns;
	return arrival_ns;
}

/* --- ends ------------------------------------------------------------------------------- */

static void on_due(void *what, uint64_t side);

static void
wire_release(struct wire *w)
{
	if (w->pending == 0 && !w->end[0].is_open && !w->end[1].is_open)
		wire_delete(w);
}

static void
set_due(struct wire *w, unsigned int side, int64_t at_ns)
{
	w->pipe[side].is_due = true;
	w->pending++;
	queue_put(w->net->queue, at_ns, on_due, w, side);
}

/* That side learns that there is nothing at the other end any more. */
static void
end_side(struct wire *w, unsigned int side)
{
	if (!w->end[side].is_open)
		return;
	w->end[side].is_open = false;
	drop_chunks(&w->pipe[side]);
	if (w->end[side].user) {
		w->net->hooks.closed(w->net->hooks.arg, w, side);
		w->end[side].user = NULL;
	}
}

static void
on_reset(void *what, uint64_t side)
{
	struct wire *w = what;

	w->pending--;
	if (net_reaches(w->net, w->end[0].host, w->end[1].host))
		end_side(w, (unsigned int)side);
	wire_release(w);
}

static void
on_given_up(void *what, uint64_t side)
{
	struct wire *w = what;

	w->pending--;
	end_side(w, (unsigned int)side);
	wire_release(w);
}

static void
put_chunk(struct wire *w, unsigned int side, const char *bytes, size_t len, bool is_end)
{
	struct pipe *p = &w->pipe[side];
	struct chunk *c = must(malloc(sizeof(*c) + len));
	bool is_given_up;

	*c = (struct chunk){.len = len, .is_end = is_end};
	c->arrival_ns = arrival_of(w, p, len, &is_given_up);
	if (is_given_up) {
		w->pending++;
		queue_put(w->net->queue, w->net->queue->now_ns + NET_GIVE_UP_NS, on_given_up, w, side);
	}
	if (len)
		memcpy(c->bytes, bytes, len);
	if (p->last)
		p->last->next = c;
	else
		p->first = c;
	p->last = c;
	p->flying += len;
	if (!p->is_due)
		set_due(w, side, p->first->arrival_ns);
}

static void
wait_for_way(struct wire *w, unsigned int side)
{
	struct pipe *p = &w->pipe[side];
	int64_t now_ns = w->net->queue->now_ns, so_far_ns;

	if (p->blocked_ns == 0)
		p->blocked_ns = now_ns;
	so_far_ns = now_ns - p->blocked_ns;
	if (so_far_ns >= NET_GIVE_UP_NS) {
		drop_chunks(p);
		end_side(w, side);
		return;
	}
	set_due(w, side, now_ns + (so_far_ns < NET_RETRY_NS ? NET_RETRY_NS : so_far_ns));
}

static void
deliver(struct wire *w, unsigned int side)
{
	struct pipe *p = &w->pipe[side];
	struct end *to = &w->end[1 - side];
	struct chunk *c = p->first;

	p->first = c->next;
	if (!p->first)
		p->last = NULL;
	p->flying -= c->len;
	w->net->bytes += c->len;
	if (!to->is_open) {
		drop_chunks(p);
		w->pending++;
		queue_put(w->net->queue, w->net->queue->now_ns + w->delay_ns, on_reset, w, side);
	} else if (c->is_end) {
		end_side(w, 1 - side);
	} else {
		if (buffer_append(&to->input, (struct text){c->bytes, c->len}) != 0)
			abort(); /* there is a window */
		w->net->hooks.readable(w->net->hooks.arg, w, 1 - side);
	}
	free(c);
}

static void
on_due(void *what, uint64_t side_)
{
	struct wire *w = what;
	unsigned int side = (unsigned int)side_;
	struct pipe *p = &w->pipe[side];

	w->pending--;
	p->is_due = false;
	if (p->first && !net_reaches(w->net, w->end[0].host, w->end[1].host)) {
		wait_for_way(w, side);
	} else if (p->first) {
		p->blocked_ns = 0;
		w->pending++; /* it stays while its hooks are called */
		deliver(w, side);
		w->pending--;
		if (p->first && !p->is_due)
			set_due(w, side, p->first->arrival_ns);
	}
	wire_release(w);
}

/* --- dialling --------------------------------------------------------------------------- */

static struct wire *
wire_new(struct net *n, unsigned int from, unsigned int to)
{
	struct wire *w = must(calloc(1, sizeof(*w)));
	uint64_t pair = mix(n->options.seed, pair_of(n, from, to));
	uint32_t *before = &n->wires_before[pair % PAIRS];
	int64_t spread_ns;

	w->net = n;
	w->random = mix(pair, (*before)++ * 2 + (from < to));
	spread_ns = n->options.delay_ns / 100 * n->options.spread;
	w->delay_ns = n->options.delay_ns - spread_ns / 2 +
		      (int64_t)(mix(pair, 1) % (uint64_t)(spread_ns + 1));
	for (unsigned int side = 0; side < 2; side++) {
		w->end[side].host = side ? to : from;
		w->end[side].input.max = 2 * NET_WINDOW;
	}
	w->next = n->wires;
	w->link = &n->wires;
	if (w->next)
		w->next->link = &w->next;
	n->wires = w;
	return w;
}

/* The answer is back, after whatever it took to get through. */
static void
on_answer(void *what, uint64_t is_welcome)
{
	struct wire *w = what;
	struct net *n = w->net;

	w->pending--;
	if (is_welcome && net_reaches(n, w->end[0].host, w->end[1].host)) {
		w->end[0].is_open = true;
		n->hooks.dialled(n->hooks.arg, w);
		if (!w->end[0].user)
			w->end[0].is_open = false; /* who dialled has died */
	} else {
		n->hooks.failed(n->hooks.arg, w->end[0].host, w->end[1].host, w->tag);
		if (w->is_accepted)
			end_side(w, 1);
	}
	wire_release(w);
}

static void
on_arrival(void *what, uint64_t number)
{
	struct wire *w = what;
	struct net *n = w->net;
	bool is_welcome = n->is_listening[w->end[1].host];

	(void)number;
	w->pending--;
	if (!net_reaches(n, w->end[0].host, w->end[1].host)) {
		w->pending++;
		queue_put(n->queue, n->queue->now_ns + NET_CONNECT_NS, on_answer, w, false);
		return;
	}
	if (is_welcome) {
		w->end[1].is_open = w->is_accepted = true;
		w->pipe[1].last_ns = n->queue->now_ns + w->delay_ns + 1; /* behind the answer */
		n->hooks.accepted(n->hooks.arg, w);
		if (!w->end[1].user)
			w->end[1].is_open = is_welcome = false;
	}
	w->pending++;
	queue_put(n->queue, n->queue->now_ns + w->delay_ns, on_answer, w, is_welcome);
}

void
net_dial(struct net *n, unsigned int from, unsigned int to, uint64_t tag)
{
	struct wire *w = wire_new(n, from, to);
	int64_t penalty_ns = chunk_penalty(w, 0, 0);

	w->tag = tag;
	/* Three times one way and TLS: what comes first waits for it all. */
	w->pending++;
	if (penalty_ns > NET_CONNECT_NS)
		queue_put(n->queue, n->queue->now_ns + NET_CONNECT_NS, on_answer, w, false);
	else
		queue_put(n->queue, n->queue->now_ns + 3 * w->delay_ns + penalty_ns, on_arrival, w, 0);
}

/* --- what a side does ------------------------------------------------------------------- */

unsigned int
wire_host(const struct wire *w, unsigned int side)
{
	return w->end[side].host;
}

uint64_t
wire_tag(const struct wire *w)
{
	return w->tag;
}

void
wire_set_user(struct wire *w, unsigned int side, void *user)
{
	w->end[side].user = user;
}

void *
wire_user(const struct wire *w, unsigned int side)
{
	return w->end[side].user;
}

size_t
wire_room(const struct wire *w, unsigned int side)
{
	size_t held = w->pipe[side].flying + w->end[1 - side].input.len;

	return !w->end[side].is_open || held >= NET_WINDOW ? 0 : NET_WINDOW - held;
}

void
wire_send(struct wire *w, unsigned int side, const char *bytes, size_t len)
{
	if (w->end[side].is_open && len > 0)
		put_chunk(w, side, bytes, len, false);
}

const char *
wire_input(const struct wire *w, unsigned int side, size_t *ret_len)
{
	*ret_len = w->end[side].input.len;
	return w->end[side].input.bytes;
}

void
wire_consume(struct wire *w, unsigned int side, size_t len)
{
	buffer_consume(&w->end[side].input, len);
	if (w->end[side].input.len == 0)
		buffer_done(&w->end[side].input);
	if (w->end[1 - side].is_open && w->end[1 - side].user)
		w->net->hooks.writable(w->net->hooks.arg, w, 1 - side);
}

static void
leave(struct wire *w, unsigned int side)
{
	w->end[side].is_open = false;
	w->end[side].user = NULL;
	buffer_done(&w->end[side].input);
}

void
wire_close(struct wire *w, unsigned int side)
{
	if (!w->end[side].is_open)
		return;
	put_chunk(w, side, NULL, 0, true);
	leave(w, side);
}

void
wire_forget(struct wire *w, unsigned int side)
{
	if (!w->end[side].is_open)
		return;
	drop_chunks(&w->pipe[side]);
	leave(w, side);
	wire_release(w);
}

void
wire_break(struct wire *w)
{
	w->pending++;
	end_side(w, 0);
	end_side(w, 1);
	w->pending--;
	wire_release(w);
}
