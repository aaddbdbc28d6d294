/*
 * Web shared: every provider hands in the same settings at a reload; the
 * connections are given up only when something about them is different.
 */
#include "places/web-shared.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SHARED_MAGIC = 0x48505753 }; /* "HPWS" */

static const char *
or_empty(const char *text)
{
	return text ? text : "";
}

static struct fetch_options
options_of(const struct source_web *web)
{
	return (struct fetch_options){
		.connections_max = web->connections_max ? web->connections_max : 1,
		.ca_file = or_empty(web->ca_file),
		.proxy = or_empty(web->proxy),
		.user_agent = web->user_agent ? web->user_agent : "herd",
	};
}

static struct file_identity
identity_of(const char *ca_file)
{
	const char *place = fetch_authorities(ca_file);
	struct stat st;

	return place && stat(place, &st) == 0 ? file_identity(&st) : (struct file_identity){0};
}

/* A file of certificates, the system's own too, may be another under the same name. */
static bool
is_as_before(const struct web_shared *s, const struct fetch_options *o,
	     const struct file_identity *authorities)
{
	return s->user_agent && s->connections_max == o->connections_max &&
	       strcmp(s->ca_file, o->ca_file) == 0 && file_identity_equal(&s->authorities, authorities) &&
	       strcmp(s->proxy, o->proxy) == 0 && strcmp(s->user_agent, o->user_agent) == 0;
}

static void
forget_options(struct web_shared *s)
{
	free(s->ca_file);
	free(s->proxy);
	free(s->user_agent);
	s->ca_file = s->proxy = s->user_agent = NULL;
}

/* Without memory nothing is remembered, and the next reload takes everything for new. */
static void
remember(struct web_shared *s, const struct fetch_options *o, const struct file_identity *authorities)
{
	forget_options(s);
	s->authorities = *authorities;
	s->connections_max = o->connections_max;
	s->ca_file = strdup(o->ca_file);
	s->proxy = strdup(o->proxy);
	s->user_agent = strdup(o->user_agent);
	if (!s->ca_file || !s->proxy || !s->user_agent)
		forget_options(s);
}

int
web_shared_configure(struct web_shared *s, const struct source_web *web)
{
	struct fetch_options options = options_of(web);
	struct file_identity authorities = identity_of(options.ca_file); /* before it is read */
	int r;

	assert(s->magic == SHARED_MAGIC);
	cache_limit(s->cache, web->cache_size);
	if (is_as_before(s, &options, &authorities))
		return 0;
	r = fetch_configure(s->fetch, &options);
	if (r == 0)
		remember(s, &options, &authorities);
	return r;
}

static void
shared_free(struct web_shared *s)
{
	fetch_free(s->fetch);
	cache_free(s->cache);
	forget_options(s);
	free(s);
}

static int
shared_new(struct web_shared **ret, struct event_base *base, const struct source_web *web)
{
	struct fetch_options options = options_of(web);
	struct file_identity authorities = identity_of(options.ca_file);
	struct web_shared *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->magic = SHARED_MAGIC;
	r = cache_new(&s->cache, web->cache_size);
	if (r == 0)
		r = fetch_new(&s->fetch, base, &options);
	if (r < 0) {
		shared_free(s);
		return r;
	}
	remember(s, &options, &authorities);
	*ret = s;
	return 0;
}

int
web_shared_join(struct web_shared **ret, struct source *source, struct event_base *base,
		const struct source_web *web)
{
	struct web_shared *s = *source_shared(source);
	int r;

	r = s ? web_shared_configure(s, web) : shared_new(&s, base, web);
	if (r < 0)
		return r;
	s->users++;
	*source_shared(source) = s;
	*ret = s;
	return 0;
}

void
web_shared_leave(struct web_shared *s, struct source *source)
{
	if (!s || --s->users > 0)
		return;
	*source_shared(source) = NULL;
	shared_free(s);
}
