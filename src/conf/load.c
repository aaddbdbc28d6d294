/*
 * Load: one reading of all the files, and whose mistake each mistake is.
 *
 * A mistake in [member NAME], or in NAME's own file herd.conf.d/member-NAME.conf,
 * is NAME's: the others can be told to go on without it, because nothing there
 * could have been meant for them. That is also why such a file may hold no
 * other section. Any other mistake is everybody's.
 */
#include "conf/load.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "conf/reader.h"
#include "conf/value.h"
#include "core/fix.h"

enum {
	ERRORS_MAX = 100, /* told; a file of garbage must not fill the log */
	MESSAGE_MAX = 1024,
	DROP_INS_MAX = 2 * LOAD_MEMBERS_MAX,
	PATH_SIZE = 4096,
	WHERE_SIZE = PATH_SIZE + 16,
};

#define NOBODY SIZE_MAX

static void
out_of_memory(struct load *l)
{
	l->fault = -ENOMEM;
}

/* --- members ------------------------------------------------------------------------ */

static size_t
find_member(const struct load *l, struct text name)
{
	for (size_t i = 0; i < l->member_count; i++)
		if (text_equal(text_of(l->members[i].name), name))
			return i;
	return NOBODY;
}

struct load_member *
load_member_find(struct load *l, const char *name)
{
	size_t index = find_member(l, text_of(name));

	return index == NOBODY ? NULL : &l->members[index];
}

/* The member's place, made if there is none yet. NOBODY: there are too many, or no memory. */
static size_t
add_member(struct load *l, struct text name)
{
	size_t index = find_member(l, name), room = l->member_room ? 2 * l->member_room : 8;
	struct load_member *members;

	if (index != NOBODY || l->member_count >= LOAD_MEMBERS_MAX)
		return index;
	if (l->member_count == l->member_room) {
		members = reallocarray(l->members, room, sizeof(*members));
		if (!members) {
			out_of_memory(l);
			return NOBODY;
		}
		l->members = members;
		l->member_room = room;
	}
	memset(&l->members[l->member_count], 0, sizeof(l->members[0]));
	memcpy(l->members[l->member_count].name, name.at, name.len);
	return l->member_count++;
}

/* Remembers where something was, the first time. */
static void
remember(struct load *l, char **where, const char *text)
{
	if (*where)
		return;
	*where = strdup(text);
	if (!*where)
		out_of_memory(l);
}

/* --- complaints ----------------------------------------------------------------------- */

enum whose {
	OF_ALL,	   /* everybody's mistake */
	OF_ONE,	   /* that of the member whose section or own file is being read */
	OF_NOBODY, /* nobody who runs: a name no member can have */
};

static bool
is_source_member(const struct load *l, const char *name)
{
	return l->source->member && strcmp(l->source->member, name) == 0;
}

/* Tells it, unless so much of its kind was told that the rest would only fill the log. */
static void
tell(conf_report_fn *report, void *user, unsigned int *count, const char *message)
{
	if (++*count > ERRORS_MAX || !report)
		return;
	report(user, *count == ERRORS_MAX ? "Too many errors, the rest is not shown" : message);
}

static void
blame_all(struct load *l, const char *message)
{
	tell(l->source->report, l->source->user, &l->fatal, message);
}

/* Somebody else's: it only counts for those who want everything to be right. */
static void
blame_other(struct load *l, const char *message)
{
	if (l->source->forgive)
		tell(l->source->warn ? l->source->warn : l->source->report, l->source->user, &l->forgiven,
		     message);
	else
		blame_all(l, message);
}

static void
blame_member(struct load *l, struct load_member *member, const char *message)
{
	remember(l, &member->wrong, message);
	member->errors++;
	if (l->keep)
		return;
	if (is_source_member(l, member->name))
		blame_all(l, message);
	else
		blame_other(l, message);
}

/* Whose section or file is being read; NOBODY: nobody's. */
static size_t
member_now(struct load *l)
{
	return l->member == NOBODY && l->owner[0] ? add_member(l, text_of(l->owner)) : l->member;
}

/* Tells one error. where: "herd.conf:12". */
__attribute__((format(printf, 4, 5))) static void
complain(struct load *l, enum whose whose, const char *where, const char *format, ...)
{
	char text[MESSAGE_MAX], whole[MESSAGE_MAX + PATH_SIZE], clean[MESSAGE_MAX + PATH_SIZE];
	size_t member = whose == OF_ONE ? member_now(l) : NOBODY;
	bool one_too_many = whose == OF_ONE && l->owner[0] && member == NOBODY;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s: %s", where, text);
	utf8_escape(text_of(whole), clean, sizeof(clean));
	if (member != NOBODY)
		blame_member(l, &l->members[member], clean);
	else if (whose == OF_NOBODY || one_too_many)
		blame_other(l, clean);
	else
		blame_all(l, clean);
}

