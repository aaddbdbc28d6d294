/*
 * Fuzzes the generator: any bytes as herd.conf. What comes out is a program
 * for the service manager, so it is read here the way that one reads it: only
 * directives the generator means to write, whole lines, no specifier, names
 * that stay in their folder, and no address that two members have.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "generator/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): what it checks must also run in a build without it. */
#define CHECK(x) ((x) ? (void)0 : abort())

static void
on_report(void *user, const char *message)
{
	char again[8192];

	(void)user;
	CHECK(utf8_escape(text_of(message), again, sizeof(again)) == strlen(message)); /* fit to print */
}

static bool
begins(struct text t, const char *with)
{
	size_t len = strlen(with);

	return t.len >= len && memcmp(t.at, with, len) == 0;
}

/* --- one line of a unit ------------------------------------------------------------------ */

/* Specifiers are always "%%"; nothing ends or continues the line. */
static void
check_value(struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		CHECK((unsigned char)t.at[i] >= ' ' && t.at[i] != 0x7f && t.at[i] != '\\');
		if (t.at[i] == '%') {
			CHECK(i + 1 < t.len && t.at[i + 1] == '%');
			i++;
		}
	}
	CHECK(utf8_valid(t));
}

static void
check_line(struct text line, const char *kind)
{
	static const char *const keys[][8] = {
		{"stream", "SourcePath=/", "BindIPv6Only=ipv6-only", "ListenStream="},
		{"datagram", "SourcePath=/", "BindIPv6Only=ipv6-only", "ListenDatagram="},
		{"service", "SourcePath=/", "Sockets=herd-udp@",
		 "MemoryMax=", "LimitNOFILE=", "Description=Herd member "},
	};
	bool known = false;

	check_value(line);
	if (line.at[0] == '#' || line.at[0] == '[') {
		CHECK(begins(line, "# herd-generator made this") || text_equal(line, TEXT("[Unit]")) ||
		      text_equal(line, kind[1] == 'e' ? TEXT("[Service]") : TEXT("[Socket]")));
		return;
	}
	for (size_t i = 0; i < 3; i++)
		for (size_t k = 1; strcmp(keys[i][0], kind) == 0 && k < 8 && keys[i][k]; k++)
			known |= begins(line, keys[i][k]);
	CHECK(known);
}

/* --- addresses ------------------------------------------------------------------------------ */

struct seen {
	struct text value; /* "ListenStream=127.0.0.1:12000" */
	size_t entry;
};

static struct seen seen[1 << 16];
static size_t seen_count;

static void
see(struct text line, size_t entry)
{
	struct text value = line;
	struct address a;
	const char *equals = memchr(line.at, '=', line.len);

	if (!begins(line, "Listen") || equals == line.at + line.len - 1)
		return;
	value = (struct text){equals + 1, (size_t)(line.at + line.len - equals) - 1};
	CHECK(value.at[0] == '/' || (address_parse(value, &a) == 0 && address_port(&a) != 0));
	for (size_t i = 0; i < seen_count; i++)
		CHECK(seen[i].entry == entry || !text_equal(seen[i].value, line));
	if (seen_count < sizeof(seen) / sizeof(seen[0]))
		seen[seen_count++] = (struct seen){line, entry};
}

static void
check_pair(const struct conf_addresses *a, const struct conf_addresses *b, bool same)
{
	for (size_t i = 0; i < a->count; i++)
		for (size_t k = 0; k < b->count; k++)
			CHECK((same && i == k) || !address_clashes(&a->at[i], &b->at[k]));
}

static void
check_clashes(const struct conf_roster *roster)
{
	for (size_t i = 0; i < roster->count && i < 50; i++)
		for (size_t k = 0; k <= i; k++) {
			const struct conf_entry *a = &roster->at[i], *b = &roster->at[k];

			if (a->left_out || b->left_out)
				continue;
			check_pair(&a->conf.listen, &b->conf.listen, i == k);
			check_pair(&a->conf.udp, &b->conf.udp, i == k);
		}
}

/* --- items ------------------------------------------------------------------------------------ */

