/*
 * What has to be right is looked at here, once, and told with the file's name:
 * the same mistake found in a handshake would be an alert at the other end.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "flood/tls-private.h"

enum { FILE_MAX = 1 << 20, CERTIFICATES_MAX = 64 };

/* --- files ------------------------------------------------------------------ */

void
tls_forget(char **bytes, size_t len)
{
	if (*bytes)
		OPENSSL_cleanse(*bytes, len);
	free(*bytes);
	*bytes = NULL;
}

static int
read_whole(int fd, char *bytes, size_t room, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n = 1;

	while (n != 0 && len < room) {
		n = read(fd, bytes + len, room - len);
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	}
	*ret_len = len;
	return len == room ? -EFBIG : 0;
}

static int
read_checked(int fd, bool is_secret, char **ret_bytes, size_t *ret_len)
{
	struct stat st;
	char *bytes;
	size_t len = 0;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (is_secret && (st.st_mode & (S_IRWXG | S_IRWXO)))
		return -EPERM;
	bytes = malloc(FILE_MAX + 1);
	if (!bytes)
		return -ENOMEM;
	r = read_whole(fd, bytes, FILE_MAX + 1, &len);
	if (r < 0) {
		tls_forget(&bytes, FILE_MAX + 1);
		return r;
	}
	*ret_bytes = bytes;
	*ret_len = len;
	return 0;
}

int
tls_read_file(const char *folder, const char *name, bool is_secret, char **ret_bytes, size_t *ret_len,
	      char why[TLS_WHY_MAX])
{
	CLEANUP(cleanup_close) int fd = -1;
	char path[4096 + 64];
	int r;

	if (snprintf(path, sizeof(path), "%s%s%s", folder ? folder : "", folder ? "/" : "", name) >=
	    (int)sizeof(path))
		return tls_refuse(why, "%.200s: %s", name, strerror(ENAMETOOLONG));
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return TLS_E_NONE;
	r = fd < 0 ? -errno : read_checked(fd, is_secret, ret_bytes, ret_len);
	if (r == -ENOMEM || r == 0)
		return r;
	if (r == -EPERM)
		return tls_refuse(why, "%.200s: others may read or write it (expected mode 0600 or 0400)",
				  path);
	return tls_refuse(why, "%.200s: %s", path, r == -EINVAL ? "is no plain file" : strerror(-r));
}

/* --- one folder's files while they are looked at --------------------------------- */

struct files {
	const struct tls_options *options;
	char *bytes[4];
	size_t len[4];
	STACK_OF(X509) * authorities;
	X509 *own; /* the context's */
};

enum { AUTHORITY, OWN, REVOKED, KEY };
static const char *const names[] = {"ca.crt", "host.crt", "ca.crl", "host.key"};

static void
files_done(struct files *f)
{
	for (size_t i = 0; i < 4; i++)
		tls_forget(&f->bytes[i], f->len[i]);
	sk_X509_pop_free(f->authorities, X509_free);
}

static int
missing(const struct files *f, size_t which, char why[TLS_WHY_MAX])
{
	return tls_refuse(why, "%.200s/%s: %s", f->options->folder, names[which], strerror(ENOENT));
}

static int
wrong(const struct files *f, size_t which, const char *what, const char *reason, char why[TLS_WHY_MAX])
{
	return tls_refuse(why, "%.200s/%s: %s%s%s", f->options->folder, names[which], what,
			  reason ? ": " : "", reason ? reason : "");
}

static int
read_files(struct files *f, char why[TLS_WHY_MAX])
{
	const struct tls_options *o = f->options;
	bool is_there[4] = {false};
	int r;

	for (size_t i = 0; i < 4; i++) {
		r = i == KEY && o->credentials
			    ? tls_read_file(o->credentials, "flood.key", false, &f->bytes[i], &f->len[i], why)
			    : TLS_E_NONE;
		if (r == TLS_E_NONE)
			r = tls_read_file(o->folder, names[i], i == KEY, &f->bytes[i], &f->len[i], why);
		if (r != 0 && r != TLS_E_NONE)
			return r;
		is_there[i] = r == 0;
	}
	if (!is_there[AUTHORITY] && !is_there[OWN])
		return TLS_E_NONE;
	for (size_t i = 0; i < 4; i++)
		if (!is_there[i] && i != REVOKED)
			return missing(f, i, why);
	return 0;
}

