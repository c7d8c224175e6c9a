/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions of tasks that this process knows, and their numbers in the
 * session. */
#ifndef MOBI_MODULE_H
#define MOBI_MODULE_H

#include "os_code.h"
#include "sched_layout.h"

#include <mobula/task.h>

/* Looks at everything registered: two definitions of one name are an error. */
int mobi_module_check(void);
/* A module: its file without links, and its build as it was loaded. */
struct mobi_module {
	char path[1024];
	struct mobi_code code;
};
/*
 * Loads a module, whose constructors register its tasks, in a driver: first in a
 * child, so that one that ends or hangs who loads it does not end or hang this
 * process. NOT_FOUND; PLUGIN: it does not load, or its constructors do not return;
 * VERSION: of another version of the library; BUSY: this process has an older build
 * of it, which cannot be unloaded.
 */
int mobi_module_load(const char *path);
/* The last that mobi_module_load has loaded here. */
const struct mobi_module *mobi_module_loaded(void);
/* The same build of it in a worker: the file if it is that still, else the copy. */
int mobi_module_load_again(const char *path, const struct mobi_code *code,
			   int dirfd, const char *copy);
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
