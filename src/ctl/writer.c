/*
 * Writer: gives every value its two shapes, checks the nesting, keeps the
 * first fault and moves the bytes. How they look is the formats' business.
 */
#include "ctl/writer.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json_object.h>
#include <math.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "ctl/escape.h"
#include "ctl/writer-format.h"
#include "herd/fix.h"

void
writer_init(struct writer *w, const struct writer_format *format, const struct writer_setup *setup)
{
	w->format = format;
	w->setup = *setup;
	w->out.max = WRITER_OUT_MAX;
}

bool
writer_is_json(const struct writer *w)
{
	return w->is_json;
}

int
writer_fault(const struct writer *w)
{
	return w->fault;
}

struct writer *
writer_free(struct writer *w)
{
	if (!w)
		return NULL;
	buffer_done(&w->out);
	w->format->free(w);
	return NULL;
}

static void
writer_keep_fault(struct writer *w, int r)
{
	if (r < 0 && w->fault == 0)
		w->fault = r;
}

int
writer_spill(struct writer *w)
{
	size_t len = w->out.len;

	w->out.len = 0;
	errno = 0;
	if (len && fwrite(w->out.bytes, 1, len, w->setup.file) != len)
		return errno ? -errno : -EIO;
	return 0;
}

void
writer_flush(struct writer *w)
{
	if (w->fault)
		return;
	writer_keep_fault(w, w->format->flush(w));
	writer_keep_fault(w, writer_spill(w));
	errno = 0;
	if (w->fault == 0 && fflush(w->setup.file) != 0)
		writer_keep_fault(w, errno ? -errno : -EIO);
}

int
writer_done(struct writer *w)
{
	writer_flush(w);
	return w->fault;
}

/* --- structure -------------------------------------------------------------------------- */

static void
writer_begin(struct writer *w, enum writer_level level, const char *key)
{
	bool in_list = w->depth > 0 && w->level[w->depth - 1] == WRITER_LIST;

	assert(w->depth < WRITER_DEPTH_MAX);
	assert(!in_list || level == WRITER_OBJECT); /* lists hold objects, those hold values */
	assert(w->depth < 2 || w->level[w->depth - 2] != WRITER_LIST);
	assert((key == NULL) == (w->depth == 0 || in_list));
	if (w->fault == 0)
		writer_keep_fault(w, level == WRITER_OBJECT ? w->format->object_begin(w, key)
							    : w->format->list_begin(w, key));
	w->level[w->depth++] = level;
}

static void
writer_end(struct writer *w, enum writer_level level)
{
	assert(w->depth > 0 && w->level[w->depth - 1] == level);
	if (w->fault == 0)
		writer_keep_fault(w,
				  level == WRITER_OBJECT ? w->format->object_end(w) : w->format->list_end(w));
	w->depth--;
	if (w->fault == 0 && w->out.len >= WRITER_OUT_ENOUGH)
		writer_keep_fault(w, writer_spill(w));
}

void
writer_object_begin(struct writer *w, const char *key)
{
	writer_begin(w, WRITER_OBJECT, key);
}

void
writer_object_end(struct writer *w)
{
	writer_end(w, WRITER_OBJECT);
}

void
writer_list_begin(struct writer *w, const char *key)
{
	writer_begin(w, WRITER_LIST, key);
}

void
writer_list_end(struct writer *w)
{
	writer_end(w, WRITER_LIST);
}

/* --- values ----------------------------------------------------------------------------- */

static void
writer_value(struct writer *w, const struct writer_value *value)
{
	assert(w->depth > 0 && w->level[w->depth - 1] == WRITER_OBJECT);
	if (w->fault == 0 && (w->is_json || !w->details))
		writer_keep_fault(w, w->format->value(w, value));
	w->style = WRITER_PLAIN;
}

void
writer_style(struct writer *w, enum writer_style style)
{
	w->style = style;
}

void
writer_details(struct writer *w, bool on)
{
	w->details = on;
}

void
writer_text(struct writer *w, const char *key, struct text value)
{
	writer_value(w, &(struct writer_value){
				.key = key, .kind = WRITER_STRING, .shown = value, .string = value});
}

void
writer_string(struct writer *w, const char *key, const char *value)
{
	writer_text(w, key, text_of(value));
}

void
writer_bytes(struct writer *w, const char *key, const char *hex_key, struct text value)
{
	char hex[2 * HERD_ID_MAX + 1];

	writer_text(w, key, value);
	if (!w->is_json || utf8_valid(value))
		return;
	assert(value.len <= HERD_ID_MAX);
	for (size_t i = 0; i < value.len; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned char)value.at[i]);
	writer_text(w, hex_key, (struct text){hex, 2 * value.len});
}

/* Everything whose JSON is a number; `shown` is printed by the caller. */
static void
writer_number(struct writer *w, struct writer_value value, const char *shown)
{
	value.shown = text_of(shown);
	value.right = true;
	writer_value(w, &value);
}

void
writer_count(struct writer *w, const char *key, uint64_t value)
{
	char shown[24];

	snprintf(shown, sizeof(shown), "%ju", (uintmax_t)value);
	writer_number(w, (struct writer_value){.key = key, .kind = WRITER_INTEGER, .integer = value}, shown);
}

