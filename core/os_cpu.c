/* SPDX-License-Identifier: Apache-2.0 */
/* Processors that this process may use: affinity and cgroup quotas. */
#define _GNU_SOURCE

#include "os_proc.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPUS_MAX 65536
#define PATH_SIZE 4096

static uint32_t cpus_of_affinity(void)
{
	for (int n = 1024; n <= CPUS_MAX; n *= 2) {
		cpu_set_t *set = CPU_ALLOC((size_t)n);
		size_t size = CPU_ALLOC_SIZE((size_t)n);
		int count = 0;

		if (!set) {
			break;
		}
		if (sched_getaffinity(0, size, set) == 0) {
			count = CPU_COUNT_S(size, set);
		}
		CPU_FREE(set);
		if (count > 0) {
			return (uint32_t)count;
		}
	}
	return 1;
}

static bool line_read(const char *dir, const char *file, char *buf, int size)
{
	char path[PATH_SIZE + 64];
	FILE *f = NULL;
	bool ok = false;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "re");
	if (f) {
		ok = fgets(buf, size, f) != NULL;
		(void)fclose(f);
	}
	return ok;
}

/* Processors' worth of time that this cgroup allows; UINT32_MAX: no limit. */
static uint32_t cpus_of_cgroup(const char *dir)
{
	char line[128];
	char *end = line;
	long long quota = -1;
	long long period = -1;

	if (line_read(dir, "cpu.max", line, sizeof(line))) {
		if (strncmp(line, "max", 3) != 0) {
			quota = strtoll(line, &end, 10);
			period = strtoll(end, NULL, 10);
		}
	} else if (line_read(dir, "cpu.cfs_quota_us", line, sizeof(line))) {
		quota = strtoll(line, NULL, 10);
		if (line_read(dir, "cpu.cfs_period_us", line, sizeof(line))) {
			period = strtoll(line, NULL, 10);
		}
	}
	if (quota <= 0 || period <= 0 || quota / period >= CPUS_MAX) {
		return UINT32_MAX;
	}
	return (uint32_t)((quota + period - 1) / period);
}

/* The least of a cgroup and those above it; what cannot be seen is no limit. */
static uint32_t cpus_of_branch(const char *mount, const char *group)
{
	char dir[PATH_SIZE];
	size_t base = strlen(mount);
	uint32_t least = UINT32_MAX;
	char *slash = NULL;

	(void)snprintf(dir, sizeof(dir), "%s%s", mount, group);
	do {
		uint32_t n = cpus_of_cgroup(dir);

		if (n < least) {
			least = n;
		}
		slash = strrchr(dir + base, '/');
		if (slash) {
			*slash = '\0';
		}
	} while (slash);
	return least;
}

/* True if the comma list of controllers holds cpu. */
static bool controllers_hold_cpu(const char *list)
{
	for (const char *at = list; *at != '\0';) {
		size_t n = strcspn(at, ",");

		if (n == 3 && strncmp(at, "cpu", 3) == 0) {
			return true;
		}
		at += n + (at[n] == ',');
	}
	return false;
}

static uint32_t cpus_of_quota(void)
{
	char line[PATH_SIZE];
	uint32_t least = UINT32_MAX;
	FILE *f = fopen("/proc/self/cgroup", "re");

	if (!f) {
		return least;
	}
	/* Lines are "id:controllers:path"; version 2 has no controllers. */
	while (fgets(line, sizeof(line), f)) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;
		const char *mount = NULL;
		uint32_t n = UINT32_MAX;

		if (!group) {
			continue;
		}
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		controllers++;
		if (controllers[0] == '\0') {
			mount = "/sys/fs/cgroup";
		} else if (controllers_hold_cpu(controllers)) {
			mount = "/sys/fs/cgroup/cpu";
		} else {
			continue;
		}
		n = cpus_of_branch(mount, group);
		if (n < least) {
			least = n;
		}
	}
	(void)fclose(f);
	return least;
}

uint32_t mobi_cpu_count(void)
{
	uint32_t cpus = cpus_of_affinity();
	uint32_t quota = cpus_of_quota();

	return quota < cpus ? quota : cpus;
}
