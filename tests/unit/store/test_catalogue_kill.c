/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue under kill -9: of writers at every failpoint, at any moment,
 * while they open it; of readers; and of writers stopped in the middle while
 * the store goes on. The parent plays the store and never dies, so nothing
 * here needs mobi_catalogue_reset to be right: each next writer must find what
 * the dead one had taken.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "catalogue_fixture.h"
#include "fault.h"
#include "test_count.h"

#include <mobula/err.h>

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define USED 3000u
/* A process under ThreadSanitizer takes long to start and to die. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* Shared with children. */
struct control {
	mobi_a32 stop;
	mobi_a32 ready;
};

struct scene {
	struct fixture *f;
	struct control *ctl;
	uint64_t seed;
};

static int scene_setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	void *f;

	assert_non_null(s);
	(void)fixture_setup(&f);
	s->f = f;
	s->ctl = fixture_map(sizeof(*s->ctl));
	s->seed = test_seed();
	*state = s;
	return 0;
}

static int scene_teardown(void **state)
{
	struct scene *s = *state;
	void *f = s->f;

	(void)munmap(s->ctl, sizeof(*s->ctl));
	(void)fixture_teardown(&f);
	free(s);
	return 0;
}

static void mutate(struct scene *s, unsigned ops)
{
	for (unsigned i = 0; i < ops; i++) {
		slot_step(s->f, (uint32_t)(rnd(&s->seed) % USED),
			  (unsigned)rnd(&s->seed));
	}
}

/* ---- children: they answer by their exit status ---- */

static int any_row(const struct mob_object_info *info, void *arg)
{
	(void)arg;
	return info->state < MOB_OBJECT_SEALED;
}

static void child_drains(struct scene *s)
{
	struct mobi_catalogue *c = fixture_open(s->f);

	mobi_store(&s->ctl->ready, 1u);
	while (!mobi_load(&s->ctl->stop)) {
		if (!c || mobi_catalogue_drain(c, 0, NULL)) {
			_exit(1);
		}
	}
	_exit(0);
}

static void child_drains_once(struct scene *s)
{
	struct mobi_catalogue *c = fixture_open(s->f);

	int rc = c ? mobi_catalogue_drain(c, 0, NULL) : MOB_E_INVAL;

	if (rc) {
		(void)fprintf(stderr, "child: %s\n", mob_err_detail(rc));
	}
	_exit(rc != 0);
}

static void child_lists(struct scene *s)
{
	struct mobi_catalogue *c = fixture_open(s->f);

	mobi_store(&s->ctl->ready, 1u);
	while (!mobi_load(&s->ctl->stop)) {
		if (!c || mobi_catalogue_list(c, 1, any_row, NULL, NULL)) {
			_exit(1);
		}
	}
	_exit(0);
}

/* fault: a spec for MOBULA_FAULT, or NULL. */
static pid_t start(struct scene *s, void (*fn)(struct scene *),
		   const char *fault)
{
	pid_t pid;

	mobi_store(&s->ctl->stop, 0u);
	mobi_store(&s->ctl->ready, 0u);
	pid = fork();
	if (pid == 0) {
#ifdef MOB_FAILPOINTS
		if (fault) {
			mobi_fault_arm(fault);
		}
#else
		(void)fault;
#endif
		fn(s);
		_exit(9);
	}
	assert_true(pid > 0);
	return pid;
}

