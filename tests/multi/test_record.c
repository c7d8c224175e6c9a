/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is recorded of tasks: each change once and in order, through deaths of the
 * processes that write it, and never something that was half written.
 */
#include "live.h"

#include "fault.h"
#include "os_run.h"
#include "record.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_RUNS = 0, WORDS = 16 };
static struct live_ledger ledger;

MOB_TASK(int64_t, d_add, int64_t, a, int64_t, b)
{
	return a + b;
}

MOB_TASK(int64_t, d_fails, mob_str, path, uint64_t, fails)
{
	if (live_ledger_add(path, N_RUNS) < fails) {
		mob_fail(7, "failed");
	}
	return 1;
}

MOB_TASK(int64_t, d_fails_at, mob_str, path, uint64_t, at, uint64_t, fails)
{
	if (live_ledger_add(path, at) < fails) {
		mob_fail(7, "failed");
	}
	return 1;
}

/* Stands until word `go` lets it; tells by the next word that it runs. */
MOB_TASK(int64_t, d_stands, mob_str, path, uint64_t, go)
{
	(void)live_ledger_add(path, go + 1);
	while (!live_ledger_get(path, go)) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return 1;
}

MOB_TASK(int64_t, d_waits, int64_t, a)
{
	int64_t x = 0;

	mob_get(mob_submit(d_add, a, 1), &x);
	return x;
}

MOB_TASK(int64_t, d_kills, mob_str, path)
{
	if (!live_ledger_add(path, N_RUNS)) {
		(void)raise(SIGKILL);
	}
	return 5;
}

#ifdef MOB_FAILPOINTS
/* Words of two events that differ in the time only, and have the same sum. */
#define ALIKE_TASK UINT64_C(77)
#define ALIKE_MORE UINT64_C(88)
static uint64_t alike_when(void)
{
	uint64_t want = mobi_event_sum(MOB_EVENT_RESUMED, ALIKE_TASK,
				       ALIKE_MORE);
	uint64_t ns = 1;

	while (mobi_event_sum(ns << 8 | MOB_EVENT_RESUMED, ALIKE_TASK,
			      ALIKE_MORE) != want) {
		ns++;
	}
	return ns;
}

/* Fills the ring, which has 64 events, and dies when the time of the next one
 * stands there. */
MOB_TASK(int64_t, d_overwrites, mob_str, path)
{
	uint64_t ns = alike_when();

	if (live_ledger_add(path, N_RUNS)) {
		return 1;
	}
	for (int i = 0; i < 64; i++) {
		mobi_record_put(mobi_rt.store, MOB_EVENT_RESUMED, 0, ALIKE_TASK,
				ALIKE_MORE);
	}
	mobi_fault_arm("record.half=kill@1");
	mobi_record_put(mobi_rt.store, MOB_EVENT_RESUMED, ns, ALIKE_TASK,
			ALIKE_MORE);
	return 0;
}

/* Once: this worker dies at a failpoint. */
MOB_TASK(int64_t, d_arms, mob_str, path, mob_str, spec)
{
	if (!live_ledger_add(path, N_RUNS)) {
		mobi_fault_arm(spec);
	}
	return 6;
}
#endif

/* ---- looking ---- */

#define KEPT 65536
static struct mob_event *seen;
static size_t n_seen;
static struct mob_record record;

static int keep(const struct mob_event *e, void *arg)
{
	(void)arg;
	assert_true(n_seen < KEPT);
	assert_true(n_seen == 0 || e->time_ns >= seen[n_seen - 1].time_ns);
	seen[n_seen] = *e;
	seen[n_seen++].name = strdup(e->name);
	return 0;
}

static void forget(void)
{
	for (size_t i = 0; i < n_seen; i++) {
		free((void *)(uintptr_t)seen[i].name);
	}
	n_seen = 0;
}

static void look(void)
{
	struct mob_session *s;

	forget();
	if (!seen) {
		seen = calloc(KEPT, sizeof(*seen));
		assert_non_null(seen);
	}
	assert_int_equal(mob_session_current(&s), 0);
	record = (struct mob_record)MOB_RECORD_INIT;
	assert_int_equal(mob_session_events_with(s, keep, NULL, &record), 0);
	/* QUEUED is told beside. */
	assert_in_range(n_seen, record.kept, 2 * record.kept);
	mob_session_close(s);
}

