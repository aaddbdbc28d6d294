#ifndef CORE_TABLE_PRIVATE_H
#define CORE_TABLE_PRIVATE_H
/*
 * What the table's own files share: the handle, and reading and writing one
 * slot. Nobody outside core/table-*.c includes this.
 */
#include "core/registry.h"
#include "core/segment.h"
#include "core/table.h"
#include "core/value.h"

struct table_name {
	uint8_t len; /* 0: not looked up yet */
	char text[HERD_SERVER_MAX];
};

enum { TABLE_MERGED_ROOM = 2 * SEGMENT_NAMES }; /* a power of two, never more than half full */

struct table {
	struct segment segment;
	bool readonly;
	bool is_lost; /* a page was gone: no more use of this mapping */

	bool is_registered;
	struct registry_entry self;
	enum table_role role;
	uint16_t server;
	char name[HERD_SERVER_MAX + 1];
	char listen[SEGMENT_LISTEN_BYTES];

	char shm[200]; /* "" for a table that never had a name */
	uint32_t clients, long_clients;
	int64_t ttl_ns;

	struct table_name *names; /* owned; private copies of names already checked */

	/* Owned: numbers of servers whose fixes were merged, by a hash of the name; 0: free, else number + 1. */
	uint16_t *merged;
	uint32_t merged_seen; /* names of the segment that it was told of */

	bool is_waiting; /* as told by table_set_waiting(), for the segment after this one */
	uint64_t round;	 /* that table_take_changes() is in */
};

/*
 * Control word: 63..32 sequence | 31 used | 30 dirty | 29..16 zero | 15..0 tag.
 * The live value is value[sequence & 1].
 */
#define CTL_USED  (UINT64_C(1) << 31)
#define CTL_DIRTY (UINT64_C(1) << 30)
#define CTL_ZERO  UINT64_C(0x3fff0000)
#define CTL_TAG	  UINT64_C(0xffff)

static inline uint32_t
ctl_sequence(uint64_t ctl)
{
	return (uint32_t)(ctl >> 32);
}

static inline uint64_t
ctl_next(uint64_t ctl)
{
	return (uint64_t)(ctl_sequence(ctl) + 1) << 32;
}

/* One slot, wherever it is. */
struct slot {
	const struct segment_class *class;
	_Atomic uint64_t *lock; /* of its bucket */
	_Atomic uint64_t *ctl;
	_Atomic uint32_t *words; /* id, value[0], value[1] */
};

/* What was in it when ctl was read. */
struct slot_copy {
	uint64_t ctl;
	struct value value;
	_Alignas(8) char id[SEGMENT_LONG_ID];
};

static inline struct slot
slot_at(const struct segment *s, const struct segment_class *c, uint32_t bucket, unsigned int way)
{
	_Atomic uint64_t *line = segment_bucket(s, c, bucket);

	return (struct slot){c, line, line + 1 + way, segment_slot(s, c, bucket, way)};
}

/* 0; TABLE_E_UNKNOWN: not used; TABLE_E_LAPPED. The value's id length is within its class. */
int slot_read(const struct slot *slot, struct slot_copy *ret);

/* With the bucket locked: puts a value in the idle half and publishes it with the tag, and CTL_DIRTY or not.
   id.len 0: id stays. */
void
slot_write(const struct slot *slot, uint64_t ctl, struct text id, const struct value *value, uint64_t flags);

/* With the bucket locked: makes the slot free. */
void slot_clear(const struct slot *slot, uint64_t ctl);

/* The class and bucket that a running number over all buckets means; NULL past the end. */
const struct segment_class *bucket_of(const struct segment *s, uint64_t number, uint32_t *ret_bucket);

/* The running number of the slot's bucket. */
static inline uint64_t
slot_bucket(const struct segment *s, const struct slot *slot)
{
	uint64_t bucket = (uint64_t)(slot->lock - segment_bucket(s, slot->class, 0)) / SEGMENT_BUCKET_WORDS;

	return slot->class == &s->constants.class[SEGMENT_LONG]
		       ? bucket + s->constants.class[SEGMENT_SHORT].buckets
		       : bucket;
}

static inline uint64_t
slot_number(const struct segment *s, const struct slot *slot)
{
	return slot_bucket(s, slot) * SEGMENT_WAYS + (uint64_t)(slot->ctl - slot->lock - 1);
}

/* With the bucket locked, before a dirty value is published in it: tells the helper where to look. */
static inline void
bucket_mark(const struct segment *s, uint64_t number)
{
	_Atomic uint64_t *word = segment_marks(s, number / 64);
	uint64_t bit = UINT64_C(1) << number % 64;

	/* Sequentially consistent, both: the look must come after the lock was taken, and a mark that we
	   set before our look at `sleeping`; table-changes.c says why. Mostly it is set already, and then
	   the line is not torn from the other writers' caches. */
	if (!(atomic_load_explicit(word, memory_order_seq_cst) & bit))
		atomic_fetch_or_explicit(word, bit, memory_order_seq_cst);
}

/* The hash of an id in this segment, and what follows from it. */
void key_derive(const struct segment *s, struct text id, struct table_key *ret);
uint64_t key_tag(const struct table_key *key);
const struct segment_class *key_class(const struct segment *s, struct text id);

/* The copy is a whole fix of this class, in one of its own buckets; *ret_key is its key. */
bool slot_copy_intact(const struct segment *s, const struct segment_class *c, uint32_t bucket,
		      const struct slot_copy *copy, struct table_key *ret_key);

/* A fix on its way into the table. */
struct put {
	struct table *t;
	const struct table_key *key;
	struct fix_rank rank; /* of the fix */
	struct value value;
	int64_t now_ns;
	bool is_from_peer; /* not to be flooded by what the marks say; refused when it may have been evicted */
	/* results for a peer's, with 0 and TABLE_E_OLDER */
	uint64_t slot;
	bool is_same; /* with TABLE_E_OLDER: the very fix is there */
};

/* The watermark as the header keeps it: ordered as the times are, and 0, as in a new segment, for none. */
static inline uint64_t
watermark_word(int64_t rx_ns)
{
	return (uint64_t)rx_ns ^ (uint64_t)INT64_MIN;
}

static inline int64_t
table_watermark_of(const struct segment *s)
{
	uint64_t word = atomic_load_explicit(&segment_header(s)->watermark, memory_order_relaxed);

	return (int64_t)(word ^ (uint64_t)INT64_MIN);
}

/* 0; TABLE_E_OLDER; TABLE_E_BUSY; TABLE_E_EVICTED. Under the guard. */
int put_run(struct put *put);

bool table_expired(const struct table *t, int64_t rx_ns, int64_t now_ns);

/* Fills *ret from a checked value. false: its texts or its server make no sense. */
bool table_fix_of(struct table *t, struct text id, const struct value *value, struct herd_fix *ret);

/* A server's checked name; false: nobody has the number, or what has it is none. */
bool table_server_name(struct table *t, uint16_t number, struct text *ret);

/* Runs body under the guard, unless the mapping is already known to be gone. */
int table_guarded(struct table *t, int (*body)(void *arg), void *arg);

#endif
