#ifndef FLOOD_DRAIN_H
#define FLOOD_DRAIN_H
/*
 * Drain: brings what members of this host changed in the table to the links.
 * It sleeps while nothing changes, and is woken then; while many things change
 * it looks every millisecond, so that members need not wake it. A slow sweep
 * of the whole table finds what a member that died could not say.
 */
#include "base/cleanup.h"
#include "conf/conf.h"
#include "flood/replica.h"
#include "net/loop.h"

struct drain; /* opaque */

/* Binds the wake socket in the control folder; when it cannot, that is logged, and it looks every millisecond for
   good. -ENOMEM, or what a timer needs. */
int drain_new(struct drain **ret, struct loop *loop, const struct conf *conf);

/* From now on this replica, which is only borrowed; NULL: none. To be called before it is freed. */
void drain_use(struct drain *d, struct replica *replica);

/* Tells members what peers have: after links have read something. Cheap. */
void drain_confirm(struct drain *d);

/* The table under the replica was lost: the keeper should look at it. Cleared by drain_use(). */
bool drain_is_lost(const struct drain *d);

/* Accepts NULL, returns NULL. */
struct drain *drain_free(struct drain *d);
CLEANUP_POINTER(struct drain, drain_free);

#endif
