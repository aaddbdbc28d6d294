/* Tests of core/location.h: every rule of the format, and random texts against a regular expression. */
#include "unit.h"

#include <regex.h>
#include <stdlib.h>

#include "../random.h"
#include "core/location.h"
#include "herd/fix.h"

struct valid {
	const char *text;
	int32_t lat_e7, lon_e7;
};

static const struct valid valid[] = {
	{"+34.068930-118.445127", 340689300, -1184451270},
	{"+34.068930-118.445127/", 340689300, -1184451270},
	{"+0+0", 0, 0},
	{"-0-0", 0, 0},
	{"-00.0-000.0/", 0, 0},
	{"+90+180", 900000000, 1800000000},
	{"-90-180", -900000000, -1800000000},
	{"+90.0+180.000000000000", 900000000, 1800000000},
	{"+5+7", 50000000, 70000000},
	{"+05+007", 50000000, 70000000},
	{"+5.5+7.25", 55000000, 72500000},
	{"+89.999999999999-179.999999999999", 900000000, -1800000000},
	{"+0.00000005-0.00000005", 1, -1},
	{"+0.000000049999-0.000000049999", 0, 0},
	{"+12.123456749999+123.123456750000", 121234567, 1231234568},
	{"-12.12345675-123.12345674", -121234568, -1231234567},
	{"+12.123456789012-123.123456789012/", 121234568, -1231234568},
	{"+1.1234567+1.12345678", 11234567, 11234568},
	{"+1.123456781234+1.1", 11234568, 11000000},
};

static const char *const invalid[] = {
	"",
	"+",
	"+-",
	"34.068930-118.445127",
	"+34.068930",
	"+34.068930-",
	"+34.068930/",
	"+34.068930 -118.445127",
	"+34.068930-118.445127//",
	"+34.068930-118.445127+10/",
	"+34.068930-118.445127 ",
	" +34.068930-118.445127",
	"+34.-118.445127",
	"+34.068930-118.",
	"+.5-118.445127",
	"+34.068930-.5",
	"+034.068930-118.445127",
	"+34.068930-0118.445127",
	"+3406.8930-118.445127",
	"+34.0689301234567-118.445127",
	"+34.068930-118.4451270000000",
	"+90.000000000001-118",
	"-90.000000000001-118",
	"+91-118",
	"+99-118",
	"+34+180.000000000001",
	"+34-180.000000000001",
	"+34-181",
	"+34-999",
	"+34,5-118,5",
	"+3e1-118",
	"+0x1-118",
	"+nan+nan",
	"+inf-inf",
	"++34-118",
	"+34--118",
	"+34.06.8930-118.445127",
	"+34.068930-118.445.127",
	"+3a-118",
	"+34-11a",
	"\xe2\x88\x92\x33\x34-118", /* U+2212, a minus sign to the eye, then 34 */
};

/* Parses a copy of exactly the text's size, so that a byte read beyond it is found. */
static int
parse(struct text t, struct location *ret)
{
	char *copy = malloc(t.len ? t.len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, t.at, t.len);
	r = location_parse((struct text){copy, t.len}, ret);
	free(copy);
	return r;
}

static void
test_valid(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTS(valid); i++) {
		struct location location;

		assert_int_equal(parse(text_of(valid[i].text), &location), 0);
		assert_int_equal(location.lat_e7, valid[i].lat_e7);
		assert_int_equal(location.lon_e7, valid[i].lon_e7);
	}
}

static void
test_invalid(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTS(invalid); i++) {
		struct location location = {1, 2};

		assert_int_equal(parse(text_of(invalid[i]), &location), LOCATION_E_INVALID);
		assert_int_equal(location.lat_e7, 1); /* untouched */
		assert_int_equal(location.lon_e7, 2);
	}
	/* A NUL anywhere. */
	for (size_t i = 0; i < 21; i++) {
		char text[] = "+34.068930-118.445127";
		struct location location;

		text[i] = '\0';
		assert_int_equal(parse((struct text){text, 21}, &location), LOCATION_E_INVALID);
	}
	assert_int_equal(parse(TEXT("+34.068930-118.445127\0"), &(struct location){0, 0}),
			 LOCATION_E_INVALID);
}

static void
test_take(void **state)
{
	const char line[] = "+34.5-118.25/ 1";
	const char *at = line;
	struct location location;

	(void)state;
	assert_int_equal(location_take(&at, line + sizeof(line) - 1, &location), 0);
	assert_ptr_equal(at, line + 13);
	assert_int_equal(location.lat_e7, 345000000);
	assert_int_equal(location.lon_e7, -1182500000);
	assert_int_equal(location_take(&at, line + sizeof(line) - 1, &location), LOCATION_E_INVALID);
	assert_ptr_equal(at, line + 13);
}

/* Degrees times 10^7 the long way round, from the texts that the expression found. */
static bool
reference_degrees(const char *text, const regmatch_t *whole, const regmatch_t *fraction, long max,
		  int32_t *ret)
{
	char digits[16] = "000000000000";
	long long e12 = strtol(text + whole->rm_so, NULL, 10) * 1000000000000LL;
	bool negative = text[whole->rm_so] == '-';

	e12 = negative ? -e12 : e12;
	if (fraction->rm_so >= 0)
		memcpy(digits, text + fraction->rm_so + 1, (size_t)(fraction->rm_eo - fraction->rm_so - 1));
	e12 += strtoll(digits, NULL, 10);
	if (e12 > max * 1000000000000LL)
		return false;
	e12 = e12 % 100000 >= 50000 ? e12 / 100000 + 1 : e12 / 100000;
	*ret = (int32_t)(negative ? -e12 : e12);
	return true;
}

static bool
reference(const regex_t *expression, const char *text, struct location *ret)
{
	regmatch_t match[5];

	return regexec(expression, text, 5, match, 0) == 0 &&
	       reference_degrees(text, &match[1], &match[2], 90, &ret->lat_e7) &&
	       reference_degrees(text, &match[3], &match[4], 180, &ret->lon_e7);
}

static void
test_random_against_expression(void **state)
{
	uint64_t random = random_seed(3);
	regex_t expression;
	int good = 0, bad = 0;

	(void)state;
	assert_int_equal(regcomp(&expression,
				 "^([+-][0-9]{1,2})(\\.[0-9]{1,12})?([+-][0-9]{1,3})(\\.[0-9]{1,12})?/?$",
				 REG_EXTENDED),
			 0);
	for (int i = 0; i < 50000; i++) {
		char text[64] = "";
		char *end = random_put_location(&random, text);
		struct location have, want;

		assert_true(end - text <= HERD_LOCATION_MAX);
		for (size_t edits = random_below(&random, 3); edits; edits--) {
			size_t place = random_below(&random, (size_t)(end - text));

			if (random_below(&random, 2)) { /* replace */
				text[place] = "0123456789+-./ 9"[random_below(&random, 16)];
			} else { /* double */
				memmove(text + place + 1, text + place, (size_t)(end - text) - place);
				end++;
			}
		}
		*end = '\0';
		if (reference(&expression, text, &want)) {
			good++;
			assert_int_equal(parse(text_of(text), &have), 0);
			assert_int_equal(have.lat_e7, want.lat_e7);
			assert_int_equal(have.lon_e7, want.lon_e7);
		} else {
			bad++;
			assert_int_equal(parse(text_of(text), &have), LOCATION_E_INVALID);
		}
	}
	assert_true(good > 10000 && bad > 5000); /* the mixture tests both */
	regfree(&expression);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_random_against_expression),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
