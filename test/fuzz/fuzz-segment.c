/*
 * Fuzzes everything that reads a segment: a small valid one is damaged as the
 * input says, then opened, read, swept, written and followed. Nothing may
 * crash or hang, and what is read must keep within its bounds.
 *
 * input: one byte of flags, then records of 12 bytes: place, how, eight bytes
 *   flags  bit 0  damage it after it was opened, not before
 *          bit 1  put the header's checksum right again
 *          bit 2  cut it short after it was opened, where the first record says
 *   how    bits 0-3  where the place counts from: the part of the segment
 *          bits 4-5  copy the bytes, flip by them, add them, or fill 64 bytes with the first
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "../table-help.h"
#include "core/table-private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS = 40, LONG_CLIENTS = 20, RECORD = 12, RECORDS_MAX = 64, SERVERS = 6 };

static uint8_t *pristine;
static size_t pristine_size;
static struct segment_constants layout;
static char name[HELP_NAME_MAX];

static struct text
client_id(char bytes[HERD_ID_MAX], uint32_t n)
{
	return help_id(bytes, n, n % 3 ? 12 + n % 29 : 41 + n % 200);
}

static void
make_pristine(void)
{
	struct table *t = NULL;
	char bytes[HERD_ID_MAX];
	struct herd_fix fix;
	int fd;

	help_name(name);
	assert(help_open_writer(&t, name, CLIENTS, LONG_CLIENTS, 0) == 0);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		help_fix(&fix, client_id(bytes, i), i, i % SERVERS);
		assert(table_merge(t, &fix) == 0);
	}
	layout = t->segment.constants;
	table_free(t);

	pristine_size = layout.bytes;
	pristine = malloc(pristine_size);
	fd = open(help_path(name), O_RDONLY | O_CLOEXEC);
	assert(pristine && fd >= 0 && read(fd, pristine, pristine_size) == (ssize_t)pristine_size);
	close(fd);
}

/* The checksum that segment.c keeps over the constants. */
static void
seal(uint8_t *base)
{
	static const struct hash_key fixed = {UINT64_C(0x6865726420736567), UINT64_C(0x6d656e742073756d)};
	uint64_t sum = hash_siphash13(&fixed, base, offsetof(struct segment_constants, sum));

	memcpy(base + offsetof(struct segment_constants, sum), &sum, sizeof(sum));
}

static size_t
part_offset(unsigned int part)
{
	switch (part) {
	case 0:
		return 0;
	case 1:
		return offsetof(struct segment_header, names_lock);
	case 2:
		return layout.processes_offset;
	case 3:
		return layout.names_offset;
	case 4:
	case 5:
	case 6:
		return layout.class[SEGMENT_SHORT].control_offset;
	case 7:
	case 8:
		return layout.class[SEGMENT_LONG].control_offset;
	case 9:
	case 10:
	case 11:
		return layout.class[SEGMENT_SHORT].slots_offset;
	case 12:
	case 13:
		return layout.class[SEGMENT_LONG].slots_offset;
	default:
		return pristine_size / 2;
	}
}

static void
damage(uint8_t *base, const uint8_t *record)
{
	unsigned int place = (unsigned int)record[0] | (unsigned int)record[1] << 8 |
			     (unsigned int)record[2] << 16;
	/* Parts are a few KiB: a place mostly stays within its own. */
	size_t at = (part_offset(record[3] & 15) + place % 8192) % (pristine_size - 64);
	uint64_t old, new;

	memcpy(&old, base + at, 8);
	memcpy(&new, record + 4, 8);
	switch (record[3] >> 4 & 3) {
	case 0:
		break;
	case 1:
		new ^= old;
		break;
	case 2:
		new += old;
		break;
	default:
		memset(base + at, record[4], 64);
		return;
	}
	memcpy(base + at, &new, 8);
}

static void
damage_all(uint8_t *base, const uint8_t *data, size_t size, uint8_t flags)
{
	for (size_t i = 0; i < RECORDS_MAX && (i + 1) * RECORD <= size; i++)
		damage(base, data + i * RECORD);
	if (flags & 2)
		seal(base);
}

