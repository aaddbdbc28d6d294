/*
 * Settings: conf.c with reader.c and value.c. Most tests read bytes from
 * memory; those about files have a folder of their own.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "conf/reader.h"
#include "conf/value.h"

/* --- a load and what it said ------------------------------------------------ */

static char said[64 * 1024];

static void
say(void *user, const char *message)
{
	size_t len = strlen(said);

	(void)user;
	assert_null(strchr(message, '\n'));
	snprintf(said + len, sizeof(said) - len, "%s\n", message);
}

static int
load_text(struct conf *conf, struct text bytes, const char *member)
{
	struct conf_source source = {.file = "x.conf", .member = member, .report = say, .bytes = &bytes};

	said[0] = '\0';
	return conf_load(conf, &source);
}

static void
check_good(struct conf *conf, const char *text, const char *member)
{
	int r = load_text(conf, text_of(text), member);

	assert_string_equal(said, "");
	assert_int_equal(r, 0);
}

static void
check_bad_bytes(struct text text, const char *expected)
{
	CLEANUP(conf_done) struct conf conf = {0};

	assert_int_equal(load_text(&conf, text, NULL), CONF_E_INVALID);
	assert_string_equal(said, expected);
	assert_null(conf.shm); /* untouched */
}

static void
check_bad(const char *text, const char *expected)
{
	check_bad_bytes(text_of(text), expected);
}

static const char *
value(const struct conf *conf, enum conf_id id)
{
	static char text[8192];
	struct buffer out = {.max = sizeof(text) - 1};

	assert_int_equal(conf_value_format(conf, id, &out), 0);
	if (out.len > 0)
		memcpy(text, out.bytes, out.len);
	text[out.len] = '\0';
	buffer_done(&out);
	return text;
}

/* --- the table ----------------------------------------------------------------- */

/* Defaults are in the form values are shown in, and within bounds; names and helps are fit to print. */
static void
test_table(void **state)
{
	CLEANUP(conf_done) struct conf conf = {0};
	char choices[128];

	(void)state;
	check_good(&conf, "", NULL);
	for (size_t i = 0; i < CONF_ID_COUNT; i++) {
		const struct conf_setting *s = &conf_settings[i];
		char key[64];

		assert_string_equal(value(&conf, (enum conf_id)i), s->default_text);
		assert_string_equal(conf_origin(&conf, (enum conf_id)i), "default");
		assert_int_equal(strspn(s->name, "abcdefghijklmnopqrstuvwxyz-"), strlen(s->name));
		assert_in_range(strlen(s->help), 10, 66 /* columns of --help */);
		assert_true(s->min <= s->max);
		if (strcmp(s->name, "listen") != 0 && !(s->section & CONF_SECTIONS_PLACES))
			assert_ptr_equal(conf_setting_find(text_of(s->name)), s);
		snprintf(key, sizeof(key), "%s.%s", conf_section_name(s->section), s->name);
		assert_ptr_equal(conf_setting_find(text_of(key)), s);
	}
	assert_ptr_equal(conf_setting_find(TEXT("herd.line-max")), &conf_settings[CONF_ID_line_max]);
	assert_null(conf_setting_find(TEXT("flood.line-max")));
	assert_ptr_equal(conf_setting_find(TEXT("connections-max")), &conf_settings[CONF_ID_connections_max]);
	assert_ptr_equal(conf_setting_find(TEXT("places.connections-max")),
			 &conf_settings[CONF_ID_places_connections_max]);
	assert_ptr_equal(conf_setting_find(TEXT("cell")), &conf_settings[CONF_ID_places_cell_m]);
	assert_ptr_equal(conf_setting_find(TEXT("contact")), &conf_settings[CONF_ID_overpass_contact]);
	assert_ptr_equal(conf_setting_find(TEXT("google.url")), &conf_settings[CONF_ID_google_url]);
	assert_ptr_equal(conf_setting_find(TEXT("places google-legacy.url")),
			 &conf_settings[CONF_ID_legacy_url]);
	assert_null(conf_setting_find(TEXT("places places.url")));
	assert_null(conf_setting_find(TEXT("url")));
	assert_true(conf_setting_choices(TEXT("url"), choices, sizeof(choices)));
	assert_string_equal(choices, "places google.url or places google-legacy.url or places overpass.url");
	assert_null(conf_setting_find(TEXT("nowhere.line-max")));
	assert_null(conf_setting_find(TEXT("line")));
	assert_null(conf_setting_find(TEXT("")));
	assert_null(conf_setting_find(TEXT(".")));
	assert_null(conf_setting_find(TEXT("listen")));
	assert_true(conf_setting_choices(TEXT("listen"), choices, sizeof(choices)));
	assert_string_equal(choices, "member.listen or flood.listen");
	assert_false(conf_setting_choices(TEXT("udp"), choices, sizeof(choices)));
	assert_false(conf_setting_choices(TEXT("member.listen"), choices, sizeof(choices)));
}

/* --- services on the network -------------------------------------------------------- */