static BIO *
open_bytes(const struct files *f, size_t which)
{
	ERR_clear_error();
	return BIO_new_mem_buf(f->bytes[which], (int)f->len[which]);
}

/* There was no more to read, rather than something that is none. */
static bool
is_at_end(void)
{
	unsigned long code = ERR_peek_last_error();

	return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static void
note_expiry(struct tls *t, const X509 *certificate, const char *file)
{
	struct tm when;
	int64_t s;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) != 1)
		return;
	s = (int64_t)timegm(&when);
	if (s < t->expires_s) {
		t->expires_s = s;
		t->expires_file = file;
	}
}

/* --- each of them ------------------------------------------------------------------ */

/* All certificates of a file. */
static int
take_certificates(const struct files *f, size_t which, STACK_OF(X509) * list, char why[TLS_WHY_MAX])
{
	BIO *in = open_bytes(f, which);
	X509 *c = NULL;
	int r = in ? 0 : -ENOMEM;

	while (r == 0 && (c = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		if (sk_X509_num(list) >= CERTIFICATES_MAX || sk_X509_push(list, c) <= 0) {
			X509_free(c);
			r = wrong(f, which, "holds too many certificates", NULL, why);
		}
	}
	if (r == 0 && !is_at_end())
		r = wrong(f, which, "cannot be read", tls_reason(), why);
	if (r == 0 && sk_X509_num(list) == 0)
		r = wrong(f, which, "holds no certificate", NULL, why);
	BIO_free(in);
	return r;
}

static int
load_authority(struct tls *t, struct files *f, char why[TLS_WHY_MAX])
{
	X509_STORE *store = SSL_CTX_get_cert_store(t->context);
	unsigned char *der = NULL;
	int len, r;

	f->authorities = sk_X509_new_null();
	if (!f->authorities)
		return -ENOMEM;
	r = take_certificates(f, AUTHORITY, f->authorities, why);
	for (int i = 0; r == 0 && i < sk_X509_num(f->authorities); i++) {
		X509 *c = sk_X509_value(f->authorities, i);

		if (X509_check_ca(c) == 0)
			return wrong(f, AUTHORITY, "holds a certificate that is no authority's", NULL, why);
		if (X509_STORE_add_cert(store, c) != 1)
			return -ENOMEM;
		note_expiry(t, c, names[AUTHORITY]);
	}
	if (r != 0)
		return r;
	len = i2d_X509(sk_X509_value(f->authorities, 0), &der);
	if (len < 0 || !tls_hash("herd: rings and digests, of an authority", der, (size_t)len, t->secret))
		r = -ENOMEM;
	OPENSSL_free(der);
	/* One that was itself made by another authority is trusted all the same, because the file says so. */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	return r;
}

static int
use_own(struct tls *t, struct files *f, STACK_OF(X509) * list, char why[TLS_WHY_MAX])
{
	X509 *own = sk_X509_value(list, 0);

	if (SSL_CTX_use_certificate(t->context, own) != 1)
		return wrong(f, OWN, "cannot be used", tls_reason(), why);
	f->own = own; /* the context has it from now on */
	for (int i = 1; i < sk_X509_num(list); i++)
		if (SSL_CTX_add1_chain_cert(t->context, sk_X509_value(list, i)) != 1)
			return -ENOMEM;
	note_expiry(t, own, names[OWN]);
	if (tls_certificate_is_for(own, f->options->host))
		return 0;
	tls_certificate_name(own, t->warning, TLS_NAME_MAX + 1);
	return tls_refuse(why,
			  "%.200s/%s: is for '%s', but this host's name is '%s' (see the setting 'name')",
			  f->options->folder, names[OWN], t->warning, f->options->host);
}

static int
load_own(struct tls *t, struct files *f, char why[TLS_WHY_MAX])
{
	STACK_OF(X509) *list = sk_X509_new_null();
	int r = list ? take_certificates(f, OWN, list, why) : -ENOMEM;

	if (r == 0)
		r = use_own(t, f, list, why);
	sk_X509_pop_free(list, X509_free);
	return r;
}

/* Nobody is there to be asked for a password. */
static int
no_password(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static int
load_key(struct tls *t, struct files *f, char why[TLS_WHY_MAX])
{
	BIO *in = open_bytes(f, KEY);
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_password, NULL) : NULL;
	int r = 0;

	if (!key)
		r = wrong(f, KEY, "holds no key that can be read", tls_reason(), why);
	else if (X509_check_private_key(f->own, key) != 1)
		r = wrong(f, KEY, "is not the key of host.crt", NULL, why);
	else if (SSL_CTX_use_PrivateKey(t->context, key) != 1)
		r = wrong(f, KEY, "cannot be used", tls_reason(), why);
	EVP_PKEY_free(key);
	BIO_free(in);
	return r;
}

/* --- who is revoked -------------------------------------------------------------------- */

static bool
is_of_authority(const struct files *f, X509_CRL *crl)
{
	for (int i = 0; i < sk_X509_num(f->authorities); i++) {
		X509 *c = sk_X509_value(f->authorities, i);

		if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(c)) == 0 &&
		    X509_CRL_verify(crl, X509_get0_pubkey(c)) == 1)
			return true;
	}
	return false;
}

