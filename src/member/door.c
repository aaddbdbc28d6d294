/*
 * Door: accepting, and what happens when there are no descriptors left.
 *
 * A listening socket that cannot be accepted from stays readable: without a
 * pause the loop would spin. So the door closes for a moment and the clients
 * wait in the kernel's queue.
 */
#include "member/door.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "herd/events.h"
#include "member/datagram.h"
#include "member/session.h"

enum {
	DOOR_MAGIC = 0x646f6f72, /* "door" */
	DOOR_ACCEPTS = 32,	 /* per wake-up, so that open connections get their turn */
	DOOR_PAUSE_MS = 100,
};

struct door {
	uint32_t magic;
	struct member *member;
	struct listen_socket socket;
	struct event *readable;	   /* owned */
	struct event *pause;	   /* owned */
	struct datagram *datagram; /* owned; of a UDP socket */
};

static struct door *
door_check(void *arg)
{
	struct door *door = arg;

	assert(door->magic == DOOR_MAGIC);
	return door;
}

static void
door_pause(struct door *door, int error)
{
	static struct log_limit limit = LOG_LIMIT("pauses in accepting", 1, 10);
	const struct timeval wait = {.tv_usec = DOOR_PAUSE_MS * 1000};

	if (event_add(door->pause, &wait) == 0)
		event_del(door->readable);
	if (log_limit_allow(&limit, clock_monotonic_ns()))
		log_event(LOG_WARNING, MSG_CONNECTION_REFUSED, LOG_FIELDS("HERD_REASON=%s", strerror(error)),
			  "Cannot accept on %s: %s; new clients wait", door->socket.text, strerror(error));
}

static void
door_on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct door *door = door_check(arg);

	(void)fd;
	(void)what;
	event_add(door->readable, NULL);
}

static void
door_refuse(struct door *door, int fd)
{
	static struct log_limit limit = LOG_LIMIT("connections refused", 5, 10);
	struct member *m = door->member;
	char peer[ADDRESS_TEXT_MAX];

	member_count(m, TABLE_COUNTER_refused, 1);
	if (log_enabled(LOG_INFO) && log_limit_allow(&limit, m->now_ns))
		log_event(LOG_INFO, MSG_CONNECTION_REFUSED,
			  LOG_FIELDS("HERD_CLIENT=%s", session_peer(fd, peer), "HERD_CONNECTIONS=%u",
				     m->session_count),
			  "Refused %s on %s: connections-max = %u are open", session_peer(fd, peer),
			  door->socket.text, m->conf.connections_max);
	close(fd);
}

static void
log_opened(const struct door *door, int fd)
{
	static struct log_limit limit = LOG_LIMIT("connections opened", 10, 10);
	char peer[ADDRESS_TEXT_MAX];

	if (log_enabled(LOG_INFO) && log_limit_allow(&limit, door->member->now_ns))
		log_event(LOG_INFO, NULL, LOG_FIELDS("HERD_CLIENT=%s", session_peer(fd, peer)),
			  "Opened a connection on %s from %s, %u now", door->socket.text,
			  session_peer(fd, peer), door->member->session_count);
}

/* The peer gave up before we came, or a signal did: the next one may be fine. */
static bool
accept_may_go_on(int error)
{
	return error == ECONNABORTED || error == EINTR || error == EPROTO || error == EPERM;
}

static void
door_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct door *door = door_check(arg);
	struct member *m = door->member;

	(void)what;
	for (int i = 0; i < DOOR_ACCEPTS; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client < 0 && accept_may_go_on(errno))
			continue;
		if (client < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				door_pause(door, errno);
			break;
		}
		if (m->session_count >= m->conf.connections_max)
			door_refuse(door, client);
		else if (session_new(m, client) == 0)
			log_opened(door, client);
		else
			member_count(m, TABLE_COUNTER_refused, 1);
	}
	member_publish_counts(m);
}

static void
door_on_datagram(evutil_socket_t fd, short what, void *arg)
{
	struct door *door = door_check(arg);

	(void)fd;
	(void)what;
	datagram_serve(door->datagram);
	member_publish_counts(door->member);
}

int
door_new(struct door **ret, struct member *m, const struct listen_socket *socket)
{
	struct door *door = calloc(1, sizeof(*door));
	struct event_base *base = loop_base(m->loop);

	if (!door) {
		struct listen_socket gone = *socket;

		listen_done(&gone);
		return -ENOMEM;
	}
	*door = (struct door){.magic = DOOR_MAGIC, .member = m, .socket = *socket};
	door->readable = event_new(base, socket->fd, EV_READ | EV_PERSIST,
				   socket->kind == LISTEN_STREAM ? door_on_readable : door_on_datagram, door);
	door->pause = evtimer_new(base, door_on_pause_over, door);
	if (socket->kind == LISTEN_DATAGRAM && datagram_new(&door->datagram, m, socket->fd) < 0) {
		door_free(door);
		return -ENOMEM;
	}
	if (!door->readable || !door->pause || event_add(door->readable, NULL) < 0) {
		door_free(door);
		return -ENOMEM;
	}
	*ret = door;
	return 0;
}

struct door *
door_free(struct door *door)
{
	if (!door)
		return NULL;
	if (door->readable)
		event_free(door->readable);
	if (door->pause)
		event_free(door->pause);
	datagram_free(door->datagram);
	listen_done(&door->socket);
	door->magic = 0;
	free(door);
	return NULL;
}

const char *
door_text(const struct door *door)
{
	return door->socket.text;
}

bool
door_reach(const struct door *door, char out[LISTEN_TEXT_MAX])
{
	listen_reach(&door->socket, out);
	return door->socket.kind == LISTEN_STREAM;
}
