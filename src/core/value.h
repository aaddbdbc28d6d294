#ifndef CORE_VALUE_H
#define CORE_VALUE_H
/*
 * Value: one fix as a table slot holds it, 44 bytes.
 *
 * Location and time are texts over 0-9 + - . / whose low four bits differ, so
 * two bytes of text become one byte and come back as they were.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "core/fix.h"

enum {
	VALUE_WORDS = 11,
	VALUE_TEXT_WORD = 4,					  /* first word of the packed texts */
	VALUE_TEXT_BYTES = HERD_TIME_MAX + 1 + HERD_LOCATION_MAX, /* unpacked, with a separator between */
};

/*
 * word 0      checksum of the others, seeded with the hash of the client's id
 *      1-2    receipt time, ns, low word first
 *      3      server number (bits 0-15), id length (16-23), zero (24-31)
 *      4-10   time, '*', location, filled up with ','; two bytes of text per byte
 */
struct value {
	uint32_t word[VALUE_WORDS];
};

/* time and location are checked texts within their limits. */
void value_pack(struct value *v, uint64_t hash, unsigned int id_len, uint16_t server, int64_t rx_ns,
		struct text time, struct text location);

/* The checksum holds for a client with this hash. */
bool value_intact(const struct value *v, uint64_t hash);

static inline int64_t
value_rx_ns(const struct value *v)
{
	return (int64_t)((uint64_t)v->word[2] << 32 | v->word[1]);
}

static inline uint16_t
value_server(const struct value *v)
{
	return (uint16_t)v->word[3];
}

static inline unsigned int
value_id_len(const struct value *v)
{
	return v->word[3] >> 16 & 0xff;
}

/* The order of DESIGN's "newest wins"; false when the texts make no sense. */
bool value_order_ns(const struct value *v, int64_t *ret_order_ns);

/* Unpacks time and location into the fix; false when they make no sense. */
bool value_texts(const struct value *v, struct herd_fix *fix);

#endif
