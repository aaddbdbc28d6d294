#ifndef CTL_SCREEN_H
#define CTL_SCREEN_H
/*
 * Screen: a terminal that shows one page at a time, and is as it was afterwards. Escape sequences are those of
 * ECMA-48 and, for the second screen, xterm's, which all terminals of today know.
 */
#include <stdbool.h>
#include <stdio.h>
#include <termios.h>

#include "base/text.h"

struct screen {
	bool is_on, has_keys;
	struct termios before;
};

/* Standard output becomes a screen, if it is a terminal; keys typed at standard input come at once. */
void screen_begin(struct screen *s);

void screen_end(struct screen *s);

/* The page, as much of it as the window has room for. */
void screen_draw(const struct screen *s, struct text page);

/* As much of a page as fits; SGR sequences take no room, UTF-8 characters are one column wide. */
void screen_clip(FILE *out, struct text page, unsigned int columns, unsigned int rows);

#endif
