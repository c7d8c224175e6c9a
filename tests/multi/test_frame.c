/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns a ref: frames, scopes, kept refs, queues, spaces, and no leaks. */
#include "live.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

MOB_TASK(int64_t, f_add, int64_t, a, int64_t, b)
{
	return a + b;
}

MOB_TASK(uint64_t, f_len, mob_bytes, b)
{
	return b.n;
}

MOB_TASK(mob_i32s, f_numbers, int32_t, n)
{
	int32_t *v = mob_new_of(mob_i32s, (size_t)n);

	for (int32_t i = 0; v && i < n; i++) {
		v[i] = i;
	}
	return mob_i32s_of(v, (size_t)n);
}

static enum mob_object_state state_of(mob_ref r)
{
	return mob_object_state(mobi_rt.store, r);
}

static bool is_gone(void *arg)
{
	const mob_ref *r = arg;

	return state_of(*r) == MOB_OBJECT_GONE;
}

static void test_frame_scope_releases_what_was_made_in_it(void **state)
{
	mob_ref in = MOB_REF_NONE;
	mob_ref out = mob_put(1);

	(void)state;
	MOB_SCOPE
	{
		in = mob_put("inside");
		MOB_SCOPE
		{
			(void)mob_put("further inside");
		}
		assert_int_equal(state_of(in), MOB_OBJECT_SEALED);
	}
	assert_int_equal(state_of(in), MOB_OBJECT_GONE);
	assert_int_equal(state_of(out), MOB_OBJECT_SEALED);
	assert_int_equal(live_objects(), 1);
}

static mob_ref leave_by(int how)
{
	mob_ref r = MOB_REF_NONE;

	for (int i = 0; i < 3; i++) {
		MOB_SCOPE
		{
			r = mob_put(i);
			if (how == 0) {
				break;
			}
			if (how == 1) {
				return r;
			}
			if (how == 2) {
				goto out;
			}
			continue;
		}
	}
out:
	return r;
}

static void test_frame_scope_ends_however_it_is_left(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++) {
		assert_int_equal(state_of(leave_by(how)), MOB_OBJECT_GONE);
		assert_int_equal(live_objects(), 0);
	}
}

static void test_frame_outer_scope_closed_first_ends_inner_ones(void **state)
{
	struct mob_scope a = mob_scope_open();
	struct mob_scope b = mob_scope_open();
	mob_ref r = mob_put(5);

	(void)state;
	mob_scope_close(&a);
	assert_int_equal(state_of(r), MOB_OBJECT_GONE);
	mob_scope_close(&b); /* gone already */
	mob_scope_close(&b);
	r = mob_put(6);
	assert_int_equal(state_of(r), MOB_OBJECT_SEALED);
}

static void test_frame_release_twice_is_an_error(void **state)
{
	mob_ref r = mob_put("once");

	(void)state;
	assert_int_equal(mob_release(r), 0);
	assert_int_equal(state_of(r), MOB_OBJECT_GONE);
	assert_int_equal(mob_release(r), MOB_E_BAD_REF);
	assert_int_equal(mob_error_code(), MOB_E_BAD_REF);
	mob_error_clear();
	assert_int_equal(mob_release(MOB_REF_NONE), MOB_E_BAD_REF);
	mob_error_clear();
}

static void test_frame_has_a_ref_once_however_often_it_came(void **state)
{
	mob_ref outer;
	mob_ref inner = mob_put(9);
	mob_ref back;
	int x;

	(void)state;
	outer = mob_put(inner);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(mob_get(outer, &back), 0);
		assert_true(mob_ref_equal(back, inner));
	}
	assert_int_equal(mob_release(outer), 0);
	assert_int_equal(mob_get(inner, &x), 0);
	assert_int_equal(mob_release(inner), 0);
	assert_int_equal(state_of(inner), MOB_OBJECT_GONE);
}

