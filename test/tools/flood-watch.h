#ifndef TOOLS_FLOOD_WATCH_H
#define TOOLS_FLOOD_WATCH_H
/*
 * Watch: the fix tables of several hosts, read as their members would read
 * them, to see when what one host acknowledged is readable at the others.
 */
#include <stdbool.h>
#include <stdint.h>

#include "core/fix.h"
#include "base/histogram.h"

struct watch; /* opaque */

enum {
	WATCH_HOSTS_MAX = 512,
	WATCH_PENDING_MAX = 1024, /* fixes looked for at a time; more are not sampled */
};

enum { WATCH_E_MOVED = 1, WATCH_E_NONE };

/* Fixes of the past are looked for as `names` call them: client number n is names(n). */
typedef struct text watch_name_fn(const void *arg, uint32_t client);

int watch_new(struct watch **ret, watch_name_fn *name, const void *arg);
struct watch *watch_free(struct watch *w);

/* The table need not be there yet. -ENOSPC: too many. */
int watch_add(struct watch *w, const char *shm);
unsigned int watch_hosts(const struct watch *w);

/* Follows tables that were removed and made again. True: this host's is another one, or is there for the first time. */
bool watch_refresh(struct watch *w, unsigned int host);

/* What the host holds of a client: 0, WATCH_E_NONE, negative errno. */
int watch_read(struct watch *w, unsigned int host, uint32_t client, struct herd_fix *ret);

/* Host `from` has acknowledged this fix at since_ns (monotonic): when is it, or a newer one, readable at all others? */
void
watch_expect(struct watch *w, uint32_t client, struct fix_time time, unsigned int from, int64_t since_ns);

/* Looks for what is expected. How many fixes are still missing somewhere. */
unsigned int watch_look(struct watch *w);

/* Nanoseconds from acknowledgement to readable, one value per fix and other host. */
const struct histogram *watch_spread(const struct watch *w);

#endif
