/*
 * Datagram: nothing is kept of a sender but the address of a reply that has
 * to wait. A reply that the socket does not take is lost, as any datagram may
 * be; the client asks again.
 */
#include "member/datagram.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"

enum {
	DATAGRAM_MAGIC = 0x64617467, /* "datg" */
	PARCEL_MAGIC = 0x70617263,   /* "parc" */
	DATAGRAM_MAX = 65536,
	DATAGRAM_HELD_MAX = 10000, /* replies that wait for peers: not long, but with ack-after all of them */
};

struct sender {
	int fd;
	struct sockaddr_storage address;
	socklen_t len;
};

/* A reply that waits, with the address it goes to. */
struct parcel {
	uint32_t magic;
	struct datagram *datagram;
	struct reply *reply; /* owned */
	struct sender to;
	uint32_t *count; /* of those like it */
	LIST_ENTRY(parcel) in_datagram;
};

struct datagram {
	uint32_t magic;
	struct member *member;
	int fd;
	struct event *again;  /* pending while lines of the last datagram are left */
	struct buffer rest;   /* those lines */
	struct sender sender; /* whose they are */
	LIST_HEAD(parcel_list, parcel) parcels;
	uint32_t pending_count, held_count; /* of parcels: all but those held for peers, and those */
};

static void
parcel_free(struct parcel *parcel)
{
	LIST_REMOVE(parcel, in_datagram);
	--*parcel->count;
	reply_free(parcel->reply);
	parcel->magic = 0;
	free(parcel);
}

static void
send_reply(const struct sender *to, const char *bytes, size_t len)
{
	ssize_t n;

	do
		n = sendto(to->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL,
			   (const struct sockaddr *)&to->address, to->len);
	while (n < 0 && errno == EINTR);
	if (n < 0 && log_enabled(LOG_DEBUG))
		log_debug("Lost a reply of %zu bytes: %s", len, strerror(errno));
}

static void
parcel_on_ready(struct reply *reply, void *owner)
{
	struct parcel *parcel = owner;

	assert(parcel->magic == PARCEL_MAGIC);
	if (reply->bytes.len > 0)
		send_reply(&parcel->to, reply->bytes.bytes, reply->bytes.len);
	parcel_free(parcel);
}

static void
parcel_new(struct datagram *d, struct reply *reply, const struct sender *to)
{
	/* A bound for senders who cannot be told apart, and need not exist. */
	bool is_held = reply->state == REPLY_FOR_PEERS;
	uint32_t *count = is_held ? &d->held_count : &d->pending_count;
	uint32_t max = is_held ? DATAGRAM_HELD_MAX : d->member->conf.places_pending_max;
	struct parcel *parcel = *count < max ? calloc(1, sizeof(*parcel)) : NULL;

	if (!parcel) {
		reply_free(reply);
		member_count(d->member, TABLE_COUNTER_dropped, 1);
		return;
	}
	*parcel = (struct parcel){
		.magic = PARCEL_MAGIC, .datagram = d, .reply = reply, .to = *to, .count = count};
	reply->ready = parcel_on_ready;
	reply->owner = parcel;
	LIST_INSERT_HEAD(&d->parcels, parcel, in_datagram);
	++*count;
}

/* The next line of a datagram, which may lack its LF at the end. */
static struct text
take_line(struct text *in)
{
	const char *end = memchr(in->at, '\n', in->len);
	size_t len = end ? (size_t)(end - in->at) : in->len;
	struct text line = {in->at, len};

	if (end && len > 0 && in->at[len - 1] == '\r')
		line.len--;
	*in = end ? (struct text){end + 1, in->len - len - 1} : (struct text){in->at + len, 0};
	return line;
}

/* Answers lines off the front of *in until the turn ends. */
static void
datagram_answer(struct datagram *d, struct text *in, const struct sender *from, int64_t end_ns)
{
	struct member *m = d->member;
	struct answer_batch batch;
	int64_t rx_ns = clock_now_ns();

	while (in->len > 0 && clock_monotonic_ns() < end_ns) {
		batch.count = 0;
		while (in->len > 0 && batch.count < ANSWER_BATCH)
			answer_read(m, &batch, take_line(in));
		if (batch.count > 1)
			answer_prefetch(m, &batch);
		for (size_t i = 0; i < batch.count; i++) {
			struct reply *pending = NULL;
			int r;

			m->output.len = 0;
			r = answer_give(m, &batch, i, rx_ns, &m->output, &pending);
			if (r == ANSWER_E_PENDING)
				parcel_new(d, pending, from);
			else if (r == 0)
				send_reply(from, m->output.bytes, m->output.len);
		}
	}
	m->output.len = 0;
}

/* Lines of a datagram for which a turn had no time; nothing is received before they are answered. */
static void
datagram_finish_rest(struct datagram *d, int64_t end_ns)
{
	struct text in = {d->rest.bytes, d->rest.len};

	datagram_answer(d, &in, &d->sender, end_ns);
	buffer_consume(&d->rest, d->rest.len - in.len);
	if (d->rest.len == 0)
		buffer_done(&d->rest);
}

void
datagram_serve(struct datagram *d)
{
	static const struct timeval at_once = {0};
	struct member *m = d->member;
	int64_t end_ns = clock_monotonic_ns() + MEMBER_TURN_NS;

	datagram_finish_rest(d, end_ns);
	while (d->rest.len == 0 && clock_monotonic_ns() < end_ns) {
		struct sender from = {.fd = d->fd, .len = sizeof(from.address)};
		ssize_t n = recvfrom(d->fd, m->input, DATAGRAM_MAX, MSG_DONTWAIT,
				     (struct sockaddr *)&from.address, &from.len);
		struct text in = {m->input, n > 0 ? (size_t)n : 0};

		if (n < 0 && errno != EINTR && errno != ECONNREFUSED)
			break;
		datagram_answer(d, &in, &from, end_ns);
		if (in.len > 0 && buffer_append(&d->rest, in) == 0)
			d->sender = from;
	}
	/* A timer of no length: other clients get their turn first. */
	if (d->rest.len > 0)
		event_add(d->again, &at_once);
}

static void
datagram_on_again(evutil_socket_t fd, short what, void *arg)
{
	struct datagram *d = arg;

	(void)fd;
	(void)what;
	assert(d->magic == DATAGRAM_MAGIC);
	datagram_serve(d);
	member_publish_counts(d->member);
}

bool
datagram_is_idle(const struct datagram *d)
{
	return d->rest.len == 0 && LIST_EMPTY(&d->parcels);
}

int
datagram_new(struct datagram **ret, struct member *m, int fd)
{
	struct datagram *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	*d = (struct datagram){.magic = DATAGRAM_MAGIC, .member = m, .fd = fd, .rest.max = DATAGRAM_MAX};
	LIST_INIT(&d->parcels);
	d->again = evtimer_new(loop_base(m->loop), datagram_on_again, d);
	if (!d->again) {
		datagram_free(d);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

struct datagram *
datagram_free(struct datagram *d)
{
	if (!d)
		return NULL;
	while (!LIST_EMPTY(&d->parcels))
		parcel_free(LIST_FIRST(&d->parcels));
	if (d->again)
		event_free(d->again);
	buffer_done(&d->rest);
	d->magic = 0;
	free(d);
	return NULL;
}
