#ifndef TEST_UNIT_H
#define TEST_UNIT_H
/* What every cmocka test needs before it includes anything else of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text.h"

#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define assert_text_equal(have, want)                               \
	do {                                                        \
		struct text have_ = (have), want_ = (want);         \
		assert_int_equal(have_.len, want_.len);             \
		assert_memory_equal(have_.at, want_.at, want_.len); \
	} while (0)

#endif
