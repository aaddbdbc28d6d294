/*
 * A session with a source of places that answers when the test says so:
 * replies keep command order, lookups are bounded, and whoever goes away takes
 * what it asked for along.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../clock-help.h"
#include "core/registry.h"
#include "core/table-private.h"
#include "member-help.h"
#include "member/datagram.h"

enum { SLOW_MAX = 256, BIG_ANSWER = 8192 };

/* The provider: keeps every request until answered. */
struct slow {
	struct source *source;
	struct source_request *request[SLOW_MAX];
	size_t count, cancelled;
};

static struct slow slow;

static int
slow_new(void **ret_state, struct source *s, struct event_base *base, const struct source_options *options)
{
	(void)base;
	(void)options;
	slow = (struct slow){.source = s};
	*ret_state = &slow;
	return 0;
}

static int
slow_search(void *state, const struct source_query *query, struct buffer *out, struct source_request **ret)
{
	int r;

	(void)state;
	if (query->bound == 0) /* bound 0 is answered at once */
		return buffer_append(out, TEXT("{}"));
	if (query->bound == 19) { /* 19 takes its time */
		help_clock_ns += MEMBER_TURN_NS / 4;
		return buffer_append(out, TEXT("{}"));
	}
	if (query->bound == 20) { /* and so is 20, at length */
		static const char big[BIG_ANSWER] = {[0 ... BIG_ANSWER - 1] = '-'};

		return buffer_append(out, (struct text){big, sizeof(big)});
	}
	assert_true(slow.count < SLOW_MAX);
	r = source_request_new(ret, slow.source, query, NULL);
	if (r < 0)
		return r;
	slow.request[slow.count++] = *ret;
	return SOURCE_E_PENDING;
}

static void
slow_cancel(void *state, struct source_request *request)
{
	(void)state;
	for (size_t i = 0; i < slow.count; i++)
		if (slow.request[i] == request)
			slow.request[i] = NULL;
	slow.cancelled++;
}

static int
slow_reload(void *state, const struct source_options *options)
{
	(void)state;
	(void)options;
	return 0;
}

static void
slow_free(void *state)
{
	(void)state;
}

static const struct source_provider slow_provider = {
	.name = "slow",
	.new = slow_new,
	.search = slow_search,
	.cancel = slow_cancel,
	.reload = slow_reload,
	.free = slow_free,
};
static const struct source_provider *const providers[] = {&slow_provider, NULL};

static void
slow_answer(size_t index)
{
	struct source_request *request = slow.request[index];
	char json[32];

	assert_non_null(request);
	slow.request[index] = NULL;
	snprintf(json, sizeof(json), "{\"n\":%zu}", index);
	source_request_answer(request, text_of(json));
}

/* --- a member without doors ------------------------------------------------- */

struct fixture {
	struct member m;
	char shm[64];
	int client; /* the other end of the session */
};

static int
setup(void **state)
{
	static const char *const chain[] = {"slow", NULL};
	const struct source_options options = {.chain = chain, .providers = providers};
	struct fixture *f = calloc(1, sizeof(*f));
	struct table_options table;
	int pair[2];

	assert_non_null(f);
	snprintf(f->shm, sizeof(f->shm), "/herd-test-session-%d", (int)getpid());
	table = (struct table_options){.name = f->shm, .clients = 64, .long_clients = 64};
	help_member_new(&f->m);
	(void)table_unlink(f->shm); /* of a process that was killed and had the same id */
	assert_int_equal(table_open(&f->m.table, &table), 0);
	assert_int_equal(table_register(f->m.table, TABLE_MEMBER, "Alpha", ""), 0);
	assert_int_equal(source_new(&f->m.source, loop_base(f->m.loop), &options), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	f->client = pair[0];
	assert_int_equal(session_new(&f->m, pair[1], NULL), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	help_member_done(&f->m);
	if (f->client >= 0)
		close(f->client);
	table_unlink(f->shm);
	free(f);
	return 0;
}

/* What member_run() does between two waits. */
static void
turn_once(struct fixture *f)
{
	event_base_loop(loop_base(f->m.loop), EVLOOP_NONBLOCK);
	session_send_all(&f->m);
}

static void
turn(struct fixture *f)
{
	for (int i = 0; i < 10; i++)
		turn_once(f);
}

static void
say(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->client, text, strlen(text)), (ssize_t)strlen(text));
	turn(f);
}