/* A service's own setting, that of [places], the service's default: the first that there is. */
static void
test_services(void **state)
{
	CLEANUP(conf_done) struct conf conf = {0};
	struct conf_service s;

	(void)state;
	check_good(&conf, "[places overpass]\ncontact = me@x.example\n", NULL);
	s = conf_service(&conf, CONF_PROVIDER_OVERPASS);
	assert_int_equal(s.cell_m, 500);
	assert_int_equal(s.per_second, 1);
	assert_int_equal(s.radius_max_m, 5000);
	assert_string_equal(s.contact, "me@x.example");
	assert_string_equal(s.key_file, "");
	check_good(&conf,
		   "[places]\nprovider = google, overpass\nprovider = local\ncell = 100\nlanguage = pt-BR\n"
		   "cache-ttl = 2h\n"
		   "requests-per-day = 7\n[places google]\nrequests-per-day = 9\ncache-ttl = 1min\n"
		   "key-file = /k\ntypes = bar,cafe\nregion = us\n[places google-legacy]\ncell = 0\n"
		   "key-file = /l\ntypes = bar\nurl = http://127.0.0.1:8080/x\n"
		   "[places overpass]\ncontact = https://x.example/\nradius-max = 50\n",
		   NULL);
	assert_string_equal(value(&conf, CONF_ID_places_providers), "google, overpass, local");
	s = conf_service(&conf, CONF_PROVIDER_GOOGLE);
	assert_int_equal(s.cell_m, 100);
	assert_int_equal(s.per_day, 9);
	assert_int_equal(s.per_second, 0);
	assert_int_equal(s.cache_ttl_ns, 60 * CLOCK_SECOND_NS);
	assert_int_equal(s.radius_max_m, 50000);
	assert_string_equal(s.url, "https://places.googleapis.com");
	assert_string_equal(s.key_file, "/k");
	assert_string_equal(s.types, "bar,cafe");
	assert_string_equal(s.region, "us");
	assert_string_equal(s.language, "pt-BR");
	s = conf_service(&conf, CONF_PROVIDER_GOOGLE_LEGACY);
	assert_int_equal(s.cell_m, 0);
	assert_int_equal(s.cache_ttl_ns, 0); /* its terms forbid it */
	assert_int_equal(s.per_day, 7);
	assert_string_equal(s.url, "http://127.0.0.1:8080/x");
	assert_string_equal(s.key_file, "/l");
	assert_string_equal(s.types, "bar");
	s = conf_service(&conf, CONF_PROVIDER_OVERPASS);
	assert_int_equal(s.cell_m, 100);
	assert_int_equal(s.per_day, 7);
	assert_int_equal(s.per_second, 1);
	assert_int_equal(s.cache_ttl_ns, 7200 * CLOCK_SECOND_NS);
	assert_int_equal(s.radius_max_m, 50000);
}

static void
test_services_wrong(void **state)
{
	(void)state;
	check_bad("[places]\nprovider = google, overpass\n",
		  "x.conf:2: setting 'provider' in [places]: overpass wants 'contact' in [places overpass] "
		  "(expected a mail address or a page of yours: its servers refuse who does not say who "
		  "asks)\n");
	check_bad("[places]\nprovider = moon\nprovider = local, local\n",
		  "x.conf:2: setting 'provider': 'moon' is unknown (expected local, google, google-legacy or "
		  "overpass)\n"
		  "x.conf:3: setting 'provider': 'local' is listed twice (expected each once)\n");
	check_bad("[places google]\nurl = http://places.example\n[places google-legacy]\n"
		  "url = http://127.0.0.1.example/\n",
		  "x.conf:2: setting 'url' in [places google]: the key would travel in the clear (expected "
		  "https://, or http:// on loopback)\n"
		  "x.conf:4: setting 'url' in [places google-legacy]: the key would travel in the clear "
		  "(expected https://, or http:// on loopback)\n");
	check_bad("[places moon]\nurl = https://moon.example\n",
		  "x.conf:1: section [places moon]: unknown (expected [herd], [member NAME], [flood], "
		  "[places], "
		  "[places google], [places google-legacy] or [places overpass])\n");
	check_bad("[places google]\nregion = usa\nlanguage = en\n",
		  "x.conf:2: setting 'region': 'usa' is not right (expected 0 to 2 printable characters "
		  "without "
		  "blanks)\n"
		  "x.conf:3: setting 'language': unknown in [places google] (expected in [places])\n");
}

/* What the service would refuse, or could not be asked with. */
static void
test_services_refused(void **state)
{
	char many[256] = "[places google]\ntypes = a";

	(void)state;
	check_bad(
		"[places]\nlanguage = pt_BR\n[places google]\nregion = -u\ntypes = caf\"e\n"
		"field-mask = places.id;x\n[places google-legacy]\ntypes = bar|cafe\n"
		"[places overpass]\ncontact = me(at)x.example\n",
		"x.conf:10: setting 'contact' in [places overpass]: 'me(at)x.example' is not right "
		"(expected no '(', ')' and '\\')\n"
		"x.conf:2: setting 'language' in [places]: 'pt_BR' is not right (expected a tag such as en "
		"or pt-BR)\n"
		"x.conf:4: setting 'region' in [places google]: '-u' is not right (expected two letters "
		"such as us)\n"
		"x.conf:5: setting 'types' in [places google]: 'caf\"e' is not right (expected names such as "
		"cafe,bar)\n"
		"x.conf:8: setting 'types' in [places google-legacy]: 'bar|cafe' is not right (expected a "
		"name such as cafe)\n"
		"x.conf:6: setting 'field-mask' in [places google]: 'places.id;x' is not right (expected "
		"names such as places.id,places.location)\n");
	for (int i = 1; i <= 50; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), ",b");
	check_bad(many,
		  "x.conf:2: setting 'types' in [places google]: too many names (expected at most 50)\n");
}

/* Nobody pays its servers: what is set for all can only make it less. */
static void
test_overpass_is_careful(void **state)
{
	static const struct {
		const char *all, *own;
		uint32_t per_second, per_day;
	} cases[] = {
		{"", "", 1, 9000},
		{"requests-per-second = 50\nrequests-per-day = 100000\n", "", 1, 9000},
		{"requests-per-second = 0\nrequests-per-day = 0\n", "", 1, 9000},
		{"requests-per-day = 100\n", "", 1, 100},
		{"requests-per-day = 100\n", "requests-per-second = 20\nrequests-per-day = 0\n", 20, 0},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		CLEANUP(conf_done) struct conf conf = {0};
		struct conf_service s;
		char text[256];

		snprintf(text, sizeof(text), "[places]\n%s[places overpass]\n%s", cases[i].all, cases[i].own);
		check_good(&conf, text, NULL);
		s = conf_service(&conf, CONF_PROVIDER_OVERPASS);
		assert_int_equal(s.per_second, cases[i].per_second);
		assert_int_equal(s.per_day, cases[i].per_day);
	}
}

static void
test_proxy(void **state)
{
	CLEANUP(conf_done) struct conf conf = {0};

	(void)state;
	check_good(&conf,
		   "[places]\nproxy = http://proxy.example:3128\n[places google]\nurl = https://g.example\n"
		   "[places overpass]\nurl = http://osm.example/api\n",
		   NULL);
	check_bad("[places]\nproxy = http://proxy.example:3128\n[places google]\nurl = http://127.0.0.1\n",
		  "x.conf:4: setting 'url' in [places google]: the key would travel to 'proxy' in the clear "
		  "(expected https://)\n");
}

