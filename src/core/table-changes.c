/*
 * Table, what changed in it: from those who write to the one process that
 * tells other hosts.
 *
 * No wake-up is lost. A writer publishes, sets the mark, then looks whether the
 * taker sleeps; the taker says that it sleeps, then looks at the marks. All four
 * of them but the publish are sequentially consistent, so one of the two sees
 * the other. Whoever sees a mark sees the fix behind it: the mark is set with
 * release, and taken with acquire.
 */
#include "core/table-private.h"

#include <errno.h>
#include <string.h>

enum {
	TAKE_TRIES = 100, /* overtaken that often: left for the next round */
	MARKS_PER_WORD = 64,
};

/* --- numbers ------------------------------------------------------------------- */

uint64_t
bucket_number(const struct segment *s, const struct segment_class *c, uint32_t bucket)
{
	return c == &s->constants.class[SEGMENT_LONG]
		       ? (uint64_t)s->constants.class[SEGMENT_SHORT].buckets + bucket
		       : bucket;
}

uint64_t
slot_number(const struct segment *s, const struct slot *slot)
{
	/* The lock of its bucket, then as many control words as there are ways. */
	const _Atomic uint64_t *first = segment_bucket(s, slot->class, 0);
	uint32_t bucket = (uint32_t)((slot->lock - first) / SEGMENT_BUCKET_WORDS);

	return bucket_number(s, slot->class, bucket) * SEGMENT_WAYS + (uint64_t)(slot->ctl - slot->lock - 1);
}

/* --- writers --------------------------------------------------------------------- */

void
slot_mark(const struct segment *s, const struct slot *slot)
{
	uint64_t bucket;

	/* Relaxed: whoever begins to take changes looks at the whole table first, and again every second. */
	if (atomic_load_explicit(&segment_header(s)->round, memory_order_relaxed) == 0)
		return;
	bucket = slot_number(s, slot) / SEGMENT_WAYS;
	/* Always, not only when it seems to be clear: a plain look at it could come before our publish, and
	   the taker between the two. */
	atomic_fetch_or_explicit(segment_marks(s, bucket), UINT64_C(1) << bucket % MARKS_PER_WORD,
				 memory_order_seq_cst);
}

static int
wants_wake_body(void *arg)
{
	_Atomic uint32_t *sleeping = &segment_header(&((struct table *)arg)->segment)->sleeping;

	/* Exchange: of several writers one does it. */
	return atomic_load_explicit(sleeping, memory_order_seq_cst) != 0 &&
	       atomic_exchange_explicit(sleeping, 0, memory_order_seq_cst) != 0;
}

bool
table_wants_wake(struct table *t)
{
	return !t->readonly && table_guarded(t, wants_wake_body, t) > 0;
}

struct word_call {
	_Atomic uint64_t *word;
	uint64_t value;
};

static int
word_body(void *arg)
{
	struct word_call *call = arg;

	call->value = atomic_load_explicit(call->word, memory_order_seq_cst);
	return 0;
}

uint64_t
table_next_round(struct table *t)
{
	struct word_call call = {.word = &segment_header(&t->segment)->round};

	/* A round that began before our mark may have passed it by; the next one cannot. */
	(void)table_guarded(t, word_body, &call);
	return call.value + 1;
}

uint64_t
table_confirmed_round(struct table *t)
{
	struct word_call call = {.word = &segment_header(&t->segment)->confirmed};

	(void)table_guarded(t, word_body, &call);
	return call.value;
}

struct waiting_call {
	struct table *t;
	bool waiting;
};

static int
waiting_body(void *arg)
{
	const struct waiting_call *call = arg;
	const struct segment *s = &call->t->segment;

	/* Our own first: who sees the other looks for it. */
	atomic_store_explicit(&segment_process(s, call->t->self.index)->waits, call->waiting,
			      memory_order_seq_cst);
	if (call->waiting)
		atomic_store_explicit(&segment_header(s)->waiters, 1, memory_order_seq_cst);
	return 0;
}

void
table_set_waiting(struct table *t, bool waiting)
{
	struct waiting_call call = {t, waiting};

	if (t->is_registered)
		(void)table_guarded(t, waiting_body, &call);
}

/* --- taking changes ---------------------------------------------------------------- */

struct take_call {
	struct table *t;
	uint64_t *cursor;
	uint64_t max, taken;
	uint64_t *known;
	table_change_fn *changed;
	table_gone_fn *gone;
	void *arg;
	uint64_t round;
};

/* Tells of one slot, if it is a whole fix; what is damaged is the sweep's to free. */
static void
tell(const struct take_call *call, const struct segment_class *c, uint32_t bucket, uint64_t number,
     const struct slot_copy *copy)
{
	struct herd_fix fix;
	struct table_key key;

	if (slot_copy_intact(&call->t->segment, c, bucket, copy, &key) &&
	    table_fix_of(call->t, key.id, &copy->value, &fix))
		call->changed(call->arg, number, &fix);
}

