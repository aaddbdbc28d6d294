/*
 * Source: the chain of providers, and the requests that are under way.
 *
 * A request belongs to the source, not to the provider, so that its owner can
 * cancel it, a provider that leaves the chain can be told to let go of it, and
 * the next provider can take it over. A lookup that is answered at once by the
 * first one costs no allocation.
 */
#include "places/source.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "places/json.h"
#include "places/web.h"

enum {
	SOURCE_MAGIC = 0x48505352,  /* "HPSR" */
	REQUEST_MAGIC = 0x48505251, /* "HPRQ" */
	ANSWER_MAX = 1 << 18,	    /* bytes: twenty places of the longest texts are 170,000 */
};

struct link {
	const struct source_provider *provider;
	void *state;
};

struct source {
	unsigned int magic;
	struct event_base *base;
	struct link chain[SOURCE_CHAIN_MAX];
	size_t chain_count;
	void *shared; /* the providers' */
	source_noticed *noticed;
	void *noticed_arg;
	struct source_request *first; /* all that are under way */
};

struct source_request {
	unsigned int magic;
	struct source *source;
	struct link asked;		     /* the one that has it now */
	struct source_request *next, **link; /* link: what points at this one */
	struct source_query query;
	void *tag;
	struct buffer failure; /* what the first provider that failed said */
	source_answered *answered;
	void *arg;
};

static const struct source_provider *const providers_all[] = {&source_local, &source_google,
							      &source_google_legacy, &source_overpass, NULL};

/* --- the chain ------------------------------------------------------------------- */

static const struct source_provider *
find_provider(const struct source_options *options, const char *name)
{
	const struct source_provider *const *at = options->providers ? options->providers : providers_all;

	while (*at && strcmp((*at)->name, name) != 0)
		at++;
	return *at;
}

/* The place of a provider in the chain; its end if it is not there. */
static size_t
chain_find(const struct source *s, const struct source_provider *provider)
{
	size_t at = 0;

	while (at < s->chain_count && s->chain[at].provider != provider)
		at++;
	return at;
}

/* The chain the options ask for: with the state of those who are in the present one, without that of others. */
static int
chain_plan(const struct source *s, const struct source_options *options, struct link chain[SOURCE_CHAIN_MAX],
	   size_t *ret_count)
{
	static const char *const local_alone[] = {"local", NULL};
	const char *const *name = options->chain && options->chain[0] ? options->chain : local_alone;
	size_t count = 0;

	for (; *name; name++) {
		const struct source_provider *provider = find_provider(options, *name);
		size_t at;

		if (!provider)
			return -ENOENT;
		for (at = 0; at < count && chain[at].provider != provider; at++)
			;
		if (at < count)
			return -EEXIST;
		if (count == SOURCE_CHAIN_MAX)
			return -E2BIG;
		at = chain_find(s, provider);
		chain[count].state = at < s->chain_count ? s->chain[at].state : NULL;
		chain[count++].provider = provider;
	}
	*ret_count = count;
	return 0;
}

/* Makes those who are new. On failure none of them is left. */
static int
chain_make(struct source *s, const struct source_options *options, struct link *chain, size_t count)
{
	bool is_new[SOURCE_CHAIN_MAX] = {false};
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		is_new[i] = chain_find(s, chain[i].provider) == s->chain_count;
		if (is_new[i])
			r = chain[i].provider->new (&chain[i].state, s, s->base, options);
		if (r < 0)
			is_new[i] = false;
	}
	for (size_t i = 0; i < count && r < 0; i++)
		if (is_new[i])
			chain[i].provider->free(chain[i].state);
	return r;
}

/* --- requests -------------------------------------------------------------------- */

static void
request_link(struct source_request *request, struct source_request **where)
{
	request->next = *where;
	request->link = where;
	if (request->next)
		request->next->link = &request->next;
	*where = request;
}

static void
request_unlink(struct source_request *request)
{
	*request->link = request->next;
	if (request->next)
		request->next->link = request->link;
}

int
source_request_new(struct source_request **ret, struct source *s, const struct source_query *query, void *tag)
{
	struct source_request *request = *ret;

	assert(s->magic == SOURCE_MAGIC);
	if (request) {
		request->tag = tag;
		return 0;
	}
	request = malloc(sizeof(*request));
	if (!request)
		return -ENOMEM;
	*request = (struct source_request){
		.magic = REQUEST_MAGIC,
		.source = s,
		.query = *query,
		.tag = tag,
	};
	request_link(request, &s->first);
	*ret = request;
	return 0;
}

static void
request_free(struct source_request *request)
{
	request_unlink(request);
	request->magic = 0;
	buffer_done(&request->failure);
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
	request->asked.provider->cancel(request->asked.state, request);
	request_free(request);
}

/* --- asking one after the other ------------------------------------------------------ */

/* Keeps what the first one that failed said: it is the one the operator wants to be asked. */
static int
keep_failure(struct buffer *failure, struct text json)
{
	if (failure->len > 0)
		return 0;
	failure->max = ANSWER_MAX;
	return buffer_append(failure, json);
}

/*
 * Asks the providers from the index-th on. 0, SOURCE_E_PENDING, negative errno as source_search();
 * SOURCE_E_FAILED: nobody could answer, and *failure says why.
 */
static int
ask_from(struct source *s, size_t index, const struct source_query *query, struct buffer *out,
	 struct source_request **request, struct buffer *failure)
{
	const size_t before = out->len;
	int r = SOURCE_E_FAILED;

