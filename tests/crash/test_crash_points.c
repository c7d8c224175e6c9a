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
 *   MOB_TEST_POINTS=n    so many kills, and no fewer than 20 in each state
 */
#define _GNU_SOURCE

#include "durable_fixture.h"
#include "fault.h"
#include "point_operations.h"

#define POINTS_MAX 64
#define STATES_MAX 1024
#define NTH_MAX 4u
#define LEAST (SANITIZED ? 2u : 20u)

struct point {
	char name[64];
	uint32_t states;
	uint64_t kills;
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

static struct point points[POINTS_MAX];
static uint32_t n_points;
static struct state states[STATES_MAX];
static uint32_t n_states;
static struct work common;
static struct work durable;
static uint64_t total;
static uint64_t wanted;

/* ---- names in the sources ---- */

static void add_point(const char *text, const char *file)
{
	struct point *p = &points[n_points];
	size_t n = strcspn(text, "\"");

	assert_true(n_points < POINTS_MAX && n < sizeof(p->name));
	(void)snprintf(p->name, sizeof(p->name), "%.*s", (int)n, text);
	for (uint32_t i = 0; i < n_points; i++) {
		if (strcmp(points[i].name, p->name) == 0) {
			fail_msg("%s: failpoint '%s' stands at two places",
				 file, p->name);
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

		/* Only tasks come by it: multi.lineage kills there. */
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
	(void)raise(SIGSTOP);
	(void)snprintf(spec, sizeof(spec), "%s=kill@%u%s%s",
		       points[st->point].name, st->nth, st->also ? "," : "",
		       st->also ? st->also : "");
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
static bool kill_in(const struct state *st)
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
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	if (st->op->between) {
		st->op->between(j.w);
	}
	assert_int_equal(kill(pid, SIGCONT), 0);
	rc = child_result(pid);
	if (rc != 0 && rc != -SIGKILL) {
		fail_msg("%s, killed at %s: %d", st->op->name,
			 points[st->point].name, rc);
	}
	if (total % 2) {
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
			 points[st->point].name, st->nth);
	}
	if (st->in == POINT_FRESH) {
		store_end(fresh.s);
	}
	total += rc == -SIGKILL;
	points[st->point].kills += rc == -SIGKILL;
	return rc == -SIGKILL;
}

/* ---- all of them ---- */

/* Memory that is used for the first time is so once: in a store of its own. */
static bool by_chance(const struct state *st)
{
	return st->in != POINT_FRESH &&
	       strncmp(points[st->point].name, "arena.back_", 11) == 0;
}

static void find_states(const struct operation *op, enum point_store in,
			const char *also)
{
	for (uint32_t p = 0; p < n_points; p++) {
		for (uint32_t nth = 1; nth <= NTH_MAX; nth++) {
			struct state st = { op, in, also, p, nth, 2, 2 };

			if (by_chance(&st) || !kill_in(&st) || !kill_in(&st)) {
				break;
			}
			assert_true(n_states < STATES_MAX);
			states[n_states++] = st;
			points[p].states++;
		}
	}
}

static void go_round(void)
{
	bool again = true;

	while (again || total < wanted) {
		again = false;
		for (uint32_t i = 0; i < n_states; i++) {
			struct state *st = &states[i];

			st->tries++;
			st->kills += kill_in(st);
			again |= st->kills < LEAST;
			if (st->tries > 8 * LEAST && st->kills < LEAST) {
				fail_msg("%s comes by %s only at times",
					 st->op->name, points[st->point].name);
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
	for (size_t i = 0; i < step_operations_n; i++) {
		find_states(&step_operations[i], POINT_COMMON, NULL);
	}
	for (size_t i = 0; i < point_operations_n; i++) {
		find_states(&point_operations[i].op, point_operations[i].in,
			    point_operations[i].also);
	}
	print_message("%u failpoints, %u states\n", n_points, n_states);
	for (uint32_t i = 0; i < n_points; i++) {
		if (!points[i].states) {
			fail_msg("no operation comes by %s", points[i].name);
		}
	}
	go_round();
	for (uint32_t i = 0; i < n_points; i++) {
		print_message("%-20s %3u states, %6" PRIu64 " kills\n",
			      points[i].name, points[i].states,
			      points[i].kills);
		assert_true(points[i].kills >= LEAST);
	}
	print_message("%" PRIu64 " kills\n", total);
	step_end(&common);
	store_end(common.s);
	mob_store_close(durable.s);
}

/* Sessions of its own: it counts them. */
static char memory[64];

static int begin_apart(void **state)
{
	(void)begin(state);
	(void)snprintf(memory, sizeof(memory), "/dev/shm/mob-points-XXXXXX");
	assert_non_null(mkdtemp(memory));
	return setenv("MOBULA_SESSION_DIR", memory, 1);
}

static int finish_apart(void **state)
{
	(void)finish(state);
	return mobi_dir_remove(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_points_killed_in_each_state_nothing_is_lost,
			begin_apart, finish_apart),
	};

	wanted = test_count("MOB_TEST_POINTS", 0, 1000000);
	return cmocka_run_group_tests_name("crash.points", tests, NULL, NULL);
}
