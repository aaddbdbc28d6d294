#ifndef MEMBER_SESSION_H
#define MEMBER_SESSION_H
/*
 * Session: one client on a stream socket. It owns the descriptor and whatever
 * a turn left over: a piece of a line, commands that have to wait, replies
 * that the client has not taken yet.
 */
#include <event2/event_struct.h>

#include "member/answer.h"

struct session {
	uint32_t magic;
	struct member *member;
	struct crowd_address *address; /* counted there; NULL: nowhere */
	TAILQ_ENTRY(session) in_member, in_turn;
	struct event readable, writable;
	bool reading, writing;	 /* whether each of them is added */
	bool skipping;		 /* inside a line that was too long */
	bool ended;		 /* the client sends no more */
	bool more;		 /* a turn ended before the lines in `in` did */
	bool leaving, shut;	 /* the member ends: nothing is read; it was told so */
	uint32_t pending;	 /* replies in the queue that wait */
	size_t queued;		 /* bytes of replies in the queue that are ready */
	struct buffer in;	 /* received, not answered yet */
	struct buffer out;	 /* replies, not sent yet */
	size_t turn_at;		 /* replies that go out when all sessions had their turn: where they */
	size_t turn_len;	 /* are in the member's `turn`; 0: none, and it is not in `sending` */
	struct reply_list queue; /* in command order, from the first one that waits on */
	struct reply *store; /* the one in the queue that waits for the table; commands behind it wait too */
	int64_t line_since_ns; /* the line at the front of `in` is unfinished since then; 0: none is */
	int64_t heard_ns;      /* when bytes last came */
	int64_t sent_ns; /* when `out` last moved, or `more` began to wait until the socket takes bytes */
	int in_kernel;	 /* bytes of replies the kernel held when that was last looked at */
};

/* Takes over a connected, non-blocking descriptor and the address it counts at (may be NULL), on failure
   too. -ENOMEM. */
int session_new(struct member *m, int fd, struct crowd_address *address);

/* Who is at the other end, for the log: "127.0.0.1:43914", "unix", "?". */
const char *session_peer(int fd, char out[ADDRESS_TEXT_MAX]);

/* Closes the connection and forgets its replies. */
void session_free(struct session *s);

/* Sends the replies of all sessions that had a turn. */
void session_send_all(struct member *m);

/*
 * The member ends: called now and then until it returns true, when the session is gone. What was read is
 * answered and sent; what comes now is thrown away.
 */
bool session_leave(struct session *s);

/* Called about four times a second: drops it when one of its deadlines is over. */
void session_check_deadlines(struct session *s);

#endif
