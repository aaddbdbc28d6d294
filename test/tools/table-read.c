/*
 * Reads whole fix tables, to see whether they hold the same: for each name one
 * line "NAME FIXES DIGEST", where the digest is a sum over the AT lines of all
 * fixes, whatever slots they are in; with --count, just "NAME SLOTS", how many
 * are in use, which costs next to nothing; or, with --lines, the AT lines
 * themselves, sorted. A table that is not there has the line "NAME - -".
 *
 * It only reads, so that it may look at a herd at work; what it then prints is
 * no instant's state, which does not matter once nothing changes any more.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "core/message.h"
#include "core/table.h"

CLEANUP_POINTER(struct table, table_free);

struct lines {
	char **at; /* owned, each of them too */
	size_t count, room;
};

static void
lines_done(struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		free(lines->at[i]);
	free(lines->at);
}

static int
lines_add(struct lines *lines, const char *line, size_t len)
{
	if (lines->count == lines->room) {
		size_t room = lines->room ? 2 * lines->room : 1024;
		char **grown = reallocarray(lines->at, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		lines->at = grown;
		lines->room = room;
	}
	lines->at[lines->count] = strndup(line, len);
	return lines->at[lines->count++] ? 0 : -ENOMEM;
}

static int
lines_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Everything the table holds: into *lines, if they are wanted, and into a sum. */
static int
read_table(struct table *t, struct lines *lines, uint64_t *ret_count, uint64_t *ret_sum)
{
	static const struct hash_key key = {0x68657264, 0x74657374};
	int64_t now_ns = clock_now_ns();
	uint64_t cursor = 0, count = 0, sum = 0;
	struct herd_fix fix;
	int r;

	while ((r = table_next(t, &cursor, now_ns, &fix, NULL)) == 0) {
		char line[HERD_AT_MAX];
		size_t len = (size_t)(message_put_fix(line, &fix) - line);

		count++;
		sum += hash_siphash13(&key, line, len);
		if (lines && lines_add(lines, line, len) < 0)
			return -ENOMEM;
	}
	if (r != TABLE_E_END)
		return r;
	*ret_count = count;
	*ret_sum = sum;
	return 0;
}

static int
show_count(struct table *t, const char *name)
{
	struct table_info info;
	int r = table_info(t, &info);

	if (r == 0)
		printf("%s %" PRIu64 "\n", name, info.used + info.long_used);
	return r;
}

static int
show(const char *name, int64_t ttl_ns, char how)
{
	CLEANUP(table_freep) struct table *t = NULL;
	CLEANUP(lines_done) struct lines lines = {0};
	uint64_t count, sum;
	int r;

	r = table_open_readonly(&t, name, ttl_ns);
	if (r == -ENOENT) {
		printf("%s - -\n", name);
		return 0;
	}
	if (r == 0 && how == 'c')
		return show_count(t, name);
	if (r == 0)
		r = read_table(t, how == 'l' ? &lines : NULL, &count, &sum);
	if (r != 0)
		return r;
	if (how != 'l')
		printf("%s %" PRIu64 " %016" PRIx64 "\n", name, count, sum);
	if (lines.count > 0)
		qsort(lines.at, lines.count, sizeof(*lines.at), lines_compare);
	for (size_t i = 0; i < lines.count; i++)
		fputs(lines.at[i], stdout);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"lines", 0, NULL, 'l'},
		{"count", 0, NULL, 'c'},
		{"ttl", 1, NULL, 't'},
		{0},
	};
	char how = 'd';
	int64_t ttl_ns = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'l' || c == 'c') {
			how = (char)c;
		} else if (c == 't') {
			ttl_ns = strtoll(optarg, NULL, 10) * CLOCK_SECOND_NS;
		} else {
			fputs("Usage: table-read [--lines | --count] [--ttl SECONDS] NAME...\n", stderr);
			return 64;
		}
	}
	for (int i = optind; i < argc; i++) {
		int r = show(argv[i], ttl_ns, how);

		if (r != 0) {
			fprintf(stderr, "table-read: %s: %s\n", argv[i],
				r < 0 ? strerror(-r) : "changes too fast");
			return 1;
		}
	}
	return 0;
}
