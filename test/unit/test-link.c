/*
 * Two helpers at the ends of a pipe, in virtual time, with real replicas behind
 * them: how a link begins, lives and ends, and what it bears.
 */
#include "link-unit.h"

static unsigned int busy; /* fixes that find the table held, from now on */

int __real_replica_merge(struct replica *r, unsigned int peer, const struct herd_fix *fix, int64_t now_ns);
int __wrap_replica_merge(struct replica *r, unsigned int peer, const struct herd_fix *fix, int64_t now_ns);

int
__wrap_replica_merge(struct replica *r, unsigned int peer, const struct herd_fix *fix, int64_t now_ns)
{
	if (busy == 0)
		return __real_replica_merge(r, peer, fix, now_ns);
	busy--;
	return REPLICA_E_BUSY;
}

/* --- the greeting ----------------------------------------------------------------- */

static void
test_greeting(void **state)
{
	struct help_wire *w = *state;
	struct text said;

	help_dial(w);
	assert_true(link_wants_out(w->end[0].link, w->now_ns));
	assert_string_equal(link_host(w->end[0].link), "");
	said = say_to(w, 0, "");
	assert_text_equal(said, TEXT("HERD 1 herd 01000000000000000000000000000000 0000000000001000 host0 "
				     "ttl=300,key=" KEY ",ask\n"));
	assert_false(link_wants_out(w->end[0].link, w->now_ns));
	said = say_to(w, 0, "HERD 1 herd " ID " " INC " hill ttl=300,key=" KEY "\n");
	assert_int_equal(w->end[0].taken, 0);
	assert_int_equal(w->end[0].greeted, 1);
	assert_true(contains(said, "RESUME 0000000000000000 0\nPING "));
	assert_string_equal(link_host(w->end[0].link), "hill");
	assert_int_equal(link_host_id(w->end[0].link)[0], 0x77);
	assert_int_equal(link_state(w->end[0].link), LINK_UP);
	assert_string_equal(link_why(w->end[0].link), "");
	said = say_to(w, 0, "RESUME 0000000000000000 0\n");
	assert_int_equal(w->end[0].taken, 0);
	assert_true(contains(said, "SEQ 0\nROOT ")); /* 01 is before 77: it asks */
}

static void
check_refused(struct help_wire *w, const char *lines, const char *why)
{
	struct text said;
	char bye[LINK_LINE_MAX];

	help_dial(w);
	said = say_to(w, 0, lines);
	if (w->end[0].taken >= 0 || !strstr(link_why(w->end[0].link), why))
		fail_msg("'%s': %d, '%s'", lines, w->end[0].taken, link_why(w->end[0].link));
	snprintf(bye, sizeof(bye), "BYE %s\n", link_why(w->end[0].link));
	assert_true(contains(said, bye) == (strncmp(why, "the peer said BYE", 17) != 0));
	assert_int_equal(link_state(w->end[0].link), LINK_ENDED);
	assert_false(link_wants_out(w->end[0].link, w->now_ns));
	assert_int_equal(link_fill(w->end[0].link, w->end[0].pipe, sizeof(w->end[0].pipe), w->now_ns), 0);
	/* It stays so, whatever comes. */
	(void)say_to(w, 0, "DONE\n");
	assert_true(w->end[0].taken < 0 && strstr(link_why(w->end[0].link), why));
	assert_true(link_tick(w->end[0].link, w->now_ns) < 0);
}

