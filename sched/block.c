/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocked work gives its CPU back.
 *
 * A task that is about to sleep withdraws its announcement, so that another
 * worker may take a task in its place, and asks for one more worker if none is
 * idle. At the bound of workers, or always if the session is set so, a get runs
 * what it waits for itself, or what that waits for, on a fresh stack; so a tree of
 * any depth ends on one worker.
 * Who can run nothing then, wakes one who can: what that one waits for may have
 * become ready, or its processor free, after it went to sleep.
 * When the task goes on it announces itself again without asking: for a moment
 * there may be more running than there are processors.
 *
 * The stacks come from boost.context, whose make_fcontext and jump_fcontext
 * are plain C symbols (11 ns a round trip; ucontext takes 443).
 */
#include "block.h"

#include "board.h"
#include "bundle.h"
#include "cq.h"
#include "deadlock.h"
#include "domain.h"
#include "err.h"
#include "fit.h"
#include "frame.h"
#include "log.h"
#include "node.h"
#include "os_clock.h"
#include "os_mem.h"
#include "record.h"
#include "slot.h"
#include "task.h"
#include "wait.h"

#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define MOBI_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MOBI_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define MOBI_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define MOBI_TSAN 1
#endif

#ifdef MOBI_ASAN
#include <sanitizer/asan_interface.h>
#endif
#ifdef MOBI_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define STACK_BYTES ((size_t)1 << 20)
#define STACKS_KEPT 8u
#define WAY 64u
#define OWN_MAX 256u /* refs of a frame that a blocked task looks at */

/* boost.context, <boost/context/detail/fcontext.hpp>, in C. */
struct transfer {
	void *fctx;
	void *data;
};
struct transfer jump_fcontext(void *to, void *data);
void *make_fcontext(void *stack_top, size_t size, void (*fn)(struct transfer));

/* ---- stacks ---- */

/* Some that are free, of the worker's thread, which alone runs tasks on them: to
 * map one costs as much as ten short tasks. */
static struct {
	unsigned char *at[STACKS_KEPT];
	uint32_t n;
} stacks;

static unsigned char *stack_take(void)
{
	unsigned char *at;

	if (!stacks.n) {
		return mobi_stack_map(STACK_BYTES);
	}
	at = stacks.at[--stacks.n];
#ifdef MOBI_ASAN
	__asan_unpoison_memory_region(at, STACK_BYTES);
#endif
	return at;
}

static void stack_give(unsigned char *at)
{
	if (stacks.n < STACKS_KEPT) {
		stacks.at[stacks.n++] = at;
	} else {
		mobi_stack_unmap(at, STACK_BYTES);
	}
}

void mobi_stacks_drop(void)
{
	while (stacks.n) {
		mobi_stack_unmap(stacks.at[--stacks.n], STACK_BYTES);
	}
}

/* ---- a task on a fresh stack ---- */

struct inner {
	struct mob_store *s;
	uint32_t rec;
	uint64_t w;
#ifdef MOBI_ASAN
	const void *outer_stack;
	size_t outer_size;
	void *fake;
#endif
#ifdef MOBI_TSAN
	void *outer_fiber;
#endif
};

static void inner_main(struct transfer t)
{
	struct inner *in = t.data;

#ifdef MOBI_ASAN
	__sanitizer_finish_switch_fiber(NULL, &in->outer_stack,
					&in->outer_size);
#endif
	(void)mobi_task_run(in->s, in->rec, in->w, mobi_now_ns(), NULL);
#ifdef MOBI_ASAN
	__sanitizer_start_switch_fiber(NULL, in->outer_stack, in->outer_size);
#endif
#ifdef MOBI_TSAN
	__tsan_switch_to_fiber(in->outer_fiber, 0);
#endif
	(void)jump_fcontext(t.fctx, NULL);
}

