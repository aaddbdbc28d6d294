/*
 * Mesh: calls from outside only note what happened; mesh_tick() alone decides and
 * calls hooks, so that a dial may fail within its own call, and many deaths at
 * once are one look at the rings.
 *
 * Why it heals: each host dials the first up of each ring on both sides, so of
 * two neighbours in what is left of a ring both come to dial each other, whatever
 * died between them. Those stepped over are dialled on, more and more rarely:
 * after a partition there may be no other way back.
 */
#include "flood/mesh.h"

#include "flood/mesh-private.h"

/* Half of it to all of it. */
static int64_t
jitter(struct mesh *m, int64_t wait_ns)
{
	uint64_t z = m->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	return wait_ns / 2 + (int64_t)(z % (uint64_t)(wait_ns / 2 + 1));
}

/* --- places ---------------------------------------------------------------------------- */

static bool
on_is_down(void *arg, unsigned int in_ring)
{
	struct mesh *m = mesh_check(arg);
	struct mesh_peer *p = mesh_peer(m, m->of_ring[in_ring]);

	if (!p->is_down)
		return false;
	p->is_stepped_over = true;
	return true;
}

static bool
has_name_first(const struct mesh *m, const struct mesh_peer *p)
{
	const char *name = m->hosts[p - m->peers].name;

	return name[0] == '\0' || host_name_compare(m->name, name) < 0;
}

/* When to dial somebody who just came to be wanted, or whose link ended. */
static int64_t
first_dial(const struct mesh *m, const struct mesh_peer *p, int64_t now_ns)
{
	if (m->is_drawn || has_name_first(m, p))
		return now_ns;
	/* Stand-ins find each other from both sides as well, but there is less time. */
	return now_ns + (p->instead_of == (unsigned int)(p - m->peers) ? MESH_WAIT_NS : MESH_WAIT_NS / 4);
}

static void
give_place(struct mesh *m, unsigned int host, unsigned int instead_of, int64_t now_ns)
{
	struct mesh_peer *p = mesh_peer(m, host);

	p->is_wanted = true;
	if (p->instead_of != instead_of)
		p->is_told = false;
	p->instead_of = instead_of;
	if (p->is_up || p->missed_ns != INT64_MAX)
		return;
	p->missed_ns = now_ns;
	if (p->backoff_ns == 0)
		p->retry_ns = first_dial(m, p, now_ns);
}

static void
give_places(struct mesh *m, int64_t now_ns)
{
	struct ring_neighbour neighbours[RING_NEIGHBOURS_MAX];
	unsigned int count;

	if (m->is_drawn) {
		for (unsigned int i = 0; i < m->count; i++)
			if (m->peers[i].in_ring != MESH_NOBODY && i != m->self)
				give_place(m, i, i, now_ns);
		return;
	}
	count = ring_neighbours(m->ring, m->peers[m->self].in_ring, on_is_down, m, neighbours);
	for (unsigned int i = 0; i < count; i++)
		give_place(m, m->of_ring[neighbours[i].host], m->of_ring[neighbours[i].instead_of], now_ns);
}

/* Who lost the place, or never had one. */
static void
take_place(struct mesh_peer *p, int64_t now_ns)
{
	if (!p->is_wanted) {
		p->is_told = false;
		p->instead_of = MESH_NOBODY;
		if (!p->is_stepped_over)
			p->missed_ns = INT64_MAX;
		if (!p->is_stepped_over && !p->is_home)
			p->is_down = p->has_stand_in = false; /* who is not asked about is forgotten */
		if (!p->is_stepped_over && !p->is_up && !p->is_dialling)
			p->backoff_ns = 0;
	}
	if (p->is_wanted || !p->is_up) {
		p->is_idle = p->is_released = false;
	} else if (!p->is_idle) {
		p->is_idle = true;
		p->idle_ns = now_ns;
	}
}

static bool
is_active(const struct mesh_peer *p)
{
	return p->is_home || p->is_wanted || p->is_stepped_over || p->is_up || p->is_dialling;
}

static void
find_places(struct mesh *m, int64_t now_ns)
{
	m->has_changed = false;
	for (unsigned int i = 0; i < m->count; i++)
		m->peers[i].is_wanted = m->peers[i].is_stepped_over = false;
	if (m->ring || m->is_drawn)
		give_places(m, now_ns);
	m->active_count = 0;
	for (unsigned int i = 0; i < m->count; i++) {
		take_place(&m->peers[i], now_ns);
		if (is_active(&m->peers[i]))
			m->active[m->active_count++] = i;
	}
}

/* --- what a tick does --------------------------------------------------------------------- */

/* True: somebody has been away for too long, and others have to be found. */
static bool
give_up_waiting(struct mesh *m, int64_t now_ns)
{
	bool any = false;

	for (unsigned int i = 0; i < m->active_count; i++) {
		struct mesh_peer *p = &m->peers[m->active[i]];
		int64_t patience_ns = p->is_home ? MESH_REPLACE_NS : MESH_PATIENCE_NS;

		if (p->is_wanted && !p->is_up && !p->is_down && now_ns - p->missed_ns >= patience_ns)
			any = p->is_down = true;
	}
	return any;
}

static unsigned int
count_dials(const struct mesh *m)
{
	unsigned int dials = 0;

	for (unsigned int i = 0; i < m->active_count; i++)
		dials += m->peers[m->active[i]].is_dialling && !m->peers[m->active[i]].is_home;
	return dials;
}

static void
dial(struct mesh *m, unsigned int host)
{
	m->peers[host].is_dialling = true;
	m->hooks.dial(m->hooks.arg, host);
}

