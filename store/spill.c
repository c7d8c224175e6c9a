/* SPDX-License-Identifier: Apache-2.0 */
/* Which objects are spilled, and the steps there and back (spill.h). */
#include "spill.h"

#include "arena.h"
#include "count.h"
#include "edge.h"
#include "err.h"
#include "evict.h"
#include "fault.h"
#include "gone.h"
#include "guard.h"
#include "log.h"
#include "object_header.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_file.h"
#include "os_mem.h"
#include "os_run.h"
#include "pool.h"
#include "room.h"
#include "slot.h"
#include "spill_small.h"
#include "victim.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

#define LINK "spill"
/* So many slots are looked at to fill a container, beside what is needed. */
#define FILL_SCAN 4096u
#define RETRY_MIN_NS 20000
/* Who moves an object is given this time, at the least. */
#define MOVE_NS MOB_SEC
#define RETRY_MAX_NS 1000000

/* ---- the directory ---- */

static void part_of_name(char *out, size_t size)
{
	(void)snprintf(out, size, "mobula-spill-%u-", mobi_user_id());
}

int mobi_spill_make(struct mob_store *s, const char *dir, bool forced)
{
	char head[40];
	char path[4096];
	int n;
	int rc;
	int fd;

	if (mobi_dir_in_memory(dir) && !forced) {
		return mobi_err(MOB_E_INVAL,
				"spill directory %s is in memory (tmpfs): "
				"nothing is gained by spilling to it; choose "
				"one on a disk, or set "
				"MOB_STORE_SPILL_ANYWHERE",
				dir);
	}
	part_of_name(head, sizeof(head));
	n = snprintf(path, sizeof(path), "%s/%s%016llx", dir, head,
		     (unsigned long long)mobi_random());
	if (dir[0] != '/' || n < 0 || (size_t)n >= sizeof(path)) {
		return mobi_err(MOB_E_INVAL,
				"spill directory is '%.80s'; an absolute path "
				"of at most 4000 bytes",
				dir);
	}
	/* The link first: killed in between, one that leads nowhere is left. */
	rc = mobi_link_make_at(path, s->dir_fd, LINK);
	if (rc < 0) {
		return rc;
	}
	fd = mobi_dir_make(path);
	mobi_fd_close(fd);
	return fd < 0 ? fd : 0;
}

void mobi_spill_open(struct mob_store *s)
{
	s->spill_fd = mobi_dir_open_at(s->dir_fd, LINK);
	if (s->spill_fd >= 0 && mobi_dir_own(s->spill_fd, LINK) < 0) {
		mobi_fd_close(s->spill_fd);
		s->spill_fd = -1;
	}
}

void mobi_spill_remove(int session_fd)
{
	char head[40];
	char path[4096];
	const char *name;
	int fd;

	if (!mobi_link_read_at(session_fd, LINK, path, sizeof(path))) {
		return;
	}
	/* Nothing but what was made here. */
	part_of_name(head, sizeof(head));
	name = strrchr(path, '/');
	fd = mobi_dir_open_at(session_fd, LINK);
	if (fd >= 0 && name && strncmp(name + 1, head, strlen(head)) == 0 &&
	    mobi_dir_own(fd, path) >= 0) {
		(void)mobi_dir_remove_open(fd, path);
	}
	mobi_fd_close(fd);
}

/* ---- records ---- */

static struct mobi_spilled *spilled_of(struct mobi_slot *o)
{
	return (void *)o->value;
}

static bool is_block(uint64_t loc)
{
	return loc && loc != MOBI_LOC_INLINE && loc != MOBI_LOC_RANGE &&
	       loc != MOBI_LOC_SPILLED;
}

/* Under LOCK(me): others set DIRTY, or take it away with it. */
static void set_spill(struct mobi_slot *o, bool on)
{
	uint64_t w = mobi_load(&o->word);

	while (!mobi_cas64(&o->word, &w,
			   on ? w | MOBI_F_SPILL : w & ~MOBI_F_SPILL)) {
	}
}

