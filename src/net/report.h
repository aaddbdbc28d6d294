#ifndef NET_REPORT_H
#define NET_REPORT_H
/*
 * Report: how a program is, in words. It is gathered in one struct and told in
 * two ways: as one line to the service manager, and in its parts to whoever
 * asks at the control socket.
 */
#include <stddef.h>
#include <stdint.h>

enum {
	REPORT_TEXT_MAX = 256,	/* bytes of one sentence, its NUL included; longer ones are cut */
	REPORT_ITEMS_MAX = 8,	/* further ones are left out */
	REPORT_LINE_MAX = 1024, /* bytes of all of it in one line, its NUL included */
};

struct report_items {
	char at[REPORT_ITEMS_MAX][REPORT_TEXT_MAX];
	size_t count;
};

struct report {
	char facts[REPORT_TEXT_MAX];  /* "3 clients connected, 1204 fixes held" */
	struct report_items degraded; /* what does not work as it should, and what to do */
	struct report_items notes;    /* what an operator should know */
};

#define REPORT_FORMAT __attribute__((format(printf, 2, 3)))

/* Adds one; a report begins zero-initialised. */
REPORT_FORMAT void report_fact(struct report *r, const char *format, ...);
REPORT_FORMAT void report_degraded(struct report *r, const char *format, ...);
REPORT_FORMAT void report_note(struct report *r, const char *format, ...);

/* "FACTS. Degraded: ONE; TWO. Note: THREE" */
void report_line(const struct report *r, char out[REPORT_LINE_MAX]);

/* What grows, as a number per second. Zero-initialise. */
struct report_rate {
	uint64_t value;
	int64_t when_ns; /* 0: not asked yet */
	double per_s;
};

enum { REPORT_RATE_MAX = 32 };

/* The rate since the last call that is at least a second ago, as text: "0", "3.4", "12000". */
const char *report_rate(struct report_rate *rate, uint64_t value, int64_t now_ns, char out[REPORT_RATE_MAX]);

#endif
