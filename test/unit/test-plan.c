/*
 * What herd-generator writes: plan.c and write.c.
 */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "generator/plan.h"
#include "generator/write.h"

#define HEAD "# herd-generator made this from the settings: change those, see herd.conf(5).\n[Unit]\n"

static void
make(struct conf_roster *roster, struct plan *plan, const char *text)
{
	struct text bytes = text_of(text);
	const struct conf_source source = {.file = "/etc/herd/herd.conf", .bytes = &bytes};

	plan_done(plan); /* of an earlier one */
	conf_roster_done(roster);
	assert_int_equal(conf_roster_load(roster, &source), 0);
	assert_int_equal(plan_make(plan, roster), 0);
}

static const struct plan_item *
item(const struct plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->count; i++)
		if (strcmp(plan->at[i].path, path) == 0)
			return &plan->at[i];
	return NULL;
}

static void
check_text(const struct plan *plan, const char *path, const char *text)
{
	const struct plan_item *i = item(plan, path);

	assert_non_null(i);
	assert_null(i->target);
	assert_string_equal(i->text, text);
}

static void
check_link(const struct plan *plan, const char *path, const char *target)
{
	const struct plan_item *i = item(plan, path);

	assert_non_null(i);
	assert_null(i->text);
	assert_string_equal(i->target, target);
}

/* --- plans ------------------------------------------------------------------------------- */

static void
test_a_member(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};
	char service[512];

	(void)state;
	make(&roster, &plan, "[member A-1]\nlisten = 127.0.0.1:12000\n");
	assert_int_equal(plan.count, 4);
	check_text(&plan, "herd@A-1.socket.d/50-herd.conf",
		   HEAD "SourcePath=/etc/herd/herd.conf\n[Socket]\nListenStream=127.0.0.1:12000\n");
	snprintf(service, sizeof(service), HEAD "SourcePath=/etc/herd/herd.conf\n[Service]\nMemoryMax=%ju\n",
		 (uintmax_t)plan_memory_max(&roster.at[0].conf));
	check_text(&plan, "herd@A-1.service.d/50-herd.conf", service);
	check_link(&plan, "herd.target.wants/herd@A-1.socket", HERD_UNITDIR "/herd@.socket");
	check_link(&plan, "herd.target.wants/herd@A-1.service", HERD_UNITDIR "/herd@.service");
}

static void
test_every_kind_of_socket(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};

	(void)state;
	make(&roster, &plan,
	     "[member A]\nlisten = 127.0.0.1:1, [::1]:1, 10.0.0.1:2\nudp = 0.0.0.0:1, 127.0.0.1:3\n"
	     "unix = /run/herd/A.sock, /a%b\"'$x;y#z, /b=c[d]\n");
	assert_int_equal(plan.count, 6);
	check_text(&plan, "herd@A.socket.d/50-herd.conf",
		   HEAD "SourcePath=/etc/herd/herd.conf\n[Socket]\nBindIPv6Only=ipv6-only\n"
			"ListenStream=127.0.0.1:1\nListenStream=[::1]:1\nListenStream=10.0.0.1:2\n"
			"ListenStream=/a%%b\"'$x;y#z\nListenStream=/b=c[d]\n");
	check_text(&plan, "herd-udp@A.socket.d/50-herd.conf",
		   HEAD
		   "SourcePath=/etc/herd/herd.conf\n[Socket]\nListenDatagram=\nListenDatagram=0.0.0.0:1\n"
		   "ListenDatagram=127.0.0.1:3\n");
	assert_non_null(strstr(item(&plan, "herd@A.service.d/50-herd.conf")->text,
			       "[Service]\nSockets=herd-udp@A.socket\nMemoryMax="));
	check_link(&plan, "herd.target.wants/herd-udp@A.socket", HERD_UNITDIR "/herd-udp@.socket");
}

static void
add_secrets(struct plan *plan, size_t whose, const char *one, const char *two)
{
	const struct plan_secret secrets[] = {{"one", one}, {"two", two}};

	assert_int_equal(plan_add_secrets(plan, whose, secrets, 2), 0);
}

