/*
 * All members of the settings: roster.c with load.c. What is wrong with one of
 * them is in its entry and nowhere else.
 */
#include "unit.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "conf/roster.h"

static char said[64 * 1024];

static void
say(void *user, const char *message)
{
	size_t len = strlen(said);

	(void)user;
	assert_null(strchr(message, '\n'));
	snprintf(said + len, sizeof(said) - len, "%s\n", message);
}

static void
load_bytes(struct conf_roster *roster, struct text bytes)
{
	const struct conf_source source = {.file = "x", .report = say, .bytes = &bytes};

	said[0] = '\0';
	assert_int_equal(conf_roster_load(roster, &source), 0);
}

static const struct conf_entry *
entry(const struct conf_roster *roster, const char *name)
{
	const struct conf_entry *e = conf_roster_find(roster, name);

	assert_non_null(e);
	return e;
}

/* NULL: it is not left out, and nothing is wrong. */
static void
check_entry(const struct conf_roster *roster, const char *name, const char *wrong, const char *left_out)
{
	const struct conf_entry *e = entry(roster, name);

	if (wrong)
		assert_string_equal(e->wrong, wrong);
	else
		assert_null(e->wrong);
	if (left_out)
		assert_string_equal(e->left_out, left_out);
	else
		assert_null(e->left_out);
}

/* --- settings ------------------------------------------------------------------------- */

static void
test_each_has_its_own(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};

	(void)state;
	load_bytes(&roster, TEXT("[member A]\nlisten = 127.0.0.1:1\nline-max = 600\n"
				 "[herd]\nline-max = 700\nudp = 127.0.0.1:9\nshm = /x\nunix = /u\n"
				 "[member B]\nudp =\nunix =\n"
				 "[member A]\nlisten = [::1]:1\n"));
	assert_string_equal(said, "");
	assert_int_equal(roster.count, 2);
	assert_string_equal(roster.at[0].name, "A");
	assert_string_equal(roster.at[1].name, "B");
	check_entry(&roster, "A", NULL, NULL);
	check_entry(&roster, "B", NULL, NULL);
	assert_string_equal(roster.at[0].origin, "x:1");
	assert_string_equal(roster.at[0].elsewhere, "x:1");
	assert_string_equal(roster.at[1].origin, "x:9");
	assert_int_equal(roster.at[0].conf.line_max, 600);
	assert_int_equal(roster.at[1].conf.line_max, 700);
	assert_int_equal(roster.at[0].conf.listen.count, 2);
	assert_int_equal(roster.at[0].conf.udp.count, 1);
	assert_int_equal(roster.at[0].conf.unix_paths.count, 1);
	assert_string_equal(roster.at[0].conf.unix_paths.at[0], "/u");
	assert_int_equal(roster.at[1].conf.listen.count, 0);
	assert_int_equal(roster.at[1].conf.udp.count, 0);
	assert_int_equal(roster.at[1].conf.unix_paths.count, 0);
	assert_string_equal(roster.at[1].conf.shm, "/x");
	assert_int_equal(roster.at[1].conf.connections_max, 10000);
	assert_string_equal(conf_origin(&roster.at[0].conf, CONF_ID_udp), "x:6");
	assert_null(conf_roster_find(&roster, "C"));
	assert_null(conf_roster_find(&roster, "a"));
}

