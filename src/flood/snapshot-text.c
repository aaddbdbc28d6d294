/*
 * Snapshot, as text: text, because an operator can look into it with any tool
 * and because the AT line already says, exactly, all that a fix is; with a sum
 * over everything, because half a file, or one with a flipped bit, would
 * otherwise be told from a whole one only by luck.
 *
 * Reading is strict: a line is what would have been written, byte for byte, or
 * the whole snapshot is bad. Nothing here trusts the writer to have been us.
 */
#include "flood/snapshot-text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/digits.h"
#include "base/hash.h"

#define MAGIC "HERD-SNAPSHOT"

static void
sum_add(struct snapshot_sum *sum, struct text line)
{
	const struct hash_key key = {sum->hash, sum->lines};

	sum->hash = hash_siphash13(&key, line.at, line.len);
	sum->lines++;
}

static char *
put_hex16(char *out, uint64_t value)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*out++ = "0123456789abcdef"[value >> shift & 15];
	return out;
}

/* --- writing ----------------------------------------------------------------- */

static char *
put_header(char *out, const struct snapshot_header *h)
{
	out = text_put_u64(text_put(out, TEXT(MAGIC " ")), SNAPSHOT_VERSION);
	*out++ = ' ';
	out = text_put_u64(out, h->number);
	*out++ = ' ';
	out = text_put_u64(out, (uint64_t)(h->time_ns / CLOCK_SECOND_NS));
	*out++ = '.';
	out = text_put_digits(out, (uint32_t)(h->time_ns % CLOCK_SECOND_NS), 9);
	*out++ = ' ';
	out = text_put(out, text_of(h->shm));
	*out++ = ' ';
	out = put_hex16(out, h->state);
	*out++ = '\n';
	return out;
}

char *
snapshot_put_header(char *out, const struct snapshot_header *header, struct snapshot_sum *sum)
{
	char *end = put_header(out, header);

	sum_add(sum, (struct text){out, (size_t)(end - out)});
	return end;
}

char *
snapshot_put_fix(char *out, const struct herd_fix *fix, struct snapshot_sum *sum)
{
	char *end = message_put_fix(out, fix);
	struct message_at at;

	/* One fix that makes no sense must not cost all the others. */
	if (!message_parse_at((struct text){out, (size_t)(end - out) - 1}, &at))
		return out;
	sum_add(sum, (struct text){out, (size_t)(end - out)});
	return end;
}

char *
snapshot_put_trailer(char *out, struct snapshot_sum *sum)
{
	char *end = text_put_u64(text_put(out, TEXT("END ")), sum->lines - 1);

	*end++ = ' ';
	sum_add(sum, (struct text){out, (size_t)(end - out)});
	end = put_hex16(end, sum->hash);
	*end++ = '\n';
	return end;
}

/* --- reading ----------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static int
bad(struct snapshot_parser *p, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(p->why, sizeof(p->why), format, ap);
	va_end(ap);
	return SNAPSHOT_E_BAD;
}

/* A field of digits without leading zeros, up to 19 of them. */
static bool
parse_number(struct text t, uint64_t *ret)
{
	const char *at = t.at;
	uint64_t value;

	if (digits_take(&at, t.at + t.len, 19, &value) != t.len || t.len == 0 ||
	    (t.len > 1 && t.at[0] == '0'))
		return false;
	*ret = value;
	return true;
}

