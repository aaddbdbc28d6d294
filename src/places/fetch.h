#ifndef PLACES_FETCH_H
#define PLACES_FETCH_H
/*
 * Fetch: HTTP(S) requests that do not block: curl's multi interface driven by
 * the event loop's socket and timer callbacks. Connections are kept and
 * shared (HTTP/2 where the server has it); no redirect is followed, no
 * certificate goes unchecked, nothing is read from the environment (no proxy
 * variables, no .netrc), and no answer is kept beyond its bound.
 * Requests beyond what the connections can carry wait here, those of each
 * server in order; waiting counts against their timeout. The program ignores
 * SIGPIPE, as net/loop.h does.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/text.h"

struct event_base;
struct fetch;	      /* opaque; belongs to one event loop */
struct fetch_request; /* opaque */

struct fetch_options {
	unsigned int connections_max; /* open at a time, to all servers together; at least 1 */
	const char *ca_file;	      /* PEM; NULL or "": the system's */
	const char *proxy;	      /* URL; NULL or "": none */
	const char *user_agent;	      /* "herd/0.1.0" */
};

/* A ca_file that cannot be read is no failure here: requests over TLS end as FETCH_TLS and say so.
   -ENOTSUP: this libcurl would block while it resolves a name. */
int fetch_new(struct fetch **ret, struct event_base *base, const struct fetch_options *options);

/* The file or the folder that authorities are read from with this ca_file. NULL: nobody knows. */
const char *fetch_authorities(const char *ca_file);

/* For requests to come, which use new connections; ca_file is read again. Those under way go on. On failure
   nothing changes. */
int fetch_configure(struct fetch *f, const struct fetch_options *options);

/* Requests under way end without their callback. May be called from a callback. Accepts NULL, returns NULL. */
struct fetch *fetch_free(struct fetch *f);
CLEANUP_POINTER(struct fetch, fetch_free);

struct fetch_header {
	struct text name, value; /* value: never logged, wiped with the request */
};

enum { FETCH_HEADERS_MAX = 16 };

struct fetch_question {
	const char *url; /* http:// or https://, printable ASCII without blanks, no user in it */
	const struct fetch_header *headers;
	size_t header_count; /* at most FETCH_HEADERS_MAX */
	struct text body;
	const char *content_type; /* NULL: a GET without a body; else a POST */
	size_t answer_max;	  /* bytes, after decompression */
	int64_t timeout_ns;	  /* of all of it, from now on */
	int64_t connect_timeout_ns;
};

enum fetch_result {
	FETCH_DONE,	   /* a complete HTTP answer of whatever status */
	FETCH_TIMEOUT,	   /* the whole, or connecting */
	FETCH_UNREACHABLE, /* name, connection, or an end before any answer */
	FETCH_BROKEN,	   /* cut short, or not HTTP */
	FETCH_TOO_BIG,	   /* more than answer_max */
	FETCH_TLS,	   /* certificate or handshake */
	FETCH_FAULT,	   /* ours: no memory */
};

/* All of it is valid during the callback only. */
struct fetch_answer {
	enum fetch_result result;
	unsigned int status; /* HTTP; 0 unless FETCH_DONE */
	struct text body;
	int64_t retry_after_ns;	  /* of Retry-After (seconds or date), at most a day; -1: none */
	const char *content_type; /* "" if none */
	const char *error; /* one printable line without any header's value, body or query; "" when done */
	bool connection_reused;
};
typedef void fetch_answered(void *arg, const struct fetch_answer *answer);

/* Copies all of the question. answered() comes exactly once, from the event loop, never from within
   fetch_start(), unless fetch_cancel() comes first. -ENOMEM; -EINVAL: a URL or header that cannot be sent. */
int fetch_start(struct fetch_request **ret, struct fetch *f, const struct fetch_question *question,
		fetch_answered *answered, void *arg);

/* Also from callbacks; not after the request's own. Accepts NULL. */
void fetch_cancel(struct fetch_request *request);

struct fetch_counts {
	uint64_t started, done, failed; /* failed: whatever is not FETCH_DONE; cancelled ones are neither */
	uint64_t connections;		/* attempts so far */
	uint32_t under_way;		/* handed to curl */
	uint32_t waiting;		/* for a connection */
};
struct fetch_counts fetch_counts(const struct fetch *f);

#endif
