/*
 * What is told to those who ask: one line for the service manager, and
 * everything there is for herdctl. herd/control.h says what the objects hold.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/digits.h"
#include "flood/peers-private.h"

enum {
	GRAPH_BYTES = HERD_CONTROL_REPLY_MAX -
		      (16 << 10), /* of a page; the rest is for what stands around it */
	GRAPH_NEIGHBOURS_MAX = 128,
	ENTRY_BYTES = 48, /* of an entry, without its names */
};

#define MISSING_NS (5 * CLOCK_SECOND_NS) /* so long nobody needs to know */

static void
add(struct json_object *o, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(o, key, value) != 0)
		json_object_put(value);
}

static void
add_number(struct json_object *o, const char *key, uint64_t value)
{
	add(o, key, json_object_new_int64((int64_t)value));
}

static void
add_seconds(struct json_object *o, const char *key, int64_t ns)
{
	add(o, key, json_object_new_double((double)ns / 1e9));
}

static bool
is_open(const struct peer *peer)
{
	return peer->is_up && !peer->is_lost;
}

/* --- one link ---------------------------------------------------------------------- */

static void
add_resync(struct json_object *o, const struct link *l)
{
	const struct link_resync *resync = link_resync(l);
	struct json_object *inner = resync->ended_ns ? json_object_new_object() : NULL;

	if (!inner)
		return;
	add_seconds(inner, "ended", resync->ended_ns);
	add_seconds(inner, "took", resync->took_ns);
	add_number(inner, "lines_in", resync->lines_in);
	add_number(inner, "lines_out", resync->lines_out);
	add_number(inner, "buckets", resync->buckets);
	add(inner, "diverged", json_object_new_boolean(resync->diverged));
	add(o, "resync", inner);
}

static void
add_link(struct json_object *o, const struct peer *peer)
{
	struct replica *replica = peer->peers->replica;
	const struct link *l = connection_link(peer->connection);
	uint64_t passed = replica_passed(replica, link_peer(l));
	int64_t now_ns = clock_now_ns();

	if (link_rtt_ns(l) >= 0)
		add_seconds(o, "rtt", link_rtt_ns(l));
	add_number(o, "lag_changes", replica_lag_changes(replica, link_peer(l)));
	add_seconds(o, "lag_seconds", replica_lag_ns(replica, link_peer(l), now_ns));
	add_number(o, "behind_ack", passed > link_acknowledged(l) ? passed - link_acknowledged(l) : 0);
	add_number(o, "lines_in", link_figures(l)->lines_in);
	add_number(o, "lines_out", link_figures(l)->lines_out);
	add_number(o, "bytes_in", link_figures(l)->bytes_in);
	add_number(o, "bytes_out", link_figures(l)->bytes_out);
	add_number(o, "fixes_in", link_figures(l)->fixes_in);
	add_number(o, "fixes_out", link_figures(l)->fixes_out);
	add_number(o, "duplicates", link_figures(l)->duplicates);
	add_resync(o, l);
}

/* --- one host ------------------------------------------------------------------------- */

static const char *
state_name(const struct mesh_view *view)
{
	return view->is_up ? "up" : view->is_dialling ? "dialling" : view->retry_ns ? "down" : "waiting";
}

static const char *
why_name(enum mesh_why why)
{
	return why == MESH_NEIGHBOUR ? "neighbour" : why == MESH_STAND_IN ? "stand-in" : "guest";
}

static void
add_host(struct json_object *o, const char *name, const char *address, const char *site)
{
	control_add_string(o, "host", name);
	control_add_string(o, "address", address);
	control_add_string(o, "site", site);
}

static void
add_connection(struct json_object *o, const struct peer *peer)
{
	add(o, "dialled", json_object_new_boolean(connection_is_dialled(peer->connection)));
	add(o, "tls", json_object_new_boolean(connection_tls(peer->connection) != NULL));
	add_seconds(o, "since", peer->up_ns);
	add_link(o, peer);
}

