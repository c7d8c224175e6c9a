/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks, workers and the policy of a session that is looked at.
 *
 * What a task waits for is read from its edges, not from its arguments: an
 * edge that is not quiet is on an object that the task needs, and edges are in
 * the tables, arguments perhaps in the arena. A row is read, then its word is
 * read again: if it changed, the row is read once more.
 */
#include "inspect.h"

#include "domain.h"
#include "edge.h"
#include "err.h"
#include "os_clock.h"
#include "pool.h"
#include "slot.h"
#include "task.h"

#include <string.h>

#define TRIES 8

const char *mob_task_state_name(uint32_t state)
{
	static const char *const names[] = {
		[MOB_TASK_STATE_WAITING] = "waiting",
		[MOB_TASK_STATE_READY] = "ready",
		[MOB_TASK_STATE_QUEUED] = "queued",
		[MOB_TASK_STATE_RUNNING] = "running",
		[MOB_TASK_STATE_BLOCKED] = "blocked",
		[MOB_TASK_STATE_DONE] = "done",
		[MOB_TASK_STATE_DELAYED] = "delayed",
	};

	return state && state < sizeof(names) / sizeof(names[0]) ?
		       names[state] :
		       "?";
}

const char *mob_worker_state_name(uint32_t state)
{
	static const char *const names[] = {
		[MOB_WORKER_STARTING] = "starting",
		[MOB_WORKER_IDLE] = "idle",
		[MOB_WORKER_RUNNING] = "running",
		[MOB_WORKER_BLOCKED] = "blocked",
		[MOB_WORKER_ENDING] = "ending",
		[MOB_WORKER_DEAD] = "dead",
		[MOB_WORKER_STOPPED] = "stopped",
	};

	return state && state < sizeof(names) / sizeof(names[0]) ?
		       names[state] :
		       "?";
}

/* ---- the walk ---- */

void mobi_task_walk_init(struct mobi_task_walk *k, struct mob_store *s)
{
	memset(k, 0, sizeof(*k));
	k->s = s;
	k->sh = s->sched;
	k->now = mobi_now_ns();
}

static uint64_t since(const struct mobi_task_walk *k, uint64_t then)
{
	return then && then < k->now ? k->now - then : 0;
}

uint32_t mobi_task_walk_of(struct mobi_task_walk *k, uint32_t worker)
{
	uint32_t end = mobi_pool_used(k->s, MOBI_POOL_REC);
	uint64_t began[MOBI_CLIENTS] = { 0 };

	for (uint32_t r = 0; !k->has_newest && r < end; r++) {
		uint64_t w = mobi_load(&k->s->recs[r].word);
		uint32_t c = MOBI_ROWNER(w) % MOBI_CLIENTS;
		uint64_t at;

		if (MOBI_STATE(w) != MOBI_T_RUN) {
			continue;
		}
		at = mobi_load(&mobi_task_at(k->s, r)->run_ns);
		if (!k->newest[c] || at > began[c]) {
			k->newest[c] = r + 1;
			began[c] = at;
		}
	}
	k->has_newest = true;
	return k->newest[worker % MOBI_CLIENTS];
}

struct mobi_place_shared *mobi_place_of(struct mobi_sched *sh, uint32_t client)
{
	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		if (client && mobi_load(&sh->place[i].client) == client) {
			return &sh->place[i];
		}
	}
	return NULL;
}

/* ---- what a task waits for ---- */

static bool unresolved(const struct mob_store *s, uint64_t ref)
{
	uint32_t slot = (uint32_t)ref;
	uint64_t w;

	if (slot >= mobi_pool_used(s, MOBI_POOL_SLOT)) {
		return false;
	}
	w = mobi_load(&s->slots[slot].word);
	return MOBI_GEN(w) == MOBI_GEN(ref) && mobi_living(w) &&
	       !mobi_resolved(w);
}

