/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attached store of a process: session directory, mapped tables, and what
 * is local to the process. Everything inside store/ and sched/ works on it.
 */
#ifndef MOBI_SEGMENT_H
#define MOBI_SEGMENT_H

#include "arena.h"
#include "catalogue.h"
#include "store_layout.h"

#include <mobula/store.h>

#include <pthread.h>

/* Bytes of the control segment that sched lays out itself (sparse). */
#define MOBI_SCHED_BYTES (UINT64_C(1) << 30)

/* What sched adds to the janitor's work; NULL in a process without it. */
struct mobi_reap_hooks {
	/* First: the domains of dead lock owners. */
	void (*domains)(struct mob_store *s, uint64_t dead);
	/* A stream, whose reader may be dead. */
	void (*stream)(struct mob_store *s, uint64_t id, uint64_t dead);
	/* Last: running tasks of the dead, ready bits, doorbells. */
	void (*tasks)(struct mob_store *s, uint64_t dead);
	/* A record in KEPT has got a flag that somebody should look at. */
	void (*kept)(struct mob_store *s, uint32_t rec);
	/* Drops the value of an object, if it is sure that it can be made again;
	 * `cheaply`: only in less time than it would take to a file and back. */
	bool (*evict)(struct mob_store *s, uint64_t id, bool cheaply);
	/* The record of `producer`, KEPT, is this process's alone until give. False:
	 * it is another's, or in another state. */
	bool (*take)(struct mob_store *s, uint64_t producer);
	void (*give)(struct mob_store *s, uint64_t producer);
	/* How often the task of a record has found no room for what it is to make
	 * again. */
	uint32_t (*no_room)(const struct mob_store *s, uint32_t rec);
};

/* Free entries of one table, as seen by this process (pool.c). */
struct mobi_pool {
	struct mobi_pool_shared *shared;
	struct mobi_group *group;
	uint32_t n_groups;
	const unsigned char *rows; /* the table */
	uint32_t row_bytes;
	/* Backs the rows of group g with memory. */
	int (*back)(struct mob_store *s, uint32_t g);
	const char *what; /* "objects": for the error when all are taken */
	pthread_mutex_t lock;
	uint64_t mine[1024]; /* groups owned by this process */
	uint32_t cursor;
};

/* What a thread has of its own (seat.c). */
struct mobi_seat {
	struct mob_store *store;
	struct mobi_seat *next; /* all seats of this process */
	struct {
		uint32_t group;
		uint64_t mask;
	} take[3];       /* entries at hand: slots, recs, chunks */
	uint32_t chunk;  /* + 1: where it sleeps, 0 until the first sleep */
	uint32_t gen;    /* of that chunk */
	uint64_t *later; /* {gen, chunk}: retired, edges to be released */
	uint32_t n_later;
	uint32_t max_later;
	bool draining;
};

/* How full the store was when this process looked last (full.c). */
struct mobi_full {
	uint64_t looked_ns;
	uint64_t next_ns; /* no other look before that */
	struct mobi_arena_stat stat;
	uint64_t viewed_bytes; /* most that one process keeps by its views */
	uint32_t viewer;       /* its pid */
};

enum { MOBI_POOL_SLOT, MOBI_POOL_REC, MOBI_POOL_CHUNK, MOBI_POOLS };

struct mob_store {
	char name[MOB_STORE_NAME_MAX + 1];
	char *path; /* of the session directory */
	int dir_fd;
	int ctl_fd;
	int arena_fd;
	uint32_t me; /* client */
	uint32_t epoch;
	uint32_t gen_base; /* as in the header */
	uint64_t began_ns;
	struct mobi_header *hdr;
	uint64_t mapped_bytes;   /* of the control segment, at hdr and at ro */
	const unsigned char *ro; /* the control segment, read only */
	struct mobi_client *clients;
	struct mobi_site_row *sites;
	struct mobi_count_row *counts;
	/* count.c: of all stores that this process ever opened, and the rows
	 * that threads have. */
	uint64_t count_id;
	mobi_a32 count_rows;
	struct mobi_board *board;
	struct mobi_cat_shared *cat_shared;
	struct mobi_cq_shared *cqs;
	struct mobi_chunk *chunks;
	struct mobi_slot *slots;
	struct mobi_rec *recs;
	struct mobi_edge *edges; /* of chunks */
	void *sched;             /* MOBI_SEC_SCHED */
	/* sched/record.h: where this process writes what happens to tasks. */
	struct {
		void *head;   /* NULL: nowhere */
		void *events; /* NULL: only what is counted */
		uint64_t mask;
	} record;
	struct mobi_arena *arena;
	struct mobi_catalogue *cat;
	struct mobi_pool pool[MOBI_POOLS];
	mobi_a64 *touched; /* touch.c: parts in the page tables */
	uint64_t touched_bytes;
	mobi_a64 *local;      /* counts behind our bits, one word a slot */
	mobi_a32 *not_forked; /* wiped in a forked child */
	/* site.c: by the number of a place in this process its row + 1 here. */
	mobi_a32 site_row[MOBI_SITES];
	pthread_key_t seat_key;
	pthread_mutex_t seats_lock;
	struct mobi_seat *seats;
	bool has_seats;
	pthread_mutex_t room_lock; /* who of this process waits for room */
	pthread_mutex_t full_lock; /* of: */
	struct mobi_full full;
	const struct mobi_reap_hooks *hooks;
	struct mobi_scan *scan; /* reap.c, under the janitor's lock */
	mobi_a64 looked_ns;     /* when one who waits last did that: */
	/* What a sleeper does now and then; NULL: it looks for the dead. */
	void (*poll)(struct mob_store *s);
	/* Says of a client that looks dead whether it may be reaped by this
	 * process now; NULL: yes. */
	bool (*may_reap)(struct mob_store *s, uint32_t client);
	/* An object with an error is freed that nobody viewed. */
	void (*unread)(struct mob_store *s, uint32_t slot);
	/* Wakes a worker if it helps; NULL: any idle one. */
	void (*wake)(struct mob_store *s);
	int spill_fd;       /* spill.h; -1: this store does not spill */
	int durable_fd;     /* durable.h; -1: it is not durable */
	mobi_a32 spill_rc;  /* why that failed last, as a positive number */
	mobi_a32 no_links;  /* it has no hard links: nothing shares a file */
	bool check_writes;  /* guard.h */
	bool is_worker;     /* looks at the board itself after it sealed */
	mobi_a32 notify_fd; /* + 1: sends datagrams to queues; 0 until needed */
};

