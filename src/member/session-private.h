#ifndef MEMBER_SESSION_PRIVATE_H
#define MEMBER_SESSION_PRIVATE_H
/*
 * What session.c (its life and its events), session-in.c (commands, in turns)
 * and session-out.c (replies, in order) share. An int is 0 or a negative
 * errno, and then the session is to be dropped.
 */
#include "member/session.h"

static inline int
session_fd(const struct session *s)
{
	return event_get_fd(&s->readable);
}

/* Replies that the client has not taken yet. */
static inline size_t
session_unsent(const struct session *s)
{
	return s->out.len + s->turn_len + s->queued;
}

/* Its next command has to wait. Behind a fix that is not in the table yet it might ask for that very fix. */
static inline bool
session_is_full(const struct session *s)
{
	return session_unsent(s) >= s->member->conf.unsent_max ||
	       s->pending >= s->member->conf.places_pending_max || s->store;
}

/* --- session-in.c ---------------------------------------------------------- */

/* Reads once and answers it, as far as a turn goes. */
int session_read(struct session *s);

/* Goes on with commands that had to wait. */
int session_work(struct session *s);

/* --- session-out.c --------------------------------------------------------- */

/* Sends what it has of `out`, as far as the client takes it. */
int session_flush(struct session *s);

/* Sends what a turn kept. Whatever else it sends comes after this. */
int session_send_kept(struct session *s);

/* Keeps what stands in the shared output until all sessions had their turn, or sends it. */
int session_keep_output(struct session *s);

/* Puts a reply that waits into the queue: session_on_reply() will be called. */
void session_queue(struct session *s, struct reply *reply);

/* A reply of the queue is ready: the session waits for it no more. */
void session_queue_ready(struct session *s, const struct reply *reply);

/* Moves what is ready at the head of the queue to `out`. */
int session_queue_drain(struct session *s);

/* --- session.c --------------------------------------------------------------- */

/* The `ready` of replies that wait: sends what can go out, and goes on. */
void session_on_reply(struct reply *reply, void *owner);

#endif
