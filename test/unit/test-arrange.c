/* Who gets which word of herdctl's command line: arrange.c, nearest.c. */
#include "unit.h"

#include <stdio.h>

#include "ctl/arrange.h"

static const struct options_entry own_entries[] = {
	{.name = "limit", .argument = "N"}, {.name = "count"}, {0}};
static const struct options_entry global_entries[] = {
	{.name = "shm", .argument = "NAME"}, {.name = "json"}, {0}};
static const struct command fixes = {.name = "fixes", .entries = own_entries};
static const struct command query = {.name = "places query"};
static const struct command import = {.name = "places import", .entries = own_entries};
static const struct command *const known[] = {&fixes, &query, &import, NULL};

/* The words of a vector, one space between. */
static void
join(char *out, size_t size, char **argv, int argc)
{
	size_t len = 0;

	out[0] = '\0';
	for (int i = 1; i < argc && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", i > 1 ? " " : "", argv[i]);
}

static void
vectors(void **state)
{
	static const struct {
		const char *line;
		const struct command *command;
		const char *global, *own, *unknown, *group;
	} cases[] = {
		{"", NULL, "", "--", NULL, NULL},
		{"fixes", &fixes, "", "--", NULL, NULL},
		{"--json fixes a*", &fixes, "--json", "-- a*", NULL, NULL},
		{"fixes a* --json --limit 5", &fixes, "--json", "--limit 5 -- a*", NULL, NULL},
		{"--shm /x fixes", &fixes, "--shm /x", "--", NULL, NULL},
		{"fixes --shm=/x --limit=3", &fixes, "--shm=/x", "--limit=3 --", NULL, NULL},
		{"--set a=b --config f fixes --set c=d", &fixes, "--set a=b --config f --set c=d", "--", NULL,
		 NULL},
		{"fixes -- --json -x", &fixes, "", "-- --json -x", NULL, NULL},
		{"-- fixes --json", &fixes, "", "-- --json", NULL, NULL},
		{"places query -33.86 +151.2 -.5 -", &query, "", "-- -33.86 +151.2 -.5 -", NULL, "places"},
		{"places --json query", &query, "--json", "--", NULL, "places"},
		{"places import --count f --shm /x", &import, "--shm /x", "--count -- f", NULL, "places"},
		{"places", NULL, "", "--", NULL, "places"},
		{"places imprt f", NULL, "", "-- f", "imprt", "places"},
		{"statsu --json x", NULL, "--json", "-- x", "statsu", NULL},
		{"query", NULL, "", "--", "query", NULL},
		{"--help", NULL, "--help", "--", NULL, NULL},
		{"fixes --help", &fixes, "", "--help --", NULL, NULL},
		{"fixes -h", &fixes, "", "-h --", NULL, NULL},
		{"help", NULL, "--help", "--", NULL, NULL},
		{"help fixes", &fixes, "", "--help --", NULL, NULL},
		{"help places query", &query, "", "--help --", NULL, "places"},
		{"fixes help", &fixes, "", "-- help", NULL, NULL},
		{"fixes --bogus", &fixes, "", "--bogus --", NULL, NULL},
		{"--bogus fixes", &fixes, "--bogus", "--", NULL, NULL},
		{"fixes --limit", &fixes, "", "--limit", NULL, NULL},
		{"fixes a --limit", &fixes, "", "--limit", NULL, NULL},
		{"fixes --lim 3 --js a", &fixes, "--js", "--lim 3 -- a", NULL, NULL},
		{"fixes --shm", &fixes, "--shm", "", NULL, NULL},
		{"--version fixes", &fixes, "--version", "--", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		char line[256], have[256], *argv[32] = {(char[]){"herdctl"}}, *rest = line;
		struct arranged a;
		int argc = 1;

		snprintf(line, sizeof(line), "%s", cases[i].line);
		while ((argv[argc] = strsep(&rest, " ")))
			argc += argv[argc][0] != '\0';
		argv[argc] = NULL;
		assert_int_equal(arrange(&a, known, global_entries, argc, argv), 0);
		assert_ptr_equal(a.command, cases[i].command);
		join(have, sizeof(have), a.global, a.global_count);
		assert_string_equal(have, cases[i].global);
		join(have, sizeof(have), a.own, a.own_count);
		assert_string_equal(have, cases[i].own);
		assert_null(a.global[a.global_count]);
		assert_null(a.own[a.own_count]);
		assert_true(a.own_operand == a.own_count || strcmp(a.own[a.own_operand - 1], "--") == 0);
		assert_true(cases[i].unknown ? a.unknown && strcmp(a.unknown, cases[i].unknown) == 0
					     : !a.unknown);
		assert_true(cases[i].group ? a.group && strcmp(a.group, cases[i].group) == 0 : !a.group);
		arranged_done(&a);
	}
}

static const char *
next_name(size_t index)
{
	static const char *const names[] = {"status", "members", "fixes", "watch", "places query", NULL};

	return names[index];
}

static void
nearest(void **state)
{
	static const struct {
		const char *typed, *want;
	} cases[] = {
		{"statsu", "status"},
		{"stat", "status"},
		{"member", "members"},
		{"fix", "fixes"},
		{"wacth", "watch"},
		{"places qery", "places query"},
		{"start", NULL},
		{"x", NULL},
		{"", NULL},
		{"frobnicate", NULL},
		{"a word so long that no command will ever be like it, and then some more", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		const char *have = ctl_nearest(cases[i].typed, next_name);

		if (cases[i].want)
			assert_string_equal(have, cases[i].want);
		else
			assert_null(have);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
