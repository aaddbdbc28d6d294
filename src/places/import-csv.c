/*
 * Import, CSV: rows under a header that names the columns, with commas,
 * semicolons or tabs between them, quoted as RFC 4180 says. A quoted field may
 * hold line ends, so a record is found before it is split: a quote that is
 * never closed costs its own line, not the rest of the file.
 */
#include <errno.h>
#include <string.h>

#include "places/import-private.h"

enum { COLUMNS_MAX = 256, NO_COLUMN = COLUMNS_MAX };

struct csv {
	struct import *im;
	char delimiter;
	size_t columns;
	size_t column[IMPORT_FIELDS]; /* NO_COLUMN: the header has none */
};

/* --- records ------------------------------------------------------------------ */

/* How far a quoted field goes that begins at w.at[at]: past its closing quote, or w.len. */
static size_t
quoted_end(struct text w, size_t at)
{
	for (at++; at < w.len; at++) {
		const char *quote = memchr(w.at + at, '"', w.len - at);

		if (!quote)
			break;
		at = (size_t)(quote - w.at) + 1;
		if (at == w.len || w.at[at] != '"') /* else it is doubled */
			return at;
	}
	return w.len;
}

/*
 * Length of the record at the front of w, its line end included; 0 when it
 * goes on past w. Why it is malformed, in *ret_why: then it is the first line.
 */
static size_t
record_length(const struct csv *c, struct text w, bool is_all, const char **ret_why)
{
	const char *lf = memchr(w.at, '\n', w.len);
	size_t first = lf ? (size_t)(lf - w.at) + 1 : is_all ? w.len : 0;
	size_t at = 0;

	*ret_why = NULL;
	if (w.len && w.at[0] == '#') /* a comment, whatever quotes are in it */
		return first;
	while (at < w.len) {
		if (w.at[at] == '"') {
			at = quoted_end(w, at);
			if (at == w.len && !is_all)
				return 0;
			if (at == w.len && w.at[at - 1] != '"')
				goto unclosed;
			if (at < w.len && w.at[at] != c->delimiter && w.at[at] != '\r' && w.at[at] != '\n') {
				*ret_why = "text after a closing quote";
				return first;
			}
		}
		while (at < w.len && w.at[at] != c->delimiter && w.at[at] != '\n')
			at++;
		if (at == w.len)
			return is_all ? w.len : 0;
		if (w.at[at++] == '\n')
			return at;
	}
	return is_all ? w.len : 0;
unclosed:
	*ret_why = "a quote is never closed";
	return first;
}

/* Takes the next record from the window, without its line end. */
static int
next_record(struct csv *c, struct text *ret, const char **ret_why)
{
	struct input *in = &c->im->in;
	bool is_all = in->at_end;

	in->record_line = in->line;
	for (;;) {
		struct text w = input_window(in);
		size_t len = record_length(c, w, is_all, ret_why);
		int r;

		if (len > 0) {
			input_take(in, len);
			*ret = (struct text){w.at, len};
			while (ret->len && (ret->at[ret->len - 1] == '\n' || ret->at[ret->len - 1] == '\r'))
				ret->len--;
			return 0;
		}
		if (is_all)
			return INPUT_E_END;
		r = input_fill(in);
		if (r < 0)
			return r;
		if (r == INPUT_E_FULL) { /* longer than a record may be: at most its line is lost */
			*ret_why = "a row longer than a megabyte, or a quote that is never closed";
			r = input_line(in, ret);
			return r == INPUT_E_FULL ? 0 : r;
		}
		is_all = r == INPUT_E_END;
	}
}

/* Takes the quotes off a field, in place. */
static struct text
unquote(struct text t)
{
	char *out = (char *)(uintptr_t)t.at; /* the window's bytes, which are ours */
	size_t used = 0;

	if (t.len < 2 || t.at[0] != '"')
		return t;
	for (size_t i = 1; i + 1 < t.len; i++) {
		out[used++] = t.at[i];
		if (t.at[i] == '"') /* doubled */
			i++;
	}
	return (struct text){out, used};
}

/* As import_split(), but delimiters inside quotes do not count. */
static size_t
split_record(const struct csv *c, struct text record, struct text *fields)
{
	size_t count = 0;

	for (;;) {
		size_t quoted = record.len && record.at[0] == '"' ? quoted_end(record, 0) : 0;
		const char *end = memchr(record.at + quoted, c->delimiter, record.len - quoted);
		size_t len = end ? (size_t)(end - record.at) : record.len;

		if (count < COLUMNS_MAX)
			fields[count] = (struct text){record.at, len};
		count++;
		if (!end)
			return count;
		record.at += len + 1;
		record.len -= len + 1;
	}
}

/* --- header ---------------------------------------------------------------------- */

