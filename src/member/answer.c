/*
 * Answer: all that a member does for a client happens here; sessions and
 * datagrams only carry bytes to and fro.
 */
#include "member/answer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "herd/events.h"
#include "places/json.h"

enum {
	REPLY_MAGIC = 0x7265706c, /* "repl" */
	FIND_TRIES = 8,		  /* each one a thousand looks */
	RETRY_STORES = 1000,	  /* per turn */
	RETRY_BUSY = 4,		  /* per turn: each waits up to a millisecond */
};

struct reply *
reply_new(struct member *m)
{
	struct reply *reply = m->spare_reply ? m->spare_reply : calloc(1, sizeof(*reply));

	m->spare_reply = NULL;
	if (reply) {
		reply->magic = REPLY_MAGIC;
		reply->member = m;
		reply->bytes.max = SIZE_MAX / 2; /* the session's limits come before */
	}
	return reply;
}

static void
reply_stop_waiting(struct reply *reply)
{
	if (reply->state == REPLY_FOR_STORE)
		TAILQ_REMOVE(&reply->member->waiting_store, reply, waiting);
	if (reply->state == REPLY_FOR_PEERS)
		confirm_forget(reply);
	if (reply->state == REPLY_FOR_PLACES)
		member_count(reply->member, TABLE_COUNTER_lookups, -1);
	reply->state = REPLY_READY;
}

struct reply *
reply_free(struct reply *reply)
{
	if (!reply)
		return NULL;
	assert(reply->magic == REPLY_MAGIC);
	if (reply->state == REPLY_FOR_PLACES)
		source_cancel(reply->request);
	reply_stop_waiting(reply);
	buffer_done(&reply->bytes);
	reply->magic = 0;
	free(reply);
	return NULL;
}

static void
log_out(const char *bytes, size_t len)
{
	if (log_enabled(LOG_DEBUG))
		log_debug("out '%s'", log_quote(&(struct log_quoted){0}, (struct text){bytes, len}));
}

void
reply_take(struct reply *reply)
{
	log_out(reply->bytes.bytes, reply->bytes.len);
	reply_stop_waiting(reply);
}

void
reply_release(struct reply *reply)
{
	reply_take(reply);
	reply->ready(reply, reply->owner);
}

/* --- reading ------------------------------------------------------------- */

void
answer_read(struct member *m, struct answer_batch *batch, struct text line)
{
	struct message *message = &batch->message[batch->count];

	assert(batch->count < ANSWER_BATCH);
	if (line.len <= m->conf.line_max)
		message_parse(line, message);
	else
		*message = (struct message){.verb = MESSAGE_INVALID, .line = line};
	if (message->verb != MESSAGE_INVALID)
		table_key_make(m->table, message->id, &batch->key[batch->count]);
	else
		batch->key[batch->count].id = TEXT("");
	batch->count++;
}

void
answer_prefetch(struct member *m, struct answer_batch *batch)
{
	table_prefetch(m->table, batch->key, batch->count);
}

/* After the table changed under us: keys belong to one segment. */
static void
batch_table_lost(struct member *m, struct answer_batch *batch)
{
	member_table_lost(m);
	for (size_t i = 0; i < batch->count; i++)
		if (batch->message[i].verb != MESSAGE_INVALID)
			table_key_make(m->table, batch->message[i].id, &batch->key[i]);
}

/* --- replies -------------------------------------------------------------- */

int
answer_refuse(struct member *m, struct text line, struct buffer *out)
{
	size_t len = line.len < m->conf.line_max ? line.len : m->conf.line_max;
	char *at = buffer_reserve(out, len + 3);

	if (!at)
		return -ENOBUFS;
	*at++ = '?';
	*at++ = ' ';
	at = text_put(at, (struct text){line.at, len});
	*at = '\n';
	out->len += len + 3;
	member_count(m, TABLE_COUNTER_invalid, 1);
	return 0;
}

/* The AT line of an IAMAT that this member heard. */
static int
put_heard(struct member *m, const struct message *message, int64_t rx_ns, struct buffer *out)
{
	struct message_at at = {
		.server = m->server,
		.id = message->id,
		.location = message->location,
		.time = message->time,
		.client_time = message->client_time,
		.rx_ns = rx_ns,
	};
	char *start = buffer_reserve(out, HERD_AT_MAX);

	if (!start)
		return -ENOBUFS;
	out->len += (size_t)(message_put_at(start, &at) - start);
	return 0;
}

static void
copy_text(char *to, uint8_t *ret_len, struct text from)
{
	memcpy(to, from.at, from.len);
	*ret_len = (uint8_t)from.len;
}

