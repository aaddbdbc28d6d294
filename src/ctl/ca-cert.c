/*
 * Certificates: what a link between two helpers needs and nothing more, so
 * that neither can be used for anything else: the authority signs hosts only
 * (no authority below it), a host's certificate opens and answers connections
 * in its one name.
 */
#include "ctl/ca-cert.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

CLEANUP_POINTER(ASN1_INTEGER, ASN1_INTEGER_free);
CLEANUP_POINTER(ASN1_TIME, ASN1_TIME_free);
CLEANUP_POINTER(BIO, BIO_free_all);
CLEANUP_POINTER(X509_EXTENSION, X509_EXTENSION_free);
CLEANUP_POINTER(X509_REVOKED, X509_REVOKED_free);

enum { X509_VERSION_OF_V3 = 2, CRL_VERSION_OF_V2 = 1 };

/* A clock that is wrong by more than this is somebody's to mend. */
#define CLOCK_WRONG_S INT64_C(2592000)

/* libcrypto does not tell a want of memory from other troubles by what it returns. */
static int
fault(void)
{
	unsigned long last = ERR_peek_last_error();

	return last && ERR_GET_REASON(last) == ERR_R_MALLOC_FAILURE ? -ENOMEM : -EBADMSG;
}

const char *
ca_cert_why(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return reason ? reason : "no reason given";
}

/* --- keys and numbers ------------------------------------------------------------------------- */

int
ca_key_make(EVP_PKEY **ret)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (!key)
		return fault();
	*ret = key;
	return 0;
}

int
ca_serial_make(uint64_t *ret)
{
	uint64_t serial = 0;

	while (serial == 0) {
		if (RAND_bytes((unsigned char *)&serial, sizeof(serial)) != 1)
			return fault();
		serial &= INT64_MAX;
	}
	*ret = serial;
	return 0;
}

/* --- parts of a certificate ---------------------------------------------------------------------- */

static bool
set_period(X509 *certificate, int64_t from_s, int64_t until_s)
{
	return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)from_s) &&
	       ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)until_s);
}

static bool
set_name(X509_NAME *to, const char *name)
{
	return X509_NAME_add_entry_by_NID(to, NID_commonName, MBSTRING_ASC, (const unsigned char *)name, -1,
					  -1, 0) == 1;
}

static bool
add_extension(X509 *certificate, X509V3_CTX *context, int nid, const char *value)
{
	CLEANUP(X509_EXTENSION_freep)
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, nid, value);

	return extension && X509_add_ext(certificate, extension, -1) == 1;
}

/* All but who it is, who signs it, and what it is good for. */
static X509 *
begin(EVP_PKEY *key, uint64_t serial, int64_t from_s, int64_t until_s)
{
	X509 *certificate = X509_new();

	if (certificate && X509_set_version(certificate, X509_VERSION_OF_V3) &&
	    ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial) &&
	    set_period(certificate, from_s, until_s) && X509_set_pubkey(certificate, key))
		return certificate;
	X509_free(certificate);
	return NULL;
}

