/*
 * Tree: json-c's, behind a look at the words (tree-scan.c) and before one at
 * what became of them: a name that came twice has left fewer members than
 * there were colons, and a number out of range is one of the extremes.
 */
#include "places/tree.h"

#include <limits.h>
#include <math.h>

static bool
is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct text
trim(struct text t)
{
	while (t.len && is_white(t.at[0])) {
		t.at++;
		t.len--;
	}
	while (t.len && is_white(t.at[t.len - 1]))
		t.len--;
	return t;
}

static bool
is_in_range(struct json_object *value)
{
	if (json_object_is_type(value, json_type_double))
		return isfinite(json_object_get_double(value));
	/* json-c stops at the limits. */
	return json_object_get_int64(value) != INT64_MIN && json_object_get_uint64(value) != UINT64_MAX;
}

/* Adds the members of all objects; false: a number is out of range. */
static bool
walk(struct json_object *value, size_t *members)
{
	switch (json_object_get_type(value)) {
	case json_type_object: {
		json_object_object_foreach(value, name, member)
		{
			(void)name;
			if (!walk(member, members))
				return false;
		}
		*members += (size_t)json_object_object_length(value);
		return true;
	}
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(value); i++)
			if (!walk(json_object_array_get_idx(value, i), members))
				return false;
		return true;
	case json_type_int:
	case json_type_double:
		return is_in_range(value);
	default:
		return true;
	}
}

static const char *
check(struct json_object *root, size_t colons)
{
	size_t members = 0;

	if (!walk(root, &members))
		return "a number out of range";
	return members == colons ? NULL : "a name twice in one object";
}

static void
free_tokener(struct json_tokener **tokener)
{
	if (*tokener)
		json_tokener_free(*tokener);
}

int
tree_flags(void)
{
	static const char letter[] = "\"\xc3\xa9\"";
	static int flags = -1;
	CLEANUP(free_tokener) struct json_tokener *tokener = flags < 0 ? json_tokener_new() : NULL;

	if (flags >= 0)
		return flags;
	if (!tokener)
		return 0;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	json_object_put(json_tokener_parse_ex(tokener, letter, (int)sizeof(letter) - 1));
	flags = json_tokener_get_error(tokener) == json_tokener_success ? JSON_TOKENER_STRICT : 0;
	return flags;
}

static struct json_object *
make(struct text t, const char **ret_why)
{
	CLEANUP(free_tokener) struct json_tokener *tokener = json_tokener_new_ex(TREE_DEPTH_MAX + 2);
	struct json_object *root;
	enum json_tokener_error error;

	*ret_why = "no memory to read it";
	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, tree_flags()); /* that it is UTF-8 has been seen */
	root = json_tokener_parse_ex(tokener, t.at, (int)t.len);
	error = json_tokener_get_error(tokener);
	if (error == json_tokener_success && json_tokener_get_parse_end(tokener) == t.len)
		return root;
	json_object_put(root);
	*ret_why = error == json_tokener_continue  ? "it ends too early"
		   : error == json_tokener_success ? "more than one value"
						   : json_tokener_error_desc(error);
	return NULL;
}

int
tree_parse(struct text t, struct json_object **ret, const char **ret_why)
{
	CLEANUP(tree_putp) struct json_object *root = NULL;
	const char *why = NULL;
	size_t colons = 0;

	t = trim(t);
	if (t.len == 0)
		why = "it is empty";
	else if (t.at[0] != '{' && t.at[0] != '[')
		why = "it begins with neither { nor [";
	else if (t.len > INT_MAX / 2)
		why = "it is too long";
	else
		why = tree_scan(t, &colons);
	if (!why)
		root = make(t, &why);
	if (root)
		why = check(root, colons);
	if (why) {
		*ret_why = why;
		return TREE_E_BAD;
	}
	*ret = root;
	root = NULL;
	return 0;
}

/* --- looking ------------------------------------------------------------------ */

struct json_object *
tree_get(struct json_object *from, const char *name, enum json_type type)
{
	struct json_object *found = NULL;

	if (!json_object_is_type(from, json_type_object) || !json_object_object_get_ex(from, name, &found))
		return NULL;
	return json_object_is_type(found, type) ? found : NULL;
}

struct text
tree_text(struct json_object *value)
{
	if (!json_object_is_type(value, json_type_string))
		return TEXT("");
	return (struct text){json_object_get_string(value), (size_t)json_object_get_string_len(value)};
}

struct text
tree_string(struct json_object *from, const char *name)
{
	return tree_text(tree_get(from, name, json_type_string));
}

bool
tree_degrees(struct json_object *value, int limit, int32_t *ret_e7)
{
	double degrees;

	if (!json_object_is_type(value, json_type_double) && !json_object_is_type(value, json_type_int))
		return false;
	degrees = json_object_get_double(value);
	if (!(degrees >= -limit && degrees <= limit))
		return false;
	*ret_e7 = (int32_t)lrint(degrees * 1e7);
	return true;
}
