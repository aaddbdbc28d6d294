#ifndef MEMBER_DATAGRAM_H
#define MEMBER_DATAGRAM_H
/*
 * Datagram: the line protocol without connections. A datagram holds one or
 * more lines; each reply is a datagram of its own, to whoever sent the line.
 */
#include "member/answer.h"

struct datagram; /* opaque: a UDP socket being served */

/* Does not own fd. -ENOMEM. */
int datagram_new(struct datagram **ret, struct member *m, int fd);

/* Drops the replies that still wait to go out. Accepts NULL, returns NULL. */
struct datagram *datagram_free(struct datagram *d);

/* Whatever was received is answered. */
bool datagram_is_idle(const struct datagram *d);

/* Answers what has arrived, about a millisecond a turn. */
void datagram_serve(struct datagram *d);

#endif
