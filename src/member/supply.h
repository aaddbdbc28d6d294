#ifndef MEMBER_SUPPLY_H
#define MEMBER_SUPPLY_H
/*
 * Supply: where this member's places come from: its settings make the source,
 * what the source notices goes into the log, how it does into the status.
 */
#include "net/report.h"

struct json_object;
struct member;

/* From m->conf. Whatever is not 0 has been logged. */
int supply_open(struct member *m);

/* The settings have changed. What cannot be changed stays, and is logged. */
void supply_apply(struct member *m);

/* What is degraded, and the day's requests. */
void supply_describe(struct member *m, struct report *r);

/* "places": one object for each service on the network. */
void supply_add_states(struct member *m, struct json_object *reply);

#endif
