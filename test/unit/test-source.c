/*
 * Tests of places/source.h: a places file that comes, is swapped, goes bad, is
 * cut short and goes away while lookups come in; and any other provider.
 */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/places.h"
#include "net/loop.h"
#include "places/source.h"

enum { DEADLINE_S = 20 };

static char folder[] = "/tmp/test-source.XXXXXX";
static char path[sizeof(folder) + 16];
static char other_path[sizeof(folder) + 16];
static struct loop *loop;
static struct source *source;
static struct buffer built_in = {.max = 1 << 20}; /* a places file in memory */

/* cmocka takes SIGBUS for itself while a test runs. */
static struct sigaction guard_action;

/* What the source told, newest last. */
static struct {
	unsigned int count[SOURCE_EVENT_COUNT];
	char text[512];
} told;

static void
noticed(void *arg, enum source_event event, const char *text)
{
	assert_ptr_equal(arg, &told);
	told.count[event]++;
	snprintf(told.text, sizeof(told.text), "%s", text);
}

static struct source_options
options_for(const char *file)
{
	return (struct source_options){
		.file = file,
		.built_in = {built_in.bytes, built_in.len},
		.noticed = noticed,
		.noticed_arg = &told,
	};
}

static const char *const only_moon[] = {"moon", NULL};
static const char *const only_local[] = {"local", NULL};

/* --- files -------------------------------------------------------------------------- */

/* A places file with one place of this name near 0, 0, and `more` somewhere else. */
static void
write_places(const char *to, const char *name, size_t more)
{
	struct places_row row = {.name = text_of(name), .prominence = 5};
	struct places_build *b;

	assert_int_equal(places_build_new(&b), 0);
	assert_int_equal(places_build_add(b, &row), 0);
	row.lat_e7 = 500000000;
	for (size_t i = 0; i < more; i++) {
		row.lon_e7 = (int32_t)i;
		assert_int_equal(places_build_add(b, &row), 0);
	}
	assert_int_equal(places_build_write(b, to), 0);
	places_build_free(b);
}

static void
write_garbage(const char *to)
{
	char temporary[sizeof(path) + 4];
	FILE *file;

	snprintf(temporary, sizeof(temporary), "%s.new", to);
	file = fopen(temporary, "we");
	assert_non_null(file);
	fprintf(file, "%0200d", 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(temporary, to), 0);
}

static void
read_built_in(void)
{
	FILE *file;

	write_places(path, "built-in", 0);
	file = fopen(path, "re");
	assert_non_null(file);
	built_in.len = fread(buffer_reserve(&built_in, 4096), 1, 4096, file);
	assert_true(built_in.len > 0 && built_in.len < 4096);
	fclose(file);
	unlink(path);
}

/* --- lookups -------------------------------------------------------------------------- */

static struct {
	unsigned int count;
	char json[2048];
} answers;

static void
answered(void *arg, struct text json)
{
	assert_ptr_equal(arg, &answers);
	answers.count++;
	snprintf(answers.json, sizeof(answers.json), "%.*s", (int)json.len, json.at);
}

static void
never_answered(void *arg, struct text json)
{
	(void)arg;
	(void)json;
	fail();
}

static const struct source_query at_zero = {0, 0, 1, 5};

/* The JSON that comes at once. */
static const char *
search_now(void)
{
	static struct buffer out = {.max = 4096};
	struct source_request *request;

	buffer_done(&out);
	assert_int_equal(source_search(source, &at_zero, &out, &request, never_answered, NULL), 0);
	assert_int_equal(buffer_append(&out, (struct text){"", 1}), 0);
	snprintf(answers.json, sizeof(answers.json), "%s", out.bytes);
	buffer_done(&out);
	return answers.json;
}

static struct source_request *
search_later(void)
{
	struct buffer out = {.max = 4096};
	struct source_request *request = NULL;

	assert_int_equal(source_search(source, &at_zero, &out, &request, answered, &answers),
			 SOURCE_E_PENDING);
	assert_int_equal(out.len, 0);
	assert_non_null(request);
	buffer_done(&out);
	return request;
}

static bool
names(const char *json, const char *name)
{
	char member[64];

	snprintf(member, sizeof(member), "\"name\":\"%s\"", name);
	return strstr(json, member) != NULL;
}

