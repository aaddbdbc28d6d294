/*
 * systemd 252 knows no growing RestartSec=, and its start limits would fail
 * the socket along with the service and refuse its clients. So units restart
 * always and at once, and back-off is here.
 *
 * The record is a file that others could write: it is read once, checked, and
 * nothing in it can make the program wait longer than WAIT_MAX_NS.
 */
#include "net/starts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "herd/events.h"
#include "net/passed.h"

#define WAIT_FIRST_NS (100 * CLOCK_MSEC_NS)
#define WAIT_MAX_NS   (5 * CLOCK_SECOND_NS)
#define HOLD_MAX_NS   CLOCK_SECOND_NS	     /* clients wait that long: enough not to spin is enough */
#define SHORT_LIFE_NS (10 * CLOCK_SECOND_NS) /* of work; who lives longer has not crashed "again" */

enum {
	FREE_CRASHES = 3, /* clients should not wait for a member that was killed now and then */
	COUNT_MAX = 1000,
	DOUBLINGS_MAX = 16,
};

enum phase {
	PHASE_STARTING = 1,
	PHASE_FAILED, /* as the program itself said */
	PHASE_READY,
	PHASE_ENDED,
};

#define RECORD_MAGIC UINT64_C(0x3173747261747368) /* "hstarts1" */

struct record {
	uint64_t magic;
	uint32_t phase;
	uint32_t failed;  /* starts in a row that did not come up */
	uint32_t crashed; /* lives in a row that were short and ended badly */
	uint32_t unused;
	int64_t since_ns; /* monotonic: when work began, in PHASE_READY */
};

struct starts {
	struct notify *notify; /* not owned */
	int fd;		       /* owned; -1: not even that could be had */
	bool died_early;       /* the last start ended before it was ready, without a word */
	struct record now;
};

/* --- the record ---------------------------------------------------------------- */

static bool
record_read(int fd, struct record *ret)
{
	struct record r;

	if (pread(fd, &r, sizeof(r), 0) != (ssize_t)sizeof(r) || r.magic != RECORD_MAGIC ||
	    r.phase < PHASE_STARTING || r.phase > PHASE_ENDED || r.failed > COUNT_MAX ||
	    r.crashed > COUNT_MAX || r.since_ns < 0)
		return false;
	*ret = r;
	return true;
}

static void
record_write(const struct starts *s)
{
	/* It may fail: then the next start counts one too many or too few. */
	if (s->fd >= 0 && pwrite(s->fd, &s->now, sizeof(s->now), 0) != (ssize_t)sizeof(s->now))
		return;
}

static uint32_t
one_more(uint32_t count)
{
	return count < COUNT_MAX ? count + 1 : count;
}

/* What the last start left behind becomes what this one has to know. */
static void
take_last(struct starts *s, const struct record *last)
{
	int64_t lived_ns = clock_monotonic_ns() - last->since_ns;

	s->now.failed = last->failed;
	s->now.crashed = last->crashed;
	s->died_early = last->phase == PHASE_STARTING;
	if (s->died_early)
		s->now.failed = one_more(s->now.failed);
	else if (last->phase == PHASE_READY)
		s->now.crashed = lived_ns >= SHORT_LIFE_NS ? 1 : one_more(s->now.crashed);
	else if (last->phase == PHASE_ENDED)
		s->now.failed = s->now.crashed = 0;
}

/* --- coming and going -------------------------------------------------------------- */

