/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo's word count as tasks.
 *
 * A map task reads the files of a batch and makes a sorted dictionary; a reduce
 * task merges up to 20 dictionaries, which it reads in place. The dictionaries
 * stay in the store: only the last one is seen by the program that asked.
 */
#define _GNU_SOURCE
#include "demo_words.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the files ---- */

#define BATCHES_MIN 200u
#define BATCH_BYTES_MAX (512u << 10)

struct listing {
	char *paths;
	uint64_t *size; /* of each file */
	size_t bytes, max_bytes, n, max, unreadable;
	bool no_memory;
};

static struct listing listing; /* nftw has no argument for its function */

static int add_file(const char *path, const struct stat *st, int flag,
		    struct FTW *ftw)
{
	struct listing *l = &listing;
	size_t n = strlen(path) + 1;

	(void)ftw;
	if (flag == FTW_DNR || (flag == FTW_F && access(path, R_OK))) {
		l->unreadable++;
		return 0;
	}
	if (flag != FTW_F || !S_ISREG(st->st_mode)) {
		return 0;
	}
	if (l->bytes + n > l->max_bytes) {
		size_t max = 2 * (l->max_bytes + n);
		char *paths = realloc(l->paths, max);

		if (!paths) {
			l->no_memory = true;
			return 1;
		}
		l->paths = paths;
		l->max_bytes = max;
	}
	if (l->n == l->max) {
		size_t max = l->max ? 2 * l->max : 1024;
		uint64_t *size = realloc(l->size, max * sizeof(*size));

		if (!size) {
			l->no_memory = true;
			return 1;
		}
		l->size = size;
		l->max = max;
	}
	memcpy(l->paths + l->bytes, path, n);
	l->bytes += n;
	l->size[l->n++] = (uint64_t)st->st_size;
	return 0;
}

/* A list of few files is repeated: fewer batches would not queue up. */
static int repeat_list(struct listing *l, size_t *out_times)
{
	size_t times = l->n && l->n < BATCHES_MIN ?
			       (BATCHES_MIN + l->n - 1) / l->n :
			       1;
	char *paths = realloc(l->paths, times * l->bytes + 1);
	uint64_t *size = realloc(l->size, (times * l->n + 1) * sizeof(*size));

	l->paths = paths ? paths : l->paths;
	l->size = size ? size : l->size;
	if (!paths || !size) {
		return -1;
	}
	for (size_t i = 1; i < times; i++) {
		memcpy(paths + i * l->bytes, paths, l->bytes);
		memcpy(size + i * l->n, size, l->n * sizeof(*size));
	}
	l->bytes *= times;
	l->n *= times;
	*out_times = times;
	return 0;
}

static int cut_batches(struct demo_files *f, const uint64_t *size)
{
	uint64_t limit = f->file_bytes / BATCHES_MIN + 1;
	size_t most = f->n / BATCHES_MIN + 1; /* files */
	uint64_t filled = 0;
	size_t files = 0;
	size_t at = 0;

	limit = limit > BATCH_BYTES_MAX ? BATCH_BYTES_MAX : limit;
	f->batch = calloc(f->n + 1, sizeof(*f->batch));
	if (!f->batch) {
		return -1;
	}
	for (size_t i = 0; i < f->n; i++) {
		if (i == 0 || filled + size[i] > limit || files == most) {
			f->batch[f->n_batches++] = at;
			filled = 0;
			files = 0;
		}
		filled += size[i];
		files++;
		at += strlen(f->paths + at) + 1;
	}
	f->batch[f->n_batches] = at;
	return 0;
}

int demo_files_list(const char *dir, struct demo_files *out)
{
	struct stat st;
	const char *why = NULL;

	memset(&listing, 0, sizeof(listing));
	memset(out, 0, sizeof(*out));
	if (stat(dir, &st) || access(dir, R_OK | X_OK)) {
		why = strerror(errno);
	} else if (!S_ISDIR(st.st_mode)) {
		why = "not a directory";
	}
	if (why) {
		fprintf(stderr, "mob-demo: cannot read directory '%s': %s\n",
			dir, why);
		return -1;
	}
	if (nftw(dir, add_file, 64, FTW_PHYS) < 0) {
		fprintf(stderr, "mob-demo: reading directory '%s': %s\n", dir,
			strerror(errno));
		free(listing.paths);
		free(listing.size);
		return -1;
	}
	if (listing.no_memory || repeat_list(&listing, &out->times)) {
		listing.no_memory = true;
	}
	out->paths = listing.paths;
	out->bytes = listing.bytes;
	out->n = listing.n;
	out->unreadable = listing.unreadable;
	for (size_t i = 0; i < listing.n; i++) {
		out->file_bytes += listing.size[i];
	}
	if (listing.no_memory || cut_batches(out, listing.size)) {
		fprintf(stderr, "mob-demo: out of memory for a list of "
				"files\n");
		free(listing.size);
		demo_files_free(out);
		return -1;
	}
	free(listing.size);
	return 0;
}

