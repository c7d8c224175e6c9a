/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program in two builds, BUILD_KIND 1 and 2.
 *
 *   rebuilt OTHER SESSION  begins the session, puts the file OTHER in the place of
 *                          its own, and sees that all goes on with this build
 *   begin SESSION          begins the session and leaves it to its processes
 *   attach SESSION         prints why it cannot; exit code 0 if two builds are why
 */
#define _GNU_SOURCE
#include <mobula/mobula.h>
#include <mobula/session.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

MOB_TASK(int64_t, answer, void)
{
	return BUILD_KIND;
}

static int bad(const char *what)
{
	(void)fprintf(stderr, "%s: %s\n", what, mob_error());
	return 1;
}

static int describe(struct mob_session_info *info, struct mob_session **ses)
{
	*info = (struct mob_session_info)MOB_SESSION_INFO_INIT;
	return mob_session_current(ses) < 0 ? -1 :
					      mob_session_describe(*ses, info);
}

/* Each time by a worker that was started a moment ago. */
static int ask(int times)
{
	for (int i = 0; i < times; i++) {
		int64_t got = 0;

		if (mob_get(mob_submit_with(MOB_OPTS(.max_calls = 1), answer),
			    &got) < 0 ||
		    got != BUILD_KIND) {
			return bad("another build answered");
		}
	}
	return 0;
}

/* The daemon has another pid than was: it was started by a worker. */
static int await(uint32_t was, uint32_t changed)
{
	const struct timespec pause = { 0, 1000000 };

	for (int i = 0; i < 60000; i++) {
		struct mob_session_info info;
		struct mob_session *ses;
		bool done;

		if (describe(&info, &ses) < 0) {
			return bad("describe");
		}
		done = info.daemon_pid && info.daemon_pid != was &&
		       (info.changed & changed) == changed;
		mob_session_close(ses);
		if (done) {
			return 0;
		}
		(void)nanosleep(&pause, NULL);
	}
	return bad("it is not noticed");
}

static int rebuilt(const char *self, const char *other, const char *session)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	struct mob_session_info info;
	struct mob_session *ses;
	uint32_t daemon;

	o.session = session;
	o.workers = 1;
	o.store_bytes = 16 << 20;
	if (mob_init(&o) < 0 || ask(2)) {
		return bad("the session");
	}
	if (describe(&info, &ses) < 0 || info.changed ||
	    strlen(info.program_build) != 32) {
		return bad("its build");
	}
	daemon = info.daemon_pid;
	mob_session_close(ses);
	if (rename(other, self)) {
		return bad(strerror(errno));
	}
	if (ask(4) || await(0, MOB_SESSION_CHANGED_PROGRAM)) {
		return 1;
	}
	if (kill((int)daemon, SIGKILL) || ask(4) || await(daemon, 1)) {
		return 1;
	}
	return 0;
}

static int begin(const char *session)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;

	o.session = session;
	o.workers = 1;
	o.store_bytes = 16 << 20;
	return mob_init(&o) < 0 ? bad("the session") : 0;
}

static int attach(const char *session)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;

	o.session = session;
	return mob_init(&o) == MOB_E_VERSION &&
			       strstr(mob_error(), "another build") &&
			       strstr(mob_error(), session) ?
		       printf("%s\n", mob_error()) < 0 :
		       bad("attach");
}

MOB_MAIN(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "rebuilt")) {
		return rebuilt(argv[0], argv[2], argv[3]);
	}
	if (argc == 3 && !strcmp(argv[1], "begin")) {
		return begin(argv[2]);
	}
	return argc == 3 && !strcmp(argv[1], "attach") ? attach(argv[2]) : 2;
}
