/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits of a driver that can never end: for tasks that wait for what it alone can seal,
 * read or let go; and those that another thread of it may end.
 */
#include "wait_graph.h"

#include "deadlock.h"
#include "os_run.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* An object that this process has to seal. */
static mob_ref unsealed(void)
{
	mob_ref object;
	void *at;

	assert_int_equal(mob_object_create(mobi_rt.store, 8, 0, &object, &at),
			 0);
	memset(at, 0, 8);
	return object;
}

static void seal(mob_ref object)
{
	assert_int_equal(mob_object_seal(mobi_rt.store, object), 0);
	assert_int_equal(mob_object_release(mobi_rt.store, object), 0);
}

MOB_TASK(int64_t, d_wants, mob_str, path, mob_ref, object)
{
	int rc = mob_join(object);

	if (wg_is_victim(rc)) {
		(void)live_ledger_add(path, WG_VICTIMS);
	}
	return rc < 0 ? 0 : 7;
}

/* After what ends without a value. */
MOB_TASK(int64_t, d_after, int64_t, x)
{
	return x + 1;
}

MOB_TASK_STREAM(int64_t, d_numbers, mob_str, path, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		int rc = mob_yield(i);

		if (wg_is_victim(rc)) {
			(void)live_ledger_add(path, WG_VICTIMS);
		}
		if (rc) {
			return;
		}
	}
	(void)live_ledger_add(path, WG_DONE);
}

static mob_ref bounded(int64_t n)
{
	return mob_submit_with(MOB_OPTS(.stream_items = 4), d_numbers,
			       wg_ledger.path, n);
}

/* This wait of the driver ends in a deadlock, told to it or to a task, once. */
static void is_one(int rc, const char *words)
{
	char me[64];

	assert_int_equal(rc, MOB_E_DEADLOCK);
	(void)snprintf(me, sizeof(me), "the driver (process %d)",
		       (int)getpid());
	assert_non_null(strstr(mob_error(), me));
	assert_non_null(strstr(mob_error(), words));
	assert_int_equal(wg_ledger.at[WG_VICTIMS] + wg_is_victim(rc), 1);
	mob_error_clear();
}

/* ---- deadlocks ---- */

static void test_semantics_10_driver_has_to_seal(void **state)
{
	mob_ref object;
	int64_t x;

	(void)state;
	for (int i = 0; i < 5; i++) {
		MOB_SCOPE
		{
			wg_forget();
			object = unsealed();
			is_one(mob_get(mob_submit(d_wants, wg_ledger.path,
						  object),
				       &x),
			       "waits in get for object");
			seal(object);
		}
	}
}

/* For itself, through a task that is pending, and at once. */
static void test_semantics_10_driver_waits_for_itself(void **state)
{
	mob_ref object;
	mob_ref r;
	int64_t x;

	(void)state;
	wg_forget();
	object = unsealed();
	r = mob_submit(d_after, object);
	is_one(mob_get(r, &x), "which needs object");
	is_one(mob_join(object), "waits in get for object");
	assert_int_equal(mob_wait(&r, 1, 1, MOB_FOREVER, NULL), MOB_E_DEADLOCK);
	is_one(mob_error_code(), "waits in wait for object");
	seal(object);
	assert_int_equal(mob_get(r, &x), MOB_E_TYPE);
	mob_error_clear();
}

static void test_semantics_10_driver_has_the_stream(void **state)
{
	(void)state;
	for (int64_t first = 0; first < 3; first++) {
		MOB_SCOPE
		{
			mob_ref in;
			int64_t x;

			wg_forget();
			in = bounded(100);
			for (int64_t i = 0; i < first; i++) {
				assert_int_equal(mob_next(in, &x), 1);
			}
			is_one(mob_join(mob_stream_result(in)), "waits in "
								"yield for "
								"room in "
								"stream");
		}
	}
}

/* The same through a task. */
static void test_semantics_10_driver_and_task_have_the_stream(void **state)
{
	mob_ref in;
	mob_ref r;
	int64_t x;

	(void)state;
	wg_forget();
	in = bounded(100);
	r = mob_submit(d_wants, wg_ledger.path, mob_stream_result(in));
	is_one(mob_get(r, &x), "waits in yield for room in stream");
}

/* ---- none ---- */

static bool is_published(void)
{
	const struct mob_store *s = mobi_rt.store;

	return mobi_load(&mobi_rt.sched->wait[s->me].seq) & 1;
}

/* What a second thread does when the first has told that it waits. */
struct helper {
	mob_ref object; /* seals it, */
	mob_ref in;     /* or reads it */
	bool told;
	int64_t sum;
};

static void *help(void *arg)
{
	struct helper *h = arg;
	char text[512];
	int64_t x;

	while (!is_published()) {
		mobi_pause_ns(MOB_MS);
	}
	for (uint64_t i = 0, seq = 0; i < 3;) {
		uint64_t now =
			mobi_load(&mobi_rt.sched->wait[mobi_rt.store->me].seq);

		h->told |= mobi_deadlock_text(mobi_rt.store, mobi_rt.store->me,
					      text, sizeof(text));
		i += now != seq || !(now & 1);
		seq = now;
		i++;
	}
	if (h->object.hi) {
		h->told |= mob_object_seal(mobi_rt.store, h->object) != 0;
		return NULL;
	}
	while (mob_next(h->in, &x) == 1) {
		h->sum += x;
	}
	mob_error_clear();
	return NULL;
}

