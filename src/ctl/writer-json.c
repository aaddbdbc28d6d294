/*
 * JSON: a tree of json-c objects per document, or per line of a stream. What
 * json-c prints goes through escape_json(): clients' bytes reach it as they
 * are, and it neither checks UTF-8 nor hides terminal controls beyond C0.
 */
#include <errno.h>
#include <json-c/json.h>

#include "base/cleanup.h"
#include "ctl/escape.h"
#include "ctl/writer-format.h"

struct writer_json {
	struct writer head;
	struct json_object *open[WRITER_DEPTH_MAX]; /* [0] is owned; a stream has none there, but at [1] */
};

static void
json_put(struct json_object **object)
{
	json_object_put(*object);
	*object = NULL;
}

/* Takes `made` over. */
static int
json_add(struct writer *w, const char *key, struct json_object *made)
{
	CLEANUP(json_put) struct json_object *owned = made;
	struct writer_json *json = (struct writer_json *)w;
	struct json_object *parent = json->open[w->depth - 1];
	int r = -1;

	if (key)
		r = json_object_object_add_ex(parent, key, made, JSON_C_OBJECT_KEY_IS_CONSTANT);
	else
		r = json_object_array_add(parent, made);
	if (r != 0)
		return -ENOMEM;
	owned = NULL;
	return 0;
}

static int
json_begin(struct writer *w, const char *key, struct json_object *made)
{
	struct writer_json *json = (struct writer_json *)w;

	if (!made)
		return -ENOMEM;
	json->open[w->depth] = made;
	if (w->depth == 0 || (w->depth == 1 && writer_is_stream(w)))
		return 0; /* stands on its own */
	return json_add(w, key, made);
}

static int
json_object_begin(struct writer *w, const char *key)
{
	return json_begin(w, key, json_object_new_object());
}

static int
json_list_begin(struct writer *w, const char *key)
{
	struct writer_json *json = (struct writer_json *)w;

	if (w->depth == 0) {
		json->open[0] = NULL;
		return 0;
	}
	return json_begin(w, key, json_object_new_array());
}

/* Prints and frees what stands on its own. */
static int
json_finish(struct writer *w, unsigned int level, int flags)
{
	struct writer_json *json = (struct writer_json *)w;
	CLEANUP(json_put) struct json_object *done = json->open[level];
	const char *string;
	size_t len;
	int r;

	json->open[level] = NULL;
	string = json_object_to_json_string_length(done, flags | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (!string)
		return -ENOMEM;
	r = escape_json(&w->out, (struct text){string, len});
	return r < 0 ? r : buffer_append(&w->out, TEXT("\n"));
}

static int
json_object_end(struct writer *w)
{
	if (w->depth == 1)
		return json_finish(w, 0, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
	if (w->depth == 2 && writer_is_stream(w))
		return json_finish(w, 1, JSON_C_TO_STRING_PLAIN);
	return 0;
}

static int
json_list_end(struct writer *w)
{
	(void)w;
	return 0;
}

static struct json_object *
json_from_value(const struct writer_value *value)
{
	char real[400];

	switch (value->kind) {
	case WRITER_STRING:
		return json_object_new_string_len(value->string.at, (int)value->string.len);
	case WRITER_INTEGER:
		return json_object_new_uint64(value->integer);
	case WRITER_REAL:
		snprintf(real, sizeof(real), "%.*f", (int)value->decimals, value->real);
		return json_object_new_double_s(value->real, real);
	case WRITER_BOOLEAN:
		return json_object_new_boolean(value->boolean);
	case WRITER_TREE:
		return value->tree;
	case WRITER_NULL:
		break;
	}
	return NULL; /* json-c's null, too */
}

static int
json_value(struct writer *w, const struct writer_value *value)
{
	struct json_object *made = json_from_value(value);

	if (!made && value->kind != WRITER_NULL && value->kind != WRITER_TREE)
		return -ENOMEM;
	if (value->kind == WRITER_STRING && value->string.len > INT32_MAX) {
		json_object_put(made);
		return -EMSGSIZE;
	}
	return json_add(w, value->key, made);
}

static int
json_flush(struct writer *w)
{
	(void)w;
	return 0;
}

static void
json_free(struct writer *w)
{
	struct writer_json *json = (struct writer_json *)w;

	if (writer_is_stream(w))
		json_object_put(json->open[1]);
	else
		json_object_put(json->open[0]);
	free(json);
}

int
writer_new_json(struct writer **ret, const struct writer_setup *setup)
{
	static const struct writer_format format = {
		.object_begin = json_object_begin,
		.object_end = json_object_end,
		.list_begin = json_list_begin,
		.list_end = json_list_end,
		.value = json_value,
		.flush = json_flush,
		.free = json_free,
	};
	struct writer_json *json = calloc(1, sizeof(*json));

	if (!json)
		return -ENOMEM;
	writer_init(&json->head, &format, setup);
	json->head.is_json = true;
	*ret = &json->head;
	return 0;
}