/* Id of the task that makes an object, or is to be run again for it; or 0. */
static uint64_t maker(const struct mob_store *s, uint64_t ref)
{
	uint64_t producer = mobi_load(&s->slots[(uint32_t)ref].producer);
	uint32_t rec = (uint32_t)producer - 1;
	uint64_t w;

	if (!producer || rec >= mobi_pool_used(s, MOBI_POOL_REC)) {
		return 0;
	}
	w = mobi_load(&s->recs[rec].word);
	return MOBI_GEN(w) == MOBI_GEN(producer) &&
			       ((MOBI_STATE(w) >= MOBI_T_WAITING &&
				 MOBI_STATE(w) <= MOBI_T_DELAY) ||
				mobi_task_remakes(w)) ?
		       mobi_task_id(w, rec) :
		       0;
}

/* Objects that are needed, collected edge by edge. */
struct needs {
	const struct mob_store *s;
	uint64_t skip; /* edges before this one are not of arguments */
	bool some;
	uint64_t first_at; /* number of the edge on `first` */
	uint64_t first;
	uint32_t args;
	uint32_t waits;
};

/* Edge number `at` of its referrer. */
static void need_edge(struct needs *d, const struct mobi_edge *e, uint64_t at)
{
	uint64_t w = mobi_load(&e->word);
	uint64_t ref = mobi_load(&e->ref);

	if (at < d->skip || MOBI_STATE(w) != MOBI_E_LIVE) {
		return;
	}
	d->args++;
	if ((w & MOBI_EF_QUIET) || !unresolved(d->s, ref)) {
		return;
	}
	d->waits++;
	if (!d->some || at < d->first_at) {
		d->some = true;
		d->first_at = at;
		d->first = ref;
	}
}

static bool chunk_of(const struct mob_store *s, uint32_t chunk, uint32_t kind)
{
	uint64_t w;

	if (!chunk || chunk > mobi_pool_used(s, MOBI_POOL_CHUNK)) {
		return false;
	}
	w = mobi_load(&s->chunks[chunk - 1].word);
	return MOBI_STATE(w) == MOBI_C_LIVE && MOBI_CKIND(w) == kind;
}

static void need_chunk(struct needs *d, uint32_t chunk, uint64_t from)
{
	for (uint32_t i = 0; i < MOBI_EDGE_CHUNK; i++) {
		need_edge(d,
			  mobi_edge_at(d->s, MOBI_EDGE_OF_CHUNK(chunk - 1, i)),
			  from + i);
	}
}

/* The arguments of a task. Its list of chunks starts with the last one. */
static void need_args(struct needs *d, uint32_t rec, uint64_t id,
		      uint32_t first)
{
	const struct mob_store *s = d->s;
	uint32_t end = mobi_pool_used(s, MOBI_POOL_CHUNK);
	uint32_t n = 0;

	for (uint32_t i = 0; i < MOBI_REC_EDGES; i++) {
		need_edge(d, &s->recs[rec].edge[i], i);
	}
	for (uint32_t c = first; n < end && chunk_of(s, c, MOBI_CK_REC) &&
				 mobi_load(&s->chunks[c - 1].of) == id;
	     c = mobi_load(&s->chunks[c - 1].next)) {
		n++;
	}
	for (uint32_t c = first; n && chunk_of(s, c, MOBI_CK_REC);
	     c = mobi_load(&s->chunks[c - 1].next)) {
		n--;
		need_chunk(d, c,
			   MOBI_REC_EDGES + (uint64_t)n * MOBI_EDGE_CHUNK);
	}
}

/* What a blocked thread of the client sleeps for: the edges of its seat, or of
 * the completion queues on which somebody sleeps. */
