/*
 * Tests of the snapshot without the helper: its text, its files, loading it
 * into a table, and writing it, here and in a thread. Whatever is not exactly
 * what was written must be refused, and nothing that was good may be lost.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../snapshot-help.h"

#define SHM "/herd"

/* The guard's own, which cmocka replaces before every test: a test that cuts segments puts it back. */
static struct sigaction table_on_sigbus;

static void
restore_sigbus(void)
{
	assert_int_equal(sigaction(SIGBUS, &table_on_sigbus, NULL), 0);
}

struct fixture {
	char folder[64];
	int fd;
	struct table *t; /* registered as w0 */
	char shm[HELP_NAME_MAX];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	help_folder(f->folder);
	f->fd = snapshot_open_folder(f->folder);
	assert_true(f->fd >= 0);
	help_name(f->shm);
	assert_int_equal(help_open_writer(&f->t, f->shm, 2000, 200, 0), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	table_free(f->t);
	table_unlink(f->shm);
	help_remove_folder(f->folder);
	free(f);
	return 0;
}

static struct text
client_id(char bytes[HERD_ID_MAX], uint32_t n)
{
	return help_id(bytes, n, n % 8 ? 12 + n % 29 : 41 + n % 200);
}

static void
fill(struct fixture *f, uint32_t count, uint64_t version)
{
	char bytes[HERD_ID_MAX];

	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(help_put_version(f->t, client_id(bytes, i), version + i, 0), 0);
}

/* Whether the table holds these, and nothing else. */
static void
assert_filled(struct table *t, uint32_t count, uint64_t version)
{
	struct table_info info;
	char bytes[HERD_ID_MAX];
	uint64_t have;

	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(help_version(t, client_id(bytes, i), &have), 0);
		assert_int_equal(have, version + i);
	}
	assert_int_equal(table_info(t, &info), 0);
	assert_int_equal(info.used + info.long_used, count);
}

static void
assert_written(struct fixture *f, uint64_t fixes)
{
	struct snapshot_outcome out;

	assert_int_equal(help_write(f->t, f->shm, f->folder, &out), 0);
	assert_int_equal(out.fixes, fixes);
	assert_int_equal(out.left_out, 0);
}

/* --- text --------------------------------------------------------------------------- */

static struct text
line_of(const char *start, const char *end)
{
	return (struct text){start, (size_t)(end - start)};
}

static void
test_text(void **state)
{
	const struct snapshot_header header = {
		.number = 7, .time_ns = 1621464827 * CLOCK_SECOND_NS + 5, .state = 0xabc, .shm = SHM};
	struct snapshot_parser p = {.shm = SHM};
	struct snapshot_sum sum = {0};
	char line[3][SNAPSHOT_LINE_MAX], *end[3], bytes[HERD_ID_MAX];
	struct message_at at;
	struct herd_fix fix;
	uint64_t fixes, check;

	(void)state;
	help_fix(&fix, client_id(bytes, 1), 1, 0);
	end[0] = snapshot_put_header(line[0], &header, &sum);
	end[1] = snapshot_put_fix(line[1], &fix, &sum);
	end[2] = snapshot_put_trailer(line[2], &sum);
	assert_text_equal(line_of(line[0], end[0]),
			  TEXT("HERD-SNAPSHOT 1 7 1621464827.000000005 /herd 0000000000000abc\n"));
	assert_memory_equal(line[1], "AT w0 ", 6);
	assert_text_equal(line_of(line[2], line[2] + 6), TEXT("END 1 "));

	assert_int_equal(snapshot_parse_line(&p, line_of(line[0], end[0]), &at), SNAPSHOT_E_HEADER);
	assert_int_equal(p.header.number, 7);
	assert_int_equal(p.header.time_ns, header.time_ns);
	assert_int_equal(p.header.state, 0xabc);
	assert_string_equal(p.header.shm, SHM);
	assert_int_equal(snapshot_parse_line(&p, line_of(line[1], end[1]), &at), 0);
	assert_int_equal(at.rx_ns, fix.rx_ns);
	assert_int_equal(snapshot_parse_line(&p, line_of(line[2], end[2]), &at), SNAPSHOT_E_END);
	assert_true(snapshot_parse_trailer(line_of(line[2], end[2]), &fixes, &check));
	assert_int_equal(fixes, 1);
	assert_true(check == sum.hash);
}

/* The sum is what the header says it is, for whoever writes another program for it. */
static void
test_sum(void **state)
{
	static const char *const lines[] = {"HERD-SNAPSHOT 1 1 0.000000000 /herd 0000000000000000\n",
					    "AT A +0.000000000 kiwi +34.0-118.4/ 1621464827.95\n", "END 1 "};
	const struct snapshot_header header = {.number = 1, .shm = SHM};
	struct herd_fix fix = {.rx_ns = 1621464827950000000,
			       .id_len = 4,
			       .location_len = 12,
			       .time_len = 13,
			       .server_len = 1,
			       .id = "kiwi",
			       .location = "+34.0-118.4/",
			       .time = "1621464827.95",
			       .server = "A"};
	struct snapshot_sum sum = {0};
	char line[SNAPSHOT_LINE_MAX], want[64];
	uint64_t h = 0;

	(void)state;
	for (uint64_t n = 0; n < ELEMENTS(lines); n++) {
		const struct hash_key key = {h, n};

		h = hash_siphash13(&key, lines[n], strlen(lines[n]));
	}
	snapshot_put_header(line, &header, &sum);
	assert_text_equal(line_of(line, snapshot_put_fix(line, &fix, &sum)), text_of(lines[1]));
	snprintf(want, sizeof(want), "END 1 %016" PRIx64 "\n", h);
	assert_text_equal(line_of(line, snapshot_put_trailer(line, &sum)), text_of(want));
}

