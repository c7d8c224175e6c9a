/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions of tasks.
 *
 * Constructors hand over the bounds of each module's section; a copy of the
 * pointers is made, so nothing here depends on the order in which modules are
 * loaded. A definition gets a number in the session the first time it is
 * submitted or looked up: the row of a table in shared memory with the hash of
 * its name and types. Another build with the same name and other types has
 * another hash, so its task is refused and not called with wrong arguments.
 */
#include "module.h"

#include "err.h"
#include "map.h"
#include "os_dl.h"
#include "os_trial.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS 256u

static struct {
	pthread_mutex_t lock;
	const struct mob_task_def **def;
	size_t n;
	size_t max;
	/* Numbers of this session, by row; set once. */
	_Atomic(const struct mob_task_def *) of_number[MOBI_FUNCTIONS];
	/* Numbers by definition: the one that hashes here last, + 1. */
	mobi_a32 number_of[NUMBERS];
	bool no_memory;
} reg = { .lock = PTHREAD_MUTEX_INITIALIZER };

void mob_module_register_raw(const struct mob_task_def *const *begin,
			     const struct mob_task_def *const *end)
{
	(void)pthread_mutex_lock(&reg.lock);
	for (; begin != end; begin++) {
		size_t i = 0;

		while (i < reg.n && reg.def[i] != *begin) {
			i++;
		}
		if (i < reg.n) {
			continue;
		}
		if (reg.n == reg.max) {
			size_t max = reg.max ? 2 * reg.max : 64;
			const struct mob_task_def **def =
				realloc(reg.def, max * sizeof(*def));

			if (!def) {
				reg.no_memory = true;
				break;
			}
			reg.def = def;
			reg.max = max;
		}
		reg.def[reg.n++] = *begin;
	}
	(void)pthread_mutex_unlock(&reg.lock);
}

static uint64_t mix(uint64_t h, const void *at, size_t n)
{
	const unsigned char *p = at;

	for (size_t i = 0; i < n; i++) {
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	}
	return h;
}

uint64_t mobi_module_hash(const struct mob_task_def *def)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	uint32_t rets = def->n_rets > MOB_RETS_MAX ? 1 : def->n_rets;

	h = mix(h, def->name, strlen(def->name));
	h = mix(h, &def->n_args, sizeof(def->n_args));
	for (uint32_t i = 0; i < def->n_args; i++) {
		h = mix(h, &def->args[i]->id, sizeof(def->args[i]->id));
		h = mix(h, &def->args[i]->size, sizeof(def->args[i]->size));
	}
	h = mix(h, &def->n_rets, sizeof(def->n_rets));
	for (uint32_t i = 0; i < rets; i++) {
		h = mix(h, &def->rets[i]->id, sizeof(def->rets[i]->id));
		h = mix(h, &def->rets[i]->size, sizeof(def->rets[i]->size));
	}
	return h;
}

static int check_def(const struct mob_task_def *d)
{
	if (d->struct_size != sizeof(*d)) {
		return mobi_err(MOB_E_VERSION,
				"task %s (%s:%u) was compiled for another "
				"version of the library; compile it again",
				d->name, d->file, d->line);
	}
	if (d->n_args > MOB_ARGS_MAX ||
	    (d->n_rets > MOB_RETS_MAX && d->n_rets != MOB_RETS_MANY &&
	     d->n_rets != MOB_RETS_STREAM)) {
		return mobi_err(MOB_E_INVAL,
				"task %s (%s:%u) has %u parameters and %u "
				"returns; at most %d and %d",
				d->name, d->file, d->line, d->n_args, d->n_rets,
				MOB_ARGS_MAX, MOB_RETS_MAX);
	}
	return 0;
}

int mobi_module_check(void)
{
	int rc;

	mobi_map_register();
	rc = reg.no_memory ? mobi_err(MOB_E_NOMEM, "out of memory") : 0;
	(void)pthread_mutex_lock(&reg.lock);
	for (size_t i = 0; i < reg.n && rc == 0; i++) {
		rc = check_def(reg.def[i]);
		for (size_t k = 0; k < i && rc == 0; k++) {
			if (!strcmp(reg.def[i]->name, reg.def[k]->name)) {
				rc = mobi_err(MOB_E_EXISTS,
					      "task %s is defined twice: %s:%u "
					      "and %s:%u; rename one",
					      reg.def[i]->name,
					      reg.def[k]->file,
					      reg.def[k]->line,
					      reg.def[i]->file,
					      reg.def[i]->line);
			}
		}
	}
	(void)pthread_mutex_unlock(&reg.lock);
	return rc;
}