static void
test_masks(void **state)
{
	static const char *const good[] = {
		"*",
		"places",
		"places.*",
		"places.id,places.location",
		"places.location.*,places.displayName.text",
		"nextPageToken,places.displayName,places.location.latitude,places.location.longitude",
	};
	static const char *const bad[] = {
		"places.id",
		"places.location",
		"places.location,places.idx",
		"places.id,places.locations",
		"id,location",
		",",
		"place*",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(good) + ELEMENTS(bad); i++) {
		const char *mask = i < ELEMENTS(good) ? good[i] : bad[i - ELEMENTS(good)];
		CLEANUP(conf_done) struct conf conf = {0};
		char text[256];

		snprintf(text, sizeof(text), "[places google]\nfield-mask = %s\n", mask);
		if (i < ELEMENTS(good)) {
			check_good(&conf, text, NULL);
			assert_string_equal(conf_service(&conf, CONF_PROVIDER_GOOGLE).field_mask, mask);
			continue;
		}
		assert_int_equal(load_text(&conf, text_of(text), NULL), CONF_E_INVALID);
		assert_non_null(strstr(said, "no place could be used"));
	}
}

static void
test_urls(void **state)
{
	static const char *const good[] = {"https://a",		  "https://a.example:8443/b/c",
					   "http://localhost:80", "http://127.0.0.1",
					   "http://[::1]:8080/",  "http://127.1.2.3:1/x"};
	static const char *const bad[] = {
		"ftp://a",	     "https://",	  "https:///x",	  "a.example", "https://a/?b=c",
		"https://a#b",	     "https://u@a",	  "https://a b",  "HTTPS://a", "https://a/\x7f",
		"http://127.0.0.1x", "http://localhostx", "http://[::1]x"};
	CLEANUP(conf_done) struct conf conf = {0};
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text), "[places google]\nurl = %s\n", good[i]);
		check_good(&conf, text, NULL);
		assert_string_equal(conf.google_url, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CLEANUP(conf_done) struct conf none = {0};

		snprintf(text, sizeof(text), "[places google]\nurl = %s\n", bad[i]);
		assert_int_equal(load_text(&none, text_of(text), NULL), CONF_E_INVALID);
		assert_non_null(strstr(said, "x.conf:2: setting 'url'"));
	}
}

static void
test_defaults(void **state)
{
	CLEANUP(conf_done) struct conf conf = {0};

	(void)state;
	check_good(&conf, "", NULL);
	assert_string_equal(conf.shm, "/herd");
	assert_int_equal(conf.table_clients, 65536);
	assert_int_equal(conf.table_long_clients, 0);
	assert_int_equal(conf.fix_ttl_ns, INT64_C(7) * 86400 * CLOCK_SECOND_NS);
	assert_int_equal(conf.log_level, LOG_INFO);
	assert_int_equal(conf.listen.count, 0);
	assert_int_equal(conf.udp.count, 0);
	assert_int_equal(conf.unix_paths.count, 0);
	assert_int_equal(conf.line_max, 4096);
	assert_int_equal(conf.places_pending_max, 64);
	assert_int_equal(conf.connections_max, 10000);
	assert_int_equal(conf.unsent_max, 65536);
	assert_int_equal(conf.send_timeout_ns, 30 * CLOCK_SECOND_NS);
	assert_int_equal(conf.line_timeout_ns, 60 * CLOCK_SECOND_NS);
	assert_int_equal(conf.work_max, 16384);
	assert_int_equal(conf.sweep_interval_ns, CLOCK_SECOND_NS);
	assert_int_equal(conf.places_providers.count, 1);
	assert_string_equal(conf.places_providers.at[0], "local");
	assert_string_equal(conf.places_file, HERD_STATEDIR "/places.herd");
	assert_int_equal(conf.places_rank, CONF_RANK_PROMINENCE);
	assert_int_equal(conf.member_count, 0);
}

/* --- what files may look like ------------------------------------------------------ */

static void
test_reads(void **state)
{
	CLEANUP(conf_done) struct conf conf = {0};

	(void)state;
	check_good(&conf,
		   "\xef\xbb\xbf# K\xc3\xbche\r\n"
		   "; a very long comment: .............................................................."
		   "........................................................................................"
		   "...............................................................................\n"
		   "\n"
		   "  [herd]   ; the herd\r\n"
		   "shm=/cows\r\n"
		   "\tfix-ttl \t=  2h\t; not for ever\n"
		   "   table-clients: 1000\n"
		   "[ places ]# trees\n"
		   "file = /var/lib/a;b:c=d.herd\n"
		   "rank = distance\n"
		   "[flood]\n"
		   "[herd]\n"
		   "log-level = debug",
		   NULL);
	assert_string_equal(conf.shm, "/cows");
	assert_int_equal(conf.fix_ttl_ns, 7200 * CLOCK_SECOND_NS);
	assert_int_equal(conf.table_clients, 1000);
	assert_string_equal(conf.places_file, "/var/lib/a;b:c=d.herd");
	assert_int_equal(conf.places_rank, CONF_RANK_DISTANCE);
	assert_int_equal(conf.log_level, LOG_DEBUG);
	assert_string_equal(conf_origin(&conf, CONF_ID_fix_ttl_ns), "x.conf:6");
	assert_string_equal(conf_origin(&conf, CONF_ID_log_level), "x.conf:13");
	assert_string_equal(conf_origin(&conf, CONF_ID_line_max), "default");
}

