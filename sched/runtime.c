/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run-time of a process: entering a session and leaving it, and what each
 * thread has of its own.
 *
 * A program enters through mob_main. Started again by the session, its
 * environment names a role: then it is a worker or the daemon, and the user's
 * main is never called.
 */
#include "runtime.h"

#include "block.h"
#include "build.h"
#include "conf.h"
#include "domain.h"
#include "err.h"
#include "error.h"
#include "frame.h"
#include "lineage.h"
#include "log.h"
#include "module.h"
#include "node.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_futex.h"
#include "os_run.h"
#include "os_sock.h"
#include "output.h"
#include "policy_row.h"
#include "prefetch.h"
#include "pressure.h"
#include "reap.h"
#include "record.h"
#include "resources.h"
#include "sched_reap.h"
#include "strays.h"
#include "worker_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mobi_runtime mobi_rt = { .place = MOBI_NO_PLACE, .daemon_fd = -1 };

static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_ok;
static mobi_a64 session_serial; /* contexts of an earlier session are empty */

uint64_t mobi_rt_serial(void)
{
	return mobi_load(&session_serial);
}

int mobi_rt_check(const char *call)
{
	if (!mobi_rt.store) {
		return mobi_err(MOB_E_STATE,
				"%s: no session; call mob_init before", call);
	}
	if (!mobi_load_relaxed(mobi_rt.store->not_forked)) {
		return mobi_err(MOB_E_FORKED,
				"%s: this process was forked from one that is "
				"attached; in the child, call mob_shutdown, "
				"then mob_init",
				call);
	}
	return 0;
}

/* ---- contexts ---- */

struct thread_state {
	struct mobi_context *top;
	struct mobi_context base;
	struct mobi_frame frame; /* of the thread outside any task */
	uint64_t session;
};

/* Of a session that was left: only the memory is freed. */
static void forget_frames(struct thread_state *t)
{
	while (t->base.frame != &t->frame) {
		struct mobi_frame *f = t->base.frame;

		t->base.frame = f->outer;
		free(f->entry);
		free(f->space);
		free(f);
	}
	free(t->frame.entry);
	free(t->frame.space);
	mobi_frame_init(&t->frame, NULL);
}

static void thread_end(void *arg)
{
	struct thread_state *t = arg;

	if (t->session == mobi_load(&session_serial)) {
		(void)pthread_setspecific(key, t);
		while (t->base.frame != &t->frame) {
			mobi_scope_drop(&t->base);
		}
		mobi_frame_end(&t->frame);
		(void)pthread_setspecific(key, NULL);
	} else {
		forget_frames(t);
	}
	mobi_error_free(t->base.error);
	free(t);
}

static void make_key(void)
{
	key_ok = pthread_key_create(&key, thread_end) == 0;
}

static struct thread_state *thread_state(void)
{
	struct thread_state *t;
	uint64_t now;

	(void)pthread_once(&key_once, make_key);
	if (!key_ok) {
		return NULL;
	}
	t = pthread_getspecific(key);
	now = mobi_load(&session_serial);
	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t || pthread_setspecific(key, t)) {
			free(t);
			return NULL;
		}
		t->session = now;
		mobi_frame_init(&t->frame, NULL);
		t->base.frame = &t->frame;
		t->top = &t->base;
	} else if (t->session != now) {
		/* The session that its refs were of is gone. */
		forget_frames(t);
		t->session = now;
	}
	return t;
}

struct mobi_context *mobi_context(void)
{
	struct thread_state *t = thread_state();

	return t ? t->top : NULL;
}

void mobi_context_push(struct mobi_context *ctx)
{
	struct thread_state *t = thread_state();

	MOB_ASSERT(t);
	ctx->outer = t->top;
	t->top = ctx;
}

void mobi_context_pop(struct mobi_context *ctx)
{
	struct thread_state *t = thread_state();

	MOB_ASSERT(t && t->top == ctx);
	t->top = ctx->outer;
}

void mobi_context_clear(void)
{
	struct thread_state *t = thread_state();

	if (t) {
		while (t->base.frame != &t->frame) {
			mobi_scope_drop(&t->base);
		}
		mobi_frame_end(&t->frame);
	}
}

