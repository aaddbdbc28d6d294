/*
 * Fuzzes both ends of a control socket. What a client sends: one reply line at
 * most, valid JSON, within its bound, however it comes in pieces. What a
 * program replies: taken apart without reading past it.
 */
#include <assert.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/program.h"
#include "net/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct control_identity identity = {"member", "Alpha", "/herd", "1.2.3"};

/* Gives the client its own bytes back, as messages and as a status. */
static int
on_request(void *arg, struct text verb, struct text argument, struct json_object *reply)
{
	char text[HERD_CONTROL_REQUEST_MAX + 1];
	struct report report = {0};

	(void)arg;
	assert(verb.len > 0 && verb.len + argument.len < HERD_CONTROL_REQUEST_MAX);
	memcpy(text, argument.at, argument.len);
	text[argument.len] = '\0';
	for (size_t i = 0; i < verb.len; i++) {
		control_add_to_list(reply, "messages", text);
		report_degraded(&report, "%s", text);
		report_note(&report, "%.*s", (int)verb.len, verb.at);
	}
	control_add_report(reply, &report);
	control_set_ok(reply);
	return text_equal(verb, TEXT("status")) ? 0 : CONTROL_E_UNKNOWN;
}

static void
fuzz_request(struct text sent)
{
	struct buffer out = {.max = HERD_CONTROL_REPLY_MAX}, again = {.max = HERD_CONTROL_REPLY_MAX};
	struct text piece = {sent.at, 0};
	struct json_object *reply = NULL;
	int r;

	r = control_answer(&identity, on_request, NULL, sent, &out);
	assert(r == 0 || r == CONTROL_E_MORE);
	if (r == CONTROL_E_MORE) {
		assert(out.len == 0 && sent.len < HERD_CONTROL_REQUEST_MAX);
		return;
	}
	assert(program_parse((struct text){out.bytes, out.len}, &reply) == 0);
	assert(memchr(out.bytes, '\n', out.len) == out.bytes + out.len - 1);
	json_object_put(reply);

	/* Byte by byte, as far as a client's buffer goes, it is the same. */
	for (r = CONTROL_E_MORE; r == CONTROL_E_MORE && piece.len < sent.len; piece.len++)
		r = control_answer(&identity, on_request, NULL, (struct text){piece.at, piece.len + 1},
				   &again);
	assert(r == 0 && again.len == out.len && memcmp(again.bytes, out.bytes, out.len) == 0);
	buffer_done(&out);
	buffer_done(&again);
}

static void
fuzz_reply(struct text line)
{
	static const char *const keys[] = {"messages", "degraded", "ok", "status", ""};
	struct program p = {.role = TABLE_MEMBER};
	const char *strings[PROGRAM_STRINGS_MAX];

	if (program_parse(line, &p.reply) != 0) {
		assert(!p.reply);
		return;
	}
	(void)program_is_ok(&p);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct text text = program_string(&p, keys[i]);
		size_t count = program_strings(&p, keys[i], strings);

		assert(text.at && text.len <= line.len && count <= PROGRAM_STRINGS_MAX);
		for (size_t n = 0; n < count; n++)
			assert(strlen(strings[n]) <= line.len);
	}
	json_object_put(p.reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of exactly this size: the sanitizer sees a byte read beyond it. */
	char *bytes = malloc(size ? size : 1);

	assert(bytes);
	if (size)
		memcpy(bytes, data, size);
	if (size && bytes[0] == '{')
		fuzz_reply((struct text){bytes, size});
	else
		fuzz_request((struct text){bytes, size});
	free(bytes);
	return 0;
}