static void
test_refuses_lines(void **state)
{
	static char junk[400];
	char long_line[600];

	(void)state;
	check_bad("shm = /x\n",
		  "x.conf:1: setting 'shm': outside any section (expected [herd] or another above it)\n");
	check_bad("[herd\nshm = /x\n[herd]\n\nnonsense\n= 1\n[flood] x\n",
		  "x.conf:1: a section without its ']' (expected [NAME])\n"
		  "x.conf:5: no setting (expected NAME = VALUE)\n"
		  "x.conf:6: no name before the '=' (expected NAME = VALUE)\n"
		  "x.conf:7: text behind a section's ']' (expected a line of its own)\n");
	check_bad("[heard]\nshm = nonsense, but nobody looks\n",
		  "x.conf:1: section [heard]: unknown (expected [herd], [member NAME], [flood], [places], "
		  "[places google], [places google-legacy] or [places overpass])\n");
	check_bad("[herd]\nlog-level = debug # really\n",
		  "x.conf:2: a '#' inside the line (expected comments on lines of their own)\n");
	check_bad("[herd]\nlog ; level = debug\n", "x.conf:2: no setting (expected NAME = VALUE)\n");
	check_bad("[herd]\nsh\xfcm = x\n", "x.conf:2: bytes that are no UTF-8 (expected text in UTF-8)\n");
	check_bad_bytes(TEXT("[herd]\nshm = /\0x\n"), "x.conf:2: a NUL byte (expected text in UTF-8)\n");
	check_bad_bytes(TEXT("# comment \0\n"), "x.conf:1: a NUL byte (expected text in UTF-8)\n");
	memset(junk, 'x', sizeof(junk) - 1);
	snprintf(long_line, sizeof(long_line), "[places]\nfile = /%s\nrank = size\n", junk);
	check_bad(long_line,
		  "x.conf:2: the line is too long (expected at most 198 bytes)\n"
		  "x.conf:3: setting 'rank': 'size' is unknown (expected prominence or distance)\n");
}

static void
test_refuses_settings(void **state)
{
	(void)state;
	check_bad("[herd]\nsmh = /x\nsweep-interval = 1s\n[member Alpha]\nshm = /x\n[flood]\nudp = 1\n",
		  "x.conf:2: setting 'smh': unknown in [herd]\n"
		  "x.conf:3: setting 'sweep-interval': unknown in [herd] (expected in [flood])\n"
		  "x.conf:5: setting 'shm': unknown in [member Alpha] (expected in [herd])\n"
		  "x.conf:7: setting 'udp': unknown in [flood] (expected in [member NAME] or [herd])\n");
	check_bad("[member]\nx = 1\n[member A/B]\n[member ]\n[member AAAAAAAAAAAAAAAAAAAAAAAA]\n[members]\n",
		  "x.conf:1: section [member]: '' is no name of a member (expected 1 to 23 letters, digits, "
		  "'-', '_' "
		  "and '.')\n"
		  "x.conf:3: section [member A/B]: 'A/B' is no name of a member (expected 1 to 23 letters, "
		  "digits, "
		  "'-', '_' and '.')\n"
		  "x.conf:4: section [member]: '' is no name of a member (expected 1 to 23 letters, digits, "
		  "'-', '_' "
		  "and '.')\n"
		  "x.conf:5: section [member AAAAAAAAAAAAAAAAAAAAAAAA]: 'AAAAAAAAAAAAAAAAAAAAAAAA' is no "
		  "name of a "
		  "member (expected 1 to 23 letters, digits, '-', '_' and '.')\n"
		  "x.conf:6: section [members]: unknown (expected [herd], [member NAME], [flood], [places], "
		  "[places google], [places google-legacy] or [places overpass])\n");
	check_bad("[herd]\nlog-level=loud\nlog-level=\nx\x1b[2J = 1\n",
		  "x.conf:2: setting 'log-level': 'loud' is unknown (expected err, warning, notice, info or "
		  "debug)\n"
		  "x.conf:3: setting 'log-level': '' is unknown (expected err, warning, notice, info or "
		  "debug)\n"
		  "x.conf:4: setting 'x\\x1b[2J': unknown in [herd]\n");
}

/* The last file of garbage must not fill a log. */
static void
test_many_errors(void **state)
{
	CLEANUP(cleanup_free) char *text = malloc(400000);
	CLEANUP(conf_done) struct conf conf = {0};
	const char unknown[4] = {'[', 'x', ']', '\n'};
	size_t lines = 0;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < 100000; i++)
		memcpy(text + 4 * i, unknown, sizeof(unknown));
	assert_int_equal(load_text(&conf, (struct text){text, 400000}, NULL), CONF_E_INVALID);
	for (const char *c = said; (c = strchr(c, '\n')) != NULL; c++)
		lines++;
	assert_int_equal(lines, 100);
	assert_non_null(strstr(said, "\nToo many errors, the rest is not shown\n"));
}

/* --- values --------------------------------------------------------------------------- */

static void
check_value(enum conf_id id, const char *in, const char *shown, const char *why)
{
	CLEANUP(conf_done) struct conf conf = {0};
	char key[64];
	struct conf_set set = {"--set", key, in};
	struct text nothing = TEXT("");
	struct conf_source source = {.report = say, .bytes = &nothing, .sets = &set, .set_count = 1};
	char expected[1024];
	int r;

	snprintf(key, sizeof(key), "%s.%s", conf_section_name(conf_settings[id].section),
		 conf_settings[id].name);
	said[0] = '\0';
	r = conf_load(&conf, &source);
	if (shown) {
		assert_string_equal(said, "");
		assert_int_equal(r, 0);
		assert_string_equal(value(&conf, id), shown);
		assert_string_equal(conf_origin(&conf, id), "--set");
	} else {
		snprintf(expected, sizeof(expected), "--set: setting '%s': %s\n", conf_settings[id].name,
			 why);
		assert_int_equal(r, CONF_E_INVALID);
		assert_string_equal(said, expected);
	}
}

