/*
 * Fails the n-th call into the system, for n = 1, 2, ... until there are no
 * more, while a snapshot is written and while one is loaded: each time there
 * is an error code or an answer, what was good on the disk is still there,
 * nothing half written stays, and the next try works. Calls are caught by the
 * linker (--wrap), see unit.am.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../snapshot-help.h"

/* --- the calls ------------------------------------------------------------------------ */

static long calls_left = -1;	/* until one fails; < 0: none does */
static int call_error;		/* what it says then */
static const char *failed;	/* the last one that did */
static size_t write_most;	/* bytes a write takes; 0: all */
static useconds_t write_us;	/* that a write takes longer */
static unsigned int interrupts; /* every so many reads and writes are interrupted first; 0: none */

static bool
fails(const char *call)
{
	if (calls_left < 0 || calls_left-- > 0)
		return false;
	failed = call;
	errno = call_error;
	return true;
}

static bool
is_interrupted(void)
{
	static unsigned int count;

	if (!interrupts || ++count % interrupts)
		return false;
	errno = EINTR;
	return true;
}

#define WRAP(type, name, parameters, arguments, failure)                   \
	type __real_##name parameters;                                     \
	type __wrap_##name parameters;                                     \
	type __wrap_##name parameters                                      \
	{                                                                  \
		return fails(#name) ? (failure) : __real_##name arguments; \
	}

WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(void *, malloc, (size_t size), (size), NULL)
WRAP(void *, mmap, (void *at, size_t len, int prot, int flags, int fd, off_t offset),
     (at, len, prot, flags, fd, offset), MAP_FAILED)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), -1)
WRAP(int, fstatat, (int fd, const char *path, struct stat *st, int flags), (fd, path, st, flags), -1)
WRAP(int, faccessat, (int fd, const char *path, int mode, int flags), (fd, path, mode, flags), -1)
WRAP(int, fsync, (int fd), (fd), -1)
WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), -1)
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags), -1)
WRAP(int, dup, (int fd), (fd), -1)

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t
__wrap_write(int fd, const void *bytes, size_t len)
{
	if (is_interrupted() || fails("write"))
		return -1;
	if (write_us)
		usleep(write_us);
	return __real_write(fd, bytes, write_most && len > write_most ? write_most : len);
}

ssize_t __real_pread(int fd, void *bytes, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t at);
ssize_t
__wrap_pread(int fd, void *bytes, size_t len, off_t at)
{
	return fails("pread") ? -1 : __real_pread(fd, bytes, len, at);
}

int __real_close(int fd);
int __wrap_close(int fd);
int
__wrap_close(int fd)
{
	/* Closed all the same, as Linux does it. */
	int saved = fails("close") ? errno : 0;
	int r = __real_close(fd);

	if (!saved)
		return r;
	errno = saved;
	return -1;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int
__wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	int fd, mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
	fd = fails("open") ? -1 : __real_open(path, flags, mode);
	va_end(arguments);
	return fd;
}

int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);
int
__wrap_openat(int folder, const char *path, int flags, ...)
{
	va_list arguments;
	int fd, mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
	fd = fails("openat") ? -1 : __real_openat(folder, path, flags, mode);
	va_end(arguments);
	return fd;
}

/* --- a herd ------------------------------------------------------------------------------ */

enum { CLIENTS = 1500, CALLS_MAX = 10000 };

