/*
 * The provider `local`: answers from a places file, or from the places built
 * into the program while there is none.
 *
 * The file is looked at once a second (one stat). When it is another than the
 * one tried last, a loader opens it in its own thread; until it is ready the
 * one in use goes on, and a bad one changes nothing. Lookups that come before
 * the first one is ready wait for it: a member that has just been started
 * must not answer from the built-in places of another continent.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "net/loop.h"
#include "places/json.h"
#include "places/loader.h"
#include "places/source.h"

enum {
	LOCAL_MAGIC = 0x48504c43, /* "HPLC" */
	LOOK_EVERY_S = 1,
	WAITING_AT_ONCE = 64, /* answered in one turn of the loop */
	NEVER_TRIED = 1,      /* not an error */
	ANSWER_MAX = 1 << 18, /* bytes: twenty places of the longest texts are 170,000 */
};

/* A lookup that waits for the first file; the tag of its request. */
struct waiting {
	TAILQ_ENTRY(waiting) entry;
	struct source_request *request;
};

struct local {
	unsigned int magic;
	struct source *source;
	enum places_rank rank;
	char *path;		       /* NULL: only the built-in places */
	struct places *built_in;       /* NULL: the program has none */
	struct places *file;	       /* the one loaded last, NULL: none, or it is not to be used */
	bool is_settled;	       /* what to answer from is known */
	bool is_tried;		       /* identity and error are those of the last attempt */
	struct file_identity identity; /* of the last attempt */
	int error;		       /* its result; 0: under way, or fine */
	struct loader *loader;	       /* at work, or not joined yet */
	char *loading;		       /* what it was told to open; NULL: it has been taken from */
	int wakeup;
	struct event *on_wakeup, *on_look, *on_turn;
	TAILQ_HEAD(waiting_list, waiting) waiting;
};

/* --- answers ----------------------------------------------------------------------- */

static const char *
file_error(int error)
{
	switch (error) {
	case -EPROTO:
		return "it is no places file of this version";
	case -EBADMSG:
		return "it is damaged";
	case -EFAULT:
		return "it was cut short";
	default:
		return strerror(-error);
	}
}

static const char *
in_use(const struct local *l)
{
	if (l->file)
		return "keeping the places of before";
	return l->built_in ? "using the built-in places" : "there are no places to answer with";
}

static int
answer_from(struct local *l, const struct places *p, const struct source_query *query, struct buffer *out)
{
	struct places_query near = {query->lat_e7, query->lon_e7, query->radius_km, query->bound, l->rank};
	struct places_found found;
	int r = places_nearby(p, &near, &found);

	return r < 0 ? r : json_put_places(out, &found, places_attribution(p));
}

/* Somebody cut the file that is in use short, in place: not with us a second time. */
static void
drop_file(struct local *l)
{
	source_notice(l->source, SOURCE_BAD_FILE,
		      "'%s' was cut short while in use, using the built-in places",
		      l->path ? l->path : "the places file");
	l->file = places_free(l->file);
}

static int
answer(struct local *l, const struct source_query *query, struct buffer *out)
{
	int r = -EFAULT;

	if (l->file) {
		r = answer_from(l, l->file, query, out);
		if (r != -EFAULT)
			return r;
		drop_file(l);
	}
	if (l->built_in)
		return answer_from(l, l->built_in, query, out);
	return json_put_failure(out, TEXT("UNKNOWN_ERROR"), TEXT("there is no places file"));
}

static int
local_search(void *state, const struct source_query *query, struct buffer *out,
	     struct source_request **ret_request)
{
	CLEANUP(cleanup_free) struct waiting *w = NULL;
	struct local *l = state;
	int r;

	if (l->is_settled)
		return answer(l, query, out);
	w = malloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	r = source_request_new(ret_request, l->source, query, w);
	if (r < 0)
		return r;
	w->request = *ret_request;
	TAILQ_INSERT_TAIL(&l->waiting, w, entry);
	w = NULL;
	return SOURCE_E_PENDING;
}

static void
local_cancel(void *state, struct source_request *request)
{
	struct local *l = state;
	struct waiting *w = source_request_tag(request);

	TAILQ_REMOVE(&l->waiting, w, entry);
	free(w);
}