static void
test_numbers(void **state)
{
	const char *count = " (expected a number from 64 to 134217728)";
	const char *bytes = " (expected a number of bytes from 512 to 1M, such as 8192, 64k or 1M)";
	const char *wait = " (expected a duration from 10ms to 1d, such as 500ms, 30s, 5min, 2h or 7d)";
	static const struct {
		enum conf_id id;
		const char *in, *shown;
	} good[] = {
		{CONF_ID_table_clients, "64", "64"},
		{CONF_ID_table_clients, "134217728", "134217728"},
		{CONF_ID_table_clients, "0000065536", "65536"},
		{CONF_ID_line_max, "512", "512"},
		{CONF_ID_line_max, "1024", "1k"},
		{CONF_ID_line_max, "1025", "1025"},
		{CONF_ID_line_max, "4K", "4k"},
		{CONF_ID_line_max, "1M", "1M"},
		{CONF_ID_unsent_max, "1G", "1G"},
		{CONF_ID_fix_ttl_ns, "0", "0"},
		{CONF_ID_fix_ttl_ns, "0d", "0"},
		{CONF_ID_fix_ttl_ns, "7d", "7d"},
		{CONF_ID_fix_ttl_ns, "168h", "7d"},
		{CONF_ID_fix_ttl_ns, "90", "90s"},
		{CONF_ID_fix_ttl_ns, "120", "2min"},
		{CONF_ID_fix_ttl_ns, "1500ms", "1500ms"},
		{CONF_ID_fix_ttl_ns, "36500d", "36500d"},
		{CONF_ID_send_timeout_ns, "10ms", "10ms"},
	};
	static const struct {
		enum conf_id id;
		const char *in, *what;
	} bad[] = {
		{CONF_ID_table_clients, "63", "63 is out of range"},
		{CONF_ID_table_clients, "134217729", "134217729 is out of range"},
		{CONF_ID_table_clients, "", "'' cannot be read"},
		{CONF_ID_table_clients, "64k", "'64k' cannot be read"},
		{CONF_ID_table_clients, "-64", "'-64' cannot be read"},
		{CONF_ID_table_clients, "+64", "'+64' cannot be read"},
		{CONF_ID_table_clients, "0x64", "'0x64' cannot be read"},
		{CONF_ID_table_clients, "6 4", "'6 4' cannot be read"},
		{CONF_ID_table_clients, "99999999999999999999", "'99999999999999999999' cannot be read"},
		{CONF_ID_table_clients, "4294967360", "4294967360 is out of range"}, /* 64 in 32 bits */
		{CONF_ID_line_max, "511", "511 is out of range"},
		{CONF_ID_line_max, "1025k", "1025k is out of range"},
		{CONF_ID_line_max, "1m", "'1m' cannot be read"},
		{CONF_ID_line_max, "k", "'k' cannot be read"},
		{CONF_ID_line_max, "9223372036854775807G", "'9223372036854775807G' cannot be read"},
		{CONF_ID_send_timeout_ns, "0", "0 is out of range"},
		{CONF_ID_send_timeout_ns, "9ms", "9ms is out of range"},
		{CONF_ID_send_timeout_ns, "25h", "25h is out of range"},
		{CONF_ID_send_timeout_ns, "1.5s", "'1.5s' cannot be read"},
		{CONF_ID_send_timeout_ns, "30 s", "'30 s' cannot be read"},
		{CONF_ID_send_timeout_ns, "1m", "'1m' cannot be read"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(good); i++)
		check_value(good[i].id, good[i].in, good[i].shown, NULL);
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		char why[256];

		snprintf(why, sizeof(why), "%s%s", bad[i].what,
			 bad[i].id == CONF_ID_table_clients ? count
			 : bad[i].id == CONF_ID_line_max    ? bytes
							    : wait);
		check_value(bad[i].id, bad[i].in, NULL, why);
	}
}

static void
test_texts(void **state)
{
	static const char *const bad[] = {"", "/", "herd", "/a/b", "//", "/.", "/..", "/a b", "/k\xc3\xbc"};
	char name[80] = "/", why[256];

	(void)state;
	check_value(CONF_ID_shm, "/herd-1_2.3", "/herd-1_2.3", NULL);
	memset(name + 1, 'x', 63);
	check_value(CONF_ID_shm, name, name, NULL);
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		snprintf(why, sizeof(why),
			 "'%s' is no name (expected '/' and up to 63 letters, digits, '-', '_' and '.')",
			 bad[i]);
		check_value(CONF_ID_shm, bad[i], NULL, why);
	}
	name[64] = 'x';
	snprintf(why, sizeof(why),
		 "'%s' is no name (expected '/' and up to 63 letters, digits, '-', '_' and '.')", name);
	check_value(CONF_ID_shm, name, NULL, why);
	check_value(CONF_ID_places_file, "my places/K\xc3\xbche.herd", "my places/K\xc3\xbche.herd", NULL);
	check_value(CONF_ID_places_file, "a\nb", NULL,
		    "'a\\x0ab' is no path (expected 1 to 4095 printable characters, ';' and '#' only behind "
		    "another)");
	check_value(CONF_ID_places_file, "a;b#", "a;b#", NULL);
	check_value(CONF_ID_places_file, "a ;b", NULL,
		    "'a ;b' is no path (expected 1 to 4095 printable characters, ';' and '#' only behind "
		    "another)");
	check_value(CONF_ID_unix_paths, "a,;b", NULL,
		    "';b' is no path of a socket (expected up to 107 printable characters, ';' and '#' only "
		    "behind another)");
	check_value(
		CONF_ID_places_file, "", NULL,
		"'' is no path (expected 1 to 4095 printable characters, ';' and '#' only behind another)");
}

static void
test_lists(void **state)
{
	CLEANUP(conf_done) struct conf conf = {0};
	char many[4096] = "", path[120];

	(void)state;
	check_value(CONF_ID_listen, "127.0.0.1:1,[::1]:2 ,\t127.0.0.1:3  10.0.0.1:4,,",
		    "127.0.0.1:1, [::1]:2, 127.0.0.1:3, 10.0.0.1:4", NULL);
	check_value(CONF_ID_listen, "127.0.0.1:0 127.0.0.1:0", "127.0.0.1:0, 127.0.0.1:0", NULL);
	check_value(CONF_ID_listen, " , ", "", NULL);
	check_value(CONF_ID_listen, "localhost:1", NULL,
		    "'localhost:1' is no address (expected ADDRESS:PORT, such as 127.0.0.1:12000 or "
		    "[::1]:12000)");
	check_value(CONF_ID_udp, "127.0.0.1:1 127.0.0.1:01", NULL,
		    "'127.0.0.1:01' is listed twice (expected different addresses)");
	check_value(CONF_ID_unix_paths, "/run/a b", "/run/a, b", NULL);
	check_value(CONF_ID_unix_paths, "/run/a,/run/a", NULL,
		    "'/run/a' is listed twice (expected different paths)");
	memset(path, 'x', sizeof(path));
	path[107] = '\0';
	check_value(CONF_ID_unix_paths, path, path, NULL);
	path[107] = 'x';
	path[108] = '\0';
	assert_int_equal(load_text(&conf, TEXT(""), NULL), 0);
	for (size_t i = 0; i < 65; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "127.0.0.1:%zu ", i + 1);
	check_value(CONF_ID_listen, many, NULL, "too many addresses (expected at most 64)");
	check_value(CONF_ID_unix_paths, many, NULL, "too many entries (expected at most 64)");
}

