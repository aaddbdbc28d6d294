/*
 * Kills a writer of the fix table after every single instruction.
 *
 * A child does one operation between two marks while ptrace steps it. After
 * every step the segment is compared with what it was before; where it
 * changed, a copy becomes a segment of its own and is judged: every fix whole,
 * the client's old or new one, its neighbours untouched, nobody twice, and
 * another writer can go on at once.
 *
 * Why such a copy equals a kill: what a dead process leaves of its own is only
 * what it had stored, and while it is stopped all its stores of the
 * instructions so far are in the segment and none of a later one. What the
 * kernel takes away with it is its descriptor and so its OFD lock; the copy is
 * a new file on which nobody ever held a lock, so that every owner named in it
 * is as dead. Where the bytes did not change since the last instruction, the
 * verdict is the same. Beside that every scenario is repeated with real
 * SIGKILLs: at each instruction where the segment changed, or up to a limit of
 * those, and at others in between.
 *
 * Whoever takes changes is told, too: what the dead one had published it finds
 * by its mark; without any marks, by comparing; and a taker that is new, all
 * there is. While the writer is only stopped, anywhere, and goes on after the
 * taker has looked, the taker finds it in that round or in the next.
 *
 * table-step [SCENARIO]...
 */
#include "stepper.h"

#include "core/segment.h"

enum {
	NEIGHBOURS_MAX = 64,
	CHANGES_MAX = 4096,
	KILLS_EVENLY = 60,	/* real kills at even distances ... */
	KILLS_AT_CHANGES = 120, /* ... and where the segment changed */
	WRITER_OLD = 0,
	WRITER_NEW = 1,
	WRITER_NEXT = 2,
	WRITER_REMOTE = 9,
	VERSION_OLD = 1000,
	VERSION_NEW = 2000,
	VERSION_NEXT = 3000,
};

#define TTL_NS (500 * INT64_C(1000)) /* between the versions of the expired and the others */

struct client {
	char bytes[HERD_ID_MAX];
	size_t len;
	uint64_t version; /* 0: not there */
	bool may_go;	  /* evicted or expired by the operation */
};

static inline struct text
client_id(const struct client *c)
{
	return (struct text){c->bytes, c->len};
}

/* What must hold at every crash point. */
struct world {
	struct client target, neighbour[NEIGHBOURS_MAX];
	size_t neighbours;
	struct herd_fix fix; /* to put: the target's new version */
	size_t go_max; /* how many of those that may go can be gone at once; all of them when it is done */
};

enum telling {
	TOLD_BY_MARK = 0, /* what the operation stores, and nothing else */
	TOLD_NEVER,	  /* it stores what a peer said */
	TOLD_BEFORE,	  /* it takes changes itself */
};

struct scenario {
	const char *name;
	uint32_t clients, long_clients;
	void (*prepare)(struct world *w, struct table *t);
	int (*operate)(struct table *t, const struct world *w); /* returns 0 when it did what it should */
	bool is_registering;					/* the operation registers by itself */
	bool stores;	     /* the target's new version, when it is done */
	unsigned int writer; /* of that version */
	enum telling telling;
};

/* --- judging a segment ---------------------------------------------------------- */

/* What a judge saw. */
struct verdict {
	bool is_new;	 /* the target's new version is there */
	bool was_locked; /* somebody had to take a lock from the dead */
	size_t gone;
};

static const struct client *
world_client(const struct world *w, struct text id)
{
	if (text_equal(client_id(&w->target), id))
		return &w->target;
	for (size_t i = 0; i < w->neighbours; i++)
		if (text_equal(client_id(&w->neighbour[i]), id))
			return &w->neighbour[i];
	return NULL;
}

/* Everything iterated is whole, known, and there once; and it is all that is in use. */
static void
judge_iteration(const struct world *w, struct table *t)
{
	const struct client *seen[NEIGHBOURS_MAX + 1];
	struct table_info info;
	struct herd_fix fix;
	uint64_t cursor = 0, version;
	unsigned int writer;
	size_t count = 0;
	int r;

	while ((r = table_next(t, &cursor, 0, &fix, NULL)) == 0) {
		const struct client *c = world_client(w, (struct text){fix.id, fix.id_len});

		CHECK(help_check(&fix, &version, &writer), "torn fix of %.*s", fix.id_len, fix.id);
		CHECK(c != NULL, "stranger %.*s", fix.id_len, fix.id);
		for (size_t i = 0; i < count; i++)
			CHECK(seen[i] != c, "%.*s is there twice", fix.id_len, fix.id);
		NEED(count <= NEIGHBOURS_MAX);
		seen[count++] = c;
	}
	CHECK(r == TABLE_E_END, "iteration: %d", r);
	CHECK(table_info(t, &info) == 0 && info.used + info.long_used == count, "%llu in use, %zu seen",
	      (unsigned long long)(info.used + info.long_used), count);
}

