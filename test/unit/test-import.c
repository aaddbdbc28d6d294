/*
 * Tests of places/import.h: the three formats, what is told about bad rows,
 * and that a failed import leaves the old file alone.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/places.h"
#include "places/import.h"

static char folder[] = "/tmp/test-import.XXXXXX";
static char input[sizeof(folder) + 16];
static char output[sizeof(folder) + 16];

static struct import_report report;
static char complaints[8192]; /* one a line */
static unsigned int told;     /* times progress() was called */
static int stop_after;	      /* ... and when it says stop; 0: never */

static void
complain(void *arg, const char *text)
{
	size_t used = strlen(complaints);

	assert_ptr_equal(arg, &report);
	assert_memory_equal(text, input, strlen(input));
	snprintf(complaints + used, sizeof(complaints) - used, "%s\n", text + strlen(input) + 1);
}

static int
progress(void *arg, uint64_t bytes, uint64_t total, uint64_t rows)
{
	assert_ptr_equal(arg, &report);
	assert_true(bytes <= total || total == 0);
	assert_true(rows <= report.rows_good);
	told++;
	return stop_after && (int)told >= stop_after;
}

static int
import_input(enum import_format format)
{
	struct import_options options = {
		.input = input,
		.output = output,
		.format = format,
		.complain = complain,
		.progress = progress,
		.arg = &report,
	};
	int r;

	complaints[0] = '\0';
	told = 0;
	r = import_file(&options, &report);
	assert_int_equal(r == 0, report.why[0] == '\0');
	assert_string_equal(report.output, output);
	assert_true(report.seconds >= 0);
	return r;
}

