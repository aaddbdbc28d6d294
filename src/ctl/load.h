#ifndef CTL_LOAD_H
#define CTL_LOAD_H
/*
 * Load: clients that tell a member where they are, and ask, as fast as they are answered, for a
 * while. Each connection sends `depth` commands at once and waits for their replies.
 */
#include <stdint.h>

#include "base/histogram.h"
#include "ctl/progress.h"
#include "herd/fix.h"

enum {
	LOAD_CONNECTIONS_MAX = 1000,
	LOAD_DEPTH_MAX = 64,
	LOAD_CLIENTS_MAX = 1000000,
};

struct load_plan {
	const char *address; /* as client_connect() takes it */
	uint32_t connections, depth;
	uint32_t clients;	/* ids: as many fixes are in the table afterwards */
	uint32_t whatsat_share; /* of 100 commands */
	int64_t for_ns, timeout_ns;
	struct progress *progress; /* is cleared before load_run() returns */
};

struct load_result {
	struct histogram latency;	  /* nanoseconds, from a batch's send to a reply */
	uint64_t iamat, whatsat, refused; /* replies; refused: "? " */
	int64_t took_ns;
	char server[HERD_SERVER_MAX + 1]; /* who answered */
};

/* 0; -ETIMEDOUT: nothing came for so long; -EPROTO: a reply that is none; or as client_ask(). */
int load_run(const struct load_plan *plan, struct load_result *ret);

#endif
