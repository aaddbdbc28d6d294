/*
 * Table, coming and going: attaching, registering, and following the name to
 * another segment when the one we have was removed, replaced or damaged.
 */
#include "core/table-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"

CLEANUP_POINTER(struct table, table_free);

enum {
	OPEN_TRIES = 20, /* each one lost to a process that was faster */
	OPEN_WAIT_US = 1000,
	NAME_TRIES = 500, /* to enter our name: about a second, as for the registry */
	NAME_WAIT_US = 1000,
};

static int
table_new(struct table **ret, const struct table_options *options)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->segment.fd = -1;
	t->names = calloc(SEGMENT_NAMES, sizeof(*t->names));
	t->merged = calloc(TABLE_MERGED_ROOM, sizeof(*t->merged));
	if (!t->names || !t->merged || strlen(options->name ? options->name : "") >= sizeof(t->shm)) {
		int r = t->names && t->merged ? -ENAMETOOLONG : -ENOMEM;

		table_free(t);
		return r;
	}
	if (options->name)
		snprintf(t->shm, sizeof(t->shm), "%s", options->name);
	t->clients = options->clients;
	t->long_clients = options->long_clients;
	t->ttl_ns = options->ttl_ns;
	*ret = t;
	return 0;
}

/* One look at the name; -EAGAIN: it changed under us, or was cleaned up. */
static int
open_once(struct segment *ret, const struct table *t)
{
	int r = segment_open(ret, t->shm, false);

	if (r == -ENOENT) {
		r = segment_create(ret, t->shm, t->clients, t->long_clients);
		return r == -EEXIST ? -EAGAIN : r;
	}
	if (r == -EBADMSG || r == -EPROTO) {
		int removed = segment_remove(t->shm, r == -EPROTO);

		/* In use by processes of another version: theirs for as long as they live. */
		return removed == -EBUSY ? r : removed == 0 || removed == -ENOENT ? -EAGAIN : removed;
	}
	return r;
}

int
table_open(struct table **ret, const struct table_options *options)
{
	CLEANUP(table_freep) struct table *t = NULL;
	int r;

	if (!options->name || !options->clients || options->clients > SEGMENT_CLIENTS_MAX ||
	    !options->long_clients || options->long_clients > SEGMENT_CLIENTS_MAX)
		return -EINVAL;
	r = table_new(&t, options);
	if (r < 0)
		return r;
	r = -EAGAIN;
	for (int try = 0; try < OPEN_TRIES && r == -EAGAIN; try++) {
		if (try > 1)
			usleep(OPEN_WAIT_US); /* for one who holds the registry right now */
		r = open_once(&t->segment, t);
	}
	if (r < 0)
		return r;
	*ret = t;
	t = NULL;
	return 0;
}

int
table_open_readonly(struct table **ret, const char *name, int64_t ttl_ns)
{
	CLEANUP(table_freep) struct table *t = NULL;
	const struct table_options options = {.name = name, .ttl_ns = ttl_ns};
	int r;

	r = table_new(&t, &options);
	if (r < 0)
		return r;
	t->readonly = true;
	r = segment_open(&t->segment, t->shm, true);
	if (r < 0)
		return r;
	*ret = t;
	t = NULL;
	return 0;
}

int
table_open_private(struct table **ret, const struct table_options *options)
{
	CLEANUP(table_freep) struct table *t = NULL;
	int r;

	r = table_new(&t, options);
	if (r < 0)
		return r;
	r = segment_create_private(&t->segment, options->clients, options->long_clients);
	if (r < 0)
		return r;
	*ret = t;
	t = NULL;
	return 0;
}

int
table_open_shared(struct table **ret, const struct table *other)
{
	CLEANUP(table_freep) struct table *t = NULL;
	const struct table_options options = {
		.clients = other->clients, .long_clients = other->long_clients, .ttl_ns = other->ttl_ns};
	int r;

	r = table_new(&t, &options);
	if (r < 0)
		return r;
	r = segment_share(&t->segment, &other->segment);
	if (r < 0)
		return r;
	*ret = t;
	t = NULL;
	return 0;
}

struct table *
table_free(struct table *t)
{
	if (!t)
		return NULL;
	if (t->is_registered && t->segment.fd >= 0)
		registry_drop(&t->segment, &t->self);
	segment_done(&t->segment);
	free(t->names);
	free(t->merged);
	free(t);
	return NULL;
}

int
table_unlink(const char *name)
{
	return shm_unlink(name) < 0 ? -errno : 0;
}

void
table_set_ttl(struct table *t, int64_t ttl_ns)
{
	t->ttl_ns = ttl_ns;
}

bool
table_is_private(const struct table *t)
{
	return t->segment.is_private;
}

/* --- registering ------------------------------------------------------------- */

struct register_call {
	struct table *t;
	enum table_role role;
};

