/*
 * Logging: log.c. stderr is moved aside to a pipe, a file or a socket while a
 * test looks at what arrives there; the journal is a socket of our own.
 */
#include "config.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static int real_stderr = -1;

static void
stderr_to(int fd)
{
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
}

static int
restore(void **state)
{
	(void)state;
	log_close();
	log_set_level(LOG_INFO);
	unsetenv("JOURNAL_STREAM");
	return dup2(real_stderr, STDERR_FILENO) < 0;
}

/* What is there now, as a string; "" when nothing is. */
static const char *
take(int fd)
{
	static char text[256 * 1024];
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	size_t len = 0;

	while (len < sizeof(text) - 1 && poll(&ready, 1, 0) == 1) {
		ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	return text;
}

static void
test_plain_lines(void **state)
{
	int end[2];

	(void)state;
	assert_int_equal(pipe(end), 0);
	stderr_to(end[1]);
	log_open("herd-member", "Alpha");
	log_info("Member '%s' is ready", "Alpha");
	assert_string_equal(take(end[0]), "herd-member[Alpha]: Member 'Alpha' is ready\n");
	log_open("herd-flood", NULL);
	log_error("%d", 7);
	assert_string_equal(take(end[0]), "herd-flood: 7\n");
	assert_int_equal(log_error_r(-ENOENT, "Cannot open '%s'", "x"), -ENOENT);
	assert_string_equal(take(end[0]), "herd-flood: Cannot open 'x': No such file or directory\n");
	log_event(LOG_NOTICE, "0123", LOG_FIELDS("HERD_PEER=%s", "Bravo"), "Peer '%s' is gone", "Bravo");
	assert_string_equal(take(end[0]), "herd-flood: Peer 'Bravo' is gone\n");
	errno = E2BIG;
	log_info("keeps errno");
	assert_int_equal(errno, E2BIG);
	close(end[0]);
	close(end[1]);
}

static int
evaluated(int *count)
{
	return ++*count;
}

static void
test_levels(void **state)
{
	int end[2], count = 0;

	(void)state;
	assert_int_equal(pipe(end), 0);
	stderr_to(end[1]);
	log_open("t", NULL);
	log_debug("%d", evaluated(&count));
	log_event(LOG_DEBUG, NULL, LOG_FIELDS("A=%d", evaluated(&count)), "%d", evaluated(&count));
	assert_int_equal(count, 0);
	log_set_level(LOG_DEBUG);
	assert_true(log_enabled(LOG_DEBUG));
	log_debug("%d", evaluated(&count));
	assert_int_equal(count, 1);
	log_set_level(LOG_ERR);
	log_warning("%d", evaluated(&count));
	assert_int_equal(log_print_r(LOG_WARNING, -EIO, "no"), -EIO);
	log_error("last");
	assert_string_equal(take(end[0]), "t: 1\nt: last\n");
	close(end[0]);
	close(end[1]);
}

/* No client writes a line of its own, or to the terminal. */
static void
test_escapes(void **state)
{
	int end[2];

	(void)state;
	assert_int_equal(pipe(end), 0);
	stderr_to(end[1]);
	log_open("t", "A\nB");
	log_info("in '%s'", "x\nt: forged\r\x1b[2J\xff \xc3\xa9");
	assert_string_equal(take(end[0]), "t[A\\x0aB]: in 'x\\x0at: forged\\x0d\\x1b[2J\\xff \xc3\xa9'\n");
	log_info("in '%s'", log_quote(&(struct log_quoted){{0}}, TEXT("a\0b\n")));
	assert_string_equal(take(end[0]), "t[A\\x0aB]: in 'a\\x00b\\x0a'\n");
	close(end[0]);
	close(end[1]);
}

static void
test_long_messages(void **state)
{
	static char junk[100000], dots[10000];
	int end[2];
	const char *line;

	(void)state;
	memset(junk, 'x', sizeof(junk) - 1);
	memset(dots, '\n', sizeof(dots) - 1);
	assert_int_equal(pipe(end), 0);
	stderr_to(end[1]);
	log_open("t", NULL);
	log_info("%s", junk);
	line = take(end[0]);
	assert_int_equal(strlen(line), 3 + LOG_TEXT_MAX - 1 + 1);
	assert_string_equal(line + strlen(line) - 5, "x...\n");
	log_info("%s", dots); /* four bytes each: still one write a pipe takes whole */
	line = take(end[0]);
	assert_in_range(strlen(line), LOG_TEXT_MAX, 4096);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	log_event(LOG_ERR, NULL, LOG_NO_FIELDS, "%s%s", junk, dots);
	line = take(end[0]);
	assert_int_equal(strlen(line), 3 + LOG_TEXT_MAX - 1 + 1);
	close(end[0]);
	close(end[1]);
}

/* A full pipe or socket costs messages, never time; how many is said afterwards. */
static void
check_full(int reader)
{
	const int sent = 20000;
	const char *got;
	char last[96];
	int lines = 0;

	log_open("t", NULL);
	for (int i = 0; i < sent; i++)
		log_info("message %d", i);
	got = take(reader);
	for (const char *c = got; (c = strchr(c, '\n')) != NULL; c++)
		lines++;
	assert_in_range(lines, 10, sent - 1);
	log_info("after");
	snprintf(last, sizeof(last), "t: Log messages lost before this one, nobody read them: %d\nt: after\n",
		 sent - lines);
	assert_string_equal(take(reader), last);
}

static void
test_full_pipe(void **state)
{
	int end[2];

	(void)state;
	assert_int_equal(pipe(end), 0);
	stderr_to(end[1]);
	check_full(end[0]);
	assert_int_equal(fcntl(end[1], F_GETFL) & O_NONBLOCK, 0); /* others share it */
	close(end[0]);
	close(end[1]);
}

static void
test_full_socket(void **state)
{
	int end[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, end), 0);
	stderr_to(end[1]);
	check_full(end[0]);
	close(end[0]);
	close(end[1]);
}

