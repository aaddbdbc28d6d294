/*
 * Doctor: the places services on the network, as far as the settings have them
 * asked: whether there is a key, whether nobody else can read it, and what each
 * member that runs says of how it is served. The key itself is not read: a
 * doctor has no use for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/services.h"
#include "ctl/doctor.h"
#include "ctl/reply.h"
#include "places/secret.h"

enum {
	CHECK_MAX = 128,
	PATH_SIZE = 128,
	SERVICES_MAX = 16,
};

#define CREDENTIAL "herd.google-key" /* as units/herd@.service.in has it loaded */

/* --- what members say ---------------------------------------------------------------------- */

static struct json_object *
state_at(const struct program *p, size_t index)
{
	const struct json_object *list = p->role == TABLE_MEMBER ? reply_list(p->reply, "places") : NULL;

	return index < reply_length(list) && index < SERVICES_MAX ? reply_entry(list, index) : NULL;
}

/* Some member has a key: it does not matter here from where. */
static bool
has_key(const struct doctor *d, const char *provider)
{
	for (size_t i = 0; i < d->programs.count; i++) {
		const struct json_object *state;

		for (size_t k = 0; (state = state_at(&d->programs.at[i], k)); k++)
			if (text_equal(reply_text(state, "provider"), text_of(provider)) &&
			    !text_equal(reply_text(state, "state"), TEXT("no key")))
				return true;
	}
	return false;
}

bool
doctor_is_of_service(const struct program *p, const char *sentence)
{
	const struct json_object *state;
	char begin[CHECK_MAX];

	for (size_t k = 0; (state = state_at(p, k)); k++) {
		struct text provider = reply_text(state, "provider");

		snprintf(begin, sizeof(begin), "places: %.*s: ", (int)provider.len, provider.at);
		if (strncmp(sentence, begin, strlen(begin)) == 0)
			return true;
	}
	return false;
}

