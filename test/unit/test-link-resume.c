/*
 * Helpers that meet, and meet again: what they compare, what they go on from,
 * and that what is confirmed or remembered is so.
 */
#include "link-unit.h"

/* --- meeting -------------------------------------------------------------------- */

static void
test_two_empty_hosts_meet(void **state)
{
	struct help_wire *w = *state;

	meet(w);
	assert_int_equal(w->end[0].resyncs, 1);
	assert_int_equal(w->end[1].resyncs, 1);
	assert_int_equal(w->end[0].resync_lines, 0);
	/* HERD, RESUME, PING, PONG, SEQ, ROOT against the same with DONE. */
	assert_true(figures(w, 0)->lines_out <= 6 && figures(w, 1)->lines_out <= 6);
	assert_true(link_rtt_ns(w->end[0].link) >= 0);
}

static void
test_same_fixes_cost_one_line(void **state)
{
	struct help_wire *w = *state;

	hear(w, 0, 0, 100, 1);
	hear(w, 1, 0, 100, 1);
	help_drain_both(w);
	meet(w);
	assert_int_equal(w->end[0].resync_lines, 0);
	assert_int_equal(figures(w, 0)->fixes_out + figures(w, 1)->fixes_out, 0);
	assert_true(figures(w, 0)->bytes_out < 300);
}

static void
test_all_few_and_one_differing(void **state)
{
	struct help_wire *w = *state;

	hear(w, 0, 0, 100, 1); /* all: the other has nothing */
	help_drain_both(w);
	meet(w);
	assert_int_equal(figures(w, 0)->fixes_out, 100);
	assert_int_equal(figures(w, 1)->fixes_out, 0);
	assert_int_equal(figures(w, 1)->duplicates, 0);
	assert_int_equal(link_resync(w->end[1].link)->lines_in, 100);
	assert_int_equal(link_resync(w->end[0].link)->lines_out, 100);
	assert_true(link_resync(w->end[0].link)->ended_ns > 0);
	help_hang_up(w);

	w->end[0].forgets = w->end[1].forgets = true;
	hear(w, 1, 10, 15, 2); /* few, one way, and others the other way */
	hear(w, 0, 20, 22, 2);
	hear(w, 0, 10, 11, 3);
	help_drain_both(w);
	meet(w);
	assert_in_range(figures(w, 0)->fixes_out, 3, 12); /* what shares their buckets is told, too */
	assert_in_range(figures(w, 1)->fixes_out, 4, 12);
	assert_int_equal(link_resync(w->end[0].link)->buckets, link_resync(w->end[1].link)->buckets);
	help_hang_up(w);

	hear(w, 1, 200, 201, 2); /* one */
	help_drain_both(w);
	meet(w);
	assert_in_range(figures(w, 1)->fixes_out, 1, 3);
	assert_int_equal(link_resync(w->end[0].link)->buckets, 1);
	assert_int_equal(figures(w, 0)->resyncs, 1);
}

/* What changes while they compare goes its own way, and nothing is lost between the two. */
static void
test_changes_while_comparing(void **state)
{
	struct help_wire *w = *state;

	hear(w, 0, 0, 200, 1);
	hear(w, 1, 100, 250, 2);
	help_drain_both(w);
	help_dial(w);
	w->chunk = 700;
	for (uint32_t n = 0; n < 250; n++) {
		for (unsigned int i = 0; i < 2; i++) {
			(void)help_say(w, i);
			(void)help_carry(w, i, w->chunk);
		}
		help_hear(w, n % 2, n, VERSION(3));
		assert_int_equal(help_drain(&w->end[n % 2].node->host, w->now_ns), 0);
	}
	help_talk(w);
	assert_true(help_is_level(w));
	assert_false(link_is_comparing(w->end[0].link) || link_is_comparing(w->end[1].link));
	assert_int_equal(replica_count(w->end[0].node->host.replica), 250);
}

/* --- resuming --------------------------------------------------------------------- */

/* Every line said by an end in its pipe begins with one of these verbs. */
static bool
said_only(const struct help_wire *w, unsigned int end, const char *verbs)
{
	const char *at = w->end[end].pipe, *stop = at + w->end[end].piped;

	while (at < stop) {
		char verb[16] = "";

		for (unsigned int i = 0; i < 12 && at[i] != ' ' && at[i] != '\n'; i++)
			verb[i] = at[i];
		if (!strstr(verbs, verb))
			return false;
		at = (const char *)memchr(at, '\n', (size_t)(stop - at)) + 1;
	}
	return true;
}

