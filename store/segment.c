/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: their directories, and the control segment.
 *
 * <dir>/mobula-<uid>/<name>/  ctl    tables, mapped once at full size, sparse
 *                             arena  bytes of objects, sparse
 *                             idx/   LMDB
 *
 * A session is built under a name of its own process and renamed when it is
 * whole, so nobody ever sees half of one. Memory is backed in extents of
 * 256 KiB before it is touched: a full file system is an error, not a SIGBUS.
 */
#include "segment.h"

#include "conf.h"
#include "edge.h"
#include "err.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_mem.h"
#include "os_shm.h"
#include "os_sock.h"
#include "pool.h"
#include "reap.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_SLOT (MOBI_SLOTS / MOBI_GROUP)
#define GROUPS_REC (MOBI_RECS / MOBI_GROUP)
#define GROUPS_CHUNK (MOBI_EDGE_CHUNKS / MOBI_GROUP)

static uint64_t up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Sizes of all shared structs, mixed: unlike builds refuse each other. */
static uint64_t fingerprint(void)
{
	static const uint64_t part[] = { sizeof(struct mobi_header),
					 sizeof(struct mobi_slot),
					 sizeof(struct mobi_edge),
					 sizeof(struct mobi_rec),
					 sizeof(struct mobi_chunk),
					 sizeof(struct mobi_cq_shared),
					 sizeof(struct mobi_client),
					 sizeof(struct mobi_board),
					 sizeof(struct mobi_group),
					 sizeof(struct mobi_pool_shared),
					 sizeof(struct mobi_cat_shared),
					 MOBI_SLOTS,
					 MOBI_RECS,
					 MOBI_EDGE_CHUNKS,
					 MOBI_SCHED_BYTES };
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		h = (h ^ part[i]) * UINT64_C(0x100000001b3);
	}
	return h;
}

static void lay_out(struct mobi_header *h)
{
	const uint64_t bytes[MOBI_SECTIONS] = {
		[MOBI_SEC_CLIENTS] = MOBI_CLIENTS * sizeof(struct mobi_client),
		[MOBI_SEC_POOLS] = 3 * sizeof(struct mobi_pool_shared),
		[MOBI_SEC_GROUPS] = (GROUPS_SLOT + GROUPS_REC + GROUPS_CHUNK) *
				    sizeof(struct mobi_group),
		[MOBI_SEC_BOARD] = sizeof(struct mobi_board),
		[MOBI_SEC_CAT] = sizeof(struct mobi_cat_shared),
		[MOBI_SEC_CQS] = MOBI_CQS * sizeof(struct mobi_cq_shared),
		[MOBI_SEC_CHUNKS] = MOBI_EDGE_CHUNKS *
				    sizeof(struct mobi_chunk),
		[MOBI_SEC_SLOTS] = (uint64_t)MOBI_SLOTS *
				   sizeof(struct mobi_slot),
		[MOBI_SEC_RECS] = (uint64_t)MOBI_RECS * sizeof(struct mobi_rec),
		[MOBI_SEC_EDGES] = (uint64_t)MOBI_EDGE_CHUNKS *
				   MOBI_EDGE_CHUNK * sizeof(struct mobi_edge),
		[MOBI_SEC_SCHED] = MOBI_SCHED_BYTES,
		[MOBI_SEC_ARENA] = mobi_arena_meta_bytes(h->arena_bytes),
	};
	uint64_t at = up(sizeof(*h), 65536);

	for (uint32_t i = 0; i < MOBI_SECTIONS; i++) {
		h->section[i].off = at;
		h->section[i].bytes = bytes[i];
		at += up(bytes[i], 65536);
	}
	h->ctl_bytes = up(at, MOBI_EXTENT);
}

int mobi_ctl_back(struct mob_store *s, uint64_t off, uint64_t len)
{
	struct mobi_header *h = s->hdr;
	uint64_t last = (off + len - 1) / MOBI_EXTENT;

	if (off + len > h->ctl_bytes) {
		return mobi_err(MOB_E_LIMIT,
				"control segment: %llu is beyond "
				"its end",
				(unsigned long long)(off + len));
	}
	for (uint64_t e = off / MOBI_EXTENT; e <= last; e++) {
		int rc;

		if (mobi_load(&h->backed[e / 64]) & MOBI_BIT(e % 64)) {
			continue;
		}
		rc = mobi_shm_back(s->ctl_fd, e * MOBI_EXTENT, MOBI_EXTENT);
		if (rc < 0) {
			return rc;
		}
		(void)mobi_fetch_or(&h->backed[e / 64], MOBI_BIT(e % 64));
	}
	return 0;
}