static void test_frame_kept_ref_outlives_scope_and_thread(void **state)
{
	const char *text = NULL;
	mob_ref r = MOB_REF_NONE;

	(void)state;
	MOB_SCOPE
	{
		r = mob_put("a text that is longer than what fits in a slot of "
			    "the table of objects");
		assert_int_equal(mob_get(r, &text), 0);
		assert_int_equal(mob_keep(r), 0);
	}
	/* With its view. */
	assert_int_equal(strncmp(text, "a text that", 11), 0);
	assert_int_equal(mob_release(r), 0);
	assert_int_equal(state_of(r), MOB_OBJECT_GONE);
}

static void test_frame_keep_counts_and_ends_one_by_one(void **state)
{
	mob_ref r[100];

	(void)state;
	MOB_SCOPE
	{
		for (int i = 0; i < 100; i++) {
			r[i] = mob_put((int64_t)i);
			assert_int_equal(mob_keep(r[i]), 0);
			assert_int_equal(mob_keep(r[i]), 0);
		}
	}
	for (int i = 0; i < 100; i++) {
		assert_int_equal(mob_release(r[i]), 0);
		assert_int_equal(state_of(r[i]), MOB_OBJECT_SEALED);
	}
	for (int i = 99; i >= 0; i--) {
		assert_int_equal(mob_release(r[i]), 0);
		assert_int_equal(state_of(r[i]), MOB_OBJECT_GONE);
		assert_int_equal(mob_release(r[i]), MOB_E_BAD_REF);
		mob_error_clear();
	}
	/* The places that were counted in are used again. */
	MOB_SCOPE
	{
		for (int i = 0; i < 100; i++) {
			r[i] = mob_put((int64_t)i);
			assert_int_equal(mob_keep(r[i]), 0);
		}
	}
	for (int i = 0; i < 100; i++) {
		assert_int_equal(mob_release(r[i]), 0);
		assert_int_equal(state_of(r[i]), MOB_OBJECT_GONE);
	}
}

/* What comes once more is given back once more: nobody ends what another keeps. */
static void test_frame_kept_ref_that_comes_again_stays_kept(void **state)
{
	const char *kept_text;
	const char *text;
	mob_ref r = mob_put("a text that is longer than what fits in a slot of "
			    "the table of objects");
	mob_ref outer = mob_put(r);
	mob_ref back;

	(void)state;
	assert_int_equal(mob_keep(r), 0);
	assert_int_equal(mob_get(r, &kept_text), 0);
	for (int i = 0; i < 2; i++) {
		MOB_SCOPE
		{
			assert_int_equal(mob_get(outer, &back), 0);
			assert_int_equal(mob_get(back, &text), 0);
			if (i) {
				assert_int_equal(mob_release(back), 0);
			}
		}
	}
	assert_int_equal(mob_release(outer), 0);
	assert_int_equal(state_of(r), MOB_OBJECT_SEALED);
	assert_int_equal(strncmp(kept_text, "a text that", 11), 0);
	/* While a frame has it, too, it takes two. */
	outer = mob_put(r);
	assert_int_equal(mob_get(outer, &back), 0);
	assert_int_equal(mob_release(outer), 0);
	assert_int_equal(mob_release(r), 0);
	assert_int_equal(state_of(r), MOB_OBJECT_SEALED);
	assert_int_equal(mob_release(r), 0);
	assert_int_equal(state_of(r), MOB_OBJECT_GONE);
}

static void *release_it(void *arg)
{
	mob_ref *r = arg;
	int64_t x = 0;

	(void)mob_get(*r, &x);
	if (mob_release(*r) == 0) {
		*r = MOB_REF_NONE;
	}
	return (void *)(intptr_t)x;
}

static void test_frame_kept_ref_may_be_released_by_another_thread(void **state)
{
	mob_ref r = mob_put(INT64_C(44));
	mob_ref mine = mob_put(INT64_C(45));
	pthread_t t;
	void *x;

	(void)state;
	assert_int_equal(mob_keep(r), 0);
	assert_int_equal(pthread_create(&t, NULL, release_it, &r), 0);
	assert_int_equal(pthread_join(t, &x), 0);
	assert_int_equal((intptr_t)x, 44);
	assert_true(mob_ref_is_none(r));
	/* One that is in this thread's frame is not the other thread's. */
	assert_int_equal(pthread_create(&t, NULL, release_it, &mine), 0);
	assert_int_equal(pthread_join(t, &x), 0);
	assert_int_equal((intptr_t)x, 45);
	assert_false(mob_ref_is_none(mine));
	assert_int_equal(mob_release(mine), 0);
}

