/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All interleavings of two processes with at most three preemptions (the bound of
 * CHESS; Musuvathi and Qadeer, PLDI 2007): before each access to a shared word the
 * schedule says who goes on. Who sleeps or spins lets the other go on; if both
 * sleep, a wake-up is lost.
 *
 * The two are threads with an attachment each, so that a schedule costs some
 * microseconds and not two processes.
 *
 *   test_crash_interleave [PAIR]        all schedules of two preemptions, and each
 *                                       97th of three
 *   MOB_TEST_INTERLEAVE=1 test_crash_interleave [PAIR]   each of three: minutes
 */
#define _GNU_SOURCE

#include "os_futex.h"
#include "store_fixture.h"

#include <pthread.h>
#include <semaphore.h>

#define PREEMPTIONS 3
#define STRIDE 97u
#define NEVER UINT32_MAX
/* A spinning thread that the other cannot help; more than any wait takes. */
#define STEPS_MAX 100000u

/* ---- who goes on ---- */

struct side {
	struct mob_store *s;
	sem_t go;
	bool done;
	bool sleeps;
	uint64_t sleeps_on; /* offset of the futex in the tables */
	int rc;
	struct mob_view view;
	struct mob_cq *cq;
};

static struct side side[2];
static sem_t both_done;
static uint32_t at[PREEMPTIONS]; /* steps before which there is a preemption */
static uint32_t next;            /* of them */
static uint32_t step;
static uint32_t lost;  /* wake-ups that never came */
static uint32_t stuck; /* schedules that did not end */
static _Thread_local int me = -1;

static uint64_t offset_of(const struct side *a, uintptr_t word)
{
	return word - (uintptr_t)a->s->hdr;
}

static void switch_over(void)
{
	int mine = me;

	(void)sem_post(&side[1 - mine].go);
	while (sem_wait(&side[mine].go)) {
	}
}

static bool other_can_go(void)
{
	return !side[1 - me].done && !side[1 - me].sleeps;
}

void mobi_before_access(uintptr_t word)
{
	if (me < 0 || offset_of(&side[me], word) >= side[me].s->mapped_bytes) {
		return; /* nobody else's business */
	}
	if (next < PREEMPTIONS && at[next] == step) {
		next++;
		if (other_can_go()) {
			switch_over();
		}
	}
	step++;
}

void mobi_before_spin(void)
{
	if (me < 0) {
		return;
	}
	if (++step > STEPS_MAX) {
		stuck++;
		step = 0;
	}
	if (other_can_go()) {
		switch_over();
	}
}

int mobi_futex_wait(mobi_a32 *word, uint32_t value, int64_t timeout_ns)
{
	struct side *a = &side[me < 0 ? 0 : me];

	(void)timeout_ns;
	if (me < 0) {
		return MOB_E_TIMEOUT; /* nothing here sleeps but the two */
	}
	if (mobi_load(word) != value) {
		return 0;
	}
	a->sleeps = true;
	a->sleeps_on = offset_of(a, (uintptr_t)word);
	if (!other_can_go()) {
		/* The time-out of its slice would find what it missed. */
		lost++;
		a->sleeps = false;
		return MOB_E_TIMEOUT;
	}
	switch_over();
	if (a->sleeps) {
		a->sleeps = false; /* the other has ended, and woke nobody */
		lost++;
		return MOB_E_TIMEOUT;
	}
	return 0;
}

int mobi_futex_wake(mobi_a32 *word, int n)
{
	struct side *other = &side[me < 0 ? 0 : 1 - me];

	(void)n;
	if (me < 0 || !other->sleeps ||
	    other->sleeps_on != offset_of(&side[me], (uintptr_t)word)) {
		return 0;
	}
	other->sleeps = false;
	return 1;
}

/* ---- cases ---- */

struct pair {
	const char *name;
	/* Alone, before: makes object[..] and takes what the sides need. */
	void (*prepare)(void);
	int (*run[2])(struct side *a);
	/* Alone, afterwards: checks what they say, and lets go what is left. */
	void (*after)(void);
};

static const struct pair *pair;
static const char *only;
static struct mob_ref object[2];