static void
test_header_refused(void **state)
{
	static const struct {
		const char *line, *why;
	} headers[] = {
		{"\n", "it is no snapshot"},
		{"hello\n", "it is no snapshot"},
		{"HERD-SNAPSHOT\n", "it is no snapshot"},
		{"HERD-SNAPSHOT \n", "it is no snapshot"},
		{"HERD-SNAPSHOTS 1 7 1.000000000 /herd 0000000000000abc\n", "it is no snapshot"},
		{"HERD-SNAPSHOT x 7 1.000000000 /herd 0000000000000abc\n", "it is no snapshot"},
		{"HERD-SNAPSHOT 1 7 1.000000000 /herd 0000000000000abc", "it is no snapshot"},
		{"HERD-SNAPSHOT 2 anything at all\n",
		 "it has format 2, made by another version (this one reads 1)"},
		{"HERD-SNAPSHOT 0\n", "it has format 0, made by another version (this one reads 1)"},
		{"HERD-SNAPSHOT 1 7 1.000000000 /other 0000000000000abc\n", "it is of the table '/other'"},
		{"HERD-SNAPSHOT 1\n", "its first line is damaged"},
		{"HERD-SNAPSHOT 1 7\n", "its first line is damaged"},
		{"HERD-SNAPSHOT 1 7 1.000000000 /herd\n", "its first line is damaged"},
		{"HERD-SNAPSHOT 1 7 1.0 /herd 0000000000000abc\n", "its first line is damaged"},
		{"HERD-SNAPSHOT 1 7 9999999999.000000000 /herd 0000000000000abc\n",
		 "its first line is damaged"},
		{"HERD-SNAPSHOT 1 07 1.000000000 /herd 0000000000000abc\n", "its first line is damaged"},
		{"HERD-SNAPSHOT 1 -7 1.000000000 /herd 0000000000000abc\n", "its first line is damaged"},
		{"HERD-SNAPSHOT 1 1000000000000000 1.000000000 /herd 0000000000000abc\n",
		 "its first line is damaged"},
		{"HERD-SNAPSHOT 1 7 1.000000000 /herd 0000000000000ABC\n", "its first line is damaged"},
		{"HERD-SNAPSHOT 1 7 1.000000000 /herd 000000000000abc\n", "its first line is damaged"},
		{"HERD-SNAPSHOT 1 7 1.000000000 /herd 0000000000000abc x\n", "its first line is damaged"},
		{"HERD-SNAPSHOT 1 7  1.000000000 /herd 0000000000000abc\n", "its first line is damaged"},
	};
	struct message_at at;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(headers); i++) {
		struct snapshot_parser p = {.shm = SHM};

		assert_int_equal(snapshot_parse_line(&p, text_of(headers[i].line), &at), SNAPSHOT_E_BAD);
		assert_string_equal(p.why, headers[i].why);
	}
}

/* A fix that only a damaged table can hold does not spoil the rest. */
static void
test_left_out(void **state)
{
	struct herd_fix fix = {.rx_ns = 1,
			       .id_len = 1,
			       .location_len = 4,
			       .time_len = 3,
			       .server_len = 1,
			       .id = "k",
			       .location = "+0+0",
			       .time = "1..",
			       .server = "A"};
	struct snapshot_sum sum = {5, 1};
	char line[SNAPSHOT_LINE_MAX];

	(void)state;
	assert_ptr_equal(snapshot_put_fix(line, &fix, &sum), line);
	assert_int_equal(sum.hash, 5);
	assert_int_equal(sum.lines, 1);
	fix.time_len = 1;
	assert_true(snapshot_put_fix(line, &fix, &sum) > line);
	assert_int_equal(sum.lines, 2);
}

/* --- files ---------------------------------------------------------------------------- */

