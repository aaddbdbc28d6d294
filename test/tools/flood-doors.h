#ifndef TOOLS_FLOOD_DOORS_H
#define TOOLS_FLOOD_DOORS_H
/*
 * Doors: where members take commands, each with one connection that is opened
 * again whenever it breaks. Replies come in the order of the commands, so every
 * command is either answered or, when its connection breaks, lost.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct doors; /* opaque */

struct doors_hooks {
	void *arg;
	void (*answered)(void *arg, unsigned int door, uint64_t number, struct text line); /* less its LF */
	void (*lost)(void *arg, unsigned int door, uint64_t number);
};

enum {
	DOORS_MAX = 512,
	DOORS_WAITING_MAX = 1024, /* commands of one door without an answer */
};

int doors_new(struct doors **ret, const struct doors_hooks *hooks);
struct doors *doors_free(struct doors *d);

/* "/path" of a Unix socket, or "ADDR:PORT" in IPv4. -EINVAL, -ENOSPC. */
int doors_add(struct doors *d, const char *where);
unsigned int doors_count(const struct doors *d);
unsigned int doors_open(const struct doors *d); /* how many are */

/* Sends one command, LF included; false when the door is shut or too many commands wait there already. */
bool doors_tell(struct doors *d, unsigned int door, uint64_t number, struct text line);
uint64_t doors_waiting(const struct doors *d);

/* Sends what was told, waits up to `wait_ns` for replies or for `fd` to be readable, takes them. *ret_fd: it is. */
int doors_turn(struct doors *d, int64_t wait_ns, int fd, bool *ret_fd);

#endif
