/*
 * Snapshot, back into a table. The last one is tried, then the one before; the
 * one before comes first when its number is higher, because then somebody put
 * an old file over the last one. Each is read twice: once to see that every
 * byte of it is right, and only then to merge it, newest wins, so that loading
 * over a table that lived on changes nothing that is newer.
 */
#include "flood/snapshot-load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	CANDIDATES = 2,
	BUSY_TRIES = 100, /* for one fix whose bucket a stopped process holds */
	FAULTS_MAX = 10,  /* the segment was cut short that often: enough */
};

enum load_state { LOAD_CHOOSE, LOAD_VERIFY, LOAD_MERGE, LOAD_DONE };

struct snapshot_load {
	int folder;
	char shm[SNAPSHOT_SHM_MAX + 1];
	int64_t ttl_ns;
	snapshot_refused_fn *refused;
	void *user;

	enum load_state state;
	struct snapshot_reader *file[CANDIDATES]; /* owned; in the order of their names */
	int current;				  /* of these */
	int busy, faults;
	bool has_fix; /* one that is still to be merged */
	struct herd_fix fix;
	struct snapshot_loaded result;
};

static const char *
candidate_name(const struct snapshot_load *l, int i, char name[SNAPSHOT_NAME_MAX])
{
	return snapshot_name(name, l->shm, i ? ".1" : "");
}

/* Tells, keeps it aside, and forgets it. */
static void
refuse(struct snapshot_load *l, int i, const char *why)
{
	char name[SNAPSHOT_NAME_MAX], kept[SNAPSHOT_NAME_MAX];
	struct snapshot_refusal refusal = {.name = candidate_name(l, i, name), .why = why, .kept = kept};

	refusal.error = snapshot_keep_aside(l->folder, l->shm, name, kept);
	if (refusal.error < 0)
		refusal.kept = NULL;
	if (l->refused)
		l->refused(l->user, &refusal);
	l->file[i] = snapshot_reader_free(l->file[i]);
}

