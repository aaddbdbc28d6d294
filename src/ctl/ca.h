#ifndef CTL_CA_H
#define CTL_CA_H
/*
 * A private authority: a folder with
 *
 *	ca.key		its key, for nobody else to read
 *	ca.crt		its certificate; the last that is written: without it there is no authority
 *	ca.crl		what was revoked
 *	issued		what was issued (ca-list.h)
 *	certs/NAME.crt	the last certificate of each host
 *
 * While one is open no other herdctl has it. What goes wrong is said here.
 */
#include "ctl/ca-cert.h"
#include "ctl/ctl.h"

#define CA_FOLDER HERD_SYSCONFDIR "/herd/ca"

#define CA_KEY	  "ca.key"
#define CA_CRT	  "ca.crt"
#define CA_CRL	  "ca.crl"
#define CA_ISSUED "issued"
#define CA_CERTS  "certs"

#define CA_ENTRY_DIR                                                                               \
	{                                                                                          \
		.name = "dir", .argument = "DIR", .help = "The authority's folder (" CA_FOLDER ")" \
	}

enum {
	CA_FILE_MAX = 1 << 20, /* of a key or certificate */
	CA_PATH_MAX = 4096,
};

#define CA_DAY_S      INT64_C(86400)
#define CA_LIFE_DAYS  3652	    /* of the authority and its lists */
#define CA_BACKDATE_S INT64_C(3600) /* hosts whose clocks are behind must not have to wait */

struct ca {
	const char *path;
	int folder; /* locked; -1: not open */
	struct ca_authority authority;
	struct ca_list list;
};

/* How much of it a command needs. */
enum ca_use { CA_EMPTY, CA_READ, CA_SIGN };

/*
 * The folder that --dir names, which is made for CA_EMPTY, locked; for CA_READ certificate and list are read, for
 * CA_SIGN the key too. 0, or an enum ctl_exit, said.
 */
int ca_open(struct ca *ret, const struct ctl *ctl, enum ca_use use);

void ca_done(struct ca *ca);

/* Says that `what` could not be done with a file of a folder; r is a negative errno. CTL_FAILED. */
int ca_fail(int r, const char *what, const char *folder, const char *name);

/* Says that libcrypto could not do it; r as it gave it. CTL_FAILED. */
int ca_fail_crypto(int r, const char *what);

/* Writes the list. 0, CTL_FAILED, said. */
int ca_save_list(const struct ca *ca);

/* A new revocation list from the list, good for so many days, written; the bytes are appended to *out if it is not
   NULL. 0, CTL_FAILED, said. */
int ca_save_crl(const struct ca *ca, int64_t days, struct buffer *out, int64_t *ret_until_s);

/* --days, from 1 to what the authority itself has left. 0, CTL_USAGE, said. */
int ca_option_days(const struct ctl *ctl, int64_t *days);

/* Text is read from, or put to, a file of a folder. 0, CTL_FAILED, said. */
int ca_read_text(int folder, const char *path, const char *name, size_t max, struct buffer *out);
int ca_write_text(int folder, const char *path, const char *name, const struct buffer *bytes, mode_t mode);

int64_t ca_now_s(void);

#endif
