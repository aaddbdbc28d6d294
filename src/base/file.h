#ifndef BASE_FILE_H
#define BASE_FILE_H
/*
 * Files that come to be as a whole: written under a name of their own first.
 */
#include <stdbool.h>

#include "base/text.h"

/*
 * Makes a file that everybody may read, in a folder where nobody else writes under this name; one that is
 * there is of somebody who was killed, and goes. With `synced` it is on the disk afterwards. Negative errno:
 * whatever is left of it is the caller's to remove.
 */
int file_write_fresh(int folder, const char *name, struct text bytes, bool synced);

#endif
