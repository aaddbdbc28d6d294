#ifndef PLACES_TREE_H
#define PLACES_TREE_H
/*
 * Tree: JSON from outside, read strictly: RFC 8259, UTF-8, no name twice in an
 * object, no number out of range, no half of a surrogate pair, bounded nesting
 * and a bounded number of values. json-c makes the tree.
 */
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/text.h"

enum {
	TREE_E_BAD = 1,		  /* not JSON as above; *ret_why says what is wrong */
	TREE_DEPTH_MAX = 32,	  /* brackets around a value: whoever walks a tree recurses */
	TREE_VALUES_MAX = 200000, /* of one text, names and values: json-c takes some 100 bytes for each */
};

/* One object or array; white space around it is fine. 0; TREE_E_BAD. *ret is the caller's, for json_object_put(). */
int tree_parse(struct text t, struct json_object **ret, const char **ret_why);

/* For json_tokener_set_flags(): strict, unless this json-c (0.18) then takes what is not ASCII for control characters. */
int tree_flags(void);

/* The member of that name and type, or NULL. `from` may be anything, NULL as well. */
struct json_object *tree_get(struct json_object *from, const char *name, enum json_type type);

/* The same for a string; empty when there is none. Lives as long as the tree. */
struct text tree_string(struct json_object *from, const char *name);

/* The value as text; empty unless it is a string. */
struct text tree_text(struct json_object *value);

/* Degrees from -limit to limit. *ret_e7 is set only if it returns true. */
bool tree_degrees(struct json_object *value, int limit, int32_t *ret_e7);

static inline void
tree_putp(struct json_object **object)
{
	json_object_put(*object);
}

/* --- for tree.c ------------------------------------------------------------ */

/* Looks at the words of a text, not at their order. NULL, and the number of members in all objects
   (provided the order is right); or what is wrong. */
const char *tree_scan(struct text t, size_t *ret_members);

#endif
