/*
 * sd_notify() of libsystemd sends on a blocking socket: a service manager that
 * is busy (daemon-reexec, a thousand units starting) would stop the event loop
 * of every program of the host with it. So the few datagrams are sent by
 * ourselves, and those that find no room wait here.
 *
 * What waits is bounded, because it can be said shorter: of states only the
 * last few matter, of statuses and pings only the last one.
 */
#include "net/notify.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "net/passed.h"

enum {
	NOTIFY_MAGIC = 0x4e544659, /* "NTFY" */
	KEPT_MAX = 8,		   /* states that wait; then the oldest goes */
	STATE_SIZE = 128,
	AGAIN_MS = 100,
	WATCHES = 3, /* looks at the progress per watchdog interval */
};

#define EXTEND		"EXTEND_TIMEOUT_USEC="
#define STATUS_EVERY_NS (2 * CLOCK_SECOND_NS)

struct state {
	char text[STATE_SIZE];
	int fd; /* goes along; not owned, -1: none */
};

struct notify {
	unsigned int magic;
	int fd;
	struct sockaddr_un to;
	socklen_t to_len;

	struct state kept[KEPT_MAX];
	unsigned int kept_count;
	char wanted[NOTIFY_STATUS_MAX], told[NOTIFY_STATUS_MAX];
	int64_t told_ns; /* monotonic; 0: never */
	bool ping;	 /* one is due */

	struct event *again; /* pending while something waits */
	struct loop_timer *watch;
	int64_t watchdog_ns; /* 0: no pings wanted */
	notify_progress *progress;
	void *progress_arg;
};

/* --- sending ---------------------------------------------------------------- */

/* 0; negative errno: not now. */
static int
send_text(const struct notify *n, const char *text, int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec bytes = {.iov_base = (char *)text, .iov_len = strlen(text)};
	struct msghdr message = {
		.msg_name = (void *)&n->to,
		.msg_namelen = n->to_len,
		.msg_iov = &bytes,
		.msg_iovlen = 1,
	};

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		control.head = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	return sendmsg(n->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int
send_kept(struct notify *n)
{
	unsigned int sent = 0;
	int r = 0;

	while (sent < n->kept_count && r == 0) {
		r = send_text(n, n->kept[sent].text, n->kept[sent].fd);
		sent += r == 0;
	}
	n->kept_count -= sent;
	memmove(n->kept, n->kept + sent, n->kept_count * sizeof(n->kept[0]));
	return r;
}

/* How long the status that is wanted has to wait; 0: send it, or there is none. */
static int64_t
status_wait_ns(const struct notify *n)
{
	int64_t wait_ns = n->told_ns + STATUS_EVERY_NS - clock_monotonic_ns();

	return strcmp(n->wanted, n->told) == 0 || n->told_ns == 0 || wait_ns < 0 ? 0 : wait_ns;
}

static int
send_status(struct notify *n)
{
	char text[sizeof("STATUS=") + NOTIFY_STATUS_MAX];
	int r;

	if (strcmp(n->wanted, n->told) == 0)
		return 0;
	snprintf(text, sizeof(text), "STATUS=%s", n->wanted);
	r = send_text(n, text, -1);
	if (r == 0) {
		memcpy(n->told, n->wanted, sizeof(n->told));
		n->told_ns = clock_monotonic_ns();
	}
	return r;
}

/* States in their order, then what only the newest counts of. */
static void
flush(struct notify *n)
{
	int r = send_kept(n);
	int64_t wait_ns;

	if (r == 0 && status_wait_ns(n) == 0)
		r = send_status(n);
	if (r == 0 && n->ping) {
		r = send_text(n, "WATCHDOG=1", -1);
		n->ping = r < 0;
	}
	wait_ns = r < 0 ? AGAIN_MS * CLOCK_MSEC_NS : status_wait_ns(n);
	if (wait_ns > 0 && n->again && !evtimer_pending(n->again, NULL)) {
		const struct timeval wait = {
			.tv_sec = wait_ns / CLOCK_SECOND_NS,
			.tv_usec = wait_ns % CLOCK_SECOND_NS / 1000,
		};

		evtimer_add(n->again, &wait);
	}
}

void
notify_flush(struct notify *n)
{
	if (n)
		flush(n);
}

static void
keep(struct notify *n, const char *text, int fd)
{
	struct state *state;

	if (!n)
		return;
	assert(strlen(text) < STATE_SIZE);
	if (n->kept_count == KEPT_MAX) {
		memmove(n->kept, n->kept + 1, sizeof(n->kept) - sizeof(n->kept[0]));
		n->kept_count--;
	}
	state = &n->kept[n->kept_count++];
	snprintf(state->text, sizeof(state->text), "%s", text);
	state->fd = fd;
	flush(n);
}

/* --- what there is to say ------------------------------------------------------ */

void
notify_ready(struct notify *n)
{
	keep(n, "READY=1", -1);
}

/* Units of Type=notify-reload wait for the time: it tells them that this answers their request. */
void
notify_reloading(struct notify *n)
{
	char text[STATE_SIZE];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_monotonic_ns() / 1000);
	keep(n, text, -1);
}

void
notify_stopping(struct notify *n)
{
	keep(n, "STOPPING=1", -1);
}

void
notify_extend_timeout(struct notify *n, int64_t ns)
{
	char text[STATE_SIZE];

	if (!n)
		return;
	/* One that still waits is made longer: a hundred of them must not push out what else was said. */
	if (n->kept_count && strncmp(n->kept[n->kept_count - 1].text, EXTEND, strlen(EXTEND)) == 0)
		n->kept_count--;
	snprintf(text, sizeof(text), EXTEND "%" PRId64, ns / 1000);
	keep(n, text, -1);
}

void
notify_store(struct notify *n, int fd, const char *name)
{
	char text[STATE_SIZE];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	keep(n, text, fd);
}

void
notify_store_remove(struct notify *n, const char *name)
{
	char text[STATE_SIZE];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	keep(n, text, -1);
}

void
notify_status(struct notify *n, const char *text)
{
	if (!n)
		return;
	/* systemd drops a status with a line end or with what is no UTF-8. */
	utf8_escape(text_of(text), n->wanted, sizeof(n->wanted));
	flush(n);
}

void
notify_status_now(struct notify *n, const char *text)
{
	if (!n)
		return;
	n->told_ns = 0;
	notify_status(n, text);
}

unsigned int
notify_kept(const struct notify *n)
{
	return n ? n->kept_count + (strcmp(n->wanted, n->told) != 0) + n->ping : 0;
}

/* --- the loop --------------------------------------------------------------------- */

static struct notify *
notify_check(void *arg)
{
	struct notify *n = arg;

	assert(n->magic == NOTIFY_MAGIC);
	return n;
}

static void
notify_on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush(notify_check(arg));
}

