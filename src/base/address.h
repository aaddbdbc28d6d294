#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H
/*
 * Internet addresses as settings write them: numbers only, never names, so
 * that reading a setting asks nobody and cannot wait.
 */
#include <stdbool.h>
#include <sys/socket.h>

#include "base/text.h"

struct address {
	struct sockaddr_storage socket;
	socklen_t len;
};

enum {
	ADDRESS_E_INVALID = 1,
	ADDRESS_TEXT_MAX = 72, /* "[IPv6]:port" and its NUL */
};

/* "127.0.0.1:12000" or "[::1]:12000"; port 0 to 65535. 0 or ADDRESS_E_INVALID. */
int address_parse(struct text t, struct address *ret);

/* The same form back; "unix" for a Unix socket, "?" for any other. Returns out. */
const char *address_format(const struct sockaddr *socket, char out[ADDRESS_TEXT_MAX]);

/* Same family and host, whatever the ports. */
bool address_same_host(const struct address *a, const struct address *b);

/* Same family, host and port. */
bool address_equal(const struct address *a, const struct address *b);

uint16_t address_port(const struct address *a);

/* The host is 0.0.0.0 or [::]: every address of its family. */
bool address_is_any(const struct address *a);

/* Two sockets of one kind cannot have both: the same port, and one host that is the other or any. IPv6
   sockets are taken to leave IPv4 alone, as ours all do. */
bool address_clashes(const struct address *a, const struct address *b);

#endif
