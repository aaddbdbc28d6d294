/*
 * Places: a places file, mapped and checked once.
 *
 * Mapped, not read into memory: all members of a host share the page cache's
 * one copy, and a file of millions of places costs a member address space only.
 * The price is SIGBUS when somebody cuts the file short in place instead of
 * renaming a new one over it; every access goes through the guard for that.
 * Opening reads the whole file for its sum, which also brings it into memory
 * and into the page tables before anybody waits for an answer.
 */
#include "core/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/guard.h"
#include "base/hash.h"
#include "core/places-layout.h"

static uint64_t
align(uint64_t at)
{
	return (at + PLACES_ALIGN - 1) / PLACES_ALIGN * PLACES_ALIGN;
}

static uint64_t
blocks_for(uint64_t children)
{
	return (children + PLACES_FAN - 1) / PLACES_FAN;
}

void
places_layout_make(uint64_t count, uint64_t texts_bytes, struct places_layout *ret)
{
	struct places_layout l = {.leaves = blocks_for(count)};
	uint64_t blocks = l.leaves;
	uint64_t at = sizeof(struct places_header);

	while (blocks > 0 && (l.levels == 0 || blocks > 1)) {
		assert(l.levels < PLACES_LEVELS_MAX);
		blocks = blocks_for(blocks);
		l.levels++;
	}
	blocks = l.leaves;
	for (unsigned int i = l.levels; i-- > 0;) {
		blocks = blocks_for(blocks);
		l.blocks[i] = blocks;
	}
	for (unsigned int i = 0; i < l.levels; i++) {
		l.nodes_at[i] = at;
		at = align(at + l.blocks[i] * sizeof(struct places_node));
	}
	l.leaves_at = at;
	l.rests_at = align(l.leaves_at + l.leaves * sizeof(struct places_leaf));
	l.texts_at = align(l.rests_at + count * sizeof(struct places_rest));
	l.file_bytes = l.texts_at + texts_bytes;
	*ret = l;
}

uint64_t
places_sum(uint64_t sum, const void *bytes, size_t len)
{
	struct hash_key key = {sum, UINT64_C(0x68657264706c6163)};

	return hash_siphash13(&key, bytes, len);
}

uint64_t
places_header_sum(const struct places_header *h)
{
	return places_sum(0, h, offsetof(struct places_header, header_sum));
}

/* Steps of checking; each runs under the guard. */
struct check {
	struct places *p;
	const atomic_bool *cancel; /* may be NULL */
};

static int
check_header(const struct places *p, struct places_header *ret)
{
	struct places_header h;

	if (p->bytes < sizeof(h))
		return -EPROTO;
	memcpy(&h, p->base, sizeof(h));
	if (memcmp(h.magic, PLACES_MAGIC, sizeof(h.magic)) != 0 || h.byte_order != PLACES_BYTE_ORDER)
		return -EPROTO;
	if (h.header_sum != places_header_sum(&h) || h.file_bytes != p->bytes || h.zero != 0 ||
	    h.count > PLACES_COUNT_MAX || h.texts_bytes > UINT32_MAX || h.texts_bytes == 0)
		return -EBADMSG;
	*ret = h;
	return 0;
}

static int
check_sum(const struct places *p, uint64_t expected, const atomic_bool *cancel)
{
	uint64_t sum = 0;

	for (size_t at = sizeof(struct places_header); at < p->bytes;) {
		size_t len = p->bytes - at < PLACES_SUM_CHUNK ? p->bytes - at : PLACES_SUM_CHUNK;

		if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
			return -ECANCELED;
		sum = places_sum(sum, p->base + at, len);
		at += len;
	}
	return sum == expected ? 0 : -EBADMSG;
}

