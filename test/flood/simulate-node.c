/*
 * A node does what the keeper, the drain and the peers of herd-flood do, with an
 * event where they have a timer or a socket.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulate-world.h"
#include "../random.h"

#define TURN_NS (50 * (CLOCK_MSEC_NS / 1000)) /* from a wake-up to what it does */

static void
must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "simulate: %s: %s\n", what, strerror(-r));
		abort();
	}
}

bool
node_runs(const struct node *node)
{
	return node->replica != NULL;
}

/* --- tables ----------------------------------------------------------------------------- */

static void
open_table(struct node *node)
{
	const struct plan_numbers *n = &node->world->plan->numbers;
	const struct table_options options = {
		.clients = (uint32_t)(n->capacity ? n->capacity : 2 * n->clients + 64),
		.long_clients = 64,
		.ttl_ns = n->ttl * CLOCK_SECOND_NS,
	};
	char name[16];

	snprintf(name, sizeof(name), "m%u", node->index);
	must(table_open_private(&node->member, &options), "table");
	must(table_register(node->member, TABLE_MEMBER, name, ""), "member");
}

static void
on_lost(void *what, uint64_t number)
{
	struct world *w = what;

	if (w->losses == number) /* the last one of those at this time */
		truth_lose(w, NULL);
}

static void
lose_table(struct node *node)
{
	struct world *w = node->world;

	node->member = table_free(node->member);
	node->promise_count = 0;
	w->losses++;
	queue_put(&w->queue, w->queue.now_ns, on_lost, w, w->losses);
}

/* --- the mesh asks ------------------------------------------------------------------------ */

static void
on_dial(void *arg, unsigned int host)
{
	tie_dial(arg, host);
}

static void
on_hang_up(void *arg, unsigned int host, const char *reason)
{
	tie_hang_up(arg, host, reason);
}

static void
on_replaced(void *arg, unsigned int host, unsigned int stand_in)
{
	struct node *node = arg;

	(void)host;
	(void)stand_in;
	node->world->figures.replaced++;
}

static void
on_restored(void *arg, unsigned int host)
{
	struct node *node = arg;

	(void)host;
	node->world->figures.restored++;
}

/* --- lists ----------------------------------------------------------------------------------- */

/* Of a drawn graph: a tree with a few links more, the same for everybody. */
static bool
is_drawn(const struct world *w, unsigned int a, unsigned int b)
{
	uint64_t random = (uint64_t)w->plan->numbers.seed + 77;

	for (unsigned int i = 1; i < w->count + w->count / 2; i++) {
		unsigned int one = i < w->count ? i : (unsigned int)random_below(&random, w->count);
		unsigned int other = (unsigned int)random_below(&random, i < w->count ? i : w->count);

		if ((one == a && other == b) || (one == b && other == a))
			return true;
	}
	return false;
}

static void
read_drawn(struct node *node)
{
	struct world *w = node->world;
	struct hosts list = {.at = calloc(w->count, sizeof(*list.at))};

	for (unsigned int i = 0; i < w->count; i++)
		if (i != node->index && is_drawn(w, node->index, i))
			list.at[list.count++] = w->hosts.at[i];
	must(mesh_set_hosts(node->mesh, &list, true, w->queue.now_ns), "list");
	free(list.at);
	for (unsigned int i = 0; i < w->count; i++) {
		unsigned int number;

		node->number_of[i] = NODE_NOBODY;
		if (mesh_find(node->mesh, w->hosts.at[i].name, &number) != 0)
			continue;
		node->number_of[i] = number;
		node->node_of[number] = i;
	}
}

void
node_read_list(struct node *node, unsigned int listed)
{
	struct world *w = node->world;
	struct hosts list = {.at = w->hosts.at, .count = listed};

	node->listed = listed;
	if (!node->mesh)
		return;
	world_enter(node);
	if (w->plan->numbers.drawn)
		read_drawn(node);
	else /* numbers are those of the list, as it only grows or shrinks at its end */
		must(mesh_set_hosts(node->mesh, &list, false, w->queue.now_ns), "list");
}

