/*
 * Reply: json-c converts whatever it finds to whatever is asked for; here
 * nothing is converted.
 */
#include "ctl/reply.h"

#include <json-c/json.h>
#include <math.h>

#include "base/clock.h"

static struct json_object *
get(const struct json_object *object, const char *key, enum json_type type)
{
	struct json_object *value = NULL;

	if (!object || !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

static struct text
text_of_string(struct json_object *value)
{
	if (!value)
		return TEXT("");
	return (struct text){json_object_get_string(value), (size_t)json_object_get_string_len(value)};
}

struct text
reply_text(const struct json_object *object, const char *key)
{
	return text_of_string(get(object, key, json_type_string));
}

bool
reply_bool(const struct json_object *object, const char *key)
{
	const struct json_object *value = get(object, key, json_type_boolean);

	return value && json_object_get_boolean(value);
}

uint64_t
reply_count(const struct json_object *object, const char *key)
{
	return json_object_get_uint64(get(object, key, json_type_int));
}

bool
reply_seconds(const struct json_object *object, const char *key, int64_t *ret_ns)
{
	const struct json_object *value = get(object, key, json_type_double);
	double seconds;

	if (!value)
		value = get(object, key, json_type_int);
	seconds = value ? json_object_get_double(value) : NAN;
	if (!isfinite(seconds) || fabs(seconds) > 100 * 365.25 * 86400)
		return false;
	*ret_ns = (int64_t)(seconds * (double)CLOCK_SECOND_NS);
	return true;
}

struct json_object *
reply_object(const struct json_object *object, const char *key)
{
	return get(object, key, json_type_object);
}

struct json_object *
reply_list(const struct json_object *object, const char *key)
{
	return get(object, key, json_type_array);
}

size_t
reply_length(const struct json_object *list)
{
	return list ? json_object_array_length(list) : 0;
}

struct json_object *
reply_entry(const struct json_object *list, size_t index)
{
	struct json_object *entry = json_object_array_get_idx(list, index);

	return json_object_is_type(entry, json_type_object) ? entry : NULL;
}

struct text
reply_entry_text(const struct json_object *list, size_t index)
{
	struct json_object *entry = json_object_array_get_idx(list, index);

	return text_of_string(json_object_is_type(entry, json_type_string) ? entry : NULL);
}
