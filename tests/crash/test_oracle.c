/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store and its oracle: every operation is done twice, and both must be equal.
 *
 * A few processes put, nest, cut, view, hold, name, pin, unpin, remove, free and
 * sync in a store that is too small for it all, so that objects go to files and
 * cached ones go for good. Each says in the oracle (oracle.h) what it did. What only
 * concerns itself (a new object, a view, letting go) it does first or last and
 * without the oracle's lock, beside the others; what others depend on it does under
 * the lock. The parent takes the lock and kills one of them: in the middle of
 * anything that is nobody else's business. Then all are stopped where they are, the
 * dead are cleaned up after, and everything is compared.
 *
 *   MOB_TEST_ORACLE=rounds MOB_TEST_SEED=seed test_crash_oracle
 */
#define _GNU_SOURCE

#include "oracle_worker.h"

#include <mobula/memory.h>

#include "os_dir.h"
#include "scratch.h"

#include <fcntl.h>

#define ROUND_KILLS 5
#define ARENA (6 * MIB)

static uint64_t seed;
static char dir[64]; /* what was done to it is kept here */

/* ---- processes ---- */

static void work_once(struct worker *w)
{
	static void (*const ops[OPS])(struct worker *) = {
		[OP_PUT] = oracle_do_put,
		[OP_CREATE] = oracle_do_create,
		[OP_REFS] = oracle_do_refs,
		[OP_RANGE] = oracle_do_range,
		[OP_STREAM] = oracle_do_stream,
		[OP_GET] = oracle_do_get,
		[OP_UNVIEW] = oracle_do_unview,
		[OP_DROP] = oracle_do_drop,
		[OP_SYNC] = oracle_do_sync,
		[OP_SEAL] = oracle_do_seal,
		[OP_HOLD] = oracle_do_hold,
		[OP_NAME_PUT] = oracle_do_name_put,
		[OP_NAME_GET] = oracle_do_name_get,
		[OP_NAME_REMOVE] = oracle_do_name_remove,
		[OP_PIN] = oracle_do_pin,
		[OP_UNPIN] = oracle_do_unpin,
		[OP_FREE] = oracle_do_free,
	};
	uint64_t op = rnd(w, OPS + 8);

	/* Puts, names and letting go more often than the rest. */
	op = op < OPS     ? op :
	     op < OPS + 4 ? OP_PUT :
	     op < OPS + 6 ? OP_NAME_PUT :
			    OP_DROP;
	while (w->n_mine > MINE_MAX - 2) {
		oracle_do_drop(w);
	}
	ops[op](w);
	(void)mobi_fetch_add(&w->sh->ops[op], UINT64_C(1));
}

static int work(struct shared *sh, uint32_t proc, int beat)
{
	static struct worker w;

	w.sh = sh;
	w.proc = proc;
	w.beat = beat;
	w.random = (seed + proc) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	oracle_open(&w.o, sh->dir);
	w.s = child_open(sh->name);
	mobi_store(&sh->number[proc % WORKERS], w.s->me);
	while (!mobi_load(&sh->end)) {
		(void)alarm(WATCHDOG_S);
		if (mobi_load(&sh->failed)) {
			_exit(2);
		}
		if (mobi_load(&sh->pause)) {
			(void)raise(SIGSTOP);
			continue;
		}
		work_once(&w);
		if (rnd(&w, 32) == 0 && write(beat, "", 1) < 0 &&
		    errno != EAGAIN) {
			FAIL(&w, "beat: %s", strerror(errno));
		}
	}
	/* It goes, with all it has, as it should. */
	begin(&w);
	mob_store_close(w.s);
	oracle_dead(&w.o, proc);
	commit(&w);
	return 0;
}

/* ---- the parent ---- */

struct family {
	struct mob_store *s;
	struct shared *sh;
	struct oracle o;
	pid_t pid[WORKERS];
	uint32_t proc[WORKERS];
	uint32_t next; /* proc */
	int beat[2];
};

static void start(struct family *f, uint32_t i)
{
	/* Its place is told by its number. */
	f->proc[i] = f->next++ * WORKERS + i;
	mobi_store(&f->sh->number[i], 0u);
	(void)fflush(NULL);
	f->pid[i] = fork();
	assert_true(f->pid[i] >= 0);
	if (f->pid[i] == 0) {
		child_begin();
		_exit(work(f->sh, f->proc[i], f->beat[1]));
	}
}

static void kill_one(struct family *f, uint32_t i)
{
	oracle_begin(&f->o);
	child_kill(f->pid[i]);
	oracle_dead(&f->o, f->proc[i]);
	oracle_commit(&f->o);
}

