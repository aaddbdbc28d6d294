#ifndef GENERATOR_PLAN_H
#define GENERATOR_PLAN_H
/*
 * Plan: what the settings become under systemd, as files and links below one
 * folder, made in memory so that it can be looked at before anything is written.
 */
#include "conf/roster.h"

enum { PLAN_PATH_MAX = 96 };

#define PLAN_NOBODY  SIZE_MAX
#define PLAN_HELPER  (SIZE_MAX - 1)
#define PLAN_MEMBERS (SIZE_MAX - 2)

struct plan_item {
	char path[PLAN_PATH_MAX]; /* "herd@Alpha.socket.d/50-herd.conf": at most one folder, and a name */
	char *text;		  /* owned: of a file; NULL: it is a link */
	const char *target;	  /* of a link; NULL: it is a file */
	size_t entry; /* whose it is, in the roster; PLAN_HELPER, PLAN_MEMBERS (all of them), PLAN_NOBODY */
};

/* Items of one member stand together, its links behind its files: who is wanted has all it needs. */
struct plan {
	struct plan_item *at;
	size_t count;
};

/*
 * For every member that is not left out: drop-ins for its sockets and its service, and links that have
 * herd.target want them. For one that is left out: a description that says why. -ENOMEM.
 */
int plan_make(struct plan *ret, const struct conf_roster *roster);

/* Adds a service that looks once more when there is a journal, and tells it then what is wrong. -ENOMEM. */
int plan_add_report(struct plan *plan);

struct plan_secret {
	const char *credential; /* what it is called there */
	const char *path;	/* one that fits into a unit, see plan_path_fits(); NULL: it is not there */
};

/* Has the helper (PLAN_HELPER) or every member (PLAN_MEMBERS) get these files as credentials. -ENOMEM. */
int plan_add_secrets(struct plan *plan, size_t whose, const struct plan_secret *secrets, size_t count);

/* An absolute path in its only spelling, which a unit takes as it is. */
bool plan_path_fits(const char *path);

void plan_done(struct plan *plan);

/*
 * The MemoryMax= of a member: what its settings allow its clients to make it use, all at once.
 *
 *   64 MiB                        programs, buffers that all connections share, datagrams
 * + 2 x the table                 shared memory is charged to whom touches it first; and a private one when
 *                                 the shared one is lost
 * + connections-max x (96 KiB     the session, one reply beyond unsent-max
 *   + 320 KiB                     what the kernel keeps of replies and commands, see net/listen.c
 *   + 2 x line-max + work-max     input that was not answered yet, and a reply that repeats a line
 *   + unsent-max)                 replies not read yet
 *
 * and where a service on the network is asked for places
 *
 * + places.cache-size             answers that are kept
 * + places.connections-max x 4 x places.answer-max   answers that come, and what is made of them
 * + connections-max x places-pending-max x 24 KiB    replies of twenty places that wait for one before them
 *
 * herd-generator(8) has the same formula, and an integration test compares it with a real member.
 */
uint64_t plan_memory_max(const struct conf *conf);

#endif
