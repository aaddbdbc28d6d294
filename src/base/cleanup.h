#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H
/*
 * Locals that clean up after themselves, through the compiler's cleanup
 * attribute. Handing a thing over means setting your own pointer to NULL.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Defines name##p(), the cleanup function for pointers that name() frees. */
#define CLEANUP_POINTER(type, name)                \
	static inline void name##p(type **pointer) \
	{                                          \
		if (*pointer)                      \
			name(*pointer);            \
	}                                          \
	_Static_assert(1, "takes the semicolon")

static inline void
cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void
cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void
cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

#endif
