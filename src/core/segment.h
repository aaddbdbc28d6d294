#ifndef CORE_SEGMENT_H
#define CORE_SEGMENT_H
/*
 * Segment: the shared memory object behind the table: its layout, making it,
 * mapping it, and refusing what is not ours.
 *
 *   header      4 KiB    constant part with its checksum, then a few shared words
 *   processes   512 x 256 B   who writes here; alive = holds an OFD lock on its byte
 *   names       4096 x 24 B   servers, so that a value carries a number
 *   marks       1 bit per bucket: fixes in it may be waiting to be flooded; short ids, then long ids
 *   control     128 B per bucket: a lock and 15 control words; short ids, then long ids
 *   slots       15 per bucket: the id, then two values; short ids, then long ids
 *
 * A half-made segment is never seen: it is built without a name and linked
 * into place when it is whole.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "core/value.h"

enum {
	SEGMENT_LAYOUT = 2,
	SEGMENT_PROCESSES = 512,
	SEGMENT_NAMES = 4096,
	SEGMENT_NAME_BYTES = 24,
	SEGMENT_LISTEN_BYTES = 64,
	SEGMENT_WAYS = 15,
	SEGMENT_BUCKET_WORDS = SEGMENT_WAYS + 1,
	SEGMENT_COUNTERS = 17,
	SEGMENT_SHORT_ID = 40,
	SEGMENT_LONG_ID = 256,
	SEGMENT_CLIENTS_MAX = 1 << 27,
};

enum segment_class_index { SEGMENT_SHORT, SEGMENT_LONG, SEGMENT_CLASSES };

/* Geometry of one size class of slots. */
struct segment_class {
	uint32_t buckets;
	uint32_t slot_bytes;
	uint64_t control_offset;
	uint64_t slots_offset;
};

/* Never changes after creation. */
struct segment_constants {
	char magic[8];
	uint32_t layout;
	uint32_t ways;
	uint64_t bytes;
	uint32_t clients, long_clients;
	uint64_t processes_offset, names_offset, marks_offset;
	struct segment_class class[SEGMENT_CLASSES];
	int64_t created_ns;
	struct hash_key key;
	uint64_t sum; /* SipHash of all before it under a fixed key */
};

struct segment_header {
	struct segment_constants constants;
	_Alignas(64) _Atomic uint64_t names_lock;
	_Atomic uint32_t names_count;
	_Atomic uint64_t evicted;
	_Atomic uint64_t watermark; /* newest receipt time of a fix evicted, its sign bit turned: 0 is none */
	/* Every writer looks at it, so it shares its line with nothing that moves. */
	_Alignas(64) _Atomic uint32_t sleeping;
	uint32_t padding[15];
	/* Rounds of the helper through the marks: begun, and applied by enough peers. */
	_Alignas(64) _Atomic uint64_t round;
	_Atomic uint64_t confirmed;
	_Alignas(64) _Atomic uint64_t waiting[SEGMENT_PROCESSES / 64]; /* bit per entry: wants to be woken */
};

struct segment_process {
	_Atomic uint64_t generation; /* of its lock words; each registration adds one */
	_Atomic uint32_t pid, role;
	_Atomic int64_t start_ns;
	char name[SEGMENT_NAME_BYTES];
	char listen[SEGMENT_LISTEN_BYTES];
	_Atomic uint64_t counter[SEGMENT_COUNTERS];
	char padding[256 - 24 - SEGMENT_NAME_BYTES - SEGMENT_LISTEN_BYTES - 8 * SEGMENT_COUNTERS];
};

_Static_assert(sizeof(struct segment_constants) == 136, "layout 2");
_Static_assert(sizeof(struct segment_header) <= 4096, "layout 2");
_Static_assert(sizeof(struct segment_process) == 256, "layout 2");
_Static_assert(sizeof(struct value) == 44, "layout 2");
_Static_assert(SEGMENT_SHORT_ID + 2 * sizeof(struct value) == 128, "a short slot is two cache lines");

