#ifndef TEST_FLOOD_SIMULATE_WORLD_H
#define TEST_FLOOD_SIMULATE_WORLD_H
/*
 * World: a herd in virtual time. A node is a machine with one member, its table,
 * and the helper that floods: the real replica, names, mesh and links, and around
 * them what src/flood/peers*.c does with sockets. A tie is one attempt to be
 * linked, on one of its two sides.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "flood/link.h"
#include "flood/mesh.h"
#include "flood/names.h"
#include "flood/replica.h"
#include "flood/teach.h"
#include "base/histogram.h"
#include "simulate-net.h"
#include "simulate-plan.h"
#include "simulate-truth.h"

enum {
	WORLD_FAILURE_MAX = 400,
	NODE_GUESTS_MAX = 32,
	NODE_LINKS_MAX = 64,
	NODE_NOBODY = UINT32_MAX,
	SET_MIN = 64,
};

#define WORLD_EPOCH_NS (INT64_C(1700000000) * CLOCK_SECOND_NS)

/* Hashes of lines, to find one that comes again. */
struct set {
	uint64_t *at; /* owned; 0: free */
	size_t count, room;
};

bool set_has(const struct set *s, uint64_t hash);
bool set_add(struct set *s, uint64_t hash); /* false: it is there */
void set_done(struct set *s);

struct tie {
	struct node *node;
	struct tie *next;
	struct wire *wire; /* NULL: closed */
	unsigned int side; /* 0: dialled from here */
	struct link *link;
	unsigned int peer;   /* the other node, as dialled or as it calls itself; NODE_NOBODY: unknown yet */
	unsigned int number; /* in the mesh; NODE_NOBODY: not in the list */
	bool is_greeted, is_up, is_counted, is_over, owes, is_saying_bye;
	int64_t busy_ns; /* not read before */
	struct set sent;
	uint64_t twice; /* lines sent again on this tie */
};

struct node {
	struct world *world;
	unsigned int index;
	int64_t skew_ns;
	uint64_t random;     /* of its getrandom() */
	uint64_t generation; /* of its helper: grows with each start */
	bool is_on;	     /* the machine */
	struct table *member, *helper;
	struct replica *replica; /* NULL: no helper runs */
	struct names *names;
	struct mesh *mesh;
	struct tie *ties;
	struct link_self self;
	struct link_memory *memory;	   /* by node */
	unsigned int *number_of, *node_of; /* in the mesh, and back */
	unsigned int listed;		   /* it knows the first so many hosts */
	int64_t stalled_ns;		   /* until then */
	int64_t started_ns;
	bool has_turn;	 /* one is in the queue */
	bool is_waiting; /* one is going to be, for links that hold back */
	struct teach teach;
	struct truth_promise *promises; /* owned; fixes whose confirmation is waited for */
	unsigned int promise_count, promise_room;
};

struct world_figures {
	uint64_t accepted, refused; /* reports of clients */
	uint64_t fixes, duplicates; /* sent, received in vain */
	uint64_t resyncs, resync_lines, diverged;
	uint64_t dials, ties;
	uint64_t replaced, restored;
	uint64_t confirmed;
	uint64_t cut_off;		       /* hosts outside the largest part, 10 s after many deaths */
	uint64_t memory_first, memory_most;    /* bytes allocated, by all nodes */
	uint64_t spread_p50_us, spread_p99_us; /* from a fix's receipt until another host has it */
	int64_t agreed_ns;		       /* after the last act; < 0: not yet */
};

struct world {
	const struct plan *plan;
	struct queue queue;
	struct net *net;
	struct node *nodes;
	unsigned int count;
	struct hosts hosts;
	struct hash_key key;
	struct truth *truth;
	struct world_figures figures;
	struct histogram spread; /* us */
	uint64_t random;	 /* of updates */
	uint64_t losses;	 /* nodes whose table was lost so far */
	char *scratch;
	char failure[WORLD_FAILURE_MAX];
};

/* --- simulate-world.c --- */

/* Prints every line that is sent. */
extern bool world_is_traced;

/* True: nothing was wrong. Else failure says what. */
bool world_run(const struct plan *plan, struct world_figures *ret_figures, char failure[WORLD_FAILURE_MAX]);

/* Only the first is kept. */
__attribute__((format(printf, 2, 3))) void world_fail(struct world *w, const char *format, ...);

/* The clocks and getrandom() are now those of this node. */
void world_enter(struct node *node);
int64_t node_posix_ns(const struct node *node);

/* --- simulate-node.c --- */
void node_init(struct world *w, unsigned int index);
void node_done(struct node *node);
void node_start(struct node *node);
enum node_death { NODE_KILLED, NODE_WIPED, NODE_VANISHED };
void node_die(struct node *node, enum node_death death);
void node_put(struct node *node, unsigned int client, int64_t off_ms);
void node_read_list(struct node *node, unsigned int listed);
bool node_runs(const struct node *node);
/* Something may have to be sent: soon. */
void node_wants_turn(struct node *node);
void node_wants_turn_later(struct node *node); /* links wait */

/* --- simulate-tie.c --- */
void tie_dial(struct node *node, unsigned int number);
void tie_hang_up(struct node *node, unsigned int number, const char *reason);
struct tie *tie_find(const struct node *node, unsigned int number);
void tie_flush_all(struct node *node);
void tie_read_all(struct node *node);
void tie_tick_all(struct node *node);
void tie_drop_all(struct node *node, bool silently);
extern const struct net_hooks tie_net_hooks;

#endif
