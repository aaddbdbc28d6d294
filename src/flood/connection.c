/*
 * A helper has few links and much to say on each, so the buffers are large and
 * shared: a connection keeps only what the kernel did not take, and the piece
 * of a line that was received so far. Sending is done once per turn, when
 * everything that came in has been looked at: what eight peers told in one turn
 * goes out to a ninth in one piece.
 *
 * At its end a connection is not just closed: bytes of the peer that nobody
 * read would make the kernel reset it, and the peer would lose the BYE that
 * says why. So it says its last words, closes its side, and reads on until the
 * peer has closed, for CLOSING_NS.
 */
#include "flood/connection.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

enum {
	CONNECTION_MAGIC = 0x434f4e4e, /* "CONN" */
	TURN_BYTES = 64 << 10,	       /* received and sent per turn */
	RECORD_BYTES = 16 << 10,       /* of TLS: with so much room nothing stays inside of it */
	TURN_RECORDS = 64,	       /* received per turn: a peer may put as little as a byte into each */
	DISCARD_MAX = 4 << 20,
};

#define SHAKE_NS   (5 * CLOCK_SECOND_NS)
#define CLOSING_NS CLOCK_SECOND_NS

struct connection_scratch {
	char in[TURN_BYTES + LINK_LONG_LINE_MAX + RECORD_BYTES];
	char out[TURN_BYTES];
};

/* Bytes that wait; allocated only while there are some. */
struct rest {
	char *at;
	size_t len;
};

struct connection {
	unsigned int magic;
	enum connection_state state;
	struct connection_scratch *scratch;
	const struct connection_hooks *hooks;
	void *arg;
	int fd;
	struct tls_session *tls;
	struct link *link;
	struct event *readable, *writable, *again;
	struct rest in, out;
	bool is_blocked;       /* the kernel takes no more: until it is writable */
	bool read_wants_write; /* TLS has to send something before it can read on */
	bool is_up;	       /* told */
	bool is_shut;	       /* our side is closed */
	bool dialled;
	struct address address;
	int64_t since_ns, closing_ns;
	size_t discarded;
	char why[LINK_WHY_MAX + TLS_WHY_MAX];
};

static struct connection *
connection_check(void *arg)
{
	struct connection *c = arg;

	assert(c->magic == CONNECTION_MAGIC);
	return c;
}

static int
rest_set(struct rest *rest, const char *at, size_t len)
{
	char *copy = NULL;

	if (len > 0) {
		copy = malloc(len);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, at, len);
	}
	free(rest->at);
	*rest = (struct rest){copy, len};
	return 0;
}

/* --- the end ------------------------------------------------------------------ */

static void
explain(struct connection *c, const char *why)
{
	if (!c->why[0])
		snprintf(c->why, sizeof(c->why), "%s", why);
}

/* At once: there is nobody to say anything to. */
static void
end(struct connection *c, const char *why)
{
	explain(c, why);
	c->state = CONNECTION_ENDED;
	(void)event_del(c->readable);
	(void)event_del(c->writable);
	(void)event_del(c->again);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void
begin_to_close(struct connection *c, const char *why)
{
	explain(c, why);
	c->state = CONNECTION_CLOSING;
	c->closing_ns = clock_monotonic_ns();
	(void)event_del(c->again);
	(void)rest_set(&c->in, NULL, 0);
	if (event_add(c->readable, NULL) < 0)
		end(c, why);
}

void
connection_end(struct connection *c, const char *reason)
{
	if (c->state >= CONNECTION_CLOSING)
		return;
	if (c->state == CONNECTION_SHAKING) {
		end(c, reason);
		return;
	}
	link_say_bye(c->link, reason);
	begin_to_close(c, reason);
}

void
connection_abort(struct connection *c, const char *reason)
{
	if (c->state != CONNECTION_ENDED)
		end(c, reason);
}

/* The peer's last words have been heard; until it closes, the rest is for nobody. */
static void
discard(struct connection *c)
{
	ssize_t n = recv(c->fd, c->scratch->in, sizeof(c->scratch->in), MSG_DONTWAIT);

	c->discarded += n > 0 ? (size_t)n : 0;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || c->discarded > DISCARD_MAX)
		end(c, "");
}

/* --- in --------------------------------------------------------------------------- */

