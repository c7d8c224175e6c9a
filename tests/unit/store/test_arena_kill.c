/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena and kill -9.
 *
 * step: a child is stepped through an operation instruction by instruction.
 * What a kill would leave at that point is what the shared memory holds then;
 * so it is copied, and the copy is repaired and audited, at every instruction.
 * Now and then the process that repairs the copy is killed too.
 *
 * storm: children that allocate and free are killed at random, repaired and
 * started again, while the others go on.
 *
 *   MOB_TEST_ARENA_STRIDE=n   looks after every n-th instruction (0: as is said
 *                             with each operation)
 *   MOB_TEST_ARENA_KILLS=n    kills of the storm
 */
#define _GNU_SOURCE

#include "arena_fixture.h"
#include "arena_impl.h"
#include "test_count.h"

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#define CHILD 2u
#define REAPER 3u
#define REAPER_AFTER 4u

#define STEP_SLOTS 4u
/* The reaper of every so many copies is killed. */
#define REAPER_KILLS 401
#define REAPER_STEPS 2000
/* In every so many copies, blocks are taken to see that nothing is lost. */
#define TAKE_EVERY 7

static struct slot *slots; /* shared with the children */
static uint64_t seed = 0x2545f4914f6cdd1du;

/* ---- step ---- */

struct operation {
	const char *name;
	uint64_t arena_bytes;
	uint64_t size;
	long stride;
	bool close; /* at the end, stepped too */
	int warm;   /* how often the same is done before the stepping begins */
	/* Blocks that the parent holds: they fill a part of the arena. */
	uint64_t parents;
	uint64_t parents_size;
};

static void slot_fill(struct mobi_arena *a, uint64_t i, uint64_t size)
{
	uint64_t w = mobi_load(&slots[i].word);
	uint64_t gen = SLOT_GEN(w);

	mobi_store(&slots[i].word, SLOT_WORD(gen, CHILD, SLOT_BUSY));
	if (mobi_arena_alloc(a, size, slot_tag(w, i), &slots[i].loc) != 0) {
		_exit(3);
	}
}

static void slot_empty(struct mobi_arena *a, uint64_t i)
{
	uint64_t w = mobi_load(&slots[i].word);

	if (!mobi_arena_free(a, mobi_load(&slots[i].loc), slot_tag(w, i))) {
		_exit(4);
	}
	mobi_store(&slots[i].loc, 0);
	mobi_store(&slots[i].word,
		   SLOT_WORD(SLOT_GEN(w) + 1, CHILD, SLOT_BUSY));
}

static void operate(struct mobi_arena *a, uint64_t size)
{
	slot_fill(a, 0, size);
	slot_fill(a, 1, size);
	slot_empty(a, 0);
	slot_fill(a, 0, size);
	slot_empty(a, 0);
	slot_empty(a, 1);
}

static void traced_begin(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	(void)raise(SIGSTOP);
}

static pid_t start_operation(const struct fixture *f, const struct operation *o)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct mobi_arena *a;

		child_signals();
		if (fixture_attach(f, CHILD, &a) != 0) {
			_exit(2);
		}
		for (int i = 0; i < o->warm; i++) {
			operate(a, o->size);
		}
		traced_begin();
		operate(a, o->size);
		if (o->close) {
			mobi_arena_leave(a);
			mobi_arena_close(a);
		}
		_exit(0);
	}
	return pid;
}

static void wait_stopped(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
}

/* Steps n instructions; false if the child ended. */
static bool step(pid_t pid, long n, int *out_code)
{
	for (long i = 0; i < n; i++) {
		int status = 0;

		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			*out_code = WEXITSTATUS(status);
			return false;
		}
		assert_true(WIFSTOPPED(status));
		assert_int_equal(WSTOPSIG(status), SIGTRAP);
	}
	return true;
}

static void kill_wait(pid_t pid)
{
	int status = 0;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* The next part of a sparse file that holds anything; false: there is none. */
static bool next_data(const struct fixture *f, off_t *at, off_t *end)
{
	*at = lseek(f->ctl_fd, *end, SEEK_DATA);
	if (*at < 0) {
		return false;
	}
	*end = lseek(f->ctl_fd, *at, SEEK_HOLE);
	assert_true(*end > *at);
	return true;
}

static void copy_data(const struct fixture *from, const struct fixture *to)
{
	off_t at;
	off_t end = 0;

	/* What was there from the copy before. */
	while (next_data(to, &at, &end)) {
		memset((char *)to->meta + at, 0, (size_t)(end - at));
	}
	end = 0;
	while (next_data(from, &at, &end)) {
		memcpy((char *)to->meta + at, (char *)from->meta + at,
		       (size_t)(end - at));
	}
}

static void kill_a_reaper(const struct fixture *copy, struct slot *copied)
{
	pid_t pid = fork();
	int code = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct mobi_arena *a;

		child_signals();
		if (fixture_attach(copy, REAPER, &a) != 0) {
			_exit(2);
		}
		traced_begin();
		slots_reap(a, copied, STEP_SLOTS, CHILD, false);
		_exit(0);
	}
	wait_stopped(pid);
	if (step(pid, 1 + (long)(next_random(&seed) % REAPER_STEPS), &code)) {
		kill_wait(pid);
	} else {
		assert_int_equal(code, 0);
	}
}

