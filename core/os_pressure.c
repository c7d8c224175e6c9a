/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory may still be taken: control groups, the machine, stalls. */
#define _GNU_SOURCE
#include "os_pressure.h"

#include <mobula/types.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)16384)
#define NO_LIMIT UINT64_MAX

/* ---- texts ---- */

/* What the file has, and a NUL; false: nothing. */
static bool read_text(int fd, char *out, size_t size)
{
	size_t n = 0;
	ssize_t k = 1;

	while (fd >= 0 && k > 0 && n < size - 1) {
		k = pread(fd, out + n, size - 1 - n, (off_t)n);
		n += k > 0 ? (size_t)k : 0;
	}
	out[n] = '\0';
	return n > 0;
}

static bool read_path(const char *root, const char *path, char *out,
		      size_t size)
{
	char full[PATH_MAX];
	int fd;
	bool ok;

	if (snprintf(full, sizeof(full), "%s%s", root, path) >=
	    (int)sizeof(full)) {
		return false;
	}
	fd = open(full, O_RDONLY | O_CLOEXEC);
	ok = read_text(fd, out, size);
	if (fd >= 0) {
		(void)close(fd);
	}
	return ok;
}

/* A number and nothing else on the line; "max" and what is no number are no limit. */
static uint64_t read_limit(int fd)
{
	char text[64];
	char *end;
	unsigned long long n;

	if (!read_text(fd, text, sizeof(text)) || text[0] < '0' ||
	    text[0] > '9') {
		return NO_LIMIT;
	}
	n = strtoull(text, &end, 10);
	/* Version 1 tells none as the largest number of pages. */
	return (*end && *end != '\n') || n >= (uint64_t)INT64_MAX / 2 ?
		       NO_LIMIT :
		       n;
}

/* The number behind the word that begins a line. False: there is none. */
static bool field(const char *text, const char *word, uint64_t *out)
{
	size_t len = strlen(word);

	while (text) {
		if (!strncmp(text, word, len)) {
			const char *at = text + len + strspn(text + len, " ");

			*out = strtoull(at, NULL, 10);
			return *at >= '0' && *at <= '9';
		}
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return false;
}

/* Is word one of those of the list, which has ',' between them? */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; *at; at += strcspn(at, ",") + 1) {
		if (strcspn(at, ",") == len && !strncmp(at, word, len)) {
			return true;
		}
		if (!at[strcspn(at, ",")]) {
			break;
		}
	}
	return false;
}

/* "\040" as mounts tell a blank. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++) {
		if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' &&
		    at[2] >= '0' && at[2] <= '7' && at[3] >= '0' &&
		    at[3] <= '7') {
			*to++ = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 |
				       (at[3] - '0'));
			at += 3;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
}

/* ---- where the group is ---- */

/* Path of the group from /proc/self/cgroup, "4:memory:/a/b" or "0::/a/b". Returns
 * the version, 0: there is none. */
static int group_path(char *text, char *out, size_t size)
{
	int version = 0;
	char *rest = text;
	char *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		char *list = strchr(line, ':');
		char *path = list ? strchr(list + 1, ':') : NULL;
		bool one;

		if (!path || path[1] != '/') {
			continue;
		}
		*path++ = '\0';
		one = has_word(list + 1, "memory");
		if (one || (!version && !list[1])) {
			(void)snprintf(out, size, "%s", path);
			version = one ? 1 : 2;
		}
		if (one) {
			break;
		}
	}
	return version;
}

struct mount {
	char root[PATH_MAX];
	char at[PATH_MAX];
};

/* A line of mountinfo: number, parent, device, root, place, options, more, "-",
 * type, source, options. Is it the mount of that version? */
static bool is_mount(char *line, int version, struct mount *out)
{
	char *rest = strstr(line, " - ");
	char *word[11] = { NULL };
	uint32_t n = 0;

	if (!rest) {
		return false;
	}
	*rest = '\0';
	rest += 3;
	for (char *w; n < 5 && (w = strsep(&line, " ")) != NULL; n++) {
		word[n] = w;
	}
	for (uint32_t k = 5; k < 8 && (word[k] = strsep(&rest, " ")); k++) {
	}
	if (n < 5 || !word[5] ||
	    strcmp(word[5], version == 1 ? "cgroup" : "cgroup2") != 0 ||
	    (version == 1 && (!word[7] || !has_word(word[7], "memory")))) {
		return false;
	}
	unescape(word[3]);
	unescape(word[4]);
	(void)snprintf(out->root, sizeof(out->root), "%s", word[3]);
	(void)snprintf(out->at, sizeof(out->at), "%s", word[4]);
	return true;
}

