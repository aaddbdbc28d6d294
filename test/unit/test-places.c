/*
 * Tests of core/places.h: thousands of nearby queries against going through all
 * rows, at the poles, across the antimeridian and among crowds of equals; and
 * what damage, truncation and a full disk do.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <signal.h>
#include <glob.h>

#include "../random.h"
#include "base/cleanup.h"
#include "core/places.h"
#include "core/places-layout.h"

/* cmocka takes SIGBUS for itself while a test runs. */
static struct sigaction guard_action;

static char folder[] = "/tmp/test-places.XXXXXX";
static char path[sizeof(folder) + 16];

struct point {
	int32_t lat, lon;
	uint32_t prominence;
	double distance; /* from the query under way */
};

/* --- rows and files ----------------------------------------------------------- */

enum spread {
	SPREAD_WORLD,
	SPREAD_CITY,  /* within a few km */
	SPREAD_NORTH, /* around the north pole */
	SPREAD_SOUTH,
	SPREAD_DATE,   /* on both sides of the antimeridian */
	SPREAD_SINGLE, /* all in one place */
	SPREAD_COUNT,
};

static int32_t
random_e7(uint64_t *seed, double from, double to)
{
	double unit = (double)(random_u64(seed) >> 11) / 9007199254740992.0;

	return (int32_t)lrint((from + unit * (to - from)) * 1e7);
}

static int32_t
wrap_e7(int64_t lon)
{
	return (int32_t)(lon > 1800000000 ? lon - 3600000000 : lon < -1800000000 ? lon + 3600000000 : lon);
}

static void
random_point(uint64_t *seed, enum spread spread, struct point *ret)
{
	double reach = random_below(seed, 2) ? 0.2 : 3;

	ret->prominence = random_below(seed, 3) ? (uint32_t)random_below(seed, 4)
						: (uint32_t)random_u64(seed) >> random_below(seed, 32);
	ret->lon = random_e7(seed, -180, 180);
	switch (spread) {
	case SPREAD_CITY:
		ret->lat = 340689300 + random_e7(seed, -reach, reach);
		ret->lon = -1184451270 + random_e7(seed, -reach, reach);
		return;
	case SPREAD_NORTH:
		ret->lat = 900000000 - random_e7(seed, 0, reach);
		return;
	case SPREAD_SOUTH:
		ret->lat = -900000000 + random_e7(seed, 0, reach);
		return;
	case SPREAD_DATE:
		ret->lat = random_e7(seed, -17, -16);
		ret->lon = wrap_e7(1800000000 + (int64_t)random_e7(seed, -reach, reach));
		return;
	case SPREAD_SINGLE:
		ret->lat = 123456789;
		ret->lon = -1800000000;
		return;
	case SPREAD_WORLD:
	default:
		ret->lat = random_e7(seed, -90, 90);
		return;
	}
}

/* The row's number is its name, so that a result can be found among the rows. */
static void
add_point(struct places_build *b, const struct point *p, size_t number)
{
	char name[32], vicinity[32];
	struct places_row row = {
		.types = TEXT("park"), .lat_e7 = p->lat, .lon_e7 = p->lon, .prominence = p->prominence};

	row.name = (struct text){name, (size_t)sprintf(name, "%zu", number)};
	row.vicinity = (struct text){vicinity, (size_t)sprintf(vicinity, "street %zu", number % 7)};
	assert_int_equal(places_build_add(b, &row), 0);
}

static void
write_points(const struct point *points, size_t count, bool backwards)
{
	struct places_build *b;

	assert_int_equal(places_build_new(&b), 0);
	for (size_t i = 0; i < count; i++) {
		size_t number = backwards ? count - 1 - i : i;

		add_point(b, &points[number], number);
	}
	assert_int_equal(places_build_count(b), count);
	assert_int_equal(places_build_write(b, path), 0);
	places_build_free(b);
}

static struct places *
open_points(const struct point *points, size_t count)
{
	struct places *p;

	write_points(points, count, false);
	assert_int_equal(places_open(&p, path), 0);
	assert_int_equal(places_count(p), count);
	return p;
}

static void *
read_file(size_t *ret_len)
{
	FILE *file = fopen(path, "re");
	struct stat st;
	void *bytes;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_non_null(bytes);
	*ret_len = fread(bytes, 1, (size_t)st.st_size, file);
	assert_int_equal(*ret_len, st.st_size);
	fclose(file);
	return bytes;
}

