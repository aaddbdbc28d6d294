/*
 * What a member says about itself. Each sentence about what is degraded tells
 * what it means for clients and, where there is something to do, what.
 */
#include "member/health.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "member/door.h"
#include "member/supply.h"

#define TELL_EVERY_NS (2 * CLOCK_SECOND_NS)

enum { SCAN_SHARE = 10000 }; /* counting fixes may take this part of the time, no more */

/* --- what there is to say ------------------------------------------------------------------- */

static uint64_t
count_fixes(struct member *m)
{
	struct health *h = &m->health;
	int64_t now_ns = clock_monotonic_ns(), worked_ns;
	struct table_info info;

	if (now_ns < h->fixes_due_ns)
		return h->fixes;
	worked_ns = clock_worked_ns();
	if (table_info(m->table, &info) != 0)
		return h->fixes;
	h->fixes = info.used + info.long_used;
	h->fixes_due_ns = now_ns + (clock_worked_ns() - worked_ns) * SCAN_SHARE;
	return h->fixes;
}

static bool
helper_lives(struct member *m)
{
	struct table_process p;
	int r;

	for (uint32_t i = 0; (r = table_process(m->table, i, &p)) != TABLE_E_END && r >= 0; i++)
		if (r == 0 && p.role == TABLE_HELPER && p.alive)
			return true;
	return false;
}

static void
describe_table(struct member *m, struct report *r)
{
	if (table_is_private(m->table))
		report_degraded(r,
				"the shared table '%s' cannot be used: no other member sees the fixes taken "
				"here",
				m->conf.shm);
	else if (!helper_lives(m))
		report_degraded(r, "there is no helper: nothing expires (systemctl start herd-flood)");
	confirm_describe(m, r);
	if (!TAILQ_EMPTY(&m->waiting_store))
		report_degraded(r, "replies wait: a stopped process holds a part of the table");
}

/* --- sockets: those that there are, and those that the settings name --------------------------- */

static bool
door_exists(const struct member *m, const char *text)
{
	for (size_t i = 0; i < m->door_count; i++)
		if (strcmp(door_text(m->doors[i]), text) == 0)
			return true;
	return false;
}

static void
describe_missing(struct member *m, struct report *r, const char *text, const char *unit)
{
	if (!door_exists(m, text))
		report_degraded(r,
				"the settings name %s, which the service manager did not pass: systemctl "
				"daemon-reload && systemctl restart %s@%s.socket",
				text, unit, m->name);
}

static void
describe_addresses(struct member *m, struct report *r, const struct conf_addresses *named, const char *word,
		   const char *unit)
{
	for (size_t i = 0; i < named->count; i++) {
		const struct sockaddr *socket = (const struct sockaddr *)&named->at[i].socket;
		char address[ADDRESS_TEXT_MAX], text[LISTEN_TEXT_MAX];

		address_format(socket, address);
		snprintf(text, sizeof(text), "%s %s", word, address);
		if (strcmp(strrchr(text, ':'), ":0") != 0) /* any port will do */
			describe_missing(m, r, text, unit);
	}
}

static bool
settings_name(const struct conf_addresses *named, const char *address)
{
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < named->count; i++)
		if (strcmp(address_format((const struct sockaddr *)&named->at[i].socket, text), address) == 0)
			return true;
	return false;
}

/* A socket of that kind that is served though others are named. */
static void
describe_surplus(struct member *m, struct report *r, const struct conf_addresses *named, const char *word,
		 const char *unit)
{
	size_t len = strlen(word);

	for (size_t i = 0; i < m->door_count && named->count > 0; i++) {
		const char *text = door_text(m->doors[i]);

		if (strncmp(text, word, len) == 0 && text[len] == ' ' &&
		    !settings_name(named, text + len + 1))
			report_degraded(r,
					"the service manager passed %s, which the settings do not name: "
					"systemctl daemon-reload && systemctl restart %s@%s.socket",
					text, unit, m->name);
	}
}

