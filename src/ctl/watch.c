/*
 * herdctl watch: fixes as they change. The table wakes nobody, so it is asked
 * again and again; what is remembered of it is one number per slot, whatever
 * happens. Of several changes between two looks the last one is shown.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/pattern.h"
#include "ctl/pause.h"
#include "ctl/show.h"

#define INTERVAL_MIN_NS (10 * CLOCK_MSEC_NS)

struct watch {
	struct ctl *ctl;
	struct table *table;
	const char *pattern; /* NULL: all */
	int64_t interval_ns;
	uint64_t shown;
	uint32_t limit; /* UINT32_MAX: none */
	uint32_t *seen; /* owned; the version of each slot, folded; 0: none */
	uint64_t slots;
	bool knows_table; /* else the next look only remembers */
	bool is_lost;	  /* and that was said */
};

/* Room for what is to be remembered of the table there is now. */
static int
watch_attach(struct watch *w)
{
	struct table_info info;
	int r;

	r = table_info(w->table, &info);
	if (r < 0)
		return r;
	free(w->seen);
	w->slots = info.slots + info.long_slots;
	w->seen = calloc(w->slots, sizeof(*w->seen));
	w->knows_table = false;
	return w->seen ? 0 : -ENOMEM;
}

/* Has this slot changed since it was last seen? Folding a version to 32 bits hides a change only
   when exactly 2^32 of them came between two looks. */
static bool
watch_is_new(struct watch *w, uint64_t slot, uint64_t version)
{
	uint32_t folded = (uint32_t)version + 1;

	if (slot >= w->slots || w->seen[slot] == folded)
		return false;
	w->seen[slot] = folded;
	return true;
}

static void
watch_show(struct watch *w, const struct herd_fix *fix, int64_t now_ns)
{
	struct writer *out = w->ctl->out;

	writer_object_begin(out, NULL);
	writer_style(out, WRITER_FAINT);
	writer_clock(out, "seen", now_ns);
	show_fix(out, fix, now_ns);
	writer_object_end(out);
	w->shown++;
}

static bool
watch_is_over(const struct watch *w)
{
	return pause_is_stopped() || writer_fault(w->ctl->out) ||
	       (w->limit != UINT32_MAX && w->shown >= w->limit);
}

/* One look at every slot. */
static int
watch_look(struct watch *w)
{
	int64_t now_ns = clock_now_ns();
	uint64_t cursor = 0, version;
	struct herd_fix fix;
	int r;

	while ((r = table_next(w->table, &cursor, now_ns, &fix, &version)) == 0) {
		/* The cursor has moved past the slot. */
		if (!watch_is_new(w, cursor - 1, version) || !w->knows_table)
			continue;
		if (!pattern_matches(w->pattern, &fix))
			continue;
		watch_show(w, &fix, now_ns);
		if (watch_is_over(w))
			return 0;
	}
	if (r == TABLE_E_END)
		w->knows_table = true;
	writer_flush(w->ctl->out);
	return r < 0 ? r : 0;
}

/* Follows the table when it is replaced, and waits for it when it is gone. */
static int
watch_follow(struct watch *w)
{
	int r = table_refresh(w->table);

	if (r < 0 && !w->is_lost)
		log_warning("The fix table '%s' is gone, waiting for it", w->ctl->shm);
	if (r >= 0 && w->is_lost)
		log_warning("The fix table '%s' is back", w->ctl->shm);
	w->is_lost = r < 0;
	return r == TABLE_E_MOVED ? watch_attach(w) : 0;
}

static int
watch_loop(struct watch *w, const struct pause *pause)
{
	int r;

	do {
		r = watch_follow(w);
		if (r == 0 && !w->is_lost)
			r = watch_look(w);
		if (r == -EFAULT)
			r = 0; /* cut short under us: watch_follow() will say what became of it */
	} while (r == 0 && !watch_is_over(w) && pause_wait(pause, w->interval_ns) != PAUSE_STOP);
	return r;
}

static int
watch_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(table_freep) struct table *table = NULL;
	struct watch w = {
		.ctl = ctl,
		.pattern = argc ? argv[0] : NULL,
		.interval_ns = CLOCK_SECOND_NS,
		.limit = UINT32_MAX,
	};
	struct pause pause;
	int r;

	r = ctl_option_duration(ctl, "interval", INTERVAL_MIN_NS, &w.interval_ns);
	if (r == 0)
		r = ctl_option_count(ctl, "count", &w.limit);
	if (r == 0)
		r = ctl_open_table(ctl, &table);
	if (r != 0 || w.limit == 0)
		return r;
	w.table = table;
	pause_begin(&pause, -1);
	r = watch_attach(&w);
	if (r == 0) {
		writer_list_begin(ctl->out, NULL);
		r = watch_loop(&w, &pause);
		writer_list_end(ctl->out);
	}
	free(w.seen);
	return r;
}

const struct command command_watch = {
	.name = "watch",
	.operands = "[PATTERN]",
	.help = "Show fixes as they change",
	.more = "Ends with exit code 0 on SIGINT (Ctrl-C), SIGTERM, or after --count fixes. Of several "
		"changes of\n"
		"one client between two looks the last is shown. With --json every fix is one object on a "
		"line\n"
		"of its own.",
	.entries =
		(const struct options_entry[]){
			{.name = "interval",
			 .argument = "SECONDS",
			 .help = "Look this often (default 1, at least 10ms)"},
			{.name = "count", .argument = "N", .help = "End after this many"},
			{0},
		},
	.operands_max = 1,
	.run = watch_run,
};
