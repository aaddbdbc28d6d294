/*
 * Message: the line protocol without a connection. A command is walked once
 * and by bytes, never by the locale; what is parsed is what is answered, byte
 * for byte, so texts are pointed at and not converted back and forth.
 */
#include "core/message.h"

#include "base/digits.h"

enum {
	RADIUS_DIGITS = 2, /* without leading zeros */
	RADIUS_FRACTION_DIGITS = 13,
	BOUND_DIGITS = 2,
	SKEW_DIGITS = 11,
	SKEW_FRACTION_DIGITS = 9,
};

static const char *
skip_space(const char *at, const char *end)
{
	while (at < end && text_is_space(*at))
		at++;
	return at;
}

/* The end of the id that starts at `at`: white space, a NUL, or `end`. */
static const char *
id_end(const char *at, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);

	while (at < end) {
		if (end - at >= 8) {
			uint64_t word = digits_load(at);
			/* Bytes up to 0x20; of these the lowest is told exactly. */
			uint64_t low = (word - ones * 0x21) & ~word & (ones << 7);

			if (!low) {
				at += 8;
				continue;
			}
			at += __builtin_ctzll(low) / 8;
		}
		if (text_is_space(*at) || *at == '\0')
			break;
		at++;
	}
	return at;
}

/* An id and the white space behind it; false when that is not what is there. */
static bool
take_id(const char **at, const char *end, struct text *ret_id)
{
	const char *start = *at;
	const char *next = id_end(start, end);
	size_t len = (size_t)(next - start);

	if (len < 1 || len > HERD_ID_MAX || next == end || *next == '\0')
		return false;
	*ret_id = (struct text){start, len};
	*at = skip_space(next + 1, end);
	return true;
}

static bool
parse_iamat(const char *at, const char *end, struct message *m)
{
	struct location location;
	const char *start;

	if (!take_id(&at, end, &m->id))
		return false;

	start = at;
	if (location_take(&at, end, &location) > 0 || at == end || !text_is_space(*at))
		return false;
	m->location = (struct text){start, (size_t)(at - start)};

	at = skip_space(at + 1, end);
	start = at;
	if (fix_time_take(&at, end, &m->client_time) > 0)
		return false;
	m->time = (struct text){start, (size_t)(at - start)};

	return skip_space(at, end) == end;
}

/* Digits that come to at most 99 after any number of leading zeros. */
static bool
take_small(const char **at, const char *end, unsigned int digits, uint64_t *ret_value)
{
	const char *start = *at;
	const char *next = start;
	uint64_t value;

	while (next < end && *next == '0')
		next++;
	digits_take(&next, end, digits, &value);
	if (next == start || (next < end && text_is_digit(*next)))
		return false;
	*at = next;
	*ret_value = value;
	return true;
}

static bool
take_radius(const char **at, const char *end, double *ret_km)
{
	const char *next = *at;
	uint64_t whole, fraction = 0;
	unsigned int digits = 0;
	bool more = false; /* than the fraction says */

	if (!take_small(&next, end, RADIUS_DIGITS, &whole))
		return false;
	if (next < end && *next == '.') {
		next++;
		digits = digits_take(&next, end, RADIUS_FRACTION_DIGITS, &fraction);
		if (digits == 0)
			return false;
		for (; next < end && text_is_digit(*next); next++)
			more |= *next != '0';
	}
	if (whole > MESSAGE_RADIUS_MAX_KM || (whole == MESSAGE_RADIUS_MAX_KM && (fraction || more)))
		return false;

	*at = next;
	/* Both sides are exact, so the quotient is the double nearest to the text. */
	*ret_km = (double)(whole * digits_power[digits] + fraction) / (double)digits_power[digits];
	return true;
}

static bool
take_bound(const char **at, const char *end, unsigned int *ret_bound)
{
	const char *next = *at;
	uint64_t bound;

	if (!take_small(&next, end, BOUND_DIGITS, &bound) || bound > MESSAGE_BOUND_MAX)
		return false;
	*at = next;
	*ret_bound = (unsigned int)bound;
	return true;
}

bool
message_parse_radius(struct text t, double *ret_km)
{
	const char *at = t.at;
	const char *end = at + t.len;
	double km;

	if (!take_radius(&at, end, &km) || at != end)
		return false;
	*ret_km = km;
	return true;
}

bool
message_parse_bound(struct text t, unsigned int *ret_bound)
{
	const char *at = t.at;
	const char *end = at + t.len;
	unsigned int bound;

	if (!take_bound(&at, end, &bound) || at != end)
		return false;
	*ret_bound = bound;
	return true;
}

static bool
parse_whatsat(const char *at, const char *end, struct message *m)
{
	if (!take_id(&at, end, &m->id))
		return false;
	if (!take_radius(&at, end, &m->radius_km) || at == end || !text_is_space(*at))
		return false;
	at = skip_space(at + 1, end);
	if (!take_bound(&at, end, &m->bound))
		return false;
	return skip_space(at, end) == end;
}

/* The verb and the white space behind it. */
static bool
take_verb(const char **at, const char *end, struct text verb)
{
	const char *next = *at;

	if ((size_t)(end - next) <= verb.len || memcmp(next, verb.at, verb.len) != 0 ||
	    !text_is_space(next[verb.len]))
		return false;
	*at = skip_space(next + verb.len + 1, end);
	return true;
}

void
message_parse(struct text line, struct message *ret)
{
	const char *end = line.at + line.len;
	const char *at = skip_space(line.at, end);

	ret->line = line;
	ret->verb = MESSAGE_INVALID;
	if (take_verb(&at, end, TEXT("IAMAT"))) {
		if (parse_iamat(at, end, ret))
			ret->verb = MESSAGE_IAMAT;
	} else if (take_verb(&at, end, TEXT("WHATSAT"))) {
		if (parse_whatsat(at, end, ret))
			ret->verb = MESSAGE_WHATSAT;
	}
}

