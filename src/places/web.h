#ifndef PLACES_WEB_H
#define PLACES_WEB_H
/*
 * Web: the providers that ask a service on the network (places/service.h).
 * Identical questions that are under way are asked once; answers are
 * remembered where the service's terms allow it; requests keep to a budget and
 * are tried again within the time that a lookup has; a service that fails is
 * left alone for a while.
 */
#include "places/source.h"

extern const struct source_provider source_google, source_google_legacy, source_overpass;

#endif
