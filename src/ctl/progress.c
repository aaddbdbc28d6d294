#include "ctl/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { BAR = 24 }; /* columns */

#define INTERVAL_NS (100 * CLOCK_MSEC_NS)

struct progress
progress_begin(const struct ctl *ctl)
{
	return (struct progress){.is_wanted = !writer_is_json(ctl->out) && isatty(STDERR_FILENO) != 0};
}

static void
put_bar(double share)
{
	const double done = share < 1 ? share : 1;

	fputc('[', stderr);
	for (int i = 0; i < BAR; i++)
		fputc(i < (int)(done * BAR) ? '#' : '-', stderr);
	fprintf(stderr, "] %3.0f %%  ", 100 * done);
}

void
progress_show(struct progress *p, double share, const char *format, ...)
{
	int64_t now_ns = clock_monotonic_ns();
	va_list args;

	if (!p->is_wanted || (p->is_shown && now_ns - p->shown_ns < INTERVAL_NS))
		return;
	if (share >= 0)
		put_bar(share);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\x1b[K\r", stderr); /* who writes without clearing it does so over it */
	fflush(stderr);
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
