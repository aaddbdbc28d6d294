/*
 * herd-member: one server of the herd.
 */
#include <stdio.h>

#include "base/log.h"
#include "core/fix.h"
#include "member/member.h"

static const struct options_entry entries[] = {
	{"name", "NAME", NULL, "name of this member: 1 to 23 letters, digits, '-', '_', '.' (required)"},
	{"listen", "ADDR:PORT", "member.listen",
	 "listen for TCP clients; may be repeated, port 0 takes a free one"},
	{"udp", "ADDR:PORT", "udp", "answer datagrams; may be repeated"},
	{"unix", "PATH", "unix", "listen on a Unix stream socket; may be repeated"},
	{"shm", "NAME", "shm", "shared memory of the herd to join"},
	{0},
};

static const struct options_program program = {
	.name = "herd-member",
	.summary = "One server of a herd: takes fixes from clients, answers what is near them.",
	.entries = entries,
	.sections = CONF_SECTION_HERD | CONF_SECTION_MEMBER | CONF_SECTIONS_PLACES,
};

/* The member's name, checked; NULL after saying what is wrong with it. */
static const char *
name_of(const struct options *options)
{
	const char *name = options_value(options, "name");

	if (!name && options->check_config)
		return "check"; /* settings can be checked without saying whose */
	if (!name)
		log_error("--name NAME is missing; see --help");
	else if (!fix_server_valid(text_of(name)))
		log_error("'%s' is no name for a member: want 1 to %d letters, digits, '-', '_', '.'", name,
			  HERD_SERVER_MAX);
	else
		return name;
	return NULL;
}

static int
run(struct options *options, struct notify *notify, struct starts *starts, int argc, char **argv)
{
	CLEANUP(conf_done) struct conf conf = {0};
	CLEANUP(member_freep) struct member *m = NULL;
	const char *name;
	int r;

	r = options_parse(options, &program, argc, argv, stdout, stderr);
	if (r != 0)
		return r;
	name = name_of(options);
	if (!name)
		return OPTIONS_E_USAGE;
	log_open("herd-member", name);
	r = options_load(options, name, &conf, stdout);
	if (r != 0)
		return r;
	r = member_new(&m, options, &conf, name, notify, starts);
	if (r != 0)
		return -1; /* already said why */
	return member_run(m);
}

int
main(int argc, char **argv)
{
	CLEANUP(options_done) struct options options = {0};
	CLEANUP(notify_freep) struct notify *notify = NULL;
	CLEANUP(starts_freep) struct starts *starts = NULL;
	int r;

	log_open("herd-member", NULL);
	r = notify_new(&notify);
	if (r < 0)
		log_error_r(r, "Cannot talk to the service manager, ignoring it");
	starts_begin(&starts, notify, STARTS_BEFORE_WORK);
	r = starts_exit(starts, notify, options_exit_code(run(&options, notify, starts, argc, argv)));
	log_close();
	return r;
}