/* Lines in a section add up, an empty one starts over; of a bad line nothing is kept. */
static void
test_hosts(void **state)
{
	static const char *const ids[] = {"0123456789abcdef", "0123456789abcdef0123456789abcdeg",
					  "0123456789abcdef0123456789abcdef0"};
	CLEANUP(conf_done) struct conf conf = {0};
	char why[256];

	(void)state;
	check_value(CONF_ID_flood_plain, "yes", "yes", NULL);
	check_value(CONF_ID_flood_plain, "no", "no", NULL);
	check_value(CONF_ID_flood_plain, "true", NULL, "'true' is unknown (expected yes or no)");
	check_value(CONF_ID_flood_name, "hill-1.example", "hill-1.example", NULL);
	check_value(CONF_ID_flood_name, "", "", NULL);
	check_value(CONF_ID_flood_name, "hill_1", NULL,
		    "'hill_1' is no name (expected 0 to 63 letters, digits, '-' and '.')");
	check_value(CONF_ID_flood_herd, "", NULL,
		    "'' is no name (expected 1 to 63 letters, digits, '-' and '.')");
	check_value(CONF_ID_flood_host_id, "0123456789abcdefABCDEF0123456789",
		    "0123456789abcdefABCDEF0123456789", NULL);
	check_value(CONF_ID_flood_host_id, "", "", NULL);
	for (size_t i = 0; i < ELEMENTS(ids); i++) {
		snprintf(why, sizeof(why), "'%s' is no id (expected 32 hexadecimal digits)", ids[i]);
		check_value(CONF_ID_flood_host_id, ids[i], NULL, why);
	}
	check_value(CONF_ID_flood_peers, " hill  192.0.2.1:12400 ,192.0.2.2:12400,",
		    "hill 192.0.2.1:12400, 192.0.2.2:12400", NULL);
	check_value(CONF_ID_flood_peers, "hill 192.0.2.1:12400, hill\t192.0.2.1:12400", NULL,
		    "'hill 192.0.2.1:12400' is listed twice (expected different hosts)");
	check_value(CONF_ID_flood_peers, "hill.example:12400", "hill.example:12400", NULL);
	check_value(CONF_ID_flood_hosts, "/etc/herd/hosts", "/etc/herd/hosts", NULL);
	check_value(CONF_ID_flood_hosts, "hill 192.0.2.1:12400 site=a, smith [::1]:1",
		    "hill 192.0.2.1:12400 site=a, smith [::1]:1", NULL);
	check_value(CONF_ID_flood_hosts, "hill 192.0.2.1:12400, /etc/hosts", NULL,
		    "'/etc/hosts' is beside another entry (expected a file alone, or a list)");
	check_value(CONF_ID_flood_hosts, "/etc/hosts, hill 192.0.2.1:12400", NULL,
		    "'hill 192.0.2.1:12400' is beside another entry (expected a file alone, or a list)");
	check_good(&conf, "[flood]\npeer = hill 192.0.2.1:1\npeer = 192.0.2.2:2\nlisten = 127.0.0.1:3\n",
		   NULL);
	assert_string_equal(value(&conf, CONF_ID_flood_peers), "hill 192.0.2.1:1, 192.0.2.2:2");
	assert_string_equal(value(&conf, CONF_ID_flood_listen), "127.0.0.1:3");
	assert_string_equal(value(&conf, CONF_ID_listen), "");
}

static void
test_lists_add_up(void **state)
{
	CLEANUP(conf_done) struct conf conf = {0};

	(void)state;
	check_good(&conf,
		   "[herd]\nlisten = 127.0.0.1:1\nlisten = 127.0.0.1:2, 127.0.0.1:3\n"
		   "unix = /a\nunix =\nunix = /b\nudp = 127.0.0.1:1\nudp =\n",
		   NULL);
	assert_string_equal(value(&conf, CONF_ID_listen), "127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3");
	assert_int_equal(conf.listen.count, 3);
	assert_string_equal(value(&conf, CONF_ID_unix_paths), "/b");
	assert_string_equal(value(&conf, CONF_ID_udp), "");
	assert_string_equal(conf_origin(&conf, CONF_ID_udp), "x.conf:8");
	check_bad(
		"[herd]\nlisten = 127.0.0.1:1\nlisten = 127.0.0.1:2 nonsense\nlisten = 127.0.0.1:1\n",
		"x.conf:3: setting 'listen': 'nonsense' is no address (expected ADDRESS:PORT, such as "
		"127.0.0.1:12000 or [::1]:12000)\n"
		"x.conf:4: setting 'listen': '127.0.0.1:1' is listed twice (expected different addresses)\n");
}

/* --- what beats what ----------------------------------------------------------------------- */

static void
test_members(void **state)
{
	static const char text[] = "[member Alpha]\nline-max = 1000\nlisten = 127.0.0.1:1\n"
				   "[herd]\nline-max = 2000\nwork-max = 3000\nlisten = 127.0.0.1:9\n"
				   "[member\tBravo]\nwork-max = 4000\n"
				   "[member Alpha]\nlisten = 127.0.0.1:2\n";
	CLEANUP(conf_done) struct conf conf = {0};

	(void)state;
	check_good(&conf, text, "Alpha");
	assert_int_equal(conf.line_max, 1000);
	assert_int_equal(conf.work_max, 3000);
	assert_string_equal(value(&conf, CONF_ID_listen), "127.0.0.1:1, 127.0.0.1:2");
	assert_int_equal(conf.member_count, 2);
	assert_string_equal(conf.members[0], "Alpha");
	assert_string_equal(conf.members[1], "Bravo");
	check_good(&conf, text, "Bravo");
	assert_int_equal(conf.line_max, 2000);
	assert_int_equal(conf.work_max, 4000);
	assert_string_equal(value(&conf, CONF_ID_listen), "127.0.0.1:9");
	check_good(&conf, text, "Charlie");
	assert_int_equal(conf.line_max, 2000);
	check_good(&conf, text, NULL);
	assert_int_equal(conf.work_max, 3000);
}

