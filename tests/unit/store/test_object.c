/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: put, create, seal, hold, release, get, views, and the errors of
 * each. */
#define _GNU_SOURCE

#include "one_store.h"

/* ---- values ---- */

static void test_put_any_size_is_what_get_gives(void **state)
{
	static const uint64_t sizes[] = { 0,     1,      47,      48,     49,
					  64,    100,    4096,    8192,   8193,
					  65536, 131073, 1000000, 5 * MIB };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct mob_ref r = put_filled(s, sizes[i], i);
		struct mob_view v;

		assert_ok(mob_object_get(s, r, 0, &v));
		assert_int_equal(v.size, sizes[i]);
		assert_int_equal(v.type, MOB_TYPE_BYTES);
		assert_true(mob_ref_equal(v.ref, r));
		assert_non_null(v.at);
		assert_int_equal((uintptr_t)v.at % (sizes[i] > 48 ? 64 : 16),
				 0);
		assert_true(filled(v.at, v.size, i));
		mob_view_release(s, &v);
		assert_null(v.at);
		/* A second release of the same view does nothing. */
		mob_view_release(s, &v);
		assert_ok(mob_object_release(s, r));
		assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
	}
}

static void test_put_too_large_store_full_and_nothing_left(void **state)
{
	struct mob_ref r = MOB_REF_NONE;
	void *at = NULL;

	(void)state;
	assert_int_equal(mob_object_create(s, 17 * MIB, 1, &r, &at),
			 MOB_E_STORE_FULL);
	assert_non_null(strstr(mob_err_detail(MOB_E_STORE_FULL), "16777216"));
	/* None of these wraps to something small. */
	for (uint64_t less = 0; less < 130; less++) {
		assert_int_equal(mob_object_create(s, UINT64_MAX - less, 1, &r,
						   &at),
				 MOB_E_STORE_FULL);
		assert_int_equal(mob_object_put(s, "", UINT64_MAX - less, 1,
						&r),
				 MOB_E_STORE_FULL);
	}
	assert_true(mob_ref_is_none(r));
	assert_null(at);
}

static void test_put_until_full_then_release_works_again(void **state)
{
	static struct mob_ref r[200];
	struct mob_ref none = MOB_REF_NONE;
	void *at = calloc(1, 200000);
	uint32_t n = 0;
	int rc = 0;

	(void)state;
	assert_non_null(at);
	for (int round = 0; round < 3; round++) {
		while (n < 200 &&
		       (rc = mob_object_put(s, at, 200000, 1, &r[n])) == 0) {
			n++;
		}
		assert_int_equal(rc, MOB_E_STORE_FULL);
		assert_true(n > 40);
		assert_int_equal(mob_object_put(s, at, 200000, 1, &none),
				 MOB_E_STORE_FULL);
		assert_true(mob_ref_is_none(none));
		while (n) {
			assert_ok(mob_object_release(s, r[--n]));
		}
	}
	free(at);
}

/* How full it is takes long to see where there are many objects: who tries again
 * and again is told what was seen last, unless that is too old. */
static void test_put_again_and_again_in_a_large_full_store(void **state)
{
	struct mob_store *large = store_new(NULL, 128 * MIB);
	struct mob_ref *r = calloc(128 * MIB / 300, sizeof(*r));
	const char at[300] = "x";
	uint64_t was = 0;
	uint64_t next = 0;
	uint32_t n = 0;

	(void)state;
	assert_non_null(r);
	while (mob_object_put(large, at, sizeof(at), 1, &r[n]) == 0) {
		n++;
	}
	assert_true(n > 300000);
	for (int i = 0; i < 20; i++) {
		struct mob_ref none;

		was = large->full.looked_ns;
		next = large->full.next_ns;
		assert_true(next > was);
		assert_int_equal(mob_object_put(large, at, sizeof(at), 1,
						&none),
				 MOB_E_STORE_FULL);
		assert_true(large->full.looked_ns == was ||
			    large->full.looked_ns >= next);
		assert_non_null(strstr(mob_err_detail(MOB_E_STORE_FULL), "block"
									 "s"));
	}
	large->full.next_ns = 0;
	while (n) {
		assert_ok(mob_object_release(large, r[--n]));
	}
	assert_int_equal(mob_object_put(large, at, GIB, 1, r),
			 MOB_E_STORE_FULL);
	assert_non_null(strstr(mob_err_detail(MOB_E_STORE_FULL), ": 0 of "));
	free(r);
	store_end(large);
}

