#ifndef FLOOD_SETUP_H
#define FLOOD_SETUP_H
/*
 * Setup: what the settings of links come to: who this host is, which hosts
 * there are, how links are protected, and the key that all of them share. Read
 * at the start and at each reload; nobody is connected with anybody here.
 */
#include "base/hash.h"
#include "conf/conf.h"
#include "conf/hosts.h"
#include "flood/link.h"
#include "flood/tls.h"

struct setup {
	bool is_on;		 /* there are to be links at all */
	struct link_self self;	 /* all but incarnation */
	struct hosts hosts;	 /* for the graph */
	bool drawn;		 /* by `peer` lines */
	struct address *numbers; /* owned: those of their addresses that are no names */
	size_t number_count;
	struct hosts known;  /* `hosts`: nobody else may be linked with; none: anybody */
	struct tls *tls;     /* NULL: plain */
	bool spurns_tls;     /* that is as the settings have it, though there are certificates or a key */
	struct hash_key key; /* of rings and digests */
};

enum { SETUP_WHY_MAX = 512 };

enum {
	SETUP_E_INVALID = 1, /* why says what is wrong */
	SETUP_E_PLAIN, /* links beyond loopback without protection, which nobody has asked for: why says so */
};

/* *ret is zero. 0, SETUP_E_*, -ENOMEM. */
int setup_read(struct setup *ret, const struct conf *conf, char why[SETUP_WHY_MAX]);

void setup_done(struct setup *s);

/* What links that are up were made with is the same in both: they may stay. */
bool setup_fits(const struct setup *a, const struct setup *b);

#endif
