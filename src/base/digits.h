#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H
/*
 * Runs of decimal digits, eight at a time: half of what a client sends is
 * digits, and a multiplication per digit would be half of the parser's time.
 */
#include <stdint.h>
#include <string.h>

#include "base/text.h"

/* The eight bytes at `at`, the first one lowest. */
static inline uint64_t
digits_load(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

/* How many of the word's bytes, from the first on, are digits: 0 to 8. */
static inline unsigned int
digits_count(uint64_t word)
{
	/* High nibble 3 before and after adding 6: '0' to '9' and nothing else. What a byte above
	   0xf9 carries over spoils only the later bytes: it has ended the run itself. */
	uint64_t high = UINT64_C(0xf0f0f0f0f0f0f0f0);
	uint64_t three = UINT64_C(0x3030303030303030);
	uint64_t others = ((word & high) ^ three) | (((word + UINT64_C(0x0606060606060606)) & high) ^ three);

	return others ? (unsigned int)__builtin_ctzll(others) / 8 : 8;
}

/* The number that the word's first n (1 to 8) bytes spell; they are digits. */
static inline uint64_t
digits_value(uint64_t word, unsigned int n)
{
	/* Shifted up, the missing leading digits are zero bytes, which spell zero just as well. */
	word = (word << (64 - 8 * n)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	word = (word * 10 + (word >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
	word = (word * 100 + (word >> 16)) & UINT64_C(0x0000ffff0000ffff);
	return (word * 10000 + (word >> 32)) & UINT64_C(0xffffffff);
}

/* Writes exactly eight digits of value (below 10^8) at out; the inverse of digits_value(). */
static inline char *
digits_put8(char *out, uint32_t value)
{
	uint64_t word = value / 10000 | (uint64_t)(value % 10000) << 32;
	uint64_t quotient;

	/* Both halves by 100, then all four quarters by 10; the products are exact in these ranges. */
	quotient = (word * 5243 >> 19) & UINT64_C(0x0000007f0000007f);
	word = quotient | (word - quotient * 100) << 16;
	quotient = (word * 103 >> 10) & UINT64_C(0x000f000f000f000f);
	word = quotient | (word - quotient * 10) << 8;
	word |= UINT64_C(0x3030303030303030);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	memcpy(out, &word, sizeof(word));
	return out + sizeof(word);
}

static const uint64_t digits_power[] = {
	UINT64_C(1),
	UINT64_C(10),
	UINT64_C(100),
	UINT64_C(1000),
	UINT64_C(10000),
	UINT64_C(100000),
	UINT64_C(1000000),
	UINT64_C(10000000),
	UINT64_C(100000000),
	UINT64_C(1000000000),
	UINT64_C(10000000000),
	UINT64_C(100000000000),
	UINT64_C(1000000000000),
	UINT64_C(10000000000000),
};

/*
 * Takes the digits at *at, all there are but at most `max` (up to 19), and
 * moves *at past them. Returns how many; *ret_value is their number, 0 for none.
 * Reads nothing at or after `end`.
 */
static inline unsigned int
digits_take(const char **at, const char *end, unsigned int max, uint64_t *ret_value)
{
	const char *next = *at;
	uint64_t value = 0;
	unsigned int taken = 0;

	while (max - taken >= 8 && end - next >= 8) {
		uint64_t word = digits_load(next);
		unsigned int n = digits_count(word);

		if (n)
			value = value * digits_power[n] + digits_value(word, n);
		next += n;
		taken += n;
		if (n < 8)
			goto done;
	}
	for (; taken < max && next < end && text_is_digit(*next); next++, taken++)
		value = value * 10 + (uint64_t)(*next - '0');
done:
	*at = next;
	*ret_value = value;
	return taken;
}

#endif
