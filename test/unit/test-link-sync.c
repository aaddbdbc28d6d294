/*
 * Comparing while a link is up: what is no difference, what is, and what a peer
 * can make of it.
 */
#include "link-unit.h"

/* --- comparing while they are up ------------------------------------------------------- */

static void
test_a_root_each_minute(void **state)
{
	struct help_wire *w = *state;
	uint64_t before, pings;

	hear(w, 0, 0, 100, 1);
	hear(w, 1, 0, 100, 1);
	help_drain_both(w);
	meet(w);
	help_pass(w, 10 * CLOCK_SECOND_NS);
	before = w->end[0].said + w->end[1].said;
	help_pass(w, 120 * CLOCK_SECOND_NS);
	pings = 60 * 2 * 60; /* at most */
	assert_true(w->end[0].said + w->end[1].said - before < pings + 4 * 100);
	assert_int_equal(figures(w, 0)->resyncs + figures(w, 1)->resyncs, 0);
	assert_int_equal(w->end[0].resyncs + w->end[1].resyncs, 2);
	assert_int_equal(w->end[0].divergences + w->end[1].divergences, 0);
}

/* From when a link is up until one of the two asks again whether they hold the same. */
static int64_t
until_root_ns(struct help_wire *w)
{
	char *said = NULL;
	size_t len = 0;
	int64_t began_ns;
	bool asked = false;

	meet(w);
	began_ns = w->now_ns;
	w->transcript = open_memstream(&said, &len);
	assert_non_null(w->transcript);
	while (!asked && w->now_ns - began_ns < 80 * CLOCK_SECOND_NS) {
		help_pass(w, CLOCK_SECOND_NS);
		assert_int_equal(fflush(w->transcript), 0);
		asked = strstr(said, " ROOT ") != NULL;
	}
	fclose(w->transcript);
	w->transcript = NULL;
	free(said);
	assert_true(asked);
	return w->now_ns - began_ns;
}

/* Links that began together do not compare together. */
static void
test_roots_are_spread(void **state)
{
	struct help_wire *w = *state;
	int64_t least_ns = INT64_MAX, most_ns = 0;

	for (unsigned int i = 0; i < 8; i++) {
		int64_t ns;

		w->end[0].node->self.incarnation += 1000;
		w->end[1].node->self.incarnation += 1000;
		ns = until_root_ns(w);
		assert_true(ns >= 45 * CLOCK_SECOND_NS);
		least_ns = ns < least_ns ? ns : least_ns;
		most_ns = ns > most_ns ? ns : most_ns;
		help_hang_up(w);
	}
	assert_true(most_ns - least_ns > 8 * CLOCK_SECOND_NS);
}

/* Takes a fix out of a host's table as nothing ever should: it tells nobody. */
static void
lose(struct help_wire *w, unsigned int end)
{
	struct help_node *node = w->end[end].node;

	/* Another table in its place, without the fix: as if it had come to all but this one. */
	help_hang_up(w);
	help_host_done(&node->host);
	assert_int_equal(help_host_init(&node->host, CLIENTS, TTL_NS), 0);
}

static void
test_a_later_difference_is_found_and_said(void **state)
{
	struct help_wire *w = *state;
	struct link_memory memory;

	hear(w, 0, 0, 100, 1);
	hear(w, 1, 0, 100, 1);
	help_drain_both(w);
	meet(w);
	/* The other one believes that it had everything: resumed, and still different. */
	memory = w->end[1].memory;
	memory.seq = replica_sequence(w->end[0].node->host.replica);
	lose(w, 1);
	w->end[1].memory = memory;
	w->end[0].memory = (struct link_memory){w->end[1].node->self.incarnation, 0};
	help_dial(w);
	help_talk(w);
	assert_false(help_is_level(w));
	assert_false(link_is_comparing(w->end[0].link) || link_is_comparing(w->end[1].link));
	help_pass(w, 40 * CLOCK_SECOND_NS);
	assert_false(help_is_level(w));
	help_pass(w, 60 * CLOCK_SECOND_NS);
	assert_true(help_is_level(w));
	assert_int_equal(w->end[1].divergences, 1);
	assert_int_equal(w->end[0].divergences, 0); /* it missed nothing */
	assert_true(link_resync(w->end[1].link)->diverged);
	assert_int_equal(figures(w, 0)->resyncs, 1);
	assert_int_equal(figures(w, 0)->resync_lines, 100);
	help_pass(w, 200 * CLOCK_SECOND_NS);
	assert_int_equal(figures(w, 0)->resyncs, 1);
}