static void
test_mistakes_stay_where_they_are(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};

	(void)state;
	load_bytes(&roster, TEXT("[member A]\nlisten = 127.0.0.1:1\nline-max = 1\nnonsense\n"
				 "[member B]\nlisten = localhost:2\nlisten = 127.0.0.1:2\nwork-max = 2k\n"
				 "[member C/D]\nlisten = 127.0.0.1:1\n"
				 "[member E]\nlisten = 127.0.0.1:2\n"
				 "[member F\nlisten = 127.0.0.1:2\n"
				 "[herd]\nfix-ttl = soon\n"));
	assert_string_equal(
		said, "x:9: section [member C/D]: 'C/D' is no name of a member (expected 1 to 23 letters, "
		      "digits, '-', '_' and '.')\n"
		      "x:13: a section without its ']' (expected [NAME])\n"
		      "x:16: setting 'fix-ttl': 'soon' cannot be read (expected a duration from 0 to 36500d, "
		      "such as 500ms, 30s, 5min, 2h or 7d)\n");
	assert_int_equal(roster.count, 3);
	check_entry(&roster, "A",
		    "x:3: setting 'line-max': 1 is out of range (expected a number of bytes from 512 to 1M, "
		    "such as 8192, 64k or 1M)",
		    NULL);
	assert_int_equal(entry(&roster, "A")->errors, 2);
	assert_int_equal(entry(&roster, "A")->conf.line_max, 4096);
	assert_int_equal(entry(&roster, "A")->conf.listen.count, 1);
	check_entry(&roster, "B",
		    "x:6: setting 'listen': 'localhost:2' is no address (expected ADDRESS:PORT, such as "
		    "127.0.0.1:12000 or [::1]:12000)",
		    "x:6: setting 'listen': 'localhost:2' is no address (expected ADDRESS:PORT, such as "
		    "127.0.0.1:12000 or [::1]:12000)");
	check_entry(&roster, "E", NULL, NULL); /* B has no claim on its port any more */
}

/* --- addresses --------------------------------------------------------------------------- */

static void
check_pair(const char *a, const char *b, const char *left_out)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	char text[512];

	snprintf(text, sizeof(text), "[member A]\n%s\n[member B]\n%s\n", a, b);
	load_bytes(&roster, text_of(text));
	assert_string_equal(said, "");
	check_entry(&roster, "A", NULL, NULL);
	check_entry(&roster, "B", NULL, left_out);
}

static void
test_one_address_for_two(void **state)
{
	(void)state;
	check_pair("listen=127.0.0.1:1", "listen=127.0.0.1:1",
		   "x:4: setting 'listen': TCP 127.0.0.1:1 is taken by member 'A' (127.0.0.1:1, x:2)");
	check_pair("listen=0.0.0.0:1", "listen=127.0.0.1:1",
		   "x:4: setting 'listen': TCP 127.0.0.1:1 is taken by member 'A' (0.0.0.0:1, x:2)");
	check_pair("listen=127.0.0.7:1", "listen=127.0.0.1:2, 0.0.0.0:1",
		   "x:4: setting 'listen': TCP 0.0.0.0:1 is taken by member 'A' (127.0.0.7:1, x:2)");
	check_pair("listen=0.0.0.0:1", "listen=0.0.0.0:1",
		   "x:4: setting 'listen': TCP 0.0.0.0:1 is taken by member 'A' (0.0.0.0:1, x:2)");
	check_pair("listen=[::]:1", "listen=[::1]:1",
		   "x:4: setting 'listen': TCP [::1]:1 is taken by member 'A' ([::]:1, x:2)");
	check_pair("listen=[::1]:1", "listen=[::]:1",
		   "x:4: setting 'listen': TCP [::]:1 is taken by member 'A' ([::1]:1, x:2)");
	check_pair("udp=127.0.0.1:1", "udp=127.0.0.1:3\nudp=127.0.0.1:1",
		   "x:5: setting 'udp': UDP 127.0.0.1:1 is taken by member 'A' (127.0.0.1:1, x:2)");
	check_pair("udp=[::]:1", "udp=[1::]:1",
		   "x:4: setting 'udp': UDP [1::]:1 is taken by member 'A' ([::]:1, x:2)");
	check_pair("unix=/a/b", "unix=/a, /a/b", "x:4: setting 'unix': '/a/b' is taken by member 'A' (x:2)");
	/* IPv6 sockets leave IPv4 alone; TCP and UDP have ports of their own. */
	check_pair("listen=[::]:1", "listen=0.0.0.0:1", NULL);
	check_pair("listen=0.0.0.0:1", "listen=[::1]:1", NULL);
	check_pair("listen=0.0.0.0:1", "udp=127.0.0.1:1", NULL);
	check_pair("listen=127.0.0.1:1", "listen=127.0.0.1:2, 127.0.0.2:1", NULL);
	check_pair("udp=127.0.0.1:1\nlisten=127.0.0.1:1", "", NULL);
}

static void
check_alone(const char *setting, const char *left_out)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	char text[512];

	snprintf(text, sizeof(text), "[member A]\n%s\n[member B]\nlisten=1.2.3.4:5\nunix=/B\n", setting);
	load_bytes(&roster, text_of(text));
	assert_string_equal(said, "");
	check_entry(&roster, "A", NULL, left_out);
	check_entry(&roster, "B", NULL, NULL);
}