static void need_blocked(struct needs *d, uint32_t client)
{
	const struct mob_store *s = d->s;
	uint32_t seat = mobi_load(&s->clients[client].seat);
	uint32_t end = mobi_pool_used(s, MOBI_POOL_CHUNK);
	bool asleep;

	if (chunk_of(s, seat, MOBI_CK_SEAT)) {
		need_chunk(d, seat, 0);
	}
	asleep = d->some;
	for (uint32_t c = 1; !asleep && c <= end; c++) {
		const struct mobi_chunk *k = &s->chunks[c - 1];
		uint32_t q = (uint32_t)mobi_load(&k->of);

		if (chunk_of(s, c, MOBI_CK_CQ) && q < MOBI_CQS &&
		    MOBI_COWNER(mobi_load(&k->word)) == client &&
		    mobi_load(&s->cqs[q].sleepers)) {
			need_chunk(d, c,
				   (uint64_t)mobi_load(&k->place) *
					   MOBI_EDGE_CHUNK);
		}
	}
}

/* ---- one task ---- */

/* Its node is looked at only where the session has backed it with memory. */
bool mobi_task_queued(struct mob_store *s, uint32_t rec, uint32_t version,
		      struct mobi_queue_entry *out)
{
	struct mobi_sched *sh = s->sched;
	const struct mobi_queues *q =
		mobi_gen_queues(s, MOBI_CUR_INDEX(mobi_load(&sh->cur)));
	uint64_t off;
	uint64_t len = mobi_queues_node_range(q, rec, 1, &off);
	uint64_t at = (uint64_t)((const unsigned char *)q -
				 (const unsigned char *)s->hdr) +
		      off;

	for (uint64_t x = at / MOBI_EXTENT; x <= (at + len - 1) / MOBI_EXTENT;
	     x++) {
		if (!(mobi_load(&s->hdr->backed[x / 64]) & MOBI_BIT(x % 64))) {
			return false;
		}
	}
	return mobi_queues_find(q, rec, out) && out->version == version;
}

static bool is_queued(struct mob_store *s, uint32_t rec, uint32_t version)
{
	struct mobi_queue_entry e;

	return mobi_task_queued(s, rec, version, &e);
}

static uint32_t state_of(const struct mobi_task_walk *k, uint32_t rec,
			 uint64_t w)
{
	const struct mobi_place_shared *p;
	uint64_t ann;

	switch (MOBI_STATE(w)) {
	case MOBI_T_WAITING:
		return MOB_TASK_STATE_WAITING;
	case MOBI_T_READY:
		return is_queued(k->s, rec, MOBI_VERSION(w)) ?
			       MOB_TASK_STATE_QUEUED :
			       MOB_TASK_STATE_READY;
	case MOBI_T_DELAY:
		return MOB_TASK_STATE_DELAYED;
	case MOBI_T_RUN:
		/* What is announced runs; who waits has taken it back. */
		p = mobi_place_of(k->sh, MOBI_ROWNER(w));
		ann = MOBI_ANN(MOBI_VERSION(w), rec);
		return p && mobi_load(&p->ann) != ann ? MOB_TASK_STATE_BLOCKED :
							MOB_TASK_STATE_RUNNING;
	default:
		return MOB_TASK_STATE_DONE;
	}
}

/* Copies the name under which it is listed. */
static const char *name_of(struct mobi_task_walk *k, const struct mobi_task *t)
{
	mobi_session_text(k->name, sizeof(k->name), mobi_task_name(k->sh, t),
			  sizeof(k->name) - 1);
	return k->name;
}

static void tell_waits(struct mobi_task_walk *k, uint32_t rec, uint64_t w,
		       const struct mobi_task *t, struct mob_task_info *info)
{
	uint64_t id = (uint64_t)MOBI_GEN(w) << 32 | rec;
	struct needs d = { .s = k->s };

	d.skip = (uint64_t)t->n_rets + (t->args_id != 0);
	need_args(&d, rec, id, t->chunk);
	info->n_args = d.args;
	if (info->state == MOB_TASK_STATE_BLOCKED) {
		/* Below the one that waits, others may be on its stack. */
		d = (struct needs){ .s = k->s };
		if (mobi_task_walk_of(k, info->worker) == rec + 1) {
			need_blocked(&d, info->worker);
		}
	} else if (info->state != MOB_TASK_STATE_WAITING) {
		return;
	}
	info->waits = d.waits;
	if (d.some) {
		info->waits_for = mobi_ref_of(k->s, d.first);
		info->waits_for_task = maker(k->s, d.first);
	}
}

