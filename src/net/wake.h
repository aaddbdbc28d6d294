#ifndef NET_WAKE_H
#define NET_WAKE_H
/*
 * Wake: one byte from one program of a host to another, to say "look at the
 * table". A Unix datagram socket in the control folder, for the programs' own
 * user and root only. Nothing is in the byte, and a lost one costs time, never
 * a fix: whoever is woken looks for itself, and looks now and then unasked.
 */
#include "base/cleanup.h"
#include "herd/control.h"
#include "net/loop.h"

struct wake; /* opaque: the end that is woken */

/* folder, shm and HERD_CONTROL_WAKE; with a name: that member's. -ENAMETOOLONG. */
int wake_path(char out[HERD_CONTROL_PATH_MAX], const char *folder, const char *shm, const char *name);

/* Calls fn when somebody has sent something. Takes the place of whatever socket is at the path: only one
   program at a time has the right to it, which the table's registry sees to. -ENOENT, -EACCES, -EROFS: there is no
   folder for it; other errno. */
int wake_new(struct wake **ret, struct loop *loop, const char *path, loop_fn *fn, void *arg);

/* Removes the socket; accepts NULL, returns NULL. */
struct wake *wake_free(struct wake *w);
CLEANUP_POINTER(struct wake, wake_free);

/* A socket to wake others with; close() it. Negative errno. */
int wake_sender(void);

/* Never waits: who has not read what was sent before need not be woken again. 0; -ENOENT, -ECONNREFUSED: nobody is
   there; -EAGAIN; other errno. */
int wake_send(int sender, const char *path);

#endif
