#ifndef FLOOD_RING_H
#define FLOOD_RING_H
/*
 * Ring: whom a host is linked with, computed by every host from the same list.
 *
 * Up to 9 hosts of a site: each with each. More: four rings, each the hosts of
 * the site sorted by a keyed hash of ring number and name; a host's neighbours
 * are its successor and its predecessor in each. Between two sites go
 * `site-links` links, whose ends are points on those rings: the next host from
 * there on has it. Up to 9 sites are linked each with each; more of them form
 * four rings as hosts do.
 *
 * Whoever is down is stepped over, and the next of that ring takes its place.
 * A link between sites needs no agreement for that: who comes next in the ring
 * after a host that is down is its neighbour, or has stepped over it itself.
 *
 * Hosts are numbered as in the list; its order does not matter.
 */
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "conf/hosts.h"

enum {
	RING_RINGS = 4,
	RING_ALL_TO_ALL = 9,
	RING_SITE_LINKS_MAX = 16,
	RING_NEIGHBOURS_MAX = 64,
};

struct ring; /* opaque: the sorted rings of one host list */

struct ring_neighbour {
	unsigned int host;
	unsigned int instead_of; /* whose place it takes; itself: a neighbour also when nobody is down */
};

typedef bool ring_is_down_fn(void *arg, unsigned int host);

/* The list is not needed afterwards. -ENOMEM. */
int
ring_new(struct ring **ret, const struct hosts *hosts, const struct hash_key *key, unsigned int site_links);
struct ring *ring_free(struct ring *r);
CLEANUP_POINTER(struct ring, ring_free);

/*
 * The neighbours of host `self`, each once, when those for which is_down() are stepped over (NULL: nobody is).
 * It is asked about nobody who makes no difference, and about each who is stepped over; never about `self`.
 * Returns how many there are. A few steps per ring, and one for each who is down there.
 */
unsigned int ring_neighbours(const struct ring *r, unsigned int self, ring_is_down_fn *is_down, void *arg,
			     struct ring_neighbour ret[RING_NEIGHBOURS_MAX]);

#endif