/* Keeps a fix until the table takes it: the reply says that it is there, so it must be. */
static int
wait_for_store(struct member *m, const struct message *message, int64_t rx_ns, struct reply **ret)
{
	static struct log_limit limit = LOG_LIMIT("a stopped process in the table", 1, 60);
	struct reply *reply = reply_new(m);
	int r;

	if (!reply)
		return -ENOMEM;
	r = put_heard(m, message, rx_ns, &reply->bytes);
	if (r < 0) {
		reply_free(reply);
		return r;
	}
	copy_text(reply->fix.id, &reply->fix.id_len, message->id);
	copy_text(reply->fix.location, &reply->fix.location_len, message->location);
	copy_text(reply->fix.time, &reply->fix.time_len, message->time);
	reply->fix.rx_ns = rx_ns;
	reply->client_time = message->client_time;
	reply->state = REPLY_FOR_STORE;
	TAILQ_INSERT_TAIL(&m->waiting_store, reply, waiting);
	member_count(m, TABLE_COUNTER_busy, 1);
	if (log_limit_allow(&limit, clock_monotonic_ns()))
		log_event(LOG_WARNING, MSG_TABLE_STUCK, LOG_NO_FIELDS,
			  "A stopped process holds a part of the table: the fixes of its clients wait");
	member_retry_soon(m);
	*ret = reply;
	return ANSWER_E_PENDING;
}

/* The fix is in the table; its reply may have to wait until peers have it, too. */
static int
wait_for_peers(struct member *m, const struct message *message, int64_t rx_ns, struct reply **ret)
{
	struct reply *reply = reply_new(m);
	int r;

	if (!reply)
		return -ENOMEM;
	r = put_heard(m, message, rx_ns, &reply->bytes);
	if (r == 0 && confirm_hold(reply)) {
		*ret = reply;
		return ANSWER_E_PENDING;
	}
	reply_free(reply);
	return r;
}

static int
answer_iamat(struct member *m, struct answer_batch *batch, size_t index, int64_t rx_ns, struct buffer *out,
	     struct reply **ret_pending)
{
	const struct message *message = &batch->message[index];
	const struct table_report report = {message->location, message->time, message->client_time, rx_ns};
	int r;

	r = table_put(m->table, &batch->key[index], &report);
	if (r == -EFAULT) {
		batch_table_lost(m, batch);
		r = table_put(m->table, &batch->key[index], &report);
	}
	if (r == 0)
		member_has_stored(m);
	else if (r == TABLE_E_OLDER)
		member_count(m, TABLE_COUNTER_older, 1);
	else /* in whatever way it failed: no reply says "stored" before it is */
		return wait_for_store(m, message, rx_ns, ret_pending);
	if (m->conf.ack_after > 0) {
		r = wait_for_peers(m, message, rx_ns, ret_pending);
		if (r != 0)
			return r;
	}
	return put_heard(m, message, rx_ns, out);
}

static void
on_places(void *arg, struct text json)
{
	struct reply *reply = arg;

	assert(reply->magic == REPLY_MAGIC);
	reply->request = NULL;
	if (buffer_append(&reply->bytes, json) < 0 || buffer_append(&reply->bytes, TEXT("\n\n")) < 0)
		buffer_done(&reply->bytes); /* no memory: the owner sees an empty reply and ends */
	reply_release(reply);
}

/* A lookup that needs time: the AT line waits for it in the reply. */
static int
wait_for_places(struct reply *reply, const struct herd_fix *fix, struct reply **ret)
{
	char *at = buffer_reserve(&reply->bytes, HERD_AT_MAX);

	if (!at) {
		source_cancel(reply->request);
		return -ENOMEM;
	}
	reply->bytes.len += (size_t)(message_put_fix(at, fix) - at);
	reply->state = REPLY_FOR_PLACES;
	member_count(reply->member, TABLE_COUNTER_lookups, 1);
	member_count(reply->member, TABLE_COUNTER_looked_up, 1);
	*ret = reply;
	return ANSWER_E_PENDING;
}

/* The places of a fix whose AT line stands in out already; on failure says so in the answer. */
static int
put_places(struct member *m, const struct message *message, const struct herd_fix *fix, struct buffer *out,
	   struct reply **ret_pending)
{
	struct source_query query = {.radius_km = message->radius_km, .bound = message->bound};
	struct source_request *request = NULL;
	struct location location;
	struct reply *reply;
	int r;