uint32_t mobi_session_ms(const struct mob_store *s)
{
	uint64_t now = mobi_coarse_ns();

	/* It may lie a tick behind the beginning. */
	return now > s->began_ns ? (uint32_t)((now - s->began_ns) / 1000000) :
				   0;
}

/* ---- backing of the tables, a group at a time ---- */

static int back_rows(struct mob_store *s, uint32_t sec, uint64_t first,
		     uint64_t n, uint64_t size)
{
	return mobi_ctl_back(s, s->hdr->section[sec].off + first * size,
			     n * size);
}

static int back_group_entry(struct mob_store *s, uint32_t index)
{
	return back_rows(s, MOBI_SEC_GROUPS, index, 1,
			 sizeof(struct mobi_group));
}

static int back_slots(struct mob_store *s, uint32_t g)
{
	int rc = back_group_entry(s, g);

	if (rc >= 0) {
		rc = back_rows(s, MOBI_SEC_SLOTS, (uint64_t)g * MOBI_GROUP,
			       MOBI_GROUP, sizeof(struct mobi_slot));
	}
	if (rc >= 0) {
		rc = mobi_ctl_back(
			s,
			s->hdr->section[MOBI_SEC_CAT].off +
				offsetof(struct mobi_cat_shared, indexed) +
				(uint64_t)g * MOBI_GROUP * sizeof(mobi_a32),
			MOBI_GROUP * sizeof(mobi_a32));
	}
	return rc;
}

static int back_recs(struct mob_store *s, uint32_t g)
{
	int rc = back_group_entry(s, GROUPS_SLOT + g);

	if (rc >= 0) {
		rc = back_rows(s, MOBI_SEC_RECS, (uint64_t)g * MOBI_GROUP,
			       MOBI_GROUP, sizeof(struct mobi_rec));
	}
	return rc;
}

static int back_chunks(struct mob_store *s, uint32_t g)
{
	int rc = back_group_entry(s, GROUPS_SLOT + GROUPS_REC + g);

	if (rc >= 0) {
		rc = back_rows(s, MOBI_SEC_CHUNKS, (uint64_t)g * MOBI_GROUP,
			       MOBI_GROUP, sizeof(struct mobi_chunk));
	}
	if (rc >= 0) {
		rc = back_rows(s, MOBI_SEC_EDGES,
			       (uint64_t)g * MOBI_GROUP * MOBI_EDGE_CHUNK,
			       (uint64_t)MOBI_GROUP * MOBI_EDGE_CHUNK,
			       sizeof(struct mobi_edge));
	}
	return rc;
}

/* Everything that is touched before a row is claimed. */
static int back_fixed(struct mob_store *s)
{
	struct mobi_section *sec = s->hdr->section;
	int rc = mobi_ctl_back(
		s, 0, sec[MOBI_SEC_POOLS].off + sec[MOBI_SEC_POOLS].bytes);

	if (rc >= 0) {
		rc = mobi_ctl_back(s, sec[MOBI_SEC_BOARD].off,
				   sec[MOBI_SEC_BOARD].bytes);
	}
	if (rc >= 0) {
		rc = mobi_ctl_back(s, sec[MOBI_SEC_CAT].off,
				   offsetof(struct mobi_cat_shared, indexed));
	}
	if (rc >= 0) {
		/* The janitor and open look at all queues. */
		rc = mobi_ctl_back(s, sec[MOBI_SEC_CQS].off,
				   sec[MOBI_SEC_CQS].bytes);
	}
	return rc;
}

/* ---- attaching ---- */

