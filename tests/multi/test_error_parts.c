/* SPDX-License-Identifier: Apache-2.0 */
/* What an error holds beside its code and text, what a crash says, and errors that
 * nobody reads. */
#include "live.h"

#include "os_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

MOB_TASK(int64_t, e_add, int64_t, a, int64_t, b)
{
	return a + b;
}

/* ---- the parts of an error ---- */

struct e_detail {
	int32_t line;
	char word[40];
};

MOB_TASK(int64_t, e_fails_with, mob_str, path, uint64_t, size)
{
	static unsigned char large[MOB_ERROR_PAYLOAD_MAX + 1];
	const struct e_detail d = { 77, "unbalanced" };

	if (live_ledger_add(path, 0) == 0) {
		mob_fail(5, "the first time");
	} else if (size) {
		large[0] = 1;
		large[size - 1] = 2;
		mob_fail_with(6, large, size, "with %d bytes", (int)size);
	} else {
		mob_fail_with(6, &d, sizeof(d), "cannot parse");
	}
	return 0;
}

MOB_TASK(int64_t, e_passes_on, int64_t, x)
{
	return x;
}

MOB_TASK(int64_t, e_pends, mob_refs, r)
{
	int64_t x;

	mob_get(r.at[0], &x);
	return x;
}

static void expect_detail(mob_ref r, const char *way)
{
	struct mob_error_info i = MOB_ERROR_INFO_INIT;
	struct e_detail d;
	int64_t x;

	assert_int_equal(mob_get(r, &x), MOB_E_TASK);
	assert_true(mob_error_info(&i));
	assert_int_equal(i.struct_size, sizeof(i));
	assert_int_equal(i.rc, MOB_E_TASK);
	assert_int_equal(i.code, 6);
	assert_string_equal(i.text, mob_error());
	assert_string_equal(i.task, "e_fails_with");
	assert_non_null(strstr(i.file, "test_error_parts.c"));
	assert_true(i.line > 0);
	assert_int_equal(i.attempt, 2);
	assert_true(i.worker > 0 && i.pid > 0);
	assert_int_not_equal(i.pid, mobi_proc_self().pid);
	assert_int_equal(i.payload_size, sizeof(d));
	memcpy(&d, i.payload, sizeof(d));
	assert_int_equal(d.line, 77);
	assert_string_equal(d.word, "unbalanced");
	if (!strstr(i.text, way)) {
		fail_msg("'%s' is not in: %s", way, i.text);
	}
	mob_error_clear();
	assert_false(mob_error_info(&i));
	assert_null(i.payload);
	assert_null(i.text);
}

static void test_semantics_15_error_has_all_its_parts(void **state)
{
	struct live_ledger l;
	mob_ref r;
	mob_ref on;

	(void)state;
	live_ledger_open(&l, 1);
	r = mob_submit_with(MOB_OPTS(.retry_errors = 1, .retries = 1),
			    e_fails_with, l.path, 0);
	expect_detail(r, "cannot parse (task e_fails_with, ");
	/* Read again, the same. */
	expect_detail(r, "cannot parse (task e_fails_with, ");
	/* Through dependents, and through who got it. */
	on = mob_submit(e_passes_on, r);
	expect_detail(on, " <- e_passes_on");
	on = mob_submit(e_pends, mob_refs_of(&r, 1));
	expect_detail(on, "(task e_pends, ");
	live_ledger_close(&l);
}

static void test_errors_payload_of_any_size(void **state)
{
	static const uint64_t sizes[] = { 1, 100, 4096, MOB_ERROR_PAYLOAD_MAX,
					  MOB_ERROR_PAYLOAD_MAX + 1 };
	struct live_ledger l;

	(void)state;
	live_ledger_open(&l, 1);
	l.at[0] = 1;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct mob_error_info e = MOB_ERROR_INFO_INIT;
		int64_t x;

		assert_int_equal(
			mob_get(mob_submit(e_fails_with, l.path, sizes[i]), &x),
			MOB_E_TASK);
		assert_true(mob_error_info(&e));
		if (sizes[i] <= MOB_ERROR_PAYLOAD_MAX) {
			const unsigned char *p = e.payload;

			assert_int_equal(e.payload_size, sizes[i]);
			assert_int_equal(p[sizes[i] - 1], 2);
		} else {
			/* The error is there all the same. */
			assert_int_equal(e.code, 6);
			assert_null(e.payload);
			assert_non_null(strstr(e.text, "was left out"));
		}
		mob_error_clear();
	}
	live_ledger_close(&l);
}