static int status_of(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void kill_child(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	status = status_of(pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void wait_ready(struct scene *s)
{
	while (!mobi_load(&s->ctl->ready)) {
		(void)sched_yield();
	}
}

/* ---- what must hold ---- */

/* Right after one drain by somebody else, and after the janitor's reset no
 * mark is left either. */
static void assert_settles(struct scene *s)
{
	struct fixture *f = s->f;

	assert_int_equal(status_of(start(s, child_drains_once, NULL)), 0);
	assert_equal_slots(f, USED);
	assert_int_equal(fixture_check(f, USED), 0);
	mobi_catalogue_reset(f->shared, (USED + 63) / 64);
	assert_int_equal(status_of(start(s, child_drains_once, NULL)), 0);
	assert_int_equal(fixture_check(f, USED), 0);
	for (uint32_t n = 0; n < USED; n++) {
		assert_int_equal(mobi_load(&f->shared->indexed[n]) != 0,
				 mobi_resolved(mobi_load(&f->slots[n].word)) !=
					 0);
	}
	assert_int_equal(mobi_load(&f->shared->root), 0);
}

/* ---- failpoints ---- */

#ifdef MOB_FAILPOINTS

static void kill_at(struct scene *s, const char *point, unsigned nth)
{
	char spec[64];
	pid_t pid;
	int status = 0;

	(void)snprintf(spec, sizeof(spec), "catalogue.%s=kill@%u", point, nth);
	/* Work for the first drain: of each kind, in all chunks. */
	mutate(s, 2 * USED);
	mobi_catalogue_reset(s->f->shared, (USED + 63) / 64);
	pid = start(s, child_drains, spec);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		mutate(s, 100);
	}
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_settles(s);
}

static void test_kill_writer_at_each_point_heals(void **state)
{
	static const char *const points[] = { "take", "look",   "indexed",
					      "put",  "remove", "commit" };
	static const unsigned nths[] = { 1, 2, 16, 47, 64, 129, 1000 };
	struct scene *s = *state;

	for (size_t p = 0; p < 6; p++) {
		for (size_t i = 0; i < sizeof(nths) / sizeof(nths[0]); i++) {
			kill_at(s, points[p], nths[i]);
		}
	}
}

/* Stops a writer at the nth passing of a point, lets the store go on under its
 * eyes, and then lets the writer go on or kills it. */
static void stop_at(struct scene *s, const char *point, unsigned nth, int sig)
{
	char spec[64];
	pid_t pid;
	int status = 0;

	(void)snprintf(spec, sizeof(spec), "catalogue.%s=stop@%u", point, nth);
	mutate(s, 2 * USED);
	mobi_catalogue_reset(s->f->shared, (USED + 63) / 64);
	pid = start(s, child_drains, spec);
	for (;;) {
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		if (WIFSTOPPED(status)) {
			break;
		}
	}
	for (uint32_t n = 0; n < USED; n++) {
		slot_step(s->f, n, n);
		slot_step(s->f, n, n + 1);
		slot_step(s->f, n, n + 2);
	}
	mobi_store(&s->ctl->stop, 1u);
	assert_int_equal(kill(pid, sig), 0);
	status = status_of(pid);
	assert_int_equal(status, sig == SIGCONT ? 0 : SIGKILL);
	assert_settles(s);
}

static void test_stop_writer_store_goes_on_heals(void **state)
{
	struct scene *s = *state;
	static const struct {
		const char *point;
		unsigned nth;
	} at[] = { { "take", 1 },     { "take", 20 }, { "indexed", 1 },
		   { "indexed", 70 }, { "put", 1 },   { "put", 70 },
		   { "commit", 1 },   { "commit", 2 } };

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		stop_at(s, at[i].point, at[i].nth, SIGCONT);
		stop_at(s, at[i].point, at[i].nth, SIGKILL);
	}
}

/* An object that is freed after the writer has read its word, and no other
 * touch of the chunk: only the order of mark, word and bit removes the row. */
static void test_free_under_the_writer_no_row_stays(void **state)
{
	static const char *const points[] = { "look", "indexed", "put",
					      "commit" };
	struct scene *s = *state;

	for (uint32_t n = 0; n < 4; n++) {
		char spec[64];
		int status = 0;
		uint64_t rows = 9;
		pid_t pid;

		(void)snprintf(spec, sizeof(spec), "catalogue.%s=stop",
			       points[n]);
		slot_make(s->f, n);
		pid = start(s, child_drains_once, spec);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		assert_true(WIFSTOPPED(status));
		slot_free(s->f, n);
		assert_int_equal(kill(pid, SIGCONT), 0);
		assert_int_equal(status_of(pid), 0);
		assert_int_equal(mobi_catalogue_drain(s->f->cat, 0, NULL), 0);
		assert_int_equal(mobi_catalogue_rows(s->f->cat, &rows), 0);
		assert_int_equal(rows, 0);
		assert_int_equal(mobi_load(&s->f->shared->indexed[n]), 0);
	}
}

static uint64_t data_bytes(struct fixture *f)
{
	struct stat st;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void churn(struct scene *s, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		mutate(s, 1000);
		assert_int_equal(mobi_catalogue_drain(s->f->cat, 0, NULL), 0);
	}
}

static void test_reader_stopped_then_killed_pages_come_back(void **state)
{
	struct scene *s = *state;
	uint64_t quiet;
	uint64_t parked;
	pid_t pid;
	int status;

	churn(s, 200);
	quiet = data_bytes(s->f);
	pid = start(s, child_lists, "catalogue.read=stop");
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	churn(s, 200);
	parked = data_bytes(s->f);
	assert_true(parked > 2 * quiet); /* it did keep the old pages */
	assert_equal_slots(s->f, USED);
	kill_child(pid);
	churn(s, 200);
	assert_int_equal(data_bytes(s->f), parked);
	assert_settles(s);
}

#endif /* MOB_FAILPOINTS */

/* ---- any moment ---- */

static void test_kill_storm_heals(void **state)
{
	struct scene *s = *state;
	pid_t pid[3];
	uint32_t turn = 0;
	uint64_t kills = test_count("MOB_TEST_CATALOGUE_KILLS",
				    UNDER_TSAN ? 40 : 300, 50000);

	pid[0] = start(s, child_drains, NULL);
	pid[1] = start(s, child_drains, NULL);
	pid[2] = start(s, child_lists, NULL);
	for (uint64_t i = 0; i < kills; i++) {
		turn = (uint32_t)(rnd(&s->seed) % 3);
		mutate(s, (unsigned)(rnd(&s->seed) % 2000));
		kill_child(pid[turn]);
		if (i % 10 == 0) {
			/* The others go on meanwhile, with nothing to do. */
			assert_int_equal(
				mobi_catalogue_drain(s->f->cat, 0, NULL), 0);
			assert_equal_slots(s->f, USED);
			assert_int_equal(fixture_check(s->f, USED), 0);
		}
		pid[turn] = start(s, turn == 2 ? child_lists : child_drains,
				  NULL);
		if (rnd(&s->seed) % 2) {
			wait_ready(s);
		}
	}
	mobi_store(&s->ctl->stop, 1u);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(status_of(pid[i]), 0);
	}
	assert_settles(s);
}