/* Until all are stopped between two operations. */
static uint64_t stop_all(struct family *f)
{
	uint64_t there = MOBI_BIT(f->s->me);

	mobi_store(&f->sh->pause, 1u);
	for (uint32_t i = 0; i < WORKERS; i++) {
		int status = 0;

		assert_int_equal(waitpid(f->pid[i], &status, WUNTRACED),
				 f->pid[i]);
		assert_true(WIFSTOPPED(status));
		there |= MOBI_BIT(mobi_load(&f->sh->number[i]));
	}
	return there;
}

static void compare(struct family *f, uint64_t there)
{
	bool alone = there == MOBI_BIT(f->s->me);

	reap_until(f->s, there);
	assert_ok(mob_store_sync(f->s));
	oracle_begin(&f->o);
	assert_true(compare_evicted_all(f->s, &f->o));
	assert_int_equal(compare_all(f->s, &f->o, !alone, &seed), 0);
	oracle_commit(&f->o);
	assert_int_equal(mob_store_check(f->s, print_finding, NULL), 0);
	mobi_store(&f->sh->evicted, 0u);
}

static void one_round(struct family *f)
{
	char beat[4];

	for (int k = 0; k < ROUND_KILLS; k++) {
		uint32_t i = (uint32_t)(next_random(&seed) % WORKERS);

		for (uint64_t n = next_random(&seed) % 6 + 1; n; n--) {
			assert_true(pipe_wait(f->beat[0], beat, 1));
		}
		assert_int_equal(mobi_load(&f->sh->failed), 0);
		kill_one(f, i);
		start(f, i);
	}
	compare(f, stop_all(f));
	mobi_store(&f->sh->pause, 0u);
	for (uint32_t i = 0; i < WORKERS; i++) {
		assert_int_equal(kill(f->pid[i], SIGCONT), 0);
	}
}

/* All go; names and pins stay, until they are taken away. */
static void the_end(struct family *f)
{
	static struct oracle_row row[ORACLE_MAX];
	struct oracle_name nm[ORACLE_NAMES];
	uint32_t n;

	mobi_store(&f->sh->end, 1u);
	for (uint32_t i = 0; i < WORKERS; i++) {
		assert_int_equal(child_result(f->pid[i]), 0);
	}
	compare(f, MOBI_BIT(f->s->me));
	oracle_begin(&f->o);
	n = oracle_names(&f->o, "", nm);
	for (uint32_t i = 0; i < n; i++) {
		assert_ok(mob_name_remove(f->s, nm[i].name));
	}
	n = oracle_rows(&f->o, row);
	for (uint32_t i = 0; i < n; i++) {
		while (row[i].pins--) {
			assert_ok(mob_object_unpin(f->s,
						   ref_of_id(f->s, row[i].id)));
		}
	}
	oracle_commit(&f->o);
}

static void test_oracle_store_is_what_was_done_to_it(void **state)
{
	uint64_t rounds = test_count("MOB_TEST_ORACLE", SANITIZED ? 20 : 150,
				     20000);
	static struct family f;
	struct mob_store_stat st;
	struct mob_activity was;

	(void)state;
	f.s = store_new_spilling(ARENA);
	f.sh = shared_memory(sizeof(*f.sh));
	(void)snprintf(f.sh->name, sizeof(f.sh->name), "%s",
		       mob_store_name(f.s));
	assert_non_null(scratch_make(dir, sizeof(dir), "/tmp", "oracle"));
	(void)snprintf(f.sh->dir, sizeof(f.sh->dir), "%s", dir);
	assert_int_equal(pipe2(f.beat, O_CLOEXEC | O_NONBLOCK), 0);
	oracle_open(&f.o, f.sh->dir);
	for (uint32_t i = 0; i < WORKERS; i++) {
		start(&f, i);
	}
	for (uint64_t r = 0; r < rounds; r++) {
		one_round(&f);
	}
	the_end(&f);
	assert_ok(mob_store_stat(f.s, &st));
	assert_ok(mob_store_activity(f.s, &was));
	print_message("%" PRIu64 " kills, %" PRIu64 " reaped, %" PRIu64
		      " spilled, %" PRIu64 " restored, %" PRIu64 " evicted\n",
		      rounds * ROUND_KILLS, st.reaps, was.spills, was.restores,
		      st.evicted);
	/* It was about all of that. */
	for (int i = 0; i < OPS; i++) {
		assert_true(mobi_load(&f.sh->ops[i]) > 0);
	}
	assert_true(was.spills > 0 && was.restores > 0 && st.evicted > 0);
	oracle_close(&f.o);
	assert_int_equal(spill_files(f.s), 0);
	store_end(f.s);
}

static int finish(void **state)
{
	(void)state;
	return mobi_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			test_oracle_store_is_what_was_done_to_it, finish),
	};

	seed = test_seed();
	return cmocka_run_group_tests_name("crash.oracle", tests, NULL, NULL);
}
