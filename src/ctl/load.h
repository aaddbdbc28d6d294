#ifndef CTL_LOAD_H
#define CTL_LOAD_H
/*
 * Load: clients that tell a member where they are, and ask, for a while. Without a rate as fast as they
 * are answered: each connection sends `depth` commands at once and waits for their replies. With one,
 * commands are due at even intervals, whatever the member does. What finds no connection with less than
 * `depth` under way is sent late, and its latency is that from when it was due: a member that stands still
 * for a second is charged for all who would have come in that second, not only for who was waiting.
 */
#include <stdint.h>

#include "base/histogram.h"
#include "ctl/progress.h"
#include "herd/fix.h"

enum {
	LOAD_CONNECTIONS_MAX = 1000,
	LOAD_DEPTH_MAX = 64,
	LOAD_CLIENTS_MAX = 1000000,
	LOAD_RATE_MAX = 1000000,
};

struct load_plan {
	const char *address; /* as client_connect() takes it */
	uint32_t connections, depth;
	uint32_t clients;	/* ids: as many fixes are in the table afterwards */
	uint32_t whatsat_share; /* of 100 commands */
	uint32_t rate;		/* commands a second; 0: as many as are answered */
	int64_t for_ns, timeout_ns;
	struct progress *progress; /* is cleared before load_run() returns */
};

struct load_result {
	struct histogram latency; /* nanoseconds to a reply, from a batch's send or from when it was due */
	uint64_t iamat, whatsat, refused; /* replies; refused: "? " */
	uint64_t unsent;		  /* of a rate: due, but a second after the end still not sent */
	int64_t took_ns;
	char server[HERD_SERVER_MAX + 1]; /* who answered */
};

/* 0; -ETIMEDOUT: nothing came for so long; -EPROTO: a reply that is none; or as client_ask(). */
int load_run(const struct load_plan *plan, struct load_result *ret);

#endif
