/*
 * herd-generator: systemd runs it at boot and at each daemon-reload, before
 * there is much of a system, and waits for it. So it reads, writes and goes:
 * it asks nobody, waits for nothing, and whatever is wrong ends well, with one
 * member less rather than with a boot that fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "conf/options.h"
#include "generator/plan.h"
#include "generator/write.h"
#include "herd/events.h"

enum { GIVE_UP_S = 30 }; /* a file system that does not answer; systemd would wait for 90 seconds */

static const struct options_entry entries[] = {
	{"output", "DIR", NULL, "Write below DIR; what is wrong goes to stderr"},
	{"check", NULL, NULL, "Write nothing: print what would be written"},
	{0},
};
static const struct options_program program = {
	.name = "herd-generator",
	.summary = "Makes units of the members in herd.conf; systemd runs it.",
	.operands = "[NORMAL [EARLY LATE]]",
	.entries = entries,
	.more = "NORMAL, EARLY and LATE are folders that systemd passes; NORMAL gets the units. The exit "
		"code\n"
		"is then 0 whatever is wrong. Otherwise: 0 all is well; 1 something could not be written;\n"
		"64 wrong usage; 78 something is wrong with the settings.",
};

/* What is being done, and what went wrong with it. */
struct work {
	struct options options;
	struct conf_roster roster;
	struct plan plan;
	bool wrong; /* something in the settings is */
	bool lost;  /* something was not written */
};

static void
work_done(struct work *w)
{
	plan_done(&w->plan);
	conf_roster_done(&w->roster);
	options_done(&w->options);
}

/* --- what is wrong ---------------------------------------------------------------------- */

static void
on_mistake(void *user, const char *message)
{
	struct work *w = user;

	w->wrong = true;
	log_event(LOG_ERR, MSG_SETTINGS_WRONG, LOG_NO_FIELDS, "%s; no program of the herd starts with that",
		  message);
}

static void
on_nobodys_mistake(void *user, const char *message)
{
	struct work *w = user;

	w->wrong = true;
	log_event(LOG_ERR, MSG_SETTINGS_WRONG, LOG_NO_FIELDS, "%s; left out, nothing else is", message);
}

/* With OBJECT_SYSTEMD_UNIT= `systemctl status` and `journalctl -u` of the member show it. */
static void
tell_member(struct work *w, const struct conf_entry *e)
{
	char unit[64], more[64] = "";

	snprintf(unit, sizeof(unit), "herd@%s.service", e->name);
	if (e->errors > 1)
		snprintf(more, sizeof(more), ", and %u more", e->errors - 1);
	w->wrong |= e->wrong || e->left_out;
	if (e->left_out)
		log_event(LOG_ERR, MSG_MEMBER_LEFT_OUT,
			  LOG_FIELDS("HERD_MEMBER=%s", e->name, "OBJECT_SYSTEMD_UNIT=%s", unit),
			  "Member '%s' is left out, it gets no sockets and is not started: %s%s", e->name,
			  e->left_out, more);
	else if (e->wrong)
		log_event(LOG_WARNING, MSG_MEMBER_WRONG,
			  LOG_FIELDS("HERD_MEMBER=%s", e->name, "OBJECT_SYSTEMD_UNIT=%s", unit),
			  "Member '%s' will not start: %s%s", e->name, e->wrong, more);
}

/* systemd removes what is in the way of a Unix socket, be it a socket or somebody's work. */
static int
spare_files(struct conf_entry *e)
{
	const struct conf_paths *paths = &e->conf.unix_paths;
	struct stat st;

	for (size_t i = 0; i < paths->count && !e->left_out; i++)
		if (lstat(paths->at[i], &st) == 0 && !S_ISSOCK(st.st_mode) &&
		    asprintf(&e->left_out, "%s: setting 'unix': '%s' is there and is no socket",
			     conf_origin(&e->conf, CONF_ID_unix_paths), paths->at[i]) < 0) {
			e->left_out = NULL;
			return -ENOMEM;
		}
	return 0;
}

