/*
 * Tests of places/budget.h: both limits, restarts and kills, days that turn,
 * clocks that jump, files that say anything.
 */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../random.h"
#include "base/clock.h"
#include "places/budget.h"

#define S   CLOCK_SECOND_NS
#define DAY (86400 * S)

static char folder[] = "/tmp/test-budget.XXXXXX";
static char path[sizeof(folder) + 16];
static struct budget *b;

static void
renew(const char *in, uint32_t per_day)
{
	assert_int_equal(budget_new(&b, in, "budget"), 0);
	budget_limit(b, 0, per_day);
}

/* Takes until it is refused, or `most` times; how many it were. */
static uint32_t
take_all(int64_t wall_ns, uint32_t most)
{
	uint32_t count = 0;

	while (count < most && budget_take(b, 0, wall_ns) == 0)
		count++;
	return count;
}

static void
write_bytes(struct text bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes.at, bytes.len), bytes.len);
	close(fd);
}

/* The `used` of the file. */
static uint32_t
file_used(void)
{
	char bytes[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, bytes, sizeof(bytes));
	uint32_t used = UINT32_MAX;
	int64_t day;

	close(fd);
	assert_int_equal(budget_parse((struct text){bytes, (size_t)len}, &day, &used), 0);
	return used;
}

static void
limits_a_second(void **state)
{
	int64_t now_ns = 100 * S;

	(void)state;
	assert_int_equal(budget_new(&b, NULL, "budget"), 0);
	budget_limit(b, 10, 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(budget_take(b, now_ns, 0), 0);
	assert_int_equal(budget_take(b, now_ns, 0), BUDGET_E_SECOND);
	assert_int_equal(budget_wait_ns(b, now_ns), S / 10);
	assert_int_equal(budget_take(b, now_ns + S / 10 - 1, 0), BUDGET_E_SECOND);
	assert_int_equal(budget_take(b, now_ns + S / 10, 0), 0);
	assert_int_equal(budget_take(b, now_ns + S / 10, 0), BUDGET_E_SECOND);
	now_ns += 3600 * S; /* an idle hour saves up no more than a second's */
	for (int i = 0; i < 10; i++)
		assert_int_equal(budget_take(b, now_ns, 0), 0);
	assert_int_equal(budget_take(b, now_ns, 0), BUDGET_E_SECOND);
	budget_limit(b, 0, 0);
	assert_int_equal(budget_wait_ns(b, now_ns), 0);
	assert_int_equal(budget_take(b, now_ns, 0), 0);
	b = budget_free(b);
}

static void
one_a_second(void **state)
{
	(void)state;
	assert_int_equal(budget_new(&b, NULL, "budget"), 0);
	budget_limit(b, 1, 0);
	assert_int_equal(budget_take(b, 0, 0), 0);
	assert_int_equal(budget_wait_ns(b, 0), S);
	assert_int_equal(budget_take(b, S - 1, 0), BUDGET_E_SECOND);
	assert_int_equal(budget_take(b, S, 0), 0);
	b = budget_free(b);
}

static void
limits_a_day(void **state)
{
	int64_t wall_ns = 20000 * DAY;

	(void)state;
	renew(NULL, 1000);
	assert_int_equal(take_all(wall_ns, 2000), 1000);
	assert_int_equal(budget_take(b, 0, wall_ns + DAY - 1), BUDGET_E_DAY);
	assert_int_equal(budget_used(b, wall_ns), 1000);
	assert_int_equal(budget_used(b, wall_ns + DAY), 0);
	assert_int_equal(take_all(wall_ns + DAY, 2000), 1000);
	budget_limit(b, 0, 1500); /* more is allowed from now on */
	assert_int_equal(take_all(wall_ns + DAY, 2000), 500);
	budget_limit(b, 0, 100);
	assert_int_equal(budget_take(b, 0, wall_ns + DAY), BUDGET_E_DAY);
	assert_null(budget_trouble(b));
	b = budget_free(b);
}

static void
gives_no_second_budget_to_a_clock_that_jumps(void **state)
{
	int64_t wall_ns = 20000 * DAY;

	(void)state;
	renew(NULL, 1000);
	assert_int_equal(take_all(wall_ns, 600), 600);
	assert_int_equal(take_all(wall_ns - S, 100), 100); /* a second before midnight again */
	assert_int_equal(take_all(wall_ns, 1000), 300);
	assert_int_equal(take_all(wall_ns - S, 1000), 0);
	assert_int_equal(take_all(wall_ns - 10 * DAY, 1000), 0); /* nor the day a week before */
	assert_int_equal(take_all(-wall_ns, 1000), 0);
	assert_int_equal(take_all(wall_ns + DAY, 2000), 1000);
	b = budget_free(b);
}

static void
keeps_the_count_over_a_restart(void **state)
{
	int64_t wall_ns = 20000 * DAY;

	(void)state;
	renew(folder, 1000);
	assert_int_equal(take_all(wall_ns, 123), 123);
	b = budget_free(b);
	assert_int_equal(file_used(), 123);
	renew(folder, 1000);
	assert_null(budget_trouble(b));
	assert_int_equal(take_all(wall_ns, 2000), 877);
	b = budget_free(b);
	renew(folder, 1000);
	assert_int_equal(take_all(wall_ns, 2000), 0);
	assert_int_equal(take_all(wall_ns + DAY, 10), 10);
	b = budget_free(b);
	assert_int_equal(file_used(), 10);
}

static void
asks_no_more_for_being_killed(void **state)
{
	int64_t wall_ns = 20000 * DAY;
	uint32_t asked = 0, kills = 0;
	uint64_t random = random_seed(2);

	(void)state;
	for (uint32_t took = 1; took > 0; kills++) {
		char bytes[256];
		ssize_t len;
		int fd;

		renew(folder, 1000);
		took = take_all(wall_ns, 1 + (uint32_t)random_below(&random, 50));
		asked += took;
		/* What the disk has at this moment is what a killed one leaves. */
		fd = open(path, O_RDONLY | O_CLOEXEC);
		len = read(fd, bytes, sizeof(bytes));
		close(fd);
		b = budget_free(b);
		assert_true(len > 0);
		write_bytes((struct text){bytes, (size_t)len});
	}
	assert_in_range(asked, 1000 - 10 * kills, 1000);
}

/* What was used of a new day is not hidden behind more that was used of the old one. */
static void
writes_down_a_new_day_at_once(void **state)
{
	struct budget *next;

	(void)state;
	renew(folder, 1000);
	assert_int_equal(take_all(20000 * DAY, 500), 500);
	assert_int_equal(take_all(20001 * DAY, 5), 5);
	assert_int_equal(budget_new(&next, folder, "budget"), 0); /* as after a kill */
	assert_in_range(budget_used(next, 20001 * DAY), 5, 15);
	next = budget_free(next);
	b = budget_free(b);
}

static void
writes_seldom(void **state)
{
	struct stat before, after;
	uint32_t writes = 0;

	(void)state;
	renew(folder, 10000);
	for (int i = 0; i < 10000; i++) {
		if (stat(path, &before) < 0)
			before.st_ino = 0;
		assert_int_equal(budget_take(b, 0, 20000 * DAY), 0);
		assert_int_equal(stat(path, &after), 0);
		writes += after.st_ino != before.st_ino || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec;
	}
	assert_true(writes <= 100);
	b = budget_free(b);
}

static void
says_that_it_cannot_use_a_file(void **state)
{
	const char *said;

	(void)state;
	write_bytes(TEXT("herd-budget 1\nday 20000\nused 5\nmore"));
	renew(folder, 10);
	said = budget_trouble(b);
	assert_non_null(said);
	assert_non_null(strstr(said, "damaged"));
	assert_null(budget_trouble(b)); /* once */
	assert_int_equal(take_all(20000 * DAY, 100), 10);
	b = budget_free(b);
	renew(folder, 10);
	assert_null(budget_trouble(b)); /* it was replaced */
	assert_int_equal(take_all(20000 * DAY, 100), 0);
	b = budget_free(b);
}

static void
goes_on_in_memory(void **state)
{
	(void)state;
	renew("/nonexistent/folder", 10);
	assert_non_null(budget_trouble(b));
	assert_int_equal(take_all(20000 * DAY, 100), 10);
	assert_null(budget_trouble(b));
	b = budget_free(b);

	assert_int_equal(mkdir(path, 0700), 0); /* nothing can be renamed over it */
	renew(folder, 1000);
	assert_non_null(budget_trouble(b));
	assert_int_equal(budget_take(b, 0, 20000 * DAY), 0);
	assert_non_null(budget_trouble(b));
	assert_int_equal(take_all(20000 * DAY, 2000), 999);
	assert_null(budget_trouble(b));
	assert_int_equal(rmdir(path), 0);
	b = budget_free(b);
}

static void
makes_no_file_without_a_limit(void **state)
{
	(void)state;
	renew(folder, 0);
	assert_int_equal(take_all(20000 * DAY, 100), 100);
	b = budget_free(b);
	assert_int_equal(access(path, F_OK), -1);
}

/* --- the parser ------------------------------------------------------------------ */

static void
parses_only_what_it_writes(void **state)
{
	static const char good[] = "herd-budget 1\nday 20000\nused 4294967295\n";
	static const char *const bad[] = {
		"",
		"\n",
		"herd-budget 2\nday 20000\nused 5\n",
		"herd-budget 1\nday 20000\nused 4294967296\n",
		"herd-budget 1\nday 20000\nused 99999999999999999999\n",
		"herd-budget 1\nday 1000001\nused 5\n",
		"herd-budget 1\nday -1\nused 5\n",
		"herd-budget 1\nday \nused 5\n",
		"herd-budget 1\nday 20000\nused \n",
		"herd-budget 1\nday 20000\nused +5\n",
		"herd-budget 1\nday 20000\nused 5",
		"herd-budget 1\nday 20000\nused 5\n\n",
		"herd-budget 1\r\nday 20000\r\nused 5\r\n",
	};
	uint32_t used = 7;
	int64_t day = 7;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		assert_int_equal(budget_parse(text_of(bad[i]), &day, &used), -EBADMSG);
	for (size_t len = 0; len < sizeof(good) - 1; len++) {
		char *exact = malloc(len ? len : 1); /* so that a sanitizer sees a byte too far */

		assert_non_null(exact);
		memcpy(exact, good, len);
		assert_int_equal(budget_parse((struct text){exact, len}, &day, &used), -EBADMSG);
		free(exact);
	}
	assert_int_equal(day, 7);
	assert_int_equal(used, 7);
	assert_int_equal(budget_parse(text_of(good), &day, &used), 0);
	assert_int_equal(day, 20000);
	assert_int_equal(used, UINT32_MAX);
}

static void
survives_any_file(void **state)
{
	static const char good[] = "herd-budget 1\nday 20000\nused 500\n";
	uint64_t random = random_seed(3);

	(void)state;
	for (int i = 0; i < 100000; i++) {
		char bytes[sizeof(good)];
		int64_t day = -7;
		uint32_t used;

		memcpy(bytes, good, sizeof(bytes));
		for (size_t n = 1 + random_below(&random, 3); n > 0; n--)
			bytes[random_below(&random, sizeof(bytes) - 1)] = (char)(unsigned char)random_u64(
				&random);
		if (budget_parse((struct text){bytes, sizeof(bytes) - 1}, &day, &used) == 0)
			assert_in_range(day, 0, 1000000);
		else
			assert_int_equal(day, -7);
	}
}

static int
setup_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/budget", folder);
	return 0;
}

static int
remove_file(void **state)
{
	(void)state;
	(void)unlink(path);
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	return rmdir(folder); /* which also says that nothing else was left in it */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_a_second),
		cmocka_unit_test(one_a_second),
		cmocka_unit_test(limits_a_day),
		cmocka_unit_test(gives_no_second_budget_to_a_clock_that_jumps),
		cmocka_unit_test_teardown(keeps_the_count_over_a_restart, remove_file),
		cmocka_unit_test_teardown(asks_no_more_for_being_killed, remove_file),
		cmocka_unit_test_teardown(writes_down_a_new_day_at_once, remove_file),
		cmocka_unit_test_teardown(writes_seldom, remove_file),
		cmocka_unit_test_teardown(says_that_it_cannot_use_a_file, remove_file),
		cmocka_unit_test(goes_on_in_memory),
		cmocka_unit_test(makes_no_file_without_a_limit),
		cmocka_unit_test(parses_only_what_it_writes),
		cmocka_unit_test(survives_any_file),
	};

	return cmocka_run_group_tests(tests, setup_folder, remove_folder);
}
