/*
 * A million clients in a table made for a million: none evicted, every one
 * readable, and the memory of the segment per client within its bound.
 *
 * table-million [CLIENTS]       default 1,000,000
 */
#include "checks.h"

#include "../table-help.h"

enum { BYTES_PER_CLIENT = 224, ID_MIN = 24, ID_MAX = 40 };

static struct text
client_id(char bytes[HERD_ID_MAX], uint32_t n)
{
	return help_id(bytes, n, ID_MIN + n % (ID_MAX - ID_MIN + 1));
}

static void
check_memory(struct table *t, uint32_t clients)
{
	struct table_info info;

	NEED(table_info(t, &info) == 0);
	CHECK(info.bytes <= (uint64_t)clients * BYTES_PER_CLIENT, "too much");
	CHECK(info.clients == clients && info.slots >= clients, "%u clients, %llu slots", info.clients,
	      (unsigned long long)info.slots);
	checks_end("%.1f bytes of shared memory per client, %.1f MiB for %u, at most %d wanted",
		   (double)info.bytes / clients, (double)info.bytes / 1048576, clients, BYTES_PER_CLIENT);
}

static void
store_all(struct table *t, uint32_t clients, uint64_t version)
{
	int64_t since_ns = clock_monotonic_ns();
	char bytes[HERD_ID_MAX];
	struct table_info info;

	for (uint32_t i = 0; i < clients; i++) {
		int r = help_put_version(t, client_id(bytes, i), version + i % 1000, 0);

		CHECK(r == 0, "client %u: %d", i, r);
	}
	since_ns = clock_monotonic_ns() - since_ns;
	NEED(table_info(t, &info) == 0);
	CHECK(info.used == clients, "%llu in use", (unsigned long long)info.used);
	CHECK(info.evicted == 0, "%llu evicted", (unsigned long long)info.evicted);
	checks_end("%u clients stored, %llu evicted (%.2f s)", clients, (unsigned long long)info.evicted,
		   (double)since_ns / CLOCK_SECOND_NS);
}

static void
read_all(struct table *t, uint32_t clients, uint64_t version)
{
	char bytes[HERD_ID_MAX];

	for (uint32_t i = 0; i < clients; i++) {
		uint64_t have = 0;
		int r = help_version(t, client_id(bytes, i), &have);

		CHECK(r == 0 && have == version + i % 1000, "client %u: %d", i, r);
	}
	/* Clients that never reported share tags and buckets with those that did. */
	for (uint32_t i = clients; i < clients + clients / 10; i++) {
		struct herd_fix fix;

		CHECK(help_find(t, client_id(bytes, i), 0, &fix) == TABLE_E_UNKNOWN, "client %u is known", i);
	}
	checks_end("each of %u read back", clients);
}

/* Each client once, and nobody else. */
static void
iterate(struct table *t, uint32_t clients)
{
	uint8_t *seen = calloc(clients, 1);
	struct herd_fix fix;
	uint64_t cursor = 0, version, count = 0;
	unsigned int writer;

	NEED(seen);
	while (table_next(t, &cursor, 0, &fix, NULL) == 0) {
		unsigned long n = strtoul(fix.id + 1, NULL, 10);

		CHECK(n < clients && help_check(&fix, &version, &writer), "torn: %.*s", fix.id_len, fix.id);
		CHECK(n >= clients || seen[n]++ == 0, "client %lu twice", n);
		count++;
	}
	CHECK(count == clients, "%llu iterated", (unsigned long long)count);
	checks_end("each of %u iterated once", clients);
	free(seen);
}

int
main(int argc, char **argv)
{
	unsigned long clients = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	struct table *t = NULL;
	struct table *reader = NULL;
	char name[HELP_NAME_MAX];

	NEED(clients >= 1000 && clients <= 100000000);
	help_name(name);
	NEED(help_open_writer(&t, name, (uint32_t)clients, (uint32_t)(clients / 32), 0) == 0);
	NEED(table_open_readonly(&reader, name, 0) == 0);
	check_memory(t, (uint32_t)clients);
	store_all(t, (uint32_t)clients, 1);
	read_all(reader, (uint32_t)clients, 1);
	store_all(t, (uint32_t)clients, 100000);
	read_all(reader, (uint32_t)clients, 100000);
	iterate(reader, (uint32_t)clients);
	CHECK(help_sweep(t, 0) == 0 && help_counter(t, TABLE_COUNTER_damaged) == 0, "damaged");
	checks_end("a sweep finds nothing");
	table_free(reader);
	table_free(t);
	return checks_done();
}
