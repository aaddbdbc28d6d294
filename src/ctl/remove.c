/*
 * herdctl remove: takes away what herdctl add made: the member first, so that
 * nobody serves without settings, then its file, then the units made of it. A
 * member that stands in somebody else's file is that somebody's to remove.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/roster.h"
#include "core/fix.h"
#include "ctl/ctl.h"
#include "ctl/own-file.h"
#include "ctl/systemctl.h"

/* Refuses when it would be a member afterwards. */
static int
judge(const struct ctl *ctl, const char *name)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	struct conf_source source = options_source(ctl->global, NULL);
	const struct conf_entry *e;
	int r;

	source.report = NULL; /* it was told when the command began */
	source.warn = NULL;
	r = conf_roster_load(&roster, &source);
	if (r < 0)
		return r;
	e = conf_roster_find(&roster, name);
	if (e && e->elsewhere)
		return ctl_fail(
			CTL_NO,
			"Member '%s' is in %s, which herdctl does not change: take the section out there, "
			"then 'systemctl stop herd@%s.socket herd@%s' and 'systemctl daemon-reload'",
			name, e->elsewhere, name, name);
	return 0;
}

static int
stop(const char *name)
{
	char service[64], stream[64], datagram[64];
	const char *const arguments[] = {"stop", stream, datagram, service, NULL};

	snprintf(service, sizeof(service), "herd@%s.service", name);
	snprintf(stream, sizeof(stream), "herd@%s.socket", name);
	snprintf(datagram, sizeof(datagram), "herd-udp@%s.socket", name);
	return systemctl(arguments, "nothing was changed");
}

static int
say_fault(const struct own_file *file, int r, const char *unless)
{
	return ctl_fail(CTL_FAILED, "Cannot remove '%s': %s%s; %s", file->path, strerror(-r),
			r == -EACCES || r == -EPERM ? " (herdctl remove needs the rights of root)" : "",
			unless);
}

static int
take_away(const struct ctl *ctl, const char *name, const struct own_file *file)
{
	static const char *const reload[] = {"daemon-reload", NULL};
	bool offline = options_value(ctl->options, "offline");
	int r = own_file_can_remove(file);

	if (r < 0)
		return say_fault(file, r, "nothing was changed");
	r = offline ? 0 : stop(name);
	if (r != 0)
		return r;
	r = own_file_remove(file);
	if (r < 0)
		return say_fault(file, r, offline ? "nothing was changed" : "the member is stopped");
	return offline ? 0 : systemctl(reload, "the member is stopped and its settings are removed");
}

static int
remove_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(own_file_done) struct own_file file = {.folder = -1};
	const char *name = argv[0];
	bool was;
	int r;

	(void)argc;
	if (!fix_server_valid(text_of(name)))
		return ctl_fail(CTL_USAGE,
				"'%s' is no name of a member: 1 to %d letters, digits, '-', '_' and '.'",
				name, HERD_SERVER_MAX);
	r = own_file_open(&file, ctl->global->config, name, false);
	if (r == -EBUSY)
		return ctl_fail(CTL_FAILED, "Another herdctl changes members and does not come to an end");
	if (r < 0)
		return ctl_fail(CTL_FAILED, "Cannot open '%s.d': %s",
				ctl->global->config ? ctl->global->config : CONF_FILE, strerror(-r));
	was = own_file_exists(&file);
	r = judge(ctl, name);
	if (r == 0)
		r = take_away(ctl, name, &file);
	if (r != 0)
		return r;
	writer_object_begin(ctl->out, NULL);
	writer_string(ctl->out, "member", name);
	writer_bool(ctl->out, "changed", was, "yes", "no, there was no such member");
	writer_string(ctl->out, "settings", file.path);
	writer_object_end(ctl->out);
	return 0;
}

const struct command command_remove = {
	.name = "remove",
	.operands = "NAME",
	.help = "Stop a member of this host and take its settings away",
	.more = "Undoes 'herdctl add': stops herd@NAME with its sockets, removes "
		"herd.conf.d/member-NAME.conf,\n"
		"whatever is in it, and has systemd reload. Exit code 1: the member is in another file, "
		"which\n"
		"is named; 2: it cannot be stopped or removed. No such member: 0, nothing changes.",
	.entries =
		(const struct options_entry[]){
			{.name = "offline", .help = "Only change the settings; do not talk to systemd"},
			{0},
		},
	.operands_min = 1,
	.operands_max = 1,
	.run = remove_run,
};
