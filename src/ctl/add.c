/*
 * herdctl add: one more member, at once and for good. Its settings become a
 * file of its own; then the service manager makes units of them and starts it.
 *
 * All of it or nothing: what another member would have to give up is refused
 * before anything is written, with the eyes of herd-generator; when systemd
 * does not take it, or it does not start, the file goes again. Saying it twice
 * is no mistake.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "conf/roster.h"
#include "conf/value.h"
#include "core/fix.h"
#include "ctl/ctl.h"
#include "ctl/own-file.h"
#include "ctl/systemctl.h"
#include "net/listen.h"

enum { PORT_FIRST = 12000 };

struct add {
	struct ctl *ctl;
	const char *name;
	struct conf_addresses listen, udp; /* asked for */
	struct own_file file;
	struct conf_roster before;
	struct buffer text; /* of the file */
	bool changed, started;
};

static void
add_done(struct add *a)
{
	value_done(&conf_settings[CONF_ID_listen], &a->listen);
	value_done(&conf_settings[CONF_ID_udp], &a->udp);
	conf_roster_done(&a->before);
	buffer_done(&a->text);
	own_file_done(&a->file);
}

/* --- what is asked for -------------------------------------------------------------- */

static int
take_addresses(struct add *a)
{
	const struct options *o = a->ctl->options;

	for (size_t i = 0; i < o->set_count; i++) {
		bool udp = strcmp(o->sets[i].key, "udp") == 0;
		const struct conf_setting *s = &conf_settings[udp ? CONF_ID_udp : CONF_ID_listen];
		char why[VALUE_WHY_MAX];
		int r = value_parse(s, text_of(o->sets[i].value), udp ? &a->udp : &a->listen, why);

		if (r != 0)
			return r < 0 ? r : ctl_fail(CTL_USAGE, "%s: %s", o->sets[i].option, why);
	}
	return 0;
}

static int
load(const struct add *a, const struct conf_extra *extra, struct conf_roster *ret)
{
	struct conf_source source = options_source(a->ctl->global, NULL);

	source.report = NULL; /* it was told when the command began */
	source.warn = NULL;
	source.extra = extra;
	return conf_roster_load(ret, &source);
}

/* --- a port nobody has ----------------------------------------------------------------- */

static bool
has_port(const struct conf_addresses *addresses, uint16_t port)
{
	for (size_t i = 0; i < addresses->count; i++)
		if (address_port(&addresses->at[i]) == port)
			return true;
	return false;
}

/* By no member, at whatever address, nor by any other program now. */
static bool
is_free(const struct add *a, const struct address *address)
{
	struct listen_socket probe;

	for (size_t i = 0; i < a->before.count; i++)
		if (has_port(&a->before.at[i].conf.listen, address_port(address)))
			return false;
	if (listen_tcp(&probe, address) < 0)
		return false;
	listen_done(&probe);
	return true;
}

static int
pick_address(struct add *a)
{
	for (unsigned int port = PORT_FIRST; port <= UINT16_MAX; port++) {
		char text[32], why[VALUE_WHY_MAX];
		struct address address;

		snprintf(text, sizeof(text), "127.0.0.1:%u", port);
		if (address_parse(text_of(text), &address) == 0 && is_free(a, &address))
			return value_parse(&conf_settings[CONF_ID_listen], text_of(text), &a->listen, why);
	}
	return ctl_fail(CTL_NO, "No port from %d on is free on 127.0.0.1; name one with --listen",
			PORT_FIRST);
}

/* --- a member that is there ---------------------------------------------------------------- */

static bool
same(enum conf_id id, const struct conf_addresses *asked, const struct conf_addresses *has)
{
	return value_equal(&conf_settings[id], asked, has);
}

/* 0: it is what was asked for. */
static int
compare(const struct add *a, const struct conf_entry *e)
{
	/* With --udp alone it once got a port that nobody asked for; any will do. */
	bool listen_differs = a->listen.count > 0 && !same(CONF_ID_listen, &a->listen, &e->conf.listen);
	bool udp_differs = (a->listen.count > 0 || a->udp.count > 0) &&
			   !same(CONF_ID_udp, &a->udp, &e->conf.udp);

	if (listen_differs || udp_differs)
		return ctl_fail(CTL_NO, "Member '%s' is there with other addresses: %s", e->name,
				e->elsewhere ? e->elsewhere : a->file.path);
	if (e->left_out || e->wrong)
		return ctl_fail(CTL_CONFIG, "Member '%s' is there with a mistake: %s", e->name,
				e->left_out ? e->left_out : e->wrong);
	return 0;
}

