/*
 * Ties: connections between helpers, and what src/flood/peers*.c decides about
 * them: which of two stays, and who is a guest too many. Its code is about sockets,
 * TLS and the journal; the rules are the same here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulate-world.h"

enum { TAKE_MAX = 64 << 10 };

#define BUSY_NS		(CLOCK_MSEC_NS)
#define REST_BYE_NS	CLOCK_SECOND_NS
#define REST_REFUSED_NS (10 * CLOCK_SECOND_NS)

struct tie *
tie_find(const struct node *node, unsigned int number)
{
	for (struct tie *tie = node->ties; tie; tie = tie->next)
		if (tie->number == number && number != NODE_NOBODY && tie->is_greeted && !tie->is_over)
			return tie;
	return NULL;
}

/* --- who is welcome ------------------------------------------------------------------------ */

static int
refuse(char why[LINK_WHY_MAX], const char *reason)
{
	snprintf(why, LINK_WHY_MAX, "%s", reason);
	return -EPERM;
}

static void
say_bye(struct tie *tie, const char *reason)
{
	if (!tie->link || tie->is_saying_bye)
		return;
	link_say_bye(tie->link, reason);
	tie->is_saying_bye = true;
	node_wants_turn(tie->node);
}

static int
judge_duplicate(struct tie *tie, char why[LINK_WHY_MAX])
{
	struct node *node = tie->node;
	struct tie *other = node->ties;
	bool dialled = tie->side == 0, ours;

	while (other && (other == tie || other->peer != tie->peer || !other->is_greeted || other->is_over ||
			 other->is_saying_bye))
		other = other->next;
	if (!other)
		return 0;
	ours = memcmp(node->self.host_id, node->world->nodes[tie->peer].self.host_id, 16) < 0;
	if (dialled == (other->side == 0) ? dialled : dialled != ours)
		return refuse(why, "duplicate");
	say_bye(other, "duplicate");
	return 0;
}

static int
judge_room(const struct tie *tie, char why[LINK_WHY_MAX])
{
	unsigned int links = 0, guests = 0;
	struct mesh_view view;
	bool is_guest;

	is_guest = tie->number == NODE_NOBODY || !mesh_view(tie->node->mesh, tie->number, &view) ||
		   view.why == MESH_GUEST;
	for (const struct tie *other = tie->node->ties; other; other = other->next) {
		if (other == tie || !other->is_greeted || other->is_over)
			continue;
		links++;
		guests += other->number == NODE_NOBODY || !mesh_view(tie->node->mesh, other->number, &view) ||
			  view.why == MESH_GUEST;
	}
	if (links >= NODE_LINKS_MAX || (is_guest && guests >= NODE_GUESTS_MAX))
		return refuse(why, "enough links");
	return 0;
}

static int
on_greeted(void *arg, const char *host, const uint8_t host_id[NAMES_HOST_ID_BYTES], char why[LINK_WHY_MAX])
{
	struct tie *tie = arg;
	struct node *node = tie->node;
	unsigned int peer = (unsigned int)strtoul(host + 1, NULL, 10);
	int r;

	(void)host_id;
	if (tie->peer != NODE_NOBODY && tie->peer != peer)
		return refuse(why, "somebody else");
	tie->peer = peer;
	if (mesh_find(node->mesh, host, &tie->number) != 0) {
		tie->number = NODE_NOBODY;
		return refuse(why, "not in the list of hosts here");
	}
	r = judge_duplicate(tie, why);
	if (r == 0)
		r = judge_room(tie, why);
	if (r < 0)
		return r;
	link_set_memory(tie->link, &node->memory[peer]);
	tie->is_greeted = true;
	teach_greeted(&node->teach, tie->link);
	return 0;
}

static void
on_resynced(void *arg, bool diverged, uint64_t lines, int64_t took_ns)
{
	struct tie *tie = arg;

	(void)lines;
	(void)took_ns;
	tie->node->world->figures.diverged += diverged;
}

