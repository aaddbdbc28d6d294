/*
 * Cell: rows of equal height from pole to pole, each divided into as many
 * equal parts as it takes for none to be wider than high in the row's middle.
 */
#include "places/cell.h"

#include <math.h>

#include "core/places.h"

#define E7	      10000000.0
#define QUARTER_E7    900000000.0
#define HALF_E7	      1800000000.0
#define METRES_PER_E7 0.011119508023353 /* of a meridian */
#define ROUNDING_KM   0.001

static int32_t
inside(double e7, double limit_e7)
{
	e7 = round(e7);
	return (int32_t)(e7 > limit_e7 ? limit_e7 : e7 < -limit_e7 ? -limit_e7 : e7);
}

/* The farther one of two corners; the other two are as far. Lengths of degrees do not depend on the longitude. */
static double
reach_km(int32_t lat_e7, double height_e7, double width_e7)
{
	int32_t east = inside(width_e7 / 2, HALF_E7);
	double south = places_distance_m(lat_e7, 0, inside(lat_e7 - height_e7 / 2, QUARTER_E7), east);
	double north = places_distance_m(lat_e7, 0, inside(lat_e7 + height_e7 / 2, QUARTER_E7), east);

	return (south > north ? south : north) / 1000 + ROUNDING_KM;
}

struct cell
cell_of(int32_t lat_e7, int32_t lon_e7, uint32_t cell_m)
{
	struct cell c = {lat_e7, lon_e7, 0};
	double rows, parts, height_e7, width_e7, row, part;

	if (cell_m == 0)
		return c;
	if (cell_m > CELL_MAX_M) /* a corner is the farthest place only while the earth looks flat */
		cell_m = CELL_MAX_M;
	rows = fmax(1, ceil(2 * QUARTER_E7 * METRES_PER_E7 / cell_m));
	height_e7 = 2 * QUARTER_E7 / rows;
	row = fmin(floor((lat_e7 + QUARTER_E7) / height_e7), rows - 1);
	c.lat_e7 = inside((row + 0.5) * height_e7 - QUARTER_E7, QUARTER_E7);

	parts = fmax(1, ceil(2 * HALF_E7 * METRES_PER_E7 * cos(c.lat_e7 / E7 * M_PI / 180) / cell_m));
	width_e7 = 2 * HALF_E7 / parts;
	part = floor((lon_e7 + HALF_E7) / width_e7);
	if (part >= parts) /* 180 degrees east are 180 west */
		part = 0;
	c.lon_e7 = inside((part + 0.5) * width_e7 - HALF_E7, HALF_E7);
	c.reach_km = reach_km(c.lat_e7, height_e7, width_e7);
	return c;
}
