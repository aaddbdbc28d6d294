#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H
/*
 * Client: one command to one member, one reply back, in bounded time.
 */
#include "base/buffer.h"
#include "core/message.h"
#include "herd/fix.h"

enum {
	CLIENT_REPLY_MAX = 4 << 20, /* an AT line and at most 20 places */
	CLIENT_ADDRESS_MAX = 128,
};

/* Where a reply ends: after `len` bytes of what has come, or 0: not yet. *ret_refused: it begins
   with "? ". */
size_t client_reply_length(enum message_verb verb, struct text bytes, bool *ret_refused);

/* Sends the line (LF is added) to "ADDR:PORT" or "unix:/PATH" and waits for the whole reply. Names
   are not looked up (that cannot be bounded), but for "localhost". 0; -EINVAL: no address; -ETIMEDOUT; -EPIPE: the other end left before it had
   answered; -EMSGSIZE: it would not stop; or what the system says. */
int client_ask(const char *address, struct text line, enum message_verb verb, int64_t timeout_ns,
	       struct buffer *ret_reply);

/* A connection to such an address, which does not block; *ret_fd is the caller's. As above. */
int client_connect(const char *address, int64_t deadline_ns, int *ret_fd);

/* The time of day as IAMAT takes it. */
void client_put_now(char ret[HERD_TIME_MAX + 1]);

/* Is it one of those forms? */
bool client_address_valid(const char *address);

/* A reply in its parts; texts point into bytes. */
struct client_reply {
	struct buffer bytes;		  /* owned */
	char address[CLIENT_ADDRESS_MAX]; /* who was asked */
	struct text refused;		  /* the line after "? "; at is NULL when it was not */
	struct text at;			  /* the AT line, without its LF */
	struct herd_fix fix;		  /* what it says */
	struct text places;		  /* WHATSAT: the JSON, without white space around it */
};

void client_reply_done(struct client_reply *reply);

/* Takes a whole reply apart: 0, or -EPROTO when it is none of this verb about this client. */
int client_reply_parse(struct client_reply *reply, enum message_verb verb, struct text id);

#endif
