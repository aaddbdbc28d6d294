/*
 * Load: a closed loop of clients. Each connection sends `depth` commands at
 * once, waits until all are answered and sends the next; every reply is
 * compared with what was asked. With --rate the loop is open: batches are due
 * at random moments, so many a second, whoever has been answered before sends
 * the next, and latency counts from the moment it was due. It reports
 * throughput, latency, and what the server and itself used of their cores, as
 * one line of JSON.
 *
 * It shares the machine with the server, so it is built to be light: commands
 * are put together in place, read and sent in one call each, and nothing is
 * allocated once the first command has left.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/histogram.h"
#include "load-command.h"
#include "usage.h"

enum {
	LOAD_IN = 256 * 1024,	/* one read */
	LOAD_REST = 128 * 1024, /* the beginning of a reply whose end has not come */
	LOAD_EVENTS = 64,
	LOAD_CONNECTIONS_MAX = 16384,
	LOAD_DEPTH_MAX = 4096,
	LOAD_QUIET_MS = 20000, /* nothing heard for this long is an error */
	LOAD_TICK_US = 100,    /* between looks at who has thought long enough */
};

struct connection {
	int fd;
	bool watches_out;
	uint32_t commands, replies; /* of the batch under way */
	int64_t sent_ns, asks_ns;   /* asks_ns: when it will go on, 0: it waits for replies */
	size_t out_len, out_sent, rest_len;
	char *out, *rest; /* owned */
	struct load_mark *marks;
};

enum load_phase {
	LOAD_WARM,
	LOAD_MEASURED,
	LOAD_ENDED,
};

struct load {
	/* as asked for */
	const struct load_command *command;
	struct sockaddr_in server;
	uint32_t connections, depth, sources;
	double warm_s, measure_s, beyond_s, stagger_s, think_s;
	double rate;  /* batches a second in an open loop; 0: a closed one */
	bool once;    /* a new connection for each command */
	bool arrival; /* the kernel says when replies came */
	pid_t pid;
	int core;
	/* at work */
	struct load_source source;
	struct connection *connection;
	int epoll;
	char *in;
	uint32_t thinking;
	struct connection **idle; /* open loop: those that may send */
	uint32_t idle_count;
	int64_t due_ns;		     /* when the next batch is */
	uint32_t next_source, begun; /* connections that had their first batch */
	int64_t begin_ns;
	uint64_t handed_out; /* commands of a preload */
	enum load_phase phase;
	int64_t phase_end_ns;
	/* measured */
	struct histogram latency;
	uint64_t replies, bytes_in, bytes_out, errors;
	int64_t start_ns, end_ns;
	struct usage server_before, server_after, self_before, self_after;
};

static bool
load_is_preload(const struct load *l)
{
	return l->source.in_order;
}

/* --- connections -------------------------------------------------------- */

static int
connection_watch(struct load *l, struct connection *c, int how, bool out)
{
	struct epoll_event event = {.events = out ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};

	c->watches_out = out;
	return epoll_ctl(l->epoll, how, c->fd, &event) < 0 ? -errno : 0;
}

/* One address has ports for some 14,000 connections a second: several take turns. */
static int
connection_bind(struct load *l, int fd)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int one = 1;

	if (l->sources < 2)
		return 0;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + l->next_source++ % l->sources);
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

static int
connection_open(struct load *l, struct connection *c)
{
	int one = 1, r;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (l->arrival && setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0)
		return -errno;
	r = connection_bind(l, c->fd);
	if (r < 0)
		return r;
	if (connect(c->fd, (struct sockaddr *)&l->server, sizeof(l->server)) < 0 && errno != EINPROGRESS)
		return -errno;
	return connection_watch(l, c, EPOLL_CTL_ADD, false);
}

static int
connection_flush(struct load *l, struct connection *c)
{
	bool blocked = false;

	while (c->out_sent < c->out_len && !blocked) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);

		if (n >= 0)
			c->out_sent += (size_t)n;
		else if (errno == EAGAIN)
			blocked = true;
		else
			return -errno;
	}
	return blocked == c->watches_out ? 0 : connection_watch(l, c, EPOLL_CTL_MOD, blocked);
}