/* ---- errors that nobody reads ---- */

MOB_TASK_N(e_three_fail, (int64_t, a, int64_t, b, int64_t, c), mob_str, text)
{
	mob_fail(9, "%s", text);
	*a = *b = *c = 1;
}

static char log_path[64];

/* How often the log has the text. */
static int told(const char *text)
{
	static char all[1 << 16];
	FILE *f = fopen(log_path, "r");
	int n = 0;

	assert_non_null(f);
	all[fread(all, 1, sizeof(all) - 1, f)] = '\0';
	assert_int_equal(fclose(f), 0);
	for (const char *at = all; (at = strstr(at, text)); at++) {
		n++;
	}
	return n;
}

static bool is_told(void *arg)
{
	return told(arg) > 0;
}

static void fail_three(mob_ref *r, const char *text)
{
	assert_int_equal(mob_submit_n(r, 3, e_three_fail, (mob_str)text), 0);
	assert_int_equal(mob_wait(r, 3, 3, MOB_FOREVER, NULL), 3);
}

static void drop_three(const mob_ref *r)
{
	for (int i = 0; i < 3; i++) {
		assert_int_equal(mob_release(r[i]), 0);
	}
}

static void make_unread(void)
{
	char text[] = "nobody looks";
	mob_ref three[3];
	mob_ref on;
	int64_t x;

	fail_three(three, text);
	drop_three(three);
	assert_true(live_await(is_told, text));
	/* One of its results is read. */
	fail_three(three, "one is looked at");
	assert_int_equal(mob_get(three[1], &x), MOB_E_TASK);
	mob_error_clear();
	drop_three(three);
	/* It goes on to another task, whose error is read, or not. */
	for (int i = 0; i < 2; i++) {
		fail_three(three, i ? "passed on 1" : "passed on 0");
		on = mob_submit(e_passes_on, three[0]);
		assert_int_equal(mob_wait(&on, 1, 1, MOB_FOREVER, NULL), 1);
		if (i) {
			assert_int_equal(mob_get(on, &x), MOB_E_TASK);
			mob_error_clear();
		}
		drop_three(three);
		assert_int_equal(mob_release(on), 0);
	}
	/* Of a call, not of a task; and what is dropped with its frame. */
	MOB_SCOPE
	{
		(void)mob_submit_with(MOB_OPTS(.cpus = -7), e_add, 1, 2);
	}
	(void)mob_submit_with(MOB_OPTS(.cpus = -8), e_add, 1, 2);
	/* What was cancelled is somebody's wish. */
	on = mob_submit_with(MOB_OPTS(.cpus = 99), e_passes_on, 1);
	assert_int_equal(mob_task_cancel(on, 0), 1);
	assert_int_equal(mob_release(on), 0);
	fail_three(three, "at the end");
}

static void test_semantics_18_unread_error_is_told_once(void **state)
{
	int saved = dup(STDERR_FILENO);
	FILE *log;

	(void)state;
	(void)snprintf(log_path, sizeof(log_path), "/tmp/mob-unread-%u",
		       mobi_proc_self().pid);
	log = fopen(log_path, "w");
	assert_non_null(log);
	assert_true(saved >= 0);
	/* Before the daemon starts, which has the same. */
	assert_int_equal(dup2(fileno(log), STDERR_FILENO), STDERR_FILENO);
	live_start(2);
	make_unread();
	mob_shutdown();
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(saved), 0);
	assert_int_equal(fclose(log), 0);
	assert_int_equal(told("nobody read this error: nobody looks"), 1);
	assert_int_equal(told("one is looked at"), 0);
	assert_int_equal(told("passed on 0"), 1);
	assert_int_equal(told(" <- e_passes_on"), 1);
	assert_int_equal(told("passed on 1"), 0);
	assert_int_equal(told("cpus is -7"), 1);
	assert_int_equal(told("cpus is -8"), 1);
	assert_int_equal(told("at the end"), 1);
	assert_int_equal(told("nobody read"), 5);
	assert_int_equal(unlink(log_path), 0);
}

