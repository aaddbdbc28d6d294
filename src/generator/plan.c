/*
 * Plan: from settings to units.
 *
 * A unit file is a program for the service manager, run as root, so nothing
 * from the settings gets into one unless it stands for itself there: "%" is
 * doubled, and what could end a line, or go on with the next one, becomes "?".
 * The roster has refused such addresses and paths before; this is the second
 * lock on the same door.
 */
#include "generator/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/cleanup.h"

#define DROP_IN "50-herd.conf"
#define TARGET	"herd.target.wants"
#define REPORT	"herd-generator.service"
#define HELPER	"herd-flood.service"
/* systemd reads of drop-ins of one name only the member's own, so this one has another. */
#define MEMBERS_DROP_IN "herd@.service.d/50-herd-keys.conf"

enum {
	UNIT_MAX = 1 << 20,
	NOFILE_UNIT = 524288, /* what herd@.service says without us */
	NOFILE_MAX = 1 << 20, /* fs.nr_open as the kernel has it */
	NOFILE_ELSE = 4096,   /* all that is no connection */
};

static const char head[] = "# herd-generator made this from the settings: change those, see herd.conf(5).\n";

/* --- text of units ------------------------------------------------------------------ */

static int
put(struct buffer *out, const char *text)
{
	return buffer_append(out, text_of(text));
}

/* Text from outside, so that it stands for itself. */
static int
put_value(struct buffer *out, struct text t)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t.len; i++) {
		unsigned char c = (unsigned char)t.at[i];

		if (c == '%')
			r = put(out, "%%");
		else if (c < ' ' || c == 0x7f || c == '\\')
			r = put(out, "?");
		else
			r = buffer_append(out, (struct text){&t.at[i], 1});
	}
	return r;
}

/* KEY=VALUE */
static int
put_line(struct buffer *out, const char *key, struct text value)
{
	int r = put(out, key);

	if (r == 0)
		r = put(out, "=");
	if (r == 0)
		r = put_value(out, value);
	return r == 0 ? put(out, "\n") : r;
}

static int
put_number(struct buffer *out, const char *key, uint64_t value)
{
	char digits[20];

	return put_line(out, key, (struct text){digits, (size_t)(text_put_u64(digits, value) - digits)});
}

/* Where the section stands: `systemctl status` then says when that file changed after the daemon-reload. */
static int
put_source(struct buffer *out, const struct conf_entry *e)
{
	const char *colon = e->origin ? strrchr(e->origin, ':') : NULL;
	struct text path = {e->origin, colon ? (size_t)(colon - e->origin) : 0};

	if (path.len == 0 || path.at[0] != '/' || memchr(path.at, '\\', path.len))
		return 0;
	for (size_t i = 0; i < path.len; i++)
		if ((unsigned char)path.at[i] <= ' ' || (unsigned char)path.at[i] >= 0x7f)
			return 0; /* it is only a service to people */
	return put_line(out, "SourcePath", path);
}

static int
put_head(struct buffer *out, const struct conf_entry *e, const char *section)
{
	int r = put(out, head);

	if (r == 0)
		r = put(out, "[Unit]\n");
	if (r == 0)
		r = put_source(out, e);
	return r == 0 ? put(out, section) : r;
}

/* --- items ---------------------------------------------------------------------------- */

struct draft {
	struct plan plan;
	size_t room;
	const struct conf_roster *roster;
	size_t entry;	      /* whose items come next */
	uint64_t connections; /* that all members may have together */
};

void
plan_done(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		free(plan->at[i].text);
	free(plan->at);
	*plan = (struct plan){0};
}

static void
draft_done(struct draft *d)
{
	plan_done(&d->plan);
}

static const struct conf_entry *
member_of(const struct draft *d)
{
	return &d->roster->at[d->entry];
}

