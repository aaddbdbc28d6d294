/*
 * Names: entries of (member, host) in a hash table over the member's name, so
 * that those who share a name stand in one chain; and a ring of the latest
 * changes, so that a link finds what is new without looking at the rest.
 *
 * A refresh is news only when nothing was heard for half a minute: it goes
 * through the herd once and dies out, whatever the graph. Only the host that
 * has a member ever tells of it anew.
 *
 * A member that was moved to another host is no conflict, although its old
 * place is remembered for three minutes: there is one only when each place was
 * heard of after the other's member had started. So who shares a name is told
 * of once more when that has become certain, instead of after a minute.
 */
#include "flood/names.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "core/fix.h"

enum {
	RESERVED = 256, /* entries that only our own members get */
	NAME_HEADS = 4096,
	NAME_RING = 2 * NAMES_MAX,
	NONE = UINT16_MAX,
};

#define TELL_NS	     (60 * CLOCK_SECOND_NS) /* our own, again */
#define NEWS_NS	     (30 * CLOCK_SECOND_NS) /* of silence make a refresh news */
#define BOOT_NEWS_NS CLOCK_SECOND_NS	    /* a new boot is news, but not more often */
#define FORGET_NS    (180 * CLOCK_SECOND_NS)
#define OWN_NS	     (10 * CLOCK_SECOND_NS) /* not said to be ours for this long: not told */
#define CONFLICT_NS  (60 * CLOCK_SECOND_NS)
#define SKEW_S	     5			 /* between two hosts' clocks, when a member moves */
#define CERTAIN_S    (SKEW_S + 2)	 /* after a member's start, whoever is heard of is there as well */
#define BOOT_MAX_S   INT64_C(9999999999) /* the year 2286; 64 bits of nanoseconds end before */

/* Cursors: a change number; or, with OWN, an entry's number and below it the change number to go on from. */
#define CURSOR_OWN   (UINT64_C(1) << 63)
#define CURSOR_SHIFT 48
#define CURSOR_MASK  ((UINT64_C(1) << CURSOR_SHIFT) - 1)

struct entry {
	uint64_t change;   /* number of its last change that is to be told; 0: the entry is free */
	int64_t boot_s;	   /* of the member */
	int64_t heard_ns;  /* last */
	int64_t news_ns;   /* when it last was news */
	int64_t warned_ns; /* of its conflicts with those who were there before it */
	uint16_t next;	   /* in the chain; towards those who were there before */
	bool is_own;
	uint8_t server_len;
	uint8_t host_id[NAMES_HOST_ID_BYTES];
	char server[HERD_SERVER_MAX + 1];
};

struct names {
	struct hash_key key; /* names come from peers: they shall not choose the chain */
	uint8_t self[NAMES_HOST_ID_BYTES];
	names_conflict_fn *conflict;
	void *arg;
	uint64_t changes;
	unsigned int count, top; /* entries in use, and the first never used */
	uint16_t free;		 /* entries used before, by `next` */
	uint16_t head[NAME_HEADS];
	uint16_t ring[NAME_RING]; /* change number modulo its size -> entry */
	struct entry entry[NAMES_MAX];
};

_Static_assert(NAMES_MAX <= UINT16_MAX, "entries have 16-bit numbers");
_Static_assert(NAMES_MAX < 1 << (63 - CURSOR_SHIFT), "a cursor holds an entry's number");

int
names_new(struct names **ret, const uint8_t self[NAMES_HOST_ID_BYTES], names_conflict_fn *conflict, void *arg)
{
	CLEANUP(names_freep) struct names *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	r = hash_key_random(&n->key);
	if (r < 0)
		return r;
	memcpy(n->self, self, sizeof(n->self));
	n->conflict = conflict;
	n->arg = arg;
	n->changes = 1; /* so that 0 is no cursor that was moved */
	n->free = NONE;
	memset(n->head, 0xff, sizeof(n->head));
	memset(n->ring, 0xff, sizeof(n->ring));
	*ret = n;
	n = NULL;
	return 0;
}

struct names *
names_free(struct names *n)
{
	free(n);
	return NULL;
}

/* --- entries -------------------------------------------------------------- */

static struct text
server_of(const struct entry *e)
{
	return (struct text){e->server, e->server_len};
}

static uint16_t *
head_of(struct names *n, struct text server)
{
	return &n->head[hash_siphash13(&n->key, server.at, server.len) % NAME_HEADS];
}

static struct entry *
entry_find(struct names *n, uint16_t head, struct text server, const uint8_t *host_id,
	   unsigned int *ret_hosts)
{
	*ret_hosts = 0;
	for (uint16_t i = head; i != NONE; i = n->entry[i].next) {
		struct entry *e = &n->entry[i];

		if (!text_equal(server_of(e), server))
			continue;
		if (memcmp(e->host_id, host_id, sizeof(e->host_id)) == 0)
			return e;
		*ret_hosts += !e->is_own;
	}
	return NULL;
}

