/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shapes of tests/models/weak.pml on this machine, with the accesses of
 * core/atomic.h: what must not be seen is not seen. Under the thread sanitizer the
 * plain bytes say, too, whether what publishes them is an order at all. How often
 * the machine shows what a weaker access allows is printed: a shape that shows it
 * hundreds of times with the weaker one says something when it never does.
 *
 *   MOB_TEST_LITMUS=10000000 test_core_litmus    so many rounds
 */
#define _POSIX_C_SOURCE 200809L

#include "atomic.h"
#include "test_count.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { THREADS = 3, LAG = 64 };

/* A word has a cache line of its own. */
struct line {
	_Alignas(MOBI_CACHELINE) mobi_a64 word;
};

struct shape {
	struct line at[3];
	struct line round[THREADS]; /* that a thread is in */
	struct line seen[THREADS];
	uint64_t plain[6]; /* bytes of an object */
	uint32_t threads;
	void (*step[THREADS])(struct shape *s, uint64_t n);
	/* After each round, by thread 0: did what must not be? */
	bool (*wrong)(const struct shape *s);
	uint64_t rounds;
	uint64_t found;
};

struct part {
	struct shape *s;
	uint32_t t;
};

/* All threads are in round n. */
static void meet(struct shape *s, uint32_t t, uint64_t n)
{
	mobi_store(&s->round[t].word, n);
	for (uint32_t i = 0; i < s->threads; i++) {
		for (uint32_t k = 0; mobi_load(&s->round[i].word) < n; k++) {
			if (k % LAG == LAG - 1) {
				(void)sched_yield();
			}
			mobi_relax();
		}
	}
}

static void *run(void *arg)
{
	const struct part *p = arg;
	struct shape *s = p->s;

	for (uint64_t n = 1; n <= s->rounds; n++) {
		if (p->t == 0) {
			for (int i = 0; i < 3; i++) {
				mobi_store(&s->at[i].word, UINT64_C(0));
			}
		}
		meet(s, p->t, 3 * n);
		s->step[p->t](s, n);
		meet(s, p->t, 3 * n + 1);
		if (p->t == 0 && s->wrong(s)) {
			s->found++;
		}
		meet(s, p->t, 3 * n + 2);
	}
	return NULL;
}

static uint64_t found_by(struct shape *s)
{
	struct part p[THREADS];
	pthread_t id[THREADS];

	s->rounds = test_count("MOB_TEST_LITMUS", 50000, 10000000);
	for (uint32_t t = 0; t < s->threads; t++) {
		p[t] = (struct part){ s, t };
		assert_int_equal(pthread_create(&id[t], NULL, run, &p[t]), 0);
	}
	for (uint32_t t = 0; t < s->threads; t++) {
		assert_int_equal(pthread_join(id[t], NULL), 0);
	}
	return s->found;
}

static void see(struct shape *s, uint32_t t, uint64_t v)
{
	mobi_store_relaxed(&s->seen[t].word, v);
}

static uint64_t saw(const struct shape *s, uint32_t t)
{
	return mobi_load_relaxed(&s->seen[t].word);
}

/* ---- SB: hold and free, wait and seal, bell and asleep ---- */

static void set_0_read_1(struct shape *s, uint64_t n)
{
	(void)n;
	(void)mobi_fetch_or(&s->at[0].word, UINT64_C(1));
	see(s, 0, mobi_load(&s->at[1].word));
}

static void cas_1_read_0(struct shape *s, uint64_t n)
{
	uint64_t was = 0;

	(void)n;
	(void)mobi_cas64(&s->at[1].word, &was, 1);
	see(s, 1, mobi_load(&s->at[0].word));
}

static void store_0_read_1(struct shape *s, uint64_t n)
{
	(void)n;
	mobi_store(&s->at[0].word, UINT64_C(1));
	see(s, 0, mobi_load(&s->at[1].word));
}