static void
answer_one(struct local *l, struct buffer *json)
{
	struct waiting *w = TAILQ_FIRST(&l->waiting);
	struct source_request *request = w->request;
	int r;

	TAILQ_REMOVE(&l->waiting, w, entry);
	free(w);
	json->len = 0;
	r = answer(l, source_request_query(request), json);
	if (r < 0)
		r = json_put_failure(json, TEXT("UNKNOWN_ERROR"), text_of(strerror(-r)));
	source_request_answer(request, r < 0 ? TEXT("{}") : (struct text){json->bytes, json->len});
}

/* Not event_active(): that would still be this turn of the loop. */
static void
next_turn(struct local *l)
{
	static const struct timeval at_once;

	(void)event_add(l->on_turn, &at_once);
}

/* In the order in which they came, and a few at a time: everybody may have been waiting. A callback
   may cancel others. */
static void
answer_waiting(struct local *l)
{
	struct buffer json = {.max = ANSWER_MAX};

	for (int i = 0; i < WAITING_AT_ONCE && !TAILQ_EMPTY(&l->waiting); i++)
		answer_one(l, &json);
	buffer_done(&json);
	if (!TAILQ_EMPTY(&l->waiting))
		next_turn(l);
}

/* From now on it is known what to answer from. */
static void
settle(struct local *l)
{
	l->is_settled = true;
	if (!TAILQ_EMPTY(&l->waiting))
		next_turn(l);
}

/* --- the file ------------------------------------------------------------------------ */

/* Notes an attempt; true when it is news and not the same failure once more. */
static bool
note_attempt(struct local *l, const struct file_identity *identity, int error)
{
	bool is_news = l->error != error || !file_identity_equal(&l->identity, identity);

	l->is_tried = true;
	l->identity = *identity;
	l->error = error;
	return is_news;
}

static void
bad_file(struct local *l, const struct file_identity *identity, int error)
{
	if (note_attempt(l, identity, error))
		source_notice(l->source, SOURCE_BAD_FILE, "Cannot use places file '%s', %s: %s", l->path,
			      in_use(l), file_error(error));
	settle(l);
}

/* The file is no longer used; unmapping a big one takes milliseconds that the loop has not got. */
static void
retire_file(struct local *l)
{
	if (l->file && !l->loader && loader_new(&l->loader, NULL, l->wakeup) == 0)
		loader_retire(l->loader, l->file);
	else
		places_free(l->file);
	l->file = NULL;
}

/* No file there. The built-in places, also when there was one before. */
static void
no_file(struct local *l)
{
	static const struct file_identity none;

	if (note_attempt(l, &none, -ENOENT))
		source_notice(l->source, SOURCE_BUILT_IN,
			      "No places file '%s', using the %zu built-in places", l->path,
			      l->built_in ? places_count(l->built_in) : 0);
	retire_file(l);
	settle(l);
}

static void
start_loading(struct local *l, const struct file_identity *identity)
{
	int r;

	l->loading = strdup(l->path);
	r = l->loading ? loader_new(&l->loader, l->path, l->wakeup) : -ENOMEM;
	if (r < 0) {
		free(l->loading);
		l->loading = NULL;
		bad_file(l, identity, r);
		l->is_tried = false; /* the file is not to blame: once more in a second */
		return;
	}
	(void)note_attempt(l, identity, 0);
}

/* Is there another file than the one tried last? */
static void
look(struct local *l)
{
	struct file_identity identity;
	struct stat st;

	if (l->loader && !l->loading && loader_ended(l->loader))
		l->loader = loader_free(l->loader);
	if (l->loader)
		return; /* one at a time: next second */
	if (!l->path) {
		settle(l);
		return;
	}
	if (stat(l->path, &st) < 0) {
		static const struct file_identity none;

		if (errno == ENOENT || errno == ENOTDIR)
			no_file(l);
		else
			bad_file(l, &none, -errno);
		return;
	}
	identity = file_identity(&st);
	if (!l->is_tried || !file_identity_equal(&l->identity, &identity))
		start_loading(l, &identity);
}

static void
install(struct local *l, struct places *places)
{
	struct places *old = l->file;

	l->file = places;
	source_notice(l->source, SOURCE_LOADED, "Now answering from the %zu places of '%s'",
		      places_count(places), l->path);
	loader_retire(l->loader, old);
}

