#ifndef CORE_TABLE_H
#define CORE_TABLE_H
/*
 * Table: the newest fix of every client known to this host, in POSIX shared
 * memory.
 *
 * Members and the helper all write it, each through a registered handle; a
 * writer may be killed at any instruction and readers still see a whole fix.
 * One handle belongs to one thread. Everything read from the segment is
 * checked; a segment cut short under us is an error code, not a crash.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/text.h"
#include "core/fix.h"
#include "herd/fix.h"

struct table; /* opaque */

enum {			    /* > 0: the direct caller handles these */
       TABLE_E_UNKNOWN = 1, /* no fix of this client, or expired */
       TABLE_E_LAPPED,	    /* writers kept overtaking us; ask again */
       TABLE_E_OLDER,	    /* the table holds this fix or a newer one; nothing changed */
       TABLE_E_BUSY,	    /* a live process holds the bucket and does not go on; try again later */
       TABLE_E_END,	    /* iteration is over */
       TABLE_E_NAME_TAKEN,  /* a live process has this name */
       TABLE_E_MOVED,	    /* now on another segment, with the fixes of the old one */
       TABLE_E_EVICTED,	    /* not in the table, and no newer than what was once evicted from it */
       TABLE_E_EXPIRED,	    /* older than the ttl */
};

enum table_role {
	TABLE_MEMBER = 1,
	TABLE_HELPER = 2,
	TABLE_TOOL = 3, /* tests, benches */
};

/* What each process counts about itself, in shared memory. */
#define TABLE_COUNTERS(X)                                                      \
	X(connections, "open connections")                                     \
	X(accepted, "connections opened since the start")                      \
	X(refused, "connections refused")                                      \
	X(dropped, "connections dropped: idle, slow, broken")                  \
	X(iamat, "IAMAT commands")                                             \
	X(whatsat, "WHATSAT commands")                                         \
	X(invalid, "invalid commands")                                         \
	X(stored, "fixes that changed the table")                              \
	X(older, "fixes older than the one held")                              \
	X(evicted, "fixes evicted from full buckets")                          \
	X(expired, "fixes removed because of their age")                       \
	X(stolen, "bucket locks taken from dead processes")                    \
	X(busy, "fixes that had to wait for a stopped process")                \
	X(damaged, "damaged fixes found and freed")                            \
	X(lookups, "places lookups in flight")                                 \
	X(unconfirmed, "AT replies sent without waiting for peers any longer") \
	X(looked_up, "places lookups that went to a service")

enum table_counter {
#define X(name, help) TABLE_COUNTER_##name,
	TABLE_COUNTERS(X)
#undef X
		TABLE_COUNTER_COUNT
};

struct table_options {
	const char *name;      /* "/herd": shm name */
	uint32_t clients;      /* capacity when this process creates it: ids up to 40 bytes */
	uint32_t long_clients; /* the same for ids of 41 to 255 bytes */
	int64_t ttl_ns;	       /* fixes older than this are absent; 0: never */
};

/*
 * Attaches to the segment, or creates it; a damaged one is replaced. No process of ours is registered
 * yet: reading works, writing does not.
 *   -EPROTO    it has another layout, and processes that use it
 *   -ENXIO     it is no table at all; not touched
 *   -EPERM     it belongs to another user, is not a plain file with mode 0600, or has several links
 *   -ENOSPC    the shared memory file system is full
 */
int table_open(struct table **ret, const struct table_options *options);

/* Attaches read-only, never creates. -ENOENT: no herd here; -EBADMSG: damaged. */
int table_open_readonly(struct table **ret, const char *name, int64_t ttl_ns);

/* A second handle on the same mapping, for another thread; either may be freed first, and when `other` moves to
   another segment this one stays. */
int table_open_shared(struct table **ret, const struct table *other);

/* A table of this process alone, for when the shared one cannot be had. */
int table_open_private(struct table **ret, const struct table_options *options);

/* Unregisters, unmaps; accepts NULL, returns NULL. The segment stays. */
struct table *table_free(struct table *t);

/* Removes the name; processes that have it mapped go on. */
int table_unlink(const char *name);

/* The size of a segment of these options. */
uint64_t table_bytes(const struct table_options *options);

void table_set_ttl(struct table *t, int64_t ttl_ns);

/*
 * Takes a process entry and its liveness lock; from now on the handle writes.
 * `listen` is where clients reach it, for humans and herdctl ("127.0.0.1:12000").
 * TABLE_E_NAME_TAKEN for a member whose name lives already; -EUSERS: no entry left.
 */
int table_register(struct table *t, enum table_role role, const char *name, const char *listen);

