#ifndef CTL_ROSTER_H
#define CTL_ROSTER_H
/*
 * Roster: who is, and who was, registered at the table.
 */
#include "core/table.h"

struct roster {
	struct table_process *at; /* owned; in the order of start */
	size_t count;
};

/* Of the dead, those whose name nobody alive has taken over, once each; tools only while they live.
   0, -ENOMEM, or what table_process() says. */
int roster_load(struct roster *ret, struct table *table);

void roster_done(struct roster *r);

const char *roster_role_name(enum table_role role);

/* How many of the role live. */
size_t roster_alive(const struct roster *r, enum table_role role);

/* Over everybody; what is a level and not a sum (open connections) counts for the living only. */
uint64_t roster_sum(const struct roster *r, enum table_counter which);

#endif