/* Before SPILL comes in. */
static void tell_of_spilled(struct mob_store *s)
{
	if (!mobi_load_relaxed(&s->hdr->has_spilled)) {
		mobi_store(&s->hdr->has_spilled, 1u);
	}
}

static void remove_file(struct mob_store *s, uint64_t id)
{
	char name[MOBI_SPILL_NAME];

	if (mobi_spills(s)) {
		mobi_spill_name(name, id);
		(void)mobi_file_remove_at(s->spill_fd, name);
	}
}

void mobi_spill_forget(struct mob_store *s, uint64_t id)
{
	if (mobi_spill_is_small(&s->slots[(uint32_t)id])) {
		mobi_small_remove(s, id);
	} else {
		remove_file(s, id);
	}
}

void mobi_spill_repair(struct mob_store *s, uint32_t slot)
{
	struct mobi_slot *o = &s->slots[slot];
	struct mobi_spilled *r = spilled_of(o);
	uint64_t id = (uint64_t)MOBI_GEN(mobi_load(&o->word)) << 32 | slot;
	uint64_t tag = mobi_slot_tag(id);

	if (mobi_load(&r->valid)) {
		(void)mobi_arena_free(s->arena, mobi_load(&o->loc), tag);
		(void)mobi_arena_free(s->arena, mobi_load(&r->old), tag);
		mobi_store(&o->loc, MOBI_LOC_SPILLED);
		mobi_store(&r->old, UINT64_C(0));
		mobi_small_repair(s, id);
	} else {
		remove_file(s, id);
		set_spill(o, false);
	}
}

bool mobi_spill_is_whole(struct mob_store *s, uint32_t slot)
{
	struct mobi_slot *o = &s->slots[slot];
	char name[MOBI_SPILL_NAME];
	int fd;

	if (!mobi_spills(s) || mobi_load(&o->loc) != MOBI_LOC_SPILLED ||
	    !mobi_load(&spilled_of(o)->valid)) {
		return false;
	}
	mobi_spill_name(name,
			(uint64_t)MOBI_GEN(mobi_load(&o->word)) << 32 | slot);
	fd = mobi_file_open_at(s->spill_fd, name);
	mobi_fd_close(fd);
	return fd >= 0;
}

void mobi_spill_adopt(struct mob_store *s, uint32_t slot, mob_type_id type)
{
	struct mobi_slot *o = &s->slots[slot];

	tell_of_spilled(s);
	mobi_store(&mobi_weak_of(o)->n, 0u);
	mobi_store(&spilled_of(o)->old, UINT64_C(0));
	mobi_store(&spilled_of(o)->valid, UINT64_C(1));
	mobi_store(&o->loc, MOBI_LOC_SPILLED);
	mobi_store(&o->type, type);
	mobi_store(&o->born_ms, mobi_session_ms(s));
}

/* ---- out ---- */

static bool is_candidate(const struct mobi_slot *o, uint64_t w)
{
	return MOBI_STATE(w) == MOBI_S_SEALED &&
	       !(w &
		 (MOBI_F_LOCK | MOBI_F_NOTIFY | MOBI_F_SPILL | MOBI_F_GONE)) &&
	       is_block(mobi_load(&o->loc)) && !mobi_load(&o->view) &&
	       mobi_load(&o->type) != MOBI_TYPE_INTERNAL;
}

/* LOCK(me) and SPILL, of one that nobody views. False: it cannot be now. */
static bool take_to_spill(struct mob_store *s, uint32_t slot)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t w = mobi_load(&o->word);

	if (!is_candidate(o, w) ||
	    !mobi_cas64(&o->word, &w,
			MOBI_WORD(MOBI_GEN(w), s->me, MOBI_F_LOCK,
				  MOBI_KEEP(w)))) {
		return false;
	}
	mobi_store(&spilled_of(o)->valid, UINT64_C(0));
	tell_of_spilled(s);
	set_spill(o, true);
	/* Who views it after this sees SPILL. */
	if (mobi_load(&o->view) || mobi_has_range(s, o)) {
		mobi_spill_stays(s, slot);
		return false;
	}
	return true;
}

void mobi_spill_stays(struct mob_store *s, uint32_t slot)
{
	set_spill(&s->slots[slot], false);
	mobi_slot_locked_exit(s, slot);
}

