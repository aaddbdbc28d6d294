/*
 * Text: everything is a grid. Values of an object are a grid of two columns
 * (name, value), a list is a grid with a heading; a grid is printed when its
 * window is full or something else begins. Columns only ever widen, so a
 * stream stays aligned as well as its first rows allow.
 */
#include <assert.h>
#include <errno.h>

#include "base/cleanup.h"
#include "ctl/escape.h"
#include "ctl/writer-format.h"

struct cell {
	size_t at, len; /* of its bytes in the grid */
	size_t columns; /* on a terminal */
	enum writer_style style;
};

struct grid {
	struct buffer bytes;
	struct cell *cells; /* row after row */
	size_t count, size;
	unsigned int columns; /* 0: nobody knows yet */
	const char *key[WRITER_COLUMNS_MAX];
	size_t width[WRITER_COLUMNS_MAX];
	bool right[WRITER_COLUMNS_MAX];
	bool headed; /* the heading is printed, or there is none */
};

struct writer_text {
	struct writer head;
	struct grid grid;
	unsigned int in_row; /* cells of the row that is open */
	bool printed;	     /* anything, so that a table stands off from it */
};

enum {
	GRID_BYTES_MAX = 64 << 20,
	WIDTH_MAX = 48, /* of a column; what is longer is whole all the same and moves its own row only */
};

static int
put(struct writer *w, struct text t)
{
	return buffer_append(&w->out, t);
}

static int
put_spaces(struct writer *w, size_t count)
{
	char *at = buffer_reserve(&w->out, count);

	if (!at)
		return -ENOBUFS;
	memset(at, ' ', count);
	w->out.len += count;
	return 0;
}

static int
put_styled(struct writer *w, struct text t, enum writer_style style)
{
	static const char *const sequence[] = {
		[WRITER_PLAIN] = "",	       [WRITER_STRONG] = "\033[1m", [WRITER_GOOD] = "\033[32m",
		[WRITER_WARNING] = "\033[33m", [WRITER_BAD] = "\033[1;31m", [WRITER_FAINT] = "\033[2m",
	};
	int r;

	if (!w->setup.colour || style == WRITER_PLAIN)
		return put(w, t);
	r = put(w, text_of(sequence[style]));
	if (r == 0)
		r = put(w, t);
	if (r == 0)
		r = put(w, TEXT("\033[0m"));
	return r;
}

/* "long_clients" is read "long clients". */
static struct text
key_shown(const char *key, char name[64], bool upper)
{
	size_t len = 0;

	for (; len < 63 && key[len]; len++) {
		name[len] = key[len] == '_' ? ' ' : key[len];
		if (upper && name[len] >= 'a' && name[len] <= 'z')
			name[len] = (char)(name[len] - 'a' + 'A');
	}
	return (struct text){name, len};
}

/* --- the grid --------------------------------------------------------------------------- */

static void
grid_reset(struct grid *g)
{
	g->bytes.len = 0;
	g->count = 0;
	g->columns = 0;
	g->headed = false;
	memset(g->width, 0, sizeof(g->width));
	memset(g->right, 0, sizeof(g->right));
}

/* Room for one more cell. */
static struct cell *
grid_cell(struct grid *g)
{
	size_t size = g->size ? g->size * 2 : 64;
	struct cell *cells;

	if (g->count < g->size)
		return &g->cells[g->count++];
	cells = realloc(g->cells, size * sizeof(*cells));
	if (!cells)
		return NULL;
	g->cells = cells;
	g->size = size;
	return &g->cells[g->count++];
}

static int
grid_add(struct writer *w, unsigned int column, struct text shown, bool right)
{
	struct grid *g = &((struct writer_text *)w)->grid;
	unsigned int flags = ESCAPE_REVERSIBLE | (w->setup.utf8 ? ESCAPE_UTF8 : 0);
	struct cell cell = {.at = g->bytes.len, .style = w->style};
	struct cell *place;
	int r;

	/* Something must stand there, for the eye and for awk. */
	r = escape_text(&g->bytes, shown.len ? shown : TEXT("-"), flags, &cell.columns);
	if (r < 0)
		return r;
	cell.len = g->bytes.len - cell.at;
	place = grid_cell(g);
	if (!place)
		return -ENOMEM;
	*place = cell;
	if (cell.columns > g->width[column] && cell.columns <= WIDTH_MAX)
		g->width[column] = cell.columns;
	g->right[column] |= right;
	return 0;
}

/* One cell with what aligns it; the last of a row drags no spaces along. */
static int
put_cell(struct writer *w, const struct grid *g, unsigned int column, struct text shown, size_t columns,
	 enum writer_style style)
{
	size_t padding = columns < g->width[column] ? g->width[column] - columns : 0;
	bool right = g->right[column];
	bool last = column + 1 == g->columns;
	int r = 0;

	if (right)
		r = put_spaces(w, padding);
	if (r == 0)
		r = put_styled(w, shown, style);
	if (r == 0 && !right && !last)
		r = put_spaces(w, padding);
	if (r == 0)
		r = last ? put(w, TEXT("\n")) : put_spaces(w, 2);
	return r;
}

static int
grid_put_heading(struct writer *w, struct grid *g)
{
	char name[64];
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < g->columns; i++) {
		struct text shown = key_shown(g->key[i], name, true);

		r = put_cell(w, g, i, shown, shown.len, WRITER_STRONG);
	}
	g->headed = true;
	return r;
}