void demo_files_free(struct demo_files *f)
{
	free(f->paths);
	free(f->batch);
	memset(f, 0, sizeof(*f));
}

/* ---- a table of words ---- */

struct word {
	const unsigned char *at;
	uint64_t count;
	uint32_t n;
	uint32_t hash;
};

struct words {
	struct word *slot; /* open addressing, a power of two */
	size_t size;
	size_t n;
	size_t bytes; /* of all words */
};

static bool is_word(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

static bool words_grow(struct words *w)
{
	struct words big = { NULL, w->size ? 2 * w->size : 4096, 0, 0 };

	big.slot = calloc(big.size, sizeof(*big.slot));
	if (!big.slot) {
		return false;
	}
	for (size_t i = 0; i < w->size; i++) {
		size_t k;

		if (!w->slot[i].at) {
			continue;
		}
		for (k = w->slot[i].hash & (big.size - 1); big.slot[k].at;
		     k = (k + 1) & (big.size - 1)) {
		}
		big.slot[k] = w->slot[i];
	}
	free(w->slot);
	w->slot = big.slot;
	w->size = big.size;
	return true;
}

static bool words_add(struct words *w, const unsigned char *at, uint32_t n,
		      uint32_t hash)
{
	size_t k;

	if (2 * (w->n + 1) > w->size && !words_grow(w)) {
		return false;
	}
	for (k = hash & (w->size - 1); w->slot[k].at;
	     k = (k + 1) & (w->size - 1)) {
		struct word *s = &w->slot[k];

		if (s->hash == hash && s->n == n && !memcmp(s->at, at, n)) {
			s->count++;
			return true;
		}
	}
	w->slot[k] = (struct word){ at, 1, n, hash };
	w->n++;
	w->bytes += n;
	return true;
}

static bool count_bytes(struct words *w, const unsigned char *at, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint32_t hash = 2166136261u;
		size_t begin;
		size_t len;

		if (!is_word(at[i])) {
			i++;
			continue;
		}
		for (begin = i; i < n && is_word(at[i]); i++) {
			if (i - begin < WORD_MAX) {
				hash = (hash ^ at[i]) * 16777619u;
			}
		}
		len = i - begin < WORD_MAX ? i - begin : WORD_MAX;
		if (!words_add(w, at + begin, (uint32_t)len, hash)) {
			return false;
		}
	}
	return true;
}

static int by_word(const void *a, const void *b)
{
	const struct word *x = a;
	const struct word *y = b;
	int d = memcmp(x->at, y->at, x->n < y->n ? x->n : y->n);

	return d ? d : (x->n > y->n) - (x->n < y->n);
}

/* ---- dictionaries ---- */

#define HEAD 10u /* count 8, length 2 */

static unsigned char *entry_write(unsigned char *to, uint64_t count,
				  const unsigned char *at, uint16_t n)
{
	memcpy(to, &count, sizeof(count));
	memcpy(to + 8, &n, sizeof(n));
	memcpy(to + HEAD, at, n);
	return to + HEAD + n;
}

static uint16_t entry_len(const unsigned char *e)
{
	uint16_t n;

	memcpy(&n, e + 8, sizeof(n));
	return n;
}

static uint64_t entry_count(const unsigned char *e)
{
	uint64_t c;

	memcpy(&c, e, sizeof(c));
	return c;
}

void demo_words_total(const unsigned char *at, size_t n, uint64_t *out_words,
		      uint64_t *out_different)
{
	*out_words = *out_different = 0;
	for (size_t i = 0; i + HEAD <= n; i += HEAD + entry_len(at + i)) {
		*out_words += entry_count(at + i);
		(*out_different)++;
	}
}

/* ---- map ---- */

/* The files of a batch, one after the other, a blank between. */
static unsigned char *read_files(mob_bytes paths, size_t *out_n)
{
	const char *at = paths.at;
	unsigned char *all = NULL;
	size_t n = 0;
	size_t max = 0;

	for (size_t i = 0; i < paths.n; i += strlen(at + i) + 1) {
		int fd = open(at + i, O_RDONLY | O_CLOEXEC);
		ssize_t k = 1;

		while (fd >= 0 && k > 0) {
			if (n + 65536 > max) {
				unsigned char *more;

				max = max ? 2 * max : 1u << 20;
				more = realloc(all, max);
				if (!more) {
					(void)close(fd);
					free(all);
					mob_fail(ENOMEM, "out of memory");
					return NULL;
				}
				all = more;
			}
			k = read(fd, all + n, max - n - 1);
			n += k > 0 ? (size_t)k : 0;
		}
		if (fd < 0 || k < 0) {
			mob_fail(errno, "cannot read %s: %s", at + i,
				 strerror(errno));
			if (fd >= 0) {
				(void)close(fd);
			}
			free(all);
			return NULL;
		}
		(void)close(fd);
		all[n++] = ' ';
	}
	*out_n = n;
	return all;
}