/* Takes one slot that is dirty. False: writers kept overtaking us, and it still is. */
static bool
take_slot(struct take_call *call, const struct segment_class *c, uint32_t bucket, unsigned int way,
	  uint64_t number)
{
	struct slot slot = slot_at(&call->t->segment, c, bucket, way);
	struct slot_copy copy;

	for (int try = 0; try < TAKE_TRIES; try++) {
		int r = slot_read(&slot, &copy);
		uint64_t expected = atomic_load_explicit(slot.ctl, memory_order_relaxed);

		if ((expected & (CTL_USED | CTL_DIRTY)) != (CTL_USED | CTL_DIRTY))
			return true;
		/* Only if what was copied is still what is there; then nothing newer is hidden by it. */
		if (r == 0 && ((expected ^ copy.ctl) & ~CTL_DIRTY) == 0 &&
		    atomic_compare_exchange_strong_explicit(slot.ctl, &expected, expected & ~CTL_DIRTY,
							    memory_order_acq_rel, memory_order_relaxed)) {
			tell(call, c, bucket, number, &copy);
			call->taken++;
			return true;
		}
	}
	return false;
}

static void
take_bucket(struct take_call *call, uint64_t number)
{
	const struct segment *s = &call->t->segment;
	const _Atomic uint64_t *line;
	uint32_t bucket;
	const struct segment_class *c = bucket_of(s, number, &bucket);
	bool is_done = true;

	if (!c)
		return; /* a wild mark */
	line = segment_bucket(s, c, bucket);
	for (unsigned int way = 0; way < SEGMENT_WAYS; way++) {
		uint64_t ctl = atomic_load_explicit(&line[1 + way], memory_order_acquire);

		if ((ctl & (CTL_USED | CTL_DIRTY)) == (CTL_USED | CTL_DIRTY))
			is_done &= take_slot(call, c, bucket, way, number * SEGMENT_WAYS + way);
	}
	if (!is_done)
		atomic_fetch_or_explicit(segment_marks(s, number), UINT64_C(1) << number % MARKS_PER_WORD,
					 memory_order_seq_cst);
}

static int
take_body(void *arg)
{
	struct take_call *call = arg;
	const struct segment *s = &call->t->segment;
	const uint64_t words = (segment_buckets(s) + MARKS_PER_WORD - 1) / MARKS_PER_WORD;
	_Atomic uint64_t *round = &segment_header(s)->round;
	uint64_t at = *call->cursor ? *call->cursor - 1 : 0;

	if (*call->cursor == 0) /* before any mark is looked at: see table_next_round() */
		call->round = atomic_fetch_add_explicit(round, 1, memory_order_seq_cst) + 1;
	else
		call->round = atomic_load_explicit(round, memory_order_relaxed);
	for (; at < words && call->taken < call->max; at++) {
		_Atomic uint64_t *word = segment_marks(s, at * MARKS_PER_WORD);
		uint64_t marks = atomic_load_explicit(word, memory_order_seq_cst);

		if (marks) /* cleared before the buckets are looked at: what comes later sets it again */
			marks = atomic_exchange_explicit(word, 0, memory_order_seq_cst);
		for (; marks; marks &= marks - 1)
			take_bucket(call, at * MARKS_PER_WORD + (uint64_t)__builtin_ctzll(marks));
	}
	*call->cursor = at < words ? at + 1 : 0;
	return at < words ? 0 : TABLE_E_END;
}

int
table_take_changes(struct table *t, uint64_t *cursor, unsigned int max, table_change_fn *changed, void *arg,
		   uint64_t *ret_round)
{
	struct take_call call = {.t = t, .cursor = cursor, .max = max, .changed = changed, .arg = arg};
	int r;

	if (!t->is_registered)
		return -EROFS;
	r = table_guarded(t, take_body, &call);
	if (r >= 0)
		*ret_round = call.round;
	return r;
}

static int
sleep_body(void *arg)
{
	const struct segment *s = &((struct table *)arg)->segment;

	atomic_store_explicit(&segment_header(s)->sleeping, 1, memory_order_seq_cst);
	for (uint64_t bucket = 0; bucket < segment_buckets(s); bucket += MARKS_PER_WORD) {
		if (atomic_load_explicit(segment_marks(s, bucket), memory_order_seq_cst) != 0) {
			atomic_store_explicit(&segment_header(s)->sleeping, 0, memory_order_seq_cst);
			return 1;
		}
	}
	return 0;
}

bool
table_sleep(struct table *t)
{
	return t->is_registered && table_guarded(t, sleep_body, t) == 0;
}

static int
wake_body(void *arg)
{
	_Atomic uint32_t *sleeping = &segment_header(&((struct table *)arg)->segment)->sleeping;

	if (atomic_load_explicit(sleeping, memory_order_relaxed))
		atomic_store_explicit(sleeping, 0, memory_order_seq_cst);
	return 0;
}

void
table_wake(struct table *t)
{
	if (t->is_registered)
		(void)table_guarded(t, wake_body, t);
}

/* --- comparing ------------------------------------------------------------------------ */