/* Under way all the time: never a difference. */
static void
test_changes_in_flight_are_no_difference(void **state)
{
	struct help_wire *w = *state;
	uint64_t random = random_seed(3);

	hear(w, 0, 0, 100, 1);
	hear(w, 1, 0, 100, 1);
	help_drain_both(w);
	meet(w);
	for (unsigned int i = 0; i < 4000; i++) {
		w->now_ns += 50 * CLOCK_MSEC_NS;
		for (unsigned int k = 0; k < 2; k++) {
			help_hear(w, k, (uint32_t)random_below(&random, 100),
				  VERSION((uint64_t)(w->now_ns - HELP_NOW_NS) / 1000 + k));
			assert_int_equal(help_drain(&w->end[k].node->host, w->now_ns), 0);
			assert_int_equal(link_tick(w->end[k].link, w->now_ns), 0);
		}
		/* What is said arrives half a second later. */
		for (unsigned int k = 0; k < 2; k++) {
			(void)help_say(w, k);
			if (i % 10 == 0)
				while (help_carry(w, k, SIZE_MAX))
					;
		}
	}
	assert_int_equal(w->end[0].divergences + w->end[1].divergences, 0);
	assert_int_equal(figures(w, 0)->resync_lines + figures(w, 1)->resync_lines, 0);
	assert_int_equal(figures(w, 0)->ignored + figures(w, 1)->ignored, 0);
	help_talk(w);
	assert_true(help_is_level(w));
}

static void
choose_clients(const struct help_wire *w, uint32_t *client, unsigned int count)
{
	unsigned int chosen = 0;

	for (uint32_t n = 0; chosen < count; n++) {
		struct digest_part part;
		struct herd_fix fix;

		help_client(&fix, n, 1, HELP_MEMBER);
		digest_part_of(replica_digest(w->end[0].node->host.replica), &fix, &part);
		if (digest_part_bucket(&part) / DIGEST_BUCKETS < 2)
			client[chosen++] = n;
	}
}

/* Seldom and of many clients, and under way for almost a second: one of the two always knows of more, and what it
   knows more of is all that changed lately. */
static void
test_slow_changes_are_no_difference(void **state)
{
	struct help_wire *w = *state;
	unsigned int digs = 0;
	uint32_t client[100];

	/* Of two groups, so that a difference found in one brings the others' clients under the eye. */
	choose_clients(w, client, ELEMENTS(client));
	for (unsigned int i = 0; i < 2 * ELEMENTS(client); i++)
		help_hear(w, i % 2, client[i / 2], VERSION(1));
	help_drain_both(w);
	meet(w);
	for (unsigned int i = 0; i < 40000; i++) {
		const unsigned int end = i / 7 % 2;

		w->now_ns += 50 * CLOCK_MSEC_NS;
		if (i % 7 == 0)
			help_hear(w, end, client[i / 7 % ELEMENTS(client)],
				  VERSION((uint64_t)(w->now_ns - HELP_NOW_NS) / 1000));
		assert_int_equal(help_drain(&w->end[end].node->host, w->now_ns), 0);
		for (unsigned int k = 0; k < 2; k++) {
			assert_int_equal(link_tick(w->end[k].link, w->now_ns), 0);
			(void)help_say(w, k);
			digs += i % 18 == k * 9 &&
				contains((struct text){w->end[k].pipe, w->end[k].piped}, "\nDIG ");
			while (i % 18 == k * 9 && help_carry(w, k, SIZE_MAX))
				;
		}
	}
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(figures(w, i)->resync_lines, 0);
		assert_int_equal(w->end[i].divergences, 0);
	}
	assert_true(digs > 5); /* they did look */
}