static void tell_task(struct mobi_task_walk *k, uint32_t rec, uint64_t w,
		      struct mob_task_info *info)
{
	struct mobi_task t;
	bool runs = MOBI_STATE(w) == MOBI_T_RUN;
	uint32_t tries;

	memcpy(&t, mobi_task_at(k->s, rec), sizeof(t));
	memset(info, 0, sizeof(*info));
	info->struct_size = (uint32_t)sizeof(*info);
	info->state = state_of(k, rec, w);
	info->id = mobi_task_id(w, rec);
	info->name = name_of(k, &t);
	info->ret = mobi_ref_of(k->s, mobi_load(&k->s->recs[rec].edge[0].ref));
	info->age_ns = since(k, t.submit_ns);
	info->attempt = MOBI_ATTEMPT(w) + runs;
	tries = mobi_load(&t.tries);
	info->attempts_max = MOBI_TRIES_RETRIES(tries) == MOBI_FOR_EVER ?
				     UINT32_MAX :
				     MOBI_TRIES_RETRIES(tries) + 1 +
					     MOBI_TRIES_SPARED(tries);
	info->n_returns = t.n_rets;
	info->priority = t.priority;
	if (runs) {
		info->run_ns = since(k, mobi_load_relaxed(&t.run_ns));
		info->worker = MOBI_ROWNER(w) % MOBI_CLIENTS;
		info->worker_pid = k->s->clients[info->worker].proc.pid;
	}
	tell_waits(k, rec, w, &t, info);
}

/* One that is KEPT has ended, as far as anybody can see. */
static bool living(uint64_t w)
{
	return MOBI_STATE(w) != MOBI_R_FREE && MOBI_STATE(w) != MOBI_R_BUILD &&
	       MOBI_STATE(w) != MOBI_R_KEPT;
}

/* False if there is no task in the record. */
static bool read_task(struct mobi_task_walk *k, uint32_t rec,
		      struct mob_task_info *out)
{
	for (int tries = 0; tries < TRIES; tries++) {
		uint64_t w = mobi_load(&k->s->recs[rec].word);

		if (!living(w)) {
			return false;
		}
		tell_task(k, rec, w, out);
		if (mobi_load(&k->s->recs[rec].word) == w) {
			return true;
		}
	}
	/* It changes faster than it can be read: it will be told next time. */
	return false;
}

int mob_session_tasks(struct mob_session *session,
		      int (*fn)(const struct mob_task_info *, void *arg),
		      void *arg)
{
	struct mobi_task_walk k;
	struct mob_task_info info;
	uint32_t end = mobi_pool_used(session->s, MOBI_POOL_REC);
	int rc = mobi_session_check(session, "mob_session_tasks");

	mobi_task_walk_init(&k, session->s);
	for (uint32_t r = 0; rc == 0 && r < end; r++) {
		if (read_task(&k, r, &info)) {
			rc = fn(&info, arg);
		}
	}
	return rc;
}

int mob_session_task(struct mob_session *session, uint64_t id,
		     int (*fn)(const struct mob_task_info *, void *arg),
		     void *arg)
{
	struct mobi_task_walk k;
	struct mob_task_info info;
	uint32_t rec = (uint32_t)id - 1;
	int rc = mobi_session_check(session, "mob_session_task");

	if (rc < 0) {
		return rc;
	}
	mobi_task_walk_init(&k, session->s);
	if (rec >= mobi_pool_used(session->s, MOBI_POOL_REC) ||
	    !read_task(&k, rec, &info) || info.id != id) {
		return mobi_err(MOB_E_NOT_FOUND,
				"no task %u.%u in session %s; it has ended, or "
				"there never was one",
				(uint32_t)id, (uint32_t)(id >> 32),
				session->s->name);
	}
	return fn(&info, arg);
}

