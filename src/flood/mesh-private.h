#ifndef FLOOD_MESH_PRIVATE_H
#define FLOOD_MESH_PRIVATE_H
/* Mesh: what mesh-hosts.c lists and mesh.c decides about. */
#include <limits.h>
#include <stdlib.h>

#include "flood/mesh.h"
#include "flood/ring.h"

enum { MESH_MAGIC = 0x6d657368 };

#define MESH_NOBODY UINT_MAX

struct mesh_peer {
	unsigned int in_ring;	 /* its number there; MESH_NOBODY: not in the list */
	unsigned int instead_of; /* of a wanted one: itself for a neighbour */
	bool is_home;		 /* a neighbour when nobody is down */
	bool is_wanted;		 /* it has a place now */
	bool is_stepped_over;	 /* it would have a place, but is down */
	bool is_down;		 /* stepped over from now on */
	bool is_up, is_dialling;
	bool is_idle;	   /* up without a place, since idle_ns */
	bool is_released;  /* and the hook was told */
	bool is_told;	   /* as a stand-in, to the hook */
	bool has_stand_in; /* told as replaced */
	int64_t since_ns;  /* up or not up */
	int64_t missed_ns; /* wanted and not up since */
	int64_t idle_ns;
	int64_t retry_ns, backoff_ns; /* 0: as for the first time */
};

struct mesh {
	uint32_t magic;
	bool is_drawn;
	bool has_changed; /* places have to be looked up again */
	struct mesh_hooks hooks;
	char name[HOSTS_NAME_MAX + 1];
	struct hash_key key;
	unsigned int site_links;
	uint64_t random;

	struct mesh_peer *peers;
	struct host *hosts; /* of the same numbers; apart, because looking through peers is frequent */
	unsigned int count, room;
	unsigned int *sorted; /* all of them by name */
	unsigned int self;

	struct ring *ring;     /* NULL: no list yet, or a drawn graph */
	unsigned int *of_ring; /* peer of a number in the ring */
	unsigned int *active;  /* who has a place, a link or a mark */
	unsigned int active_count;
};

static inline struct mesh *
mesh_check(void *arg)
{
	struct mesh *m = arg;

	if (m->magic != MESH_MAGIC)
		abort();
	return m;
}

static inline struct mesh_peer *
mesh_peer(const struct mesh *m, unsigned int host)
{
	if (host >= m->count)
		abort(); /* a bug: numbers come from us */
	return &m->peers[host];
}

#endif
