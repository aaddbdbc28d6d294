/*
 * Table, looked at as a whole: iteration, the keeper's sweep, figures, and
 * who is registered. All of it lock-free but for the slots that the sweep
 * frees.
 */
#include "core/table-private.h"

#include <errno.h>
#include <string.h>

_Static_assert((int)TABLE_COUNTER_COUNT <= (int)SEGMENT_COUNTERS, "a process entry holds every counter");

bool
slot_copy_intact(const struct segment *s, const struct segment_class *c, uint32_t bucket,
		 const struct slot_copy *copy, struct table_key *ret_key)
{
	struct text id = {copy->id, value_id_len(&copy->value)};

	if (id.len == 0 || id.len > c->slot_bytes - 2 * sizeof(struct value) || key_class(s, id) != c)
		return false;
	key_derive(s, id, ret_key);
	return (ret_key->bucket[0] == bucket || ret_key->bucket[1] == bucket) &&
	       (copy->ctl & (CTL_ZERO | CTL_TAG)) == key_tag(ret_key) &&
	       value_intact(&copy->value, ret_key->hash);
}

const struct segment_class *
bucket_of(const struct segment *s, uint64_t number, uint32_t *ret_bucket)
{
	for (int i = 0; i < SEGMENT_CLASSES; i++) {
		const struct segment_class *c = &s->constants.class[i];

		if (number < c->buckets) {
			*ret_bucket = (uint32_t)number;
			return c;
		}
		number -= c->buckets;
	}
	return NULL;
}

struct next_call {
	struct table *t;
	uint64_t *cursor, end;
	int64_t now_ns;
	struct herd_fix *ret_fix;
	uint64_t *ret_version;
};

static int
next_body(void *arg)
{
	const struct next_call *call = arg;
	const struct segment *s = &call->t->segment;
	const struct segment_class *c;
	uint32_t bucket;

	while (*call->cursor < call->end && (c = bucket_of(s, *call->cursor / SEGMENT_WAYS, &bucket))) {
		struct slot slot = slot_at(s, c, bucket, (unsigned int)(*call->cursor % SEGMENT_WAYS));
		struct slot_copy copy;
		struct table_key key;

		++*call->cursor;
		if (slot_read(&slot, &copy) != 0 || !slot_copy_intact(s, c, bucket, &copy, &key) ||
		    table_expired(call->t, value_rx_ns(&copy.value), call->now_ns) ||
		    !table_fix_of(call->t, key.id, &copy.value, call->ret_fix))
			continue;
		if (call->ret_version)
			*call->ret_version = ctl_sequence(copy.ctl);
		return 0;
	}
	return TABLE_E_END;
}

int
table_next(struct table *t, uint64_t *cursor, int64_t now_ns, struct herd_fix *ret_fix, uint64_t *ret_version)
{
	struct next_call call = {t, cursor, UINT64_MAX, now_ns, ret_fix, ret_version};

	return table_guarded(t, next_body, &call);
}

int
table_next_before(struct table *t, uint64_t *cursor, uint64_t end, int64_t now_ns, struct herd_fix *ret_fix)
{
	struct next_call call = {t, cursor, end, now_ns, ret_fix, NULL};

	return table_guarded(t, next_body, &call);
}

/* --- whether anything changed ------------------------------------------------ */

struct fingerprint_call {
	struct table *t;
	uint64_t *cursor;
	uint32_t slots;
	uint64_t *hash;
};

static int
fingerprint_body(void *arg)
{
	const struct fingerprint_call *call = arg;
	const struct segment *s = &call->t->segment;
	uint64_t hash = *call->hash;
	uint32_t bucket;

	for (uint32_t done = 0; done < call->slots; done += SEGMENT_WAYS) {
		const struct segment_class *c = bucket_of(s, *call->cursor, &bucket);
		const _Atomic uint64_t *line;

		if (!c) {
			*call->hash = hash;
			*call->cursor = 0;
			return TABLE_E_END;
		}
		line = segment_bucket(s, c, bucket);
		/* Every write and every removal moves a control word's sequence; flooding only its dirty bit. */
		for (unsigned int way = 0; way < SEGMENT_WAYS; way++) {
			hash ^= atomic_load_explicit(&line[1 + way], memory_order_relaxed) & ~CTL_DIRTY;
			hash *= UINT64_C(0x9e3779b97f4a7c15);
			hash ^= hash >> 32;
		}
		++*call->cursor;
	}
	*call->hash = hash;
	return 0;
}

