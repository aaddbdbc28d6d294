#ifndef CTL_SHOW_H
#define CTL_SHOW_H
/*
 * What several commands show the same way.
 */
#include <stdint.h>

#include "ctl/client.h"
#include "ctl/writer.h"
#include "herd/fix.h"

/* The values of one fix, into the object that is open. */
void show_fix(struct writer *w, const struct herd_fix *fix, int64_t now_ns);

/* Its skew as AT lines have it; the text is in `at`. */
struct text show_skew(const struct herd_fix *fix, char at[HERD_AT_MAX]);

/* A member's reply, as it came or as a JSON document. CTL_OK; CTL_NO: it is "? "; CTL_FAILED, said. */
int show_reply(struct writer *w, const struct client_reply *reply);

#endif
