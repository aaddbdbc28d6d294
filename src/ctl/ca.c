/*
 * Authority: everything it knows is in one folder, changed by one herdctl at a
 * time, each file as a whole. The order of writing makes a killed command
 * harmless: what is signed was listed before, and what is revoked is in the
 * list before it is in the revocation list, which can be made anew.
 */
#include "ctl/ca.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

int64_t
ca_now_s(void)
{
	return clock_now_ns() / CLOCK_SECOND_NS;
}

int
ca_fail(int r, const char *what, const char *folder, const char *name)
{
	return ctl_fail(CTL_FAILED, "Cannot %s '%s/%s': %s", what, folder, name, strerror(-r));
}

int
ca_fail_crypto(int r, const char *what)
{
	return ctl_fail(CTL_FAILED, "Cannot %s: %s", what, r == -ENOMEM ? strerror(ENOMEM) : ca_cert_why());
}

int
ca_option_days(const struct ctl *ctl, int64_t *days)
{
	uint32_t given = (uint32_t)*days;
	int r = ctl_option_count(ctl, "days", &given);

	if (r != 0)
		return r;
	if (given < 1 || given > CA_LIFE_DAYS)
		return ctl_fail(CTL_USAGE, "--days takes 1 to %d", CA_LIFE_DAYS);
	*days = given;
	return 0;
}

/* --- files ------------------------------------------------------------------------------------------ */

int
ca_read_text(int folder, const char *path, const char *name, size_t max, struct buffer *out)
{
	int r;

	out->max = max;
	r = file_read(folder, name, out);
	return r < 0 ? ca_fail(r, "read", path, name) : 0;
}

int
ca_write_text(int folder, const char *path, const char *name, const struct buffer *bytes, mode_t mode)
{
	int r = file_replace(folder, name, (struct text){bytes->bytes, bytes->len}, mode);

	return r < 0 ? ca_fail(r, "write", path, name) : 0;
}

static int
open_folder(struct ca *ca, bool make)
{
	int r;

	if (make && mkdir(ca->path, 0700) < 0 && errno != EEXIST)
		return ctl_fail(CTL_FAILED, "Cannot make the folder '%s': %s", ca->path, strerror(errno));
	ca->folder = open(ca->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ca->folder < 0 && errno == ENOENT)
		return ctl_fail(CTL_FAILED, "There is no authority in '%s': 'herdctl ca init' makes one",
				ca->path);
	if (ca->folder < 0)
		return ctl_fail(CTL_FAILED, "Cannot open the folder '%s': %s", ca->path, strerror(errno));
	r = file_lock(ca->folder);
	if (r == -EBUSY)
		return ctl_fail(CTL_FAILED, "Another herdctl is at work in '%s'", ca->path);
	return r < 0 ? ctl_fail(CTL_FAILED, "Cannot lock the folder '%s': %s", ca->path, strerror(-r)) : 0;
}

static int
read_certificate(struct ca *ca)
{
	CLEANUP(buffer_done) struct buffer bytes = {0};
	struct stat st;
	int r;

	if (fstatat(ca->folder, CA_CRT, &st, 0) < 0 && errno == ENOENT)
		return ctl_fail(CTL_FAILED, "There is no authority in '%s': 'herdctl ca init' makes one",
				ca->path);
	r = ca_read_text(ca->folder, ca->path, CA_CRT, CA_FILE_MAX, &bytes);
	if (r != 0)
		return r;
	r = ca_cert_read((struct text){bytes.bytes, bytes.len}, &ca->authority.certificate);
	return r < 0 ? ctl_fail(CTL_FAILED, "'%s/" CA_CRT "' is no certificate: %s", ca->path, ca_cert_why())
		     : 0;
}

/* A key that others may read is not the authority's alone, and whatever it signs proves nothing. */
static int
check_key_mode(const struct ca *ca)
{
	struct stat st;

	if (fstatat(ca->folder, CA_KEY, &st, 0) < 0)
		return ca_fail(-errno, "read", ca->path, CA_KEY);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return ctl_fail(CTL_FAILED,
				"Others than its owner may read '%s/" CA_KEY "' (mode %04o): if nobody did, "
				"chmod 600 it, else make a new authority",
				ca->path, (unsigned int)(st.st_mode & 07777));
	return 0;
}