static void
test_secrets(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};

	(void)state;
	make(&roster, &plan, "[flood]\ntls-dir = /x%y\n");
	add_secrets(&plan, PLAN_HELPER, NULL, NULL);
	assert_int_equal(plan.count, 0);
	assert_string_equal(roster.conf.flood_tls_dir, "/x%y");
	add_secrets(&plan, PLAN_HELPER, "/etc/herd/tls/host.key", NULL);
	add_secrets(&plan, PLAN_HELPER, NULL, "/a:b%n c");
	add_secrets(&plan, PLAN_HELPER, "/k", "/p");
	add_secrets(&plan, PLAN_MEMBERS, "/k", NULL);
	assert_int_equal(plan.count, 4);
	assert_string_equal(plan.at[3].path, "herd@.service.d/50-herd-keys.conf");
	assert_true(plan.at[3].entry == PLAN_MEMBERS);
	assert_non_null(strstr(plan.at[3].text, "[Service]\nLoadCredential=one:/k\n"));
	for (size_t i = 0; i < 3; i++) {
		static const char *const text[] = {
			"LoadCredential=one:/etc/herd/tls/host.key\n",
			"LoadCredential=two:/a:b%%n c\n",
			"LoadCredential=one:/k\nLoadCredential=two:/p\n",
		};
		const char *section = strchr(plan.at[i].text, '\n') + 1;

		assert_string_equal(plan.at[i].path, "herd-flood.service.d/50-herd.conf");
		assert_true(plan.at[i].entry == PLAN_HELPER);
		assert_int_equal(strncmp(section, "[Service]\n", 10), 0);
		assert_string_equal(section + 10, text[i]);
	}
}

/* Of no member, and of members with mistakes: what was said rightly counts. */
static void
test_settings_of_nobody(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};

	(void)state;
	make(&roster, &plan, "");
	assert_string_equal(roster.conf.flood_tls_dir, HERD_SYSCONFDIR "/herd/tls");
	make(&roster, &plan, "[flood]\nplain = perhaps\npsk-file = /psk\n[member A]\nno-such = 1\n");
	assert_string_equal(roster.conf.flood_psk_file, "/psk");
	assert_string_equal(conf_origin(&roster.conf, CONF_ID_flood_psk_file), "/etc/herd/herd.conf:3");
}

static void
test_paths_that_fit(void **state)
{
	static const char *const good[] = {"/a",   "/a/b", "/.a", "/a.",      "/..a",
					   "/a b", "/a:b", "/%",  "/\xc3\xa4"};
	static const char *const bad[] = {"",	   "/",	    "a",      "a/b",   "/a/",	  "//a",
					  "/a//b", "/./a",  "/a/.",   "/a/..", "/a/../b", "/a\\b",
					  "/a\nb", "/a\tb", "/a\x7f", "/a "};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(good); i++)
		assert_true(plan_path_fits(good[i]));
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		assert_false(plan_path_fits(bad[i]));
}

/* Only a member's standing socket: nothing to say about it. */
static void
test_no_address(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};

	(void)state;
	make(&roster, &plan, "[member A]\n");
	assert_int_equal(plan.count, 4);
	check_text(&plan, "herd@A.socket.d/50-herd.conf", HEAD "SourcePath=/etc/herd/herd.conf\n[Socket]\n");
	make(&roster, &plan, "");
	assert_int_equal(plan.count, 0);
}

static void
test_left_out(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};

	(void)state;
	make(&roster, &plan,
	     "[member A]\nlisten = 1.1.1.1:1\n[member B]\nlisten = 1.1.1.1:1\nudp = 1.1.1.1:1\n");
	assert_int_equal(plan.count, 5);
	check_text(&plan, "herd@B.service.d/50-herd.conf",
		   HEAD "SourcePath=/etc/herd/herd.conf\nDescription=Herd member B (left out: "
			"/etc/herd/herd.conf:4: setting 'listen': TCP 1.1.1.1:1 is taken by member 'A' "
			"(1.1.1.1:1, /etc/herd/herd.conf:2))\n");
}

