/* The shared command line: options.c. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "conf/options.h"

static const struct options_entry entries[] = {
	{"name", "NAME", NULL, "Name of the member"},
	{"listen", "ADDR:PORT", "member.listen", "Listen there"},
	{"shm", "NAME", "shm", "Which table"},
	{"once", NULL, NULL, "Only once"},
	{NULL, NULL, NULL, NULL},
};
static const struct options_program program = {
	.name = "herd-test",
	.summary = "Tests options.",
	.entries = entries,
	.sections = CONF_SECTION_HERD | CONF_SECTION_PLACES,
	.more = "More of it.",
};

static char out_text[16384], err_text[4096];

/* Parses the arguments, up to a NULL. */
static int
parse(struct options *ret, const struct options_program *p, char *const *argv)
{
	FILE *out = fmemopen(out_text, sizeof(out_text), "w"),
	     *err = fmemopen(err_text, sizeof(err_text), "w");
	int argc = 0, r;

	assert_non_null(out);
	assert_non_null(err);
	out_text[0] = err_text[0] = '\0';
	while (argv[argc])
		argc++;
	r = options_parse(ret, p, argc, (char **)argv, out, err);
	fclose(out);
	fclose(err);
	return r;
}

#define ARGV(...)                                        \
	(char *const[])                                  \
	{                                                \
		(char[]){"herd-test"}, __VA_ARGS__, NULL \
	}
#define A(text)      \
	(char[])     \
	{            \
		text \
	}

static void
test_nothing(void **state)
{
	CLEANUP(options_done) struct options o = {0};

	(void)state;
	assert_int_equal(parse(&o, &program, (char *const[]){A("herd-test"), NULL}), 0);
	assert_null(o.config);
	assert_false(o.check_config);
	assert_int_equal(o.set_count, 0);
	assert_null(options_value(&o, "name"));
	assert_null(options_value(&o, "once"));
	assert_int_equal(o.operand, 1);
}

static void
test_everything(void **state)
{
	CLEANUP(options_done) struct options o = {0};

	(void)state;
	assert_int_equal(
		parse(&o, &program,
		      ARGV(A("--name"), A("Alpha"), A("--listen=127.0.0.1:1"), A("--set"), A("line-max=1=2"),
			   A("--listen"), A("127.0.0.1:2"), A("--config"), A("x.conf"), A("--check-config"),
			   A("--once"), A("--name=Bravo"), A("--set=udp="))),
		0);
	assert_string_equal(o.config, "x.conf");
	assert_true(o.check_config);
	assert_string_equal(options_value(&o, "name"), "Bravo");
	assert_string_equal(options_value(&o, "once"), "");
	assert_int_equal(o.set_count, 4);
	assert_string_equal(o.sets[0].option, "--listen");
	assert_string_equal(o.sets[0].key, "member.listen");
	assert_string_equal(o.sets[0].value, "127.0.0.1:1");
	assert_string_equal(o.sets[1].option, "--set");
	assert_string_equal(o.sets[1].key, "line-max");
	assert_string_equal(o.sets[1].value, "1=2");
	assert_string_equal(o.sets[2].value, "127.0.0.1:2");
	assert_string_equal(o.sets[3].key, "udp");
	assert_string_equal(o.sets[3].value, "");
	assert_string_equal(err_text, "");
}

static void
check_usage(char *const *argv, const char *complaint)
{
	CLEANUP(options_done) struct options o = {.operand = 77};
	char expected[512];

	assert_int_equal(parse(&o, &program, argv), OPTIONS_E_USAGE);
	snprintf(expected, sizeof(expected), "herd-test: %s\nTry 'herd-test --help'.\n", complaint);
	assert_string_equal(err_text, expected);
	assert_string_equal(out_text, "");
	assert_int_equal(o.operand, 77); /* untouched */
}

static void
test_misuse(void **state)
{
	(void)state;
	check_usage(ARGV(A("--nonsense")), "unknown or ambiguous option '--nonsense'");
	check_usage(ARGV(A("--non\x1b[2Jsense=1")), "unknown or ambiguous option '--non\\x1b[2Jsense=1'");
	check_usage(ARGV(A("--s")), "unknown or ambiguous option '--s'");
	check_usage(ARGV(A("-x")), "unknown option '-x'");
	check_usage(ARGV(A("--once"), A("-xyz")), "unknown option '-x'");
	check_usage(ARGV(A("-\xff")), "unknown option '-\\xff'");
	check_usage(ARGV(A("--name")), "an argument is missing after '--name'");
	check_usage(ARGV(A("--once=1")), "no argument is wanted in '--once=1'");
	check_usage(ARGV(A("--set"), A("line-max")), "--set wants KEY=VALUE, not 'line-max'");
	check_usage(ARGV(A("--set"), A("=1")), "--set wants KEY=VALUE, not '=1'");
	check_usage(ARGV(A("--once"), A("operand")), "unexpected argument 'operand'");
	check_usage(ARGV(A("--"), A("--once")), "unexpected argument '--once'");
}

