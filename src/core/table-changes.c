/*
 * Table, what changed: how the helper that floods hears of every fix, without
 * a system call of the writers and without looking at every bucket.
 *
 * A writer that has locked a bucket sets the bucket's mark, then publishes,
 * then unlocks. The helper takes the mark away, then looks at the lock, then
 * at the control words; where it finds the lock held it puts the mark back.
 *
 * Why no change is missed. The writer stores its lock word and then looks at
 * the mark; the helper clears the mark and then looks at the lock word. All
 * four are sequentially consistent, so there is one order of them, and at
 * least one of the two sees what the other stored:
 *   - the writer's look comes behind the helper's clearing: it finds no mark
 *     and sets it anew, for the next round;
 *   - or it comes before, and so does its lock word: the helper finds the lock
 *     held and puts the mark back; or finds a later word of it, then the
 *     writer had unlocked, and the acquire of that look makes the helper see
 *     what was published under the lock.
 * Marking first, under the lock, is what makes this free: the lock's
 * compare-and-swap is the only full barrier there is, and it is there anyway.
 * A mark that is set after publishing would need one of its own in every put,
 * because a look that finds a mark set could then be ahead of the store that
 * publishes. It also leaves nothing to a death: whoever is killed behind its
 * publish has marked, whoever is killed before it has changed nothing, and a
 * lock that it leaves is taken back here as everywhere.
 *
 * Why no wake-up is lost. The helper stores `sleeping`, then looks at every
 * mark; a writer sets a mark, or finds it set, and looks at `sleeping` later.
 * All of them are sequentially consistent again. If the writer saw it awake,
 * its mark comes before the helper's look: the helper finds it and does not
 * sleep. That holds for a mark that was already set, too: in the order of all
 * these it is set when the writer looks, and from then on only the helper
 * clears it, who by the above either takes the change or puts the mark back.
 *
 * Why a confirmed round has everything. A round begins with an atomic addition
 * to `round`; table_next_round() is one as well. Of two additions to one word
 * one is first: when the writer's is, everything it published happens before
 * the round; when the helper's is, the writer reads the new number and waits
 * for the round after it. That one comes, though nothing is marked: the helper
 * runs one more round after it has said that it sleeps. A writer that was given
 * its number behind the beginning of that round sees, by the same additions,
 * that the helper sleeps, and wakes it.
 *
 * table_compare() is the second line: it needs no marks.
 */
#include "core/table-private.h"

#include <errno.h>
#include <string.h>

/* A bucket's worth of what callbacks are told, outside of the guard. */
struct found {
	unsigned int count, gone_count;
	uint64_t gone[SEGMENT_WAYS], slot[SEGMENT_WAYS];
	struct herd_fix fix[SEGMENT_WAYS];
};

static void
found_tell(const struct found *found, table_change_fn *changed, void *arg)
{
	for (unsigned int i = 0; i < found->count; i++)
		changed(arg, found->slot[i], &found->fix[i]);
}

static inline bool
bit_is_set(const uint64_t *words, uint64_t number)
{
	return words[number / 64] >> number % 64 & 1;
}

/* --- one bucket ---------------------------------------------------------------- */

/* The fix in a slot: 0; TABLE_E_UNKNOWN: none, or damaged; TABLE_E_LAPPED. */
static int
slot_fix(struct table *t, const struct segment_class *c, uint32_t bucket, const struct slot *slot,
	 uint64_t *ret_ctl, struct herd_fix *ret)
{
	struct slot_copy copy;
	struct table_key key;
	int r;

	r = slot_read(slot, &copy);
	if (r != 0)
		return r;
	if (!slot_copy_intact(&t->segment, c, bucket, &copy, &key) ||
	    !table_fix_of(t, key.id, &copy.value, ret))
		return TABLE_E_UNKNOWN;
	*ret_ctl = copy.ctl;
	return 0;
}

/* Copies one slot's fix, clears its dirty bit. false: it was written meanwhile, look again. */
static bool
slot_take(struct table *t, const struct segment_class *c, uint32_t bucket, unsigned int way, uint64_t number,
	  struct found *found)
{
	struct slot slot = slot_at(&t->segment, c, bucket, way);
	uint64_t ctl;
	int r;