/*
 * Follows the name: once a second, and after any call gave -EFAULT. 0: nothing changed.
 * TABLE_E_MOVED: now on another segment; keys, cursors, slot and round numbers of before are void.
 * Negative errno: the name leads to nothing usable; the handle works on, on what it had or, when
 * that is lost, on a private table. Call again later.
 */
int table_refresh(struct table *t);
bool table_is_private(const struct table *t);

/* --- one client ------------------------------------------------------- */

/* An id with its hash: made once, used for prefetch, find and put. */
struct table_key {
	struct text id;
	uint64_t hash;
	uint32_t bucket[2];
	uint8_t guess; /* where prefetch saw it; 0: nowhere */
};

/* Hashes the id and prefetches its control line. id: 1 to 255 bytes. */
void table_key_make(const struct table *t, struct text id, struct table_key *ret);

/* Fetches the slots of several keys towards the cache: all made, then all prefetched, then all used.
   Half the cost of using each at once when the table is larger than the caches. Keys whose id is
   empty are passed over. */
void table_prefetch(struct table *t, struct table_key *keys, size_t count);

/* Copies the fix out. 0, TABLE_E_UNKNOWN, TABLE_E_LAPPED, -EFAULT: the segment was cut short. */
int table_find(struct table *t, const struct table_key *key, int64_t now_ns, struct herd_fix *ret_fix);

/* Where the client is, as slots are numbered for changes. 0, TABLE_E_UNKNOWN, TABLE_E_LAPPED, -EFAULT. */
int table_find_slot(struct table *t, const struct table_key *key, uint64_t *ret_slot);

/* A fix as the registered process heard it itself: its own name is the server. */
struct table_report {
	struct text location, time; /* checked texts: only 0-9 + - . / */
	struct fix_time client_time;
	int64_t rx_ns;
};

/* 0 stored; TABLE_E_OLDER; TABLE_E_BUSY; -EFAULT; -EROFS: not registered. After 0 or TABLE_E_OLDER every process of the
   host reads this fix or a newer one. */
int table_put(struct table *t, const struct table_key *key, const struct table_report *report);

/* The same for a fix that another server heard (fix->server). -EINVAL: not what the protocol allows;
   -ENOSPC: as many servers as the segment can name. */
int table_merge(struct table *t, const struct herd_fix *fix);

/*
 * What a peer told us. As table_merge(), with these differences: the time is given; the helper, which calls
 * this, passes it on by itself, so table_take_changes() does not give it; and it is refused
 *   TABLE_E_EXPIRED   when it is older than the ttl,
 *   TABLE_E_EVICTED   when it is not in the table and no newer than table_watermark_ns(): else a full table
 *                     and a peer's would hand it to and fro for ever.
 * 0 and TABLE_E_OLDER set *ret_slot, where the client is, and *ret_is_same: the table held this very fix.
 */
int table_merge_from_peer(struct table *t, const struct herd_fix *fix, int64_t now_ns, uint64_t *ret_slot,
			  bool *ret_is_same);

/* The newest receipt time of any fix ever evicted from this segment; INT64_MIN: none. Never more than
   10 s ahead of the time it was evicted at. */
int64_t table_watermark_ns(struct table *t);

/* --- changes: from whoever writes to the helper that floods -----------
 *
 * Whoever puts or merges a fix also marks its bucket, one bit in the segment, so that the helper finds what
 * changed without looking at every bucket. It walks the marks in rounds, whose numbers only grow, through
 * restarts too. How nothing is missed: table-changes.c. Slots are numbered from 0 to table_slots() - 1.
 */

/* For writers, once per turn, after the last put. True: the helper sleeps, and it is on the caller to wake
   it; nobody else is told until it has slept again. No system call. Whoever is killed before it wakes the
   helper leaves it asleep: it looks by itself once a second. */
bool table_wants_wake(struct table *t);

/* For writers that wait for peers; to be asked before table_wants_wake(). The round that is sure to take in everything
   this process has put so far: confirmed when table_confirmed_round() >= it. UINT64_MAX: the segment was cut short. */
uint64_t table_next_round(struct table *t);
uint64_t table_confirmed_round(struct table *t);

/* Says that this process waits, or no longer: then the helper wakes it for each round confirmed. Look at
   table_confirmed_round() afterwards, once: what was confirmed before wakes nobody. Kept when the table moves. */
void table_set_waiting(struct table *t, bool waiting);

/* For the helper: some process waits, or did when it was killed. Cheap. */
bool table_is_waited_for(struct table *t);

/* The fix is a copy, as the slot is now. Called outside of anything locked or guarded. */
typedef void table_change_fn(void *arg, uint64_t slot, const struct herd_fix *fix);
typedef void table_gone_fn(void *arg, uint64_t slot);

