/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which build a session has; see build.h.
 *
 * A program runs from its file as long as a process does, whatever is put in the
 * file's place: /proc/self/exe is that file. So each process of the session starts
 * the next one from its own. A module is not what its processes run from: the session
 * has a copy of the file, which workers load if the file is another by then.
 */
#include "build.h"

#include "err.h"
#include "log.h"
#include "module.h"
#include "os_clock.h"
#include "os_run.h"
#include "runtime.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WATCH_NS (uint64_t) MOB_SEC

static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mobi_code own;
static bool own_known;

/* The build of this process's program. */
static int own_code(struct mobi_code *out)
{
	int rc = 0;

	(void)pthread_mutex_lock(&own_lock);
	if (!own_known) {
		rc = mobi_code_of_program(&own);
		own_known = rc >= 0;
	}
	*out = own;
	(void)pthread_mutex_unlock(&own_lock);
	return rc;
}

static struct mobi_code code_of(const struct mobi_build *b)
{
	struct mobi_code c;

	memcpy(c.word, b->code, sizeof(c.word));
	return c;
}

static void set_code(struct mobi_build *b, const struct mobi_code *c)
{
	memcpy(b->code, c->word, sizeof(b->code));
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ---- the beginning ---- */

int mobi_build_begin(struct mob_store *s, bool module)
{
	struct mobi_sched *sh = s->sched;
	const struct mobi_module *m = mobi_module_loaded();
	struct mobi_code c;
	int rc = mobi_self_path(sh->program, sizeof(sh->program));

	if (rc >= 0) {
		rc = own_code(&c);
	}
	if (rc < 0) {
		return rc;
	}
	set_code(&sh->program_build, &c);
	if (!module) {
		return 0;
	}
	_Static_assert(sizeof(sh->module) == sizeof(m->path), "a path fits");
	memcpy(sh->module, m->path, sizeof(sh->module));
	set_code(&sh->module_build, &m->code);
	rc = mobi_code_keep_at(m->path, s->dir_fd, MOBI_BUILD_MODULE);
	if (rc >= 0) {
		/* It may have been replaced between its being loaded and this. */
		char copy[sizeof(m->path)];
		int n = snprintf(copy, sizeof(copy), "/proc/self/fd/%d/%s",
				 s->dir_fd, MOBI_BUILD_MODULE);

		MOB_ASSERT(n > 0 && (size_t)n < sizeof(copy));
		rc = mobi_code_of_file(copy, &c);
	}
	if (rc >= 0 && !mobi_code_same(&c, &m->code)) {
		rc = mobi_err(MOB_E_BUSY,
			      "module '%s' was built anew while the session "
			      "began; start again",
			      m->path);
	}
	return rc;
}

int mobi_build_worker_program(struct mobi_sched *sh, const char *path)
{
	struct mobi_code c;
	int rc = mobi_code_of_file(path, &c);

	if (rc >= 0) {
		(void)snprintf(sh->program, sizeof(sh->program), "%s", path);
		set_code(&sh->program_build, &c);
	}
	return rc;
}

/* 1: this process runs the session's program. */
static int is_of(const struct mobi_sched *sh)
{
	struct mobi_code its = code_of(&sh->program_build);
	struct mobi_code mine;
	int rc = own_code(&mine);

	return rc < 0 ? rc : mobi_code_same(&mine, &its);
}

const char *mobi_build_program(const struct mobi_sched *sh)
{
	return is_of(sh) == 1 ? MOBI_CODE_SELF : sh->program;
}

/* ---- others ---- */

/* Of the program or module whose path the session has. */
static int refuse(const char *what, const char *path,
		  const struct mobi_code *mine, const char *session,
		  const struct mobi_code *its)
{
	char a[MOBI_CODE_TEXT];
	char b[MOBI_CODE_TEXT];

	mobi_code_text(mine, a);
	mobi_code_text(its, b);
	return mobi_err(MOB_E_VERSION,
			"%s '%s' is another build than session '%s' has: it is "
			"%s, the session's is %s; two builds do not mix: end "
			"that session (mob session stop %s) or give this one "
			"another name",
			what, path, session, a, b, session);
}

int mobi_build_attach(const struct mob_store *s, const struct mob_init_opts *o)
{
	const struct mobi_sched *sh = s->sched;
	const struct mobi_module *m = mobi_module_loaded();
	struct mobi_code its = code_of(&sh->program_build);
	struct mobi_code mine;
	char path[sizeof(sh->program)];
	int rc = mobi_self_path(path, sizeof(path));

	if (rc >= 0) {
		rc = own_code(&mine);
	}
	if (rc < 0) {
		return rc;
	}
	if (!strcmp(base_of(path), base_of(sh->program)) &&
	    !mobi_code_same(&mine, &its)) {
		return refuse("program", path, &mine, s->name, &its);
	}
	if (!o->module || !sh->module[0]) {
		return 0;
	}
	if (strcmp(base_of(m->path), base_of(sh->module)) != 0) {
		return mobi_err(MOB_E_EXISTS,
				"mob_init: session '%s' has module %s, not %s",
				s->name, base_of(sh->module), base_of(m->path));
	}
	its = code_of(&sh->module_build);
	return mobi_code_same(&m->code, &its) ?
		       0 :
		       refuse("module", m->path, &m->code, s->name, &its);
}

/* Nobody is left who could start the session's processes from its program. */
static int is_gone(const struct mob_store *s, const struct mobi_code *file)
{
	const struct mobi_sched *sh = s->sched;
	struct mobi_code its = code_of(&sh->program_build);
	char a[MOBI_CODE_TEXT];
	char b[MOBI_CODE_TEXT];

	mobi_code_text(file, a);
	mobi_code_text(&its, b);
	return mobi_err(MOB_E_VERSION,
			"session '%s' has no daemon, and '%s', which could be "
			"one, was built anew: it is %s, the session's is %s; "
			"end the session (mob session stop %s) or put the old "
			"file back",
			s->name, sh->program, a, b, s->name);
}

/* Has this process the session's program? If not, has `path`, which could be its daemon;
 * NULL: nothing else could. */
static int can_be_daemon(const struct mob_store *s, const char *path)
{
	const struct mobi_sched *sh = s->sched;
	struct mobi_code its = code_of(&sh->program_build);
	struct mobi_code code;
	int rc = is_of(sh);

	if (rc) {
		return rc < 0 ? rc : 0;
	}
	rc = path ? mobi_code_of_file(path, &code) : own_code(&code);
	if (rc < 0) {
		return rc;
	}
	return mobi_code_same(&code, &its) ? 0 : is_gone(s, &code);
}

int mobi_build_can_start(const struct mob_store *s)
{
	const struct mobi_sched *sh = s->sched;

	return can_be_daemon(s, sh->program);
}

int mobi_build_daemon(const struct mob_store *s)
{
	return can_be_daemon(s, NULL);
}

int mobi_build_worker(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	struct mobi_code its = code_of(&sh->program_build);
	struct mobi_code mine;
	int rc = own_code(&mine);

	if (rc < 0) {
		return rc;
	}
	if (!mobi_code_same(&mine, &its)) {
		return refuse("program", sh->program, &mine, s->name, &its);
	}
	if (!sh->module[0]) {
		return mobi_module_check();
	}
	its = code_of(&sh->module_build);
	return mobi_module_load_again(sh->module, &its, s->dir_fd,
				      MOBI_BUILD_MODULE);
}

/* ---- the daemon ---- */

static void watch_one(const struct mob_store *s, const char *what,
		      const char *path, struct mobi_build *b,
		      struct mobi_dl_stamp *seen)
{
	struct mobi_code its = code_of(b);
	struct mobi_dl_stamp now;
	struct mobi_code c;
	char text[MOBI_CODE_TEXT];

	/* A file that is not there is most often about to be written. */
	if (!path[0] || mobi_load(&b->changed) ||
	    !mobi_code_stamp(path, &now) || !memcmp(&now, seen, sizeof(now)) ||
	    mobi_code_of_file(path, &c) < 0) {
		return;
	}
	*seen = now;
	if (!mobi_code_same(&c, &its)) {
		mobi_store(&b->changed, 1u);
		mobi_code_text(&its, text);
		mobi_log(MOBI_LOG_WARN,
			 "%s %s was built anew: session %s goes on with the "
			 "build that it began with, %s",
			 what, path, s->name, text);
	}
}

void mobi_build_watch(struct mob_store *s, struct mobi_build_watch *w)
{
	struct mobi_sched *sh = s->sched;
	uint64_t now = mobi_now_ns();

	if (now < w->next_ns) {
		return;
	}
	w->next_ns = now + WATCH_NS;
	watch_one(s, "program", sh->program, &sh->program_build, &w->stamp[0]);
	watch_one(s, "module", sh->module, &sh->module_build, &w->stamp[1]);
}
