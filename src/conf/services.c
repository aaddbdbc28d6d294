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
		TAKE_COMMON(conf, overpass),
		.cache_ttl_ns = TAKE(conf, overpass_cache_ttl_ns, places_cache_ttl_ns),
		.key_file = "",
		.field_mask = "",
		.region = "",
		.types = "",
		.contact = conf->overpass_contact,
		.radius_max_m = conf->overpass_radius_max_km * 1000,
	};
}

/* --- all of them --------------------------------------------------------------------- */

static bool
is_asked(const struct conf *conf, enum conf_provider provider)
{
	for (size_t i = 0; i < conf->places_providers.count; i++)
		if (strcmp(conf->places_providers.at[i], names[provider]) == 0)
			return true;
	return false;
}

static bool
text_ends_host(const char *at)
{
	return *at == '\0' || *at == ':' || *at == '/';
}

/* Nobody else reads what is sent there. */
static bool
is_private(const char *url)
{
	static const char *const loopback[] = {"http://localhost", "http://[::1]"};
	const char *at;

	if (strncmp(url, "https:", 6) == 0)
		return true;
	for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++)
		if (strncmp(url, loopback[i], strlen(loopback[i])) == 0 &&
		    text_ends_host(url + strlen(loopback[i])))
			return true;
	if (strncmp(url, "http://127.", 11) != 0)
		return false;
	at = url + 11;
	while (text_is_digit(*at) || *at == '.')
		at++;
	return text_ends_host(at);
}

static bool
say_contact(const struct conf *conf, char message[SERVICES_WHY_MAX])
{
	if (!is_asked(conf, CONF_PROVIDER_OVERPASS) || conf->overpass_contact[0])
		return false;
	snprintf(message, SERVICES_WHY_MAX,
		 "%s: setting 'provider': overpass wants 'contact' in [places overpass] (expected a mail "
		 "address or a page of yours: its servers refuse who does not say who asks)",
		 conf_origin(conf, CONF_ID_places_providers));
	return true;
}

static bool
say_plain(const struct conf *conf, enum conf_id id, const char *url, char message[SERVICES_WHY_MAX])
{
	if (is_private(url))
		return false;
	snprintf(message, SERVICES_WHY_MAX,
		 "%s: setting 'url' in [%s]: the key would travel in the clear (expected https://, or "
		 "http:// on loopback)",
		 conf_origin(conf, id), conf_section_name(conf_settings[id].section));
	return true;
}

bool
services_check(const struct conf *conf, unsigned int index, char ret_message[SERVICES_WHY_MAX])
{
	unsigned int found = 0;

	if (say_contact(conf, ret_message) && found++ == index)
		return true;
	if (say_plain(conf, CONF_ID_google_url, conf->google_url, ret_message) && found++ == index)
		return true;
	return say_plain(conf, CONF_ID_legacy_url, conf->legacy_url, ret_message) && found == index;
}
