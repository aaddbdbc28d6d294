#ifndef MEMBER_DOOR_H
#define MEMBER_DOOR_H
/*
 * Door: a socket that clients come to. Stream sockets make sessions; datagrams
 * are answered on the spot.
 */
#include "member/member.h"

/* Takes over the socket, and closes it on failure. -ENOMEM. */
int door_new(struct door **ret, struct member *m, const struct listen_socket *socket);
struct door *door_free(struct door *door);

/* Nobody comes in until it is opened again: clients wait in the kernel's queue. */
void door_close(struct door *door);
void door_open(struct door *door);

/* Takes in who waits now, and answers the datagrams that have come: before it is closed for good. Bounded. */
void door_take_rest(struct door *door);

/* It owes nobody a datagram. */
bool door_is_idle(const struct door *door);

/* "tcp 127.0.0.1:12000" */
const char *door_text(const struct door *door);

/* Where a client of this host connects to; false: not a stream socket. */
bool door_reach(const struct door *door, char out[LISTEN_TEXT_MAX]);

#endif