	r = slot_fix(t, c, bucket, &slot, &ctl, &found->fix[found->count]);
	if (r != 0)
		return r != TABLE_E_LAPPED;
	/* Relaxed: nothing is published, and the writer's own release lives on in the new word. */
	if ((ctl & CTL_DIRTY) &&
	    !atomic_compare_exchange_strong_explicit(slot.ctl, &ctl, ctl & ~CTL_DIRTY, memory_order_relaxed,
						     memory_order_relaxed))
		return false;
	found->slot[found->count++] = number;
	return true;
}

/* --- taking what is marked -------------------------------------------------------- */

/* The first marked bucket from this one on; all buckets' number: none. */
static uint64_t
marks_next(const struct segment *s, uint64_t from)
{
	uint64_t buckets = segment_buckets(s);

	for (uint64_t at = from; at < buckets; at = (at / 64 + 1) * 64) {
		/* Sequentially consistent for table_sleep(), where this is the look that decides. */
		uint64_t word = atomic_load_explicit(segment_marks(s, at / 64), memory_order_seq_cst) >>
				at % 64;

		if (word) {
			at += (uint64_t)__builtin_ctzll(word);
			return at < buckets ? at : buckets;
		}
	}
	return buckets;
}

static void
bucket_take(struct table *t, uint64_t number, struct found *found)
{
	const struct segment *s = &t->segment;
	uint32_t bucket;
	const struct segment_class *c = bucket_of(s, number, &bucket);
	_Atomic uint64_t *line = segment_bucket(s, c, bucket);
	bool again;

	/* Sequentially consistent, as is the look at the lock: see the top. */
	atomic_fetch_and_explicit(segment_marks(s, number / 64), ~(UINT64_C(1) << number % 64),
				  memory_order_seq_cst);
	if (registry_clear_lock(s, line, t->self.owner, &again))
		table_count(t, TABLE_COUNTER_stolen, 1);
	for (unsigned int way = 0; way < SEGMENT_WAYS; way++) {
		uint64_t ctl = atomic_load_explicit(&line[1 + way], memory_order_relaxed);

		if ((ctl & CTL_USED) && (ctl & CTL_DIRTY) &&
		    !slot_take(t, c, bucket, way, number * SEGMENT_WAYS + way, found))
			again = true;
	}
	if (again)
		bucket_mark(s, number);
}

struct take_call {
	struct table *t;
	bool is_new_round;
	uint64_t at; /* bucket to look from */
	struct found found;
};

/* Goes on to the next bucket in which something was found. */
static int
take_body(void *arg)
{
	struct take_call *call = arg;
	const struct segment *s = &call->t->segment;
	uint64_t buckets = segment_buckets(s);

	if (call->is_new_round) {
		call->is_new_round = false;
		/* Acquire: what writers did before they asked for this round's number. Release: who reads
		   the new number does not find us to have begun later. */
		call->t->round =
			atomic_fetch_add_explicit(&segment_header(s)->round, 1, memory_order_acq_rel) + 1;
	}
	while (!call->found.count) {
		uint64_t number = marks_next(s, call->at);

		call->at = number;
		if (number == buckets)
			return TABLE_E_END;
		bucket_take(call->t, number, &call->found);
		call->at = number + 1;
	}
	return 0;
}

int
table_take_changes(struct table *t, uint64_t *cursor, unsigned int max, table_change_fn *changed, void *arg,
		   uint64_t *ret_round)
{
	struct take_call call;
	unsigned int done = 0;
	int r;

	if (!t->is_registered)
		return -EROFS;
	call.t = t;
	call.is_new_round = *cursor == 0;
	call.at = call.is_new_round ? 0 : *cursor - 1;
	do {
		call.found.count = 0;
		r = table_guarded(t, take_body, &call);
		if (r < 0)
			return r;
		found_tell(&call.found, changed, arg);
		done += call.found.count;
	} while (r == 0 && done < max);
	*ret_round = t->round;
	*cursor = r == 0 ? call.at + 1 : 0;
	return r;
}

/* --- comparing all ------------------------------------------------------------------ */

struct compare_call {
	struct table *t;
	uint64_t *cursor, slots;
	uint64_t *known;
	struct found found;
};

