/*
 * Tests of core/message.h: the protocol's rules one by one, then random lines
 * against a slow parser made of regular expressions, and round trips.
 */
#include "unit.h"

#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

#include "../random.h"
#include "core/message.h"

#define KIWI "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503"

/* Parses a copy of exactly the line's size, so that a byte read beyond it is found. The copy
   lives until the next call. */
static void
parse(struct text line, struct message *ret)
{
	static char *copy;

	free(copy);
	copy = malloc(line.len ? line.len : 1);
	assert_non_null(copy);
	memcpy(copy, line.at, line.len);
	memset(ret, 0xa5, sizeof(*ret));
	message_parse((struct text){copy, line.len}, ret);
	assert_ptr_equal(ret->line.at, copy);
	assert_int_equal(ret->line.len, line.len);
}

static void
test_iamat(void **state)
{
	static const char *const lines[] = {
		KIWI,
		"  \t" KIWI " \r",
		"\v\fIAMAT\tkiwi.cs.ucla.edu\f\v+34.068930-118.445127 \r\n 1621464827.959498503\n",
	};
	struct message m;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(lines); i++) {
		parse(text_of(lines[i]), &m);
		assert_int_equal(m.verb, MESSAGE_IAMAT);
		assert_text_equal(m.id, TEXT("kiwi.cs.ucla.edu"));
		assert_text_equal(m.location, TEXT("+34.068930-118.445127"));
		assert_text_equal(m.time, TEXT("1621464827.959498503"));
		assert_int_equal(m.client_time.s, 1621464827);
		assert_int_equal(m.client_time.ns, 959498503);
	}
	parse(TEXT("IAMAT x +90-180/ 0"), &m);
	assert_int_equal(m.verb, MESSAGE_IAMAT);
	assert_text_equal(m.location, TEXT("+90-180/"));
	assert_text_equal(m.time, TEXT("0"));
}

static void
test_whatsat(void **state)
{
	struct message m;

	(void)state;
	parse(TEXT("WHATSAT kiwi.cs.ucla.edu 10 5"), &m);
	assert_int_equal(m.verb, MESSAGE_WHATSAT);
	assert_text_equal(m.id, TEXT("kiwi.cs.ucla.edu"));
	assert_true(m.radius_km == 10);
	assert_int_equal(m.bound, 5);
	parse(TEXT("\tWHATSAT   x\t000050.000  00020 "), &m);
	assert_int_equal(m.verb, MESSAGE_WHATSAT);
	assert_text_equal(m.id, TEXT("x"));
	assert_true(m.radius_km == 50);
	assert_int_equal(m.bound, 20);
}

static const char *const invalid[] = {
	"",
	" ",
	"\r",
	"IAMAT",
	"IAMAT ",
	"IAMAT kiwi",
	"IAMAT kiwi ",
	"IAMAT kiwi +34-118",
	"IAMAT kiwi +34-118 ",
	"IAMAT kiwi 1",
	"IAMAT +34-118 1",
	"iamat kiwi +34-118 1",
	"Iamat kiwi +34-118 1",
	"IAMATkiwi +34-118 1",
	"IAMATS kiwi +34-118 1",
	"IAMAT kiwi +34-118 1 1",
	"IAMAT kiwi +34-118 1 x",
	"IAMAT ki wi +34-118 1",
	"IAMAT kiwi +34 -118 1",
	"IAMAT kiwi +34-118/1",
	"IAMAT kiwi +34-118x 1",
	"IAMAT kiwi +34-118 1x",
	"IAMAT kiwi +34-118 1.",
	"IAMAT kiwi +34-118 -1",
	"IAMAT kiwi +34-118 +1",
	"IAMAT kiwi +34-118 1e9",
	"IAMAT kiwi +34-118 100000000000",
	"IAMAT kiwi +91-118 1",
	"IAMAT kiwi +34-181 1",
	"IAMAT kiwi 34-118 1",
	"WHATSAT",
	"WHATSAT kiwi",
	"WHATSAT kiwi 10",
	"WHATSAT kiwi 10 ",
	"WHATSAT kiwi 10 5 5",
	"WHATSAT kiwi 10 5x",
	"WHATSAT kiwi 10 -5",
	"WHATSAT kiwi 10 +5",
	"WHATSAT kiwi 10 5.0",
	"WHATSAT kiwi 10 21",
	"WHATSAT kiwi 10 100",
	"WHATSAT kiwi 10 4294967297",
	"WHATSAT kiwi 51 5",
	"WHATSAT kiwi 100 5",
	"WHATSAT kiwi -1 5",
	"WHATSAT kiwi +1 5",
	"WHATSAT kiwi 1. 5",
	"WHATSAT kiwi .5 5",
	"WHATSAT kiwi 1e1 5",
	"WHATSAT kiwi 0x1 5",
	"WHATSAT kiwi nan 5",
	"WHATSAT kiwi inf 5",
	"WHATSAT kiwi 1,5 5",
	"WHATSAT kiwi 50.0000001 5",
	"WHATSAT kiwi 1.5.5 5",
	"WHATSATkiwi 10 5",
	"whatsat kiwi 10 5",
	"AT Alpha +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503",
	"? IAMAT",
	"HELLO",
};

