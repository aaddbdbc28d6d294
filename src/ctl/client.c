/*
 * Client: the other end of the line protocol. Everything waits against one
 * deadline, and nothing is believed: a reply is bounded, and taken apart
 * before a word of it is shown as an answer.
 */
#include "ctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "base/clock.h"

enum { READ_BYTES = 64 << 10 };

/* --- one exchange ---------------------------------------------------------------------------- */

static int
address_of_path(const char *path, struct address *ret)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(un.sun_path))
		return -EINVAL;
	memcpy(un.sun_path, path, len + 1);
	*ret = (struct address){.len = sizeof(un)};
	memcpy(&ret->socket, &un, sizeof(un));
	return 0;
}

static int
address_of(const char *text, struct address *ret)
{
	char number[ADDRESS_TEXT_MAX];

	if (strncmp(text, "unix:", 5) == 0)
		return address_of_path(text + 5, ret);
	if (text[0] == '/')
		return address_of_path(text, ret);
	if (strncmp(text, "localhost:", 10) == 0) {
		snprintf(number, sizeof(number), "127.0.0.1:%s", text + 10);
		text = number;
	}
	return address_parse(text_of(text), ret) == 0 ? 0 : -EINVAL;
}

bool
client_address_valid(const char *text)
{
	struct address address;

	return address_of(text, &address) == 0;
}