static void
judge_reader(const struct world *w, struct table *t, struct verdict *v)
{
	uint64_t version;
	int r;

	for (size_t i = 0; i < w->neighbours; i++) {
		const struct client *c = &w->neighbour[i];

		r = help_version(t, client_id(c), &version);
		if (c->may_go && r == TABLE_E_UNKNOWN)
			v->gone++;
		else
			CHECK(r == 0 && version == c->version, "neighbour %.*s: %d", (int)c->len, c->bytes,
			      r);
	}
	CHECK(v->gone <= w->go_max, "%zu are gone", v->gone);

	r = help_version(t, client_id(&w->target), &version);
	v->is_new = r == 0 && version == VERSION_NEW;
	if (!v->is_new)
		CHECK(w->target.version ? r == 0 && version == w->target.version : r == TABLE_E_UNKNOWN,
		      "target: %d", r);
	judge_iteration(w, t);
}

/* The names of the dead are free. */
static void
judge_names(const char *name)
{
	static const char *const names[] = {"w0", "w1", "w5"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct table *t = NULL;
		int r = help_open(&t, name, 1, 1, 0);

		if (r == 0)
			r = table_register(t, TABLE_MEMBER, names[i], "");
		CHECK(r == 0, "%s cannot come back: %d", names[i], r);
		table_free(t);
	}
}

/* Somebody else goes on: the target, its neighbours, a server with a new name. */
static void
judge_next_writer(const struct world *w, const char *name, struct verdict *v)
{
	struct table *t = NULL, *restarted = NULL;
	struct herd_fix fix;
	uint64_t version;
	int r;

	/* The dead one comes back first, in the entry it had: what it left locked is still a dead one's. */
	r = help_open_writer(&restarted, name, 1, 1, WRITER_NEW);
	CHECK(r == 0, "restarted writer: %d", r);
	r = help_open_writer(&t, name, 1, 1, WRITER_NEXT);
	CHECK(r == 0, "next writer: %d", r);
	if (r != 0) {
		table_free(restarted);
		return;
	}
	r = help_put_version(t, client_id(&w->target), VERSION_NEXT, WRITER_NEXT);
	CHECK(r == 0, "put of the next writer: %d", r);
	r = help_version(t, client_id(&w->target), &version);
	CHECK(r == 0 && version == VERSION_NEXT, "find after the next writer: %d", r);
	for (size_t i = 0; i < w->neighbours; i++) {
		const struct client *c = &w->neighbour[i];

		if (help_version(t, client_id(c), &version) != 0)
			continue;
		r = help_put_version(t, client_id(c), VERSION_NEXT, WRITER_NEXT);
		CHECK(r == 0, "put over neighbour %.*s: %d", (int)c->len, c->bytes, r);
	}
	help_fix(&fix, client_id(&w->target), VERSION_NEXT + 1, WRITER_REMOTE + 1);
	r = table_merge(t, &fix);
	CHECK(r == 0, "merge of a new server's: %d", r);
	judge_iteration(w, t);
	v->was_locked = help_counter(t, TABLE_COUNTER_stolen) > 0;
	CHECK(help_sweep(t, 0) == 0, "sweep");
	CHECK(help_counter(t, TABLE_COUNTER_damaged) == 0, "damaged slots");
	judge_iteration(w, t);
	table_free(restarted);
	table_free(t);
}

static struct verdict
judge(const struct world *w, const char *name)
{
	struct verdict v = {0};
	struct table *t = NULL;
	int r = table_open_readonly(&t, name, 0);

	CHECK(r == 0, "open: %d", r);
	if (r != 0)
		return v;
	judge_reader(w, t, &v);
	table_free(t);
	judge_next_writer(w, name, &v);
	judge_names(name);
	return v;
}

/* --- judging what a taker of changes hears --------------------------------------- */