static bool find_mount(char *text, int version, struct mount *out)
{
	char *rest = text;
	char *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (is_mount(line, version, out)) {
			return true;
		}
	}
	return false;
}

/* The part of the group's path that lies below the mount; "" if the mount shows
 * another part of the tree (a container's): then its top is what can be seen. */
static const char *below(const char *path, const char *mount_root)
{
	size_t len = strlen(mount_root);

	if (strstr(path, "/..")) {
		return "";
	}
	if (!strcmp(mount_root, "/")) {
		return path;
	}
	return !strncmp(path, mount_root, len) &&
			       (path[len] == '/' || !path[len]) ?
		       path + len :
		       "";
}

/* ---- files ---- */

static int open_in(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);

	return n > 0 && (size_t)n < sizeof(path) ?
		       open(path, O_RDONLY | O_CLOEXEC) :
		       -1;
}

static void close_level(struct mobi_pressure_level *l)
{
	const int fd[] = { l->use, l->max, l->high, l->stat };

	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
		if (fd[i] >= 0) {
			(void)close(fd[i]);
		}
	}
}

static void add_level(struct mobi_pressure_files *f, int version,
		      const char *dir)
{
	struct mobi_pressure_level *l = &f->level[f->n];
	bool one = version == 1;

	l->use = open_in(dir, one ? "memory.usage_in_bytes" : "memory.current");
	l->max = open_in(dir, one ? "memory.limit_in_bytes" : "memory.max");
	l->high = one ? -1 : open_in(dir, "memory.high");
	l->stat = open_in(dir, "memory.stat");
	(void)snprintf(l->dir, sizeof(l->dir), "%.*s", (int)sizeof(l->dir) - 1,
		       dir);
	if (l->use < 0 || (l->max < 0 && l->high < 0)) {
		close_level(l); /* the outermost group has no limits */
		return;
	}
	f->n++;
}

/* The group and all around it, up to the mount. */
static void add_levels(struct mobi_pressure_files *f, const char *root,
		       int version, const struct mount *m, const char *path)
{
	char dir[PATH_MAX];
	size_t top;
	int n = snprintf(dir, sizeof(dir), "%s%s", root, m->at);

	if (n < 0 || (size_t)n >= sizeof(dir)) {
		return;
	}
	top = (size_t)n;
	(void)snprintf(dir + top, sizeof(dir) - top, "%s",
		       below(path, m->root));
	if (access(dir, F_OK)) {
		dir[top] = '\0';
	}
	if (version == 2) {
		f->stall = open_in(dir, "memory.pressure");
	}
	while (f->n < MOBI_PRESSURE_LEVELS) {
		char *slash;

		add_level(f, version, dir);
		slash = strrchr(dir, '/');
		if (!slash || (size_t)(slash - dir) < top) {
			break;
		}
		*slash = '\0';
	}
}

void mobi_pressure_open(struct mobi_pressure_files *f, const char *root)
{
	static const char self[] = "/proc/self/";
	char path[PATH_MAX] = "";
	char name[64];
	struct mount m;
	char *text = malloc(TEXT_MAX * 4); /* mounts may be many */
	int version = 0;

	memset(f, 0, sizeof(*f));
	f->stall = -1;
	(void)snprintf(name, sizeof(name), "%scgroup", self);
	if (text && read_path(root, name, text, TEXT_MAX)) {
		version = group_path(text, path, sizeof(path));
	}
	(void)snprintf(name, sizeof(name), "%smountinfo", self);
	if (version && read_path(root, name, text, TEXT_MAX * 4) &&
	    find_mount(text, version, &m)) {
		add_levels(f, root, version, &m, path);
	}
	free(text);
	(void)snprintf(path, sizeof(path), "%s/proc", root);
	f->meminfo = open_in(path, "meminfo");
	if (f->stall < 0) {
		f->stall = open_in(path, "pressure/memory");
	}
}