static void
test_invalid(void **state)
{
	struct message m;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(invalid); i++) {
		parse(text_of(invalid[i]), &m);
		if (m.verb != MESSAGE_INVALID)
			fail_msg("taken: '%s'", invalid[i]);
	}
}

/* A NUL, or any byte that is neither white space nor what the format wants, at every place. */
static void
test_any_byte_anywhere(void **state)
{
	const struct text line = TEXT(KIWI);
	const size_t id_at = 6, id_end = id_at + strlen("kiwi.cs.ucla.edu");

	(void)state;
	for (size_t place = 0; place < line.len; place++) {
		for (int c = 0; c < 256; c++) {
			char copy[sizeof(KIWI)] = KIWI;
			struct message m;

			copy[place] = (char)(unsigned char)c;
			parse((struct text){copy, line.len}, &m);
			if (c == 0)
				assert_int_equal(m.verb, MESSAGE_INVALID);
			else if (place >= id_at && place < id_end && !text_is_space(copy[place])) {
				assert_int_equal(m.verb, MESSAGE_IAMAT);
				assert_text_equal(m.id, ((struct text){copy + id_at, id_end - id_at}));
			} else if (c >= 0x21 && (place < id_at || line.at[place] == ' ') &&
				   c != line.at[place] && place != id_at - 1) {
				assert_int_equal(m.verb, MESSAGE_INVALID);
			}
		}
	}
}

static void
test_id_length(void **state)
{
	(void)state;
	for (size_t len = 1; len <= 300; len++) {
		for (int whatsat = 0; whatsat < 2; whatsat++) {
			char line[400];
			char *end = text_put(line, whatsat ? TEXT("WHATSAT ") : TEXT("IAMAT "));
			struct message m;

			memset(end, 0xff, len);
			end = text_put(end + len, whatsat ? TEXT(" 1 1") : TEXT(" +0+0 0"));
			parse((struct text){line, (size_t)(end - line)}, &m);
			if (len > HERD_ID_MAX)
				assert_int_equal(m.verb, MESSAGE_INVALID);
			else {
				assert_int_equal(m.verb, whatsat ? MESSAGE_WHATSAT : MESSAGE_IAMAT);
				assert_int_equal(m.id.len, len);
			}
		}
	}
}

static void
test_long_line(void **state)
{
	struct message m;
	char line[8192];
	char *end;

	(void)state;
	/* Leading zeros and white space up to any length. */
	memset(line, '0', sizeof(line));
	memcpy(line, "WHATSAT k ", 10);
	memcpy(line + 4000, "50.", 3);
	memcpy(line + 6000, " ", 1);
	end = line + sizeof(line);
	parse((struct text){line, (size_t)(end - line)}, &m);
	assert_int_equal(m.verb, MESSAGE_WHATSAT);
	assert_true(m.radius_km == 50);
	assert_int_equal(m.bound, 0);
	line[5999] = '1'; /* 50 km and a little */
	parse((struct text){line, (size_t)(end - line)}, &m);
	assert_int_equal(m.verb, MESSAGE_INVALID);
	memcpy(line + 4000, "49.", 3);
	parse((struct text){line, (size_t)(end - line)}, &m);
	assert_int_equal(m.verb, MESSAGE_WHATSAT);
	assert_true(m.radius_km == 49);
	memset(line, ' ', sizeof(line));
	parse((struct text){line, sizeof(line)}, &m);
	assert_int_equal(m.verb, MESSAGE_INVALID);
	memcpy(line + sizeof(line) - sizeof(KIWI), KIWI, sizeof(KIWI) - 1);
	parse((struct text){line, sizeof(line)}, &m);
	assert_int_equal(m.verb, MESSAGE_IAMAT);
}

