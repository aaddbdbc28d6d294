/*
 * herdctl ca init: makes an authority. Its certificate is written last, so
 * that a killed init leaves none; and the one that was there before --force
 * keeps its files, with ".old" behind their names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "ctl/ca.h"

static const char *const files[] = {CA_KEY, CA_CRL, CA_ISSUED, CA_CERTS, CA_CRT};

enum { FILES = sizeof(files) / sizeof(files[0]) };

static bool
is_there(const struct ca *ca, const char *name)
{
	struct stat st;

	return fstatat(ca->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
check_empty(const struct ca *ca)
{
	if (is_there(ca, CA_CRT))
		return ctl_fail(CTL_FAILED,
				"There is an authority in '%s'. --force makes a new one; no certificate of "
				"the old one is then good with those of the new one",
				ca->path);
	for (int i = 0; i < FILES; i++)
		if (is_there(ca, files[i]))
			return ctl_fail(CTL_FAILED,
					"'%s/%s' is there, without a " CA_CRT
					": an init was stopped, or it was "
					"lost. --force makes a new authority in its place",
					ca->path, files[i]);
	return 0;
}

/* Its certificate goes last: what is left of it if we are stopped is put aside the next time. Without one
   there is nothing to keep. */
static int
put_aside(const struct ca *ca)
{
	for (int i = 0; i < FILES && is_there(ca, CA_CRT); i++) {
		char old[64];

		snprintf(old, sizeof(old), "%s.old", files[i]);
		if (renameat2(ca->folder, files[i], ca->folder, old, RENAME_NOREPLACE) == 0 ||
		    errno == ENOENT)
			continue;
		if (errno == EEXIST)
			return ctl_fail(
				CTL_FAILED,
				"'%s/%s' is there already: move away what an earlier --force has kept",
				ca->path, old);
		return ca_fail(-errno, "rename", ca->path, files[i]);
	}
	return 0;
}

static int
make_authority(struct ca *ca, const char *name, int64_t days)
{
	struct ca_period period = {ca_now_s() - CA_BACKDATE_S, ca_now_s() + days * CA_DAY_S};
	uint64_t serial = 0;
	char subject[96];
	int r;

	snprintf(subject, sizeof(subject), "Herd authority of %s", name);
	r = ca_key_make(&ca->authority.key);
	if (r == 0)
		r = ca_serial_make(&serial);
	if (r == 0)
		r = ca_authority_make(&ca->authority.certificate, ca->authority.key, subject, serial,
				      &period);
	return r < 0 ? ca_fail_crypto(r, "make an authority") : 0;
}

static int
write_key(const struct ca *ca)
{
	CLEANUP(ca_secret_done) struct buffer bytes = {.max = CA_FILE_MAX};
	int r = ca_key_write(ca->authority.key, &bytes);

	return r < 0 ? ca_fail_crypto(r, "write the key")
		     : ca_write_text(ca->folder, ca->path, CA_KEY, &bytes, 0600);
}

static int
write_certificate(const struct ca *ca)
{
	CLEANUP(buffer_done) struct buffer bytes = {.max = CA_FILE_MAX};
	int r = ca_cert_write(ca->authority.certificate, &bytes);

	return r < 0 ? ca_fail_crypto(r, "write the certificate")
		     : ca_write_text(ca->folder, ca->path, CA_CRT, &bytes, 0644);
}

static int
write_authority(const struct ca *ca)
{
	int r = write_key(ca);

	if (r == 0)
		r = ca_save_list(ca);
	if (r == 0)
		r = ca_save_crl(ca, CA_LIFE_DAYS, NULL, NULL);
	return r == 0 ? write_certificate(ca) : r;
}

static void
show(const struct ctl *ctl, const struct ca *ca)
{
	static const char *const next[] = {
		"here: herdctl ca issue NAME --install",
		"for each other host: herdctl ca issue NAME",
	};
	char fingerprint[CA_FINGERPRINT_MAX];
	struct writer *w = ctl->out;

	ca_cert_fingerprint(ca->authority.certificate, fingerprint);
	writer_object_begin(w, NULL);
	writer_string(w, "dir", ca->path);
	writer_time(w, "expires", ca_cert_until_s(ca->authority.certificate) * CLOCK_SECOND_NS);
	writer_string(w, "sha256", fingerprint);
	writer_strings(w, "next", next, sizeof(next) / sizeof(next[0]));
	writer_object_end(w);
}

static int
init_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(ca_done) struct ca ca = {.folder = -1};
	int64_t days = CA_LIFE_DAYS;
	int r;

	(void)argc;
	(void)argv;
	r = ca_option_days(ctl, &days);
	if (r == 0)
		r = ca_open(&ca, ctl, CA_EMPTY);
	if (r == 0)
		r = options_value(ctl->options, "force") ? put_aside(&ca) : check_empty(&ca);
	if (r == 0)
		r = make_authority(&ca, ctl->conf->flood_herd, days);
	if (r == 0)
		r = write_authority(&ca);
	if (r == 0)
		show(ctl, &ca);
	return r;
}

const struct command command_ca_init = {
	.name = "ca init",
	.help = "Make the authority that signs this herd's hosts",
	.more = "Once, on one host of the herd, or on a machine that is in no network. Its folder is the "
		"herd's\n"
		"to guard: who can read ca.key can be any host.",
	.entries =
		(const struct options_entry[]){
			CA_ENTRY_DIR,
			{.name = "days", .argument = "N", .help = "Good for so long (3652)"},
			{.name = "force", .help = "Also when there is one; its files are kept as *.old"},
			{0},
		},
	.takes_bad_conf = true,
	.run = init_run,
};
