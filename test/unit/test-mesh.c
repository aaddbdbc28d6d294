/*
 * Whom a host keeps links with, over time: mesh.c, mesh-hosts.c. Many meshes
 * in one process, and between them a net that knows links as up or not.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "flood/mesh.h"
#include "flood/ring.h"
#include "../random.h"

static const struct hash_key key = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)};

enum { NODES_MAX = 220, STEP_MS = 20 };

#define STEP_NS	   (STEP_MS * CLOCK_MSEC_NS)
#define REFUSED_NS (20 * CLOCK_MSEC_NS)
#define GREETED_NS (60 * CLOCK_MSEC_NS)
#define TIMEOUT_NS (4 * CLOCK_SECOND_NS) /* of a dial into nothing */

struct world;

struct node {
	struct world *world;
	unsigned int index;
	struct mesh *mesh;			       /* NULL: dead */
	unsigned int of[NODES_MAX], number[NODES_MAX]; /* node of a host number, and the other way */
	unsigned int hung_up, dialled, replaced, restored;
};

enum tie { TIE_NONE, TIE_DIALLING, TIE_UP };

struct world {
	unsigned int n;
	int64_t now_ns;
	struct node nodes[NODES_MAX];
	struct hosts hosts; /* of all nodes; a node knows the first `listed` of them */
	unsigned int listed[NODES_MAX];
	bool up[NODES_MAX][NODES_MAX];	       /* symmetric */
	bool by[NODES_MAX][NODES_MAX];	       /* [a][b]: a dialled it */
	int64_t dial_ns[NODES_MAX][NODES_MAX]; /* [a][b]: when a's dial ends; 0: none */
	unsigned int side[NODES_MAX]; /* hosts of another side of a partition do not hear each other */
	unsigned int ups, downs;      /* links that came up and went down */
};

static struct host
host_of(unsigned int i)
{
	struct host host = {.name = ""};

	snprintf(host.name, sizeof(host.name), "h%03u", i);
	snprintf(host.address, sizeof(host.address), "10.0.0.%u:1", i);
	return host;
}

/* --- what a mesh asks for --------------------------------------------------------------- */

static bool
is_reachable(const struct world *w, unsigned int a, unsigned int b)
{
	return w->side[a] == w->side[b];
}

static void
on_dial(void *arg, unsigned int host)
{
	struct node *a = arg;
	struct world *w = a->world;
	unsigned int b = a->of[host];

	assert_false(w->up[a->index][b]);
	a->dialled++;
	if (w->dial_ns[a->index][b])
		return;
	if (!is_reachable(w, a->index, b))
		w->dial_ns[a->index][b] = w->now_ns + TIMEOUT_NS;
	else
		w->dial_ns[a->index][b] = w->now_ns + (w->nodes[b].mesh ? GREETED_NS : REFUSED_NS);
}

static void
cut(struct world *w, unsigned int a, unsigned int b)
{
	if (!w->up[a][b])
		return;
	w->up[a][b] = w->up[b][a] = w->by[a][b] = w->by[b][a] = false;
	w->downs++;
	if (w->nodes[a].mesh)
		mesh_down(w->nodes[a].mesh, w->nodes[a].number[b], w->now_ns);
	if (w->nodes[b].mesh)
		mesh_down(w->nodes[b].mesh, w->nodes[b].number[a], w->now_ns);
}

static void
on_hang_up(void *arg, unsigned int host, const char *reason)
{
	struct node *a = arg;
	struct world *w = a->world;
	unsigned int b = a->of[host];

	assert_non_null(reason);
	if (!mesh_host(a->mesh, host))
		w->dial_ns[a->index][b] = 0;
	if (!mesh_host(a->mesh, host) || w->by[a->index][b]) {
		a->hung_up++;
		cut(w, a->index, b);
	}
}

static void
on_replaced(void *arg, unsigned int host, unsigned int stand_in)
{
	struct node *a = arg;

	assert_int_not_equal(host, stand_in);
	assert_true(a->world->up[a->index][a->of[stand_in]]);
	assert_false(a->world->up[a->index][a->of[host]]);
	a->replaced++;
}

