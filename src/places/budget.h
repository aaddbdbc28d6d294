#ifndef PLACES_BUDGET_H
#define PLACES_BUDGET_H
/*
 * Budget: how often a service may be asked: so many requests a second, with a
 * burst of one second's, and so many a UTC day. The day's count is kept in a
 * file, so that a restart does not give a second budget.
 *
 * The count in the file is ahead of the one in memory by up to a hundredth of
 * the day's: a member that is killed has lost those, but never asks more than
 * it may. The file is replaced by renaming and not synchronised: nothing here
 * waits for a disk. After a power cut it may be of some seconds ago.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct budget; /* opaque */

enum {
	BUDGET_E_SECOND = 1, /* too many in this second */
	BUDGET_E_DAY = 2,    /* the day's are used up */
};

/*
 * Reads the file `name` (at most FILE_NAME_MAX bytes) in folder; folder NULL or "": only in memory. A file that cannot
 * be used is not a failure: the count begins at 0, and budget_trouble() says so. -ENOMEM.
 */
int budget_new(struct budget **ret, const char *folder, const char *name);

/* Writes down what was really used. Accepts NULL, returns NULL. */
struct budget *budget_free(struct budget *b);

/* 0: no limit. What was used of this second and this day stays used. */
void budget_limit(struct budget *b, uint32_t per_second, uint32_t per_day);

/*
 * One request. now_ns: CLOCK_MONOTONIC, wall_ns: time of day. 0, BUDGET_E_SECOND, BUDGET_E_DAY.
 *
 * A time of day that goes back gives no second budget: a day that was begun is counted to its end when the clock is
 * behind by a day at most; when by more, what was used counts for the day that it is now.
 */
int budget_take(struct budget *b, int64_t now_ns, int64_t wall_ns);

/* How long until the second's limit allows a request. */
int64_t budget_wait_ns(const struct budget *b, int64_t now_ns);

/* Requests of the day of wall_ns so far. */
uint32_t budget_used(const struct budget *b, int64_t wall_ns);

/* What went wrong with the file since the last call, for a log; NULL: nothing. Each trouble is told once until it is over. */
const char *budget_trouble(struct budget *b);

/* What a file holds: the day (days since 1970) and the requests it must be taken for having used. 0, -EBADMSG. */
int budget_parse(struct text file, int64_t *ret_day, uint32_t *ret_used);

#endif