void mobi_task_count(struct mob_store *s, struct mobi_task_count *out_count)
{
	uint32_t end = mobi_pool_used(s, MOBI_POOL_REC);

	memset(out_count, 0, sizeof(*out_count));
	for (uint32_t r = 0; r < end; r++) {
		uint64_t w = mobi_load(&s->recs[r].word);

		out_count->running += MOBI_STATE(w) == MOBI_T_RUN;
		out_count->ready += MOBI_STATE(w) == MOBI_T_READY &&
				    !is_queued(s, r, MOBI_VERSION(w));
	}
}

/* ---- workers ---- */

/* Record + 1 of what the worker runs now, or 0. */
static uint32_t runs_now(struct mobi_task_walk *k, uint32_t client,
			 const struct mobi_place_shared *p)
{
	uint64_t ann = mobi_load(&p->ann);
	uint32_t rec = (uint32_t)ann - 1;
	uint64_t w;

	if (!ann) {
		return mobi_load(&p->blocked) ? mobi_task_walk_of(k, client) :
						0;
	}
	if (rec >= mobi_pool_used(k->s, MOBI_POOL_REC)) {
		return 0;
	}
	w = mobi_load(&k->s->recs[rec].word);
	return MOBI_STATE(w) == MOBI_T_RUN && MOBI_ROWNER(w) == client &&
			       MOBI_VERSION(w) == (uint32_t)(ann >> 32) ?
		       rec + 1 :
		       0;
}

static void tell_place(struct mobi_task_walk *k, const struct mob_session *ses,
		       const struct mobi_place_shared *p,
		       struct mob_worker_info *info)
{
	uint32_t rec = runs_now(k, info->number, p);

	info->busy_ns = mobi_load(&p->busy_ns);
	info->tasks = mobi_load(&p->runs);
	if (rec) {
		const struct mobi_task *t = mobi_task_at(k->s, rec - 1);

		info->task = mobi_task_id(mobi_load(&k->s->recs[rec - 1].word),
					  rec - 1);
		(void)name_of(k, t);
	}
	if (mobi_load(&ses->sh->stopping) || mobi_load(&p->leave)) {
		info->state = MOB_WORKER_ENDING;
	} else if (mobi_load(&p->blocked)) {
		info->state = MOB_WORKER_BLOCKED;
	} else {
		info->state = rec ? MOB_WORKER_RUNNING : MOB_WORKER_IDLE;
	}
}

static bool tell_worker(struct mobi_task_walk *k, const struct mob_session *ses,
			uint32_t client, struct mob_worker_info *info)
{
	uint64_t w = mobi_load(&k->s->clients[client].word);
	const struct mobi_place_shared *p = mobi_place_of(k->sh, client);
	struct mobi_proc proc = k->s->clients[client].proc;

	if (MOBI_ROLE(w) != MOBI_ROLE_WORKER ||
	    (MOBI_STATE(w) != MOBI_CLIENT_LIVE &&
	     MOBI_STATE(w) != MOBI_CLIENT_DEAD)) {
		return false;
	}
	memset(info, 0, sizeof(*info));
	info->struct_size = (uint32_t)sizeof(*info);
	info->number = client;
	info->pid = proc.pid;
	k->name[0] = '\0';
	info->task_name = k->name;
	info->state = MOB_WORKER_STARTING;
	if (p) {
		tell_place(k, ses, p, info);
	}
	if (MOBI_STATE(w) == MOBI_CLIENT_DEAD || !mobi_proc_alive(&proc)) {
		info->state = MOB_WORKER_DEAD;
		return true;
	}
	if (mobi_proc_stopped(&proc)) {
		info->state = MOB_WORKER_STOPPED;
	}
	info->age_ns = mobi_proc_age_ns(&proc);
	info->threads = mobi_proc_threads(&proc);
	info->private_bytes = mobi_proc_private_bytes(&proc, ses->dir);
	return true;
}