	if (location_parse((struct text){fix->location, fix->location_len}, &location) != 0)
		return json_put_failure(out, TEXT("INVALID_REQUEST"), TEXT("this location makes no sense"));
	query.lat_e7 = location.lat_e7;
	query.lon_e7 = location.lon_e7;
	reply = reply_new(m);
	if (!reply)
		return -ENOMEM;
	r = source_search(m->source, &query, out, &request, on_places, reply);
	if (r == SOURCE_E_PENDING) {
		reply->request = request;
		r = wait_for_places(reply, fix, ret_pending);
		if (r == ANSWER_E_PENDING)
			return r;
	}
	/* Nearly every lookup is answered at once: the next one takes the same reply. */
	m->spare_reply = reply;
	if (r < 0 && r != -ENOBUFS)
		r = json_put_failure(out, TEXT("UNKNOWN_ERROR"), TEXT("the lookup failed inside the server"));
	return r;
}

static int
find_fix(struct member *m, struct answer_batch *batch, size_t index, int64_t now_ns, struct herd_fix *ret)
{
	int r = TABLE_E_LAPPED;

	for (int try = 0; try < FIND_TRIES && (r == TABLE_E_LAPPED || r == -EFAULT); try++) {
		r = table_find(m->table, &batch->key[index], now_ns, ret);
		if (r == -EFAULT)
			batch_table_lost(m, batch);
	}
	return r;
}

static int
answer_whatsat(struct member *m, struct answer_batch *batch, size_t index, int64_t now_ns, struct buffer *out,
	       struct reply **ret_pending)
{
	const struct message *message = &batch->message[index];
	size_t before = out->len;
	struct herd_fix fix;
	char *at;
	int r;

	if (find_fix(m, batch, index, now_ns, &fix) != 0)
		return answer_refuse(m, message->line, out);
	at = buffer_reserve(out, HERD_AT_MAX);
	if (!at)
		return -ENOBUFS;
	out->len += (size_t)(message_put_fix(at, &fix) - at);
	r = put_places(m, message, &fix, out, ret_pending);
	if (r == 0)
		r = buffer_append(out, TEXT("\n\n"));
	if (r != 0)
		out->len = before;
	return r;
}

int
answer_give(struct member *m, struct answer_batch *batch, size_t index, int64_t rx_ns, struct buffer *out,
	    struct reply **ret_pending)
{
	size_t before = out->len;
	int r;

	/* Not when it is read: a line read ahead may be read again. */
	if (log_enabled(LOG_DEBUG))
		log_debug("in '%s'", log_quote(&(struct log_quoted){0}, batch->message[index].line));
	switch (batch->message[index].verb) {
	case MESSAGE_IAMAT:
		member_count(m, TABLE_COUNTER_iamat, 1);
		r = answer_iamat(m, batch, index, rx_ns, out, ret_pending);
		break;
	case MESSAGE_WHATSAT:
		member_count(m, TABLE_COUNTER_whatsat, 1);
		r = answer_whatsat(m, batch, index, rx_ns, out, ret_pending);
		break;
	case MESSAGE_INVALID:
	default:
		r = answer_refuse(m, batch->message[index].line, out);
	}
	if (r == 0)
		log_out(out->bytes + before, out->len - before);
	return r;
}

/* --- fixes that wait for a place in the table ------------------------------- */

static int
store_again(struct member *m, const struct reply *reply)
{
	const struct herd_fix *fix = &reply->fix;
	const struct table_report report = {
		{fix->location, fix->location_len},
		{fix->time, fix->time_len},
		reply->client_time,
		fix->rx_ns,
	};
	struct table_key key;

	table_key_make(m->table, (struct text){fix->id, fix->id_len}, &key);
	return table_put(m->table, &key, &report);
}

void
answer_retry_stores(struct member *m)
{
	int busy = 0;

	for (int done = 0; done < RETRY_STORES && busy < RETRY_BUSY; done++) {
		struct reply *reply = TAILQ_FIRST(&m->waiting_store);
		int r;

		if (!reply)
			return;
		r = store_again(m, reply);
		if (r == 0 || r == TABLE_E_OLDER) {
			if (r == 0)
				member_has_stored(m);
			else
				member_count(m, TABLE_COUNTER_older, 1);
			TAILQ_REMOVE(&m->waiting_store, reply, waiting);
			reply->state = REPLY_READY;
			if (!confirm_hold(reply))
				reply_release(reply); /* may end its session, and other replies with it */
			continue;
		}
		if (r == -EFAULT)
			member_table_lost(m);
		TAILQ_REMOVE(&m->waiting_store, reply, waiting);
		TAILQ_INSERT_TAIL(&m->waiting_store, reply, waiting);
		busy++;
	}
}
