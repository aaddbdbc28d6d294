/*
 * Places, nearby: the best few places inside a circle.
 *
 * Best-first over the packed R-tree of core/places-layout.h. A queue holds
 * nodes by the best key that anything below them can have: for rank=prominence
 * the greatest prominence and then a lower bound of the distance, for
 * rank=distance the lower bound alone. As soon as the best node of the queue
 * cannot beat the last of the wanted results, they are final. So the cost
 * follows the number of results and the depth of the tree, not the number of
 * places inside the circle.
 *
 * Distances are haversines, compared as h = sin^2(d / 2R), which grows with d.
 * A child is looked at in three steps, cheapest first: integers against the
 * box around the circle (all PLACES_FAN at once), a lower bound of h without a
 * call of libm, and for places the distance itself.
 */
#include "core/places.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/guard.h"
#include "core/places-layout.h"

#define EARTH_RADIUS_M	6371008.8
#define RADIANS_PER_E7	(M_PI / 180.0 / 1e7)
#define WHOLE_CIRCLE_E7 UINT32_C(3600000000)
#define POLE_E7		UINT32_C(900000000)

enum { QUEUE_FIRST = 256 };

/* --- geometry ------------------------------------------------------------ */

/* The box around the circle; it has two parts when it crosses the antimeridian. */
struct window {
	int32_t lat_min, lat_max;
	int32_t lon_min[2], lon_max[2];
};

struct circle {
	struct window window;
	int32_t lat_e7, lon_e7;
	double cos_lat;
	double radius_m;
	double h_max; /* a little more than that of the radius */
};

/* sin^2(x / 2) of an angle in e7 degrees. */
static double
half_sine_squared(double angle_e7)
{
	double s = sin(angle_e7 * (RADIANS_PER_E7 / 2));

	return s * s;
}

/* At most sin^2(x / 2): the first terms of x^2/4 - x^4/48 + ... while they are close. */
static inline double
half_sine_squared_below(uint32_t angle_e7)
{
	double x = angle_e7 * RADIANS_PER_E7;
	double quarter = x * x * 0.25;

	if (x > 0.25)
		return half_sine_squared(angle_e7);
	return quarter * (1 - x * x * (1.0 / 12));
}

/* At most cos(latitude): 1 - x^2/2 + x^4/24 - x^6/720 lies below it everywhere. */
static inline double
cosine_below(uint32_t lat_e7)
{
	double x = lat_e7 * RADIANS_PER_E7;
	double xx = x * x;
	double below = 1 - xx * (0.5 - xx * (1.0 / 24 - xx * (1.0 / 720)));

	return below > 0 ? below : 0;
}

static inline uint32_t
magnitude(int32_t value)
{
	return value < 0 ? 0 - (uint32_t)value : (uint32_t)value;
}

/* The cosine of pi / 2 as a double is not 0, but the pole is one point. */
static double
cosine(int32_t lat_e7)
{
	return magnitude(lat_e7) == POLE_E7 ? 0 : cos(lat_e7 * RADIANS_PER_E7);
}

static double
h_between(double cos_lat, int32_t lat_e7, int32_t lon_e7, int32_t other_lat_e7, int32_t other_lon_e7)
{
	double lon_gap = fabs((double)other_lon_e7 - lon_e7);

	/* The same after a turn round the world, but not for sin(). */
	if (lon_gap > WHOLE_CIRCLE_E7 / 2)
		lon_gap = WHOLE_CIRCLE_E7 - lon_gap;
	return half_sine_squared((double)other_lat_e7 - lat_e7) +
	       cos_lat * cosine(other_lat_e7) * half_sine_squared(lon_gap);
}

static double
h_to_metres(double h)
{
	return 2 * EARTH_RADIUS_M * asin(sqrt(h < 1 ? h : 1));
}

double
places_distance_m(int32_t lat_e7, int32_t lon_e7, int32_t other_lat_e7, int32_t other_lon_e7)
{
	return h_to_metres(h_between(cosine(lat_e7), lat_e7, lon_e7, other_lat_e7, other_lon_e7));
}

/*
 * At most the h of any point of the box: the difference in latitude and that in
 * longitude each as small as they can be, on the parallel nearest to a pole.
 * Boxes of a damaged file give any number, which is harmless.
 */
