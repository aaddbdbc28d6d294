#ifndef CONF_HOSTS_H
#define CONF_HOSTS_H
/*
 * Hosts: the list of the herd's hosts, as the settings `hosts` (a list, or the
 * path of a file) and `peer` write it.
 *
 *   NAME ADDRESS:PORT [site=SITE]
 *
 * NAME and SITE: 1-63 letters, digits, '-', '.', the first and the last a
 * letter or a digit; small and capital letters are the same, as they are in
 * certificates. ADDRESS: numeric, [..] around IPv6, or a name for DNS. A peer may
 * come without a NAME. In a file there is one per line, and '#' begins a comment.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "conf/conf.h"

enum {
	HOSTS_MAX = 4096,
	HOSTS_NAME_MAX = 63,
	HOSTS_ADDRESS_MAX = 270, /* a DNS name of 253, a colon, a port and a NUL fit */
	HOSTS_WHY_MAX = 200,
	HOSTS_FILE_MAX = 1 << 20,
};

enum { HOSTS_E_INVALID = 1 };

struct host {
	char name[HOSTS_NAME_MAX + 1];	 /* "": a peer without one */
	char site[HOSTS_NAME_MAX + 1];	 /* "": none */
	char address[HOSTS_ADDRESS_MAX]; /* "hill.example:12400" */
};

/* Zero-initialised: an empty list. */
struct hosts {
	struct host *at; /* owned */
	size_t count;
};

/* One entry. HOSTS_E_INVALID, and why: printable, without the place where it was read. */
int host_parse(struct text entry, bool name_optional, struct host *ret, char why[HOSTS_WHY_MAX]);

/* NAME alone, as a certificate or a peer gives it. */
bool host_name_valid(struct text name);

/* < 0, 0, > 0: which of two names comes first; the order is the same on every host. */
int host_name_compare(const char *a, const char *b);

/* Appends one. HOSTS_E_INVALID: its name or its address is there, or there are too many. -ENOMEM. */
int hosts_add(struct hosts *hosts, const struct host *host, char why[HOSTS_WHY_MAX]);

/* Appends those that the bytes of a file name; origin is what `why` calls it: "ORIGIN:LINE: ...". All or none
   of them. HOSTS_E_INVALID, -ENOMEM. */
int hosts_read(struct hosts *hosts, struct text bytes, const char *origin, char why[HOSTS_WHY_MAX]);

/* The same for a file; negative errno when it cannot be read, and why says that, too. */
int hosts_read_file(struct hosts *hosts, const char *path, char why[HOSTS_WHY_MAX]);

/* What the setting `hosts` comes to: the entries themselves, or what the file says that it names. As above. */
int hosts_read_known(struct hosts *hosts, const struct conf *conf, char why[HOSTS_WHY_MAX]);

/* Appends what the entries of a setting say. HOSTS_E_INVALID, -ENOMEM. */
int hosts_add_entries(struct hosts *hosts, const struct conf_paths *entries, bool name_optional,
		      char why[HOSTS_WHY_MAX]);

/* NULL: none of that name. */
const struct host *hosts_find(const struct hosts *hosts, const char *name);

void hosts_done(struct hosts *hosts);

#endif
