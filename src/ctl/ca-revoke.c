/*
 * herdctl ca revoke: a host's certificates are no longer good, and the list
 * that tells all hosts so. herdctl ca crl: that list alone, made anew.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/ca-deliver.h"
#include "ctl/ca.h"

static const char *const next[] = {
	"copy ca.crl to /etc/herd/tls of every host",
	"on every host: systemctl reload herd-flood",
};

enum { NEXT = sizeof(next) / sizeof(next[0]) };

/* The new revocation list, and where --install wants it. */
static int
publish(struct ctl *ctl, const struct ca *ca, int64_t days, int64_t *ret_until_s)
{
	CLEANUP(delivery_done) struct delivery own = {.folder = -1};
	int r;

	r = ca_save_crl(ca, days, NULL, ret_until_s);
	if (r != 0 || !delivery_is_install(ctl))
		return r;
	r = delivery_open(&own, ctl, ca, NULL);
	if (r == 0)
		r = delivery_check(&own, ctl, ca);
	return r == 0 ? delivery_write_crl(&own, ca) : r;
}

static void
show_crl(struct writer *w, const struct ca *ca, int64_t until_s)
{
	char path[CA_PATH_MAX + sizeof("/" CA_CRL)];
	size_t revoked = 0;

	for (size_t i = 0; i < ca->list.count; i++)
		revoked += ca->list.at[i].revoked_s != 0;
	snprintf(path, sizeof(path), "%s/" CA_CRL, ca->path);
	writer_string(w, "crl", path);
	writer_count(w, "revoked_ever", revoked);
	writer_time(w, "crl_expires", until_s * CLOCK_SECOND_NS);
	writer_strings(w, "next", next, NEXT);
}

/* --- revoke ---------------------------------------------------------------------------------------------- */

/* 0, CTL_NO, CTL_USAGE, said; *ret_count is how many were not revoked before. */
static int
mark(struct ca *ca, const char *name, const char *given, size_t *ret_count)
{
	int64_t now_s = ca_now_s();
	uint64_t serial = 0;
	size_t found = 0;

	if (given && !ca_serial_parse(text_of(given), &serial))
		return ctl_fail(CTL_USAGE,
				"--serial takes %d hexadecimal digits, as herdctl ca list shows them",
				CA_SERIAL_MAX);
	for (size_t i = 0; i < ca->list.count; i++) {
		struct ca_entry *e = &ca->list.at[i];

		if (strcmp(e->name, name) != 0 || (given && e->serial != serial))
			continue;
		found++;
		*ret_count += e->revoked_s == 0;
		e->revoked_s = e->revoked_s ? e->revoked_s : now_s;
	}
	if (!found && given)
		return ctl_fail(CTL_NO, "No certificate of '%s' with serial %s was issued here", name, given);
	if (!found)
		return ctl_fail(CTL_NO, "No certificate of '%s' was issued here; 'herdctl ca list' shows all",
				name);
	return 0;
}

static int
revoke_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(ca_done) struct ca ca = {.folder = -1};
	int64_t until_s = 0;
	size_t count = 0;
	int r;

	(void)argc;
	r = ca_open(&ca, ctl, CA_SIGN);
	if (r == 0)
		r = mark(&ca, argv[0], options_value(ctl->options, "serial"), &count);
	if (r == 0 && count)
		r = ca_save_list(&ca);
	if (r == 0)
		r = publish(ctl, &ca, CA_LIFE_DAYS, &until_s);
	if (r != 0)
		return r;
	writer_object_begin(ctl->out, NULL);
	writer_string(ctl->out, "name", argv[0]);
	writer_count(ctl->out, "revoked", count);
	show_crl(ctl->out, &ca, until_s);
	writer_object_end(ctl->out);
	return 0;
}

const struct command command_ca_revoke = {
	.name = "ca revoke",
	.operands = "NAME",
	.help = "Have no host believe a certificate of this host any more",
	.more = "All of them, and also those that were revoked before, stand in a new ca.crl. It takes "
		"effect\n"
		"on each host when the helper there has read it. Exit code 1: there is no such certificate.",
	.entries =
		(const struct options_entry[]){
			CA_ENTRY_DIR,
			{.name = "serial", .argument = "HEX", .help = "Only the one with this number"},
			{.name = "install", .help = "Also put ca.crl where this host's helper reads it"},
			{.name = "force", .help = "Also beside another authority's ca.crt there"},
			{0},
		},
	.operands_min = 1,
	.operands_max = 1,
	.takes_bad_conf = true,
	.run = revoke_run,
};

/* --- crl --------------------------------------------------------------------------------------------------- */

static int
crl_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(ca_done) struct ca ca = {.folder = -1};
	int64_t days = CA_LIFE_DAYS, until_s = 0;
	int r;

	(void)argc;
	(void)argv;
	r = ca_option_days(ctl, &days);
	if (r == 0)
		r = ca_open(&ca, ctl, CA_SIGN);
	if (r == 0)
		r = publish(ctl, &ca, days, &until_s);
	if (r != 0)
		return r;
	writer_object_begin(ctl->out, NULL);
	show_crl(ctl->out, &ca, until_s);
	writer_object_end(ctl->out);
	return 0;
}

const struct command command_ca_crl = {
	.name = "ca crl",
	.help = "Make the revocation list anew",
	.more = "Helpers use one that is past its date all the same, and warn of it: --days and a timer "
		"that\n"
		"brings a new one to every host show which hosts it did not reach.",
	.entries =
		(const struct options_entry[]){
			CA_ENTRY_DIR,
			{.name = "days",
			 .argument = "N",
			 .help = "Good for so long (as long as the authority)"},
			{.name = "install", .help = "Also put ca.crl where this host's helper reads it"},
			{.name = "force", .help = "Also beside another authority's ca.crt there"},
			{0},
		},
	.takes_bad_conf = true,
	.run = crl_run,
};
