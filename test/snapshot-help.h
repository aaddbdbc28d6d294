#ifndef TEST_SNAPSHOT_HELP_H
#define TEST_SNAPSHOT_HELP_H
/*
 * What every test of snapshots needs: a folder of its own, files in it, and
 * writing and loading in one call.
 */
#include <dirent.h>

#include "base/hash.h"
#include "flood/snapshot-job.h"
#include "flood/snapshot-load.h"
#include "table-help.h"

enum { HELP_LOAD_LINES = 7 };

static unsigned int help_refusals; /* by the last help_load() */
static char help_refused_why[SNAPSHOT_WHY_MAX];

static inline void
help_folder_in(char folder[64], const char *where)
{
	snprintf(folder, 64, "%s/herd-test-snapshot-XXXXXX", where);
	if (!mkdtemp(folder))
		abort();
}

static inline void
help_folder(char folder[64])
{
	help_folder_in(folder, "/tmp");
}

/* A file, or a folder with files in it: nothing deeper is ever made. */
static inline void
help_remove_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] != '.' && unlink(path) < 0)
			(void)rmdir(path);
	}
	if (dir)
		closedir(dir);
	(void)rmdir(folder);
}

static inline int
help_count_matching(const char *folder, const char *part)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		count += entry->d_name[0] != '.' && strstr(entry->d_name, part);
	if (dir)
		closedir(dir);
	return count;
}

static inline int
help_count_files(const char *folder)
{
	return help_count_matching(folder, "");
}

static inline int
help_count_tmp(const char *folder)
{
	return help_count_matching(folder, ".tmp.");
}

static inline void
help_put_file(const char *folder, const char *name, struct text bytes)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes.at, bytes.len) != (ssize_t)bytes.len || close(fd) < 0)
		abort();
}

/* As much as there is room for; how much that was. */
static inline size_t
help_get_file(const char *folder, const char *name, char *bytes, size_t size)
{
	char path[512];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, bytes, size);
	if (n < 0)
		abort();
	close(fd);
	return (size_t)n;
}

static inline bool
help_file_is(const char *folder, const char *name, struct text want)
{
	char *have = malloc(want.len + 1);
	bool is;

	if (!have)
		abort();
	is = help_get_file(folder, name, have, want.len + 1) == want.len &&
	     memcmp(have, want.at, want.len) == 0;
	free(have);
	return is;
}

static inline uint64_t
help_fingerprint(struct table *t)
{
	uint64_t hash = 0, cursor = 0;

	while (table_fingerprint(t, &cursor, 1000, &hash) == 0)
		;
	return hash;
}

/* At once, without a rest. */
static inline struct snapshot_order
help_order(struct table *t, const char *shm, const char *folder)
{
	return (struct snapshot_order){.table = t, .folder = folder, .shm = shm};
}

static inline int
help_obey(const struct snapshot_order *order, struct snapshot_outcome *ret)
{
	static _Atomic uint64_t progress;
	static atomic_bool cancel;

	snapshot_write(order, &cancel, &progress, ret);
	return ret->error;
}

static inline int
help_write(struct table *t, const char *shm, const char *folder, struct snapshot_outcome *ret)
{
	const struct snapshot_order order = help_order(t, shm, folder);

	return help_obey(&order, ret);
}

static inline void
help_on_refused(void *user, const struct snapshot_refusal *refusal)
{
	(void)user;
	help_refusals++;
	snprintf(help_refused_why, sizeof(help_refused_why), "%s", refusal->why);
}

/* Into a table that is registered. 0 or negative errno. */
static inline int
help_load(struct table *t, const char *shm, const char *folder, int64_t ttl_ns, struct snapshot_loaded *ret)
{
	CLEANUP(snapshot_load_freep) struct snapshot_load *l = NULL;
	CLEANUP(cleanup_close) int fd = snapshot_open_folder(folder);
	int r;

	help_refusals = 0;
	help_refused_why[0] = '\0';
	*ret = (struct snapshot_loaded){0};
	if (fd < 0)
		return fd;
	r = snapshot_load_new(&l, fd, shm, ttl_ns, help_on_refused, NULL);
	while (r == 0)
		r = snapshot_load_step(l, t, HELP_LOAD_LINES);
	if (r != SNAPSHOT_E_END)
		return r;
	*ret = *snapshot_load_result(l);
	return 0;
}

#endif
