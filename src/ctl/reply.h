#ifndef CTL_REPLY_H
#define CTL_REPLY_H
/*
 * Parts of what another program has replied. None of it is believed: what is
 * missing or of another type is as if it had not been said.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct json_object;

/* "" */
struct text reply_text(const struct json_object *object, const char *key);

/* false */
bool reply_bool(const struct json_object *object, const char *key);

/* 0; also for negative numbers. */
uint64_t reply_count(const struct json_object *object, const char *key);

/* false: there is none, or it is not finite. Seconds become nanoseconds, within 100 years of 0. */
bool reply_seconds(const struct json_object *object, const char *key, int64_t *ret_ns);

/* NULL. Both are the object's. */
struct json_object *reply_object(const struct json_object *object, const char *key);
struct json_object *reply_list(const struct json_object *object, const char *key);

/* How many entries; 0 for NULL. */
size_t reply_length(const struct json_object *list);

/* NULL: no object. */
struct json_object *reply_entry(const struct json_object *list, size_t index);

/* An entry that is a string; "". */
struct text reply_entry_text(const struct json_object *list, size_t index);

#endif