static void *side_main(void *arg)
{
	int mine = (int)(intptr_t)arg;
	struct side *a = &side[mine];

	for (;;) {
		while (sem_wait(&a->go)) {
		}
		if (!pair) {
			return NULL;
		}
		me = mine;
		a->rc = pair->run[mine](a);
		me = -1;
		a->done = true;
		if (side[1 - mine].done) {
			(void)sem_post(&both_done);
		} else {
			(void)sem_post(&side[1 - mine].go);
		}
	}
}

/* Runs one schedule; how many steps it had. */
static uint32_t run_schedule(int first)
{
	for (int i = 0; i < 2; i++) {
		side[i].done = false;
		side[i].sleeps = false;
		side[i].rc = 0;
	}
	next = 0;
	step = 0;
	pair->prepare();
	(void)sem_post(&side[first].go);
	while (sem_wait(&both_done)) {
	}
	pair->after();
	return step;
}

static void let_go(int i, int n)
{
	assert_ok(mob_object_release(side[i].s, object[n]));
}

static void assert_gone(int n)
{
	const struct mobi_slot *o = slot_at(side[0].s, object[n]);

	assert_int_equal(MOBI_STATE(mobi_load(&o->word)), MOBI_S_FREE);
	assert_int_equal(MOBI_GEN(mobi_load(&o->word)),
			 MOBI_GEN(object[n].lo) + 1);
	assert_int_equal(mobi_load(&o->hold) | mobi_load(&o->view), 0);
	assert_int_equal(mobi_load(&o->head), 0);
}

static void first_puts(void)
{
	object[0] = put_filled(side[0].s, 100, 3);
}

static void both_hold(void)
{
	first_puts();
	assert_ok(mob_object_hold(side[1].s, object[0]));
}

static void first_makes(void)
{
	object[0] = make_pending(side[0].s);
}

static void first_makes_both_hold(void)
{
	first_makes();
	assert_ok(mob_object_hold(side[1].s, object[0]));
}

static int release(struct side *a)
{
	return mob_object_release(a->s, object[0]);
}

static int get(struct side *a)
{
	int rc = mob_object_get(a->s, object[0], 0, &a->view);

	if (rc == 0) {
		rc = filled(a->view.at, 100, 3) ? 0 : 1;
		mob_view_release(a->s, &a->view);
	}
	return rc;
}

static int hold(struct side *a)
{
	return mob_object_hold(a->s, object[0]);
}

static int delete_it(struct side *a)
{
	return mob_object_free(a->s, object[0]);
}

static int seal(struct side *a)
{
	return mob_object_seal(a->s, object[0]);
}

static int abort_it(struct side *a)
{
	return mob_object_abort(a->s, object[0]);
}

static int wait_for_it(struct side *a)
{
	int rc = mob_object_get(a->s, object[0], MOB_FOREVER, &a->view);

	if (rc == 0) {
		rc = filled(a->view.at, 8, 8) ? 0 : 1;
		mob_view_release(a->s, &a->view);
	}
	return rc;
}

static int release_view(struct side *a)
{
	mob_view_release(a->s, &a->view);
	return 0;
}

static int queue_and_pop(struct side *a)
{
	struct mob_cq_entry e;
	int rc = mob_cq_add(a->cq, object[0], 7);

	rc = rc < 0 ? rc : mob_cq_pop(a->cq, MOB_FOREVER, &e);
	rc = rc == 1 && e.user == 7 ? 0 : rc < 0 ? rc : 1;
	return rc ? rc : mob_object_release(a->s, e.ref);
}

static int put_outer(struct side *a)
{
	return mob_object_put_refs(a->s, object, 1, &object[1]);
}

static int wait_for_any(struct side *a)
{
	bool ready[2];
	int n = mob_object_wait(a->s, object, 2, 1, MOB_FOREVER, ready);

	return n == 1 && ready[0] && !ready[1] ? 0 : n < 0 ? n : 1;
}

static void gone_if_both_are_done(void)
{
	assert_int_equal(side[0].rc, 0);
	assert_int_equal(side[1].rc, 0);
	assert_gone(0);
}