static struct mob_metrics metrics(void)
{
	struct mob_metrics m = MOB_METRICS_INIT;
	struct mob_session *s;

	assert_int_equal(mob_session_current(&s), 0);
	assert_int_equal(mob_session_metrics(s, &m), 0);
	mob_session_close(s);
	return m;
}

static uint64_t task_of(mob_ref r)
{
	struct mob_store *s = mobi_rt.store;

	return mobi_load(&s->slots[(uint32_t)r.lo].producer);
}

/* The kinds of the events of a task: "SQRF". */
static const char *history(uint64_t task)
{
	static const char letter[] = "?SNQRBGFXTCKJLD";
	static char text[64];
	size_t n = 0;

	for (size_t i = 0; i < n_seen && n + 1 < sizeof(text); i++) {
		if (seen[i].task == task) {
			text[n++] = letter[seen[i].kind];
		}
	}
	text[n] = '\0';
	return text;
}

static const struct mob_event *event_of(uint64_t task, uint32_t kind)
{
	for (size_t i = 0; i < n_seen; i++) {
		if (seen[i].task == task && seen[i].kind == kind) {
			return &seen[i];
		}
	}
	fail_msg("task has no event %s", mob_event_kind_name(kind));
	return NULL;
}

static void is(const char *have, const char *want)
{
	if (strcmp(have, want) != 0) {
		fail_msg("the history is %s, not %s", have, want);
	}
}

/* ---- each change ---- */

static void test_record_tells_each_change_of_a_task(void **state)
{
	mob_ref a = mob_submit(d_add, 1, 2);
	mob_ref b = mob_submit(d_add, a, 1);
	mob_ref c;
	uint64_t id;
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(b, &x), 0);
	c = mob_submit_with(MOB_OPTS(.name = "outer"), d_waits, b);
	assert_int_equal(mob_get(c, &x), 0);
	assert_true(live_await_tasks(0));
	look();
	is(history(task_of(a)), "SQRF");
	is(history(task_of(b)), "SNQRF");
	assert_int_equal(event_of(task_of(b), MOB_EVENT_NEEDS)->other,
			 task_of(a));
	assert_string_equal(event_of(task_of(a), MOB_EVENT_STARTED)->name, "d_"
									   "ad"
									   "d");
	assert_int_equal(event_of(task_of(a), MOB_EVENT_SUBMITTED)->pid,
			 getpid());
	assert_int_not_equal(event_of(task_of(a), MOB_EVENT_STARTED)->pid,
			     getpid());
	/* It waited for the one that it submitted. */
	is(history(task_of(c)), "SNQRBGF");
	assert_string_equal(event_of(task_of(c), MOB_EVENT_FINISHED)->name,
			    "outer");
	id = event_of(task_of(c), MOB_EVENT_BLOCKED)->other;
	is(history(id), "SQRF");
	assert_true(event_of(id, MOB_EVENT_STARTED)->time_ns <=
		    event_of(task_of(c), MOB_EVENT_RESUMED)->time_ns);
}

static void test_record_tells_how_a_task_ended(void **state)
{
	mob_ref bad, again, dead, gone;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	bad = mob_submit(d_fails, ledger.path, 1);
	assert_int_equal(mob_get(bad, &x), MOB_E_TASK);
	mob_error_clear();
	ledger.at[N_RUNS] = 0;
	again = mob_submit_with(MOB_OPTS(.retry_errors = 1), d_fails,
				ledger.path, 2);
	assert_int_equal(mob_get(again, &x), 0);
	ledger.at[N_RUNS] = 0;
	dead = mob_submit_with(MOB_OPTS(.retries = 0), d_kills, ledger.path);
	assert_int_equal(mob_get(dead, &x), MOB_E_CRASHED);
	mob_error_clear();
	ledger.at[N_RUNS] = 0;
	gone = mob_submit(d_kills, ledger.path);
	assert_int_equal(mob_get(gone, &x), 0);
	assert_true(live_await_tasks(0));
	look();
	is(history(task_of(bad)), "SQRX");
	assert_int_equal(event_of(task_of(bad), MOB_EVENT_FAILED)->code, 7);
	is(history(task_of(again)), "SQRTQRTQRF");
	assert_int_equal(event_of(task_of(again), MOB_EVENT_FINISHED)->attempt,
			 3);
	is(history(task_of(dead)), "SQRKX");
	assert_int_equal(event_of(task_of(dead), MOB_EVENT_CRASHED)->signal,
			 SIGKILL);
	assert_int_equal(event_of(task_of(dead), MOB_EVENT_FAILED)->code,
			 MOB_E_CRASHED);
	is(history(task_of(gone)), "SQRKTQRF");
	live_ledger_close(&ledger);
}

