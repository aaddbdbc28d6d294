/*
 * Links and replicas together: what is confirmed is with the peer, and hosts
 * agree in the end, whatever is cut off, started again or lost on the way.
 */
#include "unit.h"

#include <errno.h>

#include "../link-help.h"

enum { CLIENTS = 60, MANY_CLIENTS = 400, WAITING = 4096, TABLE = 1024 };

#define TTL_NS (7 * 86400 * CLOCK_SECOND_NS)

/* Received at the test's begin and a bit; help_fix() counts in microseconds. */
#define VERSION(n) (1000 * 1000 * 1000 + (uint64_t)(n))

/* A report whose reply waits for the other host. */
struct report {
	uint32_t client;
	uint64_t version, round;
};

struct run {
	struct help_wire *w;
	uint64_t random, version;
	struct report waiting[2][WAITING];
	unsigned int count[2];
	uint64_t confirmed, restarts;
	bool is_narrow, is_slow;
};

static void
on_wake(void *arg, const char *name)
{
	(void)arg;
	(void)name;
}

/* Whether this end holds this version of the client, or a newer one. */
static bool
has(struct help_wire *w, unsigned int end, uint32_t client, uint64_t version)
{
	struct herd_fix fix;
	uint64_t held = 0;

	help_client(&fix, client, version, HELP_MEMBER);
	return help_version(w->end[end].node->host.helper, (struct text){fix.id, fix.id_len}, &held) == 0 &&
	       held >= version;
}

/* Every reply that would be sent now tells the truth. */
static void
check_confirmed(struct run *run, unsigned int end)
{
	struct help_host *h = &run->w->end[end].node->host;
	unsigned int kept = 0;

	replica_confirm(h->replica, on_wake, NULL);
	for (unsigned int i = 0; i < run->count[end]; i++) {
		const struct report *report = &run->waiting[end][i];

		if (table_confirmed_round(h->member) < report->round) {
			run->waiting[end][kept++] = *report;
			continue;
		}
		run->confirmed++;
		if (!has(run->w, !end, report->client, report->version))
			fail_msg("host %u took it for confirmed, but client %u version %llu is not with the "
				 "other",
				 end, report->client, (unsigned long long)report->version);
	}
	run->count[end] = kept;
}

static void
report(struct run *run, unsigned int end)
{
	uint32_t client = (uint32_t)random_below(&run->random, run->is_slow ? MANY_CLIENTS : CLIENTS);

	if (run->count[end] == WAITING)
		return;
	help_hear(run->w, end, client, VERSION(++run->version));
	run->waiting[end][run->count[end]++] = (struct report){
		client, VERSION(run->version), table_next_round(run->w->end[end].node->host.member)};
}

/* The helper of one end starts anew, on its table or on an empty one. */
static void
restart(struct run *run, unsigned int end, bool loses_table)
{
	struct help_node *node = run->w->end[end].node;

	help_hang_up(run->w);
	run->restarts++;
	run->w->end[end].memory = (struct link_memory){0};
	node->self.incarnation++;
	if (loses_table) {
		help_host_done(&node->host);
		help_must(help_host_init(&node->host, TABLE, TTL_NS) == 0);
		/* Nobody waits at a member that is gone, nor is anything known of what the other's confirmed. */
		run->count[0] = run->count[1] = 0;
	} else {
		help_must(help_replica(&node->host, TTL_NS, run->w->now_ns) == 0);
	}
	replica_set_ack_after(node->host.replica, 1);
	help_dial(run->w);
}

/* A few lines, so that a cursor falls behind. */
static void
say_some(struct run *run, unsigned int from)
{
	struct help_end *e = &run->w->end[from];
	size_t room = LINK_LONG_LINE_MAX + random_below(&run->random, 600), len;

	if (sizeof(e->pipe) - e->piped < room)
		return;
	len = link_fill(e->link, e->pipe + e->piped, room, run->w->now_ns);
	e->piped += len;
	e->said += len;
}

/* More than a narrow link can tell, for a while. */
static void
burst(struct run *run, unsigned int end)
{
	for (int i = 0; i < 40; i++) {
		for (int j = 0; j < 10; j++)
			report(run, end);
		assert_int_equal(help_drain(&run->w->end[end].node->host, run->w->now_ns), 0);
		run->w->now_ns += 40 * CLOCK_MSEC_NS;
	}
}

static void
step(struct run *run)
{
	unsigned int end = (unsigned int)random_below(&run->random, 2);
	struct help_wire *w = run->w;
	struct help_host *h = &w->end[end].node->host;

	switch (random_below(&run->random, 12)) {
	case 0:
	case 1:
		report(run, end);
		break;
	case 2:
	case 3:
		assert_true(replica_drain(h->replica, 1 + (unsigned int)random_below(&run->random, 20),
					  w->now_ns) >= 0);
		break;
	case 4:
		w->now_ns += (int64_t)random_below(&run->random, 200) * CLOCK_MSEC_NS;
		assert_true(link_tick(w->end[end].link, w->now_ns) >= -ETIMEDOUT);
		break;
	case 5:
		if (run->is_slow && random_below(&run->random, 30) == 0)
			burst(run, end);
		else if (random_below(&run->random, 60) == 0)
			help_dial(w);
		else if (random_below(&run->random, 200) == 0)
			restart(run, end, random_below(&run->random, 3) == 0);
		break;
	case 6:
	case 7:
		if (run->is_slow && random_below(&run->random, 15))
			break;
		if (run->is_narrow)
			say_some(run, end);
		else
			(void)help_say(w, end);
		break;
	default:
		(void)help_carry(w, end,
				 random_below(&run->random, 4) ? HELP_PIPE : random_below(&run->random, 400));
		if (w->end[!end].taken < 0) /* silent for too long, and such */
			help_dial(w);
	}
	if (link_state(w->end[0].link) == LINK_ENDED || link_state(w->end[1].link) == LINK_ENDED)
		help_dial(w);
	for (unsigned int i = 0; i < 2; i++)
		check_confirmed(run, i);
}

