/* Tests of core/fix.h: times, names, and the laws that make merging converge. */
#include "unit.h"

#include <stdlib.h>

#include "../random.h"
#include "core/fix.h"

struct valid_time {
	const char *text;
	struct fix_time time;
};

static const struct valid_time valid_times[] = {
	{"1621464827.959498503", {1621464827, 959498503}},
	{"0", {0, 0}},
	{"0.0", {0, 0}},
	{"00000000000.000000000", {0, 0}},
	{"99999999999.999999999", {99999999999, 999999999}},
	{"99999999999", {99999999999, 0}},
	{"1.5", {1, 500000000}},
	{"1.000000001", {1, 1}},
	{"1.00000001", {1, 10}},
	{"12345678.12345678", {12345678, 123456780}},
	{"123456789.1", {123456789, 100000000}},
};

static const char *const invalid_times[] = {
	"",
	".",
	"1.",
	".5",
	"-1",
	"+1",
	" 1",
	"1 ",
	"1e9",
	"0x1",
	"nan",
	"inf",
	"1..2",
	"1.2.3",
	"1,5",
	"100000000000",
	"1a",
	"1.5a",
	"1.a",
	"1\n",
	"1.0000000000",
	"999999999999.9",
	"1621464827.9594985031",
};

/* Parses a copy of exactly the text's size, so that a byte read beyond it is found. */
static int
parse_time(struct text t, struct fix_time *ret)
{
	char *copy = malloc(t.len ? t.len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, t.at, t.len);
	r = fix_time_parse((struct text){copy, t.len}, ret);
	free(copy);
	return r;
}

static void
test_time(void **state)
{
	struct fix_time time = {7, 8};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(invalid_times); i++) {
		assert_int_equal(parse_time(text_of(invalid_times[i]), &time), FIX_E_INVALID);
		assert_int_equal(time.s, 7); /* untouched */
		assert_int_equal(time.ns, 8);
	}
	assert_int_equal(parse_time(TEXT("1\0"), &time), FIX_E_INVALID);
	assert_int_equal(parse_time(TEXT("\0"), &time), FIX_E_INVALID);
	for (size_t i = 0; i < ELEMENTS(valid_times); i++) {
		assert_int_equal(parse_time(text_of(valid_times[i].text), &time), 0);
		assert_int_equal(time.s, valid_times[i].time.s);
		assert_int_equal(time.ns, valid_times[i].time.ns);
	}
}

/* All counts of digits, then one more byte of every kind. */
static void
test_time_lengths(void **state)
{
	uint64_t random = random_seed(4);

	(void)state;
	for (size_t whole = 0; whole <= 13; whole++) {
		for (size_t fraction = 0; fraction <= 11; fraction++) {
			char text[32];
			char *end = random_put_digits(&random, text, whole);
			bool good = whole >= 1 && whole <= 11 && fraction <= 9;
			struct fix_time time;

			if (fraction) {
				*end++ = '.';
				end = random_put_digits(&random, end, fraction);
			}
			assert_int_equal(parse_time((struct text){text, (size_t)(end - text)}, &time),
					 good ? 0 : FIX_E_INVALID);
			for (int c = 0; c < 256; c++) {
				*end = (char)(unsigned char)c;
				if (text_is_digit(*end) || c == '.')
					continue;
				assert_int_equal(
					parse_time((struct text){text, (size_t)(end - text) + 1}, &time),
					FIX_E_INVALID);
			}
		}
	}
}

static void
test_ids(void **state)
{
	char id[256];

	(void)state;
	memset(id, 'x', sizeof(id));
	assert_false(fix_id_valid((struct text){id, 0}));
	assert_true(fix_id_valid((struct text){id, 1}));
	assert_true(fix_id_valid((struct text){id, 255}));
	assert_false(fix_id_valid((struct text){id, 256}));
	for (int c = 0; c < 256; c++) {
		id[100] = (char)(unsigned char)c;
		assert_int_equal(fix_id_valid((struct text){id, 255}),
				 c != 0 && c != ' ' && (c < 9 || c > 13));
	}
}