static void
check_file(const struct plan_item *item)
{
	struct text rest = text_of(item->text);
	const char *kind = begins(text_of(item->path), "herd-udp@") ? "datagram"
			   : strstr(item->path, ".socket.d/")	    ? "stream"
								    : "service";

	CHECK(rest.len > 0 && rest.at[rest.len - 1] == '\n');
	while (rest.len > 0) {
		const char *end = memchr(rest.at, '\n', rest.len);
		struct text line = {rest.at, (size_t)(end - rest.at)};

		CHECK(line.len > 0);
		check_line(line, kind);
		see(line, item->entry);
		rest = (struct text){end + 1, rest.len - line.len - 1};
	}
}

static void
check_item(const struct conf_roster *roster, const struct plan_item *item)
{
	const char *slash = strchr(item->path, '/');

	CHECK(item->entry < roster->count && slash && !strchr(slash + 1, '/') && strstr(item->path, "@"));
	CHECK(strstr(item->path, roster->at[item->entry].name));
	CHECK(item->path[0] == 'h' && slash[1] != '.' && slash[1] != '\0');
	if (item->text)
		check_file(item);
	else
		CHECK(begins(text_of(item->target), HERD_UNITDIR "/herd") &&
		      !roster->at[item->entry].left_out);
}

/* --- secrets ----------------------------------------------------------------------------------- */

/* What systemd makes of it: the path itself, and nothing else of the line. */
static void
check_secret(struct text line, const char *front, const char *path)
{
	CHECK(begins(line, front));
	line = (struct text){line.at + strlen(front), line.len - strlen(front)};
	for (; *path; path++) {
		CHECK(line.len > 0 && line.at[0] == *path && (unsigned char)*path >= ' ' && *path != '\\');
		if (*path == '%') {
			CHECK(line.len > 1 && line.at[1] == '%');
			line = (struct text){line.at + 1, line.len - 1};
		}
		line = (struct text){line.at + 1, line.len - 1};
	}
	CHECK(line.len == 0);
}

static void
check_secrets(const struct conf *conf)
{
	CLEANUP(plan_done) struct plan plan = {0};
	const char *key = plan_path_fits(conf->flood_tls_dir) ? conf->flood_tls_dir : NULL;
	const char *psk = plan_path_fits(conf->flood_psk_file) ? conf->flood_psk_file : NULL;
	const struct plan_secret secrets[] = {{"flood.key", key}, {"flood.psk", psk}};
	struct text rest;
	size_t number = 0;

	CHECK(plan_add_secrets(&plan, PLAN_HELPER, secrets, 2) == 0);
	CHECK(plan.count == (key || psk));
	if (!plan.count)
		return;
	CHECK(plan.at[0].entry == PLAN_HELPER &&
	      strcmp(plan.at[0].path, "herd-flood.service.d/50-herd.conf") == 0);
	for (rest = text_of(plan.at[0].text); rest.len > 0; number++) {
		const char *end = memchr(rest.at, '\n', rest.len);
		struct text line = {rest.at, end ? (size_t)(end - rest.at) : 0};

		CHECK(end && number < 4);
		if (number == 0)
			CHECK(begins(line, "# herd-generator "));
		else if (number == 1)
			CHECK(text_equal(line, TEXT("[Service]")));
		else if (number == 2 && key)
			check_secret(line, "LoadCredential=flood.key:", key);
		else
			check_secret(line, "LoadCredential=flood.psk:", psk);
		rest = (struct text){end + 1, rest.len - line.len - 1};
	}
	CHECK(number == 2 + (size_t)(key != NULL) + (size_t)(psk != NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(conf_roster_done) struct conf_roster roster = {0};
	CLEANUP(plan_done) struct plan plan = {0};
	struct text bytes = {(const char *)data, size};
	const struct conf_source source = {.file = "/x", .bytes = &bytes, .report = on_report};

	seen_count = 0;
	CHECK(conf_roster_load(&roster, &source) == 0);
	CHECK(plan_make(&plan, &roster) == 0);
	for (size_t i = 0; i < plan.count; i++)
		check_item(&roster, &plan.at[i]);
	for (size_t i = 0; i < roster.count; i++)
		CHECK(!roster.at[i].left_out || *roster.at[i].left_out);
	check_clashes(&roster);
	check_secrets(&roster.conf);
	return 0;
}
