/*
 * Delivery: a key is written before its certificate, and both before what is
 * the authority's, so that a helper that looks in between finds a pair that
 * does not match, says so and keeps the one it has.
 */
#include "ctl/ca-deliver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define HOSTS "hosts" /* in the authority's folder */

bool
delivery_is_install(const struct ctl *ctl)
{
	return options_value(ctl->options, "install") != NULL;
}

static int
make_path(struct delivery *d, const struct ctl *ctl, const struct ca *ca, const char *name)
{
	const char *out = name ? options_value(ctl->options, "out") : NULL;
	int n;

	d->is_own = delivery_is_install(ctl);
	if (d->is_own && out)
		return ctl_fail(CTL_USAGE, "--out and --install exclude each other");
	if (d->is_own || out)
		n = snprintf(d->path, sizeof(d->path), "%s", d->is_own ? ctl->conf->flood_tls_dir : out);
	else
		n = snprintf(d->path, sizeof(d->path), "%s/" HOSTS "/%s", ca->path, name);
	return n <= 0 || n >= CA_PATH_MAX - 64
		       ? ctl_fail(CTL_USAGE, "The path of the folder is too long or empty")
		       : 0;
}

/* Keys of other hosts are nobody's business; what a helper reads itself is public, but for its key. */
static int
make_folder(const char *path, mode_t mode)
{
	if (mkdir(path, mode) == 0)
		return chmod(path, mode) < 0 ? -errno : 0;
	return errno == EEXIST ? 0 : -errno;
}

static int
open_folder(struct delivery *d, const struct ca *ca, bool standard)
{
	int r = 0;

	if (standard && mkdirat(ca->folder, HOSTS, 0700) < 0 && errno != EEXIST)
		return ca_fail(-errno, "make the folder", ca->path, HOSTS);
	r = make_folder(d->path, d->is_own ? 0755 : 0700);
	if (r < 0)
		return ctl_fail(CTL_FAILED, "Cannot make the folder '%s': %s", d->path, strerror(-r));
	d->folder = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->folder < 0)
		return ctl_fail(CTL_FAILED, "Cannot open the folder '%s': %s", d->path, strerror(errno));
	return 0;
}

int
delivery_open(struct delivery *ret, const struct ctl *ctl, const struct ca *ca, const char *name)
{
	struct delivery d = {.folder = -1};
	int r;

	r = make_path(&d, ctl, ca, name);
	if (r == 0)
		r = open_folder(&d, ca, !d.is_own && !options_value(ctl->options, "out"));
	if (r == 0)
		*ret = d;
	return r;
}

void
delivery_done(struct delivery *d)
{
	if (d->folder >= 0)
		close(d->folder);
	d->folder = -1;
}

/* --- what is there already ------------------------------------------------------------------------ */

static bool
is_forced(const struct ctl *ctl)
{
	return options_value(ctl->options, "force") != NULL;
}

int
delivery_check(struct delivery *d, const struct ctl *ctl, const struct ca *ca)
{
	CLEANUP(buffer_done) struct buffer bytes = {.max = CA_FILE_MAX};
	CLEANUP(X509_freep) X509 *there = NULL;
	int r;

	r = file_read(d->folder, CA_CRT, &bytes);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return ca_fail(r, "read", d->path, CA_CRT);
	r = ca_cert_read((struct text){bytes.bytes, bytes.len}, &there);
	(void)ca_cert_why();
	d->has_ca = r == 0 && X509_cmp(there, ca->authority.certificate) == 0;
	if (d->has_ca || is_forced(ctl))
		return 0;
	return ctl_fail(CTL_FAILED, "'%s/" CA_CRT "' is of another authority; --force replaces it", d->path);
}

int
delivery_check_vacant(const struct delivery *d, const struct ctl *ctl)
{
	static const char *const files[] = {DELIVER_KEY, DELIVER_CRT};
	struct stat st;

	for (int i = 0; i < 2 && !is_forced(ctl); i++)
		if (fstatat(d->folder, files[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			return ctl_fail(CTL_FAILED, "'%s/%s' is there already; --force replaces it", d->path,
					files[i]);
	return 0;
}

int
delivery_check_key(const struct delivery *d, X509 *certificate)
{
	CLEANUP(ca_secret_done) struct buffer bytes = {.max = CA_FILE_MAX};
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	int r;

	r = file_read(d->folder, DELIVER_KEY, &bytes);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return ca_fail(r, "read", d->path, DELIVER_KEY);
	r = ca_key_read((struct text){bytes.bytes, bytes.len}, &key);
	if (r == 0 && X509_check_private_key(certificate, key) == 1)
		return 0;
	(void)ca_cert_why();
	return ctl_fail(CTL_FAILED,
			"'%s/" DELIVER_KEY
			"' is not the key that was certified last; without --renew the host "
			"gets a new key and certificate",
			d->path);
}

/* --- what comes to be there ------------------------------------------------------------------------- */

static int
write_key(const struct delivery *d, EVP_PKEY *key)
{
	CLEANUP(ca_secret_done) struct buffer bytes = {.max = CA_FILE_MAX};
	int r = ca_key_write(key, &bytes);

	return r < 0 ? ca_fail_crypto(r, "write the key")
		     : ca_write_text(d->folder, d->path, DELIVER_KEY, &bytes, 0600);
}

static int
write_certificate(const struct delivery *d, X509 *certificate, const char *name)
{
	CLEANUP(buffer_done) struct buffer bytes = {.max = CA_FILE_MAX};
	int r = ca_cert_write(certificate, &bytes);

	return r < 0 ? ca_fail_crypto(r, "write the certificate")
		     : ca_write_text(d->folder, d->path, name, &bytes, 0644);
}

/* While a herd changes from one authority to another. */
static bool
has_lists_of_several(const struct delivery *d)
{
	static const char begin[] = "-----BEGIN X509 CRL-----";
	CLEANUP(buffer_done) struct buffer bytes = {.max = CA_LIST_MAX};
	const char *first;

	if (file_read(d->folder, CA_CRL, &bytes) < 0 || bytes.len == 0)
		return false;
	first = memmem(bytes.bytes, bytes.len, begin, strlen(begin));
	return first &&
	       memmem(first + 1, bytes.len - (size_t)(first + 1 - bytes.bytes), begin, strlen(begin));
}

int
delivery_write_crl(const struct delivery *d, const struct ca *ca)
{
	CLEANUP(buffer_done) struct buffer bytes = {0};
	int r;

	if (has_lists_of_several(d)) {
		log_warning("'%s/" CA_CRL "' has the lists of several authorities and stays: put in it what "
			    "'%s/" CA_CRL "' says",
			    d->path, ca->path);
		return 0;
	}
	r = ca_read_text(ca->folder, ca->path, CA_CRL, CA_LIST_MAX, &bytes);
	return r == 0 ? ca_write_text(d->folder, d->path, CA_CRL, &bytes, 0644) : r;
}

int
delivery_write(const struct delivery *d, const struct ca *ca, X509 *certificate, EVP_PKEY *key)
{
	int r = key ? write_key(d, key) : 0;

	if (r == 0)
		r = write_certificate(d, certificate, DELIVER_CRT);
	if (r == 0 && !d->has_ca)
		r = write_certificate(d, ca->authority.certificate, CA_CRT);
	return r == 0 ? delivery_write_crl(d, ca) : r;
}