static bool
parse_hex16(struct text t, uint64_t *ret)
{
	uint64_t value = 0;

	if (t.len != 16)
		return false;
	for (size_t i = 0; i < t.len; i++) {
		char c = t.at[i];

		if (text_is_digit(c))
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret = value;
	return true;
}

/* Seconds and nanoseconds since 1970, within 64 bits. */
static bool
parse_time(struct text t, int64_t *ret_ns)
{
	struct fix_time time;
	int64_t ns;

	if (fix_time_parse(t, &time) != 0 || __builtin_mul_overflow(time.s, CLOCK_SECOND_NS, &ns) ||
	    __builtin_add_overflow(ns, time.ns, ret_ns))
		return false;
	return true;
}

static bool
parse_header(struct text line, struct snapshot_header *ret)
{
	struct snapshot_header h = {0};
	char again[SNAPSHOT_LINE_MAX];
	struct text rest = line, shm;
	uint64_t version;

	(void)text_take_field(&rest);
	(void)parse_number(text_take_field(&rest), &version);
	if (!parse_number(text_take_field(&rest), &h.number) || h.number > SNAPSHOT_NUMBER_MAX ||
	    !parse_time(text_take_field(&rest), &h.time_ns))
		return false;
	shm = text_take_field(&rest);
	if (shm.len < 1 || shm.len > SNAPSHOT_SHM_MAX || memchr(shm.at, '\0', shm.len))
		return false;
	memcpy(h.shm, shm.at, shm.len);
	if (!parse_hex16(text_take_field(&rest), &h.state))
		return false;
	/* What was lenient above shows here. */
	if (!text_equal((struct text){again, (size_t)(put_header(again, &h) - again)}, line))
		return false;
	*ret = h;
	return true;
}

static int
take_header(struct snapshot_parser *p, struct text line)
{
	struct text rest = line;
	uint64_t version;

	if (!text_equal(text_take_field(&rest), TEXT(MAGIC)) ||
	    !parse_number(text_take_field(&rest), &version))
		return bad(p, "it is no snapshot");
	if (version != SNAPSHOT_VERSION)
		return bad(p, "it has format %" PRIu64 ", made by another version (this one reads %d)",
			   version, SNAPSHOT_VERSION);
	if (!parse_header(line, &p->header))
		return bad(p, "its first line is damaged");
	if (!text_equal(text_of(p->header.shm), text_of(p->shm)))
		return bad(p, "it is of the table '%s'", p->header.shm);
	sum_add(&p->sum, line);
	return SNAPSHOT_E_HEADER;
}

bool
snapshot_parse_trailer(struct text line, uint64_t *ret_fixes, uint64_t *ret_sum)
{
	struct snapshot_sum unused = {0};
	char again[SNAPSHOT_LINE_MAX];
	struct text rest = line;
	uint64_t fixes, sum;
	char *end;

	if (!text_equal(text_take_field(&rest), TEXT("END")) ||
	    !parse_number(text_take_field(&rest), &fixes) || !parse_hex16(text_take_field(&rest), &sum))
		return false;
	unused.lines = fixes + 1;
	end = snapshot_put_trailer(again, &unused) - 17;
	end = put_hex16(end, sum);
	*end++ = '\n';
	if (!text_equal((struct text){again, (size_t)(end - again)}, line))
		return false;
	*ret_fixes = fixes;
	*ret_sum = sum;
	return true;
}

static int
take_trailer(struct snapshot_parser *p, struct text line)
{
	const uint64_t have = p->sum.lines - 1;
	uint64_t fixes, sum;

	if (!snapshot_parse_trailer(line, &fixes, &sum))
		return bad(p, "its last line is damaged");
	if (fixes != have)
		return bad(p, "it has %" PRIu64 " fixes and should have %" PRIu64, have, fixes);
	sum_add(&p->sum, (struct text){line.at, line.len - 17});
	if (sum != p->sum.hash)
		return bad(p, "its checksum is wrong");
	return SNAPSHOT_E_END;
}

static bool
starts_with(struct text line, struct text with)
{
	return line.len >= with.len && memcmp(line.at, with.at, with.len) == 0;
}

int
snapshot_parse_line(struct snapshot_parser *p, struct text line, struct message_at *ret)
{
	const bool is_line = line.len > 0 && line.len <= SNAPSHOT_LINE_MAX && line.at[line.len - 1] == '\n';

	if (p->sum.lines == 0)
		return is_line ? take_header(p, line) : bad(p, "it is no snapshot");
	if (is_line && starts_with(line, TEXT("END ")))
		return take_trailer(p, line);
	if (!is_line || !message_parse_at((struct text){line.at, line.len - 1}, ret))
		return bad(p, "line %" PRIu64 " is damaged", p->sum.lines + 1);
	sum_add(&p->sum, line);
	return 0;
}
