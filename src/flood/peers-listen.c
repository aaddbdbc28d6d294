/*
 * Whoever reaches the port can have us calculate: a handshake costs a good part
 * of a millisecond before anything is proven. So there are so many of them a
 * second, and so many connections at a time that have not said who they are;
 * the rest is closed at once, which costs nearly nothing. Hosts that were here
 * before, or whose address is in the list, have an allowance of their own, so
 * that a crowd of strangers does not keep them out.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "flood/peers-private.h"
#include "herd/events.h"

enum {
	ACCEPTS = 32,	   /* per turn */
	UNPROVEN_MAX = 64, /* connections that have not said who they are */
};

#define PATIENCE_NS CLOCK_SECOND_NS /* so long somebody unproven may stay though others wait */

static const struct timeval pause_time = {0, 100000};

static struct listener *
listener_check(void *arg)
{
	struct listener *l = arg;

	assert(l->magic == LISTENER_MAGIC);
	return l;
}

/* --- how many ---------------------------------------------------------------------- */

static bool
allow(struct allowance *a, int64_t now_ns)
{
	a->saved_ns += now_ns - a->then_ns;
	a->then_ns = now_ns;
	if (a->saved_ns > a->most_ns)
		a->saved_ns = a->most_ns;
	if (a->saved_ns < a->each_ns)
		return false;
	a->saved_ns -= a->each_ns;
	return true;
}

static bool
is_acquainted(const struct peers *p, const struct address *address)
{
	for (const struct acquaintance *a = p->acquaintances; a; a = a->next)
		if (address_same_host(&a->address, address))
			return true;
	for (size_t i = 0; i < p->setup.number_count; i++)
		if (address_same_host(&p->setup.numbers[i], address))
			return true;
	return false;
}

static bool
is_unproven(const struct peer *peer)
{
	return peer->connection && !connection_is_dialled(peer->connection) && !peer->is_greeted &&
	       connection_state(peer->connection) != CONNECTION_ENDED;
}

static unsigned int
count_unproven(const struct peers *p, const struct address *from)
{
	unsigned int count = 0;

	for (const struct peer *peer = p->first; peer; peer = peer->next)
		count += is_unproven(peer) &&
			 (!from || address_same_host(connection_address(peer->connection), from));
	return count;
}

/* The oldest of those from the address with most of them. */
static struct peer *
find_worst(struct peers *p)
{
	unsigned int most = 0;
	struct peer *worst = NULL;

	for (struct peer *peer = p->first; peer; peer = peer->next) { /* the newest first */
		unsigned int count;

		if (!is_unproven(peer))
			continue;
		count = count_unproven(p, connection_address(peer->connection));
		if (count >= most) {
			most = count;
			worst = peer;
		}
	}
	return worst;
}

/* Room for one more who has to prove itself; somebody may have to go for it. */
static bool
make_room(struct peers *p, const struct address *address, int64_t now_ns)
{
	struct peer *worst;

	if (count_unproven(p, NULL) < UNPROVEN_MAX)
		return true;
	worst = find_worst(p);
	if (count_unproven(p, connection_address(worst->connection)) <= count_unproven(p, address) + 1 &&
	    now_ns - connection_since_ns(worst->connection) < PATIENCE_NS)
		return false;
	connection_abort(worst->connection, "it has not said who it is, and others wait");
	return true;
}

static void
take(struct peers *p, int fd, const struct address *address)
{
	int64_t now_ns = clock_monotonic_ns();
	struct allowance *allowance = is_acquainted(p, address) ? &p->acquainted : &p->strangers;
	char where[ADDRESS_TEXT_MAX];

	if (p->mesh && !p->is_stopping && allow(allowance, now_ns) && make_room(p, address, now_ns) &&
	    dial_set_options(fd) == 0) {
		peer_accept(p, fd, address);
		return;
	}
	p->figures.turned_away++;
	if (log_enabled(LOG_WARNING) && log_limit_allow(&p->refusals, now_ns))
		log_event(LOG_WARNING, MSG_PEER_REFUSED,
			  LOG_FIELDS("HERD_PEER=%s", "", "HERD_ADDRESS=%s",
				     address_format((const struct sockaddr *)&address->socket, where),
				     "HERD_REASON=%s", "too many at a time"),
			  "No link from '%s': too many at a time",
			  address_format((const struct sockaddr *)&address->socket, where));
	close(fd);
}

/* --- sockets ------------------------------------------------------------------------ */

static void
listener_on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = listener_check(arg);

	(void)fd;
	(void)what;
	/* Without memory for either of them nobody could come any more: the timer needs none, it had its place. */
	if (event_add(l->readable, NULL) < 0)
		event_add(l->pause, &pause_time);
}

static void
pause_listener(struct listener *l, int error)
{
	if (log_limit_allow(&l->peers->troubles, clock_monotonic_ns()))
		log_warning("No hosts are let in for a moment: %s", strerror(error));
	(void)event_del(l->readable);
	event_add(l->pause, &pause_time);
}

static void
listener_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = listener_check(arg);

	(void)what;
	for (int i = 0; i < ACCEPTS; i++) {
		struct address from = {.len = sizeof(from.socket)};
		int client = accept4(fd, (struct sockaddr *)&from.socket, &from.len,
				     SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0)
			take(l->peers, client, &from);
		else if (errno == EAGAIN)
			break;
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			pause_listener(l, errno);
			break;
		}
	}
}

static int
listen_at(struct peers *p, const struct address *address)
{
	struct listener *l = &p->listeners[p->listener_count];
	char text[ADDRESS_TEXT_MAX];
	int r = listen_tcp(&l->socket, address);

	if (r < 0)
		return log_error_r(r, "Cannot listen on %s",
				   address_format((const struct sockaddr *)&address->socket, text));
	l->magic = LISTENER_MAGIC;
	l->peers = p;
	p->listener_count++;
	l->readable = event_new(loop_base(p->loop), l->socket.fd, EV_READ | EV_PERSIST, listener_on_readable,
				l);
	l->pause = evtimer_new(loop_base(p->loop), listener_on_pause_over, l);
	if (!l->readable || !l->pause)
		return log_error_r(-ENOMEM, "Cannot listen");
	log_info("Listening on %s", l->socket.text);
	return 0;
}

int
peers_listen(struct peers *p)
{
	int r = 0;

	_Static_assert(PEERS_LISTENERS_MAX == 16, "what settings.inc allows");
	p->strangers = (struct allowance){.each_ns = CLOCK_SECOND_NS / 50, .most_ns = CLOCK_SECOND_NS};
	p->acquainted = (struct allowance){.each_ns = CLOCK_SECOND_NS / 200, .most_ns = 2 * CLOCK_SECOND_NS};
	for (size_t i = 0; r == 0 && i < p->conf->flood_listen.count; i++)
		r = listen_at(p, &p->conf->flood_listen.at[i]);
	return r;
}

void
peers_let_in(struct peers *p)
{
	for (size_t i = 0; i < p->listener_count; i++)
		if (event_add(p->listeners[i].readable, NULL) < 0)
			event_add(p->listeners[i].pause, &pause_time);
}

void
peers_stop_listening(struct peers *p)
{
	while (p->listener_count > 0) {
		struct listener *l = &p->listeners[--p->listener_count];

		if (l->readable)
			event_free(l->readable);
		if (l->pause)
			event_free(l->pause);
		listen_done(&l->socket);
		*l = (struct listener){0};
	}
}
