#ifndef PLACES_FETCH_ENGINE_H
#define PLACES_FETCH_ENGINE_H
/*
 * Engine: one of curl's multi handles on the event loop, with the options its
 * transfers share and the authorities they trust. For fetch.c alone.
 */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "places/fetch.h"

/*
 * What curl before 7.87, as EL 9 has it, does not do: keep many requests on a
 * connection of HTTP/2 without forgetting some, and give up a request without
 * waiting for the thread that resolves its name.
 */
enum { ENGINE_IS_OLD = LIBCURL_VERSION_NUM < 0x075700 };

struct engine; /* opaque */

/* Something happened in curl: see engine_take(). Comes from the event loop only. The engine may be freed. */
typedef void engine_turned(void *arg);

/* *connections counts what engine_count() is called for: attempts to connect. */
int engine_new(struct engine **ret, struct event_base *base, const struct fetch_options *options,
	       engine_turned *turned, void *arg, uint64_t *connections);

/* As fetch_authorities(). */
const char *engine_authorities(const char *ca_file, bool *ret_is_folder);

/* No transfer may be under way. Accepts NULL, returns NULL. */
struct engine *engine_free(struct engine *e);
CLEANUP_POINTER(struct engine, engine_free);

/* A handle with all the options that do not depend on the request; NULL: no memory. It goes back with
   engine_put(), not while it is under way; pointers set in it must be valid until then. */
CURL *engine_get(struct engine *e);
void engine_put(struct engine *e, CURL *easy);

/* Hands a transfer over; nothing is sent before engine_kick(). Negative errno. */
int engine_add(struct engine *e, CURL *easy);
void engine_kick(struct engine *e);

/* So many requests at most on a connection of HTTP/2, from now on. */
void engine_spread(struct engine *e, unsigned int streams);

void engine_count(struct engine *e);

/* Whether a transfer can be given up without waiting for anything. */
bool engine_can_remove(CURL *easy);

/* A transfer is given up. */
void engine_remove(struct engine *e, CURL *easy);

/* The next one that ended, and is under way no longer; NULL: none. */
CURL *engine_take(struct engine *e, CURLcode *ret_code);

uint32_t engine_under_way(const struct engine *e);

/* Why there is no TLS with this engine; "": there is. */
const char *engine_no_tls(const struct engine *e);

#endif