/* Until the socket is ready. 0, -ETIMEDOUT. */
static int
wait_for(int fd, short events, int64_t deadline_ns)
{
	for (;;) {
		int64_t left_ns = deadline_ns - clock_monotonic_ns();
		struct pollfd ready = {.fd = fd, .events = events};
		int r;

		if (left_ns <= 0)
			return -ETIMEDOUT;
		r = poll(&ready, 1, (int)(left_ns / CLOCK_MSEC_NS) + 1);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static int
connect_to(int fd, const struct address *address, int64_t deadline_ns)
{
	socklen_t len = sizeof(int);
	int r, fault;

	/* A unix socket whose queue is full says EAGAIN and offers nothing to wait for. */
	while ((r = connect(fd, (const struct sockaddr *)&address->socket, address->len)) < 0 &&
	       (errno == EAGAIN || errno == EINTR)) {
		if (clock_monotonic_ns() >= deadline_ns)
			return -ETIMEDOUT;
		poll(NULL, 0, 5);
	}
	if (r == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	r = wait_for(fd, POLLOUT, deadline_ns);
	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len) < 0)
		return -errno;
	return -fault;
}

static int
send_all(int fd, struct text bytes, int64_t deadline_ns)
{
	while (bytes.len) {
		ssize_t n = send(fd, bytes.at, bytes.len, MSG_NOSIGNAL);
		int r = 0;

		if (n >= 0) {
			bytes.at += n;
			bytes.len -= (size_t)n;
		} else if (errno == EAGAIN) {
			r = wait_for(fd, POLLOUT, deadline_ns);
		} else if (errno != EINTR) {
			r = -errno;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

size_t
client_reply_length(enum message_verb verb, struct text bytes, bool *ret_refused)
{
	bool refused = bytes.len >= 1 && bytes.at[0] == '?';
	const char *end;

	if (refused || verb != MESSAGE_WHATSAT) {
		end = bytes.len ? memchr(bytes.at, '\n', bytes.len) : NULL;
		*ret_refused = refused;
		return end ? (size_t)(end + 1 - bytes.at) : 0;
	}
	end = bytes.len ? memmem(bytes.at, bytes.len, "\n\n", 2) : NULL;
	*ret_refused = false;
	return end ? (size_t)(end + 2 - bytes.at) : 0;
}

static int
receive_reply(int fd, enum message_verb verb, int64_t deadline_ns, struct buffer *reply)
{
	bool refused;
	size_t len;

	while ((len = client_reply_length(verb, (struct text){reply->bytes, reply->len}, &refused)) == 0) {
		char *at = buffer_reserve(reply, READ_BYTES);
		ssize_t n;
		int r;

		if (!at)
			return -EMSGSIZE;
		r = wait_for(fd, POLLIN, deadline_ns);
		if (r < 0)
			return r;
		n = recv(fd, at, READ_BYTES, 0);
		if (n == 0)
			return -EPIPE;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0)
			reply->len += (size_t)n;
	}
	reply->len = len;
	return 0;
}

int
client_connect(const char *address, int64_t deadline_ns, int *ret_fd)
{
	CLEANUP(cleanup_close) int fd = -1;
	struct address to;
	int r;

	r = address_of(address, &to);
	if (r < 0)
		return r;
	fd = socket(to.socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect_to(fd, &to, deadline_ns);
	if (r < 0)
		return r;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int
client_ask(const char *address, struct text line, enum message_verb verb, int64_t timeout_ns,
	   struct buffer *ret_reply)
{
	CLEANUP(buffer_done) struct buffer request = {.max = line.len + 1};
	int64_t deadline_ns = clock_monotonic_ns() + timeout_ns;
	CLEANUP(cleanup_close) int fd = -1;
	int r;

	r = buffer_append(&request, line);
	if (r == 0)
		r = buffer_append(&request, TEXT("\n"));
	if (r == 0)
		r = client_connect(address, deadline_ns, &fd);
	if (r == 0)
		r = send_all(fd, (struct text){request.bytes, request.len}, deadline_ns);
	return r < 0 ? r : receive_reply(fd, verb, deadline_ns, ret_reply);
}

void
client_put_now(char ret[HERD_TIME_MAX + 1])
{
	int64_t now_ns = clock_now_ns();
	char *end = text_put_u64(ret, (uint64_t)(now_ns / CLOCK_SECOND_NS));

	*end++ = '.';
	end = text_put_digits(end, (uint32_t)(now_ns % CLOCK_SECOND_NS), 9);
	*end = '\0';
}

/* --- what came back -------------------------------------------------------------------------- */

void
client_reply_done(struct client_reply *reply)
{
	buffer_done(&reply->bytes);
}

/* client time + skew, if an int64 can hold it. */
static int
receipt_of(const struct fix_time *time, struct text skew, int64_t *ret_ns)
{
	bool negative = skew.len && skew.at[0] == '-';
	struct fix_time difference;
	int64_t s, ns;

	if (skew.len < 2 || (skew.at[0] != '+' && skew.at[0] != '-') ||
	    fix_time_parse((struct text){skew.at + 1, skew.len - 1}, &difference) != 0)
		return -EPROTO;
	s = negative ? time->s - difference.s : time->s + difference.s;
	ns = negative ? time->ns - difference.ns : time->ns + difference.ns;
	if (s < 1 || s >= INT64_MAX / CLOCK_SECOND_NS - 1)
		return -EPROTO;
	*ret_ns = s * CLOCK_SECOND_NS + ns;
	return 0;
}

static int
copy_field(struct text field, char *to, size_t max, uint8_t *ret_len)
{
	if (field.len == 0 || field.len > max)
		return -EPROTO;
	memcpy(to, field.at, field.len);
	*ret_len = (uint8_t)field.len;
	return 0;
}

/* "AT server skew id location time" */
static int
parse_at(struct client_reply *reply, struct text line)
{
	struct text rest = line, verb = text_take_field(&rest), server = text_take_field(&rest);
	struct text skew = text_take_field(&rest), id = text_take_field(&rest);
	struct text where = text_take_field(&rest), when = text_take_field(&rest);
	struct herd_fix *fix = &reply->fix;
	struct location location;
	struct fix_time time;

	if (!text_equal(verb, TEXT("AT")) || text_take_field(&rest).len || !fix_server_valid(server) ||
	    !fix_id_valid(id) || location_parse(where, &location) != 0 || fix_time_parse(when, &time) != 0 ||
	    receipt_of(&time, skew, &fix->rx_ns) < 0)
		return -EPROTO;
	if (copy_field(server, fix->server, sizeof(fix->server), &fix->server_len) < 0 ||
	    copy_field(id, fix->id, sizeof(fix->id), &fix->id_len) < 0 ||
	    copy_field(where, fix->location, sizeof(fix->location), &fix->location_len) < 0 ||
	    copy_field(when, fix->time, sizeof(fix->time), &fix->time_len) < 0)
		return -EPROTO;
	reply->at = line;
	return 0;
}

int
client_reply_parse(struct client_reply *reply, enum message_verb verb, struct text id)
{
	struct text bytes = {reply->bytes.bytes, reply->bytes.len};
	const char *end = bytes.len ? memchr(bytes.at, '\n', bytes.len) : NULL;
	struct text line, after;
	int r;

	if (!end)
		return -EPROTO;
	line = (struct text){bytes.at, (size_t)(end - bytes.at)};
	after = (struct text){end + 1, bytes.len - line.len - 1};
	if (line.len >= 2 && memcmp(line.at, "? ", 2) == 0) {
		reply->refused = (struct text){line.at + 2, line.len - 2};
		return 0;
	}
	r = parse_at(reply, line);
	if (r == 0 && !text_equal(id, (struct text){reply->fix.id, reply->fix.id_len}))
		r = -EPROTO;
	if (r == 0 && verb == MESSAGE_WHATSAT) {
		reply->places = text_trim(after);
		r = reply->places.len ? 0 : -EPROTO;
	}
	return r;
}
