/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a slot: words, LOCKs of others, generations, and threads that
 * race for one. */
#define _GNU_SOURCE

#include "one_store.h"

#include <pthread.h>

#define THREADS 8
#define ROUNDS (SANITIZED ? 3000 : 30000)
#define OTHER 5u /* a client that is not there */

static uint64_t word(struct mob_ref r)
{
	return mobi_load(&slot_at(s, r)->word);
}

/* ---- words ---- */

static void test_slot_words_of_a_life(void **state)
{
	struct mob_ref r;
	uint32_t gen;
	void *at;

	(void)state;
	assert_ok(mob_object_create(s, 8, 1, &r, &at));
	gen = MOBI_GEN(r.lo);
	assert_int_equal(word(r), MOBI_WORD(gen, 0, MOBI_MADE_BY(s->me),
					    MOBI_S_PENDING));
	assert_int_equal(mobi_load(&slot_at(s, r)->hold), MOBI_BIT(s->me));
	assert_ok(mob_object_seal(s, r));
	assert_int_equal(word(r), MOBI_WORD(gen, 0, 0, MOBI_S_SEALED));
	assert_ok(mob_object_release(s, r));
	assert_int_equal(word(r), MOBI_WORD(gen + 1, 0, 0, MOBI_S_FREE));
	assert_int_equal(mobi_load(&slot_at(s, r)->loc), 0);
}

/* A task's return: born LOCKed, given away, resolved by anybody. */
static void test_slot_of_a_task_resolved_once(void **state)
{
	struct mob_ref r;
	uint64_t id;
	void *at;

	(void)state;
	assert_ok(mobi_slot_new(s, 0, &id));
	r = mobi_ref_of(s, id);
	assert_int_equal(MOBI_OWNER(word(r)), s->me);
	assert_true(word(r) & MOBI_F_LOCK);
	mobi_slot_unlock(s, id);
	assert_int_equal(word(r),
			 MOBI_WORD(MOBI_GEN(id), 0, 0, MOBI_S_PENDING));
	/* It has no maker: these are for those that have. */
	assert_false(mobi_slot_resolve_made(s, id, s->me, MOBI_S_SEALED));
	assert_false(mobi_slot_resolve_owned(s, id, MOBI_S_SEALED));
	assert_int_equal(mob_object_seal(s, r), MOB_E_STATE);
	assert_ok(mobi_slot_value(s, id, 5000, 3, &at));
	assert_true(mobi_slot_resolve(s, id, MOBI_S_FAILED));
	assert_false(mobi_slot_resolve(s, id, MOBI_S_SEALED));
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_FAILED);
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
}

static void test_slot_value_twice_frees_the_first_block(void **state)
{
	uint64_t used;
	uint64_t id;
	void *at;

	(void)state;
	assert_ok(mobi_slot_new(s, 0, &id));
	mobi_slot_unlock(s, id);
	assert_ok(mobi_slot_value(s, id, 5000, 3, &at));
	used = counts_of(s).used_bytes;
	assert_ok(mobi_slot_value(s, id, 5000, 3, &at));
	assert_int_equal(counts_of(s).used_bytes, used);
	assert_ok(mobi_slot_value(s, id, 8, 3, &at));
	assert_int_equal(counts_of(s).used_bytes, 0);
	assert_true(mobi_slot_resolve(s, id, MOBI_S_SEALED));
	assert_ok(mobi_slot_release(s, id));
}

static void test_slot_failed_get_gives_view_and_task_error(void **state)
{
	struct mob_view v;
	uint64_t id;
	void *at;

	(void)state;
	assert_ok(mobi_slot_new(s, 0, &id));
	mobi_slot_unlock(s, id);
	assert_ok(mobi_slot_value(s, id, 8, MOB_TYPE_ERROR, &at));
	fill(at, 8, 8);
	assert_true(mobi_slot_resolve(s, id, MOBI_S_FAILED));
	assert_int_equal(mob_object_get(s, mobi_ref_of(s, id), 0, &v),
			 MOB_E_TASK);
	assert_int_equal(v.type, MOB_TYPE_ERROR);
	assert_true(filled(v.at, v.size, 8));
	mob_view_release(s, &v);
	assert_ok(mobi_slot_release(s, id));
}

/* ---- under the LOCK of another ---- */

static void lock_by_other(uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w = mobi_load(&o->word);

	mobi_store(&o->word,
		   MOBI_WORD(MOBI_GEN(w), OTHER, MOBI_F_LOCK, MOBI_KEEP(w)));
}

/* What the other does before it lets go. */
static void unlock_by_other(uint64_t id)
{
	mobi_slot_locked_exit(s, (uint32_t)id);
}