/* NULL: full. */
static struct entry *
entry_make(struct names *n, uint16_t *head, struct text server, const uint8_t *host_id, unsigned int max)
{
	uint16_t i = n->free;
	struct entry *e;

	if (n->count >= max)
		return NULL;
	if (i != NONE)
		n->free = n->entry[i].next;
	else
		i = (uint16_t)n->top++;
	e = &n->entry[i];
	*e = (struct entry){.next = *head, .server_len = (uint8_t)server.len, .warned_ns = INT64_MIN};
	memcpy(e->server, server.at, server.len);
	memcpy(e->host_id, host_id, sizeof(e->host_id));
	*head = i;
	n->count++;
	return e;
}

static void
entry_forget(struct names *n, uint16_t which)
{
	struct entry *e = &n->entry[which];
	uint16_t *link = head_of(n, server_of(e));

	while (*link != which)
		link = &n->entry[*link].next;
	*link = e->next;
	*e = (struct entry){.next = n->free};
	n->free = which;
	n->count--;
}

/* To be told to every peer. */
static void
entry_news(struct names *n, struct entry *e, int64_t now_ns)
{
	e->change = ++n->changes;
	e->news_ns = now_ns;
	n->ring[e->change % NAME_RING] = (uint16_t)(e - n->entry);
}

/* Since then, by a clock that may have been set back. */
static int64_t
age_ns(int64_t then_ns, int64_t now_ns)
{
	int64_t age;

	if (__builtin_sub_overflow(now_ns, then_ns, &age))
		return INT64_MAX;
	return age > 0 ? age : 0;
}

/* --- conflicts ------------------------------------------------------------ */

static bool
heard_after_boot(const struct entry *heard, const struct entry *booted)
{
	return heard->heard_ns / CLOCK_SECOND_NS - booted->boot_s > SKEW_S;
}

static bool
in_conflict(const struct entry *a, const struct entry *b)
{
	return text_equal(server_of(a), server_of(b)) && heard_after_boot(a, b) && heard_after_boot(b, a);
}

/* With any of those who were there before it: so each pair is looked at once. */
static bool
has_conflict(const struct names *n, const struct entry *e)
{
	for (uint16_t i = e->next; i != NONE; i = n->entry[i].next)
		if (in_conflict(e, &n->entry[i]))
			return true;
	return false;
}

static void
warn(struct names *n, struct entry *e, int64_t now_ns)
{
	if (!has_conflict(n, e) || (e->warned_ns != INT64_MIN && age_ns(e->warned_ns, now_ns) < CONFLICT_NS))
		return;
	e->warned_ns = now_ns;
	for (uint16_t i = e->next; i != NONE; i = n->entry[i].next) {
		const struct entry *one = e, *other = &n->entry[i];

		if (!in_conflict(one, other))
			continue;
		if (other->is_own) {
			one = other;
			other = e;
		}
		n->conflict(n->arg, e->server, one->host_id, other->host_id);
	}
}

unsigned int
names_conflicts(const struct names *n)
{
	unsigned int names = 0;

	for (unsigned int i = 0; i < n->top; i++) {
		const struct entry *e = &n->entry[i];
		bool is_first = e->change && has_conflict(n, e);

		for (uint16_t k = e->next; is_first && k != NONE; k = n->entry[k].next)
			is_first = !text_equal(server_of(e), server_of(&n->entry[k])) ||
				   !has_conflict(n, &n->entry[k]);
		names += is_first;
	}
	return names;
}

unsigned int
names_count(const struct names *n)
{
	return n->count;
}

/* --- what is told ---------------------------------------------------------- */

/* It shares its name with one on another host that had just started when this was last told: by now it says more. Once
   per start, and so it dies out like other news. */
static bool
says_more_now(const struct names *n, uint16_t head, const struct entry *e, int64_t now_ns)
{
	const int64_t now_s = now_ns / CLOCK_SECOND_NS, told_s = e->news_ns / CLOCK_SECOND_NS;

	for (uint16_t i = head; i != NONE; i = n->entry[i].next) {
		const struct entry *other = &n->entry[i];

		if (other != e && text_equal(server_of(other), server_of(e)) &&
		    told_s - other->boot_s <= CERTAIN_S && now_s - other->boot_s > CERTAIN_S)
			return true;
	}
	return false;
}

void
names_own(struct names *n, struct text server, int64_t boot_s, int64_t now_ns)
{
	struct entry *e;
	unsigned int hosts;
	uint16_t *head;

	if (!fix_server_valid(server) || boot_s < 0 || boot_s > BOOT_MAX_S)
		return;
	head = head_of(n, server);
	e = entry_find(n, *head, server, n->self, &hosts);
	if (!e)
		e = entry_make(n, head, server, n->self, NAMES_MAX);
	if (!e)
		return;
	e->is_own = true;
	e->heard_ns = now_ns;
	if (!e->change || e->boot_s != boot_s || age_ns(e->news_ns, now_ns) >= TELL_NS ||
	    says_more_now(n, *head, e, now_ns)) {
		e->boot_s = boot_s;
		entry_news(n, e, now_ns);
	}
}

