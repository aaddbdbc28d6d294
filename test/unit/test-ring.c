/* Whom a host is linked with: ring.c, ring-make.c. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "flood/ring.h"
#include "../random.h"

static const struct hash_key key = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)};

/* n hosts h0, h1, ... of as many sites, in turns; 0 sites: none is marked. */
static struct hosts
make_list(unsigned int n, unsigned int sites)
{
	struct hosts hosts = {.at = calloc(n + 1, sizeof(*hosts.at)), .count = n};

	for (unsigned int i = 0; i < n; i++) {
		snprintf(hosts.at[i].name, sizeof(hosts.at[i].name), "h%u", i);
		snprintf(hosts.at[i].address, sizeof(hosts.at[i].address), "10.0.0.1:%u", i + 1);
		if (sites)
			snprintf(hosts.at[i].site, sizeof(hosts.at[i].site), "site-%u", i % sites);
	}
	return hosts;
}

/* The whole graph: each host's neighbours, and for whom they stand in. */
struct graph {
	unsigned int n;
	const bool *down; /* NULL: nobody */
	unsigned int *counts;
	struct ring_neighbour (*of)[RING_NEIGHBOURS_MAX];
};

static void
graph_done(struct graph *g)
{
	free(g->counts);
	free(g->of);
}

static bool
on_is_down(void *arg, unsigned int host)
{
	return ((const struct graph *)arg)->down[host];
}

static struct graph
make_graph(const struct ring *ring, unsigned int n, const bool *down)
{
	struct graph g = {.n = n, .down = down};

	g.counts = calloc(n + 1, sizeof(*g.counts));
	g.of = calloc(n + 1, sizeof(*g.of));
	for (unsigned int i = 0; i < n; i++)
		if (!down || !down[i])
			g.counts[i] = ring_neighbours(ring, i, down ? on_is_down : NULL, &g, g.of[i]);
	return g;
}

static struct graph
graph_of(const struct hosts *hosts, unsigned int site_links, const bool *down)
{
	CLEANUP(ring_freep) struct ring *ring = NULL;

	assert_int_equal(ring_new(&ring, hosts, &key, site_links), 0);
	return make_graph(ring, (unsigned int)hosts->count, down);
}

static bool
has(const struct graph *g, unsigned int a, unsigned int b)
{
	for (unsigned int i = 0; i < g->counts[a]; i++)
		if (g->of[a][i].host == b)
			return true;
	return false;
}

static bool
is_down(const struct graph *g, unsigned int host)
{
	return g->down && g->down[host];
}

static void
assert_sound(const struct graph *g, bool symmetric)
{
	for (unsigned int a = 0; a < g->n; a++) {
		for (unsigned int i = 0; i < g->counts[a]; i++) {
			unsigned int b = g->of[a][i].host;

			assert_true(b < g->n && b != a);
			assert_true(g->of[a][i].instead_of < g->n);
			if (symmetric && !is_down(g, b) && !has(g, b, a))
				fail_msg("%u has %u, and not the other way", a, b);
			for (unsigned int j = 0; j < i; j++)
				assert_true(g->of[a][j].host != b);
		}
	}
}

/* Steps from a host to the farthest that can be reached; *ret_count: how many can, the host included. */
static unsigned int
reach(const struct graph *g, unsigned int from, unsigned int *ret_count)
{
	unsigned int *queue = calloc(g->n, sizeof(*queue)), *far = calloc(g->n, sizeof(*far));
	unsigned int head = 0, tail = 0, farthest = 0;

	queue[tail++] = from;
	far[from] = 1;
	while (head < tail) {
		unsigned int a = queue[head++];

		farthest = far[a] - 1;
		for (unsigned int i = 0; i < g->counts[a]; i++) {
			unsigned int b = g->of[a][i].host;

			if (far[b] == 0 && !is_down(g, b)) {
				far[b] = far[a] + 1;
				queue[tail++] = b;
			}
		}
	}
	free(queue);
	free(far);
	*ret_count = tail;
	return farthest;
}

static unsigned int
count_up(const struct graph *g)
{
	unsigned int up = 0;

	for (unsigned int i = 0; i < g->n; i++)
		up += !is_down(g, i);
	return up;
}

