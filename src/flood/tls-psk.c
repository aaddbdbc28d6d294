/*
 * A key that all hosts share, as TLS 1.3 has it (external PSK, with ephemeral
 * Diffie-Hellman, so that a key that leaks later opens nothing that was said
 * before). What goes over the wire as its name is a hash of it: with two keys
 * in the file, the listening side has to tell them apart.
 */
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "flood/tls-private.h"

enum { KEY_MIN = 16, KEY_MAX = 512 };

#define SECRET_LABEL "herd: rings and digests, of a shared key"

/* --- in a handshake -------------------------------------------------------- */

static SSL_SESSION *
session_of(SSL *ssl, const struct tls_psk *psk)
{
	static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
	SSL_SESSION *session = SSL_SESSION_new();

	if (session && cipher && SSL_SESSION_set1_master_key(session, psk->key, sizeof(psk->key)) == 1 &&
	    SSL_SESSION_set_cipher(session, cipher) == 1 &&
	    SSL_SESSION_set1_id_context(session, (const unsigned char *)TLS_SESSION_CONTEXT,
					sizeof(TLS_SESSION_CONTEXT) - 1) == 1 &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1)
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

/* Dialling: the first key. */
static int
on_use(SSL *ssl, const EVP_MD *digest, const unsigned char **ret_id, size_t *ret_id_len,
       SSL_SESSION **ret_session)
{
	struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	*ret_session = NULL;
	if (digest && EVP_MD_get_type(digest) != NID_sha256)
		return 1; /* then without it, and certificates we have none */
	*ret_session = session_of(ssl, &t->psk[0]);
	*ret_id = (const unsigned char *)t->psk[0].identity;
	*ret_id_len = strlen(t->psk[0].identity);
	return *ret_session != NULL;
}

/* Being dialled: whichever of them it names. */
static int
on_find(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **ret_session)
{
	struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	*ret_session = NULL;
	for (unsigned int i = 0; i < t->psk_count; i++) {
		if (!text_equal(text_of(t->psk[i].identity), (struct text){(const char *)id, id_len}))
			continue;
		tls_session_took_key(SSL_get_app_data(ssl), t->psk[i].identity);
		*ret_session = session_of(ssl, &t->psk[i]);
		return *ret_session != NULL;
	}
	return 1; /* an unknown key is no key: the handshake ends for want of a certificate */
}

static int
use_keys(struct tls *t)
{
	/* Both with SHA-256, which is what the keys are for. */
	if (SSL_CTX_set_ciphersuites(t->context, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") != 1)
		return -ENOMEM;
	SSL_CTX_set_psk_use_session_callback(t->context, on_use);
	SSL_CTX_set_psk_find_session_callback(t->context, on_find);
	return 0;
}

/* --- from a file -------------------------------------------------------------- */

static int
add_key(struct tls *t, struct text line)
{
	struct tls_psk *psk = &t->psk[t->psk_count];
	uint8_t name[TLS_SECRET_BYTES];
	size_t len;

	if (!tls_hash("herd: the key of links", line.at, line.len, psk->key) ||
	    !tls_hash("herd: the name of a key", line.at, line.len, name) ||
	    !tls_hash(SECRET_LABEL, line.at, line.len, psk->secret))
		return -ENOMEM;
	len = (size_t)snprintf(psk->identity, sizeof(psk->identity), "herd-");
	for (size_t i = 0; i < TLS_IDENTITY_BYTES; i++)
		len += (size_t)snprintf(psk->identity + len, sizeof(psk->identity) - len, "%02x", name[i]);
	t->psk_count++;
	return 0;
}

static struct text
take_line(struct text *rest)
{
	struct text line = text_take_line(rest);

	while (line.len > 0 && text_is_space(line.at[line.len - 1]))
		line.len--;
	return line;
}

static int
take_keys(struct tls *t, struct text bytes, const char *where, char why[TLS_WHY_MAX])
{
	int r = 0;

	while (r == 0 && bytes.len > 0) {
		struct text line = take_line(&bytes);

		if (line.len == 0)
			continue;
		if (t->psk_count == TLS_KEYS_MAX)
			return tls_refuse(why,
					  "%.200s: more than two keys (expected one key in a line, "
					  "and maybe a second one that is accepted too)",
					  where);
		if (line.len < KEY_MIN || line.len > KEY_MAX)
			return tls_refuse(why, "%.200s: a key of %zu characters (expected %d to %d)", where,
					  line.len, KEY_MIN, KEY_MAX);
		r = add_key(t, line);
	}
	if (r == 0 && t->psk_count == 0)
		return tls_refuse(why, "%.200s: holds no key", where);
	return r;
}

static int
load_file(struct tls *t, const char *folder, const char *name, bool is_secret, char why[TLS_WHY_MAX])
{
	char *bytes = NULL;
	size_t len = 0;
	int r = tls_read_file(folder, name, is_secret, &bytes, &len, why);

	if (r == 0)
		r = take_keys(t, (struct text){bytes, len}, name, why);
	tls_forget(&bytes, len);
	return r;
}

int
tls_load_psk(struct tls *t, const struct tls_options *o, char why[TLS_WHY_MAX])
{
	int r = o->credentials ? load_file(t, o->credentials, "flood.psk", false, why) : TLS_E_NONE;

	if (r == TLS_E_NONE && o->psk_file[0]) {
		r = load_file(t, NULL, o->psk_file, true, why);
		if (r == TLS_E_NONE) /* it was asked for: certificates in its stead would be a surprise */
			r = tls_refuse(why, "%.200s: %s", o->psk_file, strerror(ENOENT));
	}
	if (r != 0)
		return r;
	t->is_psk = true;
	memcpy(t->secret, t->psk[0].secret, sizeof(t->secret));
	return use_keys(t);
}