static void point(struct mob_store *s)
{
	unsigned char *at = (unsigned char *)s->hdr;
	const struct mobi_section *sec = s->hdr->section;

	s->clients = (void *)(at + sec[MOBI_SEC_CLIENTS].off);
	s->board = (void *)(at + sec[MOBI_SEC_BOARD].off);
	s->cat_shared = (void *)(at + sec[MOBI_SEC_CAT].off);
	s->cqs = (void *)(at + sec[MOBI_SEC_CQS].off);
	s->chunks = (void *)(at + sec[MOBI_SEC_CHUNKS].off);
	s->slots = (void *)(at + sec[MOBI_SEC_SLOTS].off);
	s->recs = (void *)(at + sec[MOBI_SEC_RECS].off);
	s->edges = (void *)(at + sec[MOBI_SEC_EDGES].off);
	s->sched = at + sec[MOBI_SEC_SCHED].off;
	s->epoch = s->hdr->epoch;
	s->began_ns = s->hdr->began_ns;
}

static int pools_init(struct mob_store *s)
{
	unsigned char *at = (unsigned char *)s->hdr;
	struct mobi_pool_shared *p =
		(void *)(at + s->hdr->section[MOBI_SEC_POOLS].off);
	struct mobi_group *g =
		(void *)(at + s->hdr->section[MOBI_SEC_GROUPS].off);
	int rc = mobi_pool_init(&s->pool[MOBI_POOL_SLOT], &p[0], g, GROUPS_SLOT,
				s->slots, sizeof(*s->slots), back_slots,
				"objects");

	if (rc >= 0) {
		rc = mobi_pool_init(&s->pool[MOBI_POOL_REC], &p[1],
				    g + GROUPS_SLOT, GROUPS_REC, s->recs,
				    sizeof(*s->recs), back_recs, "tasks");
	}
	if (rc >= 0) {
		rc = mobi_pool_init(&s->pool[MOBI_POOL_CHUNK], &p[2],
				    g + GROUPS_SLOT + GROUPS_REC, GROUPS_CHUNK,
				    s->chunks, sizeof(*s->chunks), back_chunks,
				    "edge chunks");
	}
	return rc;
}

static void unmap(struct mob_store *s)
{
	mobi_catalogue_close(s->cat);
	mobi_arena_close(s->arena);
	for (uint32_t i = 0; i < MOBI_POOLS; i++) {
		mobi_pool_fini(&s->pool[i]);
	}
	if (s->hdr) {
		uint64_t bytes = s->hdr->ctl_bytes;

		if (s->ro) {
			void *ro;

			memcpy(&ro, &s->ro, sizeof(ro));
			mobi_shm_unmap(ro, bytes);
		}
		mobi_shm_unmap(s->hdr, bytes);
	}
	mobi_mem_free(s->local, (size_t)MOBI_SLOTS * sizeof(*s->local));
	mobi_mem_free(s->not_forked, mobi_page_size());
	mobi_mem_free(s->touched, (size_t)s->touched_bytes);
	mobi_sock_close(s->notify_fd);
	mobi_fd_close(s->arena_fd);
	mobi_fd_close(s->ctl_fd);
	mobi_fd_close(s->dir_fd);
	free(s->path);
	free(s);
}

static int local_init(struct mob_store *s)
{
	s->local = mobi_mem_reserve((size_t)MOBI_SLOTS * sizeof(*s->local));
	s->not_forked = mobi_mem_reserve(mobi_page_size());
	s->touched_bytes = s->hdr->arena_bytes / (UINT64_C(65536) * 8) + 64;
	s->touched = mobi_mem_reserve((size_t)s->touched_bytes);
	if (!s->local || !s->not_forked || !s->touched) {
		return mobi_err(MOB_E_NOMEM, "no address space for the store");
	}
	if (mobi_mem_wipe_on_fork(s->not_forked, mobi_page_size()) < 0) {
		return MOB_E_SYS;
	}
	mobi_store_relaxed(s->not_forked, 1u);
	return 0;
}

/* Maps what dir_fd holds, whose header is whole. */
static int map_tables(struct mob_store *s, uint64_t ctl_bytes)
{
	void *rw;
	void *ro;
	int rc = mobi_shm_map(s->ctl_fd, ctl_bytes, true, &rw);

	if (rc < 0) {
		return rc;
	}
	s->hdr = rw;
	rc = mobi_shm_map(s->ctl_fd, ctl_bytes, false, &ro);
	if (rc < 0) {
		return rc;
	}
	s->ro = ro;
	return 0;
}

static struct mob_store *store_alloc(const char *name, const char *path)
{
	struct mob_store *s = calloc(1, sizeof(*s));