static int
missing_column(const struct csv *c)
{
	static const enum import_field required[] = {IMPORT_NAME, IMPORT_LAT, IMPORT_LON};

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		if (c->column[required[i]] == NO_COLUMN)
			return (int)required[i];
	return -1;
}

static void
read_header(struct csv *c, struct text line)
{
	struct text fields[COLUMNS_MAX];

	for (size_t i = 0; i < IMPORT_FIELDS; i++)
		c->column[i] = NO_COLUMN;
	c->columns = split_record(c, line, fields);
	for (size_t i = 0; i < c->columns && i < COLUMNS_MAX; i++) {
		struct text name = text_trim(fields[i]);
		enum import_field field;

		if (name.len >= 2 && name.at[0] == '"' && name.at[name.len - 1] == '"')
			name = (struct text){name.at + 1, name.len - 2};
		field = import_field_called(text_trim(name));
		if (field < IMPORT_FIELDS && c->column[field] == NO_COLUMN)
			c->column[field] = i;
	}
}

/* The delimiter under which the header names all that is needed. */
static int
find_header(struct csv *c)
{
	static const char delimiters[] = {'\t', ';', ','};
	static const char *const names[] = {[IMPORT_NAME] = "'name'",
					    [IMPORT_LAT] = "'lat' or 'latitude'",
					    [IMPORT_LON] = "'lon', 'lng' or 'longitude'"};
	struct text line;
	int missing = IMPORT_NAME;
	int r;

	r = import_line(c->im, &line);
	if (r == INPUT_E_END)
		return import_fail(c->im, IMPORT_E_NO_ROWS, "nothing in '%s'", c->im->options->input);
	if (r != 0)
		return r;
	for (size_t i = 0; i < sizeof(delimiters); i++) {
		c->delimiter = delimiters[i];
		read_header(c, line);
		if (missing_column(c) < 0)
			break;
		/* Tell what the best of them misses. */
		if (missing_column(c) > missing)
			missing = missing_column(c);
	}
	if (missing_column(c) >= 0)
		return import_fail(
			c->im, IMPORT_E_FORMAT,
			"neither GeoNames nor GeoJSON, and no column called %s in the header at line %llu",
			names[missing], (unsigned long long)c->im->in.record_line);
	if (c->columns > COLUMNS_MAX)
		return import_fail(c->im, IMPORT_E_FORMAT, "%zu columns, of which %d can be read", c->columns,
				   COLUMNS_MAX);
	return 0;
}

/* --- rows --------------------------------------------------------------------------- */

static struct text
field_of(const struct csv *c, const struct text *fields, enum import_field field)
{
	return c->column[field] == NO_COLUMN ? TEXT("") : fields[c->column[field]];
}

static int
add_row(struct csv *c, struct text record)
{
	uint64_t line = c->im->in.record_line;
	struct text fields[COLUMNS_MAX];
	size_t count = split_record(c, record, fields);
	struct places_row row;
	const char *why;

	if (count != c->columns) {
		import_complain(c->im, line, "%zu columns where the header has %zu", count, c->columns);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		fields[i] = unquote(fields[i]);
	row.name = field_of(c, fields, IMPORT_NAME);
	row.id = field_of(c, fields, IMPORT_ID);
	row.types = field_of(c, fields, IMPORT_TYPES);
	row.vicinity = field_of(c, fields, IMPORT_VICINITY);
	if (text_trim(row.vicinity).len == 0)
		row.vicinity = field_of(c, fields, IMPORT_COUNTRY);
	why = import_parse_degrees(field_of(c, fields, IMPORT_LAT), 90, &row.lat_e7);
	if (why) {
		import_complain(c->im, line, "the latitude %s", why);
		return 0;
	}
	why = import_parse_degrees(field_of(c, fields, IMPORT_LON), 180, &row.lon_e7);
	if (why) {
		import_complain(c->im, line, "the longitude %s", why);
		return 0;
	}
	why = import_parse_prominence(field_of(c, fields, IMPORT_PROMINENCE), &row.prominence);
	if (why) {
		import_complain(c->im, line, "the prominence %s", why);
		return 0;
	}
	return import_add(c->im, line, &row);
}

int
import_csv(struct import *im)
{
	struct csv c = {.im = im};
	struct text record;
	const char *why;
	int r;

	r = find_header(&c);
	if (r != 0)
		return r;
	for (;;) {
		r = import_step(im);
		if (r == 0)
			r = next_record(&c, &record, &why);
		if (r == 0 && why) {
			import_complain(im, im->in.record_line, "%s", why);
			continue;
		}
		if (r == 0 && (text_trim(record).len == 0 || record.at[0] == '#'))
			continue;
		if (r == 0)
			r = add_row(&c, record);
		if (r != 0)
			return r == INPUT_E_END ? 0 : r;
	}
}