static void
test_resume_is_exact(void **state)
{
	struct help_wire *w = *state;

	hear(w, 0, 0, 100, 1);
	help_drain_both(w);
	meet(w);
	hear(w, 0, 0, 5, 2);
	hear(w, 1, 50, 53, 2);
	help_talk(w);
	assert_true(help_is_level(w));
	assert_int_equal(w->end[1].memory.incarnation, 0x1000);
	assert_int_equal(w->end[1].memory.seq, replica_sequence(w->end[0].node->host.replica));
	help_hang_up(w);

	hear(w, 0, 60, 64, 3);
	hear(w, 1, 70, 72, 3);
	hear(w, 1, 70, 72, 4); /* the newest only */
	help_drain_both(w);
	help_dial(w);
	for (unsigned int turn = 0; turn < 4; turn++)
		for (unsigned int i = 0; i < 2; i++) {
			(void)help_say(w, i);
			assert_true(said_only(w, i, "HERD RESUME PING PONG AT SEQ ACK"));
			(void)help_carry(w, i, SIZE_MAX);
		}
	help_talk(w);
	assert_true(help_is_level(w));
	assert_int_equal(figures(w, 0)->fixes_out, 4);
	/* What was told by the other and not told since may come back to it once: it may have missed it. */
	assert_int_equal(figures(w, 1)->fixes_out, 2);
	assert_false(link_is_comparing(w->end[0].link) || link_is_comparing(w->end[1].link));
	assert_int_equal(w->end[0].resyncs, 1);
}

static void
test_a_restarted_host_is_compared_with(void **state)
{
	struct help_wire *w = *state;

	hear(w, 0, 0, 100, 1);
	help_drain_both(w);
	meet(w);
	help_hang_up(w);
	/* The table stays, the numbers do not. */
	assert_int_equal(help_replica(&w->end[0].node->host, TTL_NS, w->now_ns), 0);
	w->end[0].node->self.incarnation++;
	w->end[0].memory = (struct link_memory){0};
	hear(w, 0, 100, 103, 1);
	hear(w, 1, 110, 112, 1);
	help_drain_both(w);
	meet(w);
	assert_in_range(figures(w, 0)->fixes_out, 3, 6);
	assert_in_range(figures(w, 1)->fixes_out, 2, 5);
	assert_int_equal(w->end[1].memory.incarnation, 0x1001);
	assert_int_equal(w->end[1].resyncs, 2);
}

/* One remembers, the other does not: compared, and told what it missed besides. */
static void
test_one_remembers(void **state)
{
	struct help_wire *w = *state;

	hear(w, 0, 0, 50, 1);
	hear(w, 1, 50, 100, 1);
	help_drain_both(w);
	meet(w);
	help_hang_up(w);
	w->end[0].memory = (struct link_memory){0};
	hear(w, 0, 0, 10, 2);
	hear(w, 1, 90, 100, 2);
	help_drain_both(w);
	meet(w);
	assert_int_equal(figures(w, 0)->fixes_out, 10);
	assert_in_range(figures(w, 1)->fixes_out, 10, 20);
	assert_int_equal(w->end[0].memory.incarnation, 0x1001);
}

static void
on_wake(void *arg, const char *name)
{
	(void)arg;
	(void)name;
}

/* What members of this end changed is confirmed, up to this round. */
static bool
is_confirmed(struct help_wire *w, unsigned int end, uint64_t round)
{
	replica_confirm(w->end[end].node->host.replica, on_wake, NULL);
	return table_confirmed_round(w->end[end].node->host.member) >= round;
}

/* The other end holds each fix of this one, or a newer one. */
static bool
is_with_other(struct help_wire *w, unsigned int end)
{
	uint64_t cursor = 0;
	struct herd_fix fix, other;

	while (table_next(w->end[end].node->host.member, &cursor, w->now_ns, &fix, NULL) == 0)
		if (help_find(w->end[!end].node->host.member, (struct text){fix.id, fix.id_len}, w->now_ns,
			      &other) != 0 ||
		    other.rx_ns < fix.rx_ns)
			return false;
	return true;
}

/* Carries a few bytes at a time, and looks after each step: what is confirmed is with the other end. */
static void
talk_and_watch(struct help_wire *w, const uint64_t round[2])
{
	for (unsigned int idle = 0; idle < 200; idle++) {
		for (unsigned int i = 0; i < 2; i++) {
			(void)help_say(w, i);
			if (help_carry(w, i, w->chunk + idle * 100))
				idle = 0;
			assert_true(!is_confirmed(w, i, round[i]) || is_with_other(w, i));
		}
		w->now_ns += CLOCK_MSEC_NS;
	}
}

