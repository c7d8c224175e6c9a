/* SPDX-License-Identifier: Apache-2.0 */
/* What goes on in a store: counters, who has what, and who is in the way. */
#include "count.h"

#include "err.h"
#include "name.h"
#include "os_clock.h"
#include "pool.h"
#include "slot.h"

#include <mobula/memory.h>

#include <stdlib.h>

/* Everything of the numbers of processes, before it is known who lives. */
struct look {
	struct mob_process by[MOBI_CLIENTS];
	struct mob_activity *out;
};

static void look_slot(struct mob_store *s, uint32_t slot, struct look *l)
{
	const struct mobi_slot *o = &s->slots[slot];
	uint64_t w = mobi_load(&o->word);
	uint64_t view = mobi_load(&o->view);
	uint64_t bits = (mobi_load(&o->hold) | view) & ~MOBI_KEPT;
	struct mob_process *maker;
	uint64_t bytes;

	/* One more each time it is freed; what a restored store came with has an
	 * earlier one, and is not counted. */
	if (w && MOBI_GEN(w) >= s->gen_base) {
		l->out->freed += MOBI_GEN(w) - s->gen_base;
		l->out->made += mobi_living(w) ? 1 : 0;
	}
	if (w & MOBI_F_LOCK || MOBI_STATE(w) == MOBI_S_FREEING) {
		l->by[MOBI_OWNER(w) % MOBI_CLIENTS].locked_objects++;
	}
	if (!mobi_living(w)) {
		return;
	}
	bytes = mobi_arena_tagged_bytes(
		s->arena, mobi_load(&o->loc),
		mobi_slot_tag((uint64_t)MOBI_GEN(w) << 32 | slot));
	maker = &l->by[MOBI_CREATOR(mobi_load(&o->creator)) % MOBI_CLIENTS];
	maker->made_objects++;
	maker->made_bytes += bytes;
	for (; bits; bits &= bits - 1) {
		uint32_t n = (uint32_t)__builtin_ctzll(bits);

		l->by[n].held_objects++;
		l->by[n].held_bytes += bytes;
		l->by[n].viewed_bytes += view >> n & 1 ? bytes : 0;
	}
}

static void look_counts(struct mob_store *s, struct look *l)
{
	for (uint32_t i = 0; i < MOBI_CLIENTS; i++) {
		struct mob_process *p = &l->by[i];

		p->put_bytes = mobi_count_of(s, i, MOBI_N_PUT_BYTES);
		p->gets = mobi_count_of(s, i, MOBI_N_GET);
		p->spills = mobi_count_of(s, i, MOBI_N_SPILL);
		p->restores = mobi_count_of(s, i, MOBI_N_RESTORE);
		p->sleeps = mobi_count_of(s, i, MOBI_N_SLEEP);
		p->room_waits = mobi_count_of(s, i, MOBI_N_ROOM);
		l->out->put_bytes += p->put_bytes;
		l->out->gets += p->gets;
		l->out->spills += p->spills;
		l->out->restores += p->restores;
		l->out->sleeps += p->sleeps;
		l->out->room_waits += p->room_waits;
	}
}

static uint32_t process_state(const struct mobi_proc *proc)
{
	if (!mobi_proc_alive(proc)) {
		return MOB_PROCESS_DEAD;
	}
	return mobi_proc_stopped(proc) ? MOB_PROCESS_STOPPED : MOB_PROCESS_RUNS;
}

static uint32_t locks_of(const struct mob_store *s, uint32_t pid)
{
	const struct mobi_lock *lock[] = { &s->hdr->attach, &s->hdr->janitor,
					   &s->cat_shared->writing };
	uint32_t has = 0;

	for (uint32_t i = 0; i < sizeof(lock) / sizeof(lock[0]); i++) {
		has |= mobi_lock_pid(lock[i]) == pid ? 1u << i : 0;
	}
	return has;
}

/* Appends who is attached under a number, if anybody is. */
static void look_client(const struct mob_store *s, uint32_t number,
			struct look *l)
{
	const struct mobi_client *c = &s->clients[number];
	uint64_t w = mobi_load(&c->word);
	struct mob_process *p = &l->by[number];

	if (MOBI_STATE(w) != MOBI_CLIENT_LIVE &&
	    MOBI_STATE(w) != MOBI_CLIENT_DEAD) {
		return;
	}
	p->number = number;
	p->pid = c->proc.pid;
	p->attach = MOBI_GEN(w);
	p->state = process_state(&c->proc);
	p->locks = locks_of(s, p->pid);
	mobi_proc_command(&c->proc, p->command, sizeof(p->command));
	l->out->waiting_for_room += mobi_load(&c->room) != 0;
	l->out->process[l->out->n_processes++] = *p;
}

int mob_store_activity(struct mob_store *store, struct mob_activity *out)
{
	struct mobi_arena_sums sums;
	struct look *l;
	uint32_t end;

	MOBI_ENTER(store);
	l = calloc(1, sizeof(*l));
	if (!l) {
		return mobi_err(MOB_E_NOMEM, "mob_store_activity: out of "
					     "memory");
	}
	*out = (struct mob_activity){
		.struct_size = (uint32_t)sizeof(*out),
		.at_ns = mobi_now_ns(),
	};
	l->out = out;
	look_counts(store, l);
	end = mobi_pool_used(store, MOBI_POOL_SLOT);
	for (uint32_t i = 0; i < end; i++) {
		look_slot(store, i, l);
	}
	out->made += out->freed;
	mobi_arena_sums(store->arena, &sums);
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		l->by[i].reserved_bytes = sums.reserved_bytes[i];
		look_client(store, i, l);
	}
	free(l);
	return 0;
}

const char *mob_process_state_name(uint32_t state)
{
	static const char *const name[] = {
		[MOB_PROCESS_RUNS] = "runs",
		[MOB_PROCESS_STOPPED] = "stopped",
		[MOB_PROCESS_DEAD] = "dead",
	};

	return state <= MOB_PROCESS_DEAD ? name[state] : "?";
}
