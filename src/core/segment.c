/*
 * Segment: shared memory is a file format that others can write, so its
 * header is read once, compared with what we would have written ourselves,
 * and never looked at again.
 */
#include "core/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define SEGMENT_FOLDER "/dev/shm" /* where Linux keeps what shm_open(3) names */

enum {
	SEGMENT_PAGE = 4096,
	SEGMENT_LOAD_PERCENT = 75, /* clients per 100 slots: no bucket overflows, see ARCHITECTURE.md */
};

static const char segment_magic[8] = {'H', 'E', 'R', 'D', 'S', 'H', 'M', '1'};

static uint64_t
constants_sum(const struct segment_constants *c)
{
	static const struct hash_key fixed = {UINT64_C(0x6865726420736567), UINT64_C(0x6d656e742073756d)};

	return hash_siphash13(&fixed, c, offsetof(struct segment_constants, sum));
}

static uint64_t
round_to_page(uint64_t bytes)
{
	return (bytes + SEGMENT_PAGE - 1) / SEGMENT_PAGE * SEGMENT_PAGE;
}

static uint32_t
buckets_for(uint32_t clients)
{
	uint64_t slots = ((uint64_t)clients * 100 + SEGMENT_LOAD_PERCENT - 1) / SEGMENT_LOAD_PERCENT;

	/* At least two: a client's two buckets differ. */
	return (uint32_t)((slots + SEGMENT_WAYS - 1) / SEGMENT_WAYS + 1);
}

/* Everything that follows from the two capacities. */
static void
constants_lay_out(struct segment_constants *c, uint32_t clients, uint32_t long_clients)
{
	const uint32_t wanted[SEGMENT_CLASSES] = {clients, long_clients};
	const uint32_t id_bytes[SEGMENT_CLASSES] = {SEGMENT_SHORT_ID, SEGMENT_LONG_ID};
	uint64_t at = SEGMENT_PAGE, buckets = 0;

	memset(c, 0, sizeof(*c));
	memcpy(c->magic, segment_magic, sizeof(c->magic));
	c->layout = SEGMENT_LAYOUT;
	c->ways = SEGMENT_WAYS;
	c->clients = clients;
	c->long_clients = long_clients;
	c->processes_offset = at;
	at = round_to_page(at + (uint64_t)SEGMENT_PROCESSES * sizeof(struct segment_process));
	c->names_offset = at;
	at = round_to_page(at + (uint64_t)SEGMENT_NAMES * SEGMENT_NAME_BYTES);
	c->marks_offset = at;
	for (int i = 0; i < SEGMENT_CLASSES; i++) {
		c->class[i].buckets = buckets_for(wanted[i]);
		buckets += c->class[i].buckets;
	}
	at = round_to_page(at + (buckets + 63) / 64 * 8);
	for (int i = 0; i < SEGMENT_CLASSES; i++) {
		c->class[i].slot_bytes = id_bytes[i] + 2 * (uint32_t)sizeof(struct value);
		c->class[i].control_offset = at;
		at = round_to_page(at + (uint64_t)c->class[i].buckets * SEGMENT_BUCKET_WORDS * 8);
	}
	for (int i = 0; i < SEGMENT_CLASSES; i++) {
		c->class[i].slots_offset = at;
		at = round_to_page(at +
				   (uint64_t)c->class[i].buckets * SEGMENT_WAYS * c->class[i].slot_bytes);
	}
	c->bytes = at;
}

uint64_t
segment_bytes(uint32_t clients, uint32_t long_clients)
{
	struct segment_constants c;

	constants_lay_out(&c, clients, long_clients);
	return c.bytes;
}

/* Whether these constants are what we would have written. */
static int
constants_check(const struct segment_constants *c, uint64_t file_bytes)
{
	struct segment_constants own;

	if (memcmp(c->magic, segment_magic, sizeof(c->magic) - 1) != 0)
		return -ENXIO;
	if (memcmp(c->magic, segment_magic, sizeof(c->magic)) != 0)
		return -EPROTO;
	if (c->sum != constants_sum(c))
		return -EBADMSG;
	if (c->layout != SEGMENT_LAYOUT)
		return -EPROTO;
	if (c->clients < 1 || c->clients > SEGMENT_CLIENTS_MAX || c->long_clients < 1 ||
	    c->long_clients > SEGMENT_CLIENTS_MAX)
		return -EBADMSG;
	constants_lay_out(&own, c->clients, c->long_clients);
	own.created_ns = c->created_ns;
	own.key = c->key;
	own.sum = c->sum;
	if (memcmp(&own, c, sizeof(own)) != 0 || c->bytes != file_bytes)
		return -EBADMSG;
	return 0;
}