/* Repairs and audits what a kill now would leave. */
static void audit_copy(const struct fixture *f, struct fixture *copy,
		       struct slot *copied, const struct operation *o, long n)
{
	uint64_t live = UINT64_C(1) << ME | UINT64_C(1) << REAPER_AFTER;
	uint64_t blocks = 0;
	mobi_a64 loc = 0;

	copy_data(f, copy);
	memcpy(copied, slots, STEP_SLOTS * sizeof(*copied));
	if (n % REAPER_KILLS == 0) {
		kill_a_reaper(copy, copied);
	}
	assert_int_equal(fixture_attach(copy, REAPER_AFTER, &copy->a), 0);
	slots_reap(copy->a, copied, STEP_SLOTS, CHILD, n & 1);
	mobi_arena_reap(copy->a, UINT64_C(1) << REAPER);
	mobi_arena_walk(copy->a, count_block, &blocks);
	if (mobi_arena_check(copy->a, live, print_line, NULL) != 0 ||
	    blocks != o->parents) {
		fail_msg("%s, after %ld instructions: %" PRIu64 " blocks",
			 o->name, n, blocks);
	}
	if (n % TAKE_EVERY == 0) {
		/* What the dead one had can be had again. */
		if (mobi_arena_alloc(copy->a, o->size, tag_of(0), &loc) != 0) {
			fail_msg("%s, after %ld instructions: %s", o->name, n,
				 mob_err_detail(MOB_E_STORE_FULL));
		}
		assert_true(mobi_arena_free(copy->a, loc, tag_of(0)));
		if (o->parents == 0 &&
		    arena_unused(copy->a, copy->bytes, live) != 0) {
			fail_msg("%s, after %ld instructions", o->name, n);
		}
	}
	mobi_arena_leave(copy->a);
	mobi_arena_close(copy->a);
}

static void step_through(const struct operation *o)
{
	struct slot *copied;
	mobi_a64 *held;
	struct fixture copy;
	struct fixture f;
	long stride = (long)test_count("MOB_TEST_ARENA_STRIDE",
				       SANITIZED ? 29 : 0, 1);
	long n = 0;
	int code = -1;
	pid_t pid;

	stride = stride ? stride : o->stride;
	if (TSAN) {
		skip(); /* It sees nothing here, and takes minutes. */
	}
	copied = shared_memory(STEP_SLOTS * sizeof(*copied));
	held = calloc(o->parents + 1, sizeof(*held));
	assert_non_null(held);
	memset(slots, 0, STEP_SLOTS * sizeof(*slots));
	fixture_open(&f, o->arena_bytes);
	assert_int_equal(fixture_files(&copy, o->arena_bytes), 0);
	for (uint64_t i = 0; i < o->parents; i++) {
		assert_int_equal(mobi_arena_alloc(f.a, o->parents_size,
						  tag_of(1000 + i), &held[i]),
				 0);
	}
	pid = start_operation(&f, o);
	wait_stopped(pid);
	do {
		audit_copy(&f, &copy, copied, o, n);
		n += stride;
	} while (step(pid, stride, &code));
	assert_int_equal(code, 0);
	print_message("%s: audited at %ld of %ld instructions\n", o->name,
		      n / stride, n);
	mobi_arena_reap(f.a, UINT64_C(1) << CHILD);
	for (uint64_t i = 0; i < o->parents; i++) {
		assert_true(mobi_arena_free(f.a, held[i], tag_of(1000 + i)));
	}
	assert_unused(&f);
	fixture_close(&f);
	assert_int_equal(munmap(copy.meta, copy.meta_bytes), 0);
	assert_int_equal(close(copy.fd), 0);
	assert_int_equal(close(copy.ctl_fd), 0);
	assert_int_equal(munmap(copied, STEP_SLOTS * sizeof(*copied)), 0);
	free(held);
}

