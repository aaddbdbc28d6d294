/* herdctl's end of the line protocol: client.c against servers that behave, and that do not. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/client.h"

static void
lengths(void **state)
{
	static const struct {
		struct text bytes;
		size_t want;
		enum message_verb verb;
		bool refused;
	} cases[] = {
		{TEXT(""), 0, MESSAGE_IAMAT, false},
		{TEXT("AT x"), 0, MESSAGE_IAMAT, false},
		{TEXT("AT x\nmore"), 5, MESSAGE_IAMAT, false},
		{TEXT("? x\n"), 4, MESSAGE_IAMAT, true},
		{TEXT(""), 0, MESSAGE_WHATSAT, false},
		{TEXT("? x"), 0, MESSAGE_WHATSAT, true},
		{TEXT("? x\nAT"), 4, MESSAGE_WHATSAT, true},
		{TEXT("AT x\n{}\n"), 0, MESSAGE_WHATSAT, false},
		{TEXT("AT x\n{}\n\n"), 9, MESSAGE_WHATSAT, false},
		{TEXT("AT x\n{\n\"a\": 1}\n\nAT"), 16, MESSAGE_WHATSAT, false},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		bool refused = !cases[i].refused;

		assert_int_equal(client_reply_length(cases[i].verb, cases[i].bytes, &refused), cases[i].want);
		assert_int_equal(refused, cases[i].refused);
	}
}

static int
parse(struct client_reply *reply, enum message_verb verb, struct text bytes)
{
	*reply = (struct client_reply){.bytes.max = 4096};
	assert_int_equal(buffer_append(&reply->bytes, bytes), 0);
	return client_reply_parse(reply, verb, TEXT("kiwi"));
}

static void
replies(void **state)
{
	static const struct text bad[] = {
		TEXT("AT Alpha +0.263873386 kiwi +34.068930-118.445127\n"),
		TEXT("AT Alpha +0.263873386 kiwi +34.068930-118.445127 1621464827.959498503 x\n"),
		TEXT("AT Alpha 0.263873386 kiwi +34.068930-118.445127 1621464827.959498503\n"),
		TEXT("AT Alpha +0.263873386 fig +34.068930-118.445127 1621464827.959498503\n"),
		TEXT("AT Alpha +0.263873386 kiwi 34.068930-118.445127 1621464827.959498503\n"),
		TEXT("AT Al/pha +0.263873386 kiwi +34.068930-118.445127 1621464827.959498503\n"),
		TEXT("AT Alpha -0.263873386 kiwi +34.068930-118.445127 0\n"),
		TEXT("AT Alpha +99999999999.0 kiwi +34.068930-118.445127 99999999999\n"),
		TEXT("HTTP/1.1 400 Bad Request\n"),
		TEXT("\n"),
		TEXT("?\n"),
		TEXT("no line end"),
	};
	struct client_reply reply;

	(void)state;
	assert_int_equal(parse(&reply, MESSAGE_WHATSAT,
			       TEXT("AT Alpha +0.263873386 kiwi +34.068930-118.445127 "
				    "1621464827.959498503\n{\"a\": 1}\n\n")),
			 0);
	assert_null(reply.refused.at);
	assert_text_equal(reply.at,
			  TEXT("AT Alpha +0.263873386 kiwi +34.068930-118.445127 1621464827.959498503"));
	assert_text_equal(reply.places, TEXT("{\"a\": 1}"));
	assert_int_equal(reply.fix.rx_ns, 1621464828223371889);
	assert_text_equal(((struct text){reply.fix.server, reply.fix.server_len}), TEXT("Alpha"));
	assert_text_equal(((struct text){reply.fix.id, reply.fix.id_len}), TEXT("kiwi"));
	client_reply_done(&reply);

	assert_int_equal(parse(&reply, MESSAGE_IAMAT, TEXT("AT A -2.500000000 kiwi +1+1/ 10.25\n")), 0);
	assert_int_equal(reply.fix.rx_ns, 7750000000);
	assert_int_equal(reply.places.len, 0);
	client_reply_done(&reply);

	assert_int_equal(parse(&reply, MESSAGE_WHATSAT, TEXT("? WHATSAT kiwi 10 5\n")), 0);
	assert_text_equal(reply.refused, TEXT("WHATSAT kiwi 10 5"));
	client_reply_done(&reply);

	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		assert_int_equal(parse(&reply, MESSAGE_IAMAT, bad[i]), -EPROTO);
		client_reply_done(&reply);
	}
}

/* --- one exchange ---------------------------------------------------------------------------- */