static void
test_sets(void **state)
{
	struct text text = TEXT(
		"[herd]\nline-max = 2000\nlisten = 127.0.0.1:9\n[member Alpha]\nline-max = 1000\n");
	struct conf_set sets[] = {
		{"--set", "herd.line-max", "3000"},	   {"--set", "line-max", "4000"},
		{"--listen", "listen", "127.0.0.1:1"},	   {"--listen", "member.listen", "127.0.0.1:2"},
		{"--set", "flood.sweep-interval", "20ms"},
	};
	struct conf_set bad[] = {
		{"--set", "line", "3000"}, {"--set", "flood.shm", "/x"}, {"--listen", "listen", "x"}};
	struct conf_source source = {.member = "Alpha",
				     .sections = CONF_SECTION_HERD | CONF_SECTION_MEMBER,
				     .report = say,
				     .bytes = &text,
				     .sets = sets,
				     .set_count = ELEMENTS(sets)};
	CLEANUP(conf_done) struct conf conf = {0};

	(void)state;
	said[0] = '\0';
	assert_int_equal(conf_load(&conf, &source), 0);
	assert_int_equal(conf.line_max, 4000);
	assert_string_equal(value(&conf, CONF_ID_listen), "127.0.0.1:1, 127.0.0.1:2");
	assert_int_equal(conf.sweep_interval_ns, 20 * CLOCK_MSEC_NS);
	assert_string_equal(conf_origin(&conf, CONF_ID_listen), "--listen");
	source.sets = bad;
	source.set_count = ELEMENTS(bad);
	assert_int_equal(conf_load(&conf, &source), CONF_E_INVALID);
	assert_string_equal(said,
			    "--set: setting 'line': unknown\n--set: setting 'flood.shm': unknown\n"
			    "--listen: setting 'listen': 'x' is no address (expected ADDRESS:PORT, such as "
			    "127.0.0.1:12000 or [::1]:12000)\n");
	assert_int_equal(conf.line_max, 4000); /* as before */
	source.sections = 0;
	source.set_count = 3;
	said[0] = '\0';
	assert_int_equal(conf_load(&conf, &source), CONF_E_INVALID);
	assert_non_null(strstr(said,
			       "--listen: setting 'listen': there are several (expected member.listen or "
			       "flood.listen)\n"));
}

/* --- reload ------------------------------------------------------------------------------------ */

static void
test_reload(void **state)
{
	struct text old = TEXT(
		"[herd]\nline-max = 2000\nshm = /old\nlisten = 127.0.0.1:1\nlog-level = info\n");
	struct text new = TEXT("\n[herd]\nline-max = 3000\nshm = /new\nlog-level = info\n[member Bravo]\n");
	struct text bad = TEXT("[herd]\nline-max = 5000\nshm = new\n");
	struct conf_source source = {.file = "x.conf", .report = say, .bytes = &old};
	CLEANUP(conf_done) struct conf conf = {0};
	struct conf_changes changes;

	(void)state;
	said[0] = '\0';
	assert_int_equal(conf_load(&conf, &source), 0);

	memset(&changes, 0x5a, sizeof(changes));
	source.bytes = &bad;
	assert_int_equal(conf_reload(&conf, &source, &changes), CONF_E_INVALID);
	assert_int_equal(changes.changed_count, 0x5a5a5a5a);
	assert_int_equal(conf.line_max, 2000);
	assert_string_equal(conf.shm, "/old");

	source.bytes = &new;
	assert_int_equal(conf_reload(&conf, &source, &changes), 0);
	assert_int_equal(changes.changed_count, 1);
	assert_true(changes.changed[CONF_ID_line_max]);
	assert_int_equal(changes.restart_count, 2);
	assert_true(changes.needs_restart[CONF_ID_shm]);
	assert_true(changes.needs_restart[CONF_ID_listen]);
	assert_int_equal(conf.line_max, 3000);
	assert_string_equal(conf.shm, "/old"); /* what is in effect */
	assert_int_equal(conf.listen.count, 1);
	assert_string_equal(conf_origin(&conf, CONF_ID_line_max), "x.conf:3");
	assert_string_equal(conf_origin(&conf, CONF_ID_log_level), "x.conf:5");
	assert_string_equal(conf_origin(&conf, CONF_ID_shm), "x.conf:3"); /* of the file it was read from */
	assert_int_equal(conf.member_count, 1);

	assert_int_equal(conf_reload(&conf, &source, &changes), 0);
	assert_int_equal(changes.changed_count, 0);
	assert_int_equal(changes.restart_count, 2); /* still */
}

/* --- files ---------------------------------------------------------------------------------------- */

static char folder[sizeof("/tmp/herd-conf-XXXXXX")];

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
load_from(struct conf *conf, const char *name)
{
	struct conf_source source = {.file = in_folder(name), .report = say};

	said[0] = '\0';
	return conf_load(conf, &source);
}

