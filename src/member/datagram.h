#ifndef MEMBER_DATAGRAM_H
#define MEMBER_DATAGRAM_H
/*
 * Datagram: the line protocol without connections. A datagram holds one or
 * more lines; each reply is a datagram of its own, to whoever sent the line.
 */
#include "member/answer.h"

/* Answers what has arrived on a UDP socket, a bounded number of datagrams a turn. */
void datagram_serve(struct member *m, int fd);

/* Drops the replies that still wait to go out through fd. */
void datagram_forget(struct member *m, int fd);

#endif
