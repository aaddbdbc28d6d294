/*
 * Places, building: rows in any order, until places-write.c makes a file of
 * them.
 *
 * Twelve million rows must fit a small machine, so a row is 24 bytes and its
 * texts one run of bytes; types and vicinities, which many rows share, are
 * kept once.
 */
#include "core/places-build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "core/places-layout.h"

enum { SHARED_FIRST = 1024 }; /* a power of two */

/* The last byte of a cut text must not be half a character: step back over its beginning. */
static size_t
cut_length(struct text t)
{
	size_t len = t.len;

	if (len <= PLACES_TEXT_MAX)
		return len;
	len = PLACES_TEXT_MAX;
	while (len > PLACES_TEXT_MAX - 4 && ((unsigned char)t.at[len] & 0xc0) == 0x80)
		len--;
	return len;
}

static int
texts_add(struct places_build *b, struct text t, uint32_t *ret_at)
{
	size_t len = cut_length(t);
	char *at;

	if (b->texts.len + len + 1 > UINT32_MAX)
		return -EFBIG;
	at = buffer_reserve(&b->texts, len + 1);
	if (!at)
		return -ENOMEM;
	*ret_at = (uint32_t)b->texts.len;
	at[0] = (char)len;
	if (len)
		memcpy(at + 1, t.at, len);
	b->texts.len += len + 1;
	return 0;
}

/* --- texts that rows share ------------------------------------------------ */

static uint64_t
shared_hash(struct text t)
{
	static const struct hash_key key = {UINT64_C(0x706c61636573), UINT64_C(0x736861726564)};

	return hash_siphash13(&key, t.at, t.len);
}

static uint32_t *
shared_slot(const struct places_build *b, struct text t)
{
	size_t mask = b->slot_count - 1;
	size_t at = shared_hash(t) & mask;

	while (b->slots[at] && !text_equal(places_build_text(b, b->shared[b->slots[at] - 1].at), t))
		at = (at + 1) & mask;
	return &b->slots[at];
}

/* Slots stay at most half full, so that a search ends. */
static int
shared_grow(struct places_build *b)
{
	size_t size = b->shared_size ? b->shared_size * 2 : SHARED_FIRST;
	struct shared *shared;
	uint32_t *slots;

	shared = realloc(b->shared, size * sizeof(*shared));
	if (!shared)
		return -ENOMEM;
	b->shared = shared;
	slots = calloc(size * 2, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(b->slots);
	b->slots = slots;
	b->slot_count = size * 2;
	b->shared_size = size;
	for (size_t i = 0; i < b->shared_count; i++)
		*shared_slot(b, places_build_text(b, b->shared[i].at)) = (uint32_t)i + 1;
	return 0;
}

static int
shared_add(struct places_build *b, struct text t, uint32_t *ret)
{
	struct text cut = {t.at, cut_length(t)};
	uint32_t *slot;
	uint32_t at;
	int r;

	if (b->shared_count == b->shared_size) {
		r = shared_grow(b);
		if (r < 0)
			return r;
	}
	slot = shared_slot(b, cut);
	if (!*slot) {
		r = texts_add(b, cut, &at);
		if (r < 0)
			return r;
		b->shared[b->shared_count++] = (struct shared){.at = at};
		*slot = (uint32_t)b->shared_count;
	}
	*ret = *slot - 1;
	return 0;
}

/* --- rows ------------------------------------------------------------------ */

CLEANUP_POINTER(struct places_build, places_build_free);

int
places_build_new(struct places_build **ret)
{
	CLEANUP(places_build_freep) struct places_build *b = calloc(1, sizeof(*b));
	uint32_t none;
	int r;

	if (!b)
		return -ENOMEM;
	b->texts.max = UINT32_MAX;
	r = shared_add(b, TEXT(""), &none); /* number 0, and at 0 in the file too */
	if (r < 0)
		return r;
	*ret = b;
	b = NULL;
	return 0;
}

struct places_build *
places_build_free(struct places_build *b)
{
	if (!b)
		return NULL;
	free(b->rows);
	free(b->shared);
	free(b->slots);
	buffer_done(&b->texts);
	free(b);
	return NULL;
}

size_t
places_build_count(const struct places_build *b)
{
	return b->count;
}

int
places_build_set_attribution(struct places_build *b, struct text attribution)
{
	if (attribution.len > sizeof(b->attribution))
		return -EINVAL;
	memcpy(b->attribution, attribution.at, attribution.len);
	b->attribution_len = attribution.len;
	return 0;
}

static int
rows_grow(struct places_build *b)
{
	size_t size = b->size ? b->size * 2 : SHARED_FIRST;
	struct row *rows;

	if (b->count == PLACES_COUNT_MAX)
		return -EFBIG;
	rows = realloc(b->rows, size * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	b->rows = rows;
	b->size = size;
	return 0;
}

/* "local:" and a hash of what the place is: the same place has the same id in the next import. */
static struct text
make_id(const struct places_row *row, char out[6 + 16])
{
	struct hash_key key = {(uint32_t)row->lat_e7, (uint32_t)row->lon_e7};
	uint64_t hash = hash_siphash13(&key, row->name.at, row->name.len);

	memcpy(out, "local:", 6);
	for (int i = 0; i < 16; i++)
		out[6 + i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
	return (struct text){out, 6 + 16};
}

int
places_build_add(struct places_build *b, const struct places_row *row)
{
	struct row new = {.lat = row->lat_e7, .lon = row->lon_e7, .prominence = row->prominence};
	size_t texts_len = b->texts.len;
	char made[6 + 16];
	uint32_t id;
	int r;

	if (row->name.len == 0 || row->lat_e7 < -900000000 || row->lat_e7 > 900000000 ||
	    row->lon_e7 < -1800000000 || row->lon_e7 > 1800000000)
		return -EINVAL;
	if (b->count == b->size) {
		r = rows_grow(b);
		if (r < 0)
			return r;
	}
	r = texts_add(b, row->name, &new.name);
	if (r == 0)
		r = texts_add(b, row->id.len ? row->id : make_id(row, made), &id);
	if (r < 0) {
		b->texts.len = texts_len;
		return r;
	}
	if (row->types.len) /* else 0, the empty text */
		r = shared_add(b, row->types, &new.types);
	if (r == 0 && row->vicinity.len)
		r = shared_add(b, row->vicinity, &new.vicinity);
	if (r < 0)
		return r; /* leaves a few unused bytes behind, nothing that is wrong */
	b->rows[b->count++] = new;
	return 0;
}
