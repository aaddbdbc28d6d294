/*
 * Upstream: a places service that answers after a fixed time, over TLS, HTTP/2
 * or 1.1 as the client likes, and fast enough not to be what is measured. Each
 * place of an answer is exactly where the question was. A line on standard
 * input is answered with the figures since the line before; its end ends us.
 *
 * It knows only the shape of one request, a POST of a small JSON body with
 * "latitude" and "longitude" in it, and does not unpack headers at all: of
 * HTTP/2 (RFC 9113) it takes the frames, and its own header block (RFC 7541)
 * refers to no table, so it needs no state.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/histogram.h"
#include "usage.h"

enum {
	NUMBER_MAX = 24,
	OPEN_MAX = 256,	     /* streams of a connection whose request is not whole yet */
	DUE_MAX = 1 << 17,   /* answers that wait for their time */
	REQUEST_MAX = 16384, /* of HTTP/1.1, head and body */
	ANSWER_MAX = 64 * 1024,
	FRAME_HEAD = 9,
	PREFACE = 24,
	PLACES_MAX = 20,
};
enum frame_type {
	FRAME_DATA = 0,
	FRAME_HEADERS = 1,
	FRAME_SETTINGS = 4,
	FRAME_PING = 6,
	FRAME_WINDOW_UPDATE = 8,
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

/* Where somebody asked about, as text, to be copied. */
struct spot {
	char lat[NUMBER_MAX], lon[NUMBER_MAX];
	uint8_t lat_len, lon_len;
};

struct stream {
	uint32_t id; /* 0: free */
	struct spot spot;
};

struct connection {
	struct upstream *u;
	struct bufferevent *bev; /* NULL: gone; freed when no answer waits for it */
	struct evbuffer *out;	 /* answers of this turn */
	uint32_t waiting;	 /* answers that will come */
	int64_t window;		 /* bytes of DATA it takes */
	uint32_t taken;		 /* bytes of DATA whose room was not given back yet */
	bool is_two, has_greeted, is_dirty;
	struct connection *next_dirty;
	struct stream open[OPEN_MAX];
};

struct due {
	struct connection *c;
	uint32_t stream;
	struct spot spot;
	int64_t come_ns;
};

struct upstream {
	struct event_base *base;
	struct event *timer;
	SSL_CTX *tls;
	int64_t delay_ns;
	uint32_t streams, places;
	struct due *due; /* a ring: all wait equally long, so they come due in order */
	uint64_t due_head, due_tail;
	struct connection *dirty;
	uint64_t requests, connections;
	uint32_t in_flight_max, connections_now, connections_max;
	struct histogram late; /* beyond the delay */
};

/* --- answers ----------------------------------------------------------------------- */

static char *
put(char *out, const char *text)
{
	size_t len = strlen(text);

	memcpy(out, text, len);
	return out + len;
}

static char *
put_spot(char *out, const struct spot *spot)
{
	out = put(out, "{\"latitude\":");
	memcpy(out, spot->lat, spot->lat_len);
	out = put(out + spot->lat_len, ",\"longitude\":");
	memcpy(out, spot->lon, spot->lon_len);
	out[spot->lon_len] = '}';
	return out + spot->lon_len + 1;
}

static size_t
answer_make(const struct upstream *u, const struct spot *spot, char *out)
{
	char *p = put(out, "{\"places\":[");

	for (uint32_t i = 0; i < u->places; i++) {
		p = put(p,
			i ? ",{\"id\":\"ChIJrTLr-GyuEmsRBfy61i59si" : "{\"id\":\"ChIJrTLr-GyuEmsRBfy61i59si");
		*p++ = (char)('a' + i);
		p = put(p, "\",\"types\":[\"cafe\",\"food\",\"point_of_interest\",\"establishment\"],"
			   "\"location\":");
		p = put_spot(p, spot);
		p = put(p, ",\"viewport\":{\"low\":");
		p = put_spot(p, spot);
		p = put(p, ",\"high\":");
		p = put_spot(p, spot);
		p = put(p,
			"},\"businessStatus\":\"OPERATIONAL\",\"displayName\":{\"text\":\"Australian Cruise "
			"Group\",\"languageCode\":\"en\"},\"primaryType\":\"cafe\",\"shortFormattedAddress\":"
			"\"32 The Promenade, "
			"Sydney\",\"plusCode\":{\"globalCode\":\"4RRH46J3+W6\",\"compoundCode\":"
			"\"46J3+W6 Sydney NSW\"}}");
	}
	return (size_t)(put(p, "]}") - out);
}

static char *
put_frame_head(char *out, size_t len, enum frame_type type, unsigned int flags, uint32_t stream)
{
	out[0] = (char)(len >> 16);
	out[1] = (char)(len >> 8);
	out[2] = (char)len;
	out[3] = (char)type;
	out[4] = (char)flags;
	for (int i = 0; i < 4; i++)
		out[5 + i] = (char)(stream >> (24 - 8 * i));
	return out + FRAME_HEAD;
}

static void
dirty(struct connection *c)
{
	if (c->is_dirty)
		return;
	c->is_dirty = true;
	c->next_dirty = c->u->dirty;
	c->u->dirty = c;
}

static void
answer_two(struct connection *c, uint32_t stream, const char *body, size_t len)
{
	/* :status 200; content-type and content-length by their names' places in the static table. */
	static const char head[] = "\x88\x0f\x10\x10"
				   "application/json\x0f\x0d\x05";
	char frames[FRAME_HEAD + sizeof(head) + 5 + FRAME_HEAD], *p = frames;

	p = put_frame_head(p, sizeof(head) - 1 + 5, FRAME_HEADERS, END_HEADERS, stream);
	p = put(p, head);
	p = text_put_digits(p, (uint32_t)len, 5);
	p = put_frame_head(p, len, FRAME_DATA, END_STREAM, stream);
	evbuffer_add(c->out, frames, (size_t)(p - frames));
	evbuffer_add(c->out, body, len);
	c->window -= (int64_t)len;
}

static void
answer_one(struct connection *c, const char *body, size_t len)
{
	evbuffer_add_printf(
		c->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		len);
	evbuffer_add(c->out, body, len);
}

static void
connection_release(struct connection *c)
{
	if (c->bev || c->waiting > 0 || c->is_dirty)
		return;
	evbuffer_free(c->out);
	free(c);
}

/* False: it has no room for the answer now. */
static bool
answer(struct upstream *u, const struct due *due, int64_t now_ns)
{
	static char body[ANSWER_MAX];
	struct connection *c = due->c;
	size_t len = 0;

	if (c->bev)
		len = answer_make(u, &due->spot, body);
	if (c->bev && c->is_two && c->window < (int64_t)len)
		return false;
	c->waiting--;
	if (!c->bev) {
		connection_release(c);
		return true;
	}
	if (c->is_two)
		answer_two(c, due->stream, body, len);
	else
		answer_one(c, body, len);
	dirty(c);
	histogram_add(&u->late, (uint64_t)(now_ns - due->come_ns - u->delay_ns), 1);
	return true;
}

static void
flush(struct upstream *u)
{
	while (u->dirty) {
		struct connection *c = u->dirty;

		u->dirty = c->next_dirty;
		c->is_dirty = false;
		if (c->bev)
			bufferevent_write_buffer(c->bev, c->out);
		connection_release(c);
	}
}

static void
wind(struct upstream *u, int64_t at_ns)
{
	int64_t left_ns = at_ns - clock_monotonic_ns();
	struct timeval wait = {0};

	if (left_ns > 0)
		wait = (struct timeval){.tv_sec = left_ns / 1000000000,
					.tv_usec = left_ns / 1000 % 1000000 + 1};
	evtimer_add(u->timer, &wait);
}

static void
on_due(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *u = arg;
	int64_t now_ns = clock_monotonic_ns();
	uint64_t end = u->due_tail; /* who has no room is looked at once */

	(void)fd;
	(void)what;
	while (u->due_head < end) {
		struct due *due = &u->due[u->due_head % DUE_MAX];

		if (due->come_ns + u->delay_ns > now_ns)
			break;
		if (!answer(u, due, now_ns))
			u->due[u->due_tail++ % DUE_MAX] = *due;
		u->due_head++;
	}
	flush(u);
	if (u->due_head < u->due_tail)
		wind(u, u->due[u->due_head % DUE_MAX].come_ns + u->delay_ns);
}

static void
ask(struct connection *c, uint32_t stream, const struct spot *spot)
{
	struct upstream *u = c->u;
	uint32_t in_flight = (uint32_t)(u->due_tail - u->due_head) + 1;

	if (in_flight > DUE_MAX / 2) {
		fprintf(stderr, "bench-upstream: too many requests under way\n");
		exit(1);
	}
	u->requests++;
	u->in_flight_max = in_flight > u->in_flight_max ? in_flight : u->in_flight_max;
	c->waiting++;
	u->due[u->due_tail++ % DUE_MAX] = (struct due){c, stream, *spot, clock_monotonic_ns()};
	if (in_flight == 1)
		wind(u, clock_monotonic_ns() + u->delay_ns);
}

/* --- what is asked ------------------------------------------------------------------- */

static uint8_t
spot_number(struct text body, const char *name, char *ret)
{
	const char *at = memmem(body.at, body.len, name, strlen(name)), *end = body.at + body.len;
	uint8_t len = 0;

	if (!at)
		return 0;
	for (at += strlen(name); at < end && (*at == ' ' || *at == ':'); at++)
		;
	while (at < end && len < NUMBER_MAX && (text_is_digit(*at) || *at == '-' || *at == '.'))
		ret[len++] = *at++;
	return len;
}

static bool
spot_read(struct spot *ret, struct text body)
{
	ret->lat_len = spot_number(body, "\"latitude\"", ret->lat);
	ret->lon_len = spot_number(body, "\"longitude\"", ret->lon);
	return ret->lat_len > 0 && ret->lon_len > 0;
}

static struct stream *
stream_find(struct connection *c, uint32_t id)
{
	for (size_t i = 0; i < OPEN_MAX; i++)
		if (c->open[i].id == id)
			return &c->open[i];
	return NULL;
}

static void
frame_write(struct connection *c, enum frame_type type, unsigned int flags, const char *body, size_t len)
{
	char frame[FRAME_HEAD + 64], *p = put_frame_head(frame, len, type, flags, 0);

	memcpy(p, body, len);
	evbuffer_add(c->out, frame, FRAME_HEAD + len);
	dirty(c);
}

static bool
take_data(struct connection *c, unsigned int flags, uint32_t id, struct text body)
{
	struct stream *s = stream_find(c, id);

	c->taken += (uint32_t)body.len;
	if (c->taken > 16384) {
		const char more[4] = {0, (char)(c->taken >> 16), (char)(c->taken >> 8), (char)c->taken};

		frame_write(c, FRAME_WINDOW_UPDATE, 0, more, sizeof(more));
		c->taken = 0;
	}
	if (!s || (body.len > 0 && !spot_read(&s->spot, body)))
		return false;
	if (flags & END_STREAM) {
		s->id = 0;
		ask(c, id, &s->spot);
	}
	return true;
}

static bool
take_frame(struct connection *c, unsigned int type, unsigned int flags, uint32_t id, struct text body)
{
	const uint8_t *byte = (const uint8_t *)body.at;
	struct stream *s;

	switch (type) {
	case FRAME_HEADERS:
		s = stream_find(c, 0);
		if (!s || !(flags & END_HEADERS) || flags & END_STREAM)
			return false;
		s->id = id;
		return true;
	case FRAME_DATA:
		return take_data(c, flags, id, body);
	case FRAME_SETTINGS:
		if (!(flags & ACK))
			frame_write(c, FRAME_SETTINGS, ACK, "", 0);
		return true;
	case FRAME_PING:
		if (!(flags & ACK) && body.len == 8)
			frame_write(c, FRAME_PING, ACK, body.at, body.len);
		return true;
	case FRAME_WINDOW_UPDATE:
		if (id == 0 && body.len == 4)
			c->window += (uint32_t)(byte[0] & 127) << 24 | (uint32_t)byte[1] << 16 |
				     (uint32_t)byte[2] << 8 | byte[3];
		return true;
	default:
		return true;
	}
}

static bool
read_two(struct connection *c, struct evbuffer *in)
{
	if (!c->has_greeted) {
		/* MAX_CONCURRENT_STREAMS */
		const char settings[6] = {0, 3, 0, 0, (char)(c->u->streams >> 8), (char)c->u->streams};

		if (evbuffer_get_length(in) < PREFACE)
			return true;
		evbuffer_drain(in, PREFACE);
		frame_write(c, FRAME_SETTINGS, 0, settings, sizeof(settings));
		c->has_greeted = true;
	}
	while (evbuffer_get_length(in) >= FRAME_HEAD) {
		uint8_t *head = evbuffer_pullup(in, FRAME_HEAD);
		size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
		uint32_t id;

		if (len > 16384)
			return false;
		if (evbuffer_get_length(in) < FRAME_HEAD + len)
			return true;
		head = evbuffer_pullup(in, (ev_ssize_t)(FRAME_HEAD + len));
		id = (uint32_t)(head[5] & 127) << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 |
		     head[8];
		if (!take_frame(c, head[3], head[4], id, (struct text){(char *)head + FRAME_HEAD, len}))
			return false;
		evbuffer_drain(in, FRAME_HEAD + len);
	}
	return true;
}

static bool
read_one(struct connection *c, struct evbuffer *in)
{
	for (;;) {
		size_t have = evbuffer_get_length(in), length = 0;
		char *at = have ? (char *)evbuffer_pullup(in, -1) : NULL,
		     *end = have ? memmem(at, have, "\r\n\r\n", 4) : NULL;
		struct spot spot;
		char *field;

		if (!end)
			return have < REQUEST_MAX;
		*end = '\0';
		field = strcasestr(at, "\r\nContent-Length: ");
		if (field)
			length = strtoul(field + 18, NULL, 10);
		*end = '\r';
		end += 4;
		if (length > REQUEST_MAX)
			return false;
		if ((size_t)(end - at) + length > have)
			return true;
		if (!spot_read(&spot, (struct text){end, length}))
			return false;
		evbuffer_drain(in, (size_t)(end - at) + length);
		ask(c, 0, &spot);
	}
}

/* --- connections ------------------------------------------------------------------------ */

static void
connection_close(struct connection *c)
{
	bufferevent_free(c->bev);
	c->bev = NULL;
	c->u->connections_now--;
	connection_release(c);
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct connection *c = arg;
	struct upstream *u = c->u;
	struct evbuffer *in = bufferevent_get_input(bev);

	if (!(c->is_two ? read_two(c, in) : read_one(c, in))) {
		fprintf(stderr, "bench-upstream: not the request it knows\n");
		connection_close(c);
	}
	flush(u);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct connection *c = arg;
	const unsigned char *name = NULL;
	unsigned int len = 0;

	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
		connection_close(c);
		return;
	}
	if (what & BEV_EVENT_CONNECTED) {
		SSL_get0_alpn_selected(bufferevent_openssl_get_ssl(bev), &name, &len);
		c->is_two = len == 2;
	}
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len, void *arg)
{
	struct upstream *u = arg;
	struct connection *c = calloc(1, sizeof(*c));
	SSL *ssl = SSL_new(u->tls);
	int one = 1;

	(void)listener;
	(void)address;
	(void)len;
	if (!c || !ssl || !(c->out = evbuffer_new()))
		exit(1);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->u = u;
	c->window = 65535;
	c->bev = bufferevent_openssl_socket_new(u->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
						BEV_OPT_CLOSE_ON_FREE);
	if (!c->bev)
		exit(1);
	bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
	bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	u->connections++;
	u->connections_now++;
	if (u->connections_now > u->connections_max)
		u->connections_max = u->connections_now;
}