static uint8_t *
write_segment(void)
{
	void *base;
	int fd;

	(void)table_unlink(name);
	fd = open(help_path(name), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	assert(fd >= 0 && ftruncate(fd, (off_t)pristine_size) == 0);
	base = mmap(NULL, pristine_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert(base != MAP_FAILED);
	close(fd);
	memcpy(base, pristine, pristine_size);
	return base;
}

static void
check_fix(const struct herd_fix *fix)
{
	char copy[2 * sizeof(*fix)];
	char *end = copy;

	assert(fix->id_len >= 1 && fix->time_len <= HERD_TIME_MAX && fix->location_len <= HERD_LOCATION_MAX);
	assert(fix->server_len >= 1 && fix->server_len <= HERD_SERVER_MAX);
	/* Every byte that counts was written: the sanitizer knows. */
	end = text_put(end, (struct text){fix->id, fix->id_len});
	end = text_put(end, (struct text){fix->time, fix->time_len});
	end = text_put(end, (struct text){fix->location, fix->location_len});
	end = text_put(end, (struct text){fix->server, fix->server_len});
	assert(end > copy);
}

static void
use_reading(struct table *t)
{
	struct table_process process;
	struct table_info info;
	struct herd_fix fix;
	uint64_t cursor = 0, version, rounds = 0;
	char bytes[HERD_ID_MAX];

	for (uint32_t i = 0; i < CLIENTS; i += 3) {
		struct table_key key;

		table_key_make(t, client_id(bytes, i), &key);
		if (i % 2)
			table_prefetch(t, &key, 1);
		if (table_find(t, &key, HELP_BASE_NS, &fix) == 0) {
			check_fix(&fix);
			assert(text_equal((struct text){fix.id, fix.id_len}, key.id));
		}
	}
	while (table_next(t, &cursor, HELP_BASE_NS, &fix, &version) == 0) {
		check_fix(&fix);
		assert(++rounds < 100000);
	}
	if (table_info(t, &info) == 0)
		assert(info.used <= info.slots && info.long_used <= info.long_slots);
	for (uint32_t i = 0, r = 0; r <= TABLE_E_UNKNOWN; i++) {
		int answer = table_process(t, i, &process);

		if (answer < 0 || answer == TABLE_E_END)
			break;
		if (answer == 0)
			assert(strlen(process.name) <= HERD_SERVER_MAX &&
			       strlen(process.listen) < sizeof(process.listen));
		assert(i < 100000);
	}
}

static void
use_writing(struct table *t)
{
	char bytes[HERD_ID_MAX];
	struct herd_fix fix;

	for (uint32_t i = 1; i < 2 * CLIENTS; i += 4) {
		int r = help_put_version(t, client_id(bytes, i), 1000 + i, 1);

		/* Not always found: the name of its server may be what was damaged. */
		if (r == 0 && help_find(t, client_id(bytes, i), HELP_BASE_NS, &fix) == 0)
			check_fix(&fix);
		help_fix(&fix, client_id(bytes, i + 1), 1000 + i, 7);
		(void)table_merge(t, &fix);
		if (r == -EFAULT)
			break;
	}
	(void)help_sweep(t, HELP_BASE_NS);
	table_set_ttl(t, 1);
	(void)help_sweep(t, HELP_BASE_NS + 10 * CLOCK_SECOND_NS);
	table_count(t, TABLE_COUNTER_iamat, 1);
	(void)table_refresh(t);
	use_reading(t);
}

static void
use(const uint8_t *data, size_t size, uint8_t flags)
{
	uint8_t *base = write_segment();
	struct table *reader = NULL, *writer = NULL;

	if (!(flags & 1))
		damage_all(base, data, size, flags);
	if (table_open_readonly(&reader, name, 0) != 0)
		reader = NULL;
	if (help_open_writer(&writer, name, CLIENTS, LONG_CLIENTS, 1) != 0)
		writer = NULL;
	if (flags & 1)
		damage_all(base, data, size, flags);
	munmap(base, pristine_size);
	if (flags & 4 && size >= 4)
		assert(truncate(help_path(name), (off_t)(part_offset(data[3] & 15) & ~(size_t)4095)) == 0);
	if (reader)
		use_reading(reader);
	if (writer)
		use_writing(writer);
	if (reader) {
		(void)table_refresh(reader);
		use_reading(reader);
	}
	table_free(writer);
	table_free(reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!pristine)
		make_pristine();
	if (size > 0)
		use(data + 1, size - 1, data[0]);
	return 0;
}