static void
write_input(const char *bytes, size_t len)
{
	FILE *file = fopen(input, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static int
import_bytes(const char *bytes, size_t len)
{
	write_input(bytes, len);
	return import_input(IMPORT_SNIFF);
}

static int
import_text(const char *text)
{
	return import_bytes(text, strlen(text));
}

/* All places of the output, the most prominent first. */
static void
read_output(struct places_found *ret, char *attribution)
{
	struct places_query q = {0, 0, 30000, PLACES_BOUND_MAX, PLACES_PROMINENCE};
	struct places *p;

	assert_int_equal(places_open(&p, output), 0);
	assert_int_equal(places_count(p), report.rows_good);
	assert_int_equal(places_nearby(p, &q, ret), 0);
	if (attribution)
		sprintf(attribution, "%.*s", (int)places_attribution(p).len, places_attribution(p).at);
	places_free(p);
}

static void
check_place(const struct place *p, const char *name, const char *types, const char *vicinity, int32_t lat_e7,
	    int32_t lon_e7, uint32_t prominence)
{
	assert_text_equal(p->name, text_of(name));
	assert_text_equal(p->types, text_of(types));
	assert_text_equal(p->vicinity, text_of(vicinity));
	assert_int_equal(p->lat_e7, lat_e7);
	assert_int_equal(p->lon_e7, lon_e7);
	assert_int_equal(p->prominence, prominence);
}

/* --- GeoNames ------------------------------------------------------------------- */

static void
test_geonames_whole(void **state)
{
	static const char rows[] =
		"# from a dump\n"
		"5392528\tSanta Monica\tSanta "
		"Monica\tSM,\"x\t34.01949\t-118.49138\tP\tPPLA2\tUS\t\tCA\t037\t\t\t93220\t"
		"32\t32\tAmerica/Los_Angeles\t2019-02-26\n"
		"3004\tLouvre\tLouvre\t\t48.86\t2.3376\tS\tMUS\tFR\t\t11\t75\t\t\t0\t\t35\tEurope/"
		"Paris\t2012-01-01\r\n"
		"12\tSome Hill\tSome Hill\t\t-1.5\t-2\tT\tHLL\t\t\t\t\t\t\t-99\t\t3\t\t2012-01-01\n"
		"13\tSomething\tSomething\t\t1\t2\tS\tBLDG\tDE\t\t00\t\t\t\t7\t\t3\t\t2012-01-01";
	struct places_found found;
	char attribution[256];

	(void)state;
	assert_int_equal(import_text(rows), 0);
	assert_int_equal(report.format, IMPORT_GEONAMES);
	assert_int_equal(report.rows_good, 4);
	assert_int_equal(report.rows_bad, 0);
	assert_int_equal(report.bytes, sizeof(rows) - 1);
	read_output(&found, attribution);
	assert_string_equal(attribution, "Contains data from GeoNames (https://www.geonames.org), CC BY 4.0");
	assert_int_equal(found.count, 4);
	check_place(&found.place[0], "Santa Monica", "locality", "CA, US", 340194900, -1184913800, 93220);
	assert_text_equal(found.place[0].id, TEXT("geonames:5392528"));
	check_place(&found.place[1], "Something", "", "DE", 10000000, 20000000, 7);
	check_place(&found.place[2], "Some Hill", "natural_feature", "", -15000000, -20000000, 0);
	check_place(&found.place[3], "Louvre", "museum", "FR", 488600000, 23376000, 0);
}

static void
test_geonames_few_columns(void **state)
{
	struct places_found found;

	(void)state;
	assert_int_equal(import_text("3041563\tAndorra la Vella\t42.50779\t1.52109\tAD\t07\tPPLC\t20430\n"
				     "7\t\"Quoted\" \t42\t1\tAD\tENG\tPPLX\t9\n"),
			 0);
	assert_int_equal(report.format, IMPORT_GEONAMES);
	read_output(&found, NULL);
	check_place(&found.place[0], "Andorra la Vella", "locality", "AD", 425077900, 15210900, 20430);
	check_place(&found.place[1], "\"Quoted\"", "sublocality", "ENG, AD", 420000000, 10000000, 9);
}

static void
test_geonames_bad_rows(void **state)
{
	(void)state;
	assert_int_equal(import_text("1\tA\t1\t2\tAD\t07\tPPLC\t1\n"
				     "\n"
				     "2\tB\t91\t2\tAD\t07\tPPLC\t1\n"
				     "3\tC\t1\t-180.5\tAD\t07\tPPLC\t1\n"
				     "4\tD\tnorth\t2\tAD\t07\tPPLC\t1\n"
				     "x\tE\t1\t2\tAD\t07\tPPLC\t1\n"
				     "6\t \t1\t2\tAD\t07\tPPLC\t1\n"
				     "7\tG\t1\t2\tAD\t07\tPPLC\tmany\n"
				     "8\tH\t1\t2\n"
				     "9\tI\xff\t1\t2\tAD\t07\tPPLC\t1\n"),
			 0);
	assert_int_equal(report.rows_good, 1);
	assert_int_equal(report.rows_bad, 8);
	assert_string_equal(complaints, "3: the latitude is out of range\n"
					"4: the longitude is out of range\n"
					"5: the latitude is not a number of degrees\n"
					"6: the first column is no geonameid\n"
					"7: no name\n"
					"8: the population is not a number\n"
					"9: 4 columns where GeoNames has 19, or 8\n"
					"10: not UTF-8\n");
}

/* --- CSV --------------------------------------------------------------------------- */

static void
test_csv(void **state)
{
	struct places_found found;
	char attribution[256];

	(void)state;
	assert_int_equal(import_text("\xef\xbb\xbf# places\r\n"
				     "ID,Name,\"Latitude\",LNG,type,population,address,note\r\n"
				     "a,\"The \"\"Big\"\" One, really\",+34.5,-118,Museum ; art gallery|x,9,"
				     "\"1 Main St,\r\nTown\",\r\n"
				     "\r\n"
				     "#b,\"not this\r\n"
				     ",M\303\274ller's,-0.00000005,1e2,,8,,x\r\n"),
			 0);
	assert_int_equal(report.format, IMPORT_CSV);
	assert_int_equal(report.rows_good, 2);
	assert_string_equal(complaints, "");
	read_output(&found, attribution);
	assert_string_equal(attribution, "");
	check_place(&found.place[0], "The \"Big\" One, really", "Museum,art_gallery,x", "1 Main St, Town",
		    345000000, -1180000000, 9);
	assert_text_equal(found.place[0].id, TEXT("a"));
	check_place(&found.place[1], "M\303\274ller's", "", "", -1, 1000000000, 8);
	assert_memory_equal(found.place[1].id.at, "local:", 6);
}

static void
test_csv_delimiters(void **state)
{
	struct places_found found;

	(void)state;
	assert_int_equal(import_text("name;lat;lon;country;vicinity\nA, b;48,5;9,25;DE;\n"), 0);
	read_output(&found, NULL);
	check_place(&found.place[0], "A, b", "", "DE", 485000000, 92500000, 0);
	assert_int_equal(import_text("lon\tlat\tmetro\tname\ttype\tcountry\tvicinity\n"
				     "9.25\t48.5\tstuttgart\tA \"b\" c\tpark\tDE\tBaden\n"),
			 0);
	read_output(&found, NULL);
	check_place(&found.place[0], "A \"b\" c", "park", "Baden", 485000000, 92500000, 0);
}

static void
test_csv_bad_rows(void **state)
{
	struct places_found found;

	(void)state;
	assert_int_equal(import_text("name,lat,lon,prominence\n"
				     "A,1,2,3\n"
				     "B,1,2\n"
				     "C,1,2,3,4\n"
				     "D,,2,3\n"
				     "E,1,two,3\n"
				     "\"F\" x,1,2,3\n"
				     "G,1,2,\"1,234\"\n"
				     "\"\",1,2,3\n"
				     "H,1,2,99999999999\n"
				     "\"I,1,2,3\n"
				     "J,1,2,4\n"),
			 0);
	assert_string_equal(complaints, "3: 3 columns where the header has 4\n"
					"4: 5 columns where the header has 4\n"
					"5: the latitude is not a number of degrees\n"
					"6: the longitude is not a number of degrees\n"
					"7: text after a closing quote\n"
					"8: the prominence is not a number\n"
					"9: no name\n"
					"11: a quote is never closed\n");
	assert_int_equal(report.rows_good, 3);
	assert_int_equal(report.rows_bad, 8);
	read_output(&found, NULL);
	assert_true(found.place[0].prominence == UINT32_MAX);
	assert_text_equal(found.place[1].name, TEXT("J"));
}

static void
test_csv_headers(void **state)
{
	(void)state;
	assert_int_equal(import_text("lat,lon\n1,2\n"), IMPORT_E_FORMAT);
	assert_non_null(strstr(report.why, "no column called 'name'"));
	assert_int_equal(import_text("# x\n\nname;latitude;height\nA;1;2\n"), IMPORT_E_FORMAT);
	assert_non_null(strstr(report.why, "no column called 'lon', 'lng' or 'longitude'"));
	assert_non_null(strstr(report.why, "line 3"));
	assert_int_equal(import_text(""), IMPORT_E_NO_ROWS);
	assert_int_equal(import_text("\n\n# nothing\n"), IMPORT_E_NO_ROWS);
	assert_int_equal(import_text("name,lat,lon\n"), IMPORT_E_NO_ROWS);
	assert_int_equal(import_text("name,lat,lon"), IMPORT_E_NO_ROWS);
	assert_int_equal(import_text("hello"), IMPORT_E_FORMAT);
}

static void
test_numbers(void **state)
{
	static const struct {
		const char *text;
		int32_t e7;
	} good[] = {
		{"0", 0},
		{"-0", 0},
		{"90", 900000000},
		{"-90.0000000", -900000000},
		{"+1.5", 15000000},
		{".5", 5000000},
		{"5.", 50000000},
		{" 7 ", 70000000},
		{"0.00000004999", 0},
		{"0.00000005", 1},
		{"-0.00000005", -1},
		{"12.345678949999999999999999999999999", 123456789},
		{"1e1", 100000000},
		{"1.5E-05", 150},
		{"900000000000000000000000e-22", 900000000},
		{"0.00000000000000000000000009e27", 900000000},
		{"1e-9999", 0},
		{"0e9999", 0},
	};
	static const char *const bad[] = {"",
					  "+",
					  "-",
					  "x",
					  "1x",
					  "--1",
					  "1.2.3",
					  "1e",
					  "1e+",
					  "e1",
					  "1e99999",
					  "nan",
					  "inf",
					  "0x10",
					  "1 2",
					  "90.0000001",
					  "91",
					  "1e300",
					  "99999999999999999999"};
	char row[128];

	(void)state;
	for (size_t i = 0; i < ELEMENTS(good); i++) {
		struct places_found found;

		snprintf(row, sizeof(row), "name\tlat\tlon\nA\t%s\t0\n", good[i].text);
		assert_int_equal(import_text(row), 0);
		read_output(&found, NULL);
		assert_int_equal(found.place[0].lat_e7, good[i].e7);
	}
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		snprintf(row, sizeof(row), "name\tlat\tlon\nA\t%s\t0\n", bad[i]);
		assert_int_equal(import_text(row), IMPORT_E_NO_ROWS);
		assert_int_equal(report.rows_bad, 1);
	}
}

/* A field may go on over what has been read so far, and a row has a ceiling. */
static void
test_csv_long_rows(void **state)
{
	enum { LEN = 5 << 20 };
	CLEANUP(cleanup_free) char *big = malloc(LEN + 100);
	struct places_found found;
	char *at = big;

	(void)state;
	assert_non_null(big);
	at = stpcpy(at, "name,note,lat,lon\nA,\"");
	memset(at, '\n', 1000000);
	at = stpcpy(at + 1000000, "\",1,2\nB,");
	memset(at, 'x', 3 << 20);
	at = stpcpy(at + (3 << 20), ",1,2\nC,\"");
	memset(at, 'y', 1 << 20);
	at = stpcpy(at + (1 << 20), "\nD,,3,4\n");
	assert_int_equal(import_bytes(big, (size_t)(at - big)), 0);
	read_output(&found, NULL);
	assert_int_equal(found.count, 2);
	assert_string_equal(complaints,
			    "1000003: a row longer than a megabyte, or a quote that is never closed\n"
			    "1000004: a row longer than a megabyte, or a quote that is never closed\n");
}

/* --- GeoJSON ---------------------------------------------------------------------------- */

#define POINT(lon, lat, properties)                                                            \
	"{\"type\":\"Feature\",\"geometry\":{\"type\":\"Point\",\"coordinates\":[" lon "," lat \
	"]},\"properties\":" properties "}"

static void
test_geojson_collection(void **state)
{
	static const char text[] =
		"{ \"type\": \"FeatureCollection\",\n"
		"  \"crs\": {\"features\": [1, {\"type\": \"none]}\"}]},\n"
		"  \"features\" : [\n"
		"    " POINT(
			"-118.4431", "34.073",
			"{\"name\":\"Fowler \\\"M\\\"\",\"type\":\"museum\",\"prominence\":7.5,\"id\":12,"
			"\"address\":\"UCLA\",\"tags\":{\"name\":\"not this\"}}") ",\n"
										  "    "
										  "{\"id\":\"node/"
										  "1\",\"type\":\"Feature\","
										  "\"properties\":{\"name\":"
										  "\"\\u00e9\",\"types\":["
										  "\"park\",\"x\"],"
										  "\"country\":\"US\","
										  "\"population\":\"6\","
										  "\"extra\":null},"
										  "\"geometry\":{"
										  "\"coordinates\":[180,-90,"
										  "5],"
										  "\"type\":\"Point\"}}\n"
										  "  ],\n  \"name\": "
										  "\"after\", \"more\": "
										  "[{\"type\":\"Feature\"}]"
										  "\n}\n";
	struct places_found found;

	(void)state;
	assert_int_equal(import_text(text), 0);
	assert_string_equal(complaints, "");
	assert_int_equal(report.format, IMPORT_GEOJSON);
	assert_int_equal(report.rows_good, 2);
	read_output(&found, NULL);
	check_place(&found.place[0], "Fowler \"M\"", "museum", "UCLA", 340730000, -1184431000, 8);
	assert_text_equal(found.place[0].id, TEXT("12"));
	check_place(&found.place[1], "\303\251", "park,x", "US", -900000000, 1800000000, 6);
	assert_text_equal(found.place[1].id, TEXT("node/1"));
}

static void
test_geojson_lines(void **state)
{
	struct places_found found;

	(void)state;
	assert_int_equal(
		import_text(POINT(
			"1", "2",
			"{\"name\":\"A\",\"prominence\":2}") "\n"
							     "{\"type\":\"Feature\"\n"
							     "\n"
							     "\x1e" POINT("1", "2",
									  "{\"name\":\"B\",\"prominence\":"
									  "1}") "\r\n"
										"nonsense\n" POINT(
											"1", "2",
											"{\"name\":\"C\"}")),
		0);
	assert_int_equal(report.rows_good, 3);
	assert_int_equal(report.rows_bad, 2);
	assert_memory_equal(complaints, "2: ", 3);
	assert_non_null(strstr(complaints, "\n5: "));
	read_output(&found, NULL);
	assert_text_equal(found.place[1].name, TEXT("B"));
	/* Record separators first; one feature alone, on one line and on many. */
	assert_int_equal(import_text("\x1e" POINT("1", "2", "{\"name\":\"A\"}") "\n"), 0);
	assert_int_equal(import_text(POINT("1", "2", "{\"name\":\"A\"}")), 0);
	assert_int_equal(
		import_text(
			"{\"type\":\"Feature\",\n\"geometry\":{\"type\":\"Point\",\"coordinates\":[1,2]},\n"
			"\"properties\":{\"name\":\"A\"}}\n"),
		0);
}

static void
test_geojson_bad_features(void **state)
{
	(void)state;
	assert_int_equal(
		import_text("{\"features\":[\n" POINT("1", "2", "{\"name\":\"A\"}") ",\n" POINT(
			"1", "91",
			"{\"name\":\"B\"}") ",\n" POINT("\"1\"", "2",
							"{\"name\":\"C\"}") ",\n" POINT("1", "2",
											"null") ",\n"
												"{\"type\":"
												"\"Feature\","
												"\"geometry\""
												":null,"
												"\"properties"
												"\":{"
												"\"name\":"
												"\"E\"}},\n"
												"{\"type\":"
												"\"Feature\","
												"\"geometry\""
												":{\"type\":"
												"\"LineString"
												"\"},"
												"\"properties"
												"\":{}},\n"
												"{\"type\":"
												"\"Nature\"},"
												"\n"
												"{\"type\":'"
												"Feature'},\n"
												"[1],\n"
												"{\"type\":"
												"\"Feature\","
												"\"geometry\""
												":{\"type\":"
												"\"Point\","
												"\"coordinate"
												"s\":[1]}},"
												"\n" POINT(
													"1e99"
													"9",
													"2",
													"{\"n"
													"ame"
													"\":"
													"\"K"
													"\"}") "\n]}"),
		0);
	assert_int_equal(report.rows_good, 1);
	assert_int_equal(report.rows_bad, 10);
	assert_memory_equal(complaints,
			    "3: the latitude is out of range\n4: the coordinates are no numbers\n", 62);
	assert_non_null(strstr(complaints, "\n5: no name\n6: the geometry is not a Point\n"
					   "7: the geometry is not a Point\n8: not a GeoJSON feature\n9: "));
}

static void
test_geojson_broken(void **state)
{
	char deep[400];
	char *at;

	(void)state;
	assert_int_equal(import_text("{\"features\":[" POINT("1", "2", "{\"name\":\"A\"}") ",{\"type\":"), 0);
	assert_string_equal(complaints, "1: the file ends inside an object\n");
	assert_int_equal(import_text("{\"features\":[]}"), IMPORT_E_NO_ROWS);
	assert_int_equal(import_text("{\"features\":[{\"type\":\"Feat"), IMPORT_E_NO_ROWS);
	assert_string_equal(complaints, "1: the file ends inside a string\n");
	assert_int_equal(import_text("{}]}]"), IMPORT_E_NO_ROWS);
	assert_int_equal(import_text("{"), IMPORT_E_NO_ROWS);
	/* Nested deeper than is parsed. */
	at = stpcpy(deep, "{\"features\":[{\"type\":");
	memset(at, '[', 100);
	memset(at + 100, ']', 100);
	stpcpy(at + 200, "}," POINT("1", "2", "{\"name\":\"A\"}") "]}");
	assert_int_equal(import_text(deep), 0);
	assert_int_equal(report.rows_good, 1);
	assert_int_equal(report.rows_bad, 1);
}

static void
test_geojson_long_feature(void **state)
{
	enum { LEN = 3 << 20 };
	CLEANUP(cleanup_free) char *big = malloc(2 * LEN + 500);
	char *at = big;

	(void)state;
	assert_non_null(big);
	at = stpcpy(at, "{\"about\":\"");
	memset(at, '[', LEN);
	at = stpcpy(at + LEN, "\",\"features\":[{\"type\":\"Feature\",\"x\":\"");
	memset(at, '\n', LEN);
	at = stpcpy(at + LEN, "\"}," POINT("1", "2", "{\"name\":\"A\"}") "]}");
	assert_int_equal(import_bytes(big, (size_t)(at - big)), 0);
	assert_int_equal(report.rows_good, 1);
	assert_string_equal(complaints, "1: a feature longer than 1048576 bytes\n");
	/* Two of them, and nothing else. */
	at = stpcpy(big, "{\"type\":\"");
	memset(at, 'x', LEN);
	stpcpy(at + LEN, "\"}\n");
	assert_int_equal(import_text(big), IMPORT_E_NO_ROWS);
	assert_int_equal(report.rows_bad, 1);
}

/* --- all formats --------------------------------------------------------------------------- */

static void
test_complaints_are_few(void **state)
{
	char rows[64 * 20];
	char *at = stpcpy(rows, "name,lat,lon\nA,1,2\n");
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 50; i++)
		at = stpcpy(at, "B,x,y\n");
	assert_int_equal(import_text(rows), 0);
	assert_int_equal(report.rows_bad, 50);
	for (const char *lf = complaints; (lf = strchr(lf, '\n')); lf++)
		lines++;
	assert_int_equal(lines, IMPORT_COMPLAINTS_MAX);
}

