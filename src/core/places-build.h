#ifndef CORE_PLACES_BUILD_H
#define CORE_PLACES_BUILD_H
/* What places-build.c (the rows as they come) and places-write.c (the file they become) share. */
#include "base/buffer.h"
#include "core/places.h"

struct row {
	int32_t lat, lon;
	uint32_t prominence;
	uint32_t name;		  /* in b->texts; the id follows */
	uint32_t types, vicinity; /* in b->shared */
};

/* A text that many rows may have. */
struct shared {
	uint32_t at;	  /* in b->texts */
	uint32_t written; /* where it is in the file that is being written; 0: nowhere yet */
};

struct places_build {
	struct row *rows;
	size_t count, size;
	struct buffer texts; /* each a byte of length and that many bytes; begins with the empty text */
	struct shared *shared;
	size_t shared_count, shared_size;
	uint32_t *slots; /* open addressing; index into shared plus one, 0: free */
	size_t slot_count;
	char attribution[PLACES_TEXT_MAX];
	size_t attribution_len;
};

static inline struct text
places_build_text(const struct places_build *b, uint32_t at)
{
	return (struct text){b->texts.bytes + at + 1, (unsigned char)b->texts.bytes[at]};
}

#endif