struct told {
	const struct world *world;
	uint64_t version; /* of the target; 0: nothing */
	size_t fixes, gone;
};

static void
on_changed(void *arg, uint64_t slot, const struct herd_fix *fix)
{
	struct told *told = arg;
	struct text id = {fix->id, fix->id_len};
	uint64_t version = 0;
	unsigned int writer;

	(void)slot;
	CHECK(help_check(fix, &version, &writer), "told of a torn fix of %.*s", fix->id_len, fix->id);
	CHECK(world_client(told->world, id) != NULL, "told of a stranger %.*s", fix->id_len, fix->id);
	if (text_equal(id, client_id(&told->world->target)))
		told->version = version;
	told->fixes++;
}

static void
on_gone(void *arg, uint64_t slot)
{
	struct told *told = arg;

	(void)slot;
	told->gone++;
}

static void
take_round(struct table *t, struct told *told)
{
	uint64_t cursor = 0, round;
	int r;

	do
		r = table_take_changes(t, &cursor, 1, on_changed, told, &round);
	while (r == 0);
	CHECK(r == TABLE_E_END, "taking: %d", r);
}

/* Of a taker that knows all slots or none. */
static void
compare_all(struct table *t, struct told *told, bool knows)
{
	size_t words = (size_t)table_slots(t) / 64 + 1;
	uint64_t *known = malloc(words * sizeof(*known)), cursor = 0;
	int r;

	NEED(known);
	memset(known, knows ? 0xff : 0, words * sizeof(*known));
	do
		r = table_compare(t, &cursor, 20, known, on_changed, on_gone, told);
	while (r == 0);
	CHECK(r == TABLE_E_END, "comparing: %d", r);
	free(known);
}

static struct table *
taker_open(const char *name)
{
	struct table *t = NULL;

	NEED(help_open(&t, name, 1, 1, 0) == 0);
	NEED(table_register(t, TABLE_HELPER, "taker", "") == 0);
	return t;
}

/* What there is for a taker that has been told of all the rest before. */
static uint64_t
version_to_tell(const struct world *w, struct table *t, enum telling telling)
{
	uint64_t version = 0;

	return telling == TOLD_BY_MARK && help_version(t, client_id(&w->target), &version) == 0 &&
			       version == VERSION_NEW
		       ? VERSION_NEW
		       : 0;
}

static void
judge_marks(const struct world *w, const char *name, enum telling telling)
{
	struct told marked = {.world = w}, dirty = {.world = w}, all = {.world = w};
	struct table *t = taker_open(name);
	uint64_t version = version_to_tell(w, t, telling);
	struct table_info info;

	take_round(t, &marked);
	CHECK(marked.version == version || telling == TOLD_BEFORE, "marks told of %llu instead of %llu",
	      (unsigned long long)marked.version, (unsigned long long)version);
	CHECK(marked.fixes == (version != 0) || telling == TOLD_BEFORE, "marks told of %zu fixes",
	      marked.fixes);
	compare_all(t, &dirty, true);
	CHECK(dirty.fixes == 0 || telling == TOLD_BEFORE, "%zu fixes are dirty without a mark", dirty.fixes);
	compare_all(t, &all, false);
	CHECK(table_info(t, &info) == 0 && all.fixes == info.used + info.long_used && all.gone == 0,
	      "a new taker is told of %zu fixes", all.fixes);
	CHECK(table_sleep(t) && table_wants_wake(t), "marks are left when all is taken");
	table_free(t);
}

static void
judge_without_marks(const struct world *w, const char *name, enum telling telling)
{
	struct told dirty = {.world = w};
	struct table *t = taker_open(name);
	uint64_t version = version_to_tell(w, t, telling);

	compare_all(t, &dirty, true);
	CHECK(dirty.version == version && dirty.fixes == (version != 0),
	      "comparing told of %llu instead of %llu", (unsigned long long)dirty.version,
	      (unsigned long long)version);
	table_free(t);
}

/* All marks of a segment at once. */
static void
image_set_marks(struct image *image, int byte)
{
	const struct segment_constants *c = (const struct segment_constants *)(const void *)image->bytes;
	uint64_t buckets = (uint64_t)c->class[SEGMENT_SHORT].buckets + c->class[SEGMENT_LONG].buckets;

	memset(image->bytes + c->marks_offset, byte, (buckets + 63) / 64 * 8);
}