/* ---- modules ---- */

/* Processor time and time that the constructors of a module may take. */
#define LOAD_CPU_S 10u
#define LOAD_WALL_MS 20000u

static struct mobi_module last; /* under the lock of who enters a session */

const struct mobi_module *mobi_module_loaded(void)
{
	return &last;
}

static int wrap(const char *path, int rc, const char *how)
{
	char why[400];

	(void)snprintf(why, sizeof(why), "%s", mob_err_detail(rc));
	return mobi_err(
		rc == MOB_E_CRASHED || rc == MOB_E_TIMEOUT ? MOB_E_PLUGIN : rc,
		"module '%s': %s%s", path, how, why);
}

/* In a child. */
static int try_load(void *arg)
{
	const char *path = arg;
	void *handle;
	int rc = mobi_dl_open(path, &handle);

	return rc < 0 ? rc : mobi_module_check();
}

static int try_in_child(struct mobi_module *m)
{
	struct mobi_trial_end end;
	int rc;

	/* A constructor that calls exit would print what is buffered, again. */
	(void)fflush(stdout);
	rc = mobi_trial(try_load, m->path, LOAD_CPU_S, LOAD_WALL_MS, &end);
	if (rc == MOB_E_CRASHED || rc == MOB_E_TIMEOUT) {
		return wrap(m->path, rc,
			    "loading it was tried in a process of its own; a "
			    "constructor must return: ");
	}
	return rc < 0 ? wrap(m->path, rc, "") : 0;
}

/* Loads the file, and sees that it is what has been loaded. */
static int load_as(struct mobi_module *m)
{
	char has[MOBI_CODE_TEXT];
	char is[MOBI_CODE_TEXT];
	struct mobi_code c;
	void *handle;
	int rc = mobi_dl_open(m->path, &handle);

	if (rc >= 0) {
		rc = mobi_code_of_loaded(handle, m->path, &c);
	}
	if (rc >= 0 && !mobi_code_same(&c, &m->code)) {
		mobi_code_text(&c, has);
		mobi_code_text(&m->code, is);
		rc = mobi_err(MOB_E_BUSY,
			      "module '%s' was built anew: this process has "
			      "loaded build %s, the file is %s; a build cannot "
			      "be unloaded: start the program again",
			      m->path, has, is);
	}
	return rc;
}

int mobi_module_load(const char *path)
{
	struct mobi_module m;
	int rc = mobi_dl_resolve(path, m.path, sizeof(m.path));

	if (rc >= 0) {
		rc = mobi_code_of_file(m.path, &m.code);
	}
	if (rc < 0) {
		return wrap(path, rc, "");
	}
	/* What came well once comes well again: nothing of it runs. */
	if (strcmp(m.path, last.path) != 0 ||
	    !mobi_code_same(&m.code, &last.code)) {
		rc = try_in_child(&m);
	}
	if (rc >= 0) {
		rc = load_as(&m);
	}
	if (rc >= 0) {
		rc = mobi_module_check();
	}
	if (rc >= 0) {
		last = m;
	}
	return rc;
}

int mobi_module_load_again(const char *path, const struct mobi_code *code,
			   int dirfd, const char *copy)
{
	struct mobi_code c;
	const char *asked = path;
	char at[64];
	void *handle;
	int rc = mobi_code_of_file(path, &c);

	if (rc >= 0 && mobi_code_same(&c, code)) {
		rc = mobi_dl_open(path, &handle);
	} else {
		rc = mobi_code_load_at(dirfd, copy, &handle);
		/* Of one without a build id its bytes tell what it is. */
		(void)snprintf(at, sizeof(at), "/proc/self/fd/%d/%s", dirfd,
			       copy);
		path = at;
	}
	if (rc >= 0) {
		rc = mobi_code_of_loaded(handle, path, &c);
	}
	if (rc >= 0 && !mobi_code_same(&c, code)) {
		rc = mobi_err(MOB_E_VERSION,
			      "module '%s' was built anew while it was loaded",
			      asked);
	}
	return rc < 0 ? rc : mobi_module_check();
}

static bool is_row(const struct mobi_fn_shared *f, uint64_t hash)
{
	return mobi_load(&f->state) == MOBI_FN_READY && f->hash == hash;
}

/* Where the number of a definition is kept at hand. */
static mobi_a32 *at_hand(const struct mob_task_def *def)
{
	return &reg.number_of[(uintptr_t)def / sizeof(*def) % NUMBERS];
}

