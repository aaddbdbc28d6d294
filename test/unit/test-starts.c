/*
 * How long a program holds back, over many of its lives: starts.c. The linker
 * puts our own clock before the real one.
 */
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "../notify-help.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/starts.h"

static int64_t skew_ns; /* what the clock is ahead */

int __real_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret);

int
__wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = __real_clock_gettime(id, ret);
	int64_t ns = ret->tv_sec * CLOCK_SECOND_NS + ret->tv_nsec + skew_ns;

	*ret = (struct timespec){ns / CLOCK_SECOND_NS, ns % CLOCK_SECOND_NS};
	return r;
}

struct fixture {
	struct manager manager;
	struct notify *notify;
	struct starts *starts;
	int stored; /* what the service manager has; -1: nothing */
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->stored = -1;
	manager_open(&f->manager);
	assert_int_equal(notify_new(&f->notify), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	starts_free(f->starts);
	notify_free(f->notify);
	if (f->stored >= 0)
		close(f->stored);
	manager_close(&f->manager);
	free(f);
	return 0;
}

/* One more life; the last one is over, however it was. */
static struct starts *
begin(struct fixture *f)
{
	f->starts = starts_free(f->starts);
	assert_int_equal(starts_new(&f->starts, f->notify, f->stored < 0 ? -1 : dup(f->stored)), 0);
	if (f->stored < 0) {
		assert_string_equal(manager_hear(&f->manager), "FDSTORE=1\nFDPOLL=0\nFDNAME=starts");
		f->stored = dup(f->manager.passed);
	}
	assert_string_equal(manager_hear(&f->manager), ""); /* stored once */
	return f->starts;
}

static void
live(struct fixture *f, int64_t ns)
{
	skew_ns += ns;
	(void)f;
}

#define MS CLOCK_MSEC_NS

static void
test_clean_ends_cost_nothing(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 20; i++) {
		struct starts *s = begin(f);

		assert_int_equal(starts_wait_ns(s), 0);
		assert_int_equal(starts_hold_ns(s), 0);
		assert_int_equal(starts_bad(s), 0);
		if (i % 2)
			starts_ready(s, 0);
		starts_end(s);
	}
}

static void
test_starts_that_fail(void **state)
{
	static const int64_t waits[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTS(waits); i++) {
		struct starts *s = begin(f);

		assert_int_equal(starts_bad(s), i);
		assert_int_equal(starts_wait_ns(s), 0); /* it waited at its end */
		assert_int_equal(starts_fail(s), waits[i] * MS);
	}
	for (int i = 0; i < 2000; i++)
		assert_int_equal(starts_fail(begin(f)), 5000 * MS);
	starts_ready(begin(f), 0); /* this one comes up */
	starts_end(f->starts);
	assert_int_equal(starts_fail(begin(f)), 100 * MS);
}

/* Killed before they could say a word. */
static void
test_starts_that_die(void **state)
{
	static const int64_t waits[] = {0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTS(waits); i++)
		assert_int_equal(starts_wait_ns(begin(f)), waits[i] * MS);
	starts_ready(f->starts, 0); /* this one comes up, and is killed */
	assert_int_equal(starts_wait_ns(begin(f)), 0);
	assert_int_equal(starts_hold_ns(f->starts), 0);
}

/* Up, and dead within seconds: the first few are forgiven. */
static void
test_short_lives(void **state)
{
	static const int64_t holds[] = {0, 0, 0, 0, 100, 200, 400, 800, 1000, 1000, 1000, 1000};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTS(holds); i++) {
		struct starts *s = begin(f);

		assert_int_equal(starts_wait_ns(s), 0);
		assert_int_equal(starts_hold_ns(s), holds[i] * MS);
		starts_ready(s, starts_hold_ns(s));
		live(f, holds[i] * MS + 9 * CLOCK_SECOND_NS); /* holding back is no life */
		assert_int_equal(starts_fail(s), 0);	      /* whatever it says at its end */
	}
	begin(f);
	starts_ready(f->starts, 0);
	live(f, 11 * CLOCK_SECOND_NS); /* long enough: the count starts over */
	begin(f);
	assert_int_equal(starts_bad(f->starts), 1);
	assert_int_equal(starts_hold_ns(f->starts), 0);
	starts_ready(f->starts, 0);
	starts_end(f->starts);
	assert_int_equal(starts_bad(begin(f)), 0);
}

