#include "ctl/screen.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS = 80, ROWS = 24 }; /* where the terminal does not say */

void
screen_begin(struct screen *s)
{
	struct termios raw;

	*s = (struct screen){.is_on = isatty(STDOUT_FILENO) != 0};
	if (!s->is_on)
		return;
	fputs("\x1b[?1049h\x1b[?25l", stdout); /* the second screen, no cursor */
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &s->before) < 0)
		return;
	raw = s->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	s->has_keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void
screen_end(struct screen *s)
{
	if (s->has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
	if (s->is_on) {
		fputs("\x1b[?25h\x1b[?1049l", stdout);
		fflush(stdout);
	}
	*s = (struct screen){};
}

/* Bytes of an SGR sequence, ESC [ ... m, at the front; 0: there is none. */
static size_t
sgr_length(struct text t)
{
	size_t len = 2;

	if (t.len < 3 || t.at[0] != '\x1b' || t.at[1] != '[')
		return 0;
	while (len < t.len && ((t.at[len] >= '0' && t.at[len] <= '9') || t.at[len] == ';'))
		len++;
	return len < t.len && t.at[len] == 'm' ? len + 1 : 0;
}

static void
clip_line(FILE *out, struct text line, unsigned int columns)
{
	unsigned int column = 0;

	while (line.len) {
		size_t len = sgr_length(line);

		if (len == 0) {
			const bool continues = ((unsigned char)line.at[0] & 0xc0) == 0x80;

			len = 1;
			column += !continues;
			if (column > columns) {
				line.at++;
				line.len--;
				continue;
			}
		}
		fwrite(line.at, 1, len, out);
		line.at += len;
		line.len -= len;
	}
}

void
screen_clip(FILE *out, struct text page, unsigned int columns, unsigned int rows)
{
	for (unsigned int row = 0; row < rows && page.len; row++) {
		if (row)
			fputs("\r\n", out);
		clip_line(out, text_take_line(&page), columns);
		fputs("\x1b[K", out); /* what stood there before */
	}
}

void
screen_draw(const struct screen *s, struct text page)
{
	struct winsize window = {};

	if (!s->is_on)
		return;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_col == 0 || window.ws_row == 0)
		window = (struct winsize){.ws_col = COLUMNS, .ws_row = ROWS};
	fputs("\x1b[H", stdout);
	screen_clip(stdout, page, window.ws_col, window.ws_row);
	fputs("\x1b[J", stdout);
	fflush(stdout);
}
