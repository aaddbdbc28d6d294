/*
 * Floor: the least a server of the line protocol can do. A bare epoll loop that
 * finds the line ends and answers each with one constant AT line, as long as a
 * member's usual one (or as long as it is told). Nothing is parsed, checked or stored, so what this
 * reaches is what sockets cost, and no member can be faster.
 *
 * It promises no more than a benchmark needs: one thread, loopback, replies in
 * order, a peer that does not read is waited for without memory.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"

enum {
	FLOOR_IN = 128 * 1024,
	FLOOR_LINES = 4096, /* replies per send */
	FLOOR_LINE_MAX = 8192,
	FLOOR_EVENTS = 64,
	FLOOR_FDS = 32 * 1024, /* descriptors above this are refused */
};

static const struct text floor_usual = TEXT(
	"AT Floor +0.000123456 u0123456.taxi.example.com +34.068930-118.445127 1621464827.959498503\n");

struct floor_server {
	int epoll, listener;
	size_t line_len;
	char *in;		    /* one read, shared by all connections */
	char *out;		    /* the line, FLOOR_LINES times */
	uint64_t unsent[FLOOR_FDS]; /* bytes owed to a peer that does not read: they are all alike */
};

static void
floor_watch(struct floor_server *s, int fd, uint32_t events, int how)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(s->epoll, how, fd, &event) < 0) {
		perror("bench-floor: epoll_ctl");
		exit(1);
	}
}

/* Sends what is owed. The first byte to send is where the owed bytes end at a line end. */
static int
floor_flush(struct floor_server *s, int fd, bool watched)
{
	while (s->unsent[fd] > 0) {
		size_t most = FLOOR_LINES * s->line_len;
		size_t start = (s->line_len - s->unsent[fd] % s->line_len) % s->line_len;
		size_t len = s->unsent[fd] < most - start ? s->unsent[fd] : most - start;
		ssize_t n = send(fd, s->out + start, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			if (!watched)
				floor_watch(s, fd, EPOLLOUT, EPOLL_CTL_MOD);
			return 0;
		}
		if (n < 0)
			return -errno;
		s->unsent[fd] -= (size_t)n;
	}
	if (watched)
		floor_watch(s, fd, EPOLLIN, EPOLL_CTL_MOD);
	return 0;
}

static int
floor_read(struct floor_server *s, int fd)
{
	ssize_t n = recv(fd, s->in, FLOOR_IN, 0);
	const char *at, *end;

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	end = s->in + n;
	for (at = s->in; at < end && (at = memchr(at, '\n', (size_t)(end - at))); at++)
		s->unsent[fd] += s->line_len;
	return floor_flush(s, fd, false);
}

static void
floor_accept(struct floor_server *s)
{
	int one = 1, fd;

	while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= FLOOR_FDS) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		s->unsent[fd] = 0;
		floor_watch(s, fd, EPOLLIN, EPOLL_CTL_ADD);
	}
}

static void
floor_serve(struct floor_server *s)
{
	struct epoll_event events[FLOOR_EVENTS];

	for (;;) {
		int n = epoll_wait(s->epoll, events, FLOOR_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd, r;

			if (fd == s->listener) {
				floor_accept(s);
				continue;
			}
			r = events[i].events & EPOLLOUT ? floor_flush(s, fd, true) : floor_read(s, fd);
			if (r < 0)
				close(fd);
		}
	}
}

static int
floor_listen(struct floor_server *s, uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port),
	};
	socklen_t len = sizeof(address);
	int one = 1;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->epoll < 0 || s->listener < 0)
		return -errno;
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s->listener, (struct sockaddr *)&address, len) < 0 || listen(s->listener, SOMAXCONN) < 0 ||
	    getsockname(s->listener, (struct sockaddr *)&address, &len) < 0)
		return -errno;
	floor_watch(s, s->listener, EPOLLIN, EPOLL_CTL_ADD);
	fprintf(stderr, "Listening on tcp 127.0.0.1:%u\n", ntohs(address.sin_port));
	return 0;
}

/* The line FLOOR_LINES times; a longer one than the usual is filled up before its line end. */
static int
floor_prepare(struct floor_server *s, size_t line_len)
{
	s->line_len = line_len;
	s->in = malloc(FLOOR_IN);
	s->out = malloc(FLOOR_LINES * line_len);
	if (!s->in || !s->out)
		return -ENOMEM;
	for (char *line = s->out; line < s->out + FLOOR_LINES * line_len; line += line_len) {
		memset(line, 'x', line_len - 1);
		memcpy(line, floor_usual.at, floor_usual.len - 1);
		line[line_len - 1] = '\n';
	}
	return 0;
}

int
main(int argc, char **argv)
{
	static struct floor_server s;
	unsigned long port = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : floor_usual.len;
	int r;

	if (argc > 3 || port > 65535 || bytes < floor_usual.len || bytes > FLOOR_LINE_MAX) {
		fprintf(stderr, "usage: %s [PORT [REPLY-BYTES]]\n", argv[0]);
		return 2;
	}
	r = floor_prepare(&s, bytes);
	if (r == 0)
		r = floor_listen(&s, (uint16_t)port);
	if (r < 0) {
		fprintf(stderr, "bench-floor: cannot listen on 127.0.0.1:%lu: %s\n", port, strerror(-r));
		return 1;
	}
	floor_serve(&s);
	return 0;
}