/* Members wait for it: each fix of before the link, too, is confirmed, and none before its time. */
static void
check_confirmed(struct help_wire *w)
{
	uint64_t round[2];

	for (unsigned int i = 0; i < 2; i++) {
		replica_set_ack_after(w->end[i].node->host.replica, 1);
		round[i] = table_next_round(w->end[i].node->host.member);
	}
	help_drain_both(w);
	for (unsigned int i = 0; i < 2; i++)
		assert_false(is_confirmed(w, i, round[i]));
	w->chunk = 50;
	help_dial(w);
	talk_and_watch(w, round);
	assert_true(help_is_level(w));
	for (unsigned int i = 0; i < 2; i++) {
		assert_true(is_confirmed(w, i, round[i]));
		help_hear(w, i, 200 + i, VERSION(9));
		round[i] = table_next_round(w->end[i].node->host.member);
	}
	help_drain_both(w);
	talk_and_watch(w, round);
	for (unsigned int i = 0; i < 2; i++)
		assert_true(is_confirmed(w, i, round[i]));
}

static void
test_confirmed_after_an_exchange(void **state)
{
	struct help_wire *w = *state;

	hear(w, 0, 0, 30, 1);
	hear(w, 1, 20, 60, 2);
	check_confirmed(w);
}

static void
test_confirmed_when_equal(void **state)
{
	struct help_wire *w = *state;

	hear(w, 0, 0, 30, 1);
	hear(w, 1, 0, 30, 1);
	check_confirmed(w);
}

static void
test_confirmed_when_all_is_told(void **state)
{
	struct help_wire *w = *state;

	w->end[0].node->self.ttl_s++;
	hear(w, 0, 0, 30, 1);
	hear(w, 1, 20, 60, 2);
	check_confirmed(w);
}

/* As many fixes later, and no time: has the other end said that it has them all? */
static bool
is_acknowledged(struct help_wire *w, uint32_t from, uint32_t to)
{
	hear(w, 0, from, to, 1);
	help_talk(w);
	return link_acknowledged(w->end[0].link) == replica_sequence(w->end[0].node->host.replica);
}

static void
test_who_waits_asks(void **state)
{
	struct help_wire *w = *state;
	struct table *member = w->end[0].node->host.member;

	meet(w);
	help_pass(w, CLOCK_SECOND_NS);
	/* Nobody waits: one ACK, and the next when it is time. */
	(void)is_acknowledged(w, 0, 1);
	assert_false(is_acknowledged(w, 1, 2));
	/* Somebody waits, but not for peers; then for them, and for what was told before as well. */
	table_set_waiting(member, true);
	assert_false(is_acknowledged(w, 2, 3));
	replica_set_ack_after(w->end[0].node->host.replica, 1);
	assert_true(is_acknowledged(w, 3, 3));
	for (uint32_t n = 3; n < 20; n++)
		assert_true(is_acknowledged(w, n, n + 1));
	/* Nothing is asked twice. */
	assert_false(link_wants_out(w->end[0].link, w->now_ns) || link_wants_out(w->end[1].link, w->now_ns));
	table_set_waiting(member, false);
	assert_false(is_acknowledged(w, 20, 21));
	help_pass(w, LINK_ACK_NS);
	assert_true(is_acknowledged(w, 21, 21));
}

/* A helper that never heard of ASK is not told one. */
static void
test_who_cannot_be_asked(void **state)
{
	struct help_wire *w = *state;
	struct text said;

	table_set_waiting(w->end[0].node->host.member, true);
	replica_set_ack_after(w->end[0].node->host.replica, 1);
	help_dial(w);
	(void)say_to(w, 0, HELLO);
	hear(w, 0, 0, 1, 1);
	assert_int_equal(help_drain(&w->end[0].node->host, w->now_ns), 0);
	said = say_to(w, 0, "");
	assert_true(contains(said, "\nSEQ 1\n"));
	assert_false(contains(said, "ASK "));
	assert_false(link_wants_out(w->end[0].link, w->now_ns));
}

/* What a SEQ says is the truth after every byte: cut anywhere, resumed, and all is there without a comparison
   of what was once compared. */
