#ifndef PLACES_FETCH_PRIVATE_H
#define PLACES_FETCH_PRIVATE_H
/* What fetch.c (the queues) and fetch-request.c (one question and its answer) share. */
#include <sys/queue.h>

#include "base/buffer.h"
#include "places/fetch-engine.h"
#include "places/fetch.h"

enum request_state {
	REQUEST_WAITING,   /* in its origin's queue */
	REQUEST_UNDER_WAY, /* with its engine */
	REQUEST_ENDED,	   /* the callback is due */
	REQUEST_TOLD,	   /* the callback runs */
	REQUEST_LEFT,	   /* nobody waits for it any more, but curl has it still */
};

struct fetch_origin; /* fetch.c */
struct event;

struct fetch_request {
	unsigned int magic;
	enum request_state state;
	struct fetch *fetch;
	struct fetch_origin *origin;
	TAILQ_ENTRY(fetch_request) link; /* of the list its state says */
	TAILQ_ENTRY(fetch_request) left; /* of those that were given up, and that curl has still */
	uint64_t number;
	struct event *deadline;
	fetch_answered *answered;
	void *arg;

	/* The question: all of it in `copy`. */
	char *copy;
	size_t copy_size;
	char *url;
	struct curl_slist headers[FETCH_HEADERS_MAX + 2];
	struct text body;
	bool is_post;
	size_t answer_max;
	int64_t timeout_ns, connect_timeout_ns;

	/* Under way. */
	struct engine *engine;
	CURL *easy; /* of the engine; NULL when curl has it not */
	char curl_error[CURL_ERROR_SIZE];

	/* The answer. */
	enum fetch_result result;
	struct buffer got;
	size_t header_bytes;
	const char *trouble; /* why we ended it, static text; NULL: we did not */
	int64_t retry_after_ns;
	unsigned int status;
	bool reused, is_http2, is_encoded;
	bool is_opening; /* this and `has_opened`: of fetch-origin.c */
	bool has_opened;
	char content_type[128];
	char error[CURL_ERROR_SIZE];
};

/* A copy of the question, without event and origin. As fetch_start(). */
int request_new(struct fetch_request **ret, const struct fetch_question *question);

/* Wipes and frees. Its easy handle has gone back. Accepts NULL. */
void request_free(struct fetch_request *r);

/* scheme://host:port of a URL that request_new() took. */
struct text request_origin(const char *url);

/* Asks a handle of the engine what the request asks. Negative errno. */
int request_prepare(struct fetch_request *r);

/* What came of it. */
void request_judge(struct fetch_request *r, CURLcode code);

/* Ends it otherwise. */
void request_fail(struct fetch_request *r, enum fetch_result result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Calls back. */
void request_tell(struct fetch_request *r);

#endif