static void
test_radius(void **state)
{
	static const char *const good[] = {"0",
					   "00",
					   "0.0",
					   "50",
					   "50.000",
					   "0050",
					   "49.999999999",
					   "12.5",
					   "2.3",
					   "0.1",
					   "33.3333",
					   "7.07",
					   "0.0000000000001",
					   "10",
					   "1.005",
					   "9",
					   "09.090",
					   "49.9999999999999"};
	static const char *const bad[] = {"",	   ".",	   "50.0000001", "50.00000000000000000000000000001",
					  "51",	   "1 ",   " 1",	 "500",
					  "-0",	   "1.",   "1..1",	 "18446744073709551616",
					  "1\n",   "1e0",  "0x10",	 "050.1",
					  "99.99", "00051"};
	double km = -1;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		assert_false(message_parse_radius(text_of(bad[i]), &km));
		assert_true(km == -1); /* untouched */
	}
	for (size_t i = 0; i < ELEMENTS(good); i++) {
		assert_true(message_parse_radius(text_of(good[i]), &km));
		assert_true(km == strtod(good[i], NULL)); /* the nearest double */
	}
	assert_true(message_parse_radius(TEXT("49.9999999999999999999999"), &km));
	assert_true(km <= 50);
	assert_false(message_parse_radius(TEXT("1\0"), &km));
}

static void
test_bound(void **state)
{
	static const char *const bad[] = {"",	"21", "020x", "-1",  "+1",  "1.0",
					  " 1", "1 ", "99",   "200", "0021"};
	unsigned int bound = 77;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		assert_false(message_parse_bound(text_of(bad[i]), &bound));
		assert_int_equal(bound, 77);
	}
	for (unsigned int want = 0; want <= 20; want++) {
		char text[32];

		snprintf(text, sizeof(text), "%u", want);
		assert_true(message_parse_bound(text_of(text), &bound));
		assert_int_equal(bound, want);
		snprintf(text, sizeof(text), "%020u", want);
		assert_true(message_parse_bound(text_of(text), &bound));
		assert_int_equal(bound, want);
	}
}

/* --- against regular expressions ---------------------------------------- */

#define SPACE	 "[ \t\n\v\f\r]"
#define NO_SPACE "[^ \t\n\v\f\r]"

struct expressions {
	regex_t iamat, whatsat;
};

static enum message_verb
reference(const struct expressions *e, const char *line, regmatch_t *match)
{
	if (regexec(&e->iamat, line, 9, match, 0) == 0) {
		struct location location;
		struct text text = {line + match[2].rm_so, (size_t)(match[2].rm_eo - match[2].rm_so)};

		/* Ranges are test-location's business. */
		return location_parse(text, &location) == 0 && match[1].rm_eo - match[1].rm_so <= 255
			       ? MESSAGE_IAMAT
			       : MESSAGE_INVALID;
	}
	if (regexec(&e->whatsat, line, 9, match, 0) == 0) {
		const char *radius = line + match[2].rm_so;

		return match[1].rm_eo - match[1].rm_so <= 255 && strtod(radius, NULL) <= 50 &&
				       strtoul(line + match[4].rm_so, NULL, 10) <= 20
			       ? MESSAGE_WHATSAT
			       : MESSAGE_INVALID;
	}
	return MESSAGE_INVALID;
}

static char *
put_space(uint64_t *random, char *out, size_t min)
{
	for (size_t n = min + (random_below(random, 4) ? 0 : random_below(random, 3)); n; n--)
		*out++ = random_below(random, 2) ? ' ' : "\t\n\v\f\r"[random_below(random, 5)];
	return out;
}

