/* SPDX-License-Identifier: Apache-2.0 */
/* The check of writes after the seal. */
#include "guard.h"

#include "log.h"
#include "os_shm.h"

/* Without the mappings that it needs the check says so, once: the program would
 * run as it does without the check. */
static void protect(struct mob_store *s, uint64_t loc, bool writable)
{
	static _Atomic bool told;
	int rc = mobi_shm_protect(mobi_arena_rw(s->arena, loc),
				  (size_t)mobi_arena_block_bytes(s->arena, loc),
				  writable);

	if (rc < 0 && !mobi_exchange(&told, true)) {
		mobi_log(MOBI_LOG_WARN,
			 "MOBULA_CHECK_WRITES: %s; objects are not checked "
			 "any more",
			 mob_err_detail(rc));
	}
}

void mobi_guard_open(struct mob_store *s, uint64_t loc)
{
	protect(s, loc, true);
}

void mobi_guard_close(struct mob_store *s, uint64_t loc)
{
	/* Others of a slab are still being written. */
	if (loc > MOBI_LOC_INLINE && mobi_arena_is_apart(s->arena, loc)) {
		protect(s, loc, false);
	}
}
