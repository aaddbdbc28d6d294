#ifndef PLACES_SOURCE_H
#define PLACES_SOURCE_H
/*
 * Source: where a member's WHATSAT answers come from. A provider is a small
 * table of functions; `local`, the only one so far, answers from a places file
 * (core/places.h). Searching is asynchronous by contract, so that providers
 * that ask a network fit in. Nothing here ever blocks the event loop.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"
#include "core/places.h"

struct event_base;
struct source;		/* opaque; belongs to one event loop */
struct source_request;	/* opaque; a lookup under way */
struct source_provider; /* below */

enum { SOURCE_E_PENDING = 1 };

/* What the owner of a source may want to log. */
enum source_event {
	SOURCE_LOADED,	 /* a places file is now in use; text says which, and how many places */
	SOURCE_BUILT_IN, /* no file there: the places built into the program are in use */
	SOURCE_BAD_FILE, /* a file could not be used; the text says why, and what is used instead */
};
typedef void source_noticed(void *arg, enum source_event event, const char *text);

struct source_options {
	const char *provider; /* NULL: "local" */
	const char *file;     /* places file; NULL or empty: only the built-in places */
	enum places_rank rank;
	struct text built_in;	 /* a places file in memory, used while `file` is absent: places/embedded.h */
	source_noticed *noticed; /* from the event loop, or from within source_new/reload; may be NULL */
	void *noticed_arg;
	const struct source_provider *const *providers; /* NULL: those of the program; ends with NULL */
};

/* Options are copied, but what noticed_arg, built_in and providers point at must outlive the source.
   -ENOENT: no such provider. A bad or absent file is not a failure: see SOURCE_BAD_FILE. */
int source_new(struct source **ret, struct event_base *base, const struct source_options *options);

/* New settings, the same source: lookups under way are still answered. On failure the old stay. */
int source_reload(struct source *s, const struct source_options *options);

/* Requests still under way are dropped without their callback. Accepts NULL, returns NULL. */
struct source *source_free(struct source *s);

struct source_query {
	int32_t lat_e7, lon_e7;
	double radius_km;   /* 0 to 50 */
	unsigned int bound; /* 0 to 20 */
};

/* The JSON object, without an LF at its end or an empty line inside. Valid during the call only. */
typedef void source_answered(void *arg, struct text json);

/*
 * Looks up what is near.
 *   0                 the JSON object has been appended to *out
 *   SOURCE_E_PENDING  answered(arg, json) comes exactly once, later, from the event loop, unless
 *                     source_cancel(*ret_request) comes first; *ret_request is valid until then
 *   negative          a fault of ours (-ENOBUFS: *out is full); *out is as it was
 * What fails outside (a provider down, a file cut short) is not a fault but a JSON object with
 * empty results, the status word and error_message.
 */
int source_search(struct source *s, const struct source_query *query, struct buffer *out,
		  struct source_request **ret_request, source_answered *answered, void *arg);

/* Forgets a pending request; its callback will not come. Accepts NULL. */
void source_cancel(struct source_request *request);

/* --- for providers ----------------------------------------------------- */

struct source_provider {
	const char *name;
	int (*new)(void **ret_state, struct source *s, struct event_base *base,
		   const struct source_options *options);
	/* As source_search(). Pending: make the request with source_request_new(). */
	int (*search)(void *state, const struct source_query *query, struct buffer *out,
		      struct source_request **ret_request);
	/* Somebody lost interest: drop every reference to the request. */
	void (*cancel)(void *state, struct source_request *request);
	int (*reload)(void *state, const struct source_options *options);
	void (*free)(void *state);
};

extern const struct source_provider source_local;

/* A request of this source, for a provider's search() to return. tag is the provider's own. */
int source_request_new(struct source_request **ret, struct source *s, const struct source_query *query,
		       void *tag);
const struct source_query *source_request_query(const struct source_request *request);
void *source_request_tag(const struct source_request *request);

/* Calls back and frees the request. Never from within search(). */
void source_request_answer(struct source_request *request, struct text json);

/* Tells the owner, through its `noticed`. */
void source_notice(struct source *s, enum source_event event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
