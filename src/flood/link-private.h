#ifndef FLOOD_LINK_PRIVATE_H
#define FLOOD_LINK_PRIVATE_H
/*
 * What the files of a link share. Everything that a peer can make us keep is
 * in the struct: there is no queue.
 */
#include "flood/link-line.h"

/* Lets `burst` through at once, then one per `every_ns`. */
struct link_limit {
	int64_t until_ns;
};

enum link_sync_state {
	SYNC_IDLE,
	SYNC_ASKED,   /* our ROOT is out */
	SYNC_GAVE,    /* our GRP is out, or about to be: the peer names groups by DIG, then says DONE */
	SYNC_NAMED,   /* we answer a GRP: DIGs, the fixes of what is pulled, DONE */
	SYNC_CLOSING, /* our DONE, first, is out or about to be: theirs is to come */
};

/* The one line of a comparison that is about to be written, besides DIGs and PULLs. */
enum link_sync_say { SAY_NOTHING, SAY_ROOT, SAY_SAME, SAY_GRP, SAY_DONE };

/* Where a comparison stands: link-sync.c. */
struct link_sync {
	enum link_sync_state state;
	enum link_sync_say say;
	bool is_level;	 /* nothing is missing of what one had when the two met */
	bool is_held;	 /* see link_hold_back() */
	bool is_wanted;	 /* by link_compare() */
	bool is_strict;	 /* this one counts buckets that just changed */
	bool is_suspect; /* the last ROOT found a difference: so may one in flight */
	bool is_settled; /* the replica was told that the peer has it all */
	bool has_peer_done;
	int64_t root_age_ns;		       /* when the next ROOT is due */
	int64_t rest_age_ns;		       /* until then the peer gets no other one */
	int64_t begun_age_ns, progress_age_ns; /* of this one */
	int64_t parked_age_ns;		       /* when a fix was parked, last */
	struct link_limit limit;	       /* of what a peer may start */
	int64_t since_s;
	uint64_t sum;		/* of the ROOT that is asked, or to be answered */
	uint64_t begun_seq;	/* of the replica */
	uint64_t settle_seq;	/* the peer has everything up to there ... */
	uint64_t settle_ping;	/* ... when the PING of this count, or a later one, comes back; 0: none */
	uint64_t digs;		/* groups whose DIG is to be written */
	uint64_t named;		/* groups of which there was a DIG, ours or theirs */
	uint64_t pulls;		/* groups whose PULL is to be written */
	unsigned int pulls_due; /* PULLs to come */
	uint64_t cursor;	/* of the walk through the table */
	uint64_t differ[DIGEST_GROUPS];	    /* buckets, a bit each: found so far */
	uint64_t owed[DIGEST_GROUPS];	    /* whose fixes this walk sends */
	uint64_t owed_later[DIGEST_GROUPS]; /* the next one: found while it was under way */
	bool is_walking, has_later;
	uint64_t lines_in, lines_out, buckets, late;
	bool is_awaiting_all; /* the peer, which cannot compare, tells us everything */
	bool is_telling_all;  /* then DONE, when the cursor has passed ... */
	uint64_t all_until;   /* ... this change */
	struct link_resync last;
};

struct link {
	unsigned int magic;
	enum link_state state;
	const struct link_self *self;
	struct replica *replica;
	struct names *names;
	struct link_hooks hooks;
	struct link_memory *memory;
	unsigned int peer; /* in the replica; with has_peer */
	int error;	   /* what ended it */
	int64_t now_ns;	   /* the caller's clock ... */
	int64_t age_ns;	   /* ... and ours, which never jumps: see link_pass() */
	uint64_t random;   /* of the jitter */

	/* The peer, once greeted. */
	uint64_t incarnation;
	uint64_t resume_seq; /* in our RESUME; with resumes_in */

	/* In. */
	size_t left; /* bytes that the caller still has */
	int64_t heard_age_ns;
	struct link_limit odd;	/* lines that are ignored */
	uint64_t seq_in, acked; /* the last SEQ, the last ACK of ours */
	int64_t ack_age_ns;
	uint64_t pong; /* to be said; with has_pong */

	/* Out. */
	uint64_t seq_out, asked; /* our last SEQ or ASK, our last ASK */
	uint64_t acknowledged;
	uint64_t names_cursor;
	struct hash_key ping_key;
	uint64_t pings, ping;			   /* how many, and the number of the last */
	int64_t ping_age_ns, rtt_ns, rtt_least_ns; /* < 0: none yet; the least needs two */
	unsigned int pongs_due;			   /* since the last PONG that was right */
	unsigned int fixes_since_seq;
	int64_t held_age_ns; /* since then changes wait, if they do */

