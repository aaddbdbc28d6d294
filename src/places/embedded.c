/*
 * The built-in places, taken into the program as they are by the assembler:
 * as a C array they would cost the compiler more time than all the rest.
 * The path is relative to the build folder, where all compiling is done.
 */
#include "places/embedded.h"

__asm__(".pushsection .rodata\n"
	".balign 64\n"
	".globl places_embedded_bytes\n"
	".hidden places_embedded_bytes\n"
	"places_embedded_bytes:\n"
	".incbin \"share/default.places\"\n"
	".globl places_embedded_end\n"
	".hidden places_embedded_end\n"
	"places_embedded_end:\n"
	".byte 0\n"
	".popsection\n");

extern const char places_embedded_bytes[] __attribute__((visibility("hidden")));
extern const char places_embedded_end[] __attribute__((visibility("hidden")));

struct text
places_embedded(void)
{
	return (struct text){places_embedded_bytes,
			     (size_t)((uintptr_t)places_embedded_end - (uintptr_t)places_embedded_bytes)};
}