static void
notify_on_watch(void *arg)
{
	struct notify *n = notify_check(arg);

	if (n->progress && !n->progress(n->progress_arg))
		return;
	n->ping = true;
	flush(n);
}

int
notify_attach(struct notify *n, struct loop *loop, notify_progress *progress, void *arg)
{
	int r = 0;

	if (!n)
		return 0;
	n->progress = progress;
	n->progress_arg = arg;
	n->again = evtimer_new(loop_base(loop), notify_on_again, n);
	if (!n->again)
		return -ENOMEM;
	if (n->watchdog_ns > 0)
		r = loop_timer_new(&n->watch, loop, n->watchdog_ns / WATCHES, notify_on_watch, n);
	flush(n);
	return r;
}

void
notify_detach(struct notify *n)
{
	if (!n)
		return;
	n->watch = loop_timer_free(n->watch);
	if (n->again)
		event_free(n->again);
	n->again = NULL;
}

/* --- coming and going ----------------------------------------------------------------- */

/* "/path" or "@name", as sd_notify(3) has it. */
static int
take_address(struct notify *n, const char *text)
{
	size_t len = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || len < 2 || len > sizeof(n->to.sun_path) - 1)
		return -EINVAL;
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, text, len);
	if (text[0] == '@')
		n->to.sun_path[0] = '\0';
	n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return 0;
}

int
notify_new(struct notify **ret)
{
	CLEANUP(notify_freep) struct notify *n = NULL;
	const char *where = getenv("NOTIFY_SOCKET");
	int r;

	if (!where || !where[0]) {
		*ret = NULL;
		return 0;
	}
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->magic = NOTIFY_MAGIC;
	n->fd = -1;
	r = take_address(n, where);
	if (r < 0)
		return r;
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0)
		return -errno;
	n->watchdog_ns = passed_watchdog_ns();
	*ret = n;
	n = NULL;
	return 0;
}

struct notify *
notify_free(struct notify *n)
{
	if (!n)
		return NULL;
	if (n->fd >= 0 && send_kept(n) == 0)
		(void)send_status(n);
	notify_detach(n);
	if (n->fd >= 0)
		close(n->fd);
	n->magic = 0;
	free(n);
	return NULL;
}