/* Whatever gets here stands for itself in a unit file. */
static void
test_no_injection(void **state)
{
	char path[] = "/x\n[Service]\nExecStart=/evil\\", why[] = "a\nb\r\x01%n\\";
	char *paths[] = {path};
	struct conf_entry entries[] = {{.name = "A", .origin = (char[]){"/x\ny/herd.conf:1"}},
				       {.name = "B", .left_out = why, .origin = (char[]){"/a b.conf:1"}}};
	const struct conf_roster roster = {.at = entries, .count = 2};
	CLEANUP(plan_done) struct plan plan = {0};

	(void)state;
	entries[0].conf.unix_paths = (struct conf_paths){paths, 1};
	entries[0].conf.table_clients = entries[0].conf.table_long_clients = 64;
	assert_int_equal(plan_make(&plan, &roster), 0);
	check_text(&plan, "herd@A.socket.d/50-herd.conf",
		   HEAD "[Socket]\nListenStream=/x?[Service]?ExecStart=/evil?\n");
	check_text(&plan, "herd@B.service.d/50-herd.conf",
		   HEAD "Description=Herd member B (left out: a?b??%%n?)\n");
}

static uint64_t
number_in(const struct plan *plan, const char *path, const char *key)
{
	const char *at = strstr(item(plan, path)->text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static void
test_limits(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};
	const uint64_t base = (64 << 20) + 10 * (416 << 10);

	(void)state;
	make(&roster, &plan,
	     "[herd]\ntable-clients = 1000\nconnections-max = 10\nline-max = 1k\nwork-max = 2k\nunsent-max = "
	     "4k\n"
	     "[member A]\n[member B]\nline-max = 2k\n[member C]\nwork-max = 3k\n[member D]\nunsent-max = 5k\n"
	     "[member E]\nconnections-max = 11\n");
	for (size_t i = 0; i < roster.count; i++) {
		static const unsigned int per[] = {8, 10, 9, 9, 8};
		char path[64];
		uint64_t expected = base + (uint64_t)per[i] * 10 * 1024;
		const struct table_options table = conf_table_options(&roster.at[i].conf);

		if (i == 4)
			expected += (416 + 8) << 10;
		expected += 2 * table_bytes(&table);
		snprintf(path, sizeof(path), "herd@%s.service.d/50-herd.conf", roster.at[i].name);
		assert_int_equal(number_in(&plan, path, "\nMemoryMax="), expected);
		assert_int_equal(number_in(&plan, path, "\nLimitNOFILE="), 0);
	}
	make(&roster, &plan, "[herd]\nconnections-max = 100000\n[member A]\n[member B]\n[member C]\n");
	assert_int_equal(number_in(&plan, "herd@B.service.d/50-herd.conf", "\nLimitNOFILE="), 604096);
	make(&roster, &plan,
	     "[herd]\nconnections-max = 1000000\nunsent-max = 1G\nline-max = 1M\n[member A]\n");
	assert_int_equal(number_in(&plan, "herd@A.service.d/50-herd.conf", "\nLimitNOFILE="), 1 << 20);
	assert_true(number_in(&plan, "herd@A.service.d/50-herd.conf", "\nMemoryMax=") > UINT64_C(1000000)
												<< 30);
}

/* --- writing ------------------------------------------------------------------------------- */

static char folder[sizeof("/tmp/herd-plan-XXXXXX")];
static int top = -1;
static char faults[4096];

static int
make_folder(void **state)
{
	(void)state;
	memcpy(folder, "/tmp/herd-plan-XXXXXX", sizeof(folder));
	if (!mkdtemp(folder))
		return -1;
	top = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	faults[0] = '\0';
	return top < 0;
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
	close(top);
	return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void
on_fault(void *user, size_t entry, const char *path, int r)
{
	size_t len = strlen(faults);

	(void)user;
	snprintf(faults + len, sizeof(faults) - len, "%zu %s %s\n", entry, path, strerror(-r));
}

static unsigned int count;
static size_t longest;

static int
count_entry(const char *path, const struct stat *st, int flag, struct FTW *where)
{
	(void)path;
	(void)where;
	count += flag != FTW_D;
	longest = flag == FTW_F && (size_t)st->st_size > longest ? (size_t)st->st_size : longest;
	return 0;
}

/* Files and links below the folder. */
static unsigned int
files(void)
{
	count = 0;
	longest = 0;
	assert_int_equal(nftw(folder, count_entry, 8, FTW_PHYS), 0);
	return count;
}

static void
check_written(const struct plan *plan)
{
	char got[4096];

	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_item *it = &plan->at[i];
		struct stat st;
		ssize_t n;
		int fd;

		if (it->target) {
			n = readlinkat(top, it->path, got, sizeof(got));
			assert_text_equal(((struct text){got, (size_t)n}), text_of(it->target));
			continue;
		}
		fd = openat(top, it->path, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		n = read(fd, got, sizeof(got));
		assert_text_equal(((struct text){got, (size_t)n}), text_of(it->text));
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0644);
		close(fd);
	}
	assert_int_equal(files(), plan->count);
}

static const char three[] = "[member A]\nlisten=127.0.0.1:1\n[member B]\nudp=127.0.0.1:2\n[member C]\n";

static void
test_writes(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};
	mode_t mask = umask(077);

	(void)state;
	make(&roster, &plan, three);
	assert_true(write_plan(top, &plan, on_fault, NULL));
	check_written(&plan);
	/* Again, over what is there; and over the rest of one that was killed. */
	assert_int_equal(mkdirat(top, "x", 0700), 0);
	assert_int_equal(symlinkat("/nowhere", top, "herd@A.socket.d/.herd-generator"), 0);
	assert_int_equal(unlinkat(top, "herd@A.socket.d/50-herd.conf", 0), 0);
	assert_int_equal(symlinkat("/nowhere", top, "herd@A.socket.d/50-herd.conf"), 0);
	assert_true(write_plan(top, &plan, on_fault, NULL));
	check_written(&plan);
	assert_string_equal(faults, "");
	umask(mask);
}

