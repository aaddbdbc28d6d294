/*
 * Every link is held back from its greeting on, until it teaches or the lesson
 * is over: one that comes up just then would otherwise be forgotten, and held
 * for as long as it lives.
 */
#include "flood/teach.h"

#include <assert.h>

void
teach_newcomer(struct teach *t)
{
	*t = (struct teach){.is_newcomer = true};
}

void
teach_greeted(struct teach *t, struct link *l)
{
	if (t->is_newcomer)
		link_hold_back(l, true);
}

static void
ask(struct link *l)
{
	link_hold_back(l, false);
	link_compare(l);
}

static void
begin_lesson(struct teach *t, unsigned int i, int64_t now_ns)
{
	t->teacher = t->up[i].link;
	t->taught = 0;
	t->taught_ns = now_ns;
	t->up[i].was_asked = true;
	ask(t->teacher);
}

/* False: all who are up have been asked. */
static bool
next_teacher(struct teach *t, int64_t now_ns)
{
	t->teacher = NULL;
	for (unsigned int i = 0; i < t->count; i++) {
		if (t->up[i].was_asked)
			continue;
		begin_lesson(t, i, now_ns);
		return true;
	}
	return false;
}

/* The lesson is over: the others are asked for what they have beyond it. */
static void
graduate(struct teach *t)
{
	t->is_newcomer = false;
	t->teacher = NULL;
	for (unsigned int i = 0; i < t->count; i++)
		if (!t->up[i].was_asked)
			ask(t->up[i].link);
	t->count = 0;
}

void
teach_up(struct teach *t, struct link *l, int64_t now_ns)
{
	if (!t->is_newcomer) {
		link_hold_back(l, false); /* it was greeted while there was a lesson */
		return;
	}
	assert(t->count < CHANGES_PEERS); /* a link that is up has a number in the replica */
	t->up[t->count].link = l;
	t->up[t->count++].was_asked = false;
	if (!t->teacher)
		begin_lesson(t, t->count - 1, now_ns);
}

void
teach_lost(struct teach *t, struct link *l, int64_t now_ns)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < t->count; i++)
		if (t->up[i].link != l)
			t->up[kept++] = t->up[i];
	t->count = kept;
	if (t->is_newcomer && t->teacher == l)
		(void)next_teacher(t, now_ns); /* nobody: whoever comes up next */
}

void
teach_tick(struct teach *t, int64_t now_ns)
{
	uint64_t taught;
	bool is_over;

	if (!t->is_newcomer || !t->teacher)
		return;
	is_over = !link_is_comparing(t->teacher);
	taught = link_figures(t->teacher)->fixes_in;
	if (is_over ? taught > 0 : taught > t->taught) {
		t->taught = taught;
		t->taught_ns = now_ns;
		if (is_over)
			graduate(t);
	} else if (is_over || now_ns - t->taught_ns > TEACH_PATIENCE_NS) {
		if (!next_teacher(t, now_ns))
			graduate(t); /* whoever comes next is asked as usual */
	}
}
