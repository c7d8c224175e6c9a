/* SPDX-License-Identifier: Apache-2.0 */
/* The same large bytes given to call after call are one object, and are told. */
#define _GNU_SOURCE
#include "live.h"

#include "repeat.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES ((size_t)1 << 20)
#define CALLS 40

static unsigned char bytes[BYTES];
static struct live_ledger ledger;

MOB_TASK(int64_t, r_gate, mob_str, path)
{
	while (!live_ledger_get(path, 0)) {
		(void)sched_yield();
	}
	return 0;
}

/* Sum of all bytes. */
MOB_TASK(int64_t, r_sum, int64_t, after, mob_bytes, b)
{
	const unsigned char *p = b.at;
	int64_t sum = after;

	for (size_t i = 0; i < b.n; i++) {
		sum += p[i];
	}
	return sum;
}

static int64_t sum_now(size_t n)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		sum += bytes[i];
	}
	return sum;
}

static uint64_t repeated(void)
{
	return mobi_load(&mobi_rt.sched->repeated);
}

/* Calls that wait for a gate, so that all are there at the same time. */
static mob_ref shut(void)
{
	ledger.at[0] = 0;
	return mob_submit(r_gate, ledger.path);
}

static void expect_sums(const mob_ref *refs, size_t n, int64_t want)
{
	ledger.at[0] = 1;
	for (size_t i = 0; i < n; i++) {
		int64_t x;

		assert_int_equal(mob_get(refs[i], &x), 0);
		assert_int_equal(x, want);
	}
}

static void test_repeat_same_bytes_are_put_once(void **state)
{
	uint64_t had = repeated();
	uint64_t before;
	mob_ref refs[CALLS];
	mob_ref gate = shut();

	(void)state;
	memset(bytes, 3, BYTES);
	before = live_used_bytes();
	for (int i = 0; i < CALLS; i++) {
		refs[i] = mob_submit(r_sum, gate, mob_bytes_of(bytes, BYTES));
	}
	assert_true(live_used_bytes() - before < 2 * BYTES);
	assert_int_equal(repeated() - had, CALLS - 1);
	expect_sums(refs, CALLS, 3 * (int64_t)BYTES);
}

/* A loop that fills one buffer anew: each call has what was there then. */
static void test_repeat_other_bytes_in_the_same_memory(void **state)
{
	uint64_t had = repeated();
	int64_t want[16];
	mob_ref refs[16];
	mob_ref gate = shut();

	(void)state;
	memset(bytes, 0, BYTES);
	for (size_t i = 0; i < 16; i++) {
		/* Sometimes the first byte is another, sometimes the last. */
		bytes[i % 2 ? BYTES - 1 : i] = (unsigned char)(i + 1);
		want[i] = sum_now(BYTES);
		refs[i] = mob_submit(r_sum, gate, mob_bytes_of(bytes, BYTES));
	}
	assert_int_equal(repeated(), had);
	for (size_t i = 0; i < 16; i++) {
		expect_sums(&refs[i], 1, want[i]);
	}
}

/* A shorter span of it is another value, and a small one is not looked at. */
static void test_repeat_other_lengths(void **state)
{
	uint64_t had = repeated();
	mob_ref refs[4];
	mob_ref gate = shut();
	size_t n[4] = { BYTES, BYTES - 1, MOBI_REPEAT_BYTES - 1,
			MOBI_REPEAT_BYTES - 1 };

	(void)state;
	memset(bytes, 5, BYTES);
	for (int i = 0; i < 4; i++) {
		refs[i] = mob_submit(r_sum, gate, mob_bytes_of(bytes, n[i]));
	}
	assert_int_equal(repeated(), had);
	for (int i = 0; i < 4; i++) {
		expect_sums(&refs[i], 1, 5 * (int64_t)n[i]);
	}
}

/* Of what is another each time nothing is kept: what no call needs any more is gone. */
static void test_repeat_keeps_nothing(void **state)
{
	(void)state;
	memset(bytes, 1, BYTES);
	/* Of a store of 64 MiB. */
	for (int i = 0; i < 200; i++) {
		int64_t x;

		MOB_SCOPE
		{
			mob_ref r = mob_submit(r_sum, 0,
					       mob_bytes_of(bytes, BYTES));

			bytes[i] = 2; /* another each time */
			assert_int_equal(mob_get(r, &x), 0);
			assert_int_equal(x, (int64_t)BYTES + i);
		}
	}
}

