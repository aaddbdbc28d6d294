/*
 * Snapshot, as files: a new file, synchronised, then renamed over the last one,
 * and the folder synchronised, because that is the one way in which neither a
 * kill nor a power cut leaves less than there was. What is read back is
 * whatever lies under the name: it may be anything.
 */
#include "flood/snapshot-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BUFFER = 16 * 1024,
	WRITE_BACK = 256 * 1024, /* what is not yet on its way to the disk */
	ON_ITS_WAY = 4 * 1024 * 1024,
	ENTRIES_MAX = 100000, /* of a folder that are looked at */
};

#define FIXES_MAX (UINT64_C(1) << 29)

#define TMP ".tmp."

const char *
snapshot_name(char name[SNAPSHOT_NAME_MAX], const char *shm, const char *suffix)
{
	snprintf(name, SNAPSHOT_NAME_MAX, "%.*s.snapshot%.30s", SNAPSHOT_SHM_MAX, shm + (*shm == '/'),
		 suffix);
	return name;
}

int
snapshot_open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* --- the folder --------------------------------------------------------------- */

/* A folder that somebody put in the way as well, if it is empty. */
static int
remove_any(int folder, const char *name)
{
	if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	return unlinkat(folder, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int
rename_in(int folder, const char *from, const char *to)
{
	return renameat(folder, from, folder, to) < 0 ? -errno : 0;
}

/* Some file systems cannot, and then have nothing to do. */
static int
sync_folder(int folder)
{
	return fsync(folder) < 0 && errno != EINVAL ? -errno : 0;
}

unsigned int
snapshot_clean(int folder, const char *shm)
{
	char prefix[SNAPSHOT_NAME_MAX];
	const size_t len = strlen(snapshot_name(prefix, shm, TMP));
	unsigned int removed = 0;
	const struct dirent *entry;
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	for (unsigned int i = 0; i < ENTRIES_MAX && (entry = readdir(dir)); i++)
		if (strncmp(entry->d_name, prefix, len) == 0 && unlinkat(folder, entry->d_name, 0) == 0)
			removed++;
	closedir(dir);
	return removed;
}

static const char *
bad_name(char name[SNAPSHOT_NAME_MAX], const char *shm, int number)
{
	char suffix[16];

	snprintf(suffix, sizeof(suffix), number ? ".bad.%d" : ".bad", number);
	return snapshot_name(name, shm, suffix);
}

int
snapshot_keep_aside(int folder, const char *shm, const char *name, char ret_kept[SNAPSHOT_NAME_MAX])
{
	char from[SNAPSHOT_NAME_MAX], to[SNAPSHOT_NAME_MAX];
	int r = remove_any(folder, bad_name(to, shm, SNAPSHOT_BAD_KEPT - 1));

	for (int i = SNAPSHOT_BAD_KEPT - 1; i > 0 && r == 0; i--) {
		r = rename_in(folder, bad_name(from, shm, i - 1), bad_name(to, shm, i));
		if (r == -ENOENT)
			r = 0;
	}
	if (r == 0)
		r = rename_in(folder, name, bad_name(to, shm, 0));
	if (r == 0)
		memcpy(ret_kept, to, SNAPSHOT_NAME_MAX);
	return r;
}

/* --- writing ------------------------------------------------------------------- */

struct snapshot_writer {
	int folder, fd;
	bool is_committed;
	char shm[SNAPSHOT_SHM_MAX + 1];
	char tmp[SNAPSHOT_NAME_MAX]; /* "" before it is made */
	struct snapshot_sum sum;
	uint64_t fixes;
	uint64_t bytes, sent,
		dropped; /* written; of these on their way to the disk; and not kept in memory */
	size_t used;
	char *buffer; /* owned, BUFFER bytes */
};

static int
writer_create(struct snapshot_writer *w)
{
	char suffix[32], name[SNAPSHOT_NAME_MAX];

	snprintf(suffix, sizeof(suffix), TMP "%d", (int)getpid());
	snapshot_name(name, w->shm, suffix);
	/* Of another process that had our pid. */
	(void)remove_any(w->folder, name);
	w->fd = openat(w->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd < 0)
		return -errno;
	memcpy(w->tmp, name, sizeof(w->tmp));
	return 0;
}

int
snapshot_writer_new(struct snapshot_writer **ret, int folder, const struct snapshot_header *header)
{
	CLEANUP(snapshot_writer_freep) struct snapshot_writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->folder = folder;
	w->fd = -1;
	memcpy(w->shm, header->shm, sizeof(w->shm));
	w->buffer = malloc(BUFFER);
	if (!w->buffer)
		return -ENOMEM;
	r = writer_create(w);
	if (r < 0)
		return r;
	w->used = (size_t)(snapshot_put_header(w->buffer, header, &w->sum) - w->buffer);
	*ret = w;
	w = NULL;
	return 0;
}

/* The disk gets its work, and the page cache gives its pages back, bit by bit: all at the end, either
   would be a burst of many milliseconds. Nobody will read them, and memory is better used otherwise. */
static void
writer_push(struct snapshot_writer *w)
{
	if (w->bytes - w->sent < WRITE_BACK)
		return;
	(void)sync_file_range(w->fd, (off_t)w->sent, (off_t)(w->bytes - w->sent), SYNC_FILE_RANGE_WRITE);
	w->sent = w->bytes;
	if (w->sent - w->dropped < ON_ITS_WAY + WRITE_BACK)
		return;
	(void)posix_fadvise(w->fd, (off_t)w->dropped, (off_t)(w->sent - ON_ITS_WAY - w->dropped),
			    POSIX_FADV_DONTNEED);
	w->dropped = w->sent - ON_ITS_WAY;
}

static int
writer_flush(struct snapshot_writer *w)
{
	size_t at = 0;

	while (at < w->used) {
		ssize_t n = write(w->fd, w->buffer + at, w->used - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
		if (n > 0)
			at += (size_t)n;
	}
	w->bytes += w->used;
	w->used = 0;
	writer_push(w);
	return 0;
}

int
snapshot_writer_put(struct snapshot_writer *w, const struct herd_fix *fix, bool *ret_is_left_out)
{
	char *at, *end;
	int r;

	if (BUFFER - w->used < SNAPSHOT_LINE_MAX) {
		r = writer_flush(w);
		if (r < 0)
			return r;
	}
	at = w->buffer + w->used;
	end = snapshot_put_fix(at, fix, &w->sum);
	w->used += (size_t)(end - at);
	w->fixes += end > at;
	*ret_is_left_out = end == at;
	return 0;
}

/* What somebody else put under our names must not stop us. */
static int
clear_way(struct snapshot_writer *w, const char *name, mode_t wanted)
{
	char kept[SNAPSHOT_NAME_MAX];
	struct stat st;

	if (fstatat(w->folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return (st.st_mode & S_IFMT) == wanted ? 0 : snapshot_keep_aside(w->folder, w->shm, name, kept);
}

/* Between the two renames there is a previous one only, and that is as good. */
static int
writer_rename(struct snapshot_writer *w)
{
	char name[SNAPSHOT_NAME_MAX], previous[SNAPSHOT_NAME_MAX];
	int r;

	snapshot_name(name, w->shm, "");
	snapshot_name(previous, w->shm, ".1");
	r = clear_way(w, name, S_IFREG);
	if (r == 0)
		r = clear_way(w, previous, S_IFREG);
	if (r == 0)
		r = rename_in(w->folder, name, previous);
	if (r == 0 || r == -ENOENT)
		r = rename_in(w->folder, w->tmp, name);
	return r;
}

int
snapshot_writer_commit(struct snapshot_writer *w)
{
	int fd, r;

	if (BUFFER - w->used < SNAPSHOT_LINE_MAX) {
		r = writer_flush(w);
		if (r < 0)
			return r;
	}
	w->used = (size_t)(snapshot_put_trailer(w->buffer + w->used, &w->sum) - w->buffer);
	r = writer_flush(w);
	if (r < 0)
		return r;
	if (fsync(w->fd) < 0)
		return -errno;
	(void)posix_fadvise(w->fd, (off_t)w->dropped, 0, POSIX_FADV_DONTNEED);
	fd = w->fd;
	w->fd = -1;
	if (close(fd) < 0)
		return -errno;
	r = writer_rename(w);
	if (r < 0)
		return r;
	w->is_committed = true;
	return sync_folder(w->folder);
}

uint64_t
snapshot_writer_fixes(const struct snapshot_writer *w)
{
	return w->fixes;
}

uint64_t
snapshot_writer_bytes(const struct snapshot_writer *w)
{
	return w->bytes + w->used;
}

struct snapshot_writer *
snapshot_writer_free(struct snapshot_writer *w)
{
	if (w) {
		if (w->fd >= 0)
			close(w->fd);
		if (w->tmp[0] && !w->is_committed)
			(void)unlinkat(w->folder, w->tmp, 0);
		free(w->buffer);
		free(w);
	}
	return NULL;
}

/* --- reading -------------------------------------------------------------------- */

struct snapshot_reader {
	int fd;
	uint64_t size, at;	      /* of the file; of the next read */
	size_t start, end;	      /* what is not yet parsed in the buffer */
	uint64_t fixes, after_header; /* as the last line says; where the first fix is */
	struct snapshot_parser parser, parsed_header;
	char shm[SNAPSHOT_SHM_MAX + 1];
	char *buffer; /* owned, BUFFER bytes */
};

__attribute__((format(printf, 2, 3))) static int
bad(char why[SNAPSHOT_WHY_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, SNAPSHOT_WHY_MAX, format, ap);
	va_end(ap);
	return SNAPSHOT_E_BAD;
}

/* -ENOENT stays what it is; for the rest the file is refused, whatever the reason. */
static int
reader_open(struct snapshot_reader *r, int folder, const char *name)
{
	char *why = r->parser.why;
	struct stat st;

	/* Neither waiting for the other end of a pipe nor following anybody anywhere. */
	r->fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (r->fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (r->fd < 0 && errno == ELOOP)
		return bad(why, "it is a symbolic link");
	if (r->fd < 0)
		return bad(why, "it cannot be opened: %s", strerror(errno));
	if (fstat(r->fd, &st) < 0)
		return bad(why, "it cannot be looked at: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return bad(why, "it is no plain file");
	if (st.st_uid != geteuid())
		return bad(why, "it belongs to another user (%u)", (unsigned int)st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return bad(why, "others may write it (mode %04o)", (unsigned int)st.st_mode & 07777);
	r->size = (uint64_t)st.st_size;
	return 0;
}

/* Reads on until the buffer has a line or the file no more. */
static int
reader_fill(struct snapshot_reader *r)
{
	ssize_t n;

	if (r->end - r->start >= SNAPSHOT_LINE_MAX)
		return 0;
	memmove(r->buffer, r->buffer + r->start, r->end - r->start);
	r->end -= r->start;
	r->start = 0;
	do {
		n = pread(r->fd, r->buffer + r->end, BUFFER - r->end, (off_t)r->at);
		if (n < 0 && errno != EINTR)
			return bad(r->parser.why, "it cannot be read: %s", strerror(errno));
		if (n > 0) {
			r->at += (uint64_t)n;
			r->end += (size_t)n;
		}
	} while (n != 0 && r->end < SNAPSHOT_LINE_MAX);
	return 0;
}

/* The next line with its LF; an empty one at the end of the file; without LF when there is none in time. */
static int
reader_line(struct snapshot_reader *r, struct text *ret)
{
	const char *at, *lf;
	size_t len;
	int error = reader_fill(r);

	if (error != 0)
		return error;
	at = r->buffer + r->start;
	len = r->end - r->start < SNAPSHOT_LINE_MAX ? r->end - r->start : SNAPSHOT_LINE_MAX;
	lf = len ? memchr(at, '\n', len) : NULL;
	*ret = (struct text){at, lf ? (size_t)(lf - at) + 1 : len};
	r->start += ret->len;
	return 0;
}

static int
reader_take_header(struct snapshot_reader *r)
{
	struct message_at at;
	struct text line;
	int error = reader_line(r, &line);

	if (error != 0)
		return error;
	error = snapshot_parse_line(&r->parser, line, &at);
	if (error != SNAPSHOT_E_HEADER)
		return SNAPSHOT_E_BAD;
	r->after_header = line.len;
	r->parsed_header = r->parser;
	return 0;
}

/* So that half a file is known for one before anybody reads a gigabyte of it. */
static int
reader_take_trailer(struct snapshot_reader *r)
{
	char end[SNAPSHOT_TRAILER_MAX + 1];
	size_t want = r->size - r->after_header < sizeof(end) ? (size_t)(r->size - r->after_header)
							      : sizeof(end);
	ssize_t n = pread(r->fd, end, want, (off_t)(r->size - want));
	const char *start;
	uint64_t sum;
	size_t len;

	if (n < 0)
		return bad(r->parser.why, "it cannot be read: %s", strerror(errno));
	if ((size_t)n != want || n == 0 || end[n - 1] != '\n')
		return bad(r->parser.why, "it has no end, as if cut short");
	start = memrchr(end, '\n', (size_t)n - 1);
	start = start ? start + 1 : end;
	len = (size_t)(end + n - start);
	if (!snapshot_parse_trailer((struct text){start, len}, &r->fixes, &sum))
		return bad(r->parser.why, "it has no end, as if cut short");
	if (r->fixes > FIXES_MAX)
		return bad(r->parser.why, "it has more fixes than any table");
	if (r->fixes > r->size || r->size - r->after_header - len > r->fixes * SNAPSHOT_LINE_MAX)
		return bad(r->parser.why, "it has another size than its last line says");
	return 0;
}

int
snapshot_reader_new(struct snapshot_reader **ret, int folder, const char *name, const char *shm,
		    char why[SNAPSHOT_WHY_MAX])
{
	CLEANUP(snapshot_reader_freep) struct snapshot_reader *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return -ENOMEM;
	r->fd = -1;
	snprintf(r->shm, sizeof(r->shm), "%s", shm);
	r->parser.shm = r->shm;
	r->buffer = malloc(BUFFER);
	if (!r->buffer)
		return -ENOMEM;
	error = reader_open(r, folder, name);
	if (error == 0)
		error = reader_take_header(r);
	if (error == 0)
		error = reader_take_trailer(r);
	if (error == SNAPSHOT_E_BAD)
		memcpy(why, r->parser.why, SNAPSHOT_WHY_MAX);
	if (error != 0)
		return error;
	*ret = r;
	r = NULL;
	return 0;
}

uint64_t
snapshot_next_number(int folder, const char *shm)
{
	char name[SNAPSHOT_NAME_MAX], why[SNAPSHOT_WHY_MAX];
	uint64_t number = 0;

	for (int i = 0; i < 2; i++) {
		CLEANUP(snapshot_reader_freep) struct snapshot_reader *r = NULL;

		if (snapshot_reader_new(&r, folder, snapshot_name(name, shm, i ? ".1" : ""), shm, why) == 0 &&
		    r->parsed_header.header.number > number)
			number = r->parsed_header.header.number;
	}
	return number < SNAPSHOT_NUMBER_MAX ? number + 1 : number;
}

const struct snapshot_header *
snapshot_reader_header(const struct snapshot_reader *r)
{
	return &r->parsed_header.header;
}

uint64_t
snapshot_reader_fixes(const struct snapshot_reader *r)
{
	return r->fixes;
}

uint64_t
snapshot_reader_bytes(const struct snapshot_reader *r)
{
	return r->size;
}

static void
fix_of(const struct message_at *at, struct herd_fix *ret)
{
	ret->rx_ns = at->rx_ns;
	ret->id_len = (uint8_t)at->id.len;
	memcpy(ret->id, at->id.at, at->id.len);
	ret->location_len = (uint8_t)at->location.len;
	memcpy(ret->location, at->location.at, at->location.len);
	ret->time_len = (uint8_t)at->time.len;
	memcpy(ret->time, at->time.at, at->time.len);
	ret->server_len = (uint8_t)at->server.len;
	memcpy(ret->server, at->server.at, at->server.len);
}

int
snapshot_reader_next(struct snapshot_reader *r, struct herd_fix *ret)
{
	struct message_at at;
	struct text line;
	int error = reader_line(r, &line);

	if (error != 0)
		return error;
	if (line.len == 0)
		return bad(r->parser.why, "it has no end");
	error = snapshot_parse_line(&r->parser, line, &at);
	if (error == 0)
		fix_of(&at, ret);
	if (error != SNAPSHOT_E_END)
		return error;
	error = reader_line(r, &line);
	if (error == 0 && line.len > 0)
		return bad(r->parser.why, "something follows its end");
	return error ? error : SNAPSHOT_E_END;
}

const char *
snapshot_reader_why(const struct snapshot_reader *r)
{
	return r->parser.why;
}

void
snapshot_reader_rewind(struct snapshot_reader *r)
{
	r->parser = r->parsed_header;
	r->at = r->after_header;
	r->start = r->end = 0;
}

struct snapshot_reader *
snapshot_reader_free(struct snapshot_reader *r)
{
	if (r) {
		if (r->fd >= 0)
			close(r->fd);
		free(r->buffer);
		free(r);
	}
	return NULL;
}
