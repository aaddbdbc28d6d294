/*
 * Control: one request, one reply. The clients are operators and their
 * scripts, yet a program that serves phones must not be held up by them: every
 * buffer, the number of clients and their time are bounded, and a reply is
 * made at once or not at all.
 */
#include "net/control.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "net/listen.h"

enum {
	CONTROL_MAGIC = 0x4354524c, /* "CTRL" */
	CLIENT_MAGIC = 0x43434c49,  /* "CCLI" */
	CLIENTS_MAX = 8,
	CLIENT_S = 5,	   /* for the request, and again for the reply */
	PAUSE_S = 1,	   /* when there are no descriptors */
	STRING_MAX = 1100, /* bytes of one string, its NUL included; longer ones end in "..." */
	LIST_MAX = 40,	   /* entries of one list; these and STRING_MAX keep a reply within its bound */
};

struct control_client {
	unsigned int magic;
	struct control *control;
	TAILQ_ENTRY(control_client) in_control;
	int fd;
	struct event *event; /* owned; with the client's deadline */
	int64_t deadline_ns; /* monotonic */
	char in[HERD_CONTROL_REQUEST_MAX];
	size_t in_len;
	struct buffer out;
};

struct control {
	unsigned int magic;
	struct loop *loop;
	struct listen_socket socket;
	struct event *readable, *pause; /* owned */
	struct control_identity identity;
	char name[64], shm[128]; /* what it points at: settings move when they are read again */
	control_handler *handler;
	void *arg;
	TAILQ_HEAD(client_list, control_client) clients;
	unsigned int client_count;
};

static void
json_put(struct json_object **object)
{
	json_object_put(*object);
}

/* --- replies ------------------------------------------------------------------------------- */

/* Takes value over; a reply without what there was no memory for is still a reply. */
static void
add(struct json_object *reply, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(reply, key, value) != 0)
		json_object_put(value);
}

static struct json_object *
string_of(const char *value)
{
	char clean[STRING_MAX];

	utf8_escape(text_of(value), clean, sizeof(clean));
	return json_object_new_string(clean);
}

void
control_set_ok(struct json_object *reply)
{
	add(reply, "ok", json_object_new_boolean(1));
}

void
control_add_string(struct json_object *reply, const char *key, const char *value)
{
	add(reply, key, string_of(value));
}

void
control_add_number(struct json_object *reply, const char *key, uint64_t value)
{
	add(reply, key, json_object_new_uint64(value));
}

void
control_add_bool(struct json_object *reply, const char *key, bool value)
{
	add(reply, key, json_object_new_boolean(value));
}

void
control_add_to_list(struct json_object *reply, const char *key, const char *value)
{
	struct json_object *list = NULL, *entry;

	if (!json_object_object_get_ex(reply, key, &list)) {
		add(reply, key, json_object_new_array());
		if (!json_object_object_get_ex(reply, key, &list))
			return;
	}
	if (json_object_array_length(list) >= LIST_MAX)
		return;
	entry = string_of(json_object_array_length(list) == LIST_MAX - 1 ? "more than fits here" : value);
	if (entry && json_object_array_add(list, entry) != 0)
		json_object_put(entry);
}

/* A list that is always there, though it may be empty. */
static void
add_items(struct json_object *reply, const char *key, const struct report_items *items)
{
	add(reply, key, json_object_new_array());
	for (size_t i = 0; i < items->count; i++)
		control_add_to_list(reply, key, items->at[i]);
}

void
control_add_report(struct json_object *reply, const struct report *report)
{
	char line[REPORT_LINE_MAX];

	report_line(report, line);
	control_add_string(reply, "status", line);
	control_add_string(reply, "facts", report->facts);
	add_items(reply, "degraded", &report->degraded);
	add_items(reply, "notes", &report->notes);
}

static struct json_object *
reply_new(const struct control_identity *identity)
{
	struct json_object *reply = json_object_new_object();

	if (!reply)
		return NULL;
	add(reply, "ok", json_object_new_boolean(0));
	control_add_string(reply, "role", identity->role);
	if (identity->name)
		control_add_string(reply, "name", identity->name);
	control_add_string(reply, "shm", identity->shm);
	control_add_string(reply, "version", identity->version);
	add(reply, "pid", json_object_new_int64(getpid()));
	return reply;
}