static void sum_ends(int64_t want)
{
	MOB_SCOPE
	{
		int64_t x;

		assert_int_equal(mob_get(mob_submit(r_sum, 0,
						    mob_bytes_of(bytes, BYTES)),
					 &x),
				 0);
		assert_int_equal(x, want);
	}
}

/* Nobody needs it between two calls. What is held for that is given up for others. */
static void test_repeat_one_call_after_the_other(void **state)
{
	uint64_t before = repeated();
	mob_bytes b;
	int n = 0;

	(void)state;
	memset(bytes, 3, BYTES);
	for (int i = 0; i < CALLS; i++) {
		sum_ends(3 * (int64_t)BYTES);
	}
	assert_in_range(repeated() - before, CALLS - 3, CALLS - 1);
	bytes[7] = 4;
	sum_ends(3 * (int64_t)BYTES + 1);
	assert_false(mobi_repeat_drop());
	for (int i = 0; i < 3; i++) {
		sum_ends(3 * (int64_t)BYTES + 1);
	}
	MOB_SCOPE
	{
		for (; n < 100 && !mob_get(mob_put_bytes(bytes, BYTES), &b);
		     n++) {
		}
		assert_int_equal(mob_error_code(), MOB_E_STORE_FULL);
		mob_error_clear();
	}
	assert_in_range(n, 20, 64);
	assert_false(mobi_repeat_drop());
	sum_ends(3 * (int64_t)BYTES + 1);
	(void)mobi_repeat_drop();
}

/* Each byte of the store, but for what is held. */
static size_t fill_store(mob_ref *out_refs, size_t max)
{
	size_t n = 0;

	for (size_t size = BYTES; size >= 64 && n < max; size /= 2) {
		void *at;

		while (n < max &&
		       mob_object_create(mobi_rt.store, size, MOB_TYPE_BYTES,
					 &out_refs[n], &at) == 0) {
			assert_int_equal(
				mob_object_seal(mobi_rt.store, out_refs[n]), 0);
			n++;
		}
	}
	return n;
}

MOB_TASK(void, r_turns, int64_t, lo, int64_t, hi, mob_str, path)
{
	for (int64_t i = lo; i < hi; i++) {
		(void)live_ledger_add(path, 1);
	}
}

MOB_TASK(uint64_t, r_length, mob_str, text)
{
	return strlen(text);
}

static void loop_has_room(void)
{
	ledger.at[1] = 0;
	assert_int_equal(mob_for(r_turns, 0, 10, ledger.path), 0);
	assert_int_equal(ledger.at[1], 10);
}

/* Too long for the record of the task. */
#define TEXT 2000

static void arguments_have_room(void)
{
	static char long_text[TEXT + 1];
	uint64_t n = 0;

	memset(long_text, 'x', TEXT);
	assert_int_equal(mob_take(mob_submit(r_length, long_text), &n), 0);
	assert_int_equal(n, TEXT);
}

static void graph_has_room(void)
{
	struct mob_graph *g;
	uint64_t n = 0;
	mob_ref r;

	assert_int_equal(mob_capture_begin(&g), 0);
	r = mob_submit(r_length, "four");
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_run(g), 0);
	assert_int_equal(mob_graph_get(g, r, &n), 0);
	assert_int_equal(n, 4);
	mob_graph_close(g);
}

/* What a driver makes besides values: the objects of a loop, of long arguments, of a
 * graph. */
static void test_repeat_gives_room_to_all_else(void **state)
{
	static void (*const makes[])(
		void) = { loop_has_room, arguments_have_room, graph_has_room };
	static mob_ref refs[4096];

	(void)state;
	for (size_t k = 0; k < sizeof(makes) / sizeof(makes[0]); k++) {
		size_t n;

		memset(bytes, 5 + (int)k, BYTES);
		for (int i = 0; i < 4; i++) {
			sum_ends((5 + (int64_t)k) * (int64_t)BYTES);
			/* Who runs it views the bytes until it is over. */
			assert_true(live_await_tasks(0));
		}
		n = fill_store(refs, 4096);
		assert_in_range(n, 1, 4095);
		makes[k]();
		assert_false(mobi_repeat_drop());
		while (n) {
			assert_int_equal(mob_object_release(mobi_rt.store,
							    refs[--n]),
					 0);
		}
	}
}

