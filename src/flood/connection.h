#ifndef FLOOD_CONNECTION_H
#define FLOOD_CONNECTION_H
/*
 * Connection: a socket, maybe TLS on it, and the link that is spoken over it.
 * Moves bytes between the socket and the link, bounded per turn of the loop,
 * and sees an end through: what is still to be said goes out first, for a
 * second at most.
 *
 * Nothing here is called back when a connection ends: whoever has them looks
 * after each turn.
 */
#include <stdbool.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "flood/link.h"
#include "flood/tls.h"
#include "net/loop.h"

struct connection;	   /* opaque */
struct connection_scratch; /* opaque: buffers that all connections of a loop share */

enum connection_state {
	CONNECTION_SHAKING, /* TLS' handshake goes on */
	CONNECTION_OPEN,    /* there is a link; link_state() knows more */
	CONNECTION_CLOSING, /* the last words go out */
	CONNECTION_ENDED,   /* the socket is closed: free it */
};

struct connection_hooks { /* called from the loop; must free no connection */
	/* The handshake is over: make the link. Negative errno. */
	int (*open)(void *arg, struct connection *c, struct link **ret);
	/* It is greeted both ways. */
	void (*up)(void *arg, struct connection *c);
};

struct connection_options {
	struct loop *loop;
	struct connection_scratch *scratch; /* borrowed */
	const struct connection_hooks *hooks;
	void *arg;
	struct tls *tls; /* NULL: plain; it lives as long as it is needed */
	bool dialled;
	const char *name; /* what the peer's certificate has to be for; NULL: anybody */
	const struct address *address;
};

int connection_scratch_new(struct connection_scratch **ret);
struct connection_scratch *connection_scratch_free(struct connection_scratch *s);

/* fd: connected, non-blocking; the connection's from now on, and closed when this fails. A plain one is open when this
   returns 0. -ENOMEM, what hooks->open() says. */
int connection_new(struct connection **ret, int fd, const struct connection_options *options);
struct connection *connection_free(struct connection *c);
CLEANUP_POINTER(struct connection, connection_free);

/* After each turn: sends what the link has to say. */
void connection_flush(struct connection *c);
/* Ten times a second: whoever is too slow. */
void connection_tick(struct connection *c);
/* Says BYE, if there is a link to say it on, and closes. No harm if it is doing so already. */
void connection_end(struct connection *c, const char *reason);
/* Closes without a word. */
void connection_abort(struct connection *c, const char *reason);

enum connection_state connection_state(const struct connection *c);
const char *connection_why(const struct connection *c);		      /* why it is closing, or has ended */
struct link *connection_link(const struct connection *c);	      /* NULL: none yet */
struct tls_session *connection_tls(const struct connection *c);	      /* NULL: plain */
const struct address *connection_address(const struct connection *c); /* of the peer */
bool connection_is_dialled(const struct connection *c);
int64_t connection_since_ns(const struct connection *c); /* monotonic: made then */

#endif
