#ifndef PLACES_INPUT_H
#define PLACES_INPUT_H
/*
 * Input: a file or a pipe read through a window of fixed size, by lines or by
 * whatever a format calls a record.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

enum {
	INPUT_E_END = 16, /* nothing more; not a value of IMPORT_E_*, which take the same ways up */
	INPUT_E_FULL,	  /* a record longer than INPUT_RECORD_MAX */
};

enum {
	INPUT_RECORD_MAX = 1 << 20,
	INPUT_SIZE = 2 << 20,
};

struct input {
	int fd;
	bool at_end;
	char *bytes; /* INPUT_SIZE of them, owned; what stands in the window may be written to */
	size_t start, end;
	uint64_t taken;	      /* bytes before the window */
	uint64_t line;	      /* of the window's first byte, from 1 on */
	uint64_t record_line; /* where what input_line() returned last began */
};

/* "-" is standard input. A zero-initialised struct with fd -1 may be done as well. */
int input_open(struct input *in, const char *path);
void input_done(struct input *in);

/* What has been read and not taken. Valid until input_fill() or input_line(). */
static inline struct text
input_window(const struct input *in)
{
	return (struct text){in->bytes + in->start, in->end - in->start};
}

/* Reads more into the window. 0; INPUT_E_END; INPUT_E_FULL: it holds INPUT_RECORD_MAX already;
   negative errno. */
int input_fill(struct input *in);

/* Moves the window's beginning on by n bytes, counting lines. */
void input_take(struct input *in, size_t n);

/* Takes a line, without its LF and a CR before that. 0; INPUT_E_END; INPUT_E_FULL: it was too long
   and is skipped. */
int input_line(struct input *in, struct text *ret);

#endif