/* Writes and sends the next batch; a preload that has no more leaves the connection idle. */
static int
connection_ask(struct load *l, struct connection *c)
{
	uint64_t left = load_is_preload(l) ? l->source.clients - l->handed_out : l->depth;

	c->commands = left < l->depth ? (uint32_t)left : l->depth;
	c->replies = 0;
	c->out_len = c->out_sent = 0;
	if (c->commands == 0)
		return 0;
	l->handed_out += c->commands;
	for (uint32_t i = 0; i < c->commands; i++)
		c->out_len = l->command->put(&l->source, c->out, c->out_len, &c->marks[i]);
	l->bytes_out += c->out_len;
	return connection_flush(l, c);
}

static void
load_complain(struct load *l, const struct connection *c, struct text in)
{
	if (l->errors++ > 0)
		return;
	fprintf(stderr, "bench-load: bad reply to '%.*s': '%.*s'\n", (int)c->marks[c->replies].len,
		c->out + c->marks[c->replies].at, in.len < 400 ? (int)in.len : 400, in.at);
}

/* Takes all whole replies; returns how many bytes they had, or negative errno. */
static ssize_t
connection_take(struct load *l, struct connection *c, struct text in, int64_t now_ns)
{
	const char *start = in.at;
	uint32_t before = c->replies;

	while (in.len > 0) {
		bool good = false;
		size_t len;

		if (c->replies == c->commands) {
			fprintf(stderr, "bench-load: more replies than commands\n");
			return -EPROTO;
		}
		len = l->command->check(&l->source, c->out, &c->marks[c->replies], in, &good);
		if (len == 0)
			break;
		if (!good)
			load_complain(l, c, (struct text){in.at, len});
		c->replies++;
		in.at += len;
		in.len -= len;
	}
	if (c->replies > before) {
		int64_t latency_ns = now_ns - c->sent_ns - (int64_t)(l->beyond_s * 1e9);

		histogram_add(&l->latency, latency_ns > 0 ? (uint64_t)latency_ns : 0, c->replies - before);
		l->replies += c->replies - before;
	}
	return in.at - start;
}

/* As recv(); when the last byte came. */
static ssize_t
connection_receive(struct load *l, struct connection *c, void *in, int64_t *ret_now_ns)
{
	union {
		struct cmsghdr head;
		char bytes[256];
	} control;
	struct iovec part = {in, LOAD_IN};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *at;
	struct timespec came;
	ssize_t n;

	if (l->arrival) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	n = recvmsg(c->fd, &message, 0);
	*ret_now_ns = clock_now_ns();
	at = l->arrival && n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (at && at->cmsg_level == SOL_SOCKET && at->cmsg_type == SO_TIMESTAMPNS) {
		memcpy(&came, CMSG_DATA(at), sizeof(came));
		*ret_now_ns = came.tv_sec * CLOCK_SECOND_NS + came.tv_nsec;
	}
	return n;
}

/* One read; what is no whole reply yet is kept in front of the next. */
static int
connection_read(struct load *l, struct connection *c, int64_t *ret_now_ns)
{
	int64_t now_ns;
	ssize_t n, taken;

	memcpy(l->in, c->rest, c->rest_len);
	n = connection_receive(l, c, l->in + c->rest_len, &now_ns);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	l->bytes_in += (uint64_t)n;
	taken = connection_take(l, c, (struct text){l->in, c->rest_len + (size_t)n}, now_ns);
	if (taken < 0)
		return (int)taken;
	c->rest_len += (size_t)(n - taken);
	if (c->rest_len > LOAD_REST)
		return -EMSGSIZE;
	memcpy(c->rest, l->in + taken, c->rest_len);
	*ret_now_ns = now_ns;
	return 0;
}

