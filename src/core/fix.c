/*
 * Fix: the order that makes the herd's tables converge. Everybody who holds
 * the same two fixes of a client picks the same one, whichever came first and
 * however often, so nothing but the fixes themselves needs to be agreed on.
 */
#include "core/fix.h"

#include "base/digits.h"

enum {
	TIME_DIGITS = 11,
	TIME_FRACTION_DIGITS = 9,
};

int
fix_time_take(const char **at, const char *end, struct fix_time *ret)
{
	const char *next = *at;
	uint64_t s, ns = 0;

	if (digits_take(&next, end, TIME_DIGITS, &s) == 0)
		return FIX_E_INVALID;
	if (next < end && *next == '.') {
		unsigned int n;

		next++;
		n = digits_take(&next, end, TIME_FRACTION_DIGITS, &ns);
		if (n == 0)
			return FIX_E_INVALID;
		ns *= digits_power[TIME_FRACTION_DIGITS - n];
	}
	*at = next;
	*ret = (struct fix_time){(int64_t)s, (int32_t)ns};
	return 0;
}

int
fix_time_parse(struct text t, struct fix_time *ret)
{
	const char *at = t.at;
	const char *end = at + t.len;
	struct fix_time time;

	if (fix_time_take(&at, end, &time) > 0 || at != end)
		return FIX_E_INVALID;
	*ret = time;
	return 0;
}

bool
fix_id_valid(struct text id)
{
	if (id.len < 1 || id.len > HERD_ID_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (text_is_space(id.at[i]) || id.at[i] == '\0')
			return false;
	return true;
}

static bool
server_byte(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || text_is_digit(c) || c == '-' || c == '_' ||
	       c == '.';
}

bool
fix_server_valid(struct text server)
{
	if (server.len < 1 || server.len > HERD_SERVER_MAX)
		return false;
	for (size_t i = 0; i < server.len; i++)
		if (!server_byte(server.at[i]))
			return false;
	return true;
}

int64_t
fix_order_ns(const struct fix_time *client, int64_t rx_ns)
{
	int64_t ns, cap;

	/* A receipt time that close to the end of 64 bits, the year 2262, is somebody's broken clock. */
	if (__builtin_add_overflow(rx_ns, FIX_AHEAD_NS, &cap))
		cap = INT64_MAX;
	if (__builtin_mul_overflow(client->s, CLOCK_SECOND_NS, &ns) ||
	    __builtin_add_overflow(ns, client->ns, &ns))
		return cap; /* later than any cap */
	return ns < cap ? ns : cap;
}

int
fix_rank_compare(const struct fix_rank *a, const struct fix_rank *b)
{
	int r;

	if (a->order_ns != b->order_ns)
		return a->order_ns < b->order_ns ? -1 : 1;
	if (a->rx_ns != b->rx_ns)
		return a->rx_ns < b->rx_ns ? -1 : 1;
	r = text_compare(a->server, b->server);
	if (r != 0)
		return r;
	r = text_compare(a->location, b->location);
	if (r != 0)
		return r;
	return text_compare(a->time, b->time);
}
