/*
 * Roster: all members of the settings, and who gets in whose way.
 *
 * What a member claims is looked up in one tree of all claims before it, so
 * that a file with the most members and addresses there may be costs no more
 * than sorting them. Each address is in there twice: as itself, and as its
 * port, for those who want the port of every address.
 */
#include "conf/roster.h"

#include <errno.h>
#include <netinet/in.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "conf/load.h"
#include "conf/value.h"
#include "core/fix.h"
#include "herd/control.h"

enum {
	WHY_MAX = 8192,
	PATH_SIZE = 4096 + 128, /* of a folder, and of what is in it */
};

/* --- entries ---------------------------------------------------------------------- */

static void
entry_done(struct conf_entry *e)
{
	conf_done(&e->conf);
	free(e->origin);
	free(e->elsewhere);
	free(e->wrong);
	free(e->left_out);
}

void
conf_roster_done(struct conf_roster *roster)
{
	for (size_t i = 0; i < roster->count; i++)
		entry_done(&roster->at[i]);
	free(roster->at);
	conf_done(&roster->conf);
	*roster = (struct conf_roster){0};
}

const struct conf_entry *
conf_roster_find(const struct conf_roster *roster, const char *name)
{
	for (size_t i = 0; i < roster->count; i++)
		if (strcmp(roster->at[i].name, name) == 0)
			return &roster->at[i];
	return NULL;
}

const char *
conf_standing_path(const char *name, char out[CONF_STANDING_MAX])
{
	snprintf(out, CONF_STANDING_MAX, CONF_RUN_DIR "/%s.sock", name);
	return out;
}

/* member: NULL for nobody's. */
static int
take_values(struct conf *conf, struct load *l, struct load_member *member)
{
	int r = 0;

	for (enum conf_id id = 0; r == 0 && id < CONF_ID_COUNT; id++) {
		struct load_layer *from = load_layer_of(l, member, id);

		if (!from) {
			r = conf_set_default(conf, id);
			continue;
		}
		r = value_copy(&conf_settings[id], conf_field(conf, id), conf_field(&from->values, id));
		conf->origin[id] = strdup(from->values.origin[id]);
		if (!conf->origin[id])
			r = -ENOMEM;
	}
	return r;
}

static void
take_string(char **to, char **from)
{
	*to = *from;
	*from = NULL;
}

static int
entry_take(struct conf_entry *e, struct load *l, struct load_member *member)
{
	int r = take_values(&e->conf, l, member);

	memcpy(e->name, member->name, sizeof(e->name));
	take_string(&e->origin, &member->origin);
	take_string(&e->elsewhere, &member->elsewhere);
	take_string(&e->wrong, &member->wrong);
	e->errors = member->errors;
	if (r == 0 && member->unreachable && e->wrong) {
		e->left_out = strdup(e->wrong);
		r = e->left_out ? 0 : -ENOMEM;
	}
	return r;
}

/* --- claims ------------------------------------------------------------------------ */

enum claim_kind { CLAIM_TCP, CLAIM_UDP, CLAIM_PATH };

struct claim {
	enum claim_kind kind;
	sa_family_t family;
	uint16_t port;
	bool whole_port;  /* any address with this port */
	uint8_t host[16]; /* 0: all of them */
	const char *path;
	const struct conf_entry *owner;
	const struct address *address; /* for messages */
};

struct claims {
	void *tree;
	struct claim *at; /* the nodes */
	size_t count, room;
};

static void
keep_node(void *node)
{
	(void)node; /* it is in claims->at */
}

static void
claims_done(struct claims *c)
{
	tdestroy(c->tree, keep_node);
	free(c->at);
}

static int
claim_order(const void *a_, const void *b_)
{
	const struct claim *a = a_, *b = b_;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == CLAIM_PATH)
		return strcmp(a->path, b->path);
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->whole_port != b->whole_port)
		return a->whole_port ? -1 : 1;
	return memcmp(a->host, b->host, sizeof(a->host));
}

static const struct claim *
claims_find(const struct claims *c, const struct claim *like)
{
	void *const *node = tfind(like, &c->tree, claim_order);

	return node ? *node : NULL;
}

/* The first one has it. */
static int
claims_add(struct claims *c, const struct claim *claim)
{
	struct claim *mine = &c->at[c->count];

	if (claims_find(c, claim))
		return 0;
	if (c->count == c->room)
		abort(); /* a bug: it was counted before */
	*mine = *claim;
	if (!tsearch(mine, &c->tree, claim_order))
		return -ENOMEM;
	c->count++;
	return 0;
}