/* --- how fast ---------------------------------------------------------------------------------- */

#define SPREAD_MAX_NS (10 * CLOCK_SECOND_NS) /* what comes later was away */

static struct world *measured; /* there is one */

/* By the true time, not by that of hosts whose clocks are wrong. */
static void
note_spread(struct world *w, const struct herd_fix *fix)
{
	unsigned int from;
	int64_t took_ns;
	char name[16];

	snprintf(name, sizeof(name), "%.*s", fix->server_len, fix->server);
	from = (unsigned int)strtoul(name + 1, NULL, 10); /* see open_table() */
	if (from >= w->count)
		return;
	took_ns = WORLD_EPOCH_NS + w->queue.now_ns - (fix->rx_ns - w->nodes[from].skew_ns);
	if (took_ns >= 0 && took_ns < SPREAD_MAX_NS)
		histogram_add(&w->spread, (uint64_t)took_ns / 1000, 1);
}

int __real_replica_merge(struct replica *r, unsigned int peer, const struct herd_fix *fix, int64_t now_ns);
int __wrap_replica_merge(struct replica *r, unsigned int peer, const struct herd_fix *fix, int64_t now_ns);

int
__wrap_replica_merge(struct replica *r, unsigned int peer, const struct herd_fix *fix, int64_t now_ns)
{
	int result = __real_replica_merge(r, peer, fix, now_ns);

	if (result == 0)
		note_spread(measured, fix);
	return result;
}

/* --- turns -------------------------------------------------------------------------------------- */

static void
on_wake_member(void *arg, const char *name)
{
	(void)arg;
	(void)name;
}

static void
check_promises(struct node *node)
{
	struct world *w = node->world;
	uint64_t confirmed = table_confirmed_round(node->member);
	unsigned int kept = 0;

	for (unsigned int i = 0; i < node->promise_count; i++) {
		const struct truth_promise *p = &node->promises[i];
		unsigned int wanted = 1 + (unsigned int)w->plan->numbers.ack_after, holders;

		if (p->round > confirmed) {
			node->promises[kept++] = *p;
			continue;
		}
		w->figures.confirmed++;
		holders = truth_may_be_lost(w, p) ? wanted : truth_holders(w, &p->fix);
		if (holders < wanted)
			world_fail(w, "host %u confirmed a fix of %.*s that %u hosts have, not %u",
				   node->index, p->fix.id_len, p->fix.id, holders, wanted);
	}
	node->promise_count = kept;
}

static void
drain(struct node *node)
{
	int r = 0;

	while (r == 0)
		r = replica_drain(node->replica, 4096, node_posix_ns(node));
	if (r < 0)
		must(r, "drain");
}

static void
on_turn(void *what, uint64_t generation)
{
	struct node *node = what;

	if (generation != node->generation || !node_runs(node))
		return;
	node->has_turn = false;
	if (node->stalled_ns > node->world->queue.now_ns)
		return;
	world_enter(node);
	drain(node);
	tie_flush_all(node);
	replica_confirm(node->replica, on_wake_member, NULL);
	if (node->promise_count > 0)
		check_promises(node);
}

void
node_wants_turn(struct node *node)
{
	if (node->has_turn || !node_runs(node))
		return;
	node->has_turn = true;
	queue_put(&node->world->queue, node->world->queue.now_ns + TURN_NS, on_turn, node, node->generation);
}

static void
on_patience_over(void *what, uint64_t generation)
{
	struct node *node = what;

	if (generation != node->generation || !node_runs(node))
		return;
	node->is_waiting = false;
	node_wants_turn(node);
}

void
node_wants_turn_later(struct node *node)
{
	if (node->is_waiting)
		return;
	node->is_waiting = true;
	queue_put(&node->world->queue, node->world->queue.now_ns + CLOCK_MSEC_NS, on_patience_over, node,
		  node->generation);
}

