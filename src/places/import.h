#ifndef PLACES_IMPORT_H
#define PLACES_IMPORT_H
/*
 * Import: rows as others publish them, into a places file (core/places.h).
 * herd-places(5) describes the formats as users see them.
 */
#include <stdint.h>

#include "base/text.h"

enum import_format {
	IMPORT_SNIFF,	 /* look at the first line */
	IMPORT_GEONAMES, /* tab-separated dump: 19 columns, or the reduced 8 */
	IMPORT_CSV,	 /* a header line; comma, semicolon or tab */
	IMPORT_GEOJSON,	 /* FeatureCollection of points, or one feature a line */
};

/* "auto", "geonames", "csv", "geojson". */
const char *import_format_name(enum import_format format);
/* 0 or -EINVAL. */
int import_format_parse(struct text name, enum import_format *ret);

enum { IMPORT_COMPLAINTS_MAX = 20 };

enum {			     /* > 0: the direct caller handles these */
       IMPORT_E_NO_ROWS = 1, /* not one good row: nothing was written, an old file stays */
       IMPORT_E_FORMAT,	     /* not a format we read; report.why says more */
       IMPORT_E_CANCELED,    /* progress() asked to stop */
};

struct import_report {
	enum import_format format; /* the one found */
	uint64_t rows_good, rows_bad;
	uint64_t bytes;	     /* read */
	uint64_t file_bytes; /* written */
	double seconds;
	const char *output; /* options->output */
	char why[256];	    /* one sentence without a full stop, when the import failed; else empty */
};

struct import_options {
	const char *input;  /* path; "-" is standard input */
	const char *output; /* path of the places file */
	enum import_format format;
	const char *attribution; /* NULL: the format's own, if it has one */
	/* "file:line: reason", for the first IMPORT_COMPLAINTS_MAX bad rows. May be NULL. */
	void (*complain)(void *arg, const char *text);
	/* Now and then, and once at the end; total 0 when not known. Nonzero: stop. May be NULL. */
	int (*progress)(void *arg, uint64_t bytes, uint64_t total, uint64_t rows);
	void *arg;
};

/* 0: written and in its place. IMPORT_E_*; negative errno, with report->why saying at what.
   *ret_report is filled in every case. */
int import_file(const struct import_options *options, struct import_report *ret_report);

#endif
