/*
 * Who this host is to others: the same while it runs, whatever the machine has
 * for an id.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "flood/machine.h"
#include "flood/setup.h"

static const char *id_text; /* NULL: there is none */
static const char *host_name;

int __wrap_machine_id(uint8_t ret[MACHINE_ID_BYTES]);
int __wrap_gethostname(char *name, size_t len);

int
__wrap_machine_id(uint8_t ret[MACHINE_ID_BYTES])
{
	if (!id_text)
		return -ENOENT;
	memset(ret, 0, MACHINE_ID_BYTES);
	memcpy(ret, id_text, strnlen(id_text, MACHINE_ID_BYTES));
	return 0;
}

int
__wrap_gethostname(char *name, size_t len)
{
	snprintf(name, len, "%s", host_name);
	return 0;
}

static int
set_up(void **state)
{
	(void)state;
	id_text = "0123456789abcdef0123456789abcdef";
	host_name = "hill.example";
	return 0;
}

static int
read_setup(struct setup *ret, const char *text, char why[SETUP_WHY_MAX])
{
	CLEANUP(conf_done) struct conf conf = {0};
	struct text bytes = text_of(text);
	const struct conf_source source = {.file = "/x", .bytes = &bytes};

	assert_int_equal(conf_load(&conf, &source), 0);
	setup_done(ret);
	return setup_read(ret, &conf, why);
}

#define LOCAL "[flood]\ntls-dir = /nonexistent\nlisten = 127.0.0.1:1\n"

static void
test_who_we_are(void **state)
{
	CLEANUP(setup_done) struct setup a = {0};
	CLEANUP(setup_done) struct setup b = {0};
	char why[SETUP_WHY_MAX] = "";

	(void)state;
	assert_int_equal(read_setup(&a, "", why), 0);
	assert_false(a.is_on);
	assert_int_equal(read_setup(&a, LOCAL, why), 0);
	assert_true(a.is_on);
	assert_string_equal(a.self.host, "hill");
	assert_string_equal(a.self.herd, "herd");
	assert_int_equal(read_setup(&b, LOCAL "[herd]\nshm = /other\n", why), 0);
	assert_memory_not_equal(a.self.host_id, b.self.host_id, 16); /* another host to its peers */
	assert_int_equal(read_setup(&b, LOCAL, why), 0);
	assert_memory_equal(a.self.host_id, b.self.host_id, 16);
	assert_true(setup_fits(&a, &b));
	host_name = "smith";
	assert_int_equal(read_setup(&b, LOCAL, why), 0);
	assert_false(setup_fits(&a, &b)); /* links were made under another name */
	host_name = "not a name";
	assert_int_equal(read_setup(&b, LOCAL, why), SETUP_E_INVALID);
	assert_non_null(strstr(why, "set 'name'"));
	assert_int_equal(
		read_setup(&b, LOCAL "name = hill\nhost-id = 000102030405060708090a0b0c0d0e0F\n", why), 0);
	assert_int_equal(b.self.host_id[15], 15);
}

/* As in many a container: what links were made with must not change at a reload. */
static void
test_no_machine_id(void **state)
{
	CLEANUP(setup_done) struct setup a = {0};
	CLEANUP(setup_done) struct setup b = {0};
	char why[SETUP_WHY_MAX] = "";

	(void)state;
	id_text = NULL;
	assert_int_equal(read_setup(&a, LOCAL, why), 0);
	assert_int_equal(read_setup(&b, LOCAL, why), 0);
	assert_memory_equal(a.self.host_id, b.self.host_id, 16);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_who_we_are, set_up),
		cmocka_unit_test_setup(test_no_machine_id, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
