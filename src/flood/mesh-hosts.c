/*
 * Mesh, its list of hosts: numbers are for as long as the mesh lives, so whoever is
 * taken off the list keeps a place in the array. Operators do that by hand, and
 * not often enough for it to matter.
 */
#include <errno.h>
#include <string.h>

#include "flood/mesh-private.h"

/* Names have no colon in them, and addresses have: they do not meet. */
static const char *
identity(const struct host *host)
{
	return host->name[0] ? host->name : host->address;
}

int
mesh_new(struct mesh **ret, const struct mesh_options *options, const struct mesh_hooks *hooks)
{
	struct mesh *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->magic = MESH_MAGIC;
	m->hooks = *hooks;
	m->random = options->seed;
	m->self = MESH_NOBODY;
	strncpy(m->name, options->self, HOSTS_NAME_MAX);
	mesh_set_ring(m, &options->key, options->site_links);
	*ret = m;
	return 0;
}

struct mesh *
mesh_free(struct mesh *m)
{
	if (!m)
		return NULL;
	mesh_check(m);
	ring_free(m->ring);
	free(m->peers);
	free(m->hosts);
	free(m->sorted);
	free(m->of_ring);
	free(m->active);
	free(m);
	return NULL;
}

void
mesh_set_ring(struct mesh *m, const struct hash_key *key, unsigned int site_links)
{
	m->key = *key;
	m->site_links = site_links;
}

unsigned int
mesh_hosts(const struct mesh *m)
{
	return m->count;
}

const struct host *
mesh_host(const struct mesh *m, unsigned int host)
{
	const struct mesh_peer *p = mesh_peer(m, host);

	return p->in_ring == MESH_NOBODY ? NULL : &m->hosts[host];
}

/* --- finding ------------------------------------------------------------------------- */

static int
compare_peers(const void *a, const void *b, void *arg)
{
	const struct mesh *m = arg;

	return host_name_compare(identity(&m->hosts[*(const unsigned int *)a]),
				 identity(&m->hosts[*(const unsigned int *)b]));
}

/* Of the first `count` of the sorted ones, in the list or not. */
static unsigned int
find_among(const struct mesh *m, unsigned int count, const char *name)
{
	unsigned int low = 0, high = count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2, host = m->sorted[middle];
		int order = host_name_compare(identity(&m->hosts[host]), name);

		if (order == 0)
			return host;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return MESH_NOBODY;
}

int
mesh_find(const struct mesh *m, const char *name, unsigned int *ret)
{
	unsigned int host = find_among(m, m->count, name);

	if (host == MESH_NOBODY || m->peers[host].in_ring == MESH_NOBODY)
		return MESH_E_UNKNOWN;
	*ret = host;
	return 0;
}

/* --- a list --------------------------------------------------------------------------- */

static int
make_room(struct mesh *m, unsigned int room)
{
	struct mesh_peer *peers;
	struct host *hosts;
	unsigned int *sorted, *active;

	if (room <= m->room)
		return 0;
	peers = realloc(m->peers, room * sizeof(*peers));
	if (peers)
		m->peers = peers;
	hosts = realloc(m->hosts, room * sizeof(*hosts));
	if (hosts)
		m->hosts = hosts;
	sorted = realloc(m->sorted, room * sizeof(*sorted));
	if (sorted)
		m->sorted = sorted;
	active = realloc(m->active, room * sizeof(*active));
	if (active)
		m->active = active;
	if (!peers || !hosts || !sorted || !active)
		return -ENOMEM;
	m->room = room;
	return 0;
}

static unsigned int
add_peer(struct mesh *m, int64_t now_ns)
{
	m->peers[m->count] = (struct mesh_peer){
		.instead_of = MESH_NOBODY,
		.since_ns = now_ns,
		.missed_ns = INT64_MAX,
	};
	m->hosts[m->count] = (struct host){0};
	return m->count++;
}

static void
list_peer(struct mesh *m, unsigned int host, const struct host *as, unsigned int in_ring)
{
	struct mesh_peer *p = &m->peers[host];

	/* Somewhere else now: what was tried does not count. */
	if (strcmp(m->hosts[host].address, as->address) != 0 && p->backoff_ns) {
		p->backoff_ns = 0;
		p->retry_ns = INT64_MIN;
	}
	m->hosts[host] = *as;
	p->in_ring = in_ring;
	m->of_ring[in_ring] = host;
}