static void
test_write_and_read(void **state)
{
	struct fixture *f = *state;
	CLEANUP(snapshot_reader_freep) struct snapshot_reader *r = NULL;
	char why[SNAPSHOT_WHY_MAX], name[SNAPSHOT_NAME_MAX];
	struct herd_fix fix, want;
	uint64_t cursor = 0;
	struct stat st;

	fill(f, 500, 10);
	assert_written(f, 500);
	assert_int_equal(snapshot_reader_new(&r, f->fd, snapshot_name(name, f->shm, ""), f->shm, why), 0);
	assert_int_equal(snapshot_reader_fixes(r), 500);
	assert_int_equal(snapshot_reader_header(r)->number, 1);
	for (int round = 0; round < 2; round++) {
		for (cursor = 0; table_next(f->t, &cursor, 0, &want, NULL) == 0;) {
			memset(&fix, 0xa5, sizeof(fix));
			assert_int_equal(snapshot_reader_next(r, &fix), 0);
			assert_true(help_same(&fix, &want));
		}
		assert_int_equal(snapshot_reader_next(r, &fix), SNAPSHOT_E_END);
		snapshot_reader_rewind(r);
	}
	assert_int_equal(fstatat(f->fd, name, &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_size, snapshot_reader_bytes(r));
	assert_int_equal(help_count_files(f->folder), 1);
}

static void
test_empty_table(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;

	assert_written(f, 0);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_string_not_equal(loaded.name, "");
	assert_int_equal(loaded.fixes, 0);
	assert_int_equal(help_refusals, 0);
}

/* The last one becomes the one before, and there are never more. */
static void
test_previous(void **state)
{
	struct fixture *f = *state;
	char name[SNAPSHOT_NAME_MAX], why[SNAPSHOT_WHY_MAX];

	for (uint64_t i = 1; i < 5; i++) {
		CLEANUP(snapshot_reader_freep) struct snapshot_reader *r = NULL;
		CLEANUP(snapshot_reader_freep) struct snapshot_reader *previous = NULL;

		fill(f, 10, i * 100);
		assert_written(f, 10);
		assert_int_equal(snapshot_reader_new(&r, f->fd, snapshot_name(name, f->shm, ""), f->shm, why),
				 0);
		assert_int_equal(snapshot_reader_header(r)->number, i);
		assert_int_equal(help_count_files(f->folder), i == 1 ? 1 : 2);
		snapshot_name(name, f->shm, ".1");
		if (i > 1) {
			assert_int_equal(snapshot_reader_new(&previous, f->fd, name, f->shm, why), 0);
			assert_int_equal(snapshot_reader_header(previous)->number, i - 1);
		}
	}
}

/* Two herds in one folder have nothing to do with each other. */
static void
test_two_herds(void **state)
{
	struct fixture *f = *state;
	struct fixture other = *f;
	struct snapshot_loaded loaded;

	help_name(other.shm);
	assert_int_equal(help_open_writer(&other.t, other.shm, 100, 100, 0), 0);
	for (uint64_t i = 1; i < 4; i++) {
		fill(f, 100, i * 1000);
		fill(&other, 50, i * 2000);
		assert_written(f, 100);
		assert_written(&other, 50);
	}
	assert_int_equal(help_count_files(f->folder), 4);
	snapshot_clean(f->fd, f->shm);
	assert_int_equal(help_count_files(f->folder), 4);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(loaded.held, 100);
	assert_int_equal(help_load(other.t, other.shm, f->folder, 0, &loaded), 0);
	assert_int_equal(loaded.held, 50);
	assert_int_equal(help_refusals, 0);
	table_free(other.t);
	table_unlink(other.shm);
}

static void
test_clean(void **state)
{
	struct fixture *f = *state;
	char name[SNAPSHOT_NAME_MAX];

	assert_written(f, 0);
	help_put_file(f->folder, snapshot_name(name, f->shm, ".tmp.1"), TEXT("half"));
	help_put_file(f->folder, snapshot_name(name, f->shm, ".tmp.4194304"), TEXT(""));
	help_put_file(f->folder, snapshot_name(name, f->shm, ".bad"), TEXT("bad"));
	help_put_file(f->folder, snapshot_name(name, "/other", ".tmp.1"), TEXT("of another"));
	assert_int_equal(snapshot_clean(f->fd, f->shm), 2);
	assert_int_equal(snapshot_clean(f->fd, f->shm), 0);
	assert_int_equal(help_count_files(f->folder), 3);
}

/* What a dead process with our own pid left is in nobody's way. */
static void
test_left_by_namesake(void **state)
{
	struct fixture *f = *state;
	char name[SNAPSHOT_NAME_MAX], suffix[32];

	snprintf(suffix, sizeof(suffix), ".tmp.%d", (int)getpid());
	help_put_file(f->folder, snapshot_name(name, f->shm, suffix), TEXT("half"));
	assert_written(f, 0);
	assert_int_equal(help_count_files(f->folder), 1);
}

static void
test_keep_aside(void **state)
{
	struct fixture *f = *state;
	char name[SNAPSHOT_NAME_MAX], kept[SNAPSHOT_NAME_MAX], want[16], bad[SNAPSHOT_NAME_MAX];

	snapshot_name(name, f->shm, "");
	for (int i = 0; i < 6; i++) {
		snprintf(want, sizeof(want), "%d", i);
		help_put_file(f->folder, name, text_of(want));
		assert_int_equal(snapshot_keep_aside(f->fd, f->shm, name, kept), 0);
		assert_string_equal(kept, snapshot_name(bad, f->shm, ".bad"));
		assert_int_equal(help_count_files(f->folder), i < 3 ? i + 1 : 3);
	}
	assert_true(help_file_is(f->folder, snapshot_name(bad, f->shm, ".bad"), TEXT("5")));
	assert_true(help_file_is(f->folder, snapshot_name(bad, f->shm, ".bad.1"), TEXT("4")));
	assert_true(help_file_is(f->folder, snapshot_name(bad, f->shm, ".bad.2"), TEXT("3")));
	assert_int_equal(snapshot_keep_aside(f->fd, f->shm, "missing", kept), -ENOENT);
}

/* --- what is refused -------------------------------------------------------------------- */

/* Tries to load a file of these bytes, there being nothing else: it must be refused with this reason,
   kept, and leave the table as it was. */
static void
assert_refused(struct fixture *f, struct text bytes, const char *why)
{
	struct snapshot_loaded loaded;
	char name[SNAPSHOT_NAME_MAX], bad[SNAPSHOT_NAME_MAX];
	uint64_t before = help_fingerprint(f->t);

	help_put_file(f->folder, snapshot_name(name, f->shm, ""), bytes);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_string_equal(loaded.name, "");
	assert_int_equal(help_refusals, 1);
	if (why)
		assert_string_equal(help_refused_why, why);
	assert_true(help_file_is(f->folder, snapshot_name(bad, f->shm, ".bad"), bytes));
	assert_true(help_fingerprint(f->t) == before);
}

struct good {
	char bytes[8192];
	size_t len;
};

static struct text
good_file(struct fixture *f, struct good *good)
{
	char name[SNAPSHOT_NAME_MAX];

	fill(f, 5, 1);
	assert_written(f, 5);
	good->len = help_get_file(f->folder, snapshot_name(name, f->shm, ""), good->bytes,
				  sizeof(good->bytes));
	assert_true(good->len > 300 && good->len < sizeof(good->bytes));
	return (struct text){good->bytes, good->len};
}

static void
test_every_bit(void **state)
{
	struct fixture *f = *state;
	struct good good;
	struct text bytes = good_file(f, &good);

	for (size_t i = 0; i < bytes.len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			good.bytes[i] ^= (char)(1 << bit);
			assert_refused(f, bytes, NULL);
			good.bytes[i] ^= (char)(1 << bit);
		}
	}
}

