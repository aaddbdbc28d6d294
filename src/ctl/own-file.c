/*
 * Own file: written beside its place, synced, and linked into it, so that
 * whoever reads the folder sees all of it or nothing, also after a crash, and
 * never loses a file to one that comes a moment later.
 */
#include "ctl/own-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "conf/conf.h"

static int
open_folder(const char *path, bool make)
{
	bool made = make && mkdir(path, 0755) == 0;
	int fd, r;

	if (make && !made && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* The members read it, whatever umask this shell has. */
	r = made && fchmod(fd, 0755) < 0 ? -errno : file_lock(fd);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

int
own_file_open(struct own_file *ret, const char *config, const char *member, bool make)
{
	struct own_file f = {.folder = -1};
	char *slash;

	if (snprintf(f.path, sizeof(f.path), "%s.d/" CONF_OWN_PREFIX "%s" CONF_OWN_SUFFIX,
		     config ? config : CONF_FILE, member) >= (int)sizeof(f.path))
		return -ENAMETOOLONG;
	slash = strrchr(f.path, '/');
	*slash = '\0';
	f.folder = open_folder(f.path, make);
	*slash = '/';
	if (f.folder < 0 && (f.folder != -ENOENT || make))
		return f.folder;
	*ret = f;
	ret->name = ret->path + (slash - f.path) + 1;
	if (ret->folder < 0)
		ret->folder = -1;
	return 0;
}

void
own_file_done(struct own_file *f)
{
	if (f->folder >= 0)
		close(f->folder);
	f->folder = -1;
}

bool
own_file_exists(const struct own_file *f)
{
	struct stat st;

	return f->folder >= 0 && fstatat(f->folder, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int
own_file_make(const struct own_file *f, struct text bytes)
{
	static const char fresh[] = ".herdctl-add";		 /* begins with a dot: not read as settings */
	int r = file_write_fresh(f->folder, fresh, bytes, true); /* nobody else: we have the lock */

	if (r == 0 && linkat(f->folder, fresh, f->folder, f->name, 0) < 0)
		r = -errno;
	(void)unlinkat(f->folder, fresh, 0);
	if (r == 0 && fsync(f->folder) < 0) {
		r = -errno;
		(void)unlinkat(f->folder, f->name, 0); /* who was told that nothing was made finds nothing */
	}
	return r;
}

int
own_file_can_remove(const struct own_file *f)
{
	if (!own_file_exists(f) || faccessat(f->folder, ".", W_OK, AT_EACCESS) == 0)
		return 0;
	return -errno;
}

int
own_file_remove(const struct own_file *f)
{
	if (f->folder < 0)
		return 0;
	if (unlinkat(f->folder, f->name, 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(f->folder) < 0 ? -errno : 0;
}
