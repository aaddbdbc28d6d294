#ifndef FLOOD_SNAPSHOT_H
#define FLOOD_SNAPSHOT_H
/*
 * Snapshot: what is left of the table when the host goes down. The helper
 * loads the last one when it starts, before it says that it is ready (unless
 * members serve already: then beside them, slowly), writes one every
 * snapshot-interval and a last one when it stops. What is already on the disk
 * is not written again. Whatever goes wrong is told, costs no file that was
 * good, and is tried again.
 */
#include "conf/conf.h"
#include "flood/keeper.h"
#include "net/loop.h"

struct snapshot; /* opaque */

/* All called from the loop. */
struct snapshot_hooks {
	void *arg;
	void (*loaded)(void *arg); /* once: what there was is in the table, or nobody waits for it */
	void (*extend)(void *arg, int64_t ns); /* loading, or writing the last one, takes so much longer */
	void (*stopped)(void *arg); /* after snapshot_stop(), once: the last one is written, or given up */
};

/* Begins as soon as the loop runs. The folder is snapshot-dir, else the service's state directory, else none:
   then there is nothing to do but to call the hooks. keeper and hooks must outlive it. Negative errno. */
int snapshot_new(struct snapshot **ret, struct loop *loop, const struct conf *conf, struct keeper *keeper,
		 const struct snapshot_hooks *hooks);

/* Takes over what changed. */
void snapshot_reload(struct snapshot *s, const struct conf *conf);

/* Writes the last one if there is need of it. */
void snapshot_stop(struct snapshot *s);

/* How it is. */
struct snapshot_status {
	bool is_on, is_loading, is_writing;
	bool has_written;      /* or loaded: the next five are of that one */
	int64_t time_ns;       /* of day: all that was stored before is in it */
	uint64_t fixes, bytes; /* in it */
	uint64_t number;
	int64_t duration_ns;		     /* of its writing; 0: it was loaded */
	int64_t current_ns;		     /* of day: when it was last known to be all there is to write */
	uint64_t loaded;		     /* fixes that the start brought back */
	uint64_t written, unchanged, failed; /* since the start */
	int error;			     /* negative errno while the last attempt has failed */
	char message[256];		     /* then: what is wrong */
};

void snapshot_status(const struct snapshot *s, struct snapshot_status *ret);

/* Accepts NULL, returns NULL. Writes nothing more. */
struct snapshot *snapshot_free(struct snapshot *s);
CLEANUP_POINTER(struct snapshot, snapshot_free);

#endif