static void
test_every_length(void **state)
{
	struct fixture *f = *state;
	struct good good;
	struct text bytes = good_file(f, &good);

	for (size_t len = 0; len < bytes.len; len++)
		assert_refused(f, (struct text){good.bytes, len}, NULL);
	good.bytes[bytes.len] = '\n';
	assert_refused(f, (struct text){good.bytes, bytes.len + 1}, NULL);
	memcpy(good.bytes + bytes.len, good.bytes, 200);
	assert_refused(f, (struct text){good.bytes, bytes.len + 200}, NULL);
	memcpy(good.bytes + bytes.len, good.bytes, bytes.len);
	assert_refused(f, (struct text){good.bytes, 2 * bytes.len}, NULL);
}

static void
test_refused_why(void **state)
{
	static char large[200000];
	struct fixture *f = *state;
	struct good good;
	struct text bytes = good_file(f, &good), file = {large, sizeof(large)};
	char *fix = memchr(bytes.at, '\n', bytes.len), *next = memchr(fix + 1, '\n', 400), *lines;
	size_t head = (size_t)(fix + 1 - good.bytes), one = (size_t)(next - fix);

	assert_refused(f, TEXT(""), "it is no snapshot");
	assert_refused(f, TEXT("{\"json\": true}\n"), "it is no snapshot");
	assert_refused(f, TEXT("HERD-SNAPSHOT 2 a new format\nEND\n"),
		       "it has format 2, made by another version (this one reads 1)");
	assert_refused(f, (struct text){bytes.at, bytes.len - 1}, "it has no end, as if cut short");
	assert_refused(f, (struct text){bytes.at, bytes.len / 2}, "it has no end, as if cut short");
	/* Zeros, as a file system leaves them behind. */
	memset(large, 0, sizeof(large));
	assert_refused(f, file, "it is no snapshot");
	/* An over-long line: the end is right, and so is the number of lines. */
	memset(large, 'x', sizeof(large));
	memcpy(large, bytes.at, head);
	memcpy(large + sizeof(large) - 24, "END 5 0123456789abcdef\n", 23);
	large[sizeof(large) - 25] = '\n';
	large[sizeof(large) - 1] = '\n';
	assert_refused(f, (struct text){large, sizeof(large) - 1},
		       "it has another size than its last line says");
	lines = memmem(bytes.at, bytes.len, "END 5 ", 6);
	lines[4] = '6';
	assert_refused(f, bytes, "it has 5 fixes and should have 6");
	lines[4] = '5';
	lines[6] ^= 1;
	assert_refused(f, bytes, NULL);
	lines[6] ^= 1;
	/* Two lines that changed places: each is right. */
	memcpy(large, bytes.at, bytes.len);
	memmove(large + head, bytes.at + head + one, bytes.len - head - one);
	memcpy(large + (lines - bytes.at) - one, bytes.at + head, one);
	assert_refused(f, (struct text){large, bytes.len}, "its checksum is wrong");
	large[0] = 'h';
	assert_refused(f, (struct text){large, bytes.len}, "it is no snapshot");
}

static void
test_long_line(void **state)
{
	struct fixture *f = *state;
	char file[4096], *end = file;
	const struct snapshot_header header = {.number = 1};
	struct snapshot_header mine = header;
	struct snapshot_sum sum = {0};

	snprintf(mine.shm, sizeof(mine.shm), "%s", f->shm);
	end = snapshot_put_header(end, &mine, &sum);
	memset(end, 'x', SNAPSHOT_LINE_MAX);
	end += SNAPSHOT_LINE_MAX;
	*end++ = '\n';
	sum.lines = 3; /* so that its size makes sense */
	end = snapshot_put_trailer(end, &sum);
	assert_refused(f, (struct text){file, (size_t)(end - file)}, "line 2 is damaged");
}

static void
assert_thing_refused(struct fixture *f, const char *why)
{
	struct snapshot_loaded loaded;
	char bad[SNAPSHOT_NAME_MAX];

	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_string_equal(loaded.name, "");
	assert_int_equal(help_refusals, 1);
	assert_string_equal(help_refused_why, why);
	assert_int_equal(faccessat(f->fd, snapshot_name(bad, f->shm, ".bad"), F_OK, AT_SYMLINK_NOFOLLOW), 0);
	/* And in nobody's way any more. */
	assert_written(f, 0);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_string_not_equal(loaded.name, "");
	assert_int_equal(help_refusals, 0);
}

static void
test_directory(void **state)
{
	struct fixture *f = *state;
	char name[SNAPSHOT_NAME_MAX];

	assert_int_equal(mkdirat(f->fd, snapshot_name(name, f->shm, ""), 0700), 0);
	assert_thing_refused(f, "it is no plain file");
}