static void test_record_tells_what_was_cancelled(void **state)
{
	mob_ref late;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	/* It fails for ever, an hour apart. */
	late = mob_submit_with(MOB_OPTS(.retries = -1, .retry_errors = 1,
					.backoff_ns = 3600 * (uint64_t)MOB_SEC),
			       d_fails, ledger.path, UINT64_MAX);
	while (!live_ledger_get(ledger.path, N_RUNS)) {
		mobi_pause_ns(MOB_MS / 5);
	}
	assert_true(mob_task_cancel(late, 0) >= 0);
	assert_true(live_await_tasks(0));
	look();
	is(history(task_of(late)), "SQRTC");
	live_ledger_close(&ledger);
}

static bool is_set(void *arg)
{
	const uint64_t *word = arg;

	return live_ledger_get(ledger.path, *word) != 0;
}

/* It was queued when its worker looked, not when that took it. */
static void test_record_tells_since_when_a_task_was_queued(void **state)
{
	struct mob_metrics m;
	uint64_t first_runs = 3;
	uint64_t second_runs = 5;
	uint64_t queued;
	mob_ref first, second, third;
	int64_t x;

	(void)state;
	live_start_with(1, "fifo");
	live_ledger_open(&ledger, WORDS);
	first = mob_submit(d_stands, ledger.path, 2);
	assert_true(live_await(is_set, &first_runs));
	second = mob_submit(d_stands, ledger.path, 4);
	third = mob_submit(d_add, 1, 2);
	(void)live_ledger_add(ledger.path, 2);
	assert_true(live_await(is_set, &second_runs));
	(void)live_ledger_add(ledger.path, 4);
	assert_int_equal(mob_get(first, &x), 0);
	assert_int_equal(mob_get(second, &x), 0);
	assert_int_equal(mob_get(third, &x), 0);
	assert_true(live_await_tasks(0));
	look();
	is(history(task_of(third)), "SQRF");
	queued = event_of(task_of(third), MOB_EVENT_QUEUED)->time_ns;
	assert_true(queued <=
		    event_of(task_of(second), MOB_EVENT_STARTED)->time_ns);
	m = metrics();
	assert_true(m.wait.sum_ns >=
		    event_of(task_of(third), MOB_EVENT_STARTED)->time_ns -
			    queued);
	live_ledger_close(&ledger);
}

/* ---- rings ---- */

static void test_record_that_is_full_keeps_the_last(void **state)
{
	struct mob_metrics m;
	mob_ref r = MOB_REF_NONE;
	uint64_t in_whole = 0;
	int64_t x;

	(void)state;
	(void)setenv("MOBULA_RECORD_EVENTS", "50", 1); /* 64 */
	live_start(1);
	for (int i = 0; i < 1000; i++) {
		r = mob_submit(d_add, i, 1);
		assert_int_equal(mob_get(r, &x), 0);
	}
	assert_true(live_await_tasks(0));
	look();
	is(history(task_of(r)), "SQRF");
	assert_int_equal(record.events_max, 64);
	assert_int_equal(record.torn, 0);
	assert_int_equal(record.written, record.kept + record.lost);
	/* 1,000 by the driver and 2,000 by the worker, and one or so each of
	 * the start. */
	assert_true(record.lost >= 3000 - 128 && record.kept >= 128);
	/* Since when nothing is: the later one of both. */
	for (size_t i = 0; i < n_seen; i++) {
		in_whole += seen[i].kind == MOB_EVENT_STARTED &&
			    seen[i].time_ns >= record.whole_ns;
	}
	assert_in_range(in_whole, 30, 33);
	assert_true(record.whole_ns < record.now_ns);
	m = metrics();
	assert_int_equal(m.events[MOB_EVENT_SUBMITTED], 1000);
	assert_int_equal(m.events[MOB_EVENT_FINISHED], 1000);
}

