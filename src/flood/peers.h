#ifndef FLOOD_PEERS_H
#define FLOOD_PEERS_H
/*
 * Peers: this host's links with the helpers of other hosts. Listens, dials
 * whom the mesh wants, judges who comes, has one link with each, and says what
 * happens to them. Without settings for it, it does nothing at all.
 */
#include <stdbool.h>

#include "base/cleanup.h"
#include "conf/conf.h"
#include "flood/link.h"
#include "flood/mesh.h"
#include "net/control.h"
#include "net/loop.h"
#include "net/report.h"

struct peers; /* opaque */

enum {
	PEERS_E_CONFIG = 1,    /* the settings, or files they name, are no good; said */
	PEERS_LINKS_MAX = 64,  /* CHANGES_PEERS */
	PEERS_GUESTS_MAX = 32, /* of them, hosts that dialled us though no graph has them next to us */
};

/* Counters that only grow, for metrics; those of LINK_FIGURES are summed up over all links there ever were. */
#define PEERS_FIGURES(X)                                         \
	X(dialled, "attempts to reach a host")                   \
	X(unreachable, "of them, without anybody there")         \
	X(accepted, "connections of other hosts")                \
	X(turned_away, "of them, closed at once: too many")      \
	X(refused, "peers refused, by us or by them")            \
	X(up, "links that came up")                              \
	X(down, "links that ended")                              \
	X(replaced, "hosts replaced by another one for a while") \
	X(conflicts, "hosts or members seen twice")              \
	X(parked, "fixes from too far in the future")
struct peers_figures {
#define X(name, help) uint64_t name;
	PEERS_FIGURES(X)
#undef X
};

/* Opens the sockets; whoever comes waits for peers_start(). conf lives on, and is reloaded in place. 0, PEERS_E_CONFIG, negative errno, all said. */
int peers_new(struct peers **ret, struct loop *loop, const struct conf *conf);
struct peers *peers_free(struct peers *p);
CLEANUP_POINTER(struct peers, peers_free);

/* The table is there, with what was in its snapshot: links may begin. Called again when it is another one, and
   then all of them begin anew. Negative errno, said: there are no links. */
int peers_start(struct peers *p, struct table *table);

/* conf has changed, or files it names. False: they are no good, `report` (unless NULL) got why, and all stays as it was. */
bool peers_reload(struct peers *p, conf_report_fn *report, void *user);

/* Says BYE to all; `done` is called, later, when that is over, in a second at most. */
void peers_stop(struct peers *p, loop_fn *done, void *arg);

/* --- for those who ask --- */

void peers_describe(struct peers *p, struct report *r);
/* "peers", "graph": adds to the reply as herd/control.h has it. CONTROL_E_UNKNOWN: the argument is none. */
int peers_answer(struct peers *p, struct text argument, struct json_object *reply);
int peers_answer_graph(struct peers *p, struct text argument, struct json_object *reply);

/* "trace": the same. */
int peers_answer_trace(struct peers *p, struct text argument, struct json_object *reply);

const struct peers_figures *peers_figures(const struct peers *p);
void peers_link_figures(const struct peers *p, struct link_figures *ret);

#endif