static void
dial_all(struct mesh *m, int64_t now_ns)
{
	unsigned int dials = count_dials(m);

	for (unsigned int i = 0; i < m->active_count; i++) {
		struct mesh_peer *p = &m->peers[m->active[i]];

		if (p->is_up || p->is_dialling || now_ns < p->retry_ns)
			continue;
		if (p->is_home)
			dial(m, m->active[i]);
		else if ((p->is_wanted || p->is_stepped_over) && dials++ < MESH_DIALS_MAX)
			dial(m, m->active[i]);
	}
}

static void
hang_up(struct mesh *m, struct mesh_peer *p, const char *reason)
{
	p->is_released = true;
	m->hooks.hang_up(m->hooks.arg, (unsigned int)(p - m->peers), reason);
}

/* While somebody who has a place is missing and may yet come, nobody is let go. */
static bool
is_somebody_missing(const struct mesh *m)
{
	for (unsigned int i = 0; i < m->active_count; i++) {
		const struct mesh_peer *p = &m->peers[m->active[i]];

		if (p->is_wanted && !p->is_up && !p->is_down)
			return true;
	}
	return false;
}

static void
let_go(struct mesh *m, int64_t now_ns)
{
	bool missing = is_somebody_missing(m);

	for (unsigned int i = 0; i < m->active_count; i++) {
		struct mesh_peer *p = &m->peers[m->active[i]];

		if (p->is_released)
			continue;
		if (p->in_ring == MESH_NOBODY && (p->is_up || p->is_dialling))
			hang_up(m, p, "not in the list of hosts any more");
		else if (p->is_idle && !missing && now_ns - p->idle_ns >= MESH_LINGER_NS)
			hang_up(m, p, "no longer needed");
	}
}

static void
tell(struct mesh *m)
{
	for (unsigned int i = 0; i < m->active_count; i++) {
		unsigned int host = m->active[i];
		struct mesh_peer *p = &m->peers[host];

		if (p->has_stand_in && p->is_up) {
			p->has_stand_in = false;
			m->hooks.restored(m->hooks.arg, host);
		}
		if (p->is_wanted && p->is_up && p->instead_of != host && !p->is_told) {
			p->is_told = m->peers[p->instead_of].has_stand_in = true;
			m->hooks.replaced(m->hooks.arg, p->instead_of, host);
		}
	}
}

void
mesh_tick(struct mesh *m, int64_t now_ns)
{
	mesh_check(m);
	if (m->has_changed)
		find_places(m, now_ns);
	if (give_up_waiting(m, now_ns))
		find_places(m, now_ns);
	tell(m);
	dial_all(m, now_ns);
	let_go(m, now_ns);
}

/* --- what happens --------------------------------------------------------------------------- */

void
mesh_up(struct mesh *m, unsigned int host, int64_t now_ns)
{
	struct mesh_peer *p = mesh_peer(m, host);

	p->is_dialling = false;
	p->is_down = false;
	p->missed_ns = INT64_MAX;
	if (!p->is_up)
		p->since_ns = now_ns;
	p->is_up = true;
	m->has_changed = true;
}

static void
double_backoff(struct mesh_peer *p)
{
	p->backoff_ns = p->backoff_ns ? 2 * p->backoff_ns : MESH_BACKOFF_MIN_NS;
	if (p->backoff_ns > MESH_BACKOFF_MAX_NS)
		p->backoff_ns = MESH_BACKOFF_MAX_NS;
}

static void
note_down(struct mesh *m, unsigned int host, int64_t wait_ns, int64_t now_ns)
{
	struct mesh_peer *p = mesh_peer(m, host);

	if (p->is_up && now_ns - p->since_ns >= MESH_STEADY_NS)
		p->backoff_ns = 0;
	double_backoff(p);
	p->retry_ns = now_ns + (wait_ns > 0 ? wait_ns : jitter(m, p->backoff_ns));
	if (p->is_up) {
		int64_t first_ns = first_dial(m, p, now_ns);

		p->since_ns = now_ns;
		p->missed_ns = p->is_wanted ? now_ns : INT64_MAX;
		if (p->retry_ns < first_ns)
			p->retry_ns = first_ns;
	}
	if (p->is_wanted && !p->is_home && !p->is_up)
		p->is_down = true; /* a stand-in that does not answer: the next one */
	p->is_up = p->is_dialling = p->is_idle = p->is_released = false;
	m->has_changed = true;
}

void
mesh_down(struct mesh *m, unsigned int host, int64_t now_ns)
{
	note_down(m, host, 0, now_ns);
}

void
mesh_rest(struct mesh *m, unsigned int host, int64_t wait_ns, int64_t now_ns)
{
	note_down(m, host, wait_ns, now_ns);
}

bool
mesh_view(const struct mesh *m, unsigned int host, struct mesh_view *ret)
{
	const struct mesh_peer *p = mesh_peer(m, host);
	struct mesh_view v = {
		.why = MESH_GUEST, .is_up = p->is_up, .is_dialling = p->is_dialling, .since_ns = p->since_ns};

	if (host == m->self || !(p->is_home || p->is_wanted || p->is_stepped_over || p->is_up))
		return false;
	if (p->is_home) {
		v.why = MESH_NEIGHBOUR;
	} else if (p->is_wanted) {
		v.why = MESH_STAND_IN;
		v.stands_in_for = p->instead_of;
	} else if (p->is_stepped_over) {
		v.why = MESH_STAND_IN;
		v.stands_in_for = host;
	}
	if (!p->is_up && !p->is_dialling)
		v.retry_ns = p->retry_ns;
	*ret = v;
	return true;
}
