/* The one way data leaves herdctl: writer.c and its two formats. */
#include "unit.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ctl/writer.h"

/* A writer into memory. */
struct page {
	struct writer *w;
	FILE *file;
	char *bytes;
	size_t len;
};

static void
page_open(struct page *p, bool json, bool colour)
{
	struct writer_setup setup = {.colour = colour, .utf8 = true};

	p->bytes = NULL;
	p->file = open_memstream(&p->bytes, &p->len);
	assert_non_null(p->file);
	setup.file = p->file;
	assert_int_equal((json ? writer_new_json : writer_new_text)(&p->w, &setup), 0);
}

static void
page_close(struct page *p)
{
	p->w = writer_free(p->w);
	fclose(p->file);
	free(p->bytes);
}

static void
assert_page(struct page *p, const char *want)
{
	assert_int_equal(writer_done(p->w), 0);
	fflush(p->file);
	assert_string_equal(p->bytes, want);
}

/* White space is json-c's own business. */
static void
assert_page_json(struct page *p, const char *want)
{
	struct json_object *have = NULL, *wanted = json_tokener_parse(want);

	assert_int_equal(writer_done(p->w), 0);
	fflush(p->file);
	have = json_tokener_parse(p->bytes);
	assert_non_null(have);
	assert_true(json_object_equal(have, wanted));
	assert_int_equal(p->bytes[p->len - 1], '\n');
	json_object_put(have);
	json_object_put(wanted);
}

/* Of every value one. */
static void
write_document(struct writer *w)
{
	static const char *const words[] = {"one", "two"};

	writer_object_begin(w, NULL);
	writer_string(w, "state", "well");
	writer_strings(w, "notes", words, 2);
	writer_object_begin(w, "long_table");
	writer_size(w, "size", 1572864);
	writer_percent(w, "load", 1, 8);
	writer_count(w, "max", UINT64_MAX);
	writer_time(w, "created", 1621464827 * CLOCK_SECOND_NS + 5);
	writer_duration(w, "age", 90 * CLOCK_SECOND_NS);
	writer_object_end(w);
	writer_list_begin(w, "rows");
	for (int i = 8; i <= 10; i += 2) {
		writer_object_begin(w, NULL);
		writer_string(w, "name", i == 8 ? "a" : "bcdef");
		writer_count(w, "listens_on", (uint64_t)i);
		writer_bool(w, "alive", i == 8, "yes", "no");
		writer_none(w, "what");
		writer_details(w, true);
		writer_real(w, "latitude", -0.5, 2);
		writer_details(w, false);
		writer_object_end(w);
	}
	writer_list_end(w);
	writer_object_end(w);
}

static void
text_document(void **state)
{
	struct page p;

	(void)state;
	page_open(&p, false, false);
	write_document(p.w);
	assert_page(&p, "state  well\n"
			"notes  one\n"
			"notes  two\n"
			"long table\n"
			"  size     1.5 MiB\n"
			"  load     12.5 %\n"
			"  max      18446744073709551615\n"
			"  created  2021-05-19T22:53:47Z\n"
			"  age      1.5 min\n"
			"\n"
			"NAME   LISTENS ON  ALIVE  WHAT\n"
			"a               8  yes    -\n"
			"bcdef          10  no     -\n");
	page_close(&p);
}

static void
json_document(void **state)
{
	struct page p;

	(void)state;
	page_open(&p, true, false);
	write_document(p.w);
	assert_page_json(&p, "{\"state\": \"well\", \"notes\": [\"one\", \"two\"], \"long_table\":"
			     "{\"size\": 1572864, \"load\": 12.5, \"max\": 18446744073709551615,"
			     " \"created\": \"2021-05-19T22:53:47.000000005Z\", \"age\": 90.0}, \"rows\": ["
			     "{\"name\": \"a\", \"listens_on\": 8, \"alive\": true, \"what\": null,"
			     " \"latitude\": -0.5},"
			     "{\"name\": \"bcdef\", \"listens_on\": 10, \"alive\": false, \"what\": null,"
			     " \"latitude\": -0.5}]}");
	assert_non_null(strstr(p.bytes, "\"latitude\": -0.50"));
	page_close(&p);
}

static void
write_row(struct writer *w, const char *name)
{
	writer_object_begin(w, NULL);
	writer_string(w, "id", name);
	writer_count(w, "n", strlen(name));
	writer_object_end(w);
}

