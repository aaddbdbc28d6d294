/*
 * Fuzzes the importer: the first byte picks the format, the rest is the file.
 * Whatever comes, it ends, counts, and what it writes is a places file that
 * answers with as many places as it said.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/places.h"
#include "places/import.h"
#include "places/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char input[64], output[64];
static int input_fd = -1;
static unsigned int complaints;

static void
remove_output(void)
{
	unlink(output);
}

static void
set_up(void)
{
	input_fd = memfd_create("fuzz-import", MFD_CLOEXEC);
	assert(input_fd >= 0);
	snprintf(input, sizeof(input), "/proc/self/fd/%d", input_fd);
	snprintf(output, sizeof(output), "/dev/shm/herd-fuzz-import-%d", (int)getpid());
	atexit(remove_output);
}

static void
complain(void *arg, const char *text)
{
	(void)arg;
	assert(strchr(text, ':'));
	complaints++;
}

static void
check_output(const struct import_report *report)
{
	struct places_query q = {0, 0, 20100, PLACES_BOUND_MAX, PLACES_PROMINENCE};
	struct buffer out = {.max = 1 << 20};
	struct places_found found;
	struct places *p;

	assert(places_open(&p, output) == 0);
	assert(places_count(p) == report->rows_good);
	assert(places_nearby(p, &q, &found) == 0);
	assert(found.count == (report->rows_good < 20 ? report->rows_good : 20));
	for (size_t i = 0; i < found.count; i++)
		assert(found.place[i].name.len && found.place[i].id.len);
	assert(json_put_places(&out, &found, places_attribution(p)) == 0);
	buffer_done(&out);
	places_free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct import_options options = {.input = input, .output = output, .complain = complain};
	struct import_report report;
	int r;

	if (size == 0)
		return 0;
	if (input_fd < 0)
		set_up();
	assert(ftruncate(input_fd, 0) == 0);
	assert(pwrite(input_fd, data + 1, size - 1, 0) == (ssize_t)(size - 1));
	options.format = (enum import_format)(data[0] % (IMPORT_GEOJSON + 1));
	complaints = 0;
	r = import_file(&options, &report);
	assert(r >= 0 && r <= IMPORT_E_FORMAT);
	assert((r == 0) == (report.why[0] == '\0') && (r == 0) == (report.rows_good > 0));
	assert(complaints ==
	       (report.rows_bad < IMPORT_COMPLAINTS_MAX ? report.rows_bad : IMPORT_COMPLAINTS_MAX));
	if (r == 0) {
		assert(report.bytes == size - 1);
		check_output(&report);
	}
	return 0;
}