static void test_kill_while_opening_others_open(void **state)
{
	struct scene *s = *state;
	uint64_t rounds = test_count("MOB_TEST_CATALOGUE_OPENINGS",
				     UNDER_TSAN ? 20 : 120, 10000);

	for (uint64_t round = 0; round < rounds; round++) {
		uint64_t wait = mobi_now_ns() + rnd(&s->seed) % 1500000;
		pid_t pid[3];
		int victim = (int)(rnd(&s->seed) % 3);

		mobi_catalogue_close(s->f->cat);
		s->f->cat = NULL;
		fixture_clean_dir(s->f->dir);
		mutate(s, 100);
		mobi_catalogue_reset(s->f->shared, (USED + 63) / 64);
		for (int i = 0; i < 3; i++) {
			pid[i] = start(s, child_drains_once, NULL);
		}
		while (mobi_now_ns() < wait) {
			mobi_relax();
		}
		(void)kill(pid[victim], SIGKILL);
		for (int i = 0; i < 3; i++) {
			int status = status_of(pid[i]);

			assert_true(status == 0 || i == victim);
		}
		s->f->cat = fixture_open(s->f);
		assert_non_null(s->f->cat);
		assert_int_equal(mobi_catalogue_drain(s->f->cat, 0, NULL), 0);
		assert_equal_slots(s->f, USED);
	}
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef MOB_FAILPOINTS
		T(test_kill_writer_at_each_point_heals),
		T(test_stop_writer_store_goes_on_heals),
		T(test_free_under_the_writer_no_row_stays),
		T(test_reader_stopped_then_killed_pages_come_back),
#endif
		T(test_kill_storm_heals),
		T(test_kill_while_opening_others_open),
	};

	return cmocka_run_group_tests_name("store.catalogue_kill", tests, NULL,
					   NULL);
}