	bool is_held;	    /* see is_waiting() in link-out.c */
	bool has_peer;	    /* a number in the replica */
	bool is_newer;	    /* the peer has capabilities unknown here */
	bool can_ask;	    /* it understands ASK */
	bool is_comparable; /* its ttl and key are ours */
	bool resumes_in;    /* our RESUME is honoured */
	bool is_memorable;  /* a SEQ says what we have */
	bool was_hello_said, was_resume_said;
	bool has_resumed; /* the peer's RESUME came */
	bool was_bye_heard;
	bool has_seq, was_seq_said;
	bool has_ack, has_pong, has_ping, has_bye; /* to be said */
	bool is_asked;				   /* the ACK is: at once */
	uint8_t host_id[NAMES_HOST_ID_BYTES];
	char host[LINK_HOST_MAX + 1];
	char why[LINK_WHY_MAX];

	struct link_sync sync;
	struct link_figures figures;
};

/* --- link.c ----------------------------------------------------------------- */

struct link *link_check(struct link *l);
const struct link *link_check_const(const struct link *l);

/* The caller's clock says this. */
void link_pass(struct link *l, int64_t now_ns);
int64_t link_age_at(const struct link *l, int64_t now_ns);

/* Ends it; the first reason counts. Returns `error`, a negative errno. */
int link_end(struct link *l, int error, const char *why);
/* The same with "WHAT: 'TEXT'", escaped. */
int link_end_text(struct link *l, int error, const char *what, struct text t);

bool link_allow(struct link_limit *limit, int64_t age_ns, int64_t every_ns, unsigned int burst);

/* A line that changes nothing; some are nobody's fault. Ends the link when there are too many: negative errno. */
int link_ignore(struct link *l);

/* What was known of the peer is complete up to the last SEQ. */
void link_remember(struct link *l);

/* --- link-hello.c ------------------------------------------------------------ */

int link_take_hello(struct link *l, struct text line);
int link_take_resume(struct link *l, const struct link_line *line);

/* --- link-in.c ---------------------------------------------------------------- */

int link_take_bye(struct link *l, struct text reason);

/* --- link-out.c -------------------------------------------------------------- */

/* What is being filled. */
struct link_out {
	char *at, *end;
};

bool link_has_room(const struct link_out *out, size_t bytes);
/* Counts a line that was written at out->at up to `end`. */
void link_put_line(struct link *l, struct link_out *out, char *end);
/* SEQ or ASK, if it is any news. */
void link_put_seq(struct link *l, struct link_out *out);
void link_put_fix(struct link *l, struct link_out *out, const struct herd_fix *fix);

/* --- link-sync.c ------------------------------------------------------------- */

void link_sync_start(struct link *l); /* both RESUMEs are known */
void link_sync_tick(struct link *l);
void link_sync_ponged(struct link *l); /* the last PING came back */

/* For link-sync-*.c. */
#define SYNC_PARKED_NS \
	(200 * CLOCK_SECOND_NS) /* how long a fix that was parked may take to be offered again */
bool sync_is_running(const struct link_sync *s); /* an exchange is */
bool sync_is_first(const struct link *l);	 /* the one of two that goes first where both could */
bool sync_is_lagging(struct link *l);
uint64_t sync_fresh_buckets(struct link *l, unsigned int group); /* bits of those that just changed here */
void sync_plan_root(struct link *l);
void sync_begin(struct link *l, bool is_strict); /* a comparison, asked by us or by the peer */
void sync_begin_exchange(struct link *l, enum link_sync_state state);
void sync_find_equal(struct link *l, uint64_t seq); /* the peer has all that was here at change `seq` */
void sync_finish(struct link *l);		    /* both have said DONE */
void sync_become_level(struct link *l);
void sync_settle(struct link *l, uint64_t seq);
void sync_tell(struct link *l, bool diverged);

/* --- link-sync-in.c ----------------------------------------------------------- */

int link_sync_take(struct link *l, const struct link_line *line);
void link_sync_took_fix(struct link *l, const struct herd_fix *fix, int result);

/* --- link-sync-out.c ---------------------------------------------------------- */

/* Something to write besides fixes. */
bool link_sync_has_lines(const struct link *l, int64_t age_ns);
void link_sync_fill(struct link *l, struct link_out *out);
bool link_sync_is_walking(const struct link *l);
/* Writes up to `max` fixes that are owed. 0, or a negative errno. */
int link_sync_walk(struct link *l, struct link_out *out, unsigned int max, unsigned int *ret_fixes);

#endif