static int
make_record(struct starts *s)
{
	s->fd = memfd_create("herd-" STARTS_NAME, MFD_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	record_write(s);
	notify_store(s->notify, s->fd, STARTS_NAME);
	return 0;
}

int
starts_new(struct starts **ret, struct notify *n, int fd)
{
	CLEANUP(starts_freep) struct starts *s = calloc(1, sizeof(*s));
	struct record last;
	int r = 0;

	if (!s) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	s->notify = n;
	s->fd = fd;
	s->now = (struct record){.magic = RECORD_MAGIC, .phase = PHASE_STARTING};
	if (fd >= 0 && record_read(fd, &last)) {
		take_last(s, &last);
		record_write(s);
	} else {
		if (fd >= 0) { /* nothing of ours: out of the store with it */
			notify_store_remove(n, STARTS_NAME);
			close(fd);
			s->fd = -1;
		}
		r = make_record(s);
	}
	if (r < 0)
		return r;
	*ret = s;
	s = NULL;
	return 0;
}

struct starts *
starts_free(struct starts *s)
{
	if (!s)
		return NULL;
	if (s->fd >= 0)
		close(s->fd);
	free(s);
	return NULL;
}

/* --- how long ------------------------------------------------------------------------- */

/* 0 for none; then it doubles from WAIT_FIRST_NS on. */
static int64_t
wait_after(uint32_t count, int64_t max_ns)
{
	int64_t wait_ns;

	if (count == 0)
		return 0;
	wait_ns = WAIT_FIRST_NS << (count - 1 < DOUBLINGS_MAX ? count - 1 : DOUBLINGS_MAX);
	return wait_ns < max_ns ? wait_ns : max_ns;
}

unsigned int
starts_bad(const struct starts *s)
{
	return s ? s->now.failed + s->now.crashed : 0;
}

int64_t
starts_wait_ns(const struct starts *s)
{
	return s && s->died_early ? wait_after(s->now.failed, WAIT_MAX_NS) : 0;
}

int64_t
starts_hold_ns(const struct starts *s)
{
	return s && s->now.crashed > FREE_CRASHES ? wait_after(s->now.crashed - FREE_CRASHES, HOLD_MAX_NS)
						  : 0;
}

/* --- what becomes of this one ------------------------------------------------------------ */

void
starts_ready(struct starts *s, int64_t hold_ns)
{
	if (!s)
		return;
	s->now.phase = PHASE_READY;
	s->now.failed = 0;
	s->now.since_ns = clock_monotonic_ns() + hold_ns;
	record_write(s);
}

int64_t
starts_fail(struct starts *s)
{
	if (!s || s->now.phase == PHASE_READY)
		return 0;
	s->now.phase = PHASE_FAILED;
	s->now.failed = one_more(s->now.failed);
	record_write(s);
	return wait_after(s->now.failed, WAIT_MAX_NS);
}

void
starts_end(struct starts *s)
{
	if (!s)
		return;
	s->now.phase = PHASE_ENDED;
	record_write(s);
}

/* --- a program's beginning and end ----------------------------------------------------------- */

/* The first descriptor of that name among those passed; -1: none. */
static int
find_passed(void)
{
	char **names = NULL;
	int count = passed_sockets(&names, false), found = -1;

	for (int i = 0; names && i < count && found < 0; i++)
		if (strcmp(names[i], STARTS_NAME) == 0)
			found = PASSED_FIRST + i;
	passed_names_free(names);
	return found;
}

static void
say_delayed(const struct starts *s, const char *what, int64_t wait_ns)
{
	log_event(LOG_WARNING, MSG_START_DELAYED,
		  LOG_FIELDS("HERD_STARTS=%u", starts_bad(s), "HERD_WAIT_SEC=%lld",
			     (long long)((wait_ns + CLOCK_SECOND_NS - 1) / CLOCK_SECOND_NS)),
		  "The last %u starts ended badly: %s in %lld.%lld s", starts_bad(s), what,
		  (long long)(wait_ns / CLOCK_SECOND_NS),
		  (long long)(wait_ns % CLOCK_SECOND_NS / (100 * CLOCK_MSEC_NS)));
}

/* In pieces, so that what there is to say to the service manager goes out. Signals end the program. */
static void
sleep_for(const struct starts *s, int64_t ns)
{
	int64_t end_ns = clock_monotonic_ns() + ns;

	for (int64_t left_ns = ns; left_ns > 0; left_ns = end_ns - clock_monotonic_ns()) {
		int64_t some_ns = left_ns < WAIT_FIRST_NS ? left_ns : WAIT_FIRST_NS;
		const struct timespec some = {some_ns / CLOCK_SECOND_NS, some_ns % CLOCK_SECOND_NS};

		notify_flush(s->notify);
		(void)nanosleep(&some, NULL);
	}
}

void
starts_begin(struct starts **ret, struct notify *n, enum starts_when when)
{
	CLEANUP(starts_freep) struct starts *s = NULL;
	char status[128];
	int64_t wait_ns;
	int r;

	if (!n)
		return;
	r = starts_new(&s, n, find_passed());
	if (r < 0) {
		log_error_r(r, "Cannot count starts, ignoring");
		return;
	}
	wait_ns = starts_wait_ns(s);
	if (when == STARTS_BEFORE_READY && starts_hold_ns(s) > wait_ns)
		wait_ns = starts_hold_ns(s);
	if (wait_ns > 0) {
		say_delayed(s, "starting", wait_ns);
		snprintf(status, sizeof(status), "The last %u starts ended badly, holding back",
			 starts_bad(s));
		notify_status_now(n, status);
		sleep_for(s, wait_ns);
	}
	*ret = s;
	s = NULL;
}

int64_t
starts_hold(const struct starts *s)
{
	int64_t hold_ns = starts_hold_ns(s);

	if (hold_ns > 0)
		say_delayed(s, "going to work", hold_ns);
	return hold_ns;
}

int
starts_exit(struct starts *s, struct notify *n, int code)
{
	if (code == 0) {
		starts_end(s);
		return 0;
	}
	notify_status_now(n, log_last_error());
	if (s)
		sleep_for(s, starts_fail(s));
	return code;
}
