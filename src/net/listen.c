/*
 * Listen: what a socket must have before clients come. Nagle's delay is
 * switched off, keepalive on, and what the kernel keeps is bounded, on the
 * listening socket: accepted ones inherit all of it and so no connection pays
 * a system call for it.
 */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/passed.h"
#include "net/starts.h"

enum {
	LISTEN_BACKLOG = 4096,		  /* the kernel caps it at net.core.somaxconn */
	LISTEN_KERNEL_UNSENT = 128 << 10, /* bytes of replies; herd-generator counts on both */
	LISTEN_KERNEL_UNREAD = 128 << 10, /* memory for commands */
};

/* Where the socket really is: port 0 has become a number. */
static void
socket_name(struct listen_socket *l, const char *word)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	char address[ADDRESS_TEXT_MAX] = "?";

	memset(&name, 0, sizeof(name));
	if (getsockname(l->fd, (struct sockaddr *)&name, &len) == 0) {
		if (name.ss_family == AF_UNIX) {
			const struct sockaddr_un *un = (const struct sockaddr_un *)&name;

			snprintf(l->text, sizeof(l->text), "unix %.*s", (int)sizeof(un->sun_path),
				 un->sun_path);
			return;
		}
		address_format((struct sockaddr *)&name, address);
	}
	snprintf(l->text, sizeof(l->text), "%s %s", word, address);
}

void
listen_reach(const struct listen_socket *l, char out[LISTEN_TEXT_MAX])
{
	const char *where = strchr(l->text, ' ') + 1;
	bool is_unix = strncmp(l->text, "unix ", 5) == 0;

	snprintf(out, LISTEN_TEXT_MAX, "%s%s", is_unix ? "unix:" : "", where);
}