/* --- the journal ----------------------------------------------------------- */

struct journal {
	char folder[32];
	struct sockaddr_un at;
	int fd;
};

static void
journal_open(struct journal *j)
{
	memcpy(j->folder, "/tmp/herd-log-XXXXXX", sizeof("/tmp/herd-log-XXXXXX"));
	assert_non_null(mkdtemp(j->folder));
	j->at.sun_family = AF_UNIX;
	snprintf(j->at.sun_path, sizeof(j->at.sun_path), "%s/socket", j->folder);
	j->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(j->fd, (struct sockaddr *)&j->at, sizeof(j->at)), 0);
}

static void
journal_close(struct journal *j)
{
	close(j->fd);
	assert_int_equal(unlink(j->at.sun_path), 0);
	assert_int_equal(rmdir(j->folder), 0);
}

static void
test_journal_fields(void **state)
{
	struct journal j;

	(void)state;
	journal_open(&j);
	log_open_journal("herd-member", "Alpha", j.at.sun_path);
	log_warning("plain\nPRIORITY=0");
	assert_string_equal(take(j.fd), "PRIORITY=4\nSYSLOG_IDENTIFIER=herd-member\nHERD_MEMBER=Alpha\n"
					"MESSAGE=plain\\x0aPRIORITY=0\n");
	log_event(LOG_INFO, "13c88d3dbf264b1da0719c863e0fb655",
		  LOG_FIELDS("A=%d", -1, "B=%u", 2u, "C=%ld", -3L, "D=%lu", 4ul, "E=%lld", -5ll, "F=%llu",
			     6ull, "G=%zu", (size_t)7, "H=%s", "ei\nght"),
		  "eight %s", "fields");
	assert_string_equal(take(j.fd),
			    "PRIORITY=6\nSYSLOG_IDENTIFIER=herd-member\nHERD_MEMBER=Alpha\n"
			    "MESSAGE_ID=13c88d3dbf264b1da0719c863e0fb655\n"
			    "A=-1\nB=2\nC=-3\nD=4\nE=-5\nF=6\nG=7\nH=ei\\x0aght\nMESSAGE=eight fields\n");
	log_error_r(-EPERM, "no");
	assert_string_equal(take(j.fd), "PRIORITY=3\nSYSLOG_IDENTIFIER=herd-member\nHERD_MEMBER=Alpha\n"
					"ERRNO=1\nMESSAGE=no: Operation not permitted\n");
	journal_close(&j);
}

