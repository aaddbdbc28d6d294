/*
 * Import, GeoJSON (RFC 7946): points, either in a FeatureCollection or one
 * feature a line (RFC 8142, with or without its record separators).
 *
 * A collection may be gigabytes, so json-c never sees more than one feature: a
 * scanner that knows strings and nesting only finds where each begins and
 * ends. A line that is no feature costs that line only.
 */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "places/import-private.h"

enum {
	NESTING_MAX = 32, /* of one feature: json-c recurses */
	KEY_MAX = 16,
};

#define RECORD_SEPARATOR '\x1e'

/* --- one feature -------------------------------------------------------------- */

/* A value as text; empty for what has none. Lives as long as the object. */
static struct text
text_of_json(struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_string:
		return (struct text){json_object_get_string(value),
				     (size_t)json_object_get_string_len(value)};
	case json_type_int:
	case json_type_double:
		return text_of(json_object_get_string(value));
	default:
		return TEXT("");
	}
}

/* ["museum","park"] as museum,park. */
static struct text
join_strings(struct json_object *array, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct text t = text_of_json(json_object_array_get_idx(array, i));

		if (t.len == 0 || t.len + 1 > size - used)
			continue;
		if (used)
			out[used++] = ',';
		memcpy(out + used, t.at, t.len);
		used += t.len;
	}
	return (struct text){out, used};
}

static const char *
read_position(struct json_object *feature, struct places_row *row)
{
	struct json_object *geometry, *type, *coordinates, *lon, *lat;
	double x, y;

	if (!json_object_object_get_ex(feature, "geometry", &geometry) ||
	    !json_object_object_get_ex(geometry, "type", &type) ||
	    !text_equal(text_of_json(type), TEXT("Point")))
		return "the geometry is not a Point";
	if (!json_object_object_get_ex(geometry, "coordinates", &coordinates) ||
	    !json_object_is_type(coordinates, json_type_array) || json_object_array_length(coordinates) < 2)
		return "no coordinates";
	lon = json_object_array_get_idx(coordinates, 0);
	lat = json_object_array_get_idx(coordinates, 1);
	if ((!json_object_is_type(lon, json_type_double) && !json_object_is_type(lon, json_type_int)) ||
	    (!json_object_is_type(lat, json_type_double) && !json_object_is_type(lat, json_type_int)))
		return "the coordinates are no numbers";
	x = json_object_get_double(lon);
	y = json_object_get_double(lat);
	if (!(x >= -180 && x <= 180))
		return "the longitude is out of range";
	if (!(y >= -90 && y <= 90))
		return "the latitude is out of range";
	row->lon_e7 = (int32_t)lrint(x * 1e7);
	row->lat_e7 = (int32_t)lrint(y * 1e7);
	return NULL;
}

/* What a feature says, by the names that CSV columns have. */
struct properties {
	struct text field[IMPORT_FIELDS];
	char types[1024];
};

static void
read_properties(struct json_object *feature, struct properties *p)
{
	struct json_object *properties, *id;

	for (size_t i = 0; i < IMPORT_FIELDS; i++)
		p->field[i] = TEXT("");
	if (json_object_object_get_ex(feature, "id", &id))
		p->field[IMPORT_ID] = text_of_json(id);
	if (!json_object_object_get_ex(feature, "properties", &properties) ||
	    !json_object_is_type(properties, json_type_object))
		return;
	json_object_object_foreach(properties, key, value)
	{
		enum import_field field = import_field_called(text_of(key));
		struct text text = field == IMPORT_TYPES && json_object_is_type(value, json_type_array)
					   ? join_strings(value, p->types, sizeof(p->types))
					   : text_of_json(value);

		if (field < IMPORT_FIELDS && text.len)
			p->field[field] = text;
	}
}

