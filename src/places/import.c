/*
 * Import: the way of every row into a places file, whatever format it came in.
 *
 * Nothing is trusted: a row that is wrong is counted and the first ones are
 * told with file and line; the file is written only when at least one was
 * right, and replaces the old one at the very end.
 */
#include "places/import.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "places/import-private.h"

enum {
	PROGRESS_EVERY = 1 << 20, /* bytes */
	TIDY_MAX = 1024,	  /* bytes looked at of a text of which 255 are kept */
};

static const struct {
	const char *name;
	int (*read)(struct import *im);
	const char *attribution;
} formats[] = {
	[IMPORT_SNIFF] = {"auto", NULL, NULL},
	[IMPORT_GEONAMES] = {"geonames", import_geonames,
			     "Contains data from GeoNames (https://www.geonames.org), CC BY 4.0"},
	[IMPORT_CSV] = {"csv", import_csv, NULL},
	[IMPORT_GEOJSON] = {"geojson", import_geojson, NULL},
};

const char *
import_format_name(enum import_format format)
{
	return formats[format].name;
}

int
import_format_parse(struct text name, enum import_format *ret)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (text_equal(name, text_of(formats[i].name))) {
			*ret = (enum import_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* --- telling ------------------------------------------------------------------ */

void
import_complain(struct import *im, uint64_t line, const char *reason, ...)
{
	char text[512];
	va_list args;
	int len;

	if (im->report->rows_bad++ >= IMPORT_COMPLAINTS_MAX || !im->options->complain)
		return;
	len = snprintf(text, 256, "%s:%llu: ", im->options->input, (unsigned long long)line);
	if (len > 255)
		len = 255;
	va_start(args, reason);
	vsnprintf(text + len, sizeof(text) - (size_t)len, reason, args);
	va_end(args);
	im->options->complain(im->options->arg, text);
}

int
import_fail(struct import *im, int code, const char *why, ...)
{
	va_list args;

	va_start(args, why);
	vsnprintf(im->report->why, sizeof(im->report->why), why, args);
	va_end(args);
	return code;
}

static int
tell_progress(struct import *im)
{
	if (!im->options->progress)
		return 0;
	if (im->options->progress(im->options->arg, im->in.taken, im->total, im->report->rows_good) == 0)
		return 0;
	return import_fail(im, IMPORT_E_CANCELED, "canceled");
}

int
import_step(struct import *im)
{
	if (im->in.taken < im->next_progress)
		return 0;
	im->next_progress = im->in.taken + PROGRESS_EVERY;
	return tell_progress(im);
}

/* --- texts and numbers ----------------------------------------------------------- */

size_t
import_split(struct text line, char delimiter, struct text *fields, size_t max)
{
	size_t count = 0;

	for (;;) {
		const char *end = memchr(line.at, delimiter, line.len);
		size_t len = end ? (size_t)(end - line.at) : line.len;

		if (count < max)
			fields[count] = (struct text){line.at, len};
		count++;
		if (!end)
			return count;
		line.at += len + 1;
		line.len -= len + 1;
	}
}

/* A decimal number as digits * 10^exponent, exact to 18 digits. */
struct decimal {
	bool negative;
	uint64_t digits;
	int exponent;
};

static bool
parse_exponent(struct text t, int *exponent)
{
	bool negative = t.len && t.at[0] == '-';
	int value = 0;

	if (t.len && (t.at[0] == '-' || t.at[0] == '+')) {
		t.at++;
		t.len--;
	}
	if (t.len == 0 || t.len > 4)
		return false;
	for (size_t i = 0; i < t.len; i++) {
		if (!text_is_digit(t.at[i]))
			return false;
		value = value * 10 + (t.at[i] - '0');
	}
	*exponent += negative ? -value : value;
	return true;
}

static bool
parse_decimal(struct text t, bool comma, struct decimal *ret)
{
	struct decimal d = {.negative = t.len && t.at[0] == '-'};
	bool point = false, any = false;
	size_t i = t.len && (t.at[0] == '-' || t.at[0] == '+') ? 1 : 0;

	if (t.len > 64)
		return false;
	for (; i < t.len; i++) {
		if (text_is_digit(t.at[i])) {
			bool kept = d.digits < UINT64_C(100000000000000000);

			any = true;
			if (kept)
				d.digits = d.digits * 10 + (uint64_t)(t.at[i] - '0');
			d.exponent += kept ? -point : !point;
		} else if ((t.at[i] == '.' || (comma && t.at[i] == ',')) && !point) {
			point = true;
		} else {
			break;
		}
	}
	if (!any)
		return false;
	*ret = d;
	if (i == t.len)
		return true;
	return (t.at[i] == 'e' || t.at[i] == 'E') &&
	       parse_exponent((struct text){t.at + i + 1, t.len - i - 1}, &ret->exponent);
}

/* digits * 10^exponent, rounded half away from zero; UINT64_MAX when that is too much. */
static uint64_t
scale(uint64_t digits, int exponent)
{
	uint64_t divisor = 1;

	if (digits == 0)
		return 0;
	for (; exponent > 0; exponent--) {
		if (digits > UINT64_MAX / 10)
			return UINT64_MAX;
		digits *= 10;
	}
	if (exponent < -18)
		return 0;
	for (; exponent < 0; exponent++)
		divisor *= 10;
	return digits / divisor + (divisor > 1 && digits % divisor >= divisor / 2);
}

const char *
import_parse_degrees(struct text t, unsigned int limit, int32_t *ret_e7)
{
	struct decimal d;
	uint64_t e7;

	if (!parse_decimal(text_trim(t), true, &d))
		return "is not a number of degrees";
	e7 = scale(d.digits, d.exponent + 7);
	if (e7 > (uint64_t)limit * 10000000)
		return "is out of range";
	*ret_e7 = d.negative ? -(int32_t)e7 : (int32_t)e7;
	return NULL;
}

const char *
import_parse_prominence(struct text t, uint32_t *ret)
{
	struct decimal d;
	uint64_t value;

	t = text_trim(t);
	if (t.len == 0) {
		*ret = 0;
		return NULL;
	}
	if (!parse_decimal(t, false, &d)) /* 1,234 would be 1 */
		return "is not a number";
	value = d.negative ? 0 : scale(d.digits, d.exponent);
	*ret = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
	return NULL;
}

/* Runs of white space and control characters become one space; none at the ends. */
static struct text
tidy(struct text t, char out[TIDY_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < t.len && used < TIDY_MAX - 1; i++) {
		unsigned char c = (unsigned char)t.at[i];

		if (c > ' ' && c != 0x7f)
			out[used++] = (char)c;
		else if (used && out[used - 1] != ' ')
			out[used++] = ' ';
	}
	if (used && out[used - 1] == ' ')
		used--;
	return (struct text){out, used};
}

/* "Museum ; park|x" is museum,park,x: the first is the place's own type. */
static struct text
tidy_types(struct text t, char out[TIDY_MAX])
{
	size_t used = 0;

	t = tidy(t, out);
	for (size_t i = 0; i < t.len; i++) {
		char c = out[i];

		if (c == ';' || c == '|')
			c = ',';
		if (c == ' ' && (used == 0 || out[used - 1] == ',' || strchr(",;|", out[i + 1])))
			continue;
		out[used++] = c == ' ' ? '_' : c;
	}
	return (struct text){out, used};
}

enum import_field
import_field_called(struct text name)
{
	static const struct {
		const char *name;
		enum import_field field;
	} names[] = {
		{"name", IMPORT_NAME},
		{"lat", IMPORT_LAT},
		{"latitude", IMPORT_LAT},
		{"lon", IMPORT_LON},
		{"lng", IMPORT_LON},
		{"longitude", IMPORT_LON},
		{"type", IMPORT_TYPES},
		{"types", IMPORT_TYPES},
		{"country", IMPORT_COUNTRY},
		{"prominence", IMPORT_PROMINENCE},
		{"population", IMPORT_PROMINENCE},
		{"vicinity", IMPORT_VICINITY},
		{"address", IMPORT_VICINITY},
		{"id", IMPORT_ID},
		{"place_id", IMPORT_ID},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i].name) == name.len && strncasecmp(names[i].name, name.at, name.len) == 0)
			return names[i].field;
	return IMPORT_FIELDS;
}

