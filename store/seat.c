/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seats: what each thread of a process has of its own. A seat is made at the
 * first use by a thread and goes with it; its chunk of edges, on whose bell
 * the thread sleeps, is made at its first sleep.
 */
#include "segment.h"

#include "edge.h"
#include "err.h"
#include "pool.h"

#include <stdlib.h>

/* Gives back what the seat has of the tables. */
static void seat_leave(struct mob_store *s, struct mobi_seat *seat)
{
	if (seat->chunk) {
		mobi_chunk_retire(s, seat->chunk - 1, seat->gen);
		seat->chunk = 0;
	}
	mobi_pool_return(s, seat);
}

/* A thread ends. */
static void seat_key_end(void *arg)
{
	struct mobi_seat *seat = arg;
	struct mob_store *s = seat->store;

	(void)pthread_mutex_lock(&s->seats_lock);
	for (struct mobi_seat **p = &s->seats; *p; p = &(*p)->next) {
		if (*p == seat) {
			*p = seat->next;
			break;
		}
	}
	(void)pthread_mutex_unlock(&s->seats_lock);
	/* Retiring the chunk asks for the seat again. */
	(void)pthread_setspecific(s->seat_key, seat);
	if (mobi_load_relaxed(s->not_forked)) {
		seat_leave(s, seat);
	}
	(void)pthread_setspecific(s->seat_key, NULL);
	free(seat->later);
	free(seat);
}

static struct mobi_seat *seat_new(struct mob_store *s)
{
	struct mobi_seat *seat = calloc(1, sizeof(*seat));

	if (!seat) {
		return NULL;
	}
	seat->store = s;
	if (pthread_setspecific(s->seat_key, seat)) {
		free(seat);
		return NULL;
	}
	(void)pthread_mutex_lock(&s->seats_lock);
	seat->next = s->seats;
	s->seats = seat;
	(void)pthread_mutex_unlock(&s->seats_lock);
	return seat;
}

struct mobi_seat *mobi_seat(struct mob_store *s)
{
	struct mobi_seat *seat = pthread_getspecific(s->seat_key);

	return seat ? seat : seat_new(s);
}

int mobi_seats_init(struct mob_store *s)
{
	if (pthread_mutex_init(&s->seats_lock, NULL)) {
		return mobi_err(MOB_E_NOMEM, "pthread_mutex_init failed");
	}
	if (pthread_key_create(&s->seat_key, seat_key_end)) {
		(void)pthread_mutex_destroy(&s->seats_lock);
		return mobi_err(MOB_E_LIMIT, "no thread key is left; close "
					     "other stores");
	}
	s->has_seats = true;
	return 0;
}

void mobi_seats_leave(struct mob_store *s)
{
	/* Retiring a chunk needs a seat, and may make this thread's. */
	for (struct mobi_seat *seat = s->seats; seat; seat = seat->next) {
		seat_leave(s, seat);
	}
}

void mobi_seats_destroy(struct mob_store *s)
{
	s->has_seats = false;
	(void)pthread_setspecific(s->seat_key, NULL);
	(void)pthread_key_delete(s->seat_key);
	while (s->seats) {
		struct mobi_seat *seat = s->seats;

		s->seats = seat->next;
		free(seat->later);
		free(seat);
	}
	(void)pthread_mutex_destroy(&s->seats_lock);
}

int mobi_seat_chunk(struct mob_store *s, struct mobi_seat *seat)
{
	uint32_t chunk;
	uint32_t gen;
	int rc;

	if (seat->chunk) {
		return 0;
	}
	rc = mobi_chunk_new(s, &chunk, &gen);
	if (rc < 0) {
		return rc;
	}
	mobi_chunk_live(s, chunk, MOBI_CK_SEAT, s->me, 0);
	seat->chunk = chunk + 1;
	seat->gen = gen;
	return 0;
}
