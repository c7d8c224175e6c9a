/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of memory, read from trees of files as kernels show them. */
#define _GNU_SOURCE
#include "os_pressure.h"

#include <mobula/types.h>

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define V1_NONE "9223372036854771712\n"
#define V1_MOUNT                                                               \
	"30 25 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - "           \
	"cgroup none rw,memory\n"
#define V2_MOUNT "31 25 0:27 / /cg rw - cgroup2 cgroup2 rw,nsdelegate\n"

static char root[64];
static struct mobi_pressure_files files;

static int make_root(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/mob-pressure-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int remove_root(void **state)
{
	(void)state;
	mobi_pressure_close(&files);
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A file below root, with the folders that it is in. */
static void put(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	(void)snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *at = full + strlen(root) + 1; (at = strchr(at, '/'));) {
		*at = '\0';
		(void)mkdir(full, 0700);
		*at++ = '/';
	}
	f = fopen(full, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void put_group(const char *dir, int version, const char *max,
		      const char *use, const char *stat)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/%s", dir,
		       version == 1 ? "memory.limit_in_bytes" : "memory.max");
	put(path, max);
	(void)snprintf(path, sizeof(path), "%s/%s", dir,
		       version == 1 ? "memory.usage_in_bytes" :
				      "memory.current");
	put(path, use);
	if (stat) {
		(void)snprintf(path, sizeof(path), "%s/memory.stat", dir);
		put(path, stat);
	}
}

static void put_machine(void)
{
	put("/proc/meminfo", "MemTotal:        8388608 kB\n"
			     "MemFree:              12 kB\n"
			     "MemAvailable:    4194304 kB\n");
}

static void expect(const char *where, uint64_t limit, uint64_t use)
{
	struct mobi_memory m;

	mobi_pressure_close(&files);
	mobi_pressure_open(&files, root);
	assert_true(mobi_pressure_look(&files, 95, &m));
	if (strncmp(m.where, root, strlen(root)) != 0) {
		assert_string_equal(m.where, where);
	} else {
		assert_string_equal(m.where + strlen(root), where);
	}
	assert_int_equal(m.limit, limit);
	assert_int_equal(m.use, use);
}

/* Pages set aside for others are neither in use nor to be had. */
static void test_huge_pages_set_aside_are_not_of_the_machine(void **state)
{
	(void)state;
	put("/proc/meminfo", "MemTotal:        8388608 kB\n"
			     "MemAvailable:    4194304 kB\n"
			     "HugePages_Total:    1024\n"
			     "Hugetlb:         2097152 kB\n");
	expect("the machine", 6144 * MIB, 2048 * MIB);
}

static void test_version_1_leaves_out_files_of_the_group_and_below(void **state)
{
	(void)state;
	put_machine();
	put("/proc/self/cgroup", "8:pids:/\n4:cpu,memory:/a/b\n0::/\n");
	put("/proc/self/mountinfo", "29 25 0:25 / /sys/fs/cgroup/cpuset rw - "
				    "cgroup none rw,cpuset\n"
				    "junk\n" V1_MOUNT V2_MOUNT);
	put_group("/sys/fs/cgroup/memory/a/b", 1, "268435456\n", "209715200\n",
		  "cache 5\ninactive_file 1\nactive_file 1\nshmem 99\n"
		  "total_inactive_file 1048576\ntotal_active_file 2097152\n");
	put_group("/sys/fs/cgroup/memory/a", 1, V1_NONE, "209715200\n", NULL);
	expect("/sys/fs/cgroup/memory/a/b", 256 * MIB, 197 * MIB);
}

static void test_version_2_high_is_a_limit_too(void **state)
{
	(void)state;
	put_machine();
	put("/proc/self/cgroup", "0::/user/job\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put_group("/cg/user/job", 2, "536870912\n", "104857600\n",
		  "anon 1\nfile 7\ninactive_file 3145728\nactive_file 0\n"
		  "slab_reclaimable 1048576\nslab_unreclaimable 99\n");
	expect("/cg/user/job", 512 * MIB, 96 * MIB);
	put("/cg/user/job/memory.high", "268435456\n");
	expect("/cg/user/job", 256 * MIB, 96 * MIB);
	put("/cg/user/job/memory.high", "max\n");
	expect("/cg/user/job", 512 * MIB, 96 * MIB);
}

static void test_the_tightest_group_around_counts(void **state)
{
	(void)state;
	put_machine();
	put("/proc/self/cgroup", "0::/user/job\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put_group("/cg/user/job", 2, "1073741824\n", "104857600\n", NULL);
	put_group("/cg/user", 2, "629145600\n", "524288000\n", NULL);
	put("/cg/memory.stat", "anon 1\n"); /* the outermost has no limits */
	expect("/cg/user", 600 * MIB, 500 * MIB);
	/* The smaller limit, but further away. */
	put_group("/cg/user/job", 2, "419430400\n", "104857600\n", NULL);
	expect("/cg/user", 600 * MIB, 500 * MIB);
}

/* Version 2 is mounted, but version 1 has the controller; and the other way round. */
static void test_both_versions_the_one_with_the_controller_counts(void **state)
{
	(void)state;
	put_machine();
	put("/proc/self/mountinfo", V2_MOUNT V1_MOUNT);
	put_group("/cg/x", 2, "268435456\n", "1048576\n", NULL);
	put_group("/sys/fs/cgroup/memory/x", 1, "134217728\n", "1048576\n",
		  NULL);
	put("/proc/self/cgroup", "0::/x\n4:memory:/x\n");
	expect("/sys/fs/cgroup/memory/x", 128 * MIB, MIB);
	put("/proc/self/cgroup", "3:cpu:/x\n1:name=systemd:/x\n0::/x\n");
	expect("/cg/x", 256 * MIB, MIB);
}

/* A container sees a part of the tree, or the path of its group from outside. */
static void test_mount_of_a_part_of_the_tree(void **state)
{
	(void)state;
	put_machine();
	put("/proc/self/mountinfo", "31 25 0:27 /docker/7 /c\\040g rw - "
				    "cgroup2 cgroup rw\n");
	put_group("/c g", 2, "268435456\n", "2097152\n", NULL);
	put_group("/c g/in", 2, "134217728\n", "1048576\n", NULL);
	put("/proc/self/cgroup", "0::/docker/7/in\n");
	expect("/c g/in", 128 * MIB, MIB);
	put("/proc/self/cgroup", "0::/docker/77/in\n");
	expect("/c g", 256 * MIB, 2 * MIB);
	put("/proc/self/cgroup", "0::/../8\n");
	expect("/c g", 256 * MIB, 2 * MIB);
	put("/proc/self/cgroup", "0::/docker/7/gone\n");
	expect("/c g", 256 * MIB, 2 * MIB);
}

static void test_without_limits_the_machine_counts(void **state)
{
	(void)state;
	put_machine();
	expect("the machine", 8192 * MIB, 4096 * MIB);
	put("/proc/self/cgroup", "0::/x\n");
	expect("the machine", 8192 * MIB, 4096 * MIB);
	put("/proc/self/mountinfo", V2_MOUNT);
	expect("the machine", 8192 * MIB, 4096 * MIB);
	put_group("/cg/x", 2, "max\n", "1048576\n", NULL);
	expect("the machine", 8192 * MIB, 4096 * MIB);
}

static void test_garbage_is_nothing(void **state)
{
	static const char *const bad[] = { "",       "12x\n",
					   "-1\n",   "none",
					   "\n12\n", "18446744073709551615" };
	static const char *const groups[] = { "", ":::", "4:memory\n", "x",
					      "4:memory:x\n0::" };
	struct mobi_memory m;

	(void)state;
	put("/proc/self/mountinfo", " - \n- - -\n1 2 3 - cgroup2\n" V2_MOUNT);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		put("/proc/self/cgroup", groups[i]);
		mobi_pressure_close(&files);
		mobi_pressure_open(&files, root);
		assert_int_equal(files.n, 0);
		assert_false(mobi_pressure_look(&files, 95, &m));
	}
	put("/proc/self/cgroup", "0::/x\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_group("/cg/x", 2, bad[i], "1048576\n", NULL);
		mobi_pressure_close(&files);
		mobi_pressure_open(&files, root);
		assert_int_equal(files.n, 1);
		assert_false(mobi_pressure_look(&files, 95, &m));
	}
	put_group("/cg/x", 2, "2097152\n", "1048576\n",
		  "inactive_file x\nactive_file 99999999999\n");
	expect("/cg/x", 2 * MIB, 0); /* more than there is: not below nothing */
	put("/proc/meminfo", "MemTotal: x\nMemAvailable: 7 kB\n");
	expect("/cg/x", 2 * MIB, 0);
}

static void test_mark_leaves_a_part_and_some_bytes(void **state)
{
	(void)state;
	assert_int_equal(mobi_pressure_mark(100 * MIB, 80), 80 * MIB);
	/* Of a small limit an eighth, of a middling one 48 MiB. */
	assert_int_equal(mobi_pressure_mark(256 * MIB, 95), 224 * MIB);
	assert_int_equal(mobi_pressure_mark(512 * MIB, 95), 464 * MIB);
	assert_int_equal(mobi_pressure_mark(100 * 1024 * MIB, 95),
			 95 * 1024 * MIB);
	assert_int_equal(mobi_pressure_mark(800, 100), 700);
}

static void test_stalls_are_of_a_second_at_least(void **state)
{
	uint64_t now = 5 * (uint64_t)MOB_SEC;

	(void)state;
	put("/proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 "
				     "total=90\n"
				     "full avg10=0.00 avg60=0.00 avg300=0.00 "
				     "total=1000\n");
	mobi_pressure_open(&files, root);
	assert_int_equal(mobi_pressure_stalled(&files, now), 0);
	put("/proc/pressure/memory", "some total=9\nfull total=501000\n");
	now += (uint64_t)MOB_SEC / 2;
	assert_int_equal(mobi_pressure_stalled(&files, now), 0);
	now += 3 * (uint64_t)MOB_SEC / 2;
	assert_int_equal(mobi_pressure_stalled(&files, now), 25);
	assert_int_equal(mobi_pressure_stalled(&files, now + 1), 25);
	now += (uint64_t)MOB_SEC;
	assert_int_equal(mobi_pressure_stalled(&files, now), 0);
	/* That of the group, if it has one. */
	put("/proc/self/cgroup", "0::/x\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put_group("/cg/x", 2, "max\n", "1\n", NULL);
	put("/cg/x/memory.pressure", "some total=9\nfull total=0\n");
	mobi_pressure_close(&files);
	mobi_pressure_open(&files, root);
	assert_int_equal(mobi_pressure_stalled(&files, now), 0);
	put("/cg/x/memory.pressure", "some total=9\nfull total=900000\n");
	now += (uint64_t)MOB_SEC;
	assert_int_equal(mobi_pressure_stalled(&files, now), 90);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_huge_pages_set_aside_are_not_of_the_machine),
		T(test_version_1_leaves_out_files_of_the_group_and_below),
		T(test_version_2_high_is_a_limit_too),
		T(test_the_tightest_group_around_counts),
		T(test_both_versions_the_one_with_the_controller_counts),
		T(test_mount_of_a_part_of_the_tree),
		T(test_without_limits_the_machine_counts),
		T(test_garbage_is_nothing),
		T(test_mark_leaves_a_part_and_some_bytes),
		T(test_stalls_are_of_a_second_at_least),
	};

	return cmocka_run_group_tests_name("core.os_pressure", tests, NULL,
					   NULL);
}
