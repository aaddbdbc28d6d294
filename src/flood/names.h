#ifndef FLOOD_NAMES_H
#define FLOOD_NAMES_H
/*
 * Names: which member runs on which host, as far as the herd tells. Two live
 * hosts with a member of one name are an operator's mistake: both go on, and
 * both say it.
 *
 * A host tells its own names again every minute, also when another
 * one with that name has run for a few seconds, and what was not told for
 * three is forgotten. All now_ns are POSIX nanoseconds.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/text.h"

struct names; /* opaque */

enum {
	NAMES_MAX = 8192,    /* entries: a name on a host */
	NAMES_HOSTS_MAX = 8, /* of one name, beside this host */
	NAMES_HOST_ID_BYTES = 16,
};

/* Both hosts have a live member of that name; if one of them is this one it comes first. Called within names_tick(), once
   per pair of hosts and minute. */
typedef void names_conflict_fn(void *arg, const char *server, const uint8_t one[NAMES_HOST_ID_BYTES],
			       const uint8_t other[NAMES_HOST_ID_BYTES]);

/* self: this host's id. -ENOMEM, or no random bytes: negative errno. */
int names_new(struct names **ret, const uint8_t self[NAMES_HOST_ID_BYTES], names_conflict_fn *conflict,
	      void *arg);
struct names *names_free(struct names *n);
CLEANUP_POINTER(struct names, names_free);

/* This host has a live member of that name, since `boot_s` (POSIX seconds). Call it about once a second for each that
   lives: what is not said again is not told again. */
void names_own(struct names *n, struct text server, int64_t boot_s, int64_t now_ns);

/* A peer says so. True: news, to be passed on, which names_next() does. Out of range, full, about this host, or told
   already: false. */
bool names_learn(struct names *n, struct text server, const uint8_t host_id[NAMES_HOST_ID_BYTES],
		 int64_t boot_s, int64_t now_ns);

/* For a link. Start with *cursor 0: first this host's own names, then whatever is news from then on. (Not what others
   told before: a name whose host has died would be told round and round for ever.) The text is good until the next
   call that changes the names. False: no more for now; *cursor may have moved all the same. */
bool names_next(const struct names *n, uint64_t *cursor, struct text *ret_server,
		uint8_t ret_host_id[NAMES_HOST_ID_BYTES], int64_t *ret_boot_s);

/* On which hosts it is alive, as far as is known; this one first. Returns how many. */
unsigned int names_hosts(struct names *n, struct text server, int64_t now_ns,
			 uint8_t ret[NAMES_HOSTS_MAX + 1][NAMES_HOST_ID_BYTES]);

/* Once a second: forgets the old, and says again which names are in conflict. */
void names_tick(struct names *n, int64_t now_ns);

unsigned int names_count(const struct names *n);     /* entries */
unsigned int names_conflicts(const struct names *n); /* names that more than one host has now */

#endif
