/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on shared objects, random kill -9.
 *
 * A few processes, of two threads each, put, get, hold, nest, wait for, seal
 * and release objects whose refs they find in a small array that all share. The
 * parent kills one of them at a random moment, at times while another is
 * stopped, and starts a new one; whoever sleeps or reaps by chance cleans up,
 * and may be killed while it does. Now and then all end: then nothing may be
 * left. Payloads are checked at every get.
 *
 * The soak kills one each 10 ms, for long, and compares what is left with what was
 * there: bytes, descriptors, files, entries of tables.
 *
 *   MOB_TEST_STORM_KILLS=n MOB_TEST_SOAK_S=n MOB_TEST_SEED=n test_crash_storm
 */
#define _GNU_SOURCE

#include "spill.h"
#include "store_fixture.h"

#include <pthread.h>

#define WORKERS 8
#define THREADS 2 /* of each worker */
#define CELLS 64
#define MINE_MAX 24
#define NEST_MAX 5
#define PAYLOAD_MAX 20000u
#define ROUND_KILLS 100
#define DYING 16

enum {
	OP_PUT,
	OP_CREATE,
	OP_REFS,
	OP_GET,
	OP_HOLD,
	OP_DROP,
	OP_QUEUE,
	OP_WAIT,
	OP_REAP,
	OP_SPILL, /* in a store that spills, beside the others */
	OPS
};

struct storm {
	struct cell cell[CELLS]; /* what all know; read torn it is no ref */
	mobi_a64 ops[OPS];
	mobi_a64 corrupt;
	mobi_a64 unexpected; /* {line, -rc} of an error that cannot be */
	mobi_a32 stop;
	char name[MOB_STORE_NAME_MAX + 1];
};

/* A thread of a worker. */
struct worker {
	struct mob_store *s;
	struct storm *storm;
	uint64_t random;
	struct mob_ref mine[MINE_MAX]; /* held */
	uint32_t n_mine;
};

static uint64_t kills; /* of each test */
static uint64_t seed;
static int64_t pace_ns; /* between two kills; 0: any time */

static void expect(struct worker *w, int rc, uint64_t line)
{
	/* What can be: gone, resolved already, lost, cancelled, full. */
	if (rc < 0 && rc != MOB_E_BAD_REF && rc != MOB_E_STATE &&
	    rc != MOB_E_LOST && rc != MOB_E_CANCELLED && rc != MOB_E_TIMEOUT &&
	    rc != MOB_E_STORE_FULL) {
		(void)fprintf(stderr, "line %" PRIu64 ": %s: %s\n", line,
			      mob_err_name(rc), mob_err_detail(rc));
		mobi_store(&w->storm->unexpected, line << 32 | (uint32_t)-rc);
	}
}
#define EXPECT(w, rc) expect((w), (rc), __LINE__)

static struct cell *any_cell(struct worker *w)
{
	return &w->storm->cell[next_random(&w->random) % CELLS];
}

/* The payload begins with its seed; the rest follows from it. */
static void payload_fill(void *at, uint64_t size, uint64_t with)
{
	memcpy(at, &with, sizeof(with));
	fill((unsigned char *)at + 8, size - 8, with);
}

static bool payload_good(const void *at, uint64_t size)
{
	uint64_t with;

	memcpy(&with, at, sizeof(with));
	return filled((const unsigned char *)at + 8, size - 8, with);
}

static uint64_t payload_size(struct worker *w)
{
	return 8 + next_random(&w->random) %
			   (next_random(&w->random) % 2 ? 60 : PAYLOAD_MAX);
}

/* The hold becomes one of this worker's. */
static void keep(struct worker *w, struct mob_ref r)
{
	if (w->n_mine == MINE_MAX) {
		uint64_t i = next_random(&w->random) % MINE_MAX;

		EXPECT(w, mob_object_release(w->s, w->mine[i]));
		w->mine[i] = r;
		return;
	}
	w->mine[w->n_mine++] = r;
}

static void do_put(struct worker *w)
{
	static _Thread_local unsigned char buf[PAYLOAD_MAX + 8];
	uint64_t size = payload_size(w);
	struct mob_ref r;
	int rc;

	payload_fill(buf, size, next_random(&w->random));
	rc = mob_object_put(w->s, buf, size, MOB_TYPE_BYTES, &r);
	EXPECT(w, rc);
	if (rc == 0) {
		cell_set(any_cell(w), r);
		keep(w, r);
	}
}