static void test_frame_take_reads_and_releases_errors_too(void **state)
{
	mob_ref r = mob_put(INT64_C(3));
	int64_t x;

	(void)state;
	assert_int_equal(mob_take(r, &x), 0);
	assert_int_equal(x, 3);
	assert_int_equal(mob_take(r, &x), MOB_E_BAD_REF);
	assert_int_equal(x, 0);
	mob_error_clear();
}

static void test_frame_view_of_released_ref_ends_with_it(void **state)
{
	mob_ref r = mob_submit(f_numbers, 1000);
	mob_i32s v;

	(void)state;
	assert_int_equal(mob_get(r, &v), 0);
	assert_int_equal(v.at[999], 999);
	assert_int_equal(mob_get(r, &v), 0);
	assert_int_equal(mob_release(r), 0);
	/* Its task may still be about to let go of it. */
	assert_true(live_await(is_gone, &r));
}

static uint64_t view_bits(mob_ref r)
{
	return mobi_load(&mobi_rt.store->slots[(uint32_t)r.lo].view);
}

static void test_frame_get_all_that_fails_leaves_no_view(void **state)
{
	mob_ref r[3];
	int64_t one = 1;
	mob_i64s v;
	mob_i64s all[3];

	(void)state;
	r[0] = mob_put(mob_i64s_of(&one, 1));
	r[1] = mob_put(mob_i64s_of(&one, 1));
	r[2] = mob_put(2.0);
	assert_int_equal(mob_get(r[1], &v), 0);
	assert_int_equal(mob_get_all(r, 3, all), MOB_E_TYPE);
	mob_error_clear();
	assert_null(all[0].at);
	/* But the one that was there before stays. */
	assert_int_equal(view_bits(r[0]), 0);
	assert_int_not_equal(view_bits(r[1]), 0);
	assert_int_equal(v.at[0], 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(mob_release(r[i]), 0);
	}
}

static void test_semantics_9_view_cannot_be_written(void **state)
{
	mob_ref r = mob_submit(f_numbers, 1000);
	mob_i32s v;
	mob_i32s again;
	int status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(mob_get(r, &v), 0);
	/* No copy of it. */
	assert_int_equal(mob_get(r, &again), 0);
	assert_ptr_equal(again.at, v.at);
	pid = fork();
	if (pid == 0) {
		int32_t *p;

		(void)signal(SIGSEGV, SIG_DFL);
		(void)signal(SIGBUS, SIG_DFL);
		memcpy(&p, &v.at, sizeof(p));
		p[1] = 5;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* A sanitizer reports the signal and exits. */
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
	assert_int_equal(v.at[1], 1);
}

/* ---- borrowed refs ---- */

MOB_TASK(int64_t, f_borrows, mob_refs, xs)
{
	int64_t sum = 0;

	for (size_t i = 0; i < xs.n; i++) {
		int64_t x;

		if (mob_get(xs.at[i], &x)) {
			return -1;
		}
		sum += x;
	}
	return sum;
}

MOB_TASK(mob_ref, f_keeps_argument, mob_refs, xs)
{
	if (mob_keep(xs.at[0])) {
		return MOB_REF_NONE;
	}
	/* Its hold is this process's now: give it back at once. */
	(void)mob_release(xs.at[0]);
	return xs.at[0];
}

MOB_TASK(int64_t, f_releases_argument, mob_refs, xs)
{
	int rc = mob_release(xs.at[0]);

	mob_error_clear();
	return rc;
}

static void test_frame_borrowed_refs_are_good_until_the_task_ends(void **state)
{
	mob_ref xs[40];
	int64_t x;

	(void)state;
	MOB_SCOPE
	{
		mob_ref r;
		mob_ref got = MOB_REF_NONE;

		for (int i = 0; i < 40; i++) {
			xs[i] = mob_submit(f_add, i, 0);
		}
		r = mob_submit(f_borrows, mob_refs_of(xs, 40));
		for (int i = 1; i < 40; i++) {
			/* Only the task's edges keep them from here on. */
			assert_int_equal(mob_release(xs[i]), 0);
		}
		assert_int_equal(mob_get(r, &x), 0);
		assert_int_equal(x, 780);
		r = mob_submit(f_keeps_argument, mob_refs_of(xs, 1));
		assert_int_equal(mob_get(r, &got), 0);
		assert_true(mob_ref_equal(got, xs[0]));
		r = mob_submit(f_releases_argument, mob_refs_of(xs, 1));
		assert_int_equal(mob_get(r, &x), 0);
		assert_int_equal(x, MOB_E_BAD_REF);
	}
}

/* ---- spaces ---- */

MOB_TASK(mob_bytes, f_cut, uint64_t, space, uint64_t, used)
{
	char *p = mob_new(space);

	if (p) {
		memset(p, 7, used);
	}
	(void)mob_new(100); /* goes with the frame */
	return mob_bytes_of(p, used);
}

MOB_TASK(mob_str, f_text, uint64_t, n)
{
	char *p = mob_new(n + 1);

	if (p) {
		memset(p, 'x', n);
		p[n] = 0;
	}
	return p ? p : "";
}

MOB_TASK(mob_bytes, f_too_long, void)
{
	char *p = mob_new(64);

	return mob_bytes_of(p, 65);
}

static void test_frame_result_in_place_is_cut_to_its_span(void **state)
{
	static const uint64_t n[] = { 0, 1, 47, 48, 49, 4096, 100000 };
	mob_bytes b;
	const char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
		assert_int_equal(mob_get(mob_submit(f_cut, n[i] + i, n[i]), &b),
				 0);
		assert_int_equal(b.n, n[i]);
		for (size_t k = 0; k < b.n; k++) {
			assert_int_equal(((const char *)b.at)[k], 7);
		}
		assert_int_equal(mob_get(mob_submit(f_text, n[i]), &text), 0);
		assert_int_equal(strlen(text), n[i]);
	}
	assert_int_equal(mob_get(mob_submit(f_too_long), &b), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "65 bytes"));
	mob_error_clear();
}

