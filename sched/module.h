/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions of tasks that this process knows, and their numbers in the
 * session. */
#ifndef MOBI_MODULE_H
#define MOBI_MODULE_H

#include "sched_layout.h"

#include <mobula/task.h>

/* Looks at everything registered: two definitions of one name are an error. */
int mobi_module_check(void);
/* Loads a module, whose constructors register its tasks. */
int mobi_module_load(const char *path);
/* Number of a definition in the session, made at first use. LIMIT. */
int mobi_module_number(struct mobi_sched *sh, const struct mob_task_def *def,
		       uint32_t *out_fn);
/* The place of a definition that has a number; NULL: not yet. */
struct mob_site *mobi_module_site(const struct mob_task_def *def);
/* Definition with that number, or NULL if this process has none. */
const struct mob_task_def *mobi_module_def(const struct mobi_sched *sh,
					   uint32_t fn);
/* Definition of a plain function; NULL if it is not registered. */
const struct mob_task_def *mobi_module_of(void (*fn)(void));
/* Hash of name and types: two builds that differ do not mix. */
uint64_t mobi_module_hash(const struct mob_task_def *def);

/* Calls fn for every definition that is registered, in that order, until it
 * returns nonzero; returns that, or 0. */
int mobi_module_each(int (*fn)(const struct mob_task_def *def, void *arg),
		     void *arg);

/* Forgets the numbers of a session that was left. */
void mobi_module_forget(void);

#endif /* MOBI_MODULE_H */
