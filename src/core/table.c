/*
 * Table: find and put, the two things that happen once per command.
 *
 * Readers take no lock: they copy and look whether the control word moved.
 * Writers lock one bucket for an update, two for a new client, and publish
 * with a single store, so that a death between any two instructions leaves
 * either the old fix or the new one.
 */
#include "core/table-private.h"

#include <errno.h>
#include <string.h>

#include "base/guard.h"
#include "core/location.h"

enum {
	READ_TRIES = 1000, /* overtaken that often within microseconds: somebody writes wild */
	PUT_TRIES = 100,
	/* A new client goes to its first bucket while that holds fewer, else to the emptier one: at the
	   load a segment is made for, no bucket overflows and 84 % are found in the first. */
	PREFER_FIRST = 9,
};

/* --- keys ---------------------------------------------------------------- */

const struct segment_class *
key_class(const struct segment *s, struct text id)
{
	return &s->constants.class[id.len <= SEGMENT_SHORT_ID ? SEGMENT_SHORT : SEGMENT_LONG];
}

void
key_derive(const struct segment *s, struct text id, struct table_key *ret)
{
	uint64_t buckets = key_class(s, id)->buckets;
	uint64_t hash = hash_siphash13(&s->constants.key, id.at, id.len);
	uint32_t first = (uint32_t)((hash & 0xffffffff) * buckets >> 32);
	uint32_t second = (uint32_t)((hash >> 32) * buckets >> 32);

	if (second == first)
		second = first + 1 < buckets ? first + 1 : 0;
	*ret = (struct table_key){.id = id, .hash = hash, .bucket = {first, second}};
}

uint64_t
key_tag(const struct table_key *key)
{
	/* Mixed again: the buckets already say what the bits themselves say. */
	return key->hash * UINT64_C(0x9e3779b97f4a7c15) >> 48;
}

/* Where in its bucket a new client goes if that place is free. */
static unsigned int
key_way(const struct table_key *key)
{
	return (unsigned int)(key_tag(key) % SEGMENT_WAYS);
}

struct prefetch_call {
	const struct segment *s;
	struct table_key *keys;
	size_t count;
};

/* always_inline: gcc takes a function that only prefetches for one without effect, and drops the call. */
static inline __attribute__((always_inline)) void
prefetch_control(const struct segment *s, const struct table_key *key, int i)
{
	const char *line = (const char *)segment_bucket(s, key_class(s, key->id), key->bucket[i]);

	__builtin_prefetch(line);
	__builtin_prefetch(line + 64);
}

static inline __attribute__((always_inline)) void
prefetch_slot(const struct segment *s, const struct table_key *key, int i, unsigned int way)
{
	const char *slot = (const char *)segment_slot(s, key_class(s, key->id), key->bucket[i], way);

	__builtin_prefetch(slot, 1);
	__builtin_prefetch(slot + 64, 1);
}

void
table_key_make(const struct table *t, struct text id, struct table_key *ret)
{
	const struct segment *s = &t->segment;

	key_derive(s, id, ret);
	prefetch_control(s, ret, 0);
}

/* Looks for the key's tag in its i-th bucket and fetches the slot that has it. */
static bool
prefetch_bucket(const struct segment *s, struct table_key *key, int i)
{
	const _Atomic uint64_t *line = segment_bucket(s, key_class(s, key->id), key->bucket[i]);
	const uint64_t wanted = CTL_USED | key_tag(key);

	for (unsigned int way = 0; way < SEGMENT_WAYS; way++) {
		/* Relaxed: only a guess at what will be read. */
		uint64_t ctl = atomic_load_explicit(&line[1 + way], memory_order_relaxed);

		if ((ctl & (CTL_USED | CTL_TAG)) == wanted) {
			prefetch_slot(s, key, i, way);
			key->guess = (uint8_t)(1 + (unsigned int)i * SEGMENT_WAYS + way);
			return true;
		}
	}
	return false;
}

static int
prefetch_body(void *arg)
{
	const struct prefetch_call *call = arg;
	struct table_key *end = call->keys + call->count;

	/* Two rounds, so that nobody waits for the second bucket's line while the others could go on. */
	for (struct table_key *key = call->keys; key < end; key++)
		if (key->id.len && !prefetch_bucket(call->s, key, 0))
			prefetch_control(call->s, key, 1);
	for (struct table_key *key = call->keys; key < end; key++)
		if (key->id.len && !key->guess)
			prefetch_bucket(call->s, key, 1);
	return 0;
}