static inline double
h_below(const struct circle *c, int32_t lat_min, int32_t lat_max, int32_t lon_min, int32_t lon_max)
{
	uint32_t lat_gap = 0, lon_gap = 0;
	uint32_t top = magnitude(lat_max) > magnitude(lat_min) ? magnitude(lat_max) : magnitude(lat_min);

	if (c->lat_e7 < lat_min)
		lat_gap = (uint32_t)lat_min - (uint32_t)c->lat_e7;
	else if (c->lat_e7 > lat_max)
		lat_gap = (uint32_t)c->lat_e7 - (uint32_t)lat_max;
	if (c->lon_e7 < lon_min || c->lon_e7 > lon_max) {
		uint32_t east = (uint32_t)lon_min - (uint32_t)c->lon_e7;
		uint32_t west = (uint32_t)c->lon_e7 - (uint32_t)lon_max;

		/* One of the two goes round the world: through the antimeridian. */
		if (c->lon_e7 > lon_min)
			east += WHOLE_CIRCLE_E7;
		if (c->lon_e7 < lon_max)
			west += WHOLE_CIRCLE_E7;
		lon_gap = east < west ? east : west;
	}
	return (1 - 1e-9) * (half_sine_squared_below(lat_gap) +
			     c->cos_lat * cosine_below(top) * half_sine_squared_below(lon_gap));
}

static int32_t
clamp_e7(double value, double limit)
{
	return (int32_t)(value < -limit ? -limit : value > limit ? limit : value);
}

static void
window_make(struct window *w, int32_t lat_e7, int32_t lon_e7, double cos_lat, double radius_m)
{
	double angle = radius_m / EARTH_RADIUS_M * (1 + 1e-9) + 1e-9; /* 1e-9: six millimetres */
	double lat_reach = angle / RADIANS_PER_E7 + 1;
	double lon_reach = 1.8e9;

	/* Unless a pole is inside, the circle reaches farthest east where it touches a meridian. */
	if (lat_e7 + lat_reach < 9e8 && lat_e7 - lat_reach > -9e8 && sin(angle) < cos_lat)
		lon_reach = asin(sin(angle) / cos_lat) / RADIANS_PER_E7 * (1 + 1e-9) + 2;
	w->lat_min = clamp_e7(lat_e7 - lat_reach, 9e8);
	w->lat_max = clamp_e7(lat_e7 + lat_reach, 9e8);
	w->lon_min[0] = clamp_e7(lon_e7 - lon_reach, 1.8e9);
	w->lon_max[0] = clamp_e7(lon_e7 + lon_reach, 1.8e9);
	w->lon_min[1] = INT32_MAX;
	w->lon_max[1] = INT32_MIN;
	if (lon_e7 - lon_reach <= -1.8e9) {
		w->lon_min[1] = clamp_e7(lon_e7 - lon_reach + 3.6e9, 1.8e9);
		w->lon_max[1] = 1800000000;
	} else if (lon_e7 + lon_reach >= 1.8e9) {
		w->lon_min[1] = -1800000000;
		w->lon_max[1] = clamp_e7(lon_e7 + lon_reach - 3.6e9, 1.8e9);
	}
	if (lon_reach >= 1.8e9) {
		w->lon_min[0] = -1800000000;
		w->lon_max[0] = 1800000000;
	}
}

static void
circle_make(struct circle *c, const struct places_query *query)
{
	double half_turn_m = M_PI * EARTH_RADIUS_M;
	double radius_m = query->radius_km * 1000;
	double half_angle;

	c->lat_e7 = query->lat_e7;
	c->lon_e7 = query->lon_e7;
	c->cos_lat = cosine(query->lat_e7);
	c->radius_m = radius_m < half_turn_m ? radius_m : half_turn_m;
	half_angle = c->radius_m / (2 * EARTH_RADIUS_M);
	c->h_max = sin(half_angle) * sin(half_angle) * (1 + 1e-9) + 1e-30;
	window_make(&c->window, c->lat_e7, c->lon_e7, c->cos_lat, c->radius_m);
}

/* --- the search ---------------------------------------------------------- */

/* A block to be looked into; a smaller key is better. */
struct queued {
	uint64_t key;
	uint32_t block;
	uint32_t level; /* layout.levels: a leaf */
};

struct candidate {
	double h, distance_m;
	uint32_t prominence;
	uint32_t index;
};

struct search {
	const struct places *p;
	struct circle circle;
	enum places_rank rank;
	uint32_t bound;
	uint32_t count; /* candidates, sorted, best first */
	uint64_t limit; /* no block with a key greater than this can help */
	size_t queued, queue_size;
	struct queued *queue;	    /* a binary heap; first_queue, or allocated when that overflowed */
	struct places_found *found; /* where the texts go */
	struct candidate best[PLACES_BOUND_MAX];
	struct queued first_queue[QUEUE_FIRST];
};