static void
on_restored(void *arg, unsigned int host)
{
	struct node *a = arg;

	assert_true(a->world->up[a->index][a->of[host]]);
	a->restored++;
}

/* --- the world ------------------------------------------------------------------------------ */

static void
read_list(struct node *a, bool drawn)
{
	const struct world *w = a->world;
	struct hosts list = {.at = w->hosts.at, .count = w->listed[a->index]};

	assert_int_equal(mesh_set_hosts(a->mesh, &list, drawn, w->now_ns), 0);
	for (unsigned int i = 0; i < w->n; i++) {
		unsigned int number;

		if (mesh_find(a->mesh, w->hosts.at[i].name, &number) != 0)
			continue;
		a->number[i] = number;
		a->of[number] = i;
	}
}

static void
start(struct world *w, unsigned int i)
{
	const struct mesh_options options = {
		.self = w->hosts.at[i].name, .key = key, .site_links = 4, .seed = i + (uint64_t)w->now_ns};
	struct node *a = &w->nodes[i];
	const struct mesh_hooks hooks = {a, on_dial, on_hang_up, on_replaced, on_restored};

	assert_null(a->mesh);
	assert_int_equal(mesh_new(&a->mesh, &options, &hooks), 0);
	read_list(a, false);
}

static struct world *
world_new(unsigned int n, unsigned int sites)
{
	struct world *w = calloc(1, sizeof(*w));

	w->n = n;
	w->now_ns = CLOCK_SECOND_NS;
	w->hosts.at = calloc(n, sizeof(*w->hosts.at));
	w->hosts.count = n;
	for (unsigned int i = 0; i < n; i++) {
		w->hosts.at[i] = host_of(i);
		if (sites)
			snprintf(w->hosts.at[i].site, sizeof(w->hosts.at[i].site), "s%u", i % sites);
		w->listed[i] = n;
		w->nodes[i].world = w;
		w->nodes[i].index = i;
	}
	return w;
}

static void
world_start(struct world *w)
{
	for (unsigned int i = 0; i < w->n; i++)
		start(w, i);
}

static void
world_free(struct world *w)
{
	for (unsigned int i = 0; i < w->n; i++)
		mesh_free(w->nodes[i].mesh);
	free(w->hosts.at);
	free(w);
}
CLEANUP_POINTER(struct world, world_free);

static void
die(struct world *w, unsigned int i)
{
	w->nodes[i].mesh = mesh_free(w->nodes[i].mesh);
	for (unsigned int j = 0; j < w->n; j++) {
		cut(w, i, j);
		w->dial_ns[i][j] = 0;
	}
}

/* Both sides know of each other, or it is refused. */
static bool
is_welcome(const struct world *w, unsigned int a, unsigned int b)
{
	return is_reachable(w, a, b) && w->nodes[b].mesh && a < w->listed[b];
}

static void
end_dial(struct world *w, unsigned int a, unsigned int b)
{
	struct node *one = &w->nodes[a], *other = &w->nodes[b];

	w->dial_ns[a][b] = 0;
	if (!is_welcome(w, a, b)) {
		if (!w->up[a][b])
			mesh_down(one->mesh, one->number[b], w->now_ns);
	} else if (w->up[a][b]) { /* two: the one dialled by the smaller stays */
		w->by[a][b] = a < b;
		w->by[b][a] = b < a;
	} else {
		w->up[a][b] = w->up[b][a] = w->by[a][b] = true;
		w->ups++;
		mesh_up(one->mesh, one->number[b], w->now_ns);
		mesh_up(other->mesh, other->number[a], w->now_ns);
	}
}

