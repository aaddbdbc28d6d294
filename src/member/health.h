#ifndef MEMBER_HEALTH_H
#define MEMBER_HEALTH_H
/*
 * Health: how a member is, and whether it gets on with its work. All of it is
 * looked up when somebody wants to know; serving clients costs nothing more
 * for it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "net/notify.h"
#include "net/report.h"
#include "net/starts.h"

struct member;

struct health {
	struct notify *notify; /* not owned; NULL: nobody manages this program */
	struct starts *starts; /* not owned; NULL: the same */
	int64_t held_ns;       /* clients have to wait until then; 0: they do not */
	bool adopted;	       /* the doors came from the service manager */
	bool needs_restart[CONF_ID_COUNT];
	char places[REPORT_TEXT_MAX]; /* why the places file cannot be used; empty: it can */

	/* What the member's own timers have done; see health_progress(). */
	uint64_t ticks, retries;
	struct {
		uint64_t turns, ticks, retries;
	} proven;

	int64_t due_ns; /* of the next status */
	struct report_rate updates;
	uint64_t fixes;	      /* held when they were last counted */
	int64_t fixes_due_ns; /* counting them scans the table: not each time */
};

/* How the member is, now. */
void health_describe(struct member *m, struct report *ret);

/* From the member's tick: tells the service manager from time to time. */
void health_tick(struct member *m);

/* Tells it now, as far as the service manager wants to hear it. */
void health_tell(struct member *m);

/*
 * For notify_attach(); arg is the member. True when, since it last was, turns of the loop were
 * completed, deadlines were looked at, fixes that wait for the table were tried again, and the table
 * answers. A table of the member's own answers too: degraded is not stuck.
 */
bool health_progress(void *arg);

#endif
