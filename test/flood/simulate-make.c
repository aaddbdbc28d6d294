/* Plans from a seed: what may happen to a herd, and how often. */
#include "simulate-plan.h"

#include "../random.h"

#define SECOND_US INT64_C(1000000)

static void
add(struct plan *p, int64_t at_us, enum plan_act what, unsigned int a, unsigned int b, int64_t c)
{
	const struct act act = {at_us, what, a, b, c};

	plan_add(p, &act);
}

static unsigned int
below(uint64_t *random, int64_t n)
{
	return (unsigned int)random_below(random, (size_t)n);
}

void
plan_make(struct plan *p)
{
	const struct plan_numbers *n = &p->numbers;
	uint64_t random = (uint64_t)n->seed;
	int64_t end_us = n->seconds * SECOND_US;

	if (n->partition > 0) {
		add(p, end_us / 3, PLAN_split, 2, below(&random, 1000), 0);
		add(p, end_us / 3 + n->partition * SECOND_US, PLAN_mend, 0, 0, 0);
	}
	for (unsigned int host = 0; n->deaths > 0 && host < n->hosts; host++) {
		if (below(&random, 100) >= n->deaths)
			continue;
		add(p, end_us / 3, n->silent ? PLAN_vanish : PLAN_wipe, host, 0, 0);
		add(p, end_us * 5 / 6, PLAN_start, host, 0, 0);
	}
	for (int64_t i = 0; i < n->kills * n->seconds; i++) {
		int64_t at_us = (int64_t)(random_u64(&random) % (uint64_t)end_us);
		unsigned int host = below(&random, n->hosts);

		add(p, at_us, below(&random, 4) ? PLAN_kill : PLAN_wipe, host, 0, 0);
		add(p, at_us + SECOND_US / 10 + below(&random, SECOND_US), PLAN_start, host, 0, 0);
	}
	plan_sort(p);
}

/* --- small herds ---------------------------------------------------------------------- */

static void
add_fault(struct plan *p, uint64_t *random, int64_t at_us)
{
	static const enum plan_act choices[] = {PLAN_kill, PLAN_kill, PLAN_wipe,  PLAN_vanish,
						PLAN_cut,  PLAN_cut,  PLAN_split, PLAN_stall,
						PLAN_step, PLAN_snap, PLAN_snap,  PLAN_loss};
	enum plan_act what = choices[below(random, sizeof(choices) / sizeof(choices[0]))];
	int64_t hosts = p->numbers.hosts, later_us = at_us + below(random, 12 * SECOND_US);
	unsigned int a = below(random, hosts), b = below(random, hosts);

	if (a == b && (what == PLAN_cut || what == PLAN_snap))
		what = PLAN_kill;
	switch (what) {
	case PLAN_stall:
		add(p, at_us, what, a, below(random, 12000), 0);
		return;
	case PLAN_step:
		add(p, at_us, what, a, 0, (int64_t)below(random, 8000) - 4000);
		return;
	case PLAN_split:
		add(p, at_us, what, 2 + below(random, 2), below(random, 1000), 0);
		add(p, later_us, PLAN_mend, 0, 0, 0);
		return;
	case PLAN_loss:
		add(p, at_us, what, below(random, 40), 0, 0);
		add(p, later_us, what, (unsigned int)p->numbers.loss, 0, 0);
		return;
	case PLAN_snap:
		add(p, at_us, what, a, b, 0);
		return;
	case PLAN_cut:
		add(p, at_us, what, a, b, 0);
		add(p, later_us, PLAN_join, a, b, 0);
		return;
	default:
		add(p, at_us, what, a, 0, 0);
		add(p, below(random, 3) ? at_us + below(random, 1500000) : later_us, PLAN_start, a, 0, 0);
	}
}

static int64_t
one_of(uint64_t *random, const int64_t *choices, int64_t count)
{
	return choices[below(random, count)];
}

#define ONE_OF(random, ...)                            \
	one_of(random, (const int64_t[]){__VA_ARGS__}, \
	       (int64_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

static void
draw_numbers(struct plan_numbers *n, uint64_t *random)
{
	n->hosts = 3 + below(random, 10);
	n->seconds = 5 + below(random, 40);
	n->clients = 1 + below(random, 40);
	n->drawn = below(random, 3) == 0;
	n->sites = n->drawn ? 0 : ONE_OF(random, 0, 0, 2, 3);
	n->site_links = 1 + below(random, 4);
	n->delay = ONE_OF(random, 0, 1, 5, 40, 150);
	n->rate = ONE_OF(random, 0, 0, 0, 512, 64);
	n->loss = ONE_OF(random, 0, 0, 0, 1, 10, 30);
	n->skew = ONE_OF(random, 0, 0, 100, 3000);
	n->future = ONE_OF(random, 0, 0, 0, 20);
	n->ttl = ONE_OF(random, 0, 0, 86400, 86400, 60, 20);
	n->ack_after = ONE_OF(random, 0, 1, 2);
	n->quiet = 200;
}

void
plan_make_random(struct plan *p, uint64_t seed)
{
	uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	struct plan_numbers *n = &p->numbers;
	unsigned int puts, faults;

	n->seed = (int64_t)(seed & INT64_MAX);
	draw_numbers(n, &random);
	puts = 1 + below(&random, 120);
	faults = below(&random, 25);
	for (unsigned int i = 0; i < puts; i++) {
		int64_t at_us = below(&random, n->seconds * SECOND_US);
		int64_t off_ms = (int64_t)below(&random, 2000) - 1000;

		if (below(&random, 100) < n->future)
			off_ms = (int64_t)below(&random, 1000000000);
		add(p, at_us, PLAN_put, below(&random, n->hosts), below(&random, n->clients), off_ms);
	}
	for (unsigned int i = 0; i < faults; i++)
		add_fault(p, &random, below(&random, n->seconds * SECOND_US));
	plan_sort(p);
}
