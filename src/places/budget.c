/*
 * Budget: the second's limit is a virtual clock ("generic cell rate
 * algorithm"): each request moves it on by the time that one takes at the
 * limit, and it must not run ahead by more than a second.
 */
#include "places/budget.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/digits.h"
#include "base/file.h"

enum {
	FILE_MAX = 256,	   /* bytes that are read of it */
	BLOCKS = 100,	   /* of a day */
	DAY_MAX = 1000000, /* the year 4707 */
	DIGITS_MAX = 10,
};

#define DAY_NS	    (86400 * CLOCK_SECOND_NS)
#define FILE_FORMAT "herd-budget 1\nday %lld\nused %u\n"

struct budget {
	uint32_t per_second, per_day;
	int64_t ahead_ns; /* the virtual clock */
	int64_t day;	  /* days since 1970; -1: none yet */
	uint32_t used;	  /* of it */
	uint32_t written; /* what the file says was used: at least `used` while there is a limit */
	int folder;	  /* -1: none */
	char name[FILE_NAME_MAX + 1];
	char trouble[FILE_NAME_MAX + 200]; /* "": none */
	bool is_told, is_failing;
};

/* --- the file ----------------------------------------------------------------- */

static bool
take_word(struct text *t, struct text word)
{
	if (t->len < word.len || memcmp(t->at, word.at, word.len) != 0)
		return false;
	t->at += word.len;
	t->len -= word.len;
	return true;
}

static bool
take_number(struct text *t, uint64_t max, uint64_t *ret)
{
	const char *at = t->at;

	if (digits_take(&at, t->at + t->len, DIGITS_MAX, ret) == 0 || *ret > max)
		return false;
	t->len -= (size_t)(at - t->at);
	t->at = at;
	return true;
}

int
budget_parse(struct text file, int64_t *ret_day, uint32_t *ret_used)
{
	uint64_t day, used;

	if (!take_word(&file, TEXT("herd-budget 1\nday ")) || !take_number(&file, DAY_MAX, &day) ||
	    !take_word(&file, TEXT("\nused ")) || !take_number(&file, UINT32_MAX, &used) ||
	    !text_equal(file, TEXT("\n")))
		return -EBADMSG;
	*ret_day = (int64_t)day;
	*ret_used = (uint32_t)used;
	return 0;
}

static void
trouble(struct budget *b, const char *what, int error)
{
	if (b->is_failing)
		return;
	b->is_failing = true;
	b->is_told = false;
	snprintf(b->trouble, sizeof(b->trouble), "%s '%s': %s", what, b->name,
		 error == -EBADMSG ? "it is damaged" : strerror(-error));
}

static void
read_file(struct budget *b)
{
	CLEANUP(buffer_done) struct buffer file = {.max = FILE_MAX};
	int r = file_read(b->folder, b->name, &file);

	if (r == -ENOENT)
		return;
	if (r == 0)
		r = budget_parse((struct text){file.bytes, file.len}, &b->day, &b->used);
	b->written = b->used;
	if (r == -EFBIG)
		r = -EBADMSG;
	if (r < 0)
		trouble(b, "Cannot use the count of requests in", r);
	b->is_failing = false; /* what is written over it is another matter */
}

static void
write_file(struct budget *b, uint32_t used)
{
	char text[FILE_MAX], fresh[FILE_NAME_MAX + 8];
	int len, r;

	if (b->folder < 0)
		return;
	len = snprintf(text, sizeof(text), FILE_FORMAT, (long long)b->day, used);
	snprintf(fresh, sizeof(fresh), ".%s.new", b->name);
	r = file_write_fresh(b->folder, fresh, (struct text){text, (size_t)len}, false);
	if (r == 0 && renameat(b->folder, fresh, b->folder, b->name) < 0)
		r = -errno;
	if (r == 0) {
		b->is_failing = false;
		return;
	}
	(void)unlinkat(b->folder, fresh, 0);
	trouble(b, "Cannot keep the count of requests over a restart in", r);
}

const char *
budget_trouble(struct budget *b)
{
	if (b->is_told || !b->trouble[0])
		return NULL;
	b->is_told = true;
	return b->trouble;
}

/* --- the day ------------------------------------------------------------------ */

/* The day that counts at this time of day. */
static int64_t
day_of(const struct budget *b, int64_t wall_ns)
{
	int64_t day = wall_ns > 0 ? wall_ns / DAY_NS : 0;

	return day == b->day - 1 ? b->day : day;
}

static void
turn_day(struct budget *b, int64_t wall_ns)
{
	int64_t day = day_of(b, wall_ns);

	if (day == b->day)
		return;
	if (day > b->day)
		b->used = 0;
	b->day = day;
	b->written = b->used; /* the file speaks of another day */
}

/* The file says that some more are used before they are. */
static void
reserve(struct budget *b)
{
	uint32_t block = b->per_day / BLOCKS ? b->per_day / BLOCKS : 1;

	if (b->used < b->written)
		return;
	b->written = b->per_day - b->used < block ? b->per_day : b->used + block;
	write_file(b, b->written);
}

uint32_t
budget_used(const struct budget *b, int64_t wall_ns)
{
	return day_of(b, wall_ns) > b->day ? 0 : b->used;
}

/* --- both ----------------------------------------------------------------------- */

static int64_t
interval_ns(const struct budget *b)
{
	return CLOCK_SECOND_NS / b->per_second;
}

int64_t
budget_wait_ns(const struct budget *b, int64_t now_ns)
{
	int64_t over_ns;

	if (b->per_second == 0 || b->ahead_ns <= now_ns)
		return 0;
	over_ns = b->ahead_ns + interval_ns(b) - now_ns - CLOCK_SECOND_NS;
	return over_ns > 0 ? over_ns : 0;
}

int
budget_take(struct budget *b, int64_t now_ns, int64_t wall_ns)
{
	turn_day(b, wall_ns);
	if (b->per_day > 0 && b->used >= b->per_day)
		return BUDGET_E_DAY;
	if (budget_wait_ns(b, now_ns) > 0)
		return BUDGET_E_SECOND;
	if (b->per_second > 0)
		b->ahead_ns = (b->ahead_ns > now_ns ? b->ahead_ns : now_ns) + interval_ns(b);
	if (b->per_day > 0)
		reserve(b);
	if (b->used < UINT32_MAX)
		b->used++;
	return 0;
}

void
budget_limit(struct budget *b, uint32_t per_second, uint32_t per_day)
{
	if (b->per_second != per_second)
		b->ahead_ns = 0;
	if (b->per_day != per_day)
		b->written = b->used; /* blocks of another size; the next request writes one */
	b->per_second = per_second;
	b->per_day = per_day;
}

int
budget_new(struct budget **ret, const char *folder, const char *name)
{
	struct budget *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->day = -1;
	b->folder = -1;
	snprintf(b->name, sizeof(b->name), "%s", name);
	if (folder && folder[0]) {
		b->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (b->folder < 0)
			trouble(b, "Cannot keep the count of requests over a restart in", -errno);
		else
			read_file(b);
	}
	*ret = b;
	return 0;
}

struct budget *
budget_free(struct budget *b)
{
	if (!b)
		return NULL;
	if (b->day >= 0 && b->per_day > 0 && b->written != b->used)
		write_file(b, b->used);
	if (b->folder >= 0)
		close(b->folder);
	free(b);
	return NULL;
}
