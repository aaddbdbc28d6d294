/* Tests of places/answer.h: one answer for many askers; against a slow and simple selection. */
#include "unit.h"

#include <errno.h>

#include "../random.h"
#include "service-help.h"

static struct web_draft draft;

static void
add(int32_t lat, int32_t lon, const char *json)
{
	pen_put(&draft.place, text_of(json));
	assert_int_equal(web_draft_keep(&draft, lat, lon, NULL), 0);
}

static struct web_answer *
make(void)
{
	struct web_answer *a = NULL;

	assert_int_equal(web_answer_new(&a, &draft), 0);
	web_draft_done(&draft);
	web_draft_init(&draft);
	return a;
}

static void
test_empty(void **state)
{
	struct web_answer *a = make();

	(void)state;
	json_object_put(put_answer(a, &whole_earth, PLACES_DISTANCE));
	assert_text_equal(((struct text){out.bytes, out.len}),
			  TEXT("{\"html_attributions\":[],\"results\":[],\"status\":\"ZERO_RESULTS\"}"));
	assert_false(web_answer_is_failure(a));
	assert_int_equal(web_answer_count(a), 0);
	assert_text_equal(web_answer_status(a), TEXT("ZERO_RESULTS"));
	assert_int_equal(web_answer_message(a).len, 0);
	assert_null(web_answer_unref(a));
	assert_null(web_answer_unref(NULL));
}

static void
test_orders(void **state)
{
	const struct source_query q = {0, 0, 1000, 20};
	struct web_answer *a;

	(void)state;
	add(30000000, 0, "3");
	add(10000000, 0, "1");
	add(200000000, 0, "20");
	add(-10000000, 0, "-1");
	add(20000000, 0, "2");
	pen_string(&draft.attributions, TEXT("A"));
	pen_put(&draft.members, TEXT(",\"next_page_token\":\"t\""));
	a = make();
	json_object_put(put_answer(a, &q, PLACES_PROMINENCE));
	assert_text_equal(((struct text){out.bytes, out.len}),
			  TEXT("{\"html_attributions\":[\"A\"],\"next_page_token\":\"t\","
			       "\"results\":[3,1,-1,2],\"status\":\"OK\"}"));
	json_object_put(put_answer(a, &q, PLACES_DISTANCE));
	assert_text_equal(((struct text){out.bytes, out.len}),
			  TEXT("{\"html_attributions\":[\"A\"],\"next_page_token\":\"t\","
			       "\"results\":[1,-1,2,3],\"status\":\"OK\"}"));
	web_answer_unref(a);
}

static void
test_references(void **state)
{
	struct web_answer *a;

	(void)state;
	add(0, 0, "{}");
	a = make();
	assert_true(web_answer_size(a) > sizeof(struct web_draft_place) + 2);
	assert_true(web_answer_size(a) < 400);
	assert_ptr_equal(web_answer_ref(a), a);
	assert_text_equal(web_answer_status(a), TEXT("OK"));
	web_answer_unref(a);
	json_object_put(put_answer(a, &whole_earth, PLACES_DISTANCE));
	web_answer_unref(a);
}

/* Neither a place too long nor one too many, and what fits exactly does. */
static void
test_bounds(void **state)
{
	static char text[WEB_HEAD_BYTES + 1];
	struct text longest = {text, WEB_PLACE_BYTES};
	bool kept;

	(void)state;
	memset(text, '1', sizeof(text));
	pen_put(&draft.place, (struct text){text, WEB_PLACE_BYTES + 1});
	assert_int_equal(web_draft_keep(&draft, 0, 0, &kept), 0);
	assert_false(kept);
	assert_int_equal(web_draft_keep(&draft, 0, 0, &kept), 0); /* nothing was written */
	assert_false(kept);
	for (int i = 0; i < WEB_PLACES_MAX + 3; i++) {
		pen_put(&draft.place, longest);
		assert_int_equal(web_draft_keep(&draft, 0, 0, &kept), 0);
		assert_int_equal(kept, i < WEB_PLACES_MAX);
	}
	assert_int_equal(draft.count, WEB_PLACES_MAX);
	web_answer_unref(make());
}

