/*
 * The clocks and getrandom() of everything that is linked into this program are
 * those of the node whose turn it is: so the table's keys and times come
 * from the seed as well.
 */
#include "simulate-world.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../random.h"

#define CHECK_NS (CLOCK_SECOND_NS / 2)
#define HEAL_NS	 (10 * CLOCK_SECOND_NS) /* after many deaths everybody alive has to be linked */
#define CALM_NS \
	(60 *   \
	 CLOCK_SECOND_NS) /* after all agree, until the last links are back and nothing is sent any more */

bool world_is_traced;

/* --- clocks ----------------------------------------------------------------------------- */

static struct node *current;

int __real_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret);
ssize_t __real_getrandom(void *bytes, size_t len, unsigned int flags);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned int flags);

int
__wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
	int64_t now_ns;

	if (!current)
		return __real_clock_gettime(id, ret);
	now_ns = id == CLOCK_REALTIME ? node_posix_ns(current) : current->world->queue.now_ns;
	*ret = (struct timespec){now_ns / CLOCK_SECOND_NS, now_ns % CLOCK_SECOND_NS};
	return 0;
}

ssize_t
__wrap_getrandom(void *bytes, size_t len, unsigned int flags)
{
	if (!current)
		return __real_getrandom(bytes, len, flags);
	for (size_t i = 0; i < len; i++)
		((unsigned char *)bytes)[i] = (unsigned char)random_u64(&current->random);
	return (ssize_t)len;
}

void
world_enter(struct node *node)
{
	current = node;
}

int64_t
node_posix_ns(const struct node *node)
{
	return WORLD_EPOCH_NS + node->world->queue.now_ns + node->skew_ns;
}

void
world_fail(struct world *w, const char *format, ...)
{
	va_list ap;
	int len;

	if (w->failure[0])
		return;
	len = snprintf(w->failure, sizeof(w->failure), "%.3f s: ", (double)w->queue.now_ns / 1e9);
	va_start(ap, format);
	vsnprintf(w->failure + len, sizeof(w->failure) - (size_t)len, format, ap);
	va_end(ap);
}

/* --- sets -------------------------------------------------------------------------------- */

static void
set_grow(struct set *s)
{
	struct set to = {.room = s->room ? 2 * s->room : SET_MIN};

	to.at = calloc(to.room, sizeof(*to.at));
	if (!to.at)
		abort();
	for (size_t i = 0; i < s->room; i++)
		if (s->at[i])
			set_add(&to, s->at[i]);
	free(s->at);
	*s = to;
}

bool
set_has(const struct set *s, uint64_t hash)
{
	for (size_t at = hash; s->room > 0 && s->at[at % s->room]; at++)
		if (s->at[at % s->room] == hash)
			return true;
	return false;
}

bool
set_add(struct set *s, uint64_t hash)
{
	size_t at = hash;

	if (set_has(s, hash))
		return false;
	if (4 * (s->count + 1) > 3 * s->room)
		set_grow(s);
	while (s->at[at % s->room])
		at++;
	s->at[at % s->room] = hash;
	s->count++;
	return true;
}

void
set_done(struct set *s)
{
	free(s->at);
	*s = (struct set){0};
}

/* --- beginning and end ------------------------------------------------------------------------ */

static void
name_hosts(struct world *w)
{
	int64_t sites = w->plan->numbers.sites;

	w->hosts.at = calloc(w->count, sizeof(*w->hosts.at));
	if (!w->hosts.at)
		abort();
	w->hosts.count = w->count;
	for (unsigned int i = 0; i < w->count; i++) {
		struct host *host = &w->hosts.at[i];

		snprintf(host->name, sizeof(host->name), "h%u", i);
		snprintf(host->address, sizeof(host->address), "h%u:12400", i);
		if (sites > 0)
			snprintf(host->site, sizeof(host->site), "s%u", i % (unsigned int)sites);
	}
}

