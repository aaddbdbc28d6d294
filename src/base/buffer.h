#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H
/*
 * A growing run of bytes with a ceiling. Zero-initialised plus max is a valid
 * empty buffer; nothing is allocated before the first byte.
 */
#include <stddef.h>

#include "base/text.h"

struct buffer {
	char *bytes; /* owned */
	size_t len;  /* used */
	size_t size; /* allocated */
	size_t max;  /* never grows past this */
};

/* Frees the bytes; max stays. */
void buffer_done(struct buffer *b);

/* Makes room for n more bytes. NULL: it would pass max, or no memory; nothing changed.
   Write at the result, then count what was written in b->len. */
char *buffer_reserve(struct buffer *b, size_t n);

/* 0; -ENOBUFS as buffer_reserve() gives NULL. */
int buffer_append(struct buffer *b, struct text t);

/* Drops n (at most len) bytes from the front. */
void buffer_consume(struct buffer *b, size_t n);

#endif
