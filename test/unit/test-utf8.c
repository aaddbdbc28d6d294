/* What may reach a terminal: utf8.c. */
#include "unit.h"

#include <stdlib.h>

#include "base/utf8.h"

static void
characters(void **state)
{
	static const struct {
		struct text t;
		size_t first;
	} cases[] = {
		{TEXT(""), 0},
		{TEXT("a"), 1},
		{TEXT("\0"), 1},
		{TEXT("\x7f"), 1},
		{TEXT("\x80"), 0},
		{TEXT("\xc1\xbf"), 0}, /* overlong */
		{TEXT("\xc2\x80"), 2},
		{TEXT("\xdf\xbf!"), 2},
		{TEXT("\xc3"), 0},
		{TEXT("\xc3("), 0},
		{TEXT("\xe0\x9f\xbf"), 0}, /* overlong */
		{TEXT("\xe0\xa0\x80"), 3},
		{TEXT("\xe2\x82\xac"), 3},
		{TEXT("\xe2\x82"), 0},
		{TEXT("\xed\x9f\xbf"), 3},
		{TEXT("\xed\xa0\x80"), 0},     /* surrogate */
		{TEXT("\xf0\x8f\xbf\xbf"), 0}, /* overlong */
		{TEXT("\xf0\x90\x80\x80"), 4},
		{TEXT("\xf0\x9f\x90\x84"), 4},
		{TEXT("\xf4\x8f\xbf\xbf"), 4},
		{TEXT("\xf4\x90\x80\x80"), 0}, /* past U+10FFFF */
		{TEXT("\xf5\x80\x80\x80"), 0},
		{TEXT("\xff"), 0},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++)
		assert_int_equal(utf8_first(cases[i].t), cases[i].first);
	assert_true(utf8_valid(TEXT("K\xc3\xbche \xf0\x9f\x90\x84")));
	assert_false(utf8_valid(TEXT("K\xfche")));
}

static void
check_escape(struct text in, size_t size, const char *expected)
{
	char *out = malloc(size); /* exactly: the sanitizer sees one byte more */

	assert_non_null(out);
	assert_int_equal(utf8_escape(in, out, size), strlen(expected));
	assert_string_equal(out, expected);
	free(out);
}

static void
escapes(void **state)
{
	(void)state;
	check_escape(TEXT(""), 8, "");
	check_escape(TEXT("a\nb"), 64, "a\\x0ab");
	check_escape(TEXT("\0\x1b[2J\x7f"), 64, "\\x00\\x1b[2J\\x7f");
	check_escape(TEXT("caf\xc3\xa9 \xc2\x9b"
			  "31m"),
		     64, "caf\xc3\xa9 \\xc2\\x9b31m");
	check_escape(TEXT("\xff\xc3"), 64, "\\xff\\xc3");
}

static void
cuts(void **state)
{
	(void)state;
	check_escape(TEXT("1234567"), 8, "1234567");
	check_escape(TEXT("12345678"), 8, "1234...");
	check_escape(TEXT("123\xe2\x82\xac"
			  "5"),
		     8,
		     "123\xe2\x82\xac"
		     "5");
	check_escape(TEXT("1234\xe2\x82\xac"
			  "5"),
		     8, "1234...");
	check_escape(TEXT("123\xe2\x82\xac"
			  "56"),
		     8, "123...");
	check_escape(TEXT("\n\n\n"), 8, "\\x0a...");
	check_escape(TEXT("1\n\n"), 8, "1...");
}

static void
whole_characters(void **state)
{
	static const struct text mixed = TEXT("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x84z");
	static const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};

	(void)state;
	for (size_t i = 0; i <= mixed.len; i++)
		assert_int_equal(utf8_cut((struct text){mixed.at, i}), want[i]);
	/* What is no UTF-8 anyway stays. */
	assert_int_equal(utf8_cut(TEXT("\x80\x80\x80\x80\x80")), 5);
	assert_int_equal(utf8_cut(TEXT("\x80")), 1);
	assert_int_equal(utf8_cut(TEXT("a\xc3\xa9\xa9")), 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters),
		cmocka_unit_test(escapes),
		cmocka_unit_test(cuts),
		cmocka_unit_test(whole_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
