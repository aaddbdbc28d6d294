/* Tests of core/value.h: what is packed comes back, and damage is noticed. */
#include "unit.h"

#include "../table-help.h"
#include "core/value.h"

static void
round_trip(const struct herd_fix *fix, uint64_t hash)
{
	struct text time = {fix->time, fix->time_len}, location = {fix->location, fix->location_len};
	struct herd_fix back;
	struct fix_time client;
	struct value value;
	int64_t order_ns;

	value_pack(&value, hash, fix->id_len, 4095, fix->rx_ns, time, location);
	assert_true(value_intact(&value, hash));
	assert_true(value_rx_ns(&value) == fix->rx_ns);
	assert_int_equal(value_server(&value), 4095);
	assert_int_equal(value_id_len(&value), fix->id_len);
	assert_true(value_texts(&value, &back));
	assert_text_equal(((struct text){back.time, back.time_len}), time);
	assert_text_equal(((struct text){back.location, back.location_len}), location);
	assert_int_equal(fix_time_parse(time, &client), 0);
	assert_true(value_order_ns(&value, &order_ns));
	assert_true(order_ns == fix_order_ns(&client, fix->rx_ns));
}

static void
test_round_trip(void **state)
{
	static const char *const times[] = {"0", "99999999999.999999999", "1.0", "00000000000"};
	static const char *const locations[] = {"+0+0", "-0-0/", "+89.999999999999-179.999999999999/",
						"-89.999999999999+179.999999999999"};
	uint64_t random = random_seed(20);
	struct herd_fix fix = {.id_len = 255};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(times); i++) {
		for (size_t j = 0; j < ELEMENTS(locations); j++) {
			fix.time_len = (uint8_t)(text_put(fix.time, text_of(times[i])) - fix.time);
			fix.location_len = (uint8_t)(text_put(fix.location, text_of(locations[j])) -
						     fix.location);
			fix.rx_ns = i & 1 ? INT64_MAX : 0;
			round_trip(&fix, random_u64(&random));
		}
	}
	for (int i = 0; i < 100000; i++) {
		fix.time_len = (uint8_t)(random_put_time(&random, fix.time) - fix.time);
		fix.location_len = (uint8_t)(random_put_location(&random, fix.location) - fix.location);
		fix.rx_ns = (int64_t)(random_u64(&random) >> 1);
		fix.id_len = (uint8_t)(1 + random_below(&random, 255));
		round_trip(&fix, random_u64(&random));
	}
}

static void
test_damage(void **state)
{
	const uint64_t hash = UINT64_C(0x123456789abcdef0);
	struct value value;

	(void)state;
	value_pack(&value, hash, 16, 3, HELP_BASE_NS, TEXT("1621464827.959498503"),
		   TEXT("+34.068930-118.445127"));
	for (unsigned int bit = 0; bit < 8 * sizeof(value); bit++) {
		value.word[bit / 32] ^= UINT32_C(1) << (bit % 32);
		assert_false(value_intact(&value, hash));
		value.word[bit / 32] ^= UINT32_C(1) << (bit % 32);
	}
	assert_true(value_intact(&value, hash));
	for (unsigned int bit = 0; bit < 64; bit++)
		assert_false(value_intact(&value, hash ^ (UINT64_C(1) << bit)));
}

/* Whatever the words are: bounded, and never more than the fix has room for. */
static void
test_garbage(void **state)
{
	uint64_t random = random_seed(21);
	int texts = 0;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		struct herd_fix fix;
		struct value value;
		int64_t order_ns;

		value_pack(&value, 0, 1, 1, 1, TEXT("1621464827.959498503"), TEXT("+34.068930-118.445127"));
		for (size_t changes = 1 + random_below(&random, 20); changes; changes--)
			((unsigned char *)&value)[random_below(&random, sizeof(value))] =
				(unsigned char)random_u64(&random);
		(void)value_order_ns(&value, &order_ns);
		if (value_texts(&value, &fix)) {
			assert_true(fix.time_len <= HERD_TIME_MAX && fix.location_len <= HERD_LOCATION_MAX);
			texts++;
		}
	}
	assert_true(texts > 1000);
	for (int fill = 0; fill < 256; fill++) {
		struct herd_fix fix;
		struct value value;
		int64_t order_ns;

		memset(&value, fill, sizeof(value));
		(void)value_order_ns(&value, &order_ns);
		if (value_texts(&value, &fix))
			assert_true(fix.time_len <= HERD_TIME_MAX && fix.location_len <= HERD_LOCATION_MAX);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