static char *
put_command(uint64_t *random, char *out)
{
	bool iamat = random_below(random, 2);

	out = put_space(random, out, 0);
	out = text_put(out, iamat ? TEXT("IAMAT") : TEXT("WHATSAT"));
	out = put_space(random, out, 1);
	out = random_put_id(random, out, 1 + random_below(random, random_below(random, 8) ? 40 : 260));
	out = put_space(random, out, 1);
	if (iamat) {
		out = random_put_location(random, out);
		out = put_space(random, out, 1);
		out = random_put_time(random, out);
	} else {
		out += sprintf(out, "%zu", random_below(random, 52));
		if (random_below(random, 2)) {
			*out++ = '.';
			out = random_put_digits(random, out, 1 + random_below(random, 6));
		}
		out = put_space(random, out, 1);
		out += sprintf(out, "%zu", random_below(random, 22));
	}
	return put_space(random, out, 0);
}

/* Replaces, doubles or removes one byte. */
static char *
edit(uint64_t *random, char *line, char *end)
{
	static const char bytes[] = "0159+-./ \t\nAIMTWHS\x01\x1f\x21\x7f\xff";
	size_t place = random_below(random, (size_t)(end - line));

	switch (random_below(random, 3)) {
	case 0:
		line[place] = bytes[random_below(random, sizeof(bytes) - 1)];
		return end;
	case 1:
		memmove(line + place + 1, line + place, (size_t)(end - line) - place);
		return end + 1;
	default:
		memmove(line + place, line + place + 1, (size_t)(end - line) - place - 1);
		return end - 1;
	}
}

static void
test_random_against_expressions(void **state)
{
	uint64_t random = random_seed(7);
	struct expressions e;
	int seen[3] = {0};

	(void)state;
	assert_int_equal(regcomp(&e.iamat,
				 "^" SPACE "*IAMAT" SPACE "+(" NO_SPACE "+)" SPACE "+"
				 "([+-][0-9.]+[+-][0-9.]+/?)" SPACE "+"
				 "([0-9]{1,11}(\\.[0-9]{1,9})?)" SPACE "*$",
				 REG_EXTENDED),
			 0);
	assert_int_equal(regcomp(&e.whatsat,
				 "^" SPACE "*WHATSAT" SPACE "+(" NO_SPACE "+)" SPACE "+"
				 "([0-9]+(\\.[0-9]+)?)" SPACE "+"
				 "([0-9]+)" SPACE "*$",
				 REG_EXTENDED),
			 0);
	for (int i = 0; i < 50000; i++) {
		char line[600];
		char *end = put_command(&random, line);
		struct message m;
		regmatch_t match[9];
		enum message_verb want;

		for (size_t edits = random_below(&random, 3); edits; edits--)
			end = edit(&random, line, end);
		*end = '\0';
		want = reference(&e, line, match);
		parse((struct text){line, (size_t)(end - line)}, &m);
		seen[want]++;
		if (m.verb != want)
			fail_msg("line %d: verb %d, expected %d: '%s'", i, m.verb, want, line);
		if (want == MESSAGE_INVALID)
			continue;
		assert_text_equal(m.id, ((struct text){line + match[1].rm_so,
						       (size_t)(match[1].rm_eo - match[1].rm_so)}));
		if (want == MESSAGE_IAMAT) {
			assert_text_equal(m.location,
					  ((struct text){line + match[2].rm_so,
							 (size_t)(match[2].rm_eo - match[2].rm_so)}));
			assert_text_equal(m.time, ((struct text){line + match[3].rm_so,
								 (size_t)(match[3].rm_eo - match[3].rm_so)}));
		} else {
			assert_true(m.radius_km == strtod(line + match[2].rm_so, NULL));
			assert_int_equal(m.bound, strtoul(line + match[4].rm_so, NULL, 10));
		}
	}
	assert_true(seen[0] > 5000 && seen[1] > 5000 && seen[2] > 5000);
	regfree(&e.iamat);
	regfree(&e.whatsat);
}

/* --- AT lines ------------------------------------------------------------ */

