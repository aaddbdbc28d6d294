/*
 * Ring, the making of it: everything is placed by a keyed hash of its own name,
 * so that one more host or site moves nothing but what is next to it, and every
 * host finds the same without asking another.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "flood/ring-private.h"

/* Only while it is made. */
struct maker {
	struct ring *ring;
	const struct hosts *hosts;
	const struct hash_key *key;
	unsigned int site_links;
	unsigned int crossing_room;
	uint64_t *hashes[RING_RINGS]; /* of a host */
};

/* --- hashes and orders ---------------------------------------------------------------- */

enum label { LABEL_HOST = 'h', LABEL_SITE = 's', LABEL_END = 'e' };

static char *
put_name(char *out, const char *name)
{
	for (; *name; name++)
		*out++ = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
	*out++ = '\0';
	return out;
}

/* Everything in it is the same on every host: letters are small ones. */
static uint64_t
hash_of(const struct maker *m, enum label label, unsigned int number, const char *one, const char *two)
{
	char bytes[2 * HOSTS_ADDRESS_MAX + 2], *end = bytes;

	*end++ = (char)label;
	*end++ = (char)number;
	end = put_name(end, one);
	end = put_name(end, two);
	return hash_siphash13(m->key, bytes, (size_t)(end - bytes));
}

static const char *
identity(const struct host *host)
{
	return host->name[0] ? host->name : host->address;
}

struct sorting {
	const struct maker *maker;
	const uint64_t *hashes;
};

static int
compare_hosts(const void *a_, const void *b_, void *arg)
{
	const unsigned int a = *(const unsigned int *)a_, b = *(const unsigned int *)b_;
	const struct sorting *s = arg;
	const struct host *host_a = &s->maker->hosts->at[a], *host_b = &s->maker->hosts->at[b];
	int by_site = host_name_compare(host_a->site, host_b->site);

	if (by_site != 0)
		return by_site;
	if (s->hashes[a] != s->hashes[b])
		return s->hashes[a] < s->hashes[b] ? -1 : 1;
	return host_name_compare(identity(host_a), identity(host_b));
}

static void
sort_ring(struct maker *m, unsigned int ring)
{
	struct sorting s = {m, m->hashes[ring]};
	unsigned int *order = m->ring->order[ring];

	for (unsigned int i = 0; i < m->ring->count; i++) {
		m->hashes[ring][i] = hash_of(m, LABEL_HOST, ring, identity(&m->hosts->at[i]), "");
		order[i] = i;
	}
	qsort_r(order, m->ring->count, sizeof(*order), compare_hosts, &s);
	for (unsigned int i = 0; i < m->ring->count; i++)
		m->ring->place[ring][order[i]] = i;
}

static void
find_sites(struct maker *m)
{
	struct ring *r = m->ring;

	for (unsigned int i = 0; i < r->count; i++) {
		unsigned int host = r->order[0][i];
		const char *name = m->hosts->at[host].site;

		if (i == 0 || host_name_compare(r->sites[r->site_count - 1].name, name) != 0)
			r->sites[r->site_count++] = (struct site){.name = name, .first = i};
		r->sites[r->site_count - 1].count++;
		r->site_of[host] = r->site_count - 1;
	}
}

/* --- links between sites ----------------------------------------------------------------- */

/* What the links of one pair of sites use up already. */
struct pair {
	const struct site *site[2];
	const struct crossing *at;
	unsigned int count;
};

static unsigned int
pair_uses(const struct pair *p, unsigned int side, unsigned int host)
{
	unsigned int uses = 0;

	for (unsigned int i = 0; i < p->count; i++)
		uses += p->at[i].end[side] == host;
	return uses;
}

static bool
pair_has(const struct pair *p, unsigned int one, unsigned int other)
{
	for (unsigned int i = 0; i < p->count; i++)
		if (p->at[i].end[0] == one && p->at[i].end[1] == other)
			return true;
	return false;
}

/* The place of the site's first host from this point of the ring on. */
static unsigned int
place_from(const struct maker *m, const struct site *site, unsigned int ring, uint64_t point)
{
	unsigned int low = 0, high = site->count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (m->hashes[ring][m->ring->order[ring][site->first + middle]] < point)
			low = middle + 1;
		else
			high = middle;
	}
	return site->first + low % site->count;
}

static unsigned int
host_at(const struct ring *r, const struct site *site, unsigned int ring, unsigned int place)
{
	return r->order[ring][site->first + (place - site->first) % site->count];
}

