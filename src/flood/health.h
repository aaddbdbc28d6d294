#ifndef FLOOD_HEALTH_H
#define FLOOD_HEALTH_H
/*
 * Health: how the helper is, and whether it gets on with its work. The service
 * manager hears of it, and whoever asks.
 */
#include "flood/keeper.h"
#include "flood/snapshot.h"
#include "net/notify.h"
#include "net/report.h"

struct health; /* opaque */

/* From now on the service manager is told, by the loop. None of the arguments is owned; snapshot
   and notify may be NULL. -ENOMEM. */
int health_new(struct health **ret, struct loop *loop, struct keeper *keeper, struct snapshot *snapshot,
	       struct notify *notify);

/* Accepts NULL, returns NULL. */
struct health *health_free(struct health *h);
CLEANUP_POINTER(struct health, health_free);

/* Another part of the helper has something to say about how it is. */
typedef void health_fn(void *arg, struct report *r);
void health_ask_also(struct health *h, health_fn *fn, void *arg);

/* Which settings wait for a restart. */
void health_take_changes(struct health *h, const struct conf_changes *changes);

/* How the helper is, now. */
void health_describe(struct health *h, struct report *ret);

struct json_object;

/* Adds "snapshot" to a reply, if there are snapshots: herd/control.h says what is in it. */
void health_add_snapshot(struct health *h, struct json_object *reply);

/* Tells the service manager now, as far as it wants to hear it. */
void health_tell(struct health *h);

#endif
