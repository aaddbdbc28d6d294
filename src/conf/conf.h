#ifndef CONF_CONF_H
#define CONF_CONF_H
/*
 * Settings: read from herd.conf, its drop-ins and the command line, checked,
 * and handed to programs as one struct. settings.inc declares them all.
 *
 * What beats what: --set beats [member NAME], which beats [herd]; within each
 * the one read last wins. Lists: lines in one section of one file add up; a
 * later file that names the list replaces it; an empty value empties it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buffer.h"
#include "core/table.h"
#include "herd/fix.h"

enum {
	CONF_E_INVALID = 1, /* every error was reported; nothing changed */
};

#define CONF_FILE HERD_SYSCONFDIR "/herd/herd.conf"

/* In the folder of drop-ins, CONF_FILE ".d": member-NAME.conf is NAME's own file. It holds [member NAME]
   and nothing else, so what is wrong with it is wrong with NAME alone. */
#define CONF_OWN_PREFIX "member-"
#define CONF_OWN_SUFFIX ".conf"

enum conf_provider {
	CONF_PROVIDER_LOCAL,
	CONF_PROVIDER_GOOGLE,
	CONF_PROVIDER_GOOGLE_LEGACY,
	CONF_PROVIDER_OVERPASS
};
enum conf_rank { CONF_RANK_PROMINENCE, CONF_RANK_DISTANCE };

struct conf_addresses {
	struct address *at;
	size_t count;
};

struct conf_paths { /* or other texts */
	char **at;
	size_t count;
};

/* --- the table -------------------------------------------------------- */

enum conf_section {
	CONF_SECTION_HERD = 1 << 0,
	CONF_SECTION_MEMBER = 1 << 1, /* [member NAME], and [herd] for all */
	CONF_SECTION_FLOOD = 1 << 2,
	CONF_SECTION_PLACES = 1 << 3,
	CONF_SECTION_GOOGLE = 1 << 4, /* [places google] */
	CONF_SECTION_GOOGLE_LEGACY = 1 << 5,
	CONF_SECTION_OVERPASS = 1 << 6,
};

#define CONF_SECTIONS_PLACES \
	(CONF_SECTION_PLACES | CONF_SECTION_GOOGLE | CONF_SECTION_GOOGLE_LEGACY | CONF_SECTION_OVERPASS)

/* CONF_TYPE_x, and the C type of a setting's field. */
#define CONF_TYPES(X)                                                                   \
	X(SHM_NAME, char *)                                                             \
	X(PATH, char *)                                                                 \
	X(COUNT, uint32_t)                                                              \
	X(BYTES, uint32_t)                                                              \
	X(DURATION, int64_t)		/* ns */                                        \
	X(LOG_LEVEL, int)		/* LOG_ERR ... LOG_DEBUG */                     \
	X(PROVIDERS, struct conf_paths) /* names of enum conf_provider */               \
	X(TEXT, char *)			/* printable ASCII, no blanks */                \
	X(URL, char *)			/* http or https, without query and fragment */ \
	X(RANK, int)			/* enum conf_rank */                            \
	X(ADDRESSES, struct conf_addresses)                                             \
	X(PATHS, struct conf_paths)                                                     \
	X(BOOL, bool)                                                                   \
	X(HOST_NAME, char *)                                                            \
	X(HOST_ID, char *)	    /* hexadecimal */                                   \
	X(PEERS, struct conf_paths) /* each good for host_parse() */                    \
	X(HOSTS, struct conf_paths) /* the same, or one path: it begins with '/' */

#define X(type, c) typedef c conf_c_##type;
CONF_TYPES(X)
#undef X

enum conf_type {
#define X(type, c) CONF_TYPE_##type,
	CONF_TYPES(X)
#undef X
};

enum conf_when { CONF_LIVE, CONF_RESTART };

enum conf_id { /* CONF_ID_line_max, ... */
#define CONF(section, name, field, type, def, min, max, when, help) CONF_ID_##field,
#include "conf/settings.inc"
#undef CONF
	       CONF_ID_COUNT
};

struct conf_setting {
	const char *name;
	const char *default_text; /* as conf_value_format() writes it */
	const char *help;
	int64_t min, max;
	size_t offset; /* of the field in struct conf */
	enum conf_section section;
	enum conf_type type;
	enum conf_when when;
};