/* --- the slow way --------------------------------------------------------------- */

/* Another formula than the one under test (Vincenty's, for a sphere), in long double. */
static double
slow_distance(const struct point *p, const struct places_query *q)
{
	long double to_radians = acosl(-1.0L) / 180.0L / 1e7L;
	long double a = q->lat_e7 * to_radians, b = p->lat * to_radians;
	long double l = ((long double)p->lon - q->lon_e7) * to_radians;
	long double x = cosl(a) * sinl(b) - sinl(a) * cosl(b) * cosl(l);
	long double y = cosl(b) * sinl(l);

	return (double)(6371008.8L * atan2l(hypotl(x, y), sinl(a) * sinl(b) + cosl(a) * cosl(b) * cosl(l)));
}

static int
by_prominence(const void *left, const void *right)
{
	const struct point *a = left, *b = right;

	if (a->prominence != b->prominence)
		return a->prominence > b->prominence ? -1 : 1;
	return a->distance < b->distance ? -1 : a->distance > b->distance;
}

static int
by_distance(const void *left, const void *right)
{
	const struct point *a = left, *b = right;

	if (a->distance != b->distance)
		return a->distance < b->distance ? -1 : 1;
	return a->prominence > b->prominence ? -1 : a->prominence < b->prominence;
}

/* The rows in the circle, best first. */
static struct point *
slow_nearby(const struct point *points, size_t count, const struct places_query *q, size_t *ret_count)
{
	struct point *in = malloc((count + 1) * sizeof(*in));
	size_t n = 0;

	assert_non_null(in);
	for (size_t i = 0; i < count; i++) {
		struct point p = points[i];
		double slow = slow_distance(&p, q);

		p.distance = places_distance_m(q->lat_e7, q->lon_e7, p.lat, p.lon);
		/* Near the antipode the haversine knows the last centimetres only. */
		assert_true(fabs(p.distance - slow) <= (slow < 1.9e7 ? 1e-5 + slow * 1e-9 : 0.2));
		if (p.distance <= q->radius_km * 1000)
			in[n++] = p;
	}
	qsort(in, n, sizeof(*in), q->rank == PLACES_PROMINENCE ? by_prominence : by_distance);
	*ret_count = n;
	return in;
}

static void
check_result(const struct place *have, const struct point *want, const struct point *points, size_t count,
	     bool *seen)
{
	char name[32] = "";
	size_t number;

	assert_int_equal(have->prominence, want->prominence);
	assert_true(have->distance_m == want->distance);
	assert_true(have->name.len > 0 && have->name.len < sizeof(name));
	memcpy(name, have->name.at, have->name.len);
	number = strtoul(name, NULL, 10);
	assert_true(number < count && !seen[number]);
	seen[number] = true;
	assert_int_equal(have->lat_e7, points[number].lat);
	assert_int_equal(have->lon_e7, points[number].lon);
	assert_int_equal(have->prominence, points[number].prominence);
	assert_text_equal(have->types, TEXT("park"));
	snprintf(name, sizeof(name), "street %zu", number % 7);
	assert_text_equal(have->vicinity, text_of(name));
}

static void
check_query(const struct places *p, const struct point *points, size_t count, const struct places_query *q)
{
	CLEANUP(cleanup_free) struct point *want = NULL;
	CLEANUP(cleanup_free) bool *seen = calloc(count + 1, sizeof(*seen));
	struct places_found found;
	size_t in_circle;

	want = slow_nearby(points, count, q, &in_circle);
	assert_int_equal(places_nearby(p, q, &found), 0);
	assert_int_equal(found.count, in_circle < q->bound ? in_circle : q->bound);
	for (size_t i = 0; i < found.count; i++)
		check_result(&found.place[i], &want[i], points, count, seen);
}

static void
random_query(uint64_t *seed, enum spread spread, struct places_query *ret)
{
	static const double radii[] = {0, 0.001, 0.5, 3, 10, 10, 50, 50, 400, 3000, 12000, 20100};
	struct point centre;

	random_point(seed, spread, &centre);
	if (random_below(seed, 20) == 0)
		centre.lat = random_below(seed, 2) ? 900000000 : -900000000;
	if (random_below(seed, 20) == 0)
		centre.lon = random_below(seed, 2) ? 1800000000 : -1800000000;
	*ret = (struct places_query){
		.lat_e7 = centre.lat,
		.lon_e7 = centre.lon,
		.radius_km = radii[random_below(seed, ELEMENTS(radii))],
		.bound = (unsigned int)random_below(seed, PLACES_BOUND_MAX + 1),
		.rank = random_below(seed, 2) ? PLACES_DISTANCE : PLACES_PROMINENCE,
	};
}

