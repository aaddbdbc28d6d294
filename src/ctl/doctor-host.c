/*
 * Doctor: what the host has to give: settings, units, shared memory, the
 * clock, files.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "core/places.h"
#include "ctl/doctor.h"
#include "ctl/roster.h"
#include "ctl/systemctl.h"

enum { UNIT_NAME_MAX = 96 };

/* --- settings -------------------------------------------------------------------------- */

void
doctor_settings(struct doctor *d)
{
	const struct conf_roster *r = &d->roster;
	size_t before = d->count[DOCTOR_BAD];

	if (d->ctl->bad_conf)
		doctor_find(d, DOCTOR_BAD, "settings",
			    "have mistakes, which are listed above: programs that run keep their old ones, "
			    "others will not start; put them right and `herdctl reload`");
	for (size_t i = 0; i < r->count; i++) {
		if (r->at[i].wrong)
			doctor_find(d, DOCTOR_BAD, "settings", "%s will not start: %s", r->at[i].name,
				    r->at[i].wrong);
		else if (r->at[i].left_out)
			doctor_find(d, DOCTOR_BAD, "settings", "%s gets no sockets: %s", r->at[i].name,
				    r->at[i].left_out);
	}
	if (r->count == 0)
		doctor_find(d, DOCTOR_WARNING, "settings", "name no member: `herdctl add NAME` adds one");
	else if (d->count[DOCTOR_BAD] == before)
		doctor_find(d, DOCTOR_GOOD, "settings", "%zu member%s, no mistakes", r->count,
			    r->count == 1 ? "" : "s");
}

/* --- units ------------------------------------------------------------------------------- */

/* 1: yes; 0: no; negative errno. */
static int
unit_is(const char *question, const char *unit)
{
	const char *const arguments[] = {question, "--quiet", unit, NULL};
	int r = systemctl_asks(arguments);

	return r < 0 ? r : !r;
}

static void
check_unit(struct doctor *d, const char *unit)
{
	char check[UNIT_NAME_MAX];
	int active = unit_is("is-active", unit);

	snprintf(check, sizeof(check), "unit %s", unit);
	if (active < 0)
		doctor_find(d, DOCTOR_WARNING, check, "systemctl cannot be asked: %s", strerror(-active));
	else if (active)
		doctor_find(d, DOCTOR_GOOD, check, "active");
	else if (unit_is("is-failed", unit) == 1)
		doctor_find(d, DOCTOR_BAD, check,
			    "failed: `journalctl -u %s -n 50` says why, `systemctl restart %s` tries again",
			    unit, unit);
	else
		doctor_find(d, DOCTOR_BAD, check, "not active: `systemctl start %s`", unit);
}

void
doctor_units(struct doctor *d)
{
	char unit[UNIT_NAME_MAX];

	if (!d->has_systemd) {
		doctor_find(d, DOCTOR_GOOD, "units", "systemd does not run here: there are none");
		return;
	}
	check_unit(d, "herd-flood.service");
	for (size_t i = 0; i < d->roster.count; i++) {
		snprintf(unit, sizeof(unit), "herd@%s.socket", d->roster.at[i].name);
		check_unit(d, unit);
		snprintf(unit, sizeof(unit), "herd@%s.service", d->roster.at[i].name);
		check_unit(d, unit);
	}
}

/* --- the table ----------------------------------------------------------------------------- */

/* Pages of the segment are all there from the start; the next one, when it is made, wants as many. */
static void
check_memory(struct doctor *d, uint64_t bytes)
{
	struct statvfs shm;

	if (statvfs("/dev/shm", &shm) < 0)
		doctor_find(d, DOCTOR_BAD, "shared memory",
			    "/dev/shm cannot be looked at (%s): it has to be a mounted tmpfs",
			    strerror(errno));
	else if ((uint64_t)shm.f_bavail * shm.f_frsize < bytes)
		doctor_find(d, DOCTOR_WARNING, "shared memory",
			    "%" PRIu64 " MB are left in /dev/shm, less than the table's %" PRIu64
			    " MB: it could not be made anew; remove what is not needed there, or mount it "
			    "with a larger size=",
			    (uint64_t)shm.f_bavail * shm.f_frsize >> 20, bytes >> 20);
	else
		doctor_find(d, DOCTOR_GOOD, "shared memory", "%" PRIu64 " MB are left in /dev/shm",
			    (uint64_t)shm.f_bavail * shm.f_frsize >> 20);
}

