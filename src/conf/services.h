#ifndef CONF_SERVICES_H
#define CONF_SERVICES_H
/*
 * Services: the settings of those who are asked for places, taken together.
 */
#include "conf/conf.h"

enum { SERVICES_WHY_MAX = 512 };

/* "local", ... as `provider` has them. NULL: there is none. */
const char *services_name(enum conf_provider provider);

/* The provider of this name, or -1. */
int services_find(struct text name);

/* The index-th thing that is wrong though each setting by itself is right: *ret_message says which, and where.
   False: there are not so many. */
bool services_check(const struct conf *conf, unsigned int index, char ret_message[SERVICES_WHY_MAX]);

#endif