static void
test_what_no_unit_can_have(void **state)
{
	static const char plain[] = " does not fit into a unit (expected an absolute path without '//', '.', "
				    "'..' and '\\')";
	static const char *const paths[] = {"a",     "./a",    "@a",	  "12000", "/a/",   "/",    "//a",
					    "/a//b", "/a/./b", "/a/../b", "/a/.",  "/a/..", "/a\\", "/.."};

	(void)state;
	check_alone("listen=1.2.3.4:5, 127.0.0.1:0",
		    "x:2: setting 'listen': 127.0.0.1:0 has another port every time (expected a port from 1 "
		    "to 65535)");
	check_alone("udp=[::1]:0", "x:2: setting 'udp': [::1]:0 has another port every time (expected a port "
				   "from 1 to 65535)");
	check_alone("listen=[::ffff:1.2.3.4]:5", "x:2: setting 'listen': [::ffff:1.2.3.4]:5 is an IPv4 "
						 "address (expected it without [::ffff:])");
	check_alone("listen=[fe80::1]:5", "x:2: setting 'listen': [fe80::1]:5 is another host on every link "
					  "(expected an address without a scope)");
	check_alone("listen=1.2.3.4:5, 0.0.0.0:5",
		    "x:2: setting 'listen': TCP 0.0.0.0:5 and its own 1.2.3.4:5 are the same");
	check_alone("unix=/run/herd/B.sock",
		    "x:2: setting 'unix': '/run/herd/B.sock' is the socket of herd@B.socket");
	check_alone("unix=/run/herd/Z-9.sock",
		    "x:2: setting 'unix': '/run/herd/Z-9.sock' is the socket of herd@Z-9.socket");
	check_alone("unix=/run/herd/A.sock", NULL); /* its own */
	check_alone("unix=/run/herd/.sock, /run/herd/x/B.sock, /run/herd/B.sock2, /a%n\"'b, /.a, /a., /..a",
		    NULL);
	check_alone(
		"unix=/run/herd/herd:member:B",
		"x:2: setting 'unix': '/run/herd/herd:member:B' is where herdctl asks a program of the herd");
	check_alone(
		"unix=/run/herd/herd:flood",
		"x:2: setting 'unix': '/run/herd/herd:flood' is where herdctl asks a program of the herd");
	check_alone("unix=/run/herd/herd:floods, /run/herd/cows:member:A, /run/herd:flood", NULL);
	for (size_t i = 0; i < ELEMENTS(paths); i++) {
		char setting[64], why[256];

		snprintf(setting, sizeof(setting), "unix=%s", paths[i]);
		snprintf(why, sizeof(why), "x:2: setting 'unix': '%s'%s", paths[i], plain);
		check_alone(setting, why);
	}
}

static void
test_said_for_all(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};

	(void)state;
	load_bytes(&roster,
		   TEXT("[herd]\nlisten = 127.0.0.1:1\n[member A]\n[member B]\n[member C]\nlisten =\n"));
	check_entry(&roster, "A", NULL, NULL);
	check_entry(&roster, "B", NULL,
		    "x:2: setting 'listen': TCP 127.0.0.1:1 is taken by member 'A' (127.0.0.1:1, x:2)");
	check_entry(&roster, "C", NULL, NULL);
}

/* Who is left out has nothing, so its addresses are free for the next. */
static void
test_left_out_has_nothing(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};

	(void)state;
	load_bytes(&roster, TEXT("[member A]\nlisten = 1.1.1.1:1\n"
				 "[member B]\nlisten = 1.1.1.1:2, 1.1.1.1:1\nudp = 0.0.0.0:1\nunix = /b\n"
				 "[member C]\nlisten = 1.1.1.1:2\nudp = 1.1.1.1:1\nunix = /b\n"));
	check_entry(&roster, "A", NULL, NULL);
	assert_non_null(entry(&roster, "B")->left_out);
	check_entry(&roster, "C", NULL, NULL);
}

/* --- files --------------------------------------------------------------------------------- */

static char folder[sizeof("/tmp/herd-roster-XXXXXX")];

