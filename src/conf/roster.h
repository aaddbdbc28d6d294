#ifndef CONF_ROSTER_H
#define CONF_ROSTER_H
/*
 * Roster: every [member NAME] with the settings it will have, and which of
 * them cannot be given sockets by a service manager. For those who deal with
 * all members of a host: one with a mistake does not hide the others.
 */
#include "conf/conf.h"

/* Where units have the members' standing sockets, /run/herd/NAME.sock. */
#define CONF_RUN_DIR "/run/herd"

struct conf_entry {
	char name[HERD_SERVER_MAX + 1];
	struct conf conf; /* as `herd-member --name NAME` has them; what is wrong is as if not said */
	char *origin;	  /* "herd.conf:12": where its section begins; NULL: its file cannot be read */
	char *elsewhere;  /* where one begins that is not in its own file; NULL: nowhere */
	char *wrong;	  /* "herd.conf:13: ...": the first mistake, why it will not start; NULL: none */
	unsigned int errors;
	char *left_out; /* "herd.conf:13: ...": why it gets no sockets; NULL: it gets them all */
};

/* In the order read, which is who came first where two want the same. */
struct conf_roster {
	struct conf_entry *at;
	size_t count;
	struct conf conf; /* as programs have them that are no member; what is wrong is as if not said */
};

/*
 * Reads the settings as conf_load() does, whatever is wrong with them. source->report gets what is wrong
 * for all members or for none; what is wrong with one of them is in its entry. A member is left out when
 *   - where clients reach it is not known, because that setting or its own file cannot be read;
 *   - a member before it has one of its addresses or paths, or itself has it twice;
 *   - it has an address or a path that a unit cannot hold: port 0, a relative path, a socket of another or of
 *     herdctl's.
 * Nobody keeps an address from a member by being left out. -ENOMEM.
 */
int conf_roster_load(struct conf_roster *ret, const struct conf_source *source);

void conf_roster_done(struct conf_roster *roster);

/* NULL: there is none of this name. */
const struct conf_entry *conf_roster_find(const struct conf_roster *roster, const char *name);

enum { CONF_STANDING_MAX = 64 };

/* The socket every member has under systemd: CONF_RUN_DIR "/NAME.sock". Returns out. */
const char *conf_standing_path(const char *name, char out[CONF_STANDING_MAX]);

#endif
