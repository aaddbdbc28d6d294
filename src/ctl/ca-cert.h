#ifndef CTL_CA_CERT_H
#define CTL_CA_CERT_H
/*
 * Keys, certificates and revocation lists of a private authority: what is in
 * them, and how they are written (PEM). Knows no files. ECDSA on P-256 with
 * SHA-256 throughout, which every TLS 1.3 has.
 *
 * All return 0, -ENOMEM or -EBADMSG: ca_cert_why() says what libcrypto objects to.
 */
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "ctl/ca-list.h"

CLEANUP_POINTER(EVP_PKEY, EVP_PKEY_free);
CLEANUP_POINTER(X509, X509_free);
CLEANUP_POINTER(X509_CRL, X509_CRL_free);

struct ca_period {
	int64_t from_s, until_s; /* POSIX */
};

/* An authority: its certificate, and its key if there is one at hand. */
struct ca_authority {
	X509 *certificate;
	EVP_PKEY *key;
};

int ca_key_make(EVP_PKEY **ret);

/* 63 random bits: never 0, and positive as certificates want it. */
int ca_serial_make(uint64_t *ret);

/* Of an authority that signs hosts and nothing else; `name` tells people which one it is. */
int ca_authority_make(X509 **ret, EVP_PKEY *key, const char *name, uint64_t serial,
		      const struct ca_period *period);

/* Of a host: entry's serial, name and expires_s; good from from_s on, for both ends of a connection. Of `key` only
   the public half is used. */
int ca_host_make(X509 **ret, const struct ca_authority *authority, EVP_PKEY *key,
		 const struct ca_entry *entry, int64_t from_s);

/* What the list has as revoked, but for what expired so long ago that nobody's clock is that wrong. */
int ca_crl_make(X509_CRL **ret, const struct ca_authority *authority, const struct ca_list *list,
		const struct ca_period *period, uint64_t number);

/* --- what is in one ------------------------------------------------------------------------ */

uint64_t ca_cert_serial(const X509 *certificate); /* 0: not one of ours */
int64_t ca_cert_until_s(const X509 *certificate);
uint64_t ca_crl_number(const X509_CRL *crl); /* 0: none */

/* "AB:CD:...", of SHA-256. */
enum { CA_FINGERPRINT_MAX = 96 };
void ca_cert_fingerprint(const X509 *certificate, char out[CA_FINGERPRINT_MAX]);

/* --- as text -------------------------------------------------------------------------------- */

/* The key's bytes are wiped by the caller: ca_secret_done(). */
int ca_key_write(EVP_PKEY *key, struct buffer *out);
int ca_cert_write(X509 *certificate, struct buffer *out);
int ca_crl_write(X509_CRL *crl, struct buffer *out);

/* A key with a passphrase makes libcrypto ask for it, at the terminal. */
int ca_key_read(struct text pem, EVP_PKEY **ret);
int ca_cert_read(struct text pem, X509 **ret);
int ca_crl_read(struct text pem, X509_CRL **ret);

/* Wipes and frees. */
void ca_secret_done(struct buffer *b);

/* Why the last call failed, in libcrypto's words; empties its list of reasons. */
const char *ca_cert_why(void);

#endif