static void
test_old_file_stays(void **state)
{
	struct places_found found;

	(void)state;
	assert_int_equal(import_text("name,lat,lon\nold,1,2\n"), 0);
	assert_int_equal(import_text("name,lat,lon\nnew,x,2\n"), IMPORT_E_NO_ROWS);
	assert_non_null(strstr(report.why, "no good row"));
	report.rows_good = 1;
	read_output(&found, NULL);
	assert_text_equal(found.place[0].name, TEXT("old"));
	assert_int_equal(import_text("name,lat,lon\nnew,1,2\n"), 0);
	read_output(&found, NULL);
	assert_text_equal(found.place[0].name, TEXT("new"));
}

static void
test_foreign_formats(void **state)
{
	(void)state;
	assert_int_equal(import_text("\xfd"
				     "7zXZ..."),
			 IMPORT_E_FORMAT);
	assert_non_null(strstr(report.why, "xz -dc"));
	assert_int_equal(import_text("\x1f\x8b\x08"), IMPORT_E_FORMAT);
	assert_int_equal(import_text("PK\x03\x04"), IMPORT_E_FORMAT);
	assert_int_equal(import_bytes("\xff\xfen\0a\0", 6), IMPORT_E_FORMAT);
	assert_non_null(strstr(report.why, "UTF-16"));
	assert_int_equal(import_text("name,lat,lon\nA,1,2\n"), 0);
	assert_int_equal(rename(output, input), 0);
	assert_int_equal(import_input(IMPORT_SNIFF), IMPORT_E_FORMAT);
	assert_string_equal(report.why, "the file is a places file already");
}