extern const struct conf_setting conf_settings[CONF_ID_COUNT];

/* "name" or "section.name", also "google.url" for "places google.url". Of one name in several sections the one
   outside of the sections of places is meant, else that of [places]. NULL: none, or more than one of that name. */
const struct conf_setting *conf_setting_find(struct text key);

/* "member.listen or flood.listen": what a name of several sections may mean, each enough for conf_setting_find().
   False: the name is not one of several. */
bool conf_setting_choices(struct text name, char *out, size_t size);

/* "herd", "member", "flood", "places", "places google", ... */
const char *conf_section_name(enum conf_section section);

/* --- the values ------------------------------------------------------- */

/* One program's settings; strings and lists are the struct's own. Zero-initialised is valid for
   conf_load(), conf_done(). */
struct conf { /* in the table's order: NOLINT(clang-analyzer-optin.performance.Padding) */
#define CONF(section, name, field, type, def, min, max, when, help) conf_c_##type field;
#include "conf/settings.inc"
#undef CONF
	char *origin[CONF_ID_COUNT];	      /* "/etc/herd/herd.conf:12", "--set"; NULL: the default */
	char (*members)[HERD_SERVER_MAX + 1]; /* of every [member NAME], in the order read */
	size_t member_count;
};

/* One complaint, without a line end: "herd.conf:12: setting 'line-max': ..." */
typedef void conf_report_fn(void *user, const char *message);

/* A setting from the command line. */
struct conf_set {
	const char *option; /* "--set", "--listen": for messages and origins */
	const char *key;    /* "name", "section.name" */
	const char *value;
};

/* A drop-in that is read as if it were there, in the place of one of its name. */
struct conf_extra {
	const char *name; /* "member-Alpha.conf" */
	struct text bytes;
};

struct conf_source {
	const char *file;   /* NULL: CONF_FILE, which may be missing */
	const char *member; /* whose [member NAME] to take; NULL: nobody's */
	/* Where a setting on the command line is looked for first if several sections have one of its name;
	   enum conf_section bits. */
	unsigned int sections;
	bool forgive; /* mistakes of other members do not count: one section must not stop them all */
	const struct conf_set *sets;
	size_t set_count;
	conf_report_fn *report;
	conf_report_fn *warn; /* gets what is forgiven; NULL: report does */
	void *user;
	const struct text *bytes;	/* instead of any file, called `file`; for tests */
	const struct conf_extra *extra; /* NULL: none */
};

/* Reads everything there is, and reports everything wrong with it, [member NAME] of others
   included; 100 mistakes at most. 0, CONF_E_INVALID; -ENOMEM. */
int conf_load(struct conf *ret, const struct conf_source *source);

/* What a reload did. */
struct conf_changes {
	bool changed[CONF_ID_COUNT];	   /* in effect now */
	bool needs_restart[CONF_ID_COUNT]; /* differs, but the old value stays until a restart */
	unsigned int changed_count, restart_count;
};

/* The same for a running program. Unless 0 is returned, conf is as before. */
int conf_reload(struct conf *conf, const struct conf_source *source, struct conf_changes *ret_changes);

/* "shm, table-clients": the names of the settings that are true in `which`, cut when they do not fit.
   Returns how many there are. */
unsigned int conf_names(const bool which[CONF_ID_COUNT], char *out, size_t size);

/* Frees what the struct holds. */
void conf_done(struct conf *conf);

/* How these settings have the table opened; the name is conf's own. */
struct table_options conf_table_options(const struct conf *conf);

/* What a service on the network is asked with: its own settings where they were set, else those of [places] where
   these were, else its own defaults. The texts are conf's. */
struct conf_service {
	const char *url, *key_file, *field_mask, *language, *region, *types, *contact; /* "": none */
	int64_t cache_ttl_ns;
	uint32_t per_second, per_day, cell_m, radius_max_m;
};

/* Of one of the providers but CONF_PROVIDER_LOCAL. */
struct conf_service conf_service(const struct conf *conf, enum conf_provider provider);

/* Appends the value as it would be written into a file, lists with ", " between. -ENOBUFS. */
int conf_value_format(const struct conf *conf, enum conf_id id, struct buffer *out);

/* "/etc/herd/herd.conf:12", "--set", "default" */
const char *conf_origin(const struct conf *conf, enum conf_id id);

#endif