/* A free says so if the other has it yet. */
static void got_or_gone(void)
{
	assert_true(side[0].rc == 0 || side[0].rc == 1);
	assert_true(side[1].rc == 0 || side[1].rc == MOB_E_BAD_REF);
	assert_gone(0);
}

static void held_or_gone(void)
{
	assert_true(side[0].rc == 0 || side[0].rc == 1);
	assert_true(side[1].rc == 0 || side[1].rc == MOB_E_BAD_REF);
	if (side[1].rc == 0) {
		assert_int_equal(mob_object_state(side[1].s, object[0]),
				 MOB_OBJECT_SEALED);
		let_go(1, 0);
	}
	assert_gone(0);
}

/* The last hold of the inner object went before, or the outer one keeps it. */
static void nested_or_gone(void)
{
	struct mob_view v;

	assert_int_equal(side[0].rc, 0);
	assert_true(side[1].rc == 0 || side[1].rc == MOB_E_BAD_REF);
	if (side[1].rc == 0) {
		assert_ok(mob_object_get(side[0].s, object[0], 0, &v));
		assert_true(filled(v.at, 100, 3));
		mob_view_release(side[0].s, &v);
		let_go(1, 1);
		assert_gone(1);
	}
	assert_gone(0);
}

static void second_views_first_holds(void)
{
	first_puts();
	assert_ok(mob_object_get(side[1].s, object[0], 0, &side[1].view));
}

static void both_let_go(void)
{
	assert_int_equal(side[0].rc, 0);
	assert_int_equal(side[1].rc, 0);
	let_go(0, 0);
	let_go(1, 0);
	assert_gone(0);
}

static void aborted(void)
{
	assert_int_equal(side[0].rc, 0);
	assert_int_equal(side[1].rc, MOB_E_CANCELLED);
	let_go(0, 0);
	let_go(1, 0);
	assert_gone(0);
}

static void first_lets_go(void)
{
	assert_int_equal(side[0].rc, 0);
	assert_int_equal(side[1].rc, 0);
	let_go(0, 0);
	assert_gone(0);
}

static void sealed_or_gone(void)
{
	/* Its last hold may go before the seal. */
	assert_true(side[0].rc == 0 || side[0].rc == MOB_E_BAD_REF);
	assert_int_equal(side[1].rc, 0);
	assert_gone(0);
}

static void second_holds_alone(void)
{
	first_makes_both_hold();
	let_go(0, 0);
}

/* object[1] has object[0] inside; the first has the one, the second the other. */
static void nest(void)
{
	first_puts();
	assert_ok(mob_object_put_refs(side[0].s, object, 1, &object[1]));
	assert_ok(mob_object_hold(side[1].s, object[1]));
	let_go(0, 1);
}

static int release_outer(struct side *a)
{
	return mob_object_release(a->s, object[1]);
}

static void both_are_gone(void)
{
	gone_if_both_are_done();
	assert_gone(1);
}

static void two_pending(void)
{
	first_makes_both_hold();
	object[1] = make_pending(side[0].s);
	assert_ok(mob_object_hold(side[1].s, object[1]));
}

static void let_two_go(void)
{
	assert_int_equal(side[0].rc, 0);
	assert_int_equal(side[1].rc, 0);
	assert_ok(mob_object_seal(side[0].s, object[1]));
	for (int i = 0; i < 2; i++) {
		let_go(i, 0);
		let_go(i, 1);
	}
	assert_gone(0);
	assert_gone(1);
}

static const struct pair pairs[] = {
	{ "release and get", first_puts, { release, get }, got_or_gone },
	{ "release and hold", first_puts, { release, hold }, held_or_gone },
	{ "two releases",
	  both_hold,
	  { release, release },
	  gone_if_both_are_done },
	{ "release and end of view",
	  second_views_first_holds,
	  { release, release_view },
	  gone_if_both_are_done },
	{ "delete and get", first_puts, { delete_it, get }, got_or_gone },
	{ "delete and hold", first_puts, { delete_it, hold }, held_or_gone },
	{ "seal and wait",
	  first_makes_both_hold,
	  { seal, wait_for_it },
	  both_let_go },
	{ "abort and wait",
	  first_makes_both_hold,
	  { abort_it, wait_for_it },
	  aborted },
	{ "seal and release",
	  first_makes_both_hold,
	  { seal, release },
	  first_lets_go },
	{ "seal and last release",
	  second_holds_alone,
	  { seal, release },
	  sealed_or_gone },
	{ "seal and queue",
	  first_makes_both_hold,
	  { seal, queue_and_pop },
	  both_let_go },
	{ "release and queue",
	  first_puts,
	  { release, queue_and_pop },
	  got_or_gone },
	{ "release and nest",
	  first_puts,
	  { release, put_outer },
	  nested_or_gone },
	{ "seal and wait for any",
	  two_pending,
	  { seal, wait_for_any },
	  let_two_go },
	{ "inner and outer release",
	  nest,
	  { release, release_outer },
	  both_are_gone },
};