/* The order of non-negative doubles is that of their bits. */
static inline uint64_t
key_of(enum places_rank rank, uint32_t prominence, double h)
{
	uint64_t bits;
	uint32_t short_bits;
	float short_h;

	if (rank == PLACES_DISTANCE) {
		memcpy(&bits, &h, sizeof(bits));
		return bits;
	}
	short_h = (float)h;
	memcpy(&short_bits, &short_h, sizeof(short_bits));
	return (uint64_t)~prominence << 32 | short_bits;
}

static int
queue_grow(struct search *s)
{
	size_t size = s->queue_size * 2;
	struct queued *queue;

	queue = realloc(s->queue == s->first_queue ? NULL : s->queue, size * sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	if (s->queue == s->first_queue)
		memcpy(queue, s->first_queue, sizeof(s->first_queue));
	s->queue = queue;
	s->queue_size = size;
	return 0;
}

static int
queue_push(struct search *s, struct queued item)
{
	size_t at = s->queued;

	if (at == s->queue_size) {
		int r = queue_grow(s);

		if (r < 0)
			return r;
	}
	s->queued++;
	while (at > 0 && s->queue[(at - 1) / 2].key > item.key) {
		s->queue[at] = s->queue[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	s->queue[at] = item;
	return 0;
}

static struct queued
queue_pop(struct search *s)
{
	struct queued top = s->queue[0];
	struct queued last = s->queue[--s->queued];
	size_t at = 0;

	for (size_t child; (child = 2 * at + 1) < s->queued; at = child) {
		if (child + 1 < s->queued && s->queue[child + 1].key < s->queue[child].key)
			child++;
		if (s->queue[child].key >= last.key)
			break;
		s->queue[at] = s->queue[child];
	}
	s->queue[at] = last;
	return top;
}

/* Which children of a node meet the window, one bit each. */
static inline uint32_t
node_meets(const struct places_node *n, const struct window *w)
{
	uint32_t meets = 0;
	uint8_t hit[PLACES_FAN];

	for (int i = 0; i < PLACES_FAN; i++) {
		int lat = (n->lat_max[i] >= w->lat_min) & (n->lat_min[i] <= w->lat_max);
		int lon = (n->lon_max[i] >= w->lon_min[0]) & (n->lon_min[i] <= w->lon_max[0]);
		int other = (n->lon_max[i] >= w->lon_min[1]) & (n->lon_min[i] <= w->lon_max[1]);

		hit[i] = (uint8_t)(lat & (lon | other));
	}
	for (unsigned int i = 0; i < PLACES_FAN; i++)
		meets |= (uint32_t)hit[i] << i;
	return meets;
}

static inline uint32_t
leaf_meets(const struct places_leaf *l, const struct window *w)
{
	uint32_t meets = 0;
	uint8_t hit[PLACES_FAN];

	for (int i = 0; i < PLACES_FAN; i++) {
		int lat = (l->lat[i] >= w->lat_min) & (l->lat[i] <= w->lat_max);
		int lon = (l->lon[i] >= w->lon_min[0]) & (l->lon[i] <= w->lon_max[0]);
		int other = (l->lon[i] >= w->lon_min[1]) & (l->lon[i] <= w->lon_max[1]);

		hit[i] = (uint8_t)(lat & (lon | other));
	}
	for (unsigned int i = 0; i < PLACES_FAN; i++)
		meets |= (uint32_t)hit[i] << i;
	return meets;
}

/* Of the PLACES_FAN children of a block, those that exist. */
static inline uint32_t
children_mask(uint64_t block, uint64_t children)
{
	uint64_t left = children - block * PLACES_FAN;

	return left >= PLACES_FAN ? (1U << PLACES_FAN) - 1 : (1U << left) - 1;
}

static int
search_node(struct search *s, uint32_t level, uint32_t block)
{
	const struct places *p = s->p;
	const struct places_node *n = &p->nodes[level][block];
	bool above_leaves = level + 1 == p->layout.levels;
	uint64_t children = above_leaves ? p->layout.leaves : p->layout.blocks[level + 1];
	uint32_t meets = node_meets(n, &s->circle.window) & children_mask(block, children);

	for (; meets; meets &= meets - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(meets);
		double h = h_below(&s->circle, n->lat_min[i], n->lat_max[i], n->lon_min[i], n->lon_max[i]);
		/* A float may be the greater of two neighbours: stay below. */
		uint64_t key = key_of(s->rank, n->prominence[i], h > 0 ? h * (1 - 1e-6) : 0);
		struct queued item = {key, block * PLACES_FAN + i, level + 1};
		int r;

		if (h > s->circle.h_max || key > s->limit)
			continue;
		r = queue_push(s, item);
		if (r < 0)
			return r;
	}
	return 0;
}

static inline bool
candidate_before(enum places_rank rank, const struct candidate *a, const struct candidate *b)
{
	if (rank == PLACES_PROMINENCE && a->prominence != b->prominence)
		return a->prominence > b->prominence;
	if (a->distance_m != b->distance_m)
		return a->distance_m < b->distance_m;
	if (a->prominence != b->prominence)
		return a->prominence > b->prominence;
	return a->index < b->index; /* the file's own order, which its rows alone decide */
}

static void
search_insert(struct search *s, const struct candidate *c)
{
	const struct candidate *last;
	uint32_t at;

	if (s->count == s->bound) {
		if (!candidate_before(s->rank, c, &s->best[s->count - 1]))
			return;
		s->count--;
	}
	for (at = s->count; at > 0 && candidate_before(s->rank, c, &s->best[at - 1]); at--)
		s->best[at] = s->best[at - 1];
	s->best[at] = *c;
	s->count++;
	if (s->count < s->bound)
		return;
	last = &s->best[s->count - 1];
	s->limit = key_of(s->rank, last->prominence, last->h * (1 + 1e-6));
}

static void
search_leaf(struct search *s, uint32_t block)
{
	const struct places_leaf *l = &s->p->leaves[block];
	const struct circle *c = &s->circle;
	uint32_t meets = leaf_meets(l, &c->window) & children_mask(block, s->p->count);

	for (; meets; meets &= meets - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(meets);
		struct candidate new = {.prominence = l->prominence[i], .index = block * PLACES_FAN + i};
		double below = h_below(c, l->lat[i], l->lat[i], l->lon[i], l->lon[i]);

		if (below > c->h_max || key_of(s->rank, new.prominence, below * (1 - 1e-6)) > s->limit)
			continue;
		new.h = h_between(c->cos_lat, c->lat_e7, c->lon_e7, l->lat[i], l->lon[i]);
		new.distance_m = h_to_metres(new.h);
		if (new.distance_m <= c->radius_m)
			search_insert(s, &new);
	}
}

static struct text
search_take_text(struct search *s, uint32_t at, char **out)
{
	size_t len = places_text_copy(s->p, at, *out);
	struct text t = {*out, len};

	*out += len;
	return t;
}

/* Everything that must be read from the file while the guard is up. */
static void
search_copy_out(struct search *s)
{
	char *out = s->found->bytes;

	for (uint32_t i = 0; i < s->count; i++) {
		const struct candidate *c = &s->best[i];
		const struct places_rest *rest = &s->p->rests[c->index];
		const struct places_leaf *l = &s->p->leaves[c->index / PLACES_FAN];
		struct place *place = &s->found->place[i];

		place->name = search_take_text(s, rest->name, &out);
		place->id = search_take_text(s, rest->id, &out);
		place->types = search_take_text(s, rest->types, &out);
		place->vicinity = search_take_text(s, rest->vicinity, &out);
		place->lat_e7 = l->lat[c->index % PLACES_FAN];
		place->lon_e7 = l->lon[c->index % PLACES_FAN];
		place->prominence = c->prominence;
		place->distance_m = c->distance_m;
	}
}

static int
search_run(void *arg)
{
	struct search *s = arg;
	const struct places *p = s->p;
	struct queued item = {0};
	int r = 0;

	for (r = queue_push(s, item); r == 0 && s->queued > 0;) {
		item = queue_pop(s);
		if (item.key > s->limit)
			break;
		if (item.level == p->layout.levels)
			search_leaf(s, item.block);
		else
			r = search_node(s, item.level, item.block);
	}
	if (r == 0)
		search_copy_out(s);
	return r;
}

int
places_nearby(const struct places *p, const struct places_query *query, struct places_found *ret)
{
	struct search s;
	int r;

	/* Not an initializer: it would clear the whole queue. */
	s.p = p;
	s.rank = query->rank;
	s.bound = query->bound < PLACES_BOUND_MAX ? query->bound : PLACES_BOUND_MAX;
	s.count = 0;
	s.limit = UINT64_MAX;
	s.queued = 0;
	s.queue_size = QUEUE_FIRST;
	s.queue = s.first_queue;
	s.found = ret;
	if (s.bound == 0 || p->layout.levels == 0 || !(query->radius_km >= 0)) {
		ret->count = 0;
		return 0;
	}
	circle_make(&s.circle, query);
	r = guard_run(search_run, &s);
	if (s.queue != s.first_queue)
		free(s.queue);
	if (r < 0)
		return r;
	ret->count = s.count;
	return 0;
}