static int
make_folder(void **state)
{
	(void)state;
	memcpy(folder, "/tmp/herd-conf-XXXXXX", sizeof(folder));
	return !mkdtemp(folder);
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
test_drop_ins(void **state)
{
	CLEANUP(conf_done) struct conf conf = {0};
	char expected[512];

	(void)state;
	write_file("herd.conf", "[herd]\nline-max = 1000\nwork-max = 1024\nlisten = 127.0.0.1:1\n"
				"udp = 127.0.0.1:1\n[member A]\nline-max = 600\n");
	assert_int_equal(mkdir(in_folder("herd.conf.d"), 0700), 0);
	write_file("herd.conf.d/20-b.conf", "[herd]\nline-max = 2000\nlisten = 127.0.0.1:3\n");
	write_file("herd.conf.d/10-a.conf", "[herd]\nline-max = 3000\nwork-max = 2048\nlisten = 127.0.0.1:2\n"
					    "listen = 127.0.0.1:4\n");
	write_file("herd.conf.d/30-c.conf~", "nonsense");
	write_file("herd.conf.d/.40-c.conf", "nonsense");
	write_file("herd.conf.d/README", "nonsense");
	assert_int_equal(load_from(&conf, "herd.conf"), 0);
	assert_int_equal(conf.line_max, 2000);
	assert_int_equal(conf.work_max, 2048);
	assert_string_equal(value(&conf, CONF_ID_listen), "127.0.0.1:3");
	assert_string_equal(value(&conf, CONF_ID_udp), "127.0.0.1:1");
	assert_string_equal(conf_origin(&conf, CONF_ID_work_max), in_folder("herd.conf.d/10-a.conf:3"));
	write_file("herd.conf.d/05.conf", "\n\nnonsense");
	write_file("herd.conf.d/99.conf", "[herd]\nfix-ttl = soon\n");
	assert_int_equal(load_from(&conf, "herd.conf"), CONF_E_INVALID);
	snprintf(expected, sizeof(expected),
		 "%s:3: no setting (expected NAME = VALUE)\n"
		 "%s:2: setting 'fix-ttl': 'soon' cannot be read (expected a duration from 0 to 36500d, such "
		 "as "
		 "500ms, 30s, 5min, 2h or 7d)\n",
		 in_folder("herd.conf.d/05.conf"), in_folder("herd.conf.d/99.conf"));
	assert_string_equal(said, expected);
}

/* --- mistakes of others --------------------------------------------------------- */

static char warned[16 * 1024];

static void
warn(void *user, const char *message)
{
	size_t len = strlen(warned);

	(void)user;
	snprintf(warned + len, sizeof(warned) - len, "%s\n", message);
}

static int
load_forgiving(struct conf *conf, const char *text, const char *member)
{
	struct text bytes = text_of(text);
	struct conf_source source = {
		.file = "x", .member = member, .forgive = true, .report = say, .warn = warn, .bytes = &bytes};

	said[0] = '\0';
	warned[0] = '\0';
	return conf_load(conf, &source);
}

/* One section must not stop all members; its own and the common ones do. */
static void
test_forgives(void **state)
{
	static const char text[] =
		"[member A]\nline-max = 600\n[member B]\nline-max = 1\n\n\nx\n[member ?]\n";
	static const char told[] =
		"x:4: setting 'line-max': 1 is out of range (expected a number of bytes from "
		"512 to 1M, such as 8192, 64k or 1M)\n"
		"x:7: no setting (expected NAME = VALUE)\n";
	static const char name[] = "x:8: section [member ?]: '?' is no name of a member (expected 1 to 23 "
				   "letters, digits, '-', '_' and '.')\n";
	CLEANUP(conf_done) struct conf conf = {0};
	char both[512];

	(void)state;
	snprintf(both, sizeof(both), "%s%s", told, name);
	assert_int_equal(load_forgiving(&conf, text, "A"), 0);
	assert_string_equal(said, "");
	assert_string_equal(warned, both);
	assert_int_equal(conf.line_max, 600);
	assert_int_equal(load_forgiving(&conf, text, NULL), 0);
	assert_string_equal(said, "");
	assert_string_equal(warned, both);
	assert_int_equal(load_forgiving(&conf, text, "B"), CONF_E_INVALID);
	assert_string_equal(said, told);
	assert_string_equal(warned, name);
	assert_int_equal(load_text(&conf, text_of(text), "A"),
			 CONF_E_INVALID); /* else everything must be right */
}

static void
test_does_not_forgive(void **state)
{
	static const char *const text[] = {"[herd]\nx\n", "x\n", "[nowhere]\n[member A]\n", "[member A\n",
					   "[member B]\n[member B]x\n"};
	CLEANUP(conf_done) struct conf conf = {0};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(text); i++) {
		assert_int_equal(load_forgiving(&conf, text[i], "A"), CONF_E_INVALID);
		assert_string_equal(warned, "");
		assert_string_not_equal(said, "");
	}
}

/* However much another one has wrong, what stops this one is told. */
static void
test_forgives_much(void **state)
{
	CLEANUP(conf_done) struct conf conf = {0};
	char text[8192] = "[member B]\n";

	(void)state;
	for (int i = 0; i < 1000; i++)
		memcpy(text + 11 + 2 * i, "x\n", 3);
	memcpy(text + 11 + 2000, "[member A]\ny\n", 14);
	assert_int_equal(load_forgiving(&conf, text, "A"), CONF_E_INVALID);
	assert_string_equal(said, "x:1003: no setting (expected NAME = VALUE)\n");
	assert_non_null(strstr(warned, "\nToo many errors, the rest is not shown\n"));
}

static void
check_unreadable(const char *name, const char *why)
{
	CLEANUP(conf_done) struct conf conf = {0};
	char expected[512];

	assert_int_equal(load_from(&conf, name), CONF_E_INVALID);
	snprintf(expected, sizeof(expected), "%s: %s\n", in_folder(name), why);
	assert_string_equal(said, expected);
}

static void
test_unreadable(void **state)
{
	CLEANUP(conf_done) struct conf conf = {0};
	struct conf_source source = {.file = "/dev/null", .report = say};

	(void)state;
	check_unreadable("missing.conf", "cannot be read: No such file or directory");
	check_unreadable("", "cannot be read: Is a directory");
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	check_unreadable("fifo", "neither a file nor a device (expected a file)"); /* and does not wait */
	write_file("large.conf", "");
	assert_int_equal(truncate(in_folder("large.conf"), READER_FILE_MAX + 1), 0);
	check_unreadable("large.conf", "the file is too large (expected at most 1048576 bytes)");
	write_file("full.conf", "# ");
	assert_int_equal(truncate(in_folder("full.conf"), READER_FILE_MAX), 0);
	check_unreadable("full.conf:1", "cannot be read: No such file or directory");
	assert_int_equal(load_from(&conf, "full.conf"), CONF_E_INVALID);
	assert_non_null(strstr(said, "full.conf:1: a NUL byte"));
	source.file = "/dev/zero";
	assert_int_equal(conf_load(&conf, &source), CONF_E_INVALID);
	source.file = "/dev/null";
	assert_int_equal(conf_load(&conf, &source), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_overpass_is_careful),
		cmocka_unit_test(test_services_wrong),
		cmocka_unit_test(test_services_refused),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_refuses_lines),
		cmocka_unit_test(test_refuses_settings),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_lists_add_up),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_forgives),
		cmocka_unit_test(test_does_not_forgive),
		cmocka_unit_test(test_forgives_much),
		cmocka_unit_test_setup_teardown(test_drop_ins, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_unreadable, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