static void
test_refusals(void **state)
{
	struct help_wire *w = *state;
	const char *caps = " ttl=300,key=" KEY "\n";
	char line[256];

	check_refused(w, "GET / HTTP/1.1\r\n", "the first line is no HERD line: 'GET / HTTP/1.1\\x0d'");
	check_refused(w, "RESUME 0000000000000000 0\n", "the first line is no HERD line");
	check_refused(w, "\x16\x03\x01\n", "the first line is no HERD line: '\\x16\\x03\\x01'");
	check_refused(w, "HERD 2 x\n", "protocol version 2 is not spoken here, only 1");
	check_refused(w, "BYE duplicate\n", "the peer said BYE: 'duplicate'");
	snprintf(line, sizeof(line), "HERD 1 cattle " ID " " INC " hill%s", caps);
	check_refused(w, line, "this host is not of the herd: 'cattle'");
	snprintf(line, sizeof(line), "HERD 1 herd " ID " 0000000000000000 hill%s", caps);
	check_refused(w, line, "an incarnation is never zero");
	check_refused(w, "HERD 1 herd " ID " " INC " hill\n", "the capabilities ttl and key are needed");
	check_refused(w, "HERD 1 herd " ID " " INC " hill ttl=300\n", "the capabilities ttl and key");
	assert_int_equal(w->end[0].greeted, 0);
	w->end[0].refuse = "not of this list";
	snprintf(line, sizeof(line), "HERD 1 herd " ID " " INC " hill%s", caps);
	check_refused(w, line, "not of this list");
	assert_int_equal(w->end[0].greeted, 1);
	w->end[0].refuse = "";
	check_refused(w, line, "not welcome");
	w->end[0].refuse = NULL;
	snprintf(line, sizeof(line), "HERD 1 herd " ID " " INC " hill%sSEQ 1\n", caps);
	check_refused(w, line, "the second line is no RESUME line: 'SEQ 1'");
	snprintf(line, sizeof(line), "HERD 1 herd " ID " " INC " hill%sHERD 2\n", caps);
	check_refused(w, line, "the second line is no RESUME line");
	snprintf(line, sizeof(line), "HERD 1 herd " ID " " INC " hill%sBYE now\n", caps);
	check_refused(w, line, "the peer said BYE: 'now'");
	assert_true(link_heard_bye(w->end[0].link));
	assert_false(link_is_welcome(w->end[0].link)); /* it said so instead of RESUME */
}

static void
test_more_links_than_the_replica_takes(void **state)
{
	struct help_wire *w = *state;
	unsigned int peer[CHANGES_PEERS];

	for (unsigned int i = 0; i < CHANGES_PEERS; i++)
		assert_int_equal(replica_open_peer(w->end[0].node->host.replica, &peer[i]), 0);
	check_refused(w, "HERD 1 herd " ID " " INC " hill ttl=300,key=" KEY "\n", "too many links");
	replica_close_peer(w->end[0].node->host.replica, peer[5]);
	help_dial(w);
	(void)say_to(w, 0, "HERD 1 herd " ID " " INC " hill ttl=300,key=" KEY "\n");
	assert_int_equal(link_state(w->end[0].link), LINK_UP);
	assert_int_equal(link_peer(w->end[0].link), peer[5]);
	link_free(w->end[0].link);
	w->end[0].link = NULL;
	assert_int_equal(replica_open_peer(w->end[0].node->host.replica, &peer[5]), 0); /* given back */
}

static void
test_who_says_nothing(void **state)
{
	struct help_wire *w = *state;
	int64_t until_ns;

	help_dial(w);
	until_ns = w->now_ns + LINK_HELLO_NS;
	while (w->now_ns < until_ns) {
		assert_int_equal(link_tick(w->end[0].link, w->now_ns), 0);
		w->now_ns += 100 * CLOCK_MSEC_NS;
	}
	assert_int_equal(link_tick(w->end[0].link, w->now_ns), -ETIMEDOUT);
	assert_string_equal(link_why(w->end[0].link), "no HERD line in time");

	help_dial(w);
	(void)say_to(w, 0, "HERD 1 herd " ID " " INC " hill ttl=300,key=" KEY "\n");
	for (unsigned int i = 0; i < 50; i++) {
		assert_int_equal(link_tick(w->end[0].link, w->now_ns), 0);
		w->now_ns += 100 * CLOCK_MSEC_NS;
	}
	assert_int_equal(link_tick(w->end[0].link, w->now_ns), -ETIMEDOUT);
	assert_string_equal(link_why(w->end[0].link), "no RESUME line in time");
}

