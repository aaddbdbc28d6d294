/*
 * Settings are read in layers: what [herd], [flood] and [places] say, what each
 * [member NAME] says, what the command line says. Only when everything has been
 * read and nothing was wrong do the layers become one struct, so that a bad
 * file changes nothing, a member's own setting wins wherever it stands, and
 * nobody has to start a program six times to see six mistakes.
 */
#include "conf/conf.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "conf/reader.h"
#include "conf/value.h"
#include "core/fix.h"

const struct conf_setting conf_settings[CONF_ID_COUNT] = {
#define CONF(section_, name_, field_, type_, def_, min_, max_, when_, help_) \
	[CONF_ID_##field_] = {                                               \
		.name = (name_),                                             \
		.default_text = (def_),                                      \
		.help = (help_),                                             \
		.min = (min_),                                               \
		.max = (max_),                                               \
		.offset = offsetof(struct conf, field_),                     \
		.section = CONF_SECTION_##section_,                          \
		.type = CONF_TYPE_##type_,                                   \
		.when = CONF_##when_,                                        \
	},
#include "conf/settings.inc"
#undef CONF
};

#define CONF_SECTIONS (CONF_SECTION_HERD | CONF_SECTION_MEMBER | CONF_SECTION_FLOOD | CONF_SECTION_PLACES)

static void *
field_of(struct conf *conf, size_t id)
{
	return (char *)conf + conf_settings[id].offset;
}

static const void *
field_of_const(const struct conf *conf, size_t id)
{
	return (const char *)conf + conf_settings[id].offset;
}

/* --- names ------------------------------------------------------------------ */

const char *
conf_section_name(enum conf_section section)
{
	switch (section) {
	case CONF_SECTION_HERD:
		return "herd";
	case CONF_SECTION_MEMBER:
		return "member";
	case CONF_SECTION_FLOOD:
		return "flood";
	case CONF_SECTION_PLACES:
		return "places";
	}
	abort();
}

/* Which settings a section may hold; 0: there is no such section. */
static unsigned int
section_holds(struct text name)
{
	if (text_equal(name, TEXT("herd")))
		return CONF_SECTION_HERD | CONF_SECTION_MEMBER;
	for (unsigned int bit = CONF_SECTION_MEMBER; bit & CONF_SECTIONS; bit <<= 1)
		if (text_equal(name, text_of(conf_section_name(bit))))
			return bit;
	return 0;
}

/* The setting of this name in these sections. NULL: none, or several. */
static const struct conf_setting *
find_in(unsigned int sections, struct text name)
{
	const struct conf_setting *found = NULL;

	for (size_t i = 0; i < CONF_ID_COUNT; i++) {
		if (!(conf_settings[i].section & sections) ||
		    !text_equal(text_of(conf_settings[i].name), name))
			continue;
		if (found)
			return NULL;
		found = &conf_settings[i];
	}
	return found;
}

const struct conf_setting *
conf_setting_find(struct text key)
{
	const char *dot = memchr(key.at, '.', key.len);
	size_t section_len = dot ? (size_t)(dot - key.at) : 0;

	if (!dot)
		return find_in(CONF_SECTIONS, key);
	return find_in(section_holds((struct text){key.at, section_len}),
		       (struct text){dot + 1, key.len - section_len - 1});
}

/* --- what one load has read ---------------------------------------------------- */

enum {
	ERRORS_MAX = 100, /* told; a file of garbage must not fill the log */
	MESSAGE_MAX = 1024,
	MEMBERS_MAX = 1024,
	DROP_INS_MAX = 256,
	PATH_SIZE = 4096,
};

struct layer {
	struct conf values;
	bool set[CONF_ID_COUNT];
	unsigned int file[CONF_ID_COUNT]; /* number of the file that set it last */
	char name[HERD_SERVER_MAX + 1];	  /* of a member */
};

struct load {
	const struct conf_source *source;
	struct layer herd, sets;
	struct layer *members;
	size_t member_count, member_room;

	const char *file; /* the one being read, and its number from 1 on */
	unsigned int file_number;
	unsigned int holds; /* what may stand in the section being read */
	size_t member;	    /* whose section it is; SIZE_MAX: nobody's */
	char heading[64];   /* "[member Alpha]", for messages */

	unsigned int errors;
	int fault; /* -ENOMEM */
};

static void
layer_done(struct layer *layer)
{
	conf_done(&layer->values);
}

