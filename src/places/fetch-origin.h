#ifndef PLACES_FETCH_ORIGIN_H
#define PLACES_FETCH_ORIGIN_H
/* The servers that are asked, the requests that wait for each, and whose turn it is. */
#include "places/fetch-private.h"

TAILQ_HEAD(request_list, fetch_request);

/* A socket to it. */
struct origin_socket {
	TAILQ_ENTRY(origin_socket) link;
	curl_socket_t fd;
	struct fetch_request *opener; /* until that is sent; then NULL */
};

TAILQ_HEAD(socket_list, origin_socket);

struct fetch_origin {
	struct fetch_origin *next;
	struct text name; /* behind the struct */
	struct request_list waiting;
	struct socket_list open; /* it must not go before them */
	uint32_t queued, under_way;
	bool is_http2;	     /* its last answer was, or its newest connection is */
	uint32_t sockets;    /* that are open */
	uint32_t connecting; /* of these; whoever opened them is not being sent yet */
	uint32_t opening; /* requests that were more than the connections carry, and are not being sent yet */
};

struct origins {
	struct fetch_origin *first;
	size_t count;
	unsigned int connections_max; /* to all together */
	unsigned int streams;	      /* requests on a connection of HTTP/2 */
};

/* scheme://host:port. NULL: no memory. */
struct fetch_origin *origins_get(struct origins *all, struct text name);

/* Those without a request and a socket, until so many are left. */
void origins_forget(struct origins *all, size_t max);

/* How many requests a connection of HTTP/2 has to carry for all that there are; `streams` from now on. */
unsigned int origins_spread(struct origins *all);

/* Whose turn it is: of those whose next request can be carried the one that came first; NULL: nobody's. */
struct fetch_origin *origins_next(const struct origins *all);

/* Its request waits, and no longer. */
void origin_queue(struct fetch_request *r);
void origin_unqueue(struct fetch_request *r);

/* Its request is with curl, and no longer. */
void origin_begin(struct origins *all, struct fetch_request *r);
void origin_end(struct fetch_request *r);

/* curl opens a socket for the request; a socket to the server is closed. -ENOMEM. */
int origin_opened(struct fetch_request *r, curl_socket_t fd);
void origin_closed(struct fetch_origin *o, curl_socket_t fd);

/* The connection that the request goes out on stands. */
void origin_sends(struct fetch_request *r, bool is_http2);

/* An answer came so. */
void origin_answered(struct fetch_origin *o, bool is_http2);

#endif
