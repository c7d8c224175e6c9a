/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control segment: its layout, its memory, and attaching to it.
 *
 * Memory is backed in extents of 256 KiB before it is touched: a full file
 * system is an error, not a SIGBUS.
 */
#include "segment_impl.h"

#include "conf.h"
#include "count.h"
#include "durable.h"
#include "edge.h"
#include "err.h"
#include "huge.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_mem.h"
#include "os_shm.h"
#include "os_sock.h"
#include "pool.h"
#include "reap.h"
#include "spill.h"

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
					 sizeof(struct mobi_count_row),
					 MOBI_COUNT_ROWS,
					 sizeof(struct mobi_site_row),
					 MOBI_SITES,
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
		[MOBI_SEC_COUNTS] = (uint64_t)MOBI_CLIENTS * MOBI_COUNT_ROWS *
				    sizeof(struct mobi_count_row),
		[MOBI_SEC_SITES] = MOBI_SITES * sizeof(struct mobi_site_row),
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
		/* Small ones that are always backed lie close together. */
		at = up(at + bytes[i],
			i < MOBI_SEC_SITES ? MOBI_CACHELINE : 65536);
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
		s, 0, sec[MOBI_SEC_SITES].off + sec[MOBI_SEC_SITES].bytes);

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

void mobi_segment_point(struct mob_store *s)
{
	unsigned char *at = (unsigned char *)s->hdr;
	const struct mobi_section *sec = s->hdr->section;

	s->clients = (void *)(at + sec[MOBI_SEC_CLIENTS].off);
	s->counts = (void *)(at + sec[MOBI_SEC_COUNTS].off);
	s->sites = (void *)(at + sec[MOBI_SEC_SITES].off);
	s->board = (void *)(at + sec[MOBI_SEC_BOARD].off);
	s->cat_shared = (void *)(at + sec[MOBI_SEC_CAT].off);
	s->cqs = (void *)(at + sec[MOBI_SEC_CQS].off);
	s->chunks = (void *)(at + sec[MOBI_SEC_CHUNKS].off);
	s->slots = (void *)(at + sec[MOBI_SEC_SLOTS].off);
	s->recs = (void *)(at + sec[MOBI_SEC_RECS].off);
	s->edges = (void *)(at + sec[MOBI_SEC_EDGES].off);
	s->sched = at + sec[MOBI_SEC_SCHED].off;
	s->epoch = s->hdr->epoch;
	s->gen_base = s->hdr->gen_base;
	s->began_ns = s->hdr->began_ns;
}

bool mobi_segment_has(const struct mob_store *s, uint64_t addr)
{
	return addr - (uint64_t)(uintptr_t)s->hdr < s->mapped_bytes ||
	       addr - (uint64_t)(uintptr_t)s->ro < s->mapped_bytes ||
	       (s->arena && mobi_arena_has(s->arena, addr));
}

int mobi_segment_pools(struct mob_store *s)
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

void mobi_segment_unmap(struct mob_store *s)
{
	mobi_catalogue_close(s->cat);
	mobi_arena_close(s->arena);
	for (uint32_t i = 0; i < MOBI_POOLS; i++) {
		mobi_pool_fini(&s->pool[i]);
	}
	if (s->hdr) {
		if (s->ro) {
			void *ro;

			memcpy(&ro, &s->ro, sizeof(ro));
			mobi_shm_unmap(ro, s->mapped_bytes);
		}
		mobi_shm_unmap(s->hdr, s->mapped_bytes);
	}
	mobi_mem_free(s->local, (size_t)MOBI_SLOTS * sizeof(*s->local));
	mobi_mem_free(s->not_forked, mobi_page_size());
	mobi_mem_free(s->touched, (size_t)s->touched_bytes);
	mobi_sock_close((int)mobi_load(&s->notify_fd) - 1);
	(void)pthread_mutex_destroy(&s->room_lock);
	(void)pthread_mutex_destroy(&s->full_lock);
	mobi_fd_close(s->spill_fd);
	mobi_fd_close(s->durable_fd);
	mobi_fd_close(s->arena_fd);
	mobi_fd_close(s->ctl_fd);
	mobi_fd_close(s->dir_fd);
	free(s->path);
	free(s);
}

static int local_init(struct mob_store *s)
{
	int rc;

	s->local = mobi_mem_reserve((size_t)MOBI_SLOTS * sizeof(*s->local));
	s->not_forked = mobi_mem_reserve(mobi_page_size());
	s->touched_bytes = s->hdr->arena_bytes / (UINT64_C(65536) * 8) + 64;
	s->touched = mobi_mem_reserve((size_t)s->touched_bytes);
	if (!s->local || !s->not_forked || !s->touched) {
		return mobi_err(MOB_E_NOMEM, "no address space for the store");
	}
	rc = mobi_mem_wipe_on_fork(s->not_forked, mobi_page_size());
	if (rc >= 0) {
		mobi_store_relaxed(s->not_forked, 1u);
	}
	return rc;
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
	s->mapped_bytes = ctl_bytes;
	rc = mobi_shm_map(s->ctl_fd, ctl_bytes, false, &ro);
	if (rc < 0) {
		return rc;
	}
	s->ro = ro;
	return 0;
}

