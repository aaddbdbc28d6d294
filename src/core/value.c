/*
 * Value: packing is arithmetic on whole words, because it runs once for every
 * fix stored and once for every fix looked at.
 */
#include "core/value.h"

#include <string.h>

_Static_assert(VALUE_TEXT_BYTES == (VALUE_WORDS - VALUE_TEXT_WORD) * 8, "two bytes of text per byte");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the segment is little-endian");

#define SEPARATOR '*' /* low bits 10: no byte of a time or a location has them */
#define FILLER	  ',' /* low bits 12: likewise */

/* Eight bytes of text to eight nibbles: the low four bits of each. */
static inline uint32_t
nibbles_of(uint64_t chars)
{
	uint64_t x = chars & UINT64_C(0x0f0f0f0f0f0f0f0f);

	x = (x | x >> 4) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
	return (uint32_t)(x | x >> 16);
}

/* The way back: 0-9 lie at 0x30, the others (* + , - . /) at 0x20. */
static inline uint64_t
chars_of(uint32_t nibbles)
{
	uint64_t x = nibbles;
	uint64_t digit;

	x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
	x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x | x << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	digit = ~(x + UINT64_C(0x0606060606060606)) & UINT64_C(0x1010101010101010);
	return x | UINT64_C(0x2020202020202020) | digit;
}

/* Not for adversaries: it finds wild writes and values of another client. */
static uint32_t
value_sum(const struct value *v, uint64_t hash)
{
	uint64_t h = hash ^ UINT64_C(0x9e3779b97f4a7c15);

	for (int i = 1; i < VALUE_WORDS; i += 2) {
		h ^= (uint64_t)v->word[i + 1] << 32 | v->word[i];
		h *= UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	return (uint32_t)h;
}

void
value_pack(struct value *v, uint64_t hash, unsigned int id_len, uint16_t server, int64_t rx_ns,
	   struct text time, struct text location)
{
	char chars[VALUE_TEXT_BYTES];
	char *end = chars;
	uint64_t eight;

	memset(chars, FILLER, sizeof(chars));
	end = text_put(end, time);
	*end++ = SEPARATOR;
	text_put(end, location);

	v->word[1] = (uint32_t)(uint64_t)rx_ns;
	v->word[2] = (uint32_t)((uint64_t)rx_ns >> 32);
	v->word[3] = (uint32_t)server | (uint32_t)id_len << 16;
	for (int i = VALUE_TEXT_WORD; i < VALUE_WORDS; i++) {
		memcpy(&eight, chars + 8 * (i - VALUE_TEXT_WORD), 8);
		v->word[i] = nibbles_of(eight);
	}
	v->word[0] = value_sum(v, hash);
}

bool
value_intact(const struct value *v, uint64_t hash)
{
	return v->word[0] == value_sum(v, hash) && v->word[3] >> 24 == 0;
}

/* Unpacks the first `words` words of text. */
static void
value_chars(const struct value *v, int words, char *chars)
{
	for (int i = 0; i < words; i++) {
		uint64_t eight = chars_of(v->word[VALUE_TEXT_WORD + i]);

		memcpy(chars + (size_t)8 * (size_t)i, &eight, 8);
	}
}

bool
value_order_ns(const struct value *v, int64_t *ret_order_ns)
{
	enum { TIME_WORDS = (HERD_TIME_MAX + 1 + 7) / 8 };
	char chars[TIME_WORDS * 8];
	struct fix_time client;
	const char *end;

	value_chars(v, TIME_WORDS, chars);
	end = memchr(chars, SEPARATOR, HERD_TIME_MAX + 1);
	if (!end || fix_time_parse((struct text){chars, (size_t)(end - chars)}, &client) != 0)
		return false;
	*ret_order_ns = fix_order_ns(&client, value_rx_ns(v));
	return true;
}

bool
value_texts(const struct value *v, struct herd_fix *fix)
{
	char chars[VALUE_TEXT_BYTES + 1];
	const char *time_end, *end;

	value_chars(v, VALUE_WORDS - VALUE_TEXT_WORD, chars);
	chars[VALUE_TEXT_BYTES] = FILLER;
	time_end = memchr(chars, SEPARATOR, HERD_TIME_MAX + 1);
	if (!time_end)
		return false;
	end = memchr(time_end, FILLER, (size_t)(chars + sizeof(chars) - time_end));
	if (!end || end - time_end - 1 > HERD_LOCATION_MAX)
		return false;
	fix->time_len = (uint8_t)(time_end - chars);
	memcpy(fix->time, chars, fix->time_len);
	fix->location_len = (uint8_t)(end - time_end - 1);
	memcpy(fix->location, time_end + 1, fix->location_len);
	return true;
}
