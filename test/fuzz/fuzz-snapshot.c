/*
 * Fuzzes what reads snapshots: two files of a folder made of the input, as
 * they are or with a first line, a last line and a checksum around them that
 * are right (made here by the rules of the manual), are loaded into a table.
 * Nothing is read past anything, a file is loaded if and only if all its lines
 * are AT lines, and what is in the table afterwards can be written and read.
 *
 * Byte 0: bit 0: the first file as it is, bit 1: the second, bit 2: there is
 * no second, bit 3: the second has the higher number. A byte 0xff ends the first.
 */
#include <assert.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>

#include "../snapshot-help.h"
#include "core/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 1 << 18 };

#define SHM "/herd-fuzz"

static char folder[64];
static int folder_fd = -1;

CLEANUP_POINTER(struct table, table_free);

static void
remove_folder(void)
{
	help_remove_folder(folder);
}

static void
empty_folder(void)
{
	if (folder_fd < 0) {
		help_folder_in(folder, "/dev/shm"); /* no disk to wait for */
		folder_fd = snapshot_open_folder(folder);
		assert(folder_fd >= 0);
		atexit(remove_folder);
	}
	for (int i = 0; i < 5; i++) {
		static const char *const suffix[] = {"", ".1", ".bad", ".bad.1", ".bad.2"};
		char name[SNAPSHOT_NAME_MAX];

		(void)unlinkat(folder_fd, snapshot_name(name, SHM, suffix[i]), 0);
	}
}

/* Adds a line to the file and to the sum. */
static char *
add_line(char *out, struct text line, uint64_t *hash, uint64_t *number)
{
	const struct hash_key key = {*hash, *number};

	out = text_put(out, line);
	*hash = hash_siphash13(&key, line.at, line.len);
	++*number;
	return out;
}

/* Puts what is right around lines that may be anything. *ret_is_good: all of them are AT lines. */
static size_t
dress(char *file, struct text bytes, unsigned int number, bool *ret_is_good)
{
	char line[256], *out = file;
	uint64_t hash = 0, n = 0;
	struct message_at at;
	int len = snprintf(line, sizeof(line),
			   "HERD-SNAPSHOT 1 %u 1621464827.000000000 %s 00000000000000ff\n", number, SHM);

	out = add_line(out, (struct text){line, (size_t)len}, &hash, &n);
	*ret_is_good = true;
	while (bytes.len > 0) {
		const char *lf = memchr(bytes.at, '\n', bytes.len);
		size_t taken = lf ? (size_t)(lf + 1 - bytes.at) : bytes.len;

		if (!lf)
			break; /* the rest of a line would swallow the last one */
		*ret_is_good &= message_parse_at((struct text){bytes.at, taken - 1}, &at);
		out = add_line(out, (struct text){bytes.at, taken}, &hash, &n);
		bytes = (struct text){bytes.at + taken, bytes.len - taken};
	}
	len = snprintf(line, sizeof(line), "END %" PRIu64 " ", n - 1);
	out = add_line(out, (struct text){line, (size_t)len}, &hash, &n);
	len = snprintf(line, sizeof(line), "%016" PRIx64 "\n", hash);
	return (size_t)(text_put(out, (struct text){line, (size_t)len}) - file);
}

/* True: it has to be loaded. */
static bool
put_file(const char *suffix, struct text bytes, bool is_raw, unsigned int number)
{
	static char file[FILE_MAX + 1024];
	char name[SNAPSHOT_NAME_MAX];
	bool is_good = false;

	if (!is_raw)
		bytes = (struct text){file, dress(file, bytes, number, &is_good)};
	help_put_file(folder, snapshot_name(name, SHM, suffix), bytes);
	return is_good;
}

static struct table *
open_table(void)
{
	const struct table_options options = {NULL, 64, 64, 0};
	struct table *t = NULL;

	assert(table_open_private(&t, &options) == 0);
	assert(table_register(t, TABLE_TOOL, "fuzz", "") == 0);
	return t;
}

/* What is there can be written, and is read back. */
static void
check_written(struct table *t)
{
	CLEANUP(snapshot_writer_freep) struct snapshot_writer *w = NULL;
	CLEANUP(snapshot_reader_freep) struct snapshot_reader *r = NULL;
	const struct snapshot_header header = {.number = 7, .shm = SHM};
	char name[SNAPSHOT_NAME_MAX], why[SNAPSHOT_WHY_MAX];
	uint64_t cursor = 0, other = 0;
	struct herd_fix fix, want;
	bool is_left_out;

	assert(snapshot_writer_new(&w, folder_fd, &header) == 0);
	while (table_next(t, &cursor, 0, &fix, NULL) == 0) {
		assert(snapshot_writer_put(w, &fix, &is_left_out) == 0);
		assert(!is_left_out);
	}
	assert(snapshot_writer_commit(w) == 0);
	assert(snapshot_reader_new(&r, folder_fd, snapshot_name(name, SHM, ""), SHM, why) == 0);
	assert(snapshot_reader_header(r)->number == 7);
	while (table_next(t, &other, 0, &want, NULL) == 0)
		assert(snapshot_reader_next(r, &fix) == 0 && help_same(&fix, &want));
	assert(snapshot_reader_next(r, &fix) == SNAPSHOT_E_END);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(table_freep) struct table *t = NULL;
	struct text first, second = {NULL, 0};
	struct snapshot_loaded loaded;
	const uint8_t *mark;
	bool has_good;

	if (size < 1 || size > FILE_MAX)
		return 0;
	first = (struct text){(const char *)data + 1, size - 1};
	mark = memchr(data + 1, 0xff, size - 1);
	if (mark) {
		second = (struct text){(const char *)mark + 1, (size_t)(data + size - mark) - 1};
		first.len = (size_t)(mark - data) - 1;
	}
	empty_folder();
	has_good = put_file("", first, data[0] & 1, 5);
	if (!(data[0] & 4))
		has_good |= put_file(".1", second, data[0] & 2, data[0] & 8 ? 6 : 4);

	t = open_table();
	assert(help_load(t, SHM, folder, 0, &loaded) == 0);
	assert(help_refusals <= 2 && loaded.error == 0 && loaded.failed == 0);
	assert(!has_good || loaded.name[0]);
	assert(loaded.fixes == loaded.merged + loaded.held && loaded.expired == 0);
	check_written(t);
	return 0;
}