static void
test_link(void **state)
{
	struct fixture *f = *state;
	char name[SNAPSHOT_NAME_MAX];

	assert_int_equal(symlinkat("/etc/passwd", f->fd, snapshot_name(name, f->shm, "")), 0);
	assert_thing_refused(f, "it is a symbolic link");
}

static void
test_pipe(void **state)
{
	struct fixture *f = *state;
	char name[SNAPSHOT_NAME_MAX];

	assert_int_equal(mkfifoat(f->fd, snapshot_name(name, f->shm, ""), 0600), 0);
	assert_thing_refused(f, "it is no plain file");
}

static void
test_mode(void **state)
{
	struct fixture *f = *state;
	char name[SNAPSHOT_NAME_MAX];

	help_put_file(f->folder, snapshot_name(name, f->shm, ""), TEXT("HERD"));
	assert_int_equal(fchmodat(f->fd, name, 0666, 0), 0);
	assert_thing_refused(f, "others may write it (mode 0666)");
}

static void
test_foreign(void **state)
{
	struct fixture *f = *state;
	char name[SNAPSHOT_NAME_MAX];

	if (geteuid() != 0)
		return; /* nobody else can make one here */
	help_put_file(f->folder, snapshot_name(name, f->shm, ""), TEXT("HERD"));
	assert_int_equal(fchownat(f->fd, name, 12345, 12345, 0), 0);
	assert_thing_refused(f, "it belongs to another user (12345)");
}

/* A terabyte of nothing, with a first and a last line: known for what it is without reading it. */
static void
test_huge(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;
	struct good good;
	struct text bytes = good_file(f, &good);
	char name[SNAPSHOT_NAME_MAX], end[64];
	int fd = openat(f->fd, snapshot_name(name, f->shm, ""), O_WRONLY | O_CLOEXEC);

	assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
	snprintf(end, sizeof(end), "\nEND 3029000000 0123456789abcdef\n");
	assert_int_equal(pwrite(fd, end, strlen(end), INT64_C(1) << 40), (ssize_t)strlen(end));
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(help_refusals, 1);
	assert_string_equal(help_refused_why, "it has more fixes than any table");
	/* The same where the numbers make sense: what is there is right, but not all. */
	help_put_file(f->folder, name, bytes);
	close(fd);
	fd = openat(f->fd, name, O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, INT64_C(1) << 36), 0);
	snprintf(end, sizeof(end), "\nEND 400000000 0123456789abcdef\n");
	assert_int_equal(pwrite(fd, end, strlen(end), INT64_C(1) << 36), (ssize_t)strlen(end));
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(help_refusals, 1);
	assert_string_equal(help_refused_why, "something follows its end");
	close(fd);
}

/* --- loading -------------------------------------------------------------------------------- */

/* An empty table takes the place of the one that was. */
static void
new_table(struct fixture *f, uint32_t clients)
{
	table_free(f->t);
	table_unlink(f->shm);
	f->t = NULL;
	assert_int_equal(help_open_writer(&f->t, f->shm, clients, clients, 0), 0);
}

static void
test_load(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;

	fill(f, 1000, 7);
	assert_written(f, 1000);
	new_table(f, 1500);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(help_refusals, 0);
	assert_int_equal(loaded.fixes, 1000);
	assert_int_equal(loaded.merged, 1000);
	assert_int_equal(loaded.expired + loaded.held + loaded.failed, 0);
	assert_int_equal(loaded.header.number, 1);
	assert_filled(f->t, 1000, 7);
	/* Once more changes nothing. */
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(loaded.held, 1000);
	assert_filled(f->t, 1000, 7);
}

static void
test_load_nothing(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;

	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_string_equal(loaded.name, "");
	assert_int_equal(help_refusals, 0);
	assert_int_equal(help_count_files(f->folder), 0);
}

static void
test_newest_wins(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;
	char bytes[HERD_ID_MAX];
	uint64_t have;

	fill(f, 100, 1000);
	assert_written(f, 100);
	new_table(f, 200);
	for (uint32_t i = 0; i < 50; i++) /* half of them newer, a quarter older */
		assert_int_equal(help_put_version(f->t, client_id(bytes, i), i < 25 ? 1 : 5000, 0), 0);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(loaded.merged, 75);
	assert_int_equal(loaded.held, 25);
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(help_version(f->t, client_id(bytes, i), &have), 0);
		assert_int_equal(have, i >= 25 && i < 50 ? 5000 : 1000 + i);
	}
}

static void
test_expired(void **state)
{
	const int64_t hour_ns = 3600 * CLOCK_SECOND_NS, now_ns = clock_now_ns();
	struct fixture *f = *state;
	struct snapshot_loaded loaded;
	struct snapshot_outcome out;
	char bytes[HERD_ID_MAX];
	struct herd_fix fix;

	for (uint32_t i = 0; i < 100; i++) {
		help_fix(&fix, client_id(bytes, i), 1, 0);
		fix.rx_ns = now_ns - (i % 4 ? hour_ns / 2 : 2 * hour_ns);
		assert_int_equal(table_merge(f->t, &fix), 0);
	}
	assert_int_equal(help_write(f->t, f->shm, f->folder, &out), 0);
	assert_int_equal(out.fixes, 100);
	new_table(f, 200);
	assert_int_equal(help_load(f->t, f->shm, f->folder, hour_ns, &loaded), 0);
	assert_int_equal(loaded.merged, 75);
	assert_int_equal(loaded.expired, 25);
	/* And they are not written either. */
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(loaded.merged, 25);
	table_set_ttl(f->t, hour_ns);
	assert_int_equal(help_write(f->t, f->shm, f->folder, &out), 0);
	assert_int_equal(out.fixes, 75);
}

