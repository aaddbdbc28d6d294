#ifndef TEST_REPLICA_HELP_H
#define TEST_REPLICA_HELP_H
/* What tests of replicas need: a host with a table of its own, a member that writes it, and the replica. */
#include "flood/replica.h"
#include "table-help.h"

#define HELP_NOW_NS (HELP_BASE_NS + 1000 * CLOCK_SECOND_NS)

static const struct hash_key help_herd_key = {1, 2};

enum { HELP_MEMBER = 1 }; /* writer number of the host's own member */

struct help_host {
	struct table *helper, *member;
	struct replica *replica;
};

static inline int
help_replica(struct help_host *h, int64_t ttl_ns, int64_t now_ns)
{
	h->replica = replica_free(h->replica);
	return replica_new(&h->replica, h->helper, &help_herd_key, ttl_ns, now_ns);
}

/* 0 or negative errno; help_host_done() in any case. */
static inline int
help_host_init(struct help_host *h, uint32_t clients, int64_t ttl_ns)
{
	const struct table_options options = {
		.name = "/herd-test", .clients = clients, .long_clients = 64, .ttl_ns = ttl_ns};
	int r;

	*h = (struct help_host){0};
	r = table_open_private(&h->helper, &options);
	if (r == 0)
		r = table_open_shared(&h->member, h->helper);
	if (r == 0)
		r = table_register(h->helper, TABLE_HELPER, "flood", "");
	if (r == 0)
		r = table_register(h->member, TABLE_MEMBER, "w1", "");
	return r == 0 ? help_replica(h, ttl_ns, HELP_NOW_NS) : r;
}

static inline void
help_host_done(struct help_host *h)
{
	replica_free(h->replica);
	table_free(h->member);
	table_free(h->helper);
}

static inline int
help_drain(struct help_host *h, int64_t now_ns)
{
	int r;

	do
		r = replica_drain(h->replica, 100, now_ns);
	while (r == 0);
	return r == REPLICA_E_END ? 0 : r;
}

static inline int
help_compare(struct help_host *h, int64_t now_ns)
{
	int r;

	do
		r = replica_sweep(h->replica, 1000, now_ns);
	while (r == 0);
	return r == REPLICA_E_END ? 0 : r;
}

/* The sum over what is in the table, computed anew; expired ones included. */
static inline uint64_t
help_root(struct help_host *h)
{
	const struct digest *d = replica_digest(h->replica);
	struct digest_part part;
	struct herd_fix fix;
	uint64_t cursor = 0, root = 0;

	while (table_next(h->helper, &cursor, 0, &fix, NULL) == 0) {
		digest_part_of(d, &fix, &part);
		root += part.hash;
	}
	return root;
}

/* The n-th client's fix of this version, as writer says. */
static inline void
help_client(struct herd_fix *fix, uint32_t n, uint64_t version, unsigned int writer)
{
	char id[HERD_ID_MAX];

	help_fix(fix, help_id(id, n, n % 16 ? 20 : 60), version, writer);
}

static inline int
help_host_put(struct help_host *h, uint32_t n, uint64_t version)
{
	struct herd_fix fix;

	help_client(&fix, n, version, HELP_MEMBER);
	return help_put(h->member, &fix);
}

#endif
