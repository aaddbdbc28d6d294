#ifndef CORE_MESSAGE_H
#define CORE_MESSAGE_H
/*
 * The line protocol: one command line taken apart, one AT line put together.
 */
#include "base/text.h"
#include "core/fix.h"
#include "core/location.h"

enum {
	MESSAGE_RADIUS_MAX_KM = 50,
	MESSAGE_BOUND_MAX = 20,
};

enum message_verb {
	MESSAGE_INVALID, /* answered with "? " and the line */
	MESSAGE_IAMAT,
	MESSAGE_WHATSAT,
};

/* Texts point into the line that was parsed. */
struct message {
	enum message_verb verb;
	struct text line; /* all of it, for the "? " copy */
	struct text id;
	struct text location, time;  /* IAMAT, checked */
	struct fix_time client_time; /* IAMAT */
	double radius_km;	     /* WHATSAT, 0 to 50 */
	unsigned int bound;	     /* WHATSAT, 0 to 20 */
};

/* `line` is one line less its line end. Never fails: what is not a command has the
   verb MESSAGE_INVALID, and then only verb and line are set. */
void message_parse(struct text line, struct message *ret);

/* Radius and bound as WHATSAT takes them; false when out of range or not digits. Every digit
   of a radius is checked; past the thirteenth decimal they no longer change *ret_km. */
bool message_parse_radius(struct text t, double *ret_km);
bool message_parse_bound(struct text t, unsigned int *ret_bound);

/* What an AT line says. */
struct message_at {
	struct text server, id, location, time;
	struct fix_time client_time; /* of the text `time` */
	int64_t rx_ns; /* since 1970, never negative: then the skew's seconds have at most 11 digits */
};

/* Writes the AT line with its LF at out (room for HERD_AT_MAX); returns the end. */
char *message_put_at(char *out, const struct message_at *at);

/* The same for a fix read from the table, whose texts the table has checked. A time that
   is none, from a damaged segment, counts as 0: the line stays one. */
char *message_put_fix(char *out, const struct herd_fix *fix);

/* The way back, from a line less its line end; texts point into it. False unless it is, byte for byte,
   what message_put_at() writes. */
bool message_parse_at(struct text line, struct message_at *ret);

#endif