struct fixture {
	char folder[64], shm[HELP_NAME_MAX];
	struct table *t;
	uint64_t version; /* of the fixes in it */
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	calls_left = -1;
	write_most = 0;
	write_us = 0;
	interrupts = 0;
	help_folder(f->folder);
	help_name(f->shm);
	assert_int_equal(help_open_writer(&f->t, f->shm, CLIENTS, 64, 0), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	calls_left = -1;
	table_free(f->t);
	table_unlink(f->shm);
	help_remove_folder(f->folder);
	free(f);
	return 0;
}

static void
fill(struct fixture *f, uint64_t version)
{
	char bytes[HERD_ID_MAX];

	for (uint32_t i = 0; i < CLIENTS; i++)
		assert_int_equal(help_put_version(f->t, help_id(bytes, i, 20), version, 0), 0);
}

/* Which version of all the fixes a table loaded from the folder has; 0: none. */
static uint64_t
version_on_disk(struct fixture *f)
{
	struct snapshot_loaded loaded;
	struct table *t = NULL;
	char bytes[HERD_ID_MAX], name[HELP_NAME_MAX];
	uint64_t version = 0, first = 0;

	help_name(name);
	assert_int_equal(help_open_writer(&t, name, CLIENTS, 64, 0), 0);
	assert_int_equal(help_load(t, f->shm, f->folder, 0, &loaded), 0);
	for (uint32_t i = 0; i < CLIENTS && loaded.name[0]; i++) {
		assert_int_equal(help_version(t, help_id(bytes, i, 20), &version), 0);
		if (i == 0)
			first = version;
		assert_int_equal(version, first);
	}
	table_free(t);
	table_unlink(name);
	return loaded.name[0] ? version : 0;
}

static void
check_write(struct fixture *f, int error)
{
	struct snapshot_outcome out;
	uint64_t held;
	long n;

	fill(f, ++f->version);
	assert_int_equal(help_write(f->t, f->shm, f->folder, &out), 0);
	for (n = 0; n < CALLS_MAX; n++) {
		int r;

		fill(f, ++f->version);
		failed = NULL;
		call_error = error;
		calls_left = n;
		r = help_write(f->t, f->shm, f->folder, &out);
		calls_left = -1;
		if (!failed) {
			assert_int_equal(r, 0);
			break;
		}
		/* Never half of it, and never less than the one before. */
		held = version_on_disk(f);
		assert_int_equal(help_refusals, 0);
		if (r == 0)
			assert_int_equal(held, f->version);
		else if (strcmp(failed, "fsync") == 0)
			assert_true(held == f->version ||
				    held == f->version - 1); /* of the folder, or of the file */
		else
			assert_int_equal(held, f->version - 1);
		if (strcmp(failed, "unlinkat") != 0)
			assert_int_equal(help_count_tmp(f->folder), 0);
		/* And the next one works. */
		assert_int_equal(help_write(f->t, f->shm, f->folder, &out), 0);
		assert_int_equal(version_on_disk(f), f->version);
		assert_true(help_count_files(f->folder) <= 2);
	}
	assert_true(n > 15 && n < CALLS_MAX);
}

static void
test_write(void **state)
{
	static const int errors[] = {EIO, ENOSPC, EROFS, EMFILE, EDQUOT};

	for (size_t i = 0; i < ELEMENTS(errors); i++)
		check_write(*state, errors[i]);
}

/* Only what is opened and read: a file is refused, or loaded, or there is no memory. */
static void
test_load(void **state)
{
	struct fixture *f = *state;
	struct snapshot_outcome out;
	long n;

	for (n = 0; n < CALLS_MAX; n++) {
		struct snapshot_loaded loaded;
		int r;

		fill(f, (uint64_t)n * 2 + 1);
		assert_int_equal(help_write(f->t, f->shm, f->folder, &out), 0);
		fill(f, (uint64_t)n * 2 + 2);
		assert_int_equal(help_write(f->t, f->shm, f->folder, &out), 0);
		failed = NULL;
		call_error = EIO;
		calls_left = n;
		r = help_load(f->t, f->shm, f->folder, 0, &loaded);
		calls_left = -1;
		if (!failed) {
			assert_int_equal(r, 0);
			assert_int_equal(loaded.fixes, CLIENTS);
			break;
		}
		assert_true(r <= 0);
		if (r == 0) {
			/* What could not be read is kept, and the other one was taken. */
			assert_true(loaded.name[0] != '\0');
			assert_int_equal(help_count_matching(f->folder, ".bad"), help_refusals);
		}
		/* A later start finds what is there. */
		r = help_load(f->t, f->shm, f->folder, 0, &loaded);
		assert_int_equal(r, 0);
		assert_true(loaded.name[0] != '\0');
		help_remove_folder(f->folder);
		assert_int_equal(mkdir(f->folder, 0700), 0);
	}
	assert_true(n > 8 && n < CALLS_MAX);
}

/* A disk that takes little at a time, and is interrupted. */
static void
test_short_writes(void **state)
{
	struct fixture *f = *state;
	struct snapshot_outcome out;

	fill(f, 7);
	for (write_most = 1; write_most < 100000; write_most *= 7) {
		interrupts = (unsigned int)write_most % 5 + 2;
		assert_int_equal(help_write(f->t, f->shm, f->folder, &out), 0);
		assert_int_equal(version_on_disk(f), 7);
	}
}

/* As if the processor had been somebody else's for a while: no reason to rest for minutes, deaf to the end. */
static void
test_rests_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct snapshot_order order = help_order(f->t, f->shm, f->folder);
	struct snapshot_outcome out;

	fill(f, 7);
	write_us = 100000;
	write_most = 60000;
	order.within_ns = 100000 * CLOCK_SECOND_NS;
	order.idle_share = 1000;
	assert_int_equal(help_obey(&order, &out), 0);
	assert_in_range(out.duration_ns, 200 * CLOCK_MSEC_NS, 60 * CLOCK_SECOND_NS);
}

/* A limit on the size of files is an error, not the end of the process. */
static void
test_file_size_limit(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, small;
	struct snapshot_job *job = NULL;
	struct snapshot_order order = help_order(f->t, f->shm, f->folder);
	struct snapshot_outcome out;
	int wakeup = eventfd(0, EFD_CLOEXEC);
	eventfd_t count;

	fill(f, 1);
	assert_int_equal(help_write(f->t, f->shm, f->folder, &out), 0);
	fill(f, 2);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 70000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(snapshot_job_new(&job, &order, wakeup), 0);
	assert_int_equal(eventfd_read(wakeup, &count), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_true(snapshot_job_ended(job, &out));
	assert_int_equal(out.error, -EFBIG);
	assert_string_equal(out.doing, "write");
	snapshot_job_free(job);
	close(wakeup);
	assert_int_equal(version_on_disk(f), 1);
	assert_int_equal(help_count_files(f->folder), 1);
}

/* No memory, no descriptor: no thread. */
static void
test_job(void **state)
{
	struct fixture *f = *state;
	const struct snapshot_order order = help_order(f->t, f->shm, f->folder);
	int wakeup = eventfd(0, EFD_CLOEXEC);

	for (long n = 0; n < 2; n++) {
		struct snapshot_job *job = NULL;

		call_error = n ? EMFILE : ENOMEM;
		calls_left = n;
		assert_int_equal(snapshot_job_new(&job, &order, wakeup), -call_error);
		calls_left = -1;
		assert_null(job);
		assert_string_equal(failed, n ? "dup" : "calloc");
	}
	close(wakeup);
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_write),	    TEST(test_load),
		TEST(test_short_writes),    TEST(test_rests_are_bounded),
		TEST(test_file_size_limit), TEST(test_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
