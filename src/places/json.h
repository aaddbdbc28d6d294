#ifndef PLACES_JSON_H
#define PLACES_JSON_H
/*
 * The answer to WHATSAT: a JSON object in the shape of a Google Places Nearby
 * Search answer, on one line and without an LF. Always valid JSON in UTF-8,
 * whatever bytes the texts hold.
 */
#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"
#include "core/places.h"

/* Appends the object. `attribution` (may be empty) goes into html_attributions.
   0; -ENOBUFS: *out is full and as it was. */
int json_put_places(struct buffer *out, const struct places_found *found, struct text attribution);

/* Appends the object that says why there are no places: status is one of the API's words
   (UNKNOWN_ERROR, OVER_QUERY_LIMIT, REQUEST_DENIED, ...). */
int json_put_failure(struct buffer *out, struct text status, struct text message);

/* Writes t at out as a JSON string with its quotes (room for 6 * t.len + 2 bytes); bytes that are
   not UTF-8 become U+FFFD. Returns the end. */
char *json_put_string(char *out, struct text t);

/* Writes t at out as text of HTML (room for 6 * t.len bytes), not as a JSON string yet. Returns the end. */
char *json_put_html(char *out, struct text t);

enum { JSON_DEGREES_MAX = 12 }; /* -180.1234567 */

/* Writes degrees at out, with as many decimals as they need and never an exponent. Returns the end. */
char *json_put_degrees(char *out, int32_t e7);

#endif