/* Both ask at once, and what one hears meanwhile makes one find equal what the other finds different. The answer to
   the one question is not the end of what the other began. */
static void
test_questions_that_cross(void **state)
{
	struct help_wire *w = *state;
	const char *lf;

	hear(w, 0, 0, 30, 1);
	hear(w, 1, 0, 30, 1);
	help_drain_both(w);
	meet(w);
	for (unsigned int i = 0; i < 2; i++) {
		link_compare(w->end[i].link);
		(void)help_say(w, i);
		assert_true(contains((struct text){w->end[i].pipe, w->end[i].piped}, "ROOT "));
	}
	hear(w, 0, 30, 31, 1);
	assert_int_equal(help_drain(&w->end[0].node->host, w->now_ns), 0);
	(void)help_carry(w, 1, SIZE_MAX);
	lf = memchr(w->end[0].pipe, '\n', w->end[0].piped);
	assert_non_null(lf);
	(void)help_say(w, 0);
	assert_true(contains((struct text){w->end[0].pipe, w->end[0].piped}, "GRP "));
	(void)help_carry(w, 0, (size_t)(lf + 1 - w->end[0].pipe));
	(void)help_say(w, 1);
	assert_true(contains((struct text){w->end[1].pipe, w->end[1].piped}, "SAME "));
	(void)help_carry(w, 1, SIZE_MAX);
	(void)help_say(w, 0);
	help_talk(w);
	assert_true(help_is_level(w));
	for (unsigned int i = 0; i < 2; i++)
		assert_false(link_is_comparing(w->end[i].link));
}

static void
test_expiry_is_no_difference(void **state)
{
	struct help_wire *w = *state;

	for (uint32_t n = 0; n < 100; n++)
		for (unsigned int i = 0; i < 2; i++)
			help_hear(w, i, n, VERSION(n * 1000000)); /* a second apart */
	w->now_ns += 100 * CLOCK_SECOND_NS;
	help_drain_both(w);
	meet(w);
	for (unsigned int second = 0; second < 500; second++) {
		help_pass(w, CLOCK_SECOND_NS);
		/* One sweeps, and so forgets what expired, and much later than it did. */
		if (second % 50 == 0) {
			assert_int_equal(help_sweep(w->end[0].node->host.helper, w->now_ns), 0);
			assert_int_equal(help_compare(&w->end[0].node->host, w->now_ns), 0);
		}
	}
	assert_int_equal(figures(w, 0)->resyncs + figures(w, 1)->resyncs, 0);
	assert_int_equal(figures(w, 0)->fixes_in + figures(w, 1)->fixes_in, 0);
	/* Nor is it when they meet again. */
	w->end[0].forgets = w->end[1].forgets = true;
	help_dial(w);
	help_talk(w);
	assert_int_equal(figures(w, 0)->fixes_out + figures(w, 1)->fixes_out, 0);
}

