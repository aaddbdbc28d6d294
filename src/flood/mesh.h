#ifndef FLOOD_MESH_H
#define FLOOD_MESH_H
/*
 * Mesh: which hosts this one keeps links with, over time. It dials its neighbours,
 * replaces one that has been down for MESH_REPLACE_NS by the next of its ring
 * that answers, and gives it its place back when it is there again. Knows no socket
 * and no clock: now_ns is any clock that only grows; the simulator's is virtual.
 *
 * Of two hosts that are each other's neighbours, the one whose name sorts first
 * dials; the other does so only after MESH_WAIT_NS without a link. Drawn graphs
 * (`peer =`) are dialled at once by each side that has the line.
 *
 * Two hosts never fight over a link: only who dialled it hangs it up, when it has
 * had no use for it for MESH_LINGER_NS. If the other side still has one, it
 * dials, and from then on the link is its own.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "conf/hosts.h"

#define MESH_REPLACE_NS	    (3 * CLOCK_SECOND_NS)  /* a neighbour may be away so long */
#define MESH_PATIENCE_NS    (1500 * CLOCK_MSEC_NS) /* and a stand-in take to answer */
#define MESH_WAIT_NS	    (1500 * CLOCK_MSEC_NS) /* for the other one to dial */
#define MESH_BACKOFF_MIN_NS CLOCK_SECOND_NS	   /* the first wait, doubled up to ... */
#define MESH_BACKOFF_MAX_NS (30 * CLOCK_SECOND_NS) /* ... each waits half of that to all of it */
#define MESH_STEADY_NS	    (10 * CLOCK_SECOND_NS) /* a link that lasted so long makes the next wait the first */
#define MESH_LINGER_NS	    (5 * CLOCK_SECOND_NS) /* before a link without use is hung up */
#define MESH_TICK_NS	    (100 * CLOCK_MSEC_NS)

enum {
	MESH_E_UNKNOWN = 1,
	MESH_DIALS_MAX = 32, /* at a time, of hosts that are no neighbours */
};

struct mesh; /* opaque */

enum mesh_why {
	MESH_NEIGHBOUR,
	MESH_STAND_IN,
	MESH_GUEST, /* it dialled us, we did not mean to; or a stand-in of late */
};

/* Called from within mesh_tick() only, and may call anything below but mesh_tick(), mesh_set_hosts() and mesh_free(). */
struct mesh_hooks {
	void *arg;
	/* Then mesh_up() or mesh_down() has to come, in bounded time. Nothing to do if a dial is under way. */
	void (*dial)(void *arg, unsigned int host);
	/*
	 * We have no use for the link. If it was dialled from here, end it, and call mesh_down(). If it was
	 * dialled by the other side, leave it: a guest's. A host that is in the list no more (mesh_host() is
	 * NULL) goes in any case, and so does a dial to it that is under way.
	 */
	void (*hang_up)(void *arg, unsigned int host, const char *reason);
	void (*replaced)(void *arg, unsigned int host, unsigned int stand_in); /* the stand-in is up */
	void (*restored)(void *arg, unsigned int host);			       /* who was replaced is up */
};

struct mesh_options {
	const char *self;    /* our name; it need not be in the list */
	struct hash_key key; /* of the herd */
	unsigned int site_links;
	uint64_t seed; /* of the jitter */
};

int mesh_new(struct mesh **ret, const struct mesh_options *options, const struct mesh_hooks *hooks);
struct mesh *mesh_free(struct mesh *m);
CLEANUP_POINTER(struct mesh, mesh_free);

/* For the next mesh_set_hosts(), when a reload changed them. */
void mesh_set_ring(struct mesh *m, const struct hash_key *key, unsigned int site_links);

/*
 * The list, at the start and at each reload; copied. drawn: the graph is these links and no other. Links that
 * stay neighbours stay; what changes happens with the next mesh_tick(). Numbers of hosts are kept for names
 * that stay or come back (without a name: for addresses), and are never given to another. -ENOMEM: nothing changed.
 */
int mesh_set_hosts(struct mesh *m, const struct hosts *hosts, bool drawn, int64_t now_ns);

/* Numbers are below this. */
unsigned int mesh_hosts(const struct mesh *m);
/* NULL: not in the list any more. */
const struct host *mesh_host(const struct mesh *m, unsigned int host);
/* MESH_E_UNKNOWN: nobody of that name (or, for one without a name, address) is in the list. */
int mesh_find(const struct mesh *m, const char *name, unsigned int *ret);

/* A link with that host is greeted, whoever dialled. Of several at a time only the first comes up and only
   the last goes down: a dial that comes to nothing beside a link that is up is not told. */
void mesh_up(struct mesh *m, unsigned int host, int64_t now_ns);
/* No link any more; or a dial came to nothing. */
void mesh_down(struct mesh *m, unsigned int host, int64_t now_ns);
/* The same, but the host said when to come back: it goes down or refuses us. */
void mesh_rest(struct mesh *m, unsigned int host, int64_t wait_ns, int64_t now_ns);

/* Every MESH_TICK_NS; sooner does no harm. */
void mesh_tick(struct mesh *m, int64_t now_ns);

/* What the mesh thinks of a host. */
struct mesh_view {
	enum mesh_why why;
	bool is_up, is_dialling;
	int64_t since_ns;	    /* it is up or not up */
	int64_t retry_ns;	    /* when it is dialled; 0: it is not going to be */
	unsigned int stands_in_for; /* MESH_STAND_IN */
};

/* False: nothing, it is neither neighbour nor linked. */
bool mesh_view(const struct mesh *m, unsigned int host, struct mesh_view *ret);

/* The neighbours that host `host` of the list has if nobody is down; of a drawn graph only our own links are
   known. Returns how many, at most `max`. */
unsigned int mesh_graph(const struct mesh *m, unsigned int host, unsigned int *ret, unsigned int max);

#endif