/* Who has the end of the next link: nobody gets a second one before all have a first. */
static unsigned int
choose_end(const struct maker *m, const struct pair *p, unsigned int side, unsigned int other_end)
{
	const struct site *site = p->site[side];
	unsigned int ring = p->count % RING_RINGS;
	uint64_t point = hash_of(m, LABEL_END, p->count, site->name, p->site[1 - side]->name);
	unsigned int from = place_from(m, site, ring, point);

	for (unsigned int uses = p->count / site->count;; uses++) {
		for (unsigned int i = 0; i < site->count; i++) {
			unsigned int host = host_at(m->ring, site, ring, from + i);

			if (pair_uses(p, side, host) <= uses && !(side == 1 && pair_has(p, other_end, host)))
				return host;
		}
	}
}

static int
add_crossing(struct maker *m, const struct crossing *crossing)
{
	struct ring *r = m->ring;

	if (r->crossing_count == m->crossing_room) {
		unsigned int room = 2 * m->crossing_room + 64;
		struct crossing *at = realloc(r->crossings, room * sizeof(*at));

		if (!at)
			return -ENOMEM;
		r->crossings = at;
		m->crossing_room = room;
	}
	r->crossings[r->crossing_count++] = *crossing;
	return 0;
}

/* The smaller number first; one pair may be neighbours in several rings. */
struct site_pair {
	unsigned int one, other, ring;
};

static int
link_sites(struct maker *m, const struct site_pair *sites)
{
	struct pair p = {.site = {&m->ring->sites[sites->one], &m->ring->sites[sites->other]}};
	uint64_t links = (uint64_t)p.site[0]->count * p.site[1]->count;
	unsigned int before = m->ring->crossing_count;
	int r = 0;

	if (links > m->site_links)
		links = m->site_links;
	while (r == 0 && p.count < links) {
		struct crossing c = {.ring = p.count % RING_RINGS, .site_ring = sites->ring};

		c.end[0] = choose_end(m, &p, 0, 0);
		c.end[1] = choose_end(m, &p, 1, c.end[0]);
		r = add_crossing(m, &c);
		p.at = m->ring->crossings + before;
		p.count++;
	}
	return r;
}

static int
compare_site_pairs(const void *a_, const void *b_)
{
	const struct site_pair *a = a_, *b = b_;

	if (a->one != b->one)
		return a->one < b->one ? -1 : 1;
	if (a->other != b->other)
		return a->other < b->other ? -1 : 1;
	return a->ring < b->ring ? -1 : a->ring > b->ring;
}

static int
compare_sites(const void *a_, const void *b_, void *hashes_)
{
	const unsigned int a = *(const unsigned int *)a_, b = *(const unsigned int *)b_;
	const uint64_t *hashes = hashes_;

	if (hashes[a] != hashes[b])
		return hashes[a] < hashes[b] ? -1 : 1;
	return a < b ? -1 : a > b;
}

static int
sort_sites(struct maker *m, unsigned int ring)
{
	struct ring *r = m->ring;
	size_t n = r->site_count;
	CLEANUP(cleanup_free) uint64_t *hashes = calloc(n, sizeof(*hashes));

	r->site_order[ring] = calloc(n, sizeof(*r->site_order[ring]));
	r->site_place[ring] = calloc(n, sizeof(*r->site_place[ring]));
	if (!hashes || !r->site_order[ring] || !r->site_place[ring])
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		hashes[i] = hash_of(m, LABEL_SITE, ring, r->sites[i].name, "");
		r->site_order[ring][i] = i;
	}
	qsort_r(r->site_order[ring], n, sizeof(*r->site_order[ring]), compare_sites, hashes);
	for (unsigned int i = 0; i < n; i++)
		r->site_place[ring][r->site_order[ring][i]] = i;
	return 0;
}

/* Neighbours in four rings of sites. */
static int
pair_in_rings(struct maker *m, struct site_pair *pairs, unsigned int *ret_count)
{
	unsigned int n = m->ring->site_count, count = 0;
	int r = 0;

	for (unsigned int ring = 0; r == 0 && ring < RING_RINGS; ring++) {
		r = sort_sites(m, ring);
		for (unsigned int i = 0; r == 0 && i < n; i++) {
			unsigned int one = m->ring->site_order[ring][i];
			unsigned int other = m->ring->site_order[ring][(i + 1) % n];

			pairs[count++] = one < other ? (struct site_pair){one, other, ring}
						     : (struct site_pair){other, one, ring};
		}
	}
	if (r < 0)
		return r;
	qsort(pairs, count, sizeof(*pairs), compare_site_pairs);
	*ret_count = count;
	return 0;
}

