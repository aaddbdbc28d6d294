/*
 * Program: who can be asked is found in the folder of the control sockets, so
 * that also those are found who have no part in the table just now. What they
 * reply is not believed: it is bounded, taken apart, and must come from whom
 * it was asked of.
 */
#include "ctl/program.h"

#include <dirent.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "core/fix.h"
#include "ctl/client.h"
#include "ctl/reply.h"
#include "ctl/roster.h"
#include "net/control.h"

enum {
	PROGRAMS_MAX = 1024,
	REPLY_DEPTH = 8,
};

#define ANSWER_NS (5 * CLOCK_SECOND_NS)

static void
json_put(struct json_object **object)
{
	json_object_put(*object);
}

static void
close_folder(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}

static void
tokener_freep(struct json_tokener **tokener)
{
	if (*tokener)
		json_tokener_free(*tokener);
}

void
programs_done(struct programs *p)
{
	for (size_t i = 0; i < p->count; i++)
		json_object_put(p->at[i].reply);
	free(p->at);
	*p = (struct programs){};
}

/* --- who there is ------------------------------------------------------------------------- */

static struct program *
find(const struct programs *p, enum table_role role, const char *name)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->at[i].role == role && strcmp(p->at[i].name, name) == 0)
			return &p->at[i];
	return NULL;
}