static void
world_init(struct world *w, const struct plan *plan)
{
	const struct plan_numbers *n = &plan->numbers;
	const struct net_options options = {
		.hosts = (unsigned int)n->hosts,
		.seed = (uint64_t)n->seed,
		.loss = (double)n->loss / 100,
		.delay_ns = n->delay * CLOCK_MSEC_NS,
		.spread = n->spread,
		.rate_bits = (uint64_t)n->rate * 1000,
	};
	struct net_hooks hooks = tie_net_hooks;

	*w = (struct world){.plan = plan, .count = (unsigned int)n->hosts};
	w->figures.agreed_ns = -1;
	w->random = (uint64_t)n->seed * 7 + 5;
	w->key = (struct hash_key){(uint64_t)n->seed, 0x6b6579};
	hooks.arg = w;
	w->net = net_new(&w->queue, &options, &hooks);
	w->truth = truth_new((unsigned int)n->clients);
	w->scratch = malloc(128 << 10);
	w->nodes = calloc(w->count, sizeof(*w->nodes));
	if (!w->nodes || !w->scratch)
		abort();
	name_hosts(w);
	for (unsigned int i = 0; i < w->count; i++)
		node_init(w, i);
	for (unsigned int i = 0; i < w->count; i++)
		node_start(&w->nodes[i]);
}

static void
world_done(struct world *w)
{
	for (unsigned int i = 0; i < w->count; i++)
		node_done(&w->nodes[i]);
	current = NULL;
	net_free(w->net);
	queue_done(&w->queue);
	truth_free(w->truth);
	hosts_done(&w->hosts);
	free(w->scratch);
	free(w->nodes);
}

/* --- acts ---------------------------------------------------------------------------------------- */

static void
split(struct world *w, unsigned int parts, unsigned int which)
{
	for (unsigned int i = 0; i < w->count; i++) {
		uint64_t random = which * UINT64_C(1000003) + i;

		net_set_side(w->net, i, (unsigned int)random_below(&random, parts ? parts : 1));
	}
}

static void
snap(struct world *w, const struct act *a)
{
	struct tie *tie = w->nodes[a->a].ties, *next;

	for (; tie; tie = next) {
		next = tie->next;
		if (tie->wire && tie->peer == a->b)
			wire_break(tie->wire);
	}
}

static void
on_act(void *what, uint64_t number)
{
	struct world *w = what;
	const struct act *a = &w->plan->acts[number];
	struct node *node = &w->nodes[a->a % w->count];

	switch (a->what) {
	case PLAN_put:
		node_put(node, a->b % (unsigned int)w->plan->numbers.clients, a->c);
		break;
	case PLAN_kill:
		node_die(node, NODE_KILLED);
		break;
	case PLAN_wipe:
		node_die(node, NODE_WIPED);
		break;
	case PLAN_vanish:
		node_die(node, NODE_VANISHED);
		break;
	case PLAN_start:
		node_start(node);
		break;
	case PLAN_cut:
	case PLAN_join:
		net_set_cut(w->net, a->a, a->b % w->count, a->what == PLAN_cut);
		break;
	case PLAN_split:
		split(w, a->a, a->b);
		break;
	case PLAN_mend:
		net_mend(w->net);
		break;
	case PLAN_stall:
		node->stalled_ns = w->queue.now_ns + a->b * CLOCK_MSEC_NS;
		break;
	case PLAN_step:
		node->skew_ns += a->c * CLOCK_MSEC_NS;
		break;
	case PLAN_snap:
		snap(w, a);
		break;
	case PLAN_loss:
		net_set_loss(w->net, a->a / 100.0);
		break;
	case PLAN_list:
		node_read_list(node, a->b);
		break;
	case PLAN_ACT_COUNT:
		break;
	}
}

