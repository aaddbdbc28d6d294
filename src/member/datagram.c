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
	PARCEL_MAGIC = 0x70617263, /* "parc" */
	DATAGRAM_TURN = 64,	   /* datagrams per wake-up */
	DATAGRAM_MAX = 65536,
};

struct sender {
	int fd;
	struct sockaddr_storage address;
	socklen_t len;
};

/* A reply that waits, with the address it goes to. */
struct parcel {
	uint32_t magic;
	struct member *member;
	struct reply *reply; /* owned */
	struct sender to;
	LIST_ENTRY(parcel) in_member;
};

static void
parcel_free(struct parcel *parcel)
{
	LIST_REMOVE(parcel, in_member);
	parcel->member->parcel_count--;
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
parcel_new(struct member *m, struct reply *reply, const struct sender *to)
{
	/* A bound for senders who cannot be told apart, and need not exist. */
	struct parcel *parcel = m->parcel_count < m->conf.lookups_max ? calloc(1, sizeof(*parcel)) : NULL;

	if (!parcel) {
		reply_free(reply);
		member_count(m, TABLE_COUNTER_dropped, 1);
		return;
	}
	*parcel = (struct parcel){.magic = PARCEL_MAGIC, .member = m, .reply = reply, .to = *to};
	reply->ready = parcel_on_ready;
	reply->owner = parcel;
	LIST_INSERT_HEAD(&m->parcels, parcel, in_member);
	m->parcel_count++;
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

static void
datagram_answer(struct member *m, struct text in, const struct sender *from)
{
	struct answer_batch batch;
	int64_t rx_ns = clock_now_ns();

	while (in.len > 0) {
		batch.count = 0;
		while (in.len > 0 && batch.count < ANSWER_BATCH)
			answer_read(m, &batch, take_line(&in));
		if (batch.count > 1)
			answer_prefetch(m, &batch);
		for (size_t i = 0; i < batch.count; i++) {
			struct reply *pending = NULL;
			int r;

			m->output.len = 0;
			r = answer_give(m, &batch, i, rx_ns, &m->output, &pending);
			if (r == ANSWER_E_PENDING)
				parcel_new(m, pending, from);
			else if (r == 0)
				send_reply(from, m->output.bytes, m->output.len);
		}
	}
	m->output.len = 0;
}

void
datagram_serve(struct member *m, int fd)
{
	for (int i = 0; i < DATAGRAM_TURN; i++) {
		struct sender from = {.fd = fd, .len = sizeof(from.address)};
		ssize_t n = recvfrom(fd, m->input, DATAGRAM_MAX, MSG_DONTWAIT,
				     (struct sockaddr *)&from.address, &from.len);

		if (n < 0 && errno != EINTR && errno != ECONNREFUSED)
			return;
		if (n > 0)
			datagram_answer(m, (struct text){m->input, (size_t)n}, &from);
	}
}

void
datagram_forget(struct member *m, int fd)
{
	struct parcel *parcel, *next;

	for (parcel = LIST_FIRST(&m->parcels); parcel; parcel = next) {
		next = LIST_NEXT(parcel, in_member);
		if (parcel->to.fd == fd)
			parcel_free(parcel);
	}
}