/* A record that somebody spoilt is no record, and makes nobody wait. */
static void
test_bad_records(void **state)
{
	struct fixture *f = *state;
	unsigned char bytes[64], good[64];
	ssize_t size;

	starts_fail(begin(f));
	size = pread(f->stored, good, sizeof(good), 0);
	assert_true(size > 16);
	for (ssize_t i = 0; i <= size; i++) {
		memcpy(bytes, good, (size_t)size);
		if (i < size)
			bytes[i] = 0xff;
		f->starts = starts_free(f->starts);
		assert_int_equal(ftruncate(f->stored, 0), 0);
		assert_int_equal(pwrite(f->stored, bytes, (size_t)(i < size ? size : size - 1), 0),
				 i < size ? size : size - 1);
		assert_int_equal(starts_new(&f->starts, f->notify, dup(f->stored)), 0);
		assert_true(starts_wait_ns(f->starts) <= 5000 * MS);
		assert_true(starts_hold_ns(f->starts) <= 5000 * MS);
		/* Magic, phase, counts too high: begun anew, and stored instead of it. */
		if ((i < 16 && i != 12) || i == size) {
			assert_int_equal(starts_bad(f->starts), 0);
			assert_string_equal(manager_hear(&f->manager), "FDSTOREREMOVE=1\nFDNAME=starts");
			assert_string_equal(manager_hear(&f->manager), "FDSTORE=1\nFDPOLL=0\nFDNAME=starts");
		}
		while (manager_hear(&f->manager)[0])
			;
	}
}

/* The time is the last thing in it; no clock has begun before 0. */
static void
test_record_of_no_time(void **state)
{
	struct fixture *f = *state;
	const int64_t least = INT64_MIN;
	struct stat st;

	starts_ready(begin(f), 0);
	assert_int_equal(fstat(f->stored, &st), 0);
	assert_int_equal(pwrite(f->stored, &least, sizeof(least), st.st_size - (off_t)sizeof(least)),
			 sizeof(least));
	f->starts = starts_free(f->starts);
	assert_int_equal(starts_new(&f->starts, f->notify, dup(f->stored)), 0);
	assert_int_equal(starts_bad(f->starts), 0);
	assert_string_equal(manager_hear(&f->manager), "FDSTOREREMOVE=1\nFDNAME=starts");
}

/* Not a file at all, or one that cannot be written. */
static void
test_other_descriptors(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(starts_new(&f->starts, f->notify, fds[0]), 0);
	assert_int_equal(starts_bad(f->starts), 0);
	assert_string_equal(manager_hear(&f->manager), "FDSTOREREMOVE=1\nFDNAME=starts");
	assert_string_equal(manager_hear(&f->manager), "FDSTORE=1\nFDPOLL=0\nFDNAME=starts");
	close(fds[1]);
}

static void
test_nobody_manages(void **state)
{
	struct starts *s = NULL;

	(void)state;
	starts_begin(&s, NULL, STARTS_BEFORE_READY);
	assert_null(s);
	assert_int_equal(starts_hold(s), 0);
	starts_ready(s, 0);
	assert_int_equal(starts_bad(s), 0);
	assert_int_equal(starts_wait_ns(s), 0);
	assert_int_equal(starts_fail(s), 0);
	starts_end(s);
	assert_int_equal(starts_exit(s, NULL, 0), 0);
	assert_int_equal(starts_exit(s, NULL, 78), 78);
	assert_null(starts_free(s));
}

/* The last error becomes the status, and the end waits. */
static void
test_exit(void **state)
{
	struct fixture *f = *state;
	int64_t began_ns = clock_monotonic_ns();

	log_error("It is broken");
	assert_int_equal(starts_exit(begin(f), f->notify, 78), 78);
	assert_string_equal(manager_hear(&f->manager), "STATUS=It is broken");
	assert_true(clock_monotonic_ns() - began_ns >= 100 * MS);
	assert_int_equal(starts_bad(begin(f)), 1);
	assert_int_equal(starts_exit(f->starts, f->notify, 0), 0);
	assert_int_equal(starts_bad(begin(f)), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_clean_ends_cost_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_starts_that_fail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_starts_that_die, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_lives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_record_of_no_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_descriptors, setup, teardown),
		cmocka_unit_test(test_nobody_manages),
		cmocka_unit_test_setup_teardown(test_exit, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