/* --- the loop -------------------------------------------------------------------------- */

static void
run_until(const unsigned int *counter, unsigned int value)
{
	int64_t until_ns = clock_monotonic_ns() + DEADLINE_S * CLOCK_SECOND_NS;

	while (*counter < value) {
		assert_true(clock_monotonic_ns() < until_ns);
		event_base_loop(loop_base(loop), EVLOOP_ONCE);
	}
}

/* As on SIGHUP: the file is looked at now, not when a second has gone by. */
static void
look_now(const struct source_options *options)
{
	assert_int_equal(source_reload(source, options), 0);
}

static int
set_up(void **state)
{
	(void)state;
	memset(&told, 0, sizeof(told));
	memset(&answers, 0, sizeof(answers));
	unlink(path);
	unlink(other_path);
	return loop_new(&loop);
}

static int
tear_down(void **state)
{
	(void)state;
	source = source_free(source);
	loop = loop_free(loop);
	return 0;
}

static void
start(const struct source_options *options)
{
	/* In a test's body, after cmocka has set its own handlers. */
	sigaction(SIGBUS, &guard_action, NULL);
	assert_int_equal(source_new(&source, loop_base(loop), options), 0);
}

static size_t
entries_of(const char *name)
{
	DIR *dir = opendir(name);
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* --- local ------------------------------------------------------------------------------ */

static void
test_no_file(void **state)
{
	struct source_options options = options_for(path);

	(void)state;
	start(&options);
	assert_int_equal(told.count[SOURCE_BUILT_IN], 1);
	assert_non_null(strstr(told.text, path));
	assert_true(names(search_now(), "built-in"));
	/* Nor a folder, and no built-in either. */
	source_free(source);
	options = options_for("/nonexistent/places");
	options.built_in = (struct text){NULL, 0};
	start(&options);
	assert_non_null(strstr(search_now(), "\"status\":\"UNKNOWN_ERROR\""));
	assert_non_null(strstr(answers.json, "\"error_message\":"));
}

static void
test_only_built_in(void **state)
{
	struct source_options options = options_for(NULL);

	(void)state;
	start(&options);
	assert_true(names(search_now(), "built-in"));
	options.built_in.len--;
	source_free(source);
	source = NULL;
	assert_int_equal(source_new(&source, loop_base(loop), &options), -EBADMSG);
	assert_null(source);
}

/* Lookups that come before the file is ready wait, keep their order, and can be canceled. */
static void
test_first_file(void **state)
{
	struct source_options options = options_for(path);
	struct source_request *request;

	(void)state;
	write_places(path, "first", 100000);
	start(&options);
	search_later();
	request = search_later();
	search_later();
	source_cancel(request);
	source_cancel(NULL);
	run_until(&answers.count, 2);
	assert_true(names(answers.json, "first"));
	assert_int_equal(told.count[SOURCE_LOADED], 1);
	assert_non_null(strstr(told.text, "100001"));
	assert_true(names(search_now(), "first"));
	assert_int_equal(answers.count, 2);
}

static unsigned int next_in_order;

static void
answered_in_order(void *arg, struct text json)
{
	(void)json;
	assert_int_equal((uintptr_t)arg, next_in_order);
	next_in_order++;
}

static void
test_many_wait(void **state)
{
	enum { MANY = 1000 };
	struct source_options options = options_for(path);
	struct buffer out = {.max = 4096};
	struct source_request *request;

	(void)state;
	next_in_order = 0;
	write_places(path, "first", 10);
	start(&options);
	for (uintptr_t i = 0; i < MANY; i++)
		assert_int_equal(
			source_search(source, &at_zero, &out, &request, answered_in_order, (void *)i),
			SOURCE_E_PENDING);
	run_until(&next_in_order, 1);
	assert_true(next_in_order < MANY); /* not all in one turn */
	assert_true(names(search_now(), "first"));
	run_until(&next_in_order, MANY);
}

/* Found by the timer alone; until then, and while it loads, the old one answers at once. */
static void
test_swap(void **state)
{
	struct source_options options = options_for(path);
	int64_t until_ns = clock_monotonic_ns() + DEADLINE_S * CLOCK_SECOND_NS;

	(void)state;
	write_places(path, "old", 1000);
	start(&options);
	run_until(&told.count[SOURCE_LOADED], 1);
	write_places(path, "new", 200000);
	assert_true(names(search_now(), "old"));
	while (!names(search_now(), "new")) {
		assert_true(names(answers.json, "old"));
		assert_true(clock_monotonic_ns() < until_ns);
		event_base_loop(loop_base(loop), EVLOOP_ONCE);
	}
	assert_int_equal(told.count[SOURCE_LOADED], 2);
	assert_int_equal(told.count[SOURCE_BAD_FILE], 0);
}

/* A file that comes late, is replaced by a bad one, by a good one, and removed. */
static void
test_life_of_a_file(void **state)
{
	struct source_options options = options_for(path);

	(void)state;
	start(&options);
	assert_true(names(search_now(), "built-in"));
	write_places(path, "first", 10);
	look_now(&options);
	run_until(&told.count[SOURCE_LOADED], 1);
	assert_true(names(search_now(), "first"));

	write_garbage(path);
	look_now(&options);
	run_until(&told.count[SOURCE_BAD_FILE], 1);
	assert_non_null(strstr(told.text, "no places file of this version"));
	assert_non_null(strstr(told.text, "keeping"));
	assert_true(names(search_now(), "first"));

	write_places(path, "second", 10);
	look_now(&options);
	run_until(&told.count[SOURCE_LOADED], 2);
	assert_true(names(search_now(), "second"));

	assert_int_equal(unlink(path), 0);
	look_now(&options);
	run_until(&told.count[SOURCE_BUILT_IN], 2);
	assert_true(names(search_now(), "built-in"));

	write_places(path, "third", 10);
	look_now(&options);
	run_until(&told.count[SOURCE_LOADED], 3);
	assert_true(names(search_now(), "third"));
	assert_int_equal(told.count[SOURCE_BAD_FILE], 1);
}

static void
test_bad_from_the_start(void **state)
{
	struct source_options options = options_for(path);

	(void)state;
	write_garbage(path);
	start(&options);
	search_later();
	run_until(&answers.count, 1);
	assert_true(names(answers.json, "built-in"));
	assert_int_equal(told.count[SOURCE_BAD_FILE], 1);
	assert_non_null(strstr(told.text, "using the built-in places"));
	/* A folder in its place, then nothing that can be read. */
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	look_now(&options);
	run_until(&told.count[SOURCE_BAD_FILE], 2);
	assert_true(names(search_now(), "built-in"));
	rmdir(path);
}

/* Every byte count to which a file in use is cut short in place. */
static void
test_cut_short(void **state)
{
	struct source_options options = options_for(path);

	(void)state;
	write_places(path, "whole", 100000);
	start(&options);
	look_now(&options);
	run_until(&told.count[SOURCE_LOADED], 1);
	assert_true(names(search_now(), "whole"));
	assert_int_equal(truncate(path, 4096), 0);
	assert_true(names(search_now(), "built-in"));
	assert_int_equal(told.count[SOURCE_BAD_FILE], 1);
	assert_non_null(strstr(told.text, "cut short"));
	look_now(&options);
	run_until(&told.count[SOURCE_BAD_FILE], 2); /* it is looked at again, and still bad */
	write_places(path, "mended", 10);
	look_now(&options);
	run_until(&told.count[SOURCE_LOADED], 2);
	assert_true(names(search_now(), "mended"));
}

static void
test_reload(void **state)
{
	struct source_options options = options_for(path);
	struct source_query two = {500000000, 0, 1, 2};
	struct buffer out = {.max = 4096};
	struct source_request *request;

	(void)state;
	write_places(path, "one", 100);
	write_places(other_path, "two", 100);
	start(&options);
	search_later(); /* still answered, from what is asked for by then */
	options.file = other_path;
	assert_int_equal(source_reload(source, &options), 0);
	run_until(&answers.count, 1);
	assert_true(names(answers.json, "two"));
	options.file = path;
	assert_int_equal(source_reload(source, &options), 0);
	run_until(&told.count[SOURCE_LOADED], 2);
	assert_true(names(search_now(), "one"));
	options.rank = PLACES_DISTANCE;
	assert_int_equal(source_reload(source, &options), 0);
	assert_int_equal(source_search(source, &two, &out, &request, never_answered, NULL), 0);
	buffer_done(&out);
	options.file = "";
	assert_int_equal(source_reload(source, &options), 0);
	assert_true(names(search_now(), "built-in"));
	options.chain = only_moon;
	assert_int_equal(source_reload(source, &options), -ENOENT);
	assert_true(names(search_now(), "built-in"));
}

static void
test_rank(void **state)
{
	struct source_options options = options_for(path);
	struct places_row row = {.name = TEXT("near"), .lat_e7 = 1000, .prominence = 1};
	struct places_build *b;

	(void)state;
	assert_int_equal(places_build_new(&b), 0);
	assert_int_equal(places_build_add(b, &row), 0);
	row = (struct places_row){.name = TEXT("known"), .lat_e7 = 2000, .prominence = 2};
	assert_int_equal(places_build_add(b, &row), 0);
	assert_int_equal(places_build_write(b, path), 0);
	places_build_free(b);
	start(&options);
	run_until(&told.count[SOURCE_LOADED], 1);
	assert_true(strstr(search_now(), "known") < strstr(answers.json, "near"));
	options.rank = PLACES_DISTANCE;
	assert_int_equal(source_reload(source, &options), 0);
	assert_true(strstr(search_now(), "known") > strstr(answers.json, "near"));
}

static void
test_full_output(void **state)
{
	struct source_options options = options_for(NULL);
	struct buffer out = {.max = 100};
	struct source_request *request;

	(void)state;
	start(&options);
	assert_int_equal(buffer_append(&out, TEXT("before")), 0);
	assert_int_equal(source_search(source, &at_zero, &out, &request, never_answered, NULL), -ENOBUFS);
	assert_int_equal(out.len, 6);
	buffer_done(&out);
}

/* Freed at any moment: while it loads, with lookups waiting. Nothing stays behind. */
static void
test_freed_at_any_moment(void **state)
{
	struct source_options options = options_for(path);
	struct buffer out = {.max = 4096};
	struct source_request *request;
	size_t descriptors = entries_of("/proc/self/fd");
	size_t threads = entries_of("/proc/self/task");

	(void)state;
	write_places(path, "big", 300000);
	for (int i = 0; i < 20; i++) {
		start(&options);
		for (int k = 0; k < 3; k++)
			assert_int_equal(
				source_search(source, &at_zero, &out, &request, never_answered, NULL),
				SOURCE_E_PENDING);
		usleep((useconds_t)i * 300);
		source = source_free(source);
	}
	assert_null(source_free(NULL));
	assert_int_equal(entries_of("/proc/self/fd"), descriptors);
	/* A thread that was waited for may be seen on its way out for a moment. */
	for (int i = 0; i < 10000 && entries_of("/proc/self/task") != threads; i++)
		usleep(1000);
	assert_int_equal(entries_of("/proc/self/task"), threads);
}

/* --- another provider --------------------------------------------------------------------- */

static struct {
	int result; /* of search(), when negative */
	unsigned int made, freed, canceled, reloaded;
	struct source *source;
	struct source_request *held[4];
	size_t count;
} moon;

static int
moon_new(void **ret_state, struct source *s, struct event_base *base, const struct source_options *options)
{
	(void)base;
	(void)options;
	if (moon.result < 0)
		return moon.result;
	moon.made++;
	moon.source = s;
	moon.count = 0;
	*ret_state = &moon;
	return 0;
}

static int
moon_search(void *state, const struct source_query *query, struct buffer *out,
	    struct source_request **ret_request)
{
	int r;

	assert_ptr_equal(state, &moon);
	assert_int_equal(buffer_append(out, TEXT("half")), 0);
	if (moon.result < 0)
		return moon.result;
	out->len -= 4;
	r = source_request_new(ret_request, moon.source, query, &moon.made);
	assert_int_equal(r, 0);
	moon.held[moon.count++] = *ret_request;
	return SOURCE_E_PENDING;
}

static void
moon_cancel(void *state, struct source_request *request)
{
	size_t i = 0;

	assert_ptr_equal(state, &moon);
	assert_ptr_equal(source_request_tag(request), &moon.made);
	while (moon.held[i] != request)
		i++;
	moon.held[i] = NULL;
	moon.canceled++;
}

static int
moon_reload(void *state, const struct source_options *options)
{
	(void)state;
	(void)options;
	moon.reloaded++;
	return moon.result;
}

static void
moon_free(void *state)
{
	assert_ptr_equal(state, &moon);
	moon.freed++;
}

static const struct source_provider moon_provider = {
	.name = "moon",
	.new = moon_new,
	.search = moon_search,
	.cancel = moon_cancel,
	.reload = moon_reload,
	.free = moon_free,
};
static const struct source_provider *const with_moon[] = {&source_local, &moon_provider, NULL};

static void
test_other_provider(void **state)
{
	struct source_options options = options_for(NULL);
	struct buffer out = {.max = 4096};
	struct source_request *request;

	(void)state;
	memset(&moon, 0, sizeof(moon));
	options.chain = only_moon;
	assert_int_equal(source_new(&source, loop_base(loop), &options), -ENOENT);
	options.providers = with_moon;
	moon.result = -EACCES;
	assert_int_equal(source_new(&source, loop_base(loop), &options), -EACCES);
	moon.result = 0;
	start(&options);
	request = search_later();
	assert_int_equal(source_request_query(request)->bound, at_zero.bound);
	source_request_answer(request, TEXT("{\"a\":1}"));
	assert_int_equal(answers.count, 1);
	assert_string_equal(answers.json, "{\"a\":1}");
	source_cancel(search_later());
	assert_int_equal(moon.canceled, 1);
	moon.result = -ENOMEM;
	assert_int_equal(source_search(source, &at_zero, &out, &request, never_answered, NULL), -ENOMEM);
	assert_int_equal(out.len, 0);
	buffer_done(&out);
	assert_int_equal(source_reload(source, &options), -ENOMEM);
	moon.result = 0;
	assert_int_equal(source_reload(source, &options), 0);
	assert_int_equal(moon.reloaded, 2);
	assert_int_equal(moon.freed, 0);
	search_later(); /* dropped with the source */
	source = source_free(source);
	assert_int_equal(answers.count, 1);
	assert_int_equal(moon.freed, 1);
}

static struct source_request *second;

static void
cancel_second(void *arg, struct text json)
{
	(void)arg;
	assert_non_null(memmem(json.at, json.len, "built-in", strlen("built-in")));
	answers.count++;
	source_cancel(second);
}

/* What the old provider leaves open the new one answers; a failed change changes nothing. */
static void
test_change_provider(void **state)
{
	struct source_options options = options_for(NULL);
	struct source_request *first;
	struct buffer out = {.max = 4096};

	(void)state;
	memset(&moon, 0, sizeof(moon));
	options.chain = only_moon;
	options.providers = with_moon;
	start(&options);
	second = search_later(); /* the newest is given up first */
	assert_int_equal(source_search(source, &at_zero, &out, &first, cancel_second, NULL),
			 SOURCE_E_PENDING);
	buffer_done(&out);
	options.chain = only_local;
	options.built_in.len--;
	assert_int_equal(source_reload(source, &options), -EBADMSG);
	assert_int_equal(answers.count, 0);
	options.built_in.len++;
	assert_int_equal(source_reload(source, &options), 0);
	assert_int_equal(answers.count, 1);
	assert_int_equal(moon.canceled, 2);
	assert_int_equal(moon.freed, 1);
	assert_true(names(search_now(), "built-in"));
	options.chain = only_moon;
	assert_int_equal(source_reload(source, &options), 0);
	search_later();
	options.chain = NULL;
	assert_int_equal(source_reload(source, &options), 0);
	assert_int_equal(answers.count, 2);
	assert_true(names(answers.json, "built-in"));
}

/* --- a chain of them ----------------------------------------------------------------------- */

/* Two providers that do as they are told. */
static struct star {
	int result; /* of search() */
	const char *json;
	unsigned int asked, canceled, freed;
	struct source *source;
	struct source_request *held;
} stars[2];

static int
star_new(struct star *star, void **ret_state, struct source *s)
{
	star->source = s;
	*ret_state = star;
	return 0;
}

static int
first_new(void **ret_state, struct source *s, struct event_base *base, const struct source_options *options)
{
	(void)base;
	(void)options;
	return star_new(&stars[0], ret_state, s);
}

static int
second_new(void **ret_state, struct source *s, struct event_base *base, const struct source_options *options)
{
	(void)base;
	(void)options;
	return star_new(&stars[1], ret_state, s);
}

static int
star_search(void *state, const struct source_query *query, struct buffer *out,
	    struct source_request **ret_request)
{
	struct star *star = state;

	star->asked++;
	if (star->result == SOURCE_E_PENDING) {
		assert_int_equal(source_request_new(ret_request, star->source, query, star), 0);
		star->held = *ret_request;
	} else {
		assert_int_equal(buffer_append(out, text_of(star->json)), 0);
	}
	return star->result;
}

static void
star_cancel(void *state, struct source_request *request)
{
	struct star *star = state;

	assert_ptr_equal(request, star->held);
	assert_ptr_equal(source_request_tag(request), star);
	star->held = NULL;
	star->canceled++;
}

static int
star_reload(void *state, const struct source_options *options)
{
	(void)state;
	(void)options;
	return 0;
}

static void
star_describe(void *state, struct source_state *ret)
{
	const struct star *star = state;

	ret->asked = star->asked;
}

static void
star_free(void *state)
{
	struct star *star = state;

	star->freed++;
}

#define STAR(title, make)                                                                     \
	{                                                                                     \
		.name = (title), .new = (make), .search = star_search, .cancel = star_cancel, \
		.reload = star_reload, .describe = star_describe, .free = star_free           \
	}
static const struct source_provider first_star = STAR("first", first_new);
static const struct source_provider second_star = STAR("second", second_new);
static const struct source_provider *const with_stars[] = {&source_local, &first_star, &second_star, NULL};
static const char *const three[] = {"first", "second", "local", NULL};
static const char *const two[] = {"first", "second", NULL};

static void
start_chain(const char *const *chain, int first, int second_result)
{
	struct source_options options = options_for(NULL);

	memset(stars, 0, sizeof(stars));
	stars[0].result = first;
	stars[0].json = "{\"one\"}";
	stars[1].result = second_result;
	stars[1].json = "{\"two\"}";
	options.chain = chain;
	options.providers = with_stars;
	start(&options);
}

static void
test_chain_at_once(void **state)
{
	struct source_state states[3];

	(void)state;
	start_chain(three, 0, 0);
	assert_string_equal(search_now(), "{\"one\"}");
	assert_int_equal(stars[1].asked, 0);
	stars[0].result = SOURCE_E_FAILED;
	assert_string_equal(search_now(), "{\"two\"}");
	stars[1].result = SOURCE_E_FAILED;
	assert_true(names(search_now(), "built-in"));
	assert_int_equal(source_states(source, states, 3), 2);
	assert_string_equal(states[0].provider, "first");
	assert_int_equal(states[0].asked, 3);
	assert_int_equal(states[1].asked, 2);
	assert_int_equal(source_states(source, states, 1), 1);
}

static void
test_chain_all_fail(void **state)
{
	struct source_request *request;

	(void)state;
	start_chain(two, SOURCE_E_FAILED, SOURCE_E_FAILED);
	assert_string_equal(search_now(), "{\"one\"}");
	stars[1].result = SOURCE_E_PENDING;
	request = search_later();
	assert_ptr_equal(request, stars[1].held);
	source_request_fail(request, TEXT("{\"late\"}"));
	assert_int_equal(answers.count, 1);
	assert_string_equal(answers.json, "{\"one\"}");
	stars[0].result = SOURCE_E_PENDING;
	source_request_fail(search_later(), TEXT("{\"late\"}"));
	assert_int_equal(answers.count, 1); /* the second one has it now */
	source_request_fail(stars[1].held, TEXT("{\"later\"}"));
	assert_int_equal(answers.count, 2);
	assert_string_equal(answers.json, "{\"late\"}");
}

static void
test_chain_goes_on(void **state)
{
	struct source_request *request;

	(void)state;
	start_chain(three, SOURCE_E_PENDING, SOURCE_E_PENDING);
	request = search_later();
	source_request_fail(request, TEXT("{\"late\"}"));
	assert_ptr_equal(stars[1].held, request);
	source_request_fail(request, TEXT("{\"later\"}"));
	assert_int_equal(answers.count, 1);
	assert_true(names(answers.json, "built-in"));
	request = search_later();
	source_request_fail(request, TEXT("{\"late\"}"));
	source_request_answer(request, TEXT("{}"));
	assert_int_equal(answers.count, 2);
	request = search_later();
	source_request_fail(request, TEXT("{\"late\"}"));
	source_cancel(request);
	assert_int_equal(stars[0].canceled, 0);
	assert_int_equal(stars[1].canceled, 1);
	assert_int_equal(answers.count, 2);
}

/* Who stays in the chain keeps its requests. */
static void
test_chain_changes(void **state)
{
	static const char *const turned[] = {"local", "first", NULL};
	static const char *const doubled[] = {"local", "first", "local", NULL};
	struct source_options options = options_for(NULL);
	struct source_request *kept;

	(void)state;
	start_chain(two, SOURCE_E_PENDING, SOURCE_E_PENDING);
	kept = search_later();
	source_request_fail(search_later(), TEXT("{}"));
	options.providers = with_stars;
	options.chain = doubled;
	assert_int_equal(source_reload(source, &options), -EEXIST);
	options.chain = turned;
	assert_int_equal(source_reload(source, &options), 0);
	assert_int_equal(stars[1].canceled, 1);
	assert_int_equal(stars[1].freed, 1);
	assert_int_equal(stars[0].freed, 0);
	assert_int_equal(answers.count, 1); /* that of the second, by the new chain */
	assert_true(names(answers.json, "built-in"));
	source_request_fail(kept, TEXT("{\"gone\"}"));
	assert_int_equal(answers.count, 2);
	assert_string_equal(answers.json, "{\"gone\"}");
	assert_true(names(search_now(), "built-in"));
}

/* A request may be handed on by one reload after the other. */
static void
test_chain_changes_again(void **state)
{
	static const char *const second_alone[] = {"second", NULL};
	static const char *const first_alone[] = {"first", NULL};
	struct source_options options = options_for(NULL);
	struct source_request *request;

	(void)state;
	start_chain(first_alone, SOURCE_E_PENDING, SOURCE_E_PENDING);
	request = search_later();
	options.providers = with_stars;
	options.chain = second_alone;
	assert_int_equal(source_reload(source, &options), 0);
	assert_ptr_equal(stars[1].held, request);
	options.chain = first_alone;
	assert_int_equal(source_reload(source, &options), 0);
	assert_ptr_equal(stars[0].held, request);
	options.chain = only_local;
	assert_int_equal(source_reload(source, &options), 0);
	assert_int_equal(answers.count, 1);
	assert_true(names(answers.json, "built-in"));
}

static int
make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/places.herd", folder);
	snprintf(other_path, sizeof(other_path), "%s/other.herd", folder);
	read_built_in();
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	buffer_done(&built_in);
	unlink(path);
	unlink(other_path);
	return rmdir(folder);
}

#define SOURCE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SOURCE_TEST(test_no_file),
		SOURCE_TEST(test_only_built_in),
		SOURCE_TEST(test_first_file),
		SOURCE_TEST(test_many_wait),
		SOURCE_TEST(test_swap),
		SOURCE_TEST(test_life_of_a_file),
		SOURCE_TEST(test_bad_from_the_start),
		SOURCE_TEST(test_cut_short),
		SOURCE_TEST(test_reload),
		SOURCE_TEST(test_rank),
		SOURCE_TEST(test_full_output),
		SOURCE_TEST(test_freed_at_any_moment),
		SOURCE_TEST(test_other_provider),
		SOURCE_TEST(test_change_provider),
		SOURCE_TEST(test_chain_at_once),
		SOURCE_TEST(test_chain_all_fail),
		SOURCE_TEST(test_chain_goes_on),
		SOURCE_TEST(test_chain_changes),
		SOURCE_TEST(test_chain_changes_again),
	};

	sigaction(SIGBUS, NULL, &guard_action);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
