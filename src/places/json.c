/*
 * The answer's JSON, straight into the reply's bytes: building json-c's tree
 * for twenty places costs more than finding them. test-places-json parses
 * what is written here with json-c and compares.
 *
 * A place is put together in a piece of stack that holds the worst case and
 * then appended at its real length, so that a nearly full reply is refused
 * only when the answer really does not fit.
 */
#include "places/json.h"

#include <errno.h>

#include "base/utf8.h"

enum {
	STRING_MAX = 6 * PLACES_TEXT_MAX + 2,
	/* A text of n bytes of types has at most (n + 1) / 2 of them, each in quotes and with a comma. */
	TYPES_MAX = 6 * PLACES_TEXT_MAX + 3 * (PLACES_TEXT_MAX + 1) / 2,
	COORDINATE_MAX = JSON_DEGREES_MAX,
	FIXED_MAX = 512, /* all else that is written for one place */
	PLACE_MAX = FIXED_MAX + 6 * COORDINATE_MAX + TYPES_MAX + 4 * STRING_MAX,
	HTML_MAX = 6 * PLACES_TEXT_MAX, /* &quot; */
	HALF_TURN_E7 = 1800000000,
	POLE_E7 = 900000000,
};

#define PUT(out, literal) text_put(out, TEXT(literal))

/* Half the height and width of the viewport that shows a place: 150 m for a house, 2 km for a town. */
enum { VIEW_SPOT_E7 = 13500, VIEW_AREA_E7 = 200000 };

/* --- strings and numbers --------------------------------------------------- */

