#ifndef TEST_SERVICE_HELP_H
#define TEST_SERVICE_HELP_H
/* For tests of what services answer: read a body, give it to one asker, look into the JSON. */
#include "unit.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "places/service.h"
#include "places/tree.h"

#define KEY "HerdSyTEST-0123456789_abcdefghijklmnopq"

/* Everything on earth, as far as the bound goes. */
static const struct source_query whole_earth = {0, 0, 30000, 20};

static struct buffer out = {.max = 1 << 20};

/* Strict, UTF-8 only, nothing left over, on one line, and with the members promised. */
static inline struct json_object *
parse_out(void)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *object, *member;

	json_tokener_set_flags(tokener, tree_flags() | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, out.bytes, (int)out.len);
	assert_int_equal(json_tokener_get_error(tokener), json_tokener_success);
	assert_int_equal(json_tokener_get_parse_end(tokener), out.len);
	assert_null(memchr(out.bytes, '\n', out.len));
	assert_null(memchr(out.bytes, '\r', out.len));
	assert_true(json_object_object_get_ex(object, "html_attributions", &member));
	assert_true(json_object_is_type(member, json_type_array));
	assert_true(json_object_object_get_ex(object, "results", &member));
	assert_true(json_object_is_type(member, json_type_array));
	assert_true(json_object_object_get_ex(object, "status", &member));
	assert_true(json_object_is_type(member, json_type_string));
	json_tokener_free(tokener);
	return object;
}

static inline struct json_object *
put_answer(const struct web_answer *a, const struct source_query *query, enum places_rank rank)
{
	out.len = 0;
	assert_int_equal(web_answer_put(a, query, rank, &out), 0);
	return parse_out();
}

static inline bool
has(struct json_object *from, const char *path)
{
	struct json_object *found;

	return json_pointer_get(from, path, &found) == 0;
}