static void
take_loaded(struct local *l)
{
	CLEANUP(cleanup_free) char *path = NULL;
	struct places *places = NULL;
	int error;

	if (!l->loader || !loader_take(l->loader, &error, &places))
		return;
	path = l->loading;
	l->loading = NULL;
	if (!l->path || strcmp(path, l->path) != 0) { /* other settings have come meanwhile */
		loader_retire(l->loader, places);
		return;
	}
	if (error < 0) {
		loader_retire(l->loader, NULL);
		l->error = 0; /* the failure is news */
		bad_file(l, &l->identity, error);
		return;
	}
	install(l, places);
	settle(l);
}

static void
local_on_wakeup(evutil_socket_t fd, short what, void *arg)
{
	struct local *l = arg;
	eventfd_t count;

	(void)what;
	assert(l->magic == LOCAL_MAGIC);
	(void)eventfd_read((int)fd, &count);
	take_loaded(l);
}

static void
local_on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct local *l = arg;

	(void)fd;
	(void)what;
	assert(l->magic == LOCAL_MAGIC);
	answer_waiting(l);
}

static void
local_on_look(evutil_socket_t fd, short what, void *arg)
{
	struct local *l = arg;

	(void)fd;
	(void)what;
	assert(l->magic == LOCAL_MAGIC);
	look(l);
}

/* --- the provider ---------------------------------------------------------------------- */

static void
local_free(void *state)
{
	struct local *l = state;

	loader_free(l->loader);
	free(l->loading);
	if (l->on_wakeup)
		event_free(l->on_wakeup);
	if (l->on_look)
		event_free(l->on_look);
	if (l->on_turn)
		event_free(l->on_turn);
	if (l->wakeup >= 0)
		close(l->wakeup);
	while (!TAILQ_EMPTY(&l->waiting)) {
		struct waiting *w = TAILQ_FIRST(&l->waiting);

		TAILQ_REMOVE(&l->waiting, w, entry);
		free(w);
	}
	places_free(l->file);
	places_free(l->built_in);
	free(l->path);
	free(l);
}

static void
local_freep(struct local **l)
{
	if (*l)
		local_free(*l);
}

static int
take_options(struct local *l, const struct source_options *options)
{
	char *path = NULL;

	if (options->file && options->file[0]) {
		path = strdup(options->file);
		if (!path)
			return -ENOMEM;
	}
	free(l->path);
	l->path = path;
	l->rank = options->rank;
	return 0;
}

static int
watch(struct local *l, struct event_base *base)
{
	struct timeval every = {.tv_sec = LOOK_EVERY_S};

	l->wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->wakeup < 0)
		return -errno;
	l->on_wakeup = event_new(base, l->wakeup, EV_READ | EV_PERSIST, local_on_wakeup, l);
	l->on_look = event_new(base, -1, EV_PERSIST, local_on_look, l);
	l->on_turn = event_new(base, -1, 0, local_on_turn, l);
	if (!l->on_wakeup || !l->on_look || !l->on_turn || event_add(l->on_wakeup, NULL) < 0 ||
	    event_add(l->on_look, &every) < 0)
		return -ENOMEM;
	return 0;
}

static int
local_new(void **ret_state, struct source *s, struct event_base *base, const struct source_options *options)
{
	CLEANUP(local_freep) struct local *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->magic = LOCAL_MAGIC;
	l->source = s;
	l->wakeup = -1;
	l->error = NEVER_TRIED;
	TAILQ_INIT(&l->waiting);
	r = take_options(l, options);
	if (r == 0 && options->built_in.len)
		r = places_from_memory(&l->built_in, options->built_in.at, options->built_in.len);
	if (r == 0)
		r = watch(l, base);
	if (r < 0)
		return r;
	look(l);
	*ret_state = l;
	l = NULL;
	return 0;
}

static int
local_reload(void *state, const struct source_options *options)
{
	struct local *l = state;
	char *old = l->path ? strdup(l->path) : NULL;
	int r = take_options(l, options);

	if (r == 0 && (!old || !l->path || strcmp(old, l->path) != 0)) {
		l->is_tried = false;
		l->error = NEVER_TRIED;
		if (!l->path)
			retire_file(l);
	}
	if (r == 0)
		look(l);
	free(old);
	return r;
}

const struct source_provider source_local = {
	.name = "local",
	.new = local_new,
	.search = local_search,
	.cancel = local_cancel,
	.reload = local_reload,
	.free = local_free,
};