static const char *
in_folder(const char *name)
{
	static char path[4][256];
	static unsigned int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[0]), "%s/%s", folder, name);
	return path[turn];
}

static void
write_file(const char *name, const char *text)
{
	FILE *file = fopen(in_folder(name), "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int
make_folder(void **state)
{
	(void)state;
	memcpy(folder, "/tmp/herd-roster-XXXXXX", sizeof(folder));
	if (!mkdtemp(folder))
		return -1;
	write_file("h.conf", "[member A]\nlisten = 127.0.0.1:1\n");
	return mkdir(in_folder("h.conf.d"), 0700);
}

static int
remove_entry(const char *path, const struct stat *st, int flag, struct FTW *where)
{
	(void)st;
	(void)flag;
	(void)where;
	return remove(path);
}

static int
remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void
load_folder(struct conf_roster *roster, const struct conf_extra *extra)
{
	const struct conf_source source = {.file = in_folder("h.conf"), .report = say, .extra = extra};

	said[0] = '\0';
	assert_int_equal(conf_roster_load(roster, &source), 0);
}

/* What is wrong with member-NAME.conf is wrong with NAME. */
static void
test_own_files(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	char expected[512];

	(void)state;
	write_file("h.conf.d/member-B.conf", "[member B]\nlisten = 127.0.0.1:2\n");
	assert_int_equal(mkdir(in_folder("h.conf.d/member-C.conf"), 0700), 0);
	assert_int_equal(mkfifo(in_folder("h.conf.d/member-D.conf"), 0600), 0);
	write_file("h.conf.d/member-E.conf", "listen = 127.0.0.1:3\n");
	write_file("h.conf.d/member-F.conf", "[member F]\nlisten = 127.0.0.1:4\n[herd]\nshm = /x\n");
	write_file("h.conf.d/member-G.conf", "[member B]\nlisten = 127.0.0.1:5\n");
	write_file("h.conf.d/member-H.conf", "[member H\nlisten = 127.0.0.1:5\n");
	write_file("h.conf.d/member-I.conf", "");
	write_file("h.conf.d/member-J.conf", "[member J]\nx\n");
	write_file("h.conf.d/member-K K.conf", "[herd]\nshm = /cows\n"); /* nobody's: no name */
	load_folder(&roster, NULL);
	assert_string_equal(said, "");
	assert_int_equal(roster.count, 9);
	check_entry(&roster, "B", NULL, NULL);
	assert_null(entry(&roster, "B")->elsewhere);
	assert_string_equal(entry(&roster, "B")->origin, in_folder("h.conf.d/member-B.conf:1"));
	assert_int_equal(entry(&roster, "B")->conf.listen.count, 1);
	assert_string_equal(entry(&roster, "A")->conf.shm, "/cows");
	assert_string_equal(entry(&roster, "A")->elsewhere, in_folder("h.conf:1"));
	snprintf(expected, sizeof(expected), "%s: cannot be read: Is a directory",
		 in_folder("h.conf.d/member-C.conf"));
	check_entry(&roster, "C", expected, expected);
	assert_null(entry(&roster, "C")->origin);
	snprintf(expected, sizeof(expected), "%s: neither a file nor a device (expected a file)",
		 in_folder("h.conf.d/member-D.conf"));
	check_entry(&roster, "D", expected, expected);
	snprintf(expected, sizeof(expected),
		 "%s:1: setting 'listen': outside any section (expected [herd] or another above it)",
		 in_folder("h.conf.d/member-E.conf"));
	check_entry(&roster, "E", expected, expected);
	snprintf(expected, sizeof(expected),
		 "%s:3: section [herd]: in the file of member 'F' (expected [member F] alone)",
		 in_folder("h.conf.d/member-F.conf"));
	check_entry(&roster, "F", expected, expected);
	snprintf(expected, sizeof(expected),
		 "%s:1: section [member B]: in the file of member 'G' (expected [member G] alone)",
		 in_folder("h.conf.d/member-G.conf"));
	check_entry(&roster, "G", expected, expected);
	snprintf(expected, sizeof(expected), "%s:1: a section without its ']' (expected [NAME])",
		 in_folder("h.conf.d/member-H.conf"));
	check_entry(&roster, "H", expected, expected);
	snprintf(expected, sizeof(expected), "%s:2: no setting (expected NAME = VALUE)",
		 in_folder("h.conf.d/member-J.conf"));
	check_entry(&roster, "J", expected, NULL);
}

/* Other drop-ins are everybody's. */
static void
test_other_files(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	char expected[512];

	(void)state;
	assert_int_equal(mkfifo(in_folder("h.conf.d/10.conf"), 0600), 0);
	write_file("h.conf.d/20.conf", "x = 1\n[member B]\nlisten = 127.0.0.1:2\n");
	load_folder(&roster, NULL);
	snprintf(expected, sizeof(expected),
		 "%s: neither a file nor a device (expected a file)\n"
		 "%s:1: setting 'x': outside any section (expected [herd] or another above it)\n",
		 in_folder("h.conf.d/10.conf"), in_folder("h.conf.d/20.conf"));
	assert_string_equal(said, expected);
	check_entry(&roster, "A", NULL, NULL);
	check_entry(&roster, "B", NULL, NULL);
}

/* A drop-in that is not there yet takes its place among the others, also that of one of its name. */
static void
test_extra(void **state)
{
	struct conf_extra extra = {"member-C.conf", TEXT("[member C]\nlisten = 127.0.0.1:3\n")};

	(void)state;
	write_file("h.conf.d/member-B.conf", "[member B]\nlisten = 127.0.0.1:2\n");
	write_file("h.conf.d/member-D.conf", "[member D]\nlisten = 127.0.0.1:3\n");
	for (int i = 0; i < 3; i++) {
		CLEANUP(conf_roster_done) struct conf_roster roster = {0};
		static const char *const names[] = {"member-C.conf", "member-Z.conf", "member-D.conf"};
		static const char *const orders[] = {"ABCD", "ABDZ", "ABD"};
		static const struct text bytes[] = {TEXT("[member C]\nlisten = 127.0.0.1:3\n"),
						    TEXT("[member Z]\nlisten = 127.0.0.1:3\n"),
						    TEXT("[member D]\nlisten = 127.0.0.1:2\n")};

		extra = (struct conf_extra){names[i], bytes[i]};
		load_folder(&roster, &extra);
		assert_string_equal(said, "");
		assert_int_equal(roster.count, strlen(orders[i]));
		for (size_t k = 0; k < roster.count; k++) {
			assert_int_equal(roster.at[k].name[0], orders[i][k]);
			assert_int_equal(roster.at[k].left_out != NULL, k + 1 == roster.count);
		}
	}
}

/* --- as many as there may be ------------------------------------------------------------------ */

static void
test_many(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(cleanup_free) char *text = NULL;
	struct timespec before, after;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	(void)state;
	assert_non_null(file);
	for (int i = 0; i < 1030; i++) {
		fprintf(file, "[member M%d]\n", i);
		for (int k = 0; k < 60; k += 6) {
			fputs("listen=", file);
			for (int n = k; n < k + 6; n++)
				fprintf(file, " 127.%d.%d.%d:80", n + 1, i / 250, i % 250 + 1);
			fputs("\n", file);
		}
	}
	assert_int_equal(fclose(file), 0);
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
	load_bytes(&roster, (struct text){text, size});
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), 0);
	assert_int_equal(roster.count, 1024);
	for (size_t i = 0; i < roster.count; i++) {
		assert_null(roster.at[i].left_out);
		assert_int_equal(roster.at[i].conf.listen.count, 60);
	}
	assert_string_equal(said, "x:11265: too many members (expected at most 1024)\n"
				  "x:11276: too many members (expected at most 1024)\n"
				  "x:11287: too many members (expected at most 1024)\n"
				  "x:11298: too many members (expected at most 1024)\n"
				  "x:11309: too many members (expected at most 1024)\n"
				  "x:11320: too many members (expected at most 1024)\n");
	assert_true(after.tv_sec - before.tv_sec < 10); /* of the processor, also under a sanitizer */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_has_its_own),
		cmocka_unit_test(test_mistakes_stay_where_they_are),
		cmocka_unit_test(test_one_address_for_two),
		cmocka_unit_test(test_what_no_unit_can_have),
		cmocka_unit_test(test_said_for_all),
		cmocka_unit_test(test_left_out_has_nothing),
		cmocka_unit_test_setup_teardown(test_own_files, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_other_files, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_extra, make_folder, remove_folder),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
