/* Lines between helpers, there and back, and what is none: link-line.c. */
#include "unit.h"

#include "../random.h"
#include "flood/link-line.h"

#define ID     "0102030405060708090a0b0c0d0e0f10"
#define INC    "00000000000000ff"
#define SUM    "0123456789abcdef"
#define SUMS_8 SUM " " SUM " " SUM " " SUM " " SUM " " SUM " " SUM " " SUM
#define SUMS_63                                                                                          \
	SUMS_8 " " SUMS_8 " " SUMS_8 " " SUMS_8 " " SUMS_8 " " SUMS_8 " " SUMS_8 " " SUM " " SUM " " SUM \
	       " " SUM " " SUM " " SUM " " SUM
#define SUMS_64 SUMS_63 " " SUM

static struct link_line line;

static int
parse(const char *text)
{
	memset(&line, 0xa5, sizeof(line));
	return link_line_parse(text_of(text), &line);
}

static void
test_good_lines(void **state)
{
	(void)state;
	assert_int_equal(parse("HERD 1 herd " ID " " INC " hill"), 0);
	assert_int_equal(line.verb, LINK_HERD);
	assert_text_equal(line.hello.herd, TEXT("herd"));
	assert_text_equal(line.hello.host, TEXT("hill"));
	assert_int_equal(line.hello.host_id[0], 1);
	assert_int_equal(line.hello.host_id[15], 16);
	assert_int_equal(line.hello.incarnation, 0xff);
	assert_false(line.hello.has_ttl || line.hello.has_key || line.hello.can_ask || line.hello.has_more);
	assert_int_equal(parse("HERD 1 herd " ID " " INC " hill ttl=300,key=" SUM), 0);
	assert_true(line.hello.has_ttl && line.hello.has_key && !line.hello.has_more);
	assert_int_equal(line.hello.ttl_s, 300);
	assert_true(line.hello.key_check == UINT64_C(0x0123456789abcdef));
	assert_int_equal(parse("HERD 1 herd " ID " " INC " hill zip,ttl=0"), 0);
	assert_true(line.hello.has_more && line.hello.has_ttl);
	assert_int_equal(parse("HERD 1 herd " ID " " INC " hill ask,ttl=0"), 0);
	assert_true(line.hello.can_ask && !line.hello.has_more);
	assert_int_equal(parse("HERD 2 whatever comes then"), 0);
	assert_int_equal(line.hello.version, 2);

	assert_int_equal(parse("RESUME " INC " 12"), 0);
	assert_int_equal(line.resume.incarnation, 0xff);
	assert_int_equal(line.resume.seq, 12);
	assert_int_equal(parse("SEQ 0"), 0);
	assert_int_equal(parse("ASK 0"), 0);
	assert_int_equal(line.verb, LINK_ASK);
	assert_int_equal(parse("ACK 9999999999999999999"), 0);
	assert_true(line.number == UINT64_C(9999999999999999999));
	assert_int_equal(parse("NAME Alpha " ID " 1700000000"), 0);
	assert_text_equal(line.name.server, TEXT("Alpha"));
	assert_int_equal(line.name.boot_s, 1700000000);
	assert_int_equal(parse("BYE see  you "), 0);
	assert_text_equal(line.reason, TEXT("see  you "));

	assert_int_equal(parse("ROOT 16 " SUM), 0);
	assert_int_equal(line.since_s, 16);
	assert_int_equal(parse("SAME 16 " SUM), 0);
	assert_int_equal(line.verb, LINK_SAME);
	assert_int_equal(parse("GRP 16 " SUMS_64), 0);
	assert_true(line.sums.sum[63] == UINT64_C(0x0123456789abcdef) && line.sums.fresh == 0);
	assert_int_equal(parse("DIG 16 63 - " SUMS_63), 0);
	assert_int_equal(line.sums.group, 63);
	assert_int_equal(line.sums.fresh, 1);
	assert_int_equal(parse("PULL 16"), 0);
	assert_int_equal(line.pull.count, 0);
	assert_int_equal(parse("PULL 16 0 1 4095"), 0);
	assert_int_equal(line.pull.count, 3);
	assert_int_equal(line.pull.bucket[2], 4095);
	assert_int_equal(parse("DONE"), 0);
}

