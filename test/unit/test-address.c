/* Addresses of settings: address.c. */
#include "unit.h"

#include "base/address.h"

static void
check(const char *in, const char *expected)
{
	char out[ADDRESS_TEXT_MAX];
	struct address a;
	int r;

	memset(&a, 0x5a, sizeof(a));
	r = address_parse(text_of(in), &a);
	if (!expected) {
		assert_int_equal(r, ADDRESS_E_INVALID);
		assert_int_equal(a.len, 0x5a5a5a5a); /* untouched */
		return;
	}
	assert_int_equal(r, 0);
	assert_string_equal(address_format((const struct sockaddr *)&a.socket, out), expected);
}

static void
parses(void **state)
{
	(void)state;
	check("127.0.0.1:12000", "127.0.0.1:12000");
	check("0.0.0.0:0", "0.0.0.0:0");
	check("255.255.255.255:65535", "255.255.255.255:65535");
	check("10.0.0.1:00080", "10.0.0.1:80");
	check("[::1]:12000", "[::1]:12000");
	check("[::]:0", "[::]:0");
	check("[2001:DB8:0:0::1]:1", "[2001:db8::1]:1");
	check("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
	      "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void
refuses(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		":80",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"1.2.3:80",
		"127.0.0.1:-1",
		"127.0.0.1: 80",
		" 127.0.0.1:80",
		"127.0.0.1:80 ",
		"localhost:80",
		"::1:80",
		"[::1]",
		"[]:80",
		"[::1:80",
		"::1]:80",
		"[127.0.0.1]:80",
		"[::1]80",
		"[[::1]]:80",
		"[fe80::1%lo]:1",
		"127.0.0.1:000080",
		"*:80",
		"256.0.0.1:80",
		"127.1:80",
	};
	struct address a;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		check(bad[i], NULL);
	assert_int_equal(address_parse(TEXT("127.0.0.1\0:80"), &a), ADDRESS_E_INVALID);
}

static void
compares(void **state)
{
	static const char *const text[] = {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.2:1",
					   "[::1]:1",	  "[::1]:2",	 "[::2]:1"};
	struct address a[6];

	(void)state;
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(address_parse(text_of(text[i]), &a[i]), 0);
	for (size_t i = 0; i < 6; i++)
		for (size_t k = 0; k < 6; k++)
			assert_int_equal(address_equal(&a[i], &a[k]), i == k);
}

static void
clashes(void **state)
{
	static const struct {
		const char *a, *b;
		bool clash;
	} pair[] = {
		{"127.0.0.1:1", "127.0.0.1:1", true},  {"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false}, {"0.0.0.0:1", "127.0.0.2:1", true},
		{"0.0.0.0:1", "127.0.0.2:2", false},   {"0.0.0.0:1", "0.0.0.0:1", true},
		{"[::]:1", "[::1]:1", true},	       {"[::]:1", "[::]:1", true},
		{"[::1]:1", "[::2]:1", false},	       {"[::]:1", "0.0.0.0:1", false},
		{"[::]:1", "127.0.0.1:1", false},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(pair); i++) {
		struct address a, b;

		assert_int_equal(address_parse(text_of(pair[i].a), &a), 0);
		assert_int_equal(address_parse(text_of(pair[i].b), &b), 0);
		assert_int_equal(address_clashes(&a, &b), pair[i].clash);
		assert_int_equal(address_clashes(&b, &a), pair[i].clash);
		assert_int_equal(address_is_any(&a), pair[i].a[0] == '0' || pair[i].a[3] == ']');
		assert_int_equal(address_port(&a), 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses),
		cmocka_unit_test(refuses),
		cmocka_unit_test(compares),
		cmocka_unit_test(clashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