static void test_put_ten_million_in_constant_slots(void **state)
{
	uint64_t n = SANITIZED ? 1000000 : 10000000;
	uint32_t used = 0;

	(void)state;
	for (uint64_t i = 0; i < n; i++) {
		struct mob_ref r;

		assert_ok(mob_object_put(s, &i, sizeof(i), 1, &r));
		assert_ok(mob_object_release(s, r));
		if (i == 1000) {
			used = mobi_pool_used(s, MOBI_POOL_SLOT);
		}
	}
	assert_int_equal(mobi_pool_used(s, MOBI_POOL_SLOT), used);
}

/* ---- pending ---- */

static void test_create_seal_in_steps(void **state)
{
	struct mob_ref r;
	struct mob_view v;
	void *at;

	(void)state;
	assert_ok(mob_object_create(s, 5000, 77, &r, &at));
	assert_int_equal((uintptr_t)at % 64, 0);
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_PENDING);
	assert_int_equal(mob_object_get(s, r, 0, &v), MOB_E_TIMEOUT);
	assert_int_equal(mob_object_get(s, r, 10000, &v), MOB_E_TIMEOUT);
	fill(at, 5000, 6);
	assert_ok(mob_object_seal(s, r));
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_SEALED);
	assert_int_equal(mob_object_seal(s, r), MOB_E_STATE);
	assert_non_null(strstr(mob_err_detail(MOB_E_STATE), "already"));
	assert_int_equal(mob_object_abort(s, r), MOB_E_STATE);
	assert_ok(mob_object_get(s, r, 0, &v));
	assert_int_equal(v.type, 77);
	assert_true(filled(v.at, v.size, 6));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_object_seal(s, r), MOB_E_BAD_REF);
	assert_int_equal(mob_object_abort(s, r), MOB_E_BAD_REF);
}

static void test_abort_get_cancelled(void **state)
{
	struct mob_ref r = make_pending(s);
	struct mob_view v;

	(void)state;
	assert_ok(mob_object_abort(s, r));
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_CANCELLED);
	assert_int_equal(mob_object_get(s, r, MOB_FOREVER, &v),
			 MOB_E_CANCELLED);
	assert_int_equal(mob_object_seal(s, r), MOB_E_STATE);
	assert_ok(mob_object_release(s, r));
}

/* Its maker writes still: it goes when that is over. */
static void test_release_pending_freed_at_seal(void **state)
{
	struct mob_ref r;
	struct mob_ref other;
	void *at;

	(void)state;
	assert_ok(mob_object_create(s, 5000, 1, &r, &at));
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_PENDING);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	other = put_filled(s, 5000, 1);
	fill(at, 5000, 2);
	assert_ok(mob_object_release(s, other));
	assert_ok(mob_object_seal(s, r));
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
}

static int seals_another(void *arg)
{
	const struct mob_ref *r = arg;
	struct mob_store *own = child_open(mob_store_name(s));

	return mob_object_seal(own, *r) == MOB_E_STATE &&
			       strstr(mob_err_detail(MOB_E_STATE), "another "
								   "process") &&
			       mob_object_abort(own, *r) == MOB_E_STATE ?
		       0 :
		       1;
}

static void test_seal_by_another_process_state(void **state)
{
	struct mob_ref r = make_pending(s);

	(void)state;
	assert_int_equal(child_result(child_start(seals_another, &r)), 0);
	while (mobi_reap(s) > 0) {
	}
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_PENDING);
	assert_ok(mob_object_seal(s, r));
	assert_ok(mob_object_release(s, r));
}

/* ---- refs ---- */

static void test_ref_of_another_session_bad_ref(void **state)
{
	struct mob_store *other = store_new(NULL, 4 * MIB);
	struct mob_ref r = put_filled(other, 8, 1);
	struct mob_ref out = MOB_REF_NONE;
	struct mob_view v;
	struct mob_cq *q;
	bool ready;

	(void)state;
	assert_ok(mob_cq_open(s, &q));
	assert_int_equal(mob_object_hold(s, r), MOB_E_BAD_REF);
	assert_int_equal(mob_object_release(s, r), MOB_E_BAD_REF);
	assert_int_equal(mob_object_get(s, r, 0, &v), MOB_E_BAD_REF);
	assert_int_equal(mob_object_seal(s, r), MOB_E_BAD_REF);
	assert_int_equal(mob_object_put_refs(s, &r, 1, &out), MOB_E_BAD_REF);
	assert_int_equal(mob_object_wait(s, &r, 1, 1, 0, &ready),
			 MOB_E_BAD_REF);
	assert_int_equal(mob_cq_add(q, r, 0), MOB_E_BAD_REF);
	assert_int_equal(mob_cq_outstanding(q), 0);
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
	assert_true(mob_ref_is_none(out));
	mob_cq_close(q);
	assert_ok(mob_object_release(other, r));
	store_end(other);
}

