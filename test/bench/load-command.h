#ifndef BENCH_LOAD_COMMAND_H
#define BENCH_LOAD_COMMAND_H
/*
 * The commands bench-load can send: how one is written, and what its reply has
 * to be. Neither allocates, reads a clock or formats with printf.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum {
	LOAD_COMMAND_MAX = 320,	     /* bytes any one command takes, with slack for wide copies */
	LOAD_CLIENTS_MAX = 10000000, /* ids carry seven digits */
	LOAD_TIME_LEN = 20,	     /* SSSSSSSSSS.nnnnnnnnn */
};

/* One place to be at, in the forms the protocols want it. */
struct load_point {
	char iso[32];	/* +34.068930-118.445127 */
	char resp[64];	/* two bulk strings, longitude first */
	char value[16]; /* "$LL\r\n" for a value of location, space, time */
	char block[16]; /* " 0 0 LL\r\n" for the same */
	uint8_t iso_len, resp_len, value_len, block_len;
	/* Where the decimals are that each command draws anew; 0: drawn points are exact. */
	uint8_t iso_lat, iso_lon, resp_lat, resp_lon;
};

/* What every command is made from. */
struct load_source {
	uint64_t random;
	uint32_t clients; /* ids there are */
	bool in_order;	  /* each id once, else at random */
	bool in_turn;	  /* one after the other, again and again */
	uint32_t next;	  /* the next id of these two */
	char prefix;	  /* first letter of the ids */
	bool time_fixed;
	int64_t time_ns; /* of the last command; grows with each */
	char time[LOAD_TIME_LEN + 4];
	struct load_point *points; /* owned */
	uint32_t point_count;
	bool points_by_client; /* a client is always at the same point */
	char server[40];       /* "AT NAME ", what replies begin with */
	size_t server_len;
	char constant[8193]; /* floor: the one reply */
	size_t constant_len;
	char area[64]; /* WHATSAT: " 10 5\n" */
	size_t area_len;
	char search_head[32]; /* GEOSEARCH: number of arguments and verb */
	size_t search_head_len;
	char search[96]; /* GEOSEARCH: radius and count */
	size_t search_len;
	uint64_t results; /* places found by all searches */
};

/* Where a command's operands are in what was sent. */
struct load_mark {
	uint32_t at;
	uint16_t len;
	uint32_t client;
};

struct load_command {
	const char *name;
	/* Writes a command at out + at (room for LOAD_COMMAND_MAX); returns where it ends. */
	size_t (*put)(struct load_source *s, char *out, size_t at, struct load_mark *ret_mark);
	/* Bytes of the first reply in `in`, 0 while it is not whole. */
	size_t (*check)(struct load_source *s, const char *sent, const struct load_mark *mark, struct text in,
			bool *ret_good);
};

/* NULL: there is none of this name. */
const struct load_command *load_command_find(const char *name);

/* Names of all, for the usage message. */
void load_command_list(char *out, size_t size);

/* Points all over the world, whose decimals every command draws anew. */
int load_source_spread(struct load_source *s);

/* Points from lines "LAT LON", one per client in turn. -EINVAL: a bad line, or none. */
int load_source_read(struct load_source *s, const char *path);

/* What WHATSAT and GEOSEARCH ask for; bound 0 is GEOSEARCH without a COUNT. */
void load_source_set_area(struct load_source *s, unsigned int radius_km, unsigned int bound);

/* Time of day that the commands from here on carry. */
void load_source_set_time(struct load_source *s, int64_t now_ns);

void load_source_done(struct load_source *s);

#endif
