/*
 * herdctl bench: how fast is this member, for clients like these? Test fixes go into the table and to all
 * hosts like any other, so their ids say whose they are, and there are no more than asked for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/ask.h"
#include "ctl/load.h"

enum { BAR_MAX = 40 };

#define FOR_MIN_NS (100 * CLOCK_MSEC_NS)

/* Bounds of the drawn histogram: 1, 2, 5, 10 ... microseconds. */
static uint64_t
next_bound(uint64_t bound_ns)
{
	uint64_t first = bound_ns;

	while (first >= 10)
		first /= 10;
	return first == 2 ? bound_ns / 2 * 5 : bound_ns * 2;
}

/* How many values lie in (from_ns, to_ns], to 3 % of the bounds. */
static uint64_t
count_between(const struct histogram *h, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t top_ns = histogram_bucket_top(i);

		if (top_ns > from_ns && top_ns <= to_ns)
			count += h->count[i];
	}
	return count;
}

static uint64_t
most_between(const struct histogram *h)
{
	uint64_t most = 1;

	for (uint64_t from_ns = 0, to_ns = 1000; from_ns <= h->max;
	     from_ns = to_ns, to_ns = next_bound(to_ns)) {
		uint64_t count = count_between(h, from_ns, to_ns);

		most = count > most ? count : most;
	}
	return most;
}

static void
show_histogram(struct writer *w, const struct histogram *h)
{
	const uint64_t most = most_between(h);
	uint64_t seen = 0;

	writer_list_begin(w, "histogram");
	for (uint64_t from_ns = 0, to_ns = 1000; seen < h->total;
	     from_ns = to_ns, to_ns = next_bound(to_ns)) {
		uint64_t count = count_between(h, from_ns, to_ns);
		char bar[BAR_MAX + 1];

		seen += count;
		if (seen == 0)
			continue;
		memset(bar, '#', BAR_MAX);
		bar[(count * BAR_MAX + most - 1) / most] = '\0';
		writer_object_begin(w, NULL);
		writer_count(w, "up_to_us", to_ns / 1000);
		writer_count(w, "replies", count);
		writer_percent(w, "share", count, h->total);
		if (!writer_is_json(w))
			writer_string(w, "", bar);
		writer_object_end(w);
	}
	writer_list_end(w);
}

static void
show_quantiles(struct writer *w, const struct histogram *h)
{
	static const struct {
		const char *key;
		double share;
	} quantiles[] = {{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}};

	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
		writer_real(w, quantiles[i].key, (double)histogram_quantile(h, quantiles[i].share) / 1000, 1);
	writer_real(w, "max_us", (double)h->max / 1000, 1);
}

/* What was wanted, and what of it could not be. Without a rate that is nothing to read. */
static void
show_rate(struct writer *w, const struct load_plan *plan, const struct load_result *result)
{
	writer_details(w, plan->rate == 0);
	if (plan->rate)
		writer_count(w, "rate", plan->rate);
	else
		writer_none(w, "rate");
	writer_style(w, result->unsent ? WRITER_BAD : WRITER_PLAIN);
	writer_count(w, "unsent", result->unsent);
	writer_details(w, false);
}

static void
show(struct writer *w, const struct load_plan *plan, const struct load_result *result)
{
	const uint64_t replies = result->iamat + result->whatsat + result->refused;
	const double took_s = (double)result->took_ns / (double)CLOCK_SECOND_NS;

	writer_object_begin(w, NULL);
	writer_string(w, "member", result->server);
	writer_string(w, "asked", plan->address);
	writer_count(w, "connections", plan->connections);
	writer_count(w, "depth", plan->depth);
	writer_duration(w, "took", result->took_ns);
	show_rate(w, plan, result);
	writer_count(w, "iamat", result->iamat);
	writer_count(w, "whatsat", result->whatsat);
	writer_style(w, result->refused ? WRITER_BAD : WRITER_PLAIN);
	writer_count(w, "refused", result->refused);
	writer_style(w, WRITER_STRONG);
	writer_real(w, "per_second", took_s > 0 ? (double)replies / took_s : 0, 0);
	show_quantiles(w, &result->latency);
	show_histogram(w, &result->latency);
	writer_object_end(w);
}

/* A number between bounds. 0, or CTL_USAGE, said. */
static int
take_count(const struct ctl *ctl, const char *name, uint32_t min, uint32_t max, uint32_t *value)
{
	int r = ctl_option_count(ctl, name, value);

	if (r == 0 && (*value < min || *value > max))
		return ctl_fail(CTL_USAGE, "--%s takes %" PRIu32 " to %" PRIu32, name, min, max);
	return r;
}

static int
take_plan(struct ctl *ctl, struct load_plan *plan)
{
	int r = take_count(ctl, "connections", 1, LOAD_CONNECTIONS_MAX, &plan->connections);

	if (r == 0)
		r = take_count(ctl, "depth", 1, LOAD_DEPTH_MAX, &plan->depth);
	if (r == 0 && options_value(ctl->options, "rate"))
		r = take_count(ctl, "rate", 1, LOAD_RATE_MAX, &plan->rate);
	if (r == 0)
		r = take_count(ctl, "clients", 1, LOAD_CLIENTS_MAX, &plan->clients);
	if (r == 0)
		r = take_count(ctl, "whatsat", 0, 100, &plan->whatsat_share);
	if (r == 0)
		r = ctl_option_duration(ctl, "for", FOR_MIN_NS, &plan->for_ns);
	return r;
}

static int
bench_run(struct ctl *ctl, int argc, char **argv)
{
	static struct load_result result;
	struct progress progress = progress_begin(ctl);
	struct ask ask;
	struct load_plan plan = {
		.address = ask.address,
		.progress = &progress,
		.connections = 8,
		.depth = 1,
		.clients = 100,
		.for_ns = 3 * CLOCK_SECOND_NS,
	};
	int r = take_plan(ctl, &plan);

	(void)argc, (void)argv;
	if (r == 0)
		r = ask_whom(ctl, &ask);
	if (r != 0)
		return r;
	plan.timeout_ns = ask.timeout_ns;
	do
		r = load_run(&plan, &result);
	while (ask_goes_on(ctl, &ask, r));
	if (r < 0)
		return ask_failed(ask.address, r);
	show(ctl->out, &plan, &result);
	return result.refused || result.unsent ? CTL_NO : CTL_OK;
}

const struct command command_bench = {
	.name = "bench",
	.help = "Measure how fast a member answers",
	.more = "Clients called herdctl-bench-N tell the member where they are, over and over. These fixes\n"
		"are in the herd afterwards, until they expire. With --whatsat they also ask for places,\n"
		"which may cost money where those come from a service. With --rate commands are due at\n"
		"even intervals, and times are those from then: what waits while the member does not\n"
		"answer counts. Exit code 1: the member refused, or the rate was too much.",
	.entries =
		(const struct options_entry[]){
			{.name = "for", .argument = "SECONDS", .help = "Go on for this long (default 3)"},
			{.name = "connections", .argument = "N", .help = "Connections at a time (default 8)"},
			{.name = "depth",
			 .argument = "N",
			 .help = "Commands sent at once on each (default 1)"},
			{.name = "rate",
			 .argument = "N",
			 .help = "Commands a second (default: as many as are answered)"},
			{.name = "clients", .argument = "N", .help = "Clients there are (default 100)"},
			{.name = "whatsat",
			 .argument = "PERCENT",
			 .help = "Commands that ask for places (default 0)"},
			ASK_ENTRIES{0},
		},
	.run = bench_run,
};