static void
load_done(struct load *l)
{
	layer_done(&l->herd);
	layer_done(&l->sets);
	for (size_t i = 0; i < l->member_count; i++)
		layer_done(&l->members[i]);
	free(l->members);
}

/* Tells one error. where: "herd.conf:12". */
__attribute__((format(printf, 3, 4))) static void
complain(struct load *l, const char *where, const char *format, ...)
{
	char text[MESSAGE_MAX], whole[MESSAGE_MAX + PATH_SIZE], clean[MESSAGE_MAX + PATH_SIZE];
	va_list ap;

	if (++l->errors > ERRORS_MAX || !l->source->report)
		return;
	if (l->errors == ERRORS_MAX) {
		l->source->report(l->source->user, "Too many errors, the rest is not shown");
		return;
	}
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s: %s", where, text);
	utf8_escape(text_of(whole), clean, sizeof(clean));
	l->source->report(l->source->user, clean);
}

static void
out_of_memory(struct load *l)
{
	l->fault = -ENOMEM;
}

/* Puts one value into a layer. */
static void
layer_set(struct load *l, struct layer *layer, const struct conf_setting *s, const char *where,
	  const char *value)
{
	size_t id = (size_t)(s - conf_settings);
	void *field = field_of(&layer->values, id);
	char why[VALUE_WHY_MAX], *origin;
	int r;

	/* Lists add up within a file; an empty value starts them anew. */
	if (value_is_list(s) && (layer->file[id] != l->file_number || *value == '\0'))
		value_done(s, field);
	layer->file[id] = l->file_number;
	r = value_parse(s, text_of(value), field, why);
	if (r > 0)
		complain(l, where, "setting '%s': %s", s->name, why);
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

/* --- sections --------------------------------------------------------------------- */

/* The layer of a member, made if there is none yet. SIZE_MAX: there cannot be. */
static size_t
member_layer(struct load *l, struct text name, const char *where)
{
	struct layer *layers;

	for (size_t i = 0; i < l->member_count; i++)
		if (text_equal(text_of(l->members[i].name), name))
			return i;
	if (l->member_count >= MEMBERS_MAX) {
		complain(l, where, "too many members (expected at most %d)", MEMBERS_MAX);
		return SIZE_MAX;
	}
	if (l->member_count == l->member_room) {
		size_t room = l->member_room ? 2 * l->member_room : 8;

		layers = reallocarray(l->members, room, sizeof(*layers));
		if (!layers) {
			out_of_memory(l);
			return SIZE_MAX;
		}
		l->members = layers;
		l->member_room = room;
	}
	memset(&l->members[l->member_count], 0, sizeof(l->members[0]));
	memcpy(l->members[l->member_count].name, name.at, name.len);
	return l->member_count++;
}

static void
where_is(const struct load *l, unsigned int line, char out[PATH_SIZE + 16])
{
	snprintf(out, PATH_SIZE + 16, "%s:%u", l->file, line);
}

/* "member Alpha": takes the layer. False: the name is bad. */
static bool
enter_member(struct load *l, struct text name, const char *where)
{
	while (name.len > 0 && text_is_space(*name.at)) {
		name.at++;
		name.len--;
	}
	if (!fix_server_valid(name)) {
		complain(l, where,
			 "section %s: '%.*s' is no name of a member (expected 1 to %d letters, digits, "
			 "'-', '_' and '.')",
			 l->heading, (int)(name.len < 64 ? name.len : 64), name.at, HERD_SERVER_MAX);
		return false;
	}
	l->holds = CONF_SECTION_MEMBER;
	l->member = member_layer(l, name, where);
	return l->member != SIZE_MAX;
}

static bool
on_section(void *user, unsigned int line, struct text name)
{
	struct load *l = user;
	char where[PATH_SIZE + 16];

	where_is(l, line, where);
	snprintf(l->heading, sizeof(l->heading), "[%.*s]", (int)(name.len < 60 ? name.len : 60), name.at);
	l->member = SIZE_MAX;
	l->holds = 0;
	if (name.len >= 6 && memcmp(name.at, "member", 6) == 0 &&
	    (name.len == 6 || text_is_space(name.at[6])))
		return enter_member(l, (struct text){name.at + 6, name.len - 6}, where);
	l->holds = section_holds(name);
	if (l->holds == 0)
		complain(l, where,
			 "section %s: unknown (expected [herd], [member NAME], [flood] or [places])",
			 l->heading);
	return l->holds != 0;
}

/* A name that is known elsewhere is mostly in the wrong place, not misspelt. */
static void
unknown_setting(struct load *l, const char *where, const char *name)
{
	const struct conf_setting *elsewhere = find_in(CONF_SECTIONS, text_of(name));

	if (l->heading[0] == '\0')
		complain(l, where,
			 "setting '%.64s': outside any section (expected [herd] or another above it)", name);
	else if (elsewhere)
		complain(l, where, "setting '%.64s': unknown in %s (expected in [%s%s])", name, l->heading,
			 conf_section_name(elsewhere->section),
			 elsewhere->section == CONF_SECTION_MEMBER ? " NAME] or [herd" : "");
	else
		complain(l, where, "setting '%.64s': unknown in %s", name, l->heading);
}

static void
on_setting(void *user, unsigned int line, const char *name, const char *value)
{
	struct load *l = user;
	const struct conf_setting *s = find_in(l->holds, text_of(name));
	char where[PATH_SIZE + 16];

	where_is(l, line, where);
	if (s)
		layer_set(l, l->member == SIZE_MAX ? &l->herd : &l->members[l->member], s, where, value);
	else
		unknown_setting(l, where, name);
}

static void
on_error(void *user, unsigned int line, const char *why)
{
	struct load *l = user;
	char where[PATH_SIZE + 16];

	where_is(l, line, where);
	complain(l, where, "%s", why);
}

/* --- files --------------------------------------------------------------------------- */

static void
load_bytes(struct load *l, const char *file, struct text bytes)
{
	const struct reader reader = {on_section, on_setting, on_error, l};

	l->file = file;
	l->file_number++;
	l->heading[0] = '\0';
	l->holds = 0;
	l->member = SIZE_MAX;
	if (reader_read(bytes, &reader) < 0)
		out_of_memory(l);
}

static void
load_file(struct load *l, const char *path, bool may_be_missing)
{
	CLEANUP(cleanup_free) char *bytes = NULL;
	size_t len;
	int r;

	r = reader_load(path, &bytes, &len);
	if (r == -ENOENT && may_be_missing)
		return;
	if (r == -ENOMEM)
		out_of_memory(l);
	else if (r == -EFBIG)
		complain(l, path, "the file is too large (expected at most %d bytes)", READER_FILE_MAX);
	else if (r == -EINVAL)
		complain(l, path, "neither a file nor a device (expected a file)");
	else if (r < 0)
		complain(l, path, "cannot be read: %s", strerror(-r));
	else
		load_bytes(l, path, (struct text){bytes, len});
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
load_drop_ins(struct load *l, const char *file)
{
	char folder[PATH_SIZE], path[PATH_SIZE];
	struct dirent **entries = NULL;
	int count;

	if (snprintf(folder, sizeof(folder), "%s.d", file) >= (int)sizeof(folder))
		return; /* the file could not be read either */
	count = scandir(folder, &entries, is_drop_in, by_name);
	if (count < 0 && errno == ENOMEM)
		out_of_memory(l);
	else if (count < 0 && errno != ENOENT)
		complain(l, folder, "cannot be read: %s", strerror(errno));
	else if (count > DROP_INS_MAX)
		complain(l, folder, "too many files (expected at most %d)", DROP_INS_MAX);
	for (int i = 0; i < count; i++) {
		if (count > DROP_INS_MAX)
			;
		else if (snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name) >=
			 (int)sizeof(path))
			complain(l, folder, "the path of '%.64s' is too long", entries[i]->d_name);
		else
			load_file(l, path, false);
		free(entries[i]);
	}
	free(entries);
}

/* --- the command line ------------------------------------------------------------------ */

static void
load_sets(struct load *l)
{
	l->file_number++;
	for (size_t i = 0; i < l->source->set_count; i++) {
		const struct conf_set *set = &l->source->sets[i];
		const struct conf_setting *s = conf_setting_find(text_of(set->key));

		if (s)
			layer_set(l, &l->sets, s, set->option, set->value);
		else
			complain(l, set->option, "setting '%.64s': unknown", set->key);
	}
}

/* --- layers become settings --------------------------------------------------------------- */

static int
set_default(struct conf *conf, size_t id)
{
	char why[VALUE_WHY_MAX];
	int r = value_parse(&conf_settings[id], text_of(conf_settings[id].default_text), field_of(conf, id),
			    why);

	assert(r <= 0); /* the table contradicts itself */
	return r;
}

static int
take_members(struct conf *conf, const struct load *l)
{
	conf->members = calloc(l->member_count + 1, sizeof(*conf->members));
	if (!conf->members)
		return -ENOMEM;
	for (size_t i = 0; i < l->member_count; i++)
		memcpy(conf->members[i], l->members[i].name, sizeof(conf->members[i]));
	conf->member_count = l->member_count;
	return 0;
}

static int
take_values(struct conf *conf, struct load *l)
{
	struct layer *own = NULL;
	int r = take_members(conf, l);

	for (size_t i = 0; l->source->member && i < l->member_count; i++)
		if (strcmp(l->members[i].name, l->source->member) == 0)
			own = &l->members[i];
	for (size_t id = 0; r == 0 && id < CONF_ID_COUNT; id++) {
		struct layer *from = l->sets.set[id]	   ? &l->sets
				     : own && own->set[id] ? own
				     : l->herd.set[id]	   ? &l->herd
							   : NULL;

		if (!from) {
			r = set_default(conf, id);
			continue;
		}
		value_move(&conf_settings[id], field_of(conf, id), field_of(&from->values, id));
		conf->origin[id] = from->values.origin[id];
		from->values.origin[id] = NULL;
	}
	return r;
}

int
conf_load(struct conf *ret, const struct conf_source *source)
{
	static const char standard[] = HERD_SYSCONFDIR "/herd/herd.conf";
	const char *file = source->file ? source->file : standard;
	CLEANUP(load_done) struct load l = {.source = source};
	CLEANUP(conf_done) struct conf conf = {0};
	int r;

	if (source->bytes) {
		load_bytes(&l, file, *source->bytes);
	} else {
		load_file(&l, file, !source->file);
		load_drop_ins(&l, file);
	}
	load_sets(&l);
	if (l.fault)
		return l.fault;
	if (l.errors > 0)
		return CONF_E_INVALID;
	r = take_values(&conf, &l);
	if (r < 0)
		return r;
	conf_done(ret);
	*ret = conf;
	memset(&conf, 0, sizeof(conf));
	return 0;
}

/* --- reload ---------------------------------------------------------------------------------- */

static void
take_setting(struct conf *conf, struct conf *from, size_t id)
{
	value_move(&conf_settings[id], field_of(conf, id), field_of(from, id));
	free(conf->origin[id]);
	conf->origin[id] = from->origin[id];
	from->origin[id] = NULL;
}

int
conf_reload(struct conf *conf, const struct conf_source *source, struct conf_changes *ret_changes)
{
	CLEANUP(conf_done) struct conf fresh = {0};
	struct conf_changes changes = {0};
	int r;

	r = conf_load(&fresh, source);
	if (r != 0)
		return r;
	for (size_t id = 0; id < CONF_ID_COUNT; id++) {
		bool same = value_equal(&conf_settings[id], field_of(conf, id), field_of(&fresh, id));

		if (!same && conf_settings[id].when == CONF_RESTART) {
			changes.needs_restart[id] = true;
			changes.restart_count++;
			continue;
		}
		changes.changed[id] = !same;
		changes.changed_count += !same;
		take_setting(conf, &fresh, id); /* its origin may have moved */
	}
	free(conf->members);
	conf->members = fresh.members;
	conf->member_count = fresh.member_count;
	fresh.members = NULL;
	*ret_changes = changes;
	return 0;
}

/* --- for those who have it --------------------------------------------------------------------- */

void
conf_done(struct conf *conf)
{
	for (size_t id = 0; id < CONF_ID_COUNT; id++) {
		value_done(&conf_settings[id], field_of(conf, id));
		free(conf->origin[id]);
	}
	free(conf->members);
	memset(conf, 0, sizeof(*conf));
}

struct table_options
conf_table_options(const struct conf *conf)
{
	uint32_t some = conf->table_clients / 32;

	return (struct table_options){
		.name = conf->shm,
		.clients = conf->table_clients,
		.long_clients = conf->table_long_clients ? conf->table_long_clients
				: some < 64		 ? 64
							 : some,
		.ttl_ns = conf->fix_ttl_ns,
	};
}

int
conf_value_format(const struct conf *conf, enum conf_id id, struct buffer *out)
{
	return value_format(&conf_settings[id], field_of_const(conf, id), out);
}

const char *
conf_origin(const struct conf *conf, enum conf_id id)
{
	return conf->origin[id] ? conf->origin[id] : "default";
}