static int
reply_print(struct json_object *reply, struct buffer *out)
{
	const char *text = json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN |
									 JSON_C_TO_STRING_NOSLASHESCAPE);
	int r;

	if (!text)
		return -ENOMEM;
	r = buffer_append(out, text_of(text));
	if (r == 0)
		r = buffer_append(out, TEXT("\n"));
	return r < 0 ? -ENOMEM : 0;
}

/* --- requests -------------------------------------------------------------------------------- */

/* One line, without its LF. */
static void
answer_line(control_handler *handler, void *arg, struct text line, struct json_object *reply)
{
	struct text rest = line, verb = text_take_field(&rest), argument = text_take_field(&rest);

	if (!text_is_printable(line) || verb.len == 0 || text_take_field(&rest).len > 0)
		control_add_to_list(reply, "messages", "this is no request");
	else if (handler(arg, verb, argument, reply) == CONTROL_E_UNKNOWN)
		control_add_to_list(reply, "messages", "there is no such verb here");
}

int
control_answer(const struct control_identity *identity, control_handler *handler, void *arg,
	       struct text received, struct buffer *out)
{
	CLEANUP(json_put) struct json_object *reply = NULL;
	const char *end = received.len ? memchr(received.at, '\n', received.len) : NULL;

	if (!end && received.len < HERD_CONTROL_REQUEST_MAX)
		return CONTROL_E_MORE;
	reply = reply_new(identity);
	if (!reply)
		return -ENOMEM;
	if (!end || end >= received.at + HERD_CONTROL_REQUEST_MAX)
		control_add_to_list(reply, "messages", "the request is too long");
	else
		answer_line(handler, arg, (struct text){received.at, (size_t)(end - received.at)}, reply);
	return reply_print(reply, out);
}

/* --- accepting ---------------------------------------------------------------------------------- */

static const struct timeval pause_time = {.tv_sec = PAUSE_S};

/* A socket that cannot be accepted from stays readable: without a pause the loop would spin. */
static void
control_pause(struct control *c)
{
	if (event_add(c->pause, &pause_time) == 0)
		event_del(c->readable);
}

/* Without memory for that, it is tried again: an operator must not be shut out for good. */
static void
control_open(struct control *c)
{
	if (event_add(c->readable, NULL) < 0)
		event_add(c->pause, &pause_time);
}

/* --- clients ------------------------------------------------------------------------------------ */

static void
client_free(struct control_client *client)
{
	struct control *c = client->control;

	TAILQ_REMOVE(&c->clients, client, in_control);
	/* There is room for one more. */
	if (c->client_count-- == CLIENTS_MAX)
		control_open(c);
	if (client->event)
		event_free(client->event);
	close(client->fd);
	buffer_done(&client->out);
	client->magic = 0;
	free(client);
}

static int64_t
deadline(void)
{
	return clock_monotonic_ns() + CLIENT_S * CLOCK_SECOND_NS;
}

/* 0: it was all sent; -EAGAIN: not yet; other errno: the client is gone. */
static int
client_send(struct control_client *client)
{
	while (client->out.len > 0) {
		ssize_t n = send(client->fd, client->out.bytes, client->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EINTR)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
		if (n > 0)
			buffer_consume(&client->out, (size_t)n);
	}
	return 0;
}

/* Reads until there is a request, makes the reply. */
static int
client_receive(struct control_client *client)
{
	const struct control *c = client->control;
	ssize_t n = recv(client->fd, client->in + client->in_len, sizeof(client->in) - client->in_len,
			 MSG_DONTWAIT);
	int r;

	if (n < 0)
		return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (n == 0)
		return -EPIPE;
	client->in_len += (size_t)n;
	r = control_answer(&c->identity, c->handler, c->arg, (struct text){client->in, client->in_len},
			   &client->out);
	if (r == 0)
		client->deadline_ns = deadline();
	return r == CONTROL_E_MORE ? -EAGAIN : r;
}

static void client_on_event(evutil_socket_t fd, short what, void *arg);

