#ifndef TEST_CHECKS_H
#define TEST_CHECKS_H
/*
 * Counting of checks for fault programs: one line per check group, the sum at
 * the end, as test/run reads it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int checks_passed, checks_failed;
static unsigned long checks_wrong; /* in the group that is being checked */

enum { CHECKS_SHOWN = 10 };

/* Notes one thing that is wrong; the first few of a group are shown. */
static inline void __attribute__((format(printf, 1, 2))) checks_note(const char *format, ...)
{
	va_list arguments;

	if (checks_wrong++ >= CHECKS_SHOWN)
		return;
	fputs("  wrong: ", stdout);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

#define CHECK(condition, ...)                     \
	do {                                      \
		if (!(condition))                 \
			checks_note(__VA_ARGS__); \
	} while (0)

/* Ends a group: passed when nothing was wrong. */
static inline void __attribute__((format(printf, 1, 2))) checks_end(const char *format, ...)
{
	va_list arguments;

	fputs(checks_wrong ? "FAILED  " : "ok      ", stdout);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	if (checks_wrong)
		printf(": %lu wrong", checks_wrong);
	putchar('\n');
	fflush(stdout);
	if (checks_wrong)
		checks_failed++;
	else
		checks_passed++;
	checks_wrong = 0;
}

/* The last line; the exit status. */
static inline int
checks_done(void)
{
	printf("%d passed, %d failed\n", checks_passed, checks_failed);
	return checks_failed || !checks_passed;
}

/* For what the test itself cannot go on without. */
#define NEED(condition)                                                                             \
	do {                                                                                        \
		if (!(condition)) {                                                                 \
			printf("%s:%d: %s\n%d passed, %d failed\n", __FILE__, __LINE__, #condition, \
			       checks_passed, checks_failed + 1);                                   \
			exit(1);                                                                    \
		}                                                                                   \
	} while (0)

#endif
