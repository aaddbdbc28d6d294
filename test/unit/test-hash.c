/*
 * Tests of base/hash.h. The vectors come from CPython 3.11, whose hash() of
 * bytes is SipHash-1-3, with PYTHONHASHSEED=0 (key zero) and PYTHONHASHSEED=42
 * (the key below); byte i of a message of n bytes is (7 i + n) mod 256.
 */
#include "unit.h"

#include <string.h>

#include "base/hash.h"

struct vector {
	size_t len;
	uint64_t hash;
};

static const struct vector vectors_zero[] = {
	{1, UINT64_C(0x44bc103b1f8540ed)},   {2, UINT64_C(0x59c293a98a99f70b)},
	{3, UINT64_C(0x711b47561b9b33e2)},   {4, UINT64_C(0xd18e60eb59380f69)},
	{5, UINT64_C(0x4983680039fb2f34)},   {6, UINT64_C(0xb646f9a3ed9bf441)},
	{7, UINT64_C(0x9fff4ac9ef420232)},   {8, UINT64_C(0xcaf590d4e8867659)},
	{9, UINT64_C(0xdbc958e03a783083)},   {10, UINT64_C(0x0940e301a509d222)},
	{11, UINT64_C(0x55e4be449d0a4167)},  {12, UINT64_C(0xedf2e77f22f2c675)},
	{13, UINT64_C(0x776c61d049da5825)},  {14, UINT64_C(0x9997e340c31a8aa6)},
	{15, UINT64_C(0xade679b8aedd64c4)},  {16, UINT64_C(0xd16eb79de4d128d0)},
	{17, UINT64_C(0x64aa3c973ae91df5)},  {24, UINT64_C(0xd42f8303f2318297)},
	{40, UINT64_C(0xd455bcee948f116f)},  {63, UINT64_C(0x1bc1438de96eb7e0)},
	{64, UINT64_C(0x5567a64c7eaaba34)},  {255, UINT64_C(0x3663ed077046f580)},
	{256, UINT64_C(0x9dc07535984b23ce)},
};

static const struct vector vectors_42[] = {
	{0, UINT64_C(0x368659063128bff6)}, /* CPython does not hash the empty one: by a second implementation */
	{1, UINT64_C(0x89404b342d44cd29)},   {2, UINT64_C(0x71515a4c4e079b03)},
	{3, UINT64_C(0x7a7bdb39d1ddb8c7)},   {4, UINT64_C(0x74db2ddf0687c26a)},
	{5, UINT64_C(0x404a737645cdf8fd)},   {6, UINT64_C(0x6fd8ca4bc4cf6da8)},
	{7, UINT64_C(0x0336f804e351866a)},   {8, UINT64_C(0x3de44bc65842791b)},
	{9, UINT64_C(0x10c6138161324054)},   {10, UINT64_C(0x2ba5b4cb2b0b1c2f)},
	{11, UINT64_C(0x359a53b971f6f7f2)},  {12, UINT64_C(0x6dd092d5a04a6e9e)},
	{13, UINT64_C(0x01e529fb6ebad23d)},  {14, UINT64_C(0x070f2c50c85b5257)},
	{15, UINT64_C(0x5d81d63c3c6a2e8f)},  {16, UINT64_C(0xf0bd3a3a6514ce02)},
	{17, UINT64_C(0x57b8da908cc17fc1)},  {24, UINT64_C(0xae5f6fbb4896edfa)},
	{40, UINT64_C(0x09a3bdc435a252e0)},  {63, UINT64_C(0x8c7a632aebb0b715)},
	{64, UINT64_C(0xf2dffc64974c904e)},  {255, UINT64_C(0xf2aced75c8efcacd)},
	{256, UINT64_C(0x6bee7303619c7767)},
};

static void
check(const struct hash_key *key, const struct vector *vectors, size_t count)
{
	for (size_t v = 0; v < count; v++) {
		unsigned char bytes[256 + 1];

		/* Once more at an odd address: ids are where the line has them. */
		for (size_t shift = 0; shift < 2; shift++) {
			for (size_t i = 0; i < vectors[v].len; i++)
				bytes[shift + i] = (unsigned char)(7 * i + vectors[v].len);
			assert_true(hash_siphash13(key, bytes + shift, vectors[v].len) == vectors[v].hash);
		}
	}
}

static void
test_vectors(void **state)
{
	const struct hash_key zero = {0, 0};
	const struct hash_key seed_42 = {UINT64_C(0xdc504fd368cd90af), UINT64_C(0xb920bb9ffe99e9c1)};
	const struct hash_key counting = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
	unsigned char bytes[15];

	(void)state;
	check(&zero, vectors_zero, ELEMENTS(vectors_zero));
	check(&seed_42, vectors_42, ELEMENTS(vectors_42));
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	assert_true(hash_siphash13(&counting, bytes, sizeof(bytes)) == UINT64_C(0xd320d86d2a519956));
}

static void
test_random_keys_differ(void **state)
{
	struct hash_key a = {0, 0}, b = {0, 0};

	(void)state;
	assert_int_equal(hash_key_random(&a), 0);
	assert_int_equal(hash_key_random(&b), 0);
	assert_true(memcmp(&a, &b, sizeof(a)) != 0);
	assert_true(hash_siphash13(&a, "kiwi", 4) != hash_siphash13(&b, "kiwi", 4));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_random_keys_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