/* All that has been sent to the client by now; the skew of AT lines is left out. */
static const char *
heard(struct fixture *f)
{
	static char text[65536];
	ssize_t n = read(f->client, text, sizeof(text) - 1);
	char *at;

	text[n < 0 ? 0 : n] = '\0';
	while ((at = strstr(text, " +")) && strstr(at + 1, " "))
		memmove(at, strchr(at + 1, ' '), strlen(strchr(at + 1, ' ')) + 1);
	return text;
}

#define ME    "IAMAT me +1+1 1\n"
#define AT_ME "AT Alpha me 1\n"

static void
test_order(void **state)
{
	struct fixture *f = *state;

	say(f, ME "WHATSAT me 1 1\nfoo\nWHATSAT me 1 2\nWHATSAT me 1 0\nbar\n");
	assert_int_equal(slow.count, 2);
	assert_string_equal(heard(f), "AT Alpha me 1\n");
	slow_answer(1); /* the later one first: nothing may overtake the earlier one */
	turn(f);
	assert_string_equal(heard(f), "");
	slow_answer(0);
	turn(f);
	assert_string_equal(heard(f),
			    AT_ME "{\"n\":0}\n\n? foo\n" AT_ME "{\"n\":1}\n\n" AT_ME "{}\n\n? bar\n");
}

static void
test_lookups_are_bounded(void **state)
{
	struct fixture *f = *state;

	say(f, ME);
	(void)heard(f);
	for (int i = 0; i < 20; i++)
		say(f, "WHATSAT me 1 1\n");
	assert_int_equal(slow.count, 8);
	assert_false(TAILQ_FIRST(&f->m.sessions)->reading);
	for (size_t i = 0; i < 20; i++) {
		assert_true(slow.count > i);
		slow_answer(i);
		turn(f);
		assert_non_null(strstr(heard(f), "\"n\""));
	}
	assert_true(TAILQ_FIRST(&f->m.sessions)->reading);
	assert_int_equal(f->m.count[TABLE_COUNTER_lookups], 0);
}

static void
test_client_goes_away(void **state)
{
	struct fixture *f = *state;

	say(f, ME "WHATSAT me 1 1\nWHATSAT me 1 1\n");
	(void)heard(f); /* closing with replies unread would be a reset */
	close(f->client);
	f->client = -1;
	turn(f);
	/* It sends no more, but its replies are still owed until sending fails. */
	slow_answer(0);
	turn(f);
	assert_true(TAILQ_EMPTY(&f->m.sessions));
	assert_int_equal(slow.cancelled, 1);
}

static void
test_half_close_waits_for_replies(void **state)
{
	struct fixture *f = *state;
	char byte;

	say(f, ME "WHATSAT me 1 1\nlast");
	shutdown(f->client, SHUT_WR);
	turn(f);
	assert_string_equal(heard(f), "AT Alpha me 1\n");
	slow_answer(0);
	turn(f);
	assert_string_equal(heard(f), AT_ME "{\"n\":0}\n\n? last\n");
	assert_int_equal(read(f->client, &byte, 1), 0);
	assert_true(TAILQ_EMPTY(&f->m.sessions));
}

static void
test_skipping_while_waiting(void **state)
{
	struct fixture *f = *state;
	char giant[6001];

	memset(giant, 'x', sizeof(giant) - 1);
	giant[sizeof(giant) - 1] = '\0';
	say(f, ME);
	(void)heard(f);
	for (int i = 0; i < 8; i++)
		say(f, "WHATSAT me 1 1\n");
	say(f, giant); /* not read now: eight lookups are under way */
	say(f, "\nWHATSAT me 1 0\n");
	for (size_t i = 0; i < 8; i++) {
		slow_answer(i);
		turn(f);
	}
	const char *all = heard(f);
	const char *refused = strstr(all, "? x");
	assert_non_null(refused);
	assert_int_equal(strcspn(refused, "\n"), 2 + 4096);
	assert_string_equal(strchr(refused, '\n') + 1, AT_ME "{}\n\n");
}

/* A giant line after the other, each finished in time: however long it goes on, nothing is late. */
static void
test_each_line_has_its_own_time(void **state)
{
	struct fixture *f = *state;
	char giants[6002];

	memset(giants, 'x', sizeof(giants) - 1);
	giants[0] = '\n';
	giants[sizeof(giants) - 1] = '\0';
	say(f, giants + 1);
	for (int i = 0; i < 5; i++) {
		f->m.now_ns += f->m.conf.line_timeout_ns * 2 / 3;
		say(f, giants);
		session_check_deadlines(TAILQ_FIRST(&f->m.sessions));
		assert_false(TAILQ_EMPTY(&f->m.sessions));
	}
	f->m.now_ns += f->m.conf.line_timeout_ns * 2 / 3;
	say(f, "still the same line");
	f->m.now_ns += f->m.conf.line_timeout_ns * 2 / 3;
	session_check_deadlines(TAILQ_FIRST(&f->m.sessions));
	assert_true(TAILQ_EMPTY(&f->m.sessions));
}