/* Prints the whole rows there are and keeps the widths. */
static int
grid_put(struct writer *w, size_t indent)
{
	struct writer_text *text = (struct writer_text *)w;
	struct grid *g = &text->grid;
	int r = 0;

	if (!g->count)
		return 0;
	if (!g->headed) {
		if (text->printed)
			r = put(w, TEXT("\n"));
		if (r == 0)
			r = grid_put_heading(w, g);
	}
	for (size_t i = 0; r == 0 && i < g->count; i++) {
		const struct cell *cell = &g->cells[i];
		unsigned int column = (unsigned int)(i % g->columns);

		if (column == 0)
			r = put_spaces(w, indent);
		if (r == 0)
			r = put_cell(w, g, column, (struct text){g->bytes.bytes + cell->at, cell->len},
				     cell->columns, cell->style);
		if (column + 1 == g->columns && w->out.len >= WRITER_OUT_ENOUGH && r == 0)
			r = writer_spill(w);
	}
	g->count = 0;
	g->bytes.len = 0;
	text->printed = true;
	return r;
}

/* --- the format ------------------------------------------------------------------------- */

/* Is the object that is open (or would open now) a row of a list? */
static bool
in_list(const struct writer *w, unsigned int depth)
{
	return depth > 0 && w->level[depth - 1] == WRITER_LIST;
}

static size_t
indent_of(const struct writer *w)
{
	return w->depth > 1 ? 2 * (size_t)(w->depth - 1) : 0;
}

/* A grid of names and values. */
static void
pairs_begin(struct grid *g)
{
	grid_reset(g);
	g->columns = 2;
	g->headed = true;
}

static int
text_object_begin(struct writer *w, const char *key)
{
	struct writer_text *text = (struct writer_text *)w;
	char name[64];
	int r;

	text->in_row = 0;
	if (in_list(w, w->depth))
		return 0;
	r = grid_put(w, indent_of(w));
	if (r == 0 && key) {
		r = put_spaces(w, indent_of(w));
		if (r == 0)
			r = put_styled(w, key_shown(key, name, false), WRITER_STRONG);
		if (r == 0)
			r = put(w, TEXT("\n"));
	}
	pairs_begin(&text->grid);
	return r;
}

static int
text_object_end(struct writer *w)
{
	struct writer_text *text = (struct writer_text *)w;
	struct grid *g = &text->grid;
	int r;

	if (in_list(w, w->depth - 1)) {
		if (g->columns == 0)
			g->columns = text->in_row; /* the first row has said them all */
		assert(text->in_row == g->columns);
		return g->count >= (size_t)WRITER_WINDOW * g->columns ? grid_put(w, 0) : 0;
	}
	r = grid_put(w, indent_of(w));
	pairs_begin(g);
	return r;
}

static int
text_list_begin(struct writer *w, const char *key)
{
	struct writer_text *text = (struct writer_text *)w;
	int r;

	(void)key; /* the columns say what they are */
	r = grid_put(w, indent_of(w));
	grid_reset(&text->grid);
	return r;
}

static int
text_list_end(struct writer *w)
{
	struct writer_text *text = (struct writer_text *)w;
	int r = grid_put(w, 0);

	pairs_begin(&text->grid);
	return r;
}

static int
text_value(struct writer *w, const struct writer_value *value)
{
	struct writer_text *text = (struct writer_text *)w;
	struct grid *g = &text->grid;
	enum writer_style style = w->style;
	char name[64];
	int r;

	if (in_list(w, w->depth - 1)) {
		unsigned int column = text->in_row++;

		assert(column < WRITER_COLUMNS_MAX);
		if (g->columns == 0) {
			g->key[column] = value->key;
			g->width[column] = strlen(value->key);
		}
		assert(g->columns == 0 || (column < g->columns && strcmp(g->key[column], value->key) == 0));
		return grid_add(w, column, value->shown, value->right);
	}
	w->style = WRITER_FAINT;
	r = grid_add(w, 0, key_shown(value->key, name, false), false);
	w->style = style;
	return r < 0 ? r : grid_add(w, 1, value->shown, false);
}

static int
text_flush(struct writer *w)
{
	struct writer_text *text = (struct writer_text *)w;

	/* Rows that are open stay: a grid is printed by whole rows. */
	if (text->grid.columns == 0 || text->grid.count % text->grid.columns)
		return 0;
	return grid_put(w, in_list(w, w->depth) ? 0 : indent_of(w));
}

static void
text_free(struct writer *w)
{
	struct writer_text *text = (struct writer_text *)w;

	buffer_done(&text->grid.bytes);
	free(text->grid.cells);
	free(text);
}

int
writer_new_text(struct writer **ret, const struct writer_setup *setup)
{
	static const struct writer_format format = {
		.object_begin = text_object_begin,
		.object_end = text_object_end,
		.list_begin = text_list_begin,
		.list_end = text_list_end,
		.value = text_value,
		.flush = text_flush,
		.free = text_free,
	};
	struct writer_text *text = calloc(1, sizeof(*text));

	if (!text)
		return -ENOMEM;
	writer_init(&text->head, &format, setup);
	text->grid.bytes.max = GRID_BYTES_MAX;
	pairs_begin(&text->grid);
	*ret = &text->head;
	return 0;
}
