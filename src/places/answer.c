/*
 * Answer: thousands of phones in one place ask the same thing, so an answer is
 * one block of memory: positions as numbers, texts as the reply will have
 * them. Giving it to one more asker is a distance and a memcpy for each place.
 */
#include "places/answer.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "places/json.h"

#define OK_TAIL	  TEXT("],\"status\":\"OK\"}")
#define NONE_TAIL TEXT("],\"status\":\"ZERO_RESULTS\"}")

enum {
	PLACE_SCRATCH = 8 * WEB_PLACE_BYTES, /* pens reserve for the worst case of a string */
	HEAD_SCRATCH = 8 * WEB_HEAD_BYTES,
	PLACES_BYTES_MAX = WEB_PLACES_MAX * WEB_PLACE_BYTES,
	TAIL_MAX = 32,
};
_Static_assert(PLACES_BOUND_MAX *(WEB_PLACE_BYTES + 1) + WEB_HEAD_BYTES + TAIL_MAX <= WEB_ANSWER_BYTES,
	       "an answer of the longest places fits");
_Static_assert(6 * WEB_MESSAGE_BYTES + 512 < WEB_HEAD_BYTES, "and so does a failure");

struct web_answer {
	size_t references;
	size_t size;
	size_t count;
	struct text head; /* all before the first place; of a failure: the whole object */
	struct text status, message;
	bool is_failure;
	const struct web_draft_place *places;
	const char *texts;
	max_align_t block[]; /* places, their texts, the rest */
};

struct web_answer *
web_answer_ref(struct web_answer *a)
{
	a->references++;
	return a;
}

struct web_answer *
web_answer_unref(struct web_answer *a)
{
	if (!a)
		return NULL;
	assert(a->references > 0);
	if (--a->references == 0)
		free(a);
	return NULL;
}

size_t
web_answer_size(const struct web_answer *a)
{
	return a->size;
}

size_t
web_answer_count(const struct web_answer *a)
{
	return a->count;
}

bool
web_answer_is_failure(const struct web_answer *a)
{
	return a->is_failure;
}

struct text
web_answer_status(const struct web_answer *a)
{
	return a->status;
}

struct text
web_answer_message(const struct web_answer *a)
{
	return a->message;
}

static struct web_answer *
make(size_t bytes)
{
	struct web_answer *a = calloc(1, sizeof(*a) + bytes);

	if (!a)
		return NULL;
	a->references = 1;
	a->size = sizeof(*a) + bytes;
	a->status = a->message = TEXT("");
	return a;
}

/* --- the draft ------------------------------------------------------------------ */

void
web_draft_init(struct web_draft *d)
{
	d->place = (struct pen){.out = {.max = PLACE_SCRATCH}};
	d->attributions = d->members = (struct pen){.out = {.max = HEAD_SCRATCH}};
	d->places = (struct buffer){.max = PLACES_BYTES_MAX};
	d->count = 0;
}

void
web_draft_done(struct web_draft *d)
{
	pen_done(&d->place);
	pen_done(&d->attributions);
	pen_done(&d->members);
	buffer_done(&d->places);
	d->count = 0;
}

int
web_draft_keep(struct web_draft *d, int32_t lat_e7, int32_t lon_e7, bool *ret_kept)
{
	struct text text = {d->place.out.bytes, d->place.out.len};
	bool keep = !d->place.full && text.len > 0 && text.len <= WEB_PLACE_BYTES &&
		    d->count < WEB_PLACES_MAX;

	if (keep) {
		struct web_draft_place *at = &d->at[d->count];

		*at = (struct web_draft_place){lat_e7, lon_e7, (uint32_t)d->places.len, (uint32_t)text.len};
		if (buffer_append(&d->places, text) < 0)
			return -ENOMEM; /* the ceiling is that of all places together */
		d->count++;
	}
	pen_clear(&d->place);
	if (ret_kept)
		*ret_kept = keep;
	return 0;
}

static char *
put_head(char *out, const struct web_draft *d)
{
	out = text_put(out, TEXT("{\"html_attributions\":["));
	if (d->attributions.out.len)
		out = text_put(out, (struct text){d->attributions.out.bytes, d->attributions.out.len});
	out = text_put(out, TEXT("]"));
	if (d->members.out.len)
		out = text_put(out, (struct text){d->members.out.bytes, d->members.out.len});
	return text_put(out, TEXT(",\"results\":["));
}