/* A host that the mesh knows. NULL: there is nothing to say of it. */
static struct json_object *
describe_number(struct peers *p, uint32_t number)
{
	const struct host *host = mesh_host(p->mesh, number);
	struct peer *peer = peers_find(p, number);
	int64_t now_ns = clock_monotonic_ns();
	struct mesh_view view;
	struct json_object *o;

	if (!mesh_view(p->mesh, number, &view) || (!host && !peer))
		return NULL;
	o = json_object_new_object();
	if (!o)
		return NULL;
	if (peer)
		add_host(o, peer->name, peer->where, host ? host->site : "");
	else
		add_host(o, host->name, host->address, host->site);
	control_add_string(o, "state", state_name(&view));
	control_add_string(o, "why", why_name(view.why));
	if (peer && is_open(peer))
		add_connection(o, peer);
	else
		add_seconds(o, "since", clock_now_ns() - (now_ns - view.since_ns));
	if (!view.is_up && view.retry_ns)
		add_seconds(o, "retry", view.retry_ns > now_ns ? view.retry_ns - now_ns : 0);
	if (number < p->place_count && p->places[number].error)
		control_add_string(o, "error", p->places[number].error);
	return o;
}

/* Somebody who came and is in no list of ours. */
static struct json_object *
describe_stranger(const struct peer *peer)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	add_host(o, peer->name, peer->where, "");
	control_add_string(o, "state", "up");
	control_add_string(o, "why", why_name(MESH_GUEST));
	add_connection(o, peer);
	return o;
}

static void
add_peers(struct peers *p, struct json_object *list)
{
	size_t room = PEERS_LINKS_MAX + PEERS_GUESTS_MAX;

	for (unsigned int i = 0; i < mesh_hosts(p->mesh) && room > 0; i++) {
		struct json_object *o = describe_number(p, i);

		if (o && json_object_array_add(list, o) != 0)
			json_object_put(o);
		room -= o != NULL;
	}
	for (const struct peer *peer = p->first; peer; peer = peer->next) {
		struct json_object *o = peer->host == PEERS_NOBODY && is_open(peer) ? describe_stranger(peer)
										    : NULL;

		if (o && json_object_array_add(list, o) != 0)
			json_object_put(o);
	}
}

int
peers_answer(struct peers *p, struct text argument, struct json_object *reply)
{
	struct json_object *list = json_object_new_array();
	char id[2 * sizeof(p->setup.self.host_id) + 1] = "";

	if (argument.len > 0 || !list) {
		json_object_put(list);
		return CONTROL_E_UNKNOWN;
	}
	if (p->mesh)
		add_peers(p, list);
	for (size_t i = 0; p->setup.is_on && i < sizeof(p->setup.self.host_id); i++)
		snprintf(id + 2 * i, 3, "%02x", p->setup.self.host_id[i]);
	control_add_string(reply, "host", p->setup.self.host);
	control_add_string(reply, "host_id", id);
	control_add_string(reply, "herd", p->setup.self.herd);
	add_number(reply, "name_conflicts", p->names ? names_conflicts(p->names) : 0);
	add(reply, "peers", list);
	control_set_ok(reply);
	return 0;
}

/* --- the graph ---------------------------------------------------------------------------- */

/* One without a name in the settings says it when there is a link. */
static const char *
name_of(struct peers *p, unsigned int number)
{
	const struct host *host = mesh_host(p->mesh, number);
	const struct peer *peer = host && !host->name[0] ? peers_find(p, number) : NULL;

	return peer ? peer->name : !host ? "?" : host->name[0] ? host->name : host->address;
}

/* Adds a name to a list; returns how many bytes that takes, roughly. */
static size_t
add_name(struct json_object *list, const char *name)
{
	struct json_object *o = json_object_new_string(name);

	if (o && json_object_array_add(list, o) != 0)
		json_object_put(o);
	return strlen(name) + 4;
}

static size_t
add_node(struct peers *p, struct json_object *hosts, const struct host *host, const unsigned int *next,
	 unsigned int count)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	size_t bytes = ENTRY_BYTES + strlen(host->name) + strlen(host->site);

	if (!o || !list || json_object_array_add(hosts, o) != 0) {
		json_object_put(o);
		json_object_put(list);
		return bytes;
	}
	control_add_string(o, "name", host->name[0] ? host->name : host->address);
	control_add_string(o, "site", host->site);
	for (unsigned int i = 0; i < count; i++)
		bytes += add_name(list, name_of(p, next[i]));
	add(o, "neighbours", list);
	return bytes;
}

/* Of a graph that was drawn this host knows no more than its own links. */
static void
add_own(struct peers *p, struct json_object *hosts)
{
	unsigned int next[PEERS_LINKS_MAX], count = 0;
	struct host self = {0};

	snprintf(self.name, sizeof(self.name), "%s", p->setup.self.host);
	for (unsigned int i = 0; i < mesh_hosts(p->mesh) && count < PEERS_LINKS_MAX; i++)
		if (mesh_host(p->mesh, i) && host_name_compare(mesh_host(p->mesh, i)->name, self.name) != 0)
			next[count++] = i;
	(void)add_node(p, hosts, &self, next, count);
}

