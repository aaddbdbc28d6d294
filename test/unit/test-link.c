/*
 * Two helpers at the ends of a pipe, in virtual time: link.c and its parts
 * with real replicas behind them.
 */
#include "unit.h"

#include <errno.h>

#include "../link-help.h"
#include "flood/link-line.h"

enum { CLIENTS = 256 };

#define TTL_NS (300 * CLOCK_SECOND_NS)
#define NOW_S  (HELP_NOW_NS / CLOCK_SECOND_NS)

/* Receipt times of help_fix() are versions; these are received now. */
#define VERSION(n) (1000 * 1000 * 1000 + (uint64_t)(n))

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

static int
setup(void **state)
{
	struct help_wire *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	busy = 0;
	help_wire_init(w, CLIENTS, TTL_NS);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	help_wire_done(*state);
	free(*state);
	return 0;
}

static void
hear(struct help_wire *w, unsigned int end, uint32_t from, uint32_t to, uint64_t version)
{
	for (uint32_t n = from; n < to; n++)
		help_hear(w, end, n, VERSION(version));
}

/* Nobody knew of the other; they meet and compare. */
static void
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

static const struct link_figures *
figures(const struct help_wire *w, unsigned int end)
{
	return link_figures(w->end[end].link);
}

/* What one end says to these lines, without another end. */
static struct text
say_to(struct help_wire *w, unsigned int end, const char *lines)
{
	struct help_end *e = &w->end[end];
	size_t taken;

	e->taken = link_take(e->link, lines, strlen(lines), &taken, w->now_ns);
	e->piped = link_fill(e->link, e->pipe, sizeof(e->pipe), w->now_ns);
	return (struct text){e->pipe, e->piped};
}

static bool
contains(struct text t, const char *what)
{
	return memmem(t.at, t.len, what, strlen(what)) != NULL;
}

/* --- the greeting ----------------------------------------------------------------- */

#define ID  "77000000000000000000000000000000"
#define INC "00000000000000ff"
#define KEY "0000000000000007"

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
				     "ttl=300,key=" KEY "\n"));
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

static const char *const hello = "HERD 1 herd " ID " " INC " hill ttl=300,key=" KEY
				 "\nRESUME 0000000000000000 0\n";
static const char *const newer = "HERD 1 herd " ID " " INC " hill ttl=300,key=" KEY
				 ",zip\nRESUME 0000000000000000 0\n";

static void
check_ends(struct help_wire *w, const char *lines, const char *why)
{
	char all[4096];

	snprintf(all, sizeof(all), "%s%s", hello, lines);
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
	(void)say_to(w, 0, hello);
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
	check_bounded(w, hello, "PONG 7\n");
	check_bounded(w, hello, "ACK 0\n");
	check_bounded(w, hello, "PULL 0\n");
	check_bounded(w, hello, "ROOT 9223372036 " KEY "\n");
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
	(void)say_to(w, 0, hello);
	said = say_to(w, 0, "PING 1\nPING 2\nPING 18\n");
	assert_text_equal(said, TEXT("PONG 18\n"));
}

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
	(void)say_to(w, 0, hello);
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
	said = say_to(w, 0, hello);
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

/* The one who made a change knows of it, the other not yet: whoever of the two asks. */
static void
check_slow_changes(struct help_wire *w, unsigned int end)
{
	hear(w, 0, 0, 200, 1);
	hear(w, 1, 0, 200, 1);
	help_drain_both(w);
	meet(w);
	for (unsigned int i = 0; i < 20000; i++) {
		w->now_ns += 50 * CLOCK_MSEC_NS;
		if (i % 10 == 0)
			help_hear(w, end, i / 10 % 200, VERSION((uint64_t)(w->now_ns - HELP_NOW_NS) / 1000));
		assert_int_equal(help_drain(&w->end[end].node->host, w->now_ns), 0);
		for (unsigned int k = 0; k < 2; k++) {
			assert_int_equal(link_tick(w->end[k].link, w->now_ns), 0);
			(void)help_say(w, k);
			/* 0.9 s later; the lines of a comparison as well. */
			if (i % 18 == 0)
				while (help_carry(w, k, SIZE_MAX))
					;
		}
	}
	assert_true(w->now_ns > HELP_NOW_NS + 3 * TTL_NS);
	assert_int_equal(w->end[0].divergences + w->end[1].divergences, 0);
	assert_int_equal(figures(w, 0)->resync_lines + figures(w, 1)->resync_lines, 0);
}

static void
test_slow_changes_of_the_first(void **state)
{
	check_slow_changes(*state, 0);
}

static void
test_slow_changes_of_the_second(void **state)
{
	check_slow_changes(*state, 1);
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
	/* Heard by a member whose clock is a minute ahead; the helpers' are right. */
	help_hear(w, 0, 1, VERSION(60 * 1000 * 1000));
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
test_a_host_that_forgot(void **state)
{
	struct help_wire *w = *state;
	struct help_host *h = &w->end[1].node->host;

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
	assert_int_equal(w->end[1].divergences, 1);
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
	(void)say_to(w, 0, hello);
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
	(void)say_to(w, 0, hello);
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
	(void)say_to(w, 0, hello);
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
	(void)say_to(w, 0, hello);
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
		T(test_greeting),
		T(test_refusals),
		T(test_more_links_than_the_replica_takes),
		T(test_who_says_nothing),
		T(test_who_we_are_has_to_fit_a_line),
		T(test_lines_that_end_a_link),
		T(test_a_giant_is_not_waited_for),
		T(test_what_is_ignored_is_bounded),
		T(test_a_flood_of_pings),
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
		T(test_cut_at_every_byte),
		T(test_every_split),
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
		T(test_a_root_each_minute),
		T(test_roots_are_spread),
		T(test_a_later_difference_is_found_and_said),
		T(test_changes_in_flight_are_no_difference),
		T(test_slow_changes_of_the_first),
		T(test_slow_changes_of_the_second),
		T(test_expiry_is_no_difference),
		T(test_eviction_is_no_difference),
		T(test_parked_fixes_are_offered_again),
		T(test_who_cannot_compare),
		T(test_a_host_that_forgot),
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