static void test_frame_seal_makes_the_space_an_object(void **state)
{
	int32_t *v = mob_new_of(mob_i32s, 1000);
	void *other = mob_new(10);
	int32_t local[4] = { 0 };
	mob_i32s back;
	mob_ref r;

	(void)state;
	assert_non_null(v);
	assert_int_equal((uintptr_t)v % 64, 0);
	assert_int_equal((uintptr_t)other % 64, 0);
	for (int i = 0; i < 1000; i++) {
		v[i] = -i;
	}
	r = mob_seal(mob_i32s_of(v, 900));
	assert_int_equal(mob_get(r, &back), 0);
	assert_true(back.n == 900 && back.at[899] == -899);
	assert_int_equal(v[1], -1); /* reading it is fine */
	/* It is no space any more, and a part of one never was. */
	assert_int_equal(mob_get(mob_seal(mob_i32s_of(v, 10)), &back),
			 MOB_E_INVAL);
	mob_error_clear();
	assert_int_equal(mob_get(mob_seal(mob_i32s_of(local, 4)), &back),
			 MOB_E_INVAL);
	mob_error_clear();
	assert_int_equal(mob_get(mob_seal(mob_bytes_of(other, 11)), &back),
			 MOB_E_INVAL);
	mob_error_clear();
	v = mob_new_of(mob_i32s, 0);
	assert_non_null(v);
	assert_int_equal(mob_get(mob_seal(mob_i32s_of(v, 0)), &back), 0);
	assert_int_equal(back.n, 0);
}

static void test_frame_new_that_has_no_room_says_so(void **state)
{
	(void)state;
	assert_null(mob_new((size_t)1 << 40));
	assert_int_equal(mob_error_code(), MOB_E_STORE_FULL);
	mob_error_clear();
	assert_null(mob_new_of(mob_i64s, SIZE_MAX / 4));
	assert_int_equal(mob_error_code(), MOB_E_STORE_FULL);
	mob_error_clear();
	/* As does a put, and the store is as before. */
	MOB_SCOPE
	{
		static char big[1 << 20];
		mob_ref r = MOB_REF_NONE;
		mob_bytes b;
		int n = 0;

		for (; n < 100; n++) {
			r = mob_put_bytes(big, sizeof(big));
			if (mob_get(r, &b)) {
				break;
			}
		}
		/* All of the 64 MiB, if no small block has a unit of them. */
		if (n <= 20 || n > 64) {
			fail_msg("%d: %s", n, mob_error());
		}
		assert_int_equal(mob_error_code(), MOB_E_STORE_FULL);
		mob_error_clear();
		assert_int_equal(b.n, 0);
	}
	assert_non_null(mob_new(20 << 20));
}

