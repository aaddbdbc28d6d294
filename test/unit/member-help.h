#ifndef TEST_UNIT_MEMBER_HELP_H
#define TEST_UNIT_MEMBER_HELP_H
/*
 * A member without doors, settings files and timers: tests give it a table,
 * and a source of places if they look for any.
 */
#include <stdlib.h>

#include "member/crowd.h"
#include "member/member.h"
#include "member/session.h"

/* Tests call answer_retry_stores() themselves. */
static inline void
help_on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static inline void
help_member_new(struct member *m)
{
	m->magic = MEMBER_MAGIC;
	m->name = "Alpha";
	m->server = TEXT("Alpha");
	m->conf.line_max = 4096;
	m->conf.work_max = 16384;
	m->conf.unsent_max = 65536;
	m->conf.places_pending_max = 8;
	m->conf.connections_max = 1000;
	m->conf.send_timeout_ns = m->conf.line_timeout_ns = CLOCK_SECOND_NS;
	m->session_room = UINT32_MAX;
	m->input_size = 65536;
	m->input = malloc(m->input_size);
	m->output.max = MEMBER_OUTPUT_FULL + MEMBER_ANSWER_MAX;
	m->now_ns = 1;
	TAILQ_INIT(&m->sessions);
	TAILQ_INIT(&m->sending);
	m->turn.max = MEMBER_TURN_MAX;
	TAILQ_INIT(&m->waiting_store);
	assert_int_equal(loop_new(&m->loop), 0);
	assert_int_equal(crowd_new(&m->crowd), 0);
	m->retry = evtimer_new(loop_base(m->loop), help_on_retry, NULL);
	assert_non_null(m->retry);
}

static inline void
help_member_drop_sessions(struct member *m)
{
	while (!TAILQ_EMPTY(&m->sessions))
		session_free(TAILQ_FIRST(&m->sessions));
}

/* The sessions too. */
static inline void
help_member_done(struct member *m)
{
	help_member_drop_sessions(m);
	source_free(m->source);
	table_free(m->table);
	crowd_free(m->crowd);
	event_free(m->retry);
	loop_free(m->loop);
	free(m->spare_reply);
	buffer_done(&m->output);
	buffer_done(&m->turn);
	free(m->input);
}

#endif