/* --- beginnings ------------------------------------------------------------------------------ */

static struct tie *
tie_new(struct node *node, unsigned int peer, unsigned int side)
{
	struct tie *tie = calloc(1, sizeof(*tie));

	if (!tie)
		abort();
	*tie = (struct tie){
		.node = node, .next = node->ties, .side = side, .peer = peer, .number = NODE_NOBODY};
	node->ties = tie;
	node->world->figures.ties++;
	return tie;
}

static void
begin(struct tie *tie, struct wire *w)
{
	struct node *node = tie->node;
	const struct link_hooks hooks = {.arg = tie, .greeted = on_greeted, .resynced = on_resynced};

	tie->wire = w;
	wire_set_user(w, tie->side, tie);
	if (link_new(&tie->link, &node->self, node->replica, node->names, &hooks, node_posix_ns(node)) < 0)
		abort();
	node_wants_turn(node);
}

void
tie_dial(struct node *node, unsigned int number)
{
	unsigned int peer = node->node_of ? node->node_of[number] : number;
	struct tie *tie;

	for (tie = node->ties; tie; tie = tie->next)
		if (tie->peer == peer && !tie->wire && !tie->is_over && tie->side == 0)
			return; /* one is under way */
	tie = tie_new(node, peer, 0);
	tie->number = number;
	tie->owes = true;
	node->world->figures.dials++;
	net_dial(node->world->net, node->index, peer, node->generation);
}

static struct tie *
find_dial(struct node *node, unsigned int peer, uint64_t generation)
{
	if (!node_runs(node) || node->generation != generation)
		return NULL;
	for (struct tie *tie = node->ties; tie; tie = tie->next)
		if (tie->peer == peer && !tie->wire && !tie->is_over && tie->side == 0)
			return tie;
	return NULL;
}

static void
on_dialled(void *arg, struct wire *wire)
{
	struct world *w = arg;
	struct node *node = &w->nodes[wire_host(wire, 0)];
	struct tie *tie = find_dial(node, wire_host(wire, 1), wire_tag(wire));

	if (!tie)
		return;
	world_enter(node);
	begin(tie, wire);
}

static void
on_failed(void *arg, unsigned int from, unsigned int to, uint64_t tag)
{
	struct world *w = arg;
	struct tie *tie = find_dial(&w->nodes[from], to, tag);

	if (!tie)
		return;
	tie->is_over = true;
	node_wants_turn(tie->node);
}

static void
on_accepted(void *arg, struct wire *wire)
{
	struct world *w = arg;
	struct node *node = &w->nodes[wire_host(wire, 1)];

	if (!node_runs(node))
		return;
	world_enter(node);
	begin(tie_new(node, NODE_NOBODY, 1), wire);
}

/* --- bytes --------------------------------------------------------------------------------------- */

/* Which of them are fixes that this tie has sent before? */
static void
note_sent(struct tie *tie, const char *bytes, size_t len)
{
	static const struct hash_key key = {3, 4};
	struct text rest = {bytes, len};

	while (rest.len > 0) {
		const char *end = memchr(rest.at, '\n', rest.len);
		size_t line = end ? (size_t)(end - rest.at) + 1 : rest.len;

		if (world_is_traced)
			printf("%.6f h%u > h%u %.*s", (double)tie->node->world->queue.now_ns / 1e9,
			       tie->node->index, wire_host(tie->wire, 1 - tie->side), (int)line, rest.at);
		if (!end)
			world_fail(tie->node->world, "half a line was sent: %.*s", (int)line, rest.at);
		if (line > 3 && memcmp(rest.at, "AT ", 3) == 0) {
			tie->node->world->figures.fixes++;
			tie->twice += !set_add(&tie->sent, hash_siphash13(&key, rest.at, line));
		}
		rest.at += line;
		rest.len -= line;
	}
}

