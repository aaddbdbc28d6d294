#include "ctl/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum {
	BAR = 24, /* columns */
	TEXT_MAX = 512,
};

#define INTERVAL_NS (100 * CLOCK_MSEC_NS)

struct progress
progress_begin(const struct ctl *ctl)
{
	return (struct progress){.is_wanted = !writer_is_json(ctl->out) && isatty(STDERR_FILENO) != 0};
}

/* Returns how long it is. */
static size_t
put_bar(char *line, size_t size, double share)
{
	static const char full[] = "########################", rest[] = "------------------------";
	const double done = share < 1 ? share : 1;
	const int columns = (int)(done * BAR);

	return (size_t)snprintf(line, size, "[%.*s%.*s] %3.0f %%  ", columns, full, BAR - columns, rest,
				100 * done);
}

void
progress_show(struct progress *p, double share, const char *format, ...)
{
	int64_t now_ns = clock_monotonic_ns();
	char line[TEXT_MAX] = "";
	size_t len = 0;
	va_list args;

	if (!p->is_wanted || (p->is_shown && now_ns - p->shown_ns < INTERVAL_NS))
		return;
	if (share >= 0)
		len = put_bar(line, sizeof(line), share);
	va_start(args, format);
	(void)vsnprintf(line + len, sizeof(line) - len, format, args);
	va_end(args);
	/* In one piece. Who writes without clearing it does so over it. */
	fprintf(stderr, "%s\x1b[K\r", line);
	p->is_shown = true;
	p->shown_ns = now_ns;
}

void
progress_clear(struct progress *p)
{
	if (p->is_shown)
		fputs("\r\x1b[K", stderr);
	p->is_shown = false;
}
