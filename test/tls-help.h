#ifndef TEST_TLS_HELP_H
#define TEST_TLS_HELP_H
/*
 * A certificate authority for tests, made by libcrypto and thrown away:
 *
 *	struct help_ca ca;
 *	help_ca_new(&ca, "one");
 *	help_issue(&ca, folder, "hill", -1, 3600);	ca.crt, host.crt, host.key
 *	help_revoke(&ca, folder, 3600);			ca.crl: the last one issued
 */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct help_ca {
	EVP_PKEY *key;
	X509 *certificate;
	long serial;
};

static inline EVP_PKEY *
help_key(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");

	assert_non_null(key);
	return key;
}

static inline void
help_extend(X509 *c, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	assert_int_equal(X509_add_ext(c, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* issuer NULL: its own. The dates are seconds from now. */
static inline X509 *
help_certificate(struct help_ca *issuer, const char *subject, EVP_PKEY *key, long from_s, long until_s)
{
	X509 *c = X509_new();
	X509_NAME *name = X509_get_subject_name(c);

	assert_int_equal(X509_set_version(c, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(c), issuer ? ++issuer->serial : 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(c), from_s));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(c), until_s));
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)subject,
						    -1, -1, 0),
			 1);
	assert_int_equal(X509_set_issuer_name(c, issuer ? X509_get_subject_name(issuer->certificate) : name),
			 1);
	assert_int_equal(X509_set_pubkey(c, key), 1);
	return c;
}

static inline void
help_write_pem(const char *folder, const char *name, mode_t mode, X509 *c, EVP_PKEY *key, X509_CRL *crl)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	if (c)
		assert_int_equal(PEM_write_X509(file, c), 1);
	if (key)
		assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	if (crl)
		assert_int_equal(PEM_write_X509_CRL(file, crl), 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static inline void
help_ca_new(struct help_ca *ca, const char *name)
{
	*ca = (struct help_ca){.key = help_key()};
	ca->certificate = help_certificate(NULL, name, ca->key, -7200, 100 * 86400L);
	help_extend(ca->certificate, NID_basic_constraints, "critical,CA:TRUE");
	help_extend(ca->certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
	assert_true(X509_sign(ca->certificate, ca->key, EVP_sha256()) > 0);
}

static inline void
help_ca_done(struct help_ca *ca)
{
	X509_free(ca->certificate);
	EVP_PKEY_free(ca->key);
}

/* host "a,DNS:b" has two names; NULL: none. */
static inline void
help_issue(struct help_ca *ca, const char *folder, const char *host, long from_s, long until_s)
{
	EVP_PKEY *key = help_key();
	X509 *c = help_certificate(ca, "a host", key, from_s, until_s);
	char names[256];

	snprintf(names, sizeof(names), "DNS:%s", host ? host : "");
	if (host)
		help_extend(c, NID_subject_alt_name, names);
	help_extend(c, NID_ext_key_usage, "serverAuth,clientAuth");
	assert_true(X509_sign(c, ca->key, EVP_sha256()) > 0);
	help_write_pem(folder, "ca.crt", 0644, ca->certificate, NULL, NULL);
	help_write_pem(folder, "host.crt", 0644, c, NULL, NULL);
	help_write_pem(folder, "host.key", 0600, NULL, key, NULL);
	X509_free(c);
	EVP_PKEY_free(key);
}

/* A list in the folder with the last serial number, or with nobody (serial 0), that is good for so long. */
static inline void
help_revoke(struct help_ca *ca, const char *folder, long serial, long until_s)
{
	X509_CRL *crl = X509_CRL_new();
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *then = X509_gmtime_adj(NULL, -3600), *next = X509_gmtime_adj(NULL, until_s);
	ASN1_INTEGER *number = ASN1_INTEGER_new();

	assert_int_equal(X509_CRL_set_version(crl, 1), 1);
	assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->certificate)), 1);
	assert_int_equal(X509_CRL_set1_lastUpdate(crl, then), 1);
	assert_int_equal(X509_CRL_set1_nextUpdate(crl, next), 1);
	assert_int_equal(ASN1_INTEGER_set(number, serial), 1);
	assert_int_equal(X509_REVOKED_set_serialNumber(entry, number), 1);
	assert_int_equal(X509_REVOKED_set_revocationDate(entry, then), 1);
	if (serial)
		assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
	else
		X509_REVOKED_free(entry);
	assert_true(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
	help_write_pem(folder, "ca.crl", 0644, NULL, NULL, crl);
	ASN1_INTEGER_free(number);
	ASN1_TIME_free(then);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
}

#endif