static void
test_format_is_obeyed(void **state)
{
	(void)state;
	write_input("1\tA\t1\t2\tAD\t07\tPPLC\t1\n", 21);
	assert_int_equal(import_input(IMPORT_CSV), IMPORT_E_FORMAT);
	assert_int_equal(import_input(IMPORT_GEOJSON), IMPORT_E_NO_ROWS);
	assert_int_equal(import_input(IMPORT_GEONAMES), 0);
	for (enum import_format f = IMPORT_SNIFF; f <= IMPORT_GEOJSON; f++) {
		enum import_format parsed;

		assert_int_equal(import_format_parse(text_of(import_format_name(f)), &parsed), 0);
		assert_int_equal(parsed, f);
	}
	assert_int_equal(import_format_parse(TEXT("xml"), &(enum import_format){0}), -EINVAL);
}

static void
test_files_that_are_not_there(void **state)
{
	struct import_options options = {.input = "/nonexistent/in", .output = output};

	(void)state;
	assert_int_equal(import_file(&options, &report), -ENOENT);
	assert_string_equal(report.why, "cannot open '/nonexistent/in': No such file or directory");
	options.input = folder;
	assert_int_equal(import_file(&options, &report), -EISDIR);
	assert_non_null(strstr(report.why, "cannot read"));
	write_input("name,lat,lon\nA,1,2\n", 19);
	options.input = input;
	options.output = "/nonexistent/out";
	assert_int_equal(import_file(&options, &report), -ENOENT);
	assert_string_equal(report.why, "cannot write '/nonexistent/out': No such file or directory");
}

