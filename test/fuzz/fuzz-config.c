/*
 * Fuzzes the settings: any bytes as herd.conf. They are either refused with a
 * printable reason, and change nothing, or make settings that come out the same
 * when they are written down and read again.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "conf/conf.h"
#include "conf/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
count_report(void *user, const char *message)
{
	char again[8192];

	++*(unsigned int *)user;
	assert(utf8_escape(text_of(message), again, sizeof(again)) == strlen(message)); /* fit to print */
}

static int
load(struct conf *conf, struct text bytes, unsigned int *complaints)
{
	const struct conf_source source = {
		.file = "x", .member = "Alpha", .bytes = &bytes, .report = count_report, .user = complaints};

	*complaints = 0;
	return conf_load(conf, &source);
}

static void *
field(struct conf *conf, size_t id)
{
	return (char *)conf + conf_settings[id].offset;
}

static void
append(struct buffer *out, const char *text)
{
	int r = buffer_append(out, text_of(text));

	assert(r == 0);
}

/* Every value as a line of a file, but for those no line can hold: they came from a shorter one. */
static void
write_down(const struct conf *conf, struct buffer *out)
{
	for (enum conf_id id = 0; id < CONF_ID_COUNT; id++) {
		int r;

		append(out, "[");
		append(out, conf_section_name(conf_settings[id].section));
		append(out, conf_settings[id].section == CONF_SECTION_MEMBER ? " Alpha]\n" : "]\n");
		append(out, conf_settings[id].name);
		append(out, "=");
		r = conf_value_format(conf, id, out);
		assert(r == 0);
		append(out, "\n");
	}
}

static void
check_round(struct conf *conf)
{
	CLEANUP(buffer_done) struct buffer text = {.max = 1 << 20};
	CLEANUP(conf_done) struct conf again = {0};
	unsigned int complaints;

	for (enum conf_id id = 0; id < CONF_ID_COUNT; id++) {
		CLEANUP(buffer_done) struct buffer value = {.max = 1 << 20};

		/* A list of several lines may be longer than a line can be. */
		if (conf_value_format(conf, id, &value) != 0 || value.len > 150)
			return;
	}
	write_down(conf, &text);
	if (load(&again, (struct text){text.bytes, text.len}, &complaints) != 0)
		abort();
	for (size_t id = 0; id < CONF_ID_COUNT; id++)
		assert(value_equal(&conf_settings[id], field(conf, id), field(&again, id)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(conf_done) struct conf conf = {0};
	struct text bytes = {(const char *)data, size};
	unsigned int complaints;
	int r;

	r = load(&conf, bytes, &complaints);
	assert((r == 0) == (complaints == 0));
	if (r == 0) {
		check_round(&conf);
	} else {
		assert(r == CONF_E_INVALID);
		assert(!conf.shm && !conf.members);
	}
	return 0;
}
