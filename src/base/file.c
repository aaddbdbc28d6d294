/*
 * File: made with O_EXCL and without following links, because what lies under
 * the name may be anybody's; readable only when its mode was set on purpose,
 * whatever umask the caller has.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"

enum {
	LOCK_TRIES = 100,
	LOCK_PAUSE_MS = 50,
};

static int
write_all(int fd, struct text t)
{
	while (t.len > 0) {
		ssize_t n = write(fd, t.at, t.len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			t = (struct text){t.at + n, t.len - (size_t)n};
	}
	return 0;
}

static int
write_fresh(int folder, const char *name, struct text bytes, mode_t mode, bool synced)
{
	CLEANUP(cleanup_close) int fd = -1;
	int r;

	(void)unlinkat(folder, name, 0);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fchmod(fd, mode) < 0 ? -errno : write_all(fd, bytes);
	return r == 0 && synced && fsync(fd) < 0 ? -errno : r;
}

int
file_write_fresh(int folder, const char *name, struct text bytes, bool synced)
{
	return write_fresh(folder, name, bytes, 0644, synced);
}

int
file_replace(int folder, const char *name, struct text bytes, mode_t mode)
{
	char fresh[FILE_NAME_MAX + 8];
	int r;

	if (snprintf(fresh, sizeof(fresh), ".%s.new", name) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	r = write_fresh(folder, fresh, bytes, mode, true);
	if (r == 0 && renameat(folder, fresh, folder, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(folder, fresh, 0);
	return r == 0 && fsync(folder) < 0 ? -errno : r;
}

int
file_read(int folder, const char *name, struct buffer *out)
{
	CLEANUP(cleanup_close) int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode)) /* a device may never end */
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	for (;;) {
		char piece[4096];

		n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		if (n > 0 && buffer_append(out, (struct text){piece, (size_t)n}) < 0)
			return -EFBIG;
	}
}

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

struct file_identity
file_identity(const struct stat *st)
{
	return (struct file_identity){st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim};
}

bool
file_identity_equal(const struct file_identity *a, const struct file_identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

int
file_lock(int fd)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}