/* Waits for the socket, until the client's time is over. */
static int
client_wait(struct control_client *client, short what)
{
	int64_t left_ns = client->deadline_ns - clock_monotonic_ns();
	const struct timeval at_most = {
		.tv_sec = left_ns / CLOCK_SECOND_NS,
		.tv_usec = left_ns % CLOCK_SECOND_NS / 1000,
	};

	if (left_ns <= 0)
		return -ETIMEDOUT;
	if (event_assign(client->event, loop_base(client->control->loop), client->fd, what, client_on_event,
			 client) < 0)
		return -ENOMEM;
	return event_add(client->event, &at_most) < 0 ? -ENOMEM : 0;
}

static void
client_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct control_client *client = arg;
	int r = 0;

	(void)fd;
	assert(client->magic == CLIENT_MAGIC);
	if (what & EV_TIMEOUT)
		r = -ETIMEDOUT;
	else if (what & EV_READ)
		r = client_receive(client);
	if (r == 0)
		r = client_send(client);
	if (r == -EAGAIN)
		r = client_wait(client, client->out.len > 0 ? EV_WRITE : EV_READ);
	else
		r = -ESHUTDOWN; /* done, or beyond help */
	if (r < 0)
		client_free(client);
}

/* Takes fd over. */
static void
client_new(struct control *c, int fd)
{
	struct control_client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return;
	}
	client->magic = CLIENT_MAGIC;
	client->control = c;
	client->fd = fd;
	client->deadline_ns = deadline();
	client->out.max = HERD_CONTROL_REPLY_MAX;
	TAILQ_INSERT_TAIL(&c->clients, client, in_control);
	if (++c->client_count == CLIENTS_MAX)
		event_del(c->readable);
	client->event = event_new(loop_base(c->loop), fd, EV_READ, client_on_event, client);
	if (!client->event || client_wait(client, EV_READ) < 0)
		client_free(client);
}

/* --- the socket ------------------------------------------------------------------------------------- */

static bool
is_trusted(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static struct control *
control_check(void *arg)
{
	struct control *c = arg;

	assert(c->magic == CONTROL_MAGIC);
	return c;
}

static void
control_on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = control_check(arg);

	(void)fd;
	(void)what;
	if (c->client_count < CLIENTS_MAX)
		control_open(c);
}

static void
control_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = control_check(arg);
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (client < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
		control_pause(c);
	if (client < 0)
		return;
	if (is_trusted(client))
		client_new(c, client);
	else
		close(client);
}

int
control_path(char out[HERD_CONTROL_PATH_MAX], const char *folder, const char *shm, const char *kind,
	     const char *name)
{
	char path[HERD_CONTROL_PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s%s%s%s", folder, shm, kind, name ? name : "");

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(out, path, (size_t)n + 1);
	return 0;
}

int
control_new(struct control **ret, struct loop *loop, const char *path,
	    const struct control_identity *identity, control_handler *handler, void *arg)
{
	CLEANUP(control_freep) struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	*c = (struct control){
		.magic = CONTROL_MAGIC,
		.loop = loop,
		.socket.fd = -1,
		.identity = {identity->role, identity->name ? c->name : NULL, c->shm, identity->version},
		.handler = handler,
		.arg = arg,
	};
	snprintf(c->name, sizeof(c->name), "%s", identity->name ? identity->name : "");
	snprintf(c->shm, sizeof(c->shm), "%s", identity->shm);
	TAILQ_INIT(&c->clients);
	r = listen_unix_private(&c->socket, path);
	if (r < 0)
		return r;
	c->readable = event_new(loop_base(loop), c->socket.fd, EV_READ | EV_PERSIST, control_on_readable, c);
	c->pause = evtimer_new(loop_base(loop), control_on_pause_over, c);
	if (!c->readable || !c->pause || event_add(c->readable, NULL) < 0)
		return -ENOMEM;
	*ret = c;
	c = NULL;
	return 0;
}

struct control *
control_free(struct control *c)
{
	if (!c)
		return NULL;
	while (!TAILQ_EMPTY(&c->clients))
		client_free(TAILQ_FIRST(&c->clients));
	if (c->readable)
		event_free(c->readable);
	if (c->pause)
		event_free(c->pause);
	listen_done(&c->socket);
	c->magic = 0;
	free(c);
	return NULL;
}
