/*
 * Text: bytes in, bytes out, without a locale and without stdio, because both
 * the parser and the formatter run once per command.
 */
#include "base/text.h"

static const char digit_pairs[] = "00010203040506070809"
				  "10111213141516171819"
				  "20212223242526272829"
				  "30313233343536373839"
				  "40414243444546474849"
				  "50515253545556575859"
				  "60616263646566676869"
				  "70717273747576777879"
				  "80818283848586878889"
				  "90919293949596979899";

int
text_compare(struct text a, struct text b)
{
	size_t shared = a.len < b.len ? a.len : b.len;
	int order = shared ? memcmp(a.at, b.at, shared) : 0;

	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

struct text
text_trim(struct text t)
{
	while (t.len && text_is_space(t.at[0])) {
		t.at++;
		t.len--;
	}
	while (t.len && text_is_space(t.at[t.len - 1]))
		t.len--;
	return t;
}

struct text
text_take_line(struct text *rest)
{
	const char *end = memchr(rest->at, '\n', rest->len);
	struct text line = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
	size_t gone = line.len + (end ? 1 : 0);

	rest->at += gone;
	rest->len -= gone;
	return line;
}

struct text
text_take_field(struct text *rest)
{
	const char *at = rest->at;
	const char *end = at + rest->len;
	const char *start;

	while (at < end && text_is_space(*at))
		at++;
	start = at;
	while (at < end && !text_is_space(*at))
		at++;
	*rest = (struct text){at, (size_t)(end - at)};
	return (struct text){start, (size_t)(at - start)};
}

char *
text_put_u64(char *out, uint64_t value)
{
	char digits[20];
	char *at = digits + sizeof(digits);

	while (value >= 100) {
		at -= 2;
		memcpy(at, digit_pairs + 2 * (value % 100), 2);
		value /= 100;
	}
	if (value >= 10) {
		at -= 2;
		memcpy(at, digit_pairs + 2 * value, 2);
	} else {
		*--at = (char)('0' + value);
	}
	return text_put(out, (struct text){at, (size_t)(digits + sizeof(digits) - at)});
}

bool
text_is_printable(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] < ' ' || t.at[i] > '~')
			return false;
	return true;
}

char *
text_put_digits(char *out, uint32_t value, unsigned int digits)
{
	char *end = out + digits;
	char *at = end;

	for (; digits >= 2; digits -= 2) {
		at -= 2;
		memcpy(at, digit_pairs + (size_t)2 * (value % 100), 2);
		value /= 100;
	}
	if (digits)
		*--at = (char)('0' + value % 10);
	return end;
}
