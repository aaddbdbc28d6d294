#ifndef CORE_FIX_H
#define CORE_FIX_H
/*
 * Which of two fixes of one client is the newer. The order is total over
 * everything a fix says, so merging is commutative, associative, idempotent.
 */
#include <stdbool.h>

#include "base/clock.h"
#include "base/text.h"
#include "herd/fix.h"

enum { FIX_E_INVALID = 1 };

/* How far into the future a client's own time counts. */
#define FIX_AHEAD_NS (10 * CLOCK_SECOND_NS)

/* A client's time: 11 digits of seconds in nanoseconds do not fit 64 bits. */
struct fix_time {
	int64_t s;
	int32_t ns; /* 0 to 999,999,999 */
};

/* 1-11 digits, optionally a point and 1-9 digits. 0 or FIX_E_INVALID; *ret changes only when 0 is returned. */
int fix_time_parse(struct text t, struct fix_time *ret);

/* The same for a time that more bytes may follow: on 0 moves *at past it. Reads nothing from `end` on. */
int fix_time_take(const char **at, const char *end, struct fix_time *ret);

/* 1-255 bytes, no white space, no NUL. */
bool fix_id_valid(struct text id);

/* 1-23 bytes of letters, digits, '-', '_', '.'. */
bool fix_server_valid(struct text server);

/* min(client time, rx_ns + 10 s), exact; never overflows. */
int64_t fix_order_ns(const struct fix_time *client, int64_t rx_ns);

/* What decides between two fixes of one client. */
struct fix_rank {
	int64_t order_ns, rx_ns;
	struct text server, location, time;
};

/* < 0, 0, > 0: a is older than, the same as, newer than b. */
int fix_rank_compare(const struct fix_rank *a, const struct fix_rank *b);

#endif