static void
test_bad_lines(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"SEQ",
		"SEQ ",
		"SEQ  1",
		" SEQ 1",
		"SEQ 1 ",
		"SEQ 1 1",
		"SEQ 01",
		"SEQ -1",
		"SEQ +1",
		"SEQ 1x",
		"SEQ 10000000000000000000",
		"SEQ\t1",
		"SEQ 1\r",
		"seq 1",
		"Seq 1",
		"AT",
		"AT x",
		"DONE ",
		"DONE 1",
		"BYE",
		"BYE ",
		"BYE \xc3\xa4",
		"SEQ 1\x7f",
		"NEW1 x",
		"WHATEVERYOUMAYSAY",
		"HERD",
		"HERD x",
		"HERD 1",
		"HERD 1 herd",
		"HERD 1 herd " ID,
		"HERD 1 herd " ID " " INC,
		"HERD 1 herd " ID " " INC " -hill",
		"HERD 1 herd " ID " " INC " hill ",
		"HERD 1 herd " ID " ff hill",
		"HERD 1 herd 0102 " INC " hill",
		"HERD 1 herd " ID " " INC " hill ttl=1 x",
		"HERD 1 herd " ID " " INC " hill ttl=1,ttl=1",
		"HERD 1 herd " ID " " INC " hill ttl=01",
		"HERD 1 herd " ID " " INC " hill ttl=9223372036854775808",
		"HERD 1 herd " ID " " INC " hill ,",
		"HERD 1 herd " ID " " INC " hill a,",
		"HERD 1 herd " ID " " INC " hill key=1",
		"HERD 1 herd " ID " 00000000000000FF hill",
		"HERD 1 herd 0102030405060708090A0B0C0D0E0F10 " INC " hill",
		"RESUME",
		"RESUME " INC,
		"RESUME 0 0",
		"RESUME " INC " 1 1",
		"NAME",
		"NAME Alpha",
		"NAME Al/pha " ID " 1",
		"NAME Alpha " INC " 1",
		"NAME Alpha " ID,
		"NAME Alpha " ID " 1 1",
		"NAME Alpha " ID " 9999999999999999999",
		"ROOT",
		"ROOT 1",
		"ROOT 1 1",
		"ROOT -1 " SUM,
		"ROOT 9223372037 " SUM,
		"ROOT 1 " SUM " 1",
		"GRP 1 " SUMS_63,
		"GRP 1 " SUMS_64 " " SUM,
		"GRP 1 - " SUMS_63,
		"GRP " SUMS_64,
		"DIG 1 64 " SUMS_64,
		"DIG 1 " SUMS_64,
		"DIG 1 1 " SUMS_63,
		"DIG 1 1 -- " SUMS_63,
		"DIG 1 1 " SUMS_64 " -",
		"PULL",
		"PULL 1 4096",
		"PULL 1 1 1",
		"PULL 1 2 1",
		"PULL 1 1 ",
		"PULL 1 x",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		if (parse(bad[i]) != LINK_LINE_E_BAD)
			fail_msg("'%s' is taken", bad[i]);
	/* A NUL is a byte like others. */
	assert_int_equal(link_line_parse((struct text){"SEQ 1\0", 6}, &line), LINK_LINE_E_BAD);
}

static void
test_too_many_buckets(void **state)
{
	char text[LINK_LINE_MAX];
	char *end = text_put(text, TEXT("PULL 1"));

	(void)state;
	for (unsigned int i = 0; i < DIGEST_BUCKETS; i++)
		end = text_put_u64(text_put(end, TEXT(" ")), i);
	assert_int_equal(link_line_parse((struct text){text, (size_t)(end - text)}, &line), 0);
	end = text_put(end, TEXT(" 64"));
	assert_int_equal(link_line_parse((struct text){text, (size_t)(end - text)}, &line), LINK_LINE_E_BAD);
}

static void
test_unknown_verbs(void **state)
{
	(void)state;
	assert_int_equal(parse("ZIP"), LINK_LINE_E_UNKNOWN);
	assert_int_equal(parse("ZIP 1 2 3"), LINK_LINE_E_UNKNOWN);
	assert_int_equal(parse("SEQUENCEOFTHINGS 1"), LINK_LINE_E_UNKNOWN);
	assert_int_equal(parse("SEQUENCEOFTHINGSS 1"), LINK_LINE_E_BAD);
}

