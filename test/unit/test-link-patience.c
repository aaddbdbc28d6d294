/* A link that waits a moment before it passes on what came from others: the peer may say it first. */
#include "link-unit.h"

#define FAR_NS (30 * CLOCK_MSEC_NS) /* one way; its rtt is twice that, of which a third is waited */

/* Both talk, and everything is long on its way. */
static void
talk_far(struct help_wire *w)
{
	for (int turn = 0; turn < 100; turn++) {
		help_drain_both(w);
		for (unsigned int i = 0; i < 2; i++) {
			assert_int_equal(link_tick(w->end[i].link, w->now_ns), 0);
			(void)help_say(w, i);
		}
		w->now_ns += FAR_NS;
		for (unsigned int i = 0; i < 2; i++)
			(void)help_carry(w, i, SIZE_MAX);
	}
}

/* This end hears of the n-th client from somebody else. */
static void
hear_from_a_third(struct help_wire *w, unsigned int end, uint32_t n)
{
	struct replica *r = w->end[end].node->host.replica;
	unsigned int third = 0;
	struct herd_fix fix;

	help_client(&fix, n, VERSION(n), HELP_MEMBER);
	assert_int_equal(replica_open_peer(r, &third), 0);
	assert_int_equal(replica_merge(r, third, &fix, w->now_ns), 0);
	replica_close_peer(r, third);
}

/* Fixes that the end says now. */
static uint64_t
say_fixes(struct help_wire *w, unsigned int end)
{
	const uint64_t before = figures(w, end)->fixes_out;

	(void)help_say(w, end);
	return figures(w, end)->fixes_out - before;
}

/* One end of a far link waits a moment with what it heard from others; it need not say what it hears meanwhile. */
static void
test_patience(void **state)
{
	struct help_wire *w = *state;
	unsigned int patient;

	help_dial(w);
	talk_far(w);
	assert_int_equal(link_rtt_ns(w->end[0].link), 2 * FAR_NS);
	assert_int_equal(link_rtt_ns(w->end[1].link), 2 * FAR_NS);
	hear_from_a_third(w, 0, 1);
	hear_from_a_third(w, 1, 2);
	patient = say_fixes(w, 0) == 0 ? 0 : 1;
	assert_int_equal(say_fixes(w, 1), patient == 1 ? 0 : 1);
	assert_int_equal(link_waits_ns(w->end[patient].link, w->now_ns), 2 * FAR_NS / 3);
	assert_int_equal(link_waits_ns(w->end[!patient].link, w->now_ns), 0);
	w->now_ns += 2 * FAR_NS / 3 - 1;
	assert_int_equal(say_fixes(w, patient), 0);
	w->now_ns += 1;
	assert_int_equal(link_waits_ns(w->end[patient].link, w->now_ns), 0);
	assert_int_equal(say_fixes(w, patient), 1);
	talk_far(w);
	assert_true(help_is_level(w));

	hear_from_a_third(w, 0, 3);
	hear_from_a_third(w, 1, 3);
	assert_int_equal(say_fixes(w, patient), 0);
	assert_int_equal(say_fixes(w, !patient), 1);
	(void)help_carry(w, !patient, SIZE_MAX);
	w->now_ns += FAR_NS;
	assert_int_equal(say_fixes(w, patient), 0);
	assert_int_equal(link_waits_ns(w->end[patient].link, w->now_ns), 0);
}

/* What a member here was told is told at once, and all that waits before it. */
static void
test_no_patience_with_own(void **state)
{
	struct help_wire *w = *state;

	help_dial(w);
	talk_far(w);
	for (unsigned int i = 0; i < 2; i++) {
		hear_from_a_third(w, i, 10 + i);
		(void)help_say(w, i);
		help_hear(w, i, 20 + i, VERSION(20));
	}
	help_drain_both(w);
	assert_int_equal(say_fixes(w, 0) + say_fixes(w, 1), 3);
	assert_int_equal(figures(w, 0)->fixes_out, figures(w, 1)->fixes_out);
}

/* Busy hosts answer late, which does not make them far. */
static void
test_no_patience_while_busy(void **state)
{
	struct help_wire *w = *state;

	meet(w);
	for (int turn = 0; turn < 10; turn++) {
		help_pass(w, 3 * CLOCK_SECOND_NS);
		(void)help_say(w, 0);
		w->now_ns += FAR_NS;
		help_talk(w);
	}
	for (unsigned int i = 0; i < 2; i++) {
		hear_from_a_third(w, i, 1 + i);
		assert_int_equal(say_fixes(w, i), 1);
	}
}

/* Near links do not wait. */
static void
test_no_patience_nearby(void **state)
{
	struct help_wire *w = *state;

	meet(w);
	for (unsigned int i = 0; i < 2; i++) {
		hear_from_a_third(w, i, 1 + i);
		assert_int_equal(say_fixes(w, i), 1);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_patience),
		T(test_no_patience_with_own),
		T(test_no_patience_while_busy),
		T(test_no_patience_nearby),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
