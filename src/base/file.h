#ifndef BASE_FILE_H
#define BASE_FILE_H
/*
 * Files that come to be as a whole: written under a name of their own first, by one at a time. And whether a file is
 * still the one that it was.
 */
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "base/buffer.h"
#include "base/text.h"

/*
 * Makes a file that everybody may read, in a folder where nobody else writes under this name; one that is
 * there is of somebody who was killed, and goes. With `synced` it is on the disk afterwards. Negative errno:
 * whatever is left of it is the caller's to remove.
 */
int file_write_fresh(int folder, const char *name, struct text bytes, bool synced);

enum { FILE_NAME_MAX = 200 };

/*
 * Makes the file hold these bytes, with this mode, whatever was there: all of it and on the disk, or what was
 * there stays. For folders where nobody else writes ".NAME.new". -ENAMETOOLONG, other negative errno.
 */
int file_replace(int folder, const char *name, struct text bytes, mode_t mode);

/* Appends all of it. -EFBIG: it is more than there is room for; other negative errno. */
int file_read(int folder, const char *name, struct buffer *out);

/* What tells one file from another without opening it. All zero: of no file. */
struct file_identity {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec modified, changed;
};
struct file_identity file_identity(const struct stat *st);
bool file_identity_equal(const struct file_identity *a, const struct file_identity *b);

/* Waits five seconds at most until nobody else has a lock on it; closing ends ours. -EBUSY, other errno. */
int file_lock(int fd);

#endif
