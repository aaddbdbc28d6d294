/* Tests of flood/dial.h and flood/resolve.h: names and numbers, those who answer and those who do not. */
#include "unit.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "flood/dial.h"
#include "flood/resolve.h"

/* The linker puts this in front of glibc's: "slow.*" is a name server that does not answer for a while, or
   until it may. */
static _Atomic bool is_held;
int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret);

int
__wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	if (strcmp(node, "none") == 0)
		return EAI_NONAME;
	if (strncmp(node, "slow", 4) == 0)
		do
			usleep(100000);
		while (atomic_load(&is_held));
	return __real_getaddrinfo("127.0.0.1", service, hints, ret);
}

struct fixture {
	struct loop *loop;
	struct loop_timer *timer;
	struct dial *dial;
	int fd, calls;
	char where[ADDRESS_TEXT_MAX], why[256];
};

static void
on_end(void *arg, int fd, const struct address *where, const char *why)
{
	struct fixture *f = arg;

	f->calls++;
	f->fd = fd;
	if (where)
		address_format((const struct sockaddr *)&where->socket, f->where);
	snprintf(f->why, sizeof(f->why), "%s", why ? why : "");
	f->dial = dial_free(f->dial);
	loop_stop(f->loop);
}

static void
on_timer(void *arg)
{
	struct fixture *f = arg;

	loop_stop(f->loop);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fd = -1;
	assert_int_equal(loop_new(&f->loop), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	dial_free(f->dial);
	if (f->fd >= 0)
		close(f->fd);
	loop_timer_free(f->timer);
	loop_free(f->loop);
	free(f);
	return 0;
}

/* A port that nobody else can have while the descriptor is open; nobody listens there yet. */
static uint16_t
bind_somewhere(int *ret_fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);

	*ret_fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(*ret_fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static uint16_t
listen_somewhere(int *ret_fd)
{
	uint16_t port = bind_somewhere(ret_fd);

	assert_int_equal(listen(*ret_fd, 8), 0);
	return port;
}

static void
dial(struct fixture *f, const char *host, uint16_t port)
{
	char address[300];

	snprintf(address, sizeof(address), "%s:%u", host, port);
	f->calls = 0;
	assert_int_equal(dial_start(&f->dial, f->loop, address, on_end, f), 0);
	assert_int_equal(f->calls, 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->calls, 1);
}

static void
test_answers(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", "slow.example"};
	struct fixture *f = *state;
	char expected[64];
	uint16_t port;
	int fd;

	port = listen_somewhere(&fd);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", port);
	for (size_t i = 0; i < ELEMENTS(hosts); i++) {
		dial(f, hosts[i], port);
		assert_string_equal(f->why, "");
		assert_string_equal(f->where, expected);
		assert_true(f->fd >= 0);
		close(f->fd);
		f->fd = -1;
	}
	close(fd);
}

static void
test_refuses(void **state)
{
	struct fixture *f = *state;
	char expected[300], name[300];
	uint16_t port;
	int fd;

	port = bind_somewhere(&fd);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u: Connection refused", port);
	dial(f, "127.0.0.1", port);
	assert_int_equal(f->fd, -1);
	assert_string_equal(f->why, expected);
	dial(f, "hill", port);
	assert_string_equal(f->why, expected);
	snprintf(expected, sizeof(expected), "none:%u: Name or service not known", port);
	dial(f, "none", port);
	assert_string_equal(f->why, expected);
	memset(name, 'x', 256);
	name[256] = '\0';
	dial(f, name, port);
	assert_non_null(strstr(f->why, ": Invalid argument"));
	dial(f, "[::ffff:0:0]", 1);
	assert_int_equal(f->fd, -1);
	close(fd);
}

/* Threads that still wait are left alone, and no more than a few of them are made. */
static void
test_leaves(void **state)
{
	const int64_t began_ns = clock_monotonic_ns();
	struct fixture *f = *state;
	struct dial *more[9];

	atomic_store(&is_held, true);
	for (size_t i = 0; i < ELEMENTS(more) - 1; i++)
		assert_int_equal(dial_start(&more[i], f->loop, "slow:1", on_end, f), 0);
	dial(f, "slow", 1);
	assert_string_equal(f->why, "slow:1: too many names are looked up");
	for (size_t i = 0; i < ELEMENTS(more) - 1; i++)
		dial_free(more[i]);
	f->calls = 0;
	atomic_store(&is_held, false);
	assert_int_equal(loop_timer_new(&f->timer, f->loop, 300 * CLOCK_MSEC_NS, on_timer, f), 0);
	assert_int_equal(loop_run(f->loop), 0);
	f->timer = loop_timer_free(f->timer);
	assert_int_equal(f->calls, 0);
	do
		dial(f, "slow", 1);
	while (strstr(f->why, "too many names") && clock_monotonic_ns() - began_ns < 10 * CLOCK_SECOND_NS);
	assert_non_null(strstr(f->why, ": Connection refused"));
}

/* Somebody who never answers: a full backlog. */
static void
test_times_out(void **state)
{
	struct fixture *f = *state;
	struct dial *fill[64];
	size_t count = 0;
	uint16_t port;
	int fd;

	port = listen_somewhere(&fd);
	assert_int_equal(listen(fd, 0), 0);
	for (char address[64]; count < 8; count++) {
		snprintf(address, sizeof(address), "127.0.0.1:%u", port);
		assert_int_equal(dial_start(&fill[count], f->loop, address, on_end, f), 0);
	}
	f->dial = NULL;
	for (size_t i = 0; i < count && f->why[0] == '\0'; i++) {
		f->calls = 0;
		assert_int_equal(loop_run(f->loop), 0);
		if (f->fd >= 0)
			close(f->fd);
		f->fd = -1;
	}
	assert_non_null(strstr(f->why, ": no answer"));
	for (size_t i = 0; i < count; i++)
		dial_free(fill[i]);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_times_out, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