/* The longest answer there can be fits into what is promised; a longer one is refused. */
static void
test_longest(void **state)
{
	static char text[WEB_HEAD_BYTES + 1];
	struct web_answer *a;

	(void)state;
	memset(text, '1', sizeof(text));
	pen_string(&draft.attributions, (struct text){text, WEB_HEAD_BYTES - 64 - 2 - 2000});
	pen_put(&draft.members, TEXT(",\"a\":"));
	pen_put(&draft.members, (struct text){text, 2000 - 5});
	a = make();
	json_object_put(put_answer(a, &whole_earth, PLACES_DISTANCE));
	web_answer_unref(a);
	for (int i = 0; i < PLACES_BOUND_MAX; i++) {
		pen_put(&draft.place, (struct text){text, WEB_PLACE_BYTES});
		assert_int_equal(web_draft_keep(&draft, 0, 0, NULL), 0);
	}
	pen_string(&draft.attributions, (struct text){text, WEB_HEAD_BYTES - 64 - 2});
	a = make();
	out.len = 0;
	assert_int_equal(web_answer_put(a, &whole_earth, PLACES_DISTANCE, &out), 0);
	assert_true(out.len <= WEB_ANSWER_BYTES && out.len > WEB_ANSWER_BYTES - 3000);
	web_answer_unref(a);
	pen_string(&draft.attributions, (struct text){text, WEB_HEAD_BYTES - 64 - 1});
	assert_int_equal(web_answer_new(&a, &draft), -EMSGSIZE);
	web_draft_done(&draft);
	web_draft_init(&draft);
	memset(text, 1, sizeof(text));
	for (int i = 0; i < 4; i++)
		pen_string(&draft.members, (struct text){text, sizeof(text)});
	assert_true(draft.members.full);
	assert_int_equal(web_answer_new(&a, &draft), -EMSGSIZE);
	web_draft_done(&draft);
	web_draft_init(&draft);
}

static void
test_failure(void **state)
{
	static char longest[2000];
	struct web_answer *a = NULL;
	struct json_object *o;

	(void)state;
	assert_int_equal(web_answer_failure(&a, TEXT("REQUEST_DENIED"), "%s \"%d\"\n\xff", "no", 7), 0);
	assert_true(web_answer_is_failure(a));
	assert_text_equal(web_answer_status(a), TEXT("REQUEST_DENIED"));
	assert_text_equal(web_answer_message(a), TEXT("no \"7\"\n\xff"));
	o = put_answer(a, &whole_earth, PLACES_DISTANCE);
	assert_json(o, "/error_message", "\"no \\\"7\\\"\\n\xef\xbf\xbd\"");
	assert_json(o, "/status", "\"REQUEST_DENIED\"");
	json_object_put(o);
	web_answer_unref(a);
	memset(longest, 1, sizeof(longest) - 1);
	assert_int_equal(web_answer_failure(&a, TEXT("UNKNOWN_ERROR"), "%s", longest), 0);
	assert_int_equal(web_answer_message(a).len, WEB_MESSAGE_BYTES - 1);
	json_object_put(put_answer(a, &whole_earth, PLACES_DISTANCE));
	web_answer_unref(a);
}