int
ca_authority_make(X509 **ret, EVP_PKEY *key, const char *name, uint64_t serial,
		  const struct ca_period *period)
{
	CLEANUP(X509_freep) X509 *certificate = begin(key, serial, period->from_s, period->until_s);
	X509V3_CTX context;

	if (!certificate)
		return fault();
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	if (!set_name(X509_get_subject_name(certificate), name) ||
	    !X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) ||
	    !add_extension(certificate, &context, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(certificate, &context, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !add_extension(certificate, &context, NID_subject_key_identifier, "hash") ||
	    !X509_sign(certificate, key, EVP_sha256()))
		return fault();
	*ret = certificate;
	certificate = NULL;
	return 0;
}

int
ca_host_make(X509 **ret, const struct ca_authority *authority, EVP_PKEY *key, const struct ca_entry *entry,
	     int64_t from_s)
{
	CLEANUP(X509_freep) X509 *certificate = begin(key, entry->serial, from_s, entry->expires_s);
	char name[CA_NAME_MAX + sizeof("DNS:")];
	X509V3_CTX context;

	if (!certificate)
		return fault();
	snprintf(name, sizeof(name), "DNS:%s", entry->name); /* was checked: nothing in it means anything */
	X509V3_set_ctx(&context, authority->certificate, certificate, NULL, NULL, 0);
	if (!set_name(X509_get_subject_name(certificate), entry->name) ||
	    !X509_set_issuer_name(certificate, X509_get_subject_name(authority->certificate)) ||
	    !add_extension(certificate, &context, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(certificate, &context, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(certificate, &context, NID_ext_key_usage, "serverAuth,clientAuth") ||
	    !add_extension(certificate, &context, NID_subject_key_identifier, "hash") ||
	    !add_extension(certificate, &context, NID_authority_key_identifier, "keyid:always") ||
	    !add_extension(certificate, &context, NID_subject_alt_name, name) ||
	    !X509_sign(certificate, authority->key, EVP_sha256()))
		return fault();
	*ret = certificate;
	certificate = NULL;
	return 0;
}

/* --- revocation lists --------------------------------------------------------------------------- */

static bool
add_revoked(X509_CRL *crl, const struct ca_entry *entry)
{
	CLEANUP(X509_REVOKED_freep) X509_REVOKED *revoked = X509_REVOKED_new();
	CLEANUP(ASN1_INTEGER_freep) ASN1_INTEGER *serial = ASN1_INTEGER_new();
	CLEANUP(ASN1_TIME_freep) ASN1_TIME *when = ASN1_TIME_set(NULL, (time_t)entry->revoked_s);

	if (!revoked || !serial || !when || !ASN1_INTEGER_set_uint64(serial, entry->serial) ||
	    !X509_REVOKED_set_serialNumber(revoked, serial) ||
	    !X509_REVOKED_set_revocationDate(revoked, when) || !X509_CRL_add0_revoked(crl, revoked))
		return false;
	revoked = NULL; /* the list's now */
	return true;
}

static bool
set_number(X509_CRL *crl, uint64_t number)
{
	CLEANUP(ASN1_INTEGER_freep) ASN1_INTEGER *integer = ASN1_INTEGER_new();

	return integer && ASN1_INTEGER_set_uint64(integer, number) &&
	       X509_CRL_add1_ext_i2d(crl, NID_crl_number, integer, 0, 0) == 1;
}

static bool
set_authority(X509_CRL *crl, X509 *certificate)
{
	CLEANUP(X509_EXTENSION_freep) X509_EXTENSION *extension = NULL;
	X509V3_CTX context;

	X509V3_set_ctx(&context, certificate, NULL, NULL, crl, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid:always");
	return extension && X509_CRL_set_issuer_name(crl, X509_get_subject_name(certificate)) &&
	       X509_CRL_add_ext(crl, extension, -1) == 1;
}

static bool
set_crl_period(X509_CRL *crl, const struct ca_period *period)
{
	CLEANUP(ASN1_TIME_freep) ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)period->from_s);
	CLEANUP(ASN1_TIME_freep) ASN1_TIME *until = ASN1_TIME_set(NULL, (time_t)period->until_s);

	return from && until && X509_CRL_set1_lastUpdate(crl, from) && X509_CRL_set1_nextUpdate(crl, until);
}

int
ca_crl_make(X509_CRL **ret, const struct ca_authority *authority, const struct ca_list *list,
	    const struct ca_period *period, uint64_t number)
{
	CLEANUP(X509_CRL_freep) X509_CRL *crl = X509_CRL_new();

	if (!crl || !X509_CRL_set_version(crl, CRL_VERSION_OF_V2) || !set_crl_period(crl, period) ||
	    !set_authority(crl, authority->certificate) || !set_number(crl, number))
		return fault();
	for (size_t i = 0; i < list->count; i++)
		if (list->at[i].revoked_s && list->at[i].expires_s > period->from_s - CLOCK_WRONG_S &&
		    !add_revoked(crl, &list->at[i]))
			return fault();
	if (!X509_CRL_sort(crl) || !X509_CRL_sign(crl, authority->key, EVP_sha256()))
		return fault();
	*ret = crl;
	crl = NULL;
	return 0;
}

/* --- what is in one ------------------------------------------------------------------------------- */

static int64_t
posix_of(const ASN1_TIME *time)
{
	struct tm tm;

	return time && ASN1_TIME_to_tm(time, &tm) ? timegm(&tm) : 0;
}

uint64_t
ca_cert_serial(const X509 *certificate)
{
	uint64_t serial;

	return ASN1_INTEGER_get_uint64(&serial, X509_get0_serialNumber(certificate)) ? serial : 0;
}

int64_t
ca_cert_until_s(const X509 *certificate)
{
	return posix_of(X509_get0_notAfter(certificate));
}

uint64_t
ca_crl_number(const X509_CRL *crl)
{
	CLEANUP(ASN1_INTEGER_freep)
	ASN1_INTEGER *integer = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
	uint64_t number;

	return integer && ASN1_INTEGER_get_uint64(&number, integer) ? number : 0;
}

void
ca_cert_fingerprint(const X509 *certificate, char out[CA_FINGERPRINT_MAX])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	out[0] = '\0';
	if (!X509_digest(certificate, EVP_sha256(), bytes, &len))
		return;
	for (unsigned int i = 0; i < len && 3 * i + 3 <= CA_FINGERPRINT_MAX; i++)
		snprintf(out + 3 * i, CA_FINGERPRINT_MAX - 3 * i, "%02X%s", bytes[i], i + 1 < len ? ":" : "");
}

/* --- as text ----------------------------------------------------------------------------------------- */

static int
take_bytes(BIO *bio, bool written, struct buffer *out)
{
	char *bytes = NULL;
	long len = written ? BIO_get_mem_data(bio, &bytes) : 0;

	if (len <= 0)
		return fault();
	return buffer_append(out, (struct text){bytes, (size_t)len}) < 0 ? -ENOMEM : 0;
}

int
ca_key_write(EVP_PKEY *key, struct buffer *out)
{
	CLEANUP(BIO_free_allp) BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when it is freed */

	return bio ? take_bytes(bio, PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1,
				out)
		   : fault();
}

int
ca_cert_write(X509 *certificate, struct buffer *out)
{
	CLEANUP(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());

	return bio ? take_bytes(bio, PEM_write_bio_X509(bio, certificate) == 1, out) : fault();
}

int
ca_crl_write(X509_CRL *crl, struct buffer *out)
{
	CLEANUP(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());

	return bio ? take_bytes(bio, PEM_write_bio_X509_CRL(bio, crl) == 1, out) : fault();
}

/* A person is asked, nobody else is: libcrypto would wait for what a pipe has to say. */
static int
ask_passphrase(char *out, int size, int writing, void *arg)
{
	(void)arg;
	return isatty(STDIN_FILENO) ? PEM_def_callback(out, size, writing, NULL) : -1;
}

int
ca_key_read(struct text pem, EVP_PKEY **ret)
{
	CLEANUP(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, ask_passphrase, NULL) : NULL;

	if (!key)
		return fault();
	*ret = key;
	return 0;
}

int
ca_cert_read(struct text pem, X509 **ret)
{
	CLEANUP(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	if (!certificate)
		return fault();
	*ret = certificate;
	return 0;
}

int
ca_crl_read(struct text pem, X509_CRL **ret)
{
	CLEANUP(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
	X509_CRL *crl = bio ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : NULL;

	if (!crl)
		return fault();
	*ret = crl;
	return 0;
}

void
ca_secret_done(struct buffer *b)
{
	if (b->bytes)
		OPENSSL_cleanse(b->bytes, b->size);
	buffer_done(b);
}
