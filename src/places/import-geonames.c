/*
 * Import, GeoNames: the tab-separated dumps (https://download.geonames.org,
 * readme.txt there says what the 19 columns are), and an extract of eight of
 * them: geonameid, name, latitude, longitude, country, admin1, feature code,
 * population. There is no header and nothing is quoted.
 *
 * Feature codes become the nearest of Google's place types. What has no entry
 * of its own takes that of its class, or stays without a type.
 */
#include <errno.h>
#include <stdio.h>

#include "places/import-private.h"

/* Where the columns that we need stand. */
struct columns {
	size_t count, id, name, lat, lon, class, code, country, admin1, population;
};

enum { NO_COLUMN = 99 };

static const struct columns all_columns = {19, 0, 1, 4, 5, 6, 7, 8, 10, 14};
static const struct columns few_columns = {8, 0, 1, 2, 3, NO_COLUMN, 6, 4, 5, 7};

/* By code; one that ends with * stands for all that begin so. */
static const struct {
	const char *code;
	const char *types;
} codes[] = {
	{"PPLX", "sublocality"},
	{"PPL*", "locality"},
	{"STLMT", "locality"},
	{"ADM1", "administrative_area_level_1"},
	{"ADM2", "administrative_area_level_2"},
	{"ADM3", "administrative_area_level_3"},
	{"ADM4", "administrative_area_level_4"},
	{"ADM5", "administrative_area_level_5"},
	{"PCL*", "country"},
	{"CONT", "continent"},
	{"RGN*", "colloquial_area"},
	{"AREA", "colloquial_area"},
	{"LCTY", "colloquial_area"},
	{"PRK*", "park"},
	{"GDN", "park"},
	{"RES*", "natural_feature"},
	{"AMUS", "amusement_park"},
	{"AIR*", "airport"},
	{"RSTN", "train_station"},
	{"RSTP", "train_station"},
	{"MTRO", "subway_station"},
	{"BUSTN", "bus_station"},
	{"BUSTP", "bus_station"},
	{"TRANT", "transit_station"},
	{"UNIV", "university"},
	{"SCHC", "university"},
	{"SCH*", "school"},
	{"MUS", "museum"},
	{"HTL", "lodging"},
	{"RSRT", "lodging"},
	{"GHSE", "lodging"},
	{"INN", "lodging"},
	{"CMP*", "campground"},
	{"STDM", "stadium"},
	{"HSPD", "doctor"},
	{"HSP*", "hospital"},
	{"CH", "church"},
	{"CTRR", "place_of_worship"},
	{"MSQE", "mosque"},
	{"SYG", "synagogue"},
	{"TMPL", "place_of_worship"},
	{"SHRN", "place_of_worship"},
	{"PGDA", "place_of_worship"},
	{"MSTY", "place_of_worship"},
	{"CVNT", "place_of_worship"},
	{"CMTY", "cemetery"},
	{"GRVE", "cemetery"},
	{"LIBR", "library"},
	{"ZOO", "zoo"},
	{"MALL", "shopping_mall"},
	{"MKT", "store"},
	{"REST", "restaurant"},
	{"BANK", "bank"},
	{"PO", "post_office"},
	{"PP", "police"},
	{"CTHSE", "courthouse"},
	{"GOVL", "local_government_office"},
	{"DIP", "embassy"},
	{"CSNO", "casino"},
	{"SPA", "spa"},
	{"CSTL", "tourist_attraction"},
	{"PAL", "tourist_attraction"},
	{"HSTS", "tourist_attraction"},
	{"MNMT", "tourist_attraction"},
	{"ANS", "tourist_attraction"},
	{"RUIN", "tourist_attraction"},
	{"PYR*", "tourist_attraction"},
};

/* What the nine feature classes are when the code says nothing. */
static const char *types_of_class(struct text class)
{
	switch (class.len == 1 ? class.at[0] : '\0') {
	case 'A':
		return "political";
	case 'P':
		return "locality";
	case 'R':
		return "route";
	case 'H':
	case 'T':
	case 'U':
	case 'V':
		return "natural_feature";
	default:
		return "";
	}
}

static struct text
types_of(struct text class, struct text code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		size_t len = strlen(codes[i].code);

		if (codes[i].code[len - 1] == '*'
			    ? code.len >= len - 1 && memcmp(code.at, codes[i].code, len - 1) == 0
			    : code.len == len && memcmp(code.at, codes[i].code, len) == 0)
			return text_of(codes[i].types);
	}
	return text_of(types_of_class(class));
}

/* "CA, US": the first-order division where its code means something to people. */
static struct text
vicinity_of(struct text admin1, struct text country, char out[64])
{
	bool letters = admin1.len > 0;
	char *at = out;

	for (size_t i = 0; i < admin1.len; i++)
		letters = letters && !text_is_digit(admin1.at[i]);
	if (admin1.len > 20 || country.len > 20)
		return TEXT("");
	if (letters)
		at = text_put(at, admin1);
	if (letters && country.len)
		at = text_put(at, TEXT(", "));
	at = text_put(at, country);
	return (struct text){out, (size_t)(at - out)};
}

static bool
all_digits(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (!text_is_digit(t.at[i]))
			return false;
	return t.len > 0 && t.len <= 20;
}

static int
add_row(struct import *im, const struct columns *c, const struct text *fields)
{
	uint64_t line = im->in.record_line;
	struct text class = c->class == NO_COLUMN ? TEXT("") : fields[c->class];
	struct places_row row = {.name = fields[c->name], .types = types_of(class, fields[c->code])};
	char id[32], vicinity[64];
	const char *why;

	if (!all_digits(fields[c->id])) {
		import_complain(im, line, "the first column is no geonameid");
		return 0;
	}
	row.id.at = id;
	row.id.len = (size_t)(text_put(text_put(id, TEXT("geonames:")), fields[c->id]) - id);
	row.vicinity = vicinity_of(fields[c->admin1], fields[c->country], vicinity);
	why = import_parse_degrees(fields[c->lat], 90, &row.lat_e7);
	if (why) {
		import_complain(im, line, "the latitude %s", why);
		return 0;
	}
	why = import_parse_degrees(fields[c->lon], 180, &row.lon_e7);
	if (why) {
		import_complain(im, line, "the longitude %s", why);
		return 0;
	}
	why = import_parse_prominence(fields[c->population], &row.prominence);
	if (why) {
		import_complain(im, line, "the population %s", why);
		return 0;
	}
	return import_add(im, line, &row);
}

int
import_geonames(struct import *im)
{
	struct text line, fields[19];
	int r;

	while ((r = import_line(im, &line)) == 0) {
		size_t count = import_split(line, '\t', fields, 19);

		if (count == all_columns.count)
			r = add_row(im, &all_columns, fields);
		else if (count == few_columns.count)
			r = add_row(im, &few_columns, fields);
		else
			import_complain(im, im->in.record_line, "%zu columns where GeoNames has 19, or 8",
					count);
		if (r != 0)
			return r;
	}
	return r == INPUT_E_END ? 0 : r;
}
