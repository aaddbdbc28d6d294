/*
 * One context serves both directions: whoever dials shows the same certificate
 * as when it is dialled. Sessions are never resumed. Tickets would be written
 * to a peer that does not read, and a resumed session would skip the look at
 * the peer's certificate, which may have been revoked since.
 */
#include "flood/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flood/tls-private.h"

int
tls_refuse(char why[TLS_WHY_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, TLS_WHY_MAX, format, ap);
	va_end(ap);
	return TLS_E_REFUSED;
}

const char *
tls_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code && !ERR_SYSTEM_ERROR(code) ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return reason ? reason : "no reason given";
}

bool
tls_hash(const char *label, const void *bytes, size_t len, uint8_t ret[TLS_SECRET_BYTES])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool done = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(c, label, strlen(label) + 1) == 1 &&
		    EVP_DigestUpdate(c, bytes, len) == 1 && EVP_DigestFinal_ex(c, ret, NULL) == 1;

	EVP_MD_CTX_free(c);
	return done;
}

static SSL_CTX *
new_context(struct tls *t)
{
	SSL_CTX *c = SSL_CTX_new(TLS_method());

	if (!c)
		return NULL;
	SSL_CTX_set_app_data(c, t);
	SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(c, 0);
	/* A shared key is a session to libssl, and without this it has none with peers it verifies. */
	SSL_CTX_set_session_id_context(c, (const unsigned char *)TLS_SESSION_CONTEXT,
				       sizeof(TLS_SESSION_CONTEXT) - 1);
	/* A peer that dies says no goodbye in TLS either: both are the end of the link. */
	SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
	/* What is buffered may have moved before it is tried again, an idle link keeps no buffers, and the peer has
	   the authority's certificate itself. */
	SSL_CTX_set_mode(c, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_ENABLE_PARTIAL_WRITE |
				    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, tls_on_verify);
	return c;
}

int
tls_new(struct tls **ret, const struct tls_options *options, char why[TLS_WHY_MAX])
{
	CLEANUP(tls_unrefp) struct tls *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	*t = (struct tls){.refs = 1, .expires_s = INT64_MAX};
	t->context = new_context(t);
	if (!t->context) {
		ERR_clear_error();
		return -ENOMEM;
	}
	r = tls_load_psk(t, options, why);
	if (r == TLS_E_NONE)
		r = tls_load_certificates(t, options, why);
	ERR_clear_error();
	if (r != 0)
		return r;
	*ret = t;
	t = NULL;
	return 0;
}

struct tls *
tls_unref(struct tls *t)
{
	if (t && --t->refs == 0) {
		SSL_CTX_free(t->context);
		OPENSSL_cleanse(t, sizeof(*t));
		free(t);
	}
	return NULL;
}

bool
tls_is_psk(const struct tls *t)
{
	return t->is_psk;
}

void
tls_secret(const struct tls *t, uint8_t ret[TLS_SECRET_BYTES])
{
	memcpy(ret, t->secret, TLS_SECRET_BYTES);
}

bool
tls_expires(const struct tls *t, int64_t *ret_s, const char **ret_file)
{
	if (t->expires_s == INT64_MAX)
		return false;
	*ret_s = t->expires_s;
	*ret_file = t->expires_file;
	return true;
}

const char *
tls_warning(const struct tls *t)
{
	return t->warning;
}