/* --- a new one ------------------------------------------------------------------------------ */

static int
put_lines(struct buffer *out, const char *key, const struct conf_addresses *addresses)
{
	char line[128], text[ADDRESS_TEXT_MAX];
	int r = 0;

	for (size_t i = 0; r == 0 && i < addresses->count; i++) {
		address_format((const struct sockaddr *)&addresses->at[i].socket, text);
		r = buffer_append(out, (struct text){line, (size_t)snprintf(line, sizeof(line), "%s = %s\n",
									    key, text)});
	}
	return r;
}

static int
write_down(struct add *a)
{
	char head[256];
	int len = snprintf(head, sizeof(head),
			   "# Made by 'herdctl add %s'; 'herdctl remove %s' takes it away.\n[member %s]\n",
			   a->name, a->name, a->name);
	int r;

	a->text.max = 1 << 20;
	r = buffer_append(&a->text, (struct text){head, (size_t)len});
	if (r == 0)
		r = put_lines(&a->text, "listen", &a->listen);
	return r == 0 ? put_lines(&a->text, "udp", &a->udp) : r;
}

/* How it would be. Files are read in the order of their names, so it may come before others and take what
   they have now. */
static int
judge(const struct add *a)
{
	const struct conf_extra extra = {a->file.name, {a->text.bytes, a->text.len}};
	CLEANUP(conf_roster_done) struct conf_roster after = {0};
	const struct conf_entry *e;
	int r = load(a, &extra, &after);

	if (r < 0)
		return r;
	e = conf_roster_find(&after, a->name);
	if (!e)
		return ctl_fail(CTL_NO, "There are too many members; nothing was changed");
	if (e->left_out || e->wrong)
		return ctl_fail(CTL_NO, "Member '%s' would not work: %s; nothing was changed", a->name,
				e->left_out ? e->left_out : e->wrong);
	for (size_t i = 0; i < a->before.count; i++) {
		const struct conf_entry *was = &a->before.at[i];

		e = conf_roster_find(&after, was->name);
		if (!e)
			return ctl_fail(CTL_NO, "There are too many members; nothing was changed");
		if (e->left_out && !was->left_out)
			return ctl_fail(CTL_NO, "Member '%s' would lose an address: %s; nothing was changed",
					e->name, e->left_out);
	}
	return 0;
}

static int
say_fault(const struct add *a, int r)
{
	if (r == -EEXIST)
		return ctl_fail(CTL_NO, "'%s' is there, but has no [member %s]; nothing was changed",
				a->file.path, a->name);
	return ctl_fail(CTL_FAILED, "Cannot write '%s': %s%s; nothing was changed", a->file.path,
			strerror(-r),
			r == -EACCES || r == -EPERM ? " (herdctl add needs the rights of root)" : "");
}

static int
make(struct add *a)
{
	int r = a->listen.count == 0 ? pick_address(a) : 0;

	if (r == 0)
		r = write_down(a);
	if (r == 0)
		r = judge(a);
	if (r != 0)
		return r;
	r = own_file_make(&a->file, (struct text){a->text.bytes, a->text.len});
	if (r < 0)
		return say_fault(a, r);
	a->changed = true;
	return 0;
}

/* --- systemd ----------------------------------------------------------------------------------- */

static const char *const reload[] = {"daemon-reload", NULL};

/* As if nobody had said anything. */
static void
take_back(struct add *a, bool reloaded)
{
	char service[64], stream[64], datagram[64];
	const char *const stop[] = {"stop", stream, datagram, service, NULL};

	snprintf(service, sizeof(service), "herd@%s.service", a->name);
	snprintf(stream, sizeof(stream), "herd@%s.socket", a->name);
	snprintf(datagram, sizeof(datagram), "herd-udp@%s.socket", a->name);
	if (reloaded)
		systemctl_quietly(stop);
	if (own_file_remove(&a->file) < 0)
		log_error("Cannot remove '%s' again", a->file.path);
	systemctl_quietly(reload);
	a->changed = false;
}

