/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What surrounds a task in its process: variables of the environment, and the working
 * directory, for as long as its function runs.
 */
#ifndef MOBI_SURROUND_H
#define MOBI_SURROUND_H

#include "runtime.h"

/* What the options ask for, as text. Errors: INVAL. */
int mobi_surround_encode(const struct mob_task_opts *o,
			 struct mobi_surround *out);
/* The same as options, which point into it, and to env, an array of max. */
void mobi_surround_decode(const struct mobi_surround *s, const char **env,
			  size_t max, struct mob_task_opts *out);

/* Row + 1 of what the options ask for; 0: nothing. Errors: INVAL, LIMIT. */
int mobi_surround_row(struct mobi_sched *sh, const struct mob_task_opts *o,
		      uint32_t *out_row);

/* Makes it so in this process, by the worker's thread; what was before is in
 * *out_before. Errors: NOT_FOUND and others of the directory, NOMEM; then nothing
 * is changed. */
int mobi_surround_enter(const struct mobi_sched *sh, uint32_t row,
			uint32_t *out_before);
void mobi_surround_leave(const struct mobi_sched *sh, uint32_t before);

#endif /* MOBI_SURROUND_H */