void
table_prefetch(struct table *t, struct table_key *keys, size_t count)
{
	struct prefetch_call call = {&t->segment, keys, count};

	(void)table_guarded(t, prefetch_body, &call);
}

/* --- one slot -------------------------------------------------------------- */

static unsigned int
slot_id_words(const struct slot *slot)
{
	return (slot->class->slot_bytes - 2 * (unsigned int)sizeof(struct value)) / 4;
}

int
slot_read(const struct slot *slot, struct slot_copy *ret)
{
	const unsigned int id_words = slot_id_words(slot);
	uint32_t word;

	for (int try = 0; try < READ_TRIES; try++) {
		/* Acquire: the words below are at least as new as this word. */
		uint64_t before = atomic_load_explicit(slot->ctl, memory_order_acquire);
		const _Atomic uint32_t *value = slot->words + id_words +
						(ctl_sequence(before) & 1) * VALUE_WORDS;
		unsigned int id_len;

		if (!(before & CTL_USED))
			return TABLE_E_UNKNOWN;
		/* Acquire, word by word: the look at ctl below cannot come first. Plain loads on
		   x86; a fence instead would hide the protocol from ThreadSanitizer. */
		for (int i = 0; i < VALUE_WORDS; i++)
			ret->value.word[i] = atomic_load_explicit(&value[i], memory_order_acquire);
		id_len = value_id_len(&ret->value);
		if (id_len > id_words * 4)
			id_len = id_words * 4;
		for (unsigned int i = 0; i < (id_len + 3) / 4; i++) {
			word = atomic_load_explicit(&slot->words[i], memory_order_acquire);
			memcpy(ret->id + (size_t)4 * i, &word, 4);
		}
		/* Unmoved: no writer has come round to this half meanwhile. Dirty may change freely. */
		if (((before ^ atomic_load_explicit(slot->ctl, memory_order_relaxed)) & ~CTL_DIRTY) == 0) {
			ret->ctl = before;
			return 0;
		}
	}
	return TABLE_E_LAPPED;
}

void
slot_write(const struct slot *slot, uint64_t ctl, struct text id, const struct value *value, uint64_t flags)
{
	const unsigned int id_words = slot_id_words(slot);
	uint64_t next = ctl_next(ctl);
	_Atomic uint32_t *idle = slot->words + id_words + (ctl_sequence(next) & 1) * VALUE_WORDS;

	/* Release, word by word: a reader who sees one of these also sees that the control word had
	   moved on from the value these words belonged to before. */
	for (unsigned int i = 0; i < (id.len + 3) / 4; i++) {
		uint32_t word = 0;

		memcpy(&word, id.at + (size_t)4 * i, id.len - (size_t)4 * i < 4 ? id.len - (size_t)4 * i : 4);
		atomic_store_explicit(&slot->words[i], word, memory_order_release);
	}
	for (int i = 0; i < VALUE_WORDS; i++)
		atomic_store_explicit(&idle[i], value->word[i], memory_order_release);
	/* Release: the whole value, and that it must be flooded, become visible at this instant. */
	atomic_store_explicit(slot->ctl, next | CTL_USED | flags, memory_order_release);
}

void
slot_clear(const struct slot *slot, uint64_t ctl)
{
	atomic_store_explicit(slot->ctl, ctl_next(ctl), memory_order_release);
}

/* --- finding a client ------------------------------------------------------ */

struct found {
	struct slot slot;
	struct slot_copy copy;
};

static bool
copy_is_client(const struct slot_copy *copy, const struct table_key *key)
{
	return value_id_len(&copy->value) == key->id.len && memcmp(copy->id, key->id.at, key->id.len) == 0 &&
	       value_intact(&copy->value, key->hash);
}

/* Looks into one slot whose tag fits: 0, TABLE_E_UNKNOWN, TABLE_E_LAPPED. */
static int
client_try(const struct segment *s, const struct table_key *key, int i, unsigned int way, struct found *ret)
{
	int r;

	ret->slot = slot_at(s, key_class(s, key->id), key->bucket[i], way);
	r = slot_read(&ret->slot, &ret->copy);
	return r != 0 || copy_is_client(&ret->copy, key) ? r : TABLE_E_UNKNOWN;
}