static void
look_after_table(struct node *node)
{
	uint64_t cursor = 0;
	char name[16];
	int r = 0;

	while (r == 0)
		r = table_sweep(node->helper, &cursor, 65536, node_posix_ns(node));
	for (r = 0; r == 0;)
		r = replica_sweep(node->replica, 65536, node_posix_ns(node));
	if (r < 0)
		must(r, "sweep");
	if (!node->world->plan->numbers.names)
		return;
	snprintf(name, sizeof(name), "m%u", node->index);
	names_own(node->names, text_of(name), WORLD_EPOCH_NS / CLOCK_SECOND_NS, node_posix_ns(node));
	names_tick(node->names, node_posix_ns(node));
}

static void
on_tick(void *what, uint64_t generation)
{
	struct node *node = what;
	struct world *w = node->world;
	int64_t now_ns = w->queue.now_ns;

	if (generation != node->generation || !node_runs(node))
		return;
	queue_put(&w->queue, now_ns + MESH_TICK_NS, on_tick, node, generation);
	if (node->stalled_ns > now_ns)
		return;
	world_enter(node);
	tie_read_all(node); /* what came while it was busy or stalled */
	tie_tick_all(node);
	mesh_tick(node->mesh, now_ns);
	if (now_ns / MESH_TICK_NS % 10 == node->index % 10)
		look_after_table(node);
	if (node->ties || node->promise_count > 0)
		node_wants_turn(node);
}

/* --- life ----------------------------------------------------------------------------------------- */

void
node_init(struct world *w, unsigned int index)
{
	struct node *node = &w->nodes[index];
	uint64_t random = (uint64_t)w->plan->numbers.seed * 31 + index;
	int64_t skew_ns = w->plan->numbers.skew * CLOCK_MSEC_NS;

	measured = w;
	*node = (struct node){.world = w, .index = index, .listed = w->count};
	node->random = random_u64(&random);
	if (skew_ns > 0)
		node->skew_ns = (int64_t)random_below(&random, (size_t)(2 * skew_ns)) - skew_ns;
	if (w->plan->numbers.drawn) {
		node->number_of = calloc(w->count + 1, sizeof(*node->number_of));
		node->node_of = calloc(w->count + 1, sizeof(*node->node_of));
	}
	node->memory = calloc(w->count, sizeof(*node->memory));
	if (!node->memory)
		abort();
}

static void
stop(struct node *node, bool silently)
{
	tie_drop_all(node, silently);
	node->teach = (struct teach){0};
	node->mesh = mesh_free(node->mesh);
	node->names = names_free(node->names);
	node->replica = replica_free(node->replica);
	node->helper = table_free(node->helper);
}

void
node_done(struct node *node)
{
	world_enter(node);
	stop(node, true);
	node->member = table_free(node->member);
	free(node->number_of);
	free(node->node_of);
	free(node->memory);
	free(node->promises);
}

static void
introduce(struct node *node)
{
	struct world *w = node->world;
	struct link_self *self = &node->self;

	*self = (struct link_self){
		.incarnation = random_u64(&node->random) | 1,
		.ttl_s = w->plan->numbers.ttl,
		.key_check = 42,
	};
	snprintf(self->herd, sizeof(self->herd), "herd");
	snprintf(self->host, sizeof(self->host), "%s", w->hosts.at[node->index].name);
	for (unsigned int i = 0; i < sizeof(self->host_id); i++)
		self->host_id[i] = (uint8_t)(hash_siphash13(&w->key, &node->index, sizeof(node->index)) >>
					     (i % 8 * 8));
}