void
writer_short(struct writer *w, const char *key, uint64_t value)
{
	static const char units[] = "kMGTPE";
	double of = (double)value / 1000;
	unsigned int unit = 0;
	char shown[32];

	if (value < 10000) {
		writer_count(w, key, value);
		return;
	}
	while (of >= 999.5 && unit + 2 < sizeof(units)) { /* which would be shown as 1000 */
		of /= 1000;
		unit++;
	}
	snprintf(shown, sizeof(shown), "%.*f%c", of < 9.995 ? 2 : of < 99.95 ? 1 : 0, of, units[unit]);
	writer_number(w, (struct writer_value){.key = key, .kind = WRITER_INTEGER, .integer = value}, shown);
}

void
writer_real(struct writer *w, const char *key, double value, unsigned int decimals)
{
	char shown[400];

	if (!isfinite(value)) { /* JSON has no word for it */
		writer_none(w, key);
		return;
	}
	snprintf(shown, sizeof(shown), "%.*f", (int)decimals, value);
	writer_number(
		w,
		(struct writer_value){.key = key, .kind = WRITER_REAL, .real = value, .decimals = decimals},
		shown);
}

void
writer_bool(struct writer *w, const char *key, bool value, const char *yes, const char *no)
{
	writer_value(w, &(struct writer_value){.key = key,
					       .kind = WRITER_BOOLEAN,
					       .boolean = value,
					       .shown = text_of(value ? yes : no)});
}

void
writer_size(struct writer *w, const char *key, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	unsigned int unit = 0;
	char shown[32];

	/* 1023.95 KiB would be shown as 1024.0 KiB. */
	while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(shown, sizeof(shown), unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	writer_number(w, (struct writer_value){.key = key, .kind = WRITER_INTEGER, .integer = bytes}, shown);
}

void
writer_percent(struct writer *w, const char *key, uint64_t part, uint64_t whole)
{
	double value = whole ? 100.0 * (double)part / (double)whole : 0.0;
	char shown[32];

	snprintf(shown, sizeof(shown), "%.1f %%", value);
	writer_number(w, (struct writer_value){.key = key, .kind = WRITER_REAL, .real = value, .decimals = 1},
		      shown);
}

/* A time of day in the shape that the format asks for; `shown` is what text shows. */
static void
writer_instant(struct writer *w, const char *key, int64_t posix_ns, const char *shown)
{
	time_t seconds = (time_t)(posix_ns / CLOCK_SECOND_NS);
	char date[64], string[96];
	struct tm utc;

	if (posix_ns < 0 || !gmtime_r(&seconds, &utc)) {
		writer_none(w, key);
		return;
	}
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
	snprintf(string, sizeof(string), "%.19s.%09jdZ", date, (intmax_t)(posix_ns % CLOCK_SECOND_NS));
	writer_value(w, &(struct writer_value){.key = key,
					       .kind = WRITER_STRING,
					       .shown = text_of(shown ? shown : date),
					       .string = text_of(string)});
}

void
writer_time(struct writer *w, const char *key, int64_t posix_ns)
{
	writer_instant(w, key, posix_ns, NULL);
}

void
writer_clock(struct writer *w, const char *key, int64_t posix_ns)
{
	time_t seconds = (time_t)(posix_ns / CLOCK_SECOND_NS);
	char shown[32];
	struct tm local;

	if (posix_ns < 0 || !localtime_r(&seconds, &local)) {
		writer_none(w, key);
		return;
	}
	snprintf(shown, sizeof(shown), "%02d:%02d:%02d.%03d", local.tm_hour, local.tm_min, local.tm_sec,
		 (int)(posix_ns % CLOCK_SECOND_NS / CLOCK_MSEC_NS));
	writer_instant(w, key, posix_ns, shown);
}

void
writer_duration(struct writer *w, const char *key, int64_t ns)
{
	static const struct {
		double seconds;
		const char *name;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}, {0.001, "ms"}};
	double value = (double)ns / (double)CLOCK_SECOND_NS;
	char shown[32];
	size_t i = 0;

	while (i < 4 && fabs(value) < units[i].seconds)
		i++;
	snprintf(shown, sizeof(shown), "%.1f %s", value / units[i].seconds, units[i].name);
	writer_number(w, (struct writer_value){.key = key, .kind = WRITER_REAL, .real = value, .decimals = 3},
		      shown);
}

void
writer_none(struct writer *w, const char *key)
{
	writer_value(w, &(struct writer_value){.key = key, .kind = WRITER_NULL, .shown = TEXT("-")});
}

void
writer_strings(struct writer *w, const char *key, const char *const *values, size_t count)
{
	struct json_object *array = w->is_json ? json_object_new_array() : NULL;
	enum writer_style style = w->style;

	for (size_t i = 0; i < count; i++) {
		if (w->is_json) {
			json_object_array_add(array, json_object_new_string(values[i]));
			continue;
		}
		w->style = style;
		writer_string(w, key, values[i]);
	}
	if (w->is_json)
		writer_json(w, key, array);
}

void
writer_json(struct writer *w, const char *key, struct json_object *value)
{
	if (w->is_json && w->fault == 0)
		writer_value(w, &(struct writer_value){.key = key, .kind = WRITER_TREE, .tree = value});
	else
		json_object_put(value);
}

void
writer_verbatim(struct writer *w, struct text bytes, bool json)
{
	unsigned int flags = w->setup.utf8 ? ESCAPE_UTF8 : 0;

	assert(w->depth == 0 && !w->is_json);
	if (w->fault)
		return;
	if (!w->setup.terminal)
		writer_keep_fault(w, buffer_append(&w->out, bytes));
	else if (json)
		writer_keep_fault(w, escape_json(&w->out, bytes));
	else
		writer_keep_fault(w, escape_text(&w->out, bytes, flags, NULL));
	writer_keep_fault(w, buffer_append(&w->out, TEXT("\n")));
}
