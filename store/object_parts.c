/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of several parts, parts of objects, objects that grow. */
#include <mobula/object.h>

#include "arena.h"
#include "err.h"
#include "object.h"
#include "object_header.h"
#include "site.h"
#include "slot.h"

#include <string.h>

/* Room for a value and its header: more than any arena if it overflows. */
static uint64_t with_header(uint64_t size, uint32_t header)
{
	uint64_t n;

	if (!header) {
		return size;
	}
	return __builtin_add_overflow(size, header + 7, &n) ?
		       UINT64_MAX :
		       MOBI_HEADER_AT(size) + header;
}

/* As mobi_object_new, with a header. */
static int new_with(struct mob_store *s, uint64_t size, mob_type_id type,
		    const struct mob_object_header *header, const char *call,
		    uint64_t *out_id, void **out_at)
{
	struct mobi_slot *o;
	uint32_t bytes;
	int rc = mobi_header_check(header, size, call, &bytes);

	if (rc >= 0) {
		rc = mobi_object_new(s, with_header(size, bytes), type, out_id,
				     out_at);
	}
	if (rc < 0 || !bytes) {
		return rc;
	}
	o = &s->slots[(uint32_t)*out_id];
	mobi_header_write(header,
			  (unsigned char *)*out_at + MOBI_HEADER_AT(size));
	mobi_store_relaxed(&o->size, size);
	mobi_store_relaxed(&o->header, bytes);
	return 0;
}

int mob_object_create_with_from(struct mob_store *store, uint64_t size,
				mob_type_id type,
				const struct mob_object_header *header,
				struct mob_ref *out_ref, void **out_at,
				struct mob_site *site)
{
	uint32_t row;
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	row = mobi_site_row_of(store, site);
	rc = new_with(store, size, type, header, "mob_object_create_with", &id,
		      out_at);
	if (rc < 0) {
		return rc;
	}
	mobi_site_set(store, id, row);
	mobi_slot_unlock(store, id);
	*out_ref = mobi_ref_of(store, id);
	return 0;
}

int mob_object_create_with(struct mob_store *store, uint64_t size,
			   mob_type_id type,
			   const struct mob_object_header *header,
			   struct mob_ref *out_ref, void **out_at)
{
	return mob_object_create_with_from(store, size, type, header, out_ref,
					   out_at, NULL);
}

int mob_object_put_parts_from(struct mob_store *store,
			      const struct mob_part *parts, size_t n,
			      mob_type_id type,
			      const struct mob_object_header *header,
			      struct mob_ref *out_ref, struct mob_site *site)
{
	uint32_t row;
	unsigned char *to;
	uint64_t size = 0;
	void *at;
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	row = mobi_site_row_of(store, site);
	for (size_t i = 0; i < n; i++) {
		if (__builtin_add_overflow(size, parts[i].size, &size)) {
			return mobi_err(MOB_E_INVAL,
					"mob_object_put_parts: up to part %zu "
					"the sizes add up to more than 2^64",
					i);
		}
	}
	rc = new_with(store, size, type, header, "mob_object_put_parts", &id,
		      &at);
	if (rc < 0) {
		return rc;
	}
	mobi_site_set(store, id, row);
	to = at;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].size) {
			memcpy(to, parts[i].at, parts[i].size);
			to += parts[i].size;
		}
	}
	mobi_slot_seal_unseen(store, id);
	*out_ref = mobi_ref_of(store, id);
	return 0;
}

int mob_object_put_parts(struct mob_store *store, const struct mob_part *parts,
			 size_t n, mob_type_id type,
			 const struct mob_object_header *header,
			 struct mob_ref *out_ref)
{
	return mob_object_put_parts_from(store, parts, n, type, header, out_ref,
					 NULL);
}

/* ---- a part of another ---- */

/* Where the value of a sealed object lies: in itself, or in its base. */
static struct mobi_range range_of(const struct mob_store *s, uint64_t id)
{
	const struct mobi_slot *o = &s->slots[(uint32_t)id];
	struct mobi_range range = { id, 0 };

	if (mobi_load(&o->loc) == MOBI_LOC_RANGE) {
		memcpy(&range, o->value, sizeof(range));
	}
	return range;
}