static int
segment_path(char *path, size_t size, const char *name)
{
	int n;

	if (name[0] == '/')
		name++;
	if (!name[0] || name[0] == '.' || strchr(name, '/'))
		return -EINVAL;
	n = snprintf(path, size, SEGMENT_FOLDER "/%s", name);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* Ours alone: nobody else may have put it there or may write it. */
static int
segment_check_owner(const struct stat *st, bool readonly)
{
	bool ours = st->st_uid == geteuid() || (readonly && geteuid() == 0);

	if (!S_ISREG(st->st_mode) || !ours || (st->st_mode & 077) != 0 || st->st_nlink != 1)
		return -EPERM;
	return 0;
}

static int
segment_map(struct segment *s, int protection, int populate)
{
	atomic_uint *shares = calloc(1, sizeof(*shares));
	void *base;

	if (!shares)
		return -ENOMEM;
	base = mmap(NULL, s->constants.bytes, protection, MAP_SHARED | populate, s->fd, 0);
	if (base == MAP_FAILED) {
		int r = -errno;

		free(shares);
		return r;
	}
	atomic_store_explicit(shares, 1, memory_order_relaxed);
	s->shares = shares;
	s->base = base;
	return 0;
}

static int
open_checked(const char *name, bool readonly, struct stat *ret_st)
{
	CLEANUP(cleanup_close) int fd = -1;
	char path[256];
	struct stat st;
	int r;

	r = segment_path(path, sizeof(path), name);
	if (r < 0)
		return r;
	/* O_NONBLOCK: a planted fifo must not hang us. */
	fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ELOOP || errno == EACCES || errno == EISDIR || errno == ENXIO ? -EPERM
											      : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	r = segment_check_owner(&st, readonly);
	if (r < 0)
		return r;
	*ret_st = st;
	r = fd;
	fd = -1;
	return r;
}

int
segment_open(struct segment *ret, const char *name, bool readonly)
{
	CLEANUP(segment_done) struct segment s = {.fd = -1};
	struct stat st;
	ssize_t n;
	int r;

	s.fd = open_checked(name, readonly, &st);
	if (s.fd < 0)
		return s.fd;
	/* pread: a file cut short is an answer here, not a signal. */
	n = pread(s.fd, &s.constants, sizeof(s.constants), 0);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EBADMSG; /* cut to nothing: nobody else keeps an empty file of this name */
	if ((size_t)n < sizeof(s.constants))
		memset((char *)&s.constants + n, 0, sizeof(s.constants) - (size_t)n);
	r = constants_check(&s.constants, (uint64_t)st.st_size);
	if (r < 0)
		return r;
	s.dev = st.st_dev;
	s.ino = st.st_ino;
	/* Populate: no client shall wait for a page to be mapped. */
	r = readonly ? segment_map(&s, PROT_READ, 0) : segment_map(&s, PROT_READ | PROT_WRITE, MAP_POPULATE);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct segment){.fd = -1};
	return 0;
}

/* Gives the unnamed file in s->fd its size, its pages and its header. */
static int
segment_build(struct segment *s, uint32_t clients, uint32_t long_clients, bool reserve)
{
	struct stat st;
	int r;

	constants_lay_out(&s->constants, clients, long_clients);
	s->constants.created_ns = clock_now_ns();
	r = hash_key_random(&s->constants.key);
	if (r < 0)
		return r;
	s->constants.sum = constants_sum(&s->constants);

	/* A sparse file would turn a full file system into SIGBUS later. */
	do
		r = reserve ? -posix_fallocate(s->fd, 0, (off_t)s->constants.bytes)
			    : (ftruncate(s->fd, (off_t)s->constants.bytes) < 0 ? -errno : 0);
	while (r == -EINTR);
	if (r < 0)
		return r;
	if (fstat(s->fd, &st) < 0)
		return -errno;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	/* A private table takes its pages as it needs them. */
	r = segment_map(s, PROT_READ | PROT_WRITE, reserve ? MAP_POPULATE : 0);
	if (r < 0)
		return r;
	memcpy(s->base, &s->constants, sizeof(s->constants));
	return 0;
}