static void test_slot_locked_by_other_nobody_waits(void **state)
{
	struct mob_ref r = put_filled(s, 5000, 1);
	struct mob_view v;

	(void)state;
	lock_by_other(r.lo);
	assert_ok(mob_object_get(s, r, 0, &v));
	assert_true(word(r) & MOBI_F_DIRTY);
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
	/* Its owner sees DIRTY, looks again and frees. */
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_SEALED);
	assert_true(word(r) & MOBI_F_DIRTY);
	unlock_by_other(r.lo);
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
}

static void test_slot_sealed_under_lock_of_other_it_notifies(void **state)
{
	struct mob_ref r = make_pending(s);
	struct mob_cq_entry e;
	struct mob_cq *q;

	(void)state;
	assert_ok(mob_cq_open(s, &q));
	assert_ok(mob_cq_add(q, r, 3));
	lock_by_other(r.lo);
	assert_ok(mob_object_seal(s, r));
	assert_int_equal(word(r),
			 MOBI_WORD(MOBI_GEN(r.lo), OTHER,
				   MOBI_F_LOCK | MOBI_F_DIRTY | MOBI_F_NOTIFY,
				   MOBI_S_SEALED));
	assert_int_equal(mob_cq_pop(q, 0, &e), MOB_E_TIMEOUT);
	unlock_by_other(r.lo);
	assert_int_equal(mob_cq_pop(q, 0, &e), 1);
	assert_int_equal(e.user, 3);
	assert_ok(mob_object_release(s, e.ref));
	mob_cq_close(q);
	assert_ok(mob_object_release(s, r));
}

/* ---- generations ---- */

/* Not that of the slot's last object. */
/* The count does not run over into that of views. */
static void test_slot_holds_are_counted_to_a_limit(void **state)
{
	struct mob_ref r = put_filled(s, 8, 1);
	mobi_a64 *count = &s->local[(uint32_t)r.lo];
	uint64_t was = mobi_load(count);

	(void)state;
	mobi_store(count, was | UINT64_C(0xfffffffe));
	assert_int_equal(mob_object_hold(s, r), MOB_E_LIMIT);
	assert_int_equal(mobi_load(count), was | UINT64_C(0xfffffffe));
	mobi_store(count, was);
	assert_ok(mob_object_release(s, r));
}

static void test_slot_without_a_value_has_its_own_time(void **state)
{
	uint32_t before = 0;
	uint64_t id;

	(void)state;
	while (before < 20) {
		before = mobi_session_ms(s);
	}
	assert_ok(mobi_slot_new(s, MOBI_F_OWNED, &id));
	assert_int_equal(mobi_load(&s->slots[(uint32_t)id].born_ms), 0);
	assert_true(mobi_slot_resolve_owned(s, id, MOBI_S_CANCELLED));
	assert_true(mobi_load(&s->slots[(uint32_t)id].born_ms) >= before);
	assert_ok(mobi_slot_release(s, id));
}

static void test_slot_generation_used_up_worn_for_ever(void **state)
{
	struct mob_ref r = put_filled(s, 8, 1);
	uint32_t slot = (uint32_t)r.lo;

	(void)state;
	assert_ok(mob_object_release(s, r));
	mobi_store(&s->slots[slot].word,
		   MOBI_WORD(UINT32_MAX, 0, 0, MOBI_S_FREE));
	do {
		r = put_filled(s, 8, 1);
		assert_ok(mob_object_release(s, r));
	} while ((uint32_t)r.lo != slot);
	assert_int_equal(MOBI_GEN(r.lo), UINT32_MAX);
	assert_int_equal(MOBI_STATE(mobi_load(&s->slots[slot].word)),
			 MOBI_S_WORN);
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
	for (int i = 0; i < 1000; i++) {
		struct mob_ref next = put_filled(s, 8, 1);

		assert_int_not_equal((uint32_t)next.lo, slot);
		assert_ok(mob_object_release(s, next));
	}
}

/* ---- threads ---- */

struct team {
	struct mob_store *s;
	struct mob_ref r;
	mobi_a64 cell; /* lo of a ref that comes and goes */
	mobi_a32 bad;
	mobi_a32 go;
};

static void run_team(struct team *t, void *(*fn)(void *))
{
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&thread[i], NULL, fn, t), 0);
	}
	mobi_store(&t->go, 1u);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	}
	assert_int_equal(mobi_load(&t->bad), 0);
}