static int
client_find(const struct segment *s, const struct table_key *key, struct found *ret)
{
	const uint64_t wanted = CTL_USED | key_tag(key);
	int r;

	if (key->guess) {
		r = client_try(s, key, key->guess > SEGMENT_WAYS, (key->guess - 1u) % SEGMENT_WAYS, ret);
		if (r != TABLE_E_UNKNOWN)
			return r;
	} else {
		/* Where it is for more than half of the clients: fetched while the control words are. */
		prefetch_slot(s, key, 0, key_way(key));
	}
	for (int i = 0; i < 2; i++) {
		const _Atomic uint64_t *line = segment_bucket(s, key_class(s, key->id), key->bucket[i]);

		for (unsigned int way = 0; way < SEGMENT_WAYS; way++) {
			/* Relaxed: slot_read() looks again. */
			uint64_t ctl = atomic_load_explicit(&line[1 + way], memory_order_relaxed);

			if ((ctl & (CTL_USED | CTL_TAG)) != wanted)
				continue;
			r = client_try(s, key, i, way, ret);
			if (r != TABLE_E_UNKNOWN)
				return r;
		}
	}
	return TABLE_E_UNKNOWN;
}

bool
table_expired(const struct table *t, int64_t rx_ns, int64_t now_ns)
{
	/* Not rx + ttl: a wild rx must not overflow. */
	return t->ttl_ns > 0 && rx_ns < now_ns && (uint64_t)now_ns - (uint64_t)rx_ns >= (uint64_t)t->ttl_ns;
}

bool
table_server_name(struct table *t, uint16_t number, struct text *ret)
{
	const struct segment_header *h = segment_header(&t->segment);
	struct table_name *name;

	if (number >= SEGMENT_NAMES)
		return false;
	name = &t->names[number];
	if (!name->len) {
		const char *entry = segment_name(&t->segment, number);
		struct text text;

		/* Acquire: entries below the count are whole. */
		if (number >= atomic_load_explicit(&h->names_count, memory_order_acquire))
			return false;
		text = (struct text){entry, strnlen(entry, HERD_SERVER_MAX)};
		if (!fix_server_valid(text))
			return false;
		memcpy(name->text, text.at, text.len);
		name->len = (uint8_t)text.len;
	}
	*ret = (struct text){name->text, name->len};
	return true;
}

bool
table_fix_of(struct table *t, struct text id, const struct value *value, struct herd_fix *ret)
{
	struct text server;

	if (!table_server_name(t, value_server(value), &server) || !value_texts(value, ret))
		return false;
	ret->rx_ns = value_rx_ns(value);
	ret->id_len = (uint8_t)id.len;
	memcpy(ret->id, id.at, id.len);
	ret->server_len = (uint8_t)server.len;
	memcpy(ret->server, server.at, server.len);
	return true;
}

int
table_guarded(struct table *t, int (*body)(void *arg), void *arg)
{
	int r;

	if (t->is_lost)
		return -EFAULT;
	r = guard_run(body, arg);
	if (r == -EFAULT)
		t->is_lost = true;
	return r;
}

struct find_call {
	struct table *t;
	const struct table_key *key;
	int64_t now_ns;
	struct herd_fix *ret_fix;
};

static int
find_body(void *arg)
{
	const struct find_call *call = arg;
	struct found found;
	int r;

	r = client_find(&call->t->segment, call->key, &found);
	if (r != 0)
		return r;
	if (table_expired(call->t, value_rx_ns(&found.copy.value), call->now_ns))
		return TABLE_E_UNKNOWN;
	return table_fix_of(call->t, call->key->id, &found.copy.value, call->ret_fix) ? 0 : TABLE_E_UNKNOWN;
}

int
table_find(struct table *t, const struct table_key *key, int64_t now_ns, struct herd_fix *ret_fix)
{
	struct find_call call = {t, key, now_ns, ret_fix};

	return table_guarded(t, find_body, &call);
}

struct slot_call {
	struct table *t;
	const struct table_key *key;
	uint64_t *ret_slot;
};

static int
slot_body(void *arg)
{
	const struct slot_call *call = arg;
	struct found found;
	int r = client_find(&call->t->segment, call->key, &found);

	if (r == 0)
		*call->ret_slot = slot_number(&call->t->segment, &found.slot);
	return r;
}

int
table_find_slot(struct table *t, const struct table_key *key, uint64_t *ret_slot)
{
	struct slot_call call = {t, key, ret_slot};

	return table_guarded(t, slot_body, &call);
}

/* --- putting a fix ---------------------------------------------------------- */

enum { PUT_AGAIN = -1000 }; /* never leaves this file */

