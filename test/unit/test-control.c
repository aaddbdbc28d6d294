/*
 * The program's end of a control socket: who may ask, how much and for how
 * long, and what the reply looks like: control.c. The linker puts our own
 * getsockopt() and accept4() before the real ones.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../clock-help.h"
#include "base/utf8.h"
#include "net/control.h"

struct fixture {
	char folder[40], path[HERD_CONTROL_PATH_MAX];
	struct loop *loop;
	struct control *control;
	unsigned int asked;
	char verb[HERD_CONTROL_REQUEST_MAX], argument[HERD_CONTROL_REQUEST_MAX];
	size_t flood; /* what "flood" adds to its reply */
};

/* --- the system, when the test wants it different --------------------------------------------- */

static bool stranger;
static int accept_error;
static unsigned int accepts;

int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

int
__wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	int r = __real_getsockopt(fd, level, option, value, len);

	if (r == 0 && stranger && option == SO_PEERCRED)
		((struct ucred *)value)->uid = geteuid() + 1;
	return r;
}

int
__wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	accepts++;
	errno = accept_error;
	return accept_error ? -1 : __real_accept4(fd, address, len, flags);
}

/* --- a program -------------------------------------------------------------------------------- */

static const struct control_identity identity = {"member", "Alpha", "/herd", "1.2.3"};

static int
on_request(void *arg, struct text verb, struct text argument, struct json_object *reply)
{
	struct fixture *f = arg;

	f->asked++;
	snprintf(f->verb, sizeof(f->verb), "%.*s", (int)verb.len, verb.at);
	snprintf(f->argument, sizeof(f->argument), "%.*s", (int)argument.len, argument.at);
	if (text_equal(verb, TEXT("nonsense")))
		return CONTROL_E_UNKNOWN;
	for (size_t i = 0; i < f->flood; i++) {
		char text[3000];

		memset(text, '"', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		control_add_to_list(reply, "messages", text);
	}
	control_set_ok(reply);
	return 0;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	stranger = false;
	accept_error = 0;
	accepts = 0;
	snprintf(f->folder, sizeof(f->folder), "/tmp/herd-test-control-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	assert_int_equal(control_path(f->path, f->folder, "/herd", HERD_CONTROL_MEMBER, "Alpha"), 0);
	assert_int_equal(loop_new(&f->loop), 0);
	assert_int_equal(control_new(&f->control, f->loop, f->path, &identity, on_request, f), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	control_free(f->control);
	loop_free(f->loop);
	assert_int_equal(rmdir(f->folder), 0); /* nothing is left behind */
	free(f);
	return 0;
}

static int
connect_to(const struct fixture *f)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, f->path, strlen(f->path) + 1);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void
turn(struct fixture *f)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(loop_base(f->loop), EVLOOP_NONBLOCK);
}

/* All that came; NULL: the connection is open, and nothing did. */
static const char *
hear(int fd)
{
	static char bytes[2 * HERD_CONTROL_REPLY_MAX];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, bytes + len, sizeof(bytes) - 1 - len, 0)) > 0)
		len += (size_t)n;
	bytes[len] = '\0';
	return n < 0 && errno == EAGAIN && len == 0 ? NULL : bytes;
}