static void
list_all(struct mesh *m, const struct hosts *hosts, int64_t now_ns)
{
	unsigned int known = m->count;

	for (unsigned int i = 0; i < known; i++)
		m->peers[i].in_ring = MESH_NOBODY;
	for (unsigned int i = 0; i < hosts->count; i++) {
		unsigned int host = find_among(m, known, identity(&hosts->at[i]));

		list_peer(m, host == MESH_NOBODY ? add_peer(m, now_ns) : host, &hosts->at[i], i);
	}
	for (unsigned int i = known; i < m->count; i++)
		m->sorted[i] = i;
	qsort_r(m->sorted, m->count, sizeof(*m->sorted), compare_peers, m);
}

static void
mark_homes(struct mesh *m)
{
	struct ring_neighbour neighbours[RING_NEIGHBOURS_MAX];
	unsigned int count = 0;

	if (m->ring)
		count = ring_neighbours(m->ring, m->peers[m->self].in_ring, NULL, NULL, neighbours);
	for (unsigned int i = 0; i < m->count; i++)
		m->peers[i].is_home = m->is_drawn && m->peers[i].in_ring != MESH_NOBODY && i != m->self;
	for (unsigned int i = 0; i < count; i++)
		m->peers[m->of_ring[neighbours[i].host]].is_home = true;
}

/* The list with ourselves in it: without, everybody would compute another graph. */
static int
copy_with_self(const struct mesh *m, const struct hosts *from, struct hosts *ret)
{
	struct hosts to = {.at = calloc(from->count + 1, sizeof(*to.at)), .count = from->count};

	if (!to.at)
		return -ENOMEM;
	if (from->count > 0)
		memcpy(to.at, from->at, from->count * sizeof(*to.at));
	if (!hosts_find(from, m->name))
		memcpy(to.at[to.count++].name, m->name, sizeof(m->name));
	*ret = to;
	return 0;
}

int
mesh_set_hosts(struct mesh *m, const struct hosts *listed, bool drawn, int64_t now_ns)
{
	CLEANUP(hosts_done) struct hosts hosts = {0};
	CLEANUP(ring_freep) struct ring *ring = NULL;
	unsigned int *of_ring;
	int r;

	mesh_check(m);
	r = copy_with_self(m, listed, &hosts);
	if (r == 0 && !drawn)
		r = ring_new(&ring, &hosts, &m->key, m->site_links);
	if (r == 0)
		r = make_room(m, m->count + (unsigned int)hosts.count);
	if (r < 0)
		return r;
	of_ring = calloc(hosts.count, sizeof(*of_ring));
	if (!of_ring)
		return -ENOMEM;

	free(m->of_ring);
	m->of_ring = of_ring;
	ring_free(m->ring);
	m->ring = ring;
	ring = NULL;
	m->is_drawn = drawn;
	list_all(m, &hosts, now_ns);
	m->self = find_among(m, m->count, m->name);
	mark_homes(m);
	m->has_changed = true;
	return 0;
}

unsigned int
mesh_graph(const struct mesh *m, unsigned int host, unsigned int *ret, unsigned int max)
{
	const struct mesh_peer *p = mesh_peer(m, host);
	struct ring_neighbour neighbours[RING_NEIGHBOURS_MAX];
	unsigned int count = 0, found;

	if (p->in_ring == MESH_NOBODY)
		return 0;
	if (m->is_drawn && host != m->self) {
		if (p->is_home && max > 0)
			ret[count++] = m->self;
		return count;
	}
	if (m->is_drawn) {
		for (unsigned int i = 0; i < m->count && count < max; i++)
			if (m->peers[i].is_home)
				ret[count++] = i;
		return count;
	}
	found = ring_neighbours(m->ring, p->in_ring, NULL, NULL, neighbours);
	while (count < found && count < max) {
		ret[count] = m->of_ring[neighbours[count].host];
		count++;
	}
	return count;
}
