#ifndef TEST_LINK_HELP_H
#define TEST_LINK_HELP_H
/*
 * Hosts whose links are tested without a socket: each has a replica, names and
 * a link to one other; what one says lies in a pipe until it is carried over,
 * as many bytes at a time as the test likes. Time is the test's.
 */
#include <assert.h>

#include "flood/link.h"
#include "replica-help.h"

enum { HELP_PIPE = 1 << 17, HELP_ROOM = 1 << 14 };

/* For what also has effects, and for fuzzers: assert() may be compiled out. */
#define help_must(ok) ((ok) ? (void)0 : help_fail(__FILE__, __LINE__, #ok))

_Noreturn static inline void
help_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

/* A host. */
struct help_node {
	struct help_host host;
	struct link_self self;
	struct names *names;
	unsigned int conflicts;
};

/* One end of a link. */
struct help_end {
	struct help_node *node;
	struct link *link;
	struct link_memory memory;
	struct link_hooks hooks;
	const char *refuse; /* what greeted() says; NULL: welcome */
	unsigned int greeted;
	unsigned int resyncs, divergences; /* how often it was told */
	uint64_t resync_lines;
	bool forgets; /* its memory is not used */
	bool holds;
	int taken;     /* what link_take() or link_tick() said last, if it was no 0 */
	uint64_t said; /* bytes, in all */
	size_t piped;
	char pipe[HELP_PIPE]; /* what it said, not carried over yet */
};

struct help_wire {
	struct help_end end[2];
	struct help_node own[2]; /* unless the test has its own */
	size_t chunk;		 /* bytes carried over at a time; 0: all */
	uint64_t cut[2];	 /* bytes of each end that are ever carried over; UINT64_MAX: all */
	uint64_t carried[2];
	int64_t now_ns;
	FILE *transcript; /* NULL: none */
};

static inline int
help_greeted(void *arg, const char *host, const uint8_t host_id[NAMES_HOST_ID_BYTES], char why[LINK_WHY_MAX])
{
	struct help_end *e = arg;

	assert(host[0] && host_id);
	e->greeted++;
	if (e->refuse) {
		snprintf(why, LINK_WHY_MAX, "%s", e->refuse);
		return 1;
	}
	link_set_memory(e->link, e->forgets ? NULL : &e->memory);
	link_hold_back(e->link, e->holds);
	return 0;
}

static inline void
help_resynced(void *arg, bool diverged, uint64_t lines, int64_t took_ns)
{
	struct help_end *e = arg;

	assert(took_ns >= 0);
	e->resyncs += !diverged;
	e->divergences += diverged;
	e->resync_lines += lines;
}

static inline void
help_conflict(void *arg, const char *server, const uint8_t one[NAMES_HOST_ID_BYTES],
	      const uint8_t other[NAMES_HOST_ID_BYTES])
{
	struct help_node *node = arg;

	assert(server[0] && one && other);
	node->conflicts++;
}

static inline void
help_node_init(struct help_node *node, unsigned int number, uint32_t clients, int64_t ttl_ns)
{
	memset(node, 0, sizeof(*node));
	node->self = (struct link_self){.herd = "herd",
					.incarnation = 0x1000 + number,
					.ttl_s = ttl_ns / CLOCK_SECOND_NS,
					.key_check = 7};
	snprintf(node->self.host, sizeof(node->self.host), "host%u", number);
	node->self.host_id[0] = (uint8_t)(number + 1);
	help_must(help_host_init(&node->host, clients, ttl_ns) == 0);
	help_must(help_drain(&node->host, HELP_NOW_NS) == 0); /* from now on members mark what they change */
	help_must(names_new(&node->names, node->self.host_id, help_conflict, node) == 0);
}

static inline void
help_node_done(struct help_node *node)
{
	names_free(node->names);
	help_host_done(&node->host);
}

/* Between two hosts of the test's; help_hang_up() before they go. */
static inline void
help_wire_between(struct help_wire *w, struct help_node *a, struct help_node *b)
{
	for (unsigned int i = 0; i < 2; i++) {
		memset(&w->end[i], 0, offsetof(struct help_end, pipe)); /* pipes are large */
		w->end[i].node = i ? b : a;
		w->end[i].hooks = (struct link_hooks){&w->end[i], help_greeted, help_resynced, NULL};
		w->cut[i] = UINT64_MAX;
		w->carried[i] = 0;
	}
	w->chunk = 0;
	w->now_ns = HELP_NOW_NS;
	w->transcript = NULL;
}

static inline void
help_wire_init(struct help_wire *w, uint32_t clients, int64_t ttl_ns)
{
	help_wire_between(w, &w->own[0], &w->own[1]);
	for (unsigned int i = 0; i < 2; i++)
		help_node_init(&w->own[i], i, clients, ttl_ns);
}

