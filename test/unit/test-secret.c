/*
 * Tests of places/secret.h: whose key is taken, from where, and where it is
 * not found afterwards.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/utf8.h"
#include "places/secret.h"

#define KEY "AIzaSyTheKeyOfThisTest-0123456789"

static char folder[] = "/tmp/test-secret.XXXXXX";
static char path[64], credential[64];
static char why[SECRET_WHY_MAX];

static void
write_file(const char *to, const char *bytes, size_t len, mode_t mode)
{
	int fd;

	unlink(to);
	fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
expect_key(const char *file, const char *key)
{
	struct secret *s = NULL;

	assert_int_equal(secret_load(&s, "google-key", file, why), 0);
	assert_true(text_equal(secret_text(s), text_of(key)));
	assert_null(secret_free(s));
}

static void
expect_refused(int error, const char *word)
{
	struct secret *s = NULL;

	why[0] = '\0';
	assert_int_equal(secret_load(&s, "google-key", path, why), error);
	assert_null(s);
	assert_non_null(strstr(why, word));
	assert_non_null(strstr(why, path));
	assert_null(strstr(why, "AIza"));
}

static void
test_file(void **state)
{
	struct secret *s = NULL;

	(void)state;
	assert_int_equal(secret_load(&s, "google-key", NULL, why), SECRET_E_NONE);
	assert_int_equal(secret_load(&s, "google-key", "", why), SECRET_E_NONE);
	assert_int_equal(secret_load(&s, "google-key", path, why), SECRET_E_NONE);
	write_file(path, KEY, strlen(KEY), 0600);
	expect_key(path, KEY);
	write_file(path, KEY "\n", strlen(KEY) + 1, 0400);
	expect_key(path, KEY);
	assert_null(secret_free(NULL));
}

static void
test_modes(void **state)
{
	static const mode_t bad[] = {0640, 0604, 0660, 0602, 0644, 0610};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(path, KEY, strlen(KEY), bad[i]);
		expect_refused(-EPERM, "expected mode 0600 or 0400");
	}
	if (geteuid() != 0)
		return;
	write_file(path, KEY, strlen(KEY), 0600);
	assert_int_equal(chown(path, 12345, 12345), 0);
	expect_refused(-EPERM, "belongs to user 12345");
}

/* A long path is cut in the sentence, between two characters. */
static void
test_long_path(void **state)
{
	(void)state;
	for (size_t before = 1; before < 4; before++) {
		struct secret *s = NULL;
		char long_path[400];
		size_t len = (size_t)snprintf(long_path, sizeof(long_path), "/%.*s", (int)before, "xxx");

		for (; len < 240;
		     len += 3) /* no file can have such a name: that is all there is to say of it */
			memcpy(long_path + len, "\342\202\254", 3);
		memset(long_path + len, 'y', 100);
		long_path[len + 100] = '\0';
		assert_int_equal(secret_load(&s, "google-key", long_path, why), -ENAMETOOLONG);
		assert_true(utf8_valid(text_of(why)));
		assert_non_null(strstr(why, "\342\202\254': "));
	}
}

static void
test_no_plain_file(void **state)
{
	char target[80];

	(void)state;
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	expect_refused(-EINVAL, "no plain file");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_refused(-EINVAL, "no plain file");
	unlink(path);
	snprintf(target, sizeof(target), "%s/target", folder);
	write_file(target, KEY, strlen(KEY), 0644);
	assert_int_equal(symlink(target, path), 0);
	expect_refused(-EPERM, "expected mode");
	assert_int_equal(chmod(target, 0400), 0);
	expect_key(path, KEY);
	unlink(target);
}

static void
test_no_key(void **state)
{
	static const struct text bad[] = {
		TEXT(""),      TEXT("\n"),  TEXT("a b"),  TEXT("a\n\n"),
		TEXT("a\r\n"), TEXT("\ta"), TEXT("a\0b"), TEXT("k\xc3\xa9y"),
	};
	char longest[SECRET_LEN_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(path, bad[i].at, bad[i].len, 0600);
		expect_refused(-EINVAL, "holds no key");
	}
	memset(longest, 'k', sizeof(longest));
	longest[SECRET_LEN_MAX] = '\0';
	write_file(path, longest, SECRET_LEN_MAX, 0600);
	expect_key(path, longest);
	longest[SECRET_LEN_MAX] = 'k';
	write_file(path, longest, SECRET_LEN_MAX + 1, 0600);
	expect_refused(-EINVAL, "holds no key");
}

/* It comes before the file, and its mode is the service manager's business. */
static void
test_credential(void **state)
{
	(void)state;
	write_file(path, KEY, strlen(KEY), 0600);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	expect_key(path, KEY);
	write_file(credential, "other", 5, 0440);
	expect_key(path, "other");
	expect_key(NULL, "other");
	unlink(credential);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/nowhere", 1), 0);
	expect_key(path, KEY);
	unsetenv("CREDENTIALS_DIRECTORY");
}

/* What the kernel says of the pages that an address is in: "dd": not dumped, "dc": not for children. */
static bool
page_has(const void *address, const char *flag)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	char line[512];
	bool is_it = false, found = false;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			is_it = (uintptr_t)address >= from && (uintptr_t)address < to;
		if (is_it && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(file);
	return found;
}

static void
test_in_no_dump(void **state)
{
	struct secret *s = NULL;
	int status;
	pid_t child;

	(void)state;
	write_file(path, KEY, strlen(KEY), 0600);
	assert_int_equal(secret_load(&s, "google-key", path, why), 0);
	assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
	assert_int_equal(prctl(PR_SET_DUMPABLE, 1), 0); /* else nobody may look */
	assert_true(page_has(secret_text(s).at, " dd"));
	assert_true(page_has(secret_text(s).at, " dc"));
	assert_int_equal(prctl(PR_SET_DUMPABLE, 0), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		const struct rlimit any = {RLIM_INFINITY, RLIM_INFINITY};

		signal(SIGABRT, SIG_DFL);
		(void)setrlimit(RLIMIT_CORE, &any);
		if (chdir(folder) == 0)
			abort();
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && !WCOREDUMP(status));
	secret_free(s);
	(void)prctl(PR_SET_DUMPABLE, 1);
}

static int
make_folder(void **state)
{
	(void)state;
	unsetenv("CREDENTIALS_DIRECTORY");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/key", folder);
	snprintf(credential, sizeof(credential), "%s/google-key", folder);
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	unlink(path);
	unlink(credential);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),	   cmocka_unit_test(test_modes),
		cmocka_unit_test(test_long_path),  cmocka_unit_test(test_no_plain_file),
		cmocka_unit_test(test_no_key),	   cmocka_unit_test(test_credential),
		cmocka_unit_test(test_in_no_dump),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
