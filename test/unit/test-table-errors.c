/*
 * Fails the n-th call into the system, for n = 1, 2, ... until there are no
 * more, in everything that gets hold of a table: each time there is an error
 * code or an answer, nothing leaks, what was there is still there, and the
 * next try works. Calls are caught by the linker (--wrap), see unit.am.
 */
#include "unit.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include "../table-help.h"

/* --- the calls ------------------------------------------------------------------ */

static long calls_left = -1; /* until one fails; < 0: none does */
static const char *failed;   /* the last one that did */

/* Counts one call; true when it is the one that fails. */
static bool
fails(const char *call, int error)
{
	if (calls_left < 0 || calls_left-- > 0)
		return false;
	failed = call;
	errno = error;
	return true;
}

#define WRAP(type, name, parameters, arguments, error, failure)                   \
	type __real_##name parameters;                                            \
	type __wrap_##name parameters;                                            \
	type __wrap_##name parameters                                             \
	{                                                                         \
		return fails(#name, error) ? (failure) : __real_##name arguments; \
	}

WRAP(void *, calloc, (size_t n, size_t size), (n, size), ENOMEM, NULL)
WRAP(void *, mmap, (void *at, size_t len, int prot, int flags, int fd, off_t offset),
     (at, len, prot, flags, fd, offset), ENOMEM, MAP_FAILED)
WRAP(int, posix_fallocate, (int fd, off_t offset, off_t len), (fd, offset, len), 0, ENOSPC)
WRAP(int, ftruncate, (int fd, off_t len), (fd, len), ENOSPC, -1)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), EIO, -1)
WRAP(int, lstat, (const char *path, struct stat *st), (path, st), EIO, -1)
WRAP(ssize_t, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at), EIO, -1)
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags),
     EACCES, -1)
WRAP(int, unlink, (const char *path), (path), EACCES, -1)
WRAP(int, memfd_create, (const char *name, unsigned int flags), (name, flags), EMFILE, -1)
WRAP(ssize_t, getrandom, (void *to, size_t n, unsigned int flags), (to, n, flags), EIO, -1)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int
__wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	int fd, mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
	fd = fails("open", EMFILE) ? -1 : __real_open(path, flags, mode);
	va_end(arguments);
	return fd;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int
__wrap_fcntl(int fd, int command, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	/* What a lock that somebody else holds looks like. */
	return fails("fcntl", EAGAIN) ? -1 : __real_fcntl(fd, command, argument);
}

/* --- the scenarios ---------------------------------------------------------------- */

struct scenario {
	const char *name;
	/* Makes what is needed; table is what the operation works on, or NULL. */
	struct table *(*prepare)(const char *name);
	/* The operation, which may fail; *table is what there is afterwards. */
	int (*operate)(const char *name, struct table **table);
	bool keeps; /* the fix that prepare() stored must still be there, or come back */
};

static struct sigaction table_on_sigbus;

static struct text
client_id(char bytes[HERD_ID_MAX])
{
	return help_id(bytes, 1, 30);
}

static struct table *
prepare_nothing(const char *name)
{
	(void)name;
	return NULL;
}

static struct table *
prepare_registered(const char *name)
{
	struct table *t = NULL;
	char bytes[HERD_ID_MAX];

	assert_int_equal(help_open_writer(&t, name, 20, 20, 0), 0);
	assert_int_equal(help_put_version(t, client_id(bytes), 7, 0), 0);
	return t;
}

static struct table *
prepare_closed(const char *name)
{
	return table_free(prepare_registered(name));
}

static struct table *
prepare_open(const char *name)
{
	struct table *t = NULL;

	table_free(prepare_registered(name));
	assert_int_equal(help_open(&t, name, 20, 20, 0), 0);
	return t;
}

static struct table *
prepare_unlinked(const char *name)
{
	struct table *t = prepare_registered(name);

	assert_int_equal(shm_unlink(name), 0);
	return t;
}

static struct table *
prepare_damaged(const char *name)
{
	struct table *t = prepare_registered(name);
	int fd = __real_open(help_path(name), O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "xxxx", 4, 40), 4);
	close(fd);
	return t;
}

static struct table *
prepare_damaged_closed(const char *name)
{
	return table_free(prepare_damaged(name));
}

