#ifndef PLACES_SOURCE_H
#define PLACES_SOURCE_H
/*
 * Source: where a member's WHATSAT answers come from. A provider is a small
 * table of functions: `local` answers from a places file (core/places.h),
 * others ask a service on the network (places/web.h). Providers make a chain:
 * what one cannot answer the next is asked. Searching is asynchronous by
 * contract. Nothing here ever blocks the event loop.
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

enum {
	SOURCE_E_PENDING = 1,
	SOURCE_E_FAILED = 2, /* of providers only */
};

enum { SOURCE_CHAIN_MAX = 8 };

/* What the owner of a source may want to log. */
enum source_event {
	SOURCE_LOADED,	 /* a places file is now in use; text says which, and how many places */
	SOURCE_BUILT_IN, /* no file there: the places built into the program are in use */
	SOURCE_BAD_FILE, /* a file could not be used; the text says why, and what is used instead */
	SOURCE_DOWN,	 /* a service fails and is left alone; the text says which, why, and for how long */
	SOURCE_UP,	 /* it answers again */
	SOURCE_DENIED,	 /* a service wants something of the operator: a key, another key, a contact */
	SOURCE_LIMITED,	 /* the requests of this day are used up */
	SOURCE_FAULT,	 /* an answer could not be used: cut short, too big, of a wrong shape, redirected */
	SOURCE_EVENT_COUNT
};
typedef void source_noticed(void *arg, enum source_event event, const char *text);

/* One service on the network. */
struct source_service {
	const char *url;		       /* https://HOST[:PORT], without what the service's API adds */
	const char *key_file;		       /* "": the credential google-key, or none */
	const char *field_mask;		       /* google */
	const char *language, *region, *types; /* "": none */
	const char *contact;	    /* overpass: a mail address or a page, sent with each request */
	int64_t timeout_ns;	    /* of a lookup, with all that is tried again */
	int64_t connect_timeout_ns; /* of one attempt to connect */
	int64_t cache_ttl_ns;	    /* 0: answers are not kept */
	int64_t breaker_pause_ns;   /* a service that fails is first left alone for so long */
	uint32_t breaker_failures;  /* so many in a row; 0: it never is */
	uint32_t retries;	    /* of one lookup */
	uint32_t requests_per_second, requests_per_day; /* 0: no limit */
	uint32_t answer_max;				/* bytes */
	uint32_t radius_max_m;				/* asked at most */
	uint32_t
		cell_m; /* questions about one square of so many metres are one; 0: only about the same place */
};

/* What all of them share. */
struct source_web {
	const char *member;    /* whose budget it is */
	const char *state_dir; /* where that is kept; NULL or "": nowhere */
	const char *ca_file;   /* "": the system's */
	const char *proxy;     /* "": none */
	const char *user_agent;
	uint32_t connections_max;
	uint32_t cache_size; /* bytes */
	struct source_service google, google_legacy, overpass;
};

struct source_options {
	const char *const *chain; /* names of providers, ends with NULL; NULL: "local" alone */
	const char *file;	  /* places file; NULL or empty: only the built-in places */
	enum places_rank rank;
	const struct source_web *web; /* NULL: as if no setting of it was given */
	struct text built_in;	 /* a places file in memory, used while `file` is absent: places/embedded.h */
	source_noticed *noticed; /* from the event loop, or from within source_new/reload; may be NULL */
	void *noticed_arg;
	const struct source_provider *const *providers; /* NULL: those of the program; ends with NULL */
};

/* Options are copied, but what noticed_arg, built_in and providers point at must outlive the source.
   -ENOENT: no such provider; -EEXIST: one of them twice; -E2BIG: more than SOURCE_CHAIN_MAX. A bad or absent file is not a failure: see
   SOURCE_BAD_FILE. */
int source_new(struct source **ret, struct event_base *base, const struct source_options *options);

/* New settings, the same source: lookups under way are still answered, those of a provider that leaves the chain by
   the new chain. On failure providers go on as they are. */
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
 * What fails outside (a service down, a file cut short) is not a fault but a JSON object with
 * empty results, the status word and error_message: those of the first provider of the chain, when
 * no provider could answer.
 */
int source_search(struct source *s, const struct source_query *query, struct buffer *out,
		  struct source_request **ret_request, source_answered *answered, void *arg);

/* Forgets a pending request; its callback will not come. Accepts NULL. */
void source_cancel(struct source_request *request);

/* How a provider does, for `herdctl status`. */
struct source_state {
	const char *provider;
	const char *state;	    /* "ok", "down", "trying", "limited", "no key", ... */
	char why[256];		    /* "" when it is ok */
	uint64_t asked;		    /* requests sent to the service */
	uint64_t answered;	    /* lookups */
	uint64_t coalesced, cached; /* of these: by somebody else's request, from the cache */
	uint64_t failed;	    /* lookups it could not answer */
	uint64_t retried;	    /* requests */
	uint32_t under_way, waiting;
	uint32_t day_used, day_max; /* requests of this day; day_max 0: no limit */
};

/* Those of the chain that ask a network, in its order. Returns how many were put into ret, at most max. */
size_t source_states(struct source *s, struct source_state *ret, size_t max);

/* --- for providers ----------------------------------------------------- */

struct source_provider {
	const char *name;
	int (*new)(void **ret_state, struct source *s, struct event_base *base,
		   const struct source_options *options);
	/* As source_search(). Pending: make the request with source_request_new(). SOURCE_E_FAILED: *out has the
	   object that says why (json_put_failure()), and the next provider is asked. */
	int (*search)(void *state, const struct source_query *query, struct buffer *out,
		      struct source_request **ret_request);
	/* Somebody lost interest: drop every reference to the request. */
	void (*cancel)(void *state, struct source_request *request);
	int (*reload)(void *state, const struct source_options *options);
	void (*describe)(void *state, struct source_state *ret); /* NULL: there is nothing to say */
	void (*free)(void *state);
};

extern const struct source_provider source_local;

/* One pointer that the providers of a source may share; NULL at first. */
void **source_shared(struct source *s);

/* A request of this source, for a provider's search() to return. tag is the provider's own. With *ret already
   set, which another provider could not answer, that one becomes this provider's. */
int source_request_new(struct source_request **ret, struct source *s, const struct source_query *query,
		       void *tag);
const struct source_query *source_request_query(const struct source_request *request);
void *source_request_tag(const struct source_request *request);

/* Calls back and frees the request. Never from within search(). */
void source_request_answer(struct source_request *request, struct text json);

/* The provider cannot answer it, and has let go of it: the next one is asked. json says why, as
   json_put_failure() does. Never from within search(). */
void source_request_fail(struct source_request *request, struct text json);

/* Tells the owner, through its `noticed`. */
void source_notice(struct source *s, enum source_event event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
