/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's word count: map over files, tree reduce, and a sequential count
 * that shares no code with it. */
#ifndef DEMO_WORDS_H
#define DEMO_WORDS_H

#include <mobula/mobula.h>

/* A word is a run of letters, digits and '_'; of a longer one the first
 * WORD_MAX bytes count. */
#define WORD_MAX 4096u
#define REDUCE_FAN_IN 20u

/* Files below a directory, cut into about 200 batches or more of paths that end
 * in NUL. */
struct demo_files {
	char *paths; /* one after the other */
	size_t bytes;
	size_t n;
	size_t *batch; /* where each batch starts in paths */
	size_t n_batches;
	uint64_t file_bytes;
	size_t unreadable;
	size_t times; /* a list of few files is repeated so often */
};
/* 0, or a negative error with its text on stderr. */
int demo_files_list(const char *dir, struct demo_files *out);
void demo_files_free(struct demo_files *f);

/* Submits the map tasks: one ref a batch. retries: of each task. */
void demo_words_map(const struct demo_files *f, int retries,
		    struct mob_ref *refs);
/* Submits the reduce tasks over n refs; gives the last. */
struct mob_ref demo_words_reduce(struct mob_ref *refs, size_t n, int retries,
				 size_t *out_tasks);

/* The dictionary of all files, in the form that the tasks give: for each word,
 * in order of bytes, {count 8, length 2, the word}. malloc'd. */
int demo_words_sequential(const struct demo_files *f, unsigned char **out_at,
			  size_t *out_n);
/* How many words, and how many different ones, a dictionary has. */
void demo_words_total(const unsigned char *at, size_t n, uint64_t *out_words,
		      uint64_t *out_different);

#endif /* DEMO_WORDS_H */