static void
compare_slot(struct take_call *call, const struct segment_class *c, uint32_t bucket, unsigned int way,
	     uint64_t number, uint64_t ctl)
{
	uint64_t *word = &call->known[number / 64];
	const uint64_t bit = UINT64_C(1) << number % 64;
	struct slot slot = slot_at(&call->t->segment, c, bucket, way);
	struct slot_copy copy;

	if (!(ctl & CTL_USED)) {
		if (*word & bit) {
			*word &= ~bit;
			call->gone(call->arg, number);
		}
	} else if (ctl & CTL_DIRTY) {
		(void)take_slot(call, c, bucket, way, number);
	} else if (!(*word & bit) && slot_read(&slot, &copy) == 0) {
		tell(call, c, bucket, number, &copy);
	}
}

static int
compare_body(void *arg)
{
	struct take_call *call = arg;
	const struct segment *s = &call->t->segment;
	uint32_t bucket;

	for (uint64_t done = 0; done < call->max; done += SEGMENT_WAYS) {
		const struct segment_class *c = bucket_of(s, *call->cursor, &bucket);
		const _Atomic uint64_t *line;

		if (!c) {
			*call->cursor = 0;
			return TABLE_E_END;
		}
		line = segment_bucket(s, c, bucket);
		for (unsigned int way = 0; way < SEGMENT_WAYS; way++)
			compare_slot(call, c, bucket, way, *call->cursor * SEGMENT_WAYS + way,
				     atomic_load_explicit(&line[1 + way], memory_order_acquire));
		++*call->cursor;
	}
	return 0;
}

int
table_compare(struct table *t, uint64_t *cursor, uint64_t slots, uint64_t *known, table_change_fn *changed,
	      table_gone_fn *gone, void *arg)
{
	struct take_call call = {.t = t,
				 .cursor = cursor,
				 .max = slots,
				 .known = known,
				 .changed = changed,
				 .gone = gone,
				 .arg = arg};

	return t->is_registered ? table_guarded(t, compare_body, &call) : -EROFS;
}

struct at_call {
	struct table *t;
	uint64_t number;
	int64_t now_ns;
	struct herd_fix *ret;
};

static int
at_body(void *arg)
{
	const struct at_call *call = arg;
	const struct segment *s = &call->t->segment;
	uint32_t bucket;
	const struct segment_class *c = bucket_of(s, call->number / SEGMENT_WAYS, &bucket);
	struct slot_copy copy;
	struct table_key key;
	struct slot slot;
	int r;

	if (!c)
		return TABLE_E_UNKNOWN;
	slot = slot_at(s, c, bucket, (unsigned int)(call->number % SEGMENT_WAYS));
	r = slot_read(&slot, &copy);
	if (r != 0)
		return r;
	return slot_copy_intact(s, c, bucket, &copy, &key) &&
			       !table_expired(call->t, value_rx_ns(&copy.value), call->now_ns) &&
			       table_fix_of(call->t, key.id, &copy.value, call->ret)
		       ? 0
		       : TABLE_E_UNKNOWN;
}

int
table_fix_at(struct table *t, uint64_t slot, int64_t now_ns, struct herd_fix *ret)
{
	struct at_call call = {t, slot, now_ns, ret};

	return table_guarded(t, at_body, &call);
}

/* --- about the whole ------------------------------------------------------------------------ */

int64_t
table_watermark_ns(struct table *t)
{
	struct word_call call = {.word = (_Atomic uint64_t *)&segment_header(&t->segment)->watermark};

	return table_guarded(t, word_body, &call) == 0 && call.value ? (int64_t)call.value - 1 : INT64_MIN;
}

struct confirm_call {
	struct table *t;
	uint64_t round;
	uint32_t next; /* process to look at */
	char name[HERD_SERVER_MAX + 1];
};

static int
confirm_body(void *arg)
{
	const struct confirm_call *call = arg;
	struct segment_header *h = segment_header(&call->t->segment);

	atomic_store_explicit(&h->confirmed, call->round, memory_order_seq_cst);
	return atomic_load_explicit(&h->waiters, memory_order_seq_cst) != 0 &&
	       atomic_exchange_explicit(&h->waiters, 0, memory_order_seq_cst) != 0;
}

/* The next process that waits; TABLE_E_END. */
static int
waiter_body(void *arg)
{
	struct confirm_call *call = arg;
	const struct segment *s = &call->t->segment;

	while (call->next < SEGMENT_PROCESSES) {
		const struct segment_process *p = segment_process(s, call->next++);

		if (!atomic_load_explicit(&p->waits, memory_order_seq_cst))
			continue;
		/* It may wait for a later round. */
		atomic_store_explicit(&segment_header(s)->waiters, 1, memory_order_seq_cst);
		memcpy(call->name, p->name, HERD_SERVER_MAX);
		return 0;
	}
	return TABLE_E_END;
}

void
table_confirm(struct table *t, uint64_t round, void (*wake)(void *arg, const char *name), void *arg)
{
	struct confirm_call call = {.t = t, .round = round};

	if (!t->is_registered || table_guarded(t, confirm_body, &call) <= 0)
		return;
	while (table_guarded(t, waiter_body, &call) == 0)
		if (fix_server_valid(text_of(call.name)))
			wake(arg, call.name);
}