/* Long answers wait for the client's next turn, also when it sends no more; none is lost. */
static void
test_a_turn_is_bounded(void **state)
{
	enum { COUNT = 100 };
	struct fixture *f = *state;
	size_t seen = 0;
	char line[64], byte;
	int waiting;

	say(f, ME);
	(void)heard(f);
	for (int i = 0; i < COUNT; i++) {
		snprintf(line, sizeof(line), "WHATSAT me 1 20\nx%d\n", i);
		assert_int_equal(write(f->client, line, strlen(line)), (ssize_t)strlen(line));
	}
	assert_int_equal(write(f->client, "last", 4), 4);
	shutdown(f->client, SHUT_WR);
	turn_once(f);
	assert_int_equal(ioctl(f->client, FIONREAD, &waiting), 0);
	assert_in_range(waiting, BIG_ANSWER, MEMBER_OUTPUT_FULL + BIG_ANSWER + HERD_AT_MAX);

	for (int i = 0; i < 10 * COUNT; i++) {
		const char *at = heard(f);

		while ((at = strstr(at, "\n? "))) {
			at += 3;
			snprintf(line, sizeof(line), seen < COUNT ? "x%zu\n" : "last\n", seen);
			assert_memory_equal(at, line, strlen(line));
			seen++;
		}
		turn_once(f);
	}
	assert_int_equal(seen, COUNT + 1);
	assert_int_equal(read(f->client, &byte, 1), 0);
	assert_true(TAILQ_EMPTY(&f->m.sessions));
}