static void
add_graph(struct peers *p, struct json_object *reply, struct json_object *hosts, unsigned int from)
{
	unsigned int next[GRAPH_NEIGHBOURS_MAX], i = from;
	size_t bytes = 0;

	for (; i < mesh_hosts(p->mesh) && bytes < GRAPH_BYTES; i++) {
		const struct host *host = mesh_host(p->mesh, i);

		if (host)
			bytes += add_node(p, hosts, host, next,
					  mesh_graph(p->mesh, i, next, GRAPH_NEIGHBOURS_MAX));
	}
	if (i < mesh_hosts(p->mesh))
		add_number(reply, "next", i);
}

int
peers_answer_graph(struct peers *p, struct text argument, struct json_object *reply)
{
	struct json_object *hosts = json_object_new_array();
	const char *at = argument.at;
	uint64_t from = 0;

	if (!hosts || argument.len > 9 ||
	    digits_take(&at, argument.at + argument.len, 9, &from) != argument.len) {
		json_object_put(hosts);
		return CONTROL_E_UNKNOWN;
	}
	if (p->mesh && p->setup.drawn)
		add_own(p, hosts);
	else if (p->mesh)
		add_graph(p, reply, hosts, (unsigned int)from);
	add(reply, "hosts", hosts);
	add(reply, "drawn", json_object_new_boolean(p->setup.drawn));
	control_set_ok(reply);
	return 0;
}

/* --- in words ------------------------------------------------------------------------------- */

/* Rounded up, so that the text does not change all the time. */
static void
describe_lag(const struct peers *p, struct report *r)
{
	int64_t now_ns = clock_now_ns(), most_ns = 0;
	const struct peer *slowest = NULL;

	for (const struct peer *peer = p->first; peer; peer = peer->next) {
		int64_t lag_ns = is_open(peer) ? replica_lag_ns(p->replica,
								link_peer(connection_link(peer->connection)),
								now_ns)
					       : 0;

		if (lag_ns > most_ns) {
			most_ns = lag_ns;
			slowest = peer;
		}
	}
	if (most_ns > CLOCK_SECOND_NS)
		report_note(r, "'%s' is %" PRId64 " s behind", slowest->name,
			    (most_ns + CLOCK_SECOND_NS - 1) / CLOCK_SECOND_NS);
}

static void
describe_missing(struct peers *p, struct report *r)
{
	unsigned int more = p->missing;

	if (p->missing == 0 || clock_monotonic_ns() - p->missing_ns < MISSING_NS)
		return;
	for (unsigned int i = 0; i < mesh_hosts(p->mesh); i++) {
		const struct host *host = mesh_host(p->mesh, i);
		const char *error = i < p->place_count ? p->places[i].error : NULL;
		struct mesh_view view;

		if (!host || !mesh_view(p->mesh, i, &view) || view.why != MESH_NEIGHBOUR || view.is_up)
			continue;
		if (--more > 0 && r->degraded.count + 2 >= REPORT_ITEMS_MAX) {
			report_degraded(r, "no link with %u more hosts", more + 1);
			return;
		}
		report_degraded(r, "no link with '%s'%s%s", host->name[0] ? host->name : host->address,
				error ? ": " : "", error ? error : "");
	}
}

void
peers_describe(struct peers *p, struct report *r)
{
	unsigned int up = 0, wanted = 0;
	struct mesh_view view;

	if (!p->mesh)
		return;
	for (const struct peer *peer = p->first; peer; peer = peer->next)
		up += is_open(peer);
	for (unsigned int i = 0; i < mesh_hosts(p->mesh); i++)
		wanted += mesh_view(p->mesh, i, &view) && view.why == MESH_NEIGHBOUR;
	if (wanted > 0)
		report_fact(r, "%u link%s up, %u wanted", up, up == 1 ? "" : "s", wanted);
	else
		report_fact(r, "%u link%s up", up, up == 1 ? "" : "s");
	describe_missing(p, r);
	describe_lag(p, r);
	if (drain_is_lost(p->drain))
		report_degraded(r, "the table cannot be read, links stand still");
	if (names_conflicts(p->names) > 0)
		report_degraded(r, "%u member%s on more than one host", names_conflicts(p->names),
				names_conflicts(p->names) == 1 ? " is" : "s are");
}