static void do_create(struct worker *w)
{
	uint64_t size = payload_size(w);
	struct mob_ref r;
	void *at;
	int rc = mob_object_create(w->s, size, MOB_TYPE_BYTES, &r, &at);

	EXPECT(w, rc);
	if (rc < 0) {
		return;
	}
	cell_set(any_cell(w), r);
	payload_fill(at, size, next_random(&w->random));
	if (next_random(&w->random) % 8 == 0) {
		EXPECT(w, mob_object_abort(w->s, r));
	} else if (next_random(&w->random) % 8 == 0) {
		/* Let go before the end. */
		EXPECT(w, mob_object_hold(w->s, r));
		EXPECT(w, mob_object_release(w->s, r));
		EXPECT(w, mob_object_seal(w->s, r));
	} else {
		EXPECT(w, mob_object_seal(w->s, r));
	}
	keep(w, r);
}

static void do_refs(struct worker *w)
{
	struct mob_ref in[NEST_MAX];
	uint64_t n = w->n_mine ? next_random(&w->random) % NEST_MAX : 0;
	struct mob_ref r;
	int rc;

	for (uint64_t i = 0; i < n; i++) {
		in[i] = w->mine[next_random(&w->random) % w->n_mine];
	}
	rc = mob_object_put_refs(w->s, in, n, &r);
	EXPECT(w, rc);
	if (rc == 0) {
		cell_set(any_cell(w), r);
		keep(w, r);
	}
}

/* Looks at what the object holds; refs are followed a step. */
static void look(struct worker *w, const struct mob_view *v)
{
	struct mob_view inner;
	struct mob_ref r;

	if (v->type != MOB_TYPE_REFS) {
		if (!payload_good(v->at, v->size)) {
			(void)mobi_fetch_add(&w->storm->corrupt, UINT64_C(1));
		}
		return;
	}
	if (!v->size) {
		return;
	}
	memcpy(&r, v->at, sizeof(r));
	/* The outer one is viewed, so the inner one lives. */
	if (mob_object_get(w->s, r, 0, &inner) == 0) {
		if (inner.type != MOB_TYPE_REFS &&
		    !payload_good(inner.at, inner.size)) {
			(void)mobi_fetch_add(&w->storm->corrupt, UINT64_C(1));
		}
		mob_view_release(w->s, &inner);
	} else if (mob_object_state(w->s, r) == MOB_OBJECT_GONE) {
		(void)mobi_fetch_add(&w->storm->corrupt, UINT64_C(1));
	}
}

static void do_get(struct worker *w)
{
	struct mob_view v;
	int rc = mob_object_get(w->s, cell_ref(any_cell(w)),
				(int64_t)(next_random(&w->random) % 200000),
				&v);

	EXPECT(w, rc);
	if (rc == 0) {
		look(w, &v);
		mob_view_release(w->s, &v);
	}
}

static void do_hold(struct worker *w)
{
	struct mob_ref r = cell_ref(any_cell(w));
	int rc = mob_object_hold(w->s, r);

	EXPECT(w, rc);
	if (rc == 0) {
		keep(w, r);
	}
}

static void do_drop(struct worker *w)
{
	if (w->n_mine) {
		uint64_t i = next_random(&w->random) % w->n_mine;
		int rc = mob_object_release(w->s, w->mine[i]);

		w->mine[i] = w->mine[--w->n_mine];
		/* It was held: it must have been there. */
		if (rc < 0) {
			(void)mobi_fetch_add(&w->storm->corrupt, UINT64_C(1));
		}
	}
}

static void do_queue(struct worker *w)
{
	struct mob_cq_entry e;
	struct mob_cq *q;
	int rc = mob_cq_open(w->s, &q);

	EXPECT(w, rc);
	if (rc < 0) {
		return;
	}
	for (int i = 0; i < 6; i++) {
		EXPECT(w, mob_cq_add(q, cell_ref(any_cell(w)), 0));
	}
	for (;;) {
		rc = mob_cq_pop(q, 50000, &e);
		EXPECT(w, rc);
		if (rc != 1) {
			break;
		}
		EXPECT(w, mob_object_release(w->s, e.ref));
	}
	mob_cq_close(q);
}

static void do_wait(struct worker *w)
{
	struct mob_ref r[2] = { cell_ref(any_cell(w)), cell_ref(any_cell(w)) };
	bool ready[2];

	if (!mob_ref_equal(r[0], r[1])) {
		EXPECT(w, mob_object_wait(w->s, r, 2, 1, 50000, ready));
	}
}

