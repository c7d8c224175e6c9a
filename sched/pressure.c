/* SPDX-License-Identifier: Apache-2.0 */
/* Lack of memory: who is ended for it, and what that is for its task. */
#include "pressure.h"

#include "board.h"
#include "conf.h"
#include "fault.h"
#include "inspect.h"
#include "log.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_limits.h"
#include "os_run.h"
#include "place.h"
#include "pool.h"
#include "retry.h"
#include "task.h"
#include "task_cancel.h"

#include <signal.h>
#include <stdio.h>

#define MIB (UINT64_C(1) << 20)
#define LEAST (16 * MIB)
/* Of a worker's memory as part of the largest one's. */
#define PART 8u
#define TICK_NS (10 * (uint64_t)MOB_MS)
#define GROWTH_NS (100 * (uint64_t)MOB_MS)
#define LOOK_MAX_NS (500 * (uint64_t)MOB_MS)
/* No more bytes are taken in a nanosecond than so many. */
#define BYTES_A_NS 4u
/* The kernel tells that all stood still for so many hundredths of the time. */
#define STALLED 20u
#define LEAVES_NS (uint64_t) MOB_SEC

/* Its attempt has ended before it could be killed. Unless its worker has died: who
 * reaps it forgets it. */
static void forget_note(struct mobi_place_shared *p, uint64_t note)
{
	(void)mobi_cas64(&p->press, &note, UINT64_C(0));
}

int mobi_pressure_init(struct mobi_sched *sh)
{
	struct mobi_pressure_shared *p = &sh->pressure;
	uint64_t percent;
	uint64_t retries;
	int rc = mobi_conf_u64(MOBI_CONF_ID_memory_percent, &percent);

	if (rc >= 0) {
		rc = mobi_conf_u64(MOBI_CONF_ID_memory_retries, &retries);
	}
	if (rc >= 0) {
		rc = mobi_conf_u64(MOBI_CONF_ID_memory_limit, &p->limit);
	}
	if (rc >= 0) {
		p->percent = (uint32_t)percent;
		p->retries = (uint32_t)retries;
	}
	return rc;
}

/* What the daemon before has noted it may not have done. */
static void finish(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		struct mobi_place_shared *p = &sh->place[i];
		uint64_t note = mobi_load(&p->press);
		uint32_t rec = (uint32_t)note - 1;
		uint32_t owner;
		uint64_t w;

		if (!note || rec >= mobi_pool_used(s, MOBI_POOL_REC)) {
			continue;
		}
		w = mobi_load(&s->recs[rec].word);
		owner = MOBI_ROWNER(w) % MOBI_CLIENTS;
		if (MOBI_STATE(w) != MOBI_T_RUN ||
		    MOBI_VERSION(w) != (uint32_t)(note >> 32) ||
		    owner != mobi_load(&p->client) ||
		    (!mobi_task_shoot(s, rec, w, SIGKILL) &&
		     mobi_proc_alive(&s->clients[owner].proc))) {
			forget_note(p, note);
		}
	}
}

void mobi_pressure_begin(struct mob_store *s, struct mobi_pressure *p)
{
	mobi_pressure_open(&p->files, "");
	finish(s);
}

void mobi_pressure_end(struct mobi_pressure *p)
{
	mobi_pressure_close(&p->files);
}

/* ---- whose turn it is ---- */

struct candidate {
	uint32_t client;
	uint32_t rec;
	uint64_t w;
	uint64_t bytes;
	uint64_t group;
	uint64_t began;
	bool again;
};

struct candidates {
	uint32_t n;
	struct candidate at[MOBI_PLACES];
};

/* Tasks with one submitter: a task, or a driver. */
static uint64_t group_of(const struct mobi_task *t)
{
	uint64_t parent = mobi_load(&t->parent);

	return parent ? parent : UINT64_MAX - t->job;
}

