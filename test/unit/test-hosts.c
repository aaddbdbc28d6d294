/* The list of a herd's hosts: hosts.c. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "conf/hosts.h"
#include "../random.h"

static void
parses_one(const char *entry, bool name_optional, const char *name, const char *address, const char *site)
{
	char why[HOSTS_WHY_MAX] = "";
	struct host host;
	int r;

	memset(&host, 0x5a, sizeof(host));
	r = host_parse(text_of(entry), name_optional, &host, why);
	assert_string_equal(why, "");
	assert_int_equal(r, 0);
	assert_string_equal(host.name, name);
	assert_string_equal(host.address, address);
	assert_string_equal(host.site, site);
}

static void
refuses_one(const char *entry, bool name_optional, const char *expected)
{
	struct host host, untouched;
	char why[HOSTS_WHY_MAX];
	int r;

	memset(&host, 0x5a, sizeof(host));
	untouched = host;
	r = host_parse(text_of(entry), name_optional, &host, why);
	assert_int_equal(r, HOSTS_E_INVALID);
	assert_memory_equal(&host, &untouched, sizeof(host));
	if (!strstr(why, expected))
		fail_msg("'%s': '%s' instead of '%s'", entry, why, expected);
}

static void
parses_entries(void **state)
{
	char name[64], entry[512], address[300];

	(void)state;
	parses_one("hill hill.example:12400", false, "hill", "hill.example:12400", "");
	parses_one("  hill\t192.0.2.1:1  ", false, "hill", "192.0.2.1:1", "");
	parses_one("Hill.Example-2 [2001:db8::1]:65535 site=north-1", false, "Hill.Example-2",
		   "[2001:db8::1]:65535", "north-1");
	parses_one("1 _x.example.:00012", false, "1", "_x.example.:00012", "");
	parses_one("192.0.2.1:12400", true, "", "192.0.2.1:12400", "");
	parses_one("[::1]:12400 site=a", true, "", "[::1]:12400", "a");
	parses_one("smith 192.0.2.1:12400", true, "smith", "192.0.2.1:12400", "");

	memset(name, 'x', 63);
	name[63] = '\0';
	memset(address, 'y', 253);
	memcpy(address + 253, ":65535", sizeof(":65535"));
	snprintf(entry, sizeof(entry), "%s %s site=%s", name, address, name);
	parses_one(entry, false, name, address, name);
}

static void
refuses_entries(void **state)
{
	char entry[600];

	(void)state;
	refuses_one("", false, "nothing");
	refuses_one(" \t", true, "nothing");
	refuses_one("hill", false, "has no address");
	refuses_one("hill hill.example", false, "has no port");
	refuses_one("hill.example:12400", false, "has no name");
	refuses_one("hi_ll a:1", false, "is no host");
	refuses_one("-hill a:1", false, "is no host");
	refuses_one("hill. a:1", false, "is no host");
	refuses_one("h\xc3\xa4ll a:1", false, "is no host");
	refuses_one("h\033[1m a:1", false, "'h\\x1b[1m' is no host");
	refuses_one("hill a:", false, "is no port");
	refuses_one("hill a:0", false, "is no port");
	refuses_one("hill a:65536", false, "is no port");
	refuses_one("hill a:+1", false, "is no port");
	refuses_one("hill a:100000", false, "is no port");
	refuses_one("hill :1", false, "is no address");
	refuses_one("hill a..b:1", false, "is no address");
	refuses_one("hill .a:1", false, "is no address");
	refuses_one("hill 192.0.2:1", false, "is no address");
	refuses_one("hill 192.0.2.256:1", false, "is no address");
	refuses_one("hill ::1:1", false, "is no address");
	refuses_one("hill [::1:1", false, "is no address");
	refuses_one("hill [a]:1", false, "is no address");
	refuses_one("hill a/b:1", false, "is no address");
	refuses_one("hill a:1 north", false, "expected site=SITE");
	refuses_one("hill a:1 site=", false, "is no site");
	refuses_one("hill a:1 site=a_b", false, "is no site");
	refuses_one("hill a:1 site=a site=a", false, "a second site");
	refuses_one("a:1 b:1", true, "behind the address");

	memset(entry, 'x', 64);
	memcpy(entry + 64, " a:1", sizeof(" a:1"));
	refuses_one(entry, false, "is no host");
	memset(entry, 'x', sizeof(entry) - 1);
	memcpy(entry, "hill ", 5);
	memcpy(entry + 5 + 254, ":1", sizeof(":1"));
	refuses_one(entry, false, "is no address");
}

static void
compares_names(void **state)
{
	(void)state;
	assert_int_equal(host_name_compare("Hill", "hILL"), 0);
	assert_true(host_name_compare("hill", "hill2") < 0);
	assert_true(host_name_compare("Z", "a") > 0);
	assert_true(host_name_compare("", "a") < 0);
	assert_true(host_name_compare("a-b", "a.b") < 0);
}

static int
add(struct hosts *hosts, const char *entry, char why[HOSTS_WHY_MAX])
{
	struct host host;

	assert_int_equal(host_parse(text_of(entry), true, &host, why), 0);
	return hosts_add(hosts, &host, why);
}

static void
keeps_a_list(void **state)
{
	CLEANUP(hosts_done) struct hosts hosts = {0};
	char why[HOSTS_WHY_MAX];

	(void)state;
	assert_int_equal(add(&hosts, "hill hill.example:1", why), 0);
	assert_int_equal(add(&hosts, "smith hill.example:2 site=a", why), 0);
	assert_int_equal(add(&hosts, "192.0.2.1:1", why), 0);
	assert_int_equal(add(&hosts, "192.0.2.1:2", why), 0); /* two without a name are two */
	assert_int_equal(add(&hosts, "HILL a:1", why), HOSTS_E_INVALID);
	assert_string_equal(why, "a second host 'HILL' (expected each once)");
	assert_int_equal(add(&hosts, "jaquez Hill.example:1", why), HOSTS_E_INVALID);
	assert_string_equal(why, "a second 'Hill.example:1' (expected each address once)");
	assert_int_equal(hosts.count, 4);
	assert_ptr_equal(hosts_find(&hosts, "Smith"), &hosts.at[1]);
	assert_null(hosts_find(&hosts, "jaquez"));
	assert_string_equal(hosts.at[1].site, "a");

	for (unsigned int i = 0; hosts.count < HOSTS_MAX; i++) {
		char entry[64];

		snprintf(entry, sizeof(entry), "h%u a%u:1", i, i);
		assert_int_equal(add(&hosts, entry, why), 0);
	}
	assert_int_equal(add(&hosts, "more more:1", why), HOSTS_E_INVALID);
	assert_non_null(strstr(why, "too many"));
}