/* FRONT NAME BACK is its path. Takes the text over when it returns 0. */
static int
add(struct draft *d, const char *front, const char *back, char *text, const char *target)
{
	struct plan_item *item;

	if (d->plan.count == d->room) {
		size_t room = d->room ? 2 * d->room : 16;
		struct plan_item *at = reallocarray(d->plan.at, room, sizeof(*at));

		if (!at)
			return -ENOMEM;
		d->plan.at = at;
		d->room = room;
	}
	item = &d->plan.at[d->plan.count];
	*item = (struct plan_item){.text = text, .target = target, .entry = d->entry};
	if (snprintf(item->path, sizeof(item->path), "%s%s%s", front, member_of(d)->name, back) >=
	    (int)sizeof(item->path))
		return -ENAMETOOLONG;
	d->plan.count++;
	return 0;
}

static int
add_file(struct draft *d, const char *front, const char *back, struct buffer *out)
{
	int r = buffer_append(out, (struct text){"", 1}); /* its NUL */

	if (r == 0)
		r = add(d, front, back, out->bytes, NULL);
	if (r == 0)
		*out = (struct buffer){0}; /* which is the item's now */
	return r;
}

/* --- sockets --------------------------------------------------------------------------- */

static int
put_addresses(struct buffer *out, const char *key, const struct conf_addresses *addresses)
{
	bool six = false;
	char text[ADDRESS_TEXT_MAX];
	int r = 0;

	for (size_t i = 0; i < addresses->count; i++)
		six |= addresses->at[i].socket.ss_family == AF_INET6;
	/* As sockets that members bind themselves: [::] leaves IPv4 to somebody else. */
	if (six)
		r = put(out, "BindIPv6Only=ipv6-only\n");
	for (size_t i = 0; r == 0 && i < addresses->count; i++)
		r = put_line(
			out, key,
			text_of(address_format((const struct sockaddr *)&addresses->at[i].socket, text)));
	return r;
}

/* Besides the socket that every member has. */
static int
put_paths(struct buffer *out, const struct conf_entry *e)
{
	char standing[CONF_STANDING_MAX];
	int r = 0;

	conf_standing_path(e->name, standing);
	for (size_t i = 0; r == 0 && i < e->conf.unix_paths.count; i++)
		if (strcmp(e->conf.unix_paths.at[i], standing) != 0)
			r = put_line(out, "ListenStream", text_of(e->conf.unix_paths.at[i]));
	return r;
}

static int
plan_stream(struct draft *d)
{
	CLEANUP(buffer_done) struct buffer out = {.max = UNIT_MAX};
	const struct conf_entry *e = member_of(d);
	int r = put_head(&out, e, "[Socket]\n");

	if (r == 0)
		r = put_addresses(&out, "ListenStream", &e->conf.listen);
	if (r == 0)
		r = put_paths(&out, e);
	return r == 0 ? add_file(d, "herd@", ".socket.d/" DROP_IN, &out) : r;
}

static int
plan_datagram(struct draft *d)
{
	CLEANUP(buffer_done) struct buffer out = {.max = UNIT_MAX};
	const struct conf_entry *e = member_of(d);
	int r;

	if (e->conf.udp.count == 0)
		return 0;
	r = put_head(&out, e, "[Socket]\nListenDatagram=\n"); /* instead of the template's own */
	if (r == 0)
		r = put_addresses(&out, "ListenDatagram", &e->conf.udp);
	return r == 0 ? add_file(d, "herd-udp@", ".socket.d/" DROP_IN, &out) : r;
}

/* --- services --------------------------------------------------------------------------- */

/* Replies of the local provider never wait for anything. */
static uint64_t
services_memory(const struct conf *conf)
{
	const uint64_t replies = (uint64_t)conf->connections_max * conf->places_pending_max;
	bool is_asked = false;

	for (size_t i = 0; i < conf->places_providers.count; i++)
		is_asked |= strcmp(conf->places_providers.at[i], "local") != 0;
	if (!is_asked)
		return 0;
	return conf->places_cache_size +
	       4 * (uint64_t)conf->places_connections_max * conf->places_answer_max + replies * (24 << 10);
}

