#ifndef CTL_CA_DELIVER_H
#define CTL_CA_DELIVER_H
/*
 * Delivery: the folder that gets what a host needs, host.key, host.crt, ca.crt
 * and ca.crl, as its tls-dir has them. What goes wrong is said here.
 */
#include "ctl/ca.h"

#define DELIVER_KEY "host.key"
#define DELIVER_CRT "host.crt"

struct delivery {
	char path[CA_PATH_MAX];
	int folder;  /* -1: not open */
	bool is_own; /* this host's tls-dir */
	bool has_ca; /* our ca.crt is there, maybe with others behind it: it stays */
};

/* Is --install given? */
bool delivery_is_install(const struct ctl *ctl);

/*
 * The folder of --out or --install, else CA/hosts/NAME (name NULL: only with --install); made when it is missing.
 * 0, or an enum ctl_exit, said.
 */
int delivery_open(struct delivery *ret, const struct ctl *ctl, const struct ca *ca, const char *name);

void delivery_done(struct delivery *d);

/* Nothing of another authority is there, or --force is given. 0, CTL_FAILED, said. */
int delivery_check(struct delivery *d, const struct ctl *ctl, const struct ca *ca);

/* No host has its key or certificate there, or --force is given. 0, CTL_FAILED, said. */
int delivery_check_vacant(const struct delivery *d, const struct ctl *ctl);

/* The key there, if there is one, is that of this certificate. 0, CTL_FAILED, said. */
int delivery_check_key(const struct delivery *d, X509 *certificate);

/* Writes certificate and, unless it is NULL, key; then what is the authority's. 0, CTL_FAILED, said. */
int delivery_write(const struct delivery *d, const struct ca *ca, X509 *certificate, EVP_PKEY *key);

/* Only ca.crl. Where the lists of several authorities are in one file it stays, with a warning. */
int delivery_write_crl(const struct delivery *d, const struct ca *ca);

#endif