static void
cut_after(uint64_t bytes, unsigned int from)
{
	struct help_wire *w = calloc(1, sizeof(*w));
	bool resumed;

	assert_non_null(w);
	help_wire_init(w, 64, TTL_NS);
	hear(w, 0, 0, 6, 1);
	hear(w, 1, 3, 8, 2);
	help_drain_both(w);
	w->cut[from] = bytes;
	help_dial(w);
	help_talk(w);
	hear(w, 0, 0, 2, 3);
	hear(w, 1, 6, 9, 4);
	help_talk(w);
	w->now_ns += LINK_ACK_NS;
	help_talk(w);
	for (unsigned int i = 0; i < 2; i++) {
		const struct help_end *e = &w->end[i], *other = &w->end[!i];

		assert_true(e->taken == 0);
		assert_true(link_acknowledged(e->link) <= replica_sequence(e->node->host.replica));
		assert_true(other->memory.incarnation == 0 ||
			    link_acknowledged(e->link) <= other->memory.seq);
	}
	resumed = w->end[0].memory.incarnation && w->end[1].memory.incarnation;
	w->cut[from] = UINT64_MAX;
	help_dial(w);
	help_talk(w);
	assert_true(help_is_level(w));
	if (resumed)
		assert_int_equal(figures(w, 0)->resyncs, 0);
	help_wire_done(w);
	free(w);
}

static void
test_cut_at_every_byte(void **state)
{
	for (unsigned int from = 0; from < 2; from++) {
		struct help_wire *w = calloc(1, sizeof(*w));
		uint64_t said;

		assert_non_null(w);
		help_wire_init(w, 64, TTL_NS);
		hear(w, 0, 0, 6, 1);
		hear(w, 1, 3, 8, 2);
		help_drain_both(w);
		meet(w);
		said = w->end[from].said + 600;
		help_wire_done(w);
		free(w);
		for (uint64_t bytes = 0; bytes < said; bytes += 1 + bytes % 2)
			cut_after(bytes, from);
	}
	(void)state;
}

/* They are of what another link said. */
static size_t
copy_without_acks(char *out, const char *at, size_t len)
{
	const char *end = at + len;
	char *start = out;

	while (at < end) {
		size_t line = (size_t)((const char *)memchr(at, '\n', (size_t)(end - at)) + 1 - at);

		if (memcmp(at, "ACK ", 4) != 0) {
			memcpy(out, at, line);
			out += line;
		}
		at += line;
	}
	return (size_t)(out - start);
}

/* The same bytes in every two pieces, and one by one. */
static void
test_every_split(void **state)
{
	struct help_wire *w = *state;
	static char said[HELP_PIPE];
	size_t len = 0, taken;
	struct help_end *e = &w->end[1];

	/* What host 0 says to a host that is empty and answers by heart. */
	hear(w, 0, 0, 5, 1);
	help_drain_both(w);
	help_dial(w);
	for (unsigned int turn = 0; turn < 8; turn++) {
		(void)help_say(w, 0);
		len += copy_without_acks(said + len, w->end[0].pipe, w->end[0].piped);
		(void)help_carry(w, 0, SIZE_MAX);
		(void)help_say(w, 1);
		(void)help_carry(w, 1, SIZE_MAX);
	}
	assert_true(help_is_level(w));
	help_hang_up(w);
	for (size_t split = 0; split <= len; split++) {
		e->memory = (struct link_memory){0};
		help_dial(w);
		e->taken = link_take(e->link, said, split, &taken, w->now_ns);
		assert_int_equal(e->taken, 0);
		assert_true(taken <= split);
		e->taken = link_take(e->link, said + taken, len - taken, &taken, w->now_ns);
		assert_int_equal(e->taken, 0);
		assert_int_equal(link_figures(e->link)->bytes_in, len);
		assert_int_equal(link_figures(e->link)->fixes_in, 5);
	}
	w->chunk = 1;
	e->memory = w->end[0].memory = (struct link_memory){0};
	meet(w);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_two_empty_hosts_meet),
		T(test_same_fixes_cost_one_line),
		T(test_all_few_and_one_differing),
		T(test_changes_while_comparing),
		T(test_resume_is_exact),
		T(test_a_restarted_host_is_compared_with),
		T(test_one_remembers),
		T(test_confirmed_after_an_exchange),
		T(test_confirmed_when_equal),
		T(test_confirmed_when_all_is_told),
		T(test_who_waits_asks),
		T(test_who_cannot_be_asked),
		T(test_cut_at_every_byte),
		T(test_every_split),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