struct server {
	char address[128];
	const char *reply; /* NULL: none, but stay; "": leave at once */
	int listener, stop[2];
	pthread_t thread;
	char heard[256];
};

/* Answers one connection in pieces of three bytes and stays until told to go. */
static void *
server_main(void *arg)
{
	struct server *s = arg;
	int fd = accept(s->listener, NULL, NULL);
	ssize_t n;
	char byte;

	if (fd < 0)
		return NULL;
	n = read(fd, s->heard, sizeof(s->heard) - 1);
	s->heard[n > 0 ? n : 0] = '\0';
	for (const char *at = s->reply; at && *at; at += strnlen(at, 3))
		if (send(fd, at, strnlen(at, 3), MSG_NOSIGNAL) < 0)
			break;
	if (!s->reply || *s->reply)
		(void)!read(s->stop[0], &byte, 1);
	close(fd);
	return NULL;
}

static void
server_start(struct server *s, const char *reply)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	*s = (struct server){.reply = reply, .listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/herd-test-client-%d", (int)getpid());
	snprintf(s->address, sizeof(s->address), "unix:%s", at.sun_path);
	unlink(at.sun_path);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(s->listener, 1), 0);
	assert_int_equal(pipe(s->stop), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

static void
server_stop(struct server *s)
{
	close(s->stop[1]);
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->stop[0]);
	close(s->listener);
	unlink(s->address + 5);
}

static int
ask(const char *address, enum message_verb verb, int64_t timeout_ns, struct buffer *reply)
{
	*reply = (struct buffer){.max = CLIENT_REPLY_MAX};
	return client_ask(address, TEXT("IAMAT a b c"), verb, timeout_ns, reply);
}

static void
exchange(void **state)
{
	struct buffer reply;
	struct server s;

	(void)state;
	server_start(&s, "AT Alpha +0 a b c\n{\n}\n\nand more");
	assert_int_equal(ask(s.address, MESSAGE_WHATSAT, 10 * CLOCK_SECOND_NS, &reply), 0);
	server_stop(&s);
	assert_string_equal(s.heard, "IAMAT a b c\n");
	assert_text_equal(((struct text){reply.bytes, reply.len}), TEXT("AT Alpha +0 a b c\n{\n}\n\n"));
	buffer_done(&reply);

	server_start(&s, "AT Alpha");
	assert_int_equal(ask(s.address, MESSAGE_IAMAT, 20 * CLOCK_MSEC_NS, &reply), -ETIMEDOUT);
	server_stop(&s);
	buffer_done(&reply);

	server_start(&s, NULL);
	assert_int_equal(ask(s.address, MESSAGE_IAMAT, 20 * CLOCK_MSEC_NS, &reply), -ETIMEDOUT);
	server_stop(&s);
	buffer_done(&reply);

	server_start(&s, "");
	assert_int_equal(ask(s.address, MESSAGE_IAMAT, 10 * CLOCK_SECOND_NS, &reply), -EPIPE);
	server_stop(&s);
	buffer_done(&reply);
}

/* A reply without an end is cut off, not gathered. */
static void
endless(void **state)
{
	char *big = malloc(CLIENT_REPLY_MAX + 4096);
	struct buffer reply;
	struct server s;

	(void)state;
	assert_non_null(big);
	memset(big, 'x', CLIENT_REPLY_MAX + 4095);
	big[CLIENT_REPLY_MAX + 4095] = '\0';
	server_start(&s, big);
	assert_int_equal(ask(s.address, MESSAGE_IAMAT, 60 * CLOCK_SECOND_NS, &reply), -EMSGSIZE);
	assert_true(reply.len <= CLIENT_REPLY_MAX);
	server_stop(&s);
	buffer_done(&reply);
	free(big);
}

static void
addresses(void **state)
{
	static const char *const bad[] = {"",	   "Alpha",	  "127.0.0.1",	     "example.org:12000",
					  "unix:", "localhost:x", "127.0.0.1:123456"};
	char path[200];
	struct buffer reply;

	(void)state;
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		assert_int_equal(ask(bad[i], MESSAGE_IAMAT, CLOCK_SECOND_NS, &reply), -EINVAL);
		buffer_done(&reply);
	}
	memset(path, 'x', sizeof(path));
	memcpy(path, "unix:/", 6);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(ask(path, MESSAGE_IAMAT, CLOCK_SECOND_NS, &reply), -EINVAL);
	assert_int_equal(ask("unix:/nonexistent/herd", MESSAGE_IAMAT, CLOCK_SECOND_NS, &reply), -ENOENT);
	buffer_done(&reply);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths), cmocka_unit_test(replies),	cmocka_unit_test(exchange),
		cmocka_unit_test(endless), cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