/* ---- all schedules ---- */

struct tally {
	uint64_t schedules;
	uint32_t steps; /* of the longest */
};

/* False: it ended before the last of these preemptions. */
static bool try(struct tally *t, int first, uint32_t i, uint32_t j, uint32_t k)
{
	uint32_t wanted = i == NEVER ? 0 : j == NEVER ? 1 : k == NEVER ? 2 : 3;
	uint32_t steps;

	at[0] = i;
	at[1] = j;
	at[2] = k;
	steps = run_schedule(first);
	t->schedules++;
	t->steps = steps > t->steps ? steps : t->steps;
	if (lost || stuck) {
		fail_msg("%s, preempted before %u, %u, %u: %s", pair->name, i,
			 j, k, lost ? "a wake-up is lost" : "it does not end");
	}
	return next == wanted;
}

static void run_pair(const struct pair *p, uint32_t stride)
{
	struct counts was = counts_of(side[0].s);
	struct tally t = { 0, 0 };
	uint32_t n = 0;

	pair = p;
	for (int first = 0; first < 2; first++) {
		(void)try(&t, first, NEVER, NEVER, NEVER);
		for (uint32_t i = 0; try(&t, first, i, NEVER, NEVER); i++) {
			for (uint32_t j = i + 1; try(&t, first, i, j, NEVER);
			     j++) {
				uint32_t k = j + 1 + n++ % stride;

				while (try(&t, first, i, j, k)) {
					k += stride;
				}
			}
		}
		assert_int_equal(
			mob_store_check(side[0].s, print_finding, NULL), 0);
	}
	assert_int_equal(counts_differ(was, counts_of(side[0].s)), 0);
	print_message("%-24s %8" PRIu64 " schedules of up to %u steps\n",
		      p->name, t.schedules, t.steps);
}

static void test_interleaved_with_three_preemptions(void **state)
{
	uint32_t stride = (uint32_t)test_count("MOB_TEST_INTERLEAVE", STRIDE,
					       1);
	pthread_t id[2];

	(void)state;
	assert_int_equal(setenv("MOBULA_SPIN", "0", 1), 0);
	side[0].s = store_new(NULL, 4 * MIB);
	assert_ok(mob_store_open(mob_store_name(side[0].s), &side[1].s));
	assert_int_equal(sem_init(&both_done, 0, 0), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sem_init(&side[i].go, 0, 0), 0);
		assert_ok(mob_cq_open(side[i].s, &side[i].cq));
		assert_int_equal(pthread_create(&id[i], NULL, side_main,
						(void *)(intptr_t)i),
				 0);
	}
	/* What a thread or queue has of the tables from its first use on. */
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		pair = &pairs[i];
		at[0] = at[1] = at[2] = NEVER;
		(void)run_schedule(0);
		(void)run_schedule(1);
	}
	lost = 0;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (!only || strcmp(only, pairs[i].name) == 0) {
			run_pair(&pairs[i], stride ? stride : 1);
		}
	}
	pair = NULL;
	for (int i = 0; i < 2; i++) {
		(void)sem_post(&side[i].go);
		assert_int_equal(pthread_join(id[i], NULL), 0);
		mob_cq_close(side[i].cq);
	}
	mob_store_close(side[1].s);
	store_end(side[0].s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interleaved_with_three_preemptions),
	};

	only = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests_name("crash.interleave", tests, NULL,
					   NULL);
}
