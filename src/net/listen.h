#ifndef NET_LISTEN_H
#define NET_LISTEN_H
/*
 * Sockets that clients reach us on: bound by ourselves, or handed over by a
 * service manager. All are non-blocking and close-on-exec.
 */
#include <stddef.h>
#include <sys/stat.h>

#include "base/address.h"

enum listen_kind {
	LISTEN_STREAM,	 /* TCP or Unix stream, listening */
	LISTEN_DATAGRAM, /* UDP */
};

enum { LISTEN_TEXT_MAX = 128 };

struct listen_socket {
	int fd;
	enum listen_kind kind;
	char text[LISTEN_TEXT_MAX]; /* "tcp 127.0.0.1:12000", "unix /run/herd/Alpha.sock" */
	char *unlink_path;	    /* owned; a socket file of our own making, or NULL */
	struct stat made;	    /* that file, as it was made */
};

/* Negative errno, EADDRINUSE among them. */
int listen_tcp(struct listen_socket *ret, const struct address *address);
int listen_udp(struct listen_socket *ret, const struct address *address);

/* Takes the place of a socket file that refuses connections: nobody has it any more. -EADDRINUSE:
   somebody has it, or it is no socket at all. */
int listen_unix(struct listen_socket *ret, const char *path);

/* The same, for the program's own user and root only. */
int listen_unix_private(struct listen_socket *ret, const char *path);

/* What a client on this host connects to: "127.0.0.1:12000", "unix:/run/herd/Alpha.sock". */
void listen_reach(const struct listen_socket *l, char out[LISTEN_TEXT_MAX]);

enum {
	LISTEN_E_FOREIGN = 1,
	LISTEN_E_STORED,
};

/*
 * The index-th socket handed over (LISTEN_FDS). name is its FileDescriptorName: "line" or "udp"; any
 * other name is foreign and left alone, unless there are no names at all: then the kind decides.
 * LISTEN_E_FOREIGN: the name or the socket is nothing of ours. LISTEN_E_STORED: no socket, but what this
 * program has in the service manager's store. -ENOENT: past the last.
 */
int listen_adopt(struct listen_socket *ret, size_t index, char **names, size_t count);

/* How many of those handed over did not come from the store. */
size_t listen_count(char **names, size_t count);

/* Closes it; removes the socket file of our own making, unless another one has come in its place. */
void listen_done(struct listen_socket *l);

#endif
