#ifndef PLACES_ANSWER_H
#define PLACES_ANSWER_H
/*
 * Answer: what a places service on the network said, in the shape of a Nearby
 * Search answer but not yet for anybody: each place with its position and its
 * JSON text, so that one answer serves everybody who asked nearly the same.
 *
 * An answer never changes once it is made. Its references are counted without
 * atomics: it belongs to one event loop.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"
#include "core/places.h"
#include "places/pen.h"
#include "places/source.h"

enum {
	WEB_PLACES_MAX = 512,	    /* places kept of one answer */
	WEB_PLACE_BYTES = 12288,    /* JSON text of one place; longer ones are dropped */
	WEB_HEAD_BYTES = 14336,	    /* JSON text of all that stands before the places */
	WEB_ANSWER_BYTES = 1 << 18, /* what web_answer_put() appends at most */
	WEB_MESSAGE_BYTES = 512,    /* error_message of a failure */
};

struct web_answer; /* opaque */

/* --- making one ------------------------------------------------------------ */

struct web_draft_place {
	int32_t lat_e7, lon_e7;
	uint32_t at, len; /* of its text in `places` */
};

/* An answer while it is read. Set up with web_draft_init(). */
struct web_draft {
	struct pen place;	 /* the place that is being written: one JSON object */
	struct pen attributions; /* JSON strings with commas between them, for html_attributions */
	struct pen members;	 /* further members of the answer, each with a comma before it */
	struct buffer places;
	size_t count;
	struct web_draft_place at[WEB_PLACES_MAX];
};

void web_draft_init(struct web_draft *d);
void web_draft_done(struct web_draft *d);

/* Takes what was written to d->place, and empties it. A text that is empty, too long or one more than WEB_PLACES_MAX is
   dropped; *ret_kept (may be NULL) says so. 0; -ENOMEM. */
int web_draft_keep(struct web_draft *d, int32_t lat_e7, int32_t lon_e7, bool *ret_kept);

/* The answer, with one reference. -EMSGSIZE: attributions and members are more than WEB_HEAD_BYTES; -ENOMEM. */
int web_answer_new(struct web_answer **ret, const struct web_draft *d);

/* One that says why there are no places: status is one of the API's words; the message, of which
   WEB_MESSAGE_BYTES are kept, follows printf. -ENOMEM. */
int web_answer_failure(struct web_answer **ret, struct text status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* --- using it -------------------------------------------------------------- */

struct web_answer *web_answer_ref(struct web_answer *a);
/* Accepts NULL, returns NULL. */
struct web_answer *web_answer_unref(struct web_answer *a);

/* Bytes of memory, all in: for the cache's bound. */
size_t web_answer_size(const struct web_answer *a);
/* Places in it, for whomever they are near. */
size_t web_answer_count(const struct web_answer *a);
bool web_answer_is_failure(const struct web_answer *a);

/* The status word (OK, ZERO_RESULTS, or that of a failure), and what a failure has to say for a log, else empty. They
   live as long as the answer. */
struct text web_answer_status(const struct web_answer *a);
struct text web_answer_message(const struct web_answer *a);

/* Appends the JSON object for one asker: none farther than radius_km from the query's position by places_distance_m(),
   at most `bound` (and PLACES_BOUND_MAX), in the service's order (PLACES_PROMINENCE) or nearest first (PLACES_DISTANCE;
   ties in the service's order). One line, no LF; ZERO_RESULTS when none is left. A failure as json_put_failure() has it.
   0; -ENOBUFS: *out is full and as it was. */
int web_answer_put(const struct web_answer *a, const struct source_query *query, enum places_rank rank,
		   struct buffer *out);

#endif
