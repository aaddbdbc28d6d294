#ifndef CONF_VALUE_HOSTS_H
#define CONF_VALUE_HOSTS_H
/*
 * Values that name hosts: lists of "NAME ADDRESS:PORT", where white space
 * belongs to an entry and only commas stand between two. For value.c.
 */
#include "conf/value.h"

/* More entries, as value_parse() has it. For PEERS and HOSTS. */
int value_parse_hosts(const struct conf_setting *setting, struct text t, struct conf_paths *list,
		      char why[VALUE_WHY_MAX]);

/* Letters, digits, '-' and '.', from setting->min to setting->max of them. */
bool value_is_host_name(const struct conf_setting *setting, struct text t);

/* 32 hexadecimal digits, or none. */
bool value_is_host_id(struct text t);

#endif