/* MOB_E_FORKED in a child that did not attach, MOB_E_CLOSED after close. */
#define MOBI_ENTER(s)                                                          \
	do {                                                                   \
		if (!mobi_load_relaxed((s)->not_forked)) {                     \
			return mobi_err(MOB_E_FORKED,                          \
					"%s: this process was forked from "    \
					"one "                                 \
					"that is attached; open the store "    \
					"again in the child",                  \
					__func__);                             \
		}                                                              \
	} while (0)

/* Backs [off, off + len) of the control segment. Idempotent. */
int mobi_ctl_back(struct mob_store *s, uint64_t off, uint64_t len);
/* Does the address lie where the store is mapped in this process? May be asked in a
 * signal handler. */
bool mobi_segment_has(const struct mob_store *s, uint64_t addr);
/* Milliseconds since the session began. */
uint32_t mobi_session_ms(const struct mob_store *s);
/* The public create and open, in a given role. set_up (may be NULL) is called
 * before anybody else can see the session. */
int mobi_store_create(const char *name, const struct mob_store_opts *opts,
		      uint32_t role,
		      int (*set_up)(struct mob_store *s, const void *arg),
		      const void *arg, struct mob_store **out_store);
int mobi_store_open(const char *name, uint32_t role,
		    struct mob_store **out_store);
/* Removes a session directory and what was spilled from it. */
/* Begins the tag (os_strays.h) of each worker of the session. */
#define MOBI_SESSION_TAG 32
void mobi_session_tag(const struct mob_store *s, char out[MOBI_SESSION_TAG]);
int mobi_session_remove(const char *path);
int mobi_session_remove_open(int dir_fd, const char *path);
/* Name of a session, or of a copy, under construction by this process. */
void mobi_building_name(char *out, size_t size);
/* Is this such a name, of a process that is dead? One of another pid name space,
 * as in another container, cannot be seen from here, and lives. */
bool mobi_building_left(const char *name);
/* Removes private sessions in "<dir>/mobula-<uid>" whose processes are dead. */
void mobi_sweep(const char *user_path);
/* True if a living process is attached (looks at the table only). */
bool mobi_store_in_use(struct mob_store *s);
/* Ends a session that no living process is attached to: nobody can join it any
 * more. False: somebody is, or is about to be. */
bool mobi_store_end_unused(struct mob_store *s);
/* The same where this process is attached, and nobody else. */
bool mobi_store_end_alone(struct mob_store *s);
/* Takes the end back, of a session that nobody is attached to: who ended it died
 * before it was done. */
void mobi_store_go_on(struct mob_store *s);
/*
 * Maps the tables of a session without joining it: no seat is taken, nothing is
 * locked, a private session may end meanwhile. Read only unless `writable`. Of
 * *out_store, which mobi_store_unlook (NULL is allowed) ends, only name, path,
 * dir_fd, ctl_fd and what points to tables is set: no arena, no catalogue, no
 * `ro`.
 */
int mobi_store_look(const char *name, bool writable,
		    struct mob_store **out_store);
void mobi_store_unlook(struct mob_store *s);
/* Directory of this user's sessions as configured; it may not exist. */
int mobi_user_path(char *out_path, size_t out_size);

/* client.c */
int mobi_client_join(struct mob_store *s, uint32_t role);
/* Marks this process DEAD; returns the word that says so. */
uint64_t mobi_client_leave(struct mob_store *s);
/* Mask of clients that are attached and not proved dead. */
uint64_t mobi_clients_live(const struct mob_store *s);

/* seat.c: this thread's, made at first use; NULL without memory. */
struct mobi_seat *mobi_seat(struct mob_store *s);
int mobi_seats_init(struct mob_store *s);
/* Gives back what all seats have; they stay, as the janitor needs one. */
void mobi_seats_leave(struct mob_store *s);
/* Frees them. The process has left, or is a forked child. */
void mobi_seats_destroy(struct mob_store *s);
/* The chunk on whose bell this thread sleeps, made at first use. */
int mobi_seat_chunk(struct mob_store *s, struct mobi_seat *seat);

#endif /* MOBI_SEGMENT_H */
