/*
 * The list of what an authority has issued: what comes back is what went in,
 * and a line that cannot be read is never passed over.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ca-list.h"
#include "../random.h"

static int
parse(const char *text, struct ca_list *ret, unsigned int *ret_line)
{
	return ca_list_parse(ret, text_of(text), ret_line);
}

static void
test_there_and_back(void **state)
{
	CLEANUP(ca_list_done) struct ca_list list = {0};
	CLEANUP(ca_list_done) struct ca_list back = {0};
	CLEANUP(buffer_done) struct buffer out = {.max = 1 << 20};
	unsigned int line = 0;

	(void)state;
	for (uint64_t i = 1; i <= 100; i++) {
		struct ca_entry e = {
			.serial = i * UINT64_C(0x0123456789abcdef),
			.issued_s = (int64_t)i * 86400,
			.expires_s = (int64_t)i * 86400 * 100,
			.revoked_s = i % 3 ? 0 : (int64_t)i * 86401,
		};

		snprintf(e.name, sizeof(e.name), "host-%d.example", (int)i);
		assert_int_equal(ca_list_add(&list, &e), 0);
	}
	assert_int_equal(ca_list_format(&list, &out), 0);
	assert_int_equal(ca_list_parse(&back, (struct text){out.bytes, out.len}, &line), 0);
	assert_int_equal(back.count, list.count);
	for (size_t i = 0; i < list.count; i++) {
		assert_int_equal(back.at[i].serial, list.at[i].serial);
		assert_string_equal(back.at[i].name, list.at[i].name);
		assert_int_equal(back.at[i].issued_s, list.at[i].issued_s);
		assert_int_equal(back.at[i].expires_s, list.at[i].expires_s);
		assert_int_equal(back.at[i].revoked_s, list.at[i].revoked_s);
		assert_ptr_equal(ca_list_find(&back, list.at[i].serial), &back.at[i]);
	}
	assert_null(ca_list_find(&back, 7));
}

static void
test_as_people_read_it(void **state)
{
	static const char text[] = "# comment\n"
				   "\n"
				   "00000000000000aF Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z -\n"
				   "4f1e0a9b3c5d7e21  Hill\t2026-11-22T03:00:00Z 2029-02-24T04:00:00Z "
				   "2027-01-01T00:00:00Z \n";
	CLEANUP(ca_list_done) struct ca_list list = {0};
	unsigned int line = 0;

	(void)state;
	assert_int_equal(parse(text, &list, &line), 0);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.at[0].serial, 0xaf);
	assert_int_equal(list.at[0].issued_s, 1795316400);
	assert_int_equal(list.at[0].revoked_s, 0);
	assert_int_equal(list.at[1].revoked_s, 1798761600);
	assert_int_equal(line, 0);
}

static void
test_damage(void **state)
{
	static const char good[] = "4f1e0a9b3c5d7e21 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z -\n";
	static const char *const bad[] = {
		"4f1e0a9b3c5d7e21 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z -", /* cut short */
		"4f1e0a9b3c5d7e21 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z\n",
		"4f1e0a9b3c5d7e21 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z - -\n",
		"4f1e0a9b3c5d7e2 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z -\n",
		"4f1e0a9b3c5d7e211 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z -\n",
		"4f1e0a9b3c5d7e2g Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z -\n",
		"0000000000000000 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z -\n",
		"4f1e0a9b3c5d7e21 ../Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z -\n",
		"4f1e0a9b3c5d7e21 Hill 2026-13-22T03:00:00Z 2029-02-24T04:00:00Z -\n",
		"4f1e0a9b3c5d7e21 Hill 2026-11-22T03:00:00Zx 2029-02-24T04:00:00Z -\n",
		"4f1e0a9b3c5d7e21 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z 1970-01-01T00:00:00Z\n",
		"4f1e0a9b3c5d7e21 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z yes\n",
		" \n",
	};

	CLEANUP(ca_list_done) struct ca_list none = {0};
	unsigned int line = 0;

	(void)state;
	assert_int_equal(parse("", &none, &line), CA_LIST_E_DAMAGED); /* even a new one has its heading */
	assert_int_equal(parse("# What herd", &none, &line), CA_LIST_E_DAMAGED);
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		CLEANUP(ca_list_done) struct ca_list list = {0};
		char text[300];

		snprintf(text, sizeof(text), "%s%s", good, bad[i]);
		assert_int_equal(parse(text, &list, &line), CA_LIST_E_DAMAGED);
		assert_int_equal(line, 2);
		assert_int_equal(list.count, 0);
	}
}

/* Whatever stands there is taken as a whole or not at all, and nothing is read behind it. */
static void
test_anything(void **state)
{
	static const char good[] = "4f1e0a9b3c5d7e21 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z -\n"
				   "5f1e0a9b3c5d7e21 Jaquez 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z "
				   "2027-01-01T00:00:00Z\n";
	uint64_t random = random_seed(7);

	(void)state;
	for (int i = 0; i < 20000; i++) {
		CLEANUP(ca_list_done) struct ca_list list = {0};
		size_t len = sizeof(good) - 1 - random_below(&random, 20);
		char *text = malloc(len);
		unsigned int line = 0;
		int r;

		assert_non_null(text);
		memcpy(text, good, len);
		for (size_t n = random_below(&random, 3); n > 0; n--)
			text[random_below(&random, len)] = (char)random_below(&random, 256);
		r = ca_list_parse(&list, (struct text){text, len}, &line);
		assert_true(r == 0 || (r == CA_LIST_E_DAMAGED && line >= 1));
		free(text);
	}
}

static void
test_names(void **state)
{
	static const char *const good[] = {"a", "Hill", "hill-2.example", "1", "a-", "10.0.0.1"};
	static const char *const bad[] = {"",	 ".",	"..", "-a",  ".a",	"a/b",
					  "a b", "a_b", "a*", "a\n", "\xc3\xa4"};
	char longest[CA_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ELEMENTS(good); i++)
		assert_true(ca_name_valid(text_of(good[i])));
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		assert_false(ca_name_valid(text_of(bad[i])));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[CA_NAME_MAX + 1] = '\0';
	assert_false(ca_name_valid(text_of(longest)));
	longest[CA_NAME_MAX] = '\0';
	assert_true(ca_name_valid(text_of(longest)));
}

static void
test_which_is_good(void **state)
{
	static const struct ca_entry entries[] = {
		{.serial = 1, .name = "Hill", .expires_s = 200},
		{.serial = 2, .name = "Hill", .expires_s = 300, .revoked_s = 50},
		{.serial = 3, .name = "hill", .expires_s = 250},
		{.serial = 4, .name = "Jaquez", .expires_s = 400},
	};
	CLEANUP(ca_list_done) struct ca_list list = {0};

	(void)state;
	assert_null(ca_list_good(&list, "Hill", 100));
	for (size_t i = 0; i < ELEMENTS(entries); i++)
		assert_int_equal(ca_list_add(&list, &entries[i]), 0);
	assert_int_equal(ca_list_good(&list, "Hill", 100)->serial, 3); /* TLS knows no case */
	assert_null(ca_list_good(&list, "Hill", 250));
	assert_null(ca_list_good(&list, "Hil", 100));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_as_people_read_it),
		cmocka_unit_test(test_damage),	       cmocka_unit_test(test_anything),
		cmocka_unit_test(test_names),	       cmocka_unit_test(test_which_is_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
