#ifndef PLACES_CELL_H
#define PLACES_CELL_H
/*
 * Cell: the earth in squares of about so many metres, so that questions about
 * places near each other can be one question about the square's centre.
 */
#include <stdint.h>

enum { CELL_MAX_M = 100000 };

struct cell {
	int32_t lat_e7, lon_e7; /* the centre */
	double reach_km;	/* no place of the square is farther from it */
};

/* The square that a place is in. cell_m 0: the place itself; at most CELL_MAX_M. */
struct cell cell_of(int32_t lat_e7, int32_t lon_e7, uint32_t cell_m);

#endif