/* As recv(): 0 and *ret_len, a positive TLS_E_WANT_*, or negative. */
static int
receive_some(struct connection *c, char *at, size_t room, size_t *ret_len)
{
	ssize_t n;

	if (c->tls)
		return tls_read(c->tls, at, room, ret_len);
	n = recv(c->fd, at, room, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? TLS_E_WANT_READ : -errno;
	*ret_len = (size_t)n;
	return 0;
}

/* Nothing more comes; what came before has been looked at, and may have been a BYE. */
static void
end_of_input(struct connection *c, int error)
{
	if (c->state >= CONNECTION_CLOSING)
		return;
	end(c, error == 0 ? "the peer has closed the connection"
	       : c->tls	  ? tls_session_why(c->tls)
			  : strerror(-error));
}

static void
tell_up(struct connection *c)
{
	if (!c->is_up && link_state(c->link) == LINK_UP && link_is_welcome(c->link)) {
		c->is_up = true;
		c->hooks->up(c->arg, c);
	}
}

static void
pause_reading(struct connection *c)
{
	static const struct timeval pause = {0, 1000};

	(void)event_del(c->readable);
	if (event_add(c->again, &pause) < 0)
		end(c, strerror(ENOMEM));
}

/* The link takes what it can; the rest waits. */
static void
take(struct connection *c, const char *at, size_t len)
{
	size_t taken = 0;
	int r = link_take(c->link, at, len, &taken, clock_now_ns());

	tell_up(c);
	if (c->state != CONNECTION_OPEN)
		return; /* one of the hooks has ended it */
	if (r < 0 || link_state(c->link) == LINK_ENDED)
		begin_to_close(c, link_why(c->link));
	else if (rest_set(&c->in, at + taken, len - taken) < 0)
		end(c, strerror(ENOMEM));
	else if (r == LINK_E_BUSY)
		pause_reading(c);
}

/* One turn's worth, behind what was left. */
static void
receive(struct connection *c)
{
	char *buffer = c->scratch->in;
	size_t len = c->in.len, n = 1;
	int reads_max = c->tls ? TURN_RECORDS : 1, r = 0;

	memcpy(buffer, c->in.at ? c->in.at : "", len);
	for (int reads = 0; r == 0 && n > 0 && len < TURN_BYTES && reads < reads_max; reads++) {
		r = receive_some(c, buffer + len, sizeof(c->scratch->in) - len, &n);
		len += r == 0 ? n : 0;
	}
	c->read_wants_write = r == TLS_E_WANT_WRITE;
	if (len > c->in.len)
		take(c, buffer, len);
	if (r < 0 || (r == 0 && n == 0))
		end_of_input(c, r);
}

static void
connection_on_again(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = connection_check(arg);
	struct rest rest = c->in;

	(void)fd;
	(void)what;
	c->in = (struct rest){0};
	if (event_add(c->readable, NULL) < 0)
		end(c, strerror(ENOMEM));
	else
		take(c, rest.at, rest.len);
	free(rest.at);
}

/* --- out ----------------------------------------------------------------------------- */

/* How much the kernel took; negative, explained. */
static ssize_t
send_some(struct connection *c, const char *at, size_t len)
{
	size_t sent = 0, n = 0;
	ssize_t plain;
	int r = 0;

	if (!c->tls) {
		plain = send(c->fd, at, len, MSG_NOSIGNAL);
		if (plain < 0 && errno != EAGAIN && errno != EINTR) {
			plain = -errno;
			explain(c, strerror(errno));
			return plain;
		}
		return plain < 0 ? 0 : plain;
	}
	while (r == 0 && sent < len) {
		r = tls_write(c->tls, at + sent, len - sent, &n);
		sent += r == 0 ? n : 0;
	}
	if (r < 0)
		explain(c, tls_session_why(c->tls));
	return r < 0 ? r : (ssize_t)sent;
}

static void
wait_until_writable(struct connection *c)
{
	if (event_add(c->writable, NULL) < 0)
		end(c, strerror(ENOMEM));
}

/* False: there is nothing more to send now. */
static bool
send_turn(struct connection *c)
{
	const char *at = c->out.at;
	size_t len = c->out.len;
	ssize_t n;

	if (len == 0) {
		at = c->scratch->out;
		len = link_fill(c->link, c->scratch->out, sizeof(c->scratch->out), clock_now_ns());
	}
	if (len == 0)
		return false;
	n = send_some(c, at, len);
	if (n < 0 || ((size_t)n < len && at == c->out.at && n == 0)) {
		if (n < 0)
			end(c, "");
		c->is_blocked = n >= 0;
	} else if (rest_set(&c->out, at + n, len - (size_t)n) < 0) {
		end(c, strerror(ENOMEM));
	} else {
		c->is_blocked = (size_t)n < len;
	}
	return c->state != CONNECTION_ENDED;
}

/* The last words are out: so is our side of the connection. */
static void
shut(struct connection *c)
{
	if (c->is_shut)
		return;
	c->is_shut = true;
	(void)shutdown(c->fd, SHUT_WR);
}

void
connection_flush(struct connection *c)
{
	if (c->state == CONNECTION_SHAKING || c->state == CONNECTION_ENDED || c->is_blocked || c->is_shut)
		return;
	if (c->out.len == 0 && !link_wants_out(c->link, clock_now_ns())) {
		if (c->state == CONNECTION_CLOSING)
			shut(c);
		return;
	}
	/* One more turn is due when the kernel is ready for it, which may be at once. */
	if (send_turn(c) &&
	    (c->is_blocked || c->state == CONNECTION_CLOSING || link_wants_out(c->link, clock_now_ns())))
		wait_until_writable(c);
}

/* --- the beginning ---------------------------------------------------------------------- */

static int
open_link(struct connection *c)
{
	int r = c->hooks->open(c->arg, c, &c->link);

	if (r < 0) {
		end(c, strerror(-r));
		return r;
	}
	c->state = CONNECTION_OPEN;
	return 0;
}

static void
shake(struct connection *c)
{
	int r = tls_handshake(c->tls);

	if (r < 0)
		end(c, tls_session_why(c->tls));
	else if (r == TLS_E_WANT_WRITE)
		wait_until_writable(c);
	else if (r == 0)
		(void)open_link(c);
}

static void
connection_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = connection_check(arg);

	(void)fd;
	if (c->state == CONNECTION_SHAKING) {
		shake(c);
		return;
	}
	if (what & EV_WRITE)
		c->is_blocked = false; /* the turn's end sends */
	if (c->state == CONNECTION_CLOSING)
		discard(c);
	else if (c->state == CONNECTION_OPEN && (what & EV_READ || c->read_wants_write))
		receive(c);
}