int
web_answer_new(struct web_answer **ret, const struct web_draft *d)
{
	size_t array = d->count * sizeof(d->at[0]);
	size_t head = 64 + d->attributions.out.len + d->members.out.len;
	struct web_answer *a;
	char *at;

	if (d->attributions.full || d->members.full || head > WEB_HEAD_BYTES)
		return -EMSGSIZE;
	a = make(array + d->places.len + head);
	if (!a)
		return -ENOMEM;
	at = (char *)a->block;
	a->count = d->count;
	a->status = d->count ? TEXT("OK") : TEXT("ZERO_RESULTS");
	a->places = (struct web_draft_place *)a->block;
	a->texts = at + array;
	if (d->count) {
		memcpy(at, d->at, array);
		memcpy(at + array, d->places.bytes, d->places.len);
	}
	at += array + d->places.len;
	a->head = (struct text){at, (size_t)(put_head(at, d) - at)};
	*ret = a;
	return 0;
}

int
web_answer_failure(struct web_answer **ret, struct text status, const char *format, ...)
{
	struct buffer json = {.max = WEB_HEAD_BYTES};
	char message[WEB_MESSAGE_BYTES];
	struct web_answer *a = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	if (n >= (int)sizeof(message))
		n = sizeof(message) - 1;
	if (n < 0)
		n = 0;
	if (json_put_failure(&json, status, (struct text){message, (size_t)n}) == 0)
		a = make(json.len + status.len + (size_t)n);
	if (a) {
		char *at = (char *)a->block;

		a->is_failure = true;
		a->head = (struct text){at, json.len};
		at = text_put(at, (struct text){json.bytes, json.len});
		a->status = (struct text){at, status.len};
		at = text_put(at, status);
		a->message = (struct text){at, (size_t)n};
		text_put(at, (struct text){message, (size_t)n});
	}
	buffer_done(&json);
	if (!a)
		return -ENOMEM;
	*ret = a;
	return 0;
}

/* --- for one asker ---------------------------------------------------------------- */

struct choice {
	size_t count;
	const struct web_draft_place *place[PLACES_BOUND_MAX];
	double distance_m[PLACES_BOUND_MAX];
};

/* In the order they come. */
static void
choose_first(struct choice *c, size_t bound, const struct web_draft_place *place)
{
	if (c->count < bound)
		c->place[c->count++] = place;
}

/* Nearest first; what comes later goes behind its equals. */
static void
choose_nearest(struct choice *c, size_t bound, const struct web_draft_place *place, double distance_m)
{
	size_t at;

	if (c->count == bound && distance_m >= c->distance_m[bound - 1])
		return;
	at = c->count < bound ? c->count++ : bound - 1;
	for (; at > 0 && c->distance_m[at - 1] > distance_m; at--) {
		c->place[at] = c->place[at - 1];
		c->distance_m[at] = c->distance_m[at - 1];
	}
	c->place[at] = place;
	c->distance_m[at] = distance_m;
}

static void
choose(const struct web_answer *a, const struct source_query *query, enum places_rank rank, struct choice *c)
{
	size_t bound = query->bound < PLACES_BOUND_MAX ? query->bound : PLACES_BOUND_MAX;
	double radius_m = query->radius_km * 1000;

	c->count = 0;
	if (bound == 0)
		return;
	for (size_t i = 0; i < a->count; i++) {
		const struct web_draft_place *place = &a->places[i];
		double distance_m = places_distance_m(query->lat_e7, query->lon_e7, place->lat_e7,
						      place->lon_e7);

		if (distance_m > radius_m)
			continue;
		if (rank == PLACES_DISTANCE)
			choose_nearest(c, bound, place, distance_m);
		else
			choose_first(c, bound, place);
		if (rank != PLACES_DISTANCE && c->count == bound)
			return;
	}
}

int
web_answer_put(const struct web_answer *a, const struct source_query *query, enum places_rank rank,
	       struct buffer *out)
{
	struct choice c;
	size_t bytes = a->head.len + TAIL_MAX;
	struct text tail;
	char *start, *at;

	if (web_answer_is_failure(a))
		return buffer_append(out, a->head);
	choose(a, query, rank, &c);
	for (size_t i = 0; i < c.count; i++)
		bytes += c.place[i]->len + 1;
	tail = c.count ? OK_TAIL : NONE_TAIL;
	bytes += tail.len - TAIL_MAX - (c.count ? 1 : 0);
	start = buffer_reserve(out, bytes);
	if (!start)
		return -ENOBUFS;
	at = text_put(start, a->head);
	for (size_t i = 0; i < c.count; i++) {
		if (i > 0)
			*at++ = ',';
		at = text_put(at, (struct text){a->texts + c.place[i]->at, c.place[i]->len});
	}
	at = text_put(at, tail);
	assert((size_t)(at - start) == bytes);
	out->len += bytes;
	return 0;
}
