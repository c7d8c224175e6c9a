/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions and their directories: create, open, close, remove, sweep.
 *
 * <dir>/mobula-<uid>/<name>/  ctl    tables, mapped once at full size, sparse
 *                             arena  bytes of objects, sparse
 *                             idx/   LMDB
 *                             sockets of completion queues and the daemon
 *
 * A session is built under a name of its own process and renamed when it is
 * whole, so nobody ever sees half of one. A directory is removed on proof only:
 * its processes are dead, or it holds nothing that one could use.
 */
#include "segment_impl.h"

#include "conf.h"
#include "durable.h"
#include "err.h"
#include "fault.h"
#include "huge.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_file.h"
#include "os_mem.h"
#include "os_shm.h"
#include "os_strays.h"
#include "pool.h"
#include "reap.h"
#include "spill.h"
#include "victim.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names and directories ---- */

int mobi_session_check_name(const char *call, const char *name)
{
	size_t n = strlen(name);
	bool ok = n >= 1 && n <= MOB_STORE_NAME_MAX && name[0] != '.';

	for (size_t i = 0; ok && i < n; i++) {
		ok = isalnum((unsigned char)name[i]) ||
		     strchr("_.-", name[i]) != NULL;
	}
	if (!ok) {
		return mobi_err(MOB_E_INVAL,
				"%s: name is '%.80s'; 1 to %d of letters, "
				"digits, '_', '.', '-', not starting with '.'",
				call, name, MOB_STORE_NAME_MAX);
	}
	return 0;
}

/* Directory "<dir>/mobula-<uid>" of this user, created 0700. */
static int user_dir(const char *dir, char *out_path, size_t out_size)
{
	int n = snprintf(out_path, out_size, "%s/mobula-%u", dir,
			 mobi_user_id());

	if (n < 0 || (size_t)n >= out_size) {
		return mobi_err(MOB_E_INVAL, "directory '%.80s...' is too long",
				dir);
	}
	return mobi_dir_private(out_path);
}

static int session_dir(const char **out_dir)
{
	return mobi_conf_str(MOBI_CONF_ID_session_dir, out_dir);
}

int mobi_user_path(char *out_path, size_t out_size)
{
	const char *dir;
	int rc = session_dir(&dir);
	int n;

	if (rc < 0) {
		return rc;
	}
	n = snprintf(out_path, out_size, "%s/mobula-%u", dir, mobi_user_id());
	if (n < 0 || (size_t)n >= out_size) {
		return mobi_err(MOB_E_INVAL, "directory '%.80s...' is too long",
				dir);
	}
	return 0;
}

#define MIB (UINT64_C(1) << 20)

/* And sockets. */
static const char *const session_files[] = {
	"ctl", "arena", "idx", "spill", "out", "module", MOBI_DURABLE_LINK, NULL
};

void mobi_session_tag(const struct mob_store *s, char out[MOBI_SESSION_TAG])
{
	(void)snprintf(out, MOBI_SESSION_TAG, "%08x-%llx:", s->hdr->epoch,
		       (unsigned long long)s->hdr->began_ns);
}

/* Processes that its tasks had started, when nobody was left to end them. */
static void end_strays(const struct mob_store *s)
{
	char tag[MOBI_SESSION_TAG];

	if (mobi_load(&s->hdr->has_sched)) {
		mobi_session_tag(s, tag);
		(void)mobi_tagged_kill(tag, NULL, NULL);
	}
}

int mobi_session_remove_open(int dir_fd, const char *path)
{
	mobi_spill_remove(dir_fd);
	return mobi_dir_remove_open(dir_fd, path);
}

int mobi_session_remove(const char *path)
{
	int fd = mobi_dir_open(path);
	int rc;

	if (fd < 0) {
		return fd;
	}
	rc = mobi_session_remove_open(fd, path);
	mobi_fd_close(fd);
	return rc;
}

/* rc: why the session in dir_fd could not be opened. Is that proof that no
 * process uses it: of an earlier boot, damaged, half removed? */
static bool is_wreck(const struct mob_store *s, int rc)
{
	return (rc == MOB_E_CORRUPT || rc == MOB_E_NOT_FOUND) &&
	       mobi_dir_holds_only(s->dir_fd, session_files);
}

/* Is it a private session whose processes are all dead? Then it goes. One of
 * another build may be in use. */