static struct claim
claim_address(const struct conf_entry *owner, enum claim_kind kind, const struct address *a)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&a->socket;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->socket;
	struct claim claim = {
		.kind = kind,
		.family = a->socket.ss_family,
		.port = address_port(a),
		.owner = owner,
		.address = a,
	};

	if (claim.family == AF_INET)
		memcpy(claim.host, &in4->sin_addr, sizeof(in4->sin_addr));
	else
		memcpy(claim.host, &in6->sin6_addr, sizeof(in6->sin6_addr));
	return claim;
}

/* --- why a member cannot have what it wants ------------------------------------------- */

/* What is being looked at: one value of one setting of one member. */
struct want {
	struct conf_entry *entry;
	enum conf_id id;
	int fault; /* -ENOMEM */
};

__attribute__((format(printf, 2, 3))) static void
refuse(struct want *w, const char *format, ...)
{
	char text[WHY_MAX / 2], whole[WHY_MAX], clean[WHY_MAX];
	va_list ap;

	if (w->entry->left_out)
		return; /* the first reason is enough */
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s: setting '%s': %s", conf_origin(&w->entry->conf, w->id),
		 conf_settings[w->id].name, text);
	utf8_escape(text_of(whole), clean, sizeof(clean));
	w->entry->left_out = strdup(clean);
	if (!w->entry->left_out)
		w->fault = -ENOMEM;
}

static const char *
show(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
	return address_format((const struct sockaddr *)&a->socket, out);
}

#define SHOW(a) show(a, (char[ADDRESS_TEXT_MAX]){0})

static const char *
word_of(enum claim_kind kind)
{
	return kind == CLAIM_TCP ? "TCP" : "UDP";
}

/* What the kernel would refuse, or what nobody could connect to afterwards. */
static void
check_address(struct want *w, const struct address *a)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->socket;
	bool six = a->socket.ss_family == AF_INET6;

	if (address_port(a) == 0)
		refuse(w, "%s has another port every time (expected a port from 1 to 65535)", SHOW(a));
	else if (six && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		refuse(w, "%s is an IPv4 address (expected it without [::ffff:])", SHOW(a));
	else if (six && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
		refuse(w, "%s is another host on every link (expected an address without a scope)", SHOW(a));
}

static void
refuse_taken(struct want *w, const struct claim *mine, const struct claim *theirs)
{
	refuse(w, "%s %s is taken by member '%s' (%s, %s)", word_of(mine->kind), SHOW(mine->address),
	       theirs->owner->name, SHOW(theirs->address),
	       conf_origin(&theirs->owner->conf, mine->kind == CLAIM_TCP ? CONF_ID_listen : CONF_ID_udp));
}

static void
check_claim(struct want *w, const struct claims *c, const struct claim *mine)
{
	struct claim like = *mine;
	const struct claim *theirs = claims_find(c, &like);

	if (!theirs) { /* somebody who has the port of every address */
		memset(like.host, 0, sizeof(like.host));
		theirs = claims_find(c, &like);
	}
	if (!theirs && address_is_any(mine->address)) { /* or we do, and somebody has it of one */
		like.whole_port = true;
		theirs = claims_find(c, &like);
	}
	if (theirs)
		refuse_taken(w, mine, theirs);
}

static void
check_addresses(struct want *w, const struct claims *c, enum claim_kind kind,
		const struct conf_addresses *addresses)
{
	for (size_t i = 0; i < addresses->count; i++) {
		const struct address *a = &addresses->at[i];
		const struct claim mine = claim_address(w->entry, kind, a);

		check_address(w, a);
		for (size_t j = 0; j < i; j++)
			if (address_clashes(a, &addresses->at[j]))
				refuse(w, "%s %s and its own %s are the same", word_of(kind), SHOW(a),
				       SHOW(&addresses->at[j]));
		check_claim(w, c, &mine);
	}
}

static int
add_addresses(struct claims *c, const struct conf_entry *e, enum claim_kind kind,
	      const struct conf_addresses *addresses)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < addresses->count; i++) {
		struct claim claim = claim_address(e, kind, &addresses->at[i]);

		r = claims_add(c, &claim);
		claim.whole_port = true;
		memset(claim.host, 0, sizeof(claim.host));
		if (r == 0)
			r = claims_add(c, &claim);
	}
	return r;
}

/* --- paths ------------------------------------------------------------------------------ */

/* A unit reads anything but an absolute path as a port or an abstract name, and takes a backslash at the
   end of a line for a longer line; two spellings of one path would not be seen to be one. */
static bool
is_plain_path(const char *path)
{
	size_t len = strlen(path);

	return path[0] == '/' && path[len - 1] != '/' && !strchr(path, '\\') && !strstr(path, "//") &&
	       !strstr(path, "/./") && !strstr(path, "/../") && strcmp(strrchr(path, '/'), "/.") != 0 &&
	       strcmp(strrchr(path, '/'), "/..") != 0;
}

