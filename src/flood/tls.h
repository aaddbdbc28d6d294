#ifndef FLOOD_TLS_H
#define FLOOD_TLS_H
/*
 * TLS: who may be linked with this host. Links are TLS 1.3, and both sides
 * prove who they are: with certificates of the herd's own authority, or with a
 * key that all hosts share.
 *
 * A struct tls is what the files said at one time. After a reload there is
 * another one; sessions go on with the one they began with, and tls_judge()
 * says whether the new one would have them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct tls;	    /* opaque */
struct tls_session; /* opaque: one connection */

enum {
	TLS_WHY_MAX = 320,
	TLS_NAME_MAX = 63, /* of a host in a certificate; longer ones are cut where they are shown */
	TLS_SECRET_BYTES = 32,
};

enum {		       /* of tls_new() */
       TLS_E_NONE = 1, /* there are neither certificates nor a key */
       TLS_E_REFUSED,  /* why names the file and says what is wrong with it */
};

struct tls_options {
	const char *folder;   /* of ca.crt, host.crt, host.key and ca.crl */
	const char *psk_file; /* "": none */
	const char
		*credentials; /* folder of flood.key and flood.psk, which come before the files; NULL: none */
	const char *host;     /* our name, which host.crt has to be for */
};

/* Reads the files. A key (credential or file) comes before certificates. 0, TLS_E_*, -ENOMEM. */
int tls_new(struct tls **ret, const struct tls_options *options, char why[TLS_WHY_MAX]);

/* Lives on while there are sessions of it. Accepts NULL, returns NULL. */
struct tls *tls_unref(struct tls *t);
CLEANUP_POINTER(struct tls, tls_unref);

/* Links are made with a shared key: names in certificates mean nothing. */
bool tls_is_psk(const struct tls *t);

/* What all hosts of the herd have and nobody else need know: made of the (first) key, or of the authority's first
   certificate. */
void tls_secret(const struct tls *t, uint8_t ret[TLS_SECRET_BYTES]);

/* SHA-256 of a label, its NUL included, and bytes: for secrets and ids that are made of others. False: libcrypto has
   no memory. */
bool tls_hash(const char *label, const void *bytes, size_t len, uint8_t ret[TLS_SECRET_BYTES]);

/* What expires first, POSIX seconds, and the file it is in (a literal: "host.crt"). False: nothing does. */
bool tls_expires(const struct tls *t, int64_t *ret_s, const char **ret_file);

/* What an operator should know of the files though they are in use; "": nothing. */
const char *tls_warning(const struct tls *t);

/* --- one connection ------------------------------------------------------- */

/* On a connected, non-blocking socket, which stays the caller's. dialled: we did, and the peer has to show `name`
   (NULL: any name). -ENOMEM. */
int tls_session_new(struct tls_session **ret, struct tls *t, int fd, bool dialled, const char *name);
/* Says no goodbye: links have BYE. */
struct tls_session *tls_session_free(struct tls_session *s);
CLEANUP_POINTER(struct tls_session, tls_session_free);

enum { /* of those below: come again when the socket is */
       TLS_E_WANT_READ = 1,
       TLS_E_WANT_WRITE,
};

/* 0: done. TLS_E_WANT_*; negative errno: tls_session_why(). */
int tls_handshake(struct tls_session *s);
/* As recv(): *ret_len 0 is the end, however rude. */
int tls_read(struct tls_session *s, char *at, size_t room, size_t *ret_len);
/* Some of it. Called again after TLS_E_WANT_*, with at least as many bytes, the same ones first. */
int tls_write(struct tls_session *s, const char *at, size_t len, size_t *ret_len);
/* Bytes that were received and would be read without the socket becoming readable. */
bool tls_has_pending(const struct tls_session *s);
const char *tls_session_why(const struct tls_session *s);

/* The peer's certificate is for this host; always true with a shared key. */
bool tls_session_is_for(const struct tls_session *s, const char *host);
/* The first name in it, for messages; "": none. */
const char *tls_session_name(const struct tls_session *s);

/* Would t, read anew, have this session's peer? False: why not ("its certificate is revoked"). */
bool tls_judge(struct tls *t, struct tls_session *s, char why[TLS_WHY_MAX]);

#endif
