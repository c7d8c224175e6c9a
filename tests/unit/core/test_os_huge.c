/* SPDX-License-Identifier: Apache-2.0 */
/* What is decided about huge pages from given facts, and the texts of the kernel
 * that the facts are read from. */
#include "os_huge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DEV(major, minor) ((uint64_t)(major) << 32 | (minor))

static void test_decide_follows_mount_and_switch(void **state)
{
	static const struct {
		bool tmpfs, hugetlbfs;
		uint64_t page;
		const char *option, *shmem;
		enum mobi_huge want;
		const char *says;
	} rows[] = {
		{ true, false, 2 << 20, "advise", "never", MOBI_HUGE_ASKED,
		  "/mnt has huge=advise" },
		{ true, false, 2 << 20, "always", "never", MOBI_HUGE_ALWAYS,
		  "/mnt has huge=always" },
		{ true, false, 2 << 20, "within_size", "never",
		  MOBI_HUGE_ALWAYS, "huge=within_size" },
		/* The switch is about another mount, but for two words. */
		{ true, false, 2 << 20, "", "always", MOBI_HUGE_NONE,
		  "mount -o remount,huge=advise /mnt" },
		{ true, false, 2 << 20, "never", "advise", MOBI_HUGE_NONE,
		  "mount -o remount,huge=advise /mnt" },
		{ true, false, 2 << 20, "", "force", MOBI_HUGE_ALWAYS,
		  "forced" },
		{ true, false, 2 << 20, "always", "deny", MOBI_HUGE_NONE,
		  "echo never" },
		{ true, false, 0, "always", "", MOBI_HUGE_NONE,
		  "built without" },
		{ false, false, 2 << 20, "", "force", MOBI_HUGE_NONE,
		  "/mnt is not a tmpfs" },
		{ false, true, 2 << 20, "", "never", MOBI_HUGE_ONLY,
		  "/mnt is a hugetlbfs" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mobi_huge_facts f = { .tmpfs = rows[i].tmpfs,
					     .hugetlbfs = rows[i].hugetlbfs,
					     .page_bytes = rows[i].page,
					     .mount = "/mnt" };
		char why[256] = "";

		memcpy(f.option, rows[i].option, strlen(rows[i].option));
		memcpy(f.shmem, rows[i].shmem, strlen(rows[i].shmem));
		assert_int_equal(mobi_huge_decide(&f, why, sizeof(why)),
				 rows[i].want);
		if (!strstr(why, rows[i].says)) {
			fail_msg("row %zu: '%s' lacks '%s'", i, why,
				 rows[i].says);
		}
	}
}

static void test_line_of_mountinfo_is_read(void **state)
{
	static const struct {
		const char *line;
		bool want;
		const char *mount, *option;
	} rows[] = {
		{ "42 27 0:39 / /mnt rw,relatime shared:3 - tmpfs none "
		  "rw,size=1048576k,huge=advise\n",
		  true, "/mnt", "advise" },
		{ "42 27 0:39 / /mnt rw - tmpfs none rw,huge=always,mode=755\n",
		  true, "/mnt", "always" },
		{ "42 27 0:39 /a /b\\040c rw - tmpfs none rw\n", true,
		  "/b\\040c", "" },
		/* Neither a name that ends so, nor an option of the place. */
		{ "42 27 0:39 / /,huge=x rw - tmpfs none rw,nohuge=always\n",
		  true, "/,huge=x", "" },
		{ "42 27 0:40 / /mnt rw - tmpfs none rw,huge=always\n", false,
		  "", "" },
		{ "42 27 0:39 / /mnt rw\n", false, "", "" },
		{ "nonsense - tmpfs\n", false, "", "" },
		{ "", false, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mobi_huge_facts f = { .option = "stale" };

		assert_int_equal(mobi_huge_of_line(rows[i].line, DEV(0, 39),
						   &f),
				 rows[i].want);
		if (rows[i].want) {
			assert_string_equal(f.mount, rows[i].mount);
			assert_string_equal(f.option, rows[i].option);
		}
	}
}

static void test_nodes_of_a_list_are_counted(void **state)
{
	static const struct {
		const char *list;
		uint32_t want;
	} rows[] = {
		{ "0\n", 1 },     { "0-1\n", 2 }, { "0,2-3,7\n", 4 },
		{ "0-15\n", 16 }, { "", 1 },      { "\n", 1 },
		{ "x", 1 },       { "3-1\n", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(mobi_nodes_of(rows[i].list), rows[i].want);
	}
	assert_true(mobi_node_count() >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decide_follows_mount_and_switch),
		cmocka_unit_test(test_line_of_mountinfo_is_read),
		cmocka_unit_test(test_nodes_of_a_list_are_counted),
	};

	return cmocka_run_group_tests_name("core.os_huge", tests, NULL, NULL);
}
