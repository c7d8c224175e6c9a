/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sequential word count that the demo checks against and measures its
 * speed-up by. It shares nothing with the tasks: files through stdio, words
 * found with a table of bytes, kept in a hash table with chains.
 */
#include "demo_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct entry *next;
	uint64_t count;
	size_t n;
	char word[];
};

struct table {
	struct entry **bucket;
	size_t buckets;
	size_t n;
	size_t bytes;
};

static int table_count(struct table *t, const char *word, size_t n, uint64_t h)
{
	struct entry **p = &t->bucket[h % t->buckets];
	struct entry *e;

	for (e = *p; e; e = e->next) {
		if (e->n == n && memcmp(e->word, word, n) == 0) {
			e->count++;
			return 0;
		}
	}
	e = malloc(sizeof(*e) + n);
	if (!e) {
		return -1;
	}
	e->next = *p;
	e->count = 1;
	e->n = n;
	memcpy(e->word, word, n);
	*p = e;
	t->n++;
	t->bytes += n;
	return 0;
}

static int count_file(struct table *t, FILE *in, const unsigned char *table)
{
	static char buf[1 << 16];
	static char word[WORD_MAX];
	uint64_t h = 5381;
	size_t n = 0;
	size_t got;

	while ((got = fread(buf, 1, sizeof(buf), in)) > 0) {
		for (size_t i = 0; i < got; i++) {
			if (table[(unsigned char)buf[i]]) {
				if (n < WORD_MAX) {
					word[n++] = buf[i];
					h = h * 33 + (unsigned char)buf[i];
				}
			} else if (n) {
				if (table_count(t, word, n, h)) {
					return -1;
				}
				n = 0;
				h = 5381;
			}
		}
	}
	if (ferror(in)) {
		return -1;
	}
	return n ? table_count(t, word, n, h) : 0;
}

static int compare(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a;
	const struct entry *y = *(struct entry *const *)b;
	size_t n = x->n < y->n ? x->n : y->n;
	int d = memcmp(x->word, y->word, n);

	return d ? d : x->n < y->n ? -1 : x->n > y->n;
}

static unsigned char *flatten(struct table *t, size_t *out_n)
{
	struct entry **all = malloc((t->n + 1) * sizeof(struct entry *));
	unsigned char *out = malloc(t->bytes + 10 * t->n + 1);
	size_t k = 0;
	size_t at = 0;

	if (!all || !out) {
		free(all);
		free(out);
		return NULL;
	}
	for (size_t i = 0; i < t->buckets; i++) {
		for (struct entry *e = t->bucket[i]; e; e = e->next) {
			all[k++] = e;
		}
	}
	qsort(all, k, sizeof(struct entry *), compare);
	for (size_t i = 0; i < k; i++) {
		uint16_t n = (uint16_t)all[i]->n;

		memcpy(out + at, &all[i]->count, 8);
		memcpy(out + at + 8, &n, 2);
		memcpy(out + at + 10, all[i]->word, n);
		at += 10u + n;
	}
	free(all);
	*out_n = at;
	return out;
}

int demo_words_sequential(const struct demo_files *f, unsigned char **out_at,
			  size_t *out_n)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	unsigned char table[256] = { 0 };
	struct table t = { NULL, 1u << 17, 0, 0 };
	int rc = 0;

	for (const char *c = letters; *c; c++) {
		table[(unsigned char)*c] = 1;
	}
	t.bucket = calloc(t.buckets, sizeof(struct entry *));
	if (!t.bucket) {
		return -1;
	}
	for (size_t i = 0; i < f->bytes && rc == 0;
	     i += strlen(f->paths + i) + 1) {
		FILE *in = fopen(f->paths + i, "rbe");

		rc = in ? count_file(&t, in, table) : -1;
		if (in) {
			(void)fclose(in);
		}
	}
	*out_at = rc ? NULL : flatten(&t, out_n);
	for (size_t i = 0; i < t.buckets; i++) {
		for (struct entry *e = t.bucket[i]; e;) {
			struct entry *next = e->next;

			free(e);
			e = next;
		}
	}
	free(t.bucket);
	return *out_at ? 0 : -1;
}
