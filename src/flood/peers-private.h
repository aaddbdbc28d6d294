#ifndef FLOOD_PEERS_PRIVATE_H
#define FLOOD_PEERS_PRIVATE_H
/* What the files peers*.c share. */
#include "base/log.h"
#include "flood/connection.h"
#include "flood/dial.h"
#include "flood/drain.h"
#include "flood/peers.h"
#include "flood/setup.h"
#include "flood/teach.h"
#include "net/listen.h"

enum {
	PEERS_MAGIC = 0x50454552, /* "PEER" */
	PEER_MAGIC = 0x5045454f,
	LISTENER_MAGIC = 0x4c49534e,
	PEERS_LISTENERS_MAX = 16,
	PEERS_NOBODY = UINT32_MAX, /* no number in the mesh */
};

/* So many things at once, and so many a second. */
struct allowance {
	int64_t each_ns, most_ns; /* the price of one, the most that is saved up */
	int64_t saved_ns, then_ns;
};

/* A host that we have had a link with; it may have none now. */
struct acquaintance {
	struct acquaintance *next;
	uint8_t host_id[16];
	struct link_memory memory;
	struct address address;
	unsigned int users; /* links that hold `memory` */
	int64_t seen_ns;
};

/* One attempt to be linked, whoever began it, from its first packet to its last. */
struct peer {
	unsigned int magic;
	struct peers *peers;
	struct peer *next;
	struct dial *dial;
	struct connection *connection; /* NULL: still dialling */
	uint32_t host;		       /* in the mesh; PEERS_NOBODY */
	bool is_greeted, is_up;
	bool is_counted;   /* the mesh knows that it is up */
	bool owes;	   /* the mesh wanted it, and waits for what becomes of it */
	bool is_lost;	   /* its end was looked after */
	bool is_over;	   /* to be freed */
	bool is_duplicate; /* there is another link with the same host, which stays */
	struct link_hooks hooks;
	int64_t rest_ns;		      /* do not dial it again before; 0: the mesh decides */
	char name[LINK_HOST_MAX + 1];	      /* as it was dialled, then as it calls itself; "" */
	char where[HOSTS_ADDRESS_MAX];	      /* "hill.example:12400", or where it came from */
	char why[LINK_WHY_MAX + TLS_WHY_MAX]; /* of its end, if there was no connection */
	struct acquaintance *acquaintance;
	int64_t up_ns; /* POSIX */
};

/* What is remembered of a number of the mesh. */
struct place {
	char *error;	     /* owned: why the last attempt came to nothing */
	bool is_up;	     /* the mesh was told so */
	bool is_unreachable; /* said */
};

struct listener {
	unsigned int magic;
	struct peers *peers;
	struct listen_socket socket;
	struct event *readable, *pause;
};

struct peers {
	unsigned int magic;
	struct loop *loop;
	const struct conf *conf;
	struct setup setup;
	struct table *table; /* NULL: not started */
	struct replica *replica;
	struct drain *drain;
	struct names *names;
	struct mesh *mesh;
	struct connection_scratch *scratch;
	struct loop_timer *tick;
	struct loop_timer *later; /* for links that hold something back; NULL: none does */
	int64_t later_ns;	  /* when it is */
	struct listener listeners[PEERS_LISTENERS_MAX];
	size_t listener_count;
	struct peer *first;
	struct place *places; /* by number of the mesh */
	unsigned int place_count;
	struct acquaintance *acquaintances;
	unsigned int acquaintance_count;
	struct allowance strangers, acquainted; /* handshakes of those who dial us */

	/* A table that was empty when it started asks one peer for everything before the others. */
	struct teach teach;

	loop_fn *stopped; /* NULL: nobody waits for the end */
	void *stopped_arg;
	bool is_stopping;
	int64_t bye_ns;			       /* when it is said, whatever is left to send; 0: it was said */
	int64_t second_ns, minute_ns, hour_ns; /* when things of each kind are due */
	int64_t expiry_told_s, expiry_stage_s; /* of which date was told, and which time it was */
	unsigned int missing;		       /* neighbours, when last counted */
	int64_t missing_ns;		       /* since then some are */
	struct peers_figures figures;
	struct link_figures past; /* of links that have ended */
	struct log_limit comings, refusals, troubles, aheads;
	char ahead[HERD_SERVER_MAX + 1];
};

/* --- peers.c --- */
struct peers *peers_check(void *arg);
void peers_resynced(struct peer *peer, bool diverged, uint64_t lines, int64_t took_ns);
void peers_parked(struct peer *peer, const struct herd_fix *fix);

/* --- peers-peer.c: one of them --- */
/* Dials; the end of it is looked after in peers_reap(). */
void peer_dial(struct peers *p, uint32_t host);
/* Somebody came. fd is the callee's. */
void peer_accept(struct peers *p, int fd, const struct address *address);
void peer_free(struct peer *peer);
/* All of them, after each turn: those that came up, those that went. */
void peers_reap(struct peers *p);
/* A link that is greeted, to that number; NULL: none. */
struct peer *peers_find(struct peers *p, uint32_t host);
/* The mesh has no use for a link any more. */
void peers_hang_up(struct peers *p, uint32_t host, const char *reason);
void peers_hang_up_all(struct peers *p, const char *reason);

/* --- peers-judge.c: who may be a peer --- */
/* The peer's HERD line has come. 0: welcome. */
int peer_judge(struct peer *peer, const char *host, const uint8_t host_id[16], char why[LINK_WHY_MAX]);
/* After certificates have been read anew. */
void peers_judge_again(struct peers *p);
struct acquaintance *peers_find_acquaintance(struct peers *p, const uint8_t host_id[16]);
struct acquaintance *peers_make_acquaintance(struct peers *p, const uint8_t host_id[16]);
void peers_forget_acquaintances(struct peers *p);

/* --- peers-listen.c --- */
int peers_listen(struct peers *p);
void peers_let_in(struct peers *p); /* from now on */
void peers_stop_listening(struct peers *p);

/* --- peers-watch.c: what is looked at now and then --- */
void peers_watch(struct peers *p, int64_t now_ns);
void peers_say_files(struct peers *p);

#endif