static void
step(struct world *w)
{
	w->now_ns += STEP_NS;
	for (unsigned int a = 0; a < w->n; a++)
		for (unsigned int b = 0; b < w->n; b++)
			if (w->dial_ns[a][b] && w->dial_ns[a][b] <= w->now_ns)
				end_dial(w, a, b);
	for (unsigned int a = 0; a < w->n; a++)
		if (w->nodes[a].mesh && (w->now_ns / STEP_NS + a) % (MESH_TICK_NS / STEP_NS) == 0)
			mesh_tick(w->nodes[a].mesh, w->now_ns);
}

static void
run(struct world *w, int64_t ns)
{
	for (int64_t end = w->now_ns + ns; w->now_ns < end;)
		step(w);
}

static unsigned int
count_links(const struct world *w, unsigned int a)
{
	unsigned int links = 0;

	for (unsigned int b = 0; b < w->n; b++)
		links += w->up[a][b];
	return links;
}

/* Hosts up that do not hear, over any number of links, from the first of their side of a partition. */
static unsigned int
count_cut_off(const struct world *w)
{
	unsigned int from[NODES_MAX], cut_off = 0;
	bool changed = true;

	for (unsigned int i = 0; i < w->n; i++)
		from[i] = i;
	while (changed) {
		changed = false;
		for (unsigned int a = 0; a < w->n; a++)
			for (unsigned int b = 0; b < w->n; b++)
				if (w->up[a][b] && from[b] < from[a]) {
					from[a] = from[b];
					changed = true;
				}
	}
	for (unsigned int a = 0; a < w->n; a++) {
		unsigned int first = 0;

		while (first < a && !(w->nodes[first].mesh && is_reachable(w, first, a)))
			first++;
		cut_off += w->nodes[a].mesh && from[a] != first;
	}
	return cut_off;
}

/* The links are those of the graph, and nothing more is about to happen. */
static void
assert_settled(struct world *w)
{
	CLEANUP(ring_freep) struct ring *ring = NULL;
	unsigned int ups = w->ups, downs = w->downs;

	assert_int_equal(ring_new(&ring, &w->hosts, &key, 4), 0);
	for (unsigned int a = 0; a < w->n; a++) {
		struct ring_neighbour to[RING_NEIGHBOURS_MAX];
		unsigned int count = ring_neighbours(ring, a, NULL, NULL, to);

		for (unsigned int i = 0; i < count; i++)
			if (!w->up[a][to[i].host])
				fail_msg("%u has no link with %u", a, to[i].host);
		assert_int_equal(count_links(w, a), count);
	}
	run(w, 40 * CLOCK_SECOND_NS);
	assert_int_equal(w->ups, ups);
	assert_int_equal(w->downs, downs);
}

/* --- beginnings -------------------------------------------------------------------------------- */

static void
links_neighbours(void **state)
{
	static const unsigned int sizes[] = {1, 2, 3, 9, 10, 30, 100};

	(void)state;
	for (unsigned int s = 0; s < ELEMENTS(sizes); s++) {
		CLEANUP(world_freep) struct world *w = world_new(sizes[s], sizes[s] == 30 ? 3 : 0);
		unsigned int dials = 0;

		world_start(w);
		run(w, CLOCK_SECOND_NS); /* before the second of a pair would dial */
		for (unsigned int i = 0; i < w->n; i++)
			dials += w->nodes[i].dialled;
		assert_int_equal(dials, w->ups);
		assert_settled(w);
	}
}

static void
starts_one_by_one(void **state)
{
	CLEANUP(world_freep) struct world *w = world_new(40, 0);

	(void)state;
	for (unsigned int i = 0; i < w->n; i++) {
		start(w, (i * 7) % 40);
		run(w, 2 * CLOCK_SECOND_NS);
		if (i % 8 == 0) {
			run(w, 8 * CLOCK_SECOND_NS);
			assert_int_equal(count_cut_off(w), 0);
		}
	}
	run(w, 10 * CLOCK_SECOND_NS);
	assert_settled(w);
}

