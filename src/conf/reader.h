#ifndef CONF_READER_H
#define CONF_READER_H
/*
 * INI files: [section] headers, NAME = VALUE, comments from '#' or ';' at the
 * front of a line, and from ';' after white space. UTF-8.
 */
#include <stdbool.h>

#include "base/text.h"

enum { READER_FILE_MAX = 1 << 20 };

/* What a file says, in its order. Strings live as long as the call. */
struct reader {
	/* False: skip what follows, up to the next header. */
	bool (*on_section)(void *user, unsigned int line, struct text name);
	/* A header that cannot be read; what follows is skipped as well. */
	void (*on_bad_section)(void *user, unsigned int line, const char *why);
	void (*on_setting)(void *user, unsigned int line, const char *name, const char *value);
	void (*on_error)(void *user, unsigned int line, const char *why);
	void *user;
};

/* Reads on behind errors: all of them are told. 0; -ENOMEM. */
int reader_read(struct text bytes, const struct reader *reader);

/* The whole file, allocated. Negative errno; -EFBIG: more than READER_FILE_MAX; -EINVAL: it is neither a
   regular file nor a device. Never waits for a writer. */
int reader_load(const char *path, char **ret_bytes, size_t *ret_len);

#endif
