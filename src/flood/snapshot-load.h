#ifndef FLOOD_SNAPSHOT_LOAD_H
#define FLOOD_SNAPSHOT_LOAD_H
/*
 * Snapshot, back into a table: looks which of a folder's snapshots is the one
 * to have, reads all of it before anything is believed, and merges it. In
 * steps, so that whoever calls can do other things between them.
 */
#include "core/table.h"
#include "flood/snapshot-file.h"

struct snapshot_load; /* opaque */

/* A file that was no good. */
struct snapshot_refusal {
	const char *name;
	const char *why;
	const char *kept; /* as what it is there now; NULL: could not be renamed */
	int error;	  /* then why not */
};

typedef void snapshot_refused_fn(void *user, const struct snapshot_refusal *refusal);

struct snapshot_loaded {
	char name[SNAPSHOT_NAME_MAX]; /* "": there was none that is any good */
	struct snapshot_header header;
	uint64_t fixes; /* in the file */
	uint64_t bytes;
	uint64_t merged;  /* of these, new in the table */
	uint64_t expired; /* left out */
	uint64_t held;	  /* the table had them, or newer ones */
	uint64_t failed;  /* could not be stored, with the last reason */
	int error;
};

/* The folder is not there after the call any more than before: it is only used. ttl_ns: 0 for no limit. */
int snapshot_load_new(struct snapshot_load **ret, int folder, const char *shm, int64_t ttl_ns,
		      snapshot_refused_fn *refused, void *user);

/* Handles up to `lines` lines. 0: there is more to do; SNAPSHOT_E_END: done, see snapshot_load_result().
   -EFAULT: the table's segment was cut short; when that is mended, go on: it begins again. -EAGAIN: somebody
   holds a part of the table, go on later. -ENOMEM. */
int snapshot_load_step(struct snapshot_load *l, struct table *t, unsigned int lines);

const struct snapshot_loaded *snapshot_load_result(const struct snapshot_load *l);

/* Accepts NULL, returns NULL. */
struct snapshot_load *snapshot_load_free(struct snapshot_load *l);
CLEANUP_POINTER(struct snapshot_load, snapshot_load_free);

#endif