/* However a turn begins, the client is owed no more than unsent-max and one reply; and gets all in the end. */
static void
test_unsent_is_bounded(void **state)
{
	enum { COUNT = 200, MOST = 4 * BIG_ANSWER };
	struct fixture *f = *state;
	struct session *s = TAILQ_FIRST(&f->m.sessions);
	size_t seen = 0, most = 0;
	int small = 4096;

	f->m.conf.unsent_max = MOST;
	assert_int_equal(setsockopt(event_get_fd(&s->readable), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
			 0);
	say(f, ME);
	(void)heard(f);
	for (int i = 0; i < COUNT; i++)
		assert_true(write(f->client, "WHATSAT me 1 20\n", 16) == 16);
	for (int i = 0; i < 10 * COUNT && seen < COUNT; i++) {
		turn_once(f);
		if (s->out.len > most)
			most = s->out.len;
		for (const char *at = heard(f); (at = strstr(at, "\n\n")); at += 2)
			seen++;
	}
	assert_int_equal(seen, COUNT);
	assert_in_range(most, MOST / 2, MOST + BIG_ANSWER + HERD_AT_MAX);
}

/* Holds the locks of both buckets of an id, as a process that was stopped in the middle of writing. */
struct holder {
	struct table *table;
	_Atomic uint64_t *lock[2];
};

static void
holder_lock(struct holder *h, const struct fixture *f, struct text id)
{
	const struct table_options options = {.name = f->shm, .clients = 64, .long_clients = 64};
	struct table_key key;
	bool stolen;

	assert_int_equal(table_open(&h->table, &options), 0);
	assert_int_equal(table_register(h->table, TABLE_TOOL, "holder", ""), 0);
	table_key_make(h->table, id, &key);
	for (int i = 0; i < 2; i++) {
		h->lock[i] = segment_bucket(&h->table->segment, key_class(&h->table->segment, id),
					    key.bucket[i]);
		assert_int_equal(registry_lock(&h->table->segment, h->lock[i], h->table->self.owner, &stolen),
				 0);
	}
}

static void
holder_unlock(struct holder *h)
{
	for (int i = 0; i < 2; i++)
		registry_unlock(h->lock[i]);
	table_free(h->table);
}

/* What follows a fix that has to wait is answered as if it had not waited. */
static void
test_commands_wait_behind_a_fix(void **state)
{
	struct fixture *f = *state;
	struct holder holder;

	holder_lock(&holder, f, TEXT("me"));
	say(f, "foo\n" ME "WHATSAT me 1 0\nWHATSAT me 1 1\nbar\n" ME);
	assert_string_equal(heard(f), "? foo\n");
	answer_retry_stores(&f->m);
	turn(f);
	assert_string_equal(heard(f), "");
	assert_false(TAILQ_EMPTY(&f->m.waiting_store));

	holder_unlock(&holder);
	answer_retry_stores(&f->m);
	turn(f);
	assert_true(TAILQ_EMPTY(&f->m.waiting_store));
	assert_string_equal(heard(f), AT_ME AT_ME "{}\n\n");
	slow_answer(0);
	turn(f);
	assert_string_equal(heard(f), AT_ME "{\"n\":0}\n\n? bar\n" AT_ME);
}

/* The client goes while its fix waits: nothing is left of either. */
static void
test_client_goes_while_its_fix_waits(void **state)
{
	struct fixture *f = *state;
	struct holder holder;

	holder_lock(&holder, f, TEXT("me"));
	say(f, ME "half a line");
	session_free(TAILQ_FIRST(&f->m.sessions));
	assert_true(TAILQ_EMPTY(&f->m.waiting_store));
	holder_unlock(&holder);
	answer_retry_stores(&f->m);
}

/* Silence is allowed for idle-timeout, counted from the last bytes either way; a piece of a line is silence, too. */
static void
test_idle(void **state)
{
	struct fixture *f = *state;
	const int64_t most = 10 * CLOCK_SECOND_NS, least = most / 10;

	f->m.conf.line_timeout_ns = 100 * most;
	f->m.now_ns += 100 * most; /* never: 0 */
	session_check_deadlines(TAILQ_FIRST(&f->m.sessions));
	assert_false(TAILQ_EMPTY(&f->m.sessions));

	f->m.conf.idle_timeout_ns = most;
	say(f, "foo\n");
	for (int i = 0; i < 3; i++) {
		f->m.now_ns += most - 1;
		session_check_deadlines(TAILQ_FIRST(&f->m.sessions));
		assert_false(TAILQ_EMPTY(&f->m.sessions));
		say(f, i == 0 ? ME : "x");
	}
	say(f, "\n");
	f->m.now_ns += least;
	say(f, "WHATSAT me 1 1\n"); /* a lookup that takes longer than that */
	f->m.now_ns += 2 * most;
	session_check_deadlines(TAILQ_FIRST(&f->m.sessions));
	assert_false(TAILQ_EMPTY(&f->m.sessions));
	slow_answer(0);
	turn(f);
	f->m.now_ns += most - 1; /* the client has just been answered */
	session_check_deadlines(TAILQ_FIRST(&f->m.sessions));
	assert_false(TAILQ_EMPTY(&f->m.sessions));
	assert_non_null(strstr(heard(f), "{\"n\":0}"));
	assert_int_equal(f->m.count[TABLE_COUNTER_dropped], 0);
	f->m.now_ns += 1;
	session_check_deadlines(TAILQ_FIRST(&f->m.sessions));
	assert_true(TAILQ_EMPTY(&f->m.sessions));
}

/* The kernel took all replies so far and takes no more: whoever reads none of them is dropped also then. */
static void
test_rest_of_a_turn_has_a_deadline(void **state)
{
	struct fixture *f = *state;
	struct session *s = TAILQ_FIRST(&f->m.sessions);

	say(f, ME);
	f->m.now_ns += CLOCK_SECOND_NS;
	for (int i = 0; i < 100; i++)
		assert_true(write(f->client, "WHATSAT me 1 20\n", 16) == 16);
	turn(f);
	assert_true(s->more);
	assert_int_equal(s->out.len, 0);
	session_check_deadlines(s);
	assert_false(TAILQ_EMPTY(&f->m.sessions));
	f->m.now_ns += f->m.conf.send_timeout_ns;
	session_check_deadlines(s);
	assert_true(TAILQ_EMPTY(&f->m.sessions));
}

/* A UDP socket: bound to *where, which gets its port; or, if that is known, connected to it. */
static int
udp_socket(struct sockaddr_in *where)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof(*where);

	if (where->sin_port) {
		assert_int_equal(connect(fd, (struct sockaddr *)where, len), 0);
		return fd;
	}
	assert_int_equal(bind(fd, (struct sockaddr *)where, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)where, &len), 0);
	return fd;
}

static int
datagrams_waiting(int fd)
{
	static char reply[4096];
	int count = 0;

	while (recv(fd, reply, sizeof(reply), MSG_DONTWAIT) > 0)
		count++;
	return count;
}