static void
test_against_all_rows(void **state)
{
	static const size_t counts[] = {1, 2, 15, 16, 17, 255, 256, 257, 300, 4096, 4097, 6000};
	uint64_t seed = random_seed(1);

	(void)state;
	for (size_t c = 0; c < ELEMENTS(counts); c++) {
		for (enum spread spread = 0; spread < SPREAD_COUNT; spread++) {
			struct point *points = calloc(counts[c], sizeof(*points));
			struct places_query q;
			struct places *p;

			for (size_t i = 0; i < counts[c]; i++)
				random_point(&seed, random_below(&seed, 10) ? spread : SPREAD_WORLD,
					     &points[i]);
			p = open_points(points, counts[c]);
			for (int i = 0; i < (counts[c] > 1000 ? 40 : 100); i++) {
				random_query(&seed, spread, &q);
				check_query(p, points, counts[c], &q);
			}
			places_free(p);
			free(points);
		}
	}
}

static void
test_pole_and_date_line(void **state)
{
	static const struct point points[] = {
		{900000000, 0, 1, 0}, /* the pole, and the same again */
		{900000000, 1234567890, 2, 0},
		{899999000, 1800000000, 3, 0},	 /* 11 m from it */
		{-170000000, 1799999990, 4, 0},	 /* a metre west of the line */
		{-170000000, -1799999990, 5, 0}, /* a metre east of it */
		{-170000000, 1800000000, 6, 0},	 /* on it, both ways */
		{-170000000, -1800000000, 7, 0},
	};
	struct places *p = open_points(points, ELEMENTS(points));
	struct places_query q = {900000000, -777777777, 0.1, 20, PLACES_DISTANCE};
	struct places_found found;

	(void)state;
	assert_int_equal(places_nearby(p, &q, &found), 0);
	assert_int_equal(found.count, 3);
	assert_int_equal(found.place[0].prominence, 2);
	assert_true(found.place[0].distance_m == 0 && found.place[1].distance_m == 0);
	assert_true(fabs(found.place[2].distance_m - 11.1195) < 0.001);

	q = (struct places_query){-170000000, 1800000000, 0.01, 20, PLACES_PROMINENCE};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(places_nearby(p, &q, &found), 0);
		assert_int_equal(found.count, 4);
		for (size_t k = 0; k < 4; k++)
			assert_int_equal(found.place[k].prominence, 7 - k);
		q.lon_e7 = -q.lon_e7;
	}
	q.radius_km = 0;
	assert_int_equal(places_nearby(p, &q, &found), 0);
	assert_int_equal(found.count, 2);
	places_free(p);
}

static void
test_known_distances(void **state)
{
	(void)state;
	/* A degree of a great circle of this sphere. */
	assert_true(fabs(places_distance_m(0, 0, 0, 10000000) - 111195.0802) < 0.001);
	assert_true(fabs(places_distance_m(0, 1795000000, 0, -1795000000) - 111195.0802) < 0.001);
	/* Half of one. */
	assert_true(fabs(places_distance_m(0, 0, 0, 1800000000) - 20015114.442) < 0.01);
	assert_true(fabs(places_distance_m(900000000, 0, -900000000, 0) - 20015114.442) < 0.01);
	assert_true(places_distance_m(340689300, -1184451270, 340689300, -1184451270) == 0);
}

static void
test_radius_is_a_fence(void **state)
{
	static const struct point point = {340000000, -1180000000, 1, 0};
	struct places *p = open_points(&point, 1);
	struct places_query q = {340100000, -1180100000, 0, 20, PLACES_PROMINENCE};
	struct places_found found;
	double distance = places_distance_m(q.lat_e7, q.lon_e7, point.lat, point.lon);

	(void)state;
	for (int i = -20; i <= 20; i++) {
		q.radius_km = distance / 1000 * (1 + i * 1e-15);
		assert_int_equal(places_nearby(p, &q, &found), 0);
		assert_int_equal(found.count, distance <= q.radius_km * 1000);
	}
	q.radius_km = -1;
	assert_int_equal(places_nearby(p, &q, &found), 0);
	assert_int_equal(found.count, 0);
	q.radius_km = (double)NAN;
	assert_int_equal(places_nearby(p, &q, &found), 0);
	assert_int_equal(found.count, 0);
	q.radius_km = (double)INFINITY;
	q.bound = 1000;
	assert_int_equal(places_nearby(p, &q, &found), 0);
	assert_int_equal(found.count, 1);
	places_free(p);
}

