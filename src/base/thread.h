#ifndef BASE_THREAD_H
#define BASE_THREAD_H
/*
 * Threads beside the loop: they do what may wait for a disk.
 */
#include <pthread.h>

/* Starts one with a small stack, which gets no signal but those that its own instructions raise. Negative
   errno. */
int thread_start(pthread_t *ret, void *(*main)(void *arg), void *arg);

#endif