static void test_deadlock_thread_of_the_driver_is_a_way_out(void **state)
{
	struct helper h = { .told = false };
	pthread_t thread;
	mob_ref r;
	int64_t x;

	(void)state;
	wg_forget();
	h.object = unsealed();
	r = mob_submit(d_wants, wg_ledger.path, h.object);
	assert_int_equal(pthread_create(&thread, NULL, help, &h), 0);
	assert_int_equal(mob_get(r, &x), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(x, 7);
	assert_false(h.told);
	assert_int_equal(mob_object_release(mobi_rt.store, h.object), 0);

	h = (struct helper){ .in = bounded(100) };
	assert_int_equal(pthread_create(&thread, NULL, help, &h), 0);
	assert_int_equal(mob_join(mob_stream_result(h.in)), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(h.sum, 4950);
	assert_false(h.told);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
}

/* It waits for what takes long, and others wait for what it will seal. */
MOB_TASK(int64_t, d_stands, mob_str, path)
{
	wg_await_word(path, WG_FREE, 1);
	return 1;
}

static void *free_later(void *arg)
{
	bool *told = arg;
	char text[512];

	while (!is_published()) {
		mobi_pause_ns(MOB_MS);
	}
	*told = mobi_deadlock_text(mobi_rt.store, mobi_rt.store->me, text,
				   sizeof(text));
	wg_ledger.at[WG_FREE] = 1;
	return NULL;
}

static void test_deadlock_driver_that_goes_on_is_none(void **state)
{
	mob_ref object;
	mob_ref r;
	pthread_t thread;
	bool told = true;
	int64_t x;

	(void)state;
	wg_forget();
	object = unsealed();
	r = mob_submit(d_wants, wg_ledger.path, object);
	assert_int_equal(pthread_create(&thread, NULL, free_later, &told), 0);
	assert_int_equal(mob_get(mob_submit(d_stands, wg_ledger.path), &x), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(told);
	assert_false(is_published());
	seal(object);
	assert_int_equal(mob_get(r, &x), 0);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
}

/* ---- another driver ---- */

/* As another process: has an object to seal, and waits for what stands. */
static int other_driver(const char *name, const char *path)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	mob_ref object;
	void *at;
	int64_t x;

	o.session = name;
	if (mob_init(&o) < 0 ||
	    mob_object_create(mobi_rt.store, 8, 0, &object, &at) < 0 ||
	    mob_name_put(mobi_rt.store, "other", object, 0, NULL) < 0) {
		return 1;
	}
	(void)live_ledger_add(path, WG_MADE);
	return mob_get(mob_submit(d_stands, path), &x) == 0 ? 0 : 2;
}

/* The wait of a process that waits; NULL. */
static struct mobi_wait_shared *wait_of(int pid)
{
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		struct mobi_wait_shared *w = &mobi_rt.sched->wait[i];

		if (mobi_rt.store->clients[i].proc.pid == (uint32_t)pid &&
		    (mobi_load(&w->seq) & 1)) {
			return w;
		}
	}
	return NULL;
}

static bool waits(void *arg)
{
	return wait_of(*(int *)arg) != NULL;
}

static bool is_even(void *arg)
{
	const struct mobi_wait_shared *w = arg;

	return !(mobi_load(&w->seq) & 1);
}

/* It is killed in its wait: that ends, and what it had to seal is lost. */
static void test_semantics_10_driver_that_waits_is_killed(void **state)
{
	const struct live_session session = { .name = live_session_name(),
					      .workers = 2,
					      .ledger = &wg_ledger,
					      .words = WG_WORDS };
	struct mobi_wait_shared *w;
	mob_ref object;
	int64_t x;
	int pid;

	(void)state;
	live_begin(&session);
	pid = live_spawn(session.name, wg_ledger.path);
	wg_await_word(wg_ledger.path, WG_MADE, 1);
	assert_int_equal(mob_name_get(mobi_rt.store, "other", &object, NULL),
			 0);
	assert_true(live_await(waits, &pid));
	w = wait_of(pid);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(live_collect(pid), -SIGKILL);
	assert_int_equal(mob_get(mob_submit(d_wants, wg_ledger.path, object),
				 &x),
			 MOB_E_LOST);
	mob_error_clear();
	/* Who reaps does that after the objects. */
	assert_true(live_await(is_even, w));
	assert_int_equal(mob_name_remove(mobi_rt.store, "other"), 0);
	assert_int_equal(mob_object_release(mobi_rt.store, object), 0);
	wg_ledger.at[WG_FREE] = 1;
	live_end(&session);
}

#define T(test)                                                                \
	cmocka_unit_test_setup_teardown(test, wg_open_many, wg_close_test)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest alone[] = {
		T(test_semantics_10_driver_has_to_seal),
		T(test_semantics_10_driver_waits_for_itself),
		T(test_semantics_10_driver_has_the_stream),
		T(test_semantics_10_driver_and_task_have_the_stream),
	};
	const struct CMUnitTest tests[] = {
		T(test_deadlock_thread_of_the_driver_is_a_way_out),
		T(test_deadlock_driver_that_goes_on_is_none),
		cmocka_unit_test_teardown(
			test_semantics_10_driver_that_waits_is_killed,
			live_leave),
	};
	int failed = 0;

	if (argc > 2) {
		return other_driver(argv[1], argv[2]);
	}
	if (!WG_HAS_THREAD) {
		failed = cmocka_run_group_tests(alone, NULL, NULL);
	}
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