static void
test_servers(void **state)
{
	(void)state;
	assert_true(fix_server_valid(TEXT("A")));
	assert_true(fix_server_valid(TEXT("Alpha-1_2.example")));
	assert_true(fix_server_valid(TEXT("abcdefghijklmnopqrstuvw")));	  /* 23 */
	assert_false(fix_server_valid(TEXT("abcdefghijklmnopqrstuvwx"))); /* 24 */
	assert_false(fix_server_valid(TEXT("")));
	for (int c = 0; c < 256; c++) {
		char name[3] = {'a', (char)(unsigned char)c, 'b'};
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '-' || c == '_' || c == '.';

		assert_int_equal(fix_server_valid((struct text){name, 3}), good);
	}
}

static void
test_order(void **state)
{
	const int64_t rx = INT64_C(1621464827959498503);

	(void)state;
	/* An honest client's own time decides. */
	assert_true(fix_order_ns(&(struct fix_time){1621464827, 0}, rx) == INT64_C(1621464827000000000));
	assert_true(fix_order_ns(&(struct fix_time){0, 0}, rx) == 0);
	assert_true(fix_order_ns(&(struct fix_time){0, 1}, rx) == 1);
	/* Around the cap, to the nanosecond. */
	assert_true(fix_order_ns(&(struct fix_time){1621464837, 959498502}, rx) == rx + FIX_AHEAD_NS - 1);
	assert_true(fix_order_ns(&(struct fix_time){1621464837, 959498503}, rx) == rx + FIX_AHEAD_NS);
	assert_true(fix_order_ns(&(struct fix_time){1621464837, 959498504}, rx) == rx + FIX_AHEAD_NS);
	/* Times whose nanoseconds do not fit 64 bits. */
	assert_true(fix_order_ns(&(struct fix_time){99999999999, 999999999}, rx) == rx + FIX_AHEAD_NS);
	assert_true(fix_order_ns(&(struct fix_time){9223372036, 854775807}, rx) == rx + FIX_AHEAD_NS);
	assert_true(fix_order_ns(&(struct fix_time){9223372036, 854775808}, rx) == rx + FIX_AHEAD_NS);
	assert_true(fix_order_ns(&(struct fix_time){99999999999, 0}, INT64_MAX) == INT64_MAX);
	assert_true(fix_order_ns(&(struct fix_time){5, 0}, INT64_MAX) == 5 * CLOCK_SECOND_NS);
	assert_true(fix_order_ns(&(struct fix_time){5, 0}, INT64_MIN) == INT64_MIN + FIX_AHEAD_NS);
}

/* Against the definition in 128 bits. */
static void
test_order_random(void **state)
{
	uint64_t random = random_seed(5);

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct fix_time client = {(int64_t)(random_u64(&random) % 100000000000),
					  (int32_t)random_below(&random, 1000000000)};
		int64_t rx_ns = (int64_t)(random_u64(&random) >> (1 + random_below(&random, 63)));
		__int128 cap, order;

		if (random_below(&random, 2)) /* near each other */
			client.s = rx_ns / CLOCK_SECOND_NS + 9 + (int64_t)random_below(&random, 3);
		order = (__int128)client.s * CLOCK_SECOND_NS + client.ns;
		cap = (__int128)rx_ns + FIX_AHEAD_NS;
		if (order > cap)
			order = cap;
		if (order > INT64_MAX)
			order = INT64_MAX;
		assert_true(fix_order_ns(&client, rx_ns) == (int64_t)order);
	}
}

static int
sign(int r)
{
	return r < 0 ? -1 : r > 0;
}

