/*
 * inih splits the lines; this file decides which lines it gets to see, because
 * some of its habits would change what a file means without a word: it cuts
 * lines at its buffer's end and section names at 49 bytes, ends a line at a
 * NUL, takes anything after a header's ']', and takes an indented line for more
 * of the value above. It also remembers only the first bad line, and Debian's
 * build does not number the lines for its caller: both are counted here.
 */
#include "conf/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/utf8.h"

struct reading {
	const struct reader *reader;
	struct text rest;
	unsigned int line;
	bool skip;    /* under a header that nobody wants */
	bool pending; /* inih has this line and has made no setting of it yet */
};

static void
complain(struct reading *r, const char *why)
{
	r->reader->on_error(r->reader->user, r->line, why);
}

static void
bad_header(struct reading *r, const char *why)
{
	r->reader->on_bad_section(r->reader->user, r->line, why);
}

static bool
is_comment(struct text t)
{
	return t.len > 0 && (t.at[0] == '#' || t.at[0] == ';');
}

/* "[name]", maybe with a comment behind it. */
static void
read_header(struct reading *r, struct text line)
{
	const char *end = memchr(line.at, ']', line.len);
	struct text name, behind;

	r->skip = true;
	if (!end) {
		bad_header(r, "a section without its ']' (expected [NAME])");
		return;
	}
	name = text_trim((struct text){line.at + 1, (size_t)(end - line.at) - 1});
	behind = text_trim((struct text){end + 1, line.len - (size_t)(end - line.at) - 1});
	if (behind.len > 0 && !is_comment(behind)) {
		bad_header(r, "text behind a section's ']' (expected a line of its own)");
		return;
	}
	r->skip = !r->reader->on_section(r->reader->user, r->line, name);
}

/* A '#' behind white space would silently become part of the value. */
static bool
has_late_comment(struct text line)
{
	for (size_t i = 1; i < line.len; i++)
		if (line.at[i] == '#' && text_is_space(line.at[i - 1]))
			return true;
	return false;
}

/* True: inih is to see this line. */
static bool
wants_line(struct reading *r, struct text line, size_t room)
{
	if (memchr(line.at, '\0', line.len)) {
		complain(r, "a NUL byte (expected text in UTF-8)");
		return false;
	}
	if (!utf8_valid(line)) {
		complain(r, "bytes that are no UTF-8 (expected text in UTF-8)");
		return false;
	}
	if (line.len == 0 || is_comment(line))
		return false;
	if (line.at[0] == '[') {
		read_header(r, line);
		return false;
	}
	if (r->skip)
		return false;
	if (line.len + 2 > room) {
		char why[80];

		snprintf(why, sizeof(why), "the line is too long (expected at most %zu bytes)", room - 2);
		complain(r, why);
		return false;
	}
	if (has_late_comment(line)) {
		complain(r, "a '#' inside the line (expected comments on lines of their own)");
		return false;
	}
	return true;
}

static void
end_line(struct reading *r)
{
	if (r->pending)
		complain(r, "no setting (expected NAME = VALUE)");
	r->pending = false;
}

/* inih's idea of fgets(): every line of the file, those it is not to see as empty ones. */
static char *
on_line(char *out, int size, void *user)
{
	struct reading *r = user;
	struct text line;

	end_line(r);
	if (r->rest.len == 0)
		return NULL;
	r->line++;
	line = text_trim(text_take_line(&r->rest));
	r->pending = wants_line(r, line, (size_t)size);
	if (!r->pending)
		line.len = 0;
	memcpy(out, line.at, line.len);
	memcpy(out + line.len, "\n", 2);
	return out;
}

static int
on_setting(void *user, const char *section, const char *name, const char *value)
{
	struct reading *r = user;

	(void)section;
	if (!r->pending)
		return 1;
	r->pending = false;
	if (*name)
		r->reader->on_setting(r->reader->user, r->line, name, value ? value : "");
	else
		complain(r, "no name before the '=' (expected NAME = VALUE)");
	return 1;
}

int
reader_read(struct text bytes, const struct reader *reader)
{
	struct reading r = {.reader = reader, .rest = bytes};

	if (bytes.len >= 3 && memcmp(bytes.at, "\xef\xbb\xbf", 3) == 0) {
		r.rest.at += 3;
		r.rest.len -= 3;
	}
	return ini_parse_stream(on_line, &r, on_setting, &r) == -2 ? -ENOMEM : 0;
}

/* --- files ------------------------------------------------------------------ */

static int
read_all(int fd, char *bytes, size_t max, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n;

	while (len < max) {
		n = read(fd, bytes + len, max - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

int
reader_load(const char *path, char **ret_bytes, size_t *ret_len)
{
	CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	CLEANUP(cleanup_free) char *bytes = NULL;
	struct stat st;
	size_t len = 0;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) /* /dev/null is a good way to say "nothing" */
		return -EINVAL;
	bytes = malloc(READER_FILE_MAX + 1);
	if (!bytes)
		return -ENOMEM;
	r = read_all(fd, bytes, READER_FILE_MAX + 1, &len);
	if (r < 0)
		return r;
	if (len > READER_FILE_MAX)
		return -EFBIG;
	*ret_bytes = bytes;
	*ret_len = len;
	bytes = NULL;
	return 0;
}