/* Parses a copy of exactly the line's size, which lives until the next call. */
static bool
parse_at(struct text line, struct message_at *ret)
{
	static char *copy;

	free(copy);
	copy = malloc(line.len ? line.len : 1);
	assert_non_null(copy);
	memcpy(copy, line.at, line.len);
	return message_parse_at((struct text){copy, line.len}, ret);
}

static void
assert_parsed(struct text line, const struct message_at *want)
{
	struct message_at have;

	assert_true(parse_at(line, &have));
	assert_text_equal(have.server, want->server);
	assert_text_equal(have.id, want->id);
	assert_text_equal(have.location, want->location);
	assert_text_equal(have.time, want->time);
	assert_int_equal(have.client_time.s, want->client_time.s);
	assert_int_equal(have.client_time.ns, want->client_time.ns);
	assert_int_equal(have.rx_ns, want->rx_ns < 0 ? 0 : want->rx_ns);
}

static void
assert_at(int64_t rx_ns, const char *time, const char *skew)
{
	struct message_at at = {
		.server = TEXT("Alpha"),
		.id = TEXT("kiwi.cs.ucla.edu"),
		.location = TEXT("+34.068930-118.445127"),
		.time = text_of(time),
		.rx_ns = rx_ns,
	};
	char have[HERD_AT_MAX], want[HERD_AT_MAX + 1];
	char *end;
	int len;

	assert_int_equal(fix_time_parse(at.time, &at.client_time), 0);
	end = message_put_at(have, &at);
	len = snprintf(want, sizeof(want), "AT Alpha %s kiwi.cs.ucla.edu +34.068930-118.445127 %s\n", skew,
		       time);
	assert_int_equal(end - have, len);
	assert_memory_equal(have, want, (size_t)len);
	assert_parsed((struct text){have, (size_t)len - 1}, &at);
}

static void
test_at(void **state)
{
	const int64_t s = INT64_C(1621464827);

	(void)state;
	assert_at(s * CLOCK_SECOND_NS + 959498503 + 263873386, "1621464827.959498503", "+0.263873386");
	assert_at(s * CLOCK_SECOND_NS, "1621464827", "+0.000000000");
	assert_at(s * CLOCK_SECOND_NS, "1621464827.000000001", "-0.000000001");
	assert_at(s * CLOCK_SECOND_NS + 1, "1621464827.0", "+0.000000001");
	assert_at(s * CLOCK_SECOND_NS, "1621464828", "-1.000000000");
	assert_at(s * CLOCK_SECOND_NS, "1621464827.999999999", "-0.999999999");
	assert_at(s * CLOCK_SECOND_NS, "1621464828.999999999", "-1.999999999");
	assert_at(s * CLOCK_SECOND_NS + 500000000, "1621464829.25", "-1.750000000");
	assert_at(s * CLOCK_SECOND_NS + 250000000, "1621464825.5", "+1.750000000");
	assert_at(s * CLOCK_SECOND_NS + 5, "0", "+1621464827.000000005");
	assert_at(0, "99999999999.999999999", "-99999999999.999999999");
	assert_at(s * CLOCK_SECOND_NS, "99999999999.999999999", "-98378535172.999999999");
	assert_at(INT64_MAX, "0", "+9223372036.854775807");
	assert_at(INT64_MAX, "0.9", "+9223372035.954775807");
	assert_at(-1, "0", "+0.000000000"); /* never in a checked fix; must only not break the line */
	assert_at(INT64_MIN, "99999999999.999999999", "-99999999999.999999999");
}

static void
test_at_longest(void **state)
{
	char id[HERD_ID_MAX], line[HERD_AT_MAX];
	struct message_at at = {
		.server = TEXT("abcdefghijklmnopqrstuvw"),
		.id = {id, sizeof(id)},
		.location = TEXT("+89.999999999999-179.999999999999/"),
		.time = TEXT("99999999999.999999999"),
		.client_time = {99999999999, 999999999},
	};

	(void)state;
	memset(id, 'x', sizeof(id));
	assert_int_equal(at.server.len, HERD_SERVER_MAX);
	assert_int_equal(at.location.len, HERD_LOCATION_MAX);
	assert_int_equal(at.time.len, HERD_TIME_MAX);
	assert_int_equal(message_put_at(line, &at) - line, HERD_AT_MAX);
	assert_parsed((struct text){line, HERD_AT_MAX - 1}, &at);
}

