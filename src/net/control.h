#ifndef NET_CONTROL_H
#define NET_CONTROL_H
/*
 * Control: the program's end of a control socket; herd/control.h says what is
 * spoken there. Whoever is neither root nor the program's own user is sent
 * away. A few clients at a time, each of them a few seconds: the others wait
 * in the kernel's queue.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "herd/control.h"
#include "net/loop.h"
#include "net/report.h"

struct json_object;
struct control; /* opaque */

enum { CONTROL_E_UNKNOWN = 1 };

/* Does what the verb says and adds to the reply, which is not ok until control_set_ok() says so.
   CONTROL_E_UNKNOWN: no such verb. */
typedef int control_handler(void *arg, struct text verb, struct text argument, struct json_object *reply);

/* What every reply says of the program. */
struct control_identity {
	const char *role, *name, *shm, *version; /* literals, but for name, which may be NULL, and shm */
};

/* folder, shm and HERD_CONTROL_HELPER, or HERD_CONTROL_MEMBER and a name. -ENAMETOOLONG. */
int control_path(char out[HERD_CONTROL_PATH_MAX], const char *folder, const char *shm, const char *kind,
		 const char *name);

/* Listens at the path. -ENOENT, -EACCES, -EROFS: there is no folder for it; -EADDRINUSE: another
   program has it; other errno. */
int control_new(struct control **ret, struct loop *loop, const char *path,
		const struct control_identity *identity, control_handler *handler, void *arg);

/* Closes all and removes the socket. Accepts NULL, returns NULL. */
struct control *control_free(struct control *c);
CLEANUP_POINTER(struct control, control_free);

/* --- for handlers: what they add to a reply ------------------------------------- */

void control_set_ok(struct json_object *reply);

/* Any bytes; what is no UTF-8 is written as \xHH. */
void control_add_string(struct json_object *reply, const char *key, const char *value);

void control_add_number(struct json_object *reply, const char *key, uint64_t value);
void control_add_bool(struct json_object *reply, const char *key, bool value);

/* To a list, which is made with its first entry. Only so much that the reply stays within its bound. */
void control_add_to_list(struct json_object *reply, const char *key, const char *value);

/* status, facts, degraded, notes */
void control_add_report(struct json_object *reply, const struct report *report);

/* --- for tests --------------------------------------------------------------------- */

enum { CONTROL_E_MORE = 1 };

/* Answers what a client has sent so far. 0: the whole reply, with its LF, was appended to *out;
   CONTROL_E_MORE: the line is not finished; -ENOMEM. */
int control_answer(const struct control_identity *identity, control_handler *handler, void *arg,
		   struct text received, struct buffer *out);

#endif