static void *holds_and_views(void *arg)
{
	struct team *t = arg;

	while (!mobi_load(&t->go)) {
	}
	for (int i = 0; i < ROUNDS; i++) {
		struct mob_view v;

		if (mob_object_hold(t->s, t->r) != 0 ||
		    mob_object_get(t->s, t->r, 0, &v) != 0) {
			(void)mobi_fetch_add(&t->bad, 1u);
			break;
		}
		if (mob_object_release(t->s, t->r) != 0 ||
		    !filled(v.at, v.size, 1)) {
			(void)mobi_fetch_add(&t->bad, 1u);
		}
		mob_view_release(t->s, &v);
	}
	return NULL;
}

static void test_threads_share_one_object(void **state)
{
	struct team t = { s, put_filled(s, 100, 1), 0, 0, 0 };

	(void)state;
	run_team(&t, holds_and_views);
	assert_int_equal(mobi_slot_holds(s, (uint32_t)t.r.lo), 1);
	assert_ok(mob_object_release(s, t.r));
	assert_int_equal(mob_object_state(s, t.r), MOB_OBJECT_GONE);
}

/* Another client keeps it alive: the bits of this one come and go. */
static void test_threads_set_and_clear_the_bits(void **state)
{
	struct team t = { NULL, MOB_REF_NONE, 0, 0, 0 };

	(void)state;
	t.r = put_filled(s, 100, 1);
	assert_ok(mob_store_open(mob_store_name(s), &t.s));
	run_team(&t, holds_and_views);
	assert_int_equal(mobi_load(&slot_at(s, t.r)->hold), MOBI_BIT(s->me));
	assert_int_equal(mobi_load(&slot_at(s, t.r)->view), 0);
	mob_store_close(t.s);
	assert_ok(mob_object_release(s, t.r));
}

/* Holds an object that others may release at any moment. What it gets must be
 * the object of that ref, or nothing. */
static void *races_for_a_ref(void *arg)
{
	struct team *t = arg;
	uint64_t random = now_ns() | 1;

	while (!mobi_load(&t->go)) {
	}
	for (int i = 0; i < ROUNDS; i++) {
		struct mob_ref r = { (uint64_t)t->s->epoch << 32,
				     mobi_load(&t->cell) };
		struct mob_view v;

		if (next_random(&random) % 4 == 0) {
			uint64_t bytes = next_random(&random) % 90 + 8;
			unsigned char at[100];
			struct mob_ref mine;
			uint64_t was = r.lo;

			fill(at, bytes, bytes);
			if (mob_object_put(t->s, at, bytes, 1, &mine) != 0) {
				(void)mobi_fetch_add(&t->bad, 1u);
				break;
			}
			/* The cell's hold goes to who takes it out. */
			if (mobi_cas64(&t->cell, &was, mine.lo)) {
				mine = r;
			}
			if (mob_object_release(t->s, mine) != 0) {
				(void)mobi_fetch_add(&t->bad, 1u);
			}
		} else if (next_random(&random) % 2) {
			if (mob_object_hold(t->s, r) == 0 &&
			    (mob_object_state(t->s, r) != MOB_OBJECT_SEALED ||
			     mob_object_release(t->s, r) != 0)) {
				(void)mobi_fetch_add(&t->bad, 1u);
			}
		} else if (mob_object_get(t->s, r, 0, &v) == 0) {
			if (!filled(v.at, v.size, v.size)) {
				(void)mobi_fetch_add(&t->bad, 1u);
			}
			mob_view_release(t->s, &v);
		}
	}
	return NULL;
}

static void test_threads_race_for_refs_that_come_and_go(void **state)
{
	struct team t = { s, MOB_REF_NONE, 0, 0, 0 };

	(void)state;
	t.r = put_filled(s, 50, 50);
	mobi_store(&t.cell, t.r.lo);
	run_team(&t, races_for_a_ref);
	t.r.lo = mobi_load(&t.cell);
	assert_int_equal(mobi_slot_holds(s, (uint32_t)t.r.lo), 1);
	assert_ok(mob_object_release(s, t.r));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_slot_words_of_a_life),
		TEST(test_slot_of_a_task_resolved_once),
		TEST(test_slot_value_twice_frees_the_first_block),
		TEST(test_slot_failed_get_gives_view_and_task_error),
		TEST(test_slot_locked_by_other_nobody_waits),
		TEST(test_slot_sealed_under_lock_of_other_it_notifies),
		TEST(test_slot_holds_are_counted_to_a_limit),
		TEST(test_slot_without_a_value_has_its_own_time),
		TEST(test_slot_generation_used_up_worn_for_ever),
		TEST(test_threads_share_one_object),
		TEST(test_threads_set_and_clear_the_bits),
		TEST(test_threads_race_for_refs_that_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
