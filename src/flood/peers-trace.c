/*
 * How one fix came, and how far it has gone. Nothing is kept for it: the
 * change list knows which peers told this host of the newest fix of each
 * client, and how far each of them has got; the names know where members are.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "flood/peers-private.h"
#include "net/trace.h"

static void
add_entry(struct json_object *reply, const char *key, struct json_object *entry)
{
	struct json_object *list = NULL;

	if (!json_object_object_get_ex(reply, key, &list)) {
		list = json_object_new_array();
		if (!list || json_object_object_add(reply, key, list) != 0) {
			json_object_put(list);
			json_object_put(entry);
			return;
		}
	}
	if (entry && json_object_array_add(list, entry) != 0)
		json_object_put(entry);
}

/* --- where its member is ------------------------------------------------------------------ */

static const char *
name_of(const struct peers *p, const uint8_t host_id[NAMES_HOST_ID_BYTES])
{
	if (memcmp(host_id, p->setup.self.host_id, NAMES_HOST_ID_BYTES) == 0)
		return p->setup.self.host;
	for (const struct peer *peer = p->first; peer; peer = peer->next)
		if (peer->is_up && !peer->is_lost &&
		    memcmp(link_host_id(connection_link(peer->connection)), host_id, NAMES_HOST_ID_BYTES) ==
			    0)
			return peer->name;
	return "";
}

static void
add_hosts(struct peers *p, const struct herd_fix *fix, struct json_object *reply)
{
	uint8_t hosts[NAMES_HOSTS_MAX + 1][NAMES_HOST_ID_BYTES];
	unsigned int count = names_hosts(p->names, (struct text){fix->server, fix->server_len},
					 clock_now_ns(), hosts);

	for (unsigned int i = 0; i < count; i++) {
		struct json_object *o = json_object_new_object();
		char id[2 * NAMES_HOST_ID_BYTES + 1];

		if (!o)
			return;
		for (size_t k = 0; k < NAMES_HOST_ID_BYTES; k++)
			snprintf(id + 2 * k, 3, "%02x", hosts[i][k]);
		control_add_string(o, "host", name_of(p, hosts[i]));
		control_add_string(o, "host_id", id);
		control_add_bool(o, "own", memcmp(hosts[i], p->setup.self.host_id, sizeof(hosts[i])) == 0);
		add_entry(reply, "hosts", o);
	}
}

/* --- which way it came, and goes ----------------------------------------------------------- */

static const char *
state_of(const struct peers *p, const struct link *l, const struct replica_trace *trace)
{
	if (trace->told & UINT64_C(1) << link_peer(l))
		return "has";
	if (replica_passed(p->replica, link_peer(l)) < trace->sequence)
		return "waits";
	return link_acknowledged(l) >= trace->sequence ? "has" : "sent";
}

static void
add_peers(const struct peers *p, const struct replica_trace *trace, bool is_own, struct json_object *reply)
{
	for (const struct peer *peer = p->first; peer; peer = peer->next) {
		const struct link *l;
		struct json_object *o;

		if (!peer->is_up || peer->is_lost)
			continue;
		l = connection_link(peer->connection);
		if (!is_own && (trace->told & UINT64_C(1) << link_peer(l)))
			control_add_to_list(reply, "from", peer->name);
		o = json_object_new_object();
		if (!o)
			return;
		control_add_string(o, "host", peer->name);
		control_add_string(o, "state", state_of(p, l, trace));
		add_entry(reply, "peers", o);
	}
}

static void
add_unasked(const struct peers *p, struct json_object *reply)
{
	for (unsigned int i = 0; i < mesh_hosts(p->mesh); i++) {
		const struct host *host = mesh_host(p->mesh, i);
		struct mesh_view view;

		if (host && host_name_compare(host->name, p->setup.self.host) != 0 &&
		    !(mesh_view(p->mesh, i, &view) && view.is_up))
			control_add_to_list(reply, "unasked", host->name[0] ? host->name : host->address);
	}
}

static void
add_seconds(struct json_object *reply, const char *key, int64_t ns)
{
	struct json_object *value = json_object_new_double((double)ns / 1e9);

	if (value && json_object_object_add(reply, key, value) != 0)
		json_object_put(value);
}

static bool
is_of_this_host(const struct peers *p, const struct herd_fix *fix)
{
	struct table_process process;
	int r;

	for (uint32_t i = 0; (r = table_process(p->table, i, &process)) != TABLE_E_END && r >= 0; i++)
		if (r == 0 && process.role == TABLE_MEMBER && process.alive &&
		    text_equal(text_of(process.name), (struct text){fix->server, fix->server_len}))
			return true;
	return false;
}

static void
add_way(struct peers *p, const struct herd_fix *fix, struct json_object *reply)
{
	struct replica_trace trace;
	struct table_key key;
	uint64_t slot;

	table_key_make(p->table, (struct text){fix->id, fix->id_len}, &key);
	if (table_find_slot(p->table, &key, &slot) != 0 ||
	    replica_trace(p->replica, slot, clock_now_ns(), &trace) != 0)
		return;
	add_seconds(reply, "since", trace.since_ns);
	control_add_bool(reply, "at_start", trace.is_old);
	add_peers(p, &trace, is_of_this_host(p, fix), reply);
}

int
peers_answer_trace(struct peers *p, struct text argument, struct json_object *reply)
{
	struct herd_fix fix;
	int r;

	if (!p->table) { /* the snapshot is being loaded */
		control_add_to_list(reply, "messages", "the table is not there yet");
		return 0;
	}
	r = trace_answer(p->table, argument, reply, &fix);
	if (r == CONTROL_E_UNKNOWN || !p->replica)
		return r == CONTROL_E_UNKNOWN ? r : 0;
	control_add_string(reply, "host", p->setup.self.host);
	if (r == 0) {
		add_hosts(p, &fix, reply);
		add_way(p, &fix, reply);
	}
	add_unasked(p, reply);
	return 0;
}
