#ifndef PLACES_SECRET_H
#define PLACES_SECRET_H
/*
 * Secret: the key of a service. It is kept in a page of its own that is locked
 * into memory where that is allowed, left out of core dumps and of children,
 * and wiped at the end. From the first one on the process leaves no core at
 * all and can be looked into by root alone (PR_SET_DUMPABLE, prctl(2)): what
 * sends a key has copies of it.
 */
#include "base/cleanup.h"
#include "base/text.h"

enum {
	SECRET_E_NONE = 1,
	SECRET_LEN_MAX = 512,
	SECRET_WHY_MAX = 256,
};

struct secret; /* opaque */

/*
 * From $CREDENTIALS_DIRECTORY/credential, else from the file (NULL or "": there is none), of which everything but
 * one LF at its end is the key. 0. SECRET_E_NONE: neither is there. Negative errno: why says it, without any of
 * the key: -EPERM: others may read or write the file, or it is of another user than root and ours; -EINVAL: it is
 * no plain file, or does not hold 1 to SECRET_LEN_MAX printable characters without blanks; -ENOMEM; other errno.
 */
int secret_load(struct secret **ret, const char *credential, const char *file, char why[SECRET_WHY_MAX]);

/* Lives as long as the secret. */
struct text secret_text(const struct secret *s);

/* Accepts NULL, returns NULL. */
struct secret *secret_free(struct secret *s);
CLEANUP_POINTER(struct secret, secret_free);

#endif
