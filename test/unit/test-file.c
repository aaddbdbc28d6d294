/*
 * Files come to be as a whole, with their mode, or what was there stays: when
 * the disk does not do as it should, too.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

static char path[64];
static int folder;
static int syncs_left, renames_left; /* until one fails; -1: none does */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int from, const char *old, int to, const char *name);
int __wrap_renameat(int from, const char *old, int to, const char *name);

static bool
fails(int *left, int error)
{
	if (*left == 0) {
		errno = error;
		return true;
	}
	*left -= *left > 0;
	return false;
}

int
__wrap_fsync(int fd)
{
	return fails(&syncs_left, EIO) ? -1 : __real_fsync(fd);
}

int
__wrap_renameat(int from, const char *old, int to, const char *name)
{
	return fails(&renames_left, EROFS) ? -1 : __real_renameat(from, old, to, name);
}

static int
set_up(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/tmp/herd-test-file-XXXXXX");
	assert_non_null(mkdtemp(path));
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(folder >= 0);
	syncs_left = renames_left = -1;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	(void)unlinkat(folder, "f", 0);
	close(folder);
	return rmdir(path); /* fails when anything else was left */
}

static void
expect(const char *text, mode_t mode)
{
	CLEANUP(buffer_done) struct buffer b = {.max = 100};
	struct stat st;

	assert_int_equal(file_read(folder, "f", &b), 0);
	assert_text_equal(((struct text){b.bytes, b.len}), text_of(text));
	assert_int_equal(fstatat(folder, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

static void
test_replace(void **state)
{
	mode_t old = umask(0077);

	(void)state;
	assert_int_equal(file_replace(folder, "f", TEXT("one"), 0644), 0);
	expect("one", 0644);
	umask(0);
	assert_int_equal(file_replace(folder, "f", TEXT("two"), 0600), 0);
	expect("two", 0600);
	umask(old);
}

static void
test_what_was_there_stays(void **state)
{
	(void)state;
	assert_int_equal(file_replace(folder, "f", TEXT("one"), 0600), 0);
	syncs_left = 0;
	assert_int_equal(file_replace(folder, "f", TEXT("two"), 0644), -EIO);
	expect("one", 0600);
	syncs_left = -1;
	renames_left = 0;
	assert_int_equal(file_replace(folder, "f", TEXT("two"), 0644), -EROFS);
	expect("one", 0600);
	renames_left = -1;
	syncs_left = 1; /* the file's own is done, the folder's is not: whoever asks is told */
	assert_int_equal(file_replace(folder, "f", TEXT("two"), 0644), -EIO);
	expect("two", 0644);
}

static void
test_leftovers_and_links(void **state)
{
	(void)state;
	assert_int_equal(symlinkat("/nonexistent/herd", folder, ".f.new"), 0);
	assert_int_equal(file_replace(folder, "f", TEXT("one"), 0644), 0);
	expect("one", 0644);
}

static void
test_names(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(file_replace(folder, name, TEXT("one"), 0644), -ENAMETOOLONG);
	assert_int_equal(file_replace(folder, "no/such", TEXT("one"), 0644), -ENOENT);
}

static void
test_read(void **state)
{
	CLEANUP(buffer_done) struct buffer b = {.max = 3};
	CLEANUP(buffer_done) struct buffer large = {.max = 10000};
	char bytes[9000];

	(void)state;
	assert_int_equal(file_read(folder, "f", &b), -ENOENT);
	assert_int_equal(file_read(folder, ".", &b), -EISDIR);
	assert_int_equal(mkfifoat(folder, "f", 0600), 0);
	assert_int_equal(file_read(folder, "f", &b), -EINVAL);
	assert_int_equal(unlinkat(folder, "f", 0), 0);
	memset(bytes, 'a', sizeof(bytes));
	assert_int_equal(file_replace(folder, "f", (struct text){bytes, sizeof(bytes)}, 0644), 0);
	assert_int_equal(file_read(folder, "f", &b), -EFBIG);
	assert_int_equal(file_read(folder, "f", &large), 0);
	assert_text_equal(((struct text){large.bytes, large.len}), ((struct text){bytes, sizeof(bytes)}));
}

static void
test_identity(void **state)
{
	struct file_identity one, other, none = {0};
	struct stat st;

	(void)state;
	assert_int_equal(file_replace(folder, "f", TEXT("one"), 0644), 0);
	assert_int_equal(fstatat(folder, "f", &st, 0), 0);
	one = file_identity(&st);
	assert_true(file_identity_equal(&one, &one));
	assert_false(file_identity_equal(&one, &none));
	st.st_mtim.tv_nsec ^= 1;
	other = file_identity(&st);
	assert_false(file_identity_equal(&one, &other));
	st.st_mtim.tv_nsec ^= 1;
	st.st_size++;
	other = file_identity(&st);
	assert_false(file_identity_equal(&one, &other));
}

static void
test_lock(void **state)
{
	int second = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(file_lock(folder), 0);
	assert_int_equal(file_lock(folder), 0);
	assert_int_equal(file_lock(second), -EBUSY);
	close(folder);
	assert_int_equal(file_lock(second), 0);
	folder = second;
	assert_int_equal(file_lock(-1), -EBADF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_replace, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_was_there_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_leftovers_and_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_identity, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
