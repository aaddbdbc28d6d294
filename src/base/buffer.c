/*
 * Buffer: the one way in which anything a client fills grows, so that its
 * ceiling is written down where it is made.
 */
#include "base/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { BUFFER_FIRST = 256 };

void
buffer_done(struct buffer *b)
{
	free(b->bytes);
	b->bytes = NULL;
	b->len = 0;
	b->size = 0;
}

char *
buffer_reserve(struct buffer *b, size_t n)
{
	size_t size = b->size ? b->size : BUFFER_FIRST;
	char *bytes;

	if (n <= b->size - b->len && b->bytes)
		return b->bytes + b->len;
	if (n > b->max || b->len > b->max - n)
		return NULL;
	while (size < b->len + n)
		size *= 2;
	if (size > b->max)
		size = b->max;
	bytes = realloc(b->bytes, size);
	if (!bytes)
		return NULL;
	b->bytes = bytes;
	b->size = size;
	return bytes + b->len;
}

int
buffer_append(struct buffer *b, struct text t)
{
	char *at = buffer_reserve(b, t.len);

	if (!at)
		return -ENOBUFS;
	if (t.len)
		memcpy(at, t.at, t.len);
	b->len += t.len;
	return 0;
}

void
buffer_consume(struct buffer *b, size_t n)
{
	assert(n <= b->len);
	b->len -= n;
	if (b->len && n)
		memmove(b->bytes, b->bytes + n, b->len);
}