static void test_kill_at_each_instruction_of_a_small_block(void **state)
{
	static const struct operation o = {
		.name = "8 KiB, first use",
		.stride = 1,
		.arena_bytes = 4 * MIB,
		.size = 8192,
	};
	static const struct operation warm = {
		.name = "64 B, list filled",
		.stride = 7,
		.arena_bytes = 4 * MIB,
		.size = 64,
		.warm = 1,
		.close = true,
	};

	(void)state;
	step_through(&o);
	step_through(&warm);
}

static void test_kill_at_each_instruction_of_a_medium_block(void **state)
{
	static const struct operation o = {
		.name = "60 KiB, first use",
		.stride = 1,
		.arena_bytes = 4 * MIB,
		.size = 60000,
	};
	static const struct operation full = {
		.name = "60 KiB, the only room left",
		.stride = 1,
		.arena_bytes = 4 * MIB,
		.size = 60000,
		.parents = 59,
		.parents_size = 65536,
	};

	(void)state;
	step_through(&o);
	step_through(&full);
}

static void test_kill_at_each_instruction_of_a_large_block(void **state)
{
	static const struct operation o = {
		.name = "600 KiB",
		.stride = 1,
		.arena_bytes = 4 * MIB,
		.size = 600000,
	};

	(void)state;
	step_through(&o);
}

/* ---- storm ---- */

#define TABLE 96u
#define CHILDREN 3u
#define STORM_BYTES (40 * MIB)

struct storm {
	mobi_a64 ops[64];
	mobi_a64 bad;
};
static struct storm *storm;

/* 64 bytes at both ends say whose the block is. */
static void mark(unsigned char *at, uint64_t bytes, uint64_t tag)
{
	for (uint64_t i = 0; i < 64; i += 8) {
		memcpy(at + i, &tag, 8);
		memcpy(at + bytes - 64 + i, &tag, 8);
	}
}

static bool marked(const unsigned char *at, uint64_t bytes, uint64_t tag)
{
	for (uint64_t i = 0; i < 64; i += 8) {
		if (memcmp(at + i, &tag, 8) != 0 ||
		    memcmp(at + bytes - 64 + i, &tag, 8) != 0) {
			return false;
		}
	}
	return true;
}

static uint64_t storm_size(uint64_t *s)
{
	uint64_t bits = next_random(s) % 100 < 97 ? next_random(s) % 20 :
						    next_random(s) % 25;

	return next_random(s) % (UINT64_C(2) << bits);
}

static void storm_turn(struct mobi_arena *a, uint32_t me, uint64_t *s)
{
	uint64_t i = next_random(s) % TABLE;
	struct slot *slot = &slots[i];
	uint64_t w = mobi_load(&slot->word);
	uint64_t gen = SLOT_GEN(w);
	uint64_t tag = slot_tag(w, i);
	uint64_t loc;

	if (SLOT_STATE(w) == SLOT_BUSY ||
	    !mobi_cas64(&slot->word, &w, SLOT_WORD(gen, me, SLOT_BUSY))) {
		return;
	}
	if (SLOT_STATE(w) == SLOT_FREE) {
		if (mobi_arena_alloc(a, storm_size(s), tag, &slot->loc) == 0) {
			loc = mobi_load(&slot->loc);
			mark(mobi_arena_rw(a, loc),
			     mobi_arena_block_bytes(a, loc), tag);
			mobi_store(&slot->word, SLOT_WORD(gen, 0, SLOT_LIVE));
			return;
		}
	} else {
		loc = mobi_load(&slot->loc);
		if (!marked(mobi_arena_ro(a, loc),
			    mobi_arena_block_bytes(a, loc), tag) ||
		    !mobi_arena_free(a, loc, tag)) {
			mobi_fetch_add(&storm->bad, 1);
		}
		mobi_store(&slot->loc, 0);
	}
	mobi_store(&slot->word, SLOT_WORD(gen + 1, 0, SLOT_FREE));
}

static pid_t start_storm(const struct fixture *f, uint32_t client)
{
	uint64_t s = next_random(&seed) | 1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct mobi_arena *a;

		child_signals();
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fixture_attach(f, client, &a) != 0) {
			mobi_fetch_add(&storm->bad, 1);
			_exit(2);
		}
		for (;;) {
			storm_turn(a, client, &s);
			mobi_fetch_add(&storm->ops[client], 1);
		}
	}
	return pid;
}

/* Kills one after so many of its operations, at whatever it is then doing. */
static void kill_after(pid_t pid, uint32_t client, uint64_t ops)
{
	uint64_t until = mobi_load(&storm->ops[client]) + ops;
	uint64_t spin = next_random(&seed) % 3000;

	while (mobi_load(&storm->ops[client]) < until) {
		int status = 0;

		assert_int_equal(mobi_load(&storm->bad), 0);
		assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
		sched_yield();
	}
	while (spin-- > 0) {
		mobi_relax();
	}
	kill_wait(pid);
}

