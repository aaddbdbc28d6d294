/*
 * Fuzzes a places file: whatever it holds, opening and asking end, nothing is
 * read outside, no result is farther than the radius, and the JSON is written.
 *
 * The sums of a file turn nearly every change into a refusal, so the bytes are
 * tried as they are and then as the contents of a file whose sums are right:
 * a question (18 bytes), the count of places and the bytes of text (2 each), the body.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/places-layout.h"
#include "core/places.h"
#include "places/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUESTION_BYTES = 18, HEAD_BYTES = QUESTION_BYTES + 4, COUNT_LIMIT = 6000 };

static struct places_query
take_question(const uint8_t *data)
{
	struct places_query q;

	memcpy(&q.lat_e7, data, 4);
	memcpy(&q.lon_e7, data + 4, 4);
	memcpy(&q.radius_km, data + 8, 8);
	q.lat_e7 %= 900000001;
	q.lon_e7 %= 1800000001;
	q.bound = data[16];
	q.rank = data[17] % 2 ? PLACES_DISTANCE : PLACES_PROMINENCE;
	return q;
}

static void
ask(const struct places *p, const struct places_query *q)
{
	struct buffer out = {.max = 1 << 20};
	struct places_found found;

	assert(places_nearby(p, q, &found) == 0);
	assert(found.count <= q->bound && found.count <= PLACES_BOUND_MAX);
	for (size_t i = 0; i < found.count; i++)
		assert(found.place[i].distance_m <= q->radius_km * 1000);
	assert(json_put_places(&out, &found, places_attribution(p)) == 0);
	assert(!memchr(out.bytes, '\n', out.len));
	buffer_done(&out);
}

static void
try_as_it_is(const uint8_t *data, size_t size)
{
	struct places_query q = {340689300, -1184451270, 20100, 20, PLACES_DISTANCE};
	void *copy = malloc(size ? size : 1); /* aligned, and its end is watched */
	struct places *p;

	assert(copy);
	memcpy(copy, data, size);
	if (places_from_memory(&p, copy, size) == 0) {
		ask(p, &q);
		places_free(p);
	}
	free(copy);
}

static void
sum_up(unsigned char *file, uint64_t count, uint64_t texts_bytes, uint64_t file_bytes, uint32_t attribution)
{
	struct places_header h = {
		.magic = PLACES_MAGIC,
		.byte_order = PLACES_BYTE_ORDER,
		.attribution = attribution,
		.count = count,
		.texts_bytes = texts_bytes,
		.file_bytes = file_bytes,
	};

	/* Below PLACES_SUM_CHUNK: one chunk. */
	h.body_sum = places_sum(0, file + sizeof(h), file_bytes - sizeof(h));
	h.header_sum = places_header_sum(&h);
	memcpy(file, &h, sizeof(h));
}

static void
try_as_contents(const uint8_t *data, size_t size)
{
	struct places_query q = take_question(data);
	uint64_t count = (data[18] | (uint64_t)data[19] << 8) % COUNT_LIMIT;
	uint64_t texts_bytes = (data[20] | (uint64_t)data[21] << 8) + 1;
	struct places_layout layout;
	unsigned char *file;
	struct places *p;
	size_t body;

	places_layout_make(count, texts_bytes, &layout);
	file = calloc(1, layout.file_bytes);
	assert(file);
	body = layout.file_bytes - sizeof(struct places_header);
	memcpy(file + sizeof(struct places_header), data + HEAD_BYTES,
	       size - HEAD_BYTES < body ? size - HEAD_BYTES : body);
	sum_up(file, count, texts_bytes, layout.file_bytes, data[21]);
	assert(places_from_memory(&p, file, layout.file_bytes) == 0);
	ask(p, &q);
	places_free(p);
	free(file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_as_it_is(data, size);
	if (size >= HEAD_BYTES)
		try_as_contents(data, size);
	return 0;
}