static bool remove_stale(const char *name, const char *path)
{
	struct mob_store *s = mobi_segment_alloc(name, path);
	bool stale = false;

	if (!s) {
		return false;
	}
	s->dir_fd = mobi_dir_open(path);
	if (s->dir_fd >= 0 && mobi_dir_own(s->dir_fd, path) >= 0) {
		int rc = mobi_segment_open(s);

		if (rc >= 0) {
			mobi_segment_point(s);
			stale = (s->hdr->flags & MOB_STORE_PRIVATE) &&
				mobi_store_end_unused(s);
			if (stale) {
				end_strays(s);
			}
		} else {
			stale = is_wreck(s, rc);
		}
		/* By descriptor: another may be at it too, and a new session
		 * have the name by now. */
		stale = stale && mobi_session_remove_open(s->dir_fd, path) >= 0;
	}
	mobi_segment_unmap(s);
	return stale;
}

#define BUILDING ".new-"

void mobi_building_name(char *out, size_t size)
{
	struct mobi_proc p = mobi_proc_self();

	(void)snprintf(out, size, BUILDING "%u-%llu-%08x", p.pid,
		       (unsigned long long)p.pid_ns, (unsigned)mobi_random());
}

bool mobi_building_left(const char *name)
{
	struct mobi_proc p = { 0 };
	const char *at = name + strlen(BUILDING);
	char *end;
	unsigned long pid;

	if (strncmp(name, BUILDING, strlen(BUILDING)) != 0 ||
	    !isdigit((unsigned char)*at)) {
		return false;
	}
	pid = strtoul(at, &end, 10);
	if (*end != '-' || !isdigit((unsigned char)end[1]) || pid == 0 ||
	    pid > INT32_MAX) {
		return false;
	}
	p.pid = (uint32_t)pid;
	p.pid_ns = strtoull(end + 1, &end, 10);
	return *end == '-' && !mobi_proc_alive(&p);
}

static int sweep_one(const char *name, void *arg)
{
	const char *user = arg;
	size_t n = strlen(user) + strlen(name) + 2;
	char *path = malloc(n);

	if (!path) {
		return 0;
	}
	(void)snprintf(path, n, "%s/%s", user, name);
	if (name[0] == '.') {
		if (mobi_building_left(name)) {
			(void)mobi_session_remove(path);
		}
	} else {
		(void)remove_stale(name, path);
	}
	free(path);
	return 0;
}

void mobi_sweep(const char *user_path)
{
	char *arg;

	memcpy(&arg, &user_path, sizeof(arg));
	(void)mobi_dir_each(user_path, sweep_one, arg);
}

/* ---- create ---- */

static int arena_size(const char *dir, const struct mob_store_opts *opts,
		      uint64_t *out_bytes)
{
	uint64_t bytes = opts->arena_bytes;
	uint64_t free_bytes;
	uint64_t total;
	int rc = mobi_dir_space(dir, &free_bytes, &total);

	if (rc >= 0 && !bytes) {
		rc = mobi_conf_u64(MOBI_CONF_ID_store_bytes, &bytes);
	}
	if (rc < 0) {
		return rc;
	}
	if (!bytes) {
		bytes = free_bytes / 3;
		bytes = bytes < MOB_STORE_MIN_BYTES ? MOB_STORE_MIN_BYTES :
						      bytes;
	}
	if (bytes < MOB_STORE_MIN_BYTES || bytes > total) {
		return mobi_err(MOB_E_INVAL,
				"store size is %llu bytes; at least %llu, at "
				"most the %llu of %s",
				(unsigned long long)bytes,
				(unsigned long long)MOB_STORE_MIN_BYTES,
				(unsigned long long)total, dir);
	}
	*out_bytes = (bytes + MIB - 1) / MIB * MIB;
	return 0;
}

/* Its copy, and where it spills to, which is in it. */
static int build_durable(struct mob_store *s, const struct mob_store_opts *opts,
			 const struct mobi_creation *c)
{
	bool forced = opts->flags & MOB_STORE_SPILL_ANYWHERE;
	char path[4096];
	int rc;

	do {
		s->hdr->life = mobi_random();
	} while (!s->hdr->life);
	if (c->from) {
		s->hdr->epoch = c->from->meta.epoch;
		s->hdr->gen_base = mobi_restore_gen(c->from);
		s->hdr->version_base = c->from->version;
		rc = mobi_durable_link(s, c->from_path);
		return rc < 0 ? rc : mobi_spill_make(s, c->from_path, forced);
	}
	rc = mobi_durable_make(s, opts->dir, forced);
	if (rc >= 0) {
		rc = mobi_durable_path(opts->dir, s->name, path, sizeof(path));
	}
	return rc < 0 ? rc : mobi_spill_make(s, path, forced);
}

