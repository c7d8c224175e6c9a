/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration table and its reading from the environment. */
#define _GNU_SOURCE

#include "conf.h"
#include "err.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int clear(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MOBI_CONF_COUNT; i++) {
		(void)unsetenv(mobi_conf_entry((enum mobi_conf_id)i)->env);
	}
	return 0;
}

static void test_entry_env_is_the_name_in_capitals(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MOBI_CONF_COUNT; i++) {
		const struct mobi_conf_entry *e =
			mobi_conf_entry((enum mobi_conf_id)i);
		const char *at = e->env + strlen("MOBULA_");

		assert_int_equal(strncmp(e->env, "MOBULA_", 7), 0);
		assert_int_equal(strlen(at), strlen(e->name));
		for (size_t k = 0; at[k] != '\0'; k++) {
			assert_int_equal(at[k], toupper(e->name[k]));
		}
		assert_true(strlen(e->help) > 0);
	}
}

static void test_entry_default_is_within_its_limits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MOBI_CONF_COUNT; i++) {
		enum mobi_conf_id id = (enum mobi_conf_id)i;
		const struct mobi_conf_entry *e = mobi_conf_entry(id);
		const char *text = NULL;
		uint64_t n = 0;

		if (e->type == MOBI_CONF_STR) {
			assert_int_equal(mobi_conf_str(id, &text), 0);
			assert_string_equal(text, e->def);
		} else {
			assert_int_equal(mobi_conf_u64(id, &n), 0);
			assert_int_equal(n, strtoull(e->def, NULL, 10));
		}
	}
}

static void test_u64_of_environment_wins(void **state)
{
	uint64_t n = 0;

	(void)state;
	(void)setenv("MOBULA_WORKERS", "48", 1);
	assert_int_equal(mobi_conf_u64(MOBI_CONF_ID_workers, &n), 0);
	assert_int_equal(n, 48);
}

static void test_u64_bad_text_is_refused_with_limits(void **state)
{
	static const char *const bad[] = {
		"49",
		"-1",
		"+1",
		" 1",
		"1 ",
		"0x10",
		"1.5",
		"two",
		"1M",
		"18446744073709551616",
		"99999999999999999999999",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t n = 77;
		const char *detail = NULL;

		(void)setenv("MOBULA_WORKERS", bad[i], 1);
		assert_int_equal(mobi_conf_u64(MOBI_CONF_ID_workers, &n),
				 MOB_E_INVAL);
		assert_int_equal(n, 77);
		detail = mob_err_detail(MOB_E_INVAL);
		assert_non_null(strstr(detail, "MOBULA_WORKERS"));
		assert_non_null(strstr(detail, bad[i]));
		assert_non_null(strstr(detail, "from 0 to 48"));
	}
}

static void test_empty_variable_counts_as_unset(void **state)
{
	uint64_t n = 77;
	const char *text = NULL;

	(void)state;
	(void)setenv("MOBULA_WORKERS", "", 1);
	(void)setenv("MOBULA_POLICY", "", 1);
	assert_int_equal(mobi_conf_u64(MOBI_CONF_ID_workers, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(mobi_conf_str(MOBI_CONF_ID_policy, &text), 0);
	assert_string_equal(text, "ws");
}

static void test_str_of_environment_wins(void **state)
{
	const char *text = NULL;

	(void)state;
	(void)setenv("MOBULA_POLICY", "./mine.so", 1);
	assert_int_equal(mobi_conf_str(MOBI_CONF_ID_policy, &text), 0);
	assert_string_equal(text, "./mine.so");
}

static void test_bytes_take_suffixes(void **state)
{
	static const struct {
		const char *text;
		uint64_t n;
	} rows[] = {
		{ "0", 0 },
		{ "1073741824", UINT64_C(1) << 30 },
		{ "3k", 3072 },
		{ "3K", 3072 },
		{ "64M", UINT64_C(64) << 20 },
		{ "64m", UINT64_C(64) << 20 },
		{ "2G", UINT64_C(2) << 30 },
		{ "18446744073709551615", UINT64_MAX },
		{ "17179869183G", UINT64_C(17179869183) << 30 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t n = 77;

		assert_int_equal(mobi_conf_parse_bytes(rows[i].text, &n), 0);
		assert_int_equal(n, rows[i].n);
	}
}

static void test_bytes_bad_text_is_refused(void **state)
{
	static const char *const bad[] = {
		"",    "M",    "64MB", "64 M",         "-1M",
		"64T", "1.5G", "64Mi", "17179869184G", "18446744073709551616",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t n = 77;

		assert_int_equal(mobi_conf_parse_bytes(bad[i], &n),
				 MOB_E_INVAL);
		assert_int_equal(n, 77);
		assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), bad[i]));
	}
}

static void test_bytes_variable_has_suffixes_and_limits(void **state)
{
	uint64_t n = 77;

	(void)state;
	(void)setenv("MOBULA_STORE_BYTES", "64M", 1);
	assert_int_equal(mobi_conf_u64(MOBI_CONF_ID_store_bytes, &n), 0);
	assert_int_equal(n, UINT64_C(64) << 20);
	(void)setenv("MOBULA_STORE_BYTES", "65537G", 1);
	assert_int_equal(mobi_conf_u64(MOBI_CONF_ID_store_bytes, &n),
			 MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "70368744177664"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_entry_env_is_the_name_in_capitals,
				       clear),
		cmocka_unit_test_setup(test_entry_default_is_within_its_limits,
				       clear),
		cmocka_unit_test_setup(test_u64_of_environment_wins, clear),
		cmocka_unit_test_setup(test_u64_bad_text_is_refused_with_limits,
				       clear),
		cmocka_unit_test_setup(test_empty_variable_counts_as_unset,
				       clear),
		cmocka_unit_test_setup(test_str_of_environment_wins, clear),
		cmocka_unit_test_setup(test_bytes_take_suffixes, clear),
		cmocka_unit_test_setup(test_bytes_bad_text_is_refused, clear),
		cmocka_unit_test_setup(
			test_bytes_variable_has_suffixes_and_limits, clear),
	};

	return cmocka_run_group_tests_name("core.conf", tests, NULL, NULL);
}