static int
register_body(void *arg)
{
	struct register_call *call = arg;
	struct table *t = call->t;
	int r;

	r = registry_take(&t->segment, call->role, t->name, t->listen, &t->self);
	if (r != 0)
		return r;
	/* Whoever enters a name now may wait for a processor for longer than a writer would wait for it. */
	for (int try = 0; try < NAME_TRIES; try++) {
		r = registry_name_number(&t->segment, t->self.owner, text_of(t->name), &t->server);
		if (r != TABLE_E_BUSY)
			break;
		usleep(NAME_WAIT_US);
	}
	if (r != 0)
		registry_drop(&t->segment, &t->self);
	return r > 0 ? -ETIMEDOUT : r;
}

int
table_register(struct table *t, enum table_role role, const char *name, const char *listen)
{
	struct register_call call = {t, role};
	int r;

	if (t->readonly || t->is_registered)
		return -EROFS;
	if (!fix_server_valid(text_of(name)))
		return -EINVAL;
	snprintf(t->name, sizeof(t->name), "%s", name);
	snprintf(t->listen, sizeof(t->listen), "%s", listen ? listen : "");
	r = table_guarded(t, register_body, &call);
	if (r == -EFAULT)
		registry_leave(&t->segment);
	if (r == 0) {
		t->role = role;
		t->is_registered = true;
		/* Our own name is known, whatever happens to the names in the segment. */
		memcpy(t->names[t->server].text, t->name, strlen(t->name));
		t->names[t->server].len = (uint8_t)strlen(t->name);
	}
	return r;
}

/* --- following the name -------------------------------------------------------- */

static void
carry_counters(struct table *from, struct table *to)
{
	struct table_process process;

	if (table_process(from, from->self.index, &process) != 0)
		return;
	for (int i = 0; i < TABLE_COUNTER_COUNT; i++)
		table_count(to, (enum table_counter)i, (int64_t)process.counter[i]);
}

/* Best effort: what cannot be read is gone, what cannot be written is held newer there. */
static void
carry_fixes(struct table *from, struct table *to)
{
	int64_t now_ns = clock_now_ns();
	struct herd_fix fix;
	uint64_t cursor = 0;

	while (table_next(from, &cursor, now_ns, &fix, NULL) == 0)
		(void)table_merge(to, &fix);
}

static int
move_to(struct table *t, struct table *fresh)
{
	struct table old;
	int r;

	if (t->is_registered) {
		r = table_register(fresh, t->role, t->name, t->listen);
		if (r != 0)
			return r > 0 ? -EEXIST : r;
		carry_counters(t, fresh);
		carry_fixes(t, fresh);
		table_set_waiting(fresh, t->is_waiting);
	}
	old = *t;
	*t = *fresh;
	*fresh = old; /* the caller frees what is no longer used */
	return 0;
}

static int
registration_body(void *arg)
{
	const struct table *t = arg;
	const struct segment_process *p = segment_process(&t->segment, t->self.index);

	if (atomic_load_explicit(&p->generation, memory_order_relaxed) != t->self.owner >> 16 ||
	    strncmp(p->name, t->name, sizeof(p->name)) != 0 ||
	    strncmp(segment_name(&t->segment, t->server), t->name, SEGMENT_NAME_BYTES) != 0)
		return -EBADMSG;
	return 0;
}

/* Only wild writes change who we are in there. With another generation our locks look like a dead
   process's, and with another name under our number every fix we store is damaged at once. */
static bool
registration_is_damaged(struct table *t)
{
	return t->is_registered && table_guarded(t, registration_body, t) < 0;
}

int
table_refresh(struct table *t)
{
	const struct table_options options = {t->shm, t->clients, t->long_clients, t->ttl_ns};
	CLEANUP(table_freep) struct table *fresh = NULL;
	CLEANUP(table_freep) struct table *private = NULL;
	int r, fault;

	if (!t->shm[0])
		return 0;
	if (!t->is_lost && segment_follow(&t->segment, t->shm) == 0 && !registration_is_damaged(t))
		return 0;
	if (t->readonly) {
		fault = table_open_readonly(&fresh, t->shm, t->ttl_ns);
	} else {
		/* The very object we use, damaged in place: certainly ours to remove. */
		(void)segment_remove_same(t->shm, &t->segment);
		fault = table_open(&fresh, &options);
	}
	if (fault == 0)
		fault = move_to(t, fresh);
	if (fault == 0)
		return TABLE_E_MOVED;
	if (t->is_lost && !t->readonly) {
		r = table_open_private(&private, &options);
		if (r == 0)
			r = move_to(t, private);
		if (r < 0)
			return r;
	}
	return fault;
}

uint64_t
table_bytes(const struct table_options *options)
{
	return segment_bytes(options->clients, options->long_clients);
}