static void
test_who_we_are_has_to_fit_a_line(void **state)
{
	struct help_wire *w = *state;
	struct help_end *end = &w->end[0];
	struct help_node *e = end->node;
	struct link_self good = e->self;
	struct link *l = NULL;

	snprintf(e->self.herd, sizeof(e->self.herd), "my herd");
	assert_int_equal(link_new(&l, &e->self, e->host.replica, e->names, &end->hooks, 0), -EINVAL);
	e->self = good;
	e->self.host[0] = '\0';
	assert_int_equal(link_new(&l, &e->self, e->host.replica, e->names, &end->hooks, 0), -EINVAL);
	e->self = good;
	e->self.incarnation = 0;
	assert_int_equal(link_new(&l, &e->self, e->host.replica, e->names, &end->hooks, 0), -EINVAL);
	e->self = good;
	assert_null(l);
}

/* --- hostile lines ------------------------------------------------------------------ */

static const char *const newer = "HERD 1 herd " ID " " INC " hill ttl=300,key=" KEY
				 ",zip\nRESUME 0000000000000000 0\n";

static void
check_ends(struct help_wire *w, const char *lines, const char *why)
{
	char all[4096];

	snprintf(all, sizeof(all), "%s%s", HELLO, lines);
	check_refused(w, all, why);
}

static void
test_lines_that_end_a_link(void **state)
{
	struct help_wire *w = *state;
	char giant[2048];

	check_ends(w, "AT Alpha\n", "a line that makes no sense: 'AT Alpha'");
	check_ends(w, "AT Alpha +0.000000000 k +1-1 1 \n", "a line that makes no sense");
	check_ends(w, "seq 1\n", "a line that makes no sense");
	check_ends(w, "\n", "a line that makes no sense: ''");
	check_ends(w, "ZIP 1\n", "a line of an unknown kind: 'ZIP 1'");
	check_ends(w, "SEQ 5\nSEQ 4\n", "a SEQ that goes back");
	check_ends(w, "ACK 1\n", "an ACK of what was not sent");
	check_ends(w, "RESUME 0000000000000000 0\n", "a second RESUME line");
	check_ends(w, "HERD 2\n", "a second HERD line");
	check_ends(w, "BYE \n", "a line that makes no sense");
	memset(giant, 'A', sizeof(giant));
	giant[sizeof(giant) - 1] = '\0';
	check_ends(w, giant, "a line that is too long: 'AAAA");
	giant[LINK_LINE_MAX - 1] = '\n';
	giant[LINK_LINE_MAX] = '\0';
	check_ends(w, giant, "a line that makes no sense");
	memcpy(giant, "GRP ", 4);
	memset(giant + 4, ' ', sizeof(giant) - 5);
	giant[LINK_LONG_LINE_MAX - 1] = '\n';
	giant[LINK_LONG_LINE_MAX] = '\0';
	check_ends(w, giant, "a line that makes no sense: 'GRP  ");
	giant[LINK_LONG_LINE_MAX - 1] = ' ';
	giant[LINK_LONG_LINE_MAX] = '\n';
	giant[LINK_LONG_LINE_MAX + 1] = '\0';
	check_ends(w, giant, "a line that is too long: 'GRP  ");
}

/* Before the LF of a giant comes. */
static void
test_a_giant_is_not_waited_for(void **state)
{
	struct help_wire *w = *state;
	char giant[LINK_LONG_LINE_MAX];
	size_t taken;

	memset(giant, 'x', sizeof(giant));
	help_dial(w);
	assert_int_equal(link_take(w->end[0].link, giant, LINK_LINE_MAX - 1, &taken, w->now_ns), 0);
	assert_int_equal(link_take(w->end[0].link, giant, LINK_LINE_MAX, &taken, w->now_ns), -EPROTO);
	assert_int_equal(taken, 0);
	help_dial(w);
	(void)say_to(w, 0, HELLO);
	memcpy(giant, "DIG ", 4);
	assert_int_equal(link_take(w->end[0].link, giant, LINK_LONG_LINE_MAX - 1, &taken, w->now_ns), 0);
	assert_int_equal(link_take(w->end[0].link, giant, LINK_LONG_LINE_MAX, &taken, w->now_ns), -EPROTO);
}

