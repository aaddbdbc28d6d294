/*
 * Pattern: herdctl never calls setlocale(), so fnmatch() compares bytes and an
 * id that is no UTF-8 matches like any other.
 */
#include "ctl/pattern.h"

#include <fnmatch.h>
#include <string.h>

bool
pattern_is_wild(const char *pattern)
{
	return strpbrk(pattern, "*?[\\") != NULL;
}

bool
pattern_matches(const char *pattern, const struct herd_fix *fix)
{
	char id[HERD_ID_MAX + 1];

	if (!pattern)
		return true;
	memcpy(id, fix->id, fix->id_len);
	id[fix->id_len] = '\0';
	return fnmatch(pattern, id, 0) == 0;
}