/* What is wrong in a member's own file outside of its section may have been an address. */
static void
owner_is_unreachable(struct load *l)
{
	size_t member = l->owner[0] ? add_member(l, text_of(l->owner)) : NOBODY;

	if (member != NOBODY)
		l->members[member].unreachable = true;
}

/* --- layers ------------------------------------------------------------------------------ */

static bool
is_reach(const struct conf_setting *s)
{
	return s == &conf_settings[CONF_ID_listen] || s == &conf_settings[CONF_ID_udp] ||
	       s == &conf_settings[CONF_ID_unix_paths];
}

static void
value_is_bad(struct load *l, const struct load_layer *layer, const struct conf_setting *s, const char *where,
	     const char *why)
{
	complain(l, layer == &l->sets ? OF_ALL : OF_ONE, where, "setting '%s': %s", s->name, why);
	if (l->member != NOBODY && is_reach(s))
		l->members[l->member].unreachable = true;
}

/* Puts one value into a layer. */
static void
layer_set(struct load *l, struct load_layer *layer, const struct conf_setting *s, const char *where,
	  const char *value)
{
	size_t id = (size_t)(s - conf_settings);
	void *field = conf_field(&layer->values, id);
	char why[VALUE_WHY_MAX], *origin;
	int r;

	/* Lists add up within a file; an empty value starts them anew. */
	if (value_is_list(s) && (layer->file[id] != l->file_number || *value == '\0'))
		value_done(s, field);
	layer->file[id] = l->file_number;
	r = value_parse(s, text_of(value), field, why);
	if (r > 0)
		value_is_bad(l, layer, s, where, why);
	origin = r == 0 ? strdup(where) : NULL;
	if (r < 0 || (r == 0 && !origin)) {
		out_of_memory(l);
		return;
	}
	if (r == 0) {
		free(layer->values.origin[id]);
		layer->values.origin[id] = origin;
		layer->set[id] = true;
	}
}

struct load_layer *
load_layer_of(struct load *l, struct load_member *member, enum conf_id id)
{
	return l->sets.set[id]			 ? &l->sets
	       : member && member->layer.set[id] ? &member->layer
	       : l->herd.set[id]		 ? &l->herd
						 : NULL;
}

/* --- sections --------------------------------------------------------------------- */

static void
where_is(const struct load *l, unsigned int line, char out[WHERE_SIZE])
{
	snprintf(out, WHERE_SIZE, "%s:%u", l->file, line);
}

static struct text
trim_front(struct text t)
{
	while (t.len > 0 && text_is_space(*t.at)) {
		t.at++;
		t.len--;
	}
	return t;
}

/* False: there can be no member of this name. */
static bool
name_is_good(struct load *l, struct text name, const char *where)
{
	if (fix_server_valid(name))
		return true;
	complain(l, l->owner[0] ? OF_ONE : OF_NOBODY, where,
		 "section %s: '%.*s' is no name of a member (expected 1 to %d letters, digits, "
		 "'-', '_' and '.')",
		 l->heading, (int)(name.len < 64 ? name.len : 64), name.at, HERD_SERVER_MAX);
	return false;
}

/* "member Alpha": takes the layer. False: there is none. */
static bool
enter_member(struct load *l, struct text name, const char *where)
{
	struct load_member *member;
	size_t index;

	if (!name_is_good(l, name, where))
		return false;
	index = add_member(l, name);
	if (index == NOBODY) {
		bool own = l->source->member && text_equal(name, text_of(l->source->member));

		complain(l, own ? OF_ALL : OF_NOBODY, where, "too many members (expected at most %d)",
			 LOAD_MEMBERS_MAX);
		return false;
	}
	member = &l->members[index];
	remember(l, &member->origin, where);
	if (!l->owner[0])
		remember(l, &member->elsewhere, where);
	l->holds = CONF_SECTION_MEMBER;
	l->member = index;
	return true;
}

/* The file of one member holds nothing else, or its mistakes would be everybody's. */
static bool
section_is_strange(struct load *l, struct text member_name, const char *where)
{
	if (!l->owner[0] || text_equal(member_name, text_of(l->owner)))
		return false;
	complain(l, OF_ONE, where, "section %s: in the file of member '%s' (expected [member %s] alone)",
		 l->heading, l->owner, l->owner);
	owner_is_unreachable(l);
	return true;
}

