/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes killed while they change names and pins: at every failpoint the n-th
 * time, and at random. Afterwards every name has its object, every object that is
 * kept has a name or pin, and nothing else is left.
 */
#define _GNU_SOURCE

#include "name.h"
#include "store_fixture.h"

#include "fault.h"

#include <sys/resource.h>

enum { NAMES = 8 };

/* Bytes that name the object that they are in: a name never leads to others. */
static struct mob_ref put_numbered(struct mob_store *s, uint64_t n)
{
	return put_filled(s, 40 + n % 400, n);
}

static int change_one(struct mob_store *s, uint64_t *seed)
{
	uint64_t n = next_random(seed);
	struct mob_ref r;
	char name[16];
	int rc;

	(void)snprintf(name, sizeof(name), "k%u", (unsigned)(n % NAMES));
	switch (n >> 8 & 3) {
	case 0:
		rc = mob_name_remove(s, name);
		return rc == MOB_E_NOT_FOUND ? 0 : rc;
	case 1:
		rc = mob_name_get(s, name, &r, NULL);
		if (rc == 0) {
			rc = mob_object_pin(s, r);
			rc = rc ? rc : mob_object_unpin(s, r);
			/* Another may have freed it by hand meanwhile. */
			rc = rc == MOB_E_STATE ? 0 : rc;
			rc = rc ? rc : mob_object_release(s, r);
		}
		return rc == MOB_E_NOT_FOUND ? 0 : rc;
	case 2:
		rc = mob_name_get(s, name, &r, NULL);
		if (rc == 0) {
			rc = mob_object_free(s, r);
		}
		return rc == MOB_E_NOT_FOUND || rc > 0 ? 0 : rc;
	default:
		n = next_random(seed) % 1000;
		r = put_numbered(s, n);
		rc = mob_name_put(s, name, r, MOB_NAME_REPLACE, NULL);
		rc = rc ? rc : mob_object_release(s, r);
		return rc;
	}
}

struct job {
	const char *store;
	const char *fault; /* or NULL */
	uint64_t seed;
	uint32_t turns;
};

static int work(void *arg)
{
	const struct job *j = arg;
	struct mob_store *s = child_open(j->store);
	uint64_t seed = j->seed;

#ifdef MOB_FAILPOINTS
	if (j->fault) {
		mobi_fault_arm(j->fault);
	}
#endif
	for (uint32_t i = 0; i < j->turns; i++) {
		int rc = change_one(s, &seed);

		if (rc) {
			(void)fprintf(stderr, "child: %s: %s\n",
				      mob_err_name(rc), mob_err_detail(rc));
			return 1;
		}
	}
	mob_store_close(s);
	return 0;
}

/* What every name leads to is whole. */
static int look_at(const struct mob_name_info *info, void *arg)
{
	struct mob_store *s = arg;
	struct mob_view v;
	bool right = false;

	if (mob_object_get(s, info->ref, 0, &v)) {
		return -1;
	}
	for (uint64_t n = 0; n < 1000 && !right; n++) {
		right = v.size == 40 + n % 400 && filled(v.at, v.size, n);
	}
	mob_view_release(s, &v);
	return right ? 0 : -1;
}

static void audit(struct mob_store *s)
{
	reap_until(s, MOBI_BIT(s->me));
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_int_equal(mob_name_list(s, NULL, look_at, s), 0);
}

/* What is left is named, or was pinned by one who was killed; and with that
 * nothing is left. */
static void sweep(struct mob_store *s)
{
	for (uint32_t i = 0; i < mobi_pool_used(s, MOBI_POOL_SLOT); i++) {
		uint64_t w = mobi_load(&s->slots[i].word);
		struct mob_ref r = mobi_ref_of(s,
					       (uint64_t)MOBI_GEN(w) << 32 | i);
		uint32_t names;
		uint32_t pins;

		if (!mobi_living(w)) {
			continue;
		}
		assert_ok(mob_object_kept(s, r, &names, &pins));
		assert_true(names + pins > 0);
		assert_ok(mob_object_hold(s, r));
		assert_int_equal(mob_object_free(s, r), 0);
	}
	assert_int_equal(counts_of(s).objects, 0);
	assert_int_equal(counts_of(s).used_bytes, 0);
}

