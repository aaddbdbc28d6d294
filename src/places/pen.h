#ifndef PLACES_PEN_H
#define PLACES_PEN_H
/*
 * Pen: JSON written piece by piece into a bounded buffer, on one line and
 * always in UTF-8. Commas come by themselves; a pen that ran out of room stays
 * so until it is emptied, and its owner asks once, at the end.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"

struct json_object;

/* Zero-initialised plus out.max is a valid pen. */
struct pen {
	struct buffer out;
	bool full; /* something did not fit */
};

/* Empties it; what was allocated stays. */
void pen_clear(struct pen *p);
void pen_done(struct pen *p);

/* As it is: brackets, literals. */
void pen_put(struct pen *p, struct text t);

/* The comma before an item of an array, where one is due. */
void pen_next(struct pen *p);

/* "name": and the comma before it, where one is due. */
void pen_member(struct pen *p, struct text name);

/* Values. Bytes that are not UTF-8 become U+FFFD. */
void pen_string(struct pen *p, struct text t);
void pen_u64(struct pen *p, uint64_t value);
void pen_degrees(struct pen *p, int32_t e7);
/* Any value that tree_parse() accepted; numbers as they were written. */
void pen_tree(struct pen *p, struct json_object *value);

/* A string of HTML: the words, and a link where uri is one of http or https. Too long is full. */
void pen_link(struct pen *p, struct text words, struct text uri);

#endif