static void
assert_connected(const struct graph *g)
{
	unsigned int from = 0, count;

	while (from < g->n && is_down(g, from))
		from++;
	if (from == g->n)
		return;
	reach(g, from, &count);
	assert_int_equal(count, count_up(g));
}

/* --- one site ----------------------------------------------------------------------- */

static void
links_everybody_in_small_herds(void **state)
{
	(void)state;
	for (unsigned int n = 0; n <= RING_ALL_TO_ALL; n++) {
		CLEANUP(hosts_done) struct hosts hosts = make_list(n, 0);
		CLEANUP(graph_done) struct graph g = graph_of(&hosts, 4, NULL);

		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(g.counts[i], n - 1);
		assert_sound(&g, true);
	}
}

static void
makes_four_rings(void **state)
{
	static const unsigned int sizes[] = {10, 11, 16, 100, 300, 1000, 2000, HOSTS_MAX};

	(void)state;
	for (unsigned int s = 0; s < ELEMENTS(sizes); s++) {
		unsigned int n = sizes[s], count, links = 0, diameter;
		CLEANUP(hosts_done) struct hosts hosts = make_list(n, 0);
		CLEANUP(graph_done) struct graph g = graph_of(&hosts, 4, NULL);

		assert_sound(&g, true);
		diameter = reach(&g, 0, &count);
		assert_int_equal(count, n);
		assert_true(diameter <= 6);
		for (unsigned int i = 0; i < n; i++) {
			assert_in_range(g.counts[i], 2, 8);
			links += g.counts[i];
			for (unsigned int j = 0; j < g.counts[i]; j++)
				assert_int_equal(g.of[i][j].host, g.of[i][j].instead_of);
		}
		if (n >= 100)
			assert_true(links > 7 * n);
		print_message("%u hosts: %.2f links each, diameter %u\n", n, (double)links / n, diameter);
	}
}

/* Lists in another order, with other letters and other addresses, are the same herd. */
static void
is_the_same_everywhere(void **state)
{
	uint64_t random = random_seed(7);
	unsigned int n = 200;

	(void)state;
	for (unsigned int sites = 0; sites <= 30; sites += 3) {
		CLEANUP(hosts_done) struct hosts hosts = make_list(n, sites), other = make_list(n, sites);
		CLEANUP(graph_done) struct graph g = graph_of(&hosts, 4, NULL), h = {0};
		unsigned int *at = calloc(n,
					  sizeof(*at)); /* where a host of the first list is in the other */

		for (unsigned int i = 0; i < n; i++)
			at[i] = i;
		for (unsigned int i = n - 1; i > 0; i--) {
			unsigned int j = (unsigned int)random_below(&random, i + 1), was = at[i];

			at[i] = at[j];
			at[j] = was;
		}
		for (unsigned int i = 0; i < n; i++) {
			other.at[at[i]] = hosts.at[i];
			other.at[at[i]].name[0] = 'H';
			other.at[at[i]].address[0] = '9';
			other.at[at[i]].site[0] = sites ? 'S' : '\0';
		}
		h = graph_of(&other, 4, NULL);
		for (unsigned int i = 0; i < n; i++) {
			assert_int_equal(g.counts[i], h.counts[at[i]]);
			for (unsigned int j = 0; j < g.counts[i]; j++)
				assert_true(has(&h, at[i], at[g.of[i][j].host]));
		}
		free(at);
	}
}

static void
hides_the_graph_without_the_key(void **state)
{
	const struct hash_key another = {1, 2};
	CLEANUP(hosts_done) struct hosts hosts = make_list(100, 0);
	CLEANUP(graph_done) struct graph g = graph_of(&hosts, 4, NULL), h = {0};
	CLEANUP(ring_freep) struct ring *ring = NULL;
	unsigned int same = 0;

	(void)state;
	assert_int_equal(ring_new(&ring, &hosts, &another, 4), 0);
	h = make_graph(ring, 100, NULL);
	for (unsigned int i = 0; i < 100; i++)
		for (unsigned int j = 0; j < g.counts[i]; j++)
			same += has(&h, i, g.of[i][j].host);
	assert_true(same < 160); /* of about 780; 8 % of the pairs are linked */
}

static unsigned int
count_lost(const struct graph *before, const struct graph *after)
{
	unsigned int lost = 0;

	for (unsigned int i = 0; i < before->n; i++)
		for (unsigned int j = 0; j < before->counts[i]; j++)
			lost += !has(after, i, before->of[i][j].host);
	return lost / 2;
}

