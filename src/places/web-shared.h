#ifndef PLACES_WEB_SHARED_H
#define PLACES_WEB_SHARED_H
/*
 * Web shared: what the services on the network of one source have in common:
 * the connections and the cache. Kept under source_shared() by those who use it.
 */
#include "base/file.h"
#include "places/cache.h"
#include "places/fetch.h"
#include "places/source.h"

struct web_shared {
	unsigned int magic, users;
	struct fetch *fetch;
	struct cache *cache;
	unsigned int connections_max;
	char *ca_file, *proxy, *user_agent; /* as the fetch has them */
	struct file_identity authorities;   /* of ca_file, when it was read */
};

/* One more user. The settings are taken, if they are others or the authorities are other files under their name. -ENOMEM, what fetch_new() and fetch_configure() return. */
int web_shared_join(struct web_shared **ret, struct source *source, struct event_base *base,
		    const struct source_web *web);
int web_shared_configure(struct web_shared *s, const struct source_web *web);
/* The last user frees it. s may be NULL. */
void web_shared_leave(struct web_shared *s, struct source *source);

#endif
