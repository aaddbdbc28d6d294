/*
 * Places, writing: row numbers are sorted along a Hilbert curve and gone
 * through once per section, so that neighbours on the ground are neighbours in
 * each section and on disk.
 */
#include "core/places-build.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/places-layout.h"

/* --- the order of the file -------------------------------------------------- */

/* A row and where it is on the curve. */
struct sorted {
	uint64_t curve;
	uint32_t row;
};

/* Where a point is on the Hilbert curve through the 2^32 by 2^32 grid (Hilbert 1891, by bits as
   Warren, "Hacker's Delight", chapter 16, has it). */
static uint64_t
hilbert(uint32_t x, uint32_t y)
{
	uint64_t d = 0;

	for (uint32_t side = UINT32_C(1) << 31; side; side >>= 1) {
		uint32_t right = (x & side) != 0;
		uint32_t upper = (y & side) != 0;

		d = d << 2 | ((3 * right) ^ upper);
		if (!upper) {
			uint32_t swap = x;

			if (right) {
				x = ~x;
				swap = x;
				y = ~y;
			}
			x = y;
			y = swap;
		}
	}
	return d;
}

/* A total order by what the rows say, so that the order in which they came does not matter. */
static int
sorted_compare(const void *left, const void *right, void *arg)
{
	const struct places_build *b = arg;
	const struct sorted *l = left, *r = right;
	const struct row *a = &b->rows[l->row], *c = &b->rows[r->row];
	int order;

	if (l->curve != r->curve)
		return l->curve < r->curve ? -1 : 1;
	if (a->prominence != c->prominence)
		return a->prominence > c->prominence ? -1 : 1;
	order = text_compare(places_build_text(b, a->name), places_build_text(b, c->name));
	if (order == 0)
		order = text_compare(
			places_build_text(b, a->name + 1 + (uint32_t)places_build_text(b, a->name).len),
			places_build_text(b, c->name + 1 + (uint32_t)places_build_text(b, c->name).len));
	if (order == 0)
		order = text_compare(places_build_text(b, b->shared[a->types].at),
				     places_build_text(b, b->shared[c->types].at));
	if (order == 0)
		order = text_compare(places_build_text(b, b->shared[a->vicinity].at),
				     places_build_text(b, b->shared[c->vicinity].at));
	return order;
}

static int
rows_sort(struct places_build *b, struct sorted **ret)
{
	struct sorted *sorted = malloc((b->count ? b->count : 1) * sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < b->count; i++) {
		const struct row *row = &b->rows[i];

		sorted[i].row = (uint32_t)i;
		sorted[i].curve = hilbert((uint32_t)row->lon + UINT32_C(1800000000),
					  (uint32_t)row->lat + UINT32_C(900000000));
	}
	qsort_r(sorted, b->count, sizeof(*sorted), sorted_compare, b);
	*ret = sorted;
	return 0;
}

/* --- the bytes of the file -------------------------------------------------- */

/* Collects bytes into chunks, which are summed and written. The first error stays. */
struct output {
	int fd;
	int error;
	size_t used;
	uint64_t written; /* all but what is in the chunk */
	uint64_t sum;
	char *chunk; /* PLACES_SUM_CHUNK bytes */
};

