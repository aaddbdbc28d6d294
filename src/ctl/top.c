/*
 * herdctl top: who does how much, now. On a terminal one page that changes, else pages one after
 * another; with --json a line for each look.
 */
#include "ctl/top.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/pause.h"
#include "ctl/screen.h"

#define INTERVAL_MIN_NS (100 * CLOCK_MSEC_NS)
#define FIRST_NS	(250 * CLOCK_MSEC_NS) /* nobody waits longer for the first page */
#define ASK_NS		(500 * CLOCK_MSEC_NS) /* a helper that is stopped */

struct top {
	struct ctl *ctl;
	struct table *table;
	struct screen screen;
	struct top_sample before, now;
	uint32_t limit; /* UINT32_MAX: none */
	uint32_t shown;
	char *page; /* owned; the last one, for a window that changes */
	size_t page_len;
};

static void
top_done(struct top *t)
{
	screen_end(&t->screen);
	top_sample_done(&t->before);
	top_sample_done(&t->now);
	free(t->page);
	table_free(t->table);
}

/* A look. What is not there is not shown: a helper that does not answer, a table that is gone. */
static int
take_sample(struct top *t)
{
	struct top_sample *s = &t->now;
	int r;

	s->posix_ns = clock_now_ns();
	s->age_ns = clock_monotonic_ns();
	r = table_refresh(t->table);
	if (r >= 0)
		r = table_info(t->table, &s->info);
	if (r >= 0)
		r = roster_load(&s->roster, t->table);
	s->has_table = r >= 0;
	if (r == -ENOMEM)
		return r;
	r = programs_add(&s->helper, t->ctl, NULL);
	if (r < 0)
		return r;
	program_ask(&s->helper.at[0], t->ctl, HERD_CONTROL_PEERS, ASK_NS);
	return 0;
}

/* What is shown of both. */
static int
make_page(struct top *t)
{
	CLEANUP(writer_freep) struct writer *w = NULL;
	FILE *file;
	int r;

	free(t->page);
	t->page = NULL;
	file = open_memstream(&t->page, &t->page_len);
	if (!file)
		return -ENOMEM;
	r = ctl_new_page(t->ctl, file, &w);
	if (r == 0) {
		top_show(w, &t->before, &t->now);
		r = writer_done(w);
	}
	return fclose(file) == 0 ? r : -ENOMEM;
}

/* A JSON document in one line. */
static int
print_line(const char *document)
{
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	struct json_object *json = json_tokener_parse(document);
	const char *line = json ? json_object_to_json_string_ext(json, flags) : NULL;
	int r = !line ? -ENOMEM : puts(line) < 0 ? -errno : 0;

	json_object_put(json);
	return r;
}

static int
print_page(struct top *t)
{
	int r = 0;

	if (writer_is_json(t->ctl->out))
		r = print_line(t->page);
	else if (printf("%s%.*s", t->shown ? "\n" : "", (int)t->page_len, t->page) < 0)
		r = -errno;
	return r == 0 && fflush(stdout) != 0 ? -errno : r;
}

static int
show(struct top *t)
{
	int r = make_page(t);

	if (r < 0)
		return r;
	if (!t->screen.is_on)
		return print_page(t);
	screen_draw(&t->screen, (struct text){t->page, t->page_len});
	return 0;
}

/* False: it is to end. */
static bool
wait_for_next(struct top *t, const struct pause *pause, int64_t wait_ns)
{
	const int64_t end_ns = clock_monotonic_ns() + wait_ns;

	for (;;) {
		int64_t left_ns = end_ns - clock_monotonic_ns();
		enum pause_end end = pause_wait(pause, left_ns > 0 ? left_ns : 0);

		if (end != PAUSE_RESIZE)
			return end == PAUSE_TIME;
		if (t->page)
			screen_draw(&t->screen, (struct text){t->page, t->page_len});
	}
}

static int
top_loop(struct top *t, const struct pause *pause, int64_t interval_ns)
{
	int r = take_sample(t);
	bool goes_on = r == 0 && wait_for_next(t, pause, interval_ns < FIRST_NS ? interval_ns : FIRST_NS);

	while (goes_on) {
		top_sample_done(&t->before);
		t->before = t->now;
		t->now = (struct top_sample){};
		r = take_sample(t);
		if (r == 0)
			r = show(t);
		t->shown++;
		goes_on = r == 0 && t->shown < t->limit && wait_for_next(t, pause, interval_ns);
	}
	return r == -EPIPE ? 0 : r;
}

static int
top_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(top_done) struct top t = {.ctl = ctl, .limit = UINT32_MAX};
	int64_t interval_ns = CLOCK_SECOND_NS;
	struct pause pause;
	int r;

	(void)argc, (void)argv;
	r = ctl_option_duration(ctl, "interval", INTERVAL_MIN_NS, &interval_ns);
	if (r == 0)
		r = ctl_option_count(ctl, "count", &t.limit);
	if (r == 0)
		r = ctl_open_table(ctl, &t.table);
	if (r != 0 || t.limit == 0)
		return r;
	pause_begin(&pause, -1); /* first: a signal must not find the terminal changed */
	if (!writer_is_json(ctl->out))
		screen_begin(&t.screen);
	if (t.screen.has_keys)
		pause.keys = STDIN_FILENO;
	return top_loop(&t, &pause, interval_ns);
}

const struct command command_top = {
	.name = "top",
	.help = "Show who does how much, again and again",
	.more = "Rates are those since the last look. Ends with q, Ctrl-C, SIGTERM, or after --count looks.\n"
		"With --json every look is one object on a line of its own.",
	.entries =
		(const struct options_entry[]){
			{.name = "interval",
			 .argument = "SECONDS",
			 .help = "Look this often (default 1, at least 100ms)"},
			{.name = "count", .argument = "N", .help = "End after this many looks"},
			{0},
		},
	.run = top_run,
};