static void
test_parse_at_refuses(void **state)
{
	static const char *const lines[] = {
		"",
		"AT",
		"AT ",
		"AT Alpha",
		"at Alpha +0.000000000 kiwi +0+0 1",
		" AT Alpha +0.000000000 kiwi +0+0 1",
		"AT  Alpha +0.000000000 kiwi +0+0 1",
		"AT Alpha +0.000000000  kiwi +0+0 1",
		"AT Alpha +0.000000000 kiwi +0+0  1",
		"AT Alpha +0.000000000 kiwi +0+0 1 ",
		"AT Alpha +0.000000000 kiwi +0+0 1\n",
		"AT Alpha +0.000000000 kiwi +0+0 1\r",
		"AT Alpha\t+0.000000000 kiwi +0+0 1",
		"AT Alpha +0.000000000 kiwi\t+0+0 1",
		"AT Alpha +0.000000000 ki\twi +0+0 1",
		"AT Al/pha +0.000000000 kiwi +0+0 1",
		"AT abcdefghijklmnopqrstuvwx +0.000000000 kiwi +0+0 1", /* 24 bytes */
		"AT Alpha  kiwi +0+0 1",
		"AT Alpha 0.000000000 kiwi +0+0 1",
		"AT Alpha -0.000000000 kiwi +0+0 1",
		"AT Alpha +00.000000000 kiwi +0+0 1",
		"AT Alpha +01.000000000 kiwi +0+0 1",
		"AT Alpha +0.00000000 kiwi +0+0 1",
		"AT Alpha +0.0000000000 kiwi +0+0 1",
		"AT Alpha +0 kiwi +0+0 1",
		"AT Alpha +.000000000 kiwi +0+0 1",
		"AT Alpha + kiwi +0+0 1",
		"AT Alpha +0,000000000 kiwi +0+0 1",
		"AT Alpha +100000000000.000000000 kiwi +0+0 1", /* twelve digits */
		"AT Alpha -1.000000001 kiwi +0+0 1",		/* received before 1970 */
		"AT Alpha +9223372036.854775808 kiwi +0+0 0",	/* and after 2262 */
		"AT Alpha +0.000000000 kiwi +0+0 9223372037",
		"AT Alpha +99999999999.999999999 kiwi +0+0 99999999999.999999999",
		"AT Alpha +0.000000000 kiwi +0+0",
		"AT Alpha +0.000000000 kiwi +0+0 ",
		"AT Alpha +0.000000000 kiwi 0+0 1",
		"AT Alpha +0.000000000 kiwi +91+0 1",
		"AT Alpha +0.000000000 kiwi +0+0 x",
		"AT Alpha +0.000000000 kiwi +0+0 -1",
	};
	char line[HERD_AT_MAX + 10] = "AT A +0.000000000 ";
	struct message_at at;
	size_t len = strlen(line);

	(void)state;
	for (size_t i = 0; i < ELEMENTS(lines); i++)
		assert_false(parse_at(text_of(lines[i]), &at));
	assert_false(parse_at(TEXT("AT Alpha +0.000000000 ki\0wi +0+0 1"), &at));
	memset(line + len, 'x', HERD_ID_MAX + 1);
	memcpy(line + len + HERD_ID_MAX, " +0+0 1", 7);
	assert_true(parse_at((struct text){line, len + HERD_ID_MAX + 7}, &at));
	memcpy(line + len + HERD_ID_MAX, "x +0+0 1", 8);
	assert_false(parse_at((struct text){line, len + HERD_ID_MAX + 8}, &at));
}

/* Any byte changed: refused, or a line that is written just so. */
static void
test_parse_at_any_byte(void **state)
{
	const struct text whole = TEXT("AT Alpha -1.263873386 kiwi.x +34.0-118.4/ 1621464827.95");
	char line[HERD_AT_MAX], again[HERD_AT_MAX];
	struct message_at at;
	int taken = 0;

	(void)state;
	for (size_t i = 0; i < whole.len; i++) {
		for (int byte = 0; byte < 256; byte++) {
			memcpy(line, whole.at, whole.len);
			line[i] = (char)byte;
			if (!parse_at((struct text){line, whole.len}, &at))
				continue;
			taken++;
			assert_int_equal(message_put_at(again, &at) - again, whole.len + 1);
			assert_memory_equal(again, line, whole.len);
		}
	}
	assert_true(taken > 1000);
}

