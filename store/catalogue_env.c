/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB as the catalogue uses it.
 *
 * MDB_NOSYNC, since a tmpfs has no disk to wait for. No MDB_WRITEMAP: it
 * is no faster here, it turns a full file system into a SIGBUS, and a stray
 * pointer could change the index. The files are made under another name and
 * linked, so that a kill leaves a whole file or none; the lock file is backed
 * by memory from the start, since it is mapped for writing.
 *
 * One environment a process and directory, read-write, whoever uses it: LMDB
 * forbids a second one (closing it would drop the locks of the first), and
 * without MDB_WRITEMAP the map is read only anyway.
 */
#define _POSIX_C_SOURCE 200809L

#include "catalogue_env.h"

#include "err.h"
#include "lock.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_futex.h"
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_MIB 4096u          /* address space and upper bound, not memory */
#define LOCK_BYTES (32u << 10) /* about 500 readers at once */

/* A table of the environment. */
struct table {
	const char *name;
	unsigned flags;
	size_t at; /* its handle in struct mobi_cat_env */
};
static const struct table tables[] = {
	{ "object", MDB_INTEGERKEY, offsetof(struct mobi_cat_env, dbi) },
	{ "name", 0, offsetof(struct mobi_cat_env, name) },
	{ "named", 0, offsetof(struct mobi_cat_env, named) },
	{ "keep", MDB_INTEGERKEY, offsetof(struct mobi_cat_env, keep) },
	{ "index", 0, offsetof(struct mobi_cat_env, index) },
	{ "changed", 0, offsetof(struct mobi_cat_env, changed) },
};
#define PATH_SIZE (sizeof(((struct mobi_cat_env *)0)->path) + 64)
#define TABLES (sizeof(tables) / sizeof(tables[0]))
#define OPEN_TRIES 2000 /* of a millisecond */
#define PATIENCE_NS (10 * MOB_SEC)

_Static_assert(sizeof(size_t) == 8, "the map is larger than 32 bits can name");

/* Guards the list and all fields of its entries but mdb while users > 0. */
static pthread_mutex_t envs_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mobi_cat_env *envs;
/* A child may have its parent's pid, in a new pid name space. */
static unsigned forks;

static void lock_envs(void)
{
	(void)pthread_mutex_lock(&envs_lock);
}

static void unlock_envs(void)
{
	(void)pthread_mutex_unlock(&envs_lock);
}

static void child_begins(void)
{
	forks++;
	unlock_envs();
}

/* A fork while another thread holds the lock must not leave it locked. */
static void guard_fork(void)
{
	(void)pthread_atfork(lock_envs, unlock_envs, child_begins);
}

/* Is it of this process, not of one that this was forked from? */
static bool is_ours(const struct mobi_cat_env *e)
{
	return e->forks == forks && e->pid == getpid();
}

/* ---- errors ---- */

int mobi_cat_fail(int mdb_rc, const char *what)
{
	switch (mdb_rc) {
	case MDB_MAP_FULL:
		return mobi_err(MOB_E_LIMIT,
				"catalogue: %s: all %u MiB are in use; a "
				"stopped process that reads it keeps old pages",
				what, MAP_MIB);
	case MDB_READERS_FULL:
		return mobi_err(MOB_E_LIMIT,
				"catalogue: %s: too many readers at once",
				what);
	case MDB_VERSION_MISMATCH:
		return mobi_err(MOB_E_VERSION,
				"catalogue: %s: made by another LMDB", what);
	case MDB_INVALID:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INCOMPATIBLE:
	case MDB_NOTFOUND:
		return mobi_err(MOB_E_CORRUPT, "catalogue: %s: %s", what,
				mdb_strerror(mdb_rc));
	default:
		if (mdb_rc > 0) {
			errno = mdb_rc;
			return mobi_err_errno("catalogue: %s", what);
		}
		return mobi_err(MOB_E_IO, "catalogue: %s: %s", what,
				mdb_strerror(mdb_rc));
	}
}

/* ---- environment; the functions return codes of LMDB unless said ---- */

static int create_mdb(MDB_env **out_mdb)
{
	MDB_env *mdb;
	int rc;

	mobi_fd_reserve(); /* LMDB opens files later */
	rc = mdb_env_create(&mdb);
	if (rc) {
		return rc;
	}
	rc = mdb_env_set_mapsize(mdb, (size_t)MAP_MIB << 20);
	if (!rc) {
		rc = mdb_env_set_maxdbs(mdb, 8);
	}
	if (rc) {
		mdb_env_close(mdb);
		return rc;
	}
	*out_mdb = mdb;
	return 0;
}

