#ifndef FLOOD_SNAPSHOT_FILE_H
#define FLOOD_SNAPSHOT_FILE_H
/*
 * Snapshot, as files of one folder. For a table "/herd":
 *
 *   herd.snapshot        the last one written
 *   herd.snapshot.1      the one before
 *   herd.snapshot.bad    refused when it was read; .bad.1, .bad.2 the ones before
 *   herd.snapshot.tmp.N  being written by process N
 *
 * A snapshot gets its name when it is whole and on the disk. Whatever happens
 * while one is written, the last one stays as it is.
 */
#include "base/cleanup.h"
#include "flood/snapshot-text.h"

enum {
	SNAPSHOT_NAME_MAX = SNAPSHOT_SHM_MAX + 48, /* of a file, with its NUL */
	SNAPSHOT_BAD_KEPT = 3,
};

/* "herd.snapshot" and the suffix, which has up to 30 bytes. */
const char *snapshot_name(char name[SNAPSHOT_NAME_MAX], const char *shm, const char *suffix);

/* Opens the folder. Negative errno. */
int snapshot_open_folder(const char *path);

/* Removes what processes that died left half written; returns how many. */
unsigned int snapshot_clean(int folder, const char *shm);

/* Takes a file that is no good out of the way; *ret_kept is its new name. The oldest of those kept
   is removed. */
int snapshot_keep_aside(int folder, const char *shm, const char *name, char ret_kept[SNAPSHOT_NAME_MAX]);

/* Higher than that of any snapshot there. */
uint64_t snapshot_next_number(int folder, const char *shm);

/* --- writing ---------------------------------------------------------------------------------- */

struct snapshot_writer; /* opaque */

/* header->shm names the files. Negative errno. */
int snapshot_writer_new(struct snapshot_writer **ret, int folder, const struct snapshot_header *header);

/* Negative errno. *ret_is_left_out: the fix makes no sense, from a damaged table. */
int snapshot_writer_put(struct snapshot_writer *w, const struct herd_fix *fix, bool *ret_is_left_out);

/* To the disk, and under its name: the one there becomes the previous one. After a negative errno the last
   one is what it was, or, when only the folder could not be synchronised, the new one. */
int snapshot_writer_commit(struct snapshot_writer *w);

uint64_t snapshot_writer_fixes(const struct snapshot_writer *w);
uint64_t snapshot_writer_bytes(const struct snapshot_writer *w);

/* Without a commit nothing stays. Accepts NULL, returns NULL. */
struct snapshot_writer *snapshot_writer_free(struct snapshot_writer *w);
CLEANUP_POINTER(struct snapshot_writer, snapshot_writer_free);

/* --- reading ---------------------------------------------------------------------------------- */

struct snapshot_reader; /* opaque */

/* Looks at what costs nothing: whose file it is, its first line, its last, and whether their distance makes
   sense. 0; -ENOENT; -ENOMEM; SNAPSHOT_E_BAD, and why. */
int snapshot_reader_new(struct snapshot_reader **ret, int folder, const char *name, const char *shm,
			char why[SNAPSHOT_WHY_MAX]);

const struct snapshot_header *snapshot_reader_header(const struct snapshot_reader *r);

/* As many as the last line says. */
uint64_t snapshot_reader_fixes(const struct snapshot_reader *r);
uint64_t snapshot_reader_bytes(const struct snapshot_reader *r);

/* The next fix; SNAPSHOT_E_END: there are no more, and the sum was right; SNAPSHOT_E_BAD. */
int snapshot_reader_next(struct snapshot_reader *r, struct herd_fix *ret);

/* Why it was bad. */
const char *snapshot_reader_why(const struct snapshot_reader *r);

/* Back to the first fix. */
void snapshot_reader_rewind(struct snapshot_reader *r);

/* Accepts NULL, returns NULL. */
struct snapshot_reader *snapshot_reader_free(struct snapshot_reader *r);
CLEANUP_POINTER(struct snapshot_reader, snapshot_reader_free);

#endif
