/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of threads. A thread finds its own without a lock. One lock of the
 * process guards the making of one, the end of a thread and the closing of an
 * arena, which are the only moments when two threads touch the same.
 *
 * A forked child starts with none: those of its parent are left alone.
 */
#include "arena_local.h"

#include "arena_slab.h"

#include <pthread.h>
#include <stdlib.h>

_Thread_local struct mobi_arena_local *mobi_arena_locals;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_made;
static mobi_a64 ids;
static uint32_t forks; /* how often this process was forked; the lock's */

static void local_free(struct mobi_arena_local *l)
{
	for (uint32_t i = 0; i < MOBI_CLASSES; i++) {
		free(l->list[i].entry);
	}
	free(l);
}

static void unlink_of_arena(struct mobi_arena_local *l)
{
	struct mobi_arena_local **at = &l->arena->locals;

	while (*at != l) {
		at = &(*at)->next_of_arena;
	}
	*at = l->next_of_arena;
}

static void thread_ends(void *arg)
{
	struct mobi_arena_local *l = arg;

	(void)pthread_mutex_lock(&lock);
	while (l) {
		struct mobi_arena_local *next = l->next_of_thread;

		if (l->arena) {
			mobi_slab_flush_all(l->arena, l);
			unlink_of_arena(l);
		}
		local_free(l);
		l = next;
	}
	mobi_arena_locals = NULL;
	(void)pthread_mutex_unlock(&lock);
}

static void before_fork(void)
{
	(void)pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
	(void)pthread_mutex_unlock(&lock);
}

static void child_begins(void)
{
	mobi_arena_locals = NULL;
	(void)pthread_setspecific(key, NULL);
	forks++;
	(void)pthread_mutex_unlock(&lock);
}

static void make_key(void)
{
	key_made = pthread_key_create(&key, thread_ends) == 0 &&
		   pthread_atfork(before_fork, after_fork, child_begins) == 0;
}

/* Lets go of this thread's lists of arenas that are closed. Under the lock. */
static void forget_closed(void)
{
	struct mobi_arena_local **at = &mobi_arena_locals;

	while (*at) {
		struct mobi_arena_local *l = *at;

		if (l->arena) {
			at = &l->next_of_thread;
		} else {
			*at = l->next_of_thread;
			local_free(l);
		}
	}
}

static struct mobi_arena_local *local_make(struct mobi_arena *a)
{
	struct mobi_arena_local *l;

	(void)pthread_once(&once, make_key);
	if (!key_made) {
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	if (!l) {
		return NULL;
	}
	l->arena = a;
	mobi_store(&l->id, a->id);
	(void)pthread_mutex_lock(&lock);
	l->forks = forks;
	forget_closed();
	l->next_of_thread = mobi_arena_locals;
	mobi_arena_locals = l;
	if (pthread_setspecific(key, l) != 0) {
		/* The end of the thread would leave it in the arena's list. */
		mobi_arena_locals = l->next_of_thread;
		(void)pthread_mutex_unlock(&lock);
		free(l);
		return NULL;
	}
	l->next_of_arena = a->locals;
	a->locals = l;
	(void)pthread_mutex_unlock(&lock);
	return l;
}

struct mobi_arena_local *mobi_local_find(struct mobi_arena *a)
{
	struct mobi_arena_local **at = &mobi_arena_locals;

	while (*at) {
		struct mobi_arena_local *l = *at;

		if (mobi_load_relaxed(&l->id) == a->id) {
			/* To the front, where it is found at once. The key
			 * names the head of the list. */
			(void)pthread_mutex_lock(&lock);
			*at = l->next_of_thread;
			l->next_of_thread = mobi_arena_locals;
			mobi_arena_locals = l;
			(void)pthread_setspecific(key, l);
			(void)pthread_mutex_unlock(&lock);
			return l;
		}
		at = &l->next_of_thread;
	}
	return local_make(a);
}

uint64_t mobi_local_id(void)
{
	return mobi_fetch_add(&ids, 1) + 1;
}

void mobi_local_flush(struct mobi_arena *a)
{
	(void)pthread_mutex_lock(&lock);
	for (struct mobi_arena_local *l = a->locals; l; l = l->next_of_arena) {
		mobi_slab_flush_all(a, l);
	}
	(void)pthread_mutex_unlock(&lock);
}

void mobi_local_close(struct mobi_arena *a)
{
	(void)pthread_mutex_lock(&lock);
	while (a->locals) {
		struct mobi_arena_local *l = a->locals;

		a->locals = l->next_of_arena;
		if (l->forks != forks) {
			local_free(l); /* its thread is the parent's */
			continue;
		}
		l->arena = NULL;
		mobi_store(&l->id, 0);
	}
	forget_closed();
	(void)pthread_setspecific(key, mobi_arena_locals);
	(void)pthread_mutex_unlock(&lock);
}
