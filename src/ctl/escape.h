#ifndef CTL_ESCAPE_H
#define CTL_ESCAPE_H
/*
 * What clients chose (ids, place names) on its way to a person's terminal or
 * into JSON: no byte of it may move the cursor, hide text or break a parser.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"

enum escape_flags {
	ESCAPE_UTF8 = 1,       /* the reader understands UTF-8; else only ASCII passes */
	ESCAPE_REVERSIBLE = 2, /* a backslash is doubled, so that \xNN can be told from itself */
};

/* Appends t with every byte of what does not print, or prints nowhere, as \xNN.
   0 or -ENOBUFS; *ret_columns (may be NULL) is how wide it is on a terminal. */
int escape_text(struct buffer *out, struct text t, unsigned int flags, size_t *ret_columns);

/* Appends a JSON text with the same code points as \uNNNN (they can only stand inside strings)
   and what is no UTF-8 as \ufffd. 0 or -ENOBUFS. */
int escape_json(struct buffer *out, struct text json);

/* Does the environment (LC_ALL, LC_CTYPE, LANG) say that terminals speak UTF-8? */
bool escape_locale_is_utf8(void);

#endif
