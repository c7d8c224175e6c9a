/* SPDX-License-Identifier: Apache-2.0 */
#include "cancel.h"

#include "err.h"
#include "os_futex.h"

#include <pthread.h>
#include <stdlib.h>

struct mob_cancel {
	pthread_mutex_t lock; /* of the list */
	struct mobi_cancel_sleeper *first;
	mobi_a32 set;
};

static _Thread_local struct mob_cancel *mine;
static _Thread_local struct mobi_cancel_watch watched;
/* On which the thread that watches sleeps, or is about to. */
static mobi_a32 *_Atomic watcher;

int mob_cancel_new(struct mob_cancel **out_cancel)
{
	struct mob_cancel *c = calloc(1, sizeof(*c));

	if (!c || pthread_mutex_init(&c->lock, NULL)) {
		free(c);
		return mobi_err(MOB_E_NOMEM, "mob_cancel_new: out of memory");
	}
	*out_cancel = c;
	return 0;
}

void mob_cancel_free(struct mob_cancel *cancel)
{
	if (cancel) {
		(void)pthread_mutex_destroy(&cancel->lock);
		free(cancel);
	}
}

/* Who enters the list after this finds it set. */
void mob_cancel(struct mob_cancel *cancel)
{
	mobi_store(&cancel->set, 1u);
	(void)pthread_mutex_lock(&cancel->lock);
	for (struct mobi_cancel_sleeper *s = cancel->first; s; s = s->next) {
		(void)mobi_fetch_add(s->bell, 1u);
		(void)mobi_futex_wake(s->bell, INT32_MAX);
	}
	(void)pthread_mutex_unlock(&cancel->lock);
}

void mob_cancel_reset(struct mob_cancel *cancel)
{
	mobi_store(&cancel->set, 0u);
}

bool mob_cancel_is_set(const struct mob_cancel *cancel)
{
	return mobi_load(&cancel->set) != 0;
}

struct mob_cancel *mob_cancel_use(struct mob_cancel *cancel)
{
	struct mob_cancel *was = mine;

	mine = cancel;
	return was;
}

struct mobi_cancel_watch mobi_cancel_watch(struct mobi_cancel_watch watch)
{
	struct mobi_cancel_watch was = watched;

	watched = watch;
	return was;
}

/* The bell was read before the bit was looked at: it changes after that, or the
 * bit was seen. */
void mobi_cancel_ring(void)
{
	mobi_a32 *bell = mobi_load(&watcher);

	if (bell) {
		(void)mobi_fetch_add(bell, 1u);
		(void)mobi_futex_wake(bell, INT32_MAX);
	}
}

bool mobi_cancel_has_token(void)
{
	return mine != NULL;
}

bool mobi_cancelled(void)
{
	return (mine && mobi_load(&mine->set)) ||
	       (watched.word && (mobi_load(watched.word) & watched.bits));
}

static void enter_list(struct mobi_cancel_sleeper *me, struct mob_cancel *c)
{
	(void)pthread_mutex_lock(&c->lock);
	me->next = c->first;
	me->prev = &c->first;
	if (me->next) {
		me->next->prev = &me->next;
	}
	c->first = me;
	me->listed = true;
	(void)pthread_mutex_unlock(&c->lock);
}

bool mobi_cancel_enter(struct mobi_cancel_sleeper *me, mobi_a32 *bell)
{
	me->bell = bell;
	me->listed = false;
	me->watches = watched.word != NULL;
	if (me->watches) {
		mobi_store(&watcher, bell);
	}
	if (mine) {
		enter_list(me, mine);
	}
	if ((mine || me->watches) && mobi_cancelled()) {
		mobi_cancel_leave(me);
		return false;
	}
	return true;
}

void mobi_cancel_leave(struct mobi_cancel_sleeper *me)
{
	struct mob_cancel *c = mine;

	if (me->watches) {
		mobi_store(&watcher, NULL);
	}
	if (!me->listed) {
		return;
	}
	(void)pthread_mutex_lock(&c->lock);
	*me->prev = me->next;
	if (me->next) {
		me->next->prev = me->prev;
	}
	(void)pthread_mutex_unlock(&c->lock);
}