static void *work(void *arg)
{
	static void (*const ops[OPS])(struct worker *) = {
		[OP_PUT] = do_put,     [OP_CREATE] = do_create,
		[OP_REFS] = do_refs,   [OP_GET] = do_get,
		[OP_HOLD] = do_hold,   [OP_DROP] = do_drop,
		[OP_QUEUE] = do_queue, [OP_WAIT] = do_wait,
	};
	struct worker *w = arg;

	while (!mobi_load(&w->storm->stop)) {
		uint64_t op = next_random(&w->random) % (OP_REAP * 3 + 1) / 3;

		if (op == OP_REAP) {
			(void)mobi_reap(w->s);
		} else {
			ops[op](w);
		}
		(void)mobi_fetch_add(&w->storm->ops[op], UINT64_C(1));
		if (mobi_spills(w->s) && next_random(&w->random) % 8 == 0) {
			EXPECT(w, mobi_spill_some(w->s, PAYLOAD_MAX));
			(void)mobi_fetch_add(&w->storm->ops[OP_SPILL],
					     UINT64_C(1));
		}
		if (w->n_mine > MINE_MAX / 2) {
			do_drop(w);
		}
	}
	return NULL;
}

static int work_in_threads(void *arg)
{
	static struct worker w[THREADS];
	struct storm *storm = arg;
	struct mob_store *s;
	pthread_t t[THREADS];

	/* Who kills comes first, however busy these are. */
	(void)nice(5);
	s = child_open(storm->name);
	for (uint64_t i = 0; i < THREADS; i++) {
		w[i].s = s;
		w[i].storm = storm;
		w[i].random = (now_ns() + i) * 2654435761u | 1;
		if (i && pthread_create(&t[i], NULL, work, &w[i])) {
			return 1;
		}
	}
	(void)work(&w[0]);
	for (uint64_t i = 1; i < THREADS; i++) {
		(void)pthread_join(t[i], NULL);
	}
	/* What it holds goes with it. */
	mob_store_close(s);
	return 0;
}

/* Sleeps for up to a few hundred microseconds: when to kill, not whether. */
static void moment(void)
{
	struct timespec t = { 0, pace_ns ?
					 pace_ns :
					 (long)(next_random(&seed) % 3000000) };

	(void)nanosleep(&t, NULL);
}

/* Kills one. On a busy machine it takes long until it is dead: the next follows
 * meanwhile. */
static void kill_soon_dead(pid_t pid)
{
	static pid_t dying[DYING];
	static uint32_t n;
	pid_t *at = &dying[n++ % DYING];

	if (*at) {
		(void)child_result(*at);
	}
	*at = pid;
	if (pid) {
		(void)kill(pid, SIGKILL);
	}
}

static void one_round(struct mob_store *s, struct storm *storm, uint64_t n)
{
	pid_t pid[WORKERS];
	uint64_t me = clients_used(s);
	struct counts c;

	for (int i = 0; i < WORKERS; i++) {
		pid[i] = child_start(work_in_threads, storm);
	}
	for (uint64_t k = 0; k < n; k++) {
		uint64_t i = next_random(&seed) % WORKERS;
		uint64_t stopped = next_random(&seed) % WORKERS;

		moment();
		if (k % 4 == 0) {
			(void)kill(pid[stopped], SIGSTOP);
			moment();
		}
		kill_soon_dead(pid[i]);
		pid[i] = child_start(work_in_threads, storm);
		if (k % 4 == 0) {
			moment();
			(void)kill(pid[stopped], SIGCONT);
		}
	}
	child_kill(pid[0]);
	for (int i = 0; i < DYING; i++) {
		kill_soon_dead(0);
	}
	mobi_store(&storm->stop, 1u);
	for (int i = 1; i < WORKERS; i++) {
		assert_int_equal(child_result(pid[i]), 0);
	}
	mobi_store(&storm->stop, 0u);
	reap_until(s, me);
	c = counts_of(s);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_int_equal(mobi_load(&storm->corrupt), 0);
	assert_int_equal(mobi_load(&storm->unexpected), 0);
	assert_int_equal(c.objects, 0);
	assert_int_equal(c.chunks, 0);
	assert_int_equal(c.edges, 0);
	assert_int_equal(c.used_bytes, 0);
	assert_int_equal(c.unhinted, 0);
}

static void storm_in(struct mob_store *s)
{
	static const char *const names[OPS] = { "put",   "create", "refs",
						"get",   "hold",   "drop",
						"queue", "wait",   "reap",
						"spill" };
	struct storm *storm = shared_memory(sizeof(*storm));
	struct mob_store_stat st;

	(void)snprintf(storm->name, sizeof(storm->name), "%s",
		       mob_store_name(s));
	for (uint64_t done = 0; done < kills;) {
		uint64_t n = kills - done < ROUND_KILLS ? kills - done :
							  ROUND_KILLS;

		one_round(s, storm, n);
		done += n;
	}
	assert_ok(mob_store_stat(s, &st));
	print_message("%" PRIu64 " kills, %" PRIu64 " dead reaped\n", kills,
		      st.reaps);
	for (int i = 0; i < OPS; i++) {
		print_message("%s %" PRIu64 "  ", names[i],
			      mobi_load(&storm->ops[i]));
	}
	print_message("\n");
	/* The tables are used again, not used up: each thread has a group of
	 * its own, also of those that are dead and not cleaned up after. */
	print_message("%u slots were ever used\n",
		      mobi_pool_used(s, MOBI_POOL_SLOT));
	assert_true(mobi_pool_used(s, MOBI_POOL_SLOT) <
		    2 * MOBI_CLIENTS * THREADS * MOBI_GROUP);
	assert_int_equal(munmap(storm, sizeof(*storm)), 0);
}

