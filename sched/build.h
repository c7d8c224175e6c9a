/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which build of the program, and of the module, a session has.
 *
 * It is that with which the session began, until it ends: what is started later is
 * started from the same bytes, also when the file has been replaced meanwhile, and
 * what has other bytes is refused. docs/adr/0017.
 */
#ifndef MOBI_BUILD_H
#define MOBI_BUILD_H

#include "os_code.h"
#include "os_dl.h"
#include "sched_layout.h"

struct mob_init_opts;
struct mob_store;

/* The copy of the module in the session's directory. */
#define MOBI_BUILD_MODULE "module"

/* Writes down the build of this program, and of the module that this process has
 * loaded last if there is one, whose file it copies; in a session that nobody else
 * sees yet. */
int mobi_build_begin(struct mob_store *s, bool module);
/* The program whose file is at path stands in for this one as a worker. */
int mobi_build_worker_program(struct mobi_sched *sh, const char *path);

/* Path to start a process of the session from: this process's own program, if that
 * is the session's. Not in a signal handler. */
const char *mobi_build_program(const struct mobi_sched *sh);

/* Can this process start others of the session? MOB_E_VERSION if its program was
 * built anew and this is another; MOB_E_NOT_FOUND if it is not there. */
int mobi_build_can_start(const struct mob_store *s);
/* In a daemon that was started: is it of the session's build? MOB_E_VERSION. */
int mobi_build_daemon(const struct mob_store *s);

/* May a driver of this build attach? MOB_E_VERSION names both builds,
 * MOB_E_EXISTS two modules of different names. */
int mobi_build_attach(const struct mob_store *s, const struct mob_init_opts *o);

/* In a worker that starts: is it of the session's build? Loads the module. */
int mobi_build_worker(struct mob_store *s);

/* What the daemon has seen of a file. */
struct mobi_build_watch {
	uint64_t next_ns;
	struct mobi_dl_stamp stamp[2]; /* program, module */
};
/* Looks each second, in the daemon, whether a file was built anew; says so once. */
void mobi_build_watch(struct mob_store *s, struct mobi_build_watch *w);

#endif /* MOBI_BUILD_H */