static int
tell_systemd(struct add *a)
{
	const char *unless = a->changed ? "nothing was changed" : "the settings are as they were";
	bool reloaded = false;
	char service[64];
	const char *const start[] = {"start", service, NULL};
	int r;

	if (options_value(a->ctl->options, "offline"))
		return 0;
	snprintf(service, sizeof(service), "herd@%s.service", a->name);
	r = systemctl(reload, unless);
	reloaded = r == 0;
	if (r == 0 && !options_value(a->ctl->options, "no-start")) {
		r = systemctl(start, unless);
		a->started = r == 0;
	}
	if (r != 0 && a->changed)
		take_back(a, reloaded);
	return r;
}

/* --- the whole ------------------------------------------------------------------------------------ */

static void
show_addresses(struct writer *w, const char *key, const struct conf_addresses *addresses)
{
	const char *values[64];
	char texts[64][ADDRESS_TEXT_MAX];
	size_t count = 0;

	for (; count < addresses->count && count < 64; count++)
		values[count] = address_format((const struct sockaddr *)&addresses->at[count].socket,
					       texts[count]);
	writer_strings(w, key, values, count);
}

/* As it is now, which for one that was there is not what was asked for. */
static int
show(const struct add *a)
{
	CLEANUP(conf_roster_done) struct conf_roster now = {0};
	struct writer *w = a->ctl->out;
	const struct conf_entry *e;
	int r = load(a, NULL, &now);

	if (r < 0)
		return r;
	e = conf_roster_find(&now, a->name);
	if (!e)
		return ctl_fail(CTL_FAILED, "Member '%s' was removed again meanwhile", a->name);
	writer_object_begin(w, NULL);
	writer_string(w, "member", a->name);
	writer_bool(w, "changed", a->changed, "yes", "no, it was there");
	writer_string(w, "settings", e->origin);
	show_addresses(w, "listen", &e->conf.listen);
	show_addresses(w, "udp", &e->conf.udp);
	writer_bool(w, "started", a->started, "yes", "no");
	writer_object_end(w);
	return 0;
}

static int
add_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(add_done) struct add a = {.ctl = ctl, .name = argv[0], .file = {.folder = -1}};
	const struct conf_entry *e;
	int r;

	(void)argc;
	if (!fix_server_valid(text_of(a.name)))
		return ctl_fail(CTL_USAGE,
				"'%s' is no name of a member: 1 to %d letters, digits, '-', '_' and '.'",
				a.name, HERD_SERVER_MAX);
	r = take_addresses(&a);
	if (r != 0)
		return r;
	r = own_file_open(&a.file, ctl->global->config, a.name, true);
	if (r == -EBUSY)
		return ctl_fail(CTL_FAILED, "Another herdctl changes members and does not come to an end");
	if (r < 0) {
		snprintf(a.file.path, sizeof(a.file.path), "%s.d",
			 ctl->global->config ? ctl->global->config : CONF_FILE);
		return say_fault(&a, r);
	}
	r = load(&a, NULL, &a.before);
	if (r < 0)
		return r;
	e = conf_roster_find(&a.before, a.name);
	r = e ? compare(&a, e) : make(&a);
	if (r == 0)
		r = tell_systemd(&a);
	return r == 0 ? show(&a) : r;
}

const struct command command_add = {
	.name = "add",
	.operands = "NAME",
	.help = "Add a member to this host and start it",
	.more = "Writes herd.conf.d/member-NAME.conf, then has systemd reload and start herd@NAME. Without\n"
		"--listen it takes 127.0.0.1 and the first free port from 12000 on. When systemd does not "
		"take\n"
		"it, or it does not start, the file is removed again. Exit code 1: an address is taken, or "
		"the\n"
		"member is there with others; 2: it cannot be written or started.",
	.entries =
		(const struct options_entry[]){
			{.name = "listen",
			 .argument = "ADDR:PORT",
			 .setting = "member.listen",
			 .help = "A TCP address of it; may be given many times"},
			{.name = "udp",
			 .argument = "ADDR:PORT",
			 .setting = "udp",
			 .help = "A UDP address of it; may be given many times"},
			{.name = "no-start", .help = "Have systemd know it, but do not start it now"},
			{.name = "offline", .help = "Only change the settings; do not talk to systemd"},
			{0},
		},
	.operands_min = 1,
	.operands_max = 1,
	.run = add_run,
};
