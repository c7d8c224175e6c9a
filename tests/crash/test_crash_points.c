/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 at every failpoint of the store, in each state that it is reached in: each
 * operation that comes by there, the first time, the second and so on.
 *
 * First every operation is done with every failpoint, to find the states; then they
 * are gone round until each has had its kills. After each kill another process, the
 * parent or a newcomer, cleans up; then nothing may be wrong. The names of the
 * failpoints are read from the sources: one that no operation reaches, or that stands
 * at two places, fails the test.
 *
 * As many processes as there are processors do it, each with stores and operations of
 * its own; in the end one counts what they did, which may not be less than was asked.
 *
 *   MOB_TEST_POINTS=n    so many kills, and no fewer than 20 in each state
 */
#define _GNU_SOURCE

#include "durable_fixture.h"
#include "fault.h"
#include "point_operations.h"

#include <malloc.h>

#define POINTS_MAX 64
#define STATES_MAX 1024
#define NTH_MAX 32u /* more than any operation comes by one */
#define LEAST 20u
#define PARTS_MAX 8u

/* What all processes have done. */
struct tally {
	mobi_a64 kills;
	mobi_a32 states;
	struct {
		mobi_a32 states;
		mobi_a64 kills;
	} point[POINTS_MAX];
};

struct state {
	const struct operation *op;
	enum point_store in;
	const char *also;
	uint32_t point;
	uint32_t nth;
	uint32_t tries;
	uint32_t kills;
};

static char points[POINTS_MAX][64];
static uint32_t n_points;
static struct state states[STATES_MAX];
static uint32_t n_states;
static struct work common;
static struct work durable;
static struct tally *tally;
static uint64_t wanted;
static uint32_t n_parts;
static uint32_t part; /* of this process */

/* ---- names in the sources ---- */

static void add_point(const char *text, const char *file)
{
	size_t n = strcspn(text, "\"");

	assert_true(n_points < POINTS_MAX && n < sizeof(points[0]));
	(void)snprintf(points[n_points], sizeof(points[0]), "%.*s", (int)n,
		       text);
	for (uint32_t i = 0; i < n_points; i++) {
		if (strcmp(points[i], points[n_points]) == 0) {
			fail_msg("%s: failpoint '%s' stands at two places",
				 file, points[i]);
		}
	}
	n_points++;
}

static void read_source(const char *path)
{
	static const char *const marks[] = { "MOBI_FAULT(\"", "MOBI_FAULT_ERR("
							      "\"" };
	FILE *f = fopen(path, "r");
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		for (int i = 0; i < 2; i++) {
			const char *at = line;

			while ((at = strstr(at, marks[i]))) {
				at += strlen(marks[i]);
				add_point(at, path);
			}
		}
	}
	(void)fclose(f);
}

static void read_sources(void)
{
	DIR *d = opendir(MOBI_STORE_SOURCES);
	struct dirent *e;
	char path[4096];

	assert_non_null(d);
	while ((e = readdir(d))) {
		size_t n = strlen(e->d_name);

		/* Only tasks come by it: multi.lineage_faults kills there. */
		if (strcmp(e->d_name, "gone.c") == 0) {
			continue;
		}
		if (n > 2 && strcmp(e->d_name + n - 2, ".c") == 0) {
			(void)snprintf(path, sizeof(path), "%s/%s",
				       MOBI_STORE_SOURCES, e->d_name);
			read_source(path);
		}
	}
	(void)closedir(d);
	assert_true(n_points > 0);
}

/* ---- a kill ---- */

struct job {
	const struct state *st;
	struct work *w;
};

static int work_and_die(void *arg)
{
	const struct job *j = arg;
	const struct state *st = j->st;
	struct work w = {
		child_open(mob_store_name(j->w->s)), j->w->sh, { { 0, 0 } },
		{ NULL, 0, { 0, 0 }, 0, 0 },         NULL,     NULL
	};
	char spec[200];

	if ((st->in != POINT_FRESH && step_warm_up(&w)) ||
	    st->op->prepare(&w)) {
		return 2;
	}
	if (st->op->between) {
		(void)raise(SIGSTOP);
	}
	(void)snprintf(spec, sizeof(spec), "%s=kill@%u%s%s", points[st->point],
		       st->nth, st->also ? "," : "", st->also ? st->also : "");
	mobi_fault_arm(spec);
	return st->op->step(&w) ? 3 : 0;
}

static int newcomer(void *arg)
{
	struct mob_store *s = child_open(arg);
	int n;

	(void)mobi_reap(s);
	n = mob_store_check(s, print_finding, NULL);
	mob_store_close(s);
	return n != 0;
}

static void begin_work(struct job *j, struct work *fresh)
{
	if (j->st->in == POINT_FRESH) {
		memset(fresh, 0, sizeof(*fresh));
		fresh->s = store_new(NULL, 16 * MIB);
		fresh->sh = common.sh;
		j->w = fresh;
	} else {
		j->w = j->st->in == POINT_DURABLE ? &durable : &common;
	}
}