static void
flush(struct tie *tie)
{
	struct world *w = tie->node->world;
	size_t room, len = 1;

	while (tie->wire && len > 0 && (room = wire_room(tie->wire, tie->side)) >= LINK_LONG_LINE_MAX) {
		if (room > TAKE_MAX)
			room = TAKE_MAX;
		len = link_fill(tie->link, w->scratch, room, node_posix_ns(tie->node));
		if (len > room)
			world_fail(w, "link_fill() wrote %zu bytes where there was room for %zu", len, room);
		note_sent(tie, w->scratch, len);
		wire_send(tie->wire, tie->side, w->scratch, len);
	}
}

static void
end(struct tie *tie)
{
	flush(tie);
	if (tie->wire)
		wire_close(tie->wire, tie->side);
	tie->wire = NULL;
	tie->is_over = true;
	node_wants_turn(tie->node);
}

static void
on_busy_over(void *what, uint64_t generation)
{
	struct node *node = what;

	if (node->generation != generation || !node_runs(node))
		return;
	tie_read_all(node);
}

static void
take(struct tie *tie)
{
	struct node *node = tie->node;
	struct world *w = node->world;
	size_t len, taken = 1;
	int r = 0;

	while (r == 0 && tie->wire && taken > 0) {
		const char *data = wire_input(tie->wire, tie->side, &len);

		if (len == 0)
			break;
		r = link_take(tie->link, data, len < TAKE_MAX ? len : TAKE_MAX, &taken, node_posix_ns(node));
		if (taken > len)
			world_fail(w, "link_take() took %zu of %zu bytes", taken, len);
		wire_consume(tie->wire, tie->side, taken);
	}
	if (r > 0) {
		tie->busy_ns = w->queue.now_ns + BUSY_NS;
		queue_put(&w->queue, tie->busy_ns, on_busy_over, node, node->generation);
	} else if (r < 0) {
		end(tie);
	}
}

static void
on_readable(void *arg, struct wire *wire, unsigned int side)
{
	struct world *w = arg;
	struct tie *tie = wire_user(wire, side);

	if (!tie || tie->node->stalled_ns > w->queue.now_ns || tie->busy_ns > w->queue.now_ns)
		return;
	world_enter(tie->node);
	take(tie);
	node_wants_turn(tie->node);
}

void
tie_read_all(struct node *node)
{
	size_t len;

	for (struct tie *tie = node->ties; tie; tie = tie->next) {
		if (!tie->wire)
			continue;
		(void)wire_input(tie->wire, tie->side, &len);
		if (len > 0)
			on_readable(node->world, tie->wire, tie->side);
	}
}

static void
on_writable(void *arg, struct wire *wire, unsigned int side)
{
	struct tie *tie = wire_user(wire, side);

	(void)arg;
	if (tie)
		node_wants_turn(tie->node);
}

static void
on_closed(void *arg, struct wire *wire, unsigned int side)
{
	struct tie *tie = wire_user(wire, side);

	(void)arg;
	if (!tie)
		return;
	tie->wire = NULL;
	tie->is_over = true;
	node_wants_turn(tie->node);
}

const struct net_hooks tie_net_hooks = {
	.dialled = on_dialled,
	.failed = on_failed,
	.accepted = on_accepted,
	.readable = on_readable,
	.writable = on_writable,
	.closed = on_closed,
};

/* --- ends ------------------------------------------------------------------------------------------ */

void
tie_hang_up(struct node *node, unsigned int number, const char *reason)
{
	bool is_gone = mesh_host(node->mesh, number) == NULL;

	for (struct tie *tie = node->ties; tie; tie = tie->next) {
		if (tie->number != number || tie->is_over || !(is_gone || tie->side == 0))
			continue;
		if (tie->link)
			say_bye(tie, reason);
		else if (is_gone)
			tie->is_over = true;
	}
}