static int build(struct mob_store *s, uint64_t arena_bytes,
		 const struct mob_store_opts *opts,
		 const struct mobi_creation *c)
{
	const char *spill = opts->spill_dir;
	int rc;

	s->dir_fd = mobi_dir_make(s->path);
	if (s->dir_fd < 0) {
		return s->dir_fd;
	}
	rc = mobi_dir_make_at(s->dir_fd, "idx");
	if (rc >= 0) {
		rc = mobi_segment_make(s, arena_bytes,
				       opts->flags & (MOB_STORE_PRIVATE |
						      MOB_STORE_DURABLE));
	}
	if (rc >= 0) {
		rc = mobi_victim_choose(s);
	}
	if (rc >= 0 && (opts->flags & MOB_STORE_DURABLE)) {
		return build_durable(s, opts, c);
	}
	if (rc >= 0 && !spill) {
		rc = mobi_conf_str(MOBI_CONF_ID_spill_dir, &spill);
	}
	if (rc >= 0 && spill && *spill) {
		rc = mobi_spill_make(s, spill,
				     opts->flags & MOB_STORE_SPILL_ANYWHERE);
	}
	return rc;
}

static int set_path(struct mob_store *s, const char *user, const char *name)
{
	size_t n = strlen(user) + strlen(name) + 2;
	char *path = malloc(n);

	if (!path) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	(void)snprintf(path, n, "%s/%s", user, name);
	free(s->path);
	s->path = path;
	return 0;
}

/* Renames a session that is whole to its name. */
static int publish(struct mob_store *s, const char *user)
{
	char *from = s->path;
	int rc;

	s->path = NULL;
	rc = set_path(s, user, s->name);
	if (rc >= 0) {
		rc = mobi_dir_rename(from, s->path);
		if (rc == MOB_E_EXISTS && remove_stale(s->name, s->path)) {
			rc = mobi_dir_rename(from, s->path);
		}
		if (rc == MOB_E_EXISTS) {
			rc = mobi_err(MOB_E_EXISTS,
				      "session '%s' exists; choose another "
				      "name, or stop and remove it",
				      s->name);
		}
	}
	if (rc < 0) {
		free(s->path);
		s->path = from;
		return rc;
	}
	free(from);
	return 0;
}

int mobi_session_create(const char *name, const struct mob_store_opts *opts,
			const struct mobi_creation *c,
			struct mob_store **out_store)
{
	const char *dir = opts->flags & MOB_STORE_DURABLE ? NULL : opts->dir;
	char user[4096];
	char fresh[64];
	char temp[64];
	uint64_t bytes = 0;
	struct mob_store *s;
	int rc = dir ? 0 : session_dir(&dir);

	if (rc >= 0) {
		rc = mobi_huge_check_dir(dir);
	}
	if (rc >= 0) {
		rc = arena_size(dir, opts, &bytes);
	}
	if (rc >= 0) {
		rc = user_dir(dir, user, sizeof(user));
	}
	if (rc < 0) {
		return rc;
	}
	mobi_sweep(user);
	if (!name) {
		(void)snprintf(fresh, sizeof(fresh), "s-%u-%06x",
			       mobi_proc_self().pid,
			       (unsigned)mobi_random() & 0xffffffu);
		name = fresh;
	}
	mobi_building_name(temp, sizeof(temp));
	s = mobi_segment_alloc(name, "");
	if (!s) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	rc = set_path(s, user, temp);
	if (rc >= 0) {
		rc = build(s, bytes, opts, c);
	}
	if (rc >= 0) {
		rc = mobi_segment_attach(s, c->role);
	}
	if (rc >= 0 && c->set_up) {
		rc = c->set_up(s, c->arg);
	}
	if (rc >= 0) {
		MOBI_FAULT("session.publish");
		rc = publish(s, user);
	}
	if (rc < 0) {
		struct mobi_err_last why;

		mobi_err_save(&why);
		if (s->dir_fd >= 0 && !c->from) {
			mobi_durable_undo(s);
		}
		if (s->path && s->path[0]) {
			(void)mobi_session_remove(s->path);
		}
		mobi_segment_detach(s);
		mobi_err_restore(&why);
		return rc;
	}
	*out_store = s;
	return 0;
}