/* One datagram of many slow commands: the others have their turns in between. */
static void
test_a_turn_of_datagrams_is_bounded(void **state)
{
	enum { COUNT = 100, LINE = sizeof("WHATSAT me 1 19\n") - 1, IN_A_TURN = 4 + ANSWER_BATCH };
	struct fixture *f = *state;
	char lines[COUNT * LINE];
	struct datagram *d;
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int server = udp_socket(&where), client = udp_socket(&where);
	int first, all, turns = 0;

	say(f, ME);
	for (int i = 0; i < COUNT; i++)
		memcpy(lines + i * LINE, "WHATSAT me 1 19\n", LINE);
	assert_int_equal(datagram_new(&d, &f->m, server), 0);
	assert_int_equal(send(client, lines, sizeof(lines), 0), (ssize_t)sizeof(lines));
	datagram_serve(d);
	first = all = datagrams_waiting(client);
	assert_in_range(first, 1, IN_A_TURN);
	while (all < COUNT && turns++ < 10 * COUNT) {
		turn_once(f);
		all += datagrams_waiting(client);
	}
	assert_int_equal(all, COUNT);
	datagram_free(d);
	close(server);
	close(client);
}

/* --- the member ends ------------------------------------------------------------ */

static bool
leave(struct fixture *f)
{
	return session_leave(TAILQ_FIRST(&f->m.sessions));
}

/* Nothing is owed: it ends at once, and in order. */
static void
test_leaves_at_once(void **state)
{
	struct fixture *f = *state;
	char byte;

	say(f, ME "a piece of a li");
	assert_string_equal(heard(f), AT_ME);
	assert_true(leave(f));
	assert_true(TAILQ_EMPTY(&f->m.sessions));
	assert_int_equal(read(f->client, &byte, 1), 0);
}

/* Commands that were read are answered, in order; those behind them are not read. */
static void
test_leaves_when_all_is_answered(void **state)
{
	struct fixture *f = *state;
	char byte;

	say(f, ME "WHATSAT me 1 1\nWHATSAT me 1 2\nlast\n");
	assert_string_equal(heard(f), AT_ME);
	assert_false(leave(f));
	say(f, "too late\n");
	assert_false(leave(f));
	slow_answer(1);
	turn(f);
	assert_false(leave(f));
	slow_answer(0);
	turn(f);
	assert_true(leave(f));
	assert_string_equal(heard(f), AT_ME "{\"n\":0}\n\n" AT_ME "{\"n\":1}\n\n? last\n");
	assert_int_equal(read(f->client, &byte, 1), 0); /* not a reset: what came too late was taken in */
}

/* Lines that had to wait for room are answered as the client reads. */
static void
test_leaves_when_all_is_read(void **state)
{
	struct fixture *f = *state;
	size_t replies = 0;
	char text[4096];
	ssize_t n;

	f->m.conf.unsent_max = 4096;
	say(f, ME);
	(void)heard(f);
	for (int i = 0; i < 100; i++) /* one turn reads them all; there is room for few replies */
		assert_int_equal(write(f->client, "WHATSAT me 1 20\n", 16), 16);
	turn(f);
	assert_true(TAILQ_FIRST(&f->m.sessions)->in.len > 0);
	assert_false(leave(f));
	while (!TAILQ_EMPTY(&f->m.sessions)) {
		while ((n = read(f->client, text, sizeof(text))) > 0)
			for (ssize_t i = 0; i < n; i++)
				replies += text[i] == 'A';
		turn(f);
		(void)leave(f);
	}
	while ((n = read(f->client, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			replies += text[i] == 'A';
	assert_int_equal(n, 0);
	assert_int_equal(replies, 2 * 100); /* "AT Alpha" */
}

/* The client goes on sending: it is not waited for, the member's time bounds it. */
static void
test_leaves_a_chatterbox(void **state)
{
	struct fixture *f = *state;
	char line[1000];
	int asked = 0;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	do {
		while (write(f->client, line, sizeof(line)) > 0)
			;
		assert_true(++asked < 1000);
	} while (!leave(f));
	assert_true(TAILQ_EMPTY(&f->m.sessions));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lookups_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_goes_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_close_waits_for_replies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_skipping_while_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_line_has_its_own_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_turn_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unsent_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rest_of_a_turn_has_a_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_turn_of_datagrams_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commands_wait_behind_a_fix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_goes_while_its_fix_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_when_all_is_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_when_all_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_a_chatterbox, setup, teardown),
	};

	help_clock_look_ns = 1000; /* whoever wants a lock looks again and again */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
