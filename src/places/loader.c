/*
 * Loader: one thread, one file, three steps (open, hand over, unmap the old
 * one). A program has one loader at a time; what it waits for is its loop, so
 * everything between the two is under one lock and held for moments.
 */
#include "places/loader.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/thread.h"

struct loader {
	pthread_t thread;
	char *path;
	int wakeup;
	atomic_bool cancel;
	bool is_started, is_joined;

	pthread_mutex_t lock; /* for all below */
	pthread_cond_t changed;
	bool is_open, is_taken, is_retired;
	int error;
	struct places *places;
	struct places *old;
};

static void
hand_over(struct loader *l, int error, struct places *places)
{
	pthread_mutex_lock(&l->lock);
	l->error = error;
	l->places = places;
	l->is_open = true;
	pthread_mutex_unlock(&l->lock);
	(void)eventfd_write(l->wakeup, 1); /* fails when it is full of wake-ups only */
}

static struct places *
wait_for_old(struct loader *l)
{
	struct places *old;

	pthread_mutex_lock(&l->lock);
	while (!l->is_retired)
		pthread_cond_wait(&l->changed, &l->lock);
	old = l->old;
	l->old = NULL;
	pthread_mutex_unlock(&l->lock);
	return old;
}

static void *
loader_main(void *arg)
{
	struct loader *l = arg;
	struct places *places = NULL;
	int r;

	if (l->path) {
		r = places_open_cancellable(&places, l->path, &l->cancel);
		hand_over(l, r, places);
	}
	places_free(wait_for_old(l));
	return NULL;
}

CLEANUP_POINTER(struct loader, loader_free);

int
loader_new(struct loader **ret, const char *path, int wakeup)
{
	CLEANUP(loader_freep) struct loader *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	l->wakeup = wakeup;
	if (path) {
		l->path = strdup(path);
		if (!l->path)
			return -ENOMEM;
	}
	r = thread_start(&l->thread, loader_main, l);
	if (r < 0)
		return r;
	l->is_started = true;
	*ret = l;
	l = NULL;
	return 0;
}

bool
loader_take(struct loader *l, int *ret_error, struct places **ret_places)
{
	bool taken;

	pthread_mutex_lock(&l->lock);
	taken = l->is_open && !l->is_taken;
	if (taken) {
		*ret_error = l->error;
		*ret_places = l->places;
		l->places = NULL;
		l->is_taken = true;
	}
	pthread_mutex_unlock(&l->lock);
	return taken;
}

void
loader_retire(struct loader *l, struct places *old)
{
	pthread_mutex_lock(&l->lock);
	assert(!l->is_retired);
	l->old = old;
	l->is_retired = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

bool
loader_ended(struct loader *l)
{
	if (!l->is_joined && l->is_started)
		l->is_joined = pthread_tryjoin_np(l->thread, NULL) == 0;
	return l->is_joined;
}

struct loader *
loader_free(struct loader *l)
{
	if (!l)
		return NULL;
	atomic_store(&l->cancel, true);
	if (l->is_started && !l->is_joined) {
		if (!l->is_retired)
			loader_retire(l, NULL);
		pthread_join(l->thread, NULL);
	}
	places_free(l->places);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l->path);
	free(l);
	return NULL;
}