static struct table *
prepare_lost(const char *name)
{
	struct table *t = prepare_registered(name);
	struct herd_fix fix;
	char bytes[HERD_ID_MAX];

	assert_int_equal(truncate(help_path(name), 0), 0);
	assert_int_equal(help_find(t, client_id(bytes), 0, &fix), -EFAULT);
	return t;
}

static struct table *
prepare_reader(const char *name)
{
	struct table *t = NULL;

	table_free(prepare_registered(name));
	assert_int_equal(table_open_readonly(&t, name, 0), 0);
	assert_int_equal(shm_unlink(name), 0);
	table_free(prepare_registered(name));
	return t;
}

static int
operate_open(const char *name, struct table **table)
{
	return help_open_writer(table, name, 20, 20, 1);
}

static int
operate_open_readonly(const char *name, struct table **table)
{
	return table_open_readonly(table, name, 0);
}

static int
operate_open_private(const char *name, struct table **table)
{
	const struct table_options options = {.clients = 20, .long_clients = 20};

	(void)name;
	return table_open_private(table, &options);
}

static int
operate_register(const char *name, struct table **table)
{
	(void)name;
	return table_register(*table, TABLE_MEMBER, "w5", "");
}

static int
operate_refresh(const char *name, struct table **table)
{
	int r = table_refresh(*table);

	(void)name;
	return r == TABLE_E_MOVED ? 0 : r;
}

static const struct scenario scenarios[] = {
	{"create", prepare_nothing, operate_open, false},
	{"open", prepare_closed, operate_open, true},
	{"open a damaged one", prepare_damaged_closed, operate_open, false},
	{"open for reading", prepare_closed, operate_open_readonly, true},
	{"open a private one", prepare_nothing, operate_open_private, false},
	{"register", prepare_open, operate_register, true},
	{"refresh, nothing new", prepare_registered, operate_refresh, true},
	{"refresh, name gone", prepare_unlinked, operate_refresh, true},
	{"refresh, damaged", prepare_damaged, operate_refresh, true},
	{"refresh, cut short", prepare_lost, operate_refresh, false},
	{"refresh of a reader", prepare_reader, operate_refresh, true},
};

static int
lowest_descriptor(void)
{
	int fd = __real_open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

/* One run with the n-th call failing; false: there are not that many. */
static bool
run(const struct scenario *s, const char *name, long n)
{
	int descriptor = lowest_descriptor(), r, again;
	struct table *t = s->prepare(name);
	char bytes[HERD_ID_MAX];
	uint64_t version = 0;
	bool was_hit;

	failed = NULL;
	calls_left = n;
	r = s->operate(name, &t);
	calls_left = -1;
	was_hit = failed != NULL;
	if (!was_hit || r > 0)
		assert_int_equal(r, 0); /* an answer would be about somebody else */
	/* What failed for want of something works when there is enough. */
	again = r == 0 ? 0 : s->operate(name, &t);
	if (again != 0)
		fail_msg("%s: not again after %s (call %ld): %d", s->name, failed, n, again);
	assert_non_null(t);
	r = help_version(t, client_id(bytes), &version);
	if (s->keeps && (r != 0 || version != 7))
		fail_msg("%s: the fix is lost after %s (call %ld): %d", s->name, failed, n, r);
	else
		assert_true(r == 0 || r == TABLE_E_UNKNOWN);
	table_free(t);
	(void)shm_unlink(name);
	if (lowest_descriptor() != descriptor)
		fail_msg("%s: a descriptor leaks when %s (call %ld) fails", s->name, failed, n);
	return was_hit;
}

static void
test_every_call_fails(void **state)
{
	char name[HELP_NAME_MAX];

	(void)state;
	/* cmocka has put its own handler there. */
	assert_int_equal(sigaction(SIGBUS, &table_on_sigbus, NULL), 0);
	help_name(name);
	for (size_t i = 0; i < ELEMENTS(scenarios); i++) {
		long n = 0;

		while (run(&scenarios[i], name, n)) {
			n++;
			assert_true(n < 10000);
		}
		assert_true(n > 0); /* the linker did its part */
		print_message("%s: %ld calls\n", scenarios[i].name, n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_call_fails),
	};

	if (sigaction(SIGBUS, NULL, &table_on_sigbus) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