/* A journal that stopped, or went away and came back. */
static void
test_journal_stuck(void **state)
{
	struct journal j;
	unsigned int got = 0, lost = 0;
	const char *note;

	(void)state;
	journal_open(&j);
	log_open_journal("t", NULL, j.at.sun_path);
	for (unsigned int i = 0; i < 5000; i++)
		log_info("message %u", i);
	for (const char *c = take(j.fd); (c = strstr(c, "MESSAGE=message")) != NULL; c++)
		got++;
	assert_in_range(got, 1, 4999);
	log_info("after");
	note = take(j.fd);
	assert_int_equal(sscanf(strstr(note, "MESSAGE=") + 8,
				"Log messages lost before this one, nobody read them: %u", &lost),
			 1);
	assert_int_equal(lost + got, 5000);
	assert_non_null(strstr(note, "MESSAGE=after\n"));

	journal_close(&j);
	log_info("nobody is there");
	journal_open(&j);
	log_open_journal("t", NULL, j.at.sun_path);
	log_info("again");
	assert_non_null(strstr(take(j.fd), "MESSAGE=again\n"));
	journal_close(&j);
}

/* JOURNAL_STREAM counts only when stderr is what it names. */
static void
test_journal_stream(void **state)
{
	char stream[64];
	struct stat st;
	int end[2];

	(void)state;
	assert_int_equal(pipe(end), 0);
	stderr_to(end[1]);
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open("t", NULL);
	log_info("redirected since");
	assert_string_equal(take(end[0]), "t: redirected since\n");
	setenv("JOURNAL_STREAM", "1:", 1);
	log_open("t", NULL);
	log_info("nonsense");
	assert_string_equal(take(end[0]), "t: nonsense\n");
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open("t", NULL);
	log_debug("to the journal, below the level: nothing of it on stderr");
	log_set_level(LOG_DEBUG);
	log_debug("to the journal of this machine, if it has one");
	assert_string_equal(take(end[0]),
			    WITH_SYSTEMD ? "" : "t: to the journal of this machine, if it has one\n");
	close(end[0]);
	close(end[1]);
}

