#ifndef CONF_VALUE_H
#define CONF_VALUE_H
/*
 * One setting's value: from text, to text, compared, freed. `field` is always
 * of the C type that CONF_TYPES gives the setting.
 */
#include "conf/conf.h"

enum {
	VALUE_E_INVALID = 1,
	VALUE_WHY_MAX = 512,
};

/* Replaces the value; a list gets more entries (separated by ',' or white space), and none from an
   empty text. VALUE_E_INVALID: why says so, "... (expected ...)", maybe with bytes of t in it, and the
   value is as before. -ENOMEM. */
int value_parse(const struct conf_setting *setting, struct text t, void *field, char why[VALUE_WHY_MAX]);

/* Appends to out. -ENOBUFS. */
int value_format(const struct conf_setting *setting, const void *field, struct buffer *out);

bool value_equal(const struct conf_setting *setting, const void *a, const void *b);

/* Frees what the field holds and makes it zero. */
void value_done(const struct conf_setting *setting, void *field);

/* Moves the value to another field of the type, which is done first. */
void value_move(const struct conf_setting *setting, void *to, void *from);

/* Copies the value to a field of the type that is zero. -ENOMEM. */
int value_copy(const struct conf_setting *setting, void *to, const void *from);

bool value_is_list(const struct conf_setting *setting);

#endif