static const char *
ask(struct fixture *f, const char *request)
{
	int fd = connect_to(f);
	const char *reply;

	assert_int_equal(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	turn(f);
	reply = hear(fd);
	close(fd);
	return reply;
}

#define HEAD(ok)      \
	"{\"ok\":" ok \
	",\"role\":\"member\",\"name\":\"Alpha\",\"shm\":\"/herd\",\"version\":\"1.2.3\",\"pid\":"

/* The reply with our own process's number taken out. */
static const char *
without_pid(const char *reply)
{
	static char text[4096];
	char pid[32];
	const char *at;

	assert_non_null(reply);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	at = strstr(reply, pid);
	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s", (int)(at - reply), reply, at + strlen(pid));
	return text;
}

/* --- asking ------------------------------------------------------------------------------------- */

static void
test_paths(void **state)
{
	char path[HERD_CONTROL_PATH_MAX] = "", folder[HERD_CONTROL_PATH_MAX];

	(void)state;
	assert_int_equal(control_path(path, "/run/herd", "/herd", HERD_CONTROL_MEMBER, "Alpha"), 0);
	assert_string_equal(path, "/run/herd/herd:member:Alpha");
	assert_int_equal(control_path(path, "/run/herd", "/herd", HERD_CONTROL_HELPER, NULL), 0);
	assert_string_equal(path, "/run/herd/herd:flood");
	memset(folder, 'f', sizeof(folder));
	folder[sizeof(folder) - 12] = '\0'; /* with "/herd.flood" one byte too many */
	assert_int_equal(control_path(path, folder, "/herd", HERD_CONTROL_HELPER, NULL), 0);
	folder[sizeof(folder) - 12] = 'f';
	folder[sizeof(folder) - 11] = '\0';
	assert_int_equal(control_path(path, folder, "/herd", HERD_CONTROL_HELPER, NULL), -ENAMETOOLONG);
}

static void
test_request(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(without_pid(ask(f, "status\n")), HEAD("true") "}\n");
	assert_string_equal(f->verb, "status");
	assert_string_equal(f->argument, "");
	ask(f, " verb  argument \nmore");
	assert_string_equal(f->verb, "verb");
	assert_string_equal(f->argument, "argument");
}

static void
test_bad_requests(void **state)
{
	struct fixture *f = *state;
	char line[HERD_CONTROL_REQUEST_MAX + 10];

	assert_string_equal(without_pid(ask(f, "nonsense\n")),
			    HEAD("false") ",\"messages\":[\"there is no such verb here\"]}\n");
	assert_int_equal(f->asked, 1);
	assert_string_equal(without_pid(ask(f, "\n")),
			    HEAD("false") ",\"messages\":[\"this is no request\"]}\n");
	assert_non_null(strstr(ask(f, "a b c\n"), "this is no request"));
	assert_non_null(strstr(ask(f, "\x1b[31m\n"), "this is no request"));
	assert_non_null(strstr(ask(f, "caf\xc3\xa9\n"), "this is no request"));
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	assert_non_null(strstr(ask(f, line), "the request is too long"));
	line[HERD_CONTROL_REQUEST_MAX - 1] = '\n'; /* just not too long */
	line[HERD_CONTROL_REQUEST_MAX] = '\0';
	assert_int_equal(f->asked, 1);
	assert_non_null(ask(f, line));
	assert_int_equal(f->asked, 2);
}

static void
test_in_pieces(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f);

	for (const char *at = "status"; *at; at++) {
		assert_int_equal(send(fd, at, 1, 0), 1);
		turn(f);
		assert_null(hear(fd));
	}
	assert_int_equal(send(fd, "\n", 1, 0), 1);
	turn(f);
	assert_string_equal(without_pid(hear(fd)), HEAD("true") "}\n");
	close(fd);
}

static void
test_leaves_early(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f);

	assert_int_equal(send(fd, "stat", 4, 0), 4);
	shutdown(fd, SHUT_WR);
	turn(f);
	assert_string_equal(hear(fd), "");
	close(fd);
	fd = connect_to(f);
	assert_int_equal(send(fd, "status\n", 7, 0), 7);
	close(fd); /* before the reply */
	turn(f);
	assert_int_equal(f->asked, 1);
	assert_non_null(ask(f, "status\n"));
}

/* --- replies -------------------------------------------------------------------------------------- */

/* A reply that does not fit the socket's buffer comes in pieces; one that would never end is cut. */
static void
test_long_reply(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f), small = 4096;
	static char bytes[2 * HERD_CONTROL_REPLY_MAX];
	struct json_object *reply, *list;
	size_t len = 0;
	ssize_t n;

	f->flood = 10000;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(send(fd, "flood\n", 6, 0), 6);
	do {
		turn(f);
		n = recv(fd, bytes + len, 1000, 0);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	close(fd);
	bytes[len] = '\0';
	assert_true(len > 64 << 10 && len <= HERD_CONTROL_REPLY_MAX);
	assert_int_equal(bytes[len - 1], '\n');
	reply = json_tokener_parse(bytes);
	assert_non_null(reply);
	assert_true(json_object_object_get_ex(reply, "messages", &list));
	assert_int_equal(json_object_array_length(list), 40);
	assert_string_equal(json_object_get_string(json_object_array_get_idx(list, 39)),
			    "more than fits here");
	json_object_put(reply);
}

static void
test_strings(void **state)
{
	struct json_object *reply = json_object_new_object(), *value;
	struct report r = {0};

	(void)state;
	control_add_string(reply, "bytes", "\xff\x1b\xc3\xa9\"");
	assert_true(json_object_object_get_ex(reply, "bytes", &value));
	assert_string_equal(json_object_get_string(value), "\\xff\\x1b\xc3\xa9\"");
	report_fact(&r, "3 clients");
	report_degraded(&r, "no helper");
	control_add_report(reply, &r);
	assert_true(json_object_object_get_ex(reply, "status", &value));
	assert_string_equal(json_object_get_string(value), "3 clients. Degraded: no helper");
	assert_true(json_object_object_get_ex(reply, "facts", &value));
	assert_string_equal(json_object_get_string(value), "3 clients");
	assert_true(json_object_object_get_ex(reply, "degraded", &value));
	assert_int_equal(json_object_array_length(value), 1);
	assert_true(json_object_object_get_ex(reply, "notes", &value));
	assert_int_equal(json_object_array_length(value), 0);
	json_object_put(reply);
}

