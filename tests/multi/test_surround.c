/* SPDX-License-Identifier: Apache-2.0 */
/* Environment and working directory of a task: its own, as long as it runs. */
#define _GNU_SOURCE
#include "live.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "<A> <B> <directory>" as this process has them. */
static void look(char out[PATH_MAX])
{
	char dir[PATH_MAX / 2];
	const char *a = getenv("TEST_A");
	const char *b = getenv("TEST_B");

	(void)snprintf(out, PATH_MAX, "%s %s %s", a ? a : "-", b ? b : "-",
		       getcwd(dir, sizeof(dir)) ? dir : "?");
}

MOB_TASK(mob_str, s_look, int64_t, i)
{
	char text[PATH_MAX];
	char *out;

	(void)i;
	look(text);
	out = mob_new(strlen(text) + 1);
	if (out) {
		(void)strcpy(out, text); /* NOLINT: there is room */
	}
	return out;
}

/* By a program that it starts. */
MOB_TASK(mob_str, s_child, int64_t, i)
{
	FILE *f = popen("echo $TEST_A $(pwd)", "re"); /* NOLINT(cert-env33-c) */
	char *out = mob_new(PATH_MAX);

	(void)i;
	if (!f || !out || !fgets(out, PATH_MAX, f)) {
		mob_fail(1, "no answer");
	} else {
		out[strcspn(out, "\n")] = '\0';
	}
	if (f) {
		(void)pclose(f);
	}
	return out;
}

/* What it sees before, what tasks see that run inside its waits, and after. */
MOB_TASK(mob_str, s_outer, int64_t, i)
{
	static const char *const env[] = { "TEST_B=inner", NULL };
	char before[PATH_MAX];
	char after[PATH_MAX];
	const char *plain = NULL;
	const char *own = NULL;
	char *out = mob_new((size_t)4 * PATH_MAX);
	mob_ref r = mob_submit(s_look, i);

	look(before);
	(void)mob_get(r, &plain);
	r = mob_submit_with(MOB_OPTS(.env = env, .cwd = "/usr"), s_look, i);
	(void)mob_get(r, &own);
	look(after);
	if (out) {
		(void)snprintf(out, (size_t)4 * PATH_MAX, "%s|%s|%s|%s", before,
			       plain, own, after);
	}
	return out;
}

static const char *const two[] = { "TEST_A=one", "TEST_B=x=y z", NULL };

static void expect(mob_ref r, const char *want)
{
	const char *text = NULL;

	assert_int_equal(mob_get(r, &text), 0);
	assert_string_equal(text, want);
	mob_release(r);
}

static void test_surround_is_the_tasks_own(void **state)
{
	char here[PATH_MAX];

	(void)state;
	look(here);
	/* One worker: what was before is there again. */
	for (int i = 0; i < 3; i++) {
		expect(mob_submit_with(MOB_OPTS(.env = two, .cwd = "/"), s_look,
				       1),
		       "one x=y z /");
		expect(mob_submit(s_look, 1), here);
		expect(mob_submit_with(MOB_OPTS(.cwd = "/usr"), s_look, 1),
		       "- base /usr");
	}
	expect(mob_submit_with(MOB_OPTS(.env = two, .cwd = "/usr"), s_child, 1),
	       "one /usr");
}

static void test_surround_inside_a_wait(void **state)
{
	char here[PATH_MAX];
	char want[4 * PATH_MAX];

	(void)state;
	look(here);
	(void)snprintf(want, sizeof(want), "%s|%s|- inner /usr|%s",
		       "one x=y z /", here, "one x=y z /");
	expect(mob_submit_with(MOB_OPTS(.env = two, .cwd = "/"), s_outer, 1),
	       want);
	(void)snprintf(want, sizeof(want), "%s|%s|- inner /usr|%s", here, here,
		       here);
	expect(mob_submit(s_outer, 1), want);
}

static void expect_refused(struct mob_task_opts o, int code, const char *why)
{
	const char *text = NULL;
	mob_ref r = mob_submit_with(o, s_look, 1);

	assert_int_equal(mob_get(r, &text), code);
	if (!strstr(mob_error(), why)) {
		fail_msg("%s", mob_error());
	}
	mob_error_clear();
	mob_release(r);
}

static void test_surround_bad_ones_are_refused(void **state)
{
	static char much[1100] = "TEST_A=";
	const char *env[] = { "TEST_A", NULL };
	char here[PATH_MAX];

	(void)state;
	look(here);
	expect_refused(MOB_OPTS(.env = env), MOB_E_INVAL, "'TEST_A'");
	env[0] = "=a";
	expect_refused(MOB_OPTS(.env = env), MOB_E_INVAL, "'=a'");
	env[0] = "MOBULA_POLICY=fifo";
	expect_refused(MOB_OPTS(.env = env), MOB_E_INVAL, "MOBULA_");
	env[0] = much;
	memset(much + 7, 'x', sizeof(much) - 8);
	expect_refused(MOB_OPTS(.env = env), MOB_E_INVAL, "1016 bytes");
	expect_refused(MOB_OPTS(.cwd = "usr"), MOB_E_INVAL, "begins with '/'");
	/* Nothing of it stays. */
	expect_refused(MOB_OPTS(.env = two, .cwd = "/nowhere"), MOB_E_NOT_FOUND,
		       "/nowhere, which is no directory");
	expect(mob_submit(s_look, 1), here);
}

static void test_surround_so_many_sets(void **state)
{
	int rc = 0;
	int n = 0;

	(void)state;
	for (; n < 100 && rc == 0; n++) {
		char entry[32];
		const char *env[] = { entry, NULL };
		const char *text;
		mob_ref r;

		(void)snprintf(entry, sizeof(entry), "TEST_A=%d", n);
		r = mob_submit_with(MOB_OPTS(.env = env), s_look, 1);
		rc = mob_get(r, &text);
		mob_release(r);
	}
	assert_int_equal(rc, MOB_E_LIMIT);
	assert_true(n > 20);
	mob_error_clear();
	/* Those that there are go on. */
	expect(mob_submit_with(MOB_OPTS(.env = two, .cwd = "/"), s_look, 1),
	       "one x=y z /");
}

static int start(void **state)
{
	(void)state;
	(void)setenv("TEST_B", "base", 1);
	(void)setenv("MOBULA_EXTRA_WORKERS", "0", 1);
	live_start(1);
	return 0;
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_surround_is_the_tasks_own),
		T(test_surround_inside_a_wait),
		T(test_surround_bad_ones_are_refused),
		T(test_surround_so_many_sets),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
