/*
 * Closing a TCP socket that holds unread bytes resets the connection, and a
 * reset throws away what the kernel has not delivered yet: replies that were
 * "sent". So each connection is first ended on our side only, then emptied,
 * and closed when its client has closed too or the kernel has delivered all.
 */
#include "member/closing.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "member/door.h"
#include "member/session.h"

enum {
	CLOSING_MS = 1000,
	LOOK_MS = 5,
};

static void
close_doors(struct member *m)
{
	char reach[LISTEN_TEXT_MAX];
	size_t kept = 0;

	for (size_t i = 0; i < m->door_count; i++) {
		/* Replies of a datagram door go out through it. */
		if (door_reach(m->doors[i], reach)) {
			door_free(m->doors[i]);
			continue;
		}
		door_close(m->doors[i]);
		m->doors[kept++] = m->doors[i];
	}
	m->door_count = kept;
}

/* --- draining ------------------------------------------------------------------------ */

void
closing_drain(struct member *m)
{
	if (m->closing.is_draining || m->closing.timer)
		return;
	m->closing.is_draining = true;
	for (size_t i = 0; i < m->door_count; i++)
		door_take_rest(m->doors[i]);
	close_doors(m);
	closing_tick(m);
	log_info("Draining: no new clients, %" PRIu32 " stay until they go", m->session_count);
}

void
closing_tick(struct member *m)
{
	size_t kept = 0;

	if (!m->closing.is_draining)
		return;
	for (size_t i = 0; i < m->door_count; i++)
		if (door_is_idle(m->doors[i]))
			door_free(m->doors[i]);
		else
			m->doors[kept++] = m->doors[i];
	m->door_count = kept;
}

bool
closing_is_idle(const struct member *m)
{
	bool idle = m->session_count == 0;

	for (size_t i = 0; i < m->door_count; i++)
		idle = door_is_idle(m->doors[i]) && idle;
	return idle;
}

/* --- the end -------------------------------------------------------------------------- */

static bool
all_has_gone(struct member *m)
{
	struct session *s, *next;
	bool idle = true;

	for (s = TAILQ_FIRST(&m->sessions); s; s = next) {
		next = TAILQ_NEXT(s, in_member);
		idle = session_leave(s) && idle;
	}
	for (size_t i = 0; i < m->door_count; i++)
		idle = door_is_idle(m->doors[i]) && idle;
	return idle;
}

static void
closing_on_look(void *arg)
{
	struct member *m = arg;
	bool is_late = clock_monotonic_ns() >= m->closing.until_ns;

	if (!all_has_gone(m) && !is_late)
		return;
	if (m->session_count > 0)
		log_notice("%" PRIu32 " clients have not taken their replies in time, going without them",
			   m->session_count);
	loop_stop(m->loop);
}

void
closing_begin(struct member *m)
{
	if (m->closing.timer ||
	    loop_timer_new(&m->closing.timer, m->loop, LOOK_MS * CLOCK_MSEC_NS, closing_on_look, m) < 0) {
		loop_stop(m->loop);
		return;
	}
	log_info("Stopping with %" PRIu32 " open connections", m->session_count);
	m->closing.until_ns = clock_monotonic_ns() + CLOSING_MS * CLOCK_MSEC_NS;
	close_doors(m);
	closing_on_look(m);
}

void
closing_done(struct member *m)
{
	m->closing.timer = loop_timer_free(m->closing.timer);
}