uint64_t mobi_spill_goes(struct mob_store *s, uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	struct mobi_spilled *r = spilled_of(o);
	uint64_t loc = mobi_load(&o->loc);
	uint64_t bytes = mobi_arena_block_bytes(s->arena, loc);

	mobi_store(&r->old, loc);
	mobi_store(&r->valid, UINT64_C(1));
	mobi_store(&o->loc, MOBI_LOC_SPILLED);
	MOBI_FAULT("spill.freeing");
	(void)mobi_arena_free(s->arena, loc, mobi_slot_tag(id));
	mobi_store(&r->old, UINT64_C(0));
	mobi_count(s, MOBI_N_SPILL, 1);
	mobi_slot_locked_exit(s, (uint32_t)id);
	return bytes;
}

/* The store is full, and this is why it stays so. */
static void tell_once(struct mob_store *s, int rc)
{
	static mobi_a32 told;

	mobi_store(&s->spill_rc, (uint32_t)-rc);
	if (!mobi_exchange(&told, 1u)) {
		mobi_log(MOBI_LOG_WARN, "an object cannot be spilled: %s",
			 mob_err_detail(rc));
	}
}

/* Of one call. */
struct spilling {
	struct mob_store *s;
	uint64_t freed;
	int n;
	int rc; /* why one could not be written */
	/* Small ones that are to go, which nobody has LOCKed yet. */
	struct mobi_container *small;
	uint64_t promised; /* bytes that they will free */
	uint64_t bytes;    /* theirs */
	uint32_t n_slots;
	uint32_t slot[MOBI_CONTAINER_ITEMS];
};

static void count_out(struct spilling *g, int n, uint64_t freed, int rc)
{
	g->n += n;
	g->freed += freed;
	if (rc < 0) {
		g->rc = rc;
	} else if (n > 0) {
		mobi_store(&g->s->spill_rc, 0u);
	}
}

static void spill_alone(struct spilling *g, uint32_t slot)
{
	struct mob_store *s = g->s;
	struct mobi_slot *o = &s->slots[slot];
	uint64_t id;
	int rc;

	if (!take_to_spill(s, slot)) {
		return;
	}
	id = (uint64_t)MOBI_GEN(mobi_load(&o->word)) << 32 | slot;
	rc = mobi_spill_write(s->spill_fd, id,
			      mobi_arena_ro(s->arena, mobi_load(&o->loc)),
			      mobi_slot_total(o));
	if (rc < 0) {
		mobi_spill_stays(s, slot);
		count_out(g, 0, 0, rc);
	} else {
		count_out(g, 1, mobi_spill_goes(s, id), 0);
	}
}

/* Takes those that were gathered, as far as they may still go, and writes them:
 * nothing else is written while they are LOCKed. */
static void spill_gathered(struct spilling *g)
{
	struct mob_store *s = g->s;
	uint64_t freed = 0;
	int n = 0;
	int rc = 0;

	for (uint32_t i = 0; i < g->n_slots && rc >= 0; i++) {
		if (!take_to_spill(s, g->slot[i])) {
			continue;
		}
		if (mobi_spill_is_small(&s->slots[g->slot[i]])) {
			rc = mobi_small_add(s, g->small, g->slot[i]);
		} else {
			mobi_spill_stays(s, g->slot[i]); /* it is another now */
		}
	}
	g->n_slots = 0;
	g->promised = 0;
	g->bytes = 0;
	count_out(g, 0, 0, rc);
	if (g->small) {
		rc = mobi_small_out(s, g->small, &n, &freed);
		count_out(g, n, freed, rc);
	}
}

static bool is_gathered(const struct spilling *g)
{
	return g->n_slots == MOBI_CONTAINER_ITEMS ||
	       g->bytes >= MOBI_CONTAINER_BYTES;
}

static void gather_small(struct spilling *g, uint32_t slot)
{
	const struct mobi_slot *o = &g->s->slots[slot];

	if (!g->small) {
		g->small = mobi_small_new();
		if (!g->small) {
			g->rc = MOB_E_NOMEM;
			return;
		}
	}
	g->slot[g->n_slots++] = slot;
	g->bytes += mobi_slot_total(o);
	g->promised += mobi_arena_block_bytes(g->s->arena, mobi_load(&o->loc));
}