static void
views_what_it_does(void **state)
{
	CLEANUP(world_freep) struct world *w = world_new(3, 0);
	struct mesh_view v;
	struct node *a = &w->nodes[0];
	unsigned int number, to[8];

	(void)state;
	start(w, 0);
	assert_int_equal(mesh_find(a->mesh, "H001", &number), 0);
	assert_int_equal(mesh_find(a->mesh, "h009", &number), MESH_E_UNKNOWN);
	assert_string_equal(mesh_host(a->mesh, number)->address, "10.0.0.1:1");
	assert_false(mesh_view(a->mesh, a->number[0], &v));
	assert_true(mesh_view(a->mesh, number, &v));
	assert_int_equal(v.why, MESH_NEIGHBOUR);
	assert_false(v.is_up || v.is_dialling);
	mesh_tick(a->mesh, w->now_ns);
	assert_true(mesh_view(a->mesh, number, &v));
	assert_true(v.is_dialling);
	run(w, CLOCK_SECOND_NS / 2);
	assert_true(mesh_view(a->mesh, number, &v));
	assert_false(v.is_dialling);
	assert_true(v.retry_ns > w->now_ns); /* it was refused */
	start(w, 1);
	run(w, 3 * CLOCK_SECOND_NS);
	assert_true(mesh_view(a->mesh, number, &v));
	assert_true(v.is_up && !v.is_dialling && v.retry_ns == 0);
	assert_int_equal(mesh_graph(a->mesh, number, to, 8), 2);
	assert_int_equal(mesh_graph(a->mesh, number, to, 1), 1);
}

/* --- healing -------------------------------------------------------------------------------------- */

static bool
is_neighbour(const struct world *w, unsigned int a, unsigned int b)
{
	unsigned int to[RING_NEIGHBOURS_MAX];
	unsigned int count = mesh_graph(w->nodes[a].mesh, w->nodes[a].number[b], to, RING_NEIGHBOURS_MAX);

	for (unsigned int i = 0; i < count; i++)
		if (w->nodes[a].of[to[i]] == a)
			return true;
	return false;
}

static void
replaces_and_restores(void **state)
{
	CLEANUP(world_freep) struct world *w = world_new(60, 0);
	unsigned int replaced = 0, restored = 0;

	(void)state;
	world_start(w);
	run(w, 20 * CLOCK_SECOND_NS);
	die(w, 5);
	run(w, 2900 * CLOCK_MSEC_NS);
	for (unsigned int i = 0; i < w->n; i++)
		assert_int_equal(w->nodes[i].replaced, 0); /* it may come back */
	run(w, 1200 * CLOCK_MSEC_NS);
	for (unsigned int i = 0; i < w->n; i++) {
		replaced += w->nodes[i].replaced;
		if (i != 5 && is_neighbour(w, i, 5))
			assert_true(count_links(w, i) + 1 >= mesh_graph(w->nodes[i].mesh,
									w->nodes[i].number[i],
									(unsigned int[64]){0}, 64));
	}
	assert_in_range(replaced, 4, 8); /* two sides of each ring, but where they are linked already */
	run(w, 60 * CLOCK_SECOND_NS);

	start(w, 5);
	run(w, 4 * CLOCK_SECOND_NS); /* before a stand-in is let go */
	for (unsigned int i = 0; i < w->n; i++) {
		restored += w->nodes[i].restored;
		assert_int_equal(w->nodes[i].hung_up, 0);
		assert_true(i == 5 || w->up[i][5] == is_neighbour(w, i, 5));
	}
	assert_true(restored >= 4);
	run(w, 6 * CLOCK_SECOND_NS);
	assert_settled(w);
}

static void
does_not_replace_what_restarts(void **state)
{
	CLEANUP(world_freep) struct world *w = world_new(60, 0);

	(void)state;
	world_start(w);
	run(w, 20 * CLOCK_SECOND_NS);
	for (unsigned int i = 0; i < w->n; i++) { /* each takes a second to be back */
		die(w, i);
		run(w, CLOCK_SECOND_NS);
		start(w, i);
		run(w, 4 * CLOCK_SECOND_NS);
	}
	for (unsigned int i = 0; i < w->n; i++)
		assert_int_equal(w->nodes[i].replaced + w->nodes[i].hung_up, 0);
	assert_settled(w);
}

