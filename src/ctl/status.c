/*
 * herdctl status: is this herd well? What is not gets a line of its own that
 * says what it means and what to do, and the exit code says so to scripts.
 */
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/roster.h"

enum { PROBLEMS_MAX = 4 };

struct status {
	struct table_info info;
	struct roster roster;
	const char *problems[PROBLEMS_MAX];
	size_t problem_count;
};

static void
status_done(struct status *s)
{
	roster_done(&s->roster);
}

static void
find_problems(struct status *s)
{
	if (!roster_alive(&s->roster, TABLE_MEMBER))
		s->problems[s->problem_count++] = "no member is alive: nobody takes fixes; start one "
						  "(herd-member --name NAME --listen ADDR:PORT)";
	if (!roster_alive(&s->roster, TABLE_HELPER))
		s->problems[s->problem_count++] =
			"the helper is missing: members serve on, but nothing expires; start it (herd-flood)";
	if (s->info.used >= s->info.clients)
		s->problems[s->problem_count++] =
			"the table is full: new clients push out old ones; raise table-clients";
	if (s->info.long_used >= s->info.long_clients)
		s->problems[s->problem_count++] =
			"the table is full of ids over 40 bytes: new ones push out old ones; raise "
			"table-long-clients";
}

static enum writer_style
load_style(uint64_t used, uint64_t capacity)
{
	return used >= capacity			  ? WRITER_BAD
	       : used >= capacity - capacity / 10 ? WRITER_WARNING
						  : WRITER_PLAIN;
}

static void
show_table(struct writer *w, const char *name, const struct table_info *i)
{
	writer_object_begin(w, "table");
	writer_string(w, "name", name);
	writer_count(w, "layout", i->layout);
	writer_time(w, "created", i->created_ns);
	writer_size(w, "size", i->bytes);
	writer_count(w, "clients", i->used);
	writer_count(w, "capacity", i->clients);
	writer_style(w, load_style(i->used, i->clients));
	writer_percent(w, "load", i->used, i->clients);
	writer_count(w, "long_ids", i->long_used);
	writer_count(w, "long_capacity", i->long_clients);
	writer_style(w, load_style(i->long_used, i->long_clients));
	writer_percent(w, "long_load", i->long_used, i->long_clients);
	if (i->evicted)
		writer_style(w, WRITER_WARNING);
	writer_count(w, "evicted", i->evicted);
	writer_object_end(w);
}

static void
show_helper(struct writer *w, const struct roster *roster)
{
	const struct table_process *helper = NULL;

	for (size_t i = 0; i < roster->count; i++)
		if (roster->at[i].role == TABLE_HELPER && (!helper || roster->at[i].alive))
			helper = &roster->at[i];
	writer_object_begin(w, "helper");
	writer_style(w, helper && helper->alive ? WRITER_GOOD : WRITER_BAD);
	writer_bool(w, "alive", helper && helper->alive, "yes", "MISSING");
	if (helper) {
		writer_count(w, "pid", (uint64_t)(helper->pid > 0 ? helper->pid : 0));
		writer_time(w, "since", helper->start_ns);
	}
	writer_object_end(w);
}

static void
show_members(struct writer *w, const struct roster *roster)
{
	size_t alive = roster_alive(roster, TABLE_MEMBER), dead = 0;

	for (size_t i = 0; i < roster->count; i++)
		dead += roster->at[i].role == TABLE_MEMBER && !roster->at[i].alive;
	writer_object_begin(w, "members");
	writer_style(w, alive ? WRITER_GOOD : WRITER_BAD);
	writer_count(w, "alive", alive);
	writer_count(w, "dead", dead);
	writer_object_end(w);
}

static void
show_counters(struct writer *w, const struct roster *roster)
{
	writer_object_begin(w, "counters");
#define X(name, help) writer_count(w, #name, roster_sum(roster, TABLE_COUNTER_##name));
	TABLE_COUNTERS(X)
#undef X
	writer_object_end(w);
}

static void
show_status(const struct ctl *ctl, const struct status *s)
{
	struct writer *w = ctl->out;

	writer_object_begin(w, NULL);
	writer_style(w, s->problem_count ? WRITER_BAD : WRITER_GOOD);
	writer_string(w, "state", s->problem_count ? "degraded" : "healthy");
	writer_style(w, WRITER_WARNING);
	writer_strings(w, "problems", s->problems, s->problem_count);
	show_table(w, ctl->shm, &s->info);
	show_helper(w, &s->roster);
	show_members(w, &s->roster);
	show_counters(w, &s->roster);
	writer_object_end(w);
}

static int
status_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(table_freep) struct table *table = NULL;
	CLEANUP(status_done) struct status s = {};
	int r;

	(void)argc;
	(void)argv;
	r = ctl_open_table(ctl, &table);
	if (r != 0)
		return r;
	r = table_info(table, &s.info);
	if (r == 0)
		r = roster_load(&s.roster, table);
	if (r < 0)
		return r;
	find_problems(&s);
	show_status(ctl, &s);
	return s.problem_count ? CTL_NO : CTL_OK;
}

const struct command command_status = {
	.name = "status",
	.help = "Is this herd well?",
	.more = "Exit code 0: healthy; 1: degraded, and the problems say how; 3: no herd here.",
	.run = status_run,
};