struct mob_store *mobi_segment_alloc(const char *name, const char *path)
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
	s->dir_fd = s->ctl_fd = s->arena_fd = s->spill_fd = -1;
	s->durable_fd = -1;
	(void)pthread_mutex_init(&s->room_lock, NULL);
	(void)pthread_mutex_init(&s->full_lock, NULL);
	return s;
}

int mobi_segment_arena(struct mob_store *s)
{
	const struct mobi_section *at = &s->hdr->section[MOBI_SEC_ARENA];

	int rc = mobi_arena_open(s->arena_fd, s->hdr->arena_bytes,
				 (unsigned char *)s->hdr + at->off, s->ctl_fd,
				 at->off, s->me, &s->arena);

	if (rc >= 0) {
		rc = mobi_huge_use(s);
		if (rc < 0) {
			mobi_arena_close(s->arena);
			s->arena = NULL;
		}
	}
	return rc;
}

int mobi_segment_attach(struct mob_store *s, uint32_t role)
{
	uint64_t check = 0;
	int rc;

	mobi_segment_point(s);
	s->count_id = mobi_count_id();
	mobi_spill_open(s);
	mobi_durable_open(s);
	rc = local_init(s);
	if (rc >= 0) {
		rc = mobi_segment_pools(s);
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
	/* Others who come at the same time may take what is free first. */
	while (rc == MOB_E_LIMIT && mobi_reap_full(s)) {
		rc = mobi_client_join(s, role);
	}
	if (rc >= 0) {
		rc = mobi_segment_arena(s);
	}
	if (rc >= 0) {
		rc = mobi_catalogue_open(s->dir_fd, "idx", s->cat_shared,
					 s->slots, s->began_ns, &s->cat);
	}
	if (rc >= 0) {
		/* So that the dead never fill the table. */
		(void)mobi_reap(s);
	}
	return rc;
}

void mobi_segment_detach(struct mob_store *s)
{
	if (s->me) {
		mobi_arena_leave(s->arena);
		(void)mobi_client_leave(s);
	}
	if (s->has_seats) {
		mobi_seats_destroy(s);
	}
	mobi_segment_unmap(s);
}

/* ---- making and opening ---- */

int mobi_segment_make(struct mob_store *s, uint64_t arena_bytes, uint32_t flags)
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

/* Zeros: it could not be read. */
static bool is_id(const uint64_t boot[2])
{
	return boot[0] || boot[1];
}

/* Are the sections where this build puts them? */
static bool laid_out_here(const struct mobi_header *h)
{
	struct mobi_header want = { .arena_bytes = h->arena_bytes };

	lay_out(&want);
	return h->ctl_bytes == want.ctl_bytes &&
	       memcmp(h->section, want.section, sizeof(want.section)) == 0;
}

int mobi_segment_open_ctl(struct mob_store *s, struct mobi_header *out_h)
{
	uint64_t boot[2];
	uint64_t bytes = 0;
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
	/* First: the rest of the header is of this format only. */
	if (out_h->format != MOBI_FORMAT) {
		return mobi_err(MOB_E_VERSION,
				"session %s has format %u, this build reads "
				"format %u; use the build that made it",
				s->name, out_h->format, MOBI_FORMAT);
	}
	if (out_h->fingerprint != fingerprint() ||
	    out_h->header_bytes != sizeof(*out_h)) {
		return mobi_err(MOB_E_VERSION,
				"session %s has format %u with layout %08llx, "
				"this build has layout %08llx, as of another "
				"machine or compiler; use the build that made "
				"it",
				s->name, out_h->format,
				(unsigned long long)out_h->fingerprint,
				(unsigned long long)fingerprint());
	}
	mobi_boot_id(boot);
	if (is_id(boot) && is_id(out_h->boot) &&
	    (boot[0] != out_h->boot[0] || boot[1] != out_h->boot[1])) {
		return mobi_err(MOB_E_CORRUPT,
				"session %s is of an earlier boot; remove it",
				s->name);
	}
	rc = mobi_fd_size(s->ctl_fd, &bytes);
	if (rc < 0) {
		return rc;
	}
	if (out_h->ctl_bytes > bytes || !laid_out_here(out_h)) {
		return mobi_err(MOB_E_CORRUPT, "%s/ctl is damaged", s->path);
	}
	return 0;
}

int mobi_segment_open(struct mob_store *s)
{
	struct mobi_header h;
	uint64_t bytes = 0;
	int rc = mobi_segment_open_ctl(s, &h);

	if (rc < 0) {
		return rc;
	}
	s->arena_fd = mobi_shm_open(s->dir_fd, "arena", false, 0);
	if (s->arena_fd < 0) {
		return s->arena_fd;
	}
	rc = mobi_fd_size(s->arena_fd, &bytes);
	if (rc < 0) {
		return rc;
	}
	if (bytes < h.arena_bytes) {
		return mobi_err(MOB_E_CORRUPT, "%s/arena is cut short",
				s->path);
	}
	return map_tables(s, h.ctl_bytes);
}
