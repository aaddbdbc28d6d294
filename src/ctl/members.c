/*
 * herdctl members: who serves this host's table, and who no longer does.
 */
#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/roster.h"

static void
show_counters(struct writer *w, const struct table_process *p)
{
	static const char *const names[] = {
#define X(name, help) #name,
		TABLE_COUNTERS(X)
#undef X
	};

	writer_details(w, true);
	for (int i = 0; i < TABLE_COUNTER_COUNT; i++)
		if (i != TABLE_COUNTER_connections)
			writer_count(w, names[i], p->counter[i]);
	writer_details(w, false);
}

static void
show_process(struct writer *w, const struct table_process *p)
{
	const uint64_t *counter = p->counter;

	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_string(w, "name", p->name);
	writer_string(w, "role", roster_role_name(p->role));
	writer_style(w, p->alive ? WRITER_GOOD : WRITER_BAD);
	writer_bool(w, "alive", p->alive, "alive", "dead");
	writer_count(w, "pid", (uint64_t)(p->pid > 0 ? p->pid : 0));
	writer_time(w, "since", p->start_ns);
	if (p->listen[0])
		writer_string(w, "listens_on", p->listen);
	else
		writer_none(w, "listens_on");
	writer_count(w, "connections", p->alive ? counter[TABLE_COUNTER_connections] : 0);
	writer_count(w, "commands",
		     counter[TABLE_COUNTER_iamat] + counter[TABLE_COUNTER_whatsat] +
			     counter[TABLE_COUNTER_invalid]);
	show_counters(w, p);
	writer_object_end(w);
}

static int
members_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(table_freep) struct table *table = NULL;
	CLEANUP(roster_done) struct roster roster = {};
	int r;

	(void)argc;
	(void)argv;
	r = ctl_open_table(ctl, &table);
	if (r != 0)
		return r;
	r = roster_load(&roster, table);
	if (r < 0)
		return r;
	writer_object_begin(ctl->out, NULL);
	writer_list_begin(ctl->out, "members");
	for (size_t i = 0; i < roster.count; i++)
		show_process(ctl->out, &roster.at[i]);
	writer_list_end(ctl->out);
	writer_object_end(ctl->out);
	return roster_alive(&roster, TABLE_MEMBER) ? CTL_OK : CTL_NO;
}

const struct command command_members = {
	.name = "members",
	.help = "Show who serves this host, and who did",
	.more = "The helper and tools that write the table are listed too. Exit code 1: no member is "
		"alive.",
	.run = members_run,
};