/* A value as compact JSON; valid until the next one of the same value. */
static inline const char *
json_at(struct json_object *from, const char *path)
{
	struct json_object *found;

	if (json_pointer_get(from, path, &found) != 0)
		return "absent";
	return json_object_to_json_string_ext(found, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

#define assert_json(object, path, want) assert_string_equal(json_at(object, path), want)

static inline size_t
count_results(struct json_object *object)
{
	struct json_object *results;

	assert_int_equal(json_pointer_get(object, "/results", &results), 0);
	return json_object_array_length(results);
}

static bool retry; /* of the last read_body() */

static inline struct web_answer *
read_body(const struct service *service, unsigned int http_status, struct text body)
{
	static const struct service_settings settings;
	char *copy = malloc(body.len ? body.len : 1); /* its end is watched */
	struct web_answer *a = NULL;

	assert_non_null(copy);
	if (body.len)
		memcpy(copy, body.at, body.len);
	retry = true;
	assert_int_equal(
		service->read(&settings, http_status, (struct text){copy, body.len}, TEXT(KEY), &a, &retry),
		0);
	assert_non_null(a);
	free(copy);
	return a;
}

/* What everybody on earth gets. */
static inline struct json_object *
answer_to(const struct service *service, unsigned int http_status, const char *body)
{
	struct web_answer *a = read_body(service, http_status, text_of(body));
	struct json_object *object = put_answer(a, &whole_earth, PLACES_PROMINENCE);

	if (strcmp(json_at(object, "/status"), "\"OK\"") != 0)
		assert_int_equal(count_results(object), 0);
	assert_int_equal(web_answer_is_failure(a), has(object, "/error_message"));
	web_answer_unref(a);
	return object;
}

/* A failure: its status word; part of its message, or NULL; and whether to ask again. */
static inline void
check_failure(const struct service *service, unsigned int http_status, const char *body, const char *status,
	      const char *message, bool again)
{
	struct json_object *object = answer_to(service, http_status, body);
	char want[64];

	snprintf(want, sizeof(want), "\"%s\"", status);
	assert_json(object, "/status", want);
	assert_true(has(object, "/error_message"));
	if (message && !strstr(json_at(object, "/error_message"), message))
		fail_msg("'%s' is not in %s", message, json_at(object, "/error_message"));
	assert_true(strlen(json_at(object, "/error_message")) > 2);
	assert_int_equal(retry, again);
	json_object_put(object);
}

/* What no service may answer with status 200, and still a failure without noise. */
static inline void
check_hostile(const struct service *service)
{
	static const char *const bodies[] = {
		"",
		" ",
		"x",
		"null",
		"1",
		"\"OK\"",
		"[]",
		"{",
		"{}}",
		"{\"a\":1}{\"a\":1}",
		"{\"a\":1,}",
		"{'a':1}",
		"{\"a\":NaN}",
		"{\"a\":Infinity}",
		"{\"a\":-Infinity}",
		"{\"a\":1e400}",
		"{\"a\":-1e400}",
		"{\"a\":99999999999999999999}",
		"{\"a\":-99999999999999999999}",
		"{\"a\":01}",
		"{\"a\":1.}",
		"{\"a\":.5}",
		"{\"a\":+1}",
		"{\"a\":1e}",
		"{\"a\":1-2}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\ud800x\"}",
		"{\"a\":\"\\ud800\\u0041\"}",
		"{\"a\":\"\\udc00\"}",
		"{\"a\":\"\\ud800\\ud800\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12\"}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"\xc0\x80\"}",
		"{\"a\":\"\xed\xa0\x80\"}",
		"{\"a\xff\":1}",
		"{\"a\":\"\n\"}",
		"{\"a\":1,\"a\":2}",
		"{\"b\":[{\"a\":1,\"a\":2}]}",
		"{\"a\\u0000b\":1,\"a\":2}",
		"{\"a\" 1}",
		"{\"a\":/* no */1}",
		"{\"a\":TRUE}",
		"{\"a\":tru",
		"{\"a\":\"",
		"{\"a\":\"\\",
		"<html><body>Bad Gateway</body></html>",
		"\xef\xbb\xbf{}",
	};
	struct text nul = TEXT("{\"a\":\0001}"), tail = TEXT("{}\0");
	struct web_answer *a;
	char *deep = calloc(1, 20010);

	for (size_t i = 0; i < ELEMENTS(bodies); i++)
		check_failure(service, 200, bodies[i], "UNKNOWN_ERROR", service->name, false);
	a = read_body(service, 200, nul);
	assert_true(web_answer_is_failure(a));
	web_answer_unref(a);
	a = read_body(service, 200, tail);
	assert_true(web_answer_is_failure(a));
	web_answer_unref(a);
	memset(deep, '[', 10000);
	memset(deep + 10000, ']', 10000);
	check_failure(service, 200, deep, "UNKNOWN_ERROR", "brackets", false);
	deep[0] = '{';
	memcpy(deep, "{\"a\":", 5);
	deep[19999] = '}';
	check_failure(service, 200, deep, "UNKNOWN_ERROR", "brackets", false);
	free(deep);
}

/* Each way of the service to say the key again is "***"; and it is not cut into pieces. */
static inline void
check_echo(const struct service *service, unsigned int http_status, const char *head, const char *tail)
{
	static const char *const echoes[] = {
		KEY,
		"HerdSyTEST%2D0123456789%5fabcdefghijklmnopq",
		"%48erdSyTEST-0123456789_abcdefghijklmnop%71",
	};
	char body[4096], message[1024];

	for (size_t i = 0; i < ELEMENTS(echoes); i++) {
		for (size_t before = 200; before < 260; before++) {
			struct json_object *object;

			memset(message, 'x', before);
			snprintf(message + before, sizeof(message) - before, "%s after", echoes[i]);
			snprintf(body, sizeof(body), "%s%s%s", head, message, tail);
			object = answer_to(service, http_status, body);
			assert_null(strstr(json_at(object, "/error_message"), "HerdSy"));
			assert_null(strstr(json_at(object, "/error_message"), "erdSyTEST"));
			assert_true(strlen(json_at(object, "/error_message")) <= SERVICE_MESSAGE_BYTES + 2);
			json_object_put(object);
		}
		snprintf(message, sizeof(message), "the key %s is bad", echoes[i]);
		snprintf(body, sizeof(body), "%s%s%s", head, message, tail);
		check_failure(service, http_status, body, "REQUEST_DENIED", "the key *** is bad", false);
	}
}

static inline struct text
url_of(const struct service_request *r)
{
	assert_int_equal(r->url.bytes[r->url.len], '\0');
	return (struct text){r->url.bytes, r->url.len};
}

static inline struct text
body_of(const struct service_request *r)
{
	return (struct text){r->body.bytes, r->body.len};
}

static inline void
check_header(const struct service_request *r, const char *name, const char *value)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (text_equal(r->headers[i].name, text_of(name))) {
			assert_text_equal(r->headers[i].value, text_of(value));
			return;
		}
	fail_msg("no header %s", name);
}

static inline int
free_out(void **state)
{
	(void)state;
	buffer_done(&out);
	return 0;
}

#endif