uint64_t
plan_memory_max(const struct conf *conf)
{
	const struct table_options table = conf_table_options(conf);
	uint64_t connection = ((96 + 320) << 10) + 2 * (uint64_t)conf->line_max + conf->work_max +
			      conf->unsent_max;

	return (UINT64_C(64) << 20) + 2 * table_bytes(&table) + conf->connections_max * connection +
	       services_memory(conf);
}

/* Descriptors on their way from one process to the next at a restart are counted against the user that all
   members run as: each of them needs room for those of all. */
static int
put_descriptors(struct buffer *out, uint64_t connections)
{
	uint64_t needed = 2 * connections + NOFILE_ELSE;

	if (needed <= NOFILE_UNIT)
		return 0;
	return put_number(out, "LimitNOFILE", needed < NOFILE_MAX ? needed : NOFILE_MAX);
}

static int
plan_service(struct draft *d)
{
	CLEANUP(buffer_done) struct buffer out = {.max = UNIT_MAX};
	const struct conf_entry *e = member_of(d);
	int r = put_head(&out, e, "[Service]\n");

	if (r == 0 && e->conf.udp.count > 0) {
		r = put(&out, "Sockets=herd-udp@");
		if (r == 0)
			r = put(&out, e->name);
		if (r == 0)
			r = put(&out, ".socket\n");
	}
	if (r == 0)
		r = put_number(&out, "MemoryMax", plan_memory_max(&e->conf));
	if (r == 0)
		r = put_descriptors(&out, d->connections);
	return r == 0 ? add_file(d, "herd@", ".service.d/" DROP_IN, &out) : r;
}

/* --- members ------------------------------------------------------------------------------ */

static int
plan_wants(struct draft *d)
{
	int r = add(d, TARGET "/herd@", ".socket", NULL, HERD_UNITDIR "/herd@.socket");

	if (r == 0 && member_of(d)->conf.udp.count > 0)
		r = add(d, TARGET "/herd-udp@", ".socket", NULL, HERD_UNITDIR "/herd-udp@.socket");
	return r == 0 ? add(d, TARGET "/herd@", ".service", NULL, HERD_UNITDIR "/herd@.service") : r;
}

/* Whoever looks at it, or starts it all the same, reads why it is not what the settings say. */
static int
plan_left_out(struct draft *d)
{
	CLEANUP(buffer_done) struct buffer out = {.max = UNIT_MAX};
	CLEANUP(buffer_done) struct buffer why = {.max = UNIT_MAX};
	const struct conf_entry *e = member_of(d);
	int r = put_head(&out, e, "");

	if (r == 0)
		r = put(&why, "Herd member ");
	if (r == 0)
		r = put(&why, e->name);
	if (r == 0)
		r = put(&why, " (left out: ");
	if (r == 0)
		r = put(&why, e->left_out);
	if (r == 0)
		r = put(&why, ")");
	if (r == 0)
		r = put_line(&out, "Description", (struct text){why.bytes, why.len});
	return r == 0 ? add_file(d, "herd@", ".service.d/" DROP_IN, &out) : r;
}

static int
plan_member(struct draft *d)
{
	int r;

	if (member_of(d)->left_out)
		return plan_left_out(d);
	r = plan_stream(d);
	if (r == 0)
		r = plan_datagram(d);
	if (r == 0)
		r = plan_service(d);
	return r == 0 ? plan_wants(d) : r;
}

/* --- for those that are no member ------------------------------------------------------------ */

static int
make_room(struct plan *plan, size_t items)
{
	struct plan_item *at = reallocarray(plan->at, plan->count + items, sizeof(*at));

	if (!at)
		return -ENOMEM;
	plan->at = at;
	return 0;
}

