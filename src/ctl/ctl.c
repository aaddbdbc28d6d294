/*
 * Ctl: what an operator types. Sorts the command line, reads the settings,
 * runs one command with one writer, and turns what it returns into the exit
 * code that scripts see. A reader that leaves early (head, a pager) is no
 * fault: whatever the command found out stays its answer.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "conf/value.h"
#include "ctl/arrange.h"
#include "ctl/escape.h"

static const struct options_entry entries[] = {
	{.name = "shm",
	 .argument = "NAME",
	 .setting = "shm",
	 .help = "Name of the shared memory of the herd"},
	{.name = "json", .help = "Print data as JSON"},
	{.name = "no-color",
	 .help = "No colour, also on a terminal; the same as NO_COLOR in the environment"},
	{0},
};
static const struct options_entry no_entries[] = {{0}};

int
ctl_open_table(const struct ctl *ctl, struct table **ret)
{
	int r = table_open_readonly(ret, ctl->shm, ctl->conf->fix_ttl_ns);

	if (r == -ENOENT)
		return ctl_fail(
			CTL_NO_HERD,
			"No herd here: there is no fix table '%s'. Start a helper (herd-flood) or a member "
			"(herd-member --name Alpha --listen 127.0.0.1:12000), or name another table with "
			"--shm",
			ctl->shm);
	if (r == -EPROTO || r == -ENXIO)
		return ctl_fail(CTL_FAILED, "'%s' is no fix table, or one of another version of herd",
				ctl->shm);
	if (r == -EBADMSG)
		return ctl_fail(CTL_FAILED, "The fix table '%s' is damaged", ctl->shm);
	if (r == -EPERM || r == -EACCES)
		return ctl_fail(CTL_FAILED,
				"The fix table '%s' is not this user's: run herdctl as the user of the herd",
				ctl->shm);
	if (r < 0)
		return ctl_fail(CTL_FAILED, "Cannot read the fix table '%s': %s", ctl->shm, strerror(-r));
	return 0;
}

/* As the settings of the same type are written. */
static int
option_value(const struct ctl *ctl, const char *name, enum conf_type type, int64_t min, int64_t max,
	     void *field)
{
	const struct conf_setting like = {.name = name, .type = type, .min = min, .max = max};
	const char *given = options_value(ctl->options, name);
	char why[VALUE_WHY_MAX];
	int r;

	if (!given)
		return 0;
	r = value_parse(&like, text_of(given), field, why);
	return r > 0 ? ctl_fail(CTL_USAGE, "--%s: %s", name, why) : r;
}

int
ctl_option_count(const struct ctl *ctl, const char *name, uint32_t *value)
{
	return option_value(ctl, name, CONF_TYPE_COUNT, 0, UINT32_MAX, value);
}

int
ctl_option_duration(const struct ctl *ctl, const char *name, int64_t min_ns, int64_t *value_ns)
{
	return option_value(ctl, name, CONF_TYPE_DURATION, min_ns, 86400 * CLOCK_SECOND_NS, value_ns);
}

/* --- the command line ------------------------------------------------------------------------ */

static const char *
next_command(size_t index)
{
	return commands[index] ? commands[index]->name : NULL;
}

/* "Commands:" and one line each, for --help. */
static char *
commands_help(void)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	fputs("Commands:\n", file);
	for (size_t i = 0; commands[i]; i++)
		fprintf(file, "  %-16s %s\n", commands[i]->name, commands[i]->help);
	fputs("\n'herdctl COMMAND --help' says more about one of them. Options may stand before or behind\n"
	      "the command and its operands.\n\n"
	      "Exit codes: 0 done; 1 the answer is no (degraded, refused, nothing found); 2 no answer could\n"
	      "be had; 3 no herd here; 64 wrong usage; 78 wrong settings.",
	      file);
	if (fclose(file) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* The command line in its last shape. Options point at their programs, so they stay together. */
struct line {
	struct arranged arranged;
	struct options_program global_program, own_program;
	struct options global, own;
	char *more;    /* owned: of global_program */
	char name[64]; /* of own_program */
};

static void
line_done(struct line *l)
{
	options_done(&l->global);
	options_done(&l->own);
	arranged_done(&l->arranged);
	free(l->more);
}

static int
parse_global(struct line *l)
{
	l->more = commands_help();
	if (!l->more)
		return -ENOMEM;
	l->global_program = (struct options_program){
		.name = "herdctl",
		.summary = "Look at a herd and talk to its members",
		.operands = "COMMAND [ARGUMENT]...",
		.entries = entries,
		.more = l->more,
	};
	return options_parse(&l->global, &l->global_program, l->arranged.global_count, l->arranged.global,
			     stdout, stderr);
}

static int
parse_own(struct line *l)
{
	const struct command *command = l->arranged.command;

	snprintf(l->name, sizeof(l->name), "herdctl %s", command->name);
	l->own_program = (struct options_program){
		.name = l->name,
		.summary = command->help,
		.operands = command->operands,
		.entries = command->entries ? command->entries : no_entries,
		.plain = true,
		.more = command->more,
	};
	return options_parse(&l->own, &l->own_program, l->arranged.own_count, l->arranged.own, stdout,
			     stderr);
}

/* Which words could have stood where an unknown one did. */
static int
fail_unknown(const struct arranged *a)
{
	const char *meant = NULL;
	char typed[128];

	if (!a->unknown && !a->group)
		return ctl_fail(CTL_USAGE, "What to do? 'herdctl --help' lists the commands");
	if (!a->unknown)
		return ctl_fail(CTL_USAGE, "'%s' takes another word; 'herdctl --help' lists the commands",
				a->group);
	snprintf(typed, sizeof(typed), "%s%s%s", a->group ? a->group : "", a->group ? " " : "", a->unknown);
	meant = ctl_nearest(typed, next_command);
	if (meant)
		return ctl_fail(CTL_USAGE, "There is no command '%s'. Did you mean '%s'?", typed, meant);
	return ctl_fail(CTL_USAGE, "There is no command '%s'; 'herdctl --help' lists them", typed);
}

static int
check_operands(const struct arranged *a)
{
	const struct command *command = a->command;
	int count = a->own_count - a->own_operand;

	if (count >= command->operands_min && count <= command->operands_max)
		return 0;
	return ctl_fail(CTL_USAGE, "'%s' takes %s, not %d operand%s; see 'herdctl %s --help'", command->name,
			command->operands ? command->operands : "no operands", count, count == 1 ? "" : "s",
			command->name);
}

/* --- one command ----------------------------------------------------------------------------- */

/* What the file's reader understands; the file is standard output, or what goes there. */
static struct writer_setup
setup_of(const struct options *global, FILE *file)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	struct writer_setup setup = {
		.file = file,
		.terminal = isatty(STDOUT_FILENO) != 0,
		.utf8 = escape_locale_is_utf8(),
	};

	setup.colour = setup.terminal && !options_value(global, "no-color") && !(no_color && no_color[0]) &&
		       term && strcmp(term, "dumb") != 0;
	return setup;
}