static void
json_stream(void **state)
{
	struct page p;

	(void)state;
	page_open(&p, true, false);
	writer_list_begin(p.w, NULL);
	write_row(p.w, "a");
	writer_flush(p.w);
	assert_string_equal(p.bytes, "{\"id\":\"a\",\"n\":1}\n"); /* before the next comes */
	write_row(p.w, "bb");
	writer_list_end(p.w);
	assert_page(&p, "{\"id\":\"a\",\"n\":1}\n{\"id\":\"bb\",\"n\":2}\n");
	page_close(&p);
}

/* Rows are printed window by window; a later row that is wider widens the rest only. */
static void
text_stream(void **state)
{
	struct page p;
	int lines = 0;

	(void)state;
	page_open(&p, false, false);
	writer_list_begin(p.w, NULL);
	for (int i = 0; i < WRITER_WINDOW; i++)
		write_row(p.w, "abc");
	writer_flush(p.w);
	for (const char *at = p.bytes; (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, WRITER_WINDOW + 1);
	write_row(p.w, "abcdef");
	write_row(p.w, "a");
	writer_list_end(p.w);
	assert_int_equal(writer_done(p.w), 0);
	assert_non_null(strstr(p.bytes, "ID   N\nabc  3\nabc  3\n"));
	assert_non_null(strstr(p.bytes, "abc  3\nabcdef  6\na       1\n"));
	page_close(&p);
}

/* One long value stands there whole, and the other rows do not pay for it. */
static void
long_value(void **state)
{
	char name[201], want[512];
	struct page p;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	page_open(&p, false, false);
	writer_list_begin(p.w, NULL);
	write_row(p.w, "abcdef");
	write_row(p.w, name);
	write_row(p.w, "a");
	writer_list_end(p.w);
	snprintf(want, sizeof(want), "ID        N\nabcdef    6\n%s  200\na         1\n", name);
	assert_page(&p, want);
	page_close(&p);
}

static void
empty(void **state)
{
	struct page p;

	(void)state;
	for (int json = 0; json < 2; json++) {
		page_open(&p, json, false);
		writer_list_begin(p.w, NULL);
		writer_list_end(p.w);
		assert_page(&p, "");
		page_close(&p);
		page_open(&p, json, false);
		writer_object_begin(p.w, NULL);
		writer_list_begin(p.w, "members");
		writer_list_end(p.w);
		writer_object_end(p.w);
		if (json)
			assert_page_json(&p, "{\"members\": []}");
		else
			assert_page(&p, "");
		page_close(&p);
	}
}

static void
colour(void **state)
{
	struct page p;

	(void)state;
	for (int on = 0; on < 2; on++) {
		page_open(&p, false, on);
		writer_object_begin(p.w, NULL);
		writer_style(p.w, WRITER_BAD);
		writer_string(p.w, "a", "b");
		writer_string(p.w, "c", "d");
		writer_object_end(p.w);
		assert_page(&p, on ? "\033[2ma\033[0m  \033[1;31mb\033[0m\n\033[2mc\033[0m  d\n"
				   : "a  b\nc  d\n");
		page_close(&p);
	}
}

/* Ids are bytes: no escape sequence gets through, no JSON is broken, nothing is lost. */
static void
hostile_bytes(void **state)
{
	static const char id[] = "\033]0;x\a\xff\"\\";
	struct json_object *have, *value;
	struct page p;

	(void)state;
	page_open(&p, false, false);
	writer_object_begin(p.w, NULL);
	writer_bytes(p.w, "id", "id_hex", TEXT(id));
	writer_object_end(p.w);
	assert_page(&p, "id  \\x1b]0;x\\x07\\xff\"\\\\\n");
	page_close(&p);

	page_open(&p, true, false);
	writer_object_begin(p.w, NULL);
	writer_bytes(p.w, "id", "id_hex", TEXT(id));
	writer_bytes(p.w, "other", "other_hex", TEXT("caf\xc3\xa9"));
	writer_object_end(p.w);
	assert_int_equal(writer_done(p.w), 0);
	have = json_tokener_parse(p.bytes);
	assert_true(json_object_object_get_ex(have, "id", &value));
	assert_string_equal(json_object_get_string(value), "\033]0;x\a\xef\xbf\xbd\"\\");
	assert_true(json_object_object_get_ex(have, "id_hex", &value));
	assert_string_equal(json_object_get_string(value), "1b5d303b7807ff225c");
	assert_false(json_object_object_get_ex(have, "other_hex", &value));
	json_object_put(have);
	page_close(&p);
}

static void
numbers(void **state)
{
	struct page p;

	(void)state;
	page_open(&p, false, false);
	writer_object_begin(p.w, NULL);
	writer_size(p.w, "a", 0);
	writer_size(p.w, "b", 1023);
	writer_size(p.w, "c", 1048575);
	writer_size(p.w, "d", UINT64_MAX);
	writer_percent(p.w, "e", 0, 0);
	writer_duration(p.w, "f", 3 * CLOCK_MSEC_NS);
	writer_duration(p.w, "g", -172800 * CLOCK_SECOND_NS);
	writer_real(p.w, "h", 1.0 / 0.0, 1);
	writer_time(p.w, "i", -1);
	writer_object_end(p.w);
	assert_page(
		&p,
		"a  0 B\nb  1023 B\nc  1.0 MiB\nd  16.0 EiB\ne  0.0 %\nf  3.0 ms\ng  -2.0 d\nh  -\ni  -\n");
	page_close(&p);
}

/* Never wider than five columns, and never rounded to another power of ten than the one it says. */
static void
short_numbers(void **state)
{
	static const struct {
		uint64_t value;
		const char *shown;
	} cases[] = {
		{0, "0"},
		{9999, "9999"},
		{10000, "10.0k"},
		{99949, "99.9k"},
		{99950, "100k"},
		{999499, "999k"},
		{999500, "1.00M"},
		{9994999, "9.99M"},
		{9995000, "10.0M"},
		{123456789, "123M"},
		{999500000000, "1.00T"},
		{UINT64_C(1) << 63, "9.22E"},
		{UINT64_MAX, "18.4E"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct page p;
		char line[32];

		page_open(&p, false, false);
		writer_object_begin(p.w, NULL);
		writer_short(p.w, "n", cases[i].value);
		writer_object_end(p.w);
		snprintf(line, sizeof(line), "n  %s\n", cases[i].shown);
		assert_page(&p, line);
		page_close(&p);
	}
}

/* Parsed JSON goes through; a fault on the way to the file is kept, and ends everything after it. */
static void
trees_and_faults(void **state)
{
	struct writer_setup setup = {.file = fopen("/dev/full", "w")};
	struct writer *w;
	struct page p;

	(void)state;
	for (int json = 0; json < 2; json++) {
		page_open(&p, json, false);
		writer_object_begin(p.w, NULL);
		writer_json(p.w, "places", json_tokener_parse("{\"status\":\"\xff\"}"));
		writer_object_end(p.w);
		if (json)
			assert_page_json(&p, "{\"places\": {\"status\": \"\xef\xbf\xbd\"}}");
		else
			assert_page(&p, "");
		page_close(&p);
	}
	assert_non_null(setup.file);
	assert_int_equal(writer_new_json(&w, &setup), 0);
	writer_list_begin(w, NULL);
	write_row(w, "a");
	writer_flush(w);
	assert_int_equal(writer_fault(w), -ENOSPC);
	writer_object_begin(w, NULL);
	writer_json(w, "places", json_object_new_object());
	writer_object_end(w);
	writer_list_end(w);
	assert_int_equal(writer_done(w), -ENOSPC);
	writer_free(w);
	fclose(setup.file);
}

/* Somebody else's reply: as it came, unless a terminal would obey it. */
static void
verbatim(void **state)
{
	static const struct text json = {"{\"a\":\"\xc2\x9b\"}", 10};
	struct page p;

	(void)state;
	for (int terminal = 0; terminal < 2; terminal++) {
		struct writer_setup setup = {.terminal = terminal, .utf8 = true};

		p.bytes = NULL;
		setup.file = p.file = open_memstream(&p.bytes, &p.len);
		assert_int_equal(writer_new_text(&p.w, &setup), 0);
		writer_verbatim(p.w, TEXT("? \033\\"), false);
		writer_verbatim(p.w, json, true);
		assert_page(&p, terminal ? "? \\x1b\\\n{\"a\":\"\\u009b\"}\n"
					 : "? \033\\\n{\"a\":\"\xc2\x9b\"}\n");
		page_close(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_document), cmocka_unit_test(json_document),
		cmocka_unit_test(json_stream),	 cmocka_unit_test(text_stream),
		cmocka_unit_test(empty),	 cmocka_unit_test(colour),
		cmocka_unit_test(hostile_bytes), cmocka_unit_test(numbers),
		cmocka_unit_test(short_numbers), cmocka_unit_test(trees_and_faults),
		cmocka_unit_test(verbatim),	 cmocka_unit_test(long_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
