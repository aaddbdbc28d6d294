/*
 * One connection's TLS: thin around libssl, and exact about two things of it.
 * Its queue of errors belongs to the thread, so it is emptied before each call,
 * or one link's error would be taken for another's. And who the peer is, is
 * looked at by us: libssl's own check of names knows wildcards and leading
 * dots, which here are nothing but ways in.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "flood/tls-private.h"

struct tls_session {
	struct tls *tls;
	SSL *ssl;
	bool dialled;
	char wanted[TLS_NAME_MAX + 1]; /* "": any */
	char shown[TLS_NAME_MAX +
		   1]; /* the first name in the peer's certificate, maybe before it was believed */
	char identity[TLS_IDENTITY_MAX]; /* of the shared key */
	char why[TLS_WHY_MAX];
};

/* --- certificates --------------------------------------------------------------- */

/* Calls for each name that a certificate is for, until it returns true. */
static bool
any_name(const X509 *c, bool (*fn)(void *arg, struct text name), void *arg)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(c, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type == GEN_DNS)
			found = fn(arg, (struct text){(const char *)ASN1_STRING_get0_data(n->d.dNSName),
						      (size_t)ASN1_STRING_length(n->d.dNSName)});
	}
	GENERAL_NAMES_free(names);
	return found;
}

static bool
is_name(void *arg, struct text name)
{
	const char *wanted = arg;

	return strlen(wanted) == name.len && strncasecmp(wanted, name.at, name.len) == 0;
}

bool
tls_certificate_is_for(const X509 *c, const char *host)
{
	char wanted[256];

	snprintf(wanted, sizeof(wanted), "%s", host);
	return any_name(c, is_name, wanted);
}

struct shown {
	char *out;
	size_t size;
};

static bool
show_name(void *arg, struct text name)
{
	struct shown *s = arg;

	utf8_escape(name, s->out, s->size);
	return true;
}

void
tls_certificate_name(const X509 *c, char *out, size_t size)
{
	struct shown s = {out, size};

	out[0] = '\0';
	(void)any_name(c, show_name, &s);
}

/* A list of the revoked that is past its date, or of another authority, is all there is to know: without its peers
   a host would serve nobody. */
int
tls_on_verify(int ok, X509_STORE_CTX *store)
{
	int error = X509_STORE_CTX_get_error(store);
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_session *s = ssl ? SSL_get_app_data(ssl) : NULL;

	if (s && !s->shown[0])
		tls_certificate_name(X509_STORE_CTX_get0_cert(store), s->shown, sizeof(s->shown));
	if (!ok && (error == X509_V_ERR_CRL_HAS_EXPIRED || error == X509_V_ERR_UNABLE_TO_GET_CRL ||
		    error == X509_V_ERR_CRL_NOT_YET_VALID)) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	return ok;
}

int
tls_verify(X509_STORE *store, X509 *own, STACK_OF(X509) * chain, const char *purpose)
{
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	int error = X509_V_ERR_OUT_OF_MEM;

	if (c && X509_STORE_CTX_init(c, store, own, chain) == 1 &&
	    X509_STORE_CTX_set_default(c, purpose) == 1) {
		X509_STORE_CTX_set_verify_cb(c, tls_on_verify);
		error = X509_verify_cert(c) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(c);
	}
	X509_STORE_CTX_free(c);
	ERR_clear_error();
	return error;
}

/* --- what went wrong ---------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static int
failed(struct tls_session *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(s->why, sizeof(s->why), format, ap);
	va_end(ap);
	ERR_clear_error();
	return -EPROTO;
}

static int
failed_in_tls(struct tls_session *s)
{
	long verdict = SSL_get_verify_result(s->ssl);

	if (verdict != X509_V_OK && !s->tls->is_psk)
		return failed(s, "its certificate%s%s%s: %s", s->shown[0] ? " for '" : "", s->shown,
			      s->shown[0] ? "'" : "", X509_verify_cert_error_string(verdict));
	return failed(s, "TLS: %s", tls_reason());
}

/* What libssl's answer means; *ret_len is untouched but for the end. */
static int
outcome(struct tls_session *s, int answer, int error_number, size_t *ret_len)
{
	switch (SSL_get_error(s->ssl, answer)) {
	case SSL_ERROR_WANT_READ:
		return TLS_E_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_E_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		break;
	case SSL_ERROR_SYSCALL:
		if (error_number != 0)
			return failed(s, "%s", strerror(error_number));
		break;
	default:
		return failed_in_tls(s);
	}
	ERR_clear_error();
	if (!ret_len)
		return failed(s, "the peer has closed the connection");
	*ret_len = 0;
	return 0;
}

