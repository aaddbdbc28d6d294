#ifndef TEST_NOTIFY_HELP_H
#define TEST_NOTIFY_HELP_H
/* A service manager for tests: the other end of NOTIFY_SOCKET. Include unit.h first. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct manager {
	int fd;
	struct sockaddr_un at; /* an abstract name, which the kernel made up */
	socklen_t at_len;
	int passed; /* the descriptor that came with the last message; -1: none */
};

/* Binds, and says so in the environment. */
static inline void
manager_open(struct manager *m)
{
	sa_family_t family = AF_UNIX;
	char where[sizeof(m->at.sun_path) + 1] = "@";

	*m = (struct manager){.passed = -1, .at_len = sizeof(m->at)};
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(m->fd >= 0);
	/* Only the family: the kernel finds a name. */
	m->at.sun_family = AF_UNIX;
	assert_int_equal(bind(m->fd, (struct sockaddr *)&m->at, sizeof(family)), 0);
	assert_int_equal(getsockname(m->fd, (struct sockaddr *)&m->at, &m->at_len), 0);
	memcpy(where + 1, m->at.sun_path + 1, m->at_len - offsetof(struct sockaddr_un, sun_path) - 1);
	assert_int_equal(setenv("NOTIFY_SOCKET", where, 1), 0);
}

static inline void
manager_close(struct manager *m)
{
	if (m->passed >= 0)
		close(m->passed);
	close(m->fd);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
}

/* The next message, or "" when none is there. */
static inline const char *
manager_hear(struct manager *m)
{
	static char text[4096];
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec bytes = {.iov_base = text, .iov_len = sizeof(text) - 1};
	struct msghdr message = {
		.msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(m->fd, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	text[n > 0 ? n : 0] = '\0';
	if (m->passed >= 0)
		close(m->passed);
	m->passed = -1;
	if (head && head->cmsg_type == SCM_RIGHTS)
		memcpy(&m->passed, CMSG_DATA(head), sizeof(m->passed));
	return text;
}

/* Fills its queue, as a service manager that does not read has it. Returns how many messages that took. */
static inline unsigned int
manager_fill(const struct manager *m)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	unsigned int count = 0;

	assert_true(fd >= 0);
	while (sendto(fd, "FILL=1", 6, 0, (const struct sockaddr *)&m->at, m->at_len) == 6)
		assert_true(++count < 100000);
	assert_int_equal(errno, EAGAIN);
	close(fd);
	return count;
}

#endif