static int
add_feature(struct import *im, uint64_t line, struct json_object *feature)
{
	struct properties p;
	struct places_row row;
	struct json_object *type;
	const char *why;

	if (!json_object_is_type(feature, json_type_object) ||
	    !json_object_object_get_ex(feature, "type", &type) ||
	    !text_equal(text_of_json(type), TEXT("Feature"))) {
		import_complain(im, line, "not a GeoJSON feature");
		return 0;
	}
	read_properties(feature, &p);
	row.name = p.field[IMPORT_NAME];
	row.id = p.field[IMPORT_ID];
	row.types = p.field[IMPORT_TYPES];
	row.vicinity = p.field[p.field[IMPORT_VICINITY].len ? IMPORT_VICINITY : IMPORT_COUNTRY];
	why = read_position(feature, &row);
	if (why) {
		import_complain(im, line, "%s", why);
		return 0;
	}
	why = import_parse_prominence(p.field[IMPORT_PROMINENCE], &row.prominence);
	if (why) {
		import_complain(im, line, "the prominence %s", why);
		return 0;
	}
	return import_add(im, line, &row);
}

static void
free_tokener(struct json_tokener **tokener)
{
	if (*tokener)
		json_tokener_free(*tokener);
}

static void
free_object(struct json_object **object)
{
	json_object_put(*object);
}

/* NULL, and why, when it is not one whole JSON value. */
static struct json_object *
parse(struct json_tokener *tokener, struct text t, const char **ret_why)
{
	struct json_object *object;
	enum json_tokener_error error;

	json_tokener_reset(tokener);
	object = json_tokener_parse_ex(tokener, t.at, (int)t.len);
	error = json_tokener_get_error(tokener);
	if (error == json_tokener_success && json_tokener_get_parse_end(tokener) == t.len)
		return object;
	json_object_put(object);
	*ret_why = error == json_tokener_success    ? "more than one JSON value"
		   : error == json_tokener_continue ? "the JSON ends too early"
						    : json_tokener_error_desc(error);
	return NULL;
}

static int
add_text(struct import *im, struct json_tokener *tokener, uint64_t line, struct text t)
{
	CLEANUP(free_object) struct json_object *object = NULL;
	const char *why = "not a GeoJSON feature";

	object = parse(tokener, t, &why);
	if (!object) {
		import_complain(im, line, "%s", why);
		return 0;
	}
	return add_feature(im, line, object);
}

/* --- one feature a line --------------------------------------------------------- */

static struct text
strip_separator(struct text line)
{
	line = text_trim(line);
	if (line.len && line.at[0] == RECORD_SEPARATOR) {
		line.at++;
		line.len--;
	}
	return text_trim(line);
}

static int
read_lines(struct import *im, struct json_tokener *tokener)
{
	struct text line;
	int r;

	while ((r = import_line(im, &line)) == 0) {
		line = strip_separator(line);
		if (line.len)
			r = add_text(im, tokener, im->in.record_line, line);
		if (r != 0)
			return r;
	}
	return r == INPUT_E_END ? 0 : r;
}

/* Is the first line a whole feature? Nothing is taken. */
static bool
is_by_lines(struct import *im, struct json_tokener *tokener)
{
	CLEANUP(free_object) struct json_object *object = NULL;
	struct text w = input_window(&im->in);
	const char *lf = memchr(w.at, '\n', w.len);
	struct json_object *type;
	const char *why;

	if (w.len && w.at[0] == RECORD_SEPARATOR)
		return true;
	if (!lf)
		return false;
	object = parse(tokener, strip_separator((struct text){w.at, (size_t)(lf - w.at)}), &why);
	return object && json_object_is_type(object, json_type_object) &&
	       json_object_object_get_ex(object, "type", &type) &&
	       text_equal(text_of_json(type), TEXT("Feature"));
}

/* --- a collection ------------------------------------------------------------------ */

/* Finds features by nesting alone. */
struct scanner {
	struct import *im;
	struct json_tokener *tokener;
	uint64_t depth;
	bool in_string, escaped;
	bool in_features;  /* inside the array of that name */
	bool had_features; /* so the whole object is no feature itself */
	bool is_kept;	   /* the window begins with the feature under way */
	bool too_long;
	size_t at;     /* bytes of the window looked at */
	uint64_t line; /* where the feature begins */
	size_t key_len;
	char key[KEY_MAX]; /* the last string at depth 1 */
	bool is_key;	   /* and a colon came after it */
};