/* The caller views `of`, which is sealed. */
static int new_range(struct mob_store *s, const struct mob_view *of,
		     uint64_t off, uint64_t size, mob_type_id type,
		     struct mob_ref *out_ref, uint32_t row)
{
	struct mobi_range range = range_of(s, of->ref.lo);
	struct mob_ref base = mobi_ref_of(s, range.base);
	uint64_t id;
	int rc = mobi_slot_new(s, MOBI_F_OWNED, &id);

	if (rc < 0) {
		return rc;
	}
	mobi_site_set(s, id, row);
	mobi_slot_value_range(s, id, range.base, range.off + off, size, type);
	rc = mobi_object_nest(s, id, &base, 1);
	if (rc < 0) {
		(void)mobi_slot_resolve_owned(s, id, MOBI_S_CANCELLED);
		(void)mobi_slot_release(s, id);
		return rc;
	}
	mobi_slot_seal_unseen(s, id);
	*out_ref = mobi_ref_of(s, id);
	return 0;
}

int mob_object_range_from(struct mob_store *store, struct mob_ref ref,
			  uint64_t off, uint64_t size, mob_type_id type,
			  struct mob_ref *out_ref, struct mob_site *site)
{
	uint32_t row;
	struct mob_view of;
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	row = mobi_site_row_of(store, site);
	rc = mobi_slot_of(store, ref, &id);
	if (rc >= 0) {
		rc = mobi_object_view(store, id, &of);
	}
	if (rc < 0) {
		if (rc == MOB_E_TASK) {
			mob_view_release(store, &of);
		}
		return rc;
	}
	if (off > of.size || size > of.size - off) {
		rc = mobi_err(MOB_E_INVAL,
			      "mob_object_range: %llu bytes at %llu of object "
			      "%u, which has %llu",
			      (unsigned long long)size, (unsigned long long)off,
			      (uint32_t)id, (unsigned long long)of.size);
	} else {
		rc = new_range(store, &of, off, size, type, out_ref, row);
	}
	mob_view_release(store, &of);
	return rc;
}

int mob_object_range(struct mob_store *store, struct mob_ref ref, uint64_t off,
		     uint64_t size, mob_type_id type, struct mob_ref *out_ref)
{
	return mob_object_range_from(store, ref, off, size, type, out_ref,
				     NULL);
}

/* ---- another size ---- */

/* Shrinking below half of a block moves the value to a smaller one, unless the
 * block is so small that it is not worth it. */
#define MOVE_MIN 1024u

static uint64_t room_of(const struct mob_store *s, const struct mobi_slot *o)
{
	uint64_t loc = mobi_load(&o->loc);

	return loc == MOBI_LOC_INLINE ? MOBI_INLINE_MAX :
					mobi_arena_block_bytes(s->arena, loc);
}

static unsigned char *writable(const struct mob_store *s, struct mobi_slot *o)
{
	uint64_t loc = mobi_load(&o->loc);

	return loc == MOBI_LOC_INLINE ? o->value : mobi_arena_rw(s->arena, loc);
}

/* {gen, slot} of a pending object of this process. */
static int mine(struct mob_store *s, struct mob_ref ref, const char *call,
		uint64_t *out_id)
{
	const struct mobi_slot *o;
	uint64_t w;
	int rc = mobi_slot_of(s, ref, out_id);

	if (rc < 0) {
		return rc;
	}
	o = &s->slots[(uint32_t)*out_id];
	w = mobi_load(&o->word);
	if (MOBI_GEN(w) != MOBI_GEN(*out_id) || !mobi_living(w)) {
		return mobi_err(MOB_E_BAD_REF,
				"%s: object %u is gone: its last reference was "
				"released",
				call, (uint32_t)*out_id);
	}
	if (MOBI_KEEP(w) != (MOBI_S_PENDING | MOBI_MADE_BY(s->me))) {
		return mobi_err(MOB_E_STATE,
				"%s: object %u is not a pending one of this "
				"process",
				call, (uint32_t)*out_id);
	}
	return 0;
}