/* Whether the fix to put beats the one held. */
static bool
put_is_newer(struct put *put, const struct value *held)
{
	int order;

	struct herd_fix fix;
	struct fix_rank rank = {.rx_ns = value_rx_ns(held)};

	put->is_same = false;
	if (table_expired(put->t, rank.rx_ns, put->now_ns) || !value_order_ns(held, &rank.order_ns))
		return true;
	if (put->rank.order_ns != rank.order_ns)
		return put->rank.order_ns > rank.order_ns;
	if (!table_fix_of(put->t, put->key->id, held, &fix))
		return true;
	rank.server = (struct text){fix.server, fix.server_len};
	rank.location = (struct text){fix.location, fix.location_len};
	rank.time = (struct text){fix.time, fix.time_len};
	order = fix_rank_compare(&put->rank, &rank);
	put->is_same = order == 0;
	return order > 0;
}

static int
bucket_lock(struct table *t, _Atomic uint64_t *lock)
{
	bool stolen = false;
	int r = registry_lock(&t->segment, lock, t->self.owner, &stolen);

	if (stolen)
		table_count(t, TABLE_COUNTER_stolen, 1);
	return r;
}

/* Publishes, in a slot whose bucket is locked; how the helper is sure to hear of it: table-changes.c. */
static void
put_publish(struct put *put, const struct slot *slot, uint64_t ctl, struct text id, uint64_t tag)
{
	const struct segment *s = &put->t->segment;

	if (put->is_from_peer) {
		put->slot = slot_number(s, slot);
	} else {
		bucket_mark(s, slot_bucket(s, slot));
		tag |= CTL_DIRTY;
	}
	slot_write(slot, ctl, id, &put->value, tag);
}

static int
put_over(struct put *put, const struct found *found)
{
	const struct slot *slot = &found->slot;
	uint64_t ctl;
	int r;

	if (!put_is_newer(put, &found->copy.value)) {
		if (put->is_from_peer)
			put->slot = slot_number(&put->t->segment, slot);
		return TABLE_E_OLDER;
	}
	r = bucket_lock(put->t, slot->lock);
	if (r != 0)
		return r;
	/* Relaxed: with the lock held nobody else changes more than the dirty bit. */
	ctl = atomic_load_explicit(slot->ctl, memory_order_relaxed);
	if (((ctl ^ found->copy.ctl) & ~CTL_DIRTY) == 0)
		put_publish(put, slot, ctl, TEXT(""), ctl & CTL_TAG);
	else
		r = PUT_AGAIN; /* somebody wrote between our look and our lock */
	registry_unlock(slot->lock);
	return r;
}

static unsigned int
bucket_used(const _Atomic uint64_t *line)
{
	unsigned int used = 0;

	for (unsigned int way = 0; way < SEGMENT_WAYS; way++)
		used += (atomic_load_explicit(&line[1 + way], memory_order_relaxed) & CTL_USED) != 0;
	return used;
}

/* In a bucket that is not full. */
static struct slot
bucket_free_slot(const struct segment *s, const struct segment_class *c, uint32_t bucket, unsigned int way)
{
	const _Atomic uint64_t *line = segment_bucket(s, c, bucket);

	for (int i = 0; i < SEGMENT_WAYS; i++) {
		if (!(atomic_load_explicit(&line[1 + way], memory_order_relaxed) & CTL_USED))
			break;
		way = way + 1 < SEGMENT_WAYS ? way + 1 : 0;
	}
	return slot_at(s, c, bucket, way);
}

/* Of two full buckets, the slot whose fix was received first. */
static struct slot
oldest_slot(const struct segment *s, const struct segment_class *c, const uint32_t bucket[2])
{
	struct slot oldest = slot_at(s, c, bucket[0], 0);
	int64_t oldest_ns = INT64_MAX;

	for (unsigned int i = 0; i < 2 * SEGMENT_WAYS; i++) {
		struct slot slot = slot_at(s, c, bucket[i / SEGMENT_WAYS], i % SEGMENT_WAYS);
		struct slot_copy copy;

		if (slot_read(&slot, &copy) == 0 && value_rx_ns(&copy.value) < oldest_ns) {
			oldest = slot;
			oldest_ns = value_rx_ns(&copy.value);
		}
	}
	return oldest;
}