int mob_session_workers(struct mob_session *session,
			int (*fn)(const struct mob_worker_info *, void *arg),
			void *arg)
{
	struct mobi_task_walk k;
	struct mob_worker_info info;
	int rc = mobi_session_check(session, "mob_session_workers");

	mobi_task_walk_init(&k, session->s);
	for (uint32_t i = 1; rc == 0 && i < MOBI_CLIENTS; i++) {
		if (tell_worker(&k, session, i, &info)) {
			rc = fn(&info, arg);
		}
	}
	return rc;
}

/* ---- the policy ---- */

/* Name of a policy by its row; path may be NULL. */
static void policy_text(const struct mobi_sched *sh, uint32_t row, char *name,
			size_t name_size, char *path, size_t path_size)
{
	const struct mobi_policy_row *r = &sh->policy[row % MOBI_POLICIES];

	if (path) {
		path[0] = '\0';
	}
	if (row == 0) {
		mobi_session_text(name, name_size, "fifo", 5);
		return;
	}
	mobi_session_text(name, name_size, r->name, sizeof(r->name));
	if (path) {
		mobi_session_text(path, path_size, r->path, sizeof(r->path));
	}
}

static void tell_ejected(struct mob_session *ses, uint64_t now,
			 struct mob_policy_info *info)
{
	const struct mobi_sched *sh = ses->sh;
	uint64_t then = mobi_load(&sh->ejected_ns);

	ses->ejected[0] = '\0';
	ses->reason[0] = '\0';
	info->last_ejected = ses->ejected;
	info->last_reason = ses->reason;
	if (then) {
		policy_text(sh, mobi_load(&sh->ejected_policy), ses->ejected,
			    sizeof(ses->ejected), NULL, 0);
		mobi_session_text(ses->reason, sizeof(ses->reason),
				  sh->ejected_reason,
				  sizeof(sh->ejected_reason));
		info->last_ejected_ns = now > then ? now - then : 1;
	}
}

int mob_session_policy(struct mob_session *session,
		       struct mob_policy_info *io_info)
{
	struct mob_policy_info info = MOB_POLICY_INFO_INIT;
	struct mobi_sched *sh = session->sh;
	uint64_t cur = mobi_load(&sh->cur);
	const struct mobi_gen *g = &sh->gens[MOBI_CUR_INDEX(cur)];
	uint32_t row = g->policy;
	uint32_t wanted = mobi_load(&sh->wanted_policy);
	uint64_t now = mobi_now_ns();
	uint64_t began = mobi_load(&g->since_ns);
	struct mobi_task_count n;
	int rc = mobi_session_check(session, "mob_session_policy");

	if (rc < 0) {
		return rc;
	}
	mobi_task_count(session->s, &n);
	policy_text(sh, row, session->policy, sizeof(session->policy),
		    session->path, sizeof(session->path));
	policy_text(sh, wanted, session->wanted, sizeof(session->wanted), NULL,
		    0);
	info.name = session->policy;
	info.path = session->path;
	info.wanted = session->wanted;
	info.flags = row ? 0 : MOB_POLICY_BUILTIN;
	info.flags |= !row && wanted ? MOB_POLICY_FALLBACK : 0;
	info.generation = MOBI_CUR_GEN(cur);
	info.since_ns = now > began ? now - began : 0;
	info.queued = mobi_domain_queued(session->s);
	info.ready = n.ready;
	info.running = n.running;
	info.placed = mobi_load(&sh->placed);
	info.swaps = mobi_load(&sh->swaps);
	info.ejections = mobi_load(&sh->ejections);
	info.strikes = mobi_load(&sh->policy[wanted % MOBI_POLICIES].strikes);
	tell_ejected(session, now, &info);
	return mobi_session_fill("mob_session_policy", io_info, &info,
				 (uint32_t)sizeof(info));
}
