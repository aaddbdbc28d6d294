/*
 * herdctl status: is this herd well? What is not gets a line of its own that
 * says what it means and what to do, and the exit code says so to scripts.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/program.h"
#include "ctl/roster.h"
#include "ctl/services.h"

enum {
	PROBLEMS_MAX = 8,
	NAMES_MAX = 256, /* bytes of a list of names; longer ones end in "..." */
};

/* All programs together, and one of them: a stopped one must not hold up the answer. */
#define ASK_ALL_NS (5 * CLOCK_SECOND_NS)
#define ASK_ONE_NS CLOCK_SECOND_NS

struct status {
	bool has_table;
	struct table_info info;
	struct roster roster;
	struct programs programs;
	const char *problems[PROBLEMS_MAX];
	size_t problem_count;
	char degraded[NAMES_MAX + 64], silent[NAMES_MAX + 64];
};

static void
status_done(struct status *s)
{
	roster_done(&s->roster);
	programs_done(&s->programs);
}

/* --- what is wrong --------------------------------------------------------------------------- */

static bool
is_degraded(const struct program *p)
{
	const char *texts[PROGRAM_STRINGS_MAX];

	return program_strings(p, "degraded", texts) > 0;
}

/* It is there, but does not answer. Without a socket it cannot, which is no fault. */
static bool
is_silent(const struct program *p)
{
	return p->error < 0 && p->error != -ENOENT && p->error != -ECONNREFUSED;
}

/* One line that names all whom it is true of. */
static void
add_problem_of(struct status *s, char *line, size_t size, const char *what,
	       bool (*is)(const struct program *))
{
	char names[NAMES_MAX] = "";
	size_t len = 0;

	for (size_t i = 0; i < s->programs.count; i++) {
		const struct program *p = &s->programs.at[i];

		if (!is(p))
			continue;
		if (len + strlen(p->name) + 8 < sizeof(names))
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", len ? ", " : "",
						p->name);
		else if (names[len - 1] != '.')
			len += (size_t)snprintf(names + len, sizeof(names) - len, "...");
	}
	if (len == 0)
		return;
	snprintf(line, size, "%s: %s", what, names);
	s->problems[s->problem_count++] = line;
}

static void
find_problems_of_table(struct status *s)
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

static void
find_problems(struct status *s)
{
	if (s->has_table)
		find_problems_of_table(s);
	else
		s->problems[s->problem_count++] = "there is no fix table that could be read";
	add_problem_of(s, s->degraded, sizeof(s->degraded), "degraded, see their status", is_degraded);
	add_problem_of(s, s->silent, sizeof(s->silent), "no answer from", is_silent);
}

static void
ask_programs(struct status *s, const struct ctl *ctl)
{
	int64_t end_ns = clock_monotonic_ns() + ASK_ALL_NS;
	size_t kept = 0;

	for (size_t i = 0; i < s->programs.count; i++) {
		struct program *p = &s->programs.at[i];
		int64_t left_ns = end_ns - clock_monotonic_ns();

		if (left_ns > 0)
			program_ask(p, ctl, HERD_CONTROL_STATUS, left_ns < ASK_ONE_NS ? left_ns : ASK_ONE_NS);
		else
			p->error = -ETIMEDOUT;
		if (!program_is_gone(p))
			s->programs.at[kept++] = *p;
	}
	s->programs.count = kept;
}

/* --- what there is ------------------------------------------------------------------------------- */

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
show_program(struct writer *w, const struct program *p)
{
	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_string(w, "name", p->name);
	writer_string(w, "role", p->role == TABLE_HELPER ? "helper" : "member");
	writer_details(w, true);
	writer_count(w, "pid", (uint64_t)(p->pid > 0 ? p->pid : 0));
	program_show_strings(w, p, "degraded");
	program_show_strings(w, p, "notes");
	writer_details(w, false);
	if (is_degraded(p))
		writer_style(w, WRITER_WARNING);
	if (p->reply)
		writer_text(w, "status", program_string(p, "status"));
	else
		writer_none(w, "status"); /* no control socket, or no answer */
	writer_object_end(w);
}

static void
show_programs(struct writer *w, const struct programs *p)
{
	writer_list_begin(w, "programs");
	for (size_t i = 0; i < p->count; i++)
		show_program(w, &p->at[i]);
	writer_list_end(w);
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
	if (s->has_table) {
		show_table(w, ctl->shm, &s->info);
		show_helper(w, &s->roster);
		show_members(w, &s->roster);
		show_counters(w, &s->roster);
	}
	show_programs(w, &s->programs);
	services_show(w, &s->programs);
	writer_object_end(w);
}

static int
read_table(const struct ctl *ctl, struct status *s)
{
	CLEANUP(table_freep) struct table *table = NULL;
	int r;

	r = ctl_open_table(ctl, &table);
	if (r != 0)
		return r;
	r = table_info(table, &s->info);
	if (r == 0)
		r = roster_load(&s->roster, table);
	s->has_table = r == 0;
	return r;
}

/* Programs that this user may not ask say nothing about the herd, as a table this user may not read. */
static bool
is_known_of(const struct programs *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->at[i].error != -EACCES && p->at[i].error != -EPERM)
			return true;
	return false;
}

static int
status_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(status_done) struct status s = {};
	int r, found;

	(void)argc;
	(void)argv;
	found = programs_find(&s.programs, ctl);
	if (found < 0)
		return found;
	ask_programs(&s, ctl);
	r = read_table(ctl, &s);
	/* Members that serve with a table of their own are no healthy herd, but they are something to see. */
	if (r != 0 && !is_known_of(&s.programs))
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
