/* SPDX-License-Identifier: Apache-2.0 */
/* Cached objects, which go when room is needed. */
#define _GNU_SOURCE

#include "evict.h"
#include "name.h"
#include "reap.h"
#include "store_fixture.h"

#include "fault.h"

#define ARENA (16 * MIB)
#define ONE (256 * KIB)
#define MANY 200u /* of ONE: three arenas */

static void cache(struct mob_store *s, const char *as, uint64_t seed)
{
	struct mob_ref r = put_filled(s, ONE, seed);

	assert_ok(mob_name_put(s, as, r, MOB_NAME_REPLACE | MOB_NAME_CACHED,
			       NULL));
	assert_ok(mob_object_release(s, r));
}

static const char *name_of(char *buf, size_t size, uint32_t i)
{
	(void)snprintf(buf, size, "c%u", i);
	return buf;
}

/* Is it there, and what it was? */
static bool there(struct mob_store *s, const char *as, uint64_t seed)
{
	struct mob_view v;
	struct mob_ref r;

	if (mob_name_get(s, as, &r, NULL) < 0) {
		return false;
	}
	assert_ok(mob_object_get(s, r, 0, &v));
	assert_true(filled(v.at, v.size, seed));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
	return true;
}

static void drop_all(struct mob_store *s)
{
	char as[16];

	for (uint32_t i = 0; i < MANY; i++) {
		int rc = mob_name_remove(s, name_of(as, sizeof(as), i));

		assert_true(rc == 0 || rc == MOB_E_NOT_FOUND);
	}
}

static void test_evict_cached_ones_go_when_room_is_needed(void **state)
{
	struct mob_store *s = store_new(NULL, ARENA);
	struct mob_ref kept = put_filled(s, ONE, 1000);
	struct mob_store_stat st;
	uint32_t left = 0;
	char as[16];

	(void)state;
	assert_ok(mob_name_put(s, "stays", kept, 0, NULL));
	assert_ok(mob_object_release(s, kept));
	for (uint32_t i = 0; i < MANY; i++) {
		cache(s, name_of(as, sizeof(as), i), i);
		/* In use all the time. */
		assert_true(there(s, "c0", 0));
	}
	for (uint32_t i = 0; i < MANY; i++) {
		left += there(s, name_of(as, sizeof(as), i), i);
	}
	assert_true(left > 20 && left < MANY / 2);
	assert_true(there(s, "stays", 1000));
	assert_ok(mob_store_stat(s, &st));
	assert_int_equal(st.evicted, MANY - left);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	drop_all(s);
	assert_ok(mob_name_remove(s, "stays"));
	store_end(s);
}

/* Objects that are held, until there is no room for another. */
static void fill_to_the_brim(struct mob_store *s)
{
	struct mob_ref r[ARENA / ONE];
	uint32_t n = 0;
	void *at;
	int rc;

	while ((rc = mob_object_create(s, ONE, MOB_TYPE_BYTES, &r[n], &at)) ==
	       0) {
		assert_true(++n < ARENA / ONE);
	}
	assert_int_equal(rc, MOB_E_STORE_FULL);
	while (n > 0) {
		assert_ok(mob_object_abort(s, r[--n]));
		assert_ok(mob_object_release(s, r[n]));
	}
}

