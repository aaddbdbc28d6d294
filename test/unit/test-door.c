/*
 * A door with an accept() that fails as the test says: no failure makes it
 * spin, none closes it for good, and nobody comes in beyond a limit.
 */
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "member-help.h"
#include "member/door.h"

enum { CLIENTS_MAX = 200, PAUSE_NS = 100000000, BURST = 32 };

struct fixture {
	struct member m;
	struct door *door;
	struct sockaddr_in where;
	int listener; /* the door's */
	int client[CLIENTS_MAX];
	size_t clients;
};

static int accept_error;
static unsigned int accepts;
static bool no_events;

int __real_accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags);
int __real_event_add(struct event *event, const struct timeval *timeout);
int __wrap_event_add(struct event *event, const struct timeval *timeout);

int
__wrap_accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags)
{
	accepts++;
	if (accept_error == 0)
		return __real_accept4(fd, peer, len, flags);
	errno = accept_error;
	return -1;
}

/* Without memory a descriptor cannot be added; a timer that had its place has it still. */
int
__wrap_event_add(struct event *event, const struct timeval *timeout)
{
	return no_events && !timeout ? -1 : __real_event_add(event, timeout);
}

static int
set_up(void **state)
{
	const struct table_options table = {.clients = 64, .long_clients = 64};
	struct fixture *f = calloc(1, sizeof(*f));
	struct listen_socket socket;
	struct address any;
	socklen_t len = sizeof(f->where);

	assert_non_null(f);
	help_member_new(&f->m);
	assert_int_equal(table_open_private(&f->m.table, &table), 0);
	assert_int_equal(address_parse(TEXT("127.0.0.1:0"), &any), 0);
	assert_int_equal(listen_tcp(&socket, &any), 0);
	assert_int_equal(getsockname(socket.fd, (struct sockaddr *)&f->where, &len), 0);
	f->listener = socket.fd;
	assert_int_equal(door_new(&f->door, &f->m, &socket), 0);
	accept_error = 0;
	accepts = 0;
	no_events = false;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	while (f->clients > 0)
		close(f->client[--f->clients]);
	help_member_drop_sessions(&f->m);
	door_free(f->door);
	help_member_done(&f->m);
	free(f);
	return 0;
}

static void
turn(struct fixture *f)
{
	event_base_loop(loop_base(f->m.loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* How many have come and are not accepted yet: that is what the kernel says of a listening socket. */
static unsigned int
count_waiting(const struct fixture *f)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(f->listener, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_unacked;
}

/* Comes from 127.0.0.`host`. Connected is not there yet: on a busy machine the kernel does the rest later. */
static void
come(struct fixture *f, uint32_t host)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl((127U << 24) + host)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	unsigned int before = count_waiting(f);

	assert_true(fd >= 0 && f->clients < CLIENTS_MAX);
	f->client[f->clients++] = fd;
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&f->where, sizeof(f->where)), 0);
	for (int i = 0; i < 10000 && count_waiting(f) == before; i++)
		usleep(1000);
	assert_int_equal(count_waiting(f), before + 1);
}

/* The loop goes on until then; how often it turned. */
static unsigned int
run_for(struct fixture *f, int64_t ns)
{
	int64_t end_ns = clock_monotonic_ns() + ns;
	unsigned int turns = 0;

	for (; clock_monotonic_ns() < end_ns; turns++)
		turn(f);
	return turns;
}

/* The loop goes on until so many have come; ten seconds at most. */
static void
run_until_here(struct fixture *f, unsigned int sessions)
{
	int64_t end_ns = clock_monotonic_ns() + 10 * CLOCK_SECOND_NS;

	while (f->m.session_count != sessions && clock_monotonic_ns() < end_ns)
		turn(f);
	assert_int_equal(f->m.session_count, sessions);
}

static void
test_pause(void **state)
{
	static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EINVAL};
	struct fixture *f = *state;

	come(f, 1);
	for (size_t i = 0; i < ELEMENTS(errors); i++) {
		accept_error = errors[i];
		accepts = 0;
		assert_true(run_for(f, 5 * PAUSE_NS) > 100);
		assert_in_range(accepts, 1, 6);
	}
	assert_int_equal(f->m.session_count, 0);
	accept_error = 0;
	run_until_here(f, 1);
}

/* What concerns one client only does not keep the others waiting; but not for ever in one turn. */
static void
test_no_pause(void **state)
{
	static const int errors[] = {ECONNABORTED, EINTR, EPROTO, EPERM};
	struct fixture *f = *state;

	come(f, 1);
	for (size_t i = 0; i < ELEMENTS(errors); i++) {
		accept_error = errors[i];
		accepts = 0;
		turn(f);
		assert_int_equal(accepts, BURST);
	}
	accept_error = 0;
	turn(f);
	assert_int_equal(f->m.session_count, 1);
}

static void
test_turn_is_bounded(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 100; i++)
		come(f, 1);
	for (uint32_t most = BURST; most < 100 + BURST; most += BURST) {
		turn(f);
		assert_int_equal(f->m.session_count, most < 100 ? most : 100);
	}
}

/* Before it is closed for good everybody who waits comes in, and nobody is waited for. */
static void
test_take_rest(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 3 * BURST; i++)
		come(f, 1);
	door_take_rest(f->door);
	assert_int_equal(f->m.session_count, 3 * BURST);
	door_take_rest(f->door);
	assert_int_equal(f->m.session_count, 3 * BURST);
}

/* The rest of the descriptors is not for clients: they wait until one of them leaves. */
static void
test_room(void **state)
{
	struct fixture *f = *state;

	f->m.session_room = 2;
	for (int i = 0; i < 3; i++)
		come(f, 1);
	run_for(f, 3 * PAUSE_NS);
	assert_int_equal(f->m.session_count, 2);
	assert_int_equal(accepts, 2);
	session_free(TAILQ_FIRST(&f->m.sessions));
	run_until_here(f, 2);
	run_for(f, 2 * PAUSE_NS);
	assert_int_equal(f->m.session_count, 2);
	assert_int_equal(accepts, 3);
}

/* Also when the end of the pause finds no memory. */
static void
test_opens_again(void **state)
{
	struct fixture *f = *state;

	come(f, 1);
	accept_error = EMFILE;
	turn(f);
	accept_error = 0;
	no_events = true;
	assert_true(run_for(f, 3 * PAUSE_NS) > 100);
	assert_int_equal(f->m.session_count, 0);
	no_events = false;
	run_until_here(f, 1);
}

static void
test_limits(void **state)
{
	struct fixture *f = *state;

	f->m.conf.connections_max = 5;
	f->m.conf.connections_per_address = 3;
	for (int i = 0; i < 4; i++)
		come(f, 1);
	turn(f);
	assert_int_equal(f->m.session_count, 3);
	for (int i = 0; i < 3; i++)
		come(f, 2);
	turn(f);
	assert_int_equal(f->m.session_count, 5);
	assert_int_equal(crowd_addresses(f->m.crowd), 2);
	session_free(TAILQ_FIRST(&f->m.sessions)); /* of the first address */
	come(f, 1);
	turn(f);
	assert_int_equal(f->m.session_count, 5);
	f->m.conf.connections_per_address = 0;
	f->m.conf.connections_max = 6;
	come(f, 1);
	turn(f);
	assert_int_equal(f->m.session_count, 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pause, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_pause, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_turn_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_take_rest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_opens_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