/* --- rows --------------------------------------------------------------------------- */

int
import_add(struct import *im, uint64_t line, const struct places_row *row)
{
	char name[TIDY_MAX], id[TIDY_MAX], types[TIDY_MAX], vicinity[TIDY_MAX];
	struct places_row tidied = *row;
	int r;

	/* Before anything is cut: half a character is no UTF-8. */
	if (!utf8_valid(row->name) || !utf8_valid(row->id) || !utf8_valid(row->types) ||
	    !utf8_valid(row->vicinity)) {
		import_complain(im, line, "not UTF-8");
		return 0;
	}
	tidied.name = tidy(row->name, name);
	tidied.id = tidy(row->id, id);
	tidied.types = tidy_types(row->types, types);
	tidied.vicinity = tidy(row->vicinity, vicinity);
	if (tidied.name.len == 0) {
		import_complain(im, line, "no name");
		return 0;
	}
	if (tidied.id.len > PLACES_TEXT_MAX) {
		import_complain(im, line, "the id is longer than %d bytes", PLACES_TEXT_MAX);
		return 0;
	}
	r = places_build_add(im->build, &tidied);
	if (r < 0)
		return import_fail(im, r, "cannot keep %llu places in memory",
				   (unsigned long long)im->report->rows_good + 1);
	im->report->rows_good++;
	return 0;
}

