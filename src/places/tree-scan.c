/*
 * Tree, its words: json-c is kinder than RFC 8259 even when told to be strict.
 * It takes NaN, raw control characters, halves of surrogate pairs and a name
 * twice. So the words of a text are looked at here first, in one pass and
 * without memory; what their order means is left to json-c.
 */
#include "base/utf8.h"
#include "places/tree.h"

struct scan {
	const char *at, *end;
	size_t depth, values, members;
};

static bool
is_number_byte(char c)
{
	return text_is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* At least one. */
static bool
scan_digits(struct scan *s)
{
	const char *start = s->at;

	while (s->at < s->end && text_is_digit(*s->at))
		s->at++;
	return s->at > start;
}

static bool
scan_take(struct scan *s, char one, char other)
{
	if (s->at == s->end || (*s->at != one && *s->at != other))
		return false;
	s->at++;
	return true;
}

static const char *
scan_number(struct scan *s)
{
	const char *first;
	bool good;

	scan_take(s, '-', '-');
	first = s->at;
	good = scan_digits(s) && (*first != '0' || s->at == first + 1);
	if (good && scan_take(s, '.', '.'))
		good = scan_digits(s);
	if (good && scan_take(s, 'e', 'E')) {
		scan_take(s, '-', '+');
		good = scan_digits(s);
	}
	if (!good || (s->at < s->end && is_number_byte(*s->at)))
		return "a number that is none";
	return NULL;
}

/* The four digits after \u; -1: there are none. */
static int
scan_hex(struct scan *s)
{
	int value = 0;

	if (s->end - s->at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = text_hex_digit(*s->at++);

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

/* After the backslash. */
static const char *
scan_escape(struct scan *s)
{
	static const char bad[] = "an escape that is none", half[] = "half of a surrogate pair";
	int unit;

	if (s->at == s->end)
		return bad;
	if (*s->at++ != 'u')
		return memchr("\"\\/bfnrt", s->at[-1], 8) ? NULL : bad;
	unit = scan_hex(s);
	if (unit < 0)
		return bad;
	if (unit < 0xd800 || unit > 0xdfff)
		return NULL;
	if (unit > 0xdbff || s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
		return half;
	s->at += 2;
	unit = scan_hex(s);
	return unit >= 0xdc00 && unit <= 0xdfff ? NULL : half;
}

/* After the first quote. */
static const char *
scan_string(struct scan *s)
{
	while (s->at < s->end) {
		const char *why;
		size_t n;

		if ((unsigned char)*s->at >= 0x80) {
			n = utf8_first((struct text){s->at, (size_t)(s->end - s->at)});
			if (n == 0)
				return "text that is not UTF-8";
			s->at += n;
			continue;
		}
		switch (*s->at++) {
		case '"':
			return NULL;
		case '\\':
			why = scan_escape(s);
			if (why)
				return why;
			break;
		default:
			if ((unsigned char)s->at[-1] < 0x20)
				return "a control character in a string";
		}
	}
	return "a string without an end";
}

static const char *
scan_literal(struct scan *s)
{
	static const struct text words[] = {TEXT("true"), TEXT("false"), TEXT("null")};

	for (size_t i = 0; i < 3; i++)
		if ((size_t)(s->end - s->at) >= words[i].len &&
		    memcmp(s->at, words[i].at, words[i].len) == 0) {
			s->at += words[i].len;
			return NULL;
		}
	return "a word that is none of JSON";
}

static const char *
scan_word(struct scan *s)
{
	char c = *s->at;

	if (c == '"') {
		s->at++;
		return scan_string(s);
	}
	return c == '-' || text_is_digit(c) ? scan_number(s) : scan_literal(s);
}

static const char *
scan_value(struct scan *s)
{
	if (++s->values > TREE_VALUES_MAX)
		return "too many values";
	if (*s->at != '{' && *s->at != '[')
		return scan_word(s);
	if (++s->depth > TREE_DEPTH_MAX)
		return "too many brackets inside each other";
	s->at++;
	return NULL;
}

const char *
tree_scan(struct text t, size_t *ret_members)
{
	struct scan s = {t.at, t.at + t.len, 0, 0, 0};

	while (s.at < s.end) {
		const char *why = NULL;

		switch (*s.at) {
		case ' ':
		case '\t':
		case '\n':
		case '\r':
		case ',':
			s.at++;
			break;
		case ':': /* outside strings: one for each member */
			s.members++;
			s.at++;
			break;
		case '}':
		case ']':
			if (s.depth == 0)
				return "a bracket too many";
			s.depth--;
			s.at++;
			break;
		default:
			why = scan_value(&s);
		}
		if (why)
			return why;
	}
	*ret_members = s.members;
	return NULL;
}