#define FLAGS                                                                  \
	(MOB_STORE_PRIVATE | MOB_STORE_SPILL_ANYWHERE | MOB_STORE_DURABLE |    \
	 MOB_STORE_READ_ALL)

int mobi_session_check_opts(const char *call, const struct mob_store_opts *opts)
{
	if (opts->struct_size != sizeof(*opts) || (opts->flags & ~FLAGS)) {
		return mobi_err(MOB_E_VERSION,
				"%s: struct_size is %u and flags are %#x; this "
				"library knows %zu and %#x",
				call, opts->struct_size, opts->flags,
				sizeof(*opts), FLAGS);
	}
	if (!(opts->flags & MOB_STORE_DURABLE)) {
		return 0;
	}
	if (!opts->dir) {
		return mobi_err(MOB_E_INVAL,
				"%s: a durable store needs dir, a directory on "
				"a disk",
				call);
	}
	if ((opts->flags & MOB_STORE_PRIVATE) || opts->spill_dir) {
		return mobi_err(MOB_E_INVAL,
				"%s: a durable store is not private, and "
				"spills to its own directory: leave out %s",
				call,
				opts->spill_dir ? "spill_dir" :
						  "MOB_STORE_PRIVATE");
	}
	return 0;
}

int mobi_store_create(const char *name, const struct mob_store_opts *opts,
		      uint32_t role,
		      int (*set_up)(struct mob_store *s, const void *arg),
		      const void *arg, struct mob_store **out_store)
{
	const struct mobi_creation c = { role, set_up, arg, NULL, NULL };
	const struct mob_store_opts def = MOB_STORE_OPTS_INIT;
	int rc;

	if (!opts) {
		opts = &def;
	}
	mobi_fd_reserve();
	rc = mobi_session_check_opts("mob_store_create", opts);
	if (rc >= 0 && name) {
		rc = mobi_session_check_name("mob_store_create", name);
	}
	if (rc >= 0 && !name && (opts->flags & MOB_STORE_DURABLE)) {
		rc = mobi_err(MOB_E_INVAL, "mob_store_create: a durable store "
					   "needs a name, "
					   "by which it is restored");
	}
	return rc < 0 ? rc : mobi_session_create(name, opts, &c, out_store);
}

int mob_store_create(const char *name, const struct mob_store_opts *opts,
		     struct mob_store **out_store)
{
	return mobi_store_create(name, opts, MOBI_ROLE_TOOL, NULL, NULL,
				 out_store);
}

/* ---- open, close, remove ---- */

static int path_of(const char *call, const char *name, char *out, size_t size)
{
	const char *dir;
	int n;
	int rc;

	if (strchr(name, '/')) {
		n = snprintf(out, size, "%s", name);
	} else {
		rc = mobi_session_check_name(call, name);
		if (rc >= 0) {
			rc = session_dir(&dir);
		}
		if (rc < 0) {
			return rc;
		}
		n = snprintf(out, size, "%s/mobula-%u/%s", dir, mobi_user_id(),
			     name);
	}
	if (n < 0 || (size_t)n >= size) {
		return mobi_err(MOB_E_INVAL, "%s: the path is too long", call);
	}
	return 0;
}

/* The directory of a session that is named or given by path, opened; also on
 * failure the caller ends *out_store. */
static int open_dir(const char *call, const char *name,
		    struct mob_store **out_store)
{
	char path[4096];
	const char *base;
	struct mob_store *s;
	int rc = path_of(call, name, path, sizeof(path));

	*out_store = NULL;
	if (rc < 0) {
		return rc;
	}
	mobi_fd_reserve();
	base = strrchr(path, '/');
	s = mobi_segment_alloc(base ? base + 1 : path, path);
	if (!s) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	*out_store = s;
	s->dir_fd = mobi_dir_open(path);
	if (s->dir_fd == MOB_E_NOT_FOUND) {
		return mobi_err(MOB_E_NOT_FOUND,
				"no session '%s' (%s); `mob session list` "
				"shows those that are",
				name, path);
	}
	return s->dir_fd < 0 ? s->dir_fd : mobi_dir_own(s->dir_fd, path);
}