static int
read_key(struct ca *ca)
{
	CLEANUP(ca_secret_done) struct buffer bytes = {0};
	int r;

	r = check_key_mode(ca);
	if (r == 0)
		r = ca_read_text(ca->folder, ca->path, CA_KEY, CA_FILE_MAX, &bytes);
	if (r != 0)
		return r;
	r = ca_key_read((struct text){bytes.bytes, bytes.len}, &ca->authority.key);
	if (r < 0)
		return ctl_fail(CTL_FAILED, "'%s/" CA_KEY "' is no key, or needs another passphrase: %s",
				ca->path, ca_cert_why());
	if (X509_check_private_key(ca->authority.certificate, ca->authority.key) != 1)
		return ctl_fail(CTL_FAILED, "'%s/" CA_KEY "' and '" CA_CRT "' do not belong together",
				ca->path);
	if (ca_cert_until_s(ca->authority.certificate) <= ca_now_s())
		return ctl_fail(
			CTL_FAILED,
			"The authority in '%s' has expired: 'herdctl ca init --force' makes another, and all "
			"hosts need certificates of it",
			ca->path);
	return 0;
}

static int
read_list(struct ca *ca)
{
	CLEANUP(buffer_done) struct buffer bytes = {0};
	unsigned int line = 0;
	int r;

	r = ca_read_text(ca->folder, ca->path, CA_ISSUED, CA_LIST_MAX, &bytes);
	if (r != 0)
		return r;
	r = ca_list_parse(&ca->list, (struct text){bytes.bytes, bytes.len}, &line);
	if (r == CA_LIST_E_DAMAGED)
		return ctl_fail(CTL_FAILED,
				"'%s/" CA_ISSUED "' is damaged at line %u: nobody knows what else was issued",
				ca->path, line);
	return r;
}

int
ca_open(struct ca *ret, const struct ctl *ctl, enum ca_use use)
{
	CLEANUP(ca_done) struct ca ca = {.folder = -1};
	const char *given = options_value(ctl->options, "dir");
	int r;

	ca.path = given ? given : CA_FOLDER;
	if (!*ca.path || strlen(ca.path) >= CA_PATH_MAX - 256)
		return ctl_fail(CTL_USAGE, "--dir takes the path of a folder");
	r = open_folder(&ca, use == CA_EMPTY);
	if (r == 0 && use != CA_EMPTY)
		r = read_certificate(&ca);
	if (r == 0 && use != CA_EMPTY)
		r = read_list(&ca);
	if (r == 0 && use == CA_SIGN)
		r = read_key(&ca);
	if (r != 0)
		return r;
	*ret = ca;
	ca = (struct ca){.folder = -1};
	return 0;
}

void
ca_done(struct ca *ca)
{
	EVP_PKEY_free(ca->authority.key);
	X509_free(ca->authority.certificate);
	ca_list_done(&ca->list);
	if (ca->folder >= 0)
		close(ca->folder);
	*ca = (struct ca){.folder = -1};
}

/* --- what changes ------------------------------------------------------------------------------------- */

int
ca_save_list(const struct ca *ca)
{
	CLEANUP(buffer_done) struct buffer bytes = {.max = CA_LIST_MAX};

	if (ca_list_format(&ca->list, &bytes) < 0)
		return ctl_fail(CTL_FAILED, "'%s/" CA_ISSUED "' has got too long", ca->path);
	return ca_write_text(ca->folder, ca->path, CA_ISSUED, &bytes, 0600);
}

/* Grows with each list, also with a clock that was set back. */
static uint64_t
next_number(const struct ca *ca)
{
	CLEANUP(buffer_done) struct buffer bytes = {.max = CA_LIST_MAX};
	CLEANUP(X509_CRL_freep) X509_CRL *last = NULL;
	uint64_t now = (uint64_t)ca_now_s(), number = 0;

	if (file_read(ca->folder, CA_CRL, &bytes) == 0 &&
	    ca_crl_read((struct text){bytes.bytes, bytes.len}, &last) == 0)
		number = ca_crl_number(last) + 1;
	(void)ca_cert_why();
	return number > now ? number : now;
}

int
ca_save_crl(const struct ca *ca, int64_t days, struct buffer *out, int64_t *ret_until_s)
{
	CLEANUP(buffer_done) struct buffer bytes = {.max = CA_LIST_MAX};
	CLEANUP(X509_CRL_freep) X509_CRL *crl = NULL;
	int64_t now_s = ca_now_s(), end_s = ca_cert_until_s(ca->authority.certificate);
	struct ca_period period = {now_s - CA_BACKDATE_S, now_s + days * CA_DAY_S};
	int r;

	if (period.until_s > end_s)
		period.until_s = end_s;
	r = ca_crl_make(&crl, &ca->authority, &ca->list, &period, next_number(ca));
	if (r == 0)
		r = ca_crl_write(crl, &bytes);
	if (r < 0)
		return ca_fail_crypto(r, "make the revocation list");
	r = ca_write_text(ca->folder, ca->path, CA_CRL, &bytes, 0644);
	if (r == 0 && out)
		r = buffer_append(out, (struct text){bytes.bytes, bytes.len}) < 0 ? -ENOMEM : 0;
	if (r == 0 && ret_until_s)
		*ret_until_s = period.until_s;
	return r;
}
