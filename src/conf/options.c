/*
 * getopt_long() does the splitting; tables say what there is. An option that
 * names a setting becomes one more --set, so the settings table alone decides
 * what its value may be, and what beats what.
 */
#include "config.h"

#include "conf/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/utf8.h"
#include "conf/hosts.h"
#include "herd/events.h"

enum {
	OPTION_OWN = 256, /* plus the index: what getopt_long() returns for a program's own option */
	OPTION_CONFIG = OPTION_OWN + OPTIONS_OWN_MAX,
	OPTION_SET,
	OPTION_CHECK_CONFIG,
	OPTION_VERSION,
	OPTION_HELP,
};

/* The last one is all that a plain program has. */
static const struct {
	const char *name, *argument, *help;
	int value;
} commons[] = {
	{"config", "FILE", "Read settings from FILE and FILE.d/*.conf", OPTION_CONFIG},
	{"set", "KEY=VALUE", "Change a setting, whatever the files say; KEY is NAME or SECTION.NAME",
	 OPTION_SET},
	{"check-config", NULL, "Check the settings, say what is wrong with them, and exit",
	 OPTION_CHECK_CONFIG},
	{"version", NULL, "Print the version and exit", OPTION_VERSION},
	{"help", NULL, "Print this text and exit", OPTION_HELP},
};

enum { COMMONS = sizeof(commons) / sizeof(commons[0]) };

static size_t
first_common(const struct options_program *program)
{
	return program->plain ? COMMONS - 1 : 0;
}

static size_t
count_entries(const struct options_program *program)
{
	size_t count = 0;

	while (program->entries && program->entries[count].name)
		count++;
	assert(count <= OPTIONS_OWN_MAX);
	return count;
}

/* --- help ------------------------------------------------------------------ */

static void
help_option(FILE *out, const char *name, const char *argument, const char *help)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s", name, argument ? " " : "", argument ? argument : "");
	fprintf(out, "  %-22s %s\n", left, help);
}

static void
help_setting(FILE *out, const struct conf_setting *s)
{
	const char *text = *s->default_text ? s->default_text : "none";

	fprintf(out, "  %-18s %c %-9s", s->name, s->when == CONF_LIVE ? '*' : ' ', text);
	if (strlen(text) > 9)
		fprintf(out, "\n%33s%s\n", "", s->help);
	else
		fprintf(out, " %s\n", s->help);
}

static void
help_settings(FILE *out, unsigned int sections)
{
	fprintf(out, "\nSettings, their defaults (* takes effect on SIGHUP), read from\n%s:\n",
		CONF_FILE " and herd.conf.d/*.conf");
	for (size_t id = 0; id < CONF_ID_COUNT; id++) {
		const struct conf_setting *s = &conf_settings[id];

		if (!(s->section & sections))
			continue;
		if (id == 0 || s->section != s[-1].section)
			fprintf(out, " [%s]\n",
				s->section == CONF_SECTION_MEMBER ? "member NAME] or [herd"
								  : conf_section_name(s->section));
		help_setting(out, s);
	}
}

static void
help(FILE *out, const struct options_program *program)
{
	fprintf(out, "Usage: %s [OPTION]...%s%s\n%s\n\nOptions:\n", program->name,
		program->operands ? " " : "", program->operands ? program->operands : "", program->summary);
	for (size_t i = 0; i < count_entries(program); i++)
		help_option(out, program->entries[i].name, program->entries[i].argument,
			    program->entries[i].help);
	for (size_t i = first_common(program); i < COMMONS; i++)
		help_option(out, commons[i].name, commons[i].argument, commons[i].help);
	if (program->sections)
		help_settings(out, program->sections);
	if (program->more)
		fprintf(out, "\n%s\n", program->more);
}

static int
answered(FILE *out)
{
	return fflush(out) < 0 || ferror(out) ? -EIO : OPTIONS_E_ANSWERED;
}

/* --- what was given ------------------------------------------------------------ */

static int
usage(const struct options_program *program, FILE *err, const char *what, const char *which)
{
	char shown[128];

	utf8_escape(text_of(which), shown, sizeof(shown));
	fprintf(err, "%s: %s '%s'\nTry '%s --help'.\n", program->name, what, shown, program->name);
	return OPTIONS_E_USAGE;
}

