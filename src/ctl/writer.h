#ifndef CTL_WRITER_H
#define CTL_WRITER_H
/*
 * Writer: the one way in which commands print data. A command says what there
 * is, once: objects of named values, lists of objects. A person reads it as
 * "name  value" lines and aligned columns, a program as JSON.
 *
 * A list at the top is a stream: JSON prints one object a line as soon as it
 * is complete, text aligns by windows of WRITER_WINDOW rows, and neither keeps
 * what it has printed. Anything else is one JSON document.
 *
 * Keys are literals and outlive the writer: "long_clients" in JSON, "long
 * clients" in text. Faults are kept: the first one comes out of writer_done(),
 * and everything after it does nothing.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/text.h"

struct writer; /* opaque */
struct json_object;

enum {
	WRITER_DEPTH_MAX = 8,
	WRITER_COLUMNS_MAX = 24,
	WRITER_WINDOW = 256, /* rows looked at before the first is printed */
};

enum writer_style { /* of values in text, when in colour */
		    WRITER_PLAIN,
		    WRITER_STRONG,
		    WRITER_GOOD,
		    WRITER_WARNING,
		    WRITER_BAD,
		    WRITER_FAINT,
};

struct writer_setup {
	FILE *file;    /* not owned */
	bool colour;   /* SGR sequences in text */
	bool terminal; /* nothing may reach it unescaped */
	bool utf8;     /* the reader understands it */
};

int writer_new_text(struct writer **ret, const struct writer_setup *setup);
int writer_new_json(struct writer **ret, const struct writer_setup *setup);

/* Prints what is still kept; gives the first fault as negative errno (-EPIPE: the reader left). */
int writer_done(struct writer *w);

/* Frees; accepts NULL, returns NULL. */
struct writer *writer_free(struct writer *w);
CLEANUP_POINTER(struct writer, writer_free);

/* Commands that have the reply of somebody else to show ask; nobody else should. */
bool writer_is_json(const struct writer *w);

/* The first fault so far, or 0. */
int writer_fault(const struct writer *w);

/* Prints all that is complete, now. */
void writer_flush(struct writer *w);

/* --- structure: every begin has its end. key: NULL at the top and in lists. -------------- */

void writer_object_begin(struct writer *w, const char *key);
void writer_object_end(struct writer *w);

/* A list of objects; all its objects have the same keys in the same order. */
void writer_list_begin(struct writer *w, const char *key);
void writer_list_end(struct writer *w);

/* --- values of the object that is open --------------------------------------------------- */

/* How the next value looks in colour. */
void writer_style(struct writer *w, enum writer_style style);

/* Bytes; JSON gets U+FFFD for what is no UTF-8. */
void writer_text(struct writer *w, const char *key, struct text value);
void writer_string(struct writer *w, const char *key, const char *value);

/* At most HERD_ID_MAX bytes that must come back as they were: JSON adds hex_key when they are no
   UTF-8. */
void writer_bytes(struct writer *w, const char *key, const char *hex_key, struct text value);

void writer_count(struct writer *w, const char *key, uint64_t value);

/* "12.3k" from 10,000 on; JSON: the number itself. */
void writer_short(struct writer *w, const char *key, uint64_t value);

void writer_real(struct writer *w, const char *key, double value, unsigned int decimals);
void writer_bool(struct writer *w, const char *key, bool value, const char *yes, const char *no);

/* "14.2 MiB"; JSON: the number of bytes. */
void writer_size(struct writer *w, const char *key, uint64_t bytes);

/* "18.8 %"; JSON: a number. part of whole; whole may be 0. */
void writer_percent(struct writer *w, const char *key, uint64_t part, uint64_t whole);

/* POSIX time as RFC 3339 in UTC, to the second in text, to the nanosecond in JSON. */
void writer_time(struct writer *w, const char *key, int64_t posix_ns);

/* The same in JSON; text shows the local time of day, to the millisecond. */
void writer_clock(struct writer *w, const char *key, int64_t posix_ns);

/* "3.2 s", "4.0 min", "2.5 d"; JSON: seconds. */
void writer_duration(struct writer *w, const char *key, int64_t ns);

/* Nothing to say: "-", null. */
void writer_none(struct writer *w, const char *key);

/* JSON: an array; text: one line each. In lists of objects only as a detail. */
void writer_strings(struct writer *w, const char *key, const char *const *values, size_t count);

/* Values between on and off are for programs: text does not show them. */
void writer_details(struct writer *w, bool on);

/* Parsed JSON as a value; takes it over. Text shows nothing. */
void writer_json(struct writer *w, const char *key, struct json_object *value);

/* Text only, at the top only: a line as it came, LF added; on a terminal escaped. `json`: it is a
   JSON text and stays one. */
void writer_verbatim(struct writer *w, struct text bytes, bool json);

#endif
