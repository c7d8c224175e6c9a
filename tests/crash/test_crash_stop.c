/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process is stopped, for real, while it has the LOCK of an object. Nobody
 * may wait for it; what lies below its LOCK is put in order once it goes on.
 */
#define _GNU_SOURCE

#include "store_fixture.h"

#include "cq.h"

#include <fcntl.h>
#include <sys/ptrace.h>

struct shared {
	char name[MOB_STORE_NAME_MAX + 1];
	struct mob_ref ref;
	mobi_a32 asleep;
	mobi_a32 answered;
	mobi_a32 go;
};

static struct shared *sh;

/* Steps the child until it has the LOCK of the object, then lets go of it with
 * SIGSTOP. */
static void stop_under_lock(pid_t pid, const struct mobi_slot *o,
			    uint32_t client)
{
	for (;;) {
		uint64_t w = mobi_load(&o->word);
		int status = 0;

		if ((w & MOBI_F_LOCK) && MOBI_OWNER(w) == client) {
			break;
		}
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		assert_int_equal(WSTOPSIG(status), SIGTRAP);
	}
	assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, (void *)SIGSTOP), 0);
}

/* The one client that is neither of these. */
static uint32_t other_client(const struct mob_store *s, uint64_t known)
{
	uint64_t m = clients_used(s) & ~known;

	assert_int_equal(__builtin_popcountll(m), 1);
	return (uint32_t)__builtin_ctzll(m);
}

static void traced(void)
{
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	(void)raise(SIGSTOP);
}

static int sealer(void *arg)
{
	struct mob_store *s = child_open(sh->name);
	void *at;

	(void)arg;
	if (mob_object_create(s, 8, MOB_TYPE_BYTES, &sh->ref, &at) != 0) {
		return 1;
	}
	fill(at, 8, 8);
	traced();
	if (mob_object_seal(s, sh->ref) != 0) {
		return 2;
	}
	mob_store_close(s);
	return 0;
}

static int releaser(void *arg)
{
	struct mob_store *s = child_open(sh->name);

	(void)arg;
	if (mob_object_hold(s, sh->ref) != 0) {
		return 1;
	}
	traced();
	if (mob_object_release(s, sh->ref) != 0) {
		return 2;
	}
	mob_store_close(s);
	return 0;
}

/* Waits for the object, then stays until it is told to go. */
static int waiter(void *arg)
{
	struct mob_store *s = child_open(sh->name);
	struct mob_view v;

	(void)arg;
	mobi_store(&sh->asleep, 1u);
	if (mob_object_get(s, sh->ref, MOB_FOREVER, &v) != 0 ||
	    !filled(v.at, v.size, 8)) {
		return 1;
	}
	mob_view_release(s, &v);
	mobi_store(&sh->answered, 1u);
	while (!mobi_load(&sh->go)) {
		(void)sched_yield();
	}
	mob_store_close(s);
	return 0;
}

/* Nests the object, and dies with it. */
static int nester(void *arg)
{
	struct mob_store *s = child_open(sh->name);
	struct mob_ref outer;

	(void)arg;
	if (mob_object_put_refs(s, &sh->ref, 1, &outer) != 0) {
		return 1;
	}
	(void)kill(getpid(), SIGKILL);
	return 2;
}

static void until(mobi_a32 *flag)
{
	while (!mobi_load(flag)) {
		(void)sched_yield();
	}
}