static void
changes_little_for_one_more(void **state)
{
	static const unsigned int sizes[] = {10, 11, 50, 99, 500};
	unsigned int most = 0;

	(void)state;
	for (unsigned int s = 0; s < ELEMENTS(sizes); s++) {
		for (unsigned int sites = 0; sites <= 16; sites += 4) {
			unsigned int n = sizes[s], lost;
			CLEANUP(hosts_done) struct hosts hosts = make_list(n, sites);
			CLEANUP(hosts_done) struct hosts more = make_list(n + 1, sites);
			CLEANUP(graph_done) struct graph g = graph_of(&hosts, 4, NULL);
			CLEANUP(graph_done) struct graph h = graph_of(&more, 4, NULL);

			lost = count_lost(&g, &h);
			most = lost > most ? lost : most;
			if (sites == 0)
				assert_true(lost <= 4); /* one in each ring */
		}
	}
	print_message("at most %u links gone for one more host\n", most);
	assert_true(most <= 16); /* also where its site is too large now for each with each */
}

/* --- who is down --------------------------------------------------------------------------- */

/* Everybody knows it: then both ends of every link agree, and nobody is cut off, whoever died. */
static void
closes_rings(void **state)
{
	static const unsigned int percents[] = {1, 10, 30, 50, 90, 99};
	uint64_t random = random_seed(3);

	(void)state;
	for (unsigned int round = 0; round < 60; round++) {
		unsigned int n = 10 + (unsigned int)random_below(&random, 190), percent = percents[round % 6];
		CLEANUP(hosts_done) struct hosts hosts = make_list(n, 0);
		CLEANUP(graph_done) struct graph g = {0};
		bool down[200];

		for (unsigned int i = 0; i < n; i++)
			down[i] = random_below(&random, 100) < percent;
		g = graph_of(&hosts, 4, down);
		assert_sound(&g, true);
		assert_connected(&g);
		for (unsigned int i = 0; i < n; i++) {
			assert_true(g.counts[i] <= 8);
			for (unsigned int j = 0; j < g.counts[i]; j++) {
				assert_false(down[g.of[i][j].host]);
				if (g.of[i][j].instead_of != g.of[i][j].host)
					assert_true(down[g.of[i][j].instead_of]);
			}
		}
	}
}

struct asked {
	unsigned int self, count;
};

static bool
on_all_down(void *arg, unsigned int host)
{
	struct asked *a = arg;

	assert_int_not_equal(host, a->self);
	a->count++;
	return true;
}

static void
ends_when_all_are_down(void **state)
{
	(void)state;
	for (unsigned int sites = 0; sites <= 20; sites += 5) {
		CLEANUP(hosts_done) struct hosts hosts = make_list(200, sites);
		CLEANUP(ring_freep) struct ring *ring = NULL;

		assert_int_equal(ring_new(&ring, &hosts, &key, 4), 0);
		for (unsigned int i = 0; i < 200; i++) {
			struct ring_neighbour ret[RING_NEIGHBOURS_MAX];
			struct asked a = {.self = i};

			if (sites == 0)
				assert_int_equal(ring_neighbours(ring, i, on_all_down, &a, ret), 0);
			else
				ring_neighbours(ring, i, on_all_down, &a, ret);
			assert_true(a.count < 200 * 200);
		}
	}
}

/* --- sites ------------------------------------------------------------------------------------ */

static unsigned int
count_between(const struct graph *g, unsigned int sites, unsigned int one, unsigned int other)
{
	unsigned int links = 0;

	for (unsigned int a = one; a < g->n; a += sites)
		for (unsigned int i = 0; i < g->counts[a]; i++)
			links += g->of[a][i].host % sites == other;
	return links;
}

