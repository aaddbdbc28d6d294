/*
 * Escape: ids are bytes that any client chose, and an operator looks at them
 * on a terminal that obeys control sequences. One rule decides for text and
 * for JSON what may pass: what prints and takes room. Controls (C1 too, which
 * some terminals obey in UTF-8), white space wider than a plain space, marks
 * that turn the direction of writing, and marks without width do not.
 *
 * libc's iswprint() is not asked: it lets the direction marks pass, and needs
 * a locale, in which fnmatch() would no longer compare bytes.
 */
#include "ctl/escape.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "base/utf8.h"

struct range {
	uint32_t first, last;
};

/* Code points that do not show themselves. Unicode 15: general categories Cc, Cf, Co, Cs, Zs, Zl,
   Zp, variation selectors, fillers, combining marks of the blocks made of nothing else. */
static const struct range hidden[] = {
	{0x0000, 0x001f},   {0x007f, 0x00a0},	 {0x00ad, 0x00ad},   {0x0300, 0x036f},	 {0x0600, 0x0605},
	{0x061c, 0x061c},   {0x06dd, 0x06dd},	 {0x070f, 0x070f},   {0x0890, 0x0891},	 {0x08e2, 0x08e2},
	{0x115f, 0x1160},   {0x1680, 0x1680},	 {0x17b4, 0x17b5},   {0x180b, 0x180f},	 {0x1ab0, 0x1aff},
	{0x1dc0, 0x1dff},   {0x2000, 0x200f},	 {0x2028, 0x202f},   {0x205f, 0x206f},	 {0x20d0, 0x20ff},
	{0x2800, 0x2800},   {0x3000, 0x3000},	 {0x3164, 0x3164},   {0xd800, 0xf8ff},	 {0xfdd0, 0xfdef},
	{0xfe00, 0xfe0f},   {0xfe20, 0xfe2f},	 {0xfeff, 0xfeff},   {0xffa0, 0xffa0},	 {0xfff0, 0xfffb},
	{0xfffe, 0xffff},   {0x110bd, 0x110bd},	 {0x110cd, 0x110cd}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3},
	{0x1d173, 0x1d17a}, {0xe0000, 0x10ffff},
};

/* East Asian wide and emoji: two columns on every terminal we know. */
static const struct range wide[] = {
	{0x1100, 0x115f},   {0x2e80, 0x303e},	{0x3041, 0xa4cf},   {0xa960, 0xa97f}, {0xac00, 0xd7a3},
	{0xf900, 0xfaff},   {0xfe30, 0xfe6f},	{0xff00, 0xff60},   {0xffe0, 0xffe6}, {0x1f300, 0x1f64f},
	{0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd},
};

static bool
in_ranges(uint32_t code, const struct range *ranges, size_t count)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (code > ranges[middle].last)
			low = middle + 1;
		else if (code < ranges[middle].first)
			high = middle;
		else
			return true;
	}
	return false;
}

static bool
is_hidden(uint32_t code)
{
	return in_ranges(code, hidden, sizeof(hidden) / sizeof(hidden[0]));
}

/* Takes one character off the front of *rest, which is not empty. False: no UTF-8, and the one byte
   taken is *ret_code. */
static bool
take_character(struct text *rest, uint32_t *ret_code)
{
	static const unsigned char first_bits[] = {0xff, 0x7f, 0x1f, 0x0f, 0x07};
	size_t len = utf8_first(*rest);
	uint32_t code = (unsigned char)rest->at[0] & first_bits[len];

	for (size_t i = 1; i < len; i++)
		code = code << 6 | ((unsigned char)rest->at[i] & 0x3f);
	rest->at += len ? len : 1;
	rest->len -= len ? len : 1;
	*ret_code = code;
	return len > 0;
}

/* Takes what nearly everything is made of, and needs no thought, off the front. */
static struct text
take_plain(struct text *rest)
{
	struct text run = {rest->at, 0};

	while (run.len < rest->len && rest->at[run.len] >= ' ' && rest->at[run.len] <= '~' &&
	       rest->at[run.len] != '\\')
		run.len++;
	rest->at += run.len;
	rest->len -= run.len;
	return run;
}

/* "\xNN" for each byte. */
static int
append_hex(struct buffer *out, struct text bytes)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < bytes.len; i++) {
		unsigned char byte = (unsigned char)bytes.at[i];
		char *at = buffer_reserve(out, 4);

		if (!at)
			return -ENOBUFS;
		at[0] = '\\';
		at[1] = 'x';
		at[2] = digits[byte >> 4];
		at[3] = digits[byte & 15];
		out->len += 4;
	}
	return 0;
}

int
escape_text(struct buffer *out, struct text t, unsigned int flags, size_t *ret_columns)
{
	struct text here = take_plain(&t);
	size_t columns = here.len;
	int r = buffer_append(out, here);

	while (r == 0 && t.len) {
		uint32_t code;
		bool shown;

		here = t;
		shown = take_character(&t, &code);
		here.len -= t.len;
		shown = shown && !is_hidden(code) && (code < 0x80 || flags & ESCAPE_UTF8);
		if (shown && code == '\\' && flags & ESCAPE_REVERSIBLE) {
			r = buffer_append(out, TEXT("\\\\"));
			columns += 2;
		} else if (shown) {
			r = buffer_append(out, here);
			columns += 1 + in_ranges(code, wide, sizeof(wide) / sizeof(wide[0]));
		} else {
			r = append_hex(out, here);
			columns += 4 * here.len;
		}
	}
	if (r == 0 && ret_columns)
		*ret_columns = columns;
	return r;
}

/* "\uNNNN", as a pair of surrogates where it takes two. */
static int
append_json_code(struct buffer *out, uint32_t code)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t units[2] = {code, 0};
	size_t count = 1;

	if (code >= 0x10000) {
		units[0] = 0xd800 + ((code - 0x10000) >> 10);
		units[1] = 0xdc00 + ((code - 0x10000) & 0x3ff);
		count = 2;
	}
	for (size_t i = 0; i < count; i++) {
		char *at = buffer_reserve(out, 6);

		if (!at)
			return -ENOBUFS;
		at[0] = '\\';
		at[1] = 'u';
		for (int nibble = 0; nibble < 4; nibble++)
			at[2 + nibble] = digits[units[i] >> (12 - 4 * nibble) & 15];
		out->len += 6;
	}
	return 0;
}

int
escape_json(struct buffer *out, struct text json)
{
	int r = 0;

	while (r == 0 && json.len) {
		struct text here = take_plain(&json);
		uint32_t code;
		bool good;

		r = buffer_append(out, here);
		if (r < 0 || !json.len)
			break;
		here = json;
		good = take_character(&json, &code);
		here.len -= json.len;
		if (!good)
			r = append_json_code(out, 0xfffd);
		else if (code == '\r') /* only between tokens; a terminal would overwrite the line */
			r = buffer_append(out, TEXT(" "));
		else if (is_hidden(code) && code != '\n' && code != '\t')
			r = append_json_code(out, code);
		else
			r = buffer_append(out, here);
	}
	return r;
}

bool
escape_locale_is_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);
		const char *charset;

		if (!value || !value[0])
			continue;
		charset = strchr(value, '.');
		return charset && (strncasecmp(charset + 1, "utf-8", 5) == 0 ||
				   strncasecmp(charset + 1, "utf8", 4) == 0);
	}
	return false;
}