/* Copies a text and one byte behind it. A call of memcpy costs more than these few bytes:
   two copies of fixed size that may overlap do it for 4 to 32. */
static inline char *
put_field(char *out, struct text t, char after)
{
	char *end = out + t.len;

	if (t.len >= 16 && t.len <= 32) {
		memcpy(out, t.at, 16);
		memcpy(end - 16, t.at + t.len - 16, 16);
	} else if (t.len >= 8 && t.len < 16) {
		memcpy(out, t.at, 8);
		memcpy(end - 8, t.at + t.len - 8, 8);
	} else if (t.len >= 4 && t.len < 8) {
		memcpy(out, t.at, 4);
		memcpy(end - 4, t.at + t.len - 4, 4);
	} else {
		memcpy(out, t.at, t.len);
	}
	*end = after;
	return end + 1;
}

/* Receipt time minus client time: in nanoseconds it would not fit 64 bits. */
static char *
put_skew(char *out, const struct fix_time *client, int64_t rx_ns)
{
	int64_t s, ns;

	if (rx_ns < 0)
		rx_ns = 0;
	s = rx_ns / CLOCK_SECOND_NS - client->s;
	ns = rx_ns % CLOCK_SECOND_NS - client->ns;
	*out = '+';
	if (s < 0 || (s == 0 && ns < 0)) {
		*out = '-';
		s = -s;
		ns = -ns;
	}
	if (ns < 0) {
		s--;
		ns += CLOCK_SECOND_NS;
	}
	out++;
	if (s < 10)
		*out++ = (char)('0' + s);
	else
		out = text_put_u64(out, (uint64_t)s);
	*out++ = '.';
	*out++ = (char)('0' + ns / 100000000);
	return digits_put8(out, (uint32_t)(ns % 100000000));
}

char *
message_put_at(char *out, const struct message_at *at)
{
	out = text_put(out, TEXT("AT "));
	out = put_field(out, at->server, ' ');
	out = put_skew(out, &at->client_time, at->rx_ns);
	*out++ = ' ';
	out = put_field(out, at->id, ' ');
	out = put_field(out, at->location, ' ');
	out = put_field(out, at->time, '\n');
	return out;
}

char *
message_put_fix(char *out, const struct herd_fix *fix)
{
	struct message_at at = {
		.server = {fix->server, fix->server_len},
		.id = {fix->id, fix->id_len},
		.location = {fix->location, fix->location_len},
		.time = {fix->time, fix->time_len},
		.rx_ns = fix->rx_ns,
	};

	(void)fix_time_parse(at.time, &at.client_time);
	return message_put_at(out, &at);
}

/* --- an AT line taken apart ------------------------------------------------- */

/* The text up to the next space, which is passed over; false when there is none. */
static bool
take_word(const char **at, const char *end, struct text *ret)
{
	const char *space = memchr(*at, ' ', (size_t)(end - *at));

	if (!space)
		return false;
	*ret = (struct text){*at, (size_t)(space - *at)};
	*at = space + 1;
	return true;
}

struct skew {
	bool is_negative;
	uint64_t s, ns;
};

/* Sign, up to 11 digits without leading zeros, nine decimals; zero is positive. */
static bool
parse_skew(struct text t, struct skew *ret)
{
	const char *at = t.at + 1;
	const char *end = t.at + t.len;
	unsigned int digits;

	if (t.len < 1 || (*t.at != '+' && *t.at != '-'))
		return false;
	ret->is_negative = *t.at == '-';
	digits = digits_take(&at, end, SKEW_DIGITS, &ret->s);
	if (digits == 0 || (digits > 1 && t.at[1] == '0') || at == end || *at++ != '.')
		return false;
	if (digits_take(&at, end, SKEW_FRACTION_DIGITS, &ret->ns) != SKEW_FRACTION_DIGITS || at != end)
		return false;
	return !ret->is_negative || ret->s || ret->ns;
}

/* Client time plus skew; false outside of 1970 to 2262. */
static bool
add_skew(const struct fix_time *client, const struct skew *skew, int64_t *ret_rx_ns)
{
	int64_t s = skew->is_negative ? client->s - (int64_t)skew->s : client->s + (int64_t)skew->s;
	int64_t ns = skew->is_negative ? client->ns - (int64_t)skew->ns : client->ns + (int64_t)skew->ns;

	return !__builtin_mul_overflow(s, CLOCK_SECOND_NS, &s) && !__builtin_add_overflow(s, ns, ret_rx_ns) &&
	       *ret_rx_ns >= 0;
}

bool
message_parse_at(struct text line, struct message_at *ret)
{
	const char *end = line.at + line.len;
	const char *at = line.at;
	struct location location;
	struct message_at m;
	struct text word;
	struct skew skew;

	if (!take_word(&at, end, &word) || !text_equal(word, TEXT("AT")) || !take_word(&at, end, &m.server) ||
	    !fix_server_valid(m.server) || !take_word(&at, end, &word) || !parse_skew(word, &skew))
		return false;
	m.id = (struct text){at, (size_t)(id_end(at, end) - at)};
	at += m.id.len;
	if (m.id.len < 1 || m.id.len > HERD_ID_MAX || at == end || *at++ != ' ')
		return false;
	if (!take_word(&at, end, &m.location) || location_parse(m.location, &location) != 0)
		return false;
	m.time = (struct text){at, (size_t)(end - at)};
	if (fix_time_parse(m.time, &m.client_time) != 0 || !add_skew(&m.client_time, &skew, &m.rx_ns))
		return false;
	*ret = m;
	return true;
}
