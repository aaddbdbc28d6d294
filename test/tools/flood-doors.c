/*
 * Doors: non-blocking sockets around one ppoll(). With a few hundred of them
 * that costs less than what the members do for the same commands.
 */
#include "flood-doors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum { DOOR_BUFFER = 1 << 16, DOOR_RETRY_MS = 20 };

struct door {
	int fd; /* < 0: shut */
	bool connecting;
	int64_t retry_ns;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_un un;
	} address;
	socklen_t address_len;
	size_t in_len, out_len;
	uint32_t first, waiting;
	uint64_t number[DOORS_WAITING_MAX]; /* a ring of what waits for an answer */
	char in[DOOR_BUFFER], out[DOOR_BUFFER];
};

struct doors {
	struct doors_hooks hooks;
	unsigned int count;
	uint64_t waiting;
	struct door *door[DOORS_MAX]; /* owned */
	struct pollfd poll[DOORS_MAX + 1];
};

int
doors_new(struct doors **ret, const struct doors_hooks *hooks)
{
	struct doors *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->hooks = *hooks;
	*ret = d;
	return 0;
}

struct doors *
doors_free(struct doors *d)
{
	if (!d)
		return NULL;
	for (unsigned int i = 0; i < d->count; i++) {
		if (d->door[i]->fd >= 0)
			close(d->door[i]->fd);
		free(d->door[i]);
	}
	free(d);
	return NULL;
}

static int
door_parse(struct door *door, const char *where)
{
	const char *colon = strrchr(where, ':');
	char host[INET_ADDRSTRLEN] = "";

	if (where[0] == '/') {
		door->address.un.sun_family = AF_UNIX;
		if (strlen(where) >= sizeof(door->address.un.sun_path))
			return -EINVAL;
		memcpy(door->address.un.sun_path, where, strlen(where) + 1);
		door->address_len = sizeof(door->address.un);
		return 0;
	}
	if (!colon || (size_t)(colon - where) >= sizeof(host))
		return -EINVAL;
	memcpy(host, where, (size_t)(colon - where));
	door->address.in.sin_family = AF_INET;
	door->address.in.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	door->address_len = sizeof(door->address.in);
	return inet_pton(AF_INET, host, &door->address.in.sin_addr) == 1 ? 0 : -EINVAL;
}

int
doors_add(struct doors *d, const char *where)
{
	CLEANUP(cleanup_free) struct door *door = calloc(1, sizeof(*door));
	int r;

	if (!door)
		return -ENOMEM;
	if (d->count == DOORS_MAX)
		return -ENOSPC;
	door->fd = -1;
	r = door_parse(door, where);
	if (r < 0)
		return r;
	d->door[d->count++] = door;
	door = NULL;
	return 0;
}

unsigned int
doors_count(const struct doors *d)
{
	return d->count;
}

unsigned int
doors_open(const struct doors *d)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < d->count; i++)
		count += d->door[i]->fd >= 0 && !d->door[i]->connecting;
	return count;
}

uint64_t
doors_waiting(const struct doors *d)
{
	return d->waiting;
}

/* Whether what was sent through it has been done nobody knows. */
static void
door_shut(struct doors *d, unsigned int index)
{
	struct door *door = d->door[index];

	close(door->fd);
	door->fd = -1;
	door->retry_ns = clock_monotonic_ns() + DOOR_RETRY_MS * CLOCK_MSEC_NS;
	door->in_len = door->out_len = 0;
	for (; door->waiting > 0; door->waiting--, d->waiting--) {
		d->hooks.lost(d->hooks.arg, index, door->number[door->first]);
		door->first = (door->first + 1) % DOORS_WAITING_MAX;
	}
}

