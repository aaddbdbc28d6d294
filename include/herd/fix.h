#ifndef HERD_FIX_H
#define HERD_FIX_H
/*
 * A fix: where a client said it was, when, and who heard it. The limits are
 * the line protocol's; everything that stores or sends fixes is sized by them.
 */
#include <stdint.h>

enum {
	HERD_ID_MAX = 255,	/* bytes; none is white space or NUL */
	HERD_SERVER_MAX = 23,	/* bytes of A-Z a-z 0-9 - _ . */
	HERD_LOCATION_MAX = 34, /* +DD.dddddddddddd+DDD.dddddddddddd/ */
	HERD_TIME_MAX = 21,	/* SSSSSSSSSSS.nnnnnnnnn */
	HERD_SKEW_MAX = 22,	/* +SSSSSSSSSSS.nnnnnnnnn */
	HERD_AT_MAX = 3 + HERD_SERVER_MAX + 1 + HERD_SKEW_MAX + 1 + HERD_ID_MAX + 1 + HERD_LOCATION_MAX + 1 +
		      HERD_TIME_MAX + 1, /* a whole AT line with its LF */
};

/* A copy of one fix. Texts are bytes without a NUL at their end; location and
   time are kept as the client wrote them. */
struct herd_fix {
	int64_t rx_ns; /* POSIX time at which the server heard it */
	uint8_t id_len, location_len, time_len, server_len;
	char id[HERD_ID_MAX];
	char location[HERD_LOCATION_MAX];
	char time[HERD_TIME_MAX];
	char server[HERD_SERVER_MAX];
};

#endif