/* Somebody who says something that is let pass, again and again. */
static void
check_bounded(struct help_wire *w, const char *first, const char *again)
{
	struct help_end *e = &w->end[0];
	unsigned int times = 0;
	size_t taken;

	help_dial(w);
	(void)say_to(w, 0, first);
	assert_int_equal(e->taken, 0);
	while (link_take(e->link, again, strlen(again), &taken, w->now_ns) == 0)
		assert_true(++times < 1000);
	assert_in_range(times, 200, 300);
	assert_non_null(strstr(link_why(e->link), "too many lines"));
	assert_in_range(link_figures(e->link)->ignored, times - 1, times + 1);
}

static void
test_what_is_ignored_is_bounded(void **state)
{
	struct help_wire *w = *state;

	check_bounded(w, newer, "ZIP 1\n");
	check_bounded(w, HELLO, "PONG 7\n");
	check_bounded(w, HELLO, "ACK 0\n");
	check_bounded(w, HELLO, "PULL 0\n");
	check_bounded(w, HELLO, "ROOT 9223372036 " KEY "\n");
	/* Slowly it may go on for ever. */
	help_dial(w);
	(void)say_to(w, 0, newer);
	for (unsigned int i = 0; i < 10000; i++) {
		w->now_ns += 100 * CLOCK_MSEC_NS;
		(void)say_to(w, 0, "ZIP 1\n");
		assert_int_equal(w->end[0].taken, 0);
	}
}

/* However many PINGs: one PONG when there is room. */
static void
test_a_flood_of_pings(void **state)
{
	struct help_wire *w = *state;
	struct text said;

	help_dial(w);
	(void)say_to(w, 0, HELLO);
	said = say_to(w, 0, "PING 1\nPING 2\nPING 18\n");
	assert_text_equal(said, TEXT("PONG 18\n"));
}

/* --- live changes ------------------------------------------------------------------- */

static void
test_changes_cross_the_link_once(void **state)
{
	struct help_wire *w = *state;

	meet(w);
	for (unsigned int i = 0; i < 50; i++) {
		help_hear(w, i % 2, i % 7, VERSION(i + 1));
		help_talk(w);
		assert_true(help_is_level(w));
	}
	assert_int_equal(figures(w, 0)->fixes_out, 25);
	assert_int_equal(figures(w, 1)->fixes_out, 25);
	assert_int_equal(figures(w, 0)->duplicates, 0);
	/* Five of one client while nobody reads: one line. */
	for (unsigned int i = 0; i < 5; i++) {
		help_hear(w, 0, 1, VERSION(1000 + i));
		help_drain_both(w);
	}
	help_talk(w);
	assert_int_equal(figures(w, 0)->fixes_out, 26);
	assert_true(help_is_level(w));
}

static void
test_acks_come_at_once_and_then_seldom(void **state)
{
	struct help_wire *w = *state;
	uint64_t acked;

	meet(w);
	w->now_ns += CLOCK_SECOND_NS;
	help_hear(w, 0, 1, VERSION(1));
	help_talk(w);
	acked = link_acknowledged(w->end[0].link);
	assert_int_equal(acked, replica_sequence(w->end[0].node->host.replica));
	for (unsigned int i = 0; i < 49; i++) {
		w->now_ns += CLOCK_MSEC_NS;
		help_hear(w, 0, 1, VERSION(2 + i));
		help_talk(w);
		assert_int_equal(link_acknowledged(w->end[0].link), acked);
		assert_false(link_wants_out(w->end[1].link, w->now_ns));
	}
	w->now_ns += CLOCK_MSEC_NS;
	assert_true(link_wants_out(w->end[1].link, w->now_ns));
	help_talk(w);
	assert_int_equal(link_acknowledged(w->end[0].link), acked + 49);
}