static void
test_previous_tried(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;
	char name[SNAPSHOT_NAME_MAX], file[512 * 1024];
	struct text bytes = {file, 0};

	fill(f, 200, 1);
	assert_written(f, 200);
	fill(f, 200, 1000);
	assert_written(f, 200);
	bytes.len = help_get_file(f->folder, snapshot_name(name, f->shm, ""), file, sizeof(file));
	file[bytes.len / 2] ^= 1;
	help_put_file(f->folder, name, bytes);
	new_table(f, 300);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(help_refusals, 1);
	assert_string_equal(loaded.name, snapshot_name(name, f->shm, ".1"));
	assert_filled(f->t, 200, 1);
	/* The one before stays where it is until there is another good one. */
	fill(f, 200, 2000);
	assert_written(f, 200);
	new_table(f, 300);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(help_refusals, 0);
	assert_int_equal(loaded.header.number, 2);
	assert_filled(f->t, 200, 2000);
	assert_int_equal(help_count_files(f->folder), 3);
}

static void
test_both_bad(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;
	char name[SNAPSHOT_NAME_MAX];

	help_put_file(f->folder, snapshot_name(name, f->shm, ""), TEXT("bad\n"));
	help_put_file(f->folder, snapshot_name(name, f->shm, ".1"), TEXT("worse\n"));
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(help_refusals, 2);
	assert_string_equal(loaded.name, "");
	assert_true(help_file_is(f->folder, snapshot_name(name, f->shm, ".bad"), TEXT("worse\n")));
	assert_true(help_file_is(f->folder, snapshot_name(name, f->shm, ".bad.1"), TEXT("bad\n")));
}

/* Between the two renames of a helper that was killed there. */
static void
test_only_previous(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;
	char name[SNAPSHOT_NAME_MAX], previous[SNAPSHOT_NAME_MAX];

	fill(f, 20, 5);
	assert_written(f, 20);
	snapshot_name(name, f->shm, "");
	snapshot_name(previous, f->shm, ".1");
	assert_int_equal(renameat(f->fd, name, f->fd, previous), 0);
	new_table(f, 100);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(help_refusals, 0);
	assert_filled(f->t, 20, 5);
	assert_written(f, 20);
	assert_int_equal(help_count_files(f->folder), 2);
}

/* Somebody put an old file back: the one before is newer, and it is the number that says so. */
static void
test_older_refused(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;
	char name[SNAPSHOT_NAME_MAX], file[64 * 1024];
	struct text old = {file, 0};

	snapshot_name(name, f->shm, "");
	fill(f, 20, 5);
	assert_written(f, 20);
	old.len = help_get_file(f->folder, name, file, sizeof(file));
	for (uint64_t i = 1; i < 4; i++) {
		fill(f, 20, i * 100);
		assert_written(f, 20);
	}
	help_put_file(f->folder, name, old);
	new_table(f, 100);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(help_refusals, 1);
	assert_string_equal(help_refused_why, "it is older than the one before (number 1, and that has 3)");
	assert_filled(f->t, 20, 200);
	assert_int_equal(loaded.header.number, 3);
	/* When the newer one is bad itself, the old one is better than nothing. */
	help_put_file(f->folder, name, old);
	old.len = help_get_file(f->folder, snapshot_name(name, f->shm, ".1"), file, sizeof(file));
	file[old.len - 30] ^= 4;
	help_put_file(f->folder, name, old);
	new_table(f, 100);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(help_refusals, 1);
	assert_string_equal(loaded.name, snapshot_name(name, f->shm, ""));
	assert_filled(f->t, 20, 5);
}

/* More than there is room for: some, and no error. */
static void
test_smaller_table(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;
	struct table_info info;

	fill(f, 2000, 5);
	assert_written(f, 2000);
	new_table(f, 64);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_int_equal(loaded.merged, 2000);
	assert_int_equal(table_info(f->t, &info), 0);
	assert_true(info.used + info.long_used >= 64);
	assert_true(info.evicted > 1000);
}

/* The segment is cut short half way: it begins again when that is mended. */
static void
test_table_cut_short(void **state)
{
	struct fixture *f = *state;
	CLEANUP(snapshot_load_freep) struct snapshot_load *l = NULL;
	int r = 0;

	restore_sigbus();
	fill(f, 1000, 5);
	assert_written(f, 1000);
	new_table(f, 1500);
	assert_int_equal(snapshot_load_new(&l, f->fd, f->shm, 0, help_on_refused, NULL), 0);
	for (int i = 0; i < 150 && r == 0; i++)
		r = snapshot_load_step(l, f->t, 10);
	assert_int_equal(r, 0);
	assert_true(snapshot_load_result(l)->merged > 0);
	assert_int_equal(truncate(help_path(f->shm), 0), 0);
	for (int i = 0; i < 1000 && r == 0; i++)
		r = snapshot_load_step(l, f->t, 10);
	assert_int_equal(r, -EFAULT);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	do
		r = snapshot_load_step(l, f->t, 10);
	while (r == 0);
	assert_int_equal(r, SNAPSHOT_E_END);
	assert_int_equal(snapshot_load_result(l)->merged, 1000);
	assert_filled(f->t, 1000, 5);
}