static void test_record_may_be_off(void **state)
{
	struct mob_metrics m;
	uint64_t n = 0;
	int64_t x;

	(void)state;
	(void)setenv("MOBULA_RECORD_EVENTS", "0", 1);
	live_start(1);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(mob_take(mob_submit(d_add, i, 1), &x), 0);
	}
	assert_true(live_await_tasks(0));
	look();
	assert_int_equal(n_seen, 0);
	assert_int_equal(record.events_max, 0);
	/* It counts all the same. */
	m = metrics();
	assert_int_equal(m.events[MOB_EVENT_FINISHED], 10);
	for (int i = 0; i < MOB_HISTOGRAM_BUCKETS; i++) {
		n += m.run.bucket[i];
	}
	assert_int_equal(n, 10);
	assert_true(m.run.sum_ns > 0);
}

/* ---- counts ---- */

/* Workers that have come up, and are not cleaned up after. */
static uint32_t in_places(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		n += mobi_load(&mobi_rt.sched->place[i].client) != 0;
	}
	return n;
}

static bool has_two_workers(void *arg)
{
	const int *old = arg;

	return in_places() == 2 && live_workers() == 2 &&
	       live_worker(0) != old[0] && live_worker(1) != old[1] &&
	       live_worker(0) != old[1];
}

static bool six_died(void *arg)
{
	(void)arg;
	return metrics().events[MOB_EVENT_DIED] == 6;
}

static void test_metrics_outlive_who_counted(void **state)
{
	struct mob_metrics m;
	uint64_t waits = 0;
	int64_t x;
	int old[2] = { 0, 0 };

	(void)state;
	live_start(2);
	assert_true(live_await(has_two_workers, old));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 50; i++) {
			assert_int_equal(mob_take(mob_submit(d_add, i, 1), &x),
					 0);
		}
		assert_true(live_await_tasks(0));
		old[0] = live_worker(0);
		old[1] = live_worker(1);
		(void)mobi_kill(old[0], SIGKILL);
		(void)mobi_kill(old[1], SIGKILL);
		assert_true(live_await(has_two_workers, old));
	}
	assert_true(live_await(six_died, NULL));
	m = metrics();
	assert_int_equal(m.events[MOB_EVENT_SUBMITTED], 150);
	assert_int_equal(m.events[MOB_EVENT_STARTED], 150);
	assert_int_equal(m.events[MOB_EVENT_FINISHED], 150);
	for (int i = 0; i < MOB_HISTOGRAM_BUCKETS; i++) {
		waits += m.wait.bucket[i];
	}
	assert_int_equal(waits, 150);
}

/* ---- half written ---- */

#define MANY 4u
#define TIMES 30000u
#define SALT UINT64_C(0x5851f42d4c957f2d)

static mobi_a32 writing;

static void *write_many(void *arg)
{
	uint64_t x = (uint64_t)(uintptr_t)arg << 32;

	for (uint32_t i = 0; i < TIMES; i++, x++) {
		mobi_record_put(mobi_rt.store, MOB_EVENT_RESUMED, x & 0xffff,
				x * SALT, ~x);
	}
	(void)mobi_fetch_sub(&writing, 1u);
	return NULL;
}

/* The words of one event are of one another. */
static void check_ring(uint64_t *io_whole, uint64_t *io_mixed)
{
	struct mob_store *s = mobi_rt.store;
	const struct mobi_record_head *h = mobi_record_at(s, s->me);
	uint32_t events = mobi_rt.sched->record_events;
	uint64_t next = mobi_load(&h->next);
	struct mobi_event_read e;

	for (uint64_t p = next > events ? next - events : 0; p < next; p++) {
		if (mobi_event_read(h, events, p, &e) != MOBI_EVENT_WHOLE ||
		    (e.when & 255u) != MOB_EVENT_RESUMED) {
			continue;
		}
		(*io_whole)++;
		*io_mixed += e.task != ~e.more * SALT ||
			     e.when >> 8 != (~e.more & 0xffff);
	}
}

/* One bit of the last event is another: it is not whole. */
static void check_bits(void)
{
	struct mob_store *s = mobi_rt.store;
	const struct mobi_record_head *h = mobi_record_at(s, s->me);
	uint64_t last = mobi_load(&h->next) - 1;
	struct mobi_event *e = s->record.events;
	mobi_a64 *word[] = { &e->when, &e->task, &e->more };
	struct mobi_event_read out;

	for (uint32_t i = 0; i < 3 * 64; i++) {
		uint64_t was = mobi_load(word[i / 64]);

		mobi_store(word[i / 64], was ^ MOBI_BIT(i % 64));
		assert_int_equal(mobi_event_read(h, 1, last, &out),
				 MOBI_EVENT_TORN);
		mobi_store(word[i / 64], was);
	}
	assert_int_equal(mobi_event_read(h, 1, last, &out), MOBI_EVENT_WHOLE);
}

