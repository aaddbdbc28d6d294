#ifndef PLACES_CACHE_H
#define PLACES_CACHE_H
/*
 * Cache: answers of services by the question, in memory, for a while, no more
 * than so many bytes of them: the one that nobody has wanted for longest goes
 * first.
 */
#include <stddef.h>
#include <stdint.h>

#include "places/answer.h"
#include "places/keyed.h"

struct cache; /* opaque */

/* -ENOMEM, other negative errno. */
int cache_new(struct cache **ret, size_t bytes_max);
/* Accepts NULL, returns NULL. */
struct cache *cache_free(struct cache *c);

/* 0: nothing is kept. */
void cache_limit(struct cache *c, size_t bytes_max);

/* The cache's own reference, good until the next call; NULL: none, or none that is fresh at now_ns (CLOCK_MONOTONIC). */
struct web_answer *cache_find(struct cache *c, const struct question *question, int64_t now_ns);

/* Keeps it (with a reference of its own) until that time, instead of what there is. One that is larger than a quarter of
   the cache is not kept, nor when there is no memory. */
void cache_put(struct cache *c, const struct question *question, struct web_answer *answer, int64_t until_ns);

/* Forgets all answers of a service. */
void cache_drop(struct cache *c, uint32_t service);

size_t cache_bytes(const struct cache *c);
size_t cache_count(const struct cache *c);

#endif
