/*
 * Fills a fix table the way a member would, for tests and by hand: registers
 * under a name, puts fixes with ids that it numbers (or the ids given), says
 * "ready", and with --hold stays registered until its standard input ends, so
 * that it never outlives who started it. Each further line read then puts all
 * of them again, with new times, and is answered with "ready".
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/location.h"
#include "core/table.h"

CLEANUP_POINTER(struct table, table_free);

struct fill {
	struct table_options table;
	enum table_role role;
	const char *name, *listen, *prefix, *location;
	uint64_t count;
	int64_t age_ns;
	bool hold;
	char **ids;
	int id_count;
};

static const char usage[] = "Usage: table-fill --shm NAME [OPTION]... [ID]...\n"
			    "  --clients N        room in the table, if it is made (65536)\n"
			    "  --long-clients N   the same for ids over 40 bytes (2048)\n"
			    "  --count N          put N fixes, ids PREFIX0 PREFIX1 ... (0)\n"
			    "  --prefix PREFIX    (client-)\n"
			    "  --location TEXT    of every fix (default: another one for each)\n"
			    "  --age SECONDS      received so long ago (0)\n"
			    "  --name NAME        registered name (Fill)\n"
			    "  --role ROLE        member, helper, tool (tool)\n"
			    "  --listen TEXT      where it says it listens\n"
			    "  --hold             stay registered until standard input ends\n";

static enum table_role
parse_role(const char *name)
{
	return strcmp(name, "member") == 0   ? TABLE_MEMBER
	       : strcmp(name, "helper") == 0 ? TABLE_HELPER
					     : TABLE_TOOL;
}

static bool
parse(struct fill *f, int argc, char **argv)
{
	static const struct option options[] = {
		{"shm", 1, NULL, 's'},	  {"clients", 1, NULL, 'c'}, {"long-clients", 1, NULL, 'C'},
		{"count", 1, NULL, 'n'},  {"prefix", 1, NULL, 'p'},  {"location", 1, NULL, 'l'},
		{"age", 1, NULL, 'a'},	  {"name", 1, NULL, 'N'},    {"role", 1, NULL, 'r'},
		{"listen", 1, NULL, 'L'}, {"hold", 0, NULL, 'h'},    {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			f->table.name = optarg;
			break;
		case 'c':
			f->table.clients = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'C':
			f->table.long_clients = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			f->count = strtoull(optarg, NULL, 10);
			break;
		case 'p':
			f->prefix = optarg;
			break;
		case 'l':
			f->location = optarg;
			break;
		case 'a':
			f->age_ns = strtoll(optarg, NULL, 10) * CLOCK_SECOND_NS;
			break;
		case 'N':
			f->name = optarg;
			break;
		case 'r':
			f->role = parse_role(optarg);
			break;
		case 'L':
			f->listen = optarg;
			break;
		case 'h':
			f->hold = true;
			break;
		default:
			return false;
		}
	}
	f->ids = argv + optind;
	f->id_count = argc - optind;
	return f->table.name != NULL;
}

static int
put(const struct fill *f, struct table *t, struct text id, uint64_t number)
{
	int64_t rx_ns = clock_now_ns() - f->age_ns;
	char location[64], time[32];
	struct table_report report = {.rx_ns = rx_ns};
	struct table_key key;
	int r;

	snprintf(location, sizeof(location), "+%02d.%06d-%03d.%06d", (int)(number % 90),
		 (int)(number % 999983), (int)(number % 180), (int)(number % 999979));
	snprintf(time, sizeof(time), "%jd.%09jd", (intmax_t)(rx_ns / CLOCK_SECOND_NS),
		 (intmax_t)(rx_ns % CLOCK_SECOND_NS));
	report.location = text_of(f->location ? f->location : location);
	report.time = text_of(time);
	r = fix_time_parse(report.time, &report.client_time);
	if (r == 0) {
		table_key_make(t, id, &key);
		r = table_put(t, &key, &report);
	}
	return r;
}

static int
put_all(const struct fill *f, struct table *t)
{
	int r;

	for (uint64_t i = 0; i < f->count; i++) {
		char id[HERD_ID_MAX + 1];

		snprintf(id, sizeof(id), "%s%ju", f->prefix, (uintmax_t)i);
		r = put(f, t, text_of(id), i);
		if (r != 0)
			return r;
	}
	for (int i = 0; i < f->id_count; i++) {
		r = put(f, t, text_of(f->ids[i]), (uint64_t)i);
		if (r != 0)
			return r;
	}
	table_count(t, TABLE_COUNTER_iamat, (int64_t)f->count + f->id_count);
	table_count(t, TABLE_COUNTER_stored, (int64_t)f->count + f->id_count);
	return 0;
}

static int
fill(const struct fill *f)
{
	CLEANUP(table_freep) struct table *t = NULL;
	int r;

	r = table_open(&t, &f->table);
	if (r == 0)
		r = table_register(t, f->role, f->name, f->listen);
	if (r == 0)
		r = put_all(f, t);
	while (r == 0) {
		int c;

		puts("ready");
		fflush(stdout);
		if (!f->hold)
			break;
		while ((c = getchar()) != '\n' && c != EOF)
			;
		if (c == EOF)
			break;
		r = put_all(f, t);
	}
	return r;
}

int
main(int argc, char **argv)
{
	struct fill f = {
		.table = {.clients = 65536, .long_clients = 2048},
		.role = TABLE_TOOL,
		.name = "Fill",
		.listen = "",
		.prefix = "client-",
	};
	int r;

	if (!parse(&f, argc, argv)) {
		fputs(usage, stderr);
		return 64;
	}
	r = fill(&f);
	if (r != 0)
		fprintf(stderr, "table-fill: %s\n", r < 0 ? strerror(-r) : "the table refused");
	return r == 0 ? 0 : 1;
}