static void test_ref_made_up_bad_ref(void **state)
{
	struct mob_ref r = put_filled(s, 8, 1);
	struct mob_ref bad[6];

	(void)state;
	bad[0] = MOB_REF_NONE;
	bad[1] = (struct mob_ref){ r.hi | 1, r.lo };
	bad[2] = (struct mob_ref){ r.hi, r.lo | 0xffffffffu };
	bad[3] = (struct mob_ref){ r.hi, r.lo + (UINT64_C(1) << 32) };
	bad[4] = (struct mob_ref){ r.hi, r.lo + 1 };
	bad[5] = (struct mob_ref){ ~r.hi, ~r.lo };
	for (int i = 0; i < 6; i++) {
		struct mob_view v;

		assert_int_equal(mob_object_hold(s, bad[i]), MOB_E_BAD_REF);
		assert_int_equal(mob_object_release(s, bad[i]), MOB_E_BAD_REF);
		assert_int_equal(mob_object_get(s, bad[i], 0, &v),
				 MOB_E_BAD_REF);
		assert_int_equal(mob_object_state(s, bad[i]), MOB_OBJECT_GONE);
	}
	assert_ok(mob_object_release(s, r));
}

static void test_release_of_a_gone_one_spares_the_next(void **state)
{
	struct mob_ref old = put_filled(s, 8, 1);
	struct mob_ref next[64 * 3];
	bool seen = false;

	(void)state;
	assert_ok(mob_object_release(s, old));
	assert_int_equal(mob_object_release(s, old), MOB_E_BAD_REF);
	assert_int_equal(mob_object_hold(s, old), MOB_E_BAD_REF);
	for (int i = 0; i < 64 * 3; i++) {
		next[i] = put_filled(s, 8, 2);
		seen |= (uint32_t)next[i].lo == (uint32_t)old.lo;
	}
	assert_true(seen); /* its slot is used again */
	assert_int_equal(mob_object_release(s, old), MOB_E_BAD_REF);
	for (int i = 0; i < 64 * 3; i++) {
		assert_int_equal(mob_object_state(s, next[i]),
				 MOB_OBJECT_SEALED);
		assert_ok(mob_object_release(s, next[i]));
	}
}

static void test_holds_are_counted(void **state)
{
	struct mob_ref r = put_filled(s, 8, 1);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_ok(mob_object_hold(s, r));
	}
	assert_int_equal(mobi_slot_holds(s, (uint32_t)r.lo), 1001);
	for (int i = 0; i < 1000; i++) {
		assert_ok(mob_object_release(s, r));
	}
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_SEALED);
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
}

static void test_view_keeps_the_object(void **state)
{
	struct mob_ref r = put_filled(s, 6000, 3);
	struct mob_view v[2];

	(void)state;
	assert_ok(mob_object_get(s, r, 0, &v[0]));
	assert_ok(mob_object_get(s, r, 0, &v[1]));
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_object_release(s, r), MOB_E_BAD_REF);
	mob_view_release(s, &v[0]);
	assert_true(filled(v[1].at, v[1].size, 3));
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_SEALED);
	mob_view_release(s, &v[1]);
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
}

/* ---- views are read only ---- */

static int writes_a_view(void *arg)
{
	const struct mob_ref *r = arg;
	struct mob_store *own = child_open(mob_store_name(s));
	struct mob_view v;
	void *at;

	if (mob_object_get(own, *r, 0, &v) != 0) {
		return 1;
	}
	/* Without this a sanitizer would turn the signal into an exit. */
	(void)signal(SIGSEGV, SIG_DFL);
	memcpy(&at, &v.at, sizeof(at));
	*(volatile unsigned char *)at ^= 0xff;
	return 2;
}

static void view_write_faults(uint64_t size)
{
	struct mob_ref r = put_filled(s, size, 5);
	struct mob_view v;

	assert_int_equal(child_result(child_start(writes_a_view, &r)),
			 -SIGSEGV);
	while (mobi_reap(s) > 0) {
	}
	assert_ok(mob_object_get(s, r, 0, &v));
	assert_true(filled(v.at, v.size, 5));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
}

static void test_view_written_faults_bytes_unchanged(void **state)
{
	(void)state;
	view_write_faults(16);
	view_write_faults(5000);
	view_write_faults(2 * MIB);
}

/* ---- death of the maker ---- */

