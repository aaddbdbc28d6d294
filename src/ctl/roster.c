/*
 * Roster: the registry keeps the entries of the dead until somebody needs
 * them, which tells an operator who is missing. Only the last entry under a
 * name says anything.
 */
#include "ctl/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static bool
same_process(const struct table_process *a, const struct table_process *b)
{
	return a->role == b->role && strcmp(a->name, b->name) == 0;
}

/* Which of two entries of one name tells more. */
static bool
supersedes(const struct table_process *a, const struct table_process *b)
{
	return a->alive != b->alive ? a->alive : a->start_ns > b->start_ns;
}

static int
roster_add(struct roster *r, const struct table_process *process)
{
	struct table_process *at;

	if (process->role == TABLE_TOOL && !process->alive)
		return 0;
	for (size_t i = 0; process->role != TABLE_TOOL && i < r->count; i++) {
		if (!same_process(&r->at[i], process))
			continue;
		if (supersedes(process, &r->at[i]))
			r->at[i] = *process;
		return 0;
	}
	at = reallocarray(r->at, r->count + 1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	r->at = at;
	r->at[r->count++] = *process;
	return 0;
}

static int
compare_start(const void *a, const void *b)
{
	const struct table_process *x = a, *y = b;

	return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

int
roster_load(struct roster *ret, struct table *table)
{
	CLEANUP(roster_done) struct roster roster = {};
	struct table_process process;
	int r;

	for (uint32_t i = 0; (r = table_process(table, i, &process)) != TABLE_E_END; i++) {
		if (r == 0)
			r = roster_add(&roster, &process);
		if (r < 0)
			return r;
	}
	if (roster.count)
		qsort(roster.at, roster.count, sizeof(*roster.at), compare_start);
	*ret = roster;
	roster = (struct roster){};
	return 0;
}

void
roster_done(struct roster *r)
{
	free(r->at);
	*r = (struct roster){};
}

const char *
roster_role_name(enum table_role role)
{
	switch (role) {
	case TABLE_MEMBER:
		return "member";
	case TABLE_HELPER:
		return "helper";
	case TABLE_TOOL:
		return "tool";
	}
	return "unknown"; /* the segment is not trusted */
}

size_t
roster_alive(const struct roster *r, enum table_role role)
{
	size_t count = 0;

	for (size_t i = 0; i < r->count; i++)
		count += r->at[i].role == role && r->at[i].alive;
	return count;
}

uint64_t
roster_sum(const struct roster *r, enum table_counter which)
{
	bool is_level = which == TABLE_COUNTER_connections || which == TABLE_COUNTER_lookups;
	uint64_t sum = 0;

	for (size_t i = 0; i < r->count; i++)
		if (r->at[i].alive || !is_level)
			sum += r->at[i].counter[which];
	return sum;
}
