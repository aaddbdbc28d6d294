/*
 * Cache: a table and one list, the one that was used last in front. What has
 * become old goes when somebody asks for it or when it is at the list's end.
 */
#include "places/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

enum { LARGEST_PART = 4 };

struct entry {
	struct keyed keyed; /* first */
	TAILQ_ENTRY(entry) used;
	struct web_answer *answer;
	int64_t until_ns;
	size_t bytes;
};

struct cache {
	struct keyed_table table;
	TAILQ_HEAD(entry_list, entry) used; /* last used first */
	size_t bytes, bytes_max;
};

static void
entry_free(struct cache *c, struct entry *e)
{
	keyed_remove(&c->table, &e->keyed);
	TAILQ_REMOVE(&c->used, e, used);
	c->bytes -= e->bytes;
	web_answer_unref(e->answer);
	free(e);
}

static void
make_room(struct cache *c, size_t bytes)
{
	while (!TAILQ_EMPTY(&c->used) && c->bytes + bytes > c->bytes_max)
		entry_free(c, TAILQ_LAST(&c->used, entry_list));
}

struct web_answer *
cache_find(struct cache *c, const struct question *question, int64_t now_ns)
{
	struct entry *e = (struct entry *)keyed_find(&c->table, question);

	if (!e)
		return NULL;
	if (now_ns >= e->until_ns) {
		entry_free(c, e);
		return NULL;
	}
	TAILQ_REMOVE(&c->used, e, used);
	TAILQ_INSERT_HEAD(&c->used, e, used);
	return e->answer;
}

void
cache_put(struct cache *c, const struct question *question, struct web_answer *answer, int64_t until_ns)
{
	struct entry *e = (struct entry *)keyed_find(&c->table, question);
	size_t bytes = sizeof(*e) + web_answer_size(answer);

	if (e)
		entry_free(c, e);
	if (bytes > c->bytes_max / LARGEST_PART)
		return;
	e = malloc(sizeof(*e));
	if (!e)
		return;
	make_room(c, bytes);
	*e = (struct entry){
		.keyed.question = *question,
		.answer = web_answer_ref(answer),
		.until_ns = until_ns,
		.bytes = bytes,
	};
	keyed_add(&c->table, &e->keyed);
	TAILQ_INSERT_HEAD(&c->used, e, used);
	c->bytes += bytes;
}

void
cache_drop(struct cache *c, uint32_t service)
{
	struct entry *next;

	for (struct entry *e = TAILQ_FIRST(&c->used); e; e = next) {
		next = TAILQ_NEXT(e, used);
		if (e->keyed.question.service == service)
			entry_free(c, e);
	}
}

void
cache_limit(struct cache *c, size_t bytes_max)
{
	c->bytes_max = bytes_max;
	make_room(c, 0);
}

size_t
cache_bytes(const struct cache *c)
{
	return c->bytes;
}

size_t
cache_count(const struct cache *c)
{
	return c->table.count;
}

int
cache_new(struct cache **ret, size_t bytes_max)
{
	struct cache *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	TAILQ_INIT(&c->used);
	c->bytes_max = bytes_max;
	r = keyed_init(&c->table);
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct cache *
cache_free(struct cache *c)
{
	if (!c)
		return NULL;
	while (!TAILQ_EMPTY(&c->used))
		entry_free(c, TAILQ_FIRST(&c->used));
	keyed_done(&c->table);
	free(c);
	return NULL;
}