void
connection_tick(struct connection *c)
{
	int64_t now_ns = clock_monotonic_ns();

	if (c->state == CONNECTION_SHAKING && now_ns - c->since_ns > SHAKE_NS)
		end(c, "the handshake takes too long");
	if (c->state == CONNECTION_CLOSING && now_ns - c->closing_ns > CLOSING_NS)
		end(c, "");
	if (c->state == CONNECTION_OPEN && link_tick(c->link, clock_now_ns()) < 0)
		begin_to_close(c, link_why(c->link));
}

static int
make_events(struct connection *c, struct event_base *base)
{
	c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, connection_on_event, c);
	c->writable = event_new(base, c->fd, EV_WRITE, connection_on_event, c);
	c->again = evtimer_new(base, connection_on_again, c);
	return c->readable && c->writable && c->again && event_add(c->readable, NULL) == 0 ? 0 : -ENOMEM;
}

int
connection_new(struct connection **ret, int fd, const struct connection_options *o)
{
	CLEANUP(connection_freep) struct connection *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	*c = (struct connection){
		.magic = CONNECTION_MAGIC,
		.state = CONNECTION_SHAKING,
		.scratch = o->scratch,
		.hooks = o->hooks,
		.arg = o->arg,
		.fd = fd,
		.dialled = o->dialled,
		.address = *o->address,
		.since_ns = clock_monotonic_ns(),
	};
	r = make_events(c, loop_base(o->loop));
	if (r == 0 && o->tls)
		r = tls_session_new(&c->tls, o->tls, fd, o->dialled, o->name);
	if (r == 0 && !o->tls)
		r = open_link(c);
	else if (r == 0 && o->dialled) /* the first word is ours */
		shake(c);
	if (r < 0)
		return r;
	*ret = c;
	c = NULL;
	return 0;
}

struct connection *
connection_free(struct connection *c)
{
	if (!c)
		return NULL;
	link_free(c->link);
	tls_session_free(c->tls);
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	if (c->again)
		event_free(c->again);
	if (c->fd >= 0)
		close(c->fd);
	free(c->in.at);
	free(c->out.at);
	c->magic = 0;
	free(c);
	return NULL;
}

int
connection_scratch_new(struct connection_scratch **ret)
{
	*ret = malloc(sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

struct connection_scratch *
connection_scratch_free(struct connection_scratch *s)
{
	free(s);
	return NULL;
}

/* --- for those who have it ------------------------------------------------------------------ */

enum connection_state
connection_state(const struct connection *c)
{
	return c->state;
}

const char *
connection_why(const struct connection *c)
{
	return c->why;
}

struct link *
connection_link(const struct connection *c)
{
	return c->link;
}

struct tls_session *
connection_tls(const struct connection *c)
{
	return c->tls;
}

const struct address *
connection_address(const struct connection *c)
{
	return &c->address;
}

bool
connection_is_dialled(const struct connection *c)
{
	return c->dialled;
}

int64_t
connection_since_ns(const struct connection *c)
{
	return c->since_ns;
}