/* Writes a data file with empty tables. */
static int make_data(const char *path)
{
	MDB_env *mdb;
	MDB_txn *txn;
	MDB_dbi dbi;
	int rc = create_mdb(&mdb);

	if (rc) {
		return rc;
	}
	rc = mdb_env_open(mdb, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC,
			  0600);
	if (!rc) {
		rc = mdb_txn_begin(mdb, NULL, 0, &txn);
	}
	if (!rc) {
		for (size_t i = 0; i < TABLES && !rc; i++) {
			rc = mdb_dbi_open(txn, tables[i].name,
					  MDB_CREATE | tables[i].flags, &dbi);
		}
		if (rc) {
			mdb_txn_abort(txn);
		} else {
			rc = mdb_txn_commit(txn);
		}
	}
	mdb_env_close(mdb);
	return rc;
}

/* Writes a lock file of zeros, which LMDB initialises. */
static int make_lock(const char *path)
{
	static const char zeros[4096];
	FILE *f = fopen(path, "wxe");
	int rc = 0;

	if (!f) {
		return errno;
	}
	for (unsigned n = 0; n < LOCK_BYTES && !rc; n += sizeof(zeros)) {
		if (fwrite(zeros, sizeof(zeros), 1, f) != 1) {
			rc = errno;
		}
	}
	if (fclose(f) && !rc) {
		rc = errno;
	}
	return rc;
}

/* Makes a file of the directory, whole or not at all, if it is not there. */
static int make_file(const char *dir, const char *name,
		     int (*make)(const char *path))
{
	char path[PATH_SIZE];
	char tmp[PATH_SIZE];
	struct stat st;
	int rc;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!stat(path, &st)) {
		return 0;
	}
	(void)snprintf(tmp, sizeof(tmp), "%s/new.%ld", dir, (long)getpid());
	(void)remove(tmp);
	rc = make(tmp);
	if (!rc && link(tmp, path) && errno != EEXIST) {
		rc = errno;
	}
	(void)remove(tmp);
	return rc;
}

/*
 * LMDB's first opener takes a write lock on the lock file, makes the mutexes
 * in it, and changes to the read lock that every user has. Killed before that,
 * it would let those in who wait for the lock, to half-made mutexes and the
 * number of an old transaction. So openers come one at a time (`opening`), and
 * one who finds a write lock waits until the dead process that has it is gone
 * altogether; then it is the first itself.
 */
static int wait_for_the_dead(const char *dir)
{
	char path[PATH_SIZE];
	mobi_a32 never = 0;
	int rc = EBUSY;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/lock.mdb", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		return errno;
	}
	for (int i = 0; i < OPEN_TRIES && rc == EBUSY; i++) {
		struct flock lock = { .l_type = F_RDLCK, .l_len = 1 };

		if (i) {
			(void)mobi_futex_wait(&never, 0, MOB_MS);
		}
		if (fcntl(fd, F_GETLK, &lock)) {
			rc = errno;
		} else if (lock.l_type == F_UNLCK) {
			rc = 0;
		}
	}
	/* Would drop locks of ours on the file: there are none yet. */
	(void)close(fd);
	return rc;
}

static int open_mdb(struct mobi_cat_env *e)
{
	MDB_env *mdb;
	MDB_txn *txn;
	int rc = make_file(e->path, "data.mdb", make_data);

	if (!rc) {
		rc = make_file(e->path, "lock.mdb", make_lock);
	}
	if (!rc) {
		rc = wait_for_the_dead(e->path);
	}
	if (!rc) {
		rc = create_mdb(&mdb);
	}
	if (rc) {
		return rc;
	}
	rc = mdb_env_open(mdb, e->path, MDB_NOSYNC | MDB_NOTLS, 0600);
	if (!rc) {
		rc = mdb_reader_check(mdb, NULL);
	}
	if (!rc) {
		rc = mdb_txn_begin(mdb, NULL, MDB_RDONLY, &txn);
	}
	if (!rc) {
		for (size_t i = 0; i < TABLES && !rc; i++) {
			MDB_dbi *dbi = (void *)((char *)e + tables[i].at);

			rc = mdb_dbi_open(txn, tables[i].name, 0, dbi);
		}
		if (rc) {
			mdb_txn_abort(txn);
		} else {
			rc = mdb_txn_commit(txn); /* keeps the handle */
		}
	}
	if (rc) {
		mdb_env_close(mdb);
		return rc;
	}
	e->mdb = mdb;
	return 0;
}

/* Has a process the file open, of which this needs no proof that it lives? */
static bool is_open(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };

	return fcntl(fd, F_GETLK, &lock) || lock.l_type != F_UNLCK;
}