static void test_record_never_mixes_two_events(void **state)
{
	pthread_t t[MANY];
	uint64_t whole = 0;
	uint64_t mixed = 0;

	(void)state;
	/* They all write to the same place. */
	(void)setenv("MOBULA_RECORD_EVENTS", "1", 1);
	live_start(1);
	mobi_store(&writing, MANY);
	for (uintptr_t i = 0; i < MANY; i++) {
		assert_int_equal(pthread_create(&t[i], NULL, write_many,
						(void *)(i + 1)),
				 0);
	}
	while (mobi_load(&writing)) {
		check_ring(&whole, &mixed);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
	}
	assert_int_equal(mixed, 0);
	/* The last that write may have met, too. */
	mobi_record_put(mobi_rt.store, MOB_EVENT_RESUMED, 5, 5 * SALT,
			~UINT64_C(5));
	check_bits();
}

/* ---- order ---- */

#define FAILING 1000

static void test_record_orders_what_several_processes_tell(void **state)
{
	static mob_ref plain[FAILING];
	static mob_ref r[FAILING];
	int64_t x;

	(void)state;
	live_start(4);
	live_ledger_open(&ledger, WORDS + FAILING);
	for (int i = 0; i < FAILING; i++) {
		r[i] = mob_submit_with(MOB_OPTS(.retry_errors = 1), d_fails_at,
				       ledger.path, WORDS + (uint64_t)i, 2);
	}
	for (int i = 0; i < FAILING; i++) {
		plain[i] = mob_submit(d_add, i, 1);
	}
	for (int i = 0; i < FAILING; i++) {
		assert_int_equal(mob_get(plain[i], &x), 0);
		assert_int_equal(mob_get(r[i], &x), 0);
	}
	assert_true(live_await_tasks(0));
	look();
	for (int i = 0; i < FAILING; i++) {
		is(history(task_of(r[i])), "SQRTQRTQRF");
		is(history(task_of(plain[i])), "SQRF");
	}
	live_ledger_close(&ledger);
}

#ifdef MOB_FAILPOINTS
static void test_record_half_written_is_not_what_was_there(void **state)
{
	struct mob_store *s;
	uint64_t half;
	int64_t x;

	(void)state;
	(void)setenv("MOBULA_RECORD_EVENTS", "64", 1);
	live_start(1);
	live_ledger_open(&ledger, WORDS);
	assert_int_equal(mob_take(mob_submit(d_overwrites, ledger.path), &x),
			 0);
	assert_int_equal(x, 1);
	s = mobi_rt.store;
	half = alike_when() << 8 | MOB_EVENT_RESUMED;
	for (uint32_t c = 1; c < MOBI_CLIENTS; c++) {
		const struct mobi_record_head *h = mobi_record_at(s, c);
		uint64_t next = h ? mobi_load(&h->next) : 0;
		struct mobi_event_read e;

		for (uint64_t p = 0; p < next; p++) {
			assert_true(mobi_event_read(h, 64, p, &e) !=
					    MOBI_EVENT_WHOLE ||
				    e.when != half);
		}
	}
	live_ledger_close(&ledger);
}

static int count_ended(const struct mob_event *e, void *arg)
{
	*(int *)arg += e->kind == MOB_EVENT_FINISHED;
	return 0;
}

/* In a child, which stops at the n-th ring that it reads. Exit code: how many tasks it
 * is told have ended; 255: it failed. */
static void read_and_stop(int n)
{
	struct mob_session *s;
	char spec[64];
	int ended = 0;

	(void)snprintf(spec, sizeof(spec), "record.read=stop@%d", n);
	mobi_fault_arm(spec);
	if (mob_session_open(mobi_rt.store->name, &s) < 0 ||
	    mob_session_events(s, count_ended, &ended) < 0) {
		ended = 255;
	}
	_exit(ended);
}

