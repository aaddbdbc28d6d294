#ifndef MEMBER_CONFIRM_H
#define MEMBER_CONFIRM_H
/*
 * Confirm: what a member and the host's helper have to say to each other. The
 * helper is woken when it sleeps and there is something to flood; and with
 * ack-after an AT reply waits here until so many peers have applied its fix, or
 * until ack-timeout is over: then it goes out all the same, and is counted.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "herd/control.h"

struct member;
struct reply;
struct report;

TAILQ_HEAD(confirm_list, reply);

struct confirm {
	char helper[HERD_CONTROL_PATH_MAX]; /* its wake socket; "": cannot be named */
	int sender;			    /* -1: not open yet */
	struct wake *wake;	     /* ours; NULL: nothing has waited yet, or there is no folder for it */
	struct loop_timer *timer;    /* while something waits */
	struct confirm_list waiting; /* replies, in the order of their rounds */
	uint64_t confirmed;	     /* the last round known to be, of the table that replies wait for */
	bool is_late;		     /* the last one that was released had waited in vain */
	bool has_news;		     /* something was put into the table in this turn, or waits since it */
};

/* Before anything else here. */
void confirm_init(struct member *m);

/* An AT reply whose fix is in the table, all of it in reply->bytes. false: it need not, or cannot, wait. Else its
   state is REPLY_FOR_PEERS, and `ready` will be called. */
bool confirm_hold(struct reply *reply);

/* It waited for a round that is known to be confirmed; it will be released in this turn. */
bool confirm_is_over(const struct reply *reply);

/* It waits no more. */
void confirm_forget(struct reply *reply);

/* At the end of each turn of the loop: wakes the helper if it sleeps and there is something for it. */
void confirm_after_turn(struct member *m);

/* The member has moved to another table, with its fixes. */
void confirm_moved(struct member *m);

/* What is degraded. */
void confirm_describe(struct member *m, struct report *r);

/* When no reply waits any more. */
void confirm_done(struct member *m);

#endif
