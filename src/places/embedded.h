#ifndef PLACES_EMBEDDED_H
#define PLACES_EMBEDDED_H
/*
 * The places file built into the programs, made from share/places.tsv. It is
 * in libplaces-default.a, not in libherd.a: the tool that makes it links that.
 */
#include "base/text.h"

struct text places_embedded(void);

#endif