bool
plan_path_fits(const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)path[i] < ' ' || path[i] == 0x7f || path[i] == '\\')
			return false;
	return len > 1 && path[0] == '/' && path[len - 1] != '/' && path[len - 1] != ' ' &&
	       !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../") &&
	       strcmp(strrchr(path, '/'), "/.") != 0 && strcmp(strrchr(path, '/'), "/..") != 0;
}

static int
put_secret(struct buffer *out, const char *name, const char *path)
{
	int r = path ? put(out, "LoadCredential=") : 0;

	if (!path)
		return 0;
	if (r == 0)
		r = put(out, name);
	if (r == 0)
		r = put(out, ":");
	if (r == 0)
		r = put_value(out, text_of(path));
	return r == 0 ? put(out, "\n") : r;
}

/*
 * In a drop-in, and only for files that are there: systemd 252 does not start
 * a service whose credential it cannot find.
 */
int
plan_add_secrets(struct plan *plan, size_t whose, const struct plan_secret *secrets, size_t count)
{
	CLEANUP(buffer_done) struct buffer out = {.max = UNIT_MAX};
	struct plan_item item = {.entry = whose};
	size_t there = 0;
	int r;

	snprintf(item.path, sizeof(item.path), "%s",
		 whose == PLAN_HELPER ? HELPER ".d/" DROP_IN : MEMBERS_DROP_IN);
	r = put(&out, head);
	if (r == 0)
		r = put(&out, "[Service]\n");
	for (size_t i = 0; i < count && r == 0; i++) {
		there += secrets[i].path != NULL;
		r = put_secret(&out, secrets[i].credential, secrets[i].path);
	}
	if (there == 0)
		return 0;
	if (r < 0 || buffer_append(&out, (struct text){"", 1}) < 0 || make_room(plan, 1) < 0)
		return -ENOMEM;
	item.text = out.bytes;
	out = (struct buffer){0};
	plan->at[plan->count++] = item;
	return 0;
}

/*
 * At boot there is no journal yet. What the generator said then is in the
 * kernel's log, without its fields, or in a container nowhere; whoever looks
 * at a member's status would not find it.
 */
int
plan_add_report(struct plan *plan)
{
	static const char text[] =
		"# herd-generator made this: there was no journal to tell what is wrong with the settings.\n"
		"[Unit]\n"
		"Description=Tell what is wrong with the settings of the herd\n"
		"Documentation=man:herd-generator(8) man:herd.conf(5)\n"
		"[Service]\n"
		"Type=oneshot\n"
		"ExecStart=" HERD_GENERATORDIR "/herd-generator --check\n"
		"SuccessExitStatus=78\n"
		"StandardOutput=null\n"
		"StandardError=journal\n"
		"Slice=herd.slice\n"
		"TimeoutStartSec=30s\n"
		"ProtectSystem=strict\n"
		"PrivateDevices=yes\n"
		"PrivateNetwork=yes\n"
		"NoNewPrivileges=yes\n"
		"CapabilityBoundingSet=CAP_DAC_READ_SEARCH\n";
	struct plan_item report = {.path = REPORT, .entry = PLAN_NOBODY};
	struct plan_item wanted = {.path = TARGET "/" REPORT, .target = "../" REPORT, .entry = PLAN_NOBODY};

	report.text = strdup(text);
	if (!report.text || make_room(plan, 2) < 0) {
		free(report.text);
		return -ENOMEM;
	}
	plan->at[plan->count++] = report;
	plan->at[plan->count++] = wanted;
	return 0;
}

int
plan_make(struct plan *ret, const struct conf_roster *roster)
{
	CLEANUP(draft_done) struct draft d = {.roster = roster};
	int r = 0;

	for (size_t i = 0; i < roster->count; i++)
		if (!roster->at[i].left_out)
			d.connections += roster->at[i].conf.connections_max;
	for (; r == 0 && d.entry < roster->count; d.entry++)
		r = plan_member(&d);
	if (r < 0)
		return -ENOMEM; /* nothing else can happen: names are short, texts far below their bound */
	*ret = d.plan;
	d.plan = (struct plan){0};
	return 0;
}
