#ifndef CORE_PLACES_LAYOUT_H
#define CORE_PLACES_LAYOUT_H
/*
 * The bytes of a places file, for places.c, places-near.c and places-build.c.
 *
 *   header | boxes of the root ... boxes above the leaves | leaves | rests | texts
 *
 * A packed R-tree: the places stand in the order of a Hilbert curve, PLACES_FAN
 * of them in a leaf, the boxes of PLACES_FAN leaves in a node, and so on up to
 * one root. Everything but the texts is dense, so the header's two numbers say
 * where each section begins, and block i has the children PLACES_FAN * i and
 * on: there are no pointers to trust.
 *
 * Little-endian, as everything herd maps. A section begins on a multiple of
 * PLACES_ALIGN; what is left between two is zero.
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PLACES_FAN = 16,
	PLACES_ALIGN = 64,
	PLACES_LEVELS_MAX = 7,	    /* of nodes: 16^8 is 2^32 */
	PLACES_SUM_CHUNK = 1 << 20, /* bytes, see places_sum() */
};

#define PLACES_MAGIC	  "HERDPL\0\1" /* the last byte is the layout */
#define PLACES_BYTE_ORDER UINT32_C(0x01020304)
#define PLACES_COUNT_MAX  UINT32_MAX

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "places files are mapped as they are and little-endian"
#endif

struct places_header {
	char magic[8];
	uint32_t byte_order;
	uint32_t attribution; /* a text */
	uint64_t count;	      /* of places */
	uint64_t texts_bytes;
	uint64_t file_bytes;
	uint64_t body_sum;   /* of all that follows the header */
	uint64_t header_sum; /* of the fields above */
	uint64_t zero;
};
_Static_assert(sizeof(struct places_header) == 64, "part of the file format");

/* What lies below each of PLACES_FAN children. Missing ones have boxes that nothing meets. */
struct places_node {
	int32_t lat_min[PLACES_FAN], lat_max[PLACES_FAN];
	int32_t lon_min[PLACES_FAN], lon_max[PLACES_FAN];
	uint32_t prominence[PLACES_FAN]; /* the greatest */
};
_Static_assert(sizeof(struct places_node) == 320, "part of the file format");

struct places_leaf {
	int32_t lat[PLACES_FAN], lon[PLACES_FAN];
	uint32_t prominence[PLACES_FAN];
};
_Static_assert(sizeof(struct places_leaf) == 192, "part of the file format");

/* What a query needs of its results only. Offsets into the texts; a text is a byte of length and
   that many bytes; the first text is the empty one. */
struct places_rest {
	uint32_t name, id, types, vicinity;
};
_Static_assert(sizeof(struct places_rest) == 16, "part of the file format");

/* Where everything is: follows from the header's two numbers. */
struct places_layout {
	unsigned int levels;		    /* of nodes; 0: no places at all */
	uint64_t blocks[PLACES_LEVELS_MAX]; /* nodes of each level; [0]: 1, the root */
	uint64_t nodes_at[PLACES_LEVELS_MAX];
	uint64_t leaves, leaves_at, rests_at, texts_at, file_bytes;
};

/* count at most PLACES_COUNT_MAX, texts_bytes at most UINT32_MAX. */
void places_layout_make(uint64_t count, uint64_t texts_bytes, struct places_layout *ret);

/* Chains the sum of the next chunk (PLACES_SUM_CHUNK bytes but for the last) to that of those before;
   the first one's `sum` is 0. Finds damage, not malice. */
uint64_t places_sum(uint64_t sum, const void *bytes, size_t len);
uint64_t places_header_sum(const struct places_header *h);

/* A file that is mapped and checked. */
struct places {
	const unsigned char *base;
	size_t bytes;
	bool is_mapped; /* ours to unmap */
	uint64_t count;
	uint32_t texts_bytes;
	struct places_layout layout;
	const struct places_node *nodes[PLACES_LEVELS_MAX];
	const struct places_leaf *leaves;
	const struct places_rest *rests;
	const unsigned char *texts;
	uint8_t attribution_len;
	char attribution[255]; /* a copy: it must be readable without a guard */
};

/* Copies the text that begins at `at` to out (room for PLACES_TEXT_MAX bytes) and returns its length;
   0 when it lies outside. Under the guard only. */
size_t places_text_copy(const struct places *p, uint32_t at, char *out);

/* Copies the text that begins at `at` to out (room for PLACES_TEXT_MAX bytes) and returns its length;
   0 when it lies outside. Under the guard only. */
size_t places_text_copy(const struct places *p, uint32_t at, char *out);

#endif
