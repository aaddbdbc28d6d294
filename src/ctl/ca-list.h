#ifndef CTL_CA_LIST_H
#define CTL_CA_LIST_H
/*
 * The list of what an authority has issued: one line of text per certificate,
 *
 *   SERIAL NAME ISSUED EXPIRES REVOKED
 *   4f1e0a9b3c5d7e21 Hill 2026-11-22T03:00:00Z 2029-02-24T04:00:00Z -
 *
 * in the order of issue. '#' begins a comment; the first line is one.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/cleanup.h"

enum {
	CA_NAME_MAX = 63,      /* of a host */
	CA_SERIAL_MAX = 16,    /* hexadecimal digits */
	CA_LIST_MAX = 1 << 26, /* bytes */
};

struct ca_entry {
	uint64_t serial;
	char name[CA_NAME_MAX + 1];
	int64_t issued_s, expires_s; /* POSIX */
	int64_t revoked_s;	     /* 0: it is not */
};

struct ca_list {
	struct ca_entry *at; /* owned */
	size_t count;
};

void ca_list_done(struct ca_list *list);

/* 1-63 letters, digits, '-', '.', beginning with a letter or digit: what is a file's name, too. */
bool ca_name_valid(struct text name);

/* Exactly 16 hexadecimal digits, not only zeros. */
bool ca_serial_parse(struct text t, uint64_t *ret);
void ca_serial_format(uint64_t serial, char out[CA_SERIAL_MAX + 1]);

/* CA_LIST_E_DAMAGED: line *ret_line is none. -ENOMEM. */
enum { CA_LIST_E_DAMAGED = 1 };
int ca_list_parse(struct ca_list *ret, struct text bytes, unsigned int *ret_line);

/* Appends to out. -ENOBUFS. */
int ca_list_format(const struct ca_list *list, struct buffer *out);

/* -ENOMEM. */
int ca_list_add(struct ca_list *list, const struct ca_entry *entry);

/* NULL: there is none. */
struct ca_entry *ca_list_find(const struct ca_list *list, uint64_t serial);

/* The one of that name that is good for longest; NULL: none is good at all. */
const struct ca_entry *ca_list_good(const struct ca_list *list, const char *name, int64_t now_s);

#endif
