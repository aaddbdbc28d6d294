#ifndef MEMBER_CLOSING_H
#define MEMBER_CLOSING_H
/*
 * Closing: the end of a member that was asked to end. Nobody comes in any
 * more and nothing more is read; what was read is answered and what was
 * answered is sent, for a second at most.
 *
 * Draining may come before: nobody comes in any more, but who is there stays,
 * as long as it likes.
 */
#include <stdbool.h>
#include <stdint.h>

struct member;
struct loop_timer;

/* Part of the member; zero-initialised. */
struct closing {
	struct loop_timer *timer; /* owned; NULL: it has not begun */
	int64_t until_ns;
	bool is_draining;
};

/* Begins to drain: lets in who waits in the kernel's queues, and closes the sockets. Once more: no harm. */
void closing_drain(struct member *m);

/* From the member's tick: gives up sockets whose last reply has been sent. */
void closing_tick(struct member *m);

/* Nobody is connected, and nobody is owed a reply. */
bool closing_is_idle(const struct member *m);

/* Begins; the loop stops when all is sent, or time is up. Called once more, it stops at once. */
void closing_begin(struct member *m);

/* Ends it, also when it never began. */
void closing_done(struct member *m);

#endif