static void
test_table_stays_cut_short(void **state)
{
	struct fixture *f = *state;
	CLEANUP(snapshot_load_freep) struct snapshot_load *l = NULL;
	int r = 0, tries = 0;

	restore_sigbus();
	fill(f, 10, 5);
	assert_written(f, 10);
	assert_int_equal(snapshot_load_new(&l, f->fd, f->shm, 0, help_on_refused, NULL), 0);
	assert_int_equal(truncate(help_path(f->shm), 0), 0);
	while (r != SNAPSHOT_E_END && tries++ < 100)
		r = snapshot_load_step(l, f->t, 10);
	assert_int_equal(r, SNAPSHOT_E_END);
	assert_int_equal(snapshot_load_result(l)->error, -EFAULT);
}

static void
wait_for(int wakeup)
{
	eventfd_t count;

	assert_int_equal(eventfd_read(wakeup, &count), 0);
}

/* --- writing ----------------------------------------------------------------------------------- */

static void
test_unchanged(void **state)
{
	struct fixture *f = *state;
	struct snapshot_order order = help_order(f->t, f->shm, f->folder);
	struct snapshot_outcome out;
	char name[SNAPSHOT_NAME_MAX], bytes[HERD_ID_MAX];

	fill(f, 10, 5);
	assert_int_equal(help_obey(&order, &out), 0);
	order.has_state = true;
	order.state = out.state;
	assert_int_equal(help_obey(&order, &out), SNAPSHOT_E_SAME);
	assert_int_equal(help_put_version(f->t, client_id(bytes, 3), 1, 0), TABLE_E_OLDER);
	assert_int_equal(help_obey(&order, &out), SNAPSHOT_E_SAME);
	assert_int_equal(help_count_files(f->folder), 1);
	assert_int_equal(help_put_version(f->t, client_id(bytes, 3), 100, 0), 0);
	assert_int_equal(help_obey(&order, &out), 0);
	order.state = out.state;
	assert_int_equal(help_obey(&order, &out), SNAPSHOT_E_SAME);
	/* Unless it is not there any more. */
	assert_int_equal(unlinkat(f->fd, snapshot_name(name, f->shm, ""), 0), 0);
	assert_int_equal(help_obey(&order, &out), 0);
}

/* The table moves while it is written: the job goes on with what it has. */
static void
test_moved(void **state)
{
	struct fixture *f = *state;
	struct snapshot_order order = help_order(f->t, f->shm, f->folder);
	int wakeup = eventfd(0, EFD_CLOEXEC);
	struct snapshot_job *job = NULL;
	struct snapshot_outcome out;

	fill(f, 1000, 5);
	order.within_ns = CLOCK_SECOND_NS;
	order.idle_share = 100;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(snapshot_job_new(&job, &order, wakeup), 0);
		assert_int_equal(table_unlink(f->shm), 0);
		assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
		if (i == 4)
			new_table(f, 100);
		wait_for(wakeup);
		assert_true(snapshot_job_ended(job, &out));
		assert_int_equal(out.error, 0);
		assert_int_equal(out.fixes, 1000);
		job = snapshot_job_free(job);
	}
	close(wakeup);
}

/* The segment is cut short under the walk: an error, no file, and the last one stays. */
static void
test_written_table_cut_short(void **state)
{
	struct fixture *f = *state;
	struct snapshot_order order = help_order(f->t, f->shm, f->folder);
	int wakeup = eventfd(0, EFD_CLOEXEC);
	struct snapshot_job *job = NULL;
	struct snapshot_outcome out;
	struct snapshot_loaded loaded;

	restore_sigbus();
	fill(f, 1000, 5);
	assert_int_equal(help_obey(&order, &out), 0);
	order.within_ns = 600 * CLOCK_SECOND_NS;
	order.idle_share = 3000;
	assert_int_equal(snapshot_job_new(&job, &order, wakeup), 0);
	while (snapshot_job_progress(job) == 0)
		usleep(100);
	assert_int_equal(truncate(help_path(f->shm), 0), 0);
	wait_for(wakeup);
	assert_true(snapshot_job_ended(job, &out));
	snapshot_job_free(job);
	close(wakeup);
	assert_int_equal(out.error, -EFAULT);
	assert_string_equal(out.doing, "read the table");
	assert_int_equal(help_count_files(f->folder), 1);
	assert_int_equal(table_refresh(f->t), TABLE_E_MOVED);
	assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
	assert_filled(f->t, 1000, 5);
}

static void
test_no_folder(void **state)
{
	struct fixture *f = *state;
	struct snapshot_order order = help_order(f->t, f->shm, "/nowhere/at/all");
	struct snapshot_outcome out;

	assert_int_equal(help_obey(&order, &out), -ENOENT);
	assert_string_equal(out.doing, "open the folder");
	order.folder = "/etc/passwd";
	assert_int_equal(help_obey(&order, &out), -ENOTDIR);
}

