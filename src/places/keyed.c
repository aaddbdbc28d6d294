/*
 * Keyed: chains; the table is doubled when there are more things than chains,
 * and never made smaller.
 */
#include "places/keyed.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_FIRST = 64 };

_Static_assert(sizeof(struct question) == 20, "no padding, whose bytes could be anything");

static struct keyed **
head_of(const struct keyed_table *t, const struct question *question)
{
	return &t->heads[hash_siphash13(&t->key, question, sizeof(*question)) & (t->size - 1)];
}

int
keyed_init(struct keyed_table *t)
{
	int r;

	*t = (struct keyed_table){.size = SIZE_FIRST};
	r = hash_key_random(&t->key);
	if (r < 0)
		return r;
	t->heads = calloc(t->size, sizeof(struct keyed *));
	return t->heads ? 0 : -ENOMEM;
}

void
keyed_done(struct keyed_table *t)
{
	free(t->heads);
	*t = (struct keyed_table){0};
}

struct keyed *
keyed_find(const struct keyed_table *t, const struct question *question)
{
	struct keyed *at = *head_of(t, question);

	while (at && memcmp(&at->question, question, sizeof(*question)) != 0)
		at = at->next;
	return at;
}

static void
put(struct keyed_table *t, struct keyed *one)
{
	struct keyed **head = head_of(t, &one->question);

	one->next = *head;
	*head = one;
}

static void
grow(struct keyed_table *t)
{
	struct keyed_table old = *t;

	t->heads = calloc(old.size * 2, sizeof(struct keyed *));
	if (!t->heads) {
		t->heads = old.heads;
		return;
	}
	t->size = old.size * 2;
	for (size_t i = 0; i < old.size; i++)
		for (struct keyed *one = old.heads[i], *next; one; one = next) {
			next = one->next;
			put(t, one);
		}
	free(old.heads);
}

void
keyed_add(struct keyed_table *t, struct keyed *one)
{
	if (t->count >= t->size)
		grow(t);
	put(t, one);
	t->count++;
}

void
keyed_remove(struct keyed_table *t, struct keyed *one)
{
	struct keyed **link = head_of(t, &one->question);

	while (*link != one) {
		assert(*link);
		link = &(*link)->next;
	}
	*link = one->next;
	one->next = NULL;
	t->count--;
}