/* Becomes one more setting from the command line; option without its dashes. */
static int
add_set(struct options *o, const char *option, struct text key, const char *value, FILE *err)
{
	struct conf_set *sets, set = {.value = value};
	char *dashed = NULL;

	if (o->set_count >= OPTIONS_SET_MAX)
		return usage(o->program, err, "too many settings from", value);
	sets = reallocarray(o->sets, o->set_count + 1, sizeof(*sets));
	if (!sets)
		return -ENOMEM;
	o->sets = sets;
	set.key = strndup(key.at, key.len);
	set.option = asprintf(&dashed, "--%s", option) < 0 ? NULL : dashed;
	o->sets[o->set_count++] = set;
	return set.key && set.option ? 0 : -ENOMEM;
}

/* --set KEY=VALUE */
static int
take_set(struct options *o, const char *argument, FILE *err)
{
	const char *equals = strchr(argument, '=');

	if (!equals || equals == argument)
		return usage(o->program, err, "--set wants KEY=VALUE, not", argument);
	return add_set(o, "set", (struct text){argument, (size_t)(equals - argument)}, equals + 1, err);
}

static int
take_own(struct options *o, size_t index, const char *argument, FILE *err)
{
	const struct options_entry *entry = &o->program->entries[index];

	o->values[index] = argument ? argument : "";
	return entry->setting ? add_set(o, entry->name, text_of(entry->setting), o->values[index], err) : 0;
}

/* A complaint of getopt_long() in our own words. */
static int
misused(const struct options *o, int c, char **argv, FILE *err)
{
	char shorty[3] = {'-', (char)optopt, '\0'};

	if (optopt != 0 && optopt < OPTION_OWN) /* negative: a char */
		return usage(o->program, err, "unknown option", shorty);
	if (c == ':')
		return usage(o->program, err, "an argument is missing after", argv[optind - 1]);
	if (optopt != 0)
		return usage(o->program, err, "no argument is wanted in", argv[optind - 1]);
	return usage(o->program, err, "unknown or ambiguous option", argv[optind - 1]);
}

static int
take_option(struct options *o, int c, char **argv, FILE *out, FILE *err)
{
	switch (c) {
	case OPTION_CONFIG:
		o->config = optarg;
		return 0;
	case OPTION_SET:
		return take_set(o, optarg, err);
	case OPTION_CHECK_CONFIG:
		o->check_config = true;
		return 0;
	case OPTION_VERSION:
		fprintf(out, "%s %s\n", o->program->name, PACKAGE_VERSION);
		return answered(out);
	case OPTION_HELP:
		help(out, o->program);
		return answered(out);
	default:
		return misused(o, c, argv, err);
	}
}

int
options_parse(struct options *ret, const struct options_program *program, int argc, char **argv, FILE *out,
	      FILE *err)
{
	CLEANUP(options_done) struct options o = {.program = program};
	struct option longs[OPTIONS_OWN_MAX + COMMONS + 1] = {{0}};
	size_t own = count_entries(program), count = 0;
	int c, r;

	for (; count < own; count++)
		longs[count] = (struct option){program->entries[count].name,
					       program->entries[count].argument ? required_argument
										: no_argument,
					       NULL, OPTION_OWN + (int)count};
	for (size_t i = first_common(program); i < COMMONS; i++)
		longs[count++] = (struct option){commons[i].name,
						 commons[i].argument ? required_argument : no_argument, NULL,
						 commons[i].value};
	optind = 0; /* starts getopt_long() over */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:", longs, NULL)) != -1) {
		if (c >= OPTION_OWN && c < OPTION_OWN + OPTIONS_OWN_MAX)
			r = take_own(&o, (size_t)(c - OPTION_OWN), optarg, err);
		else
			r = take_option(&o, c, argv, out, err);
		if (r != 0)
			return r;
	}
	if (optind < argc && !program->operands)
		return usage(program, err, "unexpected argument", argv[optind]);
	o.operand = optind;
	*ret = o;
	o = (struct options){0};
	return 0;
}

void
options_done(struct options *o)
{
	for (size_t i = 0; i < o->set_count; i++) {
		free((char *)o->sets[i].key);
		free((char *)o->sets[i].option);
	}
	free(o->sets);
	memset(o, 0, sizeof(*o));
}