static void
check_room(struct doctor *d, const char *kind, const char *setting, uint64_t used, uint64_t clients)
{
	if (used >= clients)
		doctor_find(d, DOCTOR_BAD, "table",
			    "is full of %s (%" PRIu64 " of %" PRIu64
			    "): new ones push out old ones; raise %s and restart",
			    kind, used, clients, setting);
	else if (used >= clients - clients / 10)
		doctor_find(d, DOCTOR_WARNING, "table",
			    "has room for %" PRIu64 " more %s of %" PRIu64 ": raise %s before it is full",
			    clients - used, kind, clients, setting);
	else
		doctor_find(d, DOCTOR_GOOD, "table", "%" PRIu64 " of %" PRIu64 " %s", used, clients, kind);
}

static void
check_roles(struct doctor *d, const struct roster *roster)
{
	size_t members = roster_alive(roster, TABLE_MEMBER);

	if (!roster_alive(roster, TABLE_HELPER))
		doctor_find(d, DOCTOR_BAD, "helper",
			    "does not run: nothing expires, is saved, or reaches other hosts; "
			    "`systemctl start herd-flood`");
	if (members == 0)
		doctor_find(d, DOCTOR_BAD, "members", "none runs: nobody takes fixes; `herdctl add NAME`");
	else
		doctor_find(d, DOCTOR_GOOD, "members", "%zu alive", members);
}

void
doctor_table(struct doctor *d)
{
	CLEANUP(table_freep) struct table *table = NULL;
	CLEANUP(roster_done) struct roster roster = {};
	struct table_info info;
	int r = table_open_readonly(&table, d->ctl->shm, 0);

	if (r == 0)
		r = table_info(table, &info);
	if (r == 0)
		r = roster_load(&roster, table);
	if (r < 0) {
		doctor_find(d, DOCTOR_BAD, "table",
			    r == -EACCES ? "'%s' may not be read by this user (%s): ask as root"
					 : "'%s' cannot be read: %s; start the helper or a member",
			    d->ctl->shm, strerror(-r));
		return;
	}
	check_room(d, "clients", "table-clients", info.used, info.clients);
	check_room(d, "long ids", "table-long-clients", info.long_used, info.long_clients);
	check_memory(d, info.bytes);
	check_roles(d, &roster);
}

/* --- the clock --------------------------------------------------------------------------------- */

/* Fixes are ordered by the clients' times and ours; see adjtimex(2). */
void
doctor_clock(struct doctor *d)
{
	struct timex t = {.modes = 0};
	int state = adjtimex(&t);

	if (state < 0)
		doctor_find(d, DOCTOR_WARNING, "clock", "cannot be asked: %s", strerror(errno));
	else if (state == TIME_ERROR || (t.status & STA_UNSYNC))
		doctor_find(
			d, DOCTOR_WARNING, "clock",
			"is not synchronised: fixes of hosts whose clocks differ may be kept in the wrong "
			"order; `timedatectl set-ntp true`, or chrony");
	else
		doctor_find(d, DOCTOR_GOOD, "clock", "synchronised, estimated error %ld ms",
			    t.esterror / 1000);
}

/* --- places -------------------------------------------------------------------------------------- */

void
doctor_places(struct doctor *d)
{
	const char *path = d->ctl->conf->places_file;
	struct places *places = NULL;
	int r = places_open(&places, path);

	if (r == 0)
		doctor_find(d, DOCTOR_GOOD, "places", "%zu in '%s'", places_count(places), path);
	else if (r == -ENOENT)
		doctor_find(d, DOCTOR_GOOD, "places", "those built into the programs: there is no '%s'",
			    path);
	else
		doctor_find(d, DOCTOR_BAD, "places",
			    "'%s' cannot be used (%s): make it again with `herdctl places import`", path,
			    r == -EBADMSG || r == -EPROTO ? "damaged, or of another version" : strerror(-r));
	places_free(places);
}