static void test_storm_random_kills_nothing_lost_or_left(void **state)
{
	struct mob_store *s = store_new(NULL, 64 * MIB);

	(void)state;
	storm_in(s);
	store_end(s);
}

/* The same while objects go to files and come back. */
static void test_storm_random_kills_with_spilling(void **state)
{
	struct mob_store *s = store_new_spilling(64 * MIB);

	(void)state;
	storm_in(s);
	assert_int_equal(spill_files(s), 0);
	store_end(s);
}

/* ---- soak ---- */

static uint32_t entries_of(const char *path)
{
	struct dirent *e;
	uint32_t n = 0;
	DIR *d = opendir(path);

	assert_non_null(d);
	while ((e = readdir(d))) {
		n += e->d_name[0] != '.';
	}
	(void)closedir(d);
	return n;
}

struct left {
	struct counts tables;
	uint64_t rows;
	uint64_t clients;
	uint64_t free_bytes;
	uint32_t queues;
	uint32_t descriptors;
	uint32_t session_files;
	uint32_t index_files;
	uint32_t spill_files;
};

static struct left look_what_is_left(struct mob_store *s)
{
	struct mob_store_stat st;
	struct left l;
	char path[4096];

	memset(&l, 0, sizeof(l));
	assert_ok(mob_store_sync(s));
	assert_ok(mob_store_stat(s, &st));
	l.tables = counts_of(s);
	l.tables.unhinted = 0; /* at hand of this thread; seen to in a round */
	l.rows = st.catalogue_rows;
	l.clients = st.clients;
	l.free_bytes = st.arena_bytes - st.arena_used_bytes;
	for (uint32_t i = 0; i < MOBI_CQS; i++) {
		l.queues += MOBI_STATE(mobi_load(&s->cqs[i].word)) != 0;
	}
	l.descriptors = entries_of("/proc/self/fd");
	l.session_files = entries_of(s->path);
	(void)snprintf(path, sizeof(path), "%s/idx", s->path);
	l.index_files = entries_of(path);
	l.spill_files = spill_files(s);
	return l;
}

/* All of it is one object's, if it wants it. */
static void assert_room(struct mob_store *s)
{
	struct mob_ref r;
	void *at;

	assert_ok(mob_object_create(s, 60 * MIB, MOB_TYPE_BYTES, &r, &at));
	assert_ok(mob_object_abort(s, r));
	assert_ok(mob_object_release(s, r));
}

static void test_storm_soak_all_returns_to_where_it_began(void **state)
{
	uint64_t seconds = test_count("MOB_TEST_SOAK_S", 5, 3600);
	struct mob_store *s = store_new_spilling(64 * MIB);
	struct storm *storm = shared_memory(sizeof(*storm));
	uint64_t n = 0;
	uint64_t end;
	struct left was;
	struct left is;

	(void)state;
	(void)snprintf(storm->name, sizeof(storm->name), "%s",
		       mob_store_name(s));
	pace_ns = 10000000;
	/* What is there from the first use on. */
	one_round(s, storm, 10);
	assert_room(s);
	was = look_what_is_left(s);
	end = now_ns() + seconds * 1000000000u;
	while (now_ns() < end) {
		one_round(s, storm, ROUND_KILLS);
		n += ROUND_KILLS;
	}
	pace_ns = 0;
	is = look_what_is_left(s);
	assert_int_equal(counts_differ(was.tables, is.tables), 0);
	assert_memory_equal(&was, &is, sizeof(was));
	assert_room(s);
	assert_true(mobi_pool_used(s, MOBI_POOL_SLOT) <
		    2 * MOBI_CLIENTS * THREADS * MOBI_GROUP);
	print_message("%" PRIu64 " kills, %u slots were ever used; %u "
		      "descriptors, %u + %u files\n",
		      n, mobi_pool_used(s, MOBI_POOL_SLOT), is.descriptors,
		      is.session_files, is.index_files);
	assert_int_equal(munmap(storm, sizeof(*storm)), 0);
	store_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_storm_random_kills_nothing_lost_or_left),
		cmocka_unit_test(test_storm_random_kills_with_spilling),
		cmocka_unit_test(test_storm_soak_all_returns_to_where_it_began),
	};

	kills = test_count("MOB_TEST_STORM_KILLS", SANITIZED ? 300 : 5000,
			   100000);
	seed = test_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
