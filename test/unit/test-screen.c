/* What of a page a window shows. */
#include "ctl/screen.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

static void
assert_clipped(const char *page, unsigned int columns, unsigned int rows, const char *shown)
{
	char *bytes = NULL;
	size_t len = 0;
	FILE *file = open_memstream(&bytes, &len);

	assert_non_null(file);
	screen_clip(file, text_of(page), columns, rows);
	assert_int_equal(fclose(file), 0);
	assert_string_equal(bytes, shown);
	free(bytes);
}

#define END "\x1b[K"

static void
test_fits(void **state)
{
	(void)state;
	assert_clipped("", 10, 2, "");
	assert_clipped("one\ntwo\n", 10, 2, "one" END "\r\ntwo" END);
	assert_clipped("one\ntwo", 3, 2, "one" END "\r\ntwo" END);
	assert_clipped("\n\n", 10, 5, END "\r\n" END);
}

static void
test_rows(void **state)
{
	(void)state;
	assert_clipped("one\ntwo\nthree\n", 10, 2, "one" END "\r\ntwo" END);
	assert_clipped("one\n", 10, 0, "");
}

static void
test_columns(void **state)
{
	(void)state;
	assert_clipped("three\n", 3, 1, "thr" END);
	assert_clipped("three\n", 0, 1, END);
	/* Characters, not bytes; none is cut. */
	assert_clipped("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z\n", 3, 1, "a\xc3\xa4\xe2\x82\xac" END);
	assert_clipped("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z\n", 4, 1,
		       "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" END);
}

static void
test_colour(void **state)
{
	(void)state;
	/* Takes no room, and is switched off beyond the edge as well. */
	assert_clipped("\x1b[1mab\x1b[0mcd\n", 3, 1, "\x1b[1mab\x1b[0mc" END);
	assert_clipped("\x1b[38;5;1mabcd\x1b[0m\n", 2, 1, "\x1b[38;5;1mab\x1b[0m" END);
	/* What is none counts as it is. */
	assert_clipped("\x1b[2Jx\n", 2, 1, "\x1b[" END);
	assert_clipped("\x1b[", 5, 1, "\x1b[" END);
	assert_clipped("\x1b[1", 5, 1, "\x1b[1" END);
}

int
main(void)
{
#define T(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		T(test_fits),
		T(test_rows),
		T(test_columns),
		T(test_colour),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
