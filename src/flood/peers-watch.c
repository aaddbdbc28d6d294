/*
 * What nobody tells us and time brings: members that came, certificates that
 * expire, neighbours that stay away.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "flood/peers-private.h"
#include "herd/events.h"

#define SECOND_NS CLOCK_SECOND_NS
#define DAY_S	  INT64_C(86400)

/* --- members -------------------------------------------------------------------- */

static void
tell_members(struct peers *p)
{
	int64_t now_ns = clock_now_ns();
	struct table_process process;
	int r;

	for (uint32_t i = 0; (r = table_process(p->table, i, &process)) != TABLE_E_END && r >= 0; i++)
		if (r == 0 && process.alive && process.role == TABLE_MEMBER)
			names_own(p->names, text_of(process.name), process.start_ns / SECOND_NS, now_ns);
	names_tick(p->names, now_ns);
}

/* --- certificates -------------------------------------------------------------------- */

/* 14 days before, one day before, and when it is too late. */
static int64_t
stage_of(int64_t left_s)
{
	return left_s > 14 * DAY_S ? INT64_MAX : left_s > DAY_S ? 14 * DAY_S : left_s > 0 ? DAY_S : 0;
}

static void
watch_expiry(struct peers *p)
{
	int64_t expires_s, left_s, stage_s;
	const char *file;
	struct tm when;
	char text[32] = "?";
	time_t time;

	if (!p->setup.tls || !tls_expires(p->setup.tls, &expires_s, &file))
		return;
	left_s = expires_s - clock_now_ns() / SECOND_NS;
	stage_s = stage_of(left_s);
	if (stage_s == INT64_MAX || (expires_s == p->expiry_told_s && stage_s >= p->expiry_stage_s))
		return;
	p->expiry_told_s = expires_s;
	p->expiry_stage_s = stage_s;
	time = (time_t)expires_s;
	if (gmtime_r(&time, &when))
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &when);
	log_event(stage_s > DAY_S ? LOG_WARNING : LOG_ERR, MSG_TLS_EXPIRES,
		  LOG_FIELDS("HERD_FILE=%s", file, "HERD_EXPIRES=%s", text),
		  "%s in '%s' %s %s: without another one this host loses its links", file,
		  p->conf->flood_tls_dir, left_s > 0 ? "expires" : "has expired", text);
}

void
peers_say_files(struct peers *p)
{
	p->expiry_told_s = 0;
	if (p->setup.spurns_tls)
		log_warning(
			"Links are not protected: 'plain' is set, and neither the certificates in '%s' nor a "
			"shared key are used",
			p->conf->flood_tls_dir);
	if (p->setup.tls && tls_warning(p->setup.tls)[0])
		log_warning("%s", tls_warning(p->setup.tls));
	watch_expiry(p);
}

/* --- neighbours ------------------------------------------------------------------------- */

static void
count_missing(struct peers *p, int64_t now_ns)
{
	unsigned int missing = 0;
	struct mesh_view view;

	for (unsigned int i = 0; i < mesh_hosts(p->mesh); i++)
		missing += mesh_view(p->mesh, i, &view) && view.why == MESH_NEIGHBOUR && !view.is_up;
	if (missing > 0 && p->missing == 0)
		p->missing_ns = now_ns;
	p->missing = missing;
}

/* --- all of it ------------------------------------------------------------------------------ */

static bool
is_due(int64_t *when_ns, int64_t every_ns, int64_t now_ns)
{
	if (now_ns < *when_ns)
		return false;
	*when_ns = now_ns + every_ns;
	return true;
}

void
peers_watch(struct peers *p, int64_t now_ns)
{
	if (is_due(&p->second_ns, SECOND_NS, now_ns)) {
		tell_members(p);
		count_missing(p, now_ns);
	}
	if (is_due(&p->minute_ns, 60 * SECOND_NS, now_ns))
		watch_expiry(p);
	if (is_due(&p->hour_ns, 3600 * SECOND_NS, now_ns))
		peers_judge_again(p); /* a peer's certificate may have expired meanwhile */
}