/* The client's first wish that we know. */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
	unsigned int in_len, void *arg)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* --- the program -------------------------------------------------------------------------- */

static void
on_line(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *u = arg;
	char line[64];

	(void)fd;
	(void)what;
	if (!fgets(line, sizeof(line), stdin)) {
		event_base_loopbreak(u->base);
		return;
	}
	printf("{\"requests\": %" PRIu64 ", \"connections\": %" PRIu64 ", \"connections_max\": %" PRIu32
	       ", \"in_flight_max\": %" PRIu32
	       ", \"late_p50_us\": %.1f, \"late_p99_us\": %.1f, \"late_max_us\": %.1f}\n",
	       u->requests, u->connections, u->connections_max, u->in_flight_max,
	       (double)histogram_quantile(&u->late, 0.5) / 1e3,
	       (double)histogram_quantile(&u->late, 0.99) / 1e3, (double)u->late.max / 1e3);
	fflush(stdout);
	u->requests = u->connections = 0;
	u->in_flight_max = (uint32_t)(u->due_tail - u->due_head);
	u->connections_max = u->connections_now;
	memset(&u->late, 0, sizeof(u->late));
}

static int
upstream_listen(struct upstream *u, const char *certificate, const char *key)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct evconnlistener *listener;
	socklen_t len = sizeof(address);

	u->tls = SSL_CTX_new(TLS_server_method());
	if (!u->tls || SSL_CTX_use_certificate_chain_file(u->tls, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(u->tls, key, SSL_FILETYPE_PEM) != 1) {
		ERR_print_errors_fp(stderr);
		return -EINVAL;
	}
	SSL_CTX_set_alpn_select_cb(u->tls, on_alpn, NULL);
	listener = evconnlistener_new_bind(u->base, on_accept, u, LEV_OPT_CLOSE_ON_FREE, 4096,
					   (struct sockaddr *)&address, sizeof(address));
	if (!listener || getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&address, &len) < 0)
		return -errno;
	printf("Listening on tcp 127.0.0.1:%u\n", ntohs(address.sin_port));
	fflush(stdout);
	return 0;
}

