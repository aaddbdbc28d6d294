#ifndef CTL_PROGRAM_H
#define CTL_PROGRAM_H
/*
 * Program: a program of this host's herd that can be asked through its control
 * socket (herd/control.h).
 */
#include "base/cleanup.h"
#include "core/table.h"
#include "ctl/ctl.h"
#include "herd/control.h"

struct json_object;

struct program {
	enum table_role role;
	char name[HERD_SERVER_MAX + 1]; /* of the helper: "helper" */
	char path[HERD_CONTROL_PATH_MAX];
	pid_t pid;		   /* 0: nobody knows */
	int error;		   /* why there is no reply: 0, negative errno */
	struct json_object *reply; /* owned; NULL: not asked yet, or `error` */
};

struct programs {
	struct program *at; /* owned; the helper first, then members by name */
	size_t count;
};

void programs_done(struct programs *p);

/* Everyone who has a control socket, and everyone who lives by what the table says, if there is one.
   0, -ENOMEM. */
int programs_find(struct programs *ret, const struct ctl *ctl);

/* Adds the member of this name, or the helper (NULL), whether it is there or not. -ENOMEM, -ENAMETOOLONG. */
int programs_add(struct programs *p, const struct ctl *ctl, const char *name);

/* What a command's operands and --helper (NULL: not given) name, or, when nothing is named, what programs_find()
   finds. 0; CTL_USAGE, CTL_CONFIG, said; -ENOMEM. */
int programs_take(struct programs *p, const struct ctl *ctl, const char *helper, int argc, char **argv);

/* Sends the request; afterwards either reply is set, instead of the last one, or error is. */
void program_ask(struct program *p, const struct ctl *ctl, const char *request, int64_t timeout_ns);

/* The same with what cannot be done without the reply: 0, or an enum ctl_exit, said. */
int program_must_answer(struct program *p, const struct ctl *ctl, const char *request);

/* Nobody listens there, and the table knows of nobody either: what a dead program left behind. */
bool program_is_gone(const struct program *p);

/* What a program sends: one line with a JSON object. -EPROTO: it is none; -ENOMEM. */
int program_parse(struct text line, struct json_object **ret);

/* Parts of the reply; what is missing or of another type: false, 0, "", nothing. The text lives as long as the reply. */
bool program_is_ok(const struct program *p);
uint64_t program_pid(const struct program *p);
struct text program_string(const struct program *p, const char *key);

enum { PROGRAM_STRINGS_MAX = 64 };

/* Fills in at most PROGRAM_STRINGS_MAX; returns how many. */
size_t program_strings(const struct program *p, const char *key, const char *ret[PROGRAM_STRINGS_MAX]);

/* The same as a list of this key. */
void program_show_strings(struct writer *w, const struct program *p, const char *key);

#endif
