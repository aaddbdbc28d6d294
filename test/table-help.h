#ifndef TEST_TABLE_HELP_H
#define TEST_TABLE_HELP_H
/*
 * What every test of the fix table needs: ids, and fixes whose every byte
 * follows from (id, version, writer), so that whoever reads one can tell
 * whether it is whole, of this client, and how new.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/table.h"
#include "random.h"

#define HELP_BASE_NS (INT64_C(1700000000) * CLOCK_SECOND_NS)

enum { HELP_NAME_MAX = 64, HELP_WRITERS = 1000 };

static unsigned int help_names;
static pid_t help_owner;

/* Also when a test gave up: names follow from the process and a count. */
static inline void
help_unlink_all(void)
{
	for (unsigned int i = 0; i < help_names && help_owner == getpid(); i++) {
		char name[HELP_NAME_MAX];

		snprintf(name, sizeof(name), "/herd-test-%d-%u", (int)help_owner, i);
		(void)table_unlink(name);
	}
}

/* A segment name of this process alone, another one with every call; removed at its exit. */
static inline void
help_name(char name[HELP_NAME_MAX])
{
	if (help_owner != getpid()) {
		help_owner = getpid();
		help_names = 0;
		atexit(help_unlink_all);
	}
	snprintf(name, HELP_NAME_MAX, "/herd-test-%d-%u", (int)help_owner, help_names++);
	(void)table_unlink(name); /* of a process that was killed and had the same id */
}

/* Where the segment is as a file. */
static inline const char *
help_path(const char *name)
{
	static char path[HELP_NAME_MAX + 16];

	snprintf(path, sizeof(path), "/dev/shm%s", name);
	return path;
}

static inline int
help_open(struct table **ret, const char *name, uint32_t clients, uint32_t long_clients, int64_t ttl_ns)
{
	const struct table_options options = {name, clients, long_clients, ttl_ns};

	return table_open(ret, &options);
}

