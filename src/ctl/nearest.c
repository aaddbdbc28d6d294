/*
 * Nearest: what somebody who typed "statsu" meant. The distance counts
 * letters added, missing, wrong, or swapped with their neighbour (Damerau's
 * four errors of typing, 1964).
 */
#include <stdbool.h>
#include <string.h>

#include "ctl/ctl.h"

enum { NEAREST_LEN_MAX = 40, NEAREST_DISTANCE_MAX = 2 };

static unsigned int
least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static unsigned int
distance(const char *a, const char *b)
{
	unsigned int row[3][NEAREST_LEN_MAX + 1]; /* of the last three letters of a */
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > NEAREST_LEN_MAX || b_len > NEAREST_LEN_MAX)
		return NEAREST_LEN_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_len; j++) {
			now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
	}
	return row[a_len % 3][b_len];
}

const char *
ctl_nearest(const char *typed, const char *(*next)(size_t index))
{
	unsigned int best_distance = NEAREST_DISTANCE_MAX + 1;
	size_t typed_len = strlen(typed);
	const char *best = NULL, *name;

	for (size_t i = 0; (name = next(i)); i++) {
		bool begins = typed_len > 1 && strncmp(name, typed, typed_len) == 0;
		unsigned int d = begins ? 1 : distance(typed, name);

		/* Two letters of two are not a likeness. */
		if (d < best_distance && d < typed_len) {
			best_distance = d;
			best = name;
		}
	}
	return best;
}
