#ifndef TEST_LINK_UNIT_H
#define TEST_LINK_UNIT_H
/* What the unit tests of links share: two hosts and a pipe. */
#include "unit.h"

#include <errno.h>

#include "../link-help.h"
#include "flood/link-line.h"

enum { CLIENTS = 256 };

#define TTL_NS (300 * CLOCK_SECOND_NS)
#define NOW_S  (HELP_NOW_NS / CLOCK_SECOND_NS)

/* Receipt times of help_fix() are versions; these are received now. */
#define VERSION(n) (1000 * 1000 * 1000 + (uint64_t)(n))

/* A peer by hand. */
#define ID    "77000000000000000000000000000000"
#define INC   "00000000000000ff"
#define KEY   "0000000000000007"
#define HELLO "HERD 1 herd " ID " " INC " hill ttl=300,key=" KEY "\nRESUME 0000000000000000 0\n"

static inline int
setup(void **state)
{
	struct help_wire *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	help_wire_init(w, CLIENTS, TTL_NS);
	*state = w;
	return 0;
}

static inline int
teardown(void **state)
{
	help_wire_done(*state);
	free(*state);
	return 0;
}

static inline void
hear(struct help_wire *w, unsigned int end, uint32_t from, uint32_t to, uint64_t version)
{
	for (uint32_t n = from; n < to; n++)
		help_hear(w, end, n, VERSION(version));
}

/* Nobody knew of the other; they meet and compare. */
static inline void
meet(struct help_wire *w)
{
	help_dial(w);
	help_talk(w);
	assert_int_equal(link_state(w->end[0].link), LINK_UP);
	assert_int_equal(link_state(w->end[1].link), LINK_UP);
	assert_false(link_is_comparing(w->end[0].link));
	assert_false(link_is_comparing(w->end[1].link));
	assert_true(help_is_level(w));
}

static inline const struct link_figures *
figures(const struct help_wire *w, unsigned int end)
{
	return link_figures(w->end[end].link);
}

/* What one end says to these lines, without another end. */
static inline struct text
say_to(struct help_wire *w, unsigned int end, const char *lines)
{
	struct help_end *e = &w->end[end];
	size_t taken;

	e->taken = link_take(e->link, lines, strlen(lines), &taken, w->now_ns);
	e->piped = link_fill(e->link, e->pipe, sizeof(e->pipe), w->now_ns);
	return (struct text){e->pipe, e->piped};
}

static inline bool
contains(struct text t, const char *what)
{
	return memmem(t.at, t.len, what, strlen(what)) != NULL;
}

#endif