/* The words in order, as the task's result. */
static mob_bytes words_result(struct words *w)
{
	size_t n = 0;
	unsigned char *to;
	unsigned char *out = mob_new(w->bytes + HEAD * w->n);

	for (size_t i = 0; i < w->size; i++) {
		if (w->slot[i].at) {
			w->slot[n++] = w->slot[i];
		}
	}
	if (!out || !n) {
		return mob_bytes_of(out, 0);
	}
	qsort(w->slot, n, sizeof(*w->slot), by_word);
	to = out;
	for (size_t i = 0; i < n; i++) {
		to = entry_write(to, w->slot[i].count, w->slot[i].at,
				 (uint16_t)w->slot[i].n);
	}
	return mob_bytes_of(out, (size_t)(to - out));
}

MOB_TASK(mob_bytes, count_words, mob_bytes, paths)
{
	struct words w = { 0 };
	mob_bytes out = { NULL, 0 };
	size_t n = 0;
	unsigned char *all = read_files(paths, &n);

	if (all) {
		if (count_bytes(&w, all, n)) {
			out = words_result(&w);
		} else {
			mob_fail(ENOMEM, "out of memory");
		}
	}
	free(w.slot);
	free(all);
	return out;
}

/* ---- reduce ---- */

struct stream {
	const unsigned char *at;
	const unsigned char *end;
};

static int by_entry(const unsigned char *a, const unsigned char *b)
{
	uint16_t x = entry_len(a);
	uint16_t y = entry_len(b);
	int d = memcmp(a + HEAD, b + HEAD, x < y ? x : y);

	return d ? d : (x > y) - (x < y);
}

/* Heap of streams by their first entry. */
static void sift(struct stream *h, size_t n, size_t i)
{
	struct stream s = h[i];

	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= n) {
			break;
		}
		if (c + 1 < n && by_entry(h[c + 1].at, h[c].at) < 0) {
			c++;
		}
		if (by_entry(s.at, h[c].at) <= 0) {
			break;
		}
		h[i] = h[c];
		i = c;
	}
	h[i] = s;
}

MOB_TASK(mob_bytes, merge_words, mob_args, parts)
{
	struct stream h[REDUCE_FAN_IN];
	unsigned char *out;
	unsigned char *to;
	size_t bytes = 0;
	size_t n = 0;

	for (size_t i = 0; i < parts.n && n < REDUCE_FAN_IN; i++) {
		mob_bytes b;

		if (mob_args_get(parts, i, &b) == 0 && b.n) {
			h[n].at = b.at;
			h[n++].end = (const unsigned char *)b.at + b.n;
			bytes += b.n;
		}
	}
	out = to = mob_new(bytes);
	for (size_t i = n; i-- > 0;) {
		sift(h, n, i);
	}
	while (out && n) {
		const unsigned char *word = h[0].at;
		uint64_t count = 0;

		while (n && by_entry(h[0].at, word) == 0) {
			count += entry_count(h[0].at);
			h[0].at += HEAD + entry_len(h[0].at);
			if (h[0].at == h[0].end) {
				h[0] = h[--n];
			}
			if (n) {
				sift(h, n, 0);
			}
		}
		to = entry_write(to, count, word + HEAD, entry_len(word));
	}
	return mob_bytes_of(out, (size_t)(to - out));
}

/* ---- the driver's side ---- */

void demo_words_map(const struct demo_files *f, int retries,
		    struct mob_ref *refs)
{
	for (size_t i = 0; i < f->n_batches; i++) {
		mob_bytes batch = { f->paths + f->batch[i],
				    f->batch[i + 1] - f->batch[i] };

		refs[i] = mob_submit_with(MOB_OPTS(.retries = retries),
					  count_words, batch);
	}
}

struct mob_ref demo_words_reduce(struct mob_ref *refs, size_t n, int retries,
				 size_t *out_tasks)
{
	*out_tasks = 0;
	do {
		size_t m = 0;

		for (size_t i = 0; i < n; i += REDUCE_FAN_IN) {
			size_t k = n - i < REDUCE_FAN_IN ? n - i :
							   REDUCE_FAN_IN;

			refs[m++] = mob_submit_with(
				MOB_OPTS(.retries = retries), merge_words,
				mob_args_of(refs + i, k));
			(*out_tasks)++;
		}
		n = m;
	} while (n > 1);
	return refs[0];
}