static int
connection_next(struct load *l, struct connection *c, int64_t now_ns)
{
	int r = 0;

	if (l->rate > 0) {
		l->idle[l->idle_count++] = c;
		return 0;
	}
	if (l->think_s > 0 && c->asks_ns == 0) {
		c->asks_ns = now_ns + (int64_t)(drand48() * l->think_s * 1e9);
		l->thinking++;
		return 0;
	}
	load_source_set_time(&l->source, now_ns);
	c->sent_ns = l->arrival ? clock_now_ns() : now_ns;
	if (l->once) {
		close(c->fd);
		r = connection_open(l, c);
	}
	return r < 0 ? r : connection_ask(l, c);
}

static int
connection_on_event(struct load *l, struct connection *c, uint32_t events)
{
	int64_t now_ns = 0;
	int r = 0;

	if (events & EPOLLOUT)
		r = connection_flush(l, c);
	if (r == 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		r = connection_read(l, c, &now_ns);
	if (r == 0 && now_ns != 0 && c->replies == c->commands)
		r = connection_next(l, c, now_ns);
	return r;
}

/* --- the run ------------------------------------------------------------ */

/* Forgets what was counted while warming up. */
static int
load_start_measure(struct load *l, int64_t now_ns)
{
	int r;

	memset(&l->latency, 0, sizeof(l->latency));
	l->replies = l->bytes_in = l->bytes_out = l->source.results = 0;
	l->phase = LOAD_MEASURED;
	l->start_ns = now_ns;
	l->phase_end_ns = now_ns + (int64_t)(l->measure_s * 1e9);
	r = usage_read(getpid(), &l->self_before);
	if (r == 0 && l->pid > 0)
		r = usage_read(l->pid, &l->server_before);
	return r;
}

static int
load_end_measure(struct load *l, int64_t now_ns)
{
	int r = 0;

	l->phase = LOAD_ENDED;
	l->end_ns = now_ns;
	if (l->pid > 0)
		r = usage_read(l->pid, &l->server_after);
	return r < 0 ? r : usage_read(getpid(), &l->self_after);
}

static int
load_turn(struct load *l)
{
	int64_t now_ns = clock_monotonic_ns();

	if (load_is_preload(l))
		return l->replies == l->source.clients ? load_end_measure(l, now_ns) : 0;
	if (now_ns < l->phase_end_ns)
		return 0;
	return l->phase == LOAD_WARM ? load_start_measure(l, now_ns) : load_end_measure(l, now_ns);
}

/* Those whose turn it is: all at once, or one after the other, so that they do not go on asking in step. */
static int
load_begin(struct load *l)
{
	double since_s = (double)(clock_monotonic_ns() - l->begin_ns) / 1e9;
	double share = l->stagger_s > 0 ? since_s / l->stagger_s : 1;
	int r = 0;

	while (r == 0 && l->begun < l->connections && l->begun <= share * l->connections) {
		struct connection *c = &l->connection[l->begun++];

		c->sent_ns = clock_now_ns();
		r = connection_open(l, c);
		if (r == 0 && l->rate > 0)
			l->idle[l->idle_count++] = c;
		else if (r == 0)
			r = connection_ask(l, c);
	}
	return r;
}

static int
load_start(struct load *l)
{
	int64_t now_ns = clock_now_ns();
	int r;

	l->phase = LOAD_WARM;
	l->phase_end_ns = clock_monotonic_ns() + (int64_t)(l->warm_s * 1e9);
	if (load_is_preload(l)) {
		r = load_start_measure(l, clock_monotonic_ns());
		if (r < 0)
			return r;
	}
	load_source_set_time(&l->source, now_ns);
	l->begin_ns = clock_monotonic_ns();
	l->due_ns = now_ns;
	return load_begin(l);
}

/* What is due is sent, as far as there are connections for it. */
static int
load_send_due(struct load *l)
{
	int64_t now_ns = clock_now_ns();
	int r = 0;

	while (r == 0 && l->due_ns <= now_ns && l->idle_count > 0) {
		struct connection *c = l->idle[--l->idle_count];

		load_source_set_time(&l->source, now_ns);
		c->sent_ns = l->due_ns;
		r = connection_ask(l, c);
		l->due_ns += (int64_t)(-log(1 - drand48()) / l->rate * 1e9);
	}
	return r;
}

/* Those who have thought long enough go on. */
static int
load_go_on(struct load *l)
{
	int64_t now_ns = clock_now_ns();
	int r = 0;

	for (uint32_t i = 0; i < l->connections && r == 0; i++) {
		struct connection *c = &l->connection[i];

		if (c->asks_ns == 0 || c->asks_ns > now_ns)
			continue;
		r = connection_next(l, c, now_ns);
		c->asks_ns = 0;
		l->thinking--;
	}
	return r;
}

static int
load_wait(struct load *l, struct epoll_event *events)
{
	struct timespec wait = {.tv_sec = LOAD_QUIET_MS / 1000};
	bool is_waking = l->begun < l->connections || l->thinking > 0;
	int n;

	if (l->rate > 0 && l->idle_count > 0) {
		int64_t left_ns = l->due_ns - clock_now_ns();

		is_waking = true;
		wait = (struct timespec){.tv_nsec = left_ns < 0		  ? 0
						    : left_ns < 999999999 ? (long)left_ns
									  : 999999999};
	} else if (is_waking)
		wait = (struct timespec){.tv_nsec = LOAD_TICK_US * 1000};
	n = epoll_pwait2(l->epoll, events, LOAD_EVENTS, &wait, NULL);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n == 0 && !is_waking ? -ETIMEDOUT : n;
}

static int
load_run(struct load *l)
{
	struct epoll_event events[LOAD_EVENTS];
	int r = load_start(l);

	while (r == 0 && l->phase != LOAD_ENDED) {
		int n = load_wait(l, events);

		if (n < 0)
			return n;
		if (l->begun < l->connections)
			r = load_begin(l);
		if (r == 0 && l->thinking > 0)
			r = load_go_on(l);
		if (r == 0 && l->rate > 0)
			r = load_send_due(l);
		for (int i = 0; i < n && r == 0; i++)
			r = connection_on_event(l, events[i].data.ptr, events[i].events);
		if (r == 0)
			r = load_turn(l);
	}
	return r;
}

static int
load_prepare(struct load *l)
{
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		return -errno;
	l->in = malloc(LOAD_REST + LOAD_IN);
	l->connection = calloc(l->connections, sizeof(*l->connection));
	l->idle = calloc(l->connections, sizeof(struct connection *));
	if (!l->in || !l->connection || !l->idle)
		return -ENOMEM;
	(void)prctl(PR_SET_TIMERSLACK, 1UL); /* an open loop is to be on time */
	for (uint32_t i = 0; i < l->connections; i++) {
		struct connection *c = &l->connection[i];

		c->fd = -1;
		c->out = malloc(((size_t)l->depth + 1) * LOAD_COMMAND_MAX);
		c->marks = calloc(l->depth, sizeof(*c->marks));
		c->rest = malloc(LOAD_REST);
		if (!c->out || !c->marks || !c->rest)
			return -ENOMEM;
	}
	return usage_pin(l->core);
}

static void
load_done(struct load *l)
{
	for (uint32_t i = 0; l->connection && i < l->connections; i++) {
		struct connection *c = &l->connection[i];

		if (c->fd >= 0)
			close(c->fd);
		free(c->out);
		free(c->marks);
		free(c->rest);
	}
	free(l->connection);
	free(l->idle);
	free(l->in);
	if (l->epoll >= 0)
		close(l->epoll);
	load_source_done(&l->source);
}

static double
per(double what, double count)
{
	return count > 0 ? what / count : 0;
}

static void
load_report(const struct load *l)
{
	struct usage server = usage_between(&l->server_before, &l->server_after);
	struct usage self = usage_between(&l->self_before, &l->self_after);
	double seconds = (double)(l->end_ns - l->start_ns) / 1e9, n = (double)l->replies;
	const struct histogram *h = &l->latency;

	printf("{\"command\": \"%s\", \"connections\": %u, \"depth\": %u, \"once\": %s, \"clients\": %u, ",
	       l->command->name, l->connections, l->depth, l->once ? "true" : "false", l->source.clients);
	printf("\"seconds\": %.3f, \"replies\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"ops_per_s\": %.0f, ",
	       seconds, l->replies, l->errors, per(n, seconds));
	printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, ",
	       (double)histogram_quantile(h, 0.5) / 1e3, (double)histogram_quantile(h, 0.99) / 1e3,
	       (double)histogram_quantile(h, 0.999) / 1e3, (double)h->max / 1e3);
	printf("\"server_cpu_ns\": %.0f, \"server_user_ns\": %.0f, \"server_system_ns\": %.0f, ",
	       per((double)server.cpu_ns, n), per((double)server.user_ns, n),
	       per((double)server.system_ns, n));
	printf("\"server_cpu_s\": %.3f, \"server_wait_s\": %.3f, \"load_cpu_s\": %.3f, \"load_wait_s\": "
	       "%.3f, ",
	       (double)server.cpu_ns / 1e9, (double)server.wait_ns / 1e9, (double)self.cpu_ns / 1e9,
	       (double)self.wait_ns / 1e9);
	printf("\"load_cpu_ns\": %.0f, \"bytes_out\": %.1f, \"bytes_in\": %.1f, \"results\": %.2f}\n",
	       per((double)self.cpu_ns, n), per((double)l->bytes_out, n), per((double)l->bytes_in, n),
	       per((double)l->source.results, n));
}

