/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a submit. */
#ifndef MOBI_OPTS_H
#define MOBI_OPTS_H

#include <mobula/task.h>

#include <stdbool.h>

/* Has the function options of its own (MOB_TASK_DEFAULTS)? */
static inline bool mobi_has_defaults(const struct mob_task_def *def)
{
	return def->opts && def->opts->struct_size;
}

/* What a call with the options o (NULL: none) has: o, the function's, or, in *space,
 * those of o that say something and the function's else. */
const struct mob_task_opts *mobi_opts_of(const struct mob_task_def *def,
					 const struct mob_task_opts *o,
					 struct mob_task_opts *space);
/* The same in *out, for a task of the library that calls the function: with .alone, so
 * that nothing is added to it. Of another size: only that, which the check tells. */
void mobi_opts_copy(const struct mob_task_def *def,
		    const struct mob_task_opts *o, struct mob_task_opts *out);
/* Errors: VERSION, INVAL. */
int mobi_opts_check(const struct mob_task_opts *o);

#endif /* MOBI_OPTS_H */