/* A fix that finds the table held stays with the caller: not lost, not told twice. */
static void
test_busy(void **state)
{
	struct help_wire *w = *state;
	struct help_end *e = &w->end[1];

	busy = 0;
	meet(w);
	hear(w, 0, 0, 10, 1);
	help_drain_both(w);
	(void)help_say(w, 0);
	for (unsigned int i = 0; i < 3; i++) {
		busy = 1;
		e->taken = 0;
		assert_int_equal(help_carry(w, 0, SIZE_MAX), 0);
		assert_int_equal(e->taken, LINK_E_BUSY);
		assert_int_equal(figures(w, 1)->fixes_in, 0);
	}
	e->taken = 0;
	help_talk(w);
	assert_int_equal(e->taken, 0);
	assert_int_equal(figures(w, 1)->fixes_in, 10);
	assert_true(help_is_level(w));
	assert_int_equal(figures(w, 1)->bytes_in, figures(w, 0)->bytes_out);
}

/* The one who does not read is told the newest of each once it does, however much there was. */
static void
test_who_does_not_read(void **state)
{
	struct help_wire *w = *state;
	uint64_t before;

	meet(w);
	before = w->end[0].said;
	for (uint32_t i = 0; i < 20000; i++) {
		help_hear(w, 0, i % 200, VERSION(i + 1));
		assert_int_equal(help_drain(&w->end[0].node->host, w->now_ns), 0);
	}
	assert_int_equal(w->end[0].said, before);
	assert_int_equal(replica_lag_changes(w->end[0].node->host.replica, link_peer(w->end[0].link)), 200);
	help_talk(w);
	assert_int_equal(figures(w, 0)->fixes_out, 200);
	assert_true(help_is_level(w));
}

/* Little room, even for one line: whole lines all the same. */
static void
test_little_room(void **state)
{
	struct help_wire *w = *state;
	char out[LINK_LONG_LINE_MAX];
	unsigned int idle = 0;
	size_t taken;

	hear(w, 0, 0, 120, 1);
	hear(w, 1, 60, 200, 2);
	help_drain_both(w);
	help_dial(w);
	assert_int_equal(link_fill(w->end[0].link, out, LINK_LONG_LINE_MAX - 1, w->now_ns), 0);
	while (idle < 2) {
		idle++;
		for (unsigned int i = 0; i < 2; i++) {
			size_t len = link_fill(w->end[i].link, out, sizeof(out), w->now_ns);

			assert_true(len <= sizeof(out));
			assert_int_equal(link_take(w->end[!i].link, out, len, &taken, w->now_ns), 0);
			assert_int_equal(taken, len);
			idle = len ? 0 : idle;
		}
	}
	assert_true(help_is_level(w));
	assert_false(link_is_comparing(w->end[0].link) || link_is_comparing(w->end[1].link));
}

/* --- life and death ------------------------------------------------------------------ */

static void
test_pings_while_nothing_happens(void **state)
{
	struct help_wire *w = *state;
	uint64_t lines;

	meet(w);
	help_pass(w, 30 * CLOCK_SECOND_NS);
	lines = figures(w, 0)->lines_in;
	assert_int_equal(link_state(w->end[0].link), LINK_UP);
	help_pass(w, 30 * CLOCK_SECOND_NS);
	/* About one PING in two seconds, of either side, with its PONG. */
	assert_in_range(figures(w, 0)->lines_in - lines, 10, 36);
	assert_int_equal(figures(w, 0)->ignored, 0);
}

static void
test_silence_is_death(void **state)
{
	struct help_wire *w = *state;
	unsigned int tenths = 0;

	meet(w);
	w->cut[1] = w->carried[1];
	while (link_state(w->end[0].link) == LINK_UP) {
		help_pass(w, 100 * CLOCK_MSEC_NS);
		assert_true(++tenths < 100);
	}
	assert_in_range(tenths, 79, 82);
	assert_string_equal(link_why(w->end[0].link), "silent for too long");
}

