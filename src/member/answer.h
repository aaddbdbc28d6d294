#ifndef MEMBER_ANSWER_H
#define MEMBER_ANSWER_H
/*
 * Answer: from one command to its reply. Most replies are ready at once; one
 * that must wait, for a lookup or for a place in the table, becomes a struct
 * reply that its owner keeps in command order.
 */
#include <sys/queue.h>

#include "core/message.h"
#include "member/member.h"

enum { ANSWER_E_PENDING = 1 };

enum reply_state {
	REPLY_READY,	  /* bytes hold all of it */
	REPLY_FOR_STORE,  /* an IAMAT whose fix is not in the table yet */
	REPLY_FOR_PLACES, /* a WHATSAT whose lookup is under way */
	REPLY_FOR_PEERS,  /* an IAMAT whose fix is in the table, but not with enough peers */
};

struct reply;
typedef void reply_ready(struct reply *reply, void *owner);

struct reply {
	uint32_t magic;
	enum reply_state state;
	struct member *member;
	TAILQ_ENTRY(reply) in_order; /* the owner's */
	TAILQ_ENTRY(reply) waiting; /* in member->waiting_store, or in member->confirm, for REPLY_FOR_PEERS */
	struct buffer bytes;
	struct source_request *request; /* for REPLY_FOR_PLACES */
	struct herd_fix fix;		/* for REPLY_FOR_STORE */
	struct fix_time client_time;
	uint64_t round;	     /* for REPLY_FOR_PEERS: of the table's changes, that has to be confirmed */
	int64_t deadline_ns; /* monotonic: it waits no longer */
	reply_ready *ready;  /* called once, from the loop, when a waiting reply is ready */
	void *owner;
};

/* An empty, ready reply. NULL: no memory. */
struct reply *reply_new(struct member *m);

/* Ends what it waits for; accepts NULL, returns NULL. */
struct reply *reply_free(struct reply *reply);

/* It has what it waited for: ready is called. */
void reply_release(struct reply *reply);

/* The same, but ready is not called: its owner takes it. */
void reply_take(struct reply *reply);

/* Commands that are answered together: read, looked up ahead, then answered in order. */
enum { ANSWER_BATCH = 16 };

struct answer_batch {
	size_t count;
	struct message message[ANSWER_BATCH];
	struct table_key key[ANSWER_BATCH]; /* of invalid ones: an empty id */
};

/* Takes one more line in; the batch must not be full. One longer than line-max is invalid. */
void answer_read(struct member *m, struct answer_batch *batch, struct text line);

/* Fetches the table's lines for all of them. Worth calling for two and more. */
void answer_prefetch(struct member *m, struct answer_batch *batch);

/*
 * Answers the index-th message, received at rx_ns.
 *   0                 the reply was appended to *out
 *   ANSWER_E_PENDING  *ret_pending will be ready later; set its `ready` and `owner`
 *   -ENOBUFS, -ENOMEM *out is as it was
 */
int answer_give(struct member *m, struct answer_batch *batch, size_t index, int64_t rx_ns, struct buffer *out,
		struct reply **ret_pending);

/* "? ", the first line_max bytes of the line, LF. */
int answer_refuse(struct member *m, struct text line, struct buffer *out);

/* Tries again to store what waits. Called by a timer while anything waits. */
void answer_retry_stores(struct member *m);

#endif