/* What is put is what is parsed. */
static void
check_back(char *text, const char *end, enum link_verb verb, size_t max)
{
	size_t len = (size_t)(end - text);

	assert_true(len <= max && text[len - 1] == '\n');
	assert_int_equal(link_line_parse((struct text){text, len - 1}, &line), 0);
	assert_int_equal(line.verb, verb);
}

static void
test_there_and_back(void **state)
{
	struct link_sums sums = {.group = 63, .fresh = UINT64_C(0x8000000000000001)};
	struct link_name name = {.server = TEXT("A2345678901234567890123"), .boot_s = INT64_C(9999999999)};
	struct link_self self = {.incarnation = UINT64_MAX, .ttl_s = INT64_MAX, .key_check = UINT64_MAX};
	char text[LINK_LONG_LINE_MAX] = "";
	uint64_t random = random_seed(1);
	const int64_t since = INT64_MAX / CLOCK_SECOND_NS;

	(void)state;
	memset(self.herd, 'h', LINK_HOST_MAX);
	memset(self.host, 'a', LINK_HOST_MAX);
	check_back(text, link_put_hello(text, &self), LINK_HERD, LINK_LINE_MAX);
	assert_int_equal(line.hello.herd.len, LINK_HOST_MAX);
	assert_true(line.hello.ttl_s == INT64_MAX && line.hello.key_check == UINT64_MAX);
	assert_true(line.hello.can_ask && !line.hello.has_more);
	for (unsigned int i = 0; i < DIGEST_BUCKETS; i++)
		sums.sum[i] = random_u64(&random);
	check_back(text, link_put_groups(text, since, sums.sum), LINK_GRP, LINK_LONG_LINE_MAX);
	assert_memory_equal(line.sums.sum, sums.sum, sizeof(sums.sum));
	check_back(text, link_put_buckets(text, since, &sums), LINK_DIG, LINK_LONG_LINE_MAX);
	assert_true(line.sums.fresh == sums.fresh && line.since_s == since);
	assert_memory_equal(line.sums.sum + 1, sums.sum + 1, sizeof(sums.sum) - 16);
	check_back(text, link_put_pull(text, since, 63, UINT64_MAX), LINK_PULL, LINK_LINE_MAX);
	assert_int_equal(line.pull.count, DIGEST_BUCKETS);
	check_back(text, link_put_pull(text, since, 63, 0), LINK_PULL, LINK_LINE_MAX);
	check_back(text, link_put_name(text, &name), LINK_NAME, LINK_LINE_MAX);
	check_back(text, link_put_root(text, LINK_SAME, 0, random), LINK_SAME, LINK_LINE_MAX);
	check_back(text, link_put_resume(text, random, 1), LINK_RESUME, LINK_LINE_MAX);
	check_back(text, link_put_number(text, LINK_PONG, 0), LINK_PONG, LINK_LINE_MAX);
	check_back(text, link_put_done(text), LINK_DONE, LINK_LINE_MAX);
	check_back(text, link_put_bye(text, "why"), LINK_BYE, LINK_LINE_MAX);
}

static void
test_escape(void **state)
{
	char out[16];

	(void)state;
	link_escape(TEXT("a\x01\xff z"), out, sizeof(out));
	assert_string_equal(out, "a\\x01\\xff z");
	link_escape(TEXT("0123456789abcde"), out, sizeof(out));
	assert_string_equal(out, "0123456789abcde");
	link_escape(TEXT("0123456789abcdef"), out, sizeof(out));
	assert_string_equal(out, "0123456789ab...");
	link_escape(TEXT("0123456789ab\n"), out, sizeof(out));
	assert_string_equal(out, "0123456789ab...");
	link_escape((struct text){NULL, 0}, out, sizeof(out));
	assert_string_equal(out, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_lines),	 cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_too_many_buckets), cmocka_unit_test(test_unknown_verbs),
		cmocka_unit_test(test_there_and_back),	 cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