/* Was it killed there, and not at the end? */
static bool kill_in(struct state *st)
{
	struct job j = { st, NULL };
	struct work fresh;
	struct counts was;
	struct counts is;
	uint64_t clients;
	int status = 0;
	pid_t pid;
	int rc;

	begin_work(&j, &fresh);
	clients = clients_used(j.w->s);
	was = counts_of(j.w->s);
	if (st->op->before) {
		st->op->before(j.w);
	}
	pid = child_start(work_and_die, &j);
	if (st->op->between) {
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		assert_true(WIFSTOPPED(status));
		st->op->between(j.w);
		assert_int_equal(kill(pid, SIGCONT), 0);
	}
	rc = child_result(pid);
	if (rc != 0 && rc != -SIGKILL) {
		fail_msg("%s, killed at %s: %d", st->op->name,
			 points[st->point], rc);
	}
	if (st->tries++ % 2) {
		char name_of[MOB_STORE_NAME_MAX + 1];

		(void)snprintf(name_of, sizeof(name_of), "%s",
			       mob_store_name(j.w->s));
		assert_int_equal(child_result(child_start(newcomer, name_of)),
				 0);
	}
	reap_until(j.w->s, clients);
	if (st->op->after) {
		st->op->after(j.w);
	}
	is = counts_of(j.w->s);
	if (mob_store_check(j.w->s, print_finding, NULL) ||
	    counts_differ(was, is) || is.unhinted) {
		fail_msg("%s, killed at %s, time %u", st->op->name,
			 points[st->point], st->nth);
	}
	if (st->in == POINT_FRESH) {
		store_end(fresh.s);
	}
	if (rc == -SIGKILL) {
		st->kills++;
		(void)mobi_fetch_add(&tally->kills, UINT64_C(1));
		(void)mobi_fetch_add(&tally->point[st->point].kills,
				     UINT64_C(1));
	}
	return rc == -SIGKILL;
}

/* ---- all of them ---- */

/* Memory that is used for the first time is so once: in a store of its own. */
static bool by_chance(const struct state *st)
{
	return st->in != POINT_FRESH &&
	       strncmp(points[st->point], "arena.back_", 11) == 0;
}

/* The times that one in that state comes by, until it does no more. */
static void find_times(struct state is)
{
	for (is.nth = 1;; is.nth++) {
		struct state st = is;

		if (by_chance(&st) || !kill_in(&st) || !kill_in(&st)) {
			return;
		}
		assert_true(st.nth < NTH_MAX && n_states < STATES_MAX);
		states[n_states++] = st;
		(void)mobi_fetch_add(&tally->point[st.point].states, 1u);
	}
}

static void find_states(const struct operation *op, enum point_store in,
			const char *also)
{
	for (uint32_t p = 0; p < n_points; p++) {
		find_times((struct state){
			.op = op, .in = in, .also = also, .point = p });
	}
}

static void go_round(void)
{
	bool again = true;

	while (again || mobi_load(&tally->kills) < wanted) {
		again = false;
		for (uint32_t i = 0; i < n_states; i++) {
			struct state *st = &states[i];

			(void)kill_in(st);
			again |= st->kills < LEAST;
			if (st->tries > 8 * LEAST && st->kills < LEAST) {
				fail_msg("%s comes by %s only at times",
					 st->op->name, points[st->point]);
			}
		}
	}
}

static void test_points_killed_in_each_state_nothing_is_lost(void **state)
{
	(void)state;
	read_sources();
	common.s = store_new_spilling(16 * MIB);
	common.sh = shared_memory(sizeof(struct shared));
	durable.s = create();
	durable.sh = common.sh;
	step_begin(&common);
	for (size_t i = part; i < step_operations_n; i += n_parts) {
		find_states(&step_operations[i], POINT_COMMON, NULL);
	}
	for (size_t i = part; i < point_operations_n; i += n_parts) {
		find_states(&point_operations[i].op, point_operations[i].in,
			    point_operations[i].also);
	}
	(void)mobi_fetch_add(&tally->states, n_states);
	go_round();
	for (uint32_t i = 0; i < n_states; i++) {
		assert_true(states[i].kills >= LEAST);
	}
	step_end(&common);
	store_end(common.s);
	mob_store_close(durable.s);
}

/* After all others. */
static void test_points_counted_no_kill_is_missing(void **state)
{
	uint64_t kills = 0;

	(void)state;
	read_sources();
	for (uint32_t i = 0; i < n_points; i++) {
		uint32_t n = mobi_load(&tally->point[i].states);
		uint64_t k = mobi_load(&tally->point[i].kills);

		if (!n) {
			fail_msg("no operation comes by %s", points[i]);
		}
		print_message("%-20s %3u states, %6" PRIu64 " kills\n",
			      points[i], n, k);
		assert_true(k >= (uint64_t)n * LEAST);
		kills += k;
	}
	print_message("%u failpoints, %u states, %" PRIu64 " kills\n", n_points,
		      mobi_load(&tally->states), kills);
	assert_true(kills >= wanted);
}

/* In memory: that a disk is slow does not matter to who is killed. It counts sessions. */
static int begin_apart(void **state)
{
	(void)state;
	return begin_apart_in("/dev/shm");
}

static int kill_in_part(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_points_killed_in_each_state_nothing_is_lost,
			begin_apart, finish),
	};

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return cmocka_run_group_tests_name("crash.points", tests, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_points_counted_no_kill_is_missing),
	};
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	pid_t pid[PARTS_MAX];
	int bad = 0;

	/* What is large is mapped anew, and not taken from what was freed, which
	 * a child of fork copies, page by page. LMDB's environment is. */
	(void)mallopt(M_MMAP_THRESHOLD, 128 * KIB);
	wanted = test_count("MOB_TEST_POINTS", SANITIZED ? 2500 : 25000,
			    1000000);
	n_parts = processors < 1         ? 1 :
		  processors > PARTS_MAX ? PARTS_MAX :
					   (uint32_t)processors;
	tally = shared_memory(sizeof(*tally));
	for (part = 0; part < n_parts; part++) {
		pid[part] = fork();
		if (pid[part] == 0) {
			return kill_in_part();
		}
	}
	for (uint32_t i = 0; i < n_parts; i++) {
		bad |= pid[i] < 0 || child_result(pid[i]) != 0;
	}
	bad |= cmocka_run_group_tests_name("crash.points", tests, NULL, NULL);
	return bad;
}
