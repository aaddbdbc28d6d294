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
#include "member/crowd.h"
#include "member/datagram.h"
#include "member/session.h"

enum {
	DOOR_MAGIC = 0x646f6f72, /* "door" */
	DOOR_ACCEPTS = 32,	 /* per wake-up, so that open connections get their turn */
	DOOR_REST = 8192,	 /* twice the backlog of the units */
	DOOR_PAUSE_MS = 100,
};

static const struct timeval pause_time = {.tv_usec = DOOR_PAUSE_MS * 1000};

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

	if (event_add(door->pause, &pause_time) == 0)
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
	/* Without memory for either of them the door would stay closed: the timer needs none, it had its place. */
	if (event_add(door->readable, NULL) < 0)
		event_add(door->pause, &pause_time);
}

static void
door_refuse(struct door *door, int fd, const char *setting, uint32_t most)
{
	static struct log_limit limit = LOG_LIMIT("connections refused", 5, 10);
	struct member *m = door->member;
	char peer[ADDRESS_TEXT_MAX];

	member_count(m, TABLE_COUNTER_refused, 1);
	if (log_enabled(LOG_INFO) && log_limit_allow(&limit, m->now_ns))
		log_event(LOG_INFO, MSG_CONNECTION_REFUSED,
			  LOG_FIELDS("HERD_REASON=%s", setting, "HERD_CLIENT=%s", session_peer(fd, peer),
				     "HERD_CONNECTIONS=%u", m->session_count),
			  "Refused %s on %s: %s = %u are open", session_peer(fd, peer), door->socket.text,
			  setting, most);
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

/* A client has come. */
static void
door_take(struct door *door, int client, const struct sockaddr *peer)
{
	struct member *m = door->member;
	struct crowd_address *address;
	int r;

	if (m->session_count >= m->conf.connections_max) {
		door_refuse(door, client, "connections-max", m->conf.connections_max);
		return;
	}
	r = crowd_enter(m->crowd, peer, m->conf.connections_per_address, &address);
	if (r == CROWD_E_FULL) {
		door_refuse(door, client, "connections-per-address", m->conf.connections_per_address);
		return;
	}
	if (r < 0)
		close(client);
	else
		r = session_new(m, client, address);
	if (r < 0)
		member_count(m, TABLE_COUNTER_refused, 1);
	else
		log_opened(door, client);
}

/* The next client that waits; negative errno. The last descriptors are not for clients: -EMFILE as well. */
static int
door_accept(struct door *door, struct sockaddr_storage *ret_peer)
{
	const struct member *m = door->member;
	socklen_t len = sizeof(*ret_peer);
	int client;

	if (m->session_count >= m->session_room)
		return -EMFILE;
	client = accept4(door->socket.fd, (struct sockaddr *)ret_peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return client < 0 ? -errno : client;
}

/* Up to `most` clients. */
static void
door_serve(struct door *door, int most)
{
	for (int i = 0; i < most; i++) {
		struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
		int client = door_accept(door, &peer);

		if (client < 0 && accept_may_go_on(-client))
			continue;
		if (client < 0) {
			if (client != -EAGAIN && client != -EWOULDBLOCK)
				door_pause(door, -client);
			break;
		}
		door_take(door, client, (struct sockaddr *)&peer);
	}
	member_publish_counts(door->member);
}

static void
door_on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	door_serve(door_check(arg), DOOR_ACCEPTS);
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

void
door_close(struct door *door)
{
	event_del(door->pause);
	event_del(door->readable);
}

void
door_open(struct door *door)
{
	door_on_pause_over(-1, 0, door);
}

void
door_take_rest(struct door *door)
{
	if (door->socket.kind == LISTEN_STREAM)
		door_serve(door, DOOR_REST);
	else
		datagram_serve(door->datagram);
}

bool
door_is_idle(const struct door *door)
{
	return !door->datagram || datagram_is_idle(door->datagram);
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