	for (; index < s->chain_count && r == SOURCE_E_FAILED; index++) {
		const struct link *link = &s->chain[index];

		r = link->provider->search(link->state, query, out, request);
		if (r == SOURCE_E_PENDING)
			(*request)->asked = *link;
		if (r == SOURCE_E_FAILED &&
		    keep_failure(failure, (struct text){out->bytes + before, out->len - before}) < 0)
			r = -ENOMEM;
		if (r != 0)
			out->len = before;
	}
	return r;
}

int
source_search(struct source *s, const struct source_query *query, struct buffer *out,
	      struct source_request **ret_request, source_answered *answered, void *arg)
{
	CLEANUP(buffer_done) struct buffer failure = {0};
	struct source_request *request = NULL;
	int r;

	assert(s->magic == SOURCE_MAGIC);
	r = ask_from(s, 0, query, out, &request, &failure);
	if (r == SOURCE_E_FAILED)
		return buffer_append(out, (struct text){failure.bytes, failure.len});
	if (r != SOURCE_E_PENDING)
		return r;
	request->failure = failure;
	failure = (struct buffer){0};
	request->answered = answered;
	request->arg = arg;
	*ret_request = request;
	return SOURCE_E_PENDING;
}

/* Asks the providers from the index-th on in place of the one that had it, which has let go of it. */
static void
ask_on(struct source_request *request, size_t index)
{
	static const char fault[] =
		"{\"error_message\":\"the lookup failed inside the server\",\"html_attributions\":[],"
		"\"results\":[],\"status\":\"UNKNOWN_ERROR\"}";
	CLEANUP(buffer_done) struct buffer out = {.max = ANSWER_MAX};
	int r;

	r = ask_from(request->source, index, &request->query, &out, &request, &request->failure);
	if (r == SOURCE_E_PENDING)
		return;
	if (r == SOURCE_E_FAILED)
		r = buffer_append(&out, (struct text){request->failure.bytes, request->failure.len});
	source_request_answer(request, r < 0 ? text_of(fault) : (struct text){out.bytes, out.len});
}

void
source_request_fail(struct source_request *request, struct text json)
{
	assert(request->magic == REQUEST_MAGIC);
	assert(request->answered); /* else it fails from within search() */
	if (keep_failure(&request->failure, json) < 0)
		source_request_answer(request, json);
	else
		ask_on(request, chain_find(request->source, request->asked.provider) + 1);
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

void **
source_shared(struct source *s)
{
	return &s->shared;
}

size_t
source_states(struct source *s, struct source_state *ret, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < s->chain_count && count < max; i++) {
		if (!s->chain[i].provider->describe)
			continue;
		ret[count] = (struct source_state){.provider = s->chain[i].provider->name, .state = "ok"};
		s->chain[i].provider->describe(s->chain[i].state, &ret[count++]);
	}
	return count;
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
	struct link chain[SOURCE_CHAIN_MAX];
	size_t count;
	int r;

	if (!s)
		return -ENOMEM;
	s->magic = SOURCE_MAGIC;
	s->base = base;
	take_listener(s, options);
	r = chain_plan(s, options, chain, &count);
	if (r == 0)
		r = chain_make(s, options, chain, count);
	if (r < 0)
		return r;
	memcpy(s->chain, chain, count * sizeof(chain[0]));
	s->chain_count = count;
	*ret = s;
	s = NULL;
	return 0;
}

/* Those that a provider has which is no longer in the chain, out of the list of all. */
static void
take_orphans(struct source *s, struct source_request **end)
{
	struct source_request *next;

	for (struct source_request *request = s->first; request; request = next) {
		next = request->next;
		if (chain_find(s, request->asked.provider) < s->chain_count)
			continue;
		request_unlink(request);
		request_link(request, end);
		end = &request->next;
	}
}

/* What they have not answered the new chain is asked. The callbacks may make new requests, and cancel others. */
static void
move_orphans(struct source *s)
{
	struct source_request *orphans = NULL, *request;

	take_orphans(s, &orphans);
	while ((request = orphans)) {
		request_unlink(request);
		request_link(request, &s->first);
		request->asked.provider->cancel(request->asked.state, request);
		ask_on(request, 0);
	}
}

static void
change_chain(struct source *s, const struct link *chain, size_t count)
{
	struct link old[SOURCE_CHAIN_MAX];
	size_t old_count = s->chain_count;

	memcpy(old, s->chain, sizeof(old));
	memcpy(s->chain, chain, count * sizeof(chain[0]));
	s->chain_count = count;
	move_orphans(s);
	for (size_t i = 0; i < old_count; i++)
		if (chain_find(s, old[i].provider) == s->chain_count)
			old[i].provider->free(old[i].state);
}

int
source_reload(struct source *s, const struct source_options *options)
{
	struct link chain[SOURCE_CHAIN_MAX];
	size_t count;
	int r;

	assert(s->magic == SOURCE_MAGIC);
	r = chain_plan(s, options, chain, &count);
	if (r == 0)
		r = chain_make(s, options, chain, count);
	if (r < 0)
		return r;
	take_listener(s, options);
	for (size_t i = 0; i < count; i++)
		if (chain_find(s, chain[i].provider) < s->chain_count) {
			int error = chain[i].provider->reload(chain[i].state, options);

			r = r < 0 ? r : error;
		}
	change_chain(s, chain, count);
	return r < 0 ? r : 0;
}

struct source *
source_free(struct source *s)
{
	if (!s)
		return NULL;
	assert(s->magic == SOURCE_MAGIC);
	for (size_t i = 0; i < s->chain_count; i++)
		s->chain[i].provider->free(s->chain[i].state);
	while (s->first)
		request_free(s->first);
	s->magic = 0;
	free(s);
	return NULL;
}
