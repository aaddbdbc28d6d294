#ifndef CORE_LOCATION_H
#define CORE_LOCATION_H
/*
 * Location: latitude and longitude as ISO 6709 writes them in decimal degrees:
 * sign, 1-2 or 1-3 digits, optionally a point and 1-12 digits; optionally a
 * closing solidus. No height, no degrees and minutes.
 */
#include "base/text.h"

enum { LOCATION_E_INVALID = 1 };

struct location {
	int32_t lat_e7; /* degrees times 10^7, rounded half away from zero; within +-90 */
	int32_t lon_e7; /* within +-180 */
};

/* 0 or LOCATION_E_INVALID; *ret changes only when 0 is returned. */
int location_parse(struct text t, struct location *ret);

/* The same for a location that more bytes may follow: on 0 moves *at past it. Reads nothing from `end` on. */
int location_take(const char **at, const char *end, struct location *ret);

#endif
