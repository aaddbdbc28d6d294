/*
 * getaddrinfo() asks what the system asks (hosts file, DNS, resolved), and
 * there is no way to ask so without waiting: it gets a thread of its own, which
 * lives as long as the question. Nobody can hurry a thread that waits for a
 * name server, so whoever is no longer interested leaves it alone with what it
 * needs, and the last of the two cleans up.
 */
#include "flood/resolve.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/thread.h"

enum {
	RESOLVE_MAGIC = 0x52534c56, /* "RSLV" */
	THREADS_MAX = 8,	    /* name servers that do not answer must not pile them up */
	NAME_MAX_BYTES = 255,
};

static atomic_uint threads;

/* What the thread and the loop share; the thread writes the answer before it rings. */
struct question {
	atomic_uint refs;
	int bell; /* an eventfd */
	char name[NAME_MAX_BYTES + 1], port[8];
	struct address at[RESOLVE_MAX];
	size_t count;
	int error; /* EAI_*; 0: none */
	int error_number;
};

struct resolve {
	unsigned int magic;
	struct question *question; /* NULL: it was a number */
	struct address number;
	struct event *answered;
	resolve_fn *fn;
	void *arg;
};

static struct question *
question_unref(struct question *q)
{
	if (q && atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) == 1) {
		if (q->bell >= 0)
			close(q->bell);
		free(q);
	}
	return NULL;
}

CLEANUP_POINTER(struct question, question_unref);

/* --- the thread -------------------------------------------------------------- */

static void
take_answer(struct question *q, const struct addrinfo *list)
{
	for (const struct addrinfo *a = list; a && q->count < RESOLVE_MAX; a = a->ai_next) {
		struct address *to = &q->at[q->count];

		if (a->ai_addrlen > sizeof(to->socket))
			continue;
		*to = (struct address){.len = a->ai_addrlen};
		memcpy(&to->socket, a->ai_addr, a->ai_addrlen);
		q->count++;
	}
}

static void *
resolve_main(void *arg)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct question *q = arg;
	struct addrinfo *list = NULL;

	q->error = getaddrinfo(q->name, q->port, &hints, &list);
	q->error_number = q->error == EAI_SYSTEM ? errno : 0;
	if (q->error == 0) {
		take_answer(q, list);
		freeaddrinfo(list);
	}
	atomic_fetch_sub_explicit(&threads, 1, memory_order_relaxed);
	(void)!write(q->bell, &(uint64_t){1}, sizeof(uint64_t));
	question_unref(q);
	return NULL;
}

/* --- the loop's side ------------------------------------------------------------ */

static void
resolve_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct resolve *r = arg;
	const struct question *q = r->question;
	const char *why = NULL;

	(void)fd;
	(void)what;
	assert(r->magic == RESOLVE_MAGIC);
	if (!q) {
		r->fn(r->arg, &r->number, 1, NULL);
		return;
	}
	if (q->error)
		why = q->error_number ? strerror(q->error_number) : gai_strerror(q->error);
	else if (q->count == 0)
		why = "it has no address";
	r->fn(r->arg, q->at, q->count, why);
}

static int
ask(struct resolve *r, struct loop *loop, const char *address, const char *colon)
{
	CLEANUP(question_unrefp) struct question *q = calloc(1, sizeof(*q));
	pthread_t thread;
	int error;

	if (!q)
		return -ENOMEM;
	atomic_init(&q->refs, 1);
	q->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->bell < 0)
		return -errno;
	memcpy(q->name, address, (size_t)(colon - address));
	memcpy(q->port, colon + 1, strlen(colon + 1));
	r->answered = event_new(loop_base(loop), q->bell, EV_READ, resolve_on_event, r);
	if (!r->answered || event_add(r->answered, NULL) < 0)
		return -ENOMEM;
	atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
	error = thread_start(&thread, resolve_main, q);
	if (error < 0) {
		atomic_fetch_sub_explicit(&threads, 1, memory_order_relaxed);
		question_unref(q); /* the thread's */
		return error;
	}
	pthread_detach(thread);
	r->question = q;
	q = NULL;
	return 0;
}

static int
answer_at_once(struct resolve *r, struct loop *loop)
{
	static const struct timeval now = {0, 0};

	r->answered = evtimer_new(loop_base(loop), resolve_on_event, r);
	return r->answered && event_add(r->answered, &now) == 0 ? 0 : -ENOMEM;
}

int
resolve_start(struct resolve **ret, struct loop *loop, const char *address, resolve_fn *fn, void *arg)
{
	CLEANUP(resolve_freep) struct resolve *r = calloc(1, sizeof(*r));
	const char *colon = strrchr(address, ':');
	int error;

	if (!r)
		return -ENOMEM;
	*r = (struct resolve){.magic = RESOLVE_MAGIC, .fn = fn, .arg = arg};
	if (address_parse(text_of(address), &r->number) == 0)
		error = answer_at_once(r, loop);
	else if (!colon || colon == address || colon - address > NAME_MAX_BYTES || strlen(colon + 1) > 5)
		error = -EINVAL;
	else if (atomic_load_explicit(&threads, memory_order_relaxed) >= THREADS_MAX)
		error = -EAGAIN;
	else
		error = ask(r, loop, address, colon);
	if (error < 0)
		return error;
	*ret = r;
	r = NULL;
	return 0;
}

struct resolve *
resolve_free(struct resolve *r)
{
	if (r) {
		if (r->answered)
			event_free(r->answered);
		question_unref(r->question);
		r->magic = 0;
		free(r);
	}
	return NULL;
}