struct submitter {
	mob_ref gate;
	mob_ref *refs;
	pthread_barrier_t *start;
	int bad;
};

static void *submit_some(void *arg)
{
	struct submitter *s = arg;

	(void)pthread_barrier_wait(s->start);
	for (int i = 0; i < CALLS; i++) {
		s->refs[i] = mob_submit(r_sum, s->gate,
					mob_bytes_of(bytes, BYTES));
		s->bad += mob_keep(s->refs[i]) < 0;
	}
	return NULL;
}

static void test_repeat_threads_submit_the_same(void **state)
{
	static mob_ref refs[4][CALLS];
	struct submitter s[4];
	pthread_barrier_t start;
	pthread_t thread[4];
	mob_ref gate = shut();
	uint64_t before;

	(void)state;
	memset(bytes, 9, BYTES);
	before = live_used_bytes();
	assert_int_equal(pthread_barrier_init(&start, NULL, 4), 0);
	for (int t = 0; t < 4; t++) {
		s[t] = (struct submitter){ gate, refs[t], &start, 0 };
		assert_int_equal(pthread_create(&thread[t], NULL, submit_some,
						&s[t]),
				 0);
	}
	for (int t = 0; t < 4; t++) {
		assert_int_equal(pthread_join(thread[t], NULL), 0);
		assert_int_equal(s[t].bad, 0);
	}
	/* Each may have put it once before one was known. */
	assert_true(live_used_bytes() - before < 8 * BYTES);
	for (int t = 0; t < 4; t++) {
		expect_sums(refs[t], CALLS, 9 * (int64_t)BYTES);
		for (int i = 0; i < CALLS; i++) {
			assert_int_equal(mob_release(refs[t][i]), 0);
		}
	}
	(void)pthread_barrier_destroy(&start);
}

static void test_repeat_is_told_once(void **state)
{
	static unsigned char other[BYTES];
	char name[] = "/tmp/mob-repeat-XXXXXX";
	static char text[8192];
	int log = mkstemp(name);
	int saved = dup(STDERR_FILENO);
	mob_ref refs[CALLS];
	mob_ref gate = shut();
	char *at;
	ssize_t n;

	(void)state;
	assert_true(log >= 0 && saved >= 0);
	assert_true(dup2(log, STDERR_FILENO) >= 0);
	for (int i = 0; i < CALLS; i++) {
		refs[i] = mob_submit(r_sum, gate, mob_bytes_of(other, BYTES));
	}
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(saved);
	n = pread(log, text, sizeof(text) - 1, 0);
	(void)close(log);
	(void)unlink(name);
	assert_true(n > 0);
	text[n] = '\0';
	at = strstr(text, "the same 1048576 bytes were given to 8 calls");
	assert_non_null(at);
	assert_non_null(strstr(at, "r_sum"));
	assert_non_null(strstr(at, "mob_put"));
	assert_null(strstr(at + 1, "the same 1048576 bytes"));
	expect_sums(refs, CALLS, 0);
}

static int start(void **state)
{
	(void)state;
	live_start(1);
	live_ledger_open(&ledger, 2);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	live_ledger_close(&ledger);
	mob_shutdown();
	return 0;
}

/* A test that failed has left its gate shut. */
static int clean(void **state)
{
	ledger.at[0] = 1;
	return live_clean(state);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_repeat_same_bytes_are_put_once),
		T(test_repeat_other_bytes_in_the_same_memory),
		T(test_repeat_other_lengths),
		T(test_repeat_keeps_nothing),
		T(test_repeat_one_call_after_the_other),
		T(test_repeat_gives_room_to_all_else),
		T(test_repeat_threads_submit_the_same),
		T(test_repeat_is_told_once),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
