#ifndef TEST_FLOOD_SIMULATE_PLAN_H
#define TEST_FLOOD_SIMULATE_PLAN_H
/*
 * A plan: everything that makes a run what it is: numbers, and acts at their
 * times. It is made from a seed, and can be written down and read again; leaving
 * out an act leaves the others what they are.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"

/* name, default, least, most, help; all of them are also options of the command line. */
#define PLAN_NUMBERS(X)                                                                                  \
	X(hosts, 5, 1, 4000, "hosts of the herd")                                                        \
	X(seed, 1, 0, INT64_MAX, "everything that is random comes from it")                              \
	X(seconds, 20, 1, 100000, "virtual time during which things happen")                             \
	X(settle, 200, 1, 100000, "seconds within which all hosts have to agree after that")             \
	X(quiet, 0, 0, 100000, "seconds to watch afterwards: nothing may be sent any more")              \
	X(updates, 0, 0, 100000, "fixes told to random members, per second")                             \
	X(clients, 40, 1, 1000000, "clients they are of")                                                \
	X(capacity, 0, 0, 1000000, "clients a table has room for; 0: all of them")                       \
	X(sites, 0, 0, 1000, "sites that the hosts are marked with")                                     \
	X(site_links, 4, 1, 16, "links between two of them")                                             \
	X(drawn, 0, 0, 1, "1: a sparse graph of 'peer' lines instead of the list of hosts")              \
	X(delay, 4, 0, 5000, "milliseconds one way, about")                                              \
	X(spread, 100, 0, 100, "per cent by which delays differ, of pairs of hosts and in time")         \
	X(names, 1, 0, 1, "1: hosts tell each other which members they have")                            \
	X(rate, 0, 0, 100000000, "kbit/s of each direction of a link; 0: any")                           \
	X(loss, 0, 0, 90, "per cent of all packets")                                                     \
	X(skew, 0, 0, 100000, "milliseconds by which clocks are wrong, at most")                         \
	X(future, 0, 0, 100, "per cent of the fixes with a time in the far future")                      \
	X(ttl, 0, 0, 100000, "fix-ttl in seconds; 0: for ever")                                          \
	X(ack_after, 0, 0, 8, "peers that have to apply a fix before it counts as confirmed")            \
	X(partition, 0, 0, 100000, "seconds for which the herd falls into two halves")                   \
	X(deaths, 0, 0, 99, "per cent of the hosts that die at once after a third of the time")          \
	X(silent, 0, 0, 1, "1: they are off at once, and nobody is told; else their helpers are killed") \
	X(kills, 0, 0, 1000, "helpers killed and started again, per second")

struct plan_numbers {
#define X(name, def, least, most, help) int64_t name;
	PLAN_NUMBERS(X)
#undef X
};

/* name, how many of a, b, c it has, what it does */
#define PLAN_ACTS(X)                                                          \
	X(put, 3, "client B reports to host A, its clock C ms off")           \
	X(kill, 1, "the helper of A dies, its table stays")                   \
	X(wipe, 1, "the helper of A dies, and the table is empty afterwards") \
	X(vanish, 1, "the machine A is off at once, and nobody is told")      \
	X(start, 1, "A is on, and its helper runs")                           \
	X(cut, 2, "nothing gets from A to B or back")                         \
	X(join, 2, "it does again")                                           \
	X(split, 2, "the herd falls into A parts, B says which")              \
	X(mend, 0, "no cuts, one part")                                       \
	X(stall, 2, "the helper of A does nothing for B ms")                  \
	X(step, 3, "the clock of A is set by C ms; B is 0")                   \
	X(snap, 2, "connections between A and B break")                       \
	X(loss, 1, "A per cent of all packets are lost from now on")          \
	X(list, 2, "host A reads a list of the first B hosts")

enum plan_act {
#define X(name, fields, help) PLAN_##name,
	PLAN_ACTS(X)
#undef X
		PLAN_ACT_COUNT
};

struct act {
	int64_t at_us;
	enum plan_act what;
	unsigned int a, b;
	int64_t c;
};

struct plan {
	struct plan_numbers numbers;
	struct act *acts; /* owned; by time */
	size_t count, room;
};

void plan_init(struct plan *p); /* the defaults, no acts */
void plan_done(struct plan *p);
void plan_copy(struct plan *to, const struct plan *from);
void plan_add(struct plan *p, const struct act *act);
void plan_sort(struct plan *p);

/* "hosts", "5". False, and said on stderr, unless it is one. */
bool plan_set(struct plan *p, const char *name, const char *value);
void plan_help(FILE *out);

/* One line with all numbers that are not the default, then one per act. */
void plan_write(const struct plan *p, FILE *out);
bool plan_read(struct plan *p, FILE *in);

/* Acts as partition, deaths and kills say; updates are made while it runs. */
void plan_make(struct plan *p);
/* A small herd with a hard life, all of it made from the seed. */
void plan_make_random(struct plan *p, uint64_t seed);

#endif
