/* SPDX-License-Identifier: Apache-2.0 */
/* The arena shared: threads, processes, what one leaves to another. */
#define _GNU_SOURCE

#include "arena_fixture.h"

#include <pthread.h>
#include <sched.h>

#define THREADS 4
#define TABLE 512u

struct table {
	struct mobi_arena *a;
	struct slot *slots;
	uint64_t seed;
	uint32_t owner;
	int turns;
	int bad;
	uint64_t max_bits;
};

/* One turn: takes a slot and fills or empties it. Marks prove that nobody else
 * has the block. */
static void table_turn(struct table *t)
{
	uint64_t i = next_random(&t->seed) % TABLE;
	struct slot *s = &t->slots[i];
	uint64_t w = mobi_load(&s->word);
	uint64_t gen = SLOT_GEN(w);
	uint64_t tag = slot_tag(w, i);
	uint64_t size = next_random(&t->seed) % t->max_bits;
	struct block b;

	if (SLOT_STATE(w) == SLOT_BUSY ||
	    !mobi_cas64(&s->word, &w, SLOT_WORD(gen, t->owner, SLOT_BUSY))) {
		return;
	}
	if (SLOT_STATE(w) == SLOT_LIVE) {
		b.loc = mobi_load(&s->loc);
		t->bad += !block_marked(t->a, &b, tag);
		t->bad += !mobi_arena_free(t->a, b.loc, tag);
		mobi_store(&s->loc, 0);
		mobi_store(&s->word, SLOT_WORD(gen + 1, 0, SLOT_FREE));
		return;
	}
	size = next_random(&t->seed) % (UINT64_C(2) << size);
	if (mobi_arena_alloc(t->a, size, tag, &s->loc) != 0) {
		mobi_store(&s->word, SLOT_WORD(gen + 1, 0, SLOT_FREE));
		return;
	}
	b.loc = mobi_load(&s->loc);
	block_mark(t->a, &b, tag);
	mobi_store(&s->word, SLOT_WORD(gen, 0, SLOT_LIVE));
}

static void *table_thread(void *arg)
{
	struct table *t = arg;

	for (int i = 0; i < t->turns; i++) {
		table_turn(t);
	}
	return NULL;
}

static void slots_drop(struct mobi_arena *a, struct slot *slots)
{
	for (uint64_t i = 0; i < TABLE; i++) {
		uint64_t w = mobi_load(&slots[i].word);

		if (SLOT_STATE(w) == SLOT_LIVE) {
			assert_true(mobi_arena_free(a, mobi_load(&slots[i].loc),
						    slot_tag(w, i)));
		}
	}
}