/* The image is changed. */
static void
judge_taker(const struct world *w, struct image *image, const char *name, enum telling telling)
{
	image_write(image, name);
	judge_marks(w, name, telling);
	if (telling == TOLD_BEFORE)
		return;
	image_set_marks(image, 0);
	image_write(image, name);
	judge_without_marks(w, name, telling);
}

/* --- the child that is stepped ---------------------------------------------------- */

static void
child_run(const struct scenario *s, const struct world *w, const char *name)
{
	struct table *t = NULL;
	int r;

	r = s->is_registering ? help_open(&t, name, 1, 1, 0) : help_open_writer(&t, name, 1, 1, WRITER_NEW);
	if (r != 0)
		_exit(1);
	child_is_ready();
	r = s->operate(t, w);
	child_has_done();
	marks->result = r;
	_exit(0);
}

/* Starts a child and lets it come to its mark. */
static pid_t
child_start(const struct scenario *s, const struct world *w, const char *name)
{
	pid_t pid = child_fork();

	if (pid == 0)
		child_run(s, w, name);
	child_wait_ready(pid);
	return pid;
}

/* --- one scenario -------------------------------------------------------------------- */

struct run {
	const struct scenario *scenario;
	struct world world;
	struct image pristine;
	char name[HELP_NAME_MAX], copy[HELP_NAME_MAX];
	struct path path;
	unsigned long steps, changes;
	unsigned long change_at[CHANGES_MAX]; /* instructions after which the segment was another one */
	bool locked_at[CHANGES_MAX];	      /* and then held a lock */
};

static void
run_prepare(struct run *run)
{
	const struct scenario *s = run->scenario;
	struct table *t = NULL;

	help_name(run->name);
	help_name(run->copy);
	NEED(help_open_writer(&t, run->name, s->clients, s->long_clients, WRITER_OLD) == 0);
	s->prepare(&run->world, t);
	if (s->telling != TOLD_BEFORE)
		take_round(t, &(struct told){.world = &run->world});
	help_fix(&run->world.fix, client_id(&run->world.target), VERSION_NEW, s->writer);
	table_free(t);
	image_read(&run->pristine, run->name);
}

/* Judges the segment as the stopped child has it now. */
static void
run_judge_copy(struct run *run, const struct image *now)
{
	struct image other = {malloc(now->size), now->size};
	struct verdict v;

	image_write(now, run->copy);
	v = judge(&run->world, run->copy);
	NEED(other.bytes);
	memcpy(other.bytes, now->bytes, now->size);
	judge_taker(&run->world, &other, run->copy, run->scenario->telling);
	free(other.bytes);
	if (run->changes < CHANGES_MAX) {
		run->change_at[run->changes] = run->steps;
		run->locked_at[run->changes] = v.was_locked;
	}
	run->changes++;
}

static void
run_judge_end(const struct run *run)
{
	struct verdict v;

	CHECK(marks->result == 0, "the operation itself: %d", marks->result);
	v = judge(&run->world, run->name);
	CHECK(v.is_new == run->scenario->stores, "the operation is done, but not its work");
	CHECK(v.gone == run->world.go_max, "%zu are gone, expected %zu", v.gone, run->world.go_max);
}

/* A copy after every instruction. */
static void
run_every_step(struct run *run)
{
	struct image last = {malloc(run->pristine.size), run->pristine.size};
	size_t size = run->pristine.size;
	int fd;
	void *live;
	pid_t pid;

	NEED(last.bytes);
	image_write(&run->pristine, run->name);
	pid = child_start(run->scenario, &run->world, run->name);
	fd = open(help_path(run->name), O_RDONLY | O_CLOEXEC);
	NEED(fd >= 0);
	live = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	NEED(live != MAP_FAILED);
	close(fd);

	path_add(&run->path, child_address(pid));
	while (marks->phase < 2) {
		child_step(pid);
		path_add(&run->path, child_address(pid));
		run->path.before += marks->phase == 0;
		if (marks->phase != 1)
			continue;
		if (run->steps++ == 0 || memcmp(last.bytes, live, size) != 0) {
			memcpy(last.bytes, live, size);
			run_judge_copy(run, &last);
		}
		NEED(run->steps < STEPS_MAX);
	}
	child_finish(pid);
	munmap(live, size);
	free(last.bytes);
	run_judge_end(run);
	checks_end("%s: %lu crash points, %lu states", run->scenario->name, run->steps, run->changes);
}