int mobi_store_open(const char *name, uint32_t role,
		    struct mob_store **out_store)
{
	struct mob_store *s;
	int rc = open_dir("mob_store_open", name, &s);

	if (rc >= 0) {
		rc = mobi_segment_open(s);
	}
	if (rc >= 0) {
		rc = mobi_segment_attach(s, role);
	}
	if (rc < 0) {
		struct mobi_err_last why;

		mobi_err_save(&why);
		if (s) {
			mobi_segment_detach(s);
		}
		mobi_err_restore(&why);
		return rc;
	}
	*out_store = s;
	return 0;
}

int mobi_store_look(const char *name, bool writable,
		    struct mob_store **out_store)
{
	struct mobi_header h = { 0 };
	struct mob_store *s;
	void *at;
	int rc = open_dir("mob_session_open", name, &s);

	if (rc >= 0) {
		rc = mobi_segment_open_ctl(s, &h);
	}
	if (rc >= 0) {
		rc = mobi_shm_map(s->ctl_fd, h.ctl_bytes, writable, &at);
	}
	if (rc >= 0) {
		s->hdr = at;
		s->mapped_bytes = h.ctl_bytes;
		mobi_segment_point(s);
		rc = mobi_segment_pools(s);
	}
	if (rc < 0) {
		mobi_store_unlook(s);
		return rc;
	}
	*out_store = s;
	return 0;
}

void mobi_store_unlook(struct mob_store *s)
{
	if (s) {
		mobi_segment_unmap(s);
	}
}

int mob_store_open(const char *name, struct mob_store **out_store)
{
	return mobi_store_open(name, MOBI_ROLE_TOOL, out_store);
}

void mob_store_close(struct mob_store *store)
{
	uint64_t word;

	if (!store) {
		return;
	}
	if (!mobi_load_relaxed(store->not_forked)) {
		mobi_seats_destroy(store);
		mobi_segment_unmap(store);
		return;
	}
	mobi_seats_leave(store);
	mobi_pool_leave(store);
	/* From then on another may clean up, and the number be a newcomer's. */
	mobi_arena_leave(store->arena);
	word = mobi_client_leave(store);
	if ((store->hdr->flags & MOB_STORE_PRIVATE) &&
	    mobi_store_end_unused(store)) {
		(void)mobi_session_remove_open(store->dir_fd, store->path);
	} else {
		mobi_reap_leaving(store, word);
	}
	MOBI_FAULT("store.left");
	mobi_seats_destroy(store);
	mobi_segment_unmap(store);
}

/* Of one that is whole: nobody can use it from then on, and what a kill leaves is
 * no session any more. */
static int remove_whole(struct mob_store *s, int copy_fd)
{
	int rc;

	mobi_segment_point(s);
	if (!mobi_store_end_unused(s)) {
		return mobi_err(MOB_E_BUSY,
				"session '%s' is in use; stop it first",
				s->name);
	}
	(void)mobi_file_remove_at(s->dir_fd, "ctl");
	rc = mobi_durable_remove(s->dir_fd, copy_fd);
	return rc < 0 ? rc : mobi_session_remove_open(s->dir_fd, s->path);
}

static int remove_session(struct mob_store *s, int copy_fd)
{
	int rc = mobi_segment_open(s);

	if (rc >= 0) {
		return remove_whole(s, copy_fd);
	}
	if (is_wreck(s, rc)) {
		return mobi_session_remove_open(s->dir_fd, s->path);
	}
	return rc == MOB_E_CORRUPT || rc == MOB_E_NOT_FOUND ?
		       mobi_err(MOB_E_INVAL,
				"mob_store_remove: %s holds other files than "
				"those of a session; nothing was removed",
				s->path) :
		       rc;
}

int mob_store_remove(const char *name)
{
	struct mob_store *s;
	int copy_fd = -1;
	int rc = open_dir("mob_store_remove", name, &s);

	if (rc >= 0) {
		/* Nobody restores it meanwhile. */
		rc = mobi_durable_hold(s->dir_fd, &copy_fd);
	}
	if (rc >= 0) {
		rc = remove_session(s, copy_fd);
	}
	mobi_fd_close(copy_fd);
	if (s) {
		mobi_segment_unmap(s);
	}
	return rc;
}

const char *mob_store_name(const struct mob_store *store)
{
	return store->name;
}
