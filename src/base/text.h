#ifndef BASE_TEXT_H
#define BASE_TEXT_H
/*
 * A run of bytes inside somebody else's buffer: not owned, not ended by NUL,
 * any byte allowed. What clients send is text in this sense, never a string.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
	const char *at;
	size_t len;
};

#define TEXT(literal) ((struct text){literal, sizeof(literal) - 1})

static inline struct text
text_of(const char *string)
{
	return (struct text){string, strlen(string)};
}

static inline bool
text_equal(struct text a, struct text b)
{
	return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static inline bool
text_begins(struct text t, struct text with)
{
	return t.len >= with.len && memcmp(t.at, with.at, with.len) == 0;
}

/* White space is exactly six bytes, whatever the locale says. */
static inline bool
text_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool
text_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* What a hexadecimal digit of either case stands for; -1: it is none. */
static inline int
text_hex_digit(char c)
{
	if (text_is_digit(c))
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* < 0, 0, > 0 by bytes; of two texts with one beginning the longer is greater. */
int text_compare(struct text a, struct text b);

/* Every byte of it is printable ASCII, a space among them. */
bool text_is_printable(struct text t);

/* Without the white space at both ends. */
struct text text_trim(struct text t);

/* Takes the first line off, without its LF; what is left at the end may lack one. *rest must not be empty. */
struct text text_take_line(struct text *rest);

/* Takes the next field off the front of *rest; an empty text when none is left. */
struct text text_take_field(struct text *rest);

/* Writes value in decimal at out (room for 20 bytes); returns the end. */
char *text_put_u64(char *out, uint64_t value);

/* Writes value in decimal, exactly `digits` (1 to 9) wide, zero-padded; returns the end. */
char *text_put_digits(char *out, uint32_t value, unsigned int digits);

/* Appends bytes; returns the end. */
static inline char *
text_put(char *out, struct text t)
{
	memcpy(out, t.at, t.len);
	return out + t.len;
}

#endif