/* As many as there is room for: to the last byte. */
static int fill_with(size_t size)
{
	static char bytes[1 << 20];
	int n = 0;
	mob_bytes b;

	while (!mob_get(mob_put_bytes(bytes, size), &b)) {
		n++;
	}
	return n;
}

/* The text of an error is a block, too, and there is none. */
static void test_frame_error_in_a_full_store_has_a_text(void **state)
{
	(void)state;
	MOB_SCOPE
	{
		(void)fill_with(1 << 20);
		(void)fill_with(64 << 10);
		(void)fill_with(4096);
		/* Each size that an error with its text may have. */
		for (size_t n = 1024; n >= 64; n -= 64) {
			mob_error_clear();
			(void)fill_with(n);
			assert_int_equal(mob_error_code(), MOB_E_STORE_FULL);
		}
		assert_non_null(strstr(mob_error(), "no room for its text"));
		mob_error_clear();
	}
}

/* ---- queues ---- */

static void test_frame_queue_owns_what_is_in_it(void **state)
{
	struct mob_queue *q;
	mob_ref kept;
	mob_ref r[3];
	mob_ref got;
	uint64_t tag;
	int64_t x;

	(void)state;
	assert_int_equal(mob_queue_open(&q), 0);
	kept = mob_put(INT64_C(100));
	assert_int_equal(mob_keep(kept), 0);
	MOB_SCOPE
	{
		for (int i = 0; i < 3; i++) {
			r[i] = mob_submit(f_add, i, 10);
			assert_int_equal(mob_queue_add(q, r[i], 7), 0);
			/* It is not in the frame any more. */
			assert_int_equal(mob_release(r[i]), MOB_E_BAD_REF);
			mob_error_clear();
		}
		assert_int_equal(mob_queue_add(q, kept, 8), 0);
	}
	assert_int_equal(mob_queue_outstanding(q), 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &got, &tag), 1);
		assert_int_equal(mob_take(got, &x), 0);
		assert_true(tag == 8 ? x == 100 : x >= 10 && x < 13);
	}
	assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &got, NULL), 0);
	/* The kept one stayed kept. */
	assert_int_equal(mob_get(kept, &x), 0);
	assert_int_equal(mob_release(kept), 0);
	assert_int_equal(state_of(kept), MOB_OBJECT_GONE);
	/* Closing releases what is left. */
	assert_int_equal(mob_queue_add(q, mob_put(1), 0), 0);
	assert_int_equal(mob_queue_add(q, mob_submit(f_add, 1, 1), 0), 0);
	mob_queue_close(q);
	mob_queue_close(NULL);
}

static void test_frame_queue_refuses_what_is_no_ref(void **state)
{
	struct mob_queue *q;
	mob_ref r = mob_put(3);

	(void)state;
	assert_int_equal(mob_queue_open(&q), 0);
	assert_int_equal(mob_release(r), 0);
	assert_int_equal(mob_queue_add(q, r, 0), MOB_E_BAD_REF);
	assert_int_equal(mob_queue_add(q, MOB_REF_NONE, 0), MOB_E_BAD_REF);
	mob_error_clear();
	assert_int_equal(mob_queue_pop(q, -5, &r, NULL), MOB_E_INVAL);
	mob_error_clear();
	mob_queue_close(q);
}

static void test_frame_queue_too_many_is_a_limit(void **state)
{
	struct mob_queue *q[300];
	int n = 0;
	int rc = 0;

	(void)state;
	while (n < 300 && (rc = mob_queue_open(&q[n])) == 0) {
		n++;
	}
	assert_int_equal(rc, MOB_E_LIMIT);
	assert_int_equal(n, 256);
	mob_error_clear();
	while (n) {
		mob_queue_close(q[--n]);
	}
}