static void
reads_files(void **state)
{
	CLEANUP(hosts_done) struct hosts hosts = {0};
	char why[HOSTS_WHY_MAX] = "";
	const struct text good = TEXT("\xef\xbb\xbf# all of them\n"
				      "hill hill:1 site=a # the first\r\n"
				      "\n   \n#jaquez jaquez:1\n"
				      "smith smith:1");
	const struct text bad = TEXT("campbell campbell:1\n\nsingleton singleton\n");
	const struct text twice = TEXT("campbell campbell:1\nsmith x:1\n");

	(void)state;
	assert_int_equal(hosts_read(&hosts, (struct text){"", 0}, "x", why), 0);
	assert_int_equal(hosts_read(&hosts, good, "x", why), 0);
	assert_int_equal(hosts.count, 2);
	assert_string_equal(hosts.at[0].site, "a");
	assert_string_equal(hosts.at[1].name, "smith");

	assert_int_equal(hosts_read(&hosts, bad, "the/file", why), HOSTS_E_INVALID);
	assert_string_equal(why, "the/file:3: 'singleton' has no port (expected ADDRESS:PORT)");
	assert_int_equal(hosts_read(&hosts, twice, "the/file", why), HOSTS_E_INVALID);
	assert_string_equal(why, "the/file:2: a second host 'smith' (expected each once)");
	assert_int_equal(hosts.count, 2); /* all or none */
}

static void
reads_a_path(void **state)
{
	CLEANUP(hosts_done) struct hosts hosts = {0};
	char why[HOSTS_WHY_MAX] = "", path[] = "/tmp/test-hosts-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "hill hill:1\n", 12), 12);
	assert_int_equal(hosts_read_file(&hosts, path, why), 0);
	assert_int_equal(hosts.count, 1);
	assert_int_equal(ftruncate(fd, HOSTS_FILE_MAX + 1), 0);
	assert_int_equal(hosts_read_file(&hosts, path, why), -EFBIG);
	close(fd);
	unlink(path);
	assert_int_equal(hosts_read_file(&hosts, path, why), -ENOENT);
	assert_memory_equal(why, path, strlen(path));
	assert_non_null(strstr(why, "cannot be read"));
	assert_int_equal(hosts.count, 1);
}

/* Good files with bytes changed: whatever is taken can be written down and read again. */
static void
survives_noise(void **state)
{
	uint64_t random = random_seed(1);
	static const char good[] = "hill hill:1 site=a\nsmith [::1]:1\njaquez 192.0.2.1:3 # x\n";

	(void)state;
	for (unsigned int round = 0; round < 100000; round++) {
		CLEANUP(hosts_done) struct hosts hosts = {0};
		char bytes[sizeof(good)], why[HOSTS_WHY_MAX] = "";

		memcpy(bytes, good, sizeof(good));
		for (unsigned int changes = 0; changes < 3; changes++)
			bytes[random_below(&random, sizeof(good))] = (char)random_u64(&random);
		if (hosts_read(&hosts, (struct text){bytes, sizeof(good)}, "x", why) != 0) {
			assert_int_equal(hosts.count, 0);
			assert_true(strlen(why) > 5);
		}
		for (size_t i = 0; i < hosts.count; i++)
			assert_true(host_name_valid(text_of(hosts.at[i].name)));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_entries), cmocka_unit_test(refuses_entries),
		cmocka_unit_test(compares_names), cmocka_unit_test(keeps_a_list),
		cmocka_unit_test(reads_files),	  cmocka_unit_test(reads_a_path),
		cmocka_unit_test(survives_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
