/* One line out of many facts: report.c. */
#include "unit.h"

#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "net/report.h"

static void
test_line(void **state)
{
	char line[REPORT_LINE_MAX];
	struct report r = {0};

	(void)state;
	report_line(&r, line);
	assert_string_equal(line, "");
	report_fact(&r, "%u clients", 3U);
	report_line(&r, line);
	assert_string_equal(line, "3 clients");
	report_fact(&r, "%u fixes", 7U);
	report_degraded(&r, "no %s", "helper");
	report_degraded(&r, "no places");
	report_line(&r, line);
	assert_string_equal(line, "3 clients, 7 fixes. Degraded: no helper; no places");
	report_note(&r, "later");
	report_line(&r, line);
	assert_string_equal(line, "3 clients, 7 fixes. Degraded: no helper; no places. Note: later");
}

static void
test_bounds(void **state)
{
	char line[REPORT_LINE_MAX], text[400];
	struct report r = {0};

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 100; i++) {
		report_fact(&r, "%s", text);
		report_degraded(&r, "%s", text);
		report_note(&r, "%s", text);
	}
	assert_int_equal(r.degraded.count, REPORT_ITEMS_MAX);
	assert_int_equal(r.notes.count, REPORT_ITEMS_MAX);
	assert_int_equal(strlen(r.facts), REPORT_TEXT_MAX - 1);
	for (size_t i = 0; i < REPORT_ITEMS_MAX; i++)
		assert_string_equal(r.notes.at[i] + REPORT_TEXT_MAX - 5, "x...");
	report_line(&r, line);
	assert_int_equal(strlen(line), REPORT_LINE_MAX - 1);
	assert_string_equal(line + REPORT_LINE_MAX - 5, "x...");
}

/* Never half a character, whatever stands where the text is cut. */
static void
test_cut(void **state)
{
	static const char *const letters[] = {"\303\244", "\342\202\254", "\360\237\246\231"};

	(void)state;
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		for (size_t before = 0; before < 4; before++) {
			char text[400], line[REPORT_LINE_MAX];
			struct report r = {0};
			size_t len = before;

			memset(text, 'x', before);
			for (; len + 4 < sizeof(text); len += strlen(letters[i]))
				memcpy(text + len, letters[i], strlen(letters[i]));
			text[len] = '\0';
			report_fact(&r, "%s", text);
			report_fact(&r, "%s", "no room");
			report_fact(&r, "%s", letters[i]);
			assert_true(strlen(r.facts) >= REPORT_TEXT_MAX - 4);
			assert_memory_equal(r.facts, text, strlen(r.facts) - 3);
			assert_string_equal(r.facts + strlen(r.facts) - 3, "...");
			assert_true(utf8_valid((struct text){r.facts, strlen(r.facts)}));
			for (int k = 0; k < REPORT_ITEMS_MAX; k++)
				report_degraded(&r, "%s", text);
			report_line(&r, line);
			assert_true(strlen(line) >= REPORT_LINE_MAX - 4);
			assert_true(utf8_valid((struct text){line, strlen(line)}));
		}
}

static void
test_rate(void **state)
{
	char text[REPORT_RATE_MAX];
	struct report_rate rate = {0};
	int64_t now_ns = 5 * CLOCK_SECOND_NS;

	(void)state;
	assert_string_equal(report_rate(&rate, 1000, now_ns, text), "0");     /* nothing to compare with */
	assert_string_equal(report_rate(&rate, 5000, now_ns + 1, text), "0"); /* too soon */
	now_ns += 2 * CLOCK_SECOND_NS;
	assert_string_equal(report_rate(&rate, 1007, now_ns, text), "3.5");
	now_ns += 2 * CLOCK_SECOND_NS;
	assert_string_equal(report_rate(&rate, 25007, now_ns, text), "12000");
	assert_string_equal(report_rate(&rate, 25007, now_ns, text), "12000");
	now_ns += CLOCK_SECOND_NS;
	assert_string_equal(report_rate(&rate, 25007, now_ns, text), "0");
	now_ns += CLOCK_SECOND_NS;
	assert_string_equal(report_rate(&rate, 7, now_ns, text), "0"); /* fewer: somebody has gone */
	now_ns += CLOCK_SECOND_NS;
	assert_string_equal(report_rate(&rate, 16, now_ns, text), "9.0");
	now_ns += CLOCK_SECOND_NS;
	assert_string_equal(report_rate(&rate, 26, now_ns, text), "10");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