int
main(int argc, char **argv)
{
	static struct upstream u;
	struct event_config *config = event_config_new();

	if (argc != 7) {
		fprintf(stderr, "usage: bench-upstream CERTIFICATE KEY DELAY-MS STREAMS PLACES CORE\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, 15);
	(void)signal(SIGPIPE, SIG_IGN); /* whoever asked may be gone */
	setvbuf(stdin, NULL, _IONBF, 0);
	u.delay_ns = (int64_t)(strtod(argv[3], NULL) * 1e6);
	u.streams = (uint32_t)strtoul(argv[4], NULL, 10);
	u.places = (uint32_t)strtoul(argv[5], NULL, 10);
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	u.base = event_base_new_with_config(config);
	event_config_free(config);
	u.due = calloc(DUE_MAX, sizeof(*u.due));
	if (!u.base || !u.due || u.places > PLACES_MAX || usage_pin((int)strtol(argv[6], NULL, 10)) < 0)
		return 1;
	u.timer = evtimer_new(u.base, on_due, &u);
	if (!u.timer || upstream_listen(&u, argv[1], argv[2]) < 0)
		return 1;
	event_add(event_new(u.base, 0, EV_READ | EV_PERSIST, on_line, &u), NULL);
	event_base_dispatch(u.base);
	return 0;
}