static inline void
help_hang_up(struct help_wire *w)
{
	for (unsigned int i = 0; i < 2; i++) {
		w->end[i].link = link_free(w->end[i].link);
		w->end[i].piped = 0;
		w->end[i].taken = 0;
		w->carried[i] = 0;
	}
}

static inline void
help_wire_done(struct help_wire *w)
{
	help_hang_up(w);
	for (unsigned int i = 0; i < 2; i++)
		help_node_done(&w->own[i]);
}

static inline void
help_drain_both(struct help_wire *w)
{
	for (unsigned int i = 0; i < 2; i++)
		help_must(help_drain(&w->end[i].node->host, w->now_ns) == 0);
}

static inline void
help_dial(struct help_wire *w)
{
	help_hang_up(w);
	for (unsigned int i = 0; i < 2; i++) {
		struct help_end *e = &w->end[i];

		help_must(link_new(&e->link, &e->node->self, e->node->host.replica, e->node->names, &e->hooks,
				   w->now_ns) == 0);
	}
}

/* Lets one end say what it has to say, as far as the pipe takes it. */
static inline size_t
help_say(struct help_wire *w, unsigned int from)
{
	struct help_end *e = &w->end[from];
	size_t before = e->piped;

	while (link_wants_out(e->link, w->now_ns) && sizeof(e->pipe) - e->piped >= HELP_ROOM) {
		size_t len = link_fill(e->link, e->pipe + e->piped, HELP_ROOM, w->now_ns);

		assert(len <= HELP_ROOM);
		assert(len == 0 || e->pipe[e->piped + len - 1] == '\n');
		if (w->transcript && len > 0) {
			const char *at = e->pipe + e->piped, *end = at + len;

			while (at < end) {
				const char *lf = memchr(at, '\n', (size_t)(end - at));

				fprintf(w->transcript, "%c %.*s\n", from ? '<' : '>', (int)(lf - at), at);
				at = lf + 1;
			}
		}
		e->piped += len;
		e->said += len;
		if (len == 0)
			break;
	}
	return e->piped - before;
}

/* Carries over up to `max` bytes; how many are gone from the pipe. */
static inline size_t
help_carry(struct help_wire *w, unsigned int from, size_t max)
{
	struct help_end *e = &w->end[from], *to = &w->end[!from];
	size_t len = e->piped < max ? e->piped : max, taken = 0;
	int r;

	if (len > w->cut[from] - w->carried[from])
		len = (size_t)(w->cut[from] - w->carried[from]);
	if (len == 0 || to->taken < 0)
		return 0;
	r = link_take(to->link, e->pipe, len, &taken, w->now_ns);
	assert(taken <= len);
	assert(taken == len || r != 0 || !memchr(e->pipe + taken, '\n', len - taken));
	if (r != 0)
		to->taken = r;
	memmove(e->pipe, e->pipe + taken, e->piped - taken);
	e->piped -= taken;
	w->carried[from] += taken;
	return taken;
}

/* Both talk until neither has anything more to say now. Chunks grow while there is no whole line in one. */
static inline void
help_talk(struct help_wire *w)
{
	size_t moved;

	help_drain_both(w);
	do {
		moved = 0;
		for (unsigned int i = 0; i < 2; i++)
			moved += help_say(w, i);
		for (unsigned int i = 0; i < 2; i++) {
			size_t max = w->chunk ? w->chunk : SIZE_MAX, taken;

			do {
				taken = help_carry(w, i, max);
				max = taken ? max : max + w->chunk;
			} while (w->chunk && taken == 0 && max < w->end[i].piped + w->chunk);
			moved += taken;
		}
	} while (moved);
}

/* Time goes by in steps of a tenth of a second. */
static inline void
help_pass(struct help_wire *w, int64_t ns)
{
	const int64_t until_ns = w->now_ns + ns;

	help_talk(w);
	while (w->now_ns < until_ns) {
		w->now_ns += 100 * CLOCK_MSEC_NS;
		for (unsigned int i = 0; i < 2; i++) {
			int r = link_tick(w->end[i].link, w->now_ns);

			if (r != 0)
				w->end[i].taken = r;
		}
		help_talk(w);
	}
}

/* Both hold the same fixes. */
static inline bool
help_is_level(const struct help_wire *w)
{
	return digest_root(replica_digest(w->end[0].node->host.replica), 0) ==
	       digest_root(replica_digest(w->end[1].node->host.replica), 0);
}

/* A fix of the n-th client, heard by this end's own member. */
static inline void
help_hear(struct help_wire *w, unsigned int end, uint32_t n, uint64_t version)
{
	help_must(help_host_put(&w->end[end].node->host, n, version) == 0);
}

#endif
