/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spilling: sealed objects that nobody views go to files when the arena is full,
 * and come back when somebody views them.
 *
 * Word flag SPILL: the bytes are in the file "<slot>.<generation>", or on their
 * way there or back. Who moves them has the LOCK; nobody waits for it but who
 * wants to view the object.
 *
 *   spill    CAS LOCK(me); valid = 0; CAS SPILL in; a view bit, or a range of it:
 *            CAS SPILL away, exit. Write the file; old = loc; valid = 1;
 *            loc = SPILLED; free the block old; old = 0; exit.
 *   view     set my view bit; load the word: SPILL: restore.
 *   restore  LOCKed by another: later. CAS LOCK(me); allocate a block, which
 *            writes loc; read the file into it; valid = 0; remove the file; CAS
 *            SPILL away; exit.
 *   janitor  takes LOCK(dead) with SPILL over: valid: free the blocks that loc and
 *            old name, loc = SPILLED. Not valid, loc is the block: remove the file,
 *            CAS SPILL away. Then exit.
 *
 * A view bit is set before the word is read, and SPILL before the view bits are:
 * so one of both sees the other. tests/models/spill.pml.
 */
#ifndef MOBI_SPILL_H
#define MOBI_SPILL_H

#include "os_file.h"
#include "segment.h"

/* Makes the directory for a session that is being built and its link. dir: must
 * be there. Errors: INVAL (in memory, and not forced), PERM, NOT_FOUND, SYS. */
int mobi_spill_make(struct mob_store *s, const char *dir, bool forced);
/* Finds it, at attach; a store without one is none the worse. */
void mobi_spill_open(struct mob_store *s);
/* Removes it, before the session directory goes. */
void mobi_spill_remove(int session_fd);

static inline bool mobi_spills(const struct mob_store *s)
{
	return s->spill_fd >= 0;
}

/* False: no object is in a file, nor was. */
static inline bool mobi_has_spilled(const struct mob_store *s)
{
	return mobi_load_relaxed(&s->hdr->has_spilled);
}

/* Spills objects of bytes bytes together, or as many as there are. Returns how
 * many objects, or why the first could not be written. */
int mobi_spill_some(struct mob_store *s, uint64_t bytes);
/* Brings the object back, which this process has a view bit on. The time-out is
 * for another who moves it. Errors: TIMEOUT, INTERRUPTED, CLOSED, STORE_FULL, CORRUPT (the file is not what was written), IO, NOT_FOUND,
 * NOMEM. */
int mobi_spill_restore(struct mob_store *s, uint64_t id, int64_t timeout_ns);
/* If the object is in a file, the kernel begins to read all of that ahead, once for
 * all objects in it. It costs memory of the kernel's cache alone, which goes before
 * anything else, and changes nothing that a kill could leave half done. False: the
 * object is in none, or there are not as many bytes left as that has. */
bool mobi_spill_prefetch(struct mob_store *s, uint64_t id,
			 struct mobi_file_ahead *ahead);
/* Under LOCK(me), taken over from a dead one, with SPILL. */
void mobi_spill_repair(struct mob_store *s, uint32_t slot);
/* The object is freed, or in memory: its file goes, and its container may be half
 * empty then. */
void mobi_spill_forget(struct mob_store *s, uint64_t id);
/* An object of a session that nobody sees yet has its file: all but the flag of
 * the word. */
void mobi_spill_adopt(struct mob_store *s, uint32_t slot, mob_type_id type);
/* Is a spilled object where it should be? For audits. */
bool mobi_spill_is_whole(struct mob_store *s, uint32_t slot);

#endif /* MOBI_SPILL_H */
