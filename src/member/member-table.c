/*
 * Member and table: opening it, with a table of its own where there is none to
 * share, and following its name while the member runs.
 */
#include "member/member-private.h"

#include <string.h>

#include "base/log.h"
#include "herd/events.h"
#include "member/door.h"

/* Says it once when the table is or is no longer this process's own. */
static void
member_tell_degraded(struct member *m, int fault)
{
	bool degraded = table_is_private(m->table);

	if (degraded && !m->degraded)
		log_event(LOG_ERR, MSG_TABLE_LOST, LOG_FIELDS("HERD_SHM=%s", m->conf.shm),
			  "Cannot use the shared table '%s': %s; going on with a table of my own, which no "
			  "other member sees, and trying again every second",
			  m->conf.shm, strerror(-fault));
	if (!degraded && m->degraded)
		log_event(LOG_NOTICE, MSG_TABLE_RECOVERED, LOG_FIELDS("HERD_SHM=%s", m->conf.shm),
			  "The shared table '%s' is usable again; my fixes are in it", m->conf.shm);
	m->degraded = degraded;
}

void
member_follow_table(struct member *m)
{
	static struct log_limit limit = LOG_LIMIT("the table's name", 1, 60);
	int r = table_refresh(m->table);

	if (r == TABLE_E_MOVED)
		confirm_moved(m);
	if (r == TABLE_E_MOVED && !m->degraded)
		log_event(LOG_NOTICE, MSG_TABLE_REPLACED, LOG_FIELDS("HERD_SHM=%s", m->conf.shm),
			  "The shared table '%s' was removed or damaged; moved to another one with its fixes",
			  m->conf.shm);
	if (r < 0 && !table_is_private(m->table) && log_limit_allow(&limit, clock_monotonic_ns()))
		log_warning("The name '%s' leads to no table (%s); keeping the one I have", m->conf.shm,
			    strerror(-r));
	member_tell_degraded(m, r);
	m->followed_ns = clock_monotonic_ns();
}

void
member_table_lost(struct member *m)
{
	member_follow_table(m);
}

/* Where clients of this host reach it, "" when nowhere: over TCP rather than a Unix socket, which not
   everybody has. */
static void
member_reach(const struct member *m, char ret[LISTEN_TEXT_MAX])
{
	char reach[LISTEN_TEXT_MAX];

	*ret = '\0';
	for (size_t i = 0; i < m->door_count; i++)
		if (door_reach(m->doors[i], reach) &&
		    (!*ret || (strncmp(ret, "unix:", 5) == 0 && strncmp(reach, "unix:", 5) != 0)))
			memcpy(ret, reach, sizeof(reach));
}

static int
member_register(struct member *m)
{
	char reach[LISTEN_TEXT_MAX];
	int r;

	member_reach(m, reach);
	r = table_register(m->table, TABLE_MEMBER, m->name, reach);
	if (r == TABLE_E_NAME_TAKEN)
		log_event(LOG_ERR, MSG_NAME_TAKEN, LOG_FIELDS("HERD_SHM=%s", m->conf.shm),
			  "A member called '%s' runs already on '%s'; give this one another --name", m->name,
			  m->conf.shm);
	else if (r < 0)
		log_error_r(r, "Cannot register as '%s' in '%s'", m->name, m->conf.shm);
	return r;
}

int
member_open_table(struct member *m)
{
	const struct table_options options = conf_table_options(&m->conf);
	struct table_info info;
	int r, fault;

	fault = table_open(&m->table, &options);
	if (fault < 0) {
		r = table_open_private(&m->table, &options);
		if (r < 0)
			return log_error_r(r, "Cannot make a table");
		member_tell_degraded(m, fault);
	}
	r = member_register(m);
	if (r == 0 && table_info(m->table, &info) == 0 && info.clients != options.clients)
		log_notice("The table '%s' has room for %u clients, not for table-clients = %u, until it is "
			   "made anew",
			   m->conf.shm, info.clients, options.clients);
	return r;
}
