/*
 * Location: checks a position while walking it once, without a double: the
 * limits hold to the last of twelve decimals, and what is stored for searching
 * is an integer anyway.
 */
#include "core/location.h"

#include "base/digits.h"

enum {
	LAT_DIGITS = 2,
	LAT_MAX = 90,
	LON_DIGITS = 3,
	LON_MAX = 180,
	FRACTION_DIGITS = 12,
};

/* Degrees times 10^12 to degrees times 10^7. */
#define E12_PER_E7 INT64_C(100000)

static int
degrees_take(const char **at, const char *end, unsigned int digits, unsigned int max, int32_t *ret_e7)
{
	const char *next = *at;
	uint64_t whole, fraction = 0;
	int64_t e12;
	bool negative;

	if (next == end || (*next != '+' && *next != '-'))
		return LOCATION_E_INVALID;
	negative = *next++ == '-';

	if (digits_take(&next, end, digits, &whole) == 0)
		return LOCATION_E_INVALID;
	if (next < end && *next == '.') {
		unsigned int n;

		next++;
		n = digits_take(&next, end, FRACTION_DIGITS, &fraction);
		if (n == 0)
			return LOCATION_E_INVALID;
		fraction *= digits_power[FRACTION_DIGITS - n];
	}
	if (whole > max || (whole == max && fraction))
		return LOCATION_E_INVALID;

	e12 = (int64_t)(whole * digits_power[FRACTION_DIGITS] + fraction);
	e12 = (e12 + E12_PER_E7 / 2) / E12_PER_E7;
	*ret_e7 = (int32_t)(negative ? -e12 : e12);
	*at = next;
	return 0;
}

int
location_take(const char **at, const char *end, struct location *ret)
{
	const char *next = *at;
	struct location location;
	int r;

	r = degrees_take(&next, end, LAT_DIGITS, LAT_MAX, &location.lat_e7);
	if (r > 0)
		return r;
	r = degrees_take(&next, end, LON_DIGITS, LON_MAX, &location.lon_e7);
	if (r > 0)
		return r;
	if (next < end && *next == '/')
		next++;
	*at = next;
	*ret = location;
	return 0;
}

int
location_parse(struct text t, struct location *ret)
{
	const char *at = t.at;
	const char *end = at + t.len;
	struct location location;

	if (location_take(&at, end, &location) > 0 || at != end)
		return LOCATION_E_INVALID;
	*ret = location;
	return 0;
}