/* Files at the top have no folder; what is nobody's is whole or not there as well. */
static void
test_writes_the_report(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};

	(void)state;
	make(&roster, &plan, three);
	assert_int_equal(plan_add_report(&plan), 0);
	assert_true(write_plan(top, &plan, on_fault, NULL));
	check_written(&plan);
	check_link(&plan, "herd.target.wants/herd-generator.service", "../herd-generator.service");
	assert_non_null(strstr(item(&plan, "herd-generator.service")->text,
			       "\nExecStart=" HERD_GENERATORDIR "/herd-generator --check\n"));
	assert_int_equal(unlinkat(top, "herd.target.wants/herd-generator.service", 0), 0);
	assert_int_equal(mkdirat(top, "herd.target.wants/herd-generator.service", 0755), 0);
	assert_false(write_plan(top, &plan, on_fault, NULL));
	assert_string_equal(faults,
			    "18446744073709551615 herd.target.wants/herd-generator.service Is a directory\n");
	assert_int_equal(files(), plan.count - 2);
}

/* Something of one member is in the way: that member has nothing then, the others everything. */
static void
test_a_member_is_whole_or_not_there(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};

	(void)state;
	make(&roster, &plan, three);
	assert_int_equal(mkdirat(top, "herd.target.wants", 0755), 0);
	assert_int_equal(mkdirat(top, "herd.target.wants/herd@B.service", 0755), 0);
	assert_int_equal(symlinkat("/", top, "herd@C.service.d"), 0);
	assert_false(write_plan(top, &plan, on_fault, NULL));
	assert_string_equal(faults, "1 herd.target.wants/herd@B.service Is a directory\n"
				    "2 herd@C.service.d/50-herd.conf Not a directory\n");
	assert_int_equal(files(), 5); /* A's four, and the link that is in the way */
	assert_int_equal(faccessat(top, "herd.target.wants/herd@A.service", F_OK, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(faccessat(top, "herd@B.socket.d/50-herd.conf", F_OK, 0), -1);
}

/* A full disk: nothing is cut short. */
static void
test_disk_full(void **state)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};
	struct rlimit before, small = {130, 130};

	(void)state;
	make(&roster, &plan, three);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_false(write_plan(top, &plan, on_fault, NULL));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_string_equal(faults, "0 herd@A.socket.d/50-herd.conf File too large\n"
				    "1 herd-udp@B.socket.d/50-herd.conf File too large\n"
				    "2 herd@C.service.d/50-herd.conf File too large\n");
	assert_int_equal(files(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_member),
		cmocka_unit_test(test_every_kind_of_socket),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_settings_of_nobody),
		cmocka_unit_test(test_paths_that_fit),
		cmocka_unit_test(test_no_address),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_no_injection),
		cmocka_unit_test(test_limits),
		cmocka_unit_test_setup_teardown(test_writes, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_writes_the_report, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_a_member_is_whole_or_not_there, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(test_disk_full, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
