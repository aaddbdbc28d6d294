/*
 * What is wrong with the settings of services, though each by itself is a text
 * or an address: what a service would refuse, or not be asked with at all, is
 * better said where it is written than with the first lookup.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/services.h"

enum { GOOGLE_TYPES_MAX = 50 };

/* Counts down to the one that is asked for. */
struct complaints {
	const struct conf *conf;
	unsigned int left;
	char *message;
};

/* True: that was the one. */
__attribute__((format(printf, 3, 4))) static bool
complain(struct complaints *c, enum conf_id id, const char *format, ...)
{
	const struct conf_setting *s = &conf_settings[id];
	va_list args;
	int n;

	if (c->left-- > 0)
		return false;
	n = snprintf(c->message, SERVICES_WHY_MAX, "%.200s: setting '%s' in [%s]: ", conf_origin(c->conf, id),
		     s->name, conf_section_name(s->section));
	va_start(args, format);
	vsnprintf(c->message + n, SERVICES_WHY_MAX - (size_t)n, format, args);
	va_end(args);
	return true;
}

/* --- where to -------------------------------------------------------------------------- */

static bool
ends_host(const char *at)
{
	return *at == '\0' || *at == ':' || *at == '/';
}

static bool
is_plain(const char *url)
{
	return strncmp(url, "http:", 5) == 0;
}

/* Nobody else reads what is sent there. */
static bool
is_loopback(const char *url)
{
	static const char *const names[] = {"http://localhost", "http://[::1]"};
	const char *at;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(url, names[i], strlen(names[i])) == 0 && ends_host(url + strlen(names[i])))
			return true;
	if (strncmp(url, "http://127.", 11) != 0)
		return false;
	at = url + 11;
	while (text_is_digit(*at) || *at == '.')
		at++;
	return ends_host(at);
}

/* The proxy is asked for all hosts, this one as well. */
static bool
check_url(struct complaints *c, enum conf_id id, const char *url)
{
	if (!is_plain(url))
		return false;
	if (!is_loopback(url))
		return complain(c, id,
				"the key would travel in the clear (expected https://, or http:// on "
				"loopback)");
	return c->conf->places_proxy[0] &&
	       complain(c, id, "the key would travel to 'proxy' in the clear (expected https://)");
}

/* --- with what ------------------------------------------------------------------------- */

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

#define MASK "._*," /* what a field mask is made of besides */

/* Letters, digits, and what else is in beyond. */
static bool
is_made_of(const char *value, const char *beyond)
{
	for (; *value; value++)
		if (!is_letter(*value) && !text_is_digit(*value) && !strchr(beyond, *value))
			return false;
	return true;
}

static bool
check_words(struct complaints *c)
{
	const struct conf *conf = c->conf;
	const struct {
		enum conf_id id;
		const char *value, *beyond, *expected;
	} words[] = {
		{CONF_ID_places_language, conf->places_language, "-", "a tag such as en or pt-BR"},
		{CONF_ID_google_region, conf->google_region, "", "two letters such as us"},
		{CONF_ID_google_types, conf->google_types, "_,", "names such as cafe,bar"},
		{CONF_ID_legacy_types, conf->legacy_types, "_,", "a name such as cafe"},
		{CONF_ID_google_field_mask, conf->google_field_mask, MASK,
		 "names such as places.id,places.location"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!is_made_of(words[i].value, words[i].beyond) &&
		    complain(c, words[i].id, "'%.100s' is not right (expected %s)", words[i].value,
			     words[i].expected))
			return true;
	return false;
}

static bool
check_types(struct complaints *c)
{
	unsigned int count = 1;

	for (const char *at = c->conf->google_types; *at; at++)
		count += *at == ',';
	return count > GOOGLE_TYPES_MAX &&
	       complain(c, CONF_ID_google_types, "too many names (expected at most %d)", GOOGLE_TYPES_MAX);
}

/* Does the mask have the field, or what it is a part of, or a part of it? */
static bool
mask_has(const char *mask, struct text field)
{
	while (*mask) {
		struct text name = {mask, strcspn(mask, ",")};
		struct text shorter = {name.at, name.len >= 2 && name.at[name.len - 1] == '*' ? name.len - 2
											      : name.len};

		if (text_equal(name, TEXT("*")) || text_equal(shorter, TEXT("places")) ||
		    text_equal(shorter, field) || (text_begins(name, field) && name.at[field.len] == '.'))
			return true;
		mask += name.len;
		mask += *mask == ',';
	}
	return false;
}

/* What has no position is nowhere near, and what has no name either is nothing. */
static bool
check_mask(struct complaints *c)
{
	const char *mask = c->conf->google_field_mask;

	if (!*mask || !is_made_of(mask, MASK) ||
	    (mask_has(mask, TEXT("places.location")) &&
	     (mask_has(mask, TEXT("places.id")) || mask_has(mask, TEXT("places.displayName")))))
		return false;
	return complain(c, CONF_ID_google_field_mask,
			"no place could be used (expected places.location, and places.id or "
			"places.displayName, among others)");
}

/* It goes into the comment of a User-Agent. */
static bool
check_contact(struct complaints *c)
{
	const char *contact = c->conf->overpass_contact;

	return strpbrk(contact, "()\\") &&
	       complain(c, CONF_ID_overpass_contact, "'%.100s' is not right (expected no '(', ')' and '\\')",
			contact);
}

static bool
check_contact_is_there(struct complaints *c)
{
	const struct conf_paths *providers = &c->conf->places_providers;

	for (size_t i = 0; i < providers->count && !c->conf->overpass_contact[0]; i++)
		if (strcmp(providers->at[i], services_name(CONF_PROVIDER_OVERPASS)) == 0)
			return complain(c, CONF_ID_places_providers,
					"overpass wants 'contact' in [places overpass] (expected a mail "
					"address or a page of yours: its servers refuse who does not say who "
					"asks)");
	return false;
}

bool
services_check(const struct conf *conf, unsigned int index, char ret_message[SERVICES_WHY_MAX])
{
	struct complaints c = {conf, index, ret_message};

	return check_contact_is_there(&c) || check_contact(&c) ||
	       check_url(&c, CONF_ID_google_url, conf->google_url) ||
	       check_url(&c, CONF_ID_legacy_url, conf->legacy_url) || check_words(&c) || check_types(&c) ||
	       check_mask(&c);
}
