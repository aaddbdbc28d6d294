#ifndef FLOOD_TLS_PRIVATE_H
#define FLOOD_TLS_PRIVATE_H
/* What the files tls*.c share. */
#include <openssl/ssl.h>

#include "base/text.h"
#include "flood/tls.h"

enum { TLS_KEYS_MAX = 2, TLS_IDENTITY_BYTES = 8, TLS_IDENTITY_MAX = 32 };

#define TLS_SESSION_CONTEXT "herd"

/* A shared key: what is written in the file, hashed; and the name that tells which one it is. */
struct tls_psk {
	uint8_t key[TLS_SECRET_BYTES];
	uint8_t secret[TLS_SECRET_BYTES]; /* for tls_secret() */
	char identity[TLS_IDENTITY_MAX];
};

struct tls {
	unsigned int refs;
	SSL_CTX *context; /* for both directions */
	bool is_psk;
	struct tls_psk psk[TLS_KEYS_MAX]; /* the first one is used to dial, all are accepted */
	unsigned int psk_count;
	uint8_t secret[TLS_SECRET_BYTES];
	int64_t expires_s; /* INT64_MAX: never */
	const char *expires_file;
	char warning[TLS_WHY_MAX];
};

/* Says why as printf() would; returns TLS_E_REFUSED. */
__attribute__((format(printf, 2, 3))) int tls_refuse(char why[TLS_WHY_MAX], const char *format, ...);

/* The newest reason libcrypto gave, and none of them is left for whoever asks next. "no reason given" */
const char *tls_reason(void);

/* tls-files.c: loads the folder's files into t->context. 0, TLS_E_*, -ENOMEM. */
int tls_load_certificates(struct tls *t, const struct tls_options *options, char why[TLS_WHY_MAX]);

/* tls-psk.c: loads the keys, and has t->context use them. 0, TLS_E_*, -ENOMEM. */
int tls_load_psk(struct tls *t, const struct tls_options *options, char why[TLS_WHY_MAX]);

/* tls-files.c. folder/name; one that others may read or write is refused if `is_secret`. 0; TLS_E_NONE: there is
   no such file; TLS_E_REFUSED; -ENOMEM. */
int tls_read_file(const char *folder, const char *name, bool is_secret, char **ret_bytes, size_t *ret_len,
		  char why[TLS_WHY_MAX]);
void tls_forget(char **bytes, size_t len); /* a secret */

/* --- tls-session.c ------------------------------------------------------- */

/* Of names in certificates, exact ones count, whatever their case; others than names for DNS do not. */
bool tls_certificate_is_for(const X509 *c, const char *host);
/* The first of them, escaped. */
void tls_certificate_name(const X509 *c, char *out, size_t size);
/* X509_V_OK or what is wrong. purpose: "ssl_client", "ssl_server". */
int tls_verify(X509_STORE *store, X509 *own, STACK_OF(X509) * chain, const char *purpose);
/* Which of the shared keys it is. */
void tls_session_took_key(struct tls_session *s, const char *identity);

/* What a certificate's judge says, with a CRL that is past its date honoured all the same. */
int tls_on_verify(int ok, X509_STORE_CTX *store);

#endif
