/* SPDX-License-Identifier: Apache-2.0 */
/* Durable stores as sessions: restore, unload, remove a copy. */
#include "segment_impl.h"

#include "durable.h"
#include "err.h"
#include "os_dir.h"
#include "os_file.h"
#include "reap.h"

#include <stdio.h>
#include <string.h>

/* One that was being unloaded by a process that died goes on: nothing of it is
 * gone yet. */
static void go_on(const char *name)
{
	struct mob_store *s = NULL;

	if (mobi_store_look(name, true, &s) >= 0) {
		if (mobi_is_durable(s)) {
			mobi_store_go_on(s);
		}
		mobi_store_unlook(s);
	}
}

/* The session of that name, if it is of the copy in fd. NOT_FOUND: there is none, or
 * what is left of one that nobody can use any more. */
static int attach_living(const char *name, int fd, struct mob_store **out_store)
{
	int rc = mobi_store_open(name, MOBI_ROLE_TOOL, out_store);

	if (rc == MOB_E_CLOSED) {
		go_on(name);
		rc = mobi_store_open(name, MOBI_ROLE_TOOL, out_store);
	}
	if (rc == MOB_E_CORRUPT) {
		return MOB_E_NOT_FOUND; /* who publishes removes it on proof */
	}
	if (rc < 0) {
		return rc;
	}
	/* Not by its path: there are many of a directory. */
	if (mobi_fd_same((*out_store)->durable_fd, fd)) {
		return 0;
	}
	mob_store_close(*out_store);
	return mobi_err(MOB_E_EXISTS,
			"mob_store_restore: session '%s' exists, and is not of "
			"that copy; stop and remove it first",
			name);
}

static int fill(struct mob_store *s, const void *arg)
{
	struct mobi_restore *r;

	memcpy(&r, &arg, sizeof(r));
	return mobi_restore_fill(r, s);
}

static int remove_old_spill(const char *name, void *arg)
{
	const char *path = arg;
	char below[4096 + 300];

	if (strncmp(name, "mobula-spill-", 13) == 0) {
		(void)snprintf(below, sizeof(below), "%s/%s", path, name);
		(void)mobi_dir_remove(below);
	}
	return 0;
}

static int restore(const char *name, const struct mob_store_opts *opts,
		   const char *path, struct mobi_restore *r,
		   struct mob_store **out_store)
{
	struct mob_store_opts o = *opts;
	struct mobi_creation c = { MOBI_ROLE_TOOL, fill, r, r, path };
	uint64_t boot[2];
	char at[4096];
	int rc = mobi_durable_meta_get(&r->d, &r->meta);

	if (rc >= 0) {
		rc = mobi_restore_look(r);
	}
	if (rc < 0) {
		return rc;
	}
	o.arena_bytes = o.arena_bytes ? o.arena_bytes : r->meta.arena_bytes;
	mobi_boot_id(boot);
	if (memcmp(boot, r->meta.boot, sizeof(boot)) != 0) {
		/* Of the same boot it may be that of a session elsewhere. */
		(void)snprintf(at, sizeof(at), "%s", path);
		(void)mobi_dir_each(path, remove_old_spill, at);
	}
	return mobi_session_create(name, &o, &c, out_store);
}

static int open_copy(const char *call, const char *name, const char *dir,
		     char *out_path, size_t size)
{
	int rc = mobi_session_check_name(call, name);
	int fd;

	if (rc >= 0) {
		rc = mobi_durable_path(dir, name, out_path, size);
	}
	if (rc < 0) {
		return rc;
	}
	fd = mobi_dir_open(out_path);
	if (fd == MOB_E_NOT_FOUND) {
		return mobi_err(MOB_E_NOT_FOUND,
				"%s: there is no durable store '%s' in %s "
				"(%s)",
				call, name, dir, out_path);
	}
	rc = fd < 0 ? fd : mobi_dir_own(fd, out_path);
	if (rc < 0) {
		mobi_fd_close(fd);
		return rc;
	}
	return fd;
}

int mob_store_restore(const char *name, const struct mob_store_opts *opts,
		      void (*fn)(const char *line, void *arg), void *arg,
		      struct mob_store **out_store)
{
	struct mob_store_opts o = *opts;
	struct mobi_restore r = { .fn = fn, .arg = arg };
	char path[4096];
	int rc;
	int fd;

	o.flags |= MOB_STORE_DURABLE;
	mobi_fd_reserve();
	rc = mobi_session_check_opts("mob_store_restore", &o);
	if (rc < 0) {
		return rc;
	}
	fd = open_copy("mob_store_restore", name, o.dir, path, sizeof(path));
	if (fd < 0) {
		return fd;
	}
	r.read_all = o.flags & MOB_STORE_READ_ALL;
	/* Under its lock: of two that restore, the second finds the first's. */
	rc = mobi_durable_begin(&r.d, fd, NULL);
	if (rc >= 0) {
		rc = attach_living(name, fd, out_store);
		if (rc == MOB_E_NOT_FOUND) {
			rc = restore(name, &o, path, &r, out_store);
		}
	}
	mobi_durable_end(&r.d);
	mobi_fd_close(fd);
	return rc;
}

int mob_store_unload(const char *name)
{
	struct mob_store *s;
	int rc = mobi_store_open(name, MOBI_ROLE_TOOL, &s);

	if (rc < 0) {
		return rc;
	}
	if (!mobi_is_durable(s)) {
		rc = mobi_err(MOB_E_INVAL,
			      "mob_store_unload: store '%s' is not durable: "
			      "what is in it would be lost; mob_store_remove "
			      "removes it",
			      name);
	} else if (!mobi_store_end_alone(s)) {
		rc = mobi_err(MOB_E_BUSY,
			      "mob_store_unload: another process uses store "
			      "'%s'",
			      name);
	} else {
		/* Nobody can come any more, so nothing changes after it. */
		rc = mob_store_sync(s);
		if (rc >= 0) {
			/* First: what a kill leaves is no session any more. */
			(void)mobi_file_remove_at(s->dir_fd, "ctl");
			rc = mobi_session_remove_open(s->dir_fd, s->path);
		} else {
			mobi_store(&s->hdr->ending, 0u);
		}
	}
	mob_store_close(s);
	return rc;
}

int mob_store_remove_copy(const char *name, const char *dir)
{
	struct mob_store *s = NULL;
	struct mobi_durable d;
	char path[4096];
	int rc;
	int fd = open_copy("mob_store_remove_copy", name, dir, path,
			   sizeof(path));

	if (fd < 0) {
		return fd;
	}
	rc = mobi_durable_begin(&d, fd, NULL);
	if (rc != MOB_E_TIMEOUT) {
		rc = attach_living(name, fd, &s); /* also of a damaged one */
		if (rc >= 0) {
			mob_store_close(s);
			rc = mobi_err(MOB_E_BUSY,
				      "mob_store_remove_copy: there is a "
				      "session '%s' of it; mob_store_remove "
				      "removes both",
				      name);
		} else if (rc == MOB_E_NOT_FOUND || rc == MOB_E_EXISTS) {
			rc = mobi_dir_remove_open(fd, path);
		}
	}
	mobi_durable_end(&d);
	mobi_fd_close(fd);
	return rc;
}
