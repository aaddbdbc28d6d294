#ifndef PLACES_LOADER_H
#define PLACES_LOADER_H
/*
 * Loader: opens a places file in a thread of its own, because opening reads
 * all of it. The same thread takes back the file that the new one replaces:
 * unmapping gigabytes takes milliseconds too.
 */
#include <stdbool.h>

#include "core/places.h"

struct loader; /* opaque */

/* Starts to open `path`; NULL: there is only something to retire. `wakeup` is an eventfd, written to
   when loader_take() has something. */
int loader_new(struct loader **ret, const char *path, int wakeup);

/* Has it finished opening? Then *ret_error is 0 and *ret_places the caller's, or *ret_error says why
   not, as places_open() does. Once. */
bool loader_take(struct loader *l, int *ret_error, struct places **ret_places);

/* After loader_take(), or for a loader without a path: gives the thread what is no longer used, to unmap; NULL: nothing. */
void loader_retire(struct loader *l, struct places *old);

/* After loader_retire(): true when the thread has ended, and then loader_free() does not wait. */
bool loader_ended(struct loader *l);

/* At any time: stops it, waits for that (for as long as reading a megabyte takes) and frees what was
   not taken. Accepts NULL, returns NULL. */
struct loader *loader_free(struct loader *l);

#endif