/* The workers with a task, as it is now. */
static void find(struct mob_store *s, struct candidates *c)
{
	struct mobi_sched *sh = s->sched;
	struct mobi_task_walk k;

	c->n = 0;
	mobi_task_walk_init(&k, s);
	for (uint32_t i = 0; i < sh->max_places; i++) {
		struct candidate *to = &c->at[c->n];
		uint32_t client = mobi_load(&sh->place[i].client) %
				  MOBI_CLIENTS;
		uint32_t rec = client ? mobi_task_walk_of(&k, client) : 0;
		const struct mobi_task *t;

		if (!rec || mobi_load(&sh->place[i].press)) {
			continue; /* idle, or killed already */
		}
		t = mobi_task_at(s, --rec);
		*to = (struct candidate){ .client = client, .rec = rec };
		to->w = mobi_load(&s->recs[rec].word);
		to->bytes = mobi_own_bytes((int)s->clients[client].proc.pid);
		to->group = group_of(t);
		to->began = mobi_load(&t->run_ns);
		to->again = mobi_pressure_again(sh, t, to->w);
		c->n += MOBI_STATE(to->w) == MOBI_T_RUN &&
			MOBI_ROWNER(to->w) == client &&
			!(to->w & MOBI_TF_TAKEN);
	}
}

static uint64_t largest(const struct candidates *c, bool again)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		if (c->at[i].again >= again && c->at[i].bytes > most) {
			most = c->at[i].bytes;
		}
	}
	return most;
}

/* Leaves those that come into question, if `need` bytes are to be freed. */
static void sift(struct candidates *c, uint64_t need)
{
	uint64_t least = largest(c, false) / PART;
	uint64_t most = largest(c, true);
	bool again;
	uint32_t n = 0;

	least = least > LEAST ? least : LEAST;
	again = most >= least;
	most = again ? most : largest(c, false);
	/* If one is enough, those that are not do not help. */
	least = need <= most && need > least ? need : least;
	for (uint32_t i = 0; i < c->n; i++) {
		if (c->at[i].bytes >= least && c->at[i].again >= again) {
			c->at[n++] = c->at[i];
		}
	}
	c->n = n;
}

static uint64_t bytes_of_group(const struct candidates *c, uint64_t group)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		sum += c->at[i].group == group ? c->at[i].bytes : 0;
	}
	return sum;
}

/* The newest of the largest group; NULL: there is nobody. */
static const struct candidate *choose(struct candidates *c, uint64_t need)
{
	const struct candidate *best = NULL;
	uint64_t most = 0;

	sift(c, need);
	for (uint32_t i = 0; i < c->n; i++) {
		const struct candidate *x = &c->at[i];
		uint64_t sum = bytes_of_group(c, x->group);

		if (!best || sum > most ||
		    (x->group == best->group && x->began > best->began)) {
			best = x;
			most = sum;
		}
	}
	return best;
}

/* ---- ending one ---- */

/* Bytes of those that have been ended and are not gone. */
static uint64_t dying_bytes(const struct mob_store *s, struct mobi_pressure *p,
			    uint64_t now)
{
	const struct mobi_sched *sh = s->sched;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		const struct mobi_place_shared *place = &sh->place[i];
		uint32_t c = mobi_load(&place->client) % MOBI_CLIENTS;

		if (c && mobi_load(&place->press) &&
		    mobi_proc_alive(&s->clients[c].proc)) {
			sum += mobi_load(&place->press_bytes);
		}
	}
	if (p->leaves.pid &&
	    (now >= p->leaves_until || !mobi_proc_alive(&p->leaves))) {
		p->leaves.pid = 0;
	}
	return sum + (p->leaves.pid ? p->leaves_bytes : 0);
}

/* The idle worker that has the most leaves, if that is much. */
static bool end_idle(struct mob_store *s, struct mobi_pressure *p, uint64_t now)
{
	struct mobi_sched *sh = s->sched;
	struct mobi_place_shared *best = NULL;
	uint64_t idle = mobi_load(&s->board->idle);
	uint64_t most = LEAST;
	uint32_t client = 0;

	for (uint32_t i = 0; !p->leaves.pid && i < sh->max_places; i++) {
		uint32_t c = mobi_load(&sh->place[i].client) % MOBI_CLIENTS;
		uint64_t has;

		/* One that has run nothing has what the next would have. */
		if (!c || !(idle & MOBI_BIT(c)) ||
		    mobi_load(&sh->place[i].leave) ||
		    !mobi_load(&sh->place[i].runs)) {
			continue;
		}
		has = mobi_own_bytes((int)s->clients[c].proc.pid);
		if (has >= most) {
			most = has;
			best = &sh->place[i];
			client = c;
		}
	}
	/* Whoever takes the bit wakes it. */
	if (!best || !(mobi_fetch_and(&s->board->idle, ~MOBI_BIT(client)) &
		       MOBI_BIT(client))) {
		return false;
	}
	mobi_store(&best->leave, 1u);
	p->leaves = s->clients[client].proc;
	p->leaves_until = now + LEAVES_NS;
	p->leaves_bytes = most;
	mobi_client_ring(s, client);
	(void)mobi_fetch_add(&sh->pressure.replaced, UINT64_C(1));
	mobi_log(MOBI_LOG_INFO,
		 "memory is short: worker %u, which is idle and has %llu MiB, "
		 "is replaced",
		 p->leaves.pid, (unsigned long long)(most / MIB));
	return true;
}