static void
links_sites(void **state)
{
	static const unsigned int links[] = {1, 2, 4, 6, 16};

	(void)state;
	for (unsigned int sites = 2; sites <= RING_ALL_TO_ALL; sites++) {
		for (unsigned int l = 0; l < ELEMENTS(links); l++) {
			unsigned int n = sites * 12, most = 0;
			CLEANUP(hosts_done) struct hosts hosts = make_list(n, sites);
			CLEANUP(graph_done) struct graph g = graph_of(&hosts, links[l], NULL);

			if (sites > 5 && links[l] > 6)
				continue; /* a host may then have more than it can */
			assert_sound(&g, true);
			assert_connected(&g);
			for (unsigned int a = 0; a < sites; a++)
				for (unsigned int b = 0; b < sites; b++)
					if (a != b)
						assert_int_equal(count_between(&g, sites, a, b), links[l]);
			for (unsigned int i = 0; i < n; i++)
				most = g.counts[i] > most ? g.counts[i] : most;
			assert_true(most <= 8 + links[l] * (sites - 1) * 2 / 3 + 2); /* spread */
		}
	}
}

static void
links_small_sites(void **state)
{
	(void)state;
	for (unsigned int n = 2; n < 9; n++) {
		CLEANUP(hosts_done) struct hosts hosts = make_list(n, 2);
		CLEANUP(graph_done) struct graph g = graph_of(&hosts, 4, NULL);
		unsigned int pairs = (n / 2) * (n - n / 2);

		assert_sound(&g, true);
		assert_int_equal(count_between(&g, 2, 0, 1), pairs < 4 ? pairs : 4);
		if (n >= 8)
			for (unsigned int i = 0; i < n; i++)
				assert_int_equal(g.counts[i], n / 2 - 1 + 1); /* one each */
	}
	for (unsigned int sites = 10; sites <= 100; sites += 30) { /* each host a site of its own */
		CLEANUP(hosts_done) struct hosts hosts = make_list(sites, sites);
		CLEANUP(graph_done) struct graph g = graph_of(&hosts, 4, NULL);

		assert_sound(&g, true);
		assert_connected(&g);
		for (unsigned int i = 0; i < sites; i++)
			assert_in_range(g.counts[i], 2, 8);
	}
}

/* As long as two sites have anybody up, there is a link between them; none is ever cut off. */
static void
heals_sites(void **state)
{
	static const unsigned int percents[] = {10, 30, 50, 90};
	uint64_t random = random_seed(5);

	(void)state;
	for (unsigned int round = 0; round < 200; round++) {
		unsigned int sites = 2 + (unsigned int)random_below(&random, 20);
		unsigned int n = sites * (1 + (unsigned int)random_below(&random, 14));
		CLEANUP(hosts_done) struct hosts hosts = make_list(n, sites);
		CLEANUP(graph_done) struct graph g = {0};
		bool down[21 * 14], up[21] = {0};

		for (unsigned int i = 0; i < n; i++) {
			down[i] = random_below(&random, 100) < percents[round % 4];
			up[i % sites] |= !down[i];
		}
		g = graph_of(&hosts, 1 + (unsigned int)random_below(&random, 5), down);
		assert_sound(&g, sites <= RING_ALL_TO_ALL && n / sites > RING_ALL_TO_ALL);
		assert_connected(&g);
		for (unsigned int a = 0; a < sites && sites <= RING_ALL_TO_ALL; a++)
			for (unsigned int b = 0; b < sites; b++)
				if (a != b && up[a] && up[b])
					assert_true(count_between(&g, sites, a, b) >= 1);
	}
}

static void
bounds_neighbours(void **state)
{
	CLEANUP(hosts_done) struct hosts hosts = make_list(9 * 20, 9);
	CLEANUP(graph_done) struct graph g = {0};
	unsigned int kept = 0;

	(void)state;
	for (unsigned int i = 0; i < hosts.count; i++) /* one site of one host, eight of many */
		if (i % 9 != 0 || i == 0)
			hosts.at[kept++] = hosts.at[i];
	hosts.count = kept;
	g = graph_of(&hosts, 64, NULL);
	assert_int_equal(g.counts[0], RING_NEIGHBOURS_MAX);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_everybody_in_small_herds),
		cmocka_unit_test(makes_four_rings),
		cmocka_unit_test(is_the_same_everywhere),
		cmocka_unit_test(hides_the_graph_without_the_key),
		cmocka_unit_test(changes_little_for_one_more),
		cmocka_unit_test(closes_rings),
		cmocka_unit_test(ends_when_all_are_down),
		cmocka_unit_test(links_sites),
		cmocka_unit_test(links_small_sites),
		cmocka_unit_test(heals_sites),
		cmocka_unit_test(bounds_neighbours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