static int
new_writer(struct writer **ret, const struct options *global, FILE *file)
{
	struct writer_setup setup = setup_of(global, file);

	return options_value(global, "json") ? writer_new_json(ret, &setup) : writer_new_text(ret, &setup);
}

int
ctl_new_page(const struct ctl *ctl, FILE *file, struct writer **ret)
{
	return new_writer(ret, ctl->global, file);
}

static int
run_command(const struct line *l, const struct conf *conf, bool bad_conf)
{
	CLEANUP(writer_freep) struct writer *out = NULL;
	const struct arranged *a = &l->arranged;
	struct ctl ctl = {.global = &l->global,
			  .options = &l->own,
			  .conf = conf,
			  .shm = conf->shm,
			  .bad_conf = bad_conf};
	int r, written;

	r = new_writer(&out, &l->global, stdout);
	if (r < 0)
		return ctl_fail(CTL_FAILED, "Cannot begin: %s", strerror(-r));
	ctl.out = out;
	r = a->command->run(&ctl, a->own_count - a->own_operand, a->own + a->own_operand);
	if (r < 0)
		r = ctl_fail(CTL_FAILED, "%s: %s", a->command->name, strerror(-r));
	written = writer_done(out);
	if (written < 0 && written != -EPIPE)
		r = ctl_fail(CTL_FAILED, "Cannot write: %s", strerror(-written));
	return r;
}

/* Without any file: what there is to find running programs with when the files are bad. */
static int
load_without_files(const struct line *l, struct conf *ret_conf)
{
	const struct text nothing = TEXT("");
	struct conf_source source = options_source(&l->global, NULL);

	source.bytes = &nothing;
	source.report = source.warn = NULL; /* it was said */
	return conf_load(ret_conf, &source);
}

/* The settings, then the command. */
static int
load_and_run(const struct line *l)
{
	CLEANUP(conf_done) struct conf conf = {};
	const struct command *command = l->arranged.command;
	int r, bad;

	bad = options_load(&l->global, NULL, &conf, stdout);
	if (bad == OPTIONS_E_CONFIG && command && command->takes_bad_conf &&
	    load_without_files(l, &conf) != 0)
		return options_exit_code(bad);
	if (bad < 0)
		return CTL_FAILED; /* said */
	if (bad > 0 && !(command && command->takes_bad_conf))
		return options_exit_code(bad);
	if (!command)
		return fail_unknown(&l->arranged);
	r = check_operands(&l->arranged);
	return r ? r : run_command(l, &conf, bad != 0);
}

int
ctl_run(int argc, char **argv)
{
	CLEANUP(line_done) struct line l = {};
	int r;

	errno = 0;
	log_open("herdctl", NULL);
	r = arrange(&l.arranged, commands, entries, argc, argv);
	if (r == 0)
		r = parse_global(&l);
	if (r == 0 && !l.arranged.command && !l.global.check_config)
		return fail_unknown(&l.arranged);
	if (r == 0 && l.arranged.command)
		r = parse_own(&l);
	if (r == -EIO && errno == EPIPE)
		return CTL_OK; /* --help for a reader that has seen enough */
	if (r < 0)
		return ctl_fail(CTL_FAILED, "Cannot begin: %s", strerror(-r));
	return r ? options_exit_code(r) : load_and_run(&l);
}
