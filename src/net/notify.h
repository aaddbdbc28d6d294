#ifndef NET_NOTIFY_H
#define NET_NOTIFY_H
/*
 * Notify: what the service manager hears of this program (sd_notify(3)):
 * whether it is ready, how it is, that it still gets on with its work.
 *
 * Nothing here ever waits for the service manager. What it does not take is
 * kept, in order and bounded, and sent as soon as it takes it. Every function
 * accepts NULL, which is what a program that nobody manages has.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "net/loop.h"

struct notify; /* opaque */

enum { NOTIFY_STATUS_MAX = 1024 }; /* bytes of a status, its NUL included; longer ones end in "..." */

/* NOTIFY_SOCKET says where to, WATCHDOG_USEC whether pings are wanted. Without the first *ret becomes
   NULL. -EINVAL: it is no address; -ENOMEM; what socket() says. */
int notify_new(struct notify **ret);

/* What is still kept is tried once more. Accepts NULL, returns NULL. */
struct notify *notify_free(struct notify *n);
CLEANUP_POINTER(struct notify, notify_free);

/* Has the program got on since this was last called? */
typedef bool notify_progress(void *arg);

/*
 * From now on the loop sends what is kept. Three times per watchdog interval
 * it asks for progress and pings the service manager only if there was some:
 * a program that stands still, though its timers run, is killed and started
 * anew.
 */
int notify_attach(struct notify *n, struct loop *loop, notify_progress *progress, void *arg);

/* Before the loop is freed: no pings, nothing is sent later. What is said still goes out if it can. */
void notify_detach(struct notify *n);

void notify_ready(struct notify *n);
void notify_reloading(struct notify *n); /* notify_ready() ends it */
void notify_stopping(struct notify *n);

/* Starting, reloading or stopping may take so long from now. */
void notify_extend_timeout(struct notify *n, int64_t ns);

/* How the program is, for `systemctl status`. May be called often: sent only when it has changed, and
   at most every two seconds. */
void notify_status(struct notify *n, const char *text);

/* The same at once: why a start has failed. */
void notify_status_now(struct notify *n, const char *text);

/* Keeps fd in the service manager's store, from where the next start gets it under this name. The fd
   must stay open until n is freed; it is not watched for a hang-up. */
void notify_store(struct notify *n, int fd, const char *name);

/* Removes all of this name from the store. */
void notify_store_remove(struct notify *n, const char *name);

/* Sends what is kept, as far as that goes. The loop does it by itself. */
void notify_flush(struct notify *n);

/* For tests: how many messages are kept. */
unsigned int notify_kept(const struct notify *n);

#endif