static bool is_small_candidate(const struct mobi_slot *o, uint64_t w)
{
	return is_candidate(o, w) && mobi_spill_is_small(o);
}

/* There is room enough with those that were gathered: others go with them that the
 * policy wants next. */
static void gather_more(struct spilling *g, const struct mobi_search *q)
{
	struct mobi_ahead a = mobi_victim_ahead(q, is_small_candidate,
						FILL_SCAN);
	uint32_t slot;

	while (!is_gathered(g) && mobi_victim_ahead_next(&a, &slot)) {
		gather_small(g, slot);
	}
}

/* One more for room, until there is none that may go. */
static bool spill_next(struct spilling *g, struct mobi_search *q)
{
	uint32_t slot;

	if (!mobi_victim_next(q, &slot)) {
		return false;
	}
	if (mobi_spill_is_small(&g->s->slots[slot]) &&
	    !mobi_load_relaxed(&g->s->no_links)) {
		gather_small(g, slot);
	} else {
		spill_alone(g, slot);
	}
	return true;
}

int mobi_spill_some(struct mob_store *s, uint64_t bytes)
{
	struct mobi_search q = mobi_victim_search(s, MOBI_HAND_SPILL,
						  is_candidate);
	struct spilling g = { .s = s };
	bool any = true;

	while (any && g.freed < bytes && g.rc >= 0) {
		while (any && g.freed + g.promised < bytes && g.rc >= 0 &&
		       !is_gathered(&g)) {
			any = spill_next(&g, &q);
		}
		if (g.n_slots) {
			gather_more(&g, &q);
			spill_gathered(&g);
		}
	}
	mobi_small_free(g.small);
	if (g.rc < 0) {
		tell_once(s, g.rc);
	}
	return g.n || g.rc >= 0 ? g.n : g.rc;
}

/* ---- back ---- */

/* Under LOCK(me) and SPILL: reads it into a new block. */
static int read_back(struct mob_store *s, uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t tag = mobi_slot_tag(id);
	int rc = s->check_writes ?
			 mobi_arena_alloc_apart(s->arena, mobi_slot_total(o),
						tag, &o->loc) :
			 mobi_arena_alloc(s->arena, mobi_slot_total(o), tag,
					  &o->loc);

	if (rc < 0) {
		mobi_store(&o->loc, MOBI_LOC_SPILLED);
		return rc;
	}
	if (s->check_writes) {
		mobi_guard_open(s, mobi_load(&o->loc));
	}
	rc = mobi_spill_read(s->spill_fd, id,
			     mobi_arena_rw(s->arena, mobi_load(&o->loc)),
			     mobi_slot_total(o));
	if (rc < 0) {
		(void)mobi_arena_free(s->arena, mobi_load(&o->loc), tag);
		mobi_store(&o->loc, MOBI_LOC_SPILLED);
		return rc;
	}
	MOBI_FAULT("spill.read");
	if (s->check_writes) {
		mobi_guard_close(s, mobi_load(&o->loc));
	}
	mobi_store(&spilled_of(o)->valid, UINT64_C(0));
	/* While the janitor would do it: afterwards nobody would. */
	mobi_spill_forget(s, id);
	set_spill(o, false);
	return 0;
}

