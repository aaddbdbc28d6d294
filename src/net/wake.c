/*
 * Datagrams, because a sender then needs no connection, and a program that was
 * started again is reached under the same name.
 */
#include "net/wake.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/control.h"

enum {
	WAKE_MAGIC = 0x57414b45, /* "WAKE" */
	READ_MAX = 64,		 /* bytes taken in one turn: all of them say the same */
};

struct wake {
	unsigned int magic;
	int fd;
	struct event *readable;
	loop_fn *fn;
	void *arg;
	struct sockaddr_un name;
	struct stat made; /* the socket file, as it was made */
};

int
wake_path(char out[HERD_CONTROL_PATH_MAX], const char *folder, const char *shm, const char *name)
{
	return control_path(out, folder, shm, name ? HERD_CONTROL_WAKE_MEMBER : HERD_CONTROL_WAKE, name);
}

static int
address_of(struct sockaddr_un *ret, const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};

	if (!path[0] || strlen(path) >= sizeof(name.sun_path))
		return -ENAMETOOLONG;
	memcpy(name.sun_path, path, strlen(path) + 1);
	*ret = name;
	return 0;
}

static void
wake_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct wake *w = arg;
	char byte;

	(void)what;
	assert(w->magic == WAKE_MAGIC);
	for (int i = 0; i < READ_MAX; i++)
		if (recv(fd, &byte, 1, MSG_DONTWAIT) < 0)
			break;
	w->fn(w->arg);
}

static int
wake_bind(struct wake *w)
{
	struct stat st;

	w->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->fd < 0)
		return -errno;
	/* What a socket has before bind() is what its file gets. */
	if (fchmod(w->fd, S_IRUSR | S_IWUSR) < 0)
		return -errno;
	if (lstat(w->name.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(w->name.sun_path);
	if (bind(w->fd, (const struct sockaddr *)&w->name, sizeof(w->name)) < 0)
		return -errno;
	return lstat(w->name.sun_path, &w->made) < 0 ? -errno : 0;
}

int
wake_new(struct wake **ret, struct loop *loop, const char *path, loop_fn *fn, void *arg)
{
	CLEANUP(wake_freep) struct wake *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	*w = (struct wake){.magic = WAKE_MAGIC, .fd = -1, .fn = fn, .arg = arg};
	r = address_of(&w->name, path);
	if (r == 0)
		r = wake_bind(w);
	if (r < 0)
		return r;
	w->readable = event_new(loop_base(loop), w->fd, EV_READ | EV_PERSIST, wake_on_readable, w);
	if (!w->readable || event_add(w->readable, NULL) < 0)
		return -ENOMEM;
	*ret = w;
	w = NULL;
	return 0;
}

struct wake *
wake_free(struct wake *w)
{
	struct stat st;

	if (!w)
		return NULL;
	if (w->readable)
		event_free(w->readable);
	if (w->fd >= 0)
		close(w->fd);
	if (w->made.st_ino && lstat(w->name.sun_path, &st) == 0 && st.st_ino == w->made.st_ino &&
	    st.st_dev == w->made.st_dev)
		(void)unlink(w->name.sun_path);
	w->magic = 0;
	free(w);
	return NULL;
}

int
wake_sender(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

int
wake_send(int sender, const char *path)
{
	struct sockaddr_un name;
	int r = address_of(&name, path);

	if (r == 0 && sendto(sender, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&name,
			     sizeof(name)) < 0)
		r = -errno;
	return r;
}