static void
test_attribution(void **state)
{
	struct import_options options = {.input = input, .output = output, .attribution = "(c) us"};
	char longest[300] = "";
	struct places_found found;
	char attribution[256];

	(void)state;
	write_input("1\tA\t1\t2\tAD\t07\tPPLC\t1\n", 21);
	assert_int_equal(import_file(&options, &report), 0);
	read_output(&found, attribution);
	assert_string_equal(attribution, "(c) us");
	memset(longest, 'x', sizeof(longest) - 1);
	options.attribution = longest;
	assert_int_equal(import_file(&options, &report), -EINVAL);
}

static void
test_progress_and_stop(void **state)
{
	enum { ROWS = 200000 };
	FILE *file = fopen(input, "we");

	(void)state;
	assert_non_null(file);
	fprintf(file, "name,lat,lon\n");
	for (int i = 0; i < ROWS; i++)
		fprintf(file, "place %d,%d.%d,%d\n", i, i % 90, i, i % 180);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(import_input(IMPORT_SNIFF), 0);
	assert_int_equal(report.rows_good, ROWS);
	assert_true(told >= 4 && told < 100);
	assert_true(report.file_bytes > ROWS * 28);
	unlink(output);
	stop_after = 2;
	assert_int_equal(import_input(IMPORT_SNIFF), IMPORT_E_CANCELED);
	stop_after = 0;
	assert_int_equal(access(output, F_OK), -1);
}