/* Half a line is a sign of life, too. */
static void
test_any_byte_is_sound(void **state)
{
	struct help_wire *w = *state;
	struct help_end *e = &w->end[0];
	const char *line = "PING 123456789123456789";
	size_t taken;

	help_dial(w);
	(void)say_to(w, 0, HELLO);
	for (size_t len = 1; len < strlen(line); len++) {
		for (unsigned int i = 0; i < 50; i++) {
			w->now_ns += 100 * CLOCK_MSEC_NS;
			assert_int_equal(link_tick(e->link, w->now_ns), 0);
		}
		assert_int_equal(link_take(e->link, line, len, &taken, w->now_ns), 0);
		assert_int_equal(taken, 0);
	}
	/* The same bytes again are none. */
	for (unsigned int i = 0; i < 81 && link_state(e->link) == LINK_UP; i++) {
		w->now_ns += 100 * CLOCK_MSEC_NS;
		(void)link_take(e->link, line, strlen(line) - 1, &taken, w->now_ns);
		(void)link_tick(e->link, w->now_ns);
	}
	assert_int_equal(link_state(e->link), LINK_ENDED);
}

/* Nobody is dead because the clock was set, or because we were stopped. */
static void
test_a_clock_that_jumps(void **state)
{
	struct help_wire *w = *state;

	meet(w);
	w->now_ns += 3600 * CLOCK_SECOND_NS;
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(link_tick(w->end[i].link, w->now_ns), 0);
	help_pass(w, CLOCK_SECOND_NS);
	w->now_ns -= 7200 * CLOCK_SECOND_NS;
	help_pass(w, CLOCK_SECOND_NS);
	assert_int_equal(link_state(w->end[0].link), LINK_UP);
	assert_int_equal(link_state(w->end[1].link), LINK_UP);
	assert_true(link_rtt_ns(w->end[0].link) >= 0);
}

static void
test_only_who_read_the_ping_can_answer(void **state)
{
	struct help_wire *w = *state;
	struct text said;
	char pong[64];
	const char *at;

	help_dial(w);
	said = say_to(w, 0, HELLO);
	at = memmem(said.at, said.len, "PING ", 5);
	assert_non_null(at);
	snprintf(pong, sizeof(pong), "PONG %.*s\n", (int)strcspn(at + 5, "\n"), at + 5);
	w->now_ns += 7 * CLOCK_MSEC_NS;
	(void)say_to(w, 0, "PONG 1\nPONG 0\n");
	assert_true(link_rtt_ns(w->end[0].link) < 0);
	w->now_ns += 7 * CLOCK_MSEC_NS;
	(void)say_to(w, 0, pong);
	assert_int_equal(link_rtt_ns(w->end[0].link), 14 * CLOCK_MSEC_NS);
	(void)say_to(w, 0, pong); /* once */
	assert_int_equal(figures(w, 0)->ignored, 3);
}

static void
test_bye(void **state)
{
	struct help_wire *w = *state;

	meet(w);
	link_say_bye(w->end[0].link, "going\ndown");
	link_say_bye(w->end[0].link, "again");
	assert_true(link_wants_out(w->end[0].link, w->now_ns));
	help_talk(w);
	assert_string_equal(link_why(w->end[0].link), "going\\x0adown");
	assert_int_equal(link_state(w->end[1].link), LINK_ENDED);
	assert_int_equal(w->end[1].taken, -ECONNRESET);
	assert_string_equal(link_why(w->end[1].link), "the peer said BYE: 'going\\x0adown'");
	assert_false(link_wants_out(w->end[1].link, w->now_ns));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_greeting),
		T(test_refusals),
		T(test_more_links_than_the_replica_takes),
		T(test_who_says_nothing),
		T(test_who_we_are_has_to_fit_a_line),
		T(test_lines_that_end_a_link),
		T(test_a_giant_is_not_waited_for),
		T(test_what_is_ignored_is_bounded),
		T(test_a_flood_of_pings),
		T(test_changes_cross_the_link_once),
		T(test_acks_come_at_once_and_then_seldom),
		T(test_busy),
		T(test_who_does_not_read),
		T(test_little_room),
		T(test_pings_while_nothing_happens),
		T(test_silence_is_death),
		T(test_any_byte_is_sound),
		T(test_a_clock_that_jumps),
		T(test_only_who_read_the_ping_can_answer),
		T(test_bye),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