/* One is too small for all: it evicts, and is not told again and again what it cannot keep. */
static void
test_eviction_is_no_difference(void **state)
{
	struct help_wire *w = *state;
	struct help_node small;
	struct help_wire *v = calloc(1, sizeof(*v));
	uint64_t told;

	assert_non_null(v);
	help_node_init(&small, 5, 64, TTL_NS);
	help_wire_between(v, w->end[0].node, &small);
	for (uint32_t n = 0; n < 250; n++)
		help_hear(w, 0, n, VERSION(n * 200000));
	help_drain_both(v);
	v->now_ns += 50 * CLOCK_SECOND_NS;
	help_dial(v);
	help_talk(v);
	told = figures(v, 0)->fixes_out;
	assert_true(told <= 500);
	assert_int_equal(help_compare(&small.host, v->now_ns), 0);
	help_pass(v, 40 * CLOCK_SECOND_NS);
	told = figures(v, 0)->fixes_out + figures(v, 1)->fixes_out;
	help_pass(v, 200 * CLOCK_SECOND_NS);
	/* At most one bucket at the edge. */
	assert_true(figures(v, 0)->fixes_out + figures(v, 1)->fixes_out - told < 10);
	assert_int_equal(v->end[0].divergences + v->end[1].divergences, 0);
	help_hang_up(v);
	help_node_done(&small);
	free(v);
}

/* A fix from the future comes by itself when its time has come. */
static void
test_parked_fixes_are_offered_again(void **state)
{
	struct help_wire *w = *state;

	meet(w);
	/* Heard by a member whose clock is ahead; the helpers' are right. It may be merged after five seconds, and is
	   offered again much later, when it looks old: no divergence. */
	help_hear(w, 0, 1, VERSION(25 * 1000 * 1000));
	help_pass(w, 20 * CLOCK_SECOND_NS);
	assert_false(help_is_level(w));
	assert_int_equal(replica_figures(w->end[1].node->host.replica)->parked, 1);
	help_pass(w, 200 * CLOCK_SECOND_NS);
	assert_true(help_is_level(w));
	assert_int_equal(replica_count(w->end[1].node->host.replica), 1);
	assert_int_equal(w->end[0].divergences + w->end[1].divergences, 0);
}

/* Other fix-ttl, or another key: sums say nothing, so everything is told, both ways, and resumed later. */
static void
test_who_cannot_compare(void **state)
{
	struct help_wire *w = *state;

	w->end[1].node->self.key_check = 8;
	hear(w, 0, 0, 100, 1);
	hear(w, 1, 50, 150, 2);
	help_drain_both(w);
	help_dial(w);
	(void)help_say(w, 0);
	(void)help_carry(w, 0, SIZE_MAX);
	(void)help_say(w, 1);
	(void)help_carry(w, 1, SIZE_MAX);
	assert_true(link_is_comparing(w->end[0].link));
	help_talk(w);
	assert_true(help_is_level(w));
	assert_false(link_is_comparing(w->end[0].link) || link_is_comparing(w->end[1].link));
	assert_int_equal(w->end[0].resyncs, 1);
	assert_int_equal(w->end[1].resyncs, 1);
	assert_in_range(figures(w, 0)->fixes_out, 50, 100);
	assert_int_equal(w->end[0].memory.incarnation, 0x1001);
	help_pass(w, 300 * CLOCK_SECOND_NS);
	assert_int_equal(figures(w, 0)->ignored + figures(w, 1)->ignored, 0);
	help_dial(w);
	help_talk(w);
	assert_int_equal(figures(w, 0)->fixes_out + figures(w, 1)->fixes_out, 0);
	assert_int_equal(w->end[0].resyncs, 1);
	assert_false(link_is_comparing(w->end[0].link));
}

/* One that lost what it had told gets it back from whom it told. */
static void
check_forgot(struct help_wire *w, unsigned int end)
{
	struct help_host *h = &w->end[end].node->host;

	meet(w);
	hear(w, 0, 0, 20, 1);
	hear(w, 1, 20, 40, 1);
	help_talk(w);
	assert_true(help_is_level(w));
	help_pass(w, 20 * CLOCK_SECOND_NS);
	/* As a damaged segment is replaced by an empty one. */
	assert_int_equal(help_sweep(h->helper, w->now_ns + 2 * TTL_NS), 0);
	assert_int_equal(help_compare(h, w->now_ns), 0);
	assert_int_equal(replica_count(h->replica), 0);
	help_pass(w, 100 * CLOCK_SECOND_NS);
	assert_int_equal(replica_count(h->replica), 40);
	assert_true(help_is_level(w));
	assert_int_equal(w->end[end].divergences, 1);
}

