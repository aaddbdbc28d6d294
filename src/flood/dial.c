/*
 * The kernel would go on knocking for two minutes; we give up after seconds and
 * come back later, because the peer may have another address by then. Of a name
 * with several addresses each gets its turn.
 */
#include "flood/dial.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flood/resolve.h"

enum {
	DIAL_MAGIC = 0x4449414c, /* "DIAL" */
	WHY_MAX = 200,
	KERNEL_UNSENT =
		32 << 10, /* what is unsent in the kernel can no longer be replaced by something newer */
	KERNEL_BUFFER = 64 << 10,
	SILENCE_MS = 8000, /* of acknowledgements: as LINK_DEAD_NS */
};

struct dial {
	unsigned int magic;
	struct loop *loop;
	struct resolve *resolve;
	struct event *event; /* of fd, or to tell at once why not; NULL before the first */
	int fd;
	struct address at[RESOLVE_MAX];
	size_t count, tried;
	dial_fn *fn;
	void *arg;
	char why[WHY_MAX];
};

static int
set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int
dial_set_options(int fd)
{
	int r = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);

	if (r == 0)
		r = set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, KERNEL_UNSENT);
	if (r == 0)
		r = set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, SILENCE_MS);
	return r == 0 ? set_option(fd, SOL_SOCKET, SO_SNDBUF, KERNEL_BUFFER) : r;
}

static void dial_on_event(evutil_socket_t fd, short what, void *arg);

static void
end_attempt(struct dial *d)
{
	if (d->event)
		event_free(d->event);
	d->event = NULL;
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

/* A connected socket, or one that will be; negative errno. */
static int
connect_to(const struct address *a)
{
	CLEANUP(cleanup_close)
	int fd = socket(a->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = dial_set_options(fd);
	if (r == 0 && connect(fd, (const struct sockaddr *)&a->socket, a->len) < 0 && errno != EINPROGRESS)
		r = -errno;
	if (r < 0)
		return r;
	r = fd;
	fd = -1;
	return r;
}

static void
note_failure(struct dial *d, int error)
{
	char where[ADDRESS_TEXT_MAX];

	snprintf(d->why, sizeof(d->why), "%s: %s",
		 address_format((const struct sockaddr *)&d->at[d->tried].socket, where),
		 error == ETIMEDOUT ? "no answer" : strerror(error));
	d->tried++;
}

/* The next address that does not refuse at once. False: there is none, why is said. */
static bool
try_next(struct dial *d)
{
	static const struct timeval patience = {DIAL_NS / CLOCK_SECOND_NS, 0};

	for (; d->tried < d->count; note_failure(d, d->fd < 0 ? -d->fd : ENOMEM)) {
		d->fd = connect_to(&d->at[d->tried]);
		if (d->fd < 0)
			continue;
		d->event = event_new(loop_base(d->loop), d->fd, EV_WRITE, dial_on_event, d);
		if (d->event && event_add(d->event, &patience) == 0)
			return true;
		end_attempt(d);
	}
	d->fd = -1;
	return false;
}

static void
dial_on_event(evutil_socket_t unused, short what, void *arg)
{
	struct dial *d = arg;
	int error = what & EV_TIMEOUT ? ETIMEDOUT : 0, fd;
	socklen_t len = sizeof(error);

	(void)unused;
	assert(d->magic == DIAL_MAGIC);
	if (!error && getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0) {
		fd = d->fd;
		d->fd = -1;
		d->fn(d->arg, fd, &d->at[d->tried], NULL);
		return;
	}
	end_attempt(d);
	note_failure(d, error);
	if (!try_next(d))
		d->fn(d->arg, -1, NULL, d->why);
}

static void
dial_on_resolved(void *arg, const struct address *at, size_t count, const char *why)
{
	struct dial *d = arg;

	assert(d->magic == DIAL_MAGIC);
	memcpy(d->at, at, count * sizeof(*at));
	d->count = count;
	if (count == 0)
		snprintf(d->why + strlen(d->why), sizeof(d->why) - strlen(d->why), ": %s", why);
	if (!try_next(d))
		d->fn(d->arg, -1, NULL, d->why);
}

static void
dial_on_failure(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;

	(void)fd;
	(void)what;
	assert(d->magic == DIAL_MAGIC);
	d->fn(d->arg, -1, NULL, d->why);
}

/* Nothing has begun: told from the loop, as any other end. */
static int
fail_later(struct dial *d, const char *why)
{
	static const struct timeval now = {0, 0};

	snprintf(d->why + strlen(d->why), sizeof(d->why) - strlen(d->why), ": %s", why);
	d->event = evtimer_new(loop_base(d->loop), dial_on_failure, d);
	return d->event && event_add(d->event, &now) == 0 ? 0 : -ENOMEM;
}

int
dial_start(struct dial **ret, struct loop *loop, const char *address, dial_fn *fn, void *arg)
{
	CLEANUP(dial_freep) struct dial *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	*d = (struct dial){.magic = DIAL_MAGIC, .loop = loop, .fd = -1, .fn = fn, .arg = arg};
	snprintf(d->why, sizeof(d->why), "%.100s", address);
	r = resolve_start(&d->resolve, loop, address, dial_on_resolved, d);
	if (r == -EAGAIN)
		r = fail_later(d, "too many names are looked up");
	else if (r < 0 && r != -ENOMEM)
		r = fail_later(d, strerror(-r));
	if (r < 0)
		return r;
	*ret = d;
	d = NULL;
	return 0;
}

struct dial *
dial_free(struct dial *d)
{
	if (d) {
		resolve_free(d->resolve);
		end_attempt(d);
		d->magic = 0;
		free(d);
	}
	return NULL;
}
