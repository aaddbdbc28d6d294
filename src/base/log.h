#ifndef BASE_LOG_H
#define BASE_LOG_H
/*
 * Logging, for programs: base and core return errors and stay silent.
 *
 * To the journal, with fields, when stderr is the journal; else one line per
 * message on stderr. Neither ever blocks: what the other end does not take is
 * dropped, counted, and the count is told as soon as it reads again. Control
 * bytes and bytes that are no UTF-8 are escaped, so nothing a client sends can
 * forge a line or reach a terminal. One thread only.
 */
#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

#include "base/text.h"

enum { LOG_TEXT_MAX = 2048 }; /* longer messages end in "..." */

extern int log_level_now; /* read it through log_enabled() */

static inline bool
log_enabled(int level)
{
	return level <= log_level_now;
}

/* Finds out where to log. program: "herd-member"; instance: "Alpha", or NULL. Both are copied
   (63 bytes). Calling it again starts over; before the first call lines go to stderr. */
void log_open(const char *program, const char *instance);

/* The same, always to the journal's socket at path; for tests. */
void log_open_journal(const char *program, const char *instance, const char *path);

/* For what runs before there may be a journal, such as a generator: what the journal's socket does not take
   goes to the kernel's log, and what that does not take to stderr. NULL: where both usually are. */
void log_open_early(const char *program, const char *journal, const char *kernel);

/* Something went elsewhere than to the journal since. */
bool log_missed_journal(void);

/* LOG_ERR to LOG_DEBUG; LOG_INFO at first. */
void log_set_level(int level);

/* Releases what log_open() took; lines go to stderr from then on. */
void log_close(void);

/* The newest message of LOG_ERR or worse, for whoever has to say in one line why a program ends; empty
   when there was none. */
const char *log_last_error(void);

/* --- messages --------------------------------------------------------- */

/* Arguments are evaluated only when the level is on. */
#define log_at(level, ...)                             \
	do {                                           \
		if (log_enabled(level))                \
			log_print(level, __VA_ARGS__); \
	} while (0)

#define log_error(...)	 log_at(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)	 log_at(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	 log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	 log_at(LOG_DEBUG, __VA_ARGS__)

/* Adds ": " and what the negative errno r means; returns r. */
#define log_error_r(r, ...) log_print_r(LOG_ERR, r, __VA_ARGS__)

/*
 * A message that operators search for: id from include/herd/events.h (or
 * NULL) and fields for the journal, each "NAME=" and one conversion out of
 * %s %d %u %ld %lu %lld %llu %zu:
 *
 *	log_event(LOG_NOTICE, MSG_PEER_LOST,
 *		  LOG_FIELDS("HERD_PEER=%s", name, "HERD_RETRY_SEC=%u", wait_s),
 *		  "Peer '%s' is gone, retrying in %u s", name, wait_s);
 */
#define LOG_FIELDS(...) __VA_ARGS__, (const char *)0
#define LOG_NO_FIELDS	(const char *)0

#define log_event(level, id, fields, ...)                             \
	do {                                                          \
		if (log_enabled(level)) {                             \
			char log_event_text_[LOG_TEXT_MAX];           \
			log_format(log_event_text_, __VA_ARGS__);     \
			log_send(level, id, log_event_text_, fields); \
		}                                                     \
	} while (0)

void log_print(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
int log_print_r(int level, int r, const char *format, ...) __attribute__((format(printf, 3, 4)));
void log_format(char text[LOG_TEXT_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_send(int level, const char *id, const char *text, ...);

/* --- what clients sent ------------------------------------------------ */

/* Any bytes, NUL too, as something "%s" can print:
	log_debug("in '%s'", log_quote(&(struct log_quoted){0}, line));
   Longer texts end in "...". */
struct log_quoted {
	char text[320];
};

const char *log_quote(struct log_quoted *q, struct text t);

/* --- what clients can cause ------------------------------------------- */

/*
 * At most `burst` messages per interval; how many were kept back is logged
 * with the first one allowed after. One static object per kind of message:
 *
 *	static struct log_limit limit = LOG_LIMIT("connections opened", 20, 10);
 *	if (log_limit_allow(&limit, now_ns))
 *		log_info(...);
 */
struct log_limit {
	const char *what; /* "Messages about WHAT kept back: N" */
	int64_t interval_ns;
	int64_t begin_ns; /* of the running interval */
	uint64_t suppressed;
	uint32_t burst;
	uint32_t count; /* in the running interval */
};

#define LOG_LIMIT(what, burst, interval_s)                             \
	{                                                              \
		what, (interval_s)*INT64_C(1000000000), 0, 0, burst, 0 \
	}

/* now_ns: monotonic. Check log_enabled() first where the level is seldom on. */
bool log_limit_allow(struct log_limit *limit, int64_t now_ns);

#endif