void
node_start(struct node *node)
{
	struct world *w = node->world;
	const struct mesh_options options = {
		.self = w->hosts.at[node->index].name,
		.key = w->key,
		.site_links = (unsigned int)w->plan->numbers.site_links,
		.seed = random_u64(&node->random),
	};
	const struct mesh_hooks hooks = {node, on_dial, on_hang_up, on_replaced, on_restored};

	if (node_runs(node))
		return;
	world_enter(node);
	node->is_on = true;
	node->generation++;
	node->started_ns = w->queue.now_ns;
	node->stalled_ns = 0;
	node->has_turn = node->is_waiting = false;
	if (!node->member)
		open_table(node);
	must(table_open_shared(&node->helper, node->member), "table");
	must(table_register(node->helper, TABLE_HELPER, "flood", ""), "helper");
	must(replica_new(&node->replica, node->helper, &w->key, w->plan->numbers.ttl * CLOCK_SECOND_NS,
			 node_posix_ns(node)),
	     "replica");
	replica_set_ack_after(node->replica, (unsigned int)w->plan->numbers.ack_after);
	introduce(node);
	must(names_new(&node->names, node->self.host_id, NULL, NULL), "names");
	must(mesh_new(&node->mesh, &options, &hooks), "mesh");
	memset(node->memory, 0, w->count * sizeof(*node->memory));
	if (replica_count(node->replica) == 0)
		teach_newcomer(&node->teach);
	node_read_list(node, node->listed);
	net_set_on(w->net, node->index, true);
	net_set_listening(w->net, node->index, true);
	queue_put(&w->queue, w->queue.now_ns + (int64_t)random_below(&node->random, (size_t)MESH_TICK_NS),
		  on_tick, node, node->generation);
}

void
node_die(struct node *node, enum node_death death)
{
	struct world *w = node->world;

	world_enter(node);
	if (node_runs(node))
		stop(node, death == NODE_VANISHED);
	net_set_listening(w->net, node->index, false);
	if (death != NODE_KILLED && node->member)
		lose_table(node);
	if (death == NODE_VANISHED) {
		node->is_on = false;
		net_set_on(w->net, node->index, false);
	}
}

/* --- what members are told -------------------------------------------------------------------------- */

static void
promise(struct node *node, const struct herd_fix *fix)
{
	if (node->promise_count == node->promise_room) {
		node->promise_room = node->promise_room ? 2 * node->promise_room : 16;
		node->promises = realloc(node->promises, node->promise_room * sizeof(*node->promises));
		if (!node->promises)
			abort();
	}
	node->promises[node->promise_count++] = (struct truth_promise){
		.fix = *fix, .round = table_next_round(node->member), .losses = node->world->losses};
}

void
node_put(struct node *node, unsigned int client, int64_t off_ms)
{
	struct world *w = node->world;
	int64_t time_ns = WORLD_EPOCH_NS + w->queue.now_ns + off_ms * CLOCK_MSEC_NS;
	char id[16], time[48], location[HERD_LOCATION_MAX + 1];
	struct table_report report;
	struct table_key key;
	struct herd_fix fix;
	int r;

	if (!node->is_on || !node->member)
		return;
	world_enter(node);
	snprintf(id, sizeof(id), "c%u", client);
	snprintf(time, sizeof(time), "%lld.%09lld", (long long)(time_ns / CLOCK_SECOND_NS),
		 (long long)(time_ns % CLOCK_SECOND_NS));
	snprintf(location, sizeof(location), "+%02u.%06u-%03u.%06u", client % 90,
		 (unsigned int)(w->figures.accepted % 1000000), node->index % 180, client % 1000000);
	report = (struct table_report){text_of(location), text_of(time), {0, 0}, node_posix_ns(node)};
	if (fix_time_parse(report.time, &report.client_time) != 0)
		abort();
	table_key_make(node->member, text_of(id), &key);
	r = table_put(node->member, &key, &report);
	must(r, "put");
	if (r > 0) {
		w->figures.refused++;
		return;
	}
	w->figures.accepted++;
	must(table_find(node->member, &key, 0, &fix), "find");
	truth_accept(w->truth, client, &fix);
	if (w->plan->numbers.ack_after > 0)
		promise(node, &fix);
	if (table_wants_wake(node->member) || node_runs(node))
		node_wants_turn(node);
}