/* A file that is there and that a unit can name; else NULL, and what is wrong with it was said. */
static const char *
secret_at(struct work *w, const char *path, enum conf_id id)
{
	struct stat st;

	if (!*path || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	if (plan_path_fits(path))
		return path;
	w->wrong = true;
	log_event(LOG_ERR, MSG_SETTINGS_WRONG, LOG_NO_FIELDS,
		  "%s: setting '%s': '%s' does not fit into a unit (expected an absolute path without '//', "
		  "'.', "
		  "'..' and '\\'); nobody gets a key from there",
		  conf_origin(&w->roster.conf, id), conf_settings[id].name, path);
	return NULL;
}

static int
plan_helper_secrets(struct work *w)
{
	const struct conf *conf = &w->roster.conf;
	struct plan_secret secrets[] = {
		{"flood.key", NULL},
		{"flood.psk", secret_at(w, conf->flood_psk_file, CONF_ID_flood_psk_file)},
	};
	CLEANUP(cleanup_free) char *key = NULL;

	if (asprintf(&key, "%s/host.key", conf->flood_tls_dir) < 0) {
		key = NULL;
		return -ENOMEM;
	}
	secrets[0].path = secret_at(w, key, CONF_ID_flood_tls_dir);
	return plan_add_secrets(&w->plan, PLAN_HELPER, secrets, 2);
}

/* What a member would refuse to read, it is not handed either. */
static const char *
private_at(struct work *w, const char *path, enum conf_id id)
{
	struct stat st;

	if (!secret_at(w, path, id))
		return NULL;
	if (stat(path, &st) == 0 && !(st.st_mode & (S_IRWXG | S_IRWXO)))
		return path;
	w->wrong = true;
	log_event(
		LOG_ERR, MSG_SETTINGS_WRONG, LOG_NO_FIELDS,
		"%s: setting '%s': others may read or write '%s' (expected mode 0600 or 0400); nobody gets a "
		"key from there",
		conf_origin(&w->roster.conf, id), conf_settings[id].name, path);
	return NULL;
}

/* Those of services that are asked for places. The unit itself looks for the first one in the credential store. */
static int
plan_member_secrets(struct work *w)
{
	const struct conf *conf = &w->roster.conf;
	const struct plan_secret secrets[] = {
		{"google-key", private_at(w, conf->google_key_file, CONF_ID_google_key_file)},
		{"google-legacy-key", private_at(w, conf->legacy_key_file, CONF_ID_legacy_key_file)},
	};

	return plan_add_secrets(&w->plan, PLAN_MEMBERS, secrets, 2);
}

static int
look(struct work *w)
{
	struct conf_source source = options_source(&w->options, NULL);
	int r;

	source.report = on_mistake;
	source.warn = on_nobodys_mistake;
	source.user = w;
	r = conf_roster_load(&w->roster, &source);
	for (size_t i = 0; r == 0 && i < w->roster.count; i++)
		r = spare_files(&w->roster.at[i]);
	for (size_t i = 0; r == 0 && i < w->roster.count; i++)
		tell_member(w, &w->roster.at[i]);
	if (r == 0)
		r = plan_make(&w->plan, &w->roster);
	if (r == 0)
		r = plan_helper_secrets(w);
	return r == 0 ? plan_member_secrets(w) : r;
}

/* --- what comes of it ---------------------------------------------------------------------- */

static void
on_fault(void *user, size_t entry, const char *path, int r)
{
	const struct work *w = user;

	if (entry == PLAN_NOBODY) {
		log_event(LOG_ERR, MSG_UNITS_LOST, LOG_FIELDS("ERRNO=%d", -r),
			  "Cannot write '%s': %s; the journal will not tell what is wrong with the settings",
			  path, strerror(-r));
		return;
	}
	if (entry == PLAN_HELPER) {
		log_event(LOG_ERR, MSG_UNITS_LOST, LOG_FIELDS("ERRNO=%d", -r),
			  "Cannot write '%s': %s; the helper has no key for links to other hosts", path,
			  strerror(-r));
		return;
	}
	if (entry == PLAN_MEMBERS) {
		log_event(LOG_ERR, MSG_UNITS_LOST, LOG_FIELDS("ERRNO=%d", -r),
			  "Cannot write '%s': %s; members have no key of a places service", path,
			  strerror(-r));
		return;
	}
	log_event(LOG_ERR, MSG_UNITS_LOST,
		  LOG_FIELDS("HERD_MEMBER=%s", w->roster.at[entry].name, "ERRNO=%d", -r),
		  "Cannot write '%s': %s; member '%s' is left out", path, strerror(-r),
		  w->roster.at[entry].name);
}

static void
write_below(struct work *w, const char *folder)
{
	CLEANUP(cleanup_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		log_event(LOG_ERR, MSG_UNITS_LOST, LOG_FIELDS("ERRNO=%d", errno),
			  "Cannot write into '%s': %s; there are no members now", folder, strerror(errno));
	w->lost = fd < 0 || !write_plan(fd, &w->plan, on_fault, w);
}

static void
print(struct work *w)
{
	for (size_t i = 0; i < w->plan.count; i++) {
		const struct plan_item *item = &w->plan.at[i];

		if (item->text)
			printf("==> %s\n%s\n", item->path, item->text);
		else
			printf("==> %s -> %s\n", item->path, item->target);
	}
	w->lost = ferror(stdout) != 0 || fflush(stdout) != 0;
	if (w->lost)
		log_error("Cannot write to standard output: not all of it is shown");
}

/* 0, or OPTIONS_E_CONFIG, or -EIO: said. Any other negative errno is not. */
static int
generate(struct work *w, const char *folder)
{
	int r = look(w);

	if (r == 0 && folder && log_missed_journal())
		r = plan_add_report(&w->plan);
	if (r < 0)
		return r;
	if (folder)
		write_below(w, folder);
	else
		print(w);
	return w->wrong ? OPTIONS_E_CONFIG : w->lost ? -EIO : 0;
}

/* --- the process ------------------------------------------------------------------------------- */

static void
on_alarm(int number)
{
	static const char text[] = "herd-generator: a file system does not answer; giving up\n";

	(void)number;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(EXIT_SUCCESS); /* what has its name is whole */
}

/* As systemd calls it. */
static int
boot(struct work *w, const char *folder)
{
	int r;

	if (!isatty(STDERR_FILENO))
		log_open_early("herd-generator", NULL, NULL);
	signal(SIGALRM, on_alarm);
	alarm(GIVE_UP_S);
	r = generate(w, folder);
	if (r < 0 && r != -EIO)
		log_error_r(r, "Cannot make units of the settings; there are no members now");
	return 0;
}

static int
run(struct work *w, int argc, char **argv)
{
	int operands, r;

	r = options_parse(&w->options, &program, argc, argv, stdout, stderr);
	if (r != 0)
		return r;
	log_open("herd-generator", NULL);
	operands = argc - w->options.operand;
	if (w->options.check_config) {
		CLEANUP(conf_done) struct conf conf = {0};

		return options_load(&w->options, NULL, &conf, stdout);
	}
	if (operands >= 1 && operands <= 3)
		return boot(w, argv[w->options.operand]);
	if (operands == 0 && options_value(&w->options, "check"))
		return generate(w, NULL);
	if (operands == 0 && options_value(&w->options, "output"))
		return generate(w, options_value(&w->options, "output"));
	fputs("herd-generator: want --check, --output DIR, or the folders of systemd; see --help\n", stderr);
	return OPTIONS_E_USAGE;
}

int
main(int argc, char **argv)
{
	CLEANUP(work_done) struct work w = {0};
	int r = run(&w, argc, argv);

	log_close();
	return options_exit_code(r);
}