/* LMDB ends a process that reads what is cut off. While others have it open they
 * write, and would have met it. Returns an error of ours. */
static int check_at_rest(const struct mobi_cat_env *e)
{
	char path[PATH_SIZE];
	int lock_fd;
	int fd;
	int rc = 0;

	(void)snprintf(path, sizeof(path), "%s/lock.mdb", e->path);
	lock_fd = open(path, O_RDWR | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/data.mdb", e->path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && (lock_fd < 0 || !is_open(lock_fd))) {
		rc = mobi_pages_check(fd, 0, false, "catalogue");
	}
	if (fd >= 0) {
		(void)close(fd);
	}
	if (lock_fd >= 0) {
		(void)close(lock_fd);
	}
	return rc;
}

void mobi_catalogue_patience(struct mobi_catalogue *c, int64_t ns)
{
	c->patience_ns = ns;
}

int mobi_cat_lock(struct mobi_catalogue *c, struct mobi_lock *l,
		  const char *what)
{
	int rc = c->patience_ns ? mobi_lock_acquire(l, c->patience_ns) :
				  mobi_lock_try(l);

	return rc == MOB_E_TIMEOUT || rc == MOB_E_BUSY ?
		       mobi_err(rc,
				"catalogue: another process %s and does not "
				"get on; is it stopped?",
				what) :
		       rc;
}

static int open_env(struct mobi_catalogue *c)
{
	int rc = mobi_cat_lock(c, &c->shared->opening, "opens it");
	int mdb_rc;

	if (rc < 0) {
		return rc;
	}
	rc = check_at_rest(c->env);
	mdb_rc = rc < 0 ? 0 : open_mdb(c->env);
	mobi_lock_release(&c->shared->opening);
	if (rc < 0) {
		return rc;
	}
	return mdb_rc ? mobi_cat_fail(mdb_rc, "opening LMDB") : 0;
}

int mobi_cat_enter(struct mobi_catalogue *c)
{
	struct mobi_cat_env *e = c->env;
	int rc = 0;

	lock_envs();
	if (!is_ours(e)) {
		unlock_envs();
		return mobi_err(MOB_E_FORKED,
				"catalogue: opened by process %ld, used in a "
				"forked child; open it again",
				(long)e->pid);
	}
	if (e->broken && !e->users) {
		mdb_env_close(e->mdb);
		e->mdb = NULL;
		e->broken = false;
	}
	if (e->broken) {
		rc = mobi_err(MOB_E_AGAIN, "catalogue: a failed environment is "
					   "still in use by another thread");
	} else if (!e->mdb) {
		rc = open_env(c);
	}
	if (!rc) {
		e->users++;
	}
	unlock_envs();
	return rc;
}

void mobi_cat_leave(struct mobi_catalogue *c, int mdb_rc)
{
	lock_envs();
	c->env->users--;
	if (mdb_rc == MDB_PANIC) {
		c->env->broken = true;
	}
	unlock_envs();
}

int mobi_cat_begin(struct mobi_catalogue *c, unsigned flags, MDB_txn **out_txn)
{
	for (int again = 0;; again = 1) {
		int rc = mobi_cat_enter(c);

		if (rc < 0) {
			return rc;
		}
		rc = mdb_txn_begin(c->env->mdb, NULL, flags, out_txn);
		if (!rc) {
			return 0;
		}
		if (rc == MDB_READERS_FULL) {
			(void)mdb_reader_check(c->env->mdb, NULL);
		}
		mobi_cat_leave(c, rc);
		if (again || (rc != MDB_PANIC && rc != MDB_READERS_FULL)) {
			return mobi_cat_fail(rc, "beginning a transaction");
		}
	}
}

static struct mobi_cat_env *find_env(const struct stat *st)
{
	for (struct mobi_cat_env *e = envs; e; e = e->next) {
		if (e->dev == st->st_dev && e->ino == st->st_ino &&
		    is_ours(e)) {
			return e;
		}
	}
	return NULL;
}

/* A new environment of the directory, which it keeps open: who opened it first
 * may be gone before who came later. Takes fd. Under the lock. */
static struct mobi_cat_env *new_env(const struct stat *st, int fd)
{
	struct mobi_cat_env *e = calloc(1, sizeof(*e));

	if (!e) {
		(void)close(fd);
		return NULL;
	}
	e->dev = st->st_dev;
	e->ino = st->st_ino;
	e->pid = getpid();
	e->forks = forks;
	e->fd = fd;
	(void)snprintf(e->path, sizeof(e->path), "/proc/self/fd/%d", fd);
	e->next = envs;
	envs = e;
	return e;
}

