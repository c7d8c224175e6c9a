/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forced schedules: a thread is stopped after k instructions of an operation,
 * for every k, while another does what interferes most; then it goes on. Such
 * windows are a few instructions wide: neither kills nor storms find them.
 */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <pthread.h>
#include <sys/ptrace.h>

/* More puts than this, and a slot that is free has come round. */
#define PUTS_MAX (4 * MOBI_GROUP)
/* No window here is longer. */
#define STEPS_MAX 2000u
/* So many instructions after its bit is off, the holder has looked. */
#define LOOK_STEPS (SANITIZED ? 500u : 150u)

struct shared {
	char name[MOB_STORE_NAME_MAX + 1];
	struct cell cell;
	mobi_a32 go;
	mobi_a32 done;
};

static struct shared *sh;

static struct mob_store *begin(void)
{
	struct mob_store *s = store_new(NULL, 4 * MIB);

	sh = shared_memory(sizeof(*sh));
	(void)snprintf(sh->name, sizeof(sh->name), "%s", mob_store_name(s));
	return s;
}

static void end(struct mob_store *s)
{
	reap_until(s, MOBI_BIT(s->me));
	assert_int_equal(munmap(sh, sizeof(*sh)), 0);
	store_end(s);
}

static void traced(void)
{
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	(void)raise(SIGSTOP);
}

