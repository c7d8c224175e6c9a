/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames. A hash table per frame from object to what the frame has of it, so
 * that a frame with a million refs releases one of them at once. Deletion
 * shifts back, there are no tombstones: a loop that adds and releases for ever
 * stays as small as what it has at a time.
 */
#include "frame.h"

#include "err.h"
#include "repeat.h"
#include "slot.h"

#include <stdlib.h>
#include <string.h>

/* Those of one line of entries are neighbours: refs mostly come and go in the order of
 * their slots. */
static uint32_t hash(uint64_t id, uint32_t size)
{
	uint64_t h = (id >> 2) * UINT64_C(0x9e3779b97f4a7c15);

	return ((uint32_t)(h >> 32) << 2 | ((uint32_t)id & 3u)) & (size - 1);
}

void mobi_frame_init(struct mobi_frame *f, struct mobi_frame *outer)
{
	static _Atomic uint64_t serial;

	memset(f, 0, sizeof(*f));
	f->outer = outer;
	f->serial = mobi_fetch_add(&serial, UINT64_C(1)) + 1;
}

/* The refs of a session that was left are gone; those of a forked child are its
 * parent's. */
static bool is_mine(void)
{
	return mobi_rt.store && mobi_load_relaxed(mobi_rt.store->not_forked);
}

static void give_back(uint64_t id, uint32_t has)
{
	struct mob_store *s = mobi_rt.store;

	if (has & MOBI_HAS_VIEW) {
		mobi_slot_unview(s, id);
	}
	if (has & MOBI_HAS_HOLD) {
		(void)mobi_slot_release(s, id);
	}
}

void mobi_frame_end(struct mobi_frame *f)
{
	bool mine = is_mine();

	for (uint32_t i = 0; mine && i < f->size && f->n; i++) {
		if (f->entry[i].id) {
			give_back(f->entry[i].id - 1, f->entry[i].has);
			f->n--;
		}
	}
	for (uint32_t i = 0; mine && i < f->n_space; i++) {
		uint64_t id = f->space[i].id;

		(void)mobi_slot_resolve_owned(mobi_rt.store, id,
					      MOBI_S_CANCELLED);
		(void)mobi_slot_release(mobi_rt.store, id);
	}
	free(f->entry);
	free(f->space);
	f->entry = NULL;
	f->space = NULL;
	f->size = f->n = f->n_space = f->max_space = 0;
}

static struct mobi_frame_entry *lookup(struct mobi_frame *f, uint64_t id)
{
	uint32_t i;

	if (!f->size) {
		return NULL;
	}
	for (i = hash(id, f->size); f->entry[i].id;
	     i = (i + 1) & (f->size - 1)) {
		if (f->entry[i].id == id + 1) {
			return &f->entry[i];
		}
	}
	return NULL;
}

static void insert(struct mobi_frame *f, struct mobi_frame_entry e)
{
	uint32_t i = hash(e.id - 1, f->size);

	while (f->entry[i].id) {
		i = (i + 1) & (f->size - 1);
	}
	f->entry[i] = e;
	f->n++;
}

static int grow(struct mobi_frame *f)
{
	struct mobi_frame old = *f;
	uint32_t size = f->size ? 2 * f->size : 16;

	f->entry = calloc(size, sizeof(*f->entry));
	if (!f->entry) {
		f->entry = old.entry;
		return mobi_err(MOB_E_NOMEM,
				"out of memory for a frame of %u "
				"refs",
				f->n);
	}
	f->size = size;
	f->n = 0;
	for (uint32_t i = 0; i < old.size; i++) {
		if (old.entry[i].id) {
			insert(f, old.entry[i]);
		}
	}
	free(old.entry);
	return 0;
}

int mobi_frame_add(struct mobi_frame *f, uint64_t id, uint32_t has)
{
	struct mobi_frame_entry *e = lookup(f, id);

	if (e) {
		give_back(id, e->has & has);
		e->has |= has;
		return 0;
	}
	if (4 * (uint64_t)(f->n + 1) > 3 * (uint64_t)f->size) {
		int rc = grow(f);

		if (rc < 0) {
			return rc;
		}
	}
	insert(f, (struct mobi_frame_entry){ id + 1, has, 0 });
	return 0;
}

void mobi_frame_drop_view(struct mobi_context *c, uint64_t id)
{
	for (struct mobi_frame *f = c->frame; f; f = f->outer) {
		struct mobi_frame_entry *e = lookup(f, id);

		if (!e) {
			continue;
		}
		give_back(id, e->has & MOBI_HAS_VIEW);
		e->has &= ~MOBI_HAS_VIEW;
		if (!e->has) {
			mobi_frame_remove(f, id);
		}
		return;
	}
}