/* Whatever comes while events are read, none is missed of those that were there. */
static void test_record_read_while_many_come_misses_none(void **state)
{
	int64_t x;

	(void)state;
	(void)setenv("MOBULA_RECORD_EVENTS", "131072", 1);
	live_start(1);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(mob_take(mob_submit(d_add, i, 1), &x), 0);
	}
	assert_true(live_await_tasks(0));
	/* With the fewest events at first: room for them is not made ahead. */
	for (int n = MOBI_CLIENTS; n; n--) {
		int status;
		pid_t pid = fork();

		if (!pid) {
			read_and_stop(n);
		}
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		if (WIFSTOPPED(status)) {
			for (int i = 0; i < 20000; i++) {
				mobi_record_put(mobi_rt.store,
						MOB_EVENT_RESUMED, 0,
						ALIKE_TASK, 0);
			}
			assert_int_equal(kill(pid, SIGCONT), 0);
			assert_int_equal(waitpid(pid, &status, 0), pid);
		}
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 10);
	}
}

/* Kills the worker in the n-th event from the end of a task on. */
static void die_at(const char *point, int n, uint64_t lost, const char *next_is)
{
	char spec[64];
	uint64_t torn;
	mob_ref r[20];
	mob_ref arms;
	int64_t x;

	look();
	torn = record.torn;
	ledger.at[N_RUNS] = 0;
	(void)snprintf(spec, sizeof(spec), "%s=kill@%d", point, n);
	arms = mob_submit(d_arms, ledger.path, spec);
	assert_int_equal(mob_get(arms, &x), 0);
	for (int i = 0; i < 20; i++) {
		r[i] = mob_submit(d_add, i, 1);
	}
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mob_get(r[i], &x), 0);
		assert_int_equal(x, i + 1);
	}
	assert_true(live_await_tasks(0));
	look();
	assert_int_equal(record.torn, torn + lost);
	/* Each once: what the dead one could not tell, the janitor tells. */
	is(history(task_of(arms)), "SQRF");
	is(history(task_of(r[0])), next_is);
	for (int i = 1; i < 20; i++) {
		is(history(task_of(r[i])), "SQRF");
		assert_string_equal(
			event_of(task_of(r[i]), MOB_EVENT_STARTED)->name, "d_"
									  "ad"
									  "d");
	}
}

static void test_record_survives_death_in_the_middle_of_an_event(void **state)
{
	static const char *const point[] = { "record.claimed", "record.half" };

	(void)state;
	(void)unsetenv("MOBULA_RECORD_EVENTS");
	live_start_with(1, "fifo");
	live_ledger_open(&ledger, WORDS);
	for (int i = 0; i < 2; i++) {
		die_at(point[i], 1, 1, "SQRF"); /* its own end */
		/* The start of the next: that is lost, and starts again. */
		die_at(point[i], 2, 1, "SKTQRF");
		die_at(point[i], 3, 1, "SQRF");
	}
	die_at("task.told", 1, 0, "SQRF");
	live_ledger_close(&ledger);
}
#endif

static int start(void **state)
{
	(void)state;
	/* One: what it waits for cannot run before it waits. */
	live_start(1);
	return 0;
}

static int leave(void **state)
{
	(void)state;
	(void)unsetenv("MOBULA_RECORD_EVENTS");
	mob_shutdown();
	mob_error_clear();
	return 0;
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)
#define ALONE(test) cmocka_unit_test_teardown(test, leave)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_record_tells_each_change_of_a_task),
		T(test_record_tells_how_a_task_ended),
		T(test_record_tells_what_was_cancelled),
	};
	const struct CMUnitTest alone[] = {
		ALONE(test_record_tells_since_when_a_task_was_queued),
		ALONE(test_record_that_is_full_keeps_the_last),
		ALONE(test_record_may_be_off),
		ALONE(test_metrics_outlive_who_counted),
		ALONE(test_record_never_mixes_two_events),
		ALONE(test_record_orders_what_several_processes_tell),
#ifdef MOB_FAILPOINTS
		ALONE(test_record_read_while_many_come_misses_none),
		ALONE(test_record_half_written_is_not_what_was_there),
		ALONE(test_record_survives_death_in_the_middle_of_an_event),
#endif
	};
	int failed = cmocka_run_group_tests(tests, start, leave);

	failed += cmocka_run_group_tests(alone, NULL, NULL);
	forget();
	free(seen);
	return failed;
}