int
table_fingerprint(struct table *t, uint64_t *cursor, uint32_t slots, uint64_t *hash)
{
	struct fingerprint_call call = {t, cursor, slots, hash};

	return table_guarded(t, fingerprint_body, &call);
}

/* --- the sweep --------------------------------------------------------------- */

struct sweep_call {
	struct table *t;
	uint64_t *cursor;
	uint32_t slots;
	int64_t now_ns;
};

enum slot_state { SLOT_FINE, SLOT_EXPIRED, SLOT_DAMAGED };

static enum slot_state
slot_judge(const struct sweep_call *call, const struct segment_class *c, uint32_t bucket,
	   const struct slot_copy *copy)
{
	struct table_key key;

	if (!slot_copy_intact(&call->t->segment, c, bucket, copy, &key))
		return SLOT_DAMAGED;
	return table_expired(call->t, value_rx_ns(&copy->value), call->now_ns) ? SLOT_EXPIRED : SLOT_FINE;
}

/* Frees one slot if it still is what it was when judged without the lock. */
static void
sweep_free(const struct sweep_call *call, const struct segment_class *c, uint32_t bucket,
	   const struct slot *slot)
{
	struct slot_copy copy;
	enum slot_state state;
	bool stolen = false;

	if (registry_lock(&call->t->segment, slot->lock, call->t->self.owner, &stolen) != 0)
		return; /* next round */
	if (stolen)
		table_count(call->t, TABLE_COUNTER_stolen, 1);
	if (slot_read(slot, &copy) == 0) {
		state = slot_judge(call, c, bucket, &copy);
		if (state != SLOT_FINE) {
			slot_clear(slot, copy.ctl);
			table_count(call->t,
				    state == SLOT_EXPIRED ? TABLE_COUNTER_expired : TABLE_COUNTER_damaged, 1);
		}
	}
	registry_unlock(slot->lock);
}

static void
sweep_bucket(const struct sweep_call *call, const struct segment_class *c, uint32_t bucket)
{
	const struct segment *s = &call->t->segment;
	bool held;

	/* What the dead left locked: nothing to repair, the next writer need only not wait. */
	if (registry_clear_lock(s, segment_bucket(s, c, bucket), call->t->self.owner, &held))
		table_count(call->t, TABLE_COUNTER_stolen, 1);

	for (unsigned int way = 0; way < SEGMENT_WAYS; way++) {
		struct slot slot = slot_at(s, c, bucket, way);
		struct slot_copy copy;

		if (slot_read(&slot, &copy) == 0 && slot_judge(call, c, bucket, &copy) != SLOT_FINE)
			sweep_free(call, c, bucket, &slot);
	}
}

static int
sweep_body(void *arg)
{
	const struct sweep_call *call = arg;
	const struct segment *s = &call->t->segment;
	const struct segment_class *c;
	uint32_t bucket;

	for (uint32_t done = 0; done < call->slots; done += SEGMENT_WAYS) {
		c = bucket_of(s, *call->cursor, &bucket);
		if (!c) {
			*call->cursor = 0;
			return TABLE_E_END;
		}
		sweep_bucket(call, c, bucket);
		++*call->cursor;
	}
	return 0;
}

int
table_sweep(struct table *t, uint64_t *cursor, uint32_t slots, int64_t now_ns)
{
	struct sweep_call call = {t, cursor, slots, now_ns};

	return t->is_registered ? table_guarded(t, sweep_body, &call) : -EROFS;
}

/* --- figures ------------------------------------------------------------------ */

uint64_t
table_slots(const struct table *t)
{
	const struct segment_class *c = t->segment.constants.class;

	return ((uint64_t)c[SEGMENT_SHORT].buckets + c[SEGMENT_LONG].buckets) * SEGMENT_WAYS;
}

int64_t
table_created_ns(const struct table *t)
{
	return t->segment.constants.created_ns;
}

