/*
 * places-build: makes the places file that is built into the programs, from
 * share/places.tsv. Runs while herd is being built, so that a mistake in the
 * table stops the build: a bad row is an error here, not a complaint.
 */
#include <stdio.h>
#include <string.h>

#include "places/import.h"

static void
complain(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

int
main(int argc, char **argv)
{
	struct import_report report;
	struct import_options options = {.format = IMPORT_CSV, .attribution = "", .complain = complain};
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: places-build TABLE PLACES-FILE\n");
		return 2;
	}
	options.input = argv[1];
	options.output = argv[2];
	r = import_file(&options, &report);
	if (r != 0) {
		fprintf(stderr, "places-build: %s\n", report.why);
		return 1;
	}
	if (report.rows_bad > 0) {
		remove(argv[2]);
		return 1;
	}
	return 0;
}
