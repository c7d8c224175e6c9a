/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Huge pages of files of shared memory, and nodes of memory.
 *
 * A tmpfs has them if it is mounted with huge=. The file shmem_enabled is about
 * the kernel's own mount (memfd, System V); only its words deny and force are
 * about all.
 */
#define _GNU_SOURCE
#include "os_huge.h"

#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#define THP "/sys/kernel/mm/transparent_hugepage/"
#define LINE 4096

static bool line_of(const char *path, char *line, int size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(line, size, f);

	if (f) {
		(void)fclose(f);
	}
	return ok;
}

/* Copies up to one of the characters, or what fits. */
static void copy_until(char *out, size_t size, const char *from,
		       const char *ends)
{
	size_t n = strcspn(from, ends);

	n = n < size ? n : size - 1;
	memcpy(out, from, n);
	out[n] = '\0';
}

/* What follows n fields that end in a blank; NULL if they are fewer. */
static const char *after_fields(const char *line, int n)
{
	while (line && n-- > 0) {
		line = strchr(line, ' ');
		line = line ? line + 1 : NULL;
	}
	return line;
}

/* id parent major:minor root mount options tags.. - type source options */
bool mobi_huge_of_line(const char *line, uint64_t dev,
		       struct mobi_huge_facts *out)
{
	const char *end = strstr(line, " - ");
	const char *number = after_fields(line, 2);
	const char *mount = after_fields(line, 4);
	char *colon = NULL;
	uint64_t id;

	if (!end || !mount) {
		return false;
	}
	id = (uint64_t)strtoul(number, &colon, 10) << 32;
	if (*colon != ':' || (id | strtoul(colon + 1, NULL, 10)) != dev) {
		return false;
	}
	copy_until(out->mount, sizeof(out->mount), mount, " ");
	out->option[0] = '\0';
	/* An option of its own, and not the end of another's name. */
	end = strstr(end, ",huge=");
	if (end) {
		copy_until(out->option, sizeof(out->option),
			   end + strlen(",huge="), ", \n");
	}
	return true;
}

static void look_mount(int fd, struct mobi_huge_facts *out)
{
	char line[LINE];
	struct stat st;
	FILE *f;

	if (fstat(fd, &st) != 0) {
		return;
	}
	f = fopen("/proc/self/mountinfo", "re");
	while (f && fgets(line, sizeof(line), f) &&
	       !mobi_huge_of_line(line,
				  (uint64_t)major(st.st_dev) << 32 |
					  minor(st.st_dev),
				  out)) {
	}
	if (f) {
		(void)fclose(f);
	}
}

void mobi_huge_look(int fd, struct mobi_huge_facts *out)
{
	struct mobi_huge_facts f = { 0 };
	struct statfs fs;
	char line[LINE];

	if (fstatfs(fd, &fs) == 0) {
		f.tmpfs = fs.f_type == TMPFS_MAGIC;
		f.hugetlbfs = fs.f_type == HUGETLBFS_MAGIC;
	}
	if (line_of(THP "hpage_pmd_size", line, sizeof(line))) {
		f.page_bytes = strtoull(line, NULL, 10);
	}
	if (line_of(THP "shmem_enabled", line, sizeof(line))) {
		const char *at = strchr(line, '[');

		copy_until(f.shmem, sizeof(f.shmem), at ? at + 1 : "", "]\n");
	}
	look_mount(fd, &f);
	*out = f;
}

static bool is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

enum mobi_huge mobi_huge_decide(const struct mobi_huge_facts *f, char *why,
				size_t why_size)
{
	const char *at = f->mount[0] ? f->mount : "its mount";
	const char *option = f->option[0] ? f->option : "never";

	if (f->hugetlbfs) {
		(void)snprintf(why, why_size,
			       "%s is a hugetlbfs, to which LMDB cannot write; "
			       "a tmpfs mounted with huge=advise has huge "
			       "pages "
			       "too",
			       at);
		return MOBI_HUGE_ONLY;
	}
	if (!f->tmpfs) {
		(void)snprintf(why, why_size,
			       "%s is not a tmpfs; one mounted with "
			       "huge=advise "
			       "has them",
			       at);
		return MOBI_HUGE_NONE;
	}
	if (!f->page_bytes) {
		(void)snprintf(why, why_size,
			       "the kernel is built without them");
		return MOBI_HUGE_NONE;
	}
	if (is(f->shmem, "deny")) {
		(void)snprintf(why, why_size,
			       "denied; echo never >" THP "shmem_enabled");
		return MOBI_HUGE_NONE;
	}
	if (is(f->shmem, "force")) {
		(void)snprintf(why, why_size, "forced by shmem_enabled");
		return MOBI_HUGE_ALWAYS;
	}
	if (is(option, "never")) {
		(void)snprintf(why, why_size,
			       "%s has huge=never; mount -o "
			       "remount,huge=advise "
			       "%s",
			       at, at);
		return MOBI_HUGE_NONE;
	}
	(void)snprintf(why, why_size, "%s has huge=%s", at, option);
	return is(option, "advise") ? MOBI_HUGE_ASKED : MOBI_HUGE_ALWAYS;
}

void mobi_huge_ask(void *at, uint64_t bytes)
{
	(void)madvise(at, (size_t)bytes, MADV_HUGEPAGE);
}

/* Is it the first line of a mapping, "from-to .."? */
static bool is_range(const char *line, uintptr_t *out_from, uintptr_t *out_to)
{
	char *end = NULL;

	*out_from = strtoul(line, &end, 16);
	if (end == line || *end != '-') {
		return false;
	}
	*out_to = strtoul(end + 1, NULL, 16);
	return true;
}

uint64_t mobi_huge_mapped(const void *at, uint64_t bytes)
{
	static const char key[] = "ShmemPmdMapped:";
	uintptr_t from = (uintptr_t)at;
	uint64_t sum = 0;
	bool in = false;
	char line[LINE];
	FILE *f = fopen("/proc/self/smaps", "re");

	while (f && fgets(line, sizeof(line), f)) {
		uintptr_t lo = 0;
		uintptr_t hi = 0;

		if (is_range(line, &lo, &hi)) {
			in = lo >= from && hi <= from + bytes;
		} else if (in && strncmp(line, key, sizeof(key) - 1) == 0) {
			sum += (uint64_t)strtoul(line + sizeof(key) - 1, NULL,
						 10)
			       << 10; /* in KiB */
		}
	}
	if (f) {
		(void)fclose(f);
	}
	return sum;
}

uint32_t mobi_nodes_of(const char *list)
{
	uint32_t n = 0;
	const char *at = list;

	while (*at >= '0' && *at <= '9') {
		char *end = NULL;
		unsigned long lo = strtoul(at, &end, 10);
		unsigned long hi = *end == '-' ? strtoul(end + 1, &end, 10) :
						 lo;

		n += hi >= lo && hi - lo < 65536 ? (uint32_t)(hi - lo + 1) : 1;
		at = *end == ',' ? end + 1 : end;
	}
	return n ? n : 1;
}

uint32_t mobi_node_count(void)
{
	char line[LINE];

	return line_of("/sys/devices/system/node/has_memory", line,
		       sizeof(line)) ?
		       mobi_nodes_of(line) :
		       1;
}