static void
account(struct tie *tie)
{
	struct world *w = tie->node->world;
	const struct link_figures *f;

	if (!tie->link)
		return;
	f = link_figures(tie->link);
	w->figures.duplicates += f->duplicates;
	w->figures.resyncs += f->resyncs;
	w->figures.resync_lines += f->resync_lines;
	if (tie->twice > f->resync_lines)
		world_fail(w, "host %u sent %llu fixes again to host %u, only %llu of them for comparisons",
			   tie->node->index, (unsigned long long)tie->twice, tie->peer,
			   (unsigned long long)f->resync_lines);
}

static void
tie_free(struct tie *tie)
{
	account(tie);
	link_free(tie->link);
	set_done(&tie->sent);
	free(tie);
}

/* Its end is told to the mesh, unless another one stays. */
static void
lose(struct tie *tie)
{
	struct node *node = tie->node;
	struct tie *other = tie_find(node, tie->number);
	int64_t now_ns = node->world->queue.now_ns;

	if (tie->link)
		teach_lost(&node->teach, tie->link, now_ns);
	if (tie->number == NODE_NOBODY || !(tie->owes || tie->is_counted))
		return;
	if (other) {
		other->owes = other->owes || (tie->owes && !other->is_counted);
		other->is_counted = other->is_counted || tie->is_counted;
	} else if (tie->link && link_heard_bye(tie->link)) {
		mesh_rest(node->mesh, tie->number, tie->is_up ? REST_BYE_NS : REST_REFUSED_NS, now_ns);
	} else {
		mesh_down(node->mesh, tie->number, now_ns);
	}
}

static void
reap(struct node *node)
{
	struct tie **at = &node->ties;

	while (*at) {
		struct tie *tie = *at;

		if (!tie->is_over) {
			at = &tie->next;
			continue;
		}
		lose(tie);
		*at = tie->next;
		tie_free(tie);
	}
}

static void
note_up(struct tie *tie)
{
	struct node *node = tie->node;
	bool is_first = true;

	tie->is_up = true;
	for (const struct tie *other = node->ties; other; other = other->next)
		if (other != tie && other->number == tie->number && other->is_counted && !other->is_over)
			is_first = false;
	tie->is_counted = true;
	tie->owes = false;
	if (is_first)
		mesh_up(node->mesh, tie->number, node->world->queue.now_ns);
	teach_up(&node->teach, tie->link, node->world->queue.now_ns);
}

void
tie_flush_all(struct node *node)
{
	bool waits = false;
	struct tie *next;

	for (struct tie *tie = node->ties; tie; tie = tie->next)
		if (!tie->is_over && tie->link && !tie->is_up && !tie->is_saying_bye &&
		    link_is_welcome(tie->link))
			note_up(tie);
	for (struct tie *tie = node->ties; tie; tie = next) {
		next = tie->next;
		if (tie->is_over || !tie->link)
			continue;
		if (tie->is_saying_bye)
			end(tie);
		else if (link_wants_out(tie->link, node_posix_ns(node)))
			flush(tie);
		waits = waits || (!tie->is_over && link_waits_ns(tie->link, node_posix_ns(node)) > 0);
	}
	if (waits)
		node_wants_turn_later(node);
	reap(node);
}

void
tie_tick_all(struct node *node)
{
	for (struct tie *tie = node->ties; tie; tie = tie->next)
		if (tie->link && !tie->is_over && !tie->is_saying_bye &&
		    link_tick(tie->link, node_posix_ns(node)) < 0)
			end(tie);
	teach_tick(&node->teach, node->world->queue.now_ns);
}

/* The process dies: its kernel tells the others, or nobody does. */
void
tie_drop_all(struct node *node, bool silently)
{
	while (node->ties) {
		struct tie *tie = node->ties;

		node->ties = tie->next;
		if (tie->wire && silently)
			wire_forget(tie->wire, tie->side);
		else if (tie->wire)
			wire_close(tie->wire, tie->side);
		tie_free(tie);
	}
}