static void
test_rank_fields(void **state)
{
	const struct fix_rank base = {5, 5, TEXT("M"), TEXT("+5+5"), TEXT("5")};
	/* Each raises one field and lowers all that come after it. */
	const struct fix_rank newer[] = {
		{6, 4, TEXT("A"), TEXT("+1+1"), TEXT("1")},   {5, 6, TEXT("A"), TEXT("+1+1"), TEXT("1")},
		{5, 5, TEXT("MM"), TEXT("+1+1"), TEXT("1")},  {5, 5, TEXT("N"), TEXT("+1+1"), TEXT("1")},
		{5, 5, TEXT("M"), TEXT("+5+5/"), TEXT("1")},  {5, 5, TEXT("M"), TEXT("+6"), TEXT("1")},
		{5, 5, TEXT("M"), TEXT("+5+5"), TEXT("5.0")}, {5, 5, TEXT("M"), TEXT("+5+5"), TEXT("6")},
	};

	(void)state;
	assert_int_equal(fix_rank_compare(&base, &base), 0);
	for (size_t i = 0; i < ELEMENTS(newer); i++) {
		assert_true(fix_rank_compare(&newer[i], &base) > 0);
		assert_true(fix_rank_compare(&base, &newer[i]) < 0);
	}
}

/* Few values per field, so that equal ones and equal orders are common. */
static struct fix_rank
random_rank(uint64_t *random)
{
	static const char *const words[] = {"", "+", "++", "+,", "A", "Alpha", "Alphb", "\xff"};
	struct fix_rank rank = {
		.order_ns = (int64_t)random_below(random, 3) - 1,
		.rx_ns = (int64_t)random_below(random, 3) - 1,
		.server = text_of(words[random_below(random, ELEMENTS(words))]),
		.location = text_of(words[random_below(random, ELEMENTS(words))]),
		.time = text_of(words[random_below(random, ELEMENTS(words))]),
	};

	if (random_below(random, 2))
		rank.order_ns = rank.rx_ns = 1;
	if (random_below(random, 2))
		rank.server = rank.location = TEXT("+");
	return rank;
}

static bool
rank_same(const struct fix_rank *a, const struct fix_rank *b)
{
	return a->order_ns == b->order_ns && a->rx_ns == b->rx_ns && text_equal(a->server, b->server) &&
	       text_equal(a->location, b->location) && text_equal(a->time, b->time);
}

static const struct fix_rank *
merge(const struct fix_rank *a, const struct fix_rank *b)
{
	return fix_rank_compare(a, b) >= 0 ? a : b;
}

static void
test_rank_laws(void **state)
{
	uint64_t random = random_seed(6);
	int equal = 0;

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		struct fix_rank a = random_rank(&random), b = random_rank(&random), c = random_rank(&random);
		int ab = sign(fix_rank_compare(&a, &b)), bc = sign(fix_rank_compare(&b, &c)),
		    ac = sign(fix_rank_compare(&a, &c));
		bool good = true;

		/* Total and antisymmetric: 0 only for the same. */
		good &= ab == -sign(fix_rank_compare(&b, &a));
		good &= (ab == 0) == rank_same(&a, &b);
		/* Transitive. */
		if (ab >= 0 && bc >= 0)
			good &= ac >= 0 && (ac == 0) == (ab == 0 && bc == 0);
		/* So merging is commutative, associative, idempotent. */
		good &= rank_same(merge(&a, &b), merge(&b, &a));
		good &= rank_same(merge(merge(&a, &b), &c), merge(&a, merge(&b, &c)));
		good &= rank_same(merge(&a, &a), &a);
		if (!good)
			fail_msg("triple %d of this seed", i);
		equal += ab == 0;
	}
	assert_true(equal > 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time),	    cmocka_unit_test(test_time_lengths),
		cmocka_unit_test(test_ids),	    cmocka_unit_test(test_servers),
		cmocka_unit_test(test_order),	    cmocka_unit_test(test_order_random),
		cmocka_unit_test(test_rank_fields), cmocka_unit_test(test_rank_laws),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