	if (!s) {
		return NULL;
	}
	s->path = strdup(path);
	if (!s->path) {
		free(s);
		return NULL;
	}
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	s->dir_fd = s->ctl_fd = s->arena_fd = s->notify_fd = -1;
	return s;
}

/* From mapped tables to an attached store. */
static int attach(struct mob_store *s, uint32_t role)
{
	const struct mobi_section *sec = s->hdr->section;
	uint64_t check = 0;
	char idx[64];
	int rc;

	/* By descriptor: the directory may be renamed yet. */
	(void)snprintf(idx, sizeof(idx), "/proc/self/fd/%d/idx", s->dir_fd);
	point(s);
	rc = local_init(s);
	if (rc >= 0) {
		rc = pools_init(s);
	}
	if (rc >= 0) {
		rc = mobi_seats_init(s);
	}
	if (rc >= 0) {
		rc = mobi_conf_u64(MOBI_CONF_ID_check_writes, &check);
		s->check_writes = check != 0;
	}
	if (rc >= 0) {
		rc = mobi_client_join(s, role);
	}
	if (rc >= 0) {
		rc = mobi_arena_open(
			s->arena_fd, s->hdr->arena_bytes,
			(unsigned char *)s->hdr + sec[MOBI_SEC_ARENA].off,
			s->ctl_fd, sec[MOBI_SEC_ARENA].off, s->me, &s->arena);
	}
	if (rc >= 0) {
		rc = mobi_catalogue_open(idx, s->cat_shared, s->slots,
					 s->began_ns, &s->cat);
	}
	return rc;
}

/* Undoes a half done or whole attachment. */
static void detach(struct mob_store *s)
{
	if (s->me) {
		(void)mobi_client_leave(s);
	}
	if (s->has_seats) {
		mobi_seats_destroy(s);
	}
	unmap(s);
}

/* ---- names and directories ---- */

static int check_name(const char *call, const char *name)
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

int mobi_user_dir(const char *dir, char *out_path, size_t out_size)
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

/* Opens ctl of a session directory and looks at its header, of which *out_h
 * is a copy. */
static int open_ctl(struct mob_store *s, struct mobi_header *out_h)
{
	uint64_t boot[2];
	int rc;

	s->ctl_fd = mobi_shm_open(s->dir_fd, "ctl", false, 0);
	if (s->ctl_fd < 0) {
		return s->ctl_fd;
	}
	rc = mobi_fd_read_at(s->ctl_fd, out_h, sizeof(*out_h), 0);
	if (rc < 0) {
		return rc;
	}
	if (mobi_load(&out_h->magic) != MOBI_MAGIC) {
		return mobi_err(MOB_E_CORRUPT,
				"%s/ctl is not a control "
				"segment",
				s->path);
	}
	mobi_boot_id(boot);
	if (boot[0] != out_h->boot[0] || boot[1] != out_h->boot[1]) {
		return mobi_err(MOB_E_CORRUPT,
				"session %s is of an earlier boot; remove it",
				s->name);
	}
	if (out_h->format != MOBI_FORMAT ||
	    out_h->fingerprint != fingerprint() ||
	    out_h->header_bytes != sizeof(*out_h)) {
		return mobi_err(MOB_E_VERSION,
				"session %s: format %u of another build; this "
				"one reads format %u",
				s->name, out_h->format, MOBI_FORMAT);
	}
	if (out_h->ctl_bytes > mobi_fd_size(s->ctl_fd)) {
		return mobi_err(MOB_E_CORRUPT, "%s/ctl is cut short", s->path);
	}
	return 0;
}

/* Opens and maps what a session directory holds. */
static int open_tables(struct mob_store *s)
{
	struct mobi_header h;
	int rc = open_ctl(s, &h);

	if (rc < 0) {
		return rc;
	}
	s->arena_fd = mobi_shm_open(s->dir_fd, "arena", false, 0);
	if (s->arena_fd < 0) {
		return s->arena_fd;
	}
	if (mobi_fd_size(s->arena_fd) < h.arena_bytes) {
		return mobi_err(MOB_E_CORRUPT, "%s/arena is cut short",
				s->path);
	}
	return map_tables(s, h.ctl_bytes);
}

/* Is it a private session whose processes are all dead? Then it goes. One of
 * another build may be in use. */