static bool
run_kill_at(const struct run *run, unsigned long step)
{
	struct image left;
	pid_t pid;

	image_write(&run->pristine, run->name);
	pid = child_start(run->scenario, &run->world, run->name);
	if (!child_go_to(pid, &run->path, step))
		return false;
	child_kill(pid);
	image_read(&left, run->name);
	(void)judge(&run->world, run->name);
	judge_taker(&run->world, &left, run->copy, run->scenario->telling);
	free(left.bytes);
	return true;
}

static void
run_real_kills(const struct run *run)
{
	unsigned long changes = run->changes < CHANGES_MAX ? run->changes : CHANGES_MAX;
	unsigned long every = changes / KILLS_AT_CHANGES + 1, kills = 0;

	for (unsigned long i = 0; i < changes; i += every)
		kills += run_kill_at(run, run->change_at[i]);
	for (unsigned long i = 1; i <= KILLS_EVENLY || kills < 100; i++) {
		kills += run_kill_at(
			run, path_near(&run->path, run->steps * i / (KILLS_EVENLY + 1) % run->steps + 1));
		if (i > 10 * KILLS_EVENLY)
			break;
	}
	CHECK(kills >= 100, "only %lu kills hit", kills);
	checks_end("%s: %lu real kills", run->scenario->name, kills);
}

/* A holder that lives but does not go on: readers do not notice, a writer gives up soon and
   takes nothing; when the holder goes on, or dies, all is well. */
static void
run_stopped_holder(const struct run *run)
{
	unsigned long changes = run->changes < CHANGES_MAX ? run->changes : CHANGES_MAX, tried = 0;
	int64_t longest_ns = 0;

	for (unsigned long i = 0; i < changes; i++) {
		struct table *t = NULL;
		uint64_t version;
		int64_t since_ns;
		pid_t pid;
		int r;

		if (!run->locked_at[i] || (i % 7 != 0 && i + 1 < changes))
			continue;
		image_write(&run->pristine, run->name);
		pid = child_start(run->scenario, &run->world, run->name);
		NEED(child_go_to(pid, &run->path, run->change_at[i]));
		NEED(help_open_writer(&t, run->name, 1, 1, WRITER_NEXT) == 0);
		for (size_t n = 0; n < run->world.neighbours; n++) {
			const struct client *c = &run->world.neighbour[n];

			r = help_version(t, client_id(c), &version);
			CHECK(r == 0 || c->may_go, "neighbour beside a stopped holder: %d", r);
		}
		since_ns = clock_monotonic_ns();
		r = help_put_version(t, client_id(&run->world.target), VERSION_NEXT, WRITER_NEXT);
		since_ns = clock_monotonic_ns() - since_ns;
		CHECK(r == TABLE_E_BUSY, "put beside a stopped holder: %d", r);
		CHECK(help_counter(t, TABLE_COUNTER_stolen) == 0, "taken from the living");
		longest_ns = since_ns > longest_ns ? since_ns : longest_ns;
		if (tried++ % 2)
			child_finish(pid);
		else
			child_kill(pid);
		r = help_put_version(t, client_id(&run->world.target), VERSION_NEXT, WRITER_NEXT);
		CHECK(r == 0, "put after a stopped holder: %d", r);
		judge_iteration(&run->world, t);
		table_free(t);
	}
	CHECK(tried > 0, "no instruction held a lock");
	CHECK(longest_ns < CLOCK_SECOND_NS, "a put waited %lld ms", (long long)(longest_ns / CLOCK_MSEC_NS));
	checks_end("%s: %lu stopped holders, a put gives up after at most %.1f ms", run->scenario->name,
		   tried, (double)longest_ns / CLOCK_MSEC_NS);
}

/* A taker looks while the writer stands at each of its instructions where the segment changed, and at some
   others; the writer goes on, and the taker looks again. */
