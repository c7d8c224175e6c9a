/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small objects that are spilled: many at once into one container, each under the
 * LOCK of its slot as if it had a file of its own.
 *
 * The container gets the name of the first, then those of the others; the first is
 * unlocked last, as it may be restored and its name removed from then on. The kernel
 * counts the names. Who removes one and leaves half of those that were written, or a
 * quarter, and so on, one at last, offers the container in `sparse`; if another was
 * offered before, both are made one: the LOCK of each object that is left is taken if
 * it is free, a new container is written beside, and its names take the place of the
 * old ones one by one. So containers are half full but for one, and for those whose
 * objects were in use just then.
 *
 * A kill of who merges leaves a name with a '+', which goes when the LOCK of its
 * object is repaired; the object has one whole container at each moment.
 */
#include "spill_small.h"

#include "err.h"
#include "fault.h"
#include "os_dir.h"
#include "os_file.h"
#include "spill.h"

#include <stdio.h>
#include <stdlib.h>

/* With more names a container has not lost half of them, also if each process takes
 * one away just now. */
#define HALF_FULL (MOBI_CONTAINER_ITEMS / 2 + MOBI_CLIENTS)

static void new_name(char out[MOBI_SPILL_NAME], uint64_t id)
{
	(void)snprintf(out, MOBI_SPILL_NAME, "%u.%u+", (uint32_t)id,
		       (uint32_t)(id >> 32));
}

/* ---- out ---- */

struct mobi_container *mobi_small_new(void)
{
	struct mobi_container *c = calloc(1, sizeof(*c));

	if (!c) {
		(void)mobi_err(MOB_E_NOMEM, "no memory to spill small objects");
	}
	return c;
}

void mobi_small_free(struct mobi_container *c)
{
	if (c) {
		mobi_container_end(c);
		free(c);
	}
}

int mobi_small_add(struct mob_store *s, struct mobi_container *c, uint32_t slot)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t id = (uint64_t)MOBI_GEN(mobi_load(&o->word)) << 32 | slot;
	int rc = mobi_container_add(c, id,
				    mobi_arena_ro(s->arena, mobi_load(&o->loc)),
				    (uint32_t)mobi_slot_total(o), NULL);

	if (rc < 0) {
		mobi_spill_stays(s, slot);
	}
	return rc;
}

static int give_own_file(struct mob_store *s, const struct mobi_container *c,
			 const struct mobi_item *m)
{
	return mobi_spill_write(s->spill_fd, m->id, c->data + m->off, m->bytes);
}

/* The container is there by the name of its first. */
static int give_name(struct mob_store *s, const char *first, uint64_t id)
{
	char name[MOBI_SPILL_NAME];
	int rc;

	mobi_spill_name(name, id);
	if (mobi_file_link_at(s->spill_fd, first, s->spill_fd, name)) {
		return 0;
	}
	rc = mobi_file_link_error(name);
	if (rc == 0) {
		mobi_store(&s->no_links, 1u);
	}
	return rc;
}

/* One after the other from the last, and the first alone at the end, whose name the
 * others need until then. */
static int give_file(struct mob_store *s, const struct mobi_container *c,
		     const char *first, const struct mobi_item *m)
{
	int rc = 0;

	if (m != c->item && !mobi_load(&s->no_links)) {
		rc = give_name(s, first, m->id);
	}
	return rc >= 0 && mobi_load(&s->no_links) ? give_own_file(s, c, m) : rc;
}

int mobi_small_out(struct mob_store *s, struct mobi_container *c, int *n,
		   uint64_t *freed)
{
	char first[MOBI_SPILL_NAME];
	int written = 0;
	int rc;

	if (c->n) {
		mobi_spill_name(first, c->item[0].id);
		written = mobi_container_write(s->spill_fd, first, c);
	}
	rc = written;
	while (c->n) {
		uint64_t id = c->item[--c->n].id;

		/* The first has its file also if no other got its name. */
		if (written >= 0 && (rc >= 0 || !c->n)) {
			int given = give_file(s, c, first, &c->item[c->n]);

			if (given >= 0) {
				MOBI_FAULT("spill.linked");
				*freed += mobi_spill_goes(s, id);
				(*n)++;
				continue;
			}
			rc = given;
		}
		mobi_spill_stays(s, (uint32_t)id);
	}
	c->used = 0;
	return rc < 0 ? rc : 0;
}

/* ---- two become one ---- */

/* LOCK(me) of one that is spilled. */
static bool take_spilled(struct mob_store *s, uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id % MOBI_SLOTS];
	const struct mobi_spilled *r = (const void *)o->value;
	uint64_t w = mobi_load(&o->word);

	if (MOBI_GEN(w) != MOBI_GEN(id) || MOBI_STATE(w) != MOBI_S_SEALED ||
	    !(w & MOBI_F_SPILL) || (w & (MOBI_F_LOCK | MOBI_F_NOTIFY)) ||
	    !mobi_cas64(&o->word, &w,
			MOBI_WORD(MOBI_GEN(w), s->me, MOBI_F_LOCK,
				  MOBI_KEEP(w)))) {
		return false;
	}
	if (mobi_load(&r->valid) && mobi_load(&o->loc) == MOBI_LOC_SPILLED) {
		return true;
	}
	mobi_slot_locked_exit(s, (uint32_t)id);
	return false;
}

static bool is_name_of(struct mob_store *s, uint64_t id, int fd)
{
	char name[MOBI_SPILL_NAME];
	int other;
	bool same;

	mobi_spill_name(name, id);
	other = mobi_file_open_at(s->spill_fd, name);
	same = other >= 0 && mobi_fd_same(other, fd);
	mobi_fd_close(other);
	return same;
}