/* --- options ------------------------------------------------------------ */

struct load_arguments {
	const char *points, *time, *member;
	unsigned int radius_km, bound;
	bool preload, in_turn;
	char prefix;
};

static int
load_usage(FILE *out)
{
	char commands[256];

	load_command_list(commands, sizeof(commands));
	fprintf(out,
		"usage: bench-load --command NAME --connect 127.0.0.1:PORT [OPTION]...\n"
		"  --command NAME      %s\n"
		"  --connections N     50\n"
		"  --depth N           commands sent at once on each, 1\n"
		"  --once              a new connection for each command\n"
		"  --sources N         own addresses to connect from, 127.0.0.2 and up\n"
		"  --warm SECONDS      0.3\n"
		"  --seconds SECONDS   2\n"
		"  --beyond SECONDS    latencies are told less this, 0\n"
		"  --stagger SECONDS   until the last connection has begun, 0\n"
		"  --rate N            batches a second in an open loop, on connections that wait for "
		"nothing\n"
		"  --arrival           latency ends when the kernel has the reply, not when we have come to "
		"read it\n"
		"  --think SECONDS     at most, before the next batch, at random, 0\n"
		"  --clients N         ids to choose from, 1000000\n"
		"  --preload           send each id once instead\n"
		"  --in-turn           one id after the other, not at random\n"
		"  --prefix LETTER     first letter of the ids, u\n"
		"  --points FILE       lines \"LAT LON\" where the clients are, else anywhere\n"
		"  --time TEXT         every fix carries this time (SSSSSSSSSS.nnnnnnnnn)\n"
		"  --member NAME       what AT lines name, Alpha\n"
		"  --radius KM, --bound N   of the searches, 10 and 5; 0: GEOSEARCH without COUNT\n"
		"  --pid PID           the server, whose CPU time to report\n"
		"  --pin CORE          where to run\n",
		commands);
	return out == stdout ? 0 : 2;
}