/* ---- scopes ---- */

void mobi_scope_drop(struct mobi_context *c)
{
	struct mobi_frame *f = c->frame;

	/* The first frame of a context is not on the heap, and stays. */
	MOB_ASSERT(f->outer);
	mobi_frame_end(f);
	c->frame = f->outer;
	free(f); /* NOLINT(clang-analyzer-unix.Malloc): see the assertion */
}

struct mob_scope mob_scope_open(void)
{
	struct mob_scope scope = { 0, true };
	struct mobi_context *c = mobi_context();
	struct mobi_frame *f = c ? malloc(sizeof(*f)) : NULL;

	/* Without memory its refs go to the frame around it: later, not
	 * never. */
	if (f) {
		mobi_frame_init(f, c->frame);
		c->frame = f;
		scope.id = f->serial;
	}
	return scope;
}

void mob_scope_close(struct mob_scope *scope)
{
	struct mobi_context *c = mobi_context();
	uint64_t id = scope->id;

	scope->id = 0;
	scope->open = false;
	if (!c || !id) {
		return;
	}
	for (struct mobi_frame *f = c->frame; f; f = f->outer) {
		if (f->serial == id) {
			while (c->frame != f) {
				mobi_scope_drop(c);
			}
			mobi_scope_drop(c);
			return;
		}
	}
}

/* ---- entering ---- */

int mob_main(int argc, char **argv, int (*user_main)(int argc, char **argv))
{
	const char *role = getenv(MOBI_ENV_ROLE);
	const char *path = getenv(MOBI_ENV_SESSION);
	int rc;

	mobi_rt.entered = true;
	if (role && path) {
		char *session = strdup(path);

		/* Not for processes that tasks start. */
		(void)unsetenv(MOBI_ENV_ROLE);
		(void)unsetenv(MOBI_ENV_SESSION);
		if (!session) {
			return 1;
		}
		rc = !strcmp(role, "daemon") ?
			     mobi_node_main(session, false) < 0 :
			     mobi_worker_main(session);
		free(session);
		return rc;
	}
	rc = user_main(argc, argv);
	if (rc && mob_error_code()) {
		(void)fprintf(stderr, "%s: %s\n",
			      argc > 0 ? argv[0] : "program", mob_error());
	}
	mob_shutdown();
	return rc;
}

static int set_workers(struct mobi_sched *sh, int32_t asked)
{
	uint64_t workers;
	uint64_t extra;
	int rc = mobi_conf_u64(MOBI_CONF_ID_workers, &workers);

	if (rc >= 0) {
		rc = mobi_conf_u64(MOBI_CONF_ID_extra_workers, &extra);
	}
	if (rc < 0) {
		return rc;
	}
	if (asked == 0 || asked < -1 || asked > 48) {
		return mobi_err(MOB_E_INVAL,
				"mob_init: workers is %d; 1 to 48, or -1 for "
				"one a processor",
				asked);
	}
	if (asked > 0) {
		workers = (uint64_t)asked;
	}
	if (!workers) {
		workers = mobi_cpu_count();
	}
	workers = workers > 48 ? 48 : workers;
	sh->n_workers = (uint32_t)workers;
	sh->max_places = (uint32_t)(workers + extra);
	if (sh->max_places > MOBI_CLIENTS - 8) {
		sh->max_places = MOBI_CLIENTS - 8;
	}
	sh->capacity = sh->n_workers * MOBI_CPU_UNIT;
	return 0;
}

static int first_policy(struct mob_store *s, const char *name,
			uint32_t *out_row)
{
	char why[400];
	int rc = mobi_policy_row_add(s, name, MOBI_POLICY_TRIAL_UNLESS_OURS,
				     out_row);

	if (rc == MOB_E_NOT_FOUND || rc == MOB_E_CRASHED ||
	    rc == MOB_E_TIMEOUT) {
		(void)snprintf(why, sizeof(why), "%s", mob_err_detail(rc));
		return mobi_err(MOB_E_PLUGIN, "%s", why);
	}
	return rc;
}