void mobi_pressure_close(struct mobi_pressure_files *f)
{
	for (uint32_t i = 0; i < f->n; i++) {
		close_level(&f->level[i]);
	}
	if (f->meminfo >= 0) {
		(void)close(f->meminfo);
	}
	if (f->stall >= 0) {
		(void)close(f->stall);
	}
	f->n = 0;
	f->meminfo = -1;
	f->stall = -1;
}

/* ---- looking ---- */

uint64_t mobi_pressure_mark(uint64_t limit, uint32_t percent)
{
	uint64_t spare = limit / 8 < MOBI_PRESSURE_SPARE ? limit / 8 :
							   MOBI_PRESSURE_SPARE;
	uint64_t part = limit / 100 * (100 - percent);

	return limit - (part > spare ? part : spare);
}

/* Bytes below the mark; negative: beyond it. */
static int64_t left(const struct mobi_memory *m, uint32_t percent)
{
	return (int64_t)mobi_pressure_mark(m->limit, percent) - (int64_t)m->use;
}

bool mobi_pressure_tighter(const struct mobi_memory *a,
			   const struct mobi_memory *b, uint32_t percent)
{
	return left(a, percent) < left(b, percent);
}

static bool look_level(const struct mobi_pressure_level *l, char *text,
		       struct mobi_memory *out)
{
	/* What the kernel gives back when it is asked for. */
	static const char *const files[3] = { "active_file", "inactive_file",
					      "slab_reclaimable" };
	uint64_t high = read_limit(l->high);
	uint64_t n;

	out->where = l->dir;
	out->limit = read_limit(l->max);
	out->limit = high < out->limit ? high : out->limit;
	out->use = read_limit(l->use);
	if (out->limit == NO_LIMIT || out->use == NO_LIMIT) {
		return false;
	}
	if (!read_text(l->stat, text, TEXT_MAX)) {
		return true;
	}
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char total[32];

		/* Version 1 tells the group without those in it, and with. */
		(void)snprintf(total, sizeof(total), "total_%s", files[i]);
		if (field(text, total, &n) || field(text, files[i], &n)) {
			out->use -= n < out->use ? n : out->use;
		}
	}
	return true;
}

static bool look_machine(int fd, char *text, struct mobi_memory *out)
{
	uint64_t total;
	uint64_t available;
	uint64_t huge = 0; /* set aside for huge pages, and no other */

	if (!read_text(fd, text, TEXT_MAX) ||
	    !field(text, "MemTotal:", &total) ||
	    !field(text, "MemAvailable:", &available) || available > total ||
	    total > UINT64_MAX / 1024) {
		return false;
	}
	if (field(text, "Hugetlb:", &huge) && huge <= total - available) {
		total -= huge;
	}
	out->where = "the machine";
	out->limit = total * 1024;
	out->use = (total - available) * 1024;
	return true;
}

bool mobi_pressure_look(const struct mobi_pressure_files *f, uint32_t percent,
			struct mobi_memory *out)
{
	char text[TEXT_MAX];
	bool some = look_machine(f->meminfo, text, out);

	for (uint32_t i = 0; i < f->n; i++) {
		struct mobi_memory m;

		if (look_level(&f->level[i], text, &m) &&
		    (!some || mobi_pressure_tighter(&m, out, percent))) {
			*out = m;
			some = true;
		}
	}
	return some;
}

uint32_t mobi_pressure_stalled(struct mobi_pressure_files *f, uint64_t now_ns)
{
	char text[512];
	const char *full;
	const char *total;
	uint64_t us;

	if (f->stall_ns && now_ns - f->stall_ns < (uint64_t)MOB_SEC) {
		return f->stalled;
	}
	f->stalled = 0;
	if (!read_text(f->stall, text, sizeof(text)) ||
	    !(full = strstr(text, "full ")) ||
	    !(total = strstr(full, "total="))) {
		return 0;
	}
	us = strtoull(total + 6, NULL, 10);
	if (f->stall_ns && us > f->stall_us) {
		f->stalled = (uint32_t)((us - f->stall_us) * 100 /
					((now_ns - f->stall_ns) / 1000));
	}
	f->stall_us = us;
	f->stall_ns = now_ns;
	return f->stalled;
}