/* "-" is standard input, and a pipe gives what it has. */
static void
test_from_a_pipe(void **state)
{
	struct import_options options = {.input = "-", .output = output};
	int fds[2];
	int old = dup(STDIN_FILENO);

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "name,lat,lon\nA,1,2\nB,3,4", 24), 24);
	close(fds[1]);
	assert_int_equal(dup2(fds[0], STDIN_FILENO), STDIN_FILENO);
	close(fds[0]);
	assert_int_equal(import_file(&options, &report), 0);
	assert_int_equal(report.rows_good, 2);
	dup2(old, STDIN_FILENO);
	close(old);
}

static int
make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(input, sizeof(input), "%s/rows", folder);
	snprintf(output, sizeof(output), "%s/places", folder);
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	unlink(input);
	unlink(output);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_geonames_whole),
		cmocka_unit_test(test_geonames_few_columns),
		cmocka_unit_test(test_geonames_bad_rows),
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_csv_delimiters),
		cmocka_unit_test(test_csv_bad_rows),
		cmocka_unit_test(test_csv_headers),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_csv_long_rows),
		cmocka_unit_test(test_geojson_collection),
		cmocka_unit_test(test_geojson_lines),
		cmocka_unit_test(test_geojson_bad_features),
		cmocka_unit_test(test_geojson_broken),
		cmocka_unit_test(test_geojson_long_feature),
		cmocka_unit_test(test_complaints_are_few),
		cmocka_unit_test(test_old_file_stays),
		cmocka_unit_test(test_foreign_formats),
		cmocka_unit_test(test_format_is_obeyed),
		cmocka_unit_test(test_files_that_are_not_there),
		cmocka_unit_test(test_attribution),
		cmocka_unit_test(test_progress_and_stop),
		cmocka_unit_test(test_from_a_pipe),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
