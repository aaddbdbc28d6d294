#ifndef FLOOD_LINK_LINE_H
#define FLOOD_LINK_LINE_H
/*
 * One line between two helpers, taken apart and put together: every verb of
 * link.h but AT, which core/message.h knows.
 */
#include "flood/link.h"

enum link_verb {
	LINK_HERD,
	LINK_RESUME,
	LINK_SEQ,
	LINK_ASK,
	LINK_ACK,
	LINK_NAME,
	LINK_PING,
	LINK_PONG,
	LINK_BYE,
	LINK_ROOT,
	LINK_SAME,
	LINK_GRP,
	LINK_DIG,
	LINK_PULL,
	LINK_DONE,
};

enum {
	LINK_LINE_E_BAD = 1, /* not what link_put_...() writes */
	LINK_LINE_E_UNKNOWN, /* well-formed, of a verb that is none of ours */
};

struct link_hello {
	uint64_t version; /* unless it is LINK_VERSION the rest is not set */
	struct text herd, host;
	uint8_t host_id[NAMES_HOST_ID_BYTES];
	uint64_t incarnation;
	bool has_ttl, has_key, can_ask, has_more; /* more: capabilities unknown here */
	int64_t ttl_s;
	uint64_t key_check;
};

struct link_name {
	struct text server;
	uint8_t host_id[NAMES_HOST_ID_BYTES];
	int64_t boot_s;
};

/* Of GRP (group is 0) and DIG. */
struct link_sums {
	unsigned int group;
	uint64_t fresh; /* a bit for each that is not told; GRP: none */
	uint64_t sum[DIGEST_GROUPS];
};

/* Texts point into the line. */
struct link_line {
	enum link_verb verb;
	int64_t since_s; /* ROOT, SAME, GRP, DIG, PULL */
	union {
		struct link_hello hello;
		struct link_name name;
		struct {
			uint64_t incarnation, seq;
		} resume;
		uint64_t number; /* SEQ, ASK, ACK, PING, PONG; ROOT, SAME: the sum */
		struct link_sums sums;
		struct {
			unsigned int count; /* up to DIGEST_BUCKETS, rising */
			uint16_t bucket[DIGEST_BUCKETS];
		} pull;
		struct text reason;
	};
};

_Static_assert((int)DIGEST_GROUPS == (int)DIGEST_BUCKETS, "GRP and DIG have as many sums");

struct text link_verb_name(enum link_verb verb);

/* A line less its LF. 0, or one of the above; *ret may have changed all the same. */
int link_line_parse(struct text line, struct link_line *ret);

/* Puts it, as far as it fits, into out (size >= 8) with everything but printable ASCII as \xHH, and a NUL. */
void link_escape(struct text t, char *out, size_t size);

/* Each writes one line with its LF and returns the end. Room: LINK_LINE_MAX, for sums LINK_LONG_LINE_MAX. */
char *link_put_hello(char *out, const struct link_self *self);
char *link_put_resume(char *out, uint64_t incarnation, uint64_t seq);
char *link_put_number(char *out, enum link_verb verb, uint64_t number); /* SEQ, ASK, ACK, PING, PONG */
char *link_put_name(char *out, const struct link_name *name);
char *link_put_root(char *out, enum link_verb verb, int64_t since_s, uint64_t sum); /* ROOT, SAME */
char *link_put_groups(char *out, int64_t since_s, const uint64_t sums[DIGEST_GROUPS]);
char *link_put_buckets(char *out, int64_t since_s, const struct link_sums *sums);
char *link_put_pull(char *out, int64_t since_s, unsigned int group, uint64_t buckets); /* bits */
char *link_put_done(char *out);
char *link_put_bye(char *out, const char *reason);

#endif
