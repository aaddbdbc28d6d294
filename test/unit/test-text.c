/* Tests of base/text.h and base/digits.h: fields, comparing, numbers. */
#include "unit.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "../random.h"
#include "base/digits.h"
#include "base/text.h"

static void
test_space_is_six_bytes(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		bool space = c == ' ' || c == '\t' || c == '\n' || c == '\v' || c == '\f' || c == '\r';

		assert_int_equal(text_is_space((char)(unsigned char)c), space);
		assert_int_equal(text_is_digit((char)(unsigned char)c), c >= '0' && c <= '9');
	}
}

static void
test_compare(void **state)
{
	(void)state;
	assert_true(text_compare(TEXT("a"), TEXT("b")) < 0);
	assert_true(text_compare(TEXT("b"), TEXT("a")) > 0);
	assert_true(text_compare(TEXT("ab"), TEXT("ab")) == 0);
	assert_true(text_compare(TEXT("a"), TEXT("ab")) < 0);
	assert_true(text_compare(TEXT("ab"), TEXT("a")) > 0);
	assert_true(text_compare(TEXT(""), TEXT("")) == 0);
	assert_true(text_compare(TEXT(""), TEXT("a")) < 0);
	assert_true(text_compare(TEXT("a\xff"), TEXT("a\x01")) > 0);
	assert_true(text_equal(TEXT("a\0b"), TEXT("a\0b")));
	assert_false(text_equal(TEXT("a\0b"), TEXT("a\0c")));
}

static void
test_fields(void **state)
{
	struct text rest = TEXT(" \t one\r\ntwo\v\fthree ");

	(void)state;
	assert_text_equal(text_take_field(&rest), TEXT("one"));
	assert_text_equal(text_take_field(&rest), TEXT("two"));
	assert_text_equal(text_take_field(&rest), TEXT("three"));
	assert_int_equal(text_take_field(&rest).len, 0);
	assert_int_equal(text_take_field(&rest).len, 0);
	assert_int_equal(rest.len, 0);
}

static void
put_u64(uint64_t value)
{
	char have[32], want[32];
	char *end = text_put_u64(have, value);
	int len = snprintf(want, sizeof(want), "%" PRIu64, value);

	assert_int_equal(end - have, len);
	assert_memory_equal(have, want, (size_t)len);
}

static void
test_put_numbers(void **state)
{
	uint64_t random = random_seed(1), power = 1;

	(void)state;
	for (int i = 0; i < 20; i++, power *= 10) {
		put_u64(power - 1);
		put_u64(power);
		put_u64(power + 1);
	}
	put_u64(UINT64_MAX);
	for (int i = 0; i < 10000; i++)
		put_u64(random_u64(&random) >> random_below(&random, 64));

	for (int i = 0; i < 10000; i++) {
		unsigned int digits = 1 + (unsigned int)random_below(&random, 9);
		uint32_t value = (uint32_t)random_below(&random, digits_power[digits]);
		char have[16], want[16];
		char *end = text_put_digits(have, value, digits);

		snprintf(want, sizeof(want), "%0*" PRIu32, (int)digits, value);
		assert_int_equal(end - have, digits);
		assert_memory_equal(have, want, digits);
	}
}

/* Every byte at every place of a word, among digits. */
static void
test_digits_count(void **state)
{
	(void)state;
	for (unsigned int place = 0; place < 8; place++) {
		for (int c = 0; c < 256; c++) {
			char bytes[8] = {'0', '9', '1', '8', '2', '7', '3', '6'};
			bool digit = c >= '0' && c <= '9';

			bytes[place] = (char)(unsigned char)c;
			assert_int_equal(digits_count(digits_load(bytes)), digit ? 8 : place);
			if (place < 7) {
				bytes[place + 1] = (char)0xff;
				assert_int_equal(digits_count(digits_load(bytes)), digit ? place + 1 : place);
			}
		}
	}
}

static void
test_trim(void **state)
{
	static const struct {
		struct text given, want;
	} cases[] = {
		{TEXT(""), TEXT("")},	   {TEXT(" \t\n\v\f\r"), TEXT("")},
		{TEXT("a"), TEXT("a")},	   {TEXT("  a b\r\n"), TEXT("a b")},
		{TEXT("\0 "), TEXT("\0")}, {TEXT("\xa0 "), TEXT("\xa0")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_true(text_equal(text_trim(cases[i].given), cases[i].want));
}

static void
test_take_line(void **state)
{
	struct text rest = TEXT("one\r\n\ntwo");

	(void)state;
	assert_true(text_equal(text_take_line(&rest), TEXT("one\r")));
	assert_true(text_equal(text_take_line(&rest), TEXT("")));
	assert_true(text_equal(text_take_line(&rest), TEXT("two")));
	assert_int_equal(rest.len, 0);
}

static void
test_hex_digit(void **state)
{
	static const char digits[] = "0123456789abcdef";

	(void)state;
	for (int c = CHAR_MIN; c <= CHAR_MAX; c++) {
		const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

		assert_int_equal(text_hex_digit((char)c), at ? at - digits : -1);
	}
}

static void
test_digits_take(void **state)
{
	uint64_t random = random_seed(2);

	(void)state;
	for (int i = 0; i < 100000; i++) {
		unsigned int max = 1 + (unsigned int)random_below(&random, 19);
		size_t len = random_below(&random, 24), run = random_below(&random, len + 1);
		/* Of exactly this size, so that a byte read beyond it is found. */
		char *bytes = malloc(len ? len : 1);
		const char *at = bytes;
		uint64_t value, want = 0;
		unsigned int taken, expected = run < max ? (unsigned int)run : max;

		assert_non_null(bytes);
		random_put_digits(&random, bytes, len);
		if (run < len)
			bytes[run] = "./: \0\xff\x2f\x3a"[random_below(&random, 8)];
		for (unsigned int d = 0; d < expected; d++)
			want = want * 10 + (uint64_t)(bytes[d] - '0');

		taken = digits_take(&at, bytes + len, max, &value);
		assert_int_equal(taken, expected);
		assert_ptr_equal(at, bytes + expected);
		assert_int_equal(value, want);
		free(bytes);
	}
}

static void
test_digits_put(void **state)
{
	(void)state;
	/* A stride coprime to ten reaches every digit at every place, and the ends. */
	for (uint32_t value = 0; value < 100000000;
	     value = value < 100000000 - 997 ? value + 997 : value + 1) {
		char bytes[8], *end = digits_put8(bytes, value);

		if (end != bytes + 8 || digits_count(digits_load(bytes)) != 8 ||
		    digits_value(digits_load(bytes), 8) != value)
			fail_msg("%u", value);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_space_is_six_bytes),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_put_numbers),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_take_line),
		cmocka_unit_test(test_hex_digit),
		cmocka_unit_test(test_hex_digit),
		cmocka_unit_test(test_digits_count),
		cmocka_unit_test(test_digits_take),
		cmocka_unit_test(test_digits_put),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