int mobi_catalogue_open(int dir_fd, const char *idx,
			struct mobi_cat_shared *shared, struct mobi_slot *slots,
			uint64_t session_began_ns,
			struct mobi_catalogue **out_cat)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int fd = openat(dir_fd, idx,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct mobi_catalogue *c;
	struct mobi_cat_env *e;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		int rc = errno == ENOENT ?
				 mobi_err(MOB_E_NOT_FOUND,
					  "catalogue: no directory '%s'", idx) :
				 mobi_err_errno("catalogue: opening '%s'", idx);

		if (fd >= 0) {
			(void)close(fd);
		}
		return rc;
	}
	c = malloc(sizeof(*c));
	if (!c) {
		(void)close(fd);
		return mobi_err(MOB_E_NOMEM, "catalogue: out of memory");
	}
	(void)pthread_once(&once, guard_fork);
	lock_envs();
	e = find_env(&st);
	if (e) {
		(void)close(fd);
	} else {
		e = new_env(&st, fd);
	}
	if (!e) {
		unlock_envs();
		free(c);
		return mobi_err(MOB_E_NOMEM, "catalogue: out of memory");
	}
	e->refs++;
	unlock_envs();
	*c = (struct mobi_catalogue){ .env = e,
				      .shared = shared,
				      .slots = slots,
				      .began_ns = session_began_ns,
				      .patience_ns = PATIENCE_NS };
	*out_cat = c;
	return 0;
}

bool mobi_catalogue_is_made(const struct mobi_catalogue *c)
{
	return faccessat(c->env->fd, "data.mdb", F_OK, 0) == 0;
}

void mobi_catalogue_close(struct mobi_catalogue *c)
{
	struct mobi_cat_env **at = &envs;
	struct mobi_cat_env *e;

	if (!c) {
		return;
	}
	e = c->env;
	lock_envs();
	/* A forked child must not close its parent's: LMDB would free the
	 * parent's readers. */
	if (is_ours(e) && --e->refs == 0) {
		while (*at != e) {
			at = &(*at)->next;
		}
		*at = e->next;
		if (e->mdb) {
			mdb_env_close(e->mdb);
		}
		(void)close(e->fd);
		free(e);
	}
	unlock_envs();
	free(c);
}

/* ---- rows ---- */

uint64_t mobi_cat_now_ms(const struct mobi_catalogue *c)
{
	return (mobi_now_ns() - c->began_ns) / UINT64_C(1000000);
}

uint64_t mobi_cat_lag_ms(const struct mobi_catalogue *c)
{
	/* + 1: both are rounded down. */
	return mobi_cat_now_ms(c) + 1 - mobi_load(&c->shared->drained_ms);
}

void mobi_cat_row_of(struct mobi_slot *o, uint64_t word,
		     struct mobi_cat_row *out_row)
{
	uint32_t state = MOBI_STATE(word);
	bool valued = state == MOBI_S_SEALED || state == MOBI_S_FAILED;

	*out_row = (struct mobi_cat_row){
		.gen = MOBI_GEN(word),
		.state = state,
		.size = valued ? mobi_load(&o->size) : 0,
		.type = valued ? mobi_load(&o->type) : 0,
		.born_ms = mobi_load(&o->born_ms),
		.creator = MOBI_CREATOR(mobi_load(&o->creator)),
	};
}

int mobi_cat_read_rows(MDB_cursor *cur, uint32_t chunk,
		       struct mobi_cat_row out_rows[MOBI_SLOT_CHUNK],
		       uint64_t *out_have)
{
	uint32_t first = chunk * MOBI_SLOT_CHUNK;
	MDB_val key = { sizeof(first), &first };
	MDB_val val;
	uint64_t have = 0;
	int rc = mdb_cursor_get(cur, &key, &val, MDB_SET_RANGE);

	while (!rc) {
		uint32_t slot;
		uint32_t n;

		memcpy(&slot, key.mv_data, sizeof(slot));
		n = slot - first;
		if (n >= MOBI_SLOT_CHUNK) {
			break;
		}
		/* A row of another size equals none, and is written anew. */
		memset(&out_rows[n], 0xff, sizeof(out_rows[n]));
		if (val.mv_size == sizeof(out_rows[n])) {
			memcpy(&out_rows[n], val.mv_data, sizeof(out_rows[n]));
		}
		have |= MOBI_BIT(n);
		rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT);
	}
	if (rc && rc != MDB_NOTFOUND) {
		return rc;
	}
	*out_have = have;
	return 0;
}
