#ifndef MEMBER_MEMBER_H
#define MEMBER_MEMBER_H
/*
 * Member: one server of the herd. What all of its connections share.
 */
#include <event2/event.h>
#include <sys/queue.h>

#include "base/buffer.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "core/table.h"
#include "member/closing.h"
#include "member/confirm.h"
#include "member/health.h"
#include "net/control.h"
#include "net/listen.h"
#include "net/loop.h"
#include "places/source.h"

struct crowd;
struct session;
struct door;
struct reply;

TAILQ_HEAD(session_list, session);
TAILQ_HEAD(reply_list, reply);

enum {
	MEMBER_MAGIC = 0x6d656d62,     /* "memb" */
	MEMBER_DOORS_MAX = 192,	       /* sockets clients may come to */
	MEMBER_TURN_NS = 1000000,      /* of one connection; then the others have theirs */
	MEMBER_TURNS = 512,	       /* of connections in one turn of the loop; then timers have theirs */
	MEMBER_OUTPUT_FULL = 64 << 10, /* of replies: sent before the next one is made */
	MEMBER_TURN_MAX = 256 << 10,   /* replies kept for the end of a turn; more are sent at once */
	MEMBER_ANSWER_MAX = 256 << 10, /* one reply: twenty places whose texts are all escapes */
};

struct member {
	uint32_t magic;
	const struct options *options; /* not owned: for reloading */
	struct conf conf;
	const char *name;   /* not owned */
	struct text server; /* the same, as AT lines carry it */

	struct loop *loop;
	struct loop_signal *on_term, *on_int, *on_hup;
	struct loop_timer *tick;
	struct event *hold;  /* pending while the doors are closed because the last starts ended badly */
	struct event *retry; /* pending while a fix waits for a place in the table */
	struct table *table;
	bool degraded; /* logged as such: the table is private */
	struct source *source;
	struct health health;
	struct closing closing;
	struct confirm confirm;
	struct control *control; /* owned; NULL: nobody can ask this member */

	struct door *doors[MEMBER_DOORS_MAX]; /* owned */
	size_t door_count;
	struct session_list sessions; /* owned */
	uint32_t session_count;
	uint32_t session_room;		 /* sessions there are descriptors for */
	struct crowd *crowd;		 /* owned; where the sessions come from */
	struct reply_list waiting_store; /* fixes that a stopped process keeps out of the table */
	struct reply *spare_reply;	 /* owned; NULL or unused */

	/* One input and one output buffer serve every connection: they stay in the cache. A
	   connection keeps only what a turn leaves over. */
	char *input;		       /* owned */
	size_t input_size;	       /* a piece of a line, then one recv */
	uint32_t line_room, work_room; /* the greatest line-max and work-max that there were */
	struct buffer output;	       /* up to MEMBER_OUTPUT_FULL and one more reply */
	struct buffer turn;	       /* replies of one turn of the loop, of several sessions */
	struct session_list sending;   /* those sessions */
	uint32_t turns;		       /* that connections had in this turn of the loop */

	int64_t now_ns; /* the clients' clock: monotonic, of the last tick, less what this process was stopped */
	int64_t ticked_ns;		    /* monotonic, of the last tick */
	int64_t followed_ns;		    /* when the table's name was last followed */
	int64_t count[TABLE_COUNTER_COUNT]; /* since they were last handed to the table */
	uint64_t updates;		    /* IAMAT commands since the start */
};

/* Takes the settings over; options, name, notify and starts (which may be NULL) outlive the member. Whatever
   is not 0 has been logged. */
int member_new(struct member **ret, const struct options *options, struct conf *conf, const char *name,
	       struct notify *notify, struct starts *starts);
struct member *member_free(struct member *m);
CLEANUP_POINTER(struct member, member_free);

/* Serves until told to stop. */
int member_run(struct member *m);

/* The table's pages went away under us: go on with another one. Keys made before are void. */
void member_table_lost(struct member *m);

/* A fix waits for a place in the table: try again soon. */
void member_retry_soon(struct member *m);

static inline void
member_count(struct member *m, enum table_counter which, int64_t add)
{
	m->count[which] += add;
}

/* A fix of this member's has changed the table. */
static inline void
member_has_stored(struct member *m)
{
	m->count[TABLE_COUNTER_stored]++;
	m->confirm.has_news = true;
}

/* Hands what was counted to the table: once per wake-up. */
void member_publish_counts(struct member *m);

#endif