static void
bucket_compare(struct compare_call *call, uint64_t number)
{
	struct table *t = call->t;
	struct found *found = &call->found;
	uint32_t bucket;
	const struct segment_class *c = bucket_of(&t->segment, number, &bucket);
	const _Atomic uint64_t *line = segment_bucket(&t->segment, c, bucket);

	for (unsigned int way = 0; way < SEGMENT_WAYS; way++) {
		uint64_t ctl = atomic_load_explicit(&line[1 + way], memory_order_relaxed);
		uint64_t slot = number * SEGMENT_WAYS + way;
		bool is_known = bit_is_set(call->known, slot);

		if (!(ctl & CTL_USED)) {
			if (is_known) {
				call->known[slot / 64] &= ~(UINT64_C(1) << slot % 64);
				found->gone[found->gone_count++] = slot;
			}
		} else if ((!is_known || (ctl & CTL_DIRTY)) && !slot_take(t, c, bucket, way, slot, found)) {
			bucket_mark(&t->segment, number);
		}
	}
}

/* Goes on to the next bucket in which something was found. */
static int
compare_body(void *arg)
{
	struct compare_call *call = arg;
	uint64_t buckets = segment_buckets(&call->t->segment);

	while (!call->found.count && !call->found.gone_count && call->slots) {
		if (*call->cursor >= buckets) {
			*call->cursor = 0;
			return TABLE_E_END;
		}
		bucket_compare(call, *call->cursor);
		++*call->cursor;
		call->slots -= call->slots < SEGMENT_WAYS ? call->slots : SEGMENT_WAYS;
	}
	return 0;
}

int
table_compare(struct table *t, uint64_t *cursor, uint64_t slots, uint64_t *known, table_change_fn *changed,
	      table_gone_fn *gone, void *arg)
{
	struct compare_call call;
	int r = 0;

	if (!t->is_registered)
		return -EROFS;
	call.t = t;
	call.cursor = cursor;
	call.slots = slots;
	call.known = known;
	while (r == 0 && call.slots) {
		call.found.count = call.found.gone_count = 0;
		r = table_guarded(t, compare_body, &call);
		if (r < 0)
			return r;
		for (unsigned int i = 0; i < call.found.gone_count; i++)
			gone(arg, call.found.gone[i]);
		found_tell(&call.found, changed, arg);
	}
	return r;
}

struct at_call {
	struct table *t;
	uint64_t slot;
	int64_t now_ns;
	struct herd_fix *ret;
};

static int
at_body(void *arg)
{
	const struct at_call *call = arg;
	const struct segment *s = &call->t->segment;
	uint32_t bucket;
	const struct segment_class *c = bucket_of(s, call->slot / SEGMENT_WAYS, &bucket);
	struct slot slot;
	uint64_t ctl;
	int r;

	if (!c)
		return TABLE_E_UNKNOWN;
	slot = slot_at(s, c, bucket, (unsigned int)(call->slot % SEGMENT_WAYS));
	r = slot_fix(call->t, c, bucket, &slot, &ctl, call->ret);
	if (r == 0 && table_expired(call->t, call->ret->rx_ns, call->now_ns))
		r = TABLE_E_UNKNOWN;
	return r;
}

int
table_fix_at(struct table *t, uint64_t slot, int64_t now_ns, struct herd_fix *ret)
{
	struct at_call call = {t, slot, now_ns, ret};

	return table_guarded(t, at_body, &call);
}

/* --- sleeping and waking ------------------------------------------------------------- */

static int
sleep_body(void *arg)
{
	const struct table *t = arg;
	const struct segment *s = &t->segment;

	/* Sequentially consistent, and so are the looks behind it: see the top. */
	atomic_store_explicit(&segment_header(s)->sleeping, 1, memory_order_seq_cst);
	if (marks_next(s, 0) == segment_buckets(s))
		return 1;
	/* Relaxed: whoever still reads 1 wakes us once for nothing. */
	atomic_store_explicit(&segment_header(s)->sleeping, 0, memory_order_relaxed);
	return 0;
}

bool
table_sleep(struct table *t)
{
	return t->is_registered && table_guarded(t, sleep_body, t) > 0;
}

static int
wake_body(void *arg)
{
	const struct table *t = arg;

	atomic_store_explicit(&segment_header(&t->segment)->sleeping, 0, memory_order_relaxed);
	return 0;
}

void
table_wake(struct table *t)
{
	if (t->is_registered)
		(void)table_guarded(t, wake_body, t);
}

static int
wants_wake_body(void *arg)
{
	const struct table *t = arg;
	_Atomic uint32_t *sleeping = &segment_header(&t->segment)->sleeping;

	/* Sequentially consistent: behind our marks, see the top. A plain load on x86. */
	if (!atomic_load_explicit(sleeping, memory_order_seq_cst))
		return 0;
	/* Of all who saw it, one wakes it. */
	return atomic_exchange_explicit(sleeping, 0, memory_order_relaxed) != 0;
}

