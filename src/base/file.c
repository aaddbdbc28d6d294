/*
 * File: made with O_EXCL and without following links, because what lies under
 * the name may be anybody's; readable only when its mode was set on purpose,
 * whatever umask the caller has.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

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

int
file_write_fresh(int folder, const char *name, struct text bytes, bool synced)
{
	CLEANUP(cleanup_close) int fd = -1;
	int r;

	(void)unlinkat(folder, name, 0);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fchmod(fd, 0644) < 0 ? -errno : write_all(fd, bytes);
	return r == 0 && synced && fsync(fd) < 0 ? -errno : r;
}