/* Once: whoever finds that nothing moves is to find out why. */
static void tell_no_stack(void)
{
	static mobi_a32 told;

	if (!mobi_exchange(&told, 1u)) {
		mobi_log(MOBI_LOG_WARN,
			 "no memory for another stack of %zu KiB: tasks that "
			 "wait for tasks are too deep to go on; raise "
			 "vm.max_map_count, or the number of workers",
			 STACK_BYTES / 1024);
	}
}

/* Takes the task, which is READY, and runs it on a stack of its own. False:
 * there is no memory for one, or another was quicker. */
static bool run_on_stack(struct mob_store *s, uint32_t rec, uint32_t gen)
{
	struct inner in = { .s = s, .rec = rec };
	unsigned char *stack = stack_take();
	void *fctx;
#ifdef MOBI_TSAN
	void *fiber;
#endif

	if (!stack) {
		tell_no_stack();
		return false;
	}
	if (!mobi_fit_claim(s, rec, gen, &in.w)) {
		stack_give(stack);
		return false;
	}
	fctx = make_fcontext(stack + STACK_BYTES, STACK_BYTES, inner_main);
#ifdef MOBI_TSAN
	in.outer_fiber = __tsan_get_current_fiber();
	fiber = __tsan_create_fiber(0);
	__tsan_switch_to_fiber(fiber, 0);
#endif
#ifdef MOBI_ASAN
	__sanitizer_start_switch_fiber(&in.fake, stack, STACK_BYTES);
#endif
	(void)jump_fcontext(fctx, &in);
#ifdef MOBI_ASAN
	__sanitizer_finish_switch_fiber(in.fake, NULL, NULL);
#endif
#ifdef MOBI_TSAN
	__tsan_destroy_fiber(fiber);
#endif
	stack_give(stack);
	return true;
}

/* ---- which task to run ---- */

/* The last tasks on the way from an object to what it waits for, by number
 * modulo WAY: {gen, record}. */
struct way {
	uint64_t task[WAY];
	uint32_t n;
};

/* Goes from object `id` through the arguments of its producer, and so on, to a
 * task that is READY. */
static bool runnable_for(struct mob_store *s, uint64_t id, struct way *way)
{
	for (way->n = 0; way->n < MOBI_RECS; way->n++) {
		struct mobi_slot *o = &s->slots[(uint32_t)id % MOBI_SLOTS];
		uint64_t producer = mobi_load(&o->producer);
		uint32_t rec = ((uint32_t)producer - 1) % MOBI_RECS;
		uint64_t w;

		if (!producer ||
		    MOBI_GEN(mobi_load(&o->word)) != MOBI_GEN(id)) {
			return false;
		}
		w = mobi_load(&s->recs[rec].word);
		if (MOBI_GEN(w) != MOBI_GEN(producer)) {
			return false;
		}
		way->task[way->n % WAY] = (uint64_t)MOBI_GEN(w) << 32 | rec;
		if (mobi_task_evaluate(s, rec)) {
			way->n++;
			return true;
		}
		if (MOBI_STATE(w) != MOBI_T_WAITING ||
		    !mobi_task_waits_for(s, rec, MOBI_GEN(w), &id)) {
			return false;
		}
	}
	return false;
}

/* Runs the task at the end of the way, and then back along it those that it
 * made ready, so that a chain of n does not cost n squared. */
static bool run_way(struct mob_store *s, const struct way *way)
{
	uint32_t end = way->n > WAY ? way->n - WAY : 0;
	bool ran = false;

	for (uint32_t k = way->n; k-- > end;) {
		uint64_t task = way->task[k % WAY];
		uint32_t rec = (uint32_t)task;

		if (!mobi_task_evaluate(s, rec) ||
		    !run_on_stack(s, rec, MOBI_GEN(task))) {
			break;
		}
		ran = true;
	}
	return ran;
}

/* ---- hooks ---- */

static bool in_task(const struct mobi_context *c)
{
	return c && c->def && mobi_rt.place != MOBI_NO_PLACE &&
	       pthread_equal(pthread_self(), mobi_rt.worker_thread);
}