static void test_storm_of_kills_leaks_and_shares_nothing(void **state)
{
	uint64_t kills = test_count("MOB_TEST_ARENA_KILLS", 200, 10000);
	struct fixture f;
	pid_t pid[CHILDREN];
	uint64_t ops = 0;

	(void)state;
	seed = test_seed();
	storm = shared_memory(sizeof(*storm));
	memset(slots, 0, TABLE * sizeof(*slots));
	fixture_open(&f, STORM_BYTES);
	for (uint32_t i = 0; i < CHILDREN; i++) {
		pid[i] = start_storm(&f, 10 + i);
	}
	for (uint64_t k = 0; k < kills; k++) {
		uint32_t i = (uint32_t)(next_random(&seed) % CHILDREN);

		kill_after(pid[i], 10 + i, next_random(&seed) % 200);
		slots_reap(f.a, slots, TABLE, 10 + i, k & 1);
		pid[i] = start_storm(&f, 10 + i);
	}
	for (uint32_t i = 0; i < CHILDREN; i++) {
		kill_wait(pid[i]);
		slots_reap(f.a, slots, TABLE, 10 + i, false);
		ops += mobi_load(&storm->ops[10 + i]);
	}
	assert_int_equal(mobi_load(&storm->bad), 0);
	print_message("%" PRIu64 " kills, %" PRIu64 " operations\n", kills,
		      ops);
	assert_int_equal(mobi_arena_check(f.a, 2, print_line, NULL), 0);
	for (uint64_t i = 0; i < TABLE; i++) {
		uint64_t w = mobi_load(&slots[i].word);

		assert_int_not_equal(SLOT_STATE(w), SLOT_BUSY);
		if (SLOT_STATE(w) == SLOT_LIVE) {
			uint64_t loc = mobi_load(&slots[i].loc);

			assert_true(marked(mobi_arena_ro(f.a, loc),
					   mobi_arena_block_bytes(f.a, loc),
					   slot_tag(w, i)));
			assert_true(mobi_arena_free(f.a, loc, slot_tag(w, i)));
		}
	}
	assert_unused(&f);
	fixture_close(&f);
	assert_int_equal(munmap(storm, sizeof(*storm)), 0);
}

/* What is lost of lists in a crash loop must come back without a sweep: the
 * arena would fill up with memory that nobody knows to be free. */
static void test_crash_loop_does_not_use_up_memory(void **state)
{
	struct mobi_arena_stat s;
	struct fixture f;

	(void)state;
	memset(slots, 0, STEP_SLOTS * sizeof(*slots));
	fixture_open(&f, 256 * MIB);
	for (int k = 0; k < 300; k++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct mobi_arena *a;

			child_signals();
			if (fixture_attach(&f, CHILD, &a) != 0) {
				_exit(2);
			}
			for (uint64_t size = 64; size < 600 * KIB; size *= 2) {
				slot_fill(a, 0, size);
				slot_empty(a, 0);
			}
			(void)raise(SIGKILL);
		}
		assert_int_equal(child_result(pid), -1);
		slots_reap(f.a, slots, STEP_SLOTS, CHILD, false);
	}
	mobi_arena_stat(f.a, &s);
	assert_int_equal(s.blocks, 0);
	/* One slab of each of 14 classes at most, and a large block. */
	assert_true(s.backed_bytes < 8 * MIB);
	assert_unused(&f);
	fixture_close(&f);
}

/* Long enough to take a whole group by its word. */
static void test_kill_at_each_instruction_of_a_run_over_groups(void **state)
{
	static const struct operation o = {
		.name = "34 MiB",
		.stride = 11,
		.arena_bytes = 72 * MIB,
		.size = 34 * MIB,
		.parents = 1,
		.parents_size = 100,
	};

	(void)state;
	step_through(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_kill_at_each_instruction_of_a_small_block),
		cmocka_unit_test(
			test_kill_at_each_instruction_of_a_medium_block),
		cmocka_unit_test(
			test_kill_at_each_instruction_of_a_large_block),
		cmocka_unit_test(
			test_kill_at_each_instruction_of_a_run_over_groups),
		cmocka_unit_test(test_storm_of_kills_leaks_and_shares_nothing),
		cmocka_unit_test(test_crash_loop_does_not_use_up_memory),
	};

	slots = mmap(NULL, TABLE * sizeof(*slots), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (slots == MAP_FAILED) {
		return 1;
	}
	return cmocka_run_group_tests_name("store.arena_kill", tests, NULL,
					   NULL);
}