static void
survives_many_deaths(void **state)
{
	static const unsigned int percents[] = {30, 50, 80, 95};
	uint64_t random = random_seed(11);

	(void)state;
	for (unsigned int round = 0; round < 8; round++) {
		unsigned int sites = round < 4 ? 0 : 2 + 3 * (round - 4);
		CLEANUP(world_freep) struct world *w = world_new(200, sites);

		world_start(w);
		run(w, 5 * CLOCK_SECOND_NS);
		for (unsigned int i = 0; i < w->n; i++)
			if (random_below(&random, 100) < percents[round % 4])
				die(w, i);
		run(w, (percents[round % 4] <= 50 ? 10 : 40) * CLOCK_SECOND_NS);
		assert_int_equal(count_cut_off(w), 0);
		for (unsigned int i = 0; i < w->n; i++)
			if (!w->nodes[i].mesh)
				start(w, i);
		run(w, 80 * CLOCK_SECOND_NS);
		assert_settled(w);
	}
}

static void
comes_back_from_partitions(void **state)
{
	uint64_t random = random_seed(13);

	(void)state;
	for (unsigned int round = 0; round < 12; round++) {
		unsigned int n = 4 + (unsigned int)random_below(&random, 60);
		CLEANUP(world_freep) struct world *w = world_new(n, (round % 3) * 3);

		world_start(w);
		run(w, 5 * CLOCK_SECOND_NS);
		for (unsigned int i = 0; i < n; i++)
			w->side[i] = (unsigned int)random_below(&random, 1 + round % 4);
		for (unsigned int a = 0; a < n; a++)
			for (unsigned int b = 0; b < a; b++)
				if (!is_reachable(w, a, b))
					cut(w, a, b);
		run(w, 60 * CLOCK_SECOND_NS);
		if (w->hosts.at[0].site[0] == '\0')
			assert_int_equal(count_cut_off(w), 0);
		memset(w->side, 0, sizeof(w->side));
		run(w, 90 * CLOCK_SECOND_NS);
		assert_settled(w);
	}
}

/* One pair cannot reach each other: each takes a stand-in, and no link is fought over. */
static void
does_not_fight(void **state)
{
	CLEANUP(world_freep) struct world *w = world_new(30, 0);
	unsigned int ups, replaced = 0;

	(void)state;
	world_start(w);
	run(w, 20 * CLOCK_SECOND_NS);
	w->listed[3] = 1; /* 3 refuses all but 0, and is refused by nobody */
	for (unsigned int i = 1; i < w->n; i++)
		cut(w, 3, i);
	for (unsigned int i = 1; i < w->n; i++)
		w->side[i] = i == 3 ? 1 : 0;
	w->side[0] = 0;
	run(w, 60 * CLOCK_SECOND_NS);
	ups = w->ups;
	run(w, 120 * CLOCK_SECOND_NS);
	assert_int_equal(w->ups, ups);
	for (unsigned int i = 0; i < w->n; i++)
		replaced += w->nodes[i].replaced;
	assert_true(replaced >= 4);
}

static void
backs_off(void **state)
{
	CLEANUP(world_freep) struct world *w = world_new(2, 0);
	struct node *a = &w->nodes[0];
	struct mesh_view v;

	(void)state;
	start(w, 0);
	run(w, 60 * CLOCK_SECOND_NS);
	assert_in_range(a->dialled, 6, 9); /* 1, 2, 4, 8, 16, 30 s at most, half of that at least */
	run(w, 300 * CLOCK_SECOND_NS);
	assert_in_range(a->dialled, 6 + 10, 9 + 20);
	for (unsigned int i = 0; i < 100; i++) {
		step(w);
		assert_true(mesh_view(a->mesh, a->number[1], &v));
		assert_true(v.is_dialling || v.retry_ns <= w->now_ns + MESH_BACKOFF_MAX_NS);
	}
	start(w, 1); /* it sorts last, and dials when nobody else does */
	run(w, 1800 * CLOCK_MSEC_NS);
	assert_true(w->up[0][1]);
	run(w, 2 * MESH_STEADY_NS);
	die(w, 1);
	a->dialled = 0;
	run(w, 1100 * CLOCK_MSEC_NS); /* the first wait again */
	assert_int_equal(a->dialled, 1);
	assert_true(mesh_view(a->mesh, a->number[1], &v));
	mesh_rest(a->mesh, a->number[1], 12 * CLOCK_SECOND_NS, w->now_ns);
	run(w, 11 * CLOCK_SECOND_NS);
	assert_int_equal(a->dialled, 1);
	run(w, 2 * CLOCK_SECOND_NS);
	assert_int_equal(a->dialled, 2);
}