enum {
	BY_STACK,
	BY_LARGE_FRAME,
	BY_VIEW,
	BY_INLINE_VIEW,
	BY_NULL,
	BY_ADDRESS,
	BY_POISON,
	BY_ABORT,
	BY_EXIT
};

struct deep;
typedef int deep_fn(const struct deep *d, int n);
struct deep {
	deep_fn *fn;
};

static int go_deeper(const struct deep *d, int n)
{
	volatile char room[4096];

	room[n % 4096] = (char)n;
	return d->fn(d, n + 1) + room[(n + 1) % 4096];
}

static int large_frame(void)
{
	volatile char room[12 << 20];

	room[0] = 1;
	room[sizeof(room) - 1] = 2;
	return room[0];
}

MOB_TASK(int64_t, e_crashes, int32_t, how, mob_str, text)
{
	struct deep d = { go_deeper };
	volatile int *bad =
		how == BY_NULL ?
			NULL :
			(volatile int *)(uintptr_t)UINT64_C(0x123456789000);

	if (how == BY_POISON) {
		/* What no address can be. */
		bad = (volatile int *)(uintptr_t)UINT64_C(0x5a5a5a5a5a5a5a5a);
	}
	switch (how) {
	case BY_STACK:
		return d.fn(&d, 0);
	case BY_LARGE_FRAME:
		return large_frame();
	case BY_VIEW:
	case BY_INLINE_VIEW:
		*(volatile char *)(uintptr_t)text = 'x';
		break;
	case BY_ABORT:
		abort();
	case BY_EXIT:
		exit(4);
	default:
		*bad = 1;
		break;
	}
	return 0;
}

/* Each tells what it was. */
static void test_semantics_16_crash_says_what_it_was(void **state)
{
	static const struct {
		const char *part;
		int how;
	} ways[] = {
		{ "signal 11 (Segmentation fault): stack overflow", BY_STACK },
		{ "stack overflow", BY_LARGE_FRAME },
		{ "it wrote to an object of the store", BY_VIEW },
		{ "it wrote to an object of the store", BY_INLINE_VIEW },
		{ "null pointer, at 0", BY_NULL },
		{ "bad address 0x123456789000", BY_ADDRESS },
		{ "bad address,", BY_POISON },
		{ "signal 6 (Aborted),", BY_ABORT },
		{ "exit code 4,", BY_EXIT },
	};
	static char large[100000];

	(void)state;
	if (LIVE_SLOW > 1) {
		skip(); /* sanitizers have handlers of their own */
	}
	memset(large, 'y', sizeof(large) - 1);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		mob_ref text = mob_put(
			(mob_str)(ways[i].how == BY_INLINE_VIEW ? "z" : large));
		struct mob_error_info e = MOB_ERROR_INFO_INIT;
		mob_str after;
		int64_t x;

		assert_int_equal(mob_get(mob_submit_with(MOB_OPTS(.retries = 0),
							 e_crashes, ways[i].how,
							 text),
					 &x),
				 MOB_E_CRASHED);
		if (!strstr(mob_error(), ways[i].part)) {
			fail_msg("'%s' is not in: %s", ways[i].part,
				 mob_error());
		}
		assert_true(mob_error_info(&e));
		assert_string_equal(e.task, "e_crashes");
		assert_int_equal(e.attempt, 1);
		assert_int_not_equal(e.pid, mobi_proc_self().pid);
		assert_true(e.worker > 0);
		mob_error_clear();
		assert_int_equal(mob_get(text, &after), 0);
		assert_int_not_equal(after[0], 'x');
	}
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_15_error_has_all_its_parts),
		T(test_errors_payload_of_any_size),
		T(test_semantics_16_crash_says_what_it_was),
	};
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(test_semantics_18_unread_error_is_told_once),
	};
	int failed = cmocka_run_group_tests(tests, live_start_two, live_leave);

	return failed + cmocka_run_group_tests(alone, NULL, NULL);
}