static inline bool
is_plain(char c)
{
	return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

static char *
put_escaped(char *out, char c)
{
	static const char hex[] = "0123456789abcdef";

	*out++ = '\\';
	switch (c) {
	case '"':
	case '\\':
		*out++ = c;
		return out;
	case '\n':
		*out++ = 'n';
		return out;
	case '\t':
		*out++ = 't';
		return out;
	default:
		out = PUT(out, "u00");
		*out++ = hex[(unsigned char)c >> 4];
		*out++ = hex[(unsigned char)c & 15];
		return out;
	}
}

char *
json_put_string(char *out, struct text t)
{
	const char *at = t.at;
	const char *end = at + t.len;

	*out++ = '"';
	while (at < end) {
		size_t n;

		if (is_plain(*at)) {
			*out++ = *at++;
			continue;
		}
		if ((unsigned char)*at < 0x80) {
			out = put_escaped(out, *at++);
			continue;
		}
		n = utf8_first((struct text){at, (size_t)(end - at)});
		if (n == 0) {
			out = PUT(out, "\xef\xbf\xbd");
			at++;
			continue;
		}
		out = text_put(out, (struct text){at, n});
		at += n;
	}
	*out++ = '"';
	return out;
}

char *
json_put_degrees(char *out, int32_t e7)
{
	uint32_t magnitude = e7 < 0 ? 0 - (uint32_t)e7 : (uint32_t)e7;
	uint32_t decimals = magnitude % 10000000;

	if (e7 < 0)
		*out++ = '-';
	out = text_put_u64(out, magnitude / 10000000);
	if (decimals == 0)
		return out;
	*out++ = '.';
	out = text_put_digits(out, decimals, 7);
	while (out[-1] == '0')
		out--;
	return out;
}

static char *
put_point(char *out, int64_t lat_e7, int64_t lon_e7)
{
	if (lat_e7 > POLE_E7 || lat_e7 < -POLE_E7)
		lat_e7 = lat_e7 > 0 ? POLE_E7 : -POLE_E7;
	if (lon_e7 > HALF_TURN_E7)
		lon_e7 -= 2 * (int64_t)HALF_TURN_E7;
	else if (lon_e7 < -HALF_TURN_E7)
		lon_e7 += 2 * (int64_t)HALF_TURN_E7;
	out = PUT(out, "{\"lat\":");
	out = json_put_degrees(out, (int32_t)lat_e7);
	out = PUT(out, ",\"lng\":");
	out = json_put_degrees(out, (int32_t)lon_e7);
	*out++ = '}';
	return out;
}

/* --- types ------------------------------------------------------------------ */

enum kind {
	KIND_ESTABLISHMENT, /* what one can walk into */
	KIND_POLITICAL,	    /* what has borders */
	KIND_GEOGRAPHIC,    /* neither */
};

static struct text
take_type(struct text *rest)
{
	const char *comma = memchr(rest->at, ',', rest->len);
	size_t len = comma ? (size_t)(comma - rest->at) : rest->len;
	struct text type = {rest->at, len};

	rest->at += len + (comma ? 1 : 0);
	rest->len -= len + (comma ? 1 : 0);
	return type;
}

/* What Google's types are, by the place's own type. */
static enum kind
kind_of(struct text types)
{
	static const struct {
		struct text begins;
		enum kind kind;
	} kinds[] = {
		{TEXT("locality"), KIND_POLITICAL},	{TEXT("sublocality"), KIND_POLITICAL},
		{TEXT("neighborhood"), KIND_POLITICAL}, {TEXT("administrative_area"), KIND_POLITICAL},
		{TEXT("country"), KIND_POLITICAL},	{TEXT("colloquial_area"), KIND_POLITICAL},
		{TEXT("political"), KIND_POLITICAL},	{TEXT("natural_feature"), KIND_GEOGRAPHIC},
		{TEXT("route"), KIND_GEOGRAPHIC},	{TEXT("intersection"), KIND_GEOGRAPHIC},
		{TEXT("archipelago"), KIND_GEOGRAPHIC}, {TEXT("continent"), KIND_GEOGRAPHIC},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (text_begins(types, kinds[i].begins))
			return kinds[i].kind;
	return KIND_ESTABLISHMENT;
}

static bool
types_have(struct text types, struct text wanted)
{
	while (types.len)
		if (text_equal(take_type(&types), wanted))
			return true;
	return false;
}

static char *
put_type(char *out, const char *first, struct text type)
{
	if (out != first)
		*out++ = ',';
	return json_put_string(out, type);
}

static char *
put_types(char *out, struct text types, enum kind kind)
{
	static const struct text general[][2] = {
		[KIND_ESTABLISHMENT] = {TEXT("point_of_interest"), TEXT("establishment")},
		[KIND_POLITICAL] = {TEXT("political"), {"", 0}},
		[KIND_GEOGRAPHIC] = {{"", 0}, {"", 0}},
	};
	const char *first = out;
	struct text rest = types;

	while (rest.len) {
		struct text type = take_type(&rest);

		if (type.len)
			out = put_type(out, first, type);
	}
	for (int i = 0; i < 2; i++)
		if (general[kind][i].len && !types_have(types, general[kind][i]))
			out = put_type(out, first, general[kind][i]);
	return out;
}

/* --- the object -------------------------------------------------------------- */

static char *
put_geometry(char *out, const struct place *p, enum kind kind)
{
	int32_t half = kind == KIND_POLITICAL ? VIEW_AREA_E7 : VIEW_SPOT_E7;
	int64_t lat = p->lat_e7, lon = p->lon_e7;

	out = PUT(out, "\"geometry\":{\"location\":");
	out = put_point(out, lat, lon);
	out = PUT(out, ",\"viewport\":{\"northeast\":");
	out = put_point(out, lat + half, lon + half);
	out = PUT(out, ",\"southwest\":");
	out = put_point(out, lat - half, lon - half);
	return PUT(out, "}}");
}

static char *
put_place(char *out, const struct place *p)
{
	enum kind kind = kind_of(p->types);

	*out++ = '{';
	if (kind == KIND_ESTABLISHMENT)
		out = PUT(out, "\"business_status\":\"OPERATIONAL\",");
	out = put_geometry(out, p, kind);
	out = PUT(out, ",\"name\":");
	out = json_put_string(out, p->name);
	out = PUT(out, ",\"place_id\":");
	out = json_put_string(out, p->id);
	out = PUT(out, ",\"reference\":");
	out = json_put_string(out, p->id);
	out = PUT(out, ",\"scope\":\"APP\",\"types\":[");
	out = put_types(out, p->types, kind);
	*out++ = ']';
	if (p->vicinity.len) {
		out = PUT(out, ",\"vicinity\":");
		out = json_put_string(out, p->vicinity);
	}
	*out++ = '}';
	return out;
}

char *
json_put_html(char *out, struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		switch (t.at[i]) {
		case '&':
			out = PUT(out, "&amp;");
			break;
		case '<':
			out = PUT(out, "&lt;");
			break;
		case '>':
			out = PUT(out, "&gt;");
			break;
		case '"':
			out = PUT(out, "&quot;");
			break;
		default:
			*out++ = t.at[i];
		}
	}
	return out;
}

static int
append_head(struct buffer *out, struct text attribution)
{
	char html[HTML_MAX];
	char head[64 + 6 * HTML_MAX];
	char *end = PUT(head, "{\"html_attributions\":[");

	if (attribution.len > PLACES_TEXT_MAX)
		attribution.len = PLACES_TEXT_MAX;
	if (attribution.len) {
		const char *html_end = json_put_html(html, attribution);

		end = json_put_string(end, (struct text){html, (size_t)(html_end - html)});
	}
	end = PUT(end, "],\"results\":[");
	return buffer_append(out, (struct text){head, (size_t)(end - head)});
}

static int
append_places(struct buffer *out, const struct places_found *found, struct text attribution)
{
	char piece[1 + PLACE_MAX];
	int r = append_head(out, attribution);

	for (size_t i = 0; r == 0 && i < found->count; i++) {
		char *end = piece;

		if (i > 0)
			*end++ = ',';
		end = put_place(end, &found->place[i]);
		r = buffer_append(out, (struct text){piece, (size_t)(end - piece)});
	}
	if (r < 0)
		return r;
	if (found->count > 0)
		return buffer_append(out, TEXT("],\"status\":\"OK\"}"));
	return buffer_append(out, TEXT("],\"status\":\"ZERO_RESULTS\"}"));
}

int
json_put_places(struct buffer *out, const struct places_found *found, struct text attribution)
{
	size_t before = out->len;
	int r = append_places(out, found, attribution);

	if (r < 0)
		out->len = before;
	return r;
}

int
json_put_failure(struct buffer *out, struct text status, struct text message)
{
	char *start = buffer_reserve(out, 96 + 6 * (status.len + message.len));
	char *end;

	if (!start)
		return -ENOBUFS;
	end = PUT(start, "{\"error_message\":");
	end = json_put_string(end, message);
	end = PUT(end, ",\"html_attributions\":[],\"results\":[],\"status\":");
	end = json_put_string(end, status);
	*end++ = '}';
	out->len += (size_t)(end - start);
	return 0;
}