static void give_cpu_back(struct mob_store *s, struct mobi_context *c)
{
	struct mobi_sched *sh = mobi_rt.sched;
	struct mobi_place_shared *p = &sh->place[mobi_rt.place];
	struct mobi_seat *seat = mobi_seat(s);

	if (c->blocked) {
		return;
	}
	c->blocked = true;
	c->looked = false;
	c->told = false;
	if (seat && seat->chunk) {
		mobi_store(&s->clients[s->me].seat, seat->chunk);
	}
	mobi_store(&p->blocked, 1u);
	mobi_store(&p->ann, UINT64_C(0));
}

/*
 * Somebody should run what is there to run: an idle worker, or one more. True
 * if they are too few: so many are blocked that a processor is free, and no
 * more may be started. A worker may be stopped: who looks again after a while
 * counts on nobody.
 */
static bool at_bound(struct mob_store *s, bool again)
{
	struct mobi_sched *sh = mobi_rt.sched;
	bool idle = mobi_load(&s->board->idle) != 0;
	uint32_t up = 0;
	uint32_t blocked = 0;

	if (idle) {
		mobi_wake_worker(s);
	}
	for (uint32_t i = 0; i < sh->max_places; i++) {
		if (mobi_load(&sh->place[i].client)) {
			up++;
			blocked += mobi_load(&sh->place[i].blocked);
		}
	}
	if (up - blocked >= sh->n_workers && (idle || !again)) {
		return false;
	}
	if (up < sh->max_places) {
		if (up - blocked < sh->n_workers) {
			mobi_node_want_worker(s);
		}
		return false;
	}
	return true;
}

bool mobi_block_at_bound(struct mob_store *s)
{
	struct mobi_sched *sh = mobi_rt.sched;
	uint32_t up = 0;
	uint32_t busy = 0;

	if (!in_task(mobi_context())) {
		return false;
	}
	for (uint32_t i = 0; i < sh->max_places; i++) {
		if (mobi_load(&sh->place[i].client)) {
			up++;
			busy += i != mobi_rt.place &&
				!mobi_load(&sh->place[i].blocked);
		}
	}
	return up >= sh->max_places && busy < sh->n_workers &&
	       !mobi_load(&s->board->idle);
}

/* A processor is free, all others are blocked, and this worker runs nothing:
 * another that waits for a task that is ready, or has refs of some, does. */
static void wake_blocked(struct mob_store *s)
{
	struct mobi_sched *sh = mobi_rt.sched;
	struct way way;

	if (mobi_domain_active(s) >= sh->n_workers) {
		return;
	}
	for (uint32_t i = 0; i < sh->max_places; i++) {
		struct mobi_place_shared *p = &sh->place[i];
		uint32_t client = mobi_load(&p->client);
		uint64_t id = mobi_load(&p->waits);

		if (i == mobi_rt.place || !client || !mobi_load(&p->blocked) ||
		    !id) {
			continue;
		}
		if (mobi_is_any(id)) {
			mobi_cq_ring(s, mobi_queue_of_any(id));
		} else if (mobi_load(&p->helps) || runnable_for(s, id, &way)) {
			mobi_client_ring(s, client % MOBI_CLIENTS);
		}
	}
}

static void announce_again(struct mob_store *s, struct mobi_context *c)
{
	struct mobi_sched *sh = mobi_rt.sched;
	struct mobi_place_shared *p = &sh->place[mobi_rt.place];
	uint32_t rec = (uint32_t)c->task;
	uint64_t w = mobi_load(&s->recs[rec].word);

	mobi_store(&p->ann, MOBI_ANN(MOBI_VERSION(w), rec));
	mobi_deadlock_wake(s, s->me);
	mobi_store(&p->blocked, 0u);
	mobi_store(&p->waits, UINT64_C(0));
	mobi_store(&p->helps, 0u);
	c->blocked = false;
}

