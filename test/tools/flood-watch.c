/*
 * Watch: looks at the tables again and again, as a reader that polls, since
 * nothing in shared memory tells a reader that something is new. What it
 * measures is therefore late by up to the time between two looks, never early.
 */
#include "flood-watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/table.h"

enum { WATCH_WORDS = WATCH_HOSTS_MAX / 64 };

struct expected {
	struct fix_time time;
	int64_t since_ns;
	uint32_t client;
	unsigned int missing;
	uint64_t at[WATCH_WORDS]; /* hosts where it is still missing */
};

struct watch {
	watch_name_fn *name;
	const void *arg;
	unsigned int hosts, pending;
	char *shm[WATCH_HOSTS_MAX];	      /* owned */
	struct table *table[WATCH_HOSTS_MAX]; /* owned; NULL: not there */
	struct expected expected[WATCH_PENDING_MAX];
	struct histogram spread;
};

int
watch_new(struct watch **ret, watch_name_fn *name, const void *arg)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->name = name;
	w->arg = arg;
	*ret = w;
	return 0;
}

struct watch *
watch_free(struct watch *w)
{
	if (!w)
		return NULL;
	for (unsigned int i = 0; i < w->hosts; i++) {
		table_free(w->table[i]);
		free(w->shm[i]);
	}
	free(w);
	return NULL;
}

int
watch_add(struct watch *w, const char *shm)
{
	if (w->hosts == WATCH_HOSTS_MAX)
		return -ENOSPC;
	w->shm[w->hosts] = strdup(shm);
	return w->shm[w->hosts++] ? 0 : -ENOMEM;
}

unsigned int
watch_hosts(const struct watch *w)
{
	return w->hosts;
}

bool
watch_refresh(struct watch *w, unsigned int host)
{
	if (!w->table[host])
		return table_open_readonly(&w->table[host], w->shm[host], 0) == 0;
	return table_refresh(w->table[host]) == TABLE_E_MOVED;
}

int
watch_read(struct watch *w, unsigned int host, uint32_t client, struct herd_fix *ret)
{
	struct table *t = w->table[host];
	struct table_key key;
	int r;

	if (!t)
		return WATCH_E_NONE;
	table_key_make(t, w->name(w->arg, client), &key);
	do {
		r = table_find(t, &key, clock_now_ns(), ret);
	} while (r == TABLE_E_LAPPED);
	return r == TABLE_E_UNKNOWN ? WATCH_E_NONE : r;
}

void
watch_expect(struct watch *w, uint32_t client, struct fix_time time, unsigned int from, int64_t since_ns)
{
	struct expected *e = &w->expected[w->pending];

	if (w->pending == WATCH_PENDING_MAX || w->hosts < 2)
		return;
	*e = (struct expected){.time = time, .since_ns = since_ns, .client = client, .missing = w->hosts - 1};
	for (unsigned int i = 0; i < w->hosts; i++) {
		if (i != from)
			e->at[i / 64] |= UINT64_C(1) << (i % 64);
	}
	w->pending++;
}

/* Is it, or a newer one, readable there? */
static bool
watch_has(struct watch *w, unsigned int host, const struct expected *e)
{
	struct fix_time held;
	struct herd_fix fix;

	if (watch_read(w, host, e->client, &fix) != 0 ||
	    fix_time_parse((struct text){fix.time, fix.time_len}, &held) != 0)
		return false;
	return held.s > e->time.s || (held.s == e->time.s && held.ns >= e->time.ns);
}

static void
watch_look_for(struct watch *w, struct expected *e)
{
	for (unsigned int word = 0; word < WATCH_WORDS; word++) {
		for (uint64_t bits = e->at[word]; bits != 0; bits &= bits - 1) {
			unsigned int host = word * 64 + (unsigned int)__builtin_ctzll(bits);
			int64_t spread_ns;

			if (!watch_has(w, host, e))
				continue;
			spread_ns = clock_monotonic_ns() - e->since_ns;
			histogram_add(&w->spread, spread_ns > 0 ? (uint64_t)spread_ns : 0, 1);
			e->at[word] &= ~(bits & -bits);
			e->missing--;
		}
	}
}

unsigned int
watch_look(struct watch *w)
{
	for (unsigned int i = 0; i < w->pending;) {
		watch_look_for(w, &w->expected[i]);
		if (w->expected[i].missing == 0)
			w->expected[i] = w->expected[--w->pending];
		else
			i++;
	}
	return w->pending;
}

const struct histogram *
watch_spread(const struct watch *w)
{
	return &w->spread;
}
