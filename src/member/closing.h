#ifndef MEMBER_CLOSING_H
#define MEMBER_CLOSING_H
/*
 * Closing: the end of a member that was asked to end. Nobody comes in any
 * more and nothing more is read; what was read is answered and what was
 * answered is sent, for a second at most.
 */
#include <stdbool.h>
#include <stdint.h>

struct member;
struct loop_timer;

/* Part of the member; zero-initialised. */
struct closing {
	struct loop_timer *timer; /* owned; NULL: it has not begun */
	int64_t until_ns;
};

/* Begins; the loop stops when all is sent, or time is up. Called once more, it stops at once. */
void closing_begin(struct member *m);

/* Ends it, also when it never began. */
void closing_done(struct member *m);

#endif
