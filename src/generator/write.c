/*
 * Write: a plan becomes files. systemd may read the folder at any moment
 * after, so a file gets its name when it is whole; and a member of whom
 * something cannot be written loses the rest as well, because half of its
 * sockets are worse than a clear failure.
 */
#include "generator/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

#define FRESH ".herd-generator" /* what a file is called until it is whole */

static int
write_file(int folder, const char *name, const char *text)
{
	int r = file_write_fresh(folder, FRESH, text_of(text), false);

	if (r == 0 && renameat(folder, FRESH, folder, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(folder, FRESH, 0);
	return r;
}

static int
write_link(int folder, const char *name, const char *target)
{
	if (symlinkat(target, folder, name) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (unlinkat(folder, name, 0) < 0 || symlinkat(target, folder, name) < 0)
		return -errno;
	return 0;
}

/* The folder an item is in, made if need be. */
static int
open_folder(int top, const char *path, size_t len)
{
	char name[PLAN_PATH_MAX];
	int fd;

	snprintf(name, sizeof(name), "%.*s", len ? (int)len : 1, len ? path : ".");
	if (len && mkdirat(top, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int
write_item(int top, const struct plan_item *item)
{
	const char *slash = strchr(item->path, '/'), *name = slash ? slash + 1 : item->path;
	CLEANUP(cleanup_close)
	int folder = open_folder(top, item->path, slash ? (size_t)(slash - item->path) : 0);

	if (folder < 0)
		return folder;
	return item->text ? write_file(folder, name, item->text) : write_link(folder, name, item->target);
}

/* The folders stay: an empty one means nothing. */
static void
take_back(int top, const struct plan_item *item)
{
	(void)unlinkat(top, item->path, 0);
}

static size_t
items_of_one(const struct plan *plan, size_t first)
{
	size_t end = first;

	while (end < plan->count && plan->at[end].entry == plan->at[first].entry)
		end++;
	return end - first;
}

static bool
write_member(int top, const struct plan_item *items, size_t count, write_fault_fn *fault, void *user)
{
	size_t done = 0;
	int r = 0;

	while (r == 0 && done < count) {
		r = write_item(top, &items[done]);
		done += r == 0;
	}
	if (r == 0)
		return true;
	fault(user, items[0].entry, items[done].path, r);
	while (done > 0)
		take_back(top, &items[--done]);
	return false;
}

bool
write_plan(int top, const struct plan *plan, write_fault_fn *fault, void *user)
{
	bool all = true;

	for (size_t i = 0, count; i < plan->count; i += count) {
		count = items_of_one(plan, i);
		all &= write_member(top, &plan->at[i], count, fault, user);
	}
	return all;
}
