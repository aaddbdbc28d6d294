#ifndef PLACES_WEB_PRIVATE_H
#define PLACES_WEB_PRIVATE_H
/*
 * What web.c (the providers), web-lookup.c (lookups and their answers),
 * web-flight.c (questions to the service) and web-outcome.c (what came of them)
 * share.
 *
 * A flight is a question to the service: made by the first lookup that wants to
 * know, joined by others, in the table until it has its answer or the settings
 * change. It may wait for its turn, be asked, pause before it is asked again;
 * in the end it has an answer and is handed to its waiters, a few in one turn of
 * the loop. Without waiters it is gone.
 */
#include <sys/queue.h>

#include "net/loop.h"
#include "places/breaker.h"
#include "places/budget.h"
#include "places/keyed.h"
#include "places/web-settings.h"
#include "places/web-shared.h"

enum {
	WEB_MAGIC = 0x48505742,	   /* "HPWB" */
	FLIGHT_MAGIC = 0x48505746, /* "HPWF" */
	WEB_QUEUE_MAX = 64,	   /* questions that wait for their turn */
	WEB_FLIGHTS_MAX = 65536,   /* all that are under way */
	WEB_WHY_MAX = 256,
};

/* A lookup that waits; the tag of its request. */
struct waiter {
	TAILQ_ENTRY(waiter) entry;
	struct flight *flight;
	struct source_request *request;
};

enum flight_state {
	FLIGHT_NEW,
	FLIGHT_QUEUED, /* for its turn: web.queue */
	FLIGHT_ASKING,
	FLIGHT_PAUSED, /* until it is tried again */
	FLIGHT_DONE,   /* web.done, to be handed out */
};

struct flight {
	struct keyed keyed; /* first */
	unsigned int magic;
	enum flight_state state;
	struct web *web;
	struct web_settings *settings;
	TAILQ_HEAD(waiter_list, waiter) waiters;
	TAILQ_ENTRY(flight) all, entry;
	struct fetch_request *request;
	struct event *timer; /* queued: the deadline; paused: the next try. NULL until there is need */
	int64_t deadline_ns; /* CLOCK_MONOTONIC */
	uint32_t asked;	     /* how often */
	uint32_t breaker;    /* of breaker_asked() */
	struct web_answer
		*answer; /* done: NULL for want of memory. Paused: what it is if it is not asked again */
};
TAILQ_HEAD(flight_list, flight);

struct web {
	unsigned int magic;
	uint32_t index; /* of the service, for question.service */
	const struct service *service;
	struct source *source;
	struct event_base *base;
	struct web_shared *shared;
	struct web_settings *settings;
	struct breaker breaker;
	struct budget *budget;
	uint64_t random;

	struct keyed_table flights; /* those that a lookup may join */
	struct flight_list all, queue, done;
	uint32_t queued;
	struct flight *current; /* of a service that is asked one thing at a time */
	struct event *on_turn;	/* answers are to be handed out */
	struct event *on_pace;	/* the first in the queue may be asked */
	struct buffer json;

	struct text hold_status; /* while it is left alone: static, and why */
	char hold_why[WEB_WHY_MAX];
	bool is_denied;	 /* it refused us, and the operator was told */
	bool is_limited; /* the day's requests are used up, and the operator was told */
	uint64_t asked, answered, coalesced, cached, failed, retried;
	uint32_t asking, waiting;
};

/* A new flight about this question, without waiters yet; flight_begin() comes next. NULL: no memory. */
struct flight *flight_new(struct web *w, const struct question *question, int64_t now_ns);
/* Asks, or waits for its turn. */
void flight_begin(struct flight *f, int64_t now_ns);
/* The next one that waits for its turn, if there is nothing against it. */
void flight_next(struct web *w, int64_t now_ns);
/* Nobody else may join it. */
void flight_leave_table(struct flight *f);
/* Lets go of it, whatever it is doing; its waiters must be gone. */
void flight_free(struct flight *f);

/* The service may be asked once more now, and that is counted. 0; BUDGET_E_SECOND, BUDGET_E_DAY. */
int web_take(struct web *w, int64_t now_ns);
/* Why it is left alone, and for how long. */
void web_hold_text(struct web *w, int64_t now_ns, char *ret, size_t size);
/* Tells the owner what the budget's file is up to, if anything. */
void web_tell_trouble(struct web *w);
/* Different at each call. */
uint64_t web_random(struct web *w);

/* What came of one attempt. */
struct outcome {
	struct web_answer *answer; /* owned; NULL: no memory for it */
	bool is_again;		   /* asking once more may help */
	bool is_down;		   /* it speaks against the service */
	bool is_up;		   /* it speaks for the service */
	bool is_denied;		   /* the operator has to do something */
	int64_t wait_ns;	   /* the service wants to be left alone for so long; 0: it did not say */
	bool is_hold;		   /* by everybody, not by this question alone */
};

/* left_ns: the time that the question still has. */
struct outcome outcome_read(const struct flight *f, const struct fetch_answer *a, int64_t left_ns);
/* What it says about the service: to the breaker, and to the owner. */
void outcome_learn(struct flight *f, const struct outcome *o, int64_t now_ns);
/* Tells the owner that clients get this instead of places, if nobody else did. */
void outcome_tell(const struct flight *f, const struct outcome *o);

int web_search(void *state, const struct source_query *query, struct buffer *out,
	       struct source_request **ret_request);
void web_cancel(void *state, struct source_request *request);
/* Answers some of those whose flight is done; the next ones in a turn of their own. */
void web_hand_out(struct web *w);

#endif