/* The bracket just seen begins what may be a feature. */
static void
scan_keep(struct scanner *s)
{
	input_take(&s->im->in, s->at - 1);
	s->at = 1;
	s->is_kept = true;
	s->too_long = false;
	s->line = s->im->in.line;
}

static void
scan_drop(struct scanner *s)
{
	input_take(&s->im->in, s->at);
	s->at = 0;
	s->is_kept = false;
}

/* The bracket just seen ends a feature. */
static int
scan_feature(struct scanner *s)
{
	int r = 0;

	if (s->too_long)
		import_complain(s->im, s->line, "a feature longer than %d bytes", INPUT_RECORD_MAX);
	else if (s->is_kept)
		r = add_text(s->im, s->tokener, s->line, (struct text){input_window(&s->im->in).at, s->at});
	s->too_long = false;
	scan_drop(s);
	return r;
}

static void
scan_string(struct scanner *s, char c)
{
	if (s->escaped) {
		s->escaped = false;
	} else if (c == '\\') {
		s->escaped = true;
	} else if (c == '"') {
		s->in_string = false;
		return;
	}
	if (s->depth == 1 && s->key_len < KEY_MAX)
		s->key[s->key_len++] = c;
}

static void
scan_open(struct scanner *s, char c)
{
	bool is_features = c == '[' && s->depth == 1 && s->is_key &&
			   text_equal((struct text){s->key, s->key_len}, TEXT("features"));

	if (s->depth == 0) {
		s->had_features = false;
		scan_keep(s);
	} else if (is_features) {
		s->in_features = s->had_features = true;
		s->too_long = false;
		scan_drop(s);
	} else if (s->in_features && s->depth == 2) {
		scan_keep(s);
	}
	s->depth++;
}

static int
scan_close(struct scanner *s)
{
	if (s->depth == 0) {
		import_complain(s->im, s->im->in.line, "a bracket closes nothing");
		return 0;
	}
	s->depth--;
	if (s->in_features && s->depth == 2)
		return scan_feature(s);
	if (s->depth == 1)
		s->in_features = false;
	if (s->depth == 0 && !s->had_features)
		return scan_feature(s);
	return 0;
}

static int
scan_byte(struct scanner *s, char c)
{
	if (s->in_string) {
		scan_string(s, c);
		return 0;
	}
	switch (c) {
	case '"':
		s->in_string = true;
		s->is_key = false;
		if (s->depth == 1)
			s->key_len = 0;
		return 0;
	case ':':
		s->is_key = true;
		return 0;
	case '{':
	case '[':
		scan_open(s, c);
		s->is_key = false;
		return 0;
	case '}':
	case ']':
		return scan_close(s);
	case ',':
		s->is_key = false;
		return 0;
	default:
		return 0;
	}
}

/* Looks at all that is in the window. */
static int
scan_window(struct scanner *s)
{
	while (s->at < s->im->in.end - s->im->in.start) {
		char c = input_window(&s->im->in).at[s->at++];
		int r = scan_byte(s, c);

		if (r != 0)
			return r;
	}
	if (!s->is_kept)
		scan_drop(s);
	return 0;
}

static int
scan_all(struct scanner *s)
{
	for (;;) {
		int r = scan_window(s);

		if (r == 0)
			r = import_step(s->im);
		if (r == 0)
			r = input_fill(&s->im->in);
		if (r == INPUT_E_FULL) {
			s->too_long = true;
			scan_drop(s);
		} else if (r != 0) {
			return r;
		}
	}
}

static int
read_collection(struct import *im, struct json_tokener *tokener)
{
	struct scanner s = {.im = im, .tokener = tokener};
	int r = scan_all(&s);

	if (r != INPUT_E_END)
		return r;
	if (s.depth > 0 || s.in_string)
		import_complain(im, im->in.line, "the file ends inside %s",
				s.in_string ? "a string" : "an object");
	return 0;
}

int
import_geojson(struct import *im)
{
	CLEANUP(free_tokener) struct json_tokener *tokener = json_tokener_new_ex(NESTING_MAX);

	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	return is_by_lines(im, tokener) ? read_lines(im, tokener) : read_collection(im, tokener);
}