static bool remove_stale(const char *name, const char *path)
{
	struct mob_store *s = store_alloc(name, path);
	bool stale = false;

	if (!s) {
		return false;
	}
	s->dir_fd = mobi_dir_open(path);
	if (s->dir_fd >= 0) {
		int rc = open_tables(s);

		if (rc >= 0) {
			point(s);
			stale = (s->hdr->flags & MOB_STORE_PRIVATE) &&
				mobi_store_end_unused(s);
		} else {
			/* Of an earlier boot, half removed, or no session. */
			stale = rc == MOB_E_CORRUPT || rc == MOB_E_NOT_FOUND;
		}
		/* By descriptor: another may be at it too, and a new session
		 * have the name by now. */
		stale = stale && mobi_dir_remove_open(s->dir_fd, path) >= 0;
	}
	unmap(s);
	return stale;
}

bool mobi_building_pid(const char *name, uint32_t *out_pid)
{
	static const char head[] = ".new-";
	char *end;
	unsigned long pid;

	if (strncmp(name, head, sizeof(head) - 1) != 0) {
		return false;
	}
	pid = strtoul(name + sizeof(head) - 1, &end, 10);
	*out_pid = (uint32_t)pid;
	return *end == '-' && pid > 0 && pid <= INT32_MAX;
}

