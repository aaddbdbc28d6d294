/*
 * Table, fixes from elsewhere: another server's name becomes a number, and
 * whatever the fix says is measured before it is packed into a slot.
 *
 * A peer may send a hundred thousand fixes in a second, so a name is looked up
 * in the segment, under its lock, only once; after that in a cache of this
 * process. The segment's hash key keeps anybody from choosing names that
 * collide there.
 */
#include "core/table-private.h"

#include <errno.h>
#include <string.h>

#include "core/location.h"

_Static_assert((TABLE_MERGED_ROOM & (TABLE_MERGED_ROOM - 1)) == 0, "an index is a mask away");

struct merge_call {
	struct put put;
	struct text server;
};

/* Where the name is in the cache, or would be. */
static uint16_t *
cache_entry(const struct table *t, struct text server)
{
	size_t at = hash_siphash13(&t->segment.constants.key, server.at, server.len) &
		    (TABLE_MERGED_ROOM - 1);

	while (t->merged[at]) {
		const struct table_name *name = &t->names[t->merged[at] - 1];

		if (text_equal((struct text){name->text, name->len}, server))
			break;
		at = (at + 1) & (TABLE_MERGED_ROOM - 1);
	}
	return &t->merged[at];
}

/* Takes in what the segment has named since the last time. */
static void
cache_learn(struct table *t)
{
	uint32_t count = registry_names(&t->segment);
	struct text server;

	for (; t->merged_seen < count; t->merged_seen++) {
		uint16_t *entry;

		if (!table_server_name(t, (uint16_t)t->merged_seen, &server))
			continue;
		entry = cache_entry(t, server);
		if (!*entry)
			*entry = (uint16_t)(t->merged_seen + 1);
	}
}

/* Whether the cache knows the name, and the segment still agrees: where another process wrote wild, others
   would read another name. */
static bool
cache_find(const struct table *t, struct text server, uint16_t *ret)
{
	uint16_t entry = *cache_entry(t, server);

	if (!entry || !registry_name_is(&t->segment, (uint16_t)(entry - 1), server))
		return false;
	*ret = (uint16_t)(entry - 1);
	return true;
}

/* Number of a checked name. Names are never given up, so neither does the cache forget any. */
static int
server_number(struct table *t, struct text server, uint16_t *ret)
{
	if (cache_find(t, server, ret))
		return 0;
	cache_learn(t);
	if (cache_find(t, server, ret))
		return 0;
	/* Full: said without the long look, so that names nobody knows cost a peer's victim nothing. */
	if (t->merged_seen >= SEGMENT_NAMES)
		return -ENOSPC;
	return registry_name_number(&t->segment, t->self.owner, server, ret);
}

static bool
fix_is_sound(const struct herd_fix *fix)
{
	struct location location;

	return fix->time_len <= HERD_TIME_MAX && fix->location_len <= HERD_LOCATION_MAX && fix->rx_ns >= 0 &&
	       fix_id_valid((struct text){fix->id, fix->id_len}) &&
	       fix_server_valid((struct text){fix->server, fix->server_len}) &&
	       location_parse((struct text){fix->location, fix->location_len}, &location) == 0;
}

static int
merge_body(void *arg)
{
	struct merge_call *call = arg;
	struct put *put = &call->put;
	uint16_t number;
	int r;

	r = server_number(put->t, call->server, &number);
	if (r != 0)
		return r;
	value_pack(&put->value, put->key->hash, (unsigned int)put->key->id.len, number, put->rank.rx_ns,
		   put->rank.time, put->rank.location);
	return put_run(put);
}

/* Everything but what the two ways of merging have of their own. */
static int
merge(struct merge_call *call, const struct herd_fix *fix)
{
	struct put *put = &call->put;
	struct text location = {fix->location, fix->location_len};
	struct text time = {fix->time, fix->time_len};
	struct table_key key;
	struct fix_time client;
	int r;

	if (!put->t->is_registered)
		return -EROFS;
	if (!fix_is_sound(fix) || fix_time_parse(time, &client) != 0)
		return -EINVAL;
	if (table_expired(put->t, fix->rx_ns, put->now_ns))
		return TABLE_E_EXPIRED;
	table_key_make(put->t, (struct text){fix->id, fix->id_len}, &key);
	put->key = &key;
	call->server = (struct text){fix->server, fix->server_len};
	put->rank = (struct fix_rank){fix_order_ns(&client, fix->rx_ns), fix->rx_ns, call->server, location,
				      time};
	r = table_guarded(put->t, merge_body, call);
	put->key = NULL;
	return r;
}

int
table_merge(struct table *t, const struct herd_fix *fix)
{
	struct merge_call call = {.put = {.t = t, .now_ns = clock_now_ns()}};
	int r = merge(&call, fix);

	return r == TABLE_E_EXPIRED ? TABLE_E_OLDER : r;
}

int
table_merge_from_peer(struct table *t, const struct herd_fix *fix, int64_t now_ns, uint64_t *ret_slot,
		      bool *ret_is_same)
{
	struct merge_call call = {.put = {.t = t, .now_ns = now_ns, .is_from_peer = true}};
	int r = merge(&call, fix);

	if (r == 0 || r == TABLE_E_OLDER) {
		*ret_slot = call.put.slot;
		*ret_is_same = r == TABLE_E_OLDER && call.put.is_same;
	}
	return r;
}