static pid_t start_traced(int (*fn)(void *))
{
	pid_t pid = child_start(fn, NULL);
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

static struct mob_store *begin(void)
{
	struct mob_store *s = store_new(NULL, 16 * MIB);

	sh = shared_memory(sizeof(*sh));
	(void)snprintf(sh->name, sizeof(sh->name), "%s", mob_store_name(s));
	return s;
}

/* The stopped one goes on and ends; all is as it should be. */
static void end(struct mob_store *s, pid_t stopped)
{
	assert_int_equal(kill(stopped, SIGCONT), 0);
	assert_int_equal(child_result(stopped), 0);
	reap_until(s, MOBI_BIT(s->me));
	assert_int_equal(munmap(sh, sizeof(*sh)), 0);
	store_end(s);
}

static void test_stop_in_seal_others_go_on(void **state)
{
	struct mob_store *s = begin();
	pid_t stopped = start_traced(sealer);
	uint32_t client = other_client(s, MOBI_BIT(s->me));
	pid_t asleep;
	struct mob_cq_entry e;
	struct mob_view v;
	struct mob_cq *q;

	(void)state;
	assert_ok(mob_object_hold(s, sh->ref));
	assert_ok(mob_cq_open(s, &q));
	assert_ok(mob_cq_add(q, sh->ref, 5));
	asleep = child_start(waiter, NULL);
	until(&sh->asleep);
	while (counts_of(s).edges < 2) {
		(void)sched_yield();
	}
	stop_under_lock(stopped, slot_at(s, sh->ref), client);
	/* Nobody rings: who sleeps looks for itself. */
	until(&sh->answered);
	assert_ok(mob_object_get(s, sh->ref, 0, &v));
	assert_true(filled(v.at, v.size, 8));
	mob_view_release(s, &v);
	/* The completion is the stopped one's to tell. */
	assert_int_equal(mob_cq_pop(q, 0, &e), MOB_E_TIMEOUT);
	/* One that finds it sealed tells itself. */
	assert_ok(mob_cq_add(q, sh->ref, 6));
	assert_int_equal(mob_cq_pop(q, MOB_FOREVER, &e), 1);
	assert_int_equal(e.user, 6);
	assert_ok(mob_object_release(s, e.ref));
	/* A dead one's edge below the LOCK is left over. */
	assert_int_equal(child_result(child_start(nester, NULL)), -SIGKILL);
	while (mobi_reap(s) == 0) {
	}
	assert_int_equal(mobi_load(&s->hdr->leftover), 1);
	assert_ok(mob_object_release(s, put_filled(s, 5000, 1)));
	mobi_store(&sh->go, 1u);
	assert_int_equal(child_result(asleep), 0);
	assert_int_equal(kill(stopped, SIGCONT), 0);
	assert_int_equal(mob_cq_pop(q, MOB_FOREVER, &e), 1);
	assert_int_equal(e.user, 5);
	assert_ok(mob_object_release(s, e.ref));
	mob_cq_close(q);
	assert_ok(mob_object_release(s, sh->ref));
	end(s, stopped);
}

static void test_stop_in_look_pending_can_be_polled_and_sealed(void **state)
{
	struct mob_store *s = begin();
	struct mob_view v;
	pid_t stopped;
	bool ready;

	(void)state;
	sh->ref = make_pending(s);
	stopped = start_traced(releaser);
	/* The child's is the last hold: it looks. */
	assert_ok(mob_object_release(s, sh->ref));
	stop_under_lock(stopped, slot_at(s, sh->ref),
			other_client(s, MOBI_BIT(s->me)));
	assert_ok(mob_object_hold(s, sh->ref));
	/* More sleeps than a thread has edges, none of which can be unlinked.
	 */
	for (int i = 0; i < 200; i++) {
		assert_int_equal(mob_object_get(s, sh->ref, 1000, &v),
				 MOB_E_TIMEOUT);
		assert_int_equal(
			mob_object_wait(s, &sh->ref, 1, 1, 1000, &ready), 0);
	}
	assert_ok(mob_object_seal(s, sh->ref));
	assert_ok(mob_object_get(s, sh->ref, 0, &v));
	assert_true(filled(v.at, v.size, 8));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, sh->ref));
	assert_int_equal(mob_object_state(s, sh->ref), MOB_OBJECT_SEALED);
	end(s, stopped);
}

static void test_stop_then_killed_lock_taken_over(void **state)
{
	struct mob_store *s = begin();
	struct mob_view v;
	pid_t stopped;

	(void)state;
	sh->ref = make_pending(s);
	stopped = start_traced(releaser);
	assert_ok(mob_object_release(s, sh->ref));
	stop_under_lock(stopped, slot_at(s, sh->ref),
			other_client(s, MOBI_BIT(s->me)));
	/* The maker lives: another's LOCK does not lose the object. */
	child_kill(stopped);
	reap_until(s, MOBI_BIT(s->me));
	assert_int_equal(mob_object_state(s, sh->ref), MOB_OBJECT_PENDING);
	assert_ok(mob_object_hold(s, sh->ref));
	assert_ok(mob_object_seal(s, sh->ref));
	assert_ok(mob_object_get(s, sh->ref, 0, &v));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, sh->ref));
	assert_int_equal(munmap(sh, sizeof(*sh)), 0);
	store_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stop_in_seal_others_go_on),
		cmocka_unit_test(
			test_stop_in_look_pending_can_be_polled_and_sealed),
		cmocka_unit_test(test_stop_then_killed_lock_taken_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
