/*
 * This machine's id: machine.c, against what machine-id(5) says an application should make of it.
 */
#include "unit.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "flood/machine.h"

/* What is in /etc/machine-id; false: nothing that counts. */
static bool
read_id(uint8_t ret[MACHINE_ID_BYTES])
{
	FILE *file = fopen("/etc/machine-id", "re");
	char text[64] = "";
	unsigned int byte;
	bool good;

	if (!file)
		return false;
	good = fgets(text, sizeof(text), file) &&
	       strspn(text, "0123456789abcdef") == 2 * (size_t)MACHINE_ID_BYTES;
	fclose(file);
	for (size_t i = 0; good && i < MACHINE_ID_BYTES; i++) {
		good = sscanf(text + 2 * i, "%2x", &byte) == 1; /* NOLINT(cert-err34-c): two hex digits */
		ret[i] = (uint8_t)byte;
	}
	return good;
}

/* The id is kept over a change of the build: it is part of what peers know this host by. */
static void
test_derived(void **state)
{
	static const uint8_t herd[] = {0x9d, 0x3c, 0x1b, 0x1e, 0x6f, 0x0a, 0x4c, 0x0c,
				       0xa1, 0x57, 0x6a, 0x7b, 0x5e, 0x0f, 0xc2, 0x38};
	uint8_t key[MACHINE_ID_BYTES], expected[EVP_MAX_MD_SIZE], id[MACHINE_ID_BYTES];

	(void)state;
	if (!read_id(key)) {
		assert_true(machine_id(id) < 0);
		return;
	}
	assert_non_null(HMAC(EVP_sha256(), key, sizeof(key), herd, sizeof(herd), expected, NULL));
	expected[6] = (uint8_t)((expected[6] & 0x0f) | 0x40);
	expected[8] = (uint8_t)((expected[8] & 0x3f) | 0x80);
	assert_int_equal(machine_id(id), 0);
	assert_memory_equal(id, expected, sizeof(id));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_derived),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