static unsigned int
pair_each_with_each(unsigned int n, struct site_pair *pairs)
{
	unsigned int count = 0;

	for (unsigned int one = 0; one < n; one++)
		for (unsigned int other = one + 1; other < n; other++)
			pairs[count++] = (struct site_pair){one, other, RING_RINGS};
	return count;
}

static bool
is_same_pair(const struct site_pair *a, const struct site_pair *b)
{
	return a->one == b->one && a->other == b->other;
}

static int
link_all_sites(struct maker *m)
{
	unsigned int n = m->ring->site_count, count = 0;
	CLEANUP(cleanup_free) struct site_pair *pairs = calloc(RING_RINGS * (size_t)n + 1, sizeof(*pairs));
	int r = 0;

	_Static_assert((RING_ALL_TO_ALL - 1) / 2 <= RING_RINGS, "there is room for all pairs");
	if (!pairs)
		return -ENOMEM;
	if (n <= RING_ALL_TO_ALL)
		count = pair_each_with_each(n, pairs);
	else
		r = pair_in_rings(m, pairs, &count);
	for (unsigned int i = 0; r == 0 && i < count; i++)
		if (i == 0 || !is_same_pair(&pairs[i - 1], &pairs[i]))
			r = link_sites(m, &pairs[i]);
	return r;
}

/* Which crossings a host has, without looking at the others. */
static int
index_crossings(struct ring *r)
{
	unsigned int *next;

	r->crossings_from = calloc((size_t)r->count + 2, sizeof(*r->crossings_from));
	r->crossings_of = calloc(2 * (size_t)r->crossing_count + 1, sizeof(*r->crossings_of));
	if (!r->crossings_from || !r->crossings_of)
		return -ENOMEM;
	next = r->crossings_from + 1; /* one ahead: filling moves each to where it belongs */
	for (unsigned int i = 0; i < r->crossing_count; i++)
		for (unsigned int side = 0; side < 2; side++)
			next[r->crossings[i].end[side] + 1]++;
	for (unsigned int i = 0; i < r->count; i++)
		next[i + 1] += next[i];
	for (unsigned int i = 0; i < r->crossing_count; i++)
		for (unsigned int side = 0; side < 2; side++)
			r->crossings_of[next[r->crossings[i].end[side]]++] = i;
	return 0;
}

/* --- making and freeing --------------------------------------------------------------------- */

static void
maker_done(struct maker *m)
{
	for (unsigned int ring = 0; ring < RING_RINGS; ring++)
		free(m->hashes[ring]);
	ring_free(m->ring);
}

static int
make_room(struct maker *m)
{
	size_t n = (size_t)m->hosts->count + 1;
	struct ring *r = calloc(1, sizeof(*r));

	m->ring = r;
	if (!r)
		return -ENOMEM;
	r->count = (unsigned int)m->hosts->count;
	r->sites = calloc(n, sizeof(*r->sites));
	r->site_of = calloc(n, sizeof(*r->site_of));
	if (!r->sites || !r->site_of)
		return -ENOMEM;
	for (unsigned int ring = 0; ring < RING_RINGS; ring++) {
		r->order[ring] = calloc(n, sizeof(*r->order[ring]));
		r->place[ring] = calloc(n, sizeof(*r->place[ring]));
		m->hashes[ring] = calloc(n, sizeof(*m->hashes[ring]));
		if (!r->order[ring] || !r->place[ring] || !m->hashes[ring])
			return -ENOMEM;
	}
	return 0;
}

int
ring_new(struct ring **ret, const struct hosts *hosts, const struct hash_key *key, unsigned int site_links)
{
	CLEANUP(maker_done)
	struct maker m = {
		.hosts = hosts,
		.key = key,
		.site_links = site_links < RING_SITE_LINKS_MAX ? site_links : RING_SITE_LINKS_MAX,
	};
	int r = make_room(&m);

	if (r < 0)
		return r;
	for (unsigned int ring = 0; ring < RING_RINGS; ring++)
		sort_ring(&m, ring);
	find_sites(&m);
	r = link_all_sites(&m);
	if (r == 0)
		r = index_crossings(m.ring);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < m.ring->site_count; i++)
		m.ring->sites[i].name = NULL; /* it was the list's */
	*ret = m.ring;
	m.ring = NULL;
	return 0;
}
