/*
 * Source: the provider table, and the requests that are under way.
 *
 * A request belongs to the source, not to the provider, so that its owner can
 * cancel it and a changed provider can be told to let go of it, whatever the
 * provider does. A lookup that is answered at once costs no allocation.
 */
#include "places/source.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "places/json.h"

enum {
	SOURCE_MAGIC = 0x48505352,  /* "HPSR" */
	REQUEST_MAGIC = 0x48505251, /* "HPRQ" */
};

struct source {
	unsigned int magic;
	struct event_base *base;
	const struct source_provider *provider;
	void *state;
	source_noticed *noticed;
	void *noticed_arg;
	struct source_request *first; /* all that are under way */
};

struct source_request {
	unsigned int magic;
	const struct source_provider *provider; /* the one that was asked */
	void *state;
	struct source_request *next, **link; /* link: what points at this one */
	struct source_query query;
	void *tag;
	source_answered *answered;
	void *arg;
};

static const struct source_provider *const providers_all[] = {&source_local, NULL};

static const struct source_provider *
find_provider(const struct source_options *options)
{
	const struct source_provider *const *at = options->providers ? options->providers : providers_all;
	const char *name = options->provider ? options->provider : source_local.name;

	while (*at && strcmp((*at)->name, name) != 0)
		at++;
	return *at;
}

/* --- requests -------------------------------------------------------------------- */

int
source_request_new(struct source_request **ret, struct source *s, const struct source_query *query, void *tag)
{
	struct source_request *request = malloc(sizeof(*request));

	assert(s->magic == SOURCE_MAGIC);
	if (!request)
		return -ENOMEM;
	*request = (struct source_request){
		.magic = REQUEST_MAGIC,
		.provider = s->provider,
		.state = s->state,
		.next = s->first,
		.link = &s->first,
		.query = *query,
		.tag = tag,
	};
	if (s->first)
		s->first->link = &request->next;
	s->first = request;
	*ret = request;
	return 0;
}

static void
request_free(struct source_request *request)
{
	*request->link = request->next;
	if (request->next)
		request->next->link = request->link;
	request->magic = 0;
	free(request);
}

const struct source_query *
source_request_query(const struct source_request *request)
{
	return &request->query;
}

void *
source_request_tag(const struct source_request *request)
{
	return request->tag;
}

void
source_request_answer(struct source_request *request, struct text json)
{
	source_answered *answered = request->answered;
	void *arg = request->arg;

	assert(request->magic == REQUEST_MAGIC);
	assert(answered); /* else it is answered from within search() */
	request_free(request);
	answered(arg, json);
}

void
source_cancel(struct source_request *request)
{
	if (!request)
		return;
	assert(request->magic == REQUEST_MAGIC);
	request->provider->cancel(request->state, request);
	request_free(request);
}

int
source_search(struct source *s, const struct source_query *query, struct buffer *out,
	      struct source_request **ret_request, source_answered *answered, void *arg)
{
	struct source_request *request = NULL;
	size_t before = out->len;
	int r;

	assert(s->magic == SOURCE_MAGIC);
	r = s->provider->search(s->state, query, out, &request);
	if (r < 0)
		out->len = before;
	if (r != SOURCE_E_PENDING)
		return r;
	request->answered = answered;
	request->arg = arg;
	*ret_request = request;
	return SOURCE_E_PENDING;
}

/* --- the source -------------------------------------------------------------------- */

void
source_notice(struct source *s, enum source_event event, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (!s->noticed)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	s->noticed(s->noticed_arg, event, text);
}

static void
take_listener(struct source *s, const struct source_options *options)
{
	s->noticed = options->noticed;
	s->noticed_arg = options->noticed_arg;
}

int
source_new(struct source **ret, struct event_base *base, const struct source_options *options)
{
	CLEANUP(cleanup_free) struct source *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->magic = SOURCE_MAGIC;
	s->base = base;
	s->provider = find_provider(options);
	if (!s->provider)
		return -ENOENT;
	take_listener(s, options);
	r = s->provider->new (&s->state, s, base, options);
	if (r < 0)
		return r;
	*ret = s;
	s = NULL;
	return 0;
}

/* What the old provider has not answered gets an answer now: nobody may wait for ever. The callbacks
   may make new requests, and cancel old ones. */
static void
give_up_requests(struct source_request *old)
{
	static const char why[] = "the source of places was changed";
	struct buffer json = {.max = 1024};
	int r = json_put_failure(&json, TEXT("UNKNOWN_ERROR"), text_of(why));

	if (old)
		old->link = &old;
	while (old) {
		struct source_request *request = old;

		request->provider->cancel(request->state, request);
		source_request_answer(request, r == 0 ? (struct text){json.bytes, json.len} : TEXT("{}"));
	}
	buffer_done(&json);
}

static int
change_provider(struct source *s, const struct source_provider *provider,
		const struct source_options *options)
{
	const struct source_provider *old = s->provider;
	struct source_request *requests = s->first;
	void *old_state = s->state;
	void *state;
	int r;

	r = provider->new (&state, s, s->base, options);
	if (r < 0)
		return r;
	s->provider = provider;
	s->state = state;
	s->first = NULL;
	give_up_requests(requests);
	old->free(old_state);
	return 0;
}

int
source_reload(struct source *s, const struct source_options *options)
{
	const struct source_provider *provider = find_provider(options);
	int r;

	assert(s->magic == SOURCE_MAGIC);
	if (!provider)
		return -ENOENT;
	r = provider == s->provider ? provider->reload(s->state, options)
				    : change_provider(s, provider, options);
	if (r < 0)
		return r;
	take_listener(s, options);
	return 0;
}

struct source *
source_free(struct source *s)
{
	if (!s)
		return NULL;
	assert(s->magic == SOURCE_MAGIC);
	s->provider->free(s->state);
	while (s->first)
		request_free(s->first);
	s->magic = 0;
	free(s);
	return NULL;
}
