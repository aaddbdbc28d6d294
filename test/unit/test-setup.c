/* Tests of flood/setup.h: who we are, whom we know, and when links want protection. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flood/setup.h"

/* Settings of [flood], and what they come to; the folder of certificates is not there. */
static int
read_setup(const char *text, struct setup *ret, char why[SETUP_WHY_MAX])
{
	char whole[2048];
	struct text bytes = {whole, 0};
	const struct conf_source source = {.file = "x", .bytes = &bytes};
	CLEANUP(conf_done) struct conf conf = {0};

	bytes.len = (size_t)snprintf(whole, sizeof(whole), "[flood]\ntls-dir = /nowhere\nname = me\n%s",
				     text);
	assert_int_equal(conf_load(&conf, &source), 0);
	why[0] = '\0';
	return setup_read(ret, &conf, why);
}

static void
check(const char *text, int expected, const char *expected_why)
{
	CLEANUP(setup_done) struct setup s = {0};
	char why[SETUP_WHY_MAX];

	assert_int_equal(read_setup(text, &s, why), expected);
	if (!strstr(why, expected_why))
		fail_msg("'%s' is not in '%s'", expected_why, why);
}

static void
test_protection(void **state)
{
	static const char *const good[] = {
		"", /* no links at all */
		"listen = 127.0.0.1:1",
		"listen = [::1]:1, 127.200.0.1:2",
		"peer = 127.0.0.1:1, hill [::1]:2, localhost:3",
		"hosts = hill 127.0.0.1:1, smith localhost:2 site=a",
		"listen = 0.0.0.0:1\nplain = yes",
		"hosts = hill 192.0.2.1:1\nplain = yes",
	};
	static const char *const bad[] = {
		"listen = 0.0.0.0:1",
		"listen = 127.0.0.1:1, [::]:1",
		"peer = 192.0.2.1:1",
		"peer = 127.0.0.1:1, localhost.example:1",
		"hosts = hill 127.0.0.1:1, smith [2001:db8::1]:1",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(good); i++)
		check(good[i], 0, "");
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		check(bad[i], SETUP_E_PLAIN, "neither a certificate in '/nowhere' nor a shared key");
	check("listen = 127.0.0.1:1\npsk-file = /nowhere/key", SETUP_E_INVALID,
	      "/nowhere/key: No such file or directory");
	check("hosts = /nowhere/hosts", SETUP_E_INVALID, "/nowhere/hosts");
	check("hosts = hill 127.0.0.1:1, HILL 127.0.0.1:2", SETUP_E_INVALID, "HILL");
	check("peer = hill 127.0.0.1:1, smith 127.0.0.1:1", SETUP_E_INVALID, "127.0.0.1:1");
}

/* Plain is plain, whatever there is; but that it is, is no secret. */
static void
test_plain_comes_first(void **state)
{
	CLEANUP(setup_done) struct setup with = {0}, without = {0};
	char why[SETUP_WHY_MAX];

	(void)state;
	assert_int_equal(read_setup("listen = 127.0.0.1:1\nplain = yes\npsk-file = /nowhere/key", &with, why),
			 0);
	assert_true(!with.tls && with.spurns_tls);
	assert_int_equal(read_setup("listen = 127.0.0.1:1\nplain = yes", &without, why), 0);
	assert_true(!without.tls && !without.spurns_tls);
}

static void
test_hosts(void **state)
{
	CLEANUP(setup_done) struct setup s = {0};
	char why[SETUP_WHY_MAX];

	(void)state;
	assert_int_equal(read_setup("hosts = hill 127.0.0.1:1, smith 127.0.0.1:2", &s, why), 0);
	assert_true(s.is_on && !s.drawn && !s.tls);
	assert_int_equal(s.hosts.count, 2);
	assert_int_equal(s.known.count, 2);
	setup_done(&s);
	assert_int_equal(
		read_setup("hosts = hill 127.0.0.1:1, smith 127.0.0.1:2\npeer = 127.0.0.1:3", &s, why), 0);
	assert_true(s.is_on && s.drawn);
	assert_int_equal(s.hosts.count, 1);
	assert_int_equal(s.number_count, 1);
	assert_int_equal(s.known.count, 2);
	setup_done(&s);
	assert_int_equal(read_setup("", &s, why), 0);
	assert_false(s.is_on);
}

static void
test_identity(void **state)
{
	static const uint8_t id[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
				       0xAB, 0xCD, 0xEF, 0x00, 0x11, 0x22, 0x33, 0x44};
	CLEANUP(setup_done) struct setup a = {0};
	CLEANUP(setup_done) struct setup b = {0};
	char why[SETUP_WHY_MAX];

	(void)state;
	assert_int_equal(read_setup("listen = 127.0.0.1:1\nname = hill\nherd = cows\n"
				    "host-id = 0123456789abcdefABCDEF0011223344\n",
				    &a, why),
			 0);
	assert_string_equal(a.self.host, "hill");
	assert_string_equal(a.self.herd, "cows");
	assert_memory_equal(a.self.host_id, id, sizeof(id));
	assert_int_equal(a.self.ttl_s, 7 * 86400);
	assert_true(setup_fits(&a, &a));

	/* The key is the herd's: of its name, as there is nothing better. */
	assert_int_equal(read_setup("listen = 127.0.0.1:2\nname = smith\nherd = cows", &b, why), 0);
	assert_int_equal(a.self.key_check, b.self.key_check);
	assert_memory_equal(&a.key, &b.key, sizeof(a.key));
	assert_memory_not_equal(a.self.host_id, b.self.host_id, sizeof(id));
	setup_done(&b);
	assert_int_equal(read_setup("listen = 127.0.0.1:2\nname = smith\nherd = sheep", &b, why), 0);
	assert_memory_not_equal(&a.key, &b.key, sizeof(a.key));
	assert_false(setup_fits(&a, &b));
	setup_done(&b);
	assert_int_equal(read_setup("listen = 127.0.0.1:2\nherd = cows\n[herd]\nfix-ttl = 1d", &b, why), 0);
	assert_false(setup_fits(&a, &b));
	assert_true(b.self.host[0] != '\0');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protection),
		cmocka_unit_test(test_plain_comes_first),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_identity),
	};

	unsetenv("CREDENTIALS_DIRECTORY");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