/* A mapped segment. Geometry is this process's own, checked copy: the shared one is read once. */
struct segment {
	int fd; /* its own open file description: the OFD locks belong to it */
	uint8_t *base;
	struct segment_constants constants;
	dev_t dev;
	ino_t ino;
	bool is_private;     /* nobody else can see it */
	atomic_uint *shares; /* of the mapping: the last one to be done unmaps it */
};

/* Bytes of locks: byte n of the object is never written through the lock. */
#define SEGMENT_LOCK_REGISTRY (INT64_C(1) << 40)
#define SEGMENT_LOCK_PROCESS  (SEGMENT_LOCK_REGISTRY + 1)

/*
 * Opens the object called name ("/herd") and checks it.
 *   -ENOENT    there is none
 *   -EPERM     another user's, not a plain file, open to others, or with several links
 *   -ENXIO     not a table: never touched
 *   -EPROTO    a table of another layout
 *   -EBADMSG   a damaged table
 */
int segment_open(struct segment *ret, const char *name, bool readonly);

/* Makes one and links it to the name. -EEXIST: somebody was faster. -ENOSPC: no room. */
int segment_create(struct segment *ret, const char *name, uint32_t clients, uint32_t long_clients);

/* Makes one without a name. */
int segment_create_private(struct segment *ret, uint32_t clients, uint32_t long_clients);

/* The same mapping through an open file description of its own; each is done in its own time. */
int segment_share(struct segment *ret, const struct segment *other);

/* Takes an object that is no good away from its name. -EBUSY: only_unused, and a process has it
   registered. Those who have it mapped notice through segment_follow(). */
int segment_remove(const char *name, bool only_unused);

/* The same for the very object that this segment maps; 0 when the name leads elsewhere. */
int segment_remove_same(const char *name, const struct segment *s);

/* 0: the name still leads to this segment, whole. > 0: it does not. */
int segment_follow(const struct segment *s, const char *name);

/* By any thread, if it is the only one that uses this struct. */
void segment_done(struct segment *s);

/* What a segment of this capacity takes. */
uint64_t segment_bytes(uint32_t clients, uint32_t long_clients);

static inline struct segment_header *
segment_header(const struct segment *s)
{
	return (struct segment_header *)(void *)s->base;
}

static inline struct segment_process *
segment_process(const struct segment *s, uint32_t index)
{
	return (struct segment_process *)(void *)(s->base + s->constants.processes_offset) + index;
}

static inline char *
segment_name(const struct segment *s, uint32_t number)
{
	return (char *)s->base + s->constants.names_offset + (size_t)number * SEGMENT_NAME_BYTES;
}

/* Buckets of both classes, which share one row of numbers: short ids first. */
static inline uint64_t
segment_buckets(const struct segment *s)
{
	return (uint64_t)s->constants.class[SEGMENT_SHORT].buckets + s->constants.class[SEGMENT_LONG].buckets;
}

/* The word that has the marks of 64 buckets, from number * 64 on. */
static inline _Atomic uint64_t *
segment_marks(const struct segment *s, uint64_t number)
{
	return (_Atomic uint64_t *)(void *)(s->base + s->constants.marks_offset) + number;
}

/* The lock word of a bucket; its 15 control words follow. */
static inline _Atomic uint64_t *
segment_bucket(const struct segment *s, const struct segment_class *c, uint32_t bucket)
{
	return (_Atomic uint64_t *)(void *)(s->base + c->control_offset) +
	       (size_t)bucket * SEGMENT_BUCKET_WORDS;
}

static inline _Atomic uint32_t *
segment_slot(const struct segment *s, const struct segment_class *c, uint32_t bucket, unsigned int way)
{
	size_t slot = (size_t)bucket * SEGMENT_WAYS + way;

	return (_Atomic uint32_t *)(void *)(s->base + c->slots_offset + slot * c->slot_bytes);
}

#endif
