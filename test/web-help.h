#ifndef TEST_WEB_HELP_H
#define TEST_WEB_HELP_H
/*
 * A server of HTTP/1.1 for tests, in the test's own loop, on a port of its own;
 * with TLS if it is given a context. What it says depends on the path, see
 * web_says; any connection may ask again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/buffer.h"
#include "net/loop.h"

enum {
	WEB_CLOSES = 1,	 /* when all is said */
	WEB_DRIPS = 2,	 /* a byte every 10 ms */
	WEB_LATE = 4,	 /* 20 ms later */
	WEB_ECHOES = 8,	 /* the request is the body */
	WEB_FLOODS = 16, /* says it again and again */
	WEB_RESETS = 32,
};

struct web_says {
	const char *path; /* ends with NULL */
	struct text bytes;
	unsigned int how;
};

TAILQ_HEAD(web_visitors, web_visitor);

struct web {
	struct event_base *base;
	const struct web_says *says;
	SSL_CTX *tls; /* NULL: none */
	int fd;
	struct event *event;
	struct web_visitors visitors;
	unsigned int accepted, here, asked;
};

struct web_visitor {
	TAILQ_ENTRY(web_visitor) link;
	struct web *web;
	SSL *ssl;
	int fd;
	struct event *reads, *writes, *later;
	struct buffer in, out;
	const struct web_says *saying;
};

static inline void
web_leave(struct web_visitor *v)
{
	const struct linger at_once = {1, 0};

	TAILQ_REMOVE(&v->web->visitors, v, link);
	v->web->here--;
	event_free(v->reads);
	event_free(v->writes);
	event_free(v->later);
	if (v->saying && v->saying->how & WEB_RESETS)
		(void)setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	SSL_free(v->ssl);
	close(v->fd);
	buffer_done(&v->in);
	buffer_done(&v->out);
	free(v);
}

/* False: it has left. */
static inline bool
web_write(struct web_visitor *v)
{
	const unsigned int how = v->saying ? v->saying->how : 0;
	const struct timeval drop = {0, 10000};

	while (v->out.len) {
		size_t part = how & WEB_DRIPS ? 1 : v->out.len;
		ssize_t n = v->ssl ? SSL_write(v->ssl, v->out.bytes, (int)part)
				   : send(v->fd, v->out.bytes, part, MSG_NOSIGNAL);

		if (n <= 0 &&
		    (v->ssl ? SSL_get_error(v->ssl, (int)n) == SSL_ERROR_WANT_WRITE : errno == EAGAIN)) {
			event_add(v->writes, NULL);
			return true;
		}
		if (n <= 0) {
			web_leave(v);
			return false;
		}
		buffer_consume(&v->out, (size_t)n);
		if (how & WEB_FLOODS && v->out.len == 0)
			(void)buffer_append(&v->out, v->saying->bytes);
		if (how & WEB_DRIPS && v->out.len) {
			event_add(v->later, &drop);
			return true;
		}
	}
	if (how & (WEB_CLOSES | WEB_RESETS)) {
		web_leave(v);
		return false;
	}
	return true;
}

static inline bool
web_say(struct web_visitor *v)
{
	char head[64];

	if (v->saying->how & WEB_ECHOES) {
		(void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
			       v->in.len);
		(void)buffer_append(&v->out, text_of(head));
		(void)buffer_append(&v->out, (struct text){v->in.bytes, v->in.len});
	} else
		(void)buffer_append(&v->out, v->saying->bytes);
	buffer_consume(&v->in, v->in.len);
	return web_write(v);
}

static inline void
web_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct web_visitor *v = arg;

	(void)fd;
	(void)what;
	if (v->saying && v->in.len)
		(void)web_say(v);
	else
		(void)web_write(v);
}

/* True: a whole request is there. */
static inline bool
web_is_whole(struct web_visitor *v)
{
	const char *head_end = v->in.len ? memmem(v->in.bytes, v->in.len, "\r\n\r\n", 4) : NULL;
	const char *length = head_end ? memmem(v->in.bytes, v->in.len, "Content-Length: ", 16) : NULL;
	size_t body = length ? strtoul(length + 16, NULL, 10) : 0;

	return head_end && v->in.len >= (size_t)(head_end + 4 - v->in.bytes) + body;
}

static inline void
web_take(struct web_visitor *v)
{
	const struct timeval wait = {0, 20000};
	const struct web_says *s = v->web->says;
	const char *path = v->in.bytes + strcspn(v->in.bytes, " ") + 1;
	size_t len = strcspn(path, " ?");

	while (s->path && (strlen(s->path) != len || strncmp(s->path, path, len) != 0))
		s++;
	assert_non_null(s->path);
	v->web->asked++;
	v->saying = s;
	if (s->how & WEB_LATE)
		event_add(v->later, &wait);
	else
		(void)web_say(v);
}

static inline void
web_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct web_visitor *v = arg;

	(void)fd;
	(void)what;
	for (;;) {
		char *at = buffer_reserve(&v->in, 4096);
		ssize_t n;

		assert_non_null(at);
		n = v->ssl ? SSL_read(v->ssl, at, 4095) : recv(v->fd, at, 4095, 0);
		if (n <= 0 && (v->ssl ? SSL_get_error(v->ssl, (int)n) == SSL_ERROR_WANT_READ
				      : n < 0 && errno == EAGAIN))
			return;
		if (n <= 0) {
			web_leave(v);
			return;
		}
		v->in.len += (size_t)n;
		v->in.bytes[v->in.len] = '\0';
		if (web_is_whole(v)) {
			web_take(v);
			return;
		}
	}
}

static inline void
web_on_visitor(evutil_socket_t fd, short what, void *arg)
{
	struct web *w = arg;
	struct web_visitor *v = calloc(1, sizeof(*v));

	(void)what;
	assert_non_null(v);
	v->web = w;
	v->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
	assert_true(v->fd >= 0);
	v->in.max = v->out.max = 64 << 20;
	if (w->tls) {
		v->ssl = SSL_new(w->tls);
		SSL_set_fd(v->ssl, v->fd);
		SSL_set_accept_state(v->ssl);
	}
	v->reads = event_new(w->base, v->fd, EV_READ | EV_PERSIST, web_on_readable, v);
	v->writes = event_new(w->base, v->fd, EV_WRITE, web_on_writable, v);
	v->later = event_new(w->base, -1, 0, web_on_writable, v);
	event_add(v->reads, NULL);
	TAILQ_INSERT_TAIL(&w->visitors, v, link);
	w->accepted++;
	w->here++;
}

static inline void
web_open(struct web *ret, struct event_base *base, const struct web_says *says, SSL_CTX *tls)
{
	const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	*ret = (struct web){.base = base, .says = says, .tls = tls};
	TAILQ_INIT(&ret->visitors);
	ret->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(ret->fd >= 0);
	assert_int_equal(bind(ret->fd, (const struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(ret->fd, 1024), 0);
	ret->event = event_new(base, ret->fd, EV_READ | EV_PERSIST, web_on_visitor, ret);
	event_add(ret->event, NULL);
}

static inline unsigned int
web_port(const struct web *w)
{
	struct sockaddr_in here;
	socklen_t len = sizeof(here);

	assert_int_equal(getsockname(w->fd, (struct sockaddr *)&here, &len), 0);
	return ntohs(here.sin_port);
}

static inline void
web_close(struct web *w)
{
	while (!TAILQ_EMPTY(&w->visitors))
		web_leave(TAILQ_FIRST(&w->visitors));
	event_free(w->event);
	close(w->fd);
}

#endif