/* -ENOMEM only. */
static int
open_candidates(struct snapshot_load *l)
{
	char name[SNAPSHOT_NAME_MAX], why[SNAPSHOT_WHY_MAX];

	for (int i = 0; i < CANDIDATES; i++) {
		int r;

		l->file[i] = snapshot_reader_free(l->file[i]);
		r = snapshot_reader_new(&l->file[i], l->folder, candidate_name(l, i, name), l->shm, why);
		if (r == SNAPSHOT_E_BAD)
			refuse(l, i, why);
		else if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static uint64_t
number_of(const struct snapshot_load *l, int i)
{
	return snapshot_reader_header(l->file[i])->number;
}

/* The next one to read through, if there is any left. */
static void
choose(struct snapshot_load *l)
{
	if (!l->file[0] && !l->file[1]) {
		l->state = LOAD_DONE;
		return;
	}
	l->current = !l->file[0] || (l->file[1] && number_of(l, 1) > number_of(l, 0));
	l->state = LOAD_VERIFY;
}

static void
accept(struct snapshot_load *l)
{
	struct snapshot_reader *file = l->file[l->current];
	char why[SNAPSHOT_WHY_MAX];

	l->result.header = *snapshot_reader_header(file);
	l->result.fixes = snapshot_reader_fixes(file);
	l->result.bytes = snapshot_reader_bytes(file);
	if (l->current == 1 && l->file[0]) {
		snprintf(why, sizeof(why), "it is older than the one before (number %llu, and that has %llu)",
			 (unsigned long long)number_of(l, 0), (unsigned long long)number_of(l, 1));
		refuse(l, 0, why);
	}
	candidate_name(l, l->current, l->result.name);
	snapshot_reader_rewind(file);
	l->state = LOAD_MERGE;
}

static void
verify_one(struct snapshot_load *l)
{
	struct snapshot_reader *file = l->file[l->current];
	int r = snapshot_reader_next(file, &l->fix);
	char why[SNAPSHOT_WHY_MAX];

	if (r == SNAPSHOT_E_BAD) {
		snprintf(why, sizeof(why), "%s", snapshot_reader_why(file));
		refuse(l, l->current, why);
		choose(l);
	} else if (r == SNAPSHOT_E_END) {
		accept(l);
	}
}

/* --- merging ------------------------------------------------------------------- */

static bool
is_expired(const struct snapshot_load *l, int64_t now_ns)
{
	return l->ttl_ns > 0 && l->fix.rx_ns < now_ns && now_ns - l->fix.rx_ns >= l->ttl_ns;
}

static int
merge_fault(struct snapshot_load *l)
{
	struct snapshot_loaded *to = &l->result;

	if (++l->faults > FAULTS_MAX) {
		to->error = -EFAULT;
		l->state = LOAD_DONE;
		return 0;
	}
	to->merged = to->expired = to->held = to->failed = 0;
	l->has_fix = false;
	snapshot_reader_rewind(l->file[l->current]);
	return -EFAULT;
}

static int
merge_fix(struct snapshot_load *l, struct table *t)
{
	struct snapshot_loaded *to = &l->result;
	int r = table_merge(t, &l->fix);

	if (r == -EFAULT)
		return merge_fault(l);
	if (r == TABLE_E_BUSY && ++l->busy < BUSY_TRIES)
		return -EAGAIN;
	l->busy = 0;
	l->has_fix = false;
	if (r == 0) {
		to->merged++;
	} else if (r == TABLE_E_OLDER) {
		to->held++;
	} else {
		to->failed++;
		to->error = r < 0 ? r : -EBUSY;
	}
	return 0;
}

static int
merge_one(struct snapshot_load *l, struct table *t, int64_t now_ns)
{
	struct snapshot_loaded *to = &l->result;

	if (!l->has_fix) {
		int r = snapshot_reader_next(l->file[l->current], &l->fix);

		/* It was right a moment ago: whoever writes into it now gets no further than this. */
		if (r != 0) {
			to->error = r == SNAPSHOT_E_BAD ? -EBADMSG : to->error;
			l->state = LOAD_DONE;
			return 0;
		}
		l->has_fix = true;
	}
	if (is_expired(l, now_ns)) {
		to->expired++;
		l->has_fix = false;
		return 0;
	}
	return merge_fix(l, t);
}

/* --- all of it ------------------------------------------------------------------- */

int
snapshot_load_new(struct snapshot_load **ret, int folder, const char *shm, int64_t ttl_ns,
		  snapshot_refused_fn *refused, void *user)
{
	CLEANUP(snapshot_load_freep) struct snapshot_load *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->folder = folder;
	l->ttl_ns = ttl_ns;
	l->refused = refused;
	l->user = user;
	snprintf(l->shm, sizeof(l->shm), "%s", shm);
	*ret = l;
	l = NULL;
	return 0;
}

int
snapshot_load_step(struct snapshot_load *l, struct table *t, unsigned int lines)
{
	const int64_t now_ns = clock_now_ns();
	int r = 0;

	if (l->state == LOAD_CHOOSE) {
		r = open_candidates(l);
		if (r < 0)
			return r;
		choose(l);
	}
	for (unsigned int i = 0; i < lines && r == 0 && l->state != LOAD_DONE; i++) {
		if (l->state == LOAD_VERIFY)
			verify_one(l);
		else
			r = merge_one(l, t, now_ns);
	}
	return r == 0 && l->state == LOAD_DONE ? SNAPSHOT_E_END : r;
}

const struct snapshot_loaded *
snapshot_load_result(const struct snapshot_load *l)
{
	return &l->result;
}

struct snapshot_load *
snapshot_load_free(struct snapshot_load *l)
{
	if (l) {
		for (int i = 0; i < CANDIDATES; i++)
			snapshot_reader_free(l->file[i]);
		free(l);
	}
	return NULL;
}