static void
on_update(void *what, uint64_t number)
{
	struct world *w = what;
	const struct plan_numbers *n = &w->plan->numbers;
	unsigned int host = (unsigned int)random_below(&w->random, w->count);
	unsigned int client = (unsigned int)random_below(&w->random, (size_t)n->clients);
	int64_t off_ms = (int64_t)random_below(&w->random, 200) - 200;

	if ((int64_t)random_below(&w->random, 100) < n->future)
		off_ms = (int64_t)random_below(&w->random, 1000000000);
	node_put(&w->nodes[host], client, off_ms);
	number++;
	if ((int64_t)number < n->updates * n->seconds)
		queue_put(&w->queue, (int64_t)((double)number * 1e9 / (double)n->updates), on_update, w,
			  number);
}

/* Everything is well again. */
static void
heal(struct world *w)
{
	net_mend(w->net);
	net_set_loss(w->net, (double)w->plan->numbers.loss / 100);
	for (unsigned int i = 0; i < w->count; i++) {
		w->nodes[i].stalled_ns = 0;
		node_start(&w->nodes[i]);
		if (w->nodes[i].listed != w->count)
			node_read_list(&w->nodes[i], w->count);
	}
}

/* --- what is looked at ------------------------------------------------------------------------------ */

/* It runs, and had the time to be linked. */
static bool
is_settled(const struct node *node)
{
	return node_runs(node) && node->world->queue.now_ns - node->started_ns >= HEAL_NS;
}

/* Nodes that have run for a while, but are not linked, over any number of links, with the most of them. */
static unsigned int
count_cut_off(struct world *w)
{
	unsigned int *part = calloc(w->count, sizeof(*part)), *size = calloc(w->count, sizeof(*size));
	unsigned int running = 0, most = 0;
	bool changed = true;

	for (unsigned int i = 0; i < w->count; i++)
		part[i] = i;
	while (changed) {
		changed = false;
		for (unsigned int i = 0; i < w->count; i++) {
			for (struct tie *tie = w->nodes[i].ties; tie; tie = tie->next) {
				if (!tie->is_up || tie->is_over || part[tie->peer] == part[i])
					continue;
				if (part[tie->peer] < part[i])
					part[i] = part[tie->peer];
				else
					part[tie->peer] = part[i];
				changed = true;
			}
		}
	}
	for (unsigned int i = 0; i < w->count; i++) {
		if (!is_settled(&w->nodes[i]))
			continue;
		running++;
		if (++size[part[i]] > most)
			most = size[part[i]];
	}
	free(part);
	free(size);
	return running - most;
}

static void
on_healed(void *what, uint64_t number)
{
	struct world *w = what;

	(void)number;
	w->figures.cut_off = count_cut_off(w);
	if (w->figures.cut_off > 0)
		world_fail(w, "%llu hosts that live are cut off from the others after many died",
			   (unsigned long long)w->figures.cut_off);
}

static bool
has_act(const struct plan *plan, enum plan_act what)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->acts[i].what == what)
			return true;
	return false;
}

/* Whoever is 20 s ahead of a host's clock waits there. A clock set back is no fault of the host. */
static void
on_look_ahead(void *what, uint64_t number)
{
	struct world *w = what;
	char why[200];

	for (unsigned int i = 0; i < w->count; i++)
		if (w->nodes[i].member && truth_is_early(&w->nodes[i], why))
			world_fail(w, "%s", why);
	queue_put(&w->queue, w->queue.now_ns + CLOCK_SECOND_NS, on_look_ahead, w, number);
}

static void
on_measure(void *what, uint64_t number)
{
	struct world *w = what;
	struct mallinfo2 info = mallinfo2();
	uint64_t used = info.uordblks + info.hblkhd;

	if (number == 0)
		w->figures.memory_first = used;
	if (used > w->figures.memory_most)
		w->figures.memory_most = used;
	queue_put(&w->queue, w->queue.now_ns + CLOCK_SECOND_NS, on_measure, w, number + 1);
}

