#ifndef FLOOD_RING_PRIVATE_H
#define FLOOD_RING_PRIVATE_H
/* Ring: what ring-make.c makes and ring.c looks up. */
#include "flood/ring.h"

/* One link between two sites, and in which ring of each its ends move on. */
struct crossing {
	unsigned int end[2]; /* hosts */
	unsigned int ring;
	unsigned int
		site_ring; /* in which the two sites are neighbours; RING_RINGS: each site is with each */
};

struct site {
	const char *name;	   /* only while the ring is made */
	unsigned int first, count; /* its part of each order */
};

struct ring {
	unsigned int count, site_count, crossing_count;
	struct site *sites;		 /* by name */
	unsigned int *site_of;		 /* of a host */
	unsigned int *order[RING_RINGS]; /* hosts by site, then by hash */
	unsigned int *place[RING_RINGS]; /* of a host in the order */
	unsigned int
		*site_order[RING_RINGS]; /* sites by hash; only when there are too many for each with each */
	unsigned int *site_place[RING_RINGS];
	struct crossing *crossings;
	unsigned int *crossings_from; /* [host] to [host + 1]: its part of crossings_of */
	unsigned int *crossings_of;
};

#endif
