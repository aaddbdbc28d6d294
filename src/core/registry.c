/*
 * Registry: entries, the names table and the owner-tagged locks. There is
 * nothing to repair after a death: every state between two instructions is
 * valid, so stealing a lock is all that a survivor ever does.
 */
#include "core/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/fix.h"

#if defined(__x86_64__) || defined(__i386__)
#define pause_cpu() __builtin_ia32_pause()
#else
#define pause_cpu() ((void)0)
#endif

enum {
	LOCK_SPINS = 64,	/* before the kernel is asked at all */
	LOCK_ASK_EVERY = 16,	/* tries between two questions */
	LOCK_WAIT_NS = 1000000, /* then the owner lives but does not go on */
	REGISTRY_WAIT_MS = 1000,
};

static int
lock_byte(int fd, int command, int64_t byte, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	if (fcntl(fd, command, &lock) < 0)
		return -errno;
	return lock.l_type == F_UNLCK ? 0 : 1;
}

bool
registry_is_alive(const struct segment *s, uint32_t index)
{
	/* Our own lock does not conflict with our own question: callers ask about others. */
	return lock_byte(s->fd, F_OFD_GETLK, SEGMENT_LOCK_PROCESS + index, F_WRLCK) != 0;
}

bool
registry_is_dead(const struct segment *s, registry_owner owner)
{
	uint32_t index = (uint32_t)(owner & 0xffff) - 1;
	uint64_t generation;

	if (index >= SEGMENT_PROCESSES)
		return true;
	generation = atomic_load_explicit(&segment_process(s, index)->generation, memory_order_acquire);
	if ((generation & UINT64_C(0xffffffffffff)) != owner >> 16)
		return true;
	return !registry_is_alive(s, index);
}

bool
registry_clear_lock(const struct segment *s, _Atomic uint64_t *lock, registry_owner self, bool *ret_held)
{
	/* Sequentially consistent: table-changes.c looks here after it took a mark away. */
	uint64_t held = atomic_load_explicit(lock, memory_order_seq_cst);

	*ret_held = false;
	if (held == 0)
		return false;
	/* A word of our own is left from a call that SIGBUS ended: nobody else has it. Acquire and
	   release: nothing to repair, but what the dead did comes before whoever locks next. */
	if ((held == self || registry_is_dead(s, held)) &&
	    atomic_compare_exchange_strong_explicit(lock, &held, 0, memory_order_acq_rel,
						    memory_order_acquire))
		return true;
	*ret_held = held != 0;
	return false;
}

int
registry_lock(const struct segment *s, _Atomic uint64_t *lock, registry_owner self, bool *ret_stolen)
{
	uint64_t held = 0;
	int64_t deadline_ns = 0;

	/* Acquire: what the owner before us did under the lock is seen. Sequentially consistent, here and
	   below: a writer locks, then looks at the bucket's mark; the helper takes the mark, then looks at
	   the lock; one of them sees the other (table-changes.c). Costs nothing on x86. */
	if (atomic_compare_exchange_strong_explicit(lock, &held, self, memory_order_seq_cst,
						    memory_order_relaxed))
		return 0;
	for (unsigned int try = 1;; try++) {
		if (held == 0) {
			if (atomic_compare_exchange_weak_explicit(lock, &held, self, memory_order_seq_cst,
								  memory_order_relaxed))
				return 0;
			continue;
		}
		if (try >= LOCK_SPINS && try % LOCK_ASK_EVERY == 0) {
			int64_t now_ns = clock_monotonic_ns();

			/* A word of our own is left from a call that SIGBUS ended: nobody else has it. */
			if ((held == self || registry_is_dead(s, held)) &&
			    atomic_compare_exchange_strong_explicit(lock, &held, self, memory_order_seq_cst,
								    memory_order_relaxed)) {
				*ret_stolen = true;
				return 0;
			}
			if (deadline_ns == 0)
				deadline_ns = now_ns + LOCK_WAIT_NS;
			else if (now_ns >= deadline_ns)
				return TABLE_E_BUSY;
		}
		pause_cpu();
		held = atomic_load_explicit(lock, memory_order_relaxed);
	}
}