static void store_1_read_0(struct shape *s, uint64_t n)
{
	(void)n;
	mobi_store(&s->at[1].word, UINT64_C(1));
	see(s, 1, mobi_load(&s->at[0].word));
}

static void release_0_read_1(struct shape *s, uint64_t n)
{
	(void)n;
	mobi_store_release(&s->at[0].word, UINT64_C(1));
	see(s, 0, mobi_load_acquire(&s->at[1].word));
}

static void release_1_read_0(struct shape *s, uint64_t n)
{
	(void)n;
	mobi_store_release(&s->at[1].word, UINT64_C(1));
	see(s, 1, mobi_load_acquire(&s->at[0].word));
}

static bool both_missed(const struct shape *s)
{
	return !saw(s, 0) && !saw(s, 1);
}

static void test_litmus_one_of_two_sees_the_other(void **state)
{
	struct shape rmw = { .threads = 2,
			     .step = { set_0_read_1, cas_1_read_0 },
			     .wrong = both_missed };
	struct shape store = { .threads = 2,
			       .step = { store_0_read_1, store_1_read_0 },
			       .wrong = both_missed };
	struct shape weak = { .threads = 2,
			      .step = { release_0_read_1, release_1_read_0 },
			      .wrong = both_missed };

	uint64_t missed;

	(void)state;
	assert_int_equal(found_by(&rmw), 0);
	assert_int_equal(found_by(&store), 0);
	missed = found_by(&weak);
	print_message("with release and acquire both missed %llu times of "
		      "%llu\n",
		      (unsigned long long)missed,
		      (unsigned long long)weak.rounds);
}

/* ---- MP: value and seal ---- */

static void write_and_seal(struct shape *s, uint64_t n)
{
	uint64_t was = 0;

	for (int i = 0; i < 6; i++) {
		s->plain[i] = n;
	}
	mobi_store_relaxed(&s->at[1].word, n); /* its size */
	(void)mobi_cas64(&s->at[0].word, &was, n);
}

static void look_and_read(struct shape *s, uint64_t n)
{
	bool right = true;

	see(s, 1, 0);
	if (mobi_load(&s->at[0].word) == n) {
		right = mobi_load_relaxed(&s->at[1].word) == n;
		for (int i = 0; i < 6; i++) {
			right = right && s->plain[i] == n;
		}
	}
	see(s, 1, !right);
}

static bool reader_was_wrong(const struct shape *s)
{
	return saw(s, 1) != 0;
}

static void test_litmus_who_sees_the_seal_sees_the_value(void **state)
{
	struct shape s = { .threads = 2,
			   .step = { write_and_seal, look_and_read },
			   .wrong = reader_was_wrong };

	(void)state;
	assert_int_equal(found_by(&s), 0);
}

/* ---- ISA: value and seal; seal seen, bit set; bit seen, value read ---- */

static void look_and_tell(struct shape *s, uint64_t n)
{
	if (mobi_load(&s->at[0].word) == n) {
		(void)mobi_fetch_or(&s->at[2].word, UINT64_C(1));
	}
}

static void hear_and_read(struct shape *s, uint64_t n)
{
	bool right = true;

	see(s, 1, 0);
	if (mobi_load(&s->at[2].word)) {
		right = mobi_load_relaxed(&s->at[1].word) == n;
		for (int i = 0; i < 6; i++) {
			right = right && s->plain[i] == n;
		}
	}
	see(s, 1, !right);
}

static void test_litmus_who_is_told_of_the_seal_sees_the_value(void **state)
{
	struct shape s = { .threads = 3,
			   .step = { write_and_seal, look_and_tell,
				     hear_and_read },
			   .wrong = reader_was_wrong };

	(void)state;
	assert_int_equal(found_by(&s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_litmus_one_of_two_sees_the_other),
		cmocka_unit_test(test_litmus_who_sees_the_seal_sees_the_value),
		cmocka_unit_test(
			test_litmus_who_is_told_of_the_seal_sees_the_value),
	};

	return cmocka_run_group_tests_name("core.litmus", tests, NULL, NULL);
}
