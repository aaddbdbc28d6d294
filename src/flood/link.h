#ifndef FLOOD_LINK_H
#define FLOOD_LINK_H
/*
 * Link: what two helpers say to each other, as a state machine over lines.
 * Bytes in, bytes out; it knows no socket, no TLS and no clock.
 *
 * Lines are printable ASCII, their words apart by one space, ended by LF; only
 * AT lines are as clients see them, with ids of any bytes. Both ways:
 *
 *   HERD 1 HERD HOST-ID INCARNATION HOST [CAPABILITY,...]   the first line. HOST-ID: 32 hexadecimal digits,
 *			INCARNATION: 16, another one for each process and table. Capabilities that both need:
 *			ttl=SECONDS (fix-ttl) and key=HEX16 (tells keys of digests apart). An unknown one
 *			announces unknown verbs. "ask": ASK is understood.
 *   RESUME INCARNATION SEQ	the second line: what we have of you already, by your own numbers, or
 *			"0000000000000000 0" for nothing. One that is honoured goes on from there; else the
 *			two compare what they hold, or tell each other everything if ttl or key differ.
 *   AT ...		a fix
 *   SEQ N		everything up to our change N was sent (not before: resumed, compared, or both told all)
 *   ASK N		as SEQ N, to who understands it: somebody here waits for your ACK
 *   ACK N		everything up to your SEQ or ASK N is applied: after an ASK at once
 *   NAME SERVER HOST-ID BOOT	a member and where it runs, since POSIX second BOOT
 *   PING N, PONG N
 *   BYE REASON		the last line
 *
 * A comparison. Sums are 16 hexadecimal digits, over the fixes received at
 * POSIX second SINCE or later (digest.h):
 *
 *   ROOT SINCE SUM	of all fixes. Answered by SAME, by a ROOT of later (compare from there), or by GRP.
 *   SAME SINCE SUM	so it is here, too
 *   GRP SINCE SUM...	of each of 64 groups. Answered by a DIG for each group that differs, and DONE after all else.
 *   DIG SINCE GROUP SUM...	of its 64 buckets; "-" for one that just changed. Answered by one PULL, and by the
 *			sender's own fixes of the buckets that differ.
 *   PULL SINCE BUCKET...	those that differ, or none. Answered by the fixes in them.
 *   DONE		everything asked for was sent. After a GRP the one who got it says so first.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "flood/names.h"
#include "flood/replica.h"

struct link; /* opaque */

enum {
	LINK_VERSION = 1,
	LINK_LINE_MAX = 512, /* with its LF: every line but GRP and DIG */
	LINK_LONG_LINE_MAX = 1200,
	LINK_HOST_MAX = 63,
	LINK_WHY_MAX = 160,
};

#define LINK_HELLO_NS (5 * CLOCK_SECOND_NS)  /* for the peer's first two lines */
#define LINK_PING_NS  (2 * CLOCK_SECOND_NS)  /* of silence */
#define LINK_DEAD_NS  (8 * CLOCK_SECOND_NS)  /* of silence */
#define LINK_ACK_NS   (50 * CLOCK_MSEC_NS)   /* at least, between two ACKs that nobody asked for */
#define LINK_ROOT_NS  (60 * CLOCK_SECOND_NS) /* between two ROOTs, +- a quarter */

enum link_state { LINK_GREETING, LINK_UP, LINK_ENDED };

/* Who we are: one per process and table, must outlive the links. */
struct link_self {
	char herd[LINK_HOST_MAX + 1]; /* printable, no space */
	char host[LINK_HOST_MAX + 1]; /* host_name_valid() */
	uint8_t host_id[NAMES_HOST_ID_BYTES];
	uint64_t incarnation; /* random, of this process and this table; not 0 */
	int64_t ttl_s;
	uint64_t key_check; /* of the key of rings and digests */
};

/* Called within any call below; must not free the link. Copied. */
struct link_hooks {
	void *arg;
	/* The peer's HERD line came; host_id may be our own. 0: welcome; else the reason was put in why: it is told BYE and
	   the link ends. */
	int (*greeted)(void *arg, const char *host, const uint8_t host_id[NAMES_HOST_ID_BYTES],
		       char why[LINK_WHY_MAX]);
	/* What the link had to catch up with is done (once, and never when it was resumed), or, `diverged`, a later
	   comparison brought a fix that should have been here long ago. lines: both ways. NULL: not asked for. */
	void (*resynced)(void *arg, bool diverged, uint64_t lines, int64_t took_ns);
	/* A fix from too far in the future came: REPLICA_E_PARKED. NULL: not asked for. */
	void (*parked)(void *arg, const struct herd_fix *fix);
};

