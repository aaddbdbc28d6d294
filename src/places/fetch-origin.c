/*
 * A server of HTTP/1.1 has one request on a connection, one of HTTP/2 many.
 *
 * curl looks at every request of a connection when one of them has its answer:
 * with a hundred on each, half of a lookup's time went there. So a connection
 * gets ten, and more only when there are as many connections as there may be.
 *
 * If curl has more requests than the connections carry that stand, it opens one
 * for each of the rest. So of such requests it gets a few at a time, and the
 * next ones when those are being sent.
 */
#include "places/fetch-origin.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	STREAMS_FEW = 10,
	STREAMS_MAX = 100, /* what servers usually allow */
	ORIGINS_MAX = 16,  /* remembered without a request */
};

static bool
origin_is_idle(const struct fetch_origin *o)
{
	return o->under_way == 0 && o->sockets == 0 && TAILQ_EMPTY(&o->waiting);
}

void
origins_forget(struct origins *all, size_t max)
{
	struct fetch_origin **at = &all->first;

	while (*at && all->count > max) {
		struct fetch_origin *o = *at;

		if (!origin_is_idle(o)) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		free(o);
		all->count--;
	}
}

struct fetch_origin *
origins_get(struct origins *all, struct text name)
{
	struct fetch_origin *o = all->first;

	while (o && !text_equal(o->name, name))
		o = o->next;
	if (o)
		return o;
	o = calloc(1, sizeof(*o) + name.len);
	if (!o)
		return NULL;
	origins_forget(all, ORIGINS_MAX - 1);
	memcpy(o + 1, name.at, name.len);
	o->name = (struct text){(const char *)(o + 1), name.len};
	TAILQ_INIT(&o->waiting);
	TAILQ_INIT(&o->open);
	o->next = all->first;
	all->first = o;
	all->count++;
	return o;
}

unsigned int
origins_spread(struct origins *all)
{
	unsigned int streams = STREAMS_FEW;
	uint64_t wanted = 0;

	for (struct fetch_origin *o = all->first; o; o = o->next)
		wanted += o->queued + o->under_way;
	while (streams < STREAMS_MAX && (uint64_t)streams * all->connections_max < wanted)
		streams *= 2;
	all->streams = streams < STREAMS_MAX ? streams : STREAMS_MAX;
	return all->streams;
}

/* Connections that so many of its requests take. */
static uint32_t
connections_for(const struct origins *all, const struct fetch_origin *o, uint32_t requests)
{
	return o->is_http2 ? (requests + all->streams - 1) / all->streams : requests;
}

/* Of HTTP/2, connections that stand. */
static uint32_t
origin_connected(const struct fetch_origin *o)
{
	return o->sockets > o->connecting ? o->sockets - o->connecting : 0;
}

/* Connections that may be opened at once: what the rest needs, and half as many as there are. */
static uint32_t
openings_max(const struct origins *all, const struct fetch_origin *o)
{
	uint32_t connected = origin_connected(o);
	uint32_t needed = connections_for(all, o, o->queued + o->under_way);
	uint32_t most = needed < all->connections_max ? needed : all->connections_max;

	most = most > connected ? most - connected : 0;
	return most < 1 + connected / 2 ? most : 1 + connected / 2;
}

/* Its next request is carried by a connection, or may open one. */
static bool
origin_takes(const struct origins *all, const struct fetch_origin *o)
{
	return !o->is_http2 || o->under_way / all->streams < origin_connected(o) ||
	       o->opening < openings_max(all, o);
}

struct fetch_origin *
origins_next(const struct origins *all)
{
	struct fetch_origin *next = NULL;
	uint32_t used = 0;

	for (struct fetch_origin *o = all->first; o; o = o->next)
		used += connections_for(all, o, o->under_way);
	for (struct fetch_origin *o = all->first; o; o = o->next) {
		struct fetch_request *first = TAILQ_FIRST(&o->waiting);
		uint32_t more;

		if (!first || !origin_takes(all, o) ||
		    (next && TAILQ_FIRST(&next->waiting)->number < first->number))
			continue;
		more = connections_for(all, o, o->under_way + 1) - connections_for(all, o, o->under_way);
		if (more == 0 || used < all->connections_max)
			next = o;
	}
	return next;
}

void
origin_queue(struct fetch_request *r)
{
	TAILQ_INSERT_TAIL(&r->origin->waiting, r, link);
	r->origin->queued++;
}

void
origin_unqueue(struct fetch_request *r)
{
	TAILQ_REMOVE(&r->origin->waiting, r, link);
	r->origin->queued--;
}

void
origin_begin(struct origins *all, struct fetch_request *r)
{
	struct fetch_origin *o = r->origin;

	r->is_opening = o->is_http2 && o->under_way / all->streams >= origin_connected(o);
	o->opening += r->is_opening;
	o->under_way++;
}

/* curl does not say so of every socket: not when the time to connect is over. */
static void
forget_socket(struct fetch_origin *o, struct origin_socket *s)
{
	o->connecting -= s->opener != NULL;
	o->sockets--;
	TAILQ_REMOVE(&o->open, s, link);
	free(s);
}

static void
stop_opening(struct fetch_request *r, bool is_sent)
{
	struct fetch_origin *o = r->origin;
	struct origin_socket *s, *next;

	assert(o->opening >= r->is_opening);
	o->opening -= r->is_opening;
	r->is_opening = false;
	for (s = r->has_opened ? TAILQ_FIRST(&o->open) : NULL; s; s = next) {
		next = TAILQ_NEXT(s, link);
		if (s->opener != r)
			continue;
		if (is_sent) {
			s->opener = NULL;
			o->connecting--;
		} else
			forget_socket(o, s);
	}
	r->has_opened = false;
}

void
origin_end(struct fetch_request *r)
{
	assert(r->origin->under_way > 0);
	stop_opening(r, false);
	r->origin->under_way--;
}

void
origin_closed(struct fetch_origin *o, curl_socket_t fd)
{
	struct origin_socket *s = TAILQ_FIRST(&o->open);

	while (s && s->fd != fd)
		s = TAILQ_NEXT(s, link);
	if (s)
		forget_socket(o, s);
}

int
origin_opened(struct fetch_request *r, curl_socket_t fd)
{
	struct fetch_origin *o = r->origin;
	struct origin_socket *s;

	origin_closed(o, fd); /* if it ever was another one */
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fd = fd;
	s->opener = r;
	TAILQ_INSERT_TAIL(&o->open, s, link);
	o->sockets++;
	o->connecting++;
	r->has_opened = true;
	return 0;
}

void
origin_answered(struct fetch_origin *o, bool is_http2)
{
	o->is_http2 = is_http2;
}

void
origin_sends(struct fetch_request *r, bool is_http2)
{
	stop_opening(r, true);
	r->origin->is_http2 = is_http2;
}