static void
run_beside_taker(const struct run *run, bool is_marked)
{
	unsigned long changes = run->changes < CHANGES_MAX ? run->changes : CHANGES_MAX;
	unsigned long points = changes + KILLS_EVENLY, tried = 0, later = 0;
	struct image image = {malloc(run->pristine.size), run->pristine.size};

	NEED(image.bytes);
	memcpy(image.bytes, run->pristine.bytes, image.size);
	if (is_marked) /* for fixes that were taken long ago: the writer sees no need to mark again */
		image_set_marks(&image, 0xff);
	for (unsigned long i = 0; i < points; i++) {
		unsigned long step = i < changes ? run->change_at[i]
						 : path_near(&run->path, run->steps * (i - changes + 1) /
											 (KILLS_EVENLY + 1) +
										 1);
		struct told first = {.world = &run->world}, second = first, rest = first;
		struct table *t;
		pid_t pid;

		image_write(&image, run->name);
		t = taker_open(run->name); /* while nobody holds the lock of the names */
		pid = child_start(run->scenario, &run->world, run->name);
		if (!child_go_to(pid, &run->path, step)) {
			table_free(t);
			continue;
		}
		take_round(t, &first);
		child_finish(pid);
		take_round(t, &second);
		CHECK(first.version == VERSION_NEW || second.version == VERSION_NEW,
		      "never told, stopped after %lu steps", step);
		CHECK(first.fixes + second.fixes == 1, "told %zu + %zu times", first.fixes, second.fixes);
		compare_all(t, &rest, true);
		CHECK(rest.fixes == 0, "dirty after all");
		CHECK(table_sleep(t), "marked after all");
		later += second.version == VERSION_NEW;
		tried++;
		table_free(t);
	}
	CHECK(tried >= KILLS_EVENLY && later > 0 && later < tried, "%lu of %lu were told later", later,
	      tried);
	checks_end("%s: a taker beside it at %lu instructions%s, told later at %lu", run->scenario->name,
		   tried, is_marked ? ", all marked before" : "", later);
	free(image.bytes);
}

static void
run_done(struct run *run)
{
	(void)table_unlink(run->name);
	(void)table_unlink(run->copy);
	free(run->pristine.bytes);
	path_done(&run->path);
	free(run);
}

/* --- the operations ---------------------------------------------------------------------- */

static void
world_client_set(struct client *c, uint32_t n, size_t len, uint64_t version)
{
	help_id(c->bytes, n, len);
	c->len = len;
	c->version = version;
}

static void
world_neighbour(struct world *w, struct table *t, uint32_t n, size_t len, uint64_t version, bool may_go)
{
	struct client *c = &w->neighbour[w->neighbours++];

	NEED(w->neighbours <= NEIGHBOURS_MAX);
	world_client_set(c, n, len, version);
	c->may_go = may_go;
	NEED(help_put_version(t, client_id(c), version, WRITER_OLD) == 0);
}

static void
prepare_some(struct world *w, struct table *t)
{
	for (uint32_t i = 0; i < 12; i++)
		world_neighbour(w, t, i, i < 6 ? 20 : 40, VERSION_OLD, false);
	world_neighbour(w, t, 100, 200, VERSION_OLD, false);
}

static void
prepare_insert(struct world *w, struct table *t)
{
	prepare_some(w, t);
	world_client_set(&w->target, 99, 37, 0);
}

static void
prepare_update(struct world *w, struct table *t)
{
	prepare_insert(w, t);
	w->target.version = VERSION_OLD;
	NEED(help_put_version(t, client_id(&w->target), VERSION_OLD, WRITER_OLD) == 0);
}

static void
prepare_insert_long(struct world *w, struct table *t)
{
	prepare_some(w, t);
	world_client_set(&w->target, 99, 255, 0);
}

static void
prepare_update_long(struct world *w, struct table *t)
{
	prepare_insert_long(w, t);
	w->target.version = VERSION_OLD;
	NEED(help_put_version(t, client_id(&w->target), VERSION_OLD, WRITER_OLD) == 0);
}

/* Both buckets of every client are full; the first is the oldest. */
static void
prepare_full(struct world *w, struct table *t)
{
	struct table_info info;

	NEED(table_info(t, &info) == 0 && info.slots == 30);
	for (uint32_t i = 0; i < info.slots; i++)
		world_neighbour(w, t, i, 24, VERSION_OLD + i, i == 0);
	NEED(table_info(t, &info) == 0 && info.used == info.slots && info.evicted == 0);
	world_client_set(&w->target, 99, 37, 0);
	w->go_max = 1;
}

