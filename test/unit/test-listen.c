/*
 * Sockets of our own: what connections inherit; which file at a path may be
 * replaced, and which one is removed at the end.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/listen.h"
#include "net/passed.h"

struct fixture {
	char folder[64], path[96];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->folder, sizeof(f->folder), "/tmp/herd-test-listen-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	assert_int_equal(rmdir(f->folder), 0);
	free(f);
	return 0;
}

/* A socket of that type bound to the path, as somebody else would make it. */
static int
foreign_socket(const struct fixture *f, int type)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	assert_true(fd >= 0);
	memcpy(name.sun_path, f->path, strlen(f->path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	return fd;
}

static ino_t
file_at(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static void
test_stale_file_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct listen_socket l;

	close(foreign_socket(f, SOCK_STREAM));
	assert_int_equal(listen_unix(&l, f->path), 0);
	assert_int_equal(l.kind, LISTEN_STREAM);
	assert_int_equal(strncmp(l.text, "unix /tmp/herd-test-listen-", 27), 0);
	listen_done(&l);
	assert_int_equal(file_at(f->path), 0);
}

/* Of whatever type: only a path that refuses connections is free. */
static void
test_socket_in_use_is_left_alone(void **state)
{
	static const int types[] = {SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
	struct fixture *f = *state;
	struct listen_socket l;

	for (size_t i = 0; i < ELEMENTS(types); i++) {
		int fd = foreign_socket(f, types[i]);
		ino_t file = file_at(f->path);

		if (types[i] != SOCK_DGRAM)
			assert_int_equal(listen(fd, 1), 0);
		assert_int_equal(listen_unix(&l, f->path), -EADDRINUSE);
		assert_int_equal(file_at(f->path), file);
		close(fd);
		unlink(f->path);
	}
}

static void
test_other_file_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct listen_socket l;

	assert_int_equal(symlink("/nowhere", f->path), 0);
	assert_int_equal(listen_unix(&l, f->path), -EADDRINUSE);
	assert_true(file_at(f->path) != 0);
}

static void
test_paths_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	struct listen_socket l;
	char path[160];

	assert_int_equal(listen_unix(&l, ""), -ENAMETOOLONG);
	memset(path, 'p', sizeof(path));
	path[sizeof(((struct sockaddr_un *)0)->sun_path)] = '\0';
	assert_int_equal(listen_unix(&l, path), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/no/such/folder", f->folder);
	assert_int_equal(listen_unix(&l, path), -ENOENT);
}

/* Two that had the same path, one after the other: the first one's end is not the second one's. */
static void
test_only_our_own_file_is_removed(void **state)
{
	struct fixture *f = *state;
	struct listen_socket first, second;
	ino_t file;

	assert_int_equal(listen_unix(&first, f->path), 0);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(listen_unix(&second, f->path), 0);
	file = file_at(f->path);
	listen_done(&first);
	assert_int_equal(file_at(f->path), file);
	listen_done(&second);
	assert_int_equal(file_at(f->path), 0);
}

/* A client of that socket; closes both. */
static void
check_inherited(struct listen_socket *l)
{
	struct sockaddr_storage where;
	socklen_t len = sizeof(where), size = sizeof(int);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	int accepted, nodelay = 0, keepalive = 0, unsent = 0, unread = 0;

	assert_int_equal(getsockname(l->fd, (struct sockaddr *)&where, &len), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&where, len), 0);
	accepted = accept(l->fd, NULL, NULL);
	assert_true(accepted >= 0);
	assert_int_equal(getsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size), 0);
	assert_int_equal(getsockopt(accepted, SOL_SOCKET, SO_KEEPALIVE, &keepalive, &size), 0);
	assert_int_equal(getsockopt(accepted, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, &size), 0);
	assert_int_equal(getsockopt(accepted, SOL_SOCKET, SO_RCVBUF, &unread, &size), 0);
	assert_true(nodelay && keepalive);
	assert_int_equal(unsent, 128 << 10);
	assert_int_equal(unread, 128 << 10);
	close(accepted);
	close(client);
	listen_done(l);
}

/* Those that connect have what the listening socket was given, also one that was handed over. */
static void
test_options_are_inherited(void **state)
{
	const struct sockaddr_in loopback = {.sin_family = AF_INET,
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct listen_socket l;
	struct address address;
	int fd;

	(void)state;
	assert_int_equal(address_parse(TEXT("127.0.0.1:0"), &address), 0);
	assert_int_equal(listen_tcp(&l, &address), 0);
	check_inherited(&l);

	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&loopback, sizeof(loopback)), 0);
	assert_int_equal(listen(fd, 1), 0);
	if (fd != PASSED_FIRST) { /* which nobody here has */
		assert_int_equal(fcntl(PASSED_FIRST, F_GETFD), -1);
		assert_int_equal(dup2(fd, PASSED_FIRST), PASSED_FIRST);
		close(fd);
	}
	assert_int_equal(listen_adopt(&l, 0, NULL, 1), 0);
	check_inherited(&l);
}

/* What came from the service manager's store is no socket, whatever it is. */
static void
test_stored_is_no_socket(void **state)
{
	struct listen_socket l;
	char line[] = "line", starts[] = "starts", *names[] = {starts, line, starts};

	(void)state;
	assert_int_equal(listen_count(names, 3), 1);
	assert_int_equal(listen_count(names, 1), 0);
	assert_int_equal(listen_count(NULL, 2), 2);
	assert_int_equal(listen_adopt(&l, 0, names, 3), LISTEN_E_STORED);
	assert_int_equal(listen_adopt(&l, 3, names, 3), -ENOENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stale_file_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket_in_use_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_file_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths_that_cannot_be, setup, teardown),
		cmocka_unit_test(test_options_are_inherited),
		cmocka_unit_test_setup_teardown(test_only_our_own_file_is_removed, setup, teardown),
		cmocka_unit_test(test_stored_is_no_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