/* Bounded wait for the registry: it is held for microseconds, by the living only. */
static int
registry_enter(const struct segment *s)
{
	for (int i = 0; i < REGISTRY_WAIT_MS; i++) {
		if (lock_byte(s->fd, F_OFD_SETLK, SEGMENT_LOCK_REGISTRY, F_WRLCK) >= 0)
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

void
registry_leave(const struct segment *s)
{
	(void)lock_byte(s->fd, F_OFD_SETLK, SEGMENT_LOCK_REGISTRY, F_UNLCK);
}

static bool
name_is_taken(const struct segment *s, enum table_role role, const char *name)
{
	for (uint32_t i = 0; i < SEGMENT_PROCESSES; i++) {
		const struct segment_process *p = segment_process(s, i);

		if (atomic_load_explicit(&p->role, memory_order_relaxed) == (uint32_t)role &&
		    strncmp(p->name, name, sizeof(p->name)) == 0 && registry_is_alive(s, i))
			return true;
	}
	return false;
}

void
registry_set_waiting(const struct segment *s, uint32_t index, bool waiting)
{
	_Atomic uint64_t *word = &segment_header(s)->waiting[index / 64];
	uint64_t bit = UINT64_C(1) << index % 64;

	/* Sequentially consistent: see table_set_waiting(). */
	if (waiting)
		atomic_fetch_or_explicit(word, bit, memory_order_seq_cst);
	else
		atomic_fetch_and_explicit(word, ~bit, memory_order_seq_cst);
}

static void
entry_fill(struct segment_process *p, enum table_role role, const char *name, const char *listen,
	   uint64_t generation)
{
	memset(p->name, 0, sizeof(p->name));
	memcpy(p->name, name, strnlen(name, sizeof(p->name) - 1));
	memset(p->listen, 0, sizeof(p->listen));
	memcpy(p->listen, listen, strnlen(listen, sizeof(p->listen) - 1));
	for (int i = 0; i < SEGMENT_COUNTERS; i++)
		atomic_store_explicit(&p->counter[i], 0, memory_order_relaxed);
	atomic_store_explicit(&p->pid, (uint32_t)getpid(), memory_order_relaxed);
	atomic_store_explicit(&p->role, (uint32_t)role, memory_order_relaxed);
	atomic_store_explicit(&p->start_ns, clock_now_ns(), memory_order_relaxed);
	/* Release: whoever sees the new generation sees the rest. From here on words of the
	   entry's last owner are dead ones. */
	atomic_store_explicit(&p->generation, generation, memory_order_release);
}

static int
entry_find(const struct segment *s, struct registry_entry *ret)
{
	for (uint32_t i = 0; i < SEGMENT_PROCESSES; i++) {
		struct segment_process *p = segment_process(s, i);
		uint64_t generation;

		if (lock_byte(s->fd, F_OFD_SETLK, SEGMENT_LOCK_PROCESS + i, F_WRLCK) < 0)
			continue;
		generation = atomic_load_explicit(&p->generation, memory_order_relaxed) + 1;
		generation &= UINT64_C(0xffffffffffff);
		*ret = (struct registry_entry){i, generation << 16 | (i + 1)};
		return 0;
	}
	return -EUSERS;
}

int
registry_take(const struct segment *s, enum table_role role, const char *name, const char *listen,
	      struct registry_entry *ret)
{
	struct registry_entry e;
	int r;

	r = registry_enter(s);
	if (r < 0)
		return r;
	r = role != TABLE_TOOL && name_is_taken(s, role, name) ? TABLE_E_NAME_TAKEN : 0;
	if (r == 0)
		r = entry_find(s, &e);
	if (r == 0) {
		registry_set_waiting(s, e.index, false);
		entry_fill(segment_process(s, e.index), role, name, listen, e.owner >> 16);
		*ret = e;
	}
	registry_leave(s);
	return r;
}

void
registry_drop(const struct segment *s, const struct registry_entry *e)
{
	(void)lock_byte(s->fd, F_OFD_SETLK, SEGMENT_LOCK_PROCESS + e->index, F_UNLCK);
}

uint32_t
registry_names(const struct segment *s)
{
	/* Acquire: entries below the count are whole. */
	uint32_t count = atomic_load_explicit(&segment_header(s)->names_count, memory_order_acquire);

	return count < SEGMENT_NAMES ? count : SEGMENT_NAMES;
}

bool
registry_name_is(const struct segment *s, uint16_t number, struct text name)
{
	const char *entry = segment_name(s, number);

	return memcmp(entry, name.at, name.len) == 0 && entry[name.len] == '\0';
}

/* Looks for the name among those from `from` on, below `end`. */
static bool
name_find(const struct segment *s, struct text name, uint32_t from, uint32_t end, uint16_t *ret)
{
	for (uint32_t i = from; i < end; i++) {
		if (registry_name_is(s, (uint16_t)i, name)) {
			*ret = (uint16_t)i;
			return true;
		}
	}
	return false;
}

int
registry_name_number(const struct segment *s, registry_owner self, struct text name, uint16_t *ret)
{
	struct segment_header *h = segment_header(s);
	const uint32_t before = registry_names(s);
	uint32_t count;
	bool stolen;
	int r;

	if (!fix_server_valid(name))
		return -EINVAL;
	/* Entries below the count never change: who has a number already waits for nobody. */
	if (name_find(s, name, 0, before, ret))
		return 0;
	r = registry_lock(s, &h->names_lock, self, &stolen);
	if (r != 0)
		return r;
	count = registry_names(s);
	r = name_find(s, name, before, count, ret) ? 0 : -ENOSPC;
	if (r != 0 && count < SEGMENT_NAMES) {
		char *entry = segment_name(s, count);

		memset(entry, 0, SEGMENT_NAME_BYTES);
		memcpy(entry, name.at, name.len);
		/* Release: an entry below the count is whole and never changes again. */
		atomic_store_explicit(&h->names_count, count + 1, memory_order_release);
		*ret = (uint16_t)count;
		r = 0;
	}
	registry_unlock(&h->names_lock);
	return r;
}