static bool
on_section(void *user, unsigned int line, struct text name)
{
	struct load *l = user;
	struct text member = {"", 0};
	char where[WHERE_SIZE];
	bool is_member;

	where_is(l, line, where);
	snprintf(l->heading, sizeof(l->heading), "[%.*s]", (int)(name.len < 60 ? name.len : 60), name.at);
	l->member = NOBODY;
	l->holds = 0;
	is_member = name.len >= 6 && memcmp(name.at, "member", 6) == 0 &&
		    (name.len == 6 || text_is_space(name.at[6]));
	if (is_member)
		member = trim_front((struct text){name.at + 6, name.len - 6});
	if (section_is_strange(l, member, where))
		return false;
	if (is_member)
		return enter_member(l, member, where);
	l->holds = conf_section_holds(name);
	if (l->holds == 0)
		complain(l, OF_ALL, where,
			 "section %s: unknown (expected [herd], [member NAME], [flood], [places], [places "
			 "google], [places google-legacy] or [places overpass])",
			 l->heading);
	return l->holds != 0;
}

/* What follows it is skipped: it could be anybody's. */
static void
on_bad_section(void *user, unsigned int line, const char *why)
{
	struct load *l = user;
	char where[WHERE_SIZE];

	where_is(l, line, where);
	l->member = NOBODY;
	l->holds = 0;
	complain(l, l->owner[0] ? OF_ONE : OF_ALL, where, "%s", why);
	owner_is_unreachable(l);
}

/* A name that is known elsewhere is mostly in the wrong place, not misspelt. */
static void
unknown_setting(struct load *l, const char *where, const char *name)
{
	const struct conf_setting *elsewhere = conf_setting_in(CONF_SECTIONS, text_of(name));

	if (l->heading[0] == '\0')
		complain(l, OF_ONE, where,
			 "setting '%.64s': outside any section (expected [herd] or another above it)", name);
	else if (elsewhere)
		complain(l, OF_ONE, where, "setting '%.64s': unknown in %s (expected in [%s%s])", name,
			 l->heading, conf_section_name(elsewhere->section),
			 elsewhere->section == CONF_SECTION_MEMBER ? " NAME] or [herd" : "");
	else
		complain(l, OF_ONE, where, "setting '%.64s': unknown in %s", name, l->heading);
	if (l->heading[0] == '\0')
		owner_is_unreachable(l);
}

static void
on_setting(void *user, unsigned int line, const char *name, const char *value)
{
	struct load *l = user;
	const struct conf_setting *s = conf_setting_in(l->holds, text_of(name));
	char where[WHERE_SIZE];

	where_is(l, line, where);
	if (s)
		layer_set(l, l->member == NOBODY ? &l->herd : &l->members[l->member].layer, s, where, value);
	else
		unknown_setting(l, where, name);
}

static void
on_error(void *user, unsigned int line, const char *why)
{
	struct load *l = user;
	char where[WHERE_SIZE];

	where_is(l, line, where);
	complain(l, OF_ONE, where, "%s", why);
	if (l->member == NOBODY)
		owner_is_unreachable(l);
}

/* --- files --------------------------------------------------------------------------- */

/* "member-NAME.conf" in the folder of drop-ins is NAME's own. */
static void
begin_file(struct load *l, const char *path, bool drop_in)
{
	const char *slash = strrchr(path, '/');
	struct text name = text_of(slash ? slash + 1 : path);
	const size_t front = strlen(CONF_OWN_PREFIX), back = strlen(CONF_OWN_SUFFIX);

	l->file = path;
	l->file_number++;
	l->heading[0] = '\0';
	l->owner[0] = '\0';
	l->holds = 0;
	l->member = NOBODY;
	if (!drop_in || name.len <= front + back || memcmp(name.at, CONF_OWN_PREFIX, front) != 0)
		return;
	name = (struct text){name.at + front,
			     name.len - front - back}; /* it ends in .conf, or it was not read */
	if (!fix_server_valid(name))
		return;
	memcpy(l->owner, name.at, name.len);
	l->owner[name.len] = '\0';
}

static void
load_bytes(struct load *l, struct text bytes)
{
	const struct reader reader = {on_section, on_bad_section, on_setting, on_error, l};

	if (reader_read(bytes, &reader) < 0)
		out_of_memory(l);
}