int
segment_create(struct segment *ret, const char *name, uint32_t clients, uint32_t long_clients)
{
	CLEANUP(segment_done) struct segment s = {.fd = -1};
	char path[256], self[64];
	int r;

	r = segment_path(path, sizeof(path), name);
	if (r < 0)
		return r;
	s.fd = open(SEGMENT_FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s.fd < 0)
		return -errno;
	r = segment_build(&s, clients, long_clients, true);
	if (r < 0)
		return r;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", s.fd);
	if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	*ret = s;
	s = (struct segment){.fd = -1};
	return 0;
}

int
segment_create_private(struct segment *ret, uint32_t clients, uint32_t long_clients)
{
	CLEANUP(segment_done) struct segment s = {.fd = -1, .is_private = true};
	int r;

	s.fd = memfd_create("herd-private", MFD_CLOEXEC);
	if (s.fd < 0)
		return -errno;
	r = segment_build(&s, clients, long_clients, false);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct segment){.fd = -1};
	return 0;
}

int
segment_share(struct segment *ret, const struct segment *other)
{
	struct segment s = *other;
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", other->fd);
	s.fd = open(self, O_RDWR | O_CLOEXEC);
	if (s.fd < 0)
		return -errno;
	/* Relaxed: whoever shares has it, so it cannot go away meanwhile. */
	atomic_fetch_add_explicit(s.shares, 1, memory_order_relaxed);
	*ret = s;
	return 0;
}

/* Somebody who has it open holds a process lock. */
static bool
segment_in_use(int fd)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = SEGMENT_LOCK_PROCESS,
		.l_len = SEGMENT_PROCESSES,
	};

	return fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

/* Unlinks the name under the registry's lock, if it still leads to fd. */
static int
remove_locked(const char *name, int fd, const struct stat *st)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SEGMENT_LOCK_REGISTRY, .l_len = 1};
	struct stat now;
	char path[256];
	int r;

	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return -EAGAIN; /* somebody else is at it */
	r = segment_path(path, sizeof(path), name);
	if (r < 0)
		return r;
	if (lstat(path, &now) < 0)
		return -errno;
	if (now.st_dev != st->st_dev || now.st_ino != st->st_ino)
		return 0; /* already replaced */
	return unlink(path) < 0 ? -errno : 0;
}

int
segment_remove(const char *name, bool only_unused)
{
	CLEANUP(cleanup_close) int fd = -1;
	struct stat st;

	fd = open_checked(name, false, &st);
	if (fd < 0)
		return fd;
	if (only_unused && segment_in_use(fd))
		return -EBUSY;
	return remove_locked(name, fd, &st);
}

int
segment_remove_same(const char *name, const struct segment *s)
{
	CLEANUP(cleanup_close) int fd = -1;
	struct stat st;

	if (s->is_private)
		return 0;
	fd = open_checked(name, false, &st);
	if (fd < 0)
		return fd;
	if (st.st_dev != s->dev || st.st_ino != s->ino)
		return 0;
	return remove_locked(name, fd, &st);
}

int
segment_follow(const struct segment *s, const char *name)
{
	struct segment_constants now;
	struct stat st;
	char path[256];

	if (s->is_private || segment_path(path, sizeof(path), name) < 0)
		return 1;
	if (lstat(path, &st) < 0 || st.st_dev != s->dev || st.st_ino != s->ino)
		return 1;
	if ((uint64_t)st.st_size != s->constants.bytes ||
	    pread(s->fd, &now, sizeof(now), 0) != (ssize_t)sizeof(now))
		return 1;
	return memcmp(&now, &s->constants, sizeof(now)) != 0;
}

void
segment_done(struct segment *s)
{
	/* Acquire and release: what the others did with it comes before it is gone. */
	if (s->base && atomic_fetch_sub_explicit(s->shares, 1, memory_order_acq_rel) == 1) {
		munmap(s->base, s->constants.bytes);
		free(s->shares);
	}
	if (s->fd >= 0)
		close(s->fd);
	s->base = NULL;
	s->shares = NULL;
	s->fd = -1;
}