static void test_evict_what_is_needed_stays(void **state)
{
	struct mob_store *s = store_new(NULL, ARENA);
	struct mob_ref held = put_filled(s, ONE, 1);
	struct mob_ref inner = put_filled(s, ONE, 2);
	struct mob_ref viewed = put_filled(s, ONE, 3);
	struct mob_ref pinned = put_filled(s, ONE, 4);
	struct mob_ref named = put_filled(s, ONE, 5);
	struct mob_ref first = put_filled(s, ONE, 6);
	struct mob_ref outer;
	struct mob_view v;
	char as[16];

	(void)state;
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_object_get(s, viewed, 0, &v));
	assert_ok(mob_name_put(s, "held", held, MOB_NAME_CACHED, NULL));
	assert_ok(mob_name_put(s, "inner", inner, MOB_NAME_CACHED, NULL));
	assert_ok(mob_name_put(s, "viewed", viewed, MOB_NAME_CACHED, NULL));
	assert_ok(mob_name_put(s, "pinned", pinned, MOB_NAME_CACHED, NULL));
	assert_ok(mob_object_pin(s, pinned));
	/* A name that keeps it takes back that it is cached, also the same. */
	assert_ok(mob_name_put(s, "named", named, MOB_NAME_CACHED, NULL));
	assert_ok(mob_name_put(s, "named", named, 0, NULL));
	/* And what is kept for good stays so. */
	assert_ok(mob_name_put(s, "first", first, 0, NULL));
	assert_ok(mob_name_put(s, "second", first, MOB_NAME_CACHED, NULL));
	assert_ok(mob_object_release(s, inner));
	assert_ok(mob_object_release(s, viewed));
	assert_ok(mob_object_release(s, pinned));
	assert_ok(mob_object_release(s, named));
	assert_ok(mob_object_release(s, first));
	for (uint32_t i = 0; i < MANY; i++) {
		cache(s, name_of(as, sizeof(as), i), i);
	}
	assert_true(there(s, "held", 1));
	assert_true(there(s, "inner", 2));
	assert_true(there(s, "viewed", 3));
	assert_true(there(s, "pinned", 4));
	assert_true(there(s, "named", 5));
	assert_true(there(s, "second", 6));
	/* What was needed and is not any more goes, if nothing else can. */
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, held));
	assert_ok(mob_object_release(s, outer));
	fill_to_the_brim(s);
	assert_false(there(s, "held", 1));
	assert_false(there(s, "inner", 2));
	assert_false(there(s, "viewed", 3));
	assert_int_equal(mob_object_unpin(s, pinned), 0);
	drop_all(s);
	(void)there(s, "pinned", 4);
	assert_ok(mob_name_remove(s, "pinned"));
	assert_ok(mob_name_remove(s, "named"));
	assert_ok(mob_name_remove(s, "first"));
	assert_ok(mob_name_remove(s, "second"));
	store_end(s);
}

static void test_evict_comes_before_spilling(void **state)
{
	struct mob_store *s = store_new_spilling(ARENA);
	struct mob_ref held[8];
	struct mob_store_stat st;
	char as[16];

	(void)state;
	for (uint32_t i = 0; i < 8; i++) {
		held[i] = put_filled(s, ONE, i);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		cache(s, name_of(as, sizeof(as), i), i);
	}
	assert_ok(mob_store_stat(s, &st));
	assert_int_equal(st.spilled_objects, 0);
	assert_true(st.evicted > MANY / 2);
	for (uint32_t i = 0; i < 8; i++) {
		assert_ok(mob_object_release(s, held[i]));
	}
	drop_all(s);
	store_end(s);
}

#define HOT 20u

/* How many objects that were viewed before a scan of three stores are there
 * after it. */
static uint32_t hot_after_a_scan(const char *policy)
{
	const char *was = getenv("MOBULA_EVICTION");
	char *saved = was ? strdup(was) : NULL;
	struct mob_store *s;
	struct mob_store *other;
	uint32_t left = 0;
	char as[16];

	assert_int_equal(setenv("MOBULA_EVICTION", policy, 1), 0);
	s = store_new(NULL, ARENA);
	/* All processes have that of the session, whatever theirs is. */
	assert_int_equal(setenv("MOBULA_EVICTION", "nonsense", 1), 0);
	assert_ok(mob_store_open(mob_store_name(s), &other));
	assert_int_equal(saved ? setenv("MOBULA_EVICTION", saved, 1) :
				 unsetenv("MOBULA_EVICTION"),
			 0);
	free(saved);
	for (uint32_t i = 0; i < HOT; i++) {
		(void)snprintf(as, sizeof(as), "hot%u", i);
		cache(s, as, i);
		assert_true(there(s, as, i));
	}
	for (uint32_t i = 0; i < MANY; i++) {
		cache(i % 2 ? s : other, name_of(as, sizeof(as), i), i);
	}
	for (uint32_t i = 0; i < HOT; i++) {
		(void)snprintf(as, sizeof(as), "hot%u", i);
		if (there(s, as, i)) {
			left++;
			assert_ok(mob_name_remove(s, as));
		}
	}
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	drop_all(s);
	mob_store_close(other);
	store_end(s);
	return left;
}