static void
test_the_first_forgot(void **state)
{
	check_forgot(*state, 0);
}

static void
test_the_second_forgot(void **state)
{
	check_forgot(*state, 1);
}

/* --- a newcomer -------------------------------------------------------------------------- */

static void
pass_all(struct help_wire *w[], unsigned int count, int64_t ns)
{
	const int64_t until_ns = w[0]->now_ns + ns;

	for (; w[0]->now_ns < until_ns;) {
		const int64_t now_ns = w[0]->now_ns + 100 * CLOCK_MSEC_NS;

		for (unsigned int i = 0; i < count; i++) {
			w[i]->now_ns = now_ns - 100 * CLOCK_MSEC_NS;
			help_pass(w[i], 100 * CLOCK_MSEC_NS);
		}
	}
}

static void
test_one_teacher(void **state)
{
	struct help_wire *v = calloc(2, sizeof(*v));
	struct help_wire *wires[] = {v, v + 1};
	struct help_node node[3];

	(void)state;
	assert_non_null(v);
	for (unsigned int i = 0; i < 3; i++)
		help_node_init(&node[i], i, CLIENTS, TTL_NS);
	help_wire_between(&v[0], &node[0], &node[2]);
	help_wire_between(&v[1], &node[1], &node[2]); /* the newcomer's id is the last: it would not start */
	for (uint32_t n = 0; n < 200; n++) {
		assert_int_equal(help_host_put(&node[0].host, n, VERSION(1)), 0);
		assert_int_equal(help_host_put(&node[1].host, n, VERSION(1)), 0);
	}
	help_drain_both(&v[0]);
	help_drain_both(&v[1]);
	v[1].end[1].holds = true;
	help_dial(&v[1]);
	help_talk(&v[1]); /* the held one is up first, and is asked */
	pass_all(wires + 1, 1, 20 * CLOCK_SECOND_NS);
	assert_int_equal(link_figures(v[1].end[0].link)->fixes_out, 0);
	assert_false(link_is_comparing(v[1].end[1].link));
	v[0].now_ns = v[1].now_ns;
	help_dial(&v[0]);
	help_talk(&v[0]);
	assert_int_equal(link_figures(v[0].end[0].link)->fixes_out, 200);
	assert_false(link_is_comparing(v[0].end[1].link));
	assert_true(help_is_level(&v[0]));
	/* What it was taught it passes on as its own changes; the other knows them and they cross once at most. */
	assert_false(link_is_comparing(v[1].end[1].link));
	link_compare(v[1].end[1].link);
	assert_true(link_is_comparing(v[1].end[1].link));
	pass_all(wires, 2, 2 * CLOCK_SECOND_NS);
	assert_false(link_is_comparing(v[1].end[1].link) || link_is_comparing(v[1].end[0].link));
	assert_int_equal(link_figures(v[1].end[0].link)->fixes_out, 0);
	assert_true(help_is_level(&v[1]));
	/* And it is remembered from now on. */
	assert_int_equal(v[1].end[1].memory.incarnation, node[1].self.incarnation);
	for (unsigned int i = 0; i < 2; i++)
		help_hang_up(&v[i]);
	for (unsigned int i = 0; i < 3; i++)
		help_node_done(&node[i]);
	free(v);
}

