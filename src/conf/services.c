/*
 * Every service has settings of its own, and some of them also stand in
 * [places] for all of them. Which one counts is decided here, once.
 */
#include "conf/services.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	[CONF_PROVIDER_LOCAL] = "local",
	[CONF_PROVIDER_GOOGLE] = "google",
	[CONF_PROVIDER_GOOGLE_LEGACY] = "google-legacy",
	[CONF_PROVIDER_OVERPASS] = "overpass",
};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

const char *
services_name(enum conf_provider provider)
{
	return (size_t)provider < NAMES ? names[provider] : NULL;
}

int
services_find(struct text name)
{
	for (int i = 0; i < NAMES; i++)
		if (text_equal(text_of(names[i]), name))
			return i;
	return -1;
}

/* --- one of them --------------------------------------------------------------------- */

/* The service's own value, unless only [places] has one. Not for what Google's terms forbid. */
#define TAKE(conf, own, all) \
	((conf)->origin[CONF_ID_##own] || !(conf)->origin[CONF_ID_##all] ? (conf)->own : (conf)->all)

/* The less of two limits, of which 0 is none. */
static uint32_t
less(uint32_t a, uint32_t b)
{
	return b == 0 || (a != 0 && a < b) ? a : b;
}

/* What [places] has may be meant for somebody who is paid for it, and can only make this less. */
#define TAKE_CAREFUL(conf, own, all) \
	((conf)->origin[CONF_ID_##own] ? (conf)->own : less((conf)->own, (conf)->all))

#define TAKE_COMMON(conf, which)                                                                     \
	.url = (conf)->which##_url, .per_second = TAKE(conf, which##_per_second, places_per_second), \
	.per_day = TAKE(conf, which##_per_day, places_per_day),                                      \
	.cell_m = TAKE(conf, which##_cell_m, places_cell_m), .language = (conf)->places_language

/* What the answer to WHATSAT is made of; none of it is of a dearer tier than Pro. */
static const char field_mask[] =
	"places.id,places.displayName,places.location,places.viewport,places.types,places.primaryType,"
	"places.shortFormattedAddress,places.businessStatus,places.plusCode,places.attributions";

enum { RADIUS_MAX_M = 50000 }; /* of Google, and of WHATSAT */

struct conf_service
conf_service(const struct conf *conf, enum conf_provider provider)
{
	if (provider == CONF_PROVIDER_GOOGLE)
		return (struct conf_service){
			TAKE_COMMON(conf, google),
			.cache_ttl_ns = conf->google_cache_ttl_ns,
			.key_file = conf->google_key_file,
			.field_mask = conf->google_field_mask[0] ? conf->google_field_mask : field_mask,
			.region = conf->google_region,
			.types = conf->google_types,
			.contact = "",
			.radius_max_m = RADIUS_MAX_M,
		};
	if (provider == CONF_PROVIDER_GOOGLE_LEGACY)
		return (struct conf_service){
			TAKE_COMMON(conf, legacy),
			.cache_ttl_ns = conf->legacy_cache_ttl_ns,
			.key_file = conf->legacy_key_file,
			.field_mask = "",
			.region = "",
			.types = conf->legacy_types,
			.contact = "",
			.radius_max_m = RADIUS_MAX_M,
		};
	return (struct conf_service){
		.url = conf->overpass_url,
		.per_second = TAKE_CAREFUL(conf, overpass_per_second, places_per_second),
		.per_day = TAKE_CAREFUL(conf, overpass_per_day, places_per_day),
		.cell_m = TAKE(conf, overpass_cell_m, places_cell_m),
		.language = conf->places_language,
		.cache_ttl_ns = TAKE(conf, overpass_cache_ttl_ns, places_cache_ttl_ns),
		.key_file = "",
		.field_mask = "",
		.region = "",
		.types = "",
		.contact = conf->overpass_contact,
		.radius_max_m = conf->overpass_radius_max_km * 1000,
	};
}