static bool end_task(struct mob_store *s, const struct mobi_memory *m,
		     uint64_t need)
{
	struct mobi_sched *sh = s->sched;
	struct candidates c;
	const struct candidate *x;
	struct mobi_place_shared *place;
	uint64_t note;

	find(s, &c);
	x = choose(&c, need);
	place = x ? mobi_place_of(sh, x->client) : NULL;
	if (!place) {
		return false;
	}
	note = MOBI_ANN(MOBI_VERSION(x->w), x->rec);
	mobi_store(&place->press_bytes, x->bytes);
	mobi_store(&place->press_use, m->use);
	mobi_store(&place->press_limit, m->limit);
	(void)snprintf(sh->pressure.where, sizeof(sh->pressure.where), "%s",
		       m->where);
	mobi_store(&place->press, note);
	MOBI_FAULT("pressure.noted");
	if (!mobi_task_shoot(s, x->rec, x->w, SIGKILL)) {
		forget_note(place, note);
		return true;
	}
	MOBI_FAULT("pressure.killed");
	mobi_log(MOBI_LOG_WARN,
		 "memory is short: %llu of %llu MiB are in use (%s); task %s "
		 "is killed with its worker %u, which has %llu MiB",
		 (unsigned long long)(m->use / MIB),
		 (unsigned long long)(m->limit / MIB), m->where,
		 mobi_task_name(sh, mobi_task_at(s, x->rec)),
		 s->clients[x->client].proc.pid,
		 (unsigned long long)(x->bytes / MIB));
	return true;
}

/* ---- looking ---- */

/* What the processes of the session have of their own, and the file with its
 * objects. */
static uint64_t own_bytes(const struct mob_store *s)
{
	uint64_t sum = mobi_fd_bytes(s->arena_fd);

	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		if (MOBI_STATE(mobi_load(&s->clients[i].word)) ==
		    MOBI_CLIENT_LIVE) {
			sum += mobi_own_bytes((int)s->clients[i].proc.pid);
		}
	}
	return sum;
}

static bool look(const struct mob_store *s, const struct mobi_pressure *p,
		 struct mobi_memory *out)
{
	const struct mobi_pressure_shared *sh =
		&((const struct mobi_sched *)s->sched)->pressure;
	bool some = mobi_pressure_look(&p->files, sh->percent, out);
	struct mobi_memory own = { sh->limit, 0, "MOBULA_MEMORY_LIMIT" };

	if (sh->limit) {
		own.use = own_bytes(s);
		if (!some || mobi_pressure_tighter(&own, out, sh->percent)) {
			*out = own;
			some = true;
		}
	}
	return some;
}

static void tell_nobody(struct mobi_pressure *p, const struct mobi_memory *m)
{
	if (!p->told) {
		p->told = true;
		mobi_log(MOBI_LOG_WARN,
			 "memory is short: %llu of %llu MiB are in use (%s), "
			 "and no worker has more than %llu MiB of its own that "
			 "could be freed by its end",
			 (unsigned long long)(m->use / MIB),
			 (unsigned long long)(m->limit / MIB), m->where,
			 (unsigned long long)(LEAST / MIB));
	}
}

/*
 * What was taken since the last look, or in GROWTH_NS of a longer time, may be taken
 * twice until the next one and while somebody dies: the faster it is, the earlier
 * somebody is ended. From three quarters of the limit on. Of what is in use, those who
 * die included: what they still have is no growth when they are gone.
 */
