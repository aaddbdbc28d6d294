/*
 * herdctl reload: running programs read their settings again. Unlike a signal
 * it comes back when that is done, and tells what was wrong.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/program.h"

/* Reading is quick; a program that does not answer for so long hangs. */
#define TIMEOUT_NS (30 * CLOCK_SECOND_NS)

static const struct options_entry entries[] = {
	{.name = "helper", .help = "The helper"},
	{.name = "timeout", .argument = "TIME", .help = "Give up after this long (30s)"},
	{0},
};

/* --- what came of it ----------------------------------------------------------------------- */

static void
say_messages(const struct program *p)
{
	const char *texts[PROGRAM_STRINGS_MAX];
	size_t count = program_strings(p, "messages", texts);

	for (size_t i = 0; i < count; i++)
		log_error("%s: %s", p->name, texts[i]);
}

static void
say_restarts(const struct program *p)
{
	const char *names[PROGRAM_STRINGS_MAX];
	size_t count = program_strings(p, "needs_restart", names);

	for (size_t i = 0; i < count; i++)
		log_notice("%s: %s has changed: it takes effect with a restart", p->name, names[i]);
}

/* 0, CTL_FAILED, CTL_CONFIG; whatever is not 0 was said. */
static int
judge(const struct ctl *ctl, const struct program *p)
{
	if (program_is_ok(p)) {
		say_restarts(p);
		return CTL_OK;
	}
	if (p->reply) {
		if (!ctl->bad_conf) /* else it was said before anybody was asked */
			say_messages(p);
		return ctl_fail(CTL_CONFIG, "%s: the new settings are bad, the old ones stay", p->name);
	}
	if (ctl->bad_conf && (p->error == -ENOENT || p->error == -ECONNREFUSED))
		return ctl_fail(
			CTL_CONFIG,
			"%s was not asked: with bad settings nobody knows its control-dir and shm, and "
			"there is no answer at %s; if it runs, it keeps its old ones",
			p->name, p->path);
	if (p->pid && (p->error == -ENOENT || p->error == -ECONNREFUSED))
		return ctl_fail(
			CTL_FAILED,
			"%s runs without a control socket (%s): `kill -HUP %d` reloads it, but does not "
			"say what came of it",
			p->name, p->path, (int)p->pid);
	if (p->error == -ENOENT || p->error == -ECONNREFUSED)
		return ctl_fail(CTL_FAILED, "%s does not run, or not with this control-dir: no answer at %s",
				p->name, p->path);
	if (p->error == -EPROTO)
		return ctl_fail(CTL_FAILED, "%s: what answers at %s is something else", p->name, p->path);
	return ctl_fail(CTL_FAILED, "%s does not answer at %s: %s", p->name, p->path, strerror(-p->error));
}

static void
show(struct writer *w, const struct program *p)
{
	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_string(w, "name", p->name);
	writer_string(w, "role", p->role == TABLE_HELPER ? "helper" : "member");
	writer_style(w, program_is_ok(p) ? WRITER_GOOD : WRITER_BAD);
	writer_bool(w, "reloaded", program_is_ok(p), "yes", p->reply ? "REFUSED" : "NO ANSWER");
	writer_details(w, true);
	program_show_strings(w, p, "changed");
	program_show_strings(w, p, "needs_restart");
	program_show_strings(w, p, "messages");
	writer_details(w, false);
	writer_object_end(w);
}

/* Nobody there is worse than somebody who refuses, and either worse than nothing. */
static int
worse(int a, int b)
{
	if (a == CTL_FAILED || b == CTL_FAILED)
		return CTL_FAILED;
	return a ? a : b;
}

static int
reload_all(struct ctl *ctl, struct programs *p, bool named, int64_t timeout_ns)
{
	struct writer *w = ctl->out;
	int result = CTL_OK;
	size_t asked = 0;

	writer_object_begin(w, NULL);
	writer_list_begin(w, "programs");
	for (size_t i = 0; i < p->count; i++) {
		program_ask(&p->at[i], ctl, HERD_CONTROL_RELOAD, timeout_ns);
		if (!named && program_is_gone(&p->at[i]))
			continue;
		asked++;
		show(w, &p->at[i]);
		result = worse(result, judge(ctl, &p->at[i]));
	}
	writer_list_end(w);
	writer_object_end(w);
	if (asked == 0 && ctl->bad_conf)
		result = ctl_fail(
			CTL_CONFIG,
			"Nobody was asked: with bad settings nobody knows control-dir and shm, and in %s "
			"is no program of %s; what runs keeps its old ones",
			ctl->conf->control_dir, ctl->shm);
	else if (asked == 0)
		result = ctl_fail(CTL_NO_HERD, "No program of this herd runs (control-dir = %s, shm = %s)",
				  ctl->conf->control_dir, ctl->shm);
	return result;
}

static int
reload_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(programs_done) struct programs p = {};
	bool named = argc > 0 || options_value(ctl->options, "helper");
	int64_t timeout_ns = TIMEOUT_NS;
	int r;

	r = ctl_option_duration(ctl, "timeout", CLOCK_MSEC_NS, &timeout_ns);
	if (r == 0)
		r = programs_take(&p, ctl, options_value(ctl->options, "helper"), argc, argv);
	if (r != 0)
		return r;
	r = reload_all(ctl, &p, named, timeout_ns);
	return ctl->bad_conf ? CTL_CONFIG : r;
}

const struct command command_reload = {
	.name = "reload",
	.operands = "[NAME]...",
	.help = "Have running programs read their settings again",
	.more = "Comes back when it is done. Without a NAME or --helper: all that run on this host. Exit "
		"code 78:\n"
		"the new settings are bad; what is wrong with them was said, and the old ones stay. 2: "
		"somebody\n"
		"does not answer.",
	.entries = entries,
	.operands_max = 1024,
	.takes_bad_conf = true,
	.run = reload_run,
};