#ifdef MOB_FAILPOINTS
static void test_name_killed_at_every_failpoint(void **state)
{
	static const char *const point[] = { "name.bit", "name.commit",
					     "name.recount", "name.clear" };
	char name[64];
	struct mob_store *s = store_new(name_new(name, sizeof(name), "kill"),
					8 * MIB);
	uint32_t kills[4] = { 0 };

	(void)state;
	for (uint32_t n = 1; n <= 40; n++) {
		for (size_t p = 0; p < sizeof(point) / sizeof(point[0]); p++) {
			char spec[64];
			struct job j = { name, spec, 77 + n * 13 + p, 60 };
			int rc;

			(void)snprintf(spec, sizeof(spec), "%s=kill@%u",
				       point[p], p == 2 ? n % 2 + 1 : n);
			if (p == 2) {
				/* What it has to count. */
				mobi_store(&s->cat_shared->recount, 1u);
			}
			rc = child_result(child_start(work, &j));
			assert_true(rc == 0 || rc == -SIGKILL);
			kills[p] += rc == -SIGKILL;
			audit(s);
		}
	}
	print_message("killed at name.bit %u, name.commit %u, name.recount %u, "
		      "name.clear %u times\n",
		      kills[0], kills[1], kills[2], kills[3]);
	assert_true(kills[0] >= 20 && kills[1] >= 20 && kills[2] >= 20 &&
		    kills[3] >= 20);
	sweep(s);
	store_end(s);
}
#endif

#ifdef MOB_FAILPOINTS
struct stopper {
	const char *store;
	struct cell ref;
};

/* Stops after the transaction that takes its only pin away is over. */
static int pin_and_stop(void *arg)
{
	struct stopper *p = arg;
	struct mob_store *s = child_open(p->store);

	mobi_fault_arm("name.end=stop@2");
	if (mob_object_pin(s, cell_ref(&p->ref)) ||
	    mob_object_unpin(s, cell_ref(&p->ref))) {
		return 1;
	}
	mob_store_close(s);
	return 0;
}

static void test_name_pin_behind_a_commit_is_not_undone(void **state)
{
	char name[64];
	struct mob_store *s = store_new(name_new(name, sizeof(name), "stop"),
					8 * MIB);
	struct stopper *p = shared_memory(sizeof(*p));
	struct mob_ref r = put_numbered(s, 1);
	int status = 0;
	pid_t pid;

	(void)state;
	p->store = name;
	cell_set(&p->ref, r);
	pid = child_start(pin_and_stop, p);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_ok(mob_object_pin(s, r));
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(child_result(pid), 0);
	assert_true(mobi_load(&slot_at(s, r)->hold) & MOBI_KEPT);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_ok(mob_object_release(s, r));
	sweep(s);
	store_end(s);
}

/* A pin that is not given keeps nothing. Then it stops after its transaction that takes
 * the only pin of another object away has failed, and when the call is over. */
static int fail_and_stop(void *arg)
{
	struct stopper *p = arg;
	struct mob_store *s = child_open(p->store);
	struct mob_ref own = put_numbered(s, 2);
	struct rlimit none = { 0, RLIM_INFINITY };
	struct rlimit any = { RLIM_INFINITY, RLIM_INFINITY };

	if (mob_object_pin(s, cell_ref(&p->ref))) {
		return 1;
	}
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)setrlimit(RLIMIT_FSIZE, &none);
	if (mob_object_pin(s, own) >= 0 || mob_object_release(s, own) ||
	    mob_object_state(s, own) != MOB_OBJECT_GONE) {
		return 3;
	}
	mobi_fault_arm("name.end=stop");
	if (mob_object_unpin(s, cell_ref(&p->ref)) >= 0) {
		return 2;
	}
	(void)setrlimit(RLIMIT_FSIZE, &any);
	(void)raise(SIGSTOP);
	mob_store_close(s);
	return 0;
}

static void until_stopped(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
}

