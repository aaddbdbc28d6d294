#ifndef FLOOD_SNAPSHOT_JOB_H
#define FLOOD_SNAPSHOT_JOB_H
/*
 * Snapshot, written once: a walk through the table that takes little of the
 * processor at a time, in a thread of its own, because disks make wait.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/table.h"
#include "flood/snapshot-file.h"

/* What to write. Texts are copied. */
struct snapshot_order {
	struct table *table; /* any handle; what is too old for it is left out. A job shares it */
	const char *folder, *shm;
	bool has_state;
	uint64_t state;	   /* of the table when it was last written: the same needs no writing */
	int64_t within_ns; /* to be done in about so long */
	int idle_share;	   /* and until then idle so many times as long as busy */
};

enum {
	/* What members on the same two cores do not notice, see test/bench/README.md. */
	SNAPSHOT_IDLE_SHARE = 39,
};

enum {
	SNAPSHOT_E_SAME = 10, /* the table has not changed, nothing was written */
};

struct snapshot_outcome {
	int error;	   /* 0, SNAPSHOT_E_SAME; -EFAULT: the segment was cut short; negative errno */
	const char *doing; /* that failed: "write", "read the table" */
	uint64_t number, state;
	int64_t time_ns; /* when the walk began: all that was stored before is in it */
	int64_t duration_ns;
	uint64_t fixes, bytes;
	uint64_t left_out; /* damaged ones */
};

/* Does it, here and now, with the handle itself. Reads *cancel often; then -ECANCELED. Moves *progress. */
void snapshot_write(const struct snapshot_order *order, const atomic_bool *cancel, _Atomic uint64_t *progress,
		    struct snapshot_outcome *ret);

struct snapshot_job; /* opaque */

/* The same in a thread. `wakeup` is an eventfd, written to when it has ended. Negative errno. */
int snapshot_job_new(struct snapshot_job **ret, const struct snapshot_order *order, int wakeup);

/* Has it ended? Then *ret is how. */
bool snapshot_job_ended(struct snapshot_job *job, struct snapshot_outcome *ret);

/* It ends as soon as it can. */
void snapshot_job_cancel(struct snapshot_job *job);

/* A number that moves while it gets on. */
uint64_t snapshot_job_progress(const struct snapshot_job *job);

/* Cancels, and waits; but not for ever: a thread that hangs in a dead disk is left to itself, with what it
   holds. Accepts NULL, returns NULL. */
struct snapshot_job *snapshot_job_free(struct snapshot_job *job);
CLEANUP_POINTER(struct snapshot_job, snapshot_job_free);

#endif