static bool
load_parse_address(const char *text, struct sockaddr_in *ret)
{
	char host[64];
	unsigned int port;
	int end = 0;

	if (sscanf(text, "%63[0-9.]:%u%n", host, &port, &end) != 2 || text[end] || port == 0 || port > 65535)
		return false;
	*ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	return inet_pton(AF_INET, host, &ret->sin_addr) == 1;
}

static bool
load_parse_count(const char *text, uint32_t min, uint32_t max, uint32_t *ret)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || value < min || value > max)
		return false;
	*ret = (uint32_t)value;
	return true;
}

static bool
load_parse_seconds(const char *text, double *ret)
{
	char *end;

	*ret = strtod(text, &end);
	return end != text && !*end && *ret >= 0 && *ret <= 3600;
}

enum load_option {
	OPTION_HELP = 'h',
	OPTION_COMMAND = 1000,
	OPTION_CONNECT,
	OPTION_CONNECTIONS,
	OPTION_DEPTH,
	OPTION_ONCE,
	OPTION_SOURCES,
	OPTION_WARM,
	OPTION_SECONDS,
	OPTION_BEYOND,
	OPTION_STAGGER,
	OPTION_THINK,
	OPTION_RATE,
	OPTION_ARRIVAL,
	OPTION_CLIENTS,
	OPTION_PRELOAD,
	OPTION_IN_TURN,
	OPTION_PREFIX,
	OPTION_POINTS,
	OPTION_TIME,
	OPTION_MEMBER,
	OPTION_RADIUS,
	OPTION_BOUND,
	OPTION_PID,
	OPTION_PIN,
};