/* A link that ends as soon as it is up is not dialled a thousand times. */
static void
backs_off_from_what_does_not_last(void **state)
{
	CLEANUP(world_freep) struct world *w = world_new(2, 0);

	(void)state;
	start(w, 0);
	start(w, 1);
	for (unsigned int i = 0; i < 3000; i++) {
		step(w);
		cut(w, 0, 1);
	}
	assert_true(w->ups <= 20);
}

/* --- lists ------------------------------------------------------------------------------------------ */

static void
reads_lists_again(void **state)
{
	CLEANUP(world_freep) struct world *w = world_new(50, 0);
	unsigned int links_before, number[50];

	(void)state;
	for (unsigned int i = 0; i < 49; i++) {
		w->listed[i] = 49;
		start(w, i);
	}
	run(w, 20 * CLOCK_SECOND_NS);
	links_before = w->ups;
	memcpy(number, w->nodes[7].number, sizeof(number));
	for (unsigned int i = 0; i < 49; i++) { /* one after the other, the new one last */
		w->listed[i] = 50;
		read_list(&w->nodes[i], false);
		run(w, 1100 * CLOCK_MSEC_NS);
	}
	for (unsigned int i = 0; i < 49; i++)
		assert_int_equal(w->nodes[7].number[i], number[i]);
	assert_int_equal(w->downs, 0); /* nobody is there who would replace anybody */
	start(w, 49);
	run(w, 12 * CLOCK_SECOND_NS);
	assert_true(w->downs <= 4);
	assert_true(w->ups <= links_before + 8);
	assert_settled(w);

	for (unsigned int i = 0; i < 49; i++) { /* and gone, while it still runs */
		w->listed[i] = 49;
		read_list(&w->nodes[i], false);
		assert_null(mesh_host(w->nodes[i].mesh, w->nodes[i].number[49]));
	}
	run(w, CLOCK_SECOND_NS);
	assert_int_equal(count_links(w, 49), 0);
	w->listed[0] = 50; /* the number is the same when it comes back */
	number[49] = w->nodes[0].number[49];
	read_list(&w->nodes[0], false);
	assert_int_equal(w->nodes[0].number[49], number[49]);
}

static void
keeps_drawn_links(void **state)
{
	static const unsigned int lines[][2] = {{0, 1}, {0, 2}, {1, 4}, {2, 4}, {2, 3}, {4, 3}};
	CLEANUP(world_freep) struct world *w = world_new(5, 0);

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		start(w, i);
	for (unsigned int i = 0; i < 5; i++) {
		struct node *a = &w->nodes[i];
		struct host at[5];
		struct hosts list = {.at = at};

		for (unsigned int l = 0; l < ELEMENTS(lines); l++)
			if (lines[l][0] == i || lines[l][1] == i)
				at[list.count++] = host_of(lines[l][lines[l][0] == i]);
		assert_int_equal(mesh_set_hosts(a->mesh, &list, true, w->now_ns), 0);
		assert_int_equal(mesh_graph(a->mesh, a->number[i], (unsigned int[8]){0}, 8), list.count);
		for (unsigned int j = 0; j < 5; j++)
			if (j != i && mesh_find(a->mesh, w->hosts.at[j].name, &a->number[j]) == 0)
				assert_int_equal(mesh_graph(a->mesh, a->number[j], (unsigned int[8]){0}, 8),
						 1);
	}
	run(w, 300 * CLOCK_MSEC_NS); /* both sides dial at once */
	assert_int_equal(w->ups, ELEMENTS(lines));
	die(w, 2);
	run(w, 20 * CLOCK_SECOND_NS);
	assert_int_equal(w->ups, ELEMENTS(lines)); /* no stand-ins */
	assert_int_equal(count_links(w, 3), 1);
}