static int
set_option_to(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int
set_option(int fd, int level, int option)
{
	return set_option_to(fd, level, option, 1);
}

/*
 * What the kernel may keep for a client that does not read, or sends what we do not read. It would let both grow
 * to megabytes, which are charged to us: 4.1 MB of replies were seen for one that never reads, far more than
 * unsent-max. Replies are kept unsent, not counting those on their way, so this slows down nobody who reads.
 */
static int
set_tcp_bounds(int fd)
{
	int r = set_option_to(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, LISTEN_KERNEL_UNSENT);

	/* The kernel doubles it, for what it needs itself. */
	return r == 0 ? set_option_to(fd, SOL_SOCKET, SO_RCVBUF, LISTEN_KERNEL_UNREAD / 2) : r;
}

/* Keepalive finds out who vanished without a word. Once in two hours, as the kernel has it: oftener would wake
   phones. There is no TCP_USER_TIMEOUT: for replies that nobody takes there is send-timeout, and what the
   kernel has taken it gives up by itself within a quarter of an hour. */
static int
set_tcp_options(int fd)
{
	int r = set_option(fd, IPPROTO_TCP, TCP_NODELAY);

	if (r == 0)
		r = set_option(fd, SOL_SOCKET, SO_KEEPALIVE);
	return r == 0 ? set_tcp_bounds(fd) : r;
}

static int
inet_socket(const struct address *address, int type)
{
	CLEANUP(cleanup_close) int fd = -1;
	int family = address->socket.ss_family;
	int r = 0;

	fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (family == AF_INET6)
		r = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (r == 0 && type == SOCK_STREAM)
		r = set_option(fd, SOL_SOCKET, SO_REUSEADDR);
	if (r == 0 && bind(fd, (const struct sockaddr *)&address->socket, address->len) < 0)
		r = -errno;
	if (r < 0)
		return r;
	r = fd;
	fd = -1;
	return r;
}

int
listen_tcp(struct listen_socket *ret, const struct address *address)
{
	struct listen_socket l = {.kind = LISTEN_STREAM};
	int r;

	l.fd = inet_socket(address, SOCK_STREAM);
	if (l.fd < 0)
		return l.fd;
	r = set_tcp_options(l.fd);
	if (r == 0 && listen(l.fd, LISTEN_BACKLOG) < 0)
		r = -errno;
	if (r < 0) {
		close(l.fd);
		return r;
	}
	socket_name(&l, "tcp");
	*ret = l;
	return 0;
}

int
listen_udp(struct listen_socket *ret, const struct address *address)
{
	struct listen_socket l = {.kind = LISTEN_DATAGRAM};

	l.fd = inet_socket(address, SOCK_DGRAM);
	if (l.fd < 0)
		return l.fd;
	socket_name(&l, "udp");
	*ret = l;
	return 0;
}

/* A socket file whose socket is gone. Any other answer than "refused" comes from somebody who lives: a full
   queue, a socket of another type, one that we may not use. */
static bool
unix_is_stale(const struct sockaddr_un *name)
{
	CLEANUP(cleanup_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat st;

	return fd >= 0 && lstat(name->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       connect(fd, (const struct sockaddr *)name, sizeof(*name)) < 0 && errno == ECONNREFUSED;
}

static int
unix_bind(int fd, const struct sockaddr_un *name)
{
	if (bind(fd, (const struct sockaddr *)name, sizeof(*name)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!unix_is_stale(name))
		return -EADDRINUSE;
	if (unlink(name->sun_path) < 0 || bind(fd, (const struct sockaddr *)name, sizeof(*name)) < 0)
		return -errno;
	return 0;
}

static int
listen_path(struct listen_socket *ret, const char *path, bool is_private)
{
	struct listen_socket l = {.kind = LISTEN_STREAM};
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int r;

	if (!path[0] || strlen(path) >= sizeof(name.sun_path))
		return -ENAMETOOLONG;
	memcpy(name.sun_path, path, strlen(path) + 1);
	l.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l.fd < 0)
		return -errno;
	l.unlink_path = strdup(path);
	r = l.unlink_path ? 0 : -ENOMEM;
	/* What a socket has before bind() is what its file gets: there is no moment when others may use it. */
	if (r == 0 && is_private && fchmod(l.fd, S_IRUSR | S_IWUSR) < 0)
		r = -errno;
	if (r == 0)
		r = unix_bind(l.fd, &name);
	if (r < 0) {
		free(l.unlink_path);
		close(l.fd);
		return r;
	}
	if (lstat(path, &l.made) < 0 || listen(l.fd, LISTEN_BACKLOG) < 0) {
		r = -errno;
		listen_done(&l);
		return r;
	}
	socket_name(&l, "unix");
	*ret = l;
	return 0;
}

int
listen_unix(struct listen_socket *ret, const char *path)
{
	return listen_path(ret, path, false);
}

int
listen_unix_private(struct listen_socket *ret, const char *path)
{
	return listen_path(ret, path, true);
}

/* "unknown" is what systemd calls a socket that has no name. */
static bool
name_fits(const char *name, const char *wanted)
{
	return !name || strcmp(name, wanted) == 0 || strcmp(name, "unknown") == 0;
}

static bool
is_stored(char **names, size_t index)
{
	return names && strcmp(names[index], STARTS_NAME) == 0;
}

size_t
listen_count(char **names, size_t count)
{
	size_t sockets = 0;

	for (size_t i = 0; i < count; i++)
		sockets += !is_stored(names, i);
	return sockets;
}

/* -1: it is no socket, or there is none. */
static int
socket_option(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

int
listen_adopt(struct listen_socket *ret, size_t index, char **names, size_t count)
{
	struct listen_socket l = {0};
	const char *name;
	int r;

	if (index >= count)
		return -ENOENT;
	name = names ? names[index] : NULL;
	if (is_stored(names, index))
		return LISTEN_E_STORED;
	name = names ? names[index] : NULL;
	l.fd = PASSED_FIRST + (int)index;
	if (socket_option(l.fd, SO_TYPE) == SOCK_STREAM && socket_option(l.fd, SO_ACCEPTCONN) == 1 &&
	    name_fits(name, "line"))
		l.kind = LISTEN_STREAM;
	else if (socket_option(l.fd, SO_TYPE) == SOCK_DGRAM &&
		 (socket_option(l.fd, SO_DOMAIN) == AF_INET || socket_option(l.fd, SO_DOMAIN) == AF_INET6) &&
		 name_fits(name, "udp"))
		l.kind = LISTEN_DATAGRAM;
	else
		return LISTEN_E_FOREIGN;
	r = fcntl(l.fd, F_GETFL);
	if (r < 0 || fcntl(l.fd, F_SETFL, r | O_NONBLOCK) < 0)
		return -errno;
	if (l.kind == LISTEN_STREAM) /* fails on a Unix socket, which knows no Nagle */
		(void)set_tcp_options(l.fd);
	socket_name(&l, l.kind == LISTEN_STREAM ? "tcp" : "udp");
	*ret = l;
	return 0;
}

/* The file at the path is still the one that this socket made. */
static bool
file_is_ours(const struct listen_socket *l)
{
	struct stat st;

	return l->unlink_path && lstat(l->unlink_path, &st) == 0 && st.st_dev == l->made.st_dev &&
	       st.st_ino == l->made.st_ino;
}

void
listen_done(struct listen_socket *l)
{
	/* The file goes first: once the socket is closed somebody may take the path over. */
	if (file_is_ours(l))
		unlink(l->unlink_path);
	if (l->fd >= 0)
		close(l->fd);
	free(l->unlink_path);
	l->unlink_path = NULL;
	l->fd = -1;
}
