#ifndef PLACES_IMPORT_PRIVATE_H
#define PLACES_IMPORT_PRIVATE_H
/*
 * What the importer's formats share: one import under way, and the way of a
 * row into the places file that is being built.
 */
#include "core/places.h"
#include "places/import.h"
#include "places/input.h"

struct import {
	const struct import_options *options;
	struct import_report *report;
	struct input in;
	struct places_build *build;
	uint64_t total;		/* bytes of the input, 0: not known */
	uint64_t next_progress; /* bytes */
};

/* One for each format: reads the input to its end. 0, IMPORT_E_*, negative errno. */
int import_geonames(struct import *im);
int import_csv(struct import *im);
int import_geojson(struct import *im);

/* Counts a bad row, and tells about the first ones. */
void import_complain(struct import *im, uint64_t line, const char *reason, ...)
	__attribute__((format(printf, 3, 4)));

/* Sets report->why; returns `code`. */
int import_fail(struct import *im, int code, const char *why, ...) __attribute__((format(printf, 3, 4)));

/* Takes a row: white space and control characters tidied, types with commas between them; what is
   wrong with it is complained of and 0 as well. Negative errno: cannot go on. */
int import_add(struct import *im, uint64_t line, const struct places_row *row);

/* Between two rows: progress. 0 or IMPORT_E_CANCELED. */
int import_step(struct import *im);

/* The next line that is neither blank nor a comment (#); too long ones are complained of.
   0; INPUT_E_END; IMPORT_E_CANCELED; negative errno. */
int import_line(struct import *im, struct text *ret);

/* Decimal degrees, with an optional sign, point (or comma) and exponent. Why it is wrong, or NULL. */
const char *import_parse_degrees(struct text t, unsigned int limit, int32_t *ret_e7);

/* A population or the like: empty and negative are 0, greater than 2^32 - 1 that. */
const char *import_parse_prominence(struct text t, uint32_t *ret);

/* Splits at each `delimiter`. Returns the number of fields, of which at most max are stored. */
size_t import_split(struct text line, char delimiter, struct text *fields, size_t max);

/* What a column or a property may be called. */
enum import_field {
	IMPORT_NAME,
	IMPORT_LAT,
	IMPORT_LON,
	IMPORT_TYPES,
	IMPORT_COUNTRY,
	IMPORT_PROMINENCE,
	IMPORT_VICINITY,
	IMPORT_ID,
	IMPORT_FIELDS,
};

/* The field called so in any case, or IMPORT_FIELDS. */
enum import_field import_field_called(struct text name);

#endif
