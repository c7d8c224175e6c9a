/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large blocks: CLAIM, memory, tag, LARGE; and back: no tag, RELEASE, free. The
 * tag is set while the run is still CLAIM, so that a kill never leaves a run
 * that looks settled and has none. Who frees the block in that moment leaves
 * the run to its owner, who looks at the tag again after it is LARGE.
 */
#include "arena_large.h"

#include "arena_run.h"
#include "arena_slab.h"
#include "fault.h"

#include <inttypes.h>

bool mobi_no_room(int rc)
{
	return rc == MOB_E_DISK_FULL || rc == MOB_E_NOMEM;
}

bool mobi_room_make(struct mobi_arena *a, uint64_t bytes)
{
	mobi_slab_release_empty(a);
	return mobi_run_punch(a, bytes) > 0;
}

int mobi_full(uint64_t size, int rc)
{
	if (rc < 0 && !mobi_no_room(rc)) {
		return rc;
	}
	return mobi_err(MOB_E_STORE_FULL,
			"no room for a block of %" PRIu64 " bytes: %s", size,
			rc < 0 ? "the file system is full" :
				 "no free run in the arena is as long");
}

/* The block has no tag any more: ends a run that is LARGE. Anybody may try,
 * one succeeds. */
static void large_end(struct mobi_arena *a, uint64_t unit, uint64_t w)
{
	uint64_t end = MOBI_UWORD(MOBI_U_RELEASE, a->client, MOBI_CLASS_LARGE,
				  MOBI_UARG(w), MOBI_UGEN(w));

	if (mobi_cas64(mobi_unit(a, unit), &w, end)) {
		mobi_run_release(a, unit, end, true);
	}
}

void mobi_large_settle(struct mobi_arena *a, uint64_t unit, uint64_t w)
{
	uint64_t large = MOBI_UWORD(MOBI_U_LARGE, 0, MOBI_CLASS_LARGE,
				    MOBI_UARG(w), MOBI_UGEN(w));

	if (mobi_cas64(mobi_unit(a, unit), &w, large) &&
	    !MOBI_TAG_TAKEN(mobi_load(mobi_tags(a, unit, MOBI_CLASS_LARGE)))) {
		/* Freed in between, by one who saw CLAIM and left it. */
		large_end(a, unit, large);
	}
}

/* 1: done. 0: there is no such run. Negative: it could not be backed. */
static int large_try(struct mobi_arena *a, uint64_t bytes, uint64_t tag,
		     mobi_a64 *loc)
{
	uint64_t n = (bytes + MOBI_UNIT_BYTES - 1) >> MOBI_UNIT_SHIFT;
	uint64_t unit;
	uint64_t w;
	uint64_t is_free;
	mobi_a64 *at;
	int rc;

	if (!mobi_run_claim(a, n, MOBI_CLASS_LARGE, false, &unit, &w)) {
		mobi_slab_release_empty(a);
		if (!mobi_run_claim(a, n, MOBI_CLASS_LARGE, true, &unit, &w)) {
			return 0;
		}
	}
	rc = mobi_run_back_tags(a, unit, MOBI_CLASS_LARGE);
	if (rc == 0) {
		rc = mobi_run_back(a, unit << MOBI_UNIT_SHIFT, bytes);
	}
	if (rc < 0) {
		mobi_run_release(a, unit, w, false);
		return rc;
	}
	at = mobi_tags(a, unit, MOBI_CLASS_LARGE);
	is_free = MOBI_TAG_FREE(MOBI_UGEN(w));
	mobi_store(at, is_free);
	mobi_store_release(loc, unit << MOBI_UNIT_SHIFT | MOBI_LOC_BLOCK);
	MOB_ASSERT(mobi_cas64(at, &is_free, tag));
	MOBI_FAULT("arena.tagged_large");
	mobi_large_settle(a, unit, w);
	return 1;
}

int mobi_large_alloc(struct mobi_arena *a, uint64_t size, uint64_t tag,
		     mobi_a64 *loc)
{
	int rc = 0;

	if (size <= a->units << MOBI_UNIT_SHIFT) {
		rc = large_try(a, size, tag, loc);
		if (mobi_no_room(rc) && mobi_room_make(a, size)) {
			rc = large_try(a, size, tag, loc);
		}
	}
	return rc == 1 ? 0 : mobi_full(size, rc);
}

/* A large block: its own tag first, then the run. */
bool mobi_large_free(struct mobi_arena *a, uint64_t unit, uint64_t w,
		     uint64_t tag)
{
	mobi_a64 *at = mobi_tags(a, unit, MOBI_CLASS_LARGE);

	if (!mobi_run_has_tags(a, unit, MOBI_CLASS_LARGE) ||
	    !mobi_cas64(at, &tag, MOBI_TAG_FREE(MOBI_UGEN(w)))) {
		return false;
	}
	/* CLAIM: its owner has yet to settle it, and will look at the tag
	 * again; if that one is dead the reaper ends the run. */
	w = mobi_load(mobi_unit(a, unit));
	if (MOBI_UKIND(w) == MOBI_U_LARGE && !MOBI_TAG_TAKEN(mobi_load(at))) {
		large_end(a, unit, w);
	}
	return true;
}