/* Before the fix in the slot is evicted: who dies between has raised too high by one fix, and not forgotten one. */
static void
watermark_raise(const struct put *put, const struct slot *slot)
{
	const struct segment *s = &put->t->segment;
	uint64_t bucket = slot_bucket(s, slot), mark, held;
	struct slot_copy copy;
	struct table_key key;
	int64_t rx_ns, cap_ns;
	uint32_t index;

	if (slot_read(slot, &copy) != 0)
		return;
	bucket_of(s, bucket, &index);
	if (!slot_copy_intact(s, slot->class, index, &copy, &key))
		return; /* no fix, and what a wild write left must not keep all others out */
	rx_ns = value_rx_ns(&copy.value);
	/* Nor may a fix from a server whose clock is years ahead. */
	if (!__builtin_add_overflow(put->now_ns, FIX_AHEAD_NS, &cap_ns) && rx_ns > cap_ns)
		rx_ns = cap_ns;
	mark = watermark_word(rx_ns);
	/* Relaxed: a number that only grows; whoever decides by it holds both locks of the client, as we do. */
	held = atomic_load_explicit(&segment_header(s)->watermark, memory_order_relaxed);
	while (held < mark &&
	       !atomic_compare_exchange_weak_explicit(&segment_header(s)->watermark, &held, mark,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

/* With both buckets locked: a free slot, or one made free. */
static struct slot
put_choose(const struct put *put)
{
	const struct segment *s = &put->t->segment;
	const struct segment_class *c = key_class(s, put->key->id);
	const uint32_t *bucket = put->key->bucket;
	unsigned int used[2];
	struct slot slot;
	int chosen;

	for (int i = 0; i < 2; i++)
		used[i] = bucket_used(segment_bucket(s, c, bucket[i]));
	chosen = used[0] < PREFER_FIRST || used[0] <= used[1] ? 0 : 1;
	if (used[chosen] < SEGMENT_WAYS)
		return bucket_free_slot(s, c, bucket[chosen], key_way(put->key));

	slot = oldest_slot(s, c, bucket);
	watermark_raise(put, &slot);
	/* Published as free before its id changes: nobody reads the new id with the old value. */
	slot_clear(&slot, atomic_load_explicit(slot.ctl, memory_order_relaxed));
	atomic_fetch_add_explicit(&segment_header(s)->evicted, 1, memory_order_relaxed);
	table_count(put->t, TABLE_COUNTER_evicted, 1);
	return slot;
}

static int
put_new(struct put *put)
{
	const struct segment *s = &put->t->segment;
	const struct segment_class *c = key_class(s, put->key->id);
	const uint32_t *bucket = put->key->bucket;
	_Atomic uint64_t *first = segment_bucket(s, c, bucket[0] < bucket[1] ? bucket[0] : bucket[1]);
	_Atomic uint64_t *second = segment_bucket(s, c, bucket[0] < bucket[1] ? bucket[1] : bucket[0]);
	struct found found;
	struct slot slot;
	int r;

	/* In ascending order, so that two writers never wait for each other. */
	r = bucket_lock(put->t, first);
	if (r != 0)
		return r;
	r = bucket_lock(put->t, second);
	if (r != 0) {
		registry_unlock(first);
		return r;
	}
	/* Look again: with both locked, one client cannot be entered twice. */
	if (client_find(s, put->key, &found) == 0) {
		r = PUT_AGAIN;
	} else if (put->is_from_peer && put->rank.rx_ns <= table_watermark_of(s)) {
		r = TABLE_E_EVICTED;
	} else {
		slot = put_choose(put);
		put_publish(put, &slot, atomic_load_explicit(slot.ctl, memory_order_relaxed), put->key->id,
			    key_tag(put->key));
	}
	registry_unlock(second);
	registry_unlock(first);
	return r;
}

int
put_run(struct put *put)
{
	struct found found;
	int r;

	for (int try = 0; try < PUT_TRIES; try++) {
		r = client_find(&put->t->segment, put->key, &found);
		if (r == TABLE_E_LAPPED)
			continue;
		r = r == 0 ? put_over(put, &found) : put_new(put);
		if (r != PUT_AGAIN)
			return r;
	}
	return TABLE_E_BUSY;
}

static int
put_body(void *arg)
{
	return put_run(arg);
}

int
table_put(struct table *t, const struct table_key *key, const struct table_report *report)
{
	struct put put = {
		.t = t,
		.key = key,
		.rank = {.order_ns = fix_order_ns(&report->client_time, report->rx_ns),
			 .rx_ns = report->rx_ns,
			 .server = text_of(t->name),
			 .location = report->location,
			 .time = report->time},
		.now_ns = report->rx_ns,
	};

	if (!t->is_registered)
		return -EROFS;
	value_pack(&put.value, key->hash, (unsigned int)key->id.len, t->server, report->rx_ns, report->time,
		   report->location);
	return table_guarded(t, put_body, &put);
}