static const struct option load_options[] = {
	{"help", no_argument, NULL, OPTION_HELP},
	{"command", required_argument, NULL, OPTION_COMMAND},
	{"connect", required_argument, NULL, OPTION_CONNECT},
	{"connections", required_argument, NULL, OPTION_CONNECTIONS},
	{"depth", required_argument, NULL, OPTION_DEPTH},
	{"once", no_argument, NULL, OPTION_ONCE},
	{"sources", required_argument, NULL, OPTION_SOURCES},
	{"warm", required_argument, NULL, OPTION_WARM},
	{"seconds", required_argument, NULL, OPTION_SECONDS},
	{"beyond", required_argument, NULL, OPTION_BEYOND},
	{"stagger", required_argument, NULL, OPTION_STAGGER},
	{"think", required_argument, NULL, OPTION_THINK},
	{"rate", required_argument, NULL, OPTION_RATE},
	{"arrival", no_argument, NULL, OPTION_ARRIVAL},
	{"clients", required_argument, NULL, OPTION_CLIENTS},
	{"preload", no_argument, NULL, OPTION_PRELOAD},
	{"in-turn", no_argument, NULL, OPTION_IN_TURN},
	{"prefix", required_argument, NULL, OPTION_PREFIX},
	{"points", required_argument, NULL, OPTION_POINTS},
	{"time", required_argument, NULL, OPTION_TIME},
	{"member", required_argument, NULL, OPTION_MEMBER},
	{"radius", required_argument, NULL, OPTION_RADIUS},
	{"bound", required_argument, NULL, OPTION_BOUND},
	{"pid", required_argument, NULL, OPTION_PID},
	{"pin", required_argument, NULL, OPTION_PIN},
	{0},
};

/* Options that say where to and how. */
static bool
load_take_option(struct load *l, int option, const char *value)
{
	uint32_t number = 0;
	bool good = true;

	switch (option) {
	case OPTION_COMMAND:
		l->command = load_command_find(value);
		return l->command != NULL;
	case OPTION_CONNECT:
		return load_parse_address(value, &l->server);
	case OPTION_CONNECTIONS:
		return load_parse_count(value, 1, LOAD_CONNECTIONS_MAX, &l->connections);
	case OPTION_DEPTH:
		return load_parse_count(value, 1, LOAD_DEPTH_MAX, &l->depth);
	case OPTION_ONCE:
		l->once = true;
		return true;
	case OPTION_SOURCES:
		return load_parse_count(value, 1, 200, &l->sources);
	case OPTION_WARM:
		return load_parse_seconds(value, &l->warm_s);
	case OPTION_SECONDS:
		return load_parse_seconds(value, &l->measure_s);
	case OPTION_BEYOND:
		return load_parse_seconds(value, &l->beyond_s);
	case OPTION_RATE: {
		uint32_t rate;

		if (!load_parse_count(value, 1, 10000000, &rate))
			return false;
		l->rate = rate;
		return true;
	}
	case OPTION_ARRIVAL:
		l->arrival = true;
		return true;
	case OPTION_THINK:
		return load_parse_seconds(value, &l->think_s);
	case OPTION_STAGGER:
		return load_parse_seconds(value, &l->stagger_s);
	case OPTION_CLIENTS:
		return load_parse_count(value, 1, LOAD_CLIENTS_MAX, &l->source.clients);
	case OPTION_PID:
		good = load_parse_count(value, 1, INT32_MAX, &number);
		l->pid = (pid_t)number;
		return good;
	case OPTION_PIN:
		good = load_parse_count(value, 0, 1023, &number);
		l->core = (int)number;
		return good;
	default:
		return false;
	}
}

