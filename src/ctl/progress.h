#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H
/*
 * Progress: a bar for people who wait, on standard error, and only where that is a terminal
 * and the answer is for people, too.
 */
#include <stdbool.h>
#include <stdint.h>

#include "ctl/ctl.h"

struct progress {
	bool is_wanted, is_shown;
	int64_t shown_ns;
};

/* None with --json: that is a program's, even where its standard error is still a terminal. */
struct progress progress_begin(const struct ctl *ctl);

/* How much is done, of 1; negative: nobody knows. What it says is seen ten times a second at most. */
__attribute__((format(printf, 3, 4))) void
progress_show(struct progress *p, double share, const char *format, ...);

/* Before anything else is written to the terminal, and at the end. */
void progress_clear(struct progress *p);

#endif