/* What to do about a state. provider: an enum conf_provider; negative: one that this herdctl does not know. */
static const char *
remedy_of(struct text state, int provider)
{
	static const struct {
		const char *state;
		const char *google, *legacy, *overpass;
	} remedies[] = {
		{"no key", "see the check of its key; `herdctl restart --rolling` has members take a new one",
		 "see the check of its key; `herdctl restart --rolling` has members take a new one", ""},
		{"no url", "set url in [places google], then `herdctl reload`",
		 "set url in [places google-legacy], then `herdctl reload`",
		 "set url in [places overpass], then `herdctl reload`"},
		{"no contact", "", "", "set contact in [places overpass], then `herdctl reload`"},
		{"denied",
		 "at console.cloud.google.com see that the key is right and not restricted to other "
		 "addresses, that Places API (New) is enabled, and billing",
		 "at console.cloud.google.com see that the key is right and not restricted to other "
		 "addresses, that Places API is enabled, and billing",
		 "see that contact in [places overpass] can be written to, and ask less often"},
		{"limited", "it is asked again after midnight UTC; or raise requests-per-day",
		 "it is asked again after midnight UTC; or raise requests-per-day",
		 "it is asked again after midnight UTC; or raise requests-per-day"},
		{"down", "if it stays, see that this host reaches its url, by places.proxy if one is needed",
		 "if it stays, see that this host reaches its url, by places.proxy if one is needed",
		 "if it stays, see that this host reaches its url, or set another one"},
	};

	for (size_t i = 0; provider >= 0 && i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (text_equal(state, text_of(remedies[i].state)))
			return provider == CONF_PROVIDER_GOOGLE		 ? remedies[i].google
			       : provider == CONF_PROVIDER_GOOGLE_LEGACY ? remedies[i].legacy
									 : remedies[i].overpass;
	return "the journal of the member says more";
}

static void
check_state(struct doctor *d, const struct program *p, const struct json_object *service)
{
	struct text provider = reply_text(service, "provider"), state = reply_text(service, "state"),
		    why = reply_text(service, "why");
	uint64_t used = reply_count(service, "day_used"), max = reply_count(service, "day_max");
	char check[CHECK_MAX];
	bool passes = text_equal(state, TEXT("limited")) || text_equal(state, TEXT("down")) ||
		      text_equal(state, TEXT("trying"));

	snprintf(check, sizeof(check), "%s asks %.*s", p->name, (int)provider.len, provider.at);
	if (!text_equal(state, TEXT("ok")))
		doctor_find(d, passes ? DOCTOR_WARNING : DOCTOR_BAD, check, "%.*s: %.*s; %s", (int)state.len,
			    state.at, (int)why.len, why.at, remedy_of(state, services_find(provider)));
	else if (max > 0 && used >= max - max / 10)
		doctor_find(d, DOCTOR_WARNING, check,
			    "%" PRIu64 " of %" PRIu64
			    " requests of this day are used: raise requests-per-day "
			    "if that is too early",
			    used, max);
	else
		doctor_find(d, DOCTOR_GOOD, check, "%" PRIu64 " requests sent, %" PRIu64 " lookups failed",
			    reply_count(service, "asked"), reply_count(service, "failed"));
}

/* --- keys ------------------------------------------------------------------------------------- */

static void
find_no_key(struct doctor *d, const char *check, const char *provider, const char *what)
{
	if (d->has_systemd)
		doctor_find(d, DOCTOR_BAD, check,
			    "%s: put one into /etc/credstore/" CREDENTIAL " (mode 0600), or into a file that "
			    "key-file in [places %s] names, and `systemctl daemon-reload`; then "
			    "`herdctl restart --rolling`",
			    what, provider);
	else
		doctor_find(d, DOCTOR_BAD, check,
			    "%s: put one into a file (mode 0600) that key-file in [places %s] names, then "
			    "`herdctl reload`",
			    what, provider);
}

/* 0: this has a plain file of a key's size, and of whom it is nobody's but its owner's; else it was said, or -ENOENT. */
static int
check_file(struct doctor *d, const char *check, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
		return -ENOENT;
	if (stat(path, &st) < 0)
		doctor_find(d, DOCTOR_WARNING, check,
			    "'%s' cannot be looked at by this user (%s): ask as root", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > SECRET_LEN_MAX + 1)
		doctor_find(d, DOCTOR_BAD, check,
			    "'%s' holds no key: it has to be a plain file with the key alone, at most %d "
			    "characters",
			    path, SECRET_LEN_MAX);
	else if (st.st_mode & (S_IRWXG | S_IRWXO))
		doctor_find(d, DOCTOR_BAD, check,
			    "'%s': others may read or write it (mode %04o), so no member takes it: "
			    "`chmod 600 %s`, then %s; if somebody may have read it, have another key made",
			    path, (unsigned int)st.st_mode & 07777, path,
			    d->has_systemd ? "`systemctl daemon-reload` and `herdctl restart --rolling`"
					   : "`herdctl reload`");
	else
		doctor_find(d, DOCTOR_GOOD, check, "in '%s', for nobody else", path);
	return 0;
}

/* True: one is there, or nobody can tell, and that was said. */
static bool
find_credential(struct doctor *d, const char *check)
{
	static const char *const folders[] = {"/etc/credstore", "/run/credstore", "/usr/lib/credstore",
					      "/etc/credstore.encrypted", "/run/credstore.encrypted"};

	for (size_t i = 0; d->has_systemd && i < sizeof(folders) / sizeof(folders[0]); i++) {
		char path[PATH_SIZE];
		struct stat st;

		snprintf(path, sizeof(path), "%s/" CREDENTIAL, folders[i]);
		if (stat(path, &st) == 0)
			doctor_find(d, DOCTOR_GOOD, check, "in '%s'", path);
		else if (errno == EACCES)
			doctor_find(d, DOCTOR_WARNING, check,
				    "'%s' cannot be looked at by this user: ask as root", path);
		else
			continue;
		return true;
	}
	return false;
}

/* As members look for it: see places/secret.h. */
static void
check_key(struct doctor *d, enum conf_provider provider)
{
	const char *name = services_name(provider), *file = conf_service(d->ctl->conf, provider).key_file;
	char check[CHECK_MAX], what[CHECK_MAX + 512];

	snprintf(check, sizeof(check), "key of %s", name);
	if (file[0] && check_file(d, check, file) == 0)
		return;
	if (find_credential(d, check))
		return;
	if (has_key(d, name)) {
		doctor_find(d, DOCTOR_GOOD, check, "members have one");
		return;
	}
	snprintf(what, sizeof(what), file[0] ? "there is no '%.500s', nor a credential" : "there is none",
		 file);
	find_no_key(d, check, name, what);
}

/* --- all of it --------------------------------------------------------------------------------------- */

void
doctor_services(struct doctor *d)
{
	const struct conf *conf = d->ctl->conf;
	size_t services = 0;

	for (size_t i = 0; i < conf->places_providers.count; i++) {
		int provider = services_find(text_of(conf->places_providers.at[i]));

		services += provider != CONF_PROVIDER_LOCAL;
		if (provider == CONF_PROVIDER_GOOGLE || provider == CONF_PROVIDER_GOOGLE_LEGACY)
			check_key(d, (enum conf_provider)provider);
	}
	for (size_t i = 0; i < d->programs.count; i++) {
		const struct json_object *state;

		for (size_t k = 0; (state = state_at(&d->programs.at[i], k)); k++)
			check_state(d, &d->programs.at[i], state);
	}
	if (services == 0)
		doctor_find(d, DOCTOR_GOOD, "places services", "none is asked: places.provider is local");
}