/* --- who, how many, how long ------------------------------------------------------------------------ */

static void
test_only_for_its_user(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	stranger = true;
	assert_string_equal(ask(f, "status\n"), ""); /* sent away without a word */
	assert_int_equal(f->asked, 0);
	stranger = false;
	assert_non_null(strstr(ask(f, "status\n"), "true"));
}

enum { MANY = 20, AT_A_TIME = 8 };

static void
test_a_few_at_a_time(void **state)
{
	struct fixture *f = *state;
	int fd[MANY];

	for (size_t i = 0; i < MANY; i++)
		fd[i] = connect_to(f);
	turn(f);
	assert_int_equal(accepts, AT_A_TIME);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(send(fd[i], "status\n", 7, 0), 7);
	turn(f); /* as one leaves the next may come */
	for (size_t i = 0; i < MANY; i++) {
		assert_non_null(strstr(hear(fd[i]), "true"));
		close(fd[i]);
	}
	assert_int_equal(f->asked, MANY);
}

/* Clients that say nothing are gone after a while, and whoever waited behind them is served. */
static void
test_time_is_bounded(void **state)
{
	struct fixture *f = *state;
	int silent[AT_A_TIME], slow;
	int64_t began_ns = clock_monotonic_ns();

	for (size_t i = 0; i < AT_A_TIME; i++)
		silent[i] = connect_to(f);
	slow = connect_to(f);
	assert_int_equal(send(slow, "status\n", 7, 0), 7);
	while (f->asked == 0) {
		const struct timeval a_moment = {.tv_usec = 50000};

		/* A byte now and then does not buy more time. */
		(void)send(silent[0], "x", 1, MSG_NOSIGNAL);
		event_base_loopexit(loop_base(f->loop), &a_moment);
		event_base_dispatch(loop_base(f->loop));
		assert_true(clock_monotonic_ns() - began_ns < 60 * CLOCK_SECOND_NS);
	}
	assert_true(clock_monotonic_ns() - began_ns > 4 * CLOCK_SECOND_NS);
	turn(f);
	for (size_t i = 0; i < AT_A_TIME; i++) {
		assert_string_equal(hear(silent[i]), "");
		close(silent[i]);
	}
	assert_non_null(strstr(hear(slow), "true"));
	close(slow);
}

/* Without descriptors it pauses instead of spinning, and comes back. */
static void
test_no_descriptors(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f);

	assert_int_equal(send(fd, "status\n", 7, 0), 7);
	accept_error = EMFILE;
	for (int i = 0; i < 50; i++)
		turn(f);
	assert_int_equal(accepts, 1);
	accept_error = 0;
	while (f->asked == 0)
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	assert_non_null(strstr(hear(fd), "true"));
	close(fd);
}

/* --- the socket -------------------------------------------------------------------------------------- */

static void
test_taken(void **state)
{
	struct fixture *f = *state;
	struct control *second = NULL;

	assert_int_equal(control_new(&second, f->loop, f->path, &identity, on_request, f), -EADDRINUSE);
	assert_null(second);
	assert_non_null(ask(f, "status\n")); /* still the first one's */
}

/* What a killed program left behind is replaced. */
static void
test_left_behind(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	f->control = control_free(f->control);
	memcpy(at.sun_path, f->path, strlen(f->path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
	assert_int_equal(control_new(&f->control, f->loop, f->path, &identity, on_request, f), 0);
	assert_non_null(ask(f, "status\n"));
}

static void
test_no_folder(void **state)
{
	struct fixture *f = *state;
	struct control *c = NULL;

	assert_int_equal(control_new(&c, f->loop, "/nonexistent/herd.flood", &identity, on_request, f),
			 -ENOENT);
	assert_null(c);
	assert_null(control_free(NULL));
}

/* Clients that are in the middle of something when the program ends. */
static void
test_ends_with_clients(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f);

	turn(f);
	f->control = control_free(f->control);
	assert_string_equal(hear(fd), "");
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_strings),
		cmocka_unit_test_setup_teardown(test_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_reply, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_for_its_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_few_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends_with_clients, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