/* Lays out a new session before anybody else can see it. */
static int set_up(struct mob_store *s, const void *arg)
{
	const struct mob_init_opts *o = arg;
	struct mobi_sched *sh = s->sched;
	const char *policy = o->policy;
	const char *resources = o->resources;
	uint32_t row;
	int rc = mobi_ctl_back(s, s->hdr->section[MOBI_SEC_SCHED].off,
			       sizeof(*sh));

	if (rc >= 0) {
		rc = set_workers(sh, o->workers);
	}
	if (rc >= 0 && !resources) {
		rc = mobi_conf_str(MOBI_CONF_ID_resources, &resources);
	}
	if (rc >= 0) {
		rc = mobi_resources_define(sh, resources);
	}
	if (rc >= 0) {
		rc = mobi_build_begin(s, o->module != NULL);
	}
	if (rc >= 0 && !policy) {
		rc = mobi_conf_str(MOBI_CONF_ID_policy, &policy);
	}
	if (rc >= 0) {
		rc = first_policy(s, policy, &row);
	}
	if (rc >= 0) {
		rc = mobi_domain_init(s, row);
	}
	if (rc >= 0) {
		rc = mobi_record_init(s);
	}
	if (rc >= 0) {
		rc = mobi_lineage_init(sh);
	}
	if (rc >= 0) {
		rc = mobi_output_init(s, o->output);
	}
	if (rc >= 0) {
		rc = mobi_worker_limits_init(s);
	}
	if (rc >= 0) {
		rc = mobi_conf_u64(
			MOBI_CONF_ID_inline_gets,
			&((struct mobi_sched *)s->sched)->inline_gets);
	}
	if (rc >= 0) {
		rc = mobi_pressure_init(sh);
	}
	if (rc < 0) {
		return rc;
	}
	if (s->hdr->flags & MOB_STORE_PRIVATE) {
		sh->driver = mobi_proc_self();
	}
	mobi_store(&s->hdr->has_sched, MOBI_SCHED_LAYOUT);
	mobi_store(&sh->ready, 1u);
	return 0;
}

static int create_session(const struct mob_init_opts *o, struct mob_store **out)
{
	struct mob_store_opts so = MOB_STORE_OPTS_INIT;
	struct mob_store *s;
	int rc;

	so.arena_bytes = o->store_bytes;
	so.spill_dir = o->spill_dir;
	so.flags = o->session ? 0 : MOB_STORE_PRIVATE;
	rc = mobi_store_create(o->session, &so, MOBI_ROLE_DRIVER, set_up, o,
			       &s);
	if (rc >= 0) {
		*out = s;
	}
	return rc;
}

/* Does the session have what was asked for by name? The policy may be another
 * after a swap: what it began with is not asked about then. */
static int same_settings(const struct mob_init_opts *o,
			 const struct mobi_sched *sh)
{
	uint32_t row = mobi_load(&sh->wanted_policy) % MOBI_POLICIES;
	const char *has = row ? sh->policy[row].name : "fifo";
	const char *slash = o->policy ? strrchr(o->policy, '/') : NULL;

	if (o->policy && !slash && strcmp(o->policy, has) != 0) {
		return mobi_err(MOB_E_EXISTS,
				"mob_init: session '%s' has policy %s, not %s; "
				"swap it: mob policy swap",
				o->session, has, o->policy);
	}
	return 0;
}

int mobi_rt_check_layout(const struct mob_store *s)
{
	uint32_t have = mobi_load(&s->hdr->has_sched);

	if (have && have != MOBI_SCHED_LAYOUT) {
		return mobi_err(MOB_E_VERSION,
				"session %s is of another build of the "
				"scheduler (layout %#x, not %#x)",
				s->name, have, MOBI_SCHED_LAYOUT);
	}
	return 0;
}

