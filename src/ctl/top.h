#ifndef CTL_TOP_H
#define CTL_TOP_H
/*
 * Top: what a herd is doing, as the difference of two looks at it.
 */
#include "ctl/program.h"
#include "ctl/roster.h"

struct top_sample {
	int64_t posix_ns, age_ns; /* when; age_ns by a clock that is never set */
	bool has_table;
	struct table_info info;
	struct roster roster;
	struct programs helper; /* one, asked for its peers */
};

void top_sample_done(struct top_sample *s);

/* An object of what changed from one sample to the next. */
void top_show(struct writer *w, const struct top_sample *before, const struct top_sample *now);

#endif