/* It fits exactly, or nothing is left behind. */
static void
test_full_buffer(void **state)
{
	struct web_answer *a, *failure = NULL;
	size_t whole;

	(void)state;
	add(0, 0, "{\"a\":1}");
	add(0, 0, "{\"b\":1}");
	a = make();
	assert_int_equal(web_answer_failure(&failure, TEXT("UNKNOWN_ERROR"), "x"), 0);
	json_object_put(put_answer(a, &whole_earth, PLACES_DISTANCE));
	whole = out.len;
	for (size_t max = 3; max <= whole + 3; max++) {
		struct buffer small = {.max = max};
		int want = max == whole + 3 ? 0 : -ENOBUFS;

		assert_int_equal(buffer_append(&small, TEXT("AT ")), 0);
		assert_int_equal(web_answer_put(a, &whole_earth, PLACES_PROMINENCE, &small), want);
		assert_int_equal(small.len, want == 0 ? whole + 3 : 3);
		buffer_done(&small);
	}
	struct buffer tiny = {.max = 20};

	assert_int_equal(web_answer_put(failure, &whole_earth, PLACES_PROMINENCE, &tiny), -ENOBUFS);
	assert_int_equal(tiny.len, 0);
	buffer_done(&tiny);
	web_answer_unref(failure);
	web_answer_unref(a);
}

/* --- against a model ------------------------------------------------------------- */

struct model {
	size_t count;
	struct {
		int32_t lat, lon;
		double distance_m;
		bool taken;
	} place[300];
};

/* The index of the one that comes next, or -1. */
static int
model_next(struct model *m, const struct source_query *q, enum places_rank rank)
{
	int best = -1;

	for (size_t i = 0; i < m->count; i++) {
		if (m->place[i].taken || m->place[i].distance_m > q->radius_km * 1000)
			continue;
		if (best < 0 ||
		    (rank == PLACES_DISTANCE && m->place[i].distance_m < m->place[best].distance_m))
			best = (int)i;
	}
	if (best >= 0)
		m->place[best].taken = true;
	return best;
}

static void
check_against(struct model *m, const struct web_answer *a, const struct source_query *q,
	      enum places_rank rank)
{
	struct json_object *o = put_answer(a, q, rank);
	size_t count = count_results(o);
	char path[32], want[16];

	for (size_t i = 0; i < m->count; i++) {
		m->place[i].taken = false;
		m->place[i].distance_m = places_distance_m(q->lat_e7, q->lon_e7, m->place[i].lat,
							   m->place[i].lon);
	}
	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/results/%zu", i);
		snprintf(want, sizeof(want), "%d", model_next(m, q, rank));
		assert_json(o, path, want);
	}
	if (count < q->bound && count < 20)
		assert_int_equal(model_next(m, q, rank), -1);
	assert_true(count <= q->bound && count <= 20);
	json_object_put(o);
}

static void
test_model(void **state)
{
	uint64_t seed = random_seed(1);
	struct model m;

	(void)state;
	for (int round = 0; round < 60; round++) {
		struct web_answer *a;

		m.count = random_below(&seed, ELEMENTS(m.place));
		for (size_t i = 0; i < m.count; i++) {
			char text[24];

			/* A coarse grid: many are equally far. */
			m.place[i].lat = ((int32_t)random_below(&seed, 11) - 5) * 10000;
			m.place[i].lon = ((int32_t)random_below(&seed, 11) - 5) * 10000;
			snprintf(text, sizeof(text), "%zu", i);
			add(m.place[i].lat, m.place[i].lon, text);
		}
		a = make();
		for (int i = 0; i < 40; i++) {
			struct source_query q = {((int32_t)random_below(&seed, 5) - 2) * 10000, 0,
						 (double)random_below(&seed, 1200) / 1000,
						 (unsigned int)random_below(&seed, 23)};

			check_against(&m, a, &q, PLACES_DISTANCE);
			check_against(&m, a, &q, PLACES_PROMINENCE);
		}
		web_answer_unref(a);
	}
}

static int
set_up(void **state)
{
	(void)state;
	web_draft_init(&draft);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),	    cmocka_unit_test(test_orders),
		cmocka_unit_test(test_references),  cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_longest),	    cmocka_unit_test(test_failure),
		cmocka_unit_test(test_full_buffer), cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, set_up, free_out);
}