static bool
is_news(const struct names *n, uint16_t head, struct entry *e, int64_t boot_s, int64_t now_ns)
{
	const bool is_quiet = age_ns(e->heard_ns, now_ns) >= NEWS_NS ||
			      (e->change && says_more_now(n, head, e, now_ns));
	const bool is_restarted = boot_s > e->boot_s;

	if (boot_s < e->boot_s)
		return false; /* on its way for long */
	e->boot_s = boot_s;
	e->heard_ns = now_ns;
	return !e->change || is_quiet || (is_restarted && age_ns(e->news_ns, now_ns) >= BOOT_NEWS_NS);
}

bool
names_learn(struct names *n, struct text server, const uint8_t host_id[NAMES_HOST_ID_BYTES], int64_t boot_s,
	    int64_t now_ns)
{
	struct entry *e;
	unsigned int hosts;
	uint16_t *head;

	if (!fix_server_valid(server) || boot_s < 0 || boot_s > BOOT_MAX_S ||
	    memcmp(host_id, n->self, sizeof(n->self)) == 0)
		return false;
	head = head_of(n, server);
	e = entry_find(n, *head, server, host_id, &hosts);
	if (!e && hosts < NAMES_HOSTS_MAX)
		e = entry_make(n, head, server, host_id, NAMES_MAX - RESERVED);
	if (!e || !is_news(n, *head, e, boot_s, now_ns))
		return false;
	entry_news(n, e, now_ns);
	return true;
}

static bool
give(const struct entry *e, struct text *ret_server, uint8_t *ret_host_id, int64_t *ret_boot_s)
{
	*ret_server = server_of(e);
	memcpy(ret_host_id, e->host_id, sizeof(e->host_id));
	*ret_boot_s = e->boot_s;
	return true;
}

/* Our own, by entry; then the cursor is a change number. */
static const struct entry *
next_own(const struct names *n, uint64_t *cursor)
{
	if (*cursor == 0)
		*cursor = CURSOR_OWN | (n->changes & CURSOR_MASK);
	while (*cursor & CURSOR_OWN) {
		uint64_t i = (*cursor & ~CURSOR_OWN) >> CURSOR_SHIFT;

		if (i >= n->top) {
			*cursor &= CURSOR_MASK;
			break;
		}
		*cursor += UINT64_C(1) << CURSOR_SHIFT;
		if (n->entry[i].is_own)
			return &n->entry[i];
	}
	return NULL;
}

bool
names_next(const struct names *n, uint64_t *cursor, struct text *ret_server,
	   uint8_t ret_host_id[NAMES_HOST_ID_BYTES], int64_t *ret_boot_s)
{
	const struct entry *own = next_own(n, cursor);

	if (own)
		return give(own, ret_server, ret_host_id, ret_boot_s);
	/* Whoever is that far behind hears it again in a minute. */
	if (n->changes - *cursor > NAME_RING)
		*cursor = n->changes - NAME_RING;
	while (*cursor < n->changes) {
		uint64_t change = ++*cursor;
		uint16_t i = n->ring[change % NAME_RING];

		if (i != NONE && n->entry[i].change == change)
			return give(&n->entry[i], ret_server, ret_host_id, ret_boot_s);
	}
	return false;
}

unsigned int
names_hosts(struct names *n, struct text server, int64_t now_ns,
	    uint8_t ret[NAMES_HOSTS_MAX + 1][NAMES_HOST_ID_BYTES])
{
	unsigned int count = 0;

	for (uint16_t i = *head_of(n, server); i != NONE && count <= NAMES_HOSTS_MAX; i = n->entry[i].next) {
		const struct entry *e = &n->entry[i];

		if (!text_equal(server_of(e), server) || age_ns(e->heard_ns, now_ns) >= FORGET_NS)
			continue;
		if (e->is_own && count > 0)
			memcpy(ret[count], ret[0], NAMES_HOST_ID_BYTES);
		memcpy(ret[e->is_own ? 0 : count], e->host_id, NAMES_HOST_ID_BYTES);
		count++;
	}
	return count;
}

void
names_tick(struct names *n, int64_t now_ns)
{
	for (unsigned int i = 0; i < n->top; i++) {
		struct entry *e = &n->entry[i];

		if (!e->change)
			continue;
		if (age_ns(e->heard_ns, now_ns) >= FORGET_NS) {
			entry_forget(n, (uint16_t)i);
			continue;
		}
		e->is_own &= age_ns(e->heard_ns, now_ns) < OWN_NS;
		warn(n, e, now_ns);
	}
}
