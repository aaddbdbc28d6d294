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
#include "core/table.h"
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

/* Calls fn whenever the table has become another one, before anybody else looks at it. */
void keeper_on_move(struct keeper *keeper, loop_fn *fn, void *arg);

/* Why the keeper stopped the loop: 0 it did not; KEEPER_E_TAKEN. */
int keeper_fault(const struct keeper *keeper);

/* The table that is kept now, for looking at; another one after each turn of the loop. */
struct table *keeper_table(struct keeper *keeper);

/* Looks now whether the table is still there, as it does once a second anyway. */
void keeper_look(struct keeper *keeper);

/* The shared table cannot be used: this one is the helper's own. */
bool keeper_is_lost(const struct keeper *keeper);

/* The sweep's cursor moves at its pace, and the table's name was looked at in time. */
bool keeper_moves(const struct keeper *keeper, int64_t now_ns);

/* Leaves the table; accepts NULL, returns NULL. */
struct keeper *keeper_free(struct keeper *keeper);
CLEANUP_POINTER(struct keeper, keeper_free);

#endif