/*
 * For the helper: calls changed for what writers have put since it was last taken, until it has seen `max`,
 * up to 14 more, or the round is done. *cursor 0 begins a round; 0: there may be more of it; TABLE_E_END: it is done,
 * *cursor is 0 again. *ret_round: its number. -EFAULT; -EROFS. A fix that is written meanwhile comes again
 * in the next round; one in a bucket that a stopped process has locked may come a round later than put.
 */
int table_take_changes(struct table *t, uint64_t *cursor, unsigned int max, table_change_fn *changed,
		       void *arg, uint64_t *ret_round);

/* True: nothing is marked, and from now on table_wants_wake() tells one writer. False: go on taking. After true run one
   more round, and only then wait: a writer may have been given its number while the last one was under way. */
bool table_sleep(struct table *t);

/* The helper is up: writers need not wake it. */
void table_wake(struct table *t);

/*
 * For the helper: looks at up to `slots` slots from *cursor on. Those dirty without a mark are taken as above. A slot
 * whose bit in `known` is set, but that is in use no more: gone is called, the bit cleared. A slot in use whose bit is
 * not set: changed is called; setting the bit is the caller's. `known` has a bit for every slot. 0, or TABLE_E_END when
 * *cursor wrapped to 0; -EFAULT; -EROFS.
 */
int table_compare(struct table *t, uint64_t *cursor, uint64_t slots, uint64_t *known,
		  table_change_fn *changed, table_gone_fn *gone, void *arg);

/* The fix in a slot now. 0; TABLE_E_UNKNOWN: none, or too old; TABLE_E_LAPPED; -EFAULT. */
int table_fix_at(struct table *t, uint64_t slot, int64_t now_ns, struct herd_fix *ret);

/* Everything up to `round` is applied by as many peers as asked for. Calls wake for each live member that
   waits, unless that was known. */
void table_confirm(struct table *t, uint64_t round, void (*wake)(void *arg, const char *name), void *arg);

/* --- all clients ------------------------------------------------------ */

/* Start with cursor 0. 0, TABLE_E_END. *ret_version changes whenever the fix does; NULL to skip. The
   cursor counts slots: the fix is in number *cursor - 1 of slots + long_slots (table_info()). */
int table_next(struct table *t, uint64_t *cursor, int64_t now_ns, struct herd_fix *ret_fix,
	       uint64_t *ret_version);

/* The same, but TABLE_E_END once the cursor stands at `end`: a bounded step, however few clients there are. */
int
table_next_before(struct table *t, uint64_t *cursor, uint64_t end, int64_t now_ns, struct herd_fix *ret_fix);

/* Mixes what up to `slots` slots from *cursor on (wraps to 0 at the end) hold into *hash. Whoever has been
   round twice and started from the same number has the same result if, and in practice only if, no fix was
   stored or removed between. 0, or TABLE_E_END when it wrapped; -EFAULT. */
int table_fingerprint(struct table *t, uint64_t *cursor, uint32_t slots, uint64_t *hash);

/* Looks at up to `slots` slots from *cursor on (wraps to 0 at the end): frees what expired or is
   damaged, takes locks from the dead. Returns 0, or TABLE_E_END when it wrapped; -EFAULT. */
int table_sweep(struct table *t, uint64_t *cursor, uint32_t slots, int64_t now_ns);

/* --- about the table -------------------------------------------------- */

struct table_info {
	uint64_t bytes;			/* of the whole segment */
	uint64_t slots, long_slots;	/* there are */
	uint64_t used, long_used;	/* in use now, expired ones included */
	uint32_t clients, long_clients; /* as configured by its creator */
	int64_t created_ns;
	uint64_t evicted; /* since creation, by processes alive and gone */
	uint32_t layout;
	bool is_private;
};

/* What never changes, at no cost: slots of both classes, and when the segment was made. */
uint64_t table_slots(const struct table *t);
int64_t table_created_ns(const struct table *t);

/* Scans the control lines: about 0.5 ms for a million clients. */
int table_info(struct table *t, struct table_info *ret);

struct table_process {
	enum table_role role;
	bool alive; /* asked of the kernel, now */
	pid_t pid;  /* for humans: never decides anything */
	int64_t start_ns;
	char name[HERD_SERVER_MAX + 1];
	char listen[64];
	uint64_t counter[TABLE_COUNTER_COUNT];
};

/* The index-th entry; TABLE_E_UNKNOWN for one never used, TABLE_E_END past the last. */
int table_process(struct table *t, uint32_t index, struct table_process *ret);

/* Adds to one of this process's counters. Cheap, but call it once per wake-up, not per command. */
void table_count(struct table *t, enum table_counter which, int64_t add);

#endif