/* Before there is a journal the kernel gets it, and without a kernel's log stderr does. */
static void
test_early(void **state)
{
	char kernel[64], expected[128], text[2000];
	struct journal j;
	int end[2], fd;

	(void)state;
	journal_open(&j);
	snprintf(kernel, sizeof(kernel), "%s/kmsg", j.folder);
	assert_int_equal(mkfifo(kernel, 0600), 0);
	fd = open(kernel, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(pipe(end), 0);
	stderr_to(end[1]);

	log_open_early("herd-generator", j.at.sun_path, kernel);
	log_info("one");
	assert_string_equal(take(j.fd), "PRIORITY=6\nSYSLOG_IDENTIFIER=herd-generator\nMESSAGE=one\n");
	assert_false(log_missed_journal());
	close(j.fd); /* the file is there, but nobody reads any more */
	log_event(LOG_ERR, "0123", LOG_FIELDS("HERD_MEMBER=%s", "A"), "two\n<0>three");
	snprintf(expected, sizeof(expected), "<27>herd-generator[%d]: two\\x0a<0>three\n", (int)getpid());
	assert_string_equal(take(fd), expected);
	assert_true(log_missed_journal());
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	assert_in_range(strlen(take(fd)), 800, 976); /* what the kernel takes */
	close(fd);
	signal(SIGPIPE, SIG_IGN); /* which /dev/kmsg never causes */
	log_info("four");
	signal(SIGPIPE, SIG_DFL);
	assert_string_equal(take(end[0]), "herd-generator: four\n");
	log_open_early("herd-generator", "/nowhere", "/nowhere");
	log_info("five");
	assert_string_equal(take(end[0]), "herd-generator: five\n");
	log_open("t", NULL);
	log_info("six");
	assert_string_equal(take(end[0]), "t: six\n");
	close(end[0]);
	close(end[1]);
	assert_int_equal(unlink(kernel), 0);
	journal_close(&j);
}

/* A journal that is there, but full, as one that has not been started yet. */
static void
test_early_full(void **state)
{
	struct journal j;
	unsigned int got = 0, early = 0;
	int end[2];

	(void)state;
	journal_open(&j);
	assert_int_equal(pipe(end), 0);
	stderr_to(end[1]);
	log_open_early("t", j.at.sun_path, "/nowhere");
	for (unsigned int i = 0; i < 1000; i++)
		log_info("message %u", i);
	for (const char *c = take(j.fd); (c = strstr(c, "MESSAGE=message")) != NULL; c++)
		got++;
	for (const char *c = take(end[0]); (c = strstr(c, "t: message")) != NULL; c++)
		early++;
	assert_in_range(got, 1, 999);
	assert_int_equal(got + early, 1000);
	close(end[0]);
	close(end[1]);
	journal_close(&j);
}

/* --- limits ---------------------------------------------------------------- */

static void
test_limit(void **state)
{
	struct log_limit limit = LOG_LIMIT("tests", 3, 10);
	int64_t now = 5 * CLOCK_SECOND_NS;
	unsigned int allowed = 0;
	int end[2];

	(void)state;
	assert_int_equal(pipe(end), 0);
	stderr_to(end[1]);
	log_open("t", NULL);
	for (int i = 0; i < 10; i++)
		allowed += log_limit_allow(&limit, now + i);
	assert_int_equal(allowed, 3);
	assert_false(log_limit_allow(&limit, now + 10 * CLOCK_SECOND_NS - 1));
	assert_string_equal(take(end[0]), "");
	assert_true(log_limit_allow(&limit, now + 10 * CLOCK_SECOND_NS));
	assert_string_equal(take(end[0]), "t: Messages about tests kept back: 8\n");
	assert_true(log_limit_allow(&limit, now + 10 * CLOCK_SECOND_NS));
	assert_true(log_limit_allow(&limit, now + 10 * CLOCK_SECOND_NS));
	assert_false(log_limit_allow(&limit, now + 10 * CLOCK_SECOND_NS));
	assert_true(log_limit_allow(&limit, now + 60 * CLOCK_SECOND_NS));
	assert_string_equal(take(end[0]), "t: Messages about tests kept back: 1\n");
	close(end[0]);
	close(end[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_plain_lines, restore),
		cmocka_unit_test_teardown(test_levels, restore),
		cmocka_unit_test_teardown(test_escapes, restore),
		cmocka_unit_test_teardown(test_long_messages, restore),
		cmocka_unit_test_teardown(test_full_pipe, restore),
		cmocka_unit_test_teardown(test_full_socket, restore),
		cmocka_unit_test_teardown(test_journal_fields, restore),
		cmocka_unit_test_teardown(test_journal_stuck, restore),
		cmocka_unit_test_teardown(test_journal_stream, restore),
		cmocka_unit_test_teardown(test_early, restore),
		cmocka_unit_test_teardown(test_early_full, restore),
		cmocka_unit_test_teardown(test_limit, restore),
	};

	real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	if (real_stderr < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
