/*
 * Nothing here costs a system call while nobody waits and the helper is awake.
 * Replies are held in the order of their commands, whose rounds only grow, so
 * that a look at the first of them is enough.
 */
#include "member/confirm.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "member/answer.h"
#include "net/wake.h"

enum {
	LOOK_MS = 5,	     /* for those whose time is over, and for a wake-up that was lost */
	RELEASE_MAX = 10000, /* in one turn */
};

void
confirm_init(struct member *m)
{
	struct confirm *c = &m->confirm;

	*c = (struct confirm){.sender = -1};
	TAILQ_INIT(&c->waiting);
	if (wake_path(c->helper, m->conf.control_dir, m->conf.shm, NULL) < 0)
		c->helper[0] = '\0';
}

/* --- the helper ------------------------------------------------------------------- */

void
confirm_after_turn(struct member *m)
{
	struct confirm *c = &m->confirm;

	if (!c->has_news)
		return;
	c->has_news = false;
	if (!table_wants_wake(m->table) || !c->helper[0])
		return;
	if (c->sender < 0)
		c->sender = wake_sender();
	/* If it cannot be reached it is not there, or has an older byte to read. */
	if (c->sender >= 0)
		(void)wake_send(c->sender, c->helper);
}

/* --- replies that wait for peers ----------------------------------------------------- */

static void
say_late(struct confirm *c, const struct member *m)
{
	static struct log_limit limit = LOG_LIMIT("replies that peers did not confirm", 1, 60);

	if (log_limit_allow(&limit, clock_monotonic_ns()))
		log_warning("No %u peers applied a fix within ack-timeout: AT replies go out without them",
			    m->conf.ack_after);
	c->is_late = true;
}

static void
release(struct member *m)
{
	struct confirm *c = &m->confirm;
	const int64_t now_ns = clock_monotonic_ns();
	struct reply *reply;

	/* In a table of our own nobody else confirms anything. */
	c->confirmed = table_is_private(m->table) ? 0 : table_confirmed_round(m->table);
	for (int i = 0; i < RELEASE_MAX && (reply = TAILQ_FIRST(&c->waiting)); i++) {
		bool is_confirmed = confirm_is_over(reply);

		if (!is_confirmed && reply->deadline_ns > now_ns && m->conf.ack_after > 0)
			break;
		if (is_confirmed) {
			c->is_late = false;
		} else {
			member_count(m, TABLE_COUNTER_unconfirmed, 1);
			say_late(c, m);
		}
		reply_release(reply); /* may end its session, and other replies with it */
	}
	if (TAILQ_EMPTY(&c->waiting) && c->timer) {
		table_set_waiting(m->table, false);
		c->timer = loop_timer_free(c->timer);
	}
	member_publish_counts(m);
}

static void
confirm_on_look(void *arg)
{
	release(arg);
}

/* Without a socket of our own the timer finds what is confirmed, a little later. */
static void
open_wake(struct member *m)
{
	struct confirm *c = &m->confirm;
	char path[HERD_CONTROL_PATH_MAX];
	int r;

	r = wake_path(path, m->conf.control_dir, m->conf.shm, m->name);
	if (r == 0)
		r = wake_new(&c->wake, m->loop, path, confirm_on_look, m);
	if (r < 0)
		log_debug("Cannot be woken in '%s': %s", m->conf.control_dir, strerror(-r));
}

bool
confirm_hold(struct reply *reply)
{
	struct member *m = reply->member;
	struct confirm *c = &m->confirm;

	if (m->conf.ack_after == 0)
		return false;
	if (!c->timer && loop_timer_new(&c->timer, m->loop, LOOK_MS * CLOCK_MSEC_NS, confirm_on_look, m) < 0)
		return false;
	if (TAILQ_EMPTY(&c->waiting)) {
		if (!c->wake)
			open_wake(m);
		table_set_waiting(m->table, true);
	}
	reply->state = REPLY_FOR_PEERS;
	/* Also when its fix was there before: the round that has it may have been another's, or be none yet. */
	c->has_news = true;
	reply->round = table_next_round(m->table);
	reply->deadline_ns = clock_monotonic_ns() + m->conf.ack_timeout_ns;
	TAILQ_INSERT_TAIL(&c->waiting, reply, waiting);
	return true;
}

bool
confirm_is_over(const struct reply *reply)
{
	return reply->round <= reply->member->confirm.confirmed;
}

void
confirm_moved(struct member *m)
{
	struct confirm *c = &m->confirm;
	struct reply *reply;

	/* Rounds there have numbers of their own, and may be far beyond those that are waited for. */
	c->confirmed = 0;
	for (reply = TAILQ_FIRST(&c->waiting); reply; reply = TAILQ_NEXT(reply, waiting))
		reply->round = table_next_round(m->table);
	c->has_news = true;
}

void
confirm_forget(struct reply *reply)
{
	TAILQ_REMOVE(&reply->member->confirm.waiting, reply, waiting);
}

void
confirm_describe(struct member *m, struct report *r)
{
	if (m->conf.ack_after > 0 && m->confirm.is_late)
		report_degraded(r, "fewer than %u peers apply fixes in time: AT replies go out without them",
				m->conf.ack_after);
}

void
confirm_done(struct member *m)
{
	struct confirm *c = &m->confirm;

	c->timer = loop_timer_free(c->timer);
	c->wake = wake_free(c->wake);
	if (c->sender >= 0)
		close(c->sender);
	c->sender = -1;
}
