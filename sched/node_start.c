/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the processes of a session, and the connection to its daemon. */
#include "build.h"
#include "err.h"
#include "log.h"
#include "node.h"
#include "os_run.h"
#include "os_sock.h"
#include "output.h"
#include "reap.h"
#include "strays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mobi_node_run(struct mob_store *s, const char *role,
		  const struct mobi_run_how *how, char *const more[2])
{
	const char *program = mobi_build_program(s->sched);
	char role_env[64];
	char argv0[32];
	char *argv[3] = { argv0, s->name, NULL };
	char *env[5] = { role_env, NULL, more[0], more[1], NULL };
	size_t n = strlen(s->path) + sizeof(MOBI_ENV_SESSION) + 2;
	int rc;

	env[1] = malloc(n);
	if (!env[1]) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	(void)snprintf(role_env, sizeof(role_env), "%s=%s", MOBI_ENV_ROLE,
		       role);
	(void)snprintf(env[1], n, "%s=%s", MOBI_ENV_SESSION, s->path);
	(void)snprintf(argv0, sizeof(argv0), "mobula-%s", role);
	if (!strcmp(role, "daemon")) {
		char **envp = mobi_env_with(env);

		rc = envp ? mobi_run_detached(program, argv, envp, how) :
			    mobi_err(MOB_E_NOMEM, "out of memory");
		if (rc == MOB_E_SYS) {
			rc = mobi_err_errno("cannot start the daemon; look at "
					    "ulimit -u and the limit of "
					    "processes of the control group");
		}
		free(envp);
	} else {
		rc = mobi_run(program, argv, env, how);
	}
	free(env[1]);
	return rc;
}

static int run_daemon(struct mob_store *s)
{
	struct mobi_run_how how = MOBI_RUN_HOW_INIT;
	char tag[MOBI_TAG_ENV];
	char *more[2] = { tag, NULL };
	int rc = mobi_build_can_start(s);

	if (rc < 0) {
		return rc;
	}
	mobi_output_stdio(s, &how);
	mobi_strays_daemon_env(s, tag);
	rc = mobi_node_run(s, "daemon", &how, more);
	mobi_output_stdio_end(&how);
	return rc;
}

int mobi_node_start(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;

	return mobi_lock_held(&sh->daemon) ? 0 : run_daemon(s);
}

int mobi_node_reconnect(struct mob_store *s)
{
	int fd = mobi_sock_connect(s->dir_fd, MOBI_SOCKET);

	if (fd >= 0) {
		(void)mobi_sock_signal(fd, mobi_news_signal());
	}
	return fd;
}

int mobi_node_connect(struct mob_store *s)
{
	int fd = mobi_sock_connect(s->dir_fd, MOBI_SOCKET);

	if (fd < 0) {
		return fd;
	}
	mobi_rt.daemon_fd = fd;
	return 0;
}

void mobi_node_want_worker(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;

	if (!mobi_exchange(&sh->wanted_extra, 1u)) {
		mobi_sock_write(mobi_rt.daemon_fd, "w", 1);
	}
}

/* Who waits goes on waiting: the file may be put back. */
static void tell_no_daemon(const char *why)
{
	static mobi_a32 told;

	if (!mobi_exchange(&told, 1u)) {
		mobi_log(MOBI_LOG_ERROR, "no daemon can be started: %s", why);
	}
}

void mobi_node_poll(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	int rc;

	if (mobi_load(&sh->stopping) || mobi_load(&s->hdr->ending) ||
	    mobi_lock_held(&sh->daemon)) {
		return; /* the daemon reaps, and knows how a worker ended */
	}
	rc = run_daemon(s);
	if (rc < 0) {
		tell_no_daemon(mob_err_detail(rc));
	}
	(void)mobi_reap(s);
}