static pid_t start_traced(int (*fn)(void *))
{
	pid_t pid = child_start(fn, NULL);
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

/* One instruction; false at the end of the operation. */
static bool step(pid_t pid)
{
	int status = 0;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	return WSTOPSIG(status) == SIGTRAP;
}

/* To the end of the operation. */
static void go_on(pid_t pid)
{
	int status = 0;

	assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(WSTOPSIG(status), SIGSTOP);
}

/* Puts and releases until the object lies in this slot; false if it never
 * does. The caller has the hold. */
static bool reborn(struct mob_store *s, uint32_t slot, struct mob_ref *out)
{
	for (uint32_t i = 0; i < PUTS_MAX; i++) {
		if (mob_object_put(s, "reborn", 6, 1, out) != 0) {
			return false;
		}
		if ((uint32_t)out->lo == slot) {
			return true;
		}
		(void)mob_object_release(s, *out);
	}
	return false;
}

/* ---- a hold that comes while the object goes ---- */

static int holder(void *arg)
{
	struct mob_store *s = child_open(sh->name);
	struct mob_ref r = cell_ref(&sh->cell);
	int rc;

	(void)arg;
	traced();
	rc = mob_object_hold(s, r);
	(void)raise(SIGSTOP);
	mob_store_close(s);
	return rc == MOB_E_BAD_REF ? 0 : 1;
}

/*
 * The holder's bit is set when somebody has the slot in FREEING already. The
 * object is gone and the next one born, and let go under the passing bit: then
 * the holder must free it when it takes its bit back, whichever generation it
 * saw before. False: k is beyond what matters.
 */
static bool hold_while_freed(struct mob_store *s, uint32_t k)
{
	struct mob_ref r = put_filled(s, 8, 1);
	uint32_t slot = (uint32_t)r.lo;
	struct mobi_slot *o = &s->slots[slot];
	struct mob_ref next;
	uint32_t off = 0;
	uint32_t i = 0;
	pid_t pid;

	cell_set(&sh->cell, r);
	pid = start_traced(holder);
	while (!(mobi_load(&o->hold) & ~MOBI_BIT(s->me))) {
		assert_true(step(pid));
	}
	/* As if the CAS to FREEING had been just before. The hold of this
	 * process is taken back by hand for that. */
	(void)mobi_fetch_and(&o->hold, ~MOBI_BIT(s->me));
	mobi_store(&s->local[slot], UINT64_C(0));
	mobi_store(&o->word,
		   MOBI_WORD(MOBI_GEN(r.lo), s->me, 0, MOBI_S_FREEING));
	for (; i < k && off < LOOK_STEPS; i++) {
		assert_true(step(pid));
		off += mobi_load(&o->hold) == 0;
	}
	mobi_slot_finish_free(s, slot, MOBI_GEN(r.lo));
	assert_true(reborn(s, slot, &next));
	assert_ok(mob_object_release(s, next));
	go_on(pid);
	/* Without a janitor. */
	assert_int_equal(mob_object_state(s, next), MOB_OBJECT_GONE);
	assert_int_equal(counts_of(s).objects, 0);
	assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
	assert_int_equal(child_result(pid), 0);
	while (mobi_reap(s) > 0) {
	}
	return i == k;
}

static void test_schedule_hold_while_freed_next_one_not_kept(void **state)
{
	struct mob_store *s = begin();
	uint32_t k = 0;

	(void)state;
	while (hold_while_freed(s, k)) {
		k++;
		assert_true(k < STEPS_MAX);
	}
	print_message("%u schedules\n", k);
	assert_true(k > 10);
	end(s);
}

/* ---- two threads, a hold and the last release ---- */

static struct mob_store *own;
static struct mob_ref held;

static void *releases(void *arg)
{
	struct mob_ref *next = arg;

	while (!mobi_load(&sh->go)) {
		(void)sched_yield();
	}
	if (mob_object_release(own, held) != 0) {
		return arg;
	}
	if (!reborn(own, (uint32_t)held.lo, next)) {
		*next = MOB_REF_NONE;
	}
	mobi_store(&sh->done, 1u);
	return NULL;
}

/* Exit code 0: the hold was of its object, or there was none. */
static int two_threads(void *arg)
{
	struct mob_ref next = MOB_REF_NONE;
	pthread_t t;
	void *bad;
	int rc;

	(void)arg;
	own = child_open(sh->name);
	held = put_filled(own, 8, 1);
	if (pthread_create(&t, NULL, releases, &next)) {
		return 2;
	}
	traced();
	rc = mob_object_hold(own, held);
	(void)raise(SIGSTOP);
	if (pthread_join(t, &bad) || bad) {
		return 3;
	}
	/* Either the old one lives by this hold, or the slot is free for the
	 * next, which is held once. */
	if (rc == 0 ? mob_object_release(own, held) != 0 :
		      rc != MOB_E_BAD_REF) {
		return 4;
	}
	if (!mob_ref_is_none(next) &&
	    (mobi_slot_holds(own, (uint32_t)next.lo) != 1 ||
	     mob_object_release(own, next) != 0 ||
	     mob_object_state(own, next) != MOB_OBJECT_GONE)) {
		return 5;
	}
	mob_store_close(own);
	return 0;
}

static bool hold_while_released(struct mob_store *s, uint32_t k)
{
	uint32_t i = 0;
	pid_t pid;

	mobi_store(&sh->go, 0u);
	mobi_store(&sh->done, 0u);
	pid = start_traced(two_threads);
	while (i < k && step(pid)) {
		i++;
	}
	mobi_store(&sh->go, 1u);
	/* In the short time that the local word is BUSY the other thread
	 * needs this one to go on. */
	for (int n = 0; n < 2000 && !mobi_load(&sh->done); n++) {
		(void)sched_yield();
	}
	if (i == k) {
		go_on(pid);
	}
	assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
	assert_int_equal(child_result(pid), 0);
	while (mobi_reap(s) > 0) {
	}
	return i == k;
}

static void test_schedule_hold_while_last_is_released_of_its_own(void **state)
{
	struct mob_store *s = begin();
	uint32_t k = 0;

	(void)state;
	while (hold_while_released(s, k)) {
		k++;
		assert_true(k < STEPS_MAX);
	}
	print_message("%u schedules\n", k);
	assert_true(k > 10);
	end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_schedule_hold_while_freed_next_one_not_kept),
		cmocka_unit_test(
			test_schedule_hold_while_last_is_released_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
