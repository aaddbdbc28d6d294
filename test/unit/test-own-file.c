/*
 * A member's own file is there as a whole, and safe, or not at all: what is
 * left when the disk does not do as it should.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/own-file.h"

static char folder[64], config[80];
static int syncs_left; /* until one fails; -1: none does */

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int
__wrap_fsync(int fd)
{
	if (syncs_left == 0) {
		errno = EIO;
		return -1;
	}
	syncs_left -= syncs_left > 0;
	return __real_fsync(fd);
}

static int
set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/herd-test-own-file-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(config, sizeof(config), "%s/c", folder);
	syncs_left = -1;
	return 0;
}

static int
tear_down(void **state)
{
	char drop_ins[96];

	(void)state;
	snprintf(drop_ins, sizeof(drop_ins), "%s.d", config);
	return rmdir(drop_ins) + rmdir(folder); /* fails when anything was left */
}

static void
test_make_and_remove(void **state)
{
	CLEANUP(own_file_done) struct own_file f = {.folder = -1};
	mode_t old = umask(0077);
	struct stat st;

	(void)state;
	assert_int_equal(own_file_open(&f, config, "Bravo", true), 0);
	assert_false(own_file_exists(&f));
	assert_int_equal(own_file_make(&f, TEXT("[member Bravo]\n")), 0);
	umask(old);
	assert_true(own_file_exists(&f));
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_size, 15);
	assert_int_equal(own_file_make(&f, TEXT("x")), -EEXIST);
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_size, 15);
	assert_int_equal(own_file_remove(&f), 0);
	assert_int_equal(own_file_remove(&f), 0);
	assert_false(own_file_exists(&f));
}

/* Neither the file nor what it was written as is left, whichever call fails. */
static void
test_disk_fails(void **state)
{
	CLEANUP(own_file_done) struct own_file f = {.folder = -1};
	int r;

	(void)state;
	assert_int_equal(own_file_open(&f, config, "Bravo", true), 0);
	for (int n = 0; n < 2; n++) {
		syncs_left = n;
		r = own_file_make(&f, TEXT("[member Bravo]\n"));
		assert_int_equal(r, -EIO);
		assert_false(own_file_exists(&f));
	}
	syncs_left = 2;
	assert_int_equal(own_file_make(&f, TEXT("[member Bravo]\n")), 0);
	syncs_left = -1;
	assert_int_equal(own_file_remove(&f), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_make_and_remove, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_disk_fails, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