/* The NAME of CONF_RUN_DIR "/NAME.sock"; an empty text: it is no such path. */
static struct text
standing_name(const char *path)
{
	const struct text front = TEXT(CONF_RUN_DIR "/"), back = TEXT(".sock");
	struct text t = text_of(path);

	if (t.len <= front.len + back.len || memcmp(t.at, front.at, front.len) != 0 ||
	    memcmp(t.at + t.len - back.len, back.at, back.len) != 0)
		return (struct text){"", 0};
	return (struct text){t.at + front.len, t.len - front.len - back.len};
}

/* Where running programs are asked and told, see herd/control.h. */
static bool
is_control_path(const struct conf *conf, const char *path)
{
	char member[PATH_SIZE], helper[PATH_SIZE];
	int len = snprintf(member, sizeof(member), "%s%s" HERD_CONTROL_MEMBER, conf->control_dir, conf->shm);

	snprintf(helper, sizeof(helper), "%s%s" HERD_CONTROL_HELPER, conf->control_dir, conf->shm);
	return strncmp(path, member, (size_t)len) == 0 || strcmp(path, helper) == 0;
}

static void
check_path(struct want *w, const struct claims *c, const char *path)
{
	const struct claim mine = {.kind = CLAIM_PATH, .path = path};
	const struct claim *theirs = claims_find(c, &mine);
	struct text standing = standing_name(path);

	if (!is_plain_path(path))
		refuse(w,
		       "'%s' does not fit into a unit (expected an absolute path without '//', '.', '..' "
		       "and '\\')",
		       path);
	else if (standing.len > 0 && !text_equal(standing, text_of(w->entry->name)) &&
		 fix_server_valid(standing))
		refuse(w, "'%s' is the socket of herd@%.*s.socket", path, (int)standing.len, standing.at);
	else if (is_control_path(&w->entry->conf, path))
		refuse(w, "'%s' is where herdctl asks a program of the herd", path);
	else if (theirs)
		refuse(w, "'%s' is taken by member '%s' (%s)", path, theirs->owner->name,
		       conf_origin(&theirs->owner->conf, CONF_ID_unix_paths));
}

static int
add_paths(struct claims *c, const struct conf_entry *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < e->conf.unix_paths.count; i++) {
		const struct claim claim = {.kind = CLAIM_PATH, .path = e->conf.unix_paths.at[i], .owner = e};

		r = claims_add(c, &claim);
	}
	return r;
}

/* --- all of them --------------------------------------------------------------------------- */

static int
entry_check(struct conf_entry *e, struct claims *c)
{
	struct want w = {.entry = e};
	int r = 0;

	w.id = CONF_ID_listen;
	check_addresses(&w, c, CLAIM_TCP, &e->conf.listen);
	w.id = CONF_ID_udp;
	check_addresses(&w, c, CLAIM_UDP, &e->conf.udp);
	w.id = CONF_ID_unix_paths;
	for (size_t i = 0; i < e->conf.unix_paths.count; i++)
		check_path(&w, c, e->conf.unix_paths.at[i]);
	if (w.fault || e->left_out)
		return w.fault;
	r = add_addresses(c, e, CLAIM_TCP, &e->conf.listen);
	if (r == 0)
		r = add_addresses(c, e, CLAIM_UDP, &e->conf.udp);
	return r == 0 ? add_paths(c, e) : r;
}

static int
roster_check(struct conf_roster *roster)
{
	CLEANUP(claims_done) struct claims c = {0};
	int r = 0;

	for (size_t i = 0; i < roster->count; i++)
		c.room += 2 * (roster->at[i].conf.listen.count + roster->at[i].conf.udp.count) +
			  roster->at[i].conf.unix_paths.count;
	c.at = calloc(c.room + 1, sizeof(*c.at));
	if (!c.at)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < roster->count; i++)
		if (!roster->at[i].left_out)
			r = entry_check(&roster->at[i], &c);
	return r;
}

int
conf_roster_load(struct conf_roster *ret, const struct conf_source *source)
{
	struct conf_source forgiving = *source;
	CLEANUP(load_done) struct load l = {.source = &forgiving, .keep = true};
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	int r;

	forgiving.forgive = true;
	load_read(&l);
	if (l.fault)
		return l.fault;
	roster.at = calloc(l.member_count + 1, sizeof(*roster.at));
	if (!roster.at)
		return -ENOMEM;
	r = take_values(&roster.conf, &l, NULL);
	for (; r == 0 && roster.count < l.member_count; roster.count++)
		r = entry_take(&roster.at[roster.count], &l, &l.members[roster.count]);
	if (r == 0)
		r = roster_check(&roster);
	if (r < 0)
		return r;
	*ret = roster;
	roster = (struct conf_roster){0};
	return 0;
}
