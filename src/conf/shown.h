#ifndef CONF_SHOWN_H
#define CONF_SHOWN_H
/*
 * Shown: a bad value as a complaint quotes it, escaped and cut short.
 */
#include "base/text.h"
#include "base/utf8.h"

enum { SHOWN_MAX = 80 };

static inline const char *
shown_put(struct text t, char out[SHOWN_MAX])
{
	utf8_escape(t, out, SHOWN_MAX);
	return out;
}

/* Lives as long as the block it stands in. */
#define SHOW(t) shown_put(t, (char[SHOWN_MAX]){0})

#endif
