#ifndef FLOOD_DIAL_H
#define FLOOD_DIAL_H
/*
 * Dial: from an address to a connected socket, within DIAL_NS for each of its
 * addresses; nothing here waits.
 */
#include "base/address.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "net/loop.h"

#define DIAL_NS (5 * CLOCK_SECOND_NS)

struct dial; /* opaque: one attempt */

/* The end of it, never from within dial_start(). fd >= 0: connected, non-blocking, the callee's from now on, and where
   to; else why not, a text with the address in it. The dial is still to be freed. */
typedef void dial_fn(void *arg, int fd, const struct address *where, const char *why);

/* address: as host_parse() takes it. -ENOMEM. */
int dial_start(struct dial **ret, struct loop *loop, const char *address, dial_fn *fn, void *arg);

/* Accepts NULL, returns NULL. May be called from within fn. */
struct dial *dial_free(struct dial *d);
CLEANUP_POINTER(struct dial, dial_free);

/* What the socket of a link has, whoever dialled. */
int dial_set_options(int fd);

#endif
