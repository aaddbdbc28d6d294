#ifndef PLACES_KEYED_H
#define PLACES_KEYED_H
/*
 * Keyed: a table of things by the question to a service that they are about.
 * Where clients stand decides the keys, so the hash is a keyed one: nobody can
 * make all of them fall into one place.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

/* What was asked of which service. Compared byte by byte. */
struct question {
	int32_t lat_e7, lon_e7;
	uint32_t radius_mm;
	uint32_t bound;
	uint32_t service; /* any number of the service's own */
};

/* The first member of what is put into a table. */
struct keyed {
	struct keyed *next;
	struct question question;
};

struct keyed_table {
	struct hash_key key;
	struct keyed **heads; /* a power of two of them */
	size_t size, count;
};

/* -ENOMEM, other negative errno. */
int keyed_init(struct keyed_table *t);
/* What is in it is not freed. A zeroed one is valid. */
void keyed_done(struct keyed_table *t);

/* NULL: nothing about this question. */
struct keyed *keyed_find(const struct keyed_table *t, const struct question *question);
/* There must be none yet about the same question. Never fails: without memory the table only gets slower. */
void keyed_add(struct keyed_table *t, struct keyed *one);
/* It must be there. */
void keyed_remove(struct keyed_table *t, struct keyed *one);

#endif
