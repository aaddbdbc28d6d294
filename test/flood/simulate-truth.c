/* What was accepted, and whether everybody has it. */
#include "simulate-truth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fix.h"
#include "simulate-world.h"

struct truth {
	unsigned int clients;
	struct herd_fix *newest; /* by client; id_len 0: none */
	struct set accepted;	 /* hashes of all fixes there ever were */
};

struct truth *
truth_new(unsigned int clients)
{
	struct truth *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->clients = clients;
	t->newest = calloc(clients, sizeof(*t->newest));
	if (!t->newest)
		abort();
	return t;
}

void
truth_free(struct truth *t)
{
	set_done(&t->accepted);
	free(t->newest);
	free(t);
}

static struct text
field(const char *at, uint8_t len)
{
	return (struct text){at, len};
}

static struct fix_rank
rank_of(const struct herd_fix *fix)
{
	struct fix_rank rank = {
		.rx_ns = fix->rx_ns,
		.server = field(fix->server, fix->server_len),
		.location = field(fix->location, fix->location_len),
		.time = field(fix->time, fix->time_len),
	};
	struct fix_time time = {0};

	if (fix_time_parse(rank.time, &time) != 0)
		abort();
	rank.order_ns = fix_order_ns(&time, fix->rx_ns);
	return rank;
}

int
truth_compare(const struct herd_fix *a, const struct herd_fix *b)
{
	const struct fix_rank rank_a = rank_of(a), rank_b = rank_of(b);

	return fix_rank_compare(&rank_a, &rank_b);
}

static uint64_t
hash_fix(const struct herd_fix *fix)
{
	static const struct hash_key key = {1, 2};
	char bytes[sizeof(*fix)], *end = bytes;

	memcpy(end, &fix->rx_ns, sizeof(fix->rx_ns));
	end += sizeof(fix->rx_ns);
	end = text_put(end, field(fix->id, fix->id_len));
	*end++ = ' ';
	end = text_put(end, field(fix->location, fix->location_len));
	*end++ = ' ';
	end = text_put(end, field(fix->time, fix->time_len));
	*end++ = ' ';
	end = text_put(end, field(fix->server, fix->server_len));
	return hash_siphash13(&key, bytes, (size_t)(end - bytes));
}

void
truth_accept(struct truth *t, unsigned int client, const struct herd_fix *fix)
{
	set_add(&t->accepted, hash_fix(fix));
	if (t->newest[client].id_len == 0 || truth_compare(fix, &t->newest[client]) > 0)
		t->newest[client] = *fix;
}

/* --- what nodes hold ------------------------------------------------------------------- */

/* Whatever its age. */
static bool
find(struct node *node, struct text id, struct herd_fix *ret)
{
	struct table_key key;

	if (!node->member)
		return false;
	table_key_make(node->member, id, &key);
	return table_find(node->member, &key, 0, ret) == 0;
}

void
truth_lose(struct world *w, const struct node *but)
{
	struct truth *t = w->truth;

	for (unsigned int client = 0; client < t->clients; client++) {
		struct herd_fix newest = {0}, fix;

		if (t->newest[client].id_len == 0)
			continue;
		for (unsigned int i = 0; i < w->count; i++)
			if (&w->nodes[i] != but &&
			    find(&w->nodes[i], field(t->newest[client].id, t->newest[client].id_len), &fix) &&
			    (newest.id_len == 0 || truth_compare(&fix, &newest) > 0))
				newest = fix;
		t->newest[client] = newest;
	}
}

unsigned int
truth_holders(struct world *w, const struct herd_fix *fix)
{
	unsigned int holders = 0;
	struct herd_fix held;

	for (unsigned int i = 0; i < w->count; i++)
		holders += find(&w->nodes[i], field(fix->id, fix->id_len), &held) &&
			   truth_compare(&held, fix) >= 0;
	return holders;
}

bool
truth_is_early(struct node *node, char why[200])
{
	const struct truth *t = node->world->truth;
	int64_t ahead_ns;
	char own[16];

	snprintf(own, sizeof(own), "m%u", node->index);
	for (unsigned int client = 0; client < t->clients; client++) {
		struct herd_fix fix;

		if (t->newest[client].id_len == 0 ||
		    !find(node, field(t->newest[client].id, t->newest[client].id_len), &fix) ||
		    text_equal(field(fix.server, fix.server_len), text_of(own)))
			continue;
		ahead_ns = rank_of(&fix).order_ns - node_posix_ns(node);
		if (ahead_ns > REPLICA_PARK_NS) {
			snprintf(why, 200, "host %u merged a fix of c%u that is %.3f s ahead", node->index,
				 client, (double)ahead_ns / 1e9);
			return true;
		}
	}
	return false;
}

/* Some nodes may see it as too old already, and others not. */
static bool
is_about_to_expire(const struct world *w, const struct herd_fix *fix)
{
	int64_t ttl_ns = w->plan->numbers.ttl * CLOCK_SECOND_NS;

	return ttl_ns > 0 && WORLD_EPOCH_NS + w->queue.now_ns - fix->rx_ns > ttl_ns - 40 * CLOCK_SECOND_NS;
}

bool
truth_may_be_lost(const struct world *w, const struct truth_promise *promise)
{
	return promise->losses != w->losses || is_about_to_expire(w, &promise->fix);
}

static void
explain(char why[200], unsigned int client, unsigned int node, const char *what)
{
	snprintf(why, 200, "client c%u at host %u: %s", client, node, what);
}

/* The same at all of them, known to have been accepted, no older than what is. */
static bool
client_agrees(struct world *w, unsigned int client, char why[200])
{
	const struct herd_fix *newest = &w->truth->newest[client];
	struct herd_fix first = {0}, fix;
	bool has_first = false, has;
	char id[16];

	snprintf(id, sizeof(id), "c%u", client);
	for (unsigned int i = 0; i < w->count; i++) {
		struct node *node = &w->nodes[i];

		if (!node_runs(node))
			continue;
		has = find(node, text_of(id), &fix);
		if ((has && is_about_to_expire(w, &fix)) ||
		    (newest->id_len > 0 && is_about_to_expire(w, newest)))
			return true;
		if (!has && newest->id_len > 0) {
			explain(why, client, i, "nothing");
			return false;
		}
		if (has && newest->id_len > 0 && truth_compare(&fix, newest) < 0) {
			explain(why, client, i, "an older fix than was accepted");
			return false;
		}
		if (has && !set_has(&w->truth->accepted, hash_fix(&fix))) {
			explain(why, client, i, "a fix that nobody told");
			world_fail(w, "%s", why);
			return false;
		}
		if (i > 0 && has_first != has) {
			explain(why, client, i, has ? "a fix that others have not" : "not the fix of others");
			return false;
		}
		if (has && has_first && truth_compare(&fix, &first) != 0) {
			explain(why, client, i, "another fix than others");
			return false;
		}
		has_first = has;
		first = fix;
	}
	return true;
}

bool
truth_agrees(struct world *w, char why[200])
{
	for (unsigned int client = 0; client < w->truth->clients; client++)
		if (!client_agrees(w, client, why))
			return false;
	return true;
}