static int
add_crl(struct tls *t, const struct files *f, X509_CRL *crl, char why[TLS_WHY_MAX])
{
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);

	if (!is_of_authority(f, crl))
		return wrong(f, REVOKED, "is not signed by the authority of ca.crt", NULL, why);
	if (X509_STORE_add_crl(SSL_CTX_get_cert_store(t->context), crl) != 1)
		return -ENOMEM;
	if (next && X509_cmp_current_time(next) < 0)
		snprintf(t->warning, sizeof(t->warning),
			 "%.200s/%s: is older than it says it should get, using it all the same",
			 f->options->folder, names[REVOKED]);
	return 0;
}

static int
load_revoked(struct tls *t, const struct files *f, char why[TLS_WHY_MAX])
{
	BIO *in = f->bytes[REVOKED] ? open_bytes(f, REVOKED) : NULL;
	X509_CRL *crl;
	unsigned int count = 0;
	int r = 0;

	if (!f->bytes[REVOKED])
		return 0;
	if (!in)
		return -ENOMEM;
	for (; r == 0 && (crl = PEM_read_bio_X509_CRL(in, NULL, NULL, NULL)) != NULL; count++) {
		r = add_crl(t, f, crl, why);
		X509_CRL_free(crl);
	}
	if (r == 0 && (!is_at_end() || count == 0))
		r = wrong(f, REVOKED, "holds no list of revoked certificates that can be read", tls_reason(),
			  why);
	if (r == 0)
		X509_STORE_set_flags(SSL_CTX_get_cert_store(t->context), X509_V_FLAG_CRL_CHECK);
	BIO_free(in);
	return r;
}

/* --- does it fit together ------------------------------------------------------------------ */

/* What peers will say of our own certificate. Dates may pass while we run, so they do not keep us from starting. */
static int
judge_own(struct tls *t, struct files *f, char why[TLS_WHY_MAX])
{
	STACK_OF(X509) *chain = NULL;
	int error;

	SSL_CTX_get0_chain_certs(t->context, &chain);
	error = tls_verify(SSL_CTX_get_cert_store(t->context), f->own, chain, "ssl_server");
	switch (error) {
	case X509_V_OK:
		return 0;
	case X509_V_ERR_OUT_OF_MEM:
		return -ENOMEM;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_CERT_REVOKED:
		snprintf(t->warning, sizeof(t->warning), "%.200s/%s: %s: other hosts refuse it",
			 f->options->folder, names[OWN], X509_verify_cert_error_string(error));
		return 0;
	default:
		return wrong(f, OWN, "is no certificate of the authority in ca.crt",
			     X509_verify_cert_error_string(error), why);
	}
}

int
tls_load_certificates(struct tls *t, const struct tls_options *options, char why[TLS_WHY_MAX])
{
	CLEANUP(files_done) struct files f = {.options = options};
	int r = read_files(&f, why);

	if (r == 0)
		r = load_authority(t, &f, why);
	if (r == 0)
		r = load_own(t, &f, why);
	if (r == 0)
		r = load_key(t, &f, why);
	if (r == 0)
		r = load_revoked(t, &f, why);
	return r == 0 ? judge_own(t, &f, why) : r;
}