/* Likewise, of one that may have another size. */
static int growing(struct mob_store *s, struct mob_ref ref, const char *call,
		   uint64_t *out_id)
{
	struct mobi_slot *o;
	int rc = mine(s, ref, call, out_id);

	if (rc < 0) {
		return rc;
	}
	o = &s->slots[(uint32_t)*out_id];
	if (mobi_load_relaxed(&o->header) &&
	    mobi_header_is_array(writable(s, o) +
				 MOBI_HEADER_AT(mobi_load_relaxed(&o->size)))) {
		return mobi_err(MOB_E_STATE,
				"%s: object %u is an array of a fixed shape",
				call, (uint32_t)*out_id);
	}
	return 0;
}

static void place_header(unsigned char *to, uint64_t size,
			 const unsigned char *from, uint64_t old,
			 uint32_t header)
{
	if (header) {
		memmove(to + MOBI_HEADER_AT(size), from + MOBI_HEADER_AT(old),
			header);
	}
}

/*
 * Moves the value to room for `capacity` bytes: a second object gets the new
 * block, and hands it over. Of the old one's bytes as many stay as fit.
 */
static int move(struct mob_store *s, uint64_t id, uint64_t size,
		uint64_t capacity)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint32_t header = mobi_load_relaxed(&o->header);
	uint64_t old = mobi_load_relaxed(&o->size);
	const unsigned char *from = writable(s, o);
	uint64_t aux;
	void *to;
	int rc = mobi_object_new(s, with_header(capacity, header),
				 mobi_load_relaxed(&o->type), &aux, &to);

	if (rc < 0) {
		return rc;
	}
	memcpy(to, from, old < size ? old : size);
	place_header(to, size, from, old, header);
	if (mobi_load(&s->slots[(uint32_t)aux].loc) != MOBI_LOC_INLINE) {
		if (!mobi_slot_move_block(s, aux, id)) {
			rc = mobi_err(MOB_E_CORRUPT,
				      "the block of object %u is tagged as "
				      "another's",
				      (uint32_t)aux);
		}
	} else {
		/* It fits into the slot. */
		memcpy(o->value, to, with_header(size, header));
		mobi_slot_value_inside(s, id);
	}
	(void)mobi_slot_resolve_owned(s, aux, MOBI_S_CANCELLED);
	(void)mobi_slot_release(s, aux);
	return rc < 0 ? rc : 0;
}

/* capacity: room to take if it has to move. */
static int resize(struct mob_store *s, uint64_t id, uint64_t size,
		  uint64_t capacity)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint32_t header = mobi_load_relaxed(&o->header);
	uint64_t old = mobi_load_relaxed(&o->size);
	uint64_t room = room_of(s, o);
	uint64_t need = with_header(size, header);
	bool small = room > MOVE_MIN && need <= room / 2 && capacity == size;
	int rc = 0;

	if (need > room) {
		rc = move(s, id, size, capacity);
		if (rc == MOB_E_STORE_FULL && capacity > size) {
			rc = move(s, id, size, size);
		}
	} else if (!small || move(s, id, size, size) < 0) {
		/* Without room to move to, it stays where it is. */
		place_header(writable(s, o), size, writable(s, o), old, header);
	}
	if (rc >= 0) {
		mobi_store_relaxed(&o->size, size);
	}
	return rc;
}

int mob_object_resize(struct mob_store *store, struct mob_ref ref,
		      uint64_t size, void **out_at)
{
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	rc = growing(store, ref, "mob_object_resize", &id);
	if (rc >= 0) {
		rc = resize(store, id, size, size);
	}
	if (rc >= 0) {
		*out_at = writable(store, &store->slots[(uint32_t)id]);
	}
	return rc;
}

int mob_object_append(struct mob_store *store, struct mob_ref ref,
		      const void *at, uint64_t size)
{
	struct mobi_slot *o;
	uint64_t old;
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	rc = growing(store, ref, "mob_object_append", &id);
	if (rc < 0) {
		return rc;
	}
	o = &store->slots[(uint32_t)id];
	old = mobi_load_relaxed(&o->size);
	if (size > UINT64_MAX / 4 - old) {
		return mobi_err(MOB_E_INVAL,
				"mob_object_append: size is %llu, more than "
				"any object has",
				(unsigned long long)size);
	}
	rc = resize(store, id, old + size, (old + size) / 2 * 3 + 64);
	if (rc >= 0 && size) {
		memcpy(writable(store, o) + old, at, size);
	}
	return rc;
}
