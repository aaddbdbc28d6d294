/*
 * herdctl restart: programs of this herd, the helper first. Rolling means that
 * the next one is only touched when the one before answers again: a version or
 * a setting that does not come up stops one program, not the herd.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/program.h"
#include "ctl/progress.h"
#include "ctl/systemctl.h"

/* A unit has 90 seconds to start. */
#define TIMEOUT_NS (100 * CLOCK_SECOND_NS)
#define ASK_NS	   CLOCK_SECOND_NS
#define PAUSE_NS   (10 * CLOCK_MSEC_NS)

enum { UNIT_MAX = 64 };

static void
unit_of(const struct program *p, char ret[UNIT_MAX])
{
	if (p->role == TABLE_HELPER)
		snprintf(ret, UNIT_MAX, "herd-flood.service");
	else
		snprintf(ret, UNIT_MAX, "herd@%s.service", p->name);
}

/* One that was started by hand would get a second one beside it. */
static int
check_unit(const struct program *p)
{
	char unit[UNIT_MAX];

	unit_of(p, unit);
	return systemctl_must_be_active(unit, p->name, "nothing was restarted");
}

/* Whoever has another pid than `before` answers there. */
static int
wait_for(struct program *p, const struct ctl *ctl, uint64_t before, int64_t end_ns)
{
	const struct timespec pause = {0, PAUSE_NS};

	do {
		program_ask(p, ctl, HERD_CONTROL_STATUS, ASK_NS);
		if (program_is_ok(p) && program_pid(p) != before)
			return 0;
		nanosleep(&pause, NULL);
	} while (clock_monotonic_ns() < end_ns);
	return -ETIMEDOUT;
}

static void
show(struct writer *w, const struct program *p, int64_t took_ns)
{
	char unit[UNIT_MAX];

	unit_of(p, unit);
	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_string(w, "name", p->name);
	writer_string(w, "unit", unit);
	writer_count(w, "pid", program_pid(p));
	writer_duration(w, "took", took_ns);
	writer_object_end(w);
	writer_flush(w);
}

/* `left`: how many come after it. */
static int
restart_one(struct program *p, const struct ctl *ctl, int64_t timeout_ns, size_t left,
	    struct progress *progress)
{
	int64_t began_ns = clock_monotonic_ns();
	char unit[UNIT_MAX], unless[64];
	const char *const arguments[] = {"restart", unit, NULL};
	uint64_t before;
	bool is_back;
	int r;

	unit_of(p, unit);
	snprintf(unless, sizeof(unless), "%zu more were not touched", left);
	program_ask(p, ctl, HERD_CONTROL_STATUS, ASK_NS);
	before = program_pid(p);
	r = systemctl(arguments, unless);
	is_back = r == 0 && wait_for(p, ctl, before, began_ns + timeout_ns) == 0;
	progress_clear(progress);
	if (r == 0 && !is_back)
		r = ctl_fail(CTL_FAILED,
			     "%s was restarted, but does not answer; %s; `journalctl -u %s` may say why",
			     p->name, unless, unit);
	if (r == 0)
		show(ctl->out, p, clock_monotonic_ns() - began_ns);
	return r;
}

/* All with one job of the service manager, as nobody waits for anybody. */
static int
restart_at_once(struct programs *p)
{
	const char *arguments[SYSTEMCTL_ARGUMENTS_MAX] = {"restart"};
	char units[SYSTEMCTL_ARGUMENTS_MAX][UNIT_MAX];
	int r = 0;

	for (size_t done = 0; done < p->count && r == 0;) {
		size_t n = 0;

		for (; done < p->count && n + 2 < SYSTEMCTL_ARGUMENTS_MAX; n++, done++) {
			unit_of(&p->at[done], units[n]);
			arguments[n + 1] = units[n];
		}
		arguments[n + 1] = NULL;
		r = systemctl(arguments, "some may be stopped");
	}
	return r;
}

static int
restart_together(struct programs *p, const struct ctl *ctl, int64_t timeout_ns)
{
	int64_t began_ns = clock_monotonic_ns();
	int r = restart_at_once(p), result = r;

	for (size_t i = 0; i < p->count && r == 0; i++)
		if (wait_for(&p->at[i], ctl, 0, began_ns + timeout_ns) == 0)
			show(ctl->out, &p->at[i], clock_monotonic_ns() - began_ns);
		else
			result = ctl_fail(CTL_FAILED, "%s was restarted, but does not answer", p->at[i].name);
	return result;
}

static int
restart_all(struct ctl *ctl, struct programs *p, int64_t timeout_ns)
{
	bool is_rolling = options_value(ctl->options, "rolling");
	struct progress progress = progress_begin(ctl);
	int r = 0;

	writer_object_begin(ctl->out, NULL);
	writer_list_begin(ctl->out, "restarted");
	if (!is_rolling)
		r = restart_together(p, ctl, timeout_ns);
	for (size_t i = 0; is_rolling && i < p->count && r == 0; i++) {
		progress_show(&progress, (double)i / (double)p->count, "%s, %zu of %zu", p->at[i].name, i + 1,
			      p->count);
		r = restart_one(&p->at[i], ctl, timeout_ns, p->count - i - 1, &progress);
	}
	progress_clear(&progress);
	writer_list_end(ctl->out);
	writer_object_end(ctl->out);
	return r;
}

/* Sockets that a dead program left behind are found, too. */
static void
drop_gone(struct programs *p, const struct ctl *ctl)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->count; i++) {
		program_ask(&p->at[i], ctl, HERD_CONTROL_STATUS, ASK_NS);
		if (!program_is_gone(&p->at[i])) /* else there is no reply to free */
			p->at[kept++] = p->at[i];
	}
	p->count = kept;
}

static int
restart_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(programs_done) struct programs p = {};
	int64_t timeout_ns = TIMEOUT_NS;
	int r;

	r = ctl_option_duration(ctl, "timeout", CLOCK_MSEC_NS, &timeout_ns);
	if (r == 0)
		r = programs_take(&p, ctl, options_value(ctl->options, "helper"), argc, argv);
	if (r != 0)
		return r;
	if (argc == 0 && !options_value(ctl->options, "helper"))
		drop_gone(&p, ctl);
	if (p.count == 0)
		return ctl_fail(CTL_NO_HERD, "No program of this herd runs (control-dir = %s, shm = %s)",
				ctl->conf->control_dir, ctl->shm);
	for (size_t i = 0; i < p.count && r == 0; i++)
		r = check_unit(&p.at[i]);
	return r == 0 ? restart_all(ctl, &p, timeout_ns) : r;
}

const struct command command_restart = {
	.name = "restart",
	.operands = "[NAME]...",
	.help = "Restart programs of this herd that systemd runs",
	.more = "The helper first, then members by name; without a NAME or --helper: all that run on this "
		"host.\n"
		"Exit code 2: one of them does not come back, and those after it were not touched; or one "
		"is\n"
		"not systemd's to restart, and nothing was.",
	.entries =
		(const struct options_entry[]){
			{.name = "rolling",
			 .help = "One after the other: the next when the last one answers"},
			{.name = "helper", .help = "The helper"},
			{.name = "timeout",
			 .argument = "TIME",
			 .help = "Give up on one that does not answer after this long (100s)"},
			{0},
		},
	.operands_max = 1024,
	.run = restart_run,
};