/* The operands come back byte for byte, and skew + time is the receipt time. */
static void
test_round_trip(void **state)
{
	uint64_t random = random_seed(8);

	(void)state;
	for (int i = 0; i < 50000; i++) {
		struct herd_fix fix = {
			.rx_ns = (int64_t)(random_u64(&random) >> (1 + random_below(&random, 30)))};
		char line[HERD_AT_MAX], again[HERD_AT_MAX];
		struct text rest, skew;
		struct message_at at = {.rx_ns = fix.rx_ns};
		struct fix_time magnitude, client;
		__int128 rx;

		fix.id_len = (uint8_t)(1 + random_below(&random, HERD_ID_MAX));
		random_put_id(&random, fix.id, fix.id_len);
		fix.location_len = (uint8_t)(random_put_location(&random, fix.location) - fix.location);
		fix.time_len = (uint8_t)(random_put_time(&random, fix.time) - fix.time);
		fix.server_len = (uint8_t)(1 + random_below(&random, HERD_SERVER_MAX));
		memset(fix.server, 'S', fix.server_len);

		rest = (struct text){line, (size_t)(message_put_fix(line, &fix) - line)};
		assert_true(rest.at[rest.len - 1] == '\n');
		assert_text_equal(text_take_field(&rest), TEXT("AT"));
		at.server = text_take_field(&rest);
		skew = text_take_field(&rest);
		at.id = text_take_field(&rest);
		at.location = text_take_field(&rest);
		at.time = text_take_field(&rest);
		assert_text_equal(at.server, ((struct text){fix.server, fix.server_len}));
		assert_text_equal(at.id, ((struct text){fix.id, fix.id_len}));
		assert_text_equal(at.location, ((struct text){fix.location, fix.location_len}));
		assert_text_equal(at.time, ((struct text){fix.time, fix.time_len}));
		assert_text_equal(rest, TEXT("\n"));

		assert_int_equal(fix_time_parse(at.time, &client), 0);
		assert_int_equal(fix_time_parse((struct text){skew.at + 1, skew.len - 1}, &magnitude), 0);
		assert_int_equal(skew.at[skew.len - 10], '.');	  /* nine decimals */
		assert_true(skew.len == 12 || skew.at[1] != '0'); /* no needless zeros */
		rx = (__int128)magnitude.s * CLOCK_SECOND_NS + magnitude.ns;
		assert_true(skew.at[0] == '+' || (skew.at[0] == '-' && rx > 0));
		rx = (skew.at[0] == '-' ? -rx : rx) + (__int128)client.s * CLOCK_SECOND_NS + client.ns;
		assert_true(rx == fix.rx_ns);

		at.client_time = client;
		rest = (struct text){again, (size_t)(message_put_at(again, &at) - again)};
		assert_text_equal(rest, ((struct text){line, rest.len}));
		assert_parsed((struct text){line, rest.len - 1}, &at);
	}
}

static void
test_put_damaged_time(void **state)
{
	struct herd_fix fix = {.rx_ns = 1,
			       .id_len = 1,
			       .location_len = 4,
			       .time_len = 3,
			       .server_len = 1,
			       .id = "k",
			       .location = "+0+0",
			       .time = "1..",
			       .server = "A"};
	char line[HERD_AT_MAX];
	char *end = message_put_fix(line, &fix);

	(void)state;
	assert_text_equal(((struct text){line, (size_t)(end - line)}),
			  TEXT("AT A +0.000000001 k +0+0 1..\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_iamat),
		cmocka_unit_test(test_whatsat),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_any_byte_anywhere),
		cmocka_unit_test(test_id_length),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_radius),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_random_against_expressions),
		cmocka_unit_test(test_at),
		cmocka_unit_test(test_at_longest),
		cmocka_unit_test(test_parse_at_refuses),
		cmocka_unit_test(test_parse_at_any_byte),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_put_damaged_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
