/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of the control segment: every struct that the processes of a session
 * share, and the meaning of every word. docs/shared-memory.md has the same in
 * pictures, with who may write what.
 *
 * The tables are the truth. Everything is an index, an offset or a counter:
 * no pointer, no size_t, no bool, no enum.
 */
#ifndef MOBI_STORE_LAYOUT_H
#define MOBI_STORE_LAYOUT_H

#include "atomic.h"
#include "lock.h"
#include "os_proc.h"

#include <mobula/types.h>

#include <stddef.h>

#define MOBI_AT(type, field, at)                                               \
	_Static_assert(offsetof(type, field) == (at), #type "." #field)
#define MOBI_SIZE(type, n) _Static_assert(sizeof(type) == (n), #type)

/* ---- limits ---- */
#define MOBI_CLIENTS 64       /* processes; 0 is nobody */
#define MOBI_SLOTS (1u << 22) /* objects */
#define MOBI_SLOT_CHUNK 64u   /* slots a client takes at a time */
#define MOBI_RECS (1u << 21)  /* records: tasks */
#define MOBI_REC_EDGES 4u     /* edges inside a record */
#define MOBI_EDGE_CHUNKS (1u << 18)
#define MOBI_EDGE_CHUNK 64u /* edges of a chunk */
#define MOBI_CQS 256u
#define MOBI_INLINE_MAX 48u /* bytes of a value inside its slot */

/* ---- slot word: {gen 32, owner 8, flags 8, maker 8, state 8} ----
 *
 *            submit/create           seal, fail, cancel, lose
 *   FREE -------------------> PENDING ----------------------> resolved
 *    ^  LOCK(me) at birth        |                               |
 *    |                           | nobody holds it, no edge      |
 *    +---------- FREEING(me) <---+-------------------------------+
 *     gen + 1
 *
 * owner belongs to LOCK or FREEING, maker to OWNED. Every change is a CAS. What
 * a kill leaves: LOCK, FREEING or NOTIFY of a dead owner, taken over by the
 * janitor (reap.c); PENDING of a dead maker, or without a maker and a producer,
 * which becomes LOST.
 */
enum {
	MOBI_S_FREE = 0,
	MOBI_S_PENDING = 1,
	MOBI_S_SEALED = 2,
	MOBI_S_FAILED = 3,    /* sealed; the value is an error */
	MOBI_S_CANCELLED = 4, /* no value */
	MOBI_S_LOST = 5,      /* no value */
	MOBI_S_FREEING = 6,
	MOBI_S_WORN = 7 /* the generation is used up */
};
#define MOBI_F_LOCK (UINT64_C(1) << 16)
#define MOBI_F_DIRTY (UINT64_C(1) << 17)
#define MOBI_F_NOTIFY (UINT64_C(1) << 18)
#define MOBI_F_OWNED (UINT64_C(1) << 19) /* PENDING: only `maker` resolves it */
#define MOBI_F_SPILL (UINT64_C(1) << 20) /* SEALED: spill.h */
#define MOBI_F_GONE (UINT64_C(1) << 21)  /* it had a value: gone.h */
#define MOBI_GEN(w) ((uint32_t)((w) >> 32))
#define MOBI_OWNER(w) ((uint32_t)((w) >> 24) & 255u)
#define MOBI_MAKER(w) ((uint32_t)((w) >> 8) & 255u)
#define MOBI_STATE(w) ((uint32_t)(w)&255u)
/* What stays when a LOCK comes or goes. */
#define MOBI_KEEP(w)                                                           \
	((w) & (MOBI_F_OWNED | MOBI_F_SPILL | MOBI_F_GONE | UINT64_C(0xffff)))
#define MOBI_MADE_BY(client) (MOBI_F_OWNED | (uint64_t)(client) << 8)
#define MOBI_WORD(gen, owner, flags, state)                                    \
	((uint64_t)(gen) << 32 | (uint64_t)(owner) << 24 | (flags) | (state))

static inline int mobi_resolved(uint64_t w)
{
	uint32_t s = MOBI_STATE(w);

	return s >= MOBI_S_SEALED && s <= MOBI_S_LOST && !(w & MOBI_F_GONE);
}

static inline int mobi_living(uint64_t w)
{
	uint32_t s = MOBI_STATE(w);

	return s >= MOBI_S_PENDING && s <= MOBI_S_LOST;
}

/* One object. */
struct mobi_slot {
	mobi_a64 word;
	mobi_a64 hold; /* a bit a client: keeps the object */
	mobi_a64 view; /* a bit a client: pins the bytes too */
	mobi_a32
		head; /* list of edges: anybody pushes, the LOCK owner unlinks */
	mobi_a32 type;    /* mob_type_id */
	mobi_a32 n_edges; /* hint: edges linked */
	mobi_a32 n_dead;  /* hint: edges released and still linked */
	mobi_a64 size;    /* bytes of the value */
	mobi_a64 loc;     /* block of the arena, MOBI_LOC_*, or 0 */
	mobi_a64
		producer; /* {gen, record + 1} of the task that makes it, or 0 */
	mobi_a32 nested;  /* first edge chunk + 1 of the refs inside, or 0 */
	mobi_a32 born_ms; /* since the session began */
	mobi_a32
		creator; /* {used 1, cached 1, settled 1, place 21, client 8} */
	mobi_a32 header; /* bytes of the header behind the value, or 0 */
	unsigned char value[MOBI_INLINE_MAX];
};
MOBI_AT(struct mobi_slot, head, 24);
MOBI_AT(struct mobi_slot, size, 40);
MOBI_AT(struct mobi_slot, producer, 56);
MOBI_AT(struct mobi_slot, value, 80);
MOBI_SIZE(struct mobi_slot, 128);

/* Hint: it was viewed; only kept where it matters (victim.h), and of errors. */
#define MOBI_CREATOR_USED 0x80000000u
/* Hint: its names may be cached ones. */
#define MOBI_CREATOR_CACHED 0x40000000u
/* Hint: the hand has passed over it (victim.c). */
#define MOBI_CREATOR_SETTLED 0x20000000u
#define MOBI_CREATOR(v) ((v)&255u)
/* Row + 1 of the place in the source that made it; 0: unknown. */
#define MOBI_CREATOR_SITE(v) ((v) >> 8 & 0x1fffffu)
#define MOBI_CREATOR_AT(client, site) ((client) | (site) << 8)

/* Values of loc that are no block. */
#define MOBI_LOC_INLINE UINT64_C(1)
#define MOBI_LOC_RANGE UINT64_C(3)   /* value is a struct mobi_range */
#define MOBI_LOC_SPILLED UINT64_C(5) /* value is a struct mobi_spilled */

/* Bytes of another object, which an edge of this one keeps alive; it is sealed,
 * and no range itself. */
struct mobi_range {
	uint64_t base; /* {gen, slot} */
	uint64_t off;
};

/* Of an object with SPILL: is the file whole, and which block is freed next? */
struct mobi_spilled {
	mobi_a64 valid;
	mobi_a64 old;
};

/* Behind that, of an object whose value has a block, or had one. */
struct mobi_weak {
	uint64_t other[2]; /* struct mobi_spilled */
	mobi_a32 n;        /* hint: weak edges linked */
	mobi_a32 sum;      /* GONE: of the value that it had; 0: not known */
};

_Static_assert(sizeof(struct mobi_weak) <= MOBI_INLINE_MAX, "fits a slot");

/* A type that is not spilled: sched reads it without views. */
#define MOBI_TYPE_INTERNAL 4u
/* LOST: its value is gone and cannot be made again, as ... */
#define MOBI_TYPE_WHY_PUT 0x7ffffff1u  /* no task made it */
#define MOBI_TYPE_WHY_LOST 0x7ffffff2u /* its task is not known any more */
#define MOBI_TYPE_WHY_ROOM 0x7ffffff3u /* there was no room to make it again */
/* MOB_TYPE_STREAM of sched: what it keeps alive changes after the seal. */
#define MOBI_TYPE_STREAM 20u

/* ---- edge: says that its referrer needs an object ----
 *
 *   FREE -> LIVE (written by the referrer, then linked) -> RELEASED
 *        -> (unlinked by the LOCK owner) FREE
 *   FREE -> LIVE -> FIRED -> RELEASED: an edge of a completion queue, FIRED by
 *        who resolves the object.
 *
 * word = {generation of the referrer 32, use 16, flags 8, state 8}. QUIET: the
 * referrer need not be told when the object is resolved. WEAK: it keeps the row of
 * the object, not its value (gone.h). use changes at every push, so that a CAS
 * never meets another use of the edge.
 */
enum {
	MOBI_E_FREE = 0,
	MOBI_E_LIVE = 1,
	MOBI_E_FIRED = 2,
	MOBI_E_RELEASED = 3
};
#define MOBI_EF_QUIET UINT64_C(0x100)
#define MOBI_EF_WEAK UINT64_C(0x200)
#define MOBI_EF_MASK UINT64_C(0xffff)
#define MOBI_EUSE UINT64_C(0x10000)
#define MOBI_EUSE_MASK UINT64_C(0xffff0000)
#define MOBI_EWORD(gen, flags, state)                                          \
	((uint64_t)(gen) << 32 | (flags) | (state))
/* The same use of the edge in another state, without flags. */
#define MOBI_ESTATE(w, state) (((w) & ~MOBI_EF_MASK) | (state))
struct mobi_edge {
	mobi_a64 word;
	mobi_a64 ref;  /* {gen, slot} of the object */
	mobi_a32 next; /* number of the next edge on the object's list */
	mobi_a32 seq;  /* FIRED: place in the order of completion */
};
MOBI_SIZE(struct mobi_edge, 24);

/* ---- record: a referrer with edges of its own; sched keeps tasks in it ----
 *
 * word = {gen 32, attempt 8, owner 8, flags 8, state 8}; states 2..13 belong
 * to sched. BUILD and RETIRED belong to their owner; a dead owner's are
 * finished by the janitor: all edges released, the record freed. KEPT: what it
 * made may be made again (gone.h); with an owner, who has it to itself.
 */
enum {
	MOBI_R_FREE = 0,
	MOBI_R_BUILD = 1,
	MOBI_R_KEPT = 14,
	MOBI_R_RETIRED = 15
};
/* Flags of KEPT. */
#define MOBI_KF_LOOK (UINT64_C(1) << 8)    /* its owner looks once more */
#define MOBI_KF_WANT (UINT64_C(1) << 9)    /* somebody waits for what is gone */
#define MOBI_KF_STRONG (UINT64_C(1) << 10) /* it keeps its arguments whole */
#define MOBI_ATTEMPT(w) ((uint32_t)((w) >> 24) & 255u)
#define MOBI_ROWNER(w) ((uint32_t)((w) >> 16) & 255u)
#define MOBI_RWORD(gen, attempt, owner, state)                                 \
	((uint64_t)(gen) << 32 | (uint64_t)(attempt) << 24 |                   \
	 (uint64_t)(owner) << 16 | (state))
#define MOBI_REC_BYTES 152u
struct mobi_rec {
	mobi_a64 word;
	struct mobi_edge edge[MOBI_REC_EDGES];
	unsigned char body[MOBI_REC_BYTES]; /* sched_layout.h */
};
MOBI_AT(struct mobi_rec, edge, 8);
MOBI_AT(struct mobi_rec, body, 104);
MOBI_SIZE(struct mobi_rec, 256);

/* ---- chunks of edges beyond those of a record ----
 *
 * word = {gen 32, reserved 8, owner 8, kind 8, state 8}.
 * FREE -> BUILD(owner client) -> LIVE(kind) -> RETIRED -> FREE gen + 1.
 * LIVE belongs to its referrer: a record or slot of the generation in `of`, a
 * completion queue or a sleeping thread (seat) of client `owner`. A chunk whose
 * referrer is gone is retired by who ends the referrer, or by the janitor.
 */
enum { MOBI_C_FREE = 0, MOBI_C_BUILD = 1, MOBI_C_LIVE = 2, MOBI_C_RETIRED = 3 };
enum { MOBI_CK_REC = 1, MOBI_CK_SLOT = 2, MOBI_CK_CQ = 3, MOBI_CK_SEAT = 4 };
#define MOBI_CKIND(w) ((uint32_t)((w) >> 8) & 255u)
#define MOBI_COWNER(w) ((uint32_t)((w) >> 16) & 255u)
#define MOBI_CWORD(gen, owner, kind, state)                                    \
	((uint64_t)(gen) << 32 | (uint64_t)(owner) << 16 |                     \
	 (uint64_t)(kind) << 8 | (state))
struct mobi_chunk {
	mobi_a64 word;
	mobi_a64 of;     /* referrer: {gen, record | slot | queue} */
	mobi_a64 ready;  /* queue: a bit for each FIRED edge */
	mobi_a32 next;   /* next chunk + 1 of the same referrer */
	mobi_a32 place;  /* queue: which of its chunks this is */
	mobi_a32 bell;   /* seat: futex of the thread, changes at every ring */
	mobi_a32 asleep; /* seat: the thread sleeps or is about to */
	uint64_t reserved[3];
};
MOBI_SIZE(struct mobi_chunk, 64);

/* Numbers of edges: 0 none, those of records, then those of chunks. */
#define MOBI_EDGE_OF_REC(r, k) (1u + (r)*MOBI_REC_EDGES + (k))
#define MOBI_EDGE_REC_END (1u + MOBI_RECS * MOBI_REC_EDGES)
#define MOBI_EDGE_OF_CHUNK(c, k) (MOBI_EDGE_REC_END + (c)*MOBI_EDGE_CHUNK + (k))

/* ---- completion queue ---- */
#define MOBI_CQ_MID 256u /* words of 64 chunks: 1,048,576 edges */
struct mobi_cq_shared {
	mobi_a64
		word; /* {gen 32, reserved 16, owner client 8, state 8: 0 free, 1 open} */
	mobi_a32 bell; /* futex: changes at every completion */
	mobi_a32 sleepers;
	mobi_a32 ticket;    /* order of completion */
	mobi_a32 armed;     /* 1: a datagram is wanted at the next completion */
	mobi_a32 ring_from; /* completions below this ticket ring nobody */
	mobi_a32 chunks;    /* the newest of its chunks + 1; next: the older */
	mobi_a64 root[MOBI_CQ_MID / 64];
	mobi_a64 mid[MOBI_CQ_MID];
};
MOBI_AT(struct mobi_cq_shared, root, 32);
MOBI_SIZE(struct mobi_cq_shared, 32 + 32 + 2048);

/* ---- free entries of a table: groups of 64, one owner each ---- */
#define MOBI_GROUP 64u
struct mobi_group {     /* a cache line: neighbours belong to other processes */
	mobi_a64 hint;  /* bits of entries worth trying */
	mobi_a32 owner; /* client, or 0 */
	uint32_t reserved0;
	uint64_t reserved[6];
};
MOBI_SIZE(struct mobi_group, 64);
struct mobi_pool_shared {
	mobi_a32 used;    /* groups below this may have been claimed */
	mobi_a32 orphans; /* hint: groups below `used` that have no owner */
	uint64_t reserved;
	mobi_a64 mid[1024]; /* a bit for each group that has hints */
};
MOBI_SIZE(struct mobi_pool_shared, 16 + 8192);

/* ---- who is attached ---- */
/* word = {gen 32, reserved 16, role 8, state 8}. */
enum {
	MOBI_CLIENT_FREE = 0,
	MOBI_CLIENT_JOINING = 1,
	MOBI_CLIENT_LIVE = 2,
	MOBI_CLIENT_DEAD = 3 /* proved; being cleaned up */
};
enum {
	MOBI_ROLE_TOOL = 1,
	MOBI_ROLE_DRIVER = 2,
	MOBI_ROLE_WORKER = 3,
	MOBI_ROLE_DAEMON = 4
};
struct mobi_client {
	mobi_a64 word;
	struct mobi_proc proc;
	mobi_a32 bell;   /* futex of an idle worker */
	mobi_a32 asleep; /* it sleeps on the bell or is about to */
	mobi_a32 seat;   /* chunk + 1 on whose bell a blocked worker sleeps */
	mobi_a32 room;   /* ticket with which it waits for room, or 0 */
	mobi_a64 room_end_ns; /* and until when */
	uint64_t reserved;
};
MOBI_SIZE(struct mobi_client, 64);
#define MOBI_CLIENT_WORD(gen, role, state)                                     \
	((uint64_t)(gen) << 32 | (uint64_t)(role) << 8 | (state))
#define MOBI_ROLE(w) ((uint32_t)((w) >> 8) & 255u)

/* ---- what each process has done: count.c ----
 * A few rows a number of a process, for threads of their own; never set back, so
 * that sums only grow. Each counter is written by one thread, but those of the last
 * row, which all further threads share. */
#define MOBI_COUNT_ROWS 8u
enum {
	MOBI_N_PUT_BYTES, /* of values given to objects */
	MOBI_N_GET,       /* views */
	MOBI_N_SPILL,     /* objects written to files */
	MOBI_N_RESTORE,   /* and read back */
	MOBI_N_SLEEP,     /* sleeps until something is resolved */
	MOBI_N_ROOM,      /* waits for room */
	MOBI_N_PREFETCH,  /* files that were begun to be read ahead */
	MOBI_NS = 8
};
struct mobi_count_row {
	mobi_a64 n[MOBI_NS];
};
MOBI_SIZE(struct mobi_count_row, 64);

/* ---- places in the source that make objects: site.c ----
 * FREE -> WRITING -> READY, for ever: a row is found by its text, and its number
 * stands in the slots. A row of a dead writer is passed over. */
#define MOBI_SITES 1024u
#define MOBI_SITE_FILE 56u
enum { MOBI_SITE_FREE = 0, MOBI_SITE_WRITING = 1, MOBI_SITE_READY = 2 };
struct mobi_site_row {
	mobi_a32 state;
	uint32_t line;
	char file[MOBI_SITE_FILE]; /* the end of its path, with a NUL */
};
MOBI_SIZE(struct mobi_site_row, 64);

/* ---- the board: records that a worker should look at ----
 * Three levels of bits; setting one twice is harmless. */
#define MOBI_BOARD_LEAF (MOBI_RECS / 64)
#define MOBI_BOARD_MID (MOBI_BOARD_LEAF / 64)
#define MOBI_BOARD_ROOT (MOBI_BOARD_MID / 64)
#define MOBI_BOARD_NOW 8u
struct mobi_board {
	/* One cache line: all that a lone submit and the worker that it wakes
	 * touch. */
	mobi_a64
		idle; /* clients that wait for work: claim the bit, then ring */
	mobi_a32 spinner; /* the one of them that looks instead of sleeping */
	mobi_a32 workers; /* hint: how many workers there are */
	mobi_a32 now[MOBI_BOARD_NOW]; /* record + 1, for who is idle; or 0 */
	uint64_t reserved[2];
	mobi_a64 root[MOBI_BOARD_ROOT];
	mobi_a64 mid[MOBI_BOARD_MID];
	mobi_a64 leaf[MOBI_BOARD_LEAF];
};
MOBI_AT(struct mobi_board, root, 64);

/* ---- hands that look for objects that may go: victim.c; all hints ---- */
enum {
	MOBI_HAND_EVICT = 0,
	MOBI_HAND_SPILL = 1,
	MOBI_HAND_GONE = 2,
	MOBI_HAND_CHEAP = 3, /* met: the row */
	MOBI_HANDS = 4
};
struct mobi_hand {
	mobi_a64 at;    /* {kind of round 32, slot 32} */
	mobi_a32 met;   /* in this round: objects that may go */
	mobi_a32 taken; /* and those that went */
};
MOBI_SIZE(struct mobi_hand, 16);

/* ---- head of the control segment ---- */
#define MOBI_MAGIC UINT64_C(0x314c54434c424f4d) /* "MOBLCTL1" */
#define MOBI_FORMAT 1u
#define MOBI_EXTENT (UINT64_C(256) << 10) /* memory is backed in these */
#define MOBI_EXTENTS (1u << 17)           /* of at most 32 GiB */

struct mobi_section {
	uint64_t off;
	uint64_t bytes;
};
enum {
	MOBI_SEC_CLIENTS,
	MOBI_SEC_POOLS,  /* struct mobi_pool_shared x 3: slots, recs, chunks */
	MOBI_SEC_COUNTS, /* MOBI_COUNT_ROWS a client */
	MOBI_SEC_SITES,  /* the last that begins right after the one before */
	MOBI_SEC_GROUPS, /* their groups, one after the other */
	MOBI_SEC_BOARD,
	MOBI_SEC_CAT,
	MOBI_SEC_CQS,
	MOBI_SEC_CHUNKS,
	MOBI_SEC_SLOTS,
	MOBI_SEC_RECS,
	MOBI_SEC_EDGES,
	MOBI_SEC_SCHED,
	MOBI_SEC_ARENA, /* tags and segments; its size depends on the arena's */
	MOBI_SECTIONS
};

struct mobi_header {
	mobi_a64 magic; /* written last */
	uint32_t format;
	uint32_t header_bytes;
	uint64_t fingerprint; /* of all layouts; unlike builds do not mix */
	uint64_t ctl_bytes;
	uint64_t arena_bytes;
	uint64_t boot[2];
	struct mobi_proc creator;
	uint64_t began_ns;        /* CLOCK_MONOTONIC */
	uint64_t began_wall;      /* ns since 1970 */
	uint32_t epoch;           /* of refs; random, not 0 */
	uint32_t flags;           /* MOB_STORE_* */
	struct mobi_lock attach;  /* guards the client table */
	struct mobi_lock janitor; /* who reaps */
	mobi_a32 ending;          /* the session is over: everybody leaves */
	mobi_a32 leftover;     /* edges below the LOCK of a stopped process */
	mobi_a64 reaps;        /* dead processes cleaned up */
	mobi_a32 has_sched;    /* only a process with sched may reap */
	uint32_t eviction;     /* row of the policy: victim.c */
	mobi_a32 room_tickets; /* drawn by who waits for room */
	uint32_t gen_base;     /* first generation of slots never used yet */
	uint64_t version_base; /* of names: what restored ones have reached */
	uint64_t life;         /* of a durable store: durable.h */
	mobi_a64
		durable_synced_ms; /* end of the last sync, session time; 0: none */
	mobi_a64 durable_objects; /* hint: in the copy */
	mobi_a64 sparse; /* hint: an object of a half empty container, or 0 */
	mobi_a32 durable_steps; /* who syncs gets on */
	mobi_a32 has_spilled;   /* some object has ever gone to a file */
	mobi_a32 has_kept;      /* some record has ever been KEPT */
	uint32_t reserved;
	struct mobi_hand hand[MOBI_HANDS];
	struct mobi_section section[MOBI_SECTIONS];
	mobi_a64 backed[MOBI_EXTENTS / 64]; /* a bit an extent */
};
MOBI_AT(struct mobi_header, fingerprint, 16);

#endif /* MOBI_STORE_LAYOUT_H */
