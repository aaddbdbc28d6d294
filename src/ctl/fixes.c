/*
 * herdctl fixes: what the table holds. It is read while others write, one fix
 * at a time, and printed as it is read: a fix that changes meanwhile is shown
 * as it was or as it is, whole in either case, and memory does not depend on
 * how many there are.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/pattern.h"
#include "ctl/show.h"

enum { LAPS_MAX = 1000 }; /* a client cannot report that fast for that long */

struct search {
	struct ctl *ctl;
	struct table *table;
	const char *pattern; /* NULL: all */
	bool count_only;
	int64_t now_ns;
	uint64_t found;
	uint32_t limit; /* UINT32_MAX: none */
};

static void
search_found(struct search *s, const struct herd_fix *fix)
{
	struct writer *out = s->ctl->out;

	s->found++;
	if (s->count_only)
		return;
	writer_object_begin(out, NULL);
	show_fix(out, fix, s->now_ns);
	writer_object_end(out);
}

/* One id: no need to look at the others. */
static int
search_one(struct search *s)
{
	struct text id = text_of(s->pattern);
	struct table_key key;
	struct herd_fix fix;
	int r = TABLE_E_LAPPED;

	if (s->limit == 0 || !fix_id_valid(id))
		return 0;
	table_key_make(s->table, id, &key);
	for (int i = 0; r == TABLE_E_LAPPED && i < LAPS_MAX; i++)
		r = table_find(s->table, &key, s->now_ns, &fix);
	if (r == TABLE_E_LAPPED)
		return -EBUSY;
	if (r == 0)
		search_found(s, &fix);
	return r < 0 ? r : 0;
}

static int
search_all(struct search *s)
{
	uint64_t cursor = 0;
	struct herd_fix fix;
	int r = 0;

	while ((s->limit == UINT32_MAX || s->found < s->limit) && writer_fault(s->ctl->out) == 0) {
		r = table_next(s->table, &cursor, s->now_ns, &fix, NULL);
		if (r != 0)
			break;
		if (pattern_matches(s->pattern, &fix))
			search_found(s, &fix);
	}
	return r < 0 ? r : 0;
}

static void
show_count(struct search *s)
{
	struct writer *out = s->ctl->out;
	char number[24];

	if (!writer_is_json(out)) { /* for $(...) */
		writer_verbatim(out, (struct text){number, (size_t)(text_put_u64(number, s->found) - number)},
				false);
		return;
	}
	writer_object_begin(out, NULL);
	writer_count(out, "count", s->found);
	writer_object_end(out);
}

static int
search(struct search *s)
{
	bool one = s->pattern && !pattern_is_wild(s->pattern);
	int r;

	if (!s->count_only)
		writer_list_begin(s->ctl->out, NULL);
	r = one ? search_one(s) : search_all(s);
	if (!s->count_only)
		writer_list_end(s->ctl->out);
	else if (r == 0)
		show_count(s);
	if (r < 0)
		return ctl_fail(CTL_FAILED, "Cannot read the fix table '%s' on: %s", s->ctl->shm,
				strerror(-r));
	return s->found || !s->pattern ? CTL_OK : CTL_NO;
}

static int
fixes_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(table_freep) struct table *table = NULL;
	struct search s = {
		.ctl = ctl,
		.pattern = argc ? argv[0] : NULL,
		.count_only = options_value(ctl->options, "count"),
		.now_ns = clock_now_ns(),
		.limit = UINT32_MAX,
	};
	int r;

	r = ctl_option_count(ctl, "limit", &s.limit);
	if (r != 0)
		return r;
	r = ctl_open_table(ctl, &table);
	if (r != 0)
		return r;
	s.table = table;
	return search(&s);
}

const struct command command_fixes = {
	.name = "fixes",
	.operands = "[PATTERN]",
	.help = "Show the fixes this host knows",
	.more = "PATTERN is matched against ids as the shell matches file names (*, ?, [...]); quote it.\n"
		"With --json every fix is one object on a line of its own. Exit code 1: nothing matches.",
	.entries =
		(const struct options_entry[]){
			{.name = "count", .help = "Print only how many there are"},
			{.name = "limit", .argument = "N", .help = "Stop after this many"},
			{0},
		},
	.operands_max = 1,
	.run = fixes_run,
};
