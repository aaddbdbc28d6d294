#ifndef CORE_PLACES_H
#define CORE_PLACES_H
/*
 * Places: a file of named points, sorted so that a nearby query reads only
 * what it needs. core/places.c has the layout, core/places-build.c writes it.
 *
 * The file is mapped and untrusted: damage gives wrong answers or an error
 * code, never a crash, also when it is cut short while in use. A struct places
 * may be read by any number of threads at once; nothing ever writes to it.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct places; /* opaque */

enum {
	PLACES_BOUND_MAX = 20, /* results of one query */
	PLACES_TEXT_MAX = 255, /* bytes of each text of a place */
};

/* --- a places file ----------------------------------------------------- */

/*
 * Maps a file and reads all of it once, to check it: seconds for millions of
 * places on a cold disk. Not for an event loop (see places/source.h).
 *   -EPROTO    no places file, or of another layout
 *   -EBADMSG   damaged
 *   -EFAULT    cut short while it was read
 */
int places_open(struct places **ret, const char *path);

/* The same; -ECANCELED soon after *cancel becomes true. */
int places_open_cancellable(struct places **ret, const char *path, const atomic_bool *cancel);

/* A places file in memory, for the one built into the programs: not copied, must outlive *ret. */
int places_from_memory(struct places **ret, const void *bytes, size_t len);

/* Unmaps; accepts NULL, returns NULL. */
struct places *places_free(struct places *p);

size_t places_count(const struct places *p);

/* What answers from this file have to say about its origin; empty when nothing. Lives as long as p. */
struct text places_attribution(const struct places *p);

/* --- what is near ------------------------------------------------------ */

enum places_rank {
	PLACES_PROMINENCE, /* greatest prominence first, then nearest */
	PLACES_DISTANCE,   /* nearest first, then greatest prominence */
};

/* "prominence", "distance". */
const char *places_rank_name(enum places_rank rank);
/* 0 or -EINVAL. */
int places_rank_parse(struct text name, enum places_rank *ret);

struct places_query {
	int32_t lat_e7, lon_e7; /* degrees times 10^7, as struct location has them */
	double radius_km;	/* none farther than this */
	unsigned int bound;	/* at most so many, and at most PLACES_BOUND_MAX */
	enum places_rank rank;
};

/* Any bytes may stand in the texts. name and id are not empty. */
struct place {
	struct text name;
	struct text id;	      /* unique where the import's source was */
	struct text types;    /* the place's own type first, more after commas; may be empty */
	struct text vicinity; /* may be empty */
	int32_t lat_e7, lon_e7;
	uint32_t prominence; /* population or any other measure; greater is better known */
	double distance_m;
};

/* An answer. The texts point into bytes: neither copy nor move it. */
struct places_found {
	size_t count;
	struct place place[PLACES_BOUND_MAX];
	char bytes[PLACES_BOUND_MAX * 4 * PLACES_TEXT_MAX];
};

/* The nearest, or the most prominent, in a total order: the same question gets the same answer.
   0; -EFAULT: the file was cut short; -ENOMEM. */
int places_nearby(const struct places *p, const struct places_query *query, struct places_found *ret);

/* Great-circle distance in metres on a sphere of R = 6371008.8 m (the mean radius of IUGG). */
double places_distance_m(int32_t lat_e7, int32_t lon_e7, int32_t other_lat_e7, int32_t other_lon_e7);

/* --- making one -------------------------------------------------------- */

struct places_build; /* opaque: the rows so far, about 40 bytes each and their texts */

struct places_row {
	struct text name; /* required */
	struct text id;	  /* empty: one is made from name and position */
	struct text types, vicinity;
	int32_t lat_e7, lon_e7; /* within +-90 and +-180 degrees */
	uint32_t prominence;
};

int places_build_new(struct places_build **ret);
struct places_build *places_build_free(struct places_build *b);

/* Copies the row. Texts longer than PLACES_TEXT_MAX are cut between two characters; -EINVAL: no name,
   or a position out of range; -ENOMEM; -EFBIG: more than 2^32 places, or 4 GiB of texts. */
int places_build_add(struct places_build *b, const struct places_row *row);

size_t places_build_count(const struct places_build *b);

/* What places_attribution() will say: plain text of at most PLACES_TEXT_MAX bytes. */
int places_build_set_attribution(struct places_build *b, struct text attribution);

/* Writes the file and puts it in the place of what stood at `path`: readers see the old one or the
   new one, whole, and after 0 the new one survives a power cut. The same rows give the same bytes. */
int places_build_write(struct places_build *b, const char *path);

#endif