static int sweep_one(const char *name, void *arg)
{
	const char *user = arg;
	size_t n = strlen(user) + strlen(name) + 2;
	char *path = malloc(n);
	unsigned pid = 0;

	if (!path) {
		return 0;
	}
	(void)snprintf(path, n, "%s/%s", user, name);
	if (name[0] == '.') {
		/* Under construction by a process that is named in it. */
		struct mobi_proc p;

		if (mobi_building_pid(name, &pid) &&
		    mobi_proc_of((int)pid, &p) < 0) {
			(void)mobi_dir_remove(path);
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
	*out_bytes = up(bytes, UINT64_C(1) << 20);
	return 0;
}

static int fill_header(struct mob_store *s, uint64_t arena_bytes,
		       uint32_t flags)
{
	struct mobi_header h = { 0 };
	int rc;

	h.format = MOBI_FORMAT;
	h.header_bytes = sizeof(h);
	h.fingerprint = fingerprint();
	h.arena_bytes = arena_bytes;
	h.flags = flags;
	h.creator = mobi_proc_self();
	h.began_ns = mobi_now_ns();
	h.began_wall = mobi_wall_ns();
	mobi_boot_id(h.boot);
	do {
		h.epoch = (uint32_t)mobi_random();
	} while (!h.epoch);
	lay_out(&h);
	s->ctl_fd = mobi_shm_open(s->dir_fd, "ctl", true, h.ctl_bytes);
	if (s->ctl_fd < 0) {
		return s->ctl_fd;
	}
	s->arena_fd = mobi_shm_open(s->dir_fd, "arena", true, arena_bytes);
	if (s->arena_fd < 0) {
		return s->arena_fd;
	}
	rc = mobi_shm_back(s->ctl_fd, 0, up(sizeof(h), MOBI_EXTENT));
	if (rc >= 0) {
		rc = map_tables(s, h.ctl_bytes);
	}
	if (rc < 0) {
		return rc;
	}
	memcpy(s->hdr, &h, sizeof(h));
	rc = back_fixed(s);
	if (rc >= 0) {
		mobi_store(&s->hdr->magic, MOBI_MAGIC);
	}
	return rc;
}

static int build(struct mob_store *s, uint64_t arena_bytes, uint32_t flags)
{
	int rc;

	s->dir_fd = mobi_dir_make(s->path);
	if (s->dir_fd < 0) {
		return s->dir_fd;
	}
	rc = mobi_dir_make_at(s->dir_fd, "idx");
	if (rc >= 0) {
		rc = fill_header(s, arena_bytes, flags);
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

struct creation {
	uint32_t role;
	int (*set_up)(struct mob_store *s, const void *arg);
	const void *arg;
};

static int create(const char *name, const struct mob_store_opts *opts,
		  const struct creation *c, struct mob_store **out_store)
{
	const char *dir = opts->dir;
	char user[4096];
	char fresh[64];
	char temp[64];
	uint64_t bytes = 0;
	struct mob_store *s;
	int rc = dir ? 0 : session_dir(&dir);

	if (rc >= 0) {
		rc = arena_size(dir, opts, &bytes);
	}
	if (rc >= 0) {
		rc = mobi_user_dir(dir, user, sizeof(user));
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
	(void)snprintf(temp, sizeof(temp), ".new-%u-%08x", mobi_proc_self().pid,
		       (unsigned)mobi_random());
	s = store_alloc(name, "");
	if (!s) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	rc = set_path(s, user, temp);
	if (rc >= 0) {
		rc = build(s, bytes, opts->flags);
	}
	if (rc >= 0) {
		rc = attach(s, c->role);
	}
	if (rc >= 0 && c->set_up) {
		rc = c->set_up(s, c->arg);
	}
	if (rc >= 0) {
		rc = publish(s, user);
	}
	if (rc < 0) {
		if (s->path && s->path[0]) {
			(void)mobi_dir_remove(s->path);
		}
		detach(s);
		return rc;
	}
	*out_store = s;
	return 0;
}

int mobi_store_create(const char *name, const struct mob_store_opts *opts,
		      uint32_t role,
		      int (*set_up)(struct mob_store *s, const void *arg),
		      const void *arg, struct mob_store **out_store)
{
	const struct creation c = { role, set_up, arg };
	const struct mob_store_opts def = MOB_STORE_OPTS_INIT;
	int rc;

	if (!opts) {
		opts = &def;
	}
	if (opts->struct_size != sizeof(def) ||
	    (opts->flags & ~MOB_STORE_PRIVATE)) {
		return mobi_err(MOB_E_VERSION,
				"mob_store_create: struct_size is %u and flags "
				"are %#x; this library knows %zu and %#x",
				opts->struct_size, opts->flags, sizeof(def),
				MOB_STORE_PRIVATE);
	}
	rc = name ? check_name("mob_store_create", name) : 0;
	return rc < 0 ? rc : create(name, opts, &c, out_store);
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
		rc = check_name(call, name);
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
	base = strrchr(path, '/');
	s = store_alloc(base ? base + 1 : path, path);
	if (!s) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	*out_store = s;
	s->dir_fd = mobi_dir_open(path);
	if (s->dir_fd < 0) {
		return mobi_err(s->dir_fd,
				"no session '%s' (%s); `mob session list` "
				"shows "
				"those that are",
				name, path);
	}
	return 0;
}

int mobi_store_open(const char *name, uint32_t role,
		    struct mob_store **out_store)
{
	struct mob_store *s;
	int rc = open_dir("mob_store_open", name, &s);

	if (rc >= 0) {
		rc = open_tables(s);
	}
	if (rc >= 0) {
		rc = attach(s, role);
	}
	if (rc < 0) {
		if (s) {
			detach(s);
		}
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
		rc = open_ctl(s, &h);
	}
	if (rc >= 0) {
		rc = mobi_shm_map(s->ctl_fd, h.ctl_bytes, writable, &at);
	}
	if (rc >= 0) {
		s->hdr = at;
		point(s);
		rc = pools_init(s);
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
		unmap(s);
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
		unmap(store);
		return;
	}
	mobi_seats_leave(store);
	mobi_pool_leave(store);
	word = mobi_client_leave(store);
	if ((store->hdr->flags & MOB_STORE_PRIVATE) &&
	    mobi_store_end_unused(store)) {
		(void)mobi_dir_remove_open(store->dir_fd, store->path);
	} else {
		mobi_reap_leaving(store, word);
	}
	mobi_seats_destroy(store);
	unmap(store);
}

int mob_store_remove(const char *name)
{
	char path[4096];
	struct mob_store *s;
	bool busy = false;
	int rc = path_of("mob_store_remove", name, path, sizeof(path));

	if (rc < 0) {
		return rc;
	}
	s = store_alloc("", path);
	if (!s) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	s->dir_fd = mobi_dir_open(path);
	rc = s->dir_fd;
	if (rc >= 0 && open_tables(s) >= 0) {
		point(s);
		busy = !mobi_store_end_unused(s);
	}
	if (busy) {
		rc = mobi_err(MOB_E_BUSY,
			      "session '%s' is in use; stop it first", name);
	} else if (rc >= 0) {
		rc = mobi_dir_remove_open(s->dir_fd, path);
	}
	unmap(s);
	return rc;
}

const char *mob_store_name(const struct mob_store *store)
{
	return store->name;
}
