#ifndef TEST_FLOOD_SIMULATE_TRUTH_H
#define TEST_FLOOD_SIMULATE_TRUTH_H
/*
 * Truth: what every host has to agree on, known without asking any code that
 * floods. For each client the newest fix that was accepted and cannot have been
 * lost: what a table held that was emptied counts only if another had it, too.
 */
#include <stdbool.h>
#include <stdint.h>

#include "herd/fix.h"

struct truth; /* opaque */
struct world;
struct node;

/* A fix that waits for confirmation by peers. */
struct truth_promise {
	struct herd_fix fix;
	uint64_t round, losses;
};

struct truth *truth_new(unsigned int clients);
void truth_free(struct truth *t);

/* < 0, 0, > 0 */
int truth_compare(const struct herd_fix *a, const struct herd_fix *b);

/* A member said that it has it. */
void truth_accept(struct truth *t, unsigned int client, const struct herd_fix *fix);
/* The table of `but` is lost now: what only it had need not survive. */
void truth_lose(struct world *w, const struct node *but);
/* True: all nodes that run hold the same, and nothing is missing; else why. */
bool truth_agrees(struct world *w, char why[200]);
/* Does this node hold a fix of another that its own clock has not come near to? */
bool truth_is_early(struct node *node, char why[200]);
/* A table was lost since, or the fix is too old to be held. */
bool truth_may_be_lost(const struct world *w, const struct truth_promise *promise);
/* How many nodes hold this fix or a newer one. */
unsigned int truth_holders(struct world *w, const struct herd_fix *fix);

#endif