/* Nobody forwards what is no news: in a ring each link is crossed once per direction at most. */
static void
test_three_in_a_ring(void **state)
{
	struct help_wire *v = calloc(3, sizeof(*v));
	struct help_wire *wires[] = {v, v + 1, v + 2};
	struct help_node node[3];
	uint64_t fixes = 0;

	(void)state;
	assert_non_null(v);
	for (unsigned int i = 0; i < 3; i++)
		help_node_init(&node[i], i, CLIENTS, TTL_NS);
	for (unsigned int i = 0; i < 3; i++) {
		help_wire_between(&v[i], &node[i], &node[(i + 1) % 3]);
		help_dial(&v[i]);
	}
	pass_all(wires, 3, CLOCK_SECOND_NS);
	for (uint32_t n = 0; n < 60; n++) {
		assert_int_equal(help_host_put(&node[n % 3].host, n, VERSION(n)), 0);
		names_own(node[n % 3].names, TEXT("Alpha"), NOW_S - 100, v[0].now_ns);
		pass_all(wires, 3, 100 * CLOCK_MSEC_NS);
	}
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(help_is_level(&v[i]));
		for (unsigned int k = 0; k < 2; k++)
			fixes += link_figures(v[i].end[k].link)->fixes_out;
		names_tick(node[i].names, v[0].now_ns);
		assert_int_equal(names_count(node[i].names), 3);
		assert_int_equal(names_conflicts(node[i].names), 1);
		assert_int_equal(node[i].conflicts, 3);
	}
	assert_in_range(fixes, 2 * 60, 4 * 60);
	for (unsigned int i = 0; i < 3; i++)
		help_hang_up(&v[i]);
	for (unsigned int i = 0; i < 3; i++)
		help_node_done(&node[i]);
	free(v);
}

/* --- a peer that makes us work -------------------------------------------------------------- */

static uint64_t
root_of(const struct help_wire *w, unsigned int end, int64_t since_s)
{
	return digest_root(replica_digest(w->end[end].node->host.replica), since_s);
}

/* Asks again and again, and always finds a difference. */
static void
test_comparisons_are_rationed(void **state)
{
	struct help_wire *w = *state;
	struct help_end *e = &w->end[0];
	unsigned int answers = 0;
	char root[64];

	hear(w, 0, 0, 100, 1);
	help_drain_both(w);
	help_dial(w);
	(void)say_to(w, 0, HELLO);
	for (unsigned int i = 0; i < 600; i++) {
		struct text said;

		w->now_ns += 100 * CLOCK_MSEC_NS;
		snprintf(root, sizeof(root), "ROOT %lld 0000000000000001\n",
			 (long long)replica_since_s(e->node->host.replica, w->now_ns));
		said = say_to(w, 0, root);
		assert_int_equal(e->taken, 0);
		if (contains(said, "GRP ")) {
			answers++;
			(void)say_to(w, 0, "DONE\n"); /* declined: back to the start */
		}
	}
	assert_in_range(answers, 10, 8 + 30 + 1);
	assert_true(root_of(w, 0, 0) != 1);
}

/* Every bucket of ours is said to differ, as often as it is let: four fifths of the time are ours. */
static void
test_exchanges_are_followed_by_a_rest(void **state)
{
	struct help_wire *w = *state;
	struct help_end *e = &w->end[0];
	struct link_sums sums = {0};
	char line[LINK_LONG_LINE_MAX];
	unsigned int exchanges = 0;

	hear(w, 0, 0, 200, 1);
	help_drain_both(w);
	help_dial(w);
	(void)say_to(w, 0, HELLO);
	for (unsigned int i = 0; i < 1200; i++) {
		int64_t since_s = replica_since_s(e->node->host.replica, w->now_ns);
		struct text said;

		w->now_ns += 100 * CLOCK_MSEC_NS;
		snprintf(line, sizeof(line), "ROOT %lld 0000000000000001\n", (long long)since_s);
		said = say_to(w, 0, line);
		if (!contains(said, "GRP "))
			continue;
		for (sums.group = 0; sums.group < DIGEST_GROUPS; sums.group++) {
			*link_put_buckets(line, since_s, &sums) = '\0';
			(void)say_to(w, 0, line);
			assert_int_equal(e->taken, 0);
		}
		/* Twice the same group, and one after DONE, are not answered. */
		(void)say_to(w, 0, line);
		for (unsigned int k = 0; k < 100; k++) {
			(void)say_to(w, 0, k == 99 ? "DONE\n" : "");
			w->now_ns += 10 * CLOCK_MSEC_NS; /* so it took a second */
		}
		exchanges++;
		(void)say_to(w, 0, line);
	}
	assert_in_range(exchanges, 10, 40);
	assert_true(link_figures(e->link)->resync_lines <= exchanges * 200);
}