/* Ties are broken by the rows alone: not by the order in which they came, not by the bound. */
static void
test_repeatable(void **state)
{
	enum { COUNT = 2000 };
	struct point *points = calloc(COUNT, sizeof(*points));
	CLEANUP(cleanup_free) void *forwards = NULL;
	CLEANUP(cleanup_free) void *backwards = NULL;
	size_t len, other_len;
	uint64_t seed = random_seed(2);
	struct places_found all, few;
	struct places *p;

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		random_point(&seed, i % 2 ? SPREAD_SINGLE : SPREAD_CITY, &points[i]);
		points[i].prominence %= 3;
	}
	write_points(points, COUNT, true);
	backwards = read_file(&other_len);
	p = open_points(points, COUNT);
	forwards = read_file(&len);
	assert_int_equal(len, other_len);
	assert_memory_equal(forwards, backwards, len);
	for (enum places_rank rank = PLACES_PROMINENCE; rank <= PLACES_DISTANCE; rank++) {
		struct places_query q = {123456789, 1800000000, 50, 20, rank};

		assert_int_equal(places_nearby(p, &q, &all), 0);
		assert_int_equal(all.count, 20);
		for (q.bound = 1; q.bound < 20; q.bound++) {
			assert_int_equal(places_nearby(p, &q, &few), 0);
			assert_int_equal(few.count, q.bound);
			for (size_t i = 0; i < few.count; i++)
				assert_text_equal(few.place[i].name, all.place[i].name);
		}
	}
	places_free(p);
	free(points);
}

/* --- texts ------------------------------------------------------------------------ */

static struct places *
open_row(const struct places_row *row, struct text attribution)
{
	struct places_build *b;
	struct places *p;

	assert_int_equal(places_build_new(&b), 0);
	assert_int_equal(places_build_set_attribution(b, attribution), 0);
	assert_int_equal(places_build_add(b, row), 0);
	assert_int_equal(places_build_write(b, path), 0);
	places_build_free(b);
	assert_int_equal(places_open(&p, path), 0);
	return p;
}

static void
check_row(const struct places_row *row, struct place *ret, struct places_found *found)
{
	struct places *p = open_row(row, TEXT("Made by <hand> & heart"));
	struct places_query q = {row->lat_e7, row->lon_e7, 0, 1, PLACES_PROMINENCE};

	assert_text_equal(places_attribution(p), TEXT("Made by <hand> & heart"));
	assert_int_equal(places_nearby(p, &q, found), 0);
	assert_int_equal(found->count, 1);
	*ret = found->place[0];
	places_free(p);
}

static void
test_texts(void **state)
{
	char longest[300];
	struct places_row row = {.name = TEXT("M\303\274ller's \"Caf\303\251\"\n"),
				 .id = TEXT("x:1"),
				 .types = TEXT("cafe,food"),
				 .vicinity = TEXT("cafe,food"), /* the same bytes as the types */
				 .lat_e7 = -900000000,
				 .lon_e7 = 1800000000,
				 .prominence = UINT32_MAX};
	struct places_found found;
	struct place have;

	(void)state;
	check_row(&row, &have, &found);
	assert_text_equal(have.name, row.name);
	assert_text_equal(have.id, row.id);
	assert_text_equal(have.types, row.types);
	assert_text_equal(have.vicinity, row.vicinity);
	assert_true(have.prominence == UINT32_MAX);

	/* Cut between two characters. */
	memset(longest, 'a', sizeof(longest));
	memcpy(longest + 253, "\342\202\254", 3);
	row.name = row.types = (struct text){longest, sizeof(longest)};
	row.vicinity = (struct text){longest, 255};
	row.id = TEXT("");
	check_row(&row, &have, &found);
	assert_text_equal(have.name, ((struct text){longest, 253}));
	assert_text_equal(have.types, ((struct text){longest, 253}));
	assert_text_equal(have.vicinity, ((struct text){longest, 255}));
	assert_int_equal(have.id.len, 22);
	assert_memory_equal(have.id.at, "local:", 6);

	row.types = row.vicinity = TEXT("");
	check_row(&row, &have, &found);
	assert_int_equal(have.types.len, 0);
	assert_int_equal(have.vicinity.len, 0);
}