static int find_number(struct mobi_sched *sh, const struct mob_task_def *def,
		       uint32_t *out_fn)
{
	uint64_t hash = mobi_module_hash(def);
	uint32_t at = (uint32_t)hash % MOBI_FUNCTIONS;

	for (uint32_t k = 0; k < MOBI_FUNCTIONS; k++) {
		uint32_t i = (at + k) % MOBI_FUNCTIONS;
		struct mobi_fn_shared *f = &sh->fn[i];
		uint32_t st = mobi_load(&f->state);

		/* A row that is being written belongs to another function, or
		 * its writer died: either way the next one serves. */
		if (st == MOBI_FN_FREE &&
		    mobi_cas32(&f->state, &st, MOBI_FN_WRITING)) {
			f->hash = hash;
			strncpy(f->name, def->name, sizeof(f->name) - 1);
			mobi_store(&f->state, MOBI_FN_READY);
		}
		if (is_row(f, hash)) {
			mobi_store(&reg.of_number[i], def);
			*out_fn = i;
			return 0;
		}
	}
	return mobi_err(MOB_E_LIMIT,
			"the session knows %u functions, the most "
			"it can",
			MOBI_FUNCTIONS);
}

/* Places of definitions, by their numbers. */
static struct mob_site sites[MOBI_FUNCTIONS];

/* Before the number is at hand. Several threads may come here for one. */
static void site_set(uint32_t fn, const struct mob_task_def *def)
{
	struct mob_site *site = &sites[fn % MOBI_FUNCTIONS];

	(void)pthread_mutex_lock(&reg.lock);
	if (site->file != def->file || site->line != def->line) {
		site->file = def->file;
		site->line = def->line;
	}
	(void)pthread_mutex_unlock(&reg.lock);
}

struct mob_site *mobi_module_site(const struct mob_task_def *def)
{
	uint32_t n = mobi_load(at_hand(def));

	/* Another definition may have the same place in the table at hand. */
	return n && mobi_load(&reg.of_number[n - 1]) == def ? &sites[n - 1] :
							      NULL;
}

int mobi_module_number(struct mobi_sched *sh, const struct mob_task_def *def,
		       uint32_t *out_fn)
{
	uint32_t n = mobi_load(at_hand(def));
	int rc;

	if (n && mobi_load(&reg.of_number[n - 1]) == def) {
		*out_fn = n - 1;
		return 0;
	}
	rc = find_number(sh, def, out_fn);
	if (rc >= 0) {
		site_set(*out_fn, def);
		mobi_store(at_hand(def), *out_fn + 1);
	}
	return rc;
}

const struct mob_task_def *mobi_module_def(const struct mobi_sched *sh,
					   uint32_t fn)
{
	const struct mob_task_def *def;

	if (fn >= MOBI_FUNCTIONS) {
		return NULL;
	}
	def = mobi_load(&reg.of_number[fn]);
	if (def) {
		return def;
	}
	(void)pthread_mutex_lock(&reg.lock);
	for (size_t i = 0; i < reg.n && !def; i++) {
		if (is_row(&sh->fn[fn], mobi_module_hash(reg.def[i]))) {
			def = reg.def[i];
			mobi_store(&reg.of_number[fn], def);
		}
	}
	(void)pthread_mutex_unlock(&reg.lock);
	return def;
}

const struct mob_task_def *mobi_module_of(void (*fn)(void))
{
	const struct mob_task_def *def = NULL;

	(void)pthread_mutex_lock(&reg.lock);
	for (size_t i = 0; i < reg.n && !def; i++) {
		def = reg.def[i]->fn == fn ? reg.def[i] : NULL;
	}
	(void)pthread_mutex_unlock(&reg.lock);
	return def;
}

int mobi_module_each(int (*fn)(const struct mob_task_def *def, void *arg),
		     void *arg)
{
	int rc = 0;

	for (size_t i = 0; rc == 0; i++) {
		const struct mob_task_def *def;

		(void)pthread_mutex_lock(&reg.lock);
		def = i < reg.n ? reg.def[i] : NULL;
		(void)pthread_mutex_unlock(&reg.lock);
		if (!def) {
			break;
		}
		rc = fn(def, arg);
	}
	return rc;
}

/* A new session numbers anew. */
void mobi_module_forget(void)
{
	for (uint32_t i = 0; i < MOBI_FUNCTIONS; i++) {
		mobi_store(&reg.of_number[i], NULL);
	}
}