/* 1: it is back; 0: another is at it; or an error. */
static int try_restore(struct mob_store *s, uint64_t id, struct mobi_room *room)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w = mobi_load(&o->word);
	int gone = -1;
	int rc;

	if (!(w & MOBI_F_SPILL)) {
		return 1;
	}
	if ((w & MOBI_F_LOCK) ||
	    !mobi_cas64(&o->word, &w,
			MOBI_WORD(MOBI_GEN(w), s->me, MOBI_F_LOCK,
				  MOBI_KEEP(w)))) {
		return 0;
	}
	rc = read_back(s, id);
	/* Not if it may be read another time. */
	if (rc == MOB_E_CORRUPT || rc == MOB_E_NOT_FOUND) {
		gone = mobi_gone_unreadable(s, (uint32_t)id);
	}
	mobi_slot_locked_exit(s, (uint32_t)id);
	if (gone > 0) {
		mobi_log(MOBI_LOG_WARN,
			 "object %u cannot be read back and is made again by "
			 "its task: %s",
			 (uint32_t)id, mob_err_detail(rc));
		return 1;
	}
	if (gone == 0) {
		mobi_pause_ns(RETRY_MAX_NS);
		return 0;
	}
	if (rc >= 0) {
		mobi_count(s, MOBI_N_RESTORE, 1);
		return 1;
	}
	if (rc != MOB_E_STORE_FULL && rc != MOB_E_DISK_FULL) {
		return rc;
	}
	if ((!mobi_room_forbidden() &&
	     (mobi_evict_some(s, mobi_slot_total(o)) > 0 ||
	      mobi_gone_some(s, mobi_slot_total(o), true) > 0)) ||
	    mobi_spill_some(s, mobi_slot_total(o)) > 0 ||
	    (!mobi_room_forbidden() &&
	     mobi_gone_some(s, mobi_slot_total(o), false) > 0)) {
		return 0;
	}
	rc = mobi_room_next(s, room);
	return rc < 0 ? rc : 0;
}

bool mobi_spill_prefetch(struct mob_store *s, uint64_t id,
			 struct mobi_file_ahead *ahead)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id % MOBI_SLOTS];
	uint64_t w = mobi_load(&o->word);
	uint64_t files = ahead->files;
	char name[MOBI_SPILL_NAME];

	/* Who has the LOCK reads it already, or has it in memory. */
	if (!mobi_spills(s) || MOBI_GEN(w) != MOBI_GEN(id) ||
	    !(w & MOBI_F_SPILL) || (w & MOBI_F_LOCK)) {
		return false;
	}
	mobi_spill_name(name, id);
	if (!mobi_file_prefetch_at(s->spill_fd, name, ahead)) {
		return false;
	}
	if (ahead->files != files) {
		mobi_count(s, MOBI_N_PREFETCH, 1);
		MOBI_FAULT("spill.prefetch");
	}
	return true;
}

/* For LOCKs of others: w is the word that has one. */
static int may_wait(struct mob_store *s, uint64_t id, uint64_t w,
		    int64_t timeout_ns, int64_t end)
{
	int rc = mobi_wait_over(s, timeout_ns, end);

	return rc != MOB_E_TIMEOUT ?
		       rc :
		       mobi_err(rc,
				"object %u is being moved to or from its file "
				"by process %u, for more than %lld ms",
				(uint32_t)id,
				s->clients[MOBI_OWNER(w) % MOBI_CLIENTS]
					.proc.pid,
				(long long)(timeout_ns / MOB_MS));
}

int mobi_spill_restore(struct mob_store *s, uint64_t id, int64_t timeout_ns)
{
	struct mobi_room room = mobi_room_begin();
	int64_t pause = RETRY_MIN_NS;
	int64_t end;
	int rc;

	if (!mobi_spills(s)) {
		return mobi_err(MOB_E_NOT_FOUND,
				"object %u is spilled, and the spill directory "
				"of the session cannot be opened",
				(uint32_t)id);
	}
	if (timeout_ns >= 0 && timeout_ns < MOVE_NS) {
		timeout_ns = MOVE_NS; /* as long as reading it may take */
	}
	end = mobi_deadline(timeout_ns);
	while ((rc = try_restore(s, id, &room)) == 0) {
		uint64_t w = mobi_load(&s->slots[(uint32_t)id].word);

		/* Whoever moves it may be long, stopped or dead. */
		if (w & MOBI_F_LOCK) {
			rc = may_wait(s, id, w, timeout_ns, end);
			if (rc < 0) {
				break;
			}
			mobi_pause_ns(pause);
			pause = pause < RETRY_MAX_NS ? 2 * pause : RETRY_MAX_NS;
			mobi_look_around(s);
		}
	}
	mobi_room_end(s, &room);
	return rc < 0 ? rc : 0;
}