static void
test_bad_rows(void **state)
{
	struct places_row row = {.name = TEXT("")};
	struct places_build *b;
	char longest[PLACES_TEXT_MAX + 1] = "";

	(void)state;
	assert_int_equal(places_build_new(&b), 0);
	assert_int_equal(places_build_add(b, &row), -EINVAL);
	row.name = TEXT("x");
	row.lat_e7 = 900000001;
	assert_int_equal(places_build_add(b, &row), -EINVAL);
	row.lat_e7 = INT32_MIN;
	assert_int_equal(places_build_add(b, &row), -EINVAL);
	row.lat_e7 = 0;
	row.lon_e7 = -1800000001;
	assert_int_equal(places_build_add(b, &row), -EINVAL);
	row.lon_e7 = INT32_MAX;
	assert_int_equal(places_build_add(b, &row), -EINVAL);
	assert_int_equal(places_build_count(b), 0);
	assert_int_equal(places_build_set_attribution(b, (struct text){longest, sizeof(longest)}), -EINVAL);
	places_build_free(b);
	assert_null(places_build_free(NULL));
	assert_null(places_free(NULL));
}

static void
test_no_places(void **state)
{
	struct places *p = open_points(NULL, 0);
	struct places_query q = {0, 0, 50, 20, PLACES_DISTANCE};
	struct places_found found;

	(void)state;
	assert_int_equal(places_attribution(p).len, 0);
	assert_int_equal(places_nearby(p, &q, &found), 0);
	assert_int_equal(found.count, 0);
	places_free(p);
}

static void
test_rank_names(void **state)
{
	enum places_rank rank = PLACES_DISTANCE;

	(void)state;
	assert_int_equal(places_rank_parse(text_of(places_rank_name(PLACES_PROMINENCE)), &rank), 0);
	assert_int_equal(rank, PLACES_PROMINENCE);
	assert_int_equal(places_rank_parse(text_of(places_rank_name(PLACES_DISTANCE)), &rank), 0);
	assert_int_equal(rank, PLACES_DISTANCE);
	assert_int_equal(places_rank_parse(TEXT("near"), &rank), -EINVAL);
}

/* --- damage ------------------------------------------------------------------------ */

/* Whichever bit is wrong, the file is not taken. */
static void
test_every_bit(void **state)
{
	static const struct point points[] = {{1, 2, 3, 0}, {4, 5, 6, 0}};
	CLEANUP(cleanup_free) unsigned char *bytes = NULL;
	struct places *p;
	size_t len;

	(void)state;
	write_points(points, ELEMENTS(points), false);
	bytes = read_file(&len);
	assert_int_equal(places_from_memory(&p, bytes, len), 0);
	places_free(p);
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_true(places_from_memory(&p, bytes, len) < 0);
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++)
		assert_true(places_from_memory(&p, bytes, cut) < 0);
	assert_int_equal(places_from_memory(&p, bytes + 1, len - 1), -EINVAL);
}

/* Sums that are right over contents that are wrong: answers may be anything, but they come. */
static void
test_wrong_contents(void **state)
{
	enum { COUNT = 1000 };
	static struct point points[COUNT];
	uint64_t seed = random_seed(3);
	CLEANUP(cleanup_free) unsigned char *bytes = NULL;
	struct places_header h;
	struct places_found found;
	struct places_query q;
	struct places *p;
	size_t len;

	(void)state;
	for (int i = 0; i < COUNT; i++)
		random_point(&seed, SPREAD_CITY, &points[i]);
	write_points(points, COUNT, false);
	bytes = read_file(&len);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 40; i++)
			bytes[sizeof(h) + random_below(&seed, len - sizeof(h))] = (unsigned char)random_u64(
				&seed);
		memcpy(&h, bytes, sizeof(h));
		h.body_sum = places_sum(0, bytes + sizeof(h), len - sizeof(h));
		h.header_sum = places_header_sum(&h);
		memcpy(bytes, &h, sizeof(h));
		assert_int_equal(places_from_memory(&p, bytes, len), 0);
		for (int i = 0; i < 20; i++) {
			random_query(&seed, SPREAD_CITY, &q);
			assert_int_equal(places_nearby(p, &q, &found), 0);
			assert_true(found.count <= q.bound);
			for (size_t k = 0; k < found.count; k++)
				assert_true(found.place[k].distance_m <= q.radius_km * 1000);
		}
		places_free(p);
	}
}