static void
takes_peers_without_names(void **state)
{
	CLEANUP(world_freep) struct world *w = world_new(2, 0);
	struct host at[2] = {{.address = "10.0.0.7:1"}, {.address = "10.0.0.8:1"}};
	struct hosts list = {.at = at, .count = 2};
	unsigned int one, other;

	(void)state;
	start(w, 0);
	assert_int_equal(mesh_set_hosts(w->nodes[0].mesh, &list, true, w->now_ns), 0);
	assert_int_equal(mesh_find(w->nodes[0].mesh, "10.0.0.7:1", &one), 0);
	at[0] = at[1];
	list.count = 1;
	assert_int_equal(mesh_set_hosts(w->nodes[0].mesh, &list, true, w->now_ns), 0);
	assert_int_equal(mesh_find(w->nodes[0].mesh, "10.0.0.7:1", &other), MESH_E_UNKNOWN);
	assert_int_equal(mesh_find(w->nodes[0].mesh, "10.0.0.8:1", &other), 0);
	assert_int_not_equal(one, other);
	assert_null(mesh_host(w->nodes[0].mesh, one));
}

static unsigned int dials_now;

static void
on_dial_fails(void *arg, unsigned int host)
{
	struct mesh **m = arg;

	dials_now++;
	mesh_down(*m, host, CLOCK_SECOND_NS); /* before dial() has returned */
}

static void
on_nothing(void *arg, unsigned int host, const char *reason)
{
	(void)arg;
	(void)host;
	(void)reason;
}

static void
on_nobody(void *arg, unsigned int host, unsigned int other)
{
	(void)arg;
	(void)host;
	(void)other;
	fail();
}

/* Alone in a herd of 1,000 where every dial fails at once: it asks all of them, but in time. */
static void
bounds_dials(void **state)
{
	struct mesh *m = NULL;
	struct mesh_options options = {.self = "me", .key = key, .site_links = 4};
	const struct mesh_hooks hooks = {&m, on_dial_fails, on_nothing, on_nobody, NULL};
	struct hosts list = {.at = calloc(1000, sizeof(*list.at)), .count = 1000};

	(void)state;
	for (unsigned int i = 0; i < 1000; i++)
		list.at[i] = host_of(i);
	assert_int_equal(mesh_new(&m, &options, &hooks), 0);
	mesh_tick(m, 0);
	assert_int_equal(mesh_set_hosts(m, &list, false, 0), 0);
	for (int64_t now_ns = 0; now_ns < 100 * CLOCK_SECOND_NS; now_ns += MESH_TICK_NS) {
		unsigned int before = dials_now;

		mesh_tick(m, now_ns);
		assert_true(dials_now - before <= 8 + MESH_DIALS_MAX);
	}
	assert_true(dials_now > 100);
	mesh_free(m);
	free(list.at);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_neighbours),
		cmocka_unit_test(starts_one_by_one),
		cmocka_unit_test(views_what_it_does),
		cmocka_unit_test(replaces_and_restores),
		cmocka_unit_test(does_not_replace_what_restarts),
		cmocka_unit_test(survives_many_deaths),
		cmocka_unit_test(comes_back_from_partitions),
		cmocka_unit_test(does_not_fight),
		cmocka_unit_test(backs_off),
		cmocka_unit_test(backs_off_from_what_does_not_last),
		cmocka_unit_test(reads_lists_again),
		cmocka_unit_test(keeps_drawn_links),
		cmocka_unit_test(takes_peers_without_names),
		cmocka_unit_test(bounds_dials),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