static void
prepare_full_long(struct world *w, struct table *t)
{
	struct table_info info;

	NEED(table_info(t, &info) == 0 && info.long_slots == 30);
	for (uint32_t i = 0; i < info.long_slots; i++)
		world_neighbour(w, t, i, 100 + i, VERSION_OLD + i, i == 0);
	world_client_set(&w->target, 99, 255, 0);
	w->go_max = 1;
}

static void
prepare_expired(struct world *w, struct table *t)
{
	for (uint32_t i = 0; i < 6; i++)
		world_neighbour(w, t, i, 24, i % 2 ? 1 : VERSION_OLD, i % 2);
	world_neighbour(w, t, 50, 240, 1, true);
	w->go_max = 4;
	world_client_set(&w->target, 99, 37, VERSION_OLD);
	NEED(help_put_version(t, client_id(&w->target), VERSION_OLD, WRITER_OLD) == 0);
}

static int
operate_put(struct table *t, const struct world *w)
{
	return help_put(t, &w->fix);
}

static int
operate_merge(struct table *t, const struct world *w)
{
	return table_merge(t, &w->fix);
}

static int
operate_from_peer(struct table *t, const struct world *w)
{
	uint64_t slot;
	bool is_same;

	return table_merge_from_peer(t, &w->fix, HELP_BASE_NS, &slot, &is_same);
}

static int
operate_take(struct table *t, const struct world *w)
{
	struct told told = {.world = w};

	take_round(t, &told);
	return told.fixes == w->neighbours + 1 && told.version == VERSION_OLD ? 0 : -1;
}

static int
operate_sweep(struct table *t, const struct world *w)
{
	(void)w;
	table_set_ttl(t, TTL_NS);
	return help_sweep(t, HELP_BASE_NS + (int64_t)VERSION_OLD * 1000);
}

static int
operate_register(struct table *t, const struct world *w)
{
	(void)w;
	return table_register(t, TABLE_MEMBER, "w5", "127.0.0.1:12000");
}

static const struct scenario scenarios[] = {
	{"update", 30, 8, prepare_update, operate_put, false, true, WRITER_NEW, TOLD_BY_MARK},
	{"insert", 30, 8, prepare_insert, operate_put, false, true, WRITER_NEW, TOLD_BY_MARK},
	{"insert-evict", 8, 8, prepare_full, operate_put, false, true, WRITER_NEW, TOLD_BY_MARK},
	{"update-long", 30, 8, prepare_update_long, operate_put, false, true, WRITER_NEW, TOLD_BY_MARK},
	{"insert-long", 30, 8, prepare_insert_long, operate_put, false, true, WRITER_NEW, TOLD_BY_MARK},
	{"insert-evict-long", 8, 8, prepare_full_long, operate_put, false, true, WRITER_NEW, TOLD_BY_MARK},
	{"merge", 30, 8, prepare_update, operate_merge, false, true, WRITER_REMOTE, TOLD_BY_MARK},
	{"from-peer", 30, 8, prepare_update, operate_from_peer, false, true, WRITER_REMOTE, TOLD_NEVER},
	{"from-peer-insert", 30, 8, prepare_insert, operate_from_peer, false, true, WRITER_REMOTE,
	 TOLD_NEVER},
	{"take", 30, 8, prepare_update, operate_take, false, false, WRITER_NEW, TOLD_BEFORE},
	{"sweep-expire", 8, 8, prepare_expired, operate_sweep, false, false, WRITER_NEW, TOLD_BY_MARK},
	{"register", 8, 8, prepare_update, operate_register, true, false, WRITER_NEW, TOLD_BY_MARK},
};

/* --- dying while taking a dead one's lock -------------------------------------------------- */

/* Replaces the pristine image by one in which a writer died with its locks held; false when there
   is none. The world is the same: the dead one published nothing yet. */
static bool
run_use_dead_holder(struct run *run, const struct run *from, unsigned long which)
{
	unsigned long changes = from->changes < CHANGES_MAX ? from->changes : CHANGES_MAX;
	pid_t pid;

	for (unsigned long i = 0; i < changes; i++) {
		if (!from->locked_at[i] || which-- > 0)
			continue;
		image_write(&from->pristine, from->name);
		pid = child_start(from->scenario, &from->world, from->name);
		NEED(child_go_to(pid, &from->path, from->change_at[i]));
		child_kill(pid);
		image_read(&run->pristine, from->name);
		return true;
	}
	return false;
}