/* It puts the bit back that it had taken away; another has taken the pin meanwhile. */
static void test_name_commit_that_failed_keeps_nothing_for_ever(void **state)
{
	char name[64];
	struct mob_store *s = store_new(name_new(name, sizeof(name), "fail"),
					8 * MIB);
	struct stopper *p = shared_memory(sizeof(*p));
	struct mob_ref r = put_numbered(s, 1);
	pid_t pid;

	(void)state;
	p->store = name;
	cell_set(&p->ref, r);
	pid = child_start(fail_and_stop, p);
	until_stopped(pid);
	assert_ok(mob_object_unpin(s, r));
	assert_int_equal(kill(pid, SIGCONT), 0);
	until_stopped(pid);
	assert_ok(mob_store_sync(s));
	assert_false(mobi_load(&slot_at(s, r)->hold) & MOBI_KEPT);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(child_result(pid), 0);
	assert_ok(mob_object_release(s, r));
	sweep(s);
	store_end(s);
}
#endif

#ifdef MOB_FAILPOINTS
static int replaces(void *arg)
{
	struct job *j = arg;
	struct mob_store *s = child_open(j->store);

	mobi_fault_arm(j->fault);
	return mob_name_put(s, "x", put_numbered(s, 2), MOB_NAME_REPLACE, NULL);
}

/* The name leads to what it did before, or to what it was to lead to. */
static void test_name_killed_while_it_changes_hands_is_there(void **state)
{
	static const char *const fault[] = { "name.bit=kill", "name.bit=kill@2",
					     "name.commit=kill",
					     "name.clear=kill",
					     "name.end=kill" };
	char name[64];
	struct mob_store *s = store_new(name_new(name, sizeof(name), "hands"),
					8 * MIB);

	(void)state;
	for (size_t i = 0; i < sizeof(fault) / sizeof(fault[0]); i++) {
		struct job j = { .store = name, .fault = fault[i] };
		struct mob_ref r = put_numbered(s, 1);
		struct mob_view v;

		assert_ok(mob_name_put(s, "x", r, MOB_NAME_REPLACE, NULL));
		assert_ok(mob_object_release(s, r));
		assert_int_equal(child_result(child_start(replaces, &j)),
				 -SIGKILL);
		reap_until(s, MOBI_BIT(s->me));
		assert_ok(mob_name_get(s, "x", &r, NULL));
		assert_ok(mob_object_get(s, r, 0, &v));
		assert_true(filled(v.at, v.size, v.size - 40));
		mob_view_release(s, &v);
		assert_ok(mob_object_release(s, r));
		audit(s);
		assert_int_equal(counts_of(s).objects, 1);
	}
	sweep(s);
	store_end(s);
}
#endif

static void test_name_killed_at_random_several_at_once(void **state)
{
	enum { CHILDREN = 3 };
	char name[64];
	struct mob_store *s = store_new(name_new(name, sizeof(name), "storm"),
					8 * MIB);
	struct job j = { name, NULL, 1, 1u << 30 };
	uint64_t rounds = test_count("MOB_TEST_NAME_STORM",
				     SANITIZED ? 20 : 120, 5000);
	uint64_t seed = test_seed();

	(void)state;
	for (uint64_t i = 0; i < rounds; i++) {
		pid_t pid[CHILDREN];
		uint64_t until;

		for (int k = 0; k < CHILDREN; k++) {
			j.seed = next_random(&seed) | 1;
			pid[k] = child_start(work, &j);
		}
		/* Their work begins when they have joined. */
		while (clients_used(s) == MOBI_BIT(s->me)) {
			(void)sched_yield();
		}
		until = now_ns() + next_random(&seed) % 5000000;
		while (now_ns() < until) {
			(void)sched_yield();
		}
		for (int k = 0; k < CHILDREN; k++) {
			child_kill(pid[k]);
		}
		audit(s);
	}
	sweep(s);
	store_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef MOB_FAILPOINTS
		cmocka_unit_test(test_name_killed_at_every_failpoint),
		cmocka_unit_test(test_name_pin_behind_a_commit_is_not_undone),
		cmocka_unit_test(
			test_name_commit_that_failed_keeps_nothing_for_ever),
		cmocka_unit_test(
			test_name_killed_while_it_changes_hands_is_there),
#endif
		cmocka_unit_test(test_name_killed_at_random_several_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