static void
describe_sockets(struct member *m, struct report *r)
{
	if (!m->health.adopted)
		return;
	describe_addresses(m, r, &m->conf.listen, "tcp", "herd");
	describe_addresses(m, r, &m->conf.udp, "udp", "herd-udp");
	for (size_t i = 0; i < m->conf.unix_paths.count; i++) {
		char text[LISTEN_TEXT_MAX];

		snprintf(text, sizeof(text), "unix %s", m->conf.unix_paths.at[i]);
		describe_missing(m, r, text, "herd");
	}
	describe_surplus(m, r, &m->conf.listen, "tcp", "herd");
	describe_surplus(m, r, &m->conf.udp, "udp", "herd-udp");
}

/* --- settings ------------------------------------------------------------------------------------ */

static void
describe_settings(const struct member *m, struct report *r)
{
	char names[REPORT_TEXT_MAX];

	if (conf_names(m->health.needs_restart, names, sizeof(names)) > 0)
		report_note(r, "takes effect with a restart: %s", names);
}

/* --- all of it ------------------------------------------------------------------------------------ */

void
health_describe(struct member *m, struct report *ret)
{
	struct report r = {0};
	char rate[REPORT_RATE_MAX];
	uint64_t fixes = count_fixes(m);

	report_fact(&r, "%" PRIu32 " client%s connected", m->session_count, m->session_count == 1 ? "" : "s");
	report_fact(&r, "%" PRIu64 " fix%s held", fixes, fixes == 1 ? "" : "es");
	report_fact(&r, "%s updates/s",
		    report_rate(&m->health.updates, m->updates, clock_monotonic_ns(), rate));
	if (m->closing.is_draining)
		report_degraded(
			&r,
			"it is being drained and takes no new clients: systemctl restart herd@%s puts "
			"it back into service",
			m->name);
	if (m->health.held_ns)
		report_degraded(&r,
				"the last %u starts ended badly: clients wait until this one goes to work",
				starts_bad(m->health.starts));
	describe_table(m, &r);
	supply_describe(m, &r);
	if (m->session_count >= m->conf.connections_max)
		report_degraded(&r, "connections-max = %" PRIu32 " are open: new clients are refused",
				m->conf.connections_max);
	else if (m->session_count >= m->session_room)
		report_degraded(&r,
				"%" PRIu32
				" clients are all the descriptors allow (LimitNOFILE=): new clients wait",
				m->session_room);
	describe_sockets(m, &r);
	describe_settings(m, &r);
	*ret = r;
}

void
health_tell(struct member *m)
{
	char line[REPORT_LINE_MAX];
	struct report r;

	m->health.due_ns = m->now_ns + TELL_EVERY_NS;
	if (!m->health.notify)
		return;
	health_describe(m, &r);
	report_line(&r, line);
	notify_status(m->health.notify, line);
}

void
health_tick(struct member *m)
{
	m->health.ticks++;
	if (m->now_ns >= m->health.due_ns)
		health_tell(m);
}

/* --- progress -------------------------------------------------------------------------------------- */

/* The table finds, or does not find, a client; on a segment that was cut short, on the second try. */
static bool
table_answers(struct member *m)
{
	struct table_key key;
	struct herd_fix fix;
	int r = -EFAULT;

	for (int try = 0; try < 2 && r == -EFAULT; try++) {
		if (try > 0)
			member_table_lost(m);
		table_key_make(m->table, TEXT("progress"), &key);
		r = table_find(m->table, &key, 0, &fix);
	}
	return r >= 0;
}

bool
health_progress(void *arg)
{
	struct member *m = arg;
	struct health *h = &m->health;
	uint64_t turns = loop_turns(m->loop);

	assert(m->magic == MEMBER_MAGIC);
	if (turns == h->proven.turns || h->ticks == h->proven.ticks ||
	    (!TAILQ_EMPTY(&m->waiting_store) && h->retries == h->proven.retries) || !table_answers(m))
		return false;
	h->proven.turns = turns;
	h->proven.ticks = h->ticks;
	h->proven.retries = h->retries;
	return true;
}
