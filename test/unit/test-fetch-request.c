/* Tests of places/fetch-request.c: what a failure is called, and that no key is in it. */
#include "unit.h"

#include "places/fetch-private.h"

#define SECRET "AIzaSy-not-for-anybody"

/* What the caller reads when curl says this. */
static void
judge(const char *url, const char *says, const char *expected)
{
	const struct fetch_header headers[] = {
		{TEXT("X-Short"), TEXT("abc")},
		{TEXT("X-Goog-Api-Key"), TEXT("header-" SECRET)},
		{TEXT("X-Last"), TEXT("last-value")},
	};
	const struct fetch_question question = {
		.url = url, .headers = headers, .header_count = 3, .answer_max = 100};
	struct fetch_request *r;

	assert_int_equal(request_new(&r, &question), 0);
	snprintf(r->curl_error, sizeof(r->curl_error), "%s", says);
	request_judge(r, CURLE_COULDNT_CONNECT);
	assert_int_equal(r->result, FETCH_UNREACHABLE);
	assert_string_equal(r->error, expected ? expected : curl_easy_strerror(CURLE_COULDNT_CONNECT));
	request_free(r);
}

static void
test_what_curl_says(void **state)
{
	(void)state;
	judge("https://a/b?key=" SECRET, "Failed to connect to a port 443",
	      "Failed to connect to a port 443");
	judge("https://a/b?key=" SECRET, "a line\nand \x80", "a line?and ?");
	judge("https://a/b?key=" SECRET, "", NULL);
}

static void
test_no_key_is_told(void **state)
{
	(void)state;
	judge("https://a/b?key=" SECRET, "no: " SECRET " is bad", NULL);
	judge("https://a/b?key=" SECRET "&x=y", "no: " SECRET, NULL);
	judge("https://a/b?x=y&key=" SECRET, SECRET, NULL);
	judge("https://a/b?" SECRET, "no: " SECRET, NULL);
	judge("https://a/b?x=y&" SECRET "&z", "no: " SECRET, NULL);
	judge("https://a/b", "no: header-" SECRET, NULL);
	judge("https://a/b", "no: last-value", NULL);
}

/* Words that are no key, because they are short, a name, a part of the path or a part of a value only. */
static void
test_other_words_are_told(void **state)
{
	(void)state;
	judge("https://a/path?key=abc", "abc", "abc");
	judge("https://a/path?key=" SECRET, "key", "key");
	judge("https://a/path?longname=" SECRET, "longname", "longname");
	judge("https://a/path?x=y", "/path", "/path");
	judge("https://a/path?key=" SECRET, "AIzaSy", "AIzaSy");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_curl_says),
		cmocka_unit_test(test_no_key_is_told),
		cmocka_unit_test(test_other_words_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
