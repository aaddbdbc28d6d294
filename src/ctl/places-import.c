/*
 * herdctl places import: makes the places file that members answer from. They
 * notice the new one by themselves. What is wrong with the input is said as it
 * is found, by line; progress is for people who wait, so for terminals only.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "ctl/progress.h"
#include "places/import.h"

static void
import_complain(void *arg, const char *text)
{
	progress_clear(arg);
	log_warning("%s", text);
}

static int
import_progress(void *arg, uint64_t bytes, uint64_t total, uint64_t rows)
{
	if (total)
		progress_show(arg, (double)bytes / (double)total, "%ju rows", (uintmax_t)rows);
	else
		progress_show(arg, -1, "%ju MiB  %ju rows", (uintmax_t)(bytes >> 20), (uintmax_t)rows);
	return 0;
}

static void
show_report(struct writer *w, const char *input, const struct import_report *report)
{
	writer_object_begin(w, NULL);
	writer_string(w, "input", input);
	writer_string(w, "format", import_format_name(report->format));
	writer_count(w, "places", report->rows_good);
	if (report->rows_bad)
		writer_style(w, WRITER_WARNING);
	writer_count(w, "bad_rows", report->rows_bad);
	writer_string(w, "output", report->output);
	writer_size(w, "size", report->file_bytes);
	writer_duration(w, "took", (int64_t)(report->seconds * 1e9));
	writer_object_end(w);
}

/* The folder of the file to make, where only that is missing: it is on the first import. What goes wrong
   here comes up again, with its reason, when the file is written. */
static void
make_folder(const char *output)
{
	CLEANUP(cleanup_free) char *folder = strdup(output);
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (!slash || slash == folder)
		return;
	*slash = '\0';
	(void)mkdir(folder, 0755);
}

static int
import_run(struct ctl *ctl, int argc, char **argv)
{
	struct progress progress = progress_begin(ctl);
	const char *format = options_value(ctl->options, "format"),
		   *output = options_value(ctl->options, "output");
	struct import_options options = {
		.input = argv[0],
		.output = output ? output : ctl->conf->places_file,
		.attribution = options_value(ctl->options, "attribution"),
		.complain = import_complain,
		.progress = import_progress,
		.arg = &progress,
	};
	struct import_report report;
	int r;

	(void)argc;
	if (format && import_format_parse(text_of(format), &options.format) != 0)
		return ctl_fail(CTL_USAGE, "--format takes auto, geonames, csv or geojson, not '%s'", format);
	make_folder(options.output);
	r = import_file(&options, &report);
	progress_clear(&progress);
	if (report.rows_bad > IMPORT_COMPLAINTS_MAX)
		log_warning("And %ju more rows like these",
			    (uintmax_t)(report.rows_bad - IMPORT_COMPLAINTS_MAX));
	if (r != 0)
		return ctl_fail(CTL_FAILED, "Nothing imported, '%s' is as it was: %s", options.output,
				report.why[0] ? report.why
				: r < 0	      ? strerror(-r)
					      : "there is no good row");
	show_report(ctl->out, argv[0], &report);
	return 0;
}

const struct command command_places_import = {
	.name = "places import",
	.operands = "FILE",
	.help = "Make the places file from public data",
	.more = "FILE is a GeoNames dump, CSV with a header line, or GeoJSON points; - is standard input. "
		"Bad rows\n"
		"are left out, counted, and reported by line; without one good row nothing changes (exit "
		"code 2).\n"
		"Running members notice the new file by themselves. herd-places(5) describes the formats.",
	.entries =
		(const struct options_entry[]){
			{.name = "format",
			 .argument = "FORMAT",
			 .help = "auto, geonames, csv or geojson (default: auto)"},
			{.name = "output",
			 .argument = "FILE",
			 .help = "The file to make (default: the setting places.file)"},
			{.name = "attribution",
			 .argument = "TEXT",
			 .help = "Who is to be named for this data"},
			{0},
		},
	.operands_min = 1,
	.operands_max = 1,
	.run = import_run,
};
