/*
 * Clients, files and command lines may hold any byte. A terminal obeys some of
 * them (ESC, and the C1 controls U+0080 to U+009F as well) and a log file is
 * read line by line, so everything shown goes through utf8_escape() first. What
 * is left reads as it was written, in any language.
 */
#include "base/utf8.h"

#include <assert.h>

static bool
is_tail(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

size_t
utf8_first(struct text t)
{
	if (t.len == 0)
		return 0;

	unsigned char a = (unsigned char)t.at[0];
	unsigned char b = t.len > 1 ? (unsigned char)t.at[1] : 0;

	if (a < 0x80)
		return 1;
	if (a >= 0xc2 && a <= 0xdf)
		return t.len >= 2 && is_tail(t.at[1]) ? 2 : 0;
	/* The second byte rules out overlong forms, surrogates and what is past U+10FFFF. */
	if (a >= 0xe0 && a <= 0xef)
		return t.len >= 3 && is_tail(t.at[1]) && is_tail(t.at[2]) && !(a == 0xe0 && b < 0xa0) &&
				       !(a == 0xed && b > 0x9f)
			       ? 3
			       : 0;
	if (a >= 0xf0 && a <= 0xf4)
		return t.len >= 4 && is_tail(t.at[1]) && is_tail(t.at[2]) && is_tail(t.at[3]) &&
				       !(a == 0xf0 && b < 0x90) && !(a == 0xf4 && b > 0x8f)
			       ? 4
			       : 0;
	return 0;
}

bool
utf8_valid(struct text t)
{
	while (t.len > 0) {
		size_t n = utf8_first(t);

		if (n == 0)
			return false;
		t.at += n;
		t.len -= n;
	}
	return true;
}

size_t
utf8_cut(struct text t)
{
	size_t tails = 0, wanted;
	unsigned char lead;

	while (tails < 3 && tails < t.len && is_tail(t.at[t.len - 1 - tails]))
		tails++;
	if (tails == t.len)
		return t.len;
	lead = (unsigned char)t.at[t.len - 1 - tails];
	wanted = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0;
	return tails < wanted ? t.len - 1 - tails : t.len;
}

/* U+0000 to U+001F, U+007F; as two bytes, U+0080 to U+009F. */
static bool
is_control(const char *c, size_t n)
{
	unsigned char a = (unsigned char)c[0];

	return n == 1 ? a < 0x20 || a == 0x7f : n == 2 && a == 0xc2 && (unsigned char)c[1] < 0xa0;
}

size_t
utf8_escape(struct text t, char *out, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t used = 0, cut = 0; /* cut: where "..." still fits */

	assert(size >= 8);
	while (t.len > 0) {
		size_t n = utf8_first(t);
		bool plain = n > 0 && !is_control(t.at, n);
		size_t need = plain ? n : 4;

		if (used + 4 <= size)
			cut = used;
		if (used + need + 1 > size) {
			memcpy(out + cut, "...", 4);
			return cut + 3;
		}
		if (plain) {
			memcpy(out + used, t.at, n);
		} else {
			unsigned char byte = (unsigned char)t.at[0];

			memcpy(out + used, "\\x", 2);
			out[used + 2] = hex[byte >> 4];
			out[used + 3] = hex[byte & 15];
			n = 1;
		}
		used += need;
		t.at += n;
		t.len -= n;
	}
	out[used] = '\0';
	return used;
}