/* Takes what is left of the container that fd is of, as far as it has room. */
static void gather_left(struct mob_store *s, int fd, const char *name,
			struct mobi_container *to)
{
	struct mobi_container *from = mobi_small_new();

	if (from && mobi_container_load(fd, name, from) >= 0) {
		for (uint32_t i = 0; i < from->n; i++) {
			const struct mobi_item *m = &from->item[i];

			if (to->n == MOBI_CONTAINER_ITEMS ||
			    !take_spilled(s, m->id)) {
				continue;
			}
			if (!is_name_of(s, m->id, fd) ||
			    mobi_container_add(to, m->id, from->data + m->off,
					       m->bytes, &m->crc) < 0) {
				mobi_slot_locked_exit(s, (uint32_t)m->id);
			}
		}
	}
	mobi_small_free(from);
}

/* A new name takes the place of the old one. */
static void replace_name(struct mob_store *s, const char *first, uint64_t id)
{
	char name[MOBI_SPILL_NAME];
	char fresh[MOBI_SPILL_NAME];

	mobi_spill_name(name, id);
	new_name(fresh, id);
	if (mobi_file_link_at(s->spill_fd, first, s->spill_fd, fresh) &&
	    !mobi_file_rename_at(s->spill_fd, fresh, name)) {
		(void)mobi_file_remove_at(s->spill_fd, fresh);
	}
}

static void write_merged(struct mob_store *s, struct mobi_container *c)
{
	char first[MOBI_SPILL_NAME];
	char name[MOBI_SPILL_NAME];
	bool written;

	if (!c->n) {
		return;
	}
	new_name(first, c->item[0].id);
	written = mobi_container_write(s->spill_fd, first, c) >= 0;
	while (c->n) {
		uint64_t id = c->item[--c->n].id;

		if (written && c->n) {
			replace_name(s, first, id);
		} else if (written) {
			mobi_spill_name(name, id);
			(void)mobi_file_rename_at(s->spill_fd, first, name);
		}
		MOBI_FAULT("spill.moved");
		mobi_slot_locked_exit(s, (uint32_t)id);
	}
}

/* Some object but id that the container of fd still has; 0: none. */
static uint64_t one_left(struct mob_store *s, int fd, uint64_t id,
			 const char *name)
{
	struct mobi_container *c = mobi_small_new();
	uint64_t found = 0;

	if (c && mobi_container_load(fd, name, c) >= 0) {
		for (uint32_t i = 0; i < c->n && !found; i++) {
			if (c->item[i].id != id &&
			    is_name_of(s, c->item[i].id, fd)) {
				found = c->item[i].id;
			}
		}
	}
	mobi_small_free(c);
	return found;
}

/* Have a half, a quarter or so on of those that it was written with been reached or
 * passed between two counts of them? Of several who remove at once, one at least
 * sees it. */
static bool has_halved(int fd, const char *name, uint64_t before,
		       uint64_t after)
{
	struct mobi_spill_end end = { 0 };
	uint64_t size;
	uint64_t n;

	if (mobi_spill_end_read(fd, name, &end, &size) < 0 ||
	    end.method != MOBI_SPILL_CONTAINER) {
		return false;
	}
	n = end.bytes / 2;
	while (n > 0 && n >= before) {
		n /= 2;
	}
	return n > 0 && after <= n;
}

static void merge(struct mob_store *s, int fd, const char *name, uint64_t id)
{
	uint64_t mine = one_left(s, fd, id, name);
	struct mobi_container *c;
	char other[MOBI_SPILL_NAME];
	uint64_t before;
	int fd2;

	if (!mine) {
		return;
	}
	before = mobi_exchange(&s->hdr->sparse, mine);
	mobi_spill_name(other, before);
	fd2 = before ? mobi_file_open_at(s->spill_fd, other) : -1;
	if (fd2 >= 0 && !mobi_fd_same(fd, fd2) && (c = mobi_small_new())) {
		/* It is no longer on offer, unless another was meanwhile. */
		(void)mobi_cas64(&s->hdr->sparse, &mine, UINT64_C(0));
		gather_left(s, fd, name, c);
		gather_left(s, fd2, other, c);
		write_merged(s, c);
		mobi_small_free(c);
	}
	mobi_fd_close(fd2);
}

void mobi_small_remove(struct mob_store *s, uint64_t id)
{
	static _Thread_local bool busy; /* unlocking may free another */
	char name[MOBI_SPILL_NAME];
	struct mobi_err_last before;
	uint64_t names;
	uint64_t left;
	int fd = -1;

	if (!mobi_spills(s)) {
		return;
	}
	mobi_spill_name(name, id);
	names = mobi_file_names_at(s->spill_fd, name);
	mobi_err_save(&before);
	if (!busy && names > 1 && names <= HALF_FULL) {
		fd = mobi_file_open_at(s->spill_fd, name);
	}
	(void)mobi_file_remove_at(s->spill_fd, name);
	left = fd < 0 ? 0 : mobi_fd_names(fd);
	if (left && has_halved(fd, name, names, left)) {
		busy = true;
		merge(s, fd, name, id);
		busy = false;
	}
	mobi_fd_close(fd);
	mobi_err_restore(&before);
}

void mobi_small_repair(struct mob_store *s, uint64_t id)
{
	char name[MOBI_SPILL_NAME];

	if (mobi_spills(s)) {
		new_name(name, id);
		(void)mobi_file_remove_at(s->spill_fd, name);
	}
}