/* Things in the way of every name that is needed. */
static void
test_in_the_way(void **state)
{
	struct fixture *f = *state;
	struct snapshot_loaded loaded;
	char name[SNAPSHOT_NAME_MAX];

	for (int round = 0; round < 2; round++) {
		fill(f, 10, (uint64_t)(100 * round + 5));
		assert_int_equal(mkdirat(f->fd, snapshot_name(name, f->shm, ""), 0700), 0);
		assert_int_equal(mkdirat(f->fd, snapshot_name(name, f->shm, ".1"), 0700), 0);
		assert_written(f, 10);
		assert_int_equal(help_load(f->t, f->shm, f->folder, 0, &loaded), 0);
		assert_int_equal(help_refusals, 0);
		assert_int_equal(loaded.fixes, 10);
		assert_int_equal(unlinkat(f->fd, snapshot_name(name, f->shm, ""), 0), 0);
	}
	/* A folder with something in it can be moved aside, but never removed: then it is somebody's turn. */
	assert_int_equal(unlinkat(f->fd, snapshot_name(name, f->shm, ".bad.2"), AT_REMOVEDIR), 0);
	assert_int_equal(mkdirat(f->fd, name, 0700), 0);
	{
		char inside[2 * SNAPSHOT_NAME_MAX];

		snprintf(inside, sizeof(inside), "%s/x", name);
		help_put_file(f->folder, inside, TEXT("x"));
		assert_int_equal(mkdirat(f->fd, snapshot_name(name, f->shm, ""), 0700), 0);
		struct snapshot_outcome out;
		assert_int_equal(help_write(f->t, f->shm, f->folder, &out), -ENOTEMPTY);
		assert_int_equal(unlinkat(f->fd, inside, 0), 0);
	}
	assert_written(f, 10);
}

/* --- in a thread ------------------------------------------------------------------------------ */

static void
test_job(void **state)
{
	struct fixture *f = *state;
	const struct snapshot_order order = help_order(f->t, f->shm, f->folder);
	int wakeup = eventfd(0, EFD_CLOEXEC);
	struct snapshot_job *job = NULL;
	struct snapshot_outcome out;

	fill(f, 500, 5);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(snapshot_job_new(&job, &order, wakeup), 0);
		wait_for(wakeup);
		assert_true(snapshot_job_ended(job, &out));
		assert_true(snapshot_job_ended(job, &out));
		assert_int_equal(out.error, 0);
		assert_int_equal(out.fixes, 500);
		assert_int_equal(out.number, i + 1);
		assert_true(snapshot_job_progress(job) > 0);
		job = snapshot_job_free(job);
		assert_null(job);
	}
	/* Left to itself, with nobody waiting. */
	assert_int_equal(snapshot_job_new(&job, &order, wakeup), 0);
	snapshot_job_free(job);
	assert_int_equal(help_count_tmp(f->folder), 0);
	close(wakeup);
}

/* One that would take a minute ends when it is told to, and leaves nothing. */
static void
test_job_cancelled(void **state)
{
	struct fixture *f = *state;
	struct snapshot_order order = help_order(f->t, f->shm, f->folder);
	int wakeup = eventfd(0, EFD_CLOEXEC);
	struct snapshot_job *job = NULL;
	struct snapshot_outcome out;

	new_table(f, 100000);
	order.table = f->t;
	for (uint32_t i = 0; i < 20000; i++) {
		char bytes[HERD_ID_MAX];

		assert_int_equal(help_put_version(f->t, help_id(bytes, i, 20), 1, 0), 0);
	}
	order.within_ns = 600 * CLOCK_SECOND_NS;
	order.idle_share = 5000;
	assert_int_equal(snapshot_job_new(&job, &order, wakeup), 0);
	assert_false(snapshot_job_ended(job, &out));
	snapshot_job_cancel(job);
	wait_for(wakeup);
	assert_true(snapshot_job_ended(job, &out));
	assert_int_equal(out.error, -ECANCELED);
	snapshot_job_free(job);
	assert_int_equal(help_count_files(f->folder), 0);
	close(wakeup);
}

/* It takes about as long as it is allowed to, when it could rest for longer. */
static void
test_pace(void **state)
{
	struct fixture *f = *state;
	struct snapshot_order order = help_order(f->t, f->shm, f->folder);
	struct snapshot_outcome fast, slow;

	new_table(f, 100000);
	order.table = f->t;
	for (uint32_t i = 0; i < 60000; i++) {
		char bytes[HERD_ID_MAX];

		assert_int_equal(help_put_version(f->t, help_id(bytes, i, 20), 1, 0), 0);
	}
	assert_int_equal(help_obey(&order, &fast), 0);
	order.within_ns = 500 * CLOCK_MSEC_NS;
	order.idle_share = 1000000;
	assert_int_equal(help_obey(&order, &slow), 0);
	assert_true(slow.duration_ns > 200 * CLOCK_MSEC_NS);
	assert_int_equal(slow.fixes, 60000);
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_header_refused),
		cmocka_unit_test(test_left_out),
		TEST(test_write_and_read),
		TEST(test_empty_table),
		TEST(test_previous),
		TEST(test_two_herds),
		TEST(test_clean),
		TEST(test_left_by_namesake),
		TEST(test_keep_aside),
		TEST(test_every_bit),
		TEST(test_every_length),
		TEST(test_refused_why),
		TEST(test_long_line),
		TEST(test_directory),
		TEST(test_link),
		TEST(test_pipe),
		TEST(test_mode),
		TEST(test_foreign),
		TEST(test_huge),
		TEST(test_load),
		TEST(test_load_nothing),
		TEST(test_newest_wins),
		TEST(test_expired),
		TEST(test_previous_tried),
		TEST(test_both_bad),
		TEST(test_only_previous),
		TEST(test_older_refused),
		TEST(test_smaller_table),
		TEST(test_table_cut_short),
		TEST(test_table_stays_cut_short),
		TEST(test_unchanged),
		TEST(test_moved),
		TEST(test_written_table_cut_short),
		TEST(test_no_folder),
		TEST(test_in_the_way),
		TEST(test_job),
		TEST(test_job_cancelled),
		TEST(test_pace),
	};

	sigaction(SIGBUS, NULL, &table_on_sigbus);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