bool
table_wants_wake(struct table *t)
{
	return t->is_registered && table_guarded(t, wants_wake_body, t) > 0;
}

/* --- waiting for peers --------------------------------------------------------------- */

struct round_call {
	const struct table *t;
	uint64_t round;
};

static int
next_round_body(void *arg)
{
	struct round_call *call = arg;

	/* An addition, of nothing, so that it is before or behind the one that begins a round. Release:
	   what we put is seen in a round that begins behind it. */
	call->round = atomic_fetch_add_explicit(&segment_header(&call->t->segment)->round, 0,
						memory_order_acq_rel) +
		      1;
	return 0;
}

uint64_t
table_next_round(struct table *t)
{
	struct round_call call = {t, 0};

	if (!t->is_registered || table_guarded(t, next_round_body, &call) < 0)
		return UINT64_MAX;
	return call.round;
}

static int
confirmed_body(void *arg)
{
	struct round_call *call = arg;

	/* Sequentially consistent: behind table_set_waiting(), see there. */
	call->round = atomic_load_explicit(&segment_header(&call->t->segment)->confirmed,
					   memory_order_seq_cst);
	return 0;
}

uint64_t
table_confirmed_round(struct table *t)
{
	struct round_call call = {t, 0};

	return table_guarded(t, confirmed_body, &call) < 0 ? 0 : call.round;
}

static int
waiting_body(void *arg)
{
	const struct table *t = arg;

	/* Sequentially consistent inside: who waits stores its bit, then looks at `confirmed`; the helper
	   stores `confirmed`, then looks at the bits. So either it sees the bit, or we the round. */
	registry_set_waiting(&t->segment, t->self.index, t->is_waiting);
	return 0;
}

void
table_set_waiting(struct table *t, bool waiting)
{
	if (!t->is_registered || t->is_waiting == waiting)
		return;
	t->is_waiting = waiting;
	(void)table_guarded(t, waiting_body, t);
}

static int
waited_body(void *arg)
{
	const struct table *t = arg;
	struct segment_header *h = segment_header(&t->segment);
	uint64_t any = 0;

	for (unsigned int i = 0; i < SEGMENT_PROCESSES / 64; i++)
		any |= atomic_load_explicit(&h->waiting[i], memory_order_relaxed);
	return any != 0;
}

bool
table_is_waited_for(struct table *t)
{
	return table_guarded(t, waited_body, t) > 0;
}

struct confirm_call {
	const struct table *t;
	uint64_t round;
	uint64_t waiting[SEGMENT_PROCESSES / 64];
};

/* 1: somebody waits for it. */
static int
confirm_body(void *arg)
{
	struct confirm_call *call = arg;
	struct segment_header *h = segment_header(&call->t->segment);
	uint64_t any = 0;

	/* Relaxed: only the helper, of which there is one, changes it. */
	if (atomic_load_explicit(&h->confirmed, memory_order_relaxed) >= call->round)
		return 0;
	atomic_store_explicit(&h->confirmed, call->round, memory_order_seq_cst);
	for (unsigned int i = 0; i < SEGMENT_PROCESSES / 64; i++)
		any |= call->waiting[i] = atomic_load_explicit(&h->waiting[i], memory_order_seq_cst);
	return any != 0;
}

void
table_confirm(struct table *t, uint64_t round, void (*wake)(void *arg, const char *name), void *arg)
{
	struct confirm_call call = {.t = t, .round = round};
	struct table_process process;

	if (!t->is_registered || table_guarded(t, confirm_body, &call) <= 0)
		return;
	for (uint32_t i = 0; i < SEGMENT_PROCESSES; i++)
		/* A name becomes part of a path: only what is one. */
		if (bit_is_set(call.waiting, i) && table_process(t, i, &process) == 0 && process.alive &&
		    process.role == TABLE_MEMBER && fix_server_valid(text_of(process.name)))
			wake(arg, process.name);
}

static int
watermark_body(void *arg)
{
	struct round_call *call = arg;

	call->round = watermark_word(table_watermark_of(&call->t->segment));
	return 0;
}

int64_t
table_watermark_ns(struct table *t)
{
	struct round_call call = {t, 0};

	if (table_guarded(t, watermark_body, &call) < 0)
		return INT64_MIN;
	return (int64_t)(call.round ^ (uint64_t)INT64_MIN);
}