static void
load_file(struct load *l, const char *path, bool drop_in, bool may_be_missing)
{
	CLEANUP(cleanup_free) char *bytes = NULL;
	size_t len;
	int r;

	r = reader_load(path, &bytes, &len);
	if (r == -ENOENT && may_be_missing)
		return;
	begin_file(l, path, drop_in);
	if (r == 0) {
		load_bytes(l, (struct text){bytes, len});
		return;
	}
	if (r == -ENOMEM)
		out_of_memory(l);
	else if (r == -EFBIG)
		complain(l, OF_ONE, path, "the file is too large (expected at most %d bytes)",
			 READER_FILE_MAX);
	else if (r == -EINVAL)
		complain(l, OF_ONE, path, "neither a file nor a device (expected a file)");
	else
		complain(l, OF_ONE, path, "cannot be read: %s", strerror(-r));
	owner_is_unreachable(l);
}

static int
is_drop_in(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* By bytes: the order must not depend on who starts the program in which language. */
static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void
load_drop_in(struct load *l, const char *folder, const char *name, const struct text *bytes)
{
	char path[PATH_SIZE];

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path)) {
		begin_file(l, folder, false);
		complain(l, OF_ALL, folder, "the path of '%.64s' is too long", name);
	} else if (bytes) {
		begin_file(l, path, true);
		load_bytes(l, *bytes);
	} else {
		load_file(l, path, true, false);
	}
}

/* The files of the folder, and the one that is only supposed to be there. */
static void
load_entries(struct load *l, const char *folder, struct dirent **entries, int count)
{
	const struct conf_extra *extra = l->source->extra;

	for (int i = 0; i < count; i++) {
		int order = extra ? strcmp(extra->name, entries[i]->d_name) : 1;

		if (order <= 0) {
			load_drop_in(l, folder, extra->name, &extra->bytes);
			extra = NULL;
		}
		if (order != 0)
			load_drop_in(l, folder, entries[i]->d_name, NULL);
	}
	if (extra)
		load_drop_in(l, folder, extra->name, &extra->bytes);
}

static void
load_drop_ins(struct load *l, const char *file)
{
	char folder[PATH_SIZE];
	struct dirent **entries = NULL;
	int count;

	if (snprintf(folder, sizeof(folder), "%s.d", file) >= (int)sizeof(folder))
		return; /* the file could not be read either */
	begin_file(l, folder, false);
	count = scandir(folder, &entries, is_drop_in, by_name);
	if (count < 0 && errno == ENOMEM)
		out_of_memory(l);
	else if (count < 0 && errno != ENOENT)
		complain(l, OF_ALL, folder, "cannot be read: %s", strerror(errno));
	else if (count > DROP_INS_MAX)
		complain(l, OF_ALL, folder, "too many files (expected at most %d)", DROP_INS_MAX);
	else
		load_entries(l, folder, entries, count < 0 ? 0 : count);
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
}

/* --- the command line ------------------------------------------------------------------ */

/* What a program has itself comes first: --set listen=... means to a member what it means in its section. */
static const struct conf_setting *
setting_of_key(const struct load *l, struct text key)
{
	const struct conf_setting *s = conf_setting_find(key);

	return s ? s : conf_setting_in(l->source->sections, key);
}

static void
load_sets(struct load *l)
{
	char choices[128];

	begin_file(l, "", false);
	for (size_t i = 0; i < l->source->set_count; i++) {
		const struct conf_set *set = &l->source->sets[i];
		const struct conf_setting *s = setting_of_key(l, text_of(set->key));

		if (s)
			layer_set(l, &l->sets, s, set->option, set->value);
		else if (conf_setting_choices(text_of(set->key), choices, sizeof(choices)))
			complain(l, OF_ALL, set->option, "setting '%.64s': there are several (expected %s)",
				 set->key, choices);
		else
			complain(l, OF_ALL, set->option, "setting '%.64s': unknown", set->key);
	}
}

/* --- the whole ---------------------------------------------------------------------------- */

void
load_read(struct load *l)
{
	const char *file = l->source->file ? l->source->file : CONF_FILE;

	if (l->source->bytes) {
		begin_file(l, file, false);
		load_bytes(l, *l->source->bytes);
	} else {
		load_file(l, file, false, !l->source->file);
		load_drop_ins(l, file);
	}
	load_sets(l);
}

void
load_done(struct load *l)
{
	conf_done(&l->herd.values);
	conf_done(&l->sets.values);
	for (size_t i = 0; i < l->member_count; i++) {
		conf_done(&l->members[i].layer.values);
		free(l->members[i].origin);
		free(l->members[i].elsewhere);
		free(l->members[i].wrong);
	}
	free(l->members);
}