static int puts_and_stays(void *arg)
{
	struct cell *cell = arg;
	struct mob_store *own = child_open(mob_store_name(s));
	struct mob_ref inner = put_filled(own, 100000, 9);
	struct mob_ref outer;

	if (mob_object_put_refs(own, &inner, 1, &outer) != 0) {
		return 1;
	}
	cell_set(&cell[0], inner);
	cell_set(&cell[1], outer);
	for (;;) {
		(void)pause();
	}
}

static void test_sealed_bytes_survive_their_maker(void **state)
{
	struct cell *cell = shared_memory(2 * sizeof(*cell));
	struct mob_view v;
	pid_t pid = child_start(puts_and_stays, cell);
	struct mob_ref outer = cell_wait(&cell[1]);
	struct mob_ref inner = cell_ref(&cell[0]);

	(void)state;
	assert_ok(mob_object_hold(s, outer));
	child_kill(pid);
	reap_until(s, MOBI_BIT(s->me));
	/* The inner one by the outer one. */
	assert_ok(mob_object_get(s, inner, 0, &v));
	assert_true(filled(v.at, v.size, 9));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, outer));
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_GONE);
	assert_int_equal(munmap(cell, 2 * sizeof(*cell)), 0);
}

/* ---- looking ---- */

static void test_stat_counts(void **state)
{
	struct mob_ref r = put_filled(s, 100000, 1);
	struct mob_ref p = make_pending(s);
	struct mob_store_stat st;

	(void)state;
	assert_ok(mob_store_sync(s));
	assert_ok(mob_store_stat(s, &st));
	assert_int_equal(st.arena_bytes, 16 * MIB);
	assert_true(st.arena_used_bytes >= 100000);
	assert_true(st.arena_backed_bytes >= st.arena_used_bytes);
	assert_int_equal(st.objects, 2);
	assert_int_equal(st.objects_pending, 1);
	assert_int_equal(st.clients, 1);
	assert_ok(mob_object_release(s, r));
	assert_ok(mob_object_abort(s, p));
	assert_ok(mob_object_release(s, p));
	assert_ok(mob_store_stat(s, &st));
	assert_int_equal(st.objects, 0);
	assert_int_equal(st.arena_used_bytes, 0);
}

struct listed {
	struct mob_ref ref;
	int n;
	bool good;
};

static int look(const struct mob_object_info *info, void *arg)
{
	struct listed *l = arg;

	l->n++;
	if (mob_ref_equal(info->ref, l->ref)) {
		l->good = info->size == 777 && info->type == 42 &&
			  info->state == MOB_OBJECT_SEALED;
	}
	return 0;
}

static int stop_at_once(const struct mob_object_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 5;
}

static void test_list_what_was_sealed_before_the_sync(void **state)
{
	unsigned char at[777] = { 1 };
	struct listed l = { MOB_REF_NONE, 0, false };
	uint64_t lag;
	struct mob_ref other = put_filled(s, 8, 1);

	(void)state;
	assert_ok(mob_object_put(s, at, sizeof(at), 42, &l.ref));
	assert_ok(mob_store_sync(s));
	assert_int_equal(mob_store_list(s, look, &l, &lag), 0);
	assert_int_equal(l.n, 2);
	assert_true(l.good);
	assert_int_equal(mob_store_list(s, stop_at_once, NULL, NULL), 5);
	assert_ok(mob_object_release(s, l.ref));
	assert_ok(mob_object_release(s, other));
	assert_ok(mob_store_sync(s));
	l.n = 0;
	assert_int_equal(mob_store_list(s, look, &l, &lag), 0);
	assert_int_equal(l.n, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_put_any_size_is_what_get_gives),
		TEST(test_put_too_large_store_full_and_nothing_left),
		TEST(test_put_until_full_then_release_works_again),
		TEST(test_put_again_and_again_in_a_large_full_store),
		TEST(test_put_ten_million_in_constant_slots),
		TEST(test_create_seal_in_steps),
		TEST(test_abort_get_cancelled),
		TEST(test_release_pending_freed_at_seal),
		TEST(test_seal_by_another_process_state),
		TEST(test_ref_of_another_session_bad_ref),
		TEST(test_ref_made_up_bad_ref),
		TEST(test_release_of_a_gone_one_spares_the_next),
		TEST(test_holds_are_counted),
		TEST(test_view_keeps_the_object),
		TEST(test_view_written_faults_bytes_unchanged),
		TEST(test_sealed_bytes_survive_their_maker),
		TEST(test_stat_counts),
		TEST(test_list_what_was_sealed_before_the_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