static void test_evict_a_scan_spares_what_is_hot_with_sieve(void **state)
{
	uint32_t sieve = hot_after_a_scan("sieve");
	uint32_t clock = hot_after_a_scan("clock");

	(void)state;
	print_message("of %u: sieve %u, clock %u\n", HOT, sieve, clock);
	assert_int_equal(sieve, HOT);
	assert_true(clock < HOT / 2);
}

static void
test_evict_unknown_policy_is_refused_with_those_there_are(void **state)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	const char *was = getenv("MOBULA_EVICTION");
	char *saved = was ? strdup(was) : NULL;
	struct mob_store *s = NULL;
	int rc;

	(void)state;
	opts.flags = MOB_STORE_PRIVATE;
	opts.arena_bytes = ARENA;
	assert_int_equal(setenv("MOBULA_EVICTION", "lru", 1), 0);
	rc = mob_store_create(NULL, &opts, &s);
	assert_int_equal(saved ? setenv("MOBULA_EVICTION", saved, 1) :
				 unsetenv("MOBULA_EVICTION"),
			 0);
	free(saved);
	assert_int_equal(rc, MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(rc), "MOBULA_EVICTION is 'lru'"));
	assert_non_null(strstr(mob_err_detail(rc), "sieve or clock"));
}

/* Whatever the hints say, what may go does when nothing else is left. */
static void test_evict_hints_keep_nothing_in_a_full_store(void **state)
{
	const uint32_t hints[] = { 0, MOBI_CREATOR_USED, MOBI_CREATOR_SETTLED,
				   MOBI_CREATOR_USED | MOBI_CREATOR_SETTLED };
	struct mob_store *s = store_new(NULL, ARENA);
	struct mob_ref held[ARENA / ONE + 1];
	uint32_t n = 0;
	void *at;

	(void)state;
	while (mob_object_create(s, ONE, MOB_TYPE_BYTES, &held[n], &at) == 0) {
		assert_true(++n <= ARENA / ONE);
	}
	for (uint32_t i = 0; i < 8; i++) {
		struct mob_ref r;

		assert_ok(mob_object_abort(s, held[n - 1]));
		assert_ok(mob_object_release(s, held[n - 1]));
		cache(s, "c", i);
		assert_ok(mob_name_get(s, "c", &r, NULL));
		(void)mobi_fetch_or(&slot_at(s, r)->creator, hints[i / 2]);
		/* The hand is at the begin, in a round of either kind. */
		mobi_store(&s->hdr->hand[MOBI_HAND_EVICT].at, (uint64_t)(i % 2)
								      << 32);
		assert_ok(mob_object_release(s, r));
		assert_ok(mob_object_create(s, ONE, MOB_TYPE_BYTES,
					    &held[n - 1], &at));
		assert_int_equal(mob_name_get(s, "c", &r, NULL),
				 MOB_E_NOT_FOUND);
	}
	while (n > 0) {
		assert_ok(mob_object_abort(s, held[--n]));
		assert_ok(mob_object_release(s, held[n]));
	}
	store_end(s);
}

static void test_evict_nothing_helps_says_full(void **state)
{
	struct mob_store *s = store_new(NULL, ARENA);
	struct mob_ref r = put_filled(s, ARENA / 2, 1);
	struct mob_ref other;
	void *at;

	(void)state;
	cache(s, "c0", 0);
	assert_int_equal(mob_object_create(s, ARENA, MOB_TYPE_BYTES, &other,
					   &at),
			 MOB_E_STORE_FULL);
	assert_ok(mob_object_release(s, r));
	drop_all(s);
	store_end(s);
}

#ifdef MOB_FAILPOINTS
static int fill_and_die(void *arg)
{
	const char *const *a = arg;
	struct mob_store *s = child_open(a[0]);
	char as[16];

	mobi_fault_arm(a[1]);
	for (uint32_t i = 0; i < MANY; i++) {
		cache(s, name_of(as, sizeof(as), i), i);
	}
	return 0;
}

static int evict_and_die(void *arg)
{
	struct mob_store *s = child_open(arg);

	mobi_fault_arm("name.commit=kill@1");
	(void)mobi_evict_some(s, 1);
	return 1;
}

