#ifndef CORE_REGISTRY_H
#define CORE_REGISTRY_H
/*
 * Registry: which processes write a segment, and which of them still live.
 *
 * Life is a kernel matter: each registered process holds an OFD byte-range
 * lock, which goes with its last descriptor, however it dies. Pids are for
 * humans only.
 */
#include "core/segment.h"
#include "core/table.h"

/* Owner word of a lock: generation << 16 | index + 1. Never 0. */
typedef uint64_t registry_owner;

struct registry_entry {
	uint32_t index;
	registry_owner owner;
};

/* TABLE_E_NAME_TAKEN; -EUSERS: no free entry; -ETIMEDOUT: the registry stayed locked. */
int registry_take(const struct segment *s, enum table_role role, const char *name, const char *listen,
		  struct registry_entry *ret);

/* Gives back the registry's own lock, which a registry_take() that SIGBUS ended still holds. */
void registry_leave(const struct segment *s);

void registry_drop(const struct segment *s, const struct registry_entry *e);

/* Whether the entry's process wants to be woken when peers confirm; false for a new one. */
void registry_set_waiting(const struct segment *s, uint32_t index, bool waiting);

/* The process behind this owner word is gone. A word that nobody can have written counts as dead. */
bool registry_is_dead(const struct segment *s, registry_owner owner);

/* The entry's process holds its lock. */
bool registry_is_alive(const struct segment *s, uint32_t index);

/* Takes a lock word back from the dead; *ret_held: somebody has it, and lives. true: it was taken back. */
bool
registry_clear_lock(const struct segment *s, _Atomic uint64_t *lock, registry_owner self, bool *ret_held);

/*
 * Takes an owner-tagged lock word, stealing it from the dead but never from
 * the living: after about 1 ms gives up with TABLE_E_BUSY. *ret_stolen tells.
 */
int registry_lock(const struct segment *s, _Atomic uint64_t *lock, registry_owner self, bool *ret_stolen);

static inline void
registry_unlock(_Atomic uint64_t *lock)
{
	/* Release: what was done under the lock is seen by whoever takes it next. */
	atomic_store_explicit(lock, 0, memory_order_release);
}

/* How many servers have a number. */
uint32_t registry_names(const struct segment *s);

/* Whether this is the name with that number. */
bool registry_name_is(const struct segment *s, uint16_t number, struct text name);

/* Number of a server's name, entered when it is new. -ENOSPC: the name table is full. TABLE_E_BUSY. */
int registry_name_number(const struct segment *s, registry_owner self, struct text name, uint16_t *ret);

#endif