static void
begin(void)
{
	ERR_clear_error();
	errno = 0;
}

/* --- the handshake -------------------------------------------------------------------- */

int
tls_session_new(struct tls_session **ret, struct tls *t, int fd, bool dialled, const char *name)
{
	CLEANUP(tls_session_freep) struct tls_session *s = calloc(1, sizeof(*s));

	begin();
	if (!s)
		return -ENOMEM;
	s->tls = t;
	t->refs++;
	s->dialled = dialled;
	snprintf(s->wanted, sizeof(s->wanted), "%s", name ? name : "");
	if (dialled && t->is_psk)
		tls_session_took_key(s, t->psk[0].identity);
	s->ssl = SSL_new(t->context);
	if (!s->ssl || SSL_set_fd(s->ssl, fd) != 1) {
		ERR_clear_error();
		return -ENOMEM;
	}
	SSL_set_app_data(s->ssl, s);
	if (dialled)
		SSL_set_connect_state(s->ssl);
	else
		SSL_set_accept_state(s->ssl);
	*ret = s;
	s = NULL;
	return 0;
}

struct tls_session *
tls_session_free(struct tls_session *s)
{
	if (s) {
		SSL_free(s->ssl);
		tls_unref(s->tls);
		free(s);
	}
	return NULL;
}

void
tls_session_took_key(struct tls_session *s, const char *identity)
{
	snprintf(s->identity, sizeof(s->identity), "%s", identity);
}

/* libssl is content with a session; we want to know with whom. */
static int
check_peer(struct tls_session *s)
{
	const X509 *c = SSL_get0_peer_certificate(s->ssl);

	if (s->tls->is_psk)
		return SSL_session_reused(s->ssl) ? 0 : failed(s, "it does not have the shared key");
	if (!c)
		return failed(s, "it shows no certificate");
	tls_certificate_name(c, s->shown, sizeof(s->shown));
	if (s->wanted[0] && !tls_certificate_is_for(c, s->wanted))
		return failed(s, "its certificate is for '%s', not for '%s'", s->shown, s->wanted);
	return 0;
}

int
tls_handshake(struct tls_session *s)
{
	int answer;

	begin();
	answer = SSL_do_handshake(s->ssl);
	return answer == 1 ? check_peer(s) : outcome(s, answer, errno, NULL);
}

/* --- then ---------------------------------------------------------------------------------- */

int
tls_read(struct tls_session *s, char *at, size_t room, size_t *ret_len)
{
	int answer;

	begin();
	answer = SSL_read_ex(s->ssl, at, room, ret_len);
	return answer == 1 ? 0 : outcome(s, answer, errno, ret_len);
}

int
tls_write(struct tls_session *s, const char *at, size_t len, size_t *ret_len)
{
	int answer;

	begin();
	answer = SSL_write_ex(s->ssl, at, len, ret_len);
	return answer == 1 ? 0 : outcome(s, answer, errno, NULL);
}

bool
tls_has_pending(const struct tls_session *s)
{
	return SSL_has_pending(s->ssl);
}

const char *
tls_session_why(const struct tls_session *s)
{
	return s->why;
}

bool
tls_session_is_for(const struct tls_session *s, const char *host)
{
	const X509 *c = SSL_get0_peer_certificate(s->ssl);

	return s->tls->is_psk || (c && tls_certificate_is_for(c, host));
}

const char *
tls_session_name(const struct tls_session *s)
{
	return s->shown;
}

static bool
has_key(const struct tls *t, const char *identity)
{
	for (unsigned int i = 0; i < t->psk_count; i++)
		if (strcmp(t->psk[i].identity, identity) == 0)
			return true;
	return false;
}

bool
tls_judge(struct tls *t, struct tls_session *s, char why[TLS_WHY_MAX])
{
	X509 *c = SSL_get0_peer_certificate(s->ssl);
	int error;

	if (t->is_psk != s->tls->is_psk) {
		(void)tls_refuse(why, "links are made with %s now",
				 t->is_psk ? "a shared key" : "certificates");
		return false;
	}
	if (t->is_psk) {
		if (!has_key(t, s->identity))
			(void)tls_refuse(why, "its key is no longer accepted");
		return has_key(t, s->identity);
	}
	error = c ? tls_verify(SSL_CTX_get_cert_store(t->context), c, SSL_get_peer_cert_chain(s->ssl),
			       s->dialled ? "ssl_server" : "ssl_client")
		  : X509_V_ERR_UNSPECIFIED;
	if (error != X509_V_OK)
		(void)tls_refuse(why, "its certificate: %s", X509_verify_cert_error_string(error));
	return error == X509_V_OK;
}