static void
place_sections(struct places *p, const struct places_header *h)
{
	p->count = h->count;
	p->texts_bytes = (uint32_t)h->texts_bytes;
	for (unsigned int i = 0; i < p->layout.levels; i++)
		p->nodes[i] = (const void *)(p->base + p->layout.nodes_at[i]);
	p->leaves = (const void *)(p->base + p->layout.leaves_at);
	p->rests = (const void *)(p->base + p->layout.rests_at);
	p->texts = p->base + p->layout.texts_at;
}

static int
check_file(void *arg)
{
	struct check *c = arg;
	struct places *p = c->p;
	struct places_header h;
	int r;

	r = check_header(p, &h);
	if (r < 0)
		return r;
	places_layout_make(h.count, h.texts_bytes, &p->layout);
	if (p->layout.file_bytes != p->bytes)
		return -EBADMSG;
	r = check_sum(p, h.body_sum, c->cancel);
	if (r < 0)
		return r;
	place_sections(p, &h);
	p->attribution_len = (uint8_t)places_text_copy(p, h.attribution, p->attribution);
	return 0;
}

static int
places_check(struct places *p, const atomic_bool *cancel)
{
	struct check c = {p, cancel};

	return guard_run(check_file, &c);
}

CLEANUP_POINTER(struct places, places_free);

int
places_from_memory(struct places **ret, const void *bytes, size_t len)
{
	CLEANUP(places_freep) struct places *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	if ((uintptr_t)bytes % _Alignof(struct places_header) != 0)
		return -EINVAL;
	p->base = bytes;
	p->bytes = len;
	r = places_check(p, NULL);
	if (r < 0)
		return r;
	*ret = p;
	p = NULL;
	return 0;
}

static int
map_file(struct places *p, const char *path)
{
	CLEANUP(cleanup_close) int fd = -1;
	struct stat st;
	void *base;

	/* NONBLOCK: a FIFO must not hold us before fstat() has seen it. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(struct places_header))
		return -EPROTO;
	if ((uint64_t)st.st_size > SIZE_MAX)
		return -EFBIG;
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	p->base = base;
	p->bytes = (size_t)st.st_size;
	p->is_mapped = true;
	return 0;
}

int
places_open_cancellable(struct places **ret, const char *path, const atomic_bool *cancel)
{
	CLEANUP(places_freep) struct places *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	r = map_file(p, path);
	if (r < 0)
		return r;
	/* The sum reads from front to end, queries anywhere. */
	(void)madvise((void *)(uintptr_t)p->base, p->bytes, MADV_SEQUENTIAL);
	r = places_check(p, cancel);
	if (r < 0)
		return r;
	(void)madvise((void *)(uintptr_t)p->base, p->bytes, MADV_NORMAL);
	*ret = p;
	p = NULL;
	return 0;
}

int
places_open(struct places **ret, const char *path)
{
	return places_open_cancellable(ret, path, NULL);
}

struct places *
places_free(struct places *p)
{
	if (!p)
		return NULL;
	if (p->is_mapped)
		munmap((void *)(uintptr_t)p->base, p->bytes);
	free(p);
	return NULL;
}

size_t
places_count(const struct places *p)
{
	return (size_t)p->count;
}

struct text
places_attribution(const struct places *p)
{
	return (struct text){p->attribution, p->attribution_len};
}

size_t
places_text_copy(const struct places *p, uint32_t at, char *out)
{
	size_t len;

	if (at >= p->texts_bytes)
		return 0;
	len = p->texts[at];
	if (len > p->texts_bytes - at - 1)
		return 0;
	memcpy(out, p->texts + at + 1, len);
	return len;
}

const char *
places_rank_name(enum places_rank rank)
{
	return rank == PLACES_DISTANCE ? "distance" : "prominence";
}

int
places_rank_parse(struct text name, enum places_rank *ret)
{
	if (text_equal(name, TEXT("prominence")))
		*ret = PLACES_PROMINENCE;
	else if (text_equal(name, TEXT("distance")))
		*ret = PLACES_DISTANCE;
	else
		return -EINVAL;
	return 0;
}