int
import_line(struct import *im, struct text *ret)
{
	for (;;) {
		struct text line;
		int r = import_step(im);

		if (r == 0)
			r = input_line(&im->in, &line);
		if (r == INPUT_E_FULL) {
			import_complain(im, im->in.record_line, "a line longer than %d bytes",
					INPUT_RECORD_MAX);
			continue;
		}
		if (r != 0)
			return r;
		if (text_trim(line).len == 0 || line.at[0] == '#')
			continue;
		*ret = line;
		return 0;
	}
}

/* --- what is it ------------------------------------------------------------------------ */

static const char *
foreign_format(struct text w)
{
	static const struct {
		struct text begins;
		const char *why;
	} known[] = {
		{TEXT("\xfd"
		      "7zXZ"),
		 "the file is compressed (xz): unpack it first, for example with xz -dc"},
		{TEXT("\x1f\x8b"), "the file is compressed (gzip): unpack it first, for example with zcat"},
		{TEXT("BZh"), "the file is compressed (bzip2): unpack it first, for example with bzcat"},
		{TEXT("\x28\xb5\x2f\xfd"),
		 "the file is compressed (zstd): unpack it first, for example with zstdcat"},
		{TEXT("PK\x03\x04"), "the file is a zip archive: unpack it first, for example with unzip -p"},
		{TEXT("\xff\xfe"), "the file is UTF-16: convert it to UTF-8 first, for example with iconv"},
		{TEXT("\xfe\xff"), "the file is UTF-16: convert it to UTF-8 first, for example with iconv"},
		{TEXT("HERDPL"), "the file is a places file already"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (w.len >= known[i].begins.len &&
		    memcmp(w.at, known[i].begins.at, known[i].begins.len) == 0)
			return known[i].why;
	return NULL;
}

/* The first line that says something; empty when there is none among what has been read. */
static struct text
first_line(struct text w)
{
	while (w.len) {
		const char *lf = memchr(w.at, '\n', w.len);
		struct text line = {w.at, lf ? (size_t)(lf - w.at) : w.len};

		if (text_trim(line).len && line.at[0] != '#')
			return line;
		w.at += line.len + (lf ? 1 : 0);
		w.len -= line.len + (lf ? 1 : 0);
	}
	return w;
}

static bool
looks_like_geonames(struct text line)
{
	struct text fields[19];
	size_t count = import_split(line, '\t', fields, 19);
	size_t lat = count == 19 ? 4 : 2;
	int32_t e7;

	return (count == 19 || count == 8) && fields[0].len && text_is_digit(fields[0].at[0]) &&
	       !import_parse_degrees(fields[lat], 90, &e7) &&
	       !import_parse_degrees(fields[lat + 1], 180, &e7);
}

static enum import_format
sniff(struct text w)
{
	struct text line = text_trim(first_line(w));

	if (line.len && (line.at[0] == '{' || line.at[0] == '\x1e'))
		return IMPORT_GEOJSON;
	return looks_like_geonames(first_line(w)) ? IMPORT_GEONAMES : IMPORT_CSV;
}

/* Reads enough to know what it is; a byte order mark is dropped. */
static int
import_begin(struct import *im)
{
	const char *foreign;
	struct stat st;
	int r = 0;

	if (fstat(im->in.fd, &st) == 0 && S_ISREG(st.st_mode))
		im->total = (uint64_t)st.st_size;
	while (r == 0 && !memchr(input_window(&im->in).at, '\n', input_window(&im->in).len))
		r = input_fill(&im->in);
	if (r < 0)
		return import_fail(im, r, "cannot read '%s': %s", im->options->input, strerror(-r));
	foreign = foreign_format(input_window(&im->in));
	if (foreign)
		return import_fail(im, IMPORT_E_FORMAT, "%s", foreign);
	if (input_window(&im->in).len >= 3 && memcmp(input_window(&im->in).at, "\xef\xbb\xbf", 3) == 0)
		input_take(&im->in, 3);
	while (r == 0 && !first_line(input_window(&im->in)).len)
		r = input_fill(&im->in);
	if (r < 0)
		return import_fail(im, r, "cannot read '%s': %s", im->options->input, strerror(-r));
	im->report->format = im->options->format != IMPORT_SNIFF ? im->options->format
								 : sniff(input_window(&im->in));
	return 0;
}

/* --- all of it ----------------------------------------------------------------------------- */

static int
import_rows(struct import *im)
{
	int r = import_begin(im);

	if (r == 0)
		r = formats[im->report->format].read(im);
	im->report->bytes = im->in.taken + (im->in.end - im->in.start);
	if (r < 0 && !im->report->why[0])
		return import_fail(im, r, "cannot read '%s': %s", im->options->input, strerror(-r));
	if (r == 0)
		r = tell_progress(im);
	if (r == 0 && im->report->rows_good == 0)
		return import_fail(im, IMPORT_E_NO_ROWS, "no good row in '%s'", im->options->input);
	return r;
}

static int
import_write(struct import *im)
{
	const char *attribution = im->options->attribution;
	struct stat st;
	int r;

	if (!attribution)
		attribution = formats[im->report->format].attribution;
	r = places_build_set_attribution(im->build, text_of(attribution ? attribution : ""));
	if (r < 0)
		return import_fail(im, r, "the attribution is longer than %d bytes", PLACES_TEXT_MAX);
	r = places_build_write(im->build, im->options->output);
	if (r < 0)
		return import_fail(im, r, "cannot write '%s': %s", im->options->output, strerror(-r));
	if (stat(im->options->output, &st) == 0)
		im->report->file_bytes = (uint64_t)st.st_size;
	return 0;
}

static void
import_done(struct import *im)
{
	input_done(&im->in);
	places_build_free(im->build);
}

static int
import_all(const struct import_options *options, struct import_report *report)
{
	CLEANUP(import_done) struct import im = {.options = options, .report = report, .in = {.fd = -1}};
	int r;

	r = input_open(&im.in, options->input);
	if (r < 0)
		return import_fail(&im, r, "cannot open '%s': %s", options->input, strerror(-r));
	r = places_build_new(&im.build);
	if (r < 0)
		return import_fail(&im, r, "out of memory");
	r = import_rows(&im);
	if (r != 0)
		return r;
	return import_write(&im);
}

int
import_file(const struct import_options *options, struct import_report *ret_report)
{
	int64_t began_ns = clock_monotonic_ns();
	int r;

	*ret_report = (struct import_report){.format = options->format, .output = options->output};
	r = import_all(options, ret_report);
	ret_report->seconds = (double)(clock_monotonic_ns() - began_ns) / 1e9;
	return r;
}
