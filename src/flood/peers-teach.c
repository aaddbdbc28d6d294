/*
 * A host whose table is empty needs all of it once. Asked of everybody, the
 * whole table would come from everybody: so one peer teaches, and the others
 * are compared with when that is over. A teacher that dies, or gets nowhere,
 * is replaced by the next.
 */
#include "base/clock.h"
#include "flood/peers-private.h"

#define PATIENCE_NS (10 * CLOCK_SECOND_NS)

void
peers_teach_greeted(struct peer *peer)
{
	struct peers *p = peer->peers;

	if (!p->is_newcomer)
		return;
	if (p->teacher)
		link_hold_back(connection_link(peer->connection), true);
	else
		p->teacher = peer;
}

static void
begin_lesson(struct peers *p, struct peer *teacher)
{
	p->teacher = teacher;
	p->taught = 0;
	p->taught_ns = clock_monotonic_ns();
	link_hold_back(connection_link(teacher->connection), false);
	link_compare(connection_link(teacher->connection));
}

void
peers_teach_up(struct peer *peer)
{
	if (peer->peers->is_newcomer && peer->peers->teacher == peer)
		begin_lesson(peer->peers, peer);
}

static bool
can_teach(const struct peer *peer)
{
	return peer->is_up && !peer->is_lost && connection_state(peer->connection) == CONNECTION_OPEN;
}

static void
next_teacher(struct peers *p, const struct peer *but)
{
	p->teacher = NULL;
	for (struct peer *peer = p->first; peer && !p->teacher; peer = peer->next)
		if (peer != but && can_teach(peer))
			begin_lesson(p, peer);
}

void
peers_teach_lost(struct peer *peer)
{
	if (peer->peers->is_newcomer && peer->peers->teacher == peer)
		next_teacher(peer->peers, peer);
}

/* The lesson is over: the others are asked for what they have beyond it. */
static void
graduate(struct peers *p)
{
	p->is_newcomer = false;
	for (struct peer *peer = p->first; peer; peer = peer->next) {
		if (peer == p->teacher || !can_teach(peer))
			continue;
		link_hold_back(connection_link(peer->connection), false);
		link_compare(connection_link(peer->connection));
	}
	p->teacher = NULL;
}

void
peers_teach_tick(struct peers *p, int64_t now_ns)
{
	const struct link *l;

	if (!p->is_newcomer || !p->teacher || !can_teach(p->teacher))
		return;
	l = connection_link(p->teacher->connection);
	if (!link_is_comparing(l)) {
		graduate(p);
		return;
	}
	if (link_figures(l)->fixes_in != p->taught) {
		p->taught = link_figures(l)->fixes_in;
		p->taught_ns = now_ns;
	} else if (now_ns - p->taught_ns > PATIENCE_NS) {
		next_teacher(p, p->teacher);
		if (!p->teacher)
			graduate(p); /* nobody else is there: whoever comes next is asked as usual */
	}
}