static void
test_foreign_files(void **state)
{
	struct places *p;
	int fd;

	(void)state;
	assert_int_equal(places_open(&p, "/nonexistent/places"), -ENOENT);
	assert_int_equal(places_open(&p, folder), -EISDIR);
	assert_int_equal(places_open(&p, "/dev/null"), -EPROTO);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(places_open(&p, path), -EPROTO);
	for (int i = 0; i < 100; i++)
		assert_int_equal(write(fd, "name,lat,lon\n", 13), 13);
	close(fd);
	assert_int_equal(places_open(&p, path), -EPROTO);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(places_open(&p, path), -EPROTO);
	unlink(path);
}

static void
test_cancel(void **state)
{
	static const struct point point = {1, 2, 3, 0};
	atomic_bool cancel = true;
	struct places *p;

	(void)state;
	write_points(&point, 1, false);
	assert_int_equal(places_open_cancellable(&p, path, &cancel), -ECANCELED);
}

/* Cut short in place while it is mapped: an error, then and as long as it lasts. */
static void
test_cut_short(void **state)
{
	enum { COUNT = 5000 };
	static struct point points[COUNT];
	struct places_query q = {340689300, -1184451270, 50, 20, PLACES_DISTANCE};
	struct places_found found;
	uint64_t seed = random_seed(4);
	struct places *p;

	(void)state;
	for (int i = 0; i < COUNT; i++)
		random_point(&seed, SPREAD_CITY, &points[i]);
	p = open_points(points, COUNT);
	assert_int_equal(places_nearby(p, &q, &found), 0);
	assert_int_equal(found.count, 20);
	sigaction(SIGBUS, &guard_action, NULL);
	assert_int_equal(truncate(path, 4096), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(places_nearby(p, &q, &found), -EFAULT);
	places_free(p);
}

/* --- writing ------------------------------------------------------------------------ */

static size_t
files_in_folder(void)
{
	char pattern[sizeof(folder) + 4];
	glob_t found;
	size_t count;

	snprintf(pattern, sizeof(pattern), "%s/*", folder);
	count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
	globfree(&found);
	return count;
}

/* A write that fails leaves the old file, and nothing else. */
static void
test_full_disk(void **state)
{
	static const struct point old = {1, 2, 3, 0};
	static struct point points[1000];
	struct rlimit limit, small;
	struct places_build *b;
	struct places *p;

	(void)state;
	write_points(&old, 1, false);
	assert_int_equal(places_build_new(&b), 0);
	for (size_t i = 0; i < ELEMENTS(points); i++)
		add_point(b, &points[i], i);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = (struct rlimit){4096, limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(places_build_write(b, path), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(files_in_folder(), 1);
	assert_int_equal(places_open(&p, path), 0);
	assert_int_equal(places_count(p), 1);
	places_free(p);
	assert_int_equal(places_build_write(b, "/nonexistent/places"), -ENOENT);
	assert_int_equal(places_build_write(b, path), 0);
	places_build_free(b);
}

static void
test_mode_of_the_file(void **state)
{
	static const struct point point = {1, 2, 3, 0};
	mode_t old = umask(077);
	struct stat st;

	(void)state;
	write_points(&point, 1, false);
	umask(old);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

static int
make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/places.herd", folder);
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_all_rows), cmocka_unit_test(test_pole_and_date_line),
		cmocka_unit_test(test_known_distances),	 cmocka_unit_test(test_radius_is_a_fence),
		cmocka_unit_test(test_repeatable),	 cmocka_unit_test(test_texts),
		cmocka_unit_test(test_bad_rows),	 cmocka_unit_test(test_no_places),
		cmocka_unit_test(test_rank_names),	 cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_wrong_contents),	 cmocka_unit_test(test_foreign_files),
		cmocka_unit_test(test_cancel),		 cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_full_disk),	 cmocka_unit_test(test_mode_of_the_file),
	};

	sigaction(SIGBUS, NULL, &guard_action);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