static void
test_too_many_sets(void **state)
{
	CLEANUP(options_done) struct options o = {0};
	char set[] = "--set=line-max=1000", *argv[OPTIONS_SET_MAX + 3];

	(void)state;
	for (size_t i = 0; i < ELEMENTS(argv); i++)
		argv[i] = set;
	argv[OPTIONS_SET_MAX + 1] = NULL;
	assert_int_equal(parse(&o, &program, argv), 0);
	assert_int_equal(o.set_count, OPTIONS_SET_MAX);
	options_done(&o);
	argv[OPTIONS_SET_MAX + 1] = set;
	argv[OPTIONS_SET_MAX + 2] = NULL;
	assert_int_equal(parse(&o, &program, argv), OPTIONS_E_USAGE);
}

static void
test_operands(void **state)
{
	struct options_program p = program;
	CLEANUP(options_done) struct options o = {0};

	(void)state;
	p.operands = "COMMAND [ARGUMENT]...";
	assert_int_equal(parse(&o, &p, ARGV(A("--once"), A("fixes"), A("--name"))), 0);
	assert_int_equal(o.operand, 2); /* what follows is the command's own */
	assert_null(options_value(&o, "name"));
	assert_int_equal(parse(&o, &p, ARGV(A("--help"))), OPTIONS_E_ANSWERED);
	assert_non_null(strstr(out_text, "Usage: herd-test [OPTION]... COMMAND [ARGUMENT]...\n"));
}

/* A command of herdctl: its own options and --help. */
static void
test_plain(void **state)
{
	struct options_program p = program;
	CLEANUP(options_done) struct options o = {0};

	(void)state;
	p.plain = true;
	p.sections = 0;
	assert_int_equal(parse(&o, &p, ARGV(A("--set"), A("shm=/x"))), OPTIONS_E_USAGE);
	assert_int_equal(parse(&o, &p, ARGV(A("--once"))), 0);
	assert_int_equal(parse(&o, &p, ARGV(A("--help"))), OPTIONS_E_ANSWERED);
	assert_null(strstr(out_text, "--set"));
	assert_null(strstr(out_text, "Settings"));
	assert_non_null(strstr(out_text, "--help"));
}

static void
test_answers(void **state)
{
	CLEANUP(options_done) struct options o = {0};
	FILE *full;
	char *argv[] = {A("herd-test"), A("--version"), NULL};

	(void)state;
	assert_int_equal(parse(&o, &program, ARGV(A("--version"))), OPTIONS_E_ANSWERED);
	assert_memory_equal(out_text, "herd-test ", 10);
	assert_true(text_is_digit(out_text[10]));
	assert_int_equal(parse(&o, &program, ARGV(A("--help"))), OPTIONS_E_ANSWERED);
	assert_memory_equal(out_text, "Usage: herd-test [OPTION]...\nTests options.\n", 44);
	assert_non_null(strstr(out_text, "\n  --listen ADDR:PORT     Listen there\n"));
	assert_non_null(strstr(out_text, "\n  --check-config "));
	assert_non_null(strstr(out_text, "\n [herd]\n  shm                  /herd     Name of "));
	assert_non_null(strstr(out_text, "\n  fix-ttl            * 7d        "));
	assert_non_null(strstr(out_text, "\n [places]\n"));
	assert_null(strstr(out_text, "[flood]"));
	assert_non_null(strstr(out_text, "\nMore of it.\n"));
	full = fopen("/dev/full", "w");
	assert_non_null(full);
	assert_int_equal(options_parse(&o, &program, 2, argv, full, stderr), -EIO);
	fclose(full);
}

static void
test_load(void **state)
{
	CLEANUP(options_done) struct options o = {0};
	CLEANUP(conf_done) struct conf conf = {0};
	FILE *out = fmemopen(out_text, sizeof(out_text), "w");

	(void)state;
	assert_non_null(out);
	assert_int_equal(parse(&o, &program,
			       ARGV(A("--config=/dev/null"), A("--listen=127.0.0.1:1"),
				    A("--set=log-level=err"), A("--listen=127.0.0.1:2"))),
			 0);
	assert_int_equal(options_load(&o, "Alpha", &conf, out), 0);
	assert_int_equal(conf.listen.count, 2);
	assert_false(log_enabled(LOG_WARNING));
	o.check_config = true;
	assert_int_equal(options_load(&o, "Alpha", &conf, out), OPTIONS_E_ANSWERED);
	options_done(&o);
	fclose(out);
	assert_string_equal(out_text, "The settings are valid.\n");
	log_set_level(LOG_INFO);
}

static void
test_exit_codes(void **state)
{
	(void)state;
	assert_int_equal(options_exit_code(0), 0);
	assert_int_equal(options_exit_code(OPTIONS_E_ANSWERED), 0);
	assert_int_equal(options_exit_code(OPTIONS_E_USAGE), 64);
	assert_int_equal(options_exit_code(OPTIONS_E_CONFIG), 78);
	assert_int_equal(options_exit_code(-ENOMEM), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	   cmocka_unit_test(test_everything),
		cmocka_unit_test(test_misuse),	   cmocka_unit_test(test_too_many_sets),
		cmocka_unit_test(test_operands),   cmocka_unit_test(test_plain),
		cmocka_unit_test(test_answers),	   cmocka_unit_test(test_load),
		cmocka_unit_test(test_exit_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