static void
run_once(struct run *run, struct help_wire *w)
{
	help_wire_init(w, TABLE, TTL_NS);
	run->w = w;
	run->count[0] = run->count[1] = 0;
	for (unsigned int i = 0; i < 2; i++)
		replica_set_ack_after(w->end[i].node->host.replica, 1);
	help_dial(w);
	for (unsigned int i = 0; i < 4000; i++)
		step(run);
	help_dial(w);
	help_pass(w, 30 * CLOCK_SECOND_NS);
	assert_true(help_is_level(w));
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(help_drain(&w->end[i].node->host, w->now_ns), 0);
		check_confirmed(run, i);
		assert_int_equal(run->count[i], 0);
		assert_int_equal(digest_root(replica_digest(w->end[i].node->host.replica), 0),
				 help_root(&w->end[i].node->host));
	}
	help_wire_done(w);
}

static void
test_confirmed_is_true(void **state)
{
	struct help_wire *w = calloc(1, sizeof(*w));
	struct run *run = calloc(1, sizeof(*run));

	(void)state;
	assert_non_null(w);
	assert_non_null(run);
	run->random = random_seed(61);
	for (unsigned int i = 0; i < 100; i++) {
		run->is_narrow = i % 2;
		run->is_slow = i % 3 == 0; /* so far behind that it is served in laps */
		run_once(run, w);
	}
	assert_true(run->confirmed > 10000);
	assert_true(run->restarts > 50);
	free(run);
	free(w);
}

/* --- what is compared -------------------------------------------------------------- */

/* A host whose table is too small for all still learns, when it meets another, whatever is newer than what it had no
   room for; also when that is of the same day. */
static void
test_evicting_host_learns_the_newest(void **state)
{
	struct help_wire *w = calloc(1, sizeof(*w));
	struct help_node *small;
	uint32_t n;

	(void)state;
	assert_non_null(w);
	help_wire_init(w, TABLE, TTL_NS);
	small = w->end[1].node;
	for (n = 1; table_watermark_ns(small->host.helper) == INT64_MIN && n < 100000; n += 16)
		help_hear(w, 1, n, VERSION(n));
	assert_true(table_watermark_ns(small->host.helper) != INT64_MIN);
	help_drain_both(w);
	/* Five seconds later. */
	for (uint32_t i = 0; i < 10; i++)
		help_hear(w, 0, 1000000 + 16 * i + 1, VERSION(n + 5000000 + i));
	help_drain_both(w);
	w->now_ns += 10 * CLOCK_SECOND_NS;
	help_dial(w);
	help_talk(w);
	for (uint32_t i = 0; i < 10; i++)
		assert_true(has(w, 1, 1000000 + 16 * i + 1, VERSION(n + 5000000 + i)));
	help_wire_done(w);
	free(w);
}

/* What is received after the end of time differs in nothing: no proof of anything. */
static void
test_nothing_compared_is_nothing_proven(void **state)
{
	static const char hello[] = "HERD 1 herd 77000000000000000000000000000000 00000000000000ff other "
				    "ttl=604800,key=0000000000000007\nRESUME 0000000000000000 0\n";
	static const char *const roots[] = {"ROOT 99999999999 0000000000000000\n",
					    "ROOT 1900000000 0000000000000000\n"};
	struct help_wire *w = calloc(1, sizeof(*w));

	(void)state;
	assert_non_null(w);
	help_wire_init(w, TABLE, TTL_NS);
	for (uint32_t n = 0; n < 50; n++)
		help_hear(w, 0, n, VERSION(n));
	help_drain_both(w);
	for (size_t i = 0; i < ELEMENTS(roots); i++) {
		struct link *l;
		size_t taken;

		help_dial(w);
		l = w->end[0].link;
		assert_int_equal(link_take(l, hello, strlen(hello), &taken, w->now_ns), 0);
		(void)help_say(w, 0);
		assert_true(link_take(l, roots[i], strlen(roots[i]), &taken, w->now_ns) <= 0);
		(void)help_say(w, 0);
		assert_true(link_state(l) == LINK_ENDED || link_is_comparing(l));
		assert_int_equal(w->end[0].resyncs, 0);
	}
	help_wire_done(w);
	free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_confirmed_is_true),
		cmocka_unit_test(test_evicting_host_learns_the_newest),
		cmocka_unit_test(test_nothing_compared_is_nothing_proven),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