/* Buckets that are named while the fixes of others are under way: none is passed by. */
static void
test_named_in_the_middle_of_a_walk(void **state)
{
	struct help_wire *w = *state;
	struct help_end *e = &w->end[0];
	const int64_t since_s = replica_since_s(e->node->host.replica, w->now_ns);
	struct link_sums sums = {0};
	char line[LINK_LONG_LINE_MAX];
	size_t taken, len;

	hear(w, 0, 0, 200, 1);
	help_drain_both(w);
	help_dial(w);
	(void)say_to(w, 0, HELLO);
	snprintf(line, sizeof(line), "ROOT %lld 0000000000000001\n", (long long)since_s);
	assert_true(contains(say_to(w, 0, line), "GRP "));
	for (sums.group = 0; sums.group < DIGEST_GROUPS; sums.group++) {
		len = (size_t)(link_put_buckets(line, since_s, &sums) - line);
		assert_int_equal(link_take(e->link, line, len, &taken, w->now_ns), 0);
		if (sums.group % 20 == 19)
			(void)link_fill(e->link, e->pipe, LINK_LONG_LINE_MAX, w->now_ns);
	}
	assert_true(link_figures(e->link)->fixes_out < 200);
	while (link_wants_out(e->link, w->now_ns))
		(void)link_fill(e->link, e->pipe, sizeof(e->pipe), w->now_ns);
	assert_int_equal(link_figures(e->link)->fixes_out, 200);
	assert_int_equal(link_figures(e->link)->resync_lines, 200);
}

/* An exchange that the peer never ends is given up, and does not keep the next from being had. */
static void
test_an_exchange_left_hanging(void **state)
{
	struct help_wire *w = *state;
	struct help_end *e = &w->end[0];
	unsigned int roots = 0;
	char line[64];

	hear(w, 0, 0, 100, 1);
	help_drain_both(w);
	help_dial(w);
	(void)say_to(w, 0, HELLO);
	snprintf(line, sizeof(line), "ROOT %lld 0000000000000001\n",
		 (long long)replica_since_s(e->node->host.replica, w->now_ns));
	assert_true(contains(say_to(w, 0, line), "GRP "));
	assert_true(link_is_comparing(e->link));
	for (unsigned int i = 0; i < 1000; i++) {
		w->now_ns += 100 * CLOCK_MSEC_NS;
		assert_int_equal(link_tick(e->link, w->now_ns), 0);
		roots += contains(say_to(w, 0, "PING 1\n"), "ROOT ");
	}
	assert_in_range(roots, 1, 5);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_root_each_minute),
		T(test_roots_are_spread),
		T(test_a_later_difference_is_found_and_said),
		T(test_changes_in_flight_are_no_difference),
		T(test_slow_changes_are_no_difference),
		T(test_questions_that_cross),
		T(test_expiry_is_no_difference),
		T(test_eviction_is_no_difference),
		T(test_parked_fixes_are_offered_again),
		T(test_who_cannot_compare),
		T(test_the_first_forgot),
		T(test_the_second_forgot),
		T(test_one_teacher),
		T(test_three_in_a_ring),
		T(test_comparisons_are_rationed),
		T(test_exchanges_are_followed_by_a_rest),
		T(test_named_in_the_middle_of_a_walk),
		T(test_an_exchange_left_hanging),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
