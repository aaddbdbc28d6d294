/*
 * Input: an import may be a gigabyte from a pipe, so that nothing of it is
 * kept longer than a record needs, and a record has a ceiling.
 */
#include "places/input.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int
input_open(struct input *in, const char *path)
{
	struct input new = {.line = 1};

	new.fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					: open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (new.fd < 0)
		return -errno;
	new.bytes = malloc(INPUT_SIZE);
	if (!new.bytes) {
		close(new.fd);
		return -ENOMEM;
	}
	*in = new;
	return 0;
}

void
input_done(struct input *in)
{
	free(in->bytes);
	in->bytes = NULL;
	if (in->fd >= 0)
		close(in->fd);
	in->fd = -1;
}

int
input_fill(struct input *in)
{
	size_t len = in->end - in->start;
	ssize_t n;

	if (len >= INPUT_RECORD_MAX)
		return INPUT_E_FULL;
	if (in->at_end)
		return INPUT_E_END;
	if (in->end > INPUT_RECORD_MAX) {
		memmove(in->bytes, in->bytes + in->start, len);
		in->start = 0;
		in->end = len;
	}
	do
		n = read(in->fd, in->bytes + in->end, INPUT_SIZE - in->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	in->end += (size_t)n;
	in->at_end = n == 0;
	return n == 0 ? INPUT_E_END : 0;
}

void
input_take(struct input *in, size_t n)
{
	const char *at = in->bytes + in->start;
	const char *end = at + n;

	assert(n <= in->end - in->start);
	while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
		in->line++;
		at++;
	}
	in->start += n;
	in->taken += n;
}

/* Drops everything up to and with the next LF. */
static int
skip_line(struct input *in)
{
	for (;;) {
		struct text w = input_window(in);
		const char *lf = memchr(w.at, '\n', w.len);
		int r;

		input_take(in, lf ? (size_t)(lf - w.at) + 1 : w.len);
		if (lf)
			return 0;
		r = input_fill(in);
		if (r == INPUT_E_END)
			return 0;
		if (r < 0)
			return r;
	}
}

static struct text
take_line(struct input *in, size_t len, size_t with_lf)
{
	struct text line = {input_window(in).at, len};

	input_take(in, with_lf);
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

int
input_line(struct input *in, struct text *ret)
{
	size_t seen = 0;

	in->record_line = in->line;
	for (;;) {
		struct text w = input_window(in);
		const char *lf = memchr(w.at + seen, '\n', w.len - seen);
		int r;

		if (lf) {
			*ret = take_line(in, (size_t)(lf - w.at), (size_t)(lf - w.at) + 1);
			return 0;
		}
		seen = w.len;
		r = input_fill(in);
		if (r == INPUT_E_END && seen > 0) {
			*ret = take_line(in, seen, seen);
			return 0;
		}
		if (r == INPUT_E_FULL) {
			r = skip_line(in);
			return r < 0 ? r : INPUT_E_FULL;
		}
		if (r != 0)
			return r;
	}
}
