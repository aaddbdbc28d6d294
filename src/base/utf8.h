#ifndef BASE_UTF8_H
#define BASE_UTF8_H
/*
 * Telling text from bytes: what may reach a terminal or a log, and what has to
 * be written as \xHH first. UTF-8 as RFC 3629 has it.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* Length of the well-formed character at the front (1 to 4); 0: none, or t is empty. */
size_t utf8_first(struct text t);

bool utf8_valid(struct text t);

/* Where to cut it so that no character is cut in two: its length, or up to 3 bytes less. */
size_t utf8_cut(struct text t);

/* Writes t and a NUL to out (size >= 8), every control character and every byte that is no UTF-8 as
   \xHH; ends it with "..." when it does not fit. Returns the length written. */
size_t utf8_escape(struct text t, char *out, size_t size);

#endif
