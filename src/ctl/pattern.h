#ifndef CTL_PATTERN_H
#define CTL_PATTERN_H
/*
 * Which ids an operator means: fnmatch(3) over their bytes.
 */
#include <stdbool.h>

#include "herd/fix.h"

/* Can it match more than the id that it spells? */
bool pattern_is_wild(const char *pattern);

/* pattern: NULL matches everything. */
bool pattern_matches(const char *pattern, const struct herd_fix *fix);

#endif