const char *
options_value(const struct options *o, const char *name)
{
	for (size_t i = 0; i < count_entries(o->program); i++)
		if (strcmp(o->program->entries[i].name, name) == 0)
			return o->values[i];
	abort(); /* a bug: the program has no such option */
}

/* --- settings --------------------------------------------------------------------- */

static void
report(void *user, const char *message)
{
	(void)user;
	log_error("%s", message);
}

/* --check-config wants everything to be right; who starts is not stopped by what is not meant for it. */
static void
warn(void *user, const char *message)
{
	(void)user;
	log_warning("%s; going on, only that member is concerned", message);
}

struct conf_source
options_source(const struct options *o, const char *member)
{
	return (struct conf_source){
		.file = o->config,
		.member = member,
		.sections = o->program->sections,
		.sets = o->sets,
		.set_count = o->set_count,
		.report = report,
		.forgive = !o->check_config,
		.warn = warn,
	};
}

/* The list of hosts may be a file of its own. */
static int
check_hosts(const struct conf *conf)
{
	CLEANUP(hosts_done) struct hosts hosts = {0};
	char why[HOSTS_WHY_MAX];
	int r = hosts_read_known(&hosts, conf, why);

	if (r == -ENOMEM)
		return r;
	if (r != 0)
		log_error("%s", why);
	return r == 0 ? 0 : OPTIONS_E_CONFIG;
}

int
options_load(const struct options *o, const char *member, struct conf *ret_conf, FILE *out)
{
	struct conf_source source = options_source(o, member);
	int r;

	r = conf_load(ret_conf, &source);
	if (r < 0)
		return log_error_r(r, "Cannot load the settings");
	if (r > 0)
		return OPTIONS_E_CONFIG;
	log_set_level(ret_conf->log_level);
	if (!o->check_config)
		return 0;
	r = check_hosts(ret_conf);
	if (r != 0)
		return r;
	fprintf(out, "The settings are valid.\n");
	return answered(out);
}

static void
log_changes(const struct conf *conf, const struct conf_changes *changes)
{
	for (enum conf_id id = 0; id < CONF_ID_COUNT; id++) {
		CLEANUP(buffer_done) struct buffer value = {.max = 4096};

		if (changes->needs_restart[id])
			log_notice("Setting '%s' has changed: it takes effect with a restart",
				   conf_settings[id].name);
		if (changes->changed[id] && conf_value_format(conf, id, &value) == 0)
			log_info("Setting '%s' is now %.*s (%s)", conf_settings[id].name, (int)value.len,
				 value.bytes, conf_origin(conf, id));
		else if (changes->changed[id])
			log_info("Setting '%s' has changed (%s)", conf_settings[id].name,
				 conf_origin(conf, id));
	}
	log_event(LOG_NOTICE, MSG_SETTINGS_LOADED,
		  LOG_FIELDS("HERD_CHANGED=%u", changes->changed_count, "HERD_NEEDS_RESTART=%u",
			     changes->restart_count),
		  "Settings reloaded");
}

struct listener {
	conf_report_fn *report; /* may be NULL */
	void *user;
};

static void
report_both(void *user, const char *message)
{
	const struct listener *also = user;

	report(NULL, message);
	if (also->report)
		also->report(also->user, message);
}

int
options_reload(const struct options *o, const char *member, struct conf *conf, conf_report_fn *also,
	       void *user, struct conf_changes *ret_changes)
{
	struct conf_source source = options_source(o, member);
	struct listener listener = {also, user};
	struct conf_changes changes;
	int r;

	source.report = report_both;
	source.user = &listener;

	r = conf_reload(conf, &source, &changes);
	if (r != 0) {
		log_event(LOG_ERR, MSG_SETTINGS_REFUSED, LOG_NO_FIELDS,
			  "The new settings are bad: ignoring them, the old ones stay");
		return r < 0 ? r : OPTIONS_E_CONFIG;
	}
	log_set_level(conf->log_level);
	log_changes(conf, &changes);
	*ret_changes = changes;
	return 0;
}

int
options_exit_code(int r)
{
	switch (r) {
	case 0:
	case OPTIONS_E_ANSWERED:
		return EXIT_SUCCESS;
	case OPTIONS_E_USAGE:
		return EX_USAGE;
	case OPTIONS_E_CONFIG:
		return EX_CONFIG;
	default:
		return EXIT_FAILURE;
	}
}
