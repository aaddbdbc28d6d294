#ifndef NET_STARTS_H
#define NET_STARTS_H
/*
 * Starts: how often in a row this program was started in vain, or died soon
 * after, and how long it should therefore hold back. The service manager
 * starts it anew at once, always, so that its sockets never fail; it is up to
 * the program not to spin.
 *
 * The count lives in a memfd in the service manager's store (notify_store()),
 * which a clean stop empties. Whatever ended cleanly costs the next start
 * nothing. Every function accepts NULL, which is what a program has that
 * nobody manages, and never holds back.
 */
#include <stdint.h>

#include "base/cleanup.h"
#include "net/notify.h"

#define STARTS_NAME "starts" /* in the store; not for a socket */

struct starts; /* opaque */

/* --- a program's beginning and end ------------------------------------------------ */

/* When a program whose last lives were short is to wait. */
enum starts_when {
	STARTS_BEFORE_READY, /* nobody waits for it */
	STARTS_BEFORE_WORK,  /* by starts_hold(): those who start it, and clients, know that it is there */
};

/*
 * Finds the count among what the service manager passed, or begins one and has it stored; waits when the
 * last start died before it was ready, or `when` says so. From here on this start counts as failed unless
 * it is said otherwise. *ret is left alone without notify, which otherwise outlives it, or when it cannot
 * be had, which is logged.
 */
void starts_begin(struct starts **ret, struct notify *n, enum starts_when when);

/* The last starts died soon after they were ready: once ready, hold back so long from working for
   anybody. When it is not 0 it was logged. */
int64_t starts_hold(const struct starts *s);

/* It is ready, and will work in so long. */
void starts_ready(struct starts *s, int64_t hold_ns);

/* The last thing before the exit code, which is returned. 0: it ends as it was asked to. Otherwise the
   newest error becomes the status, and a start that has failed waits. */
int starts_exit(struct starts *s, struct notify *n, int code);

/* Accepts NULL, returns NULL. Says nothing about how this start ended. */
struct starts *starts_free(struct starts *s);
CLEANUP_POINTER(struct starts, starts_free);

/* --- in its parts, for tests --------------------------------------------------------- */

/* fd, which is taken over, is what was passed; -1: nothing. Negative errno. */
int starts_new(struct starts **ret, struct notify *n, int fd);

/* How many starts in a row did not come up, or ended within seconds without having been asked to; this
   one not counted. */
unsigned int starts_bad(const struct starts *s);

int64_t starts_wait_ns(const struct starts *s); /* before anything is done */
int64_t starts_hold_ns(const struct starts *s); /* before work */
int64_t starts_fail(struct starts *s);		/* before the end; 0 if it was ready */
void starts_end(struct starts *s);

#endif