static void threads_run(uint64_t arena_bytes, uint64_t max_bits, int turns)
{
	static struct slot slots[TABLE];
	struct table t[THREADS];
	pthread_t id[THREADS];
	struct fixture f;

	memset(slots, 0, sizeof(slots));
	fixture_open(&f, arena_bytes);
	for (uint32_t i = 0; i < THREADS; i++) {
		t[i] = (struct table){ .a = f.a,
				       .slots = slots,
				       .seed = i + 1000003,
				       .owner = i + 1,
				       .turns = turns,
				       .max_bits = max_bits };
		assert_int_equal(
			pthread_create(&id[i], NULL, table_thread, &t[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(id[i], NULL), 0);
		assert_int_equal(t[i].bad, 0);
	}
	assert_int_equal(mobi_arena_check(f.a, 2, print_line, NULL), 0);
	slots_drop(f.a, slots);
	assert_unused(&f);
	fixture_close(&f);
}

static void test_threads_with_small_blocks_never_share_one(void **state)
{
	(void)state;
	threads_run(16 * MIB, 11, SANITIZED ? 50000 : 300000);
}

static void test_threads_with_all_sizes_in_a_full_arena(void **state)
{
	(void)state;
	threads_run(48 * MIB, 25, SANITIZED ? 15000 : 60000);
}

/* Frees what another thread is just taking, the moment its tag is there. */
struct snatch {
	struct mobi_arena *a;
	mobi_a64 loc;
	mobi_a64 turn;  /* the tag in use, 0 at the end */
	mobi_a64 freed; /* the last tag freed */
};

static void *snatch_thread(void *arg)
{
	struct snatch *s = arg;
	uint64_t tag;

	while ((tag = mobi_load(&s->turn)) != 0) {
		if (mobi_load(&s->freed) != tag &&
		    mobi_arena_free(s->a, mobi_load(&s->loc), tag)) {
			mobi_store(&s->freed, tag);
		}
	}
	return NULL;
}

static void test_block_freed_while_it_is_taken_is_not_lost(void **state)
{
	static const uint64_t sizes[] = { 64, 100 * KIB, 2 * MIB };
	uint64_t turns = TSAN ? 3000 : 30000;
	struct snatch s = { .turn = tag_of(0), .freed = tag_of(0) };
	struct fixture f;
	pthread_t id;

	(void)state;
	fixture_open(&f, 32 * MIB);
	s.a = f.a;
	assert_int_equal(pthread_create(&id, NULL, snatch_thread, &s), 0);
	for (uint64_t i = 1; i < turns; i++) {
		mobi_store(&s.loc, 0);
		mobi_store(&s.turn, tag_of(i));
		if (mobi_arena_alloc(f.a, sizes[i % 3], tag_of(i), &s.loc) !=
		    0) {
			fail_msg("turn %d", (int)i);
		}
		while (mobi_load(&s.freed) != tag_of(i)) {
			sched_yield();
		}
	}
	mobi_store(&s.turn, 0);
	assert_int_equal(pthread_join(id, NULL), 0);
	assert_unused(&f);
	fixture_close(&f);
}

/* Takes and frees blocks of one size; each 64 KiB of a block is marked. The one
 * that wants a number of them ends the others when it has had it. */
struct claimer {
	struct mobi_arena *a;
	uint64_t size;
	uint64_t tag;
	mobi_a32 *done;
	int want;
	int got;
	int bad;
};

static void *claimer_thread(void *arg)
{
	struct claimer *c = arg;
	uint64_t step = 64 * KIB;

	while (c->want ? c->got < c->want : !mobi_load(c->done)) {
		mobi_a64 loc = 0;
		unsigned char *at;

		if (mobi_arena_alloc(c->a, c->size, c->tag, &loc) != 0) {
			continue;
		}
		c->got++;
		at = mobi_arena_rw(c->a, loc);
		for (uint64_t k = 0; k + 8 <= c->size; k += step) {
			memcpy(at + k, &c->tag, 8);
		}
		for (uint64_t k = 0; k + 8 <= c->size; k += step) {
			c->bad += memcmp(at + k, &c->tag, 8) != 0;
		}
		c->bad += !mobi_arena_free(c->a, loc, c->tag);
		sched_yield();
	}
	if (c->want) {
		mobi_store(c->done, 1);
	}
	return NULL;
}

/* A long run takes a group by its word, short ones take units of it. */
static void test_group_and_its_units_are_not_both_taken(void **state)
{
	struct claimer c[3] = {
		{ .size = 33 * MIB, .want = TSAN ? 50 : 300 },
		{ .size = 600 * KIB },
		{ .size = 7 * MIB },
	};
	mobi_a32 done = 0;
	pthread_t id[3];
	struct fixture f;

	(void)state;
	fixture_open(&f, 36 * MIB);
	for (uint64_t i = 0; i < 3; i++) {
		c[i].a = f.a;
		c[i].tag = tag_of(i);
		c[i].done = &done;
		assert_int_equal(
			pthread_create(&id[i], NULL, claimer_thread, &c[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(id[i], NULL), 0);
		assert_int_equal(c[i].bad, 0);
	}
	assert_unused(&f);
	fixture_close(&f);
}

struct filler {
	struct mobi_arena *a;
	uint64_t size;
	uint64_t n;
	uint64_t freed;
	mobi_a64 *loc;
	uint64_t max;
};

static void *filler_thread(void *arg)
{
	struct filler *p = arg;

	p->n = fill(p->a, p->size, p->loc, p->max);
	for (uint64_t i = 0; i < p->n; i++) {
		p->freed += mobi_arena_free(p->a, p->loc[i], tag_of(i));
	}
	return NULL;
}

static void test_blocks_of_a_thread_that_ended_are_free_for_others(void **state)
{
	static const uint64_t sizes[] = { 64, 2000, 100000 };
	uint64_t max = 16 * MIB / 64;
	mobi_a64 *loc = calloc(max, sizeof(*loc));
	struct fixture f;

	(void)state;
	assert_non_null(loc);
	fixture_open(&f, 16 * MIB);
	for (int i = 0; i < 3; i++) {
		struct filler p = {
			.a = f.a, .size = sizes[i], .loc = loc, .max = max
		};
		pthread_t id;

		assert_int_equal(pthread_create(&id, NULL, filler_thread, &p),
				 0);
		assert_int_equal(pthread_join(id, NULL), 0);
		assert_true(p.n > 0);
		assert_int_equal(p.freed, p.n);
		assert_int_equal(fill(f.a, sizes[i], loc, max), p.n);
		drop(f.a, loc, p.n, 1);
	}
	assert_unused(&f);
	fixture_close(&f);
	free(loc);
}

static void *close_thread(void *arg)
{
	mobi_arena_leave(arg);
	mobi_arena_close(arg);
	return NULL;
}

static void test_close_by_another_thread_leaves_no_list_behind(void **state)
{
	mobi_a64 loc[10];
	struct fixture f;
	pthread_t id;

	(void)state;
	for (int turn = 0; turn < 4; turn++) {
		fixture_open(&f, 8 * MIB);
		assert_int_equal(fill(f.a, 64, loc, 10), 10);
		drop(f.a, loc, 10, 1);
		assert_int_equal(pthread_create(&id, NULL, close_thread, f.a),
				 0);
		assert_int_equal(pthread_join(id, NULL), 0);
		assert_int_equal(fixture_attach(&f, ME, &f.a), 0);
		assert_unused(&f);
		fixture_close(&f);
	}
}

/* ---- processes ---- */

static void test_write_through_the_read_only_mapping_faults(void **state)
{
	struct fixture f;
	mobi_a64 loc = 0;
	int status = 0;
	pid_t pid;

	(void)state;
	fixture_open(&f, 8 * MIB);
	assert_int_equal(mobi_arena_alloc(f.a, 100, tag_of(0), &loc), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* The address as a number, so that const is not cast away. */
		uintptr_t at = (uintptr_t)mobi_arena_ro(f.a, loc);

		child_signals();
		*(volatile char *)at = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	fixture_close(&f);
}

static pid_t start_table_child(const struct fixture *f, struct slot *slots,
			       uint32_t client, int turns)
{
	struct table t = { .slots = slots,
			   .seed = UINT64_C(7919) * client,
			   .owner = client,
			   .turns = turns,
			   .max_bits = 22 };
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		child_signals();
		if (fixture_attach(f, client, &t.a) != 0) {
			_exit(2);
		}
		(void)table_thread(&t);
		mobi_arena_leave(t.a);
		mobi_arena_close(t.a);
		_exit(t.bad ? 1 : 0);
	}
	return pid;
}

static void test_processes_exchange_blocks(void **state)
{
	struct slot *slots = shared_memory(TABLE * sizeof(*slots));
	struct fixture f;
	pid_t pid[3];

	(void)state;
	fixture_open(&f, 40 * MIB);
	for (uint32_t i = 0; i < 3; i++) {
		pid[i] = start_table_child(&f, slots, 10 + i,
					   SANITIZED ? 10000 : 60000);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(child_result(pid[i]), 0);
	}
	assert_int_equal(mobi_arena_check(f.a, 2, print_line, NULL), 0);
	slots_drop(f.a, slots);
	assert_unused(&f);
	fixture_close(&f);
	assert_int_equal(munmap(slots, TABLE * sizeof(*slots)), 0);
}

static void test_blocks_freed_by_another_process_are_found_again(void **state)
{
	static const uint64_t sizes[] = { 64, 3000, 70000 };
	uint64_t max = 16 * MIB / 64;
	mobi_a64 *loc = shared_memory(max * sizeof(*loc));
	struct fixture f;

	(void)state;
	fixture_open(&f, 16 * MIB);
	for (int i = 0; i < 3; i++) {
		uint64_t n = fill(f.a, sizes[i], loc, max);
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct mobi_arena *b;
			int bad = 0;

			child_signals();
			if (fixture_attach(&f, 2, &b) != 0) {
				_exit(2);
			}
			for (uint64_t k = 0; k < n; k++) {
				bad += !mobi_arena_free(b, loc[k], tag_of(k));
			}
			/* It goes on living with what is on its lists. */
			_exit(bad ? 1 : 0);
		}
		assert_int_equal(child_result(pid), 0);
		assert_int_equal(fill(f.a, sizes[i], loc, max), n);
		drop(f.a, loc, n, 1);
		mobi_arena_reap(f.a, UINT64_C(1) << 2);
		assert_unused(&f);
	}
	fixture_close(&f);
	assert_int_equal(munmap(loc, max * sizeof(*loc)), 0);
}

static void test_child_of_fork_opens_the_arena_itself(void **state)
{
	struct fixture f;
	mobi_a64 loc[50];
	mobi_a64 mine[50];
	pid_t pid;

	(void)state;
	fixture_open(&f, 8 * MIB);
	assert_int_equal(fill(f.a, 64, loc, 50), 50);
	drop(f.a, loc, 50, 1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct mobi_arena *b;

		child_signals();
		if (fixture_attach(&f, 2, &b) != 0 ||
		    fill(b, 64, mine, 50) != 50) {
			_exit(1);
		}
		mobi_arena_leave(b);
		mobi_arena_close(b);
		_exit(0);
	}
	assert_int_equal(fill(f.a, 64, loc, 50), 50);
	assert_int_equal(child_result(pid), 0);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_threads_with_small_blocks_never_share_one),
		cmocka_unit_test(test_threads_with_all_sizes_in_a_full_arena),
		cmocka_unit_test(
			test_block_freed_while_it_is_taken_is_not_lost),
		cmocka_unit_test(test_group_and_its_units_are_not_both_taken),
		cmocka_unit_test(
			test_blocks_of_a_thread_that_ended_are_free_for_others),
		cmocka_unit_test(
			test_close_by_another_thread_leaves_no_list_behind),
		cmocka_unit_test(
			test_write_through_the_read_only_mapping_faults),
		cmocka_unit_test(test_processes_exchange_blocks),
		cmocka_unit_test(
			test_blocks_freed_by_another_process_are_found_again),
		cmocka_unit_test(test_child_of_fork_opens_the_arena_itself),
	};

	return cmocka_run_group_tests_name("store.arena_share", tests, NULL,
					   NULL);
}
