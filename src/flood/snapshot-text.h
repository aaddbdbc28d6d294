#ifndef FLOOD_SNAPSHOT_TEXT_H
#define FLOOD_SNAPSHOT_TEXT_H
/*
 * Snapshot, as text: the fixes of a table as lines, one by one, written and
 * read. Knows no file, and every line is judged by itself and by its place.
 *
 *   HERD-SNAPSHOT 1 NUMBER TIME SHM STATE
 *   AT SERVER SKEW CLIENT LOCATION TIME          any number, as clients see them
 *   END FIXES SUM
 *
 * NUMBER grows with every snapshot of a folder: it, and no clock, says which
 * of two is the newer. TIME is when writing began, seconds with nine decimals.
 * STATE is the table's fingerprint then, 16 hex digits. Fields are apart by
 * one space, lines end with LF, and nothing follows the last one.
 *
 * SUM covers everything before it: from h = 0, every line n = 0, 1, ... makes
 * h = SipHash-1-3(key (h, n), the line with its LF), the last one without SUM;
 * 16 hex digits. It finds what disks and people do, not forgery.
 */
#include "core/message.h"

enum {
	SNAPSHOT_VERSION = 1,
	SNAPSHOT_SHM_MAX = 64,		 /* bytes of a name of shared memory */
	SNAPSHOT_LINE_MAX = HERD_AT_MAX, /* no other line is longer */
	SNAPSHOT_TRAILER_MAX = 4 + 20 + 1 + 16 + 1,
	SNAPSHOT_WHY_MAX = 160,
};

#define SNAPSHOT_NUMBER_MAX UINT64_C(999999999999999)

struct snapshot_header {
	uint64_t number; /* up to SNAPSHOT_NUMBER_MAX */
	int64_t time_ns;
	uint64_t state;
	char shm[SNAPSHOT_SHM_MAX + 1];
};

struct snapshot_sum {
	uint64_t hash, lines;
};

/* --- writing: each at out, with room for SNAPSHOT_LINE_MAX bytes; returns the end ------------- */

/* First, with a zeroed sum. */
char *snapshot_put_header(char *out, const struct snapshot_header *header, struct snapshot_sum *sum);

/* Returns `out` itself, and counts nothing, for a fix that could not be read back: from a damaged table. */
char *snapshot_put_fix(char *out, const struct herd_fix *fix, struct snapshot_sum *sum);

/* Last. */
char *snapshot_put_trailer(char *out, struct snapshot_sum *sum);

/* --- reading ---------------------------------------------------------------------------------- */

/* Zero-initialised, then shm: before the first line. */
struct snapshot_parser {
	const char *shm; /* whose snapshot it has to be */
	struct snapshot_header header;
	struct snapshot_sum sum;
	char why[SNAPSHOT_WHY_MAX]; /* what is wrong, after SNAPSHOT_E_BAD */
};

enum {			      /* what a line was, besides a fix */
       SNAPSHOT_E_HEADER = 1, /* now in the parser */
       SNAPSHOT_E_END,	      /* all of it was right; nothing may follow */
       SNAPSHOT_E_BAD,	      /* no more may be parsed */
};

/* The next line, with its LF. 0: a fix, texts point into the line. */
int snapshot_parse_line(struct snapshot_parser *p, struct text line, struct message_at *ret);

/* The trailer by itself, whatever it is the end of; false when it is none. */
bool snapshot_parse_trailer(struct text line, uint64_t *ret_fixes, uint64_t *ret_sum);

#endif
