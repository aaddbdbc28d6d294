/*
 * The places file alone: what one WHATSAT's lookup costs, from the position to
 * the JSON in the reply's bytes, in both ranks; with a table given by argument
 * (any format that can be imported) and with places at random all over the
 * world. A JSON object a line, times in nanoseconds; each query is timed by
 * itself, which adds the two looks at the clock (about 50 ns).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../random.h"
#include "base/clock.h"
#include "core/places.h"
#include "base/histogram.h"
#include "places/import.h"
#include "places/json.h"
#include "usage.h"

enum {
	BENCH_QUERIES = 200000,
	BENCH_CENTRES = 4096,
	BENCH_RANDOM_PLACES = 1000000,
};

struct bench {
	const char *name;
	struct places *places;
	double open_ms;
	uint64_t random;
	struct places_query centres[BENCH_CENTRES];
};

static int32_t
bench_e7(struct bench *b, int32_t half_range)
{
	return (int32_t)(random_u64(&b->random) % (2 * (uint64_t)half_range + 1)) - half_range;
}

/* Clients are where places are: each centre within some 5 km of a place, found by asking around a
   random point until something answers. */
static int
bench_make_centres(struct bench *b)
{
	struct places_found found;

	for (size_t i = 0; i < BENCH_CENTRES;) {
		struct places_query q = {bench_e7(b, 700000000), bench_e7(b, 1800000000), 2000, 20,
					 PLACES_DISTANCE};
		const struct place *p;
		int r = places_nearby(b->places, &q, &found);

		if (r != 0)
			return r;
		if (found.count == 0)
			continue;
		p = &found.place[random_below(&b->random, found.count)];
		b->centres[i].lat_e7 = p->lat_e7 + bench_e7(b, 400000);
		b->centres[i].lon_e7 = p->lon_e7 + (p->lon_e7 > 0 ? -1 : 1) * abs(bench_e7(b, 400000));
		i++;
	}
	return 0;
}

static int
bench_case(struct bench *b, double radius_km, unsigned int bound, enum places_rank rank)
{
	static struct histogram times;
	struct buffer out = {.max = 1 << 20};
	struct places_found found;
	uint64_t results = 0, bytes = 0, sum_ns = 0;

	memset(&times, 0, sizeof(times));
	for (size_t i = 0; i < BENCH_QUERIES; i++) {
		struct places_query q = b->centres[random_below(&b->random, BENCH_CENTRES)];
		int64_t began_ns;
		uint64_t took_ns;
		int r;

		q.radius_km = radius_km;
		q.bound = bound;
		q.rank = rank;
		out.len = 0;
		began_ns = clock_monotonic_ns();
		r = places_nearby(b->places, &q, &found);
		if (r == 0)
			r = json_put_places(&out, &found, places_attribution(b->places));
		took_ns = (uint64_t)(clock_monotonic_ns() - began_ns);
		if (r != 0)
			return r;
		histogram_add(&times, took_ns, 1);
		sum_ns += took_ns;
		results += found.count;
		bytes += out.len;
	}
	buffer_done(&out);
	printf("{\"places\": \"%s\", \"count\": %zu, \"open_ms\": %.1f, \"radius_km\": %g, \"bound\": %u, "
	       "\"rank\": \"%s\", \"mean_ns\": %.0f, \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
	       ", \"max_ns\": %" PRIu64 ", \"results\": %.2f, \"json_bytes\": %.0f}\n",
	       b->name, places_count(b->places), b->open_ms, radius_km, bound, places_rank_name(rank),
	       (double)sum_ns / BENCH_QUERIES, histogram_quantile(&times, 0.5),
	       histogram_quantile(&times, 0.99), times.max, (double)results / BENCH_QUERIES,
	       (double)bytes / BENCH_QUERIES);
	fflush(stdout);
	return 0;
}

static int
bench_all(struct bench *b, const char *file)
{
	int64_t began_ns = clock_monotonic_ns();
	int r = places_open(&b->places, file);

	if (r != 0)
		return r;
	b->open_ms = (double)(clock_monotonic_ns() - began_ns) / 1e6;
	r = bench_make_centres(b);
	for (int i = 0; r == 0 && i < 4; i++)
		r = bench_case(b, i < 2 ? 10 : 50, i < 2 ? 5 : 20,
			       i % 2 ? PLACES_DISTANCE : PLACES_PROMINENCE);
	b->places = places_free(b->places);
	return r;
}

static int
bench_table(struct bench *b, const char *table, const char *file)
{
	struct import_options options = {.input = table, .output = file};
	struct import_report report;
	int r = import_file(&options, &report);

	if (r != 0) {
		fprintf(stderr, "bench-places: %s\n", report.why);
		return r;
	}
	b->name = "table";
	return bench_all(b, file);
}

static int
bench_random(struct bench *b, const char *file)
{
	struct places_row row = {.types = TEXT("restaurant"), .vicinity = TEXT("Somewhere")};
	struct places_build *build;
	char name[32];
	int r = places_build_new(&build);

	for (int i = 0; r == 0 && i < BENCH_RANDOM_PLACES; i++) {
		row.name = (struct text){name, (size_t)snprintf(name, sizeof(name), "Place %d", i)};
		row.lat_e7 = bench_e7(b, 700000000);
		row.lon_e7 = bench_e7(b, 1800000000);
		row.prominence = (uint32_t)random_below(&b->random, 1000);
		r = places_build_add(build, &row);
	}
	if (r == 0)
		r = places_build_write(build, file);
	if (r < 0)
		return r;
	places_build_free(build);
	b->name = "random";
	return bench_all(b, file);
}

int
main(int argc, char **argv)
{
	static struct bench b = {.random = 1};
	char file[] = "/tmp/bench-places.XXXXXX";
	const char *table = NULL;
	int pin = -1;
	int fd;
	int r;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--pin") == 0 && i + 1 < argc) {
			pin = (int)strtol(argv[++i], NULL, 10);
		} else if (argv[i][0] != '-' && !table) {
			table = argv[i];
		} else {
			fprintf(stderr, "usage: %s [--pin CORE] [TABLE]\n", argv[0]);
			return 2;
		}
	}
	fd = mkstemp(file); /* what is written replaces it */
	if (fd < 0)
		return 1;
	close(fd);
	r = usage_pin(pin);
	if (r == 0 && table)
		r = bench_table(&b, table, file);
	if (r == 0)
		r = bench_random(&b, file);
	unlink(file);
	if (r < 0)
		fprintf(stderr, "bench-places: %s\n", strerror(-r));
	return r == 0 ? 0 : 1;
}