static uint64_t mark_of(struct mobi_pressure *p, const struct mobi_memory *m,
			uint64_t now, uint64_t mark)
{
	uint64_t low = m->limit / 4 * 3;
	uint64_t took = now - p->last_ns;
	double more = p->last_limit == m->limit && m->use > p->last_use ?
			      2.0 * (double)(m->use - p->last_use) :
			      0.0;

	if (took > GROWTH_NS) {
		more *= (double)GROWTH_NS / (double)took;
	}
	p->last_limit = m->limit;
	p->last_use = m->use;
	p->last_ns = now;
	if (mark <= low) {
		return mark;
	}
	return more < (double)(mark - low) ? mark - (uint64_t)more : low;
}

void mobi_pressure_watch(struct mob_store *s, struct mobi_pressure *p)
{
	struct mobi_pressure_shared *sh =
		&((struct mobi_sched *)s->sched)->pressure;
	uint64_t now = mobi_now_ns();
	struct mobi_memory m;
	uint64_t goes;
	uint64_t use;
	uint64_t mark;
	uint64_t wait;

	if (!sh->percent || now < p->look_ns) {
		return;
	}
	p->look_ns = now + LOOK_MAX_NS;
	/* Before that is read of which it is taken away. */
	goes = dying_bytes(s, p, now);
	if (!look(s, p, &m)) {
		return;
	}
	mobi_store(&sh->seen_use, m.use);
	mobi_store(&sh->seen_limit, m.limit);
	mark = mobi_pressure_mark(m.limit, sh->percent);
	use = m.use > goes ? m.use - goes : 0;
	if (use > mark_of(p, &m, now, mark) ||
	    (use > m.limit / 4 * 3 && !goes &&
	     mobi_pressure_stalled(&p->files, now) >= STALLED)) {
		if (!end_idle(s, p, now) &&
		    !end_task(s, &m, use > mark ? use - mark : 0) && !goes) {
			tell_nobody(p, &m);
		}
		/* What stood still did so with it. */
		p->files.stall_ns = 0;
		p->files.stalled = 0;
		p->look_ns = now + TICK_NS;
		return;
	}
	p->told = false;
	wait = (mark - use) / BYTES_A_NS; /* it is not beyond */
	wait = wait > TICK_NS && !goes ? wait : TICK_NS;
	p->look_ns = now + (wait < LOOK_MAX_NS ? wait : LOOK_MAX_NS);
}

/* ---- who reaps ---- */

const struct mobi_place_shared *mobi_pressure_note(struct mob_store *s,
						   uint32_t rec, uint64_t w)
{
	const struct mobi_place_shared *p = mobi_place_of(s->sched,
							  MOBI_ROWNER(w));
	uint32_t signal = SIGKILL;
	uint32_t status;
	uint32_t code;

	if (!p || mobi_load(&p->press) != MOBI_ANN(MOBI_VERSION(w), rec)) {
		return NULL;
	}
	/* A daemon may have died before it did what it had noted, and the worker of
	 * something else. */
	if (mobi_place_status(s, p, MOBI_ROWNER(w), &status)) {
		mobi_status_split((int)status, &signal, &code);
	}
	return signal == SIGKILL ? p : NULL;
}

bool mobi_pressure_again(const struct mobi_sched *sh, const struct mobi_task *t,
			 uint64_t w)
{
	return mobi_retry_given(t) &&
	       mobi_retry_pressed_before(t, w) < sh->pressure.retries;
}

void mobi_pressure_text(const struct mobi_sched *sh, const struct mobi_task *t,
			const struct mobi_place_shared *note, char *out,
			size_t size)
{
	uint32_t pressed = mobi_retry_pressed(t);
	char why[100];

	if (mobi_retry_given(t)) {
		(void)snprintf(why, sizeof(why),
			       "for the %u. time, and MOBULA_MEMORY_RETRIES is "
			       "%u",
			       pressed + 1, sh->pressure.retries);
	} else {
		(void)snprintf(why, sizeof(why),
			       "and may run once only, as its retries are 0");
	}
	(void)snprintf(out, size,
		       "task %s: killed for lack of memory, %s; its worker had "
		       "%llu "
		       "bytes of its own, and %llu of %llu were in use (%.*s). "
		       "Let "
		       "fewer run at once (cpus of its options), or raise that "
		       "limit",
		       mobi_task_name(sh, t), why,
		       (unsigned long long)mobi_load(&note->press_bytes),
		       (unsigned long long)mobi_load(&note->press_use),
		       (unsigned long long)mobi_load(&note->press_limit),
		       (int)sizeof(sh->pressure.where), sh->pressure.where);
}