static bool run_for(struct mob_store *s, uint64_t id)
{
	struct mobi_place_shared *p = &mobi_rt.sched->place[mobi_rt.place];
	struct way way;
	bool ran;

	if (!runnable_for(s, id, &way)) {
		return false;
	}
	mobi_deadlock_wake(s, s->me);
	mobi_store(&p->blocked, 0u);
	ran = run_way(s, &way);
	mobi_store(&p->ann, UINT64_C(0));
	mobi_store(&p->blocked, 1u);
	mobi_context()->looked = false;
	mobi_context()->told = false;
	return ran;
}

/*
 * What the task has submitted and is going to wait for next, most likely: run
 * while it waits for something that another worker runs. Of refs of its own
 * frames only, as leapfrogging does (Wagner and Calder, PPoPP 1993): a task
 * taken at random might wait for the one below it on this stack.
 */
static bool run_own(struct mob_store *s, const struct mobi_context *c)
{
	struct mobi_place_shared *p = &mobi_rt.sched->place[mobi_rt.place];
	uint32_t looked = 0;
	bool helps = false;

	if (mobi_domain_active(s) >= mobi_rt.sched->n_workers) {
		mobi_store(&p->helps, 1u); /* asked again when one is free */
		return false;
	}
	for (struct mobi_frame *f = c->frame; f; f = f->outer) {
		for (uint32_t i = 0; i < f->size && looked < OWN_MAX; i++) {
			uint64_t id = f->entry[i].id - 1;

			if (!f->entry[i].id) {
				continue;
			}
			looked++;
			if (mobi_resolved(
				    mobi_load(&s->slots[(uint32_t)id].word))) {
				continue;
			}
			if (run_for(s, id)) {
				return true;
			}
			helps = true;
		}
	}
	mobi_store(&p->helps, helps ? 1u : 0u);
	return false;
}

/* Once each time that a processor gets free: who was woken in vain wakes
 * nobody. */
static int run_none(struct mob_store *s, const struct mobi_wait *w)
{
	struct mobi_context *c = mobi_context();

	if (!c->told) {
		c->told = true;
		wake_blocked(s);
	}
	return mobi_deadlock_sleep(s, c, w);
}

static int blocking(struct mob_store *s, const struct mobi_wait *w)
{
	bool for_ever = w->timeout_ns == MOB_FOREVER;
	struct mobi_context *c;
	bool again;

	if (mobi_rt.place == MOBI_NO_PLACE) {
		return mobi_deadlock_sleep_outside(s, w);
	}
	c = mobi_context();
	if (!in_task(c)) {
		return 0;
	}
	mobi_bundle_blocks(s, mobi_task_at(s, (uint32_t)c->task)->fn);
	if (!c->blocked) {
		mobi_record_blocked(s, c->task, w->id);
	}
	give_cpu_back(s, c);
	again = c->looked;
	c->looked = true;
	/* A wait that may end early must not start something that may not. */
	mobi_store(&mobi_rt.sched->place[mobi_rt.place].waits,
		   for_ever ? w->id : 0);
	if (for_ever && mobi_rt.sched->inline_gets && !mobi_is_any(w->id) &&
	    run_for(s, w->id)) {
		return 1;
	}
	if (!at_bound(s, again)) {
		return mobi_deadlock_sleep(s, c, w);
	}
	if (for_ever && mobi_is_any(w->id)) {
		return 1;
	}
	if (for_ever && (run_for(s, w->id) || run_own(s, c))) {
		return 1;
	}
	return run_none(s, w);
}

static void resumed(struct mob_store *s)
{
	struct mobi_context *c;

	if (mobi_rt.place == MOBI_NO_PLACE) {
		mobi_deadlock_wake_outside(s);
		return;
	}
	c = mobi_context();
	if (in_task(c) && c->blocked) {
		mobi_record_resumed(s, c->task);
		announce_again(s, c);
		if (!c->outer || !c->outer->blocked) {
			mobi_store(&s->clients[s->me].seat, 0u);
		}
	}
}

static const struct mobi_block_hooks hooks = { blocking, run_for, run_none,
					       resumed };

void mobi_block_init(void)
{
	mobi_block_hooks = &hooks;
}
