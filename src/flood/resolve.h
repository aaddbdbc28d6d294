#ifndef FLOOD_RESOLVE_H
#define FLOOD_RESOLVE_H
/*
 * Resolve: from "hill.example:12400" to addresses, without keeping the loop
 * waiting for name servers. Numbers need none.
 */
#include "base/address.h"
#include "base/cleanup.h"
#include "net/loop.h"

struct resolve; /* opaque: one that goes on */

enum { RESOLVE_MAX = 4 /* addresses of a name; further ones are left out */ };

/* The end of it, never from within resolve_start(): count 0: none, and why ("Name or service not known"). */
typedef void resolve_fn(void *arg, const struct address *at, size_t count, const char *why);

/* address: as host_parse() takes it. -EINVAL: it is none; -EAGAIN: too many go on, come again later; -ENOMEM. */
int resolve_start(struct resolve **ret, struct loop *loop, const char *address, resolve_fn *fn, void *arg);

/* Whether it is over or not; fn is not called any more. Accepts NULL, returns NULL. */
struct resolve *resolve_free(struct resolve *r);
CLEANUP_POINTER(struct resolve, resolve_free);

#endif