static void
door_open(struct door *door)
{
	int one = 1;

	door->fd = socket(door->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (door->fd < 0)
		return;
	if (door->address.any.sa_family == AF_INET)
		setsockopt(door->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	door->connecting = connect(door->fd, &door->address.any, door->address_len) < 0;
	if (door->connecting && errno != EINPROGRESS) {
		close(door->fd);
		door->fd = -1;
		door->connecting = false;
		door->retry_ns = clock_monotonic_ns() + DOOR_RETRY_MS * CLOCK_MSEC_NS;
	}
}

bool
doors_tell(struct doors *d, unsigned int index, uint64_t number, struct text line)
{
	struct door *door = d->door[index];

	if (door->fd < 0 || door->connecting || door->waiting == DOORS_WAITING_MAX ||
	    door->out_len + line.len > sizeof(door->out))
		return false;
	memcpy(door->out + door->out_len, line.at, line.len);
	door->out_len += line.len;
	door->number[(door->first + door->waiting++) % DOORS_WAITING_MAX] = number;
	d->waiting++;
	return true;
}

static void
door_send(struct doors *d, unsigned int index)
{
	struct door *door = d->door[index];
	ssize_t n = send(door->fd, door->out, door->out_len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN) {
		door_shut(d, index);
	} else if (n > 0) {
		door->out_len -= (size_t)n;
		memmove(door->out, door->out + n, door->out_len);
	}
}

static void
door_take_lines(struct doors *d, unsigned int index)
{
	struct door *door = d->door[index];
	char *at = door->in, *end = door->in + door->in_len, *lf;

	while (door->waiting > 0 && (lf = memchr(at, '\n', (size_t)(end - at)))) {
		uint64_t number = door->number[door->first];

		door->first = (door->first + 1) % DOORS_WAITING_MAX;
		door->waiting--;
		d->waiting--;
		d->hooks.answered(d->hooks.arg, index, number, (struct text){at, (size_t)(lf - at)});
		at = lf + 1;
	}
	door->in_len = (size_t)(end - at);
	memmove(door->in, at, door->in_len);
}

static void
door_receive(struct doors *d, unsigned int index)
{
	struct door *door = d->door[index];
	ssize_t n = recv(door->fd, door->in + door->in_len, sizeof(door->in) - door->in_len, 0);

	if (n > 0) {
		door->in_len += (size_t)n;
		door_take_lines(d, index);
	} else if (n == 0 || errno != EAGAIN) {
		door_shut(d, index);
	}
}

static void
door_finish_connecting(struct doors *d, unsigned int index)
{
	struct door *door = d->door[index];
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(door->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0)
		door_shut(d, index);
	door->connecting = false;
}

/* Opens what is shut and due, sends what can be sent; what is then to be waited for. */
static void
doors_prepare(struct doors *d)
{
	for (unsigned int i = 0; i < d->count; i++) {
		struct door *door = d->door[i];

		if (door->fd < 0 && clock_monotonic_ns() >= door->retry_ns)
			door_open(door);
		if (door->fd >= 0 && !door->connecting && door->out_len > 0)
			door_send(d, i);
		d->poll[i].fd = door->fd;
		d->poll[i].events = (short)(POLLIN | (door->connecting || door->out_len > 0 ? POLLOUT : 0));
		d->poll[i].revents = 0;
	}
}

int
doors_turn(struct doors *d, int64_t wait_ns, int fd, bool *ret_fd)
{
	struct timespec wait = {.tv_sec = wait_ns / CLOCK_SECOND_NS, .tv_nsec = wait_ns % CLOCK_SECOND_NS};

	doors_prepare(d);
	d->poll[d->count] = (struct pollfd){.fd = fd, .events = POLLIN};
	if (ppoll(d->poll, d->count + 1, &wait, NULL) < 0)
		return errno == EINTR ? 0 : -errno;
	for (unsigned int i = 0; i < d->count; i++) {
		if (d->poll[i].fd < 0 || d->poll[i].revents == 0)
			continue;
		if (d->door[i]->connecting)
			door_finish_connecting(d, i);
		else if (d->poll[i].revents & (POLLIN | POLLHUP | POLLERR))
			door_receive(d, i);
	}
	*ret_fd = d->poll[d->count].revents != 0;
	return 0;
}