static int attach_session(const struct mob_init_opts *o, struct mob_store **out)
{
	struct mobi_sched *sh;
	struct mob_store *s;
	int rc = mobi_store_open(o->session, MOBI_ROLE_DRIVER, &s);

	if (rc < 0) {
		return rc;
	}
	sh = s->sched;
	rc = mobi_rt_check_layout(s);
	if (rc >= 0 &&
	    (!mobi_load(&s->hdr->has_sched) || !mobi_load(&sh->ready))) {
		rc = mobi_err(MOB_E_EXISTS,
			      "mob_init: '%s' is a store without a scheduler; "
			      "choose another name",
			      o->session);
	} else if (rc >= 0 && o->workers > 0 &&
		   (uint32_t)o->workers != sh->n_workers) {
		rc = mobi_err(MOB_E_EXISTS,
			      "mob_init: session '%s' has %u workers, not %d",
			      o->session, sh->n_workers, o->workers);
	} else if (rc >= 0 && o->store_bytes &&
		   o->store_bytes > s->hdr->arena_bytes) {
		rc = mobi_err(MOB_E_EXISTS,
			      "mob_init: session '%s' has a store of %llu "
			      "bytes, not %llu",
			      o->session,
			      (unsigned long long)s->hdr->arena_bytes,
			      (unsigned long long)o->store_bytes);
	}
	if (rc >= 0) {
		rc = same_settings(o, sh);
	}
	if (rc >= 0) {
		rc = mobi_build_attach(s, o);
	}
	if (rc >= 0 && o->resources) {
		rc = mobi_resources_same(sh, o->resources);
	}
	if (rc < 0) {
		mob_store_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

/* Waits for the first worker, and for the daemon to listen. */
static int wait_ready(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	uint64_t end = mobi_now_ns() + 10 * (uint64_t)MOB_SEC;

	while (mobi_now_ns() < end) {
		if (mobi_rt.daemon_fd < 0) {
			(void)mobi_node_connect(s);
		}
		for (uint32_t i = 0;
		     mobi_rt.daemon_fd >= 0 && i < sh->max_places; i++) {
			if (mobi_load(&sh->place[i].client)) {
				return 0;
			}
		}
		if (mobi_load(&sh->start_deaths) >= MOBI_START_TRIES &&
		    mobi_load(&sh->start_told)) {
			return mobi_err(MOB_E_CRASHED,
					"mob_init: %u workers in a row ended "
					"before they could run a task; the "
					"last by %.300s; the program is %s",
					mobi_load(&sh->start_deaths),
					sh->start_why, sh->program);
		}
		mobi_pause_ns(100000);
	}
	return mobi_err(MOB_E_TIMEOUT,
			"mob_init: no worker has started within 10 s; the "
			"program to start is %s",
			sh->program);
}

static int check_opts(const struct mob_init_opts *o)
{
	if (o->struct_size != sizeof(*o) || o->flags || o->reserved ||
	    o->reserved2) {
		return mobi_err(MOB_E_VERSION,
				"mob_init: options of %u bytes and flags %#x; "
				"this library knows %zu bytes and no flags; "
				"start from MOB_INIT_OPTS_INIT",
				o->struct_size, o->flags, sizeof(*o));
	}
	if (!mobi_rt.entered) {
		return mobi_err(MOB_E_STATE, "mob_init: the program was not "
					     "entered through "
					     "MOB_MAIN, so it cannot be "
					     "started again as a "
					     "worker; write MOB_MAIN(int argc, "
					     "char **argv) "
					     "in place of int main");
	}
	return mobi_module_check();
}

static int enter(const struct mob_init_opts *o)
{
	struct mob_store *s = NULL;
	int rc = check_opts(o);

	if (rc >= 0 && o->module) {
		rc = mobi_module_load(o->module);
	}
	if (rc >= 0) {
		rc = create_session(o, &s);
		if (rc == MOB_E_EXISTS && o->session) {
			rc = attach_session(o, &s);
		}
	}
	if (rc < 0) {
		return rc;
	}
	mobi_rt.store = s;
	mobi_prefetch_begin();
	mobi_rt.sched = s->sched;
	mobi_rt.role = MOBI_ROLE_DRIVER;
	mobi_rt.place = MOBI_NO_PLACE;
	mobi_rt.private_session = (s->hdr->flags & MOB_STORE_PRIVATE) != 0;
	(void)mobi_fetch_add(&session_serial, UINT64_C(1));
	mobi_sched_reap_init(s);
	mobi_block_init();
	s->poll = mobi_node_poll;
	rc = mobi_node_start(s);
	if (rc >= 0) {
		rc = wait_ready(s);
	}
	return rc;
}

int mob_init(const struct mob_init_opts *opts)
{
	static const struct mob_init_opts def = MOB_INIT_OPTS_INIT;
	int rc = 0;

	(void)pthread_mutex_lock(&init_lock);
	mobi_fd_reserve();
	if (mobi_rt.store && mobi_rt.role == MOBI_ROLE_DRIVER) {
		rc = mobi_err(MOB_E_STATE,
			      "mob_init: this process is attached to session "
			      "%s; call mob_shutdown before",
			      mobi_rt.store->name);
	} else if (!mobi_rt.store) {
		rc = enter(opts ? opts : &def);
	}
	(void)pthread_mutex_unlock(&init_lock);
	if (rc < 0) {
		char why[512];

		(void)snprintf(why, sizeof(why), "%s", mob_err_detail(rc));
		if (mobi_rt.store && rc != MOB_E_STATE) {
			mob_shutdown();
		}
		(void)mobi_err(rc, "%s", why);
		(void)mobi_error_pend_rc(rc);
	}
	return rc;
}

/* The workers of mobd are mob-worker, if that stands beside it. */
static int use_worker_program(struct mobi_sched *sh)
{
	char path[sizeof(sh->program)];
	char *base = strrchr(sh->program, '/');
	int n = base ? snprintf(path, sizeof(path), "%.*s/mob-worker",
				(int)(base - sh->program), sh->program) :
		       -1;

	return n > 0 && (size_t)n < sizeof(path) && mobi_runnable(path) ?
		       mobi_build_worker_program(sh, path) :
		       0;
}

int mob_session_serve(const struct mob_init_opts *opts)
{
	struct mob_store *s;
	char *path;
	int rc = check_opts(opts);

	if (rc >= 0 && !opts->session) {
		rc = mobi_err(MOB_E_INVAL, "mob_session_serve: the session has "
					   "no name");
	}
	if (rc >= 0 && opts->module) {
		rc = mobi_module_load(opts->module);
	}
	if (rc >= 0) {
		mobi_node_heed_signals(true);
		rc = create_session(opts, &s);
	}
	if (rc < 0) {
		return rc;
	}
	rc = use_worker_program(s->sched);
	path = strdup(s->path);
	mob_store_close(s);
	if (rc < 0 && path) {
		(void)mobi_session_remove(path);
		free(path);
		return rc;
	}
	rc = path ? mobi_node_main(path, true) :
		    mobi_err(MOB_E_NOMEM, "mob_session_serve: out of memory");
	free(path);
	return rc;
}

/* Ends a private session: the daemon kills the workers and goes. */
static void end_private(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	uint64_t end = mobi_now_ns() + 5 * (uint64_t)MOB_SEC;

	mobi_store(&sh->stopping, 1u);
	mobi_store(&s->hdr->ending, 1u);
	mobi_sock_write(mobi_rt.daemon_fd, "e", 1);
	while (mobi_lock_held(&sh->daemon) && mobi_now_ns() < end) {
		mobi_pause_ns(200000);
	}
	/* A daemon that died just now leaves workers; most often there are
	 * none. */
	mobi_end_workers(s);
	if (!mobi_dir_gone(s->path)) {
		mobi_strays_find(s, NULL);
	}
	(void)mobi_session_remove(s->path);
}

void mob_shutdown(void)
{
	struct mob_store *s;

	(void)pthread_mutex_lock(&init_lock);
	s = mobi_rt.store;
	if (!s || mobi_rt.role != MOBI_ROLE_DRIVER) {
		(void)pthread_mutex_unlock(&init_lock);
		return;
	}
	if (mobi_load_relaxed(s->not_forked)) {
		mobi_context_clear();
		mobi_kept_clear();
		if (mobi_rt.private_session) {
			end_private(s);
		}
	}
	mobi_sock_close(mobi_rt.daemon_fd);
	mobi_rt.daemon_fd = -1;
	mobi_rt.store = NULL;
	mobi_rt.sched = NULL;
	(void)mobi_fetch_add(&session_serial, UINT64_C(1));
	mobi_module_forget();
	mobi_policy_rows_forget();
	mob_store_close(s);
	(void)pthread_mutex_unlock(&init_lock);
}
