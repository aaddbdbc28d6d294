/*
 * Settings are read in layers: what [herd], [flood] and [places] say, what each
 * [member NAME] says, what the command line says. Only when everything has been
 * read and nothing was wrong do the layers become one struct, so that a bad
 * file changes nothing, a member's own setting wins wherever it stands, and
 * nobody has to start a program six times to see six mistakes.
 */
#include "conf/conf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "conf/load.h"
#include "conf/services.h"
#include "conf/value.h"

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
	case CONF_SECTION_GOOGLE:
		return "places google";
	case CONF_SECTION_GOOGLE_LEGACY:
		return "places google-legacy";
	case CONF_SECTION_OVERPASS:
		return "places overpass";
	}
	abort();
}

unsigned int
conf_section_holds(struct text name)
{
	if (text_equal(name, TEXT("herd")))
		return CONF_SECTION_HERD | CONF_SECTION_MEMBER;
	for (unsigned int bit = CONF_SECTION_MEMBER; bit & CONF_SECTIONS; bit <<= 1)
		if (text_equal(name, text_of(conf_section_name(bit))))
			return bit;
	return 0;
}

const struct conf_setting *
conf_setting_in(unsigned int sections, struct text name)
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

/* What a key's "section." means: also "google" for "places google". */
static unsigned int
key_holds(struct text section)
{
	unsigned int holds = conf_section_holds(section);
	char longer[64];

	if (holds != 0)
		return holds;
	snprintf(longer, sizeof(longer), "places %.*s", (int)(section.len < 40 ? section.len : 40),
		 section.at);
	return conf_section_holds(text_of(longer));
}

/* Without a section. */
static const struct conf_setting *
find_name(struct text name)
{
	const struct conf_setting *s = conf_setting_in(CONF_SECTIONS, name);

	if (!s)
		s = conf_setting_in(CONF_SECTIONS & ~CONF_SECTIONS_PLACES, name);
	return s ? s : conf_setting_in(CONF_SECTION_PLACES, name);
}

const struct conf_setting *
conf_setting_find(struct text key)
{
	const char *dot = memchr(key.at, '.', key.len);
	size_t section_len = dot ? (size_t)(dot - key.at) : 0;

	if (!dot)
		return find_name(key);
	return conf_setting_in(key_holds((struct text){key.at, section_len}),
			       (struct text){dot + 1, key.len - section_len - 1});
}

bool
conf_setting_choices(struct text name, char *out, size_t size)
{
	unsigned int count = 0;
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < CONF_ID_COUNT; i++) {
		if (!text_equal(text_of(conf_settings[i].name), name))
			continue;
		if (len < size)
			len += (size_t)snprintf(out + len, size - len, "%s%s.%s", count ? " or " : "",
						conf_section_name(conf_settings[i].section),
						conf_settings[i].name);
		count++;
	}
	return count > 1;
}

/* --- layers become settings --------------------------------------------------------------- */

int
conf_set_default(struct conf *conf, size_t id)
{
	char why[VALUE_WHY_MAX];
	int r = value_parse(&conf_settings[id], text_of(conf_settings[id].default_text), conf_field(conf, id),
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
	struct load_member *own = l->source->member ? load_member_find(l, l->source->member) : NULL;
	int r = take_members(conf, l);

	for (enum conf_id id = 0; r == 0 && id < CONF_ID_COUNT; id++) {
		struct load_layer *from = load_layer_of(l, own, id);

		if (!from) {
			r = conf_set_default(conf, id);
			continue;
		}
		value_move(&conf_settings[id], conf_field(conf, id), conf_field(&from->values, id));
		conf->origin[id] = from->values.origin[id];
		from->values.origin[id] = NULL;
	}
	return r;
}

/* What no setting can be wrong about alone. */
static unsigned int
check_services(const struct conf *conf, const struct conf_source *source)
{
	char message[SERVICES_WHY_MAX];
	unsigned int wrong = 0;

	for (; services_check(conf, wrong, message); wrong++)
		if (source->report)
			source->report(source->user, message);
	return wrong;
}

int
conf_load(struct conf *ret, const struct conf_source *source)
{
	CLEANUP(load_done) struct load l = {.source = source};
	CLEANUP(conf_done) struct conf conf = {0};
	int r;

	load_read(&l);
	if (l.fault)
		return l.fault;
	if (l.fatal > 0)
		return CONF_E_INVALID;
	r = take_values(&conf, &l);
	if (r < 0)
		return r;
	if (check_services(&conf, source) > 0)
		return CONF_E_INVALID;
	conf_done(ret);
	*ret = conf;
	memset(&conf, 0, sizeof(conf));
	return 0;
}

/* --- reload ---------------------------------------------------------------------------------- */

static void
take_setting(struct conf *conf, struct conf *from, size_t id)
{
	value_move(&conf_settings[id], conf_field(conf, id), conf_field(from, id));
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
		bool same = value_equal(&conf_settings[id], conf_field(conf, id), conf_field(&fresh, id));

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
		value_done(&conf_settings[id], conf_field(conf, id));
		free(conf->origin[id]);
	}
	free(conf->members);
	memset(conf, 0, sizeof(*conf));
}

unsigned int
conf_names(const bool which[CONF_ID_COUNT], char *out, size_t size)
{
	unsigned int count = 0;
	size_t len = 0;

	out[0] = '\0';
	for (size_t id = 0; id < CONF_ID_COUNT; id++) {
		if (!which[id])
			continue;
		if (len < size)
			len += (size_t)snprintf(out + len, size - len, "%s%s", count ? ", " : "",
						conf_settings[id].name);
		count++;
	}
	return count;
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