static void
steal_from(const struct run *from, unsigned long which, const char *name)
{
	struct scenario scenario = *from->scenario;
	struct run *run = calloc(1, sizeof(*run));

	NEED(run);
	scenario.name = name;
	run->scenario = &scenario;
	run->world = from->world;
	help_name(run->name);
	help_name(run->copy);
	CHECK(run_use_dead_holder(run, from, which), "no instruction held that many locks");
	if (run->pristine.bytes) {
		run_every_step(run);
		run_real_kills(run);
	}
	run_done(run);
}

/* --- dying while the segment is made ------------------------------------------------------- */

static int
operate_create(struct table *t, const struct world *w)
{
	struct table *made = NULL;

	(void)t;
	return help_open_writer(&made, (const char *)w->target.bytes, 8, 8, WRITER_NEW);
}

/* No copies here: what counts is what stands under the name, and a kill leaves nothing but that. */
static void
run_creation(void)
{
	const struct scenario scenario = {"create", 8,	   8,	       NULL,	    operate_create,
					  true,	    false, WRITER_NEW, TOLD_BY_MARK};
	char name[HELP_NAME_MAX], dummy[HELP_NAME_MAX], bytes[HERD_ID_MAX];
	struct world world = {0};
	unsigned long steps = 0, kills = 0, absent = 0;
	struct path path = {0};
	struct table *t = NULL;
	pid_t pid;

	help_name(name);
	help_name(dummy);
	memcpy(world.target.bytes, name, sizeof(name));
	pid = child_start(&scenario, &world, dummy);
	path_add(&path, child_address(pid));
	while (marks->phase < 2) {
		child_step(pid);
		path_add(&path, child_address(pid));
		path.before += marks->phase == 0;
		steps += marks->phase == 1;
	}
	child_finish(pid);
	CHECK(marks->result == 0, "creation: %d", marks->result);
	for (unsigned long i = 0; i < 300; i++) {
		uint64_t version;
		int r;

		(void)table_unlink(name);
		pid = child_start(&scenario, &world, dummy);
		if (!child_go_to(pid, &path, path_near(&path, steps * i / 300 + 1)))
			continue;
		child_kill(pid);
		kills++;
		r = table_open_readonly(&t, name, 0);
		CHECK(r == 0 || r == -ENOENT, "half a segment under the name: %d", r);
		absent += r != 0;
		if (r == 0)
			table_free(t);
		r = help_open_writer(&t, name, 8, 8, WRITER_NEW);
		CHECK(r == 0, "opening after the death of the creator: %d", r);
		if (r != 0)
			continue;
		r = help_put_version(t, help_id(bytes, 1, 20), 1, WRITER_NEW);
		CHECK(r == 0 && help_version(t, help_id(bytes, 1, 20), &version) == 0, "put: %d", r);
		table_free(t);
	}
	CHECK(kills >= 200 && absent > 0 && absent < kills, "%lu kills, %lu absent", kills, absent);
	checks_end("create: %lu real kills over %lu instructions, %lu of them before the name", kills, steps,
		   absent);
	(void)table_unlink(name);
	(void)table_unlink(dummy);
	path_done(&path);
}

/* --- all of it -------------------------------------------------------------------------------- */

static bool
wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc == 1;
}

static void
run_scenario(const struct scenario *s)
{
	struct run *run = calloc(1, sizeof(*run));

	NEED(run);
	run->scenario = s;
	run_prepare(run);
	run_every_step(run);
	run_real_kills(run);
	if (s->stores) /* the others lock nothing, or only for an instant */
		run_stopped_holder(run);
	if (s->stores && s->telling == TOLD_BY_MARK) {
		run_beside_taker(run, false);
		run_beside_taker(run, true);
	}
	if (strcmp(s->name, "update") == 0)
		steal_from(run, 0, "update-steal");
	if (strcmp(s->name, "insert") == 0) {
		steal_from(run, 0, "insert-steal-one");
		steal_from(run, 5, "insert-steal-both");
	}
	if (strcmp(s->name, "insert-evict") == 0)
		steal_from(run, 5, "insert-evict-steal");
	run_done(run);
}

int
main(int argc, char **argv)
{
	marks_make();
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		if (wanted(scenarios[i].name, argc, argv))
			run_scenario(&scenarios[i]);
	if (wanted("create", argc, argv))
		run_creation();
	return checks_done();
}