uint32_t mobi_frame_find(struct mobi_context *c, uint64_t id,
			 struct mobi_frame **out_frame)
{
	for (struct mobi_frame *f = c->frame; f; f = f->outer) {
		struct mobi_frame_entry *e = lookup(f, id);

		if (e) {
			*out_frame = f;
			return e->has;
		}
	}
	return 0;
}

void mobi_frame_remove(struct mobi_frame *f, uint64_t id)
{
	struct mobi_frame_entry *e = lookup(f, id);
	uint32_t mask = f->size - 1;
	uint32_t hole;

	if (!e) {
		return;
	}
	hole = (uint32_t)(e - f->entry);
	for (uint32_t i = (hole + 1) & mask; f->entry[i].id;
	     i = (i + 1) & mask) {
		uint32_t home = hash(f->entry[i].id - 1, f->size);

		/* Moves back if its home is not between the hole and it. */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			f->entry[hole] = f->entry[i];
			hole = i;
		}
	}
	f->entry[hole].id = 0;
	f->n--;
}

/* ---- kept refs ---- */

/* One id may be kept several times: `more` counts those after the first. */
static struct {
	pthread_mutex_t lock;
	struct mobi_frame f;
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

int mobi_kept_add(uint64_t id, uint32_t has)
{
	struct mobi_frame_entry *e;
	int rc = 0;

	(void)pthread_mutex_lock(&kept.lock);
	e = lookup(&kept.f, id);
	if (e) {
		/* One hold and one view stand for all. */
		e->more++;
		give_back(id, e->has & has);
		e->has |= has;
	} else {
		rc = mobi_frame_add(&kept.f, id, has);
	}
	(void)pthread_mutex_unlock(&kept.lock);
	return rc;
}

uint32_t mobi_kept_remove(uint64_t id)
{
	struct mobi_frame_entry *e;
	uint32_t has = 0;

	(void)pthread_mutex_lock(&kept.lock);
	e = lookup(&kept.f, id);
	if (e && e->more) {
		e->more--;
		has = UINT32_MAX; /* still kept by an earlier mob_keep */
	} else if (e) {
		has = e->has;
		mobi_frame_remove(&kept.f, id);
	}
	(void)pthread_mutex_unlock(&kept.lock);
	return has;
}

uint32_t mobi_kept_find(uint64_t id)
{
	struct mobi_frame_entry *e;
	uint32_t has;

	(void)pthread_mutex_lock(&kept.lock);
	e = lookup(&kept.f, id);
	has = e ? e->has : 0;
	(void)pthread_mutex_unlock(&kept.lock);
	return has;
}

bool mobi_kept_view(uint64_t id)
{
	struct mobi_frame_entry *e;
	bool noted = false;

	(void)pthread_mutex_lock(&kept.lock);
	e = lookup(&kept.f, id);
	if (e && !(e->has & MOBI_HAS_VIEW)) {
		e->has |= MOBI_HAS_VIEW;
		noted = true;
	}
	(void)pthread_mutex_unlock(&kept.lock);
	return noted;
}

void mobi_kept_clear(void)
{
	(void)pthread_mutex_lock(&kept.lock);
	mobi_frame_end(&kept.f);
	(void)pthread_mutex_unlock(&kept.lock);
}

/* ---- spaces ---- */

int mobi_space_new(struct mobi_context *c, uint64_t size, mob_type_id type,
		   void **out_at)
{
	struct mobi_frame *f = c->frame;
	uint64_t id;
	int rc;

	if (f->n_space == f->max_space) {
		uint32_t max = f->max_space ? 2 * f->max_space : 4;
		struct mobi_space *space = realloc(f->space,
						   max * sizeof(*space));

		if (!space) {
			return mobi_err(MOB_E_NOMEM, "mob_new: out of memory");
		}
		f->space = space;
		f->max_space = max;
	}
	/* Never inside the slot: a result moves as a whole block. */
	rc = mobi_repeat_object_new(
		mobi_rt.store,
		size > MOBI_INLINE_MAX ? size : MOBI_INLINE_MAX + 1, type, &id,
		out_at);
	if (rc < 0) {
		return rc;
	}
	f->space[f->n_space].id = id;
	f->space[f->n_space].at = *out_at;
	f->space[f->n_space].size = size;
	f->n_space++;
	return 0;
}

bool mobi_space_take(struct mobi_context *c, const void *at,
		     struct mobi_space *out_space)
{
	for (struct mobi_frame *f = c->frame; f; f = f->outer) {
		for (uint32_t i = f->n_space; i-- > 0;) {
			if (f->space[i].at == at) {
				*out_space = f->space[i];
				f->space[i] = f->space[--f->n_space];
				return true;
			}
		}
	}
	return false;
}