struct info_call {
	struct table *t;
	struct table_info info;
};

static uint64_t
class_used(const struct segment *s, const struct segment_class *c)
{
	uint64_t used = 0;

	for (uint32_t bucket = 0; bucket < c->buckets; bucket++) {
		const _Atomic uint64_t *line = segment_bucket(s, c, bucket);

		for (unsigned int way = 0; way < SEGMENT_WAYS; way++)
			used += (atomic_load_explicit(&line[1 + way], memory_order_relaxed) & CTL_USED) != 0;
	}
	return used;
}

static int
info_body(void *arg)
{
	struct info_call *call = arg;
	const struct segment *s = &call->t->segment;
	const struct segment_constants *k = &s->constants;

	call->info = (struct table_info){
		.bytes = k->bytes,
		.slots = (uint64_t)k->class[SEGMENT_SHORT].buckets * SEGMENT_WAYS,
		.long_slots = (uint64_t)k->class[SEGMENT_LONG].buckets * SEGMENT_WAYS,
		.used = class_used(s, &k->class[SEGMENT_SHORT]),
		.long_used = class_used(s, &k->class[SEGMENT_LONG]),
		.clients = k->clients,
		.long_clients = k->long_clients,
		.created_ns = k->created_ns,
		.evicted = atomic_load_explicit(&segment_header(s)->evicted, memory_order_relaxed),
		.layout = k->layout,
		.is_private = s->is_private,
	};
	return 0;
}

int
table_info(struct table *t, struct table_info *ret)
{
	struct info_call call = {.t = t};
	int r = table_guarded(t, info_body, &call);

	if (r == 0)
		*ret = call.info;
	return r;
}

struct process_call {
	struct table *t;
	uint32_t index;
	struct table_process process;
};

/* Copies a text that others may be writing; always ends it, never with a control byte inside. */
static void
copy_text(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)to[i] < ' ' || (unsigned char)to[i] >= 0x7f)
			to[i] = '?';
}

static int
process_body(void *arg)
{
	struct process_call *call = arg;
	const struct segment *s = &call->t->segment;
	struct table_process *to = &call->process;
	const struct segment_process *p;

	if (call->index >= SEGMENT_PROCESSES)
		return TABLE_E_END;
	p = segment_process(s, call->index);
	if (atomic_load_explicit(&p->generation, memory_order_acquire) == 0)
		return TABLE_E_UNKNOWN;
	to->role = (enum table_role)atomic_load_explicit(&p->role, memory_order_relaxed);
	to->pid = (pid_t)atomic_load_explicit(&p->pid, memory_order_relaxed);
	to->start_ns = atomic_load_explicit(&p->start_ns, memory_order_relaxed);
	to->alive = (call->t->is_registered && call->index == call->t->self.index) ||
		    registry_is_alive(s, call->index);
	copy_text(to->name, sizeof(to->name), p->name);
	copy_text(to->listen, sizeof(to->listen), p->listen);
	for (int i = 0; i < TABLE_COUNTER_COUNT; i++)
		to->counter[i] = atomic_load_explicit(&p->counter[i], memory_order_relaxed);
	return 0;
}

int
table_process(struct table *t, uint32_t index, struct table_process *ret)
{
	struct process_call call = {.t = t, .index = index};
	int r = table_guarded(t, process_body, &call);

	if (r == 0)
		*ret = call.process;
	return r;
}

struct count_call {
	struct table *t;
	enum table_counter which;
	int64_t add;
};

static int
count_body(void *arg)
{
	const struct count_call *call = arg;
	_Atomic uint64_t *counter =
		&segment_process(&call->t->segment, call->t->self.index)->counter[call->which];

	/* Load and store, not an atomic add: only this process writes its own counters. */
	atomic_store_explicit(counter,
			      atomic_load_explicit(counter, memory_order_relaxed) + (uint64_t)call->add,
			      memory_order_relaxed);
	return 0;
}

void
table_count(struct table *t, enum table_counter which, int64_t add)
{
	struct count_call call = {t, which, add};

	if (t->is_registered)
		(void)table_guarded(t, count_body, &call);
}