/* Adds it unless it is there. */
static int
add(struct programs *p, const struct ctl *ctl, enum table_role role, const char *name, pid_t pid)
{
	bool is_member = role == TABLE_MEMBER;
	struct program program = {.role = role, .pid = pid};
	struct program *at = find(p, role, name);
	int r;

	if (at) {
		at->pid = pid ? pid : at->pid;
		return 0;
	}
	r = control_path(program.path, ctl->conf->control_dir, ctl->shm,
			 is_member ? HERD_CONTROL_MEMBER : HERD_CONTROL_HELPER, is_member ? name : NULL);
	if (r < 0)
		return r;
	if (p->count == PROGRAMS_MAX)
		return 0;
	at = reallocarray(p->at, p->count + 1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	snprintf(program.name, sizeof(program.name), "%s", name);
	p->at = at;
	p->at[p->count++] = program;
	return 0;
}

int
programs_add(struct programs *p, const struct ctl *ctl, const char *name)
{
	return add(p, ctl, name ? TABLE_MEMBER : TABLE_HELPER, name ? name : "helper", 0);
}

/* The sockets in the folder that belong to this herd. */
static int
find_sockets(struct programs *p, const struct ctl *ctl)
{
	CLEANUP(close_folder) DIR *folder = opendir(ctl->conf->control_dir);
	const char *shm = ctl->shm + 1; /* without its slash */
	size_t len = strlen(shm);
	struct dirent *entry;
	int r = 0;

	while (folder && r == 0 && (entry = readdir(folder))) {
		const char *kind = entry->d_name + len, *name = kind + strlen(HERD_CONTROL_MEMBER);

		if (strncmp(entry->d_name, shm, len) != 0)
			continue;
		if (strcmp(kind, HERD_CONTROL_HELPER) == 0)
			r = add(p, ctl, TABLE_HELPER, "helper", 0);
		else if (strncmp(kind, HERD_CONTROL_MEMBER, strlen(HERD_CONTROL_MEMBER)) == 0 &&
			 fix_server_valid(text_of(name)))
			r = add(p, ctl, TABLE_MEMBER, name, 0);
	}
	return r;
}

/* Those who live, by what the table says; a table that cannot be read says nothing. */
static int
find_registered(struct programs *p, const struct ctl *ctl)
{
	CLEANUP(table_freep) struct table *table = NULL;
	struct table_process process;
	int r;

	if (table_open_readonly(&table, ctl->shm, 0) != 0)
		return 0;
	for (uint32_t i = 0; (r = table_process(table, i, &process)) != TABLE_E_END && r >= 0; i++) {
		bool is_member = process.role == TABLE_MEMBER;

		if (r != 0 || !process.alive || (!is_member && process.role != TABLE_HELPER))
			continue;
		r = add(p, ctl, process.role, is_member ? process.name : "helper", process.pid);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct program *x = a, *y = b;

	if (x->role != y->role)
		return x->role == TABLE_HELPER ? -1 : 1;
	return strcmp(x->name, y->name);
}

int
programs_find(struct programs *ret, const struct ctl *ctl)
{
	CLEANUP(programs_done) struct programs p = {};
	int r;

	r = find_sockets(&p, ctl);
	if (r == 0)
		r = find_registered(&p, ctl);
	if (r < 0 && r != -ENAMETOOLONG)
		return r;
	if (p.count)
		qsort(p.at, p.count, sizeof(*p.at), compare);
	*ret = p;
	p = (struct programs){};
	return 0;
}

int
programs_take(struct programs *p, const struct ctl *ctl, const char *helper, int argc, char **argv)
{
	int r = 0;

	if (!helper && argc == 0)
		return programs_find(p, ctl);
	if (helper)
		r = programs_add(p, ctl, NULL);
	for (int i = 0; i < argc && r == 0; i++) {
		if (!fix_server_valid(text_of(argv[i])))
			return ctl_fail(CTL_USAGE, "'%s' is no name of a member", argv[i]);
		r = programs_add(p, ctl, argv[i]);
	}
	return r == -ENAMETOOLONG ? ctl_fail(CTL_CONFIG, "control-dir = %s is too long for a socket's path",
					     ctl->conf->control_dir)
				  : r;
}

/* --- what they say ------------------------------------------------------------------------------ */

int
program_parse(struct text line, struct json_object **ret)
{
	CLEANUP(tokener_freep) struct json_tokener *tokener = json_tokener_new_ex(REPLY_DEPTH);
	CLEANUP(json_put) struct json_object *object = NULL;

	if (!tokener)
		return -ENOMEM;
	if (line.len == 0 || line.len > HERD_CONTROL_REPLY_MAX || line.at[line.len - 1] != '\n')
		return -EPROTO;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, line.at, (int)line.len - 1);
	if (!object || json_tokener_get_error(tokener) != json_tokener_success ||
	    !json_object_is_type(object, json_type_object))
		return -EPROTO;
	*ret = object;
	object = NULL;
	return 0;
}

/* It is the one that was meant: names of sockets may be read in two ways, names of shared memory too. */
static bool
is_from(const struct json_object *reply, const struct program *p, const struct ctl *ctl)
{
	struct text role = reply_text(reply, "role");

	if (!text_equal(reply_text(reply, "shm"), text_of(ctl->shm)))
		return false;
	if (p->role == TABLE_HELPER)
		return text_equal(role, TEXT("helper"));
	return text_equal(role, TEXT("member")) && text_equal(reply_text(reply, "name"), text_of(p->name));
}

void
program_ask(struct program *p, const struct ctl *ctl, const char *request, int64_t timeout_ns)
{
	CLEANUP(buffer_done)
	struct buffer bytes = {.max = 2 * HERD_CONTROL_REPLY_MAX}; /* what is too long is seen */
	CLEANUP(json_put) struct json_object *reply = NULL;
	struct json_object *pid;
	int r;

	r = client_ask(p->path, text_of(request), MESSAGE_INVALID, timeout_ns, &bytes);
	if (r == 0)
		r = program_parse((struct text){bytes.bytes, bytes.len}, &reply);
	if (r == 0 && !is_from(reply, p, ctl))
		r = -EPROTO;
	p->error = r;
	json_object_put(p->reply);
	p->reply = NULL;
	if (r < 0)
		return;
	if (json_object_object_get_ex(reply, "pid", &pid))
		p->pid = json_object_get_int(pid);
	p->reply = reply;
	reply = NULL;
}

int
program_must_answer(struct program *p, const struct ctl *ctl, const char *request)
{
	const char *messages[PROGRAM_STRINGS_MAX];

	program_ask(p, ctl, request, ANSWER_NS);
	if (program_is_ok(p))
		return 0;
	if (p->reply && program_strings(p, "messages", messages))
		return ctl_fail(CTL_FAILED, "%s: %s", p->name, messages[0]);
	if (p->reply)
		return ctl_fail(CTL_FAILED, "%s does not know '%s': it may be of another version", p->name,
				request);
	if (p->error == -ENOENT || p->error == -ECONNREFUSED)
		return ctl_fail(CTL_NO_HERD, "%s does not run, or not with this control-dir: no answer at %s",
				p->name, p->path);
	if (p->error == -EPROTO)
		return ctl_fail(CTL_FAILED, "%s: what answers at %s is something else", p->name, p->path);
	return ctl_fail(CTL_FAILED, "%s does not answer at %s: %s", p->name, p->path, strerror(-p->error));
}

bool
program_is_gone(const struct program *p)
{
	return p->pid == 0 && (p->error == -ECONNREFUSED || p->error == -ENOENT);
}

bool
program_is_ok(const struct program *p)
{
	return reply_bool(p->reply, "ok");
}

uint64_t
program_pid(const struct program *p)
{
	return reply_count(p->reply, "pid");
}

struct text
program_string(const struct program *p, const char *key)
{
	return reply_text(p->reply, key);
}

size_t
program_strings(const struct program *p, const char *key, const char *ret[PROGRAM_STRINGS_MAX])
{
	const struct json_object *list = reply_list(p->reply, key);
	size_t count = 0;

	for (size_t i = 0; i < reply_length(list) && count < PROGRAM_STRINGS_MAX; i++) {
		struct text entry = reply_entry_text(list, i);

		if (entry.len > 0)
			ret[count++] = entry.at;
	}
	return count;
}

void
program_show_strings(struct writer *w, const struct program *p, const char *key)
{
	const char *texts[PROGRAM_STRINGS_MAX];
	size_t count = program_strings(p, key, texts);

	writer_strings(w, key, texts, count);
}