static void
run_to(struct world *w, int64_t end_ns)
{
	for (int64_t now_ns = w->queue.now_ns; now_ns < end_ns && !w->failure[0];) {
		now_ns = now_ns + CHECK_NS < end_ns ? now_ns + CHECK_NS : end_ns;
		queue_run(&w->queue, now_ns);
	}
}

static void
plan_acts(struct world *w)
{
	const struct plan_numbers *n = &w->plan->numbers;

	/* What is later than the end is made good then, too. */
	for (size_t i = 0; i < w->plan->count && w->plan->acts[i].at_us < n->seconds * 1000000; i++)
		queue_put(&w->queue, w->plan->acts[i].at_us * 1000, on_act, w, i);
	if (n->updates > 0)
		queue_put(&w->queue, 0, on_update, w, 0);
	if (n->deaths > 0)
		queue_put(&w->queue,
			  n->seconds * CLOCK_SECOND_NS / 3 + HEAL_NS + (n->silent ? LINK_DEAD_NS : 0),
			  on_healed, w, 0);
	if (n->skew > 1000 && !has_act(w->plan, PLAN_step))
		queue_put(&w->queue, 0, on_look_ahead, w, 0);
	queue_put(&w->queue, n->seconds * CLOCK_SECOND_NS / 4, on_measure, w, 0);
}

static void
wait_for_agreement(struct world *w)
{
	int64_t since_ns = w->queue.now_ns;
	char why[200] = "";

	while (!w->failure[0] && !truth_agrees(w, why)) {
		if (w->queue.now_ns - since_ns >= w->plan->numbers.settle * CLOCK_SECOND_NS)
			world_fail(w, "no agreement: %s", why);
		run_to(w, w->queue.now_ns + CHECK_NS);
	}
	w->figures.agreed_ns = w->queue.now_ns - since_ns;
}

/* Where tables are too small for all they never agree, but come to an end all the same. */
static void
wait_for_quiet(struct world *w)
{
	const struct plan_numbers *n = &w->plan->numbers;
	uint64_t fixes;

	if (n->quiet == 0)
		return;
	net_set_loss(w->net, 0); /* links that break now would tell again what they are not sure of */
	run_to(w, w->queue.now_ns + (n->capacity ? n->settle * CLOCK_SECOND_NS : CALM_NS));
	fixes = w->figures.fixes;
	run_to(w, w->queue.now_ns + n->quiet * CLOCK_SECOND_NS);
	if (w->figures.fixes != fixes)
		world_fail(w, "%llu fixes were sent although nothing was new",
			   (unsigned long long)(w->figures.fixes - fixes));
}

/* Nothing was ever refused for its time or for want of room: then what a link told it did not forget. */
static bool
is_plain(const struct plan *plan)
{
	const struct plan_numbers *n = &plan->numbers;

	return n->ttl == 0 && n->capacity == 0 && n->skew <= 4000 && !has_act(plan, PLAN_step);
}

bool
world_run(const struct plan *plan, struct world_figures *ret_figures, char failure[WORLD_FAILURE_MAX])
{
	struct world w;

	world_init(&w, plan);
	plan_acts(&w);
	run_to(&w, plan->numbers.seconds * CLOCK_SECOND_NS);
	heal(&w);
	if (plan->numbers.capacity == 0)
		wait_for_agreement(&w);
	wait_for_quiet(&w);
	for (unsigned int i = 0; i < w.count; i++)
		tie_drop_all(&w.nodes[i], true); /* their figures are judged */
	if (w.figures.diverged > 0 && is_plain(plan))
		world_fail(&w, "%llu comparisons brought what should have been told long ago",
			   (unsigned long long)w.figures.diverged);
	w.figures.spread_p50_us = histogram_quantile(&w.spread, 0.5);
	w.figures.spread_p99_us = histogram_quantile(&w.spread, 0.99);
	*ret_figures = w.figures;
	memcpy(failure, w.failure, sizeof(w.failure));
	world_done(&w);
	return failure[0] == '\0';
}
