#ifndef TEST_FLOOD_SIMULATE_NET_H
#define TEST_FLOOD_SIMULATE_NET_H
/*
 * A network of hosts with what a helper sees of TCP: bytes in order after a
 * delay, at a rate, with a window; loss as the time it takes to send again; ends
 * that are told, and ends that nobody tells of (a host that vanished, a cut, loss
 * for too long). A wire is one connection, side 0 dialled.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "simulate-queue.h"

#define NET_RETRY_NS   (200 * CLOCK_MSEC_NS) /* before something is sent again, doubled each time */
#define NET_GIVE_UP_NS (8 * CLOCK_SECOND_NS) /* TCP_USER_TIMEOUT */
#define NET_CONNECT_NS (5 * CLOCK_SECOND_NS) /* a dial that nobody answers */

enum { NET_WINDOW = 128 << 10 }; /* what both kernels together hold of one direction */

struct net;  /* opaque */
struct wire; /* opaque */

struct net_hooks {
	void *arg;
	void (*dialled)(void *arg, struct wire *w);				     /* side 0 may send */
	void (*failed)(void *arg, unsigned int from, unsigned int to, uint64_t tag); /* a dial */
	void (*accepted)(void *arg, struct wire *w);				     /* side 1 may send */
	void (*readable)(void *arg, struct wire *w, unsigned int side);
	void (*writable)(void *arg, struct wire *w, unsigned int side); /* there is more room */
	void (*closed)(void *arg, struct wire *w, unsigned int side);	/* by the other side, or broken */
};

struct net_options {
	unsigned int hosts;
	uint64_t seed;
	double loss;	    /* of each packet, 0 to 1 */
	int64_t delay_ns;   /* one way */
	int64_t spread;	    /* per cent: at 100 each pair has its own delay, half of this to one and a half */
	uint64_t rate_bits; /* per second, of each direction; 0: any */
};

struct net *net_new(struct queue *queue, const struct net_options *options, const struct net_hooks *hooks);
void net_free(struct net *n);

void net_set_loss(struct net *n, double loss);
/* Nothing gets from one to the other, and nobody is told. */
void net_set_cut(struct net *n, unsigned int a, unsigned int b, bool cut);
/* Hosts of different sides are cut. */
void net_set_side(struct net *n, unsigned int host, unsigned int side);
void net_mend(struct net *n); /* no cuts, one side */
bool net_reaches(const struct net *n, unsigned int a, unsigned int b);

/* The machine: off, it answers nothing, and forgets its connections. */
void net_set_on(struct net *n, unsigned int host, bool on);
/* Somebody listens there; a dial is refused otherwise. */
void net_set_listening(struct net *n, unsigned int host, bool listening);

/* dialled() or failed(), later. The tag is the caller's. */
void net_dial(struct net *n, unsigned int from, unsigned int to, uint64_t tag);
uint64_t wire_tag(const struct wire *w);

unsigned int wire_host(const struct wire *w, unsigned int side);
void wire_set_user(struct wire *w, unsigned int side, void *user);
void *wire_user(const struct wire *w, unsigned int side); /* NULL: that side has closed */
size_t wire_room(const struct wire *w, unsigned int side);
void
wire_send(struct wire *w, unsigned int side, const char *bytes, size_t len); /* len: at most wire_room() */
const char *wire_input(const struct wire *w, unsigned int side, size_t *ret_len);
void wire_consume(struct wire *w, unsigned int side, size_t len);
/* What was sent still arrives, then the other side's closed(). Not to be used by this side any more. */
void wire_close(struct wire *w, unsigned int side);
/* As if there had never been a connection: whoever sends to it is told then. */
void wire_forget(struct wire *w, unsigned int side);
/* Both sides are told now. */
void wire_break(struct wire *w);

uint64_t net_bytes(const struct net *n); /* delivered */

#endif