static int
write_all(int fd, const void *bytes, size_t len, off_t at)
{
	const char *from = bytes;

	while (len > 0) {
		ssize_t n = pwrite(fd, from, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static void
output_flush(struct output *o)
{
	off_t at = (off_t)(sizeof(struct places_header) + o->written);

	if (!o->error && o->used)
		o->error = write_all(o->fd, o->chunk, o->used, at);
	o->sum = places_sum(o->sum, o->chunk, o->used);
	o->written += o->used;
	o->used = 0;
}

static void
output_put(struct output *o, const void *bytes, size_t len)
{
	const char *from = bytes;

	while (len > 0) {
		size_t room = PLACES_SUM_CHUNK - o->used;
		size_t n = len < room ? len : room;

		memcpy(o->chunk + o->used, from, n);
		o->used += n;
		from += n;
		len -= n;
		if (o->used == PLACES_SUM_CHUNK)
			output_flush(o);
	}
}

/* Zeroes up to where the next section begins. */
static void
output_align(struct output *o, uint64_t section_at)
{
	static const char zeroes[PLACES_ALIGN];

	output_put(o, zeroes, section_at - sizeof(struct places_header) - o->written - o->used);
}

/* One file being written: what each step needs. */
struct writing {
	struct places_build *b;
	struct sorted *sorted;
	struct places_layout layout;
	uint64_t texts_bytes;
	uint32_t attribution;
	struct places_node *nodes[PLACES_LEVELS_MAX];
	struct output out;
};

static const struct row *
sorted_row(const struct writing *w, uint64_t index)
{
	return &w->b->rows[w->sorted[index].row];
}

static void
leaf_make(const struct writing *w, uint64_t leaf, struct places_leaf *ret)
{
	for (unsigned int i = 0; i < PLACES_FAN; i++) {
		uint64_t index = leaf * PLACES_FAN + i;
		const struct row *row;

		ret->lat[i] = ret->lon[i] = INT32_MAX;
		ret->prominence[i] = 0;
		if (index >= w->b->count)
			continue;
		row = sorted_row(w, index);
		ret->lat[i] = row->lat;
		ret->lon[i] = row->lon;
		ret->prominence[i] = row->prominence;
	}
}

/* Makes child i of a node the box of these boxes (for a leaf: minimum and maximum are the points). */
static void
node_cover(struct places_node *n, unsigned int i, const int32_t *lat_min, const int32_t *lat_max,
	   const int32_t *lon_min, const int32_t *lon_max, const uint32_t *prominence, uint64_t children)
{
	n->lat_min[i] = n->lon_min[i] = INT32_MAX;
	n->lat_max[i] = n->lon_max[i] = INT32_MIN;
	n->prominence[i] = 0;
	for (uint64_t c = 0; c < children && c < PLACES_FAN; c++) {
		if (lat_min[c] < n->lat_min[i])
			n->lat_min[i] = lat_min[c];
		if (lat_max[c] > n->lat_max[i])
			n->lat_max[i] = lat_max[c];
		if (lon_min[c] < n->lon_min[i])
			n->lon_min[i] = lon_min[c];
		if (lon_max[c] > n->lon_max[i])
			n->lon_max[i] = lon_max[c];
		if (prominence[c] > n->prominence[i])
			n->prominence[i] = prominence[c];
	}
}

static uint64_t
children_from(uint64_t total, uint64_t block)
{
	return total > block * PLACES_FAN ? total - block * PLACES_FAN : 0;
}

static void
fill_lowest_nodes(struct writing *w)
{
	unsigned int level = w->layout.levels - 1;
	struct places_leaf leaf;

	for (uint64_t i = 0; i < w->layout.blocks[level] * PLACES_FAN; i++) {
		leaf_make(w, i, &leaf);
		node_cover(&w->nodes[level][i / PLACES_FAN], i % PLACES_FAN, leaf.lat, leaf.lat, leaf.lon,
			   leaf.lon, leaf.prominence, children_from(w->b->count, i));
	}
}

static void
fill_nodes_above(struct writing *w, unsigned int level)
{
	uint64_t below = w->layout.blocks[level + 1];

	for (uint64_t i = 0; i < w->layout.blocks[level] * PLACES_FAN; i++) {
		const struct places_node *n = &w->nodes[level + 1][i < below ? i : 0];
		uint64_t leaves_below = i < below ? PLACES_FAN : 0;

		/* Missing children of n have boxes that cover nothing: minimum above maximum. */
		node_cover(&w->nodes[level][i / PLACES_FAN], i % PLACES_FAN, n->lat_min, n->lat_max,
			   n->lon_min, n->lon_max, n->prominence, leaves_below);
	}
}

static int
make_nodes(struct writing *w)
{
	for (unsigned int i = 0; i < w->layout.levels; i++) {
		w->nodes[i] = malloc(w->layout.blocks[i] * sizeof(struct places_node));
		if (!w->nodes[i])
			return -ENOMEM;
	}
	if (w->layout.levels > 0)
		fill_lowest_nodes(w);
	for (unsigned int i = w->layout.levels; i-- > 1;)
		fill_nodes_above(w, i - 1);
	return 0;
}

/* Gives the next text of the file its place. */
static uint32_t
assign_text(struct writing *w, size_t len)
{
	uint64_t at = w->texts_bytes;

	w->texts_bytes += len + 1;
	return (uint32_t)at; /* the file's texts are the build's, which fit */
}

static uint32_t
assign_shared(struct writing *w, uint32_t index)
{
	struct shared *s = &w->b->shared[index];

	if (s->written == 0 && index != 0)
		s->written = assign_text(w, places_build_text(w->b, s->at).len);
	return s->written;
}

static void
assign_rest(struct writing *w, const struct row *row, struct places_rest *ret)
{
	struct text name = places_build_text(w->b, row->name);
	struct text id = places_build_text(w->b, row->name + 1 + (uint32_t)name.len);

	ret->name = assign_text(w, name.len);
	ret->id = assign_text(w, id.len);
	ret->types = assign_shared(w, row->types);
	ret->vicinity = assign_shared(w, row->vicinity);
}

/* Goes through the rows and says where their texts will be: twice, with the same result. */
static void
assign_begin(struct writing *w)
{
	for (size_t i = 0; i < w->b->shared_count; i++)
		w->b->shared[i].written = 0;
	w->texts_bytes = 1; /* the empty text */
	w->attribution = w->b->attribution_len ? assign_text(w, w->b->attribution_len) : 0;
}

static void
assign_all(struct writing *w)
{
	struct places_rest rest;

	assign_begin(w);
	for (size_t i = 0; i < w->b->count; i++)
		assign_rest(w, sorted_row(w, i), &rest);
}

static void
put_rests(struct writing *w)
{
	struct places_rest rest;

	assign_begin(w);
	for (size_t i = 0; i < w->b->count; i++) {
		assign_rest(w, sorted_row(w, i), &rest);
		output_put(&w->out, &rest, sizeof(rest));
	}
}

static void
put_text(struct writing *w, struct text t)
{
	unsigned char len = (unsigned char)t.len;

	output_put(&w->out, &len, 1);
	output_put(&w->out, t.at, t.len);
}

static void
put_shared(struct writing *w, uint32_t index, uint64_t *at)
{
	const struct shared *s = &w->b->shared[index];
	struct text t = places_build_text(w->b, s->at);

	if (s->written != *at) /* the empty one, or an earlier row's */
		return;
	put_text(w, t);
	*at += t.len + 1;
}

static void
put_texts(struct writing *w)
{
	uint64_t at = 1;

	put_text(w, TEXT(""));
	if (w->b->attribution_len) {
		put_text(w, (struct text){w->b->attribution, w->b->attribution_len});
		at += w->b->attribution_len + 1;
	}
	for (size_t i = 0; i < w->b->count; i++) {
		const struct row *row = sorted_row(w, i);
		struct text name = places_build_text(w->b, row->name);
		struct text id = places_build_text(w->b, row->name + 1 + (uint32_t)name.len);

		put_text(w, name);
		put_text(w, id);
		at += name.len + id.len + 2;
		put_shared(w, row->types, &at);
		put_shared(w, row->vicinity, &at);
	}
	assert(at == w->texts_bytes);
}

static void
put_leaves(struct writing *w)
{
	struct places_leaf leaf;

	for (uint64_t i = 0; i < w->layout.leaves; i++) {
		leaf_make(w, i, &leaf);
		output_put(&w->out, &leaf, sizeof(leaf));
	}
}

static void
put_body(struct writing *w)
{
	for (unsigned int i = 0; i < w->layout.levels; i++) {
		output_align(&w->out, w->layout.nodes_at[i]);
		output_put(&w->out, w->nodes[i], w->layout.blocks[i] * sizeof(struct places_node));
	}
	output_align(&w->out, w->layout.leaves_at);
	put_leaves(w);
	output_align(&w->out, w->layout.rests_at);
	put_rests(w);
	output_align(&w->out, w->layout.texts_at);
	put_texts(w);
	output_flush(&w->out);
}

static int
put_header(struct writing *w)
{
	struct places_header h = {
		.magic = PLACES_MAGIC,
		.byte_order = PLACES_BYTE_ORDER,
		.attribution = w->attribution,
		.count = w->b->count,
		.texts_bytes = w->texts_bytes,
		.file_bytes = w->layout.file_bytes,
		.body_sum = w->out.sum,
	};

	h.header_sum = places_header_sum(&h);
	return write_all(w->out.fd, &h, sizeof(h), 0);
}

static void
writing_done(struct writing *w)
{
	free(w->sorted);
	free(w->out.chunk);
	for (unsigned int i = 0; i < PLACES_LEVELS_MAX; i++)
		free(w->nodes[i]);
}

static int
write_file(struct places_build *b, int fd)
{
	CLEANUP(writing_done) struct writing w = {.b = b, .out = {.fd = fd}};
	int r;

	w.out.chunk = malloc(PLACES_SUM_CHUNK);
	if (!w.out.chunk)
		return -ENOMEM;
	r = rows_sort(b, &w.sorted);
	if (r < 0)
		return r;
	assign_all(&w);
	if (w.texts_bytes > UINT32_MAX)
		return -EFBIG;
	places_layout_make(b->count, w.texts_bytes, &w.layout);
	r = make_nodes(&w);
	if (r < 0)
		return r;
	put_body(&w);
	if (w.out.error)
		return w.out.error;
	assert(w.out.written + sizeof(struct places_header) == w.layout.file_bytes);
	return put_header(&w);
}

/* --- putting it in place ----------------------------------------------------- */

/* The folder's entry is what a power cut could lose. */
static int
sync_folder(const char *path)
{
	CLEANUP(cleanup_free) char *copy = strdup(path);
	CLEANUP(cleanup_close) int fd = -1;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int
write_and_sync(struct places_build *b, int fd)
{
	int r = write_file(b, fd);

	if (r < 0)
		return r;
	/* mkostemp() makes it private; members run as another user than the one who imports. */
	if (fchmod(fd, 0644) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int
places_build_write(struct places_build *b, const char *path)
{
	CLEANUP(cleanup_free) char *temporary = NULL;
	CLEANUP(cleanup_close) int fd = -1;
	int r;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_and_sync(b, fd);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	return sync_folder(path);
}