/* Opens and registers as the writer with this number. */
static inline int
help_open_writer(struct table **ret, const char *name, uint32_t clients, uint32_t long_clients,
		 unsigned int writer)
{
	struct table *t = NULL;
	char server[16];
	int r = help_open(&t, name, clients, long_clients, 0);

	if (r != 0)
		return r;
	snprintf(server, sizeof(server), "w%u", writer);
	r = table_register(t, TABLE_MEMBER, server, "");
	if (r != 0) {
		table_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

/* The n-th id, len bytes long (at least 12). */
static inline struct text
help_id(char id[HERD_ID_MAX], uint32_t n, size_t len)
{
	uint64_t random = n;
	char *end = text_put_u64(text_put(id, TEXT("c")), n);

	*end++ = '.';
	while (end < id + len)
		*end++ = (char)('a' + random_below(&random, 26));
	return (struct text){id, len};
}

static inline uint64_t
help_mix(struct text id, uint64_t version)
{
	uint64_t state = version;

	for (size_t i = 0; i < id.len; i++)
		state = (state ^ (unsigned char)id.at[i]) * UINT64_C(0x100000001b3);
	return random_u64(&state);
}

static inline char *
help_put_degrees(uint64_t *state, char *out, uint64_t limit)
{
	*out++ = random_below(state, 2) ? '+' : '-';
	out = text_put_u64(out, random_u64(state) % limit);
	*out++ = '.';
	return random_put_digits(state, out, 1 + random_below(state, 12));
}

/* The fix of this client, version and writer (below HELP_WRITERS); a higher version is newer. */
static inline void
help_fix(struct herd_fix *fix, struct text id, uint64_t version, unsigned int writer)
{
	uint64_t state = help_mix(id, version * HELP_WRITERS + writer);
	int64_t ns = HELP_BASE_NS + (int64_t)version * 1000;
	char *end;

	fix->rx_ns = ns + writer;
	fix->id_len = (uint8_t)id.len;
	memcpy(fix->id, id.at, id.len);

	end = help_put_degrees(&state, fix->location, 90);
	end = help_put_degrees(&state, end, 180);
	if (random_below(&state, 2))
		*end++ = '/';
	fix->location_len = (uint8_t)(end - fix->location);

	end = text_put_u64(fix->time, (uint64_t)(ns / CLOCK_SECOND_NS));
	*end++ = '.';
	end = text_put_digits(end, (uint32_t)(ns % CLOCK_SECOND_NS), 9);
	if (random_below(&state, 2))
		end -= 3; /* microseconds say as much */
	fix->time_len = (uint8_t)(end - fix->time);

	end = text_put_u64(text_put(fix->server, TEXT("w")), writer);
	fix->server_len = (uint8_t)(end - fix->server);
}

static inline bool
help_same(const struct herd_fix *a, const struct herd_fix *b)
{
	return a->rx_ns == b->rx_ns && a->id_len == b->id_len && memcmp(a->id, b->id, a->id_len) == 0 &&
	       a->location_len == b->location_len && memcmp(a->location, b->location, a->location_len) == 0 &&
	       a->time_len == b->time_len && memcmp(a->time, b->time, a->time_len) == 0 &&
	       a->server_len == b->server_len && memcmp(a->server, b->server, a->server_len) == 0;
}

/* Whether this is, to the byte, what help_fix() made for some version and writer. */
static inline bool
help_check(const struct herd_fix *fix, uint64_t *ret_version, unsigned int *ret_writer)
{
	struct herd_fix want;
	int64_t since = fix->rx_ns - HELP_BASE_NS;

	if (since < 0 || fix->id_len == 0)
		return false;
	*ret_version = (uint64_t)since / 1000;
	*ret_writer = (unsigned int)(since % 1000);
	help_fix(&want, (struct text){fix->id, fix->id_len}, *ret_version, *ret_writer);
	return help_same(fix, &want);
}

/* Puts the fix through the path of a member that heard it; the handle is the fix's writer. */
static inline int
help_put(struct table *t, const struct herd_fix *fix)
{
	struct table_report report = {
		.location = {fix->location, fix->location_len},
		.time = {fix->time, fix->time_len},
		.rx_ns = fix->rx_ns,
	};
	struct table_key key;

	if (fix_time_parse(report.time, &report.client_time) != 0)
		return -EINVAL;
	table_key_make(t, (struct text){fix->id, fix->id_len}, &key);
	return table_put(t, &key, &report);
}

static inline int
help_put_version(struct table *t, struct text id, uint64_t version, unsigned int writer)
{
	struct herd_fix fix;

	help_fix(&fix, id, version, writer);
	return help_put(t, &fix);
}

static inline int
help_find(struct table *t, struct text id, int64_t now_ns, struct herd_fix *ret_fix)
{
	struct table_key key;

	table_key_make(t, id, &key);
	return table_find(t, &key, now_ns, ret_fix);
}

/* The version held of a client: 0, TABLE_E_... as table_find(), -EBADMSG for a fix nobody made. */
static inline int
help_version(struct table *t, struct text id, uint64_t *ret_version)
{
	struct herd_fix fix;
	unsigned int writer;
	int r = help_find(t, id, 0, &fix);

	if (r != 0)
		return r;
	return text_equal((struct text){fix.id, fix.id_len}, id) && help_check(&fix, ret_version, &writer)
		       ? 0
		       : -EBADMSG;
}

/* Sum of one counter over all entries ever used. */
static inline uint64_t
help_counter(struct table *t, enum table_counter which)
{
	struct table_process process;
	uint64_t sum = 0;
	int r;

	for (uint32_t i = 0; (r = table_process(t, i, &process)) != TABLE_E_END && r >= 0; i++)
		if (r == 0)
			sum += process.counter[which];
	return sum;
}

/* Sweeps once all round. */
static inline int
help_sweep(struct table *t, int64_t now_ns)
{
	uint64_t cursor = 0;
	int r;

	do
		r = table_sweep(t, &cursor, 1000, now_ns);
	while (r == 0);
	return r == TABLE_E_END ? 0 : r;
}

#endif