static void
test_frame_queue_fd_is_readable_when_something_is_there(void **state)
{
	struct mob_queue *q;
	struct pollfd p = { .events = POLLIN };
	int n = 0;

	(void)state;
	assert_int_equal(mob_queue_open(&q), 0);
	p.fd = mob_queue_fd(q);
	assert_true(p.fd >= 0);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(mob_queue_add(q, mob_submit(f_add, i, 0), 0),
				 0);
	}
	while (n < 200) {
		mob_ref r;
		int rc;

		assert_int_equal(poll(&p, 1, 60000), 1);
		while ((rc = mob_queue_pop(q, 0, &r, NULL)) == 1) {
			assert_int_equal(mob_release(r), 0);
			n++;
		}
		assert_true(rc == 0 || rc == MOB_E_TIMEOUT);
	}
	mob_queue_close(q);
}

/* ---- loops ---- */

/* A million of each in the memory of a few. */
static void test_frame_loops_without_end_run_in_constant_memory(void **state)
{
	long n = (long)test_count("MOB_TEST_LOOPS", 1000000 / LIVE_SLOW,
				  10000000);
	struct mob_queue *q;
	uint32_t used = 0;
	int64_t x;

	(void)state;
	assert_int_equal(mob_queue_open(&q), 0);
	for (long i = 0; i < n; i++) {
		assert_int_equal(mob_take(mob_put((int64_t)i), &x), 0);
		assert_int_equal(x, i);
		if (i == 2000) {
			used = live_slots_used();
		}
	}
	assert_true(live_slots_used() <= used + 64);
	for (long i = 0; i < n / 10; i++) {
		mob_ref got;

		assert_int_equal(mob_queue_add(q, mob_submit(f_add, i, 1), 0),
				 0);
		if (i >= 100) {
			assert_int_equal(
				mob_queue_pop(q, MOB_FOREVER, &got, NULL), 1);
			assert_int_equal(mob_take(got, &x), 0);
		}
		if (i == 3000) {
			used = live_slots_used();
		}
	}
	assert_true(live_slots_used() <= used + 128);
	mob_queue_close(q);
	for (long i = 0; i < n / 10; i++) {
		MOB_SCOPE
		{
			mob_ref cut = mob_submit(f_cut, 200, 100);
			uint64_t len;

			assert_int_equal(mob_get(mob_submit(f_len, cut), &len),
					 0);
			assert_int_equal(len, 100);
		}
	}
	assert_true(live_slots_used() <= used + 128);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_frame_scope_releases_what_was_made_in_it),
		T(test_frame_scope_ends_however_it_is_left),
		T(test_frame_outer_scope_closed_first_ends_inner_ones),
		T(test_frame_release_twice_is_an_error),
		T(test_frame_has_a_ref_once_however_often_it_came),
		T(test_frame_kept_ref_outlives_scope_and_thread),
		T(test_frame_keep_counts_and_ends_one_by_one),
		T(test_frame_kept_ref_that_comes_again_stays_kept),
		T(test_frame_kept_ref_may_be_released_by_another_thread),
		T(test_frame_take_reads_and_releases_errors_too),
		T(test_frame_view_of_released_ref_ends_with_it),
		T(test_semantics_9_view_cannot_be_written),
		T(test_frame_get_all_that_fails_leaves_no_view),
		T(test_frame_borrowed_refs_are_good_until_the_task_ends),
		T(test_frame_result_in_place_is_cut_to_its_span),
		T(test_frame_seal_makes_the_space_an_object),
		T(test_frame_new_that_has_no_room_says_so),
		T(test_frame_error_in_a_full_store_has_a_text),
		T(test_frame_queue_owns_what_is_in_it),
		T(test_frame_queue_refuses_what_is_no_ref),
		T(test_frame_queue_too_many_is_a_limit),
		T(test_frame_queue_fd_is_readable_when_something_is_there),
		T(test_frame_loops_without_end_run_in_constant_memory),
	};

	return cmocka_run_group_tests(tests, live_start_two, NULL);
}
