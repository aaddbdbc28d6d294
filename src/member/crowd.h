#ifndef MEMBER_CROWD_H
#define MEMBER_CROWD_H
/*
 * Crowd: how many connections come from each address. Whoever has one IPv6
 * address has all of its /64, so those count as one; an IPv4 address counts
 * as itself, also as ::ffff:a.b.c.d. Unix sockets have no address and are not
 * counted.
 */
#include <stdint.h>
#include <sys/socket.h>

#include "base/cleanup.h"

struct crowd;	      /* opaque */
struct crowd_address; /* opaque: an address that connections come from */

enum { CROWD_E_FULL = 1 };

/* Negative errno. */
int crowd_new(struct crowd **ret);

/* Everybody has left; accepts NULL, returns NULL. */
struct crowd *crowd_free(struct crowd *crowd);
CLEANUP_POINTER(struct crowd, crowd_free);

/*
 * Counts one more connection; *ret_address is what crowd_leave() takes, NULL for a peer that has no address.
 * CROWD_E_FULL: `most` (0: any number) come from there already. -ENOMEM. Neither counts anything.
 */
int crowd_enter(struct crowd *crowd, const struct sockaddr *peer, uint32_t most,
		struct crowd_address **ret_address);

/* The connection is gone; accepts NULL. */
void crowd_leave(struct crowd *crowd, struct crowd_address *address);

/* Addresses that connections come from. */
uint32_t crowd_addresses(const struct crowd *crowd);

#endif