/* Options that say what the commands carry. */
static bool
load_take_argument(struct load_arguments *a, int option, const char *value)
{
	switch (option) {
	case OPTION_PRELOAD:
		a->preload = true;
		return true;
	case OPTION_IN_TURN:
		a->in_turn = true;
		return true;
	case OPTION_PREFIX:
		a->prefix = value[0];
		return value[0] >= 'a' && value[0] <= 'z' && value[1] == '\0';
	case OPTION_POINTS:
		a->points = value;
		return true;
	case OPTION_TIME:
		a->time = value;
		return strlen(value) == LOAD_TIME_LEN;
	case OPTION_MEMBER:
		a->member = value;
		return strlen(value) < 24;
	case OPTION_RADIUS:
		return load_parse_count(value, 0, 50, &a->radius_km);
	case OPTION_BOUND:
		return load_parse_count(value, 0, 20, &a->bound);
	default:
		return false;
	}
}

static int
load_apply(struct load *l, const struct load_arguments *a)
{
	struct load_source *s = &l->source;
	int r;

	s->random = (uint64_t)clock_now_ns() ^ (uint64_t)getpid() << 40;
	s->in_order = a->preload;
	s->in_turn = a->in_turn;
	s->prefix = a->prefix;
	s->server_len = (size_t)snprintf(s->server, sizeof(s->server), "AT %s ", a->member);
	load_source_set_area(s, a->radius_km, a->bound);
	r = a->points ? load_source_read(s, a->points) : load_source_spread(s);
	if (r < 0) {
		fprintf(stderr, "bench-load: %s: %s\n", a->points ? a->points : "points", strerror(-r));
		return r;
	}
	if (a->time) {
		s->time_fixed = true;
		memcpy(s->time, a->time, LOAD_TIME_LEN);
	}
	return 0;
}

/* 0, or an exit status plus one. */
static int
load_parse(struct load *l, int argc, char **argv)
{
	struct load_arguments a = {.member = "Alpha", .radius_km = 10, .bound = 5, .prefix = 'u'};
	int option;

	while ((option = getopt_long(argc, argv, "h", load_options, NULL)) != -1) {
		if (option == OPTION_HELP)
			return 1 + load_usage(stdout);
		if (option == '?')
			return 1 + load_usage(stderr);
		if (!load_take_option(l, option, optarg) && !load_take_argument(&a, option, optarg)) {
			fprintf(stderr, "bench-load: bad value '%s'\n", optarg);
			return 3;
		}
	}
	if (!l->command || !l->server.sin_port || optind != argc || (l->once && l->depth != 1))
		return 1 + load_usage(stderr);
	return load_apply(l, &a) < 0 ? 2 : 0;
}

int
main(int argc, char **argv)
{
	static struct load l = {
		.connections = 50,
		.depth = 1,
		.warm_s = 0.3,
		.measure_s = 2,
		.core = -1,
		.epoll = -1,
		.source = {.clients = 1000000},
	};
	int r = load_parse(&l, argc, argv);

	if (r != 0) {
		load_done(&l);
		return r - 1;
	}
	r = load_prepare(&l);
	if (r == 0)
		r = load_run(&l);
	if (r == 0)
		load_report(&l);
	else
		fprintf(stderr, "bench-load: %s: %s\n", l.command->name, strerror(-r));
	load_done(&l);
	return r < 0 || l.errors > 0 ? 1 : 0;
}
