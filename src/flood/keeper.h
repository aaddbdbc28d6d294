#ifndef FLOOD_KEEPER_H
#define FLOOD_KEEPER_H
/*
 * Keeper: looks after the host's fix table. It creates the table or adopts the
 * one that is there, removes what is too old, takes locks from the dead, frees
 * what is damaged, and follows the table when it is replaced. Members do not
 * need it: whatever it does not do in time, they do when they meet it.
 */
#include "base/cleanup.h"
#include "conf/conf.h"
#include "net/loop.h"

struct keeper; /* opaque */

enum {
	KEEPER_E_TAKEN = 1, /* another helper keeps this table; already said */
};

/* From now on the loop keeps the table. conf is only read. 0, KEEPER_E_TAKEN, negative errno of
   table_open(), all logged. */
int keeper_new(struct keeper **ret, struct loop *loop, const struct conf *conf);

/* Takes over what changed. */
int keeper_reload(struct keeper *keeper, const struct conf *conf);

/* Why the keeper stopped the loop: 0 it did not; KEEPER_E_TAKEN. */
int keeper_fault(const struct keeper *keeper);

/* Leaves the table; accepts NULL, returns NULL. */
struct keeper *keeper_free(struct keeper *keeper);
CLEANUP_POINTER(struct keeper, keeper_free);

#endif