#define LINK_FIGURES(X)                                                \
	X(lines_in, "lines received")                                  \
	X(lines_out, "lines sent")                                     \
	X(bytes_in, "bytes received")                                  \
	X(bytes_out, "bytes sent")                                     \
	X(fixes_in, "fixes received")                                  \
	X(fixes_out, "fixes sent")                                     \
	X(duplicates, "fixes received that were no news")              \
	X(ignored, "lines received that were unknown or out of place") \
	X(resyncs, "digest comparisons that found a difference")       \
	X(resync_lines, "fixes sent for them")

struct link_figures {
#define X(name, help) uint64_t name;
	LINK_FIGURES(X)
#undef X
};

/* What was learnt from a host, kept across links to it. Owned by the caller, one per host, zero at first; must outlive
   the links that use it. */
struct link_memory {
	uint64_t incarnation, seq; /* everything up to its SEQ is applied here */
};

/* All are borrowed but the hooks. -EINVAL: self says nothing that fits a line; -ENOMEM. */
int link_new(struct link **ret, const struct link_self *self, struct replica *replica, struct names *names,
	     const struct link_hooks *hooks, int64_t now_ns);
struct link *link_free(struct link *l); /* closes its peer in the replica */
CLEANUP_POINTER(struct link, link_free);

/* Where to remember: from within greeted() or before. NULL: nowhere. */
void link_set_memory(struct link *l, struct link_memory *memory);

/* We are an empty newcomer and this link is not the one that teaches us: no comparison until it is taken back or
   link_compare(). From within greeted() or before. */
void link_hold_back(struct link *l, bool hold);
void link_compare(struct link *l);	      /* as soon as possible */
bool link_is_comparing(const struct link *l); /* what it has to catch up with, or a comparison, goes on */

/* Takes whole lines out of `data`; *ret_taken, always set, is how many bytes it is done with. 0: give the rest again, with
   more behind it; > 0: as below; negative: the link has to be ended, link_why() says why, and what link_fill() still
   gives (BYE) should be sent. Give it 64 kB at a time and then other links their turn. */
enum { LINK_E_BUSY = 1 }; /* stop reading for a millisecond, then give the same again */
int link_take(struct link *l, const char *data, size_t len, size_t *ret_taken, int64_t now_ns);

/* Writes up to `room` (at least LINK_LONG_LINE_MAX to get anywhere) bytes of whole lines; returns how many. It stops short
   of `room` when it has done enough for one turn: link_wants_out() tells whether there is more. */
size_t link_fill(struct link *l, char *out, size_t room, int64_t now_ns);
bool link_wants_out(const struct link *l, int64_t now_ns); /* cheap; may be true for nothing */
/* > 0: there are changes, of which the peer may tell us first: ask link_wants_out() again in so many nanoseconds. */
int64_t link_waits_ns(const struct link *l, int64_t now_ns);

/* Ten times a second: pings, silence, acknowledgements, comparisons. Negative: as link_take(). */
int link_tick(struct link *l, int64_t now_ns);

/* Ends it: the next link_fill() gives BYE and the reason (printable). */
void link_say_bye(struct link *l, const char *reason);

enum link_state link_state(const struct link *l);
/* The peer welcomes us, too: its second line came. One that refuses us says BYE instead. */
bool link_is_welcome(const struct link *l);
bool link_heard_bye(const struct link *l);   /* that is how it ended */
const char *link_why(const struct link *l);  /* it ended; "" before. What the peer said is escaped */
const char *link_host(const struct link *l); /* "" until greeted */
const uint8_t *link_host_id(const struct link *l);
int64_t link_rtt_ns(const struct link *l);	  /* of the last PING; < 0: none yet */
uint64_t link_acknowledged(const struct link *l); /* by the peer: a sequence number of ours */
unsigned int link_peer(const struct link *l);	  /* its number in the replica, once greeted */

/* The last one that had anything to do; ended_ns 0: none. Lines are fixes; those received are all that came meanwhile. */
struct link_resync {
	int64_t ended_ns, took_ns;
	uint64_t lines_in, lines_out, buckets;
	bool diverged;
};
const struct link_resync *link_resync(const struct link *l);
const struct link_figures *link_figures(const struct link *l);

#endif