/* Its name is gone, and it is not: the next who needs room has that. */
static void test_evict_what_one_that_was_killed_left(void **state)
{
	struct mob_store *s = store_new(NULL, ARENA);
	struct mob_store_stat before;
	struct mob_store_stat after;
	char name[MOB_STORE_NAME_MAX + 1];

	(void)state;
	cache(s, "c0", 1);
	(void)snprintf(name, sizeof(name), "%s", mob_store_name(s));
	assert_int_equal(child_result(child_start(evict_and_die, name)),
			 -SIGKILL);
	assert_int_equal(mobi_reap(s), 1);
	assert_false(there(s, "c0", 1));
	assert_ok(mob_store_stat(s, &before));
	assert_true(before.arena_used_bytes >= ONE);
	(void)mobi_evict_some(s, 1);
	assert_ok(mob_store_stat(s, &after));
	assert_true(after.arena_used_bytes < before.arena_used_bytes);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	store_end(s);
}

static void test_evict_killed_at_every_failpoint(void **state)
{
	static const char *const point[] = { "name.bit", "name.commit" };
	char as[16];

	(void)state;
	for (size_t p = 0; p < 2; p++) {
		/* The first are names that are given, then come evictions. */
		for (unsigned nth = 50; nth < 110; nth += 7) {
			struct mob_store *s = store_new(NULL, ARENA);
			char fault[40];
			const char *arg[2] = { mob_store_name(s), fault };

			(void)snprintf(fault, sizeof(fault), "%s=kill@%u",
				       point[p], nth);
			assert_int_equal(
				child_result(child_start(fill_and_die, arg)),
				-SIGKILL);
			reap_until(s, MOBI_BIT(s->me));
			assert_int_equal(
				mob_store_check(s, print_finding, NULL), 0);
			for (uint32_t i = 0; i < MANY; i++) {
				(void)there(s, name_of(as, sizeof(as), i), i);
			}
			drop_all(s);
			store_end(s);
		}
	}
}
#endif

struct filling {
	char store[MOB_STORE_NAME_MAX + 1];
	mobi_a64 done;
};

static int fill_for_ever(void *arg)
{
	struct filling *f = arg;
	struct mob_store *s = child_open(f->store);
	uint64_t random = (uint64_t)getpid();
	char as[16];

	while (random) {
		uint32_t i = (uint32_t)(next_random(&random) % MANY);

		if (!there(s, name_of(as, sizeof(as), i), i)) {
			cache(s, as, i);
		}
		(void)mobi_fetch_add(&f->done, UINT64_C(1));
	}
	return 0;
}

static void test_evict_by_several_that_are_killed(void **state)
{
	struct mob_store *s = store_new(NULL, ARENA);
	uint64_t random = now_ns() | 1;
	uint64_t turns = 0;
	struct filling *f = shared_memory(sizeof(*f));
	char as[16];
	pid_t pid[3];

	(void)state;
	print_message("seed %" PRIu64 "\n", random);
	(void)snprintf(f->store, sizeof(f->store), "%s", mob_store_name(s));
	for (int turn = 0; turn < 10; turn++) {
		for (int i = 0; i < 3; i++) {
			pid[i] = child_start(fill_for_ever, f);
		}
		turns += 20 + next_random(&random) % 300;
		while (mobi_load(&f->done) < turns) {
			(void)sched_yield();
		}
		for (int i = 0; i < 3; i++) {
			child_kill(pid[i]);
		}
		reap_until(s, MOBI_BIT(s->me));
		assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		(void)there(s, name_of(as, sizeof(as), i), i);
	}
	drop_all(s);
	store_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_evict_cached_ones_go_when_room_is_needed),
		cmocka_unit_test(test_evict_what_is_needed_stays),
		cmocka_unit_test(test_evict_comes_before_spilling),
		cmocka_unit_test(
			test_evict_a_scan_spares_what_is_hot_with_sieve),
		cmocka_unit_test(
			test_evict_unknown_policy_is_refused_with_those_there_are),
		cmocka_unit_test(test_evict_hints_keep_nothing_in_a_full_store),
		cmocka_unit_test(test_evict_nothing_helps_says_full),
#ifdef MOB_FAILPOINTS
		cmocka_unit_test(test_evict_killed_at_every_failpoint),
		cmocka_unit_test(test_evict_what_one_that_was_killed_left),
#endif
		cmocka_unit_test(test_evict_by_several_that_are_killed),
	};

	return cmocka_run_group_tests_name("store.evict", tests, NULL, NULL);
}
