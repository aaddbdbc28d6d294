#ifndef CONF_LOAD_H
#define CONF_LOAD_H
/*
 * One reading of all the settings, still in layers: for those in this folder
 * who make something of it, conf.c for one program and roster.c for all members.
 */
#include "conf/conf.h"

enum { LOAD_MEMBERS_MAX = 1024 };

struct load_layer {
	struct conf values;
	bool set[CONF_ID_COUNT];
	unsigned int file[CONF_ID_COUNT]; /* number of the file that set it last */
};

/* What all [member NAME] of one name say. */
struct load_member {
	char name[HERD_SERVER_MAX + 1];
	struct load_layer layer;
	char *origin;	     /* owned: where its first section begins; NULL: only its file is known */
	char *elsewhere;     /* owned: where the first one begins that is not in its own file; NULL: none */
	char *wrong;	     /* owned: the first complaint; NULL: none */
	unsigned int errors; /* all of them */
	bool unreachable; /* where clients come to it is not known: that very setting is wrong, or its file */
};

struct load {
	const struct conf_source *source;
	bool keep; /* complaints about single members are kept in `wrong` only */

	struct load_layer herd, sets;
	struct load_member *members;
	size_t member_count, member_room;

	/* Where the reading is. */
	const char *file;
	unsigned int file_number;	 /* from 1 on */
	char owner[HERD_SERVER_MAX + 1]; /* the member whose own file it is; "": nobody's */
	unsigned int holds;		 /* what may stand in the section */
	size_t member;			 /* whose section it is; SIZE_MAX: nobody's */
	char heading[64];		 /* "[member Alpha]", for messages */

	/* What was wrong. */
	unsigned int fatal, forgiven; /* complaints that keep source->member from these settings; others */
	int fault;		      /* -ENOMEM */
};

/* Reads everything and complains of everything. *l is zero but for source and keep; the caller looks at
   fault and fatal. */
void load_read(struct load *l);

void load_done(struct load *l);

/* NULL: there is none of this name. */
struct load_member *load_member_find(struct load *l, const char *name);

/* The layer that has the say on a setting of a member (NULL: of nobody); NULL: none, the default has. */
struct load_layer *load_layer_of(struct load *l, struct load_member *member, enum conf_id id);

/* --- names, from conf.c -------------------------------------------------- */

#define CONF_SECTIONS (CONF_SECTION_HERD | CONF_SECTION_MEMBER | CONF_SECTION_FLOOD | CONF_SECTIONS_PLACES)

/* Which settings a section may hold; 0: there is no such section. */
unsigned int conf_section_holds(struct text name);

/* The setting of this name in these sections. NULL: none, or several. */
const struct conf_setting *conf_setting_in(unsigned int sections, struct text name);

/* -ENOMEM. */
int conf_set_default(struct conf *conf, size_t id);

static inline void *
conf_field(struct conf *conf, size_t id)
{
	return (char *)conf + conf_settings[id].offset;
}

#endif
