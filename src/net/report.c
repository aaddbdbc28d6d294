/*
 * Report: bounded texts, because what they quote (paths, addresses, reasons)
 * may be as long as it likes.
 */
#include "net/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"

static const char ellipsis[] = "..."; /* where a text was cut */

__attribute__((format(printf, 3, 0))) static void
add_text(char *out, size_t size, const char *format, va_list ap)
{
	size_t len = strlen(out);
	int n;

	/* Room that a character too long for it has left is no room for others. */
	if (len + 2 * sizeof(ellipsis) > size && strcmp(out + len - strlen(ellipsis), ellipsis) == 0)
		return;
	n = vsnprintf(out + len, size - len, format, ap);
	if (n < 0)
		out[len] = '\0';
	else if ((size_t)n >= size - len)
		memcpy(out + utf8_cut((struct text){out, size - sizeof(ellipsis)}), ellipsis,
		       sizeof(ellipsis));
}

__attribute__((format(printf, 3, 4))) static void
put_text(char *out, size_t size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add_text(out, size, format, ap);
	va_end(ap);
}

__attribute__((format(printf, 2, 0))) static void
add_item(struct report_items *items, const char *format, va_list ap)
{
	if (items->count == REPORT_ITEMS_MAX)
		return;
	items->at[items->count][0] = '\0';
	add_text(items->at[items->count++], REPORT_TEXT_MAX, format, ap);
}

void
report_fact(struct report *r, const char *format, ...)
{
	va_list ap;

	if (r->facts[0])
		put_text(r->facts, sizeof(r->facts), ", ");
	va_start(ap, format);
	add_text(r->facts, sizeof(r->facts), format, ap);
	va_end(ap);
}

void
report_degraded(struct report *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add_item(&r->degraded, format, ap);
	va_end(ap);
}

void
report_note(struct report *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add_item(&r->notes, format, ap);
	va_end(ap);
}

static void
put_items(char *out, const char *head, const struct report_items *items)
{
	for (size_t i = 0; i < items->count; i++)
		put_text(out, REPORT_LINE_MAX, "%s%s", i == 0 ? head : "; ", items->at[i]);
}

void
report_line(const struct report *r, char out[REPORT_LINE_MAX])
{
	out[0] = '\0';
	put_text(out, REPORT_LINE_MAX, "%s", r->facts);
	put_items(out, ". Degraded: ", &r->degraded);
	put_items(out, ". Note: ", &r->notes);
}

const char *
report_rate(struct report_rate *rate, uint64_t value, int64_t now_ns, char out[REPORT_RATE_MAX])
{
	int64_t passed_ns = now_ns - rate->when_ns;

	if (rate->when_ns == 0 || passed_ns >= CLOCK_SECOND_NS) {
		/* Less than before: somebody who counted has gone. */
		uint64_t more = rate->when_ns && value > rate->value ? value - rate->value : 0;

		rate->per_s = rate->when_ns ? (double)more * 1e9 / (double)passed_ns : 0;
		rate->value = value;
		rate->when_ns = now_ns;
	}
	snprintf(out, REPORT_RATE_MAX, "%.*f", rate->per_s > 0 && rate->per_s < 9.95 ? 1 : 0, rate->per_s);
	return out;
}
