/* What herdctl lets through to terminals and JSON: escape.c. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "ctl/escape.h"

static void
text(void **state)
{
	static const struct {
		struct text t;
		unsigned int flags;
		const char *want;
		size_t columns;
	} cases[] = {
		{TEXT(""), 0, "", 0},
		{TEXT("kiwi.cs.ucla.edu"), 0, "kiwi.cs.ucla.edu", 16},
		{TEXT("a\\b"), 0, "a\\b", 3},
		{TEXT("a\\b"), ESCAPE_REVERSIBLE, "a\\\\b", 4},
		{TEXT("\033[31m"), 0, "\\x1b[31m", 8},
		{TEXT("\x7f\t\n"), ESCAPE_UTF8, "\\x7f\\x09\\x0a", 12},
		{TEXT("caf\xc3\xa9"), ESCAPE_UTF8, "caf\xc3\xa9", 4},
		{TEXT("caf\xc3\xa9"), 0, "caf\\xc3\\xa9", 11},
		{TEXT("\xe4\xba\xac"), ESCAPE_UTF8, "\xe4\xba\xac", 2},
		{TEXT("\xf0\x9f\x90\x84"), ESCAPE_UTF8, "\xf0\x9f\x90\x84", 2},
		{TEXT("\xff\xfe"), ESCAPE_UTF8, "\\xff\\xfe", 8},
		{TEXT("\xc2\x9b"), ESCAPE_UTF8, "\\xc2\\x9b", 8},		     /* CSI */
		{TEXT("\xe2\x80\xae!"), ESCAPE_UTF8, "\\xe2\\x80\\xae!", 13},	     /* right to left */
		{TEXT("\xe2\x80\x8b"), ESCAPE_UTF8, "\\xe2\\x80\\x8b", 12},	     /* no width */
		{TEXT("\xf3\xa0\x81\x81"), ESCAPE_UTF8, "\\xf3\\xa0\\x81\\x81", 16}, /* a tag */
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct buffer out = {.max = 256};
		size_t columns;

		assert_int_equal(escape_text(&out, cases[i].t, cases[i].flags, &columns), 0);
		assert_text_equal(((struct text){out.bytes, out.len}), text_of(cases[i].want));
		assert_int_equal(columns, cases[i].columns);
		buffer_done(&out);
	}
}

static void
json(void **state)
{
	static const struct {
		struct text t, want;
	} cases[] = {
		{TEXT("{\"a\": [1, \"\\\\x\"]}\n"), TEXT("{\"a\": [1, \"\\\\x\"]}\n")},
		{TEXT("\"caf\xc3\xa9\""), TEXT("\"caf\xc3\xa9\"")},
		{TEXT("\"\xff\""), TEXT("\"\\ufffd\"")},
		{TEXT("\"\x7f\xc2\x9b\""), TEXT("\"\\u007f\\u009b\"")},
		{TEXT("\"\xf3\xa0\x81\x81\""), TEXT("\"\\udb40\\udc41\"")},
		{TEXT("{\r\n}"), TEXT("{ \n}")},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct buffer out = {.max = 256};

		assert_int_equal(escape_json(&out, cases[i].t), 0);
		assert_text_equal(((struct text){out.bytes, out.len}), cases[i].want);
		buffer_done(&out);
	}
}

/* Whatever comes in: what goes out is UTF-8 without controls, and never more than it was told. */
static void
any_bytes(void **state)
{
	char bytes[200];

	(void)state;
	srand(1);
	for (int round = 0; round < 20000; round++) {
		struct buffer out = {.max = 64 + (size_t)rand() % 1200};
		struct text t = {bytes, (size_t)rand() % sizeof(bytes)};
		int r;

		for (size_t i = 0; i < t.len; i++)
			bytes[i] = (char)(rand() % (round % 2 ? 256 : 64) + (round % 2 ? 0 : 0xb0));
		r = round % 4 < 2 ? escape_json(&out, t) : escape_text(&out, t, ESCAPE_UTF8, NULL);
		assert_true(r == 0 || r == -ENOBUFS);
		assert_true(out.len <= out.max);
		for (size_t i = 0; i < out.len; i++)
			assert_true((unsigned char)out.bytes[i] >= ' ' || out.bytes[i] == '\n' ||
				    out.bytes[i] == '\t');
		assert_true(r < 0 || utf8_valid((struct text){out.bytes, out.len}));
		buffer_done(&out);
	}
}

static void
locale(void **state)
{
	static const struct {
		const char *all, *ctype, *lang;
		bool want;
	} cases[] = {
		{NULL, NULL, NULL, false},	   {NULL, NULL, "de_DE.UTF-8", true},
		{NULL, NULL, "C.utf8", true},	   {"C", NULL, "C.UTF-8", false},
		{"", "C.UTF-8", "C", true},	   {NULL, NULL, "de_DE.ISO-8859-1", false},
		{NULL, NULL, "de_DE@euro", false},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
		const char *values[] = {cases[i].all, cases[i].ctype, cases[i].lang};

		for (int n = 0; n < 3; n++)
			values[n] ? setenv(names[n], values[n], 1) : unsetenv(names[n]);
		assert_int_equal(escape_locale_is_utf8(), cases[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text),
		cmocka_unit_test(json),
		cmocka_unit_test(any_bytes),
		cmocka_unit_test(locale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
